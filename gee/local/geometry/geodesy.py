"""Edges on the globe and the planes they are flattened to.

Earth Engine's edges are great circles of the sphere that has the ellipsoid's latitudes, or straight
lines of a coordinate system. Flattening an edge puts vertices on it until the straight pieces are as
near to it as the caller asks; lengths and areas are the WGS84 ellipsoid's (guides/geometries_planar_geodesic,
guides/geometry_visualization_info).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyproj
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.geometry.projections import METRES_PER_DEGREE, crs_of, is_geographic, transformer
from gee.local.geometry.shapes import check_edges

Points = NDArray[np.float64]
"""Coordinates, shape (n, 2): x or longitude first."""
Between = Callable[[Points, Points, float], Points]
"""Points at a fraction of the way along edges."""

WGS84 = pyproj.Geod(ellps="WGS84")
LON_LAT = "EPSG:4326"
SPHERE_RADIUS = 6_371_010.0  # metres; mean radius of the Earth
_MAX_HALVINGS = 24
_LOOKED_AT = (0.25, 0.5, 0.75)  # the middle alone misses an edge that crosses its chord there


def unit_vectors(lon_lat: Points) -> Points:
    """Directions from the centre of the sphere, shape (n, 3)."""
    lon, lat = np.radians(lon_lat[:, 0]), np.radians(lon_lat[:, 1])
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def lon_lat_of(vectors: Points) -> Points:
    """Longitude and latitude in degrees of directions, shape (n, 2)."""
    x, y, z = vectors.T
    return np.asarray(np.degrees(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))])))


def straight(start: Points, end: Points, fraction: float) -> Points:
    """Points along straight edges."""
    return start + (end - start) * fraction


def great_circle(start: Points, end: Points, fraction: float) -> Points:
    """Points along the shortest ways on the sphere, in longitude and latitude."""
    a, b = unit_vectors(start), unit_vectors(end)
    angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), np.einsum("ij,ij->i", a, b))
    sine = np.sin(angle)
    # Between equal or opposite points no shortest way is determined.
    undetermined = sine < 1e-15
    sine = np.where(undetermined, 1.0, sine)
    first, second = np.sin((1 - fraction) * angle) / sine, np.sin(fraction * angle) / sine
    points = lon_lat_of(first[:, None] * a + second[:, None] * b)
    return np.where(undetermined[:, None], straight(start, end, fraction), points)


def turned(degrees: Any) -> Any:
    """A difference of longitudes as the shorter turn, within 180 degrees."""
    return (degrees + 180) % 360 - 180


class Plane(Protocol):
    """Where edges are flattened: how points come to it from a coordinate system, and back."""

    @property
    def geographic(self) -> bool:
        """Whether the plane is longitude and latitude, which goes round."""

    @property
    def metres(self) -> float:
        """Of one unit, where the plane is true to scale."""

    def onto(self, points: Points, crs: str) -> Points:
        """Points of a coordinate system on the plane; infinite where it has no place for them."""

    def back(self, points: Points) -> Points:
        """Longitude and latitude of points on the plane."""


@dataclass(frozen=True)
class MapPlane:
    """The plane of a coordinate system."""

    crs: str

    @cached_property
    def geographic(self) -> bool:
        """Whether it is longitude and latitude."""
        return is_geographic(self.crs)

    @cached_property
    def metres(self) -> float:
        """Of one unit."""
        return (
            METRES_PER_DEGREE
            if self.geographic
            else float(crs_of(self.crs).axis_info[0].unit_conversion_factor)
        )

    def onto(self, points: Points, crs: str) -> Points:
        """Points of another coordinate system in this one."""
        return _moved(points, crs, self.crs)

    def back(self, points: Points) -> Points:
        """Longitude and latitude."""
        return _moved(points, self.crs, LON_LAT)


def _moved(points: Points, source: str, target: str) -> Points:
    if source == target:
        return points
    return np.column_stack(transformer(source, target).transform(points[:, 0], points[:, 1]))


@dataclass(frozen=True)
class Gnomonic:
    """The plane that touches the sphere at a place: great circles are straight lines on it."""

    lon: float
    lat: float
    geographic = False
    metres = 1.0

    @cached_property
    def _axes(self) -> Points:
        lon, lat = np.radians(self.lon), np.radians(self.lat)
        east = [-np.sin(lon), np.cos(lon), 0.0]
        north = [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)]
        up = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
        return np.array([east, north, up])

    def reach(self, lon_lat: Points) -> float:
        """The angle from the place to the farthest point, in radians."""
        lowest = float((unit_vectors(lon_lat) @ self._axes[2]).min())
        return float(np.arccos(np.clip(lowest, -1, 1)))

    def onto(self, points: Points, crs: str) -> Points:
        """Points of a coordinate system on the plane; infinite beyond the horizon."""
        x, y, up = self._axes @ unit_vectors(_moved(points, crs, LON_LAT)).T
        up = np.where(up > 0, up, np.nan)
        flat = np.column_stack([x / up, y / up]) * SPHERE_RADIUS
        return np.where(np.isnan(flat), np.inf, flat)

    def back(self, points: Points) -> Points:
        """Longitude and latitude."""
        return lon_lat_of(np.column_stack([points / SPHERE_RADIUS, np.ones(len(points))]) @ self._axes)


@dataclass(frozen=True)
class Around:
    """The plane on which distances and directions from one place are the ellipsoid's own."""

    lon: float
    lat: float
    geographic = False
    metres = 1.0

    @cached_property
    def _proj(self) -> pyproj.Proj:
        return pyproj.Proj(f"+proj=aeqd +lat_0={self.lat!r} +lon_0={self.lon!r} +datum=WGS84 +units=m")

    def onto(self, points: Points, crs: str) -> Points:
        """Points of a coordinate system on the plane."""
        lon_lat = _moved(points, crs, LON_LAT)
        return np.column_stack(self._proj(lon_lat[:, 0], lon_lat[:, 1]))

    def back(self, points: Points) -> Points:
        """Longitude and latitude."""
        return np.column_stack(self._proj(points[:, 0], points[:, 1], inverse=True))


def flattened(
    path: Points,
    crs: str,
    along: Between,
    plane: Plane,
    chord: Between,
    tolerance: float,
    *,
    round_trip: bool,
) -> Points:
    """A path on a plane, with vertices added until its pieces are as near to its edges as asked.

    Args:
        path: vertices in ``crs``.
        crs: of the vertices and, unless they are great circles, of the edges.
        along: the edges.
        plane: where to.
        chord: what joins vertices on the plane.
        tolerance: metres.
        round_trip: whether edges on a geographic plane take the shorter way round the globe.

    Raises:
        EngineError: the tolerance is zero where vertices are needed, or they are too many.
    """
    if along is great_circle and crs != LON_LAT:
        path, crs = _moved(path, crs, LON_LAT), LON_LAT
    points, placed = path, plane.onto(path, crs)
    pending = np.full(max(len(path) - 1, 0), not _stays(path, crs, along, plane, chord, tolerance))
    for _ in range(_MAX_HALVINGS):
        edges = np.flatnonzero(pending)
        if not edges.size:
            break
        start, end = points[edges], points[edges + 1]
        wrong = np.zeros(len(edges))
        with np.errstate(invalid="ignore"):
            for fraction in _LOOKED_AT:
                there = plane.onto(along(start, end, fraction), crs)
                here = _chord_point(placed[edges], placed[edges + 1], fraction, chord, plane, round_trip)
                wrong = np.fmax(wrong, _metres_apart(there, here, plane))
        # A tolerance of zero asks for no vertices that are not needed, not for the rounding's.
        bad = edges[wrong > max(tolerance, 1e-5)]
        if bad.size and tolerance <= 0:
            raise EngineError(
                "Unable to perform this geometry operation. Please specify a non-zero error margin."
            )
        check_edges(len(points) + len(bad))
        middle = along(points[bad], points[bad + 1], 0.5)
        points = np.insert(points, bad + 1, middle, axis=0)
        placed = np.insert(placed, bad + 1, plane.onto(middle, crs), axis=0)
        pending = np.zeros(len(points) - 1, dtype=bool)
        inserted = bad + 1 + np.arange(len(bad))
        pending[inserted - 1] = pending[inserted] = True
    return placed


def _stays(path: Points, crs: str, along: Between, plane: Plane, chord: Between, tolerance: float) -> bool:
    """Whether the edges are known to need no vertices."""
    if isinstance(plane, Gnomonic):
        return along is great_circle
    if crs != getattr(plane, "crs", None):
        return False
    if along is chord:
        return True
    # A great circle leaves the straight line between its ends by length squared x tan(lat) / 8 R;
    # twice that is allowed for, and nothing near the poles or across the antimeridian.
    lat = float(np.abs(path[:, 1]).max(initial=0))
    longest = float(np.abs(np.diff(path, axis=0)).max(initial=0)) * METRES_PER_DEGREE
    return lat < 80 and longest**2 * np.tan(np.radians(lat)) / (2 * SPHERE_RADIUS) < tolerance


def _chord_point(
    start: Points, end: Points, fraction: float, chord: Between, plane: Plane, round_trip: bool
) -> Points:
    if round_trip and plane.geographic and chord is straight:
        end = end.copy()
        end[:, 0] = start[:, 0] + turned(end[:, 0] - start[:, 0])
    return chord(start, end, fraction)


def _metres_apart(there: Points, here: Points, plane: Plane) -> NDArray[np.float64]:
    x, y = (there - here).T
    if plane.geographic:
        x = turned(x) * np.cos(np.radians(here[:, 1]))
    distance = np.hypot(x, y) * plane.metres
    # No vertex helps where the plane has no place for the edge.
    return np.where(np.isfinite(distance), distance, 0.0)


def unwound(path: Points) -> Points:
    """A path in longitude and latitude whose longitudes run on across the antimeridian."""
    return np.column_stack([np.unwrap(path[:, 0], period=360), path[:, 1]])


def closed_over_pole(ring: Points) -> Points:
    """An unwound ring, with the nearer pole's edge of the map added when it runs round the globe."""
    if abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
    return np.vstack([ring, [[ring[-1, 0], pole], [ring[0, 0], pole], ring[0]]])


def path_metres(path: Points) -> NDArray[np.float64]:
    """Length of each edge of a path in longitude and latitude, on the ellipsoid."""
    if len(path) < 2:
        return np.zeros(0)
    _, _, lengths = WGS84.inv(path[:-1, 0], path[:-1, 1], path[1:, 0], path[1:, 1])
    return np.asarray(lengths, dtype=np.float64)


def ring_square_metres(ring: Points) -> float:
    """What a closed ring in longitude and latitude encloses on the ellipsoid, positive."""
    area, _ = WGS84.polygon_area_perimeter(ring[:, 0], ring[:, 1])
    return abs(float(area))


def spherical_radius(lon_lat: Points) -> tuple[Points, float]:
    """The middle of points on the sphere, shape (1, 2), and the angle to the farthest, in radians.

    Points that surround the globe have no middle: the angle is then pi.
    """
    vectors = unit_vectors(lon_lat)
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    middle = (low + high) / 2
    length = float(np.linalg.norm(middle))
    if length < 1e-6:
        return np.array([[0.0, 0.0]]), float(np.pi)
    middle = middle / length
    away = np.linalg.norm(vectors - middle, axis=1)
    return lon_lat_of(middle[None, :]), float(2 * np.arcsin(min(1.0, away.max() / 2)))
