"""Training cells and their table, against GDAL's warp, shapely's areas and block means in NumPy."""

from __future__ import annotations

import json
import math

import ee
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.warp import Resampling, reproject

from gee.cells import SMAP_RASTER, Cells, cell_means, cell_table, ease_cells, utm_cells
from gee.errors import SettingError
from gee.grids import coarse, crs_transform, ease_edges, fine_grid
from gee.local.sources.dataset import RasterGrid
from gee.target import MOISTURE, OUTAGE

ANHUI = (114.87, 29.39, 119.66, 34.66)
BOX = (116.6, 31.4, 117.5, 32.2)
EASE = Affine(9008.05521014604, 0, -17367530.445161, 0, -9008.05521014604, 7314540.830638)
UTM_METRES = Transformer.from_crs("EPSG:4326", "EPSG:32650", always_xy=True)


def smap_window(bounds) -> GeoBox:
    """The part of the SMAP raster around bounds, with two pixels more on each side."""
    a, _, c, _, e, f = crs_transform(SMAP_RASTER)
    left, right = math.floor((bounds[0] - c) / a) - 2, math.ceil((bounds[2] - c) / a) + 2
    top, bottom = math.floor((bounds[3] - f) / e) - 2, math.ceil((bounds[1] - f) / e) + 2
    left, right = max(left, 0), min(right, SMAP_RASTER.shape.x)
    return GeoBox((bottom - top, right - left), Affine(a, 0, c + left * a, 0, e, f + top * e), "EPSG:4326")


def as_raster(grid: GeoBox) -> RasterGrid:
    return RasterGrid(str(grid.crs), tuple(crs_transform(grid)), grid.shape.x, grid.shape.y)


@pytest.fixture(scope="module")
def warped():
    """EASE cell numbers as GDAL's nearest-neighbour warp puts them on a window of the SMAP raster."""
    numbers = np.arange(1624 * 3856, dtype=np.int32).reshape(1624, 3856)

    def warp(window: GeoBox) -> np.ndarray:
        found = np.full(window.shape, -1, np.int32)
        reproject(
            numbers, found, src_transform=EASE, src_crs="EPSG:6933", dst_transform=window.affine,
            dst_crs="EPSG:4326", resampling=Resampling.nearest, tolerance=0, src_nodata=None, dst_nodata=-1,
        )  # fmt: skip
        return found

    return warp


def smap_pixels(cells: Cells, window: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a window that hold the cells' values, in the order of their ids."""
    a, _, c, _, e, f = crs_transform(window)
    columns = [math.floor((strip.smap - c) / a) for strip in cells.columns]
    rows = [math.floor((strip.smap - f) / e) for strip in cells.rows]
    down, across = np.meshgrid(rows, columns, indexing="ij")
    return down.ravel(), across.ravel()


@pytest.mark.parametrize(
    "bounds",
    [ANHUI, (-70, -40, -60, -30), (-180, -5, -175, 5), (174, 60, 180, 66), (10, -70, 14, -66)],
)
def test_each_cell_is_the_one_whose_value_gdal_puts_into_its_pixel(warped, bounds):
    window = smap_window(bounds)
    truth, cells = warped(window), ease_cells(bounds)
    lon, lat = cells.centres()
    rows, columns = np.array([name.split("-") for name in cells.ids()], np.int64).T

    np.testing.assert_array_equal(truth[smap_pixels(cells, window)], rows * 3856 + columns)
    assert len(set(cells.ids())) == len(cells) == lon.size
    # Of several pixels with a cell's value the nearest stands for it: never further than half a pixel.
    assert max(abs(strip.smap - strip.centre) for strip in (*cells.rows, *cells.columns)) < 0.09517 / 2
    lon_edges, lat_edges = ease_edges()
    np.testing.assert_allclose(lon, (lon_edges[columns] + lon_edges[columns + 1]) / 2, atol=1e-9)
    np.testing.assert_allclose(lat, (lat_edges[rows] + lat_edges[rows + 1]) / 2, atol=1e-9)
    # No cell with its centre in the bounds is left out, as long as any pixel carries it.
    carried = np.unique(truth[truth >= 0])
    middle_x = (lon_edges[carried % 3856] + lon_edges[carried % 3856 + 1]) / 2
    middle_y = (lat_edges[carried // 3856] + lat_edges[carried // 3856 + 1]) / 2
    west, south, east, north = bounds
    wanted = (middle_x >= west) & (middle_x < east) & (middle_y >= south) & (middle_y < north)
    np.testing.assert_array_equal(np.sort(rows * 3856 + columns), carried[wanted])


def test_fifteen_of_a_hundred_cells_of_anhui_have_no_pixel():
    """As a nearest warp from 9.0 to 10.6 km leaves them; counted from the grids' published sizes."""
    cells = ease_cells(ANHUI)
    lon_edges, lat_edges = ease_edges()
    lon, lat = (lon_edges[1:] + lon_edges[:-1]) / 2, (lat_edges[1:] + lat_edges[:-1]) / 2
    whole = ((lon >= 114.87) & (lon < 119.66)).sum() * ((lat >= 29.39) & (lat < 34.66)).sum()

    assert 0.84 < len(cells) / whole < 0.87


def test_regions_and_rasters_without_cells_are_refused():
    with pytest.raises(SettingError, match=r"No 9 km cell of SMAP .* 117 to 117.01 E"):
        ease_cells((117, 31, 117.01, 31.01))
    utm = GeoBox((10, 10), Affine(9000, 0, 0, 0, -9000, 0), "EPSG:32650")
    with pytest.raises(SettingError, match="registration"):
        ease_cells(ANHUI, utm)


def test_the_server_makes_the_cells_of_a_region_by_their_centres(earth):
    cells = ease_cells(BOX)
    lon, lat = cells.centres()
    triangle = shapely.Polygon([(116.6, 31.4), (117.5, 31.5), (117.0, 32.2)])
    region = ee.Geometry.Polygon([list(map(list, triangle.exterior.coords))], None, False)
    everything = earth.value(cells.features())["features"]
    chosen = earth.value(cells.features(region))["features"]

    assert [row["properties"]["cell"] for row in everything] == list(cells.ids())
    inside = shapely.contains_xy(triangle, lon, lat)
    assert 10 < inside.sum() < len(cells) - 10
    assert [row["properties"]["cell"] for row in chosen] == [
        name for name, keep in zip(cells.ids(), inside, strict=True) if keep
    ]
    lon_edges, lat_edges = ease_edges()
    for place, row in enumerate(everything):
        told, shape = row["properties"], row["geometry"]
        number, column = map(int, told["cell"].split("-"))
        box = shapely.box(lon_edges[column], lat_edges[number + 1], lon_edges[column + 1], lat_edges[number])
        assert shape["geodesic"] is False
        assert shapely.Polygon(shape["coordinates"][0]).equals_exact(box, 1e-8, normalize=True)
        assert (told["lon"], told["lat"]) == pytest.approx((lon[place], lat[place]), abs=1e-8)
        assert abs(told["smap_lon"] - told["lon"]) < 0.0952 and abs(told["smap_lat"] - told["lat"]) < 0.0952


def size(thing) -> int:
    return len(json.dumps(ee.serializer.encode(thing, for_cloud_api=True)))


def test_the_cells_of_a_province_are_a_small_request(offline_client):
    cells = ease_cells(ANHUI)
    assert len(cells) > 2_500
    assert size(cells.features()) < 15_000


def test_utm_cells_are_the_pixels_of_the_coarse_grid(earth):
    grid = coarse(fine_grid(BOX))
    cells = utm_cells(grid)
    shown = earth.value(cells.features())["features"]
    back = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)

    assert len(cells) == len(shown) == grid.shape.x * grid.shape.y
    for place, row in enumerate(shown):
        down, across = divmod(place, grid.shape.x)
        left, top = grid.boundingbox.left + 9000 * across, grid.boundingbox.top - 9000 * down
        told = row["properties"]
        assert told["cell"] == f"u{down:03d}-{across:03d}" == cells.ids()[place]
        assert row["geometry"]["crs"]["properties"]["name"] == "EPSG:32650"
        box = shapely.box(left, top - 9000, left + 9000, top)
        assert shapely.Polygon(row["geometry"]["coordinates"][0]).equals_exact(box, 1e-4, normalize=True)
        centre = back.transform(left + 4500, top - 4500)
        assert (told["lon"], told["lat"]) == pytest.approx(centre, abs=1e-7)
        assert (told["smap_lon"], told["smap_lat"]) == (told["lon"], told["lat"])
    lon, lat = cells.centres()
    assert [row["properties"]["lon"] for row in shown] == pytest.approx(lon.tolist(), abs=1e-7)
    assert [row["properties"]["lat"] for row in shown] == pytest.approx(lat.tolist(), abs=1e-7)


def smap_of(earth, warped, name: str) -> ee.ImageCollection:
    """Two days whose value in a pixel is the number of the EASE cell it carries, the second shifted by 1."""
    window = smap_window(BOX)
    numbers = warped(window).astype(np.float64)
    hidden = np.ma.MaskedArray(numbers + 1, numbers % 7 == 0)
    days = [("2019-04-01", {MOISTURE: numbers}, {OUTAGE: 0}), ("2019-04-02", {MOISTURE: hidden}, {OUTAGE: 1})]
    earth.put(name, as_raster(window), days)
    return ee.ImageCollection(name)


def predictors(earth, grid: GeoBox, name: str) -> list[dict[str, np.ma.MaskedArray]]:
    """Two days of smooth and rough fields with holes, put as a collection; ``vv`` misses in the west."""
    rng = np.random.default_rng(3)
    days = []
    for _ in range(2):
        rough = np.ma.MaskedArray(rng.normal(20, 5, grid.shape), rng.random(grid.shape) < 0.3)
        power = np.ma.MaskedArray(rng.gamma(3, 0.03, grid.shape), np.zeros(grid.shape, bool))
        power[:, : grid.shape.x // 2] = np.ma.masked
        days.append(
            {"lst": rough, "vv": power, "dem": np.add.outer(*(np.arange(n) for n in grid.shape)) * 1.0}
        )
    earth.put(name, as_raster(grid), [(f"2019-04-0{day + 1}", bands) for day, bands in enumerate(days)])
    return days


def exact_cover(cells: Cells, grid: GeoBox) -> np.ndarray:
    """Share of every fine pixel that lies in each cell, by shapely: (cells, pixels)."""
    lon_edges, lat_edges = ease_edges()
    a, _, c, _, e, f = crs_transform(grid)
    across, down = np.meshgrid(c + a * np.arange(grid.shape.x), f + e * np.arange(grid.shape.y))
    pixels = shapely.box(across.ravel(), down.ravel() + e, across.ravel() + a, down.ravel())
    rows = []
    for name in cells.ids():
        row, column = map(int, name.split("-"))
        box = shapely.box(lon_edges[column], lat_edges[row + 1], lon_edges[column + 1], lat_edges[row])
        ring = shapely.get_coordinates(shapely.segmentize(box, 0.002))
        outline = shapely.Polygon(np.stack(UTM_METRES.transform(*ring.T), 1))
        rows.append(shapely.area(shapely.intersection(pixels, outline)) / a**2)
    return np.stack(rows)


def test_the_table_holds_area_weighted_means_valid_shares_and_the_cells_own_smap(earth, warped):
    grid, cells = fine_grid(BOX), ease_cells(BOX)
    days = predictors(earth, grid, "test/predictors")
    features = cells.features().map(lambda cell: cell.set("partition", "JH", "dropped", 1))
    table = cell_table(
        ee.ImageCollection("test/predictors"), features, grid, ["lst", "vv", "dem"], ["vv"],
        smap_of(earth, warped, "test/smap"), ["cell", "partition"],
    )  # fmt: skip
    rows = earth.value(table)["features"]

    assert len(rows) == 2 * len(cells) and all(row["geometry"] is None for row in rows)
    cover = exact_cover(cells, grid)
    lost = 0
    for place, row in enumerate(rows):
        told = row["properties"]
        day, number = divmod(place, len(cells))
        name = cells.ids()[number]
        assert (told["cell"], told["date"], told["doy"]) == (name, f"2019-04-0{day + 1}", 91 + day)
        assert told["partition"] == "JH" and "dropped" not in told
        for band, values in days[day].items():
            weight = cover[number] * ~np.ma.getmaskarray(values).ravel()
            share = weight.sum() / cover[number].sum()
            assert told[f"{band}_valid"] == pytest.approx(share, abs=0.003)
            if share == 0:
                assert band not in told
                lost += 1
                continue
            if share < 0.02:
                continue  # a few slivers of pixels, where Earth Engine's weights of 8 bits decide
            mean = (weight * np.ma.getdata(values).ravel()).sum() / weight.sum()
            expected = 10 * math.log10(mean) if band == "vv" else mean
            assert told[band] == pytest.approx(expected, rel=0.005), (name, band)
        ease = int(name[:4]) * 3856 + int(name[5:])
        assert told[OUTAGE] == day
        if day == 1 and ease % 7 == 0:
            assert MOISTURE not in told
        else:
            assert told[MOISTURE] == ease + day
    assert lost > 20


def test_the_table_over_utm_cells_holds_block_means_and_the_pixel_under_each_centre(earth, warped):
    grid = fine_grid(BOX)
    days = predictors(earth, grid, "test/predictors")
    cells = utm_cells(coarse(grid))
    table = cell_table(
        ee.ImageCollection("test/predictors").limit(1), cells.features(), grid, ["lst", "dem"], [],
        smap_of(earth, warped, "test/smap"),
    )  # fmt: skip
    rows = [row["properties"] for row in earth.value(table)["features"]]

    lst = days[0]["lst"].reshape(grid.shape.y // 9, 9, grid.shape.x // 9, 9)
    assert [row["lst"] for row in rows] == pytest.approx(lst.mean((1, 3)).ravel().tolist(), rel=1e-6)
    assert [row["lst_valid"] for row in rows] == pytest.approx(
        (1 - lst.mask.mean((1, 3))).ravel().tolist(), abs=1e-6
    )
    window = smap_window(BOX)
    numbers = warped(window)
    a, _, c, _, e, f = crs_transform(window)
    for row in rows:
        column, line = math.floor((row["lon"] - c) / a), math.floor((row["lat"] - f) / e)
        if 0 <= column < window.shape.x and 0 <= line < window.shape.y:
            assert row[MOISTURE] == numbers[line, column]


def test_a_map_that_does_not_change_is_averaged_like_a_days(earth):
    grid, cells = fine_grid(BOX), ease_cells(BOX)
    predictors(earth, grid, "test/predictors")
    images = ee.ImageCollection("test/predictors").limit(1)
    day = earth.value(cell_table(images, cells.features(), grid, ["dem", "vv"]))["features"]
    still = earth.value(cell_means(images.first(), cells.features(), grid, ["vv"], ["cell"]))["features"]

    names = ("cell", "vv", "vv_valid")
    assert [row["properties"] for row in still] == [
        {name: row["properties"][name] for name in names if name in row["properties"]} for row in day
    ]
    assert all(row["geometry"] is None for row in still)
    assert 0 < sum("vv" in row["properties"] for row in still) < len(cells)


def test_a_table_without_target_has_no_target(earth):
    grid, cells = fine_grid(BOX), ease_cells(BOX)
    predictors(earth, grid, "test/predictors")
    table = cell_table(ee.ImageCollection("test/predictors"), cells.features(), grid, ["dem"])
    first = earth.value(table.first())["properties"]

    assert set(first) == {
        "cell", "lon", "lat", "smap_lon", "smap_lat", "date", "doy", "dem", "dem_valid",
    }  # fmt: skip


def test_the_table_of_a_province_is_a_small_request(offline_client):
    grid, cells = fine_grid(ANHUI), ease_cells(ANHUI)
    images = ee.ImageCollection("test/x").filterDate("2019-04-01", "2019-05-01")
    bands = [f"b{number}" for number in range(20)]
    table = cell_table(images, cells.features(), grid, bands, bands[:2], ee.ImageCollection("test/y"))

    assert size(table) < 30_000
