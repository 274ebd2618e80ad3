"""Algorithms by name: their documented arguments, defaults, types and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import gee.local.algorithms  # noqa: F401  (registers the algorithms)
from gee.local import registry
from gee.local.context import Context, working
from gee.local.errors import EngineError
from gee.local.registry import algorithm, apply, coverage, promote, promotion, signatures


@pytest.fixture(autouse=True)
def in_context(context: Context) -> Iterator[None]:
    with working(context):
        yield


@pytest.fixture
def defined(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Define an algorithm for one test."""

    def define(name: str, definition: Any) -> None:
        monkeypatch.setitem(registry._DEFINITIONS, name, definition)

    return define


def test_signatures_are_those_the_client_ships() -> None:
    reduce_region = signatures()["Image.reduceRegion"]
    assert reduce_region.returns == "Dictionary<Object>"
    assert [argument.name for argument in reduce_region.arguments] == [
        "image",
        "reducer",
        "geometry",
        "scale",
        "crs",
        "crsTransform",
        "bestEffort",
        "maxPixels",
        "tileScale",
    ]
    required = [argument.name for argument in reduce_region.arguments if not argument.optional]
    assert required == ["image", "reducer"]
    assert reduce_region.arguments[7].default == 1e7


def test_arguments_come_in_documented_order_with_their_defaults(defined: Any) -> None:
    defined("Number.clamp", lambda *arguments: arguments)
    assert apply("Number.clamp", {"max": 3, "min": 2, "number": 1}) == (1, 2, 3)
    defined("Image.unmask", lambda *arguments: arguments[1:])
    assert apply("Image.unmask", {"input": 1}) == (None, True)
    assert apply("Image.unmask", {"input": 1, "sameFootprint": None}) == (None, True)
    assert apply("Image.unmask", {"input": 1, "sameFootprint": False}) == (None, False)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Number.add", {"left": 1}, "Number.add: Parameter 'right' is required and may not be null."),
        ("Number.add", {"left": 1, "right": None}, "Number.add: Parameter 'right' is required"),
        ("Number.add", {"left": 1, "right": 2, "third": 3}, "Number.add: Unrecognized argument 'third'."),
        (
            "Number.add",
            {"left": "x", "right": 2},
            "Number.add, argument 'left': Invalid type.\nExpected type: Number.",
        ),
        ("Number.noSuch", {}, "Unrecognized function name: 'Number.noSuch'."),
    ],
)
def test_wrong_calls_are_told_apart(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError) as raised:
        apply(name, arguments)
    assert raised.value.message.startswith(message)
    assert raised.value.code == 400


def test_an_invalid_type_tells_what_came(defined: Any) -> None:
    with pytest.raises(EngineError) as raised:
        apply("Number.add", {"left": {"a": 1}, "right": 2})
    assert "Actual type: Dictionary<Object>." in raised.value.message
    assert "{'a': 1}" in raised.value.message
    with pytest.raises(EngineError) as raised:
        apply("Number.add", {"left": "x" * 10_000, "right": 2})
    assert len(raised.value.message) < 500


def test_a_documented_algorithm_without_definition_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry._DEFINITIONS, "Number.add")
    with pytest.raises(EngineError, match=r"Algorithm 'Number\.add' is not supported by the local engine"):
        apply("Number.add", {"left": 1, "right": 2})
    assert {signature.name: done for signature, done in coverage()}["Number.add"] is False


def test_errors_name_the_innermost_algorithm_once(defined: Any) -> None:
    def refuse(*_: Any) -> Any:
        raise EngineError("No.")

    defined("Number.abs", refuse)
    defined("Number.ceil", lambda value: apply("Number.abs", {"input": value}))
    with pytest.raises(EngineError, match=r"^Number\.abs: No\.$"):
        apply("Number.ceil", {"input": 1})


def test_the_status_of_an_error_is_kept(defined: Any) -> None:
    def missing(*_: Any) -> Any:
        raise EngineError("Gone.", "NOT_FOUND")

    defined("Number.abs", missing)
    with pytest.raises(EngineError) as raised:
        apply("Number.abs", {"input": 1})
    assert raised.value.code == 404
    assert raised.value.as_json() == {
        "error": {"code": 404, "message": "Number.abs: Gone.", "status": "NOT_FOUND"}
    }


def test_lists_and_dictionaries_are_promoted_by_element() -> None:
    assert promote([1, 2.5], "List<Number>") == [1, 2.5]
    with pytest.raises(TypeError):
        promote(["x"], "List<Number>")
    assert promote(None, "Image") is None
    assert promote("anything", "Object") == "anything"
    with pytest.raises(EngineError, match="Values of type NoSuch are not supported"):
        promote(1, "NoSuch")


def test_an_algorithm_must_be_documented_and_defined_once() -> None:
    with pytest.raises(ValueError, match=r"documents no algorithm named 'Number\.noSuch'"):
        algorithm("Number.noSuch")(abs)
    with pytest.raises(ValueError, match="defined twice"):
        algorithm("Number.add")(abs)
    with pytest.raises(ValueError, match="defined twice"):
        promotion("Image")(abs)
