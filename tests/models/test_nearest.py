"""The nearest row is the one that comparing with every row finds, whatever is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from models import nearest
from models.nearest import FAN, LEAF, TILE, Nearest
from tests.models.every_distance import least_distance

ROUNDING = 2e-6  # of float32 coordinates within ±10


def rows_of(rng: np.random.Generator, n: int, k: int, missing: float = 0.0) -> NDArray[np.float32]:
    """Correlated rows whose later coordinates vary less, as importance makes them."""
    mixed = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) / np.sqrt(k)
    rows = (mixed * 0.7 ** np.arange(k)).astype(np.float32)
    rows[rng.random((n, k)) < missing] = np.nan
    return rows


@pytest.mark.parametrize("k", [1, 2, 5, 6, 7, 18, 31])
@pytest.mark.parametrize("n", [1, LEAF, LEAF + 1, 3000, FAN * LEAF, FAN * LEAF + 1, 17 * FAN * LEAF])
def test_it_is_the_least_of_all_distances(k, n):
    rng = np.random.default_rng(n * 100 + k)
    rows, points = rows_of(rng, n, k), rows_of(rng, 300, k) * np.float32(1.5)
    expected = cdist(points.astype(float), rows.astype(float)).min(axis=1)
    np.testing.assert_allclose(Nearest(rows).distance(points), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_gaps_are_scaled_as_scikit_learn_scales_them(share):
    rng = np.random.default_rng(1)
    rows, points = rows_of(rng, 800, 9, share), rows_of(rng, 500, 9, share)
    found = Nearest(rows).distance(points)
    np.testing.assert_allclose(found, least_distance(points, rows), rtol=0, atol=5 * ROUNDING)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 200),
    m=st.integers(0, 3 * TILE),
    k=st.integers(1, 8),
    share=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    repeated=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_table_any_gaps(seed, n, m, k, share, repeated):
    rng = np.random.default_rng(seed)
    rows, points = rows_of(rng, n, k, share), rows_of(rng, m, k, share)
    if repeated:
        rows, points = np.round(rows), np.round(points)
    if not m:
        assert Nearest(rows).distance(points).shape == (0,)
        return
    np.testing.assert_allclose(
        Nearest(rows).distance(points), least_distance(points, rows), rtol=0, atol=5 * ROUNDING
    )


def test_a_row_without_anything_in_common_has_no_distance():
    rows = np.array([[1, np.nan], [1, np.nan]], np.float32)  # no variance, so all coordinates count alike
    points = np.array([[np.nan, 3], [np.nan, np.nan], [1.5, np.nan]], np.float32)
    found = Nearest(rows).distance(points)
    assert np.isnan(found).tolist() == [True, True, False]
    assert found[2] == pytest.approx(0.5 * np.sqrt(2))


def test_a_row_that_shares_little_is_not_the_nearest():
    # The second row has only what hardly varies, and there it equals the point.
    rows = np.array([[4, 0.1], [np.nan, 0.2], [-4, 0.3]], np.float32)
    point = np.array([[1, 0.2]], np.float32)
    assert Nearest(rows).distance(point)[0] == pytest.approx(np.hypot(3, 0.1))
    only_little = np.array([[np.nan, 0.2]], np.float32)
    assert np.isnan(Nearest(rows).distance(only_little)).all()


def columns_of(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.vstack([points.T, np.zeros(len(points), np.float32)])


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("settled", [0.0, 0.3, 0.6, 100.0])
def test_a_bound_is_exact_beyond_and_never_too_small_within(share, settled):
    rng = np.random.default_rng(4)
    rows, points = rows_of(rng, 4000, 7, share), rows_of(rng, 2000, 7, share)
    true, found = least_distance(points, rows), Nearest(rows).of_columns(columns_of(points), settled)
    known = np.isfinite(true)
    np.testing.assert_array_equal(np.isnan(found), ~known)
    outside = known & (true > settled + ROUNDING)
    np.testing.assert_allclose(found[outside], true[outside], rtol=0, atol=5 * ROUNDING)
    inside = known & (true <= settled - ROUNDING)
    assert (found[inside] <= settled).all()
    assert (found[inside] >= true[inside] - 5 * ROUNDING).all()
    if settled in (0.3, 0.6) and not share:
        assert outside.sum() > 50
        assert inside.sum() > 50


@pytest.mark.parametrize("share", [0.0, 0.15])
@pytest.mark.parametrize("settled", [None, 0.3])
def test_what_is_found_hangs_on_the_point_alone(share, settled):
    rng = np.random.default_rng(6)
    nearest, points = Nearest(rows_of(rng, 5000, 7, share)), rows_of(rng, 700, 7, share)
    whole = nearest.of_columns(columns_of(points), settled)
    if settled is not None:  # some of either, and a bound that is not the distance
        assert (whole > settled).sum() > 50
        assert (whole[whole <= settled] > nearest.distance(points)[whole <= settled]).sum() > 20
    shuffled = rng.permutation(len(points))
    np.testing.assert_array_equal(nearest.of_columns(columns_of(points[shuffled]), settled), whole[shuffled])
    some = np.sort(rng.choice(len(points), 2 * TILE + 5, replace=False))
    np.testing.assert_array_equal(nearest.of_columns(columns_of(points[some]), settled), whole[some])
    for one in some[:20]:
        alone = nearest.of_columns(columns_of(points[one : one + 1]), settled)
        np.testing.assert_array_equal(alone, whole[one : one + 1])


def test_a_point_beyond_all_numbers_is_near_to_nothing():
    rows = rows_of(np.random.default_rng(7), 300, 4)
    points = np.array([[1e25, 0, 0, 0], [0, 0, 0, -3e38], [0, 0, 0, 0]], np.float32)
    found = Nearest(rows).of_columns(columns_of(points), 1.0)
    assert (found <= 1).tolist() == [False, False, True]


def test_without_the_compiler_a_library_finds_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    rows, points = rows_of(rng, 500, 6, 0.1), rows_of(rng, 200, 6, 0.1)
    compiled = Nearest(rows)
    distance, bound = compiled.distance(points), compiled.of_columns(columns_of(points), 0.3)
    monkeypatch.setattr(nearest, "numba", None)
    library = Nearest(rows)
    np.testing.assert_allclose(library.distance(points), distance, rtol=0, atol=5 * ROUNDING)
    np.testing.assert_array_equal(library.of_columns(columns_of(points), 0.3) <= 0.3, bound <= 0.3)
