import ee
import numpy as np
import pytest
import shapely

from gee.local.errors import EngineError

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
CLOSED = [*SQUARE, SQUARE[0]]


@pytest.mark.parametrize(
    ("make", "kind", "coordinates"),
    [
        (lambda: ee.Geometry.Point(1, 2), "Point", [1, 2]),
        (lambda: ee.Geometry.Point([ee.Number(1), 2]), "Point", [1, 2]),
        (lambda: ee.Geometry.MultiPoint([1, 2, 3, 4]), "MultiPoint", [[1, 2], [3, 4]]),
        (lambda: ee.Geometry.MultiPoint([]), "MultiPoint", []),
        (lambda: ee.Geometry.LineString([ee.Number(1), 2, 3, 4]), "LineString", [[1, 2], [3, 4]]),
        (lambda: ee.Geometry.LinearRing(SQUARE), "LinearRing", CLOSED),
        (lambda: ee.Geometry.Polygon(SQUARE), "Polygon", [CLOSED]),
        (lambda: ee.Geometry.Polygon([ee.Geometry.LinearRing(SQUARE)]), "Polygon", [CLOSED]),
        (lambda: ee.Geometry.MultiLineString([SQUARE]), "MultiLineString", [SQUARE]),
        (lambda: ee.Geometry.MultiPolygon([ee.Geometry.Polygon(SQUARE)]), "MultiPolygon", [[CLOSED]]),
        (
            lambda: ee.Geometry.LineString([ee.Geometry.Point(1, 2), ee.Geometry.Point(3, 4)]),
            "LineString",
            [[1, 2], [3, 4]],
        ),
    ],
)
def test_a_constructor_makes_its_type_of_its_coordinates(compute, make, kind, coordinates):
    geometry = make()
    assert compute(geometry).as_json() == {"type": kind, "coordinates": coordinates}
    assert compute(geometry.type()) == kind
    assert compute(geometry.coordinates()) == coordinates


def test_a_rectangle_is_the_same_from_the_client_and_from_computed_corners(compute):
    here = compute(ee.Geometry.Rectangle([1, 2, 3, 4]))
    there = compute(ee.Geometry.Rectangle([ee.Number(1), 2, 3, 4]))
    corners = compute(ee.Geometry.Rectangle([ee.Geometry.Point(1, 2), ee.Geometry.Point(3, 4)]))
    assert here == there == corners
    assert here.shape.bounds == (1, 2, 3, 4)


def test_a_box_is_planar_and_runs_eastwards(compute):
    box = compute(ee.Geometry.BBox(170, ee.Number(-100), -170, 10))
    assert not box.geodesic
    assert box.shape.bounds == (170, -90, 190, 10)
    assert compute(ee.Geometry.BBox(-200, ee.Number(0), 200, 10)).shape.bounds == (-180, 0, 180, 10)
    assert compute(ee.Geometry.BBox(170, ee.Number(-100), -170, 10)) == compute(
        ee.Geometry.BBox(170, -100, -170, 10)
    )


def test_edges_and_projection_are_those_asked_for_or_those_of_the_inputs(compute):
    projected = ee.Geometry.Point([500000, 3500000], "EPSG:32650")
    assert compute(projected.projection()).crs == "EPSG:32650"
    line = compute(ee.Geometry.LineString([projected, ee.Geometry.Point([600000, 3500000], "EPSG:32650")]))
    assert line.crs == "EPSG:32650" and not line.geodesic
    assert not compute(ee.Geometry.Polygon(SQUARE, None, False).geodesic())
    assert compute(ee.Geometry.Polygon(SQUARE).edgesAreGeodesics())
    assert not compute(
        ee.Geometry({"type": "LineString", "coordinates": SQUARE, "geodesic": False}).geodesic()
    )


def test_points_of_another_projection_are_transformed(compute):
    utm = ee.Geometry.Point([500000, 0], "EPSG:32650")
    line = compute(ee.Geometry.LineString([ee.Geometry.Point(116, 0), utm]))
    assert line.crs == "EPSG:4326"
    assert list(line.shape.coords)[1] == pytest.approx((117, 0), abs=1e-9)  # the zone's central meridian


def test_a_collection_of_geometries_gives_its_members(compute):
    members = [{"type": "Point", "coordinates": [1.0, 2.0]}, {"type": "Polygon", "coordinates": [CLOSED]}]
    collection = ee.Geometry({"type": "GeometryCollection", "geometries": members})
    assert compute(collection).as_json() == {"type": "GeometryCollection", "geometries": members}
    assert [part.as_json() for part in compute(collection.geometries())] == members
    points = compute(ee.Geometry.MultiPoint([[1, 2], [3, 4]]).geometries())
    assert [point.type for point in points] == ["Point", "Point"]
    assert len(compute(ee.Geometry.Point(1, 2).geometries())) == 1


def test_what_becomes_a_geometry(compute):
    square = ee.Geometry.Polygon(SQUARE)
    area = compute(square.area())
    feature = ee.Feature(square, {"a": 1})
    assert compute(ee.Geometry(feature.geometry()).area()) == area
    point = ee.Geometry.Point(0.5, 0.5)
    collection = ee.FeatureCollection([feature, ee.Feature(ee.Geometry.Point(9, 9)), ee.Feature(None)])
    assert compute(point.intersects(collection))
    assert compute(ee.Geometry.Point(9, 9).intersects(collection))
    assert not compute(ee.Geometry.Point(5, 5).intersects(collection))
    document = ee.Dictionary({"region": {"type": "Polygon", "coordinates": [CLOSED]}}).get("region")
    assert compute(ee.Geometry(document).area()) == area
    assert not compute(square.isUnbounded())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ee.Geometry.Point(ee.List([1, 2, 3])),
            "GeometryConstructors.Point: .*requires 2 coordinates",
        ),
        (lambda: ee.Geometry.LineString([ee.Number(1), 2, 3]), "Invalid number of coordinates"),
        (lambda: ee.Geometry.Rectangle([ee.Number(1), 2, 3, 4, 5, 6]), "requires 2 points or 4 coordinates"),
        (lambda: ee.Geometry.Polygon([[0, 0], [1, 1]]), "at least 3 points"),
        (lambda: ee.Geometry.LineString(["x", ee.Number(1)]), "Coordinates must be numbers or geometries"),
        (lambda: ee.Geometry.Polygon(SQUARE, "EPSG:1"), "could not be parsed: 'EPSG:1'"),
    ],
)
def test_bad_coordinates_are_refused_with_the_reason(compute, make, message):
    with pytest.raises(EngineError, match=message):
        compute(make())


# Corners by the s2sphere library, version 0.2.5.
CELLS = [
    (
        "0x3433655000000000",
        [(116.9852421934, 30.9850195837), (117.0087876635, 30.9797256311)],
        [(117.0087876635, 31.0009555603), (116.9852421934, 31.0062516007)],
    ),
    (
        "0x808fb00000000000",
        [(-122.3560951837, 37.4859025807), (-122.3560951837, 37.1789832809)],
        [(-121.9928077959, 37.2890846397), (-121.9928077959, 37.5963256123)],
    ),
    (
        "0x457903d6025b444f",
        [(10.0000002047, 79.9999999668), (10.0000002911, 80.0000000506)],
        [(9.9999998758, 80.0000000631), (9.9999997894, 79.9999999793)],
    ),
    (
        "0x1000000000000000",
        [(-45.0, -35.2643896828), (45.0, -35.2643896828)],
        [(45.0, 35.2643896828), (-45.0, 35.2643896828)],
    ),
]


@pytest.mark.parametrize(("token", "first", "last"), CELLS, ids=[cell[0] for cell in CELLS])
def test_an_s2_cell_has_the_corners_of_the_grid(compute, token, first, last):
    cell = compute(ee.Geometry.fromS2CellToken(token))
    np.testing.assert_allclose(shapely.get_coordinates(cell.shape)[:4], [*first, *last], atol=2e-10)
    assert compute(ee.Geometry.fromS2CellId(ee.Number(int(token, 16)))).shape.equals(cell.shape)


def test_a_number_that_is_no_s2_cell_is_refused(compute):
    for token in ("0x0", "0xf000000000000000", "xyz"):
        with pytest.raises(EngineError, match="Invalid S2 cell"):
            compute(ee.Geometry.fromS2CellToken(token))


def test_coordinates_are_in_the_pixels_of_a_projection(compute):
    """Exports fold their grid into the graph as a rectangle of pixels of the image's projection."""
    projection = ee.Projection("EPSG:32650", [100, 0, 400_000, 0, -100, 3_600_000])
    rectangle = compute(ee.Geometry.Rectangle([0, 0, 30, 20], projection, geodesic=False))
    assert rectangle.crs == "EPSG:32650"
    assert rectangle.shape.bounds == (400_000, 3_598_000, 403_000, 3_600_000)
