"""Objects of an image: connected pixels of one value, labelled, counted and reduced.

An object larger than ``maxSize`` is no object, which bounds how far one must look: a margin of that many
pixels shows an object whole or shows that it is too large, so that tiles agree. Labels come from the
place of an object's first pixel, so that they are unique everywhere. Source: guides/image_objects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from gee.local.algorithms.images_neighbourhoods import matrix_on, neighbours, refuse_arrays
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.images import Band, Image, several
from gee.local.raster.kernels import Kernel
from gee.local.raster.pixels import Raster, Surrounded
from gee.local.raster.reductions import check_inputs
from gee.local.reduction.reducers import Reducer, Result
from gee.local.registry import algorithm
from gee.local.values import PixelType

Labels = NDArray[np.int32]

MAX_SIZE = 1024  # pixels
_LONG = PixelType("int", 0, 2**48 - 1)
_COUNT = PixelType("int", 0, 2**31 - 1)

FOUR = ((0, 1), (1, 0))
EIGHT = (*FOUR, (1, 1), (1, -1))


@numba.njit(cache=True)
def _united(values: Any, valid: Any, offsets: Any) -> Any:
    """For each pixel the first one, in reading order, of those it is connected with; -1 where invalid."""
    height, width = values.shape
    parent = np.full(height * width, -1, np.int64)
    for row in range(height):
        for column in range(width):
            if valid[row, column]:
                parent[row * width + column] = row * width + column
    for row in range(height):
        for column in range(width):
            if not valid[row, column]:
                continue
            for k in range(offsets.shape[0]):
                i, j = row + offsets[k, 0], column + offsets[k, 1]
                if not (0 <= i < height and 0 <= j < width and valid[i, j]):
                    continue
                if values[i, j] != values[row, column]:
                    continue
                one, other = row * width + column, i * width + j
                while parent[one] != one:
                    parent[one] = parent[parent[one]]
                    one = parent[one]
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if one < other:
                    parent[other] = one
                elif other < one:
                    parent[one] = other
    for place in range(parent.size):
        if parent[place] >= 0:
            parent[place] = parent[parent[place]]
    return parent.reshape(values.shape)


class Objects(NamedTuple):
    """Connected pixels.

    Args:
        labels: (height, width), numbered from 0 in order of their first pixels; -1 is no object.
        first: place of each object's first pixel, counted in reading order.
        sizes: pixels of each.
    """

    labels: Labels
    first: NDArray[np.int64]
    sizes: NDArray[np.int64]


def connected(
    values: NDArray[Any], valid: NDArray[np.bool_], offsets: Sequence[tuple[int, int]] = EIGHT
) -> Objects:
    """Valid pixels of equal values, connected with those so many rows and columns away."""
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    steps = np.array(offsets, np.int64).reshape(-1, 2)
    roots = _united(np.ascontiguousarray(values), np.ascontiguousarray(valid), steps)
    first, labels, sizes = np.unique(roots[valid], return_inverse=True, return_counts=True)
    numbered = np.full(values.shape, -1, np.int32)
    numbered[valid] = labels
    return Objects(numbered, first, sizes)


def _checked(size: int) -> int:
    if not 0 < size <= MAX_SIZE:
        raise EngineError(f"maxSize must be between 1 and {MAX_SIZE}. Found {size}.")
    return size


@algorithm("Image.connectedPixelCount")
def connected_pixel_count(image: Image, size: int, eight: bool) -> Image:
    """The number of connected pixels of the same value, at most ``maxSize``, band by band."""
    _checked(size)
    refuse_arrays(image.bands)

    def compute(grid: Grid, raster: Raster) -> Raster:
        objects = connected(raster.values, raster.valid(raster.values.shape[:2]), EIGHT if eight else FOUR)
        inner = np.s_[size : size + grid.height, size : size + grid.width]
        labels = objects.labels[inner]
        counts = np.minimum(np.append(objects.sizes, 0), size)[labels]
        return Raster(counts.astype(np.int32), labels >= 0)

    return image.computed(
        Band(
            band.name, _COUNT, band.projection,
            Surrounded("connectedPixelCount", compute, lambda _: (size, size), [band.pixels], size, eight),
            band.extent,
        )
        for band in image.bands
    )  # fmt: skip


def _origin(grid: Grid) -> tuple[int, int]:
    """Row and column of a grid's first pixel, counted from the origin of the coordinate system."""
    a, b, c, d, e, f = grid.projection.transform
    whole = Projection(grid.crs, (a, b, 0.0, d, e, 0.0))
    column, row = whole.to_pixels(np.float64(c), np.float64(f))
    # Origins are whole or simple fractions of pixels: this never cuts between two roundings of one.
    return math.floor(row + 0.3819), math.floor(column + 0.3819)


def _unique_labels(first: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    """Labels from the places of first pixels: 24 bits of the row and 24 of the column."""
    row, column = _origin(grid)
    rows, columns = first // grid.width + row, first % grid.width + column
    return np.asarray(((rows & 0xFFFFFF) << 24) | (columns & 0xFFFFFF))


@algorithm("Image.connectedComponents")
def connected_components(image: Image, kernel: Kernel, size: int) -> Image:
    """A band ``labels`` after the image's own, and objects of more than ``maxSize`` pixels masked."""
    _checked(size)
    if not image.bands:
        raise EngineError("The image has no bands.")
    band = image.bands[0]
    refuse_arrays([band])
    near = [(to.row, to.column) for to in neighbours(matrix_on(kernel, Grid(band.projection, 1, 1)))]
    offsets = [place for place in near if place != (0, 0)]
    if not offsets:
        raise EngineError("The connectedness kernel has no neighbours.")
    margin = size * max(abs(step) for place in offsets for step in place)

    def compute(grid: Grid, raster: Raster) -> Raster:
        objects = connected(raster.values, raster.valid(raster.values.shape[:2]), offsets)
        labels = objects.labels[margin : margin + grid.height, margin : margin + grid.width]
        kept = (labels >= 0) & (np.append(objects.sizes, 0)[labels] <= size)
        numbers = np.append(_unique_labels(objects.first, grid.padded(margin, margin)), 0)
        return Raster(numbers[labels], kept)

    node = Surrounded(
        "connectedComponents", compute, lambda _: (margin, margin), [band.pixels], offsets, size
    )
    labels = Band("labels", _LONG, band.projection, node, band.extent)
    return image.with_bands([*image.bands, labels])


def reduce_groups(
    reducer: Reducer, inputs: Sequence[tuple[NDArray[Any], NDArray[Any]]], groups: Labels, count: int
) -> list[Result]:
    """A reducer over the members of each group.

    Args:
        reducer: with as many inputs as are given.
        inputs: values and weights of each, one-dimensional.
        groups: the group of each member, from 0 to before ``count``.
        count: of groups.

    Returns:
        Per output, values and validity of each group.
    """
    sizes = np.bincount(groups, minlength=count)
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    results: list[Result] = []
    # Groups of one size go together: filled up to a common size, they would count what is not theirs.
    for size in np.unique(sizes).tolist():
        chosen = np.flatnonzero(sizes == size)
        members = order[starts[chosen] + np.arange(size)[:, None]]
        found = reducer(
            [values[members] for values, _ in inputs], [weights[members] for _, weights in inputs]
        )
        if not results:
            results = [
                (np.zeros((count, *values.shape[1:]), values.dtype), np.zeros(count, np.bool_))
                for values, _ in found
            ]
        for (whole, known), (values, valid) in zip(results, found, strict=True):
            whole[chosen], known[chosen] = values, valid
    return results


@algorithm("Image.reduceConnectedComponents")
def reduce_connected_components(image: Image, reducer: Reducer, label: str | None, size: int) -> Image:
    """A reducer over the other bands of each object of the label band.

    Objects wider or higher than ``maxSize`` are masked.
    """
    _checked(size)
    labels = image.band(0 if label is None else label)
    inputs = [band for band in image.bands if band is not labels]
    refuse_arrays(image.bands)

    def compute(grid: Grid, raster: Raster, *rasters: Raster) -> list[Raster]:
        shape = raster.values.shape[:2]
        objects = connected(raster.values, raster.valid(shape))
        inner = np.s_[size : size + grid.height, size : size + grid.width]
        wanted = np.unique(objects.labels[inner])
        wanted = wanted[wanted >= 0]
        renumber = np.full(len(objects.sizes) + 1, -1, np.int32)
        renumber[wanted] = np.arange(len(wanted))
        groups = renumber[objects.labels]
        member = groups >= 0
        fits = _extents(groups, len(wanted)) <= size
        results = reduce_groups(
            reducer,
            [
                (each.values[member], (each.weights(shape) if weighted else each.valid(shape))[member])
                for each, weighted in zip(rasters, reducer.weighting, strict=True)
            ],
            groups[member],
            len(wanted),
        )
        here = groups[inner]
        known = (here >= 0) & np.append(fits, False)[here]
        if not results:
            return [Raster(np.zeros((1, 1)), np.zeros((1, 1), np.bool_))] * len(reducer.outputs)
        return [
            Raster(np.concatenate([values, values[:1]])[here], known & np.concatenate([valid, [False]])[here])
            for values, valid in results
        ]

    groups: list[tuple[Sequence[Band], Sequence[str]]] = [(inputs, reducer.outputs)]
    if check_inputs(reducer, len(inputs), "the image without its labels"):
        single = len(reducer.outputs) == 1
        groups = [
            ([band], [band.name] if single else [f"{band.name}_{output}" for output in reducer.outputs])
            for band in inputs
        ]
    bands: list[Band] = []
    for group, names in groups:
        node = Surrounded(
            "reduceConnectedComponents", compute, lambda _: (size, size),
            [labels.pixels, *(band.pixels for band in group)], reducer.key, size,
        )  # fmt: skip
        bands.extend(several(node, names, reducer.output_types([band.type for band in group]), group))
    return image.with_bands(bands)


def _extents(groups: Labels, count: int) -> NDArray[np.int64]:
    """Width or height of each object, the larger."""
    rows, columns = np.nonzero(groups >= 0)
    labels = groups[rows, columns]
    spans = []
    for places in (rows, columns):
        least, most = np.full(count, groups.size), np.full(count, -1)
        np.minimum.at(least, labels, places)
        np.maximum.at(most, labels, places)
        spans.append(most - least + 1)
    return np.asarray(np.maximum(*spans))
