"""When two values are equal: for lists, filters and `IsEqual`.

Python would take 1 for True and cannot compare lists that hold arrays; Earth Engine tells booleans from
numbers and takes 1 and 1.0 for the same number.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.limits import ELEMENTS_PER_APPLICATION

_MAX_DEPTH = 400  # lists within lists


def identity(value: Any, depth: int = 0) -> Hashable:
    """A key that equal values share.

    Raises:
        EngineError: the value is nested too deeply.
    """
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, float) and math.isnan(value):
        return ("NaN",)
    if value is None or isinstance(value, (int, float, str)):
        return value
    if depth > _MAX_DEPTH:
        raise EngineError("Value is nested too deeply.")
    if isinstance(value, (list, tuple, Mapping)):
        charge(len(value) + ELEMENTS_PER_APPLICATION)
    if isinstance(value, (list, tuple)):
        return ("list", tuple(identity(item, depth + 1) for item in value))
    if isinstance(value, Mapping):
        return ("dictionary", frozenset((key, identity(item, depth + 1)) for key, item in value.items()))
    if isinstance(value, np.ndarray):
        return ("array", value.shape, tuple(identity(item) for item in value.ravel().tolist()))
    return value if isinstance(value, Hashable) else id(value)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal."""
    return identity(left) == identity(right)
