"""What stands at MODIS pixels and no date changes, kept by tiles of the product's grid.

The products of a place share terrain, land cover and the habit of its plants; whoever reads a season works
them out once.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local.sources.dataset import RasterGrid, Window
from gee.local.sources.grids import lonlat
from gee.local.sources.nature import landcover, terrain, vegetation
from gee.local.sources.nature.cache import ByteCache

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SIDE = 128  # pixels of a tile
CACHE_BYTES = 192_000_000


class Ground(NamedTuple):
    """The pixels of a window, each array (height, width).

    Attributes:
        lon: degrees; those off the Earth are put at its edge.
        lat: degrees.
        on_earth: whether a pixel lies on the Earth at all.
        height: m.
        open_land: LC_Type5 code without towns.
        built: year of the first town.
        vigour: factor of the leaf area.
        delay: days by which the seasons are late.
        brightness: of the dry soil.
    """

    lon: Floats
    lat: Floats
    on_earth: NDArray[np.bool_]
    height: Single
    open_land: NDArray[np.uint8]
    built: NDArray[np.int16]
    vigour: Single
    delay: Single
    brightness: Single

    def canopy(self, year: int) -> vegetation.Canopy:
        """What stands there in a year."""
        codes = landcover.Survey(self.open_land, self.built).codes(year)
        return vegetation.Canopy(self.lon, self.lat, codes, self.vigour, self.delay)


_TILES: ByteCache[Ground] = ByteCache(CACHE_BYTES, lambda tile: sum(part.nbytes for part in tile))


def ground(grid: RasterGrid, window: Window) -> Ground:
    """What stands at the pixels of a window that lies on a MODIS grid."""
    whole: list[NDArray[Any]] = []
    bottom, right = window.row + window.height, window.col + window.width
    for row in range(window.row // SIDE * SIDE, bottom, SIDE):
        for col in range(window.col // SIDE * SIDE, right, SIDE):
            tile: tuple[NDArray[Any], ...] = _TILES.get((grid, row, col), partial(_tile, grid, row, col))
            top, left = max(row, window.row), max(col, window.col)
            end, far = min(row + SIDE, bottom), min(col + SIDE, right)
            there = np.s_[top - row : end - row, left - col : far - col]
            if (end - top, far - left) == window[2:]:
                return Ground(*(part[there] for part in tile))
            here = np.s_[top - window.row : end - window.row, left - window.col : far - window.col]
            whole = whole or [np.empty(window[2:], part.dtype) for part in tile]
            for part, target in zip(tile, whole, strict=True):
                target[here] = part[there]
    return Ground(*whole)


def _tile(grid: RasterGrid, row: int, col: int) -> Ground:
    lon, lat = lonlat(grid, grid.inside(Window(row, col, SIDE, SIDE)))
    on_earth = np.abs(lon) <= 180
    lon = np.clip(lon, -180, 180)
    height, wet = terrain.elevation_and_water(lon, lat)
    cover = landcover.survey(lon, lat, height, wet)
    brightness = vegetation.soil_brightness(lon, lat)
    tile = Ground(
        lon, lat, on_earth, height, cover.open_land, cover.built, *vegetation.habit(lon, lat), brightness
    )
    for part in tile:
        part.flags.writeable = False
    return tile
