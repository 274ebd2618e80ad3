"""Vectors from pixels and pixels from vectors, against scipy, shapely and pyproj."""

from __future__ import annotations

import itertools
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
import shapely
from scipy import ndimage

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection

LEFT, TOP = 400_000, 3_600_000


@pytest.fixture
def box(grid: Any, offline_client: None) -> Any:
    """The grid's own rectangle."""
    right, bottom = LEFT + 1000 * grid.width, TOP - 1000 * grid.height
    return ee.Geometry.Rectangle([LEFT, bottom, right, TOP], grid.crs, False)


def _vectors(image: Any, grid: Any, box: Any, **options: Any) -> Any:
    return image.reduceToVectors(
        geometry=box, crs=grid.crs, crsTransform=list(grid.projection.transform),
        geometryInNativeProjection=True, **options,
    )  # fmt: skip


def _objects(labels: Any, structure: int) -> list[Any]:
    """Masks of the connected pixels of each value."""
    pattern = ndimage.generate_binary_structure(2, structure)
    found = []
    for value in np.unique(labels.compressed()):
        numbered, count = ndimage.label((labels == value).filled(False), pattern)
        found += [numbered == number for number in range(1, count + 1)]
    return found


@pytest.mark.parametrize(("eight", "structure"), [(True, 2), (False, 1)])
def test_polygons_enclose_the_pixels_of_each_object(
    compute: Any, pixels: Any, noise: Any, grid: Any, box: Any, eight: bool, structure: int
) -> None:
    image = noise(most=3, gaps=True)
    features = list(compute(_vectors(image, grid, box, eightConnected=eight)))
    labels = pixels(image)[0]
    x, y = grid.centres()
    masks = {mask.tobytes(): mask for mask in _objects(labels, structure)}
    assert len(features) == len(masks)
    for feature in features:
        shape = feature.geometry.shape
        inside = shapely.contains_xy(shape, x, y)
        assert inside.tobytes() in masks
        assert shape.is_valid
        assert shape.area == pytest.approx(inside.sum() * 1e6)
        assert (labels[inside] == feature.properties["label"]).all()
        assert feature.properties["count"] == inside.sum()


def test_other_bands_are_reduced_over_each_object(
    compute: Any, pixels: Any, noise: Any, grid: Any, box: Any
) -> None:
    image = noise(most=2).addBands(noise(7, gaps=True).rename("w"))
    options = {"eightConnected": False, "labelProperty": "zone", "reducer": ee.Reducer.mean()}
    labels, values = pixels(image)
    x, y = grid.centres()
    for feature in compute(_vectors(image, grid, box, **options)):
        inside = shapely.contains_xy(feature.geometry.shape, x, y)
        known = values[inside].compressed()
        assert feature.properties.get("mean") == (pytest.approx(known.mean()) if known.size else None)
        assert feature.properties["zone"] == labels[inside][0]
    names = compute(_vectors(image.addBands(noise(8).rename("u")), grid, box, **options)).first(1)
    assert {"zone", "w", "u"} == set(names[0].properties) - {"system:index"}


def test_boxes_and_centroids(compute: Any, noise: Any, grid: Any, box: Any) -> None:
    image = noise(most=2)
    shapes = [
        [feature.geometry.shape for feature in compute(_vectors(image, grid, box, geometryType=kind))]
        for kind in ("polygon", "bb", "centroid")
    ]
    for polygon, rectangle, centre in zip(*shapes, strict=True):
        assert rectangle.equals(shapely.box(*polygon.bounds))
        assert centre.distance(polygon.centroid) < 1e-6


def test_geometries_are_in_degrees_unless_told_otherwise(
    compute: Any, noise: Any, grid: Any, box: Any
) -> None:
    vectors = noise(most=2).reduceToVectors(
        geometry=box, crs=grid.crs, crsTransform=list(grid.projection.transform)
    )
    [first] = compute(vectors).first(1)
    assert first.geometry.crs == "EPSG:4326"
    lon, lat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(LEFT, TOP)
    west, _, _, north = first.geometry.shape.bounds
    assert (west, north) == pytest.approx((lon, lat), abs=0.02)


def test_only_the_region_counts_and_its_size_is_limited(
    compute: Any, noise: Any, grid: Any, box: Any
) -> None:
    part = ee.Geometry.Rectangle([LEFT + 2000, TOP - 7000, LEFT + 6000, TOP - 3000], grid.crs, False)
    [feature] = list(compute(_vectors(ee.Image(1).toByte(), grid, part)))
    assert feature.properties["count"] == 16
    with pytest.raises(EngineError, match="Too many pixels in the region"):
        list(compute(_vectors(noise(), grid, box, maxPixels=100)))
    with pytest.raises(EngineError, match="integer type"):
        compute(_vectors(noise().float(), grid, box))


def _table(grid: Any, shapes: Any) -> Any:
    features = []
    for number, shape in enumerate(shapes):
        ring = [[LEFT + 1000 * x, TOP - 1000 * y] for x, y in shapely.get_coordinates(shape)]
        geometry = ee.Geometry.Polygon([ring], ee.Projection(grid.crs), False)
        features.append(ee.Feature(geometry, {"a": number + 1, "b": 10 * number}))
    return ee.FeatureCollection(features)


def test_features_that_meet_a_pixel_are_reduced(
    compute: Any, pixels: Any, grid: Any, agrees_in_tiles: Any
) -> None:
    shapes = [
        shapely.box(2.2, 2.3, 9.6, 8.7),
        shapely.box(6.4, 5.2, 15.5, 12.1),
        shapely.box(0.3, 7.7, 7.4, 14.2),
    ]
    table = _table(grid, shapes)
    image = table.reduceToImage(["a"], ee.Reducer.sum())
    assert compute(image).names == ["sum"]
    [found] = pixels(image)
    cells = shapely.box(*(axis for axis in _corners(grid)))
    meets = np.array([shapely.intersects(shape, cells) for shape in shapes])
    expected = np.tensordot([1, 2, 3], meets, 1)
    assert np.array_equal(~np.ma.getmaskarray(found), expected > 0)
    assert np.array_equal(found.filled(0), expected)
    assert compute(table.reduceToImage(["a", "b"], ee.Reducer.linearFit())).names == ["scale", "offset"]
    agrees_in_tiles(image)


def _corners(grid: Any) -> tuple[Any, Any, Any, Any]:
    columns, rows = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    return columns, rows, columns + 1, rows + 1


def test_distance_is_to_the_nearest_edge_on_the_sphere(pixels: Any, agrees_in_tiles: Any) -> None:
    grid = Grid(Projection("EPSG:4326", (0.02, 0.0, 117.0, 0.0, -0.02, 32.0)), 23, 17)
    ring = [[117.1, 31.75], [117.3, 31.72], [117.34, 31.9], [117.1, 31.75]]
    table = ee.FeatureCollection(
        [ee.Feature(ee.Geometry.Polygon([ring])), ee.Feature(ee.Geometry.Point([117.0, 31.97]))]
    )
    image = table.distance(15_000)
    [found] = pixels(image, grid)
    sphere = pyproj.Geod(a=6_371_010, b=6_371_010)
    edge = [(117.0, 31.97)]
    for (x, y), (u, v) in itertools.pairwise(ring):
        edge += [(x, y), *sphere.npts(x, y, u, v, 2000)]
    lon, lat = grid.centres()
    away = np.full(grid.shape, np.inf)
    for row, column in np.ndindex(*grid.shape):
        points = np.array(edge)
        metres = sphere.inv(
            np.full(len(points), lon[row, column]), np.full(len(points), lat[row, column]), *points.T
        )[2]
        away[row, column] = metres.min()
    assert np.array_equal(~np.ma.getmaskarray(found), away <= 15_000)
    np.testing.assert_allclose(found.compressed(), away[away <= 15_000], atol=6)
    agrees_in_tiles(image, on=grid)
