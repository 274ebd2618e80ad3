"""Steps across borders of partitions: by hand, and on random fields with and without a seam."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import binom

from pipeline.scores.seams import ALL, DAILY, Borders, DailySteps, Steps, steps_of, verdict_of

SIDE = 200
LAND = np.ones((SIDE, SIDE), bool)


def halves(side=SIDE):
    """West the first, east the second."""
    return np.where(np.arange(side) < side // 2, 1, 2) * np.ones((side, 1), int)


def quarters():
    """Four partitions with crooked borders."""
    random = np.random.default_rng(3)
    one, other = (gaussian_filter(random.standard_normal((SIDE, SIDE)), 25) for _ in range(2))
    return 1 + (one > np.median(one)) + 2 * (other > np.median(other))


def steps(codes, field, predictors=None, names=("a", "b"), land=None) -> dict[tuple[str, str], Steps]:
    borders = Borders.of(codes, LAND if land is None else land)
    daily = DailySteps(borders)
    daily.add(field.reshape(1, -1))
    flat = {name: of.ravel() for name, of in (predictors or {}).items()}
    return {(one.field, one.border): one for one in steps_of(borders, names, field.ravel(), daily, flat)}


def smooth(random, sigma=4.0):
    field = gaussian_filter(random.standard_normal((SIDE, SIDE)), sigma, mode="wrap")
    return 0.25 + 0.04 * field / field.std()


def test_a_slope_with_a_jump_has_the_step_and_the_ratio_of_the_hand():
    codes = halves()
    field = 0.1 + 0.001 * np.arange(SIDE) * np.ones((SIDE, 1)) + 0.03 * (codes == 2)
    found = steps(codes, field)
    whole, own = found["sm", ALL], found["sm", "a | b"]
    assert (whole.pairs, whole.stretches) == (SIDE, SIDE // 20)
    assert whole.step == pytest.approx(0.031)
    assert whole.inside == pytest.approx(0.001)
    assert whole.ratio == pytest.approx(31)
    assert (whole.excess_lower, whole.excess_upper) == pytest.approx((0.03, 0.03))
    assert own.upward == pytest.approx(0.031)
    assert math.isnan(whole.upward)
    assert own.verdict == whole.verdict == found[DAILY, ALL].verdict == "seam"


def test_the_signed_step_goes_from_the_first_partition_to_the_second_whichever_lies_west():
    codes = 3 - halves()
    assert steps(codes, np.where(codes == 2, 0.3, 0.2))["sm", "a | b"].upward == pytest.approx(0.1)


def test_lines_stay_in_their_partition_and_narrow_ones_are_counted():
    codes = halves(60)
    codes[:, 40:43] = 3  # a strip of three pixels: no line fits into it
    borders = Borders.of(codes, np.ones((60, 60), bool))
    assert (len(borders), borders.left_out, borders.pairs) == (60, 120, 180)
    rows, columns = np.divmod(borders.beside, 60)
    assert set(columns[0].ravel()) == {24, 25, 26, 27, 32, 33, 34, 35}  # 3, 4 and 5 pixels from 29 | 30
    assert (rows == rows[:, :1, :1]).all()
    blended = Borders.of(codes, np.ones((60, 60), bool), blend=2)
    assert set(np.divmod(blended.beside, 60)[1][0].ravel()) == {22, 23, 24, 25, 34, 35, 36, 37}


def test_water_on_the_way_and_missing_values_leave_lines_out():
    codes, land = halves(60), np.ones((60, 60), bool)
    land[10, 28] = False
    borders = Borders.of(codes, land)
    assert borders.left_out == 1
    field = np.full((60, 60), 0.2)
    field[20, 35] = np.nan  # a line beside row 20's pair
    field[21, 29] = np.nan  # a pixel of row 21's own pair
    row = steps(codes, field, land=land)["sm", ALL]
    assert row.pairs == 58
    assert row.step == 0


def test_daily_steps_are_means_over_the_days_on_which_both_are_there():
    codes = halves(60)
    borders = Borders.of(codes, np.ones((60, 60), bool))
    one, other = np.where(codes == 2, 0.3, 0.2), np.where(codes == 2, 0.1, 0.2)
    other[5, 29] = np.nan
    daily = DailySteps(borders)
    daily.add(np.stack([one.ravel(), other.ravel(), other.ravel()]))
    here, lines, upward = daily.means()
    assert here == pytest.approx(np.full(60, 0.1))
    assert np.nanmax(lines) == 0
    assert upward[5] == pytest.approx(0.1)  # the first day alone
    assert upward[6] == pytest.approx((0.1 - 0.1 - 0.1) / 3)


def test_a_terrain_edge_on_the_border_is_not_called_a_seam_and_a_seam_beside_it_is():
    random = np.random.default_rng(1)
    codes = halves()
    cliffs = np.cumsum(random.exponential(20, (SIDE, SIDE)), axis=1)  # steps of all sizes, everywhere
    cliffs = cliffs + 300 * (codes == 2)
    field = 0.2 + 1e-4 * cliffs + random.normal(0, 1e-4, (SIDE, SIDE))
    as_land = steps(codes, field, {"dem": cliffs})
    assert as_land["sm", ALL].ratio > 3
    assert as_land["dem", ALL].ratio > 3
    assert as_land["sm", ALL].verdict == "as the land"
    assert as_land[DAILY, ALL].verdict == "as the land"
    assert as_land["dem", ALL].verdict == ""
    assert as_land["sm", ALL].unexplained == pytest.approx(0, abs=3e-4)
    seamed = steps(codes, field + 0.01 * (codes == 2), {"dem": cliffs})["sm", ALL]
    assert seamed.verdict == "seam"
    assert seamed.unexplained == pytest.approx(0.01, abs=1e-3)
    assert steps(codes, field)["sm", ALL].verdict == "seam"  # nobody can tell without predictors


def test_seams_are_found_in_smooth_fields_that_have_one_and_in_few_that_have_none():
    random = np.random.default_rng(12)
    codes = quarters()
    names = ("a", "b", "c", "d")
    fields = 40
    none, found = 0, 0
    for number in range(fields):
        field = smooth(random)
        predictor = smooth(random)
        none += steps(codes, field, {"dem": predictor}, names)["sm", ALL].verdict == "seam"
        if number < 20:
            seam = 0.01 * (codes == 2)  # the field's own steps are 0.006 on average
            found += steps(codes, field + seam, {"dem": predictor}, names)["sm", ALL].verdict == "seam"
    assert none <= binom.ppf(0.999, fields, 0.05)  # one side of a 95 % interval, measured 3 to 8 % for both
    assert found >= 19


def test_too_few_stretches_and_no_borders():
    codes = halves(60)
    row = steps(codes, np.where(codes == 2, 0.3, 0.2), land=np.ones((60, 60), bool))["sm", ALL]
    assert (row.stretches, row.verdict) == (3, "too few stretches")
    assert math.isnan(row.excess_lower)
    nothing = Borders.of(np.ones((60, 60), int), np.ones((60, 60), bool))
    assert (len(nothing), nothing.pairs) == (0, 0)


@pytest.mark.parametrize(
    ("excess", "unexplained", "verdict"),
    [
        ((math.nan, math.nan), (math.nan, math.nan), "too few stretches"),
        ((-0.1, 0.2), (0.1, 0.2), "none found"),
        ((-0.2, -0.1), (-0.2, -0.1), "none found"),
        ((0.1, 0.2), (math.nan, math.nan), "seam"),
        ((0.1, 0.2), (-0.1, 0.2), "as the land"),
        ((0.1, 0.2), (0.005, 0.2), "as the land"),
        ((0.1, 0.2), (0.05, 0.2), "seam"),
    ],
)
def test_verdicts(excess, unexplained, verdict):
    assert verdict_of(excess, unexplained) == verdict
