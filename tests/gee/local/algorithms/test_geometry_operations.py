import math

import ee
import numpy as np
import pyproj
import pytest
import shapely

from gee.local.errors import EngineError

ELLIPSOID = pyproj.Geod(ellps="WGS84")
UTM = pyproj.Transformer.from_crs(4326, 32650, always_xy=True)


def box(west, south, east, north):
    return ee.Geometry.Rectangle([west, south, east, north], None, False)


def metres(start, end):
    return ELLIPSOID.inv(*start, *end)[2]


def corners(geometry):
    return shapely.get_coordinates(geometry.shape)


@pytest.mark.parametrize(("lon", "lat"), [(117, 31), (179.99, 0), (0, 89.9), (-60, -75)])
@pytest.mark.parametrize(("radius", "error"), [(100, None), (50_000, None), (2e6, 1000)])
def test_a_points_buffer_is_the_distance_away_all_round(compute, lon, lat, radius, error):
    buffer = compute(ee.Geometry.Point(lon, lat).buffer(radius, error))
    ring = corners(buffer)
    away = ELLIPSOID.inv(np.full(len(ring), lon), np.full(len(ring), lat), *ring.T)[2]
    np.testing.assert_allclose(away, radius, rtol=1e-6)
    # The chords stay within the error: by default a hundredth of the distance.
    sagitta = radius * (1 - math.cos(math.pi / (len(ring) - 1)))
    assert sagitta <= (error or radius / 100)


def test_a_lines_buffer_has_its_length_by_its_width(compute):
    line = ee.Geometry.LineString([[0, 0], [30, 40]])
    expected = 2000 * metres((0, 0), (30, 40)) + math.pi * 1e6
    assert compute(line.buffer(1000, 1).area(1)) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("distance", [20_000, -20_000, 300_000])
def test_a_polygons_buffer_is_the_distance_from_its_border(compute, distance):
    region = ee.Geometry.Polygon([[100, 30], [110, 28], [112, 38], [101, 40]])
    ring = corners(compute(region.buffer(distance, 50)))
    line = compute(ee.Geometry.LinearRing([[100, 30], [110, 28], [112, 38], [101, 40]]))
    border = shapely.get_coordinates(shapely.segmentize(line.globe(), 0.02))
    for lon, lat in ring[:: max(1, len(ring) // 25)]:
        away = ELLIPSOID.inv(np.full(len(border), lon), np.full(len(border), lat), *border.T)[2].min()
        assert away == pytest.approx(abs(distance), abs=55)


def test_a_buffer_in_a_projection_is_in_its_units(compute):
    point = ee.Geometry.Point([500000, 3500000], "EPSG:32650")
    buffer = compute(point.buffer(1000, 0.1, "EPSG:32650"))
    assert buffer.crs == "EPSG:32650"
    assert buffer.shape.area == pytest.approx(math.pi * 1e6, rel=1e-3)
    np.testing.assert_allclose(np.hypot(*(corners(buffer) - [500000, 3500000]).T), 1000)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((117, 31), (118, 32)),
        ((170, 5), (-170, -5)),
        ((0, 0), (120, 60)),
        ((0, 89), (180, 89)),
    ],
)
def test_distance_of_points_is_the_ellipsoids(compute, left, right):
    a, b = ee.Geometry.Point(*left), ee.Geometry.Point(*right)
    exact = metres(left, right)
    assert compute(a.distance(b)) == pytest.approx(exact, abs=1e-3)
    assert compute(a.withinDistance(b, exact + 1)) and not compute(a.withinDistance(b, exact - 1))
    angle = pyproj.Geod(a=1, b=1).inv(*left, *right)[2]
    assert compute(a.distance(b, spherical=True)) == pytest.approx(angle * 6.371e6, rel=1e-5)


def test_distance_to_an_edge_is_to_its_nearest_place(compute):
    line, point = ee.Geometry.LineString([[100, 30], [120, 35]]), ee.Geometry.Point(112, 25)
    sphere = pyproj.Geod(a=6371000, b=6371000)
    along = np.array(sphere.npts(100, 30, 120, 35, 20_000))
    away = ELLIPSOID.inv(np.full(len(along), 112), np.full(len(along), 25), *along.T)[2]
    assert compute(point.distance(line, 1)) == pytest.approx(away.min(), abs=1)
    nearest = compute(point.closestPoint(line, 1)).shape
    assert metres((nearest.x, nearest.y), along[away.argmin()]) < 500
    both = compute(point.closestPoints(line, 1))
    assert both["left"].shape.coords[0] == pytest.approx((112, 25), abs=1e-9)
    assert both["right"].shape.equals(nearest)


def test_geometries_that_meet_are_at_no_distance(compute):
    a, b = box(0, 0, 2, 2), box(1, 1, 3, 3)
    assert compute(a.distance(b)) == 0
    point = compute(a.closestPoint(b)).shape
    assert 1 <= point.x <= 2 and 1 <= point.y <= 2


def test_to_nothing_the_distance_is_infinite_and_no_point_is_closest(compute):
    nothing, point = ee.Geometry.MultiPoint([]), ee.Geometry.Point(1, 2)
    assert compute(point.distance(nothing)) == math.inf
    assert compute(point.closestPoint(nothing)) is None
    assert compute(point.closestPoints(nothing)) == {}


# name, west/south/east/north of a square of straight edges beside box(0, 0, 2, 2), and what holds.
PLACES = [
    ("inside", (0.5, 0.5, 1, 1), {"contains", "intersects"}),
    ("across", (1, 1, 3, 3), {"intersects"}),
    ("beside", (2, 0, 4, 2), {"intersects"}),
    ("away", (5, 5, 6, 6), {"disjoint"}),
    ("around", (-1, -1, 3, 3), {"containedIn", "intersects"}),
    ("equal", (0, 0, 2, 2), {"contains", "containedIn", "intersects"}),
]


@pytest.mark.parametrize(("name", "place", "holds"), PLACES, ids=[place[0] for place in PLACES])
@pytest.mark.parametrize("geodesic", [False, True])
def test_predicates(compute, name, place, holds, geodesic):
    a = ee.Geometry.Rectangle([0, 0, 2, 2], None, geodesic)
    b = ee.Geometry.Rectangle(list(place), None, geodesic)
    found = {
        test
        for test in ("contains", "containedIn", "disjoint", "intersects")
        if compute(getattr(a, test)(b, 1))
    }
    assert found == holds


def test_the_left_inside_rule_of_the_guide(compute):
    # guides/geometric_operations: prints false, then true.
    ring = [[[-35, -10], [-35, 10], [35, 10], [35, -10], [-35, -10]]]
    hole = ee.Geometry({"type": "Polygon", "coordinates": ring, "evenOdd": False})
    point = ee.Geometry.Point([1.5, 1.5])
    assert not compute(hole.contains(point))
    assert compute(ee.Geometry(hole, None, None, True).contains(point))


@pytest.mark.parametrize("operation", ["intersection", "union", "difference", "symmetricDifference"])
def test_set_operations_on_one_plane_are_shapelys(compute, operation):
    a, b = shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)
    expected = getattr(shapely, "symmetric_difference" if operation == "symmetricDifference" else operation)(
        a, b
    )
    found = compute(getattr(box(0, 0, 2, 2), operation)(box(1, 1, 3, 3), 1))
    assert not found.geodesic and found.shape.equals(expected)
    inside = compute(getattr(box(0, 0, 2, 2), operation)(box(1, 1, 3, 3), 1, "EPSG:4326"))
    assert inside.shape.equals(expected)


def test_set_operations_on_the_globe_keep_areas_and_given_vertices(compute):
    # The circles of guides/geometric_operations.
    a, b = (ee.Geometry.Point([lon, 30]).buffer(1e6) for lon in (-50, -40))
    area = {name: compute(getattr(a, name)(b, 1).area(1)) for name in ("intersection", "union", "difference")}
    both = compute(a.area(1)) + compute(b.area(1))
    assert area["intersection"] + area["union"] == pytest.approx(both, rel=1e-6)
    assert area["difference"] + area["intersection"] == pytest.approx(compute(a.area(1)), rel=1e-6)
    given = {tuple(corner) for corner in corners(compute(a)).tolist()}
    kept = {tuple(corner) for corner in corners(compute(a.difference(b, 1))).tolist()}
    assert len(given & kept) > len(given) / 2


def test_set_operations_across_the_antimeridian_and_round_the_pole(compute):
    a, b = ee.Geometry.Point(179, 0).buffer(3e5), ee.Geometry.Point(-179, 0).buffer(3e5)
    shared = compute(a.intersection(b, 1))
    assert compute(a.intersection(b, 1).contains(ee.Geometry.Point(180, 0)))
    assert shared.area() < compute(a.area())
    cap = ee.Geometry.Point(0, 89).buffer(3e5)
    assert compute(cap.contains(ee.Geometry.Point(180, 89.5)))
    assert compute(cap.union(ee.Geometry.Point(180, 89).buffer(3e5), 1).type()) == "Polygon"


def test_nothing_in_common_is_an_empty_collection(compute):
    found = compute(box(0, 0, 1, 1).intersection(ee.Geometry.Rectangle([5, 5, 6, 6]), 1))
    assert found.is_empty and found.as_json() == {"type": "GeometryCollection", "geometries": []}


def test_dissolve_unites_what_overlaps(compute):
    both = ee.Geometry.MultiPolygon(
        [[[[0, 0], [2, 0], [2, 2], [0, 2]]], [[[1, 1], [3, 1], [3, 3], [1, 3]]]], None, False
    )
    whole = compute(both.dissolve(1))
    assert whole.type == "Polygon"
    assert whole.shape.area == pytest.approx(7)
    assert compute(ee.Geometry.Point(1, 2).dissolve()).type == "Point"


def test_bounds_hold_the_bulge_of_geodesic_edges(compute):
    flat, round_ = (
        compute(box(0, 40, 40, 50).bounds()),
        compute(ee.Geometry.Rectangle([0, 40, 40, 50]).bounds(1)),
    )
    assert flat.shape.bounds == (0, 40, 40, 50) and not flat.geodesic
    top = math.degrees(math.atan(math.tan(math.radians(50)) / math.cos(math.radians(20))))  # Napier's rule
    assert round_.shape.bounds[3] == pytest.approx(top, abs=1e-5)
    projected = compute(box(116, 30, 117, 31).bounds(1, "EPSG:32650"))
    x, y = UTM.transform([116, 117, 117, 116], [30, 30, 31, 31])
    left, bottom, right, top = projected.shape.bounds
    assert projected.crs == "EPSG:32650"
    assert (left, bottom) == pytest.approx((min(x), min(y)), abs=2)
    assert (right, top) == pytest.approx((max(x), max(y)), abs=2)


def test_centroids(compute):
    assert compute(box(0, 0, 4, 2).centroid()).as_json()["coordinates"] == [2, 1]
    # An eighth of the sphere has its middle where x = y = z.
    octant = compute(ee.Geometry.Polygon([[0, 0], [90, 0], [0, 90]]).centroid(1)).shape
    assert (octant.x, octant.y) == pytest.approx((45, math.degrees(math.asin(1 / math.sqrt(3)))), abs=1e-9)
    # A small one has the middle of a plane that is true to area there.
    small = [[117, 31], [117.02, 31], [117.02, 31.03], [117.01, 31.01]]
    plane = pyproj.Proj("+proj=laea +lat_0=31 +lon_0=117 +R=6371000")
    middle = shapely.Polygon(np.column_stack(plane(*np.array(small).T))).centroid
    found = compute(ee.Geometry.Polygon(small).centroid(0.01)).shape
    assert metres((found.x, found.y), plane(middle.x, middle.y, inverse=True)) < 0.01
    members = [{"type": "Point", "coordinates": [50, 50]}, {"type": "Polygon", "coordinates": [small]}]
    mixed = ee.Geometry({"type": "GeometryCollection", "geometries": members})
    again = compute(mixed.centroid(0.01)).shape
    assert (again.x, again.y) == pytest.approx((found.x, found.y), abs=1e-9)
    line = compute(ee.Geometry.LineString([[10, 0], [20, 0], [20, 0.0001]]).centroid(0.01)).shape
    assert line.x == pytest.approx(15, abs=1e-3)


def test_the_hull_of_points(compute):
    points = ee.Geometry.MultiPoint([[0, 0], [4, 0], [4, 3], [0, 3], [2, 1]])
    hull = compute(points.convexHull(1))
    assert {tuple(corner) for corner in corners(hull).tolist()} == {(0, 0), (4, 0), (4, 3), (0, 3)}
    assert compute(ee.Geometry.Point(1, 2).convexHull()).type == "Point"
    assert compute(ee.Geometry.MultiPoint([[0, 0], [1, 0], [2, 0]]).convexHull()).type == "LineString"


def test_simplify_leaves_out_what_is_within_the_error(compute):
    line = ee.Geometry.LineString([[0, 0], [0.5, 0.0005], [1, 0]])  # 55 m aside
    assert len(corners(compute(line.simplify(50)))) == 3
    assert compute(line.simplify(60)).as_json()["coordinates"] == [[0, 0], [1, 0]]
    projected = ee.Geometry.LineString([[0, 0], [500, 55], [1000, 0]], "EPSG:32650")
    assert len(corners(compute(projected.simplify(50)))) == 3
    assert len(corners(compute(projected.simplify(60)))) == 2


def test_measures_in_a_projection_are_in_its_units(compute):
    region = ee.Geometry.Rectangle([500000, 3500000, 501000, 3502000], "EPSG:32650", False)
    assert compute(region.area(1, "EPSG:32650")) == pytest.approx(2e6)
    assert compute(region.perimeter(1, "EPSG:32650")) == pytest.approx(6000)
    line = ee.Geometry.LineString([[500000, 3500000], [503000, 3504000]], "EPSG:32650")
    assert compute(line.length(1, "EPSG:32650")) == pytest.approx(5000)
    assert compute(line.length(1)) == pytest.approx(5000 / 0.9996, rel=1e-6)  # the zone's scale at its middle
    assert compute(region.length()) == 0 and compute(line.perimeter()) == 0 and compute(line.area()) == 0


def test_transform_flattens_within_the_error(compute):
    region = ee.Geometry.Rectangle([110, 30, 120, 40])
    there = compute(region.transform("EPSG:32650", 10))
    assert there.crs == "EPSG:32650" and not there.geodesic
    sphere = pyproj.Geod(a=6371000, b=6371000)
    edge = np.array(sphere.npts(110, 40, 120, 40, 99))
    x, y = UTM.transform(*edge.T)
    assert shapely.distance(there.shape.exterior, shapely.points(x, y)).max() < 11
    with pytest.raises(EngineError, match="Please specify a non-zero error margin"):
        compute(region.transform("EPSG:32650", 0))


def test_lines_are_cut_where_they_are_so_long(compute):
    # The example of apidocs/ee-geometry-linestring-cutlines.
    start, end = (-122.09, 37.42), (-122.08, 37.43)
    pieces = compute(ee.Geometry.LineString([start, end]).cutLines([10, 100], 1))
    lengths = [
        sum(metres(*ends) for ends in zip(p.coords[:-1], p.coords[1:], strict=True))
        for p in pieces.shape.geoms
    ]
    assert lengths == pytest.approx([10, 90, metres(start, end) - 100], abs=1e-3)
    planar = compute(
        ee.Geometry.LineString([[0, 0], [10, 0], [10, 5]], None, False).cutLines([2, 10, 12], 1, "EPSG:4326")
    )
    assert [list(piece.coords) for piece in planar.shape.geoms] == [
        [(0, 0), (2, 0)], [(2, 0), (10, 0)], [(10, 0), (10, 2)], [(10, 2), (10, 5)]]  # fmt: skip
    assert compute(box(0, 0, 1, 1).cutLines([5])).as_json()["coordinates"] == []


def test_the_covering_grid_has_the_cells_that_meet_the_region(compute):
    # The example of apidocs/ee-geometry-coveringgrid, which looks for the cell "18,551".
    region = ee.Geometry.Point(31.6, -8.54).buffer(100_000)
    cells = {
        cell.properties["system:index"]: cell.geometry
        for cell in compute(region.coveringGrid("EPSG:32736", 2**14))
    }
    assert cells["18,551"].shape.bounds == (18 * 2**14, 551 * 2**14, 19 * 2**14, 552 * 2**14)
    circle = compute(region).shape_in("EPSG:32736")
    left, bottom, right, top = (math.floor(bound / 2**14) for bound in circle.bounds)
    meeting = {
        f"{column},{row}"
        for column in range(left, right + 1)
        for row in range(bottom, top + 1)
        if shapely.box(*(2**14 * np.array([column, row, column + 1, row + 1]))).intersects(circle)
    }
    assert cells.keys() == meeting
    grid = ee.Projection("EPSG:4326", [0.5, 0, 0, 0, -0.5, 0])
    assert [
        cell.properties["system:index"] for cell in compute(box(0.1, 0.1, 0.9, 0.4).coveringGrid(grid))
    ] == ["0,-1", "1,-1"]
    with pytest.raises(EngineError, match="specify a larger scale"):
        compute(region.coveringGrid("EPSG:32736"))


def test_error_margins_have_units(compute):
    line = ee.Geometry.LineString([[0, 40], [40, 40]])
    counts = [
        len(corners(compute(line.transform("EPSG:3857", ee.ErrorMargin(*margin)))))
        for margin in ((1000,), (1000, "meters"), (1000, "projected"), (0, "infinite"))
    ]
    assert counts[0] == counts[1] == counts[2] > counts[3] == 2


def test_an_unbounded_geometry_has_no_size(compute):
    everywhere = ee.Image.constant(1).geometry()
    assert compute(everywhere.isUnbounded())
    assert compute(everywhere.contains(ee.Geometry.Point(1, 2)))
    with pytest.raises(EngineError, match="must not be unbounded"):
        compute(everywhere.area())


def test_too_large_a_buffer_is_refused(compute):
    with pytest.raises(EngineError, match="half of the globe"):
        compute(ee.Geometry.Point(0, 0).buffer(1.2e7))
