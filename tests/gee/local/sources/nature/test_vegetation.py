import numpy as np
import pytest

from gee.local.sources.nature.landcover import BROAD_EVERGREEN, BROADLEAF_CROP, CEREAL, URBAN, WATER
from gee.local.sources.nature.vegetation import canopy, lai, reflectance, soil_brightness, spectrum, year_of
from gee.local.sources.nature.weather import rain_series

FIRST = int(np.datetime64("2018-01-01").astype(int))


def year_of_leaves(code, lat=33.0, count=20):
    lon = np.linspace(115.5, 117.5, count)
    standing = canopy(lon, np.full(count, lat), 2018, np.full(count, code, np.uint8))
    return np.array([standing.lai(FIRST + day) for day in range(365)])


def tops(series):
    inner = series[1:-1]
    return [int(k) + 1 for k in np.flatnonzero((inner > series[:-2]) & (inner > series[2:]) & (inner > 1.2))]


@pytest.mark.parametrize(("code", "second"), [(CEREAL, "maize"), (BROADLEAF_CROP, "rice")])
def test_crop_land_has_two_seasons_with_tops_in_april_and_august(code, second):
    spring, summer = tops(year_of_leaves(code).mean(1))
    assert 85 <= spring <= 125
    assert 205 <= summer <= 240, second


def test_evergreen_forest_never_loses_its_leaves_and_water_has_none():
    assert year_of_leaves(BROAD_EVERGREEN, 30.2).min() > 1.2
    assert year_of_leaves(WATER).max() == 0


def test_leaf_area_lies_between_0_and_7_over_a_real_window():
    lon, lat = np.meshgrid(np.linspace(115, 119.5, 60), np.linspace(29.5, 34.5, 60))
    for day in range(FIRST, FIRST + 365, 73):
        values = lai(lon, lat, day)
        assert values.min() >= 0
        assert values.max() <= 7
    np.testing.assert_array_equal(lai(lon[20:22, :9], lat[20:22, :9], day), values[20:22, :9])


def test_spring_comes_later_northward():
    assert tops(year_of_leaves(CEREAL, 35.0).mean(1))[0] > tops(year_of_leaves(CEREAL, 31.0).mean(1))[0] + 5


def test_leaves_follow_the_rain_of_the_months_before():
    lon, lat = (part.ravel() for part in np.meshgrid(np.linspace(110, 124, 8), np.linspace(28, 36, 5)))
    codes = np.full(lon.shape, CEREAL, np.uint8)
    growth, fallen = [], []
    for year in range(2015, 2025):
        august = int(np.datetime64(f"{year}-08-10").astype(int))
        growth.append(canopy(lon, lat, year, codes).lai(august))
        fallen.append(rain_series(lon, lat, np.arange(august - 75, august - 5)).sum(0))
    growth, fallen = (np.array(part) / np.mean(part, 0) for part in (growth, fallen))
    assert np.corrcoef(growth.ravel(), fallen.ravel())[0, 1] > 0.3


def test_leaves_raise_ndvi_and_wet_soil_is_darker():
    codes = np.full(5, CEREAL, np.uint8)
    leafy = spectrum(codes, np.linspace(0, 6, 5, dtype=np.float32), np.full(5, 0.25, np.float32))
    ndvi = (leafy[1] - leafy[0]) / (leafy[1] + leafy[0])
    assert np.all(np.diff(ndvi) > 0)
    assert ndvi[0] < 0.25
    assert ndvi[-1] > 0.8
    wet = spectrum(codes, np.zeros(5, np.float32), np.linspace(0.05, 0.45, 5, dtype=np.float32))
    assert np.all(np.diff(wet, axis=1) < 0)


def test_bare_soil_loses_half_its_reflectance_when_saturated():
    dry, wet = spectrum(
        np.full(2, CEREAL, np.uint8), np.zeros(2, np.float32), np.array([0, 0.45], np.float32)
    ).T
    np.testing.assert_allclose(wet, 0.5 * dry, rtol=1e-6)


def test_water_is_dark_in_the_infrared_and_towns_are_not():
    codes = np.array([WATER, URBAN], np.uint8)
    water, town = spectrum(codes, np.array([0, 0.3], np.float32), np.array([np.nan, 0.2], np.float32)).T
    assert water[1] < water[0]
    assert water[6] < 0.01
    assert town[6] > 0.12


def test_reflectance_of_a_band_is_that_of_the_spectrum():
    lon, lat = np.meshgrid(np.linspace(116.9, 117.0, 12), np.linspace(31.0, 31.1, 12))
    moisture = np.full(lon.shape, 0.3, np.float32)
    standing = canopy(lon, lat, 2018)
    all_bands = spectrum(standing.codes, standing.lai(FIRST + 100), moisture, soil_brightness(lon, lat))
    for band in (1, 2, 7):
        np.testing.assert_array_equal(reflectance(lon, lat, FIRST + 100, band, moisture), all_bands[band - 1])
    assert all_bands.min() > 0
    assert all_bands.max() < 0.6


def test_the_year_of_a_day():
    assert [year_of(FIRST - 1), year_of(FIRST), year_of(FIRST + 364), year_of(FIRST + 365)] == [
        2017,
        2018,
        2018,
        2019,
    ]
