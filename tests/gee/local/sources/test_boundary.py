"""The provinces meet without gap or overlap, and Anhui has Anhui's area."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from pyproj import Geod
from shapely import unary_union
from shapely.geometry import Point, shape
from shapely.geometry.base import BaseGeometry

from gee.local.sources.boundary import BOUNDARIES

ANHUI_KM2 = 140_100


@pytest.fixture(scope="module")
def provinces() -> dict[str, BaseGeometry]:
    return {
        str(row["shapeName"]).removesuffix(" Province"): shape(geometry)
        for geometry, row in BOUNDARIES.features()
    }


def test_area_of_anhui(provinces: dict[str, BaseGeometry]) -> None:
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(provinces["Anhui"])
    assert area > 0  # counter-clockwise
    assert area / 1e6 == pytest.approx(ANHUI_KM2, rel=0.05)


def test_provinces_do_not_overlap_and_leave_no_gap_around_anhui(provinces: dict[str, BaseGeometry]) -> None:
    assert all(province.is_valid for province in provinces.values())
    for one, other in combinations(provinces.values(), 2):
        assert one.intersection(other).area == pytest.approx(0, abs=1e-9)
    assert provinces["Anhui"].within(unary_union([*provinces.values()]).buffer(-0.001))


@pytest.mark.parametrize(
    ("lon", "lat", "name"),
    [
        (117.27, 31.86, "Anhui"),  # Hefei
        (118.34, 29.72, "Anhui"),  # Huangshan
        (116.96, 33.64, "Anhui"),  # Suzhou
        (118.78, 32.05, "Jiangsu"),  # Nanjing
        (117.20, 34.26, "Jiangsu"),  # Xuzhou
        (120.15, 30.28, "Zhejiang"),  # Hangzhou
        (115.89, 28.68, "Jiangxi"),  # Nanchang
        (114.30, 30.59, "Hubei"),  # Wuhan
        (115.65, 34.44, "Henan"),  # Shangqiu
        (117.00, 36.66, "Shandong"),  # Jinan
    ],
)
def test_cities_lie_in_their_province(
    provinces: dict[str, BaseGeometry], lon: float, lat: float, name: str
) -> None:
    assert [key for key, province in provinces.items() if province.contains(Point(lon, lat))] == [name]


def test_anhui_is_where_it_really_is(provinces: dict[str, BaseGeometry], shared_data: Path) -> None:
    real = shape(json.loads((shared_data / "anhui/boundary.geojson").read_text())["features"][0]["geometry"])
    drawn = provinces["Anhui"]
    assert drawn.intersection(real).area / drawn.union(real).area > 0.93
