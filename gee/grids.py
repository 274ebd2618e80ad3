"""Grids on the ground: the 1 km grid of a study, EASE-Grid 2.0, and means of images over their pixels.

Every request is made on an exact grid, because a scale alone lets Earth Engine shift pixels by up to half of
one, and 1 km pixels that nest in 9 km ones are what makes the two scales comparable. Sources: Xu et al. 2024
section 3.3 (UTM, means), Earth Engine guides/resample and guides/projections, Brodzik et al. 2012 (EASE).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ee
import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Proj, Transformer
from pyproj.exceptions import CRSError

from gee.catalog import SINUSOIDAL, WGS84
from gee.errors import SettingError

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""
Native = tuple[str, Sequence[float]]
"""Coordinate system and transform of a source, as Earth Engine writes them."""

FINE_METRES = 1000  # Xu et al. 2024, 3.3
NEST_METRES = 9000  # Xu et al. 2024, 3.3: SMAP L4's nominal 9 km
UTM_LATITUDES = (-80.0, 84.0)  # where UTM is defined
AREA_ERROR = 0.01  # largest error of a pixel's area in a zone chosen here
GIVEN_AREA_ERROR = 0.1  # and in a system that the user chose: Web Mercator at 30 degrees is 33 % off
FINEST_METRES = 10.0  # Sentinel-1, the finest source; assumed where the size of input pixels is not told
METRES_PER_DEGREE = 111_319.49  # along the equator


def utm_crs(lon: float, lat: float) -> str:
    """The WGS84 UTM zone of a place, as an EPSG code.

    Args:
        lon: degrees, -180 to 180.
        lat: degrees.

    Raises:
        SettingError: the place lies beyond 80 S or 84 N, where there is no UTM.
    """
    south, north = UTM_LATITUDES
    if not south <= lat <= north:
        raise SettingError(
            f"Latitude {lat:g} has no UTM zone (they reach from {-south:g} S to {north:g} N): "
            "give the coordinate system of the grid (crs), such as a polar stereographic one."
        )
    zone = min(60, int((lon + 180) // 6) + 1)
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def fine_grid(
    bounds: Bounds, crs: str | None = None, metres: int = FINE_METRES, nest: int = NEST_METRES
) -> GeoBox:
    """The fine grid of a region: whole nests around its bounds, and one nest more on each side.

    The additional nest holds the parts of cells that straddle the border.

    Args:
        bounds: of the region.
        crs: coordinate system in metres; None is the UTM zone of the bounds' centre.
        metres: side of a fine pixel.
        nest: side of a coarse one, which fine pixels fill exactly; origins are multiples of it.

    Returns:
        A grid whose rows run southwards.

    Raises:
        SettingError: the bounds are not a box on Earth that is at least a nest wide and high, or the
            coordinate system is not in metres or too far from true to area there.
    """
    if metres <= 0 or nest % metres:
        raise SettingError(f"Pixels of {metres} m do not fill {nest} m: give a divisor of {nest}.")
    _check(bounds)
    west, south, east, north = bounds
    chosen = crs or utm_crs((west + east) / 2, (south + north) / 2)
    _check_system(chosen, bounds, given=crs is not None)
    to_grid = Transformer.from_crs(WGS84, chosen, always_xy=True)
    left, bottom, right, top = to_grid.transform_bounds(west, south, east, north, densify_pts=101)
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise SettingError(f"{chosen} has no place for the region {_words(bounds)}: give another crs.")
    if right - left < nest or top - bottom < nest:
        raise SettingError(
            f"The region {_words(bounds)} is {(right - left) / 1000:.1f} by {(top - bottom) / 1000:.1f} km, "
            f"less than one {nest / 1000:g} km cell: nothing can be learned in it. Give a larger one."
        )
    left, bottom = ((math.floor(low / nest) - 1) * nest for low in (left, bottom))
    right, top = ((math.ceil(high / nest) + 1) * nest for high in (right, top))
    transform = Affine(metres, 0, left, 0, -metres, top)
    return GeoBox((round((top - bottom) / metres), round((right - left) / metres)), transform, chosen)


def _words(bounds: Bounds) -> str:
    west, south, east, north = bounds
    return f"{west:g} to {east:g} E, {south:g} to {north:g} N"


def _check(bounds: Bounds) -> None:
    west, south, east, north = bounds
    if not all(map(math.isfinite, bounds)) or max(map(abs, (west, east))) > 180 or max(-south, north) > 90:
        raise SettingError(
            f"The bounds {bounds} are not west, south, east, north in degrees: longitudes lie within "
            "-180 to 180, latitudes within -90 to 90. Coordinates in metres must be converted first."
        )
    if west >= east:
        raise SettingError(
            f"The bounds run from {west:g} E to {east:g} E: give west before east, and a region across the "
            "180th meridian as two studies, one on each side."
        )
    if south >= north:
        raise SettingError(f"The bounds run from {south:g} N to {north:g} N: give south before north.")


def _check_system(crs: str, bounds: Bounds, *, given: bool) -> None:
    """Refuse a system in which 1 km pixels would not be about 1 km²."""
    try:
        system = CRS.from_user_input(crs)
    except CRSError as error:
        raise SettingError(f"The coordinate system crs = {crs!r} is not known: give an EPSG code.") from error
    if not system.is_projected or any(axis.unit_name != "metre" for axis in system.axis_info):
        raise SettingError(f"The coordinate system {crs} ({system.name}) is not in metres: give one that is.")
    west, south, east, north = bounds
    lon, lat = np.meshgrid(np.linspace(west, east, 25), np.linspace(south, north, 25))
    areal = np.asarray(Proj(system).get_factors(lon, lat).areal_scale)
    worst = float(np.max(np.abs(areal - 1)))
    limit = GIVEN_AREA_ERROR if given else AREA_ERROR
    if worst <= limit:
        return
    wrong = f"by up to {worst:.1%}" if math.isfinite(worst) and worst < 10 else "beyond measure"
    raise SettingError(
        f"Over {_words(bounds)} areas in {crs} ({system.name}) are wrong {wrong} (allowed: {limit:.0%}). "
        + (
            "Give another crs."
            if given
            else "Split the region into studies of at most two UTM zones, or give a crs true to area."
        )
    )


def coarse(grid: GeoBox, factor: int = NEST_METRES // FINE_METRES) -> GeoBox:
    """The grid whose pixels hold ``factor`` by ``factor`` pixels of another.

    Raises:
        SettingError: the grid is not that many whole pixels wide and high.
    """
    if grid.shape.x % factor or grid.shape.y % factor:
        raise SettingError(f"{grid.shape.x} x {grid.shape.y} pixels are not whole blocks of {factor}.")
    shape = grid.shape.y // factor, grid.shape.x // factor
    a, b, c, d, e, f = crs_transform(grid)
    return GeoBox(shape, Affine(a * factor, b * factor, c, d * factor, e * factor, f), grid.crs)


def crs_transform(grid: GeoBox) -> list[float]:
    """xScale, xShear, xTranslate, yShear, yScale, yTranslate: the order Earth Engine takes."""
    return list(grid.affine)[:6]


def projection(grid: GeoBox) -> ee.Projection:
    """A grid's coordinate system and transform."""
    return ee.Projection(str(grid.crs), crs_transform(grid))


def pixel_grid(grid: GeoBox) -> dict[str, Any]:
    """A grid as requests for pixels take it: the REST API's PixelGrid."""
    x_scale, x_shear, left, y_shear, y_scale, top = crs_transform(grid)
    height, width = grid.shape
    return {
        "dimensions": {"width": width, "height": height},
        "affineTransform": {
            "scaleX": x_scale, "shearX": x_shear, "translateX": left,
            "shearY": y_shear, "scaleY": y_scale, "translateY": top,
        },
        "crsCode": str(grid.crs),
    }  # fmt: skip


def rectangle(grid: GeoBox) -> ee.Geometry:
    """A grid's outline, planar in its own coordinate system, as exports take their region."""
    box = grid.boundingbox
    return ee.Geometry.Rectangle([box.left, box.bottom, box.right, box.top], str(grid.crs), False)


def input_pixels(metres: float, onto_metres: float) -> int:
    """A bound on the input pixels that one output pixel meets, for ``reduceResolution``.

    Twice the ratio allows for sheared (sinusoidal) and narrowed (geographic) input pixels up to some 60
    degrees of latitude, two pixels more for those cut by the edges.

    Args:
        metres: side of an input pixel.
        onto_metres: side of an output pixel.
    """
    return math.ceil(2 * onto_metres / metres + 2) ** 2


def _native_metres(native: ee.Projection | Native | None) -> float:
    if not isinstance(native, tuple):
        return FINEST_METRES
    crs, transform = native
    side = math.sqrt(abs(transform[0] * transform[4] - transform[1] * transform[3]))
    in_degrees = crs != SINUSOIDAL and CRS.from_user_input(crs).is_geographic
    return side * (METRES_PER_DEGREE if in_degrees else 1)


def aggregated(
    image: ee.Image,
    grid: GeoBox,
    native: ee.Projection | Native | None = None,
    stages: Sequence[float] = (),
    metres: float | None = None,
) -> ee.Image:
    """Mean over the valid part of every pixel of a grid, weighted by the area of each input pixel.

    Args:
        image: numbers, not classes; its pixels are finer than the grid's.
        grid: wanted.
        native: where the image's pixels lie; needed for what mosaics, means and constants gave, which Earth
            Engine takes for 1 degree pixels. None is the image's own projection.
        stages: sides in metres, growing, of pixels to go through in the image's own coordinate system.
            10 m onto 1 km in one step exceeds what Earth Engine takes at a time; through 100 m it does not.
        metres: side of the image's pixels, for ``maxPixels``; None is that of a ``native`` transform, else
            the finest of the catalogue.

    Returns:
        The same bands on the grid; masked where nothing under the pixel is valid.

    Source: guides/resample (reduceResolution: weights are mask times covered fraction). With stages, sums
    of values and of weights go separately, so that a half-masked 100 m pixel counts half.
    """
    image = ee.Image(image)
    if not stages:
        return _meaned(image, grid, native, (), metres)
    weight = image.mask().unmask(0, False)
    # unmask leaves a half-masked pixel as it is, and it must not be weighted twice.
    total = image.unmask(0, False).mask(1).multiply(weight)
    origin = native if native is not None else image.select(0).projection()
    share = _meaned(weight, grid, origin, stages, metres)
    mean = _meaned(total, grid, origin, stages, metres).divide(share)
    return ee.Image(mean.updateMask(share.gt(0)))


def valid_fraction(
    image: ee.Image,
    grid: GeoBox,
    native: ee.Projection | Native | None = None,
    stages: Sequence[float] = (),
    metres: float | None = None,
) -> ee.Image:
    """Share of every pixel of a grid that is valid in each band, 0 to 1, nowhere masked.

    Arguments as of `aggregated`.
    """
    image = ee.Image(image)
    origin = native if native is not None else image.select(0).projection()
    return _meaned(image.mask().unmask(0, False), grid, origin, stages, metres)


def _meaned(
    image: ee.Image,
    grid: GeoBox,
    native: ee.Projection | Native | None,
    stages: Sequence[float],
    metres: float | None,
) -> ee.Image:
    own = ee.Projection(*native) if isinstance(native, tuple) else native
    if own is not None:
        image = image.setDefaultProjection(own)
    side = metres if metres is not None else _native_metres(native)
    steps = [(stage, own.atScale(stage)) for stage in stages] if own is not None else []
    for onto, target in [*steps, (abs(grid.affine.a), projection(grid))]:
        image = image.reduceResolution(ee.Reducer.mean(), False, input_pixels(side, onto)).reproject(target)
        side = onto
    return ee.Image(image)


@dataclass(frozen=True)
class EaseGrid:
    """A global grid of the cylindrical EASE-Grid 2.0; sizes in metres."""

    columns: int
    rows: int
    metres: float
    top: float
    crs: str = "EPSG:6933"


EASE9 = EaseGrid(3856, 1624, 9008.05521014604, 7314540.830638)  # M09, as SMAP L4's; Brodzik et al. 2012


@cache
def ease_edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of the 9 km EASE cells, which are rectangles of longitude and latitude.

    Returns:
        Longitudes of the 3,857 column edges from west to east and latitudes of the 1,625 row edges from
        north to south, degrees, read-only.
    """
    to_degrees = Transformer.from_crs(EASE9.crs, WGS84, always_xy=True)
    y = EASE9.top - EASE9.metres * np.arange(EASE9.rows + 1)
    _, lat = to_degrees.transform(np.zeros_like(y), y)
    # The columns go once round the Earth; through metres the last edge would miss 180 degrees by rounding.
    edges = np.linspace(-180, 180, EASE9.columns + 1), np.asarray(lat)
    for edge in edges:
        edge.flags.writeable = False
    return edges


def ease_cell_of(lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the 9 km EASE cell at places, counted from the north-west corner.

    Args:
        lon: degrees.
        lat: degrees, of the same shape.

    Raises:
        SettingError: a place lies poleward of 85.04 degrees, beyond the grid, or is not on Earth.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    lon_edges, lat_edges = ease_edges()
    inside = (np.abs(lon) <= lon_edges[-1]) & (np.abs(lat) <= lat_edges[0])
    if not inside.all():
        raise SettingError(
            f"{int((~inside).sum())} of {inside.size} places lie on no 9 km EASE cell: longitudes "
            "must lie within -180 to 180, latitudes within -85.04 to 85.04 degrees."
        )
    # The grid's eastern and southern border belong to its last column and row.
    columns = np.searchsorted(lon_edges[:-1], lon, side="right") - 1
    rows = np.searchsorted(-lat_edges[:-1], -lat, side="right") - 1
    return np.asarray(rows, np.intp), np.asarray(columns, np.intp)
