import json
import math

import numpy as np
import pyproj
import pytest
import shapely

from gee.local.errors import EngineError
from gee.local.geometry.geometries import EVERYWHERE, Geometry
from gee.local.geometry.shapes import narrowest

ELLIPSOID = pyproj.Geod(ellps="WGS84")


def square(west, south, side):
    return [[west, south], [west + side, south], [west + side, south + side], [west, south + side]]


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Point", "coordinates": [117.5, 31.25]},
        {"type": "MultiPoint", "coordinates": [[1.0, 2.0], [3.0, 4.0]]},
        {"type": "LineString", "coordinates": [[1.0, 2.0], [3.0, 4.0]]},
        {"type": "LinearRing", "coordinates": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]},
        {"type": "MultiLineString", "coordinates": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]},
        {
            "geodesic": False,
            "type": "Polygon",
            "coordinates": [[[0.0, 0.0], [0.0, 3.0], [3.0, 3.0], [0.0, 0.0]]],
        },
        {"type": "MultiPolygon", "coordinates": [[[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]]},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1.0, 2.0]}]},
        {
            "geodesic": False,
            "crs": {"type": "name", "properties": {"name": "EPSG:32650"}},
            "type": "Point",
            "coordinates": [500000.0, 3500000.0],
        },
        {"type": "MultiPolygon", "coordinates": []},
    ],
    ids=lambda document: document["type"] + ("" if "crs" not in document else " in UTM"),
)
def test_geojson_comes_back_as_it_was_given(document):
    assert Geometry.from_geojson(document).as_json() == document


def test_edges_are_geodesic_by_default_in_degrees_only():
    assert Geometry.from_geojson({"type": "Point", "coordinates": [1, 2]}).geodesic
    projected = {
        "type": "Point",
        "coordinates": [1, 2],
        "crs": {"type": "name", "properties": {"name": "EPSG:3857"}},
    }
    assert not Geometry.from_geojson(projected).geodesic


def test_a_ring_is_closed_and_a_clockwise_one_stays_clockwise():
    ring = [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    assert Geometry.polygon(ring).as_json()["coordinates"] == [[*ring, ring[0]]]


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Triangle", "coordinates": []},
        {"type": "Point", "coordinates": ["a", 1]},
        {"type": "Point", "coordinates": [math.nan, 1]},
        {"type": "LineString", "coordinates": [[0, 0]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]},
        {"type": "Point"},
        {"coordinates": [0, 0]},
    ],
)
def test_what_is_no_geometry_is_refused(document):
    with pytest.raises(EngineError):
        Geometry.from_geojson(document)


@pytest.mark.parametrize(("lat", "side"), [(0, 0.001), (31, 0.1), (-45, 1), (70, 3)])
def test_area_and_perimeter_are_the_ellipsoids(lat, side):
    area, perimeter = ELLIPSOID.geometry_area_perimeter(shapely.Polygon(square(117, lat, side)))
    region = Geometry.polygon(square(117, lat, side))
    assert region.area() == pytest.approx(area, rel=1e-5)
    assert region.perimeter() == pytest.approx(perimeter, rel=1e-6)
    assert region.length() == 0


def test_area_of_straight_edges_is_that_between_parallels():
    # Area of a zone of the ellipsoid: integral of the meridian's and the parallel's radii over latitude.
    a, f = ELLIPSOID.a, ELLIPSOID.f
    e2 = f * (2 - f)
    lat = np.radians(np.linspace(20, 50, 20001))
    density = a**2 * (1 - e2) * np.cos(lat) / (1 - e2 * np.sin(lat) ** 2) ** 2
    zone = np.trapezoid(density, lat) * math.radians(60)
    assert Geometry.rectangle(100, 20, 160, 50).area() == pytest.approx(zone, rel=1e-6)


def test_the_whole_globe_has_the_ellipsoids_surface():
    assert EVERYWHERE.area() == pytest.approx(5.10065621724e14, rel=1e-9)  # WGS84, NIMA TR8350.2


def test_holes_count_off_and_members_of_a_multiple_count_each():
    outer, inner = square(0, 0, 4), square(1, 1, 2)
    hole = Geometry.from_geojson({"type": "Polygon", "coordinates": [outer, inner]})
    whole, part = Geometry.polygon(outer).area(), Geometry.polygon(inner).area()
    assert hole.area() == pytest.approx(whole - part, rel=1e-6)
    both = Geometry.from_geojson({"type": "MultiPolygon", "coordinates": [[outer], [inner]]})
    assert both.area() == pytest.approx(whole + part, rel=1e-9)


def test_the_inside_of_a_crossing_ring_is_by_the_even_odd_rule():
    bow = Geometry.polygon([[0, 0], [1, 1], [1, 0], [0, 1]])
    left = ELLIPSOID.geometry_area_perimeter(shapely.Polygon([[0, 0], [0.5, 0.5], [0, 1]]))[0]
    assert bow.area() == pytest.approx(2 * abs(left), rel=1e-4)
    assert not bow.shape_in("EPSG:4326").contains(shapely.Point(0.5, 0.2))


def test_a_clockwise_shell_by_the_left_inside_rule_encloses_everything_else():
    # The example of guides/geometric_operations.
    shell = shapely.Polygon([[-35, -10], [-35, 10], [35, 10], [35, -10]])
    outside, inside = (
        Geometry(shell, even_odd=False).shape_in("EPSG:4326"),
        Geometry(shell).shape_in("EPSG:4326"),
    )
    point = shapely.Point(1.5, 1.5)
    assert not outside.contains(point) and inside.contains(point)
    assert outside.contains(shapely.Point(100, 1.5))


def test_a_geodesic_edge_follows_the_great_circle():
    # Half way along two points of one parallel: tan(lat) = tan(60) / cos(35), by Napier's rule.
    highest = math.degrees(math.atan(math.tan(math.radians(60)) / math.cos(math.radians(35))))
    region = Geometry.polygon([[-5, 40], [65, 40], [65, 60], [-5, 60]])
    assert region.extent()[3] == pytest.approx(highest, abs=1e-5)
    straight = Geometry(region.shape, geodesic=False)
    assert straight.extent() == (-5, 40, 65, 60)


def test_flattening_stays_within_its_error():
    edge = Geometry(shapely.LineString([[100, 30], [130, 50]]))
    sphere = pyproj.Geod(a=6371000, b=6371000)
    along = np.array(sphere.npts(100, 30, 130, 50, 500))
    for error in (1000.0, 10.0):
        line = edge.globe(error)
        nearest = shapely.get_coordinates(line.interpolate(line.project(shapely.points(along))))
        assert sphere.inv(*along.T, *nearest.T)[2].max() < 1.1 * error
    fine, coarse = (shapely.get_num_coordinates(edge.globe(error)) for error in (10.0, 1000.0))
    assert 2 < coarse < fine < 500


def test_a_projected_shape_is_pyprojs():
    region = Geometry.from_geojson({"type": "LineString", "coordinates": [[116, 30], [117, 31], [118, 29]]})
    x, y = pyproj.Transformer.from_crs(4326, 32650, always_xy=True).transform([116, 117, 118], [30, 31, 29])
    placed = shapely.get_coordinates(region.shape_in("EPSG:32650"))
    for corner in zip(x, y, strict=True):
        assert np.abs(placed - corner).sum(axis=1).min() < 1e-6


def test_to_crs_and_back_keeps_the_place():
    region = Geometry.rectangle(500000, 3500000, 600000, 3600000, "EPSG:32650")
    back = region.to_crs("EPSG:4326", 0.1).to_crs("EPSG:32650", 0.1)
    assert back.shape_in("EPSG:32650").symmetric_difference(region.shape).area < 1.0 * region.shape.length
    assert region.to_crs("EPSG:32650") is region


def test_a_zero_error_is_refused_only_where_vertices_are_needed():
    assert Geometry(shapely.Point(1, 2)).to_crs("EPSG:3857", 0).type == "Point"
    with pytest.raises(EngineError, match="Please specify a non-zero error margin"):
        Geometry.polygon(square(0, 40, 10)).to_crs("EPSG:3857", 0)


def test_a_region_across_the_antimeridian_lies_on_both_ends_of_the_map():
    region = Geometry.polygon([[178, -2], [-178, -2], [-178, 2], [178, 2]])
    shape = region.shape_in("EPSG:4326")
    assert shape.contains(shapely.Point(179, 0)) and shape.contains(shapely.Point(-179, 0))
    assert not shape.contains(shapely.Point(0, 0))
    assert region.extent()[0::2] == (178, 182)
    assert region.area() == pytest.approx(Geometry.polygon(square(-2, -2, 4)).area(), rel=1e-9)
    # The zone west of the line sees it whole, the sinusoidal map in two parts at its ends.
    assert region.shape_in("EPSG:32660").geom_type == "Polygon"
    assert len(region.shape_in("SR-ORG:6974").geoms) == 2


def test_a_region_around_a_pole_holds_it():
    cap = Geometry.polygon([[0, 80], [90, 80], [180, 80], [-90, 80]])
    assert cap.extent()[3] == 90
    assert cap.shape_in("EPSG:3995").contains(shapely.Point(0, 0))
    assert cap.shape_in("EPSG:4326").contains(shapely.Point(123, 89.9))
    assert cap.area() == pytest.approx(
        abs(ELLIPSOID.geometry_area_perimeter(shapely.Polygon([[0, 80], [90, 80], [180, 80], [-90, 80]]))[0]),
        rel=2e-4,
    )


def test_the_whole_map_has_a_place_in_every_projection():
    left, bottom, right, top = EVERYWHERE.bounds_in("EPSG:3857")
    assert right == -left == pytest.approx(20037508.342789244)
    assert top == -bottom == pytest.approx(20048966.1, abs=1)  # EPSG's bounds of 3857
    zone = EVERYWHERE.shape_in("EPSG:32650")
    assert zone.covers(shapely.box(166021, 0, 833978, 9329005))  # the zone's area of use
    assert EVERYWHERE.bounds_in("SR-ORG:6974")[2] == pytest.approx(20015109.354, abs=0.01)


@pytest.mark.parametrize(
    ("spans", "stretch"),
    [
        ([(1, 2)], (1, 2)),
        ([(170, 175), (-175, -170)], (170, 190)),
        ([(0, 10), (100, 120)], (0, 120)),
        ([(-180, 180)], (-180, 180)),
        ([(185, 190)], (-175, -170)),
    ],
)
def test_the_narrowest_stretch_of_longitudes(spans, stretch):
    assert narrowest(spans) == stretch


def test_geometries_merge_without_dissolving():
    parts = [Geometry.polygon(square(0, 0, 2)), Geometry.polygon(square(1, 1, 2))]
    together = Geometry.merged(parts)
    assert together.type == "MultiPolygon"
    assert together.area() == pytest.approx(sum(part.area() for part in parts))
    assert Geometry.merged([parts[0], Geometry(shapely.Point(9, 9))]).type == "GeometryCollection"
    assert Geometry.merged([parts[0]]) is parts[0]
    assert Geometry.merged([]).is_empty


def test_too_many_edges_is_an_error(monkeypatch):
    monkeypatch.setattr("gee.local.geometry.shapes.MAX_EDGES", 50)
    with pytest.raises(EngineError, match=r"Geometry has too many edges \(\d+ > 50\)\."):
        Geometry.polygon([[-5, 40], [65, 40], [65, 60], [-5, 60]]).globe(0.01)


def test_the_outline_of_anhui_has_its_published_area(shared_data):
    feature = json.loads((shared_data / "anhui/boundary.geojson").read_text())["features"][0]
    area = Geometry.from_geojson(feature["geometry"]).area()
    assert area / 1e6 == pytest.approx(140_100, rel=0.01)
    assert area == pytest.approx(
        abs(ELLIPSOID.geometry_area_perimeter(shapely.geometry.shape(feature["geometry"]))[0]), rel=1e-6
    )
