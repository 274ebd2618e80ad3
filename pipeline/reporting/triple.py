"""The part of a report on triple collocation: each product's own error, or why it cannot be had.

An error bar that three dependent products give each other is worse than none, so the reason for a refusal
stands where the numbers would; and one product's error is called smaller only where the interval says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Folded,
    Row,
    Section,
    Table,
    Value,
    Words,
    bounded,
    figures,
    listed,
    notes,
    remarks,
    with_interval,
)
from pipeline.scores.families import named
from pipeline.scores.medians import Median
from pipeline.scores.triple import MEASURES, TripleCollocation

PICTURES = {
    "triple": (
        "Error, signal to noise and correlation with the truth of three products at each station.",
        "Each dot is a station with its interval, boxes hold half of the stations: low errors and a high "
        "R are good. A line of signal to noise that ends at the top has no upper end.",
    ),
}
COLUMNS = (
    Column.measured("error", "Error (m³/m³)", ".3f"),
    Column.measured("snr_db", "Signal to noise (dB)", ".1f"),
    Column.measured("r", "R with the truth", ".3f"),
    Column.measured("beta", "Scaled by", ".2f"),
)


def section(found: TripleCollocation | None, again: str) -> Section:
    """The errors by triple collocation.

    Args:
        found: what ``pipeline.scores.triple.read`` gives.
        again: the command that makes it.
    """
    absent = Absent("No three products have been held against each other.", again)
    return Section.of("triple", "Errors by triple collocation", found, _blocks, absent)


def _blocks(found: TripleCollocation) -> Iterator[Block]:
    if found.refused:
        yield Words(f"{found.refused[0].upper()}{found.refused[1:]}.", "Not computed.", notable=True)
        return
    names = listed([named(name) for name in found.products])
    counts = found.summary["counts"]
    yield Words(
        f"{names} at {counts['stations']} stations. Where the errors of three products have nothing to do "
        "with each other nor with the truth, each one's own follows from how they vary together, and none "
        "has to be taken for the truth. It is the random error alone, without bias; what a probe measures of "
        "its few centimetres but not of the square kilometre counts as the probe's."
    )
    yield from remarks(sentences(found), "What it shows.")
    if found.across:
        yield _medians(found)
    yield from figures(found.pictures, PICTURES)
    yield from notes(found.notes)
    yield Folded("Station by station", (_stations(found),))


def sentences(found: TripleCollocation) -> Iterator[str]:
    """What the errors show, in sentences that follow from the numbers alone.

    Args:
        found: not refused.
    """
    if not found.across:
        yield "No station has errors of all three products, so nothing can be said over stations."
        return
    medians = [f"{named(name)} {_interval(told['error'], '.3f')}" for name, told in found.across.items()]
    n = next(iter(found.across.values()))["error"].stations
    yield f"Median error over {n} station{'s' if n > 1 else ''}: {listed(medians)} m³/m³."
    for (first, second), gap in found.differences.items():
        told = f"{_interval(gap, '+.3f')} m³/m³, station by station"
        if math.isnan(gap.lower):
            yield f"Whether {named(first)} and {named(second)} differ in error is undecided: {gap.reason}."
        elif gap.apart:
            way = "smaller" if gap.value < 0 else "larger"
            yield f"The error of {named(first)} is {way} than that of {named(second)}: {told}."
        else:
            yield f"The errors of {named(first)} and {named(second)} cannot be told apart: {told}."


def in_short(found: TripleCollocation) -> str:
    """One sentence on the errors."""
    return f"Not computed: {found.refused}." if found.refused else next(sentences(found))


def _medians(found: TripleCollocation) -> Table:
    rows: list[Row] = []
    for name, told in found.across.items():
        row: dict[str, Value] = {"product": named(name), "stations": told["error"].n}
        for measure in MEASURES:
            one = told[measure]
            row |= bounded(measure, one.value, one.lower, one.upper)
        rows.append(row)
    percent = 100 * found.summary["settings"]["confidence"]
    return Table(
        "triple-medians",
        f"Medians over stations with {percent:g} % intervals; errors scaled to {named(found.products[0])}",
        (Column("product", "Product"), Column("stations", "Stations", ",d"), *COLUMNS),
        tuple(rows),
    )


def _stations(found: TripleCollocation) -> Table:
    rows = [
        {**one.row(), "product": named(one.product), "reason": one.reason or None} for one in found.errors
    ]
    left = (
        [Column("reason", "Missing because", prose=True)] if any(one.reason for one in found.errors) else []
    )
    return Table(
        "triple",
        "Errors of each product at each station",
        (
            Column("station", "Station"),
            Column("product", "Product"),
            Column("days", "Days", ",d"),
            *COLUMNS,
            Column("own_error", "Error, unscaled (m³/m³)", ".3f"),
            *left,
        ),
        tuple(rows),
    )


def _interval(told: Median, form: str) -> str:
    return with_interval(told.value, told.lower, told.upper, form)
