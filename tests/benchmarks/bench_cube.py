"""Building a season's cube beside copying its files, and maps and series for several chunks. Linux only.

    python tests/benchmarks/bench_cube.py [--folder DIR] [--width 486] [--height 612] [--months 7] [--layouts]

Images are written first: random fields with holes, whose last bits no compression removes, in tiles of 128
pixels with all bands of a pixel together, as the local engine exports them. Nothing in them was observed. The
build runs in a process of its own, whose peak memory is told; the copy is synchronised to the disk.
"""

from __future__ import annotations

import argparse
import calendar
import datetime as dt
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
import zarr
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from gee.exports import NODATA, band_name
from gee.predictors import PAPER
from pipeline.cubes.cube import build, open_cube
from pipeline.cubes.layout import CODEC, DAYS, SIDE, daily, still
from pipeline.work.manifest import Manifest, Task

YEAR, FIRST = 2019, 4
DAILY, STILL = daily(PAPER), still(PAPER)
TRANSFORM = (1000, 0, 300_000, 0, -1000, 3_850_000)
LAYOUTS = (
    (32, 64, 64),
    (32, 32, 32),
    (16, 64, 64),
    (8, 64, 64),
    (32, 128, 128),
    (1, 256, 256),
    (224, 16, 16),
)


def write(path: Path, names: list[str], stack: np.ndarray) -> None:
    count, height, width = stack.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype="float32", nodata=NODATA,
        crs="EPSG:32650", transform=Affine(*TRANSFORM), compress="lzw", interleave="pixel", tiled=True,
        blockxsize=128, blockysize=128,
    ) as file:  # fmt: skip
        file.write(stack)
        file.descriptions = names


def exports(folder: Path, width: int, height: int, months: int) -> Manifest:
    """Write a season's images."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.standard_normal((len(DAILY), height, width)), (0, 6, 6)).astype(np.float32)
    still = np.ones((len(STILL), height, width), np.float32)
    write(folder / "static-0123456789.tif", list(STILL), still)
    tasks = [Task(task="static-0123456789", name="static", kind="image", columns=STILL)]
    for month in range(FIRST, FIRST + months):
        days = [dt.date(YEAR, month, day + 1) for day in range(calendar.monthrange(YEAR, month)[1])]
        names = [band_name(band, day) for day in days for band in DAILY]
        shape = (len(days), len(DAILY), height, width)
        stack = smooth + 0.02 * rng.standard_normal(shape, np.float32)
        stack[:, DAILY.index("count")] = 4
        stack[:, DAILY.index("lst")][stack[:, DAILY.index("lai")] > 0.05] = NODATA
        name = f"dynamic-{YEAR}-{month:02}"
        tasks.append(Task(task=f"{name}-0123456789", name=name, kind="image", columns=tuple(names)))
        write(folder / f"{name}-0123456789.tif", names, stack.reshape(-1, height, width))
    return Manifest(
        study="bench", study_hash="0", preset="recommended", simulated=True, start=dt.date(YEAR, FIRST, 1),
        end=days[-1], places=(), area_km2=width * height, crs="EPSG:32650", width=width, height=height,
        crs_transform=TRANSFORM, cells=0, partitions=("one",), partition_rule="", sources={},
        checkpoints=None, eecu_seconds_per_megapixel=0, tasks=tuple(tasks),
    )  # fmt: skip


def built(manifest: Manifest, folder: Path, out: Path) -> tuple[float, float, int]:
    """Seconds that a build takes, those of its processors, and its process's peak memory in bytes."""
    began, idle = time.monotonic(), time.process_time()
    build(manifest, folder, out, lambda what, share: None)
    took, spent = time.monotonic() - began, time.process_time() - idle
    lines = Path("/proc/self/status").read_text().splitlines()
    return took, spent, next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def copied(folder: Path, out: Path) -> float:
    began = time.monotonic()
    shutil.copytree(folder, out)
    os.sync()
    took = time.monotonic() - began
    shutil.rmtree(out)
    return took


def milliseconds(read: Callable[[int], object], times: int = 5) -> float:
    began = time.monotonic()
    for number in range(times):
        read(number)
    return 1000 * (time.monotonic() - began) / times


def layouts(cube: Path, folder: Path) -> None:
    """Maps and series of one variable, cut in other ways."""
    values = zarr.open_array(cube, path="ndvi", mode="r")[...]
    for chunks in LAYOUTS:
        shard = tuple(
            -(-side // chunk) * chunk for side, chunk in zip((DAYS, SIDE, SIDE), chunks, strict=True)
        )
        layout(values, folder / "layout.zarr", chunks, None)
        layout(values, folder / "layout.zarr", chunks, shard)


def layout(values: np.ndarray, path: Path, chunks: tuple[int, ...], shards: tuple[int, ...] | None) -> None:
    shutil.rmtree(path, ignore_errors=True)
    array = zarr.create_array(
        path, shape=values.shape, chunks=chunks, shards=shards, dtype="f4", compressors=CODEC
    )
    began = time.monotonic()
    array[...] = values
    rate = values.nbytes / 1e6 / (time.monotonic() - began)
    files = [file for file in path.rglob("*") if file.is_file()]
    days, height, width = values.shape
    day = milliseconds(lambda number: array[number * days // 5])
    pixel = milliseconds(lambda number: array[:, number * height // 5, width // 2])
    print(
        f"chunks {chunks!s:15} {'in shards' if shards else 'as files ':9}: map {day:6.1f} ms, series "
        f"{pixel:6.1f} ms, written at {rate:4.0f} MB/s, {len(files):5,} files"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--width", type=int, default=486)
    parser.add_argument("--height", type=int, default=612)
    parser.add_argument("--months", type=int, default=7)
    parser.add_argument("--layouts", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        here = Path(name)
        manifest = exports(here / "exports", options.width, options.height, options.months)
        size = sum(file.stat().st_size for file in (here / "exports").iterdir()) / 1e6
        days = len(manifest.days)
        raw = days * len(DAILY) * options.width * options.height * 4 / 1e6
        print(
            f"{options.width} x {options.height} pixels, {days} days: {size:,.0f} MB of files, {raw:,.0f} MB "
            "in memory"
        )
        for _ in range(2):
            copy = copied(here / "exports", here / "copy")
            shutil.rmtree(here / "cube.zarr", ignore_errors=True)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                took, spent, peak = pool.submit(
                    built, manifest, here / "exports", here / "cube.zarr"
                ).result()
            print(
                f"built in {took:.1f} s ({spent:.1f} s of processors), {raw / took:.0f} MB/s, peak memory "
                f"{peak / 2**20:.0f} MiB; files copied in {copy:.1f} s, {size / copy:.0f} MB/s; load "
                f"{os.getloadavg()[0]:.1f}"
            )
        files = [file for file in (here / "cube.zarr").rglob("*") if file.is_file()]
        print(f"cube: {len(files):,} files, {sum(file.stat().st_size for file in files) / 1e6:,.0f} MB")
        began = time.monotonic()
        cube = open_cube(here / "cube.zarr")
        print(f"opened in {1000 * (time.monotonic() - began):.0f} ms")
        ndvi = cube["ndvi"]
        day = milliseconds(lambda number: ndvi[number * days // 5].to_numpy())
        pixel = milliseconds(lambda number: ndvi[:, number * options.height // 5, 100].to_numpy())
        print(f"through xarray and Dask: map {day:.0f} ms, series {pixel:.0f} ms")
        if options.layouts:
            layouts(here / "cube.zarr", here)


if __name__ == "__main__":
    main()
