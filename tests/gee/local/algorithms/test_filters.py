"""Which features pass each filter; expectations follow the descriptions in the algorithm list."""

from __future__ import annotations

from datetime import UTC, datetime

import ee
import pytest

from gee.local.errors import EngineError
from gee.local.registry import apply as call
from gee.local.registry import signatures
from gee.local.values import Collection, Feature

DAY = 86_400_000


def millis(*when):
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)


def table(rows):
    return ee.FeatureCollection([ee.Feature(None, {"n": n, **row}) for n, row in enumerate(rows)])


@pytest.fixture
def passing(compute):
    """Numbers of the rows that pass."""
    return lambda rows, condition: compute(table(rows).filter(condition).aggregate_array("n"))


VALUES = [{"x": 1}, {"x": 2}, {"x": 2.0}, {"x": 3}, {}]

# A missing property fails "equals", "less" and "greater", and so passes what is described as "unless" these.
COMPARISONS = [
    ("eq", [1, 2]),
    ("neq", [0, 3, 4]),
    ("lt", [0]),
    ("lte", [0, 1, 2, 4]),
    ("gt", [3]),
    ("gte", [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("name", "expected"), COMPARISONS)
def test_comparisons_and_missing_properties(offline_client, passing, name, expected):
    assert passing(VALUES, getattr(ee.Filter, name)("x", 2)) == expected


LONG_NAMES = {
    "eq": "equals",
    "neq": "notEquals",
    "lt": "lessThan",
    "lte": "lessThanOrEquals",
    "gt": "greaterThan",
    "gte": "greaterThanOrEquals",
}


@pytest.mark.parametrize(("name", "expected"), COMPARISONS)
@pytest.mark.parametrize("long", [False, True])
def test_both_names_of_a_comparison_are_one_algorithm(offline_client, passing, name, expected, long):
    arguments = {"leftField": "x", "rightValue": 2}
    algorithm = f"Filter.{LONG_NAMES[name] if long else name}"
    assert passing(VALUES, ee.ApiFunction.lookup(algorithm).apply(arguments)) == expected


@pytest.mark.parametrize(("name", "expected"), COMPARISONS)
def test_not_of_a_comparison_passes_exactly_the_others(offline_client, passing, name, expected):
    rest = [n for n in range(len(VALUES)) if n not in expected]
    assert passing(VALUES, getattr(ee.Filter, name)("x", 2).Not()) == rest


def test_two_fields_of_one_element(passing):
    rows = [{"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 3, "b": 2}]
    assert passing(rows, ee.Filter.lessThan(leftField="a", rightField="b")) == [0]
    assert passing(rows, ee.Filter.lessThan(leftValue=2, rightField="a")) == [2]


def test_values_without_a_common_order_are_an_error(passing):
    with pytest.raises(
        EngineError, match=r"Cannot compare values '1' \(Type:Integer\) and 'a' \(Type:String\)"
    ):
        passing([{"x": 1}], ee.Filter.lt("x", "a"))


def test_a_number_never_equals_its_text(passing):
    assert passing([{"x": 1}, {"x": "1"}], ee.Filter.eq("x", "1")) == [1]


@pytest.mark.parametrize(
    "arguments", [{"leftField": "x"}, {"leftField": "x", "rightField": "y", "rightValue": 1}]
)
def test_each_side_needs_exactly_one_operand(offline_client, passing, arguments):
    with pytest.raises(EngineError, match="'rightField' and 'rightValue' must be specified"):
        passing([{}], ee.Filter.equals(**arguments))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("stringStartsWith", "LC", [0, 1]),
        ("stringEndsWith", "08", [0]),
        ("stringContains", "C0", [0, 1]),
    ],
)
def test_text_filters(offline_client, passing, name, text, expected):
    rows = [{"id": "LC08"}, {"id": "LC09"}, {"id": "S2"}, {"id": 8}, {}]
    condition = getattr(ee.Filter, name)(leftField="id", rightValue=text)
    assert passing(rows, condition) == expected


def test_in_list_is_list_contains_turned_round(passing):
    rows = [{"x": "a"}, {"x": "b"}, {"x": 1}, {}]
    assert passing(rows, ee.Filter.inList("x", ["a", 1.0])) == [0, 2]
    lists = [{"pol": ["VV", "VH"]}, {"pol": ["VV"]}, {}]
    assert passing(lists, ee.Filter.listContains("pol", "VH")) == [0]


def test_and_or_not(passing):
    low, high = ee.Filter.lt("x", 2), ee.Filter.gt("x", 2)
    assert passing(VALUES, ee.Filter.Or(low, high)) == [0, 3]
    assert passing(VALUES, ee.Filter.And(low, high)) == []
    assert passing(VALUES, ee.Filter.Or(low, high).Not()) == [1, 2, 4]


def test_not_null_needs_all_the_properties(passing):
    assert passing([{"a": 1}, {"a": 1, "b": 2}, {"b": None}], ee.Filter.notNull(["a", "b"])) == [1]


def test_range_contains_is_inclusive(passing):
    assert passing([{"x": x} for x in (0, 1, 2, 3, 4)], ee.Filter.rangeContains("x", 1, 3)) == [1, 2, 3]


def test_max_difference_is_inclusive(passing):
    rows = [{"x": x} for x in (6, 7, 13, 14)]
    assert passing(rows, ee.Filter.maxDifference(3, "x", 10)) == [1, 2]


def test_has_type(passing):
    rows = [{"x": 0}, {"x": "foo"}, {"x": [1]}, {"x": 0.5}]
    assert passing(rows, ee.Filter.hasType(leftField="x", rightValue="Number")) == [0, 3]
    assert passing(rows, ee.Filter.hasType(leftField="x", rightValue="String")) == [1]


TIMES = [
    {"system:time_start": millis(2021, 6, 30, 23)},
    {"system:time_start": millis(2021, 7, 1)},
    {"system:time_start": millis(2021, 7, 31, 23, 59)},
    {"system:time_start": millis(2021, 8, 1)},
    {},
]


def test_filter_date_is_end_exclusive(compute):
    july = table(TIMES).filterDate("2021-07-01", "2021-08-01")
    assert compute(july.aggregate_array("n")) == [1, 2]


def test_filter_date_without_end_is_one_millisecond(compute):
    assert compute(table(TIMES).filterDate("2021-07-01").aggregate_array("n")) == [1]


def test_filter_date_reads_dates_as_well_as_milliseconds(compute):
    rows = [{"system:time_start": ee.Date("2021-07-10")}, {"system:time_start": ee.Date("2021-08-10")}]
    assert compute(table(rows).filterDate("2021-07-01", "2021-08-01").aggregate_array("n")) == [0]


def test_empty_date_ranges_are_refused_when_used(compute):
    empty = table(TIMES).filterDate("2021-07-01", "2021-07-01")
    with pytest.raises(EngineError, match=r"Empty date ranges not supported for the current operation\."):
        compute(empty.size())


MONTHS = [{"system:time_start": millis(2020, month, 15, month)} for month in range(1, 13)]


@pytest.mark.parametrize(
    ("start", "end", "field", "months"),
    [
        (6, 8, "month", [6, 7, 8]),
        (12, 2, "month", [1, 2, 12]),
        (3, None, "month", [3]),
        (2020, 2021, "year", list(range(1, 13))),
        (2019, 2019, "year", []),
        (11, 1, "hour", [1, 11, 12]),
        (15, 15, "day_of_month", list(range(1, 13))),
        # 15 March 2020 and 15 November 2020 were Sundays, 15 June a Monday.
        (7, 7, "day_of_week", [3, 11]),
        (1, 1, "day_of_week", [6]),
        # 2020 is a leap year: 15 March is day 75.
        (75, 75, "day_of_year", [3]),
    ],
)
def test_calendar_range_is_inclusive_and_wraps(offline_client, passing, start, end, field, months):
    expected = [month - 1 for month in months]
    assert passing(MONTHS, ee.Filter.calendarRange(start, end, field)) == expected


def test_day_of_year(passing):
    assert passing(MONTHS, ee.Filter.dayOfYear(46, 75)) == [1, 2]


def test_calendar_range_names_its_fields(passing):
    with pytest.raises(EngineError, match="day_of_week"):
        passing(MONTHS, ee.Filter.calendarRange(1, 2, "fortnight"))


@pytest.fixture
def source():
    """A collection that tells which times it was asked for; a feature a day from 1 January 2020 on."""
    asked = []
    start = millis(2020, 1, 1)

    def within(low, high):
        asked.append((low, high))
        return Collection({}, [feature(day) for day in range(366) if inside(start + day * DAY, low, high)])

    def inside(time, low, high):
        return (low is None or low <= time) and (high is None or time < high)

    def feature(day):
        return Feature({"system:index": str(day), "system:time_start": start + day * DAY})

    def everything():
        raise AssertionError("looked at every element")
        yield

    return Collection({}, everything(), within=within), asked


def days(collection):
    return [int(element.get("system:index")) for element in collection]


def narrowing(name, **arguments):
    documented = {argument.name for argument in signatures()[name].arguments}
    assert arguments.keys() <= documented
    return call(name, arguments)


def test_filters_on_time_look_only_at_those_times(offline_client, source):
    collection, asked = source
    march = narrowing(
        "Filter.dateRangeContains",
        leftValue=call("DateRange", {"start": "2020-03-01", "end": "2020-04-01"}),
        rightField="system:time_start",
    )
    assert days(call("Collection.filter", {"collection": collection, "filter": march})) == list(range(60, 91))
    assert asked == [(millis(2020, 3, 1), millis(2020, 4, 1) + 1)]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("Filter.lessThan", {"rightValue": millis(2020, 1, 3)}, [0, 1]),
        ("Filter.lte", {"rightValue": millis(2020, 1, 3)}, [0, 1, 2]),
        ("Filter.greaterThan", {"rightValue": millis(2020, 12, 30)}, [365]),
        ("Filter.gte", {"rightValue": millis(2020, 12, 30)}, [364, 365]),
        ("Filter.equals", {"rightValue": millis(2020, 1, 5)}, [4]),
        ("Filter.maxDifference", {"rightValue": millis(2020, 1, 5), "difference": DAY}, [3, 4, 5]),
    ],
)
def test_comparisons_of_time_narrow_to_the_right_side(offline_client, source, name, arguments, expected):
    collection, _ = source
    condition = narrowing(name, leftField="system:time_start", **arguments)
    assert days(call("Collection.filter", {"collection": collection, "filter": condition})) == expected


def test_and_narrows_to_the_shared_times_and_or_to_the_hull(offline_client, source):
    collection, asked = source
    late = call("Filter.gte", {"leftField": "system:time_start", "rightValue": millis(2020, 1, 9)})
    early = call("Filter.lt", {"leftField": "system:time_start", "rightValue": millis(2020, 1, 11)})
    both = call("Filter.and", {"filters": [late, early]})
    assert days(call("Collection.filter", {"collection": collection, "filter": both})) == [8, 9]
    assert asked == [(millis(2020, 1, 9), millis(2020, 1, 11) + 1)]
    first = call("Filter.eq", {"leftField": "system:time_start", "rightValue": millis(2020, 1, 1)})
    third = call("Filter.eq", {"leftField": "system:time_start", "rightValue": millis(2020, 1, 3)})
    either = call("Filter.or", {"filters": [first, third]})
    assert days(call("Collection.filter", {"collection": collection, "filter": either})) == [0, 2]
    assert asked[-1] == (millis(2020, 1, 1), millis(2020, 1, 3) + 1)


def test_narrowing_reaches_through_other_filters_and_sorting(offline_client, source):
    collection, asked = source
    even = call("Filter.stringEndsWith", {"leftField": "system:index", "rightValue": "0"})
    year = call("Filter.calendarRange", {"start": 2020, "field": "year"})
    late = call("Filter.gt", {"leftField": "system:time_start", "rightValue": millis(2020, 12, 1)})
    found = call("Collection.filter", {"collection": collection, "filter": even})
    found = call("Collection.limit", {"collection": found, "key": "system:time_start", "ascending": False})
    found = call("Collection.filter", {"collection": found, "filter": year})
    found = call("Collection.filter", {"collection": found, "filter": late})
    assert days(found) == [360, 350, 340]
    assert asked[0][0] == millis(2020, 12, 1)


def square(west, south, size=1.0):
    return ee.Geometry.Rectangle([west, south, west + size, south + size], "EPSG:4326", False)


@pytest.fixture
def placed(offline_client):
    shapes = [square(0, 0), square(10, 10), square(179.5, 0), None]
    return ee.FeatureCollection([ee.Feature(shape, {"n": n}) for n, shape in enumerate(shapes)])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: ee.Filter.bounds(ee.Geometry.Point(0.5, 0.5)), [0]),
        (lambda: ee.Filter.intersects(".geo", square(0.5, 0.5, 20)), [0, 1]),
        (lambda: ee.Filter.intersects(".geo", ee.Geometry.Point(-179.8, 0.5)), [2]),
        (lambda: ee.Filter.disjoint(".geo", square(0.5, 0.5, 20)), [2, 3]),
        (lambda: ee.Filter.contains(".geo", square(10.25, 10.25, 0.5)), [1]),
        (lambda: ee.Filter.isContained(".geo", square(9, 9, 3)), [1]),
        (lambda: ee.Filter.withinDistance(120_000, ".geo", ee.Geometry.Point(2, 0.5)), [0]),
        (lambda: ee.Filter.withinDistance(100_000, ".geo", ee.Geometry.Point(2, 0.5)), []),
        # A one-degree square is about 12,300 km2 at the equator and 12,100 km2 at 10 degrees north.
        (lambda: ee.Filter.area(1.2e10, 1.215e10), [1]),
        (lambda: ee.Filter.hasType(".geo", "Polygon"), [0, 1, 2]),
    ],
)
def test_geometry_filters(compute, placed, make, expected):
    assert compute(placed.filter(make()).aggregate_array("n")) == expected


def test_has_geometry(compute, placed):
    condition = ee.ApiFunction.lookup("Filter.hasGeometry").apply({})
    assert compute(placed.filter(condition).aggregate_array("n")) == [0, 1, 2]
