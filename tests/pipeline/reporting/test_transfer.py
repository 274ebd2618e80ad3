"""The report on the scale-transfer test says what its intervals say, and how far it reaches."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd
import pytest

from pipeline.reporting.content import Absent, Figure, Points, Words
from pipeline.reporting.transfer import in_short, kept, section, sentences
from pipeline.scores.transfer import TITLES, Transfer

Interval = tuple[float, float, float]
LOWER, HIGHER, OPEN = (-0.004, -0.006, -0.002), (0.004, 0.002, 0.006), (0.001, -0.001, 0.003)
UNKNOWN = (0.004, nan, nan)


def found(
    model: Interval = HIGHER, fixed: Interval = LOWER, smooth: Interval = OPEN,
    within: Interval = (0.2, 0.1, 0.3), *, ease: bool = True, held: str = "blocks of 100 km",
    share: float | None = 0.3, ends: tuple[float | None, float | None] = (0.1, 0.5),
    detail: str | float | None = "measured",
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
                "ubrmse": 0.03, "bias": 0.0, "r_within": 0.6 if name == "sm" else 0.4, "variance": 1.2,
                "reason": "",
            } | {f"{key}{end}": value for key, values in numbers.items()
                 for end, value in zip(("", "_lower", "_upper"), values, strict=True)})  # fmt: skip
    summary = {
        "factor": 4, "counts": {"cells": 1600, "coarse_cells": 100, "days": 30}, "ease": ease, "held": held,
        "drawn": "30-day periods", "share_drawn": "coarse cells", "detail": detail,
        "share": {
            "there": {"value": share, "lower": ends[0], "upper": ends[1]},
            "elsewhere": {"value": 1.1, "lower": 0.9, "upper": 1.3},
        },
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


@pytest.mark.parametrize(
    ("share", "ends", "told"),
    [
        (0.3, (0.1, 0.5), "a share of 0.30 [0.10, 0.50]"),
        (0.4, (-0.2, 1.4), "a share of 0.40 [0.00, 1.00]"),
        (0.4, (None, None), "a share of 0.40"),
    ],
)
def test_the_share_worth_keeping_is_told_with_what_it_gains(share, ends, told):
    there, elsewhere = (
        text for text in sentences(found(share=share, ends=ends)) if text.startswith("Of what")
    )

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
    ("share", "ends", "begins", "doubted"),
    [
        (0.72, (0.49, 0.91), "Maps keep a share of 0.72 [0.49, 0.91] of the model's detail", False),
        (0.2, (-0.1, 0.5), "Maps keep a share of 0.20 [0.00, 0.50] of the model's detail", True),
        (1.3, (1.1, 1.5), "Maps keep a share of 1.00 [1.00, 1.00] of the model's detail", False),
        (
            -0.03,
            (-0.09, 0.03),
            "Maps keep nothing of the model's detail within SMAP's cells (0.00 [0.00, 0.03])",
            False,
        ),
        (
            None,
            (None, None),
            "Maps keep all of the model's detail within SMAP's cells, as there is none",
            False,
        ),
    ],
)
def test_the_share_that_maps_keep_is_told_within_0_and_1_with_the_reason(share, ends, begins, doubted):
    text = kept(found(share=share, ends=ends))

    assert text.startswith(begins)
    assert ("more than nothing is not shown" in text) == doubted
    assert ("draws coarse cells" in text) == (share is not None)
    words = [block for block in section(found(share=share, ends=ends), "").blocks if isinstance(block, Words)]
    assert text in [block.text for block in words]


def test_a_share_of_the_studys_own_and_maps_that_are_not_corrected_are_told_as_such():
    own = kept(found(share=0.72, ends=(0.49, 0.91), detail=0.5))

    assert "As the study says, maps keep a share of 0.50 of" in own
    assert "best here is 0.72 [0.49, 0.91]" in own
    assert "does not correct maps to SMAP" in kept(found(detail=None))


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
    assert in_short(found()).endswith(
        "Maps keep a share of 0.30 [0.10, 0.50] of the model's detail within SMAP's cells."
    )
    [absent] = section(None, "gee-smap transfer --workdir x").blocks
    assert isinstance(absent, Absent)
    assert absent.text.startswith("Downscaling has not been tested one scale up")
    assert absent.command == "gee-smap transfer --workdir x"
