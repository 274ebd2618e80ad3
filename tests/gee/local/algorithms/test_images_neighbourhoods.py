"""Neighbourhoods against scipy.ndimage and NumPy on the same pixels."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
from scipy import ndimage, stats

from gee.local.errors import EngineError

FOCAL = ("max", "min", "mean", "median", "mode")


def _padded(pixels: Any, image: Any, grid: Any, margin: int) -> Any:
    """The input's pixels with a margin, as floats, NaN where masked."""
    [band] = pixels(image, grid.padded(margin, margin))
    return band.astype(np.float64).filled(np.nan)


def _inner(array: Any, margin: int) -> Any:
    return array[margin:-margin, margin:-margin]


def _filtered(function: Any, array: Any, footprint: Any) -> Any:
    """A function of the known neighbours of each pixel; NaN where there are none."""

    def known(values: Any) -> Any:
        values = values[~np.isnan(values)]
        return function(values) if values.size else np.nan

    return ndimage.generic_filter(array, known, footprint=footprint, mode="constant", cval=np.nan)


def _same(band: Any, expected: Any, rtol: float = 1e-6) -> None:
    assert np.array_equal(np.ma.getmaskarray(band), np.isnan(expected))
    np.testing.assert_allclose(band.compressed(), expected[~np.isnan(expected)], rtol=rtol, atol=1e-6)


def test_a_convolution_is_the_weighted_sum_with_the_kernel_as_written(
    pixels: Any, noise: Any, grid: Any
) -> None:
    weights = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, -12]]
    kernel = ee.Kernel.fixed(4, 3, weights, 2, 1, False)
    [band] = pixels(noise().convolve(kernel))
    expected = ndimage.correlate(_padded(pixels, noise(), grid, 5), np.array(weights, float), mode="constant")
    _same(band, _inner(expected, 5))


def test_a_kernel_off_its_focus_looks_to_that_side(pixels: Any, noise: Any, grid: Any) -> None:
    kernel = ee.Kernel.fixed(1, 3, [[1], [0], [0]], 0, 0, False)
    assert np.array_equal(pixels(noise().convolve(kernel))[0], pixels(noise())[0])
    down = ee.Kernel.fixed(1, 3, [[0], [0], [1]], 0, 0, False)
    [band] = pixels(noise().convolve(down))
    assert np.array_equal(band, pixels(noise(), grid.window(2, 0, *grid.shape))[0])


def test_a_convolution_is_masked_where_any_neighbour_of_weight_is(pixels: Any, noise: Any, grid: Any) -> None:
    image = noise(gaps=True)
    [band] = pixels(image.convolve(ee.Kernel.plus(1)))
    array = _padded(pixels, image, grid, 3)
    plus = ndimage.generate_binary_structure(2, 1) / 5
    expected = ndimage.correlate(np.nan_to_num(array), plus)
    expected[ndimage.binary_dilation(np.isnan(array), plus > 0)] = np.nan
    _same(band, _inner(expected, 3))


@pytest.mark.parametrize("statistic", FOCAL)
@pytest.mark.parametrize(("shape", "radius"), [("square", 1), ("circle", 2), ("plus", 2)])
def test_focal_filters_take_the_known_neighbours(
    pixels: Any, noise: Any, grid: Any, statistic: str, shape: str, radius: int
) -> None:
    image = noise(most=6, gaps=True)
    filtered = getattr(image, f"focal_{statistic}")(radius, shape, "pixels")
    footprint = {
        "square": np.ones((3, 3)),
        "circle": np.hypot(*np.mgrid[-2:3, -2:3]) <= 2,
        "plus": (np.mgrid[-2:3, -2:3] == 0).any(axis=0),
    }[shape]
    function = {"mode": lambda values: stats.mode(values).mode}.get(statistic) or getattr(np, statistic)
    expected = _inner(_filtered(function, _padded(pixels, image, grid, 4), footprint), 4)
    [band] = pixels(filtered)
    if statistic == "mode":  # which of several most frequent values is taken is not documented
        ties = _inner(_filtered(_tied, _padded(pixels, image, grid, 4), footprint), 4) > 0
        band, expected = np.ma.where(ties, 0, band), np.where(ties, 0, expected)
    _same(band, expected)


def _tied(values: Any) -> float:
    counts = np.sort(np.unique(values, return_counts=True)[1])
    return float(len(counts) > 1 and counts[-1] == counts[-2])


def test_iterations_repeat_the_filter(pixels: Any, noise: Any, agrees_in_tiles: Any) -> None:
    twice = noise().focal_max(1, "square", "pixels", 2)
    once = noise().focal_max(2, "square", "pixels")
    assert np.array_equal(pixels(twice)[0], pixels(once)[0])
    agrees_in_tiles(twice)


def test_a_radius_in_metres_follows_the_scale_of_the_grid(pixels: Any, noise: Any, grid: Any) -> None:
    metres = noise().focal_mean(2000, "square", "meters")
    assert np.array_equal(pixels(metres)[0], pixels(noise().focal_mean(2, "square", "pixels"))[0])


def test_focal_filters_keep_names_and_types(compute: Any, noise: Any) -> None:
    image = noise()
    assert compute(image.focal_max()).bands[0].type == compute(image).bands[0].type
    assert compute(image.focalMean()).names == ["v"]


def test_names_of_reduced_neighbourhoods(compute: Any, noise: Any) -> None:
    image = noise().addBands(noise(2).rename("w"))
    kernel = ee.Kernel.square(1)
    assert compute(image.reduceNeighborhood(ee.Reducer.minMax(), kernel)).names == [
        "v_min", "v_max", "w_min", "w_max",
    ]  # fmt: skip
    assert compute(image.reduceNeighborhood(ee.Reducer.linearFit(), kernel)).names == ["scale", "offset"]
    with pytest.raises(EngineError, match="Need 2 bands"):
        compute(noise().reduceNeighborhood(ee.Reducer.linearFit(), kernel))


@pytest.mark.parametrize(("weighing", "weigh"), [("kernel", 0), ("mask", 1), ("min", 2)])
def test_weighted_reducers_weigh_by_kernel_mask_or_the_smaller(
    pixels: Any, noise: Any, grid: Any, weighing: str, weigh: int
) -> None:
    fraction = ee.Image.random(9).multiply(0.9).add(0.05)
    image = noise().updateMask(fraction)
    weights = np.array([[0.1, 0.7, 0.1], [0.7, 1.0, 0.3], [0.1, 0.7, 0.0]])
    kernel = ee.Kernel.fixed(3, 3, weights.tolist())
    [band] = pixels(image.reduceNeighborhood(ee.Reducer.mean(), kernel, weighing))
    values = _padded(pixels, noise(), grid, 2)
    [mask] = pixels(fraction, grid.padded(2, 2))
    mask = mask.data.astype(np.float32).astype(np.float64)
    top, bottom = np.zeros(grid.shape), np.zeros(grid.shape)
    for i in range(3):
        for j in range(3):
            there = np.s_[1 + i : 1 + i + grid.height, 1 + j : 1 + j + grid.width]
            if weights[i, j]:
                share = [weights[i, j], mask[there], np.minimum(weights[i, j], mask[there])][weigh]
                top += share * values[there]
                bottom += share
    _same(band, top / bottom)


def test_the_centre_must_be_valid_unless_told_otherwise(pixels: Any, noise: Any, grid: Any) -> None:
    image = noise(gaps=True)
    [centre] = pixels(image)
    kernel = ee.Kernel.square(1, "pixels", False)
    [kept] = pixels(image.reduceNeighborhood(ee.Reducer.count(), kernel))
    [every] = pixels(image.reduceNeighborhood(ee.Reducer.count(), kernel, skipMasked=False))
    counts = ndimage.correlate((~np.isnan(_padded(pixels, image, grid, 1))).astype(int), np.ones((3, 3), int))
    assert np.array_equal(np.ma.getmaskarray(kept), np.ma.getmaskarray(centre))
    assert np.array_equal(every.filled(0), counts[1:-1, 1:-1])


def test_reducers_that_need_all_neighbours_work_in_strips(
    pixels: Any, noise: Any, grid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gee.local.algorithms import images_neighbourhoods

    monkeypatch.setattr(images_neighbourhoods, "_STACKED_VALUES", 23 * 9 * 4)
    [band] = pixels(noise(gaps=True).focal_median(1, "square", "pixels"))
    expected = _filtered(np.median, _padded(pixels, noise(gaps=True), grid, 2), np.ones((3, 3)))
    _same(band, _inner(expected, 2))


def test_several_inputs_are_reduced_together(pixels: Any, noise: Any, grid: Any) -> None:
    image = noise(1).rename("x").addBands(noise(2).rename("y"))
    scale, offset = pixels(image.reduceNeighborhood(ee.Reducer.linearFit(), ee.Kernel.square(1)))
    x, y = (_padded(pixels, noise(seed), grid, 1) for seed in (1, 2))
    for row, column in ((0, 0), (8, 11), (16, 22)):
        there = np.s_[row : row + 3, column : column + 3]
        slope, intercept = np.polyfit(x[there].ravel(), y[there].ravel(), 1)
        assert (scale[row, column], offset[row, column]) == pytest.approx((slope, intercept))


def test_neighbours_become_an_array_with_masked_ones_replaced(pixels: Any, noise: Any, grid: Any) -> None:
    image = noise(gaps=True)
    [band] = pixels(image.neighborhoodToArray(ee.Kernel.rectangle(2, 1), 7.9))
    array = np.nan_to_num(_padded(pixels, image, grid, 2), nan=7)
    expected = np.lib.stride_tricks.sliding_window_view(array[1:-1], (3, 5))
    valid = ~np.ma.getmaskarray(pixels(image)[0])
    assert np.array_equal(~np.ma.getmaskarray(band)[:, :, 0, 0], valid)
    assert np.array_equal(band.data[valid], expected[valid])


def test_neighbours_become_bands_named_by_their_place(
    compute: Any, pixels: Any, noise: Any, grid: Any
) -> None:
    image = noise(gaps=True).neighborhoodToBands(ee.Kernel.plus(1))
    names = compute(image).names
    assert names == ["v_0_-1", "v_-1_0", "v_0_0", "v_1_0", "v_0_1"]
    array = _padded(pixels, noise(gaps=True), grid, 1)
    for name, band in zip(names, pixels(image), strict=True):
        x, y = (int(part) for part in name.split("_")[1:])
        _same(band, array[1 + y : 1 + y + grid.height, 1 + x : 1 + x + grid.width])


def test_entropy_is_that_of_the_values_in_the_window(pixels: Any, noise: Any, grid: Any) -> None:
    image = noise(most=4, gaps=True)

    def bits(values: Any) -> float:
        return float(stats.entropy(np.unique(values, return_counts=True)[1], base=2))

    expected = _inner(_filtered(bits, _padded(pixels, image, grid, 2), np.ones((5, 5))), 2)
    [band] = pixels(image.entropy(ee.Kernel.square(2)))
    expected[np.ma.getmaskarray(pixels(image)[0])] = np.nan
    _same(band, expected, rtol=1e-5)
    with pytest.raises(EngineError, match="32-bit or smaller integer types"):
        pixels(image.float().entropy(ee.Kernel.square(2)))


@pytest.mark.parametrize(
    "derive",
    [
        lambda image: image.convolve(ee.Kernel.gaussian(3, 1)),
        lambda image: image.reduceNeighborhood(ee.Reducer.mean(), ee.Kernel.circle(3)),
        lambda image: image.reduceNeighborhood(ee.Reducer.median(), ee.Kernel.circle(2500, "meters")),
        lambda image: image.entropy(ee.Kernel.square(2)),
        lambda image: image.neighborhoodToBands(ee.Kernel.square(1)),
    ],
)
def test_a_tile_has_the_pixels_of_the_whole(derive: Any, noise: Any, agrees_in_tiles: Any) -> None:
    agrees_in_tiles(derive(noise(gaps=True)))
