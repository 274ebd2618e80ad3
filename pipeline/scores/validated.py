"""What a validation found: its tables and summary, the lines for a terminal, and how both are read back.

``summary.json`` holds, beside where the numbers come from (``inputs``, ``settings``, ``versions``) and what
is to be known of them (``notes``, ``simulated``): ``products`` with ``titles``, ``baseline`` (raw SMAP, or
null) and ``left_out`` (product -> reason); ``pairs`` and ``stations``, counts; ``across_stations``, product
-> metric -> spread over stations, and the shares of stations that reach a target; ``differences``, product
-> metric -> spread over stations of product minus baseline, with the number of stations improved and
worsened; ``less_others``, the same of the map minus each other product, without these numbers; ``pooled`` and
``pooled_differences``, the same of all pairs together; ``strata``, how many stations each has. An undefined
number is null. The rows behind them are ``stations.csv`` (``pipeline.scores.stations.station_scores``),
``strata.csv`` and ``strata-stations.csv`` (``pipeline.scores.strata.Strata``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.scores.stations import R_TARGET, UBRMSE_TARGET
from pipeline.tables.titles import DOWNSCALED, SMAP
from pipeline.wording import plural
from pipeline.work.staging import read_back, with_nan

RECORD = "summary.json"
STATIONS, STRATA, STRATA_STATIONS = "stations.csv", "strata.csv", "strata-stations.csv"
CHARTS = ("box", "differences", "strata", "scatter", "series")
MAPS = ("map", "map-products")
FILES = (
    STATIONS, STRATA, STRATA_STATIONS, *(f"{name}.png" for name in (*MAPS, *CHARTS)),
    *(f"{name}.svg" for name in CHARTS), RECORD,
)  # fmt: skip
LABELS = {
    "r": "R", "spearman": "Spearman's rho", "bias": "Bias", "rmse": "RMSE", "ubrmse": "ubRMSE",
    "abs_bias": "|bias|", "r_anomaly": "R of anomalies, 35 days",
    "r_climatology": "R of anomalies, climatology",
}  # fmt: skip
SURFACE = 0.05  # m; depth of the layer that SMAP L4 sm_surface stands for
NAMED = 10  # stations or products in a sentence


@dataclass(frozen=True, eq=False)
class ValidationResult:
    """What ``validate`` found and wrote.

    Attributes:
        stations: one row per station, scored or not (then ``reason`` says why), as in ``stations.csv``.
        strata: a row for each kind, stratum and product, as in ``strata.csv``.
        summary: the content of ``summary.json``; an undefined number is NaN here and null there.
        paths: file name -> file written, such as ``box.svg``.
    """

    stations: pd.DataFrame
    strata: pd.DataFrame
    summary: dict[str, Any]
    paths: dict[str, Path]

    @property
    def products(self) -> list[str]:
        """Columns of the products compared, in the order of a report."""
        return list(self.summary["products"])

    @property
    def baseline(self) -> str | None:
        """The product that the others are compared with."""
        found = self.summary["baseline"]
        return found if isinstance(found, str) else None

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the numbers, one sentence each."""
        return list(self.summary["notes"])

    def as_dict(self) -> dict[str, Any]:
        """The summary."""
        return self.summary

    def title(self, product: str) -> str:
        """What a product is called, by people."""
        return str(self.summary["titles"][product])

    def rows(self) -> list[dict[str, str]]:
        """The main numbers as text: one dict per product, heading -> cell, same headings in all."""
        across, found = self.summary["across_stations"], self.summary["differences"]
        table = []
        for product in self.products:
            own = across[product]
            row = {
                "product": self.title(product),
                "R": with_interval(own["r"]),
                "Spearman": with_interval(own["spearman"], interval=False),
                "R anomalies": with_interval(own["r_anomaly"], interval=False),
                "ubRMSE": with_interval(own["ubrmse"]),
                "bias": with_interval(own["bias"], sign="+", interval=False),
                f"R > {R_TARGET}": "{count} of {of}".format(**own["r_above"]),
                f"ubRMSE < {UBRMSE_TARGET}": "{count} of {of}".format(**own["ubrmse_below"]),
            }
            if self.baseline is not None and len(self.products) > 1:
                against = found.get(product)
                row[f"ubRMSE minus {self.title(self.baseline)}"] = (
                    with_interval(against["ubrmse"], sign="+") if against else ""
                )
                for verdict in ("improved", "worsened"):
                    row[verdict] = str(against["ubrmse"][verdict]) if against else ""
            table.append(row)
        return table


def read(folder: Path) -> ValidationResult | None:
    """Read an earlier validation; None where there is none.

    Raises:
        DataError: it is damaged, or of an earlier version.
    """
    return read_back(folder, RECORD, _load, "validate again")


def _load(folder: Path) -> ValidationResult:
    summary = with_nan(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    if not isinstance(summary["baseline"], str):
        summary["baseline"] = None
    texts = dict.fromkeys(("station", "partition", "landcover", "network", "reason"), str)
    stations = pd.read_csv(folder / STATIONS, dtype=texts)
    stations["reason"] = stations["reason"].fillna("")
    found = ValidationResult(stations, pd.read_csv(folder / STRATA), summary, paths_in(folder))
    found.rows()
    return found


def paths_in(folder: Path) -> dict[str, Path]:
    """The files of a validation that are in a folder."""
    return {name: folder / name for name in FILES if (folder / name).is_file()}


def notes(summary: Mapping[str, Any], stations: pd.DataFrame, *, mapped: bool) -> Iterator[str]:
    """What the numbers do not say themselves, a sentence each.

    Args:
        summary: of a validation, still without its notes.
        stations: its table.
        mapped: whether there is a map.
    """
    pairs, scored = summary["pairs"], summary["stations"]["scored"]
    titles: Mapping[str, str] = summary["titles"]
    if summary["simulated"]:
        yield "Simulated data: the scores say nothing about real soil moisture."
    for name, why in summary["left_out"].items():
        called = name if titles[name] == name else f"{titles[name]} ({name})"
        yield f"{called} is not compared: {why}."
    if summary["baseline"] is None and SMAP not in summary["left_out"]:
        yield "The predictions have no smap values, so the products are scored without raw SMAP beside them."
    for name in summary["products"]:
        if name != DOWNSCALED and (lacking := pairs[f"without_{name}"]):
            yield f"{lacking:,} of {pairs['joined']:,} rows lack {name} and count for no product."
    left = summary["stations"]["not_scored"]
    if left:
        names = ", ".join(f"{row['station']} ({row['n']})" for row in left[:NAMED])
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        yield f"Stations not scored, for too few pairs: {len(left)}, namely {names}{more}."
    if intervals := _with_intervals(summary):
        chance = intervals * (1 - summary["settings"]["confidence"]) / 2
        yield (
            f"With no difference at all about {chance:.1f} of {plural(intervals, 'station')} with an "
            "interval would be called improved and as many worsened, in each product and metric."
        )
    yield from _without_anomalies(stations)
    if "depth" in stations:
        depth = stations.loc[stations["reason"] == "", "depth"]
        if deeper := int((depth > SURFACE).sum()):
            yield (
                f"{deeper} of {scored} stations measure deeper than the {100 * SURFACE:g} cm of SMAP's "
                f"surface layer (down to {100 * depth.max():g} cm): part of their difference is one of depth."
            )
    if not mapped:
        yield "There is no map, as neither table has lon and lat."


def _with_intervals(summary: Mapping[str, Any]) -> int:
    """At how many stations a difference from the baseline can be told from none."""
    counts = [found["ubrmse"] for found in summary["differences"].values()]
    return max((one["improved"] + one["worsened"] + one["undecided"] for one in counts), default=0)


def _without_anomalies(stations: pd.DataFrame) -> Iterator[str]:
    scored = stations[stations["reason"] == ""]
    for metric in ("r_anomaly", "r_climatology"):
        reasons = scored[f"{metric}_reason"].fillna("")
        lacking = scored[f"{DOWNSCALED}_{metric}"].isna() & (reasons != "")
        if lacking.any():
            whose = "no station" if lacking.all() else f"{(~lacking).sum()} of {len(scored)} stations"
            yield f"{LABELS[metric]}: {whose} can have it ({reasons[lacking].mode().iloc[0]})."


def with_interval(found: Mapping[str, Any], *, sign: str = "", interval: bool = True) -> str:
    """A median in words, with its interval."""
    value, lower, upper = (float(found[key]) for key in ("median", "lower", "upper"))
    if math.isnan(value):
        return "undefined"
    if not interval:
        return f"{value:{sign}.3f}"
    ends = "no interval" if math.isnan(lower) else f"{lower:{sign}.3f}, {upper:{sign}.3f}"
    return f"{value:{sign}.3f} [{ends}]"
