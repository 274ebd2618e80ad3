"""The share of a model's detail that fits SMAP best, on rows whose share is known because it was planted."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.scores.damping import Among, Share, damp

PLACES, PERIODS, ROWS = 24, 8, 30


def rows(seed: int = 0, places: int = PLACES, periods: int = PERIODS, each: int = ROWS):
    """What is added, smooth SMAP and how rows are drawn, of as many rows in each place and period."""
    rng = np.random.default_rng(seed)
    place, period = (one.ravel() for one in np.indices((places, periods, each))[:2])
    added, smooth = 0.02 * rng.standard_normal(len(place)), 0.2 + 0.02 * rng.standard_normal(len(place))
    return rng, added, smooth, Among(place, period, "")


@pytest.mark.parametrize("planted", [0.0, 0.35, 1.0, 1.3, -0.2])
def test_a_planted_share_is_found_and_lies_in_its_interval(planted):
    rng, added, smooth, among = rows()
    truth = smooth + planted * added + 0.01 * rng.standard_normal(len(added))

    damped, found = damp(truth, smooth, smooth + added, among, 0)

    [by_numpy], *_ = np.linalg.lstsq(added[:, None], truth - smooth, rcond=None)
    assert found.value == pytest.approx(by_numpy, rel=1e-9)
    assert found.value == pytest.approx(planted, abs=0.03)
    assert found.lower < planted < found.upper
    assert found.upper - found.lower < 0.1
    bounded = min(1.0, max(0.0, planted))
    np.testing.assert_allclose(damped, smooth + bounded * added, atol=0.03 * np.abs(added).max())
    detail = found.detail(simulated=True)
    assert detail.value == pytest.approx(bounded, abs=0.03)
    assert 0 <= detail.lower <= detail.value <= detail.upper <= 1
    assert detail.measured
    assert detail.simulated


def test_a_place_has_no_part_in_its_own_damping():
    rng, added, smooth, among = rows()
    truth = smooth + 0.5 * added + 0.01 * rng.standard_normal(len(added))
    before, _ = damp(truth, smooth, smooth + added, among, 0)
    own = among.place == 7

    after, _ = damp(np.where(own, smooth - 5 * added, truth), smooth, smooth + added, among, 0)

    np.testing.assert_array_equal(after[own], before[own])
    assert (after != before).mean() > 0.5


def test_the_interval_covers_shares_that_differ_by_place_and_by_period():
    # Drawn by rows, or by periods alone, it would cover far less: shares of places differ by 0.3.
    covered, narrow = [], []
    for seed in range(150):
        rng, added, smooth, among = rows(seed, places=20, periods=10, each=4)
        slope = 0.5 + 0.3 * rng.standard_normal(20)[among.place] + 0.1 * rng.standard_normal(10)[among.period]
        truth = smooth + slope * added
        _, found = damp(truth, smooth, smooth + added, among, seed)
        covered.append(found.lower <= 0.5 <= found.upper)
        alone = Among(among.period, np.zeros_like(among.period), "")
        _, by_period = damp(truth, smooth, smooth + added, alone, seed)
        narrow.append(by_period.lower <= 0.5 <= by_period.upper)
    assert 0.93 <= np.mean(covered) <= 1
    assert np.mean(narrow) < 0.85


def test_few_places_have_no_interval_and_a_single_period_is_not_drawn():
    rng, added, smooth, among = rows(places=4)
    truth = smooth + 0.5 * added + 0.01 * rng.standard_normal(len(added))

    _, found = damp(truth, smooth, smooth + added, among, 0)
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert np.isnan([found.lower, found.upper]).all()
    assert np.isnan(found.detail(simulated=False).lower)

    rng, added, smooth, among = rows(periods=1)
    truth = smooth + 0.5 * added + 0.01 * rng.standard_normal(len(added))
    _, found = damp(truth, smooth, smooth + added, among, 0)
    assert found.lower < 0.5 < found.upper


def test_rows_that_are_left_out_count_nothing_and_a_model_that_adds_nothing_has_no_share():
    rng, added, smooth, among = rows()
    truth = smooth + 0.5 * added
    out = rng.random(len(added)) < 0.2
    smooth[out], truth[out] = np.nan, 99.0

    damped, found = damp(truth, smooth, smooth + added, among, 0)
    assert found.value == pytest.approx(0.5)
    np.testing.assert_array_equal(np.isnan(damped), out)

    damped, found = damp(truth, smooth, smooth.copy(), among, 0)
    np.testing.assert_array_equal(damped, smooth)
    assert np.isnan(found).all()
    assert found.detail(simulated=False) is None


def test_a_share_beyond_its_bounds_is_taken_at_them():
    found = Share(-0.03, -0.09, 0.03).detail(simulated=False)
    assert (found.value, found.lower, found.upper) == (0, 0, 0.03)
