"""The native grids of the catalogue's datasets, and where their pixels lie on Earth.

A product read on its neighbour's grid looks right and is wrong by kilometres, so each grid stands here once
with its published transform: MODIS sinusoidal, EASE-Grid 2.0 (Brodzik et al. 2012), geographic grids, and the
UTM zones of Sentinel-1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from gee.local.sources.dataset import RasterGrid, Window

Degrees = NDArray[np.float64]

SPHERE_RADIUS = 6_371_007.181  # m, of the MODIS sinusoidal projection
SINUSOIDAL = "SR-ORG:6974"
EASE = "EPSG:6933"
GEOGRAPHIC = "EPSG:4326"

MODIS_500M = RasterGrid(
    SINUSOIDAL, (463.312716527917, 0.0, -20015109.354, 0.0, -463.312716527917, 10007554.677), 86_400, 43_200
)
MODIS_1KM = RasterGrid(
    SINUSOIDAL, (926.625433055833, 0.0, -20015109.354, 0.0, -926.625433055833, 10007554.677), 43_200, 21_600
)
EASE_M01 = RasterGrid(
    EASE, (1000.89502334956, 0.0, -17367530.445161, 0.0, -1000.89502334956, 7314540.830638), 34_704, 14_616
)
EASE_M09 = RasterGrid(
    EASE, (9008.05521014604, 0.0, -17367530.445161, 0.0, -9008.05521014604, 7314540.830638), 3_856, 1_624
)
FINE_PER_COARSE = 9  # M01 cells along one side of an M09 cell

# What a nearest-neighbour GDAL warp of the M09 grid to longitude and latitude makes, and Earth Engine holds.
SMAP_WARPED = RasterGrid(
    GEOGRAPHIC, (0.09516256938937351, 0.0, -180.0, 0.0, -0.09516149300147864, 85.04450187981062), 3_783, 1_787
)


def geographic(step: float, west: float, north: float, width: int, height: int) -> RasterGrid:
    """A longitude and latitude grid of square pixels, sizes in degrees."""
    return RasterGrid(GEOGRAPHIC, (step, 0.0, west, 0.0, -step, north), width, height)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def to_lonlat(crs: str, x: Degrees, y: Degrees) -> tuple[Degrees, Degrees]:
    """Longitude and latitude, degrees, of coordinates; longitude beyond ±180 lies off the Earth."""
    if crs == GEOGRAPHIC:
        return x, y
    if crs == SINUSOIDAL:
        latitude = y / SPHERE_RADIUS
        return np.degrees(x / (SPHERE_RADIUS * np.cos(latitude))), np.degrees(latitude)
    lon, lat = _transformer(crs, GEOGRAPHIC).transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def from_lonlat(crs: str, lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    """Coordinates of longitude and latitude (degrees) in an EPSG system."""
    x, y = _transformer(GEOGRAPHIC, crs).transform(lon, lat)
    return np.asarray(x), np.asarray(y)


def lonlat(grid: RasterGrid, window: Window) -> tuple[Degrees, Degrees]:
    """Longitude and latitude of the pixel centres of a window, each (height, width)."""
    if grid.crs == EASE:  # cylindrical: one row and one column say all
        across = grid.centres(window._replace(height=1))
        down = grid.centres(window._replace(width=1))
        lon, _ = to_lonlat(EASE, across[0], np.zeros_like(across[0]))
        _, lat = to_lonlat(EASE, np.zeros_like(down[1]), down[1])
        return np.broadcast_to(lon, window[2:]), np.broadcast_to(lat, window[2:])
    return to_lonlat(grid.crs, *grid.centres(window))


def coarse_cells(grid: RasterGrid, window: Window) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the M09 cells under the pixel centres of a geographic grid, each (height, width).

    For the warped SMAP raster this is the cell whose value each pixel carries, because the warp is nearest.
    """
    lon, lat = lonlat(grid, window)
    x, y = from_lonlat(EASE, lon[0, :], np.zeros_like(lon[0, :]))
    _, y = from_lonlat(EASE, np.zeros_like(lat[:, 0]), lat[:, 0])
    side, _, west, _, _, north = EASE_M09.transform
    cols = np.floor((x - west) / side).astype(np.intp)
    rows = np.floor((north - y) / side).astype(np.intp)
    return np.broadcast_to(rows[:, None], window[2:]), np.broadcast_to(cols[None, :], window[2:])
