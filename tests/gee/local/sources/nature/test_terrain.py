import numpy as np
import pytest
import rasterio
from scipy.ndimage import label

from gee.local.sources.nature.terrain import elevation, elevation_and_water, relief, slope, water


def window(lon, lat, degrees, count=48):
    half = degrees / 2
    return np.meshgrid(np.linspace(lon - half, lon + half, count), np.linspace(lat + half, lat - half, count))


@pytest.mark.parametrize(
    ("place", "lon", "lat"),
    [
        ("mountains", 118.17, 30.13),
        ("river", 117.1, 30.5),
        ("coast", 120.9, 32.9),
        ("invented", -61.2, -20.3),
    ],
)
def test_a_pixel_is_the_same_in_any_window(place, lon, lat):
    x, y = window(lon, lat, 0.3)
    height, wet = elevation_and_water(x, y)
    np.testing.assert_array_equal(height[10:13, 40:], elevation(x[10:13, 40:], y[10:13, 40:]))
    for i, j in ((0, 0), (17, 31), (47, 47)):
        assert elevation(x[i, j : j + 1], y[i, j : j + 1])[0] == height[i, j], place
        assert water(x[i, j : j + 1], y[i, j : j + 1])[0] == wet[i, j]


@pytest.mark.parametrize(
    ("name", "lon", "lat", "degrees", "low", "high"),
    [
        ("Huangshan's highest summits", 118.17, 30.13, 0.5, 1300, 2100),
        ("Dabie's highest summits", 115.9, 31.1, 0.7, 1200, 2100),
        ("the plain around Fuyang", 115.8, 33.3, 0.5, 25, 60),
        ("the coast of Jiangsu", 120.2, 33.2, 0.3, 1, 20),
    ],
)
def test_the_highest_ground_is_as_in_an_atlas(name, lon, lat, degrees, low, high):
    assert low < elevation(*window(lon, lat, degrees, 128)).max() < high, name


@pytest.mark.parametrize(
    ("name", "lon", "lat"),
    [("Chao", 117.5, 31.57), ("Hongze", 118.62, 33.3), ("Tai", 120.15, 31.2)],
)
def test_lakes_are_flat_water(name, lon, lat):
    height, wet = elevation_and_water(*window(lon, lat, 0.05))
    assert wet.all(), name
    assert np.ptp(height) == 0


def test_the_sea_is_never_above_zero_and_land_never_below():
    height, wet = elevation_and_water(*window(121.2, 33.0, 3, 150))
    assert height[wet & (height < 0.5)].size > 1000
    assert np.all(height[~wet] >= 0)


def test_the_yangtze_runs_through_anhui_without_a_gap():
    lon, lat = np.meshgrid(np.linspace(116.95, 118.6, 420), np.linspace(31.8, 30.3, 420))
    parts, _ = label(water(lon, lat), structure=np.ones((3, 3)))
    anqing = parts[(np.abs(lon - 117.04) < 0.01) & (np.abs(lat - 30.5) < 0.1)]
    maanshan = parts[(np.abs(lat - 31.7) < 0.01) & (np.abs(lon - 118.46) < 0.1)]
    assert set(anqing[anqing > 0]) & set(maanshan[maanshan > 0])


def test_relief_separates_plains_from_mountains():
    plain, hills, mountains = relief(np.array([116.0, 118.2, 115.9]), np.array([33.5, 32.4, 31.1]))
    assert plain < 15 < hills < 400 < mountains


def test_slope_is_the_gradient_of_the_elevation():
    x, y = window(118.17, 30.13, 0.02, 25)
    step = 90 / 111_320
    lon = 118.17 + (np.arange(5) - 2) * step / np.cos(np.radians(30.13))
    lon, lat = np.meshgrid(lon, 30.13 + (np.arange(5) - 2) * step)
    dy, dx = np.gradient(elevation(lon, lat).astype(float), 90.0)
    expected = np.degrees(np.arctan(np.hypot(dx, dy)))[2, 2]
    assert slope(lon[2:3, 2], lat[2:3, 2])[0] == pytest.approx(expected, rel=0.02)
    assert slope(x, y).max() < 75


def test_elevation_correlates_with_the_real_one_over_anhui(shared_data):
    with rasterio.open(shared_data / "anhui/elevation_5min.tif") as source:
        real, transform = source.read(1).astype(float), source.transform
    rows, cols = np.indices(real.shape)
    mean = np.zeros(real.shape)
    for down in (0.2, 0.5, 0.8):
        for right in (0.2, 0.5, 0.8):
            lon = transform.c + transform.a * (cols + right)
            mean += elevation(lon, transform.f + transform.e * (rows + down)) / 9
    assert np.corrcoef(mean.ravel(), real.ravel())[0, 1] > 0.7
