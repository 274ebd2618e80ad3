"""``Element.*``: properties of features, images and collections."""

from __future__ import annotations

from typing import Any

from gee.local.errors import EngineError
from gee.local.registry import algorithm, apply, promote, promotion, type_name
from gee.local.selection.filters import geometry_of
from gee.local.values import Element, ErrorMargin

SYSTEM = "system:"
"""Prefix of the properties that copying and listing leave out unless they are named."""


@promotion("Element")
def to_element(value: Any) -> Element:
    """An element is only itself."""
    if isinstance(value, Element):
        return value
    raise TypeError


@algorithm("Element.get")
def _get(element: Element, name: str) -> Any:
    return element.get(name)


@algorithm("Element.propertyNames")
def _property_names(element: Element) -> list[str]:
    return element.property_names()


def _typed(wanted: str) -> Any:
    def get(element: Element, name: str) -> Any:
        value = element.get(name)
        try:
            return promote(value, wanted)
        except TypeError as error:
            raise EngineError(
                f"Property '{name}' must be of type {wanted}, but is of type {type_name(value)}."
            ) from error

    return get


for _wanted in ("Number", "String", "Array"):
    algorithm(f"Element.get{_wanted}")(_typed(_wanted))


@algorithm("Element.set")
def _set(element: Element, name: str, value: Any) -> Element:
    return element.having({name: value})


@algorithm("Element.setMulti")
def _set_multi(element: Element, properties: dict[str, Any]) -> Element:
    return element.having(properties)


@algorithm("Element.toDictionary")
def _to_dictionary(element: Element, names: list[str] | None) -> dict[str, Any]:
    return _selected(element, names)


def _selected(element: Element, names: list[str] | None) -> dict[str, Any]:
    """The named properties that the element has, or all that are not the system's."""
    held = set(element.property_names())
    if names is None:
        names = [name for name in element.property_names() if not name.startswith(SYSTEM)]
    return {name: element.get(name) for name in names if name in held}


@algorithm("Element.copyProperties")
def _copy_properties(
    destination: Element | None, source: Element | None, names: list[str] | None, exclude: list[str] | None
) -> Element | None:
    if names is not None and exclude is not None:
        raise EngineError("'exclude' must not be specified if 'properties' is.")
    if destination is None or source is None:
        return destination
    copied = _selected(source, names)
    return destination.having({name: value for name, value in copied.items() if name not in (exclude or ())})


@algorithm("Element.replaceProperties")
def _replace_properties(destination: Element, source: Element | None) -> Element:
    return destination.with_properties({} if source is None else source.properties)


@algorithm("Element.geometry")
def _geometry(element: Element, max_error: ErrorMargin | None, proj: Any, geodesics: bool | None) -> Any:
    shape = geometry_of(element)
    if shape is None or proj is None:
        return shape
    arguments = {"geometry": shape, "proj": proj, "maxError": max_error, "geodesic": geodesics}
    return apply("Geometry.transform", arguments)
