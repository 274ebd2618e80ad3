import json

import numpy as np
import pytest
import shapely.geometry

from gee.local.sources.nature.landcover import (
    BARREN,
    BROAD_DECIDUOUS,
    BROAD_EVERGREEN,
    BROADLEAF_CROP,
    CEREAL,
    NEEDLE_EVERGREEN,
    SHRUB,
    SNOW,
    URBAN,
    WATER,
    pft,
    survey,
)
from gee.local.sources.nature.terrain import elevation, elevation_and_water, relief, water

LON, LAT = np.meshgrid(np.linspace(114.9, 119.6, 420), np.linspace(34.6, 29.4, 500))
CODES = pft(LON, LAT, 2019)


def test_shares_within_anhui_are_those_of_the_province(shared_data):
    collection = json.loads((shared_data / "anhui/boundary.geojson").read_text(encoding="utf-8"))
    outline = shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in collection["features"]])
    codes = CODES[shapely.contains_xy(outline, LON, LAT)]
    share = np.bincount(codes, minlength=12) / codes.size
    assert 0.5 < share[CEREAL] + share[BROADLEAF_CROP] < 0.72
    assert 0.18 < share[[NEEDLE_EVERGREEN, BROAD_EVERGREEN, BROAD_DECIDUOUS, SHRUB]].sum() < 0.32
    assert 0.025 < share[WATER] < 0.07
    assert 0.025 < share[URBAN] < 0.07


def test_codes_are_plant_functional_types():
    lon, lat = np.meshgrid(np.linspace(-179, 179, 90), np.linspace(-80, 80, 60))
    assert set(np.unique(pft(lon, lat, 2019))) <= set(range(12))
    assert CODES.dtype == np.uint8


def test_forests_stand_in_the_mountains_and_crops_on_the_plain():
    height, summits = elevation(LON, LAT), relief(LON, LAT)
    forest = np.isin(CODES, [NEEDLE_EVERGREEN, BROAD_EVERGREEN, BROAD_DECIDUOUS])
    crops = np.isin(CODES, [CEREAL, BROADLEAF_CROP])
    assert np.median(height[forest]) > 200 > 60 > np.median(height[crops])
    assert np.mean(summits[forest] > 100) > 0.95
    assert np.mean(summits[crops] < 250) > 0.9


def test_cereals_in_the_north_and_rice_in_the_south():
    assert np.median(LAT[CODES == CEREAL]) > 33
    assert np.median(LAT[CODES == BROADLEAF_CROP]) < 32.2


def test_deciduous_forest_stands_higher_or_further_north_than_evergreen():
    height = elevation(LON, LAT)
    cold = LAT + height / 260
    assert cold[CODES == BROAD_DECIDUOUS].mean() > cold[CODES == BROAD_EVERGREEN].mean() + 1


@pytest.mark.parametrize(
    ("city", "lon", "lat"), [("Hefei", 117.25, 31.83), ("Nanjing", 118.79, 32.05), ("Bengbu", 117.37, 32.93)]
)
def test_cities_are_built_up_and_grow(city, lon, lat):
    box = np.meshgrid(np.linspace(lon - 0.3, lon + 0.3, 80), np.linspace(lat - 0.3, lat + 0.3, 80))
    early, late = pft(*box, 2015) == URBAN, pft(*box, 2025) == URBAN
    assert early[36:44, 36:44].mean() > 0.7, city
    assert late.sum() > early.sum()
    assert not np.any(early & ~late)


def test_a_survey_holds_the_towns_of_every_year():
    lon, lat = np.meshgrid(np.linspace(117.0, 117.6, 120), np.linspace(31.6, 32.1, 120))
    years = range(2010, 2031)
    towns = np.stack([pft(lon, lat, year) == URBAN for year in years])
    found = survey(lon, lat, *elevation_and_water(lon, lat))
    first = np.where(towns.any(0), years.start + towns.argmax(0), years.stop)
    np.testing.assert_array_equal(first, np.clip(found.built, years.start, years.stop))
    assert not (found.open_land == URBAN).any()


def test_water_is_the_water_of_the_terrain():
    np.testing.assert_array_equal(CODES == WATER, water(LON, LAT))


def test_deserts_and_ice_are_elsewhere():
    assert not np.isin(CODES, [BARREN, SNOW]).any()


def test_a_pixel_is_the_same_in_any_window():
    np.testing.assert_array_equal(
        pft(LON[100:103, 7:300:9], LAT[100:103, 7:300:9], 2019), CODES[100:103, 7:300:9]
    )
