"""Figures of a report: the season's map, its days, and the scores by split.

Like those of ``pipeline.figures`` they take what was computed elsewhere and compute their layout alone, are
told apart by readers with any colour vision, and bear a mark where data are simulated. They are narrow
enough to be read on a phone.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from gee.catalog import WGS84
from gee.layers import SOIL_MOISTURE
from gee.target import OUTAGES
from models.partitioned import OVERALL
from pipeline.figures.style import GREY, UNIT, headline, save, save_chart, styled
from pipeline.learning.trainer import MODELS
from pipeline.reporting.content import period
from pipeline.reporting.summaries import CubeSummary, Map, PredictionSummary
from pipeline.reporting.verdicts import Score

MISSING, WATER = "#a6a6a6", "#c3d6e4"
OUTAGE_COLOUR = "#dddddd"
TAIL = 2.0  # percent of the pixels at either end that share the last colour
LOOKS = {
    "XGBoost": ("#E69F00", "s"), "LightGBM": ("#56B4E9", "^"), "CatBoost": ("#009E73", "D"),
    "stack": ("#0072B2", "o"), "WP": ("#D55E00", "X"),
}  # fmt: skip
STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # degrees, between lines of a graticule
LINES = 3  # of a graticule, at least
LATTICE = 60  # places along an edge at which longitude and latitude are computed
Pixels = NDArray[np.bool_]


def drawn(figure: Figure, *, chart: bool = True) -> tuple[bytes, bytes]:
    """A figure's PNG and, where it is a chart, its SVG; a map has none."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if chart:
            save_chart(figure, home, "figure")
            return (home / "figure.png").read_bytes(), (home / "figure.svg").read_bytes()
        save(figure, home / "figure.png")
        return (home / "figure.png").read_bytes(), b""


@styled
def moisture_map(found: PredictionSummary, ground: CubeSummary | None, *, simulated: bool) -> Figure:
    """The season's mean and standard deviation of every pixel.

    Args:
        found: the prediction.
        ground: gives water, missing pixels and the borders of partitions; without one of the same pixels
            they are left out.
        simulated: mark the figure as simulated.

    Returns:
        Two panels, side by side for a tall region, one above the other for a wide one.
    """
    if ground is not None and ground.region.shape != found.mean.shape:
        ground = None
    rows, columns = _framed(ground.region if ground else found.counts > 0)
    grid = found.grid[rows, columns]
    height, width = grid.shape
    wide = height / width < 0.8
    across = float(np.clip(4.6 * width / height, 2.6, 6.0)) if not wide else 6.2
    down = across * height / width
    panels = (2, 1) if wide else (1, 2)
    size = (panels[1] * across + 1.2, panels[0] * (down + 1.0) + 0.6)
    figure = Figure(figsize=size, layout="compressed")
    days = f"{period(found.days[0], found.days[-1])}, {len(found.days)} days"
    reds = mpl.colormaps["magma_r"]
    palette = LinearSegmentedColormap.from_list("moisture", [f"#{stop}" for stop in SOIL_MOISTURE.stops])
    shown = (("a", "Mean", found.mean, palette), ("b", "Standard deviation over days", found.spread, reds))
    for axes, (letter, label, values, colours) in zip(
        figure.subplots(*panels, squeeze=False).flat, shown, strict=True
    ):
        image = _draw(axes, values[rows, columns], grid, colours)
        if ground is not None:
            _draw_ground(axes, ground, found.counts[rows, columns] > 0, grid, rows, columns)
        _graticule(axes, grid)
        axes.set_title(f"({letter}) {label}", loc="left")
        bar = figure.colorbar(
            image, ax=axes, location="bottom", label=UNIT, pad=0.03, shrink=0.9, aspect=28, extend="both"
        )
        bar.outline.set_visible(False)
    if handles := _ground_key(ground, found):
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    headline(
        figure, f"Surface soil moisture at 1 km, {found.pixels:,} pixels", simulated,
        f"{days}; colours end where {TAIL:g} % of the pixels lie beyond",
    )  # fmt: skip
    return figure


@styled
def moisture_days(found: PredictionSummary, *, simulated: bool) -> Figure:
    """Mean of the region's pixels and their 10th to 90th percentile, day by day.

    Args:
        found: the prediction.
        simulated: mark the figure as simulated.
    """
    figure = Figure(figsize=(7.4, 3.3), layout="constrained")
    axes = figure.subplots()
    daily = found.daily
    days = daily.index.to_numpy()
    for first, last in OUTAGES:
        if first <= found.days[-1] and last >= found.days[0]:
            ends = [max(first, found.days[0]), min(last, found.days[-1])]
            start, end = mdates.date2num(ends)  # type: ignore[no-untyped-call]
            axes.axvspan(start - 0.5, end + 0.5, color=OUTAGE_COLOUR, lw=0, label="SMAP's radiometer off")
    colour = LOOKS["stack"][0]
    axes.fill_between(
        days, daily["low"], daily["high"], color=colour, alpha=0.25, lw=0, label="10 to 90 % of pixels"
    )
    axes.plot(
        days, daily["mean"], color=colour, lw=1.6, marker="o" if len(days) < 60 else "", ms=3, label="Mean"
    )
    locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_ylabel(f"Soil moisture ({UNIT})")
    axes.margins(x=0.01)
    axes.grid(visible=True)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, frameon=False)
    headline(figure, "Region by day", simulated, "Over the pixels that have a value on the day")
    return figure


@styled
def score_chart(scores: Sequence[Score], limits: Sequence[tuple[float, float]], *, simulated: bool) -> Figure:
    """RMSE and R on held-out rows by split: base learners, stack and WP with their intervals.

    Args:
        scores: of all rows, in the order of the splits; those without RMSE are left out.
        limits: interval of R of each, NaN where there is none.
        simulated: mark the figure as simulated.
    """
    pooled = [
        (one, interval)
        for one, interval in zip(scores, limits, strict=True)
        if one.partition == OVERALL and one.scored and one.model in LOOKS
    ]
    splits = list(dict.fromkeys(one.split for one, _ in pooled))
    models = [name for name in MODELS if any(one.model == name for one, _ in pooled)]
    figure = Figure(figsize=(7.4, 1.7 + 0.82 * len(splits)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for one, (low, high) in pooled:
        at = splits.index(one.split) + 0.15 * (models.index(one.model) - (len(models) - 1) / 2)
        _dot(left, at, one.rmse, one.rmse_lower, one.rmse_upper, one.model)
        _dot(right, at, one.r, low, high, one.model)
    for axes, label in ((left, f"RMSE ({UNIT}), less is better"), (right, "R, more is better")):
        axes.set_xlabel(label)
        axes.grid(visible=True, axis="x")
        for line in range(1, len(splits)):
            axes.axhline(line - 0.5, color="#bbbbbb", lw=0.8)
    counts = {split: max(one.n for one, _ in pooled if one.split == split) for split in splits}
    left.set_yticks(range(len(splits)), [f"{split}\nn = {counts[split]:,}" for split in splits])
    left.set_ylim(len(splits) - 0.5, -0.5)
    left.set_xlim(left=0)
    left.tick_params(axis="y", length=0)
    right.tick_params(axis="y", length=0)
    handles = [left.plot([], [], color=LOOKS[m][0], marker=LOOKS[m][1], ls="", label=m)[0] for m in models]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(models), frameon=False)
    headline(figure, "Held-out rows by split, all partitions", simulated, "Lines are 95 % intervals")
    return figure


def _dot(axes: Axes, at: float, value: float, low: float, high: float, model: str) -> None:
    if not math.isfinite(value):
        return
    colour, marker = LOOKS[model]
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([low, high], [at, at], color=colour, lw=1.6, solid_capstyle="butt", zorder=2)
    axes.plot(value, at, color=colour, marker=marker, ms=5.5, mec="black", mew=0.5, zorder=3)


def _framed(wanted: Pixels) -> tuple[slice, slice]:
    """Rows and columns that hold everything wanted; all where nothing is."""
    if not wanted.any():
        return slice(0, wanted.shape[0]), slice(0, wanted.shape[1])
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _draw(axes: Axes, values: Map, grid: GeoBox, colours: Colormap) -> Any:
    seen = values[np.isfinite(values)]
    low, high = (float(end) for end in np.percentile(seen, (TAIL, 100 - TAIL))) if seen.size else (0.0, 1.0)
    if high - low < 1e-6:
        low, high = low - 0.005, high + 0.005
    return axes.imshow(
        values, cmap=colours, norm=Normalize(low, high), interpolation="nearest", extent=_extent(grid)
    )


def _extent(grid: GeoBox) -> tuple[float, float, float, float]:
    box = grid.boundingbox
    return box.left, box.right, box.bottom, box.top


def _draw_ground(
    axes: Axes, ground: CubeSummary, seen: Pixels, grid: GeoBox, rows: slice, columns: slice
) -> None:
    """Water and land without a value in their colours; the borders of region and partitions."""
    region, land = ground.region[rows, columns], ground.land[rows, columns]
    other = np.full(region.shape, np.nan)
    other[region & ~land & ~seen] = 0
    other[land & ~seen] = 1
    axes.imshow(
        other, cmap=ListedColormap([WATER, MISSING]), vmin=0, vmax=1, interpolation="nearest",
        extent=_extent(grid),
    )  # fmt: skip
    codes = np.where(region, ground.partition[rows, columns].astype(int), -1)
    box, step = grid.boundingbox, grid.resolution
    x = box.left + step.x * (np.arange(-1, grid.shape[1] + 1) + 0.5)
    y = box.top + step.y * (np.arange(-1, grid.shape[0] + 1) + 0.5)
    padded = np.pad(codes, 1, constant_values=-1)
    axes.contour(x, y, padded >= 0, levels=[0.5], colors="black", linewidths=0.8)
    for code in np.unique(codes[codes >= 0])[1:]:
        axes.contour(x, y, padded == code, levels=[0.5], colors="black", linewidths=0.5)


def _ground_key(ground: CubeSummary | None, found: PredictionSummary) -> list[Patch]:
    if ground is None:
        return []
    seen = found.counts > 0
    water = (ground.region & ~ground.land & ~seen).any()
    missing = (ground.land & ~seen).any()
    return [Patch(color=WATER, label="water")] * bool(water) + [
        Patch(color=MISSING, label="no value on any day")
    ] * bool(missing)


def _graticule(axes: Axes, grid: GeoBox) -> None:
    """Lines of longitude and latitude, named where they leave the map below and on the left."""
    left, right, bottom, top = _extent(grid)
    x, y = np.meshgrid(np.linspace(left, right, LATTICE), np.linspace(bottom, top, LATTICE))
    lon, lat = Transformer.from_crs(str(grid.crs), WGS84, always_xy=True).transform(x, y)
    for degrees, edge, along, axis, signs in (
        (lon, lon[0], x[0], axes.xaxis, "EW"),
        (lat, lat[:, 0], y[:, 0], axes.yaxis, "NS"),
    ):
        span = float(edge[-1] - edge[0])
        step = max((each for each in STEPS if span / each >= LINES), default=STEPS[0])
        lines = step * np.arange(math.ceil(edge[0] / step), math.floor(edge[-1] / step) + 1)
        if len(lines):
            axes.contour(x, y, degrees, levels=lines, colors=GREY, linewidths=0.4, alpha=0.6)
        axis.set_ticks(np.interp(lines, edge, along), [_degrees(line, signs) for line in lines])
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.tick_params(length=2, labelsize=8)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.6)


def _degrees(value: float, signs: str) -> str:
    return f"{abs(value):.4g}°{signs[0] if value > 0 else signs[1] if value < 0 else ''}"
