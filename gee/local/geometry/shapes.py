"""Shapes on a plane: built from coordinates and told as coordinates, taken apart and put together.

They are shapely's; here is what Earth Engine's GeoJSON and the map of the globe ask of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry, BaseMultipartGeometry

from gee.local.context import charge
from gee.local.errors import EngineError

MAX_EDGES = 2_000_000  # "Geometry has too many edges (n > 2000000)."
MAX_MEETINGS = 300_000  # of edges' boxes, besides a few for each edge: seconds of work on what they make
_MEETINGS_PER_EDGE = 4  # itself, its neighbours, and another
_CHUNK = 256  # edges looked at together
_LEAST = {"LineString": 2, "MultiLineString": 2, "LinearRing": 3, "Polygon": 3, "MultiPolygon": 3}


def check_edges(count: int) -> None:
    """Refuse a shape of so many edges.

    Raises:
        EngineError: they are too many.
    """
    if count > MAX_EDGES:
        raise EngineError(f"Geometry has too many edges ({count} > {MAX_EDGES}).")


def check_tangle(*shapes: BaseGeometry) -> None:
    """Refuse shapes whose edges meet so often that making one shape of them would take for ever.

    Raises:
        EngineError: they do; the work on them could not be stopped.
    """
    edges = [_edges(part) for shape in shapes for part in parts_of(shape)]
    boxes = np.concatenate(edges) if edges else np.zeros((0, 4))
    if len(boxes) ** 2 <= MAX_MEETINGS:
        return
    tree = shapely.STRtree(shapely.box(*boxes.T))
    allowed = MAX_MEETINGS + _MEETINGS_PER_EDGE * len(boxes)
    for first in range(0, len(boxes), _CHUNK):
        allowed -= tree.query(tree.geometries[first : first + _CHUNK]).shape[1]
        if allowed < 0:
            raise EngineError(f"Geometry is too complex: its {len(boxes)} edges cross each other too often.")
        charge(_CHUNK)


def _edges(part: BaseGeometry) -> NDArray[np.float64]:
    """The boxes around the edges of a single shape."""
    paths = rings_of(part) or [part]
    boxes = []
    for path in paths:
        points = shapely.get_coordinates(path)
        low, high = np.minimum(points[:-1], points[1:]), np.maximum(points[:-1], points[1:])
        boxes.append(np.concatenate([low, high], axis=1))
    return np.concatenate(boxes)


def shape_of(kind: str, coordinates: Sequence[Any]) -> BaseGeometry:
    """A shape of a GeoJSON type from its coordinates; rings are closed.

    Raises:
        EngineError: they are not of that type.
    """
    if kind not in _BUILDERS:
        raise EngineError(f"Invalid GeoJSON geometry: unknown type '{kind}'.")
    try:
        return _BUILDERS[kind](coordinates)
    except EngineError:
        raise
    except (TypeError, ValueError, IndexError, shapely.errors.ShapelyError) as error:
        raise EngineError(f"Invalid coordinates of a {kind}: {str(coordinates)[:200]}") from error


def _positions(kind: str, coordinates: Sequence[Any]) -> list[tuple[float, float]]:
    check_edges(len(coordinates))
    points = [(float(x), float(y)) for x, y, *_ in coordinates]
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in points):
        raise EngineError(f"Coordinates of a {kind} must be finite numbers.")
    least = _LEAST.get(kind, 0)
    distinct = len(points) - (kind not in ("LineString", "MultiLineString") and points[:1] == points[-1:])
    if points and distinct < least:
        raise EngineError(f"A ring or line of a {kind} needs at least {least} points, and has {distinct}.")
    return points


def _polygon(kind: str, rings: Sequence[Any]) -> shapely.Polygon:
    shell, *holes = [_positions(kind, ring) for ring in rings] or [[]]
    return shapely.Polygon(shell, [hole for hole in holes if hole])


_BUILDERS: dict[str, Callable[[Sequence[Any]], BaseGeometry]] = {
    "Point": lambda c: shapely.Point(*_positions("Point", [c])[0]) if len(c) else shapely.Point(),
    "MultiPoint": lambda c: shapely.MultiPoint(_positions("MultiPoint", c)),
    "LineString": lambda c: shapely.LineString(_positions("LineString", c)),
    "LinearRing": lambda c: shapely.LinearRing(_positions("LinearRing", c)),
    "Polygon": lambda c: _polygon("Polygon", c),
    "MultiLineString": lambda c: shapely.MultiLineString([_positions("MultiLineString", line) for line in c]),
    "MultiPolygon": lambda c: shapely.MultiPolygon([_polygon("MultiPolygon", rings) for rings in c]),
}


def shape_of_geojson(document: Mapping[str, Any]) -> BaseGeometry:
    """The shape of a GeoJSON geometry; collections in collections are opened.

    Raises:
        EngineError: it is none.
    """
    parts: list[BaseGeometry] = []
    pending: list[Any] = [document]
    while pending:
        item = pending.pop()
        if not isinstance(item, Mapping) or not isinstance(item.get("type"), str):
            raise EngineError("Invalid GeoJSON geometry.")
        if item["type"] == "GeometryCollection":
            pending.extend(reversed(item.get("geometries") or []))
            continue
        coordinates = item.get("coordinates")
        if not isinstance(coordinates, Sequence) or isinstance(coordinates, str):
            raise EngineError("Invalid GeoJSON geometry.")
        parts.append(shape_of(item["type"], coordinates))
    return parts[0] if document["type"] != "GeometryCollection" else shapely.GeometryCollection(parts)


def coordinates_of(shape: BaseGeometry) -> list[Any]:
    """The nested list that GeoJSON has under ``coordinates``; a collection's are those of its members."""
    if shape.geom_type == "Point":
        return [] if shape.is_empty else shapely.get_coordinates(shape)[0].tolist()
    if shape.geom_type == "Polygon":
        return [] if shape.is_empty else [shapely.get_coordinates(ring).tolist() for ring in rings_of(shape)]
    if isinstance(shape, BaseMultipartGeometry):
        return [coordinates_of(part) for part in members_of(shape)]
    return list(shapely.get_coordinates(shape).tolist())


def rings_of(polygon: BaseGeometry) -> list[shapely.LinearRing]:
    """Shell and holes of a polygon; none of anything else."""
    return [polygon.exterior, *polygon.interiors] if isinstance(polygon, shapely.Polygon) else []


def members_of(shape: BaseGeometry) -> list[BaseGeometry]:
    """What a multiple or a collection is made of; a single shape itself."""
    return list(shape.geoms) if isinstance(shape, BaseMultipartGeometry) else [shape]


def parts_of(shape: BaseGeometry) -> list[BaseGeometry]:
    """The single points, lines, rings and polygons of a shape."""
    parts, pending = [], [shape]
    while pending:
        part = pending.pop()
        if isinstance(part, BaseMultipartGeometry):
            pending.extend(reversed(members_of(part)))
        else:
            parts.append(part)
    return parts


_MULTIPLE: dict[str, Callable[[Any], BaseGeometry]] = {
    "Point": shapely.MultiPoint,
    "LineString": shapely.MultiLineString,
    "LinearRing": shapely.MultiLineString,
    "Polygon": shapely.MultiPolygon,
}
_DRAWN: dict[str, Callable[[Any], BaseGeometry]] = {
    "Point": shapely.Point,
    "LineString": shapely.LineString,
    "LinearRing": shapely.LinearRing,
}


def redrawn(part: BaseGeometry, points: NDArray[np.float64]) -> BaseGeometry:
    """A point, line or ring of the same kind with other coordinates."""
    return _DRAWN[part.geom_type](points if len(points) > 1 else points[0])


def collected(parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """One shape of single parts: the part itself, of one kind a multiple, else a collection."""
    if len(parts) == 1:
        return parts[0]
    kinds = {part.geom_type for part in parts}
    return _MULTIPLE[kinds.pop()](parts) if len(kinds) == 1 else shapely.GeometryCollection(list(parts))


def collected_like(model: BaseGeometry, parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """Parts put together the way a model's are."""
    if not isinstance(model, BaseMultipartGeometry):
        return parts[0]
    if model.geom_type != "GeometryCollection":
        return _MULTIPLE[model.geom_type.removeprefix("Multi")](list(parts))
    rest = iter(parts)
    return shapely.GeometryCollection(
        [
            collected_like(member, list(itertools.islice(rest, len(parts_of(member)))))
            for member in members_of(model)
        ]
    )


def valid(shape: BaseGeometry) -> BaseGeometry:
    """A shape whose polygons do not cross themselves, by the even-odd rule, nor each other."""
    if shape.is_valid or not np.isfinite(shapely.get_coordinates(shape)).all():
        return shape
    parts = [part if part.is_valid else _untangled(part) for part in parts_of(shape)]
    return shapely.unary_union(parts) if len(parts) > 1 else parts[0]


def _untangled(part: BaseGeometry) -> BaseGeometry:
    check_tangle(part)
    made = shapely.make_valid(part, method="linework")
    areas = [piece for piece in parts_of(made) if piece.geom_type == "Polygon"]
    return collected(areas) if areas else made


def recentred(shape: BaseGeometry, meridian: float) -> BaseGeometry:
    """A shape in degrees, cut and turned to lie within 180 degrees of a meridian."""
    if shape.is_empty:
        return shape
    left, _, right, _ = shape.bounds
    if left >= meridian - 180 and right <= meridian + 180:
        return shape
    first = math.floor((left - meridian + 180) / 360)
    last = math.ceil((right - meridian + 180) / 360) - 1
    pieces = []
    for turn in range(first, max(first, last) + 1):
        west = meridian - 180 + 360 * turn
        piece = shapely.intersection(shape, shapely.box(west, -90, west + 360, 90))
        pieces.append(_shifted(piece, -360.0 * turn))
    return shapely.unary_union(pieces)


def _shifted(shape: BaseGeometry, east: float) -> BaseGeometry:
    return shapely.transform(shape, lambda points: np.add(points, (east, 0.0)))


def narrowest(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The shortest stretch of longitudes that holds all stretches; it begins within 180 degrees."""
    west, east = min(span[0] for span in spans), max(span[1] for span in spans)
    if len(spans) > 1 and east - west > 180:
        turns = sorted((start % 360, start % 360 + stop - start) for start, stop in spans)
        reached = max(stop for _, stop in turns) - 360
        gaps = []
        for start, stop in turns:
            gaps.append((start - reached, start))
            reached = max(reached, stop)
        gap, west = max(gaps)
        east = west + 360 - max(gap, 0.0)
    if east - west >= 360 - 1e-9:
        return -180.0, 180.0
    turn = 360 * math.floor((west + 180) / 360)
    return west - turn, east - turn
