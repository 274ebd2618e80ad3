"""Random numbers by place: whichever tile asks, spread as they should be, one per pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.noise import normal_noise, uniform_noise

GRIDS = {
    "utm": Grid(Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)), 200, 150),
    "degrees": Grid(Projection("EPSG:4326", (0.1, 0.0, -180.0, 0.0, -0.1, 90.0)), 200, 150),
    "off the origin": Grid(Projection("EPSG:32650", (463.3, 0.0, 123.4, 0.0, -463.3, 77.7)), 200, 150),
    "oblong": Grid(Projection("EPSG:32650", (100.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)), 200, 150),
    "turned": Grid(Projection("EPSG:32650", (300.0, 400.0, 10.0, 400.0, -300.0, 20.0)), 200, 150),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("noise", [uniform_noise, normal_noise])
def test_a_pixel_has_the_same_number_in_every_tile(grid: Grid, noise: Any) -> None:
    whole = noise(grid, 7)
    assert np.array_equal(noise(grid, 7), whole)
    for row, column, height, width in ((0, 0, 10, 10), (33, 57, 40, 21), (149, 199, 1, 1)):
        part = noise(grid.window(row, column, height, width), 7)
        assert np.array_equal(part, whole[row : row + height, column : column + width])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_every_pixel_has_a_number_of_its_own(grid: Grid) -> None:
    assert np.unique(uniform_noise(grid, 1)).size == grid.width * grid.height


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_numbers_are_spread_as_their_distribution_says(grid: Grid) -> None:
    uniform, normal = uniform_noise(grid, 3).ravel(), normal_noise(grid, 3).ravel()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    assert stats.kstest(normal, "norm").pvalue > 1e-4


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_neighbours_and_seeds_have_nothing_to_do_with_each_other(grid: Grid) -> None:
    first, second = uniform_noise(grid, 0), uniform_noise(grid, 1)
    five_sigma = 5 / np.sqrt(first.size)
    pairs = [
        (first, second),
        (first[:, 1:], first[:, :-1]),
        (first[1:], first[:-1]),
        (first, normal_noise(grid, 1)),
    ]
    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < five_sigma


@pytest.mark.parametrize("seed", [0, -1, 2**31, -(2**63), 2**63 - 1])
def test_any_seed_of_64_bits_will_do(seed: int) -> None:
    found = uniform_noise(Grid(GRIDS["utm"].projection, 5, 5), seed)
    assert np.unique(found).size == 25
