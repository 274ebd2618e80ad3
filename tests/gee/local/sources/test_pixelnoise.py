"""Draws of pixels are well distributed, belong to the pixel, and differ between seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import Window
from gee.local.sources.pixelnoise import normal, seed_of, speckle, uniform

WINDOW = Window(90_000, 1_234_567, 200, 150)


def test_draws_are_uniform_and_neighbours_independent() -> None:
    draws = uniform(WINDOW, 7)
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    for shift in ((1, 0), (0, 1), (1, 1)):
        assert abs(np.corrcoef(draws.ravel(), np.roll(draws, shift, (0, 1)).ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws.ravel(), uniform(WINDOW, 8).ravel())[0, 1]) < 0.02


def test_normal_draws_are_normal() -> None:
    assert stats.kstest(normal(WINDOW, 3).ravel(), "norm").pvalue > 1e-3


def test_the_normal_quantile_is_scipys_to_six_digits() -> None:
    np.testing.assert_allclose(normal(WINDOW, 3), special.ndtri(uniform(WINDOW, 3)), atol=1e-6)
    for share in (1e-300, 1e-15, 1e-5, 0.074, 0.5, 0.926, 1 - 1e-9):
        assert pixelnoise._quantile(share) == pytest.approx(special.ndtri(share), rel=1e-6, abs=1e-9)


def test_speckle_is_gamma() -> None:
    draws = speckle(WINDOW, 5, 90.0).ravel()
    assert stats.kstest(draws, stats.gamma(90, scale=1 / 90).cdf).pvalue > 1e-3


def test_a_pixel_keeps_its_draw_in_another_window() -> None:
    part = Window(WINDOW.row + 11, WINDOW.col + 7, 5, 6)
    np.testing.assert_array_equal(uniform(part, 7), uniform(WINDOW, 7)[11:16, 7:13])


def test_seeds_of_names() -> None:
    seeds = {seed_of("MODIS", day, band) for day in range(400) for band in range(7)}
    assert len(seeds) == 2800
    assert all(0 <= seed < 2**32 for seed in seeds)
