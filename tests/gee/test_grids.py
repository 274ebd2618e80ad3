"""Grids and means on them, against pyproj, shapely and block means in NumPy."""

from __future__ import annotations

import json
import math

import ee
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from gee.errors import SettingError
from gee.grids import (
    EASE9,
    aggregated,
    coarse,
    crs_transform,
    ease_cell_of,
    ease_edges,
    fine_grid,
    input_pixels,
    projection,
    rectangle,
    utm_crs,
    valid_fraction,
)
from gee.local.sources.dataset import RasterGrid

ANHUI = (114.87, 29.39, 119.66, 34.66)
UTM = "EPSG:32650"
SPHERE = "+proj=sinu +R=6371007.181 +units=m"
MODIS = (463.312716527917, 0.0, -20015109.354, 0.0, -463.312716527917, 10007554.677)


def as_raster(grid: GeoBox) -> RasterGrid:
    return RasterGrid(str(grid.crs), tuple(crs_transform(grid)), grid.shape.x, grid.shape.y)


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [
        (117.27, 31.86, 32650), (-180, 10, 32601), (180, 10, 32660), (-0.01, -1, 32730), (0, 0, 32631),
        (120, 30, 32651), (25, 84, 32635), (25, -80, 32735),
    ],
)  # fmt: skip
def test_the_utm_zone_of_a_place(lon, lat, code):
    assert utm_crs(lon, lat) == f"EPSG:{code}"


def test_the_grid_of_anhui_nests_in_nine_kilometres():
    grid = fine_grid(ANHUI)

    assert crs_transform(grid) == [1000, 0, 279000, 0, -1000, 3852000]
    assert (str(grid.crs), grid.shape.x, grid.shape.y) == (UTM, 495, 612)
    assert crs_transform(coarse(grid)) == [9000, 0, 279000, 0, -9000, 3852000]
    assert (coarse(grid).shape.x, coarse(grid).shape.y) == (55, 68)
    with pytest.raises(SettingError, match="whole blocks of 7"):
        coarse(grid, 7)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-176, 172), st.floats(-75, 78), st.floats(0.5, 3.5), st.floats(0.2, 3.5),
    st.sampled_from([(1000, 9000), (500, 9000), (3000, 36000)]),
)  # fmt: skip
def test_a_grid_covers_its_bounds_with_whole_nests_and_one_more(west, south, width, height, sizes):
    metres, nest = sizes
    bounds = (west, south, west + width, south + height)
    to_degrees = math.cos(math.radians(max(abs(south), abs(south + height))))
    if min(width * to_degrees, height) * 111 < 1.2 * nest / 1000:
        return
    grid = fine_grid(bounds, metres=metres, nest=nest)
    box = grid.boundingbox

    assert [edge % nest for edge in (box.left, box.right, box.bottom, box.top)] == [0, 0, 0, 0]
    assert (grid.shape.x * metres, grid.shape.y * metres) == (box.right - box.left, box.top - box.bottom)
    lon, lat = np.meshgrid(np.linspace(west, west + width, 41), np.linspace(south, south + height, 41))
    x, y = Transformer.from_crs("EPSG:4326", str(grid.crs), always_xy=True).transform(lon, lat)
    margins = [x.min() - box.left, box.right - x.max(), y.min() - box.bottom, box.top - y.max()]
    assert all(nest - 1 <= margin <= 2 * nest + 1 for margin in margins), margins


@pytest.mark.parametrize(
    ("bounds", "crs", "words"),
    [
        ((170, -20, -170, -10), None, ["180th meridian", "two studies"]),
        ((117, 33, 119, 31), None, ["south before north"]),
        ((117, 31, 117.01, 31.01), None, ["1.0 by 1.1 km", "less than one 9 km cell"]),
        ((73, 18, 135, 53), None, ["Split the region", "34.2%"]),
        ((-179, -30, 179, 60), None, ["beyond measure", "Split the region"]),
        ((0, 86, 10, 89), None, ["no UTM zone", "crs"]),
        ((279_000, 3_240_000, 774_000, 3_852_000), None, ["not west, south, east, north in degrees"]),
        ((117, float("nan"), 118, 32), None, ["not west, south, east, north in degrees"]),
        ((100, 20, 110, 30), "EPSG:4326", ["WGS 84", "not in metres"]),
        ((100, 20, 110, 30), "EPSG:2263", ["not in metres"]),
        ((100, 20, 110, 30), "EPSG:3857", ["wrong by up to", "another crs"]),
        ((100, 20, 110, 30), "UTM50", ["'UTM50'", "EPSG code"]),
    ],
)  # fmt: skip
def test_bounds_and_systems_that_cannot_be_gridded_are_refused(bounds, crs, words):
    with pytest.raises(SettingError) as refusal:
        fine_grid(bounds, crs)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_two_neighbouring_zones_are_still_one_grid():
    assert str(fine_grid((113.5, 30, 118.5, 33)).crs) == UTM  # zone 49 ends at 114 E


def test_a_given_system_true_to_area_is_taken():
    assert str(fine_grid((73, 18, 135, 53), "ESRI:102025").crs) == "ESRI:102025"


def test_pixels_must_fill_the_nests():
    with pytest.raises(SettingError, match="divisor of 9000"):
        fine_grid(ANHUI, metres=700)


def test_the_rectangle_of_a_grid_is_planar_in_its_own_system(earth):
    shown = earth.value(rectangle(fine_grid(ANHUI)))

    assert shown["crs"]["properties"]["name"] == UTM and shown["geodesic"] is False
    outline = shapely.Polygon(shown["coordinates"][0])
    assert outline.equals(shapely.box(279000, 3240000, 774000, 3852000))
    assert earth.value(projection(fine_grid(ANHUI)))["transform"] == [1000, 0, 279000, 0, -1000, 3852000]


SMALL = GeoBox((9, 9), Affine(1000, 0, 500_000, 0, -1000, 3_550_000), UTM)


def modis_around(grid: GeoBox) -> RasterGrid:
    """The 500 m sinusoidal pixels that hold a grid."""
    box = grid.boundingbox
    x, y = Transformer.from_crs(UTM, SPHERE, always_xy=True).transform(
        [box.left, box.left, box.right, box.right], [box.bottom, box.top, box.bottom, box.top]
    )
    left, right = ((edge - MODIS[2]) / MODIS[0] for edge in (min(x), max(x)))
    top, bottom = ((edge - MODIS[5]) / MODIS[4] for edge in (max(y), min(y)))
    left, top = math.floor(left) - 2, math.floor(top) - 2
    transform = (MODIS[0], 0.0, MODIS[2] + left * MODIS[0], 0.0, MODIS[4], MODIS[5] + top * MODIS[4])
    return RasterGrid("SR-ORG:6974", transform, math.ceil(right) - left + 2, math.ceil(bottom) - top + 2)


def exact_shares(source: RasterGrid, crs: str, grid: GeoBox) -> np.ndarray:
    """Area that each source pixel shares with each grid pixel, m²: (grid pixels, source pixels)."""
    a, _, c, _, e, f = source.transform
    x, y = np.meshgrid(c + a * np.arange(source.width + 1), f + e * np.arange(source.height + 1))
    x, y = Transformer.from_crs(crs, str(grid.crs), always_xy=True).transform(x, y)
    points = np.stack([x, y], -1)
    rings = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)
    pixels = shapely.polygons(rings.reshape(-1, 4, 2))
    a, _, c, _, e, f = crs_transform(grid)
    across, down = np.meshgrid(c + a * np.arange(grid.shape.x), f + e * np.arange(grid.shape.y))
    boxes = shapely.box(across.ravel(), down.ravel() + e, across.ravel() + a, down.ravel())
    return np.stack([shapely.area(shapely.intersection(box, pixels)) for box in boxes])


def test_means_over_sinusoidal_pixels_are_weighted_by_area_and_know_what_is_valid(earth):
    source = modis_around(SMALL)
    rng = np.random.default_rng(1)
    values = np.ma.MaskedArray(
        rng.normal(0, 10, (source.height, source.width)), rng.random((source.height, source.width)) < 0.4
    )
    values[:, : source.width // 3] = np.ma.masked
    earth.put("test/modis", source, [("2019-04-01", {"a": values})])
    blank = ee.Image.constant(0).toDouble().rename("a").updateMask(0)
    image = ee.ImageCollection("test/modis").merge(ee.ImageCollection([blank])).mosaic()
    assert earth.value(image.projection())["crs"] == "EPSG:4326"  # a composite forgets where its pixels lie
    native = ("SR-ORG:6974", MODIS)
    mean = earth.pixels(aggregated(image, SMALL, native), as_raster(SMALL))["a"]
    valid = earth.pixels(valid_fraction(image, SMALL, native), as_raster(SMALL))["a"]

    shares = exact_shares(source, SPHERE, SMALL)
    known = ~values.mask.ravel()
    expected_valid = shares @ known / 1e6
    assert 0 in expected_valid and (expected_valid > 0.7).any()
    np.testing.assert_allclose(valid.ravel(), expected_valid, atol=1e-6)
    assert not valid.mask.any()
    np.testing.assert_array_equal(mean.mask.ravel(), expected_valid < 1e-9)
    seen = ~mean.mask.ravel()
    expected = (shares @ values.filled(0).ravel())[seen] / (1e6 * expected_valid[seen])
    np.testing.assert_allclose(mean.ravel()[seen], expected, atol=1e-5)


def test_going_through_stages_gives_the_mean_of_one_hop_where_pixels_nest(earth):
    source = RasterGrid(UTM, (10.0, 0.0, 500_000.0, 0.0, -10.0, 3_550_000.0), 300, 200)
    rng = np.random.default_rng(2)
    power = rng.gamma(2, 0.05, (200, 300))
    hidden = rng.random((200, 300)) < np.linspace(0, 1, 300) ** 2
    hidden[:100, 200:] = True
    image = np.ma.MaskedArray(power, hidden)
    earth.put("test/scenes", source, [("2019-04-01", {"vv": image})])
    scene = ee.Image(ee.ImageCollection("test/scenes").first())
    grid = GeoBox((2, 3), Affine(1000, 0, 500_000, 0, -1000, 3_550_000), UTM)

    blocks = image.reshape(2, 100, 3, 100)
    expected, share = blocks.mean((1, 3)), 1 - blocks.mask.mean((1, 3))
    for stages in ((), (100,), (50, 200)):
        mean = earth.pixels(aggregated(scene, grid, stages=stages, metres=10), as_raster(grid))["vv"]
        valid = earth.pixels(valid_fraction(scene, grid, stages=stages, metres=10), as_raster(grid))["vv"]
        np.testing.assert_array_equal(mean.mask, expected.mask)
        np.testing.assert_allclose(mean.compressed(), expected.compressed(), rtol=1e-6)
        np.testing.assert_allclose(valid, share, atol=1e-6)
    assert expected.mask.tolist() == [[False, False, True], [False, False, False]]


def test_a_half_masked_pixel_counts_half_on_every_way(earth):
    source = RasterGrid(UTM, (100.0, 0.0, 500_000.0, 0.0, -100.0, 3_550_000.0), 10, 10)
    rng = np.random.default_rng(4)
    values, weights = rng.normal(5, 2, (10, 10)), rng.choice([0, 0.25, 0.5, 1], (10, 10))
    earth.put("test/weights", source, [("2019-04-01", {"a": values, "w": weights})])
    both = ee.Image(ee.ImageCollection("test/weights").first())
    image = both.select("a").updateMask(both.select("w"))
    grid = GeoBox((1, 1), Affine(1000, 0, 500_000, 0, -1000, 3_550_000), UTM)

    for stages in ((), (500,)):
        mean = earth.pixels(aggregated(image, grid, stages=stages, metres=100), as_raster(grid))["a"]
        share = earth.pixels(valid_fraction(image, grid, stages=stages, metres=100), as_raster(grid))["a"]
        assert mean[0, 0] == pytest.approx(np.average(values, weights=weights), abs=0.01)
        assert share[0, 0] == pytest.approx(weights.mean(), abs=0.003)  # weights have 8 bits


def test_every_stage_is_a_step_of_its_own_in_the_scenes_system(offline_client):
    scene = ee.Image("test/scene")

    def steps(stages):
        text = json.dumps(ee.serializer.encode(aggregated(scene, SMALL, stages=stages), for_cloud_api=True))
        return [text.count(f'"{name}"') for name in ("Image.reduceResolution", "Projection.atScale")]

    assert steps(()) == [1, 0]
    assert steps((100,)) == [4, 1]  # values and weights apart
    assert steps((50, 200)) == [6, 2]


def test_a_scene_of_the_next_zone_goes_through_stages_to_within_a_hundredth(earth):
    """The stage's pixels straddle the target's edges, so this is near the exact mean and not equal to it."""
    x, y = Transformer.from_crs(UTM, "EPSG:32651", always_xy=True).transform(500_000, 3_550_000)
    left, top = math.floor(x / 10) * 10 - 1500.0, math.ceil(y / 10) * 10 + 1500.0
    source = RasterGrid("EPSG:32651", (10.0, 0.0, left, 0.0, -10.0, top), 500, 500)
    rows, columns = np.mgrid[:500, :500]
    field = 1 + 0.3 * np.sin(columns / 150) * np.cos(rows / 120)
    earth.put("test/other", source, [("2019-04-01", {"vv": field})])
    scene = ee.Image(ee.ImageCollection("test/other").first())
    grid = GeoBox((2, 2), Affine(1000, 0, 500_000, 0, -1000, 3_550_000), UTM)
    staged = earth.pixels(aggregated(scene, grid, stages=(100,), metres=10), as_raster(grid))["vv"]

    x, y = np.meshgrid(np.arange(2, 2000, 4.0) + 500_000, 3_550_000 - np.arange(2, 2000, 4.0))
    x, y = Transformer.from_crs(UTM, "EPSG:32651", always_xy=True).transform(x, y)
    fine = field[np.floor((top - y) / 10).astype(int), np.floor((x - left) / 10).astype(int)]
    expected = fine.reshape(2, 250, 2, 250).mean((1, 3))
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(staged, expected, atol=0.01 * np.ptp(expected) + 1e-3)


@pytest.mark.parametrize("lon, lat", [(117, 32), (-70, -20), (25, 60), (179, 5)])
@pytest.mark.parametrize(
    ("crs", "metres", "onto"),
    [
        (SPHERE, 463.3127, 1000), (SPHERE, 926.6254, 1000), ("EPSG:4326", 92.77, 1000),
        ("EPSG:4326", 250, 1000), ("utm", 10, 100), ("utm", 100, 1000),
    ],
)  # fmt: skip
def test_the_limit_of_input_pixels_is_never_reached(lon, lat, crs, metres, onto):
    here = utm_crs(lon, lat)
    # A scene may come from the next zone, whose axes are turned by some degrees.
    crs = utm_crs(lon - 6 if lon > 0 else lon + 6, lat) if crs == "utm" else crs
    x, y = Transformer.from_crs("EPSG:4326", here, always_xy=True).transform(lon, lat)
    corners = np.array([[x, y], [x + onto, y], [x + onto, y + onto], [x, y + onto]])
    across, down = Transformer.from_crs(here, crs, always_xy=True).transform(*corners.T)
    side = metres / 111_319.49 if crs == "EPSG:4326" else metres
    outline = shapely.Polygon(np.stack([across, down], 1) / side)
    left, bottom, right, top = outline.bounds
    columns, rows = np.meshgrid(
        np.arange(math.floor(left), math.ceil(right)), np.arange(math.floor(bottom), math.ceil(top))
    )
    met = shapely.intersects(outline, shapely.box(columns, rows, columns + 1, rows + 1)).sum()

    assert met <= input_pixels(metres, onto) <= 12 * (onto / metres + 1) ** 2


def published(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fractional row and column in the M09 grid by the equations of Brodzik et al. 2012 (section 3.1)."""
    a, e, standard = 6378137.0, 0.0818191908426, math.radians(30)
    sine = np.sin(np.radians(lat))
    q = (1 - e**2) * (sine / (1 - e**2 * sine**2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e))
    scale = math.cos(standard) / math.sqrt(1 - (e * math.sin(standard)) ** 2)
    x, y = a * scale * np.radians(lon), a * q / (2 * scale)
    return (1624 - 1) / 2 - y / 9008.05521014604, (3856 - 1) / 2 + x / 9008.05521014604


def test_the_edges_of_ease_cells_are_those_of_the_published_equations():
    lon, lat = ease_edges()

    assert (lon.size, lat.size) == (EASE9.columns + 1, EASE9.rows + 1) == (3857, 1625)
    rows, _ = published(np.zeros_like(lat), lat)
    _, columns = published(lon, np.zeros_like(lon))
    np.testing.assert_allclose(columns, np.arange(3857) - 0.5, atol=2e-5)
    np.testing.assert_allclose(rows, np.arange(1625) - 0.5, atol=2e-5)
    assert lat[0] == pytest.approx(85.0445664, abs=1e-6)  # NSIDC's corner of the EASE-Grid 2.0 M grids


def test_the_cell_of_every_real_smap_point_is_recovered(shared_data):
    netcdf = pytest.importorskip("netCDF4")
    lon, lat = [], []
    for path in sorted((shared_data / "smap-l3e-9km").rglob("*.nc")):
        with netcdf.Dataset(path) as file:
            lon.append(np.asarray(file["longitude"][:], np.float64).ravel())
            lat.append(np.asarray(file["latitude"][:], np.float64).ravel())
    lon, lat = np.concatenate(lon), np.concatenate(lat)
    assert lon.size > 100_000
    row, column = published(lon, lat)
    np.testing.assert_allclose(row, np.round(row), atol=0.01)  # the files give the cells' centres
    np.testing.assert_allclose(column, np.round(column), atol=0.01)

    found_row, found_column = ease_cell_of(lon, lat)

    np.testing.assert_array_equal(found_row, np.round(row))
    np.testing.assert_array_equal(found_column, np.round(column))
    lon_edges, lat_edges = ease_edges()
    assert (lon_edges[found_column] < lon).all() and (lon < lon_edges[found_column + 1]).all()
    assert (lat_edges[found_row] > lat).all() and (lat > lat_edges[found_row + 1]).all()


@pytest.mark.parametrize(("lon", "lat"), [(10, 85.1), (10, -86), (181, 0), (float("nan"), 0)])
def test_places_off_the_ease_grid_are_refused(lon, lat):
    with pytest.raises(SettingError, match="1 of 2 places lie on no 9 km EASE cell"):
        ease_cell_of([lon, 117.0], [lat, 32.0])


def test_the_edges_of_the_world_belong_to_the_first_and_the_last_column():
    assert [axis.tolist() for axis in ease_cell_of([-180.0, 180.0], [0.01, 0.01])] == [[811, 811], [0, 3855]]
