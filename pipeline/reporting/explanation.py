"""The part of a report on what the model has learnt: the importance of predictors and how they act.

After figures 10 and 11 of Xu et al. 2024, which explain training rows; here rows are held out. A page of
colourful points convinces more than it proves, so the skill on the very rows explained stands first, and a
predictor is called the most important only where it leads the next one by more than its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from models.partitioned import STACK, WP
from pipeline.figures.explanation import told
from pipeline.figures.naming import spelled
from pipeline.learning.explain import ExplainResult, file_name
from pipeline.learning.held_out import CELLS
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Figure,
    Folded,
    Row,
    Section,
    Table,
    Words,
    ends,
    figures,
    listed,
    notes,
    percent,
    remarks,
    with_interval,
)

SIZE = f"mean_abs_shap_{STACK}"
RANKED = (
    "Bars of mean absolute SHAP value by predictor and partition.",
    "Importance (figure 10f of Xu et al. 2024): how far a predictor moves predictions on average, up "
    "or down. Bars whose lines reach each other are of about equal importance.",
)
SHOWN = 6  # partitions whose figures the page carries, about 0.45 MB each
PICTURES = {
    "beeswarm": (
        "Points of SHAP values of each predictor, {partition}.",
        "SHAP values, {partition} (figure 10 of Xu et al. 2024): each point is a held-out row, right of 0 "
        "the predictor raises the soil moisture predicted; red on the right and blue on the left is a rise "
        "with the predictor, mixed colours are no simple effect.",
    ),
    "dependence": (
        "SHAP values of the most important predictors against their values, {partition}.",
        "Effect along the values of the most important predictors, {partition}: the line is what a value "
        "alone does, the height of the cloud around it what depends on the other predictors; steps where "
        "points are few are the trees', not nature's.",
    ),
    "lst-dem": (
        "SHAP values of land surface temperature against temperature, coloured by elevation, {partition}.",
        "LST and DEM together, {partition} (figure 11 of Xu et al. 2024): if colours lie in layers at one "
        "temperature, its effect depends on elevation or what goes along with it; mixed colours show none.",
    ),
}


def section(found: ExplainResult | None, again: str) -> Section:
    """What the model has learnt.

    Args:
        found: what ``pipeline.learning.explain.read`` gives.
        again: the command that makes it.
    """
    absent = Absent("The model has not been explained.", again)
    return Section.of("explanation", "What the model has learnt", found, _blocks, absent)


def _blocks(found: ExplainResult) -> Iterator[Block]:
    split = found.summary["split"]
    yield Words(
        "SHAP values share each prediction out among the predictors: they and the mean prediction add up to "
        "it. The rows explained were held out: the stack was fitted anew, by the same recipe, without them "
        f"({split['name']} split), because rows trained on also show what was learnt by heart. They "
        "describe the model, not nature: predictors that go along with each other share credit as the trees "
        "happen to use them."
    )
    yield from remarks(sentences(found), "What it shows.")
    yield _skill(found)
    yield from figures(found.pictures, {"importance": RANKED})
    yield _ranking(found)
    yield Words(_about_intervals(found))
    partitions = sorted(found.summary["partitions"].items(), key=lambda one: -one[1]["n_held_out"])
    for name, _ in partitions[:SHOWN]:
        drawn = tuple(_figures(found, name))
        if len(partitions) == 1:
            yield from drawn
        elif drawn:
            yield Folded(f"Figures of {told(name)}", drawn)
    if left := [name for name, _ in partitions[SHOWN:]]:
        yield Words(f"Figures of {listed(left)} are in the folder of the explanation.")
    yield from notes(found.notes)


def sentences(found: ExplainResult) -> Iterator[str]:
    """What the importance shows, in sentences that follow from the numbers alone."""
    for name, part in found.summary["partitions"].items():
        yield f"{_capital(told(name))}: {_leader(_of(found, name))}{_pair(part)}"
    if weak := [told(name) for name, part in found.summary["partitions"].items() if not _skilled(part)]:
        yield (
            f"On the held-out rows of {listed(weak)} R is not above 0 by its interval: what is shown of a "
            "model without skill explains nothing."
        )


def in_short(found: ExplainResult) -> str:
    """One sentence for a report's summary."""
    firsts = [
        f"{spelled(str(_of(found, name).iloc[0]['predictor']))} ({told(name)})"
        for name in found.summary["partitions"]
    ]
    return f"Largest mean |SHAP value| on held-out rows: {listed(firsts)}."


def _of(found: ExplainResult, partition: str) -> pd.DataFrame:
    table = found.importance
    return table[table["partition"] == partition].sort_values("rank", kind="stable")


def _leader(own: pd.DataFrame) -> str:
    """Whether the most important predictor leads."""
    first = own.iloc[0]
    name = spelled(str(first["predictor"]))
    size = f"{name} moves predictions most, by {_number(first, SIZE)} m³/m³ on average"
    if len(own) == 1:
        return f"{size}; it is the only predictor."
    near = [
        spelled(str(row["predictor"])) for _, row in own.iloc[1:].iterrows() if row["behind_first_lower"] <= 0
    ]
    second = own.iloc[1]
    if math.isnan(second["behind_first_lower"]):
        return (
            f"{size}, before {spelled(str(second['predictor']))}; there are no intervals to tell them apart."
        )
    if near:
        return f"{size}, but cannot be told apart from {listed(near)}."
    return f"{size}, {_number(second, 'behind_first')} more than {spelled(str(second['predictor']))}."


def _number(row: Any, key: str) -> str:
    value, lower, upper = (float(row[each]) for each in (key, *ends(key)))
    return with_interval(value, lower, upper, ".4f")


def _pair(part: Mapping[str, Any]) -> str:
    """What the interaction of LST and DEM amounts to."""
    pair = part.get("interaction")
    if not pair or math.isnan(pair["share"]):
        return ""
    return (
        f" At one and the same LST, DEM goes along with {percent(min(max(pair['share'], 0.0), 1.0))} of the "
        f"variance of LST's effect (standard deviation {pair['spread']:.4f} m³/m³)."
    )


def _skilled(part: Mapping[str, Any]) -> bool:
    return bool(part["scores"]["r_lower"] > 0)


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _skill(found: ExplainResult) -> Table:
    rows: list[Row] = []
    for name, part in found.summary["partitions"].items():
        pair = part.get("interaction") or {}
        rows.append(
            {
                "partition": "All samples" if name == WP else name,
                "fitted": part["n_fit"],
                "explained": part["n_explained"],
                **{key: value for key, value in part["scores"].items() if key not in ("n", "reason")},
                "spread": pair.get("spread"),
                "share": None if math.isnan(share := pair.get("share", math.nan)) else max(share, 0.0),
            }
        )
    return Table(
        "explained",
        "The stacks explained: rows, skill on the very rows explained with 95 % intervals, and how LST and "
        "DEM act together",
        (
            Column("partition", "Partition"),
            Column("fitted", "Rows fitted", ",d"),
            Column("explained", "Rows explained", ",d"),
            Column.measured("r", "R", ".3f"),
            Column.measured("rmse", "RMSE (m³/m³)", ".4f"),
            Column("spread", "LST's effect at one LST, SD (m³/m³)", ".4f"),
            Column("share", "Goes along with DEM", "%"),
        ),
        tuple(rows),
    )


def _ranking(found: ExplainResult) -> Table:
    table = found.importance.assign(title=found.importance["predictor"].map(spelled))
    behind = ["behind_first", *ends("behind_first")]
    table[behind] = table[behind].where(table["rank"] > 1)  # the first is behind none
    return Table.of(
        "importance",
        "Importance of the predictors in the stack with 95 % intervals; land cover classes are one predictor",
        (
            Column("partition", "Partition"),
            Column("rank", "Rank", "d"),
            Column("title", "Predictor"),
            Column.measured(SIZE, "Mean |SHAP value| (m³/m³)", ".4f"),
            Column.measured("behind_first", "Behind the first (m³/m³)", ".4f"),
        ),
        table,
    )


def _about_intervals(found: ExplainResult) -> str:
    parts = found.summary["partitions"]
    kinds = list(dict.fromkeys(str(part["drawn"]) for part in parts.values()))
    few = [told(name) for name, part in parts.items() if part["drawn"] == CELLS]
    text = (
        f"Intervals draw whole blocks ({listed(kinds)}) of the rows explained. They tell how far importance "
        "hangs on these rows; a stack fitted on other rows may rank near predictors in another order."
    )
    if few and len(few) < len(parts):
        text += f" Cells are drawn in {listed(few)}."
    return text


def _figures(found: ExplainResult, partition: str) -> Iterator[Figure]:
    for kind, texts in PICTURES.items():
        alt, caption = (text.format(partition=told(partition)) for text in texts)
        yield from figures(found.pictures, {f"{kind}-{file_name(partition)}": (alt, caption)})
