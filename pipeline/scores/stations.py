"""Scores of each station, and how they are spread over all stations, with intervals.

Days of one station hang together and stations differ, so nothing here treats pairs as independent: at a
station whole blocks of ``BLOCK_DAYS`` days are drawn, over stations whole stations. Targets: Xu et al.
2024 sections 3.4 and 4.2; protocol (medians over stations, identical pairs, differences): QA4SM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from models.anomalies import (
    LEAST_YEARS,
    climatology_anomalies,
    moving_anomalies,
    whole_years,
)
from models.metrics import ALL, Comparison, Difference, Estimate, Metric, compare
from pipeline.progress import Report
from pipeline.tables.titles import DOWNSCALED

BLOCK_DAYS = 30  # longer than surface soil moisture remembers, so that blocks are nearly independent
UBRMSE_TARGET = 0.04  # m³/m³, the SMAP requirement; Xu et al. 2024, 3.4
R_TARGET = 0.6  # "performed well"; Xu et al. 2024, 4.2
METRICS = ("r", "spearman", "bias", "rmse", "ubrmse", "r_anomaly", "r_climatology")
BETTER: dict[str, int] = {
    "r": 1, "spearman": 1, "rmse": -1, "ubrmse": -1, "abs_bias": -1, "r_anomaly": 1, "r_climatology": 1
}  # fmt: skip
"""Metrics in which two products are compared, and the sign of an improvement."""
VERDICTS = ("improved", "worsened", "undecided", "no_interval")
ABOUT = ("lon", "lat", "partition", "landcover", "network", "depth")  # what is known of a station

Blocks = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How one metric is spread over ``n`` stations; the interval is that of the median."""

    n: int
    median: float
    lower: float
    upper: float
    q25: float
    q75: float
    mean: float
    reason: str = ""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: their confidence, the number of draws, and the seed."""

    confidence: float = 0.95
    draws: int = 1000
    seed: int = 0

    def compare(
        self,
        series: Mapping[str, Floats],
        reference: Floats,
        blocks: Blocks,
        baseline: str | None,
        metrics: Sequence[Metric] = ALL,
    ) -> Comparison:
        """Scores of all products against in situ, their intervals over whole blocks."""
        return compare(series, reference, blocks=blocks, baseline=baseline, metrics=metrics, **asdict(self))

    def spread(self, values: pd.Series[float]) -> Spread:
        """Median, quartiles and mean of the finite values, with a percentile interval of the median.

        The interval is left out where even the smallest and the largest of n values do not hold the
        median of the population with the confidence asked, 1 - 2^(1-n): below 6 stations at 95 %.
        """
        known = np.sort(values.dropna().to_numpy(dtype=np.float64))
        n, nan = len(known), math.nan
        if n == 0:
            return Spread(0, nan, nan, nan, nan, nan, nan, "no station has this metric")
        q25, median, q75 = (float(q) for q in np.quantile(known, (0.25, 0.5, 0.75)))
        several = f"{n} stations are" if n > 1 else "1 station is"
        lower, upper, reason = nan, nan, f"{several} too few for an interval of the median"
        if 1 - 2.0 ** (1 - n) >= self.confidence:
            low, high = _middle_ranks(n, self.draws, self.seed)
            tail = (1 - self.confidence) / 2
            lower, upper = (float(q) for q in np.quantile((known[low] + known[high]) / 2, (tail, 1 - tail)))
            reason = ""
        return Spread(n, median, lower, upper, q25, q75, float(known.mean()), reason)

    def share(self, reached: pd.Series[bool]) -> dict[str, float]:
        """Count and share of stations that reach a target, with Wilson's interval of the share."""
        count, of = int(reached.sum()), len(reached)
        if of == 0:
            return {"count": 0, "of": 0, "share": math.nan, "lower": math.nan, "upper": math.nan}
        found = binomtest(count, of).proportion_ci(self.confidence, method="wilson")
        lower, upper = float(found.low), float(found.high)
        return {"count": count, "of": of, "share": count / of, "lower": lower, "upper": upper}


def station_scores(
    joined: pd.DataFrame,
    products: Sequence[str],
    minimum_pairs: int,
    bootstrap: Bootstrap,
    baseline: str | None = None,
    report: Report = lambda what, share: None,
) -> pd.DataFrame:
    """Score every station on the days where all products and the in-situ value are present.

    R of anomalies is taken on these days alone, so that the mean of a window or of a day of year is of the
    same days for every series.

    Args:
        joined: ``station, date, insitu`` and the products (m³/m³), sorted by date, and where known
            ``lon, lat, partition, landcover, network, depth``.
        products: columns of it.
        minimum_pairs: fewer give a row without numbers whose ``reason`` says so.
        bootstrap: how intervals are drawn.
        baseline: the product that the others are compared with, if any.
        report: told which station is scored and the share that is done.

    Returns:
        One row a station: ``station``, what is known of it, ``n, reason``; ``<product>_<metric>`` with
        ``_lower``, ``_upper``, and ``<product>_reason``; ``r_anomaly_reason`` and ``r_climatology_reason``;
        and ``<product>-<baseline>_<metric>``, product minus baseline (of the bias its absolute value), with
        ``_lower``, ``_upper``, ``_verdict``, ``_reason``.
    """
    table = []
    about = [name for name in ABOUT if name in joined]
    groups = joined.groupby("station", sort=True)
    for number, (name, rows) in enumerate(groups):
        pairs = rows.dropna(subset=[*products, "insitu"])
        row: dict[str, Any] = {"station": str(name)}
        row |= {key: next(iter(rows[key].dropna()), math.nan) for key in about}
        row |= {"n": len(pairs), "reason": ""}
        if len(pairs) < minimum_pairs:
            row["reason"] = f"{len(pairs)} pairs, fewer than {minimum_pairs}"
        else:
            row |= _numbers(pairs, products, minimum_pairs, bootstrap, baseline)
        table.append(row)
        report(f"stations: {name}", (number + 1) / len(groups))
    return pd.DataFrame(table)


def across_stations(
    scored: pd.DataFrame, products: Sequence[str], bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Spread over stations of each metric, and the shares of stations that reach the targets.

    A metric counts only where it is defined for every product, so that products are compared over the
    same stations: a saturated SMAP series has no R, and the others' R there is left out as well.

    Args:
        scored: rows of :func:`station_scores` that have numbers.
        products: as there.
        bootstrap: how intervals are drawn.

    Returns:
        For each product each of ``METRICS`` and ``abs_bias`` (a :class:`Spread` as a dict), ``r_above`` and
        ``ubrmse_below`` (counts and shares).
    """
    found: dict[str, dict[str, Any]] = {}
    for product in products:
        columns = {metric: _where_all_have(scored, metric, product, products) for metric in METRICS}
        columns["abs_bias"] = columns["bias"].abs()
        found[product] = {metric: asdict(bootstrap.spread(values)) for metric, values in columns.items()}
        found[product]["r_above"] = bootstrap.share(columns["r"] > R_TARGET)
        found[product]["ubrmse_below"] = bootstrap.share(columns["ubrmse"] < UBRMSE_TARGET)
    return found


def differences(
    scored: pd.DataFrame, products: Sequence[str], baseline: str, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """How each product differs from the baseline over stations, and the number of stations of each verdict.

    Args:
        scored: rows of :func:`station_scores` that have numbers.
        products: as there.
        baseline: as there.
        bootstrap: how intervals are drawn.

    Returns:
        For each other product each metric of ``BETTER``: a :class:`Spread` as a dict, and ``improved``,
        ``worsened``, ``undecided``, ``no_interval``.
    """
    found: dict[str, dict[str, Any]] = {}
    for product in products:
        if product == baseline:
            continue
        found[product] = {}
        for metric in BETTER:
            column = f"{product}-{baseline}_{metric}"
            verdicts = scored[f"{column}_verdict"]
            found[product][metric] = asdict(bootstrap.spread(scored[column])) | {
                verdict: int((verdicts == verdict).sum()) for verdict in VERDICTS
            }
    return found


def less_others(
    scored: pd.DataFrame, products: Sequence[str], baseline: str | None, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """How the downscaled map differs over stations from each product but the baseline.

    Args:
        scored: rows of :func:`station_scores` that have numbers.
        products: as there.
        baseline: as there.
        bootstrap: how intervals are drawn.

    Returns:
        For each of these products each metric of ``BETTER``, the map's minus the product's at the same
        stations: a :class:`Spread` as a dict.
    """

    def of(product: str, metric: str) -> pd.Series[float]:
        return scored[f"{product}_bias"].abs() if metric == "abs_bias" else scored[f"{product}_{metric}"]

    return {
        product: {
            metric: asdict(bootstrap.spread(of(DOWNSCALED, metric) - of(product, metric)))
            for metric in BETTER
        }
        for product in products
        if product not in (DOWNSCALED, baseline)
    }


def flat(scores: Mapping[Any, Estimate], n: int) -> dict[str, float | str]:
    """One row: ``n``; each metric, its ``_lower`` and its ``_upper``; the ``reason`` of any NaN."""
    row: dict[str, float | str] = {"n": n}
    for name, one in scores.items():
        row |= {name: one.value, f"{name}_lower": one.lower, f"{name}_upper": one.upper}
    row["reason"] = "; ".join(dict.fromkeys(one.reason for one in scores.values() if one.reason))
    return row


def typical_stations(scored: pd.DataFrame) -> dict[str, str]:
    """Stations to show as series -> why: highest, median and lowest R of the downscaled map, most pairs."""
    column = f"{DOWNSCALED}_r"
    ranked = scored.dropna(subset=column).sort_values([column, "station"])["station"].tolist()
    places = {"highest R": -1, "median R": len(ranked) // 2, "lowest R": 0} if ranked else {}
    picks = [(why, ranked[place]) for why, place in places.items()]
    picks.append(("most pairs", scored["station"].iloc[int(scored["n"].argmax())]))
    chosen: dict[str, str] = {}
    for why, station in picks:
        chosen[station] = f"{chosen[station]}, {why}" if station in chosen else why
    return chosen


def _numbers(
    pairs: pd.DataFrame,
    products: Sequence[str],
    minimum_pairs: int,
    bootstrap: Bootstrap,
    baseline: str | None,
) -> dict[str, Any]:
    days = pairs["date"].to_numpy().astype("datetime64[D]")
    values = pairs[[*products, "insitu"]].to_numpy(dtype=np.float64)
    blocks = ((days - days.min()).astype(np.int64) // BLOCK_DAYS).astype(np.intp)
    found = bootstrap.compare(_series(values, products), values[:, -1], blocks, baseline)
    row: dict[str, Any] = {}
    for product in products:
        told = flat({name: one for name, one in found.scores[product].items() if name in METRICS}, found.n)
        row |= {f"{product}_{key}": value for key, value in told.items() if key != "n"}
    for product, each in found.differences.items():
        for metric in (name for name in each if name in BETTER):
            row |= _difference(f"{product}-{baseline}_{metric}", each[metric], BETTER[metric])
    for kind, anomalies, reason in _anomalies(days, values, minimum_pairs):
        known = np.isfinite(anomalies).all(axis=1)
        found = bootstrap.compare(
            _series(anomalies[known], products), anomalies[known, -1], blocks[known], baseline, ("r",)
        )
        for product, scores in found.scores.items():
            one, column = scores["r"], f"{product}_{kind}"
            row |= {column: one.value, f"{column}_lower": one.lower, f"{column}_upper": one.upper}
        row[f"{kind}_reason"] = reason or found.scores[products[0]]["r"].reason
        for product, each in found.differences.items():
            row |= _difference(f"{product}-{baseline}_{kind}", each["r"], BETTER[kind])
    return row


def _anomalies(days: NDArray[np.datetime64], values: Floats, least: int) -> list[tuple[str, Floats, str]]:
    """Each kind of anomaly of all columns; none at all, with the reason, where a station cannot have it."""
    found = []
    nothing = np.full_like(values, np.nan)
    moving = moving_anomalies(days, values)
    count = int(np.isfinite(moving).all(axis=1).sum())
    short = f"{count} days have an anomaly, fewer than {least}"
    found.append(("r_anomaly", *((moving, "") if count >= least else (nothing, short))))
    years = whole_years(days)
    few = f"{years} year{'s' if years > 1 else ''}, fewer than the {LEAST_YEARS} of a climatology"
    yearly = (climatology_anomalies(days, values), "") if years >= LEAST_YEARS else (nothing, few)
    found.append(("r_climatology", *yearly))
    return found


def _series(values: Floats, products: Sequence[str]) -> dict[str, Floats]:
    return {name: values[:, place] for place, name in enumerate(products)}


def _difference(column: str, found: Difference, sign: int) -> dict[str, float | str]:
    return {
        column: found.value, f"{column}_lower": found.lower, f"{column}_upper": found.upper,
        f"{column}_verdict": _verdict(found, sign), f"{column}_reason": found.reason,
    }  # fmt: skip


def _verdict(difference: Difference, sign: int) -> str:
    """Whether the product is better or worse than the baseline beyond the interval of their difference."""
    if math.isnan(difference.lower):
        return "no_interval"
    if not difference.significant:
        return "undecided"
    return "improved" if sign * difference.lower > 0 else "worsened"


@lru_cache(maxsize=64)
def _middle_ranks(n: int, draws: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranks of the two middle values of as many of n sorted values as there are, drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(0, n, (draws, n))
    low, high = (n - 1) // 2, n // 2
    drawn.partition((low, high), axis=1)
    return drawn[:, low].copy(), drawn[:, high].copy()


def _where_all_have(
    scored: pd.DataFrame, metric: str, product: str, products: Sequence[str]
) -> pd.Series[float]:
    every = scored[[f"{name}_{metric}" for name in products]].notna().all(axis=1)
    return scored.loc[every, f"{product}_{metric}"]
