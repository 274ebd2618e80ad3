"""The part of a report on the area of applicability: how much lies outside, and is the map worse there.

That a pixel is unlike the training samples is a reason for doubt and not an error; so the share outside
stands beside the scores on both sides, and the sentence says so where the scores do not tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Figure,
    Points,
    Row,
    Section,
    Table,
    Words,
    percent,
    remarks,
    with_interval,
    without_only_month,
)
from pipeline.scores.applicability import ALL, INSIDE_ROWS, OUTSIDE_ROWS, Surveyed

MANY = 0.2  # share outside from which a reader is told to mask the map


def section(found: Surveyed | None, again: str) -> Section:
    """How much of the maps lies outside the area of applicability.

    Args:
        found: what ``pipeline.scores.applicability.read`` gives.
        again: the command that makes it.
    """
    absent = Absent("What lies outside the area of applicability has not been counted.", again)
    return Section.of("applicability", "Where the model does not apply", found, _blocks, absent)


def _blocks(found: Surveyed) -> Iterator[Block]:
    yield Words(
        "Trees answer any predictors, also those unlike all they were trained on. The dissimilarity index is "
        "the distance to the nearest training sample, in the space of standardised predictors stretched by "
        "their mean |SHAP value|, over the mean distance between training samples. A pixel is inside on a "
        "day where its index is at most the largest that a held-out sample has to the other folds, outliers "
        "left out (Meyer and Pebesma 2021): there the scores of those folds can be expected to hold."
    )
    yield from remarks(sentences(found), "What it shows.")
    yield Figure(
        "applicability",
        found.picture,
        "Map of the share of days on which each pixel is outside, and a chart of the share by month.",
        "(a) Share of the days of the map; (b) share of the pixel-days of each partition in each month.",
    )
    yield _shares(found)
    if len(found.scores):
        yield _scores(found)
    if found.summary["thresholds"]:
        told = [f"{name} {value:.3f}" for name, value in found.summary["thresholds"].items()]
        yield Words(f"Largest index inside, by stack: {', '.join(told)}.")
    yield Points(
        (
            *(("", note) for note in found.notes),
            (
                "",
                "In maps the index (band di) is exact outside. Inside it is at least the true one and at "
                "most the threshold, since the search for the nearest sample ends early there. Which side "
                "a pixel is on (band aoa) is exact.",
            ),
        )
    )


def sentences(found: Surveyed) -> Iterator[str]:
    """What the shares and scores show, in sentences that follow from the numbers alone."""
    whole = found.shares[found.shares["month"] == ALL]
    parts = whole[whole["partition"] != ALL].sort_values("outside")
    text = f"{percent(found.outside)} of the pixel-days lie outside the area of applicability"
    if len(parts) > 1:
        least, most = parts.iloc[0], parts.iloc[-1]
        text += (
            f", from {percent(float(least['outside']))} in {least['partition']} to "
            f"{percent(float(most['outside']))} in {most['partition']}"
        )
    yield f"{text}." + (" Mask them by aoa before the map is used." if found.outside >= MANY else "")
    for reference in dict.fromkeys(found.scores["reference"]) if len(found.scores) else ():
        own = found.scores[found.scores["reference"] == reference].set_index("side")
        yield _compared(reference, own.loc[INSIDE_ROWS], own.loc[OUTSIDE_ROWS])


def in_short(found: Surveyed) -> str:
    """One sentence for a report's summary."""
    return next(sentences(found))


def _compared(reference: str, inside: pd.Series[Any], outside: pd.Series[Any]) -> str:
    place = f"Against the {reference}" if reference != "stations" else "At the stations"
    if math.isnan(inside["rmse"]) or math.isnan(outside["rmse"]):
        side = INSIDE_ROWS if math.isnan(inside["rmse"]) else OUTSIDE_ROWS
        return f"{place} there are too few pairs {side} to score, so the two sides cannot be compared."
    inner, outer = (
        with_interval(side["rmse"], side["rmse_lower"], side["rmse_upper"], ".4f")
        for side in (inside, outside)
    )
    told = f"RMSE {inner} m³/m³ inside and {outer} outside"
    if outside["rmse_lower"] > inside["rmse_upper"]:
        return f"{place} the map is worse outside: {told}."
    if outside["rmse_upper"] < inside["rmse_lower"]:
        return f"{place} the map is better outside, so the area does not tell where errors are large: {told}."
    return f"{place} the two sides cannot be told apart by their intervals: {told}."


def _rows(table: pd.DataFrame) -> tuple[Row, ...]:
    return tuple(
        {str(key): None if value == "" else value for key, value in row.items()}
        for row in table.to_dict(orient="records")
    )


def _shares(found: Surveyed) -> Table:
    return Table(
        "applicability",
        "Pixel-days outside the area of applicability",
        (
            Column("partition", "Partition"),
            Column("month", "Month"),
            Column("pixels", "Pixels", ",d"),
            Column("pixel_days", "Pixel-days", ",d"),
            Column("outside", "Outside", "%", shaded=True),
        ),
        _rows(without_only_month(found.shares)),
    )


def _scores(found: Surveyed) -> Table:
    left = [Column("reason", "Missing because", prose=True)] if (found.scores["reason"] != "").any() else []
    return Table(
        "applicability-scores",
        "The map inside and outside the area of applicability, with 95 % intervals",
        (
            Column("reference", "Against"),
            Column("side", "Area"),
            Column("n", "Pairs", ",d"),
            Column("r", "R", ".3f", ("r_lower", "r_upper")),
            Column("rmse", "RMSE (m³/m³)", ".4f", ("rmse_lower", "rmse_upper")),
            Column("ubrmse", "ubRMSE (m³/m³)", ".4f", ("ubrmse_lower", "ubrmse_upper")),
            Column("bias", "Bias (m³/m³)", "+.4f", ("bias_lower", "bias_upper")),
            *left,
        ),
        _rows(found.scores),
    )
