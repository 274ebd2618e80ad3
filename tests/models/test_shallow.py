"""Shallow trees on pixels and days say what LightGBM says of the same rows."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from models.gridded import DAILY, MOVING, STILL
from models.shallow import LEAVES, ShallowForest, Used, fits
from models.trees import READERS

KINDS = (STILL, MOVING, DAILY, MOVING, STILL)
DAYS, PIXELS = 7, 90


def planes(seed: int) -> list[NDArray[np.float32]]:
    """Predictors of pixels and days, rounded so that many stand at thresholds, some missing."""
    rng = np.random.default_rng(seed)
    shapes = {STILL: (1, PIXELS), DAILY: (DAYS, 1), MOVING: (DAYS, PIXELS)}
    found = [rng.normal(size=shapes[kind]).round(1).astype(np.float32) for kind in KINDS]
    for one in found:
        one[rng.random(one.shape) < 0.2] = np.nan
    return found


def trained(leaves: int, missing: bool, features: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Any:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3000, len(KINDS))).round(1)
    if missing:
        X[rng.random(X.shape) < 0.2] = np.nan
    y = sum((-1) ** k * np.nan_to_num(X[:, k], nan=0.5) ** (1 + k % 2) for k in features)
    params = {"num_leaves": leaves, "learning_rate": 0.3, "verbose": -1, "seed": 1, "num_threads": 1}
    return lightgbm.train(params, lightgbm.Dataset(X, y), 12)


@pytest.mark.parametrize("leaves", [2, 7, LEAVES])
@pytest.mark.parametrize("missing", [True, False])
def test_trees_say_what_lightgbm_says(leaves: int, missing: bool):
    booster = trained(leaves, missing)
    forest = READERS["lightgbm"](booster)
    assert fits(forest)
    features, pixels = planes(1), np.array([5, 0, 89, *range(20, 60)])
    rows = np.stack([np.broadcast_to(one, (DAYS, PIXELS))[:, pixels].ravel() for one in features], axis=1)
    used = Used([forest], KINDS)
    found = ShallowForest(forest, used).predict(used.planes(features, pixels, DAYS))
    np.testing.assert_allclose(found, booster.predict(rows, num_threads=1), atol=1e-12)
    assert np.ptp(found) > 1


def test_forests_share_the_predictors_that_any_of_them_compares():
    boosters = [trained(4, True, (0,)), trained(4, True, (1, 2))]
    forests = [READERS["lightgbm"](booster) for booster in boosters]
    features, pixels = planes(2), np.arange(PIXELS)
    rows = np.stack([np.broadcast_to(one, (DAYS, PIXELS)).ravel() for one in features], axis=1)
    used = Used(forests, KINDS)
    seen = used.planes(features, pixels, DAYS)
    for booster, forest in zip(boosters, forests, strict=True):
        found = ShallowForest(forest, used).predict(seen)
        np.testing.assert_allclose(found, booster.predict(rows, num_threads=1), atol=1e-12)


def test_trees_of_more_leaves_than_bits_do_not_fit():
    assert not fits(READERS["lightgbm"](trained(LEAVES + 1, False)))
