"""What intervals contain, drawn: by split, and by what is predicted.

A coverage of 90 % over all rows may be 99 % where it is dry and 70 % where it is wet, and only the wet end
asks for it; so coverage and width stand by fifths of what is predicted, beside the coverage of each split.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from models.intervals import COVERAGE, PROMISE
from models.partitioned import OVERALL, STACK, WP
from pipeline.figures.style import GREY, UNIT, headline, styled

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#000000")  # Okabe and Ito
MARKS = ("o", "s", "^", "D", "v")
ASIDE = 0.16  # WP below the stack of its split
LEAST = 0.7  # that an axis of shares shows, so that small departures look small


@styled
def chart(coverage: pd.DataFrame, *, simulated: bool) -> Figure:
    """Coverage by split, and coverage and width by fifths of what is predicted.

    Args:
        coverage: see ``pipeline.learning.train.Training``; splits without rows are left out.
        simulated: mark the figure as simulated.

    Returns:
        Three panels; the dashed line is what intervals promise.
    """
    known = coverage[coverage["n"] > 0]
    splits = list(dict.fromkeys(known["split"]))
    figure = Figure(figsize=(7.4, max(4.2, 1.6 + 0.72 * len(splits))), layout="constrained")
    panels: dict[str, Axes] = figure.subplot_mosaic([["a", "b"], ["a", "c"]], width_ratios=(1.15, 1))
    for number, split in enumerate(splits):
        rows = known[known["split"] == split]
        _by_partition(panels["a"], number, rows[rows["fifth"] == 0])
        fifths = rows[(rows["fifth"] > 0) & (rows["model"] == _model(rows))]
        look: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)], "ms": 4, "lw": 1.2,
        }  # fmt: skip
        panels["b"].plot(fifths["predicted"], fifths["coverage"], **look)
        panels["c"].plot(fifths["predicted"], fifths["width"], label=split, **look)
    a, b, c = (panels[name] for name in "abc")
    a.axvline(COVERAGE, color=GREY, ls="--", lw=1)
    b.axhline(COVERAGE, color=GREY, ls="--", lw=1)
    counts = {
        split: int(known.loc[(known["split"] == split) & (known["fifth"] == 0), "n"].max())
        for split in splits
    }
    a.set_yticks(range(len(splits)), [f"{split}\n{counts[split]:,} rows" for split in splits])
    a.set_ylim(len(splits) - 0.45, -0.55)
    a.tick_params("y", length=0)
    least = min(LEAST, float(known["coverage"].min()) - 0.02)
    a.set_xlim(least, 1.005)
    b.set_ylim(least, 1.005)
    for axis in (a.xaxis, b.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axis.set_major_locator(MultipleLocator(0.1))
    a.set_xlabel("Held-out rows within")
    b.set_ylabel("Within")
    c.set_ylabel(f"Mean width ({UNIT})")
    c.set_xlabel(f"Predicted ({UNIT}), fifths of the rows")
    c.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3))
    b.sharex(c)
    b.tick_params("x", labelbottom=False)
    c.set_ylim(bottom=0)
    for letter, axes in panels.items():
        axes.set_title(f"({letter})", loc="left")
        axes.grid(visible=True, axis="x" if letter == "a" else "both")
    handles = [
        Line2D([], [], color="black", marker="o", lw=1.6, label="All rows, stack"),
        Line2D([], [], color="black", marker="o", mfc="white", lw=1.6, label="All rows, WP"),
        Line2D([], [], color=GREY, marker="|", ms=8, lw=0, label="Partitions"),
        *c.get_legend_handles_labels()[0],
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    headline(
        figure,
        f"What intervals of {PROMISE} contain of rows held out",
        simulated,
        "Dashed: as promised; lines in (a): 95 % intervals; (b), (c): the stack, or WP where it stands alone",
    )
    return figure


def _model(rows: pd.DataFrame) -> str:
    """The stack, or WP where a split leaves it alone."""
    return STACK if (rows["model"] == STACK).any() else WP


def _by_partition(axes: Axes, at: float, rows: pd.DataFrame) -> None:
    for model, place, face in ((STACK, at - ASIDE, "black"), (WP, at + ASIDE, "white")):
        here = rows[rows["model"] == model]
        parts = here[here["partition"] != OVERALL]
        axes.plot(parts["coverage"], [place] * len(parts), color=GREY, marker="|", ms=9, lw=0)
        for row in here[here["partition"] == OVERALL].to_dict(orient="records"):
            axes.plot([row["coverage_lower"], row["coverage_upper"]], [place, place], color="black", lw=1.6)
            axes.plot(row["coverage"], place, color="black", marker="o", mfc=face, ms=6, zorder=3)
