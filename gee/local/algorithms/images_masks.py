"""Masks, conditional replacement, remapping and clipping of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.raster.images import Band, Image, as_image, pointwise
from gee.local.raster.pixels import Located, Pointwise, Raster, masks_intersect
from gee.local.raster.regions import common, inside, key_of
from gee.local.registry import algorithm, promote
from gee.local.values import Collection, PixelType

_FRACTION = PixelType("float", 0, 1)
_BOOLEAN = PixelType("int", 0, 1)


def _matched(image: Image, other: Image, role: str) -> list[tuple[Band, Band]]:
    """Each band of an image with its band of another: the only one, or the one at its place."""
    if len(other.bands) == 1:
        return [(band, other.bands[0]) for band in image.bands]
    if len(other.bands) != len(image.bands):
        raise EngineError(
            f"The {role} must have one band, or as many as the image. Found {len(other.bands)} "
            f"for {len(image.bands)}."
        )
    return list(zip(image.bands, other.bands, strict=True))


def as_mask(raster: Raster) -> NDArray[Any] | None:
    """A raster's values as a mask between 0 and 1; where it is masked itself, 0."""
    values = raster.values
    if values.dtype.kind in "iub":
        mask = values != 0
    else:
        mask = np.clip(np.nan_to_num(values), 0, 1).astype(np.float32)
        if not ((mask != 0) & (mask != 1)).any():
            mask = mask != 0
    combined = masks_intersect(mask, raster.mask)
    return None if combined is not None and combined.dtype == np.bool_ and combined.all() else combined


@algorithm("Image.mask")
def mask(image: Image, new: Image | None) -> Image:
    """The mask of each band, or each band under a mask that replaces its own.

    Newly valid pixels become 0, or the number of their type closest to it.
    """
    if new is None:
        return image.with_bands(pointwise("mask of", [band], _mask_of, _FRACTION) for band in image.bands)
    if not image.bands or not new.bands:
        return image.with_bands(())
    if len(image.bands) == 1 and len(new.bands) > 1:
        return _masked(image.with_bands([replace(image.bands[0], name=band.name) for band in new.bands]), new)
    return _masked(image, new)


def _mask_of(raster: Raster) -> Raster:
    if raster.mask is None:
        return Raster(np.ones((1, 1), np.float32))
    return Raster(raster.mask.astype(np.float32))


def _masked(image: Image, new: Image) -> Image:
    def put(raster: Raster, given: Raster, zero: float) -> Raster:
        wanted = as_mask(given)
        if raster.mask is None:
            return Raster(raster.values, wanted)
        hidden = raster.mask == 0
        extra = hidden.reshape(hidden.shape + (1,) * (raster.values.ndim - 2))
        return Raster(np.where(extra, np.asarray(zero, raster.values.dtype), raster.values), wanted)

    bands = []
    for band, its in _matched(image, new, "mask"):
        low = -np.inf if band.type.minimum is None else band.type.minimum
        high = np.inf if band.type.maximum is None else band.type.maximum
        zero = float(np.clip(0, low, high))
        bands.append(
            replace(
                band,
                pixels=Pointwise(
                    "set mask", lambda a, b, z=zero: put(a, b, z), [band.pixels, its.pixels], zero
                ),
            )
        )
    return image.with_bands(bands)


def _update(raster: Raster, given: Raster) -> Raster:
    wanted = as_mask(given)
    if raster.mask is None or wanted is None:
        # What was masked stays so; what was valid takes the new mask.
        return Raster(raster.values, wanted if raster.mask is None else raster.mask != 0)
    if raster.mask.dtype == np.bool_ and wanted.dtype == np.bool_:
        return Raster(raster.values, raster.mask & wanted)
    return Raster(raster.values, np.where(raster.mask != 0, wanted, 0).astype(np.float32))


@algorithm("Image.updateMask")
def update_mask(image: Image, new: Image) -> Image:
    """A new mask where the old one is not zero."""
    return image.with_bands(
        replace(band, pixels=Pointwise("updateMask", _update, [band.pixels, its.pixels]))
        for band, its in _matched(image, new, "mask")
    )


@algorithm("Image.selfMask")
def self_mask(image: Image) -> Image:
    """Each band masked where it is zero."""
    return image.with_bands(
        replace(band, pixels=Pointwise("updateMask", _update, [band.pixels, band.pixels]))
        for band in image.bands
    )


def _unmask(raster: Raster, other: Raster) -> Raster:
    if raster.mask is None:
        return raster
    hidden = raster.mask == 0
    extra = hidden.reshape(hidden.shape + (1,) * (raster.values.ndim - 2))
    values = np.where(extra, other.values, raster.values)
    if other.mask is None and raster.mask.dtype == np.bool_:
        return Raster(values)
    theirs = np.ones((1, 1), np.bool_) if other.mask is None else other.mask
    kind = np.promote_types(raster.mask.dtype, theirs.dtype)
    return Raster(values, np.where(hidden, theirs, raster.mask).astype(kind))


@algorithm("Image.unmask")
def unmask(image: Image, value: Image | None, same_footprint: bool) -> Image:
    """Another image's pixels and mask where the mask is zero; 0 by default.

    With ``same_footprint`` nothing changes outside the image's footprint.
    """
    fill = as_image(0) if value is None else value
    bands = []
    for band, its in _matched(image, fill, "value"):
        kind = band.type.union(its.type) if value is not None else band.type
        filled = pointwise("unmask", [band, its], _unmask, kind, band_name=band.name)
        filled = replace(filled, projection=band.projection, extent=band.extent)
        bands.append(filled)
    result = image.with_bands(bands)
    if same_footprint and image.geometry is not None:
        return clip(result, image.geometry)
    return result if same_footprint else replace(result, geometry=None)


@algorithm("Image.where")
def where(image: Image, test: Image, value: Image) -> Image:
    """The pixels of ``value`` where ``test`` is not zero; both must be valid there, and the input too."""

    def choose(raster: Raster, condition: Raster, given: Raster) -> Raster:
        chosen = condition.values != 0
        for its in (condition.mask, given.mask, raster.mask):
            if its is not None:
                chosen = chosen & (its != 0)
        return Raster(np.where(chosen, given.values, raster.values), raster.mask)

    bands = []
    tests, values = _matched(image, test, "test"), _matched(image, value, "value")
    for (band, condition), (_, given) in zip(tests, values, strict=True):
        kind = band.type.union(given.type)
        node = Pointwise("where", choose, [band.pixels, condition.pixels, given.pixels])
        bands.append(replace(band, type=kind, pixels=node))
    return image.with_bands(bands)


@algorithm("Image.clamp")
def clamp(image: Image, low: float, high: float) -> Image:
    """Values limited to a range."""
    return image.with_bands(
        pointwise(
            "clamp", [band], lambda raster: Raster(np.clip(raster.values, low, high), raster.mask),
            band.type.union(_number_type(low)).union(_number_type(high)), low, high,
        )
        for band in image.bands
    )  # fmt: skip


def _number_type(value: float) -> PixelType:
    return PixelType("int", int(value), int(value)) if float(value).is_integer() else PixelType("float")


@algorithm("Image.unitScale")
def unit_scale(image: Image, low: float, high: float) -> Image:
    """Values scaled so that ``low`` to ``high`` become 0 to 1; outside is not clamped."""
    return image.computed(
        pointwise(
            "unitScale", [band],
            lambda raster: Raster((raster.values - low) / (high - low), raster.mask),
            PixelType("double" if band.type.precision == "double" else "float"), low, high,
        )
        for band in image.bands
    )  # fmt: skip


@algorithm("Image.normalizedDifference")
def normalized_difference(image: Image, names: Sequence[str] | None) -> Image:
    """(first - second) / (first + second) as band ``nd``; masked where either input is negative."""
    chosen = list(names) if names is not None else image.names[:2]
    if len(chosen) != 2 or (names is None and len(image.bands) != 2):
        raise EngineError(f"Must specify exactly two bands. Found {len(chosen)}.")
    inputs = [image.band(name) for name in chosen]

    def difference(first: Raster, second: Raster) -> Raster:
        a, b = first.values.astype(np.float64), second.values.astype(np.float64)
        total = a + b
        result = np.divide(
            a - b, total, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=total != 0
        )
        valid = (a >= 0) & (b >= 0)
        return Raster(result.astype(np.float32), masks_intersect(valid, first.mask, second.mask))

    kind = PixelType("float", -1, 1)
    return image.computed([pointwise("nd", inputs, difference, kind, band_name="nd")])


@algorithm("Image.remap")
def remap(
    image: Image, source: Sequence[Any], target: Sequence[Any], default: Any, name: str | None
) -> Image:
    """Values of a list replaced by those of another; the others masked, or the default."""
    band = image.bands[0] if name is None and image.bands else image.band(name or 0)
    if len(source) != len(target):
        raise EngineError(
            f"The 'from' and 'to' arguments must be lists of the same length. Found {len(source)} "
            f"and {len(target)}."
        )
    keys, values = np.asarray(source, np.float64), np.asarray(target)
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    if values.dtype.kind == "f" and (values == np.trunc(values)).all():
        values = values.astype(np.int64)
    kind = (
        PixelType("int", int(values.min()), int(values.max()))
        if values.dtype.kind in "iu" and values.size
        else PixelType("double")
    )
    values = values.astype(kind.dtype)

    def change(raster: Raster, *fallback: Raster) -> Raster:
        if not keys.size:
            found, result = np.zeros(raster.values.shape, np.bool_), np.zeros(raster.values.shape, kind.dtype)
        else:
            place = np.clip(np.searchsorted(keys, raster.values), 0, keys.size - 1)
            found, result = keys[place] == raster.values, values[place]
        if not fallback:
            return Raster(result, masks_intersect(found, raster.mask))
        chosen = np.where(found, result, fallback[0].values)
        mask = fallback[0].mask
        valid = raster.mask if mask is None else masks_intersect(raster.mask, found | (mask != 0))
        return Raster(chosen, valid)

    inputs = [band]
    fallback_image: Image | None = promote(default, "Image")
    if fallback_image is not None:
        inputs.append(fallback_image.only_band("The default value"))
        kind = kind.union(inputs[1].type)
    remapped = pointwise("remap", inputs, change, kind, keys, values, band_name="remapped")
    return image.computed([replace(remapped, projection=band.projection, extent=band.extent)])


@algorithm("Image.clip")
def clip(image: Image, geometry: Any) -> Image:
    """Pixels outside a geometry or feature masked."""
    region: Geometry | None = promote(geometry, "Geometry")
    return image if region is None or region.unbounded else clipped(image, region)


def clipped(image: Image, region: Geometry) -> Image:
    """Pixels outside a region masked, and the footprint cut to it."""
    covered = Located("inside", lambda grid: Raster(inside(region, grid)), key_of(region))

    def cut(raster: Raster, within: Raster) -> Raster:
        return Raster(raster.values, masks_intersect(raster.mask, within.values))

    footprint = region if image.geometry is None else common(region, image.geometry)
    bands = [replace(band, pixels=Pointwise("clip", cut, [band.pixels, covered])) for band in image.bands]
    return replace(image.with_bands(bands), geometry=footprint)


@algorithm("Image.clipToCollection")
def clip_to_collection(image: Image, collection: Collection) -> Image:
    """Pixels outside all features of a collection masked."""
    geometries = [feature.geometry for feature in collection if feature.geometry is not None]
    if not geometries:
        raise EngineError("The collection has no geometry to clip to.")
    return clipped(image, Geometry.merged(geometries))
