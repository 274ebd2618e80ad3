"""Time the map of a region from its cube against a plain loop over its days.

Run: python -m tests.benchmarks.bench_mapping [--full | --days 32] [--workers 2] [--added]

The cube and the model are simulated: 495 x 612 pixels, all of them land, on 64 days, or with ``--full`` on
the 215 of the season of Xu et al. 2024. ``ours`` is ``predict_cube`` with all it does: reading, predicting,
the Zarr store and the images, without correction, intervals and applicability; with ``--added`` only what
each of these adds to it is measured, on EASE cells whose SMAP is made up. ``plain`` opens each day with
xarray, calls the libraries' own ``predict`` for each partition and writes a GeoTIFF with rasterio, on the
first days only. Both read the same cube, use the same trees and all processors, each in a process of its own.
Seconds of the clock hang on what else the machine does, so the plain loop runs before and after ours and its
better time counts; seconds of the processors are printed beside them. The lower bounds are the predictor
alone on arrays in memory, and reading the cube alone. Linux only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401
import pandas as pd
import rasterio
import xarray as xr
import zarr

from models import store
from models.learners import cores
from models.partitioned import WP
from pipeline.cubes import layout
from pipeline.learning.train import study_of, train
from pipeline.maps.bands import SM
from pipeline.maps.blocks import Block, Job, Mapper
from pipeline.maps.footprints import EASE, Footprints
from pipeline.maps.mapping import predict_cube
from pipeline.maps.prediction_store import blocks
from pipeline.study import Maps
from tests.pipeline.small_cubes import bands_of, manifest
from tests.simulated_samples import simulate

TRAINING_SIDE, TRAINING_DAYS = 20, 150  # 60,000 samples
TILE = 100  # pixels; side of the simulated region that the cube repeats
SHAPE = 495, 612  # pixels; Anhui
PLAIN_DAYS = 8
ADDED = ("conserve", "intervals", "applicability")
STUDY = 'name = "bench"\n[splits]\nnames = ["random"]\n'


class Clock:
    """Seconds of the clock and of the processors since the start, added up by name."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        before = self.spent.get(name, (0.0, 0.0))
        self.spent[name] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)


def make_model(folder: Path) -> Path:
    samples = simulate(TRAINING_SIDE, TRAINING_DAYS).samples.assign(simulated=True)
    samples.to_parquet(folder / "samples.parquet")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    train(folder / "samples.parquet", folder / "study.toml", folder / "model")
    return folder / "model"


def make_cube(path: Path, days: int, height: int, width: int) -> Path:
    bands = bands_of(simulate(TILE, days).samples, TILE)
    plan = manifest(days, height, width)
    root = zarr.open_group(path, mode="w")
    layout.create(root, plan)
    repeats = (-(-height // TILE), -(-width // TILE))
    for name, values in bands.items():
        if values.ndim == 2:
            root[name][...] = np.tile(values, repeats)[:height, :width]
            continue
        for part in layout.slabs(days):
            root[name][part] = np.tile(values[part], (1, *repeats))[:, :height, :width]
    root.attrs.update(layout.attributes(plan) | {"complete": 1})
    return path


def make_samples(path: Path, cube: Path) -> Path:
    """SMAP of every cell that the cube touches, a field of its own each day."""
    with xr.open_zarr(cube, chunks=None, consolidated=False, decode_coords="all") as data:
        grid, days = data.odc.geobox, data["time"].to_numpy()
    names = Footprints.covering(EASE, grid, np.ones(grid.shape[0] * grid.shape[1], bool)).names
    values = np.random.default_rng(0).normal(0.25, 0.04, len(names) * len(days))
    pd.DataFrame(
        {"cell": np.tile(names, len(days)), "date": days.repeat(len(names)), "sm": values, "simulated": True}
    ).to_parquet(path)
    return path


def ours(
    model: Path, cube: Path, out: Path, workers: int | None, samples: Path | None = None,
    wanted: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    clock = Clock()
    maps = Maps(**{name: name in wanted for name in ADDED})
    predict = partial(
        predict_cube, model, cube, out / "prediction.zarr", out / "images", workers=workers, samples=samples,
        study=study_of(model).model_copy(update={"maps": maps}),
    )  # fmt: skip
    with clock("all"):
        done = predict()
    status = Path("/proc/self/status").read_text()  # ru_maxrss also counts the process that started this one
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    with clock("again"):
        predict()
    return {"rows": done.pixels * len(done.days), "spent": clock.spent, "peak": peak}


def plain(model: Path, cube: Path, out: Path, days: int) -> dict[str, Any]:
    clock, threads = Clock(), cores()
    fitted, card = store.load(model)
    data = xr.open_zarr(cube, chunks=None, consolidated=False, decode_coords="all")
    names = np.array([WP, *data.attrs["partition_names"]])
    land = (data["land"].to_numpy() == 1) & (data["region"].to_numpy() == 1)
    partition = names[data["partition"].to_numpy()[land]]
    X = np.empty((int(land.sum()), len(card.features)), np.float32)
    profile = {
        "driver": "GTiff", "count": 1, "dtype": "float32", "height": land.shape[0], "width": land.shape[1],
        "crs": "EPSG:32650", "transform": data.odc.geobox.affine, "nodata": -9999.0, "compress": "DEFLATE",
        "predictor": 3, "tiled": True,
    }  # fmt: skip
    out.mkdir()
    for place in range(days):
        with clock("read"):
            day = data.isel(time=place)
            for column, name in enumerate(card.features):
                if name == "doy":
                    X[:, column] = int(day["time"].dt.dayofyear)
                else:
                    X[:, column] = day[name].to_numpy()[land]
        sm = np.empty(len(X), np.float32)
        with clock("predict"):
            for name, stack in fitted.stacks.items():
                if len(rows := np.flatnonzero(partition == name)):
                    part = X[rows]
                    members = [
                        learner.predict(stack.models_[learner.name], part, threads)
                        for learner in stack.learners
                    ]
                    sm[rows] = np.column_stack(members) @ stack.weights_
        with clock("write"), rasterio.open(out / f"{place}.tif", "w", **profile) as file:
            image = np.full(land.shape, -9999.0, np.float32)
            image[land] = sm
            file.write(image, 1)
    return {"rows": len(X) * days, "spent": clock.spent}


def bounds(model: Path, cube: Path, out: Path) -> dict[str, Any]:
    clock = Clock()
    data = xr.open_zarr(cube, chunks=None, consolidated=False)
    days, height, width = data["ndvi"].shape
    held = store.read_card(model).sha256
    mapper = Mapper(Job(model, held, cube, out, tuple(range(days)), 0.0, (SM,), "bench"))
    wanted = blocks(days, height, width)
    with clock("read"):
        for block in wanted:
            mapper.read(mapper.tile(block), block)
    some = wanted[: 4 * cores()]
    features = [mapper.features.values(mapper.read(mapper.tile(block), block)) for block in some]

    def predict(block: Block, features: list[np.ndarray]) -> int:
        shape = block.time.stop - block.time.start
        found = [
            mapper.predictors[part.stack].predict(features, part.pixels, shape)
            for part in mapper.tile(block).parts
        ]
        return sum(one.size for one in found)

    predict(some[0], features[0])
    with clock("predict"), ThreadPoolExecutor(cores()) as pool:
        rows = sum(pool.map(predict, some, features))
    return {"read": days * height * width, "predict": rows, "spent": clock.spent}


def alone(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def total(spent: dict[str, tuple[float, float]]) -> tuple[float, float]:
    return sum(one[0] for one in spent.values()), sum(one[1] for one in spent.values())


def added(days: int, workers: int | None, folder: Path) -> None:
    """What correction, intervals and applicability add to a prediction, alone and together."""
    height, width = SHAPE
    model = make_model(folder)
    cube = make_cube(folder / "cube.zarr", days, height, width)
    samples = make_samples(folder / "samples.parquet", cube)
    print(f"{days} days of {height} x {width} pixels, {cores()} processors", flush=True)
    plain_before = alone(ours, model, cube, folder / "first", workers)
    for wanted in (*((name,) for name in ADDED), ADDED):
        out = folder / "-".join(wanted)
        found = alone(ours, model, cube, out, workers, samples, wanted)
        again = alone(ours, model, cube, folder / f"{out.name}-plain", workers)
        wall, cpu = np.array(found["spent"]["all"]) / np.minimum(
            plain_before["spent"]["all"], again["spent"]["all"]
        )
        print(
            f"{', '.join(wanted):40}{found['spent']['all'][1]:8.1f} processor seconds beside "
            f"{again['spent']['all'][1]:.1f}: {cpu:.2f} x, by the clock {wall:.2f} x; peak "
            f"{found['peak'] / 1e6:,.0f} MB beside {again['peak'] / 1e6:,.0f}",
            flush=True,
        )
        plain_before = again


def measure(days: int, workers: int | None, folder: Path) -> None:
    height, width = SHAPE
    model = make_model(folder)
    cube = make_cube(folder / "cube.zarr", days, height, width)
    size = sum(path.stat().st_size for path in cube.rglob("*") if path.is_file())
    predictors = len(store.read_card(model).features)
    print(f"{days} days of {height} x {width} pixels, all land, {predictors} predictors")
    print(f"cube {size / 1e6:,.0f} MB, {cores()} processors, {workers or 'no'} worker processes", flush=True)
    before = alone(plain, model, cube, folder / "before", PLAIN_DAYS)
    mapped = alone(ours, model, cube, folder / "ours", workers)
    after = alone(plain, model, cube, folder / "after", PLAIN_DAYS)
    loop = min(before, after, key=lambda one: total(one["spent"])[0])
    bound = alone(bounds, model, cube, folder / "ours" / "prediction.zarr")

    def line(name: str, rows: int, spent: tuple[float, float], note: str = "") -> None:
        wall, cpu = spent
        print(
            f"{name:36}{rows:>12,} rows{wall:9.1f} s{rows / wall / 1e3:9.0f} k rows/s"
            f"{rows / cpu / 1e3:9.0f} k rows per processor second  {note}",
            flush=True,
        )

    line("plain loop", loop["rows"], total(loop["spent"]))
    for name, spent in loop["spent"].items():
        line(f"  {name} alone", loop["rows"], spent)
    line("ours", mapped["rows"], mapped["spent"]["all"], f"peak {mapped['peak'] / 1e6:,.0f} MB")
    print(f"{'ours, a second call':36}{'':>17}{mapped['spent']['again'][0]:9.1f} s")
    line("bound: predictor alone, in memory", bound["predict"], bound["spent"]["predict"])
    line("bound: reading alone, one thread", bound["read"], bound["spent"]["read"])

    def rate(rows: int, spent: tuple[float, float]) -> np.ndarray:
        return rows / np.array(spent)

    fast = rate(mapped["rows"], mapped["spent"]["all"])
    for name, slow in (
        ("the plain loop", rate(loop["rows"], total(loop["spent"]))),
        ("its calls of predict alone", rate(loop["rows"], loop["spent"]["predict"])),
        ("the predictor alone", rate(bound["predict"], bound["spent"]["predict"])),
    ):
        wall, cpu = fast / slow
        print(f"ours / {name:28}{wall:6.2f} x by the clock{cpu:6.2f} x by the processors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the province and season")
    parser.add_argument("--days", type=int, default=64, help="of the cube")
    parser.add_argument("--workers", type=int, help="processes in place of threads")
    parser.add_argument("--added", action="store_true", help="only what correction and bands add")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = added if given.added else measure
        work(215 if given.full else given.days, given.workers, Path(scratch))
