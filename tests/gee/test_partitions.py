"""Terrain partitions: Anhui's units, a user's polygons, clusters of the terrain; and which cell is where."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import ee
import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Geod
from shapely.geometry import Point, Polygon, mapping, shape
from shapely.ops import unary_union

from gee import grids, partitions
from gee.errors import SettingError
from gee.local.sources.dataset import Dataset, RasterGrid

GEOD = Geod(ellps="WGS84")
PAPER_SHARES = {"HB": 27, "JH": 23, "WX": 12, "YJ": 21, "WN": 17}  # %; WX and WN share 29 by their samples
PLACES = {  # public geography: longitude and latitude
    "HB": {
        "Bozhou": (115.78, 33.85), "Fuyang": (115.81, 32.90), "Suzhou": (116.96, 33.65),
        "Huaibei": (116.80, 33.96), "Dangshan": (116.35, 34.42), "Sixian": (117.91, 33.48),
        "Wuhe": (117.88, 33.15), "Funan": (115.60, 32.64),
    },
    "JH": {
        "Hefei": (117.27, 31.86), "Chuzhou": (118.31, 32.30), "Lu'an": (116.50, 31.75),
        "Huoqiu": (116.28, 32.34), "Dingyuan": (117.68, 32.53), "Tianchang": (119.00, 32.69),
        "Shouxian": (116.79, 32.57), "Mingguang": (117.99, 32.78),
        "Fengyang": (117.56, 32.87), "Quanjiao": (118.27, 32.09),
    },
    "WX": {
        "Jinzhai": (115.88, 31.72), "Yuexi": (116.36, 30.85), "Huoshan": (116.33, 31.39),
        "Baimajian": (116.18, 31.12), "Tiantangzhai": (115.77, 31.14), "Tianzhushan": (116.46, 30.74),
    },
    "YJ": {
        "Anqing": (117.05, 30.53), "Wuhu": (118.38, 31.33), "Ma'anshan": (118.50, 31.68),
        "Tongling": (117.81, 30.94), "Wuwei": (117.91, 31.30), "Wangjiang": (116.69, 30.13),
        "Chizhou": (117.49, 30.66), "Lake Chao": (117.53, 31.55),
        "Xuancheng": (118.75, 30.95), "Zongyang": (117.22, 30.70),
    },
    "WN": {
        "Huangshan (city)": (118.32, 29.71), "Huangshan (peak)": (118.17, 30.13), "Ningguo": (118.98, 30.63),
        "Jiuhuashan": (117.80, 30.48), "Qimen": (117.71, 29.86), "Jixi": (118.60, 30.07),
        "Shitai": (117.48, 30.21), "Jingde": (118.54, 30.29), "Guniujiang": (117.52, 30.03),
        "Guangde": (119.42, 30.89),
    },
}  # fmt: skip


def km2(geometry: Any) -> float:
    return abs(GEOD.geometry_area_perimeter(geometry)[0]) / 1e6


def square(west: float, south: float, side: float = 1.0) -> dict[str, Any]:
    east, north = west + side, south + side
    return mapping(Polygon([(west, south), (east, south), (east, north), (west, north)]))


def feature(geometry: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def cells(*places: tuple[float, float]) -> ee.FeatureCollection:
    """Cells of 9 km, as rectangles around their centres."""
    return ee.FeatureCollection(
        [
            ee.Feature(
                ee.Geometry.Rectangle([lon - 0.045, lat - 0.04, lon + 0.045, lat + 0.04], "EPSG:4326", False),
                {"cell": str(number), "lon": lon, "lat": lat},
            )
            for number, (lon, lat) in enumerate(places)
        ]
    )


def assigned(earth: Any, parts: partitions.Partitions, *places: tuple[float, float]) -> list[str]:
    return earth.value(partitions.assign(cells(*places), parts).aggregate_array("partition"))


@pytest.fixture(scope="module")
def units() -> dict[str, Any]:
    """The polygons of the file shipped."""
    return {
        row["properties"]["name"]: shape(row["geometry"]) for row in partitions.anhui_geojson()["features"]
    }


@pytest.fixture(scope="module")
def province(shared_data: Any) -> Any:
    text = (shared_data / "anhui" / "boundary.geojson").read_text()
    return shape(json.loads(text)["features"][0]["geometry"])


def test_shares_of_anhui_come_within_two_points_of_the_papers(units, province):
    shares = {name: 100 * km2(unit.intersection(province)) / km2(province) for name, unit in units.items()}
    print("share of Anhui, %:", {name: round(share, 1) for name, share in shares.items()})
    assert list(shares) == list(PAPER_SHARES)
    for name, share in shares.items():
        assert share == pytest.approx(PAPER_SHARES[name], abs=2), name
    assert shares["WX"] + shares["WN"] == pytest.approx(29, abs=2)


def test_every_place_of_anhui_is_in_exactly_one_unit(units, province):
    assert all(unit.is_valid for unit in units.values())
    for one, other in combinations(units.values(), 2):
        assert one.intersection(other).area == 0
    together = unary_union(list(units.values()))
    assert together.geom_type == "Polygon"
    assert not together.interiors
    assert together.contains(province.buffer(0.1))


def test_the_file_tells_who_drew_it_and_from_what():
    found = partitions.anhui_geojson()
    assert "drawn by hand by the gee-smap project" in found["description"]
    assert all(
        {"title", "edges", "drawn_by", "drawn_from"} <= set(row["properties"]) for row in found["features"]
    )


@pytest.mark.parametrize("name", PLACES)
def test_cities_and_mountains_of_anhui_are_in_their_unit(earth, name):
    places = PLACES[name]
    found = assigned(earth, partitions.anhui(), *places.values())
    assert dict(zip(places, found, strict=True)) == dict.fromkeys(places, name)


def test_the_higher_units_are_the_mountains(units, shared_data, province):
    """Median of the real elevation at 5 arc minutes."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.features import geometry_mask

    with rasterio.open(shared_data / "anhui" / "elevation_5min.tif") as raster:
        heights, transform = raster.read(1, masked=True), raster.transform
    middle = {}
    for name, unit in units.items():
        outside = geometry_mask([unit.intersection(province)], heights.shape, transform)
        middle[name] = float(np.median(heights[~outside].compressed()))
    assert max(middle["HB"], middle["JH"], middle["YJ"]) < 100 < 200 < min(middle["WX"], middle["WN"])


def test_pixels_carry_the_code_of_their_polygon(earth, units):
    grid = RasterGrid("EPSG:4326", (0.1, 0, 114.8, 0, -0.1, 34.7), 50, 54)
    found = earth.pixels(partitions.anhui().image, grid)["partition"]
    lon, lat = 114.8 + 0.1 * (np.arange(50) + 0.5), 34.7 - 0.1 * (np.arange(54) + 0.5)
    expected = [
        [next(code for code, unit in enumerate(units.values(), 1) if unit.covers(Point(x, y))) for x in lon]
        for y in lat
    ]
    assert not found.mask.any()
    assert (np.ma.getdata(found) == expected).all()


def test_a_cell_across_a_border_follows_its_centre_and_keeps_what_it_has(earth):
    parts = partitions.from_geojson(
        collection(feature(square(117, 31), name="A"), feature(square(118, 31), name="B")), None
    )
    asked = cells((117.999, 31.5), (118.001, 31.5), (118.999, 31.5), (119.001, 31.5))
    found = earth.value(partitions.assign(asked, parts))["features"]
    assert [row["properties"]["partition"] for row in found] == ["A", "B", "B", ""]
    for before, after in zip(earth.value(asked)["features"], found, strict=True):
        assert after["geometry"] == before["geometry"]
        assert before["properties"].items() <= after["properties"].items()


def test_outside_of_all_polygons_pixels_are_masked(earth):
    parts = partitions.from_geojson(collection(feature(square(117, 31), name="A")), None)
    found = earth.pixels(parts.image, RasterGrid("EPSG:4326", (0.5, 0, 116.5, 0, -0.5, 32.5), 4, 4))[
        "partition"
    ]
    assert np.ma.getmaskarray(found).sum() == 12
    assert (found[1:3, 1:3] == 1).all()


def test_without_partitions_every_cell_is_without(earth):
    parts = partitions.none()
    assert (parts.names, parts.features) == ((), None)
    assert assigned(earth, parts, (117, 31)) == [""]
    found = earth.pixels(parts.image, RasterGrid("EPSG:4326", (1, 0, 117, 0, -1, 32), 1, 1))
    assert found["partition"].mask.all()


def test_polygons_of_a_name_are_one_partition_and_numbers_are_names(earth):
    parts = partitions.from_geojson(
        collection(
            feature(square(119, 31), unit=2),
            feature(square(117, 31), unit=1.0),
            feature(square(118, 31), unit=2),
        ),
        "unit",
    )
    assert parts.names == ("2", "1")
    assert assigned(earth, parts, (119.5, 31.5), (118.5, 31.5), (117.5, 31.5)) == ["2", "2", "1"]


A = feature(square(117, 31), name="A")


@pytest.mark.parametrize(
    ("geojson", "words"),
    [
        (collection(), ["no polygons"]),
        (collection(feature(None, name="A")), ["no geometry"]),
        (collection(A, feature(square(118, 31), title="B")),
         ["polygon 2 has no name in the property 'name'", "title"]),
        (collection(feature(square(118, 31), name="")), ["is named ''"]),
        (collection(feature(square(118, 31), name="WP")), ["'WP'", "taken"]),
        (collection(feature(square(118, 31), name="a,b")), ["'a,b'"]),
        (collection(A, feature(square(117.9, 31), name="B")), ["A and B overlap in 10.0%"]),
        (collection(A, feature(square(500_000, 3_500_000, 9_000), name="B")), ["projected", "EPSG:4326"]),
        (collection(*(feature(square(100 + n, 31), name=f"N{n}") for n in range(51))), ["51 partitions"]),
        (collection(A, feature(square(117.5, 31), name="B"), feature(square(119, 31))),
         ["overlap in 50.0%", "polygon 3 has no name"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_partitions_is_said_whole(geojson, words):
    with pytest.raises(SettingError) as caught:
        partitions.from_geojson(geojson, None)
    for word in words:
        assert word in str(caught.value)


def test_neighbours_drawn_apart_may_overlap_by_a_sliver():
    parts = collection(A, feature(square(117.9995, 31), name="B"))
    assert partitions.from_geojson(parts, None).names == ("A", "B")


def table(earth: Any, *rows: dict[str, Any]) -> str:
    name = "projects/test/assets/parts"
    earth.datasets[name] = Dataset(
        name, "TABLE", {}, rows=lambda: [(row["geometry"], row["properties"]) for row in rows]
    )
    return name


def test_a_table_on_earth_engine_serves_as_partitions(earth):
    name = table(
        earth,
        feature(square(118, 31), unit=7),
        feature(square(117, 31), unit=3),
        feature(square(119, 31), unit=7),
    )
    names = partitions.asset_names(name, "unit", earth.value(partitions.summary(name, "unit")))
    assert names == ("3", "7")
    parts = partitions.from_asset(name, "unit", names)
    assert assigned(earth, parts, (119.5, 31.5), (117.5, 31.5), (118.5, 31.5)) == ["7", "3", "7"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no features"),
        ([feature(square(117, 31), title="A")], "1 of 1 features have no name in the property 'name'"),
        ([A, feature(square(117.5, 31), name="B")], r"overlap by 5,\d\d\d km²"),
        ([feature(square(117, 31), name="all")], "taken"),
    ],
)
def test_a_table_that_cannot_be_partitions_is_refused(earth, rows, words):
    name = table(earth, *rows)
    with pytest.raises(SettingError, match=words):
        partitions.asset_names(name, None, earth.value(partitions.summary(name, None)))


GRID = grids.fine_grid((117, 31, 117.4, 31.3))  # 63 x 54 km or so


def ground(grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Elevation in m, and which land it is: plain 0, hills 1, mountains 2, from west to east.

    Hills and mountains have a ridge every 4 km; a level basin of 36 km² lies in the mountains.
    """
    height, width = grid.shape
    lands = np.broadcast_to(np.arange(width) * 3 // width, (height, width)).copy()
    base, ridge = np.array([10.0, 120.0, 700.0]), np.array([1.0, 80.0, 500.0])
    row = np.arange(height)[:, None]
    heights = base[lands] + ridge[lands] * (row % 4 == 0)
    middle, right = height // 2, width - width // 6
    heights[middle - 3 : middle + 3, right - 3 : right + 3] = 10
    return heights, lands


def parted(
    earth: Any, k: int | None, region: Any = None
) -> tuple[partitions.Partitions, np.ndarray, np.ndarray]:
    raster = RasterGrid(str(GRID.crs), tuple(grids.crs_transform(GRID)), GRID.shape.x, GRID.shape.y)
    heights, lands = ground(GRID)
    earth.put_image("projects/test/assets/ground", raster, {"elevation": heights.astype(np.float32)})
    parts = partitions.auto(region or grids.rectangle(GRID), GRID, k, ee.Image("projects/test/assets/ground"))
    return parts, earth.pixels(parts.image, raster)["partition"].filled(0), lands


@pytest.mark.parametrize(("k", "names"), [(3, 3), (None, 6)], ids=["three", "as many as there are"])
def test_clusters_are_the_lands_from_low_to_high_without_islands(earth, k, names):
    parts, codes, lands = parted(earth, k)
    assert parts.names == tuple(f"P{code}" for code in range(1, names + 1))
    width = GRID.shape.x
    far = np.ones_like(
        lands, bool
    )  # from where lands meet, and from the ends of the ground, where windows are cut
    for border in (width // 3, 2 * width // 3):
        far[:, border - 3 : border + 3] = False
    far[:5], far[-5:], far[:, :5], far[:, -5:] = False, False, False, False
    assert (codes[far] == lands[far] + 1).all()


def test_the_rule_of_the_number_of_clusters_is_on_record(earth):
    assert "Calinski-Harabasz" in parted(earth, None)[0].rule
    assert "k = 3" in parted(earth, 3)[0].rule


def test_clusters_outside_of_the_region_are_masked(earth):
    box = GRID.boundingbox
    half = ee.Geometry.Rectangle([box.left, box.bottom, box.left + 30_000, box.top], str(GRID.crs), False)
    _, codes, _ = parted(earth, 2, half)
    assert (codes[:, 30:] == 0).all()
    assert (codes[1:-1, 1:30] > 0).all()


@pytest.mark.parametrize("k", [0, 1, 51])
def test_a_number_of_clusters_that_parts_nothing_is_refused(k):
    with pytest.raises(SettingError, match="automatic partitions"):
        partitions.auto(None, GRID, k, None)
