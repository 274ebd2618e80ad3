"""What a radar finds on the ground and no visit changes, by tiles of one 100 m lattice for each UTM zone.

All scenes of a zone have their pixels on this lattice, so slopes, land cover, roughness and the place of the
truth's cells are worked out once for all tracks, dates and polarisations. One or two bytes each (in the steps
below), so that a province fits in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import RasterGrid, Window
from gee.local.sources.grids import to_lonlat
from gee.local.sources.nature import landcover, moisture, noise, terrain, vegetation
from gee.local.sources.nature.cache import ByteCache
from gee.local.sources.sentinel1_orbits import PIXEL_METRES

Floats = NDArray[np.float64]
Fields = Callable[[Floats, Floats], NDArray[np.floating]]
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


class Ground(NamedTuple):
    """What stands at pixels, each array (height, width).

    Attributes:
        east: tangent of the slope eastward, in SLOPE_STEP.
        north: likewise northward.
        open_land: LC_Type5 code without towns.
        built: year of the first town since FIRST_YEAR.
        rough: dB that the roughness of the soil adds, in NOISE_STEP.
        structure: standard normal draw of what is built, in NOISE_STEP.
        vigour: factor of the leaf area, in VIGOUR_STEP.
        delay: days by which seasons are late, in DELAY_STEP.
        cell_row: row of the truth's cell.
        cell_col: its column.
    """

    east: NDArray[np.int16]
    north: NDArray[np.int16]
    open_land: Bytes
    built: Bytes
    rough: NDArray[np.int8]
    structure: NDArray[np.int8]
    vigour: Bytes
    delay: NDArray[np.int8]
    cell_row: NDArray[np.integer]
    cell_col: NDArray[np.integer]

    def codes(self, year: int) -> Bytes:
        """LC_Type5 codes of a year."""
        return np.where(self.built <= min(year - FIRST_YEAR, 254), np.uint8(landcover.URBAN), self.open_land)


class _Tile(NamedTuple):
    """A square of pixels; rows and columns of the truth's cells are counted from ``top`` and ``left``."""

    ground: Ground
    top: int
    left: int


_TILES: ByteCache[_Tile] = ByteCache(CACHE_BYTES, lambda tile: sum(part.nbytes for part in tile.ground))


def on_lattice(grid: RasterGrid, window: Window) -> Window:
    """A window of a scene's grid as one of its zone's lattice, whose rows are counted from the equator."""
    return window._replace(
        row=window.row - round(grid.transform[5] / PIXEL_METRES),
        col=window.col + round(grid.transform[2] / PIXEL_METRES),
    )


def ground(crs: str, window: Window) -> Ground:
    """What stands at the pixels of a window of a zone's lattice."""
    types = [np.dtype(np.int32) if name.startswith("cell") else None for name in Ground._fields]
    whole: list[NDArray[Any]] = []
    bottom, right = window.row + window.height, window.col + window.width
    for row in range(window.row // SIDE * SIDE, bottom, SIDE):
        for col in range(window.col // SIDE * SIDE, right, SIDE):
            tile = _TILES.get((crs, row, col), partial(_tile, crs, row, col))
            parts: tuple[NDArray[Any], ...] = tile.ground
            if not whole:
                whole = [
                    np.empty(window[2:], kind or part.dtype) for kind, part in zip(types, parts, strict=True)
                ]
            top, left = max(row, window.row), max(col, window.col)
            end, far = min(row + SIDE, bottom), min(col + SIDE, right)
            here = np.s_[top - window.row : end - window.row, left - window.col : far - window.col]
            there = np.s_[top - row : end - row, left - col : far - col]
            for part, target in zip(parts, whole, strict=True):
                target[here] = part[there]
            whole[-2][here] += tile.top
            whole[-1][here] += tile.left
    return Ground(*whole)


def spread(crs: str, window: Window, fields: Fields) -> Floats:
    """Smooth fields at the pixels of a window, by interpolation between nodes of the lattice.

    Args:
        crs: of the zone.
        window: of the lattice.
        fields: from longitudes and latitudes of nodes, (n,) each, to ``(fields, n)``.

    Returns:
        Array ``(fields, height, width)``; a pixel has the same value in every window.
    """
    rows, cols = (
        (first + np.arange(count) + 0.5) / NODE
        for first, count in ((window.row, window.height), (window.col, window.width))
    )
    j, i = np.floor(rows).astype(np.intp), np.floor(cols).astype(np.intp)
    x = PIXEL_METRES * NODE * np.arange(i[0], i[-1] + 2)
    y = -PIXEL_METRES * NODE * np.arange(j[0], j[-1] + 2)
    lon, lat = to_lonlat(crs, *(part.ravel() for part in np.meshgrid(x, y)))
    values = np.asarray(fields(lon, lat)).reshape(-1, y.size, x.size)
    v, u = (rows - j)[:, None], cols - i
    j, i = j - j[0], i - i[0]
    across = values[:, :, i] + u * (values[:, :, i + 1] - values[:, :, i])
    return np.asarray(across[:, j] + v * (across[:, j + 1] - across[:, j]))


def _tile(crs: str, row: int, col: int) -> _Tile:
    lon, lat = spread(
        crs, Window(row - 1, col - 1, SIDE + 2, SIDE + 2), lambda lon, lat: np.stack([lon, lat])
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
    pixels = Ground(
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
    )
    return _Tile(pixels, top, left)


def _counts(values: NDArray[np.floating], step: float, dtype: type[np.integer]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    counts: NDArray[Any] = np.clip(np.rint(values / step), limits.min, limits.max).astype(dtype)
    return counts
