"""A small table of cell samples, and rows that stand on the cuts of trees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from models.learners import Table
from models.trees import Splits
from tests.simulated_samples import simulate

LARGEST = np.finfo(np.float32).max

RowsOnCuts = Callable[[Splits, int], NDArray[np.float32]]


@pytest.fixture(scope="session")
def samples() -> Table:
    """2,000 simulated samples of 18 predictors; lst, vv and vh have gaps, the others none."""
    frame = simulate(side=10, days=20).samples
    predictors = frame.drop(columns=["cell", "lon", "lat", "partition", "date", "sm"])
    return Table(np.ascontiguousarray(predictors, np.float32), frame["sm"].to_numpy(np.float32))


@pytest.fixture(scope="session")
def rows_on_cuts() -> RowsOnCuts:
    """Rows whose values are thresholds, their float32 neighbours, zero, the largest numbers, or missing."""

    def rows(splits: Splits, features: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(0)
        X = np.empty((400, features), np.float32)
        for feature in range(features):
            cuts = np.append(splits.threshold[splits.feature == feature], np.float32(0))
            cuts = cuts[np.isfinite(cuts)]
            near = np.concatenate([np.nextafter(cuts, -LARGEST), cuts, np.nextafter(cuts, LARGEST)])
            far = np.array([np.nan, np.nan, 0, -LARGEST, LARGEST], np.float32)
            X[:, feature] = np.where(rng.random(400) < 0.2, rng.choice(far, 400), rng.choice(near, 400))
        return X

    return rows
