"""The files of a study's exports, as they lie in a folder: which there are, and a day's predictors in them.

A folder soon holds several months, and several runs of one, whose names differ in a hash only; so what is
missing, or there twice, is told before anything is read. Names, bands and columns are those that
``gee.exports`` writes: a month that was too much for one task is there in stretches, each named after its
first day.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from gee import grids
from gee.catalog import WGS84
from gee.cells import valid_names
from gee.exports import KEY_DIGITS, MONTHLY, SIMULATED, band_name, bands_in
from gee.landcover import FRACTIONS
from gee.partitions import BAND as PARTITION
from pipeline.cubes import mosaics
from pipeline.cubes.mosaics import Mosaic
from pipeline.errors import DataError
from pipeline.tables.reading import Table

HASH = re.compile(rf"-[0-9a-f]{{{KEY_DIGITS}}}")
REGION = "region"
SUFFIXES = dict(zip(MONTHLY, (".tif", ".csv"), strict=True))
DATED = re.compile(r"_(\d{8})$")
EASE_CELL = re.compile(r"(\d{4})-(\d{4})")
UTM_CELL = re.compile(r"u(\d{3})-(\d{3})")
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Land:
    """What does not change, on the fine grid and on the cells.

    Attributes:
        grid: fine grid.
        fine: by band, the static predictors and ``partition`` (0 outside of all); NaN is missing.
        region: whether a pixel lies in the study's region.
        cells: by ``cell``: ``partition``, the static predictors and ``lc``, the class of the largest share.
        simulated: whether the table says so.
    """

    grid: GeoBox
    fine: Mapping[str, Values]
    region: Mask
    cells: pd.DataFrame
    simulated: bool

    def place(self, column: float, row: float) -> tuple[float, float]:
        """Coordinates of a place told in pixels from the grid's upper left corner."""
        side, _, left, _, down, top = grids.crs_transform(self.grid)
        return left + side * column, top + down * row

    def corners(self) -> Values:
        """The cells' corners in the grid's coordinates, shape (cells, 4, 2)."""
        ids = self.cells.index
        ease = [EASE_CELL.fullmatch(cell) for cell in ids]
        utm = [UTM_CELL.fullmatch(cell) for cell in ids]
        if all(ease):
            rows, columns = _numbers(ease)
            lon, lat = grids.ease_edges()
            x, y = _around(lon[columns], lon[columns + 1]), _around_upright(lat[rows + 1], lat[rows])
            x, y = Transformer.from_crs(WGS84, str(self.grid.crs), always_xy=True).transform(x, y)
        elif all(utm):
            rows, columns = _numbers(utm)
            side, _, left, _, down, top = grids.crs_transform(grids.coarse(self.grid))
            x, y = left + side * _around(columns, columns + 1), top + down * _around_upright(rows + 1, rows)
        else:
            strange = next(
                (cell for cell, *both in zip(ids, ease, utm, strict=True) if not any(both)), ids[0]
            )
            raise DataError(f"{strange!r} is no cell of SMAP's grid and none of a UTM grid: export it again.")
        return np.stack([x, y], axis=-1)


@dataclass(frozen=True, eq=False)
class Day:
    """What changes from day to day, of one day.

    Attributes:
        date: the day.
        land: of the same study.
        fine: by dynamic predictor, on the land's grid; NaN is missing.
        cells: by ``cell``, as the land's: the predictors and ``<predictor>_valid`` (0..1).
        simulated: whether a table says so.
    """

    date: dt.date
    land: Land
    fine: Mapping[str, Values]
    cells: pd.DataFrame
    simulated: bool


def read_land(folder: Path) -> Land:
    """Read the static image and table of a study.

    Args:
        folder: with the exported files.

    Raises:
        DataError: a file is missing, there more than once, broken, or lacks a band or column.
    """
    image, table = _files(folder, {"static": ".tif", "cells-static": ".csv"})
    mosaic = mosaics.assemble(image)
    bands = bands_in(mosaic.bands)
    fine = _bands(mosaic, (*bands.static, PARTITION, REGION))
    cells, simulated = _cells(table[0], bands.still, texts=(PARTITION,))
    shares = cells[list(FRACTIONS)].to_numpy()
    cells["lc"] = np.where(np.isnan(shares).any(axis=1), np.nan, np.argmax(shares, axis=1))
    return Land(mosaic.grid, fine, np.nan_to_num(fine[REGION]) > 0, cells, simulated)


def read_day(folder: Path, date: dt.date) -> Day:
    """Read a day's predictors, static ones included.

    Args:
        folder: with the exported files.
        date: the day.

    Raises:
        DataError: a file is missing, there more than once, broken, or lacks a band, a column or the day; or
            the files are of different studies.
    """
    wanted = {"static": ".tif", "cells-static": ".csv"}
    for kind, suffix in SUFFIXES.items():
        wanted[_stretch(folder, kind, suffix, date)] = suffix
    *_, image, table = _files(folder, wanted)
    land = read_land(folder)
    mosaic = mosaics.assemble(image)
    names = bands_in(mosaic.bands).dynamic
    stack = _bands(mosaic, [band_name(band, date) for band in names], date)
    if mosaic.grid != land.grid:
        raise DataError(
            f"{image[0]} does not lie on the grid of the static image: keep the files of one study."
        )
    cells, simulated = _cells(table[0], (*names, *valid_names(names)), date=date)
    if set(cells.index) != set(land.cells.index):
        raise DataError(f"{table[0]} has other cells than the static table: keep the files of one study.")
    fine = {band: stack[band_name(band, date)] for band in names}
    return Day(date, land, fine, cells.loc[land.cells.index], simulated or land.simulated)


def _products(folder: Path, suffix: str) -> dict[str, dict[str, list[Path]]]:
    """The files of a folder by the name of their product and that of their task."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name the one that holds the exported files")
    tables = {path.stem: [path] for path in sorted(folder.glob(f"*{suffix}"))}
    found: dict[str, dict[str, list[Path]]] = defaultdict(dict)
    for task, paths in (mosaics.files(folder) if suffix == ".tif" else tables).items():
        if HASH.fullmatch(task[-KEY_DIGITS - 1 :]):
            found[task[: -KEY_DIGITS - 1]][task] = paths
    return found


def _stretch(folder: Path, kind: str, suffix: str, date: dt.date) -> str:
    """The product that should hold a day: its month, or that part of it which begins last before the day."""
    month = f"{kind}-{date:%Y-%m}"
    held = _products(folder, suffix)
    begun = [name for name in held if name.startswith(f"{month}-") and name <= f"{month}-{date:%d}"]
    return max(begun) if begun and month not in held else month


def _files(folder: Path, wanted: Mapping[str, str]) -> list[list[Path]]:
    """The files of each product, told by the product's name and the suffix."""
    found, mistakes = [], []
    for name, suffix in wanted.items():
        tasks = _products(folder, suffix).get(name, {})
        found += list(tasks.values())[:1]
        if not tasks:
            mistakes.append(f"no {name}-HASH{suffix}")
        elif len(tasks) > 1:
            listed = ", ".join(f"{task}{suffix}" for task in tasks)
            mistakes.append(f"more than one {name} ({listed}); keep that of the run wanted")
    if mistakes:
        there = ", ".join(sorted(file.name for file in folder.glob("*-*.tif"))) or "none"
        raise DataError("\n".join([f"{folder} lacks a whole export:", *mistakes, f"images there: {there}"]))
    return found


def _bands(mosaic: Mosaic, names: Sequence[str], date: dt.date | None = None) -> dict[str, Values]:
    """Bands of an image, NaN where it has no data."""
    path = mosaic.parts[0].path
    days = sorted({dt.date.fromisoformat(day[1]) for name in mosaic.bands if (day := DATED.search(name))})
    if days and date and date not in days:
        raise DataError(f"{path} holds the days {days[0]} to {days[-1]}, not {date}: choose another day")
    if missing := [name for name in names if name not in mosaic.bands]:
        raise DataError(f"{path} has no band {', '.join(missing)}; export it again")
    return dict(zip(names, mosaic.read(names).astype(np.float64), strict=True))


def _cells(
    path: Path, columns: Sequence[str], texts: Sequence[str] = (), date: dt.date | None = None
) -> tuple[pd.DataFrame, bool]:
    """Columns of a table by cell, of one day where it has days; and whether it says that it is simulated."""
    table = Table.open(path)
    keys = ["cell", *texts, *(["date"] if date else [])]
    if missing := [name for name in (*keys, *columns) if name not in table.header]:
        raise DataError(f"{path} has no column {', '.join(missing)}; export it again")
    table.fetch({*keys, *columns, SIMULATED}, {"cell", *texts})
    frame = pd.DataFrame({name: table.numbers(name) for name in columns})
    frame.index = pd.Index(table.texts("cell", ["cell"]), name="cell")
    for name in texts:
        frame[name] = table.raw[name].fillna("").to_numpy()
    simulated = SIMULATED in table.header and bool(table.marks(SIMULATED).any())
    if date:
        frame = frame[(table.days("date", "date") == pd.Timestamp(date)).to_numpy()]
    if table.problems:
        raise DataError("\n".join([f"{path} cannot be used:", *table.problems]))
    if frame.empty:
        raise DataError(f"{path} has no rows of {date}: choose another day")
    if not frame.index.is_unique:
        raise DataError(f"{path} has more than one row of the same cell: export it again")
    return frame, simulated


def _numbers(matches: Sequence[re.Match[str] | None]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows and columns in cells' ids."""
    pairs = np.array([[int(part) for part in match.groups()] for match in matches if match], np.intp)
    return pairs[:, 0], pairs[:, 1]


def _around(low: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
    """Horizontal coordinates of four corners, counter-clockwise from the lower left."""
    return np.stack([low, high, high, low], axis=-1)


def _around_upright(low: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
    """Vertical coordinates of the same corners."""
    return np.stack([low, low, high, high], axis=-1)
