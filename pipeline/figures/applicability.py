"""Where and when a map lies outside the area of applicability: a map, and a line for each partition."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.figures.gridded import WIDTH, Panel, aspect, bar, draw, frame_of, outlines
from pipeline.figures.style import headline, styled

LINES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")  # Okabe and Ito
MARKS = ("o", "s", "^", "D", "v", "P", "X")


@styled
def outside(
    shares: pd.DataFrame,
    often: NDArray[np.float64],
    codes: NDArray[np.integer[Any]],
    land: NDArray[np.bool_],
    *,
    simulated: bool,
) -> Figure:
    """The share of days on which each pixel lies outside, and the share of each partition by month.

    Args:
        shares: ``partition``, ``month`` (``all``: together) and ``outside``.
        often: (y, x) share of a pixel's days, NaN where there is none.
        codes: (y, x) partition of each pixel, 0 outside of all.
        land: (y, x) the pixels that are mapped.
        simulated: mark the figure as simulated.
    """
    window = frame_of(land)
    down = max(4.2 * aspect(window) + 0.9, 3.2)
    figure = Figure(figsize=(WIDTH, down + 0.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(4.4, 4.6))
    panel = Panel("", often, mpl.colormaps["YlOrBr"], "share of days")
    image = draw(left, land, window, panel, mpl.colors.Normalize(0, 1))
    outlines(left, land, codes, window)
    left.set_title("(a) Share of days outside", loc="left")
    if image is not None:
        bar(figure, image, left, "share of days")
    monthly = shares[shares["month"] != "all"]
    months = sorted(set(monthly["month"]))
    parts = [name for name in dict.fromkeys(monthly["partition"]) if name != "all"]
    for number, name in enumerate(parts):
        own = monthly[monthly["partition"] == name].set_index("month")["outside"].reindex(months)
        colour, mark = LINES[number % len(LINES)], MARKS[number % len(MARKS)]
        right.plot(
            range(len(months)),
            100 * own,
            color=colour,
            marker=mark,
            lw=1.3,
            ms=5.5,
            label=name,
            clip_on=False,
        )
    whole = monthly[monthly["partition"] == "all"].set_index("month")["outside"].reindex(months)
    right.plot(range(len(months)), 100 * whole, color="black", lw=2.2, marker=".", label="all", clip_on=False)
    right.set_xticks(range(len(months)), months, rotation=30 if len(months) > 4 else 0)
    right.set_xlim(-0.4, len(months) - 0.6)
    right.set_ylim(bottom=0)
    right.yaxis.set_major_locator(MaxNLocator(6))
    right.set_ylabel("% of pixel-days outside")
    right.set_title("(b) By partition and month", loc="left")
    right.grid(visible=True, axis="y")
    right.legend(loc="best", frameon=False, ncols=2)
    headline(
        figure, "Outside the area of applicability", simulated,
        "Predictors less like any training sample than training samples are like those of other folds",
    )  # fmt: skip
    return figure
