"""The report's section on space: its sentences on made-up numbers, and tables of a small work directory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.reporting import space
from pipeline.reporting.content import Absent, Figure, Folded, Points, Section, Table, Words
from pipeline.scores import spatial
from pipeline.scores.seams import Steps
from pipeline.scores.spatial import Spatial
from tests.pipeline import spatial_work


def words(section: Section) -> str:
    return " ".join(f"{one.lead} {one.text}" for one in section.blocks if isinstance(one, Words))


def tables(section: Section) -> dict[str, Table]:
    return {table.name: table for table in section.tables()}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Spatial:
    made = spatial_work.make(tmp_path_factory.mktemp("works") / "work", seam=0.03)
    spatial.describe(made.work, made.work.spatial)
    again = spatial.read(made.work.spatial)
    assert again is not None
    return again


def test_without_a_description_the_command_that_makes_it_is_named():
    (only,) = space.section(None, "gee-smap spatial here").blocks
    assert isinstance(only, Absent)
    assert only.command == "gee-smap spatial here"


def test_every_figure_and_table_is_there_and_tables_show_the_numbers_of_the_files(found):
    section = space.section(found, "again")
    figures = [one for one in section.blocks if isinstance(one, Figure)]
    files = {name: held for one in figures for name, held in one.files.items()}
    assert files == {f"space-{name}": held for name, held in found.pictures.items()}
    assert all(one.size[0] < 1070 for one in figures)  # what the page has room for
    shown = tables(section)
    assert set(shown) == {
        "space-boxes", "space-agreement", "space-cells", "space-spread", "space-seams",
        "space-seams-predictors", "space-outside", "space-outside-all",
    }  # fmt: skip
    agreement = found.tables["agreement"]
    bias = next(column for column in shown["space-agreement"].columns if column.key == "bias")
    for row, wanted in zip(shown["space-agreement"].rows, agreement["bias"], strict=True):
        assert bias.text(row) == f"{wanted:+.4f}".replace("-", "−")
    days = next(column for column in shown["space-agreement"].columns if column.key == "n")
    assert days.text(shown["space-agreement"].rows[0]) == f"{agreement['n'].iloc[0]:,}"
    unmatched = [row for row in shown["space-cells"].rows if row["n"] == 0]
    assert unmatched
    assert all(row["bias"] is None for row in unmatched)
    assert len(shown["space-outside"].rows) + len(shown["space-outside-all"].rows) == len(
        found.tables["outside"]
    )
    assert any(isinstance(one, Folded) for one in section.blocks)
    (points,) = (one for one in section.blocks if isinstance(one, Points))
    assert [text for _, text in points.items] == list(found.notes)


def test_sentences_give_the_numbers_of_the_tables(found):
    told = words(space.section(found, "again"))
    whole = found.tables["agreement"].iloc[0]
    side = "above" if whole["bias"] > 0 else "below"
    assert f"{abs(whole['bias']):.4f} m³/m³ {side} SMAP" in told
    assert f"RMSE {whole['rmse']:.4f}" in told
    assert "consistency, not accuracy" in told
    assert f"{found.summary['cells']['left_out']:,} cells and days" in told
    assert f"{100 * found.tables['spread']['share'].iloc[0]:.1f} % of the map's variance" in told
    assert "R: downscaled 0.500." in told  # SMAP has no pattern within its cells, and is not named
    outside = found.tables["outside"].set_index(["predictor", "partition", "month"])
    far = outside.loc[("any", "all", "all"), "beyond"]
    assert f"{100 * far:.1f} % by more than 1.0 % of that range" in told
    assert "The boxes were given" not in told


def with_seam(found: Spatial, **numbers: object) -> Spatial:
    row = Steps(
        "sm", "all", 500, 20, 0.02, 0.01, 2.0, 1.5, 2.5, 0.01, 0.005, 0.015, math.nan, 0.009, 0.004, 0.014,
        verdict="seam",
    )  # fmt: skip
    table = pd.DataFrame([replace(row, **numbers).as_dict(), replace(row, border="a | b").as_dict()])
    return replace(found, tables={**found.tables, "seams": table})


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({}, "2.00 [1.50, 2.50] times that beside them, more than the predictors' own steps explain"),
        ({"unexplained_lower": math.nan}, "it is not known whether the predictors step there too"),
        ({"verdict": "as the land"}, "no more than the predictors' own steps explain"),
        ({"verdict": "none found"}, "cannot be told from no seam"),
        (
            {"verdict": "too few stretches", "ratio_lower": math.nan},
            "2.00 times that beside them, and there are too few stretches",
        ),
    ],
)
def test_a_seam_is_only_claimed_where_the_verdict_does(found, numbers, text):
    told = words(space.section(with_seam(found, **numbers), "again"))
    assert text in told
    assert ("partitions show in the map" in told) == (not numbers)
    assert "A seam is found at a | b." in told


@pytest.mark.parametrize(("ratio", "damped"), [(0.6, True), (1.3, False)])
def test_a_map_is_only_called_damped_where_it_is(found, ratio, damped):
    table = found.tables["spread"].assign(ratio=ratio)
    told = words(space.section(replace(found, tables={**found.tables, "spread": table}), "again"))
    assert ("it is damped" in told) == damped


@pytest.mark.parametrize(("ratio", "damped"), [(0.6, ": it is damped"), (1.3, "")])
def test_of_a_corrected_map_the_stack_is_held_against_smap_and_said_to_be(found, ratio, damped):
    cells = {**found.summary["cells"], "farthest": 0.00004, "ratio_of_stack": ratio}
    table = found.tables["spread"].assign(ratio=1.0)
    corrected = replace(
        found, summary={**found.summary, "corrected": True, "cells": cells},
        tables={**found.tables, "spread": table},
    )  # fmt: skip
    section = space.section(corrected, "again")
    told = words(section)
    assert "the map is nowhere farther from SMAP than 0.00004 m³/m³" in told
    assert f"The stack alone, before that, lies {abs(found.tables['agreement']['bias'].iloc[0]):.4f}" in told
    assert f"Between cells the stack alone has {ratio:.2f} times SMAP's variance{damped}; the corr" in told
    assert "brings it to 1.00." in told
    assert "The stack averaged" in tables(section)["space-agreement"].caption
    plain = words(space.section(found, "again"))
    assert "stack alone" not in plain
    assert "corrected" not in plain
    assert "The map averaged" in tables(space.section(found, "again"))["space-agreement"].caption


def test_what_was_not_made_is_left_out_or_told(found):
    bare = replace(
        found, tables={}, pictures={"means.png": found.pictures["means.png"]},
        summary={**found.summary, "truth": [], "boxes": []},
    )  # fmt: skip
    section = space.section(bare, "again")
    assert [one.text for one in section.blocks if isinstance(one, Absent)] == [
        "The map was not averaged over SMAP's cells: no cell has enough pixels with a value."
    ]
    assert words(section) == ""
    assert not tables(section)


def test_without_a_truth_nobody_claims_a_pattern(found):
    told = words(space.section(replace(found, summary={**found.summary, "truth": []}), "again"))
    assert "nobody can say whether the pattern within cells is right" in told


def test_no_cell_compared_is_told(found):
    table = found.tables["agreement"].assign(n=0, bias=np.nan)
    section = space.section(replace(found, tables={**found.tables, "agreement": table}), "again")
    assert any(isinstance(one, Absent) and "no cell has enough" in one.text for one in section.blocks)
