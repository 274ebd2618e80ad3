"""When a reading was taken: days, moments with an offset, and a station's own clock, as UTC.

A logger that writes local time is hours off the satellite, and a column of dates is no column of midnights;
both give pairs without an error. So a time without an offset is UTC unless a time zone is named, and what
shows 00:00 in all its rows is a day. Zones: IANA names, as of ``zoneinfo``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.tables.reading import Mask, Table, first, share

WRITTEN = r"(?:\d{8}|\d{4}\D\d\d?\D\d\d?)(?:[T ].*)?$"
OFFSET = r"[T ]\d\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
NANOSECONDS: Final = "datetime64[ns]"


@dataclass(frozen=True)
class Clock:
    """A column of times.

    Attributes:
        wall: as written, without offset, datetime64[ns].
        utc: the moments of those with an offset, NaT for the others.
        aware: which have one.
    """

    wall: pd.Series[pd.Timestamp]
    utc: pd.Series[pd.Timestamp]
    aware: Mask

    @classmethod
    def read(cls, table: Table, column: str) -> Clock:
        """Read a column: ISO 8601 with or without time and offset, 20190401, time stamps, dates.

        A missing time, or anything else in the column, becomes one of the table's problems.
        """
        series = table.raw[column]
        if isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype(series.cat.categories.dtype)
        if isinstance(series.dtype, pd.DatetimeTZDtype):
            clock = cls(_naive(series), _utc(series), np.ones(len(series), np.bool_))
        elif pd.api.types.is_datetime64_dtype(series.dtype):
            clock = cls._naive_only(series.astype(NANOSECONDS))
        elif pd.api.types.infer_dtype(series, skipna=True) == "date":
            clock = cls._naive_only(pd.to_datetime(series).astype(NANOSECONDS))
        else:
            clock = cls._of_text(series)
        if (bad := clock.wall.isna().to_numpy()).any():
            table.problems.append(
                f"{column}: missing or unreadable in {share(bad)} rows, the first row {first(bad) + 1} "
                f"('{series.iloc[first(bad)]}'); write times as 2019-04-01T06:30 or days as 2019-04-01"
            )
        return clock

    @classmethod
    def _naive_only(cls, wall: pd.Series[pd.Timestamp]) -> Clock:
        nothing = pd.Series(pd.NaT, wall.index, dtype=NANOSECONDS)
        return cls(wall, nothing, np.zeros(len(wall), np.bool_))

    @classmethod
    def _of_text(cls, series: pd.Series) -> Clock:
        if pd.api.types.is_numeric_dtype(series.dtype):
            series = series.where(series.between(1e7, 1e8) & (series % 1 == 0)).astype("Int64")
        text = series.astype("string").str.strip().str.replace(r"\.0+$", "", regex=True)
        # pandas takes a year or a month for its first day, and 2019091 for the first of September.
        text = text.where(text.str.match(WRITTEN).fillna(False))
        aware = text.str.contains(OFFSET).fillna(False).to_numpy(np.bool_)
        clock = cls._naive_only(
            pd.to_datetime(text.mask(aware), format="ISO8601", errors="coerce").astype(NANOSECONDS)
        )
        if aware.any():
            bare = text[aware].str.replace(r"\s*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$", "", regex=True)
            clock.wall[aware] = pd.to_datetime(bare, format="ISO8601", errors="coerce").astype(NANOSECONDS)
            utc = pd.to_datetime(text[aware], format="ISO8601", errors="coerce", utc=True)
            clock.utc[aware] = _naive(utc)
        return cls(clock.wall, clock.utc, aware)

    def shows_midnight(self) -> Mask:
        """Which say 00:00, or no time at all."""
        return (self.wall == self.wall.dt.normalize()).to_numpy(np.bool_)

    def moments(self, days: Mask, zones: pd.Series[str]) -> tuple[NDArray[np.datetime64], list[str]]:
        """The column as UTC.

        Args:
            days: rows that are days, which keep their date and become its 00:00.
            zones: the time zone of each row without an offset, empty = UTC.

        Returns:
            Times, NaT where a clock change leaves none or two, and what a user should know.

        Raises:
            ConfigError: a zone is not known; `check_zones` tells it earlier.
        """
        utc = self.wall.where(~self.aware, self.utc).mask(days, self.wall.dt.normalize())
        notes: list[str] = []
        naive = ~self.aware & ~days
        lost = 0
        for name in zones[naive].unique():
            if not name:
                continue
            own = naive & zones.eq(name).to_numpy()
            local = self.wall[own].dt.tz_localize(_zone(name), ambiguous="NaT", nonexistent="NaT")
            lost += int(local.isna().sum())
            utc[own] = _utc(local)
        if lost:
            notes.append(
                f"{lost:,} local times left out that a clock change skips or repeats; a logger that keeps "
                "standard time all year has a zone such as Etc/GMT-8 (8 hours before UTC)."
            )
        if (naive & zones.eq("").to_numpy()).any():
            notes.append("Times without offset are taken as UTC; name a time zone where they are local.")
        return utc.to_numpy(NANOSECONDS), notes


def check_zones(names: Iterable[str]) -> list[str]:
    """The names among these that are no time zone."""
    wrong = []
    for name in names:
        try:
            _zone(name)
        except ConfigError:
            wrong.append(name)
    return wrong


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"{name!r} is no time zone; use an IANA name such as Asia/Shanghai") from error


def _naive(series: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
    plain: pd.Series[pd.Timestamp] = series.dt.tz_localize(None).astype(NANOSECONDS)
    return plain


def _utc(series: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
    return _naive(series.dt.tz_convert("UTC"))
