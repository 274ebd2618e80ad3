"""Elevation and open water of the simulated world, down to about 90 m.

Uplands, lakes, rivers and coasts come from `geography`; valleys are creases of noise whose smaller octaves
fade on valley floors, which makes tributaries meet main valleys as running water does. Outside the region
that `geography` describes, continents and ranges are noise.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numba
import numpy as np

from gee.local.sources.nature.geography import (
    COAST,
    LAKES,
    MASSIFS,
    REGION,
    REGION_EDGE,
    RIVERS,
)
from gee.local.sources.nature.noise import (
    KM_PER_DEGREE,
    KM_PER_DEGREE_EAST,
    Coordinates,
    Floats,
    Lattice,
    Mask,
    creased,
    fractal,
    gradient,
    plane,
    smoothstep,
    turned,
)

SEED = 1_000
LANDFORM_STEP = 0.05  # degrees between nodes of the smooth landforms; the narrowest massif is 14 km across
WARP_KM = 5.0  # how far rivers and shores are bent
OUTLINE_BEND = 2.5  # massifs are bent this many times more
RIVER_REACH_KM = 18.0  # beyond this distance a river has no effect
VALLEY_KM = 13.0  # spacing of the main valleys
VALLEY_HEIGHTS = tuple(0.3 * 0.48**octave for octave in range(7))  # of the summit's; the last is 170 m wide
VALLEY_CARRY = (0.3, 1.3)
SMALLEST_CREASE = 0.4  # m; what is smaller is left out
HIGHEST_CREST = 1.6  # of the summit height; crests are bent below it
POND_LEVEL = 1.75  # of unit noise: ponds cover some 3 % of the lowland around 31 N
COAST_ROUGHNESS = 0.4  # m; on the flat coast a bend of 1-2 km
SHELF_SLOPE = 45.0  # m of depth for one degree off the coast

_LANDFORMS = Lattice(LANDFORM_STEP, side=16, limit=32_000_000)
_COAST_LAT, _COAST_LON = (np.array(column) for column in zip(*COAST, strict=True))


def elevation(lon: Coordinates, lat: Coordinates) -> Floats:
    """Height above the sea in m; a lake or river has the height of its surface, the sea is 0 or below.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
    """
    return elevation_and_water(lon, lat)[0]


def water(lon: Coordinates, lat: Coordinates) -> Mask:
    """True where open water (sea, lake or river) covers the place."""
    return elevation_and_water(lon, lat)[1]


def elevation_and_water(lon: Coordinates, lat: Coordinates) -> tuple[Floats, Mask]:
    """Both at once, at the price of one; ponds keep the height of their banks."""
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    base, summits, east_shift, north_shift = _LANDFORMS.at(_landforms, lon, lat)
    x, y = plane(lon, lat)
    fine = gradient(*turned(x, y, 2.6, 0), SEED + 90) + np.float32(0.5) * gradient(
        *turned(x, y, 1.1, 1), SEED + 91
    )
    x = x + east_shift + 0.5 * fine
    y = y + north_shift - 0.5 * fine
    height = base + np.float32(1.2) * fractal(x, y, 6.0, 3, SEED + 80) + summits * _valleys(x, y, summits)
    sea = base + COAST_ROUGHNESS * fine < 0
    open_water = sea.copy()
    height = np.where(sea, np.minimum(base, 0), np.maximum(height, 1))
    ponds = gradient(*turned(x, y, 1.7, 4), SEED + 95) - 1.4 * np.square((lat - 31.3) / 2.2) > POND_LEVEL
    open_water |= ponds & (summits < 90) & (np.abs(lon - 117) < 6)
    height = np.asarray(height, np.float32)
    flat = (height.reshape(-1), open_water.reshape(-1), x.reshape(-1), y.reshape(-1))
    _carve_rivers(*flat)
    _fill_lakes(*flat)
    return height, open_water


def relief(lon: Coordinates, lat: Coordinates) -> Floats:
    """Height in m of the summits above the plain around: 0 on plains, above 1,000 in mountains; smooth."""
    return np.asarray(_LANDFORMS.at(_landforms, lon, lat)[1], np.float32)


def broad_elevation(lon: Coordinates, lat: Coordinates) -> Floats:
    """Elevation in m averaged over some 10 km, never below 0; cheap."""
    base, summits = _LANDFORMS.at(_landforms, lon, lat)[:2]
    return np.asarray(np.maximum(base, 0) + np.float32(0.45) * summits, np.float32)


def slope(lon: Coordinates, lat: Coordinates, spacing: float = 90.0) -> Floats:
    """Slope in degrees from central differences over twice ``spacing`` metres."""
    north = spacing / 1000 / KM_PER_DEGREE
    east = north / np.maximum(np.cos(np.radians(lat)), 0.01)
    dx = elevation(lon + east, lat) - elevation(lon - east, lat)
    dy = elevation(lon, lat + north) - elevation(lon, lat - north)
    return np.asarray(np.degrees(np.arctan(np.hypot(dx, dy) / (2 * spacing))), np.float32)


def _valleys(x: Coordinates, y: Coordinates, summits: Floats) -> Floats:
    """Share of the summit height, from 0.1 on valley floors to 1 on crests: each octave erodes the next."""
    total = np.float32(0.12) + np.float32(0.16) * np.abs(gradient(*turned(x, y, 31.0, 9), SEED + 60))
    least = np.asarray(SMALLEST_CREASE / np.maximum(summits, 1e-3), np.float32)
    total += creased(x, y, VALLEY_KM, SEED, VALLEY_HEIGHTS, VALLEY_CARRY, least)
    return np.asarray(total / np.sqrt(1 + np.square(total / np.float32(HIGHEST_CREST))), np.float32)


def _landforms(lon: Coordinates, lat: Coordinates) -> Floats:
    """Smooth base level, summit height above it and the bending of outlines (km east, km north)."""
    x, y = plane(lon, lat)
    bend = np.stack(
        [WARP_KM * fractal(x, y, 35.0, 3, SEED + 20), WARP_KM * fractal(x, y, 35.0, 3, SEED + 30)]
    )
    west, south, east, north = REGION
    outside = np.maximum.reduce([west - lon, lon - east, south - lat, lat - north])
    known = 1 - smoothstep(outside, 0, REGION_EDGE)
    base = np.zeros(lon.shape, np.float32)
    summits = np.zeros(lon.shape, np.float32)
    here, there = known > 0, known < 1
    if here.any():
        bent = np.stack([x, y])[:, here] + OUTLINE_BEND * bend[:, here]
        base[here], summits[here] = _known(lon[here], lat[here], *bent)
    if there.any():
        invented_base, invented_summits = _invented(lon[there], lat[there], x[there], y[there])
        share = known[there]
        base[there] = share * base[there] + (1 - share) * invented_base
        summits[there] = share * summits[there] + (1 - share) * invented_summits
    return np.stack([base, summits, *bend])


def _known(lon: Coordinates, lat: Coordinates, x: Coordinates, y: Coordinates) -> tuple[Floats, Floats]:
    inland = (
        np.interp(lat, _COAST_LAT, _COAST_LON) - lon + (x - lon * KM_PER_DEGREE_EAST) / KM_PER_DEGREE_EAST
    )
    plain = 3 * (1 - np.exp(-15 * np.maximum(inland, 0))) + np.minimum(inland, 6) * (
        3.5 + 4.5 * smoothstep(lat, 29.5, 33.0)
    )
    base = np.where(inland > 0, plain, SHELF_SLOPE * inland)
    total = np.zeros(lon.shape, np.float32)
    for massif in MASSIFS:
        dx, dy = x - massif.lon * KM_PER_DEGREE_EAST, y - massif.lat * KM_PER_DEGREE
        angle = np.radians(massif.azimuth)
        along = (dx * np.cos(angle) + dy * np.sin(angle)) / massif.along
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / massif.across
        reach = np.exp(-np.square(along * along + across * across))
        total += np.float32(massif.height**2) * np.asarray(reach, np.float32)
    summits = np.sqrt(total) * smoothstep(inland, 0, 0.15)
    return np.asarray(base, np.float32), np.asarray(summits, np.float32)


def _invented(lon: Coordinates, lat: Coordinates, x: Coordinates, y: Coordinates) -> tuple[Floats, Floats]:
    near = np.exp(-(((lon - 117) / 22) ** 4) - ((lat - 32) / 14) ** 4)
    inland = np.clip((np.interp(lat, _COAST_LAT, _COAST_LON) - lon) / 3, -1, 1)
    land = fractal(x, y, 4200.0, 6, SEED + 40) * (1 - 0.7 * near) - 0.25 + near * (1.3 * inland + 0.25)
    base = np.where(land > 0, 10 + 350 * land, 2500 * land)
    ranges = np.exp(-np.square(fractal(x, y, 1500.0, 4, SEED + 50) / np.float32(0.35)))
    summits = 2200 * ranges * smoothstep(land, 0.05, 0.8) + 60 * smoothstep(land, 0.0, 0.3)
    return np.asarray(base, np.float32), np.asarray(summits, np.float32)


def _carve_rivers(height: Floats, open_water: Mask, x: Coordinates, y: Coordinates) -> None:
    """Lower the floodplains to the rivers' levels and open the channels, in place."""
    if not x.size:
        return
    reach = RIVER_REACH_KM
    west, east, south, north = x.min() - reach, x.max() + reach, y.min() - reach, y.max() + reach
    for river in RIVERS:
        points = [(lon * KM_PER_DEGREE_EAST, lat * KM_PER_DEGREE, level) for lon, lat, level in river.course]
        near = [
            (*start, *end)
            for start, end in pairwise(points)
            if max(start[0], end[0]) >= west
            and min(start[0], end[0]) <= east
            and max(start[1], end[1]) >= south
            and min(start[1], end[1]) <= north
        ]
        if near:
            shape = np.array([river.width / 2, river.floodplain, reach])
            _carve(np.array(near, np.float64), shape, x, y, height, open_water)


def _fill_lakes(height: Floats, open_water: Mask, x: Coordinates, y: Coordinates) -> None:
    """Flatten the lakes at their level and ease the shores towards it, in place."""
    if not x.size:
        return
    west, east, south, north = x.min(), x.max(), y.min(), y.max()
    for lake in LAKES:
        reach = 2 * lake.along
        cx, cy = lake.lon * KM_PER_DEGREE_EAST, lake.lat * KM_PER_DEGREE
        if cx + reach < west or cx - reach > east or cy + reach < south or cy - reach > north:
            continue
        angle = np.radians(lake.azimuth)
        shape = np.array([cx, cy, np.cos(angle), np.sin(angle), lake.along, lake.across, lake.level])
        _fill(shape, x, y, height, open_water)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _carve(segments: Any, shape: Any, x: Any, y: Any, height: Any, open_water: Any) -> None:
    """One river: segments of (x, y, level) to (x, y, level); half width, half floodplain and reach in km."""
    half, floodplain, reach = shape
    for point in range(x.size):
        nearest, level = reach * reach, 0.0
        for segment in range(segments.shape[0]):
            ax, ay, az, bx, by, bz = segments[segment]
            dx, dy = bx - ax, by - ay
            t = min(max(((x[point] - ax) * dx + (y[point] - ay) * dy) / (dx * dx + dy * dy), 0.0), 1.0)
            away_x, away_y = x[point] - ax - t * dx, y[point] - ay - t * dy
            distance = away_x * away_x + away_y * away_y
            if distance < nearest:
                nearest, level = distance, az + t * (bz - az)
        if nearest >= reach * reach:
            continue
        distance = np.sqrt(nearest)
        above = 0.0 if open_water[point] else max(height[point] - (level + 1), 0.0)
        t = min(max((distance - half) / (floodplain - half), 0.0), 1.0)
        height[point] = min(height[point], level + 1 + above * t * t * (3 - 2 * t))
        if distance < half and not open_water[point]:
            height[point] = level
            open_water[point] = True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill(shape: Any, x: Any, y: Any, height: Any, open_water: Any) -> None:
    """One lake: centre (km), cosine and sine of its axis, half axes (km), level (m)."""
    cx, cy, cosine, sine, along_km, across_km, level = shape
    for point in range(x.size):
        dx, dy = x[point] - cx, y[point] - cy
        along, across = (dx * cosine + dy * sine) / along_km, (dy * cosine - dx * sine) / across_km
        radius = along * along + across * across
        if radius >= 4:
            continue
        if radius < 1:
            height[point] = level
            open_water[point] = True
        elif not open_water[point]:
            t = np.sqrt(radius) - 1
            eased = level + 1 + (height[point] - level - 1) * t * t * (3 - 2 * t)
            height[point] = max(eased, level + 0.5)
