"""String.*: the examples of the API documentation's pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ee
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("abc-abc", ("abc", "X"), "X-abc"),
        ("abc-abc", ("abc", "X", "g"), "X-X"),
        ("abc-abc", ("abc", "", "g"), "-"),
        ("aBc-Abc", ("abc", "Z", "i"), "Z-Abc"),
        ("aBc-Abc", ("abc", "Z", "ig"), "Z-Z"),
        ("2019_04_07", (r"(\d+)_(\d+)", "$2/$1"), "04/2019_07"),
        ("a", ("a", r"\$1"), "$1"),
        ("ab", ("", "-", "g"), "-a-b-"),
    ],
)
def test_replace(compute: Compute, text: str, arguments: tuple[str, ...], expected: str) -> None:
    assert compute(ee.String(text).replace(*arguments)) == expected


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("", (0,), ""),
        ("", (-1,), ""),
        (ALPHABET, (24,), "yz"),
        (ALPHABET, (-3,), "xyz"),
        (ALPHABET, (3, 3), ""),
        (ALPHABET, (-4, 25), "wxy"),
        (ALPHABET, (20, 99), "uvwxyz"),
    ],
)
def test_slice(compute: Compute, text: str, arguments: tuple[int, ...], expected: str) -> None:
    assert compute(ee.String(text).slice(*arguments)) == expected


def test_match_gives_the_first_match_with_its_groups_or_with_g_every_match(compute: Compute) -> None:
    text = ee.String("MOD09A1_2019_04_07")
    assert compute(text.match(r"_(\d{4})_(\d\d)")) == ["_2019_04", "2019", "04"]
    assert compute(text.match(r"\d{2}", "g")) == ["09", "20", "19", "04", "07"]
    assert compute(text.match("absent")) == []


def test_split_drops_empty_strings_at_the_end_only(compute: Compute) -> None:
    assert compute(ee.String("_a__b__").split("_")) == ["", "a", "", "b"]
    assert compute(ee.String("").split("_")) == [""]


def test_json_round_trip(compute: Compute) -> None:
    thing = {"a": [1, 2.5, None, True, "ß"]}
    assert compute(ee.String.decodeJSON(ee.String.encodeJSON(ee.Dictionary(thing)))) == thing
    with pytest.raises(EngineError, match=r"String\.decodeJSON: Cannot decode"):
        compute(ee.String("{").decodeJSON())


def test_case_equality_and_conversion(compute: Compute) -> None:
    assert compute(ee.String("aB").toUpperCase()) == "AB"
    assert compute(ee.String("aB").toLowerCase()) == "ab"
    assert compute(ee.String("a").equals("a")) is True
    assert compute(ee.String("1").equals(ee.Number(1))) is False
    assert compute(ee.String(ee.Number(5).add(0))) == "5"


def test_a_number_is_not_taken_for_a_string(compute: Compute) -> None:
    refusal = r"Dictionary.select, argument 'selectors': Invalid type.\nExpected type: List<String>"
    with pytest.raises(EngineError, match=refusal):
        compute(ee.Dictionary({"1": 1}).select([1]))


def test_invalid_and_explosive_expressions_end_at_once(compute: Compute) -> None:
    with pytest.raises(EngineError, match="Invalid regular expression"):
        compute(ee.String("a").match("("))
    start = time.perf_counter()
    assert compute(ee.String("a" * 5000 + "b").match("^(a+)+$")) == []
    assert time.perf_counter() - start < 1
