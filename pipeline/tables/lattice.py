"""The rows and columns that cells stand in, found from where their centres lie.

Whoever joins cells to coarser ones, or blends values between their centres, needs neighbours, and a table of
samples names places only. EASE-Grid 2.0 cells (Brodzik et al. 2012) have their own rows and columns; cells of
any other table are put into those of longitude and latitude, or of the UTM zone, that they stand in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gee.catalog import WGS84
from gee.errors import SettingError
from gee.grids import ease_cell_of, ease_edges, utm_crs
from pipeline.errors import DataError

Values = NDArray[np.float64]
Labels = NDArray[np.intp]
EASE_DEGREES = 0.01  # how far a centre may be from that of its EASE cell: a tenth of a cell
REACH = 1.7  # of the usual distance to the nearest cell: neighbours across a corner, not across a gap
APART = 3  # empty rows between two pieces on one lattice
SAME = 0.25  # of that distance: centres this near are in one row


@dataclass(frozen=True, eq=False)
class Axis:
    """Rows or columns of one piece.

    Attributes:
        centres: where their centres lie, in the order of their numbers.
        step: between two of them; the sign tells the direction.
    """

    centres: Values
    step: float

    @classmethod
    def of(cls, centres: Values, usual: float) -> Self:
        """Centres, and the step where there is but one."""
        return cls(centres, float(np.diff(centres).mean()) if len(centres) > 1 else usual)

    def position(self, at: Values) -> Values:
        """Places in units of rows; the centre of row n is at n + 0.5. NaN more than half a row outside."""
        sign, count = np.sign(self.step), len(self.centres)
        ends = self.centres[0] - self.step / 2, self.centres[-1] + self.step / 2
        marks = sign * np.concatenate([ends[:1], self.centres, ends[1:]])
        numbers = np.concatenate([[0], np.arange(count) + 0.5, [count]])
        return np.asarray(np.interp(sign * at, marks, numbers, left=np.nan, right=np.nan))


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where n cells stand.

    Attributes:
        piece: (n,) number of the piece a cell belongs to; cells of two pieces are no neighbours.
        row: (n,) from north to south. EASE-Grid 2.0's own, or from 0 within the piece.
        column: (n,) from west to east, as ``row``.
        crs: coordinate system whose axes the rows and columns follow.
        axes: of each piece, its rows and its columns; none where these are EASE-Grid 2.0's.
    """

    piece: Labels
    row: Labels
    column: Labels
    crs: str
    axes: tuple[tuple[Axis, Axis], ...] = ()

    @property
    def ease(self) -> bool:
        """Whether rows and columns are EASE-Grid 2.0's own."""
        return not self.axes

    @classmethod
    def of(cls, lon: Values, lat: Values) -> Self:
        """Find the rows and columns.

        Args:
            lon: (n,) degrees, of the cells' centres.
            lat: as ``lon``.

        Raises:
            DataError: they stand in none.
        """
        if len(lon) == 0 or not np.isfinite(lon + lat).all():
            raise DataError("cells without lon and lat have no neighbours; give both for each cell")
        if (found := _on_ease(lon, lat)) is not None:
            return cls(np.zeros(len(lon), np.intp), *found, WGS84)
        for crs in _systems(lon, lat):
            x, y = Transformer.from_crs(WGS84, crs, always_xy=True).transform(lon, lat)
            squeeze = float(np.cos(np.radians(lat.mean()))) if crs == WGS84 else 1.0
            if (ranked := _ranked(np.asarray(x), np.asarray(y), squeeze)) is not None:
                piece, row, column, axes = ranked
                return cls(piece, row, column, crs, axes)
        raise DataError(
            f"the {len(lon):,} cells stand in no rows and columns, neither of EASE-Grid 2.0 nor of longitude "
            "and latitude nor of a UTM zone, so they have no neighbours; give lon and lat of their centres"
        )

    def places(self, piece: Labels, row: Values, column: Values) -> tuple[Values, Values]:
        """Rows and columns on one lattice for all pieces, on which cells of two pieces are no neighbours."""
        firsts = np.zeros(int(self.piece.max()) + 1)
        if len(firsts) > 1:
            heights = [self.row[self.piece == number].max() + APART for number in range(len(firsts) - 1)]
            firsts[1:] = np.cumsum(heights)
        return row + firsts[np.maximum(piece, 0)], column

    def position(self, lon: Values, lat: Values) -> tuple[Labels, Values, Values]:
        """Where places lie.

        Args:
            lon: (k,) degrees.
            lat: as ``lon``.

        Returns:
            The piece of each, -1 outside of all, and its row and column; the centre of a cell is at its
            row + 0.5.
        """
        if self.ease:
            lon_edges, lat_edges = ease_edges()
            own_row, own_column = ease_cell_of(lon, lat)
            top, bottom = lat_edges[own_row], lat_edges[own_row + 1]
            left, right = lon_edges[own_column], lon_edges[own_column + 1]
            row = np.asarray(own_row + (top - lat) / (top - bottom))
            column = np.asarray(own_column + (lon - left) / (right - left))
            return np.zeros(len(lon), np.intp), row, column
        x, y = Transformer.from_crs(WGS84, self.crs, always_xy=True).transform(lon, lat)
        piece = np.full(len(lon), -1, np.intp)
        row, column = np.full(len(lon), np.nan), np.full(len(lon), np.nan)
        for number, (rows, columns) in enumerate(self.axes):
            down, right = rows.position(np.asarray(y)), columns.position(np.asarray(x))
            inside = np.isfinite(down + right) & (piece < 0)
            piece[inside], row[inside], column[inside] = number, down[inside], right[inside]
        return piece, row, column


def _on_ease(lon: Values, lat: Values) -> tuple[Labels, Labels] | None:
    """Rows and columns of EASE-Grid 2.0; None where a centre is not that of a cell, or two share one."""
    try:
        row, column = ease_cell_of(lon, lat)
    except SettingError:
        return None
    lon_edges, lat_edges = ease_edges()
    off = np.abs(lon - (lon_edges[column] + lon_edges[column + 1]) / 2)
    off = np.maximum(off, np.abs(lat - (lat_edges[row] + lat_edges[row + 1]) / 2))
    if off.max() > EASE_DEGREES or len(np.unique(np.column_stack([row, column]), axis=0)) < len(lon):
        return None
    return row, column


def _systems(lon: Values, lat: Values) -> Iterator[str]:
    yield WGS84
    try:
        yield utm_crs(float(lon.mean()), float(lat.mean()))
    except SettingError:
        return


def _ranked(
    x: Values, y: Values, squeeze: float
) -> tuple[Labels, Labels, Labels, tuple[tuple[Axis, Axis], ...]] | None:
    """Pieces of cells that touch, and the rows and columns of each; None where cells share a place there."""
    places = np.column_stack([x * squeeze, y])
    if len(places) < 2:
        return None
    tree = cKDTree(places)
    distances = np.asarray(tree.query(places, 2)[0])
    usual = float(np.median(distances[:, 1]))
    if not 0 < usual < np.inf:
        return None
    first, second = np.asarray(tree.query_pairs(REACH * usual, output_type="ndarray")).reshape(-1, 2).T
    touching = coo_array((np.ones(len(first)), (first, second)), shape=(len(x), len(x)))
    count, piece = connected_components(touching, directed=False)
    row, column = np.zeros(len(x), np.intp), np.zeros(len(x), np.intp)
    axes = []
    for number in range(count):
        own = np.flatnonzero(piece == number)
        down, along = _grouped(-y[own], SAME * usual), _grouped(x[own], SAME * usual / squeeze)
        if down is None or along is None:
            return None
        row[own], column[own] = down[0], along[0]
        axes.append((Axis.of(-down[1], -usual), Axis.of(along[1], usual / squeeze)))
    if len(np.unique(np.column_stack([piece, row, column]), axis=0)) < len(x):
        return None
    return piece.astype(np.intp), row, column, tuple(axes)


def _grouped(values: Values, near: float) -> tuple[Labels, Values] | None:
    """The group of each of some values that lie close together, and the groups' means, in growing order."""
    order = np.argsort(values, kind="stable")
    group = np.zeros(len(values), np.intp)
    group[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > near)])
    count = np.bincount(group)
    means = np.bincount(group, values) / count
    if np.abs(values - means[group]).max() > near:
        return None
    return group, means
