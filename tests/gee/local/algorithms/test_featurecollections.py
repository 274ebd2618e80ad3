"""Arrays of properties, drawn points, and the geometry of collections."""

from __future__ import annotations

import ee
import numpy as np
import pytest
import shapely

from gee.local.algorithms.featurecollections import random_places
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry

TALL = Geometry(shapely.box(0, 0, 10, 80), geodesic=False)


def test_make_array_drops_incomplete_features(compute):
    rows = [{"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": "x"}]
    made = ee.FeatureCollection([ee.Feature(None, row) for row in rows]).makeArray(["a", "b"], "v")
    [only] = compute(made.toList(5))
    assert only.get("v").tolist() == [1, 2]


def test_points_are_uniform_by_area_of_the_sphere():
    places = random_places(TALL, 4000, 1)
    assert ((places[:, 0] >= 0) & (places[:, 0] <= 10)).all()
    # Area north of latitude p grows as sin(p): half of the box to 80 degrees lies south of 29.5 degrees.
    middle = np.degrees(np.arcsin(np.sin(np.radians(80)) / 2))
    share = (places[:, 1] < middle).mean()
    assert abs(share - 0.5) < 3 * 0.5 / np.sqrt(4000)


def test_points_stay_inside_and_repeat_by_seed():
    triangle = shapely.Polygon([(100, 30), (101, 30), (100, 31)])
    places = random_places(Geometry(triangle, geodesic=False), 500, 3)
    assert shapely.contains_xy(triangle, places[:, 0], places[:, 1]).all()
    assert np.array_equal(places, random_places(Geometry(triangle, geodesic=False), 500, 3))
    assert not np.array_equal(places, random_places(Geometry(triangle, geodesic=False), 500, 4))


def test_points_fall_on_parts_of_the_highest_dimension():
    mixed = shapely.GeometryCollection([shapely.Point(50, 50), shapely.LineString([(0, 0), (1, 0), (1, 3)])])
    places = random_places(Geometry(mixed, geodesic=False), 4000, 0)
    on_first = (np.abs(places[:, 1]) < 1e-9) & (places[:, 0] <= 1)
    assert (on_first | np.isclose(places[:, 0], 1)).all()
    # The edges are one and three degrees long, a degree of latitude 0.7 % shorter than one of the equator.
    assert abs(on_first.mean() - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 4000)


def test_random_points_are_numbered_features(compute):
    points = ee.FeatureCollection.randomPoints(ee.Geometry.Rectangle([0, 0, 1, 1]), 20, 5)
    assert compute(points.size()) == 20
    assert compute(points.aggregate_array("system:index"))[:2] == ["0", "1"]


def test_an_empty_region_has_no_points():
    with pytest.raises(EngineError, match="empty geometry"):
        random_places(Geometry(shapely.GeometryCollection()), 3, 0)


def overlapping():
    boxes = [[0, 0, 2, 1], [1, 0, 3, 1]]
    return ee.FeatureCollection(
        [ee.Feature(ee.Geometry.Rectangle(box, "EPSG:4326", False), {"n": 1}) for box in boxes]
    )


def test_union_dissolves_into_one_feature(compute):
    [only] = compute(overlapping().union(ee.ErrorMargin(1)).toList(5))
    assert only.properties == {"system:index": "union_result"}
    expected = shapely.box(0, 0, 3, 1)
    assert shapely.symmetric_difference(only.geometry.shape, expected).area < 1e-4


def test_bounds_hold_every_geometry(compute):
    left, bottom, right, top = compute(overlapping().bounds(1)).extent()
    assert (left, bottom, right, top) == pytest.approx((0, 0, 3, 1), abs=1e-4)


def test_geometry_of_points_is_a_multipoint(compute):
    points = ee.FeatureCollection([ee.Feature(ee.Geometry.Point(x, 0)) for x in (1, 2)])
    merged = compute(points.geometry())
    assert merged.type == "MultiPoint"
    assert shapely.get_coordinates(merged.shape).tolist() == [[1, 0], [2, 0]]
