"""Validation figures for any number of products (Xu et al. 2024, figures 5, 7 and 8).

They take the tables of ``pipeline.scores`` and compute nothing but their layout, so that no number in a
figure can differ from the one in a table. Products keep their colours in all figures, told apart by readers
with any colour vision; where products are many each has a row or a panel of its own, and every figure says
how many stations or pairs it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.dates as mdates
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.metrics import Estimate, Metric
from pipeline.figures.rain import product_colours
from pipeline.figures.style import GREY, UNIT, headline, styled
from pipeline.tables.titles import DOWNSCALED, SMAP

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DENSE = 3000  # pairs in a panel beyond which single points hide each other and bins are drawn
ABREAST = 4  # panels side by side
# Class limits hold the 0.4 and 0.6 of R, and the 0.04 and 0.06 m³/m³ of ubRMSE, of Xu et al. 2024, 4.2;
# yellow is good in both.
MAPPED: Mapping[str, tuple[str, tuple[float, ...], str, Literal["min", "max"]]] = {
    "r": ("R", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "viridis", "min"),
    "ubrmse": (f"ubRMSE ({UNIT})", (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08), "viridis_r", "max"),
}
BOXES = (
    ("r", "R", 0.6),
    ("r_anomaly", "R of anomalies", None),
    ("bias", f"Bias ({UNIT})", 0.0),
    ("rmse", f"RMSE ({UNIT})", None),
    ("ubrmse", f"ubRMSE ({UNIT})", 0.04),
)
COMPARED = (
    ("r", "R", 1),
    ("r_anomaly", "R of anomalies", 1),
    ("ubrmse", f"ubRMSE ({UNIT})", -1),
    ("abs_bias", f"|bias| ({UNIT})", -1),
)  # metric, label, sign of a gain
KINDS = {
    "partition": "Partition", "landcover": "Land cover", "season": "Season", "month": "Month",
    "wetness": "Wetness", "outage": "SMAP outage",
}  # fmt: skip
IN_STRATA = (("r", "R"), ("ubrmse", f"ubRMSE ({UNIT})"))


@dataclass(frozen=True)
class Look:
    """What all figures of a validation share.

    Attributes:
        titles: of the products.
        products: columns of those compared, in the order of a report.
        baseline: the product that the others are compared with.
        simulated: whether to mark the figures as simulated.
    """

    titles: Mapping[str, str]
    products: Sequence[str]
    baseline: str | None = None
    simulated: bool = False

    def colour(self, product: str) -> str:
        """Of a product, the same in all figures."""
        return product_colours({name: self.titles[name] for name in self.products})[product]


@styled
def station_map(stations: pd.DataFrame, look: Look) -> Figure:
    """Stations on longitude and latitude, coloured by R and by ubRMSE of the downscaled map.

    Args:
        stations: ``station, lon, lat, reason, sm_r, sm_ubrmse``; a station with a ``reason`` is drawn as a
            cross, one without coordinates is left out.
        look: of the figure.

    Returns:
        Two panels, side by side for a tall region, one above the other for a wide one.
    """
    columns = [(f"{DOWNSCALED}_{metric}", metric, MAPPED[metric][0].split(" ")[0]) for metric in MAPPED]
    figure, crossed = _maps(stations, columns, abreast=1, own_bars=True)
    note = "Yellow is better; poorer stations lie on top"
    note += f"; × not scored, n = {crossed}" if crossed else ""
    headline(figure, f"{look.titles[DOWNSCALED]} against in-situ soil moisture", look.simulated, note)
    return figure


@styled
def product_maps(stations: pd.DataFrame, look: Look) -> Figure:
    """R of every product at the stations, one map each on the same scale.

    Args:
        stations: ``station, lon, lat, reason`` and ``<product>_r``.
        look: of the figure.
    """
    columns = [(f"{name}_r", "r", look.titles[name]) for name in look.products]
    figure, crossed = _maps(stations, columns, abreast=2, own_bars=False)
    note = "Yellow is better; poorer stations lie on top"
    note += f"; × not scored, n = {crossed}" if crossed else ""
    headline(figure, "R of each product with in-situ soil moisture", look.simulated, note)
    return figure


@styled
def box_plots(stations: pd.DataFrame, look: Look) -> Figure:
    """Spread over stations of R, bias, RMSE and ubRMSE, a row for each product.

    Args:
        stations: scored stations with ``n`` and ``<product>_<metric>`` columns.
        look: of the figure.

    Returns:
        Boxes are quartiles with the median, whiskers reach 1.5 interquartile ranges, points are stations. A
        station counts where the metric is defined for every product.
    """
    shared = {
        metric: stations[[f"{name}_{metric}" for name in look.products]].notna().all(axis=1).to_numpy()
        for metric, _, _ in BOXES
    }
    boxes = [box for box in BOXES if shared[box[0]].any() or box[0] != "r_anomaly"]
    count = len(look.products)
    height = max(3.3, 0.42 * count + 2.0)
    figure = Figure(figsize=(2.35 * len(boxes) + 1.2, height), layout="constrained")
    shift = np.random.default_rng(0).uniform(-0.2, 0.2, len(stations))
    panels = figure.subplots(1, len(boxes), sharey=True)
    for letter, axes, (metric, label, line) in zip(LETTERS, panels, boxes, strict=False):
        here = shared[metric]
        if line is not None:
            axes.axvline(line, color=GREY, lw=1.2, ls="--", zorder=1)
        for place, product in enumerate(look.products if here.any() else ()):
            colour = look.colour(product)
            values = stations[f"{product}_{metric}"].to_numpy(dtype=np.float64)[here]
            axes.boxplot(
                values, positions=[place], widths=0.6, showfliers=False, patch_artist=True, zorder=2,
                orientation="horizontal", boxprops={"facecolor": (colour, 0.3), "edgecolor": "none"},
                medianprops={"color": colour, "lw": 2.5},
                whiskerprops={"color": colour}, capprops={"color": colour},
            )  # fmt: skip
            size = float(np.clip(400 / len(values), 1.5, 9))
            axes.scatter(
                values, place + shift[here], s=size, color=colour, alpha=0.5, lw=0, zorder=3, rasterized=True
            )
            _at_right(axes, place, _number(np.median(values), "+" if metric == "bias" else ""), colour)
        axes.set_yticks(range(count), [look.titles[name] for name in look.products])
        axes.set_ylim(count - 0.4, -0.6)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
        axes.set_xlabel(f"{label}\nn = {here.sum()} stations")
        axes.grid(visible=True, axis="x")
        axes.set_title(f"({letter})", loc="left")
    pairs = f"{int(stations['n'].sum()):,} pairs of {len(stations)} stations"
    headline(
        figure,
        f"Scores of each station against in-situ soil moisture, {pairs}",
        look.simulated,
        "Numbers at the right are medians; dashed: R 0.6, no bias, and SMAP's requirement ubRMSE < 0.04",
    )
    return figure


@styled
def difference_chart(differences: Mapping[str, Mapping[str, Mapping[str, Any]]], look: Look) -> Figure:
    """Medians over stations of each product minus the baseline, with intervals, and the stations' verdicts.

    Args:
        differences: product -> metric -> ``median, lower, upper, improved, worsened``.
        look: of the figure.

    Returns:
        A panel for each metric whose shaded side is that of a gain.
    """
    shown = [
        one for one in COMPARED if any(math.isfinite(each[one[0]]["median"]) for each in differences.values())
    ]
    names = list(differences)
    size = (2.6 * max(len(shown), 2) + 1.6, max(3.2, 0.45 * len(names) + 1.9))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, max(len(shown), 1), sharey=True, squeeze=False)[0]
    for letter, axes, (metric, label, sign) in zip(LETTERS, panels, shown, strict=False):
        for place, name in enumerate(names):
            found, colour = differences[name][metric], look.colour(name)
            axes.hlines(place, found["lower"], found["upper"], color=colour, lw=2.2)
            axes.plot([found["median"]], [place], "o", color=colour, ms=6)
            _at_right(axes, place, f"{found['improved']} ↑ {found['worsened']} ↓", colour)
        reach = max(1e-4, *(abs(end) for end in axes.get_xlim()))
        axes.set_xlim(-reach, reach)
        axes.axvspan(0, sign * reach, color="#009E73", alpha=0.09, lw=0)
        axes.axvline(0, color="black", lw=1.0)
        axes.set_yticks(range(len(names)), [look.titles[name] for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4, symmetric=True))
        axes.grid(visible=True, axis="x")
        axes.set_xlabel(label)
        axes.set_title(f"({letter})", loc="left")
    against = look.titles[str(look.baseline)]
    headline(
        figure,
        f"Each product minus {against}, median over stations with its interval",
        look.simulated,
        f"Shaded: better than {against}. At the right: stations improved ↑ and worsened ↓, beyond intervals",
    )
    return figure


@styled
def strata_chart(table: pd.DataFrame, look: Look) -> Figure:
    """Medians over stations of R and ubRMSE within each stratum, a dot for each product.

    Args:
        table: ``kind, stratum, product, stations`` and ``r, ubrmse`` with ``_lower`` and ``_upper``.
        look: of the figure.

    Returns:
        Two panels; strata without a scored station are left out.
    """
    known = table[table["stations"] > 0]
    strata = known[["kind", "stratum", "stations"]].drop_duplicates(["kind", "stratum"])
    rows, labels, places = 0, [], {}
    for kind, part in strata.groupby("kind", sort=False):
        labels.append((rows, KINDS.get(str(kind), str(kind))))
        for name, stations in zip(part["stratum"], part["stations"], strict=True):
            rows += 1
            places[kind, name] = rows
            labels.append((rows, f"{name} ({stations})"))
        rows += 1
    height = max(0.2, 0.04 * len(look.products) + 0.06)
    figure = Figure(figsize=(10.5, height * rows + 1.9), layout="constrained")
    shift = np.linspace(-0.3, 0.3, len(look.products)) if len(look.products) > 1 else [0.0]
    panels = figure.subplots(1, len(IN_STRATA), sharey=True)
    for letter, axes, (metric, label) in zip(LETTERS, panels, IN_STRATA, strict=False):
        for product, off in zip(look.products, shift, strict=True):
            own = known[known["product"] == product]
            at = [places[key] + off for key in zip(own["kind"], own["stratum"], strict=True)]
            colour = look.colour(product)
            axes.hlines(at, own[f"{metric}_lower"], own[f"{metric}_upper"], color=colour, lw=1.2, alpha=0.8)
            axes.plot(own[metric], at, "o", color=colour, ms=4, label=look.titles[product])
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_yticks([row for row, _ in labels], [text for _, text in labels])
        axes.set_xlabel(label)
        axes.grid(visible=True)
        axes.set_title(f"({letter})", loc="left")
    for tick in panels[0].get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() in KINDS.values() else "normal")
    columns = min(len(look.products), 7)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
    headline(
        figure,
        "Medians over stations within strata, with their intervals",
        look.simulated,
        "In brackets the stations with enough pairs there; without a line there are too few for an interval",
    )
    return figure


@styled
def scatter(
    pairs: pd.DataFrame, scores: Mapping[str, Mapping[Metric, Estimate]], n: int, look: Look
) -> Figure:
    """In-situ against each product's soil moisture, all pairs.

    Args:
        pairs: ``station, insitu`` and the products, m³/m³.
        scores: pooled scores of each product drawn.
        n: pairs.
        look: of the figure.

    Returns:
        One panel a product on common axes: points, or counts in hexagons where there are many.
    """
    across = min(len(scores), ABREAST)
    down = math.ceil(len(scores) / across)
    side = 4.2 if across < 3 else 3.1
    figure = Figure(figsize=(side * across + 0.9, (side + 0.75) * down + 0.8), layout="compressed")
    shown = pairs[["insitu", *scores]].to_numpy(dtype=np.float64)
    low, high = min(0.0, float(np.nanmin(shown))), float(np.nanmax(shown)) * 1.04
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    bins = []
    for number, (axes, (product, found)) in enumerate(zip(panels.flat, scores.items(), strict=False)):
        x, y = pairs["insitu"].to_numpy(), pairs[product].to_numpy()
        if len(pairs) > DENSE:
            extent = (low, high, low, high)
            bins.append(axes.hexbin(x, y, gridsize=45, extent=extent, cmap="viridis_r", mincnt=1, lw=0.1))
        else:
            axes.scatter(x, y, s=10, color=look.colour(product), alpha=0.35, lw=0, rasterized=True)
        axes.plot([low, high], [low, high], color="black", lw=1.0, ls="--")
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.set_aspect("equal")
        if number >= len(scores) - across:
            axes.set_xlabel(f"In situ ({UNIT})")
            axes.tick_params(labelbottom=True)
        if number % across == 0:
            axes.set_ylabel(f"Product ({UNIT})")
        told = (
            f"({LETTERS[number % 26]}) {look.titles[product]}\nR {_told(found['r'])}\n"
            f"bias {_told(found['bias'], '+')}\nubRMSE {_told(found['ubrmse'])}"
        )
        axes.set_title(told.replace("-", "−"), loc="left", fontsize=8.5)
    for axes in panels.flat[len(scores) :]:
        axes.set_visible(False)
    if bins:
        top = max(2.0, *(float(np.max(drawn.get_array())) for drawn in bins))
        for drawn in bins:
            drawn.set_norm(LogNorm(1, top))
        figure.colorbar(bins[0], ax=panels, label="Pairs", shrink=0.8, pad=0.02, format="%g")
    title = f"{n:,} pairs of {pairs['station'].nunique()} stations, pooled"
    headline(figure, title, look.simulated, f"Dashed: 1:1. Intervals over whole stations; errors in {UNIT}")
    return figure


@styled
def time_series(pairs: pd.DataFrame, stations: pd.DataFrame, chosen: Mapping[str, str], look: Look) -> Figure:
    """Soil moisture of a few stations against time: in situ, SMAP, downscaled, and the other products' range.

    Args:
        pairs: ``station, date, insitu`` and the products, m³/m³, sorted by date.
        stations: scores of the stations, as in ``stations.csv``.
        chosen: station -> why it was chosen, drawn from top to bottom.
        look: of the figure.

    Returns:
        One panel a station on common axes. A line breaks at a gap of over three times the usual step.
    """
    lines = [name for name in look.products if name in (DOWNSCALED, SMAP)]
    others = [name for name in look.products if name not in lines]
    figure = Figure(figsize=(9.0, 2.1 * len(chosen) + 1.0), layout="constrained")
    panels = figure.subplots(len(chosen), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    scores = stations.set_index("station")
    for axes, (station, why) in zip(panels, chosen.items(), strict=True):
        own = pairs[pairs["station"] == station].set_index("date")
        if others:
            days, low = _broken(own[others].min(axis=1))
            high = _broken(own[others].max(axis=1))[1]
            label = f"Range of {len(others)} other product{'s' if len(others) > 1 else ''}"
            axes.fill_between(days, low, high, color=GREY, alpha=0.3, lw=0.4, label=label)
        for product in reversed(lines):
            axes.plot(
                *_broken(own[product]), color=look.colour(product), lw=1.4, label=look.titles[product],
                ls="--" if product == SMAP else "-",
            )  # fmt: skip
        axes.plot(*_broken(own["insitu"]), color="black", lw=0.8, marker="o", ms=2.5, label="In situ")
        row = scores.loc[station]
        told = "     ".join(
            f"{look.titles[name]}: R {row[f'{name}_r']:.2f}, bias {row[f'{name}_bias']:+.3f}, "
            f"ubRMSE {row[f'{name}_ubrmse']:.3f}"
            for name in lines
        )
        told = told.replace("nan", "undefined").replace("-", "−")
        axes.set_title(f"{station} ({why}), n = {len(own)} days\n{told}", loc="left", fontsize=9.0)
        axes.set_ylabel(f"SM ({UNIT})")
        axes.grid(visible=True)
    locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    title = f"Surface soil moisture at {len(chosen)} of {len(stations)} stations"
    headline(figure, title, look.simulated, f"Days with every series; errors in {UNIT}")
    return figure


def _maps(
    stations: pd.DataFrame, columns: Sequence[tuple[str, str, str]], *, abreast: int, own_bars: bool
) -> tuple[Figure, int]:
    """A map for each column, with its metric and title; and how many stations are crossed."""
    placed = stations[stations[["lon", "lat"]].notna().all(axis=1)]
    scored, crossed = placed[placed["reason"] == ""], placed[placed["reason"] != ""]
    (west, east), (south, north) = _padded(placed["lon"]), _padded(placed["lat"])
    stretch = 1 / max(0.2, math.cos(math.radians((south + north) / 2)))
    shape = (north - south) * stretch / (east - west)
    wide = shape < 0.75
    across = min(len(columns), abreast if wide else 2 if own_bars else ABREAST)
    down = math.ceil(len(columns) / across)
    width = (7.0 if wide else float(np.clip(5.5 / shape, 2.2, 5.0))) / (1.0 if abreast == 1 else 1.6)
    size = (across * (width + 0.7) + 1.0, down * (width * shape + 0.9) + 0.4)
    figure = Figure(figsize=size, layout="compressed")
    panels = figure.subplots(down, across, squeeze=False, sharex=not own_bars, sharey=not own_bars)
    for number, (axes, (column, metric, title)) in enumerate(zip(panels.flat, columns, strict=False)):
        label, classes, palette, open_end = MAPPED[metric]
        known = scored.dropna(subset=column).sort_values(column, ascending=open_end == "max")
        colours = mpl.colormaps[palette].resampled(len(classes))
        drawn = axes.scatter(
            known["lon"],
            known["lat"],
            c=known[column],
            cmap=colours,
            norm=BoundaryNorm(classes, colours.N, extend=open_end),
            s=float(np.clip(3000 / len(placed), 14, 48)),
            edgecolor="black",
            lw=0.5,
        )
        if len(crossed):
            axes.scatter(crossed["lon"], crossed["lat"], marker="x", color=GREY, s=26, lw=1.1)
        axes.set(xlim=(west, east), ylim=(south, north))
        if own_bars or number >= len(columns) - across:
            axes.set_xlabel("Longitude (°)")
            axes.tick_params(labelbottom=True)
        if own_bars or number % across == 0:
            axes.set_ylabel("Latitude (°)")
        axes.set_aspect(stretch)
        axes.grid(visible=True)
        told = f"({LETTERS[number % 26]}) {title}{', ' if own_bars else chr(10)}n = {len(known)} stations"
        axes.set_title(told, loc="left", fontsize=9.0)
        if own_bars:
            figure.colorbar(drawn, ax=axes, label=label, pad=0.02, ticks=classes)
    for axes in panels.flat[len(columns) :]:
        axes.set_visible(False)
    if not own_bars:
        figure.colorbar(drawn, ax=panels, label=label, pad=0.02, ticks=classes, shrink=0.7)
    return figure, len(crossed)


def _broken(series: pd.Series[float]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Days and values of a series, with a missing value where it lacks days."""
    days, values = series.index.to_numpy(), series.to_numpy(dtype=np.float64)
    steps = np.diff(days)
    gaps = np.flatnonzero(steps > 3 * np.median(steps)) + 1 if len(steps) else np.array([], dtype=np.intp)
    return np.insert(days, gaps, days[gaps]), np.insert(values, gaps, np.nan)


def _at_right(axes: Axes, place: float, text: str, colour: str) -> None:
    axes.annotate(
        text, (1.0, place), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
        ha="left", va="center", color=colour, fontweight="bold", fontsize=8.5,
    )  # fmt: skip


def _number(value: Any, sign: str = "") -> str:
    return f"{value:{sign}.3f}".replace("-", "−")


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
