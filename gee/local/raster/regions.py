"""Geometries over pixels: which pixels belong to a region, and how much of each it covers.

Earth Engine takes a pixel into an unweighted reduction when its centre lies in the region, and weighs it
by the covered fraction in a weighted one. Source: guides/reducers_reduce_region, guides/reducers_weighting.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features

from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Grid
from gee.local.geometry.shapes import valid


def key_of(geometry: Geometry) -> bytes:
    """A key for pixels that depend on a region."""
    if geometry.unbounded:
        return b"everywhere"
    edges = f"{geometry.crs} {geometry.geodesic} {geometry.even_odd} ".encode()
    wkb: bytes = shapely.to_wkb(geometry.shape)
    return edges + wkb


def common(first: Geometry, second: Geometry) -> Geometry:
    """Where both are, with the projection and edges of the first; the first where that cannot be told."""
    try:
        other = second.to_crs(first.crs, geodesic=first.geodesic)
    except EngineError:
        return first
    return replace(first, shape=shapely.intersection(valid(first.shape), valid(other.shape)), unbounded=False)


def _in_pixels(geometry: Geometry, grid: Grid) -> Any:
    """The region as a shape in columns and rows of the grid."""
    shape = geometry.shape_in(grid.crs)

    def to_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(grid.projection.to_pixels(points[:, 0], points[:, 1]), axis=1)

    return shapely.transform(shape, to_pixels)


@lru_cache(maxsize=256)
def inside(geometry: Geometry, grid: Grid) -> NDArray[np.bool_]:
    """Pixels that belong to a region: the centre lies in it, or a line or point of it meets the pixel.

    Returns:
        bool of shape (height, width).
    """
    if geometry.unbounded:
        return np.ones(grid.shape, np.bool_)
    shape = _in_pixels(geometry, grid)
    if shape.is_empty:
        return np.zeros(grid.shape, np.bool_)
    parts = list(shapely.get_parts(shape)) if hasattr(shape, "geoms") else [shape]
    result = np.zeros(grid.shape, np.bool_)
    for solid in (True, False):
        chosen = [part for part in parts if (part.geom_type in ("Polygon", "MultiPolygon")) is solid]
        if chosen:
            burnt = features.rasterize(chosen, grid.shape, fill=0, all_touched=not solid, dtype="uint8")
            result |= burnt.astype(np.bool_)
    result.flags.writeable = False
    return result


def coverage(geometry: Geometry, grid: Grid) -> NDArray[np.float64]:
    """The fraction of each pixel that a region covers; 1 for a pixel that a point or line of it meets.

    Fractions below 1/256 are 0, as Earth Engine's weights have eight bits.

    Returns:
        float64 of shape (height, width).
    """
    if geometry.unbounded:
        return np.ones(grid.shape)
    shape = _in_pixels(geometry, grid)
    if shape.is_empty:
        return np.zeros(grid.shape)
    parts = shapely.get_parts(shape)
    solid = shapely.area(parts) > 0
    result = np.zeros(grid.shape)
    if solid.any():
        polygons = shapely.union_all(parts[solid]) if len(parts) > 1 else shape
        result = _covered(polygons, grid)
    if not solid.all():
        thin = list(parts[~solid])
        met = features.rasterize(thin, grid.shape, fill=0, all_touched=True, dtype="uint8")
        result = np.maximum(result, met)
    result.flags.writeable = False
    return result


def _covered(shape: Any, grid: Grid) -> NDArray[np.float64]:
    """The fraction of each pixel that a polygon or several cover."""
    burnt = features.rasterize([shape], grid.shape, fill=0, dtype="uint8")
    result: NDArray[np.float64] = burnt.astype(np.float64)
    edge = features.rasterize([shapely.boundary(shape)], grid.shape, fill=0, all_touched=True, dtype="uint8")
    # A border that runs along pixel edges may be burnt on either side: look at both.
    rows, columns = np.nonzero(_grown(edge.astype(np.bool_)))
    shapely.prepare(shape)
    boxes = shapely.box(columns, rows, columns + 1, rows + 1)
    result[rows, columns] = shapely.area(shapely.intersection(boxes, shape))
    result[result < 1 / 256] = 0
    return result


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = np.pad(mask, 1)
    height, width = mask.shape
    grown: NDArray[np.bool_] = np.logical_or.reduce(
        [wide[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    )
    return grown
