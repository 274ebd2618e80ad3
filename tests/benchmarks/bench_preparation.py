"""The whole preparation of a study on the local engine: every task of its plan, timed.

    python tests/benchmarks/bench_preparation.py [--km 90] [--days 30] [--checkpoints]
    python tests/benchmarks/bench_preparation.py --study FILE [--checkpoints] [--keep DIR]

Without a study it is a box in Anhui; --keep downloads what was exported. Sources are simulated. The engine
runs in a process of its own; tasks run as Earth Engine runs them, two at a time, and each one's own time is
printed beside the whole.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path
from typing import Any

import ee
import psutil
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from gee import exports
from gee.connection import connect
from gee.local.rest.process import start
from pipeline.planning import plan
from pipeline.study import Study

PROJECT = "my-project"
FOLDER = f"projects/{PROJECT}/assets/checkpoints"
PREFIX = "study"
CENTRE = (116.9, 31.2)  # between the Dabie mountains, Chaohu and the Jianghuai hills
KM_PER_DEGREE = 111.3


def study(km: float, days: int) -> Study:
    """A box around the centre."""
    lon, lat = CENTRE
    high, wide = km / KM_PER_DEGREE / 2, km / KM_PER_DEGREE / 2 / 0.855
    end = dt.date(2019, 7, 1) + dt.timedelta(days=days - 1)
    return Study.model_validate(
        {
            "name": "box",
            "region": {"bbox": (lon - wide, lat - high, lon + wide, lat + high)},
            "period": {"start": dt.date(2019, 7, 1), "end": end},
            "partitions": {"scheme": "anhui"},
        }
    )


def seconds(operation: dict[str, Any]) -> float:
    """How long a finished task ran."""
    begun, ended = (dt.datetime.fromisoformat(operation["metadata"][key]) for key in ("startTime", "endTime"))
    return (ended - begun).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--km", type=float, default=90)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--study", type=Path, help="a study file in place of the box")
    parser.add_argument("--keep", type=Path, help="folder to download the exported files to")
    parser.add_argument("--checkpoints", action="store_true")
    options = parser.parse_args()
    wanted = Study.load(options.study) if options.study else study(options.km, options.days)
    with tempfile.TemporaryDirectory() as folder:
        child = start(Path(folder), with_storage=True, project=PROJECT)
        address = child.address
        connect(address.url, PROJECT)
        bucket = storage.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": address.storage},
        ).create_bucket("bench")
        if options.checkpoints:
            ee.data.createFolder(FOLDER)
        began = time.perf_counter()
        planned = plan(
            wanted, options.study.parent if options.study else Path(),
            FOLDER if options.checkpoints else None, lambda what, share: None,
        )  # fmt: skip
        print(planned.title())
        print(f"{'planning':<28}{time.perf_counter() - began:8.1f} s")
        began, peak, done = time.perf_counter(), 0, {}
        waiting = list(planned.plan.products)
        running: dict[str, ee.batch.Task] = {}
        engine = psutil.Process(address.pid)
        while waiting or running:
            for product in [one for one in waiting if done.keys() >= set(one.needs)]:
                task = exports.task(product, planned.plan, bucket.name, PREFIX)
                task.start()
                running[product.name] = task
                waiting.remove(product)
            time.sleep(0.2)
            peak = max(peak, engine.memory_info().rss)
            for name, task in list(running.items()):
                operation = ee.data.getOperation(task.name)
                if operation.get("done"):
                    if "error" in operation:
                        raise SystemExit(f"{name}: {operation['error']['message']}")
                    done[name] = seconds(operation)
                    print(f"{name:<28}{done[name]:8.1f} s", flush=True)
                    del running[name]
        whole = time.perf_counter() - began
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for blob in bucket.list_blobs(prefix=PREFIX):
                blob.download_to_filename(options.keep / Path(blob.name).name)
        print(f"{'all tasks':<28}{whole:8.1f} s, engine's memory at most {peak / 2**20:.0f} MiB")
        child.stop()


if __name__ == "__main__":
    main()
