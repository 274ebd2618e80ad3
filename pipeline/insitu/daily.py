"""A file of one in-situ value a station and day, from whatever a user has; what ``validate`` reads.

A table that is daily already goes through the same checks as any other, because one station in percent, or
one probe too deep, must not cost the others their scores; where they find nothing it is used as it is, so
that its name and hash stand in the record.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from pipeline.insitu.archive import GOOD
from pipeline.insitu.matching import Window
from pipeline.insitu.reading import DEPTH, daily_table, read_insitu
from pipeline.insitu.series import Depth, Period
from pipeline.progress import Report, within
from pipeline.tables.reading import Table
from pipeline.tables.writing import write_table

READ = 0.8  # of the work
IDS, OURS = {"station", "cell"}, {"date", "insitu"}  # columns of a table that is daily already
RAIN = "rain"  # mm/day, measured beside a probe; no reading of soil moisture, so kept apart


@dataclass(frozen=True)
class Reading:
    """How readings are taken.

    Attributes:
        depth: a sensor's depths lie within, m.
        flags: the ISMN's quality flags whose readings are taken.
        timezone: IANA name of the zone of a table's times without offset; None = UTC.
        bulk_density: of the dry soil, g/cm³, for a table's water by mass.
        unit: of a table's values, where it has no column ``unit``; None = m3/m3.
        window: when the product's value of a day holds.
    """

    window: Window
    depth: Depth = DEPTH
    flags: Collection[str] = GOOD
    timezone: str | None = None
    bulk_density: float | None = None
    unit: str | None = None


def is_daily(path: Path) -> bool:
    """Whether a file is a table of ``station`` (or ``cell``), ``date`` and ``insitu`` already.

    Raises:
        DataError: it is a table that cannot be read.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        return False
    header = set(Table.open(path).header)
    return header >= OURS and not header.isdisjoint(IDS)


def daily_file(
    path: Path, out: Path, how: Reading, report: Report, *, region: BaseGeometry | None = None,
    period: Period | None = None,
) -> tuple[Path, tuple[str, ...]]:  # fmt: skip
    """Bring in-situ soil moisture to one value a station and day.

    Args:
        path: a zip file or folder of the ISMN, a table of readings, or a table of daily values, which stays
            as it is where nothing in it has to be left out or converted.
        out: Parquet file to write; an earlier one is removed where ``path`` stays as it is.
        how: readings are taken.
        report: told what is being read and the share of it that is done.
        region: outline in degrees; stations outside are left out and told.
        period: first and last day of use; a table of daily values is taken whole.

    Returns:
        The file with the daily values, and what a user should know.

    Raises:
        ConfigError: an argument is of no use to such a file, or the package for the ISMN is not installed.
        DataError: nothing in it can be used, or ``out`` cannot be written.
    """
    daily = is_daily(path)
    readings = read_insitu(
        path, within(report, 0, READ), depth=how.depth, flags=how.flags, timezone=how.timezone,
        bulk_density=how.bulk_density, unit=how.unit, period=None if daily else period,
    )  # fmt: skip
    report("one value a station and day", READ)
    table, notes = daily_table(readings, how.window, region=region)
    if daily:
        given = daily_rows(path)
        if _same(table, given):
            if out.exists():
                out.unlink()
            return path, notes
        table = _with_rain(table, given)
    write_table(table, out)
    return out, notes


def daily_rows(path: Path) -> pd.DataFrame:
    """The rows of a daily table: ``station, date, insitu`` (m³/m³), and ``rain`` where it was measured.

    Raises:
        DataError: it cannot be read.
    """
    table = Table.open(path)
    station = "station" if "station" in table.header else "cell"
    table.fetch({station, "date", "insitu", RAIN}, {station, "date"})
    rows = pd.DataFrame({"station": table.texts("station", [station]), "date": table.days("date", "date")})
    rows["insitu"] = table.numbers("insitu")
    return rows.assign(**{RAIN: table.raw[RAIN]}) if RAIN in table.raw else rows


def _same(table: pd.DataFrame, given: pd.DataFrame) -> bool:
    """Whether reading has changed nothing."""
    order = ["station", "date"]
    known = given.dropna(subset="insitu").sort_values(order, kind="stable")
    return len(known) == len(table) and all(
        np.array_equal(known[name].to_numpy(), table[name].to_numpy()) for name in (*order, "insitu")
    )


def _with_rain(table: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """The table with the rain of its stations, on days without soil moisture too."""
    if RAIN not in given:
        return table
    own = given[given["station"].isin(table["station"])].drop_duplicates(["station", "date"])
    both = table.merge(own[["station", "date", RAIN]], how="outer", on=["station", "date"])
    return both.sort_values(["station", "date"], ignore_index=True)
