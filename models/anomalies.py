"""Anomalies of daily soil moisture: how far a day lies from the days around it, or from its time of year.

A seasonal cycle that two series share raises their correlation though neither sees the other's rains, so
validation shows R of anomalies beside that of the values. Conventions are those of QA4SM and of pytesmo
(``pytesmo.time_series.anomaly``): a centred window of 35 days, or a climatology by day of year, smoothed
twice; a window of fewer than five days has no mean, as in Albergel et al. 2012
(doi:10.1016/j.rse.2011.11.017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_DAYS = 35  # of the moving mean, and of the climatology's; pytesmo's default, QA4SM's choice
SMOOTHING_DAYS = 5  # of the series before days of year are averaged; pytesmo's default
LEAST_DAYS = 5  # with a value that a 35-day window needs; Albergel et al. 2012
LEAST_YEARS = 3  # that a climatology needs: of fewer, a year is mostly held against itself
YEAR = 366  # days of year count as in a leap year, so that 1 March is always the 61st

Days = NDArray[np.datetime64]
Floats = NDArray[np.float64]
Numbers = NDArray[np.integer[Any]]


def moving_anomalies(
    days: Days, values: Floats, *, window: int = WINDOW_DAYS, least: int = LEAST_DAYS
) -> Floats:
    """Each value less the mean of the window of days around it.

    Args:
        days: of the rows, each day once, in any order, shape (n,).
        values: series in columns, NaN where missing, shape (n, k) or (n,).
        window: days of the centred window, an odd number; at the ends of the record it is cut off.
        least: values that a window needs.

    Returns:
        Of the same shape and unit; NaN where the value is missing or its window has fewer than ``least``
        values. A value that is missing takes no part in any mean.
    """
    place, dense = _daily(days, values)
    anomalies: Floats = (dense - _moving_mean(dense, window, least))[place]
    return anomalies.reshape(values.shape)


def climatology(days: Days, values: Floats, *, years: tuple[int, int] | None = None) -> Floats:
    """The mean of each day of year, of the smoothed series, smoothed itself over the turn of the year.

    Args:
        days: of the rows, each day once, in any order, shape (n,).
        values: series in columns, NaN where missing, shape (n, k) or (n,).
        years: the first and the last calendar year it is made of; all of them if None.

    Returns:
        Shape (366, k), row 59 being 29 February. The series is smoothed over 5 days, which fills gaps of up
        to 4, days of year are averaged over the years, and the result is smoothed over 35 days around the
        year. NaN where there is no value within both windows.
    """
    if years is not None:
        year = days.astype("datetime64[Y]").astype(np.int64) + 1970
        kept = (years[0] <= year) & (year <= years[1])
        days, values = days[kept], values[kept]
    columns = values.reshape(len(days), -1)
    if not len(days):
        return np.full((YEAR, columns.shape[1]), np.nan)
    _, dense = _daily(days, columns)
    smooth = _moving_mean(dense, SMOOTHING_DAYS, 1)
    number = day_of_year(np.arange(len(dense)) + days.astype("datetime64[D]").min())
    known = np.isfinite(smooth)
    sums, counts = (np.zeros((YEAR, columns.shape[1])) for _ in range(2))
    np.add.at(sums, number - 1, np.where(known, smooth, 0.0))
    np.add.at(counts, number - 1, known)
    cycle = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    around = np.concatenate([cycle[-WINDOW_DAYS:], cycle, cycle[:WINDOW_DAYS]])
    return _moving_mean(around, WINDOW_DAYS, 1)[WINDOW_DAYS:-WINDOW_DAYS]


def climatology_anomalies(days: Days, values: Floats, *, years: tuple[int, int] | None = None) -> Floats:
    """Each value less the climatology of its day of year.

    Args:
        days: of the rows, each day once, in any order, shape (n,).
        values: series in columns, NaN where missing, shape (n, k) or (n,).
        years: that the climatology is made of; all of them if None.

    Returns:
        Of the same shape and unit; NaN where the value or the climatology of its day is missing.
    """
    columns = values.reshape(len(days), -1)
    anomalies: Floats = columns - climatology(days, columns, years=years)[day_of_year(days) - 1]
    return anomalies.reshape(values.shape)


def whole_years(days: Days) -> int:
    """How often the record comes round: the largest number of years in which a day of year has a value."""
    return int(np.bincount(day_of_year(days)).max()) if len(days) else 0


def day_of_year(days: Days) -> Numbers:
    """Days of year from 1 to 366, 1 March being the 61st in every year."""
    years = days.astype("datetime64[Y]")
    number = (days.astype("datetime64[D]") - years.astype("datetime64[D]")).astype(np.int64) + 1
    next_year = (years + 1).astype("datetime64[D]")
    leap = (next_year - years.astype("datetime64[D]")).astype(np.int64) == YEAR
    found: Numbers = number + (~leap & (number > 59))
    return found


def _daily(days: Days, values: Floats) -> tuple[Numbers, Floats]:
    """Where each row stands in a table of every day from the first to the last, and that table."""
    columns = values.reshape(len(days), -1)
    if not len(days):
        return np.zeros(0, dtype=np.int64), columns
    place = (days.astype("datetime64[D]") - days.astype("datetime64[D]").min()).astype(np.int64)
    dense = np.full((int(place.max()) + 1, columns.shape[1]), np.nan)
    dense[place] = columns
    return place, dense


def _moving_mean(dense: Floats, window: int, least: int) -> Floats:
    """Mean of the values within half a window on both sides; NaN of fewer than ``least``."""
    half = window // 2
    known = np.isfinite(dense)
    level = np.nanmean(dense, axis=0) if known.any(axis=0).all() else np.zeros(dense.shape[1])
    # Sums are differences of running sums, which lose digits where the level is far from 0.
    filled = np.where(known, dense - level, 0.0)
    sums, counts = (np.pad(each.cumsum(axis=0), ((1, 0), (0, 0))) for each in (filled, known))
    ends = np.arange(len(dense))
    first, last = np.maximum(ends - half, 0), np.minimum(ends + half + 1, len(dense))
    number = counts[last] - counts[first]
    mean = level + (sums[last] - sums[first]) / np.maximum(number, 1)
    return np.where(number >= least, mean, np.nan)
