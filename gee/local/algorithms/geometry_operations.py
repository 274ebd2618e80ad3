"""What is computed of geometries, and the same of features: one table for both.

``Geometry.x`` and ``Feature.x`` have the same arguments after the operands. A feature's result is the
feature with the geometry replaced; a missing geometry stays missing and counts as empty beside others.
Units are metres on the ellipsoid, or those of the projection asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import shapely

from gee.local.algorithms.geometries import geometry_of, metres_of
from gee.local.algorithms.projections import at_scale
from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.geometry import overlay
from gee.local.geometry.geodesy import LON_LAT, Points, great_circle, path_metres, straight
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Projection, covering
from gee.local.geometry.shapes import members_of, parts_of
from gee.local.limits import ELEMENTS_PER_APPLICATION
from gee.local.registry import algorithm, signatures
from gee.local.values import Collection, Element, ErrorMargin, Feature

Margin = ErrorMargin | None
Where = Projection | None

_MAX_CELLS = 10_000_000
_LINES = ("LineString", "LinearRing")


def _code(proj: Where) -> str | None:
    return None if proj is None else proj.crs


def _bounded(geometry: Geometry) -> Geometry:
    if geometry.unbounded:
        raise EngineError("The geometry must not be unbounded.")
    return geometry


_MEASURES: dict[str, tuple[Callable[..., float], tuple[str, ...], Callable[[Any], float]]] = {
    "area": (Geometry.area, ("Polygon",), shapely.area),
    "perimeter": (Geometry.perimeter, ("Polygon",), shapely.length),
    "length": (Geometry.length, _LINES, shapely.length),
}
"""What is measured on the ellipsoid; of which parts, and how, in a projection."""


def _measured(name: str, geometry: Geometry, margin: Margin, proj: Where) -> float:
    on_ellipsoid, kinds, on_plane = _MEASURES[name]
    error = metres_of(margin, _code(proj))
    if proj is None:
        return on_ellipsoid(_bounded(geometry), error)
    parts = [part for part in parts_of(_bounded(geometry).shape) if part.geom_type in kinds]
    shapes = [replace(geometry, shape=part).shape_in(proj.crs, error) for part in parts]
    return math.fsum(float(on_plane(shape)) for shape in shapes)


def _bounds(geometry: Geometry, margin: Margin, proj: Where) -> Geometry:
    if geometry.is_empty or geometry.unbounded:
        return geometry
    if proj is None:
        return Geometry.rectangle(*geometry.extent(metres_of(margin)))
    return Geometry.rectangle(*geometry.bounds_in(proj.crs, metres_of(margin, proj.crs)), proj.crs)


def _centroid(geometry: Geometry, margin: Margin, proj: Where) -> Geometry:
    return overlay.centre(_bounded(geometry), metres_of(margin, _code(proj)), _code(proj))


def _hull(geometry: Geometry, margin: Margin, proj: Where) -> Geometry:
    return overlay.hull(geometry, metres_of(margin, _code(proj)), _code(proj))


def _dissolve(geometry: Geometry, margin: Margin, proj: Where) -> Geometry:
    if members_of(geometry.shape) == [geometry.shape]:
        return geometry
    return overlay.union_all([geometry], metres_of(margin, _code(proj)), _code(proj))


def _buffer(geometry: Geometry, distance: float, margin: Margin, proj: Where) -> Geometry:
    return overlay.buffered(geometry, distance, metres_of(margin, _code(proj)), _code(proj))


def _simplify(geometry: Geometry, margin: Margin, proj: Where) -> Geometry:
    crs = geometry.crs if proj is None else proj.crs
    error = metres_of(margin, crs)
    if error is None:
        return geometry
    moved = geometry if proj is None else geometry.to_crs(proj.crs, error)
    return overlay.simplified(moved, error)


def _transform(geometry: Geometry, proj: Projection, margin: Margin, geodesic: bool | None) -> Geometry:
    if geometry.unbounded:
        return geometry
    return geometry.to_crs(proj.crs, metres_of(margin, proj.crs), geodesic=geodesic)


def _cut_lines(geometry: Geometry, distances: list[float], margin: Margin, proj: Where) -> Geometry:
    error, crs = metres_of(margin, _code(proj)), _code(proj)
    pieces = [
        shapely.LineString(piece)
        for part in parts_of(geometry.shape)
        if part.geom_type in _LINES and not part.is_empty
        for piece in _pieces(replace(geometry, shape=part), sorted(distances), error, crs)
    ]
    geodesic = crs is None and geometry.geodesic
    return Geometry(shapely.MultiLineString(pieces), crs or LON_LAT, geodesic)


def _pieces(line: Geometry, distances: list[float], error: float | None, crs: str | None) -> Iterator[Points]:
    """A line cut where it is so long, measured on the ellipsoid or in a projection."""
    if crs is None:
        path = shapely.get_coordinates(line.to_crs(LON_LAT, error, geodesic=line.geodesic).shape)
        lengths, along = path_metres(path), great_circle if line.geodesic else straight
    else:
        path = shapely.get_coordinates(line.shape_in(crs, error))
        lengths, along = np.linalg.norm(np.diff(path, axis=0), axis=1), straight
    reached = np.concatenate([[0.0], np.cumsum(lengths)])
    started = path[:1]
    edge = 0
    for distance in distances:
        charge(ELEMENTS_PER_APPLICATION)
        if not 0 < distance < reached[-1]:
            continue
        last = int(np.searchsorted(reached, distance, side="right")) - 1
        fraction = float((distance - reached[last]) / lengths[last])
        cut = along(path[last : last + 1], path[last + 1 : last + 2], fraction)
        inner = path[edge + 1 : last + 1]
        piece = np.vstack([started, inner, cut] if fraction > 0 else [started, inner])
        if len(piece) > 1 and distance > 0:
            yield piece
        started, edge = cut, last
    yield np.vstack([started, path[edge + 1 :]])


def _of_two(
    operation: Callable[..., Any], left: Geometry, right: Geometry, margin: Margin, proj: Where
) -> Any:
    return operation(left, right, metres_of(margin, _code(proj)), _code(proj))


def _disjoint(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> bool:
    return not overlay.intersects(left, right, error, crs)


def _contained_in(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> bool:
    return overlay.contains(right, left, error, crs)


def _union(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> Geometry:
    return overlay.union_all([left, right], error, crs)


def _intersection(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> Geometry:
    if left.unbounded or right.unbounded:
        return right if left.unbounded else left
    return overlay.combined(shapely.intersection, left, right, error, crs)


def _difference(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> Geometry:
    if right.unbounded or left.is_empty:
        return overlay.EMPTY
    return overlay.combined(shapely.difference, left, right, error, crs)


def _symmetric_difference(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> Geometry:
    return overlay.combined(shapely.symmetric_difference, left, right, error, crs)


def _closest_point(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> Geometry | None:
    found = overlay.nearest(left, right, error, crs)
    return None if found is None else found[1]


def _closest_points(left: Geometry, right: Geometry, error: float | None, crs: str | None) -> dict[str, Any]:
    found = overlay.nearest(left, right, error, crs)
    return {} if found is None else {"left": found[0], "right": found[1]}


def _distance(left: Geometry, right: Geometry, margin: Margin, proj: Where, spherical: bool) -> float:
    error = metres_of(margin, _code(proj))
    return overlay.distance_between(left, right, error, _code(proj), spherical=bool(spherical))


def _within_distance(left: Geometry, right: Geometry, distance: float, margin: Margin, proj: Where) -> bool:
    return _distance(left, right, margin, proj, False) <= distance


_OF_ONE: dict[str, Callable[..., Any]] = {
    **{name: partial(_measured, name) for name in _MEASURES},
    "bounds": _bounds,
    "buffer": _buffer,
    "centroid": _centroid,
    "convexHull": _hull,
    "cutLines": _cut_lines,
    "dissolve": _dissolve,
    "simplify": _simplify,
    "transform": _transform,
}
_OF_TWO: dict[str, Callable[..., Any]] = {
    "closestPoint": partial(_of_two, _closest_point),
    "closestPoints": partial(_of_two, _closest_points),
    "containedIn": partial(_of_two, _contained_in),
    "contains": partial(_of_two, overlay.contains),
    "difference": partial(_of_two, _difference),
    "disjoint": partial(_of_two, _disjoint),
    "distance": _distance,
    "intersection": partial(_of_two, _intersection),
    "intersects": partial(_of_two, overlay.intersects),
    "symmetricDifference": partial(_of_two, _symmetric_difference),
    "union": partial(_of_two, _union),
    "withinDistance": _within_distance,
}


def _of_feature(operation: Callable[..., Any], replaces: bool, feature: Element, *arguments: Any) -> Any:
    if replaces and isinstance(feature, Feature) and feature.geometry is None:
        return feature
    return _result(feature, operation(geometry_of(feature), *arguments), replaces)


def _of_features(
    operation: Callable[..., Any], replaces: bool, left: Element, right: Element, *arguments: Any
) -> Any:
    return _result(left, operation(geometry_of(left), geometry_of(right), *arguments), replaces)


def _result(feature: Element, result: Any, replaces: bool) -> Any:
    return Feature(feature.properties, result) if replaces else result


for _apply, _table in ((_of_feature, _OF_ONE), (_of_features, _OF_TWO)):
    for _name, _operation in _table.items():
        algorithm(f"Geometry.{_name}")(_operation)
        _replaces = signatures()[f"Feature.{_name}"].returns in ("Feature", "Element")
        algorithm(f"Feature.{_name}")(partial(_apply, _operation, _replaces))
algorithm("ProjectionTransform")(partial(_of_feature, _transform, True))


@algorithm("Feature.geometry")
def _feature_geometry(
    feature: Element, margin: Margin, proj: Where, geodesics: bool | None
) -> Geometry | None:
    if isinstance(feature, Feature) and feature.geometry is None:
        return None
    geometry = geometry_of(feature)
    return geometry if proj is None else _transform(geometry, proj, margin, geodesics)


@algorithm("Geometry.coveringGrid")
def _covering_grid(geometry: Geometry, proj: Projection, scale: float | None) -> Collection:
    grid = proj if scale is None else at_scale(proj, scale)
    if geometry.is_empty:
        return Collection({}, [])
    shape = _bounded(geometry).shape_in(grid.crs)
    left, bottom, right, top = shape.bounds
    cells = covering(grid, np.array([left, right, left, right]), np.array([bottom, top, top, bottom]))
    if cells.width * cells.height > _MAX_CELLS:
        raise EngineError(f"The grid would have {cells.width * cells.height} cells; specify a larger scale.")
    return Collection({}, _cells(shape, grid, cells.projection, cells.width, cells.height))


def _cells(shape: Any, grid: Projection, first: Projection, width: int, height: int) -> Iterator[Feature]:
    """The cells that a shape meets, row by row; a cell is named by its column and row in the grid."""
    shapely.prepare(shape)
    origin = first.to_crs(np.zeros(1), np.zeros(1))
    column, row = (round(float(value[0])) for value in grid.to_pixels(*origin))
    for down in range(height):
        across = np.arange(width + 1.0)
        x0, y0 = first.to_crs(across, np.full(width + 1, float(down)))
        x1, y1 = first.to_crs(across, np.full(width + 1, down + 1.0))
        rings = np.stack(
            [
                np.column_stack(pair)
                for pair in ((x0[:-1], y0[:-1]), (x0[1:], y0[1:]), (x1[1:], y1[1:]), (x1[:-1], y1[:-1]))
            ],
            axis=1,
        )
        boxes = np.asarray(shapely.polygons(rings))
        for index in np.flatnonzero(shapely.intersects(shape, boxes)):
            name = f"{column + int(index)},{row + down}"
            yield Feature({"system:index": name}, Geometry(boxes[index], grid.crs, geodesic=False))
