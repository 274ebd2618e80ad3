"""The scale-transfer test, drawn: each product's error, its paired change beside bilinear SMAP, its pattern.

Coarse SMAP stands above the models in every panel, because a model's error means little until it is seen
beside what needs no model at all.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.figures.explanation import SIGNED
from pipeline.figures.style import GREY, UNIT, headline, styled

BLACK, BLUE, ORANGE = "#000000", "#0072B2", "#D55E00"  # Okabe and Ito
ASIDE = 0.16  # of the two ways of training from the middle of a row
TRAINED = {"there": (BLUE, "o"), "elsewhere": (ORANGE, "s")}


@styled
def scores(table: pd.DataFrame, factor: int, *, simulated: bool) -> Figure:
    """RMSE, its change beside bilinear coarse SMAP, and R within coarse cells, product by product.

    Args:
        table: ``trained, product, title``, and ``rmse``, ``rmse_change`` and ``r_within`` with their
            ``_lower`` and ``_upper``.
        factor: fine cells along a coarse one.
        simulated: mark the figure as simulated.

    Returns:
        Three panels with a row for each product.
    """
    titles = dict(zip(table["product"], table["title"], strict=True))
    figure = Figure(figsize=(9.2, 1.7 + 0.34 * len(titles)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    names = ("rmse", "rmse_change", "r_within")
    for axes in panels[1:]:
        axes.axvline(0, color=GREY, lw=0.8)
    for place, product in enumerate(titles):
        for trained, (colour, mark) in TRAINED.items():
            here = table[(table["product"] == product) & (table["trained"] == trained)]
            modelled = not str(product).startswith("smap_")
            if here.empty or (not modelled and trained != "there"):
                continue
            aside = (ASIDE if trained == "elsewhere" else -ASIDE) * modelled
            for axes, name in zip(panels, names, strict=True):
                _dot(
                    axes,
                    place + aside,
                    here.iloc[0],
                    name,
                    colour if modelled else BLACK,
                    mark if modelled else "D",
                )
    panels[0].set_yticks(range(len(titles)), list(titles.values()))
    panels[0].set_ylim(len(titles) - 0.4, -0.6)
    labels = (f"RMSE ({UNIT})", f"Change of RMSE ({UNIT})", "R within coarse cells")
    for letter, axes, label in zip("abc", panels, labels, strict=True):
        axes.set_title(f"({letter})", loc="left")
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
        axes.tick_params("y", length=0)
        axes.grid(visible=True, axis="x")
    panels[1].xaxis.set_major_formatter(SIGNED)
    figure.legend(handles=list(_handles(table)), loc="outside lower center", ncols=3, frameon=False)
    headline(
        figure,
        f"SMAP's cells joined {factor} by {factor} and predicted back, held against SMAP",
        simulated,
        "(b) beside bilinear SMAP on the same rows: left of 0 is better; lines: 95 % intervals",
    )
    return figure


def _handles(table: pd.DataFrame) -> list[Line2D]:
    told = {
        "there": "Trained on the same places' coarse values",
        "elsewhere": "Trained on other places alone",
    }
    handles = [Line2D([], [], color=BLACK, marker="D", lw=0, label="Without a model")]
    return handles + [
        Line2D([], [], color=colour, marker=mark, lw=0, label=told[name])
        for name, (colour, mark) in TRAINED.items()
        if (table["trained"] == name).any()
    ]


def _dot(axes: Axes, at: float, row: Any, name: str, colour: str, mark: str) -> None:
    axes.plot([row[f"{name}_lower"], row[f"{name}_upper"]], [at, at], color=colour, lw=1.5)
    axes.plot(row[name], at, marker=mark, color=colour, ms=5, zorder=3)
