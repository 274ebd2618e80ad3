"""What goes beyond the paper's fifteen, against NumPy and hand computation on hand-made scenes."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import ee
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer
from scipy.interpolate import RegularGridInterpolator

from gee import availability, catalog, exports, grids, partitions, predictors, statics, target
from gee.cells import ease_cells
from gee.errors import SettingError
from gee.local.sources.dataset import RasterGrid
from gee.predictors import EVERY, PAPER, RAINFALL, TEMPERATURES, Bands
from gee.recipe import RECOMMENDED
from gee.timeseries import Calendar

FINE = GeoBox((5, 6), Affine(1000, 0, 540_000, 0, -1000, 3_540_000), "EPSG:32650")
FINE_PIXELS = RasterGrid("EPSG:32650", (1000, 0, 540_000, 0, -1000, 3_540_000), 6, 5)
DAY = dt.date(2019, 7, 10)
CHIRPS = RasterGrid("EPSG:4326", (0.05, 0, 117.2, 0, -0.05, 32.2), 10, 10)  # around the fine grid
ARC = 1 / 1200
SRTM = RasterGrid("EPSG:4326", (ARC, 0, 117.4, 0, -ARC, 32.0), 120, 120)
MERIT = RasterGrid("EPSG:4326", (ARC, 0, 117.4 - ARC / 2, 0, -ARC, 32.0 + ARC / 2), 121, 121)
Array = NDArray[np.float64]


def before(days: int) -> str:
    return (DAY - dt.timedelta(days)).isoformat()


def put_rain(earth: Any, amounts: dict[int, float | Array]) -> None:
    """Rain by days before the day."""
    earth.put(
        "UCSB-CHG/CHIRPS/DAILY", CHIRPS,
        [
            (before(days), {"precipitation": np.broadcast_to(np.float32(of), (10, 10)).copy()})
            for days, of in sorted(amounts.items(), reverse=True)
        ],
    )  # fmt: skip


def rain_of(earth: Any, calendar: Calendar) -> dict[str, list[Any]]:
    """The sums of each day on the fine grid."""
    reach = calendar.padded(*predictors.margins(RAINFALL, RECOMMENDED))
    seen = predictors.observed(RAINFALL, reach, RECOMMENDED, FINE, DAY.year)
    daily = predictors.timeseries.sums_before(seen, calendar, "rain", predictors.RAIN_DAYS)
    return {
        name: list(earth.pixels(daily.select([name]).toBands(), FINE_PIXELS).values())
        for name in predictors.RAIN
    }


def test_rain_is_that_of_the_days_up_to_the_one_before(earth: Any) -> None:
    amounts = {days: float(2 ** min(days, 12) % 97) for days in range(34)} | {-1: 50.0}
    put_rain(earth, amounts)
    found = rain_of(earth, Calendar(DAY, DAY + dt.timedelta(1)))
    for length in (3, 7, 15, 30):
        today = sum(amounts[days] for days in range(1, length + 1))
        tomorrow = sum(amounts[days] for days in range(length))  # the day itself is among them, not tomorrow
        np.testing.assert_allclose(found[f"rain_{length}"][0], today, rtol=1e-6)
        np.testing.assert_allclose(found[f"rain_{length}"][1], tomorrow, rtol=1e-6)


def test_a_sum_needs_each_of_its_days(earth: Any) -> None:
    put_rain(earth, {days: 1.0 for days in range(1, 31) if days != 5})
    found = rain_of(earth, Calendar(DAY, DAY))
    assert [found[name][0].mask.all() for name in predictors.RAIN] == [False, True, True, True]
    np.testing.assert_allclose(found["rain_3"][0], 3)


def test_rain_is_bilinear_between_pixels_larger_than_those_of_the_grid(earth: Any) -> None:
    field = np.random.default_rng(1).uniform(0, 20, (10, 10)).astype(np.float32)
    put_rain(earth, {1: field, 2: 0.0, 3: 0.0})
    [found] = rain_of(earth, Calendar(DAY, DAY))["rain_3"]
    x, y = np.meshgrid(540_500 + 1000.0 * np.arange(6), 3_539_500 - 1000.0 * np.arange(5))
    lon, lat = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True).transform(x, y)
    centres = 0.05 * (np.arange(10) + 0.5)
    expected = RegularGridInterpolator((-(32.2 - centres), 117.2 + centres), field)((-lat, lon))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_what_the_rain_looks_back_at_is_read_before_the_period() -> None:
    before_start, after_end = predictors.margins(RAINFALL, RECOMMENDED)
    assert (before_start, after_end) == (30, -1)


@pytest.mark.parametrize("lengths", [(), (3, 3), (7, 3), (0, 3)])
def test_lengths_that_do_not_grow_are_refused(earth: Any, lengths: tuple[int, ...]) -> None:
    with pytest.raises(SettingError, match="growing numbers"):
        predictors.timeseries.sums_before(
            ee.ImageCollection("UCSB-CHG/CHIRPS/DAILY"), Calendar(DAY, DAY), "rain", lengths
        )


def test_the_temperature_range_needs_a_clear_day_and_a_clear_night(earth: Any) -> None:
    side, metres = 40, catalog.MODIS_1KM[0]
    sphere = "+proj=sinu +R=6371007.181 +units=m"
    x, y = Transformer.from_crs("EPSG:32650", sphere, always_xy=True).transform(543_000, 3_537_500)
    west, north = (np.floor(x / metres) - 20) * metres, (np.floor(y / metres) + 20) * metres
    grid = RasterGrid("SR-ORG:6974", (metres, 0, west, 0, -metres, north), side, side)
    day, night = np.full((side, side), 15_000, np.uint16), np.full((side, side), 14_500, np.uint16)
    poor, cloud = 0b10_00_00_01, 2  # poor: made, but with an error of up to 3 K
    words = np.zeros((2, side, side), np.uint8)
    words[0, :, :18], words[1, :, 22:] = cloud, poor
    earth.put(
        "MODIS/061/MOD11A1", grid,
        [(DAY.isoformat(), {
            "LST_Day_1km": day, "QC_Day": words[0], "LST_Night_1km": night, "QC_Night": words[1],
        })],
    )  # fmt: skip
    found = earth.pixels(
        predictors.observations.temperature_range(
            ee.Image(ee.ImageCollection("MODIS/061/MOD11A1").first()), "balanced"
        ),
        grid,
    )["dlst"]
    expected = np.zeros((side, side), bool)
    expected[:, 18:22] = True
    assert np.array_equal(~found.mask, expected)
    np.testing.assert_allclose(found.compressed(), 500 * 0.02, atol=1e-6)


def terrain(earth: Any) -> tuple[Array, Array]:
    """A hill and a plain, and what drains through them; gives heights and km²."""
    rows, columns = np.mgrid[:120, :120]
    heights = np.where(columns < 60, 100 + 0, 100 + 8 * (columns - 59) + 3 * (rows % 7))
    area = np.random.default_rng(2).uniform(0.01, 900, (121, 121)).astype(np.float32)
    area[:, 1:] = area[:, :1]  # alike along a row, so that half a pixel east or west does not matter
    earth.put_image("CGIAR/SRTM90_V4", SRTM, {"elevation": heights.astype(np.int16)})
    earth.put_image("MERIT/Hydro/v1_0_1", MERIT, {"upa": area})
    return heights.astype(np.float64), area.astype(np.float64)


def slopes(heights: Array) -> Array:
    """Tangents by central differences over metres on the ellipsoid; the rim is NaN."""
    geod = Geod(ellps="WGS84")
    lat = 32 - ARC * (np.arange(120) + 0.5)
    zero = np.zeros(120)
    _, _, east = geod.inv(zero, lat, zero + 2 * ARC, lat)
    _, _, north = geod.inv(zero, lat - ARC, zero, lat + ARC)
    tangent = np.full((120, 120), np.nan)
    across = (heights[1:-1, 2:] - heights[1:-1, :-2]) / np.asarray(east)[1:-1, None]
    down = (heights[2:, 1:-1] - heights[:-2, 1:-1]) / np.asarray(north)[1:-1, None]
    tangent[1:-1, 1:-1] = np.hypot(across, down)
    return tangent


def test_slope_is_that_of_central_differences_on_the_ellipsoid(earth: Any) -> None:
    heights, _ = terrain(earth)
    found = earth.pixels(statics.slope(statics.elevation()), SRTM)["slope"]
    expected = np.degrees(np.arctan(slopes(heights)))
    np.testing.assert_allclose(
        found[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=5e-3, atol=1e-6
    )  # a sphere is as good to the engine


def test_wetness_is_the_logarithm_of_area_over_slope_with_a_floor_where_it_is_flat(earth: Any) -> None:
    heights, area = terrain(earth)
    found = earth.pixels(statics.wetness(statics.elevation()), SRTM)["twi"]
    lat = np.radians(32 - ARC * (np.arange(120) + 0.5))[:, None]
    # A pixel of 3 arc seconds is 92.77 m tall and that times the cosine wide: the side of a square as large.
    per_metre = 1e6 * area / 92.77
    tangent = np.maximum(slopes(heights), 0.001)
    choices = [
        np.log(rows[:120, :120] / np.sqrt(np.cos(lat)) / tangent)
        for rows in (per_metre, per_metre[1:])  # SRTM's centres lie between two rows of MERIT
    ]
    inner = np.s_[1:-1, 1:-1]
    apart = np.min([np.abs(found - one) for one in choices], axis=0)[inner]
    assert np.nanmax(apart) < 0.01
    flat = found[2:-2, 2:50]
    assert np.isfinite(flat).all() and flat.max() < np.log(1e6 * 900 / 80 / 0.001)


def test_static_predictors_are_means_over_the_fine_pixels(earth: Any) -> None:
    terrain(earth)
    found = earth.pixels(predictors.static(RECOMMENDED, 2019, FINE, EVERY), FINE_PIXELS)
    assert list(found) == [*predictors.STATIC, "slope", "twi"]
    native = earth.pixels(statics.slope(statics.elevation()), SRTM)["slope"]
    steps = (np.arange(90) + 0.5) / 90
    x, y = np.meshgrid(540_000 + 1000 * (np.arange(6)[:, None] + steps).ravel(),
                       3_540_000 - 1000 * (np.arange(5)[:, None] + steps).ravel())  # fmt: skip
    lon, lat = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True).transform(x, y)
    inside = native[((32.0 - lat) / ARC).astype(int), ((lon - 117.4) / ARC).astype(int)]
    expected = inside.reshape(5, 90, 6, 90).mean(axis=(1, 3))
    np.testing.assert_allclose(found["slope"], expected, atol=0.06)  # of up to 6.6


def test_a_stream_is_prepared_whole_and_other_names_count_for_nothing() -> None:
    assert Bands.of(["ndvi", "rain_7", "mine"]) == Bands(frozenset(predictors.RAIN))
    assert Bands.of(["doy_sin"]) == PAPER
    assert set(EVERY.further) == {"dlst", *predictors.RAIN, "slope", "twi"}
    assert EVERY.dynamic == (*predictors.DYNAMIC, "dlst", *predictors.RAIN)
    assert EVERY.static == (*predictors.STATIC, "slope", "twi")
    assert EVERY.still == (*PAPER.still, "slope", "twi")
    lst = {"lst": TEMPERATURES.name}  # one stream gives both temperatures
    assert list(EVERY.streams) == [*(lst.get(name, name) for name in predictors.STREAMS), RAINFALL.name]
    assert catalog.DRAINAGE in EVERY.sources(RECOMMENDED)
    assert catalog.DRAINAGE not in PAPER.sources(RECOMMENDED)


def preparation(bands: Bands, checkpoints: str | None = None) -> exports.Preparation:
    bounds = (117.4, 31.9, 117.5, 32.0)
    return exports.Preparation(
        name="small", recipe=RECOMMENDED, calendar=Calendar(DAY, DAY + dt.timedelta(1)),
        region=ee.Geometry.Rectangle(list(bounds)), grid=grids.fine_grid(bounds), cells=ease_cells(bounds),
        partitions=partitions.none(), smap=catalog.SMAP, smap_bin=target.MORNING, bands=bands,
        checkpoints=checkpoints,
    )  # fmt: skip


def test_a_plan_shows_the_further_predictors_and_without_them_is_what_it_was(earth: Any) -> None:
    wide, narrow = (exports.plan(preparation(bands, "projects/p/assets/f")) for bands in (EVERY, PAPER))
    assert {"DLST_20190710", "RAIN_3_20190711", "RAIN_30_20190710"} <= {*wide["dynamic-2019-07"].columns}
    assert {"slope", "twi"} <= {*wide["static"].columns}
    table = {*wide["cells-2019-07"].columns}
    assert {"dlst", "dlst_valid", "rain_15", "rain_15_valid"} <= table
    assert {"slope", "slope_valid", "twi"} <= {*wide["cells-static"].columns}
    stored = wide["checkpoint-rain"]
    assert stored.columns[0] == "RAIN_20190610" and stored.columns[-1] == "RAIN_20190710"
    assert "checkpoint-lst_range" in {product.name for product in wide.products}
    assert not wide.mistakes()
    assert not {name for product in narrow.products for name in product.columns} & {
        "slope", "twi", "DLST_20190710", "RAIN_3_20190711"
    }  # fmt: skip
    assert narrow.preparation == replace(wide.preparation, bands=PAPER, region=narrow.preparation.region,
                                         partitions=narrow.preparation.partitions)  # fmt: skip


@pytest.mark.parametrize("checkpoints", [None, "projects/p/assets/f"])
def test_all_months_of_a_study_have_the_water_of_one_land_cover(earth: Any, checkpoints: str | None) -> None:
    over_new_year = Calendar(dt.date(2018, 12, 10), dt.date(2019, 2, 10))
    planned = exports.plan(replace(preparation(PAPER, checkpoints), calendar=over_new_year))
    requests = [product.request.decode() for product in planned.products]
    # MCD12Q1's image of a year is asked for from New Year's Day to the next one.
    assert any("2018-01-01" in request for request in requests)
    assert not any("2020-01-01" in request for request in requests)


@pytest.mark.parametrize(("south", "north"), [(-51, -40), (40, 50.01)])
def test_a_region_beyond_the_rain_is_told_with_its_source(south: float, north: float) -> None:
    with pytest.raises(SettingError) as caught:
        availability.check_latitudes({catalog.RAIN: "do this", catalog.LST: "do that"}, south, north)
    assert "  rain (UCSB-CHG/CHIRPS/DAILY): -50 to 50; do this" in str(caught.value).splitlines()
    assert "do that" not in str(caught.value)
    availability.check_latitudes({catalog.RAIN: "", catalog.SRTM: "", catalog.DRAINAGE: ""}, -50, 50)


def test_what_is_beyond_the_paper_is_told_by_its_source() -> None:
    assert Bands.of(["rain_7", "twi", "slope", "dlst"]).beyond == {
        catalog.RAIN: {"rain_3", "rain_7", "rain_15", "rain_30"}, catalog.DRAINAGE: {"twi"},
    }  # fmt: skip
    assert not Bands.of(["slope", "dlst"]).beyond  # of elevation and LST


def test_a_period_before_the_rain_is_told_with_its_source() -> None:
    with pytest.raises(SettingError, match=r"rain .*1981-01-01 on"):
        availability.check_available([catalog.RAIN], dt.date(1980, 12, 31), dt.date(1981, 2, 1))


def test_temperature_and_range_are_filled_each_by_its_own_gaps(earth: Any) -> None:
    calendar = Calendar(DAY, DAY)
    rng = np.random.default_rng(3)
    images = []
    for offset in range(-20, 21):
        there = {"lst": offset in (-4, 3), "dlst": offset in (-9, 6)}
        images.append((
            (DAY + dt.timedelta(offset)).isoformat(),
            {band: np.ma.MaskedArray(rng.uniform(5, 25, (5, 6)), not seen) for band, seen in there.items()}
            | {"date": np.full((5, 6), float((DAY - dt.date(1970, 1, 1)).days + offset))},
        ))  # fmt: skip
    earth.put("test/temperatures", FINE_PIXELS, images)
    filled = predictors.timeseries.linear_fill(
        ee.ImageCollection("test/temperatures"), calendar, TEMPERATURES.bands, 15
    )
    by_day = dict(images)
    for band, before_day, after_day in (("lst", 4, 3), ("dlst", 9, 6)):
        [found] = earth.pixels(filled.select([band]).toBands(), FINE_PIXELS).values()
        one, other = (
            by_day[(DAY + dt.timedelta(day)).isoformat()][band].data for day in (-before_day, after_day)
        )
        np.testing.assert_allclose(found, one + (other - one) * before_day / (before_day + after_day))
