"""Geometries: a shape in a coordinate system with geodesic or straight edges, as Earth Engine has them.

A geometry keeps the coordinates it was given. What needs it on a plane (masks, coverage, set operations)
asks for it there, and gets a valid shape with as many vertices as its edges need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gee.local.errors import EngineError
from gee.local.geometry.geodesy import (
    LON_LAT,
    MapPlane,
    Plane,
    Points,
    closed_over_pole,
    flattened,
    great_circle,
    path_metres,
    ring_square_metres,
    straight,
    unwound,
)
from gee.local.geometry.projections import crs_of, is_geographic
from gee.local.geometry.shapes import (
    collected,
    collected_like,
    coordinates_of,
    members_of,
    narrowest,
    parts_of,
    recentred,
    redrawn,
    rings_of,
    shape_of,
    shape_of_geojson,
    valid,
)

_T = TypeVar("_T")
DEFAULT_ERROR = 1.0  # metres; how near to its edges a geometry is flattened where nobody asks for more
_REACH = 40.0  # degrees beyond its area of use that a coordinate system is trusted


@dataclass(frozen=True)
class Geometry:
    """A shape with the meaning of its edges.

    Args:
        shape: coordinates as given, in units of ``crs``, x or longitude first.
        crs: code or WKT.
        geodesic: edges are great circles of the sphere; otherwise straight in ``crs``.
        even_odd: the inside of a polygon by the even-odd rule; otherwise what is left of its shell.
        unbounded: everywhere; ``shape`` is then the whole map.
    """

    shape: BaseGeometry
    crs: str = LON_LAT
    geodesic: bool = True
    even_odd: bool = True
    unbounded: bool = False
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @staticmethod
    def from_geojson(document: Mapping[str, Any]) -> Geometry:
        """From GeoJSON with Earth Engine's ``geodesic``, ``evenOdd`` and named ``crs``.

        Raises:
            EngineError: it is no geometry.
        """
        crs = LON_LAT
        if document.get("crs") is not None:
            try:
                crs = str(document["crs"]["properties"]["name"])
            except (KeyError, TypeError) as error:
                raise EngineError(f"Invalid CRS declaration in GeoJSON: {document['crs']}") from error
        geodesic = document.get("geodesic")
        even_odd = document.get("evenOdd")
        return Geometry(
            shape_of_geojson(document),
            crs,
            is_geographic(crs) if geodesic is None else bool(geodesic),
            True if even_odd is None else bool(even_odd),
        )

    @staticmethod
    def polygon(ring: Sequence[Sequence[float]], crs: str = LON_LAT, *, geodesic: bool = True) -> Geometry:
        """A polygon without holes."""
        return Geometry(shape_of("Polygon", [ring]), crs, geodesic)

    @staticmethod
    def rectangle(west: float, south: float, east: float, north: float, crs: str = LON_LAT) -> Geometry:
        """A rectangle with straight edges, from its lower left corner anticlockwise."""
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return Geometry.polygon(ring, crs, geodesic=False)

    @staticmethod
    def merged(geometries: Iterable[Geometry]) -> Geometry:
        """Several geometries as one, with the projection and edges of the first; nothing is dissolved."""
        found = list(geometries)
        if len(found) == 1:
            return found[0]
        if any(geometry.unbounded for geometry in found):
            return EVERYWHERE
        if not found:
            return Geometry(shapely.GeometryCollection())
        first = found[0]
        parts = [
            part
            for geometry in found
            for part in parts_of(geometry.to_crs(first.crs, geodesic=first.geodesic).shape)
            if not part.is_empty
        ]
        return replace(first, shape=collected(parts))

    @property
    def is_empty(self) -> bool:
        """Whether there is no point in it."""
        return bool(self.shape.is_empty)

    @property
    def type(self) -> str:
        """The GeoJSON type."""
        return str(self.shape.geom_type)

    def as_json(self) -> dict[str, Any]:
        """As Earth Engine prints it: GeoJSON, with what is not its default."""
        return self._document(self.shape)

    def _document(self, shape: BaseGeometry) -> dict[str, Any]:
        default = is_geographic(self.crs)
        shown: dict[str, Any] = {} if self.geodesic == default and default else {"geodesic": self.geodesic}
        if self.crs != LON_LAT:
            shown["crs"] = {"type": "name", "properties": {"name": self.crs}}
        if not self.even_odd:
            shown["evenOdd"] = False
        shown["type"] = shape.geom_type
        if shape.geom_type == "GeometryCollection":
            return {**shown, "geometries": [self._document(part) for part in members_of(shape)]}
        return {**shown, "coordinates": coordinates_of(shape)}

    def to_crs(self, crs: str, max_error: float | None = None, *, geodesic: bool | None = None) -> Geometry:
        """The same geometry with coordinates in another system, with vertices added as its edges need.

        Args:
            crs: code or WKT.
            max_error: metres; `DEFAULT_ERROR` when None.
            geodesic: edges of the result; None for geodesic ones in longitude and latitude only.

        Raises:
            EngineError: the coordinate system has no place for it, or ``max_error`` is zero.
        """
        wanted = is_geographic(crs) if geodesic is None else geodesic
        if crs == self.crs and wanted == self.geodesic:
            return self
        plane = MapPlane(crs)
        shape = self._drawn(plane, great_circle if wanted else straight, _tolerance(max_error))
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            raise EngineError(f"Unable to transform the geometry into requested projection: {crs}.")
        return replace(self, shape=shape, crs=crs, geodesic=wanted)

    def on(self, plane: Plane, max_error: float | None = None) -> BaseGeometry:
        """A valid shape on a plane whose straight edges are near this geometry's; inverses are not taken."""
        return valid(self._drawn(plane, straight, _tolerance(max_error)))

    def globe(self, max_error: float | None = None) -> BaseGeometry:
        """A valid shape in longitude and latitude; longitudes may run on beyond 180 degrees."""
        tolerance = _tolerance(max_error)
        return self.remembered(
            ("globe", tolerance), lambda: self._inside(self.on(MapPlane(LON_LAT), tolerance))
        )

    def shape_in(self, crs: str, max_error: float | None = None) -> BaseGeometry:
        """A valid shape in units of a coordinate system, as pixels of that system are tested against.

        In degrees, longitudes are within 180. What lies far outside where the coordinate system is
        used is left out.
        """
        tolerance = _tolerance(max_error)
        return self.remembered((crs, tolerance), lambda: self._shape_in(crs, tolerance))

    def _shape_in(self, crs: str, tolerance: float) -> BaseGeometry:
        simple = not self.geodesic and self.even_odd and not self.unbounded
        if simple and not is_geographic(self.crs) and not is_geographic(crs):
            shape = self.on(MapPlane(crs), tolerance)
            if np.isfinite(shapely.get_coordinates(shape)).all():
                return shape
        if is_geographic(crs):
            return recentred(flat(self.globe(tolerance), MapPlane(crs), tolerance), 0.0)
        return on_map(self.globe(tolerance / 2), crs, tolerance / 2)

    def bounds_in(self, crs: str, max_error: float | None = None) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in a coordinate system; NaN where it is empty."""
        left, bottom, right, top = self.shape_in(crs, max_error).bounds
        return left, bottom, right, top

    def extent(self, max_error: float | None = None) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees, the narrowest; east may exceed 180 degrees."""

        def found() -> tuple[float, float, float, float]:
            parts = [part.bounds for part in parts_of(self.globe(max_error)) if not part.is_empty]
            if not parts:
                return (math.nan,) * 4
            south, north = min(part[1] for part in parts), max(part[3] for part in parts)
            west, east = narrowest([(part[0], part[2]) for part in parts])
            return west, south, east, north

        return self.remembered(("extent", _tolerance(max_error)), found)

    def area(self, max_error: float | None = None) -> float:
        """Square metres of the polygons on the ellipsoid; overlapping ones count each."""
        polygons = [replace(self, shape=polygon) for polygon in self._kind("Polygon")]
        return math.fsum(_globe_area(polygon.globe(max_error)) for polygon in polygons)

    def perimeter(self, max_error: float | None = None) -> float:
        """Metres of the polygons' rings on the ellipsoid."""
        return self._metres(
            [ring for polygon in self._kind("Polygon") for ring in rings_of(polygon)], max_error
        )

    def length(self, max_error: float | None = None) -> float:
        """Metres of the lines on the ellipsoid."""
        return self._metres([*self._kind("LineString"), *self._kind("LinearRing")], max_error)

    def _kind(self, kind: str) -> list[BaseGeometry]:
        return [part for part in parts_of(self.shape) if part.geom_type == kind and not part.is_empty]

    def _metres(self, lines: Iterable[BaseGeometry], max_error: float | None) -> float:
        # Straight edges become great circles, of which the ellipsoid's shortest ways are next to the same.
        plane, tolerance = MapPlane(LON_LAT), _tolerance(max_error)
        paths = [self._path(shapely.get_coordinates(line), plane, great_circle, tolerance) for line in lines]
        return math.fsum(float(path_metres(path).sum()) for path in paths)

    def remembered(self, key: Any, compute: Callable[[], _T]) -> _T:
        """What was computed of this geometry before under a key, else what is computed now."""
        found: _T | None = self._known.get(key)
        if found is None:
            found = self._known[key] = compute()
        return found

    def _path(self, path: Points, plane: Plane, chord: Any, tolerance: float) -> Points:
        turns = plane.geographic and (self.geodesic or not is_geographic(self.crs))
        if plane.geographic and not self.geodesic and chord is great_circle:
            path = _short_steps(path, self.crs)
        along = great_circle if self.geodesic else straight
        placed = flattened(path, self.crs, along, plane, chord, tolerance, round_trip=turns)
        return unwound(placed) if turns else placed

    def _drawn(self, plane: Plane, chord: Any, tolerance: float) -> BaseGeometry:
        """The shape on a plane as it is: type, order and rings kept."""

        def path(points: Points) -> Points:
            return self._path(points, plane, chord, tolerance)

        closes = plane.geographic and chord is straight and (self.geodesic or not is_geographic(self.crs))
        return collected_like(
            self.shape, [_redrawn(part, path, closes=closes) for part in parts_of(self.shape)]
        )

    def _inside(self, shape: BaseGeometry) -> BaseGeometry:
        """By the left-inside rule a clockwise shell encloses everything else."""
        if self.even_odd:
            return shape
        clockwise = [p for p in self._kind("Polygon") if not shapely.is_ccw(rings_of(p)[0])]
        return shapely.difference(_WHOLE_MAP, shape) if clockwise else shape


_WHOLE_MAP = shapely.box(-180, -90, 180, 90)
EVERYWHERE = Geometry(
    shapely.Polygon([(-180, -90), (180, -90), (180, 90), (-180, 90)]), geodesic=False, unbounded=True
)
"""The geometry of what has no bounds, such as a constant image."""


def _tolerance(max_error: float | None) -> float:
    return DEFAULT_ERROR if max_error is None else max_error


def _redrawn(part: BaseGeometry, path: Callable[[Points], Points], *, closes: bool) -> BaseGeometry:
    """One single part with each of its paths redrawn; rings on the map of the globe belong together."""
    if part.is_empty:
        return part
    if part.geom_type != "Polygon":
        return redrawn(part, path(shapely.get_coordinates(part)))
    shell, *holes = [path(shapely.get_coordinates(ring)) for ring in rings_of(part)]
    if closes:
        shell, holes = closed_over_pole(shell), [closed_over_pole(hole) for hole in holes]
        west, east = shell[:, 0].min(), shell[:, 0].max()
        holes = [hole - [360 * round((hole[:, 0].mean() - (west + east) / 2) / 360), 0] for hole in holes]
    return shapely.Polygon(shell, holes)


def _short_steps(path: Points, crs: str) -> Points:
    """A straight path in degrees with no step over a quarter of the globe, so that none is ambiguous."""
    if not is_geographic(crs) or len(path) < 2 or np.abs(np.diff(path[:, 0])).max() <= 90:
        return path
    return np.asarray(shapely.get_coordinates(shapely.segmentize(shapely.LineString(path), 45.0)))


def flat(shape: BaseGeometry, plane: Plane, tolerance: float, crs: str = LON_LAT) -> BaseGeometry:
    """A shape with straight edges in one system as a valid one with straight edges on a plane."""
    if getattr(plane, "crs", None) == crs:
        return shape
    return Geometry(shape, crs, geodesic=False).on(plane, tolerance)


@lru_cache(maxsize=256)
def _reach(crs: str) -> tuple[float, BaseGeometry, BaseGeometry]:
    """Central meridian of a map, and around it where the map is trusted and where it is used."""
    known = crs_of(crs)
    parameters = known.coordinate_operation.params if known.coordinate_operation else ()
    names = ("Longitude of natural origin", "Longitude of false origin", "Longitude of origin")
    meridian = next((float(p.value) for p in parameters if p.name in names), 0.0)
    used = known.area_of_use
    if used is None:
        whole = shapely.box(meridian - 180, -90, meridian + 180, 90)
        return meridian, whole, whole
    east = used.east + 360 if used.east < used.west else used.east
    area = recentred(shapely.box(used.west, used.south, east, used.north), meridian)
    left, south, right, north = area.bounds
    across = _REACH if east - used.west < 360 else 0.0
    # A map of the whole globe ends where it says: Mercator's goes on to infinity.
    up = 0.0 if not across and south < 0 < north else _REACH
    return meridian, shapely.box(left - across, south - up, right + across, north + up), area


def on_map(shape: BaseGeometry, crs: str, tolerance: float) -> BaseGeometry:
    """A shape in longitude and latitude on the plane of a projected coordinate system."""
    if shape.is_empty:
        return shape
    meridian, trusted, used = _reach(crs)
    here = recentred(shape, meridian)
    if not trusted.covers(shapely.box(*here.bounds)):
        here = shapely.intersection(here, trusted)
    placed = flat(here, MapPlane(crs), tolerance)
    if not np.isfinite(shapely.get_coordinates(placed)).all():
        placed = flat(shapely.intersection(here, used), MapPlane(crs), tolerance)
    left, _, right, _ = here.bounds
    # Around a pole the map's two ends meet: a shape all round is closed there.
    return shapely.set_precision(placed, 1e-4) if right - left > 359.999 else placed


def _globe_area(shape: BaseGeometry) -> float:
    """Square metres of polygons in longitude and latitude."""
    total = []
    for part in parts_of(shape):
        if part.geom_type != "Polygon" or part.is_empty:
            continue
        left, _, right, _ = part.bounds
        if right - left > 90:
            bands = [shapely.box(west, -90, west + 90, 90) for west in np.arange(left, right, 90.0)]
            total += [_globe_area(shapely.intersection(part, band)) for band in bands]
            continue
        shell, *holes = [
            ring_square_metres(_on_ellipsoid(shapely.get_coordinates(ring))) for ring in rings_of(part)
        ]
        total.append(shell - sum(holes))
    return math.fsum(total)


def _on_ellipsoid(ring: Points) -> Points:
    """A ring of straight edges in degrees with vertices so near that the shortest ways follow them."""
    ring = _short_steps(ring, LON_LAT)
    return flattened(ring, LON_LAT, straight, MapPlane(LON_LAT), great_circle, 0.1, round_trip=False)
