"""The stack follows the folds it is given, and weighs its members by what they predict out of fold."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from models.errors import SampleError
from models.learners import DEFAULT_LEARNERS, CatBoost, Fitted, LightGBM, Rows, Run, Table, XGBoost
from models.splits import Fold
from models.stack import StackedRegressor

SHORT = (XGBoost(trees=12), LightGBM(trees=12), CatBoost(trees=12))
Staged = Iterator[NDArray[np.floating]]


@dataclass(frozen=True)
class Mean:
    """Predicts the mean of the rows it was fitted on, and remembers which rows it was given."""

    name: ClassVar[str] = "mean"
    suffix: ClassVar[str] = ".txt"

    given: list[Fold] = field(default_factory=list)

    def bin(self, table: Table, run: Run) -> Table:
        return table

    def train(self, table: Table, binned: Table, fit: Rows, held: Rows, run: Run) -> Fitted:
        self.given.append((fit, held))
        mean = binned.y[fit].mean(dtype=np.float64)
        return Fitted(mean, 1, np.full(len(held), mean))

    def refit(self, table: Table, binned: Table, trees: int, run: Run) -> np.float64:
        return binned.y.mean(dtype=np.float64)

    def predict(self, model: np.float64, X: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
        return np.full(len(X), model)

    def save(self, model: np.float64, path: Path) -> None:
        path.write_text(repr(float(model)))

    def load(self, path: Path) -> np.float64:
        return np.float64(path.read_text())


def margin_folds(rows: int) -> list[Fold]:
    """Three folds of 300 rows, each fitted on what lies 50 rows off or more; the last rows are never held."""
    position = np.arange(rows)
    return [
        (
            np.flatnonzero((position < start - 50) | (position >= start + 350)),
            np.arange(start, start + 300),
        )
        for start in (0, 500, 1000)
    ]


@pytest.fixture(scope="module")
def stack(samples: Table) -> StackedRegressor:
    return StackedRegressor(SHORT, patience=1000, threads=2).fit(*samples, margin_folds(len(samples.y)))


def test_scikit_learn_finds_nothing_to_object_to():
    results = check_estimator(StackedRegressor(threads=1), on_fail=None, on_skip=None)
    left = {result["check_name"]: result["status"] for result in results if result["status"] != "passed"}
    assert left == {"check_array_api_input": "skipped"}
    assert len(results) > 40


def xgboost_stages(data: Table, fit: Rows, held: Rows, folder: Path) -> Staged:
    whole = xgboost.QuantileDMatrix(data.X, data.y, max_bin=256)
    part = xgboost.QuantileDMatrix(data.X[fit], data.y[fit], max_bin=256, ref=whole)
    params = {"tree_method": "hist", "max_bin": 256, "max_depth": 6, "eta": 0.3, "nthread": 1}
    model = xgboost.train(params, part, 12)
    for trees in range(1, 13):
        yield model.predict(xgboost.DMatrix(data.X[held]), iteration_range=(0, trees))


def lightgbm_stages(data: Table, fit: Rows, held: Rows, folder: Path) -> Staged:
    params = {
        "objective": "regression", "learning_rate": 0.15, "num_leaves": 63, "feature_fraction": 0.7,
        "feature_pre_filter": False, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "seed": 0, "verbosity": -1,
    }  # fmt: skip
    whole = lightgbm.Dataset(data.X, data.y, params=params)
    model = lightgbm.train(params, lightgbm.Dataset(data.X[fit], data.y[fit], reference=whole), 12)
    for trees in range(1, 13):
        yield model.predict(data.X[held], num_iteration=trees)


def catboost_stages(data: Table, fit: Rows, held: Rows, folder: Path) -> Staged:
    whole, part = catboost.Pool(data.X, data.y), catboost.Pool(data.X[fit], data.y[fit])
    whole.quantize(border_count=254)
    whole.save_quantization_borders(str(folder / "borders.tsv"))
    part.quantize(input_borders=str(folder / "borders.tsv"))
    model = catboost.CatBoostRegressor(
        iterations=12, learning_rate=0.4, depth=6, boosting_type="Plain", bootstrap_type="No",
        random_strength=0, score_function="L2", leaf_estimation_iterations=1, thread_count=1, verbose=False,
        allow_writing_files=False,
    ).fit(part)  # fmt: skip
    yield from model.staged_predict(data.X[held])


@pytest.mark.parametrize(
    ("column", "stages"),
    list(enumerate([xgboost_stages, lightgbm_stages, catboost_stages])),
    ids=[one.name for one in SHORT],
)
def test_out_of_fold_predictions_are_those_of_the_library_fitted_on_the_fold(
    column: int, stages: Callable[..., Staged], stack, samples, tmp_path
):
    best = []
    for fit, held in margin_folds(len(samples.y)):
        staged = np.array(list(stages(samples, fit, held, tmp_path)))
        errors = np.square(staged - samples.y[held]).mean(axis=1)
        best.append(errors.argmin() + 1)
        np.testing.assert_allclose(stack.oof_[held, column], staged[errors.argmin()], rtol=0, atol=1e-6)
    assert stack.trees_[SHORT[column].name] == round(np.mean(best))


def test_rows_that_no_fold_holds_out_have_no_out_of_fold_prediction(stack, samples):
    held = np.concatenate([held for _, held in margin_folds(len(samples.y))])
    never = np.setdiff1d(np.arange(len(samples.y)), held)
    assert stack.oof_.shape == (len(samples.y), 3)
    assert len(never) == len(samples.y) - 900
    assert np.isnan(stack.oof_[never]).all()
    assert np.isfinite(stack.oof_[held]).all()


@pytest.mark.parametrize("fusion", ["ridge", "convex"])
def test_weights_are_the_shares_with_the_least_penalised_out_of_fold_error(fusion, stack, samples):
    fitted = stack if fusion == "ridge" else clone(stack).set_params(fusion=fusion)
    if fusion == "convex":
        fitted.fit(*samples, margin_folds(len(samples.y)))
    held, chosen = np.isfinite(fitted.oof_[:, 0]), np.setdiff1d([0, 1, 2], fitted.weighing_.refused)
    members, target = fitted.oof_[held][:, chosen].astype(np.float64), samples.y[held].astype(np.float64)
    penalty = members.var(axis=1).mean() if fusion == "ridge" else 0
    best = minimize(
        lambda w: 1e4 * (np.square(target - members @ w).mean() + penalty * w @ w),
        np.full(len(chosen), 1 / len(chosen)), method="SLSQP", bounds=[(0, 1)] * len(chosen), tol=1e-14,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    assert best.success
    assert fitted.weights_.sum() == pytest.approx(1, abs=1e-12)
    expected = np.zeros(3)
    expected[chosen] = best.x
    np.testing.assert_allclose(fitted.weights_, expected, atol=1e-5)


def test_the_stack_remembers_which_fold_held_each_row_out(stack, samples):
    for number, (_, held) in enumerate(margin_folds(len(samples.y))):
        assert (stack.fold_[held] == number).all()
    np.testing.assert_array_equal(stack.fold_ == -1, np.isnan(stack.oof_[:, 0]))


def test_the_prediction_is_the_weighted_mean_of_the_final_models(stack, samples):
    members = stack.predict_members(samples.X)
    for column, learner in zip(members.T, SHORT, strict=True):
        np.testing.assert_array_equal(column, learner.predict(stack.models_[learner.name], samples.X, 2))
    np.testing.assert_array_equal(stack.predict(samples.X), members @ stack.weights_)


@pytest.mark.parametrize("learner", SHORT, ids=lambda one: one.name)
def test_final_models_are_fitted_on_all_rows_with_the_mean_number_of_trees(learner, stack, samples):
    run = Run()
    expected = learner.refit(samples, learner.bin(samples, run), stack.trees_[learner.name], run)
    np.testing.assert_allclose(
        learner.predict(stack.models_[learner.name], samples.X, 1),
        learner.predict(expected, samples.X, 1),
        atol=1e-6,
    )


def test_the_folds_given_are_followed_to_the_row(samples):
    spy, folds = Mean(), margin_folds(len(samples.y))
    fitted = StackedRegressor((spy,), threads=1).fit(*samples, folds)
    assert len(spy.given) == len(folds)
    for (fit, held), (fit_seen, held_seen) in zip(folds, spy.given, strict=True):
        np.testing.assert_array_equal(fit_seen, fit)
        np.testing.assert_array_equal(held_seen, held)
        np.testing.assert_allclose(fitted.oof_[held, 0], samples.y[fit].mean(dtype=np.float64))


def test_without_folds_each_row_is_held_out_once_and_fitted_on_the_other_times(samples):
    spy = Mean()
    StackedRegressor((spy,), n_folds=4, threads=1).fit(*samples)
    rows = np.arange(len(samples.y))
    held = np.concatenate([held for _, held in spy.given])
    np.testing.assert_array_equal(np.sort(held), rows)
    assert [len(held) for _, held in spy.given] == [500] * 4
    assert (held[:500] != rows[:500]).any()  # shuffled
    for fit, out in spy.given:
        np.testing.assert_array_equal(np.sort(np.concatenate([fit, out])), rows)


A, B, NONE = np.arange(0, 40), np.arange(40, 80), np.arange(0)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([(A, B), (B, np.arange(39, 41))], "fold 1 fits on rows that it holds out"),
        ([(A, B), (B, NONE)], "fold 1 has 40 rows to fit and 0 held out"),
        ([(NONE, B), (B, A)], "fold 0 has 0 rows to fit and 40 held out"),
        ([(A, B)], "at least 2 folds, not 1"),
        ([], "at least 2 folds, not 0"),
    ],
)
def test_folds_that_cannot_be_stacked_are_refused(folds, message, samples):
    with pytest.raises(SampleError, match=message):
        StackedRegressor((Mean(),)).fit(*samples, folds)


def test_fewer_samples_than_folds_are_refused(samples):
    with pytest.raises(SampleError, match="4 samples are too few for 5 folds"):
        StackedRegressor((Mean(),)).fit(samples.X[:4], samples.y[:4])


def test_samples_that_do_not_differ_in_any_predictor_are_refused(samples):
    with pytest.raises(SampleError, match="predictor"):
        StackedRegressor().fit(np.full_like(samples.X, 0.5), samples.y)


def test_two_learners_of_one_name_are_refused(samples):
    with pytest.raises(ValueError, match="xgboost"):
        StackedRegressor((XGBoost(trees=2), XGBoost(trees=3))).fit(*samples)


def test_the_same_seed_data_and_threads_give_the_same_stack(stack, samples):
    again = clone(stack).fit(*samples, margin_folds(len(samples.y)))
    np.testing.assert_array_equal(again.oof_, stack.oof_)
    np.testing.assert_array_equal(again.weights_, stack.weights_)
    np.testing.assert_array_equal(again.predict(samples.X), stack.predict(samples.X))


def test_another_seed_holds_out_other_rows(samples):
    held = []
    for seed in (0, 1):
        spy = Mean()
        StackedRegressor((spy,), threads=1, random_state=seed).fit(*samples)
        held.append(spy.given[0][1])
    assert len(np.intersect1d(*held)) < len(held[0])


@pytest.mark.parametrize("n_folds", [2, 3])
def test_progress_is_told_of_each_fold_and_each_final_fit(n_folds, samples):
    told: list[str] = []
    StackedRegressor(SHORT, n_folds=n_folds, threads=2, progress=told.append).fit(*samples)
    assert Counter(told) == dict.fromkeys(("xgboost", "lightgbm", "catboost"), n_folds + 1)


def test_a_pickled_stack_predicts_the_same(stack, samples):
    back = pickle.loads(pickle.dumps(stack))  # noqa: S301
    np.testing.assert_array_equal(back.predict(samples.X), stack.predict(samples.X))


def test_a_clone_has_the_parameters_and_nothing_learned(stack, samples):
    copy = clone(stack)
    assert copy.get_params() == stack.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(samples.X)


def test_the_default_stack_beats_each_member_and_half_the_spread_out_of_fold(samples):
    fitted = StackedRegressor().fit(*samples)
    assert [learner.name for learner in fitted.learners] == [learner.name for learner in DEFAULT_LEARNERS]
    rmse = np.sqrt(np.square(fitted.oof_ - samples.y[:, None]).mean(axis=0))
    stacked = np.sqrt(np.square(fitted.oof_ @ fitted.weights_ - samples.y).mean())
    assert stacked < rmse.min()
    assert stacked < samples.y.std() / 2
