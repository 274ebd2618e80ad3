"""Conditions, equality, types of objects, pixel types and error margins, as their descriptions say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ee
import pytest

from gee.local.errors import EngineError
from gee.local.values import ErrorMargin, PixelType

Compute = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (0, False),
        (0.5, True),
        ("", False),
        ("0", True),
        ([], False),
        ([0], True),
        ({}, False),
        (None, False),
        (True, True),
        (False, False),
    ],
)
def test_if_takes_null_zero_and_what_is_empty_for_false(
    compute: Compute, condition: Any, expected: bool
) -> None:
    assert compute(ee.Algorithms.If(condition, "yes", "no")) == ("yes" if expected else "no")


def test_if_takes_nan_for_false_and_other_objects_for_true(compute: Compute) -> None:
    assert compute(ee.Algorithms.If(ee.Number(-1).sqrt(), 1, 2)) == 2
    assert compute(ee.Algorithms.If(ee.Date(0), 1, 2)) == 1


def test_object_type(compute: Compute) -> None:
    types = [
        (ee.Number(1), "Integer"),
        (ee.Number(2**40), "Long"),
        (ee.Number(1.5), "Float"),
        (ee.String("a string"), "String"),
        (ee.List([1, "a string"]), "List"),
        (ee.Dictionary({"a": 1}), "Dictionary"),
        (ee.Date(0), "Date"),
        (ee.Array([1]), "Array"),
    ]
    for thing, expected in types:
        assert compute(ee.Algorithms.ObjectType(thing)) == expected


def test_is_equal(compute: Compute) -> None:
    assert compute(ee.Algorithms.IsEqual([1, {"a": 2}], [1.0, {"a": 2}])) is True
    assert compute(ee.Algorithms.IsEqual(ee.Array([1]), ee.Array([2]))) is False
    assert compute(ee.Algorithms.IsEqual("1", 1)) is False


def test_pixel_type(compute: Compute) -> None:
    assert compute(ee.PixelType("int", 0, 10, 1)) == PixelType("int", 0, 10, 1)
    assert compute(ee.PixelType.int16()) == PixelType("int", -(2**15), 2**15 - 1)
    assert compute(ee.PixelType.uint8().maxValue()) == 255
    assert compute(ee.PixelType.float().minValue()) == -math.inf
    assert compute(ee.PixelType.double().precision()) == "double"
    assert compute(ee.PixelType("float", None, None, 2).dimensions()) == 2
    with pytest.raises(EngineError, match="PixelType: Unknown pixel precision"):
        compute(ee.PixelType("half"))


def test_error_margin(compute: Compute) -> None:
    assert compute(ee.ErrorMargin(5)) == ErrorMargin(5, "meters")
    assert compute(ee.ErrorMargin(unit="infinite")) == ErrorMargin(None, "infinite")
    with pytest.raises(EngineError, match="ErrorMargin"):
        compute(ee.ErrorMargin(5, "feet"))


def test_describe_gives_json(compute: Compute) -> None:
    assert compute(ee.Algorithms.Describe(ee.Date(5))) == {"type": "Date", "value": 5}
