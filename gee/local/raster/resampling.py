"""Pixels in another projection: nearest neighbour, bilinear, bicubic, pyramids.

Earth Engine reads an input at the pyramid level whose scale is the closest one not above the requested
scale, then takes the nearest pixel, unless told otherwise. Google publishes no numbers to test these
rules against: they are documented, and checked here against GDAL and exact geometry, but unverified
against Google. Sources: guides/scale, guides/resample, guides/projections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.geometry.lattices import placed
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import TILE, Pixels, Raster, Window, digest, evaluate, pasted

MAX_REPROJECTED_PIXELS = 2**28
STEP = TILE // 4  # what computed tiles are cut to, pixels
_REACH = {"nearest": 0, "bilinear": 1, "bicubic": 2}  # pixels of neighbourhood on each side

Read = Callable[[int, int, int, int], Raster]
"""Pixels of a projection from row, column, height, width."""


@lru_cache(maxsize=96)
def positions(grid: Grid, projection: Projection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a grid's pixel centres lie in the pixels of a projection: columns and rows, (height, width).

    Not finite where the centre has no place in the projection.
    """
    return placed(grid.projection, np.arange(0.5, grid.width), np.arange(0.5, grid.height), projection)


def pyramid_level(projection: Projection, grid: Grid) -> int:
    """How many times a grid's pixels are twice those of a projection, whole times."""
    ratio = grid.projection.nominal_scale / projection.nominal_scale
    if not math.isfinite(ratio):
        raise EngineError(f"The scale of a grid is too coarse: {grid.projection.nominal_scale:g} metres.")
    return max(0, math.floor(math.log2(ratio) + 1e-6)) if ratio > 0 else 0


def resample(read: Read, projection: Projection, grid: Grid, method: str = "nearest") -> Raster:
    """Pixels of a projection on another grid.

    Args:
        read: pixels of ``projection``; masked where there are none.
        projection: of what ``read`` gives.
        grid: wanted.
        method: nearest, bilinear or bicubic.

    Returns:
        Interpolated values are float; a pixel is valid where any pixel that carries weight is.
    """
    offset = grid.offset_in(projection)
    if offset is not None:
        return read(*offset, *grid.shape)
    columns, rows = positions(grid, projection)
    there = np.isfinite(columns) & np.isfinite(rows)
    if not there.any():
        empty = read(0, 0, 1, 1)
        return Raster(empty.values, np.zeros((1, 1), np.bool_))
    everywhere = bool(there.all())
    if not everywhere:
        columns, rows = np.where(there, columns, columns[there][0]), np.where(there, rows, rows[there][0])
    reach = _REACH[method]
    # A centre on the edge between two pixels takes the second, whatever rounding makes of it.
    shift = -1e-6 if method == "nearest" else 0.5
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
        mask = there if mask is None else np.where(there, mask, 0).astype(mask.dtype)
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
    """Read computed pixels of a fixed projection, by tiles that are kept for whoever asks next.

    Of a tile no more is computed than is asked, rounded to ``STEP`` pixels: behind a coarse grid may stand
    thousands of times as many source pixels.
    """
    origin = Grid(projection, 1, 1)

    def make(row: int, column: int, height: int, width: int) -> tuple[Raster, int]:
        [raster] = evaluate([pixels], origin.window(row, column, height, width))
        return raster, raster.nbytes

    def read(row: int, column: int, height: int, width: int) -> Raster:
        if height * width <= (TILE // 4) ** 2:
            return evaluate([pixels], origin.window(row, column, height, width))[0]
        return from_tiles(make, (pixels.key, projection), TILE, (row, column, height, width), STEP)

    return read


def from_tiles(
    make: Callable[[int, int, int, int], tuple[Raster, int]],
    key: Any,
    size: int,
    window: tuple[int, int, int, int],
    step: int,
) -> Raster:
    """A window put together from parts of aligned square tiles, each made once and kept.

    Args:
        make: a part and its size in bytes, from its row, column, height and width.
        key: what the parts are kept under, with where they lie.
        size: of a tile, pixels.
        window: row, column, height, width.
        step: a part begins and ends at whole numbers of so many pixels; ``size`` for whole tiles.
    """
    row, column, height, width = window
    cache = current().tiles
    whole: Raster | None = None
    for tile_row in range(row // size, (row + height - 1) // size + 1):
        for tile_column in range(column // size, (column + width - 1) // size + 1):
            top, left = max(row, tile_row * size), max(column, tile_column * size)
            bottom = min(row + height, (tile_row + 1) * size)
            right = min(column + width, (tile_column + 1) * size)
            first_row, first_column = top // step * step, left // step * step
            shape = -(-bottom // step) * step - first_row, -(-right // step) * step - first_column
            place = (first_row, first_column, *shape)
            kept = cache.get((key, *place), partial(make, *place))
            tile: Raster = kept.full(shape)
            there = np.s_[top - first_row : bottom - first_row, left - first_column : right - first_column]
            part = Raster(tile.values[there], None if tile.mask is None else tile.mask[there])
            if (bottom - top, right - left) == (height, width):
                return part
            here = Window(top - row, left - column, bottom - top, right - left)
            whole = pasted(whole, part, here, (height, width))
    assert whole is not None  # noqa: S101 - narrows the type
    return whole


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
