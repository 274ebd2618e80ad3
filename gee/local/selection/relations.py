"""The relations that filters test between a left and a right value.

Wording of the algorithm list: "greater than or equals" passes *unless* the left operand is less, so it
passes where an operand is null; likewise "not equals" and "less than or equals". The others never do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import contains
from typing import Any

import numpy as np

from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.geometry.extents import apart, box_of, widened
from gee.local.geometry.geometries import Geometry
from gee.local.limits import ELEMENTS_PER_APPLICATION
from gee.local.registry import apply, promote, type_name
from gee.local.scalars.comparison import identity
from gee.local.scalars.ordering import before, is_number, plain, same
from gee.local.selection.filters import Reach, Relation, geometry_of
from gee.local.values import DateRange, Element, ErrorMargin


def _equal_to(value: Any) -> Reach:
    return plain(value), plain(value)


def _from(value: Any) -> Reach:
    return plain(value), None


def _up_to(value: Any) -> Reach:
    return None, plain(value)


EQUALS = Relation(same, right_reach=_equal_to, left_reach=_equal_to)
LESS = Relation(before, right_reach=_from, left_reach=_up_to)
GREATER = Relation(lambda left, right: before(right, left), right_reach=_up_to, left_reach=_from)
NOT_EQUALS = Relation(lambda left, right: not same(left, right), nulls=True)
NOT_LESS = Relation(
    lambda left, right: not before(left, right), nulls=True, right_reach=_up_to, left_reach=_from
)
NOT_GREATER = Relation(
    lambda left, right: not before(right, left), nulls=True, right_reach=_from, left_reach=_up_to
)

OPPOSITES = {
    EQUALS: NOT_EQUALS,
    LESS: NOT_LESS,
    GREATER: NOT_GREATER,
    NOT_EQUALS: EQUALS,
    NOT_LESS: LESS,
    NOT_GREATER: GREATER,
}


def _of_strings(test: Callable[[str, str], bool]) -> Relation:
    def both_strings(left: Any, right: Any) -> bool:
        return isinstance(left, str) and isinstance(right, str) and test(left, right)

    return Relation(both_strings)


STARTS_WITH = _of_strings(str.startswith)
ENDS_WITH = _of_strings(str.endswith)
CONTAINS_TEXT = _of_strings(contains)


def _list_contains(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        left = left.tolist()
    if not isinstance(left, (list, tuple)):
        raise EngineError(f"The left operand must be a list, got {type_name(left)}.")
    charge(len(left) * ELEMENTS_PER_APPLICATION // 4)
    wanted = identity(plain(right))
    return any(identity(plain(item)) == wanted for item in left)


LIST_CONTAINS = Relation(_list_contains)


def max_difference(difference: float) -> Relation:
    """Numbers no further apart than ``difference``, which is measured."""

    def measure(left: Any, right: Any) -> float:
        left, right = plain(left), plain(right)
        if not (is_number(left) and is_number(right)):
            odd = right if is_number(left) else left
            raise EngineError(f"Both operands must be numbers, got {type_name(odd)}.")
        return float(abs(left - right))

    def near(value: Any) -> Reach:
        value = plain(value)
        return (value - difference, value + difference) if is_number(value) else (None, None)

    return Relation(
        lambda left, right: measure(left, right) <= difference,
        right_reach=near,
        left_reach=near,
        measure=measure,
    )


def _date_range(value: Any) -> DateRange:
    found = promote(value, "DateRange")
    if not isinstance(found, DateRange):
        raise EngineError(f"The left operand must be a date range, got {type_name(value)}.")
    return found


def _dates(dates: DateRange) -> Reach:
    # Asked when the filter is used, not when it is made: an empty range by itself is no error.
    if dates.start is not None and dates.end is not None and dates.start >= dates.end:
        raise EngineError("Empty date ranges not supported for the current operation.")
    return dates.start, dates.end


def _millis(value: Any) -> float:
    value = plain(value)
    return value if is_number(value) else float(promote(value, "Date").millis)


def _in_range(left: DateRange, right: float) -> bool:
    start, end = _dates(left)
    return (start is None or start <= right) and (end is None or right < end)


DATE_RANGE_CONTAINS = Relation(
    _in_range,
    left_type=_date_range,
    right_type=_millis,
    right_reach=_dates,
)


def _kinds(value: Any) -> set[str]:
    """Names of the type of a value and of the types it is a subtype of."""
    name = type_name(value)
    kinds = {name, name.partition("<")[0], "Object"}
    if name in ("Integer", "Float"):
        kinds |= {"Number", "Long" if name == "Integer" else "Double"}
    if isinstance(value, Element):
        kinds.add("Element")
    if name == "Geometry":
        kinds.add(str(apply("Geometry.type", {"geometry": value})))
    return kinds


HAS_TYPE = Relation(lambda left, right: right in _kinds(left))


def _spatial(test: Callable[[Geometry, Geometry], bool], metres: float) -> Relation:
    """A relation of geometries no further apart than ``metres``."""

    def near_and_so(left: Geometry, right: Geometry) -> bool:
        one, other = box_of(left), box_of(right)
        if one is None or other is None or apart(widened(one, metres), other):
            return False
        return test(left, right)

    return Relation(near_and_so, left_type=geometry_of, right_type=geometry_of, metres=metres)


def _named(name: str, max_error: ErrorMargin | None) -> Relation:
    def test(left: Geometry, right: Geometry) -> bool:
        return bool(apply(name, {"left": left, "right": right, "maxError": max_error}))

    return _spatial(test, 0.0)


def geometry_contains(max_error: ErrorMargin | None) -> Relation:
    """The left geometry contains the right one."""
    return _named("Geometry.contains", max_error)


def geometry_inside(max_error: ErrorMargin | None) -> Relation:
    """The right geometry contains the left one."""
    return _named("Geometry.containedIn", max_error)


def intersects(max_error: ErrorMargin | None) -> Relation:
    """The geometries share a point."""
    return _named("Geometry.intersects", max_error)


def disjoint(max_error: ErrorMargin | None) -> Relation:
    """The geometries share no point, or one is missing."""
    touching = intersects(max_error)
    return replace(touching, test=lambda left, right: not touching.test(left, right), nulls=True, metres=None)


def within_distance(distance: float, max_error: ErrorMargin | None) -> Relation:
    """Geometries no further apart than ``distance`` metres, which is measured."""

    def measure(left: Any, right: Any) -> float:
        return float(apply("Geometry.distance", {"left": left, "right": right, "maxError": max_error}))

    return replace(
        _spatial(lambda left, right: measure(left, right) <= distance, max(distance, 0.0)), measure=measure
    )
