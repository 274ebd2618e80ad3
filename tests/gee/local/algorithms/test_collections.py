"""Collections: order, ids, laziness, and what mapping may give."""

from __future__ import annotations

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.registry import apply as call
from gee.local.values import Collection, Feature


def table(rows):
    return ee.FeatureCollection([ee.Feature(None, row) for row in rows])


def numbers(values):
    return table([{"x": value} for value in values])


def ids(collection):
    return collection.aggregate_array("system:index")


def test_elements_of_a_list_are_numbered(compute):
    assert compute(ids(numbers([5, 5, 5]))) == ["0", "1", "2"]


def test_an_id_that_was_given_stays(compute):
    point = {"type": "Point", "coordinates": [1, 2]}
    given = {"type": "Feature", "geometry": point, "properties": {}, "id": "mine"}
    assert compute(ids(ee.FeatureCollection([ee.Feature(given), ee.Feature(None)]))) == ["mine", "1"]


def test_a_null_is_no_element(compute):
    with pytest.raises(EngineError, match="null elements"):
        compute(ee.FeatureCollection(ee.List([numbers([1]).first(), None])).size())


def test_merge_prefixes_ids(compute):
    merged = numbers([1, 2]).merge(numbers([3]))
    assert compute(ids(merged)) == ["1_0", "1_1", "2_0"]
    assert compute(merged.aggregate_array("x")) == [1, 2, 3]
    assert compute(ids(merged.merge(numbers([4])))) == ["1_1_0", "1_1_1", "1_2_0", "2_0"]


def test_flatten_joins_the_ids_of_both_levels(compute):
    nested = numbers([1, 2]).map(lambda f: numbers([10, 20]).map(lambda g: g.set("y", f.get("x"))))
    flat = ee.FeatureCollection(nested).flatten()
    assert compute(ids(flat)) == ["0_0", "0_1", "1_0", "1_1"]
    assert compute(flat.aggregate_array("y")) == [1, 1, 2, 2]


def test_flatten_refuses_what_is_no_collection(compute):
    with pytest.raises(EngineError, match="must be collections"):
        compute(numbers([1]).flatten().size())


def test_map_keeps_ids_even_of_new_features(compute):
    mapped = table([{"system:index": "a"}, {"system:index": "b"}]).map(lambda f: ee.Feature(None, {}))
    assert compute(ids(mapped)) == ["a", "b"]


def test_map_drops_nulls_only_when_told(compute):
    def odd(feature):
        return ee.Algorithms.If(ee.Number(feature.get("x")).mod(2), feature, None)

    assert compute(numbers([1, 2, 3]).map(odd, True).aggregate_array("x")) == [1, 3]
    with pytest.raises(
        EngineError, match=r"^Collection.map: A mapped algorithm must return a Feature or Image\.$"
    ):
        compute(numbers([1, 2, 3]).map(odd).aggregate_array("x"))


def test_map_refuses_what_is_no_element(compute):
    with pytest.raises(
        EngineError, match=r"^Collection.map: A mapped algorithm must return a Feature or Image\.$"
    ):
        compute(numbers([1]).map(lambda f: f.get("x")).size())


def test_an_error_names_the_element_it_came_from(compute):
    bad = numbers([1, 2]).map(lambda f: f.set("y", ee.Number(f.get("nothing")).add(1)))
    with pytest.raises(EngineError) as caught:
        compute(bad.aggregate_array("y"))
    assert str(caught.value).startswith("AggregateFeatureCollection.array: Error in map(ID=0):\nNumber.add: ")


@pytest.fixture
def counted(offline_client, context):
    """A mapped collection of a hundred features, and how many elements were computed so far."""
    seen = []

    def function(feature):
        seen.append(feature)
        return feature

    source = Collection({}, [Feature({"system:index": str(n), "x": n}) for n in range(100)])
    return call("Collection.map", {"collection": source, "baseAlgorithm": function}), seen


@pytest.mark.parametrize(
    ("name", "arguments", "most"),
    [
        ("Collection.first", {}, 1),
        ("Collection.toList", {"count": 5, "offset": 10}, 15),
        ("AggregateFeatureCollection.first", {"property": "x"}, 1),
        ("Collection.filter", {"filter": "x > 3"}, 0),
        ("Collection.limit", {"limit": 3}, 0),
        ("Collection.limit", {"limit": 3, "key": "x"}, 0),
        ("Collection.randomColumn", {}, 0),
    ],
)
def test_only_what_is_asked_for_is_computed(counted, name, arguments, most):
    collection, seen = counted
    call(name, {"collection": collection, **arguments})
    assert len(seen) == most


def test_an_element_is_computed_once(counted):
    collection, seen = counted
    limited = call("Collection.limit", {"collection": collection, "limit": 3})
    for _ in range(2):
        assert call("Collection.size", {"collection": limited}) == 3
    assert len(seen) == 3


def test_a_failed_element_fails_again_instead_of_ending_the_collection(offline_client):
    def function(feature):
        if feature.get("x") == 1:
            raise EngineError("bad")
        return feature

    source = Collection({}, [Feature({"system:index": str(n), "x": n}) for n in range(3)])
    mapped = call("Collection.map", {"collection": source, "baseAlgorithm": function})
    for _ in range(2):
        with pytest.raises(EngineError, match="bad"):
            call("Collection.size", {"collection": mapped})


@pytest.mark.parametrize("step", ["map", "filter", "merge", "limit"])
def test_long_chains_do_not_exhaust_the_stack(offline_client, step):
    steps = {
        "map": lambda c: call("Collection.map", {"collection": c, "baseAlgorithm": lambda f: f}),
        "filter": lambda c: call("Collection.filter", {"collection": c, "filter": "x < 5"}),
        "merge": lambda c: call("Collection.merge", {"collection1": c, "collection2": Collection({}, [])}),
        "limit": lambda c: call("Collection.limit", {"collection": c, "limit": 9}),
    }
    source = (Feature({"system:index": str(n), "x": n}) for n in range(10))
    collection = Collection({}, source, within=lambda start, end: collection)
    made = collection
    for _ in range(1000):
        made = steps[step](made)
    expected = {"map": 10, "filter": 5, "merge": 10, "limit": 9}
    assert made.size() == expected[step]


def test_iterate_of_two_thousand_steps(compute):
    steps = ee.FeatureCollection(ee.List.sequence(1, 2000).map(lambda n: ee.Feature(None, {"n": n})))
    total = steps.iterate(lambda f, state: ee.Number(state).add(f.getNumber("n")), 0)
    assert compute(total) == 2000 * 2001 / 2


def test_iterate_goes_in_order(compute):
    text = numbers(["a", "b", "c"]).iterate(lambda f, state: ee.String(state).cat(f.getString("x")), "")
    assert compute(text) == "abc"


def test_sort_is_stable_and_puts_missing_values_last(compute):
    rows = table([{"x": 2, "n": 0}, {"n": 1}, {"x": 1, "n": 2}, {"x": 2, "n": 3}])
    assert compute(rows.sort("x").aggregate_array("n")) == [2, 0, 3, 1]
    assert compute(rows.sort("x", False).aggregate_array("n")) == [0, 3, 2, 1]


def test_sorting_what_has_no_common_order_is_an_error(compute):
    with pytest.raises(EngineError, match="Cannot compare values"):
        compute(numbers([1, "a"]).sort("x").size())


def test_limit_by_property_takes_the_first_of_the_sorted(compute):
    assert compute(numbers([3, 1, 2]).limit(2, "x").aggregate_array("x")) == [1, 2]
    assert compute(numbers([3, 1, 2]).limit(2, "x", False).aggregate_array("x")) == [3, 2]
    assert compute(numbers([3, 1, 2]).limit(2).aggregate_array("x")) == [3, 1]


def test_to_list_with_offset(compute):
    features = compute(numbers([0, 1, 2, 3]).toList(2, 1))
    assert [feature.get("x") for feature in features] == [1, 2]
    with pytest.raises(EngineError, match="count must be positive"):
        compute(numbers([0]).toList(0))


def test_first_of_nothing_is_null(compute):
    assert compute(numbers([1]).filter(ee.Filter.gt("x", 1)).first()) is None


def test_distinct_keeps_the_first_of_each(compute):
    rows = table([{"x": 1, "y": 1}, {"x": 1.0, "y": 2}, {"x": 2, "y": 1}, {"x": 1, "y": 1}])
    assert compute(ids(rows.distinct("x"))) == ["0", "2"]
    assert compute(ids(rows.distinct(["x", "y"]))) == ["0", "1", "2"]


def test_distinct_by_geometry(compute):
    places = [(0, 0), (1, 1), (0, 0)]
    rows = ee.FeatureCollection([ee.Feature(ee.Geometry.Point(place), {}) for place in places])
    assert compute(ids(rows.distinct(".geo"))) == ["0", "1"]


def test_remap_drops_what_is_not_listed(compute):
    assert compute(numbers([1, 2, 3]).remap([1, 3], [10, 30], "x").aggregate_array("x")) == [10, 30]
    assert compute(numbers(["a", "b"]).remap(["b"], [7], "x").aggregate_array("x")) == [7]
    with pytest.raises(EngineError, match="same size"):
        compute(numbers([1]).remap([1, 2], [1], "x").size())


def test_random_column_is_uniform_and_repeatable(compute):
    rows = ee.FeatureCollection(ee.List.sequence(1, 1000).map(lambda n: ee.Feature(None, {"n": n})))
    values = np.array(compute(rows.randomColumn("r", 7).aggregate_array("r")))
    assert ((values >= 0) & (values < 1)).all()
    # Kolmogorov-Smirnov: the 1 % critical distance of 1,000 numbers is 1.63 / sqrt(1000).
    ranks = np.arange(1, 1001) / 1000
    assert np.abs(np.sort(values) - ranks).max() < 1.63 / np.sqrt(1000)
    assert compute(rows.randomColumn("r", 7).aggregate_array("r")) == values.tolist()
    assert compute(rows.randomColumn("r", 8).aggregate_array("r")) != values.tolist()
    normal = np.array(compute(rows.randomColumn("r", 7, "normal").aggregate_array("r")))
    assert abs(normal.mean()) < 0.1
    assert abs(normal.std() - 1) < 0.1


def test_random_column_follows_the_row_keys(compute):
    rows = table([{"k": 1}, {"k": 2}, {"k": 1}])
    first, second, third = compute(rows.randomColumn("r", 0, "uniform", ["k"]).aggregate_array("r"))
    assert first == third
    assert first != second


def test_reduce_columns_skips_rows_with_nulls(compute):
    rows = table([{"x": 1, "y": 10}, {"x": 2}, {"x": 4, "y": 30}])
    assert compute(rows.reduceColumns(ee.Reducer.mean(), ["x"])) == {"mean": pytest.approx(7 / 3)}
    assert compute(rows.reduceColumns(ee.Reducer.toList(2), ["x", "y"])) == {"list": [[1, 10], [4, 30]]}
    both = rows.reduceColumns(ee.Reducer.mean().repeat(2), ["x", "y"])
    assert compute(both) == {"mean": [pytest.approx(7 / 3), 20]}


def test_reduce_columns_with_weights(compute):
    rows = table([{"x": 1, "w": 1}, {"x": 4, "w": 3}])
    assert compute(rows.reduceColumns(ee.Reducer.mean(), ["x"], ["w"])) == {"mean": pytest.approx(13 / 4)}


def test_reduce_columns_counts_its_inputs(compute):
    with pytest.raises(EngineError, match=r"Need 1 inputs for .*, got 2"):
        compute(numbers([1]).reduceColumns(ee.Reducer.mean(), ["x", "x"]))


def test_from_columns(compute):
    made = ee.ApiFunction.call_("Collection.fromColumns", [[1, 2], ["a", "b"]], ["n", "s"])
    assert compute(ee.FeatureCollection(made).aggregate_array("s")) == ["a", "b"]


def test_load_table_asks_the_library(compute, context):
    context.library.table = lambda asset_id: Collection({}, [Feature({"id": asset_id})])
    assert compute(ee.FeatureCollection("users/someone/table").aggregate_array("id")) == [
        "users/someone/table"
    ]


def test_load_image_collection_asks_the_library(compute, context):
    context.library.collection = lambda asset_id: Collection({"id": asset_id}, [], images=True)
    assert compute(ee.ImageCollection("MODIS/061/MOD09A1").get("id")) == "MODIS/061/MOD09A1"


def test_images_in_a_list_are_numbered_and_merge_prefixes_them(compute):
    images = ee.ImageCollection([ee.Image(1), ee.Image(2)])
    merged = compute(images.merge(images))
    assert merged.images
    assert [image.get("system:index") for image in merged] == ["1_0", "1_1", "2_0", "2_1"]
