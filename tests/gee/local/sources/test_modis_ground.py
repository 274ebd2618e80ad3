"""The ground of MODIS pixels is that of the nature run, whichever window asks."""

from __future__ import annotations

import numpy as np

from gee.local.sources.dataset import Window
from gee.local.sources.grids import MODIS_500M
from gee.local.sources.modis_ground import ground
from gee.local.sources.nature import landcover, terrain, vegetation


def test_a_window_over_several_tiles_is_put_together_from_them(around) -> None:
    window = around(MODIS_500M, 140)
    whole = ground(MODIS_500M, window)
    x, y = MODIS_500M.centres(window)
    lat = np.degrees(y / 6371007.181)
    lon = np.degrees(x / (6371007.181 * np.cos(np.radians(lat))))
    np.testing.assert_allclose(whole.lon, lon, atol=1e-12)
    np.testing.assert_allclose(whole.height, terrain.elevation(lon, lat), atol=1e-3)
    np.testing.assert_array_equal(whole.canopy(2020).codes, landcover.pft(lon, lat, 2020))
    np.testing.assert_allclose(
        whole.canopy(2020).lai(18_400), vegetation.lai(lon, lat, 18_400), rtol=1e-4, atol=1e-5
    )
    part = ground(MODIS_500M, Window(window.row + 3, window.col + 60, 20, 30))
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[3:23, 60:90], other)


def test_pixels_beyond_the_globe_are_told() -> None:
    corner = ground(MODIS_500M, Window(0, 0, 4, 4))
    middle = ground(MODIS_500M, Window(21_598, 43_198, 4, 4))
    assert not corner.on_earth.any()
    assert middle.on_earth.all()
    assert np.abs(corner.lon).max() <= 180
