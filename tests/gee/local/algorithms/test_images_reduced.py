"""Images reduced across their bands, and collections of one type."""

from __future__ import annotations

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection

GRID = Grid(Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)), 3, 2)


def test_an_image_is_reduced_across_its_valid_bands(first):
    image = ee.Image.constant([1, 5, 9]).addBands(ee.Image(1000).updateMask(0))
    assert first(image.reduce(ee.Reducer.mean())) == {"mean": 5}
    both = ee.Reducer.minMax().combine(ee.Reducer.count(), sharedInputs=True)
    assert first(image.reduce(both)) == {"min": 1, "max": 9, "count": 3}
    assert first(image.reduce("sum")) == {"sum": 15}


def test_a_reducer_of_several_inputs_cannot_reduce_bands(compute):
    with pytest.raises(EngineError, match=r"must have a single input, Reducer\.linearFit has 2"):
        compute(ee.Image.constant([1, 2]).reduce(ee.Reducer.linearFit()))


def test_a_collection_is_cast_and_its_missing_bands_are_masked(compute, first):
    images = ee.ImageCollection([ee.Image(300.7).rename("a"), ee.Image.constant([1.5, 2]).rename(["b", "a"])])
    cast = images.cast({"a": "uint8", "b": ee.PixelType.float()}, ["b", "a"])
    one, other = compute(cast)
    assert [band.type.dtype for image in (one, other) for band in image.bands] == [np.float32, np.uint8] * 2
    assert first(ee.Image(cast.toList(2).get(0))) == {"b": None, "a": 255}
    assert first(ee.Image(cast.toList(2).get(1))) == {"b": 1.5, "a": 2}


@pytest.mark.parametrize(
    ("types", "order", "message"),
    [
        ({"a": "int8"}, ["a", "b"], "bandOrder must have the keys of bandTypes"),
        ({"b": "int8"}, ["b"], "has no 'a'"),
        ({"a": "tiny"}, ["a"], "Type of band 'a' must be a PixelType"),
    ],
)
def test_a_cast_names_every_band_and_a_type(compute, types, order, message):
    with pytest.raises(EngineError, match=message):
        list(compute(ee.ImageCollection([ee.Image(1).rename("a")]).cast(types, order)))


def test_properties_are_copied_to_images_as_to_any_element(compute):
    source = ee.Feature(None, {"a": 1, "b": 2, "system:time_start": 5})
    arguments = {"destination": ee.Image(0).set("a", 9), "source": source, "exclude": ["b"]}
    assert compute(ee.apply("Image.copyProperties", arguments)).properties == {"a": 1}
