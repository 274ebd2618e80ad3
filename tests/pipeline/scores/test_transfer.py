"""The scale-transfer test on simulated tables: a pattern that predictors tell is found, noise gains none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from models.errors import SampleError
from pipeline.errors import ConfigError, DataError
from pipeline.maps.detail import read_detail
from pipeline.scores import transfer as module
from pipeline.scores.transfer import Transfer, read, transfer

STUDY = """\
name = "simulated-planted"

[predictors]
use = ["vv", "clay"]

[model]
n_folds = 2
seed = 3

[splits]
block_km = 40
"""
SIDE, DAYS = 16, 12


class BegunError(Exception):
    """Raised where stacks begin to be fitted."""


def table(kind: str) -> pd.DataFrame:
    """Soil moisture that follows clay, cell by cell and without noise, or that no predictor tells of.

    Of ``half`` it follows clay from coarse cell to coarse cell, and within one by half as much.
    """
    rng = np.random.default_rng(4)
    down, right = (part.ravel() for part in np.indices((SIDE, SIDE)))
    cells = len(down)
    # Coarse cells must see nearly the range that cells have, or trees would have to extrapolate.
    clay = 10 + 30 * (down // 4 % 2) + 10 * rng.random(cells) * (1 + right % 3)
    wetness = 0.05 * gaussian_filter(rng.standard_normal((DAYS, SIDE, SIDE)), (1, 3, 3)).reshape(DAYS, cells)
    if kind == "told":
        sm = 0.05 + 0.004 * clay + 0 * wetness
    elif kind == "half":
        clay = 10 + right + 16 * (down // 8) + 6 * rng.random(cells)
        mean = pd.Series(clay).groupby(down // 2 * SIDE + right // 2).transform("mean").to_numpy()
        sm = 0.05 + 0.004 * (mean + 0.5 * (clay - mean)) + 0 * wetness
    else:
        sm = 0.25 + 10 * wetness + 0.01 * rng.standard_normal((DAYS, cells))
        clay = rng.uniform(10, 60, cells)
    return pd.DataFrame({
        "cell": np.tile([f"r{y}c{x}" for y, x in zip(down, right, strict=True)], DAYS),
        "lon": np.tile(110 + 0.1 * right, DAYS), "lat": np.tile(35 - 0.09 * down, DAYS),
        "date": np.repeat(pd.date_range("2019-06-01", periods=DAYS), cells),
        "vv": rng.uniform(-20, -5, DAYS * cells).astype(np.float32),
        "clay": np.tile(clay, DAYS).astype(np.float32), "sm": np.broadcast_to(sm, (DAYS, cells)).ravel(),
        "simulated": True,
    })  # fmt: skip


def written(folder: Path, kind: str = "told") -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    samples, study = folder / "samples.parquet", folder / "study.toml"
    table(kind).to_parquet(samples)
    study.write_text(STUDY, encoding="utf-8")
    return samples, study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Transfer, Path]]:
    found = {}
    for kind in ("told", "untold", "half"):
        folder = tmp_path_factory.mktemp(kind)
        found[kind] = transfer(*written(folder, kind), folder / "out", factor=2), folder / "out"
    return found


def test_a_pattern_that_predictors_tell_is_found_within_coarse_cells_also_elsewhere(made):
    found, _ = made["told"]
    for trained in ("there", "elsewhere"):
        model, fixed = found.row(trained, "sm_model"), found.row(trained, "sm")
        bilinear = found.row(trained, "smap_bilinear")
        for row in (model, fixed):
            assert row["r_within"] > 0.9 > bilinear["r_within"] + 0.3, (trained, row["product"])
            assert row["r_within_change_lower"] > 0.2
            assert row["rmse_change_upper"] < 0
            assert row["variance"] == pytest.approx(1, abs=0.5)
        assert fixed["rmse"] < model["rmse"]  # what the model lacks of a coarse mean is given back
        assert abs(fixed["bias"]) < 1e-4
        assert fixed["rmse_smooth_change_upper"] < 0
        assert found.summary["share"][trained]["value"] == pytest.approx(1, abs=0.2)
        assert found.row(trained, "sm_damped")["rmse"] < 1.05 * fixed["rmse"]


def test_predictors_that_tell_nothing_gain_nothing(made):
    found, _ = made["untold"]
    for trained in ("there", "elsewhere"):
        model, fixed = found.row(trained, "sm_model"), found.row(trained, "sm")
        assert model["rmse_change_lower"] > 0
        assert fixed["rmse_smooth_change_lower"] > -0.0005
        assert abs(model["r_within"]) < 0.15
        assert fixed["r_within_change_upper"] < 0.05
        assert found.summary["share"][trained]["value"] < 0.15
        damped = found.row(trained, "sm_damped")
        assert damped["rmse_smooth_change"] == pytest.approx(0, abs=0.0003)
        assert damped["rmse"] <= fixed["rmse"] + 1e-6


def test_maps_keep_the_share_that_was_planted_as_found_where_stacks_are_trained_there(made):
    for kind, least, most in (("told", 0.8, 1), ("half", 0.35, 0.65), ("untold", 0, 0.15)):
        found, folder = made[kind]
        share, kept = found.summary["share"]["there"], read_detail(folder)
        assert least <= kept.value <= most, kind
        assert kept.value == min(1, max(0, share["value"]))
        assert (kept.measured, kept.simulated) == (True, True)
        assert share["lower"] < share["value"] < share["upper"]
        assert found.summary["share_drawn"] == "coarse cells"
        assert found.summary["detail"] == "measured"
    half, _ = made["half"]
    fixed, damped = (half.row("there", name) for name in ("sm", "sm_damped"))
    assert damped["rmse"] < 0.8 * fixed["rmse"]
    assert damped["rmse_smooth_change_upper"] < 0


def test_products_of_coarse_smap_are_scored_as_by_hand(made):
    frame = table("untold")
    down, right = np.divmod(np.arange(SIDE**2), SIDE)
    block = np.tile(down // 2 * SIDE + right // 2, DAYS)
    nearest = frame.groupby([frame["date"], block])["sm"].transform("mean").to_numpy()
    truth = frame["sm"].to_numpy()

    row = made["untold"][0].row("there", "smap_nearest")
    assert row["n"] == len(frame)
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((nearest - truth) ** 2)), rel=1e-5)
    assert row["r"] == pytest.approx(np.corrcoef(nearest, truth)[0, 1], rel=1e-5)
    assert row["rmse_within"] == pytest.approx((truth - nearest).std(), rel=1e-5)
    assert row["variance"] == 0
    assert np.isnan(row["r_within"])
    assert "r is undefined: constant predicted series" in row["reason"]
    bilinear = made["untold"][0].row("there", "smap_bilinear")
    assert row["rmse_change"] == pytest.approx(row["rmse"] - bilinear["rmse"], abs=1e-9)


def test_both_ways_of_training_have_every_product_and_the_summary_counts(made):
    found, folder = made["told"]
    assert list(found.table["product"]) == 2 * list(module.TITLES)
    assert list(found.table["trained"]) == ["there"] * 10 + ["elsewhere"] * 10
    assert found.summary["counts"] == {
        "cells": 256, "coarse_cells": 64, "days": 12, "coarse_rows": 768, "rows": 3072,
    }  # fmt: skip
    assert found.summary["simulated"] is True
    assert found.summary["factor"] == 2
    assert found.summary["drawn"] == "coarse cells"  # twelve days are no five periods
    assert {path.name for path in folder.iterdir()} == {*module.FILES}
    again = read(folder)
    assert again.summary == found.summary
    assert again.pictures == {name: (folder / name).read_bytes() for name in ("transfer.png", "transfer.svg")}
    assert read(folder / "nothing") is None
    assert len(found.rows()) == 20
    json.loads((folder / "transfer.json").read_text(), parse_constant=pytest.fail)


def test_the_same_is_read_back_and_another_factor_or_a_damaged_folder_is_made_anew(made, tmp_path):
    found, folder = made["told"]
    samples, study = folder.parent / "samples.parquet", folder.parent / "study.toml"
    out = tmp_path / "out"
    shutil.copytree(folder, out)

    def begun(what: str, share: float) -> None:
        raise BegunError

    assert transfer(samples, study, out, factor=2, report=begun).summary == found.summary
    with pytest.raises(BegunError):
        transfer(samples, study, out, factor=4, report=begun)
    before = (out / "transfer.json").read_text()
    record = json.loads(before)
    (out / "transfer.json").write_text(json.dumps(record | {"share": {"there": 0.5}}))
    with pytest.raises(DataError, match=r"is damaged .*: remove it"):
        read(out)
    (out / "transfer.json").write_text(before)
    assert read(out) is not None
    (out / "transfer.csv").write_text("no table")
    with pytest.raises(DataError, match=r"is damaged .*: remove it"):
        read(out)
    with pytest.raises(BegunError):
        transfer(samples, study, out, factor=2, report=begun)


def test_what_was_predicted_before_a_run_was_stopped_is_not_predicted_again(tmp_path):
    samples, study = written(tmp_path)
    frame = pd.read_parquet(samples)
    frame[frame["date"] < "2019-06-05"].to_parquet(samples)
    whole = transfer(samples, study, tmp_path / "whole", factor=2)

    def stop(what: str, share: float) -> None:
        if what.startswith("elsewhere 3"):
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        transfer(samples, study, out, factor=2, report=stop)
    assert read(out) is None
    next(out.glob(".predicted/*/there-0.npz")).write_bytes(b"cut off")
    told: list[tuple[str, float]] = []
    found = transfer(samples, study, out, factor=2, report=lambda what, share: told.append((what, share)))

    order = list(dict.fromkeys(what.split(":")[0] for what, _ in told))
    assert order == ["trained there", "elsewhere 3/5", "elsewhere 4/5", "elsewhere 5/5"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] > 0.98
    pd.testing.assert_frame_equal(found.table, whole.table)
    assert not (out / ".predicted").exists()


def test_separate_regions_are_held_out_whole_and_small_partitions_fitted_together(tmp_path):
    samples, study = written(tmp_path)
    frame = pd.read_parquet(samples)
    frame = frame[frame["date"] < "2019-06-04"]
    # Five strips of six by sixteen cells, a degree apart, each a partition of its own.
    strips = []
    for number in range(5):
        strip = frame[frame["lat"] > 35 - 0.09 * 5.5].copy()
        strip["lat"] -= number
        strip["cell"] = strip["cell"] + f"n{number}"
        strips.append(strip.assign(partition=f"P{number}"))
    pd.concat(strips).to_parquet(samples)

    found = transfer(samples, study, tmp_path / "out", factor=2)
    assert found.summary["held"] == "5 separate regions"
    assert found.summary["partitions"] is False
    assert found.summary["share_drawn"] == "separate regions"
    [note] = [note for note in found.notes if note.startswith("All coarse cells are fitted together")]
    assert "'P0' has 72" in note
    for trained in ("there", "elsewhere"):
        assert found.row(trained, "sm_model")["rmse"] == found.row(trained, "wp")["rmse"]


def test_bad_input_is_told(tmp_path):
    samples, study = written(tmp_path)
    with pytest.raises(ConfigError, match="the factor is 1"):
        transfer(samples, study, tmp_path / "out", factor=1)
    with pytest.raises(DataError, match="give a factor of 2"):
        transfer(samples, study, tmp_path / "out", factor=8)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file cannot be written"):
        transfer(samples, study, tmp_path / "file", factor=2)
    frame = pd.read_parquet(samples)
    frame.assign(vv=-10.0, clay=20.0).to_parquet(samples)
    with pytest.raises(SampleError, match="same predictors"):
        transfer(samples, study, tmp_path / "out", factor=2)


def test_the_command_takes_the_studys_factor_and_tells_what_maps_keep(made, gee_smap, tmp_path, monkeypatch):
    found, folder = made["half"]
    given = ["--samples", folder.parent / "samples.parquet", "--out", folder]
    told = gee_smap("transfer", *given, "--study", folder.parent / "study.toml", "--factor", 2)
    assert told.code == 0
    share = read_detail(folder).value
    assert f"note: Of what the model tells within SMAP's cells a share of {share:.2f} [" in told.out

    factors = []

    def begun(*paths: Path, factor: int, **options: object) -> Transfer:
        factors.append(factor)
        return found

    monkeypatch.setattr(module, "transfer", begun)
    for splits in ("transfer = 3", "transfer = 0"):
        study = tmp_path / "study.toml"
        study.write_text(STUDY.replace("[splits]", f"[splits]\n{splits}"), encoding="utf-8")
        assert gee_smap("transfer", *given, "--study", study).code == 0
    assert factors == [3, 4]  # 4 makes SMAP's 36 km where the study says nothing
