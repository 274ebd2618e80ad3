"""Statistics and samples of images over regions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Projection, transformer
from gee.local.raster.images import Image, aggregation_projection, coarsened, region_grid, saturated
from gee.local.raster.noise import uniform_noise
from gee.local.raster.pixels import Raster
from gee.local.raster.regions import inside
from gee.local.raster.zonal import Part, Reduction, parts, reduce_regions
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm
from gee.local.values import Collection, Date, Feature

_LOTTERY = 0x1077E4  # else a sample of random numbers of the same seed would hold only the small ones


def _footprint(image: Image, given: Geometry | None) -> Geometry:
    region = given if given is not None else image.geometry
    if region is None:
        raise EngineError("The geometry for image aggregation must not be unbounded.")
    return region


@algorithm("Image.reduceRegion")
def reduce_region(
    image: Image,
    reducer: Reducer,
    geometry: Geometry | None,
    scale: float | None,
    crs: Projection | None,
    transform: Sequence[float] | None,
    best_effort: bool,
    max_pixels: float,
    _: float,
) -> dict[str, Any]:
    """A reducer over all the pixels of a region, by band name."""
    reduction = Reduction.of(reducer, image, by_band=True)
    region = _footprint(image, geometry)
    projection = aggregation_projection(image, crs, transform, scale)
    if best_effort:
        projection = coarsened(projection, region, max_pixels)
    for _, found in reduce_regions(image, reduction, [region], projection, max_pixels):
        return found
    raise AssertionError


@algorithm("Image.reduceRegions")
def reduce_each(
    image: Image,
    collection: Collection,
    reducer: Reducer,
    scale: float | None,
    crs: Projection | None,
    transform: Sequence[float] | None,
    _: float,
    max_pixels: float | None,
) -> Collection:
    """A reducer over the pixels of each feature, as properties added to it."""
    reduction = Reduction.of(reducer, image, by_band=False)
    projection = aggregation_projection(image, crs, transform, scale)
    limit = math.inf if max_pixels is None else max_pixels

    def features() -> Iterator[Feature]:
        given = list(collection)
        regions = [feature.geometry for feature in given]
        for index, found in reduce_regions(image, reduction, regions, projection, limit):
            yield given[index].having({name: value for name, value in found.items() if value is not None})

    return collection.of(features())


def _values(
    part: Part, image: Image, chosen: NDArray[np.bool_]
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Values and validity of each band at the chosen pixels."""
    shape = part.grid.shape
    values = [
        saturated(raster.values[chosen], band.type)
        for raster, band in zip(part.rasters, image.bands, strict=True)
    ]
    return values, [raster.valid(shape)[chosen] for raster in part.rasters]


def _property(values: NDArray[Any], index: int) -> Any:
    value = values[index]
    return value if isinstance(value, np.ndarray) else value.item()


def _centres(part: Part, chosen: NDArray[np.bool_]) -> list[Geometry]:
    x, y = part.grid.centres()
    lon, lat = transformer(part.grid.crs, "EPSG:4326").transform(x[chosen], y[chosen])
    return [Geometry(shapely.Point(a, b)) for a, b in zip(lon.tolist(), lat.tolist(), strict=True)]


def _rows(
    part: Part, image: Image, chosen: NDArray[np.bool_], drop_nulls: bool, geometries: bool
) -> Iterator[tuple[dict[str, Any], Geometry | None]]:
    """Properties and geometry of each sampled pixel."""
    values, valid = _values(part, image, chosen)
    points = _centres(part, chosen) if geometries else None
    for index in range(int(chosen.sum())):
        row = {
            name: _property(band, index)
            for name, band, ok in zip(image.names, values, valid, strict=True)
            if ok[index]
        }
        if drop_nulls and len(row) < len(values):
            continue
        yield row, None if points is None else points[index]


def _lottery(part: Part, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each pixel, by its place and the seed; not that of Image.random."""
    return uniform_noise(part.grid, seed ^ _LOTTERY)


@algorithm("Image.sample")
def sample(
    image: Image,
    region: Geometry | None,
    scale: float | None,
    projection: Projection | None,
    factor: float | None,
    pixels: int | None,
    seed: int,
    drop_nulls: bool,
    _: float,
    geometries: bool,
) -> Collection:
    """A feature per pixel of a region, or of a random share or number of them."""
    if factor is not None and pixels is not None:
        raise EngineError("Only one of 'factor' and 'numPixels' may be specified.")
    bounds = _footprint(image, region)
    grid_projection = aggregation_projection(image, projection, None, scale)
    share = factor
    if pixels is not None:
        # As documented, the number is approximate: pixels are chosen one by one.
        share = pixels / max(1.0, _pixels_of(bounds, grid_projection))

    def features() -> Iterator[Feature]:
        count = 0
        for part in parts(image.bands, [bounds], grid_projection):
            chosen = inside(bounds, part.grid)
            if share is not None:
                chosen = chosen & (_lottery(part, seed) < share)
            for row, point in _rows(part, image, chosen, drop_nulls, geometries):
                yield Feature({"system:index": str(count), **row}, point)
                count += 1

    return Collection({"band_order": image.names}, features())


def _pixels_of(region: Geometry, projection: Projection) -> float:
    """About how many pixels a region has."""
    if region.is_empty:
        return 0.0
    grid = region_grid(region, projection)
    area = float(region.shape_in(projection.crs).area)
    return area / abs(projection.determinant) if area else float(grid.width * grid.height)


@algorithm("Image.sampleRegions")
def sample_regions(
    image: Image,
    collection: Collection,
    properties: Sequence[str] | None,
    scale: float | None,
    projection: Projection | None,
    _: float,
    geometries: bool,
) -> Collection:
    """A feature per pixel of each feature, with the feature's properties; masked pixels give none."""
    grid_projection = aggregation_projection(image, projection, None, scale)

    def features() -> Iterator[Feature]:
        given = list(collection)
        regions = [feature.geometry for feature in given]
        found: dict[int, list[Feature]] = {}
        for part in parts(image.bands, regions, grid_projection):
            region = regions[part.region]
            assert region is not None  # noqa: S101 - narrows the type
            kept = {
                name: value
                for name, value in given[part.region].properties.items()
                if name != "system:index" and (properties is None or name in properties)
            }
            rows = found.setdefault(part.region, [])
            index = given[part.region].properties.get("system:index", str(part.region))
            for row, point in _rows(part, image, inside(region, part.grid), True, geometries):
                rows.append(Feature({"system:index": f"{index}_{len(rows)}", **kept, **row}, point))
        for index in range(len(given)):
            yield from found.get(index, ())

    sampled = collection.of(features())
    return sampled.having({"band_order": image.names})


@algorithm("Image.stratifiedSample")
def stratified_sample(
    image: Image,
    points: int,
    class_band: str | None,
    region: Geometry | None,
    scale: float | None,
    projection: Projection | None,
    seed: int,
    class_values: Sequence[int] | None,
    class_points: Sequence[int] | None,
    drop_nulls: bool,
    _: float,
    geometries: bool,
) -> Collection:
    """Up to so many random pixels of each class of a band."""
    if (class_values is None) != (class_points is None) or len(class_values or ()) != len(class_points or ()):
        raise EngineError("'classValues' and 'classPoints' must be lists of the same length.")
    bounds = _footprint(image, region)
    position = image.names.index(image.band(0 if class_band is None else class_band).name)
    if image.bands[position].type.precision != "int":
        raise EngineError(f"The class band '{image.names[position]}' must contain integer values.")
    wanted = dict(zip(class_values or (), class_points or (), strict=True))
    grid_projection = aggregation_projection(image, projection, None, scale)

    def features() -> Iterator[Feature]:
        drawn: dict[int, list[tuple[float, dict[str, Any], Geometry | None]]] = {}
        for part in parts(image.bands, [bounds], grid_projection):
            shape = part.grid.shape
            chosen = inside(bounds, part.grid) & part.rasters[position].valid(shape)
            luck = _lottery(part, seed)[chosen]
            values, valid = _values(part, image, chosen)
            sites = _centres(part, chosen) if geometries else None
            for code in np.unique(values[position]).tolist():
                most = wanted.get(int(code), points)
                here = np.nonzero(values[position] == code)[0]
                if drop_nulls:
                    here = here[np.logical_and.reduce([ok[here] for ok in valid])]
                kept = drawn.setdefault(int(code), [])
                for index in here[np.argsort(luck[here], kind="stable")[:most]].tolist():
                    row = {
                        band.name: _property(array, index)
                        for band, array, ok in zip(image.bands, values, valid, strict=True)
                        if ok[index]
                    }
                    kept.append((float(luck[index]), row, None if sites is None else sites[index]))
                kept.sort(key=lambda item: item[0])
                del kept[most:]
        count = 0
        for code in sorted(drawn):
            for _luck, row, point in drawn[code]:
                yield Feature({"system:index": str(count), **row}, point)
                count += 1

    return Collection({"band_order": image.names}, features())


@algorithm("Image.sampleRectangle")
def sample_rectangle(
    image: Image,
    region: Geometry | None,
    properties: Sequence[str] | None,
    default: float | None,
    default_array: NDArray[Any] | None,
) -> Feature:
    """A rectangle of pixels as one array property per band."""
    bounds = _footprint(image, region)
    found: dict[str, Any] = {
        name: value
        for name, value in image.properties.items()
        if (not name.startswith("system:") if properties is None else name in properties)
    }
    for band in image.bands:
        grid = region_grid(bounds, band.projection, 262_144)
        [raster] = Image({}, (band,)).read(grid)
        fallback = default_array if band.type.dimensions else default
        found[band.name] = _filled(raster, grid.shape, fallback, band.name)
    return Feature(found, bounds)


def _filled(raster: Raster, shape: tuple[int, int], default: Any, name: str) -> NDArray[Any]:
    """Values with a default in place of what is masked, in a type that holds both."""
    masked = ~raster.valid(shape)
    if not masked.any():
        if raster.values.dtype == object:
            raise EngineError(f"The arrays of band '{name}' must all have the same lengths.")
        return raster.values
    if default is None:
        raise EngineError(
            f"Fully or partially masked band '{name}' encountered, and no default value was set."
        )
    filler = np.asarray(default)
    if filler.dtype.kind == "f" and (filler == np.trunc(filler)).all():
        filler = filler.astype(np.int64)  # a whole default leaves integers as they are
    shapes = {raster.values[index].shape for index in zip(*np.nonzero(~masked), strict=True)}
    if shapes - {filler.shape}:
        raise EngineError(f"The arrays of band '{name}' and the default must all have the same lengths.")
    smallest = np.result_type(*map(np.min_scalar_type, (filler.min(), filler.max())))
    values = np.empty(shape + filler.shape, np.result_type(raster.values.dtype, smallest))
    values[masked] = filler
    values[~masked] = raster.values[~masked]
    return values


@algorithm("ImageCollection.getRegion")
def get_region(
    collection: Collection,
    geometry: Geometry,
    scale: float | None,
    crs: Projection | None,
    transform: Sequence[float] | None,
) -> list[list[Any]]:
    """A table of pixels: a header, then id, longitude, latitude, time and bands of every image's pixels."""
    images: list[Image] = list(collection)
    if not images:
        raise EngineError("No images in the collection.")
    names = images[0].names
    table: list[list[Any]] = [["id", "longitude", "latitude", "time", *names]]
    for image in images:
        chosen_image = replace(image, bands=tuple(image.band(name) for name in names))
        start = image.properties.get("system:time_start")
        moment = start.millis if isinstance(start, Date) else start
        projection = aggregation_projection(chosen_image, crs, transform, scale)
        for part in parts(chosen_image.bands, [geometry], projection):
            chosen = inside(geometry, part.grid)
            values, valid = _values(part, chosen_image, chosen)
            for index, point in enumerate(_centres(part, chosen)):
                cells = [
                    _property(band, index) if ok[index] else None
                    for band, ok in zip(values, valid, strict=True)
                ]
                lon, lat = point.shape.coords[0]
                table.append([image.properties.get("system:index"), lon, lat, moment, *cells])
                if len(table) * len(table[0]) > 1_048_576:
                    raise EngineError("ImageCollection.getRegion: Too many values: more than 1048576.")
    return table
