"""Elevation and open water of the simulated world, down to about 90 m.

Uplands, lakes, rivers and coasts come from `geography`; valleys are creases of noise whose smaller octaves
fade on valley floors, which makes tributaries meet main valleys as running water does. Outside the region
that `geography` describes, continents and ranges are noise.
"""

from __future__ import annotations

from itertools import pairwise

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
    Mask,
    fractal,
    gradient,
    interpolated,
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
VALLEY_OCTAVES = 7  # the last is about 170 m
HIGHEST_CREST = 1.6  # of the summit height; crests are bent below it
POND_LEVEL = 1.75  # of unit noise: ponds cover some 3 % of the lowland around 31 N
COAST_ROUGHNESS = 0.4  # m; on the flat coast a bend of 1-2 km
SHELF_SLOPE = 45.0  # m of depth for one degree off the coast

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
    base, summits, east_shift, north_shift = interpolated(_landforms, lon, lat, LANDFORM_STEP)
    x, y = plane(lon, lat)
    fine = gradient(*turned(x, y, 2.6, 0), SEED + 90) + np.float32(0.5) * gradient(
        *turned(x, y, 1.1, 1), SEED + 91
    )
    x = x + east_shift + 0.5 * fine
    y = y + north_shift - 0.5 * fine
    height = base + np.float32(1.2) * fractal(x, y, 6.0, 5, SEED + 80) + summits * _valleys(x, y)
    sea = base + COAST_ROUGHNESS * fine < 0
    open_water = sea.copy()
    height = np.where(sea, np.minimum(base, 0), np.maximum(height, 1))
    ponds = gradient(*turned(x, y, 1.7, 4), SEED + 95) - 1.4 * np.square((lat - 31.3) / 2.2) > POND_LEVEL
    open_water |= ponds & (summits < 90) & (np.abs(lon - 117) < 6)
    _carve_rivers(height, open_water, x, y)
    _fill_lakes(height, open_water, x, y)
    return np.asarray(height, np.float32), open_water


def relief(lon: Coordinates, lat: Coordinates) -> Floats:
    """Height in m of the summits above the plain around: 0 on plains, above 1,000 in mountains; smooth."""
    return np.asarray(interpolated(_landforms, lon, lat, LANDFORM_STEP)[1], np.float32)


def broad_elevation(lon: Coordinates, lat: Coordinates) -> Floats:
    """Elevation in m averaged over some 10 km, never below 0; cheap."""
    base, summits = interpolated(_landforms, lon, lat, LANDFORM_STEP)[:2]
    return np.asarray(np.maximum(base, 0) + np.float32(0.45) * summits, np.float32)


def slope(lon: Coordinates, lat: Coordinates, spacing: float = 90.0) -> Floats:
    """Slope in degrees from central differences over twice ``spacing`` metres."""
    north = spacing / 1000 / KM_PER_DEGREE
    east = north / np.maximum(np.cos(np.radians(lat)), 0.01)
    dx = elevation(lon + east, lat) - elevation(lon - east, lat)
    dy = elevation(lon, lat + north) - elevation(lon, lat - north)
    return np.asarray(np.degrees(np.arctan(np.hypot(dx, dy) / (2 * spacing))), np.float32)


def _valleys(x: Coordinates, y: Coordinates) -> Floats:
    """Share of the summit height, from 0.1 on valley floors to 1 on crests: each octave erodes the next."""
    total = np.float32(0.12) + np.float32(0.16) * np.abs(gradient(*turned(x, y, 31.0, 9), SEED + 60))
    weight = np.ones(x.shape, np.float32)
    wavelength, amplitude = VALLEY_KM, np.float32(0.3)
    for octave in range(VALLEY_OCTAVES):
        crease = np.abs(gradient(*turned(x, y, wavelength, octave), SEED + octave))
        total += amplitude * weight * crease
        weight = np.minimum(weight * (np.float32(0.3) + crease), 1.3)
        wavelength /= 2.07
        amplitude *= np.float32(0.48)
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
        nearest = np.full(x.shape, reach, np.float64)
        level = np.zeros(x.shape)
        met = False
        for (ax, ay, az), (bx, by, bz) in pairwise(points):
            if max(ax, bx) < west or min(ax, bx) > east or max(ay, by) < south or min(ay, by) > north:
                continue
            met = True
            dx, dy = bx - ax, by - ay
            t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
            distance = np.hypot(x - ax - t * dx, y - ay - t * dy)
            closer = distance < nearest
            nearest = np.where(closer, distance, nearest)
            level = np.where(closer, az + t * (bz - az), level)
        if not met:
            continue
        bank = smoothstep(nearest, river.width / 2, river.floodplain)
        above = np.maximum(height - (level + 1), 0) * (open_water == 0)
        near = nearest < reach
        height[near] = np.minimum(height, level + 1 + above * bank)[near]
        channel = (nearest < river.width / 2) & ~open_water
        height[channel] = level[channel]
        open_water |= channel


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
        along = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / lake.along
        across = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / lake.across
        radius = np.hypot(along, across)
        inside = radius < 1
        shore = ~inside & (radius < 2)
        eased = lake.level + 1 + (height - lake.level - 1) * smoothstep(radius, 1.0, 2.0)
        height[shore] = np.where(open_water, height, np.maximum(eased, lake.level + 0.5))[shore]
        height[inside] = lake.level
        open_water |= inside
