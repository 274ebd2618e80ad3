"""Images linked to the image of a collection that shares a property."""

from __future__ import annotations

import ee

from gee.local.geometry.projections import Grid, Projection

GRID = Grid(Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)), 3, 2)


def scores():
    return ee.ImageCollection(
        [
            ee.Image.constant([7, 8]).rename(["cs", "cdf"]).set({"system:index": "b", "orbit": 3}),
            ee.Image.constant([5, 6]).rename(["cs", "cdf"]).set({"system:index": "a", "orbit": 2}),
        ]
    )


def test_bands_and_properties_of_the_image_with_the_same_index_are_linked(compute, first):
    image = ee.Image.constant([1, 2]).rename(["B1", "cs"]).set({"system:index": "a", "orbit": 9, "kept": 4})
    linked = image.linkCollection(scores(), ["cs", "cdf"], "orbit")
    assert first(linked) == {"B1": 1, "cs": 5, "cdf": 6}
    assert compute(linked).properties == {"system:index": "a", "orbit": 2, "kept": 4}
    by_orbit = image.set("orbit", 3).linkCollection(scores(), "cdf", matchPropertyName="orbit")
    assert first(by_orbit) == {"B1": 1, "cs": 2, "cdf": 8}


def test_without_a_match_the_linked_bands_are_masked_and_properties_null(compute, first):
    image = ee.Image.constant([1, 2]).rename(["B1", "cs"]).set({"system:index": "z", "orbit": 9})
    linked = image.linkCollection(scores(), ["cs", "cdf"], ["orbit"])
    assert first(linked) == {"B1": 1, "cs": None, "cdf": None}
    assert compute(linked.get("orbit")) is None
    assert compute(linked.bandTypes()) == {
        **compute(image.bandTypes()),
        **compute(scores().first().bandTypes()),
    }


def test_a_whole_collection_is_linked(compute, first):
    images = ee.ImageCollection([ee.Image(1).set("system:index", index) for index in "ab"])
    linked = images.linkCollection(scores(), ["cs"]).toList(2)
    assert first(ee.Image(linked.get(0))) == {"constant": 1, "cs": 5}
    assert first(ee.Image(linked.get(1))) == {"constant": 1, "cs": 7}
