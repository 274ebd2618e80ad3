"""Images of known pixels, and their pixels on a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.images import Image
from gee.local.raster.pixels import Raster

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
GRID = Grid(UTM, 23, 17)


@pytest.fixture
def grid() -> Grid:
    """23 x 17 pixels of a kilometre."""
    return GRID


@pytest.fixture
def pixels(compute: Callable[[Any], Any]) -> Callable[..., list[Any]]:
    """From an ee image to its bands on a grid, masked where invalid."""

    def read(image: Any, on: Grid = GRID) -> list[Any]:
        value = compute(image)
        assert isinstance(value, Image)
        return [_masked(raster, on) for raster in value.read(on)]

    return read


@pytest.fixture
def first(compute: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """From an image to name and first pixel of each band, None where it is masked."""

    def read(image: Any) -> dict[str, Any]:
        value = compute(image)
        shown = {}
        for name, raster in zip(value.names, value.read(GRID), strict=True):
            valid = raster.valid(GRID.shape)[0, 0]
            shown[name] = raster.full(GRID.shape).values[0, 0].item() if valid else None
        return shown

    return read


def _masked(raster: Raster, grid: Grid) -> Any:
    hidden = ~raster.valid(grid.shape)
    wide = hidden.reshape(hidden.shape + (1,) * (raster.values.ndim - 2))
    return np.ma.MaskedArray(raster.values, np.broadcast_to(wide, raster.values.shape))


@pytest.fixture
def noise(offline_client: None) -> Callable[..., Any]:
    """An image of whole numbers from 0 to below ``most``, random by place; a fifth masked if asked."""

    def make(seed: int = 1, most: int = 20, *, gaps: bool = False) -> Any:
        image = ee.Image.random(seed).multiply(most).floor().int16().rename("v")
        return image.updateMask(ee.Image.random(seed + 1000).gte(0.2)) if gaps else image

    return make


@pytest.fixture
def agrees_in_tiles(pixels: Callable[..., list[Any]]) -> Callable[..., None]:
    """Check that a part of the grid has the same pixels as that part of the whole grid."""

    def check(image: Any, window: tuple[int, int, int, int] = (5, 7, 6, 9), on: Grid = GRID) -> None:
        row, column, height, width = window
        for whole, part in zip(pixels(image, on), pixels(image, on.window(*window)), strict=True):
            there = whole[row : row + height, column : column + width]
            assert np.array_equal(np.ma.getmaskarray(there), np.ma.getmaskarray(part))
            # Coordinates of a window are rounded otherwise than those of the whole.
            np.testing.assert_allclose(there.filled(0), part.filled(0), rtol=1e-9)

    return check
