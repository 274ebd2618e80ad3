"""The stacked ensemble: base learners fused by weights found on their out-of-fold predictions.

A scikit-learn regressor after Xu et al. 2024, section 3.2.4 and figure 2. The weights of the meta-learner
(``models.fusion``) are non-negative and sum to one: the members' predictions are nearly collinear, where a
free regression answers with large weights of opposite sign that fall apart off the training set, while a
convex combination reads as shares, never leaves the range of its members, and carries SHAP values over
exactly.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from models.errors import SampleError
from models.fusion import Fusion, weigh
from models.learners import DEFAULT_LEARNERS, Device, Fitted, Learner, Plateau, Run, Table, cores
from models.splits import Fold

Progress = Callable[[str], None]
# Learning faster saves 43 % of the time on 300,000 simulated rows and costs 0.7 % of the RMSE; on 37,387 real
# cells it saves seconds and costs 4 %, so small tables learn slowly.
MANY_ROWS = 100_000
FAST_PACE = 1.8  # what learning rates and the gain that counts are then multiplied by
LARGE_TABLE = 64e6  # bytes of X, about 900,000 rows of 18 predictors


class _Plan(NamedTuple):
    """Fits at once, how each fold and each final fit runs, and which learners hold their bins together."""

    workers: int
    fold: Run
    final: Run
    batches: tuple[tuple[Learner, ...], ...]


class _ShuffledFolds(Sequence[Fold]):
    """Shuffled folds of equal size, made when asked for: all at once they would be half a table."""

    def __init__(self, rows: int, n_folds: int, seed: int) -> None:
        if n_folds < 2:
            raise SampleError(f"stacking needs at least 2 folds, not {n_folds}")
        if rows < n_folds:
            raise SampleError(f"{rows} samples are too few for {n_folds} folds")
        self._n_folds = n_folds
        self._fold = (np.random.default_rng(seed).permutation(rows) % n_folds).astype(np.uint16)

    def __len__(self) -> int:
        return self._n_folds

    def __getitem__(self, number: Any) -> Any:
        if number >= self._n_folds:
            raise IndexError(number)
        return np.flatnonzero(self._fold != number), np.flatnonzero(self._fold == number)


class StackedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Gradient-boosted trees of several libraries, stacked.

    Args:
        learners: the base learners; names must differ.
        n_folds: folds when ``fit`` is given none: shuffled K-fold, as the paper's five-fold cross-validation.
        device: ``"cuda"`` for the learners that have it; LightGBM stays on the CPU.
        threads: threads in all; ``None`` takes every processor the process may use.
        random_state: seed; the same seed, data and thread count give the same model.
        patience: trees without a gain of ``tolerance`` after which a fold stops.
        tolerance: the gain that counts, as a share of the held-out RMSE. It and the learning rates are
            multiplied by 1.8 for tables of more than 100,000 rows.
        progress: called with the name of the learner after each of its fits (n_folds + 1 of them).
        fusion: how the members are weighed, see ``models.fusion.weigh``; ``"convex"`` is the least squares
            fit, which follows the folds more closely and refuses no member.

    Attributes:
        weights_: (m,) non-negative, summing to 1, in the order of ``learners``.
        weighing_: what the weights follow from; not kept by ``models.store``.
        models_: the library's model of each learner, fitted on all rows.
        trees_: trees of each model: the mean over folds of where the held-out error was least.
        oof_: (n, m) out-of-fold predictions, NaN in rows that no fold held out.
        fold_: (n,) number of the fold that held each row out, -1 where none did.

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
        fusion: Fusion = "ridge",
    ) -> None:
        self.learners = learners
        self.n_folds = n_folds
        self.device = device
        self.threads = threads
        self.random_state = random_state
        self.patience = patience
        self.tolerance = tolerance
        self.progress = progress
        self.fusion = fusion

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
        _check_learnable(self.learners, table)
        if folds is None:
            folds = _ShuffledFolds(rows, self.n_folds, self.random_state)
        else:
            _check_folds(folds := list(folds))

        self.oof_ = np.full((rows, len(self.learners)), np.nan, np.float32)
        self.trees_: dict[str, int] = {}
        self.models_: dict[str, Any] = {}
        plan = self._plan(table, len(folds))
        with ThreadPoolExecutor(plan.workers) as executor:
            try:
                for batch in plan.batches:
                    self._fit_batch(executor, plan, batch, table, folds)
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise
        self.fold_ = np.full(rows, -1, np.intp)
        for number, (_, held) in enumerate(folds):
            self.fold_[held] = number
        self.weighing_ = weigh(self.oof_, table.y, self.fold_, self.fusion)
        self.weights_ = self.weighing_.weights
        return self

    def _fit_batch(
        self,
        executor: ThreadPoolExecutor,
        plan: _Plan,
        batch: Sequence[Learner],
        table: Table,
        folds: Sequence[Fold],
    ) -> None:
        """Fit all folds of a batch of learners, and each learner's final model once its folds are done."""
        binned = {one.name: one.bin(table, plan.final) for one in batch}
        jobs: dict[str, list[Future[Fitted]]] = {
            one.name: [
                executor.submit(self._fold, one, table, binned[one.name], folds, number, plan.fold)
                for number in range(len(folds))
            ]
            for one in batch
        }
        finals: dict[str, Future[Any]] = {}
        for one in batch:
            fitted = [job.result() for job in jobs.pop(one.name)]
            for (_, held), fold in zip(folds, fitted, strict=True):
                self.oof_[held, self.learners.index(one)] = fold.held_out
            trees = self.trees_[one.name] = round(float(np.mean([fold.trees for fold in fitted])))
            finals[one.name] = executor.submit(
                self._final, one, table, binned.pop(one.name), trees, plan.final
            )
        self.models_ |= {name: job.result() for name, job in finals.items()}

    def _fold(
        self, learner: Learner, table: Table, binned: Any, folds: Sequence[Fold], number: int, run: Run
    ) -> Fitted:
        fitted = learner.train(table, binned, *folds[number], run)
        self._done(learner, table)
        return fitted._replace(model=None)  # the model of a fold, and the rows it may hold, are done with

    def _final(self, learner: Learner, table: Table, binned: Any, trees: int, run: Run) -> Any:
        model = learner.refit(table, binned, trees, run)
        self._done(learner, table)
        return model

    def _done(self, learner: Learner, table: Table) -> None:
        if table.X.nbytes > LARGE_TABLE:
            _give_back_memory()
        if self.progress is not None:
            self.progress(learner.name)

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

    def _plan(self, table: Table, n_folds: int) -> _Plan:
        """How the fits share the machine.

        Folds of all learners run side by side, one thread each while there are more of them than threads: no
        fit waits for another's slowest thread, and the result does not hang on how a library splits its
        sums. A large table, whose copies in the libraries would fill the memory, and a GPU take one fit at a
        time, learner after learner.
        """
        threads = self.threads or cores()
        alone = self.device == "cuda" or table.X.nbytes > LARGE_TABLE
        workers = 1 if alone else min(threads, n_folds * len(self.learners))
        batches = tuple((one,) for one in self.learners) if alone else (self.learners,)
        pace = FAST_PACE if len(table.y) > MANY_ROWS else 1.0
        plateau = Plateau(self.patience, self.tolerance * pace)

        def run(at_once: int) -> Run:
            return Run(max(1, threads // at_once), self.device, self.random_state, plateau, pace)

        return _Plan(workers, run(workers), run(min(workers, len(self.learners))), batches)


def _give_back_memory() -> None:
    """Hand freed memory to the system: glibc would keep about a copy of the table for each library."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _check_learnable(learners: Sequence[Learner], table: Table) -> None:
    names = [learner.name for learner in learners]
    if len(set(names)) < len(names):
        raise ValueError(f"the learners of a stack need different names, these are {', '.join(names)}")
    some = table.X[:1000]  # nearly always enough to see a difference
    if (some == some[0]).all() and (table.X[0] == table.X).all():
        raise SampleError(f"all {len(table.X)} samples have the same predictors: nothing to learn from")


def _check_folds(folds: Sequence[Fold]) -> None:
    if len(folds) < 2:
        raise SampleError(f"stacking needs at least 2 folds, not {len(folds)}")
    for number, (fit, held) in enumerate(folds):
        if not len(fit) or not len(held):
            raise SampleError(f"fold {number} has {len(fit)} rows to fit and {len(held)} held out")
        if np.intersect1d(fit, held).size:
            raise SampleError(f"fold {number} fits on rows that it holds out")
