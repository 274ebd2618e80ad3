"""What a dataset is to the engine: scenes with metadata, and a function that reads a window of pixels.

Sources know native grids, types and times but nothing of expression graphs, so that a simulated product, a
mounted file and a stored asset are served through the same few values. Grid transforms are written in Earth
Engine's order, and times are milliseconds since 1970 UTC as in ``system:time_start``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

DAY_MS = 86_400_000
PIECE = 256  # pixels a side of what is computed at once

Kind = Literal["IMAGE", "IMAGE_COLLECTION", "TABLE"]
Pyramiding = Literal["MEAN", "SAMPLE", "MODE"]
Transform = tuple[float, float, float, float, float, float]
Ring = tuple[tuple[float, float], ...]
Feature = tuple[Mapping[str, Any], Mapping[str, object]]
Pixels = tuple[NDArray[Any], NDArray[np.bool_]]


class Window(NamedTuple):
    """Rows ``row`` to ``row + height`` and columns ``col`` to ``col + width`` of a grid, end exclusive."""

    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True)
class RasterGrid:
    """A grid of pixels.

    Attributes:
        crs: ``EPSG:4326``, ``EPSG:32650``, ``SR-ORG:6974``, ``EPSG:6933``.
        transform: xScale, xShear, xTranslate, yShear, yScale, yTranslate (upper left corner of pixel 0, 0).
        width: number of columns.
        height: number of rows.
    """

    crs: str
    transform: Transform
    width: int
    height: int

    def centres(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of the pixel centres in the grid's CRS, each of shape (height, width)."""
        cols = window.col + np.arange(window.width) + 0.5
        rows = window.row + np.arange(window.height) + 0.5
        x_scale, x_shear, x0, y_shear, y_scale, y0 = self.transform
        x = x0 + x_scale * cols[None, :] + x_shear * rows[:, None]
        y = y0 + y_shear * cols[None, :] + y_scale * rows[:, None]
        return np.broadcast_to(x, window[2:]), np.broadcast_to(y, window[2:])

    def inside(self, window: Window) -> Window:
        """The part of ``window`` that lies on the grid; of height or width 0 where there is none."""
        row, col = max(window.row, 0), max(window.col, 0)
        bottom = min(window.row + window.height, self.height)
        right = min(window.col + window.width, self.width)
        return Window(row, col, max(bottom - row, 0), max(right - col, 0))


@dataclass(frozen=True)
class BandSpec:
    """One band of a scene.

    Attributes:
        name: as in the catalogue.
        dtype: NumPy's name of the pixel type.
        minimum: smallest value the type is declared to hold; None stands for the type's own.
        maximum: largest value, likewise.
        grid: where it is not the scene's.
        pyramiding: how lower resolutions are made.
    """

    name: str
    dtype: str
    minimum: float | None = None
    maximum: float | None = None
    grid: RasterGrid | None = None
    pyramiding: Pyramiding = "MEAN"


Read = Callable[[tuple[str, ...], Window], list[Pixels]]


@dataclass(frozen=True, eq=False)
class Scene:
    """One image of a dataset.

    Attributes:
        id: full asset id.
        index: ``system:index``.
        start: ``system:time_start``.
        end: ``system:time_end``, exclusive.
        grid: native grid.
        bands: in catalogue order.
        properties: without the ``system:`` ones.
        footprint: closed ring of longitude and latitude; None is the whole grid.
        read: values and validity (True is valid; a stored image may have fractions) of the bands asked, in
            that order, over a window of the grid that these bands share. Pixels outside it are invalid. The
            same pixel has the same value whichever window asks for it; any thread may call.
    """

    id: str
    index: str
    start: int
    end: int
    grid: RasterGrid
    bands: tuple[BandSpec, ...]
    properties: Mapping[str, object]
    footprint: Ring | None
    read: Read


@dataclass(frozen=True, order=True, slots=True)
class Slot:
    """When a scene is, and what it is called: what is needed to list a dataset without making its scenes."""

    start: int
    end: int
    index: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """An image, an image collection or a table.

    Attributes:
        id: asset id, without ``projects/earthengine-public/assets/``.
        kind: what it is.
        properties: of the dataset; ``title`` and ``simulated`` among them.
        slots: lists the scenes, sorted by start and index; called once.
        build: makes the scene of a slot, without its pixels.
        rows: geometry (GeoJSON) and properties of each feature of a table.
    """

    id: str
    kind: Kind
    properties: Mapping[str, object]
    slots: Callable[[], Sequence[Slot]] = tuple
    build: Callable[[Slot], Scene] | None = None
    rows: Callable[[], list[Feature]] = list

    @cached_property
    def _slots(self) -> Sequence[Slot]:
        return self.slots()

    @cached_property
    def _by_index(self) -> Mapping[str, Slot]:
        return {slot.index: slot for slot in self._slots}

    def _scene(self, slot: Slot) -> Scene:
        if self.build is None:
            raise KeyError(slot.index)
        return self.build(slot)

    def scenes(self, start: int | None = None, end: int | None = None) -> list[Scene]:
        """The scenes that start in [start, end), sorted by start and index; None leaves a side open."""
        first = 0 if start is None else bisect_left(self._slots, start, key=_start)
        last = len(self._slots) if end is None else bisect_left(self._slots, end, key=_start)
        return [self._scene(slot) for slot in self._slots[first:last]]

    def scene(self, index: str) -> Scene:
        """The scene of that ``system:index``.

        Raises:
            KeyError: there is none.
        """
        return self._scene(self._by_index[index])

    def features(self) -> list[Feature]:
        """Geometry and properties of each feature; empty for rasters."""
        return self.rows()


def _start(slot: Slot) -> int:
    return slot.start


Compute = Callable[[tuple[str, ...], Window], Mapping[str, Pixels]]


def reader(grid: RasterGrid, bands: Sequence[BandSpec], compute: Compute) -> Read:
    """A scene's ``read`` from a function that only knows pixels on the grid.

    Args:
        grid: of the scene.
        bands: of the scene.
        compute: pixels by band name; called with a window that lies on the grid of the bands it is asked.

    Returns:
        A function that casts to the bands' types, pads what lies outside the grid with invalid pixels and
        raises KeyError for an unknown band and ValueError for bands on different grids.
    """
    specs = {band.name: band for band in bands}

    def read(names: tuple[str, ...], window: Window) -> list[Pixels]:
        grids = {specs[name].grid or grid for name in names}
        if len(grids) > 1:
            raise ValueError(f"bands {', '.join(names)} lie on different grids")
        pixels = {
            name: (np.zeros(window[2:], specs[name].dtype), np.zeros(window[2:], np.bool_)) for name in names
        }
        for part in _pieces(next(iter(grids), grid).inside(window)):
            top, left = part.row - window.row, part.col - window.col
            here = np.s_[top : top + part.height, left : left + part.width]
            computed = compute(names, part)
            for name, (values, valid) in pixels.items():
                found, ok = computed[name]
                valid[here] = ok
                values[here] = np.where(ok, found, 0)
        return [pixels[name] for name in names]

    return read


def _pieces(window: Window) -> Iterator[Window]:
    """The window in squares whose working arrays fit a processor's cache: four times faster than in one."""
    for row in range(window.row, window.row + window.height, PIECE):
        for col in range(window.col, window.col + window.width, PIECE):
            height = min(PIECE, window.row + window.height - row)
            yield Window(row, col, height, min(PIECE, window.col + window.width - col))
