"""Joins pair what the condition says, and find it without comparing everything."""

from __future__ import annotations

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.registry import apply as call
from gee.local.selection.joins import Secondary
from gee.local.values import Feature

PRIMARY = [{"id": 1, "t": 0}, {"id": 2, "t": 10}, {"id": 3, "t": 20}, {"id": 4}]
SECONDARY = [
    {"key": 2, "t": 12, "rank": 3},
    {"key": 1, "t": 1, "rank": 2},
    {"key": 2, "t": 9, "rank": 1},
    {"key": 9, "t": 22, "rank": 5},
]


def table(rows):
    return ee.FeatureCollection([ee.Feature(None, row) for row in rows])


@pytest.fixture
def joined(compute):
    """The features a join gives, as property dictionaries."""

    def run(join, condition):
        features = compute(join.apply(table(PRIMARY), table(SECONDARY), condition).toList(100))
        return [feature.properties for feature in features]

    return run


def same_key():
    return ee.Filter.equals(leftField="id", rightField="key")


def near():
    return ee.Filter.maxDifference(3, "t", None, "t")


def test_simple_keeps_the_primary_elements_that_match(joined):
    found = joined(ee.Join.simple(), same_key())
    assert [one["id"] for one in found] == [1, 2]
    assert found[0].keys() == {"id", "t", "system:index"}


def test_inverted_keeps_those_that_match_nothing(joined):
    assert [one["id"] for one in joined(ee.Join.inverted(), same_key())] == [3, 4]


def test_inner_gives_every_pair(joined):
    found = joined(ee.Join.inner(), same_key())
    pairs = [(one["primary"].get("id"), one["secondary"].get("rank")) for one in found]
    assert pairs == [(1, 2), (2, 3), (2, 1)]


def test_inner_takes_other_keys_and_measures(joined):
    found = joined(ee.Join.inner("a", "b", "apart"), near())
    assert [(one["a"].get("id"), one["b"].get("rank"), one["apart"]) for one in found] == [
        (1, 2, 1.0),
        (2, 3, 2.0),
        (2, 1, 1.0),
        (3, 5, 2.0),
    ]


def test_save_first_without_ordering_takes_the_secondary_order(joined):
    found = joined(ee.Join.saveFirst("match"), same_key())
    assert [(one["id"], one["match"].get("rank")) for one in found] == [(1, 2), (2, 3)]


@pytest.mark.parametrize(("ascending", "rank"), [(True, 1), (False, 3)])
def test_save_first_sorts_before_it_takes_one(joined, ascending, rank):
    found = joined(ee.Join.saveFirst("match", "rank", ascending), same_key())
    assert found[1]["match"].get("rank") == rank


def test_save_best_takes_the_smallest_measure_and_writes_it_on_the_match(joined):
    found = joined(ee.Join.saveBest("best", "apart"), near())
    assert [(one["id"], one["best"].get("rank"), one["best"].get("apart")) for one in found] == [
        (1, 2, 1.0),
        (2, 1, 1.0),
        (3, 5, 2.0),
    ]


def test_save_best_refuses_combined_conditions(joined):
    with pytest.raises(EngineError, match="no measure"):
        joined(ee.Join.saveBest("best", "apart"), ee.Filter.And(near(), same_key()))


def test_save_all_orders_the_matches(joined):
    found = joined(ee.Join.saveAll("all", "rank"), same_key())
    assert [(one["id"], [match.get("rank") for match in one["all"]]) for one in found] == [
        (1, [2]),
        (2, [1, 3]),
    ]
    found = joined(ee.Join.saveAll("all", "rank", False, "apart"), near())
    assert [[match.get("rank") for match in one["all"]] for one in found] == [[2], [3, 1], [5]]
    assert [match.get("apart") for match in found[1]["all"]] == [2.0, 1.0]


@pytest.mark.parametrize(
    "make", [lambda: ee.Join.saveFirst("m", outer=True), lambda: ee.Join.saveAll("m", outer=True)]
)
def test_outer_keeps_primary_elements_without_matches(offline_client, joined, make):
    assert [one["id"] for one in joined(make(), same_key())] == [1, 2, 3, 4]


def test_conditions_on_one_side_only_test_that_side(joined):
    only_left = ee.Filter.And(same_key(), ee.Filter.gt("t", 5))
    assert [one["id"] for one in joined(ee.Join.simple(), only_left)] == [2]
    only_right = ee.Filter.And(same_key(), ee.Filter.lessThan(leftValue=2, rightField="rank"))
    assert [one["id"] for one in joined(ee.Join.simple(), only_right)] == [2]


def test_or_of_two_time_conditions(joined):
    other = ee.Filter.maxDifference(1, "t", None, "rank")
    found = joined(ee.Join.saveAll("all"), ee.Filter.Or(near(), other))
    # t = 0: 1 is near, rank 1 is next to it; the others have one or two near in t only.
    assert [[match.get("rank") for match in one["all"]] for one in found] == [[2, 1], [3, 1], [5]]


RELATIONS = ["equals", "notEquals", "lessThan", "lessThanOrEquals", "greaterThan", "greaterThanOrEquals"]


@pytest.mark.parametrize("name", RELATIONS)
def test_searching_finds_what_testing_every_pair_finds(offline_client, name):
    """Against a plain double loop, with missing values on both sides."""
    generator = np.random.default_rng(1)
    draw = [None if value > 18 else int(value) for value in generator.integers(0, 21, 160)]
    lefts = [Feature({"a": value} if value is not None else {}) for value in draw[:80]]
    rights = [Feature({"b": value} if value is not None else {}) for value in draw[80:]]
    condition = call(f"Filter.{name}", {"leftField": "a", "rightField": "b"})
    side = Secondary(rights)
    for left in lefts:
        expected = [right for right in rights if condition.passes(left, right)]
        assert list(side.matches(left, condition)) == expected


def test_a_join_by_time_tests_only_neighbours(offline_client):
    """Two series of 2,000 steps: a nested loop would test four million pairs."""
    tested = 0

    class Counting(Feature):
        def get(self, name):
            nonlocal tested
            tested += 1
            return super().get(name)

    primary = [Feature({"t": step}) for step in range(2000)]
    secondary = [Counting({"t": step + 0.25}) for step in range(2000)]
    condition = call("Filter.maxDifference", {"difference": 1, "leftField": "t", "rightField": "t"})
    side = Secondary(secondary)
    matches = [list(side.matches(element, condition)) for element in primary]
    assert [len(found) for found in matches[1:]] == [2] * 1999
    assert tested < 10_000


def test_a_spatial_join_pairs_by_geometry(compute):
    squares = ee.FeatureCollection(
        [
            ee.Feature(ee.Geometry.Rectangle([x, 0, x + 1, 1], "EPSG:4326", False), {"x": x})
            for x in (0, 5, 10)
        ]
    )
    points = ee.FeatureCollection([ee.Feature(ee.Geometry.Point(x, 0.5), {}) for x in (5.5, 10.5, 20)])
    condition = ee.Filter.intersects(leftField=".geo", rightField=".geo")
    joined = ee.Join.simple().apply(squares, points, condition)
    assert compute(joined.aggregate_array("x")) == [5, 10]
