"""Each partition has a stack of its own rows under the split's own folds, and WP stands beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

from models.errors import SampleError
from models.learners import CatBoost, LightGBM, Table, XGBoost
from models.partitioned import WP, PartitionedStack, check_partitions
from models.splits import Fold, RandomSplit, SampleKeys
from models.stack import StackedRegressor

TEMPLATE = StackedRegressor((XGBoost(trees=8), LightGBM(trees=8), CatBoost(trees=8)), threads=1)
AGREEMENT = 1e-6  # m³/m³, float32 sums against float64 ones
RULE = RandomSplit(seed=3)


@dataclass(frozen=True)
class Spy:
    """Holds out two tenths of the rows, in two folds with a margin, and remembers whom it was asked for."""

    asked: list[tuple[SampleKeys, int]] = field(default_factory=list)
    impossible: str = ""

    name: ClassVar[str] = "spy"
    promise: ClassVar[str] = "None."

    def outer(self, keys: SampleKeys) -> list[Fold]:
        return self.folds(keys)[:1]

    def folds(self, keys: SampleKeys, n_folds: int = 5) -> list[Fold]:
        self.asked.append((keys, n_folds))
        if keys.partition is not None and set(keys.partition) == {self.impossible}:
            raise SampleError("the spy split finds no place")
        tenth = np.arange(len(keys)) * 10 // len(keys)
        return [(np.flatnonzero(np.abs(tenth - i) > 1), np.flatnonzero(tenth == i)) for i in self.held_tenths]

    held_tenths: ClassVar[tuple[int, int]] = (2, 6)


@pytest.fixture(scope="module")
def keys(samples: Table) -> SampleKeys:
    """The rows belong to two partitions in turn, 1 in 4 to the second; cells and days do not matter here."""
    rows = np.arange(len(samples.y))
    return SampleKeys(
        cell=rows, lon=rows * 0.01, lat=rows * 0.0, partition=np.where(rows % 4 == 0, "hills", "plain")
    )


@pytest.fixture(scope="module")
def model(samples: Table, keys: SampleKeys) -> PartitionedStack:
    return PartitionedStack.fit(TEMPLATE, *samples, keys, RULE, n_folds=2)


@pytest.fixture
def new_rows(samples: Table) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """300 rows in a partition named alternately plain, hills and elsewhere, of which no sample is."""
    X = np.array(samples.X[:300])
    X[:, 0] += 0.1
    return X, np.tile(["plain", "hills", "elsewhere"], 100)


def test_a_row_is_predicted_by_the_stack_of_its_partition_and_by_wp(model, new_rows):
    X, partition = new_rows
    found = model.predict(X, partition, backend="native")
    for name in ("plain", "hills"):
        rows = partition == name
        own = model.parts[name]
        np.testing.assert_allclose(found.stack[rows], own.predict(X[rows]), rtol=0, atol=AGREEMENT)
        np.testing.assert_allclose(found.members[rows], own.predict_members(X[rows]), rtol=0, atol=AGREEMENT)
        assert np.abs(found.stack[rows] - model.whole.predict(X[rows])).max() > 1e-3
    np.testing.assert_allclose(found.wp, model.whole.predict(X), rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(found.wp_members, model.whole.predict_members(X), rtol=0, atol=AGREEMENT)
    assert found.partitioned.tolist() == [name != "elsewhere" for name in partition]


def test_a_row_of_an_unknown_partition_is_predicted_by_wp_alone(model, new_rows):
    X, partition = new_rows
    unknown = partition == "elsewhere"
    found = model.predict(X, partition, backend="native")
    np.testing.assert_array_equal(found.stack[unknown], found.wp[unknown])
    expected = model.whole.predict_members(X[unknown])
    np.testing.assert_allclose(found.members[unknown], expected, rtol=0, atol=AGREEMENT)


def test_rows_without_partition_are_predicted_by_wp_alone(model, new_rows):
    found = model.predict(new_rows[0], backend="native")
    np.testing.assert_array_equal(found.stack, found.wp)
    np.testing.assert_allclose(found.wp, model.whole.predict(new_rows[0]), rtol=0, atol=AGREEMENT)
    assert not found.partitioned.any()


def test_the_order_of_the_rows_does_not_matter(model, new_rows):
    X, partition = new_rows
    order = np.random.default_rng(0).permutation(len(X))
    straight, shuffled = model.predict(X, partition), model.predict(X[order], partition[order])
    np.testing.assert_array_equal(shuffled.stack, straight.stack[order])
    np.testing.assert_array_equal(shuffled.members, straight.members[order])


def test_a_partitions_stack_is_fitted_on_its_own_rows_alone(model, samples, keys):
    for name, own in model.parts.items():
        rows = np.flatnonzero(keys.partition == name)
        alone = clone(TEMPLATE).fit(samples.X[rows], samples.y[rows], RULE.folds(keys.take(rows), 2))
        np.testing.assert_array_equal(own.predict(samples.X), alone.predict(samples.X))
        np.testing.assert_array_equal(own.weights_, alone.weights_)


def test_wp_is_fitted_on_all_rows(model, samples, keys):
    alone = clone(TEMPLATE).fit(*samples, RULE.folds(keys, 2))
    np.testing.assert_array_equal(model.whole.predict(samples.X), alone.predict(samples.X))


def test_stacks_are_named_after_their_partitions_and_wp_comes_last(model):
    assert list(model.stacks) == ["hills", "plain", WP]
    assert model.stacks[WP] is model.whole


def test_every_stack_holds_out_what_the_split_says_of_its_own_rows(samples, keys):
    spy = Spy()
    model = PartitionedStack.fit(TEMPLATE, *samples, keys, spy, n_folds=4)
    hills = np.flatnonzero(keys.partition == "hills")
    plain = np.flatnonzero(keys.partition == "plain")
    asked = [(asked.cell.tolist(), n_folds) for asked, n_folds in spy.asked]
    assert asked == [(keys.cell.tolist(), 4), (hills.tolist(), 4), (plain.tolist(), 4)]
    for stack in model.stacks.values():
        tenth = np.arange(len(stack.oof_)) * 10 // len(stack.oof_)
        held = np.isfinite(stack.oof_).all(axis=1)
        assert set(tenth[held]) == set(Spy.held_tenths)
        assert held.sum() == np.isin(tenth, Spy.held_tenths).sum()


@pytest.mark.parametrize("without", ["partitions", "wish"])
def test_wp_alone_is_fitted_without_partitions_or_where_it_alone_is_wanted(samples, keys, without):
    if without == "partitions":
        keys = SampleKeys(keys.cell, keys.lon, keys.lat)
    among = () if without == "wish" else None
    model = PartitionedStack.fit(TEMPLATE, *samples, keys, RULE, n_folds=2, among=among)
    assert list(model.stacks) == [WP]
    assert not model.predict(samples.X, np.full(len(samples.y), "plain")).partitioned.any()


def test_a_partition_that_is_not_to_have_a_stack_is_predicted_by_wp_and_the_others_as_before(
    samples, keys, model
):
    some = PartitionedStack.fit(TEMPLATE, *samples, keys, RULE, n_folds=2, among=["plain"])
    assert list(some.stacks) == ["plain", WP]
    found, both = (one.predict(samples.X, keys.partition) for one in (some, model))
    plain = keys.partition == "plain"
    np.testing.assert_array_equal(found.partitioned, plain)
    np.testing.assert_array_equal(found.stack[plain], both.stack[plain])
    np.testing.assert_array_equal(found.stack[~plain], both.wp[~plain])
    np.testing.assert_array_equal(found.members[~plain], both.wp_members[~plain])
    assert not np.array_equal(both.stack[~plain], both.wp[~plain])


def test_the_caller_hears_of_each_stack_before_it_is_fitted(samples, keys):
    heard = []
    PartitionedStack.fit(
        TEMPLATE, *samples, keys, RULE, n_folds=2, fitting=lambda name, rows: heard.append((name, rows))
    )
    n = len(samples.y)
    assert heard == [(WP, n), ("partition hills", n // 4), ("partition plain", n - n // 4)]


def test_a_partition_the_split_cannot_be_made_in_is_named(samples, keys):
    with pytest.raises(SampleError, match=r"^partition plain: the spy split finds no place$"):
        PartitionedStack.fit(TEMPLATE, *samples, keys, Spy(impossible="plain"), n_folds=2)


def test_wp_is_named_where_the_split_cannot_be_made_at_all(samples, keys):
    keys = SampleKeys(keys.cell, keys.lon, keys.lat, partition=np.full(len(keys), "one"))
    with pytest.raises(SampleError, match=r"^WP: the spy split finds no place$"):
        PartitionedStack.fit(TEMPLATE, *samples, keys, Spy(impossible="one"), n_folds=2)


def test_every_partition_with_too_few_samples_is_named_with_its_count():
    partition = np.repeat(["plain", "hills", "mountain", "coast"], [10, 9, 11, 1])
    with pytest.raises(SampleError) as caught:
        check_partitions(partition, 10)
    assert re.findall(r"'(\w+)' has (\d+)", str(caught.value)) == [("coast", "1"), ("hills", "9")]
    assert "at least 10 are needed" in str(caught.value)
    assert "np." not in str(caught.value)


def test_enough_samples_are_exactly_the_minimum():
    check_partitions(np.repeat(["plain", "hills"], [10, 11]), 10)


def test_no_partition_may_take_the_name_of_the_model_without_partition():
    with pytest.raises(SampleError, match="may not be named 'WP'"):
        check_partitions(np.repeat(["plain", WP], 100), 10)
