"""Coordinate systems, projections and pixel grids as Earth Engine knows them.

A projection is a coordinate system with an affine transform from pixels to it; a grid is a projection
with a size, its origin at the upper left pixel's corner. They are frozen values, so they serve as keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from gee.local.errors import EngineError

METRES_PER_DEGREE = 111319.49079327357  # one degree on WGS84's equator, as Projection.nominalScale reports

# The MODIS sinusoidal sphere; Earth Engine serves its own name for it, which PROJ does not know.
_NAMED_BY_EARTH_ENGINE = {"SR-ORG:6974": "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"}

Transform = tuple[float, float, float, float, float, float]
"""xScale, xShear, xTranslate, yShear, yScale, yTranslate: the order Earth Engine writes."""


@lru_cache(maxsize=256)
def crs_of(code: str) -> pyproj.CRS:
    """The coordinate system of an EPSG or SR-ORG code, or of a WKT text.

    Raises:
        EngineError: the text names no coordinate system.
    """
    try:
        return pyproj.CRS.from_user_input(_NAMED_BY_EARTH_ENGINE.get(code, code))
    except pyproj.exceptions.CRSError as error:
        raise EngineError(f"The CRS of a map projection could not be parsed: '{code}'.") from error


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """From one coordinate system to another, x before y (longitude before latitude)."""
    return pyproj.Transformer.from_crs(crs_of(source), crs_of(target), always_xy=True)


def is_geographic(code: str) -> bool:
    """Whether a coordinate system is in degrees of longitude and latitude."""
    return bool(crs_of(code).is_geographic)


@dataclass(frozen=True)
class Projection:
    """A coordinate system and the affine transform of its pixels.

    ``transform`` maps (column, row) of pixel corners to x, y in units of ``crs``.
    """

    crs: str = "EPSG:4326"
    transform: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    @property
    def determinant(self) -> float:
        """Area of a pixel in units of the coordinate system, negative when rows run downwards."""
        a, b, _, d, e, _ = self.transform
        return a * e - b * d

    @property
    def is_default(self) -> bool:
        """Whether this is the WGS84 projection with one-degree pixels that composites have."""
        a, _, _, _, e, _ = self.transform
        return self.crs == "EPSG:4326" and abs(a) == 1 and abs(e) == 1

    @property
    def nominal_scale(self) -> float:
        """Metres per pixel where the projection is true to scale."""
        side = math.sqrt(abs(self.determinant))
        if is_geographic(self.crs):
            return side * METRES_PER_DEGREE
        return side * float(crs_of(self.crs).axis_info[0].unit_conversion_factor)

    def at_scale(self, metres: float) -> Projection:
        """The same origin and directions, with pixels of a nominal scale."""
        if not (math.isfinite(metres) and metres > 0):
            raise EngineError(f"Scale must be positive, got {metres}.")
        factor = metres / self.nominal_scale
        return self.rescaled(factor, factor)

    def specified(self, transform: Sequence[float] | None, scale: float | None) -> Projection:
        """This projection with another transform, or at another nominal scale, if one is given.

        Raises:
            EngineError: both are given, or the transform is none.
        """
        if transform is None:
            return self if scale is None else self.at_scale(scale)
        if scale is not None:
            raise EngineError("Can't specify both 'scale' and 'crsTransform'.")
        if len(transform) != 6:
            raise EngineError("'crsTransform' must have 6 numbers.")
        a, b, c, d, e, f = map(float, transform)
        return Projection(self.crs, (a, b, c, d, e, f))

    def rescaled(self, x: float, y: float) -> Projection:
        """Pixels ``x`` times as wide and ``y`` times as high, on the same origin."""
        a, b, c, d, e, f = self.transform
        return Projection(self.crs, (a * x, b * y, c, d * x, e * y, f))

    def translated(self, x: float, y: float) -> Projection:
        """The same pixels with the origin moved by so many pixels."""
        a, b, c, d, e, f = self.transform
        return Projection(self.crs, (a, b, c + a * x + b * y, d, e, f + d * x + e * y))

    def to_crs(self, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[Any, Any]:
        """Coordinates of pixel positions (corners are whole numbers, centres end in .5)."""
        a, b, c, d, e, f = self.transform
        return a * columns + b * rows + c, d * columns + e * rows + f

    def to_pixels(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Pixel positions of coordinates, inverse of `to_crs`."""
        a, b, c, d, e, f = self.transform
        determinant = self.determinant
        if determinant == 0:
            raise EngineError("The transform of a map projection is singular.")
        dx, dy = x - c, y - f
        return (e * dx - b * dy) / determinant, (a * dy - d * dx) / determinant

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` of a projection prints it."""
        return {"type": "Projection", "crs": self.crs, "transform": list(self.transform)}


WGS84 = Projection()


@dataclass(frozen=True)
class Grid:
    """A rectangle of pixels: a projection whose origin is the upper left corner, and a size."""

    projection: Projection
    width: int
    height: int

    @property
    def crs(self) -> str:
        """Code or WKT of the coordinate system."""
        return self.projection.crs

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def window(self, row: int, column: int, height: int, width: int) -> Grid:
        """A part of this grid, or an extension of it where the offsets are negative."""
        return Grid(self.projection.translated(column, row), width, height)

    def padded(self, columns: int, rows: int) -> Grid:
        """This grid with a margin on each side."""
        return self.window(-rows, -columns, self.height + 2 * rows, self.width + 2 * columns)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of the pixel centres, each of shape (height, width)."""
        columns, rows = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        return self.projection.to_crs(columns, rows)

    def outline(self, crs: str, points_per_side: int = 21) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points along the border and across the grid, where they have a place in another system."""
        columns, rows = np.meshgrid(
            np.linspace(0, self.width, points_per_side), np.linspace(0, self.height, points_per_side)
        )
        x, y = self.projection.to_crs(columns.ravel(), rows.ravel())
        x, y = transformer(self.crs, crs).transform(x, y)
        good = np.isfinite(x) & np.isfinite(y)
        return x[good], y[good]

    def offset_in(self, projection: Projection) -> tuple[int, int] | None:
        """Row and column of this grid's origin in a projection's pixels; None when they do not align."""
        if projection.crs != self.crs:
            return None
        mine, its = self.projection.transform, projection.transform
        size = math.sqrt(abs(projection.determinant))
        reach = max(self.width, self.height, 1)
        if any(abs(mine[i] - its[i]) * reach > 1e-4 * size for i in (0, 1, 3, 4)):
            return None
        column, row = projection.to_pixels(np.float64(mine[2]), np.float64(mine[5]))
        whole_column, whole_row = round(float(column)), round(float(row))
        # A thousandth of a pixel forgives the rounding of transforms written in decimal.
        if abs(column - whole_column) > 1e-3 or abs(row - whole_row) > 1e-3:
            return None
        return whole_row, whole_column


def covering(projection: Projection, x: NDArray[np.float64], y: NDArray[np.float64]) -> Grid:
    """The smallest grid of a projection's own pixels that holds the points (in its coordinate system)."""
    columns, rows = projection.to_pixels(x, y)
    # Points on a pixel's edge, but for rounding, do not ask for the next pixel.
    left, top = math.floor(columns.min() + 1e-6), math.floor(rows.min() + 1e-6)
    right, bottom = math.ceil(columns.max() - 1e-6), math.ceil(rows.max() - 1e-6)
    return Grid(projection.translated(left, top), max(1, right - left), max(1, bottom - top))
