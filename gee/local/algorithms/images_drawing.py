"""Vectors drawn into pixels: painted with numbers, or styled with colours.

A polygon covers the pixels whose centre it holds; a line those whose centre is within half its width;
both are drawn exactly, without smoothed edges, so that a tile needs nothing of its neighbours. A marker's
size is its radius, as the description of ``neighborhood`` counts it. Sources: guides/
feature_collections_visualizing, descriptions of ``Image.paint`` and ``Collection.style``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features
from shapely.geometry.base import BaseGeometry

from gee.local.algorithms.images_visualization import BYTE, RGB, Colour, colour
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import WGS84, Grid
from gee.local.raster.images import Band, Image, saturated
from gee.local.raster.pixels import Located, Pick, Pointwise, Raster, digest
from gee.local.raster.regions import key_of
from gee.local.registry import algorithm
from gee.local.selection.filters import geometry_of
from gee.local.values import Collection

FILL_OPACITY = 0.66  # description of Collection.style, fillColor
_QUARTER = 8  # segments of a quarter circle at the end of a line


class Layer:
    """Features with what is to be drawn of each, found quickly by place.

    Args:
        geometries: of the features, in order.
    """

    def __init__(self, geometries: Sequence[Geometry]) -> None:
        self._geometries = tuple(geometries)
        self._trees: dict[str, tuple[NDArray[Any], shapely.STRtree]] = {}
        self.key = digest(*(key_of(geometry) for geometry in self._geometries))

    def on(self, grid: Grid, reach: float = 0.0) -> Iterator[tuple[int, BaseGeometry]]:
        """Position and shape, in the grid's pixels, of the features that come within so many pixels of it."""
        if grid.crs not in self._trees:
            placed = np.array([geometry.shape_in(grid.crs) for geometry in self._geometries], object)
            self._trees[grid.crs] = placed, shapely.STRtree(placed)
        shapes, tree = self._trees[grid.crs]
        around = math.ceil(reach) + 1
        wider = grid.padded(around, around)
        x, y = wider.projection.to_crs(
            np.array([0.0, wider.width, 0, wider.width]), np.array([0.0, 0, wider.height, wider.height])
        )
        here = shapely.box(x.min(), y.min(), x.max(), y.max())

        def to_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack(grid.projection.to_pixels(points[:, 0], points[:, 1]), axis=1)

        for index in sorted(tree.query(here).tolist()):
            yield index, shapely.transform(shapes[index], to_pixels)


def burn(
    shape: BaseGeometry, size: tuple[int, int], touched: bool = False
) -> tuple[Any, NDArray[np.bool_]] | None:
    """The pixels whose centre a polygon holds, or all that a shape touches.

    Returns:
        A window of a raster of this size, and where in it the pixels are; None if there are none.
    """
    if shape.is_empty:
        return None
    height, width = size
    left, top, right, bottom = shape.bounds
    left, top = max(0, math.floor(left)), max(0, math.floor(top))
    right, bottom = min(width, math.ceil(right) + 1), min(height, math.ceil(bottom) + 1)
    if left >= right or top >= bottom:
        return None
    moved = shapely.transform(shape, lambda points: points - [left, top])
    inside = features.rasterize(
        [moved], (bottom - top, right - left), fill=0, all_touched=touched, dtype="uint8"
    ).astype(np.bool_)
    return np.s_[top:bottom, left:right], inside


def parts_by_kind(shape: BaseGeometry) -> tuple[BaseGeometry, BaseGeometry, BaseGeometry]:
    """The polygons, lines and points of a shape, each as one shape."""
    parts = list(shapely.get_parts(shape)) if hasattr(shape, "geoms") else [shape]
    chosen: dict[int, list[BaseGeometry]] = {0: [], 1: [], 2: []}
    for part in parts:
        chosen[int(shapely.get_dimensions(part))].append(part)
    polygons = shapely.union_all(chosen[2]) if len(chosen[2]) > 1 else shapely.MultiPolygon(chosen[2])
    return polygons, shapely.GeometryCollection(chosen[1]), shapely.GeometryCollection(chosen[0])


def _thick(shape: BaseGeometry, width: float, size: tuple[int, int]) -> BaseGeometry:
    """All within half a width of a line or point, as far as a raster of this size shows it."""
    around = width + 1  # where a line is cut, its rounded end stays out of sight
    near = shapely.clip_by_rect(shape, -around, -around, size[1] + around, size[0] + around)
    return shapely.buffer(near, max(width, 1e-6) / 2, quad_segs=_QUARTER)


@dataclass(frozen=True)
class _Painted:
    """Numbers and line widths by feature."""

    layer: Layer
    values: tuple[float, ...]
    widths: tuple[float | None, ...]

    def on(self, grid: Grid) -> Raster:
        """The numbers where a feature is, masked elsewhere; the last feature is on top."""
        values, mask = np.zeros(grid.shape), np.zeros(grid.shape, np.bool_)
        reach = max((width or 0.0 for width in self.widths), default=0.0)
        for index, shape in self.layer.on(grid, reach):
            width = self.widths[index]
            polygons, lines, points = parts_by_kind(shape)
            if width is None:
                spots = shapely.buffer(points, 0.5, cap_style="square")
                drawn = [polygons, _thick(lines, 1, grid.shape), spots]
            else:
                outlines = (shapely.boundary(polygons), lines, points)
                drawn = [_thick(part, width, grid.shape) for part in outlines]
            for part in drawn:
                burnt = burn(part, grid.shape)
                if burnt is not None:
                    here, inside = burnt
                    values[here][inside] = self.values[index]
                    mask[here] |= inside
        return Raster(values, mask)


def _number(feature: Any, wanted: Any, what: str) -> float | None:
    """A number for a feature: the one for all, or its property; None where it has none."""
    if isinstance(wanted, (bool, int, float)):
        return float(wanted)
    if not isinstance(wanted, str):
        raise EngineError(f"The {what} must be a number or the name of a property. Found {wanted}.")
    value = feature.get(wanted)
    if value is None:
        try:
            return float(wanted)  # the guide paints with '000000'
        except ValueError:
            return None
    if not isinstance(value, (bool, int, float)):
        raise EngineError(f"The {what} property '{wanted}' must be a number. Found {value}.")
    return float(value)


@algorithm("Image.paint")
def paint(image: Image, collection: Collection, value: Any, width: Any) -> Image:
    """Every band with a number where a feature, or its outline of some width, is; painted pixels are valid.

    Features without the number's property are left out.
    """
    chosen: list[tuple[Geometry, float, float | None]] = []
    for feature in collection:
        geometry = geometry_of(feature)
        number = _number(feature, value, "color")
        thickness = None if width is None else _number(feature, width, "width")
        if geometry is None or number is None or (width is not None and thickness is None):
            continue
        chosen.append((geometry, number, thickness))
    painted = _Painted(
        Layer([geometry for geometry, _, _ in chosen]),
        tuple(number for _, number, _ in chosen),
        tuple(thickness for _, _, thickness in chosen),
    )
    paper = Located("paint", painted.on, painted.layer.key, painted.values, painted.widths)

    def put(band: Band, raster: Raster, paint: Raster) -> Raster:
        assert paint.mask is not None  # noqa: S101
        values = np.where(paint.mask, saturated(paint.values, band.type), raster.values)
        if raster.mask is None:
            return Raster(values)
        return Raster(values, np.where(paint.mask, np.ones((), raster.mask.dtype), raster.mask))

    return image.with_bands(
        replace(band, pixels=Pointwise("painted", partial(put, band), [band.pixels, paper], band.type))
        for band in image.bands
    )


@dataclass(frozen=True)
class Style:
    """How a feature is drawn.

    Args:
        color: of lines, outlines and markers' outlines.
        size: radius of a point's marker, pixels.
        shape: of the marker, one of `MARKERS`.
        width: of lines and outlines, pixels.
        fill: of polygons and markers.
    """

    color: Colour
    size: float
    shape: str
    width: float
    fill: Colour


def _corners(count: int, start: float, inner: float | None = None) -> tuple[tuple[float, float], ...]:
    """Corners of a regular polygon of radius 1, or of a star, beginning so many degrees from upwards."""
    steps = count if inner is None else 2 * count
    radii = [1.0 if inner is None or step % 2 == 0 else inner for step in range(steps)]
    angles = [math.radians(start + 360 * step / steps) for step in range(steps)]
    return tuple((r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, angles, strict=True))


_FIVE_STAR = _corners(5, 0, math.sin(math.radians(18)) / math.sin(math.radians(54)))
_SIX_STAR = _corners(6, 0, 1 / math.sqrt(3))
_UP = _corners(3, 0)

MARKERS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "diamond": _corners(4, 0),
    "pentagram": _FIVE_STAR,
    "star5": _FIVE_STAR,
    "hexagram": _SIX_STAR,
    "star6": _SIX_STAR,
    "triangle": _UP,
    "triangle_up": _UP,
    "triangle_down": _corners(3, 180),
    "triangle_left": _corners(3, 270),
    "triangle_right": _corners(3, 90),
    "pentagon": _corners(5, 0),
    "hexagon": _corners(6, 0),
    "circle": (),
    "plus": (),
    "cross": (),
}
_ABBREVIATIONS = {
    "o": "circle", "s": "square", "d": "diamond", "x": "cross", "+": "plus", "p": "pentagram",
    "h": "hexagram", "^": "triangle_up", "v": "triangle_down", "<": "triangle_left", ">": "triangle_right",
}  # fmt: skip
_STROKES = {"plus": ((0, 1), (1, 0)), "cross": ((1, 1), (1, -1))}


def _marker(x: float, y: float, style: Style) -> BaseGeometry:
    """A point's marker: a polygon, or crossed lines."""
    if style.shape in _STROKES:
        reach = style.size if style.shape == "plus" else style.size / math.sqrt(2)
        strokes = [
            [(x - i * reach, y - j * reach), (x + i * reach, y + j * reach)] for i, j in _STROKES[style.shape]
        ]
        return shapely.MultiLineString(strokes)
    if style.shape == "circle":
        return shapely.Point(x, y).buffer(style.size, quad_segs=_QUARTER)
    return shapely.Polygon([(x + i * style.size, y + j * style.size) for i, j in MARKERS[style.shape]])


@dataclass(frozen=True)
class _Drawing:
    """Features with their styles."""

    layer: Layer
    styles: tuple[Style, ...]

    def on(self, grid: Grid) -> list[Raster]:
        """Red, green and blue, with the opacity as their mask."""
        ink = _Ink(grid.shape)
        reach = max((style.size + style.width for style in self.styles), default=0.0)
        for index, shape in self.layer.on(grid, reach):
            style = self.styles[index]
            polygons, lines, points = parts_by_kind(shape)
            for x, y in shapely.get_coordinates(points).tolist():
                ink.figure(_marker(x, y, style), style)
            ink.figure(lines, style)
            ink.figure(polygons, style)
        return ink.rasters()


class _Ink:
    """A sheet on which colours are laid over one another."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._size = shape
        self._colour = np.zeros((3, *shape))
        self._opacity = np.zeros(shape)

    def figure(self, shape: BaseGeometry, style: Style) -> None:
        """A filled outline, or a line."""
        if shape.is_empty:
            return
        if shapely.get_dimensions(shape) == 2:
            self._lay(shape, style.fill)
            shape = shapely.boundary(shape)
        if style.width > 0:
            self._lay(_thick(shape, style.width, self._size), style.color)

    def _lay(self, shape: BaseGeometry, ink: Colour) -> None:
        burnt = burn(shape, self._size)
        if burnt is None or ink.opacity == 0:
            return
        here, inside = burnt
        below = self._opacity[here] * (1 - ink.opacity)
        total = ink.opacity + below
        for channel, level in zip(self._colour, ink[:3], strict=True):
            mixed = (level * ink.opacity + channel[here] * below) / total
            channel[here] = np.where(inside, mixed, channel[here])
        self._opacity[here] = np.where(inside, total, self._opacity[here])

    def rasters(self) -> list[Raster]:
        """The three colours."""
        mask = self._opacity.astype(np.float32)
        return [Raster(np.rint(channel).astype(np.uint8), mask) for channel in self._colour]


def _drawn(collection: Collection, style: Callable[[Any], Style]) -> Image:
    chosen = [(geometry_of(feature), style(feature)) for feature in collection]
    shown = [(geometry, its) for geometry, its in chosen if geometry is not None]
    drawing = _Drawing(Layer([geometry for geometry, _ in shown]), tuple(its for _, its in shown))
    node = Located("draw", drawing.on, drawing.layer.key, drawing.styles)  # type: ignore[arg-type]
    return Image({}, tuple(Band(name, BYTE, WGS84, Pick(node, index)) for index, name in enumerate(RGB)))


@algorithm("Collection.draw")
def draw(collection: Collection, color: str, radius: int, width: int) -> Image:
    """Features in one colour, polygons filled with it at two thirds of its opacity."""
    ink = colour(color)
    style = Style(ink, radius, "circle", width, ink._replace(opacity=ink.opacity * FILL_OPACITY))
    return _drawn(collection, lambda feature: style)


_OPTIONS = ("color", "pointSize", "pointShape", "width", "fillColor", "lineType")


def _style(options: Mapping[str, Any]) -> Style:
    kind = str(options["lineType"])
    if kind not in ("solid", "dotted", "dashed"):
        raise EngineError(f"lineType must be one of solid, dotted, dashed. Found '{kind}'.")
    if kind != "solid":
        raise EngineError(f"Lines of type '{kind}' are not supported by the local engine.")
    shape = _ABBREVIATIONS.get(str(options["pointShape"]), str(options["pointShape"]))
    if shape not in MARKERS:
        raise EngineError(f"Unknown pointShape '{options['pointShape']}'.")
    ink = colour(options["color"])
    fill = options["fillColor"]
    return Style(
        ink,
        float(options["pointSize"]),
        shape,
        float(options["width"]),
        ink._replace(opacity=ink.opacity * FILL_OPACITY) if fill is None else colour(fill),
    )


@algorithm("Collection.style")
def style(
    collection: Collection,
    color: str,
    size: int,
    shape: str,
    width: float,
    fill: str | None,
    property_name: str | None,
    _: int,
    line: str,
) -> Image:
    """Features in a style that a property of theirs, a dictionary, may change."""
    common = dict(zip(_OPTIONS, (color, size, shape, width, fill, line), strict=True))
    default = _style(common)

    def its(feature: Any) -> Style:
        own = None if property_name is None else feature.get(property_name)
        if own is None:
            return default
        if not isinstance(own, Mapping):
            raise EngineError(f"The style property '{property_name}' must be a dictionary. Found {own}.")
        unknown = [name for name in own if name not in _OPTIONS]
        if unknown:
            raise EngineError(f"Unknown style option '{unknown[0]}'.")
        return _style({**common, **own})

    return _drawn(collection, its)
