"""Scores of parts of the pairs: by partition, land cover, month, season, wetness, and in SMAP's outage.

A median over all stations and days can hide that a map gains in one kind of land or time of year and loses
in another. Each station is scored within each stratum on its own pairs there, and medians with their
intervals are taken over stations, as for all pairs together; a station with too few pairs in a stratum is
listed, not scored. Strata: Gruber et al. 2020 (doi:10.1016/j.rse.2020.111806) and the intra-annual metrics
of QA4SM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gee.target import OUTAGES
from models.metrics import Metric, point_metrics
from pipeline.progress import Report
from pipeline.scores.stations import Bootstrap

METRICS: tuple[Metric, ...] = ("r", "spearman", "bias", "rmse", "ubrmse")
COMPARED: tuple[Metric, ...] = ("r", "spearman", "rmse", "ubrmse", "abs_bias")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
SEASONS = ("December to February", "March to May", "June to August", "September to November")
TERCILES = ("dry", "medium", "wet")
IN_OUTAGE, OUT_OF_OUTAGE = "in the outage", "outside the outage"

Labels = pd.Series  # of text, missing where the stratum is not known


@dataclass(frozen=True)
class Kind:
    """A way to part the pairs.

    Attributes:
        name: of its column in the tables.
        title: for people, when the kind is told as progress.
        labels: stratum of each pair, missing where it is not known.
        order: of the strata; alphabetical where empty.
    """

    name: str
    title: str
    labels: Callable[[pd.DataFrame], Labels]
    order: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Strata:
    """Scores within strata.

    Attributes:
        table: a row for each kind, stratum and product: ``kind, stratum, product, stations`` (scored),
            ``too_few`` (stations with fewer pairs than asked), ``pairs``; each metric's median over stations
            with ``_lower, _upper, _q25, _q75``; with a baseline the median of ``<metric>_difference`` with
            ``_lower, _upper``.
        stations: a row for each kind, stratum and station: ``kind, stratum, station, n, reason`` and
            ``<product>_<metric>``.
    """

    table: pd.DataFrame
    stations: pd.DataFrame


def by_strata(
    pairs: pd.DataFrame,
    products: Sequence[str],
    minimum_pairs: int,
    bootstrap: Bootstrap,
    baseline: str | None = None,
    report: Report = lambda what, share: None,
) -> Strata:
    """Score the pairs within strata.

    Args:
        pairs: ``station, date, insitu`` and the products (m³/m³), all present, and where known ``partition,
            landcover, outage``.
        products: columns of it.
        minimum_pairs: that a station needs in a stratum.
        bootstrap: how intervals of medians over stations are drawn.
        baseline: the product that the others are compared with, if any.
        report: told which kind is scored and the share that is done.

    Returns:
        The scores; a kind that has one stratum alone says nothing and is not there.
    """
    rows: list[dict[str, Any]] = []
    own: list[pd.DataFrame] = []
    for number, kind in enumerate(KINDS):
        report(f"strata: {kind.title}", number / len(KINDS))
        labels = kind.labels(pairs)
        names = labels.dropna().unique()
        if len(names) < 2:
            continue
        scored = _of_stations(pairs, labels, products, minimum_pairs)
        scored.insert(0, "kind", kind.name)
        for stratum in (name for name in (kind.order or sorted(names)) if name in set(names)):
            part = scored[scored["stratum"] == stratum]
            rows += _medians(part, kind.name, stratum, products, bootstrap, baseline)
            own.append(part)
    report("strata: done", 1.0)
    if not own:
        return Strata(pd.DataFrame(columns=["kind", "stratum", "product"]), pd.DataFrame(columns=["kind"]))
    return Strata(pd.DataFrame(rows), pd.concat(own, ignore_index=True))


def _of_stations(
    pairs: pd.DataFrame, labels: Labels, products: Sequence[str], minimum_pairs: int
) -> pd.DataFrame:
    """Metrics of each station within each stratum; without numbers where pairs are too few."""
    values = pairs[[*products, "insitu"]].to_numpy(dtype=np.float64)
    table = []
    groups = pairs.groupby([labels.rename("stratum"), "station"], sort=True, observed=True)
    indices: Mapping[Any, Any] = groups.indices
    for (stratum, station), places in indices.items():
        n = len(places)
        row: dict[str, Any] = {"stratum": str(stratum), "station": str(station), "n": n, "reason": ""}
        if n < minimum_pairs:
            row["reason"] = f"{n} pairs, fewer than {minimum_pairs}"
        else:
            part = values[places]
            found = point_metrics(part[:, :-1], part[:, -1])
            row |= {
                f"{product}_{metric}": float(found[metric][place])
                for place, product in enumerate(products)
                for metric in (*METRICS, "abs_bias")
            }
        table.append(row)
    columns = [f"{product}_{metric}" for product in products for metric in (*METRICS, "abs_bias")]
    return pd.DataFrame(table, columns=["stratum", "station", "n", "reason", *columns])


def _medians(
    part: pd.DataFrame,
    kind: str,
    stratum: str,
    products: Sequence[str],
    bootstrap: Bootstrap,
    baseline: str | None,
) -> list[dict[str, Any]]:
    """A row for each product: medians over the stations that are scored in the stratum."""
    scored = part[part["reason"] == ""]
    shared = {
        metric: scored[scored[[f"{name}_{metric}" for name in products]].notna().all(axis=1)]
        for metric in (*METRICS, "abs_bias")
    }
    rows = []
    for product in products:
        row: dict[str, Any] = {
            "kind": kind, "stratum": stratum, "product": product, "stations": len(scored),
            "too_few": len(part) - len(scored), "pairs": int(scored["n"].sum()),
        }  # fmt: skip
        for metric in METRICS:
            spread = bootstrap.spread(shared[metric][f"{product}_{metric}"])
            row |= {metric: spread.median, f"{metric}_lower": spread.lower, f"{metric}_upper": spread.upper}
            row |= {f"{metric}_q25": spread.q25, f"{metric}_q75": spread.q75}
        for metric in COMPARED if baseline not in (None, product) else ():
            here = shared[metric]
            spread = bootstrap.spread(here[f"{product}_{metric}"] - here[f"{baseline}_{metric}"])
            column = f"{metric}_difference"
            row |= {column: spread.median, f"{column}_lower": spread.lower, f"{column}_upper": spread.upper}
        rows.append(row)
    return rows


def _column(name: str) -> Callable[[pd.DataFrame], Labels]:
    def labels(pairs: pd.DataFrame) -> Labels:
        return pairs[name] if name in pairs else pd.Series(None, index=pairs.index, dtype=object)

    return labels


def _months(pairs: pd.DataFrame) -> Labels:
    return pd.Series(pairs["date"].dt.month.map(dict(enumerate(MONTHS, start=1))))


def _seasons(pairs: pd.DataFrame) -> Labels:
    return pd.Series((pairs["date"].dt.month % 12 // 3).map(dict(enumerate(SEASONS))))


def _wetness(pairs: pd.DataFrame) -> Labels:
    """Thirds of the station's own in-situ values; values equal to a limit lie below it."""
    each = pairs.groupby("station")["insitu"]
    place = sum((pairs["insitu"] > each.transform("quantile", share)).astype(int) for share in (1 / 3, 2 / 3))
    return pd.Series(place, index=pairs.index).map(dict(enumerate(TERCILES)))


def _outage(pairs: pd.DataFrame) -> Labels:
    """As the table says; where it does not, by the days on which SMAP's radiometer was off."""
    inside = pd.Series(False, index=pairs.index)
    for first, last in OUTAGES:
        inside |= pairs["date"].between(pd.Timestamp(first), pd.Timestamp(last))
    if "outage" in pairs:
        inside = pairs["outage"].astype("boolean").fillna(inside.astype("boolean")).astype(bool)
    return inside.map({True: IN_OUTAGE, False: OUT_OF_OUTAGE})


KINDS: tuple[Kind, ...] = (
    Kind("partition", "Partition", _column("partition")),
    Kind("landcover", "Land cover", _column("landcover")),
    Kind("season", "Season", _seasons, SEASONS),
    Kind("month", "Month", _months, MONTHS),
    Kind("wetness", "Wetness (thirds of the station's own values)", _wetness, TERCILES),
    Kind("outage", "SMAP outage", _outage, (OUT_OF_OUTAGE, IN_OUTAGE)),
)
TITLES: Mapping[str, str] = {kind.name: kind.title for kind in KINDS}
