import ee
import pyproj
import pytest

from gee.local.errors import EngineError
from gee.local.geometry.projections import Projection

PARIS = (
    'PROJCS["NTF (Paris) / Lambert zone II", GEOGCS["NTF (Paris)", '
    'DATUM["Nouvelle Triangulation Francaise (Paris)", SPHEROID["Clarke 1880 (IGN)", 6378249.2, '
    '293.4660212936269, AUTHORITY["EPSG","7011"]], AUTHORITY["EPSG","6807"]], '
    'PRIMEM["Paris", 2.5969213, AUTHORITY["EPSG","8903"]], UNIT["grade", 0.015707963267948967], '
    'AXIS["Geodetic longitude", EAST], AXIS["Geodetic latitude", NORTH], AUTHORITY["EPSG","4807"]], '
    'PROJECTION["Lambert_Conformal_Conic_1SP", AUTHORITY["EPSG","9801"]], '
    'PARAMETER["central_meridian", 0.0], PARAMETER["latitude_of_origin", 52.0], '
    'PARAMETER["scale_factor", 0.99987742], PARAMETER["false_easting", 600000.0], '
    'PARAMETER["false_northing", 2200000.0], UNIT["m", 1.0], AXIS["Easting", EAST], '
    'AXIS["Northing", NORTH], AUTHORITY["EPSG","27572"]]'
)


def test_a_code_has_the_identity_transform(compute):
    # Printed so in apidocs/ee-projection.
    assert compute(ee.Projection("EPSG:3857")).as_json() == {
        "type": "Projection",
        "crs": "EPSG:3857",
        "transform": [1, 0, 0, 0, 1, 0],
    }


def test_wkt_that_matches_a_code_is_called_by_it(compute):
    # The example of apidocs/ee-projection.
    assert compute(ee.Projection(PARIS)).crs == "EPSG:27572"
    assert compute(ee.Projection(PARIS).crs()) == "EPSG:27572"


def test_a_system_of_no_code_has_none(compute):
    odd = pyproj.CRS.from_proj4("+proj=laea +lat_0=31.7 +lon_0=117.3 +datum=WGS84 +units=m").to_wkt(
        "WKT1_GDAL"
    )
    assert compute(ee.Projection(odd).crs()) is None
    assert compute(ee.Projection(odd).nominalScale()) == 1


@pytest.mark.parametrize(
    ("code", "transform", "metres"),
    [
        ("EPSG:4326", None, 6378137 * 3.141592653589793 / 180),
        ("EPSG:32650", [30, 0, 399960, 0, -30, 3600000], 30),
        ("SR-ORG:6974", [926.625433056, 0, 0, 0, -926.625433055, 0], 926.625433056),
        ("EPSG:2263", None, 1200 / 3937),  # New York, in US survey feet
    ],
)
def test_nominal_scale_is_metres_of_a_unit(compute, code, transform, metres):
    assert compute(ee.Projection(code, transform).nominalScale()) == pytest.approx(metres, rel=1e-9)


def test_at_scale_keeps_origin_and_direction(compute):
    image = ee.Projection("EPSG:32650", [30, 0, 399960, 0, -30, 3600000])
    assert compute(image.atScale(90)).transform == (90, 0, 399960, 0, -90, 3600000)
    degrees = compute(ee.Projection("EPSG:4326").atScale(1000))
    # The pixel size of Earth Engine's 1000 m exports in degrees.
    assert degrees.transform == pytest.approx(
        (0.008983152841195215, 0, 0, 0, 0.008983152841195215, 0), rel=1e-15
    )


def test_scale_and_translate_move_in_units_of_pixels(compute):
    grid = ee.Projection("EPSG:32650", [30, 0, 399960, 0, -30, 3600000])
    assert compute(grid.scale(2, 3)).transform == (60, 0, 399960, 0, -90, 3600000)
    assert compute(grid.translate(10, 20)).transform == (30, 0, 400260, 0, -30, 3599400)


def test_the_transform_as_text_makes_the_same_projection(compute):
    grid = ee.Projection("EPSG:32650", [30, 0.5, 399960.25, -1.5, -30, 3600000])
    text = compute(grid.transform())
    assert text.startswith('PARAM_MT["Affine"') and 'PARAMETER["elt_0_2", 399960.25]' in text
    assert compute(ee.Projection("EPSG:32650", None, text)) == compute(grid)


def test_wkt_is_of_the_same_system(compute):
    assert pyproj.CRS.from_wkt(compute(ee.Projection("EPSG:32650").wkt())) == pyproj.CRS.from_epsg(32650)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ee.Projection("nonsense"), "could not be parsed: 'nonsense'"),
        (lambda: ee.Projection("EPSG:4326", [1, 2]), "6 numbers"),
        (lambda: ee.Projection("EPSG:4326", [1, 0, 0, 0, 1, 0], "PARAM_MT"), "May not specify both"),
        (lambda: ee.Projection("EPSG:4326").atScale(0), "must be positive"),
        (lambda: ee.Projection("EPSG:4326", None, "GEOGCS[]"), "no affine WKT"),
    ],
)
def test_bad_projections_are_refused(compute, make, message):
    with pytest.raises(EngineError, match=message):
        compute(make())


def test_a_code_is_a_projection_wherever_one_is_asked_for(compute):
    assert compute(ee.Geometry.Point(1, 2).transform("epsg:4326", 1)).crs == "EPSG:4326"
    assert Projection().is_default
