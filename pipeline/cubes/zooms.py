"""The squares of a map that a figure shows enlarged, chosen by a rule so that they do not flatter it.

Xu et al. 2024 figure 9 enlarges three regions that differ in terrain and climate, without saying how they
were chosen. Here they are the squares in which the map varies most within 9 km, each in another partition:
where a coarse map hides most, for better or worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from gee.catalog import WGS84
from gee.grids import NEST_METRES
from pipeline.errors import ConfigError

BOXES = 3  # Xu et al. 2024, figure 9
SHARE_OF_SIDE = 8  # a box is this part of the longer side of the map
SIDES = (2, 10)  # nests of 9 km along a box, at least and at most
LEAST_LAND = 0.8  # of a box
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """A part of the map, degrees.

    Attributes:
        name: in the figures.
        west: and the other edges; of a square of pixels the bounds, a little more than itself.
        partition: that has most of it; empty where none has any.
        spread: root of the mean variance of the seasonal mean within 9 km, m³/m³; NaN where that is unknown.
        given: whether the user named it.
        top: and the other edges in pixels from the grid's upper left corner; 0 before it is placed.
    """

    name: str
    west: float
    south: float
    east: float
    north: float
    partition: str = ""
    spread: float = math.nan
    given: bool = False
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @classmethod
    def parse(cls, text: str) -> Box:
        """From ``NAME=WEST,SOUTH,EAST,NORTH``, degrees.

        Raises:
            ConfigError: it is something else.
        """
        name, sign, edges = text.partition("=")
        try:
            west, south, east, north = (float(edge) for edge in edges.split(","))
        except ValueError as error:
            raise ConfigError(f"{text!r} is no box: write NAME=WEST,SOUTH,EAST,NORTH in degrees") from error
        if not (name and sign and west < east and south < north):
            raise ConfigError(f"{text!r} is no box: west of east and south of north, such as A=117,31,118,32")
        return cls(name, west, south, east, north)

    @property
    def window(self) -> tuple[slice, slice]:
        """Its pixels: rows and columns of the grid."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def placed(self, grid: GeoBox) -> Box | None:
        """The same with the pixels of a grid whose centres lie in its bounds; None without any."""
        to_grid = Transformer.from_crs(WGS84, str(grid.crs), always_xy=True)
        left, bottom, right, top = to_grid.transform_bounds(self.west, self.south, self.east, self.north)
        box, side = grid.boundingbox, abs(grid.resolution.x)
        height, width = grid.shape
        ends = [
            min(max(math.ceil(end / side - 0.5), 0), most)
            for end, most in (
                (box.top - top, height), (box.top - bottom, height),
                (left - box.left, width), (right - box.left, width),
            )
        ]  # fmt: skip
        found = replace(self, top=ends[0], bottom=ends[1], left=ends[2], right=ends[3])
        return found if found.bottom > found.top and found.right > found.left else None


def chosen(
    mean: Values,
    codes: NDArray[np.integer[Any]],
    land: NDArray[np.bool_],
    names: Sequence[str],
    grid: GeoBox,
    given: Sequence[Box] = (),
) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """The boxes to enlarge.

    Args:
        mean: seasonal mean of the map, (y, x), m³/m³, NaN where missing.
        codes: partition of each pixel, from 1; 0 is none.
        land: the pixels that are mapped.
        names: of the partitions.
        grid: of the pixels, whole nests of 9 km.
        given: by the user; without any, squares of whole nests, an eighth of the map's longer side, at least
            ``LEAST_LAND`` of them land: the one with the largest variance within nests, then the same in
            another partition and in a third; where there are fewer partitions, the next largest. They do
            not overlap, and are named from north to south.

    Returns:
        Boxes, and what a user should know of those that are missing.
    """
    nest = max(1, round(NEST_METRES / abs(grid.resolution.x)))
    variance = _variances(mean, nest)
    if given:
        laid = {box.name: box.placed(grid) for box in given}
        lost = [name for name, box in laid.items() if box is None]
        told = (f"The box {', '.join(lost)} lies off the map and is left out.",) if lost else ()
        there = [replace(box, given=True) for box in laid.values() if box is not None]
        return tuple(_known(box, variance, codes, land, names) for box in there), told
    down, across = variance.shape
    side = min(max(round(max(variance.shape) / SHARE_OF_SIDE), SIDES[0]), SIDES[1])
    found: list[tuple[float, int, int, int]] = []
    for top in range(down - side + 1):
        for left in range(across - side + 1):
            y, x = (slice(first * nest, (first + side) * nest) for first in (top, left))
            inside = variance[top : top + side, left : left + side]
            if land[y, x].mean() >= LEAST_LAND and np.isfinite(inside).any():
                most = np.bincount(codes[y, x][land[y, x]].astype(np.intp)).argmax()
                found.append((float(np.nanmean(inside)), int(most), top, left))
    found.sort(reverse=True)
    taken: list[tuple[float, int, int, int]] = []
    for fresh in (True, False):  # first each in a partition of its own, then any
        for one in found:
            apart = all(abs(one[2] - each[2]) >= side or abs(one[3] - each[3]) >= side for each in taken)
            new = one[1] not in {each[1] for each in taken}
            if len(taken) < BOXES and apart and (new or not fresh):
                taken.append(one)
    boxes = []
    for number, (_, _, top, left) in enumerate(sorted(taken, key=lambda one: one[2:])):
        first, last = (top * nest, left * nest), ((top + side) * nest, (left + side) * nest)
        bounds = _degrees(grid, first, last)
        box = Box("ABC"[number], *bounds, top=first[0], bottom=last[0], left=first[1], right=last[1])
        boxes.append(_known(box, variance, codes, land, names))
    few = f"Only {len(boxes)} of {BOXES} zoom boxes have land enough." if len(boxes) < BOXES else ""
    return tuple(boxes), (few,) if few else ()


def _variances(mean: Values, nest: int) -> Values:
    """Variance of the map within each nest, NaN where less than half of it has a value."""
    down, across = (length // nest for length in mean.shape)
    parts = mean[: down * nest, : across * nest].reshape(down, nest, across, nest).swapaxes(1, 2)
    nests = parts.reshape(down, across, nest * nest)
    known = np.isfinite(nests)
    count = known.sum(axis=2)
    held = np.where(2 * count >= nest * nest, count, np.nan)
    middle = np.where(known, nests, 0).sum(axis=2) / held
    apart = np.where(known, nests - middle[..., None], 0)
    return np.asarray((apart**2).sum(axis=2) / held)


def _known(
    box: Box, variance: Values, codes: NDArray[np.integer[Any]], land: NDArray[np.bool_], names: Sequence[str]
) -> Box:
    """A placed box with its partition and its spread."""
    inside = codes[box.window][land[box.window]].astype(np.intp)
    most = int(np.bincount(inside).argmax()) if inside.size else 0
    nest = codes.shape[0] // variance.shape[0]
    held = variance[box.top // nest : -(-box.bottom // nest), box.left // nest : -(-box.right // nest)]
    held = held[np.isfinite(held)]
    name = names[most - 1] if 0 < most <= len(names) else ""
    return replace(box, partition=name, spread=math.sqrt(held.mean()) if held.size else math.nan)


def _degrees(
    grid: GeoBox, first: tuple[int, int], last: tuple[int, int]
) -> tuple[float, float, float, float]:
    """West, south, east and north of pixels, from the upper left corner of the first to that of the last."""
    box, step = grid.boundingbox, abs(grid.resolution.x)
    left, right = (box.left + one[1] * step for one in (first, last))
    top, bottom = (box.top - one[0] * step for one in (first, last))
    to_degrees = Transformer.from_crs(str(grid.crs), WGS84, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(left, bottom, right, top)
    return west, south, east, north
