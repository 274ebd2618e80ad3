"""All input pixels under each output pixel, combined by a reducer: what reduceResolution does.

A pixel's weight is its mask times the fraction of the output pixel that it covers, here by exact areas
of the two pixels' intersection. Source: description of ``Image.reduceResolution``; guides/resample. The
rule is documented but unverified against Google.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.geometry.lattices import placed
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import Pixels, Raster, Window, digest, evaluate, pasted
from gee.local.raster.resampling import read_computed
from gee.local.reduction.reducers import Reducer

_CHUNK_PIXELS = 2**22  # input pixels held at a time
_SLIVER = 1e-9  # of an output pixel: what rounding leaves of pixels that only touch it
_KEEPS_ONE = {"mean", "median", "min", "max", "mode", "first", "last"}  # of one pixel these give itself


@dataclass(frozen=True, eq=False)
class Overlap:
    """Which pixels of a finer grid cover each pixel of a coarser one, and how much of it.

    Args:
        finer: grid.
        factors: sparse matrices whose Kronecker product is ``shares``. Two where the grids' sides are
            parallel: (coarse rows, fine rows) and (coarse columns, fine columns); else one.
    """

    finer: Grid
    factors: tuple[sparse.csr_matrix, ...]

    @property
    def shares(self) -> sparse.csr_matrix:
        """Fraction of each coarse pixel that each fine pixel covers, (coarse pixels, fine pixels)."""
        if len(self.factors) == 1:
            return self.factors[0]
        down, across = self.factors
        return sparse.kron(down, across, format="csr")

    @cached_property
    def covered(self) -> NDArray[np.float64]:
        """Fraction of each coarse pixel that the fine ones cover, (coarse pixels,)."""
        return self.totals(np.ones(self.finer.shape))

    @property
    def most(self) -> int:
        """Fine pixels under a coarse one, at most."""
        return math.prod(int(np.diff(factor.indptr).max(initial=0)) for factor in self.factors)

    @property
    def nbytes(self) -> int:
        """Memory the factors and ``covered`` take."""
        parts = [part for each in self.factors for part in (each.data, each.indices, each.indptr)]
        covered = 8 * math.prod(int(each.shape[0]) for each in self.factors)
        return covered + sum(int(part.nbytes) for part in parts)

    def totals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of (fine rows, fine columns) values times their shares, (coarse pixels,)."""
        if len(self.factors) == 1:
            found: NDArray[np.float64] = self.factors[0] @ values.ravel()
            return found
        down, across = self.factors
        return np.ascontiguousarray((across @ (down @ values).T).T).ravel()


def overlap(grid: Grid, projection: Projection) -> Overlap:
    """Fractions of each pixel of ``grid`` that the pixels of ``projection`` cover, by exact areas.

    Edges of pixels are taken as straight in the grid's coordinate system.
    """
    lattice = _from_zero(projection)

    def make() -> tuple[Overlap, int]:
        found = _overlap(grid, lattice)
        return found, found.nbytes

    kept: Overlap = current().tiles.get(("overlap", grid, lattice), make)
    return kept


def _from_zero(projection: Projection) -> Projection:
    """The same pixels counted from the coordinates' origin, if that is a pixel's corner.

    Scenes of a UTM zone start anywhere on one lattice of pixels, and then they have their overlap in common.
    """
    a, b, c, d, e, f = projection.transform
    if b == 0 and d == 0 and a != 0 and e != 0 and math.fmod(c, a) == 0 and math.fmod(f, e) == 0:
        return Projection(projection.crs, (a, 0.0, 0.0, 0.0, e, 0.0))
    return projection


def _overlap(grid: Grid, projection: Projection) -> Overlap:
    same = grid.crs == projection.crs
    points = 2 if same else 2 + max(grid.shape)
    columns, rows = placed(
        grid.projection, np.linspace(0, grid.width, points), np.linspace(0, grid.height, points), projection
    )
    finite = np.isfinite(columns) & np.isfinite(rows)
    if not finite.any():
        raise EngineError("The requested grid has no place in the projection of the input.")
    finer = _covering(projection, columns[finite], rows[finite])
    across, down = np.arange(finer.width + 1.0), np.arange(finer.height + 1.0)
    if same and not any(each.transform[i] for each in (grid.projection, projection) for i in (1, 3)):
        corner_columns, _ = placed(finer.projection, across, down[:1], grid.projection)
        _, corner_rows = placed(finer.projection, across[:1], down, grid.projection)
        sides = (corner_rows[:, 0], grid.height), (corner_columns[0], grid.width)
        return Overlap(finer, tuple(_side_overlaps(*side) for side in sides))
    corner_columns, corner_rows = placed(finer.projection, across, down, grid.projection)
    coarse, fine, share = _pixel_overlaps(corner_columns, corner_rows, grid.height, grid.width)
    shape = (grid.height * grid.width, finer.height * finer.width)
    return Overlap(finer, (sparse.csr_matrix((share, (coarse, fine)), shape=shape),))


def _side_overlaps(edges: NDArray[np.float64], count: int) -> sparse.csr_matrix:
    """Lengths shared by the intervals between neighbouring edges and ``count`` unit intervals from 0 on."""
    rising = edges[::-1] if edges[-1] < edges[0] else edges
    cuts = np.unique(np.concatenate([rising, np.arange(count + 1.0)]))
    cuts = cuts[(cuts >= max(0.0, rising[0])) & (cuts <= min(float(count), rising[-1]))]
    share, middle = np.diff(cuts), (cuts[1:] + cuts[:-1]) / 2
    wide = share > _SLIVER
    share, middle = share[wide], middle[wide]
    fine = np.searchsorted(rising, middle) - 1
    if rising is not edges:
        fine = edges.size - 2 - fine
    return sparse.csr_matrix(
        (share, (np.floor(middle).astype(np.int64), fine)), shape=(count, edges.size - 1)
    )


def _covering(projection: Projection, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> Grid:
    left, top = math.floor(columns.min()) - 1, math.floor(rows.min()) - 1
    right, bottom = math.ceil(columns.max()) + 1, math.ceil(rows.max()) + 1
    return Grid(projection.translated(left, top), right - left, bottom - top)


@numba.njit(cache=True)
def _clipped_area(xs: Any, ys: Any, left: float, top: float) -> float:
    """Area of a quadrilateral within the unit square at (left, top): Sutherland and Hodgman 1974."""
    ax = np.empty(12)
    ay = np.empty(12)
    bx = np.empty(12)
    by = np.empty(12)
    count = 4
    for i in range(4):
        ax[i] = xs[i] - left
        ay[i] = ys[i] - top
    for side in range(4):
        kept = 0
        for i in range(count):
            j = (i + 1) % count
            if side == 0:
                d, e = ax[i], ax[j]
            elif side == 1:
                d, e = 1.0 - ax[i], 1.0 - ax[j]
            elif side == 2:
                d, e = ay[i], ay[j]
            else:
                d, e = 1.0 - ay[i], 1.0 - ay[j]
            if d >= 0:
                bx[kept], by[kept] = ax[i], ay[i]
                kept += 1
            if (d > 0 and e < 0) or (d < 0 and e > 0):
                t = d / (d - e)
                bx[kept], by[kept] = ax[i] + t * (ax[j] - ax[i]), ay[i] + t * (ay[j] - ay[i])
                kept += 1
        count = kept
        if count == 0:
            return 0.0
        for i in range(count):
            ax[i], ay[i] = bx[i], by[i]
    area = 0.0
    for i in range(count):
        j = (i + 1) % count
        area += ax[i] * ay[j] - ax[j] * ay[i]
    return abs(area) / 2


@numba.njit(cache=True)
def _pixel_overlaps(columns: Any, rows: Any, height: int, width: int) -> Any:
    """Areas shared by the quadrilaterals between neighbouring corners and the unit pixels of a raster."""
    fine_height, fine_width = columns.shape[0] - 1, columns.shape[1] - 1
    capacity = 4 * fine_height * fine_width + 16
    coarse, fine = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    share = np.empty(capacity, np.float64)
    found = 0
    xs, ys = np.empty(4), np.empty(4)
    for i in range(fine_height):
        for j in range(fine_width):
            xs[0], ys[0] = columns[i, j], rows[i, j]
            xs[1], ys[1] = columns[i, j + 1], rows[i, j + 1]
            xs[2], ys[2] = columns[i + 1, j + 1], rows[i + 1, j + 1]
            xs[3], ys[3] = columns[i + 1, j], rows[i + 1, j]
            if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
                continue
            first_column, last_column = max(0, math.floor(xs.min())), min(width - 1, math.floor(xs.max()))
            first_row, last_row = max(0, math.floor(ys.min())), min(height - 1, math.floor(ys.max()))
            for row in range(first_row, last_row + 1):
                for column in range(first_column, last_column + 1):
                    area = _clipped_area(xs, ys, column, row)
                    if area > _SLIVER:
                        if found == capacity:
                            capacity *= 2
                            coarse = np.append(coarse, np.empty(capacity - found, np.int64))
                            fine = np.append(fine, np.empty(capacity - found, np.int64))
                            share = np.append(share, np.empty(capacity - found, np.float64))
                        coarse[found] = row * width + column
                        fine[found] = i * fine_width + j
                        share[found] = area
                        found += 1
    return coarse[:found], fine[:found], share[:found]


class Aggregated(Pixels):
    """All input pixels under each output pixel, combined by a reducer (`Image.reduceResolution`).

    A pixel's weight is its mask times the fraction of the output pixel it covers.

    Args:
        inputs: one node per input of the reducer, all in ``projection``.
        projection: their default projection.
        reducer: combines them.
        max_pixels: how many input pixels an output pixel may have.
        best_effort: start from a coarser pyramid level instead of refusing.
    """

    __slots__ = ("_best_effort", "_max_pixels", "_projection", "_reducer")

    def __init__(
        self,
        inputs: Sequence[Pixels],
        projection: Projection,
        reducer: Reducer,
        max_pixels: int,
        best_effort: bool,
    ) -> None:
        super().__init__(
            digest("reduceResolution", projection, reducer.key, max_pixels, best_effort, *inputs), inputs
        )
        self._projection = projection
        self._reducer = reducer
        self._max_pixels = max_pixels
        self._best_effort = best_effort

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> list[Raster]:
        """One raster per output of the reducer."""
        if self._reducer.name in _KEEPS_ONE and grid.offset_in(self._projection) is not None:
            return evaluate(self.inputs, grid)
        projection = self._projection
        ratio = (grid.projection.nominal_scale / projection.nominal_scale) ** 2
        if self._best_effort:
            # One pixel more on each side than the ratio says may be touched.
            while (math.sqrt(ratio) + 1) ** 2 > self._max_pixels and ratio > 1:
                projection, ratio = projection.rescaled(2, 2), ratio / 4
        side = max(1, min(max(grid.shape), int(math.sqrt(_CHUNK_PIXELS / max(ratio, 1.0)))))
        whole: list[Raster | None] = [None] * len(self._reducer.outputs)
        for row in range(0, grid.height, side):
            for column in range(0, grid.width, side):
                here = Window(row, column, min(side, grid.height - row), min(side, grid.width - column))
                found = self._aggregate(grid.window(*here), projection)
                if (here.height, here.width) == grid.shape:
                    return found
                whole = [pasted(*pair, here, grid.shape) for pair in zip(whole, found, strict=True)]
        return [raster for raster in whole if raster is not None]

    def _aggregate(self, grid: Grid, projection: Projection) -> list[Raster]:
        shared = overlap(grid, projection)
        finer = shared.finer
        if shared.most > self._max_pixels:
            raise EngineError(
                f"Too many input pixels per output pixel: {shared.most} > maxPixels = {self._max_pixels}.\n"
                "Specify a higher 'maxPixels' value, or set 'bestEffort' to true."
            ).within("Image.reduceResolution")
        offset = finer.offset_in(projection)
        assert offset is not None  # noqa: S101 - narrows the type
        rasters = [
            read_computed(pixels, projection)(*offset, *finer.shape).full(finer.shape)
            for pixels in self.inputs
        ]
        if self._reducer.name == "mean" and len(rasters) == 1 and rasters[0].values.ndim == 2:
            return [_weighted_mean(rasters[0], shared, grid)]
        return self._reduce(rasters, shared.shares, grid)

    def _reduce(self, rasters: Sequence[Raster], shares: sparse.csr_matrix, grid: Grid) -> list[Raster]:
        counts = np.diff(shares.indptr)
        most = int(counts.max(initial=1))
        # Input pixels of each output pixel side by side, padded with pixels of no weight.
        places = np.arange(most)[:, None] < counts[None, :]
        fine = np.zeros((most, counts.size), np.int64)
        weight = np.zeros((most, counts.size))
        fine.T[places.T] = shares.indices
        weight.T[places.T] = shares.data
        values, weights = [], []
        for raster in rasters:
            flat = raster.values.reshape((-1, *raster.values.shape[2:]))
            values.append(flat[fine])
            mask = raster.weights(raster.values.shape[:2]).ravel()[fine]
            weights.append(weight * mask)
        return [
            Raster(result.reshape(grid.shape + result.shape[1:]), valid.reshape(grid.shape))
            for result, valid in self._reducer(values, weights)
        ]


def _weighted_mean(raster: Raster, shared: Overlap, grid: Grid) -> Raster:
    """What the mean reducer gives, as two sparse products."""
    values = raster.values.astype(np.float64)
    if raster.mask is None:
        total, weight = shared.totals(values), shared.covered
    else:
        mask = raster.mask.astype(np.float64)
        total = shared.totals(np.where(mask > 0, values * mask, 0.0))
        weight = shared.totals(mask)
    valid = weight > 0
    mean = np.divide(total, weight, out=np.zeros_like(total), where=valid)
    kind = np.float32 if raster.values.dtype == np.float32 else np.float64
    return Raster(mean.astype(kind).reshape(grid.shape), valid.reshape(grid.shape))
