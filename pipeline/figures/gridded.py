"""Maps of pixels drawn on their own grid: panels, scales, outlines, and a colour for what is missing.

Maps of a season and of a day stand side by side in a report, so they are drawn alike: pixels as they are,
land without a value in grey, partitions as thin lines, a colour bar below that ends where few pixels lie
beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.figures.style import GREY

MISSING = "#a6a6a6"
TAIL = 2.0  # percent of the pixels at either end that share the last colour
WIDTH = 9.6  # inches, of maps side by side
Floats = NDArray[np.float64]
Land = NDArray[np.bool_]
Window = tuple[slice, slice]
"""Rows and columns of the grid."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A map of one quantity.

    Attributes:
        title: of it.
        field: (y, x), NaN where missing; None where there is none.
        palette: its colours.
        unit: of its values.
        lacking: what stands in its place where there is nothing to draw.
    """

    title: str
    field: Floats | None
    palette: Colormap
    unit: str
    lacking: str = ""


def frame_of(land: Land) -> Window:
    """Rows and columns of the land; all of them where there is none."""
    if not land.any():
        return slice(0, land.shape[0]), slice(0, land.shape[1])
    rows, columns = (np.flatnonzero(land.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def aspect(window: Window) -> float:
    """Height to width."""
    y, x = window
    return float((y.stop - y.start) / (x.stop - x.start))


def norm_of(values: Floats) -> Normalize:
    """A scale whose last colours hold ``TAIL`` percent of the values at either end; NaN counts as none."""
    known = values[np.isfinite(values)]
    low, high = (float(end) for end in np.percentile(known, (TAIL, 100 - TAIL))) if known.size else (0.0, 1.0)
    least = 1e-6 * max(1.0, abs(low))
    return Normalize(low, high) if high - low > least else Normalize(low - 0.5, high + 0.5)


def draw(axes: Axes, land: Land, window: Window, panel: Panel, norm: Normalize) -> Any | None:
    """Draw a window of a map; the image, or None where there is nothing to draw."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    extent = extent_of(window)
    if panel.field is None or not np.isfinite(panel.field[window]).any():
        axes.text(0.5, 0.5, panel.lacking or "no value", transform=axes.transAxes, ha="center", color=GREY)
        axes.set_aspect(1)
        axes.set(xlim=extent[:2], ylim=extent[2:])
        return None
    look: dict[str, Any] = {"extent": extent, "interpolation": "nearest"}
    axes.imshow(np.where(land[window], 0.0, np.nan), cmap=ListedColormap([MISSING]), **look)
    return axes.imshow(panel.field[window], cmap=panel.palette, norm=norm, **look)


def extent_of(window: Window) -> tuple[float, float, float, float]:
    """Where a window lies on axes whose unit is a pixel and whose origin is the first one's centre."""
    y, x = window
    return x.start - 0.5, x.stop - 0.5, y.stop - 0.5, y.start - 0.5


def outlines(axes: Axes, land: Land, codes: NDArray[np.integer[Any]], window: Window) -> None:
    """Outline of the land and of its partitions."""
    y, x = window
    padded = np.pad(np.where(land, codes, -1)[window], 1, constant_values=-1)
    at = np.arange(x.start - 1, x.stop + 1), np.arange(y.start - 1, y.stop + 1)
    axes.contour(*at, padded >= 0, levels=[0.5], colors="black", linewidths=0.5)
    for code in np.unique(padded[padded > 0])[1:]:
        axes.contour(*at, padded == code, levels=[0.5], colors="black", linewidths=0.35, alpha=0.7)


def bar(figure: Figure, image: Any, axes: Any, unit: str, ticks: int = 4) -> None:
    """A colour bar below axes, with few ticks."""
    drawn = figure.colorbar(image, ax=axes, location="bottom", label=unit, pad=0.02, aspect=24, shrink=0.92)
    drawn.outline.set_visible(False)
    drawn.ax.tick_params(labelsize=8.5)
    drawn.ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(ticks))
