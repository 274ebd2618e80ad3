"""Rain, terrain, soil and truth on their native grids."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer
from scipy.ndimage import uniform_filter

from gee.local.sources.catalogue import DATASETS
from gee.local.sources.dataset import Window
from gee.local.sources.nature import moisture, terrain, weather

SOUTH_CHINA_EAST = (124.0, 30.0)  # in the East China Sea


def test_native_grids_are_those_of_the_catalogue() -> None:
    grids = {
        asset: DATASETS[asset].scenes(None, None)[0].grid
        for asset in ("UCSB-CHG/CHIRPS/DAILY", "CGIAR/SRTM90_V4")
    }
    rain, height = grids.values()
    assert (rain.transform[0], rain.width, rain.height) == (0.05, 7200, 2000)
    assert rain.transform[5] == 50 and rain.transform[5] - rain.height * 0.05 == pytest.approx(-50)
    assert height.transform[0] * 3600 == pytest.approx(3.0)
    assert height.transform[2] + height.width * height.transform[0] == pytest.approx(180)


def test_chirps_follows_the_rain_and_is_masked_at_sea(around) -> None:
    dataset = DATASETS["UCSB-CHG/CHIRPS/DAILY"]
    seen, true = [], []
    for scene in dataset.scenes(1_559_347_200_000, 1_559_347_200_000 + 20 * 86_400_000):
        window = around(scene.grid, 30)
        ((values, valid),) = scene.read(("precipitation",), window)
        x, y = scene.grid.centres(window)
        seen.append(values[valid])
        true.append(weather.rain(x, y, scene.start // 86_400_000)[valid])
    estimate, rain = np.concatenate(seen), np.concatenate(true)
    assert (estimate >= 0).all()
    assert estimate.mean() == pytest.approx(rain.mean(), rel=0.25)
    assert 0.75 < np.corrcoef(estimate, rain)[0, 1] < 0.995
    assert not scene.read(("precipitation",), around(scene.grid, 6, *SOUTH_CHINA_EAST))[0][1].any()
    assert scene.index == "20190620"


def test_both_elevations_are_one_terrain_in_metres(around) -> None:
    for asset in ("CGIAR/SRTM90_V4", "USGS/SRTMGL1_003"):
        scene = DATASETS[asset].scenes(None, None)[0]
        window = around(scene.grid, 12, 116.4, 31.1)
        ((values, valid),) = scene.read(("elevation",), window)
        lon, lat = scene.grid.centres(window)
        assert valid.all() and values.dtype == np.int16
        np.testing.assert_allclose(values, terrain.elevation(lon, lat), atol=0.51)


def test_sand_silt_and_clay_sum_to_a_thousand(around) -> None:
    total = 0
    for name in ("sand", "silt", "clay"):
        scene = DATASETS[f"projects/soilgrids-isric/{name}_mean"].scenes(None, None)[0]
        ((values, valid),) = scene.read((f"{name}_15-30cm_mean",), around(scene.grid, 16))
        total = total + values.astype(int)
    assert (np.abs(total[valid] - 1000) <= 1).all()


def test_openlandmap_is_in_percent_and_soilgrids_in_per_mille(around) -> None:
    percent = DATASETS["OpenLandMap/SOL/SOL_CLAY-WFRACTION_USDA-3A1A1A_M/v02"].scenes(None, None)[0]
    per_mille = DATASETS["projects/soilgrids-isric/clay_mean"].scenes(None, None)[0]
    ((first, valid),) = percent.read(("b10",), around(percent.grid, 40))
    ((second, also),) = per_mille.read(("clay_5-15cm_mean",), around(per_mille.grid, 40))
    assert np.median(second[also]) == pytest.approx(10 * np.median(first[valid]), rel=0.05)


def test_truth_is_the_nature_run_at_the_place_of_the_cell(around) -> None:
    scene = DATASETS["simulated/truth/soil_moisture_1km"].scene("20190615")
    window: Window = around(scene.grid, 20)
    ((values, valid),) = scene.read(("sm",), window)
    x, y = scene.grid.centres(window)
    lon, lat = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True).transform(x, y)
    expected = moisture.soil_moisture(np.asarray(lon), np.asarray(lat), scene.start // 86_400_000)
    np.testing.assert_array_equal(valid, np.isfinite(expected))
    np.testing.assert_array_equal(values[valid], expected[valid])
    assert ((values[valid] > 0.02) & (values[valid] < 0.56)).all()


def test_hollows_drain_more_than_crests_and_no_window_changes_a_pixel(around) -> None:
    scene = DATASETS["MERIT/Hydro/v1_0_1"].scenes(None, None)[0]
    window = around(scene.grid, 300, 116.2, 31.1)  # in the hills
    ((area, valid),) = scene.read(("upa",), window)
    lon, lat = scene.grid.centres(window)
    height, wet = terrain.elevation_and_water(lon, lat)
    assert valid.all()
    # A pixel of 3 arc seconds, 0.0926 km tall and that times the cosine of the latitude wide, drains itself.
    own = 0.0926**2 * np.cos(np.radians(lat))
    assert (area > 0.95 * own).all()
    mean = uniform_filter(height.astype(float), 13)
    hollow, crest = height < mean - 15, height > mean + 15
    assert np.median(area[hollow & ~wet]) > 10 * np.median(area[crest & ~wet])
    part = Window(window.row + 37, window.col + 51, 20, 40)
    np.testing.assert_array_equal(scene.read(("upa",), part)[0][0], area[37:57, 51:91])
    assert not scene.read(("upa",), around(scene.grid, 6, *SOUTH_CHINA_EAST))[0][1].any()
    assert scene.properties["simulated"] == 1
