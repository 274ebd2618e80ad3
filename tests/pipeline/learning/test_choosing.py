"""A partition keeps its own stack unless held-out land shows WP to be better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import store
from models.splits import LeavePartitionOut, SampleKeys, SpatialBlocks, Split
from pipeline.learning.applicability import read_areas
from pipeline.learning.choosing import choose, told
from pipeline.learning.explain import explain_model
from pipeline.learning.predict import predict
from pipeline.learning.train import Training, train
from pipeline.learning.trainer import HeldOut, Holding

CELLS, DAYS = 12, 20  # of each partition
LOSS = 0.01  # m³/m³


def table(partitions: list[str], cells: int = CELLS) -> SampleKeys:
    """``cells`` cells of ``DAYS`` days in each partition, in the order given."""
    n = cells * DAYS * len(partitions)
    cell = np.arange(n) // DAYS
    return SampleKeys(cell, cell * 0.1, cell * 0.0, np.arange(n) % DAYS, np.repeat(partitions, cells * DAYS))


def held_out(
    keys: SampleKeys, own: np.ndarray, wp: np.ndarray, changes: dict[str, Any] | None = None
) -> HeldOut:
    """Predictions with these errors of a target of 0.25 m³/m³, all rows held out by blocks of land."""
    fields: dict[str, Any] = {
        "holding": Holding(SpatialBlocks(), (), "", 0),
        "rows": np.ones(len(keys), np.bool_),
        "own": np.ones(len(keys), np.bool_),
        "predicted": {"stack": (0.25 + own).astype(np.float32), "WP": (0.25 + wp).astype(np.float32)},
        "reason": "",
    }
    return HeldOut(**(fields | (changes or {})))


def target(keys: SampleKeys) -> np.ndarray:
    return np.full(len(keys), 0.25, np.float32)


def test_wp_predicts_where_it_is_shown_to_be_better_and_nowhere_else():
    keys = table(["better", "even", "worse"])
    sign = np.where(np.arange(len(keys)) % 2, 1.0, -1.0)
    size = np.where(keys.cell % 2, 0.03, 0.01)  # of every other cell; the same over cells, so none is better
    own, wp = 0.02 * sign, 0.02 * sign
    own[keys.partition == "better"] -= LOSS * sign[keys.partition == "better"]
    own[keys.partition == "worse"] += LOSS * sign[keys.partition == "worse"]
    even = keys.partition == "even"
    own[even], wp[even] = (size * sign)[even], (0.04 * sign - size * sign)[even]

    better, undecided, worse = choose(held_out(keys, own, wp), target(keys), keys)

    assert (better.partition, better.own) == ("better", True)
    assert (undecided.partition, undecided.own) == ("even", True)
    assert (worse.partition, worse.own) == ("worse", False)
    assert worse.difference == pytest.approx(LOSS, abs=1e-6)
    assert (worse.difference_lower, worse.difference_upper) == pytest.approx((LOSS, LOSS), abs=1e-6)
    assert (worse.own_rmse, worse.wp_rmse, worse.n) == (
        pytest.approx(0.03, abs=1e-6),
        pytest.approx(0.02, abs=1e-6),
        CELLS * DAYS,
    )
    assert undecided.difference_lower < -0.002
    assert undecided.difference_upper > 0.002


def test_the_interval_is_that_of_drawing_whole_cells():
    """One cell of twelve decides a gain: rows would call it sure, drawing cells does not."""
    keys = table(["one"])
    own = np.full(len(keys), 0.02)
    wp = np.where(keys.cell == 3, 0.0, 0.02)
    [found] = choose(held_out(keys, own, wp), target(keys), keys)

    random = np.random.default_rng(1)
    drawn = random.integers(0, CELLS, (4000, CELLS))
    share = (drawn == 3).mean(axis=1)  # of rows without an error of WP
    differences = 0.02 - 0.02 * np.sqrt(1 - share)
    assert np.quantile(differences, 0.025) == 0  # in a third of all draws that cell is not there
    assert found.own
    assert found.difference_lower == pytest.approx(0, abs=1e-8)
    assert found.difference_upper == pytest.approx(np.quantile(differences, 0.99), abs=0.001)


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ("nothing", "without the spatial one"),
        ("impossible", "too few places"),
        ("never own", "none of its rows out from a stack of its own"),
        ("few cells", "needs 5 blocks, got 4"),
    ],
)
def test_where_held_out_land_cannot_tell_the_own_stack_stays_and_the_reason_is_told(held, why):
    keys = table(["one"], cells=4 if held == "few cells" else CELLS)
    none = np.zeros(len(keys), np.bool_)
    changes: dict[str, dict[str, Any]] = {
        "impossible": {"rows": none, "own": none, "reason": "too few places"},
        "never own": {"own": none},
        "few cells": {},
    }
    own, wp = np.full((2, len(keys)), 0.02)
    test = None if held == "nothing" else held_out(keys, own + LOSS, wp, changes[held])
    [found] = choose(test, target(keys), keys)

    assert found.own
    assert found.difference_lower is None
    assert why in found.reason
    [note] = told([found])
    assert note.startswith("one: whether the stack without partition (WP) would be better is not known")
    assert why in note


@pytest.mark.parametrize(
    ("split", "expected"), [(SpatialBlocks(), ["a"]), (LeavePartitionOut(), [])], ids=lambda of: str(of)[:7]
)
def test_partitions_for_whose_stacks_wp_stands_in_are_known(split: Split, expected: list[str]):
    keys = table(["a", "b", "c"])
    changes = {
        "holding": Holding(split, (), "", 0), "rows": keys.partition != "c", "own": keys.partition == "b",
    }  # fmt: skip
    errors = np.zeros(len(keys))
    assert held_out(keys, errors, errors, changes).without_own(keys) == expected


def test_without_partitions_there_is_nothing_to_decide():
    keys = table(["one"])
    assert choose(None, target(keys), SampleKeys(keys.cell, keys.lon, keys.lat, keys.day)) == ()


STUDY = """\
name = "law"
[partitions]
minimum_samples = 50
{use}
[model]
n_folds = 2
[splits]
names = ["random", "spatial"]
block_km = 20
[predictors]
use = ["ndvi", "vv"]
"""


SIDE, EACH = 14, 8  # cells along an edge, and days


def law(*, turned: bool = False) -> pd.DataFrame:
    """Cells of one level of NDVI each, whose soil moisture is a wave of it; it takes many cells to know it.

    What ``few`` can learn from its own cells, WP knows better from ``many``. In ``apart`` the wave stands
    0.1 m³/m³ higher and no predictor says where, so that WP cannot know it, and errs in ``many`` too.
    ``turned``, the wave stands on its head in ``few``.
    """
    random = np.random.default_rng(0)
    row, column = (one.ravel() for one in np.indices((SIDE, SIDE)))
    few, apart = ((row + 3 * column) % 7 == at for at in (0, 3))
    partition = np.select([few, apart], ["few", "apart"], "many")
    level = random.permutation(np.linspace(0, 1, SIDE * SIDE))
    wave = 0.1 * np.where(turned & few, -1, 1) * np.sin(30 * level)
    frame = pd.DataFrame({
        "cell": [f"r{r}c{c}" for r, c in zip(row, column, strict=True)], "lon": 116 + 0.09 * column,
        "lat": 32 - 0.09 * row, "partition": partition, "ndvi": level, "sm": 0.25 + wave + 0.1 * apart,
    })  # fmt: skip
    frame = frame.merge(pd.DataFrame({"date": pd.date_range("2019-06-01", periods=EACH)}), how="cross")
    noise = random.standard_normal((2, len(frame)))
    return frame.assign(ndvi=frame["ndvi"] + 0.002 * noise[0], vv=noise[1])


def trained(folder: Path, frame: pd.DataFrame, use: str = "") -> Training:
    frame.to_parquet(folder / "samples.parquet")
    (folder / "study.toml").write_text(STUDY.format(use=use), encoding="utf-8")
    return train(folder / "samples.parquet", folder / "study.toml", folder / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("few")


@pytest.fixture(scope="module")
def few(folder: Path) -> Training:
    """Trained where the own stack of ``few`` cannot but lose to WP."""
    return trained(folder, law())


def test_a_partition_with_too_little_of_its_own_is_left_to_wp(few: Training):
    assert {one.partition: one.own for one in few.card.choices} == {"apart": True, "few": False, "many": True}
    assert few.card.by_wp == ("few",)
    assert few.card.partitioned
    count = law()["partition"].value_counts()
    samples = {stack.name: stack.samples for stack in few.card.stacks}
    assert samples == {"apart": count["apart"], "many": count["many"], "WP": SIDE * SIDE * EACH}


def test_the_difference_is_that_of_the_scores_which_keep_both_models(few: Training):
    choice = few.card.choices[1]
    written = pd.read_csv(few.folder / "scores.csv")
    spatial = written[(written["split"] == "spatial") & (written["partition"] == "few")].set_index("model")
    assert choice.n == spatial.loc["WP", "n"]
    own, wp = (spatial.loc[name, "rmse"] for name in ("stack", "WP"))
    assert (choice.own_rmse, choice.wp_rmse) == pytest.approx((own, wp), abs=1e-9)
    assert choice.difference == pytest.approx(own - wp, abs=1e-9)
    assert 0 < choice.difference_lower <= choice.difference <= choice.difference_upper


def test_who_trains_is_told(few: Training):
    [note] = [note for note in few.notes if "WP" in note and "better" in note]
    choice = few.card.choices[1]
    assert note.startswith(
        f"The stack without partition (WP) predicts few (own less WP {choice.difference:+.4f} ["
    )
    rows = few.stack_rows()
    assert [row["stack"] for row in rows] == ["apart", "many", "WP", "few: by WP"]
    assert len({tuple(row) for row in rows}) == 1  # the same headings
    assert [bool(row["own less WP"]) for row in rows] == [True, True, False, True]
    assert not rows[3]["samples"]


def test_everything_that_follows_from_the_stacks_is_wps_there(few: Training, folder: Path):
    fitted, card = store.load(few.folder)
    assert list(fitted.stacks) == ["apart", "many", "WP"]
    assert card.choices == few.card.choices
    assert set(store.load_intervals(few.folder).parts) <= {"apart", "many"}
    assert "few" not in read_areas(few.folder)
    assert set(few.fusions.summary["stacks"]) == {"apart", "many", "WP"}

    frame = law()
    frame[["cell", "lon", "lat", "partition", "date", "ndvi", "vv"]].to_parquet(folder / "t.parquet")
    done = predict(few.folder, folder / "t.parquet", folder / "p.parquet")
    here = done.frame["partition"] == "few"
    assert (done.frame["partitioned"] == ~here).all()
    np.testing.assert_array_equal(done.frame["sm"][here], done.frame["wp"][here])
    assert not np.array_equal(done.frame["sm"][~here], done.frame["wp"][~here])
    [note] = [note for note in done.notes if "WP" in note]
    assert note.startswith(f"{here.sum()} of {SIDE * SIDE * EACH:,} rows lie in few:")


def test_the_stacks_that_predict_are_explained(few: Training, folder: Path):
    found = explain_model(few.folder, folder / "samples.parquet", folder / "explained")
    parts = found.summary["partitions"]
    assert list(parts) == ["apart", "many", "WP"]
    assert parts["WP"]["n_fit"] + parts["WP"]["n_held_out"] == SIDE * SIDE * EACH


def test_a_partition_with_a_law_of_its_own_keeps_its_stack(tmp_path: Path):
    done = trained(tmp_path, law(turned=True))
    choice = done.card.choices[1]
    assert (choice.partition, choice.own) == ("few", True)
    assert [stack.name for stack in done.card.stacks] == ["apart", "few", "many", "WP"]


def test_a_study_can_keep_every_partition(tmp_path: Path):
    done = trained(tmp_path, law(), 'use = "always"')
    assert done.card.choices == ()
    assert [stack.name for stack in done.card.stacks] == ["apart", "few", "many", "WP"]
    assert not any("own less WP" in row for row in done.stack_rows())
    assert not any("better" in note for note in done.notes)
