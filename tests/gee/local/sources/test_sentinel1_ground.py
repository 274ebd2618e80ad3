"""The ground under the radar: one lattice for all tracks of a zone, and the same in any window."""

from __future__ import annotations

import numpy as np
from pyproj import Transformer

from gee.local.sources.dataset import Window
from gee.local.sources.nature import landcover, moisture, terrain, vegetation
from gee.local.sources.sentinel1_ground import DELAY_STEP, SLOPE_STEP, VIGOUR_STEP, ground, on_lattice, spread
from gee.local.sources.sentinel1_orbits import frame, frames_of_region

CRS = "EPSG:32650"
TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
WINDOW = Window(-34_300, 5_270, 60, 150)  # in the Dabie mountains, across tiles


def degrees(window: Window) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
    lon, lat = TO_DEGREES.transform(100 * (cols + 0.5), -100 * (rows + 0.5))
    return np.asarray(lon), np.asarray(lat)


def test_all_scenes_of_a_zone_lie_on_one_lattice() -> None:
    met = set()
    for track, number in frames_of_region():
        grid = frame(track, number).grid
        window = on_lattice(grid, Window(7, 11, 1, 1))
        x, y = grid.centres(Window(7, 11, 1, 1))
        assert (100 * (window.col + 0.5), -100 * (window.row + 0.5)) == (x[0, 0], y[0, 0])
        met.add(grid.crs)
    assert met >= {"EPSG:32650"}


def test_places_between_nodes_are_off_by_centimetres() -> None:
    lon, lat = spread(CRS, WINDOW, lambda lon, lat: np.stack([lon, lat]))
    expected = degrees(WINDOW)
    assert np.abs(lat - expected[1]).max() * 111_000 < 0.05
    assert np.abs(lon - expected[0]).max() * 96_000 < 0.05


def test_a_window_in_parts_is_the_window_whole() -> None:
    whole = ground(CRS, WINDOW)
    part = ground(CRS, Window(WINDOW.row + 20, WINDOW.col + 31, 9, 100))
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[20:29, 31:131], other)
    smooth = spread(CRS, WINDOW, lambda lon, lat: np.sin(lon * lat))
    np.testing.assert_array_equal(
        spread(CRS, Window(WINDOW.row + 20, WINDOW.col + 31, 9, 100), lambda lon, lat: np.sin(lon * lat)),
        smooth[:, 20:29, 31:131],
    )


def test_the_ground_is_that_of_the_nature_run() -> None:
    found = ground(CRS, WINDOW)
    lon, lat = degrees(WINDOW)
    wider = degrees(Window(WINDOW.row - 1, WINDOW.col - 1, WINDOW.height + 2, WINDOW.width + 2))
    height = terrain.elevation(*wider).astype(float)
    dy, dx = np.gradient(height, 100.0)
    for slope, expected in ((found.east, dx[1:-1, 1:-1]), (found.north, -dy[1:-1, 1:-1])):
        # A few pixels, where a small crease is left out or not, may differ by centimetres of height.
        assert np.quantile(np.abs(slope * SLOPE_STEP - expected), 0.995) < 3e-4
        np.testing.assert_allclose(slope * SLOPE_STEP, expected, atol=0.02)
    assert np.abs(dx).max() > 0.1
    codes = landcover.pft(lon, lat, 2021)
    assert np.mean(found.codes(2021) == codes) > 0.999  # a boundary may move by centimetres
    standing = vegetation.canopy(lon, lat, 2021, codes)
    np.testing.assert_allclose(found.vigour * VIGOUR_STEP, standing.vigour, atol=VIGOUR_STEP)
    np.testing.assert_allclose(found.delay * DELAY_STEP, standing.delay, atol=DELAY_STEP)
    rows, cols = moisture.cell_of(lon, lat)
    assert np.mean((found.cell_row == rows) & (found.cell_col == cols)) > 0.999
