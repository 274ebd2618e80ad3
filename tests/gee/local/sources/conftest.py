"""Windows of native grids around a place, and the first scene of a dataset on a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest
from pyproj import CRS, Transformer

from gee.local.sources.catalogue import DATASETS
from gee.local.sources.dataset import RasterGrid, Scene, Window

HEFEI = (117.27, 31.86)
SINUSOIDAL = CRS.from_proj4("+proj=sinu +R=6371007.181 +units=m")
SPHERE = CRS.from_proj4("+proj=longlat +R=6371007.181")

Around = Callable[..., Window]
Find = Callable[[str, str], Scene]


def pixel_of(grid: RasterGrid, lon: float, lat: float) -> tuple[int, int]:
    """Row and column of a place, by PROJ and the inverse of the transform."""
    if grid.crs == "SR-ORG:6974":
        x, y = Transformer.from_crs(SPHERE, SINUSOIDAL, always_xy=True).transform(lon, lat)
    else:
        x, y = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(lon, lat)
    t = grid.transform
    col, row = np.linalg.solve([[t[0], t[1]], [t[3], t[4]]], [x - t[2], y - t[5]])
    return int(np.floor(row)), int(np.floor(col))


@pytest.fixture(scope="session")
def around() -> Around:
    def window(grid: RasterGrid, size: int, lon: float = HEFEI[0], lat: float = HEFEI[1]) -> Window:
        row, col = pixel_of(grid, lon, lat)
        return Window(row - size // 2, col - size // 2, size, size)

    return window


@pytest.fixture(scope="session")
def find() -> Find:
    def first(asset: str, since: str) -> Scene:
        start = int(datetime.fromisoformat(f"{since}+00:00").timestamp() * 1000)
        return DATASETS[asset].scenes(start, start + 40 * 86_400_000)[0]

    return first
