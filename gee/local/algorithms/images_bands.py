"""Images as sets of bands: loading, constants, selecting, renaming, adding, metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gee.local.algorithms.strings import replace as replaced
from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.geometry.geometries import EVERYWHERE, Geometry
from gee.local.geometry.projections import WGS84, Projection
from gee.local.raster.images import (
    Band,
    Image,
    check_bands,
    constant_image,
    footprint_of,
    pointwise,
    saturated,
    unique_names,
)
from gee.local.raster.pixels import Pointwise, Raster, nothing
from gee.local.registry import algorithm, apply, promote
from gee.local.scalars.javatext import expression
from gee.local.values import Date, ErrorMargin, PixelType


@algorithm("Image.load")
def load(asset_id: str, version: int) -> Image:
    """The image asset of an id; -1 is the newest version."""
    image: Image = current().library.image(asset_id)
    if version not in (-1, image.version):
        raise EngineError(f"Image asset '{asset_id}' has no version {version}.")
    return image


@algorithm("Image.constant")
def constant(value: Any) -> Image:
    """One constant band per number; a list gives the bands constant_0, constant_1 and so on."""
    if not isinstance(value, list):
        return constant_image(value)
    check_bands(len(value))
    images = [constant_image(item) for item in value]
    if len(images) == 1:
        return images[0]
    return images[0].with_bands(
        replace(image.bands[0], name=f"constant_{index}") for index, image in enumerate(images)
    )


@algorithm("Dictionary.toImage")
def dictionary_to_image(values: Mapping[str, Any], names: Sequence[str] | None) -> Image:
    """A constant band for each number of a dictionary, in the order of ``names`` or of the keys."""
    chosen = list(values) if names is None else list(names)
    missing = [name for name in chosen if name not in values]
    if missing:
        raise EngineError(f"Dictionary does not contain key: '{missing[0]}'.")
    bands = [replace(constant_image(values[name]).bands[0], name=name) for name in chosen]
    return Image({}, tuple(bands))


@algorithm("Image.bandNames")
def band_names(image: Image) -> list[str]:
    """Names of the bands."""
    return image.names


@algorithm("Image.bandTypes")
def band_types(image: Image) -> dict[str, PixelType]:
    """Pixel type of each band."""
    return {band.name: band.type for band in image.bands}


@algorithm("Image.projection")
def projection(image: Image) -> Projection:
    """The default projection, which all bands must share."""
    found = {band.projection for band in image.bands}
    if not found:
        raise EngineError("The bands of the specified image contains no bands.")
    if len(found) > 1:
        raise EngineError(
            "The bands of the specified image contains different projections. "
            "Use Image.select() to pick a single band."
        )
    return found.pop()


@algorithm("Image.geometry")
def geometry(
    image: Image, max_error: ErrorMargin | None, proj: Projection | None, geodesics: bool | None
) -> Geometry:
    """The footprint, in a projection where one is given."""
    shape = EVERYWHERE if image.geometry is None else image.geometry
    if proj is None:
        return shape
    arguments = {"geometry": shape, "proj": proj, "maxError": max_error, "geodesic": geodesics}
    transformed: Geometry = apply("Geometry.transform", arguments)
    return transformed


@algorithm("Image.id")
def image_id(image: Image) -> str | None:
    """The index of an image in its collection, or its asset id."""
    return image.properties.get("system:index") or image.id


@algorithm("Image.date")
def date(image: Image) -> Date:
    """When the image begins."""
    start = image.properties.get("system:time_start")
    if start is None:
        raise EngineError("Parameter 'value' is required and may not be null.").within("Date")
    return Date(start.millis if isinstance(start, Date) else start)


@algorithm("Image.metadata")
def metadata(image: Image, name: str, band_name: str | None) -> Image:
    """A constant band of a numeric property."""
    value = image.properties.get(name)
    if isinstance(value, Date):
        value = value.millis
    if not isinstance(value, (bool, int, float)):
        raise EngineError(f"Image has no numeric property '{name}'.")
    kind = PixelType("double")
    band = constant_image(np.float64(value)).bands[0]
    named = replace(band, name=band_name or name, type=kind)
    return Image({}, (named,), image.geometry)


def selected(image: Image, selectors: Sequence[Any]) -> list[Band]:
    """Bands by name, regular expression or index, in the order of the selectors.

    Raises:
        EngineError: a selector fits no band.
    """
    bands: list[Band] = []
    for selector in selectors:
        if isinstance(selector, (int, float)):
            bands.append(image.band(int(selector)))
        elif selector in image.names:
            bands.append(image.band(selector))
        else:
            pattern = expression(str(selector))
            fitting = [band for band in image.bands if pattern.fullmatch(band.name)]
            if not fitting:
                known = f"Available bands: [{', '.join(image.names)}]"
                if not image.bands:
                    raise EngineError(f"Pattern '{selector}' was applied to an Image with no bands.")
                raise EngineError(f"Band pattern '{selector}' did not match any bands. {known}")
            bands.extend(fitting)
    return bands


def renamed(bands: Sequence[Band], names: Sequence[str]) -> list[Band]:
    """Bands under other names.

    Raises:
        EngineError: the numbers differ, or a name comes twice.
    """
    if len(names) != len(bands):
        raise EngineError(
            f"The number of names ({len(names)}) must match the number of bands ({len(bands)})."
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise EngineError(f"Image has multiple bands named '{min(twice)}'.")
    return [replace(band, name=str(name)) for band, name in zip(bands, names, strict=True)]


@algorithm("Image.select")
def select(image: Image, selectors: Sequence[Any], names: Sequence[str] | None) -> Image:
    """Some bands, perhaps renamed; a band chosen twice gets ``_1`` after its name."""
    bands = selected(image, selectors)
    if names is not None:
        if len(names) < len(bands):
            raise EngineError(
                f"The number of names ({len(names)}) must match the number of bands ({len(bands)})."
            )
        return image.with_bands(renamed(bands, names))
    return image.with_bands(
        replace(band, name=name)
        for band, name in zip(bands, unique_names((), [band.name for band in bands]), strict=True)
    )


@algorithm("Image.rename")
def rename(image: Image, names: Sequence[str]) -> Image:
    """Every band under another name."""
    return image.with_bands(renamed(image.bands, names))


@algorithm("Image.regexpRename")
def regexp_rename(image: Image, pattern: str, replacement: str, every: bool) -> Image:
    """Names with a pattern replaced, once or everywhere."""
    flags = "g" if every else ""
    return image.with_bands(
        renamed(image.bands, [replaced(name, pattern, replacement, flags) for name in image.names])
    )


@algorithm("Image.slice")
def slice_bands(image: Image, start: int, end: int | None) -> Image:
    """Bands from ``start`` to before ``end``; negative numbers count from the end."""
    return image.with_bands(image.bands[start:end])


@algorithm("Image.addBands")
def add_bands(image: Image, more: Image, names: Sequence[str] | None, overwrite: bool) -> Image:
    """Bands of a second image after the first's; colliding names get ``_1``, or replace."""
    added = list(more.bands) if names is None else selected(more, names)
    if overwrite:
        replacing = {band.name: band for band in added}
        kept = [replacing.pop(band.name, band) for band in image.bands]
        return image.with_bands([*kept, *(band for band in added if band.name in replacing)])
    new_names = unique_names(image.names, [band.name for band in added])
    fresh = [replace(band, name=name) for band, name in zip(added, new_names, strict=True)]
    return image.with_bands([*image.bands, *fresh])


@algorithm("Image.cat")
def cat(values: Sequence[Any]) -> Image:
    """Bands of images and constants together, with the properties of the first and a common footprint."""
    images: list[Image] = [promote(value, "Image") for value in values]
    if not images:
        return Image()
    bands = [band for image in images for band in image.bands]
    names = unique_names((), [band.name for band in bands])
    joined = images[0].with_bands(replace(band, name=name) for band, name in zip(bands, names, strict=True))
    return replace(joined, geometry=footprint_of(images))


def cast_band(band: Band, kind: PixelType) -> Band:
    """A band in another pixel type, values beyond it saturating."""
    wanted = replace(kind, dimensions=band.type.dimensions)
    if wanted == band.type:
        return band
    return pointwise(
        "cast", [band], lambda raster: Raster(saturated(raster.values, wanted), raster.mask), wanted, wanted
    )


@algorithm("Image.cast")
def cast(image: Image, types: Mapping[str, Any], order: Sequence[str] | None) -> Image:
    """Some bands in other types, in the order given; bands that are not there are added, masked."""
    kinds: dict[str, PixelType] = {name: promote(kind, "PixelType") for name, kind in types.items()}
    added = sorted(name for name in kinds if name not in image.names)
    names = [*image.names, *added]
    if order is not None and sorted(order) != sorted(names):
        raise EngineError(f"The band order must name all of the bands [{', '.join(names)}] once.")
    bands = {band.name: band for band in image.bands} | {name: _hidden(name, kinds[name]) for name in added}
    return image.with_bands(
        cast_band(bands[name], kinds[name]) if name in kinds else bands[name] for name in order or names
    )


def _hidden(name: str, kind: PixelType) -> Band:
    """A band that is masked everywhere."""
    node = Pointwise("hidden", lambda: nothing(kind.dtype, kind.dimensions), (), kind)
    return Band(name, kind, WGS84, node)
