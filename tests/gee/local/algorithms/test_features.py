import ee
import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.registry import promote
from gee.local.values import Collection

PROPERTIES = {"a1": 1, "a2": 2.5, "name": "x", "system:index": "abc123"}


def feature():
    return ee.Feature(ee.Geometry.Point(1, 2), PROPERTIES)


def test_a_feature_holds_a_geometry_and_properties(compute):
    made = compute(feature())
    assert dict(made.properties) == PROPERTIES
    assert made.geometry.as_json() == {"type": "Point", "coordinates": [1, 2]}
    assert compute(ee.Feature(None)).geometry is None


def test_a_feature_from_geojson_has_its_id_as_index(compute):
    document = {
        "type": "Feature",
        "id": "7",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": {"a": 1},
    }
    made = compute(ee.Feature(document))
    assert made.properties["a"] == 1 and made.properties["system:index"] == "7"


def test_the_id_is_the_index(compute):
    # The examples of apidocs/ee-feature.
    assert compute(ee.Feature(None, {"id": "yada"}).id()) is None
    assert compute(ee.Feature(None, {"system:index": "abc123"}).id()) == "abc123"


@pytest.mark.parametrize(
    ("selectors", "names", "kept"),
    [
        (["a1"], None, {"a1": 1}),
        (["a.*"], None, {"a1": 1, "a2": 2.5}),
        (["name", "a1"], ["n", "a"], {"n": "x", "a": 1}),
        (["absent"], None, {}),
        ([".*"], None, {"a1": 1, "a2": 2.5, "name": "x"}),
    ],
)
def test_select_keeps_and_renames_by_name_or_pattern(compute, selectors, names, kept):
    selected = compute(feature().select(selectors, names))
    assert dict(selected.properties) == {"system:index": "abc123", **kept}
    assert selected.geometry is not None


def test_select_can_drop_the_geometry(compute):
    assert compute(feature().select(["a1"], None, False)).geometry is None


def test_select_needs_as_many_new_names(compute):
    with pytest.raises(EngineError, match="must match the number of properties"):
        compute(feature().select(["a1", "a2"], ["only"]))


def test_to_array_takes_numbers_in_order(compute):
    np.testing.assert_array_equal(compute(feature().toArray(["a2", "a1"])), [2.5, 1.0])
    with pytest.raises(EngineError, match="Property 'name' is required to be a number"):
        compute(feature().toArray(["name"]))


def test_set_geometry_replaces_or_removes(compute):
    assert compute(feature().setGeometry(ee.Geometry.Point(5, 6))).geometry.as_json()["coordinates"] == [5, 6]
    assert compute(feature().setGeometry(None)).geometry is None


def test_geometry_in_a_projection(compute):
    there = compute(feature().geometry(1, "EPSG:3857"))
    assert there.crs == "EPSG:3857" and not there.geodesic
    assert there.shape.x == pytest.approx(111319.4908, abs=1e-3)
    assert compute(ee.Feature(None).geometry()) is None


def test_a_collection_is_no_feature():
    with pytest.raises(
        EngineError, match="Unable to use a collection in an algorithm that requires a feature"
    ):
        promote(Collection({}, []), "Feature")


def test_an_operation_on_a_feature_keeps_its_properties(compute):
    buffered = compute(feature().buffer(1000))
    assert dict(buffered.properties) == PROPERTIES
    assert buffered.geometry == compute(ee.Geometry.Point(1, 2).buffer(1000))
    left = ee.Feature(ee.Geometry.Point(1, 2).buffer(1000), {"side": "left"})
    shared = compute(left.intersection(ee.Feature(ee.Geometry.Point(1, 2).buffer(500), {"side": "right"}), 1))
    assert dict(shared.properties) == {"side": "left"}


def test_a_missing_geometry_stays_missing_and_meets_nothing(compute):
    nothing = ee.Feature(None, {"a": 1})
    assert compute(nothing.buffer(10)).geometry is None
    assert compute(nothing.area()) == 0
    assert not compute(nothing.intersects(feature()))
    assert compute(feature().disjoint(nothing))
    assert compute(feature().closestPoint(nothing)) is None
    assert compute(feature().closestPoints(nothing)) == {}
