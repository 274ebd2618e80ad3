"""Scores of maps against the simulated truth, beside NumPy's correlation pixel by pixel."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.scores.truth import read, score_fields
from pipeline.work.staging import write_json

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
    for value in (perfect.r, perfect.r_time, perfect.r_space, perfect.r_within, perfect.variance):
        assert value == pytest.approx(1)
    assert perfect.rmse == pytest.approx(0, abs=1e-9)
    assert blocky.variance == pytest.approx(0, abs=1e-6)
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
    assert other.beside == {}


@pytest.fixture
def noisy(truth):
    """A good map and two bad ones that err alike, over five periods of 30 days, so that months are drawn."""
    random = np.random.default_rng(7)
    long = np.tile(truth, (25, 1, 1))
    good, bad, alike = (
        (long + scale * random.standard_normal(long.shape)).astype(np.float32) for scale in (0.03, 0.05, 0.05)
    )
    return long, {"good": good, "bad": bad, "alike": alike}


@pytest.mark.parametrize(("days", "drawn"), [(150, "30-day periods"), (119, "cells")])
def test_differences_are_numpys_and_their_intervals_tell_maps_apart(noisy, days, drawn):
    truth, fields = noisy[0][:days], {name: field[:days] for name, field in noisy[1].items()}
    cells = np.add.outer(10 * (np.arange(SIDE) // 6), np.arange(SIDE) // 6)  # nine of them
    good, bad, alike = score_fields(truth, fields, cells, baselines=("bad", "good"))

    assert {name for one in (good, alike) for name in one.beside} == {"bad", "good"}
    assert set(bad.beside) == {"good"}
    rmse = {name: np.sqrt(np.mean((field.astype(float) - truth) ** 2)) for name, field in fields.items()}
    r = {name: np.corrcoef(field.ravel(), truth.ravel())[0, 1] for name, field in fields.items()}
    inside = [cells == cell for cell in np.unique(cells)]
    within = {
        name: np.array([
            [np.corrcoef(true[own], ours[own])[0, 1] for own in inside]
            for true, ours in zip(truth, field, strict=True)
        ])
        for name, field in fields.items()
    }  # fmt: skip
    for one, baseline in ((good, "bad"), (alike, "bad"), (bad, "good")):
        changes = one.beside[baseline]
        assert one.drawn == drawn
        assert changes["rmse"].value == pytest.approx(rmse[one.product] - rmse[baseline], abs=1e-6)
        assert changes["r"].value == pytest.approx(r[one.product] - r[baseline], abs=1e-6)
        wanted = np.median(within[one.product] - within[baseline])
        assert changes["r_within"].value == pytest.approx(wanted, abs=1e-6)
    better = good.beside["bad"]
    assert better["rmse"].upper < 0 < better["r"].lower
    assert better["r_within"].value > 0
    for change in alike.beside["bad"].values():
        assert not change.lower > 0
        assert not change.upper < 0
    if drawn == "cells":
        assert better["r_within"].lower > 0  # five blocks are too few for the interval of a median
    there, back = better["ubrmse"], bad.beside["good"]["ubrmse"]
    assert (there.value, there.lower, there.upper) == pytest.approx((-back.value, -back.upper, -back.lower))


def test_scores_are_read_back_and_those_of_another_version_are_told(noisy, tmp_path):
    cells = np.add.outer(10 * (np.arange(SIDE) // 6), np.arange(SIDE) // 6)
    scores = score_fields(noisy[0], noisy[1], cells, baselines=("bad",))
    write_json(tmp_path / "truth.json", [one.as_dict() for one in scores])
    assert read(tmp_path / "truth.json")[0].beside.keys() == scores[0].beside.keys()
    again = [replace(one, beside={}) for one in read(tmp_path / "truth.json")]
    assert again == [replace(one, beside={}) for one in scores]
    assert read(tmp_path / "truth.json")[2].beside["bad"]["rmse"] == scores[2].beside["bad"]["rmse"]
    rows = json.loads((tmp_path / "truth.json").read_text())
    for broken in (rows[0], [{**rows[0], "beside": []}], [{key: rows[0][key] for key in ("product", "n")}]):
        write_json(tmp_path / "old.json", broken)
        with pytest.raises(DataError, match=r"old.json is damaged.*gee-smap run"):
            read(tmp_path / "old.json")


def test_nothing_in_common_is_an_error(truth):
    with pytest.raises(ValueError, match="common"):
        score_fields(truth, {"nothing": np.full_like(truth, np.nan)}, CELLS)
