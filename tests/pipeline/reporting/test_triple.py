"""The report's part on triple collocation: sentences of made-up cases, refusals, the very numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.reporting.content import Absent, Figure, Folded, Table, Words
from pipeline.reporting.triple import in_short, section, sentences
from pipeline.scores.medians import Median
from pipeline.scores.triple import MEASURES, Errors, Estimate, TripleCollocation

NAN = math.nan
AGAIN = "gee-smap run --workdir study"
PRODUCTS = ("insitu", "sm", "smci")


def around(value: float, reach: float = 0.005) -> Median:
    return Median(9, 9, value, value - reach, value + reach)


def made(gap: Median, refused: str = "", stations: bool = True) -> TripleCollocation:
    across = {
        name: {measure: around(0.02 + 0.01 * place) for measure in MEASURES}
        for place, name in enumerate(PRODUCTS)
    }
    one = Errors(
        "007", "sm", 120, Estimate(0.031, 0.02, 0.04), 0.029, Estimate(4.0, 1.0, math.inf),
        Estimate(0.81), Estimate(1.1), "5 blocks",
    )  # fmt: skip
    summary: dict[str, Any] = {
        "products": list(PRODUCTS), "refused": refused, "settings": {"confidence": 0.95}, "notes": ["Note."],
        "counts": {"stations": 9, "with_errors": 9},
    }  # fmt: skip
    differences = {("insitu", "sm"): gap}
    return TripleCollocation(
        (one,), across if stations else {}, differences, summary, {"triple.png": b"\x89PNG"}
    )


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (around(-0.01), "The error of In situ is smaller than that of Downscaled: −0.010 [−0.015, −0.005]"),
        (around(0.01), "The error of In situ is larger than that of Downscaled"),
        (around(0.001), "The errors of In situ and Downscaled cannot be told apart"),
        (Median(3, 3, -0.5, NAN, NAN, "3 stations are too few"), "is undecided: 3 stations are too few"),
    ],
)
def test_an_error_is_called_smaller_only_where_the_interval_says_so(gap: Median, told: str) -> None:
    said = list(sentences(made(gap)))
    assert told in said[1]
    assert "In situ 0.020 [0.015, 0.025], Downscaled 0.030" in said[0]
    assert "over 9 stations" in said[0]


def test_tables_hold_the_very_numbers() -> None:
    blocks = section(made(around(0.0)), AGAIN).blocks
    medians = next(block for block in blocks if isinstance(block, Table))
    assert [row["product"] for row in medians.rows] == ["In situ", "Downscaled", "SMCI1.0"]
    assert medians.rows[1]["error_upper"] == pytest.approx(0.035)
    stations = next(block for block in blocks if isinstance(block, Folded)).blocks[0]
    assert isinstance(stations, Table)
    [row] = stations.rows
    assert (row["station"], row["error"], row["own_error"], row["reason"]) == (
        "007",
        0.031,
        0.029,
        "5 blocks",
    )
    snr = next(column for column in stations.columns if column.key == "snr_db")
    assert snr.text(row) == "4.0"
    assert snr.bounds(row) == ""  # it has no upper end
    assert any(isinstance(block, Figure) for block in blocks)


def test_a_refusal_stands_where_the_numbers_would() -> None:
    [words] = section(made(around(0.0), "sm and smap are not independent"), AGAIN).blocks
    assert isinstance(words, Words)
    assert words.text == "Sm and smap are not independent."
    assert in_short(made(around(0.0), "why")) == "Not computed: why."
    [absent] = section(None, AGAIN).blocks
    assert isinstance(absent, Absent)
    assert absent.command == AGAIN
    said = " ".join(sentences(made(around(0.0), stations=False)))
    assert said == "No station has errors of all three products, so nothing can be said over stations."
