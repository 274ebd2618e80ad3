"""A table of predictions and one of in-situ soil moisture, checked and joined on station and day.

A percent column, a no-data code, sub-daily readings or station numbers read as decimals give scores that
look like scores; they are refused here, all faults of both tables in one message, before anything is
computed. Units and ranges: volumetric soil moisture of the SMAP products and of the ISMN, m³/m³.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.columns import VARIABLES, Variable
from pipeline.errors import DataError
from pipeline.tables.reading import Table, Values, as_text, first, share

MOISTURE = Variable("m³/m³", -0.1, 1)  # regressions and dry probes give values a little below zero
# Readings within a day are no pairs of their own.
REPEATS = ("station", "a station and day", "keep one a day (average readings within a day)")
RANGES = {
    "sm": MOISTURE,
    "smap": MOISTURE,
    "insitu": MOISTURE,
    "lon": VARIABLES["lon"],
    "lat": VARIABLES["lat"],
}


@dataclass(frozen=True)
class StationTable:
    """One checked input: ``station`` text, ``date`` day, numbers float64 in the units of ``RANGES``."""

    path: Path
    rows: pd.DataFrame
    simulated: bool

    def span(self) -> str:
        """Its stations and days in words, for messages."""
        days, names = self.rows["date"], self.rows["station"].unique()
        return (
            f"{len(names)} station{'s' if len(names) > 1 else ''} ({', '.join(names[:3])}"
            f"{', …' if len(names) > 3 else ''}), {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}"
        )

    def describe(self) -> dict[str, Any]:
        """Where it is and what it holds, with the file's SHA-256, for the record of a validation."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        days = self.rows["date"]
        return {
            "path": str(self.path),
            "sha256": digest,
            "rows": len(self.rows),
            "stations": int(self.rows["station"].nunique()),
            "first_date": f"{days.min():%Y-%m-%d}",
            "last_date": f"{days.max():%Y-%m-%d}",
        }


def read_tables(predictions: Path, insitu: Path) -> tuple[StationTable, StationTable]:
    """Read and check both tables.

    Args:
        predictions: Parquet or CSV with ``station`` (or ``cell``), ``date``, ``sm`` and optionally
            ``smap``, ``lon``, ``lat``, ``partition``, ``simulated``.
        insitu: the same with ``insitu`` in place of ``sm`` and ``smap``; may be the same file.

    Returns:
        The two tables, one row per station and day. A column that is optional and absent is all missing.

    Raises:
        DataError: every fault of both tables: no such file, no such column, no rows, unreadable days,
            text in numbers, values outside ``RANGES``, nothing but missing values, repeated station-days.
    """
    tables, faults = [], []
    for path, value, optional in (
        (predictions, "sm", ("smap", "lon", "lat", "partition")),
        (insitu, "insitu", ("lon", "lat")),
    ):
        try:
            tables.append(_read(path, value, optional))
        except DataError as error:
            faults += str(error).splitlines()
    if faults:
        raise DataError("\n".join(dict.fromkeys(faults)))
    return tables[0], tables[1]


def join(predictions: StationTable, insitu: StationTable) -> pd.DataFrame:
    """Put both values of a station and day in one row.

    Returns:
        Columns ``station, date, lon, lat, partition, prediction, smap, insitu``, sorted by station and
        day, for the station-days both tables have (a value itself may be missing). The in-situ table's
        coordinates go before those of the predictions.

    Raises:
        DataError: no station-day is in both.
    """
    left = predictions.rows.rename(columns={"sm": "prediction"})
    both = left.merge(insitu.rows, on=["station", "date"], suffixes=("_predicted", ""), validate="1:1")
    if both.empty:
        shared = len(set(predictions.rows["station"]) & set(insitu.rows["station"]))
        raise DataError(
            f"no station and day is in both tables, {shared} stations are:\n"
            f"{predictions.path}: {predictions.span()}\n{insitu.path}: {insitu.span()}\n"
            "use the same station names and a common period"
        )
    for axis in ("lon", "lat"):
        both[axis] = both[axis].fillna(both[f"{axis}_predicted"])
    columns = ["station", "date", "lon", "lat", "partition", "prediction", "smap", "insitu"]
    return both.sort_values(["station", "date"], ignore_index=True)[columns]


def _read(path: Path, value: str, optional: tuple[str, ...]) -> StationTable:
    table = Table.open(path)
    station = "station" if "station" in table.header else "cell"
    sources = {"station": station, "date": "date", value: value}
    lacking = [name for name, column in sources.items() if column not in table.header]
    if lacking:
        table.problems.append(f"no column {', '.join(lacking)}; it has {', '.join(table.header)}")
    wanted = {*sources.values(), *optional, "simulated"}
    table.fetch(wanted, {station, "date", "partition"})
    columns: dict[str, Any] = {}
    if station in table.raw:
        columns["station"] = table.texts("station", [station])
    if "date" in table.raw:
        columns["date"] = table.days("date", "date")
    for name in (value, *optional):
        if name in RANGES:
            columns[name] = _numbers(table, name) if name in table.raw else np.nan
        else:
            columns[name] = as_text(table.raw[name]) if name in table.raw else None
    if value in table.raw and np.isnan(columns[value]).all():
        table.problems.append(f"{value}: none of {len(table.raw):,} rows has a value; check the export")
    rows = pd.DataFrame(columns, index=table.raw.index)
    table.refuse_repeats(rows, "station", np.arange(len(rows)), REPEATS)
    if table.problems:
        raise DataError("\n".join(f"{path}: {problem}" for problem in table.problems))
    return StationTable(
        path, rows, simulated="simulated" in table.raw and bool(table.marks("simulated").any())
    )


def _numbers(table: Table, name: str) -> Values:
    """A column as numbers; those out of its range are a problem."""
    values, known = table.numbers(name), RANGES[name]
    outside = (values < known.low) | (values > known.high)
    if outside.any():
        fix = " (divide percent by 100, mm of a 5 cm layer by 50)" if known is MOISTURE else ""
        table.problems.append(
            f"{name}: {share(outside)} values outside {known.low:g}..{known.high:g} {known.unit} "
            f"({np.nanmin(values):.4g} to {np.nanmax(values):.4g}, the first in row {first(outside) + 1}); "
            f"convert it to {known.unit}{fix} and leave no-data codes empty"
        )
    return values
