"""Aggregates of a property against Python's statistics module."""

from __future__ import annotations

import statistics

import ee
import pytest

from gee.local.errors import EngineError

VALUES = [3.5, -1, 4, 4, 10]


def table(values):
    return ee.FeatureCollection([ee.Feature(None, {} if value is None else {"x": value}) for value in values])


EXPECTED = {
    "array": VALUES,
    "first": 3.5,
    "count": 5,
    "count_distinct": 4,
    "min": -1,
    "max": 10,
    "sum": 20.5,
    "product": -560.0,
    "mean": statistics.mean(VALUES),
    "sample_sd": statistics.stdev(VALUES),
    "sample_var": statistics.variance(VALUES),
    "total_sd": statistics.pstdev(VALUES),
    "total_var": statistics.pvariance(VALUES),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_nulls_are_no_inputs(compute, name):
    collection = table([*VALUES, None])
    assert compute(getattr(collection, f"aggregate_{name}")("x")) == pytest.approx(EXPECTED[name])


def test_stats_have_the_documented_names_and_relations(compute):
    stats = compute(table([*VALUES, None]).aggregate_stats("x"))
    assert stats == pytest.approx(
        {
            "max": 10,
            "mean": 4.1,
            "min": -1,
            "sample_sd": statistics.stdev(VALUES),
            "sample_var": statistics.variance(VALUES),
            "sum": 20.5,
            "sum_sq": sum(value**2 for value in VALUES),
            "total_count": 6,
            "total_sd": statistics.pstdev(VALUES),
            "total_var": statistics.pvariance(VALUES),
            "valid_count": 5,
            "weight_sum": 5,
            "weighted_sum": 20.5,
        }
    )


def test_histogram_counts_each_value(compute):
    assert compute(table(["gas", "coal", "gas", None]).aggregate_histogram("x")) == {"gas": 2, "coal": 1}
    assert compute(table([1, 2, 1]).aggregate_histogram("x")) == {"1": 2, "2": 1}


def test_text_has_a_smallest_and_a_largest_but_no_mean(compute):
    assert compute(table(["b", "a"]).aggregate_min("x")) == "a"
    assert compute(table(["b", "a"]).aggregate_max("x")) == "b"
    with pytest.raises(EngineError, match="must be numeric"):
        compute(table(["b", "a"]).aggregate_mean("x"))


def test_nothing_has_a_sum_but_no_mean(compute):
    assert compute(table([None]).aggregate_sum("x")) == 0
    assert compute(table([None]).aggregate_mean("x")) is None
    assert compute(table([None]).aggregate_min("x")) is None
    assert compute(table([1]).aggregate_sample_var("x")) is None


PAIRS = [(0, 0), (0, 1), (1, 1), (2, 1), (2, 2), (2, 2)]


def test_error_matrix_has_actual_rows_and_predicted_columns(compute):
    rows = ee.FeatureCollection([ee.Feature(None, {"a": a, "p": p}) for a, p in PAIRS])
    matrix = compute(rows.errorMatrix("a", "p").array())
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 2]]
    ordered = compute(rows.errorMatrix("a", "p", [2, 0]).array())
    assert ordered.tolist() == [[2, 0], [0, 1]]
