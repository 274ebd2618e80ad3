"""Calendars, gap filling, smoothing and sliding means against NumPy and SciPy, one pixel at a time."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import ee
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import savgol_coeffs, savgol_filter

from gee.errors import SettingError
from gee.local.sources.dataset import RasterGrid
from gee.timeseries import (
    SG_WEIGHTS,
    Calendar,
    daily,
    linear_fill,
    on_days,
    savitzky_golay,
    window_mean,
)

Series = NDArray[np.float64]
"""Days (or images) by pixels, NaN where there is no value."""

EPOCH = dt.date(1970, 1, 1)
FIRST = dt.date(2019, 4, 1)
COLLECTION = "test/series"


def day(number: int) -> dt.date:
    """Day 0 is FIRST."""
    return FIRST + dt.timedelta(number)


def span(first: int, last: int) -> Calendar:
    return Calendar(day(first), day(last))


def row(width: int) -> RasterGrid:
    """Pixels side by side, each a series of its own."""
    return RasterGrid("EPSG:32650", (1000, 0, 279_000, 0, -1000, 3_852_000), width, 1)


def put(
    earth: Any,
    starts: Sequence[dt.date | dt.datetime],
    bands: Mapping[str, Series],
    dates: Series | None = None,
) -> ee.ImageCollection:
    """A collection of one image per start; ``dates`` are those of the starts where not given."""
    width = next(iter(bands.values())).shape[1]
    images = []
    for number, start in enumerate(starts):
        layers = {
            name: np.ma.masked_invalid(values[number : number + 1].astype(np.float64))
            for name, values in bands.items()
        }
        own = [(dt.date.fromisoformat(start.isoformat()[:10]) - EPOCH).days] * width
        layers["date"] = np.ma.masked_invalid(
            np.asarray([own if dates is None else dates[number]], np.float64)
        )
        images.append((start.isoformat(), layers))
    asset = f"{COLLECTION}/{len(earth.datasets)}"  # the engine remembers the pixels of an id
    earth.put(asset, row(width), images)
    return ee.ImageCollection(asset)


def series(earth: Any, images: ee.ImageCollection, calendar: Calendar, band: str, width: int) -> Series:
    """Days by pixels of a band, read as one stack; NaN where masked."""
    stack = earth.pixels(images.select([band]).toBands(), row(width))
    assert list(stack) == [f"{each:%Y%m%d}_{band}" for each in calendar.days]
    return np.array([np.ma.filled(values.astype(np.float64), np.nan)[0] for values in stack.values()])


def interpolated(dates: Series, values: Series, wanted: float, gap: float) -> float:
    """The rule in words of NumPy: between the nearest valid dates on both sides, each within the gap."""
    valid = np.isfinite(values) & np.isfinite(dates)
    before = valid & (dates <= wanted) & (wanted - dates <= gap)
    after = valid & (dates >= wanted) & (dates - wanted <= gap)
    if not (before.any() and after.any()):
        return np.nan
    first = np.flatnonzero(before)[np.argmax(dates[before])]
    last = np.flatnonzero(after)[np.argmin(dates[after])]
    return float(np.interp(wanted, [dates[first], dates[last]], [values[first], values[last]]))


def test_a_calendar_has_both_its_ends_and_its_months_cut_to_the_period():
    season = Calendar(dt.date(2019, 4, 1), dt.date(2019, 11, 1))
    assert len(season) == len(season.days) == 215
    assert season.days[-1] == dt.date(2019, 11, 1)
    assert season.millis[0] == 1_554_076_800_000 == season.millis[1] - 86_400_000
    assert season.padded(20, 20) == Calendar(dt.date(2019, 3, 12), dt.date(2019, 11, 21))
    months = Calendar(dt.date(2019, 11, 15), dt.date(2020, 2, 3)).months()
    assert [(each.start.isoformat(), each.end.isoformat()) for each in months] == [
        ("2019-11-15", "2019-11-30"), ("2019-12-01", "2019-12-31"),
        ("2020-01-01", "2020-01-31"), ("2020-02-01", "2020-02-03"),
    ]  # fmt: skip
    assert sum(len(month) for month in season.months()) == 215
    assert Calendar(FIRST, FIRST).months() == (Calendar(FIRST, FIRST),)


def test_reversed_dates_are_refused_by_name():
    with pytest.raises(SettingError, match="2019-11-01, before it starts on 2019-11-02"):
        Calendar(dt.date(2019, 11, 2), dt.date(2019, 11, 1))


def test_daily_has_an_image_a_day_with_the_latest_valid_pixel_on_top(earth: Any):
    values = np.array([[1, 2, 3], [4, np.nan, 6], [7, 8, np.nan]], float)
    starts = [dt.datetime(2019, 4, 2, 9), dt.datetime(2019, 4, 2, 10), dt.datetime(2019, 4, 4)]
    calendar = span(0, 3)
    images = daily(put(earth, starts, {"vv": values, "vh": -values}), calendar, ["vv"])
    expected = [[np.nan] * 3, [4, 2, 6], [np.nan] * 3, [7, 8, np.nan]]
    np.testing.assert_array_equal(series(earth, images, calendar, "vv", 3), expected)
    assert earth.value(images.aggregate_array("system:time_start")) == calendar.millis
    assert earth.value(ee.Image(images.first()).bandNames()) == ["vv"]


def test_days_that_are_named_have_an_image_each_and_others_none(earth: Any):
    values = np.array([[1.0], [2.0], [3.0]])
    images = put(earth, [day(0), day(4), day(8)], {"ndvi": values})
    wanted = [day(0), day(8), day(16)]
    stack = earth.pixels(on_days(images, wanted, ["ndvi"]).toBands(), row(1))
    assert [np.ma.filled(band, -1).item() for band in stack.values()] == [1, 3, -1]
    assert list(stack) == ["20190401_ndvi", "20190409_ndvi", "20190417_ndvi"]
    with pytest.raises(SettingError, match="at least one"):
        on_days(images, [], ["ndvi"])


FILL_CASES = {
    "observation of the day itself": ({10: 5.0, 8: 1.0, 12: 3.0}, 5.0),
    "halfway": ({8: 1.0, 12: 3.0}, 2.0),
    "nearer to the one after": ({4: 10.0, 12: 2.0}, 4.0),
    "nearest of several": ({0: 90.0, 8: 1.0, 12: 3.0, 14: 90.0}, 2.0),
    "before only": ({9: 1.0}, np.nan),
    "after only": ({11: 1.0}, np.nan),
    "15 days before": ({-5: 1.0, 11: 17.0}, 16.0),
    "16 days before": ({-6: 1.0, 11: 17.0}, np.nan),
    "15 days after": ({9: 1.0, 25: 17.0}, 2.0),
    "16 days after": ({9: 1.0, 26: 17.0}, np.nan),
    "15 days on both sides": ({-5: 4.0, 25: 8.0}, 6.0),
    "nothing at all": ({}, np.nan),
}


def test_a_day_is_filled_between_its_neighbours_within_15_days(earth: Any):
    values = np.full((40, len(FILL_CASES)), np.nan)
    for pixel, (observed, _) in enumerate(FILL_CASES.values()):
        for number, value in observed.items():
            values[number + 10, pixel] = value
    has_image = [number for number in range(40) if np.isfinite(values[number]).any()]
    for rows in (range(40), has_image):  # days without any image are like days without a valid pixel
        images = put(earth, [day(number - 10) for number in rows], {"lst": values[list(rows)]})
        filled = linear_fill(images, span(10, 10), ["lst"])
        [found] = series(earth, filled, span(10, 10), "lst", len(FILL_CASES))
        wrong = {
            case: value
            for (case, (_, expected)), value in zip(FILL_CASES.items(), found, strict=True)
            if not np.isclose(value, expected, rtol=0, atol=1e-12, equal_nan=True)
        }
        assert not wrong


def test_bands_with_different_masks_are_filled_each_from_its_own_observations(earth: Any):
    first = np.array([[1.0], [np.nan], [5.0]])
    second = np.array([[10.0], [40.0], [np.nan]])
    starts = [day(0), day(1), day(4)]
    filled = linear_fill(put(earth, starts, {"a": first, "b": second}), span(0, 4), ["a", "b"])
    np.testing.assert_allclose(series(earth, filled, span(0, 4), "a", 1)[:, 0], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(
        series(earth, filled, span(0, 4), "b", 1)[:, 0], [10, 40, np.nan, np.nan, np.nan]
    )


@pytest.mark.parametrize("span_days", [1, 8])
def test_a_collection_without_images_gives_masked_days(earth: Any, span_days: int):
    images = put(earth, [day(300)], {"lst": np.ones((1, 2))})
    filled = linear_fill(images, span(0, 2), ["lst"], span_days=span_days)
    smooth = savitzky_golay(filled, span(0, 2), ["lst"], {"lst": (0, 10)})
    assert np.isnan(series(earth, smooth, span(0, 2), "lst", 2)).all()
    assert np.isnan(series(earth, smooth, span(0, 2), "lst_smoothed", 2)).all()


def composites(start: dt.date, count: int) -> list[dt.date]:
    return [start + dt.timedelta(8 * number) for number in range(count)]


def days_since_1970(date: dt.date) -> int:
    return (date - EPOCH).days


def test_composites_are_filled_at_each_pixels_own_day_also_across_new_year(earth: Any):
    # The composite of 27 December holds pixels of 2 January, that of 1 January pixels of that very day.
    starts = [dt.date(2018, 12, 19), dt.date(2018, 12, 27), dt.date(2019, 1, 1), dt.date(2019, 1, 9)]
    generator = np.random.default_rng(4)
    dates = np.array([days_since_1970(start) + generator.integers(0, 8, 30) for start in starts], dtype=float)
    dates[1, 0], dates[2, 0] = days_since_1970(dt.date(2019, 1, 2)), days_since_1970(dt.date(2019, 1, 1))
    dates += np.where(generator.random(dates.shape) < 0.3, 0.25, 0)  # averaged to 1 km: fractions of a day
    values = np.where(generator.random(dates.shape) < 0.2, np.nan, generator.normal(size=dates.shape))
    values[:, 0] = [0.1, 0.2, 0.3, 0.4]
    calendar = Calendar(dt.date(2018, 12, 24), dt.date(2019, 1, 10))
    images = put(earth, starts, {"ndvi": values}, dates)
    found = series(earth, linear_fill(images, calendar, ["ndvi"], span_days=8), calendar, "ndvi", 30)
    expected = [
        [interpolated(dates[:, pixel], values[:, pixel], days_since_1970(each), 15) for pixel in range(30)]
        for each in calendar.days
    ]
    assert 0.5 < np.isfinite(expected).mean() < 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.floats(0, 1),
    absent=st.sets(st.integers(0, 5)),
    gap=st.integers(1, 15),
)
def test_whatever_their_days_composites_are_filled_by_each_pixels_date(
    earth: Any, seed: int, missing: float, absent: set[int], gap: int
):
    generator = np.random.default_rng(seed)
    starts = [start for number, start in enumerate(composites(day(-16), 7)) if number not in absent]
    dates = np.array([days_since_1970(start) + generator.uniform(0, 7.99, 8) for start in starts])
    dates = np.where(generator.random(dates.shape) < 0.5, np.floor(dates), dates)
    values = {
        name: np.where(generator.random(dates.shape) < missing, np.nan, generator.normal(size=dates.shape))
        for name in ("ndvi", "evi")
    }
    calendar = span(0, 6)
    images = put(earth, starts, values, dates)
    filled = linear_fill(images, calendar, list(values), gap_days=gap, span_days=8)
    for name, band in values.items():
        expected = [
            [interpolated(dates[:, pixel], band[:, pixel], days_since_1970(each), gap) for pixel in range(8)]
            for each in calendar.days
        ]
        found = series(earth, filled, calendar, name, 8)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_an_image_whose_pixels_run_ahead_of_it_is_found_at_the_limits(earth: Any):
    # Observed 15 days before and after day 20, in images that start 7 days earlier.
    dates = np.array([[days_since_1970(day(5))], [days_since_1970(day(35))]], float)
    images = put(earth, [day(-2), day(28)], {"lai": np.array([[1.0], [3.0]])}, dates)
    calendar = span(19, 21)
    found = series(earth, linear_fill(images, calendar, ["lai"], span_days=8), calendar, "lai", 1)
    np.testing.assert_allclose(found[:, 0], [np.nan, 2.0, np.nan])


def test_a_pixel_without_a_date_is_no_observation(earth: Any):
    dates = np.array([[0.0], [np.nan], [4.0]]) + days_since_1970(FIRST)
    images = put(earth, [day(0), day(2), day(4)], {"lst": np.array([[1.0], [99.0], [5.0]])}, dates)
    for span_days in (1, 8):
        filled = linear_fill(images, span(2, 2), ["lst"], span_days=span_days)
        np.testing.assert_allclose(series(earth, filled, span(2, 2), "lst", 1), [[3.0]])


def test_several_images_on_a_day_give_that_day_the_latest(earth: Any):
    starts = [day(0), dt.datetime(2019, 4, 3, 1), dt.datetime(2019, 4, 3, 2), day(4)]
    dates = np.array([[0.0], [2 + 1 / 24], [2 + 2 / 24], [4.0]]) + days_since_1970(FIRST)
    values = np.array([[1.0], [7.0], [8.0], [5.0]])
    filled = linear_fill(put(earth, starts, {"lst": values}, dates), span(2, 2), ["lst"])
    np.testing.assert_allclose(series(earth, filled, span(2, 2), "lst", 1), [[8.0]])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_missing_filling_equals_interpolation(earth: Any, data: st.DataObject):
    width, count = 6, data.draw(st.integers(1, 12), label="images")
    number = st.one_of(st.none(), st.floats(-50, 50, width=32))
    cells = st.lists(number, min_size=width * count, max_size=width * count)
    values = np.array(data.draw(cells), dtype=float).reshape(count, width)
    starts = sorted(data.draw(st.lists(st.integers(-25, 30), min_size=count, max_size=count, unique=True)))
    gap = data.draw(st.integers(1, 15), label="gap")
    images = put(earth, [day(start) for start in starts], {"lst": values})
    calendar = span(0, 5)
    filled = linear_fill(images, calendar, ["lst"], gap_days=gap)
    expected = [
        [interpolated(np.array(starts, float), values[:, pixel], wanted, gap) for pixel in range(width)]
        for wanted in range(6)
    ]
    found = series(earth, filled, calendar, "lst", width)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


def test_the_weights_are_those_of_an_11_day_polynomial_of_degree_4():
    np.testing.assert_allclose(SG_WEIGHTS, savgol_coeffs(11, 4), rtol=0, atol=1e-12)


def test_smoothing_equals_scipy_and_keeps_the_value_where_any_of_11_days_is_missing(earth: Any):
    generator = np.random.default_rng(5)
    values = generator.normal(20, 4, size=(41, 5))
    values[20, 1] = np.nan  # one day
    values[:8, 2] = np.nan  # the beginning
    values[30, 3] = values[33, 3] = np.nan  # two
    values[:, 4] = np.polyval([1e-4, -1e-2, 0.2, -1, 30], np.arange(41.0) / 2)  # a quartic stays
    calendar = span(5, 35)
    images = put(earth, [day(number) for number in range(41)], {"lst": values})
    smooth = savitzky_golay(images, calendar, ["lst"], {"lst": (-100, 1000)})
    whole = np.array([np.isfinite(values[t - 5 : t + 6]).all(axis=0) for t in range(5, 36)])
    ideal = savgol_filter(values, 11, 4, axis=0, mode="nearest")[5:36]
    expected = np.where(whole, ideal, values[5:36])
    np.testing.assert_allclose(series(earth, smooth, calendar, "lst", 5), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(expected[:, 4], values[5:36, 4], rtol=0, atol=1e-8)
    flags = np.where(np.isfinite(values[5:36]), whole, np.nan)
    np.testing.assert_array_equal(series(earth, smooth, calendar, "lst_smoothed", 5), flags)
    assert 0.5 < np.nanmean(flags) < 1


def test_days_that_are_not_there_are_neither_smoothed_nor_lost(earth: Any):
    values = np.arange(21.0)[:, None] ** 2
    rows = [number for number in range(21) if number != 12]
    images = put(earth, [day(number) for number in rows], {"lst": values[rows]})
    smooth = savitzky_golay(images, span(5, 15), ["lst"], {})
    found = series(earth, smooth, span(5, 15), "lst", 1)[:, 0]
    np.testing.assert_allclose(found, np.where(np.arange(5, 16) == 12, np.nan, values[5:16, 0]), atol=1e-9)
    flags = series(earth, smooth, span(5, 15), "lst_smoothed", 1)[:, 0]
    np.testing.assert_array_equal(flags, [1, 1, 0, 0, 0, 0, 0, np.nan, 0, 0, 0])


def test_overshoot_beside_a_step_is_limited_to_the_physical_range(earth: Any):
    values = np.repeat([0.0, 6.0], 12)[:, None]
    images = put(earth, [day(number) for number in range(24)], {"lai": values, "free": values})
    smooth = savitzky_golay(images, span(5, 18), ["lai", "free"], {"lai": (0, 6)})
    ideal = savgol_filter(values, 11, 4, axis=0)[5:19]
    assert ideal.min() < 0 and ideal.max() > 6
    np.testing.assert_allclose(series(earth, smooth, span(5, 18), "lai", 1), np.clip(ideal, 0, 6), atol=1e-12)
    np.testing.assert_allclose(series(earth, smooth, span(5, 18), "free", 1), ideal, atol=1e-12)


def test_a_sliding_window_holds_t_minus_6_but_not_t_plus_6(earth: Any):
    values = np.array([[100.0], [1.0], [3.0], [20.0], [1000.0]])
    starts = [
        dt.datetime(2019, 4, 4, 23, 59), dt.datetime(2019, 4, 5), dt.datetime(2019, 4, 11, 10),
        dt.datetime(2019, 4, 16, 23, 59), dt.datetime(2019, 4, 17),
    ]  # fmt: skip
    images = put(earth, starts, {"vv": values})
    for after, expected, count in ((6, 8.0, 3), (7, 256.0, 4)):
        means = window_mean(images, span(10, 10), ["vv"], before=6, after=after)
        np.testing.assert_allclose(series(earth, means, span(10, 10), "vv", 1), [[expected]])
        np.testing.assert_array_equal(series(earth, means, span(10, 10), "count", 1), [[count]])


def test_means_are_of_valid_pixels_by_weight_and_counted(earth: Any):
    nan = np.nan
    power = np.array([[0.1, 0.1, nan, 0.4, 0.5], [0.3, nan, nan, 0.8, 0.7]])
    other = np.array([[1.0, nan, nan, 2.0, 3.0], [2.0, nan, nan, 4.0, 5.0]])
    share = np.array([[1.0, 1.0, 1.0, 0.0, nan], [0.25, 1.0, 1.0, 0.5, 0.5]])
    images = put(earth, [day(0), day(3)], {"vv": power, "vh": other, "share": share})
    means = window_mean(images, span(1, 1), ["vv", "vh"], weight="share")
    [found] = series(earth, means, span(1, 1), "vv", 5)
    np.testing.assert_allclose(found, [(0.1 + 0.25 * 0.3) / 1.25, 0.1, nan, 0.8, 0.7])
    [found] = series(earth, means, span(1, 1), "vh", 5)
    np.testing.assert_allclose(found, [(1 + 0.25 * 2) / 1.25, nan, nan, 4, 5])
    [count] = series(earth, means, span(1, 1), "count", 5)
    np.testing.assert_array_equal(count, [2, 1, 0, 1, 1])
    plain = window_mean(images, span(1, 1), ["vv"])
    np.testing.assert_allclose(series(earth, plain, span(1, 1), "vv", 5), [[0.2, 0.1, nan, 0.6, 0.6]])


def test_a_pixel_seen_in_part_counts_as_a_whole_one(earth: Any):
    """Earth Engine's sums weigh pixels by their masks; an average of a few native pixels may have such."""
    values = np.random.default_rng(6).normal(size=(21, 1))
    images = put(earth, [day(number) for number in range(21)], {"lst": values, "share": values**0 / 2})
    share = ee.Image.constant(0.3)
    parts = images.map(lambda image: image.updateMask(share))
    smooth = savitzky_golay(linear_fill(parts, span(0, 20), ["lst"]), span(10, 10), ["lst"], {})
    ideal = savgol_filter(values, 11, 4, axis=0)[10:11]
    np.testing.assert_allclose(series(earth, smooth, span(10, 10), "lst", 1), ideal, atol=1e-12)
    np.testing.assert_array_equal(series(earth, smooth, span(10, 10), "lst_smoothed", 1), [[1]])
    for weight in (None, "share"):
        means = window_mean(parts, span(10, 10), ["lst"], weight=weight)
        np.testing.assert_allclose(series(earth, means, span(10, 10), "lst", 1), [[values[4:16].mean()]])
        np.testing.assert_array_equal(series(earth, means, span(10, 10), "count", 1), [[12]])


def test_an_empty_window_is_masked_and_counts_0(earth: Any):
    images = put(earth, [day(0)], {"vv": np.ones((1, 2))})
    means = window_mean(images, span(5, 9), ["vv"])
    assert np.isfinite(series(earth, means, span(5, 9), "vv", 2))[:, 0].tolist() == [True] * 2 + [False] * 3
    np.testing.assert_array_equal(series(earth, means, span(5, 9), "count", 2)[:, 1], [1, 1, 0, 0, 0])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), before=st.integers(0, 8), after=st.integers(1, 8))
def test_whatever_the_window_means_are_weighted_averages(earth: Any, seed: int, before: int, after: int):
    generator = np.random.default_rng(seed)
    hours = np.sort(generator.integers(-8 * 24, 12 * 24, 9))
    starts = [dt.datetime(2019, 4, 1) + dt.timedelta(hours=int(hour)) for hour in hours]
    values = np.where(generator.random((9, 4)) < 0.4, np.nan, generator.uniform(0.01, 1, (9, 4)))
    weight = generator.choice([0, 0.25, 1], (9, 4))
    images = put(earth, starts, {"vv": values, "share": weight})
    calendar = span(0, 3)
    means = window_mean(images, calendar, ["vv"], before, after, "share")
    seen = np.isfinite(values) & (weight > 0)
    for number, (mean, count) in enumerate(
        zip(series(earth, means, calendar, "vv", 4), series(earth, means, calendar, "count", 4), strict=True)
    ):
        inside = (hours >= (number - before) * 24) & (hours < (number + after) * 24)
        used = seen & inside[:, None]
        np.testing.assert_array_equal(count, used.sum(axis=0))
        for pixel in range(4):
            chosen = used[:, pixel]
            expected = (
                np.average(values[chosen, pixel], weights=weight[chosen, pixel]) if chosen.any() else np.nan
            )
            np.testing.assert_allclose(mean[pixel], expected, rtol=1e-12)


def test_series_of_the_same_days_combine_into_one(earth: Any):
    calendar = span(5, 6)
    lst = put(earth, [day(number) for number in range(12)], {"lst": np.full((12, 1), 7.0)})
    radar = put(earth, [day(6)], {"vv": np.full((1, 1), 0.5)})
    both = savitzky_golay(lst, calendar, ["lst"], {}).combine(window_mean(radar, calendar, ["vv"]))
    names = ["lst", "lst_smoothed", "vv", "count"]
    stack = earth.pixels(both.toBands(), row(1))
    assert list(stack) == [f"{each:%Y%m%d}_{name}" for each in calendar.days for name in names]
    np.testing.assert_allclose([band.item() for band in stack.values()], [7, 1, 0.5, 1] * 2)


def test_settings_that_cannot_be_used_are_refused(offline_client: None):
    images = ee.ImageCollection(COLLECTION)
    with pytest.raises(SettingError, match="0 days"):
        linear_fill(images, span(0, 1), ["lst"], gap_days=0)
    with pytest.raises(SettingError, match="images of 0 days"):
        linear_fill(images, span(0, 1), ["lst"], span_days=0)
    with pytest.raises(SettingError, match="empty"):
        window_mean(images, span(0, 1), ["vv"], before=0, after=0)
    with pytest.raises(SettingError, match=r"'lai' is not among the bands ndvi.*'ndvi' goes from 1 to -1"):
        savitzky_golay(images, span(0, 1), ["ndvi"], {"lai": (0, 10), "ndvi": (1, -1)})


def prepared(days: int, span_days: int) -> ee.ImageCollection:
    """Fill and smoothing of four bands."""
    bands = ["ndvi", "ndwi", "nsdsi", "evi"]
    calendar = span(0, days - 1)
    filled = linear_fill(ee.ImageCollection(COLLECTION), calendar.padded(5, 5), bands, span_days=span_days)
    return savitzky_golay(filled, calendar, bands, dict.fromkeys(bands, (-1, 1)))


@pytest.mark.parametrize("span_days", [1, 8])
def test_expressions_stay_small_whatever_the_number_of_days(offline_client: None, span_days: int):
    size = {
        days: len(json.dumps(ee.serializer.encode(prepared(days, span_days), for_cloud_api=True)))
        for days in (1, 31, 215)
    }
    print(f"\nbytes of fill and smoothing of 4 bands, images of {span_days} days, by days: {size}")
    assert size[31] < 30_000
    assert size[215] - size[1] < 100


def test_each_source_image_is_read_once(earth: Any):
    values = np.random.default_rng(0).normal(size=(41, 3))
    images = put(earth, [day(number) for number in range(-20, 21)], {"lst": values})
    filled = linear_fill(images, span(-5, 5), ["lst"])
    earth.pixels(savitzky_golay(filled, span(0, 0), ["lst"], {}).toBands(), row(3))
    assert len(earth.reads) == len(set(earth.reads)) == 41
