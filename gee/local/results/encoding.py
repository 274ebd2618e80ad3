"""Values as ``value:compute`` prints them, which is what ``getInfo`` of every client gives.

Shapes of the rich types are those that ee, xee, geemap and geedim read, and those that the printed
results in Earth Engine's API documentation show. Collections longer than 5,000 elements are refused
(guides/usage), as are results larger than an aggregation may be (guides/debugging).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gee import limits
from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Projection
from gee.local.raster.images import Image
from gee.local.registry import type_name
from gee.local.values import Collection, Date, DateRange, ErrorMargin, Feature, PixelType

MAX_RESULT_DEPTH = 400  # clients parse results recursively
MAX_RESULT_VALUES = 3_000_000  # the documented bytes are counted only once everything is written
CHARACTERS_PER_VALUE = 32  # of a string, that count as one value
TOO_LARGE = "Computed value is too large."
_EXACT = 2**53  # above it a float's digits are not those of an integer
_IDENTITY = ("system:id", "system:version")


class _Printer:
    """One result being printed: it counts the elements of all collections together, and all values."""

    def __init__(self) -> None:
        self.elements = 0
        self.values = 0

    def shown(self, value: Any, depth: int = 0) -> Any:
        if depth > MAX_RESULT_DEPTH:
            raise EngineError("Computed value is nested too deeply.")
        # A list may hold another one many times over, so that little memory prints as very much.
        before = self.values
        self.values += 1 + (len(value) // CHARACTERS_PER_VALUE if isinstance(value, str) else 0)
        if self.values > MAX_RESULT_VALUES:
            raise EngineError(TOO_LARGE)
        if before >> 12 != self.values >> 12:
            charge(4096)
        if value is None or isinstance(value, (bool, str, int)):
            return value
        if isinstance(value, float):
            return number(value)
        if isinstance(value, (list, tuple)):
            return [self.shown(item, depth + 1) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self.shown(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (np.ndarray, np.generic)):
            return self.shown(value.tolist(), depth)
        if isinstance(value, Collection):
            return self.collection(value, depth)
        if isinstance(value, Feature):
            return self.feature(value, depth)
        if isinstance(value, Image | Geometry | PixelType | Projection):
            return self.shown(value.as_json(), depth)
        if isinstance(value, Date):
            return {"type": "Date", "value": number(float(value.millis))}
        if isinstance(value, DateRange):
            return {"type": "DateRange", "dates": [_bound(value.start), _bound(value.end)]}
        if isinstance(value, ErrorMargin):
            unit = {"value": self.shown(value.value)} if value.value is not None else {}
            return {"type": "ErrorMargin", "unit": value.unit, **unit}
        if hasattr(value, "as_json"):
            return self.shown(value.as_json(), depth)
        raise EngineError(f"Values of type {type_name(value)} cannot be printed.")

    def feature(self, feature: Feature, depth: int) -> dict[str, Any]:
        properties = dict(feature.properties)
        index = properties.pop("system:index", None)
        return {
            "type": "Feature",
            "geometry": self.shown(feature.geometry, depth + 1),
            **({} if index is None else {"id": index}),
            "properties": self.shown(properties, depth + 1),
        }

    def collection(self, collection: Collection, depth: int) -> dict[str, Any]:
        features = []
        for element in collection:
            self.elements += 1
            if self.elements > limits.MAX_ELEMENTS:
                raise EngineError(
                    f"Collection query aborted after accumulating over {limits.MAX_ELEMENTS} elements."
                )
            features.append(self.shown(element, depth + 1))
        properties = dict(collection.properties)
        identity = {
            key.removeprefix("system:"): properties.pop(key) for key in _IDENTITY if key in properties
        }
        kind: dict[str, Any] = {"type": "ImageCollection", "bands": []}
        if not collection.images:
            first = next((element for element in collection if isinstance(element, Feature)), None)
            kind = {"type": "FeatureCollection", "columns": {} if first is None else columns(first)}
        return {
            **kind,
            **identity,
            **({"properties": self.shown(properties, depth + 1)} if properties else {}),
            # The documentation prints an empty image collection without the list.
            **({"features": features} if features or not collection.images else {}),
        }


def columns(feature: Feature) -> dict[str, str]:
    """Name and type of each property, as a feature collection lists them."""
    return {name: type_name(value) for name, value in sorted(feature.properties.items())}


def number(value: float) -> int | float | str:
    """A number as JSON: whole ones without a fraction, those JSON does not know as text."""
    if math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bound(millis: float | None) -> int | float | str | None:
    return None if millis is None else number(float(millis))


def encode(value: Any) -> Any:
    """A value of the engine as JSON.

    Raises:
        EngineError: it has too many elements, is nested too deeply, or is nothing that is printed.
    """
    return _Printer().shown(value)


def dump(content: Any) -> bytes:
    """JSON as bytes.

    Raises:
        EngineError: they are more than an aggregation may be.
    """
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    if len(body) > limits.MAX_AGGREGATION_BYTES:
        raise EngineError(TOO_LARGE)
    return body
