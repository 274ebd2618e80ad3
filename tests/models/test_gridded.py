"""A map is predicted as its pixels and days are as rows, whatever stays and whatever changes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models import gridded, inference
from models.errors import SampleError
from models.gridded import DAILY, MOVING, STILL, GridPredictor
from models.inference import Predictor
from models.learners import CatBoost, LightGBM, Table, XGBoost
from models.stack import StackedRegressor
from models.trees import READERS, Splits

DAYS, PIXELS = 5, 400
Features = list[NDArray[np.float32]]


@pytest.fixture(scope="module")
def stack(samples: Table) -> StackedRegressor:
    learners = (XGBoost(trees=25), LightGBM(trees=25), CatBoost(trees=25))
    return StackedRegressor(learners, n_folds=2, threads=2, patience=1000).fit(*samples)


@pytest.fixture(scope="module")
def deep() -> StackedRegressor:
    """Trees too wide for a word, beside some that are not, and more thresholds than a byte counts."""
    rng = np.random.default_rng(9)
    X = rng.normal(size=(4000, 3)).astype(np.float32)
    X[rng.random(4000) < 0.2, 1] = np.nan
    y = 0.25 + 0.1 * np.sin(20 * X[:, 0]) + 0.02 * np.nan_to_num(X[:, 1]) + rng.normal(0, 0.02, 4000)
    learners = (
        XGBoost(trees=10, depth=8, bins=1024), LightGBM(trees=10, leaves=150, bins=1000), CatBoost(trees=10),
    )  # fmt: skip
    return StackedRegressor(learners, n_folds=2, threads=2, patience=1000).fit(X, y.astype(np.float32))


def grid(values: NDArray[np.float32], kinds: Sequence[int]) -> Features:
    """Planes of values drawn from the columns of rows."""
    rng = np.random.default_rng(3)
    shape = {STILL: (1, PIXELS), DAILY: (DAYS, 1), MOVING: (DAYS, PIXELS)}
    return [rng.choice(column, shape[kind]) for column, kind in zip(values.T, kinds, strict=True)]


def as_rows(features: Features, pixels: NDArray[np.intp]) -> NDArray[np.float32]:
    """One row for each day and pixel."""
    return np.stack([np.broadcast_to(one, (DAYS, PIXELS))[:, pixels].ravel() for one in features], axis=1)


def around_cuts(stack: StackedRegressor, rows_on_cuts) -> NDArray[np.float32]:
    splits = Splits.joined([
        tree.splits for name, model in stack.models_.items() for tree in READERS[name](model).trees
    ])  # fmt: skip
    return rows_on_cuts(splits, stack.n_features_in_)


KINDS = {
    "as in a study": (*[MOVING] * 9, *[STILL] * 8, DAILY),
    "all still": (STILL,) * 18,
    "all of the day": (DAILY,) * 18,
    "all moving": (MOVING,) * 18,
    "mixed": (STILL, DAILY, MOVING) * 6,
}


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("sheet", [1, 7 * DAYS, gridded.SHEET])
def test_a_map_is_what_its_rows_are_bit_for_bit(stack, kinds, sheet, rows_on_cuts, monkeypatch):
    monkeypatch.setattr(gridded, "SHEET", sheet)
    features = grid(around_cuts(stack, rows_on_cuts), kinds)
    pixels = np.array([0, 399, 7, 8, 9, *range(40, 90)])
    predictor = GridPredictor(stack, kinds)
    assert predictor.backend == "compiled"
    found = predictor.predict(features, pixels, DAYS)
    rows = Predictor(stack, threads=1).predict(as_rows(features, pixels), np.empty(found.size))
    np.testing.assert_array_equal(found, rows.reshape(found.shape))


@pytest.mark.parametrize("kinds", [(STILL, MOVING, DAILY), (MOVING, STILL, STILL), (DAILY, DAILY, MOVING)])
def test_wide_trees_and_many_thresholds_are_what_the_libraries_say(deep, kinds, rows_on_cuts):
    features = grid(around_cuts(deep, rows_on_cuts), kinds)
    pixels = np.arange(0, PIXELS, 3)
    found = GridPredictor(deep, kinds).predict(features, pixels, DAYS)
    by_libraries = deep.predict(as_rows(features, pixels)).reshape(DAYS, -1)
    np.testing.assert_allclose(found, by_libraries, rtol=0, atol=1e-6)


def test_no_pixels_are_no_predictions(stack):
    kinds = KINDS["as in a study"]
    found = GridPredictor(stack, kinds).predict(
        grid(np.zeros((2, 18), np.float32), kinds), np.arange(0), DAYS
    )
    assert found.shape == (DAYS, 0)


def test_without_the_compiler_the_libraries_predict_the_same(stack, samples, monkeypatch):
    kinds = KINDS["mixed"]
    features, pixels = grid(samples.X, kinds), np.arange(5, 50)
    compiled = GridPredictor(stack, kinds).predict(features, pixels, DAYS)
    monkeypatch.setattr(inference, "numba", None)
    predictor = GridPredictor(stack, kinds)
    assert predictor.backend == "native"
    np.testing.assert_allclose(predictor.predict(features, pixels, DAYS), compiled, rtol=0, atol=1e-6)


def test_another_number_of_predictors_is_refused(stack):
    with pytest.raises(SampleError, match="takes 18 predictors, not 2"):
        GridPredictor(stack, [STILL, MOVING])


@pytest.mark.parametrize("weights", [(0.25, 0.0, 0.75), (0.0, 1.0, 0.0)])
@pytest.mark.parametrize("which", ["stack", "deep"])
def test_a_map_without_some_members_is_what_its_rows_are_bit_for_bit(weights, which, request, rows_on_cuts):
    refusing = copy.copy(request.getfixturevalue(which))
    refusing.weights_ = np.array(weights)
    kinds = KINDS["as in a study"] if which == "stack" else (STILL, MOVING, DAILY)
    features, pixels = grid(around_cuts(refusing, rows_on_cuts), kinds), np.arange(0, PIXELS, 3)
    predictor = GridPredictor(refusing, kinds)
    assert len(predictor._members) == np.count_nonzero(weights)
    found = predictor.predict(features, pixels, DAYS)
    by_rows = Predictor(refusing, threads=1).predict(as_rows(features, pixels), np.empty(found.size))
    np.testing.assert_array_equal(found, by_rows.reshape(found.shape))
    by_libraries = refusing.predict(as_rows(features, pixels)).reshape(found.shape)
    np.testing.assert_allclose(found, by_libraries, rtol=0, atol=1e-6)
