"""Explaining stacks on held-out rows: what is held out, what the tables say, and what reaches the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any, ClassVar

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from models.errors import SampleError
from models.learners import CatBoost, LightGBM, XGBoost
from models.splits import Fold, RandomSplit, SpatialBlocks, Split, TimeBlocks
from models.stack import StackedRegressor
from pipeline.errors import DataError
from pipeline.figures import explanation, naming
from pipeline.learning.explain import ExplainResult, explain, read
from tests.simulated_samples import simulate

FEATURES = ["nsdsi", "vv", "lst", "clay", "dem", "LC_1", "LC_3", "doy", "noise"]
MEMBERS = ["xgboost", "lightgbm", "catboost"]
SHAP = [f"shap_{name}" for name in FEATURES]
LEARNERS = (XGBoost(trees=20, depth=3), LightGBM(trees=20, leaves=8), CatBoost(trees=20, depth=3))


class Spy(StackedRegressor):
    """A stack that remembers what its clones were fitted on."""

    seen: ClassVar[list[tuple[np.ndarray, list[Fold]]]] = []

    def fit(self, X: Any, y: Any, folds: Any = None) -> Spy:
        Spy.seen.append((np.array(X), folds))
        return super().fit(X, y, folds)


def small(kind: type[StackedRegressor] = StackedRegressor) -> StackedRegressor:
    return kind(LEARNERS, n_folds=3, threads=1)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Simulated samples of two partitions; ``noise`` is a different number in each row, and means nothing."""
    table = simulate(side=8, days=30).samples
    table["partition"] = np.where(table["partition"] == "plain", "plain", "high land")
    table["noise"] = np.random.default_rng(0).permutation(len(table)).astype(np.float32)
    return table


@pytest.fixture(scope="module")
def run(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> ExplainResult:
    """Both partitions under spatial blocks."""
    out = tmp_path_factory.mktemp("explain") / "new"
    return explain(frame, FEATURES, SpatialBlocks(), small(), out, max_rows=300, simulated=True)


@pytest.fixture(scope="module")
def values(run: ExplainResult) -> pd.DataFrame:
    """The SHAP values written, both partitions."""
    parts = []
    for path in run.files:
        if path.suffix == ".parquet":
            parts.append(pd.read_parquet(path).assign(partition=path.stem.removeprefix("shap-")))
    return pd.concat(parts, ignore_index=True)


def test_everything_is_written_and_nothing_else(run: ExplainResult) -> None:
    drawn = ["importance"]
    expected = {"importance.csv", "explain.json"}
    for name in ("plain", "high land"):
        drawn += [f"{kind}-{name}" for kind in ("beeswarm", "dependence", "lst-dem")]
        expected.add(f"shap-{name}.parquet")
    expected |= {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}

    assert {path.name for path in run.files} == expected
    assert {path.name for path in run.files[0].parent.iterdir()} == expected


def test_figures_are_drawn_and_marked_as_simulated(run: ExplainResult) -> None:
    pictures = [path for path in run.files if path.suffix == ".png"]

    assert len(pictures) == 7
    for path in pictures:
        colours = plt.imread(path)[..., :3]
        assert min(colours.shape[:2]) > 500, path.name
        assert 0.03 < (colours < 0.99).any(axis=2).mean() < 0.6, path.name  # neither blank nor full
        red = np.array([0xB0, 0x00, 0x20]) / 255
        assert (np.abs(colours - red) < 0.02).all(axis=2).sum() > 500, path.name  # the headline's letters


def test_base_and_values_add_up_to_the_prediction(values: pd.DataFrame) -> None:
    total = values["base"] + values[SHAP].sum(axis=1)

    np.testing.assert_allclose(total, values["prediction"], atol=1e-6)
    assert values["prediction"].std() > 0.01


def test_values_of_the_stack_are_the_members_in_the_weights_of_the_summary(
    run: ExplainResult, values: pd.DataFrame
) -> None:
    summary = json.loads((run.files[0].parent / "explain.json").read_text(encoding="utf-8"))

    for name, part in values.groupby("partition"):
        weights = summary["partitions"][name]["weights"]
        by_member = {member: rows[SHAP].to_numpy() for member, rows in part.groupby("member")}
        together = sum(weights[member] * by_member[member] for member in MEMBERS)
        assert sum(weights.values()) == pytest.approx(1)
        np.testing.assert_allclose(by_member["stack"], together, atol=1e-9)


def test_importance_is_the_mean_size_of_the_values_with_land_cover_summed(
    run: ExplainResult, values: pd.DataFrame
) -> None:
    written = pd.read_csv(run.files[0].parent / "importance.csv").set_index(["partition", "predictor"])

    for (name, member), part in values.groupby(["partition", "member"]):
        sizes = part[SHAP].drop(columns=["shap_LC_1", "shap_LC_3"]).abs().mean()
        sizes["shap_lc"] = (part["shap_LC_1"] + part["shap_LC_3"]).abs().mean()
        found = written.loc[name]
        expected = sizes.loc[[f"shap_{predictor}" for predictor in found.index]]
        np.testing.assert_allclose(found[f"mean_abs_shap_{member}"], expected, rtol=1e-5)
        assert set(found["n"]) == {len(part)}
        if member == "stack":
            assert found["rank"].tolist() == expected.rank(ascending=False).tolist()


def test_noise_ranks_below_what_drives_soil_moisture(run: ExplainResult) -> None:
    for _, part in run.importance.groupby("partition"):
        rank = part.set_index("predictor")["rank"]
        assert rank["noise"] > max(rank["doy"], rank["nsdsi"])


def test_the_rows_of_the_result_are_the_ranking_as_text(run: ExplainResult) -> None:
    first = run.importance.iloc[0]
    row = run.rows()[0]

    assert len(run.rows()) == 8
    assert row["predictor"] == naming.spelled(first["predictor"])
    assert row[first["partition"]] == f"{first['mean_abs_shap_stack']:.4f} (1)"


def test_the_summary_tells_the_split_the_rows_and_the_skill(run: ExplainResult, frame: pd.DataFrame) -> None:
    summary = json.loads((run.files[0].parent / "explain.json").read_text(encoding="utf-8"))

    assert summary["simulated"] is True
    assert summary["split"]["name"] == "spatial"
    assert SpatialBlocks.promise in run.notes[0]
    assert "Simulated data" in run.notes[1]
    for name, part in summary["partitions"].items():
        assert part["n_fit"] + part["n_held_out"] == (frame["partition"] == name).sum()
        assert part["n_explained"] == min(part["n_held_out"], 300)
        assert part["scores"]["r"] > 0.3
        assert (part["interaction"]["predictor"], part["interaction"]["other"]) == ("lst", "dem")


def test_the_rows_explained_were_never_fitted_on(frame: pd.DataFrame, tmp_path: Path) -> None:
    Spy.seen.clear()
    explain(frame, FEATURES, SpatialBlocks(), small(Spy), tmp_path, simulated=True)

    cell = frame.set_index("noise")["cell"]  # noise names the row
    at = FEATURES.index("noise")
    for (fitted, _), name in zip(Spy.seen, ["high land", "plain"], strict=True):
        held = pd.read_parquet(tmp_path / f"shap-{name}.parquet")["noise"].unique()
        assert len(held) > 100
        assert not set(held) & set(fitted[:, at])
        assert not set(cell[held]) & set(cell[fitted[:, at]])
        rows = (frame["partition"] == name).sum()
        assert len(held) + len(fitted) == rows


def test_the_stack_is_fitted_under_the_same_rule_within_the_other_rows(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    Spy.seen.clear()
    one = frame.drop(columns="partition")
    explain(one, ["noise", "doy"], SpatialBlocks(), small(Spy), tmp_path, max_rows=50, simulated=True)
    explain(one, ["noise", "doy"], TimeBlocks(gap_days=2), small(Spy), tmp_path, max_rows=50, simulated=True)

    cell, day = (frame.set_index("noise")[name] for name in ("cell", "doy"))
    (by_place, places), (by_day, days) = Spy.seen
    assert len(places) == 3
    assert len(days) >= 2
    for fit, held in places:
        assert not set(cell[by_place[fit, 0]]) & set(cell[by_place[held, 0]])
    for fit, held in days:
        apart = np.abs(day[by_day[fit, 0]].to_numpy()[:, None] - day[by_day[held, 0]].to_numpy()).min()
        assert apart > 2


def test_a_table_without_partitions_is_explained_whole_and_by_the_same_seed_alike(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    one = frame.drop(columns=["partition", "date"])
    features = ["nsdsi", "vv", "noise"]  # no lst, no dem
    made = [
        explain(
            one,
            features,
            RandomSplit(),
            small(),
            tmp_path / str(i),
            max_rows=40,
            seed=i // 2,
            simulated=False,
        )
        for i in range(3)
    ]

    tables = [pd.read_parquet(result.files[0].parent / "shap-WP.parquet") for result in made]
    drawn = ("beeswarm-WP", "dependence-WP", "importance")
    expected = {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    expected |= {"explain.json", "importance.csv", "shap-WP.parquet"}
    assert {path.name for path in made[0].files} == expected
    assert all(len(table) == 40 * 4 for table in tables)
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert set(tables[0]["noise"]) != set(tables[2]["noise"])
    assert not any("Simulated" in note for note in made[0].notes)


def test_a_partition_too_small_to_split_is_listed_and_the_others_are_made(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    lone = frame["cell"].isin(frame["cell"].unique()[:2])
    table = frame.assign(partition=np.where(lone, "tiny", "rest"))

    result = explain(table, ["vv", "doy"], SpatialBlocks(), small(), tmp_path, simulated=True)

    assert list(result.skipped) == ["tiny"]
    assert "2 cells" in result.skipped["tiny"]
    assert any(note.startswith("Not explained, partition tiny: ") for note in result.notes)
    assert (tmp_path / "shap-rest.parquet").exists()
    assert set(result.importance["partition"]) == {"rest"}


def test_where_no_partition_can_be_split_each_is_named_with_its_reason(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(SampleError, match=r"partition high land: .*days.*; partition plain: .*days"):
        explain(frame, ["vv"], TimeBlocks(gap_days=20), small(), tmp_path, simulated=True)
    assert list(tmp_path.iterdir()) == []


def test_missing_columns_are_all_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    table = frame.drop(columns=["lst", "sm"])

    with pytest.raises(DataError, match=r"no column lst, no column albedo_9, no column sm"):
        explain(table, ["lst", "vv", "albedo_9"], RandomSplit(), small(), tmp_path, simulated=True)


@pytest.mark.parametrize(
    ("change", "features", "told"),
    [
        (lambda table: table.assign(sm=np.float32(nan)), ["vv"], "no row has a target"),
        (lambda table: table, [], "no predictors"),
        (
            lambda table: table.assign(partition=table["partition"].where(table["doy"] > 91)),
            ["vv"],
            "64 rows have no p",
        ),
    ],
)
def test_a_table_that_cannot_be_explained_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    features: list[str],
    told: str,
    frame: pd.DataFrame,
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=told):
        explain(change(frame), features, RandomSplit(), small(), tmp_path, simulated=True)


def quick(frame: pd.DataFrame, out: Path, split: Split | None = None) -> ExplainResult:
    return explain(frame, ["vv", "doy"], split or RandomSplit(), small(), out, max_rows=30, simulated=True)


def test_the_folder_is_read_back_with_its_pictures_and_damage_is_told(
    run: ExplainResult, tmp_path: Path
) -> None:
    folder = run.files[0].parent
    found = read(folder)

    assert found is not None
    pd.testing.assert_frame_equal(found.importance, run.importance)
    assert found.summary["partitions"].keys() == {"plain", "high land"}
    assert found.pictures == {
        path.name: path.read_bytes() for kind in ("png", "svg") for path in folder.glob(f"*.{kind}")
    }
    assert sum(len(held) for name, held in found.pictures.items() if name.endswith("png")) < 1_500_000
    assert read(tmp_path) is None

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "importance.csv").write_text("partition\n")
    with pytest.raises(DataError, match=r"copy is damaged .*explain the model again"):
        read(copy)


def test_importance_has_intervals_that_draw_cells_of_the_rows_explained(
    run: ExplainResult, values: pd.DataFrame
) -> None:
    table = run.importance.set_index(["partition", "predictor"])
    for name in ("plain", "high land"):
        assert run.summary["partitions"][name]["drawn"] == "cells"  # a month is too short for periods
        rows = values[(values["partition"] == name) & (values["member"] == "stack")]
        sizes = rows["shap_nsdsi"].abs().groupby(rows["cell"])
        total, count = sizes.sum().to_numpy(), sizes.count().to_numpy()
        rng = np.random.default_rng(9)
        drawn = rng.integers(0, len(total), (4000, len(total)))
        plain = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
        found = table.loc[(name, "nsdsi")]
        ends = found[["mean_abs_shap_stack_lower", "mean_abs_shap_stack_upper"]].to_numpy(float)
        assert ends[0] < found["mean_abs_shap_stack"] < ends[1]
        assert 1.0 < (ends[1] - ends[0]) / (plain[1] - plain[0]) < 1.6  # widened for few cells


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_fitted(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    Spy.seen.clear()
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DataError, match="file: cannot be written"):
        explain(frame, ["vv"], RandomSplit(), small(Spy), tmp_path / "file", simulated=True)
    assert Spy.seen == []


def test_an_interruption_leaves_the_earlier_results_whole(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(frame, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(explanation, "dependence", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(frame, tmp_path, SpatialBlocks())

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_new_run_takes_away_what_the_earlier_one_wrote_of_partitions_that_are_gone(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "beeswarm-mine.png").write_text("not of any run")
    quick(frame, tmp_path)
    result = quick(frame.drop(columns="partition"), tmp_path)

    expected = {"beeswarm-mine.png", *(path.name for path in result.files)}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_a_partitions_name_cannot_lead_out_of_the_folder(frame: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quick(frame.assign(partition="../Höhe 1/2"), out)

    assert (out / "shap-..%2FHöhe 1%2F2.parquet").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_a_predictor_missing_throughout_is_worth_nothing(frame: pd.DataFrame, tmp_path: Path) -> None:
    gap = frame.assign(lst=np.float32(nan)).drop(columns="partition")

    result = explain(
        gap, ["lst", "dem", "doy"], RandomSplit(), small(), tmp_path, max_rows=60, simulated=True
    )

    sizes = result.importance.set_index("predictor")["mean_abs_shap_stack"]
    assert sizes["lst"] == 0
    assert sizes["doy"] > 0
    summary = json.loads((tmp_path / "explain.json").read_text(encoding="utf-8"))
    found = summary["partitions"]["WP"]["interaction"]
    assert found["share"] is None
    assert "0 rows have both" in found["reason"]


def test_the_callers_plots_and_random_numbers_are_left_alone(frame: pd.DataFrame, tmp_path: Path) -> None:
    mine = plt.figure()
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    look = dict(mpl.rcParams)
    np.random.seed(5)  # noqa: NPY002
    try:
        quick(frame, tmp_path)

        assert plt.get_fignums() == [mine.number]
        assert plt.gcf() is mine
        assert mine.axes == []
        assert dict(mpl.rcParams) == look
        assert np.random.random(3).tolist() == expected.tolist()  # noqa: NPY002
    finally:
        plt.close(mine)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("lst", "LST (°C)"),
        ("dem", "DEM (m)"),
        ("lai", "LAI (m²/m²)"),
        ("clay", "Clay (%)"),
        ("ndvi", "NDVI"),
        ("doy", "DOY"),
        ("LC_1", "Forest"),
        ("rain", "rain (mm)"),
        ("angle", "angle"),
    ],
)
def test_axes_bear_the_unit_of_the_predictor(name: str, label: str) -> None:
    assert naming.labelled(name, {"rain": "mm"}) == label


def test_axes_of_shap_values_bear_the_unit_of_soil_moisture(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("pipeline.learning.explain._draw", lambda figure, *_: drawn.append(figure))
    explain(
        frame.drop(columns="partition"),
        FEATURES,
        RandomSplit(),
        small(),
        tmp_path,
        max_rows=60,
        simulated=False,
    )

    bars, swarm, dependence, pair = drawn
    assert swarm.axes[0].get_xlabel().endswith("(m³/m³)")
    assert {"LST (°C)", "VV (dB)", "DOY"} < {text.get_text() for text in swarm.axes[0].get_yticklabels()}
    assert bars.axes[0].get_xlabel() == "Mean |SHAP value| (m³/m³)"
    assert dependence.axes[0].get_ylabel() == "SHAP value (m³/m³)"
    assert len(dependence.axes) == 6
    assert [axes.get_ylabel() for axes in pair.axes] == ["SHAP value of LST (m³/m³)", "DEM (m)"]
    assert pair.axes[0].get_xlabel() == "LST (°C)"
    assert not any("SIMULATED" in figure.get_suptitle() for figure in drawn)
