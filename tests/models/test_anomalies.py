"""Anomalies against pytesmo, and their rules for missing days by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.anomalies import (
    climatology,
    climatology_anomalies,
    day_of_year,
    moving_anomalies,
    whole_years,
)

NAN = float("nan")


def gappy(seed: int, first: str = "2015-01-01", last: str = "2019-12-31") -> pd.Series:
    """Simulated daily series over a leap year, a third of its days and one whole season missing."""
    days = pd.date_range(first, last)
    rng = np.random.default_rng(seed)
    values = 0.25 + 0.1 * np.sin(np.arange(len(days)) / 58) + rng.normal(0, 0.02, len(days))
    values[rng.random(len(days)) < 0.33] = NAN
    values[400:490] = NAN
    return pd.Series(values, index=days)


def days_of(series: pd.Series) -> NDArray[np.datetime64]:
    return series.index.to_numpy().astype("datetime64[D]")


@pytest.fixture(scope="module")
def oracle():
    return pytest.importorskip(
        "pytesmo.time_series.anomaly", reason="pytesmo, the oracle, is in the extra 'validation'"
    )


@pytest.mark.parametrize("seed", range(3))
def test_moving_anomalies_are_pytesmos(oracle, seed: int) -> None:
    series = gappy(seed)
    found = moving_anomalies(days_of(series), series.to_numpy(), least=1)
    np.testing.assert_allclose(found, oracle.calc_anomaly(series, window_size=35), atol=1e-13)


def test_a_window_of_too_few_days_has_no_anomaly_as_pytesmos_moving_average_has_none(oracle) -> None:
    from pytesmo.time_series.filtering import moving_average

    series = gappy(7)
    series[(np.arange(len(series)) % 6) != 0] = NAN
    expected = series - moving_average(series, window_size=35, min_obs=5)
    found = moving_anomalies(days_of(series), series.to_numpy())
    assert 0 < np.isfinite(found).sum() < series.notna().sum()
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("years", [None, (2016, 2018)])
def test_the_climatology_and_its_anomalies_are_pytesmos(oracle, years: tuple[int, int] | None) -> None:
    series = gappy(3)
    span = None if years is None else (f"{years[0]}-01-01", f"{years[1]}-12-31")
    expected = oracle.calc_climatology(series, timespan=span)
    found = climatology(days_of(series), series.to_numpy(), years=years)
    assert found.shape == (366, 1)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-13)
    anomalies = oracle.calc_anomaly(series, climatology=expected, respect_leap_years=False)
    np.testing.assert_allclose(
        climatology_anomalies(days_of(series), series.to_numpy(), years=years), anomalies, atol=1e-13
    )


def test_a_climatology_of_a_few_weeks_is_missing_far_from_them(oracle) -> None:
    series = gappy(1, "2018-06-01", "2018-07-15")
    expected = oracle.calc_climatology(series)
    found = climatology(days_of(series), series.to_numpy())[:, 0]
    assert 0 < np.isfinite(found).sum() < 120
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_columns_do_not_see_each_other_and_rows_may_come_in_any_order() -> None:
    one, other = gappy(1), gappy(2)
    days = days_of(one)
    order = np.random.default_rng(0).permutation(len(days))
    both = moving_anomalies(days[order], np.column_stack([one, other])[order])
    np.testing.assert_allclose(both[:, 0], moving_anomalies(days, one.to_numpy())[order], atol=1e-13)
    np.testing.assert_allclose(both[:, 1], moving_anomalies(days, other.to_numpy())[order], atol=1e-13)


def test_rows_that_are_not_there_are_days_that_are_missing() -> None:
    series = gappy(5)
    there = series.dropna()
    found = moving_anomalies(days_of(there), there.to_numpy())
    whole = moving_anomalies(days_of(series), series.to_numpy())
    np.testing.assert_allclose(found, whole[series.notna()], atol=1e-13)


def test_a_window_by_hand() -> None:
    days = np.datetime64("2020-01-01") + np.arange(3)
    found = moving_anomalies(days, np.array([1.0, 2.0, 6.0]), window=3, least=2)
    assert found.tolist() == pytest.approx([1 - 1.5, 2 - 3, 6 - 4])
    assert np.isnan(moving_anomalies(days, np.array([1.0, NAN, 6.0]), window=3, least=2)).all()


@pytest.mark.parametrize(
    ("day", "number"),
    [("2019-01-01", 1), ("2019-02-28", 59), ("2020-02-29", 60), ("2019-03-01", 61), ("2020-03-01", 61),
     ("1969-12-31", 366), ("2019-12-31", 366), ("2020-12-31", 366)],
)  # fmt: skip
def test_march_begins_on_the_61st_day_of_every_year(day: str, number: int) -> None:
    assert day_of_year(np.array([day], dtype="datetime64[D]")).tolist() == [number]


def test_years_are_counted_by_the_day_that_came_round_most_often() -> None:
    days = pd.date_range("2018-06-01", "2020-06-01").to_numpy()
    assert whole_years(days) == 3  # 1 June 2018, 2019 and 2020
    assert whole_years(days[:-1]) == 2
    assert whole_years(days[:0]) == 0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), shift=st.floats(-0.2, 0.2))
def test_a_constant_shift_changes_no_anomaly(seed: int, shift: float) -> None:
    series = gappy(seed, "2016-01-01", "2018-03-01")
    days, values = days_of(series), series.to_numpy()
    for anomalies in (moving_anomalies, climatology_anomalies):
        np.testing.assert_allclose(anomalies(days, values + shift), anomalies(days, values), atol=1e-12)
