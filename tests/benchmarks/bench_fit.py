"""Time fitting a stack against scikit-learn's StackingRegressor over the same three libraries.

Run: python -m tests.benchmarks.bench_fit [--rows 60000 300000] [--device cpu]

Every line is measured in this one process, one after the other, on the same simulated rows; read the ratios.
``reference``   StackingRegressor, 500 trees a learner: XGBoost depth 8 at 0.05, LightGBM 63 leaves at 0.05,
                CatBoost depth 8 at 0.1
``same cap``    StackingRegressor with our learners' settings and their cap of trees (no early stopping)
``same trees``  StackingRegressor with our learners' settings and the very number of trees our fit ended with
``ours``        StackedRegressor
"""

from __future__ import annotations

import argparse
import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import catboost
import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import StackingRegressor

from models.learners import DEFAULT_LEARNERS, CatBoost, LightGBM, Run, XGBoost
from models.stack import FAST_PACE, MANY_ROWS, StackedRegressor
from pipeline.columns import LAND_COVER, PREDICTORS
from tests.simulated_samples import simulate

FEATURES = [*(name for name in PREDICTORS if name != "lc"), *LAND_COVER]
DAYS = 215


def table(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """At least ``rows`` simulated samples in random order."""
    frame = simulate(side=int(np.ceil(np.sqrt(rows / DAYS))), days=DAYS).samples
    order = np.random.default_rng(0).permutation(len(frame))[:rows]
    return frame[FEATURES].to_numpy(np.float32)[order], frame["sm"].to_numpy(np.float32)[order]


def stacking(x: dict[str, Any], l: dict[str, Any], c: dict[str, Any]) -> StackingRegressor:  # noqa: E741
    return StackingRegressor([
        ("xgboost", xgboost.XGBRegressor(**x)),
        ("lightgbm", lightgbm.LGBMRegressor(verbose=-1, **l)),
        ("catboost", catboost.CatBoostRegressor(verbose=False, allow_writing_files=False, **c)),
    ], cv=5)  # fmt: skip


def reference() -> StackingRegressor:
    return stacking(
        {"n_estimators": 500, "max_depth": 8, "learning_rate": 0.05},
        {"n_estimators": 500, "num_leaves": 63, "learning_rate": 0.05},
        {"iterations": 500, "depth": 8, "learning_rate": 0.1},
    )


def with_our_settings(trees: dict[str, int], rows: int, device: str) -> StackingRegressor:
    x, l, c = XGBoost(), LightGBM(), CatBoost()  # noqa: E741
    run = Run(device=device, pace=FAST_PACE if rows > MANY_ROWS else 1.0)
    catboost_params = c._new(trees["catboost"], run).get_params()
    for name in ("thread_count", "verbose", "allow_writing_files"):
        catboost_params.pop(name)
    return stacking(
        {"n_estimators": trees["xgboost"], "learning_rate": x.learning_rate * run.pace,
         "max_depth": x.depth, "max_bin": x.bins, "device": device},
        {"n_estimators": trees["lightgbm"], "learning_rate": l.learning_rate * run.pace,
         "num_leaves": l.leaves, "max_bin": l.bins, "colsample_bytree": l.feature_fraction},
        catboost_params,
    )  # fmt: skip


class Clock:
    """Adds up the seconds each learner spends binning, on folds, and on the final model, over all threads."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.lock = threading.Lock()

    def timed(self, learner: Any) -> Any:
        clock = self

        class Timed(type(learner)):
            def _clocked(self, phase: str, *args: Any) -> Any:
                start = time.perf_counter()
                result = getattr(super(), phase)(*args)
                with clock.lock:
                    clock.seconds[f"{self.name} {phase}"] += time.perf_counter() - start
                return result

            def bin(self, *args: Any) -> Any:
                return self._clocked("bin", *args)

            def train(self, *args: Any) -> Any:
                return self._clocked("train", *args)

            def refit(self, *args: Any) -> Any:
                return self._clocked("refit", *args)

        return Timed(**{one.name: getattr(learner, one.name) for one in dataclasses.fields(learner)})


def measure(rows: int, device: str) -> None:
    X, y = table(round(rows * 1.25))
    train, test = slice(0, rows), slice(rows, None)

    def fit(make: Callable[[], Any]) -> tuple[Any, float, float]:
        model = make()
        start = time.perf_counter()
        model.fit(X[train], y[train])
        seconds = time.perf_counter() - start
        return model, seconds, float(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))

    clock = Clock()
    learners = tuple(clock.timed(one) for one in DEFAULT_LEARNERS)
    ours, seconds, rmse = fit(lambda: StackedRegressor(learners, device=device))
    cap = {one.name: one.trees for one in DEFAULT_LEARNERS}
    print(f"\n{rows:,} x {X.shape[1]} simulated rows, {len(X) - rows:,} held out, device {device}")
    print(f"{'':12}{'wall s':>9}{'ratio':>8}{'RMSE m3/m3':>13}{'RMSE ratio':>12}")
    print(f"{'ours':12}{seconds:9.1f}{1:8.2f}{rmse:13.5f}{1:12.4f}", flush=True)
    others = {
        "same trees": lambda: with_our_settings(ours.trees_, rows, device),
        "same cap": lambda: with_our_settings(cap, rows, device),
        "reference": reference,
    }
    for name, make in others.items():
        if name == "same cap" and rows > MANY_ROWS:
            continue  # minutes more for a line that is not at equal error
        _, theirs, error = fit(make)
        print(f"{name:12}{theirs:9.1f}{theirs / seconds:8.2f}{error:13.5f}{rmse / error:12.4f}", flush=True)
    print(
        "trees:",
        ours.trees_,
        "weights:",
        dict(zip(ours.trees_, ours.weights_.round(3).tolist(), strict=True)),
    )
    print("seconds in learners, summed over threads:")
    for phase, spent in clock.seconds.most_common():
        print(f"  {phase:20}{spent:8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[60_000, 300_000])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    for rows in options.rows:
        measure(rows, options.device)
