"""MOD11A1: land surface temperature by day and night, where no cloud hides the ground.

The daily product is mostly holes in the rainy season, and what is left is biased to clear days; both follow
from the same clouds that the other sensors meet. Scales and the QC words: MOD11 C6.1 user guide (Wan).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import DAY_MS, BandSpec, Dataset, Pixels, Slot, Window
from gee.local.sources.grids import MODIS_1KM
from gee.local.sources.modis import Sky, best_view, collection, daily, packed
from gee.local.sources.modis_ground import ground
from gee.local.sources.nature import landcover, moisture, vegetation, weather

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

ID = "MODIS/061/MOD11A1"
KELVIN = 0.02
LOWEST = 7_500
EMISSIVITY_SCALE, EMISSIVITY_OFFSET = 0.002, 0.49
COVER_SCALE = 0.0005
ERRORS = np.array((0.5, 1.4, 2.4, 3.8))  # K, standard deviation by class of LST error
UNSEEN_CLOUD = 1.5  # K that cloud left beside a pixel takes away

BANDS = (
    BandSpec("LST_Day_1km", "uint16", LOWEST, 65_535),
    BandSpec("QC_Day", "uint8", pyramiding="MODE"),
    BandSpec("Day_view_time", "uint8", 0, 240),
    BandSpec("Day_view_angle", "uint8", 0, 130),
    BandSpec("LST_Night_1km", "uint16", LOWEST, 65_535),
    BandSpec("QC_Night", "uint8", pyramiding="MODE"),
    BandSpec("Night_view_time", "uint8", 0, 240),
    BandSpec("Night_view_angle", "uint8", 0, 130),
    BandSpec("Emis_31", "uint8", 1, 255),
    BandSpec("Emis_32", "uint8", 1, 255),
    BandSpec("Clear_day_cov", "uint16", 0, 65_535),
    BandSpec("Clear_night_cov", "uint16", 0, 65_535),
)


def error_class(sky: Sky, draws: Floats) -> Counts:
    """Class of LST error, 0 (up to 1 K) to 3 (beyond 3 K): clouds near by, slant views and haze raise it."""
    doubt = (
        1.4 * sky.beside
        + 0.5 * (np.abs(sky.view.zenith) > 55)
        + 0.35 * np.maximum(sky.haze, 0)
        + 0.45 * draws
    )
    return np.digitize(doubt, (0.9, 1.9, 2.7)).astype(np.int64)


def quality(
    produced: NDArray[np.bool_], cloudy: NDArray[np.bool_], lst: Counts, emissivity: Counts
) -> Counts:
    """The 8-bit QC word; pixels without a value carry only why (2 cloud, 3 other)."""
    good = (lst == 0) & (emissivity <= 1)
    word = packed(((0, ~good), (2, ~good), (4, emissivity), (6, lst)))
    return np.where(produced, np.where(good, 0, word), np.where(cloudy, 2, 3))


def emissivity(codes: NDArray[np.uint8], leaves: Floats, channel: int) -> Floats:
    """Emissivity in channel 31 or 32: soil and stone below leaves and water."""
    bare = 0.965 if channel == 31 else 0.974
    mixed = bare + (0.986 - bare) * (1 - np.exp(-0.5 * leaves))
    return np.where(codes == landcover.WATER, 0.99 if channel == 31 else 0.986, mixed)


class _Land:
    """What day and night share: where the pixels are, and what stands there."""

    def __init__(self, slot: Slot, window: Window) -> None:
        self.slot, self.window = slot, window
        self.day = slot.start // DAY_MS
        year = vegetation.year_of(self.day)
        pixels = ground(MODIS_1KM, window)
        standing = pixels.canopy(year)
        self.lon, self.lat, self.on_earth, self.height = (
            pixels.lon,
            pixels.lat,
            pixels.on_earth,
            pixels.height,
        )
        self.codes = standing.codes
        self.sea = (self.codes == landcover.WATER) & (self.height <= 0)
        self.leaves = standing.lai(self.day)


class _Pass:
    """The bands of one pass, by day or by night."""

    def __init__(self, land: _Land, night: bool) -> None:
        self.land, self.night = land, night
        self.sky = best_view(land.lon, land.lat, range(land.day, land.day + 1), night)
        self.produced = land.on_earth & self.sky.view.seen & ~self.sky.cloudy & ~land.sea
        self.hours: Counts = np.rint(10 * self.sky.view.solar_hour).astype(np.int64) % 240
        self.lst_class = error_class(self.sky, self._draws("class"))

    def _draws(self, part: str) -> Floats:
        seed = pixelnoise.seed_of(ID, self.land.slot.index, self.night, part)
        return pixelnoise.normal(self.land.window, seed)

    def kelvin(self) -> Floats:
        """Temperature at the local solar time of the view, with its error."""
        land = self.land
        moist = moisture.soil_moisture(land.lon, land.lat, land.day)
        true = np.zeros(land.lon.shape)
        for tenth in np.unique(self.hours[self.produced]).tolist():
            here = self.produced & (self.hours == tenth)
            place = land.lon[here], land.lat[here], land.day, tenth / 10
            known = moist[here], land.leaves[here], land.height[here]
            true[here] = moisture.surface_temperature(*place, *known)
        noise = ERRORS[self.lst_class] * self._draws("error")
        return np.asarray(true + 273.15 + noise - UNSEEN_CLOUD * self.sky.beside)

    def lst(self) -> Pixels:
        return np.clip(np.rint(self.kelvin() / KELVIN), LOWEST, 65_535), self.produced

    def word(self) -> Pixels:
        towns = (self.land.codes == landcover.URBAN).astype(np.int64)
        word = quality(self.produced, self.sky.cloudy, self.lst_class, towns + (self.sky.haze > 1.8))
        return word, self.land.on_earth & ~self.land.sea

    def view_time(self) -> Pixels:
        return self.hours, self.produced

    def view_angle(self) -> Pixels:
        return np.rint(self.sky.view.zenith + 65), self.produced

    def clear_cover(self) -> Pixels:
        clear = 1 - weather.cloud_fraction(self.land.lon, self.land.lat, self.land.day)
        return np.rint(np.clip(clear, 0.05, 1) / COVER_SCALE), self.produced

    def emissivity(self, channel: int) -> Pixels:
        share = emissivity(self.land.codes, self.land.leaves.astype(np.float64), channel)
        return np.rint((share - EMISSIVITY_OFFSET) / EMISSIVITY_SCALE), self.produced


# Band: whether it belongs to the night pass, and how the pass makes it.
RULES: Mapping[str, tuple[bool, Callable[[_Pass], Pixels]]] = {
    "LST_Day_1km": (False, _Pass.lst),
    "QC_Day": (False, _Pass.word),
    "Day_view_time": (False, _Pass.view_time),
    "Day_view_angle": (False, _Pass.view_angle),
    "LST_Night_1km": (True, _Pass.lst),
    "QC_Night": (True, _Pass.word),
    "Night_view_time": (True, _Pass.view_time),
    "Night_view_angle": (True, _Pass.view_angle),
    "Emis_31": (False, lambda seen: seen.emissivity(31)),
    "Emis_32": (False, lambda seen: seen.emissivity(32)),
    "Clear_day_cov": (False, _Pass.clear_cover),
    "Clear_night_cov": (True, _Pass.clear_cover),
}


def _compute(slot: Slot, names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
    land = _Land(slot, window)
    passes = {night: _Pass(land, night) for night in {RULES[name][0] for name in names}}
    return {name: RULES[name][1](passes[RULES[name][0]]) for name in names}


DATASETS: tuple[Dataset, ...] = (
    collection(ID, "Terra land surface temperature, daily, 1 km", MODIS_1KM, BANDS, daily, _compute),
)
