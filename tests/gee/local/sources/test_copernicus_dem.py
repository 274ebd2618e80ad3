"""The simulated GLO-30: the product's tiles, and a surface that stands above the ground where it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio import Affine
from shapely import Polygon, box

from gee.local.sources.catalogue import DATASETS
from gee.local.sources.dataset import Scene, Window

SCENES = {scene.index: scene for scene in DATASETS["COPERNICUS/DEM/GLO30_2024_1"].scenes()}
DABIE = (115.9, 31.15)  # forested mountains


def tile(south: int, west: int) -> Scene:
    return SCENES[f"Copernicus_DSM_10_N{south}_00_E{west}_00_DEM"]


def heights(scene: Scene, window: Window) -> NDArray[Any]:
    ((values, valid),) = scene.read(("DEM",), window)
    assert valid.all()
    return values


def test_the_centres_of_a_tiles_edge_pixels_lie_on_whole_degrees() -> None:
    grid = tile(31, 117).grid
    x_scale, x_shear, left, y_shear, y_scale, top = grid.transform
    place = Affine(x_scale, x_shear, left, y_shear, y_scale, top)
    # Copernicus DEM Product Handbook: 3,601 x 3,601 posts of one arc second, of both edges.
    assert (grid.width, grid.height) == (3601, 3601)
    assert place @ (0.5, 0.5) == pytest.approx((117, 32), abs=1e-9)
    assert place @ (3600.5, 3600.5) == pytest.approx((118, 31), abs=1e-9)


def test_neighbours_agree_on_the_row_and_the_column_they_share() -> None:
    here, east, south = tile(31, 116), tile(31, 117), tile(30, 116)
    column, row = Window(1000, 3600, 40, 1), Window(3600, 1000, 1, 40)
    np.testing.assert_allclose(heights(here, column), heights(east, column._replace(col=0)), atol=1e-3)
    np.testing.assert_allclose(heights(here, row), heights(south, row._replace(row=0)), atol=1e-3)


def test_tiles_cover_the_land_that_the_radar_sees_and_none_lies_in_open_sea() -> None:
    covered = {(int(index[19:21]), int(index[26:29])) for index in SCENES}
    assert {(south, west) for south in range(29, 35) for west in range(114, 120)} <= covered  # Anhui
    assert (34, 122) not in covered  # the middle of the Yellow Sea
    for index, scene in SCENES.items():
        south, west = int(index[19:21]), int(index[26:29])
        assert scene.footprint is not None
        assert (
            Polygon(scene.footprint).symmetric_difference(box(west, south, west + 1, south + 1)).area < 2e-3
        )


def test_only_trees_and_roofs_stand_above_the_ground_that_srtm_shows(around) -> None:
    """Land cover and SRTM are read through their own datasets at the same places."""
    cover_of = DATASETS["MODIS/061/MCD12Q1"].scenes(1_420_070_400_000, 1_420_070_400_001)[0]
    ground_of = DATASETS["USGS/SRTMGL1_003"].scenes()[0]
    added: dict[str, list[float]] = {"forest": [], "town": [], "open": []}
    kinds = {"forest": (1, 2, 3, 4), "town": (9,), "open": (6, 7, 8)}  # LC_Type5
    for lon, lat in (DABIE, (117.27, 31.86), (116.3, 33.2)):
        scene = tile(int(lat), int(lon))
        window = around(scene.grid, 400, lon, lat)
        surface = heights(scene, window)
        # One arc second too, its corners on the centres of GLO-30's pixels: up to half a pixel away.
        ((ground, _),) = ground_of.read(("elevation",), around(ground_of.grid, 400, lon, lat))
        # The 500 m pixel of land cover under the middle of the window, and those around it.
        ((cover, _),) = cover_of.read(("LC_Type5",), around(cover_of.grid, 24, lon, lat))
        for kind, codes in kinds.items():
            if np.isin(cover, codes).mean() > 0.9:
                added[kind].append(float(np.mean(surface - ground)))
    assert all(added.values())
    # Hawker et al. 2022: GLO-30 stands 5.15 m off the ground in forests, 1.61 m in towns.
    assert np.mean(added["forest"]) == pytest.approx(5.15, abs=1.5)
    assert np.mean(added["town"]) == pytest.approx(1.61, abs=0.5)
    assert np.mean(added["open"]) == pytest.approx(0, abs=0.5)
