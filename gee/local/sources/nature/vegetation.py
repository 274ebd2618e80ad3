"""Leaf area and reflectance of the simulated world.

Each plant functional type has one or two seasons a year (winter wheat then maize or rice on crop land), later
northward, stronger after wet spells; reflectance mixes soil, leaves and open water by the ground the leaves
cover. Curves are rounded from what MODIS shows over eastern China; spectra are typical ones in the seven
land bands of MODIS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from gee.local.sources.nature.landcover import (
    BARREN,
    BROAD_DECIDUOUS,
    BROAD_EVERGREEN,
    BROADLEAF_CROP,
    CEREAL,
    GRASS,
    NEEDLE_DECIDUOUS,
    NEEDLE_EVERGREEN,
    SHRUB,
    SNOW,
    URBAN,
    WATER,
    Codes,
    pft,
)
from gee.local.sources.nature.noise import Coordinates, Floats, fractal, interpolated, plane
from gee.local.sources.nature.weather import YEAR, spell

SEED = 5_000
LARGEST_LAI = 7.0
EXTINCTION = 0.5  # of light by a unit of leaf area (Monsi and Saeki 1953)
SPELL_GROWTH = 0.16  # log of the leaf area, one standard deviation of a wet spell
SPELL_LAG = 25  # days between a wet spell and its leaves
SPELL_STEP = 0.5  # degrees between the nodes of the growth after wet spells
LATER_PER_DEGREE = 2.5  # days northward


class Season(NamedTuple):
    """A bell of leaf area: its height, the day of year of its top, days of rise and fall to 1/e."""

    height: float
    top: float
    rise: float
    fall: float


class Phenology(NamedTuple):
    """Leaf area all year round and the seasons upon it."""

    floor: float
    seasons: tuple[Season, ...]


PHENOLOGY = {
    WATER: Phenology(0.0, ()),
    NEEDLE_EVERGREEN: Phenology(1.9, (Season(1.9, 200, 60, 70),)),
    BROAD_EVERGREEN: Phenology(2.6, (Season(2.6, 195, 60, 75),)),
    NEEDLE_DECIDUOUS: Phenology(0.4, (Season(3.6, 195, 45, 55),)),
    BROAD_DECIDUOUS: Phenology(0.6, (Season(4.8, 190, 52, 75),)),
    SHRUB: Phenology(0.7, (Season(2.1, 200, 60, 65),)),
    GRASS: Phenology(0.4, (Season(2.2, 205, 60, 60),)),
    CEREAL: Phenology(0.3, (Season(3.9, 107, 38, 22), Season(3.7, 222, 28, 30))),
    BROADLEAF_CROP: Phenology(0.35, (Season(2.4, 98, 35, 24), Season(4.4, 224, 33, 34))),
    URBAN: Phenology(0.25, (Season(0.9, 200, 70, 70),)),
    SNOW: Phenology(0.0, ()),
    BARREN: Phenology(0.1, (Season(0.2, 200, 60, 60),)),
}

BANDS = ("red", "nir", "blue", "green", "swir1240", "swir1640", "swir2130")  # MODIS land bands 1 to 7
SOIL = np.array((0.17, 0.24, 0.085, 0.13, 0.30, 0.34, 0.29), np.float32)
LEAVES = np.array((0.028, 0.43, 0.022, 0.058, 0.40, 0.19, 0.075), np.float32)
SURFACES = {  # share of the ground that the surface takes, and its spectrum
    WATER: (1.0, np.array((0.035, 0.022, 0.045, 0.05, 0.012, 0.008, 0.005), np.float32)),
    URBAN: (0.65, np.array((0.13, 0.19, 0.10, 0.115, 0.22, 0.22, 0.19), np.float32)),
    SNOW: (1.0, np.array((0.85, 0.75, 0.90, 0.88, 0.40, 0.10, 0.08), np.float32)),
}
WET_DARKENING = 0.5  # share of a dry soil's reflectance that a saturated one loses
SATURATED = 0.45  # m3/m3


@dataclass(frozen=True, eq=False)
class Canopy:
    """What stands at each place of a window for a year: compute once, ask for many days."""

    lon: Coordinates
    lat: Coordinates
    codes: Codes
    vigour: Floats
    delay: Floats

    def lai(self, day: int) -> Floats:
        """Leaf area index on a day since 1970-01-01, 0 to 7, m2/m2."""

        def nodes(lon: Coordinates, lat: Coordinates) -> Floats:
            return growth_of(lon, lat, day)

        growth = interpolated(nodes, self.lon, self.lat, SPELL_STEP) * self.vigour
        return leaf_area(self.codes, self.delay, growth, day)


def growth_of(lon: Coordinates, lat: Coordinates, day: int) -> Floats:
    """Factor of the leaf area after the wet or dry spell before a day; smooth."""
    return np.asarray(np.exp(SPELL_GROWTH * spell(lon, lat, day - SPELL_LAG)), np.float32)


def leaf_area(codes: Codes, delay: Floats, growth: Floats, day: int) -> Floats:
    """Leaf area index, 0 to 7, m2/m2, of the same shape as its arguments.

    Args:
        codes: LC_Type5.
        delay: days by which the seasons are late.
        growth: factor of the leaf area.
        day: days since 1970-01-01.
    """
    result = np.empty(codes.shape, np.float32)
    kinds, late = np.ascontiguousarray(codes).reshape(-1), np.asarray(delay, np.float32).reshape(-1)
    vigour, date, year = np.asarray(growth, np.float32).reshape(-1), np.float32(day % YEAR), np.float32(YEAR)
    _leaf_area(kinds, late, vigour, date, year, _SEASONS, np.float32(LARGEST_LAI), result.reshape(-1))
    return result


def _season_table() -> NDArray[np.float32]:
    """By code: the floor, then height, top, rise and fall of each season; a height of 0 ends them."""
    most = max(len(phenology.seasons) for phenology in PHENOLOGY.values())
    table = np.ones((len(PHENOLOGY), 1 + 4 * most), np.float32)
    table[:, 1::4] = 0
    for code, phenology in PHENOLOGY.items():
        table[code, 0] = phenology.floor
        for number, season in enumerate(phenology.seasons):
            table[code, 1 + 4 * number : 5 + 4 * number] = season
    return table


_SEASONS = _season_table()


@numba.njit(cache=True, nogil=True)
def _leaf_area(
    codes: Any, delay: Any, growth: Any, date: Any, year: Any, table: Any, largest: Any, out: Any
) -> None:
    half = year / np.float32(2)
    for point in range(codes.size):
        row = table[codes[point]]
        total = row[0]
        for first in range(1, row.size, 4):
            if row[first] == 0:
                break
            since = (date - delay[point] - row[first + 1] + half) % year - half
            width = row[first + 2] if since < 0 else row[first + 3]
            total += row[first] * np.exp(-(since / width) * (since / width))
        out[point] = min(max(total * growth[point], np.float32(0)), largest)


def canopy(lon: Coordinates, lat: Coordinates, year: int, codes: Codes | None = None) -> Canopy:
    """Canopy of a window.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        year: year of the land cover.
        codes: land cover where the caller has it.
    """
    return Canopy(
        np.asarray(lon, np.float64),
        np.asarray(lat, np.float64),
        pft(lon, lat, year) if codes is None else codes,
        *habit(lon, lat),
    )


def habit(lon: Coordinates, lat: Coordinates) -> tuple[Floats, Floats]:
    """How well plants grow at places, as a factor of the leaf area, and by how many days they are late."""
    x, y = plane(lon, lat)
    field = fractal(x, y, 22.0, 4, SEED, gain=0.75)
    other = fractal(x, y, 14.0, 3, SEED + 20, gain=0.75)
    delay = LATER_PER_DEGREE * (np.clip(np.abs(lat), 20, 50) - 32) + 5 * other
    delay = np.where(np.asarray(lat) < 0, delay + YEAR / 2, delay)
    return np.asarray(np.exp(0.14 * field), np.float32), np.asarray(delay, np.float32)


def lai(lon: Coordinates, lat: Coordinates, day: int) -> Floats:
    """Leaf area index, 0 to 7 m2/m2, 0 on water.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        day: days since 1970-01-01.
    """
    return canopy(lon, lat, year_of(day)).lai(day)


def year_of(day: int) -> int:
    """Calendar year of a day since 1970-01-01."""
    return int(np.datetime64(day, "D").astype("datetime64[Y]").astype(int)) + 1970


def cover(leaf_area: Floats) -> Floats:
    """Share of the ground that leaves hide, 0 to 1."""
    return np.asarray(1 - np.exp(-np.float32(EXTINCTION) * leaf_area), np.float32)


def spectrum(codes: Codes, leaf_area: Floats, moisture: Floats, brightness: Floats | float = 1.0) -> Floats:
    """Surface reflectance, 0 to 1, in the seven MODIS land bands: ``(7, *codes.shape)``.

    Args:
        codes: LC_Type5.
        leaf_area: m2/m2.
        moisture: volumetric surface soil moisture, m3/m3; NaN (water) counts as saturated.
        brightness: of the dry soil, 1 is usual.
    """
    hidden = cover(leaf_area)
    wetness = np.clip(np.nan_to_num(moisture, nan=SATURATED) / SATURATED, 0, 1)
    ground = (1 - WET_DARKENING * wetness) * brightness * (1 - hidden)
    shape = (7,) + (1,) * np.ndim(codes)
    result = SOIL.reshape(shape) * ground + LEAVES.reshape(shape) * hidden
    for code, (share, own) in SURFACES.items():
        here = codes == code
        result[:, here] = (1 - share) * result[:, here] + share * own[:, None]
    return np.asarray(result, np.float32)


def soil_brightness(lon: Coordinates, lat: Coordinates) -> Floats:
    """Brightness of the dry soil around 1."""
    x, y = plane(lon, lat)
    return np.asarray(1 + 0.1 * fractal(x, y, 12.0, 3, SEED + 40), np.float32)


def reflectance(lon: Coordinates, lat: Coordinates, day: int, band: int, moisture: Floats) -> Floats:
    """Reflectance in MODIS land band 1 to 7; for several bands call `spectrum` once."""
    standing = canopy(lon, lat, year_of(day))
    bands = spectrum(standing.codes, standing.lai(day), moisture, soil_brightness(lon, lat))
    return np.asarray(bands[band - 1], np.float32)
