"""The report on fusion says that stacking gains something only where the intervals do."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd
import pytest

from pipeline.learning.fusing import Fusions
from pipeline.reporting.content import Absent, Folded, Points, Table, Words
from pipeline.reporting.fusion import in_short, section, sentences

GAIN, LOSS, OPEN = (-0.0018, -0.0025, -0.0012), (0.0008, 0.0002, 0.0015), (-0.0004, -0.0012, 0.0005)
NO_BLOCKS = (-0.0004, nan, nan)
Change = tuple[float, float, float]


def member(learner: str, weight: float, change: float = 0.0005, most: float = 0.0009) -> dict[str, Any]:
    return {
        "learner": learner, "weight": weight, "rmse": 0.04, "change": change, "not_exceed": most,
        "refused": most < 0.0001,
    }  # fmt: skip


def fusions(
    changes: dict[str, Change],
    model: str = "stack",
    mean: float = 0.0,
    refused: bool = False,
    fusion: str = "ridge",
    notes: tuple[str, ...] = (),
) -> Fusions:
    """Change of the RMSE taken by split; ``mean``: how far that of the plain mean lies off it."""
    rows = []
    for split, (value, lower, upper) in changes.items():
        for name, change in {
            "XGBoost": (0.0, nan, nan), "CatBoost": (0.003, 0.001, 0.004), "mean": (value + mean, nan, nan),
            "taken": (value, lower, upper),
        }.items():  # fmt: skip
            rows.append({
                "split": split, "model": model, "fusion": name, "n": 900, "rmse": 0.04 + change[0],
                "rmse_lower": 0.03, "rmse_upper": 0.05, "rmse_change": change[0],
                "rmse_change_lower": change[1], "rmse_change_upper": change[2], "best": "XGBoost",
                "reason": "",
            })  # fmt: skip
    members = [member("xgboost", 0.6), member("catboost", 0.4)]
    if refused:
        members = [member("xgboost", 1.0, nan, nan), member("catboost", 0.0, -0.0002, -0.0001)]
    summary = {
        "simulated": True,
        "rule": {
            "fusion": fusion, "strength": 1.0, "least_gain": 1e-4, "confidence": 0.95, "allowed": 0.001,
        },
        "stacks": {"hills": {"rmse": 0.039, "why": "", "members": members}},
        "notes": list(notes),
    }  # fmt: skip
    columns = ["split", "model", "fusion", "n", "rmse", "rmse_change", "best", "reason"]
    return Fusions(pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns), summary)


@pytest.mark.parametrize(
    ("changes", "told", "untold"),
    [
        (
            {"random": GAIN},
            "a gain on the best member under random −0.0018 [−0.0025, −0.0012]",
            "nothing here",
        ),
        ({"random": OPEN}, "stacking has gained nothing here", "a gain"),
        ({"random": OPEN}, "no difference from the best member that can be told from chance", "a loss"),
        ({"random": NO_BLOCKS}, "stacking has gained nothing here", "a gain"),
        ({"random": LOSS}, "a loss to the best member under random +0.0008", "a gain"),
        ({"random": GAIN, "spatial": LOSS}, "a loss to the best member under spatial", "nothing here"),
    ],
)
def test_the_verdict_follows_from_the_interval(changes, told: str, untold: str) -> None:
    text = next(iter(sentences(fusions(changes))))

    assert text.startswith("The stacks of the partitions: ")
    assert told in text
    assert untold not in text


def test_the_worst_split_is_told_and_whether_it_is_accepted() -> None:
    good = next(iter(sentences(fusions({"random": GAIN, "spatial": (0.0009, -0.001, 0.002)}))))
    bad = next(iter(sentences(fusions({"random": GAIN, "spatial": (0.0011, -0.001, 0.002)}))))

    assert "At its worst it is +0.0009 beside the best member." in good
    assert "At its worst it is +0.0011 beside the best member, more than the 0.001 that is accepted." in bad


@pytest.mark.parametrize(("mean", "named"), [(-0.0001, True), (0.0, False), (0.0001, False)])
def test_a_fusion_that_is_lower_under_every_split_is_named(mean: float, named: bool) -> None:
    text = next(iter(sentences(fusions({"random": GAIN, "spatial": OPEN}, mean=mean))))

    assert ("Lower under every split of this table: plain mean" in text) == named


def test_who_was_refused_is_said_and_that_nobody_was() -> None:
    *_, some = sentences(fusions({"random": OPEN}, refused=True))
    *_, nobody = sentences(fusions({"random": OPEN}))

    assert some == "Members refused: hills (catboost)."
    assert nobody == "No stack has refused a member."


def test_the_first_table_has_one_row_for_each_split_and_the_folded_one_all() -> None:
    found = section(fusions({"random": GAIN, "spatial": OPEN}, model="WP"), "gee-smap train")

    [beside, weights] = [block for block in found.blocks if isinstance(block, Table)]
    assert [(row["split"], row["best"], row["rmse"]) for row in beside.rows] == [
        ("random", "XGBoost", 0.04), ("spatial", "XGBoost", 0.04),
    ]  # fmt: skip
    taken, mean = (next(one for one in beside.columns if one.key == key) for key in ("taken", "mean"))
    assert (taken.text(beside.rows[0]), taken.bounds(beside.rows[0])) == (
        "−0.00180", "[−0.00250, −0.00120]",
    )  # fmt: skip
    assert mean.text(beside.rows[1]) == "−0.00040"
    assert [row["weight"] for row in weights.rows] == [0.6, 0.4]
    [folded] = [block for block in found.blocks if isinstance(block, Folded)]
    [everything] = folded.blocks
    assert isinstance(everything, Table)
    assert [row["fusion"] for row in everything.rows][:4] == ["XGBoost", "CatBoost", "Plain mean", "As taken"]


def test_a_refused_member_stands_in_the_table_of_weights_with_the_limit_it_failed() -> None:
    found = section(fusions({"random": OPEN}, refused=True, notes=("Members without weight: hills.",)), "")

    weights = [block for block in found.blocks if isinstance(block, Table)][1]
    texts = [[column.text(row) for column in weights.columns] for row in weights.rows]
    assert texts == [
        ["hills", "xgboost", "1.000", "0.0400", "0.0390", "–", "–", "–"],
        ["hills", "catboost", "0.000", "0.0400", "0.0390", "−0.00020", "−0.00010", "yes"],
    ]
    [points] = [block for block in found.blocks if isinstance(block, Points)]
    assert points.items == (("", "Members without weight: hills."),)


def test_the_papers_weights_are_not_said_to_refuse_anybody() -> None:
    found = section(fusions({"random": OPEN}, fusion="convex"), "")

    text = " ".join(block.text for block in found.blocks if isinstance(block, Words))
    assert "every member may have some" in text
    assert "Nobody is refused." in text
    assert "ridge" not in text


def test_without_scores_or_without_a_comparison_the_section_says_so() -> None:
    [block] = section(None, "gee-smap train").blocks
    assert isinstance(block, Absent)
    assert block.command == "gee-smap train"
    assert in_short(fusions({})) == "No split could be scored."
    assert [block.name for block in section(fusions({}), "").blocks if isinstance(block, Table)] == [
        "fusion-weights"
    ]
