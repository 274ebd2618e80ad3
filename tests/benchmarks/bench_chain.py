"""The chain of the example, stage by stage, beside what the bytes and pixels of each stage cost at least.

    python tests/benchmarks/bench_chain.py [--workdir DIR]

Bounds are measured in the same run: copying the same bytes on the disk, sending them to the same storage
emulator, predicting the same rows from an array in memory. The export's own bound is the engine's: the time
of its tasks, two at a time. Sources are simulated. Below stands what monthly stacks save over one image for
each day and predictor. Memory is that of all processes together, the engine's included.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import rasterio

from gee.predictors import DYNAMIC
from models import store
from pipeline import run
from pipeline.cloud.place import Cloud, open_cloud
from pipeline.cubes.cube import open_cube
from pipeline.settings import Settings
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

DAYS_REWRITTEN = 5


class Peak:
    """Watches the memory of this process and its children."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def size(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


def copying(path: Path) -> float:
    """Seconds to copy a file or folder on the same disk."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        began = time.perf_counter()
        if path.is_file():
            shutil.copyfile(path, Path(folder) / "copy")
        else:
            shutil.copytree(path, Path(folder) / "copy")
        return time.perf_counter() - began


def sending(cloud: Cloud, work: WorkDir) -> float:
    """Seconds to send the bytes of the images to the storage as one object."""
    body = b"".join(path.read_bytes() for path in sorted(work.images.glob("*.tif")))
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(body)
        file.flush()
        began = time.perf_counter()
        cloud.bucket.upload([Path(file.name)], "bench", lambda what, share: None)
        return time.perf_counter() - began


def predicting(work: WorkDir) -> float:
    """Seconds to predict as many rows as the map has, from an array in memory, by WP alone."""
    fitted, card = store.load(work.model)
    with open_cube(work.cube) as cube:
        rows = int((cube["land"] * cube["region"]).sum()) * cube.sizes["time"]
    X = np.random.default_rng(0).random((rows, len(card.features)), np.float32)
    fitted.predict(X[:1000])
    began = time.perf_counter()
    fitted.predict(X)
    return time.perf_counter() - began


def task_seconds(work: WorkDir) -> float:
    """Seconds of all tasks on the engine."""
    with Ledger(work.ledger) as ledger:
        return sum(task.seconds or 0 for task in ledger.tasks())


def day_by_day(work: WorkDir, manifest: Manifest) -> tuple[int, int, int]:
    """Bytes of some days in the monthly stack's share, and as an image for each day and predictor."""
    [task] = [task for task in manifest.tasks if task.name.startswith("dynamic")][:1]
    path = work.exports / f"{task.task}.tif"
    single = 0
    with rasterio.open(path) as file, tempfile.TemporaryDirectory() as folder:
        profile = {
            "driver": "COG", "height": file.height, "width": file.width, "count": 1, "dtype": "float32",
            "crs": file.crs, "transform": file.transform, "nodata": file.nodata,
            "compress": file.profile.get("compress", "deflate"),
        }  # fmt: skip
        bands = range(1, DAYS_REWRITTEN * (len(DYNAMIC) + 1) + 1)
        for band in bands:
            out = Path(folder) / "one.tif"
            with rasterio.open(out, "w", **profile) as one:
                one.write(file.read(band), 1)
            single += out.stat().st_size
        share = path.stat().st_size * len(bands) // file.count
        return share, single, len(bands)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, help="kept; None is a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, Peak() as peak:
        work = WorkDir(options.workdir or Path(temporary) / "work")
        began = time.perf_counter()
        cloud = open_cloud(Settings.load(), "local", Path(temporary) / "engine")
        connecting = time.perf_counter() - began
        done = run.run(work, cloud, lambda what, share: None)
        whole = time.perf_counter() - began
        bounds = {
            "export": (task_seconds(work) / 2, "its tasks, two at a time"),
            "predict": (predicting(work), "the rows from memory, WP alone"),
            "publish": (sending(cloud, work), "its bytes as one object"),
            "map": (copying(work.prediction), "copy of the prediction"),
        }
        print(f"{'stage':<10}{'s':>8}{'bound s':>10}{'ratio':>8}  bound")
        print(f"{'connect':<10}{connecting:8.1f}")
        for stage in done.stages:
            bound, of = bounds.get(stage.name, (None, ""))
            told = f"{bound:10.2f}{stage.seconds / max(bound, 1e-9):8.1f}  {of}" if bound is not None else ""
            print(f"{stage.name:<10}{stage.seconds:8.1f}{told}")
        print(f"{'all':<10}{whole:8.1f}   {peak.bytes / 2**20:,.0f} MiB at most, all processes together")
        began = time.perf_counter()
        again = run.run(work, cloud, lambda what, share: None)
        print(f"again     {time.perf_counter() - began:8.1f}   did anything: {again.made}")

        manifest = done.manifest
        stacked, single, bands = day_by_day(work, manifest)
        exports = sum(task.kind == "image" for task in manifest.tasks)
        singles = len(manifest.days) * (len(DYNAMIC) + 1) + 1
        print(
            f"images to export: {exports}, for each day and predictor: {singles} ({singles / exports:.0f}x)\n"
            f"bytes of {bands} bands: {stacked:,} in the stack, {single:,} as images of their own "
            f"({stacked / single:.2f}x)"
        )


if __name__ == "__main__":
    main()
