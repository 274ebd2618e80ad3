"""Scores of maps against the simulated truth, beside NumPy's correlation pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.scores.truth import score_fields

DAYS, SIDE = 6, 18
CELLS = np.add.outer(10 * (np.arange(SIDE) // 9), np.arange(SIDE) // 9)


@pytest.fixture
def truth():
    random = np.random.default_rng(4)
    return (0.3 + 0.05 * random.standard_normal((DAYS, SIDE, SIDE))).astype(np.float32)


def coarse(field):
    """Every pixel the mean of its cell."""
    blocks = field.reshape(DAYS, 2, 9, 2, 9).mean(axis=(2, 4))
    return np.repeat(np.repeat(blocks, 9, axis=1), 9, axis=2).astype(np.float32)


def test_the_truth_itself_is_perfect_and_cell_means_have_no_pattern(truth):
    perfect, blocky = score_fields(truth, {"perfect": truth, "SMAP": coarse(truth)}, CELLS)
    for value in (perfect.r, perfect.r_time, perfect.r_space, perfect.r_within, perfect.spread):
        assert value == pytest.approx(1)
    assert perfect.rmse == pytest.approx(0, abs=1e-9)
    assert blocky.spread == pytest.approx(0, abs=1e-6)
    assert np.isnan(blocky.r_within)
    assert blocky.bias == pytest.approx(0, abs=1e-6)
    inside = (
        truth.reshape(DAYS, 2, 9, 2, 9) - truth.reshape(DAYS, 2, 9, 2, 9).mean((2, 4), keepdims=True)
    ).std()
    assert blocky.rmse == pytest.approx(float(inside), rel=1e-4)
    assert blocky.row()["R within cells"] == "–"


def test_correlations_are_numpys_on_the_pixels_common_to_all(truth):
    random = np.random.default_rng(5)
    field = (truth + 0.04 * random.standard_normal(truth.shape) + 0.02).astype(np.float32)
    hole = truth.copy()
    hole[0, :3], hole[:, 5, 5] = np.nan, np.nan
    labels = CELLS.copy()
    labels[:, 17] = -1
    other, _ = score_fields(truth, {"field": field, "hole": hole}, labels)
    common = np.isfinite(hole) & (labels >= 0)
    assert other.n == common.sum()
    assert other.r == pytest.approx(np.corrcoef(truth[common], field[common])[0, 1])
    assert other.bias == pytest.approx(np.mean(field[common] - truth[common]), rel=1e-4)
    maps = [np.corrcoef(truth[d][common[d]], field[d][common[d]])[0, 1] for d in range(DAYS)]
    assert other.r_space == pytest.approx(np.median(maps))
    series = [
        np.corrcoef(truth[:, y, x][common[:, y, x]], field[:, y, x][common[:, y, x]])[0, 1]
        for y in range(SIDE) for x in range(SIDE) if common[:, y, x].any()
    ]  # fmt: skip
    assert other.r_time == pytest.approx(np.median(series))
    within = [
        np.corrcoef(truth[d][common[d] & (labels == cell)], field[d][common[d] & (labels == cell)])[0, 1]
        for d in range(DAYS) for cell in np.unique(CELLS)
    ]  # fmt: skip
    assert other.r_within == pytest.approx(np.median(within))


def test_nothing_in_common_is_an_error(truth):
    with pytest.raises(ValueError, match="common"):
        score_fields(truth, {"nothing": np.full_like(truth, np.nan)}, CELLS)
