"""XGBoost, LightGBM and CatBoost behind one small protocol: bin once, train folds, refit on all rows.

Each learner quantises the whole table once and trains every fold on a view of it, and each stops by the
same rule, ``Plateau``, so that the three are compared and stacked on equal terms. The defaults are few
shallow trees at a high learning rate: three such members stacked reach the held-out error of 500 deep
slow ones (``tests/benchmarks/bench_fit.py`` prints both). The learners are those of Xu et al. 2024, 3.2.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import catboost
import lightgbm
import numpy as np
import xgboost
from numpy.typing import NDArray

Device = Literal["cpu", "cuda"]
Rows = NDArray[np.intp]
PREDICTING = threading.Lock()  # XGBoost fails where one thread configures a model another predicts with


class Table(NamedTuple):
    """Predictors ``X`` (n, p) float32, NaN where missing, and target ``y`` (n,) float32."""

    X: NDArray[np.float32]
    y: NDArray[np.float32]


@dataclass(frozen=True)
class Plateau:
    """Stop when the last ``patience`` trees lowered the held-out RMSE by less than ``tolerance`` of it."""

    patience: int = 20
    tolerance: float = 0.002

    def reached(self, history: Sequence[float]) -> bool:
        """Whether ``history``, the held-out RMSE after each tree, has levelled off."""
        if len(history) <= self.patience:
            return False
        before = min(history[: -self.patience])
        return min(history[-self.patience :]) > before * (1 - self.tolerance)


@dataclass(frozen=True)
class Run:
    """How a fit runs: its threads, device and seed, when to stop, and what multiplies the learning rates."""

    threads: int = 1
    device: Device = "cpu"
    seed: int = 0
    plateau: Plateau = Plateau()
    pace: float = 1.0


class Fitted(NamedTuple):
    """A trained model, the number of its trees that count, and its predictions of the held-out rows."""

    model: Any
    trees: int
    held_out: NDArray[np.float64]


class Learner(Protocol):
    """What the stack asks of a base learner; ``name`` is unique in a stack and names its file."""

    name: ClassVar[str]
    suffix: ClassVar[str]

    def bin(self, table: Table, run: Run) -> Any:
        """Quantise the whole table once; every fold trains on the result."""

    def train(self, table: Table, binned: Any, fit: Rows, held: Rows, run: Run) -> Fitted:
        """Train on ``fit`` until the error on ``held`` levels off, and predict ``held``."""

    def refit(self, table: Table, binned: Any, trees: int, run: Run) -> Any:
        """Train exactly ``trees`` trees on all rows."""

    def predict(self, model: Any, X: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
        """Predict with the library's own predictor."""

    def save(self, model: Any, path: Path) -> None:
        """Write the library's native format."""

    def load(self, path: Path) -> Any:
        """Read what ``save`` wrote; runs no code from the file."""


def cores() -> int:
    """The processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class XGBoost:
    """Level-wise trees on histograms (Chen and Guestrin 2016)."""

    name: ClassVar[str] = "xgboost"
    suffix: ClassVar[str] = ".json"

    trees: int = 500
    learning_rate: float = 0.3
    depth: int = 6
    bins: int = 256

    def bin(self, table: Table, run: Run) -> xgboost.QuantileDMatrix:
        """Quantise by XGBoost's own sketch."""
        return xgboost.QuantileDMatrix(*table, max_bin=self.bins, nthread=run.threads)

    def _params(self, run: Run) -> dict[str, Any]:
        return {
            "tree_method": "hist", "max_depth": self.depth, "eta": self.learning_rate * run.pace,
            "max_bin": self.bins, "nthread": run.threads, "device": run.device, "seed": run.seed,
        }  # fmt: skip

    def train(self, table: Table, binned: xgboost.QuantileDMatrix, fit: Rows, held: Rows, run: Run) -> Fitted:
        """Train on the cut points of ``binned``."""
        part = xgboost.QuantileDMatrix(
            table.X[fit], table.y[fit], ref=binned, max_bin=self.bins, nthread=run.threads
        )
        rest = xgboost.DMatrix(
            table.X[held], table.y[held], nthread=run.threads
        )  # evaluated faster than quantised
        stop = _StopXGBoost(run.plateau)
        model = xgboost.train(
            self._params(run), part, self.trees, evals=[(rest, "held")], callbacks=[stop], verbose_eval=False
        )
        trees = int(np.argmin(stop.history)) + 1
        return Fitted(model, trees, model.predict(rest, iteration_range=(0, trees)).astype(np.float64))

    def refit(self, table: Table, binned: xgboost.QuantileDMatrix, trees: int, run: Run) -> xgboost.Booster:
        """Train on ``binned`` itself."""
        return xgboost.train(self._params(run), binned, trees)

    def predict(self, model: xgboost.Booster, X: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
        """Predict in place, without building a matrix."""
        with PREDICTING:
            model.set_param({"nthread": threads, "device": "cpu"})
            return np.asarray(model.inplace_predict(X), np.float64)

    def save(self, model: xgboost.Booster, path: Path) -> None:
        """Write XGBoost's JSON model."""
        model.save_model(path)

    def load(self, path: Path) -> xgboost.Booster:
        """Read XGBoost's JSON model."""
        return xgboost.Booster(model_file=path)


class _StopXGBoost(xgboost.callback.TrainingCallback):
    def __init__(self, plateau: Plateau) -> None:
        super().__init__()
        self.plateau = plateau
        self.history: list[float] = []

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.history = evals_log["held"]["rmse"]
        return self.plateau.reached(self.history)


@dataclass(frozen=True)
class LightGBM:
    """Leaf-wise trees on histograms (Ke et al. 2017). It trains on the CPU whatever the device."""

    name: ClassVar[str] = "lightgbm"
    suffix: ClassVar[str] = ".txt"

    trees: int = 500
    learning_rate: float = 0.15
    leaves: int = 63
    bins: int = 255
    feature_fraction: float = 0.7

    def _params(self, run: Run) -> dict[str, Any]:
        return {
            "objective": "regression", "metric": "rmse", "learning_rate": self.learning_rate * run.pace,
            "num_leaves": self.leaves, "max_bin": self.bins, "feature_fraction": self.feature_fraction,
            "feature_pre_filter": False, "deterministic": True, "force_row_wise": True,
            "num_threads": run.threads, "seed": run.seed, "verbosity": -1,
        }  # fmt: skip

    def bin(self, table: Table, run: Run) -> lightgbm.Dataset:
        """Quantise by LightGBM's own bin finder."""
        return lightgbm.Dataset(*table, params=self._params(run), free_raw_data=True).construct()

    def train(self, table: Table, binned: lightgbm.Dataset, fit: Rows, held: Rows, run: Run) -> Fitted:
        """Train on subsets of ``binned``."""
        params = self._params(run)
        history: list[float] = []

        def stop(env: Any) -> None:
            history.append(env.evaluation_result_list[0][2])
            if run.plateau.reached(history):
                raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

        part, rest = (binned.subset(np.sort(rows).tolist(), params) for rows in (fit, held))
        model = lightgbm.train(
            params, part, self.trees, valid_sets=[rest], callbacks=[stop], keep_training_booster=True
        )
        trees = int(np.argmin(history)) + 1
        held_out = model.predict(table.X[held], num_iteration=trees, num_threads=run.threads)
        return Fitted(model, trees, np.asarray(held_out, np.float64))

    def refit(self, table: Table, binned: lightgbm.Dataset, trees: int, run: Run) -> lightgbm.Booster:
        """Train on ``binned`` itself."""
        return lightgbm.train(self._params(run), binned, trees)

    def predict(self, model: lightgbm.Booster, X: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
        """Predict from a C-ordered array, the layout LightGBM reads fastest."""
        return np.asarray(model.predict(np.ascontiguousarray(X), num_threads=threads), np.float64)

    def save(self, model: lightgbm.Booster, path: Path) -> None:
        """Write LightGBM's text model."""
        model.save_model(path)

    def load(self, path: Path) -> lightgbm.Booster:
        """Read LightGBM's text model."""
        return lightgbm.Booster(model_file=path)


@dataclass(frozen=True)
class CatBoost:
    """Oblivious trees (Prokhorenkova et al. 2018), plain boosting: all predictors are numeric."""

    name: ClassVar[str] = "catboost"
    suffix: ClassVar[str] = ".cbm"

    trees: int = 500
    learning_rate: float = 0.4
    depth: int = 6
    bins: int = 254

    def bin(self, table: Table, run: Run) -> catboost.Pool:
        """Quantise by CatBoost's own borders."""
        pool = catboost.Pool(*table)
        pool.quantize(border_count=self.bins, task_type="GPU" if run.device == "cuda" else "CPU")
        return pool

    def _new(self, trees: int, run: Run) -> catboost.CatBoostRegressor:
        return catboost.CatBoostRegressor(
            iterations=trees, learning_rate=self.learning_rate * run.pace, depth=self.depth,
            border_count=self.bins, boosting_type="Plain", bootstrap_type="No", random_strength=0,
            score_function="L2", leaf_estimation_iterations=1, thread_count=run.threads, random_seed=run.seed,
            task_type="GPU" if run.device == "cuda" else "CPU", allow_const_label=True,
            allow_writing_files=False, verbose=False,
        )  # fmt: skip

    def train(self, table: Table, binned: catboost.Pool, fit: Rows, held: Rows, run: Run) -> Fitted:
        """Train on slices of ``binned``; on a GPU CatBoost's own detector stops it, without a tolerance."""
        part, rest = binned.slice(fit), binned.slice(held)
        model = self._new(self.trees, run)
        if run.device == "cuda":
            model.fit(part, eval_set=rest, use_best_model=False, early_stopping_rounds=run.plateau.patience)
        else:
            model.fit(part, eval_set=rest, use_best_model=False, callbacks=[_StopCatBoost(run.plateau)])
        trees = int(np.argmin(model.get_evals_result()["validation"]["RMSE"])) + 1
        return Fitted(model, trees, model.predict(rest, ntree_end=trees, thread_count=run.threads))

    def refit(self, table: Table, binned: catboost.Pool, trees: int, run: Run) -> catboost.CatBoostRegressor:
        """Train on ``binned`` itself."""
        return self._new(trees, run).fit(binned)

    def predict(self, model: catboost.CatBoost, X: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
        """Predict raw values."""
        return np.asarray(model.predict(X, thread_count=threads), np.float64)

    def save(self, model: catboost.CatBoost, path: Path) -> None:
        """Write CatBoost's own binary model; its JSON rounds the last digit of the leaves."""
        model.save_model(str(path))

    def load(self, path: Path) -> catboost.CatBoost:
        """Read CatBoost's own binary model."""
        return catboost.CatBoostRegressor().load_model(str(path))


@dataclass(frozen=True)
class _StopCatBoost:
    plateau: Plateau

    def after_iteration(self, info: Any) -> bool:
        return not self.plateau.reached(info.metrics["validation"]["RMSE"])


DEFAULT_LEARNERS: tuple[Learner, ...] = (XGBoost(), LightGBM(), CatBoost())
