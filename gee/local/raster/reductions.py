"""Reducers applied to rasters: across the images of a stack, or the bands of an image.

The one place where rasters become what `reducers` take: values along the first axis, masks as weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.raster.images import Band, several
from gee.local.raster.pixels import Pixels, Pointwise, Raster, shape_of
from gee.local.reduction.reducers import Reducer


def reduce_rasters(reducer: Reducer, stacks: Sequence[Sequence[Raster]]) -> list[Raster]:
    """Reduce rasters pixel by pixel.

    Args:
        reducer: with as many inputs as there are stacks.
        stacks: per input, rasters in order, as many of each; ``stacks[i][k]`` belongs with ``stacks[j][k]``.

    Returns:
        One raster per output.
    """
    everything = [raster for stack in stacks for raster in stack]
    shape = shape_of(everything)
    dtypes = [np.result_type(*{raster.values.dtype for raster in stack}) for stack in stacks]
    flat = all(raster.values.ndim == 2 for raster in everything)
    layers = reducer.accumulator(shape, dtypes) if flat else None
    if layers is None:
        values = [np.stack([raster.full(shape).values for raster in stack]) for stack in stacks]
        weights = [np.stack([_weights(raster, shape) for raster in stack]) for stack in stacks]
        results = reducer(values, weights)
    else:
        for rasters in zip(*stacks, strict=True):
            layers.add(
                [raster.full(shape).values for raster in rasters],
                [_weights(raster, shape) for raster in rasters],
            )
        results = layers.result()
    return [Raster(result, None if valid.all() else valid) for result, valid in results]


def _weights(raster: Raster, shape: tuple[int, int]) -> Any:
    if raster.mask is None or raster.mask.dtype == np.bool_:
        return raster.valid(shape)
    return raster.weights(shape)


def reduction(reducer: Reducer, stacks: Sequence[Sequence[Pixels]]) -> Pixels:
    """The node that reduces stacks of nodes; see `reduce_rasters`."""
    counts = [len(stack) for stack in stacks]

    def compute(*rasters: Raster) -> list[Raster]:
        split, start = [], 0
        for count in counts:
            split.append(rasters[start : start + count])
            start += count
        return reduce_rasters(reducer, split)

    return Pointwise("reduce", compute, [node for stack in stacks for node in stack], reducer.key, counts)


def reduced_bands(reducer: Reducer, stacks: Sequence[Sequence[Band]], names: Sequence[str]) -> list[Band]:
    """Bands of the outputs of a reducer over stacks of bands, one stack per input."""
    kinds = []
    for stack in stacks:
        kind = stack[0].type
        for band in stack[1:]:
            kind = kind.union(band.type)
        kinds.append(kind)
    node = reduction(reducer, [[band.pixels for band in stack] for stack in stacks])
    return several(node, names, reducer.output_types(kinds), [band for stack in stacks for band in stack])


def check_inputs(reducer: Reducer, count: int, what: str) -> bool:
    """Whether a reducer is applied to each of ``count`` inputs separately.

    Raises:
        EngineError: it has several inputs, and not as many.
    """
    if reducer.inputs == 1:
        return True
    if reducer.inputs != count:
        raise EngineError(f"Need {reducer.inputs} bands for Reducer.{reducer.name}, {what} has {count}.")
    return False
