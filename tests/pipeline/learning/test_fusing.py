"""Beside a stack's own weights stand others on the same members, scored on the same held-out rows."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.fusion import weigh
from models.learners import CatBoost, LightGBM, XGBoost
from models.metrics import paired_difference
from models.partitioned import PartitionedStack, Predictions
from models.splits import RandomSplit, SampleKeys
from models.stack import StackedRegressor
from pipeline.errors import DataError
from pipeline.learning.fusing import TITLES, Fusions, Key, compared, fused, read
from tests.simulated_samples import simulate

FEATURES = ["ndvi", "vv", "lst", "dem", "lai"]
NAMES = ["XGBoost", "LightGBM", "CatBoost"]


class Held(NamedTuple):
    """A model, what it says of rows held out, and the keys and targets of both."""

    model: PartitionedStack
    found: Predictions
    target: NDArray[np.float32]
    fitted: SampleKeys
    held: SampleKeys
    observed: NDArray[np.float32]


@pytest.fixture(scope="module")
def held() -> Held:
    """Two partitions on days of two seasons; in the rows held out a third partition as well."""
    frame = simulate(side=8, days=40).samples
    day = (frame["date"] - pd.Timestamp("1970-01-01")).dt.days.to_numpy()
    later = np.where(np.arange(len(day)) % 2, day, day + 92)  # a season on
    X, y = frame[FEATURES].to_numpy(np.float32), frame["sm"].to_numpy(np.float32)
    keys = SampleKeys(
        np.unique(frame["cell"], return_inverse=True)[1], frame["lon"].to_numpy(), frame["lat"].to_numpy(),
        later, frame["partition"].to_numpy(np.str_),
    )  # fmt: skip
    out = (np.random.default_rng(1).random(len(y)) < 0.3) | (frame["partition"] == "hills").to_numpy()
    fit, new = np.flatnonzero(~out), np.flatnonzero(out)
    template = StackedRegressor((XGBoost(trees=8), LightGBM(trees=8), CatBoost(trees=8)), threads=1)
    model = PartitionedStack.fit(template, X[fit], y[fit], keys.take(fit), RandomSplit(), n_folds=3)
    names = frame["partition"].to_numpy(np.str_)[new]
    found = model.predict(X[new], names, backend="native")
    return Held(model, found, y[fit], keys.take(fit), keys.take(new), y[new])


@pytest.fixture(scope="module")
def values(held):
    return fused(held.model, held.found, held.target, held.fitted, held.held)


def shares(members, target, strength: float = 1.0) -> NDArray[np.float64]:
    """Non-negative, of sum one, of least penalised squared error."""
    members = members.astype(np.float64)
    spread = members.var(axis=1).mean()
    best = minimize(
        lambda w: 1e4 * (np.square(target - members @ w).mean() + strength * spread * w @ w),
        np.full(3, 1 / 3), method="SLSQP", bounds=[(0, 1)] * 3, tol=1e-14,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    assert best.success
    return np.asarray(best.x)


def test_members_and_what_was_taken_are_those_of_the_prediction(held, values):
    for column, name in enumerate(NAMES):
        np.testing.assert_array_equal(values[Key("WP", name)], held.found.wp_members[:, column])
        np.testing.assert_array_equal(values[Key("stack", name)], held.found.members[:, column])
    np.testing.assert_array_equal(values[Key("WP", "taken")], held.found.wp)
    np.testing.assert_array_equal(values[Key("stack", "taken")], held.found.stack)
    whole = held.model.whole
    assert np.abs(held.found.wp_members @ whole.weights_ - held.found.wp).max() < 1e-6


def test_every_fusion_but_those_across_partitions_is_there_for_stacks_and_wp(values):
    both = {"taken", "mean", "convex", "ridge", "free-ridge", "by-wetness", "by-season"}
    assert {key.fusion for key in values if key.model == "WP"} == both | {"by-partition", *NAMES}
    assert {key.fusion for key in values if key.model == "stack"} == both | {"shared", *NAMES}
    assert {key.fusion for key in values} == {*TITLES, *NAMES}
    assert all(np.isfinite(one).all() for one in values.values())


@pytest.mark.parametrize(("fusion", "strength"), [("ridge", 1.0), ("convex", 0.0)])
def test_partitions_are_fused_by_weights_of_their_own_and_wp_by_one_set(held, values, fusion, strength):
    weights = shares(held.model.whole.oof_, held.target, strength)
    expected = held.found.wp_members @ weights
    np.testing.assert_allclose(values[Key("WP", fusion)], expected, atol=1e-5)
    for name, stack in held.model.parts.items():
        known, new = held.fitted.partition == name, held.held.partition == name
        expected = held.found.members[new] @ shares(stack.oof_, held.target[known], strength)
        np.testing.assert_allclose(values[Key("stack", fusion)][new], expected, atol=1e-5)


def test_rows_of_a_partition_without_a_stack_are_what_wp_says(held, values):
    new = held.held.partition == "hills"
    assert new.sum() > 100
    for key, one in values.items():
        if key.model == "stack" and key.fusion in TITLES:
            np.testing.assert_allclose(one[new], held.found.wp[new], atol=1e-7)


def test_shared_weights_are_found_on_all_partitions_and_those_by_partition_on_each(held, values):
    parts = [
        (stack.oof_, held.target[held.fitted.partition == name]) for name, stack in held.model.parts.items()
    ]
    weights = shares(np.vstack([oof for oof, _ in parts]), np.concatenate([target for _, target in parts]))
    own = held.found.partitioned
    np.testing.assert_allclose(
        values[Key("stack", "shared")][own], held.found.members[own] @ weights, atol=1e-5
    )
    for name in held.model.parts:
        known, new = held.fitted.partition == name, held.held.partition == name
        weights = shares(held.model.whole.oof_[known], held.target[known])
        expected = held.found.wp_members[new] @ weights
        np.testing.assert_allclose(values[Key("WP", "by-partition")][new], expected, atol=1e-5)


def test_seasons_begin_in_march_june_september_and_december(held, values):
    month = {
        name: pd.to_datetime(keys.day, unit="D", origin="unix").month.to_numpy()
        for name, keys in (("known", held.fitted), ("new", held.held))
    }
    groups = {
        name: np.select(
            [np.isin(one, [3, 4, 5]), np.isin(one, [6, 7, 8]), np.isin(one, [9, 10, 11])], [1, 2, 3]
        )
        for name, one in month.items()
    }
    assert len(np.unique(groups["new"])) > 1
    for season in np.unique(groups["new"]):
        known, new = groups["known"] == season, groups["new"] == season
        expected = held.found.wp_members[new] @ shares(held.model.whole.oof_[known], held.target[known])
        np.testing.assert_allclose(values[Key("WP", "by-season")][new], expected, atol=1e-5)


def test_without_partitions_and_dates_there_is_wp_alone_without_seasons(held):
    bare = [replace(keys, partition=None, day=None) for keys in (held.fitted, held.held)]
    alone = PartitionedStack(held.model.whole)
    found = fused(alone, held.found, held.target, *bare)
    assert {key.model for key in found} == {"WP"}
    assert {key.fusion for key in found} == {*TITLES, *NAMES} - {"by-season", "by-partition", "shared"}


def test_a_partition_without_held_out_rows_is_no_obstacle(held, values):
    some = np.flatnonzero(held.held.partition != "mountain")
    cut = Predictions(*(of[some] for of in vars(held.found).values()))
    found = fused(held.model, cut, held.target, held.fitted, held.held.take(some))
    np.testing.assert_array_equal(found[Key("stack", "shared")], values[Key("stack", "shared")][some])


def test_each_is_compared_with_the_member_that_turns_out_best_on_whole_blocks(held, values):
    blocks = held.held.cell
    rows = pd.DataFrame(compared("random", values, held.observed, blocks, seed=3))
    assert len(rows) == len(values)
    for model, own in rows.groupby("model"):
        errors = {
            name: np.sqrt(np.square(values[Key(str(model), name)].astype(float) - held.observed).mean())
            for name in own["fusion"]
        }
        best = min(NAMES, key=errors.__getitem__)
        assert set(own["best"]) == {best}
        for row in own.itertuples():
            assert row.rmse == pytest.approx(errors[row.fusion], abs=1e-7)
            assert row.rmse_change == pytest.approx(errors[row.fusion] - errors[best], abs=1e-7)
        by_hand = paired_difference(
            values[Key(str(model), "mean")], values[Key(str(model), best)], held.observed, blocks=blocks,
            metric="rmse", seed=3,
        )  # fmt: skip
        row = own.set_index("fusion").loc["mean"]
        assert (row["rmse_change_lower"], row["rmse_change_upper"]) == pytest.approx(
            (by_hand.lower, by_hand.upper)
        )


def test_few_blocks_leave_the_intervals_out_and_say_so(held, values):
    rows = pd.DataFrame(compared("random", values, held.observed, np.zeros(len(held.observed), np.intp)))
    assert rows["rmse_lower"].isna().all()
    assert rows["reason"].str.contains("blocks").all()
    cut = pd.DataFrame(compared("x", values, held.observed, held.held.cell, reason="the second fold failed"))
    assert (cut["reason"] == "the second fold failed").all()


def test_a_stack_that_is_worse_than_its_best_member_by_more_than_is_accepted_is_told(held, values):
    spoilt = {**values, Key("WP", "taken"): values[Key("WP", "taken")] + np.float32(0.03)}
    rows = list(compared("random", spoilt, held.observed, held.held.cell))
    [note] = [one for one in Fusions.of(rows, held.model, simulated=True).notes if one.startswith("Under")]
    assert "Under the random split the RMSE of WP is 0.0" in note
    rows = list(compared("random", values, held.observed, held.held.cell))
    assert not [one for one in Fusions.of(rows, held.model, simulated=True).notes if one.startswith("Under")]


def test_what_is_written_is_read_back_and_damage_is_told(held, values, tmp_path):
    rows = list(compared("random", values, held.observed, held.held.cell))
    made = Fusions.of(rows, held.model, simulated=True)
    assert read(tmp_path) is None
    for name, text in made.to_files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    back = read(tmp_path)
    assert back is not None
    pd.testing.assert_frame_equal(back.table, made.table, check_dtype=False)
    assert str(back.summary) == str(made.summary)
    for name, stack in held.model.stacks.items():
        weights = [one["weight"] for one in back.summary["stacks"][name]["members"]]
        np.testing.assert_array_equal(weights, stack.weights_)
    (tmp_path / "fusions.csv").write_text("split\nrandom\n", encoding="utf-8")
    with pytest.raises(DataError, match="train again"):
        read(tmp_path)


def test_a_model_of_which_no_split_could_be_scored_has_weights_and_no_comparison(held, tmp_path):
    made = Fusions.of([], held.model, simulated=True)
    for name, text in made.to_files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    back = read(tmp_path)
    assert back is not None
    assert back.table.empty
    assert list(back.summary["stacks"]) == [*held.model.parts, "WP"]


def test_a_member_that_is_refused_is_named_with_its_numbers(held):
    stack = held.model.whole
    useless = StackedRegressor(stack.learners).set_params(fusion="ridge")
    rng = np.random.default_rng(0)
    oof = np.column_stack(
        [held.target + rng.normal(0, spread, len(held.target)) for spread in (0.02, 0.3, 0.02)]
    )
    useless.weighing_ = weigh(oof, held.target, stack.fold_)
    made = Fusions.of([], PartitionedStack(useless), simulated=True)
    assert made.refused("WP") == ["lightgbm"]
    [note] = made.notes
    assert note.startswith("Members without weight, out of fold in m³/m³: WP: lightgbm adds nothing (RMSE ")
