"""Reducers of one input against NumPy and SciPy, per cell, with masks, weights and nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gee.local.errors import EngineError
from gee.local.reduction import moments as reducers_moments
from gee.local.reduction import order as reducers_order
from gee.local.reduction import running as reducers_running
from gee.local.reduction.reducers import Reducer, as_values, boxed
from gee.local.values import PixelType

CELLS = (3, 4)
ALL = reducers_running.REDUCERS | reducers_moments.REDUCERS | reducers_order.REDUCERS


def variance(x: Any, w: Any) -> float:
    return float(np.average((x - np.average(x, weights=w)) ** 2, weights=w))


def sample_variance(x: Any, w: Any) -> float:
    return variance(x, w) * w.sum() / (w.sum() - 1)


def moment(x: Any, w: Any, power: int) -> float:
    mean = np.average(x, weights=w)
    return float(np.average((x - mean) ** power, weights=w)) / variance(x, w) ** (power / 2)


def resultant(x: Any, w: Any) -> complex:
    return complex(np.average(np.exp(1j * x), weights=w))


# What each reducer gives for the valid values x of a cell and their weights w.
EXPECTED: dict[str, Callable[[Any, Any], float]] = {
    "count": lambda x, w: len(x),
    "sum": lambda x, w: (x * w).sum(),
    "mean": lambda x, w: np.average(x, weights=w),
    "variance": variance,
    "stdDev": lambda x, w: math.sqrt(variance(x, w)),
    "sampleVariance": sample_variance,
    "sampleStdDev": lambda x, w: math.sqrt(sample_variance(x, w)),
    "skew": lambda x, w: moment(x, w, 3),
    "kurtosis": lambda x, w: moment(x, w, 4) - 3,
    "circularMean": lambda x, w: np.angle(resultant(x, w)),
    "circularVariance": lambda x, w: 1 - abs(resultant(x, w)),
    "circularStddev": lambda x, w: math.sqrt(-2 * math.log(abs(resultant(x, w)))),
    "product": lambda x, w: np.prod(x),
    "first": lambda x, w: x[0],
    "firstNonNull": lambda x, w: x[0],
    "last": lambda x, w: x[-1],
    "lastNonNull": lambda x, w: x[-1],
    "median": lambda x, w: np.median(x),
    "mode": lambda x, w: stats.mode(x).mode,
    "allNonZero": lambda x, w: np.all(x != 0),
    "anyNonZero": lambda x, w: np.any(x != 0),
    "countDistinct": lambda x, w: len(set(x.tolist())),
    "countDistinctNonNull": lambda x, w: len(set(x.tolist())),
    "countRuns": lambda x, w: 1 + np.count_nonzero(np.diff(x)),
}
INTEGERS = {
    "bitwiseAnd": np.bitwise_and.reduce,
    "bitwiseOr": np.bitwise_or.reduce,
}


def stack(dtype: str, seed: int = 1) -> tuple[Any, Any, Any]:
    """Simulated values with repeats and zeros, masked ones being rubbish; mask and fractional weights."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 6, (23, *CELLS)).astype(dtype)
    if dtype.startswith("float"):
        values = values / np.array(4, dtype)
    mask = random.random(values.shape) < 0.7
    mask[:, 0, 0] = True
    weights = np.where(mask, random.integers(1, 5, values.shape) / 4, 0.0)
    values[~mask] = np.nan if dtype.startswith("float") else 5
    return values, mask, weights


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16"])
@pytest.mark.parametrize("name", EXPECTED)
def test_reducers_give_what_numpy_gives_for_the_unmasked_values_of_each_cell(name: str, dtype: str) -> None:
    values, mask, weights = stack(dtype)
    reducer = ALL[name]
    for given in (mask, weights):
        [(result, valid)] = reducer([values], given)
        assert result.shape == valid.shape == CELLS
        assert valid.all()
        for cell in np.ndindex(CELLS):
            here = mask[(slice(None), *cell)]
            x = values[(slice(None), *cell)][here].astype(float)
            w = given[(slice(None), *cell)][here].astype(float)
            expected = EXPECTED[name](x, w if reducer.weighted else np.ones(len(x)))
            assert result[cell] == pytest.approx(float(expected), rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("name", INTEGERS)
def test_bitwise_reducers_combine_the_bits_of_unmasked_integers(name: str) -> None:
    values, mask, _ = stack("uint8")
    [(result, _)] = ALL[name]([values], mask)
    for cell in np.ndindex(CELLS):
        assert result[cell] == INTEGERS[name](values[(slice(None), *cell)][mask[(slice(None), *cell)]])
    with pytest.raises(EngineError, match="integer"):
        ALL[name]([values.astype(float)], mask)


@pytest.mark.parametrize("name", [name for name, reducer in ALL.items() if reducer.begin is not None])
def test_layers_given_one_by_one_give_what_the_whole_stack_gives(name: str) -> None:
    reducer = ALL[name]
    whole_numbers = name.startswith("bitwise")
    stacks = [stack("int16" if whole_numbers else "float32", seed) for seed in range(reducer.inputs)]
    values = [each[0] for each in stacks]
    weights = stacks[0][2]
    if "ovariance" in name:
        values = [np.where(np.isnan(values[0]), 1, values[0])]
        weights = weights[:, :, 0]
    layers = reducer.accumulator(weights.shape[1:], [each.dtype for each in values])
    assert layers is not None
    for step in range(len(weights)):
        layers.add([each[step] for each in values], weights[step])
    for (result, valid), (expected, known) in zip(layers.result(), reducer(values, weights), strict=True):
        assert np.array_equal(valid, known)
        np.testing.assert_allclose(
            result.astype(float)[valid], expected.astype(float)[known], rtol=1e-10, atol=1e-12
        )


def test_reducers_that_need_all_inputs_together_have_no_accumulator() -> None:
    waiting = {name for name, reducer in ALL.items() if reducer.accumulator((), [np.dtype(float)]) is None}
    assert waiting == {
        "median", "mode", "skew", "kurtosis", "frequencyHistogram",
        "countDistinct", "countDistinctNonNull", "countRuns",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["mean", "variance", "minMax", "last", "median"])
def test_a_long_column_is_reduced_in_blocks_without_a_seam(name: str) -> None:
    values = np.random.default_rng(3).normal(1e6, 1, 300_001)
    found = [as_values(result) for result in ALL[name]([values], np.ones(values.shape, bool))]
    expected = {
        "mean": [values.mean()],
        "variance": [values.var()],
        "minMax": [values.min(), values.max()],
        "last": [values[-1]],
        "median": [np.median(values)],
    }[name]
    assert found == pytest.approx(expected, rel=1e-9)


def test_variance_of_large_numbers_keeps_its_digits_when_layers_come_one_by_one() -> None:
    values = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    layers = ALL["variance"].accumulator((), [values.dtype])
    assert layers is not None
    for value in values:
        layers.add([np.asarray(value)], np.asarray(True))
    assert as_values(layers.result()[0]) == 22.5


@pytest.mark.parametrize("name", [name for name in ALL if name != "frequencyHistogram"])
@pytest.mark.parametrize("length", [0, 3])
def test_without_inputs_counts_are_zero_and_everything_else_is_null(name: str, length: int) -> None:
    reducer = ALL[name]
    values = [np.full((length, 2), 7, np.int16) for _ in range(reducer.inputs)]
    if "ovariance" in name:
        values = [np.full((length, 2, 3), 7.0)]
    for result, valid in reducer(values, np.zeros((length, 2), bool)):
        if name == "countEvery":
            assert valid.all() and (result == length).all()
        elif name.startswith("count"):
            assert valid.all() and (result == 0).all()
        else:
            assert not valid.any()


def test_a_cell_without_inputs_is_masked_beside_one_that_has_some() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    [(result, valid)] = ALL["mean"]([values], np.array([[True, False], [True, False]]))
    assert valid.tolist() == [True, False]
    assert result.tolist() == [2.0, 0.0]


def test_sums_of_integers_stay_integers_and_do_not_wrap() -> None:
    [(total, _)] = ALL["sum"]([np.full((300, 1), 255, np.uint8)], np.ones((300, 1), bool))
    assert total.dtype == np.int64
    assert total.item() == 76_500


def test_extremes_give_the_companions_of_the_first_extreme() -> None:
    key = np.array([2, 5, 5, 9])
    companion = np.array([10, 20, 30, 40])
    mask = np.array([True, True, True, False])
    greatest = reducers_running.extreme(True, 2)
    assert greatest.outputs == ("max", "max1")
    assert [as_values(result) for result in greatest([key, companion], mask)] == [5, 20]
    assert [as_values(result) for result in reducers_running.extreme(False, 2)([key, companion], mask)] == [
        2,
        10,
    ]


def test_an_extreme_as_great_as_its_type_allows_is_told_from_masked_ones() -> None:
    key = np.array([9, 0, 0], np.uint8)
    mask = np.array([False, False, True])
    found = reducers_running.extreme(True, 2)([key, np.array([1, 2, 3])], mask)
    assert [as_values(result) for result in found] == [0, 3]


def test_percentiles_are_minimum_median_and_maximum_and_linear_between() -> None:
    values, mask, _ = stack("float32")
    reducer = reducers_order.percentile([0, 10, 50, 100], None)
    assert reducer.outputs == ("p0", "p10", "p50", "p100")
    results = reducer([values], mask)
    for cell in np.ndindex(CELLS):
        x = values[(slice(None), *cell)][mask[(slice(None), *cell)]].astype(float)
        found = [float(result[cell]) for result, _ in results]
        assert found == pytest.approx([x.min(), np.percentile(x, 10), np.median(x), x.max()])


def test_percentile_names_are_given_or_told_from_the_percentile() -> None:
    assert reducers_order.percentile([2.5, 97.5], None).outputs == ("p2.5", "p97.5")
    assert reducers_order.percentile([25], ["lower"]).outputs == ("lower",)
    for percents, names in (([101], None), ([-1], None), ([], None), ([50], ["a", "b"])):
        with pytest.raises(EngineError):
            reducers_order.percentile(percents, names)


def test_the_interval_mean_leaves_out_what_lies_outside_of_the_percentiles() -> None:
    values = np.array([100.0, 1, 2, 3, 4, 5, 6, 7, 8, -50])
    # Each lies between an end and its neighbour, so that only the two ends fall out.
    low, high = np.percentile(values, [10, 90])
    expected = values[(values >= low) & (values <= high)].mean()
    assert as_values(reducers_order.interval_mean(10, 90)([values], np.ones(10, bool))[0]) == expected == 4.5


def test_of_equally_frequent_values_the_mode_is_the_least() -> None:
    values = np.array([7, 3, 7, 3, 1])
    assert as_values(ALL["mode"]([values], np.ones(5, bool))[0]) == 3


def test_histogram_buckets_are_a_power_of_two_wide_and_start_at_a_multiple() -> None:
    values = np.array([0.3, 0.4, 1.0, 3.9])
    found = as_values(reducers_order.histogram(4, None)([values], np.ones(4, bool))[0])
    # [0, 1) [1, 2) [2, 3) [3, 4): half as wide would need eight.
    assert found["bucketMin"] == 0 and found["bucketWidth"] == 1
    assert found["histogram"] == [2, 1, 0, 1]
    assert found["bucketMeans"] == pytest.approx([0.35, 1.0, 2.5, 3.9])


def test_histogram_counts_weights_and_whole_numbers_have_buckets_of_one() -> None:
    values = np.array([60, 61, 63, 63], np.int16)
    found = as_values(reducers_order.histogram(None, None)([values], np.array([1, 0.5, 0.25, 1]))[0])
    assert found == {
        "bucketMin": 60, "bucketWidth": 1, "histogram": [1, 0.5, 0, 1.25], "bucketMeans": [60, 61, 62.5, 63],
    }  # fmt: skip


@pytest.mark.parametrize(("buckets", "width"), [(3, 1), (5, 0.5), (8, 0.5), (9, 0.25)])
def test_the_number_of_buckets_is_rounded_up_to_a_power_of_two(buckets: int, width: float) -> None:
    values = np.array([0.0, 3.9])
    found = as_values(reducers_order.histogram(buckets, None)([values], np.ones(2, bool))[0])
    assert found["bucketWidth"] == width


def test_histogram_buckets_are_not_narrower_than_asked() -> None:
    found = as_values(reducers_order.histogram(64, 0.3)([np.array([0.0, 1.0])], np.ones(2, bool))[0])
    assert found["bucketWidth"] == 0.3
    assert found["histogram"] == [1, 0, 0, 1]


def test_the_automatic_histogram_is_an_array_of_bounds_and_counts() -> None:
    values = np.array([[1, 1], [2, 9], [2, 9]])
    mask = np.array([[True, True], [True, False], [True, False]])
    [(result, valid)] = reducers_order.auto_histogram(4, None, True)([values], mask)
    assert valid.all()
    assert [each.tolist() for each in result] == [[[1, 1], [2, 3]], [[1, 1]]]


def test_the_fixed_histogram_counts_in_half_open_buckets_and_ignores_the_rest() -> None:
    values = np.array([-1, 0, 0.5, 1, 2.9, 3, 9])
    weights = np.array([1, 1, 0.5, 1, 1, 1, 1])
    [(result, _)] = reducers_order.fixed_histogram(0, 3, 3, False)([values], weights)
    assert result.tolist() == [[0, 1.5], [1, 1], [2, 1]]
    [(result, _)] = reducers_order.fixed_histogram(0, 3, 3, True)([values], weights)
    assert result[:, 1].tolist() == [1.5, 2.5, 3.5]


def test_the_fixed_histogram_of_each_cell_is_that_of_numpy() -> None:
    values, mask, weights = stack("float64")
    [(result, _)] = reducers_order.fixed_histogram(0.1, 1.2, 5, False)([values], weights)
    assert result.shape == (*CELLS, 5, 2)
    for cell in np.ndindex(CELLS):
        here = mask[(slice(None), *cell)]
        x, w = values[(slice(None), *cell)][here], weights[(slice(None), *cell)][here]
        inside = x < 1.2
        counts, edges = np.histogram(x[inside], 5, (0.1, 1.2), weights=w[inside])
        np.testing.assert_allclose(result[cell][:, 1], counts)
        np.testing.assert_allclose(result[cell][:, 0], edges[:-1])


def test_the_two_dimensional_histogram_is_that_of_numpy_and_unweighted() -> None:
    x, y = np.random.default_rng(2).random((2, 200)) * 1.2
    reducer = reducers_order.fixed_2d_histogram((0, 1, 4), (0, 1, 3))
    counts, rows, columns = (as_values(result) for result in reducer([x, y], np.full(200, 0.5)))
    inside = (x < 1) & (y < 1)
    expected, _, _ = np.histogram2d(x[inside], y[inside], (4, 3), ((0, 1), (0, 1)))
    assert np.array_equal(counts, expected)
    assert rows.tolist() == [0, 0.25, 0.5, 0.75]
    np.testing.assert_allclose(columns, [0, 1 / 3, 2 / 3])


def test_the_frequency_histogram_has_weights_by_value_as_text() -> None:
    reducer = ALL["frequencyHistogram"]
    found = as_values(reducer([np.array([2, 1, 2, 3])], np.array([1, 1, 0.5, 0]))[0])
    assert found == {"1": 1.0, "2": 1.5}
    words = boxed((4,), ["b", "a", None, "b"])
    assert as_values(reducer([words], np.ones(4, bool))[0]) == {"a": 1, "b": 2}
    assert as_values(reducer([np.array([0.5, 1.0])], np.ones(2, bool))[0]) == {"0.5": 1, "1": 1}


def test_nulls_are_inputs_only_where_the_description_says_so() -> None:
    items = boxed((6,), [None, "a", "a", None, "b", None])
    everything = np.ones(6, bool)
    found = {
        name: as_values(ALL[name]([items], everything)[0])
        for name in (
            "count", "countEvery", "countDistinct", "countDistinctNonNull", "countRuns",
            "first", "firstNonNull", "last", "lastNonNull",
        )
    }  # fmt: skip
    assert found == {
        "count": 3, "countEvery": 6, "countDistinct": 3, "countDistinctNonNull": 2, "countRuns": 2,
        "first": None, "firstNonNull": "a", "last": None, "lastNonNull": "b",
    }  # fmt: skip


def test_a_first_input_that_is_a_list_comes_back_whole() -> None:
    items = boxed((2,), [[1, [2]], "later"])
    assert as_values(ALL["first"]([items], np.ones(2, bool))[0]) == [1, [2]]


def test_text_is_no_number() -> None:
    with pytest.raises(EngineError, match="String as a number"):
        ALL["mean"]([boxed((2,), [1, "two"])], np.ones(2, bool))


def test_arrays_are_no_numbers_but_may_be_first() -> None:
    pixels = np.arange(12.0).reshape(2, 3, 2)
    mask = np.array([[False, True, True], [True, True, False]])
    with pytest.raises(EngineError, match="forEachElement"):
        ALL["mean"]([pixels], mask)
    [(result, valid)] = ALL["first"]([pixels], mask)
    assert valid.all()
    assert result.tolist() == [[6, 7], [2, 3], [4, 5]]


def test_the_wrong_number_of_inputs_is_refused_in_earth_engines_words() -> None:
    with pytest.raises(EngineError, match=r"Need 2 inputs for Reducer\.linearFit, got 1\."):
        ALL["linearFit"]([np.zeros(3)], np.ones(3, bool))


def test_lists_are_flat_or_of_tuples_and_optional_inputs_may_be_null() -> None:
    x = boxed((3,), [1, None, 3])
    y = boxed((3,), [None, 5, 6])
    everything = np.ones(3, bool)

    def found(reducer: Reducer, *values: Any) -> Any:
        return as_values(reducer(values, everything)[0])

    assert found(reducers_order.to_list(None, 0), x) == [1, 3]
    assert found(reducers_order.to_list(1, 0), x) == [[1], [3]]
    assert found(reducers_order.to_list(2, 0), x, y) == [[3, 6]]
    assert found(reducers_order.to_list(2, 1), x, y) == [[1, None], [3, 6]]
    assert found(reducers_order.to_list(2, 2), x, y) == [[1, None], [None, 5], [3, 6]]


def test_lists_of_pixels_are_arrays_that_differ_in_length() -> None:
    values = np.array([[1, 2], [3, 4]])
    [(result, valid)] = reducers_order.to_list(None, 0)([values], np.array([[True, True], [True, False]]))
    assert [each.tolist() for each in result] == [[1, 3], [2]]
    assert valid.all()


def test_collected_tuples_become_features() -> None:
    reducer = reducers_order.to_collection(["a", "b"], 0)
    collection = as_values(reducer([np.array([1, 2]), np.array([3, 4])], np.ones(2, bool))[0])
    properties = [{name: feature.properties[name] for name in ("a", "b")} for feature in collection]
    assert reducer.outputs == ("features",)
    assert properties == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", PixelType("double")),
        ("first", PixelType("int", 0, 255)),
        ("mode", PixelType("int", 0, 255)),
        ("allNonZero", PixelType("int", 0, 1)),
        ("median", PixelType("double")),
        ("covariance", PixelType("double", dimensions=2)),
    ],
)
def test_types_of_the_outputs(name: str, expected: PixelType) -> None:
    assert ALL[name].output_types([PixelType("int", 0, 255)])[0] == expected


def test_pixels_cannot_hold_dictionaries() -> None:
    with pytest.raises(EngineError, match="pixels cannot hold"):
        reducers_order.histogram(None, None).output_types([PixelType("double")])


def test_keys_tell_reducers_and_their_parameters_apart() -> None:
    some = [
        *ALL.values(),
        reducers_order.percentile([10], None),
        reducers_order.percentile([20], None),
        reducers_running.extreme(True, 1),
        reducers_running.extreme(True, 2),
    ]
    assert len({reducer.key for reducer in some}) == len(some)
    assert reducers_order.percentile([10], None).key == reducers_order.percentile([10], None).key


def test_the_result_after_each_input_is_that_of_the_inputs_so_far() -> None:
    values = np.array([[3.0, 1.0], [5.0, 1.0], [1.0, 4.0]])
    everything = np.ones(values.shape, bool)
    for name, accumulated in (("sum", np.cumsum), ("minMax", np.minimum.accumulate)):
        result, valid = ALL[name].running([values], everything)[0]
        assert valid.all()
        assert np.array_equal(result, accumulated(values, axis=0))
    [(medians, _)] = ALL["median"].running([values], everything)
    assert medians[:, 0].tolist() == [3, 4, 3]
