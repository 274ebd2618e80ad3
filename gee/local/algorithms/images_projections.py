"""Where and at what scale images are computed: projections, resampling, output bounds, coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import WGS84, Grid, Projection, covering, is_geographic, transformer
from gee.local.raster.aggregation import Aggregated
from gee.local.raster.images import INVALID_DEFAULT, Band, Image, several
from gee.local.raster.noise import normal_noise, uniform_noise
from gee.local.raster.pixels import Constant, Located, Pick, Raster
from gee.local.raster.resampling import Reprojected, Resampled, SourcePixels, read_computed
from gee.local.raster.resampling import resample as resample_pixels
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm
from gee.local.values import FLOAT, PixelType

_METHODS = ("bilinear", "bicubic")


@algorithm("Image.reproject")
def reproject(image: Image, crs: Projection, transform: Sequence[float] | None, scale: float | None) -> Image:
    """Everything before this is computed in a fixed projection."""
    bands = []
    for band in image.bands:
        projection = crs.specified(transform, scale)
        node = band.pixels if isinstance(band.pixels, Constant) else Reprojected(band.pixels, projection)
        bands.append(replace(band, pixels=node, projection=projection, extent=_extent(band, projection)))
    return image.with_bands(bands)


def _extent(band: Band, projection: Projection) -> Grid | None:
    """The pixels of a projection that hold a band's own."""
    if band.extent is None:
        return None
    x, y = band.extent.outline(projection.crs)
    return covering(projection, x, y) if x.size else None


@algorithm("Image.setDefaultProjection")
def set_default_projection(
    image: Image, crs: Projection, transform: Sequence[float] | None, scale: float | None
) -> Image:
    """Another default projection; pixels stay where they are computed."""
    bands = []
    for band in image.bands:
        projection = crs.specified(transform, scale)
        bands.append(replace(band, projection=projection, extent=_extent(band, projection)))
    return image.with_bands(bands)


@algorithm("Image.resample")
def resample(image: Image, mode: str) -> Image:
    """Interpolation instead of the nearest pixel in other projections than the bands' own."""
    if mode not in _METHODS:
        raise EngineError(f"Resampling mode must be one of {', '.join(_METHODS)}. Found '{mode}'.")
    bands = []
    for band in image.bands:
        node = (
            band.pixels.resampled(mode)
            if isinstance(band.pixels, SourcePixels)
            else Resampled(band.pixels, band.projection, mode)
        )
        kind = FLOAT if band.type.precision == "int" else band.type
        bands.append(replace(band, pixels=node, type=kind))
    return image.with_bands(bands)


@algorithm("Image.reduceResolution")
def reduce_resolution(image: Image, reducer: Reducer, best_effort: bool, max_pixels: int) -> Image:
    """All pixels under each output pixel combined, when next computed in a coarser projection."""
    for band in image.bands:
        if band.projection.is_default and band.extent is None:
            raise EngineError(INVALID_DEFAULT)
    if max_pixels <= 0:
        raise EngineError(f"maxPixels must be positive. Found {max_pixels}.")
    groups: list[tuple[Sequence[Band], list[str]]]
    if reducer.inputs == 1:
        single = len(reducer.outputs) == 1
        groups = [
            ([band], [band.name] if single else [f"{band.name}_{output}" for output in reducer.outputs])
            for band in image.bands
        ]
    elif reducer.inputs == len(image.bands):
        groups = [(image.bands, list(reducer.outputs))]
    else:
        raise EngineError(
            f"The reducer has {reducer.inputs} inputs, but the image has {len(image.bands)} bands."
        )
    bands: list[Band] = []
    for inputs, names in groups:
        node = Aggregated(
            [band.pixels for band in inputs], inputs[0].projection, reducer, max_pixels, best_effort
        )
        kinds = reducer.output_types([band.type for band in inputs])
        bands.extend(several(node, names, kinds, inputs))
    return image.with_bands(bands)


@algorithm("Image.changeProj")
def change_projection(image: Image, source: Projection, target: Projection) -> Image:
    """Pixels of one projection laid, unchanged, onto those of another."""

    def moved(band: Band) -> Band:
        def compute(grid: Grid) -> Raster:
            return _read_moved(band, source, target, grid)

        node = Located("changeProj", compute, band.pixels.key, source, target)
        extent = band.extent and Grid(target, band.extent.width, band.extent.height)
        return replace(band, pixels=node, projection=target, extent=extent)

    return image.with_bands(moved(band) for band in image.bands)


def _read_moved(band: Band, source: Projection, target: Projection, grid: Grid) -> Raster:
    return resample_pixels(read_computed(band.pixels, source), target, grid)


@algorithm("Image.clipToBoundsAndScale")
def clip_to_bounds_and_scale(
    image: Image,
    geometry: Geometry | None,
    width: int | None,
    height: int | None,
    max_dimension: int | None,
    scale: float | None,
) -> Image:
    """The output grid of an export or thumbnail: bounds of a geometry, at a scale or of a size.

    With ``scale`` the pixels are aligned to the origin of the coordinate system.
    """
    if not image.bands:
        raise EngineError("Image has no bands.")
    projection = image.bands[0].projection
    bounds = geometry if geometry is not None else image.geometry
    if bounds is None and image.bands[0].extent is not None:
        left, bottom, right, top = _extent_bounds(image.bands[0].extent)
    elif bounds is None or bounds.unbounded:
        raise EngineError("Unable to clip an unbounded image to its bounds; a geometry is required.")
    else:
        left, bottom, right, top = bounds.bounds_in(projection.crs)
    if scale is not None:
        if any(size is not None for size in (width, height, max_dimension)):
            raise EngineError("Only one of 'scale' and the dimensions may be specified.")
        side = scale / Projection(projection.crs).nominal_scale
        aligned = Projection(projection.crs, (side, 0.0, 0.0, 0.0, -side, 0.0))
        grid = covering(aligned, np.array([left, right]), np.array([bottom, top]))
    else:
        if max_dimension is not None:
            longest = max(right - left, top - bottom)
            width = max(1, round(max_dimension * (right - left) / longest))
            height = max(1, round(max_dimension * (top - bottom) / longest))
        elif width is None and height is None:
            grid = covering(projection, np.array([left, right]), np.array([bottom, top]))
            return _fixed(image, grid, geometry)
        elif height is None:
            assert width is not None  # noqa: S101 - narrows the type
            height = max(1, round(width * (top - bottom) / (right - left)))
        elif width is None:
            width = max(1, round(height * (right - left) / (top - bottom)))
        x, y = (right - left) / width, (top - bottom) / height
        grid = Grid(Projection(projection.crs, (x, 0.0, left, 0.0, -y, top)), width, height)
    return _fixed(image, grid, geometry)


def _extent_bounds(extent: Grid) -> tuple[float, float, float, float]:
    x, y = extent.projection.to_crs(
        np.array([0.0, extent.width, 0, extent.width]), np.array([0.0, 0, extent.height, extent.height])
    )
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _fixed(image: Image, grid: Grid, geometry: Geometry | None) -> Image:
    bands = [replace(band, projection=grid.projection, extent=grid) for band in image.bands]
    footprint = image.geometry if geometry is None else geometry
    return replace(image.with_bands(bands), grid=grid, geometry=footprint)


@algorithm("Image.pixelLonLat")
def pixel_lon_lat() -> Image:
    """Longitude and latitude of each pixel's centre, degrees."""
    return _coordinates("lonlat", WGS84, ("longitude", "latitude"))


@algorithm("Image.pixelCoordinates")
def pixel_coordinates(projection: Projection) -> Image:
    """X and y of each pixel's centre in a projection's pixels."""
    return _coordinates("coordinates", projection, ("x", "y"))


def _coordinates(name: str, projection: Projection, names: tuple[str, str]) -> Image:
    def compute(grid: Grid) -> list[Raster]:
        x, y = grid.centres()
        if grid.crs != projection.crs:
            x, y = transformer(grid.crs, projection.crs).transform(x, y)
        columns, rows = projection.to_pixels(x, y)
        placed = np.isfinite(columns) & np.isfinite(rows)
        mask = None if placed.all() else placed
        return [Raster(columns, mask), Raster(rows, mask)]

    node = Located(name, compute, projection)  # type: ignore[arg-type]
    kind = PixelType("double", -180, 180) if name == "lonlat" else PixelType("double")
    return Image({}, tuple(Band(band, kind, WGS84, Pick(node, index)) for index, band in enumerate(names)))


@algorithm("Image.pixelArea")
def pixel_area() -> Image:
    """Area of each pixel in square metres on the WGS84 ellipsoid, band ``area``."""
    return Image({}, (Band("area", PixelType("double"), WGS84, Located("area", _areas)),))


def _areas(grid: Grid) -> Raster:
    """Exact where edges are parallels and meridians; else edges are straight on an equal-area cylinder."""
    columns, rows = np.meshgrid(np.arange(grid.width + 1.0), np.arange(grid.height + 1.0))
    lon, lat = grid.projection.to_crs(columns, rows)
    if grid.crs != WGS84.crs:
        lon, lat = transformer(grid.crs, WGS84.crs).transform(lon, lat)
    across, along = np.radians(lon), _authalic(np.radians(lat))
    # The area of a quadrilateral is half the cross product of its diagonals.
    down = across[1:, 1:] - across[:-1, :-1], along[1:, 1:] - along[:-1, :-1]
    up = across[:-1, 1:] - across[1:, :-1], along[:-1, 1:] - along[1:, :-1]
    if not is_geographic(grid.crs):
        down, up = (_shortest(down[0]), down[1]), (_shortest(up[0]), up[1])
    areas = np.abs(down[0] * up[1] - up[0] * down[1]) / 2
    placed = np.isfinite(areas)
    return Raster(np.where(placed, areas, 0.0), None if placed.all() else placed)


def _shortest(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """A difference of longitudes across 180 degrees the short way."""
    shortest: NDArray[np.float64] = (turn + math.pi) % (2 * math.pi) - math.pi
    return shortest


def _authalic(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area between the equator and a parallel per radian of longitude (Snyder 1987, eq. 3-12)."""
    a, f = 6378137.0, 1 / 298.257223563
    e = math.sqrt(f * (2 - f))
    s = np.sin(latitude)
    inner = s / (1 - e * e * s * s) + np.arctanh(e * s) / e
    return a * a * (1 - e * e) / 2 * inner


@algorithm("Image.random")
def random(seed: int, distribution: str) -> Image:
    """Random numbers per pixel, band ``random``; deterministic by seed, not Google's numbers."""
    if distribution not in ("uniform", "normal"):
        raise EngineError(f"Distribution must be 'uniform' or 'normal'. Found '{distribution}'.")

    def compute(grid: Grid) -> Raster:
        return Raster(uniform_noise(grid, seed) if distribution == "uniform" else normal_noise(grid, seed))

    kind = PixelType("double", 0, 1) if distribution == "uniform" else PixelType("double")
    return Image({}, (Band("random", kind, WGS84, Located("random", compute, seed, distribution)),))


@algorithm("Image.translate")
def translate(image: Image, x: float, y: float, units: str, projection: Projection | None) -> Image:
    """Pixels moved by a distance in metres or pixels of a projection, by default the first band's."""
    if units not in ("meters", "pixels"):
        raise EngineError(f"Units must be 'meters' or 'pixels'. Found '{units}'.")
    moved = []
    for band in image.bands:
        base = projection or image.bands[0].projection
        step = 1.0 if units == "pixels" else 1 / base.nominal_scale
        a, b, c, d, e, f = base.transform
        sign = -1.0 if e < 0 and units == "meters" else 1.0
        columns, rows = x * step, sign * y * step
        shifted = Projection(base.crs, (a, b, c + a * columns + b * rows, d, e, f + d * columns + e * rows))
        moved.append(_moved_band(band, base, shifted))
    return image.with_bands(moved)


def _moved_band(band: Band, source: Projection, target: Projection) -> Band:
    moved = change_projection(Image({}, (band,)), source, target).bands[0]
    return replace(moved, projection=band.projection, extent=band.extent)
