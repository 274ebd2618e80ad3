"""Objects and distances against scipy.ndimage."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
from scipy import ndimage, spatial

from gee.local.errors import EngineError

CROSS = ndimage.generate_binary_structure(2, 1)
SQUARE = ndimage.generate_binary_structure(2, 2)


def _labelled(array: Any, structure: Any) -> Any:
    """Each pixel's object as a number from 1, 0 where masked; pixels beyond the array are no part of it."""
    labels = np.zeros(array.shape, int)
    for value in np.unique(array.compressed()):
        found, _ = ndimage.label((array == value).filled(False), structure)
        labels[found > 0] = found[found > 0] + labels.max()
    return labels


def _island(image: Any, grid: Any) -> Any:
    """An image masked outside of the grid, so that its objects end there."""
    left, bottom = 400_000, 3_600_000 - 1000 * grid.height
    box = ee.Geometry.Rectangle([left, bottom, left + 1000 * grid.width, 3_600_000], grid.crs, False)
    return image.clip(box)


@pytest.mark.parametrize(("eight", "structure"), [(True, SQUARE), (False, CROSS)])
def test_connected_pixels_are_counted_up_to_the_maximum(
    pixels: Any, noise: Any, grid: Any, eight: bool, structure: Any
) -> None:
    image = _island(noise(most=2, gaps=True), grid)
    [counts] = pixels(image.connectedPixelCount(30, eight))
    labels = _labelled(pixels(image)[0], structure)
    sizes = np.bincount(labels.ravel())[labels]
    assert np.array_equal(np.ma.getmaskarray(counts), labels == 0)
    assert np.array_equal(counts.compressed(), np.minimum(sizes, 30)[labels > 0])
    assert (sizes[labels > 0] > 30).any()


@pytest.mark.parametrize(("kernel", "structure"), [("plus", CROSS), ("square", SQUARE)])
def test_objects_have_labels_of_their_own_and_large_ones_are_masked(
    compute: Any, pixels: Any, noise: Any, grid: Any, kernel: str, structure: Any
) -> None:
    image = _island(noise(most=2, gaps=True), grid)
    labelled = image.connectedComponents(getattr(ee.Kernel, kernel)(1), 12)
    assert compute(labelled).names == ["v", "labels"]
    found = pixels(labelled.select("labels"))[0]
    labels = _labelled(pixels(image)[0], structure)
    kept = (labels > 0) & (np.bincount(labels.ravel())[labels] <= 12)
    assert np.array_equal(~np.ma.getmaskarray(found), kept)
    pairs = np.unique(np.stack([found.data[kept], labels[kept]]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))


def test_objects_are_reduced_band_by_band(compute: Any, pixels: Any, noise: Any, grid: Any) -> None:
    labels = _island(noise(most=3, gaps=True), grid)
    image = noise(5, 50, gaps=True).rename("w").addBands(labels)
    reduced = image.reduceConnectedComponents(ee.Reducer.mean(), "v", 6)
    assert compute(reduced).names == ["w"]
    [means] = pixels(reduced)
    objects = _labelled(pixels(labels)[0], SQUARE)
    values = pixels(image)[0]
    for number, place in enumerate(ndimage.find_objects(objects), start=1):
        own = objects == number
        fits = max(side.stop - side.start for side in place) <= 6
        expected = values[own].mean() if fits else np.ma.masked
        if expected is np.ma.masked:
            assert np.ma.getmaskarray(means)[own].all()
        else:
            np.testing.assert_allclose(means[own].compressed(), expected)
            assert not np.ma.getmaskarray(means)[own].any()


@pytest.mark.parametrize(("metric", "order"), [("euclidean", 2), ("manhattan", 1), ("chebyshev", np.inf)])
def test_distance_reaches_as_far_as_its_kernel(
    pixels: Any, noise: Any, grid: Any, metric: str, order: float
) -> None:
    image = noise(most=20).gt(18).updateMask(noise(4).gt(2))
    [found] = pixels(image.distance(getattr(ee.Kernel, metric)(3, "pixels")))
    [wide] = pixels(image, grid.padded(3, 3))
    sources = np.argwhere(wide.filled(0) > 0) - 3
    places = np.argwhere(np.ones(grid.shape, bool))
    away = spatial.distance.cdist(
        places,
        sources,
        "minkowski" if order != np.inf else "chebyshev",
        **({"p": order} if order != np.inf else {}),
    )
    away[spatial.distance.cdist(places, sources, "chebyshev") > 3] = np.inf  # the kernel is a square
    nearest = away.min(axis=1).reshape(grid.shape)
    valid = np.isfinite(nearest) & ~np.ma.getmaskarray(pixels(image)[0])
    assert np.array_equal(~np.ma.getmaskarray(found), valid)
    np.testing.assert_allclose(found.data[valid], nearest[valid], rtol=1e-6)


def test_distance_in_metres_counts_in_metres(pixels: Any, noise: Any) -> None:
    image = noise(most=20).gt(18)
    [metres] = pixels(image.distance(ee.Kernel.euclidean(3000, "meters")))
    [counted] = pixels(image.distance(ee.Kernel.euclidean(3, "pixels")))
    assert np.ma.allclose(metres, counted * 1000)
    assert np.array_equal(np.ma.getmaskarray(metres), np.ma.getmaskarray(counted))


@pytest.mark.parametrize("metric", ["squared_euclidean", "manhattan", "chebyshev"])
def test_the_fast_distance_transform_ignores_the_mask_and_ends_at_its_neighbourhood(
    compute: Any, pixels: Any, noise: Any, grid: Any, metric: str
) -> None:
    image = noise(most=20).gt(18).updateMask(noise(4).gt(2))
    transformed = image.fastDistanceTransform(4, "pixels", metric)
    assert compute(transformed).names == ["distance"]
    [found] = pixels(transformed)
    sources = np.argwhere(pixels(image, grid.padded(4, 4))[0].filled(0) > 0) - 4
    name = {"squared_euclidean": "euclidean", "manhattan": "cityblock", "chebyshev": "chebyshev"}[metric]
    nearest = spatial.distance.cdist(np.argwhere(np.ones(grid.shape, bool)), sources, name).min(axis=1)
    nearest = nearest.reshape(grid.shape)
    assert np.array_equal(~np.ma.getmaskarray(found), nearest <= 4)
    expected = nearest**2 if metric == "squared_euclidean" else nearest
    np.testing.assert_allclose(found.compressed(), expected[nearest <= 4])


@pytest.mark.parametrize(
    "derive",
    [
        lambda image: image.connectedPixelCount(9),
        lambda image: image.connectedComponents(ee.Kernel.plus(1), 9),
        lambda image: image.addBands(image.rename("w")).reduceConnectedComponents(ee.Reducer.sum(), "v", 5),
        lambda image: image.gt(1).distance(ee.Kernel.manhattan(4)),
        lambda image: image.gt(1).fastDistanceTransform(6),
    ],
)
def test_a_tile_has_the_pixels_of_the_whole(derive: Any, noise: Any, agrees_in_tiles: Any) -> None:
    agrees_in_tiles(derive(noise(most=3, gaps=True)))


def test_sizes_are_limited(compute: Any, noise: Any) -> None:
    with pytest.raises(EngineError, match="maxSize must be between 1 and 1024"):
        compute(noise().connectedPixelCount(2000))
