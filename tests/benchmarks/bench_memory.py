"""Peak memory of fitting and predicting above that of the process which holds the table. Linux only.

Run: python tests/benchmarks/bench_memory.py [--rows 3000000]

Each figure comes from a process of its own. The trees of a fit are capped at 20: what a fit holds is the
table, its bins and its folds, which do not grow with the number of trees. The table holds random numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
from pathlib import Path

import numpy as np

from models.inference import Predictor
from models.learners import DEFAULT_LEARNERS
from models.stack import StackedRegressor

COLUMNS = 18
LEARNERS = tuple(dataclasses.replace(one, trees=20) for one in DEFAULT_LEARNERS)


def table(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.random((rows, COLUMNS), dtype=np.float32)
    return X, (X[:, 0] * X[:, 1] + 0.1 * X[:, 2]).astype(np.float32)


def status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def above_baseline(work: str, rows: int) -> int:
    """Peak memory of ``work`` above what the process held before it, in bytes."""
    X, y = table(rows)
    small = StackedRegressor(LEARNERS, n_folds=2).fit(X[:20_000], y[:20_000])
    predictor = Predictor(small, "compiled")
    predictor.predict(X[:1000])
    out = np.empty(rows, np.float32)
    out[:] = 0
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    baseline = status("VmRSS")
    if work == "fit":
        StackedRegressor(LEARNERS).fit(X, y)
    else:
        predictor.predict(X, out)
    return status("VmHWM") - baseline


def measure(rows: int) -> None:
    context = multiprocessing.get_context("spawn")
    size = rows * COLUMNS * 4
    print(f"table {rows:,} x {COLUMNS} float32: {size / 1e6:.0f} MB")
    for work, n in (("fit", rows), ("predict", rows // 10), ("predict", rows)):
        with context.Pool(1) as pool:
            peak = pool.apply(above_baseline, (work, n))
        tables = peak / (n * COLUMNS * 4)
        print(f"{work:8}{n:>12,} rows {peak / 1e6:8.0f} MB above baseline, {tables:5.2f} x table", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3_000_000)
    measure(parser.parse_args().rows)
