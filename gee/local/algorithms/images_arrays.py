"""Images whose pixels are arrays: made, cut, joined, reduced and flattened.

What is done to the array of a pixel stands in `arrays` and `arrays_linear`; here are the rules of bands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.algorithms import arrays, arrays_linear
from gee.local.algorithms.reducers import reduce_array
from gee.local.errors import EngineError
from gee.local.raster.array_pixels import OnePixel, WholeTile, lifted
from gee.local.raster.images import Band, Image, constant_image, paired, pointwise, several
from gee.local.raster.pixels import Pointwise, Raster
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm
from gee.local.values import DOUBLE, PixelType, type_of

Array = NDArray[Any]


def _band(
    name: str,
    inputs: Sequence[Band],
    function: OnePixel,
    kind: PixelType,
    *parameters: Any,
    dense: WholeTile | None = None,
    band_name: str | None = None,
) -> Band:
    lifted_function = lifted(function, kind.dtype, dense)

    def compute(*rasters: Raster) -> Raster:
        try:
            return lifted_function(*rasters)
        except EngineError as error:
            raise error.within(f"Image.{name.partition(' ')[0]}") from error.__cause__

    return pointwise(name, inputs, compute, kind, *parameters, band_name=band_name)


def _numeric(kind: PixelType, dimensions: int) -> PixelType:
    return replace(kind, dimensions=dimensions)


@algorithm("Image.toArray")
def to_array(image: Image, axis: int) -> Image:
    """The bands of each pixel joined along an axis."""
    if not image.bands:
        raise EngineError("The image has no bands.")
    dimensions = {band.type.dimensions for band in image.bands}
    if len(dimensions) > 1:
        raise EngineError("All bands must have the same number of dimensions.")
    depth = dimensions.pop()
    if not 0 <= axis <= depth:
        raise EngineError(f"Axis must be between 0 and {depth}. Found {axis}.")
    kind = image.bands[0].type
    for band in image.bands:
        kind = kind.union(band.type)
    kind = _numeric(kind, max(depth, axis + 1))

    def join(*pixels: Array) -> Array:
        return np.concatenate([arrays.deepened(pixel, kind.dimensions) for pixel in pixels], axis)

    def joined(*tiles: Array) -> Array:
        deep = [tile.reshape(tile.shape + (1,) * (kind.dimensions + 2 - tile.ndim)) for tile in tiles]
        return np.concatenate(deep, axis + 2)

    band = _band("toArray", image.bands, join, kind, axis, dense=joined, band_name="array")
    return Image({}, (band,), image.geometry)


@dataclass(frozen=True)
class _Change:
    """What happens to each band of an image on its own.

    Args:
        name: of the algorithm, without "Image.".
        function: of a pixel's array and the algorithm's further arguments.
        dimensions: of the result, from those of the input and the further arguments.
        kind: type of the result's elements, or that from the input's; None keeps the input's.
        dense: the same for a tile of pixels.
    """

    name: str
    function: Callable[..., Any]
    dimensions: Callable[..., int]
    kind: PixelType | Callable[..., PixelType] | None = None
    dense: Callable[..., Array] | None = None

    def _type(self, kind: PixelType, arguments: Sequence[Any]) -> PixelType:
        elements = kind if self.kind is None else self.kind
        if not isinstance(elements, PixelType):
            elements = elements(kind, *arguments)
        return replace(elements, dimensions=self.dimensions(kind.dimensions, *arguments))

    def __call__(self, image: Image, *arguments: Any) -> Image:
        key = [getattr(argument, "key", argument) for argument in arguments]
        return image.computed(
            _band(
                self.name,
                [band],
                lambda pixel: self.function(pixel, *arguments),
                self._type(band.type, arguments),
                *key,
                dense=None
                if self.dense is None or not band.type.dimensions
                else lambda tile: self.dense(tile, *arguments),  # type: ignore[misc]
            )
            for band in image.bands
        )


def axis_of(pixel: Array, axis: int) -> int:
    """An axis of an array.

    Raises:
        EngineError: there is none of that number.
    """
    if not 0 <= axis < pixel.ndim:
        raise EngineError(f"Axis must be between 0 and {pixel.ndim - 1}. Found {axis}.")
    return axis


def _sum_type(kind: PixelType) -> PixelType:
    """The type of sums: of integers, all that 64 bits hold."""
    return type_of(np.dtype(np.int64)) if kind.precision == "int" else PixelType(kind.precision)


def _padded(pixel: Array, lengths: Sequence[int], filler: float) -> Array:
    number = int(filler) if float(filler).is_integer() else filler
    wide = np.result_type(pixel.dtype, np.min_scalar_type(number))
    return arrays.pad(pixel.astype(wide), lengths, number)


def _transposed(tile: Array, first: int, second: int) -> Array:
    deep = tile if tile.ndim > 3 else tile[..., None]
    if not all(0 <= axis < deep.ndim - 2 for axis in (first, second)):
        raise np.linalg.LinAlgError  # the definition for one pixel says what is wrong
    return np.swapaxes(deep, first + 2, second + 2)


def _inverted(tile: Array) -> Array:
    if tile.ndim != 4:
        raise np.linalg.LinAlgError
    return np.linalg.inv(tile.astype(np.float64))


_LENGTH = PixelType("int", 0, 2**31 - 1)
_CHANGES = (
    _Change("arrayDimensions", lambda pixel: pixel.ndim, lambda d: 0, _LENGTH),
    _Change("arrayLength", lambda pixel, axis: pixel.shape[axis_of(pixel, axis)],
            lambda d, axis: 0, _LENGTH),
    _Change("arrayLengths", lambda pixel: list(pixel.shape), lambda d: 1, _LENGTH),
    _Change("arrayArgmax", arrays.argmax, lambda d: 1, _LENGTH),
    _Change("arrayPad", _padded, lambda d, lengths, filler: d,
            lambda kind, lengths, filler: kind.union(constant_image(filler).bands[0].type)),
    _Change("arrayProject", arrays.project, lambda d, axes: len(axes)),
    _Change("arrayTranspose", arrays.transpose, lambda d, a, b: max(d, 2), dense=_transposed),
    _Change("matrixTranspose", arrays.transpose, lambda d, a, b: max(d, 2), dense=_transposed),
    _Change("arrayAccum", arrays.accumulated, lambda d, axis, reducer: d,
            lambda kind, axis, reducer: _sum_type(kind)),
    _Change("bitsToArrayImage", lambda pixel: arrays.bits_to_array(pixel.item()), lambda d: 1,
            PixelType("int", 0, 1)),
    _Change("matrixDiagonal", arrays_linear.diagonal, lambda d: 2),
    _Change("matrixToDiag", arrays_linear.to_diagonal, lambda d: 2),
    _Change("matrixInverse", arrays_linear.inverse, lambda d: 2, DOUBLE, _inverted),
    _Change("matrixPseudoInverse", arrays_linear.pseudo_inverse, lambda d: 2, DOUBLE),
    _Change("matrixFnorm", arrays_linear.frobenius_norm, lambda d: 0, DOUBLE),
    _Change("matrixTrace", arrays_linear.trace, lambda d: 0, DOUBLE),
    _Change("matrixDeterminant", arrays_linear.determinant, lambda d: 0, DOUBLE),
)  # fmt: skip
for _change in _CHANGES:
    algorithm(f"Image.{_change.name}")(_change)


def _pairwise(
    name: str,
    function: Callable[..., Any],
    dimensions: Callable[[int, int], int],
    kind: PixelType | None = None,
    dense: WholeTile | None = None,
) -> None:
    """Define an algorithm on matched pairs of bands of two images."""

    def apply(first: Image, second: Image) -> Image:
        return first.computed(
            _band(
                name,
                [a, b],
                function,
                _numeric(
                    kind or _sum_type(a.type.union(b.type)), dimensions(a.type.dimensions, b.type.dimensions)
                ),
                dense=dense if a.type.dimensions and b.type.dimensions else None,
                band_name=band_name,
            )
            for a, b, band_name in paired(first, second)
        )

    algorithm(f"Image.{name}")(apply)


def _multiplied(left: Array, right: Array) -> Any:
    if left.ndim != 4 or right.ndim != 4 or left.shape[3] != right.shape[2]:
        raise np.linalg.LinAlgError
    return left.astype(np.float64) @ right.astype(np.float64)


def _solved(left: Array, right: Array) -> Any:
    if left.ndim != 4 or right.ndim != 4 or left.shape[2] != left.shape[3]:
        raise np.linalg.LinAlgError
    return np.linalg.solve(left.astype(np.float64), right.astype(np.float64))


_pairwise("arrayDotProduct", arrays.dot_product, lambda a, b: 0)
_pairwise("matrixMultiply", arrays_linear.multiply, lambda a, b: 2, DOUBLE, _multiplied)
_pairwise("matrixSolve", arrays_linear.solve, lambda a, b: 2, DOUBLE, _solved)


@algorithm("Image.arrayMask")
def array_mask(image: Image, mask: Image) -> Image:
    """The positions along one axis of each array where a mask array is not zero."""
    return image.computed(
        _band("arrayMask", [band, flags], arrays.mask, band.type, band_name=name)
        for band, flags, name in paired(image, mask)
    )


@algorithm("Image.arraySort")
def array_sort(image: Image, keys: Image | None) -> Image:
    """Elements of each array sorted along one axis, by keys where they are given."""
    if keys is None:
        return image.computed(
            _band("arraySort", [band], lambda pixel: arrays.sort(pixel, None), band.type)
            for band in image.bands
        )
    return image.computed(
        _band("arraySort by", [band, key], arrays.sort, band.type, band_name=name)
        for band, key, name in paired(image, keys)
    )


@algorithm("Image.arrayCat")
def array_cat(first: Image, second: Image, axis: int) -> Image:
    """Arrays of matched bands joined along an axis."""

    def join(a: Array, b: Array) -> Array:
        return arrays.concatenated([a, b], axis)

    return first.computed(
        _band(
            "arrayCat", [a, b], join,
            _numeric(a.type.union(b.type), max(a.type.dimensions, b.type.dimensions, axis + 1)),
            axis, band_name=name,
        )
        for a, b, name in paired(first, second)
    )  # fmt: skip


@algorithm("Image.arrayRepeat")
def array_repeat(image: Image, axis: int, copies: Image) -> Image:
    """Copies of each array joined along an axis; how many is a band."""

    def repeat(pixel: Array, count: Array) -> Array:
        return arrays.repeat(pixel, axis, int(count))

    return image.computed(
        _band(
            "arrayRepeat", [band, count], repeat,
            _numeric(band.type, max(band.type.dimensions, axis + 1)), axis, band_name=name,
        )
        for band, count, name in paired(image, copies)
    )  # fmt: skip


@algorithm("Image.arraySlice")
def array_slice(image: Image, axis: int, start: Image | None, end: Image | None, step: int) -> Image:
    """Every so many positions along an axis, from start to before end, which are bands."""
    first = constant_image(0) if start is None else start
    last = [] if end is None else [end.only_band("The end")]

    def cut(pixel: Array, begin: Array, *stop: Array) -> Array:
        return arrays.cut_slices(pixel, axis, int(begin), int(stop[0]) if stop else None, step)

    return image.computed(
        _band("arraySlice", [band, begin, *last], cut, band.type, axis, step, len(last), band_name=name)
        for band, begin, name in paired(image, first)
    )


@algorithm("Image.arrayReshape")
def array_reshape(image: Image, lengths: Image, dimensions: int) -> Image:
    """The elements of each array in other axes; the lengths are an array band."""
    sizes = lengths.only_band("The lengths image")

    def reshape(pixel: Array, shape: Array) -> Array:
        changed = arrays.reshape(pixel, shape)
        if changed.ndim != dimensions:
            raise EngineError(f"Expected {dimensions} lengths. Found {changed.ndim}.").within(
                "Image.arrayReshape"
            )
        return changed

    return image.computed(
        _band("arrayReshape", [band, sizes], reshape, _numeric(band.type, dimensions), dimensions)
        for band in image.bands
    )


@algorithm("Image.arrayGet")
def array_get(image: Image, position: Image) -> Image:
    """The number at a position of each array; the position has a band per axis, or is a 1-D array."""
    places = position.bands

    def get(pixel: Array, *indices: Array) -> float:
        where = [int(index) for given in indices for index in np.atleast_1d(given)]
        number: float = arrays.get(pixel, where)
        return number

    return image.computed(
        _band("arrayGet", [band, *places], get, _numeric(band.type, 0), len(places)) for band in image.bands
    )


@algorithm("Image.arrayReduce")
def array_reduce(image: Image, reducer: Reducer, axes: Sequence[int], field_axis: int | None) -> Image:
    """A reducer over axes of each array, which keep length 1 (or that of the outputs on the field axis)."""

    def reduced(tile: Array) -> Array:
        over = sorted(set(axes))
        if reducer.inputs != 1 or len(reducer.outputs) != 1 or not all(0 <= a < tile.ndim - 2 for a in over):
            raise np.linalg.LinAlgError  # the definition for one pixel says what is wrong
        kept = [axis + 2 for axis in range(tile.ndim - 2) if axis not in over]
        front = tile.transpose([a + 2 for a in over] + [0, 1, *kept])
        stacked = front.reshape((-1, *front.shape[len(over) :]))
        if not len(stacked):
            raise np.linalg.LinAlgError
        [(result, valid)] = reducer([stacked], np.ones(stacked.shape, np.bool_))
        if result.dtype == object or result.shape != valid.shape or not valid.all():
            raise np.linalg.LinAlgError
        return np.asarray(
            result.reshape([1 if axis - 2 in over else tile.shape[axis] for axis in range(tile.ndim)])
        )

    bands = []
    for band in image.bands:
        kinds = reducer.output_types([band.type] * reducer.inputs)
        kind = kinds[0]
        for other in kinds[1:]:
            kind = kind.union(other)
        bands.append(
            _band(
                "arrayReduce", [band],
                lambda pixel: reduce_array(pixel, reducer, axes, field_axis),
                _numeric(kind, band.type.dimensions), reducer.key, list(axes), field_axis,
                dense=reduced if field_axis is None else None,
            )
        )  # fmt: skip
    return image.computed(bands)


@algorithm("Image.arrayFlatten")
def array_flatten(image: Image, labels: Sequence[Sequence[str]], separator: str) -> Image:
    """A scalar band for each element of arrays that all have one shape, named by labels of its position."""
    band = image.only_band("An image to flatten")
    shape = tuple(len(names) for names in labels)
    names = [separator.join(parts) for parts in product(*labels)]

    def flatten(raster: Raster) -> list[Raster]:
        tile = raster.values
        if tile.dtype == object or tile.shape[2:] != shape:
            found = _odd_shape(raster, shape)
            if found is not None:
                raise EngineError(
                    f"Array pixels have lengths {list(found)}, but the labels are for {list(shape)}."
                ).within("Image.arrayFlatten")
            height_width: Any = tile.shape[:2]
            tile = np.zeros(height_width + shape, band.type.dtype)
            if raster.values.dtype == object:
                for index in np.argwhere(raster.valid(height_width)):
                    tile[tuple(index)] = raster.values[tuple(index)]
        flat = tile.reshape((*tile.shape[:2], math.prod(shape)))
        return [Raster(flat[:, :, position], raster.mask) for position in range(flat.shape[2])]

    node = Pointwise("arrayFlatten", flatten, [band.pixels], shape)
    return image.computed(several(node, names, [_numeric(band.type, 0)] * len(names), [band]))


def _odd_shape(raster: Raster, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of a valid pixel that is not the one expected, or None."""
    values = raster.values
    height_width: Any = values.shape[:2]
    valid = raster.valid(
        height_width if raster.mask is None else np.broadcast_shapes(height_width, raster.mask.shape)
    )
    if not valid.any():
        return None
    if values.dtype != object:
        size: tuple[int, ...] = values.shape[2:]
        return size if size != shape else None
    for index in np.argwhere(valid):
        if values[tuple(index)].shape != shape:
            found: tuple[int, ...] = values[tuple(index)].shape
            return found
    return None


@algorithm("Image.matrixIdentity")
def matrix_identity(size: int) -> Image:
    """An identity matrix per pixel."""
    return constant_image(arrays.identity(size))


def _decomposition(name: str, decompose: Callable[[Array], dict[str, Array]], outputs: Sequence[str]) -> None:
    def apply(image: Image) -> Image:
        band = image.only_band("An image to decompose")
        return image.computed(
            _band(f"{name} {output}", [band], lambda pixel, o=output: decompose(pixel)[o],
                  _numeric(DOUBLE, 2), band_name=output)
            for output in outputs
        )  # fmt: skip

    algorithm(f"Image.{name}")(apply)


_decomposition("matrixCholeskyDecomposition", arrays_linear.cholesky, ("L",))
_decomposition("matrixLUDecomposition", arrays_linear.lower_upper, ("L", "U", "P"))
_decomposition("matrixQRDecomposition", arrays_linear.orthogonal_triangular, ("Q", "R"))
_decomposition("matrixSingularValueDecomposition", arrays_linear.singular_values, ("U", "S", "V"))
