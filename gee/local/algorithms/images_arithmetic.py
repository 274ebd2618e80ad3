"""The element-wise operations on images: band by band, valid where all operands are.

Which operations there are, how they are computed and what type they give stands in `elementwise`; here
are only the rules of images. Source: guides/image_math; descriptions of ``Image.add`` and its kin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.raster.images import Band, Image, paired, pointwise
from gee.local.raster.pixels import Raster, masks_intersect
from gee.local.registry import algorithm, signatures
from gee.local.scalars.elementwise import OPERATIONS, Operation
from gee.local.values import PixelType


def apply_operation(operation: Operation, inputs: list[Band], name: str) -> Band:
    """The band an operation gives for one or two bands."""
    kind = operation.result_type(*(band.type for band in inputs))
    compute = _of_numbers(operation, kind) if kind.dimensions == 0 else _of_any(operation, kind)
    return pointwise(operation.name, inputs, compute, kind, kind, band_name=name)


def _of_numbers(operation: Operation, kind: PixelType) -> Callable[..., Raster]:
    kernel, dtype = operation.kernel, kind.dtype  # pixels are computed with NumPy's warnings off

    def one(raster: Raster) -> Raster:
        return Raster(kernel(dtype, raster.values), raster.mask)

    def two(first: Raster, second: Raster) -> Raster:
        mask = first.mask if second.mask is None else masks_intersect(first.mask, second.mask)
        return Raster(kernel(dtype, first.values, second.values), mask)

    return one if operation.operands == 1 else two


def _of_any(operation: Operation, kind: PixelType) -> Callable[..., Raster]:
    def compute(*rasters: Raster) -> Raster:
        mask = masks_intersect(*(raster.mask for raster in rasters))
        return _of_arrays(operation, kind, [raster.values for raster in rasters], mask)

    return compute


def _of_arrays(
    operation: Operation, kind: PixelType, values: list[NDArray[Any]], mask: NDArray[Any] | None
) -> Raster:
    """Array pixels: a number meets every element, arrays must be of one shape."""
    if all(array.dtype != object for array in values):
        rank = max(array.ndim for array in values)
        shapes = {array.shape[2:] for array in values if array.ndim > 2}
        if len(shapes) == 1:
            aligned = [array.reshape(array.shape + (1,) * (rank - array.ndim)) for array in values]
            return Raster(operation.compute(*aligned, dtype=kind.dtype), mask)
    shape: Any = np.broadcast_shapes(*(array.shape[:2] for array in values))
    spread = [np.broadcast_to(array, shape + array.shape[2:]) for array in values]
    result = np.empty(shape, object)
    valid = np.ones(shape, np.bool_) if mask is None else np.broadcast_to(mask != 0, shape)
    for index in np.ndindex(*shape):
        operands = [np.asarray(array[index]) for array in spread]
        if not valid[index]:
            result[index] = np.zeros((0,) * kind.dimensions, kind.dtype)
            continue
        sizes = {operand.shape for operand in operands if operand.ndim}
        if len(sizes) > 1:
            first, second = (list(operand.shape) for operand in operands[:2])
            raise EngineError(f"Array lengths differ: {first} and {second}.").within(
                f"Image.{operation.name}"
            )
        result[index] = operation.compute(*operands, dtype=kind.dtype)
    return Raster(result, mask)


def _unary(operation: Operation) -> Any:
    def apply(image: Image) -> Image:
        bands = [apply_operation(operation, [band], band.name) for band in image.bands]
        # A cast changes how pixels are stored, not what the image is: it keeps the properties.
        return image.with_bands(bands) if operation.casts else image.computed(bands)

    return apply


def _binary(operation: Operation) -> Any:
    def apply(first: Image, second: Image) -> Image:
        bands = [apply_operation(operation, [a, b], name) for a, b, name in paired(first, second)]
        result = first.computed(bands)
        return result if first.geometry is not None else replace(result, geometry=second.geometry)

    return apply


for _operation in OPERATIONS.values():
    for _name in _operation.names:
        if f"Image.{_name}" in signatures():
            _make = _unary if _operation.operands == 1 else _binary
            algorithm(f"Image.{_name}")(_make(_operation))
