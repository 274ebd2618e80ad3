"""Time and memory of scoring many stations and products, beside a plain loop over pytesmo and NumPy.

Run: python -m tests.benchmarks.bench_validation [--stations 1000] [--days 3650] [--products 6] [--part 4]

``scores`` and ``strata`` are what ``pipeline.scores`` computes of all stations: every metric of every
product with block-bootstrap intervals, anomalies of both kinds, paired differences, and the strata.
``plain`` is measured in the same process on ``--part`` stations: pytesmo's metrics on as many draws of
whole blocks of rows, one product and draw after the other, values and intervals of R, bias, RMSE and ubRMSE
alone. The series are simulated.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from pipeline.scores.stations import BLOCK_DAYS, Bootstrap, across_stations, differences, station_scores
from pipeline.scores.strata import by_strata
from pipeline.tables.titles import TITLES

MEGABYTE = 1024  # of what getrusage counts on Linux


def series(stations: int, days: int, products: list[str]) -> pd.DataFrame:
    """Simulated daily series whose errors have an autocorrelation of 0.8, a tenth of the days missing."""
    rng = np.random.default_rng(0)
    dates = pd.date_range("2015-01-01", periods=days)
    truth = (
        0.25
        + 0.06 * np.sin(np.arange(days) / 58)
        + lfilter([1], [1, -0.9], rng.normal(0, 0.012, (stations, days)))
    )
    table = {
        "station": np.repeat([f"station-{number:04d}" for number in range(stations)], days),
        "date": np.tile(dates.to_numpy(), stations),
        "partition": np.repeat(
            [("HB", "JH", "WX", "YJ", "WN")[number % 5] for number in range(stations)], days
        ),
        "landcover": np.repeat([("forest", "cropland")[number % 2] for number in range(stations)], days),
    }
    for place, name in enumerate(["insitu", *products]):
        error = lfilter([1], [1, -0.8], rng.normal(0, 0.006 + 0.002 * place, (stations, days)))
        table[name] = (truth + error).ravel()
    table["insitu"][rng.random(stations * days) < 0.1] = np.nan
    return pd.DataFrame(table)


def plain(part: pd.DataFrame, products: list[str], draws: int) -> None:
    """pytesmo's metrics of one product and draw of blocks after the other."""
    from pytesmo.metrics import pairwise

    rng = np.random.default_rng(0)
    for _, rows in part.groupby("station"):
        pairs = rows.dropna()
        block = ((pairs["date"] - pairs["date"].min()).dt.days // BLOCK_DAYS).to_numpy()
        places = [np.flatnonzero(block == number) for number in np.unique(block)]
        for name in products:
            x, y = pairs[name].to_numpy(), pairs["insitu"].to_numpy()
            found = []
            for _ in range(draws):
                drawn = np.concatenate([places[one] for one in rng.integers(0, len(places), len(places))])
                p, o = x[drawn], y[drawn]
                found.append(
                    [f(p, o) for f in (pairwise.pearson_r, pairwise.bias, pairwise.rmsd, pairwise.ubrmsd)]
                )
            np.quantile(found, [0.025, 0.975], axis=0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("stations", 1000), ("days", 3650), ("products", 6), ("draws", 1000), ("part", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    products = ["sm", "smap", *(name for name in TITLES if name not in ("sm", "smap"))][: asked.products]
    table = series(asked.stations, asked.days, products)
    print(f"{asked.stations} stations x {asked.days} days x {len(products)} products, {asked.draws} draws")
    bootstrap = Bootstrap(draws=asked.draws)
    began, cpu = time.perf_counter(), time.process_time()
    scored = station_scores(table, products, 10, bootstrap, "smap")
    across_stations(scored, products, bootstrap)
    differences(scored, products, "smap", bootstrap)
    scoring = time.perf_counter() - began
    began = time.perf_counter()
    pairs = table.dropna(subset=[*products, "insitu"]).reset_index(drop=True)
    by_strata(pairs, products, 10, bootstrap, "smap")
    strata = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    cpu = time.process_time() - cpu
    print(f"scores {scoring:8.1f} s\nstrata {strata:8.1f} s\nof one processor {cpu:8.1f} s")
    print(f"peak   {peak:8.0f} MB, the table's own included")
    part = table[table["station"].isin(table["station"].unique()[: asked.part])]
    began = time.perf_counter()
    plain(part, products, asked.draws)
    loop = (time.perf_counter() - began) / asked.part
    own = (scoring + strata) / asked.stations
    print(f"plain  {loop:8.2f} s a station, ours {own:.3f} s a station: {loop / own:.0f} times as fast")


if __name__ == "__main__":
    main()
