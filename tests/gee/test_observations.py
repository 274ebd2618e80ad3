"""Scenes of every sensor, hand-made and real, against what was observed in them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio

from gee import observations
from gee.local.sources.dataset import RasterGrid

SIDE = 463.312716527917
CORNER = (-20015109.354 + 67_080 * SIDE, 10007554.677 - 13_944 * SIDE)
EPOCH = dt.date(1970, 1, 1)
MOD09, MOD11, MOD15, MCD43 = (f"MODIS/061/{name}" for name in ("MOD09A1", "MOD11A1", "MOD15A2H", "MCD43A3"))
S1 = "COPERNICUS/S1_GRD_FLOAT"
ALBEDO_QUALITY = "BRDF_Albedo_Band_Mandatory_Quality_shortwave"


def native(width: int, height: int = 1) -> RasterGrid:
    return RasterGrid("SR-ORG:6974", (SIDE, 0.0, CORNER[0], 0.0, -SIDE, CORNER[1]), width, height)


def days(day: str) -> int:
    return (dt.date.fromisoformat(day) - EPOCH).days


def array(kind: str, *values: int) -> Any:
    return np.array([values], kind)


def put_composite(earth: Any, start: str, count: int, **bands: Any) -> Any:
    """A clear MOD09A1 composite over crops, but for the bands given, and its image."""
    crop = {1: 500, 2: 4500, 3: 400, 4: 800, 5: 3000, 6: 2500, 7: 1000}
    day_of_year = dt.date.fromisoformat(start).timetuple().tm_yday
    scene = {f"sur_refl_b0{number}": np.full((1, count), value, np.int16) for number, value in crop.items()}
    scene |= {"QA": np.zeros((1, count), np.uint32), "StateQA": np.full((1, count), 8, np.uint16)}
    scene |= {"DayOfYear": np.full((1, count), day_of_year, np.uint16)} | bands
    return put(earth, MOD09, start, scene)


def put(earth: Any, asset_id: str, start: str, bands: Any, grid: RasterGrid | None = None) -> Any:
    shape = next(iter(bands.values())).shape
    earth.put(asset_id, grid or native(shape[1], shape[0]), [(start, bands)])
    return ee.Image(f"{asset_id}/{start[:10].replace('-', '_')}_0")


def started(earth: Any, image: Any) -> str:
    return str(earth.value(image.date().format("YYYY-MM-dd'T'HH:mm:ss")))


def test_a_clear_composite_gives_its_indices_and_the_day_of_each_pixel(earth: Any) -> None:
    scene = put_composite(earth, "2019-04-07", 2, DayOfYear=array("uint16", 97, 101))
    seen = observations.reflectance(scene, "balanced")
    found = earth.pixels(seen, native(2))
    assert list(found) == ["ndvi", "ndwi", "nsdsi", "evi", "date"]
    assert found["ndvi"][0].tolist() == pytest.approx([0.8, 0.8])
    assert found["ndwi"][0].tolist() == pytest.approx([-0.37 / 0.53] * 2)
    assert found["nsdsi"][0].tolist() == pytest.approx([0.6, 0.6])
    assert found["evi"][0].tolist() == pytest.approx([1 / 1.45] * 2)
    assert found["date"].tolist() == [[days("2019-04-07"), days("2019-04-11")]]
    assert found["date"].dtype == np.float64
    assert started(earth, seen) == "2019-04-07T00:00:00"


@pytest.mark.parametrize(
    ("start", "day_of_year", "date"),
    [
        ("2019-04-07", 97, "2019-04-07"),
        ("2019-04-07", 104, "2019-04-14"),
        ("2019-04-07", 105, None),
        ("2019-04-07", 96, None),
        ("2019-04-07", 0, None),
        ("2019-04-07", 65_535, None),
        ("2019-12-27", 361, "2019-12-27"),
        ("2019-12-27", 365, "2019-12-31"),
        ("2019-12-27", 1, "2020-01-01"),
        ("2019-12-27", 3, "2020-01-03"),
        ("2019-12-27", 4, None),
        ("2020-12-26", 366, "2020-12-31"),
        ("2020-12-26", 2, "2021-01-02"),
        ("2020-01-01", 1, "2020-01-01"),
        ("2020-01-01", 366, None),
    ],
)
def test_the_day_of_the_year_becomes_a_date_across_new_year(
    earth: Any, start: str, day_of_year: int, date: str | None
) -> None:
    scene = put_composite(earth, start, 1, DayOfYear=array("uint16", day_of_year))
    found = earth.pixels(observations.reflectance(scene, "balanced"), native(1))
    expected = None if date is None else days(date)
    assert found["date"].tolist() == [[expected]]
    assert found["ndvi"].mask.tolist() == [[date is None]]


def test_dates_may_be_those_of_the_composite(earth: Any) -> None:
    scene = put_composite(earth, "2019-04-07", 2, DayOfYear=array("uint16", 97, 65_535))
    found = earth.pixels(observations.reflectance(scene, "balanced", dates="start"), native(2))
    assert found["date"].tolist() == [[days("2019-04-07")] * 2]
    assert not found["ndvi"].mask.any()


def test_clouds_are_masked_and_each_index_needs_only_its_own_bands(earth: Any) -> None:
    scene = put_composite(
        earth,
        "2019-04-07",
        4,
        StateQA=array("uint16", 8 | 1, 8, 8, 8),
        sur_refl_b01=array("int16", 500, 16_000, 500, 500),  # above 1
        sur_refl_b06=array("int16", 2500, 2500, -100, 2500),  # below 0
        sur_refl_b03=array("int16", 400, 400, 400, -28_672),  # fill
    )
    found = earth.pixels(observations.reflectance(scene, "balanced"), native(4))
    masks = {name: values.mask[0].tolist() for name, values in found.items() if name != "date"}
    assert masks == {
        "ndvi": [True, True, False, False],
        "ndwi": [True, False, False, False],
        "nsdsi": [True, False, True, False],
        "evi": [True, True, False, True],
    }


def test_printed_indices_are_not_clamped(earth: Any) -> None:
    bands = {"sur_refl_b06": array("int16", 100), "sur_refl_b07": array("int16", 900)}
    scene = put_composite(earth, "2019-04-07", 1, **bands)
    guarded, printed = (
        earth.pixels(observations.reflectance(scene, "balanced", guarded=on), native(1))["nsdsi"][0, 0]
        for on in (True, False)
    )
    assert (guarded, printed) == (-1, pytest.approx(-8))


def test_a_real_tile_gives_numpys_indices_and_dates_where_it_is_clear(earth: Any, shared_data: Path) -> None:
    bands: dict[str, Any] = {}
    for path in sorted((shared_data / "mod09a1-tile").glob("*.tif")):
        with rasterio.open(path) as file:
            raw = file.read()
        if "sur_refl" in path.name:
            bands |= {f"sur_refl_b0{number + 1}": raw[number] for number in range(7)}
        elif "state500m" in path.name:
            bands |= {"StateQA": raw[0], "DayOfYear": raw[1]}
        else:
            bands["QA"] = raw[0]
    height, width = bands["QA"].shape
    scene = put(earth, MOD09, "2017-07-12", bands)
    found = earth.pixels(observations.reflectance(scene, "balanced"), native(width, height))

    state, word = bands["StateQA"].astype(np.int64), bands["QA"].astype(np.int64)
    clear = np.isin(state & 3, (0, 3)) & ((state >> 8 & 3) <= 1) & ((word & 3) <= 1)
    for bit in (2, 10, 12, 15):  # shadow, internal cloud, snow twice
        clear &= (state >> bit & 1) == 0
    shares = {number: bands[f"sur_refl_b0{number}"] * 1e-4 for number in range(1, 8)}
    good = {number: clear & (share > 0) & (share <= 1) for number, share in shares.items()}
    red, nir, blue, green, _, swir1, swir2 = shares.values()
    formulas = {
        "ndvi": (nir - red, nir + red, good[1] & good[2], 1),
        "ndwi": (green - nir, green + nir, good[2] & good[4], 1),
        "nsdsi": (swir1 - swir2, swir1, good[6] & good[7], 1),
        "evi": (2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1, good[1] & good[2] & good[3], 1.5),
    }
    for name, (above, below, valid, high) in formulas.items():
        valid = valid & (below > 0)
        assert 0 < valid.sum() < valid.size
        assert np.array_equal(found[name].mask, ~valid)
        assert np.allclose(found[name][valid], np.clip(above[valid] / below[valid], -1, high), atol=1e-7)
    since = bands["DayOfYear"].astype(np.int64) - 193  # 12 July 2017
    assert np.array_equal(found["date"][clear], (days("2017-07-12") + since)[clear])


def test_temperature_is_in_celsius_where_it_was_retrieved(earth: Any) -> None:
    # Good; other quality with errors 2 K and 0.02 (balanced takes it); cloud; fill.
    bands = {
        "LST_Day_1km": array("uint16", 15_000, 14_500, 15_000, 0),
        "QC_Day": array("uint8", 0, 0b01010001, 2, 0),
    }
    scene = put(earth, MOD11, "2019-07-01", bands)
    seen = observations.temperature(scene, "balanced")
    found = earth.pixels(seen, native(4))
    assert list(found) == ["lst", "date"]
    assert found["lst"].mask.tolist() == [[False, False, True, True]]
    assert found["lst"].compressed().tolist() == pytest.approx([26.85, 16.85])
    assert found["date"].tolist() == [[days("2019-07-01")] * 4]
    assert started(earth, seen) == "2019-07-01T00:00:00"
    strict = earth.pixels(observations.temperature(scene, "strict"), native(4))
    assert strict["lst"].mask.tolist() == [[False, True, True, True]]


@pytest.mark.parametrize(("dates", "date"), [("pixel", "2019-07-08"), ("start", "2019-07-04")])
def test_leaf_area_has_no_values_where_there_are_fill_codes(earth: Any, dates: Any, date: str) -> None:
    lai = array("uint8", 0, 35, 100, 101, *range(249, 256))
    none = np.zeros_like(lai)
    scene = put(earth, MOD15, "2019-07-04", {"Lai_500m": lai, "FparLai_QC": none, "FparExtra_QC": none})
    found = earth.pixels(observations.leaf_area(scene, "balanced", dates), native(lai.size))
    assert list(found) == ["lai", "date"]
    assert found["lai"][0, :3].tolist() == pytest.approx([0, 3.5, 10])
    assert found["lai"].mask[0, 3:].all()
    assert found["date"].tolist() == [[days(date)] * lai.size]


def test_leaf_area_of_clouds_and_of_the_backup_method_is_masked(earth: Any) -> None:
    lai = array("uint8", 35, 35, 35, 35)
    # Main algorithm; backup; cloudy; main algorithm, but cloud in the internal mask.
    words = {
        "FparLai_QC": array("uint8", 0, 0b01100001, 0b1000, 0),
        "FparExtra_QC": array("uint8", 0, 0, 0, 0b100000),
    }
    scene = put(earth, MOD15, "2019-07-04", {"Lai_500m": lai, **words})
    found = earth.pixels(observations.leaf_area(scene, "balanced"), native(4))
    assert found["lai"].mask.tolist() == [[False, True, True, True]]


def test_real_fill_codes_of_a_coast_are_masked_and_all_else_is_scaled(earth: Any, shared_data: Path) -> None:
    cube = np.load(shared_data / "lai-arcachon-2004" / "arcachon_lai_2004_cube.npz", allow_pickle=True)
    raw = cube["lai_raw_uint8"]
    good = np.zeros_like(raw[0])
    scenes = [
        (str(day), {"Lai_500m": lai, "FparLai_QC": good, "FparExtra_QC": good})
        for day, lai in zip(cube["dates"], raw, strict=True)
    ]
    earth.put(MOD15, native(81, 81), scenes)
    codes = set()
    for number, (day, lai) in enumerate(zip(cube["dates"], raw, strict=True)):
        image = ee.Image(f"{MOD15}/{str(day).replace('-', '_')}_{number}")
        found = earth.pixels(observations.leaf_area(image, "balanced"), native(81, 81))["lai"]
        assert np.array_equal(found.mask, lai > 100)
        assert np.allclose(found.compressed(), lai[lai <= 100] * 0.1)
        codes |= set(lai[lai > 100].tolist())
    assert codes == {250, 253, 254, 255}


def albedo_scene(earth: Any) -> Any:
    # Full, magnitude, fill quality, fill value, and more light than fell.
    bands = {
        "Albedo_BSA_shortwave": array("int16", 140, 140, 140, 32_767, 990),
        "Albedo_WSA_shortwave": array("int16", 160, 160, 160, 160, 1_020),
        ALBEDO_QUALITY: array("uint8", 0, 1, 255, 0, 0),
    }
    return put(earth, MCD43, "2019-05-01", bands)


@pytest.mark.parametrize("preset", ["balanced", "strict"])
def test_albedo_is_the_mean_of_black_and_white_sky_from_full_inversions(earth: Any, preset: Any) -> None:
    seen = observations.albedo(albedo_scene(earth), preset)
    found = earth.pixels(seen, native(5))
    assert list(found) == ["albedo", "date"]
    assert found["albedo"].mask.tolist() == [[False, True, True, True, True]]
    assert found["albedo"][0, 0] == pytest.approx(0.15)
    assert found["date"].tolist() == [[days("2019-05-01")] * 5]
    assert started(earth, seen) == "2019-05-01T00:00:00"


def test_magnitude_inversions_are_taken_when_asked_for(earth: Any) -> None:
    found = earth.pixels(observations.albedo(albedo_scene(earth), "strict", "all"), native(5))
    assert found["albedo"].mask.tolist() == [[False, False, True, True, True]]
    assert found["albedo"][0, :2].tolist() == pytest.approx([0.15, 0.15])


def radar_grid(width: int, height: int, side: float = 20.0) -> RasterGrid:
    return RasterGrid("EPSG:32631", (side, 0.0, 620_000.0, 0.0, -side, 4_830_000.0), width, height)


def test_backscatter_stays_power_and_loses_the_edge_of_the_swath(earth: Any) -> None:
    bands = {
        "VV": np.array([[0.1, 0.00101, 0.00099, 0.1, 0.0]], np.float32),
        "VH": np.array([[0.02, 0.0002, 0.0002, 0.0, 0.02]], np.float32),
    }
    scene = put(earth, S1, "2019-04-03T10:07:30", bands, radar_grid(5, 1))
    seen = observations.backscatter(scene)
    found = earth.pixels(seen, radar_grid(5, 1))
    assert list(found) == ["vv", "vh", "date"]
    assert found["vv"].mask.tolist() == [[False, False, True, False, True]]
    assert found["vh"].mask.tolist() == [[False, False, True, True, True]]
    assert found["vv"].compressed() == pytest.approx([0.1, 0.00101, 0.1])
    moment = days("2019-04-03") + (10 * 3600 + 7 * 60 + 30) / 86_400
    assert found["date"].tolist() == [[moment] * 5]
    assert started(earth, seen) == "2019-04-03T10:07:30"


def test_decibels_change_only_the_bands_of_the_radar(earth: Any) -> None:
    bands = {
        "vv": np.array([[1.0, 0.1, 0.05]]),
        "vh": np.array([[0.01, 0.5, 2.0]]),
        "count": array("uint8", 1, 2, 3),
    }
    earth.put_image("made/power", radar_grid(3, 1), bands)
    found = earth.pixels(observations.decibels(ee.Image("made/power")), radar_grid(3, 1))
    assert found["vv"][0].tolist() == pytest.approx([0, -10, -13.0103], abs=1e-4)
    assert found["vh"][0].tolist() == pytest.approx([-20, -3.0103, 3.0103], abs=1e-4)
    assert found["count"].tolist() == [[1, 2, 3]]


def test_a_mean_of_power_lies_above_the_mean_of_decibels_of_a_real_scene(
    earth: Any, shared_data: Path
) -> None:
    [path] = (shared_data / "sentinel1-vv").glob("*.tif")
    with rasterio.open(path) as file:
        raw = np.ma.masked_equal(file.read(1)[:200, :250].astype(np.float64), -99)
    power = np.ma.array(10 ** (raw.filled(0) / 10), mask=raw.mask)
    scene = put(earth, S1, "2015-03-09", {"VV": power, "VH": power / 4}, radar_grid(250, 200))
    seen = observations.backscatter(scene).select(["vv", "vh"])
    kilometres = ee.Projection("EPSG:32631", [1000, 0, 620_000, 0, -1000, 4_830_000])

    def mean(image: Any) -> Any:
        return image.reduceResolution(ee.Reducer.mean(), maxPixels=4_096).reproject(kilometres)

    coarse = radar_grid(5, 4, 1000.0)
    of_power = earth.pixels(observations.decibels(mean(seen)), coarse)["vv"]
    of_decibels = earth.pixels(mean(observations.decibels(seen)), coarse)["vv"]
    blocks = np.ma.masked_less(power, 1e-3).reshape(4, 50, 5, 50)
    assert np.allclose(of_power, 10 * np.log10(blocks.mean(axis=(1, 3))), atol=1e-4)
    assert np.allclose(of_decibels, (10 * np.ma.log10(blocks)).mean(axis=(1, 3)), atol=1e-4)
    gap = of_power - of_decibels
    assert (gap > 0).all()
    print(f"dB of the mean above mean of dB: {gap.min():.2f} to {gap.max():.2f}, mean {gap.mean():.2f} dB")
    # Speckle of a detected scene alone gives 0.5 dB (4.4 looks); varied ground comes on top.
    assert 0.3 < gap.mean() < 3


def test_decibels_of_the_power_product_are_those_of_the_decibel_product(earth: Any) -> None:
    scene = "S1A_IW_GRDH_1SDV_20190404T101202_20190404T101227_026639_034078_4677"
    grid = RasterGrid("EPSG:32650", (10.0, 0.0, 519_000.0, 0.0, -10.0, 3_530_000.0), 24, 24)
    found = earth.pixels(observations.decibels(observations.backscatter(ee.Image(f"{S1}/{scene}"))), grid)
    served = earth.pixels(ee.Image(f"COPERNICUS/S1_GRD/{scene}"), grid)
    assert found["vv"].count() == 24 * 24
    assert np.allclose(found["vv"], served["VV"], atol=1e-4)
    assert np.allclose(found["vh"], served["VH"], atol=1e-4)


def test_a_collection_keeps_its_names_and_times(earth: Any) -> None:
    images = ee.ImageCollection(MOD11).filterDate("2019-04-01", "2019-04-04")
    seen = images.map(lambda image: observations.temperature(image, "balanced"))
    assert earth.value(seen.aggregate_array("system:index")) == ["2019_04_01", "2019_04_02", "2019_04_03"]
    starts = [days(f"2019-04-0{number}") * 86_400_000 for number in (1, 2, 3)]
    assert earth.value(seen.aggregate_array("system:time_start")) == starts


@pytest.mark.parametrize(
    ("observe", "asset", "day"),
    [
        (lambda image: observations.reflectance(image, "balanced"), MOD09, "2019-04-07"),
        (lambda image: observations.temperature(image, "balanced"), MOD11, "2019-05-20"),
        (lambda image: observations.leaf_area(image, "balanced"), MOD15, "2019-04-07"),
        (lambda image: observations.albedo(image, "balanced"), MCD43, "2019-10-05"),
    ],
)
def test_observations_of_the_catalogue_can_be_averaged_to_any_grid(
    earth: Any, observe: Any, asset: str, day: str
) -> None:
    # A band without a grid of its own, as a constant date would be, cannot be averaged.
    image = ee.Image(f"{asset}/{day.replace('-', '_')}")
    grid = RasterGrid("EPSG:32650", (3000.0, 0.0, 507_000.0, 0.0, -3000.0, 3_520_000.0), 5, 4)
    projection = ee.Projection(grid.crs, list(grid.transform))
    means = observe(image).reduceResolution(ee.Reducer.mean(), maxPixels=256).reproject(projection)
    *values, date = earth.pixels(means, grid).values()
    first = days(day)
    # Weighted means of equal dates differ from them in the last digits.
    assert ((date > first - 1e-6) & (date < first + 7 + 1e-6)).all()
    assert sum(band.count() for band in values) > 0
