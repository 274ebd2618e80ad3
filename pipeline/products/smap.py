"""SMAP itself at stations: the nearest cell's value, and the one between four cells' centres.

Downscaling has to be better than the coarse product that everybody has, and than the cheapest way to make
it look fine. Both are read from the samples, the very numbers that the models were trained on. The cells
stand in rows and columns of EASE-Grid 2.0 (Brodzik et al. 2012), or of the fine grid's own system where a
study asks for the paper's cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import Transformer

from gee import grids
from gee.catalog import WGS84
from pipeline.errors import DataError
from pipeline.products.product import Days, Values

SMAP_KM = 9.0  # within which a cell's centre stands for the station; half a cell's diagonal is 6.4
EARTH_KM = 6371.0
SAME_STRIP = 0.05  # of a cell's side: centres of a row agree to the digits of a table
APART = 0.5  # of a cell's side: what stands closer is no row of its own
REACH = 2.5  # cells between two rows that are interpolated: of EASE, Earth Engine's raster lacks single ones
Floats = NDArray[np.float64]
Cells = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Smap:
    """SMAP at stations, (days, stations), m³/m³, NaN where there is none.

    Attributes:
        nearest: of the cell whose centre is nearest, where one is within 9 km.
        bilinear: interpolated between the centres of the cells around, None where these stand in no rows
            and columns.
    """

    nearest: Values
    bilinear: Values | None


def smap_at(samples: Path, crs: str, places: pd.DataFrame, days: Days) -> Smap:
    """SMAP's values at places.

    The bilinear value is missing where the nearest cell's is. Of the four cells around a place those without
    a value that day count nothing, and the weights of the others are divided by their sum; a row or column
    that the samples lack is bridged by the next one, and beyond the outermost row its own value holds on.

    Args:
        samples: the table of cells and days.
        crs: of the fine grid.
        places: ``lon``, ``lat`` (degrees).
        days: wanted.

    Raises:
        DataError: the samples are not there or cannot be read.
    """
    try:
        table = pd.read_parquet(samples, columns=["cell", "lon", "lat", "date", "sm"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{samples} cannot be read ({error}): gee-smap export makes it") from error
    cells = table.drop_duplicates("cell")
    values = _by_day(table, pd.Index(cells["cell"]), days)
    lon, lat = cells["lon"].to_numpy(np.float64), cells["lat"].to_numpy(np.float64)
    km = _distances(places, lon, lat)
    near = km.min(axis=1) <= SMAP_KM
    nearest = np.where(near, values[:, km.argmin(axis=1)], np.nan)
    systems = (grids.EASE9.crs, grids.EASE9.metres), (crs, float(grids.NEST_METRES))
    lattices = [one for one in (Lattice.of(*system, lon, lat) for system in systems) if one is not None]
    if not lattices:
        return Smap(nearest, None)
    straightest = min(lattices, key=lambda one: one.spread)
    return Smap(nearest, _interpolated(straightest, places, values, nearest))


def _by_day(table: pd.DataFrame, cells: pd.Index, days: Days) -> Values:
    """(days, cells)."""
    found = np.full((len(days), len(cells)), np.nan)
    at = pd.Index(np.array(days, "datetime64[ns]")).get_indexer(pd.to_datetime(table["date"]))
    rows = at >= 0
    found[at[rows], cells.get_indexer(table["cell"][rows])] = table["sm"][rows]
    return found


def _distances(places: pd.DataFrame, lon: Floats, lat: Floats) -> Floats:
    """Kilometres, (places, cells)."""
    across = np.radians(lon - places["lon"].to_numpy()[:, None])
    across *= np.cos(np.radians(places["lat"].to_numpy()))[:, None]
    up = np.radians(lat - places["lat"].to_numpy()[:, None])
    return np.asarray(EARTH_KM * np.hypot(across, up))


@dataclass(frozen=True, eq=False)
class Lattice:
    """Cells in rows and columns.

    Attributes:
        crs: in which they are.
        side: of a cell, metres.
        rows: where their centres lie, northward, in sides of a cell.
        columns: the same, eastward.
        cell: (rows, columns) number of each cell, -1 where there is none.
        spread: how far cells stand from their row or column at most, in sides of a cell: rows of another
            system are almost straight in a small region.
    """

    crs: str
    side: float
    rows: Floats
    columns: Floats
    cell: Cells
    spread: float

    @classmethod
    def of(cls, crs: str, side: float, lon: Floats, lat: Floats) -> Lattice | None:
        """The rows and columns of cells; None where they are in none in this system."""
        x, y = Transformer.from_crs(WGS84, crs, always_xy=True).transform(lon, lat)
        across, up = np.asarray(x) / side, np.asarray(y) / side
        (columns, column), (rows, row) = _strips(across), _strips(up)
        if any(np.any(np.diff(strips) < APART) for strips in (columns, rows)):
            return None
        cell = np.full((len(rows), len(columns)), -1, np.intp)
        cell[row, column] = np.arange(len(lon))
        spread = max(float(np.abs(across - columns[column]).max()), float(np.abs(up - rows[row]).max()))
        return cls(crs, side, rows, columns, cell, spread)

    def corners(self, lon: Floats, lat: Floats) -> tuple[Cells, Floats]:
        """The four cells around places, -1 where there is none, and their weights, both (places, 4)."""
        x, y = Transformer.from_crs(WGS84, self.crs, always_xy=True).transform(lon, lat)
        columns, across = _between(self.columns, np.asarray(x) / self.side)
        rows, up = _between(self.rows, np.asarray(y) / self.side)
        cells = self.cell[rows[:, :, None], columns[:, None, :]]
        weights = up[:, :, None] * across[:, None, :]
        return cells.reshape(-1, 4), weights.reshape(-1, 4)


def _strips(at: Floats) -> tuple[Floats, Cells]:
    """The distinct places along an axis, growing, and which of them each cell stands at."""
    order = np.argsort(at)
    number = np.empty(len(at), np.intp)
    number[order] = np.concatenate([[0], np.cumsum(np.diff(at[order]) > SAME_STRIP)])
    return np.bincount(number, at) / np.bincount(number), number


def _between(strips: Floats, at: Floats) -> tuple[Cells, Floats]:
    """The strips on both sides of places and their weights, both (places, 2)."""
    after = np.searchsorted(strips, at).clip(1, max(len(strips) - 1, 1))
    pair = np.stack([after - 1, np.minimum(after, len(strips) - 1)], axis=1)
    low, high = strips[pair[:, 0]], strips[pair[:, 1]]
    gap = high - low
    share = np.clip((at - low) / np.where(gap > 0, gap, 1), 0, 1)
    share = np.where(gap > REACH, np.round(share), share)
    return pair, np.stack([1 - share, share], axis=1)


def _interpolated(lattice: Lattice, places: pd.DataFrame, values: Values, nearest: Values) -> Values:
    cells, weights = lattice.corners(places["lon"].to_numpy(np.float64), places["lat"].to_numpy(np.float64))
    around = np.where(cells >= 0, values[:, cells], np.nan)
    weighed = np.where(np.isnan(around), 0, weights)
    total = weighed.sum(axis=-1)
    mean = np.nansum(weighed * around, axis=-1) / np.where(total > 0, total, 1)
    return np.where(np.isnan(nearest), np.nan, np.where(total > 0, mean, nearest))
