"""A finished work directory with every result that a report shows. Nothing in it was observed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from models.learners import CatBoost, LightGBM, XGBoost
from models.splits import SpatialBlocks
from models.stack import StackedRegressor
from pipeline.figures import ablation as figures
from pipeline.figures.style import save_chart
from pipeline.learning import ablation
from pipeline.learning.explain import explain
from pipeline.scores.rain import respond
from pipeline.scores.spatial import describe
from pipeline.scores.triple import collocate
from pipeline.study import Study
from pipeline.work.staging import write_json
from pipeline.work.workdir import WorkDir
from tests.pipeline import finished, spatial_work
from tests.pipeline.conftest import STUDY
from tests.simulated_samples import simulate

STATIONS, DAYS = 8, 180
PRODUCTS = {  # gain, and error in m³/m³
    "insitu": (1.0, 0.010), "sm": (0.8, 0.012), "smap": (0.7, 0.015), "ascat": (1.1, 0.020),
}  # fmt: skip
SETS = {"all": "All predictors", "without-doy": "Without day of year"}


def make(folder: Path) -> WorkDir:
    """Put the work directory together, as ``work`` in an empty folder; its model is there in words only."""
    model = finished.write_model(folder / "model", Study.parse(STUDY, Path("study.toml")))
    region = simulate(side=8, days=finished.DAYS, n_stations=6)
    work = finished.make(folder / "work", region, STUDY, model).work
    _add(work, folder)
    return work


def _add(work: WorkDir, scratch: Path) -> None:
    """Rain, triple collocation, space, ablation and explanation, of tables and maps made in ``scratch``."""
    predictions, insitu = scratch / "predictions.parquet", scratch / "insitu.csv"
    rows = series()
    rows.drop(columns=["insitu", "rain"]).assign(simulated=True).to_parquet(predictions)
    rows[["station", "date", "insitu", "rain"]].to_csv(insitu, index=False)
    respond(predictions, insitu, None, work.rain, draws=100)
    collocate(predictions, insitu, work.triple, independent=("ascat",), draws=100)
    describe(spatial_work.make(scratch / "maps", seam=0.03).work, work.spatial)
    _ablate(work.ablation)
    table = simulate(side=8, days=30).samples.drop(columns="partition")
    learners = (XGBoost(trees=20, depth=3), LightGBM(trees=20, leaves=8), CatBoost(trees=20, depth=3))
    stack = StackedRegressor(learners, n_folds=3, threads=1)
    explain(
        table, ["nsdsi", "vv", "lst", "clay", "dem", "doy"], SpatialBlocks(), stack, work.explanation,
        max_rows=200, simulated=True,
    )  # fmt: skip


def series() -> pd.DataFrame:
    """Series of the probe, the map, SMAP and an independent product: rain every 20 days, then drying."""
    days = np.arange(DAYS)
    parts = []
    for station in range(STATIONS):
        random = np.random.default_rng(station)
        since = np.where(days >= 12, (days - 12) % 20, np.inf)
        wet = 0.2 + 0.01 * station + 0.1 * np.exp(-since / 5)
        parts.append(
            pd.DataFrame({
                "station": f"S{station}", "date": pd.date_range("2019-05-01", periods=DAYS),
                **{
                    name: gain * wet + random.normal(0, error, DAYS)
                    for name, (gain, error) in PRODUCTS.items()
                },
                "rain": np.where(since == 0, 15.0, 0.0),
            })
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _ablate(folder: Path) -> None:
    """Scores without the day of year, made up, in the files of ``pipeline.learning.ablation``."""
    rows, splits = [], {}
    for split, change in (("random", 0.004), ("spatial", -0.003)):
        splits[split] = {
            "promise": f"What {split} shows.", "rows": 900, "reason": "", "best": "CatBoost",
            "drawn": "30-day periods",
        }  # fmt: skip
        for model, more in (("CatBoost", 0.001), ("stack", 0.0)):
            for name in SETS:
                moved = 0.0 if name == "all" else change
                rows.append({
                    "split": split, "predictors": name, "model": model, "n": 900, "reason": "",
                    **_ends("r", 0.9 - 10 * moved, 0.01), **_ends("rmse", 0.03 + more + moved, 0.002),
                    **_ends("r_change", -10 * moved, 0.01), **_ends("rmse_change", moved, 0.001),
                })  # fmt: skip
    table = pd.DataFrame(rows)
    folder.mkdir()
    table.to_csv(folder / ablation.TABLE, index=False)
    table.iloc[:0].to_csv(folder / ablation.SETS_TABLE, index=False)
    best = {name: str(split["best"]) for name, split in splits.items()}
    save_chart(figures.scores(table, SETS, best, simulated=True), folder, ablation.PICTURE)
    sets = {name: {"title": title, "left_out": []} for name, title in SETS.items()}
    record = {"sets": sets, "splits": splits, "compared": {}, "apart": "made up", "notes": ["Made up."]}
    write_json(folder / ablation.RECORD, record)


def _ends(name: str, value: float, reach: float) -> dict[str, float]:
    return {name: value, f"{name}_lower": value - reach, f"{name}_upper": value + reach}
