"""``Terrain.*``: slope, aspect and hillshade of an elevation image.

The gradient is that of the four neighbours that share a side (Zevenbergen and Thorne 1987), over the
metres between them on the ground. Aspect is where the slope faces, clockwise from north, 0 where it is
flat. The shade is the cosine of the angle between the sun and the ground's normal, times 255 (Horn
1981). Sources: descriptions of ``Terrain.products`` and ``Terrain.hillshade``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gee.local.algorithms.images_gradients import ground_gradient
from gee.local.algorithms.images_neighbourhoods import refuse_arrays
from gee.local.geometry.projections import Grid
from gee.local.raster.images import Band, Image
from gee.local.raster.pixels import Raster, Surrounded
from gee.local.registry import algorithm
from gee.local.values import FLOAT, PixelType

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]
"""From the gradient towards east and north to what is told about the ground."""

_SHADE = PixelType("int", 0, 255)


def _slope(east: Floats, north: Floats) -> Floats:
    return np.asarray(np.degrees(np.arctan(np.hypot(east, north))))


def _aspect(east: Floats, north: Floats) -> Floats:
    towards = np.degrees(np.arctan2(-east, -north)) % 360
    return np.where((east == 0) & (north == 0), 0.0, towards)


def _shade(azimuth: float, elevation: float) -> Measure:
    up = math.sin(math.radians(elevation))
    flat = math.cos(math.radians(elevation))
    to_east, to_north = flat * math.sin(math.radians(azimuth)), flat * math.cos(math.radians(azimuth))

    def measure(east: Floats, north: Floats) -> Floats:
        lit = (up - east * to_east - north * to_north) / np.sqrt(1 + east**2 + north**2)
        return np.asarray(np.clip(lit, 0, 1) * 255)

    return measure


def _elevation(image: Image) -> Band:
    return image.bands[0] if len(image.bands) == 1 else image.band("elevation")


def _measured(image: Image, name: str, measure: Measure, kind: PixelType, *parameters: float) -> Band:
    band = _elevation(image)
    refuse_arrays([band])

    def compute(grid: Grid, raster: Raster) -> Raster:
        east, north, valid = ground_gradient(grid, raster)
        return Raster(measure(east, north).astype(kind.dtype), valid)

    node = Surrounded(f"terrain {name}", compute, lambda _: (1, 1), [band.pixels], *parameters)
    return Band(name, kind, band.projection, node, band.extent)


@algorithm("Terrain.slope")
def slope(image: Image) -> Image:
    """Steepness in degrees."""
    return image.with_bands([_measured(image, "slope", _slope, FLOAT)])


@algorithm("Terrain.aspect")
def aspect(image: Image) -> Image:
    """Where the ground faces, in degrees clockwise from north."""
    return image.with_bands([_measured(image, "aspect", _aspect, FLOAT)])


@algorithm("Terrain.hillshade")
def hillshade(image: Image, azimuth: float, elevation: float) -> Image:
    """Brightness of the ground, 0 to 255, under a sun at some azimuth and height."""
    return image.with_bands([_hillshade(image, azimuth, elevation)])


def _hillshade(image: Image, azimuth: float, elevation: float) -> Band:
    return _measured(image, "hillshade", _shade(azimuth, elevation), _SHADE, azimuth, elevation)


@algorithm("Terrain", "Terrain.products")
def products(image: Image) -> Image:
    """The image with bands ``slope``, ``aspect`` and ``hillshade`` added or replaced."""
    added = [
        _measured(image, "slope", _slope, FLOAT),
        _measured(image, "aspect", _aspect, FLOAT),
        _hillshade(image, 270.0, 45.0),
    ]
    names = {band.name for band in added}
    return image.with_bands([*(band for band in image.bands if band.name not in names), *added])
