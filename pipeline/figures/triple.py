"""Errors by triple collocation, drawn: each station a dot with its interval, each product a box.

Nothing is computed here but the layout; colours are those of the other figures of stations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures.rain import product_colours
from pipeline.figures.style import UNIT, headline, styled

PANELS = (
    ("error", f"Standard deviation of the error ({UNIT})"),
    ("snr_db", "Signal to noise (dB)"),
    ("r", "R with the truth"),
)
BOXED = 5  # stations from which quartiles are drawn


@styled
def errors(
    rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], *, simulated: bool = False
) -> Figure:
    """Error, signal to noise and correlation with the truth, over stations.

    Args:
        rows: ``station, product`` and each measure with ``_lower`` and ``_upper``, NaN where undefined.
        titles: of the three products, in order; the first is the one that errors are scaled to.
        simulated: mark the figure as simulated.

    Returns:
        Three panels; a station counts where all three products have an error.
    """
    table = pd.DataFrame(rows)
    known = table[table.groupby("station")["error"].transform(lambda values: values.notna().all())]
    colours = product_colours(titles)
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    count = int(known["station"].nunique())
    shift = np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(count)
    for letter, axes, (measure, label) in zip("abc", figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for place, name in enumerate(titles):
            own = known[known["product"] == name].sort_values("station")
            values = own[measure].to_numpy(dtype=np.float64)
            ends = own[[f"{measure}_lower", f"{measure}_upper"]].to_numpy(dtype=np.float64)
            if count >= BOXED:
                axes.boxplot(
                    values, positions=[place], widths=0.74, showfliers=False, patch_artist=True, zorder=1,
                    boxprops={"facecolor": (colours[name], 0.2), "edgecolor": "none"},
                    medianprops={"color": colours[name], "lw": 2.5},
                    whiskerprops={"lw": 0}, capprops={"lw": 0},
                )  # fmt: skip
            finite = table[f"{measure}_upper"][np.isfinite(table[f"{measure}_upper"])]
            ends = np.where(np.isposinf(ends), finite.max(), ends)
            axes.vlines(place + shift, ends[:, 0], ends[:, 1], color=colours[name], lw=0.7, alpha=0.6)
            axes.scatter(place + shift, values, s=12, color=colours[name], lw=0, zorder=3)
            if count:
                digits = 1 if measure == "snr_db" else 3
                axes.annotate(
                    f"{np.median(values):.{digits}f}".replace("-", "−"), (place, 1.0),
                    xycoords=("data", "axes fraction"), ha="center", va="bottom", color=colours[name],
                    fontweight="bold",
                )  # fmt: skip
        axes.set_xticks(range(len(titles)), list(titles.values()))
        axes.set_xlim(-0.6, len(titles) - 0.4)
        axes.set_ylabel(label)
        axes.grid(visible=True, axis="y")
        axes.set_title(f"({letter})", loc="left", pad=18)
    first = next(iter(titles.values()))
    headline(
        figure,
        f"Errors by triple collocation at {count} station{'s' if count != 1 else ''}",
        simulated,
        f"Numbers are medians, lines the stations' intervals, errors scaled to the range of {first.lower()}",
    )
    return figure
