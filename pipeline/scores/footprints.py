"""The 9 km cells on the pixels of a map: which share of each pixel lies in which cell, and SMAP in each cell.

A map is only consistent with the SMAP it was made from if its mean over a cell is that cell's value; so the
mean must be over the land that the value speaks for, an EASE-Grid 2.0 cell, whose edges cut through pixels.
Sources: Brodzik et al. 2012 (EASE-Grid 2.0); Xu et al. 2024 section 3.3 for cells of 9 by 9 pixels.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.sparse import csr_matrix

from gee.grids import EASE9, NEST_METRES, WGS84
from gee.target import MOISTURE, OUTAGE
from pipeline.errors import DataError

QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # down and right of the upper left cell that a pixel lies in
EASE_ID, UTM_ID = re.compile(r"(\d{4})-(\d{4})"), re.compile(r"u(\d{3})-(\d{3})")
Values = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Footprints:
    """Cells as shares of pixels.

    Attributes:
        names: ids of the cells.
        shares: (cells, pixels of the flattened grid), share of each pixel that lies in each cell.
        area: of a whole cell, pixels.
        under: (pixels,), number of the cell that has most of each pixel; -1 where there is none.
    """

    names: tuple[str, ...]
    shares: csr_matrix
    area: float
    under: Labels

    @classmethod
    def of(cls, names: Sequence[str], grid: GeoBox) -> Footprints:
        """Cells by their ids: ``row-column`` of the 9 km EASE-Grid 2.0, or ``urow-column`` of 9 km in UTM.

        Args:
            names: different from each other.
            grid: of the pixels.

        Raises:
            DataError: ids are of no kind that has a place on the grid.
        """
        for pattern, lay in ((EASE_ID, _ease), (UTM_ID, _utm)):
            matched = [pattern.fullmatch(name) for name in names]
            if names and all(matched):
                wanted = [(int(one[1]), int(one[2])) for one in matched if one]
                return cls._laid(tuple(names), wanted, *lay(grid))
        raise DataError(
            f"the ids of the cells ({', '.join(names[:3]) or 'none'}) do not tell where they lie: sample "
            "again with gee-smap export"
        )

    @classmethod
    def _laid(
        cls,
        names: tuple[str, ...],
        wanted: list[tuple[int, int]],
        corner: tuple[Labels, Labels],
        quarters: Values,
        area: float,
    ) -> Footprints:
        """From each pixel's upper left cell, and the pixel's shares in it and those right of and below it."""
        number = {place: position for position, place in enumerate(wanted)}
        rows, columns = corner
        under = np.full(rows.size, -1, np.intp)
        cells, pixels, shares = [], [], []
        greatest = quarters.argmax(axis=0)
        for quarter, (down, right) in enumerate(QUARTERS):
            places = zip((rows + down).tolist(), (columns + right).tolist(), strict=True)
            found = np.array([number.get(place, -1) for place in places], np.intp)
            share = quarters[quarter]
            kept = np.flatnonzero((found >= 0) & (share > 0))
            cells.append(found[kept])
            pixels.append(kept)
            shares.append(share[kept])
            here = greatest == quarter
            under[here] = found[here]
        matrix = csr_matrix(
            (np.concatenate(shares), (np.concatenate(cells), np.concatenate(pixels))),
            shape=(len(names), rows.size),
        )
        return cls(names, matrix, area, under)

    def means(self, values: NDArray[np.floating[Any]]) -> tuple[Values, Values, Values]:
        """Mean and variance over each cell, weighted by area.

        Args:
            values: (days, pixels), NaN where missing.

        Returns:
            Mean; variance within the cell (divided by the area, not by one less); valid share of the whole
            cell, 0 to 1. All (days, cells), the first two NaN where nothing is valid.
        """
        known = np.isfinite(values)
        filled = np.where(known, values, 0).astype(np.float64)
        weight = np.asarray((self.shares @ known.T.astype(np.float64)).T)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(weight > 0, np.asarray((self.shares @ filled.T).T) / weight, np.nan)
            square = np.asarray((self.shares @ (filled * filled).T).T) / weight
            variance = np.where(weight > 0, np.maximum(square - mean**2, 0), np.nan)
        return mean, variance, np.minimum(weight / self.area, 1.0)

    def partitions(self, codes: NDArray[np.integer[Any]]) -> Labels:
        """The partition that has the largest share of each cell; 0 where none has any.

        Args:
            codes: (pixels,), 0 is none.
        """
        kinds = np.unique(codes[codes > 0])
        if not kinds.size:
            return np.zeros(len(self.names), np.intp)
        held = np.stack([np.asarray(self.shares @ (codes == kind).astype(np.float64)) for kind in kinds])
        return np.asarray(np.where(held.max(axis=0) > 0, kinds[held.argmax(axis=0)], 0), np.intp)


def _ease(grid: GeoBox) -> tuple[tuple[Labels, Labels], Values, float]:
    """Shares in EASE cells, from each pixel's outline in units of cells, where areas are true."""
    height, width = grid.shape
    box = grid.boundingbox
    x, y = np.meshgrid(
        box.left + grid.resolution.x * np.arange(width + 1),
        box.top + grid.resolution.y * np.arange(height + 1),
    )
    lon, _ = Transformer.from_crs(str(grid.crs), WGS84, always_xy=True).transform(x, y)
    _, north = Transformer.from_crs(str(grid.crs), EASE9.crs, always_xy=True).transform(x, y)
    across = (np.asarray(lon) + 180) * EASE9.columns / 360
    down = (EASE9.top - np.asarray(north)) / EASE9.metres
    # Along the outline of each pixel, so that its polygon does not cross itself.
    corners = np.stack(
        [
            np.stack([of[:-1, :-1], of[:-1, 1:], of[1:, 1:], of[1:, :-1]], axis=-1).reshape(-1, 4)
            for of in (across, down)
        ],
        axis=-1,
    )
    first, last = np.floor(corners.min(axis=1)), np.floor(corners.max(axis=1))
    quarters = np.zeros((4, len(corners)))
    quarters[0] = 1
    cut = np.flatnonzero((first != last).any(axis=1))
    outlines = shapely.polygons(corners[cut])
    whole = shapely.area(outlines)
    for number, (below, right) in enumerate(QUARTERS):
        left, top = first[cut, 0] + right, first[cut, 1] + below
        cells = shapely.box(left, top, left + 1, top + 1)
        quarters[number, cut] = shapely.area(shapely.intersection(outlines, cells)) / whole
    rows, columns = (first[:, axis].astype(np.intp) for axis in (1, 0))
    return (rows, columns), quarters, (EASE9.metres / abs(grid.resolution.x)) ** 2


def _utm(grid: GeoBox) -> tuple[tuple[Labels, Labels], Values, float]:
    """Whole pixels in cells of the coarse grid."""
    factor = round(NEST_METRES / abs(grid.resolution.x))
    rows, columns = (index.ravel() // factor for index in np.indices(tuple(grid.shape)))
    quarters = np.zeros((4, rows.size))
    quarters[0] = 1
    return (rows, columns), quarters, float(factor**2)


@dataclass(frozen=True, eq=False)
class CellSeries:
    """SMAP on its cells.

    Attributes:
        names: ids of the cells.
        sm: (days, cells), m³/m³, NaN where there is none.
        outage: (days,), whether SMAP's radiometer was off.
        simulated: whether the table says so.
    """

    names: tuple[str, ...]
    sm: Values
    outage: NDArray[np.bool_]
    simulated: bool


def read_cells(path: Path, days: Sequence[dt.date]) -> CellSeries:
    """Read SMAP's values at its cells.

    Args:
        path: Parquet with ``cell``, ``date`` and ``sm``, a row for each cell and day.
        days: wanted.

    Raises:
        DataError: the table is missing, broken, or has none of the days, or a cell twice on one of them.
    """
    wanted = ("cell", "date", MOISTURE)
    try:
        file = pq.ParquetFile(path)
        there = set(file.schema_arrow.names)
        if lacking := [name for name in wanted if name not in there]:
            raise DataError(f"{path}: no column {', '.join(lacking)}; gee-smap run makes it again")
        table = file.read(columns=[*wanted, *({OUTAGE, "simulated"} & there)]).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read ({error}): remove it, and gee-smap run makes it again"
        ) from error
    index = pd.DatetimeIndex(list(days))
    table["date"] = pd.to_datetime(table["date"]).dt.normalize()
    table = table[table["date"].isin(index)]
    if table.duplicated(["cell", "date"]).any():
        raise DataError(f"{path}: a cell has several rows on one day: sample again")
    matrix = table.set_index(["date", "cell"])[MOISTURE].unstack("cell").reindex(index)  # noqa: PD010  (no means)
    if matrix.empty or not matrix.notna().to_numpy().any():
        raise DataError(f"{path}: no cell has soil moisture on {days[0]} to {days[-1]}: sample again")
    off = pd.Series(False, index)
    if OUTAGE in table:
        off = (table.groupby("date")[OUTAGE].max() > 0).reindex(index, fill_value=False)
    told = bool(table["simulated"].any()) if "simulated" in table else False
    names = tuple(str(name) for name in matrix.columns)
    return CellSeries(names, matrix.to_numpy(np.float64), off.to_numpy(bool), told)
