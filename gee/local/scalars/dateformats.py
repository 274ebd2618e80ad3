"""Dates as text after a pattern, in the letters of Joda-Time's DateTimeFormat.

Earth Engine documents Date.format and Date.parse by that class (joda-time.sourceforge.net,
DateTimeFormat); text is English. Python's strftime knows neither its letters nor its widths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import groupby
from typing import Any

from gee.local.errors import EngineError
from gee.local.scalars import calendar
from gee.local.scalars.javatext import expression

ISO_PATTERN = "yyyy-MM-dd'T'HH:mm:ss"  # what Date.format prints without a pattern

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _tokens(pattern: str) -> Iterator[tuple[str, int, str]]:
    """Letter, its count and ""; or "", 0 and literal text."""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "'":
            end = position + 1
            literal = ""
            while end < len(pattern):
                if pattern[end] == "'":
                    if pattern[end : end + 2] != "''" or end == position + 1:
                        break
                    end += 1
                literal += pattern[end]
                end += 1
            yield "", 0, literal or "'"
            position = end + 1
        elif character.isascii() and character.isalpha():
            count = len(next("".join(group) for _, group in groupby(pattern[position:])))
            if character not in _FORMATS:
                raise EngineError(f"Illegal pattern component: {character * count}")
            yield character, count, ""
            position += count
        else:
            yield "", 0, character
            position += 1


def _offset(when: datetime, count: int) -> str:
    if count >= 3:
        return _zone_id(when)
    minutes = (when.utcoffset() or timedelta()) // timedelta(minutes=1)
    colon = ":" if count == 2 else ""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{colon}{abs(minutes) % 60:02d}"


def _zone_id(when: datetime) -> str:
    return str(getattr(when.tzinfo, "key", None) or _zone_name(when, 1))


def _zone_name(when: datetime, count: int) -> str:
    # The tz database has only abbreviations; the one long name that is certain is UTC's own.
    if when.tzinfo is UTC:
        return "Coordinated Universal Time" if count >= 4 else "UTC"
    return when.tzname() or "UTC"


def _year(number: int, count: int) -> str:
    return f"{number % 100:02d}" if count == 2 else str(number).zfill(count)


def _named(names: Sequence[str], position: int, count: int) -> str:
    return names[position] if count >= 4 else names[position][:3]


def _plain(number: Callable[[datetime], int]) -> Callable[[datetime, int], str]:
    return lambda when, count: str(number(when)).zfill(count)


_FORMATS: dict[str, Callable[[datetime, int], str]] = {
    "G": lambda when, count: "AD",
    "C": _plain(lambda when: when.year // 100),
    "Y": lambda when, count: _year(when.year, count),
    "y": lambda when, count: _year(when.year, count),
    "x": lambda when, count: _year(when.isocalendar().year, count),
    "w": _plain(lambda when: when.isocalendar().week),
    "e": _plain(lambda when: when.isoweekday()),
    "E": lambda when, count: _named(_WEEKDAYS, when.weekday(), count),
    "D": _plain(lambda when: when.timetuple().tm_yday),
    "M": lambda when, count: (
        _named(_MONTHS, when.month - 1, count) if count >= 3 else str(when.month).zfill(count)
    ),
    "d": _plain(lambda when: when.day),
    "a": lambda when, count: "PM" if when.hour >= 12 else "AM",
    "K": _plain(lambda when: when.hour % 12),
    "h": _plain(lambda when: (when.hour + 11) % 12 + 1),
    "H": _plain(lambda when: when.hour),
    "k": _plain(lambda when: (when.hour + 23) % 24 + 1),
    "m": _plain(lambda when: when.minute),
    "s": _plain(lambda when: when.second),
    "S": lambda when, count: f"{when.microsecond:06d}".ljust(count, "0")[:count],
    "z": _zone_name,
    "Z": _offset,
}


def formatted(when: datetime, pattern: str) -> str:
    """A moment as text.

    Raises:
        EngineError: the pattern has a letter that means nothing.
    """
    return "".join(
        _FORMATS[letter](when, count) if letter else text for letter, count, text in _tokens(pattern)
    )


@lru_cache(maxsize=256)
def _reader(pattern: str) -> tuple[Any, tuple[tuple[str, int], ...]]:
    """What matches a text of the pattern, and the letter and count of each group."""
    tokens = list(_tokens(pattern))
    regex, fields = "", []
    for index, (letter, count, text) in enumerate(tokens):
        if not letter:
            regex += re.escape(text)
            continue
        fields.append((letter, count))
        following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
        if letter in "GazE" or (letter == "M" and count >= 3):
            regex += r"([A-Za-z]+(?:/[A-Za-z_]+)*)" if letter == "z" else "([A-Za-z]+)"
        elif letter == "Z":
            regex += r"(Z|[+-]\d{2}:?\d{2}|[A-Za-z_/]+)"
        else:
            # Numbers that touch have the width of their letters.
            touching = following and following not in "GazEZ"
            regex += rf"(\d{{{count}}})" if touching else r"(\d+)"
    return expression(regex, "i"), tuple(fields)


def _position(names: Sequence[str], text: str) -> int:
    for position, name in enumerate(names):
        if text.lower() in (name.lower(), name[:3].lower()):
            return position
    raise ValueError(text)


def parsed(pattern: str, text: str, where: tzinfo) -> int:
    """The instant that a text of this pattern gives; what the pattern leaves out is as in 1970-01-01T00:00.

    Two-digit years are 1950 to 2049.

    Raises:
        EngineError: the text does not follow the pattern, or is no date.
    """
    reader, fields = _reader(pattern)
    found = reader.fullmatch(text)
    if found is None:
        raise EngineError(f'Invalid format: "{text}"')
    numbers: dict[str, int] = {}
    try:
        for (letter, count), value in zip(fields, found.groups(), strict=True):
            if letter == "Z" or (letter == "z" and value.upper() != "UTC"):
                where = calendar.zone(value)
            elif letter == "a":
                numbers["a"] = {"am": 0, "pm": 12}[value.lower()]
            elif letter == "E":
                numbers["e"] = _position(_WEEKDAYS, value) + 1
            elif letter == "M" and count >= 3:
                numbers["M"] = _position(_MONTHS, value) + 1
            elif letter == "S":
                numbers["S"] = int(value.ljust(6, "0")[:6])
            elif letter in "Yyx" and count == 2 and len(value) == 2:
                numbers["x" if letter == "x" else "y"] = (int(value) + 50) % 100 + 1950
            elif letter not in "Gz":
                numbers["y" if letter == "Y" else letter] = int(value)
        return calendar.millis(_assembled(numbers, where))
    except (KeyError, OverflowError, ValueError) as error:
        raise EngineError(f'Invalid format: "{text}"') from error


def _assembled(numbers: dict[str, int], where: tzinfo) -> datetime:
    if "x" in numbers or "w" in numbers:
        day = date.fromisocalendar(numbers.get("x", 1970), numbers.get("w", 1), numbers.get("e", 1))
    elif "D" in numbers:
        day = date(numbers.get("y", 1970), 1, 1) + timedelta(days=numbers["D"] - 1)
    else:
        day = date(numbers.get("y", 1970), numbers.get("M", 1), numbers.get("d", 1))
    hour = numbers.get("H", numbers.get("k", 0) % 24)
    if "h" in numbers or "K" in numbers:
        hour = numbers.get("a", 0) + numbers.get("h", numbers.get("K", 0)) % 12
    clock = (hour, numbers.get("m", 0), numbers.get("s", 0), numbers.get("S", 0))
    return datetime(day.year, day.month, day.day, *clock, tzinfo=where)
