"""A work directory as prediction leaves it, made of arrays: 3 days of 40 x 30 pixels, all simulated."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
from numpy.typing import NDArray

from models.store import ChoiceCard, ModelCard, PredictorCard, StackCard
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

ROOT = "projects/my-project/assets"
DAYS = tuple(dt.date(2019, 6, 18) + dt.timedelta(days=number) for number in range(3))
INDICES = ("20190618", "20190619", "20190620")
HEIGHT, WIDTH = 30, 40
TRANSFORM = (1000.0, 0.0, 500_000.0, 0.0, -1000.0, 3_600_000.0)
STUDY = """\
name = "simulated-tiny"

[region]
bbox = [117.0, 31.0, 117.4, 31.3]

[period]
start = 2019-06-18
end = 2019-06-20
"""
SCORES: tuple[dict[str, Any], ...] = (
    {"split": "random", "partition": "all", "model": "stack", "r": 0.912345, "rmse": 0.021},
    {"split": "leave-partition-out", "partition": "all", "model": "stack", "r": None, "rmse": 0.05},
    {"split": "random", "partition": "HB", "model": "stack", "r": 0.1, "rmse": 0.9},
    {"split": "random", "partition": "all", "model": "WP", "r": 0.2, "rmse": 0.8},
)


def soil_moisture(day: int, version: int = 0) -> NDArray[np.float32]:
    """Values of a day, NaN in a corner and here and there."""
    random = np.random.default_rng([day, version])
    values = random.uniform(0.05, 0.5, (HEIGHT, WIDTH)).astype("float32")
    values[:8, :11] = np.nan
    values[random.random(values.shape) < 0.1] = np.nan
    return values


def write_image(path: Path, values: NDArray[np.float32], **other: Any) -> None:
    """A COG as prediction writes it, or with ``other`` options."""
    options = {
        "driver": "COG", "count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": "float32",
        "crs": "EPSG:32650", "transform": rasterio.Affine(*TRANSFORM), "nodata": -9999.0,
        "compress": "DEFLATE", "blocksize": 256,
    } | other  # fmt: skip
    with rasterio.open(path, "w", **options) as file:
        file.write(np.where(np.isnan(values), np.float32(-9999), values).astype(options["dtype"]), 1)


def write_model(folder: Path, trees: int = 10) -> str:
    """A model folder without its model, which nothing here needs; its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    card = ModelCard(
        study="simulated-tiny", study_hash="s" * 64, simulated=True,
        predictors=(PredictorCard(name="ndvi", unit="", least=0, greatest=1, missing_share=0),),
        split="random", n_folds=2, scores=SCORES, choices=(ChoiceCard(partition="HB", own=False),),
        stacks=tuple(StackCard(name=name, samples=trees, members=()) for name in ("JH", "WP")),
    )  # fmt: skip
    body = card.model_dump(mode="json")
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps({**body, "sha256": digest}), encoding="utf-8")
    return digest


def write_prediction(work: WorkDir, model_hash: str, study_hash: str = "s" * 64) -> None:
    """What the prediction says of itself."""
    zarr.open_group(work.prediction, mode="w").attrs.update(
        {"model_hash": model_hash, "study_hash": study_hash, "simulated": 1, "complete": 1, "detail": 0.5}
    )


def work_directory(root: Path) -> WorkDir:
    """Everything that publishing reads."""
    work = WorkDir(root)
    work.images.mkdir(parents=True)
    work.study.write_text(STUDY, encoding="utf-8")
    Manifest(
        study="simulated-tiny", study_hash="s" * 64, preset="recommended", simulated=True, start=DAYS[0],
        end=DAYS[-1], places=("here",), area_km2=1200.0, crs="EPSG:32650", width=WIDTH, height=HEIGHT,
        crs_transform=TRANSFORM, cells=20, partitions=("HB",), partition_rule="none",
        sources={"smap": "NASA/SMAP/SPL4SMGP/008", "soil-sand": "projects/soilgrids-isric/sand_mean"},
        checkpoints=None, eecu_seconds_per_megapixel=0.1, tasks=(),
    ).write(work.manifest)  # fmt: skip
    write_prediction(work, write_model(work.model))
    for number, index in enumerate(INDICES):
        write_image(work.images / f"sm_{index}.tif", soil_moisture(number))
    return work
