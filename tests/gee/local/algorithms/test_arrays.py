"""Array.*: the examples of the API documentation's pages that print a result, and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]


def listed(compute: Compute, array: Any) -> Any:
    return compute(array).tolist()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), [1, 2, 3, 4, 5, 6]),
        ((0, 2), [3, 4, 5, 6]),
        ((0, 6), []),
        ((0, 0, -3), [1, 2, 3]),
        ((0, -2, 6), [5, 6]),
        ((0, 0, 10, 4), [1, 5]),
        ((0, 2, 6, 2), [3, 5]),
    ],
)
def test_slice(compute: Compute, arguments: tuple[int, ...], expected: list[int]) -> None:
    assert listed(compute, ee.Array([1, 2, 3, 4, 5, 6]).slice(*arguments)) == expected


def test_slice_keeps_the_dimensions(compute: Compute) -> None:
    array = ee.Array([[1, 2], [3, 4], [5, 6]])
    assert listed(compute, array.slice(1, 1)) == [[2], [4], [6]]
    assert listed(compute, array.slice(0, 1, 3, 2)) == [[3, 4]]


@pytest.mark.parametrize(
    ("array", "mask", "expected"),
    [
        ([1], [0], []),
        ([0, 1, 2, 3], [0, 4, -1, 1.2], [1, 2, 3]),
        ([[1, 2, 3, 4]], [[1, 0, 1, 1]], [[1, 3, 4]]),
        ([[1, 2, 3, 4]], [[0, 0, 0, 0]], [[]]),
        ([[1], [2], [3], [4]], [[1], [0], [1], [1]], [[1], [3], [4]]),
        ([[1], [2], [3], [4]], [[0], [0], [0], [0]], []),
        ([[1, 2], [3, 4]], [[0, 1]], [[2], [4]]),
    ],
)
def test_mask_keeps_what_is_parallel_to_non_zero(
    compute: Compute, array: Any, mask: Any, expected: Any
) -> None:
    assert listed(compute, ee.Array(array).mask(ee.Array(mask))) == expected


def test_mask_has_several_elements_along_one_axis_only(compute: Compute) -> None:
    with pytest.raises(EngineError, match="one axis only"):
        compute(ee.Array([[1, 2], [3, 4]]).mask([[0, 1], [1, 0]]))


def test_cut(compute: Compute) -> None:
    array = ee.Array([[0, 1, 2], [3, 4, 5]])
    assert listed(compute, array.cut([-1, 0])) == [[0], [3]]
    assert listed(compute, array.cut([1, -1])) == [[3, 4, 5]]
    with pytest.raises(EngineError, match=r"Array\.cut"):
        compute(array.cut([2, 0]))


def test_accum_is_a_running_reduction(compute: Compute) -> None:
    array = ee.Array([2, -2, 3, 1])
    assert listed(compute, array.accum(0)) == [2, 0, 3, 4]
    assert listed(compute, array.accum(0, ee.Reducer.max())) == [2, 2, 3, 3]
    assert listed(compute, array.accum(0, ee.Reducer.mean())) == [2, 0, 1, 1]
    assert listed(compute, ee.Array([2, -2, 3]).accum(0, ee.Reducer.product())) == [2, -4, -12]
    assert listed(compute, ee.Array([[1, 3], [5, 7]]).accum(0)) == [[1, 3], [6, 10]]
    assert listed(compute, ee.Array([[1, 3], [5, 7]]).accum(1, ee.Reducer.sum())) == [[1, 4], [5, 12]]


def test_bits_to_array(compute: Compute) -> None:
    assert listed(compute, ee.Array.bitsToArray(0)) == [0]
    assert listed(compute, ee.Array.bitsToArray(5)) == [1, 0, 1]
    assert listed(compute, ee.Array.bitsToArray(6)) == [0, 1, 1]
    assert listed(compute, ee.Array.bitsToArray(-1).toInt8()) == [1] * 64


def test_elements_take_the_smallest_sufficient_type(compute: Compute) -> None:
    assert compute(ee.Array([1, 2])).dtype == np.int32
    assert compute(ee.Array([1, 2**40])).dtype == np.int64
    assert compute(ee.Array([1, 2.5])).dtype == np.float64
    assert compute(ee.Array([300, -5], ee.PixelType.uint8())).tolist() == [255, 0]


@pytest.mark.parametrize("values", [[[1], [2, 3]], ["a"], [1, None], []])
def test_uneven_or_other_lists_are_no_arrays(compute: Compute, values: Any) -> None:
    with pytest.raises(EngineError, match="Array"):
        compute(ee.Array(values))


def test_a_number_meets_every_element_and_other_shapes_are_refused(compute: Compute) -> None:
    assert listed(compute, ee.Array([[1, 2], [3, 4]]).add(1)) == [[2, 3], [4, 5]]
    with pytest.raises(EngineError, match=r"Array.add: Array lengths differ: \[2\] and \[3\]"):
        compute(ee.Array([1, 2]).add([1, 2, 3]))


def test_integer_arrays_do_not_overflow(compute: Compute) -> None:
    assert listed(compute, ee.Array([2**31 - 1]).multiply([2**31 - 1])) == [(2**31 - 1) ** 2]


def test_pad_repeat_project_reshape_transpose(compute: Compute) -> None:
    array = ee.Array([[0, 1, 2], [3, 4, 5]])
    plain = np.arange(6).reshape(2, 3)
    assert listed(compute, array.pad([3, 2], 9)) == [[0, 1, 2], [3, 4, 5], [9, 9, 9]]
    assert listed(compute, array.repeat(1, 2)) == np.tile(plain, (1, 2)).tolist()
    assert listed(compute, ee.Array([1, 2]).repeat(1, 3)) == [[1, 1, 1], [2, 2, 2]]
    assert listed(compute, array.reshape([3, -1])) == plain.reshape(3, -1).tolist()
    assert listed(compute, array.transpose()) == plain.T.tolist()
    assert listed(compute, array.slice(0, 0, 1).project([1])) == [0, 1, 2]
    with pytest.raises(EngineError, match=r"Array\.project"):
        compute(array.project([0]))
    with pytest.raises(EngineError, match="Cannot reshape"):
        compute(array.reshape([4, -1]))


def test_sort_by_keys_along_their_axis(compute: Compute) -> None:
    assert listed(compute, ee.Array([3, 1, 2]).sort()) == [1, 2, 3]
    assert listed(compute, ee.Array([[1, 2], [3, 4]]).sort([[1], [0]])) == [[3, 4], [1, 2]]
    assert listed(compute, ee.Array([[1, 2], [3, 4]]).sort([[1, 0]])) == [[2, 1], [4, 3]]


def test_cat_unites_the_types(compute: Compute) -> None:
    joined = compute(ee.Array.cat([ee.Array([1], ee.PixelType.int8()), ee.Array([2.5])], 0))
    assert joined.tolist() == [1, 2.5]
    with pytest.raises(EngineError, match=r"Array\.cat"):
        compute(ee.Array.cat([ee.Array([[1, 2]]), ee.Array([[1]])], 0))


def test_get_dot_product_length_to_list(compute: Compute) -> None:
    assert compute(ee.Array([1, 2, 3]).dotProduct([4, 5, 6])) == 32
    assert listed(compute, ee.Array([[1, 2, 3]]).length()) == [1, 3]
    assert compute(ee.Array([[1, 2]]).toList()) == [[1, 2]]
    with pytest.raises(EngineError, match=r"Array\.get: Position"):
        compute(ee.Array([1]).get([1]))


def test_sizes_are_bounded(compute: Compute) -> None:
    with pytest.raises(EngineError, match="too large"):
        compute(ee.Array([1]).repeat(0, 10**9))
    with pytest.raises(EngineError, match="too large"):
        compute(ee.Array.identity(10**6))
