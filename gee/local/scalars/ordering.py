"""Property values in order: what filters, sorted collections, joins and aggregates compare by.

Equality is that of `comparison`; beyond it a date is its milliseconds here, since ``system:time_start``
may be either. The wording for values of different types is Earth Engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.registry import shown, type_name
from gee.local.scalars import comparison
from gee.local.values import Date


def plain(value: Any) -> Any:
    """A value as it is compared: a date is its milliseconds, a NumPy number a Python one."""
    if isinstance(value, Date):
        return value.millis
    return value.item() if isinstance(value, np.generic) else value


def is_number(value: Any) -> bool:
    """Whether a plain value is compared as a number."""
    return isinstance(value, (bool, int, float))


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal; values of different types are not."""
    return comparison.same(plain(left), plain(right))


def before(left: Any, right: Any) -> bool:
    """Whether one value is less than another.

    Raises:
        EngineError: they are of types that have no common order.
    """
    left, right = plain(left), plain(right)
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(left < right)
    raise EngineError(
        f"Cannot compare values '{shown(left)}' (Type:{type_name(left)}) and "
        f"'{shown(right)}' (Type:{type_name(right)})."
    )


def _compared(left: Any, right: Any) -> int:
    return before(right, left) - before(left, right)


by_value = cmp_to_key(_compared)
"""Key for Python's sort, min and max."""


def sort_order(values: Sequence[Any], ascending: bool = True) -> list[int]:
    """Positions of values in order; equal ones keep theirs, nulls come last either way.

    Raises:
        EngineError: two of them have no common order.
    """
    known = [position for position, value in enumerate(values) if value is not None]
    known.sort(key=lambda position: by_value(values[position]), reverse=not ascending)
    return known + [position for position, value in enumerate(values) if value is None]
