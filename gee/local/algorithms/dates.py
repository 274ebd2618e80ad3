"""Date.* and DateRange.*: instants, calendar units in time zones, and half-open ranges.

A range contains its start and not its end; a range without an end is one millisecond long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.registry import algorithm, type_name
from gee.local.scalars import calendar
from gee.local.scalars.dateformats import ISO_PATTERN, formatted, parsed
from gee.local.scalars.promotions import as_date
from gee.local.values import Collection, Date, DateRange, Feature

_INFINITY = float("inf")


def _date(value: Any, zone: str | None) -> Date:
    if isinstance(value, str):
        return Date(calendar.parse_iso(value, zone))
    try:
        date: Date = as_date(value)
    except TypeError as error:
        raise EngineError(f"Cannot make a date of a {type_name(value)}.") from error
    return date


@algorithm("Date")
def make_date(value: Any, zone: str | None) -> Date:
    """A number of milliseconds, or a text in a time zone."""
    return _date(value, zone)


@algorithm("Date.fromYMD")
def from_ymd(year: int, month: int, day: int, zone: str | None) -> Date:
    """Midnight of a day in a time zone."""
    return Date(calendar.millis(calendar.midnight(calendar.zone(zone), year, month, day)))


@algorithm("Date.parse")
def parse(pattern: str, text: str, zone: str | None) -> Date:
    """A text after a pattern."""
    return Date(parsed(pattern, text, calendar.zone(zone)))


@algorithm("Date.format")
def format_date(when: Date, pattern: str | None, zone: str | None) -> str:
    """A date as text."""
    return formatted(calendar.moment(when.millis, calendar.zone(zone)), pattern or ISO_PATTERN)


@algorithm("Date.millis")
def millis(when: Date) -> float:
    """Milliseconds since 1970-01-01T00:00:00Z."""
    return when.millis


@algorithm("Date.advance")
def advance(when: Date, delta: float, unit: str, zone: str | None) -> Date:
    """A date some units later: whole ones by the calendar, a fraction by the unit's average length."""
    name = calendar.unit(unit)
    if name not in ("year", "month", "week", "day"):
        return Date(when.millis + delta * calendar.UNITS[name])
    if abs(delta) > 1e6:
        raise EngineError(f"{delta} {unit} is out of range.")
    whole = int(delta)
    moved = calendar.millis(calendar.later(calendar.moment(when.millis, calendar.zone(zone)), whole, name))
    rest = (delta - whole) * calendar.UNITS[name]
    return Date(moved + when.millis % 1 + rest if rest or when.millis % 1 else moved)


@algorithm("Date.difference")
def difference(when: Date, start: Date, unit: str) -> float:
    """From start to date, in average units."""
    return (when.millis - start.millis) / calendar.UNITS[calendar.unit(unit)]


@algorithm("Date.unitRatio")
def unit_ratio(numerator: str, denominator: str) -> float:
    """How many of one average unit make another."""
    return calendar.UNITS[calendar.unit(numerator)] / calendar.UNITS[calendar.unit(denominator)]


@algorithm("Date.get")
def get(when: Date, unit: str, zone: str | None) -> int:
    """A unit of a date, counted as calendars do; weeks are ISO weeks."""
    name = calendar.unit(unit)
    local = calendar.moment(when.millis, calendar.zone(zone))
    if name == "week":
        return local.isocalendar().week
    found: int = getattr(local, name)
    return found


@algorithm("Date.getRelative")
def get_relative(when: Date, unit: str, within: str, zone: str | None) -> int:
    """Whole units passed since the larger unit began; 0 where it is not larger."""
    name, larger = calendar.unit(unit), calendar.unit(within)
    if calendar.UNITS[name] >= calendar.UNITS[larger]:
        return 0
    local = calendar.moment(when.millis, calendar.zone(zone))
    return calendar.elapsed(calendar.start_of(local, larger), local, name)


@algorithm("Date.getRange")
def get_range(when: Date, unit: str, zone: str | None) -> DateRange:
    """The calendar unit that contains a date, from its start to before its end."""
    name = calendar.unit(unit)
    start = calendar.start_of(calendar.moment(when.millis, calendar.zone(zone)), name)
    return DateRange(calendar.millis(start), calendar.millis(calendar.later(start, 1, name)))


@algorithm("Date.getFraction")
def get_fraction(when: Date, unit: str, zone: str | None) -> float:
    """How much of the calendar unit that contains a date has passed."""
    unit_range = get_range(when, unit, zone)
    start, end = _ends(unit_range)
    return (when.millis - start) / (end - start)


@algorithm("Date.update")
def update(
    when: Date,
    year: int | None,
    month: int | None,
    day: int | None,
    hour: int | None,
    minute: int | None,
    second: float | None,
    zone: str | None,
) -> Date:
    """A date with some of its units set."""
    local = calendar.moment(when.millis, calendar.zone(zone))
    given = {"year": year, "month": month, "day": day, "hour": hour, "minute": minute}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if second is not None:
        whole, fraction = divmod(second, 1)
        fields |= {"second": int(whole), "microsecond": round(fraction * 1000) * 1000}
    try:
        return Date(calendar.millis(local.replace(**fields)))
    except (OverflowError, ValueError) as error:
        raise EngineError(f"There is no such date: {error}.") from error


def _ends(dates: DateRange) -> tuple[float, float]:
    start = -_INFINITY if dates.start is None else dates.start
    return start, _INFINITY if dates.end is None else dates.end


def _range(start: float, end: float) -> DateRange:
    return DateRange(None if start == -_INFINITY else start, None if end == _INFINITY else end)


@algorithm("DateRange")
def date_range(start: Any, end: Any, zone: str | None) -> DateRange:
    """From start to before end, or the millisecond from start on."""
    first = _date(start, zone).millis
    return DateRange(first, first + 1 if end is None else _date(end, zone).millis)


@algorithm("DateRange.unbounded")
def unbounded() -> DateRange:
    """All dates."""
    return DateRange(None, None)


@algorithm("DateRange.start")
def range_start(dates: DateRange) -> Date | None:
    """The first date of a range; null where it has none."""
    return None if dates.start is None else Date(dates.start)


@algorithm("DateRange.end")
def range_end(dates: DateRange) -> Date | None:
    """The first date after a range; null where there is none."""
    return None if dates.end is None else Date(dates.end)


@algorithm("DateRange.isEmpty")
def is_empty(dates: DateRange) -> bool:
    """Whether start is not before end."""
    start, end = _ends(dates)
    return start >= end


@algorithm("DateRange.isUnbounded")
def is_unbounded(dates: DateRange) -> bool:
    """Whether the range contains all dates."""
    return dates.start is None and dates.end is None


@algorithm("DateRange.contains")
def contains(dates: DateRange, other: Any) -> bool:
    """Whether a date, or all of a range, lies in the range."""
    start, end = _ends(dates)
    if isinstance(other, DateRange):
        first, last = _ends(other)
        return start <= first and last <= end
    return start <= _date(other, None).millis < end


@algorithm("DateRange.intersects")
def intersects(dates: DateRange, other: DateRange) -> bool:
    """Whether two ranges have a date in common."""
    return not is_empty(intersection(dates, other))


@algorithm("DateRange.intersection")
def intersection(dates: DateRange, other: DateRange) -> DateRange:
    """The dates that two ranges share; an empty range where they share none."""
    (start, end), (first, last) = _ends(dates), _ends(other)
    return _range(max(start, first), max(min(end, last), max(start, first)))


@algorithm("DateRange.union")
def union(dates: DateRange, other: DateRange) -> DateRange:
    """The shortest range that contains two."""
    (start, end), (first, last) = _ends(dates), _ends(other)
    return _range(min(start, first), max(end, last))


@algorithm("DateRangeCollection")
def date_range_collection(start: int, end: int, interval: int, units: str, reset: bool) -> Collection:
    """Consecutive ranges from start to end, each a feature with ``date_range``; the last may be shorter.

    With ``reset`` a range ends with its year at the latest, and the next one starts with the new year.
    """
    name = calendar.unit(units)
    if name not in ("day", "year"):
        raise EngineError(f"Units must be 'days' or 'years', not '{units}'.")
    if interval < 1:
        raise EngineError("Interval must be positive.")
    if (end - start) / (interval * calendar.UNITS[name]) > limits.MAX_SEQUENCE:
        raise EngineError("Too many date ranges.")

    def ranges() -> Iterator[Feature]:
        index, here, last = 0, calendar.moment(start), calendar.moment(end)
        while here < last:
            following = calendar.later(here, interval, name)
            if reset:
                following = min(following, calendar.later(calendar.start_of(here, "year"), 1, "year"))
            dates = DateRange(calendar.millis(here), calendar.millis(min(following, last)))
            yield Feature({"system:index": str(index), "date_range": dates})
            index, here = index + 1, following

    return Collection({}, ranges())
