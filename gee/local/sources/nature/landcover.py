"""Plant functional types of the simulated world, in the classes of MCD12Q1 LC_Type5.

Crops on plains, forests where the relief is high, cities where they are, water where the terrain has it;
noise of 0.7 to 30 km breaks the edges. Cities grow with the year. Class codes: MCD12 user guide, table 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gee.local.sources.nature.geography import CITIES
from gee.local.sources.nature.noise import (
    KM_PER_DEGREE,
    KM_PER_DEGREE_EAST,
    Coordinates,
    Floats,
    fractal,
    gradient,
    plane,
    smoothstep,
    turned,
)
from gee.local.sources.nature.terrain import elevation_and_water, relief
from gee.local.sources.nature.weather import aridity

Codes = NDArray[np.uint8]

SEED = 3_000
WATER, NEEDLE_EVERGREEN, BROAD_EVERGREEN, NEEDLE_DECIDUOUS, BROAD_DECIDUOUS, SHRUB = 0, 1, 2, 3, 4, 5
GRASS, CEREAL, BROADLEAF_CROP, URBAN, SNOW, BARREN = 6, 7, 8, 9, 10, 11
CITY_GROWTH = 0.012  # of the radius, each year from 2019
CITY_YEAR = 2019
NEVER_BUILT = 32_767  # no such year


def pft(lon: Coordinates, lat: Coordinates, year: int) -> Codes:
    """LC_Type5 code, 0 to 11.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        year: calendar year; only cities and villages change.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    height, wet = elevation_and_water(lon, lat)
    return classify(lon, lat, year, height, wet)


def classify(lon: Coordinates, lat: Coordinates, year: int, height: Floats, wet: NDArray[np.bool_]) -> Codes:
    """As `pft`, for who has the elevation and water already."""
    return survey(lon, lat, height, wet).codes(year)


@dataclass(frozen=True, eq=False)
class Survey:
    """Land cover of all years: towns only grow, so a place needs the year in which they reach it.

    Attributes:
        open_land: LC_Type5 code before there was a town, uint8.
        built: first year in which a town stands there, int16; NEVER_BUILT where none ever will.
    """

    open_land: Codes
    built: NDArray[np.int16]

    def codes(self, year: int) -> Codes:
        """LC_Type5 codes of a year."""
        return np.where(self.built <= year, np.uint8(URBAN), self.open_land)


def survey(lon: Coordinates, lat: Coordinates, height: Floats, wet: NDArray[np.bool_]) -> Survey:
    """Land cover of all years at places, from their elevation and water."""
    x, y = plane(lon, lat)
    patch = fractal(x, y, 9.0, 4, SEED, gain=0.7)
    broad = fractal(x, y, 40.0, 3, SEED + 20)
    summits = relief(lon, lat)
    wooded = smoothstep(summits, 110, 420) + 0.35 * smoothstep(height, 60, 300) + 0.22 * patch
    forest = wooded > 0.62
    codes = np.where(lat + 0.35 * broad + 0.45 * patch > 32.6, CEREAL, BROADLEAF_CROP).astype(np.uint8)
    margin = (wooded > 0.45) & ~forest
    codes[margin & (patch + broad > 0.2)] = GRASS
    codes[(np.abs(lat) > 52) & ~forest] = GRASS
    codes[forest] = _forest(lat[forest], height[forest], patch[forest], broad[forest])
    dry = aridity(lon, lat) + 0.1 * (broad + patch) > 0.55
    codes[dry] = BARREN
    codes[np.abs(lat) > 72] = SNOW
    codes[height > 6000 - 75 * np.abs(lat)] = SNOW
    built = np.where((height < 400) & ~forest & ~wet, _first_built(x, y, patch), NEVER_BUILT)
    codes[wet] = WATER
    return Survey(codes, built.astype(np.int16))


def _forest(lat: Coordinates, height: Floats, patch: Floats, broad: Floats) -> Codes:
    cold = np.abs(lat) + height / 260 + 1.3 * broad + 0.8 * patch  # 260 m up chills as a degree of latitude
    codes = np.where(cold > 33.3, BROAD_DECIDUOUS, BROAD_EVERGREEN).astype(np.uint8)
    codes[patch - 0.5 * broad > 0.85] = NEEDLE_EVERGREEN
    codes[np.abs(lat) > 50] = NEEDLE_EVERGREEN
    codes[patch < -1.25] = SHRUB
    return codes


def _first_built(x: Coordinates, y: Coordinates, patch: Floats) -> NDArray[np.float64]:
    """The first year with a village or a city there; far in the past where one always stood."""
    villages = gradient(*turned(x, y, 1.6, 3), SEED + 40) + 0.3 * patch
    growth = (2.0 - villages) / 2  # how much larger than in CITY_YEAR a city must be, as a share
    if x.size:
        west, east, south, north = x.min(), x.max(), y.min(), y.max()
        for lon, lat, radius in CITIES:
            cx, cy, reach = lon * KM_PER_DEGREE_EAST, lat * KM_PER_DEGREE, 4 * radius
            if cx + reach < west or cx - reach > east or cy + reach < south or cy - reach > north:
                continue
            distance = np.hypot(x - cx, y - cy) / (1.2 * radius)
            edge = np.clip(1 + 0.3 * patch, 1e-3, 2.4)
            growth = np.minimum(growth, distance / edge - 1)
    years = np.floor(CITY_YEAR + growth / CITY_GROWTH) + 1
    return np.asarray(np.clip(years, 0, NEVER_BUILT), np.float64)
