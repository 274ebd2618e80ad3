"""Validation figures: station map, box plots, scatter and time series (Xu et al. 2024, figures 5, 7 and 8).

They take the tables of ``pipeline.scores.validate`` and compute nothing but their layout, so that no
number in a figure can differ from the one in ``stations.csv``. Colours are those of Okabe and Ito and
viridis, told apart by readers with any colour vision; every figure says how many stations or pairs it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LogNorm
from matplotlib.figure import Figure

from models.metrics import Estimate, Scores
from pipeline.figures.style import GREY, UNIT, headline, styled

PRODUCTS = {"prediction": ("Prediction", "#0072B2"), "smap": ("SMAP", "#D55E00")}
DENSE = 3000  # pairs in a panel beyond which single points hide each other and bins are drawn

# Class limits hold the 0.4 and 0.6 of R, and the 0.04 and 0.06 m³/m³ of ubRMSE, of Xu et al. 2024, 4.2;
# yellow is good in both panels.
MAPPED: tuple[tuple[str, str, tuple[float, ...], str, Literal["min", "max"]], ...] = (
    ("prediction_r", "R", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "viridis", "min"),
    ("prediction_ubrmse", f"ubRMSE ({UNIT})", (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08), "viridis_r", "max"),
)
BOXES = (
    ("r", "R", None),
    ("bias", f"Bias ({UNIT})", 0.0),
    ("rmse", f"RMSE ({UNIT})", None),
    ("ubrmse", f"ubRMSE ({UNIT})", 0.04),
)


@styled
def station_map(stations: pd.DataFrame, *, simulated: bool = False) -> Figure:
    """Stations on longitude and latitude, coloured by R and by ubRMSE of the prediction.

    Args:
        stations: ``station, lon, lat, reason, prediction_r, prediction_ubrmse``; a station with a
            ``reason`` is drawn as a cross, one without coordinates is left out.
        simulated: mark the figure as simulated.

    Returns:
        Two panels, side by side for a tall region, one above the other for a wide one.
    """
    placed = stations[stations[["lon", "lat"]].notna().all(axis=1)]
    scored, crossed = placed[placed["reason"] == ""], placed[placed["reason"] != ""]
    (west, east), (south, north) = _padded(placed["lon"]), _padded(placed["lat"])
    stretch = 1 / max(0.2, math.cos(math.radians((south + north) / 2)))
    shape = (north - south) * stretch / (east - west)
    wide = shape < 0.75
    width = 7.0 if wide else float(np.clip(5.5 / shape, 2.2, 5.0))
    panels = (2, 1) if wide else (1, 2)
    size = (panels[1] * (width + 1.6), panels[0] * (width * shape + 0.9) + 0.4)
    figure = Figure(figsize=size, layout="compressed")
    for letter, axes, (column, label, classes, palette, open_end) in zip(
        "ab", figure.subplots(*panels, squeeze=False).flat, MAPPED, strict=True
    ):
        known = scored.dropna(subset=column).sort_values(column, ascending=open_end == "max")
        colours = mpl.colormaps[palette].resampled(len(classes))
        drawn = axes.scatter(
            known["lon"],
            known["lat"],
            c=known[column],
            cmap=colours,
            norm=BoundaryNorm(classes, colours.N, extend=open_end),
            s=float(np.clip(3000 / len(placed), 18, 48)),
            edgecolor="black",
            lw=0.5,
        )
        if len(crossed):
            axes.scatter(crossed["lon"], crossed["lat"], marker="x", color=GREY, s=26, lw=1.1)
        axes.set(xlim=(west, east), ylim=(south, north), xlabel="Longitude (°)", ylabel="Latitude (°)")
        axes.set_aspect(stretch)
        axes.grid(visible=True)
        axes.set_title(f"({letter}) {label.split(' ')[0]}, n = {len(known)} stations", loc="left")
        figure.colorbar(drawn, ax=axes, label=label, pad=0.02, ticks=classes)
    note = "Yellow is better; poorer stations lie on top"
    note += f"; × not scored, n = {len(crossed)}" if len(crossed) else ""
    headline(figure, "Prediction against in-situ soil moisture", simulated, note)
    return figure


@styled
def box_plots(stations: pd.DataFrame, *, simulated: bool = False) -> Figure:
    """Spread over stations of R, bias, RMSE and ubRMSE, the prediction beside SMAP.

    Args:
        stations: scored stations with ``n`` and ``<product>_<metric>`` columns.
        simulated: mark the figure as simulated.

    Returns:
        Four panels; boxes are quartiles with the median, whiskers reach 1.5 interquartile ranges, points
        are stations. A station counts where the metric is defined for every product.
    """
    products = [name for name in PRODUCTS if f"{name}_r" in stations]
    figure = Figure(figsize=(9.2, 4.4), layout="constrained")
    shift = np.random.default_rng(0).uniform(-0.17, 0.17, len(stations))
    for letter, axes, (metric, label, line) in zip("abcd", figure.subplots(1, 4), BOXES, strict=True):
        shared = stations[[f"{name}_{metric}" for name in products]].notna().all(axis=1).to_numpy()
        if line is not None:
            axes.axhline(line, color=GREY, lw=1.2, ls="--", zorder=1)
        for place, product in enumerate(products if shared.any() else ()):
            colour = PRODUCTS[product][1]
            values = stations[f"{product}_{metric}"].to_numpy(dtype=np.float64)[shared]
            axes.boxplot(
                values,
                positions=[place],
                widths=0.56,
                showfliers=False,
                patch_artist=True,
                zorder=2,
                boxprops={"facecolor": (colour, 0.3), "edgecolor": "none"},
                medianprops={"color": colour, "lw": 2.5},
                whiskerprops={"color": colour},
                capprops={"color": colour},
            )
            axes.scatter(place + shift[shared], values, s=9, color=colour, alpha=0.5, lw=0, zorder=3)
            axes.annotate(
                f"{np.median(values):{'+' if metric == 'bias' else ''}.3f}".replace("-", "−"),
                (place, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                color=colour,
                fontweight="bold",
            )
        axes.set_xticks(range(len(products)), [PRODUCTS[name][0] for name in products])
        axes.set_xlim(-0.6, len(products) - 0.4)
        axes.set_xlabel(f"n = {shared.sum()} stations")
        axes.set_ylabel(label)
        axes.grid(visible=True, axis="y")
        axes.set_title(f"({letter})", loc="left", pad=18)
    pairs = f"{int(stations['n'].sum()):,} pairs of {len(stations)} stations"
    headline(
        figure,
        f"Scores of each station against in-situ soil moisture, {pairs}",
        simulated,
        "Numbers are medians; dashed lines: no bias, SMAP requirement ubRMSE < 0.04 m³/m³",
    )
    return figure


@styled
def scatter(pairs: pd.DataFrame, scores: Mapping[str, Scores], *, simulated: bool = False) -> Figure:
    """In-situ against predicted and against SMAP soil moisture, all pairs.

    Args:
        pairs: ``station, insitu, prediction`` and, where known, ``smap``, m³/m³.
        scores: pooled scores of each product drawn.
        simulated: mark the figure as simulated.

    Returns:
        One panel a product on common axes: points, or counts in hexagons where there are many.
    """
    figure = Figure(figsize=(4.4 * len(scores) + 0.7, 6.2), layout="compressed")
    shown = pairs[["insitu", *scores]].to_numpy(dtype=np.float64)
    low, high = min(0.0, float(np.nanmin(shown))), float(np.nanmax(shown)) * 1.04
    panels = figure.subplots(1, len(scores), squeeze=False)[0]
    bins = []
    for axes, (product, found) in zip(panels, scores.items(), strict=True):
        name, colour = PRODUCTS[product]
        x, y = pairs["insitu"].to_numpy(), pairs[product].to_numpy()
        if len(pairs) > DENSE:
            extent = (low, high, low, high)
            bins.append(axes.hexbin(x, y, gridsize=45, extent=extent, cmap="viridis_r", mincnt=1, lw=0.1))
        else:
            axes.scatter(x, y, s=10, color=colour, alpha=0.35, lw=0)
        axes.plot([low, high], [low, high], color="black", lw=1.0, ls="--")
        axes.annotate("1:1", (high, high), ha="right", va="top", xytext=(-16, -1), textcoords="offset points")
        axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"In situ ({UNIT})", ylabel=f"{name} ({UNIT})")
        axes.set_aspect("equal")
        told = (
            f"{name}, n = {found.n:,}\nR {_told(found.r)}   RMSE {_told(found.rmse)}\n"
            f"bias {_told(found.bias, '+')}   ubRMSE {_told(found.ubrmse)}"
        )
        axes.set_title(told.replace("-", "−"), loc="left", fontsize=8.5)
    if bins:
        top = max(2.0, *(float(np.max(drawn.get_array())) for drawn in bins))
        for drawn in bins:
            drawn.set_norm(LogNorm(1, top))
        figure.colorbar(bins[0], ax=panels, label="Pairs", shrink=0.8, pad=0.02, format="%g")
    title = f"{len(pairs):,} pairs of {pairs['station'].nunique()} stations, pooled"
    headline(figure, title, simulated, f"Intervals over whole stations; errors in {UNIT}")
    return figure


@styled
def time_series(
    pairs: pd.DataFrame, stations: pd.DataFrame, chosen: Mapping[str, str], *, simulated: bool = False
) -> Figure:
    """Soil moisture of a few stations against time: in situ, SMAP and prediction.

    Args:
        pairs: ``station, date, insitu, prediction`` and, where known, ``smap``, sorted by date.
        stations: scores of the stations, as in ``stations.csv``.
        chosen: station -> why it was chosen, drawn from top to bottom.
        simulated: mark the figure as simulated.

    Returns:
        One panel a station on common axes. A line breaks at a gap of over three times the usual step.
    """
    products = [name for name in PRODUCTS if f"{name}_r" in stations]
    figure = Figure(figsize=(9.0, 2.1 * len(chosen) + 1.0), layout="constrained")
    panels = figure.subplots(len(chosen), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    scores = stations.set_index("station")
    for axes, (station, why) in zip(panels, chosen.items(), strict=True):
        own = pairs[pairs["station"] == station].set_index("date")
        for product in reversed(products):
            name, colour = PRODUCTS[product]
            _line(axes, own[product], color=colour, lw=1.4, label=name, ls="--" if product == "smap" else "-")
        _line(axes, own["insitu"], color="black", lw=0.8, marker="o", ms=2.5, label="In situ")
        row = scores.loc[station]
        told = "     ".join(
            f"{PRODUCTS[name][0]}: R {row[f'{name}_r']:.2f}, bias {row[f'{name}_bias']:+.3f}, "
            f"ubRMSE {row[f'{name}_ubrmse']:.3f}"
            for name in products
        )
        told = told.replace("nan", "undefined").replace("-", "−")
        axes.set_title(f"{station} ({why}), n = {len(own)} days\n{told}", loc="left", fontsize=9.0)
        axes.set_ylabel(f"SM ({UNIT})")
        axes.grid(visible=True)
    locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    title = f"Surface soil moisture at {len(chosen)} of {len(stations)} stations"
    headline(figure, title, simulated, f"Days with every series; errors in {UNIT}")
    return figure


def _line(axes: Axes, series: pd.Series[float], **look: Any) -> None:
    """Draw a series, broken where it lacks days."""
    days, values = series.index.to_numpy(), series.to_numpy(dtype=np.float64)
    steps = np.diff(days)
    gaps = np.flatnonzero(steps > 3 * np.median(steps)) + 1 if len(steps) else np.array([], dtype=np.intp)
    axes.plot(np.insert(days, gaps, days[gaps]), np.insert(values, gaps, np.nan), **look)


def _told(estimate: Estimate, sign: str = "") -> str:
    if math.isnan(estimate.value):
        return "undefined"
    text = f"{estimate.value:{sign}.3f}"
    if math.isnan(estimate.lower):
        return text
    return f"{text} [{estimate.lower:{sign}.3f}, {estimate.upper:{sign}.3f}]"


def _padded(values: pd.Series[float]) -> tuple[float, float]:
    """Limits with a margin, at least 0.1° apart."""
    low, high = float(values.min()), float(values.max())
    margin = max(0.05, 0.06 * (high - low))
    return low - margin, high + margin
