"""The report's part on rain: sentences of made-up cases, tables that hold the very numbers."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import pytest

from pipeline.reporting.content import Absent, Figure, Folded, Points, Table, Words
from pipeline.reporting.rain import RULES, in_short, section, sentences
from pipeline.scores.medians import Median
from pipeline.scores.rain import RainResponse, Response
from pipeline.scores.rain_events import Rules

NAN = math.nan
AGAIN = "gee-smap run --workdir study"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


def around(value: float, reach: float = 0.01, n: int = 40) -> Median:
    return Median(n, 8, value, value - reach, value + reach)


UNBOUNDED = Median(12, 3, 0.2, NAN, NAN, "3 stations are too few for an interval")


def made(gap: Median, beside: Median | None = None, quantity: str = "change") -> RainResponse:
    """A result in which the downscaled map stands to the probe and to SMAP as given."""
    responses = (
        Response(quantity, "sm", around(0.05), around(0.051), 0.07, gap, beside),
        Response(quantity, "smap", around(0.03), around(0.031), 0.07, around(-0.04), None),
        Response(quantity, "insitu", around(0.07), around(0.071), 0.07, None, None),
    )
    fits = {"counted": 9, "not": {"not decreasing": 3}}
    summary: dict[str, Any] = {
        "simulated": False,
        "rule": "more than 10 mm in a day",
        "products": ["sm", "smap"],
        "counts": {"stations": 9, "stations_used": 8, "events": 50, "used": 40, "not_used": {"x": 10}},
        "fits": {
            "sm": fits | {"wetter": 30}, "smap": fits | {"wetter": 40}, "insitu": fits | {"wetter": 38},
        },
        "settings": {"rules": {"daily_mm": 10.0, "total_mm": None}},
        "notes": ["Rain is the station's own at 9 stations."],
    }  # fmt: skip
    return RainResponse(pd.DataFrame(), responses, summary, {"composite.png": PNG})


@pytest.mark.parametrize(
    ("predictors", "told"), [((), False), (("ndvi", "lst"), False), (("ndvi", "rain_7"), True)]
)
def test_rain_that_the_model_was_told_of_is_said_to_be_no_independent_witness(predictors, told):
    texts = [one for one in section(made(around(0.0)), AGAIN, predictors).blocks if isinstance(one, Words)]
    assert ("No independent witness." in {one.lead for one in texts}) == told
    assert any("is a predictor of this model" in one.text for one in texts) == told


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (around(-0.02), "Downscaled gains over rain events less than the probe: event by event −0.020"),
        (around(0.02), "Downscaled gains over rain events more than the probe"),
        (around(0.005), "Downscaled gains over rain events as much as the probe, as far as can be told"),
        (UNBOUNDED, "is undecided, 3 stations are too few for an interval"),
        (Median(0, 0, NAN, NAN, NAN, "no value"), "cannot be told: no event has both"),
    ],
)
def test_a_difference_from_the_probe_is_called_one_only_where_the_interval_says_so(
    gap: Median, told: str
) -> None:
    assert told in " ".join(sentences(made(gap)))
    assert told in in_short(made(gap))


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (around(-0.3, 0.1), "dries afterwards faster than"),
        (around(0.3, 0.1), "dries afterwards more slowly than"),
    ],
)
def test_drying_is_told_the_right_way_round(gap: Median, told: str) -> None:
    assert f"Downscaled {told} the probe" in " ".join(sentences(made(gap, quantity="scale")))


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        (around(-0.02), "the downscaled map is nearer to the probe than SMAP is"),
        (around(0.02), "the downscaled map is farther from the probe than SMAP is"),
        (around(0.0), "the downscaled map cannot be told from SMAP"),
        (UNBOUNDED, "is undecided: 3 stations"),
    ],
)
def test_the_downscaled_map_gains_over_smap_only_where_the_interval_says_so(
    beside: Median, told: str
) -> None:
    said = " ".join(sentences(made(around(0.0), beside)))
    assert told in said
    assert ("nearer to the probe than SMAP is" in said) == (beside.upper < 0)


def test_how_often_it_became_wetter_is_counted() -> None:
    first = next(sentences(made(around(0.0))))
    assert "In situ in 95.0 %, Downscaled in 75.0 % and SMAP in 100 % of 40 events" in first


def test_tables_hold_the_very_numbers() -> None:
    found = made(around(-0.02), around(-0.01))
    blocks = section(found, AGAIN).blocks
    table = next(block for block in blocks if isinstance(block, Table) and block.name == "rain-change")
    row = table.rows[0]
    assert (row["product"], row["median"], row["difference_lower"], row["beside_smap"]) == (
        "Downscaled", 0.05, -0.03, -0.01
    )  # fmt: skip
    assert row["probe"] == 0.07
    assert {column.key for column in table.columns} <= set(row)
    texts = {column.key: column.text(row) for column in table.columns}
    assert texts["difference"] == "−0.020"
    assert any(isinstance(block, Figure) and block.name == "rain-composite" for block in blocks)
    assert not any(isinstance(block, Figure) and block.name == "rain-series" for block in blocks)
    points = next(block for block in blocks if isinstance(block, Points))
    assert points.items == (("", found.notes[0]),)
    facts = next(block for block in blocks if isinstance(block, Folded)).blocks[0]
    assert facts.items == (
        ("An event has a day of more than (mm)", "10"), ("or altogether more than (mm)", "–")
    )  # fmt: skip


def test_every_rule_is_explained() -> None:
    assert {field.name for field in fields(Rules)} == set(RULES)


def test_what_is_absent_names_the_command_and_no_event_is_told() -> None:
    [absent] = section(None, AGAIN).blocks
    assert isinstance(absent, Absent)
    assert absent.command == AGAIN
    summary = {**made(around(0.0)).summary, "notes": ["The rain of none of the 9 stations is known."]}
    nothing = replace(made(around(0.0)), responses=(), summary=summary, pictures={})
    [words] = section(nothing, AGAIN).blocks
    assert isinstance(words, Words)
    assert words.text == "The rain of none of the 9 stations is known."
    assert in_short(nothing) == "No rain event could be used."
