"""The report on the scale-transfer test says what its intervals say, and how far it reaches."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd
import pytest

from pipeline.reporting.content import Absent, Figure, Points, Words
from pipeline.reporting.transfer import in_short, section, sentences
from pipeline.scores.transfer import TITLES, Transfer

Interval = tuple[float, float, float]
LOWER, HIGHER, OPEN = (-0.004, -0.006, -0.002), (0.004, 0.002, 0.006), (0.001, -0.001, 0.003)
UNKNOWN = (0.004, nan, nan)


def found(
    model: Interval = HIGHER, fixed: Interval = LOWER, smooth: Interval = OPEN,
    within: Interval = (0.2, 0.1, 0.3), *, ease: bool = True, held: str = "blocks of 100 km",
    share: float | None = 0.3,
) -> Transfer:  # fmt: skip
    """Changes of RMSE beside bilinear SMAP of the stack and the corrected stack, and of the latter more."""
    rows: list[dict[str, Any]] = []
    changes = {"sm_model": model, "sm": fixed}
    for trained in ("there", "elsewhere") if held else ("there",):
        for name, title in TITLES.items():
            change = changes.get(name, (nan,) * 3)
            numbers = {"rmse_change": change, "rmse_smooth_change": smooth, "r_within_change": within}
            rows.append({
                "trained": trained, "product": name, "title": title, "n": 1000, "r": 0.9, "rmse": 0.03,
                "ubrmse": 0.03, "bias": 0.0, "r_within": 0.6 if name == "sm" else 0.4, "spread": 1.2,
                "reason": "",
            } | {f"{key}{end}": value for key, values in numbers.items()
                 for end, value in zip(("", "_lower", "_upper"), values, strict=True)})  # fmt: skip
    summary = {
        "factor": 4, "counts": {"cells": 1600, "coarse_cells": 100, "days": 30}, "ease": ease, "held": held,
        "drawn": "30-day periods", "share": {"there": share, "elsewhere": 1.1},
        "notes": ["7 cells are left out."],
    }  # fmt: skip
    return Transfer(pd.DataFrame(rows), summary, {})


@pytest.mark.parametrize(
    ("model", "fixed", "smooth", "told"),
    [
        (HIGHER, LOWER, OPEN, ("alone is worse", "residual better", "latter is not to be told apart")),
        (LOWER, HIGHER, HIGHER, ("alone is better", "residual worse", "latter is worse")),
        (OPEN, OPEN, LOWER, ("alone is not to be told", "residual not to be told", "latter is better")),
        (UNKNOWN, UNKNOWN, UNKNOWN, ("alone is of undecided merit (+0.0040, no interval)",)),
    ],
)
def test_the_sentences_follow_from_the_intervals(model, fixed, smooth, told):
    texts = [text for text in sentences(found(model, fixed, smooth)) if text.startswith("Trained")]

    assert len(texts) == 2
    for text in texts:
        for part in told:
            assert part in text


@pytest.mark.parametrize(("share", "told"), [(0.3, "a share of 0.30"), (0.004, "a share of 0.00")])
def test_the_share_worth_keeping_is_told_with_what_it_gains(share, told):
    there, elsewhere = (text for text in sentences(found(share=share)) if text.startswith("Of what"))

    assert f"adds to smooth SMAP, {told} fits SMAP best" in there
    assert "adds to smooth SMAP, all fits SMAP best" in elsewhere
    assert "it is not to be told apart (+0.0010 [−0.0010, +0.0030]) beside smooth SMAP" in there


@pytest.mark.parametrize("share", [-0.1, 0.0, None])
def test_predictors_that_bring_nothing_within_coarse_cells_are_said_to(share):
    there, _ = (text for text in sentences(found(share=share)) if text.startswith("Of what"))

    assert "nothing fits SMAP best" in there
    assert "not shown to be worth anything" in there
    assert "Damped" not in there


@pytest.mark.parametrize(
    ("within", "word"),
    [((0.2, 0.1, 0.3), "higher"), ((-0.2, -0.3, -0.1), "lower"), ((0.1, -0.1, 0.2), "undecided")],
)
def test_the_pattern_within_is_judged(within, word):
    text = next(sentences(found(within=within)))

    assert f"R within coarse cells: 0.600 against 0.400 ({word})" in text


def test_the_section_tells_what_the_test_cannot_show_and_the_step_only_where_it_is_known():
    ours, other = (
        " ".join(block.text for block in section(found(ease=ease), "").blocks if isinstance(block, Words))
        for ease in (True, False)
    )

    assert "from 36 km to 9 km" in ours
    assert "36 km" not in other
    for text in (ours, other):
        assert "Nothing follows for the step to 1 km" in text


def test_what_needs_no_model_stands_once_in_the_table_and_notes_are_told():
    one = section(found(), "")

    [table] = one.tables()
    assert [row["title"] for row in table.rows].count("Coarse SMAP, bilinear") == 1
    assert [row["way"] for row in table.rows if row["product"] == "sm"] == ["There", "Elsewhere"]
    [notes] = [block for block in one.blocks if isinstance(block, Points)]
    assert notes.items == (("", "7 cells are left out."),)
    assert not any(isinstance(block, Figure) for block in one.blocks)  # there is none


def test_without_places_to_hold_out_the_section_says_so():
    texts = [block.text for block in section(found(held=""), "").blocks if isinstance(block, Words)]

    assert "which was not possible here" in texts[0]
    assert len(list(sentences(found(held="")))) == 2


def test_the_summary_is_a_sentence_and_a_missing_test_tells_the_command():
    assert "beside bilinear SMAP, better (−0.0040 [−0.0060, −0.0020])" in in_short(found())
    assert section(None, "gee-smap transfer --workdir x").blocks == (
        Absent("Downscaling has not been tested one scale up.", "gee-smap transfer --workdir x"),
    )
