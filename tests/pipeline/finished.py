"""A work directory as the whole chain leaves it, made of tables and arrays: nothing in it was observed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray

from models import store
from models.store import MemberCard, ModelCard, PredictorCard, StackCard
from pipeline.maps.prediction_store import create
from pipeline.scores.truth import score_fields
from pipeline.scores.validate import validate
from pipeline.study import Study
from pipeline.work.ledger import AssetRow, Ledger, TaskRow
from pipeline.work.manifest import Manifest, Task
from pipeline.work.staging import write_json
from pipeline.work.workdir import WorkDir
from tests.pipeline import small_cubes
from tests.simulated_samples import SimulatedRegion, simulate

START, DAYS = dt.date(2019, 6, 10), 40  # 31 of them in SMAP's outage
NAME = "simulated <small> & sound"
WEST, NORTH = 500_000.0, 3_600_000.0
SENT = dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
TASKS = (
    Task(task="static-aaaaaaaa", name="static", kind="image", columns=("sand",), output_bytes=2_500_000,
         megapixels=12, eecu_hours=0.5),
    Task(task="dynamic-2019-06-bbbbbbbb", name="dynamic-2019-06", kind="image", columns=("NDVI_20190610",),
         output_bytes=90_000_000, megapixels=1400, eecu_hours=3.25),
    Task(task="cells-2019-06-cccccccc", name="cells-2019-06", kind="table", columns=("cell",)),
)  # fmt: skip
BASELINES = "SMAP bilinear", "downscaled"  # of the maps held against the truth
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Finished:
    """A work directory and what was put into it.

    Attributes:
        work: the directory.
        manifest: of its plan.
        bands: of the cube, by variable.
        sm: prediction, (days, y, x).
        truth: what the sources were simulated from, (days, y, x).
        fields: the maps held against it, by name.
        labels: number of the cell of each pixel, (y, x).
    """

    work: WorkDir
    manifest: Manifest
    bands: small_cubes.Bands
    sm: Values
    truth: Values
    fields: dict[str, Values]
    labels: NDArray[np.intp]


def make(
    root: Path, region: SimulatedRegion, study: str, model: Path, side: int = 27, **other: Any
) -> Finished:
    """Put together a finished work directory.

    Args:
        root: made.
        region: simulated, of 40 days; its samples and stations are taken for those of the study's days.
        study: text of ``study.toml``.
        model: a model folder, trained with that study.
        side: of the square of pixels.
        other: attributes of the manifest in place of its own.
    """
    work = WorkDir(root)
    root.mkdir(parents=True)
    shutil.copytree(model, work.model)
    work.study.write_text(study, encoding="utf-8")
    days = region.samples["date"] + (pd.Timestamp(START) - region.samples["date"].min())
    outage = (days >= "2019-06-19") & (days <= "2019-07-23")
    region.samples.assign(date=days, simulated=True, smap_outage=outage.astype(int)).to_parquet(work.samples)
    manifest = Manifest(
        **small_cubes.manifest(DAYS, side, side, START).model_dump()
        | {
            "study": NAME, "study_hash": Study.load(work.study).hash, "places": ("Somewhere & <else>",),
            "cells": 9, "partition_rule": "drawn", "tasks": TASKS, "area_km2": side**2 - 0.4,
            "sources": {"smap": "NASA/SMAP/SPL4SMGP/008", "elevation": "CGIAR/SRTM90_V4"},
        }
        | other
    )  # fmt: skip
    manifest.write(work.manifest)
    bands = _bands(side)
    _write_cube(work, manifest, bands)
    truth, fields, labels = _fields(bands, side)
    sm = fields["downscaled"]
    _write_prediction(work, manifest, sm)
    write_json(
        work.truth, [one.as_dict() for one in score_fields(truth, fields, labels, baselines=BASELINES)]
    )
    _write_ledger(work)
    _validate(work, region)
    work.map.mkdir()
    (work.map / "map.html").write_text("<!doctype html><title>the map</title>", encoding="utf-8")
    return Finished(work, manifest, bands, sm, truth, fields, labels)


def write_model(folder: Path, study: Study) -> Path:
    """A model folder without its model, which a report has no need of; scores are drawn by lot."""
    random = np.random.default_rng(8)
    scores = []
    for split, low in (("random", 0.012), ("spatial", 0.02), ("leave-partition-out", 0.03)):
        for partition in ("all", *small_cubes.PARTITIONS):
            for name in ("XGBoost", "LightGBM", "CatBoost", "stack", "WP"):
                row: dict[str, Any] = {"split": split, "partition": partition, "model": name}
                if split == "leave-partition-out" and name != "WP":
                    scores.append(row | {"n": 0, "rmse": None, "reason": "no stack of its own; see WP"})
                    continue
                row |= {"n": 500, "reason": "", "simulated": True}
                for metric, value in (("r", 0.9), ("rmse", low), ("bias", 0.001), ("ubrmse", low)):
                    value += float(random.uniform(0, 0.005))
                    row |= {metric: value, f"{metric}_lower": value - 0.001, f"{metric}_upper": value + 0.001}
                scores.append(row)
    members = tuple(
        MemberCard(learner=name, file=f"0-{name}.json", sha256="0" * 64, trees=10, weight=1 / 3)
        for name in ("xgboost", "lightgbm", "catboost")
    )
    card = ModelCard(
        study=NAME, study_hash=study.hash, simulated=True, split="spatial", n_folds=2, scores=tuple(scores),
        predictors=(PredictorCard(name="ndvi", unit="1", least=0, greatest=1, missing_share=0.2),),
        stacks=tuple(
            StackCard(name=name, samples=100, members=members) for name in (*small_cubes.PARTITIONS, "WP")
        ),
    )  # fmt: skip
    body = card.model_dump(mode="json")
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({**body, "sha256": digest}), encoding="utf-8")
    return folder


def _validate(work: WorkDir, region: SimulatedRegion) -> None:
    """Scores at the region's stations of a map that errs by itself, and of SMAP."""
    random = np.random.default_rng(11)
    table = region.stations[["station", "lon", "lat", "date"]].assign(partition="plain", simulated=True)
    table["sm"] = region.stations["insitu"] + random.normal(0.01, 0.02, len(table))
    table["smap"] = region.stations["insitu"] + random.normal(-0.02, 0.03, len(table))
    predictions, insitu = work.root / "predictions.parquet", work.root / "stations.parquet"
    table.to_parquet(predictions)
    region.stations.assign(simulated=True).to_parquet(insitu)
    validate(predictions, insitu, work.validation, draws=200)


def _bands(side: int) -> small_cubes.Bands:
    """Pixels with a lake, a corner outside the region, gaps in June's LST and a day without radar."""
    bands = small_cubes.bands_of(simulate(side=side, days=DAYS, n_stations=1, seed=3).samples, side)
    for name in ("ndvi", "lst", "vv", "vh", "LC_1", "LC_3"):
        bands[name] = bands[name].copy()
    bands["lst"][:20, :, ::2] = np.nan
    bands["vv"][7], bands["vh"][7] = np.nan, np.nan
    bands["sand"] = bands["sand"].copy()
    bands["sand"][side // 2, side // 2] = np.nan
    lake = np.s_[side // 2 : side // 2 + 4, 3:8]
    bands["LC_0"][lake] = 0.75
    for code in range(1, 5):
        bands[f"LC_{code}"] = bands[f"LC_{code}"] * np.where(bands["LC_0"] > 0, 0.25, 1).astype(np.float32)
    bands["LC_1"][0, -1] = np.nan
    for name in ("land", "region", "partition"):
        bands[name] = bands[name].copy()
    bands["land"][lake] = 0
    for name in ("region", "partition"):
        bands[name][: side // 4, : side // 3] = 0
    return bands


def _fields(bands: small_cubes.Bands, side: int) -> tuple[Values, dict[str, Values], NDArray[np.intp]]:
    """A truth, a map that sees part of it, and the truth's cell means twice."""
    random = np.random.default_rng(4)
    wet = 0.12 * np.sin(np.arange(DAYS) / 4)[:, None, None] * 0.4
    ground = 0.22 + 0.002 * bands["clay"][None].astype(np.float64)
    truth = (ground + wet + random.normal(0, 0.02, (DAYS, side, side))).astype(np.float32)
    inside = (bands["land"] == 1) & (bands["region"] == 1)
    truth[:, ~inside] = np.nan
    labels = np.add.outer(100 * (np.arange(side) // 9), np.arange(side) // 9)
    labels = np.where(inside, labels, -1).astype(np.intp)
    coarse = np.full_like(truth, np.nan)
    for label in np.unique(labels[labels >= 0]):
        here = labels == label
        coarse[:, here] = truth[:, here].mean(axis=1, keepdims=True)
    fine = (0.5 * truth + 0.5 * coarse + 0.01 + random.normal(0, 0.01, truth.shape)).astype(np.float32)
    fine[3, inside & (np.indices(inside.shape)[1] > side - 4)] = np.nan
    tilt = np.linspace(-0.01, 0.01, side, dtype=np.float32)
    fields = {"downscaled": fine, "SMAP nearest": coarse, "SMAP bilinear": coarse + tilt}
    return truth, fields, labels


def _write_cube(work: WorkDir, manifest: Manifest, bands: small_cubes.Bands) -> None:
    small_cubes.write_cube(work.cube, bands, study=manifest.study, study_hash=manifest.study_hash)
    root = zarr.open_group(work.cube, mode="r+")
    days = np.array(manifest.days, "datetime64[D]").astype(np.int64)
    root["time"][...] = days
    root.attrs.update(simulated=int(manifest.simulated), partition_names=list(manifest.partitions))


def _write_prediction(work: WorkDir, manifest: Manifest, sm: Values) -> None:
    with xr.open_zarr(work.cube, consolidated=False, decode_coords="all") as cube:
        empty = xr.Dataset(
            {"partitioned": cube["partition"].astype(np.uint8)},
            coords={name: cube[name] for name in ("time", "y", "x", "spatial_ref")},
            attrs={
                "study": manifest.study, "study_hash": manifest.study_hash, "gee_smap": "0.0.1",
                "model_hash": store.read_card(work.model).sha256, "simulated": int(manifest.simulated),
            },
        ).drop_encoding()  # fmt: skip
        create(work.prediction, empty)
    zarr.open_array(work.prediction / "sm", mode="r+")[...] = sm
    zarr.open_group(work.prediction, mode="r+").attrs.update(fingerprint="f" * 64, complete=1)


def _write_ledger(work: WorkDir) -> None:
    """Two tasks done, one of them at the second attempt, one in two halves; two of three images published."""
    halves = [
        TaskRow(
            task=f"cells-2019-06-{day}-dddddddd",
            product=f"cells-2019-06-{day}",
            kind="table",
            destination="gs://b/s",
        )
        for day in ("10", "20")
    ]
    with Ledger(work.ledger) as ledger, ledger.run("run"):
        ledger.add(
            [
                *(
                    TaskRow(task=task.task, product=task.name, kind=task.kind, destination="gs://b/s")
                    for task in TASKS
                ),
                *halves,
            ]
        )
        for number, row in enumerate(ledger.tasks()):
            if row.product == "cells-2019-06":
                assert ledger.change(row, replace(row, state="split", attempts=1, error="memory <limit>"))
                continue
            began = SENT + dt.timedelta(minutes=number)
            assert ledger.change(
                row,
                replace(
                    row, state="succeeded", attempts=1 + (number == 1), operation=f"o{number}",
                    submitted=SENT, started=began, ended=began + dt.timedelta(seconds=90),
                    eecu_seconds=900.0 * (number + 1),
                ),
            )  # fmt: skip
        for number, state in enumerate(("succeeded", "succeeded", "failed")):
            ledger.put_asset(AssetRow(id=f"projects/p/assets/sm/2019061{number}", content="c", state=state))
