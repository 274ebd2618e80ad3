"""Land cover against table 2 of the paper, NumPy and exact areas."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pyproj
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gee import landcover
from gee.local.sources.dataset import RasterGrid

SIDE = 463.312716527917
SPHERE = 6_371_007.181
MODIS = "MODIS/061/MCD12Q1"
# 20 x 20 native pixels of the MODIS grid near 117.2 E, 31.9 N.
COL, ROW = 67_080, 13_944
GRID = RasterGrid(
    "SR-ORG:6974",
    (SIDE, 0.0, -20015109.354 + COL * SIDE, 0.0, -SIDE, 10007554.677 - ROW * SIDE),
    20,
    20,
)
PAPER_KM2 = {0: 4242.68, 1: 17272.22 + 11409.17 + 14.01 + 27420.06, 2: 2532.65, 3: 72286.31, 4: 4946.74}


def put_year(earth: Any, codes: Any, year: int = 2019) -> None:
    earth.put(MODIS, GRID, [(f"{year}-01-01", {"LC_Type5": codes, "QC": np.zeros_like(codes)})])


def codes_of(*row: int) -> Any:
    return np.resize(np.array(row, np.uint8), (20, 20))


def test_the_table_is_that_of_the_paper() -> None:
    assert sum(row.paper_km2 for row in landcover.TYPES) == pytest.approx(140_123.8, abs=0.05)
    for merged, area in PAPER_KM2.items():
        assert sum(row.paper_km2 for row in landcover.TYPES if row.merged == merged) == pytest.approx(area)


def test_every_type_becomes_its_class_and_what_is_no_type_is_masked(earth: Any) -> None:
    codes = codes_of(*range(12), 255, 12)
    put_year(earth, codes)
    expected = np.ma.masked_greater(codes, 11)
    lookup = np.array([0, 1, 1, 1, 1, 1, 2, 3, 3, 4, 4, 4])
    found = earth.pixels(landcover.classes(2019), GRID)
    assert list(found) == ["lc"]
    assert np.array_equal(found["lc"].mask, expected.mask)
    assert np.array_equal(found["lc"].compressed(), lookup[expected.compressed()])
    assert np.array_equal(
        earth.pixels(landcover.types(2019), GRID)["pft"].compressed(), expected.compressed()
    )


@pytest.mark.parametrize(
    ("year", "used"), [(1990, 2001), (2001, 2001), (2019, 2019), (2023, 2023), (2024, 2023), (2100, 2023)]
)
def test_a_year_without_a_map_takes_the_nearest(year: int, used: int) -> None:
    assert landcover.year_used(year) == used


def test_the_map_read_is_that_of_the_year(earth: Any) -> None:
    years = [("2018-01-01", 6), ("2019-01-01", 7), ("2020-01-01", 9)]
    earth.put(MODIS, GRID, [(day, {"LC_Type5": codes_of(code)}) for day, code in years])
    for year, merged in ((2018, 2), (2019, 3), (2020, 4)):
        assert (earth.pixels(landcover.classes(year), GRID)["lc"] == merged).all()


def test_shares_of_a_class_map_are_0_or_1_and_their_means_are_shares(earth: Any) -> None:
    codes = np.random.default_rng(5).choice([0, 1, 6, 7, 9], (20, 20)).astype(np.uint8)
    put_year(earth, codes)
    shares = landcover.fractions(landcover.classes(2019))
    native = earth.pixels(shares, GRID)
    assert list(native) == ["LC_0", "LC_1", "LC_2", "LC_3", "LC_4"]
    for band, code in zip(native, (0, 1, 6, 7, 9), strict=True):
        assert np.array_equal(native[band], codes == code)
    coarse = RasterGrid(GRID.crs, (4 * SIDE, 0.0, GRID.transform[2], 0.0, -4 * SIDE, GRID.transform[5]), 5, 5)
    projection = ee.Projection(coarse.crs, list(coarse.transform))
    means = earth.pixels(
        shares.reduceResolution(ee.Reducer.mean(), maxPixels=64).reproject(projection), coarse
    )
    for band, code in zip(means, (0, 1, 6, 7, 9), strict=True):
        blocks = (codes == code).reshape(5, 4, 5, 4).mean(axis=(1, 3))
        assert np.allclose(means[band], blocks, atol=1e-6)


def made_shares(earth: Any, shares: Any) -> tuple[Any, RasterGrid]:
    """An image of shares of shape (5, pixels) under a new name, because the engine remembers pixels by id."""
    grid = RasterGrid(GRID.crs, GRID.transform, shares.shape[1], 1)
    name = f"made/shares{len(earth.datasets)}"
    earth.put_image(name, grid, {f"LC_{code}": shares[code][None, :] for code in range(5)})
    return ee.Image(name), grid


def test_the_majority_of_equal_shares_is_the_lowest_code(earth: Any) -> None:
    shares = np.array(
        [
            [0.2, 0.2, 0.2, 0.2, 0.2],
            [0.0, 0.5, 0.0, 0.5, 0.0],
            [0.0, 0.0, 0.4, 0.2, 0.4],
            [0.1, 0.2, 0.3, 0.4, 0.0],
            [0.0, 0.0, 0.0, 0.0, 1.0],
        ]
    ).T
    image, grid = made_shares(earth, shares)
    found = earth.pixels(landcover.majority(image), grid)
    assert found["lc"].tolist() == [[0, 1, 2, 3, 4]]


def test_a_pixel_without_a_share_has_no_majority(earth: Any) -> None:
    shares = np.ma.masked_invalid([[0.2, np.nan], [0.8, 0.8], [0.0, 0.0], [0.0, 0.0], [0.0, 0.2]])
    image, grid = made_shares(earth, shares)
    assert earth.pixels(landcover.majority(image), grid)["lc"].mask.tolist() == [[False, True]]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5).filter(any), min_size=1, max_size=9))
def test_the_majority_is_numpys_first_largest(earth: Any, counts: list[list[int]]) -> None:
    shares = np.array(counts, np.float64).T
    shares /= shares.sum(axis=0)
    image, grid = made_shares(earth, shares)
    assert np.array_equal(earth.pixels(landcover.majority(image), grid)["lc"][0], shares.argmax(axis=0))


def test_land_is_where_the_share_of_water_is_below_the_limit(earth: Any) -> None:
    water = np.ma.masked_invalid([[0.0, 0.49, 0.5, 1.0, np.nan]])
    earth.put_image("made/water", RasterGrid(GRID.crs, GRID.transform, 5, 1), {"LC_0": water})
    grid = RasterGrid(GRID.crs, GRID.transform, 5, 1)
    assert earth.pixels(landcover.land(ee.Image("made/water")), grid)["land"].tolist() == [[1, 1, 0, 0, None]]
    found = earth.pixels(landcover.land(ee.Image("made/water"), limit=0.2), grid)["land"]
    assert found.tolist() == [[1, 0, 0, 0, None]]


def test_under_the_majority_rule_water_must_have_the_largest_share(earth: Any) -> None:
    water, forest = [0.45, 0.4, 0.5, 0.7, np.nan], [0.2, 0.41, 0.5, 0.3, 0.2]
    shares = {"LC_0": water, "LC_1": forest, "LC_2": [0.35, 0.19, 0, 0, 0], "LC_3": [0] * 5, "LC_4": [0] * 5}
    grid = RasterGrid(GRID.crs, GRID.transform, 5, 1)
    earth.put_image("made/shares", grid, {name: np.ma.masked_invalid([row]) for name, row in shares.items()})
    found = earth.pixels(landcover.land(ee.Image("made/shares"), "majority"), grid)["land"]
    assert found.tolist() == [[0, 1, 0, 0, None]]


def corners(row: int, col: int) -> tuple[list[float], list[float]]:
    """Longitudes and latitudes of a pixel's corners on the sphere of the MODIS grid."""
    x = GRID.transform[2] + SIDE * (col + np.array([0, 1, 1, 0]))
    y = GRID.transform[5] - SIDE * (row + np.array([0, 0, 1, 1]))
    lat = y / SPHERE
    return list(np.degrees(x / (SPHERE * np.cos(lat)))), list(np.degrees(lat))


def test_areas_are_those_of_the_pixels_on_the_ellipsoid(earth: Any) -> None:
    codes = np.random.default_rng(6).choice([0, 1, 6, 7], (20, 20)).astype(np.uint8)
    put_year(earth, codes)
    geod = pyproj.Geod(ellps="WGS84")
    expected = dict.fromkeys((0, 1, 2, 3), 0.0)
    for row, col in np.ndindex(20, 20):
        merged = {0: 0, 1: 1, 6: 2, 7: 3}[int(codes[row, col])]
        expected[merged] += abs(geod.polygon_area_perimeter(*corners(row, col))[0]) / 1e6
    everywhere = ee.Geometry.Rectangle([116, 31, 119, 33], "EPSG:4326", False)
    found = earth.value(landcover.areas(landcover.classes(2019), everywhere))
    assert found.keys() == {"0", "1", "2", "3"}
    for code, area in expected.items():
        assert found[str(code)] == pytest.approx(area, rel=2e-3)


def test_areas_count_only_what_lies_in_the_region(earth: Any) -> None:
    put_year(earth, codes_of(9))
    lon, lat = (np.mean(values) for values in corners(10, 10))
    west, east, south, north = lon - 0.02, lon + 0.02, lat - 0.015, lat + 0.015
    region = ee.Geometry.Rectangle([west, south, east, north], "EPSG:4326", False)
    geod = pyproj.Geod(ellps="WGS84")
    area, _ = geod.polygon_area_perimeter([west, east, east, west], [south, south, north, north])
    found = earth.value(landcover.areas(landcover.types(2019), region))
    assert found.keys() == {"9"}
    assert found["9"] == pytest.approx(area / 1e6, rel=5e-3)


def test_a_region_without_land_cover_has_no_areas(earth: Any) -> None:
    put_year(earth, np.full((20, 20), 255, np.uint8))
    lon, lat = (float(np.mean(values)) for values in corners(10, 10))
    region = ee.Geometry.Rectangle([lon, lat, lon + 0.02, lat + 0.02], "EPSG:4326", False)
    assert earth.value(landcover.areas(landcover.classes(2019), region)) == {}
