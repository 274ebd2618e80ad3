"""Intervals of a trained model: calibrated on held-out blocks, counted on rows that nothing has seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import store
from models.coverage import coverage_of
from models.errors import ModelFileError
from models.intervals import HalfWidth
from models.learners import LightGBM
from models.partitioned import WP, PartitionedStack
from models.splits import (
    CellsAndDates,
    LeavePartitionOut,
    RandomSplit,
    SampleKeys,
    SpatialBlocks,
    Split,
    TimeBlocks,
)
from models.stack import StackedRegressor
from pipeline.learning import calibration
from pipeline.learning.calibration import blocks_of, calibrate
from tests.pipeline.learning.keyed import keys_of

PARTITIONS = ["hills", "mountain", "plain"]
SEED, N_FOLDS = 5, 2  # of the study in conftest.py


@pytest.fixture(scope="module")
def season() -> SampleKeys:
    """400 cells of 9 km on 110 days, every tenth."""
    cell, day = (one.ravel() for one in np.meshgrid(np.arange(400), np.arange(0, 110, 10), indexing="ij"))
    return SampleKeys(
        cell, 115 + 0.09 * (cell % 20), 30 + 0.09 * (cell // 20), day.astype(np.int64) + 17_987,
        np.where(cell % 20 < 10, "west", "east"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("split", "blocks"),
    [
        (RandomSplit(), 400 * 11),
        (SpatialBlocks(60), 9 + 1 + 6),  # 170 km by 190 km in squares of 60 km
        (TimeBlocks(gap_days=5), None),
        (CellsAndDates(SpatialBlocks(60), TimeBlocks(gap_days=5)), 16),
        (LeavePartitionOut(), 2),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_folds_hold_out_whole_blocks(season, split: Split, blocks):
    """A block lies in one fold or in none; of dates those of a fold are its stretch, in periods."""
    labels = blocks_of(split, season, 5)
    if blocks is not None:
        assert abs(len(np.unique(labels)) - blocks) <= (4 if split.name == "spatial" else 4 * (blocks == 16))
    if isinstance(split, TimeBlocks):
        assert season.day is not None
        assert len(np.unique(labels)) == len(np.unique(season.day // 30))
        return
    fold = np.full(len(season), -1)
    for number, (_, held) in enumerate(split.folds(season, 5)):
        fold[held] = number
    if not isinstance(split, CellsAndDates):
        assert all(len(np.unique(fold[labels == block])) == 1 for block in np.unique(labels)[:200])


def test_where_folds_are_few_blocks_of_land_still_lie_within_what_they_hold_out(season):
    split = SpatialBlocks(100)
    labels = blocks_of(split, season, 2)
    assert len(np.unique(labels)) >= 10
    for _, held in split.folds(season, 2):
        inside = np.isin(np.arange(len(season)), held)
        assert all(len(np.unique(inside[labels == block])) == 1 for block in np.unique(labels))


@pytest.fixture(scope="module")
def coverage(trained) -> pd.DataFrame:
    return trained.training.coverage


def test_there_is_a_row_for_every_split_partition_and_fifth(coverage):
    for split in ("random", "spatial", "time"):
        for model in ("stack", WP):
            rows = coverage[(coverage["split"] == split) & (coverage["model"] == model)]
            assert rows["partition"].tolist() == ["all", *PARTITIONS, *["all"] * 5]
            assert rows["fifth"].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5]
    left = coverage[coverage["split"] == "leave-partition-out"]
    assert set(left["model"]) == {WP}  # no other predicts there


def test_a_split_that_cannot_be_made_has_no_coverage_but_its_reason(coverage):
    time = coverage[coverage["split"] == "time"]
    assert (time["n"] == 0).all()
    assert time["coverage"].isna().all()
    assert time["reason"].str.contains("63 days or more").all()


def test_coverage_is_that_of_intervals_that_never_saw_the_rows(trained, coverage):
    """By hand: WP on the rows that a random split leaves, its errors in two folds, and the rows held out."""
    frame = trained.region.samples
    features = [one.name for one in trained.training.card.predictors]
    split = RandomSplit(seed=SEED)
    [(fit, held)] = split.outer(keys_of(frame))
    some, X = frame.iloc[fit], frame[features].to_numpy(np.float32)
    folds = split.folds(keys_of(some), N_FOLDS)
    stack = StackedRegressor(random_state=SEED).fit(X[fit], some["sm"], folds)
    errors = stack.oof_ @ stack.weights_ - some["sm"].to_numpy(np.float32)
    half = HalfWidth.fit(X[fit], errors, folds, np.arange(len(fit)), seed=SEED).half_width(X[held])
    middle, truth = stack.predict(X[held]), frame["sm"].to_numpy(np.float32)[held]
    [found] = coverage[
        (coverage["split"] == "random") & (coverage["model"] == WP) & (coverage["fifth"] == 0)
        & (coverage["partition"] == "all")
    ].to_dict(orient="records")  # fmt: skip
    assert found["coverage"] == pytest.approx((np.abs(truth - middle) <= half).mean(), abs=2 / len(held))
    assert found["width"] == pytest.approx(2 * half.mean(), rel=1e-4)
    expected = coverage_of(truth, middle - half, middle + half, blocks=frame["cell"].iloc[held], seed=SEED)
    assert found["coverage_lower"] == pytest.approx(expected.coverage_lower, abs=0.01)
    assert found["score"] == pytest.approx(expected.score, rel=1e-3)


def test_where_too_few_blocks_are_held_out_there_is_no_coverage_but_the_reason(coverage):
    """Of three partitions two are left to calibrate for the third."""
    left = coverage[coverage["split"] == "leave-partition-out"]
    assert (left["n"] == 0).all()
    assert left["reason"].str.contains("WP has no interval: its errors are held out in 2 blocks").all()


def test_fifths_are_equal_parts_in_the_order_of_what_is_predicted(coverage):
    for split in ("random", "spatial"):
        rows = coverage[(coverage["split"] == split) & (coverage["model"] == WP)]
        fifths, whole = rows[rows["fifth"] > 0], rows[(rows["fifth"] == 0) & (rows["partition"] == "all")]
        assert fifths["n"].sum() == whole["n"].item()
        assert fifths["n"].max() - fifths["n"].min() <= 1
        assert fifths["predicted"].is_monotonic_increasing
        assert np.average(fifths["coverage"], weights=fifths["n"]) == pytest.approx(whole["coverage"].item())


def test_the_folder_holds_intervals_of_every_stack_and_the_table(trained, coverage):
    found = calibration.read(trained.model)
    assert found is not None
    assert [*found.intervals.parts, WP] == [*PARTITIONS, WP]
    assert (found.split, found.simulated) == ("spatial", True)
    assert "blocks of land of" in found.intervals.held_out
    expected = coverage.assign(reason=coverage["reason"].replace("", np.nan))
    pd.testing.assert_frame_equal(found.coverage, expected, check_dtype=False, rtol=1e-9)
    body = json.loads((trained.model / "intervals.json").read_text(encoding="utf-8"))
    assert body["coverage"] == 0.9
    assert body["about"].startswith("An interval is about the mean of a SMAP cell on a day")


def test_the_models_intervals_are_wider_where_errors_are_larger(trained):
    """On held-out blocks of land, by hand: larger errors have wider intervals, rank by rank."""
    frame = trained.region.samples
    features = [one.name for one in trained.training.card.predictors]
    intervals = store.load_intervals(trained.model)
    assert intervals is not None
    X = frame[features].to_numpy(np.float32)
    width = intervals.half_width(X, frame["partition"].to_numpy(np.str_))
    assert np.isfinite(width).all()
    assert (width > 0).all()
    assert width.max() < 0.3


def small(n: int, cells: int, partition: list[str]) -> tuple[np.ndarray, np.ndarray, SampleKeys]:
    rng = np.random.default_rng(0)
    cell = np.arange(n) % cells
    X = rng.random((n, 3)).astype(np.float32)
    y = (0.2 + 0.1 * X[:, 0] + 0.01 * rng.standard_normal(n)).astype(np.float32)
    names = np.array(partition)[cell * len(partition) // cells]
    return X, y, SampleKeys(cell, 115 + 0.5 * (cell % 8), 30 + 0.5 * (cell // 8), partition=names)


def fitted(X: np.ndarray, y: np.ndarray, keys: SampleKeys, split: Split, n_folds: int) -> PartitionedStack:
    template = StackedRegressor((LightGBM(trees=5),), threads=1)
    return PartitionedStack.fit(template, X, y, keys, split, n_folds=n_folds)


def test_a_partition_of_too_few_places_takes_the_intervals_of_wp_and_says_so():
    X, y, keys = small(
        1200, 40, ["wide", "wide", "wide", "wide", "wide", "wide", "wide", "wide", "wide", "few"]
    )
    split = SpatialBlocks(50)
    model = fitted(X, y, keys, split, 2)
    found = calibrate(model, X, y, keys, split, n_folds=2)
    assert list(found.parts) == ["wide"]
    assert found.of("few") is found.whole
    [note] = found.notes
    assert note.startswith("Partition few has no interval of its own, it takes that of WP: ")
    assert "needs cells at 5 places or more, got 4 cells" in note


def test_where_not_even_wp_can_be_calibrated_there_are_no_intervals_and_it_is_said():
    X, y, keys = small(400, 4, ["one"])
    split = SpatialBlocks(50)
    found = calibrate(fitted(X, y, keys, split, 2), X, y, keys, split, n_folds=2)
    assert (found.whole, dict(found.parts)) == (None, {})
    assert [note.partition(":")[0] for note in found.notes] == [
        "WP has no interval", "Partition one has no interval of its own, its maps have none",
    ]  # fmt: skip


def test_rows_held_out_one_by_one_claim_nothing_of_new_places():
    X, y, keys = small(400, 40, ["one"])
    split = RandomSplit()
    found = calibrate(fitted(X, y, keys, split, 2), X, y, keys, split, n_folds=2)
    assert found.whole is not None
    assert found.whole.quantile.effective == 400
    assert "at places and on dates without samples intervals are too narrow" in found.held_out


@pytest.fixture
def folder(trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.model, tmp_path / "model"))


def test_a_model_from_before_intervals_has_none(folder, trained):
    model, card = store.load(folder)
    without = {"study.toml": (folder / "study.toml").read_text(encoding="utf-8")}
    store.save(folder, model, card, {one.name: one.samples for one in card.stacks}, without)
    assert calibration.read(folder) is None


def test_a_damaged_table_is_refused_and_named(folder):
    (folder / "intervals.csv").write_text("split\n", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"intervals\.csv is truncated or altered"):
        calibration.read(folder)


def test_a_table_of_another_version_is_refused_and_named(folder):
    model, card = store.load(folder)
    files = {path.name: path.read_bytes() for path in folder.glob("intervals*")} | {
        "intervals.csv": "split\n"
    }
    store.save(folder, model, card, {one.name: one.samples for one in card.stacks}, files)
    with pytest.raises(ModelFileError, match=r"intervals\.csv lacks columns; train again"):
        calibration.read(folder)
