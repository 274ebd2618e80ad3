"""Rain events in a daily series, how soil moisture changes with each, and how fast it dries afterwards.

An event is a spell of rain with at least one day of more than 10 mm; what soil moisture does is read from the
last day before it to the days after, until it rains again, and the dry-down is the exponential of McColl et
al. 2017 (doi:10.1002/2017GL072819). Xu et al. 2024, section 4.2, show such events in figure 8, by eye alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
SHORTEST_SCALE = 0.5  # days; daily values cannot tell shorter ones apart


@dataclass(frozen=True)
class Rules:
    """What counts as an event, as a change and as a dry-down.

    Attributes:
        daily_mm: an event has a day with more than this.
        total_mm: or, where given, more than this altogether.
        wet_mm: a day with less than this is dry.
        dry_days: so many dry days part two events; fewer belong to one.
        before_days: the value before is that of the last of so many days before the event.
        after_days: the days after its end that the change is read from.
        missing_days: of the event and the days after it, that may lack a value.
        fewest_fitted: rain-free days that a dry-down needs.
        longest_fitted: rain-free days that are fitted at most.
        least_r2: a worse fit does not count.
        longest_scale: as a multiple of the days fitted; a longer time scale cannot be told from a line.
    """

    daily_mm: float = 10.0
    total_mm: float | None = None
    wet_mm: float = 1.0
    dry_days: int = 2
    before_days: int = 2
    after_days: int = 3
    missing_days: int = 1
    fewest_fitted: int = 6
    longest_fitted: int = 20
    least_r2: float = 0.7
    longest_scale: float = 2.0

    def sentence(self) -> str:
        """What an event is."""
        total = "" if self.total_mm is None else f" or {self.total_mm:g} mm altogether"
        return (
            f"more than {self.daily_mm:g} mm in a day{total}, parted from other rain by {self.dry_days} days "
            f"of less than {self.wet_mm:g} mm"
        )


@dataclass(frozen=True)
class Event:
    """A spell of rain, by positions in the daily series.

    Attributes:
        start: its first wet day.
        heaviest: the day with most rain.
        end: its last wet day.
        last: the last day that is known to be dry after it.
        total_mm: rain from start to end.
        largest_mm: rain of the heaviest day.
        known_before: whether the ``dry_days`` before it are in the series.
    """

    start: int
    heaviest: int
    end: int
    last: int
    total_mm: float
    largest_mm: float
    known_before: bool


@dataclass(frozen=True)
class Change:
    """What one series did in an event.

    Attributes:
        before: the last value before it, m³/m³.
        change: mean of the days after its end, less ``before``, m³/m³; noise does not bias it.
        rise: the highest value from its start to the days after, less ``before``, m³/m³; noise raises it.
        lag: days from the heaviest rain to that value; NaN where nothing rose.
    """

    before: float
    change: float
    rise: float
    lag: float


@dataclass(frozen=True)
class DryDown:
    """The exponential fitted to the days after an event.

    Attributes:
        scale: days in which the distance to the floor falls to 1/e; NaN where the fit does not count.
        r2: share of the variance that the best exponential explains.
        days: that it was fitted to.
        reason: why it does not count; empty where it does.
    """

    scale: float
    r2: float
    days: int
    reason: str


def events(rain: Values, rules: Rules) -> Iterator[Event]:
    """The events of a series, in order.

    Args:
        rain: mm of each day, consecutive days, NaN where unknown; an unknown day ends a spell.
        rules: what counts.
    """
    wet = np.flatnonzero(rain >= rules.wet_mm)
    unknown = np.isnan(rain)
    parted: list[bool] = [
        bool(later - earlier > rules.dry_days) or bool(unknown[earlier:later].any())
        for earlier, later in pairwise(wet)
    ]
    for spell in np.split(wet, np.flatnonzero(np.array(parted)) + 1):
        if not len(spell):
            continue
        start, end = int(spell[0]), int(spell[-1])
        amounts = rain[start : end + 1]
        total, largest = float(amounts.sum()), float(amounts.max())
        if largest > rules.daily_mm or (rules.total_mm is not None and total > rules.total_mm):
            after = rain[end + 1 :]
            wet_again = np.flatnonzero(np.isnan(after) | (after >= rules.wet_mm))
            last = end + (int(wet_again[0]) if len(wet_again) else len(after))
            before = rain[max(0, start - rules.dry_days) : start]
            known = len(before) == rules.dry_days and not np.isnan(before).any()
            yield Event(start, start + int(amounts.argmax()), end, last, total, largest, known)


def unusable(event: Event, common: Mask, rules: Rules) -> str:
    """Why the change in an event cannot be read; empty where it can.

    Args:
        event: of the series.
        common: days on which every series has a value.
        rules: what is needed.
    """
    if not event.known_before:
        return "rain of the days before is unknown"
    if event.last - event.end < rules.dry_days:
        return "rain of the days after is unknown"
    if not common[max(0, event.start - rules.before_days) : event.start].any():
        return "no value before"
    last = _last_read(event, rules)
    if not common[event.end + 1 : last + 1].any():
        return "no value after"
    if (~common[event.start : last + 1]).sum() > rules.missing_days:
        return "too many days without values"
    return ""


def change(event: Event, values: Values, common: Mask, rules: Rules) -> Change:
    """How a series changes in a usable event.

    Args:
        event: of the series.
        values: of each day.
        common: the days that are read.
        rules: which days these are.
    """
    earlier = np.flatnonzero(common[max(0, event.start - rules.before_days) : event.start])
    before = float(values[max(0, event.start - rules.before_days) + earlier[-1]])
    last = _last_read(event, rules)
    after = values[event.end + 1 : last + 1][common[event.end + 1 : last + 1]]
    days = event.start + np.flatnonzero(common[event.start : last + 1])
    peak = int(days[values[days].argmax()])
    rise = float(values[peak]) - before
    lag = float(peak - event.heaviest) if rise > 0 else math.nan
    return Change(before, float(after.mean()) - before, rise, lag)


def dry_down(event: Event, values: Values, common: Mask, rules: Rules) -> DryDown:
    """How fast a series dries in the rain-free days after an event.

    The curve is floor + height · exp(-t / scale). For a given scale floor and height are a straight line's,
    so the least squares are sought over the scale alone, from half a day to ten times the days fitted.

    Args:
        event: of the series.
        values: of each day.
        common: the days that are fitted.
        rules: when a fit counts: days enough, a falling curve, R² and a scale that the days can tell.
    """
    stop = min(event.last, event.end + rules.longest_fitted)
    days = np.flatnonzero(common[event.end + 1 : stop + 1]).astype(np.float64)
    if len(days) < rules.fewest_fitted:
        return DryDown(math.nan, math.nan, len(days), f"fewer than {rules.fewest_fitted} rain-free days")
    fitted = values[event.end + 1 : stop + 1][days.astype(np.intp)]
    anomalies = fitted - fitted.mean()
    variance = float(anomalies @ anomalies)
    length = float(days[-1] - days[0])
    # Rounding leaves a constant series of 0.3 a sum of squares near 1e-31.
    if variance < len(days) * 1e-16 or float(anomalies @ (days - days.mean())) >= 0:
        return DryDown(math.nan, math.nan, len(days), "not decreasing")

    def unexplained(log_scale: float) -> float:
        curve = np.exp(-days / math.exp(log_scale))
        curve -= curve.mean()
        # A rising curve explains nothing of drying.
        return 1 - max(0.0, float(curve @ anomalies)) ** 2 / (float(curve @ curve) * variance)

    bounds = math.log(SHORTEST_SCALE), math.log(10 * length)
    found = minimize_scalar(unexplained, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    scale, r2 = math.exp(found.x), 1 - float(found.fun)
    reason = ""
    if r2 < rules.least_r2:
        reason = f"R² below {rules.least_r2:g}"
    elif scale > rules.longest_scale * length:
        reason = f"time scale over {rules.longest_scale:g} times the days fitted"
    elif scale < SHORTEST_SCALE * 1.01:
        reason = f"time scale below {SHORTEST_SCALE:g} days"
    return DryDown(math.nan if reason else scale, r2, len(days), reason)


def by_product(
    event: Event, series: Mapping[str, Values], common: Mask, rules: Rules
) -> dict[str, tuple[Change, DryDown]]:
    """Change and dry-down of every series in one event, on the same days."""
    return {
        name: (change(event, values, common, rules), dry_down(event, values, common, rules))
        for name, values in series.items()
    }


def _last_read(event: Event, rules: Rules) -> int:
    """The last day that a change is read from."""
    return min(event.last, event.end + rules.after_days)
