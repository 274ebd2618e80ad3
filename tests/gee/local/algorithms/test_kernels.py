"""Kernels against the matrices printed in Earth Engine's API documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]

_OCTAGON = ["0011100", "0111110", "1111111", "1111111", "1111111", "0111110", "0011100"]
_CIRCLE = ["0001000", "0111110", "0111110", "1111111", "0111110", "0111110", "0001000"]
_DIAMOND = ["0001000", "0011100", "0111110", "1111111", "0111110", "0011100", "0001000"]
_PLUS = ["0001000", "0001000", "0001000", "1111111", "0001000", "0001000", "0001000"]
_CROSS = ["1000001", "0100010", "0010100", "0001000", "0010100", "0100010", "1000001"]


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (lambda: ee.Kernel.octagon(3), _OCTAGON),
        (lambda: ee.Kernel.circle(3), _CIRCLE),
        (lambda: ee.Kernel.diamond(3), _DIAMOND),
        (lambda: ee.Kernel.plus(3), _PLUS),
        (lambda: ee.Kernel.cross(3), _CROSS),
        (lambda: ee.Kernel.square(1), ["111"] * 3),
        (lambda: ee.Kernel.rectangle(2, 1), ["11111"] * 3),
    ],
)
def test_shapes_are_as_documented_and_sum_to_one(
    make: Callable[[], Any], rows: list[str], compute: Compute
) -> None:
    pattern = np.array([[float(cell) for cell in row] for row in rows])
    weights = compute(make()).weights()
    np.testing.assert_allclose(weights.matrix, pattern / pattern.sum())
    assert (weights.x, weights.y) == (pattern.shape[1] // 2, pattern.shape[0] // 2)


# Documented to three digits, cut off.
_EUCLIDEAN = [[4.242, 3.605, 3.162, 3.000], [3.605, 2.828, 2.236, 2.000], [3.162, 2.236, 1.414, 1.000]]
_GAUSSIAN = [[0.002, 0.013, 0.021], [0.013, 0.059, 0.098], [0.021, 0.098, 0.162]]


@pytest.mark.parametrize(
    ("make", "corner", "side", "digits"),
    [
        (lambda: ee.Kernel.euclidean(3), _EUCLIDEAN, 7, 1e-3),
        (lambda: ee.Kernel.gaussian(3), _GAUSSIAN, 5, 1e-3),
        (lambda: ee.Kernel.manhattan(3), [[6, 5, 4, 3], [5, 4, 3, 2], [4, 3, 2, 1], [3, 2, 1, 0]], 7, 1e-9),
        (lambda: ee.Kernel.chebyshev(3), [[3, 3, 3, 3], [3, 2, 2, 2], [3, 2, 1, 1], [3, 2, 1, 0]], 7, 1e-9),
    ],
)
def test_distances_are_as_documented(
    make: Callable[[], Any], corner: Any, side: int, digits: float, compute: Compute
) -> None:
    matrix = compute(make()).weights().matrix
    assert matrix.shape == (side, side)
    expected = np.array(corner)
    rest = matrix[: expected.shape[0], : expected.shape[1]] - expected
    assert (rest >= -1e-9).all() and (rest < digits).all()
    assert np.array_equal(matrix, matrix[::-1, ::-1])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: ee.Kernel.laplacian4(), [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        (lambda: ee.Kernel.laplacian8(), [[1, 1, 1], [1, -8, 1], [1, 1, 1]]),
        (lambda: ee.Kernel.sobel(), [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        (lambda: ee.Kernel.roberts(), [[1, 0], [0, -1]]),
        (lambda: ee.Kernel.prewitt(), [[1, 0, -1]] * 3),
        (lambda: ee.Kernel.compass(), [[1, 1, -1], [1, -2, -1], [1, 1, -1]]),
        (lambda: ee.Kernel.kirsch(), [[5, -3, -3], [5, 0, -3], [5, -3, -3]]),
        (lambda: ee.Kernel.sobel().inverse(), [[-1, 0, 1], [-0.5, 0, 0.5], [-1, 0, 1]]),
        (lambda: ee.Kernel.sobel().rotate(1), [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        (lambda: ee.Kernel.sobel().rotate(-2), [[1, 0, -1], [2, 0, -2], [1, 0, -1]]),
        (lambda: ee.Kernel.laplacian4(10), [[0, 10, 0], [10, -40, 10], [0, 10, 0]]),
        (lambda: ee.Kernel.fixed(weights=[[4, 3, 4]] * 3), [[4, 3, 4]] * 3),
        (lambda: ee.Kernel.square(1, "pixels", True, 18), [[2] * 3] * 3),
        (lambda: ee.Kernel.square(1, "pixels", False, -1), [[-1] * 3] * 3),
    ],
)
def test_matrices_are_as_documented(make: Callable[[], Any], expected: Any, compute: Compute) -> None:
    assert compute(make()).weights().matrix.tolist() == expected


def test_added_kernels_are_aligned_at_their_focus(compute: Compute) -> None:
    total = ee.Kernel.chebyshev(3).add(ee.Kernel.square(1, normalize=False, magnitude=100))
    # The documented example of ee.Kernel.add.
    assert compute(total).weights().matrix.tolist() == [
        [3, 3, 3, 3, 3, 3, 3],
        [3, 2, 2, 2, 2, 2, 3],
        [3, 2, 101, 101, 101, 2, 3],
        [3, 2, 101, 100, 101, 2, 3],
        [3, 2, 101, 101, 101, 2, 3],
        [3, 2, 2, 2, 2, 2, 3],
        [3, 3, 3, 3, 3, 3, 3],
    ]


def test_the_focus_is_given_or_the_middle_and_moves_with_rotation(compute: Compute) -> None:
    def focus(kernel: Any) -> tuple[int, int]:
        weights = compute(kernel).weights()
        return weights.x, weights.y

    rows = [[1, 2, 3], [4, 5, 6]]
    assert focus(ee.Kernel.roberts()) == (1, 1)
    assert focus(ee.Kernel.fixed(3, 2, rows)) == (1, 1)
    assert focus(ee.Kernel.fixed(3, 2, rows, 2, 0)) == (2, 0)
    # 3 stands at the focus before and after.
    for turns in range(-4, 5):
        weights = compute(ee.Kernel.fixed(3, 2, rows, 2, 0).rotate(turns)).weights()
        assert weights.matrix[weights.y, weights.x] == 3
    off_centre = compute(
        ee.Kernel.fixed(3, 2, rows, 2, 0).add(ee.Kernel.square(1, normalize=False))
    ).weights()
    assert off_centre.matrix.tolist() == [[0, 1, 1, 1], [1, 3, 4, 1], [4, 6, 7, 1]]
    assert (off_centre.x, off_centre.y) == (2, 1)


@pytest.mark.parametrize(("metres", "side"), [(100, 5), (99.9, 5), (250, 1), (20, 21)])
def test_kernels_in_metres_have_the_pixels_that_fit(metres: float, side: int, compute: Compute) -> None:
    kernel = compute(ee.Kernel.circle(200, "meters", False))
    assert kernel.in_metres
    assert kernel.weights(metres).matrix.shape == (side, side)
    assert not compute(ee.Kernel.circle(2)).in_metres


def test_a_gaussian_in_metres_is_the_same_at_the_same_pixels(compute: Compute) -> None:
    metres = compute(ee.Kernel.gaussian(900, 300, "meters")).weights(100).matrix
    pixels = compute(ee.Kernel.gaussian(9, 3)).weights().matrix
    np.testing.assert_allclose(metres, pixels)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ee.Kernel.circle(-1),
        lambda: ee.Kernel.circle(1, "miles"),
        lambda: ee.Kernel.square(100_000),
        lambda: ee.Kernel.gaussian(3, 0),
        lambda: ee.Kernel.fixed(2, 2, [[1, 2, 3], [4, 5, 6]]),
        lambda: ee.Kernel.fixed(weights=[[1, 2], [3]]),
        lambda: ee.Kernel.fixed(weights=[[1, 2]], x=5),
    ],
)
def test_kernels_that_make_no_sense_are_refused(make: Callable[[], Any], compute: Compute) -> None:
    with pytest.raises(EngineError):
        compute(make()).weights()


def test_keys_tell_kernels_apart(compute: Compute) -> None:
    kernels = [
        ee.Kernel.circle(2), ee.Kernel.circle(3), ee.Kernel.square(2), ee.Kernel.circle(2, "meters"),
        ee.Kernel.gaussian(3, 1), ee.Kernel.gaussian(3, 2), ee.Kernel.sobel(), ee.Kernel.sobel().rotate(1),
        ee.Kernel.sobel().inverse(), ee.Kernel.circle(2).add(ee.Kernel.circle(3)),
    ]  # fmt: skip
    assert len({compute(kernel).key for kernel in kernels}) == len(kernels)
