"""The stacked ensemble: base learners fused by weights found on their out-of-fold predictions.

A scikit-learn regressor after Xu et al. 2024, section 3.2.4 and figure 2. The meta-learner is non-negative
least squares with weights that sum to one: the members' predictions are nearly collinear, where a free
regression answers with large weights of opposite sign that fall apart off the training set, while a convex
combination reads as shares, never leaves the range of its members, and carries SHAP values over exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted, validate_data

from models.errors import SampleError
from models.learners import DEFAULT_LEARNERS, Device, Fitted, Learner, Plateau, Run, Table, cores
from models.splits import Fold

Progress = Callable[[str], None]
SUM_TO_ONE = 1e3  # weight of the equation Σw = 1, in units of the largest error; the rest is normalised


def convex_weights(members: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights w ≥ 0, Σw = 1 that minimise |target − members @ w|.

    Args:
        members: (n, m) predictions of m members, no NaN.
        target: (n,) observed values.

    Returns:
        (m,) weights. Members without any error share the weight equally.

    Source: Breiman 1996, "Stacked regressions": non-negativity is what makes stacking work.
    """
    errors = members - target[:, None]
    perfect = ~errors.any(axis=0)
    if perfect.any():
        return np.asarray(perfect / perfect.sum())
    gram = np.linalg.qr(errors, mode="r")  # the m × m factor holds all that the sum of squares depends on
    system = np.vstack([gram / np.abs(gram).max(), np.full(members.shape[1], SUM_TO_ONE)])
    weights, _ = nnls(system, np.append(np.zeros(len(gram)), SUM_TO_ONE))
    return np.asarray(weights / weights.sum())


class StackedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Gradient-boosted trees of several libraries, stacked.

    Args:
        learners: the base learners; names must differ.
        n_folds: folds when ``fit`` is given none: shuffled K-fold, as the paper's five-fold cross-validation.
        device: ``"cuda"`` for the learners that have it; LightGBM stays on the CPU.
        threads: threads in all; ``None`` takes every processor the process may use.
        random_state: seed; the same seed, data and thread count give the same model.
        patience: trees without a gain of ``tolerance`` after which a fold stops.
        tolerance: the gain that counts, as a share of the held-out RMSE.
        progress: called with the name of the learner after each of its fits (n_folds + 1 of them).

    Attributes:
        weights_: (m,) non-negative, summing to 1, in the order of ``learners``.
        models_: the library's model of each learner, fitted on all rows.
        trees_: trees of each model: the mean over folds of where the held-out error was least.
        oof_: (n, m) out-of-fold predictions, NaN in rows that no fold held out.

    Early stopping watches the rows its fold holds out, the same that give the out-of-fold predictions: one
    integer per fold is chosen on them, the trees never see them, and scores come from other rows altogether.
    """

    def __init__(
        self,
        learners: tuple[Learner, ...] = DEFAULT_LEARNERS,
        n_folds: int = 5,
        device: Device = "cpu",
        threads: int | None = None,
        random_state: int = 0,
        patience: int = Plateau.patience,
        tolerance: float = Plateau.tolerance,
        progress: Progress | None = None,
    ) -> None:
        self.learners = learners
        self.n_folds = n_folds
        self.device = device
        self.threads = threads
        self.random_state = random_state
        self.patience = patience
        self.tolerance = tolerance
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, folds: Sequence[Fold] | None = None) -> Self:
        """Fit members, weights and the final models.

        Args:
            X: (n, p) predictors, NaN where missing.
            y: (n,) target, complete.
            folds: (fit rows, held-out rows) pairs that follow the split under test; they need not cover all
                rows, and fit rows may leave a margin around the held-out ones.

        Raises:
            SampleError: a fold is empty or mixes its two sides; too few rows for ``n_folds``.
        """
        X, y = validate_data(
            self, X, y, dtype=np.float32, order="C", y_numeric=True, ensure_all_finite="allow-nan",
            ensure_min_samples=2,
        )  # fmt: skip
        table = Table(np.asarray(X, np.float32), np.asarray(y, np.float32))
        rows = len(table.y)
        folds = self._default_folds(rows) if folds is None else list(folds)
        _check_folds(folds)

        pool, fold_run, final_run = self._plan(len(folds) * len(self.learners))
        with ThreadPoolExecutor(pool) as executor:
            jobs: dict[str, list[Future[Fitted]]] = {}
            binned = {}
            for learner in self.learners:
                binned[learner.name] = learner.bin(table, final_run)
                jobs[learner.name] = [
                    executor.submit(
                        self._reported, learner, learner.train, table, binned[learner.name], *fold, fold_run
                    )
                    for fold in folds
                ]
            finals = []
            self.oof_ = np.full((rows, len(self.learners)), np.nan)
            self.trees_ = {}
            for column, learner in enumerate(self.learners):
                fitted = [job.result() for job in jobs.pop(learner.name)]
                for (_, held), one in zip(folds, fitted, strict=True):
                    self.oof_[held, column] = one.held_out
                trees = self.trees_[learner.name] = round(float(np.mean([one.trees for one in fitted])))
                finals.append(
                    executor.submit(
                        self._reported,
                        learner,
                        learner.refit,
                        table,
                        binned.pop(learner.name),
                        trees,
                        final_run,
                    )
                )
            held = np.isfinite(self.oof_).all(axis=1)
            self.weights_ = convex_weights(self.oof_[held], table.y[held].astype(np.float64))
            self.models_ = {
                learner.name: job.result() for learner, job in zip(self.learners, finals, strict=True)
            }
        return self

    def predict_members(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predictions of each member, (n, m), in the order of ``learners``."""
        check_is_fitted(self)
        rows = np.asarray(
            validate_data(self, X, dtype=np.float32, order="C", ensure_all_finite="allow-nan", reset=False)
        )
        threads = self.threads or cores()
        return np.column_stack([
            learner.predict(self.models_[learner.name], rows, threads) for learner in self.learners
        ])  # fmt: skip

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The stacked prediction, (n,), in the units of the target."""
        return self.predict_members(X) @ self.weights_

    def _reported(self, learner: Learner, work: Callable[..., Any], *args: Any) -> Any:
        result = work(*args)
        if self.progress is not None:
            self.progress(learner.name)
        return result

    def _default_folds(self, rows: int) -> list[Fold]:
        if rows < self.n_folds:
            raise SampleError(f"{rows} samples are too few for {self.n_folds} folds")
        return list(KFold(self.n_folds, shuffle=True, random_state=self.random_state).split(np.empty(rows)))

    def _plan(self, fold_fits: int) -> tuple[int, Run, Run]:
        """Workers, and how each fold fit and each final fit runs, so that threads never outnumber cores.

        Folds run side by side, one thread each while there are more of them than threads: no fit waits for
        another's slowest thread, and the result does not hang on how a library splits its sums. A GPU takes
        one fit at a time.
        """
        threads = self.threads or cores()
        workers = 1 if self.device == "cuda" else min(threads, fold_fits)
        plateau = Plateau(self.patience, self.tolerance)
        final = max(1, threads // min(workers, len(self.learners)))
        return (
            workers,
            Run(max(1, threads // workers), self.device, self.random_state, plateau),
            Run(final, self.device, self.random_state, plateau),
        )


def _check_folds(folds: Sequence[Fold]) -> None:
    if len(folds) < 2:
        raise SampleError(f"stacking needs at least 2 folds, not {len(folds)}")
    for number, (fit, held) in enumerate(folds):
        if not len(fit) or not len(held):
            raise SampleError(f"fold {number} has {len(fit)} rows to fit and {len(held)} held out")
        if np.intersect1d(fit, held).size:
            raise SampleError(f"fold {number} fits on rows that it holds out")
