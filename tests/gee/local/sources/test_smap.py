"""A warped pixel carries the EASE cell under its centre; the model errs more while the radiometer was off."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from pyproj import Transformer

from gee.local.sources import smap
from gee.local.sources.catalogue import DATASETS, find
from gee.local.sources.dataset import Window
from gee.local.sources.grids import SMAP_WARPED, coarse_cells
from gee.local.sources.nature import moisture

SMAP = DATASETS["NASA/SMAP/SPL4SMGP/008"]
CELL = 9008.0552101  # m, facts of EASE-Grid 2.0 M09
WEST, NORTH = -17367530.445, 7314540.831
TO_EASE = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)


def cells_by_proj(window: Window) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
    lon = -180 + (cols + 0.5) * 0.09516256938937351
    lat = 85.04450187981062 - (rows + 0.5) * 0.09516149300147864
    x, y = TO_EASE.transform(lon, lat)
    return np.floor((NORTH - y) / CELL).astype(int), np.floor((x - WEST) / CELL).astype(int)


def test_cell_under_each_pixel_anywhere() -> None:
    for window in (Window(520, 3050, 60, 70), Window(0, 0, 40, 40), Window(1740, 3740, 47, 43)):
        for got, expected in zip(coarse_cells(SMAP_WARPED, window), cells_by_proj(window), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_value_of_a_pixel_is_that_of_the_cell_under_its_centre(around, monkeypatch) -> None:
    monkeypatch.setattr(smap, "error", lambda rows, cols, start: np.zeros((rows.size, cols.size)))
    monkeypatch.setattr(smap, "DAMPING", 1.0)
    window = around(SMAP_WARPED, 6)
    noon = int(datetime(2019, 5, 20, 13, 30, tzinfo=UTC).timestamp() * 1000)
    scene = SMAP.scenes(noon, noon + 1)[0]
    ((values, valid),) = scene.read(("sm_surface",), window)
    rows, cols = cells_by_proj(window)
    day = noon // 86_400_000
    share = 1.5 / 24  # 13:30 lies that far between one day's noon and the next
    for i, j in np.ndindex(*valid.shape):
        fine = np.mgrid[9 * rows[i, j] : 9 * rows[i, j] + 9, 9 * cols[i, j] : 9 * cols[i, j] + 9]
        days = [moisture.soil_moisture_cells(*fine, number) for number in (day, day + 1)]
        land = np.isfinite(days[0]).mean()
        assert valid[i, j] == (land >= 0.5)
        if valid[i, j]:
            expected = (1 - share) * np.nanmean(days[0]) + share * np.nanmean(days[1])
            assert abs(values[i, j] - expected) < 1e-5


def test_images_are_stamped_at_the_middle_of_three_hours() -> None:
    scenes = SMAP.scenes()
    stamps = [datetime.fromtimestamp(scene.start / 1000, UTC) for scene in scenes]
    assert stamps[0] == datetime(2015, 3, 31, 1, 30, tzinfo=UTC)
    assert stamps[-1] == datetime(2025, 12, 31, 22, 30, tzinfo=UTC)
    assert {(b.start - a.start) for a, b in pairwise(scenes)} == {3 * 3_600_000}
    start = int(datetime(2019, 5, 1, 6, tzinfo=UTC).timestamp() * 1000)
    assert [scene.index for scene in SMAP.scenes(start, start + 3 * 3_600_000)] == ["20190501_0730"]


def test_the_radiometer_was_off_for_35_days_and_the_error_grew() -> None:
    scenes = SMAP.scenes(*(int(datetime(2019, m, 1, tzinfo=UTC).timestamp() * 1000) for m in (5, 9)))
    off = [scene for scene in scenes if not scene.properties["simulated_radiometer_on"]]
    assert len(off) == 35 * 8
    assert (off[0].index, off[-1].index) == ("20190619_0130", "20190723_2230")
    rows, cols = np.arange(340, 420), np.arange(3150, 3230)

    def spread(scenes_of: list) -> float:
        errors = np.stack([smap.error(rows, cols, scene.start) for scene in scenes_of[::40]])
        return float((errors - errors.mean(0)).std())

    with_radiometer = [scene for scene in scenes if scene.properties["simulated_radiometer_on"]]
    assert spread(off) > 1.5 * spread(with_radiometer)
    bias = smap.error(rows, cols, scenes[0].start)
    assert 0.01 < bias.std() < 0.035


def test_rain_of_a_day_is_the_sum_of_its_eight_bins(around) -> None:
    window = around(SMAP_WARPED, 4)
    day = int(datetime(2019, 6, 20, tzinfo=UTC).timestamp() * 1000)
    scenes = SMAP.scenes(day, day + 86_400_000)
    fluxes = [scene.read(("precipitation_total_surface_flux",), window)[0][0] for scene in scenes]
    rows, cols = coarse_cells(SMAP_WARPED, window)
    at = smap._Fields(rows[:, 0], cols[0], scenes[0].start)
    rain = at.mean(lambda lon, lat: smap.weather.rain(lon, lat, day // 86_400_000))
    np.testing.assert_allclose(np.sum(fluxes, 0) * 3 * 3600, rain, rtol=1e-4, atol=1e-4)


def test_version_007_ends_in_june_2025_and_shows_the_same_field() -> None:
    later, earlier = (find(f"NASA/SMAP/SPL4SMGP/{version}") for version in ("008", "007"))
    assert later is not None and earlier is not None
    last = earlier.scenes()[-1]
    assert (last.id, last.index) == ("NASA/SMAP/SPL4SMGP/007/20250627_2230", "20250627_2230")
    window = Window(560, 3120, 4, 4)
    [(values, valid)] = last.read(("sm_surface",), window)
    [(same, same_valid)] = later.scene(last.index).read(("sm_surface",), window)
    assert valid.any()
    assert np.array_equal(valid, same_valid)
    assert np.array_equal(values[valid], same[valid])
