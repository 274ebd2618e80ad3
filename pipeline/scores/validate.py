"""Validation of a prediction against in-situ soil moisture, beside raw SMAP on the very same pairs.

The published gain of downscaling over raw SMAP at stations is about 0.01 R, from some twenty pairs a
station, so a pooled number alone decides nothing: this module puts together what is known per station,
over stations and pooled, with intervals, and writes it as tables and figures in one go. Rules: Xu et al.
2024 section 4.2 and its figures 5, 7 and 8; QA4SM (only time stamps common to all products).
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.figures import validation
from pipeline.figures.style import save
from pipeline.scores.stations import (
    BETTER,
    BLOCK_DAYS,
    METRICS,
    R_TARGET,
    UBRMSE_TARGET,
    VERDICTS,
    Bootstrap,
    across_stations,
    station_scores,
    typical_stations,
)
from pipeline.tables.pairs import StationTable, join, read_tables
from pipeline.work.staging import staged, write_json

LABELS = {"r": "R", "bias": "Bias", "rmse": "RMSE", "ubrmse": "ubRMSE", "abs_bias": "|bias|"}
RECORD = "summary.json"
FILES = ("stations.csv", "map.png", "box.png", "scatter.png", "series.png", RECORD)


@dataclass(frozen=True)
class ValidationResult:
    """What :func:`validate` found and wrote.

    Attributes:
        stations: one row per station, scored or not (then ``reason`` says why), as in ``stations.csv``.
        summary: the content of ``summary.json``; an undefined number is NaN here and null there.
        paths: file name without its suffix -> file written.
    """

    stations: pd.DataFrame
    summary: dict[str, Any]
    paths: dict[str, Path]

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the numbers, one sentence each."""
        return list(self.summary["notes"])

    def rows(self) -> list[dict[str, str]]:
        """The main numbers as text: one dict per line of a table, heading -> cell, same headings in all."""
        across, pooled = self.summary["across_stations"], self.summary["pooled"]
        products, differences = self.summary["products"], across.get("difference", {})
        table = []
        for metric, label in LABELS.items():
            row = {"metric": f"{label}, median of stations"}
            row |= {p: _with_interval(across[p][metric], "median") for p in products}
            found = differences.get(metric)
            if differences:
                row["difference"] = _with_interval(found, "median", sign="+") if found else ""
                row |= {verdict: str(found[verdict]) if found else "" for verdict in VERDICTS[:2]}
            table.append(row)
        blank = dict.fromkeys(table[0], "")
        for key, label in (("r_above", f"R > {R_TARGET}"), ("ubrmse_below", f"ubRMSE < {UBRMSE_TARGET}")):
            shares = {p: "{count} of {of}".format(**across[p][key]) for p in products}
            table.append(blank | {"metric": f"stations with {label}"} | shares)
        for metric in METRICS:
            row = blank | {"metric": f"{LABELS[metric]}, all pairs"}
            for product in products:
                value, lower, upper = (pooled[product][f"{metric}{end}"] for end in ("", "_lower", "_upper"))
                row[product] = _with_interval({"value": value, "lower": lower, "upper": upper}, "value")
            if metric in pooled.get("difference", {}):
                row["difference"] = _with_interval(pooled["difference"][metric], "value", sign="+")
            table.append(row)
        return table


def validate(
    predictions: Path,
    insitu: Path,
    out: Path,
    *,
    minimum_pairs: int = 10,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    simulated: bool = False,
) -> ValidationResult:
    """Score predictions at stations, and raw SMAP where the table has it, on identical pairs.

    Args:
        predictions: Parquet or CSV, one row per station and day, with ``station`` (or ``cell``),
            ``date``, ``sm`` (m³/m³) and, where known, ``smap`` (raw SMAP of the same place and day,
            m³/m³), ``lon``, ``lat`` (degrees), ``partition``, ``simulated``.
        insitu: Parquet or CSV with ``station``, ``date``, ``insitu`` (m³/m³) and, where known, ``lon``,
            ``lat``, ``simulated``; may be the same file.
        out: folder for the tables and figures; those of an earlier validation in it are replaced.
        minimum_pairs: stations with fewer pairs are listed with the reason, neither scored nor pooled.
        confidence: of every interval.
        draws: bootstrap draws of differences and of medians.
        seed: of the bootstrap.
        simulated: mark the results as simulated although no column says so; a table whose ``simulated``
            column says so is marked in any case.

    Returns:
        The result, whose files are written in ``out``.

    Raises:
        DataError: a table is missing or unusable (all faults of both at once), nothing overlaps, no
            station has enough pairs, or ``out`` cannot be written.
    """
    predicted, measured = read_tables(predictions, insitu)
    joined = join(predicted, measured)
    products = ["prediction", "smap"] if joined["smap"].notna().any() else ["prediction"]
    counts = joined[[*products, "insitu"]].notna().all(axis=1).groupby(joined["station"]).sum()
    if counts.max() < minimum_pairs:
        raise DataError(
            f"{predictions} and {insitu}: no station has {minimum_pairs} days with "
            f"{', '.join([*products, 'insitu'])} all present (the most is {counts.max()}, station "
            f"{counts.idxmax()}); bring a longer record or lower the minimum"
        )
    bootstrap = Bootstrap(confidence, draws, seed)
    simulated = simulated or predicted.simulated or measured.simulated
    with staged(out, RECORD, FILES) as folder:
        stations = station_scores(joined, products, minimum_pairs, bootstrap)
        scored = stations[stations["reason"] == ""].reset_index(drop=True)
        pairs = joined.dropna(subset=[*products, "insitu"])
        pairs = pairs[pairs["station"].isin(scored["station"])].reset_index(drop=True)
        at_station = pairs.groupby("station").ngroup().to_numpy(dtype=np.int64)
        pooled = {name: bootstrap.score(pairs, name, at_station) for name in products}
        chosen = typical_stations(scored)
        summary: dict[str, Any] = {
            "simulated": simulated,
            "inputs": {"predictions": predicted.describe(), "insitu": measured.describe()},
            "settings": {"minimum_pairs": minimum_pairs, "block_days": BLOCK_DAYS} | asdict(bootstrap),
            "versions": _versions(),
            "products": products,
            "pairs": _count_pairs(joined, pairs, products),
            "stations": _count_stations(stations, predicted, measured),
            "across_stations": across_stations(scored, products, bootstrap),
            "partitions": {
                str(name): across_stations(part, products, bootstrap)
                for name, part in scored.dropna(subset="partition").groupby("partition")
            },
            "pooled": {name: scores.as_dict() for name, scores in pooled.items()},
            "series_stations": chosen,
        }
        if "smap" in products:
            differences = {m: asdict(bootstrap.difference(pairs, m, at_station)) for m in BETTER}
            summary["pooled"]["difference"] = differences
        drawn = {
            "box": validation.box_plots(scored, simulated=simulated),
            "scatter": validation.scatter(pairs, pooled, simulated=simulated),
            "series": validation.time_series(pairs, scored, chosen, simulated=simulated),
        }
        if stations[["lon", "lat"]].notna().all(axis=1).any():
            drawn["map"] = validation.station_map(stations, simulated=simulated)
        summary["notes"] = _notes(summary, mapped="map" in drawn)
        stations.to_csv(folder / "stations.csv", index=False, float_format="%.6g")
        write_json(folder / RECORD, summary)
        for name, figure in drawn.items():
            save(figure, folder / f"{name}.png")
    paths = {Path(name).stem: out / name for name in FILES if (out / name).exists()}
    return ValidationResult(stations, summary, paths)


def _count_pairs(joined: pd.DataFrame, pairs: pd.DataFrame, products: list[str]) -> dict[str, Any]:
    """How many station-days there are, what they lack, and how many count."""
    complete = int(joined[[*products, "insitu"]].notna().all(axis=1).sum())
    return {
        "joined": len(joined),
        **{f"without_{name}": int(joined[name].isna().sum()) for name in (*products, "insitu")},
        "at_stations_not_scored": complete - len(pairs),
        "used": len(pairs),
        "first_date": f"{pairs['date'].min():%Y-%m-%d}",
        "last_date": f"{pairs['date'].max():%Y-%m-%d}",
    }


def _count_stations(
    stations: pd.DataFrame, predicted: StationTable, measured: StationTable
) -> dict[str, Any]:
    """How many stations are in either table, matched and scored, and which are not scored."""
    left = stations[stations["reason"] != ""]
    return {
        "matched": len(stations),
        "only_predicted": predicted.rows["station"].nunique() - len(stations),
        "only_insitu": measured.rows["station"].nunique() - len(stations),
        "scored": len(stations) - len(left),
        "not_scored": left[["station", "n", "reason"]].to_dict("records"),
    }


def _notes(summary: Mapping[str, Any], *, mapped: bool) -> list[str]:
    """What the numbers do not say themselves."""
    notes, pairs, scored = [], summary["pairs"], summary["stations"]["scored"]
    if summary["simulated"]:
        notes.append("Simulated data: the scores say nothing about real soil moisture.")
    if "smap" not in summary["products"]:
        notes.append(
            "The predictions have no smap values, so the prediction is scored without raw SMAP beside it."
        )
    elif pairs["without_smap"]:
        notes.append(
            f"{pairs['without_smap']} of {pairs['joined']} rows lack smap and count for neither product."
        )
    left = summary["stations"]["not_scored"]
    if left:
        names = ", ".join(f"{row['station']} ({row['n']})" for row in left[:10])
        more = f" and {len(left) - 10} more" if len(left) > 10 else ""
        notes.append(f"Stations not scored, for too few pairs: {len(left)}, namely {names}{more}.")
    if "smap" in summary["products"]:
        chance = scored * (1 - summary["settings"]["confidence"]) / 2
        notes.append(
            f"With no difference at all about {chance:.1f} of {scored} stations would be called improved "
            "and as many worsened."
        )
    if not mapped:
        notes.append("There is no map, as neither table has lon and lat.")
    return notes


def _with_interval(found: Mapping[str, float], key: str, sign: str = "") -> str:
    value, lower, upper = found[key], found["lower"], found["upper"]
    if math.isnan(value):
        return "undefined"
    interval = "no interval" if math.isnan(lower) else f"{lower:{sign}.3f}, {upper:{sign}.3f}"
    return f"{value:{sign}.3f} [{interval}]"


def _versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"python": platform.python_version()}
    for name in ("gee-smap", "numpy", "pandas", "scipy", "matplotlib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            found[name] = "not installed"
    return found
