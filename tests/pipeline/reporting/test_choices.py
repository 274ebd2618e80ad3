"""The report names who predicts a partition, and beside it the difference and interval that decided."""

from __future__ import annotations

from typing import Any

import pytest

from models.store import ChoiceCard, ModelCard
from pipeline.reporting.choices import blocks, in_short
from pipeline.reporting.content import Table

TESTED = {
    "split": "spatial", "n": 360, "own_rmse": 0.0282, "wp_rmse": 0.026, "difference": 0.0022,
    "difference_lower": 0.0002, "difference_upper": 0.0042,
}  # fmt: skip
LEFT = ChoiceCard(partition="JH", own=False, **TESTED)
KEPT = ChoiceCard(partition="WX", own=True, **TESTED | {"difference": -0.0015, "difference_lower": -0.0039})
UNKNOWN = ChoiceCard(partition="YJ", own=True, split="spatial", n=60, reason="needs 5 blocks, got 2")


def card(*choices: ChoiceCard) -> ModelCard:
    fields: dict[str, Any] = {"study": "s", "study_hash": "0", "simulated": True, "predictors": ()}
    return ModelCard(**fields, split="spatial", n_folds=5, choices=choices)


def table(*choices: ChoiceCard) -> Table:
    [found] = [block for block in blocks(card(*choices)) if isinstance(block, Table)]
    return found


@pytest.mark.parametrize(
    ("choices", "told", "untold"),
    [
        ([LEFT, KEPT], ["WP) predicts in JH", "own predict in WX, where WP is not shown"], "YJ"),
        ([LEFT], ["WP) predicts in JH"], "stacks of their own"),
        ([KEPT, UNKNOWN], ["Stacks of their own predict in WX and YJ"], "without partition"),
    ],
)
def test_the_summary_says_who_predicts_where(choices, told, untold):
    text = in_short(card(*choices))
    assert all(part in text for part in told)
    assert untold not in text


def test_without_a_decision_nothing_is_told():
    assert in_short(card()) == ""
    assert list(blocks(card())) == []


def test_the_table_has_both_errors_the_interval_and_the_reason_where_it_is_not_known():
    found = table(LEFT, KEPT, UNKNOWN)
    texts = [
        {column.heading: f"{column.text(row)} {column.bounds(row)}".strip() for column in found.columns}
        for row in found.rows
    ]
    assert texts[0] == {
        "Partition": "JH", "Predicted by": "WP", "Rows": "360", "Own stack": "0.0282", "WP": "0.0260",
        "Own less WP": "+0.0022 [+0.0002, +0.0042]", "Not known because": "–",
    }  # fmt: skip
    assert texts[1]["Predicted by"] == texts[2]["Predicted by"] == "its own stack"
    assert (texts[2]["Own less WP"], texts[2]["Not known because"]) == ("–", "needs 5 blocks, got 2")
    assert "Not known because" not in {column.heading for column in table(LEFT, KEPT).columns}
