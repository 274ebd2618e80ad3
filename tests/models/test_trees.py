"""Trees read from a model take every branch that the library takes, whatever the row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import from_dtype
from numpy.typing import NDArray

from models.learners import CatBoost, Learner, LightGBM, Run, Table, XGBoost
from models.trees import READERS, Forest, ObliviousTree, Splits, Tree, just_above

RUN = Run()
LARGEST = float(np.finfo(np.float32).max)
EXACT = {"xgboost": 1e-6, "lightgbm": 1e-9, "catboost": 1e-9}  # XGBoost adds up its leaves in float32


def table(kind: str) -> Table:
    rng = np.random.default_rng(1)
    X = rng.normal(0, 2, (1200, 5)).astype(np.float32)
    X[:, 4] = rng.integers(1, 5, 1200)  # few values, zero is none of them
    y = 0.25 + 0.08 * np.tanh(X[:, 0] * X[:, 1]) + 0.03 * np.sin(X[:, 2]) + 0.01 * X[:, 4]
    y += rng.normal(0, 0.02, 1200)
    gaps = rng.random((1200, 3)) < 0.2
    if kind == "telling gaps":
        y += 0.1 * gaps[:, 0]
    if kind != "complete":
        X[:, :3][gaps] = np.nan
    return Table(X, y.astype(np.float32))


def goes_right(splits: Splits, entry: int, row: list[float]) -> bool:
    value = row[splits.feature[entry]]
    if math.isnan(value):
        return bool(splits.missing_right[entry])
    return value >= float(splits.threshold[entry])


def leaf_of(tree: Tree | ObliviousTree, row: list[float]) -> float:
    if isinstance(tree, ObliviousTree):
        levels = range(len(tree.splits.feature))
        return float(tree.value[sum(goes_right(tree.splits, k, row) << k for k in levels)])
    node = 0
    while tree.left[node] >= 0:
        node = tree.right[node] if goes_right(tree.nodes, node, row) else tree.left[node]
    return float(tree.value[node])


def by_hand(forest: Forest, X: NDArray[np.float32]) -> list[float]:
    """The prediction of every row, one comparison after the other."""
    return [forest.base + sum(leaf_of(tree, row) for tree in forest.trees) for row in X.tolist()]


@pytest.mark.parametrize("kind", ["complete", "gaps", "telling gaps"])
@pytest.mark.parametrize(
    "learner",
    [
        XGBoost(),
        XGBoost(depth=9, bins=1024),
        LightGBM(),
        LightGBM(leaves=200, bins=1000),
        CatBoost(),
        CatBoost(depth=1),
        CatBoost(depth=9),
    ],
    ids=lambda one: f"{one.name}-{getattr(one, 'depth', None) or one.leaves}",
)
def test_rows_on_the_cuts_fall_into_the_leaves_the_library_puts_them_in(learner, kind, rows_on_cuts):
    data = table(kind)
    model = learner.refit(data, learner.bin(data, RUN), 12, RUN)
    forest = READERS[learner.name](model)
    assert len(forest.trees) == 12
    X = rows_on_cuts(Splits.joined([tree.splits for tree in forest.trees]), data.X.shape[1])
    X = np.concatenate([X, data.X[:100]])
    np.testing.assert_allclose(
        by_hand(forest, X), learner.predict(model, X, 1), rtol=0, atol=EXACT[learner.name]
    )


def never_splitting(learner: Learner) -> Table:
    """XGBoost and LightGBM do not split a constant target; CatBoost does, unless no column has a border."""
    rng = np.random.default_rng(2)
    if learner.name == "catboost":
        dead = np.tile(np.array([0.5, np.nan], np.float32), (200, 1))
        return Table(dead, rng.uniform(0.1, 0.4, 200).astype(np.float32))
    return Table(rng.normal(size=(200, 2)).astype(np.float32), np.full(200, 0.3, np.float32))


@pytest.mark.parametrize("learner", [XGBoost(), LightGBM(), CatBoost()], ids=lambda one: one.name)
def test_a_model_that_never_splits_is_the_mean_everywhere(learner):
    data = never_splitting(learner)
    model = learner.refit(data, learner.bin(data, RUN), 3, RUN)
    forest = READERS[learner.name](model)
    assert not any(len(tree.splits.feature) for tree in forest.trees)
    anywhere = np.array([[0, 0], [np.nan, LARGEST], [-LARGEST, np.nan]], np.float32)
    expected = np.full(3, data.y.mean(dtype=np.float64))
    np.testing.assert_allclose(by_hand(forest, anywhere), expected, atol=1e-6)
    np.testing.assert_allclose(learner.predict(model, anywhere, 1), expected, atol=1e-6)


float32s = from_dtype(np.dtype(np.float32), allow_nan=False, allow_infinity=False)
THRESHOLDS = {
    "below": lambda x: np.nextafter(np.float64(x), -np.inf),
    "at": np.float64,
    "above": lambda x: np.nextafter(np.float64(x), np.inf),
    "half way": lambda x: (np.float64(x) + np.float64(np.nextafter(x, np.float32(0)))) / 2,  # where bins end
}


@pytest.mark.filterwarnings("ignore:overflow encountered in nextafter")  # the next after the largest is inf
@settings(deadline=None)
@given(x=float32s, place=st.sampled_from(list(THRESHOLDS)), elsewhere=st.floats(-LARGEST, LARGEST))
@example(x=np.float32(LARGEST), place="at", elsewhere=np.inf)  # LightGBM's cut between present and missing
@example(x=np.float32(-LARGEST), place="below", elsewhere=-LARGEST)
@example(x=np.float32(0), place="below", elsewhere=-0.0)
def test_at_most_a_threshold_is_less_than_the_float_just_above_it(x, place, elsewhere):
    for threshold in (THRESHOLDS[place](x), np.float64(elsewhere)):
        assert (np.float64(x) <= threshold) == (x < just_above(np.array(threshold)))
