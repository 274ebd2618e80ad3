"""R, RMSE, bias and ubRMSE of a soil moisture series, each with the interval it can honestly claim.

Xu et al. 2024 section 3.4 (equations 5-8) defines the four metrics with population moments and prints
them without intervals, though the gain over raw SMAP L4 is 0.008 in mean R from some 21 days a station.
Analytic intervals are those pytesmo prints (Gilleland 2010, doi:10.5065/D6WD3XJM; Bonett and Wright 2000)
and take rows for independent; daily soil moisture is not, so whoever can name blocks of rows that hang
together (months, spatial blocks) gets a bootstrap of whole blocks instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from models.errors import SampleError

Metric = Literal["r", "rmse", "ubrmse", "abs_bias"]
Floats = NDArray[np.float64]
Interval = tuple[float, float]

MIN_BLOCKS = 5  # with 4, the 95 % percentile asked for (1e-4, widened) is rarer than the rarest draw (1/256)
PAIRS_NEEDED = {"r": 3, "rmse": 1, "bias": 1, "abs_bias": 1, "ubrmse": 2}
INTERVAL_PAIRS = {"r": 4, "bias": 2, "ubrmse": 2}  # Fisher's z has n - 3, the others n - 1
CONSTANT = 1e-13  # a spread below this part of the largest value is rounding noise
CANCELLED = 1e-13  # a variance below this part of the mean square is what subtraction left of a constant draw
DRAWS_AT_ONCE = 4_000_000  # block counts held in memory, 32 MB
NO_INTERVAL = (nan, nan)


@dataclass(frozen=True)
class Estimate:
    """A metric and its confidence interval; whatever is NaN is explained in ``reason``.

    The one silent NaN is the interval of RMSE where no blocks were given: it has no analytic form.
    """

    value: float
    lower: float = nan
    upper: float = nan
    reason: str = ""


@dataclass(frozen=True)
class Scores:
    """The four metrics of ``n`` pairs; m³/m³ except ``r``, which has no unit."""

    n: int
    r: Estimate
    rmse: Estimate
    bias: Estimate
    ubrmse: Estimate

    def as_dict(self) -> dict[str, float | str]:
        """One flat row: ``n``; each metric, its ``_lower`` and its ``_upper``; the ``reason`` of any NaN."""
        row: dict[str, float | str] = {"n": self.n}
        estimates = {"r": self.r, "rmse": self.rmse, "bias": self.bias, "ubrmse": self.ubrmse}
        for name, estimate in estimates.items():
            row |= {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
        row["reason"] = "; ".join(dict.fromkeys(e.reason for e in estimates.values() if e.reason))
        return row


@dataclass(frozen=True)
class Difference:
    """A metric of one product less the same metric of another, on the same ``n`` rows."""

    metric: str
    n: int
    value: float
    lower: float
    upper: float
    reason: str

    @property
    def significant(self) -> bool:
        """Whether the interval exists and excludes 0."""
        return self.lower > 0 or self.upper < 0


def score(
    predicted: ArrayLike,
    reference: ArrayLike,
    *,
    blocks: ArrayLike | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Scores:
    """R, RMSE, bias and ubRMSE of the pairs finite on both sides, with confidence intervals.

    Args:
        predicted: the series judged, m³/m³, shape (n,).
        reference: what it is judged by, same unit and shape; bias = mean(predicted) - mean(reference).
        blocks: label of the block each row belongs to, shape (n,); rows of different blocks are taken
            for independent, rows of one block are not. All four intervals then come from the block
            bootstrap of ``paired_difference``. Without blocks every row counts as independent: R, bias
            and ubRMSE get their analytic intervals, too narrow for autocorrelated rows, RMSE has none.
        confidence: probability that an interval covers the truth.
        draws: number of bootstrap draws.
        seed: of the bootstrap.

    Returns:
        What is undefined (too few pairs, a constant series, too few blocks) is NaN with a reason.

    Raises:
        SampleError: the arrays differ in length.
    """
    tail = _tail(confidence)
    (p, o), labels = _finite_rows([predicted, reference], blocks)
    pairs = _Pairs.of(p, o, labels)
    values = {name: float(value) for name, value in pairs.metrics(pairs.sums.sum(axis=0)).items()}
    if blocks is None:
        intervals = _analytic_intervals(values, pairs.n, tail)
    elif len(pairs.sums) < MIN_BLOCKS:
        intervals = {}
    else:
        drawn = pairs.metrics(_draw_blocks(pairs.sums, draws, seed))
        defined = (name for name in values if not pairs.why_undefined(name))
        intervals = {name: _percentiles(drawn[name], len(pairs.sums), tail) for name in defined}

    def estimate(name: str) -> Estimate:
        reason = pairs.why_undefined(name)
        if reason:
            return Estimate(nan, reason=reason)
        lower, upper = intervals.get(name, NO_INTERVAL)
        if isnan(lower) and blocks is not None:
            reason = _too_few_blocks(len(pairs.sums))
        elif isnan(lower) and name in INTERVAL_PAIRS:
            reason = f"the interval of {name} needs {INTERVAL_PAIRS[name]} pairs, got {pairs.n}"
        return Estimate(values[name], lower, upper, reason)

    return Scores(pairs.n, estimate("r"), estimate("rmse"), estimate("bias"), estimate("ubrmse"))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    reference: ArrayLike,
    *,
    blocks: ArrayLike,
    metric: Metric,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Difference:
    """metric(first) - metric(second) against one reference, with a block bootstrap interval.

    Whole blocks are drawn with replacement, the same ones for both products, so what they share (the
    weather of a month, the faults of a sensor) cancels and rows that hang together stay together. The
    percentiles are widened for few blocks (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).

    Args:
        first: a product, m³/m³, shape (n,).
        second: the product it is compared with, same shape.
        reference: what both are judged by, same shape. Only rows where all three are finite count.
        blocks: label of the block each row belongs to, shape (n,); 5 blocks or more.
        metric: "r", "rmse", "ubrmse", or "abs_bias", the absolute bias.
        confidence: probability that the interval covers the truth.
        draws: number of bootstrap draws.
        seed: of the bootstrap.

    Returns:
        The difference; NaN with a reason where the metric is undefined, its interval NaN with a reason
        below 5 blocks.

    Raises:
        SampleError: the arrays differ in length.
    """
    tail = _tail(confidence)
    (a, b, o), labels = _finite_rows([first, second, reference], blocks)
    products = [_Pairs.of(a, o, labels), _Pairs.of(b, o, labels)]
    n, n_blocks = products[0].n, len(products[0].sums)
    sums = np.hstack([product.sums for product in products])

    def difference(sums: Floats) -> Floats:
        one, two = np.split(sums, 2, axis=-1)
        return products[0].metrics(one)[metric] - products[1].metrics(two)[metric]

    reason = next(filter(None, (product.why_undefined(metric) for product in products)), "")
    if reason:
        return Difference(metric, n, nan, nan, nan, reason)
    value = float(difference(sums.sum(axis=0)))
    if n_blocks < MIN_BLOCKS:
        return Difference(metric, n, value, nan, nan, _too_few_blocks(n_blocks))
    lower, upper = _percentiles(difference(_draw_blocks(sums, draws, seed)), n_blocks, tail)
    return Difference(metric, n, value, lower, upper, "")


class _Pairs(NamedTuple):
    """Pairs reduced to what the metrics need, block by block, so that a bootstrap never touches rows.

    ``sums`` has one line per block: n, Σp, Σo, Σp², Σo², Σpo, Σ(p-o)², with p, o and p-o each taken less
    its overall mean, so that neither a large offset nor a small error drowns in rounding.
    """

    sums: Floats
    n: int
    bias: float
    noise: tuple[float, float]  # variances of p and o up to which the series counts as constant

    @classmethod
    def of(cls, predicted: Floats, reference: Floats, labels: NDArray[np.intp]) -> _Pairs:
        n = len(labels)
        if n == 0:
            return cls(np.zeros((0, 7)), 0, nan, (nan, nan))
        error = predicted - reference
        p, o, d = (series - series.mean() for series in (predicted, reference, error))
        terms = (None, p, o, p * p, o * o, p * o, d * d)
        sums = np.column_stack([np.bincount(labels, weights=term) for term in terms]).astype(np.float64)
        largest = (float(np.abs(series).max()) for series in (predicted, reference))
        noise_p, noise_o = ((CONSTANT * value) ** 2 for value in largest)
        return cls(sums, n, float(error.mean()), (noise_p, noise_o))

    def metrics(self, sums: Floats) -> dict[str, Floats]:
        """The metrics of sums (..., 7), each of shape (...); an undefined R is NaN."""
        count, *totals = np.moveaxis(sums, -1, 0)
        p, o, pp, oo, po, dd = (total / np.maximum(count, 1) for total in totals)
        variances = (pp - p * p, oo - o * o)
        rounding = (np.maximum(self.noise[0], CANCELLED * pp), np.maximum(self.noise[1], CANCELLED * oo))
        defined = (variances[0] > rounding[0]) & (variances[1] > rounding[1])
        spreads = [np.sqrt(np.where(defined, variance, 1.0)) for variance in variances]
        r = np.clip((po - p * o) / spreads[0] / spreads[1], -1.0, 1.0)
        bias = self.bias + p - o
        mean_square = np.maximum(dd - (p - o) ** 2, 0.0)
        return {
            "r": np.where(defined, r, nan),
            "rmse": np.sqrt(mean_square + bias * bias),
            "bias": bias,
            "abs_bias": np.abs(bias),
            "ubrmse": np.sqrt(mean_square),
        }

    def why_undefined(self, metric: str) -> str:
        """Why the metric of all pairs is NaN; empty where it is not."""
        if self.n == 0:
            return "no row has a finite value on every side"
        if self.n < PAIRS_NEEDED[metric]:
            return f"{metric} needs {PAIRS_NEEDED[metric]} pairs, got {self.n}"
        variances = self.sums[:, 3:5].sum(axis=0) / self.n
        constant = [
            name
            for name, variance, noise in zip(("predicted", "reference"), variances, self.noise, strict=True)
            if variance <= noise
        ]
        return (
            f"r is undefined: constant {' and '.join(constant)} series" if constant and metric == "r" else ""
        )


def _tail(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, such as 0.95")
    return (1 - confidence) / 2


def _too_few_blocks(n_blocks: int) -> str:
    return f"a bootstrap interval needs {MIN_BLOCKS} blocks, got {n_blocks}"


def _finite_rows(series: list[ArrayLike], blocks: ArrayLike | None) -> tuple[list[Floats], NDArray[np.intp]]:
    """The rows where every series is finite, as float64, and the block number of each (0 without blocks)."""
    columns = [np.asarray(values, dtype=np.float64) for values in series]
    labels: NDArray[Any] = np.zeros(len(columns[0]), dtype=np.intp) if blocks is None else np.asarray(blocks)
    lengths = [len(column) for column in (*columns, labels)]
    if len(set(lengths)) > 1:
        raise SampleError(
            f"series and blocks have different lengths {lengths}; give one value per row in each"
        )
    finite = np.isfinite(columns).all(axis=0)
    return [column[finite] for column in columns], np.unique(labels[finite], return_inverse=True)[1]


def _analytic_intervals(values: Mapping[str, float], n: int, tail: float) -> dict[str, Interval]:
    """Fisher's z for R, Student's t for bias, chi² for ubRMSE, as in pytesmo's ``<metric>_ci`` functions."""
    intervals: dict[str, Interval] = {}
    if n >= INTERVAL_PAIRS["bias"]:
        reach = values["ubrmse"] / sqrt(n - 1) * stats.t.isf(tail, n - 1)
        intervals["bias"] = (values["bias"] - reach, values["bias"] + reach)
        lower, upper = (sqrt(n / stats.chi2.isf(p, n - 1)) for p in (tail, 1 - tail))
        intervals["ubrmse"] = (values["ubrmse"] * lower, values["ubrmse"] * upper)
    if n >= INTERVAL_PAIRS["r"]:
        with np.errstate(divide="ignore"):  # R = 1 lies at infinity, and tanh brings it back
            z = np.arctanh(values["r"])
        reach = stats.norm.isf(tail) / sqrt(n - 3)
        intervals["r"] = (float(np.tanh(z - reach)), float(np.tanh(z + reach)))
    return {name: (float(lower), float(upper)) for name, (lower, upper) in intervals.items()}


def _draw_blocks(sums: Floats, draws: int, seed: int) -> Floats:
    """Sums (draws, k) of as many blocks as there are, drawn with replacement from sums (blocks, k)."""
    rng = np.random.default_rng(seed)
    n_blocks = len(sums)
    at_once = max(1, DRAWS_AT_ONCE // n_blocks)
    shares = np.full(n_blocks, 1 / n_blocks)
    sizes = [min(at_once, draws - done) for done in range(0, draws, at_once)]
    return np.concatenate([rng.multinomial(n_blocks, shares, size=size) @ sums for size in sizes])


def _percentiles(drawn: Floats, n_blocks: int, tail: float) -> Interval:
    """Percentile interval, its tails moved out to those of Student's t with ``n_blocks`` - 1 degrees.

    Where 95 % is asked, plain percentiles of 7 months cover 86-89 % and these 92-96 %; of 5 months 84-87 %
    and 92-95 % (6,000 simulated studies whose errors hang together within a month).
    """
    wide = stats.norm.sf(sqrt(n_blocks / (n_blocks - 1)) * stats.t.isf(tail, n_blocks - 1))
    lower, upper = np.nanquantile(drawn, [wide, 1 - wide])
    return float(lower), float(upper)
