"""Scores without some predictors: they show what was planted, and with all they are those of training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import SampleError
from pipeline.columns import EXPORTED, PREDICTORS
from pipeline.errors import DataError
from pipeline.learning import ablation
from pipeline.learning.ablation import Ablation, ablate, read
from pipeline.learning.train import train
from tests.simulated_samples import simulate

STUDY = """\
name = "simulated-planted"

[partitions]
minimum_samples = 100

[predictors]
use = [{use}]

[model]
n_folds = 2
seed = 3

[splits]
gap_days = 2
names = ["random", "spatial", "time", "leave-partition-out"]
"""
USED = ("vv", "clay", "dem", "doy")
SETS = ["all", "without-doy", "without-statics", "without-both"]
Made = dict[str, tuple[Ablation, Path]]
MODELS = ["XGBoost", "LightGBM", "CatBoost", "stack", "WP"]


def written(folder: Path, table: pd.DataFrame, use: tuple[str, ...] = USED) -> tuple[Path, Path]:
    """A table of samples marked as simulated, and its study."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, study = folder / "samples.parquet", folder / "study.toml"
    table.assign(simulated=True).to_parquet(samples)
    study.write_text(STUDY.format(use=", ".join(f'"{name}"' for name in use)), encoding="utf-8")
    return samples, study


def planted(kind: str) -> pd.DataFrame:
    """A table whose soil moisture is noise that all rows of a date, or all rows of a cell, share."""
    table = simulate(side=6, days=40).samples.drop(columns="partition")
    rng = np.random.default_rng(1)
    code, values = np.unique(table[kind], return_inverse=True)
    table["sm"] = (0.25 + 0.05 * rng.standard_normal(len(code))[values]).astype(np.float32)
    table["vv"] = rng.standard_normal(len(table)).astype(np.float32)  # tells nothing
    return table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Ablation, Path]]:
    """The ablation of each planted table, and its folder."""
    found = {}
    for kind in ("date", "cell"):
        folder = tmp_path_factory.mktemp(kind)
        found[kind] = ablate(*written(folder, planted(kind)), folder / "out"), folder / "out"
    return found


@pytest.mark.parametrize(
    ("kind", "without", "unlike", "known", "new"),
    [
        ("date", "without-doy", "without-statics", "spatial", "time"),
        ("cell", "without-statics", "without-doy", "time", "spatial"),
    ],
)
def test_noise_of_dates_or_cells_is_learnt_by_heart_and_found_out(
    made: Made, kind: str, without: str, unlike: str, known: str, new: str
) -> None:
    found, _ = made[kind]

    def rmse(split: str, predictors: str) -> float:
        row = found.row(split, predictors)
        assert row is not None
        return float(row["rmse"])

    assert rmse("random", "all") < 0.02 < 0.04 < rmse("random", without)  # the noise has 0.05
    assert rmse(known, without) > 2 * rmse(known, "all")
    assert rmse("random", unlike) < 0.02
    for split in ("random", known):
        assert found.row(split, without)["rmse_change_lower"] > 0.01, split
    assert rmse(new, "all") > 1.4 * rmse("random", "all")  # nothing can be known of a new one
    assert found.row(new, without)["rmse_change"] < 0.005


def test_scores_of_all_predictors_are_those_of_the_training(tmp_path: Path) -> None:
    table = simulate(side=6, days=20).samples
    table["partition"] = np.where(table["partition"] == "plain", "plain", "high land")
    samples, study = written(tmp_path, table, ("vv", "nsdsi", "doy"))
    scores = train(samples, study, tmp_path / "model").scores

    found = ablate(samples, study, tmp_path / "out")

    for split in ("random", "spatial", "time"):
        for model in MODELS:
            ours = found.row(split, "all", model)
            [theirs] = scores[
                (scores["split"] == split) & (scores["partition"] == "all") & (scores["model"] == model)
            ].to_dict(orient="records")
            for metric in ("n", "r", "rmse", "bias", "ubrmse", "r_lower", "r_upper", "rmse_lower"):
                assert ours[metric] == pytest.approx(theirs[metric], abs=1e-9), (split, model, metric)
    assert list(found.summary["splits"]) == [
        "random",
        "spatial",
        "time",
    ]  # partitions have no stack to compare
    one, full = found.row("random", "without-doy"), found.row("random", "all")
    for metric in ("r", "rmse"):
        assert one[f"{metric}_change"] == pytest.approx(one[metric] - full[metric], abs=1e-9)
    best = min(("XGBoost", "LightGBM", "CatBoost"), key=lambda name: found.row("random", "all", name)["rmse"])
    assert found.summary["splits"]["random"]["best"] == best


def test_every_set_split_and_model_has_a_row_and_the_sets_say_what_they_leave_out(
    made: Made,
) -> None:
    found, _ = made["date"]

    expected = [
        (split, model, name) for split in ("random", "spatial", "time") for model in MODELS for name in SETS
    ]
    table = found.table
    assert list(zip(table["split"], table["model"], table["predictors"], strict=True)) == expected
    left = {name: one["left_out"] for name, one in found.summary["sets"].items()}
    assert left == {
        "all": [],
        "without-doy": ["doy"],
        "without-statics": ["clay", "dem"],
        "without-both": ["clay", "dem", "doy"],
    }
    assert table["simulated"].all()
    assert found.summary["simulated"] is True


def test_the_folder_holds_table_record_and_figures_and_is_read_back(made: Made) -> None:
    found, folder = made["date"]

    apart = {"predictor-sets.png", "predictor-sets.svg"}  # nothing to draw: the table lacks what they need
    assert {path.name for path in folder.iterdir()} == {*ablation.FILES} - apart
    again = read(folder)
    assert again.summary == found.summary
    pd.testing.assert_frame_equal(again.table, found.table)
    assert (folder / "ablation.png").read_bytes() == found.picture == again.picture
    assert read(folder / "nothing") is None


def test_a_damaged_folder_is_told_and_made_anew(tmp_path: Path) -> None:
    table = planted("date").query("doy < 111")
    samples, study = written(tmp_path, table, ("vv", "doy"))
    out = tmp_path / "out"
    ablate(samples, study, out)
    (out / "ablation.csv").write_text("no table")

    with pytest.raises(DataError, match=r"is damaged .*: remove it"):
        read(out)
    assert len(ablate(samples, study, out).table) > 0


def test_what_was_predicted_before_a_run_was_stopped_is_not_predicted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, study = written(tmp_path, planted("date").query("doy < 111"), ("vv", "doy"))
    fitted: list[str] = []
    whole = ablate(samples, study, tmp_path / "whole", report=lambda what, share: fitted.append(what))
    order = list(dict.fromkeys(what.split(":")[0] for what in fitted))
    assert order == [
        f"{title}, {split} split"
        for title in ("All predictors", "Without day of year")
        for split in ("random", "spatial", "time")
    ]

    def stop(what: str, share: float) -> None:
        if what.startswith(order[4]):
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        ablate(samples, study, out, report=stop)
    assert read(out) is None
    (next(out.glob(".held-out/*/all-spatial.npz"))).write_bytes(b"cut off")
    told: list[tuple[str, float]] = []
    found = ablate(samples, study, out, report=lambda what, share: told.append((what, share)))

    assert list(dict.fromkeys(what.split(":")[0] for what, _ in told)) == [order[1], *order[4:]]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] > 0.98
    pd.testing.assert_frame_equal(found.table, whole.table)
    assert not (out / ".held-out").exists()


def test_a_run_of_the_same_table_and_study_is_read_back_and_of_another_made(tmp_path: Path) -> None:
    table = planted("date").query("doy < 111")
    samples, study = written(tmp_path, table, ("vv", "doy"))
    first = ablate(samples, study, tmp_path / "out")
    told: list[str] = []

    def report(what: str, share: float) -> None:
        told.append(what)

    again = ablate(samples, study, tmp_path / "out", report=report)
    assert told == []
    pd.testing.assert_frame_equal(first.table, again.table)

    other = table.assign(sm=table["sm"] + np.float32(0.01))
    ablate(*written(tmp_path, other, ("vv", "doy")), tmp_path / "out", report=report)
    assert told


@pytest.mark.parametrize(
    ("use", "sets", "note"),
    [
        (("vv", "doy"), ["all", "without-doy"], "Without terrain, soil, land cover is the same as all"),
        (("vv", "clay"), ["all", "without-statics"], "Without day of year is the same as all predictors"),
        (("clay", "doy"), ["all", "without-doy", "without-statics"], "no predictor would be left"),
    ],
)
def test_a_set_that_leaves_nothing_out_or_nothing_over_is_told(
    use: tuple[str, ...], sets: list[str], note: str, tmp_path: Path
) -> None:
    found = ablate(*written(tmp_path, planted("date").query("doy < 101"), use), tmp_path / "out")

    assert list(found.summary["sets"]) == sets
    assert any(note in told for told in found.notes)
    assert set(found.table["predictors"]) == set(sets)


def test_where_no_split_can_be_made_there_are_reasons_and_no_figure(tmp_path: Path) -> None:
    samples, study = written(tmp_path, planted("date").query("doy < 95"), ("vv", "doy"))
    study.write_text(study.read_text().replace('"random", "spatial", "time", ', '"time", '))

    found = ablate(samples, study, tmp_path / "out")

    assert found.table.empty
    assert found.picture is None
    assert "9 days or more" in found.summary["splits"]["time"]["reason"]
    assert not list((tmp_path / "out").glob("*.png"))
    assert read(tmp_path / "out").table.empty


def test_small_partitions_and_a_folder_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    table = planted("date").query("doy < 95")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file cannot be written"):
        ablate(*written(tmp_path, table, ("vv", "doy")), tmp_path / "file")
    few = table.assign(partition=np.where(table["cell"] == table["cell"].iloc[0], "tiny", "rest"))
    with pytest.raises(SampleError, match="'tiny' has 4"):
        ablate(*written(tmp_path, few, ("vv", "doy")), tmp_path / "out")


def test_the_record_is_json_without_nan(made: Made) -> None:
    _, folder = made["date"]

    def refuse(name: str) -> None:
        raise AssertionError(name)

    record = json.loads((folder / "ablation.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert record["splits"]["random"]["promise"].startswith("Rows are held out one by one")


def rainy(days: int = 40) -> pd.DataFrame:
    """A table whose soil moisture is the rain of the three days before, which no other predictor tells."""
    table = simulate(side=6, days=days).samples.drop(columns="partition")
    rng = np.random.default_rng(4)
    fallen = rng.gamma(1.0, 12.0, days)[(table["date"] - table["date"].min()).dt.days]
    for name in ("dlst", "slope", "twi", *PREDICTORS[:9]):
        table[name] = rng.random(len(table)).astype(np.float32)
    for length in (3, 7, 15, 30):
        table[f"rain_{length}"] = fallen + (length > 3) * rng.gamma(1.0, 40.0, len(table))
    table["sm"] = (0.15 + 0.003 * np.minimum(fallen, 60)).astype(np.float32)
    return table


SETS_STUDY = """\
name = "simulated-rain"

[model]
n_folds = 2

[splits]
gap_days = 2
names = ["random", "time"]
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ablation, Path, list[str]]:
    """An ablation of a table that has the further predictors, its folder, and what was told."""
    folder = tmp_path_factory.mktemp("rain")
    samples, study = written(folder, rainy())
    study.write_text(SETS_STUDY, encoding="utf-8")
    told: list[str] = []
    found = ablate(samples, study, folder / "out", report=lambda what, share: told.append(what))
    return found, folder / "out", told


def test_sets_are_compared_where_whole_dates_are_new_and_rain_is_found_out(
    compared: tuple[Ablation, Path, list[str]],
) -> None:
    found, _, _ = compared

    assert set(found.compared["split"]) == {"time"}  # a random split shows nothing of them
    assert set(found.compared["n"]) == {found.row("time", "all")["n"]}
    for name in ("recommended-bare", "recommended-season", "recommended-doy"):
        row = found.set_row("time", name)
        assert row["rmse"] < 0.6 * found.set_row("time", "paper")["rmse"], name
        assert row["rmse_change_upper"] < 0
    assert found.compared["simulated"].all()
    assert [row["split"] for row in found.set_rows()] == ["time"]


def test_the_sets_are_those_of_the_columns_and_season_is_made_of_the_date(
    compared: tuple[Ablation, Path, list[str]],
) -> None:
    sets = {name: set(one["predictors"]) for name, one in compared[0].summary["compared"].items()}

    cover = {"LC_1", "LC_2", "LC_3", "LC_4"}
    assert sets["paper"] == {*PREDICTORS} - {"lc"} | cover
    assert sets["recommended-bare"] == sets["paper"] - {"doy"} | {*EXPORTED}
    assert sets["recommended-season"] == sets["recommended-bare"] | {"doy_sin", "doy_cos"}
    assert sets["recommended-doy"] == sets["recommended-bare"] | {"doy"}


def test_what_the_study_itself_uses_is_not_fitted_twice(
    compared: tuple[Ablation, Path, list[str]],
) -> None:
    found, _, told = compared

    titles = list(dict.fromkeys(what.split(",")[0] for what in told))
    assert "The paper's fifteen" not in titles
    assert [title for title in titles if title.startswith("Recommended")] == [
        "Recommended without day of year",
        "Recommended with sine and cosine of day of year",
        "Recommended with day of year",
    ]
    for metric in ("n", "r", "rmse"):
        assert found.set_row("time", "paper")[metric] == found.row("time", "all")[metric]


def test_the_comparison_is_read_back_with_its_figure(
    compared: tuple[Ablation, Path, list[str]],
) -> None:
    found, folder, _ = compared

    assert {path.name for path in folder.iterdir()} == {*ablation.FILES}
    again = read(folder)
    pd.testing.assert_frame_equal(again.compared, found.compared)
    assert again.compared_picture == (folder / "predictor-sets.png").read_bytes()


def test_a_table_without_what_the_sets_need_is_told_and_scored_as_before(made: Made) -> None:
    found, _ = made["date"]

    assert found.compared.empty
    assert found.set_rows() == []
    assert found.summary["apart"].startswith("the table has no dlst, rain_3")
    assert found.compared_picture is None
