"""List.*: rules of the descriptions and of the API documentation's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]
FIVE = [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda five: five.splice(2, 1), [0, 1, 3, 4]),
        (lambda five: five.splice(-2, 1), [0, 1, 2, 4]),
        (lambda five: five.splice(1, 3), [0, 4]),
        (lambda five: five.splice(2, 0, ["X", "Y", "Z"]), [0, 1, "X", "Y", "Z", 2, 3, 4]),
        (lambda five: five.splice(2, 3, ["X", "Y", "Z"]), [0, 1, "X", "Y", "Z"]),
        (lambda five: five.slice(1, -1), [1, 2, 3]),
        (lambda five: five.slice(0, 99, 2), [0, 2, 4]),
        (lambda five: five.get(-1), 4),
        (lambda five: five.insert(-1, 9), [0, 1, 2, 3, 9, 4]),
        (lambda five: five.insert(5, 9), [0, 1, 2, 3, 4, 9]),
        (lambda five: five.set(1, "x"), [0, "x", 2, 3, 4]),
        (lambda five: five.swap(0, -1), [4, 1, 2, 3, 0]),
        (lambda five: five.rotate(2), [3, 4, 0, 1, 2]),
        (lambda five: five.rotate(-1), [1, 2, 3, 4, 0]),
        (lambda five: five.reverse(), [4, 3, 2, 1, 0]),
        (lambda five: five.remove(3), [0, 1, 2, 4]),
        (lambda five: five.removeAll([3, 0, 9]), [1, 2, 4]),
        (lambda five: five.replace(3, 0).replaceAll(0, 7), [7, 1, 2, 7, 4]),
        (lambda five: five.cat([1, 1]).frequency(1), 3),
        (lambda five: five.indexOf(9), -1),
        (lambda five: five.cat([1, 2]).indexOfSublist([1, 2]), 1),
        (lambda five: five.cat([1, 2]).lastIndexOfSubList([1, 2]), 5),
        (lambda five: five.containsAll([4, 0]), True),
        (lambda five: five.zip(["a", "b"]), [[0, "a"], [1, "b"]]),
        (lambda five: five.join("-"), "0-1-2-3-4"),
        (lambda five: five.map(lambda item: ee.Number(item).multiply(2)), [0, 2, 4, 6, 8]),
        (lambda five: five.iterate(lambda item, total: ee.Number(total).add(item), 10), 20),
        (lambda five: five.filter(ee.Filter.gt("item", 2)), [3, 4]),
        (lambda five: five.sort(ee.List([2, 1, 3, 0, 4])), [3, 1, 0, 2, 4]),
        (lambda five: five.equals([0.0, 1, 2, 3, 4]), True),
    ],
)
def test_list(compute: Compute, make: Callable[[Any], Any], expected: Any) -> None:
    assert compute(make(ee.List(FIVE))) == expected


def test_index_out_of_range_is_told_in_earth_engines_words(compute: Compute) -> None:
    for index in (5, -6):
        expected = f"List.get: List index must be between 0 and 4, or -5 and -1. Found {index}."
        with pytest.raises(EngineError) as caught:
            compute(ee.List(FIVE).get(index))
        assert str(caught.value) == expected


def test_an_index_must_be_whole(compute: Compute) -> None:
    assert compute(ee.List(FIVE).get(ee.Number(4).divide(2))) == 2
    with pytest.raises(
        EngineError, match=r"'index': Invalid type.\nExpected type: Integer.\nActual type: Float"
    ):
        compute(ee.List(FIVE).get(ee.Number(5).divide(2)))


def test_numbers_are_equal_across_types_and_booleans_are_no_numbers(compute: Compute) -> None:
    assert compute(ee.List([1, 1.0, True, "1", [1], [1.0]]).distinct()) == [1, True, "1", [1]]
    assert compute(ee.List([1]).contains(True)) is False


def test_flatten_and_unzip(compute: Compute) -> None:
    assert compute(ee.List([1, [2, [3, []]], [[4]]]).flatten()) == [1, 2, 3, 4]
    assert compute(ee.List([[1, 2], [3, 4, 5]]).unzip()) == [[1, 3], [2, 4]]


def test_sort_refuses_what_has_no_order(compute: Compute) -> None:
    assert compute(ee.List(["b", "B", "a"]).sort()) == ["B", "a", "b"]
    with pytest.raises(EngineError, match=r"List\.sort: Cannot compare"):
        compute(ee.List([1, "a"]).sort())


def test_map_gives_null_only_with_drop_nulls(compute: Compute) -> None:
    def odd(item: Any) -> Any:
        return ee.Algorithms.If(ee.Number(item).mod(2), item, None)

    assert compute(ee.List(FIVE).map(odd, True)) == [1, 3]
    with pytest.raises(EngineError, match=r"List\.map: .*null"):
        compute(ee.List(FIVE).map(odd))


def test_sequence(compute: Compute) -> None:
    assert compute(ee.List.sequence(0, 10, 2, 999)) == pytest.approx([10 * i / 998 for i in range(999)])
    assert compute(ee.List.sequence(0, 1, 0.25)) == [0, 0.25, 0.5, 0.75, 1]
    assert compute(ee.List.sequence(5, 0, -2)) == [5, 3, 1]
    assert compute(ee.List.sequence(5, 0)) == []
    for arguments in ((0,), (0, 5, 0), (0, 1e12), (0, None, 1, 10**9)):
        with pytest.raises(EngineError, match=r"List\.sequence"):
            compute(ee.List.sequence(*arguments))


def test_shuffle_is_the_same_for_the_same_seed(compute: Compute) -> None:
    numbers = list(range(50))
    first, again, other = (compute(ee.List(numbers).shuffle(seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert sorted(first) == numbers


def test_typed_getters_check_the_type(compute: Compute) -> None:
    mixed = ee.List([1, "a", ee.Array([1, 2])])
    assert compute(mixed.getNumber(0)) == 1
    assert compute(mixed.getString(1)) == "a"
    assert compute(mixed.getArray(2)).tolist() == [1, 2]
    for getter in (mixed.getString, mixed.getArray):
        with pytest.raises(EngineError, match="Expected type"):
            compute(getter(0))


def test_iterate_takes_thousands_of_steps(compute: Compute) -> None:
    total = ee.List.sequence(1, 5000).iterate(lambda item, sum_: ee.Number(item).add(sum_), 0)
    assert compute(total) == 5000 * 5001 // 2
