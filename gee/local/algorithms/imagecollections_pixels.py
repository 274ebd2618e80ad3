"""Image collections made into one image: mosaics, composites, reductions, stacks of bands and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gee import limits
from gee.local.errors import EngineError
from gee.local.geometry.projections import WGS84, Grid, Projection
from gee.local.raster.images import Band, Image, footprint_of, unique_names
from gee.local.raster.pixels import Pixels, Pointwise, Raster, nothing, shape_of
from gee.local.raster.reductions import check_inputs, reduced_bands
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm, apply
from gee.local.values import Collection, PixelType


def _images(collection: Collection) -> list[Image]:
    images = list(collection)
    for image in images:
        if not isinstance(image, Image):
            raise EngineError("The collection must hold images.")
    return images


def _by_name(images: Sequence[Image]) -> dict[str, list[Band]]:
    """Bands of a collection matched by name, in order of first appearance."""
    bands: dict[str, list[Band]] = {}
    for image in images:
        for band in image.bands:
            bands.setdefault(band.name, []).append(band)
    return bands


def _union(bands: Sequence[Band]) -> PixelType:
    kind = bands[0].type
    for band in bands[1:]:
        kind = kind.union(band.type)
    return kind


def _shared_projection(bands: Sequence[Band]) -> tuple[Projection, Grid | None]:
    """The projection of composited bands where it is the same for all, else one-degree WGS84."""
    first = bands[0].projection
    if all(band.projection == first for band in bands):
        extents = {band.extent for band in bands}
        return first, extents.pop() if len(extents) == 1 else None
    return WGS84, None


def _shows(raster: Raster) -> bool:
    """Whether it is worth looking for valid pixels."""
    return raster.mask is None or raster.mask.size > 1 or bool(raster.mask.item())


def _on_top(*rasters: Raster) -> Raster:
    """The last valid pixel of a stack; of lower images only what is still hidden is looked at."""
    top = rasters[-1]
    lower = [each for each in reversed(rasters[:-1]) if _shows(each)]
    if top.mask is None or not lower:
        return top
    shape = shape_of([top, *lower])
    kind = np.result_type(*{each.values.dtype for each in (top, *lower)})
    fractional = any(each.mask is not None and each.mask.dtype != np.bool_ for each in (top, *lower))
    values = top.full(shape).values.astype(kind)
    mask = np.broadcast_to(top.mask, shape).astype(np.float32 if fractional else np.bool_)
    flat_values, flat_mask = values.reshape((-1, *values.shape[2:])), mask.reshape(-1)
    hidden = np.flatnonzero(flat_mask == 0)
    for raster in lower:
        if not hidden.size:
            break
        full = raster.full(shape)
        candidates = full.values.reshape((-1, *full.values.shape[2:]))
        if full.mask is None:
            flat_values[hidden], flat_mask[hidden] = candidates[hidden], 1
            break
        weight = full.mask.reshape(-1)[hidden]
        shown = weight != 0
        found = hidden[shown]
        flat_values[found], flat_mask[found] = candidates[found], weight[shown]
        hidden = hidden[~shown]
    return Raster(values, mask)


def _best(scores: Sequence[Raster], layers: Sequence[Raster]) -> Raster:
    """The layer whose score is the highest among those where both are valid; of equal ones the first."""
    shape = shape_of([*scores, *layers])
    kind = np.result_type(*{layer.values.dtype for layer in layers})
    pairs = [pair for pair in zip(scores, layers, strict=True) if all(_shows(each) for each in pair)]
    values = (pairs[0][1] if pairs else layers[0]).full(shape).values.astype(kind)
    seen = np.zeros(shape, np.bool_)
    highest = np.empty(shape)
    for place, (score, layer) in enumerate(pairs):
        better = np.ones(shape, np.bool_)
        for each in (score, layer):
            if each.mask is not None:
                better &= each.mask if each.mask.dtype == np.bool_ else each.mask != 0
        if place == 0:
            highest[...] = score.values  # of no account where nothing has been seen
        else:
            better &= (score.values > highest) | ~seen
            np.copyto(values, layer.values, where=better)
            if place + 1 < len(pairs):
                np.copyto(highest, score.values, where=better)
        seen |= better
    return Raster(values, seen)


def _composite(collection: Collection, name: str, function: Any, chosen: Any) -> Image:
    images = _images(collection)
    bands = []
    for band_name, stack in _by_name(images).items():
        projection, extent = _shared_projection(stack)
        node = Pointwise(name, function, [band.pixels for band in stack])
        bands.append(Band(band_name, _union(stack), projection, chosen(node), extent))
    return Image({}, tuple(bands), footprint_of(images))


@algorithm("ImageCollection.mosaic")
def mosaic(collection: Collection) -> Image:
    """The last image on top, by mask, band by band."""
    return _composite(collection, "mosaic", _on_top, lambda node: node)


@algorithm("ImageCollection.qualityMosaic")
def quality_mosaic(collection: Collection, quality: str) -> Image:
    """All bands of the image whose ``quality`` band is the highest at a pixel."""
    images = _images(collection)
    if not images:
        return Image()
    qualities = [image.band(quality).pixels for image in images]
    count = len(images)

    def best(*rasters: Raster) -> Raster:
        return _best(rasters[:count], rasters[count:])

    bands = []
    for name in images[0].names:
        stack = [image.band(name) for image in images]
        node = Pointwise("qualityMosaic", best, [*qualities, *(band.pixels for band in stack)])
        projection, extent = _shared_projection(stack)
        bands.append(Band(name, _union(stack), projection, node, extent))
    return Image({}, tuple(bands), footprint_of(images))


def reduce_images(images: Sequence[Image], reducer: Reducer, suffixed: bool) -> Image:
    """A reducer across images, band by band, or across bands when it has several inputs.

    The default projection of the result is one-degree WGS84: that of a composite.
    """
    if not images:
        return Image()
    named = _by_name(images)
    if check_inputs(reducer, len(images[0].bands), "the collection"):
        bands = []
        for name, stack in named.items():
            names = [f"{name}_{output}" for output in reducer.outputs] if suffixed else [name]
            bands.extend(reduced_bands(reducer, [stack], names))
    else:
        order = images[0].names
        complete = [image for image in images if set(order) <= set(image.names)]
        stacks = [[image.band(name) for image in complete] for name in order]
        bands = reduced_bands(reducer, stacks, list(reducer.outputs))
    composite = [replace(band, projection=WGS84, extent=None) for band in bands]
    return Image({}, tuple(composite), footprint_of(images))


@algorithm("ImageCollection.reduce")
def reduce(collection: Collection, reducer: Reducer, _: float) -> Image:
    """A reducer across all images; band names get the output's name as a suffix."""
    return reduce_images(_images(collection), reducer, suffixed=True)


for _name in ("and", "count", "max", "mean", "median", "min", "mode", "or", "product", "sum"):
    # Reducers that Earth Engine names differently as shortcuts: reduce.and is Reducer.allNonZero's logic.
    def _shortcut(collection: Collection, reducer: str = _name) -> Image:
        return reduce_images(_images(collection), apply(f"Reducer.{reducer}", {}), suffixed=False)

    algorithm(f"reduce.{_name}")(_shortcut)


@algorithm("ImageCollection.toBands")
def to_bands(collection: Collection) -> Image:
    """All bands of all images, each named after its image's index."""
    bands: list[Band] = []
    images = _images(collection)
    for image in images:
        prefix = image.properties.get("system:index")
        bands.extend(
            replace(band, name=band.name if prefix is None else f"{prefix}_{band.name}")
            for band in image.bands
        )
        if len(bands) > limits.MAX_STACKED_BANDS:
            raise EngineError(f"Too many bands: at most {limits.MAX_STACKED_BANDS} can be stacked.")
    names = unique_names((), [band.name for band in bands])
    stacked = tuple(replace(band, name=name) for band, name in zip(bands, names, strict=True))
    return Image({}, stacked, footprint_of(images))


@algorithm("ImageCollection.combine")
def combine(primary: Collection, secondary: Collection, overwrite: bool) -> Collection:
    """Images of two collections with the same index, the bands of both together."""
    others = {image.properties.get("system:index"): image for image in _images(secondary)}
    combined = []
    for image in _images(primary):
        other = others.get(image.properties.get("system:index"))
        if other is not None:
            arguments = {"dstImg": image, "srcImg": other, "overwrite": overwrite}
            combined.append(apply("Image.addBands", arguments))
    return primary.of(combined)


@algorithm("ImageCollection.toArray")
def to_array(collection: Collection) -> Image:
    """Arrays of image by band per pixel, of the images that are valid in all bands there."""
    images = [image for image in _images(collection) if image.bands]
    if not images:
        return Image({}, (_empty_array(),))
    width = len(images[0].bands)
    if any(len(image.bands) != width for image in images):
        raise EngineError("All images must have the same number of bands.")
    every = [band for image in images for band in image.bands]
    if any(band.type.dimensions for band in every):
        raise EngineError("Image pixels must be numbers, not arrays.")
    kind = replace(_union(every), dimensions=2)

    def stack(*rasters: Raster) -> Raster:
        shape = shape_of(rasters)
        values = np.stack(
            [raster.full(shape).values.astype(kind.dtype, copy=False) for raster in rasters], axis=2
        )
        valid = np.stack([raster.valid(shape) for raster in rasters], axis=2)
        values = values.reshape((*shape, len(images), width))
        whole = np.logical_and.reduce(valid.reshape(values.shape), axis=3)
        if whole.all():
            return Raster(values)
        counts = whole.sum(axis=2)
        if counts.min() == counts.max():
            # Valid rows first, in order: a stable sort of the flags.
            order = np.argsort(~whole, axis=2, kind="stable")[:, :, : int(counts.min())]
            return Raster(np.take_along_axis(values, order[..., None], axis=2))
        ragged = np.empty(shape, object)
        for index in np.ndindex(*shape):
            ragged[index] = values[index][whole[index]]
        return Raster(ragged)

    return Image(
        {}, (_array_band(every, kind, Pointwise("toArray", stack, [b.pixels for b in every], width)),)
    )


def _array_band(every: Sequence[Band], kind: PixelType, node: Pixels, name: str = "array") -> Band:
    projection, extent = _shared_projection(every)
    return Band(name, kind, projection, node, extent)


def _empty_array() -> Band:
    kind = PixelType("double", dimensions=2)
    return Band("array", kind, WGS84, Pointwise("no array", lambda: nothing(np.float64, 2), []))


@algorithm("ImageCollection.toArrayPerBand")
def to_array_per_band(collection: Collection, axis: int, drop_masked: bool) -> Image:
    """Per band, an array of its value in every image; masked where any is, unless those are dropped."""
    images = _images(collection)
    bands = []
    for name, stack in _by_name(images).items():
        dimensions = stack[0].type.dimensions
        if axis > dimensions or axis < 0:
            raise EngineError(f"Axis must be between 0 and {dimensions}. Found {axis}.")
        kind = replace(_union(stack), dimensions=max(dimensions, axis + 1))

        def join(*rasters: Raster, wanted: PixelType = kind, scalar: bool = dimensions == 0) -> Raster:
            return _joined(rasters, wanted, axis, scalar, drop_masked)

        node = Pointwise("toArrayPerBand", join, [band.pixels for band in stack], axis, drop_masked)
        bands.append(_array_band(stack, kind, node, name))
    return Image({}, tuple(bands), footprint_of(images))


def _joined(rasters: Sequence[Raster], kind: PixelType, axis: int, scalar: bool, drop_masked: bool) -> Raster:
    shape = shape_of(rasters)
    full = [raster.full(shape) for raster in rasters]
    ragged = any(raster.values.dtype == object for raster in full)
    weights = np.stack([raster.weights(shape) for raster in rasters], axis=-1)
    valid = weights > 0
    weight = weights.max(axis=-1) if drop_masked else weights.min(axis=-1)
    mask = weight if ((weight != 0) & (weight != 1)).any() else weight > 0
    if not ragged and (not drop_masked or valid.all()):
        layers = [raster.values.astype(kind.dtype, copy=False) for raster in full]
        values = np.stack(layers, axis=2 + axis) if scalar else np.concatenate(layers, axis=2 + axis)
        return Raster(values, None if (weight == 1).all() else mask)
    pixels = np.empty(shape, object)
    for index in np.ndindex(*shape):
        used = [np.asarray(raster.values[index]) for raster, ok in zip(full, valid[index], strict=True) if ok]
        if not weight[index]:
            pixels[index] = np.zeros((0,) * kind.dimensions, kind.dtype)
        else:
            pixels[index] = (np.stack if scalar else np.concatenate)(used, axis=axis).astype(kind.dtype)
    return Raster(pixels, mask)
