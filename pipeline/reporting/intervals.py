"""The part of a report on intervals: what they are about, and whether they contain what they promise.

Whoever reads 90 % on a map takes it for a promise about that square kilometre on that day. So the section
begins with what is promised, and goes on with how often it was kept where the model could not know it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pandas as pd

from models.intervals import COVERAGE, PROMISE, STATEMENT, Intervals
from models.partitioned import OVERALL, STACK, WP
from pipeline.figures.intervals import chart
from pipeline.learning.calibration import Calibrated
from pipeline.reporting import plots
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
    bounded,
    listed,
    notes,
    remarks,
    with_interval,
)
from pipeline.scores.coverage import ALL, MONTH, Covered

Kept = Literal["as promised", "too narrow", "too wide", "undecided"]
"""Of intervals under a split: whether the promise lies within the interval of their coverage."""

CORRECTED = (
    "Where a map is corrected to SMAP, its intervals are laid around the corrected value and keep the width "
    "of the model's own error. The mean of a cell that SMAP saw is then SMAP's by construction; the width "
    "tells how far the model alone goes astray with such predictors, and nothing proves it for a square "
    "kilometre."
)
KEPT: Kept = "as promised"
AS_FAR = ", as far as the rows tell,"
WITHIN = Column.measured("within", "Within (%)", ".1f")
WIDTH = Column("width", "Mean width (m³/m³)", ".3f")
SCORE = Column("score", "Interval score (m³/m³)", ".3f")
VERDICT = Column("verdict", "The intervals are")
ROWS = Column("n", "Rows", ",d")


def section(found: Calibrated | None, again: str, maps: Covered | None = None, scored: str = "") -> Section:
    """What intervals promise, and what they keep.

    Args:
        found: what ``pipeline.learning.calibration.read`` gives.
        again: the command that trains a model with intervals.
        maps: what the intervals of a map contain of a truth or of stations, where that was counted.
        scored: the command that counts it.
    """
    absent = Absent("The model was trained without intervals.", again)
    return Section.of("intervals", "Intervals", found, lambda one: _blocks(one, maps, scored), absent)


def _blocks(found: Calibrated, maps: Covered | None, scored: str) -> Iterator[Block]:
    known = found.coverage[found.coverage["n"] > 0]
    yield Words(STATEMENT, "What an interval is about.")
    yield Words(CORRECTED)
    if found.intervals.held_out:
        yield Words(found.intervals.held_out)
    yield from remarks(sentences(found), "What they contain.")
    if not known.empty:
        png, svg = plots.drawn(chart(found.coverage, simulated=found.simulated))
        yield Figure(
            "intervals",
            png,
            f"Chart of the share of held-out rows within intervals. {in_short(found)}",
            "Marks left of the dashed line are intervals that promise too much; right of it they are wider "
            "than need be. A line in (b) that falls at one end promises too much there.",
            svg,
        )
        pooled = known[(known["partition"] == OVERALL) & (known["fifth"] == 0)]
        yield Table(
            "intervals-coverage",
            f"Held-out rows within intervals of {PROMISE}, calibrated by the same rule without them",
            (Column("split", "Split"), Column("model", "Model"), ROWS, WITHIN, WIDTH, SCORE, VERDICT),
            tuple(_rows(pooled)),
        )
        yield Words(
            "Width alone is had by promising nothing and coverage alone by being wide; the interval score "
            "weighs both, and less is better."
        )
    yield from _maps(maps, scored)
    yield from notes(found.intervals.notes)
    if not known.empty:
        yield Folded("By partition and by what is predicted", tuple(_details(known)))
    if stacks := tuple(_stacks(found.intervals)):
        yield Folded("How they were calibrated", (_calibrated(stacks),))


def sentences(found: Calibrated) -> Iterator[str]:
    """What the intervals contain, in sentences that follow from the numbers alone."""
    told = _pooled(found)
    if not told:
        yield "No split could be scored, so nothing is known of what the intervals contain."
        return
    each = [f"{split} {_share(row)}" for split, row in told.items()]
    yield f"Intervals of {PROMISE} contain of the rows that a split held out: {listed(each)}."
    yield in_short(found)
    if (own := told.get(found.split)) is not None:
        yield (
            f"Those of the maps are calibrated as under {found.split}, where they are {_kept(own)}; their "
            f"mean width there is {own['width']:.3f} m³/m³."
        )
    for split, row in told.items():
        fifths = found.coverage[
            (found.coverage["split"] == split) & (found.coverage["fifth"] > 0) & (found.coverage["n"] > 0)
            & (found.coverage["model"] == row["model"])
        ]  # fmt: skip
        if split == found.split and len(fifths):
            least = fifths.loc[fifths["coverage"].idxmin()]
            yield (
                f"Under {split} the fifth of the rows with predictions around {least['predicted']:.2f} m³/m³ "
                f"has the fewest within, {_share(least)}."
            )


def in_short(found: Calibrated) -> str:
    """One sentence for a report's summary."""
    told = {split: _kept(row) for split, row in _pooled(found).items()}
    if not told:
        return "No split could be scored."
    parts = []
    for verdict in (KEPT, "too narrow", "too wide", "undecided"):
        if splits := [split for split, one in told.items() if one == verdict]:
            parts.append(f"{verdict}{AS_FAR if verdict == KEPT else ''} under {listed(splits)}")
    return f"Intervals are {'; '.join(parts)}."


def _pooled(found: Calibrated) -> dict[str, Mapping[str, Any]]:
    """The row of the stack under each split that has one, or of WP where it stands alone."""
    known = found.coverage
    rows = known[(known["partition"] == OVERALL) & (known["fifth"] == 0) & (known["n"] > 0)]
    told: dict[str, Mapping[str, Any]] = {}
    for _, row in rows.iterrows():
        if row["model"] == STACK or row["split"] not in told:
            told[str(row["split"])] = _named(row)
    return told


def _named(row: pd.Series[Any]) -> dict[str, Any]:
    return {str(key): value for key, value in row.items()}


def _kept(row: Mapping[str, Any]) -> Kept:
    lower, upper = float(row["coverage_lower"]), float(row["coverage_upper"])
    if math.isnan(lower):
        return "undecided"
    if upper < COVERAGE:
        return "too narrow"
    return "too wide" if lower > COVERAGE else KEPT


def _share(row: Mapping[str, Any]) -> str:
    value, lower, upper = (100 * float(row[f"coverage{end}"]) for end in ("", "_lower", "_upper"))
    return f"{with_interval(value, lower, upper, '.1f')} %"


def _rows(known: pd.DataFrame) -> Iterator[Row]:
    for _, one in known.iterrows():
        row = _named(one)
        value, lower, upper = (100 * float(row[f"coverage{end}"]) for end in ("", "_lower", "_upper"))
        yield {
            **row, **bounded("within", value, lower, upper),
            "verdict": _kept(row), "n": int(row["n"]),
        }  # fmt: skip


def _details(known: pd.DataFrame) -> Iterator[Block]:
    split, model = Column("split", "Split"), Column("model", "Model")
    parts = known[(known["partition"] != OVERALL) & (known["fifth"] == 0)]
    if len(parts):
        yield Table(
            "intervals-partitions",
            "Held-out rows within intervals, by partition",
            (split, Column("partition", "Partition"), model, ROWS, WITHIN, WIDTH, SCORE, VERDICT),
            tuple(_rows(parts)),
        )
    yield Table(
        "intervals-predicted",
        "Held-out rows within intervals, by fifths of what is predicted",
        (
            split, model, Column("fifth", "Fifth", "d"), Column("predicted", "Mean predicted (m³/m³)", ".3f"),
            ROWS, WITHIN, WIDTH, SCORE, VERDICT,
        ),
        tuple(_rows(known[known["fifth"] > 0])),
    )  # fmt: skip


def _stacks(found: Intervals) -> Iterator[Row]:
    whole = {} if found.whole is None else {WP: found.whole}
    for name, one in {**found.parts, **whole}.items():
        yield {
            "stack": name, "rows": one.quantile.rows, "blocks": one.quantile.blocks,
            "effective": one.quantile.effective, "typical": one.typical, "factor": one.quantile.value,
            "widths": "by predictors" if one.scale is not None else "the same everywhere",
        }  # fmt: skip


def _calibrated(rows: tuple[Row, ...]) -> Table:
    return Table(
        "intervals-calibration",
        "Stacks: held-out rows and blocks, as many independent rows as these are worth, the error that 90 % "
        "of the rows stay below, and what the error by predictors is multiplied by; those of a partition are "
        "averaged with WP's",
        (
            Column("stack", "Stack"), Column("rows", "Rows", ",d"), Column("blocks", "Blocks", ",d"),
            Column("effective", "Worth", ",.0f"), Column("typical", "Error (m³/m³)", ".4f"),
            Column("factor", "Factor", ".2f"), Column("widths", "Widths"),
        ),
        rows,
    )  # fmt: skip


def _maps(maps: Covered | None, scored: str) -> Iterator[Block]:
    if maps is None:
        if scored:
            yield Absent("What the intervals of a map contain at 1 km has not been counted.", scored)
        return
    pooled = _named(maps.table[maps.table["by"] == ALL].iloc[0])
    yield Words(
        f"Of {maps.reference}, {_share(pooled)} of the days and places lie within the map's intervals, which "
        f"are {pooled['width']:.3f} m³/m³ wide on average. That is no test of what they promise of a cell's "
        "mean: it tells how far the promise carries to what they are not about. The interval of this share "
        f"draws {maps.drawn}.",
        "On the map.",
        notable=True,
    )
    only_month = (maps.table["by"] == MONTH).sum() == 1
    table = maps.table[(maps.table["n"] > 0) & ~((maps.table["by"] == MONTH) & only_month)]
    yield Table(
        "intervals-map",
        f"The map's intervals and {maps.reference}, by partition and month",
        (Column("name", "Of"), ROWS, WITHIN, WIDTH, SCORE),
        tuple({**row, "name": row["name"] or "all"} for row in _rows(table)),
    )
