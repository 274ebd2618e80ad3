"""Boxes that surely hold geometries, to tell cheaply that two of them cannot touch.

Exact extents need geodesic edges to be drawn, which takes milliseconds; for a filter over thousands of
footprints a box that is a little too large serves as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely

from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import is_geographic

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; east may exceed 180."""

WORLD: Box = (-180.0, -90.0, 180.0, 90.0)
_MARGIN = 0.01  # degrees; geometries are drawn to a metre, and datums differ by less than this
_METRES_PER_DEGREE = 110_500.0  # of latitude, where a degree is shortest


def box_of(geometry: Geometry) -> Box | None:
    """A box that holds a geometry; None for an empty one."""
    if geometry.is_empty:
        return None
    if geometry.unbounded:
        return WORLD
    west, south, east, north = geometry.shape.bounds
    if not (geometry.even_odd and is_geographic(geometry.crs) and east - west < 179):
        west, south, east, north = geometry.extent()
    elif geometry.geodesic:
        south, north = -_bulge(-south, east - west), _bulge(north, east - west)
    return west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN


def _bulge(latitude: float, width: float) -> float:
    """How far north a great circle gets between two points of a latitude, so many degrees apart."""
    if latitude <= 0:
        return latitude
    half = math.cos(math.radians(width / 2))
    return math.degrees(math.atan2(math.tan(math.radians(min(latitude, 89.999))), half))


def widened(box: Box, metres: float) -> Box:
    """A box that holds everything no further away than so many metres."""
    west, south, east, north = box
    degrees = metres / _METRES_PER_DEGREE
    south, north = south - degrees, north + degrees
    shrink = math.cos(math.radians(min(90.0, max(abs(south), abs(north)))))
    if shrink <= 0.01 or degrees / shrink >= 180:
        return -180.0, south, 180.0, north
    return west - degrees / shrink, south, east + degrees / shrink, north


def apart(one: Box, other: Box) -> bool:
    """Whether two boxes share no point, on whichever turn round the Earth."""
    if max(one[1], other[1]) > min(one[3], other[3]):
        return True
    widths = one[2] - one[0] + other[2] - other[0]
    gaps = (other[0] - one[2]) % 360, (one[0] - other[2]) % 360
    # Gaps between boxes that do not overlap make up, with the boxes, exactly one turn.
    return widths < 360 and min(gaps) > 0 and sum(gaps) + widths < 361


class Places:
    """Geometries by place."""

    def __init__(self, geometries: Iterable[Geometry | None]) -> None:
        boxes: list[Any] = []
        self._owners: list[int] = []
        for position, geometry in enumerate(geometries):
            box = None if geometry is None else box_of(geometry)
            if box is not None:
                west, south, east, north = box
                boxes += [shapely.box(west + turn, south, east + turn, north) for turn in (-360, 0, 360)]
                self._owners += [position] * 3
        self._tree = shapely.STRtree(boxes)

    def near(self, geometry: Geometry, metres: float) -> list[int]:
        """Positions of all geometries no further than so many metres from one, and of some others."""
        box = box_of(geometry)
        if box is None:
            return []
        found = self._tree.query(shapely.box(*widened(box, metres)))
        return np.unique(np.asarray(self._owners, np.int64)[found]).tolist() if len(found) else []
