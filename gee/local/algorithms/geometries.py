"""Geometries made from coordinates, and what a geometry tells of itself.

Coordinates may hold geometries in place of numbers: they bring their projection and edges along, which
the result then has (descriptions of ``GeometryConstructors.*``).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import shapely

from gee.local.errors import EngineError
from gee.local.geometry import s2
from gee.local.geometry.geodesy import LON_LAT, MapPlane
from gee.local.geometry.geometries import EVERYWHERE, Geometry
from gee.local.geometry.overlay import EMPTY
from gee.local.geometry.projections import Projection, is_geographic
from gee.local.geometry.shapes import coordinates_of, members_of, parts_of, shape_of
from gee.local.raster.images import Image
from gee.local.registry import algorithm, promotion
from gee.local.values import Collection, ErrorMargin, Feature

_NESTING = {
    "Point": 1,
    "MultiPoint": 2,
    "LineString": 2,
    "LinearRing": 2,
    "Rectangle": 2,
    "Polygon": 3,
    "MultiLineString": 3,
    "MultiPolygon": 4,
}


@promotion("Geometry")
def geometry_of(value: Any) -> Geometry:
    """The geometry of a value: its own, its footprint, or those of its elements together.

    Raises:
        TypeError: it has none.
    """
    if isinstance(value, Geometry):
        return value
    if isinstance(value, Feature):
        return EMPTY if value.geometry is None else value.geometry
    if isinstance(value, Image):
        return EVERYWHERE if value.geometry is None else value.geometry
    if isinstance(value, Collection):
        return Geometry.merged(geometry for geometry in map(geometry_of, value) if not geometry.is_empty)
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        if value["type"] == "Feature":
            return EMPTY if value.get("geometry") is None else geometry_of(value["geometry"])
        return Geometry.from_geojson(value)
    raise TypeError(value)


def metres_of(margin: ErrorMargin | None, crs: str | None = None) -> float | None:
    """An error margin in metres, where its units may be those of a coordinate system."""
    if margin is None:
        return None
    if margin.unit == "infinite":
        return math.inf
    if margin.value is None:
        return None
    return margin.value * (MapPlane(crs or LON_LAT).metres if margin.unit == "projected" else 1.0)


def _constructed(
    kind: str,
    coordinates: list[Any],
    crs: Projection | None = None,
    geodesic: bool | None = None,
    max_error: ErrorMargin | None = None,
    even_odd: bool = True,
) -> Geometry:
    inputs: list[Geometry] = []
    numbers = _resolved(coordinates, inputs, depth=0)
    target = None if crs is None else crs.crs
    given, edges = (inputs[0].crs, inputs[0].geodesic) if inputs else (target or LON_LAT, None)
    if edges is None:
        edges = is_geographic(given) if geodesic is None else geodesic
    nested = _nested(kind, numbers, _NESTING[kind])
    if kind == "Point" and len(nested) != 2:
        raise EngineError("The Geometry.Point constructor requires 2 coordinates.")
    if kind == "Rectangle":
        (west, south), (east, north) = _corners(nested)
        kind, nested = "Polygon", [[[west, north], [west, south], [east, south], [east, north]]]
    shape = shape_of(kind, nested)
    if crs is not None and not inputs:
        # Numbers are in the projection's pixels, which for a plain code are its units.
        shape = shapely.transform(shape, lambda points: np.stack(crs.to_crs(*points.T), axis=1))
    made = Geometry(shape, given, edges, even_odd)
    wanted = edges if geodesic is None else geodesic
    if target is not None and target != given and geodesic is None:
        wanted = is_geographic(target)
    return made.to_crs(target or given, metres_of(max_error, target), geodesic=wanted)


def _corners(points: list[Any]) -> tuple[Any, Any]:
    if len(points) != 2 or any(len(point) != 2 for point in points):
        raise EngineError("The Rectangle constructor requires 2 points or 4 coordinates.")
    return points[0], points[1]


def _resolved(value: Any, inputs: list[Geometry], depth: int) -> Any:
    """Coordinates with the geometries in them turned to numbers in the projection of the first."""
    if isinstance(value, (list, tuple, np.ndarray)):
        if depth > 4:
            raise EngineError("Invalid geometry: coordinates are nested too deeply.")
        return [_resolved(item, inputs, depth + 1) for item in value]
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    try:
        geometry = geometry_of(value)
    except TypeError as error:
        raise EngineError(f"Coordinates must be numbers or geometries, got {str(value)[:100]}.") from error
    inputs.append(geometry)
    return coordinates_of(geometry.to_crs(inputs[0].crs, geodesic=inputs[0].geodesic).shape)


def _nested(kind: str, numbers: list[Any], wanted: int) -> list[Any]:
    """Coordinates at the nesting of their type: flat numbers are paired, single members wrapped."""
    if wanted > 1 and numbers and all(isinstance(item, float) for item in numbers):
        if len(numbers) % 2:
            raise EngineError(f"Invalid number of coordinates of a {kind}: {len(numbers)}.")
        numbers = [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
    depth = 0
    item: Any = numbers
    while isinstance(item, list):
        depth, item = depth + 1, item[0] if item else None
    if item is None:
        return []
    for _ in range(wanted - depth):
        numbers = [numbers]
    return numbers


for _kind in sorted(_NESTING.keys() - {"Rectangle"}):
    algorithm(f"GeometryConstructors.{_kind}")(partial(_constructed, _kind))


@algorithm("GeometryConstructors.Rectangle")
def _rectangle(
    coordinates: list[Any], crs: Projection | None, geodesic: bool | None, even_odd: bool
) -> Geometry:
    return _constructed("Rectangle", coordinates, crs, geodesic, None, even_odd)


@algorithm("GeometryConstructors.BBox")
def _bbox(west: float, south: float, east: float, north: float) -> Geometry:
    for name, value, bad in (
        ("west", west, not west < math.inf),
        ("east", east, not east > -math.inf),
        ("south", south, not south <= 90),
        ("north", north, not north >= -90),
    ):
        if bad:
            raise EngineError(f"{name} must not be {value}.")
    if east - west >= 360:
        west, east = -180.0, 180.0
    else:
        west, east = (180 - (180 - degrees) % 360 for degrees in (west, east))
        east += 360 if east < west else 0
    return _constructed("Rectangle", [west, max(south, -90), east, min(north, 90)], geodesic=False)


@algorithm("GeometryConstructors.MultiGeometry")
def _multi_geometry(
    geometries: list[Geometry], crs: Projection | None, geodesic: bool | None, max_error: ErrorMargin | None
) -> Geometry:
    if any(geometry.unbounded for geometry in geometries):
        return EVERYWHERE
    first = geometries[0] if geometries else Geometry(shapely.GeometryCollection())
    target = first.crs if crs is None else crs.crs
    edges = geodesic
    if edges is None:
        edges = first.geodesic if crs is None else is_geographic(target)
    error = metres_of(max_error, target)
    shapes = []
    for geometry in geometries:
        shape = geometry.to_crs(target, error, geodesic=edges).shape
        shapes += members_of(shape) if shape.geom_type == "GeometryCollection" else [shape]
    return Geometry(shapely.GeometryCollection(shapes), target, edges, first.even_odd)


@algorithm("Geometry.fromS2CellId", "Geometry.s2Cell")
def _s2_cell(cell: int) -> Geometry:
    return Geometry.polygon(s2.corners(int(cell)).tolist())


@algorithm("Geometry.fromS2CellToken")
def _s2_token(token: str) -> Geometry:
    try:
        cell = int(token, 16)
    except ValueError as error:
        raise EngineError(f"Invalid S2 cell token: '{token}'.") from error
    return Geometry.polygon(s2.corners(cell).tolist())


@algorithm("Geometry.coordinates")
def _coordinates(geometry: Geometry) -> list[Any]:
    return coordinates_of(geometry.shape)


@algorithm("Geometry.geometries")
def _geometries(geometry: Geometry) -> list[Geometry]:
    if geometry.type == "GeometryCollection":
        return [replace(geometry, shape=member) for member in members_of(geometry.shape)]
    return [replace(geometry, shape=part) for part in parts_of(geometry.shape)]


@algorithm("Geometry.type")
def _type(geometry: Geometry) -> str:
    return geometry.type


@algorithm("Geometry.isUnbounded")
def _is_unbounded(geometry: Geometry) -> bool:
    return geometry.unbounded


@algorithm("Geometry.geodesic", "Geometry.edgesAreGeodesics")
def _geodesic(geometry: Geometry) -> bool:
    return geometry.geodesic


@algorithm("Geometry.projection")
def _projection(geometry: Geometry) -> Projection:
    return Projection(geometry.crs)
