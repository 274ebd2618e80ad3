"""One day as a prediction has it: SMAP, the stack, the corrected map, how sure it is, where it knows nothing.

Means of a season hide what a user of daily maps meets: whether a day's map shows SMAP's cells, how much the
correction changes, and where the interval is wide or the predictors are unlike all training samples. SMAP,
stack and corrected map share one scale, because a reader compares them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from gee.layers import SOIL_MOISTURE
from pipeline.figures.gridded import (
    MISSING,
    TAIL,
    WIDTH,
    Floats,
    Land,
    Panel,
    Window,
    aspect,
    bar,
    draw,
    extent_of,
    frame_of,
    norm_of,
    outlines,
)
from pipeline.figures.palettes import colormap
from pipeline.figures.style import UNIT, headline, styled
from pipeline.tables.titles import DOWNSCALED, INDEX, INSIDE, LOWER, UNCORRECTED, UPPER

COLUMNS = 3
OUTSIDE = "#E69F00"  # of the area of applicability
USED = (DOWNSCALED, UNCORRECTED, LOWER, UPPER, INDEX, INSIDE)


@dataclass(frozen=True, eq=False)
class Day:
    """A day of a prediction; arrays (y, x) on the fine grid, NaN where missing.

    Attributes:
        date: of it.
        land: pixels that are mapped.
        codes: partition of each, 0 outside of all.
        smap: SMAP's value of the day, m³/m³, as the cells are; None where there is none.
        fields: variables of ``pipeline.maps.bands`` by name: ``sm``, and those of ``sm_model``, ``sm_lower``,
            ``sm_upper`` (m³/m³), ``di`` and ``aoa`` that there are.
        simulated: mark the figure as simulated.
    """

    date: dt.date
    land: Land
    codes: NDArray[np.integer[Any]]
    smap: Floats | None
    fields: Mapping[str, Floats]
    simulated: bool

    @classmethod
    def of(
        cls,
        prediction: xr.Dataset,
        date: dt.date,
        land: Land,
        codes: NDArray[np.integer[Any]],
        smap: Floats | None,
        *,
        simulated: bool,
    ) -> Day:
        """Read a day of a prediction.

        Args:
            prediction: with ``sm`` and whatever else of its variables there is, (time, y, x).
            date: one of its days.
            land: as below, with the following.
            codes: of partitions.
            smap: of the day.
            simulated: mark the figure as simulated.

        Raises:
            KeyError: the prediction has no such day.
        """
        there = [name for name in USED if name in prediction]
        part = prediction[there].sel(time=np.datetime64(date, "ns"))
        fields = {name: np.where(land, part[name].to_numpy().astype(np.float64), np.nan) for name in there}
        return cls(date, land, codes, smap, fields, simulated)


@styled
def one_day(shown: Day) -> Figure:
    """The maps of a day, those of which there is something to draw.

    Args:
        shown: with ``sm`` at least.

    Returns:
        Up to six panels: SMAP's cells; the stack; the map corrected to SMAP; corrected less stack; width of
        the 90 % interval; dissimilarity to the training samples, with what lies outside the area of
        applicability.
    """
    window = frame_of(shown.land)
    moistures = _moistures(shown)
    shared = norm_of(np.concatenate([field[window].ravel() for _, field in moistures]))
    palette = colormap(SOIL_MOISTURE)
    panels = [(Panel(title, field, palette, UNIT), shared) for title, field in moistures]
    panels += _others(shown, window)
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    across = WIDTH / COLUMNS
    size = (across * columns, rows * (across * aspect(window) + 0.75) + 0.9)
    figure = Figure(figsize=size, layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (panel, norm), letter in zip(grid.flat, panels, "abcdef", strict=False):
        image = draw(axes, shown.land, window, panel, norm)
        axes.set_title(f"({letter}) {panel.title}", loc="left")
        if image is None:
            continue
        if panel.field is shown.fields.get(INDEX):
            _mark_outside(axes, shown, window)
        outlines(axes, shown.land, shown.codes, window)
        bar(figure, image, axes, panel.unit)
    if handles := _key(shown, [panel for panel, _ in panels]):
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    alike = f"(a) to ({'abc'[len(moistures) - 1]}) share their colours; " if len(moistures) > 1 else ""
    headline(
        figure, f"One day: {shown.date}", shown.simulated,
        f"{alike}colours end where {TAIL:g} % of pixels lie beyond",
    )  # fmt: skip
    return figure


def _moistures(shown: Day) -> list[tuple[str, Floats]]:
    """What is soil moisture, with its titles."""
    fields = shown.fields
    found = [("SMAP L4", shown.smap)]
    if UNCORRECTED in fields:
        found += [("Stack", fields[UNCORRECTED]), ("Corrected to SMAP", fields[DOWNSCALED])]
    else:
        found.append(("Stack", fields[DOWNSCALED]))
    return [(title, field) for title, field in found if field is not None]


def _others(shown: Day, window: Window) -> list[tuple[Panel, Normalize]]:
    """What is told of it, with scales of its own."""
    fields, palettes = shown.fields, mpl.colormaps
    found = []
    if UNCORRECTED in fields:
        change = fields[DOWNSCALED] - fields[UNCORRECTED]
        most = _highest(np.abs(change[window]))
        found.append((
            Panel("Corrected less stack", change, palettes["PuOr"], UNIT), Normalize(-most, most)
        ))  # fmt: skip
    if LOWER in fields and UPPER in fields:
        width = fields[UPPER] - fields[LOWER]
        panel = Panel("Width of the 90 % interval", width, palettes["magma_r"], UNIT)
        found.append((panel, norm_of(width[window])))
    if INDEX in fields:
        panel = Panel("Unlike the training samples", fields[INDEX], palettes["Blues"], "dissimilarity index")
        marked = fields[INSIDE] == 0 if INSIDE in fields else np.zeros_like(shown.land)
        seen = np.where(marked, np.nan, fields[INDEX])[window]  # what is marked outside has no blue
        found.append((panel, Normalize(0, _highest(seen))))
    return found


def _highest(values: Floats) -> float:
    """Where the colours of values from 0 end."""
    known = values[np.isfinite(values)]
    return max(float(np.percentile(known, 100 - TAIL)), 1e-6) if known.size else 1.0


def _mark_outside(axes: Axes, shown: Day, window: Window) -> None:
    """Colour what lies outside the area of applicability, where it is known."""
    if INSIDE in shown.fields:
        outside = np.where(shown.fields[INSIDE][window] == 0, 0.0, np.nan)
        look: dict[str, Any] = {"interpolation": "nearest", "extent": extent_of(window)}
        axes.imshow(outside, cmap=ListedColormap([OUTSIDE]), **look)


def _key(shown: Day, panels: list[Panel]) -> list[Patch]:
    gaps = any((~np.isfinite(panel.field) & shown.land).any() for panel in panels if panel.field is not None)
    handles = [Patch(color=MISSING, label="land without a value")] if gaps else []
    if INDEX in shown.fields and INSIDE in shown.fields:
        share = float((shown.fields[INSIDE][shown.land] == 0).mean()) if shown.land.any() else 0.0
        told = f"outside the area of applicability ({100 * share:.1f} % of the land)"
        handles.append(Patch(color=OUTSIDE, label=told))
    return handles
