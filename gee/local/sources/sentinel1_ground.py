"""What a radar finds on the ground and no visit changes, kept by tiles of one 100 m lattice for each UTM zone.

All scenes of a zone have their pixels on this lattice, so slopes, land cover, roughness and the place of the
truth's cells are worked out once for all tracks, dates and polarisations. Kept in one or two bytes each (steps
are given below), so that a province fits in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import RasterGrid, Window
from gee.local.sources.grids import to_lonlat
from gee.local.sources.nature import landcover, moisture, noise, terrain, vegetation
from gee.local.sources.nature.cache import ByteCache
from gee.local.sources.sentinel1_orbits import PIXEL_METRES

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Bytes = NDArray[np.uint8]

SIDE = 128  # pixels of a tile
NODE = 16  # pixels between the nodes at which longitude and latitude are exact; between them off by 4 cm
CACHE_BYTES = 384_000_000
SLOPE_STEP = 1e-4  # of the tangent
NOISE_STEP = 1 / 32  # of roughness (dB) and of standard normal draws
VIGOUR_STEP = 0.01
DELAY_STEP = 0.25  # days
FIRST_YEAR = 1900  # years are counted from here; 255 is never
ROUGHNESS = 0.9  # dB, one standard deviation


@dataclass(frozen=True, eq=False)
class Ground:
    """The pixels of a tile or of a part of it, each array (height, width).

    Attributes:
        row: of the first pixel on the zone's lattice, southward.
        col: likewise, eastward.
        east: tangent of the slope eastward, in SLOPE_STEP.
        north: likewise northward.
        open_land: LC_Type5 code without towns.
        built: year of the first town since FIRST_YEAR.
        rough: dB that the roughness of the soil adds, in NOISE_STEP.
        structure: standard normal draw of what is built, in NOISE_STEP.
        vigour: factor of the leaf area, in VIGOUR_STEP.
        delay: days by which seasons are late, in DELAY_STEP.
        cell_row: row of the truth's cell, from ``top``.
        cell_col: its column, from ``left``.
        top: row of the first cell of the tile.
        left: column of the first cell of the tile.
    """

    row: int
    col: int
    east: NDArray[np.int16]
    north: NDArray[np.int16]
    open_land: Bytes
    built: Bytes
    rough: NDArray[np.int8]
    structure: NDArray[np.int8]
    vigour: Bytes
    delay: NDArray[np.int8]
    cell_row: Bytes
    cell_col: Bytes
    top: int
    left: int

    def part(self, rows: slice, cols: slice) -> Ground:
        """The pixels of some rows and columns."""
        values = {
            field.name: value[rows, cols] if isinstance(value, np.ndarray) else value
            for field in fields(self)
            for value in (getattr(self, field.name),)
        }
        return Ground(**values | {"row": self.row + rows.start, "col": self.col + cols.start})

    def codes(self, year: int) -> Bytes:
        """LC_Type5 codes of a year."""
        return np.where(self.built <= min(year - FIRST_YEAR, 254), np.uint8(landcover.URBAN), self.open_land)


_TILES: ByteCache[Ground] = ByteCache(CACHE_BYTES, lambda tile: 12 * tile.open_land.size)


def pieces(grid: RasterGrid, window: Window) -> list[tuple[slice, slice, Ground]]:
    """The ground under a window of a scene's grid, piece by piece: rows and columns in the window, and pixels."""
    top = window.row - round(grid.transform[5] / PIXEL_METRES)
    left = window.col + round(grid.transform[2] / PIXEL_METRES)
    found = []
    for row in range(top // SIDE, (top + window.height - 1) // SIDE + 1):
        for col in range(left // SIDE, (left + window.width - 1) // SIDE + 1):
            tile = _TILES.get((grid.crs, row, col), partial(_tile, grid.crs, row * SIDE, col * SIDE))
            first, last = max(row * SIDE, top), min((row + 1) * SIDE, top + window.height)
            begin, end = max(col * SIDE, left), min((col + 1) * SIDE, left + window.width)
            inner = slice(first - row * SIDE, last - row * SIDE), slice(begin - col * SIDE, end - col * SIDE)
            found.append((slice(first - top, last - top), slice(begin - left, end - left), tile.part(*inner)))
    return found


def nodes(crs: str, row: int, col: int, height: int, width: int) -> tuple[Floats, Floats]:
    """Longitude and latitude of lattice nodes (counted in NODE pixels), each (height, width)."""
    x = PIXEL_METRES * NODE * (col + np.arange(width))
    y = -PIXEL_METRES * NODE * (row + np.arange(height))
    return to_lonlat(crs, *np.meshgrid(x, y))


def spread(values: NDArray[np.floating], row: int, col: int, ground: Ground) -> Floats:
    """Bilinear interpolation from nodes to pixels; a pixel has the same value in every window.

    Args:
        values: at nodes.
        row: of the first node, counted as in `nodes`.
        col: likewise.
        ground: whose pixels are wanted.
    """
    height, width = ground.open_land.shape
    return _spread(values, row, col, ground.row, ground.col, height, width)


def _spread(
    values: NDArray[np.floating], row: int, col: int, first_row: int, first_col: int, height: int, width: int
) -> Floats:
    y = (first_row + np.arange(height) + 0.5) / NODE - row
    x = (first_col + np.arange(width) + 0.5) / NODE - col
    j, i = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    v, u = (y - j)[:, None], x - i
    across = values[:, i] + u * (values[:, i + 1] - values[:, i])
    return np.asarray(across[j] + v * (across[j + 1] - across[j]))


def _tile(crs: str, row: int, col: int) -> Ground:
    """The tile whose first pixel is that of the lattice."""
    around = nodes(crs, row // NODE - 1, col // NODE - 1, SIDE // NODE + 3, SIDE // NODE + 3)
    lon, lat = (
        _spread(part, row // NODE - 1, col // NODE - 1, row - 1, col - 1, SIDE + 2, SIDE + 2) for part in around
    )
    height, wet = terrain.elevation_and_water(lon, lat)
    inner = np.s_[1:-1, 1:-1]
    east = (height[1:-1, 2:] - height[1:-1, :-2]) / (2 * PIXEL_METRES)
    north = (height[:-2, 1:-1] - height[2:, 1:-1]) / (2 * PIXEL_METRES)
    lon, lat = np.ascontiguousarray(lon[inner]), np.ascontiguousarray(lat[inner])
    cover = landcover.survey(lon, lat, np.ascontiguousarray(height[inner]), np.ascontiguousarray(wet[inner]))
    vigour, delay = vegetation.habit(lon, lat)
    x, y = noise.plane(lon, lat)
    cell_row, cell_col = moisture.cell_of(lon, lat)
    top, left = int(cell_row.min()), int(cell_col.min())
    # A building is where it is, whichever scene sees it: draws belong to cells of 4 seconds on the ground.
    draws = pixelnoise.normal_at(
        np.floor(lat * 900).astype(np.int64), np.floor(lon * 900).astype(np.int64), seed=7_300
    )
    return Ground(
        row,
        col,
        _counts(east, SLOPE_STEP, np.int16),
        _counts(north, SLOPE_STEP, np.int16),
        cover.open_land,
        np.clip(cover.built - FIRST_YEAR, 0, 255).astype(np.uint8),
        _counts(ROUGHNESS * noise.fractal(x, y, 2.0, 3, seed=7_100), NOISE_STEP, np.int8),
        _counts(draws, NOISE_STEP, np.int8),
        _counts(vigour, VIGOUR_STEP, np.uint8),
        _counts(delay, DELAY_STEP, np.int8),
        (cell_row - top).astype(np.uint8),
        (cell_col - left).astype(np.uint8),
        top,
        left,
    )


def _counts(values: NDArray[np.floating], step: float, dtype: type[np.integer]) -> NDArray[np.integer]:
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values / step), limits.min, limits.max).astype(dtype)
