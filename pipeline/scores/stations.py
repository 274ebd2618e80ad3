"""Scores of each station, and how they are spread over all stations, with intervals.

Days of one station hang together and stations differ, so nothing here treats pairs as independent: at a
station whole blocks of ``BLOCK_DAYS`` days are drawn, over stations whole stations. Targets: Xu et al.
2024 sections 3.4 and 4.2; protocol (medians over stations, identical pairs, differences): QA4SM.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from models.metrics import Difference, Metric, Scores, paired_difference, score

BLOCK_DAYS = 30  # longer than surface soil moisture remembers, so that blocks are nearly independent
UBRMSE_TARGET = 0.04  # m³/m³, the SMAP requirement; Xu et al. 2024, 3.4
R_TARGET = 0.6  # "performed well"; Xu et al. 2024, 4.2
METRICS = ("r", "bias", "rmse", "ubrmse")
BETTER: dict[Metric, int] = {"r": 1, "rmse": -1, "ubrmse": -1, "abs_bias": -1}  # sign of an improvement
VERDICTS = ("improved", "worsened", "undecided", "no_interval")

Blocks = NDArray[np.integer[Any]]


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

    def score(self, pairs: pd.DataFrame, product: str, blocks: Blocks) -> Scores:
        """Scores of one product against ``insitu``, their intervals over whole blocks."""
        predicted, reference = (pairs[name].to_numpy(dtype=np.float64) for name in (product, "insitu"))
        return score(predicted, reference, blocks=blocks, **asdict(self))

    def difference(self, pairs: pd.DataFrame, metric: Metric, blocks: Blocks) -> Difference:
        """Prediction minus SMAP of one metric, its interval over whole blocks."""
        series = (pairs[name].to_numpy(dtype=np.float64) for name in ("prediction", "smap", "insitu"))
        return paired_difference(*series, blocks=blocks, metric=metric, **asdict(self))

    def spread(self, values: pd.Series[float]) -> Spread:
        """Median, quartiles and mean of the finite values, with a percentile interval of the median.

        The interval is left out where even the smallest and the largest of n values do not hold the
        median of the population with the confidence asked, 1 - 2^(1-n): below 6 stations at 95 %.
        """
        known = values.dropna().to_numpy(dtype=np.float64)
        n, nan = len(known), math.nan
        if n == 0:
            return Spread(0, nan, nan, nan, nan, nan, nan, "no station has this metric")
        q25, median, q75 = (float(q) for q in np.quantile(known, (0.25, 0.5, 0.75)))
        lower, upper, reason = nan, nan, f"{n} stations are too few for an interval of the median"
        if 1 - 2.0 ** (1 - n) >= self.confidence:
            rng = np.random.default_rng(self.seed)
            medians = [np.median(rng.choice(known, n)) for _ in range(self.draws)]
            tail = (1 - self.confidence) / 2
            lower, upper = (float(q) for q in np.quantile(medians, (tail, 1 - tail)))
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
    joined: pd.DataFrame, products: list[str], minimum_pairs: int, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Score every station on the days where all products and the in-situ value are present.

    Args:
        joined: ``station, date, lon, lat, partition, insitu`` and the products, m³/m³, sorted by date.
        products: ``prediction``, and ``smap`` where it is compared.
        minimum_pairs: fewer give a row without numbers whose ``reason`` says so.
        bootstrap: how intervals are drawn.

    Returns:
        One row a station: ``station, lon, lat, partition, n, reason``; ``<product>_<metric>`` with
        ``_lower``, ``_upper`` and ``<product>_reason``; and, with SMAP, ``difference_<metric>`` (prediction
        minus SMAP; of the bias its absolute value) with ``_lower``, ``_upper``, ``_verdict``, ``_reason``.
    """
    table = []
    for name, rows in joined.groupby("station", sort=True):
        pairs = rows.dropna(subset=[*products, "insitu"])
        known = rows[["lon", "lat", "partition"]].bfill().iloc[0]
        row: dict[str, Any] = {"station": str(name), **{str(key): value for key, value in known.items()}}
        row |= {"n": len(pairs), "reason": ""}
        if len(pairs) < minimum_pairs:
            row["reason"] = f"{len(pairs)} pairs, fewer than {minimum_pairs}"
        else:
            row |= _numbers(pairs, products, bootstrap)
        table.append(row)
    return pd.DataFrame(table)


def across_stations(scored: pd.DataFrame, products: list[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Spread over stations of each metric and difference, the shares that reach the targets, the verdicts.

    A metric counts only where it is defined for every product, so that products are compared over the
    same stations: a saturated SMAP series has no R, and the prediction's R there is left out as well.

    Args:
        scored: rows of :func:`station_scores` that have numbers.
        products: as there.
        bootstrap: how intervals are drawn.

    Returns:
        ``stations``; for each product ``r``, ``bias``, ``rmse``, ``ubrmse``, ``abs_bias`` (each a
        :class:`Spread` as a dict), ``r_above`` and ``ubrmse_below`` (counts and shares); with SMAP
        ``difference``, a spread and the number of stations of each verdict for each metric compared.
    """
    found: dict[str, Any] = {"stations": len(scored)}
    for product in products:
        columns = {metric: _where_all_have(scored, metric, product, products) for metric in METRICS}
        columns["abs_bias"] = columns["bias"].abs()
        found[product] = {metric: asdict(bootstrap.spread(values)) for metric, values in columns.items()}
        found[product]["r_above"] = bootstrap.share(columns["r"] > R_TARGET)
        found[product]["ubrmse_below"] = bootstrap.share(columns["ubrmse"] < UBRMSE_TARGET)
    if "smap" in products:
        found["difference"] = {}
        for metric in BETTER:
            verdicts = scored[f"difference_{metric}_verdict"]
            found["difference"][metric] = asdict(bootstrap.spread(scored[f"difference_{metric}"]))
            found["difference"][metric] |= {verdict: int((verdicts == verdict).sum()) for verdict in VERDICTS}
    return found


def typical_stations(scored: pd.DataFrame) -> dict[str, str]:
    """Stations to show as series -> why: highest, median and lowest R of the prediction, most pairs."""
    ranked = scored.dropna(subset="prediction_r").sort_values(["prediction_r", "station"])["station"].tolist()
    places = {"highest R": -1, "median R": len(ranked) // 2, "lowest R": 0} if ranked else {}
    picks = [(why, ranked[place]) for why, place in places.items()]
    picks.append(("most pairs", scored["station"].iloc[int(scored["n"].argmax())]))
    chosen: dict[str, str] = {}
    for why, station in picks:
        chosen[station] = f"{chosen[station]}, {why}" if station in chosen else why
    return chosen


def _numbers(pairs: pd.DataFrame, products: list[str], bootstrap: Bootstrap) -> dict[str, Any]:
    days = (pairs["date"] - pairs["date"].iloc[0]).dt.days
    blocks = (days // BLOCK_DAYS).to_numpy(dtype=np.intp)
    row: dict[str, Any] = {}
    for product in products:
        scores = bootstrap.score(pairs, product, blocks).as_dict()
        row |= {f"{product}_{key}": value for key, value in scores.items() if key != "n"}
    for metric, sign in BETTER.items() if "smap" in products else ():
        found = bootstrap.difference(pairs, metric, blocks)
        row[f"difference_{metric}"] = found.value
        row[f"difference_{metric}_lower"] = found.lower
        row[f"difference_{metric}_upper"] = found.upper
        row[f"difference_{metric}_verdict"] = _verdict(found, sign)
        row[f"difference_{metric}_reason"] = found.reason
    return row


def _verdict(difference: Difference, sign: int) -> str:
    """Whether the prediction is better or worse than SMAP beyond the interval of their difference."""
    if math.isnan(difference.lower):
        return "no_interval"
    if not difference.significant:
        return "undecided"
    return "improved" if sign * difference.lower > 0 else "worsened"


def _where_all_have(scored: pd.DataFrame, metric: str, product: str, products: list[str]) -> pd.Series[float]:
    every = scored[[f"{name}_{metric}" for name in products]].notna().all(axis=1)
    return scored.loc[every, f"{product}_{metric}"]
