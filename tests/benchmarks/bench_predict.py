"""Time predicting 1,000,000 rows by a stack against calling the three libraries' ``predict`` in turn.

Run: python -m tests.benchmarks.bench_predict [--rows 1000000]

Every line is measured in this one process on the same simulated rows; read the ratios. ``reference`` is 500
trees a learner (XGBoost depth 8, LightGBM 63 leaves, CatBoost depth 8); ``ours`` the default stack. Both are
stacked the same way, so their held-out RMSE compare. ONNX Runtime and treelite are timed where installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from models.inference import CompiledStack, Predictor
from models.learners import CatBoost, LightGBM, Plateau, XGBoost, cores
from models.stack import StackedRegressor
from tests.benchmarks.bench_fit import table

TRAINING_ROWS = 60_000
CHUNK = 100_000
REFERENCE = (
    XGBoost(trees=500, learning_rate=0.05, depth=8),
    LightGBM(trees=500, learning_rate=0.05, leaves=63, feature_fraction=1.0),
    CatBoost(trees=500, learning_rate=0.1, depth=8),
)


def rows_per_second(predict: Callable[[np.ndarray], Any], X: np.ndarray, seconds: float = 4.0) -> float:
    """The better of two passes over as many chunks of X as fit into ``seconds``, and at least one."""
    predict(X[:CHUNK])
    best = 0.0
    for _ in range(2):
        start, done = time.perf_counter(), 0
        for at in range(0, len(X), CHUNK):
            predict(X[at : at + CHUNK])
            done += len(X[at : at + CHUNK])
            if time.perf_counter() - start > seconds:
                break
        best = max(best, done / (time.perf_counter() - start))
    return best


def onnx_predictors(stack: StackedRegressor) -> dict[str, Callable[[np.ndarray], Any]]:
    """ONNX Runtime over each library's converter; empty where a package is missing."""
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnxmltools", "skl2onnx")):
        return {}
    import onnxruntime
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    found: dict[str, Callable[[np.ndarray], Any]] = {}
    kind = [("X", FloatTensorType([None, stack.n_features_in_]))]
    for name, convert in (("xgboost", convert_xgboost), ("lightgbm", convert_lightgbm)):
        try:
            model = convert(stack.models_[name], initial_types=kind).SerializeToString()
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            key = session.get_inputs()[0].name
            found[f"{name} by ONNX Runtime"] = lambda X, session=session, key=key: session.run(
                None, {key: X}
            )[0]
        except Exception as error:
            print(f"  {name} by ONNX Runtime: not converted ({str(error).splitlines()[0][:80]})")
    return found


def treelite_predictors(stack: StackedRegressor) -> dict[str, Callable[[np.ndarray], Any]]:
    """Treelite's general tree inference; empty where it is missing."""
    if importlib.util.find_spec("treelite") is None:
        return {}
    import treelite

    found: dict[str, Callable[[np.ndarray], Any]] = {}
    readers = {
        "xgboost": treelite.frontend.from_xgboost,
        "lightgbm": treelite.frontend.from_lightgbm,
    }
    for name, read in readers.items():
        try:
            model = read(stack.models_[name])
            found[f"{name} by treelite GTIL"] = lambda X, model=model: treelite.gtil.predict(model, X)
        except Exception as error:
            print(f"  {name} by treelite GTIL: not read ({str(error).splitlines()[0][:80]})")
    return found


def measure(rows: int) -> None:
    X, y = table(round(TRAINING_ROWS * 1.25))
    train, test = slice(0, TRAINING_ROWS), slice(TRAINING_ROWS, None)
    never = Plateau(patience=10**6)
    reference = StackedRegressor(REFERENCE, patience=never.patience, n_folds=2).fit(X[train], y[train])
    ours = StackedRegressor().fit(X[train], y[train])
    rmse = {
        name: float(np.sqrt(np.mean((stack.predict(X[test]) - y[test]) ** 2)))
        for name, stack in (("reference", reference), ("ours", ours))
    }
    big = np.resize(X, (rows, X.shape[1]))
    threads = cores()

    def in_turn(stack: StackedRegressor) -> Callable[[np.ndarray], Any]:
        return lambda X: [one.predict(stack.models_[one.name], X, threads) for one in stack.learners]

    print(f"{rows:,} x {X.shape[1]} rows, {threads} threads")
    print("reference trees:", reference.trees_, "ours:", ours.trees_)
    base = rows_per_second(in_turn(reference), big)

    def line(name: str, rate: float, note: str = "") -> None:
        print(f"{name:44}{rate / 1e3:10.0f} k rows/s{rate / base:8.2f}x  {note}", flush=True)

    line("reference, libraries in turn", base, f"RMSE {rmse['reference']:.5f}")
    line("reference, same models compiled", rows_per_second(Predictor(reference, "compiled").predict, big))
    line("ours, libraries in turn", rows_per_second(in_turn(ours), big), f"RMSE {rmse['ours']:.5f}")
    line(
        "ours, compiled", rows_per_second(Predictor(ours, "compiled").predict, big),
        f"RMSE ratio to reference {rmse['ours'] / rmse['reference']:.4f}",
    )  # fmt: skip
    for name, stack in (("reference", reference), ("ours", ours)):
        for one in stack.learners:
            rate = rows_per_second(
                lambda X, one=one, stack=stack: one.predict(stack.models_[one.name], X, threads), big
            )
            line(f"  {name}: {one.name} alone, native", rate)
            single = StackedRegressor((one,))
            single.models_, single.weights_ = {one.name: stack.models_[one.name]}, np.ones(1)
            single.n_features_in_ = stack.n_features_in_
            line(
                f"  {name}: {one.name} alone, compiled",
                rows_per_second(Predictor(single, "compiled").predict, big),
            )
    for name, predict in {**onnx_predictors(reference), **treelite_predictors(reference)}.items():
        line(f"  reference: {name}", rows_per_second(predict, big))
    start = time.perf_counter()
    CompiledStack(ours)
    print(f"compiling ours takes {time.perf_counter() - start:.2f} s")
    line("reading the rows once (sum of the table)", rows_per_second(lambda X: X.sum(), big))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    measure(parser.parse_args().rows)
