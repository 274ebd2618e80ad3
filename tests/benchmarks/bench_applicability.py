"""Time the dissimilarity index of a map against the prediction of the same map, and against a k-d tree.

Run: python -m tests.benchmarks.bench_applicability [--cells 20] [--days 215]

Everything is simulated: training cells on all days of a season in three partitions, a stack for each, and
a map of 100 x 100 pixels on 32 days. For each partition ``predict`` is ``models.gridded`` on one thread,
``index`` is ``GridIndex`` on the same rows and thread, ``exact`` the true index of all rows by the same walk,
``k-d tree`` that of SciPy on rows without gaps among the training rows without gaps. Seconds are those of the
processor, the better of two rounds. Beside the times: how many rows the index gets wrong, inside or outside,
and by how much it is above the true one inside, where its search ends early.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from models.applicability import Applicability, GridIndex, importance_of
from models.gridded import DAILY, MOVING, STILL, GridPredictor
from models.partitioned import PartitionedStack
from models.splits import SampleKeys, SpatialBlocks
from models.stack import StackedRegressor
from tests.simulated_samples import simulate

TILE, BLOCK_DAYS = 100, 32  # pixels along a side of the map, days of one block of a prediction
PROVINCE = 302_940 * 215  # rows of Anhui and the season of Xu et al. 2024
GROUND = ("sand", "silt", "clay", "dem", "LC_1", "LC_2", "LC_3", "LC_4")
SOME = 5_000  # rows given to SciPy


def seconds(work: Callable[[], Any], rounds: int = 2) -> tuple[float, Any]:
    spent, found = [], None
    for _ in range(rounds):
        begun = time.process_time()
        found = work()
        spent.append(time.process_time() - begun)
    return min(spent), found


def main(cells: int, days: int) -> None:
    frame = simulate(cells, days).samples
    names = [name for name in frame if name not in ("cell", "lon", "lat", "partition", "date", "sm")]
    X, y = frame[names].to_numpy(np.float32), frame["sm"].to_numpy(np.float32)
    keys = SampleKeys(
        np.unique(frame["cell"], return_inverse=True)[1], frame["lon"].to_numpy(), frame["lat"].to_numpy(),
        frame["date"].to_numpy().astype("datetime64[D]").astype(np.int64),
        frame["partition"].to_numpy().astype(str),
    )  # fmt: skip
    split = SpatialBlocks()
    model = PartitionedStack.fit(StackedRegressor(), X, y, keys, split)
    tile = simulate(TILE, BLOCK_DAYS).samples
    parted = tile["partition"].to_numpy()[: TILE * TILE]
    kinds = [STILL if name in GROUND else DAILY if name == "doy" else MOVING for name in names]
    features = []
    for name, kind in zip(names, kinds, strict=True):
        plane = tile[name].to_numpy(np.float32).reshape(BLOCK_DAYS, -1)
        plane = plane[:1] if kind == STILL else plane[:, :1] if kind == DAILY else plane
        features.append(np.ascontiguousarray(plane))
    print(f"simulated: {len(X):,} training rows of {len(names)} predictors; us are per row and processor")
    spent = {"predict": 0.0, "index": 0.0}
    whole = 0
    for name, stack in model.parts.items():
        own = np.flatnonzero(keys.partition == name)
        pixels = np.flatnonzero(parted == name)
        begun = time.process_time()
        importance = importance_of(stack, X[own])
        explained = time.process_time() - begun
        area = Applicability.fit(X[own], importance, split.folds(keys.take(own)))
        fitted = time.process_time() - begun - explained
        predictor, index = GridPredictor(stack, kinds), GridIndex(area, kinds)
        rows = len(pixels) * BLOCK_DAYS
        index.predict(features, pixels[:50], BLOCK_DAYS)
        predictor.predict(features, pixels[:50], BLOCK_DAYS)
        predicting, _ = seconds(lambda: predictor.predict(features, pixels, BLOCK_DAYS))  # noqa: B023
        indexing, found = seconds(lambda: index.predict(features, pixels, BLOCK_DAYS))  # noqa: B023
        asked = np.stack(
            [
                np.broadcast_to(one[:, pixels] if one.shape[1] > 1 else one, found.shape).ravel()
                for one in features
            ],
            axis=1,
        )
        exactly, true = seconds(lambda: area.di(asked), 1)  # noqa: B023
        points = area.coordinates(asked)
        points = points[~np.isnan(points).any(axis=1)]
        points = points[np.random.default_rng(0).choice(len(points), SOME)]
        tree = cKDTree(area.rows[~np.isnan(area.rows).any(axis=1)])
        searching, _ = seconds(lambda: tree.query(points), 1)  # noqa: B023
        inside = area.inside(true)
        wrong = int((area.inside(found.ravel()) != inside).sum())
        above = (found.ravel() - true)[inside]
        print(
            f"{name:9}{len(own):>8,} training rows, importance {explained:.1f} s, fit {fitted:.1f} s; "
            f"{rows:,} map rows, {1 - inside.mean():.1%} outside {area.threshold:.3f}\n"
            f"{'':9}predict {predicting / rows * 1e6:.2f} us, index {indexing / rows * 1e6:.2f}, "
            f"exact {exactly / rows * 1e6:.2f}, k-d tree {searching / SOME * 1e6:.1f}; "
            f"index / predict {indexing / predicting:.2f}\n"
            f"{'':9}{wrong} rows wrongly inside or outside; inside above the true index (median "
            f"{np.median(true[inside]):.3f}) by {np.median(above):.4f} in the median, "
            f"{np.quantile(above, 0.95):.4f} at the 95th percentile, {above.max():.4f} at most",
            flush=True,
        )
        spent["predict"] += predicting
        spent["index"] += indexing
        whole += rows
    print(f"all: index / predict {spent['index'] / spent['predict']:.2f}")
    for name, one in spent.items():
        print(
            f"province and season, {name}: {one / whole * PROVINCE / 2:.0f} s on two processors at this rate"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20, help="along a side of the training region")
    parser.add_argument("--days", type=int, default=215)
    given = parser.parse_args()
    main(given.cells, given.days)
