"""Reducers as the ee client sends them, on lists and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local import registry
from gee.local.errors import EngineError

Compute = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("items", "make", "expected"),
    [
        # From the documented examples of ee.Reducer.count.
        ([], lambda: ee.Reducer.count(), 0),
        ([1, None, 3], lambda: ee.Reducer.count(), 2),
        ([1, "", 3], lambda: ee.Reducer.count(), 3),
        ([1, None, 3], lambda: ee.Reducer.countEvery(), 3),
        ([1, 2, 6], lambda: "mean", 3),
        ([1, 2, 6], lambda: ee.Reducer.sum(), 9),
        ([], lambda: ee.Reducer.mean(), None),
        ([4, 1, 3, 2], lambda: ee.Reducer.median(), 2.5),
        ([4, 1, 3, 2], lambda: ee.Reducer.minMax(), {"min": 1, "max": 4}),
        ([4, 1, 3], lambda: ee.Reducer.percentile([0, 50, 100]), {"p0": 1, "p50": 3, "p100": 4}),
        ([[0, 1], [1, 3], [2, 5]], lambda: ee.Reducer.linearFit(), {"scale": 2, "offset": 1}),
        ([[3, 10], [7, 20], [7, 30]], lambda: ee.Reducer.max(2), {"max": 7, "max1": 20}),
        ([1, 2, 2], lambda: ee.Reducer.frequencyHistogram(), {"1": 1, "2": 2}),
        ([3, 1, 3], lambda: ee.Reducer.toList(), [3, 1, 3]),
        ([[1, 2], [3, 4]], lambda: ee.Reducer.toList(2), [[1, 2], [3, 4]]),
        ([6, 3], lambda: ee.Reducer.bitwiseAnd(), 2),
        ([6, 3], lambda: ee.Reducer.bitwiseOr(), 7),
        ([1, 0], lambda: ee.Reducer.anyNonZero(), 1),
        ([1, 0], lambda: ee.Reducer.allNonZero(), 0),
        ([2, 4], lambda: ee.Reducer.mean().combine("stdDev", "s_", True), {"mean": 3, "s_stdDev": 1}),
        ([[1, 10], [2, 20]], lambda: ee.Reducer.sum().repeat(2), [3, 30]),
        ([[5, 1], [6, 2]], lambda: ee.Reducer.sum().group(1, "g"), [{"g": 1, "sum": 5}, {"g": 2, "sum": 6}]),
        ([[1, 3], [5, 1]], lambda: ee.Reducer.mean().splitWeights(), 2),
        ([[1, 3], [5, 1]], lambda: ee.Reducer.mean().forEach(["a", "b"]), {"a": 3, "b": 2}),
        ([[1, 3], [5, 1]], lambda: ee.Reducer.sum().disaggregate(), 10),
        ([[1, 3], [5, 1]], lambda: ee.Reducer.mean().unweighted().repeat(2).setOutputs(["m"]), [3, 2]),
    ],
)  # fmt: skip
def test_lists_are_reduced(
    items: list[Any], make: Callable[[], Any], expected: Any, compute: Compute
) -> None:
    assert compute(ee.List(items).reduce(make())) == expected


def test_reduced_integers_can_index_lists(compute: Compute) -> None:
    items = ee.List([1, 0, 1])
    assert compute(ee.List(["a", "b", "c"]).get(items.reduce(ee.Reducer.sum()))) == "c"


def test_lists_of_tuples_must_fit_the_inputs(compute: Compute) -> None:
    with pytest.raises(EngineError, match=r"^List\.reduce: Each element must be a list of 2 inputs\."):
        compute(ee.List([[1, 2], [3]]).reduce(ee.Reducer.linearFit()))


@pytest.mark.parametrize(
    ("reducer", "axes", "expected"),
    [
        # The documented examples of ee.Reducer.count.
        ("count", [0], [[2, 2, 2]]),
        ("count", [1], [[3], [3]]),
        ("count", [1, 0], [[6]]),
        ("sum", [0], [[2, 2, 6]]),
        ("max", [1], [[3], [3]]),
    ],
)
def test_arrays_are_reduced_along_axes_that_stay(
    reducer: str, axes: list[int], expected: Any, compute: Compute
) -> None:
    array = ee.Array([[1, 0, 3], [1, 2, 3]])
    assert compute(array.reduce(getattr(ee.Reducer, reducer)(), axes)).tolist() == expected


def test_fields_of_an_array_are_inputs_and_outputs(compute: Compute) -> None:
    points = ee.Array([[0, 1], [1, 3], [2, 5]])
    assert compute(points.reduce(ee.Reducer.linearFit(), [0], 1)).tolist() == [[2, 1]]
    values = np.arange(12).reshape(1, 4, 3)
    found = compute(ee.Array(values.tolist()).reduce(ee.Reducer.minMax(), [1], 0))
    assert found.tolist() == [[[0, 1, 2]], [[9, 10, 11]]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: a.reduce(ee.Reducer.linearFit(), [0]), "'fieldAxis' is required"),
        (lambda a: a.reduce(ee.Reducer.linearFit(), [0], 0), "is one of the axes"),
        (lambda a: a.reduce(ee.Reducer.sum(), [2]), "out of range"),
        (lambda a: a.reduce(ee.Reducer.toList(), [0]), "must be a number"),
    ],
)
def test_axes_that_do_not_fit_are_refused(make: Callable[[Any], Any], message: str, compute: Compute) -> None:
    with pytest.raises(EngineError, match=message):
        compute(make(ee.Array([[1, 2, 3], [4, 5, 6]])))


def test_outputs_are_named(compute: Compute) -> None:
    reducer = ee.Reducer.percentile([10, 90]).combine(ee.Reducer.circularStddev(), "c_", True)
    assert compute(reducer.getOutputs()) == ["p10", "p90", "c_circularStdDev"]


def test_every_documented_reducer_and_kernel_is_supported_but_the_undocumented_one() -> None:
    missing = [
        signature.name
        for signature, supported in registry.coverage()
        if signature.name.startswith(("Reducer.", "Kernel.")) and not supported
    ]
    # "Some doc" is all that is said of it.
    assert missing == ["Reducer.histogramCombiner"]
