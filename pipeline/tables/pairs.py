"""A table of predictions and one of in-situ soil moisture, checked and joined on station and day.

A percent column, a no-data code, sub-daily readings or station numbers read as decimals give scores that
look like scores. Where they spoil what everything rests on they are refused here, all faults of both tables
in one message, before anything is computed; where they spoil one further product, that one is left out and
said to be. Units and ranges: volumetric soil moisture of the SMAP products and of the ISMN, m³/m³.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.columns import VARIABLES, Variable
from pipeline.errors import DataError
from pipeline.tables.reading import Table, Values, as_text, first, share
from pipeline.tables.titles import CORRECTED, DOWNSCALED, INDEX, INSIDE, LOWER, SMAP, TITLES, UPPER, title
from pipeline.wording import plural

MOISTURE = Variable("m³/m³", -0.1, 1)  # regressions and dry probes give values a little below zero
# Readings within a day are no pairs of their own.
REPEATS = ("station", "a station and day", "keep one a day (average readings within a day)")
RANGES = {
    DOWNSCALED: MOISTURE,
    "insitu": MOISTURE,
    "lon": VARIABLES["lon"],
    "lat": VARIABLES["lat"],
    "depth": Variable("m", 0, 100),
}
PRODUCT = re.compile(r"[a-z][a-z0-9_]*")  # a column of the predictions that may be a product
BESIDE_MAP = (LOWER, UPPER, INDEX, INSIDE, CORRECTED)  # what maps say of their own values
TEXTS = ("partition", "landcover", "network")
NO_PRODUCTS = frozenset(
    {
        "station", "cell", "date", "insitu", "rain", "outage", "simulated", "partitioned", "readings",
        "depth", *BESIDE_MAP, *TEXTS, *VARIABLES,
    }
) - {DOWNSCALED}  # fmt: skip
KEPT_STATIONS = 0.5  # share of the stations that a further product must leave to the comparison
MOSTLY_TEXT = 0.5  # share of values that are no numbers beyond which a column only describes its rows


@dataclass(frozen=True)
class StationTable:
    """One checked input.

    Attributes:
        path: of the file.
        rows: ``station`` text, ``date`` day, numbers float64 in the units of ``RANGES``.
        simulated: whether a column says so.
        products: columns of soil moisture other than ``insitu``, in the order of a report.
        left_out: column that looks like a product -> why it is none.
    """

    path: Path
    rows: pd.DataFrame
    simulated: bool
    products: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

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
        predictions: Parquet or CSV with ``station`` (or ``cell``), ``date``, ``sm`` and optionally further
            products under names of small letters, digits and _ (m³/m³), ``lon``, ``lat``, ``partition``,
            ``landcover``, ``outage``, ``simulated``.
        insitu: the same with ``insitu`` in place of the products and optionally ``network`` and ``depth``
            (m); may be the same file.

    Returns:
        The two tables, one row per station and day. A column that is optional and absent is all missing. A
        further product of another unit, of text or without a value is left out, with the reason.

    Raises:
        DataError: every fault of both tables: no such file, no such column, no rows, unreadable days,
            text in numbers, values outside ``RANGES``, nothing but missing values, repeated station-days.
    """
    tables, faults = [], []
    for path, value, optional in (
        (predictions, DOWNSCALED, ("lon", "lat", "partition", "landcover", "outage")),
        (insitu, "insitu", ("lon", "lat", "network", "depth")),
    ):
        try:
            tables.append(_read(path, value, optional))
        except DataError as error:
            faults += str(error).splitlines()
    if faults:
        raise DataError("\n".join(dict.fromkeys(faults)))
    return tables[0], tables[1]


def join(predictions: StationTable, insitu: StationTable) -> pd.DataFrame:
    """Put all values of a station and day in one row.

    Returns:
        Columns ``station, date, lon, lat, partition, landcover, outage, network, depth``, the products and
        ``insitu``, sorted by station and day, for the station-days both tables have (a value itself may be
        missing). The in-situ table's coordinates go before those of the predictions.

    Raises:
        DataError: no station-day is in both.
    """
    left, right = predictions.rows, insitu.rows
    both = left.merge(right, on=["station", "date"], suffixes=("_predicted", ""), validate="1:1")
    if both.empty:
        shared = len(set(left["station"]) & set(right["station"]))
        raise DataError(
            f"no station and day is in both tables, {shared} stations are:\n"
            f"{predictions.path}: {predictions.span()}\n{insitu.path}: {insitu.span()}\n"
            "use the same station names and a common period"
        )
    for axis in ("lon", "lat"):
        both[axis] = both[axis].fillna(both[f"{axis}_predicted"])
    about = ["station", "date", "lon", "lat", "partition", "landcover", "outage", "network", "depth"]
    columns = [*about, *predictions.products, "insitu"]
    return both.sort_values(["station", "date"], ignore_index=True)[columns]


@dataclass(frozen=True)
class Chosen:
    """Which products are compared on identical pairs.

    Attributes:
        products: ``sm`` first, then in the order of a report.
        left_out: product -> why it is not compared.
    """

    products: tuple[str, ...]
    left_out: Mapping[str, str]


def choose(joined: pd.DataFrame, products: Sequence[str], minimum_pairs: int, where: str) -> Chosen:
    """Leave out products that would take the pairs from the others.

    ``sm`` is always compared; SMAP comes next and then the products by the number of pairs they have, each
    kept if with it at least half of the stations that had enough pairs before still have them, on days on
    which all that are kept have a value: one product that covers two of a hundred stations is not to make a
    comparison of two. One that equals another before it everywhere, such as WP where no partition has a stack
    of its own, is shown once.

    Args:
        joined: of :func:`join`.
        products: columns of it.
        minimum_pairs: of station and day that a station needs.
        where: both files, for the message.

    Raises:
        DataError: no station has enough pairs of ``sm`` and ``insitu``.
    """
    stations = joined.groupby("station", sort=True).ngroup().to_numpy()
    together = joined[[DOWNSCALED, "insitu"]].notna().all(axis=1).to_numpy()
    pairs = np.bincount(stations, weights=together)
    if pairs.max() < minimum_pairs:
        name = joined["station"].to_numpy()[int((stations == pairs.argmax()).argmax())]
        raise DataError(
            f"{where}: no station has {minimum_pairs} days with {DOWNSCALED} and insitu both present (the "
            f"most is {int(pairs.max())}, station {name}); bring a longer record or lower the minimum"
        )
    known = {
        name: (joined[name].notna() & joined["insitu"].notna()).to_numpy()
        for name in products
        if name != DOWNSCALED
    }
    kept, left_out = {DOWNSCALED}, {}
    for name in sorted(known, key=lambda one: (one != SMAP, -known[one].sum())):
        common = np.bincount(stations, weights=together & known[name])
        before, after = int((pairs >= minimum_pairs).sum()), int((common >= minimum_pairs).sum())
        if not known[name].any():
            left_out[name] = "it has no value on any day of the in-situ table at its stations"
        elif name != SMAP and (twin := _twin(joined, name, products)) is not None:
            left_out[name] = f"it equals {title(twin)} on every day, and is shown once"
        elif after < KEPT_STATIONS * before:
            left_out[name] = (
                f"with it {after:,} of {plural(before, 'station')} would have {minimum_pairs} days on which "
                f"all compared products have a value (the most is {int(common.max())}); validate it by "
                "itself, without the others"
            )
        else:
            kept.add(name)
            together, pairs = together & known[name], common
    return Chosen(tuple(name for name in products if name in kept), left_out)


def _twin(joined: pd.DataFrame, name: str, products: Sequence[str]) -> str | None:
    """The product before one that has the very same values; None where it is alone."""
    before = products[: products.index(name)]
    return next((other for other in before if joined[other].equals(joined[name])), None)


def _read(path: Path, value: str, optional: tuple[str, ...]) -> StationTable:
    table = Table.open(path)
    station = "station" if "station" in table.header else "cell"
    sources = {"station": station, "date": "date", value: value}
    lacking = [name for name, column in sources.items() if column not in table.header]
    if lacking:
        table.problems.append(f"no column {', '.join(lacking)}; it has {', '.join(table.header)}")
    further = set()
    if value == DOWNSCALED:
        further = {name for name in table.header if PRODUCT.fullmatch(name)} - NO_PRODUCTS - {value}
    table.fetch({*sources.values(), *optional, *further, "simulated"}, {station, "date", *TEXTS})
    columns: dict[str, Any] = {}
    if station in table.raw:
        columns["station"] = table.texts("station", [station])
    if "date" in table.raw:
        columns["date"] = table.days("date", "date")
    for name in (value, *optional):
        if name in RANGES:
            columns[name] = _numbers(table, name) if name in table.raw else np.nan
        elif name == "outage":
            columns[name] = _known_marks(table, name)
        else:
            columns[name] = as_text(table.raw[name]) if name in table.raw else None
    if value in table.raw and np.isnan(columns[value]).all():
        table.problems.append(f"{value}: none of {len(table.raw):,} rows has a value; check the export")
    left_out: dict[str, str] = {}
    for name in _in_order(further):
        values, why = _further(table, name)
        if values is not None:
            columns[name] = values
        elif why:
            left_out[name] = why
    rows = pd.DataFrame(columns, index=table.raw.index)
    table.refuse_repeats(rows, "station", np.arange(len(rows)), REPEATS)
    if table.problems:
        raise DataError("\n".join(f"{path}: {problem}" for problem in table.problems))
    simulated = "simulated" in table.raw and bool(table.marks("simulated").any())
    products = tuple(_in_order({name for name in (DOWNSCALED, *further) if name in columns}))
    return StationTable(path, rows, simulated, products, left_out)


def _in_order(products: set[str]) -> list[str]:
    """In the order of a report, unknown ones last."""
    order = {name: place for place, name in enumerate(TITLES)}
    return sorted(products, key=lambda name: (order.get(name, len(order)), name))


def _known_marks(table: Table, name: str) -> pd.Series[bool]:
    """Yes or no, missing where the column or a value of it is."""
    if name not in table.raw:
        return pd.Series(pd.NA, index=table.raw.index, dtype="boolean")
    marks = pd.Series(table.marks(name), index=table.raw.index).astype("boolean")
    return marks.mask(as_text(table.raw[name]).isna())


def _further(table: Table, name: str) -> tuple[Values | None, str]:
    """A product's values; None with the reason, which is empty for a column that only describes its rows."""
    own = Table(table.path, table.header, table.load, table.raw)
    values = own.numbers(name)
    if own.problems:
        given = as_text(table.raw[name]).notna().sum()
        wrong = given - np.isfinite(values).sum()
        return None, "" if wrong > MOSTLY_TEXT * given else own.problems[0].removeprefix(f"{name}: ")
    if not np.isfinite(values).any():
        return None, f"none of {len(values):,} rows has a value"
    fault = _outside(name, values, MOISTURE).removeprefix(f"{name}: ")
    return (None, fault) if fault else (values, "")


def _numbers(table: Table, name: str) -> Values:
    """A column as numbers; those out of its range are a problem."""
    values = table.numbers(name)
    if fault := _outside(name, values, RANGES[name]):
        table.problems.append(fault)
    return values


def _outside(name: str, values: Values, known: Variable) -> str:
    """What is wrong with the range of values; empty where nothing is."""
    outside = (values < known.low) | (values > known.high)
    if not outside.any():
        return ""
    fix = " (divide percent by 100, mm of a 5 cm layer by 50)" if known is MOISTURE else ""
    return (
        f"{name}: {share(outside)} values outside {known.low:g}..{known.high:g} {known.unit} "
        f"({np.nanmin(values):.4g} to {np.nanmax(values):.4g}, the first in row {first(outside) + 1}); "
        f"convert it to {known.unit}{fix} and leave no-data codes empty"
    )
