"""What becomes an argument's type, and what does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gee.local.registry import promote
from gee.local.values import Date, DateRange, ErrorMargin, PixelType


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        (True, "Number", 1),
        (2.0, "Integer", 2),
        (3, "Float", 3.0),
        (0, "Boolean", False),
        (math.nan, "Boolean", True),
        ((1, 2), "List<Object>", [1, 2]),
        ([1.0, 2], "List<Integer>", [1, 2]),
        (5, "Date", Date(5)),
        ("1970-01-02", "Date", Date(86_400_000)),
        (Date(5), "DateRange", DateRange(5, 6)),
        ("byte", "PixelType", PixelType("int", 0, 255)),
        ({"type": "PixelType", "precision": "int", "min": 0, "max": 7}, "PixelType", PixelType("int", 0, 7)),
        (10, "ErrorMargin", ErrorMargin(10, "meters")),
        (
            {"type": "ErrorMargin", "unit": "projected", "value": 1},
            "ErrorMargin",
            ErrorMargin(1, "projected"),
        ),
        (None, "Number", None),
    ],
)
def test_promoted(value: Any, wanted: str, expected: Any) -> None:
    promoted = promote(value, wanted)
    assert promoted == expected
    assert type(promoted) is type(expected)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1", "Number"),
        (1, "String"),
        (1.5, "Integer"),
        (math.inf, "Integer"),
        (10**400, "Float"),
        ("a", "List<Object>"),
        ([1, "a"], "List<Number>"),
        ([("a", 1)], "Dictionary<Object>"),
        ("a", "Array"),
        (math.nan, "Date"),
        ("half", "PixelType"),
        (print.__name__, "Algorithm"),
        ("gs://bucket/file", "Blob"),
    ],
)
def test_refused(value: Any, wanted: str) -> None:
    with pytest.raises(TypeError):
        promote(value, wanted)


def test_numbers_and_lists_become_arrays() -> None:
    assert promote(3, "Array").shape == ()
    assert promote([[1, 2]], "Array").dtype == np.int32
    array = np.array([1.5])
    assert promote(array, "Array") is array
