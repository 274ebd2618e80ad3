"""SMAP L4: the truth in 9 km EASE cells, seen through a model's error, on Earth Engine's warped raster.

Earth Engine's copy is a nearest-neighbour warp to longitude and latitude, so a pixel carries the value of the
EASE-Grid 2.0 cell under its centre and not of its own outline: training on the outline mixes up neighbours.
Errors follow the product's published behaviour: some 0.02 m3/m3 where the radiometer is assimilated, more
while it was off (19 June to 23 July 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import DAY_MS, BandSpec, Dataset, Pixels, Scene, Slot, Window, reader
from gee.local.sources.grids import EASE_M01, EASE_M09, FINE_PER_COARSE, SMAP_WARPED, coarse_cells, to_lonlat
from gee.local.sources.nature import moisture, noise, soil, vegetation, weather
from gee.local.sources.nature.cache import ByteCache

Floats = NDArray[np.float64]
Cells = NDArray[np.intp]

ID, EARLIER_ID = "NASA/SMAP/SPL4SMGP/008", "NASA/SMAP/SPL4SMGP/007"
EARLIER_END = datetime(2025, 6, 28, tzinfo=UTC)  # version 007 ends with the image of 2025-06-27 22:30
BIN_MS = 3 * 3_600_000
FIRST, END = datetime(2015, 3, 31, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
OUTAGE = (datetime(2019, 6, 19, tzinfo=UTC), datetime(2019, 7, 24, tzinfo=UTC))  # end exclusive

BIAS = 0.018  # m3/m3, of a place, for ever
ERROR, ERROR_DAYS = 0.014, 4.0  # with the radiometer: standard deviation and how long an error lasts
MODEL_ERROR, MODEL_ERROR_DAYS = 0.035, 10.0  # added while it was off
WHITE = 0.004  # from one 3-hourly field to the next
DAMPING, CENTRE = 0.88, 0.26  # the model's range is narrower than nature's
LAND_NEEDED = 0.5  # share of land below which a cell is water

PROFILE_DAYS = 30
SNOW_DAYS = 15  # how far back snowfall is followed
SNOW_BELOW = 0.5  # degrees Celsius
MELT = 3.0  # mm for a degree and day

TILE = 4  # M09 cells a side of a cached piece; small, so that little is computed besides what is asked
MONTHS_BYTES = 96_000_000


def in_outage(start: int) -> bool:
    """Whether the radiometer was off at that time (ms since 1970)."""
    first, end = (int(date.timestamp() * 1000) for date in OUTAGE)
    return first <= start < end


def _truth_month(tile_row: int, tile_col: int, months: int, layer: str) -> NDArray[np.float32]:
    """Means of a square of cells on each day of a month (counted since 1970), ``(days, TILE, TILE)``.

    A month at once, because the fine truth is integrated by months and too large to be kept.
    """
    side = TILE * FINE_PER_COARSE
    top, left = tile_row * side, tile_col * side
    bottom, right = min(top + side, EASE_M01.height), min(left + side, EASE_M01.width)
    first, end = _days_of_month(months)
    fine = np.full((end - first, side, side), np.nan, np.float32)
    for row in range(top // moisture.TILE, -(-bottom // moisture.TILE)):
        for col in range(left // moisture.TILE, -(-right // moisture.TILE)):
            truth_tile = moisture.tile_month(row, col, 1970 + months // 12, months % 12 + 1)
            r0, c0 = row * moisture.TILE, col * moisture.TILE
            r = slice(max(r0, top), min(r0 + moisture.TILE, bottom))
            c = slice(max(c0, left), min(c0 + moisture.TILE, right))
            part: NDArray[np.float32] = getattr(truth_tile, layer)
            fine[:, r.start - top : r.stop - top, c.start - left : c.stop - left] = part[
                :, r.start - r0 : r.stop - r0, c.start - c0 : c.stop - c0
            ]
    blocks = fine.reshape(-1, TILE, FINE_PER_COARSE, TILE, FINE_PER_COARSE)
    land = np.isfinite(blocks)
    count = land.sum((2, 4))
    mean = np.where(land, blocks, 0).sum((2, 4)) / np.maximum(count, 1)
    return np.where(count >= LAND_NEEDED * FINE_PER_COARSE**2, mean, np.nan).astype(np.float32)


def _days_of_month(months: int) -> tuple[int, int]:
    first, end = (
        int(np.datetime64(month, "M").astype("datetime64[D]").astype(int)) for month in (months, months + 1)
    )
    return first, end


_MONTHS: ByteCache[NDArray[np.float32]] = ByteCache(MONTHS_BYTES, lambda means: means.nbytes)


def truth(rows: Cells, cols: Cells, day: int, layer: str = "surface") -> Floats:
    """Mean true soil moisture of M09 cells on a day, m3/m3; NaN where mostly water.

    Args:
        rows: M09 rows, one-dimensional.
        cols: M09 columns, one-dimensional.
        day: days since 1970-01-01.
        layer: ``surface`` (0-5 cm) or ``root`` (5-50 cm).

    Returns:
        Array (rows, columns).
    """
    field = np.empty((rows.size, cols.size))
    months = int(np.datetime64(day, "D").astype("datetime64[M]").astype(int))
    index = day - _days_of_month(months)[0]
    for tile_row in np.unique(rows // TILE).tolist():
        for tile_col in np.unique(cols // TILE).tolist():
            here = np.ix_(rows // TILE == tile_row, cols // TILE == tile_col)
            inner = np.ix_(rows[rows // TILE == tile_row] % TILE, cols[cols // TILE == tile_col] % TILE)
            key = (tile_row, tile_col, months, layer)
            field[here] = _MONTHS.get(key, partial(_truth_month, *key))[index][inner]
    return field


def error(rows: Cells, cols: Cells, start: int) -> Floats:
    """Error of surface soil moisture at M09 cells, m3/m3, at a time (ms since 1970)."""
    x, y = np.meshgrid(cols * 1.0, rows * 1.0)
    day = start / DAY_MS
    bias = BIAS * noise.fractal(x, y, 31.0, 2, seed=8_100)
    transient = ERROR * noise.drifting(x / 7.3, y / 7.3, day / ERROR_DAYS, seed=8_200)
    if in_outage(start):
        transient = transient + MODEL_ERROR * noise.drifting(
            x / 11.7, y / 11.7, day / MODEL_ERROR_DAYS, seed=8_300
        )
    white = WHITE * pixelnoise.normal_at(rows[:, None], cols[None, :], pixelnoise.seed_of(ID, start))
    return np.asarray(bias + transient + white, np.float64)


class _Fields:
    """The bands over the cells of one window at one time, each computed when first asked."""

    def __init__(self, rows: Cells, cols: Cells, start: int) -> None:
        self.rows, self.cols, self.start = rows, cols, start
        self.day, self.hour = divmod(start, DAY_MS)[0], start % DAY_MS / 3_600_000
        self._done: dict[str, Floats] = {}

    def __getitem__(self, name: str) -> Floats:
        if name not in self._done:
            self._done[name] = BAND_RULES[name](self)
        return self._done[name]

    def _daily(self, day: float) -> Floats:
        """The truth at a moment: linear between the days' means, which stand at noon."""
        before = int(np.floor(day - 0.5))
        share = day - 0.5 - before
        return (1 - share) * truth(self.rows, self.cols, before) + share * truth(
            self.rows, self.cols, before + 1
        )

    def _seen(self, true: Floats, scale: float) -> Floats:
        field = CENTRE + DAMPING * (true - CENTRE) + scale * error(self.rows, self.cols, self.start)
        return np.clip(field, 0.01, 0.9)

    def surface(self) -> Floats:
        return self._seen(self._daily(self.start / DAY_MS), 1.0)

    def root_zone(self) -> Floats:
        return self._seen(truth(self.rows, self.cols, self.day, "root"), 0.7)

    def profile(self) -> Floats:
        """Down to bedrock, which remembers the month before."""
        past = truth(self.rows, self.cols, self.day - PROFILE_DAYS, "root")
        return self._seen(0.5 * truth(self.rows, self.cols, self.day, "root") + 0.5 * past, 0.6)

    def wetness(self, layer: str) -> Floats:
        sand = self.mean(lambda lon, lat: soil.texture(lon, lat)[0])
        return np.clip(self[layer] / (0.489 - 0.00126 * sand), 0, 1)  # porosity of Cosby et al. 1984

    def mean(self, field: Callable[[Floats, Floats], NDArray[np.floating]]) -> Floats:
        """Mean of a field of the nature run at nine places of each cell; its leading axes are kept."""
        places = np.array([1, 4, 7]) + 0.5
        side, _, west, _, _, north = EASE_M09.transform
        x = west + side * (self.cols[:, None] + places / FINE_PER_COARSE).ravel()
        y = north - side * (self.rows[:, None] + places / FINE_PER_COARSE).ravel()
        lon, _ = to_lonlat(EASE_M09.crs, x, np.zeros_like(x))
        _, lat = to_lonlat(EASE_M09.crs, np.zeros_like(y), y)
        values = field(*np.meshgrid(lon, lat)).astype(np.float64)
        means: Floats = values.reshape(*values.shape[:-2], self.rows.size, 3, self.cols.size, 3).mean(
            (-3, -1)
        )
        return means

    def temperature(self) -> Floats:
        """K, at the local solar half hour of each place."""

        def local(lon: Floats, lat: Floats) -> Floats:
            half_hours = np.round(2 * (24 * self.day + self.hour + lon / 15)).astype(np.int64)
            found = np.empty(lon.shape)
            for moment in np.unique(half_hours).tolist():
                here = half_hours == moment
                day, half_hour = divmod(moment, 48)
                found[here] = moisture.surface_temperature(lon[here], lat[here], day, half_hour / 2)
            return found

        return self.mean(local) + 273.15

    def rain_flux(self) -> Floats:
        """Flux in kg m-2 s-1: the day's rain shared among its eight bins."""
        x, y = np.meshgrid(self.cols * 1.0, self.rows * 1.0)
        bins = [
            np.exp(noise.drifting(x / 9.1, y / 9.1, self.day * 8.0 + number, seed=8_400))
            for number in range(8)
        ]
        share = bins[int(self.hour // 3)] / sum(bins)
        rain = self.mean(lambda lon, lat: weather.rain(lon, lat, self.day))
        return np.asarray(rain * share / (BIN_MS / 1000), np.float64)

    def leaves(self) -> Floats:
        return self.mean(lambda lon, lat: vegetation.lai(lon, lat, self.day))

    def snow(self) -> Floats:
        """Snow in kg m-2: snowfall of the last days less the melt by degree-days."""
        days = np.arange(self.day - SNOW_DAYS, self.day + 1)
        warmth = self.mean(lambda lon, lat: weather.temperature_series(lon, lat, days))
        cold = warmth < SNOW_BELOW
        pack: Floats = np.zeros(warmth.shape[1:])
        if cold.any():
            fall = self.mean(lambda lon, lat: weather.rain_series(lon, lat, days))
            for warm, snowing, fallen in zip(warmth, cold, fall, strict=True):
                pack = np.maximum(pack + np.where(snowing, fallen, 0) - MELT * np.maximum(warm, 0), 0)
        return pack


BAND_RULES: Mapping[str, Callable[[_Fields], Floats]] = {
    "sm_surface": lambda at: at.surface(),
    "sm_rootzone": lambda at: at.root_zone(),
    "sm_profile": lambda at: at.profile(),
    "sm_surface_wetness": lambda at: at.wetness("sm_surface"),
    "sm_rootzone_wetness": lambda at: at.wetness("sm_rootzone"),
    "sm_profile_wetness": lambda at: at.wetness("sm_profile"),
    "surface_temp": lambda at: at.temperature(),
    "precipitation_total_surface_flux": lambda at: at.rain_flux(),
    "snow_mass": lambda at: at.snow(),
    "land_fraction_saturated": lambda at: np.clip((at["sm_surface_wetness"] - 0.55) / 0.45, 0, 1) ** 2,
    "leaf_area_index": lambda at: at.leaves(),
    "vegetation_greenness_fraction": lambda at: 1 - np.exp(-0.6 * at["leaf_area_index"]),
}

BANDS = tuple(BandSpec(name, "float32") for name in BAND_RULES)


def _compute(start: int, names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
    rows, cols = coarse_cells(SMAP_WARPED, window)
    at = _Fields(rows[:, 0], cols[0, :], start)
    land = np.isfinite(truth(at.rows, at.cols, at.day))
    return {name: (at[name], land) for name in names}


def _scene(asset_id: str, slot: Slot) -> Scene:
    return Scene(
        f"{asset_id}/{slot.index}",
        slot.index,
        slot.start,
        slot.end,
        SMAP_WARPED,
        BANDS,
        {"simulated": 1, "simulated_radiometer_on": int(not in_outage(slot.start))},
        None,
        reader(SMAP_WARPED, BANDS, lambda names, window: _compute(slot.start, names, window)),
    )


@cache
def _slots(end: datetime) -> Sequence[Slot]:
    """One image for each 3 hours, stamped at the middle of them as Earth Engine's are."""
    first, last = int(FIRST.timestamp() * 1000), int(end.timestamp() * 1000)
    starts = range(first + BIN_MS // 2, last, BIN_MS)
    return [
        Slot(start, start + BIN_MS, datetime.fromtimestamp(start / 1000, UTC).strftime("%Y%m%d_%H%M"))
        for start in starts
    ]


def _dataset(asset_id: str, end: datetime) -> Dataset:
    """One version of the product; the simulated ones differ in their span only."""
    return Dataset(
        asset_id,
        "IMAGE_COLLECTION",
        {"title": "Simulated SMAP L4 surface and root-zone soil moisture, 3-hourly", "simulated": 1},
        slots=partial(_slots, end),
        build=partial(_scene, asset_id),
    )


DATASETS = (_dataset(ID, END), _dataset(EARLIER_ID, EARLIER_END))
