"""MOD09A1: eight-day surface reflectance with its state and quality words.

The composite takes the best of eight days pixel by pixel, so neighbours may be days apart (``DayOfYear``) and
a pixel without a clear day shows a cloud; the quality bits tell, laid out as in the product's user guide
(Vermote et al., C6.1) and the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import DAY_MS, BandSpec, Dataset, Pixels, Slot, Window
from gee.local.sources.grids import MODIS_500M
from gee.local.sources.modis import (
    Flags,
    Sky,
    best_view,
    by_day,
    collection,
    day_number,
    eight_daily,
    packed,
)
from gee.local.sources.modis_ground import Ground, ground
from gee.local.sources.nature import landcover, moisture, noise, vegetation
from gee.local.sources.orbits import sun_angles

Floats = NDArray[np.float64]

ID = "MODIS/061/MOD09A1"
BANDS = tuple(f"sur_refl_b0{number}" for number in range(1, 8))
SCALE = 1e-4
LOWEST, HIGHEST = -100, 16_000

HAZE = np.array((0.010, 0.003, 0.016, 0.012, 0.002, 0.001, 0.0005))  # reflectance left by one unit of haze
SOIL_WATER = np.array(
    (0.0, 0.0, 0.0, 0.0, 0.25, 0.7, 1.1)
)  # absorption for 1 m3/m3 beyond the darkening of soil
RELATIVE_NOISE, NOISE = 0.015, 0.002
FORWARD = 0.07  # share by which a tilted view changes reflectance
SHADE = 0.45  # share of light left in a cloud's shadow
CLOUD = np.array((0.46, 0.50, 0.47, 0.46, 0.42, 0.36, 0.28))

SPECS = (
    *(BandSpec(band, "int16", LOWEST, HIGHEST) for band in BANDS),
    BandSpec("QA", "uint32", pyramiding="MODE"),
    BandSpec("SolarZenith", "int16", 0, 18_000),
    BandSpec("ViewZenith", "int16", 0, 18_000),
    BandSpec("RelativeAzimuth", "int16", -18_000, 18_000),
    BandSpec("StateQA", "uint16", pyramiding="MODE"),
    BandSpec("DayOfYear", "uint16", 1, 366, pyramiding="MODE"),
)


def reflectance(
    pixels: Ground, sky: Sky, window: Window, slot: Slot, bands: Sequence[int]
) -> Mapping[int, Floats]:
    """Surface reflectance as retrieved, before scaling, of bands counted from 0."""
    first, last = slot.start // DAY_MS, slot.end // DAY_MS - 1
    lon, lat = pixels.lon, pixels.lat
    standing = pixels.canopy(vegetation.year_of(first))
    share = (sky.day - first) / (last - first)
    leaves = ((1 - share) * standing.lai(first) + share * standing.lai(last)).astype(np.float32)
    moist = by_day(sky.day, lon, lat, moisture.soil_moisture).astype(np.float32)
    surface = vegetation.spectrum(standing.codes, leaves, moist, pixels.brightness).astype(np.float64)
    bare = 1 - vegetation.cover(leaves)
    damp = np.nan_to_num(moist, nan=0.0) * bare
    tilt = 1 + FORWARD * np.sin(np.radians(sky.view.zenith))
    x, y = noise.plane(lon, lat)
    thickness = 0.75 + 0.3 * noise.drifting(x / 9, y / 9, 3.0 * sky.day.astype(np.float64), seed=6_200)
    thickness = np.clip(thickness, 0.15, 1.3)
    thickness = np.where(sky.beside, 0.6 * thickness, thickness)
    result = {}
    for band in bands:
        ground = surface[band] * np.exp(-SOIL_WATER[band] * damp) * tilt
        ground = np.where(sky.shaded, SHADE * ground, ground) + HAZE[band] * sky.haze
        ground += np.where(sky.beside & ~sky.cloudy, 0.04 * CLOUD[band], 0)
        seen = np.where(sky.cloudy, (1 - thickness) * ground + thickness * CLOUD[band], ground)
        draws = pixelnoise.normal(window, pixelnoise.seed_of(ID, slot.index, band))
        result[band] = seen + (NOISE + RELATIVE_NOISE * seen) * draws
    return result


def aerosol_class(sky: Sky) -> NDArray[np.int64]:
    """0 climatology (where clouds hide the air), 1 low, 2 average, 3 high."""
    level = 1 + (sky.haze > -0.3).astype(np.int64) + (sky.haze > 1.1)
    return np.where(sky.cloudy, 0, level)


def land_water(codes: NDArray[np.uint8], height: NDArray[np.floating]) -> NDArray[np.int64]:
    """1 land, 3 shallow inland water, 5 deep inland water (wide), 6 continental ocean."""
    inland = np.where(height > 5, 5, 3)
    return np.where(codes != landcover.WATER, 1, np.where(height <= 0, 6, inland))


def state(sky: Sky, codes: NDArray[np.uint8], height: NDArray[np.floating]) -> NDArray[np.int64]:
    """The 16-bit ``StateQA`` word."""
    snow = codes == landcover.SNOW
    cirrus = np.where(sky.haze > 2.0, 2, (sky.haze > 1.5).astype(np.int64))
    cloud = np.where(sky.cloudy, np.where(sky.beside, 2, 1), 0)
    return packed(
        (
            (0, cloud),
            (2, sky.shaded),
            (3, land_water(codes, height)),
            (6, aerosol_class(sky)),
            (8, np.where(sky.cloudy, 0, cirrus)),
            (10, sky.cloudy & ~sky.beside),
            (12, snow),
            (13, sky.beside & ~sky.cloudy),
            (15, snow),
        )
    )


def quality(sky: Sky, window: Window, slot: Slot) -> NDArray[np.int64]:
    """The 32-bit ``QA`` word; band 5 of Terra has noisy detectors."""
    noisy = (
        pixelnoise.uniform(window._replace(width=1), pixelnoise.seed_of(ID, slot.index, "detector")) < 0.03
    )
    noisy = np.broadcast_to(noisy, sky.cloudy.shape)
    doubtful = sky.cloudy | noisy | (sky.haze > 1.1) | (np.abs(sky.view.zenith) > 60)
    return packed(((0, doubtful), (18, np.where(noisy, 7, 0)), (30, 1)))


def _compute(slot: Slot, names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
    pixels = ground(MODIS_500M, window)
    lat = pixels.lat
    first, end = slot.start // DAY_MS, slot.end // DAY_MS
    year = vegetation.year_of(first)
    sky = best_view(pixels.lon, lat, range(first, end))
    valid: Flags = pixels.on_earth & sky.view.seen
    found: dict[str, Floats | NDArray[np.int64]] = {}
    bands = [BANDS.index(name) for name in names if name in BANDS]
    if bands:
        for band, retrieved in reflectance(pixels, sky, window, slot, bands).items():
            found[BANDS[band]] = np.clip(np.rint(retrieved / SCALE), LOWEST, HIGHEST)
    if "StateQA" in names:
        found["StateQA"] = state(sky, pixels.canopy(year).codes, pixels.height)
    if "QA" in names:
        found["QA"] = quality(sky, window, slot)
    if "DayOfYear" in names:
        found["DayOfYear"] = sky.day - day_number(year) + 1
    if set(names) & {"SolarZenith", "RelativeAzimuth", "ViewZenith"}:
        zenith, azimuth = sun_angles(lat, sky.day.astype(np.float64), sky.view.solar_hour)
        # Terra stands to the east (about 98 degrees) or the west of the pixel.
        toward = np.where(sky.view.zenith < 0, 98.0, 278.0)
        found["SolarZenith"] = np.rint(zenith * 100)
        found["ViewZenith"] = np.rint(np.abs(sky.view.zenith) * 100)
        found["RelativeAzimuth"] = np.rint(((azimuth - toward + 180) % 360 - 180) * 100)
    return {name: (found[name], valid) for name in names}


DATASETS: tuple[Dataset, ...] = (
    collection(
        ID, "Terra surface reflectance, best of 8 days, 500 m", MODIS_500M, SPECS, eight_daily, _compute
    ),
)
