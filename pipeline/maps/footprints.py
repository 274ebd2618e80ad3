"""The 9 km cells on the pixels of a map: which share of each pixel lies in which cell, and SMAP in each cell.

A map is only consistent with the SMAP it was made from if its mean over a cell is that cell's value; so the
mean must be over the land that the value speaks for, an EASE-Grid 2.0 cell, whose edges cut through pixels.
Sources: Brodzik et al. 2012 (EASE-Grid 2.0); Xu et al. 2024 section 3.3 for cells of 9 by 9 pixels.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.sparse import csr_matrix

from gee.catalog import WGS84
from gee.grids import EASE9, NEST_METRES
from gee.target import MOISTURE, OUTAGE
from models.conserving import Lattice
from pipeline.errors import DataError

QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # down and right of the upper left cell that a pixel lies in
STRIP = 2**17  # pixels whose outlines are held at a time
EASE_ID, UTM_ID = re.compile(r"(\d{4})-(\d{4})"), re.compile(r"u(\d{3})-(\d{3})")
Values = NDArray[np.float64]
Labels = NDArray[np.intp]


class _Laid(NamedTuple):
    """Where pixels lie among cells.

    Attributes:
        corner: (2, pixels), row and column of the upper left cell that each pixel lies in.
        quarters: (4, pixels), its shares in that cell and those of ``QUARTERS``.
        centre: (2, pixels), row and column of its centre, with fractions.
    """

    corner: Labels
    quarters: Values
    centre: Values


class _Pieces(NamedTuple):
    """Pixels, cut where cells end.

    Attributes:
        place: (pieces, 2), row and column of the cell that each lies in.
        pixel: of each.
        share: of the pixel.
        most: whether no other piece of the pixel is larger; true of one of each pixel.
        centre: (2, pixels), as of ``_Laid``.
    """

    place: Labels
    pixel: Labels
    share: Values
    most: NDArray[np.bool_]
    centre: Values


@dataclass(frozen=True)
class Kind:
    """A way to cut the land into cells.

    Attributes:
        pattern: of their ids, with row and column.
        form: of their ids.
        lay: lays pixels among them, given the grid and which of its rows.
        side: of a cell, metres.
    """

    pattern: re.Pattern[str]
    form: str
    lay: Callable[[GeoBox, slice], _Laid]
    side: float

    @classmethod
    def of(cls, names: Sequence[str]) -> Kind:
        """The kind of cells that have these ids.

        Raises:
            DataError: ids are of no kind that has a place on the grid.
        """
        for kind in (EASE, UTM):
            if names and all(kind.pattern.fullmatch(name) for name in names):
                return kind
        raise DataError(
            f"the ids of the cells ({', '.join(names[:3]) or 'none'}) do not tell where they lie: sample "
            "again with gee-smap export"
        )

    def places(self, names: Sequence[str]) -> Labels:
        """(cells, 2), row and column of each."""
        found = [self.pattern.fullmatch(name) for name in names]
        return np.array([(int(one[1]), int(one[2])) for one in found if one], np.intp).reshape(-1, 2)

    def pieces(self, grid: GeoBox) -> _Pieces:
        """Cut the pixels of a grid into the parts that lie in one cell each."""
        height, width = grid.shape
        rows = max(1, STRIP // width)
        centre = np.empty((2, height * width))
        found: list[tuple[Labels, Labels, Values, NDArray[np.bool_]]] = []
        for top in range(0, height, rows):
            laid = self.lay(grid, slice(top, min(top + rows, height)))
            first = top * width
            centre[:, first : first + laid.centre.shape[1]] = laid.centre
            greatest = laid.quarters.argmax(axis=0)
            for number, (quarter, share) in enumerate(zip(QUARTERS, laid.quarters, strict=True)):
                kept = np.flatnonzero(share > 0)
                place = laid.corner[:, kept].T + np.array(quarter)
                found.append((place, first + kept, share[kept], greatest[kept] == number))
        place, pixel, share, most = (np.concatenate(one) for one in zip(*found, strict=True))
        return _Pieces(place, pixel, share, most, centre)


@dataclass(frozen=True, eq=False)
class Footprints:
    """Cells as shares of pixels.

    Attributes:
        names: ids of the cells.
        places: (cells, 2), row and column of each on the lattice of all cells.
        shares: (cells, pixels of the flattened grid), share of each pixel that lies in each cell.
        area: of a whole cell, pixels.
        under: (pixels,), number of the cell that has most of each pixel; -1 where there is none.
        centre: (2, pixels), row and column of each pixel's centre on the lattice; that of a cell is at its
            own and a half.
    """

    names: tuple[str, ...]
    places: Labels
    shares: csr_matrix
    area: float
    under: Labels
    centre: Values

    @classmethod
    def of(cls, names: Sequence[str], grid: GeoBox) -> Footprints:
        """Cells by their ids: ``row-column`` of the 9 km EASE-Grid 2.0, or ``urow-column`` of 9 km in UTM.

        Args:
            names: different from each other.
            grid: of the pixels.

        Raises:
            DataError: ids are of no kind that has a place on the grid.
        """
        kind = Kind.of(names)
        return cls._of(kind, tuple(names), kind.places(names), kind.pieces(grid), grid)

    @classmethod
    def covering(cls, kind: Kind, grid: GeoBox, mask: NDArray[np.bool_]) -> Footprints:
        """Every cell that some pixel of a mask lies in, by rows.

        Args:
            kind: of the cells.
            grid: of the pixels.
            mask: (pixels of the flattened grid,), at least one of them.
        """
        pieces = kind.pieces(grid)
        inside = pieces.place[mask[pieces.pixel]]
        span = int(inside[:, 1].max()) + 1
        places = np.stack(np.divmod(np.unique(inside[:, 0] * span + inside[:, 1]), span), axis=1)
        return cls._of(kind, tuple(kind.form.format(*place) for place in places), places, pieces, grid)

    @classmethod
    def _of(
        cls, kind: Kind, names: tuple[str, ...], places: Labels, pieces: _Pieces, grid: GeoBox
    ) -> Footprints:
        size = grid.shape[0] * grid.shape[1]
        cell = Lattice(places).numbers(*pieces.place.T)
        kept = cell >= 0
        matrix = csr_matrix((pieces.share[kept], (cell[kept], pieces.pixel[kept])), shape=(len(names), size))
        under = np.full(size, -1, np.intp)
        under[pieces.pixel[pieces.most]] = cell[pieces.most]
        return cls(names, places, matrix, (kind.side / abs(grid.resolution.x)) ** 2, under, pieces.centre)

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


def _ease(grid: GeoBox, rows: slice) -> _Laid:
    """Shares in EASE cells, from each pixel's outline in units of cells, where areas are true."""
    width, box = grid.shape[1], grid.boundingbox
    x, y = np.meshgrid(
        box.left + grid.resolution.x * np.arange(width + 1),
        box.top + grid.resolution.y * np.arange(rows.start, rows.stop + 1),
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
    first = np.floor(corners.min(axis=1))
    cut = np.flatnonzero((np.floor(corners.max(axis=1)) > first).any(axis=1))
    within = corners[cut] - first[cut, None]
    whole, right, below, both = (_beyond(within, *edge) for edge in ((0, 0), (1, 0), (0, 1), (1, 1)))
    quarters = np.zeros((4, len(corners)))
    quarters[1:, cut] = np.maximum([right - both, below - both, both], 0) / whole
    quarters[0] = np.maximum(1 - quarters.sum(axis=0), 0)
    return _Laid(first[:, ::-1].T.astype(np.intp), quarters, corners.mean(axis=1)[:, ::-1].T)


def _beyond(outlines: Values, left: float, top: float) -> Values:
    """Area of the part of each outline that lies right of and below a point, by Green's theorem.

    Each edge adds the area between it and the line at ``top``, as far as it runs right of ``left`` and below
    the line; those that run back take away what lies above the outline.

    Args:
        outlines: (n, corners, 2), across and down, along the outline.
        left: across.
        top: down.
    """
    u, v = outlines[..., 0] - left, outlines[..., 1] - top
    along, fall = np.roll(u, -1, axis=1) - u, np.roll(v, -1, axis=1) - v
    slope = np.divide(fall, along, out=np.zeros_like(fall), where=along != 0)
    begin, end = np.maximum(u, 0), np.maximum(u + along, 0)
    first, last = v + slope * (begin - u), v + slope * (end - u)
    mean = (np.maximum(first, 0) + np.maximum(last, 0)) / 2
    crossing = first * last < 0
    mean[crossing] = np.maximum(first, last)[crossing] ** 2 / (2 * np.abs(first - last)[crossing])
    return np.asarray(np.abs((mean * (end - begin)).sum(axis=1)))


def _utm(grid: GeoBox, rows: slice) -> _Laid:
    """Whole pixels in cells of the coarse grid."""
    factor = round(NEST_METRES / abs(grid.resolution.x))
    first = np.array([[rows.start], [0]])
    index = np.indices((rows.stop - rows.start, grid.shape[1])).reshape(2, -1) + first
    quarters = np.zeros((4, index.shape[1]))
    quarters[0] = 1
    return _Laid(index // factor, quarters, (index + 0.5) / factor)


EASE = Kind(EASE_ID, "{:04d}-{:04d}", _ease, EASE9.metres)
UTM = Kind(UTM_ID, "u{:03d}-{:03d}", _utm, NEST_METRES)


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
