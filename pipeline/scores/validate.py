"""Validation of maps against in-situ soil moisture, raw SMAP and other products on the very same pairs.

The published gain of downscaling over raw SMAP at stations is about 0.01 R, from some twenty pairs a
station, so a pooled number alone decides nothing: this module puts together what is known per station,
over stations, within strata and pooled, with intervals, and writes it as tables and figures in one go. Rules:
Xu et al. 2024 section 4.2 and its figures 5, 7 and 8; QA4SM (only time stamps common to all products).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.anomalies import LEAST_DAYS, LEAST_YEARS, SMOOTHING_DAYS, WINDOW_DAYS
from models.metrics import Comparison
from pipeline.figures import validation
from pipeline.figures.style import save, save_chart
from pipeline.products import predictions as made_of
from pipeline.progress import Report, within
from pipeline.scores.stations import (
    BETTER,
    BLOCK_DAYS,
    Bootstrap,
    across_stations,
    differences,
    flat,
    less_others,
    station_scores,
    typical_stations,
)
from pipeline.scores.strata import Strata, by_strata
from pipeline.scores.validated import (
    CHARTS,
    FILES,
    RECORD,
    STATIONS,
    STRATA,
    STRATA_STATIONS,
    ValidationResult,
    notes,
    paths_in,
)
from pipeline.tables.pairs import choose, join, read_tables
from pipeline.tables.titles import SMAP, title
from pipeline.work.staging import staged, write_json

__all__ = ["FILES", "RECORD", "ValidationResult", "validate"]

_READ, _SCORED, _STRATA = 0.06, 0.6, 0.8  # shares of the whole after reading, stations and strata


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
    report: Report = lambda what, share: None,
) -> ValidationResult:
    """Score predictions at stations, and every other product the table has, on identical pairs.

    Args:
        predictions: Parquet or CSV, one row per station and day, with ``station`` (or ``cell``), ``date``,
            ``sm`` (m³/m³) and, where known, ``smap`` (raw SMAP of the same place and day), further products
            under names of their own (m³/m³), ``lon``, ``lat`` (degrees), ``partition``, ``landcover``,
            ``outage``, ``simulated``.
        insitu: Parquet or CSV with ``station``, ``date``, ``insitu`` (m³/m³) and, where known, ``lon``,
            ``lat``, ``network``, ``depth`` (m), ``simulated``; may be the same file.
        out: folder for the tables and figures; those of an earlier validation in it are replaced.
        minimum_pairs: stations with fewer pairs are listed with the reason, neither scored nor pooled.
        confidence: of every interval.
        draws: bootstrap draws of differences and of medians.
        seed: of the bootstrap.
        simulated: mark the results as simulated although no column says so; a table whose ``simulated``
            column says so is marked in any case.
        report: told what is being done and the share of it that is done.

    Returns:
        The result, whose files are written in ``out``. A product that cannot be compared is left out and
        said to be in the notes.

    Raises:
        DataError: a table is missing or unusable (all faults of both at once), nothing overlaps, no
            station has enough pairs, or ``out`` cannot be written.
    """
    report("stations: reading", 0.0)
    predicted, measured = read_tables(predictions, insitu)
    joined = join(predicted, measured)
    chosen = choose(joined, predicted.products, minimum_pairs, f"{predictions} and {insitu}")
    products, left_out = chosen.products, {**predicted.left_out, **chosen.left_out}
    baseline = SMAP if SMAP in products else None
    bootstrap = Bootstrap(confidence, draws, seed)
    simulated = simulated or predicted.simulated or measured.simulated
    inputs = {"predictions": predicted.describe(), "insitu": measured.describe()}
    del predicted, measured  # a third of the memory
    stations = station_scores(
        joined, products, minimum_pairs, bootstrap, baseline,
        within(report, _READ, _SCORED),
    )  # fmt: skip
    scored = stations[stations["reason"] == ""].reset_index(drop=True)
    pairs = joined.dropna(subset=[*products, "insitu"])
    pairs = pairs[pairs["station"].isin(scored["station"])].reset_index(drop=True)
    counts = _count_pairs(joined, pairs, products)
    del joined
    strata = by_strata(
        pairs, products, minimum_pairs, bootstrap, baseline,
        within(report, _SCORED, _STRATA),
    )  # fmt: skip
    pooled = _pooled(pairs, products, bootstrap, baseline)
    typical = typical_stations(scored)
    about = made_of.read(predictions.parent)
    named = {one.name: one.title for one in about.products} if about else {}
    titles = {name: named.get(name, title(name)) for name in (*products, *left_out)}
    summary: dict[str, Any] = {
        "simulated": simulated,
        "inputs": inputs,
        "settings": {
            "minimum_pairs": minimum_pairs, "block_days": BLOCK_DAYS, "anomaly_window_days": WINDOW_DAYS,
            "anomaly_least_days": LEAST_DAYS, "climatology_smoothing_days": [SMOOTHING_DAYS, WINDOW_DAYS],
            "climatology_least_years": LEAST_YEARS,
        } | asdict(bootstrap),
        "versions": _versions(),
        "products": list(products),
        "titles": titles,
        "baseline": baseline,
        "left_out": left_out,
        "pairs": counts,
        "stations": _count_stations(stations, inputs),
        "across_stations": across_stations(scored, products, bootstrap),
        "differences": differences(scored, products, baseline, bootstrap) if baseline else {},
        "less_others": less_others(scored, products, baseline, bootstrap),
        "pooled": {name: flat(scores, pooled.n) for name, scores in pooled.scores.items()},
        "pooled_differences": {
            name: {metric: asdict(one) for metric, one in each.items() if metric in BETTER}
            for name, each in pooled.differences.items()
        },
        "strata": _count_strata(strata),
        "series_stations": typical,
    }  # fmt: skip
    with staged(out, RECORD, FILES) as folder:
        report("stations: drawing", _STRATA)
        drawn = _figures(summary, stations, strata, pairs, pooled, typical)
        summary["notes"] = [
            *notes(summary, stations, mapped="map" in drawn), *(about.notes if about else ()),
        ]  # fmt: skip
        stations.to_csv(folder / STATIONS, index=False, float_format="%.6g")
        strata.table.to_csv(folder / STRATA, index=False, float_format="%.6g")
        strata.stations.to_csv(folder / STRATA_STATIONS, index=False, float_format="%.6g")
        write_json(folder / RECORD, summary)
        for number, (name, figure) in enumerate(drawn.items()):
            report(f"stations: {name}.png", _STRATA + (1 - _STRATA) * number / len(drawn))
            if name in CHARTS:
                save_chart(figure, folder, name)
            else:
                save(figure, folder / f"{name}.png")
    report("stations: done", 1.0)
    return ValidationResult(stations, strata.table, summary, paths_in(out))


def _pooled(
    pairs: pd.DataFrame, products: tuple[str, ...], bootstrap: Bootstrap, baseline: str | None
) -> Comparison:
    """Scores of all pairs together, whole stations being the blocks."""
    at_station = pairs.groupby("station").ngroup().to_numpy(dtype=np.int64)
    series = {name: pairs[name].to_numpy(dtype=np.float64) for name in products}
    return bootstrap.compare(series, pairs["insitu"].to_numpy(dtype=np.float64), at_station, baseline)


def _figures(
    summary: Mapping[str, Any],
    stations: pd.DataFrame,
    strata: Strata,
    pairs: pd.DataFrame,
    pooled: Comparison,
    typical: Mapping[str, str],
) -> dict[str, Figure]:
    """Every figure there is something to draw in, by name."""
    look = validation.Look(summary["titles"], summary["products"], summary["baseline"], summary["simulated"])
    scored = stations[stations["reason"] == ""].reset_index(drop=True)
    drawn = {
        "box": validation.box_plots(scored, look),
        "scatter": validation.scatter(pairs, pooled.scores, pooled.n, look),
        "series": validation.time_series(pairs, scored, typical, look),
    }
    if summary["differences"]:
        drawn["differences"] = validation.difference_chart(summary["differences"], look)
    if len(strata.table) and strata.table["stations"].any():
        drawn["strata"] = validation.strata_chart(strata.table, look)
    if stations[["lon", "lat"]].notna().all(axis=1).any():
        drawn["map"] = validation.station_map(stations, look)
        if len(look.products) > 1:
            drawn["map-products"] = validation.product_maps(stations, look)
    return drawn


def _count_pairs(joined: pd.DataFrame, pairs: pd.DataFrame, products: tuple[str, ...]) -> dict[str, Any]:
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


def _count_stations(stations: pd.DataFrame, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How many stations are in either table, matched and scored, and which are not scored."""
    left = stations[stations["reason"] != ""]
    return {
        "matched": len(stations),
        "only_predicted": inputs["predictions"]["stations"] - len(stations),
        "only_insitu": inputs["insitu"]["stations"] - len(stations),
        "scored": len(stations) - len(left),
        "not_scored": left[["station", "n", "reason"]].to_dict("records"),
    }


def _count_strata(strata: Strata) -> list[dict[str, Any]]:
    """Stations and pairs of each stratum."""
    columns = ["kind", "stratum", "stations", "too_few", "pairs"]
    if not len(strata.table):
        return []
    return [
        {str(key): value for key, value in row.items()}
        for row in strata.table[columns].drop_duplicates(["kind", "stratum"]).to_dict("records")
    ]


def _versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"python": platform.python_version()}
    for name in ("gee-smap", "numpy", "pandas", "scipy", "matplotlib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            found[name] = "not installed"
    return found
