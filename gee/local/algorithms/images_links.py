"""Bands and properties taken from the matching image of a collection.

Source: description of ``Image.linkCollection``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gee.local.errors import EngineError
from gee.local.raster.images import Band, Image
from gee.local.raster.pixels import Pointwise, Raster, nothing
from gee.local.registry import algorithm
from gee.local.values import Collection


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise EngineError(f"Expected a name or a list of names. Found {value}.")
    return list(names)


def _masked(band: Band) -> Band:
    """A band of the same name and type that is masked everywhere."""

    def compute() -> Raster:
        return nothing(band.type.dtype, band.type.dimensions)

    node = Pointwise("masked", compute, [], str(band.type.dtype), band.type.dimensions)
    return replace(band, pixels=node, extent=None)


def _matching(image: Image, collection: Collection, name: str) -> tuple[Image | None, Image | None]:
    """The first image of equal property, and the first image at all."""
    wanted, first = image.properties.get(name), None
    for other in _images(collection):
        first = first or other
        if wanted is not None and other.properties.get(name) == wanted:
            return other, first
    return None, first


def _images(collection: Collection) -> Iterator[Image]:
    for other in collection:
        if not isinstance(other, Image):
            raise EngineError("The collection must hold images.")
        yield other


@algorithm("Image.linkCollection")
def link_collection(
    image: Image, collection: Collection, linked_bands: Any, linked_properties: Any, match: str
) -> Image:
    """The image with bands and properties of the image whose ``match`` property is the same.

    Without one the bands are masked and the properties null.
    """
    band_names, property_names = _names(linked_bands), _names(linked_properties)
    found, pattern = _matching(image, collection, match)
    source = found or pattern
    added: dict[str, Band] = {}
    for name in band_names:
        if source is None:
            raise EngineError("The collection is empty, so the types of its bands are not known.")
        band = source.band(name)
        added[name] = band if found is not None else _masked(band)
    bands = [added.pop(band.name, band) for band in image.bands]
    properties = {name: None if found is None else found.properties.get(name) for name in property_names}
    return image.with_bands([*bands, *added.values()]).having(properties)
