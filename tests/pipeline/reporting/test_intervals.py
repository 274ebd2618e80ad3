"""The report on intervals says what they contain under each split, and nothing that the numbers do not."""

from __future__ import annotations

import datetime as dt
from math import nan

import numpy as np
import pandas as pd
import pytest

from models.intervals import HalfWidth, Intervals, Quantile
from pipeline.learning.calibration import Calibrated
from pipeline.reporting.content import Absent, Figure, Points, Table, Words
from pipeline.reporting.intervals import in_short, section, sentences
from pipeline.scores.coverage import of_fields

KEPT, NARROW, WIDE, OPEN = (0.9, 0.87, 0.93), (0.8, 0.75, 0.85), (0.96, 0.94, 0.98), (0.9, nan, nan)
ONE = HalfWidth(None, 0.03, Quantile(1.2, 5000, 40, 321.0))


def rows(
    split: str, model: str, coverage: tuple[float, float, float], n: int = 900
) -> list[dict[str, object]]:
    """All rows, those of two partitions, and fifths of which the wettest has the fewest within."""
    value, lower, upper = coverage
    base = {
        "split": split, "model": model, "n": n, "blocks": 40, "coverage_lower": lower,
        "coverage_upper": upper, "width": 0.11, "score": 0.15, "predicted": 0.25,
        "reason": "" if n else "the period is too short",
    }  # fmt: skip
    pooled = [
        {**base, "partition": name, "fifth": 0, "coverage": value} for name in ("all", "hills", "plain")
    ]
    fifths = [
        {
            **base,
            "partition": "all",
            "fifth": at,
            "n": n // 5,
            "predicted": 0.1 * at,
            "coverage": 0.97 - 0.05 * at,
        }
        for at in range(1, 6)
    ]
    return [*pooled, *fifths]


def calibrated(splits: dict[str, tuple[float, float, float]], notes: tuple[str, ...] = ()) -> Calibrated:
    table = pd.DataFrame([row for split, share in splits.items() for row in rows(split, "stack", share)])
    return Calibrated(Intervals(ONE, {"hills": ONE}, notes, "Calibrated on blocks."), table, "spatial", True)


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ({"spatial": KEPT}, "Intervals are as promised, as far as the rows tell, under spatial."),
        (
            {"random": KEPT, "spatial": NARROW},
            "Intervals are as promised, as far as the rows tell, under random; too narrow under spatial.",
        ),
        ({"random": WIDE, "time": OPEN}, "Intervals are too wide under random; undecided under time."),
    ],
)
def test_a_promise_is_kept_where_it_lies_within_the_interval_of_the_coverage(splits, told):
    assert in_short(calibrated(splits)) == told


def test_sentences_give_each_share_with_its_interval_and_where_the_fewest_are_within():
    texts = list(sentences(calibrated({"random": KEPT, "spatial": NARROW})))
    assert texts[0] == (
        "Intervals of 90 % contain of the rows that a split held out: random 90.0 [87.0, 93.0] % and spatial "
        "80.0 [75.0, 85.0] %."
    )
    assert (
        "calibrated as under spatial, where they are too narrow; their mean width there is 0.110" in texts[2]
    )
    assert texts[3].endswith("predictions around 0.50 m³/m³ has the fewest within, 72.0 [75.0, 85.0] %.")


def test_a_partition_held_out_is_told_of_wp():
    table = pd.DataFrame(rows("leave-partition-out", "WP", NARROW))
    found = Calibrated(Intervals(ONE), table, "spatial", simulated=False)
    assert in_short(found) == "Intervals are too narrow under leave-partition-out."


def test_the_section_has_the_statement_a_figure_and_the_tables_of_the_numbers():
    found = section(
        calibrated({"random": KEPT, "spatial": NARROW}, ("Partition x has none.",)), "gee-smap train"
    )
    words = [block.text for block in found.blocks if isinstance(block, Words)]
    assert words[0].startswith("An interval is about the mean of a SMAP cell on a day")
    assert "SMAP's by construction" in words[1]
    assert words[2] == "Calibrated on blocks."
    [figure] = [block for block in found.blocks if isinstance(block, Figure)]
    assert figure.png.startswith(b"\x89PNG")
    assert b"<svg" in figure.svg
    tables = {table.name: table for table in found.tables()}
    assert list(tables) == [
        "intervals-coverage", "intervals-partitions", "intervals-predicted", "intervals-calibration",
    ]  # fmt: skip
    first = tables["intervals-coverage"].rows
    assert [(row["split"], row["within"], row["verdict"]) for row in first] == [
        ("random", 90.0, "as promised"), ("spatial", 80.0, "too narrow"),
    ]  # fmt: skip
    assert len(tables["intervals-partitions"].rows) == 4
    assert len(tables["intervals-predicted"].rows) == 10
    assert [row["stack"] for row in tables["intervals-calibration"].rows] == ["hills", "WP"]
    assert any(isinstance(block, Points) and "Partition x has none." in str(block) for block in found.blocks)


@pytest.mark.parametrize(("first", "months"), [(1, []), (29, ["2019-04", "2019-05"])])
def test_a_map_held_against_the_truth_is_told_to_be_no_test_of_the_promise(first, months):
    rng = np.random.default_rng(0)
    truth = rng.random((3, 4, 4))
    maps = of_fields(
        truth, truth - 0.1, truth + 0.1, [dt.date(2019, 4, first) + dt.timedelta(day) for day in (0, 1, 2)],
        np.arange(16).reshape(4, 4), {"hills": np.ones((4, 4), np.bool_)},
    )  # fmt: skip
    found = section(calibrated({"spatial": KEPT}), "gee-smap train", maps)
    told = " ".join(block.text for block in found.blocks if isinstance(block, Words))
    assert "Of the simulated truth at 1 km, 100.0 [100.0, 100.0] % of the days and places lie within" in told
    assert "That is no test of what they promise of a cell's mean" in told
    [table] = [one for one in found.tables() if one.name == "intervals-map"]
    assert [row["name"] for row in table.rows] == ["all", "hills", *months]  # one month is all of it


def test_what_is_absent_is_said_with_the_command_that_makes_it():
    [block] = section(None, "gee-smap train").blocks
    assert block == Absent("The model was trained without intervals.", "gee-smap train")
    found = section(calibrated({"spatial": KEPT}), "gee-smap train", None, "gee-smap run")
    assert (
        Absent("What the intervals of a map contain at 1 km has not been counted.", "gee-smap run")
        in found.blocks
    )


def test_a_split_without_rows_is_left_out_and_nothing_at_all_is_said_to_be_so():
    table = pd.DataFrame(rows("time", "stack", (nan, nan, nan), 0))
    found = Calibrated(Intervals(None, notes=("WP has no interval: few.",)), table, "spatial", simulated=True)
    made = section(found, "gee-smap train")
    words = " ".join(block.text for block in made.blocks if isinstance(block, Words))
    assert "No split could be scored, so nothing is known of what the intervals contain." in words
    assert not list(made.tables())
    assert not list(made.figures())


def test_a_damaged_table_costs_its_section_alone():
    found = Calibrated(Intervals(ONE), pd.DataFrame({"n": [3]}), "spatial", simulated=True)
    [block] = section(found, "gee-smap train").blocks
    assert isinstance(block, Absent)
    assert "cannot be shown" in block.text


def test_tables_are_of_rows_alike():
    for table in section(calibrated({"spatial": KEPT}), "").tables():
        assert isinstance(table, Table)
        assert len({tuple(row) for row in table.rows}) == 1
