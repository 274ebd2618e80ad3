"""From scenes to daily predictors, against NumPy and SciPy on hand-made scenes under the real asset ids."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.signal import savgol_coeffs

from gee import catalog, exports, predictors
from gee.local.sources.dataset import RasterGrid
from gee.predictors import BACKSCATTER, OPTICAL, STREAMS
from gee.recipe import PAPER, RECOMMENDED
from gee.timeseries import Calendar

FINE = GeoBox((5, 6), Affine(1000, 0, 540_000, 0, -1000, 3_540_000), "EPSG:32650")
FINE_PIXELS = RasterGrid("EPSG:32650", (1000, 0, 540_000, 0, -1000, 3_540_000), 6, 5)
SIDE = 40  # native pixels, more than the fine grid needs on every side
SPHERE = "+proj=sinu +R=6371007.181 +units=m"
DAY = dt.date(2019, 7, 10)
EPOCH = dt.date(1970, 1, 1)
Array = NDArray[np.float64]


def sinusoidal(transform: tuple[float, ...], side: int = SIDE) -> RasterGrid:
    """A window of a global MODIS grid around the fine grid."""
    x, y = Transformer.from_crs("EPSG:32650", SPHERE, always_xy=True).transform(543_000, 3_537_500)
    column = int((x - transform[2]) // transform[0]) - side // 2
    row = int((y - transform[5]) // transform[4]) - side // 2
    west, north = transform[2] + column * transform[0], transform[5] + row * transform[4]
    return RasterGrid("SR-ORG:6974", (transform[0], 0, west, 0, transform[4], north), side, side)


HALF_KM = sinusoidal(catalog.MODIS_500M)
ONE_KM = sinusoidal(catalog.MODIS_1KM)


def under(native: RasterGrid, points: int = 40) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Native row and column under points x points places of every fine pixel."""
    steps = (np.arange(points) + 0.5) / points
    columns = (np.arange(6)[:, None] + steps).ravel()
    rows = (np.arange(5)[:, None] + steps).ravel()
    x, y = np.meshgrid(540_000 + 1000 * columns, 3_540_000 - 1000 * rows)
    crs = SPHERE if native.crs == "SR-ORG:6974" else native.crs
    x, y = Transformer.from_crs("EPSG:32650", crs, always_xy=True).transform(x, y)
    a, _, x0, _, e, y0 = native.transform
    return ((y - y0) / e).astype(int), ((x - x0) / a).astype(int)


def means(values: Array, native: RasterGrid) -> tuple[Array, Array]:
    """Mean over the valid part of each fine pixel and its valid share, by counting places; NaN is invalid."""
    rows, columns = under(native)
    places = values[rows, columns].reshape(5, 40, 6, 40).transpose(0, 2, 1, 3).reshape(5, 6, -1)
    valid = np.isfinite(places)
    with np.errstate(invalid="ignore"):
        mean = np.where(valid, places, 0).sum(-1) / valid.sum(-1)
    return mean, valid.mean(-1)


def noise(seed: int, low: float, high: float, side: int = SIDE) -> Array:
    return np.random.default_rng(seed).uniform(low, high, (side, side))


def put_land(earth: Any) -> NDArray[np.bool_]:
    """Land cover with a lake of whole fine pixels; gives where land is."""
    classes = np.full((SIDE, SIDE), 7, np.uint8)
    classes[20:, 20:] = 0
    earth.put("MODIS/061/MCD12Q1", HALF_KM, [("2019-01-01", {"LC_Type5": classes})])
    return classes != 0


def put_reflectance(earth: Any, start: str = "2019-07-04") -> tuple[Array, Array]:
    """One composite, a third of it cloudy; gives NDVI and the pixels' dates, NaN where cloudy."""
    red, near = noise(1, 300, 900), noise(2, 2500, 4500)
    cloudy = noise(3, 0, 1) < 0.33
    first = dt.date.fromisoformat(start).timetuple().tm_yday
    doy = first + np.random.default_rng(4).integers(0, 8, (SIDE, SIDE))
    others = {f"sur_refl_b{n:02d}": noise(n, 800, 2000).astype(np.int16) for n in (3, 4, 5, 6, 7)}
    bands = {
        "sur_refl_b01": red.astype(np.int16), "sur_refl_b02": near.astype(np.int16), **others,
        "QA": np.zeros((SIDE, SIDE), np.uint32), "DayOfYear": doy.astype(np.uint16),
        "StateQA": np.where(cloudy, 0b01, 0b1000).astype(np.uint16),
    }  # fmt: skip
    earth.put("MODIS/061/MOD09A1", HALF_KM, [(start, bands)])
    red, near = np.trunc(red), np.trunc(near)
    year = (dt.date(int(start[:4]), 1, 1) - EPOCH).days
    return (
        np.where(cloudy, np.nan, (near - red) / (near + red)),
        np.where(cloudy, np.nan, year + doy - 1.0),
    )


def read(earth: Any, images: ee.ImageCollection, band: str) -> list[np.ma.MaskedArray[Any, Any]]:
    """A band of every image of a collection on the fine grid."""
    stack = earth.pixels(ee.ImageCollection(images).select([band]).toBands(), FINE_PIXELS)
    return list(stack.values())


def test_reflectance_becomes_means_of_indices_over_clear_land_and_their_mean_date(earth: Any) -> None:
    land = put_land(earth)
    ndvi, dates = (np.where(land, layer, np.nan) for layer in put_reflectance(earth))
    seen = predictors.observed(OPTICAL["reflectance"], Calendar(DAY, DAY), RECOMMENDED, FINE, DAY.year)
    [found], [date] = read(earth, seen, "ndvi"), read(earth, seen, "date")
    expected, share = means(ndvi, HALF_KM)
    expected_date, _ = means(dates, HALF_KM)
    assert np.array_equal(found.mask, share == 0)
    assert 0 < found.mask.sum() < found.size
    inside = share > 0.05  # where a sliver is all there is, counting places is too coarse
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.01)
    np.testing.assert_allclose(date[inside], expected_date[inside], atol=0.15)
    assert np.array_equal(date.compressed() * 1024, np.round(date.compressed() * 1024))


def test_a_composites_first_day_is_its_date_where_the_recipe_says_so(earth: Any) -> None:
    put_land(earth)
    put_reflectance(earth)
    seen = predictors.observed(OPTICAL["reflectance"], Calendar(DAY, DAY), PAPER, FINE, DAY.year)
    [date] = read(earth, seen, "date")
    assert set(date.compressed()) == {(dt.date(2019, 7, 4) - EPOCH).days}


@pytest.mark.parametrize(
    ("name", "asset", "bands", "value", "grid", "atol"),
    [
        (
            "lst", "MODIS/061/MOD11A1",
            lambda raw, bad: {"LST_Day_1km": raw.astype(np.uint16), "QC_Day": np.where(bad, 2, 0)},
            lambda raw: raw * 0.02 - 273.15, ONE_KM, 0.1,
        ),
        (
            "lai", "MODIS/061/MOD15A2H",
            lambda raw, bad: {
                "Lai_500m": (raw / 600).astype(np.uint8), "FparLai_QC": np.where(bad, 0b1000, 0),
                "FparExtra_QC": 0 * raw,
            },
            lambda raw: np.trunc(raw / 600) * 0.1, HALF_KM, 0.02,
        ),
        (
            "albedo", "MODIS/061/MCD43A3",
            lambda raw, bad: {
                "Albedo_BSA_shortwave": (raw / 100).astype(np.int16),
                "Albedo_WSA_shortwave": (raw / 100 + 20).astype(np.int16),
                "BRDF_Albedo_Band_Mandatory_Quality_shortwave": bad,
            },
            lambda raw: (np.trunc(raw / 100) + 10) / 1000, HALF_KM, 0.001,
        ),
    ],
)  # fmt: skip
def test_other_optical_sources_become_means_over_clear_land(
    earth: Any,
    name: str,
    asset: str,
    bands: Callable[..., Any],
    value: Callable[..., Any],
    grid: Any,
    atol: float,
) -> None:
    put_land(earth)
    raw, bad = noise(5, 14_700, 15_500), noise(6, 0, 1) < 0.3
    start = "2019-07-04" if OPTICAL[name].composite else DAY.isoformat()
    layers = {band: np.asarray(layer) for band, layer in bands(np.trunc(raw), bad).items()}
    layers = {b: v if v.dtype.kind != "b" else v.astype(np.uint8) for b, v in layers.items()}
    layers = {b: v.astype(np.uint8) if v.dtype in (np.int64, np.float64) else v for b, v in layers.items()}
    earth.put(asset, grid, [(start, layers)])
    stream = OPTICAL[name]
    [found] = read(earth, predictors.observed(stream, Calendar(DAY, DAY), RECOMMENDED, FINE, DAY.year), name)
    expected, share = means(np.where(bad, np.nan, value(np.trunc(raw))), grid)
    # Away from the lake, whose pixels of another size the expectation does not know.
    dry = np.s_[:2, :2]
    assert (share[dry] > 0.3).all()
    np.testing.assert_allclose(found[dry], expected[dry], atol=atol)


def scene(seed: int, hole: Any = None) -> dict[str, Any]:
    """Backscatter of 100 m pixels over the fine grid and around, as linear power, valid but for a hole."""
    values = {band: noise(seed + n, 0.02, 0.2, 80).astype(np.float32) for n, band in enumerate(("VV", "VH"))}
    mask = np.zeros((80, 80), bool)
    if hole is not None:
        mask[hole] = True
    return {band: np.ma.MaskedArray(layer, mask) for band, layer in values.items()}


RADAR_GRID = RasterGrid("EPSG:32650", (100, 0, 539_000, 0, -100, 3_541_000), 80, 80)
PROPERTIES = {
    "instrumentMode": "IW",
    "transmitterReceiverPolarisation": ["VV", "VH"],
    "orbitProperties_pass": "ASCENDING",
    "resolution_meters": 10,
}


def blocks(values: Array) -> Array:
    """Means of 10 x 10 pixels of a scene under the fine grid."""
    inside = values[10:60, 10:70].reshape(5, 10, 6, 10)
    return np.asarray(np.nanmean(np.nanmean(inside, axis=3), axis=1))


def put_radar(earth: Any, scenes: list[tuple[str, dict[str, Any], dict[str, object]]]) -> None:
    earth.put("COPERNICUS/S1_GRD_FLOAT", RADAR_GRID, scenes)
    everywhere = np.full((SIDE, SIDE), 7, np.uint8)
    earth.put("MODIS/061/MCD12Q1", HALF_KM, [("2019-01-01", {"LC_Type5": everywhere})])


def test_a_days_radar_is_the_mean_power_of_its_scenes_weighted_by_what_they_saw(earth: Any) -> None:
    whole, holed = scene(10), scene(20, np.s_[10:15, 10:20])  # half of the first fine pixel is not seen
    descending = PROPERTIES | {"orbitProperties_pass": "DESCENDING"}
    put_radar(
        earth,
        [
            ("2019-07-10T10:00:00", whole, PROPERTIES),
            ("2019-07-10T10:00:25", holed, PROPERTIES),
            ("2019-07-10T22:00:00", scene(30), descending),
        ],
    )
    seen = predictors.observed(BACKSCATTER, Calendar(DAY, DAY), RECOMMENDED, FINE, DAY.year)
    first, second = (blocks(one["VV"].filled(np.nan).astype(float)) for one in (whole, holed))
    weight = np.ones((5, 6))
    weight[0, 0] = 0.5
    [power] = read(earth, seen, "vv")
    np.testing.assert_allclose(power.filled(np.nan), (first + weight * second) / (1 + weight), rtol=1e-5)


def test_decibels_are_averaged_as_such_where_the_recipe_says_so(earth: Any) -> None:
    one = scene(40)
    put_radar(earth, [("2019-07-10T10:00:00", one, PROPERTIES)])
    [found] = read(earth, predictors.observed(BACKSCATTER, Calendar(DAY, DAY), PAPER, FINE, DAY.year), "vh")
    np.testing.assert_allclose(found, blocks(10 * np.log10(one["VH"].data.astype(float))), rtol=1e-5)
    assert (found < 10 * np.log10(blocks(one["VH"].data.astype(float)))).all()


def fake_observations(earth: Any, calendar: Calendar) -> dict[str, ee.ImageCollection]:
    """Series on the fine grid as ``observed`` gives them, with gaps, one image per image day of a stream."""
    rng = np.random.default_rng(7)
    made = {}
    for name, stream in STREAMS.items():
        reach = calendar.padded(*predictors.margins(stream, RECOMMENDED))
        images = []
        for day in stream.image_days(reach):
            gap = rng.uniform(size=(5, 6)) < 0.3
            values = {
                band: np.ma.MaskedArray(rng.uniform(0.1, 0.9, (5, 6)), gap)
                for band in (*stream.bands, *(["valid"] if stream is BACKSCATTER else ["date"]))
            }
            if "date" in values:
                values["date"] = np.full((5, 6), (day - EPOCH).days + (3.0 if stream.composite else 0.0))
            images.append((day.isoformat(), values))
        earth.put(f"test/{name}", FINE_PIXELS, images)
        earth.images[name] = images
        made[name] = ee.ImageCollection(f"test/{name}")
    return made


@pytest.fixture
def fakes(earth: Any) -> Any:
    earth.images = {}
    return earth


def filled(images: list[Any], band: str, days: tuple[dt.date, ...]) -> Array:
    """Linear interpolation within 15 days on both sides, pixel by pixel."""
    dates = np.array([np.ma.getdata(layers["date"])[0, 0] for _, layers in images])
    stack = np.array([np.ma.filled(layers[band], np.nan) for _, layers in images]).reshape(len(images), -1)
    wanted = np.array([(day - EPOCH).days for day in days], float)
    out = np.full((len(days), stack.shape[1]), np.nan)
    for pixel in range(stack.shape[1]):
        there = np.isfinite(stack[:, pixel])
        t, v = dates[there], stack[there, pixel]
        for number, day in enumerate(wanted):
            before, after = np.flatnonzero(t <= day), np.flatnonzero(t >= day)
            if before.size and after.size and day - t[before[-1]] <= 15 and t[after[0]] - day <= 15:
                out[number, pixel] = np.interp(day, t, v)
    return out


def test_a_day_holds_all_nine_filled_smoothed_and_averaged(fakes: Any) -> None:
    calendar = Calendar(DAY, DAY + dt.timedelta(1))
    daily = predictors.daily(fake_observations(fakes, calendar), calendar, RECOMMENDED)
    info = fakes.value(daily.aggregate_array("system:index"))
    assert info == ["20190710", "20190711"]
    around = calendar.padded(5, 5).days
    for stream in OPTICAL.values():
        for band in stream.bands:
            series = filled(fakes.images[stream.name], band, around)
            for number, found in enumerate(read(fakes, daily, band)):
                window = series[number : number + 11]
                smooth = savgol_coeffs(11, 4) @ window
                expected = np.where(np.isfinite(window).all(0), smooth, window[5])
                low, high = stream.ranges.get(band, (-np.inf, np.inf))
                np.testing.assert_allclose(
                    found.filled(np.nan).ravel(), np.clip(expected, low, high), atol=1e-9, err_msg=band
                )
    scenes = dict(fakes.images["sentinel1"])
    days = [(DAY + dt.timedelta(n)).isoformat() for n in range(-6, 6)]
    weights = np.array([np.ma.filled(scenes[day]["valid"], 0) for day in days])
    power = np.array([np.ma.filled(scenes[day]["vv"], 0) for day in days])
    np.testing.assert_allclose(
        read(fakes, daily, "vv")[0].filled(np.nan), (weights * power).sum(0) / weights.sum(0), rtol=1e-9
    )
    assert np.array_equal(read(fakes, daily, "count")[0], (weights > 0).sum(0))


def test_composites_start_on_the_days_modis_counts_anew_each_year() -> None:
    stream = OPTICAL["reflectance"]
    days = stream.image_days(Calendar(dt.date(2019, 12, 20), dt.date(2020, 1, 10)))
    assert days == tuple(map(dt.date.fromisoformat, ("2019-12-19", "2019-12-27", "2020-01-01", "2020-01-09")))
    assert OPTICAL["lst"].image_days(Calendar(DAY, DAY)) == (DAY,)


def test_the_fifteen_are_the_papers() -> None:
    assert set(predictors.DYNAMIC) == {"ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo"}
    assert {"sand", "silt", "clay", "dem", "lc"} <= set(predictors.STATIC)
    assert exports.NODATA == -9999


def test_static_predictors_lie_on_the_fine_grid(earth: Any) -> None:
    found = earth.pixels(predictors.static(RECOMMENDED, 2019, FINE), FINE_PIXELS)
    assert list(found) == list(predictors.STATIC)
    texture = found["sand"] + found["silt"] + found["clay"]
    np.testing.assert_allclose(texture.compressed(), 100, atol=2)
    shares = np.array([found[f"LC_{code}"].filled(np.nan) for code in range(5)])
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    assert np.array_equal(found["lc"], shares.argmax(0))
