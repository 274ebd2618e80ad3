"""MCD43A3: black-sky and white-sky albedo of every day, from the clear looks of sixteen.

A daily image is no daily measurement: it is fitted to 16 days around it, fully where clear looks abound and
by scaling an old shape (magnitude inversion) where clouds leave few. Broadband weights: Liang 2001, table 2
(doi:10.1016/S0034-4257(00)00205-4).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import DAY_MS, BandSpec, Dataset, Pixels, Slot, Window
from gee.local.sources.grids import MODIS_500M, to_lonlat
from gee.local.sources.modis import collection, daily, haze
from gee.local.sources.modis_ground import Ground, ground
from gee.local.sources.nature import moisture, vegetation, weather
from gee.local.sources.nature.cache import ByteCache
from gee.local.sources.orbits import TERRA_SWATH, TerraPasses, sun_angles

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

ID = "MODIS/061/MCD43A3"
SCALE = 0.001
BEFORE, AFTER = 8, 8  # days of the window: the label day is its ninth
FULL, MAGNITUDE = 7, 2  # clear looks of Terra and Aqua needed for either inversion
SPOILT = 0.05  # degrees: a cloud this near spoils a look
HAZY = 0.5  # so does haze beyond this
HOURS = (10.5, 13.5)  # of Terra and Aqua
BLOCK = 4  # pixels a side in which looks are counted together
MOISTURE_DAYS = (-6, -2, 2, 6)  # days that stand for the window

NARROW = tuple(f"Band{number}" for number in range(1, 8))
# Weights of bands 1 to 7 and a constant.
BROAD = {
    "vis": (0.331, 0.0, 0.424, 0.246, 0.0, 0.0, 0.0, 0.0),
    "nir": (0.039, 0.504, -0.071, 0.105, 0.252, 0.069, 0.101, 0.0),
    "shortwave": (0.160, 0.291, 0.243, 0.116, 0.112, 0.0, 0.081, -0.0015),
}
RANGES = (*NARROW, *BROAD)
BANDS = (
    *(BandSpec(f"Albedo_BSA_{part}", "int16", 0, 32_766) for part in RANGES),
    *(BandSpec(f"Albedo_WSA_{part}", "int16", 0, 32_766) for part in RANGES),
    *(
        BandSpec(f"BRDF_Albedo_Band_Mandatory_Quality_{part}", "uint8", 0, 255, pyramiding="MODE")
        for part in RANGES
    ),
)
LOOKS_BYTES = 32_000_000  # of one day's looks: a province in every day of three years
SLANT = 0.35  # how much brighter a surface is to a sun near the horizon

# The next day's image has fifteen of its sixteen days in common with this one.
_LOOKS: ByteCache[NDArray[np.int8]] = ByteCache(LOOKS_BYTES, lambda looks: looks.nbytes)


def clear_looks(window: Window, day: int) -> Counts:
    """Clear looks of Terra and Aqua at each pixel within the 16 days, counted by blocks of pixels."""
    rows = np.arange(window.row, window.row + window.height) // BLOCK
    cols = np.arange(window.col, window.col + window.width) // BLOCK
    row, col = int(rows[0]), int(cols[0])
    blocks = Window(row, col, int(rows[-1]) + 1 - row, int(cols[-1]) + 1 - col)
    days = range(day - BEFORE, day + AFTER)
    looks = np.sum([_LOOKS.get((blocks, other), partial(_looks, blocks, other)) for other in days], axis=0)
    return np.asarray(looks[np.ix_(rows - row, cols - col)], np.int64)


def _looks(blocks: Window, day: int) -> NDArray[np.int8]:
    """Clear looks of one day at the middles of blocks, (height, width)."""
    side, _, west, _, _, north = MODIS_500M.transform
    x = west + side * BLOCK * (np.arange(blocks.col, blocks.col + blocks.width) + 0.5)
    y = north - side * BLOCK * (np.arange(blocks.row, blocks.row + blocks.height) + 0.5)
    lon, lat = to_lonlat(MODIS_500M.crs, *np.meshgrid(x, y))
    lon = np.clip(lon, -180, 180)
    open_sky = np.abs(TerraPasses(lon, lat).angle(day)) <= TERRA_SWATH
    open_sky &= haze(lon, lat, np.full(lon.shape, day)) < HAZY
    looks = np.zeros(lon.shape, np.int8)
    for hour in HOURS:
        clear = open_sky.copy()
        for east, north in ((0.0, 0.0), (SPOILT, SPOILT), (-SPOILT, -SPOILT)):
            clear &= ~weather.cloudy(lon + east, lat + north, day, hour)
        looks += clear
    return looks


def _narrow(pixels: Ground, day: int) -> Floats:
    """Reflectance of the seven bands over the window of days, (7, height, width)."""
    standing, lon, lat = pixels.canopy(vegetation.year_of(day)), pixels.lon, pixels.lat
    moist = np.mean([moisture.soil_moisture(lon, lat, day + lag) for lag in MOISTURE_DAYS], axis=0)
    leaves = standing.lai(day)
    return vegetation.spectrum(standing.codes, leaves, moist, pixels.brightness).astype(np.float64)


def broadband(narrow: Floats, part: str) -> Floats:
    """Broadband albedo from that of the seven bands."""
    *weights, constant = BROAD[part]
    return np.asarray(np.tensordot(weights, narrow, 1) + constant)


def _compute(slot: Slot, names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
    pixels = ground(MODIS_500M, window)
    day = slot.start // DAY_MS
    looks = clear_looks(window, day)
    valid = pixels.on_earth & (looks >= MAGNITUDE)
    magnitude = looks < FULL
    found: dict[str, Pixels] = {}
    albedos = [name for name in names if name.startswith("Albedo")]
    if albedos:
        white = _narrow(pixels, day) * 1.04
        spread = np.where(magnitude, 0.06, 0.02)
        draws = pixelnoise.normal(window, pixelnoise.seed_of(ID, slot.index))
        white = white * (1 + spread * draws)
        zenith, _ = sun_angles(pixels.lat, day, np.full(pixels.lat.shape, 12.0))
        slanted = 1 + SLANT * (1 - np.cos(np.radians(np.minimum(zenith, 80)))) - 0.1
    for name in names:
        part = name.rpartition("_")[2]
        if name.startswith("Albedo"):
            share = white[NARROW.index(part)] if part in NARROW else broadband(white, part)
            share = share * slanted if "_BSA_" in name else share
            found[name] = np.rint(np.clip(share, 0.001, 1) / SCALE), valid
        else:
            found[name] = magnitude, valid
    return found


DATASETS: tuple[Dataset, ...] = (
    collection(ID, "albedo from 16 days around each day, 500 m", MODIS_500M, BANDS, daily, _compute),
)
