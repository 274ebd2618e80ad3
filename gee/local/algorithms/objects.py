"""What any object is asked: its type, its description, whether it is true or equal to another."""

from __future__ import annotations

import math
from typing import Any

from gee.local.errors import EngineError
from gee.local.registry import algorithm, type_name
from gee.local.results.encoding import encode
from gee.local.scalars.comparison import same
from gee.local.values import ErrorMargin


def is_true(value: Any) -> bool:
    """Whether a condition holds: not null, not 0 or NaN, not an empty string, list or dictionary."""
    if isinstance(value, (int, float)):
        return value != 0 and not math.isnan(value)
    if isinstance(value, (str, list, tuple, dict)):
        return len(value) > 0
    return value is not None


@algorithm("If")
def choose(condition: Any, true_case: Any, false_case: Any) -> Any:
    """One of two values."""
    return true_case if is_true(condition) else false_case


@algorithm("IsEqual")
def is_equal(left: Any, right: Any) -> bool:
    """Whether two objects are equal."""
    return same(left, right)


@algorithm("ObjectType")
def object_type(value: Any) -> str:
    """The name of an object's type, without the types of what it contains.

    Earth Engine tells an integer constant from a 64-bit one; here its size does.
    """
    if value is None:
        return "Null"
    if isinstance(value, int) and not isinstance(value, bool):
        return "Integer" if -(2**31) <= value < 2**31 else "Long"
    return "List" if isinstance(value, (list, tuple)) else type_name(value).partition("<")[0]


algorithm("Describe")(encode)


@algorithm("ErrorMargin")
def error_margin(value: float | None, unit: str) -> ErrorMargin:
    """How far a geometry operation may be wrong, in a unit; an infinite margin has no value."""
    if unit not in ("meters", "projected", "infinite"):
        raise EngineError(f"Unit must be 'meters', 'projected' or 'infinite', not '{unit}'.")
    if unit != "infinite" and value is None:
        raise EngineError(f"An error margin in {unit} needs a value.")
    return ErrorMargin(None if unit == "infinite" else value, unit)
