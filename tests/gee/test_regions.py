"""What a region is, what a file of one must be, and what Earth Engine says of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pyproj import Geod
from shapely.geometry import Polygon, shape

from gee import regions
from gee.errors import SettingError
from gee.local.sources.boundary import TABLE_ID, ring
from gee.local.sources.dataset import Dataset

GEOD = Geod(ellps="WGS84")
SQUARE = [[117, 31], [118, 31], [118, 32], [117, 32], [117, 31]]
BOW_TIE = [[117, 31], [118, 32], [118, 31], [117, 32], [117, 31]]
HEFEI = (117.27, 31.86)


def square_km2(west: float, south: float, east: float, north: float) -> float:
    """Area between meridians and parallels, whose edges are cut fine because geodesics bulge northwards."""
    steps = 400
    lons = [west + (east - west) * step / steps for step in range(steps + 1)]
    corners = [(lon, south) for lon in lons] + [(lon, north) for lon in reversed(lons)]
    return abs(GEOD.polygon_area_perimeter(*zip(*corners, strict=True))[0]) / 1e6


def polygon(coordinates: Any, **more: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [coordinates]}
    return {"type": "Feature", "properties": {}, "geometry": geometry, **more}


def collection(*features: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **more}


def system(name: str) -> dict[str, Any]:
    return {"type": "name", "properties": {"name": name}}


def units(earth: Any, *names: str, country: str = "AAA") -> None:
    """A boundary table with one square for each name, side by side from Anhui eastwards."""

    def rows() -> list[Any]:
        return [
            (
                polygon([[116 + n, 31], [117 + n, 31], [117 + n, 32], [116 + n, 32], [116 + n, 31]])[
                    "geometry"
                ],
                {"shapeName": name.partition("/")[0], "shapeGroup": name.partition("/")[2] or country},
            )
            for n, name in enumerate(names)
        ]

    earth.datasets[TABLE_ID] = Dataset(TABLE_ID, "TABLE", {}, rows=rows)


@pytest.mark.parametrize(
    ("asked", "names", "found"),
    [
        ("Anhui", ["Anhui Sheng", "Jiangsu Sheng"], ["Anhui Sheng"]),
        ("anhui", ["ANHUI", "Jiangsu Sheng"], ["ANHUI"]),
        ("Anhui Sheng", ["Anhui Sheng"], ["Anhui Sheng"]),
        ("Virginia", ["Virginia", "West Virginia"], ["Virginia"]),
        ("Virg", ["Virginia", "West Virginia"], ["Virginia", "West Virginia"]),
        ("hui", ["Anhui Sheng", "Huila"], ["Huila"]),
        ("Punjab", ["Punjab/PAK", "Punjab/IND"], ["Punjab", "Punjab"]),
        ("Punjab, PAK", ["Punjab/PAK", "Punjab/IND"], ["Punjab"]),
        ("St. Gall", ["St. Gallen", "Stagalla"], ["St. Gallen"]),
        ("A.hui", ["Anhui Sheng"], []),
        ("Provence", ["Provence-Alpes-Côte d'Azur"], ["Provence-Alpes-Côte d'Azur"]),
        ("Côte", ["Provence-Alpes-Côte d'Azur"], ["Provence-Alpes-Côte d'Azur"]),
    ],
)
def test_a_place_is_found_by_its_name_or_by_how_a_word_of_it_begins(earth, asked, names, found):
    units(earth, *names)
    features = regions.place(asked).features()
    assert earth.value(features.aggregate_array("region")) == found


def test_of_two_places_of_a_name_the_country_chooses(earth):
    units(earth, "Punjab/PAK", "Punjab/IND")
    summary = earth.value(regions.summary(regions.place("Punjab, IND")))
    assert (summary["matched"], summary["west"], summary["east"]) == (1, [117], [118])


def test_a_point_is_in_the_unit_around_it_whatever_its_name(earth):
    units(earth, "One", "Two")
    assert earth.value(regions.point(117.5, 31.5).features().aggregate_array("region")) == ["Two"]


@pytest.mark.parametrize("region", [regions.place("anhui"), regions.point(*HEFEI)], ids=["name", "point"])
def test_anhui_of_the_simulated_boundaries_has_its_bounds_and_area(earth, region):
    outline = Polygon(ring("Anhui"))
    found = regions.extent(region, earth.value(regions.summary(region)))
    assert found.names == ("Anhui Province",)
    assert found.bounds == pytest.approx(outline.bounds, abs=1e-6)
    assert found.area_km2 == pytest.approx(abs(GEOD.geometry_area_perimeter(outline)[0]) / 1e6, rel=1e-4)
    assert 0.9 < found.land_share < 1  # Lake Chao and the Yangtze are water


def test_edges_of_a_box_are_parallels_and_its_area_is_that_between_them(earth):
    region = regions.box(114, 31, 119, 34)
    found = regions.extent(region, earth.value(regions.summary(region)))
    assert found.bounds == region.bounds == (114, 31, 119, 34)
    assert found.area_km2 == pytest.approx(square_km2(114, 31, 119, 34), rel=1e-5)


def test_the_real_outline_of_anhui_comes_back_with_its_area(earth, shared_data):
    outline = json.loads((shared_data / "anhui" / "boundary.geojson").read_text())
    region = regions.polygon(outline)
    found = regions.extent(region, earth.value(regions.summary(region)))
    drawn = shape(outline["features"][0]["geometry"])
    assert found.bounds == pytest.approx(drawn.bounds, abs=1e-6) == region.bounds
    assert found.area_km2 == pytest.approx(abs(GEOD.geometry_area_perimeter(drawn)[0]) / 1e6, rel=1e-4)
    assert found.area_km2 == pytest.approx(140_124, rel=0.005)  # Xu et al. 2024, sum of table 2


def test_overlapping_polygons_of_a_region_count_once(earth):
    shifted = [[lon + 0.5, lat] for lon, lat in SQUARE]
    region = regions.polygon(collection(polygon(SQUARE), polygon(shifted)))
    found = regions.extent(region, earth.value(regions.summary(region)))
    assert found.area_km2 == pytest.approx(square_km2(117, 31, 118.5, 32), rel=1e-5)


@pytest.mark.parametrize(
    "geojson",
    [
        collection(polygon(SQUARE)),
        polygon(SQUARE),
        polygon(SQUARE)["geometry"],
        polygon([[*corner, 12.5] for corner in SQUARE]),
        collection(polygon(SQUARE), crs=system("urn:ogc:def:crs:OGC:1.3:CRS84")),
        collection(polygon(SQUARE), crs=system("urn:ogc:def:crs:EPSG::4326")),
        {"type": "GeometryCollection", "geometries": [polygon(SQUARE)["geometry"]]},
    ],
    ids=["collection", "feature", "geometry", "heights", "CRS84", "4326", "geometries"],
)  # fmt: skip
def test_every_way_to_write_a_polygon_is_the_same_region(geojson):
    assert shape(json.loads(regions.polygon(geojson).value)).equals(Polygon(SQUARE))
    assert regions.polygon(geojson).bounds == (117, 31, 118, 32)


UTM = system("urn:ogc:def:crs:EPSG::32650")


@pytest.mark.parametrize(
    ("geojson", "words"),
    [
        (collection(), ["no polygons"]),
        ({"type": "FeatureCollection", "features": None}, ["no polygons"]),
        (polygon(SQUARE) | {"geometry": None}, ["no geometry"]),
        (polygon([]), ["empty"]),
        (polygon([[117, 31], [118, 31]]), ["no geometry"]),
        (polygon([["a", 31], [118, 31], [118, 32], ["a", 31]]), ["no geometry"]),
        ({"type": "Polygon"}, ["no geometry"]),
        ({"name": "Anhui"}, ["no geometry"]),
        ({"type": "Point", "coordinates": [117, 31]}, ["Point, not polygons"]),
        ({"type": "LineString", "coordinates": SQUARE}, ["LineString, not polygons"]),
        (polygon(BOW_TIE), ["cuts itself", "117.5 31.5"]),
        (polygon([[500_000, 3_500_000], [510_000, 3_500_000], [510_000, 3_510_000], [500_000, 3_500_000]]),
         ["projected", "EPSG:4326"]),
        (polygon([[31, 117], [31, 118], [32, 118], [31, 117]]), ["longitude comes first"]),
        (polygon([[179, 31], [181, 31], [181, 32], [179, 31]]), ["180th meridian"]),
        (polygon([[179, 31], [-179, 31], [-179, 32], [179, 31]]), ["180th meridian"]),
        (collection(polygon(SQUARE), crs=UTM), ["EPSG::32650"]),
        (collection(polygon(BOW_TIE), polygon(SQUARE), polygon([]), crs=UTM),
         ["EPSG::32650", "feature 1 ", "feature 3 "]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_geojson_is_said_whole(geojson, words):
    with pytest.raises(SettingError) as caught:
        regions.polygon(geojson)
    for word in ["GeoJSON of the region", *words]:
        assert word in str(caught.value)
    assert "feature 2 " not in str(caught.value)


def test_a_polygon_too_large_for_every_request_is_refused_with_the_way_out():
    corners = [[117 + n * 1e-5, 31 + (n % 2) * 0.3] for n in range(40_000)]
    with pytest.raises(SettingError, match=r"40,00\d corners.*upload"):
        regions.polygon(polygon([[117, 30], *corners, [118, 30], [117, 30]]))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((118, 31, 117, 32), "west, south, east, north"),
        ((179, 31, -179, 32), "180th meridian"),
        ((117, 31, 117, 32), "no land"),
        ((117, 32, 118, 31), "no land"),
        ((117, 31, 118, 95), "projected|beyond 90"),
        ((31, 117, 32, 118), "longitude comes first"),
        ((500_000, 3_500_000, 600_000, 3_600_000), "projected"),
        ((117, 31, 190, 32), "180th meridian"),
        ((float("nan"), 31, 118, 32), "finite"),
    ],
)
def test_a_box_that_is_none_is_refused(numbers: Sequence[float], words: str):
    with pytest.raises(SettingError, match=words):
        regions.box(*numbers)


@pytest.mark.parametrize("place", ["", "  ", "..."])
def test_a_place_without_a_name_is_refused(place):
    with pytest.raises(SettingError, match="empty"):
        regions.place(place)


def test_a_point_off_the_globe_is_refused():
    with pytest.raises(SettingError, match="longitude comes first"):
        regions.point(31.86, 117.27)


@pytest.mark.parametrize("asset", ["", "region", "projects/my project/assets/x", "projects//assets/x"])
def test_what_is_no_asset_id_is_refused(asset):
    with pytest.raises(SettingError, match="no asset id"):
        regions.asset(asset)


def test_a_table_is_all_of_its_features(earth):
    units(earth, "One", "Two", "Three")
    region = regions.asset(TABLE_ID)
    found = regions.extent(region, earth.value(regions.summary(region)))
    assert len(found.names) == 3
    assert found.bounds == pytest.approx((116, 31, 119, 32), abs=0.01)  # a table's edges are geodesics
    assert found.area_km2 == pytest.approx(3 * square_km2(116, 31, 117, 32), rel=1e-4)


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (regions.box(123, 31, 123.4, 31.5), "on the water"),
        (regions.place("Atlantis"), "matches nothing.*spelling"),
        (regions.point(123, 31), "matches nothing.*sea"),
        (regions.box(117, 31, 117.001, 31.001), "nothing can be mapped"),
    ],
    ids=["sea", "unknown", "point on the sea", "tiny"],
)
def test_what_cannot_be_mapped_is_told_from_one_request(earth, region, words):
    with pytest.raises(SettingError, match=words):
        regions.extent(region, earth.value(regions.summary(region)))


def test_of_several_places_the_message_names_each(earth):
    units(earth, "West Virginia", "Virginia Beach")
    region = regions.place("virginia")
    with pytest.raises(SettingError, match=r"2 places: Virginia Beach, West Virginia\..*country"):
        regions.extent(region, earth.value(regions.summary(region)))


def test_a_box_half_on_the_sea_tells_its_share_of_land(earth):
    """The coast of the simulated world runs near 121.3 E there."""
    region = regions.box(120.5, 32.4, 122.5, 32.8)
    found = regions.extent(region, earth.value(regions.summary(region)))
    assert 0.2 < found.land_share < 0.7


def told(**changed: Any) -> dict[str, Any]:
    one = {"matched": 1, "name": ["A"], "west": [117], "south": [31], "east": [118], "north": [32]}
    return one | {"km2": [10_500.0], "land_km2": [10_000.0]} | changed


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (told(west=[-180], east=[180]), "180th meridian"),
        (told(west=[179], east=[181]), "180th meridian"),
        (told(matched=1_001), "1,001 features.*dissolve"),
        (told(land_km2=[]), "on the water"),
        (told(matched=0, name=[]), "matches nothing"),
    ],
)  # fmt: skip
def test_a_table_that_is_no_region_is_refused(found, words):
    with pytest.raises(SettingError, match=words):
        regions.extent(regions.asset("projects/x/assets/y"), found)


def test_land_rounded_beyond_the_area_is_all_of_it():
    found = regions.extent(regions.asset("projects/x/assets/y"), told(land_km2=[10_501.0]))
    assert found == regions.Extent(("A",), (117, 31, 118, 32), 10_500.0, 1.0)
