"""From pixels to features and back: polygons of like pixels, properties as pixels, distances to features.

Sources: guides/reducers_reduce_to_vectors, descriptions of ``Image.reduceToVectors``,
``Collection.reduceToImage`` and ``Collection.distance``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from gee.local.algorithms.images_drawing import Layer, burn
from gee.local.algorithms.images_objects import EIGHT, FOUR, Objects, connected, reduce_groups
from gee.local.errors import EngineError
from gee.local.geometry.geodesy import SPHERE_RADIUS
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import WGS84, Grid, Projection, transformer
from gee.local.raster.images import Band, Image, aggregation_projection, coarsened, region_grid, several
from gee.local.raster.pixels import Located, Raster
from gee.local.raster.regions import inside
from gee.local.raster.zonal import Reduction
from gee.local.reduction.reducers import Reducer, as_values
from gee.local.registry import algorithm, apply
from gee.local.selection.filters import geometry_of
from gee.local.values import DOUBLE, Collection, Feature

Floats = NDArray[np.float64]

_SHAPES = ("polygon", "bb", "centroid")
_SAMPLE_METRES = 1000.0  # between the points of a line by which the nearest lines are found
_NEAREST = 8  # of those points looked at


@algorithm("Image.reduceToVectors")
def reduce_to_vectors(
    image: Image,
    reducer: Reducer | None,
    geometry: Geometry | None,
    scale: float | None,
    kind: str,
    eight: bool,
    label: str | None,
    crs: Projection | None,
    transform: Sequence[float] | None,
    best_effort: bool,
    max_pixels: float,
    _: float,
    native: bool,
) -> Collection:
    """A feature for each group of connected pixels of one value, with the other bands reduced over it."""
    if kind not in _SHAPES:
        raise EngineError(f"geometryType must be one of {', '.join(_SHAPES)}. Found '{kind}'.")
    if not image.bands:
        raise EngineError("The image has no bands.")
    if image.bands[0].type.precision != "int" or image.bands[0].type.dimensions:
        raise EngineError("The first band must be of an integer type.")
    counts = reducer is None or reducer.name == "countEvery"
    combined: Reducer = apply("Reducer.countEvery", {}) if reducer is None else reducer
    # Counting needs no input, so it takes the labels' band itself.
    inputs = image.with_bands(image.bands[:1] if counts else image.bands[1:])
    if not inputs.bands:
        raise EngineError(
            f"Reducer.{combined.name} needs bands to reduce after the first, and there are none."
        )
    reduction = Reduction.of(combined, inputs, by_band=False)
    region = image.geometry if geometry is None else geometry
    if region is None or region.unbounded:
        raise EngineError("The geometry for image aggregation must not be unbounded.")
    projection = aggregation_projection(image, crs, transform, scale)
    if best_effort:
        projection = coarsened(projection, region, max_pixels)

    def found() -> Iterator[Feature]:
        grid = region_grid(region, projection, max_pixels)
        labels, *others = image.read(grid)
        valid = labels.valid(grid.shape) & inside(region, grid)
        objects = connected(labels.values, valid, EIGHT if eight else FOUR)
        values = labels.values.ravel()[objects.first].tolist()
        columns = _reduced(reduction, [labels] if counts else others, objects)
        for index, shape in enumerate(_shapes(objects, kind, grid)):
            properties: dict[str, Any] = {"system:index": str(index)}
            if label is not None:
                properties[label] = values[index]
            for name, (results, known) in columns.items():
                value = as_values((results[index, ...], known[index, ...]))
                if value is not None:
                    properties[name] = value
            placed = Geometry(shape, grid.crs, geodesic=False)
            yield Feature(properties, placed if native else placed.to_crs("EPSG:4326", geodesic=False))

    return Collection({}, found())


def _reduced(
    reduction: Reduction, rasters: Sequence[Raster], objects: Objects
) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Outputs by name, with values and validity of each object."""
    shape = (objects.labels.shape[0], objects.labels.shape[1])
    member = objects.labels >= 0
    columns: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}
    for group, names in zip(reduction.groups, reduction.names, strict=True):
        inputs = [
            (
                rasters[index].values[member],
                (rasters[index].weights(shape) if weighted else rasters[index].valid(shape))[member],
            )
            for index, weighted in zip(group, reduction.reducer.weighting, strict=True)
        ]
        results = reduce_groups(reduction.reducer, inputs, objects.labels[member], len(objects.first))
        columns |= dict(zip(names, results, strict=True)) if results else {}
    return columns


def _shapes(objects: Objects, kind: str, grid: Grid) -> Iterator[BaseGeometry]:
    """The shape of each object in the grid's coordinate system."""
    rows, columns = np.nonzero(objects.labels >= 0)
    labels, count = objects.labels[rows, columns], len(objects.first)
    if kind == "centroid":
        sizes = np.bincount(labels, minlength=count)
        x, y = grid.projection.to_crs(
            np.bincount(labels, columns + 0.5, count) / sizes, np.bincount(labels, rows + 0.5, count) / sizes
        )
        yield from shapely.points(x, y).tolist()
        return
    if kind == "bb":
        ends = []
        for places in (columns, rows):
            least, most = np.full(count, np.inf), np.full(count, -np.inf)
            np.minimum.at(least, labels, places)
            np.maximum.at(most, labels, places + 1)
            ends.append((least, most))
        (left, right), (top, bottom) = ends
        boxes = shapely.box(left, top, right, bottom)
    else:
        pieces: list[list[BaseGeometry]] = [[] for _ in range(count)]
        # Corners that touch are parts of one object, but not of one valid polygon.
        for shape, number in features.shapes(objects.labels, mask=objects.labels >= 0, connectivity=4):
            pieces[int(number)].append(shapely.geometry.shape(shape))
        boxes = [each[0] if len(each) == 1 else shapely.MultiPolygon(each) for each in pieces]

    def to_crs(points: Floats) -> Floats:
        return np.stack(grid.projection.to_crs(points[:, 0], points[:, 1]), axis=1)

    for box in boxes:
        yield shapely.transform(box, to_crs)


@algorithm("Collection.reduceToImage")
def reduce_to_image(collection: Collection, properties: Sequence[str], reducer: Reducer) -> Image:
    """A reducer over the properties of all the features that meet a pixel, bands named as its outputs."""
    if reducer.inputs != len(properties):
        raise EngineError(
            f"Need {reducer.inputs} properties for Reducer.{reducer.name}, got {len(properties)}."
        )
    geometries, rows = [], []
    for feature in collection:
        geometry, values = geometry_of(feature), [feature.get(name) for name in properties]
        if geometry is None or None in values:
            continue
        if not all(isinstance(value, (bool, int, float)) for value in values):
            raise EngineError(f"Properties to reduce must be numbers. Found {values}.")
        geometries.append(geometry)
        rows.append([float(value) for value in values])
    layer, table = Layer(geometries), np.array(rows, np.float64).reshape(len(rows), len(properties))

    def compute(grid: Grid) -> list[Raster]:
        places, members = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        cells = np.arange(grid.height * grid.width).reshape(grid.shape)
        for index, shape in layer.on(grid):
            burnt = burn(shape, grid.shape, touched=True)
            if burnt is not None:
                here, covered = burnt
                places.append(cells[here][covered])
                members.append(np.full(len(places[-1]), index))
        used, groups = np.unique(np.concatenate(places), return_inverse=True)
        member = np.concatenate(members)
        present = np.ones(len(member), np.bool_)
        inputs = [(table[member, column], present) for column in range(len(properties))]
        rasters = []
        for values, valid in reduce_groups(reducer, inputs, groups.astype(np.int32), len(used)) or (
            [(np.zeros(0), np.zeros(0, np.bool_))] * len(reducer.outputs)
        ):
            whole = np.zeros((cells.size, *values.shape[1:]), values.dtype)
            mask = np.zeros(cells.size, np.bool_)
            whole[used], mask[used] = values, valid
            rasters.append(Raster(whole.reshape(*grid.shape, *values.shape[1:]), mask.reshape(grid.shape)))
        return rasters

    node = Located("reduceToImage", compute, layer.key, table, reducer.key)  # type: ignore[arg-type]
    kinds = reducer.output_types([DOUBLE] * len(properties))
    paper = Band("", DOUBLE, WGS84, node)
    return Image({}, tuple(several(node, reducer.outputs, kinds, [paper])))


def _directions(lon: Floats, lat: Floats) -> Floats:
    """Unit vectors of places on the sphere, (n, 3)."""
    x, y = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)


class _Edges:
    """Points, lines and borders on the sphere, as arcs of great circles."""

    def __init__(self, geometries: Sequence[Geometry]) -> None:
        starts, ends = [np.zeros((0, 3))], [np.zeros((0, 3))]
        for geometry in geometries:
            for path in _paths(geometry.globe()):
                corners = _directions(path[:, 0], path[:, 1])
                starts.append(corners[:-1] if len(corners) > 1 else corners)
                ends.append(corners[1:] if len(corners) > 1 else corners)
        self._from, self._to = np.concatenate(starts), np.concatenate(ends)
        chord = np.linalg.norm(self._to - self._from, axis=1)
        steps = np.maximum(1, np.ceil(chord * SPHERE_RADIUS / _SAMPLE_METRES)).astype(np.int64) + 1
        self._edge = np.repeat(np.arange(len(steps)), steps)
        order = np.arange(len(self._edge)) - np.repeat(np.cumsum(steps) - steps, steps)
        share = (order / np.repeat(steps - 1, steps))[:, None]
        points = self._from[self._edge] * (1 - share) + self._to[self._edge] * share
        self._tree = cKDTree(points / np.linalg.norm(points, axis=1, keepdims=True)) if len(points) else None

    def metres(self, places: Floats, reach: float) -> Floats:
        """Distance of each place to the nearest edge; infinite where none is within reach."""
        result = np.full(len(places), np.inf)
        if self._tree is None:
            return result
        bound = 2 * math.sin(min(math.pi, (reach + _SAMPLE_METRES) / SPHERE_RADIUS) / 2)
        count = min(_NEAREST, self._tree.n)
        found = self._tree.query(places, k=count, distance_upper_bound=bound)[1].reshape(len(places), count)
        for column in found.T:
            near = column < self._tree.n
            edge = self._edge[column[near]]
            result[near] = np.minimum(result[near], self._to_arc(places[near], edge))
        return np.where(result <= reach, result, np.inf)

    def _to_arc(self, places: Floats, edge: NDArray[np.int64]) -> Floats:
        a, b = self._from[edge], self._to[edge]
        ends = np.minimum(np.linalg.norm(places - a, axis=1), np.linalg.norm(places - b, axis=1))
        away = 2 * np.arcsin(np.clip(ends / 2, 0, 1))
        normal = np.cross(a, b - a)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
        beside = (np.einsum("ij,ij->i", np.cross(normal, a), places) >= 0) & (
            np.einsum("ij,ij->i", np.cross(b, normal), places) >= 0
        )
        across = np.arcsin(np.clip(np.abs(np.einsum("ij,ij->i", normal, places)), 0, 1))
        return np.asarray(np.where(beside & (length[:, 0] > 0), across, away) * SPHERE_RADIUS)


def _paths(shape: BaseGeometry) -> Iterator[Floats]:
    """The coordinates of a shape's points, lines and rings."""
    pending = [shape]
    while pending:
        part = pending.pop()
        if part.is_empty:
            continue
        if hasattr(part, "geoms"):
            pending.extend(part.geoms)
        elif part.geom_type == "Polygon":
            pending.extend([part.exterior, *part.interiors])
        else:
            yield shapely.get_coordinates(part)


@algorithm("Collection.distance")
def distance(collection: Collection, reach: float, _: float) -> Image:
    """Band ``distance``: metres on the sphere to the nearest point, line or border within a radius."""
    geometries = [geometry for geometry in map(geometry_of, collection) if geometry is not None]
    layer = Layer(geometries)
    edges: list[_Edges] = []

    def compute(grid: Grid) -> Raster:
        if not edges:
            edges.append(_Edges(geometries))
        lon, lat = transformer(grid.crs, "EPSG:4326").transform(*grid.centres())
        placed = np.isfinite(lon) & np.isfinite(lat)
        result = np.full(grid.shape, np.inf)
        result[placed] = edges[0].metres(_directions(lon[placed], lat[placed]), reach)
        return Raster(result, np.isfinite(result))

    node = Located("distance to features", compute, layer.key, reach)
    return Image({}, (Band("distance", DOUBLE, WGS84, node),))
