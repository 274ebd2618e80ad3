"""Bodies of requests: limits, and depth beyond what a recursive parser takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.rest import payload

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 2]))
def test_the_deep_parser_reads_what_the_standard_one_reads(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert payload._parse_deep(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{",
        "[1",
        "[1,]",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "[1] 2",
        "{1:2}",
        "tru",
        "01",
        '"a',
        "[1 2]",
        "]",
    ],
)
def test_the_deep_parser_refuses_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):
        json.loads(text)
    with pytest.raises(ValueError):
        payload._parse_deep(text)


def test_a_body_deeper_than_python_recursion_is_read() -> None:
    depth = 6000
    parsed = payload.parse(b'{"a":' * depth + b"1" + b"}" * depth)
    for _ in range(depth):
        parsed = parsed["a"]
    assert parsed == 1


def test_a_body_deeper_than_the_limit_is_refused() -> None:
    depth = limits.MAX_JSON_DEPTH + 1
    with pytest.raises(EngineError, match="nested too deeply"):
        payload.parse(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "Expected an object"),
        (b"{", "Invalid JSON payload received"),
        (b"\xff{}", "Invalid JSON payload received"),
        (b" " * (10 * 2**20 + 1), "Request payload size exceeds the limit: 10485760 bytes"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        payload.parse(body)


def test_an_empty_body_is_an_empty_object() -> None:
    assert payload.parse(b"") == {}
