"""``FeatureCollection.*`` and the geometry of collections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from gee.local import limits
from gee.local.algorithms.collections import INDEX
from gee.local.errors import EngineError
from gee.local.geometry.geodesy import path_metres
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Projection
from gee.local.geometry.shapes import parts_of
from gee.local.registry import algorithm, apply, promote
from gee.local.scalars.ordering import is_number, plain
from gee.local.selection.filters import geometry_of
from gee.local.values import Collection, ErrorMargin, Feature

Points = NDArray[np.float64]

_MAX_BATCHES = 10_000


@algorithm("Collection.geometry")
def merged_geometry(collection: Collection, max_error: ErrorMargin | None) -> Geometry:
    """The geometries of all elements as one; nothing is dissolved."""
    shapes = [geometry_of(element) for element in collection]
    return Geometry.merged([shape for shape in shapes if shape is not None])


@algorithm("Collection.bounds")
def _bounds(collection: Collection, max_error: ErrorMargin | None, proj: Projection | None) -> Any:
    whole = merged_geometry(collection, max_error)
    return apply("Geometry.bounds", {"geometry": whole, "maxError": max_error, "proj": proj})


@algorithm("Collection.union")
def _union(collection: Collection, max_error: ErrorMargin | None) -> Collection:
    def elements() -> Iterator[Feature]:
        whole = merged_geometry(collection, max_error)
        dissolved = apply("Geometry.dissolve", {"geometry": whole, "maxError": max_error})
        yield Feature({INDEX: "union_result"}, dissolved)

    return Collection({}, elements())


@algorithm("FeatureCollection.makeArray")
def _make_array(collection: Collection, properties: list[str], name: str) -> Collection:
    def elements() -> Iterator[Any]:
        for element in collection:
            values = [plain(element.get(key)) for key in properties]
            if all(map(is_number, values)):
                yield element.having({name: promote(values, "Array")})

    return collection.lazily(elements)


@algorithm("FeatureCollection.randomPoints")
def _random_points(region: Geometry, count: int, seed: int, max_error: ErrorMargin | None) -> Collection:
    if not 0 <= count <= limits.MAX_SEQUENCE:
        raise EngineError(f"The number of points must be from 0 to {limits.MAX_SEQUENCE}, got {count}.")
    places = random_places(region, count, seed)
    # The local engine's own numbers: Earth Engine does not document how it draws.
    features = (
        Feature({INDEX: str(number)}, Geometry(shapely.Point(longitude, latitude)))
        for number, (longitude, latitude) in enumerate(places.tolist())
    )
    return Collection({}, features)


def random_places(region: Geometry, count: int, seed: int) -> Points:
    """Points drawn uniformly from a geometry's parts of the highest dimension.

    Args:
        region: polygons are drawn from by area, lines by length, points evenly.
        count: how many.
        seed: equal seeds give equal points.

    Returns:
        Longitude and latitude in degrees, (count, 2).

    Raises:
        EngineError: the geometry is empty, or has next to no area.
    """
    generator = np.random.default_rng(seed % 2**64)
    parts = [part for part in parts_of(region.globe()) if not part.is_empty]
    for dimension, draw in ((2, _in_polygons), (1, _on_lines), (0, _of_points)):
        highest = [part for part in parts if shapely.get_dimensions(part) == dimension]
        if highest:
            places = draw(highest, count, generator)
            places[:, 0] = (places[:, 0] + 180) % 360 - 180
            return places
    raise EngineError("Cannot draw points from an empty geometry.")


def _in_polygons(polygons: list[Any], count: int, generator: np.random.Generator) -> Points:
    # Longitude and the sine of latitude are an equal-area map of the sphere: what is uniform in each
    # polygon's box there, and thinned to the polygon, is uniform in the polygon.
    boxes = np.array([polygon.bounds for polygon in polygons])
    low, high = np.sin(np.radians(boxes[:, 1])), np.sin(np.radians(boxes[:, 3]))
    sizes = (boxes[:, 2] - boxes[:, 0]) * (high - low)
    found: list[Points] = [np.empty((0, 2))]
    missing = count
    for _ in range(_MAX_BATCHES):
        if missing <= 0:
            return np.concatenate(found)[:count]
        tries = min(2 * missing + 64, 100_000)
        box = generator.choice(len(polygons), tries, p=sizes / sizes.sum())
        across, along = generator.random((2, tries))
        longitude = boxes[box, 0] + across * (boxes[box, 2] - boxes[box, 0])
        latitude = np.degrees(np.arcsin(low[box] + along * (high[box] - low[box])))
        inside = shapely.contains_xy(np.array(polygons, object)[box], longitude, latitude)
        found.append(np.column_stack([longitude, latitude])[inside])
        missing -= int(inside.sum())
    raise EngineError("The region has too little area to draw points from.")


def _on_lines(lines: list[Any], count: int, generator: np.random.Generator) -> Points:
    paths = [shapely.get_coordinates(line) for line in lines]
    starts = np.concatenate([path[:-1] for path in paths])
    ends = np.concatenate([path[1:] for path in paths])
    metres = np.concatenate([path_metres(path) for path in paths])
    edge = generator.choice(len(starts), count, p=metres / metres.sum())
    places: Points = starts[edge] + generator.random((count, 1)) * (ends[edge] - starts[edge])
    return places


def _of_points(points: list[Any], count: int, generator: np.random.Generator) -> Points:
    places: Points = shapely.get_coordinates(points)[generator.integers(len(points), size=count)]
    return places
