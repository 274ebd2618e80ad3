"""Figures of SHAP values: beeswarm, importance, dependence and LST×DEM (Xu et al. 2024, figures 10 and 11).

They draw what ``models.explain`` computed and choose nothing but the layout. The beeswarm is the shap
library's, given axes of ours; its scatter plot is not used because it draws on pyplot's current figure, and
so on whatever window or notebook the caller has open. No figure here is known to pyplot.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, isnan

import matplotlib as mpl
import numpy as np
import pandas as pd
import shap
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from models.explain import LAND_COVER, Explanation, Interaction
from models.partitioned import WP
from pipeline.figures.naming import labelled, spelled
from pipeline.figures.style import GREY, UNIT, headline, styled

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")  # Okabe and Ito
SWARM_ROWS = 20  # predictors in a beeswarm; the others are summed in its last row
DEPENDENCE = 6  # predictors drawn against their SHAP values
BINS = 30  # of equal count, at most, for the median lines
BIN_ROWS = 15  # at least
TAILS = (2, 98)  # percentiles at which a colour scale ends


def told(partition: str) -> str:
    """How a title names a partition."""
    return "all samples" if partition == WP else f"partition {partition}"


@styled
def beeswarm(
    explanation: Explanation, partition: str, units: Mapping[str, str], *, simulated: bool
) -> Figure:
    """One row of points per predictor: SHAP value of the stack, coloured by the predictor's value.

    Args:
        explanation: held-out rows of the partition.
        partition: its name, ``WP`` for all samples.
        units: of predictors that gee-smap does not know.
        simulated: mark the figure as simulated.

    Returns:
        The predictors from the most important down, 20 at most; grey points have no value.
    """
    names = [labelled(name, units) for name in explanation.names]
    shown = min(len(names), SWARM_ROWS)
    figure = Figure(figsize=(7.2, 0.36 * shown + 1.5), layout="constrained")
    axes = figure.subplots()
    drawn = shap.Explanation(
        values=explanation.stack.shap,
        base_values=np.full(len(explanation), explanation.stack.base),
        data=explanation.X.astype(np.float64),
        feature_names=names,
    )
    with _own_randomness(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)  # a predictor missing throughout
        shap.plots.beeswarm(
            drawn,
            max_display=shown,
            ax=axes,
            plot_size=None,
            show=False,
            s=9,
            color_bar_label="Value of predictor",
        )
    for points in axes.collections:
        points.set_rasterized(True)
    axes.tick_params("y", labelsize=10, length=0)
    axes.tick_params("x", labelsize=10)
    axes.set_xlabel(f"SHAP value: effect on soil moisture ({UNIT})", fontsize=10)
    axes.xaxis.set_major_formatter(SIGNED)
    bar = figure.axes[-1]
    bar.tick_params(labelsize=10)
    bar.yaxis.label.set_fontsize(10)
    note = (
        f"n = {len(explanation):,} held-out rows; colours end at the 5th and 95th percentile; grey: missing"
    )
    headline(figure, f"SHAP values of the stack, {told(partition)}", simulated, note)
    return figure


@styled
def importance(table: pd.DataFrame, *, simulated: bool) -> Figure:
    """Mean |SHAP value| of the stack by predictor, one bar per partition (Xu et al. 2024, figure 10f).

    Args:
        table: ``partition, predictor, n`` and ``mean_abs_shap_stack`` with ``_lower`` and ``_upper``, NaN
            where there is no interval; land cover is one predictor.
        simulated: mark the figure as simulated.

    Returns:
        The predictor of the greatest mean over partitions on top.
    """
    sizes = table.pivot_table(
        index="predictor", columns="partition", values="mean_abs_shap_stack", sort=False
    )
    sizes = sizes.loc[sizes.mean(axis=1).sort_values(kind="stable").index]
    counts = table.groupby("partition")["n"].first()
    bars = len(sizes.columns)
    height = 0.8 / bars
    figure = Figure(figsize=(7.2, len(sizes) * max(0.28, 0.11 * bars) + 1.6), layout="constrained")
    axes = figure.subplots()
    colours = _colours(bars)
    for i, partition in enumerate(sizes.columns):
        at = np.arange(len(sizes)) + 0.4 - (i + 0.5) * height
        label = f"{'All samples' if partition == WP else partition}, n = {counts[partition]:,}"
        axes.barh(at, sizes[partition], height=0.92 * height, color=colours[i], label=label)
        own = table[table["partition"] == partition].set_index("predictor").reindex(sizes.index)
        axes.hlines(
            at, own["mean_abs_shap_stack_lower"], own["mean_abs_shap_stack_upper"], color="#444444", lw=0.7
        )
    axes.set_yticks(range(len(sizes)), [spelled(str(name)) for name in sizes.index])
    axes.set_ylim(-0.6, len(sizes) - 0.4)
    axes.tick_params("y", length=0)
    axes.set_xlabel(f"Mean |SHAP value| ({UNIT})")
    axes.grid(visible=True, axis="x")
    heading = None if list(sizes.columns) == [WP] else "Partition"
    figure.legend(loc="outside lower center", ncols=min(bars, 4), frameon=False, title=heading)
    note = "Held-out rows; lines: 95 % intervals"
    if table["mean_abs_shap_stack_lower"].isna().all():
        note = "Held-out rows"
    if LAND_COVER in sizes.index:
        note += "; the land cover classes are summed in each row"
    headline(figure, "Importance of the predictors in the stack", simulated, note)
    return figure


@styled
def dependence(
    explanation: Explanation,
    predictors: Sequence[str],
    partition: str,
    units: Mapping[str, str],
    *,
    simulated: bool,
) -> Figure:
    """SHAP value of the stack against the value of a few predictors.

    Args:
        explanation: held-out rows of the partition.
        predictors: one panel each.
        partition: its name, ``WP`` for all samples.
        units: of predictors that gee-smap does not know.
        simulated: mark the figure as simulated.

    Returns:
        Panels, each with its own SHAP axis: rows, the median in bins of equal count, and ticks on the left
        margin where the predictor is missing.
    """
    across = min(3, len(predictors))
    down = ceil(len(predictors) / across)
    figure = Figure(figsize=(3.0 * across + 0.3, 2.5 * down + 0.7), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for axes, name in zip(panels.flat, predictors, strict=False):
        column = explanation.column(name)
        x, y = explanation.X[:, column].astype(np.float64), explanation.stack.shap[:, column]
        axes.axhline(0, color=GREY, lw=0.8)
        axes.scatter(x, y, s=6, color=COLOURS[0], alpha=0.35, lw=0, rasterized=True)
        axes.plot(*_medians(x, y), color="black", lw=1.4)
        _missing(axes, y[np.isnan(x)])
        axes.set_xlabel(labelled(name, units))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(SIGNED)
    for axes in panels.flat[len(predictors) :]:
        axes.remove()
    for axes in panels[:, 0]:
        axes.set_ylabel(f"SHAP value ({UNIT})")
    note = (
        f"n = {len(explanation):,} held-out rows; line: median; grey ticks: value missing; SHAP axes differ"
    )
    title = f"Effect of the {len(predictors)} most important predictors, {told(partition)}"
    headline(figure, title, simulated, note)
    return figure


@styled
def co_interaction(
    explanation: Explanation,
    found: Interaction,
    partition: str,
    units: Mapping[str, str],
    *,
    simulated: bool,
) -> Figure:
    """SHAP value of one predictor against its value, coloured by another (Xu et al. 2024, figure 11).

    Args:
        explanation: held-out rows of the partition.
        found: the interaction of the two.
        partition: its name, ``WP`` for all samples.
        units: of predictors that gee-smap does not know.
        simulated: mark the figure as simulated.
    """
    column, other = explanation.column(found.predictor), explanation.column(found.other)
    x, y = explanation.X[:, column].astype(np.float64), explanation.stack.shap[:, column]
    colour = explanation.X[:, other].astype(np.float64)
    known = np.flatnonzero(np.isfinite(colour))
    shuffled = np.random.default_rng(0).permutation(known)  # no value is drawn on top of the others
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=GREY, lw=0.8)
    axes.scatter(np.delete(x, known), np.delete(y, known), s=10, color="#bbbbbb", lw=0)
    ends = np.percentile(colour[known], TAILS) if len(known) else (0.0, 1.0)
    drawn = axes.scatter(
        x[shuffled],
        y[shuffled],
        c=colour[shuffled],
        s=12,
        cmap="viridis",
        vmin=ends[0],
        vmax=ends[1],
        lw=0,
        rasterized=True,
    )
    _missing(axes, y[np.isnan(x)])
    axes.set_xlabel(labelled(found.predictor, units))
    axes.set_ylabel(f"SHAP value of {spelled(found.predictor)} ({UNIT})")
    axes.yaxis.set_major_formatter(SIGNED)
    figure.colorbar(drawn, ax=axes, label=labelled(found.other, units), pad=0.02, extend="both")
    one, two = spelled(found.predictor), spelled(found.other)
    if isnan(found.share.value):
        note = f"Interaction undefined: {found.share.reason}"
    else:
        note = (
            f"SHAP value at given {one}: SD {found.spread:.4f} {UNIT}; {two} explains "
            f"{max(found.share.value, 0):.0%} of the variance"
        )
    title = f"{one} × {two} in the stack, {told(partition)}, n = {found.n:,} held-out rows"
    headline(figure, title, simulated, note)
    return figure


SIGNED = FuncFormatter(lambda value, _: f"{value:+.3g}".replace("-", "−") if abs(value) > 1e-12 else "0")


def _colours(count: int) -> Sequence[object]:
    if count <= len(COLOURS):
        return COLOURS
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.95, count)))


def _missing(axes: Axes, values: NDArray[np.float64]) -> None:
    """Ticks on the left margin at the SHAP values of rows in which the predictor is missing."""
    left = np.full(len(values), 0.012)
    axes.scatter(left, values, marker="_", s=30, color=GREY, lw=0.6, transform=axes.get_yaxis_transform())


def _medians(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Medians of both in bins of about equal count along x; equal values of x share a bin."""
    known = np.isfinite(x)
    if not known.any():
        return [], []
    count = min(BINS, int(known.sum()) // BIN_ROWS)
    edges = np.unique(np.quantile(x[known], np.linspace(0, 1, max(1, count) + 1)[1:-1]))
    bins = np.searchsorted(edges, x[known])
    grouped = pd.DataFrame({"x": x[known], "y": y[known]}).groupby(bins).median()
    return grouped["x"].to_list(), grouped["y"].to_list()


@contextmanager
def _own_randomness() -> Iterator[None]:
    """The swarm is spread by NumPy's global generator: seed it, and give the caller's state back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
