"""How far each fusion of a stack's members lies from the member that turns out best, on real tables.

Run: python -m tests.benchmarks.bench_fusion [--seeds 0 1 2] [--splits spatial time]

Needs the real observations that the tests read. A seed lays other blocks and holds other rows out; every
split of ``tests/data/ethiopia.toml`` and ``tests/data/us-gee-exports.toml`` is a case for WP and, with
partitions, one for their stacks. Values are RMSE less that of the best member on the held-out rows, in
0.001 m³/m³. The last lines give the largest and the mean of all cases, and how many exceed the 1 that is
accepted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.learning.fusing import ALLOWED
from pipeline.learning.held_out import fusions_of
from pipeline.learning.trainer import Holding, Progress, Trainer, splits
from pipeline.study import Study
from pipeline.tables.samples import read_samples, sample_keys
from tests.conftest import SHARED_DATA

STUDIES = Path(__file__).resolve().parents[1] / "data"
TABLES = {
    "ethiopia": SHARED_DATA / "ethiopia-smap-l4" / "all_locust_training_data.csv",
    "us-gee-exports": SHARED_DATA / "us-gee-exports" / "coarse_cells.parquet",
}


def cases(name: str, samples: Path, seed: int, wanted: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of ``fusions_of`` of each split of a table."""
    study = Study.load(STUDIES / f"{name}.toml")
    study = study.model_copy(update={"model": study.model.model_copy(update={"seed": seed})})
    table = read_samples(samples, study, target=True)
    keys = sample_keys(table.frame)
    X, y = table.frame[list(table.features)].to_numpy(np.float32), table.frame["sm"].to_numpy(np.float32)
    for split in splits(study):
        if wanted and split.name not in wanted:
            continue
        holding = Holding.of(split, keys)
        progress = Progress(study, lambda what, share: None)
        progress.plan(holding.rows)
        trainer = Trainer(study, X, y, keys, progress)
        for row in fusions_of(trainer.held_out(holding, fusions=True), trainer):
            yield row | {"table": name, "seed": seed}


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--splits", nargs="*", default=[])
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    given = parser.parse_args()
    rows = [
        row for name in given.tables for seed in given.seeds
        for row in cases(name, TABLES[name], seed, given.splits)
    ]  # fmt: skip
    found = pd.DataFrame(rows).pivot_table(
        index=["table", "seed", "split", "model"], columns="fusion", values="rmse_change", sort=False
    )
    print((1000 * found).round(2).to_string(na_rep=""))
    total = pd.DataFrame({
        "largest": 1000 * found.max(), "mean": 1000 * found.mean(), "too much": (found > ALLOWED).sum()
    })  # fmt: skip
    print(f"\n{len(found)} cases\n{total.round(2).T.to_string()}")


if __name__ == "__main__":
    main()
