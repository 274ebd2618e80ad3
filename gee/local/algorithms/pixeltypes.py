"""PixelType.*: precision, range and dimensions of pixels and of array elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gee.local.errors import EngineError
from gee.local.registry import algorithm
from gee.local.scalars.promotions import PIXEL_TYPES, as_pixel_type
from gee.local.values import PixelType


@algorithm("PixelType")
def pixel_type(precision: Any, minimum: float | None, maximum: float | None, dimensions: int) -> PixelType:
    """A type of a precision and range; a pixel type given as precision stays what it is."""
    if precision in ("int", "float", "double"):
        kind = PixelType(precision)
    else:
        try:
            kind = as_pixel_type(precision)
        except TypeError as error:
            raise EngineError(f"Unknown pixel precision {precision!r}.") from error
    if dimensions < 0:
        raise EngineError(f"Dimensions must not be negative. Found {dimensions}.")
    return PixelType(
        kind.precision,
        kind.minimum if minimum is None else minimum,
        kind.maximum if maximum is None else maximum,
        dimensions or kind.dimensions,
    )


def _constant(kind: PixelType) -> Callable[[], PixelType]:
    return lambda: kind


for _name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float", "double"):
    algorithm(f"PixelType.{_name}")(_constant(PIXEL_TYPES[_name]))


@algorithm("PixelType.dimensions")
def dimensions(kind: PixelType) -> int:
    """Number of dimensions of array pixels; 0 of single values."""
    return kind.dimensions


@algorithm("PixelType.minValue")
def minimum(kind: PixelType) -> float:
    """The smallest value; minus infinity where there is none."""
    return -math.inf if kind.minimum is None else kind.minimum


@algorithm("PixelType.maxValue")
def maximum(kind: PixelType) -> float:
    """The largest value; infinity where there is none."""
    return math.inf if kind.maximum is None else kind.maximum


@algorithm("PixelType.precision")
def precision(kind: PixelType) -> str:
    """One of 'int', 'float' or 'double'."""
    return kind.precision
