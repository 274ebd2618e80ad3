"""What geometries do with each other: tests, set operations, buffers, nearest points.

An operation works in the projection asked for, or in the one its geometries share where their edges are
straight in it; otherwise on the globe, on planes chosen so that the result is within the error allowed
(guides/geometric_operations): great circles are straight on a gnomonic plane, distances from a place are
true on an azimuthal equidistant one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import shapely
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from gee.local.errors import EngineError
from gee.local.geometry.geodesy import (
    LON_LAT,
    SPHERE_RADIUS,
    WGS84,
    Around,
    Gnomonic,
    MapPlane,
    Plane,
    Points,
    path_metres,
    spherical_radius,
    unit_vectors,
)
from gee.local.geometry.geometries import DEFAULT_ERROR, EVERYWHERE, Geometry
from gee.local.geometry.shapes import check_tangle, parts_of, rings_of

_WIDEST = math.radians(60)  # a gnomonic plane stretches lengths fourfold there, and has no place beyond 90
_LARGEST = math.radians(
    89
)  # of a buffer around its middle: even-odd, a larger one's inside would be its outside
_TOUCHING = 1e-3  # metres; what rounding may part on a gnomonic plane
_DECIMALS = 12  # of degrees: less than a micrometre, so coordinates come back as they were given
_MAX_PIECES = 5_000
_BUFFER_ERROR = 0.01  # of the distance: Geometry.buffer's documented default
EMPTY = Geometry(shapely.GeometryCollection())


def plane_for(geometries: Sequence[Geometry], crs: str | None = None) -> Plane:
    """Where geometries are combined."""
    if crs is not None:
        return MapPlane(crs)
    first = geometries[0]
    if all(g.crs == first.crs and not g.geodesic for g in geometries):
        return MapPlane(first.crs)
    found = [geometry for geometry in geometries if not geometry.is_empty]
    if not found or not all(g.even_odd and not g.unbounded for g in found):
        return MapPlane(LON_LAT)
    vertices = np.concatenate([_vertices(geometry) for geometry in found])
    # The plane of the most detailed one, which has itself drawn there from the time before.
    own = _own_plane(max(found, key=lambda geometry: len(_vertices(geometry))))
    if own.reach(vertices) < _WIDEST:
        return own
    middle, radius = spherical_radius(vertices)
    return Gnomonic(float(middle[0, 0]), float(middle[0, 1])) if radius < _WIDEST else MapPlane(LON_LAT)


def _own_plane(geometry: Geometry) -> Gnomonic:
    def found() -> Gnomonic:
        middle, _ = spherical_radius(_vertices(geometry))
        return Gnomonic(float(middle[0, 0]), float(middle[0, 1]))

    return geometry.remembered("own plane", found)


def shape_on(geometry: Geometry, plane: Plane, max_error: float | None = None) -> BaseGeometry:
    """A geometry's valid shape on a plane."""
    if isinstance(plane, MapPlane):
        return geometry.shape_in(plane.crs, max_error)
    if not geometry.is_empty and plane == _own_plane(geometry):
        return geometry.remembered((plane, max_error), lambda: geometry.on(plane, max_error))
    return geometry.on(plane, max_error)


def returned(shape: BaseGeometry, plane: Plane) -> Geometry:
    """A shape on a plane as a geometry: of that projection, or geodesic where the plane is no map."""
    if shape.is_empty:
        return EMPTY if not isinstance(plane, MapPlane) else Geometry(EMPTY.shape, plane.crs, geodesic=False)
    if isinstance(plane, MapPlane):
        return Geometry(shape, plane.crs, geodesic=False)
    return Geometry(
        shapely.remove_repeated_points(shapely.transform(shape, lambda p: _degrees(plane.back(p))))
    )


def _degrees(points: Points) -> Points:
    """Degrees without what the way to a plane and back has added, nor negative zeros."""
    return np.asarray(np.round(points, _DECIMALS) + 0.0)


def combined(
    operation: Callable[[BaseGeometry, BaseGeometry], BaseGeometry],
    left: Geometry,
    right: Geometry,
    max_error: float | None = None,
    crs: str | None = None,
) -> Geometry:
    """The set operation of two geometries."""
    plane = plane_for((left, right), crs)
    first, second = shape_on(left, plane, max_error), shape_on(right, plane, max_error)
    check_tangle(first, second)
    return returned(operation(first, second), plane)


def union_all(
    geometries: Sequence[Geometry], max_error: float | None = None, crs: str | None = None
) -> Geometry:
    """What any of the geometries covers, dissolved."""
    if any(geometry.unbounded for geometry in geometries):
        return EVERYWHERE
    found = [geometry for geometry in geometries if not geometry.is_empty]
    if not found:
        return EMPTY
    plane = plane_for(found, crs)
    return returned(shapely.unary_union([shape_on(geometry, plane, max_error) for geometry in found]), plane)


def intersects(
    left: Geometry, right: Geometry, max_error: float | None = None, crs: str | None = None
) -> bool:
    """Whether the geometries share a point."""
    if left.is_empty or right.is_empty:
        return False
    if left.unbounded or right.unbounded:
        return True
    if crs is None and _apart(left, right):
        return False
    plane = plane_for((left, right), crs)
    shapes = shape_on(left, plane, max_error), shape_on(right, plane, max_error)
    if isinstance(plane, Gnomonic):
        return bool(shapely.dwithin(*shapes, _TOUCHING))
    return bool(shapely.intersects(*shapes))


def contains(left: Geometry, right: Geometry, max_error: float | None = None, crs: str | None = None) -> bool:
    """Whether the right geometry lies in the left one."""
    if left.is_empty or right.is_empty:
        return False
    if left.unbounded or right.unbounded:
        return left.unbounded
    if crs is None and _apart(left, right):
        return False
    plane = plane_for((left, right), crs)
    outer, inner = shape_on(left, plane, max_error), shape_on(right, plane, max_error)
    if shapely.contains(outer, inner):
        return True
    if not isinstance(plane, Gnomonic) or not shapely.intersects(outer, inner):
        return False
    return bool(shapely.contains(shapely.buffer(outer, _TOUCHING, quad_segs=2), inner))


def _apart(left: Geometry, right: Geometry) -> bool:
    """Whether the geometries' extents say that they share nothing, which is quick to tell."""
    west, south, east, north = left.extent()
    other_west, other_south, other_east, other_north = right.extent()
    near = 1e-7
    if south > other_north + near or other_south > north + near:
        return True
    return (other_west - west) % 360 > east - west + near and (
        west - other_west
    ) % 360 > other_east - other_west + near


def _vertices(geometry: Geometry) -> Points:
    """Places that show how far a geometry reaches, in longitude and latitude."""

    def found() -> Points:
        if geometry.geodesic:
            return MapPlane(geometry.crs).back(shapely.get_coordinates(geometry.shape))
        return np.asarray(shapely.get_coordinates(shapely.segmentize(geometry.globe(), 15.0)))

    return geometry.remembered("vertices", found)


def _plain(geometry: Geometry) -> Geometry:
    """A geometry by the even-odd rule."""
    return geometry if geometry.even_odd else Geometry(geometry.globe(), geodesic=False)


def buffered(
    geometry: Geometry, distance: float, max_error: float | None = None, crs: str | None = None
) -> Geometry:
    """What is within a distance of a geometry; with a negative one, what is that far inside it.

    Args:
        geometry: any.
        distance: metres, or units of ``crs`` where that is given.
        max_error: metres; a hundredth of the distance when None.
        crs: where to work; None is on the ellipsoid.
    """
    if not math.isfinite(distance):
        raise EngineError(f"Distance must be a finite number. Found {distance}.")
    if geometry.unbounded or geometry.is_empty:
        return geometry
    if distance == 0:
        return union_all([geometry], max_error, crs)
    if crs is not None:
        map_plane = MapPlane(crs)
        error = None if max_error is None else max_error / map_plane.metres
        shape = geometry.shape_in(crs, max_error)
        return returned(shapely.buffer(shape, distance, quad_segs=_arcs(distance, error)), map_plane)
    error = max_error or abs(distance) * _BUFFER_ERROR
    plain, tolerance = _plain(geometry), min(error / 10, DEFAULT_ERROR)
    middle, radius = spherical_radius(_vertices(plain))
    if distance > 0 and radius + distance / SPHERE_RADIUS > _LARGEST:
        raise EngineError("The buffer would cover half of the globe or more, which is not supported.")
    if radius * SPHERE_RADIUS <= _reach_of(distance, error):
        around = Around(float(middle[0, 0]), float(middle[0, 1]))
        shape = plain.on(around, tolerance)
        return returned(shapely.buffer(shape, distance, quad_segs=_arcs(distance, error)), around)
    border = union_all(_border_buffers(plain, abs(distance), error), tolerance)
    if distance > 0:
        return combined(shapely.union, plain, border, tolerance)
    return combined(shapely.difference, plain, border, tolerance)


def _arcs(distance: float, error: float | None) -> int:
    """Segments of a quarter circle whose chords are within an error of it."""
    part = _BUFFER_ERROR if not error else min(error / abs(distance), 0.5)
    return min(max(math.ceil(math.pi / 4 / math.acos(1 - part)), 2), 500)


def _reach_of(distance: float, error: float) -> float:
    """Metres around a place where an equidistant plane keeps a distance to a tenth of the error."""
    far = abs(distance)
    return (math.sqrt(far**2 + 1.2 * SPHERE_RADIUS**2 * error / far) - far) / 2


def _border_buffers(geometry: Geometry, distance: float, error: float) -> list[Geometry]:
    """Buffers of pieces of the lines and borders, each on a plane of its own."""
    reach = _reach_of(distance, error)
    pieces: list[Points] = []
    for part in parts_of(geometry.globe()):
        for line in rings_of(part) if part.geom_type == "Polygon" else [part]:
            path = shapely.get_coordinates(line)
            if len(path) > 1:
                path = shapely.get_coordinates(shapely.segmentize(line, reach / 111_320))
            group = np.floor(np.concatenate([[0.0], np.cumsum(path_metres(path))]) / (1.5 * reach)).astype(
                int
            )
            starts = np.flatnonzero(np.diff(group, prepend=-1))
            pieces += [
                path[start : end + 1] for start, end in zip(starts, [*starts[1:], len(path)], strict=True)
            ]
            if len(pieces) > _MAX_PIECES:
                raise EngineError(f"The buffer needs more than {_MAX_PIECES} pieces; allow a larger error.")
    buffers = []
    for piece in pieces:
        middle, _ = spherical_radius(piece)
        around = Around(float(middle[0, 0]), float(middle[0, 1]))
        shape = shapely.LineString(piece) if len(piece) > 1 else shapely.Point(piece[0])
        drawn = Geometry(shape, geodesic=False).on(around, min(error / 10, DEFAULT_ERROR))
        buffers.append(returned(shapely.buffer(drawn, distance, quad_segs=_arcs(distance, error)), around))
    return buffers


def nearest(
    left: Geometry, right: Geometry, max_error: float | None = None, crs: str | None = None
) -> tuple[Geometry, Geometry] | None:
    """The points of two geometries that are nearest to each other; None where one is empty."""
    if left.is_empty or right.is_empty:
        return None
    if crs is not None:
        plane = MapPlane(crs)
        ends = shapely.get_coordinates(
            shapely.shortest_line(left.shape_in(crs, max_error), right.shape_in(crs, max_error))
        )
        first, second = (returned(shapely.Point(end), plane) for end in ends)
        return first, second
    if intersects(left, right, max_error):
        shared = combined(shapely.intersection, left, right, max_error)
        if not shared.is_empty:
            point = Geometry(shapely.Point(shapely.get_coordinates(shared.to_crs(LON_LAT).shape)[0]))
            return point, point
    start, end = _nearest_on_globe(_plain(left), _plain(right), max_error)
    return Geometry(shapely.Point(start)), Geometry(shapely.Point(end))


def _nearest_on_globe(left: Geometry, right: Geometry, max_error: float | None) -> tuple[Points, Points]:
    """Nearest samples first, then the nearest points on planes around the middle between them."""
    samples = [shapely.get_coordinates(shapely.segmentize(g.globe(), 1.0)) for g in (left, right)]
    away, index = cKDTree(unit_vectors(samples[1])).query(unit_vectors(samples[0]))
    closest = int(np.argmin(away))
    pair = np.array([samples[0][closest], samples[1][int(np.asarray(index)[closest])]])
    best = float(path_metres(pair)[0])
    tolerance = max(min(max_error or DEFAULT_ERROR, DEFAULT_ERROR) / 10, 1e-3)
    for _ in range(10):
        azimuth, _, length = WGS84.inv(*pair[0], *pair[1])
        lon, lat, _ = WGS84.fwd(pair[0, 0], pair[0, 1], azimuth, length / 2)
        around = Around(float(lon), float(lat))
        line = shapely.shortest_line(left.on(around, tolerance), right.on(around, tolerance))
        found = _degrees(around.back(shapely.get_coordinates(line)))
        metres = float(path_metres(found)[0])
        if metres < best:
            gain, best, pair = best - metres, metres, found
            if gain > 1e-4:
                continue
        break
    return pair[0], pair[1]


def distance_between(
    left: Geometry,
    right: Geometry,
    max_error: float | None = None,
    crs: str | None = None,
    *,
    spherical: bool = False,
) -> float:
    """Metres between the nearest points, or units of ``crs``; infinite to nothing."""
    if left.is_empty or right.is_empty:
        return math.inf
    if crs is not None:
        return float(shapely.distance(left.shape_in(crs, max_error), right.shape_in(crs, max_error)))
    if intersects(left, right, max_error):
        return 0.0
    start, end = _nearest_on_globe(_plain(left), _plain(right), max_error)
    if spherical:
        a, b = unit_vectors(np.array([start, end]))
        return SPHERE_RADIUS * float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))
    return float(path_metres(np.array([start, end]))[0])


def simplified(geometry: Geometry, max_error: float) -> Geometry:
    """A geometry with those of its vertices left out that change it by no more than so many metres."""
    if geometry.is_empty or geometry.unbounded:
        return geometry
    if not geometry.geodesic and not MapPlane(geometry.crs).geographic:
        tolerance = max_error / MapPlane(geometry.crs).metres
        return replace(geometry, shape=shapely.simplify(geometry.shape, tolerance))
    middle, _ = spherical_radius(MapPlane(geometry.crs).back(shapely.get_coordinates(geometry.shape)))
    around = Around(float(middle[0, 0]), float(middle[0, 1]))
    # The plane shows lengths across its rays too long, so what it calls short is short.
    drawn = shapely.transform(geometry.shape, lambda points: around.onto(points, geometry.crs))
    kept = shapely.simplify(drawn, max_error)
    if geometry.crs != LON_LAT:
        back = MapPlane(geometry.crs)
        return replace(geometry, shape=shapely.transform(kept, lambda p: back.onto(around.back(p), LON_LAT)))
    return replace(geometry, shape=shapely.transform(kept, lambda p: _degrees(around.back(p))))


def hull(geometry: Geometry, max_error: float | None = None, crs: str | None = None) -> Geometry:
    """The convex hull: of great circles where the geometry is geodesic."""
    if geometry.unbounded or geometry.is_empty:
        return geometry
    plane = plane_for((geometry,), crs)
    return returned(shapely.convex_hull(shape_on(geometry, plane, max_error)), plane)


def centre(geometry: Geometry, max_error: float | None = None, crs: str | None = None) -> Geometry:
    """The centroid of the parts of the highest dimension, in ``crs`` or in longitude and latitude.

    On the globe it is the direction of the mean of the parts' places in space.
    """
    if geometry.is_empty:
        return EMPTY
    if crs is not None or not geometry.geodesic:
        plane = MapPlane(crs or geometry.crs)
        shape = (
            geometry.shape
            if geometry.shape.is_valid and crs is None
            else geometry.shape_in(plane.crs, max_error)
        )
        point = Geometry(shapely.centroid(shape), plane.crs, geodesic=plane.geographic)
        return point if crs is not None else point.to_crs(LON_LAT)
    middle, radius = spherical_radius(_vertices(geometry))
    if radius >= _WIDEST or not geometry.even_odd:
        return Geometry(shapely.centroid(geometry.globe(max_error)))
    top = Gnomonic(float(middle[0, 0]), float(middle[0, 1]))
    mean = _mean_place(geometry.on(top, max_error))
    return Geometry(shapely.Point(_degrees(top.back(mean[None, :]))[0]))


def _mean_place(shape: BaseGeometry) -> Points:
    """Where the mean over the sphere of a shape on a gnomonic plane points to, on that plane."""
    parts = parts_of(shape)
    dimension = max(int(shapely.get_dimensions(part)) for part in parts)
    total = np.zeros(3)
    for part in parts:
        if shapely.get_dimensions(part) != dimension or part.is_empty:
            continue
        if dimension == 0:
            total += _directions(shapely.get_coordinates(part))[0]
        elif dimension == 1:
            total += _line_moment(shapely.get_coordinates(part))
        else:
            shell, *holes = [_ring_moment(shapely.get_coordinates(ring)) for ring in rings_of(part)]
            total += shell - sum(holes, np.zeros(3))
    return np.asarray(total[:2] / total[2] * SPHERE_RADIUS)


def _directions(points: Points) -> Points:
    places = np.column_stack([points / SPHERE_RADIUS, np.ones(len(points))])
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))


def _line_moment(points: Points) -> Points:
    """The integral of the direction along great circles, each towards its middle."""
    a, b = _directions(points[:-1]), _directions(points[1:])
    half = np.arcsin(np.clip(np.linalg.norm(b - a, axis=1) / 2, 0, 1))
    middle = a + b
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    return np.asarray((2 * np.sin(half)[:, None] * middle).sum(axis=0))


def _ring_moment(points: Points) -> Points:
    """The integral of the direction over the inside of a ring of great circles, upwards.

    It is half the sum over the edges of angle times normal. The part of it that cancels for a small
    ring is left out of the sum: crosses are taken of differences from the first vertex.
    """
    directions = _directions(points)
    away = _small_differences(points)
    a, b = directions[:-1], directions[1:]
    cross = np.cross(a, b)
    sine = np.linalg.norm(cross, axis=1)
    angle = np.arctan2(sine, np.einsum("ij,ij->i", a, b))
    excess = np.where(sine > 1e-4, angle / np.where(sine > 0, sine, 1) - 1, sine**2 / 6)
    moment = (np.cross(away[:-1], away[1:]) + excess[:, None] * cross).sum(axis=0) / 2
    return np.asarray(moment if moment[2] > 0 else -moment)


def _small_differences(points: Points) -> Points:
    """Directions less the first one, without the loss that subtracting nearly equal ones has."""
    flat = np.column_stack([points / SPHERE_RADIUS, np.ones(len(points))])
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    step = flat - flat[0]
    # 1/n - 1/n0 with n squared less n0 squared = (flat - flat0) . (flat + flat0)
    shorter = -np.einsum("ij,ij->i", step, flat + flat[0])[:, None] / (
        length * length[0] * (length + length[0])
    )
    return np.asarray(step / length + flat[0] * shorter)
