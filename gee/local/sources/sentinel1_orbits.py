"""Which Sentinel-1 scenes there are: tracks, repeat cycles, slices, and how each lies on the ground.

Whoever averages backscatter over a window of days mixes tracks, and whoever forgets the 12-day repeat counts
one twice, so the tracks are the real ones to a few kilometres: relative orbit 142 (ascending) over northern
Anhui on 2014-10-03 with Sentinel-1A's orbit 2664, all others follow from 175 revolutions in 12 days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local.sources.dataset import DAY_MS, RasterGrid, Ring, Window
from gee.local.sources.grids import from_lonlat, to_lonlat
from gee.local.sources.orbits import HOURS_PER_DEGREE, SENTINEL1

Floats = NDArray[np.float64]

PIXEL_METRES = 100.0  # the real product has 10 m; ten of them a side are one simulated pixel
ANGLE_METRES = 20_000.0  # spacing of the product's incidence angle grid
SLICE_SECONDS = 25
OVERLAP_METRES = 2_500.0  # of successive slices
NEAR, FAR = 3.27, 5.55  # Earth-centred degrees right of the ground track: incidence 30.6 to 46.0 degrees
REGION = (111.7, 26.7, 122.9, 37.4)  # Anhui and 300 km around it: west, south, east, north

_REFERENCE_TRACK, _REFERENCE_LONGITUDE = 142, 117.0  # swath centre at 32 degrees north
_PERIOD_MS = 12 * DAY_MS / SENTINEL1.revolutions


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class Platform(NamedTuple):
    """A satellite: its letter, the orbit number of relative orbit 1, its reference orbit and its life."""

    letter: str
    first_orbit: int
    reference_orbit: int
    reference_day: int
    start: int
    end: int


PLATFORMS = (
    Platform("A", 73, 2664, _ms("2014-10-03"), _ms("2015-01-01"), _ms("2026-01-01")),
    # Sentinel-1B trails A by half a cycle; operational in September 2016, lost on 23 December 2021.
    Platform("B", 27, 14518, _ms("2019-01-04"), _ms("2016-09-26"), _ms("2021-12-23")),
)


@dataclass(frozen=True, order=True, slots=True)
class Acquisition:
    """One slice of one pass."""

    start: int
    end: int
    index: str
    platform: str
    orbit: int
    track: int
    slice: int


@dataclass(frozen=True)
class Frame:
    """How the slices of that number of a track lie on the ground, cycle after cycle.

    The scene is a rectangle in the UTM zone of its centre, turned to the flight direction.

    Attributes:
        ascending: flying north.
        grid: 100 m pixels around the rectangle.
        angle_grid: 20 km pixels along the rectangle's sides.
        centre: easting and northing.
        along: unit vector of flight, easting and northing; the radar looks to the right of it.
        length: metres along the flight.
        width: metres across.
        footprint: the rectangle in longitude and latitude.
    """

    ascending: bool
    grid: RasterGrid
    angle_grid: RasterGrid
    centre: tuple[float, float]
    along: tuple[float, float]
    length: float
    width: float
    footprint: Ring

    @property
    def look(self) -> tuple[float, float]:
        """Unit vector of the radar's look direction on the ground."""
        return self.along[1], -self.along[0]

    def position(self, grid: RasterGrid, window: Window) -> tuple[Floats, Floats]:
        """Where pixel centres lie along the flight and from near to far range, each 0 to 1 in the scene."""
        x, y = grid.centres(window)
        x, y = x - self.centre[0], y - self.centre[1]
        across = x * self.look[0] + y * self.look[1]
        return (x * self.along[0] + y * self.along[1]) / self.length + 0.5, across / self.width + 0.5

    def misses(self, window: Window) -> bool:
        """Whether a window of the scene's grid lies wholly beyond one side of the rectangle."""
        corners = np.array([[0, 0], [0, window.width], [window.height, 0], [window.height, window.width]])
        x = self.grid.transform[2] + PIXEL_METRES * (window.col + corners[:, 1]) - self.centre[0]
        y = self.grid.transform[5] - PIXEL_METRES * (window.row + corners[:, 0]) - self.centre[1]
        along = (x * self.along[0] + y * self.along[1]) / self.length
        across = (x * self.look[0] + y * self.look[1]) / self.width
        return any(bool((part <= -0.5).all() or (part >= 0.5).all()) for part in (along, across))


def incidence(across: Floats) -> Floats:
    """Ellipsoid incidence angle, degrees, from near (0) to far range (1)."""
    return SENTINEL1.incidence(NEAR + np.clip(across, 0, 1) * (FAR - NEAR))


def _swath_centre(argument: Floats) -> tuple[Floats, Floats]:
    return SENTINEL1.beside(argument, np.full_like(argument, (NEAR + FAR) / 2))


@cache
def _reference_node() -> float:
    lon, lat = _swath_centre(np.linspace(25, 40, 1501))
    return _REFERENCE_LONGITUDE - float(np.interp(32.0, lat, lon))


def _node_longitude(track: int) -> float:
    """Longitude of the ascending node of a relative orbit."""
    return (_reference_node() - (track - _REFERENCE_TRACK) * SENTINEL1.spacing + 180) % 360 - 180


_SLICE_ARGUMENT = SLICE_SECONDS * 1000 / _PERIOD_MS * 360  # degrees along the orbit


@lru_cache(maxsize=1024)
def frame(track: int, number: int) -> Frame:
    """The ground geometry of slice ``number`` (counted from the ascending node) of a track."""
    argument = (number + 0.5) * _SLICE_ARGUMENT
    lon, lat = _swath_centre(argument + _SLICE_ARGUMENT * np.array([-0.5, 0.0, 0.5]))
    lon = (lon + _node_longitude(track) + 180) % 360 - 180
    crs = f"EPSG:{32601 + math.floor((lon[1] + 180) / 6)}"
    x, y = from_lonlat(crs, lon, lat)
    dx, dy = x[2] - x[0], y[2] - y[0]
    distance = math.hypot(dx, dy)
    along = float(dx / distance), float(dy / distance)
    look = along[1], -along[0]
    length, width = distance + OVERLAP_METRES, math.radians(FAR - NEAR) * 6_371_000.0
    centre = float(x[1]), float(y[1])

    def corner(forward: float, right: float) -> tuple[float, float]:
        forward, right = forward * length / 2, right * width / 2
        return (
            centre[0] + forward * along[0] + right * look[0],
            centre[1] + forward * along[1] + right * look[1],
        )

    sides = [
        (1.0, -1.0),
        (1.0, 0.0),
        (1.0, 1.0),
        (0.0, 1.0),
        (-1.0, 1.0),
        (-1.0, 0.0),
        (-1.0, -1.0),
        (0.0, -1.0),
    ]
    outline = np.array([corner(*side) for side in [*sides, sides[0]]])
    west, south = np.floor(outline.min(0) / PIXEL_METRES) * PIXEL_METRES
    east, north = np.ceil(outline.max(0) / PIXEL_METRES) * PIXEL_METRES
    grid = RasterGrid(
        crs,
        (PIXEL_METRES, 0.0, float(west), 0.0, -PIXEL_METRES, float(north)),
        round((east - west) / PIXEL_METRES),
        round((north - south) / PIXEL_METRES),
    )
    ascending = bool(dy > 0)
    # Columns run east and rows south, whichever way the satellite flies.
    turn = 1.0 if ascending else -1.0
    column = look[0] * turn * ANGLE_METRES, look[1] * turn * ANGLE_METRES
    row = -along[0] * turn * ANGLE_METRES, -along[1] * turn * ANGLE_METRES
    x0, y0 = corner(turn, -turn)
    angle_grid = RasterGrid(
        crs,
        (column[0], row[0], x0, column[1], row[1], y0),
        math.ceil(width / ANGLE_METRES),
        math.ceil(length / ANGLE_METRES),
    )
    ring_lon, ring_lat = to_lonlat(crs, outline[:, 0], outline[:, 1])
    footprint = tuple(zip(ring_lon.tolist(), ring_lat.tolist(), strict=True))
    return Frame(ascending, grid, angle_grid, centre, along, length, width, footprint)


@cache
def frames_of_region() -> tuple[tuple[int, int], ...]:
    """Track and slice number of every frame that reaches into the region."""
    west, south, east, north = REGION
    numbers = np.arange(math.floor(180 / _SLICE_ARGUMENT))
    lon, lat = _swath_centre(_SLICE_ARGUMENT * (numbers.astype(np.float64) + 0.5))
    found = []
    for track in range(1, SENTINEL1.revolutions + 1):
        east_of_west = (lon + _node_longitude(track) - west + 5) % 360
        near = (east_of_west < east - west + 10) & (lat > south - 3) & (lat < north + 3)
        for number in numbers[near].tolist():
            ring = np.array(frame(track, number).footprint)
            (x0, y0), (x1, y1) = ring.min(0), ring.max(0)
            if x0 < east and x1 > west and y0 < north and y1 > south:
                found.append((track, number))
    return tuple(found)


def _node_time(platform: Platform, orbit: int) -> float:
    hour = SENTINEL1.node_hour - _reference_node() * HOURS_PER_DEGREE
    return platform.reference_day + hour * 3_600_000 + (orbit - platform.reference_orbit) * _PERIOD_MS


def _name(platform: str, start: int, end: int, orbit: int) -> str:
    stamps = "_".join(datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y%m%dT%H%M%S") for ms in (start, end))
    datatake = orbit * 8 + (0x10000 if platform == "B" else 0)
    return f"S1{platform}_IW_GRDH_1SDV_{stamps}_{orbit:06d}_{datatake:06X}_{(start // 1000) % 65521:04X}"


@cache
def acquisitions() -> Sequence[Acquisition]:
    """All scenes of both satellites in the region, sorted by start and index."""
    found = []
    for platform in PLATFORMS:
        for track, number in frames_of_region():
            orbit = platform.first_orbit + track - 1
            cycle = SENTINEL1.revolutions
            behind = (
                platform.start - _node_time(platform, orbit) - number * SLICE_SECONDS * 1000
            ) / _PERIOD_MS
            orbit += math.ceil(behind / cycle) * cycle
            while True:
                start = round(_node_time(platform, orbit)) + number * SLICE_SECONDS * 1000
                if start >= platform.end:
                    break
                end = start + SLICE_SECONDS * 1000
                index = _name(platform.letter, start, end, orbit)
                found.append(Acquisition(start, end, index, platform.letter, orbit, track, number))
                orbit += cycle
    return sorted(found)
