"""A day's predictors as maps, at 1 km and on the cells side by side, and the map of the partitions.

A reader judges an export by them before anything is learnt from it: a seam, a wrong unit, a gap or a mountain
in the plain shows at once, as both scales of a predictor share their colours. Readers with any colour vision
tell those apart, and none of them is the grey of what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import BoundaryNorm, Colormap, LightSource, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy import ndimage

from gee import grids, layers
from gee.landcover import CLASSES, LAND, TYPES
from gee.layers import Scale
from gee.partitions import BAND as PARTITION
from pipeline.columns import EXPORTED, PREDICTORS, VARIABLES
from pipeline.cubes.exported import Day, Land, Mask, Values
from pipeline.errors import DataError
from pipeline.figures import palettes
from pipeline.figures.naming import SIGNS, spelled
from pipeline.figures.palettes import colormap
from pipeline.figures.style import headline, save, styled
from pipeline.work.staging import whole

MISSING = "#a6a6a6"
# Where a map has room for more than an abbreviation.
TITLES = {"dem": "Elevation", "doy": "Day of year", "twi": "Topographic wetness"}
TAIL = 2.0  # percent of the 1 km pixels at either end that share the last colour
WATER = "#1f3b73"
ANHUI_KM2 = math.fsum(row.paper_km2 for row in TYPES)
PAPER_SHARES: Mapping[str, int] = MappingProxyType({"HB": 27, "JH": 23, "WX": 12, "YJ": 21, "WN": 17})
"""Percent of Anhui, Xu et al. 2024 section 2.1; WX and WN are 29 there, split by their samples in table 3."""

COLUMNS = 3
MAP_AREA, PARTITION_MAP_AREA = 3.1, 36.0  # square inches
EDGE = 0.02  # of the region's longer side, free around the maps
MARGIN, GAP, HEAD, FOOT, TOP = 0.15, 0.06, 0.42, 0.5, 0.75  # inches around maps and above all
BAR = (0.16, 0.1)  # inches from the maps to the colour bar, and its height


@dataclass(frozen=True)
class Colours:
    """How the values of a predictor become colours at both scales."""

    palette: Colormap
    norm: Normalize
    extend: str


@dataclass(frozen=True)
class Frame:
    """The part of a land that is drawn: its region and what reaches beyond it, in metres of the grid."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, land: Land, corners: Values) -> Frame:
        """Around a region and its cells."""
        rows, columns = (np.flatnonzero(land.region.any(axis=axis)) for axis in (1, 0))
        left, top = land.place(columns[0], rows[0])
        right, bottom = land.place(columns[-1] + 1, rows[-1] + 1)
        (low_x, low_y), (high_x, high_y) = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        edge = EDGE * max(right - left, top - bottom)
        return cls(
            min(left, low_x) - edge, max(right, high_x) + edge,
            min(bottom, low_y) - edge, max(top, high_y) + edge,
        )  # fmt: skip

    @property
    def aspect(self) -> float:
        """Width to height."""
        return (self.right - self.left) / (self.top - self.bottom)


@dataclass(frozen=True)
class Canvas:
    """A figure on which maps are placed by inches from the upper left corner."""

    figure: Figure
    frame: Frame
    width: float
    height: float

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Empty axes."""
        across, down = self.figure.get_size_inches()
        return self.figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))

    def map(self, left: float, top: float) -> Axes:
        """Axes of the frame, in metres, without ticks."""
        axes = self.axes(left, top, self.width, self.height)
        frame = self.frame
        axes.set(xlim=(frame.left, frame.right), ylim=(frame.bottom, frame.top), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes


@styled
def draw_day(day: Day, out: Path) -> None:
    """Write a day's predictors, all that were exported, each at 1 km and on the cells.

    Args:
        day: to draw.
        out: PNG file.

    Raises:
        DataError: the file cannot be written.
    """
    land = day.land
    corners = land.corners()
    fine = {**land.fine, **day.fine}
    cells = land.cells.join(day.cells)
    frame = Frame.around(land, corners)
    across = math.sqrt(MAP_AREA * frame.aspect)
    down = MAP_AREA / across
    slot = (2 * across + GAP + 2 * MARGIN, HEAD + down + FOOT)
    # The day of year is in no file, as it is the same everywhere; its place holds the key.
    names = [*(name for name in (*PREDICTORS, *EXPORTED) if name in fine), "doy"]
    rows = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * slot[0], TOP + rows * slot[1]))
    canvas = Canvas(figure, frame, across, down)
    for place, name in enumerate(names):
        row, column = divmod(place, COLUMNS)
        left, top = column * slot[0] + MARGIN, TOP + row * slot[1]
        lined = VARIABLES[name]
        unit = SIGNS.get(lined.unit, lined.unit)
        title = TITLES.get(name, spelled(name)) + (f" ({unit})" if unit else "")
        figure.text(*_placed(figure, left, top + 0.14), title, fontweight="bold", fontsize=9.5)
        if name == "doy":
            _key(canvas, left, top + HEAD, day, slot)
            continue
        means = cells[name].to_numpy(np.float64)
        valid = cells[f"{name}_valid"].to_numpy(np.float64) if name in day.fine else np.isfinite(means) * 1.0
        pixels = np.where(land.region, fine[name], np.nan)
        seen = np.isfinite(pixels[land.region]).mean()
        colours = _class_colours() if name == "lc" else _colours(layers.SCALES[name], pixels)
        for side, (told, share) in enumerate((("1 km", seen), ("cells", valid.mean()))):
            axes = canvas.map(left + side * (across + GAP), top + HEAD)
            if side == 0:
                drawn = _draw_pixels(axes, land, pixels, colours)
            else:
                _draw_cells(axes, corners, means, valid, colours)
            _outline(axes, land)
            axes.set_title(f"{told}: {_percent(share)}", fontsize=7.5, loc="left", pad=2)
        bar = canvas.axes(left, top + HEAD + down + BAR[0], 2 * across + GAP, BAR[1])
        if seen > 0:
            held = figure.colorbar(drawn, cax=bar, orientation="horizontal", extend=colours.extend)
            held.ax.tick_params(labelsize=7.5, pad=1.5)
            held.outline.set_visible(False)
            if name == "lc":
                held.set_ticks(list(CLASSES), labels=list(CLASSES.values()))
                held.ax.tick_params(length=0)
        else:
            bar.set_axis_off()
            bar.text(0, 0, "no value in the region", fontsize=7.5, va="center")
    _scale_bar(figure.axes[0], frame)
    size = f"{land.region.sum():,} pixels of 1 km and {len(cells):,} cells"
    title = f"{len(names)} predictors on {day.date}, {size}"
    headline(figure, title, day.simulated, "Percent: share of the region, and of the cells, that has a value")
    _write(figure, out)


@styled
def draw_partitions(land: Land, out: Path) -> None:
    """Write the map of the partitions, with the share of the region's area that each has.

    Shares are counts of 1 km pixels, whose areas differ by less than 1 %. Where the units are those of Xu et
    al. 2024 and the region is as large as Anhui, the paper's shares stand beside.

    Args:
        land: to draw.
        out: PNG file.

    Raises:
        DataError: the land is not parted, or the file cannot be written.
    """
    codes = np.where(land.region, land.fine[PARTITION], np.nan)
    names = _names(land)
    if not names:
        raise DataError("The study has no partitions: there is no map of them to draw.")
    total = land.region.sum()
    shares = {code: float((codes == code).sum() / total) for code in names}
    frame = Frame.around(land, land.corners())
    across = math.sqrt(PARTITION_MAP_AREA * frame.aspect)
    down = PARTITION_MAP_AREA / across
    figure = Figure(figsize=(across + 0.3 + 3.2, down + 0.8))
    axes = Canvas(figure, frame, across, down).map(0.15, 0.65)
    palette = _partition_palette(len(names))
    places = {code: number for number, code in enumerate(names)}
    image = np.zeros((*codes.shape, 3))
    for code, number in places.items():
        image[codes == code] = palette[number]
    image[land.region & ~np.isin(codes, list(names))] = mpl.colors.to_rgb(MISSING)
    relief = np.nan_to_num(land.fine["dem"])
    image = LightSource(315, 45).shade_rgb(
        image, relief, blend_mode="soft", vert_exag=12, dx=land.grid.resolution.x, dy=land.grid.resolution.x
    )
    image[land.fine[LAND] == 0] = mpl.colors.to_rgb(WATER)
    box = land.grid.boundingbox
    axes.imshow(
        np.dstack([image, land.region]), extent=(box.left, box.right, box.bottom, box.top),
        interpolation="nearest",
    )  # fmt: skip
    _outline(axes, land)
    for code, name in names.items():
        x, y = land.place(*_inmost(codes == code))
        axes.text(x, y, name, ha="center", va="center", fontweight="bold", fontsize=12)
    _scale_bar(axes, frame)
    paper = PAPER_SHARES if _is_anhui(names, float(total)) else {}
    lines = [
        f"{name}   {100 * shares[code]:.1f} %" + (f"   (paper {paper[name]} %)" if paper else "")
        for code, name in names.items()
    ]
    rest = 1 - math.fsum(shares.values())
    handles = [Patch(color=tuple(palette[number])) for number in places.values()]
    handles += [Patch(color=WATER)]
    lines += ["water"]
    if round(rest, 4) > 0:
        handles, lines = [*handles, Patch(color=MISSING)], [*lines, f"outside of all   {100 * rest:.1f} %"]
    axes.legend(handles, lines, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    headline(
        figure, f"{len(names)} terrain partitions, {total:,} km²", land.simulated,
        "Share of the area; relief shaded" + ("; paper: WX and WN 29 % together" if paper else ""),
    )  # fmt: skip
    _write(figure, out)


def _colours(look: Scale, pixels: Values) -> Colours:
    """A scale's colours between percentiles of what is seen, and which ends lie beyond."""
    palette = colormap(look)
    seen = pixels[np.isfinite(pixels)]
    if not seen.size:
        return Colours(palette, Normalize(0, 1), "neither")
    low, high = (float(limit) for limit in np.percentile(seen, (TAIL, 100 - TAIL)))
    if high - low < 1e-6 * max(1, abs(low)):
        low, high = low - 0.5, high + 0.5
    ends = bool(seen.min() < low), bool(seen.max() > high)
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(ends, "neither")
    return Colours(palette, Normalize(low, high), extend)


def _class_colours() -> Colours:
    look = layers.LAND_COVER
    codes = len(look.names)
    edges = look.first + np.arange(codes + 1) - 0.5
    return Colours(ListedColormap(palettes.colours(look)), BoundaryNorm(edges, codes), "neither")


def _draw_pixels(axes: Axes, land: Land, pixels: Values, colours: Colours) -> Any:
    box = land.grid.boundingbox
    extent = (box.left, box.right, box.bottom, box.top)
    look: dict[str, Any] = {"extent": extent, "interpolation": "nearest", "aspect": "auto"}
    axes.imshow(np.where(land.region, 0.0, np.nan), cmap=ListedColormap([MISSING]), **look)
    return axes.imshow(pixels, cmap=colours.palette, norm=colours.norm, **look)


def _draw_cells(axes: Axes, corners: Values, values: Values, valid: Values, colours: Colours) -> None:
    """Cells as grey rectangles, under coloured ones of the size of the share that is valid."""
    known = np.isfinite(values)
    axes.add_collection(PolyCollection(list(corners), facecolor=MISSING, linewidth=0, antialiased=False))
    centres = corners.mean(axis=1, keepdims=True)
    seen = centres + (corners - centres) * np.sqrt(np.clip(valid, 0, 1))[:, None, None]
    coloured = PolyCollection(
        list(seen[known]), array=values[known], cmap=colours.palette, norm=colours.norm, linewidth=0,
        antialiased=False,
    )  # fmt: skip
    axes.add_collection(coloured)


def _outline(axes: Axes, land: Land) -> None:
    """The border of the region, also where it is the border of the grid."""
    x, y = (land.grid.coordinates[name].values for name in land.grid.dimensions[::-1])
    step = land.grid.resolution
    x = np.concatenate([[x[0] - step.x], x, [x[-1] + step.x]])
    y = np.concatenate([[y[0] - step.y], y, [y[-1] + step.y]])
    inside = np.pad(land.region.astype(float), 1)
    axes.contour(x, y, inside, levels=[0.5], colors="black", linewidths=0.5)


def _scale_bar(axes: Axes, frame: Frame) -> None:
    """A bar of a round length, at most a third of the map's width."""
    room = (frame.right - frame.left) / 3000
    ten = 10 ** math.floor(math.log10(room))
    length = max(step * ten for step in (1, 2, 5) if step * ten <= room)
    rise = (frame.top - frame.bottom) * 0.015
    left, bottom = frame.left + rise, frame.bottom + rise
    bar = Rectangle((left, bottom), length * 1000, rise, facecolor="black", edgecolor="white", zorder=5)
    axes.add_patch(bar)
    axes.text(
        left, bottom + 1.5 * rise, f"{length:g} km", fontsize=7.5, va="bottom", zorder=5,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _key(canvas: Canvas, left: float, top: float, day: Day, slot: tuple[float, float]) -> None:
    """The day of year, in place of a map of one number, and what the signs of the maps mean."""
    axes = canvas.axes(left, top, slot[0] - 2 * MARGIN, canvas.height)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.text(0, 0.98, f"{day.date.timetuple().tm_yday}", fontsize=26, va="top")
    axes.text(0, 0.72, "the same everywhere", fontsize=7.5, va="top")
    explained = (
        "Both maps of a predictor share a colour bar, which ends\n"
        f"where {TAIL:g} % of the 1 km pixels lie beyond, at either end.\n"
        "Grey is missing. A cell's coloured part is as large as\n"
        "its valid share. Where there is no cell, SMAP's raster\n"
        "on Earth Engine has none. Land cover of a cell is the\n"
        "class of its largest share."
    )
    axes.text(0, 0.58, explained, fontsize=7.5, va="top", linespacing=1.35)


def _placed(figure: Figure, left: float, top: float) -> tuple[float, float]:
    across, down = figure.get_size_inches()
    return left / across, 1 - top / down


def _percent(share: float) -> str:
    """A share in whole percent, whose ends are kept for none and all."""
    text = f"{share:.0%}"
    if text == "100%" and share < 1:
        text = "> 99%"
    elif text == "0%" and share > 0:
        text = "< 1%"
    return text.replace("%", " %")


def _names(land: Land) -> dict[int, str]:
    """The partitions that occur, by code: a cell's name stands at its centre in the image."""
    codes = np.where(land.region, np.nan_to_num(land.fine[PARTITION]), 0).astype(int)
    found = {int(code): f"unit {code}" for code in np.unique(codes) if code}
    centres = land.corners().mean(axis=1)
    side, _, left, _, down, top = grids.crs_transform(land.grid)
    columns = np.floor((centres[:, 0] - left) / side).astype(int)
    rows = np.floor((centres[:, 1] - top) / down).astype(int)
    height, width = codes.shape
    within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    met = codes[rows[within], columns[within]]
    named = land.cells[PARTITION].to_numpy()[within]
    for code in found:
        names, counts = np.unique(named[(met == code) & (named != "")], return_counts=True)
        if len(names):
            found[code] = str(names[counts.argmax()])
    return found


def _is_anhui(names: Mapping[int, str], area_km2: float) -> bool:
    return set(names.values()) == set(PAPER_SHARES) and abs(area_km2 / ANHUI_KM2 - 1) < 0.02


def _partition_palette(number: int) -> Values:
    if number <= len(layers.QUALITATIVE):
        return np.array([mpl.colors.to_rgb(f"#{colour}") for colour in layers.QUALITATIVE[:number]])
    return np.asarray(mpl.colormaps["viridis"](np.linspace(0.15, 1, number))[:, :3], np.float64)


def _inmost(mask: Mask) -> tuple[float, float]:
    """Column and row of the pixel that lies farthest from the edge of a mask."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(column) - 0.5, float(row) - 0.5


def _write(figure: Figure, out: Path) -> None:
    try:
        with whole(out) as beside:
            save(figure, beside)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror}; name a file in a folder you own"
        ) from error
