"""Differences between neighbouring pixels: derivatives, gradients, zero crossings.

Differences are central ones, over two pixels. The derivative counts in pixels; the gradient in metres
on the ground, which `images_terrain` shares: a degree of longitude shrinks with latitude, and a map's
metre is the ground's times its scale factor. Sources: guides/image_gradients, guides/image_edges;
descriptions of ``Image.derivative`` and ``Terrain.slope``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from gee.local.algorithms.images_neighbourhoods import Padded, refuse_arrays
from gee.local.errors import EngineError
from gee.local.geometry.projections import METRES_PER_DEGREE, Grid, crs_of, is_geographic, transformer
from gee.local.raster.images import Band, Image, several
from gee.local.raster.pixels import Raster, Surrounded
from gee.local.registry import algorithm
from gee.local.values import DOUBLE, FLOAT, PixelType

Floats = NDArray[np.float64]

_AROUND = ((0, -1), (0, 1), (-1, 0), (1, 0))  # left, right, up, down
_BOOLEAN = PixelType("int", 0, 1)


def _one_pixel(grid: Grid) -> tuple[int, int]:
    return 1, 1


@lru_cache(maxsize=32)
def spacing(grid: Grid) -> tuple[Floats, Floats]:
    """Metres on the ground from a pixel to the next column and to the next row.

    Both have the sign of x and y: with rows running down, the second is negative. Broadcastable to
    the grid's shape. Degrees are those of the sphere of 6378137 m; map metres are divided by the
    projection's scale factors along the parallel and the meridian.
    """
    a, b, _, d, e, _ = grid.projection.transform
    if b or d:
        raise EngineError("Gradients need a grid that is neither rotated nor sheared.")
    if is_geographic(grid.crs):
        _, y = grid.centres()
        shrinks = np.cos(np.radians(y[:, :1]))
        return a * METRES_PER_DEGREE * shrinks, np.full((1, 1), e * METRES_PER_DEGREE)
    unit = float(crs_of(grid.crs).axis_info[0].unit_conversion_factor)
    lon, lat = transformer(grid.crs, "EPSG:4326").transform(*grid.centres())
    factors = pyproj.Proj(crs_of(grid.crs)).get_factors(lon, lat)
    return a * unit / np.asarray(factors.parallel_scale), e * unit / np.asarray(factors.meridional_scale)


def differences(inside: Padded) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Change per column and per row, and where the pixel and the four beside it are valid."""
    left, right, up, down = (inside.values(row, column).astype(np.float64) for row, column in _AROUND)
    valid = inside.valid()
    for row, column in _AROUND:
        valid = valid & inside.valid(row, column)
    return (right - left) / 2, (down - up) / 2, valid


def ground_gradient(grid: Grid, raster: Raster) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Change per metre towards growing x and towards growing y, and where it is known.

    Args:
        grid: the pixels wanted.
        raster: the values, with a margin of one pixel.
    """
    across, along, valid = differences(Padded(raster, grid))
    x, y = spacing(grid)
    valid = valid & np.isfinite(x) & np.isfinite(y)
    return across / x, along / y, valid


@algorithm("Image.gradient")
def gradient(image: Image) -> Image:
    """Change per metre towards the east and the north of the grid, bands ``x`` and ``y``."""
    band = image.only_band("The input of gradient")
    refuse_arrays([band])

    def compute(grid: Grid, raster: Raster) -> list[Raster]:
        x, y, valid = ground_gradient(grid, raster)
        return [Raster(x.astype(np.float32), valid), Raster(y.astype(np.float32), valid)]

    node = Surrounded("gradient", compute, _one_pixel, [band.pixels])
    return image.computed(several(node, ("x", "y"), (FLOAT, FLOAT), [band]))


@algorithm("Image.derivative")
def derivative(image: Image) -> Image:
    """Change per pixel along the rows, bands ``<band>_x``, and down the columns, ``<band>_y``."""
    refuse_arrays(image.bands)
    bands: list[Band] = []
    for band in image.bands:
        kind = DOUBLE if band.type.precision == "double" else FLOAT

        def compute(grid: Grid, raster: Raster, dtype: Any = kind.dtype) -> list[Raster]:
            across, along, valid = differences(Padded(raster, grid))
            return [Raster(across.astype(dtype), valid), Raster(along.astype(dtype), valid)]

        node = Surrounded("derivative", compute, _one_pixel, [band.pixels], str(kind.dtype))
        bands.extend(several(node, (f"{band.name}_x", f"{band.name}_y"), (kind, kind), [band]))
    return image.computed(bands)


@algorithm("Image.zeroCrossing")
def zero_crossing(image: Image) -> Image:
    """1 where the pixel to the right, below or diagonally below right has the other sign, else 0."""
    refuse_arrays(image.bands)

    def compute(grid: Grid, raster: Raster) -> Raster:
        inside = Padded(raster, grid)
        here = np.sign(inside.values())
        crossing = np.zeros(grid.shape, np.bool_)
        for row, column in ((0, 1), (1, 0), (1, 1)):
            opposite = np.sign(inside.values(row, column)) == -here
            crossing |= opposite & (here != 0) & inside.valid(row, column)
        return Raster(crossing.astype(np.uint8), inside.mask())

    return image.computed(
        Band(
            band.name, _BOOLEAN, band.projection,
            Surrounded("zeroCrossing", compute, _one_pixel, [band.pixels]), band.extent,
        )
        for band in image.bands
    )  # fmt: skip
