"""The report on ablation says what the numbers show under each split, and nothing that they do not."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import pandas as pd
import pytest

from models.splits import standard_splits
from pipeline.learning.ablation import Ablation
from pipeline.reporting.ablation import in_short, section, sentences, set_sentences
from pipeline.reporting.content import Absent, Figure, Folded, Judged, Table, Words

PROMISES = {split.name: split.promise for split in standard_splits()}
BETTER, WORSE, OPEN = (-0.004, -0.006, -0.002), (0.004, 0.002, 0.006), (0.001, -0.001, 0.003)
NONE = (0.004, nan, nan)
TITLES = {"all": "All predictors", "without-doy": "Without day of year"}


def ablation(
    changes: dict[str, tuple[float, float, float] | str],
    name: str = "without-doy",
    drawn: str = "30-day periods",
) -> Ablation:
    """Change of the stack's RMSE under each split with its interval, or why a split has no scores."""
    rows, splits = [], {}
    for split, change in changes.items():
        reason = change if isinstance(change, str) else ""
        splits[split] = {
            "promise": PROMISES[split], "rows": 0 if reason else 900, "reason": reason,
            "best": "" if reason else "CatBoost", "drawn": "" if reason else drawn,
        }  # fmt: skip
        if isinstance(change, str):
            continue
        for model in ("CatBoost", "stack"):
            for predictors, moved in (("all", (nan, nan, nan)), (name, change)):
                rmse = 0.03 if predictors == "all" else 0.03 + moved[0]
                rows.append({
                    "split": split, "predictors": predictors, "model": model, "n": 900, "rmse": rmse,
                    "rmse_change": moved[0], "rmse_change_lower": moved[1], "rmse_change_upper": moved[2],
                    "reason": "",
                })  # fmt: skip
    sets = {one: {"title": TITLES.get(one, "Without others"), "left_out": []} for one in ("all", name)}
    columns = ["split", "predictors", "model", "n", "reason"]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    return Ablation(table, {"sets": sets, "splits": splits, "notes": ["12 rows left out."]}, b"")


@pytest.mark.parametrize(
    ("changes", "told", "untold"),
    [
        (
            {"random": WORSE, "time": BETTER},
            "turns into a loss under time: dates learnt by heart",
            "gain under",
        ),
        ({"random": WORSE, "time": WORSE}, "a gain under time, where dates are new.", "by heart"),
        (
            {"random": WORSE, "time": OPEN},
            "whether it is more than dates learnt by heart is undecided",
            "loss",
        ),
        (
            {"random": WORSE, "time": NONE},
            "whether it is more than dates learnt by heart is undecided",
            "loss",
        ),
        ({"random": OPEN, "time": OPEN}, "no effect that can be told from chance", "heart"),
        ({"random": BETTER, "time": OPEN}, "a loss on the random split, undecided under time.", "chance"),
        ({"random": OPEN, "time": BETTER}, "a loss under time, where the model does better without", "heart"),
        ({"random": WORSE}, "memory and knowledge cannot be told apart", "learnt by heart"),
        ({"random": WORSE, "spatial": BETTER}, "cannot be told apart", "learnt by heart"),
        ({"random": WORSE, "time": "too short"}, "cannot be told apart", "learnt by heart"),
        (
            {"random": WORSE, "time": WORSE, "cells-and-dates": OPEN},
            "a gain under time, where dates are new; undecided under cells-and-dates.",
            "by heart",
        ),
        (
            {"random": WORSE, "time": WORSE, "cells-and-dates": BETTER},
            "a gain under time and a loss under cells-and-dates",
            "by heart",
        ),
    ],
)
def test_the_verdict_on_the_day_of_year_follows_from_the_intervals(changes, told: str, untold: str) -> None:
    [text] = sentences(ablation(changes))

    assert text.startswith("The day of year: ")
    assert told in text
    assert untold not in text
    assert in_short(ablation(changes)) in text


def test_what_never_changes_is_judged_where_places_are_new() -> None:
    [known] = sentences(ablation({"random": WORSE, "time": BETTER}, "without-statics"))
    [new] = sentences(ablation({"random": WORSE, "spatial": BETTER}, "without-statics"))

    assert "no split holds whole places out" in known
    assert "places learnt by heart" in new


def test_a_sentence_gives_each_change_with_its_interval_or_says_that_it_has_none() -> None:
    [text] = sentences(ablation({"random": WORSE, "time": NONE}))

    assert "random +0.0040 [+0.0020, +0.0060]" in text
    assert "time +0.0040 (no interval)" in text


def test_every_split_stands_beside_what_it_can_and_cannot_show() -> None:
    found = section(ablation({"random": WORSE, "time": "needs 63 days or more"}), "gee-smap ablate")

    [judged] = [block for block in found.blocks if isinstance(block, Judged)]
    assert [(name, promise) for name, promise, _ in judged.items] == [
        (name, PROMISES[name]) for name in ("random", "time")
    ]
    assert judged.items[0][2] == (
        "RMSE of the stack with all predictors 0.0300 m³/m³; without day of year 0.0340 (worse)."
    )
    assert judged.items[1][2] == "Not scored: needs 63 days or more."


def test_intervals_that_draw_cells_are_called_too_narrow_for_dates() -> None:
    periods, cells = (
        " ".join(block.text for block in section(found, "").blocks if isinstance(block, Words))
        for found in (ablation({"time": BETTER}), ablation({"time": BETTER}, drawn="cells"))
    )

    assert "too narrow" not in periods
    assert "Under time fewer than 5 periods of 30 days are held out" in cells
    assert "too narrow for what is said of dates" in cells


def test_the_table_has_stack_and_best_member_and_a_folded_one_every_member() -> None:
    found = section(ablation({"random": WORSE, "time": OPEN}), "")

    one, everything = found.tables()
    assert [(row["split"], row["model"], row["set"]) for row in one.rows] == [
        (split, model, title)
        for split in ("random", "time")
        for model in ("stack", "CatBoost")
        for title in TITLES.values()
    ]
    assert isinstance(one, Table)
    assert one.file == "ablation.csv"
    assert len(everything.rows) == 8
    change = next(column for column in one.columns if column.key == "rmse_change")
    assert (change.text(one.rows[1]), change.bounds(one.rows[1])) == ("+0.0040", "[+0.0020, +0.0060]")


def test_without_scores_there_are_the_reasons_and_without_an_ablation_the_command() -> None:
    nothing = section(ablation({"time": "needs 63 days or more"}), "gee-smap ablate")
    missing = section(None, "gee-smap ablate")

    assert not list(nothing.tables())
    assert not any(isinstance(block, Figure) for block in nothing.blocks)
    assert "No split could be scored." in [b.text for b in nothing.blocks if isinstance(b, Words)]
    assert missing.blocks == (
        Absent("The model has not been scored without some of its predictors.", "gee-smap ablate"),
    )


def with_sets(changes: dict[str, tuple[float, float, float]]) -> Ablation:
    """An ablation in which sets are compared under the time split, with the stack's change of each."""
    rows = [
        {
            "split": "time", "predictors": name, "model": model, "n": 500, "rmse": 0.05 + (moved[0] or 0),
            "rmse_change": moved[0], "rmse_change_lower": moved[1], "rmse_change_upper": moved[2],
            "r": 0.5, "reason": "",
        }
        for model in ("CatBoost", "stack")
        for name, moved in {"paper": (0.0, nan, nan), **changes}.items()
    ]  # fmt: skip
    return replace(ablation({"time": OPEN}), compared=pd.DataFrame(rows), compared_picture=b"png")


def test_a_set_is_called_better_or_worse_only_where_its_interval_excludes_zero() -> None:
    found = with_sets(
        {"recommended-bare": BETTER, "recommended-season": OPEN, "recommended-doy": WORSE},
    )
    [told] = list(set_sentences(found))
    assert "with the paper's fifteen 0.0500 m³/m³" in told
    assert "recommended without day of year −0.0040 [−0.0060, −0.0020] (better)" in told
    assert "with sine and cosine of day of year +0.0010 [−0.0010, +0.0030] (undecided)" in told
    assert "recommended with day of year +0.0040 [+0.0020, +0.0060] (worse)" in told


def test_the_sets_have_a_figure_and_a_table_of_all_members() -> None:
    blocks = section(with_sets({"recommended-bare": BETTER}), "again").blocks
    assert [block.name for block in blocks if isinstance(block, Figure)] == [
        "predictor-sets"
    ]  # the other is empty here
    folded = [block for block in blocks if isinstance(block, Folded)]
    [table] = [one for fold in folded for one in fold.blocks if one.name == "predictor-sets-members"]
    assert [(row["model"], row["set"]) for row in table.rows] == [
        ("stack", "The paper's fifteen"), ("stack", "Recommended without day of year"),
        ("CatBoost", "The paper's fifteen"), ("CatBoost", "Recommended without day of year"),
    ]  # fmt: skip


def test_a_table_without_what_the_sets_need_says_so() -> None:
    found = ablation({"time": OPEN})
    found = replace(found, summary={**found.summary, "apart": "the table has no rain_3"})
    blocks = section(found, "again").blocks
    assert any(isinstance(one, Words) and "the table has no rain_3" in one.text for one in blocks)
