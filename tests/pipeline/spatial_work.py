"""A small finished work directory whose maps are known: 54 by 63 pixels, 40 days. Nothing was observed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray
from pyproj import Transformer

from models.store import ModelCard, PredictorCard, StackCard
from pipeline.cubes import layout
from pipeline.maps.prediction_store import create
from pipeline.scores.truth import FieldScore
from pipeline.work.manifest import Manifest
from pipeline.work.staging import write_json
from pipeline.work.workdir import WorkDir
from tests.pipeline import small_cubes

HEIGHT, WIDTH, DAYS = 54, 63, 40
START = dt.date(2019, 5, 12)  # 20 days of May, 20 of June, two of them in SMAP's outage
NAMES = ("plain", "hills", "mountain")
BORDERS = (21, 42)  # columns
RANGES = {"ndvi": (0.2, 0.7), "clay": (20.0, 30.0), "dem": (0.0, 100.0), "lst": (10.0, 30.0), "doy": (1, 366)}


@dataclass(frozen=True, eq=False)
class Made:
    """A work directory and what was put into it."""

    work: WorkDir
    manifest: Manifest
    bands: dict[str, NDArray[Any]]
    sm: NDArray[np.float32]
    samples: pd.DataFrame

    @property
    def land(self) -> NDArray[np.bool_]:
        return (self.bands["land"] == 1) & (self.bands["region"] == 1)


def manifest() -> Manifest:
    told = small_cubes.manifest(DAYS, HEIGHT, WIDTH, START).model_dump()
    return Manifest(**told | {"partitions": NAMES, "crs_transform": (1000, 0, 459_000, 0, -1000, 3_600_000)})


def ease_cells(plan: Manifest) -> list[str]:
    """Ids of the EASE-Grid 2.0 cells under the pixels' centres, from its definition in metres."""
    scale, _, left, _, _, top = plan.crs_transform
    x, y = np.meshgrid(left + scale * (np.arange(WIDTH) + 0.5), top - scale * (np.arange(HEIGHT) + 0.5))
    east, north = Transformer.from_crs(plan.crs, "EPSG:6933", always_xy=True).transform(x, y)
    side, edge, upper = 9008.055210146, 17367530.4451615, 7314540.8306386  # Brodzik et al. 2012
    rows, columns = np.floor((upper - north) / side), np.floor((east + edge) / side)
    pairs = sorted({(int(row), int(column)) for row, column in zip(rows.flat, columns.flat, strict=True)})
    return [f"{row:04d}-{column:04d}" for row, column in pairs]


def make(root: Path, seam: float = 0.0) -> Made:
    """Put a work directory together.

    Args:
        root: made.
        seam: m³/m³ by which the last partition's map is too wet.
    """
    random = np.random.default_rng(6)
    work, plan = WorkDir(root), manifest()
    root.mkdir()
    plan.write(work.manifest)
    shape, series = (HEIGHT, WIDTH), (DAYS, HEIGHT, WIDTH)
    row, column = np.indices(shape)
    bands: dict[str, NDArray[Any]] = {}
    for name in ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh"):
        bands[name] = random.uniform(0.3, 0.6, series).astype(np.float32)
    bands["lst"] = (20 + 10 * (bands["ndvi"] - 0.45) / 0.15).astype(np.float32)  # 10 to 30
    bands["ndvi"][:, 30:38, 5:15] = 0.9  # 0.4 of the range beyond, on all days
    bands["ndvi"][:20, 6, 30] = 0.702  # a hair's breadth beyond, in May
    bands["ndvi"][30, 7, 50] = 0.1  # below, on a day of June
    bands["ndvi"][31, 9, 50] = 0.199  # a hair's breadth below
    bands["ndvi"][3, 8, 8] = np.nan
    bands["count"] = np.full(series, 2, np.int16)
    for name in ("sand", "silt", "clay"):
        bands[name] = random.uniform(22, 28, shape).astype(np.float32)
    bands["dem"] = (row + 0.3 * column).astype(np.float32)
    for code in range(5):
        bands[f"LC_{code}"] = np.full(shape, 0.2, np.float32)
    bands["lc"] = np.ones(shape, np.int8)
    bands["land"], bands["region"] = np.ones(shape, np.uint8), np.ones(shape, np.uint8)
    bands["land"][40:44, 4:8] = 0
    bands["region"][:3] = 0
    codes = 1 + (column >= BORDERS[0]) + (column >= BORDERS[1])
    bands["partition"] = codes.astype(np.int8)
    group = zarr.open_group(work.cube, mode="w")
    layout.create(group, plan)
    for name, values in bands.items():
        group[name][...] = values
    group.attrs.update(layout.attributes(plan) | {"complete": 1})
    wave = 0.03 * np.sin(row / 7) * np.cos(column / 9) + seam * (codes == 3)
    day = 0.02 * np.sin(np.arange(DAYS) / 6)[:, None, None]
    noise = random.normal(0, 0.004, series)
    sm = (0.25 + wave + day + noise).astype(np.float32)
    sm[:, (bands["land"] == 0) | (bands["region"] == 0)] = np.nan
    sm[7, 20:30, 30:45] = np.nan
    write_prediction(work, plan, sm)
    names = ease_cells(plan)
    days = pd.date_range(START, periods=DAYS)
    samples = pd.DataFrame({
        "cell": np.tile(names, DAYS), "date": days.repeat(len(names)),
        "sm": random.normal(0.25, 0.03, DAYS * len(names)).astype(np.float32),
        "smap_outage": np.repeat((days >= "2019-06-19").astype(int), len(names)), "simulated": True,
    })  # fmt: skip
    samples.loc[11, "sm"] = np.nan
    samples.to_parquet(work.samples)
    write_model(work.model)
    some = {"n": 9, **dict.fromkeys(("r", "rmse", "ubrmse", "bias", "r_time", "r_space", "variance"), 0.1)}
    truth = [FieldScore(name, r_within=r, **some) for name, r in (("downscaled", 0.5), ("SMAP", math.nan))]
    write_json(work.truth, [one.as_dict() for one in truth])
    return Made(work, plan, bands, sm, samples)


def write_prediction(work: WorkDir, plan: Manifest, sm: NDArray[np.float32]) -> None:
    with xr.open_zarr(work.cube, consolidated=False, decode_coords="all") as cube:
        empty = xr.Dataset(
            {"partitioned": cube["partition"].astype(np.uint8)},
            coords={name: cube[name] for name in ("time", "y", "x", "spatial_ref")},
            attrs={"study_hash": plan.study_hash, "simulated": 1},
        ).drop_encoding()
        create(work.prediction, empty)
    zarr.open_array(work.prediction / "sm", mode="r+")[...] = sm
    zarr.open_group(work.prediction, mode="r+").attrs.update(fingerprint="f" * 64, complete=1)


def write_model(folder: Path) -> None:
    """A model folder without its model, of five predictors."""
    card = ModelCard(
        study="s", study_hash="5" * 64, simulated=True, split="spatial", n_folds=2,
        predictors=tuple(
            PredictorCard(name=name, unit="1", least=least, greatest=greatest, missing_share=0)
            for name, (least, greatest) in RANGES.items()
        ),
        stacks=(StackCard(name="WP", samples=10, members=()),),
    )  # fmt: skip
    body = card.model_dump(mode="json")
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    folder.mkdir()
    (folder / "model.json").write_text(
        json.dumps({**body, "sha256": hashlib.sha256(text.encode()).hexdigest()}), encoding="utf-8"
    )
    (folder / "study.toml").write_text('name = "s"\n', encoding="utf-8")
