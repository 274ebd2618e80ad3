"""Simulated cubes: the cells of ``tests.simulated_samples`` as pixels of 1 km. Nothing here was observed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from pipeline.cubes import layout
from pipeline.work.manifest import Manifest

PARTITIONS = ("plain", "hills", "mountain")
Bands = dict[str, NDArray[np.generic]]
"""Values by variable: (time, y, x), or (y, x) of what does not change."""


def manifest(days: int, height: int, width: int, start: dt.date = dt.date(2019, 4, 1)) -> Manifest:
    """A plan of that many days and pixels."""
    return Manifest(
        study="simulated-small", study_hash="5" * 64, preset="recommended", simulated=True, start=start,
        end=start + dt.timedelta(days=days - 1), places=("nowhere",), area_km2=height * width,
        crs="EPSG:32650", width=width, height=height,
        crs_transform=(1000, 0, 500_000, 0, -1000, 3_600_000), cells=0, partitions=PARTITIONS,
        partition_rule="simulated", sources={}, checkpoints=None, eecu_seconds_per_megapixel=0, tasks=(),
    )  # fmt: skip


def bands_of(samples: pd.DataFrame, side: int) -> Bands:
    """The samples of ``simulate(side, days)`` on a grid of ``side`` by ``side`` pixels, all of them land."""
    days = len(samples) // side**2
    bands: Bands = {
        name: samples[name].to_numpy().reshape(days, side, side)
        for name in ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh")
    }
    bands["count"] = np.full((days, side, side), 2, np.int16)
    for name in ("sand", "silt", "clay", "dem", "LC_1", "LC_2", "LC_3", "LC_4"):
        bands[name] = samples[name].to_numpy()[: side**2].reshape(side, side)
    bands["LC_0"] = np.zeros((side, side), np.float32)
    shares = np.stack([bands[f"LC_{code}"] for code in range(5)])
    bands["lc"] = shares.argmax(axis=0).astype(np.int8)
    bands["land"] = bands["region"] = np.ones((side, side), np.uint8)
    codes = samples["partition"][: side**2].map({name: code for code, name in enumerate(PARTITIONS, start=1)})
    bands["partition"] = codes.to_numpy(np.int8).reshape(side, side)
    return bands


def write_cube(path: Path, bands: Bands, **attributes: object) -> Path:
    """A whole cube in the layout of ``pipeline.cubes.cube``, with attributes in place of its own."""
    plan = manifest(*bands["ndvi"].shape)
    root = zarr.open_group(path, mode="w")
    layout.create(root, plan)
    for name, values in bands.items():
        root[name][...] = values
    root.attrs.update(layout.attributes(plan) | {"complete": 1} | attributes)
    return path
