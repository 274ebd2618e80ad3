"""The expression language against Python's own arithmetic, which shares these operators."""

from __future__ import annotations

import operator
from typing import Any

import pytest

from gee.local.errors import EngineError
from gee.local.scalars.expressions import CHOICE, compiled, run

FUNCTIONS: dict[str, Any] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "mod": operator.mod,
    "pow": operator.pow,
    "lt": operator.lt,
    "gte": operator.ge,
    "eq": operator.eq,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "not": operator.not_,
    "bitwiseAnd": operator.and_,
    "leftShift": operator.lshift,
    "max": max,
    "two": lambda: 2,
    CHOICE: lambda test, first, second: first if test else second,
}
VARIABLES = {"x": 5, "y": 2, "b.nir": 7}


def value(text: str) -> Any:
    return run(compiled(text), VARIABLES.__getitem__, lambda name, operands: FUNCTIONS[name](*operands))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + y * 3", 11),
        ("(x + y) * 3", 21),
        ("x - y - 1", 2),
        ("2 ** 3 ** 2", 512),
        ("-x ** 2", -25),
        ("2 ** -1", 0.5),
        ("-(-x)", 5),
        ("x / y % 2", 0.5),
        ("1.5e1 + .5 + 0x10", 31.5),
        ("x < y ? 100 : 1000", 1000),
        ("x < y ? 1 : x == 5 ? 2 : 3", 2),
        ("(x >= y ? x : y) + 1", 6),
        ("!(x < y) && y || 0", True),
        ("1 << 2 + 1 & 12", 8),
        ("max(x, max(y, b.nir)) + max((x), 9)", 16),
        ("two() * two()", 4),
        ("+x", 5),
    ],
)
def test_precedence_is_that_of_javascript(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x +", "(x", "x)", "x y", "max(x,)", "(x, y)", "x ? y", "x : y", "x @ y", "max(,x)", "* x"]
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="parse error"):
        compiled(text)


def test_long_and_deep_expressions_do_not_recurse() -> None:
    assert value("+".join(["x"] * 20_000)) == 100_000
    assert value("(" * 20_000 + "x" + ")" * 20_000) == 5
    assert value("-" * 20_000 + "x") == 5
