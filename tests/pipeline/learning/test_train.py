"""Training: every split is scored on rows its own rule holds out, and what is kept is fitted on all rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import store
from models.errors import ModelFileError, SampleError
from models.metrics import score
from models.splits import Fold, RandomSplit, SpatialBlocks, Split
from models.stack import StackedRegressor
from models.store import ModelCard
from pipeline.errors import ConfigError, DataError
from pipeline.learning import fusing
from pipeline.learning.train import train
from tests.pipeline.learning.keyed import keys_of

MODELS = ["XGBoost", "LightGBM", "CatBoost", "stack", "WP"]
METRICS = ["r", "rmse", "bias", "ubrmse"]
SPLITS = ["random", "spatial", "time", "leave-partition-out"]
PARTITIONS = ["hills", "mountain", "plain"]
FEATURES = [
    "ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo", "sand", "silt", "clay", "dem",
    "LC_1", "LC_2", "LC_3", "LC_4", "doy",
]  # fmt: skip
SEED, N_FOLDS = 5, 2  # of the study in conftest.py


def stack_of(frame: pd.DataFrame, rows: np.ndarray, split: Split) -> StackedRegressor:
    """A stack fitted by hand on some rows, its folds held out by ``split`` among them."""
    some = frame.iloc[rows]
    folds = split.folds(keys_of(some), N_FOLDS)
    return StackedRegressor(random_state=SEED).fit(some[FEATURES], some["sm"], folds)


def by_hand(frame: pd.DataFrame, split: Split, fold: Fold) -> pd.DataFrame:
    """Predictions of the held-out rows: the stack of each partition, its members, and WP."""
    fit, held = fold
    out = frame.iloc[held][["partition", "sm"]].copy()
    out["WP"] = stack_of(frame, fit, split).predict(frame.iloc[held][FEATURES])
    for partition in PARTITIONS:
        own = stack_of(frame, fit[frame["partition"].iloc[fit] == partition], split)
        inside = out["partition"] == partition
        X = frame.iloc[held][inside.to_numpy()][FEATURES]
        out.loc[inside, ["XGBoost", "LightGBM", "CatBoost"]] = own.predict_members(X)
        out.loc[inside, "stack"] = own.predict(X)
    return out


def metrics(predicted: pd.Series, observed: pd.Series) -> dict[str, float]:
    """Xu et al. 2024, equations 5 to 8."""
    error = (predicted - observed).astype(float)
    return {
        "n": len(error),
        "r": np.corrcoef(predicted, observed)[0, 1],
        "rmse": np.sqrt((error**2).mean()),
        "bias": error.mean(),
        "ubrmse": np.sqrt((error**2).mean() - error.mean() ** 2),
    }


def row_of(scores: pd.DataFrame, split: str, partition: str, model: str) -> pd.Series:
    found = scores[
        (scores["split"] == split) & (scores["partition"] == partition) & (scores["model"] == model)
    ]
    assert len(found) == 1
    return found.iloc[0]


@pytest.fixture(scope="module")
def scores(trained) -> pd.DataFrame:
    return trained.training.scores


def test_the_table_has_one_row_for_every_split_partition_and_model(scores):
    expected = [
        (split, partition, model)
        for split in SPLITS
        for partition in ["all", *PARTITIONS]
        for model in MODELS
    ]
    assert list(zip(scores["split"], scores["partition"], scores["model"], strict=True)) == expected


@pytest.mark.parametrize("split", [SpatialBlocks(seed=SEED), RandomSplit(seed=SEED)], ids=lambda s: s.name)
def test_scores_are_those_of_stacks_fitted_by_hand_on_the_rows_not_held_out(trained, scores, split):
    frame = trained.region.samples
    [fold] = split.outer(keys_of(frame))
    predicted = by_hand(frame, split, fold)
    for partition in ["all", *PARTITIONS]:
        rows = predicted if partition == "all" else predicted[predicted["partition"] == partition]
        for model in MODELS:
            found = row_of(scores, split.name, partition, model)
            if rows.empty:
                assert found["n"] == 0
                assert found[METRICS].isna().all()
                assert found["reason"]
                continue
            for name, value in metrics(rows[model], rows["sm"]).items():
                assert found[name] == pytest.approx(value, abs=1e-6), (partition, model, name)
            few = frame.loc[rows.index, "cell"].nunique() < 5
            assert few == ("needs 5 blocks" in found["reason"])
            assert few or found["r_lower"] < found["r"] < found["r_upper"]


def test_cells_count_as_independent_where_there_are_fewer_than_five_months(trained, scores):
    frame = trained.region.samples
    split = RandomSplit(seed=SEED)
    predicted = by_hand(frame, split, split.outer(keys_of(frame))[0])
    cells = frame.loc[predicted.index, "cell"]
    expected = score(predicted["stack"], predicted["sm"], blocks=cells, seed=SEED)
    found = row_of(scores, "random", "all", "stack")
    assert (found["r_lower"], found["r_upper"]) == pytest.approx(
        (expected.r.lower, expected.r.upper), abs=1e-6
    )


def test_a_split_that_cannot_be_made_has_no_scores_but_its_reason(scores):
    time = scores[scores["split"] == "time"]
    assert len(time) == 20
    assert (time["n"] == 0).all()
    assert time[METRICS].isna().all(axis=None)
    assert time["reason"].str.contains("63 days or more").all()
    assert time["reason"].str.contains("got 40").all()


def test_partitions_held_out_are_scored_by_wp_alone_each_on_all_its_rows(trained, scores):
    left = scores[scores["split"] == "leave-partition-out"]
    wp = left[left["model"] == "WP"].set_index("partition")
    count = trained.region.samples["partition"].value_counts()
    assert wp["n"].to_dict() == {"all": count.sum(), **count.to_dict()}
    assert wp[METRICS].notna().all(axis=None)
    others = left[left["model"] != "WP"]
    assert (others["n"] == 0).all()
    assert others[METRICS].isna().all(axis=None)
    assert others["reason"].str.contains("no stack of its own; see WP").all()


def test_wp_of_a_partition_held_out_never_saw_it(trained, scores):
    frame = trained.region.samples
    outside = np.flatnonzero(frame["partition"] != "hills")
    two = frame.iloc[outside]
    halves = [
        (np.flatnonzero(two["partition"] != name), np.flatnonzero(two["partition"] == name))
        for name in ("mountain", "plain")
    ]
    wp = StackedRegressor(random_state=SEED).fit(two[FEATURES], two["sm"], halves)
    hills = frame[frame["partition"] == "hills"]
    expected = metrics(pd.Series(wp.predict(hills[FEATURES]), hills.index), hills["sm"])
    found = row_of(scores, "leave-partition-out", "hills", "WP")
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_the_kept_model_is_fitted_on_all_rows_with_blocks_of_land_held_out(trained):
    frame = trained.region.samples
    loaded, card = store.load(trained.model)
    assert (card.split, card.n_folds) == ("spatial", N_FOLDS)
    everything = stack_of(frame, np.arange(len(frame)), SpatialBlocks(seed=SEED))
    np.testing.assert_allclose(
        loaded.whole.predict(frame[FEATURES].to_numpy()), everything.predict(frame[FEATURES]), rtol=1e-12
    )
    hills = np.flatnonzero(frame["partition"] == "hills")
    own = stack_of(frame, hills, SpatialBlocks(seed=SEED))
    np.testing.assert_allclose(
        loaded.parts["hills"].predict(frame[FEATURES].to_numpy()), own.predict(frame[FEATURES]), rtol=1e-12
    )
    counts = frame["partition"].value_counts()
    assert {stack.name: stack.samples for stack in card.stacks} == {**counts, "WP": len(frame)}


def test_progress_rises_from_nothing_to_all_and_names_each_stage(trained):
    shares = [share for _, share in trained.reported]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert np.diff(shares).min() >= -0.01  # two threads may report in the wrong order
    stages = list(dict.fromkeys(what.partition(":")[0] for what, _ in trained.reported))
    fits = ["random split", "spatial split", "leave-partition-out split", "all samples"]
    assert stages == [*fits, "intervals", "area of applicability", "model folder"]
    stacks = {what.partition(": ")[2] for what, _ in trained.reported if what.partition(":")[0] in fits}
    assert stacks == {"WP", *(f"partition {name}" for name in PARTITIONS)}
    areas = [what.partition(": ")[2] for what, _ in trained.reported if what.startswith("area of")]
    assert areas == [*PARTITIONS, "WP"]


def same_scores(read: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Compare but for the last digits of JSON, and for a reason that is empty or missing."""
    read = read.assign(reason=read["reason"].fillna(""))
    pd.testing.assert_frame_equal(read, scores, check_dtype=False, rtol=0, atol=1e-9)


def test_the_folder_holds_the_table_as_csv_and_as_json(trained, scores):
    same_scores(pd.read_csv(trained.model / "scores.csv"), scores)
    rows = json.loads((trained.model / "scores.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    same_scores(pd.DataFrame(rows).astype(dict.fromkeys(METRICS, float)), scores)


def test_model_json_holds_the_table_with_null_for_what_is_undefined(trained, scores):
    _, card = store.load(trained.model)
    same_scores(pd.DataFrame(card.scores).astype(dict.fromkeys(METRICS, float)), scores)
    undefined = [row for row in card.scores if row["split"] == "time"]
    assert all(row["r"] is None for row in undefined)
    json.loads((trained.model / "model.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_the_card_tells_what_training_saw_of_each_predictor(trained):
    frame = trained.region.samples
    assert [one.name for one in trained.training.card.predictors] == FEATURES
    for one in trained.training.card.predictors:
        column = frame[one.name]
        assert (one.least, one.greatest) == (column.min(), column.max())
        assert one.missing_share == pytest.approx(column.isna().mean())
    units = {one.name: one.unit for one in trained.training.card.predictors}
    assert {name: units[name] for name in ("lst", "vv", "dem")} == {"lst": "degC", "vv": "dB", "dem": "m"}


def test_the_folder_keeps_the_study_and_says_that_its_samples_were_simulated(trained):
    assert (trained.model / "study.toml").read_bytes() == trained.study.read_bytes()
    assert trained.training.card.simulated
    assert trained.training.card.study == "simulated-small"


def test_what_was_returned_is_what_stands_in_the_folder(trained):
    _, card = store.load(trained.model)
    returned = trained.training.card
    assert card.sha256 == returned.sha256
    assert card.sha256 == json.loads((trained.model / "model.json").read_text(encoding="utf-8"))["sha256"]
    written = ModelCard.model_validate(returned.model_dump(mode="json"))
    assert card == written.model_copy(update={"sha256": returned.sha256})


def test_the_table_of_stacks_has_weights_that_add_up_to_one(trained):
    rows = trained.training.stack_rows()
    assert [row["stack"] for row in rows] == [*PARTITIONS, "WP"]
    for row in rows:
        shares = [float(row[name].split(" × ")[0]) for name in ("xgboost", "lightgbm", "catboost")]
        assert sum(shares) == pytest.approx(1, abs=0.015)  # each is rounded to two digits


def test_the_fusions_in_the_folder_are_scored_on_the_rows_of_the_scores(trained, scores):
    found = fusing.read(trained.model)
    assert found is not None
    pd.testing.assert_frame_equal(found.table, trained.training.fusions.table, check_dtype=False)
    assert {"fusions.csv", "fusions.json"} <= {*trained.training.card.attachments}
    own = found.table.set_index(["split", "model", "fusion"])["rmse"]
    assert {split for split, _, _ in own.index} == {"random", "spatial", "leave-partition-out"}
    for split in ("random", "spatial"):
        for model, row in (("XGBoost", "XGBoost"), ("LightGBM", "LightGBM"), ("stack", "taken")):
            expected = row_of(scores, split, "all", model)["rmse"]
            assert own[split, "stack", row] == pytest.approx(expected, abs=1e-9)
    for split in ("random", "spatial", "leave-partition-out"):
        assert own[split, "WP", "taken"] == pytest.approx(
            row_of(scores, split, "all", "WP")["rmse"], abs=1e-9
        )


def test_training_again_gives_the_same_although_the_study_is_edited_meanwhile(trained, scores, tmp_path):
    study = tmp_path / "study.toml"
    text = trained.study.read_text(encoding="utf-8")
    study.write_text(text, encoding="utf-8")

    def edit(what: str, share: float) -> None:
        study.write_text('name = "edited"\n', encoding="utf-8")

    again = train(trained.samples, study, tmp_path / "model", report=edit)
    assert (tmp_path / "model" / "study.toml").read_text(encoding="utf-8") == text
    assert again.card.study == "simulated-small"
    pd.testing.assert_frame_equal(again.scores, scores)
    first, second = (store.load(folder)[0] for folder in (trained.model, tmp_path / "model"))
    frame = trained.region.samples
    one, two = (
        model.predict(frame[FEATURES].to_numpy(), frame["partition"].to_numpy(np.str_))
        for model in (first, second)
    )
    np.testing.assert_array_equal(one.stack, two.stack)
    np.testing.assert_array_equal(one.wp, two.wp)


def written(folder: Path, frame: pd.DataFrame, study: str) -> tuple[Path, Path, Path]:
    frame.to_parquet(folder / "samples.parquet")
    (folder / "study.toml").write_text(f'name = "x"\n{study}', encoding="utf-8")
    return folder / "samples.parquet", folder / "study.toml", folder / "model"


QUICK = (
    '[model]\nn_folds = 2\n[splits]\nnames = ["random"]\n[predictors]\nuse = ["ndvi", "vv", "lst", "dem"]\n'
)


def test_the_papers_preset_holds_out_single_rows_in_the_kept_model_too(region, tmp_path):
    frame = region.samples.drop(columns="partition")
    done = train(*written(tmp_path, frame, f'preset = "paper"\n{QUICK}'))
    assert done.card.split == "random"
    assert done.notes == ()
    folds = RandomSplit().folds(keys_of(region.samples), 2)
    by_hand = StackedRegressor(fusion="convex").fit(frame[["ndvi", "vv", "lst", "dem"]], frame["sm"], folds)
    weights = [member.weight for member in done.card.stacks[0].members]
    np.testing.assert_allclose(weights, by_hand.weights_, rtol=1e-12)


def test_without_partitions_there_are_only_pooled_scores_and_the_stack_is_wp(region, tmp_path):
    done = train(*written(tmp_path, region.samples.drop(columns="partition"), QUICK))
    assert done.scores["partition"].tolist() == ["all"] * 5
    assert [stack.name for stack in done.card.stacks] == ["WP"]
    wp, stack = (row_of(done.scores, "random", "all", name) for name in ("WP", "stack"))
    assert [wp[name] for name in METRICS] == [stack[name] for name in METRICS]
    assert not done.card.simulated  # this table does not say so


def test_where_no_blocks_can_be_laid_the_kept_model_holds_out_rows_and_says_so(region, tmp_path):
    few = region.samples[region.samples["cell"].isin(["r0c0", "r0c1", "r0c2"])].drop(columns="partition")
    done = train(*written(tmp_path, few, QUICK.replace("n_folds = 2", "n_folds = 4")))
    assert done.card.split == "random"
    [note] = done.notes
    assert note.startswith("The folds of the model hold out single rows, as no blocks can be laid")
    assert "got 3 cells" in note


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({}, SampleError, ["'hills' has 440", "at least 500"]),
        ({"partition": "WP"}, SampleError, ["may not be named 'WP'"]),
        ({"sm": np.nan}, DataError, ["samples.parquet", "no target"]),
    ],
    ids=["too few rows in a partition", "a partition called WP", "no target"],
)
def test_what_cannot_be_learned_is_refused_before_anything_is_fitted(
    region, tmp_path, monkeypatch, change: dict[str, Any], error: type[Exception], told: list[str]
):
    monkeypatch.setattr(StackedRegressor, "fit", lambda *args: pytest.fail("fitted"))
    paths = written(tmp_path, region.samples.assign(**change), "")
    with pytest.raises(error) as caught:
        train(*paths)
    assert all(part in str(caught.value) for part in told)
    assert not paths[2].exists()


@pytest.mark.parametrize("place", ["file/model", "foreign"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_fitted(
    trained, tmp_path, monkeypatch, place
):
    monkeypatch.setattr(StackedRegressor, "fit", lambda *args: pytest.fail("fitted"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine.txt").write_text("x")
    with pytest.raises(ModelFileError) as caught:
        train(trained.samples, trained.study, tmp_path / place)
    assert str(tmp_path / place) in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "foreign", "mine.txt"]


def test_an_unknown_study_is_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match="no such study file"):
        train(trained.samples, tmp_path / "study.toml", tmp_path / "model")


@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (OSError(28, "No space left on device"), DataError, "No space left on device"),
        (OSError("disk gone"), DataError, "disk gone"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_a_failure_while_the_model_is_written_leaves_the_earlier_one(
    trained, region, tmp_path, monkeypatch, error, raised, told
):
    samples, study, model = written(tmp_path, region.samples.drop(columns="partition"), QUICK)
    train(samples, study, model)
    before = {path.name: path.read_bytes() for path in model.iterdir()}

    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr("models.learners.LightGBM.save", fail)
    with pytest.raises(raised) as caught:
        train(samples, study, model)
    if raised is DataError:
        assert str(caught.value) == f"{model} cannot be written: {told}; name a folder you own"
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "samples.parquet", "study.toml"]
