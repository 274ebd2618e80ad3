"""Medians of values that stations share: of all values, of the stations, and their intervals.

Events at one station hang together, in their soil, their probe and their weather, so whole stations are drawn
with replacement, each with all it has (the cluster bootstrap; the blocks of ``pipeline.scores.stations``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
DRAWN_AT_ONCE = 4_000_000  # weights held in memory, 32 MB


@dataclass(frozen=True)
class Draws:
    """How intervals are drawn: their confidence, the number of draws, and the seed."""

    confidence: float = 0.95
    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Median:
    """A median and its percentile interval; what is undefined is NaN, with the reason.

    Attributes:
        n: values.
        stations: that they are of.
        value: the median of all values.
        lower: end of its interval.
        upper: the other end.
        reason: why a number is missing.
    """

    n: int
    stations: int
    value: float
    lower: float
    upper: float
    reason: str = ""

    @property
    def apart(self) -> bool:
        """Whether the interval exists and excludes 0."""
        return self.lower > 0 or self.upper < 0


def median(values: Values, stations: NDArray[np.str_] | NDArray[np.intp], how: Draws) -> Median:
    """The median of all finite values; its interval draws whole stations.

    Args:
        values: shape (n,), NaN where undefined.
        stations: of each value, or numbers of whatever else hangs together.
        how: the interval is drawn.

    Returns:
        Without an interval where the extremes of so few stations do not hold the median of the population
        with the confidence asked, 1 - 2^(1-n): below 6 stations at 95 %.
    """
    known = np.isfinite(values)
    order = np.argsort(values[known], kind="stable")
    ranked = values[known][order]
    names, codes = np.unique(stations[known], return_inverse=True)
    n, count, nan = len(ranked), len(names), math.nan
    if not n:
        return Median(0, 0, nan, nan, nan, "no value")
    centre = float(np.median(ranked))
    if 1 - 2.0 ** (1 - count) < how.confidence:
        several = f"{count} station{'s are' if count > 1 else ' is'}"
        return Median(n, count, centre, nan, nan, f"{several} too few for an interval")
    rng = np.random.default_rng(how.seed)
    shares = np.full(count, 1 / count)
    at_once = max(1, DRAWN_AT_ONCE // n)
    drawn = []
    for done in range(0, how.draws, at_once):
        times = rng.multinomial(count, shares, size=min(at_once, how.draws - done))
        drawn.append(_weighted(ranked, times[:, codes[order]]))
    tail = (1 - how.confidence) / 2
    lower, upper = (float(end) for end in np.quantile(np.concatenate(drawn), (tail, 1 - tail)))
    return Median(n, count, centre, lower, upper)


def median_of_stations(values: Values, stations: NDArray[np.str_], how: Draws) -> Median:
    """The median over stations of their own medians; ``n`` counts the stations."""
    known = np.isfinite(values)
    names = np.unique(stations[known])
    own = np.array([np.median(values[known & (stations == name)]) for name in names], dtype=np.float64)
    return median(own, names, how)


def _weighted(ranked: Values, times: NDArray[np.int64]) -> Values:
    """Median of each draw, in which every ranked value occurs so many times."""
    reached = times.cumsum(axis=1)
    of = reached[:, -1]
    middle = [(reached <= rank[:, None]).sum(axis=1) for rank in ((of - 1) // 2, of // 2)]
    return np.asarray((ranked[middle[0]] + ranked[middle[1]]) / 2)
