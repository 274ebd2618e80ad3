"""Date.* and DateRange.*: the API documentation's examples, and Python's calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ee
import pytest

from gee.local.errors import EngineError
from gee.local.values import DateRange

Compute = Callable[[Any], Any]
DAY = 86_400_000


def millis(*fields: int, zone: str = "UTC") -> int:
    return int(datetime(*fields, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2020", None, "2020-01-01T00:00:00"),
        ("2017-6-24", None, "2017-06-24T00:00:00"),
        ("2017-6-24T00:14:46", None, "2017-06-24T00:14:46"),
        ("2017-06-24T23:59:59", None, "2017-06-24T23:59:59"),
        ("2020", "US/Mountain", "2020-01-01T07:00:00"),
        ("1996-001", None, "1996-01-01T00:00:00"),
        ("1996-366", None, "1996-12-31T00:00:00"),
        ("1996-01-01T08:00", None, "1996-01-01T08:00:00"),
        ("2020-01-01T08:00Z", "Asia/Shanghai", "2020-01-01T08:00:00"),
        ("2020-01-01T08:00+08:00", None, "2020-01-01T00:00:00"),
    ],
)
def test_date_reads_iso_texts(compute: Compute, text: str, zone: str | None, expected: str) -> None:
    assert compute(ee.Date(text, zone).format()) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "2017/06/24", "2017-13-01", "2017-02-30", "2015-366", "17-1-1"]
)
def test_date_refuses_other_texts(compute: Compute, text: str) -> None:
    with pytest.raises(EngineError) as caught:
        compute(ee.Date(ee.String(text).cat("")))
    assert str(caught.value) == f"Date: Bad date/time '{text}'."


@pytest.mark.parametrize(
    ("pattern", "zone", "expected"),
    [
        # ee-date-format
        ("YYYY GG", None, "1975 AD"),
        ("CC YY", None, "19 75"),
        ("xxxx ww", None, "1975 30"),
        ("yy DDD", None, "75 204"),
        ("MM dd", None, "07 23"),
        ("e E", None, "3 Wed"),
        ("e EEEEEEEE", None, "3 Wednesday"),
        ("a K h", None, "PM 9 9"),
        ("a KK hh", None, "PM 09 09"),
        ("H k m s S", None, "21 21 13 59 0"),
        ("HH kk mm ss SS", None, "21 21 13 59 00"),
        ("z", None, "UTC"),
        ("zzzz", None, "Coordinated Universal Time"),
        ("z", "PST8PDT", "PDT"),
        ("Z ZZ ZZZ", None, "+0000 +00:00 UTC"),
        ("Z ZZ", "PST8PDT", "-0700 -07:00"),
        ("YY 'yada' MM", None, "75 yada 07"),
        ("YY ''MM'' dd", None, "75 '07' 23"),
        ("MMM d, yyyy", None, "Jul 23, 1975"),
        ("yyyy-MM-dd", "Asia/Shanghai", "1975-07-24"),
    ],
)
def test_format_follows_joda_time(compute: Compute, pattern: str, zone: str | None, expected: str) -> None:
    assert compute(ee.Date("1975-07-23T21:13:59").format(pattern, zone)) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("PST8PDT", "17T17"),
        ("Etc/GMT-10", "18T10"),
        ("US/Pacific", "17T17"),
        ("Australia/Tasmania", "18T10"),
        ("Zulu", "18T00"),
    ],
)
def test_zones(compute: Compute, zone: str, expected: str) -> None:
    assert compute(ee.Date("2020-08-18").format(None, zone)) == f"2020-08-{expected}:00:00"


@pytest.mark.parametrize("zone", ["Nowhere/City", "../../etc/passwd", "/etc/passwd"])
def test_unknown_zones_are_refused(compute: Compute, zone: str) -> None:
    with pytest.raises(EngineError, match="is not recognised"):
        compute(ee.Date("2020-08-18").format(None, zone))


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("yyyyMMdd", "20190407", (2019, 4, 7)),
        ("yyyy_DDD", "2019_097", (2019, 4, 7)),
        ("dd MMM yyyy HH:mm", "07 Apr 2019 13:05", (2019, 4, 7, 13, 5)),
        ("hh:mm a, dd/MM/yy", "01:05 PM, 07/04/19", (2019, 4, 7, 13, 5)),
        ("xxxx-'W'ww-e", "2019-W14-7", (2019, 4, 7)),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2019-04-07T08:00:00.000+0800", (2019, 4, 7)),
    ],
)
def test_parse_follows_joda_time(
    compute: Compute, pattern: str, text: str, expected: tuple[int, ...]
) -> None:
    assert compute(ee.Date.parse(pattern, text).millis()) == millis(*expected)


def test_parse_refuses_what_does_not_follow_the_pattern(compute: Compute) -> None:
    for text in ("2019", "20191301", "2019-04-07"):
        with pytest.raises(EngineError, match=r"Date\.parse: Invalid format"):
            compute(ee.Date.parse("yyyyMMdd", text))
    with pytest.raises(EngineError, match="Illegal pattern component: qq"):
        compute(ee.Date("2019").format("qq"))


@pytest.mark.parametrize(
    ("start", "delta", "unit", "expected"),
    [
        ("2020-01-01", 1, "week", (2020, 1, 8)),
        ("2020-01-01", 2, "years", (2022, 1, 1)),
        ("2020-01-01", -1, "second", (2019, 12, 31, 23, 59, 59)),
        ("2019-01-31", 1, "month", (2019, 2, 28)),
        ("2020-02-29", 1, "year", (2021, 2, 28)),
        ("2019-01-31", 1.5, "day", (2019, 2, 1, 12)),
        ("2019-03-31", -13, "month", (2018, 2, 28)),
        ("2019-12-31", 26, "hours", (2020, 1, 1, 2)),
    ],
)
def test_advance_goes_by_the_calendar(
    compute: Compute, start: str, delta: float, unit: str, expected: tuple[int, ...]
) -> None:
    assert compute(ee.Date(start).advance(delta, unit)).millis == millis(*expected)


def test_advance_of_a_day_keeps_the_clock_of_its_zone(compute: Compute) -> None:
    """Clocks in Los Angeles go forward on 2021-03-14: that day has 23 hours."""
    start = ee.Date("2021-03-13T12:00", "America/Los_Angeles")
    advanced = compute(start.advance(1, "day", "America/Los_Angeles")).millis
    assert advanced == millis(2021, 3, 14, 12, zone="America/Los_Angeles")
    assert advanced - compute(start).millis == 23 * 3_600_000
    assert compute(start.advance(24, "hour", "America/Los_Angeles")).millis - advanced == 3_600_000


def test_difference_and_ratio_use_average_lengths(compute: Compute) -> None:
    """The average Gregorian year has 365.2425 days."""
    later = ee.Date("2020-01-15")
    assert compute(later.difference(ee.Date("2020-01-01"), "days")) == 14
    assert compute(ee.Date("2020-01-01").difference(later, "weeks")) == -2
    assert compute(ee.Date("2018-01-01").difference(ee.Date("2017-01-01"), "year")) == pytest.approx(
        365 / 365.2425
    )
    assert compute(ee.Date.unitRatio("day", "minute")) == 1440
    assert compute(ee.Date.unitRatio("month", "year")) == pytest.approx(1 / 12)
    with pytest.raises(EngineError, match="Unrecognized time unit 'fortnight'"):
        compute(ee.Date.unitRatio("fortnight", "day"))


def test_get_counts_as_calendars_do(compute: Compute) -> None:
    when = datetime(2021, 4, 30, 7, 15, 31, 240_000, tzinfo=UTC)
    date = ee.Date("2021-4-30T07:15:31.24")
    expected = {"year": 2021, "month": 4, "day": 30, "hour": 7, "minute": 15, "second": 31}
    for unit, value in (expected | {"week": when.isocalendar().week}).items():
        assert compute(date.get(unit)) == value
    assert compute(date.get("hour", "Asia/Shanghai")) == 15


@pytest.mark.parametrize(
    ("unit", "within", "expected"),
    [
        ("month", "year", 3),
        ("day", "year", 119),
        ("day", "month", 29),
        ("minute", "day", 435),
        ("second", "minute", 31),
        ("day", "week", 4),
        ("week", "year", 119 // 7),
        ("year", "month", 0),
    ],
)
def test_get_relative_counts_from_0(compute: Compute, unit: str, within: str, expected: int) -> None:
    """2021-04-30 is the 120th day of its year, a Friday."""
    assert compute(ee.Date("2021-4-30T07:15:31.24").getRelative(unit, within)) == expected


def test_ranges_and_fractions_of_calendar_units(compute: Compute) -> None:
    date = ee.Date("2013-3-15T12:00")
    assert compute(date.getRange("year")) == DateRange(millis(2013, 1, 1), millis(2014, 1, 1))
    assert compute(date.getRange("week")) == DateRange(millis(2013, 3, 11), millis(2013, 3, 18))
    assert compute(date.getFraction("day")) == 0.5
    assert compute(date.getFraction("month")) == pytest.approx(14.5 / 31)
    assert compute(date.getFraction("year")) == pytest.approx(73.5 / 365)


def test_update_and_from_ymd(compute: Compute) -> None:
    date = ee.Date("2013-3-15T12:34:56")
    assert compute(date.update(year=2015, day=1)).millis == millis(2015, 3, 1, 12, 34, 56)
    assert compute(date.update(hour=0, timeZone="Asia/Shanghai")).millis == millis(
        2013, 3, 15, 0, 34, 56, zone="Asia/Shanghai"
    )
    assert compute(ee.Date.fromYMD(2013, 3, 15, "Asia/Shanghai")).millis == millis(
        2013, 3, 15, zone="Asia/Shanghai"
    )
    with pytest.raises(EngineError, match=r"Date\.fromYMD"):
        compute(ee.Date.fromYMD(2013, 2, 29))


def test_ranges_contain_their_start_and_not_their_end(compute: Compute) -> None:
    dates = ee.DateRange("2017-06-24", "2017-07-24")
    assert compute(dates.contains(ee.Date("2017-06-24"))) is True
    assert compute(dates.contains(ee.Date("2017-07-24"))) is False
    assert compute(dates.contains(dates)) is True
    assert compute(dates.intersects(ee.DateRange("2017-07-24", "2017-08-01"))) is False
    assert compute(dates.intersects(ee.DateRange("2017-07-23", "2017-08-01"))) is True


def test_range_without_end_is_a_millisecond(compute: Compute) -> None:
    assert compute(ee.DateRange("2017-06-24")) == DateRange(1498262400000, 1498262400001)
    assert compute(ee.DateRange(1498262400000, 1500854400000)) == compute(
        ee.DateRange("2017-06-24", "2017-07-24")
    )


def test_union_intersection_and_unbounded(compute: Compute) -> None:
    june, july = ee.DateRange("2017-06-01", "2017-07-02"), ee.DateRange("2017-07-01", "2017-08-01")
    assert compute(june.union(july)) == compute(ee.DateRange("2017-06-01", "2017-08-01"))
    assert compute(june.intersection(july)) == compute(ee.DateRange("2017-07-01", "2017-07-02"))
    assert compute(june.intersection(ee.DateRange("2018", "2019")).isEmpty()) is True
    assert compute(june.intersection(ee.DateRange.unbounded())) == compute(june)
    assert compute(june.union(ee.DateRange.unbounded()).isUnbounded()) is True
    assert compute(ee.DateRange("2017", "2016").isEmpty()) is True


def test_collection_of_ranges(compute: Compute) -> None:
    def ranges(*arguments: Any) -> list[Any]:
        collection = ee.ApiFunction.call_("DateRangeCollection", *arguments)
        return [feature.properties["date_range"] for feature in compute(collection)]

    start, end = millis(2015, 12, 20), millis(2016, 1, 10)
    assert ranges(start, end, 8) == [
        DateRange(at, min(at + 8 * DAY, end)) for at in range(start, end, 8 * DAY)
    ]
    reset = ranges(start, end, 8, "days", True)
    assert [dates.start for dates in reset] == [
        millis(2015, 12, 20),
        millis(2015, 12, 28),
        millis(2016, 1, 1),
        millis(2016, 1, 9),
    ]
    with pytest.raises(EngineError, match="Too many"):
        ranges(0, 2**62, 1)


def test_dates_beyond_the_calendar_are_refused(compute: Compute) -> None:
    for thing in (
        ee.Date(1e18).format(),
        ee.Date("9999-12-31").advance(1, "day"),
        ee.Date(0).advance(1e9, "day"),
    ):
        with pytest.raises(EngineError, match="out of range"):
            compute(thing)
