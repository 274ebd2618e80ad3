"""Filters written as text pass what the operators say."""

from __future__ import annotations

import pytest

from gee.local.errors import EngineError
from gee.local.selection.filter_expressions import parse
from gee.local.values import Feature

FEATURE = Feature({"a": 1, "b": "x y", "system:index": "0_1", "c": 2.5, "orphan": "in"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == 1", True),
        ("a = 1", True),
        ("a != 1", False),
        ("a >= 1 && c < 3", True),
        ("a > 1 || c <= 2.5", True),
        ('b == "x y"', True),
        ("b == 'x y'", True),
        ("system:index == '0_1'", True),
        ("!(a == 1)", False),
        ("not a == 2", True),
        ("!a == 2", True),
        ("a == 1 and not (c == 2.5 or c == 3)", False),
        # "and" binds tighter than "or"
        ("a == 1 || a == 2 && a == 3", True),
        ("(a == 1 || a == 2) && a == 3", False),
        ("a in (1, 2)", True),
        ("b in ['q', \"x y\"]", True),
        ("a not in (1, 2)", False),
        ("orphan == 'in'", True),
        ("1 < c", True),
        ("a < c", True),
        ("c > -1e-3", True),
        ("missing == 1", False),
        ("missing != 1", True),
        (r"b == 'x\' y'", False),
    ],
)
def test_expressions(text, expected):
    assert parse(text).passes(FEATURE, FEATURE) is expected


@pytest.mark.parametrize(
    "text",
    ["", "a", "a ==", "a == 1 &&", "(a == 1", "a == 1)", "a == 1 b == 2", "a ~ 1", "a in 1", "a == 'open"],
)
def test_what_is_no_expression_is_refused_with_its_text(text):
    with pytest.raises(EngineError, match="Could not parse filter"):
        parse(text)


def test_nesting_does_not_exhaust_the_stack():
    depth = 20_000
    assert parse("(" * depth + "a == 1" + ")" * depth).passes(FEATURE, FEATURE)
