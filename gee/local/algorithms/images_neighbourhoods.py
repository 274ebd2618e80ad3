"""Filters over the neighbourhood of each pixel: convolution, reducers, morphology, neighbours as bands.

A kernel's matrix lies over the image as it is written, its focus on the pixel: an element's weight is
that of the neighbour under it. A kernel in metres has the size that the grid's nominal scale asks for.
Sources: descriptions of ``Image.reduceNeighborhood`` and its kin; guides/image_convolutions,
guides/image_morph. That a convolution does not mirror its kernel follows from Safanelli et al. 2020,
who took neighbours that way and compared slope directions with SAGA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid
from gee.local.raster import kernels
from gee.local.raster.images import Band, Image, common_projection, several
from gee.local.raster.kernels import Kernel, Weights
from gee.local.raster.pixels import Pixels, Raster, Surrounded, masks_intersect
from gee.local.raster.reductions import check_inputs
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm, apply
from gee.local.values import DOUBLE, FLOAT, PixelType

_STACKED_VALUES = 2**23  # neighbours held at a time where a reducer needs them all together


class Neighbour(NamedTuple):
    """An element of a kernel that is not zero: its place from the focus, in pixels, and its weight."""

    row: int
    column: int
    weight: float


def matrix_on(kernel: Kernel, grid: Grid) -> Weights:
    """A kernel's matrix for the pixels of a grid."""
    return kernel.weights(grid.projection.nominal_scale)


def neighbours(weights: Weights) -> list[Neighbour]:
    """The neighbours that count, in reading order."""
    rows, columns = np.nonzero(weights.matrix)
    return [
        Neighbour(row - weights.y, column - weights.x, float(weights.matrix[row, column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def reach(kernel: Kernel) -> Callable[[Grid], tuple[int, int]]:
    """Columns and rows by which a kernel reaches beyond a grid, as a node's margin."""

    def margin(grid: Grid) -> tuple[int, int]:
        weights = matrix_on(kernel, grid)
        height, width = weights.matrix.shape
        return max(weights.x, width - 1 - weights.x), max(weights.y, height - 1 - weights.y)

    return margin


class Padded:
    """Pixels that reach beyond a grid, looked at from a neighbour's side.

    Args:
        raster: with the margin.
        grid: without it.
    """

    def __init__(self, raster: Raster, grid: Grid) -> None:
        self._raster = raster
        self._shape = grid.shape
        height, width = raster.values.shape[:2]
        self._rows, self._columns = (height - grid.height) // 2, (width - grid.width) // 2

    def window(self, row: int, column: int) -> Any:
        """Where the pixels so many rows and columns away lie."""
        top, left = self._rows + row, self._columns + column
        return np.s_[top : top + self._shape[0], left : left + self._shape[1]]

    def values(self, row: int = 0, column: int = 0) -> NDArray[Any]:
        """Values of the pixels so many rows and columns away."""
        return np.asarray(self._raster.values[self.window(row, column)])

    def mask(self, row: int = 0, column: int = 0) -> NDArray[Any] | None:
        """Their mask."""
        return None if self._raster.mask is None else self._raster.mask[self.window(row, column)]

    def valid(self, row: int = 0, column: int = 0) -> NDArray[np.bool_]:
        """Whether they are valid."""
        mask = self.mask(row, column)
        return np.ones(self._shape, np.bool_) if mask is None else mask != 0

    def weights(self, row: int = 0, column: int = 0) -> NDArray[Any]:
        """Their mask as numbers between 0 and 1."""
        mask = self.mask(row, column)
        return np.ones(self._shape, np.float32) if mask is None else mask.astype(np.float32, copy=False)


def refuse_arrays(bands: Sequence[Band]) -> None:
    """Refuse pixels that are arrays.

    Raises:
        EngineError: a band has such pixels.
    """
    if any(band.type.dimensions for band in bands):
        raise EngineError("Image pixels must be numbers, not arrays.")


def around(
    name: str,
    band: Band,
    kernel: Kernel,
    function: Callable[[Grid, Raster], Any],
    kind: PixelType,
    *parameters: Any,
) -> Band:
    """A band computed from the neighbourhood that a kernel describes."""
    node = Surrounded(name, function, reach(kernel), [band.pixels], kernel.key, *parameters)
    return Band(band.name, kind, band.projection, node, band.extent)


@algorithm("Image.convolve")
def convolve(image: Image, kernel: Kernel) -> Image:
    """Weighted sums of neighbours; masked where a neighbour of non-zero weight is."""

    def compute(dtype: np.dtype[Any], grid: Grid, raster: Raster) -> Raster:
        inside = Padded(raster, grid)
        total = np.zeros(grid.shape)
        mask = None
        for row, column, weight in neighbours(matrix_on(kernel, grid)):
            total += weight * inside.values(row, column)
            mask = masks_intersect(mask, inside.mask(row, column))
        return Raster(total.astype(dtype), mask)

    refuse_arrays(image.bands)
    bands = []
    for band in image.bands:
        kind = DOUBLE if band.type.precision == "double" else FLOAT
        bands.append(around("convolve", band, kernel, partial(compute, kind.dtype), kind))
    return image.with_bands(bands)


Weigh = Callable[[Padded, Neighbour], NDArray[Any]]
"""Weights of a neighbour as an input of a weighted reducer."""

_WEIGHINGS: dict[str, Weigh] = {
    "mask": lambda pixels, to: pixels.weights(to.row, to.column),
    "kernel": lambda pixels, to: np.where(pixels.valid(to.row, to.column), to.weight, 0.0),
    "min": lambda pixels, to: np.minimum(pixels.weights(to.row, to.column), to.weight),
}


def _strips(height: int, width: int, count: int) -> Iterator[slice]:
    """Rows of a tile in parts, so that so many neighbours of each pixel can be held together."""
    rows = max(1, _STACKED_VALUES // max(1, width * count))
    for start in range(0, height, rows):
        yield slice(start, min(height, start + rows))


def reduce_around(
    reducer: Reducer, bands: Sequence[Band], kernel: Kernel, weighing: str, skip_masked: bool
) -> Pixels:
    """The node of a reducer over neighbourhoods, one raster per output.

    Args:
        reducer: with as many inputs as there are bands.
        bands: of numbers.
        kernel: its elements that are not zero are the neighbourhood.
        weighing: what weighs the inputs of weighted reducers, one of `_WEIGHINGS`.
        skip_masked: mask the result where a centre is masked.
    """
    weigh = _WEIGHINGS[weighing]

    def inputs(pixels: Sequence[Padded], to: Neighbour) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        for each, weighted in zip(pixels, reducer.weighting, strict=True):
            weights = weigh(each, to) if weighted else each.valid(to.row, to.column)
            yield each.values(to.row, to.column), weights

    def compute(grid: Grid, *rasters: Raster) -> list[Raster]:
        pixels = [Padded(raster, grid) for raster in rasters]
        near = neighbours(matrix_on(kernel, grid))
        layers = reducer.accumulator(grid.shape, [raster.values.dtype for raster in rasters])
        if layers is not None and near:
            for to in near:
                values, weights = zip(*inputs(pixels, to), strict=True)
                layers.add(values, weights)
            results = layers.result()
        else:
            parts = []
            for rows in _strips(*grid.shape, len(near) * len(pixels)):
                stacks = [
                    [(values[rows], weights[rows]) for values, weights in inputs(pixels, to)] for to in near
                ]
                stacked = [
                    tuple(np.stack([stack[i][part] for stack in stacks]) for part in (0, 1))
                    if stacks
                    else _no_inputs(pixel.values()[rows])
                    for i, pixel in enumerate(pixels)
                ]
                parts.append(reducer([values for values, _ in stacked], [weights for _, weights in stacked]))
            results = [
                (
                    np.concatenate([part[i][0] for part in parts]),
                    np.concatenate([part[i][1] for part in parts]),
                )
                for i in range(len(reducer.outputs))
            ]
        centre = np.logical_and.reduce([each.valid() for each in pixels]) if skip_masked else True
        return [Raster(values, valid & centre) for values, valid in results]

    return Surrounded(
        "reduceNeighborhood", compute, reach(kernel), [band.pixels for band in bands],
        kernel.key, reducer.key, weighing, skip_masked,
    )  # fmt: skip


def _no_inputs(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.zeros((0, *values.shape), values.dtype), np.zeros((0, *values.shape), np.bool_)


@algorithm("Image.reduceNeighborhood")
def reduce_neighbourhood(
    image: Image, reducer: Reducer, kernel: Kernel, weighing: str, skip_masked: bool, _: str | None
) -> Image:
    """A reducer over the neighbourhood of each pixel; how it is computed never changes the result."""
    if weighing not in _WEIGHINGS:
        raise EngineError(f"inputWeight must be one of {', '.join(_WEIGHINGS)}. Found '{weighing}'.")
    refuse_arrays(image.bands)
    groups: list[tuple[Sequence[Band], Sequence[str]]] = [(image.bands, reducer.outputs)]
    if check_inputs(reducer, len(image.bands), "the image"):
        groups = [([band], [f"{band.name}_{output}" for output in reducer.outputs]) for band in image.bands]
    bands: list[Band] = []
    for group, names in groups:
        node = reduce_around(reducer, group, kernel, weighing, skip_masked)
        bands.extend(several(node, names, reducer.output_types([band.type for band in group]), group))
    return image.computed(bands)


_FOCAL_SHAPES = ("circle", "square", "cross", "plus", "octagon", "diamond")


def _focal(statistic: str) -> Callable[..., Image]:
    def apply_filter(
        image: Image, radius: float, shape: str, units: str, iterations: int, kernel: Kernel | None
    ) -> Image:
        if kernel is None:
            if shape not in _FOCAL_SHAPES:
                raise EngineError(f"kernelType must be one of {', '.join(_FOCAL_SHAPES)}. Found '{shape}'.")
            kernel = kernels.shaped(shape, radius, units, normalize=True, magnitude=1.0)
        if iterations < 0:
            raise EngineError(f"iterations must not be negative. Found {iterations}.")
        refuse_arrays(image.bands)
        reducer = apply(f"Reducer.{statistic}", {})
        bands = list(image.bands)
        for _ in range(iterations):
            bands = [_focal_band(reducer, band, kernel) for band in bands]
        return image.with_bands(bands)

    return apply_filter


def _focal_band(reducer: Reducer, band: Band, kernel: Kernel) -> Band:
    node = reduce_around(reducer, [band], kernel, "kernel", skip_masked=False)
    return several(node, [band.name], reducer.output_types([band.type]), [band])[0]


for _statistic in ("max", "min", "mean", "median", "mode"):
    _names = (f"Image.focal{_statistic.capitalize()}", f"Image.focal_{_statistic}", f"Window.{_statistic}")
    algorithm(*_names)(_focal(_statistic))


@algorithm("Image.neighborhoodToArray")
def neighbourhood_to_array(image: Image, kernel: Kernel, default: float) -> Image:
    """The rectangle around each pixel as an array of rows and columns, masked neighbours replaced."""
    if kernel.name not in ("fixed", "square", "rectangle"):
        raise EngineError(f"Only fixed, square and rectangle kernels are supported. Found {kernel.name}.")
    refuse_arrays(image.bands)

    def compute(fill: float, grid: Grid, raster: Raster) -> Raster:
        weights = matrix_on(kernel, grid)
        inside = Padded(raster, grid)
        height, width = weights.matrix.shape
        values = raster.values
        if raster.mask is not None:
            values = np.where(raster.mask != 0, values, np.asarray(fill, values.dtype))
        windows = np.lib.stride_tricks.sliding_window_view(values, (height, width))
        top, left = inside.window(-weights.y, -weights.x)
        return Raster(np.ascontiguousarray(windows[top, left]), inside.mask())

    bands = []
    for band in image.bands:
        kind = band.type
        low = -math.inf if kind.minimum is None else kind.minimum
        high = math.inf if kind.maximum is None else kind.maximum
        fill = min(max(float(math.trunc(default)) if kind.precision == "int" else default, low), high)
        array = PixelType(kind.precision, kind.minimum, kind.maximum, 2)
        bands.append(around("neighborhoodToArray", band, kernel, partial(compute, fill), array, fill))
    return image.with_bands(bands)


@algorithm("Image.neighborhoodToBands")
def neighbourhood_to_bands(image: Image, kernel: Kernel) -> Image:
    """Each neighbour as a band ``<band>_<x>_<y>``, x and y counted from the focus.

    The bands must be known before any grid is, so the size of a kernel in metres follows from the
    default projection of the image's first band.
    """
    if not image.bands:
        return image
    grid = Grid(common_projection(image.bands)[0], 1, 1)
    near = neighbours(matrix_on(kernel, grid))
    columns = max((abs(to.column) for to in near), default=0)
    rows = max((abs(to.row) for to in near), default=0)

    def compute(grid: Grid, raster: Raster) -> list[Raster]:
        inside = Padded(raster, grid)
        return [Raster(inside.values(to.row, to.column), inside.mask(to.row, to.column)) for to in near]

    bands: list[Band] = []
    for band in image.bands:
        places = [(to.row, to.column) for to in near]
        node = Surrounded("neighborhoodToBands", compute, lambda _: (columns, rows), [band.pixels], places)
        names = [f"{band.name}_{to.column}_{to.row}" for to in near]
        bands.extend(several(node, names, [band.type] * len(near), [band]))
    return image.computed(bands)


@algorithm("Image.entropy")
def entropy(image: Image, kernel: Kernel) -> Image:
    """Shannon's entropy in bits of the values in each window, masked ones left out."""
    refuse_arrays(image.bands)
    for band in image.bands:
        if band.type.precision != "int" or band.type.dtype.itemsize > 4:
            raise EngineError("Only 32-bit or smaller integer types are currently supported.")

    def compute(grid: Grid, raster: Raster) -> Raster:
        inside = Padded(raster, grid)
        near = neighbours(matrix_on(kernel, grid))
        bits = np.zeros(grid.shape, np.float32)
        for rows in _strips(*grid.shape, len(near)):
            stack = np.stack([inside.values(to.row, to.column)[rows].astype(np.float64) for to in near])
            stack[~np.stack([inside.valid(to.row, to.column)[rows] for to in near])] = np.nan
            bits[rows] = _entropy(stack)
        return Raster(bits, inside.mask())

    return image.with_bands(around("entropy", band, kernel, compute, FLOAT) for band in image.bands)


def _entropy(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy along the first axis, NaN left out: log2(n) - sum(r log2 r) / n over runs of equal values."""
    ordered = np.sort(stack, axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    total = np.zeros(count.shape)
    run = np.zeros(count.shape)
    for index in range(len(ordered)):
        same = ordered[index] == ordered[index - 1] if index else np.ones(count.shape, np.bool_)
        total += np.where(same, 0, _plogp(run))
        known = ~np.isnan(ordered[index])
        run = np.where(same, run, 0) + known
    total += _plogp(run)
    number = np.maximum(count, 1)
    return np.asarray(np.log2(number) - total / number)


def _plogp(run: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(run * np.log2(np.maximum(run, 1)))
