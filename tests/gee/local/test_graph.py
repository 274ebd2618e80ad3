"""Expressions as clients send them: sharing, closures, depth, limits and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import ee
import pytest

from gee.local import graph, registry
from gee.local.context import Context, working
from gee.local.errors import EngineError

Json = dict[str, Any]


def constant(value: Any) -> Json:
    return {"constantValue": value}


def reference(key: str) -> Json:
    return {"valueReference": key}


def argument(name: str) -> Json:
    return {"argumentReference": name}


def call(name: str, **arguments: Json) -> Json:
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


def function(names: list[str], body: str) -> Json:
    return {"functionDefinitionValue": {"argumentNames": names, "body": body}}


def expression(result: Json, **values: Json) -> Json:
    return {"result": "result", "values": {"result": result, **values}}


def value_of(result: Json, **values: Json) -> Any:
    return graph.evaluate(graph.decode(expression(result, **values)))


@pytest.fixture(autouse=True)
def in_context(context: Context) -> Iterator[None]:
    with working(context):
        yield


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[Any, ...]]]:
    """The arguments of each call of an algorithm from now on."""

    def count(name: str) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []
        definition = registry.definition(name)

        def counting(*arguments: Any) -> Any:
            calls.append(arguments)
            return definition(*arguments)

        monkeypatch.setitem(registry._DEFINITIONS, name, counting)
        return calls

    return count


def test_equal_sub_expressions_are_one_node_also_across_requests() -> None:
    written = call("Number.add", left=constant(1), right=constant(2))
    inlined = graph.decode(expression({"arrayValue": {"values": [written, dict(written)]}}))
    [first, second] = inlined.children
    referred = graph.decode(expression(reference("sum"), sum=written))
    assert first is second
    assert referred is first


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ("1", 1), ([1], [[1]]), (None, "null")])
def test_different_constants_are_different_nodes(one: Any, other: Any) -> None:
    assert graph.decode(expression(constant(one))) is not graph.decode(expression(constant(other)))


def test_what_is_used_often_is_computed_once(counted: Any) -> None:
    calls = counted("Number.add")
    total = call("Number.add", left=constant(1), right=constant(2))
    product = call("Number.multiply", left=reference("sum"), right=reference("sum"))
    assert value_of(product, sum=total) == 9
    assert len(calls) == 1


def test_what_a_mapped_function_takes_from_nowhere_is_computed_once(
    compute: Callable[[Any], Any], counted: Any
) -> None:
    squares, sums = counted("Number.pow"), counted("Number.add")
    offset = ee.Number(3).pow(2)
    mapped = ee.List([1, 2, 3, 4]).map(lambda item: ee.Number(item).add(offset))
    assert compute(mapped) == [10, 11, 12, 13]
    assert len(squares) == 1
    assert len(sums) == 4


def test_an_inner_function_sees_the_arguments_of_the_outer_one(
    compute: Callable[[Any], Any], counted: Any
) -> None:
    tens = counted("Number.multiply")
    table = ee.List([1, 2]).map(
        lambda outer: ee.List([1, 2, 3]).map(lambda inner: ee.Number(outer).multiply(10).add(inner))
    )
    assert compute(table) == [[11, 12, 13], [21, 22, 23]]
    assert len(tens) == 2  # depends on the outer element alone


def test_an_inner_argument_hides_an_outer_one_of_its_name() -> None:
    inner = call("List.map", list=constant([5, 6]), baseAlgorithm=reference("identity"))
    outer = call("List.map", list=constant([1, 2]), baseAlgorithm=reference("whole"))
    values = {
        "identity": function(["x"], "x"),
        "x": argument("x"),
        "whole": function(["x"], "inner"),
        "inner": inner,
    }
    assert value_of(outer, **values) == [[5, 6], [5, 6]]


def test_a_function_reference_is_called_with_its_arguments_by_name() -> None:
    difference = call("Number.subtract", left=argument("a"), right=argument("b"))
    invoked = {
        "functionInvocationValue": {
            "functionReference": "minus",
            "arguments": {"b": constant(1), "a": constant(10)},
        }
    }
    assert value_of(invoked, minus=function(["a", "b"], "body"), body=difference) == 9


def test_a_function_called_without_an_argument_names_it() -> None:
    invoked = {"functionInvocationValue": {"functionReference": "minus", "arguments": {"a": constant(10)}}}
    body = call("Number.subtract", left=argument("a"), right=argument("b"))
    with pytest.raises(EngineError, match="without its argument 'b'"):
        value_of(invoked, minus=function(["a", "b"], "body"), body=body)


def test_a_value_that_is_no_function_cannot_be_applied() -> None:
    with pytest.raises(EngineError, match="not a function"):
        value_of({"functionInvocationValue": {"functionReference": "one", "arguments": {}}}, one=constant(1))


@pytest.mark.parametrize(
    "values",
    [
        {"a": {"valueReference": "a"}},
        {"a": call("Number.abs", input=reference("b")), "b": call("Number.abs", input=reference("a"))},
        {"a": {"arrayValue": {"values": [reference("a")]}}},
        {"a": function(["x"], "a")},
    ],
)
def test_a_value_that_refers_to_itself_is_refused(values: Json) -> None:
    with pytest.raises(EngineError, match="cycle"):
        graph.decode({"result": "a", "values": values})


def test_an_unknown_reference_is_named() -> None:
    with pytest.raises(EngineError, match="'nowhere'"):
        graph.decode(expression(call("Number.abs", input=reference("nowhere"))))
    with pytest.raises(EngineError, match="'missing'"):
        graph.decode({"result": "missing", "values": {}})


def test_an_argument_outside_its_function_is_refused() -> None:
    with pytest.raises(EngineError, match="argument 'x' outside its function"):
        value_of(call("Number.abs", input=argument("x")))


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        {"constantValue": 1, "valueReference": "a"},
        {"noSuchField": 1},
        {"integerValue": "one"},
        {"bytesValue": "not base64!"},
        {"arrayValue": 3},
        {"dictionaryValue": []},
        {"functionInvocationValue": {"arguments": {}}},
        {"functionDefinitionValue": {"argumentNames": ["x"]}},
        "text",
        None,
        [1],
    ],
)
def test_malformed_nodes_are_refused(malformed: Any) -> None:
    with pytest.raises(EngineError):
        graph.decode({"result": "result", "values": {"result": malformed}})


@pytest.mark.parametrize("malformed", [{}, {"values": {}}, {"result": "0"}, {"values": [], "result": "0"}])
def test_an_expression_needs_values_and_a_result(malformed: Json) -> None:
    with pytest.raises(EngineError, match="'values' and 'result'"):
        graph.decode(malformed)


def test_integers_of_64_bits_arrive_as_text() -> None:
    assert value_of({"integerValue": str(2**63 - 1)}) == 2**63 - 1


def test_lists_and_dictionaries_are_made_of_computed_values() -> None:
    two = call("Number.add", left=constant(1), right=constant(1))
    assert value_of({"arrayValue": {"values": [constant("a"), two]}}) == ["a", 2]
    assert value_of({"dictionaryValue": {"values": {"k": two, "l": constant(None)}}}) == {"k": 2, "l": None}


def test_a_chain_of_five_thousand_steps_needs_no_recursion() -> None:
    values = {"0": constant(0)}
    for step in range(1, 5001):
        values[str(step)] = call("Number.add", left=reference(str(step - 1)), right=constant(step))
    written = {"result": "5000", "values": values}
    assert graph.evaluate(graph.decode(written)) == 5000 * 5001 // 2
    nested = constant(0)
    for _ in range(5000):
        nested = call("Number.add", left=nested, right=constant(1))
    assert value_of(nested) == 5000


def doubling(levels: int) -> Json:
    """A list of two mapped over a function that maps a list of two, and so on: 2 ** levels calls."""
    values: Json = {}
    for level in range(levels):
        values[f"map{level}"] = call(
            "List.map", list=constant([1, 2]), baseAlgorithm=reference(f"function{level}")
        )
        # The body uses the argument, so that it is not one value for all elements.
        values[f"function{level}"] = function([f"x{level}"], f"body{level}")
        body = reference(f"map{level + 1}") if level + 1 < levels else constant(0)
        pair = {"arrayValue": {"values": [argument(f"x{level}"), body]}}
        values[f"body{level}"] = pair
        if level:
            values[f"map{level}"]["functionInvocationValue"]["arguments"]["list"] = {
                "arrayValue": {"values": [argument(f"x{level - 1}"), constant(2)]}
            }
    return {"result": "map0", "values": values}


def test_exponential_fan_out_is_stopped_by_the_budget(context: Context) -> None:
    context.budget = 20_000
    assert len(graph.evaluate(graph.decode(doubling(8)))) == 2  # 2 ** 8 elements fit
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"User memory limit exceeded\."):
        graph.evaluate(graph.decode(doubling(40)))
    assert time.monotonic() - started < 10


def test_a_computation_past_its_deadline_is_given_up(context: Context) -> None:
    context.deadline = time.monotonic() - 1
    numbers = {"0": constant(0)}
    for step in range(1, 3000):
        numbers[str(step)] = call("Number.add", left=reference(str(step - 1)), right=constant(1))
    with pytest.raises(EngineError, match=r"Computation timed out\."):
        graph.evaluate(graph.decode({"result": "2999", "values": numbers}))


def test_a_cancelled_computation_stops(context: Context) -> None:
    context.stopped = True
    with pytest.raises(EngineError, match="cancelled"):
        context.check()


def test_errors_name_the_innermost_algorithm(compute: Callable[[Any], Any]) -> None:
    with pytest.raises(EngineError, match=r"^List\.get: ") as raised:
        compute(ee.Number(ee.List([1]).get(5)).add(1))
    assert raised.value.code == 400
    with pytest.raises(EngineError, match=r"^Image\.select: Band pattern 'z' did not match"):
        compute(ee.List([1]).map(lambda item: ee.Image(1).select("z").set("a", item)))
