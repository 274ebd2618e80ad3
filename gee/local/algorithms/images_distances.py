"""Distances from each pixel to the nearest one that is not zero.

``distance`` looks as far as its kernel reaches and counts in the kernel's units; ``fastDistanceTransform``
looks as far as its neighbourhood and counts in pixels. Both see beyond a tile that far, so that tiles
agree. Sources: their descriptions; guides/image_cumulative_cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gee.local.algorithms.images_neighbourhoods import Padded, around, matrix_on, neighbours, refuse_arrays
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid
from gee.local.raster.images import Band, Image
from gee.local.raster.kernels import Kernel
from gee.local.raster.pixels import Raster, Surrounded
from gee.local.registry import algorithm
from gee.local.values import FLOAT

_KERNELS = ("chebyshev", "euclidean", "manhattan")
_METRICS = ("squared_euclidean", "manhattan", "chebyshev")
MAX_NEIGHBOURHOOD = 1024  # pixels


def _sources(raster: Raster) -> NDArray[np.bool_]:
    return np.asarray((raster.values != 0) & raster.valid(raster.values.shape[:2]))


@algorithm("Image.distance")
def distance(image: Image, kernel: Kernel | None, skip_masked: bool) -> Image:
    """Distance to the nearest pixel under the kernel that is not zero; masked where there is none."""
    if kernel is None:
        raise EngineError("A kernel is required: which one is used by default is not documented.")
    if kernel.name not in _KERNELS:
        raise EngineError(f"The kernel must be one of {', '.join(_KERNELS)}. Found {kernel.name}.")
    refuse_arrays(image.bands)

    def compute(grid: Grid, raster: Raster) -> Raster:
        unit = grid.projection.nominal_scale if kernel.in_metres else 1.0
        inside = Padded(Raster(_sources(raster)), grid)
        weights = matrix_on(kernel, grid)
        nearest = np.where(inside.values(), 0.0, np.nan)
        unknown = ~inside.values()
        # The weights are distances: with the nearest neighbours first, the first source found is it.
        for row, column, away in sorted(neighbours(weights), key=lambda to: to.weight):
            if not unknown.any():
                break
            found = inside.values(row, column) & unknown
            nearest[found] = away * unit
            unknown &= ~found
        mask = ~unknown
        if skip_masked:
            mask &= Padded(raster, grid).valid()
        return Raster(nearest.astype(np.float32), mask)

    return image.computed(
        around("distance", band, kernel, compute, FLOAT, skip_masked) for band in image.bands
    )


@algorithm("Image.fastDistanceTransform")
def fast_distance_transform(image: Image, neighbourhood: int, units: str, metric: str) -> Image:
    """Band ``distance``: to the nearest pixel that is not zero, in pixels or their squares.

    Masked pixels count as zero; a pixel further away than the neighbourhood is masked.
    """
    if units != "pixels":
        raise EngineError(f"Only units of 'pixels' are supported. Found '{units}'.")
    if metric not in _METRICS:
        raise EngineError(f"The metric must be one of {', '.join(_METRICS)}. Found '{metric}'.")
    if not 0 < neighbourhood <= MAX_NEIGHBOURHOOD:
        raise EngineError(f"neighborhood must be between 1 and {MAX_NEIGHBOURHOOD}. Found {neighbourhood}.")
    band = image.only_band("The input of fastDistanceTransform")
    refuse_arrays([band])

    def compute(grid: Grid, raster: Raster) -> Raster:
        sources = _sources(raster)
        if not sources.any():
            return Raster(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.bool_))
        away: Any = (
            ndimage.distance_transform_edt(~sources)
            if metric == "squared_euclidean"
            else ndimage.distance_transform_cdt(~sources, "taxicab")
            if metric == "manhattan"
            else ndimage.distance_transform_cdt(~sources, "chessboard")
        )
        inner = Padded(Raster(away), grid).values()
        # Squares of distances between pixels are whole numbers.
        shown = np.rint(inner.astype(np.float64) ** 2) if metric == "squared_euclidean" else inner
        return Raster(shown.astype(np.float32), inner <= neighbourhood)

    node = Surrounded(
        "fastDistanceTransform", compute, lambda _: (neighbourhood, neighbourhood), [band.pixels],
        neighbourhood, metric,
    )  # fmt: skip
    return image.computed([Band("distance", FLOAT, band.projection, node, band.extent)])
