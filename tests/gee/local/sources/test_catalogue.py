"""Every simulated dataset says so, and a pixel is the same whichever window, band order or thread asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from shapely import Point, Polygon

from gee.local.sources.catalogue import DATASETS, find
from gee.local.sources.dataset import Dataset, Scene, Window
from tests.gee.local.sources.conftest import HEFEI

IDS = {
    "NASA/SMAP/SPL4SMGP/008",
    "NASA/SMAP/SPL4SMGP/007",
    "MODIS/061/MOD09A1",
    "MODIS/061/MOD11A1",
    "MODIS/061/MOD15A2H",
    "MODIS/061/MCD43A3",
    "MODIS/061/MCD12Q1",
    "COPERNICUS/S1_GRD",
    "COPERNICUS/S1_GRD_FLOAT",
    "UCSB-CHG/CHIRPS/DAILY",
    "CGIAR/SRTM90_V4",
    "USGS/SRTMGL1_003",
    "COPERNICUS/DEM/GLO30_2024_1",
    "MERIT/Hydro/v1_0_1",
    "OpenLandMap/SOL/SOL_CLAY-WFRACTION_USDA-3A1A1A_M/v02",
    "OpenLandMap/SOL/SOL_SAND-WFRACTION_USDA-3A1A1A_M/v02",
    "projects/soilgrids-isric/clay_mean",
    "projects/soilgrids-isric/sand_mean",
    "projects/soilgrids-isric/silt_mean",
    "WM/geoLab/geoBoundaries/600/ADM1",
    "simulated/truth/soil_moisture_1km",
}
RASTERS = sorted(asset for asset, dataset in DATASETS.items() if dataset.kind != "TABLE")


def test_the_catalogue_holds_every_dataset_of_the_study() -> None:
    assert set(DATASETS) == IDS
    assert find("projects/earthengine-public/assets/MODIS/061/MOD09A1") is DATASETS["MODIS/061/MOD09A1"]
    assert find("MODIS/006/MOD09A1") is None


@pytest.mark.parametrize("asset", sorted(IDS))
def test_dataset_and_scenes_say_that_they_are_simulated(asset: str) -> None:
    dataset = DATASETS[asset]
    assert dataset.properties["simulated"] == 1
    assert str(dataset.properties["title"]).startswith("Simulated ")
    for scene in dataset.scenes(None, 1_430_000_000_000)[:2]:
        assert scene.properties["simulated"] == 1
        assert scene.id.endswith(scene.index) and scene.id.startswith(asset)
    assert all(properties["simulated"] == 1 for _, properties in dataset.features())


@pytest.mark.parametrize("asset", RASTERS)
def test_scenes_are_sorted_and_have_their_own_index(asset: str) -> None:
    scenes = DATASETS[asset].scenes(None, 1_451_606_400_000)  # the year 2015
    starts = [(scene.start, scene.index) for scene in scenes]
    assert starts == sorted(set(starts))
    assert all(scene.end > scene.start for scene in scenes)


@pytest.mark.parametrize("asset", RASTERS)
def test_a_window_in_parts_is_the_window_whole(asset: str, around) -> None:
    moment = 1_560_945_600_000  # 2019-06-19T12:00
    dataset = DATASETS[asset]
    scene = _last_over_hefei(dataset, moment)
    names = tuple(band.name for band in scene.bands if band.grid is None)
    whole_window = around(scene.grid, 8 if "SMAP" in asset else 20)
    whole = scene.read(names, whole_window)
    assert any(valid.any() for _, valid in whole)
    row, col, height, width = whole_window
    up, left = height // 3, width // 2 + 1
    parts = [
        (slice(0, up), slice(0, left), Window(row, col, up, left)),
        (slice(0, up), slice(left, None), Window(row, col + left, up, width - left)),
        (slice(up, None), slice(0, width), Window(row + up, col, height - up, width)),
    ]
    with ThreadPoolExecutor(2) as pool:
        read = list(pool.map(lambda part: scene.read(names[::-1], part[2]), parts))
    for (rows, cols, _), pieces in zip(parts, read, strict=True):
        for (values, valid), (piece, piece_valid) in zip(whole, pieces[::-1], strict=True):
            np.testing.assert_array_equal(piece_valid, valid[rows, cols])
            np.testing.assert_array_equal(piece, values[rows, cols])


@pytest.mark.parametrize("asset", RASTERS)
def test_pixels_have_the_declared_type_and_range(asset: str, around) -> None:
    scene = _last_over_hefei(DATASETS[asset], 1_560_945_600_000)
    for band in scene.bands:
        ((values, valid),) = scene.read((band.name,), around(band.grid or scene.grid, 8))
        assert values.dtype == np.dtype(band.dtype)
        seen = values[valid]
        assert np.isfinite(seen).all()
        assert band.minimum is None or (seen >= band.minimum).all()
        assert band.maximum is None or (seen <= band.maximum).all()


def _last_over_hefei(dataset: Dataset, moment: int) -> Scene:
    recent = dataset.scenes(moment - 12 * 86_400_000, moment) or dataset.scenes(None, moment)
    return [scene for scene in recent if _covers(scene)][-1]


def _covers(scene: Scene) -> bool:
    if scene.footprint is None:
        return True
    return Polygon(scene.footprint).contains(Point(HEFEI).buffer(0.05))
