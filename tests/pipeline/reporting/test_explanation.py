"""The report on what the model has learnt says which predictor leads only where intervals do."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd
import pytest

from pipeline.learning.explain import ExplainResult
from pipeline.reporting.content import Absent, Figure, Folded, Words
from pipeline.reporting.explanation import in_short, section, sentences

SIZES = {"lst": 0.010, "doy": 0.008, "lc": 0.002}


def explained(
    partitions: tuple[str, ...] = ("WX",),
    behind: tuple[float, float] = (0.001, 0.003),
    r_lower: float = 0.5,
    share: float = 0.25,
    drawn: str = "30-day periods",
) -> ExplainResult:
    """Importance of three predictors, of which ``behind`` is the interval of how far the second is behind."""
    rows: list[dict[str, Any]] = []
    parts = {}
    for place, name in enumerate(partitions):
        for rank, (predictor, size) in enumerate(SIZES.items(), start=1):
            lower, upper = {1: (0.0, 0.0), 2: behind, 3: (0.007, 0.009)}[rank]
            rows.append({
                "partition": name, "predictor": predictor, "rank": rank, "mean_abs_shap_stack": size,
                "mean_abs_shap_stack_lower": size - 0.001, "mean_abs_shap_stack_upper": size + 0.001,
                "behind_first": 0.010 - size, "behind_first_lower": lower, "behind_first_upper": upper,
            })  # fmt: skip
        parts[name] = {
            "n_fit": 700, "n_held_out": 300 + place, "n_explained": 300, "drawn": drawn,
            "scores": {"n": 300, "r": 0.7, "r_lower": r_lower, "r_upper": 0.9, "rmse": 0.02, "reason": ""},
            "interaction": {"spread": 0.0012, "share": share},
        }  # fmt: skip
    summary = {
        "split": {"name": "spatial"},
        "partitions": parts,
        "notes": ["Held out.", "Simulated data: no."],
    }
    kinds = ("beeswarm", "dependence", "lst-dem")
    pictures = {f"{kind}-{name}.png": b"PNG" for name in partitions for kind in kinds} | {
        "importance.png": b"PNG"
    }
    return ExplainResult(pd.DataFrame(rows), summary, (), {}, pictures)


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        ((0.001, 0.003), "0.0020 [0.0010, 0.0030] more than DOY."),
        ((-0.001, 0.005), "but cannot be told apart from DOY."),
        ((nan, nan), "before DOY; there are no intervals to tell them apart."),
    ],
)
def test_a_predictor_leads_only_by_more_than_its_interval(behind: tuple[float, float], told: str) -> None:
    [text] = sentences(explained(behind=behind))

    assert text.startswith(
        "Partition WX: LST moves predictions most, by 0.0100 [0.0090, 0.0110] m³/m³ on average, "
    )
    assert told in text
    assert "DEM goes along with 25.0 % of the variance of LST's effect" in text


def test_an_interaction_that_is_undefined_is_not_told_and_one_below_nothing_is_none() -> None:
    [without] = sentences(explained(share=nan))
    [none] = sentences(explained(share=-0.03))

    assert "DEM" not in without
    assert "DEM goes along with 0 % of" in none
    assert next(section(explained(share=nan), "").tables()).rows[0]["share"] is None


@pytest.mark.parametrize("r_lower", [-0.1, nan])
def test_a_model_without_skill_on_the_rows_explained_is_said_to_explain_nothing(r_lower: float) -> None:
    *_, last = sentences(explained(r_lower=r_lower))

    assert "partition WX" in last
    assert "explains nothing" in last
    assert not any("explains nothing" in text for text in sentences(explained()))


def test_the_section_says_that_rows_were_held_out_and_by_which_split() -> None:
    first = section(explained(), "").blocks[0]

    assert isinstance(first, Words)
    assert "The rows explained were held out" in first.text
    assert "(spatial split)" in first.text


def test_every_figure_says_how_it_is_read_and_those_of_several_partitions_are_folded() -> None:
    alone = [block for block in section(explained(), "").blocks if isinstance(block, Figure)]
    names = tuple(f"P{number}" for number in range(8))
    several = section(explained(names), "")

    assert [one.name for one in alone] == ["importance", "beeswarm-WX", "dependence-WX", "lst-dem-WX"]
    for one in alone:
        assert len(one.caption.split()) > 15
        assert "{" not in one.alt + one.caption
    folded = [block for block in several.blocks if isinstance(block, Folded)]
    assert [one.summary for one in folded] == [f"Figures of partition P{n}" for n in (7, 6, 5, 4, 3, 2)]
    assert "Figures of P1 and P0 are in the folder of the explanation." in [
        block.text for block in several.blocks if isinstance(block, Words)
    ]


def test_the_ranking_spells_predictors_and_leaves_the_first_without_a_distance_to_itself() -> None:
    _, ranking = section(explained(), "").tables()

    assert [row["title"] for row in ranking.rows] == ["LST", "DOY", "Land cover"]
    behind = ranking.columns[-1]
    assert [behind.text(row) for row in ranking.rows] == ["–", "0.0020", "0.0080"]
    assert behind.bounds(ranking.rows[1]) == "[0.0010, 0.0030]"


def test_without_an_explanation_there_is_the_command_and_in_short_names_the_first() -> None:
    assert section(None, "gee-smap explain").blocks == (
        Absent("The model has not been explained.", "gee-smap explain"),
    )
    assert in_short(explained()) == "Largest mean |SHAP value| on held-out rows: LST (partition WX)."
