"""Coverage counts what lies within, draws whole blocks, and is weighed against width."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.coverage import Coverage, coverage_of, sums_by
from models.errors import SampleError

NAN = math.nan


def test_four_intervals_worked_out_by_hand():
    """Within, on an end, 0.02 below and 0.01 above; widths 0.1, 0.2, 0.1, 0.2; 20 times what is beyond."""
    reference = [0.25, 0.30, 0.18, 0.41]
    lower, upper = [0.20, 0.10, 0.20, 0.20], [0.30, 0.30, 0.30, 0.40]
    found = coverage_of(reference, lower, upper, blocks=[1, 1, 2, 2])
    assert (found.n, found.blocks, found.coverage) == (4, 2, 0.5)
    assert found.width == pytest.approx((0.1 + 0.2 + 0.1 + 0.2) / 4)
    assert found.score == pytest.approx((0.6 + 20 * (0.02 + 0.01)) / 4)
    assert math.isnan(found.coverage_lower)
    assert found.reason == "the interval of a coverage needs 5 blocks, got 2"


def test_rows_without_a_reference_or_an_interval_are_left_out():
    found = coverage_of([0.2, NAN, 0.2, 0.9], [0.1, 0.1, NAN, 0.1], [0.3, 0.3, 0.3, 0.3], blocks=range(4))
    assert (found.n, found.blocks, found.coverage) == (2, 2, 0.5)


def test_nothing_known_is_said_to_be_so():
    found = coverage_of([NAN], [0.1], [0.2], blocks=[0])
    assert found.n == 0
    assert math.isnan(found.coverage)
    assert found.reason == "no row has both an interval and a reference"


def test_the_interval_of_a_coverage_is_that_of_its_blocks():
    """50 blocks wholly within or wholly not: binomial, of 50 draws, however many rows a block has."""
    rng = np.random.default_rng(0)
    within = rng.permutation(np.arange(50) < 40)
    reference = np.repeat(np.where(within, 0.5, 2.0), 30)
    found = coverage_of(reference, np.zeros(1500), np.ones(1500), blocks=np.repeat(np.arange(50), 30))
    reach = 1.96 * math.sqrt(0.8 * 0.2 / 50)
    assert found.coverage == 0.8
    assert found.coverage_lower == pytest.approx(0.8 - reach, abs=0.025)
    assert found.coverage_upper == pytest.approx(0.8 + reach, abs=0.025)


def test_sums_of_parts_add_up_to_those_of_the_whole():
    rng = np.random.default_rng(1)
    reference, lower = rng.random(300), rng.random(300) * 0.5
    upper, labels = lower + 0.3, rng.integers(0, 7, 300)
    parts = sum(
        sums_by(reference[part], lower[part], upper[part], labels[part], 9)
        for part in (slice(0, 100), slice(100, 300))
    )
    whole = coverage_of(reference, lower, upper, blocks=labels)
    found = Coverage.of(np.asarray(parts))
    assert (found.n, found.blocks, found.coverage) == (
        300,
        7,
        ((reference >= lower) & (reference <= upper)).mean(),
    )
    assert (found.score, found.coverage_lower) == pytest.approx((whole.score, whole.coverage_lower))


def test_columns_of_different_length_are_refused():
    with pytest.raises(SampleError, match="for each row"):
        coverage_of([0.1, 0.2], [0.1], [0.2], blocks=[0])
