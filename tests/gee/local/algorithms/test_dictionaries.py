"""Dictionary.*: rules of the descriptions and of the API documentation's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]
BANDS = {"B2": 219, "B1": 182, "B3": 443}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda d: d.keys(), ["B1", "B2", "B3"]),
        (lambda d: d.values(), [182, 219, 443]),
        (lambda d: d.values(["B3", "B1"]), [443, 182]),
        (lambda d: d.select(["B1", "B2"]), {"B1": 182, "B2": 219}),
        (lambda d: d.select(["B[1-2]"]), {"B1": 182, "B2": 219}),
        (lambda d: d.select(["B1", "Region"], True), {"B1": 182}),
        (lambda d: d.remove(["B[1-2]"]), {"B3": 443}),
        (lambda d: d.set("B1", "x").get("B1"), "x"),
        (lambda d: d.get("absent", 5), 5),
        (lambda d: d.contains("B1"), True),
        (lambda d: d.size(), 3),
        (lambda d: d.rename(["B1"], ["blue"]), {"blue": 182, "B2": 219, "B3": 443}),
        (lambda d: d.rename(["B1"], ["B2"], True), {"B2": 182, "B3": 443}),
        (lambda d: d.combine({"B1": 0, "x": None}), {"B1": 0, "B2": 219, "B3": 443}),
        (lambda d: d.combine({"B1": 0, "z": 1}, False), {**BANDS, "z": 1}),
        (lambda d: d.map(lambda key, value: ee.Number(value).add(1)), {"B1": 183, "B2": 220, "B3": 444}),
        (lambda d: ee.Dictionary(ee.List(["a", 1, "b", 2]).cat([])), {"a": 1, "b": 2}),
        (lambda d: ee.Dictionary.fromLists(["a", "b"], [1, [2]]), {"a": 1, "b": [2]}),
    ],
)
def test_dictionary(compute: Compute, make: Callable[[Any], Any], expected: Any) -> None:
    assert compute(make(ee.Dictionary(BANDS))) == expected


def test_to_array_is_in_the_order_of_the_keys(compute: Compute) -> None:
    assert compute(ee.Dictionary(BANDS).toArray()).tolist() == [182, 219, 443]
    assert compute(ee.Dictionary(BANDS).toArray(["B3", "B1"])).tolist() == [443, 182]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d.get("date"), "Dictionary.get: Dictionary does not contain key: 'date'."),
        (lambda d: d.select(["X.*"]), "Dictionary.select: Dictionary does not contain key: 'X.*'."),
        (lambda d: d.rename(["B1"], ["B2"]), "Dictionary.rename: Cannot rename to existing key 'B2'."),
        (
            lambda d: ee.Dictionary.fromLists(["a"], [1, 2]),
            "Dictionary.fromLists: Need as many keys as values: 1 and 2.",
        ),
        (lambda d: d.getString("B1"), "Dictionary.getString: Expected type: String. Actual type: Integer."),
    ],
)
def test_refusals(compute: Compute, make: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(EngineError) as caught:
        compute(make(ee.Dictionary(BANDS)))
    assert str(caught.value) == message
