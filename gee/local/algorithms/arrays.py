"""Array.*: the element-wise table on arrays, and what changes their shape, picks from them or reduces them.

The functions take and give plain NumPy arrays, so that images whose pixels are arrays apply the same ones
to each pixel. Axes count from 0; a function that joins or repeats along the axis after the last one adds
that axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm
from gee.local.scalars.elementwise import INT64, OPERATIONS, Operation, saturating_cast
from gee.local.scalars.promotions import array_of
from gee.local.values import PixelType, type_of

Array = NDArray[Any]


def _bounded(size: int) -> None:
    if size > limits.MAX_SEQUENCE:
        raise EngineError(f"Array of {size} elements is too large: at most {limits.MAX_SEQUENCE}.")


def _axis(array: Array, axis: int, beyond: int = 0) -> int:
    if not 0 <= axis < array.ndim + beyond:
        raise EngineError(f"Axis must be between 0 and {array.ndim + beyond - 1}. Found {axis}.")
    return axis


def deepened(array: Array, dimensions: int) -> Array:
    """The array with axes of length 1 added at its end until it has so many."""
    return array.reshape(array.shape + (1,) * (dimensions - array.ndim))


def apply_operation(operation: Operation, *arrays: Array) -> Array:
    """An element-wise operation on arrays of one shape; a 0-D array meets every element.

    Raises:
        EngineError: the shapes differ.
    """
    shapes = {array.shape for array in arrays if array.ndim}
    if len(shapes) > 1:
        first, second = (list(array.shape) for array in arrays)
        raise EngineError(f"Array lengths differ: {first} and {second}.")
    return operation.compute(*arrays)


for _operation in OPERATIONS.values():
    algorithm(*(f"Array.{name}" for name in _operation.names))(partial(apply_operation, _operation))


@algorithm("Array")
def array(values: Any, kind: PixelType | None) -> Array:
    """An array of numbers in nested lists, or another array's elements in a type."""
    return array_of(values, kind)


@algorithm("Array.identity")
def identity(size: int) -> Array:
    """The square matrix with ones on its diagonal."""
    if size < 0:
        raise EngineError(f"Size must not be negative. Found {size}.")
    _bounded(size * size)
    return np.eye(size)


@algorithm("Array.bitsToArray")
def bits_to_array(number: float) -> Array:
    """The bits of a 64-bit integer, the lowest first, up to the highest that is set."""
    if not float(number).is_integer() or not INT64[0] <= number <= INT64[1]:
        raise EngineError(f"Need an integer. Found {number}.")
    word = int(number) & 0xFFFFFFFFFFFFFFFF
    return np.array([word >> bit & 1 for bit in range(max(word.bit_length(), 1))], np.int32)


@algorithm("Array.length")
def length(values: Array) -> Array:
    """The lengths of the axes."""
    return np.array(values.shape, np.int32)


@algorithm("Array.toList")
def to_list(values: Array) -> Any:
    """Nested lists of numbers."""
    return values.tolist()


@algorithm("Array.argmax")
def argmax(values: Array) -> list[int] | None:
    """The position of the largest value, the first where there are several; null of an empty array."""
    if values.size == 0:
        return None
    return [int(index) for index in np.unravel_index(int(np.argmax(values)), values.shape)]


@algorithm("Array.get")
def get(values: Array, position: Sequence[int]) -> Any:
    """The number at a position."""
    if len(position) != values.ndim or not all(
        0 <= index < size for index, size in zip(position, values.shape, strict=True)
    ):
        raise EngineError(f"Position {list(position)} is not in an array of lengths {list(values.shape)}.")
    return values[tuple(position)].item()


@algorithm("Array.cut")
def cut(values: Array, position: Sequence[int]) -> Array:
    """The part at a position of each axis, where -1 is the whole axis; every axis is kept."""
    if len(position) != values.ndim or not all(
        -1 <= index < size for index, size in zip(position, values.shape, strict=True)
    ):
        raise EngineError(f"Position {list(position)} is not in an array of lengths {list(values.shape)}.")
    return values[tuple(slice(None) if index == -1 else slice(index, index + 1) for index in position)]


def concatenated(arrays: Sequence[Array], axis: int) -> Array:
    """Arrays joined along an axis, with elements of the type that holds all of theirs.

    Raises:
        EngineError: there are none, or their lengths differ on another axis.
    """
    if not arrays:
        raise EngineError("Need at least one array.")
    dimensions = max(max(each.ndim for each in arrays), _axis(arrays[0], axis, beyond=1) + 1)
    for each in arrays:
        if each.ndim != arrays[0].ndim:
            raise EngineError(f"Array dimensions differ: {arrays[0].ndim} and {each.ndim}.")
    _bounded(sum(each.size for each in arrays))
    kind = type_of(arrays[0].dtype)
    for dtype in dict.fromkeys(each.dtype for each in arrays):
        kind = kind.union(type_of(dtype))
    try:
        return np.concatenate([deepened(each, dimensions) for each in arrays], axis, dtype=kind.dtype)
    except ValueError as error:
        shapes = ", ".join(str(list(each.shape)) for each in arrays)
        raise EngineError(f"Array lengths differ on other axes than {axis}: {shapes}.") from error


algorithm("Array.cat")(concatenated)


@algorithm("Array.repeat")
def repeat(values: Array, axis: int, copies: int) -> Array:
    """Copies of the array joined along an axis."""
    if copies < 0:
        raise EngineError(f"Copies must not be negative. Found {copies}.")
    _bounded(values.size * copies)
    deep = deepened(values, max(values.ndim, _axis(values, axis, beyond=1) + 1))
    return np.concatenate([deep] * copies, axis) if copies else deep.take([], axis)


@algorithm("Array.pad")
def pad(values: Array, lengths: Sequence[int], filler: float) -> Array:
    """The array extended at the end of its axes to lengths, where it is not as long already."""
    if len(lengths) != values.ndim:
        raise EngineError(f"Need {values.ndim} lengths. Found {len(lengths)}.")
    shape = tuple(map(max, values.shape, lengths))
    _bounded(math.prod(shape))
    padded = np.full(shape, saturating_cast(values.dtype, np.asarray(filler)), values.dtype)
    padded[tuple(map(slice, values.shape))] = values
    return padded


@algorithm("Array.project")
def project(values: Array, axes: Sequence[int]) -> Array:
    """The array with only some axes, in their order; the others must have length 1."""
    if len(set(axes)) != len(axes):
        raise EngineError(f"Axes must differ. Found {list(axes)}.")
    kept = [_axis(values, axis) for axis in axes]
    dropped = [axis for axis in range(values.ndim) if axis not in kept]
    if any(values.shape[axis] > 1 for axis in dropped):
        raise EngineError(f"Dropped axes must have length 1: {list(values.shape)} without {dropped}.")
    if any(values.shape[axis] == 0 for axis in dropped):
        return np.zeros([0] * len(kept), values.dtype)
    return values.transpose(kept + dropped).reshape([values.shape[axis] for axis in kept])


@algorithm("Array.reshape")
def reshape(values: Array, shape: Array) -> Array:
    """The same elements in other axes; a length of -1 is what keeps their number."""
    lengths = [int(size) for size in np.atleast_1d(shape)]
    try:
        if sum(size == -1 for size in lengths) > 1 or min(lengths, default=0) < -1:
            raise ValueError
        return values.reshape(lengths)
    except ValueError as error:
        raise EngineError(f"Cannot reshape lengths {list(values.shape)} to {lengths}.") from error


@algorithm("Array.slice")
def cut_slices(values: Array, axis: int, start: int, end: int | None, step: int) -> Array:
    """Every so many positions of an axis, from start to before end; negative ones count from its end."""
    if step < 1:
        raise EngineError(f"Step must be positive. Found {step}.")
    return values[(slice(None),) * _axis(values, axis) + (slice(start, end, step),)]


def _long_axis(shape: tuple[int, ...], what: str) -> int:
    """The axis along which something has several elements."""
    found = [axis for axis, size in enumerate(shape) if size != 1]
    if len(found) > 1:
        raise EngineError(f"{what} can have several elements along one axis only. Found {list(shape)}.")
    return found[0] if found else 0


@algorithm("Array.mask")
def mask(values: Array, flags: Array) -> Array:
    """The positions of an axis where a mask along it is not zero."""
    if values.ndim == 0 or flags.ndim > values.ndim:
        raise EngineError(f"A mask of {flags.ndim} dimensions fits no array of {values.ndim}.")
    axis = _long_axis(flags.shape, "The mask")
    if flags.size != values.shape[axis]:
        raise EngineError(
            f"The mask must be as long as the array along axis {axis}: {flags.size} and {values.shape[axis]}."
        )
    return values.compress(flags.ravel() != 0, axis)


@algorithm("Array.sort")
def sort(values: Array, keys: Array | None) -> Array:
    """Positions along one axis in ascending order of keys, which are the values unless given."""
    keys = values if keys is None else keys
    if keys.ndim > values.ndim or values.ndim == 0:
        raise EngineError(f"Keys of {keys.ndim} dimensions fit no array of {values.ndim}.")
    axis = _long_axis(keys.shape, "The keys")
    if keys.size != values.shape[axis]:
        raise EngineError(
            f"Need as many keys as positions on axis {axis}: {keys.size}, {values.shape[axis]}."
        )
    return values.take(np.argsort(keys.ravel(), kind="stable"), axis)


@algorithm("Array.transpose", "Array.matrixTranspose")
def transpose(values: Array, first: int, second: int) -> Array:
    """Two axes exchanged; a vector is a column."""
    deep = deepened(values, max(values.ndim, min(first, second, values.ndim) + 2))
    return np.swapaxes(deep, _axis(deep, first), _axis(deep, second))


@algorithm("Array.dotProduct")
def dot_product(first: Array, second: Array) -> Any:
    """The sum of the products of two vectors' elements."""
    if first.ndim != 1 or first.shape != second.shape:
        raise EngineError(
            f"Need 1-D arrays of equal lengths. Found {list(first.shape)} and {list(second.shape)}."
        )
    return sum((np.multiply(first, second, dtype=np.result_type(first, second, np.int64))).tolist())


@algorithm("Array.accum")
def accumulated(values: Array, axis: int, reducer: Reducer | None) -> Array:
    """What a reducer gives for the elements of an axis up to each; their sums without one."""
    front = np.moveaxis(values, _axis(values, axis), 0)
    if reducer is None:
        sums = np.cumsum(front, axis=0, dtype=np.float64 if values.dtype.kind == "f" else np.int64)
        return np.moveaxis(sums, 0, axis)
    if reducer.inputs != 1 or len(reducer.outputs) != 1:
        raise EngineError(f"Need a reducer of one input and one output, not Reducer.{reducer.name}.")
    if not values.size:
        return values
    flat = front.reshape(len(front), -1)
    [(results, valid)] = reducer.running([flat], np.ones(flat.shape, np.bool_))
    if results.dtype == object or results.shape != valid.shape:
        raise EngineError(f"The output of Reducer.{reducer.name} must be a number.")
    if not valid.all():
        raise EngineError(f"Reducer.{reducer.name} has no result for some elements.")
    return np.moveaxis(results.reshape(front.shape), 0, axis)
