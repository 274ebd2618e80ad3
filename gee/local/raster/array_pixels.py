"""Pixels that are arrays: functions of arrays applied pixel by pixel, or to all pixels at once.

A definition for one array (as ``Array.*`` has it) is a definition for pixels too. Where the pixels of a
tile all have one shape and NumPy can work on the whole tile, a second definition does that; both give
the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.raster.pixels import Raster, check_tile, masks_intersect

OnePixel = Callable[..., Any]
"""From the arrays or numbers of one pixel to an array or number; None masks the pixel."""
WholeTile = Callable[..., NDArray[Any]]
"""From arrays (height, width, ...) of dense pixels to such an array."""


def lifted(function: OnePixel, dtype: np.dtype[Any], dense: WholeTile | None = None) -> Callable[..., Raster]:
    """A function of rasters from a function of one pixel's arrays.

    Args:
        function: of one pixel.
        dtype: of the result's elements.
        dense: the same for all pixels at once, used where they are of one shape.
    """

    def compute(*rasters: Raster) -> Raster:
        mask = masks_intersect(*(raster.mask for raster in rasters))
        values = [raster.values for raster in rasters]
        if dense is not None and all(array.dtype != object for array in values):
            shape = np.broadcast_shapes(*(array.shape[:2] for array in values))
            spread = [np.broadcast_to(array, shape + array.shape[2:]) for array in values]
            try:
                with np.errstate(all="ignore"):
                    return Raster(dense(*spread).astype(dtype, copy=False), mask)
            except np.linalg.LinAlgError:
                pass  # some pixel cannot be solved: pixel by pixel tells which
        return _by_pixel(function, dtype, values, mask)

    return compute


def _by_pixel(
    function: OnePixel, dtype: np.dtype[Any], values: Sequence[NDArray[Any]], mask: NDArray[Any] | None
) -> Raster:
    shapes = [array.shape[:2] for array in values]
    if mask is not None:
        shapes.append(mask.shape)
    shape: Any = np.broadcast_shapes(*shapes)
    spread = [np.broadcast_to(array, shape + array.shape[2:]) for array in values]
    valid = np.ones(shape, np.bool_) if mask is None else np.broadcast_to(mask != 0, shape).copy()
    results: list[Any] = []
    size = 0
    for index in np.ndindex(*shape):
        if not valid[index]:
            results.append(None)
            continue
        found = function(*(np.asarray(array[index]) for array in spread))
        valid[index] = found is not None
        results.append(None if found is None else np.asarray(found, dtype))
        size += 0 if found is None else results[-1].nbytes
        check_tile(size)
        if not len(results) & 255:
            charge(256)
    return packed(results, shape, dtype, None if valid.all() else _weighed(mask, valid))


def _weighed(mask: NDArray[Any] | None, valid: NDArray[np.bool_]) -> NDArray[Any]:
    if mask is None or mask.dtype == np.bool_:
        return valid
    return np.where(valid, mask, 0).astype(np.float32)


def packed(
    results: Sequence[NDArray[Any] | None],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    mask: NDArray[Any] | None,
) -> Raster:
    """Pixels in reading order as a raster: dense where they are of one shape, else objects."""
    sizes = {result.shape for result in results if result is not None}
    if len(sizes) <= 1:
        size = sizes.pop() if sizes else ()
        dense = np.zeros((len(results), *size), dtype)
        for position, result in enumerate(results):
            if result is not None:
                dense[position] = result
        return Raster(dense.reshape(shape + size), mask)
    dimensions = {len(size) for size in sizes}
    if len(dimensions) > 1:
        raise EngineError("Array pixels of different numbers of dimensions cannot be in one band.")
    filler = np.zeros((0,) * dimensions.pop(), dtype)
    ragged = np.empty(len(results), object)
    for position, result in enumerate(results):
        ragged[position] = filler if result is None else result
    return Raster(ragged.reshape(shape), mask)
