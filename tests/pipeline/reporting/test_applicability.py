"""The report on the area of applicability says what shares and scores show, and nothing that they do not."""

from __future__ import annotations

from math import nan

import pandas as pd
import pytest

from pipeline.reporting.applicability import in_short, section, sentences
from pipeline.reporting.content import Absent, Figure, Points, Table
from pipeline.scores.applicability import Surveyed

LOW, HIGH, WIDE, NONE = (0.03, 0.025, 0.035), (0.06, 0.05, 0.07), (0.05, 0.02, 0.08), (nan, nan, nan)
Ends = tuple[float, float, float]


def surveyed(outside: float, sides: dict[str, tuple[Ends, Ends]] | None = None) -> Surveyed:
    shares = [("all", "all", outside), ("hills", "all", 0.0), ("plain", "all", 2 * outside)]
    rows = [
        {"partition": name, "month": month, "pixels": 10, "pixel_days": 300, "outside": share}
        for name, month, share in [*shares, ("plain", "2019-05", outside)]
    ]
    scores = [
        {
            "reference": reference, "side": side, "n": 0 if value != value else 90, "r": 0.7, "r_lower": 0.6,
            "r_upper": 0.8, "rmse": value, "rmse_lower": lower, "rmse_upper": upper, "bias": 0.0,
            "bias_lower": 0.0, "bias_upper": 0.0, "ubrmse": value, "ubrmse_lower": nan, "ubrmse_upper": nan,
            "reason": "0 pairs; 20 are needed" if value != value else "",
        }
        for reference, ends in (sides or {}).items()
        for side, (value, lower, upper) in zip(("inside", "outside"), ends, strict=True)
    ]  # fmt: skip
    summary = {"outside": outside, "notes": ["A note."], "thresholds": {"WP": 0.25}}
    return Surveyed(pd.DataFrame(rows), pd.DataFrame(scores), summary, b"")


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((LOW, HIGH), "worse outside: RMSE 0.0300 [0.0250, 0.0350] m³/m³ inside and 0.0600 [0.0500, 0.0700]"),
        ((HIGH, LOW), "better outside, so the area does not tell where errors are large"),
        ((LOW, WIDE), "cannot be told apart by their intervals"),
        ((LOW, NONE), "too few pairs outside to score"),
        ((NONE, LOW), "too few pairs inside to score"),
    ],
)
@pytest.mark.parametrize("reference", ["stations", "simulated truth"])
def test_sides_are_told_apart_only_where_intervals_do(ends, told, reference):
    text = list(sentences(surveyed(0.1, {reference: ends})))[1]
    assert told in text
    assert text.startswith("At the stations" if reference == "stations" else "Against the simulated truth")


def test_shares_are_told_from_least_to_most():
    found = surveyed(0.1)
    assert in_short(found) == (
        "10.0 % of the pixel-days lie outside the area of applicability, from 0 % in hills to "
        "20.0 % in plain."
    )
    assert "Mask" not in in_short(found)
    assert "Mask them by aoa" in in_short(surveyed(0.3))


def test_the_section_has_tables_figure_and_notes():
    found = section(surveyed(0.1, {"stations": (LOW, NONE)}), "again")
    names = [table.name for table in found.tables()]
    assert names == ["applicability", "applicability-scores"]
    scores = next(block for block in found.blocks if isinstance(block, Table) and "scores" in block.name)
    assert [column.heading for column in scores.columns][-1] == "Missing because"
    assert scores.rows[0]["reason"] is None
    assert any(isinstance(block, Figure) for block in found.blocks)
    points = next(block for block in found.blocks if isinstance(block, Points))
    assert points.items[0] == ("", "A note.")


def test_nothing_scored_is_no_table_of_scores():
    assert [table.name for table in section(surveyed(0.1), "again").tables()] == ["applicability"]


def test_what_is_not_there_says_how_to_make_it():
    found = section(None, "gee-smap score applicability")
    assert isinstance(found.blocks[0], Absent)
    assert found.blocks[0].command == "gee-smap score applicability"
