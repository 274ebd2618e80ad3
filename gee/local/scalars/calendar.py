"""Instants, calendar units and time zones, as Earth Engine's Date algorithms count them.

An instant is milliseconds since 1970-01-01 UTC. Years, months, weeks and days are those of the calendar
in a time zone; weeks begin on Monday (ISO 8601, as Joda-Time, whose rules Earth Engine documents, has
them); differences and ratios use the average lengths of the Gregorian calendar.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gee.local.errors import EngineError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Milliseconds; a year is 365.2425 days and a month a twelfth of it.
UNITS = {
    "year": 31_556_952_000,
    "month": 2_629_746_000,
    "week": 604_800_000,
    "day": 86_400_000,
    "hour": 3_600_000,
    "minute": 60_000,
    "second": 1_000,
}

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?")
_ISO = re.compile(
    r"(?P<year>\d{4,})"
    r"(?:-(?P<ordinal>\d{3})|-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?)?"
    r"(?:T(?:(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:[.,](?P<fraction>\d+))?)?)?)?"
    r"(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)


def unit(name: str) -> str:
    """The unit of a name, which may be in the plural.

    Raises:
        EngineError: there is no such unit.
    """
    singular = name.strip().lower().removesuffix("s")
    if singular not in UNITS:
        raise EngineError(f"Unrecognized time unit '{name}'. Valid units are: {', '.join(UNITS)}.")
    return singular


@lru_cache(maxsize=256)
def zone(name: str | None) -> tzinfo:
    """The time zone of an identifier such as 'Asia/Shanghai' or '+08:00'; UTC without one.

    Raises:
        EngineError: there is no such zone.
    """
    if name is None or name in ("UTC", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        sign, hours, minutes = offset.groups()
        span = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if span < timedelta(days=1):
            return timezone(-span if sign == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EngineError(f"The datetime zone id '{name}' is not recognised.") from error


def moment(millis: float, where: tzinfo = UTC) -> datetime:
    """Date and time on the clocks of a zone, to the millisecond.

    Raises:
        EngineError: the instant is not in the years 1 to 9999.
    """
    try:
        return (EPOCH + timedelta(milliseconds=math.floor(millis))).astimezone(where)
    except (OverflowError, ValueError) as error:
        raise EngineError(f"Date {millis} is out of range.") from error


def millis(when: datetime) -> int:
    """The instant of a date and time that knows its zone."""
    try:
        return (when.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)
    except OverflowError as error:
        raise EngineError(f"Date {when.isoformat()} is out of range.") from error


def midnight(where: tzinfo, year: int, month: int, day: int) -> datetime:
    """When a day begins on the clocks of a zone.

    Raises:
        EngineError: there is no such date.
    """
    try:
        return datetime(year, month, day, tzinfo=where)
    except (OverflowError, ValueError) as error:
        raise EngineError(f"There is no date {year}-{month}-{day}: {error}.") from error


def start_of(when: datetime, name: str) -> datetime:
    """When the calendar unit that contains a moment begins."""
    if name == "second":
        return when.replace(microsecond=0)
    if name == "minute":
        return when.replace(second=0, microsecond=0)
    if name == "hour":
        return when.replace(minute=0, second=0, microsecond=0)
    today = when.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "week":
        return today - timedelta(days=today.weekday())
    if name == "month":
        return today.replace(day=1)
    return today if name == "day" else today.replace(month=1, day=1)


def later(when: datetime, count: int, name: str) -> datetime:
    """A moment some units later: by the calendar from a day on, else by elapsed time.

    A day of the month that the month reached does not have becomes its last.

    Raises:
        EngineError: that is beyond the years 1 to 9999.
    """
    try:
        if name in ("week", "day"):
            return when + timedelta(days=count * (7 if name == "week" else 1))
        if name not in ("year", "month"):
            passed = when.astimezone(UTC) + timedelta(milliseconds=count * UNITS[name])
            return passed.astimezone(when.tzinfo)
        months = when.year * 12 + when.month - 1 + count * (12 if name == "year" else 1)
        first = when.replace(year=months // 12, month=months % 12 + 1, day=1)
        last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        return first.replace(day=min(when.day, last.day))
    except (OverflowError, ValueError) as error:
        raise EngineError(f"{count} {name}s from {when.isoformat()} is out of range.") from error


def elapsed(since: datetime, until: datetime, name: str) -> int:
    """How many whole units lie between two moments of one zone, the first not after the second."""
    if name in ("year", "month"):
        months = (until.year - since.year) * 12 + until.month - since.month
        if later(since, months, "month") > until:
            months -= 1
        return months // 12 if name == "year" else months
    if name in ("week", "day"):
        return (until.replace(tzinfo=None) - since.replace(tzinfo=None)).days // (7 if name == "week" else 1)
    return (millis(until) - millis(since)) // UNITS[name]


def parse_iso(text: str, zone_name: str | None) -> int:
    """The instant of a text such as '2017', '2017-6-24', '2017-175' or '2017-06-24T23:59:59.5Z'.

    Args:
        text: to the precision wanted; an offset in it overrides the zone.
        zone_name: time zone of a text without one; UTC if None.

    Raises:
        EngineError: the text is no such date.
    """
    found = _ISO.fullmatch(text.strip())
    if found is None:
        raise EngineError(f"Bad date/time '{text}'.")
    parts = {
        key: int(value or 0) for key, value in found.groupdict().items() if key not in ("fraction", "zone")
    }
    where = zone(found["zone"] or zone_name)
    try:
        when = datetime(
            parts["year"],
            parts["month"] if found["month"] else 1,
            parts["day"] if found["day"] else 1,
            parts["hour"],
            parts["minute"],
            parts["second"],
            int(((found["fraction"] or "") + "000")[:3]) * 1000,
            where,
        )
        if found["ordinal"]:
            year, when = when.year, when + timedelta(days=parts["ordinal"] - 1)
            if when.year != year:
                raise ValueError("no such day of the year")
    except (OverflowError, ValueError) as error:
        raise EngineError(f"Bad date/time '{text}'.") from error
    return millis(when)
