"""How soil moisture answers to rain, drawn: the mean course around events, and series with bars of rain.

The series are those of Xu et al. 2024, figure 8, all products beside only SMAP, the downscaled map and the
probe; the composite adds what eleven chosen stations cannot show. Nothing is computed here but the layout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.figures.style import GREY, UNIT, headline, styled
from pipeline.tables.titles import DOWNSCALED, NSIDC, SMAP, SMAP_BILINEAR, SMCI, WHOLE

COMPOSITE_DAYS = (-5, 15)  # before and after the first day of an event
SERIES_DAYS = 240  # that a panel is wide enough for: the paper's season is 215
PROBE = "insitu"
RAIN_COLOUR = "#56B4E9"
FIXED = {
    PROBE: "black", DOWNSCALED: "#0072B2", SMAP: "#D55E00", WHOLE: "#009E73", SMAP_BILINEAR: "#CC79A7",
    SMCI: "#E69F00", NSIDC: "#882255",
}  # fmt: skip
OTHERS = ("#44AA99", "#332288", "#999933", "#8C564B", "#AA4499", "#117733")
"""Okabe and Ito's colours and, for members and users' products, Tol's; any reader can tell them apart."""
MAIN = (PROBE, SMAP, DOWNSCALED)

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Panel:
    """A station's series.

    Attributes:
        name: of the station.
        dates: consecutive days.
        series: m³/m³ of each day by column, NaN where missing.
        rain: mm of each day.
        events: first and last day of those that count.
    """

    name: str
    dates: pd.DatetimeIndex
    series: Mapping[str, Values]
    rain: Values
    events: tuple[tuple[pd.Timestamp, pd.Timestamp], ...]

    def window(self) -> slice:
        """The days to draw: all, or where most events are."""
        if len(self.dates) <= SERIES_DAYS:
            return slice(0, len(self.dates))
        starts = [int((start - self.dates[0]).days) for start, _ in self.events] or [0]
        firsts = [max(0, min(start - 10, len(self.dates) - SERIES_DAYS)) for start in starts]
        held = [sum(first <= start < first + SERIES_DAYS for start in starts) for first in firsts]
        first = firsts[int(np.argmax(held))]
        return slice(first, first + SERIES_DAYS)


@styled
def composite(course: Mapping[str, Any], titles: Mapping[str, str], *, simulated: bool = False) -> Figure:
    """Mean rain and mean change of soil moisture around events.

    Args:
        course: ``days``, ``n``, ``rain`` (mm/day) and, by product, ``mean``, ``q25``, ``q75`` (m³/m³,
            less the value before the event).
        titles: of the probe and the products, in order.
        simulated: mark the figure as simulated.

    Returns:
        Rain and all means on the left; each product with its quartiles beside the probe on the right.
    """
    days = np.asarray(course["days"], dtype=np.float64)
    products = [name for name in titles if name != PROBE]
    columns = min(3, len(products))
    rows = math.ceil(len(products) / columns)
    figure = Figure(figsize=(5.0 + 2.6 * columns, max(4.6, 2.4 * rows + 1.3)), layout="constrained")
    whole, small = figure.subfigures(1, 2, squeeze=False, width_ratios=(4.4, 2.6 * columns))[0]
    rain, means = whole.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    rain.bar(days, course["rain"], color=RAIN_COLOUR, width=0.8)
    rain.set_ylabel("Rain (mm/day)")
    rain.set_title("(a) Means over events", loc="left")
    colours = product_colours(titles)
    for name in [*reversed(products), PROBE]:
        _mean(means, days, course, name, colours[name], titles[name])
    means.set(xlabel="Days since the first of the event", ylabel=f"Change ({UNIT})")
    handles, labels = means.get_legend_handles_labels()
    means.legend(handles[::-1], labels[::-1], frameon=False, loc="upper right")
    panels = small.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(products) :]:
        axes.set_visible(False)
    for axes in panels[-2, len(products) % columns or columns :] if rows > 1 else ():
        axes.tick_params(labelbottom=True)
    for letter, axes, name in zip("bcdefghijklmnopq", panels.flat, products, strict=False):
        for one in (PROBE, name):
            found = course["products"][one]
            axes.fill_between(days, found["q25"], found["q75"], color=colours[one], alpha=0.2, lw=0)
            _mean(axes, days, course, one, colours[one], titles[one])
        axes.set_title(f"({letter}) {titles[name]}", loc="left", color=colours[name])
    for axes in (rain, means, *panels.flat[: len(products)]):
        axes.grid(visible=True)
        axes.axvline(0, color=GREY, lw=0.8, ls=":")
        axes.set_xlim(days[0] - 0.5, days[-1] + 0.5)
        axes.set_xticks([-5, 0, 5, 10, 15])
    for axes in (means, *panels.flat[: len(products)]):
        axes.axhline(0, color=GREY, lw=0.8)
    small.supxlabel("Days since the first of the event", fontsize=10)
    small.supylabel(f"Change ({UNIT})", fontsize=10)
    counts = [n for n in course["n"] if n]
    told = f"{min(counts)} to {max(counts)}" if counts and min(counts) != max(counts) else f"{max(counts)}"
    headline(
        figure,
        f"Soil moisture around rain events, n = {told} events a day",
        simulated,
        "Less the value before the event; bands: half of the events; black: in situ, on the same days",
    )
    return figure


@styled
def series(panels: Sequence[Panel], titles: Mapping[str, str], *, simulated: bool = False) -> Figure:
    """Soil moisture of a few stations against time, with rain from above (Xu et al. 2024, figure 8).

    Args:
        panels: of the stations, from top to bottom.
        titles: of the probe and the products, in order.
        simulated: mark the figure as simulated.

    Returns:
        A row a station: SMAP, the downscaled map and the probe; with further products, all of them in a
        column before. Shaded days are the events that count.
    """
    main = [name for name in MAIN if name in titles]
    sets = [main] if len(titles) == len(main) else [list(titles), main]
    figure = Figure(figsize=(9.0 if len(sets) == 1 else 14.0, 2.5 * len(panels) + 1.1), layout="constrained")
    grid = figure.subplots(len(panels), len(sets), squeeze=False, sharey="row", sharex="row")
    colours = product_colours(titles)
    for row, panel in zip(grid, panels, strict=True):
        part = panel.window()
        dates = panel.dates[part].to_numpy()
        fallen = np.nan_to_num(panel.rain[part])
        known = np.concatenate([values[part] for values in panel.series.values()])
        low, high = (float(end) for end in (np.nanmin(known), np.nanmax(known)))
        for axes, names in zip(row, sets, strict=True):
            above = axes.twinx()
            above.bar(dates, fallen, color=RAIN_COLOUR, width=1.0, alpha=0.8)
            most = max(10.0, float(fallen.max()))
            above.set_ylim(2.6 * most, 0)
            above.set_yticks([tick for tick in above.get_yticks() if 0 <= tick <= 1.2 * most])
            above.spines["right"].set_visible(True)
            above.set_ylabel("Rain (mm/day)" if axes is row[-1] else "")
            axes.set_zorder(above.get_zorder() + 1)
            axes.patch.set_visible(False)
            for start, end in panel.events:
                if start >= panel.dates[part][0] and end <= panel.dates[part][-1]:
                    half = pd.Timedelta(hours=12)
                    axes.axvspan(start - half, end + half, color=RAIN_COLOUR, alpha=0.18, lw=0)
            for name in [one for one in (*reversed(names), PROBE) if one in panel.series]:
                _line(axes, dates, panel.series[name][part], name, colours[name], titles[name])
            axes.set_ylim(low - 0.05 * (high - low), high + 0.35 * (high - low) + 1e-6)
            axes.grid(visible=True)
            locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        row[0].set_ylabel(f"SM ({UNIT})")
        held = sum(
            start >= panel.dates[part][0] and end <= panel.dates[part][-1] for start, end in panel.events
        )
        whole = len(panel.events)
        counted = f"{held}" if held == whole else f"{held} of {whole}"
        row[0].set_title(f"{panel.name}, {counted} event{'s' if whole != 1 else ''}", loc="left")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    last = dict(zip(labels, handles, strict=True))
    order = [titles[name] for name in titles if titles[name] in last]
    figure.legend([last[name] for name in order], order, loc="outside lower center", ncols=6, frameon=False)
    headline(
        figure,
        f"Soil moisture and rain at {len(panels)} station{'s' if len(panels) > 1 else ''}",
        simulated,
        "Bars from above: rain; shaded: events that count; the stations are those with most of them",
    )
    return figure


def product_colours(titles: Mapping[str, str]) -> dict[str, str]:
    """The colour of each product and of the probe, the same in all figures."""
    others = [name for name in titles if name not in FIXED]
    return {**FIXED, **{name: OTHERS[place % len(OTHERS)] for place, name in enumerate(others)}}


def _mean(axes: Axes, days: Values, course: Mapping[str, Any], name: str, colour: str, label: str) -> None:
    look: dict[str, Any] = {"lw": 1.6, "ls": "--" if name == SMAP else "-"}
    if name == PROBE:
        look |= {"marker": "o", "ms": 3, "lw": 1.1}
    axes.plot(days, course["products"][name]["mean"], color=colour, label=label, **look)


def _line(axes: Axes, dates: Any, values: Values, name: str, colour: str, label: str) -> None:
    look: dict[str, Any] = {"lw": 1.3, "ls": "--" if name == SMAP else "-"}
    if name == PROBE:
        look = {"lw": 0.8, "marker": "o", "ms": 2.2}
    elif name not in MAIN:
        look = {"lw": 1.0}
    axes.plot(dates, values, color=colour, label=label, **look)
