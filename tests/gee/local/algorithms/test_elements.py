"""Properties of elements."""

from __future__ import annotations

import ee
import pytest

from gee.local.errors import EngineError


def feature(**properties):
    return ee.Feature(None, properties)


def test_get_of_a_missing_property_is_null(compute):
    assert compute(feature(a=1).get("b")) is None


def test_typed_getters_refuse_other_types(compute):
    one = feature(n=1.5, s="text", v=[1, 2])
    assert compute(one.getNumber("n")) == 1.5
    assert compute(one.getString("s")) == "text"
    assert compute(one.getArray("v")).tolist() == [1, 2]
    assert compute(one.getNumber("missing")) is None
    with pytest.raises(EngineError, match=r"Element\.getNumber: Property 's' must be of type Number"):
        compute(one.getNumber("s"))


def test_set_overrides_and_adds_in_order(compute):
    changed = feature(a=1, b=2).set("a", 3).set({"c": 4}).set(ee.Dictionary({"d": 5}))
    assert compute(changed.toDictionary()) == {"a": 3, "b": 2, "c": 4, "d": 5}
    assert compute(changed.propertyNames()) == ["a", "b", "c", "d"]


def test_to_dictionary_leaves_system_properties_out_unless_named(compute):
    one = feature(a=1).set("system:time_start", 5)
    assert compute(one.toDictionary()) == {"a": 1}
    assert compute(one.toDictionary(["system:time_start"])) == {"system:time_start": 5}


def test_copy_properties(compute):
    source = feature(a=1, b=2).set("system:time_start", 5)

    def copied(*arguments):
        return compute(ee.Feature(feature(a=0, z=9).copyProperties(source, *arguments)).toDictionary(None))

    assert copied() == {"a": 1, "z": 9, "b": 2}
    assert copied(["b", "absent"]) == {"a": 0, "z": 9, "b": 2}
    assert copied(None, ["a"]) == {"a": 0, "z": 9, "b": 2}
    with_time = feature().copyProperties(source, ["system:time_start"])
    assert compute(with_time.get("system:time_start")) == 5
    with pytest.raises(EngineError, match="must not be specified"):
        copied(["a"], ["b"])


def test_properties_of_a_collection_are_its_own(compute):
    collection = ee.FeatureCollection([feature(a=1)]).set("title", "mine")
    assert compute(collection.get("title")) == "mine"
    assert compute(collection.filter(ee.Filter.eq("a", 1)).get("title")) == "mine"
    assert compute(collection.map(lambda f: f).get("title")) == "mine"
