"""Scores by set of predictors, drawn: under each split, the error and how it changes beside one of them.

Error and change stand side by side because the paired change is known far better than either error: all sets
of predictors are scored on the same rows, so what a period or a place has in common cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.figures.explanation import SIGNED
from pipeline.figures.style import GREY, UNIT, headline, styled

COLOURS = ("#000000", "#0072B2", "#E69F00", "#D55E00")  # Okabe and Ito
MARKS = ("o", "s", "^", "D")
STEP = 0.19  # between the sets of a split, whose rows are 1 apart
ASIDE = 0.075  # the best member, below the stack


@styled
def scores(
    table: pd.DataFrame, titles: Mapping[str, str], best: Mapping[str, str], *, simulated: bool
) -> Figure:
    """RMSE of the stack and of the best member on held-out rows, and its change beside all predictors.

    Args:
        table: ``split, predictors, model, n, rmse`` and ``rmse_change`` with their ``_lower`` and ``_upper``.
        titles: of the sets of predictors, all of them first.
        best: split -> its best member.
        simulated: mark the figure as simulated.

    Returns:
        Two panels with a row for each split.
    """
    return _drawn(
        table, titles, best, simulated,
        "The stack on held-out rows without some of its predictors",
        "(b) beside all predictors on the same rows: right of 0 is worse without; lines: 95 % intervals",
    )  # fmt: skip


@styled
def sets(
    table: pd.DataFrame, titles: Mapping[str, str], best: Mapping[str, str], *, simulated: bool
) -> Figure:
    """RMSE by set of predictors where whole dates or places are held out, and its change beside the paper's.

    Args:
        table: as of :func:`scores`.
        titles: of the sets, the paper's first.
        best: split -> its best member.
        simulated: mark the figure as simulated.

    Returns:
        Two panels with a row for each split.
    """
    return _drawn(
        table, titles, best, simulated,
        "The stack on held-out rows, by set of predictors",
        "(b) beside the paper's fifteen on the same rows: left of 0 is better; lines: 95 % intervals",
    )  # fmt: skip


def _drawn(
    table: pd.DataFrame,
    titles: Mapping[str, str],
    best: Mapping[str, str],
    simulated: bool,
    title: str,
    note: str,
) -> Figure:
    names = list(dict.fromkeys(table["split"]))
    figure = Figure(figsize=(7.4, 1.5 + 1.05 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    right.axvline(0, color=GREY, lw=0.8)
    for place, split in enumerate(names):
        for number, name in enumerate(titles):
            for model in ("stack", best[split]):
                here = table[
                    (table["split"] == split) & (table["predictors"] == name) & (table["model"] == model)
                ]
                if here.empty:
                    continue
                member = model != "stack"
                at = place + (number - (len(titles) - 1) / 2) * STEP + ASIDE * member
                row = here.iloc[0]
                _dot(left, at, row, "rmse", number, hollow=member)
                if number:
                    _dot(right, at, row, "rmse_change", number, hollow=member)
    labels = []
    for split in names:
        rows = int(table.loc[table["split"] == split, "n"].iloc[0])
        labels.append(f"{split}\n{rows:,} rows")
    left.set_yticks(range(len(names)), labels)
    left.set_ylim(len(names) - 0.45, -0.55)
    for letter, axes, label in (
        ("a", left, f"RMSE ({UNIT})"), ("b", right, f"Change of RMSE ({UNIT})"),
    ):  # fmt: skip
        axes.set_title(f"({letter})", loc="left")
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3))
        axes.tick_params("y", length=0)
        axes.grid(visible=True, axis="x")
    right.xaxis.set_major_formatter(SIGNED)
    handles = [
        Line2D([], [], color=colour, marker=mark, lw=0, label=title)
        for colour, mark, title in zip(COLOURS, MARKS, titles.values(), strict=False)
    ]
    handles.append(Line2D([], [], color=GREY, marker="o", mfc="white", lw=0, label="Hollow: best member"))
    columns = 3 if max(map(len, titles.values())) < 36 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    headline(figure, title, simulated, note)
    return figure


def _dot(axes: Axes, at: float, row: Any, name: str, number: int, *, hollow: bool) -> None:
    color, marker = COLOURS[number], MARKS[number]
    axes.plot([row[f"{name}_lower"], row[f"{name}_upper"]], [at, at], color=color, lw=0.8 if hollow else 1.6)
    face = "white" if hollow else color
    axes.plot(row[name], at, marker=marker, color=color, mfc=face, ms=4 if hollow else 6, zorder=3)
