"""Values as value:compute prints them: shapes that ee, xee and geemap read."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Projection
from gee.local.raster.images import constant_image
from gee.local.results.encoding import MAX_RESULT_DEPTH, dump, encode
from gee.local.values import Collection, Date, DateRange, ErrorMargin, Feature, PixelType

POINT = Geometry.from_geojson({"type": "Point", "coordinates": [117, 32.5]})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (5.0, 5),
        (0.1, 0.1),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (1e300, 1e300),
        ("text", "text"),
        ([1, [2.5, "a"]], [1, [2.5, "a"]]),
        ({"a": {"b": None}}, {"a": {"b": None}}),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(7), 7),
        (np.array([0.1], np.float32), [0.10000000149011612]),
        (Date(1554595200000), {"type": "Date", "value": 1554595200000}),
        (DateRange(0, 86_400_000), {"type": "DateRange", "dates": [0, 86_400_000]}),
        (ErrorMargin(1.0), {"type": "ErrorMargin", "unit": "meters", "value": 1}),
        (PixelType("int", 0, 255), {"type": "PixelType", "precision": "int", "min": 0, "max": 255}),
        (
            Projection("EPSG:4326", (0.5, 0.0, -180.0, 0.0, -0.5, 90.0)),
            {"type": "Projection", "crs": "EPSG:4326", "transform": [0.5, 0, -180, 0, -0.5, 90]},
        ),
        (POINT, {"type": "Point", "coordinates": [117, 32.5]}),
        (
            Feature({"system:index": "3", "a": 1}, POINT),
            {
                "type": "Feature", "id": "3", "properties": {"a": 1},
                "geometry": {"type": "Point", "coordinates": [117, 32.5]},
            },
        ),
        (Feature({}, None), {"type": "Feature", "geometry": None, "properties": {}}),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_earth_engine_shows_it(value: object, shown: object) -> None:
    assert encode(value) == shown
    assert json.loads(dump(encode(value))) == shown


def test_a_feature_collection_lists_its_columns_and_identity() -> None:
    features = Collection(
        {"system:id": "a/b", "system:version": 5, "title": "t"}, [Feature({"a": 1, "b": "x"})]
    )
    shown = encode(features)
    assert {name: shown[name] for name in ("type", "id", "version", "columns", "properties")} == {
        "type": "FeatureCollection", "id": "a/b", "version": 5,
        "columns": {"a": "Integer", "b": "String"}, "properties": {"title": "t"},
    }  # fmt: skip


def test_an_image_collection_has_bands_and_features() -> None:
    shown = encode(Collection({}, [constant_image(1)], images=True))
    assert (shown["type"], shown["bands"]) == ("ImageCollection", [])
    assert shown["features"][0]["bands"][0]["crs_transform"] == [1, 0, 0, 0, 1, 0]


def test_elements_of_all_collections_count_together() -> None:
    half = Collection({}, [Feature()] * 2500)
    assert len(encode([half, half])) == 2
    with pytest.raises(EngineError, match="aborted after accumulating over 5000 elements"):
        encode([half, half, Collection({}, [Feature()])])


def test_a_collection_without_end_is_given_up_at_the_limit() -> None:
    def endless() -> Any:
        while True:
            yield Feature()

    with pytest.raises(EngineError, match="aborted after accumulating over 5000 elements"):
        encode(Collection({}, endless()))


def test_a_result_too_deep_for_its_clients_is_refused() -> None:
    value: list[Any] = []
    for _ in range(MAX_RESULT_DEPTH + 1):
        value = [value]
    with pytest.raises(EngineError, match="nested too deeply"):
        encode(value)


def test_a_function_is_nothing_that_is_printed() -> None:
    with pytest.raises(EngineError, match="cannot be printed"):
        encode(lambda: 1)
