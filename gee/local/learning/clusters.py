"""Clusters of rows: k-means, and how many clusters there should be.

Earth Engine clusters with Weka, whose random numbers and details are not documented there. This is the
same family of methods, deterministic by the seed: inputs scaled to the range of the training rows (as
Weka's distances are documented to do), centres chosen and moved until no row changes its cluster. The
numbers of the clusters are not Weka's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.learning.trees import Rows

MAX_ITERATIONS = 500  # Weka's default where Earth Engine documents none
_BLOCK = 2**20  # distances computed together

Centres = NDArray[np.float64]


def _euclidean(rows: Rows, centres: Centres) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ((rows[:, None, :] - centres) ** 2).sum(axis=2)
    return found


def _manhattan(rows: Rows, centres: Centres) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs(rows[:, None, :] - centres).sum(axis=2)
    return found


def _chebyshev(rows: Rows, centres: Centres) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs(rows[:, None, :] - centres).max(axis=2)
    return found


@dataclass(frozen=True)
class Metric:
    """A distance, squared where it is Euclidean, and the centre of rows under it."""

    distances: Callable[[Rows, Centres], NDArray[np.float64]]
    centre: Callable[..., NDArray[np.float64]]

    def nearest(self, rows: Rows, centres: Centres) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The nearest centre of each row, the first of equals, and its distance."""
        which, far = np.empty(len(rows), np.intp), np.empty(len(rows))
        step = max(1, _BLOCK // centres.size)
        for start in range(0, len(rows), step):
            here = np.s_[start : start + step]
            found = self.distances(rows[here], centres)
            which[here] = found.argmin(axis=1)
            far[here] = found.min(axis=1)
        return which, far


METRICS = {
    "Euclidean": Metric(_euclidean, np.mean),
    "Manhattan": Metric(_manhattan, np.median),
    "Chebyshev": Metric(_chebyshev, np.mean),
}
"""By Earth Engine's names; the centre of Manhattan distances is the median, as documented."""


def metric_of(name: str, allowed: tuple[str, ...] = ("Euclidean", "Manhattan")) -> Metric:
    """A metric by name.

    Raises:
        EngineError: there is none of the name.
    """
    if name not in allowed:
        raise EngineError(f"Unknown distance function '{name}'; must be one of {', '.join(allowed)}.")
    return METRICS[name]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centres in scaled inputs.

    Args:
        low, span: what an input is reduced and divided by before distances are taken.
        centres: (clusters, inputs).
        metric: of the distances.
    """

    low: NDArray[np.float64]
    span: NDArray[np.float64]
    centres: Centres
    metric: Metric

    def __call__(self, rows: Rows) -> NDArray[np.intp]:
        """The number of each row's cluster."""
        return self.metric.nearest((rows - self.low) / self.span, self.centres)[0]


def scaling(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest of each input, and its range; 1 where it does not vary."""
    low = rows.min(axis=0)
    span = rows.max(axis=0) - low
    return low, np.where(span > 0, span, 1.0)


def at_random(rows: Rows, count: int, metric: Metric, generator: np.random.Generator) -> Centres:
    """Different rows."""
    return generator.permutation(np.unique(rows, axis=0))[:count]


def plus_plus(rows: Rows, count: int, metric: Metric, generator: np.random.Generator) -> Centres:
    """Rows drawn by their distance from those drawn before: Arthur and Vassilvitskii 2007."""

    def draw(far: NDArray[np.float64]) -> int:
        return int(generator.choice(len(rows), p=far / far.sum()))

    return _one_by_one(rows, count, metric, generator, draw)


def farthest_first(rows: Rows, count: int, metric: Metric, generator: np.random.Generator) -> Centres:
    """Rows farthest from those chosen before."""
    return _one_by_one(rows, count, metric, generator, lambda far: int(far.argmax()))


def _one_by_one(
    rows: Rows,
    count: int,
    metric: Metric,
    generator: np.random.Generator,
    choose: Callable[[NDArray[np.float64]], int],
) -> Centres:
    chosen = [rows[generator.integers(len(rows))]]
    far = metric.distances(rows, chosen[0][None])[:, 0]
    while len(chosen) < count and far.max() > 0:
        chosen.append(rows[choose(far)])
        far = np.minimum(far, metric.distances(rows, chosen[-1][None])[:, 0])
    return np.array(chosen)


STARTS: dict[int, Callable[[Rows, int, Metric, np.random.Generator], Centres]] = {
    0: at_random,
    1: plus_plus,
    3: farthest_first,
}
"""By Earth Engine's number of the initialisation; 2, canopies, is not supported."""


def moved(rows: Rows, centres: Centres, metric: Metric, iterations: int) -> Centres:
    """Centres moved to the middle of the rows nearest to them, until none changes its cluster.

    A centre that loses all its rows stays where it is.
    """
    before: NDArray[np.intp] | None = None
    centres = centres.copy()
    for _ in range(iterations):
        which, _far = metric.nearest(rows, centres)
        if before is not None and np.array_equal(which, before):
            break
        for number in np.unique(which):
            centres[number] = metric.centre(rows[which == number], axis=0)
        before = which
    return centres


def k_means(
    rows: Rows, count: int, start: int, metric: Metric, iterations: int | None, seed: int
) -> Clusters:
    """So many clusters, or as many as there are different rows.

    Raises:
        EngineError: the number or the initialisation is not possible.
    """
    if count < 1:
        raise EngineError(f"The number of clusters must be at least 1, got {count}.")
    if start not in STARTS:
        raise EngineError(
            "init 2 (canopy) is not supported by the local engine."
            if start == 2
            else f"Unknown initialisation {start}; must be from 0 to 3."
        )
    low, span = scaling(rows)
    scaled = (rows - low) / span
    first = STARTS[start](scaled, count, metric, np.random.default_rng(abs(seed)))
    return Clusters(low, span, moved(scaled, first, metric, iterations or MAX_ITERATIONS), metric)


def _spread(rows: Rows, centres: Centres) -> float:
    return float(METRICS["Euclidean"].nearest(rows, centres)[1].sum())


def calinski_harabasz(rows: Rows, clusters: Clusters) -> float:
    """How much farther apart the clusters are than their rows; more is better.

    The sum of squares between the clusters over that within them, each by its degrees of freedom.
    """
    which = clusters(rows)
    scaled = (rows - clusters.low) / clusters.span
    numbers = np.unique(which)
    within = sum(((scaled[which == k] - scaled[which == k].mean(axis=0)) ** 2).sum() for k in numbers)
    between = ((scaled - scaled.mean(axis=0)) ** 2).sum() - within
    free = len(rows) - numbers.size
    if numbers.size < 2 or free < 1:
        return -math.inf
    return math.inf if within == 0 else float(between / (numbers.size - 1) / (within / free))


def cascade(
    rows: Rows, low: int, high: int, restarts: int, start: int, metric: Metric, iterations: int | None
) -> Clusters:
    """The k-means of the best Calinski-Harabasz criterion, from ``low`` to ``high`` clusters.

    Raises:
        EngineError: the numbers make no range.
    """
    if not 2 <= low <= high or restarts < 1:
        raise EngineError(f"minClusters must be at least 2 and at most maxClusters, got {low} and {high}.")
    best, most = None, -math.inf
    for count in range(low, high + 1):
        for seed in range(restarts):
            found = k_means(rows, count, start, metric, iterations, seed)
            score = calinski_harabasz(rows, found)
            if best is None or score > most:
                best, most = found, score
    if best is None:
        raise EngineError("No valid training data were found.")
    return best


def information(rows: Rows, centres: Centres) -> float:
    """The Bayesian information criterion of Pelleg and Moore 2000 of spherical clusters; more is better."""
    count, inputs = rows.shape
    which, far = METRICS["Euclidean"].nearest(rows, centres)
    free = count - len(centres)
    variance = far.sum() / (inputs * free) if free > 0 else 0.0
    if variance <= 0:
        return math.inf
    sizes = np.bincount(which, minlength=len(centres))
    sizes = sizes[sizes > 0]
    likelihood = (
        (sizes * np.log(sizes / count)).sum()
        - count * inputs / 2 * math.log(2 * math.pi * variance)
        - inputs * free / 2
    )
    return float(likelihood - len(centres) * (inputs + 1) / 2 * math.log(count))


def x_means(
    rows: Rows,
    low: int,
    high: int,
    rounds: int,
    iterations: int,
    for_children: int,
    metric: Metric,
    seed: int,
) -> Clusters:
    """From ``low`` clusters on, each is split in two where its rows are likelier so, up to ``high``.

    Raises:
        EngineError: the numbers make no range.
    """
    if not 1 <= low <= high:
        raise EngineError(f"minClusters must be at least 1 and at most maxClusters, got {low} and {high}.")
    clusters = k_means(rows, low, 0, metric, iterations, seed)
    scaled = (rows - clusters.low) / clusters.span
    centres = clusters.centres
    generator = np.random.default_rng(abs(seed))
    for _ in range(rounds):
        which = metric.nearest(scaled, centres)[0]
        kept: list[NDArray[np.float64]] = []
        for number, centre in enumerate(centres):
            own = scaled[which == number]
            room = high - len(kept) - (len(centres) - number - 1)
            if room >= 2 and len(own) > 2:
                pair = moved(own, plus_plus(own, 2, metric, generator), metric, for_children)
                if len(pair) == 2 and information(own, pair) > information(own, centre[None]):
                    kept.extend(pair)
                    continue
            kept.append(centre)
        if len(kept) == len(centres):
            break
        centres = moved(scaled, np.array(kept), metric, iterations)
    return Clusters(clusters.low, clusters.span, centres, metric)
