"""Pixels of regions: walked tile by tile, each tile computed once for all the regions on it.

Reductions and samples over one geometry or many share this walk, so that a thousand cells of a grid
cost little more than their pixels. Source: guides/reducers_reduce_region, guides/reducers_reduce_regions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from gee.local.context import charge, current
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Grid, Projection
from gee.local.limits import ELEMENTS_PER_APPLICATION
from gee.local.raster.images import Band, Image, region_grid, saturated
from gee.local.raster.pixels import TILE, Raster, evaluate, prepare
from gee.local.raster.reductions import check_inputs
from gee.local.raster.regions import coverage, inside
from gee.local.reduction.reducers import Accumulator, Reducer, Result, as_values


@dataclass(frozen=True)
class Part:
    """The pixels of one region on one tile.

    Args:
        region: position of the region among those asked.
        grid: the part of the sampling grid that holds them.
        rasters: of the bands, over ``grid``.
    """

    region: int
    grid: Grid
    rasters: list[Raster]


class _Span(NamedTuple):
    region: int
    row: int
    column: int
    height: int
    width: int


def parts(
    bands: Sequence[Band], regions: Sequence[Geometry | None], projection: Projection, limit: float = math.inf
) -> Iterator[Part]:
    """The pixels of regions, tile after tile.

    Args:
        bands: to compute.
        regions: in any coordinate system; None and empty ones have no pixels.
        projection: of the sampling grid.
        limit: most pixels a region's bounds may hold.

    Raises:
        EngineError: a region is unbounded or has too many pixels.
    """
    nodes = [band.pixels for band in bands]
    prepare(nodes)
    spans: list[_Span] = []
    for index, region in enumerate(regions):
        if region is None or region.is_empty:
            continue
        grid = region_grid(region, projection, limit)
        offset = grid.offset_in(projection)
        if offset is None:
            raise EngineError("The region has no place in the projection.")
        spans.append(_Span(index, *offset, *grid.shape))
    if not spans:
        return
    boxes = shapely.box(
        [span.column for span in spans],
        [span.row for span in spans],
        [span.column + span.width for span in spans],
        [span.row + span.height for span in spans],
    )
    tree = shapely.STRtree(boxes)
    origin = Grid(projection, 1, 1)
    for tile_row, tile_column in _tiles(spans):
        top, left = tile_row * TILE, tile_column * TILE
        here = tree.query(shapely.box(left, top, left + TILE, top + TILE))
        cut = [
            (spans[i].region, *_overlap(spans[i], top, left))
            for i in sorted(here)
            if _meets(spans[i], top, left)
        ]
        if not cut:
            continue
        first_row, first_column = min(c[1] for c in cut), min(c[2] for c in cut)
        last_row, last_column = max(c[1] + c[3] for c in cut), max(c[2] + c[4] for c in cut)
        window = origin.window(first_row, first_column, last_row - first_row, last_column - first_column)
        rasters = [raster.full(window.shape) for raster in evaluate(nodes, window)]
        for region_index, row, column, height, width in cut:
            inner = np.s_[
                row - first_row : row - first_row + height,
                column - first_column : column - first_column + width,
            ]
            yield Part(
                region_index,
                origin.window(row, column, height, width),
                [
                    Raster(raster.values[inner], None if raster.mask is None else raster.mask[inner])
                    for raster in rasters
                ],
            )


def _tiles(spans: Sequence[_Span]) -> list[tuple[int, int]]:
    """Row and column of the tiles that hold any span, in reading order."""
    found = set()
    for span in spans:
        for row in range(span.row // TILE, (span.row + span.height - 1) // TILE + 1):
            charge(ELEMENTS_PER_APPLICATION * (span.width // TILE + 1))
            for column in range(span.column // TILE, (span.column + span.width - 1) // TILE + 1):
                found.add((row, column))
    return sorted(found)


def _overlap(span: _Span, top: int, left: int) -> tuple[int, int, int, int]:
    row, column = max(span.row, top), max(span.column, left)
    bottom = min(span.row + span.height, top + TILE)
    right = min(span.column + span.width, left + TILE)
    return row, column, bottom - row, right - column


def _meets(span: _Span, top: int, left: int) -> bool:
    _, _, height, width = _overlap(span, top, left)
    return height > 0 and width > 0


class _Gathered:
    """Inputs of a reducer that needs them all together."""

    def __init__(self, reducer: Reducer) -> None:
        self._reducer = reducer
        self._inputs: list[list[tuple[NDArray[Any], NDArray[Any]]]] = [[] for _ in range(reducer.inputs)]

    def fold(self, inputs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.append(given)

    def results(self) -> list[Result]:
        joined = [
            (np.concatenate([v for v, _ in kept]), np.concatenate([w for _, w in kept]))
            for kept in self._inputs
        ]
        return self._reducer.reduce(joined)


@dataclass(frozen=True)
class Reduction:
    """A reducer applied to the bands of an image: once per band, or once to all of them.

    Args:
        reducer: to apply.
        groups: the bands of each application, by position.
        names: of the outputs of each application.
    """

    reducer: Reducer
    groups: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, reducer: Reducer, image: Image, by_band: bool) -> Reduction:
        """How a reducer meets the bands of an image.

        Args:
            reducer: to apply.
            image: to reduce.
            by_band: whether a single output is named after its band; otherwise, for an image of one
                band, after the reducer's output (as reduceRegions does).

        Raises:
            EngineError: the reducer has several inputs, but not as many as there are bands.
        """
        if not check_inputs(reducer, len(image.bands), "the image"):
            return cls(reducer, (tuple(range(len(image.bands))),), (reducer.outputs,))
        groups = tuple((index,) for index in range(len(image.bands)))
        plain = len(image.bands) == 1 and not by_band
        names = tuple(
            reducer.outputs
            if plain
            else (name,)
            if len(reducer.outputs) == 1
            else tuple(f"{name}_{output}" for output in reducer.outputs)
            for name in image.names
        )
        return cls(reducer, groups, names)

    def begin(self, bands: Sequence[Band]) -> list[Accumulator]:
        """An accumulator for each application."""
        return [
            _Gathered(self.reducer)
            if self.reducer.begin is None
            else self.reducer.begin((), [bands[index].type.dtype for index in group])
            for group in self.groups
        ]

    def fold(
        self, running: Sequence[Accumulator], part: Part, region: Geometry, bands: Sequence[Band]
    ) -> None:
        """Take the pixels of a region that lie on a tile."""
        # A weighted reducer takes all that is covered, for its unweighted inputs (as of groups) too.
        cover = _cover(region, part.grid) if self.reducer.weighted else inside(region, part.grid)
        included = cover > 0
        if not included.any():
            return
        for accumulator, group in zip(running, self.groups, strict=True):
            inputs = []
            for index, weighted in zip(group, self.reducer.weighting, strict=True):
                raster = part.rasters[index]
                shape = part.grid.shape
                if weighted:
                    weight = np.minimum(raster.weights(shape), cover)[included]
                else:
                    weight = raster.valid(shape)[included]
                inputs.append((saturated(raster.values[included], bands[index].type), weight))
            accumulator.fold(inputs)

    def finish(self, running: Sequence[Accumulator]) -> dict[str, Any]:
        """Outputs by name; null where there were no inputs."""
        found: dict[str, Any] = {}
        for accumulator, names in zip(running, self.names, strict=True):
            results = accumulator.results()
            found |= {name: as_values(result) for name, result in zip(names, results, strict=True)}
        return found


def empty(reduction: Reduction, bands: Sequence[Band]) -> dict[str, Any]:
    """Outputs of a region without pixels."""
    running = reduction.begin(bands)
    for accumulator, group in zip(running, reduction.groups, strict=True):
        accumulator.fold([(np.zeros(0, bands[i].type.dtype), np.zeros(0, np.bool_)) for i in group])
    return reduction.finish(running)


def reduce_regions(
    image: Image,
    reduction: Reduction,
    regions: Sequence[Geometry | None],
    projection: Projection,
    limit: float,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Outputs of a reduction for each region, by the region's position, in order."""
    running: dict[int, Sequence[Accumulator]] = {}
    for part in parts(image.bands, regions, projection, limit):
        if part.region not in running:
            running[part.region] = reduction.begin(image.bands)
        region = regions[part.region]
        assert region is not None  # noqa: S101 - narrows the type
        reduction.fold(running[part.region], part, region, image.bands)
    for index, region in enumerate(regions):
        if index in running and region is not None:
            yield index, reduction.finish(running[index])
        else:
            yield index, empty(reduction, image.bands)


def _cover(region: Geometry, grid: Grid) -> NDArray[np.float64]:
    """What a region covers of a grid, kept for the next image: tables ask for the same ones day after day."""

    def make() -> tuple[NDArray[np.float64], int]:
        made = coverage(region, grid)
        return made, made.nbytes

    kept: NDArray[np.float64] = current().tiles.get(("coverage", region, grid), make)
    return kept
