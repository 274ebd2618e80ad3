"""The part of a report on what predictors are worth: without date and place, and by set of predictors.

A predictor that raises the score of a random split and no other has told the model which date or which cell a
row is of; the sentences say so only where the intervals of paired changes do, and say undecided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pandas as pd

from models.metrics import MIN_BLOCKS
from models.partitioned import STACK
from models.splits import CellsAndDates, RandomSplit, SpatialBlocks, TimeBlocks
from pipeline.learning.ablation import FULL, Ablation
from pipeline.learning.held_out import CELLS
from pipeline.learning.predictor_sets import COMPARED, PAPER
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Figure,
    Folded,
    Judged,
    Row,
    Section,
    Table,
    Words,
    listed,
    notes,
    remarks,
    signed,
)

Effect = Literal["worse", "better", "undecided"]
"""Of leaving predictors out, on the RMSE of the stack: worse or better where the interval excludes 0."""

LEARNT = {
    "without-doy": ("The day of year", "dates", (TimeBlocks.name, CellsAndDates.name)),
    "without-statics": ("Terrain, soil and land cover", "places", (SpatialBlocks.name, CellsAndDates.name)),
    "without-both": (
        "The day of year together with terrain, soil and land cover",
        "dates or places",
        (SpatialBlocks.name, TimeBlocks.name, CellsAndDates.name),
    ),
}
"""What each set leaves out, what it may have learnt by heart, and the splits where that is new."""

METRICS = (
    Column("r", "R", ".3f", ("r_lower", "r_upper")),
    Column("rmse", "RMSE (m³/m³)", ".4f", ("rmse_lower", "rmse_upper")),
    Column("r_change", "Change of R", "+.3f", ("r_change_lower", "r_change_upper")),
    Column("rmse_change", "Change of RMSE (m³/m³)", "+.4f", ("rmse_change_lower", "rmse_change_upper")),
)


def section(found: Ablation | None, again: str) -> Section:
    """What the predictors are worth under each split.

    Args:
        found: what ``pipeline.learning.ablation.read`` gives.
        again: the command that makes it.
    """
    absent = Absent("The model has not been scored without some of its predictors.", again)
    return Section.of("ablation", "Without the date, and without the place", found, _blocks, absent)


def _blocks(found: Ablation) -> Iterator[Block]:
    splits = found.summary["splits"]
    yield Words(
        "A day of year tells which date a row is of; elevation, soil and land cover, which never change, "
        "tell which cell. A model can look such rows up instead of learning how soil moisture follows from "
        "what satellites see. So the stack is fitted again without them and scored on the same held-out rows."
    )
    if found.table.empty:
        yield Words("No split could be scored.", notable=True)
    yield from remarks(sentences(found), "What it shows.")
    if few := [name for name, one in splits.items() if one["drawn"] == CELLS]:
        yield Words(
            f"Under {listed(few)} fewer than {MIN_BLOCKS} periods of 30 days are held out, so intervals "
            "draw cells: they tell how other cells would differ, not other dates, and are too narrow for "
            "what is said of dates.",
            "Narrow intervals.",
        )
    if found.picture:
        yield Figure(
            "ablation",
            found.picture,
            "Chart of the stack's RMSE by split and set of predictors, and of its change beside all of them.",
            "Error (a) and its paired change (b). Read (b) from split to split: marks right of 0 at the "
            "random split that lie at or left of 0 below it are dates or places learnt by heart.",
        )
    yield Judged(
        tuple((name, str(one["promise"]), _of_split(found, name, one)) for name, one in splits.items())
    )
    if not found.table.empty:
        yield _table(found)
        yield Words(
            "Changes are those of the same model beside all predictors, on identical rows and in the same "
            "draws of whole blocks of days or cells, and so are known better than the scores themselves. "
            "The best member is the one of lowest RMSE with all predictors on these very rows. Folds, seed "
            "and settings are the model's own; nothing was tuned again without the predictors."
        )
    yield from notes(found.notes)
    if not found.table.empty:
        yield Folded("All members", (_everything(found),))
    yield from _sets(found)


def _sets(found: Ablation) -> Iterator[Block]:
    """The project's sets of predictors beside each other."""
    if found.compared.empty:
        why = found.summary.get("apart") or "no split could be scored"
        yield Words(f"Sets of predictors are not compared: {why}.", "Sets of predictors.")
        return
    yield Words(
        "The recommended set adds what the soil goes through: the rain of the 3, 7, 15 and 30 days before, "
        "the difference of land surface temperature between day and night, slope and topographic wetness. "
        "It is scored beside the paper's fifteen on the same held-out rows, without a day of year, with its "
        "sine and cosine and with the number itself, where whole dates or places are new.",
        "Sets of predictors.",
    )
    for text in set_sentences(found):
        yield Words(text, notable=True)
    if found.summary.get("simulated"):
        yield Words(
            "The simulated soil is wetted by the very rain that the simulated satellite sees with an error: "
            "these numbers say that the sets work as they should, not what rain is worth on Earth.",
            "Simulated sources.",
        )
    if found.compared_picture:
        yield Figure(
            "predictor-sets",
            found.compared_picture,
            "Chart of the stack's RMSE by split and set of predictors, and of its change beside the paper's.",
            "Error (a) and its paired change beside the paper's fifteen (b): marks left of 0 are better.",
        )
    splits = list(dict.fromkeys(found.compared["split"]))
    rows = tuple(
        {**row, "set": COMPARED[name], "reason": row["reason"] or None}
        for split in splits
        for model in (STACK, *(one for one in dict.fromkeys(found.compared["model"]) if one != STACK))
        for name in COMPARED
        if (row := found.set_row(split, name, model)) is not None
    )
    yield Folded(
        "All sets and members",
        (
            Table(
                "predictor-sets-members",
                "Sets of predictors on held-out rows, with 95 % intervals",
                _columns(found.compared),
                rows,
            ),
        ),
    )


def set_sentences(found: Ablation) -> Iterator[str]:
    """Which sets are better or worse than the paper's under each split, as far as intervals tell."""
    for split in dict.fromkeys(found.compared["split"]):
        base = found.set_row(split, PAPER)
        others = {name: found.set_row(split, name) for name in COMPARED if name != PAPER}
        told = [
            f"{title[0].lower()}{title[1:]} {_told(row)} ({_effect(row)})"
            for name, row in others.items()
            if row is not None and (title := COMPARED[name])
        ]
        if base is not None and told:
            yield (
                f"{split[0].upper()}{split[1:]} split: RMSE of the stack with the paper's fifteen "
                f"{float(base['rmse']):.4f} m³/m³; change: {listed(told)}."
            )


def sentences(found: Ablation) -> Iterator[str]:
    """What leaving predictors out shows of the stack, in sentences that follow from the numbers alone."""
    for name, (what, learnt, hard) in LEARNT.items():
        effects = {split: _effect(row) for split, row in _changes(found, name).items()}
        if not effects:
            continue
        random = effects.get(RandomSplit.name)
        new = {split: effect for split, effect in effects.items() if split in hard}
        numbers = listed([f"{split} {_told(row)}" for split, row in _changes(found, name).items()])
        yield f"{what}: {_verdict(random, new, learnt)} Change of the stack's RMSE without: {numbers} m³/m³."


def in_short(found: Ablation) -> str:
    """One sentence for a report's summary."""
    told = [text.split(" Change of the stack's RMSE")[0] for text in sentences(found)]
    return " ".join(told) if told else "No split could be scored."


def _verdict(random: Effect | None, new: Mapping[str, Effect], learnt: str) -> str:
    """What the random split and the splits of new dates or places say together."""
    helps, harms, open_ = (
        [split for split, effect in new.items() if effect == one] for one in ("worse", "better", "undecided")
    )
    rest = f"; undecided under {listed(open_)}" if open_ else ""
    if not new:
        return f"no split holds whole {learnt} out, so memory and knowledge cannot be told apart."
    if helps and harms:
        return f"a gain under {listed(helps)} and a loss under {listed(harms)}; it depends on the split."
    if random == "worse" and harms:
        return (
            f"a gain on the random split that turns into a loss under {listed(harms)}: {learnt} learnt by "
            f"heart{rest}."
        )
    if harms:
        return f"a loss under {listed(harms)}, where the model does better without{rest}."
    if helps:
        return f"a gain under {listed(helps)}, where {learnt} are new{rest}."
    if random == "worse":
        return (
            f"a gain on the random split that {listed(list(new))} cannot confirm: whether it is more than "
            f"{learnt} learnt by heart is undecided."
        )
    if random == "better":
        return f"a loss on the random split, undecided under {listed(list(new))}."
    return "no effect that can be told from chance under these splits."


def _changes(found: Ablation, name: str) -> dict[str, Mapping[str, Any]]:
    """The stack's row on a set of predictors under each split that has one."""
    rows = {split: found.row(split, name, STACK) for split in found.summary["splits"]}
    return {split: row for split, row in rows.items() if row is not None}


def _effect(row: Mapping[str, Any]) -> Effect:
    lower, upper = float(row["rmse_change_lower"]), float(row["rmse_change_upper"])
    if lower > 0:
        return "worse"
    return "better" if upper < 0 else "undecided"


def _told(row: Mapping[str, Any]) -> str:
    value, lower, upper = (float(row[f"rmse_change{end}"]) for end in ("", "_lower", "_upper"))
    if math.isnan(lower):
        return f"{signed(value, '+.4f')} (no interval)"
    return f"{signed(value, '+.4f')} [{signed(lower, '+.4f')}, {signed(upper, '+.4f')}]"


def _of_split(found: Ablation, split: str, about: Mapping[str, Any]) -> str:
    full = found.row(split, FULL, STACK)
    if full is None:
        return f"Not scored: {about['reason']}."
    told = []
    for name, one in found.summary["sets"].items():
        row = found.row(split, name, STACK)
        if name != FULL and row is not None:
            told.append(
                f"{one['title'][0].lower()}{one['title'][1:]} {float(row['rmse']):.4f} ({_effect(row)})"
            )
    rest = f"; {', '.join(told)}" if told else ""
    return f"RMSE of the stack with all predictors {float(full['rmse']):.4f} m³/m³{rest}."


def _rows(found: Ablation, models: Mapping[str, list[str]]) -> tuple[Row, ...]:
    """Rows of the table, with titles of the sets; ``models`` of each split in their order."""
    titles = {name: one["title"] for name, one in found.summary["sets"].items()}
    rows: list[Row] = []
    for split, wanted in models.items():
        for model in wanted:
            for name, title in titles.items():
                if (row := found.row(split, name, model)) is not None:
                    rows.append({**row, "set": title, "reason": row["reason"] or None})
    return tuple(rows)


def _table(found: Ablation) -> Table:
    best = {split: one["best"] for split, one in found.summary["splits"].items() if one["best"]}
    return Table(
        "ablation",
        "Stack and best member on held-out rows, with all predictors and without some, with 95 % intervals",
        _columns(found.table),
        _rows(found, {split: [STACK, member] for split, member in best.items()}),
    )


def _everything(found: Ablation) -> Table:
    models = list(dict.fromkeys(found.table["model"]))
    return Table(
        "ablation-members",
        "Every member, the stack and the stack without partitions on held-out rows, with 95 % intervals",
        _columns(found.table),
        _rows(found, dict.fromkeys(found.summary["splits"], models)),
    )


def _columns(table: pd.DataFrame) -> tuple[Column, ...]:
    left = [Column("reason", "Missing because", prose=True)] if (table["reason"] != "").any() else []
    return (
        Column("split", "Split"),
        Column("set", "Predictors"),
        Column("model", "Model"),
        Column("n", "Rows", ",d"),
        *METRICS,
        *left,
    )
