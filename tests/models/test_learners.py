"""The three learners keep one contract: same stop, same binning for every fold, same answers twice."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from models.learners import DEFAULT_LEARNERS, CatBoost, Learner, LightGBM, Plateau, Run, Table, XGBoost
from models.trees import READERS, Splits

RUN = Run()
ROWS = 900
SHUFFLED = np.random.default_rng(5).permutation(ROWS)
FIT, HELD = SHUFFLED[:600], SHUFFLED[600:]

each_learner = pytest.mark.parametrize("learner", DEFAULT_LEARNERS, ids=lambda one: one.name)

UP_TO: dict[str, Callable[[Any, NDArray[np.float32], int], NDArray[np.floating]]] = {
    "xgboost": lambda model, X, trees: model.predict(xgboost.DMatrix(X), iteration_range=(0, trees)),
    "lightgbm": lambda model, X, trees: model.predict(X, num_iteration=trees),
    "catboost": lambda model, X, trees: model.predict(X, ntree_end=trees),
}
TRAINED: dict[str, Callable[[Any], int]] = {
    "xgboost": lambda model: model.num_boosted_rounds(),
    "lightgbm": lambda model: model.num_trees(),
    "catboost": lambda model: model.tree_count_,
}


def table(gaps: float = 0.0) -> Table:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(ROWS, 4)).astype(np.float32)
    y = 0.25 + 0.05 * X[:, 0] + 0.05 * np.sin(2 * X[:, 1]) + 0.02 * rng.normal(size=ROWS)
    X[rng.random(X.shape) < gaps] = np.nan
    return Table(X, y.astype(np.float32))


def noise() -> Table:
    return table()._replace(y=np.random.default_rng(4).normal(0.25, 0.05, ROWS).astype(np.float32))


def trained(learner: Learner, data: Table, run: Run = RUN):
    return learner.train(data, learner.bin(data, run), FIT, HELD, run)


def refitted(learner: Learner, data: Table, trees: int = 20, run: Run = RUN):
    return learner.refit(data, learner.bin(data, run), trees, run)


def rmse(predicted, observed) -> float:
    return float(np.sqrt(np.mean((predicted - observed) ** 2)))


@pytest.mark.parametrize(
    ("history", "reached"),
    [
        ([], False),
        ([1.0, 1.0], False),  # no tree before the last two to compare with
        ([1.0, 1.0, 1.0], True),
        ([1.0, 1.2, 1.4], True),
        ([1.0, 0.95, 0.91], True),  # a gain of 9 %
        ([1.0, 0.95, 0.89], False),  # of 11 %
        ([1.0, 0.89, 1.5], False),  # the gain may come from any of the last trees
        ([1.0, 0.5, 0.5], False),
        ([1.0, 0.5, 0.5, 0.5], True),
        ([0.5, 1.0, 0.6, 0.55], True),  # less than the best so far, not less than the one before
    ],
)
def test_a_plateau_is_two_trees_that_gain_less_than_a_tenth(history, reached):
    assert Plateau(patience=2, tolerance=0.1).reached(history) is reached


@pytest.mark.parametrize("data", [noise(), table(gaps=0.1)], ids=["noise", "signal"])
@each_learner
def test_training_stops_at_the_first_plateau_and_counts_the_trees_to_the_least_error(learner, data):
    fitted = trained(learner, data)
    count = TRAINED[learner.name](fitted.model)
    history = [
        rmse(UP_TO[learner.name](fitted.model, data.X[HELD], k), data.y[HELD]) for k in range(1, count + 1)
    ]
    patience, tolerance = RUN.plateau.patience, RUN.plateau.tolerance
    gains = [1 - min(history[k - patience : k]) / min(history[: k - patience]) for k in range(21, count + 1)]
    assert count < learner.trees
    assert gains[-1] < tolerance <= min(gains[:-1], default=np.inf)
    assert fitted.trees == np.argmin(history) + 1


@each_learner
def test_trees_end_at_the_cap_without_a_plateau(learner):
    run = Run(plateau=Plateau(patience=50))
    short = type(learner)(trees=8)
    assert TRAINED[learner.name](trained(short, noise(), run).model) == 8


@each_learner
def test_held_out_predictions_are_those_of_the_counted_trees_in_the_order_of_the_rows(learner):
    data = table(gaps=0.1)
    fitted = trained(learner, data)
    expected = UP_TO[learner.name](fitted.model, data.X[HELD], fitted.trees)
    np.testing.assert_allclose(fitted.held_out, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("threads", [1, 2])
@each_learner
def test_the_same_seed_and_threads_give_the_same_bits(learner, threads):
    data, run, short = table(gaps=0.1), Run(threads=threads, seed=7), type(learner)(trees=5)
    first, second = trained(short, data, run), trained(short, data, run)
    assert first.trees == second.trees
    np.testing.assert_array_equal(first.held_out, second.held_out)
    models = [refitted(short, data, trees=5, run=run) for _ in range(2)]
    np.testing.assert_array_equal(*(short.predict(model, data.X, threads) for model in models))


@each_learner
def test_a_model_read_back_predicts_the_same(learner, tmp_path):
    data = table(gaps=0.1)
    model = refitted(learner, data)
    path = tmp_path / f"{learner.name}{learner.suffix}"
    learner.save(model, path)
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())  # noqa: S301
    before, after = (learner.predict(one, data.X, 1) for one in (model, learner.load(path)))
    np.testing.assert_array_equal(after, before)


@each_learner
def test_being_missing_is_learned_from(learner):
    X = np.random.default_rng(6).normal(size=(ROWS, 2)).astype(np.float32)
    X[::3, 1] = np.nan
    data = Table(X, np.where(np.isnan(X[:, 1]), 0.4, 0.2).astype(np.float32))
    model = refitted(learner, data, trees=60)
    np.testing.assert_allclose(learner.predict(model, X, 1), data.y, atol=0.02)


@each_learner
def test_values_missing_for_the_first_time_at_prediction_leave_other_rows_alone(learner):
    data = table()
    model = refitted(learner, data)
    gappy = data.X.copy()
    gappy[::2, 0] = np.nan
    gappy[::4] = np.nan
    predicted = learner.predict(model, gappy, 1)
    np.testing.assert_array_equal(predicted[1::2], learner.predict(model, data.X, 1)[1::2])
    assert predicted.min() > data.y.min() - 0.1
    assert predicted.max() < data.y.max() + 0.1


@each_learner
def test_several_threads_may_predict_with_one_model_at_once(learner):
    data = table(gaps=0.1)
    model = refitted(learner, data)
    expected = learner.predict(model, data.X, 1)
    with ThreadPoolExecutor(4) as executor:
        jobs = [executor.submit(learner.predict, model, data.X, 1 + k % 2) for k in range(200)]
        for job in jobs:
            np.testing.assert_array_equal(job.result(), expected)


@each_learner
def test_a_constant_target_is_predicted_as_it_is(learner):
    data = table()._replace(y=np.full(ROWS, 0.3, np.float32))
    fitted = trained(learner, data)
    np.testing.assert_allclose(fitted.held_out, 0.3, atol=1e-6)
    np.testing.assert_allclose(learner.predict(refitted(learner, data), data.X, 1), 0.3, atol=1e-6)


@pytest.mark.parametrize("dead", [np.nan, 0.5])
@pytest.mark.parametrize(
    "learner", [XGBoost(), LightGBM(feature_fraction=1), CatBoost()], ids=lambda one: one.name
)
def test_a_predictor_without_values_or_without_change_changes_nothing(learner, dead):
    data = table(gaps=0.1)
    wider = data._replace(X=np.insert(data.X, 2, np.float32(dead), axis=1))
    with_it, without = trained(learner, wider), trained(learner, data)
    assert with_it.trees == without.trees
    np.testing.assert_array_equal(with_it.held_out, without.held_out)


@pytest.mark.parametrize(
    ("learner", "cuts"),
    [
        (XGBoost(), np.arange(1, 31)),  # goes left below a value
        (LightGBM(), np.arange(1, 30) + 0.5),  # cuts half way between values
        (CatBoost(), np.arange(1, 30) + 0.5),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_fold_cuts_between_values_of_the_whole_table_not_its_own(learner, cuts):
    values = np.repeat(np.arange(1, 31), 20)
    noise = np.random.default_rng(8).normal(0, 0.01, len(values))
    data = Table(values[:, None].astype(np.float32), (values / 100 + noise).astype(np.float32))
    even, odd = np.flatnonzero(values % 2 == 0), np.flatnonzero(values % 2)
    model = learner.train(data, learner.bin(data, RUN), even, odd, RUN).model
    used = Splits.joined([tree.splits for tree in READERS[learner.name](model).trees]).threshold
    assert len(used)
    np.testing.assert_allclose(np.abs(used[:, None] - cuts).min(axis=1), 0, atol=1e-4)
    # Binned alone, a fold of the even values would cut at them (XGBoost) or half way, at the odd ones.
    alone = np.arange(2, 31, 2) if learner.name == "xgboost" else np.arange(3, 30, 2)
    assert np.abs(used[:, None] - alone).min(axis=1).max() > 0.4
