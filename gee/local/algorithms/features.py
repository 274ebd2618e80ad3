"""Features: a geometry with properties, made, told apart and reduced to some of their properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.algorithms.geometries import geometry_of
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.raster.images import Image
from gee.local.registry import algorithm, promotion
from gee.local.scalars.javatext import expression
from gee.local.values import Collection, Element, Feature

_A_COLLECTION = (
    "Unable to use a collection in an algorithm that requires a feature or image. This may happen when "
    "trying to use a collection of collections where a collection of features is expected; use flatten, or "
    "map a function to convert inner collections to features. Use clipToCollection (instead of clip) to "
    "keep geometries separate."
)


@promotion("Feature")
def feature_of(value: Any) -> Feature:
    """A value as a feature: itself, a geometry without properties, an image's footprint and properties.

    Raises:
        TypeError: it becomes none.
        EngineError: it is a collection.
    """
    if isinstance(value, Feature):
        return value
    if isinstance(value, Collection):
        raise EngineError(_A_COLLECTION)
    if isinstance(value, Geometry):
        return Feature({}, value)
    if isinstance(value, Image):
        return Feature(value.properties, geometry_of(value))
    if isinstance(value, dict):
        return _from_geojson(value)
    raise TypeError(value)


def _from_geojson(document: Mapping[str, Any]) -> Feature:
    if document.get("type") != "Feature":
        return Feature({}, geometry_of(document))
    geometry, properties = document.get("geometry"), dict(document.get("properties") or {})
    if document.get("id") is not None:
        properties["system:index"] = str(document["id"])
    return Feature(properties, None if geometry is None else geometry_of(geometry))


@algorithm("Feature")
def _feature(geometry: Geometry | None, metadata: dict[str, Any] | None, geometry_key: str | None) -> Feature:
    return Feature(dict(metadata or {}), geometry)


@algorithm("Feature.id")
def _id(element: Element) -> str | None:
    index = element.properties.get("system:index")
    return None if index is None else str(index)


@algorithm("Feature.setGeometry")
def _set_geometry(feature: Element, geometry: Geometry | None) -> Element:
    if not isinstance(feature, (Feature, Image)):
        raise EngineError(_A_COLLECTION)
    return replace(feature, geometry=geometry)


@algorithm("Feature.select")
def _select(
    element: Element, selectors: list[str], new_names: list[str] | None, retain_geometry: bool
) -> Element:
    names = [name for selector in selectors for name in _matching(selector, element.properties)]
    if new_names is not None and len(new_names) != len(names):
        raise EngineError(
            f"The number of new property names ({len(new_names)}) must match the number of properties "
            f"selected ({len(names)})."
        )
    kept = {
        new: element.properties[old]
        for old, new in zip(names, new_names or names, strict=True)
        if old in element.properties
    }
    # The index is the feature's id, not one of its columns.
    index = {key: value for key, value in element.properties.items() if key == "system:index"}
    selected = element.with_properties({**index, **kept})
    if isinstance(selected, Feature) and not retain_geometry:
        return replace(selected, geometry=None)
    return selected


def _matching(selector: str, properties: Mapping[str, Any]) -> list[str]:
    """Properties that a name or pattern selects; a plain name selects itself, there or not."""
    if selector in properties or re.fullmatch(r"[\w: -]*", selector):
        return [selector]
    pattern = expression(selector)
    return [name for name in properties if not name.startswith("system:") and pattern.fullmatch(name)]


@algorithm("Feature.toArray")
def _to_array(feature: Feature, names: list[str]) -> NDArray[np.float64]:
    values = []
    for name in names:
        value = feature.properties.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise EngineError(f"Property '{name}' is required to be a number, and is {value!r}.")
        values.append(float(value))
    return np.array(values)
