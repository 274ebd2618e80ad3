"""Pixels in another projection: nearest neighbour, bilinear, bicubic, pyramids, reduceResolution.

Earth Engine reads an input at the pyramid level whose scale is the closest one not above the requested
scale, then takes the nearest pixel, unless told otherwise. Google publishes no numbers to test these
rules against: they are documented, and checked here against GDAL and exact geometry, but unverified
against Google. Sources: guides/scale, guides/resample, guides/projections; ee-image-reduceresolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.pixels import TILE, Pixels, Raster, digest, evaluate
from gee.local.projections import Grid, Projection, transformer
from gee.local.reducers import Reducer

MAX_REPROJECTED_PIXELS = 2**28
_CHUNK_PIXELS = 2**22  # input pixels of reduceResolution held at a time
_REACH = {"nearest": 0, "bilinear": 1, "bicubic": 2}  # pixels of neighbourhood on each side

Read = Callable[[int, int, int, int], Raster]
"""Pixels of a projection from row, column, height, width."""


@lru_cache(maxsize=96)
def positions(grid: Grid, projection: Projection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a grid's pixel centres lie in the pixels of a projection: columns and rows, (height, width).

    Not finite where the centre has no place in the projection.
    """
    x, y = grid.centres()
    if grid.crs != projection.crs:
        x, y = transformer(grid.crs, projection.crs).transform(x, y)
    columns, rows = projection.to_pixels(x, y)
    return columns, rows


def pyramid_level(projection: Projection, grid: Grid) -> int:
    """How many times a grid's pixels are twice those of a projection, whole times."""
    ratio = grid.projection.nominal_scale / projection.nominal_scale
    return max(0, math.floor(math.log2(ratio) + 1e-3)) if ratio > 0 else 0


def resample(read: Read, projection: Projection, grid: Grid, method: str = "nearest") -> Raster:
    """Pixels of a projection on another grid.

    Args:
        read: pixels of ``projection``; masked where there are none.
        projection: of what ``read`` gives.
        grid: wanted.
        method: nearest, bilinear or bicubic.

    Returns:
        Interpolated values are float; a pixel is valid where any pixel that carries weight is (as in GDAL).
    """
    offset = grid.offset_in(projection)
    if offset is not None:
        return read(*offset, *grid.shape)
    columns, rows = positions(grid, projection)
    placed = np.isfinite(columns) & np.isfinite(rows)
    if not placed.any():
        empty = read(0, 0, 1, 1)
        return Raster(empty.values, np.zeros((1, 1), np.bool_))
    everywhere = bool(placed.all())
    if not everywhere:
        columns, rows = np.where(placed, columns, columns[placed][0]), np.where(placed, rows, rows[placed][0])
    reach = _REACH[method]
    shift = 0.0 if method == "nearest" else 0.5
    column, row = np.floor(columns - shift).astype(np.int64), np.floor(rows - shift).astype(np.int64)
    left, top = int(column.min()) - max(0, reach - 1), int(row.min()) - max(0, reach - 1)
    width, height = int(column.max()) + reach + 1 - left, int(row.max()) + reach + 1 - top
    if width * height > MAX_REPROJECTED_PIXELS:
        raise EngineError(f"Reprojection output too large ({width}x{height} pixels).")
    source = read(top, left, height, width).full((height, width))
    if method == "nearest":
        values = source.values[row - top, column - left]
        mask = None if source.mask is None else source.mask[row - top, column - left]
    else:
        values, mask = _interpolate(source, columns - left, rows - top, method)
    if not everywhere:
        mask = placed if mask is None else np.where(placed, mask, 0).astype(mask.dtype)
    return Raster(values, mask)


def _interpolate(
    source: Raster, columns: NDArray[np.float64], rows: NDArray[np.float64], method: str
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if source.values.ndim > 2:
        raise EngineError("Pixels that are arrays cannot be interpolated.")
    values = source.values.astype(np.float64 if source.values.dtype == np.float64 else np.float32, copy=False)
    mask = source.weights(source.values.shape[:2])
    column, row = np.floor(columns - 0.5).astype(np.int64), np.floor(rows - 0.5).astype(np.int64)
    right, down = columns - 0.5 - column, rows - 0.5 - row

    def combine(weigh: Callable[[NDArray[Any]], list[NDArray[Any]]], first: int) -> tuple[Any, Any, Any]:
        across, along = weigh(right), weigh(down)
        total, weight, missing = np.zeros(row.shape), np.zeros(row.shape), np.zeros(row.shape, np.bool_)
        for i, vertical in enumerate(along):
            for j, horizontal in enumerate(across):
                place = (row + first + i, column + first + j)
                share = vertical * horizontal * mask[place]
                total += np.where(share != 0, share * values[place], 0)
                weight += share
                missing |= mask[place] == 0
        return total, weight, missing

    total, weight, _ = combine(lambda t: [1 - t, t], 0)
    valid = weight > 1e-6
    result = np.divide(total, weight, out=np.zeros_like(total), where=valid)
    if method == "bicubic":
        total, weight, missing = combine(_catmull_rom, -1)
        # Negative lobes cannot be renormalised over a gap: there the four nearest decide.
        result = np.where(missing, result, np.divide(total, weight, out=result.copy(), where=~missing))
    return result.astype(values.dtype), None if source.mask is None else valid


def _catmull_rom(t: NDArray[Any]) -> list[NDArray[Any]]:
    """Weights of the four pixels along one axis: cubic convolution with a = -0.5 (Keys 1981), as GDAL's."""
    a = -0.5

    def near(d: NDArray[Any]) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: NDArray[Any]) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


class Native(Protocol):
    """Pixels that exist: of a simulated scene, a stored asset, a mounted file."""

    key: bytes
    projection: Projection

    def read(self, level: int, row: int, column: int, height: int, width: int) -> Raster:
        """Pixels of a pyramid level (0 is native); masked outside the image."""

    def expect(self) -> None:
        """Told before reading, so that bands wanted together are read together."""


class SourcePixels(Pixels):
    """Pixels of a band that exists, on any grid."""

    __slots__ = ("_method", "_native")

    def __init__(self, native: Native, method: str = "nearest") -> None:
        super().__init__(digest("source", native.key, method))
        self._native = native
        self._method = method

    def resampled(self, method: str) -> SourcePixels:
        """The same pixels, interpolated where the grid is not their own."""
        return SourcePixels(self._native, method)

    def expect(self) -> None:
        """Pass it on to what reads."""
        self._native.expect()

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> Raster:
        """Read the pyramid level and resample."""
        native = self._native.projection
        level = pyramid_level(native, grid)

        def read(row: int, column: int, height: int, width: int) -> Raster:
            return self._native.read(level, row, column, height, width)

        return resample(read, native.rescaled(2**level, 2**level), grid, self._method)


def read_computed(pixels: Pixels, projection: Projection) -> Read:
    """Read computed pixels of a fixed projection, by tiles that are kept for whoever asks next."""

    origin = Grid(projection, 1, 1)

    def make(row: int, column: int) -> tuple[Raster, int]:
        [raster] = evaluate([pixels], origin.window(row * TILE, column * TILE, TILE, TILE))
        return raster, raster.nbytes

    def read(row: int, column: int, height: int, width: int) -> Raster:
        if height * width <= (TILE // 4) ** 2:
            return evaluate([pixels], origin.window(row, column, height, width))[0]
        return from_tiles(make, (pixels.key, projection), TILE, (row, column, height, width))

    return read


def from_tiles(
    make: Callable[[int, int], tuple[Raster, int]],
    key: Any,
    size: int,
    window: tuple[int, int, int, int],
) -> Raster:
    """A window put together from aligned square tiles, each made once and kept.

    Args:
        make: a tile and its size in bytes, from its row and column among the tiles.
        key: what the tiles are kept under, with their row and column.
        size: of a tile, pixels.
        window: row, column, height, width.
    """
    row, column, height, width = window
    cache = current().tiles
    values: NDArray[Any] | None = None
    mask: NDArray[Any] | None = None
    for tile_row in range(row // size, (row + height - 1) // size + 1):
        for tile_column in range(column // size, (column + width - 1) // size + 1):
            kept = cache.get((key, tile_row, tile_column), partial(make, tile_row, tile_column))
            tile: Raster = kept.full((size, size))
            top, left = max(row, tile_row * size), max(column, tile_column * size)
            bottom = min(row + height, (tile_row + 1) * size)
            right = min(column + width, (tile_column + 1) * size)
            there = np.s_[
                top - tile_row * size : bottom - tile_row * size,
                left - tile_column * size : right - tile_column * size,
            ]
            if (bottom - top, right - left) == (height, width):
                return Raster(tile.values[there], None if tile.mask is None else tile.mask[there])
            here = np.s_[top - row : bottom - row, left - column : right - column]
            if values is None:
                values = np.zeros((height, width) + tile.values.shape[2:], tile.values.dtype)
            values[here] = tile.values[there]
            if tile.mask is not None:
                if mask is None:
                    mask = np.ones((height, width), tile.mask.dtype)
                elif mask.dtype == np.bool_ and tile.mask.dtype != np.bool_:
                    mask = mask.astype(tile.mask.dtype)
                mask[here] = tile.mask[there]
    assert values is not None
    return Raster(values, mask)


class Reprojected(Pixels):
    """Pixels computed in a fixed projection, whatever grid is asked (`Image.reproject`)."""

    __slots__ = ("_projection",)

    def __init__(self, pixels: Pixels, projection: Projection) -> None:
        super().__init__(digest("reproject", pixels, projection), [pixels])
        self._projection = projection

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> Raster:
        """The nearest pixel of the fixed projection."""
        return resample(read_computed(self.inputs[0], self._projection), self._projection, grid)


class Resampled(Pixels):
    """Pixels computed in their default projection and interpolated to the grid (`Image.resample`)."""

    __slots__ = ("_method", "_projection")

    def __init__(self, pixels: Pixels, projection: Projection, method: str) -> None:
        super().__init__(digest("resample", pixels, projection, method), [pixels])
        self._projection = projection
        self._method = method

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> Raster:
        """Interpolate between the pixels of the default projection, at its closest pyramid level."""
        level = pyramid_level(self._projection, grid)
        projection = self._projection.rescaled(2**level, 2**level)
        return resample(read_computed(self.inputs[0], projection), projection, grid, self._method)


class Overlap(NamedTuple):
    """Which pixels of a finer grid cover each pixel of a coarser one, and how much of it."""

    finer: Grid
    shares: sparse.csr_matrix  # (coarse pixels, fine pixels): fraction of the coarse pixel covered


@lru_cache(maxsize=16)
def overlap(grid: Grid, projection: Projection) -> Overlap:
    """Fractions of each pixel of ``grid`` that the pixels of ``projection`` cover, by exact areas.

    Edges of pixels are taken as straight in the grid's coordinate system.
    """
    x, y = grid.outline(projection.crs, 2 + max(grid.shape))
    if not x.size:
        raise EngineError("The requested grid has no place in the projection of the input.")
    finer = _covering(projection, x, y)
    columns, rows = np.meshgrid(
        np.arange(finer.width + 1, dtype=np.float64), np.arange(finer.height + 1, dtype=np.float64)
    )
    corner_x, corner_y = finer.projection.to_crs(columns, rows)
    if projection.crs != grid.crs:
        corner_x, corner_y = transformer(projection.crs, grid.crs).transform(corner_x, corner_y)
    corner_columns, corner_rows = grid.projection.to_pixels(corner_x, corner_y)
    coarse, fine, share = _pixel_overlaps(
        np.ascontiguousarray(corner_columns), np.ascontiguousarray(corner_rows), grid.height, grid.width
    )
    shape = (grid.height * grid.width, finer.height * finer.width)
    return Overlap(finer, sparse.csr_matrix((share, (coarse, fine)), shape=shape))


def _covering(projection: Projection, x: NDArray[np.float64], y: NDArray[np.float64]) -> Grid:
    columns, rows = projection.to_pixels(x, y)
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
                    if area > 1e-9:
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
        if grid.offset_in(self._projection) is not None and len(self.inputs) == len(self._reducer.outputs) == 1:
            return evaluate(self.inputs, grid)
        projection = self._projection
        ratio = (grid.projection.nominal_scale / projection.nominal_scale) ** 2
        if self._best_effort:
            # One pixel more on each side than the ratio says may be touched.
            while (math.sqrt(ratio) + 1) ** 2 > self._max_pixels and ratio > 1:
                projection, ratio = projection.rescaled(2, 2), ratio / 4
        side = max(1, min(max(grid.shape), int(math.sqrt(_CHUNK_PIXELS / max(ratio, 1.0)))))
        whole: list[Raster] | None = None
        for row in range(0, grid.height, side):
            for column in range(0, grid.width, side):
                part = grid.window(row, column, min(side, grid.height - row), min(side, grid.width - column))
                found = self._aggregate(part, projection)
                if part.shape == grid.shape:
                    return found
                if whole is None:
                    whole = [
                        Raster(
                            np.zeros(grid.shape + raster.values.shape[2:], raster.values.dtype),
                            np.zeros(grid.shape, np.bool_),
                        )
                        for raster in found
                    ]
                here = np.s_[row : row + part.height, column : column + part.width]
                for target, raster in zip(whole, found, strict=True):
                    target.values[here] = raster.values
                    assert target.mask is not None
                    target.mask[here] = True if raster.mask is None else raster.mask
        assert whole is not None
        return whole

    def _aggregate(self, grid: Grid, projection: Projection) -> list[Raster]:
        finer, shares = overlap(grid, projection)
        most = int(np.diff(shares.indptr).max(initial=0))
        if most > self._max_pixels:
            raise EngineError(
                f"Too many input pixels per output pixel: {most} > maxPixels = {self._max_pixels}.\n"
                "Specify a higher 'maxPixels' value, or set 'bestEffort' to true."
            ).within("Image.reduceResolution")
        offset = finer.offset_in(projection)
        assert offset is not None
        rasters = [
            read_computed(pixels, projection)(*offset, *finer.shape).full(finer.shape)
            for pixels in self.inputs
        ]
        if self._reducer.name == "mean" and len(rasters) == 1 and rasters[0].values.ndim == 2:
            return [_weighted_mean(rasters[0], shares, grid)]
        return self._reduce(rasters, shares, grid)

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
            flat = raster.values.reshape((-1,) + raster.values.shape[2:])
            values.append(flat[fine])
            mask = raster.weights(raster.values.shape[:2]).ravel()[fine]
            weights.append(weight * mask)
        return [
            Raster(result.reshape(grid.shape + result.shape[1:]), valid.reshape(grid.shape))
            for result, valid in self._reducer(values, weights)
        ]


def _weighted_mean(raster: Raster, shares: sparse.csr_matrix, grid: Grid) -> Raster:
    """What the mean reducer gives, as two sparse products."""
    mask = raster.weights(raster.values.shape).ravel()
    values = raster.values.ravel().astype(np.float64)
    total = shares @ np.where(mask > 0, values * mask, 0.0)
    weight = shares @ mask.astype(np.float64)
    valid = weight > 0
    mean = np.divide(total, weight, out=np.zeros_like(total), where=valid)
    kind = np.float32 if raster.values.dtype == np.float32 else np.float64
    return Raster(mean.astype(kind).reshape(grid.shape), valid.reshape(grid.shape))
