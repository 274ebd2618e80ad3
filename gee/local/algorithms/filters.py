"""``Filter.*``: tables of relations and conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from gee.local.errors import EngineError
from gee.local.registry import algorithm, apply, promotion
from gee.local.scalars.ordering import before, is_number, plain
from gee.local.selection import relations
from gee.local.selection.filter_expressions import negation, parse
from gee.local.selection.filters import (
    EVERYTHING,
    TIME,
    All,
    Filter,
    Operand,
    Pair,
    Reach,
    Relation,
    Some,
    Test,
    field_of,
    geometry_of,
)
from gee.local.values import Element, ErrorMargin


@promotion("Filter")
def to_filter(value: Any) -> Filter:
    """A filter is only itself."""
    if isinstance(value, Filter):
        return value
    raise TypeError


def _operand(side: str, field: str | None, value: Any, become: Callable[[Any], Any] | None) -> Operand:
    if (field is None) == (value is None):
        few_or_many = "One" if field is None else "Only one"
        raise EngineError(f"{few_or_many} of '{side}Field' and '{side}Value' must be specified.")
    return Operand(field, value if value is None or become is None else become(value))


def _pair(
    relation: Relation, left_field: str | None, right_value: Any, right_field: str | None, left_value: Any
) -> Filter:
    return Pair(
        relation,
        _operand("left", left_field, left_value, relation.left_type),
        _operand("right", right_field, right_value, relation.right_type),
    )


RELATIONS: tuple[tuple[Relation, tuple[str, ...]], ...] = (
    (relations.EQUALS, ("eq", "equals")),
    (relations.NOT_EQUALS, ("neq", "notEquals")),
    (relations.LESS, ("lt", "lessThan")),
    (relations.NOT_LESS, ("gte", "greaterThanOrEquals")),
    (relations.GREATER, ("gt", "greaterThan")),
    (relations.NOT_GREATER, ("lte", "lessThanOrEquals")),
    (relations.STARTS_WITH, ("stringStartsWith",)),
    (relations.ENDS_WITH, ("stringEndsWith",)),
    (relations.CONTAINS_TEXT, ("stringContains",)),
    (relations.LIST_CONTAINS, ("listContains", "inList")),
    (relations.DATE_RANGE_CONTAINS, ("dateRangeContains",)),
    (relations.HAS_TYPE, ("hasType",)),
)
for _relation, _names in RELATIONS:
    algorithm(*(f"Filter.{name}" for name in _names))(partial(_pair, _relation))


SPATIAL: tuple[tuple[str, Callable[[ErrorMargin | None], Relation]], ...] = (
    ("contains", relations.geometry_contains),
    ("isContained", relations.geometry_inside),
    ("intersects", relations.intersects),
    ("disjoint", relations.disjoint),
)


def _spatial(make: Callable[[ErrorMargin | None], Relation], *operands: Any) -> Filter:
    return _pair(make(operands[-1]), *operands[:-1])


for _name, _make in SPATIAL:
    algorithm(f"Filter.{_name}")(partial(_spatial, _make))


@algorithm("Filter.withinDistance")
def _within_distance(distance: float, *operands: Any) -> Filter:
    return _pair(relations.within_distance(distance, operands[-1]), *operands[:-1])


@algorithm("Filter.maxDifference")
def _max_difference(difference: float, *operands: Any) -> Filter:
    return _pair(relations.max_difference(difference), *operands)


@algorithm("Filter.and")
def _and(filters: list[Filter]) -> Filter:
    return All(tuple(filters))


@algorithm("Filter.or")
def _or(filters: list[Filter]) -> Filter:
    return Some(tuple(filters))


algorithm("Filter.not")(negation)


@algorithm("Filter.always")
def _always() -> Filter:
    return Test(lambda _: True)


@algorithm("Filter.never")
def _never() -> Filter:
    return Test(lambda _: False)


@algorithm("Filter.hasGeometry")
def _has_geometry() -> Filter:
    return Test(lambda element: geometry_of(element) is not None)


@algorithm("Filter.notNull")
def _not_null(properties: list[str]) -> Filter:
    return Test(lambda element: all(field_of(element, name) is not None for name in properties))


@algorithm("Filter.rangeContains")
def _range_contains(field: str, low: Any, high: Any) -> Filter:
    def inside(element: Element) -> bool:
        value = field_of(element, field)
        return value is not None and not before(value, low) and not before(high, value)

    bounds = (plain(low), plain(high))
    return Test(inside, bounds if field == TIME and all(map(is_number, bounds)) else EVERYTHING)


@algorithm("Filter.area")
def _area(low: float, high: float, max_error: ErrorMargin | None, selector: str | None) -> Filter:
    def inside(element: Element) -> bool:
        shape = field_of(element, selector or ".geo")
        if shape is None:
            return False
        return bool(low <= apply("Geometry.area", {"geometry": shape, "maxError": max_error}) <= high)

    return Test(inside)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CALENDAR: dict[str, Callable[[datetime], int]] = {
    "year": lambda time: time.year,
    "month": lambda time: time.month,
    "hour": lambda time: time.hour,
    "minute": lambda time: time.minute,
    "day_of_year": lambda time: time.timetuple().tm_yday,
    "day_of_month": lambda time: time.day,
    "day_of_week": lambda time: time.isoweekday(),
}


def _calendar_range(start: int, end: int | None, field: str) -> Filter:
    if field not in CALENDAR:
        raise EngineError(f"Unknown calendar field '{field}'; options are: {', '.join(sorted(CALENDAR))}.")
    read = CALENDAR[field]
    last = start if end is None else end

    def inside(element: Element) -> bool:
        millis = plain(element.get(TIME))
        if not is_number(millis) or not math.isfinite(millis):
            return False
        value = read(_EPOCH + timedelta(milliseconds=millis))
        return start <= value <= last if start <= last else value >= start or value <= last

    return Test(inside, _years(start, last) if field == "year" else EVERYTHING)


algorithm("Filter.calendarRange")(_calendar_range)


def _years(first: int, last: int) -> Reach:
    if not 1 <= first <= last <= 9998:
        return EVERYTHING
    low, high = (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH for year in (first, last + 1))
    return low / timedelta(milliseconds=1), high / timedelta(milliseconds=1)


@algorithm("Filter.dayOfYear")
def _day_of_year(start: int, end: int) -> Filter:
    return _calendar_range(start, end, "day_of_year")


algorithm("Filter.expression")(parse)
