"""Figures of how maps vary in space: seasonal means and zoom boxes, agreement, spread, seams, outside.

They take what was computed elsewhere and compute their layout alone, are told apart by readers with any
colour vision, and bear a mark where data are simulated. SMAP and the downscaled map always share one scale,
because a reader compares them. After Xu et al. 2024 figure 9.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee.landcover import CLASSES
from gee.layers import SOIL_MOISTURE
from pipeline.cubes.zooms import Box
from pipeline.figures.gridded import (
    MISSING,
    TAIL,
    WIDTH,
    Panel,
    Window,
    aspect,
    bar,
    draw,
    frame_of,
    norm_of,
    outlines,
)
from pipeline.figures.naming import spelled
from pipeline.figures.palettes import colormap
from pipeline.figures.predictor_maps import TITLES
from pipeline.figures.style import GREY, UNIT, headline, styled

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
BETWEEN, SMAP, WITHIN = "between cells, map", "between cells, SMAP", "within cells, map"
SPREADS = {WITHIN: ("within", BLUE, "o"), BETWEEN: ("between", ORANGE, "s"), SMAP: ("smap", "black", "x")}
MOISTURES = {"sm": "Soil moisture, mean map", "sm daily": "Soil moisture, each day"}
VERDICTS = {"seam": RED, "as the land": GREEN, "none found": BLUE, "too few stretches": GREY}
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shown:
    """What maps are drawn of; arrays (y, x) on the fine grid, NaN where missing.

    Attributes:
        grid: of the pixels.
        land: pixels that are mapped.
        codes: partition of each, 0 outside of all.
        days: of the season.
        sm: seasonal mean of the map, m³/m³.
        smap: SMAP's, as the cells are; None where there is none.
        rain: mean, mm/day; None where there is none.
        ground: means of the predictors by name.
        boxes: to enlarge.
        simulated: mark the figures as simulated.
    """

    grid: GeoBox
    land: NDArray[np.bool_]
    codes: NDArray[np.int64]
    days: tuple[dt.date, ...]
    sm: Floats
    smap: Floats | None
    rain: Floats | None
    ground: Mapping[str, Floats]
    boxes: Sequence[Box]
    simulated: bool

    @property
    def period(self) -> str:
        """First and last day."""
        return f"{self.days[0]} to {self.days[-1]}, {len(self.days)} days"


def _panels(shown: Shown) -> list[Panel]:
    moisture = colormap(SOIL_MOISTURE)
    of = {name: np.where(shown.land, values, np.nan) for name, values in shown.ground.items()}
    palettes = mpl.colormaps
    return [
        Panel("SMAP L4", shown.smap, moisture, UNIT, "no SMAP cells"),
        Panel("Downscaled", shown.sm, moisture, UNIT),
        Panel("Rain", shown.rain, palettes["YlGnBu"], "mm/day", "rain not available"),
        Panel("LST", of.get("lst"), palettes["inferno"], "°C", "no LST"),
        Panel("Elevation", of.get("dem"), palettes["cividis"], "m", "no elevation"),
        Panel("Clay", of.get("clay"), palettes["YlOrBr"], "%", "no clay"),
    ]


@styled
def means(shown: Shown) -> Figure:
    """Seasonal means of SMAP, the map, rain and LST, elevation and clay, with the zoom boxes."""
    window = _around([frame_of(shown.land), *(box.window for box in shown.boxes)])
    panels = _panels(shown)
    norms = _norms(panels, [window])
    across = WIDTH / 3
    down = across * aspect(window)
    figure = Figure(figsize=(WIDTH, 2 * (down + 0.75) + 0.7), layout="compressed")
    for axes, panel, norm, letter in zip(figure.subplots(2, 3).flat, panels, norms, "abcdef", strict=True):
        image = draw(axes, shown.land, window, panel, norm)
        axes.set_title(f"({letter}) {panel.title}", loc="left")
        if image is None:
            continue
        outlines(axes, shown.land, shown.codes, window)
        for box in shown.boxes:
            _box(axes, box)
        bar(figure, image, axes, panel.unit)
    _key(figure, shown, panels)
    headline(
        figure, f"Seasonal means, {int(shown.land.sum()):,} pixels", shown.simulated,
        f"{shown.period}; (a) and (b) share their colours, which end where {TAIL:g} % of pixels lie beyond",
    )  # fmt: skip
    return figure


@styled
def zooms(shown: Shown) -> Figure:
    """The zoom boxes: a row each, the maps of `means` as columns."""
    panels = _panels(shown)
    windows = [box.window for box in shown.boxes]
    norms = _norms(panels, windows)
    across = WIDTH / len(panels)
    heights = [across * aspect(window) for window in windows]
    figure = Figure(figsize=(WIDTH, sum(heights) + 1.9), layout="compressed")
    table = figure.subplots(len(windows), len(panels), squeeze=False, gridspec_kw={"height_ratios": heights})
    for row, (box, window) in enumerate(zip(shown.boxes, windows, strict=True)):
        for column, (panel, norm) in enumerate(zip(panels, norms, strict=True)):
            axes = table[row, column]
            image = draw(axes, shown.land, window, panel, norm)
            axes.spines[:].set_visible(True)
            if row == 0:
                axes.set_title(panel.title, loc="left")
            if column == 0:
                place = f" ({box.partition})" if box.partition else ""
                width = (window[1].stop - window[1].start) * abs(shown.grid.resolution.x) / 1000
                axes.set_ylabel(f"{box.name}{place}\n{width:g} km wide")
            if image is not None and row == len(windows) - 1:
                bar(figure, image, list(table[:, column]), panel.unit, ticks=2)
    headline(
        figure, "Zoom boxes", shown.simulated,
        f"{shown.period}; SMAP and downscaled share their colours, each column has its own scale",
    )  # fmt: skip
    return figure


@styled
def agreement(shown: Shown, cells: pd.DataFrame, under: NDArray[np.intp], *, corrected: bool) -> Figure:
    """The mean over each cell less SMAP: bias and RMSE of cells as maps, and their seasonal means.

    Args:
        shown: gives the grid.
        cells: as ``cellwise.by_cell`` gives.
        under: (pixels,), number of the cell under each pixel; -1 where there is none.
        corrected: whether the map is, so that ``cells`` are of the stack before that.
    """
    window = frame_of(shown.land)
    across = WIDTH / 3
    short, long = ("Stack", "The stack, uncorrected,") if corrected else ("Map", "The map")
    figure = Figure(figsize=(WIDTH, across * aspect(window) + 1.7), layout="compressed")
    left, middle, right = figure.subplots(1, 3)
    place = under.reshape(shown.land.shape)
    painted = {
        name: np.where(shown.land & (place >= 0), cells[name].to_numpy(np.float64)[place], np.nan)
        for name in ("bias", "rmse")
    }
    seen = cells.dropna(subset=["bias", "rmse"])
    most = max(float(np.percentile(np.abs(seen["bias"]), 100 - TAIL)), 1e-3) if len(seen) else 0.01
    high = max(float(np.percentile(seen["rmse"], 100 - TAIL)), 1e-3) if len(seen) else 0.01
    for axes, letter, title, name, palette, norm in (
        (left, "a", f"Bias: {short.lower()} less SMAP", "bias", "PuOr", Normalize(-most, most)),
        (middle, "b", "RMSE of the days", "rmse", "magma_r", Normalize(0, high)),
    ):
        panel = Panel(title, painted[name], mpl.colormaps[palette], UNIT)
        image = draw(axes, shown.land, window, panel, norm)
        axes.set_title(f"({letter}) {title}", loc="left")
        outlines(axes, shown.land, shown.codes, window)
        if image is not None:
            bar(figure, image, axes, UNIT)
    right.scatter(seen["smap"], seen["map"], s=9, color=BLUE, alpha=0.5, lw=0)
    if len(seen):
        ends = [float(seen[["smap", "map"]].min().min()), float(seen[["smap", "map"]].max().max())]
        right.plot(ends, ends, color="black", lw=0.9, ls="--")
    right.set(xlabel=f"SMAP ({UNIT})", ylabel=f"{short} ({UNIT})", box_aspect=1)
    right.set_title("(c) Seasonal means of cells", loc="left")
    right.grid(visible=True)
    headline(
        figure, f"{long} averaged over SMAP's cells, {len(seen):,} cells", shown.simulated,
        f"{shown.period}; grey: no cell, or not enough of it has a value",
    )  # fmt: skip
    return figure


@styled
def spread(table: pd.DataFrame, truth: Sequence[Mapping[str, Any]], *, simulated: bool) -> Figure:
    """Standard deviations within and between cells by partition and by month.

    Args:
        table: as ``cellwise.spread`` gives.
        truth: ``product`` and ``r_within`` of maps held against a truth; drawn where there are any.
        simulated: mark the figure as simulated.
    """
    known = table[table["days"] > 0] if "within" in table else table.iloc[:0]
    parts = known[known["month"] == "all"]
    months = known[(known["partition"] == "all") & (known["month"] != "all")]
    patterns = [row for row in truth if math.isfinite(row["r_within"])]
    lines = max(len(parts), len(months), len(patterns), 3)
    panels = 2 + bool(patterns)
    figure = Figure(figsize=(3.2 * panels + 0.4, 1.7 + 0.34 * lines), layout="constrained")
    axes = figure.subplots(1, panels)
    for place, rows, key, title in (
        (axes[0], parts, "partition", "(a) By partition"), (axes[1], months, "month", "(b) By month"),
    ):  # fmt: skip
        for label, (name, colour, marker) in SPREADS.items():
            look: dict[str, Any] = {"color": colour, "marker": marker, "ls": "", "ms": 7, "label": label}
            look |= {"mfc": "none", "mew": 1.6} if name != "within" else {}
            place.plot(rows[name] if len(rows) else [], range(len(rows)), **look)
        labels = [f"{name} ({share:.0%})" for name, share in zip(rows[key], rows["share"], strict=True)]
        place.set_yticks(range(len(rows)), [label.replace("%", " %") for label in labels])
        place.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        place.margins(x=0.08)
        place.set_xlim(left=0)
        place.set_xlabel(f"Standard deviation ({UNIT})")
        place.set_title(title, loc="left")
    if patterns:
        axes[2].plot([row["r_within"] for row in patterns], range(len(patterns)), "o", color=BLUE, ms=6)
        axes[2].set_yticks(range(len(patterns)), [str(row["product"]) for row in patterns])
        axes[2].set_ylim(len(patterns) - 0.5, -0.5)
        axes[2].axvline(0, color="black", lw=0.8)
        axes[2].set_xlabel("R with the truth within cells")
        axes[2].set_title("(c) Is the pattern right?", loc="left")
    for place in axes:
        place.grid(visible=True, axis="x")
        place.tick_params(axis="y", length=0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    headline(
        figure, "Spread within and between SMAP's cells", simulated,
        "In brackets: share of the variance that lies within cells",
    )  # fmt: skip
    return figure


@styled
def seams(table: pd.DataFrame, *, simulated: bool) -> Figure:
    """Steps at borders as a ratio to those beside them: fields over all borders, soil moisture at each.

    Args:
        table: of ``seams.Steps``.
        simulated: mark the figure as simulated.
    """
    whole = table[(table["border"] == "all") & np.isfinite(table["ratio"])].set_index("field")
    others = whole.drop(index=list(MOISTURES), errors="ignore").sort_values("ratio", ascending=False)
    fields = [name for name in MOISTURES if name in whole.index] + list(others.index)
    own = table[(table["field"] == "sm") & (table["border"] != "all")].sort_values("ratio", ascending=False)
    lines = max(len(fields), len(own) + 2, 5)
    figure = Figure(figsize=(WIDTH - 1.2, 1.5 + 0.27 * lines), layout="constrained")
    left, right = figure.subplots(1, 2)
    for at, name in enumerate(fields):
        row = whole.loc[name]
        _ratio(left, at, row, VERDICTS.get(str(row["verdict"]), "black"), "o" if name in MOISTURES else "D")
    names = [MOISTURES.get(name) or title_of(name) for name in fields]
    left.set_yticks(range(len(fields)), names)
    left.set_title("(a) All borders", loc="left")
    for at, (_, row) in enumerate(own.iterrows()):
        _ratio(right, at, row, VERDICTS.get(str(row["verdict"]), "black"), "o")
    right.set_yticks(range(len(own)), [f"{row.border}\n{row.pairs:,} pairs" for row in own.itertuples()])
    right.set_title("(b) Soil moisture, mean map, each border", loc="left")
    for axes, count in ((left, len(fields)), (right, len(own))):
        axes.axvline(1, color="black", lw=0.9)
        axes.set_ylim(max(count, 1) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("Step at the border / step beside it")
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="y", length=0)
    handles = [
        left.plot([], [], "o", color=colour, label=verdict)[0]
        for verdict, colour in VERDICTS.items() if (table["verdict"] == verdict).any()
    ]  # fmt: skip
    handles.append(left.plot([], [], "D", color="black", label="predictor")[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    headline(
        figure, "Steps across the borders of partitions", simulated,
        "1: no larger than a few pixels away from them; lines are 95 % intervals over stretches of border",
    )  # fmt: skip
    return figure


@styled
def outside(shown: Shown, table: pd.DataFrame, often: Floats) -> Figure:
    """How often predictors lie beyond the range of training: where, and which.

    Args:
        shown: gives the grid.
        table: as of ``outside.Survey``.
        often: share of days with any predictor beyond by more than 1 % of its range, (y, x).
    """
    rows = table[(table["partition"] == "all") & (table["month"] == "all") & (table["predictor"] != "any")]
    rows = rows.sort_values(["beyond", "outside"], ascending=False)
    window = frame_of(shown.land)
    down = max(4.0 * aspect(window) + 0.9, 1.2 + 0.24 * len(rows))
    figure = Figure(figsize=(WIDTH - 0.4, down + 0.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(4.4, 3.6))
    panel = Panel("", often, mpl.colormaps["viridis"], "share of days")
    image = draw(left, shown.land, window, panel, Normalize(0, 1))
    outlines(left, shown.land, shown.codes, window)
    left.set_title("(a) Days with any predictor beyond by > 1 %", loc="left")
    if image is not None:
        bar(figure, image, left, "share of days")
    at = np.arange(len(rows))
    right.barh(at, 100 * rows["outside"], color=ORANGE, height=0.72, label="outside the range")
    right.barh(at, 100 * rows["beyond"], color=BLUE, height=0.42, label="by more than 1 % of it")
    right.set_yticks(at, [title_of(name) for name in rows["predictor"]])
    right.set_ylim(len(rows) - 0.4, -0.6)
    right.tick_params(axis="y", length=0)
    right.set_xlabel("% of pixel-days")
    right.set_title("(b) By predictor", loc="left")
    right.grid(visible=True, axis="x")
    right.legend(loc="lower right")
    headline(
        figure, "Beyond the range that training saw", shown.simulated,
        "Trees hold their last value there; 1 % of the range tells a hair's breadth from more",
    )  # fmt: skip
    return figure


def _ratio(axes: Axes, at: int, row: pd.Series[Any], colour: str, marker: str) -> None:
    if not math.isfinite(row["ratio"]):
        return
    low, high = row["ratio_lower"], row["ratio_upper"]
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([low, high], [at, at], color=colour, lw=1.6, solid_capstyle="butt")
    axes.plot(row["ratio"], at, marker=marker, color=colour, ms=5.5, mec="black", mew=0.4)


def _norms(panels: Sequence[Panel], windows: Sequence[Window]) -> list[Normalize]:
    """A scale for each panel, one for the first two together."""
    seen = [
        np.concatenate([panel.field[window].ravel() for window in windows])
        if panel.field is not None else np.empty(0) for panel in panels
    ]  # fmt: skip
    moisture = np.concatenate(seen[:2])
    return [norm_of(moisture if number < 2 else of) for number, of in enumerate(seen)]


def _around(windows: Sequence[Window]) -> Window:
    """The smallest window that holds all of them."""
    y, x = (
        slice(min(one[axis].start for one in windows), max(one[axis].stop for one in windows))
        for axis in (0, 1)
    )
    return y, x


def _box(axes: Axes, box: Box) -> None:
    y, x = box.window
    corner = x.start - 0.5, y.start - 0.5
    for colour, width in (("white", 2.6), ("black", 1.2)):
        axes.add_patch(
            Rectangle(corner, x.stop - x.start, y.stop - y.start, fill=False, ec=colour, lw=width, zorder=5)
        )
    axes.text(
        corner[0], corner[1], box.name, fontsize=9, fontweight="bold", va="bottom", ha="left", zorder=6,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip


def _key(figure: Figure, shown: Shown, panels: Sequence[Panel]) -> None:
    gaps = any(panel.field is not None and (~np.isfinite(panel.field) & shown.land).any() for panel in panels)
    if gaps:
        key = [Patch(color=MISSING, label="land without a value")]
        figure.legend(handles=key, loc="outside lower center", frameon=False)


def title_of(name: str) -> str:
    """What a predictor is called."""
    if name == "any":
        return "Any of them"
    if name.startswith("LC_"):
        return f"Share of {CLASSES[int(name[3:])]}"
    return TITLES.get(name, spelled(name))
