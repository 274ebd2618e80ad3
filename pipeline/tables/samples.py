"""A table of samples, read through a study's column mapping into gee-smap's own names and units.

Whatever is wrong with a table is found here, all of it at once, with the file, the column, the number of
rows and the remedy, because boosted trees train on percent, no-data codes and doubled rows without a word.
Land cover follows Xu et al. 2024 table 2; what counts as water, the study's [preparation] says.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.splits import SampleKeys
from pipeline.columns import EXPORTED, LAND_COVER, SEASON, VARIABLES, Resolver, Values
from pipeline.errors import DataError
from pipeline.study import Study
from pipeline.tables.reading import Mask, Table, as_text, first, share

OUTSIDE = ""  # partition of a row that lies in none
LARGEST = 1e30  # no quantity of the field comes near; float32, which the models use, ends at 3.4e38
FULL_COVER = 1.001  # the four shares add up to 1 at most, but for rounding
HINTS = {
    "lon": "give longitudes in degrees east of Greenwich",
    "lat": "give latitudes in degrees north of the equator",
    "sm": 'declare its unit, such as sm = {{column = "{column}", unit = "mm", layer_mm = 50}} or unit = "%"',
    "lst": 'declare lst = {{column = "{column}", unit = "K"}} if it is in kelvin, or its scale and nodata',
}
HINT = "declare its unit, scale or offset in [samples.columns], or its no-data codes under nodata"


@dataclass(frozen=True)
class SampleTable:
    """Samples ready to learn from or to predict.

    Attributes:
        frame: ``cell`` (text), ``lon``, ``lat`` (degrees), ``date`` (day) and ``partition`` (text) where
            the table has them, the features (float32, NaN = missing), ``sm`` (float32, m³/m³; only when
            read as the target), the carried columns, and ``simulated`` where the table says so.
        features: names of the feature columns, in the order the models see them.
        rows_read: rows of the file, those left out included.
        notes: what was left out or is remarkable, one sentence each, for the user.
    """

    frame: pd.DataFrame
    features: tuple[str, ...]
    rows_read: int
    notes: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Whether any of the samples is marked as simulated."""
        return "simulated" in self.frame and bool(self.frame["simulated"].any())


def feature_names(study: Study) -> list[str]:
    """The feature columns of a study in order; land cover (``lc``) is four of them."""
    return [name for used in study.predictors.use for name in (LAND_COVER if used == "lc" else (used,))]


def feature_units(study: Study) -> dict[str, str]:
    """The unit of each feature, empty where neither gee-smap nor the study says."""
    resolver = Resolver(study.samples.columns, frozenset())
    return {name: resolver.unit(name) for name in feature_names(study)}


def sample_keys(table: pd.DataFrame) -> SampleKeys:
    """Where and when each row of a canonical table lies, for the splits."""
    codes, _ = pd.factorize(table["cell"], sort=True)
    days = table["date"].to_numpy("datetime64[D]").astype(np.int64) if "date" in table else None
    return SampleKeys(
        cell=codes.astype(np.intp),
        lon=table["lon"].to_numpy(np.float64),
        lat=table["lat"].to_numpy(np.float64),
        day=days,
        partition=table["partition"].to_numpy(np.str_) if "partition" in table else None,
    )


def share_of_class(lc: NDArray[np.floating[Any]], name: str) -> Values:
    """One of ``LAND_COVER`` from classes: 1 where they are its own, 0 where another, NaN where unknown."""
    return np.where(np.isnan(lc), np.nan, lc == LAND_COVER.index(name) + 1)


def read_samples(path: Path | str, study: Study, *, target: bool) -> SampleTable:
    """Read a table of samples.

    Args:
        path: Parquet or CSV, by suffix. Columns that neither gee-smap nor the study names are not read.
        study: names the predictors and maps foreign columns, units and codes.
        target: whether to read ``sm`` too, and leave out the rows without it.

    Returns:
        The samples in the file's order; rows that are water are left out and counted.

    Raises:
        DataError: the file cannot be read or the table cannot be used; everything found is listed.
    """
    reader = _Reader(Table.open(Path(path)), study, target)
    samples = reader.read()
    if found := list(dict.fromkeys(reader.table.problems)):
        head = f"{path}: {len(found)} problem{'s' if len(found) > 1 else ''} in the table"
        if reader.lacking:
            found.append(f"the columns of the table are {', '.join(reader.table.header)}")
        raise DataError("\n".join([head, *(f"{path}: {problem}" for problem in found)]))
    return samples


class _Reader:
    """Turns one table into samples, collecting on the way what is wrong and what is remarkable."""

    def __init__(self, table: Table, study: Study, target: bool) -> None:
        self.table, self.target = table, target
        self.problems = table.problems
        self.notes: list[str] = []
        self.lacking = False
        self.carried: dict[str, str] = {}  # name -> column of the table taken as it is
        self.mapped = study.samples.columns
        self.keep = study.samples.keep
        self.preparation = study.preparation
        self.resolver = Resolver(self.mapped, frozenset(table.header))
        self.features = feature_names(study)
        self.classes = "lc" in study.predictors.use and study.predictors.land_cover == "one-hot"
        self.id = next((name for name in ("cell", "station") if self._known(name)), "cell")
        self.seasonal = [
            name for name in self.features if name in ("doy", *SEASON) and not self._has_season(name)
        ]
        self.text_names = [name for name in (self.id, "date", "partition") if self._known(name)]

    def read(self) -> SampleTable:
        """Read everything; what comes back is whole only if there are no problems."""
        numeric = self._fetch()
        values = {name: self.resolver.numbers(name, self.table.numbers) for name in numeric}
        keys = self._keys(values)
        if "date" in keys and keys["date"].notna().any():
            doy = keys["date"].dt.day_of_year.to_numpy(np.float64, na_value=np.nan)
            dated = Resolver({}, frozenset({"doy"}))
            for name in self.seasonal:
                values[name] = dated.numbers(name, lambda _: doy)
        water = self._land_cover(values)
        outside = np.zeros_like(water)
        if self.target and "partition" in keys:
            outside = keys["partition"].eq(OUTSIDE).fillna(False).to_numpy(np.bool_)
        rows = self._rows(water, outside, values.get("sm"))
        values = {name: column[rows] for name, column in values.items()}
        if len(rows):
            self._check(values, rows)
        columns: dict[str, Any] = {name: column.iloc[rows].array for name, column in keys.items()}
        with np.errstate(over="ignore"):  # values too large are among the problems
            for name in (*self.features, "sm"):
                if name in values:
                    columns[name] = values[name].astype(np.float32)
        for name in self.keep:
            if name in values:
                columns.setdefault(name, values[name])
        for name, column in self.carried.items():
            columns[name] = self.table.raw[column].iloc[rows].array
        if "simulated" in self.table.header:
            columns["simulated"] = self.table.marks("simulated")[rows]
        frame = pd.DataFrame(columns)
        # A cell-day's copy would be tested on what was trained.
        remedy = "keep one row of each, or map the id that tells them apart"
        self.table.refuse_repeats(frame, "cell", rows, (self.id, "a cell-day", remedy))
        return SampleTable(frame, tuple(self.features), len(water), tuple(self.notes))

    def _has_season(self, name: str) -> bool:
        """Whether the table has a day of the year, or its place on the circle; else the date tells it."""
        return self._known(name) or (name in SEASON and self._known("doy"))

    def _known(self, name: str) -> bool:
        return name in self.mapped or name in self.table.header

    def _fetch(self) -> list[str]:
        """Read the columns that are needed and there; returns the names that can be had as numbers."""
        needed = ["lon", "lat"]
        needed += [name for name in self.features if not (self.classes and name in LAND_COVER)]
        needed += ["lc"] if self.classes else []
        needed += ["sm"] if self.target else []
        for name in self.seasonal:
            needed.remove(name)
            if not self._known("date"):
                self.problems.append(
                    f"{name}: there is no date to take it from; map date, or leave {name} out of use"
                )
        found = []
        for name in (*needed, *self.text_names):
            if self.resolver.entry(name):
                found.append(name)
            elif name == "partition" and not self.target:
                self.notes.append("The table has no partitions.")
            else:
                self._lack(name)
        for name in self.keep:
            entry = self.resolver.entry(name)
            if entry is None:
                if not self.target:  # training carries nothing on
                    self.notes.append(f"{name} is not in the table and is not carried along.")
            elif entry.plain and entry.column and name not in needed:
                self.carried[name] = entry.column
            else:
                found.append(name)
        texts = {column for name in self.text_names for column in self.resolver.foreign(name)}
        if "simulated" in self.table.header:
            self.carried["simulated"] = "simulated"
        columns = {column for name in found for column in self.resolver.foreign(name)}
        self.table.fetch(columns.union(self.carried.values()), texts)
        return [name for name in dict.fromkeys(found) if name not in self.text_names]

    def _lack(self, name: str) -> None:
        """Say that a name cannot be read, and how to map it."""
        self.lacking = True
        missing = self.resolver.missing(name)
        lower = {column.lower(): column for column in self.table.header}
        near = [difflib.get_close_matches(column.lower(), lower, n=1, cutoff=0.75) for column in missing]
        likely = [lower[match] for matches in near for match in matches]
        if name in self.mapped:
            meant = f" (did you mean {', '.join(likely)}?)" if likely else ""
            problem = (
                f"{name}: its mapping needs {', '.join(missing)}, not in the table{meant}; correct {name}"
            )
        else:
            example = likely[0] if likely else "NAME"
            problem = f'{name}: no column of this name; map it: {name} = "{example}"'
        problem += " in [samples.columns]"
        if name in LAND_COVER:
            problem += ', or set predictors.land_cover = "one-hot" for a table with classes in lc'
        elif name == "lc":
            problem += ', or set predictors.land_cover = "fractions" for a table with LC_1..LC_4'
        elif name in EXPORTED:
            problem += ', or set predictors.set = "paper", which does without it'
        elif name in self.features:
            problem += ", or leave it out of predictors.use"
        self.problems.append(problem)

    def _keys(self, values: dict[str, Values]) -> dict[str, Any]:
        """The cell, place, day and partition of each row, as far as the table has them."""
        places: dict[str, Any] = {name: pd.Series(values[name]) for name in ("lon", "lat") if name in values}
        keys: dict[str, Any] = {}
        if self.id in self.text_names:
            keys |= self._text(self.id, "cell")
        elif len(places) == 2:
            keys["cell"] = as_text(places["lon"]) + "," + as_text(places["lat"])
            count = keys["cell"].nunique()
            self.notes.append(f"No cell ids: each of the {count:,} distinct places (lon, lat) is a cell.")
        keys |= places
        if "date" not in self.text_names:
            self.notes.append("No dates: doubled cell-days go unnoticed, and splits by time cannot be made.")
        elif entry := self.resolver.entry("date"):
            keys["date"] = self.table.days("date", entry.column or "date")
        return keys | self._text("partition", "partition", empty=True)

    def _text(self, name: str, ours: str, *, empty: bool = False) -> dict[str, Any]:
        entry = self.resolver.entry(name)
        if entry is None:
            return {}
        return {ours: self.table.texts(name, list(entry.columns or (entry.column or name,)), empty=empty)}

    def _land_cover(self, values: dict[str, Values]) -> Mask:
        """Complete the land-cover features; returns which rows are water."""
        if self.classes and "lc" in values:
            classes = values.pop("lc")
            bad = ~np.isnan(classes) & ~np.isin(classes, range(5))
            if bad.any():
                self.problems.append(
                    f"lc: {share(bad)} values are no class, the first {classes[bad][0]:g} in row "
                    f"{first(bad) + 1}; allowed: 0 water, 1 forest, 2 grassland, 3 cropland, 4 urban"
                )
            values |= {name: share_of_class(classes, name) for name in LAND_COVER}
            return np.asarray(classes == 0)
        if not all(name in values for name in LAND_COVER):
            return np.zeros(len(self.table.raw), dtype=np.bool_)
        with np.errstate(over="ignore"):
            cover = np.sum([values[name] for name in LAND_COVER], axis=0)
        bad = cover > FULL_COVER
        if bad.any():
            self.problems.append(
                f"LC_1..LC_4: they add up to more than 1 in {share(bad)} rows, the first row "
                f"{first(bad) + 1} ({cover[bad][0]:.4g}); give shares of the cell, 0..1"
            )
        water = 1 - cover
        if self.preparation.water == "majority":
            return np.asarray(water >= np.max([values[name] for name in LAND_COVER], axis=0))
        return np.asarray(water >= self.preparation.water_limit)

    def _rows(self, water: Mask, outside: Mask, target: Values | None) -> NDArray[np.intp]:
        """The rows that stay: land, and where a target is read with one and within a partition."""
        outside = outside & ~water
        unknown = np.zeros_like(water) if target is None else np.isnan(target) & ~water & ~outside
        reasons = (
            (water, "land cover is water"),
            (outside, "they lie in no partition"),
            (unknown, "no target (sm)"),
        )
        for out, reason in reasons:
            if out.any():
                self.notes.append(f"{share(out)} rows left out: {reason}.")
        rows = np.flatnonzero(~water & ~outside & ~unknown)
        if len(rows) == 0:
            self.problems.append(
                f"none of {len(water):,} rows can be used: {water.sum():,} are water, {outside.sum():,} lie "
                f"in no partition, {unknown.sum():,} have no target (sm); check these columns and their "
                "no-data codes"
            )
        return rows

    def _check(self, values: dict[str, Values], rows: NDArray[np.intp]) -> None:
        """Find values no sensor gives, and columns that say nothing; ``rows`` are positions in the file."""
        for name in ("lon", "lat", "sm", *self.features):
            if name not in values:
                continue
            column = values[name]
            sources = sorted(self.resolver.foreign(name))
            shown = name if sources in ([], [name]) else f"{name} (from {', '.join(sources)})"
            missing, absurd = np.isnan(column), np.abs(column) > LARGEST
            if missing.all():
                self.problems.append(
                    f"{shown}: all {len(rows):,} rows are missing; correct its mapping, or leave it out"
                )
                continue
            if name in ("lon", "lat") and missing.any():
                self.problems.append(
                    f"{shown}: missing in {share(missing)} rows, the first row {rows[first(missing)] + 1}; "
                    "fill it in or leave these rows out"
                )
            if absurd.any():
                self.problems.append(
                    f"{shown}: {share(absurd)} values are infinite or beyond ±{LARGEST:g}, the first "
                    f"{column[absurd][0]:.4g} in row {rows[first(absurd)] + 1}; leave the column out, or "
                    "list its no-data codes under nodata"
                )
                continue
            if name in VARIABLES:
                self._check_range(name, shown, sources, column, rows)
            if self.target and name in self.features and (column == column[0]).all():
                self.notes.append(f"{name} is {column[0]:g} in every row: the models learn nothing from it.")

    def _check_range(
        self, name: str, shown: str, sources: list[str], column: Values, rows: NDArray[np.intp]
    ) -> None:
        variable = VARIABLES[name]
        outside = (column < variable.low) | (column > variable.high)
        if outside.any():
            unit = "" if variable.unit == "1" else f" {variable.unit}"
            hint = HINTS.get(name, HINT).format(column=sources[0] if sources else name)
            self.problems.append(
                f"{shown}: {share(outside)} values outside {variable.low:g}..{variable.high:g}{unit} "
                f"({np.nanmin(column):.4g} to {np.nanmax(column):.4g}, the first in row "
                f"{rows[first(outside)] + 1}); {hint}"
            )
