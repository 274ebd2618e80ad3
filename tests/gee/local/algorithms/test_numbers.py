"""Number.*: rules of the API documentation; expectations are those of its pages, or Python's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ee
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("pattern", "number", "expected"),
    [
        # ee-number-format and java.util.Formatter
        ("%03d", 1, "001"),
        ("%.1f", 1.23476, "1.2"),
        ("%.3f", 1.23476, "1.235"),
        ("%.3e", 123476, "1.235e+05"),
        ("%.2f", 123476, "123476.00"),
        ("%.2f", 3.14159, "3.14"),
        ("%05d", 42, "00042"),
        ("%.2f", 0.125, "0.13"),  # half up
        ("%08.2f", -2.5, "-0002.50"),
        ("%,d", 1234567, "1,234,567"),
        ("%x", 255, "ff"),
        ("%+d m", 5, "+5 m"),
        ("(%5s)", 7, "(    7)"),
        ("%-5d|", 3, "3    |"),
        ("%(d", -3, "(3)"),
        ("%g", 0.0001, "0.000100000"),
        ("%s", 1.5, "1.5"),
    ],
)
def test_format_is_printf_style(compute: Compute, pattern: str, number: float, expected: str) -> None:
    assert compute(ee.Number(number).format(pattern)) == expected


@pytest.mark.parametrize("pattern", ["no conversion", "%d%d", "%q", "%.999999f"])
def test_format_refuses_other_patterns(compute: Compute, pattern: str) -> None:
    with pytest.raises(EngineError, match=r"Number\.format: Invalid number format pattern"):
        compute(ee.Number(1).format(pattern))


def test_format_of_a_fraction_as_an_integer_is_refused(compute: Compute) -> None:
    with pytest.raises(EngineError, match="cannot be formatted"):
        compute(ee.Number(1.5).format("%d"))


@pytest.mark.parametrize(
    ("text", "radix", "expected"),
    [("10", 10, 10), ("0001", 10, 1), ("3E8", 16, 1000), ("-1.5e3", 10, -1500.0), ("Infinity", 10, math.inf)],
)
def test_parse(compute: Compute, text: str, radix: int, expected: float) -> None:
    assert compute(ee.Number.parse(text, radix)) == expected


@pytest.mark.parametrize(("text", "radix"), [("", 10), ("1_0", 10), ("inf", 10), ("12", 2), ("1", 99)])
def test_parse_refuses_what_is_no_number(compute: Compute, text: str, radix: int) -> None:
    with pytest.raises(EngineError, match=r"Number\.parse: Cannot parse"):
        compute(ee.Number.parse(text, radix))


def test_division_by_zero_is_zero(compute: Compute) -> None:
    assert compute(ee.Number(10).divide(0)) == 0


def test_integers_divide_in_double_precision(compute: Compute) -> None:
    assert compute(ee.Number(1).divide(3)) == 1 / 3


def test_results_are_pythons_numbers(compute: Compute) -> None:
    assert type(compute(ee.Number(1).add(2))) is int
    assert type(compute(ee.Number(1).add(2.5))) is float
    assert type(compute(ee.Number(1).eq(2))) is int


def test_casts_saturate(compute: Compute) -> None:
    # ee-number-uint8: beyond the range becomes its end, a fraction is lost
    assert compute(ee.Number(255 + 12345).uint8()) == 255
    assert compute(ee.Number(-12345).uint8()) == 0
    assert compute(ee.Number(1.7).uint8()) == 1
    assert compute(ee.Number(0.1).float()) == pytest.approx(0.1, rel=1e-7)
    assert compute(ee.Number(0.1).float()) != 0.1


def test_bitwise_not_of_25_is_minus_26(compute: Compute) -> None:
    assert compute(ee.Number(25).bitwiseNot()) == -26


def test_bitwise_takes_whole_floats_only(compute: Compute) -> None:
    assert compute(ee.Number(2).pow(3).bitwiseAnd(12)) == 8
    with pytest.raises(EngineError, match=r"Number\.bitwiseAnd"):
        compute(ee.Number(2.5).bitwiseAnd(1))


def test_clamp_and_unit_scale(compute: Compute) -> None:
    assert compute(ee.Number(-259).clamp(0, 255)) == 0
    assert compute(ee.Number(0.5).clamp(0.25, 0.75)) == 0.5
    assert compute(ee.Number(-10).unitScale(0, 100)) == pytest.approx(-0.1)
    assert compute(ee.Number(7).unitScale(3, 3)) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the operators, constants, functions and dots that ee-number-expression shows
        ("x + y", 15),
        ("x / y", 0.5),
        ("x ** y", 5**10),
        ("x % y", 5),
        ("x || y", 1),
        ("!(x)", 0),
        ("x != y", 1),
        ("(x < y) ? 100 : 1000", 100),
        ("100 * (x + y)", 1500),
        ("Math.PI", math.pi),
        ("vals.x * vals.y", 6),
        ("subtract(add(x, y), 5)", 10),
    ],
)
def test_expression(compute: Compute, text: str, expected: float) -> None:
    variables = {"x": 5, "y": 10, "vals": {"x": 2, "y": 3}}
    assert compute(ee.Number.expression(text, variables)) == expected


@pytest.mark.parametrize("text", ["z", "vals.z", "unknown(1)", "add(1, 2, 3)"])
def test_expression_refuses_unknown_names(compute: Compute, text: str) -> None:
    with pytest.raises(EngineError, match=r"Number\.expression"):
        compute(ee.Number.expression(text, {"vals": {}}))
