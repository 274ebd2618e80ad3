"""Combined, repeated, grouped and reweighted reducers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.reduction import combined as combined
from gee.local.reduction import moments as reducers_moments
from gee.local.reduction import order as reducers_order
from gee.local.reduction import running as reducers_running
from gee.local.reduction.reducers import Reducer, as_values, boxed
from gee.local.values import PixelType

ALL = reducers_running.REDUCERS | reducers_moments.REDUCERS | reducers_order.REDUCERS
MEAN, SUM, COUNT, MEDIAN = (ALL[name] for name in ("mean", "sum", "count", "median"))
LIST = reducers_order.to_list(None, 0)


def reduced(reducer: Reducer, *columns: Any, weights: Any = None) -> dict[str, Any]:
    """Outputs by name for columns of numbers."""
    inputs = [np.asarray(column) for column in columns]
    given = np.ones(len(inputs[0]), bool) if weights is None else np.asarray(weights)
    return {
        name: as_values(result) for name, result in zip(reducer.outputs, reducer(inputs, given), strict=True)
    }


def test_combined_reducers_share_inputs_or_take_their_own() -> None:
    shared = combined.combine(MEAN, COUNT, "n_", True)
    assert shared.inputs == 1
    assert reduced(shared, [1, 2, 6]) == {"mean": 3, "n_count": 3}
    apart = combined.combine(MEAN, ALL["linearFit"], "fit_", False)
    assert apart.inputs == 3
    assert reduced(apart, [5, 7], [0, 1], [1, 4]) == {"mean": 6, "fit_scale": 3, "fit_offset": 1}


def test_a_shared_input_counts_fractionally_for_the_weighted_reducer_only() -> None:
    shared = combined.combine(MEAN, COUNT, "", True)
    assert reduced(shared, [1.0, 3.0, 9.0], weights=[1, 0.5, 0]) == {"mean": 2.5 / 1.5, "count": 2}
    assert shared.weighting == (True,)


def test_combinations_are_refused_when_inputs_or_names_do_not_fit() -> None:
    with pytest.raises(EngineError, match="same number of inputs"):
        combined.combine(MEAN, ALL["linearFit"], "", True)
    with pytest.raises(EngineError, match="unique: 'mean'"):
        combined.combine(MEAN, MEAN, "", True)


@pytest.mark.parametrize("second", [COUNT, MEDIAN])
def test_a_combination_accumulates_when_all_its_parts_do(second: Reducer) -> None:
    both = combined.combine(MEAN, second, "", True)
    values = np.arange(12.0).reshape(4, 3)
    layers = both.accumulator((3,), [values.dtype])
    assert (layers is None) == (second is MEDIAN)
    if layers is not None:
        for layer in values:
            layers.add([layer], np.ones(3, bool))
        assert [result.tolist() for result, _ in layers.result()] == [[4.5, 5.5, 6.5], [4, 4, 4]]


def test_repeated_reducers_give_lists_one_entry_per_copy() -> None:
    assert reduced(combined.repeat(SUM, 2), [1, 2], [10, 20]) == {"sum": [3, 30]}
    assert reduced(combined.repeat(LIST, 2), [1, 2], [10, 20]) == {"list": [[1, 2], [10, 20]]}
    with pytest.raises(EngineError):
        combined.repeat(SUM, 0)


def test_the_list_of_a_repeated_reducer_holds_null_for_a_copy_without_inputs() -> None:
    reducer = combined.repeat(MEAN, 2)
    values = [np.array([1.0, 3.0]), np.array([5.0, 5.0])]
    [result] = reducer(values, [np.ones(2, bool), np.zeros(2, bool)])
    assert as_values(result) == [2.0, None]


def test_repeated_reducers_of_pixels_give_arrays() -> None:
    reducer = combined.repeat(MEAN, 2)
    x = np.arange(6.0).reshape(2, 3)
    [(result, valid)] = reducer([x, 10 * x], np.ones((2, 3), bool))
    assert result.tolist() == [[1.5, 15], [2.5, 25], [3.5, 35]]
    assert valid.all()
    assert reducer.output_types([PixelType("float")] * 2) == [PixelType("double", dimensions=1)]


def test_for_each_names_single_outputs_and_prefixes_several() -> None:
    assert combined.for_each(MEAN, ["a", "b"]).outputs == ("a", "b")
    both = combined.for_each(ALL["minMax"], ["a", "b"])
    assert reduced(both, [1, 2], [5, 3]) == {"a_min": 1, "a_max": 2, "b_min": 3, "b_max": 5}


def test_outputs_are_renamed_or_dropped() -> None:
    reducer = combined.set_outputs(ALL["linearFit"], ["slope", None])
    assert reduced(reducer, [0, 1], [1, 4]) == {"slope": 3}
    assert reducer.output_types([PixelType("float")] * 2) == [PixelType("double")]
    for names in (["only"], ["", ""], ["a", "a"]):
        with pytest.raises(EngineError):
            combined.set_outputs(ALL["linearFit"], names)


def test_an_unweighted_reducer_takes_every_input_that_is_not_masked_fully() -> None:
    reducer = combined.unweighted(MEAN)
    assert not reducer.weighted
    assert reduced(reducer, [1.0, 3.0, 100.0], weights=[0.1, 0.9, 0]) == {"mean": 2}
    assert reducer.key != MEAN.key


def test_split_weights_come_from_an_input_of_their_own() -> None:
    reducer = combined.split_weights(MEAN)
    assert reducer.inputs == 2 and not reducer.weighted
    assert reduced(reducer, [1.0, 5.0, 99.0], [3, 1, 0], weights=[0.5, 0.1, 1]) == {"mean": 2}
    assert combined.split_weights(COUNT).inputs == 1
    assert combined.split_weights(ALL["linearFit"]).inputs == 4


def test_split_weights_of_a_combination_follow_each_weighted_input() -> None:
    reducer = combined.split_weights(combined.combine(COUNT, SUM, "", False))
    assert reducer.inputs == 3
    assert reduced(reducer, [7, 7], [1.0, 2.0], [10, 0.5]) == {"count": 2, "sum": 11}


def test_groups_are_in_order_of_the_field_and_reduce_the_other_inputs() -> None:
    reducer = combined.group(combined.repeat(SUM, 2), 1, "code")
    assert reducer.inputs == 3
    found = reduced(reducer, [1, 2, 4], [9, 5, 9], [10, 20, 40])
    assert found == {"groups": [{"code": 5, "sum": [2, 20]}, {"code": 9, "sum": [5, 50]}]}


def test_grouped_inputs_keep_their_weights_and_masked_groups_are_none() -> None:
    reducer = combined.group(MEAN, 1, "group")
    assert reducer.weighting == (True, False)
    values = [np.array([1.0, 3.0, 8.0]), np.array([4, 4, 7])]
    [result] = reducer(values, [np.array([1, 0.5, 1]), np.array([True, True, False])])
    assert as_values(result) == [{"group": 4, "mean": 2.5 / 1.5}]


def test_inputs_whose_groups_are_all_masked_make_no_groups() -> None:
    reducer = combined.group(SUM, 1, "code")
    values, nothing = np.array([1.0, 2.0]), np.zeros(2)
    [result] = reducer.reduce([(values, np.ones(2)), (values, nothing)])
    assert as_values(result) == []


def test_groups_of_groups_and_of_text() -> None:
    inner = combined.group(COUNT, 1, "inner")
    outer = combined.group(inner, 2, "outer")
    names = boxed((3,), ["b", "a", "b"])
    [result] = outer([np.array([1, 1, 1]), np.array([2, 3, 3]), names], np.ones(3, bool))
    assert as_values(result) == [
        {"outer": "a", "groups": [{"inner": 3, "count": 1}]},
        {"outer": "b", "groups": [{"inner": 2, "count": 1}, {"inner": 3, "count": 1}]},
    ]


def test_many_groups_agree_with_a_count_of_each() -> None:
    random = np.random.default_rng(5)
    codes = random.integers(0, 300, 20_000)
    values = random.random(20_000)
    found = reduced(combined.group(SUM, 1, "code"), values, codes)["groups"]
    expected = np.bincount(codes, values)
    assert [group["code"] for group in found] == list(range(300))
    np.testing.assert_allclose([group["sum"] for group in found], expected)


def test_each_element_of_arrays_is_reduced_on_its_own() -> None:
    reducer = combined.for_each_element(SUM)
    values = np.arange(20).reshape(5, 2, 2)
    found = reducer([values], np.ones(5, bool))
    assert np.array_equal(as_values(found[0]), values.sum(axis=0))
    listed = boxed((3,), [np.array([1, 2]), None, np.array([3, 5])])
    assert as_values(reducer([listed], np.ones(3, bool))[0]).tolist() == [4, 7]
    assert reducer.output_types([PixelType("float", dimensions=2)]) == [PixelType("double", dimensions=2)]


def test_each_element_of_array_pixels_is_reduced_with_the_pixels_mask() -> None:
    values = np.arange(24.0).reshape(3, 4, 2)
    mask = np.ones((3, 4), bool)
    mask[:, 3] = False
    mask[0, 0] = False
    [(result, valid)] = combined.for_each_element(MEAN)([values], mask)
    assert valid.tolist() == [True, True, True, False]
    assert result[0].tolist() == values[1:, 0].mean(axis=0).tolist()
    assert result[1].tolist() == values[:, 1].mean(axis=0).tolist()


def test_arrays_of_different_shapes_are_refused() -> None:
    with pytest.raises(EngineError, match="different shapes"):
        combined.for_each_element(SUM)([boxed((2,), [np.array([1]), np.array([1, 2])])], np.ones(2, bool))


def test_members_of_aggregates_are_given_one_by_one() -> None:
    items = boxed((5,), [np.array([[1, 2], [3, 4]]), [5, None], {"key": 6}, 7, None])
    everything = np.ones(5, bool)
    assert as_values(combined.disaggregate(SUM)([items], everything)[0]) == 28
    assert as_values(combined.disaggregate(COUNT)([items], everything)[0]) == 7


def test_arrays_are_disaggregated_completely_or_along_an_axis() -> None:
    values = np.arange(24).reshape(2, 3, 4)
    everything = np.ones(2, bool)
    assert as_values(combined.disaggregate(SUM)([values], everything)[0]) == values.sum()
    reducer = combined.disaggregate(combined.for_each_element(SUM), 1)
    assert as_values(reducer([values], everything)[0]).tolist() == values.sum(axis=(0, 2)).tolist()
    pixels = np.arange(24.0).reshape(2, 3, 4)
    mask = np.array([[True, True, True], [True, False, True]])
    [(result, _)] = combined.disaggregate(SUM)([pixels], mask)
    assert result.tolist() == [pixels[:, 0].sum(), pixels[0, 1].sum(), pixels[:, 2].sum()]
