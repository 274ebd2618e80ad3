"""Nested test of the rule by which partitions are left to the stack without partition (WP).

Run: python -m tests.benchmarks.bench_partitions [--seeds 0 1 2] [--tables usa ethiopia-height ...]

A seed lays other blocks of land. Some are held out from everything; of the rest the rule decides as in
training, and the model is fitted on all of it. The lines give the RMSE (0.001 m³/m³) on the land held out of
stacks of partitions everywhere, of WP everywhere, of the rule taken, of its opposite (WP unless the own stack
is shown to be better), and of whoever of the two is better on these very rows, partition by partition; then
how often that is the own stack. Partitions of the Ethiopian table are fourths by elevation, and four clusters
by place; the last table is simulated.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from models.errors import SampleError
from models.splits import SampleKeys, SpatialBlocks
from pipeline.learning.choosing import choose
from pipeline.learning.trainer import Holding, Progress, Trainer
from pipeline.study import Study
from pipeline.tables.samples import read_samples, sample_keys
from tests.conftest import SHARED_DATA
from tests.simulated_samples import simulate

STUDIES = Path(__file__).resolve().parents[1] / "data"
USA = SHARED_DATA / "us-gee-exports" / "coarse_cells.parquet"
ETHIOPIA = SHARED_DATA / "ethiopia-smap-l4" / "all_locust_training_data.csv"
SIMULATED = 'name = "simulated"\n[partitions]\nminimum_samples = 300\n'
TABLES = ("usa", "usa-20-km", "ethiopia-height", "ethiopia-place", "simulated")
RULES = ("always", "WP", "rule", "opposite", "best")


def table_of(name: str, folder: Path) -> tuple[Path, Study, float]:
    """Samples with partitions, their study, and the side of a block of land in km."""
    if name.startswith("usa"):
        return USA, Study.load(STUDIES / "us-gee-exports.toml"), 20.0 if name.endswith("20-km") else 100.0
    samples = folder / f"{name}.csv"
    if name == "simulated":
        simulate(side=16, days=40, seed=3).samples.to_csv(samples, index=False)
        return samples, Study.parse(SIMULATED, Path("simulated.toml")), 100.0
    frame = pd.read_csv(ETHIOPIA)
    places = frame[["longitude", "latitude"]]
    group = KMeans(4, n_init=5, random_state=0).fit_predict(places)
    if name == "ethiopia-height":
        group = pd.qcut(frame["elevation"].rank(method="first"), 4, labels=False).to_numpy()
    frame.assign(partition=np.array(list("abcd"))[group]).to_csv(samples, index=False)
    return samples, Study.load(STUDIES / "ethiopia.toml"), 100.0


def cases(name: str, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Of each partition with rows held out from its own stack: squared errors, and what the rules decide."""
    samples, study, km = table_of(name, folder)
    model = study.model.model_copy(update={"seed": seed, "n_folds": 3})
    study = study.model_copy(update={"model": model})
    table = read_samples(samples, study, target=True)
    X = table.frame[list(table.features)].to_numpy(np.float32)
    y = table.frame["sm"].to_numpy(np.float32)
    keys = sample_keys(table.frame)
    [(rest, outside)] = SpatialBlocks(km, seed=seed).outer(keys)
    split = SpatialBlocks(km, seed=seed + 100)

    def trainer(rows: np.ndarray, of: SampleKeys) -> Trainer:
        progress = Progress(study, lambda what, share: None)
        progress.plan(2 * len(y))
        return Trainer(study, X[rows], y[rows], of, progress)

    inner = trainer(rest, keys.take(rest))
    test = inner.held_out(Holding.of(split, inner.keys))
    choices = {one.partition: one for one in choose(test, inner.y, inner.keys, seed=seed)}
    try:
        found = inner.fit(np.arange(len(rest)), split).predict(X[outside], keys.take(outside).partition)
    except SampleError as error:
        print(f"{name}, seed {seed}: {error}")
        return
    for partition, choice in choices.items():
        rows = found.partitioned & (keys.partition[outside] == partition)
        if rows.any():
            known = choice.difference_upper is not None
            own, wp = (
                float(np.square(one[rows] - y[outside][rows]).sum()) for one in (found.stack, found.wp)
            )
            yield {
                "table": name, "n": int(rows.sum()), "always": own, "WP": wp,
                "rule": own if choice.own else wp,
                "opposite": own if not known or choice.difference_upper < 0 else wp,
                "best": min(own, wp), "own is better": own < wp,
            }  # fmt: skip


def main() -> None:
    """Print one line for each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        of = partial(cases, folder=Path(folder))
        rows = [row for name in given.tables for seed in given.seeds for row in of(name, seed)]
    found = pd.DataFrame(rows).groupby("table", sort=False)
    errors = 1000 * np.sqrt(found[list(RULES)].sum().div(found["n"].sum(), axis=0))
    told = errors.assign(cases=found.size(), own=found["own is better"].mean())
    print(told.round(2).to_string())


if __name__ == "__main__":
    main()
