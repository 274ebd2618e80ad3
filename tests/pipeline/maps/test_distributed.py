"""Threads, processes and a Dask cluster make the same map bit for bit, and a worker may die on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.errors import ConfigError, DataError, GeeSmapError
from pipeline.maps import scheduling
from pipeline.maps.blocks import Job
from pipeline.maps.mapped import Mapped
from pipeline.maps.mapping import _missed, predict_cube
from tests.pipeline.small_cubes import bands_of, write_cube
from tests.simulated_samples import simulate

SIDE, DAYS = 200, 33
BLOCKS = 32
DASK = Path(sys.executable).with_name("dask")
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 x 200 pixels on 33 days: more than one core predicts in the time it takes to kill a worker."""
    bands = bands_of(simulate(side=50, days=DAYS).samples, 50)
    bands = {name: np.tile(values, (1,) * (values.ndim - 2) + (4, 4)) for name, values in bands.items()}
    return write_cube(tmp_path_factory.mktemp("cube") / "cube.zarr", bands)


@pytest.fixture(scope="module")
def by_threads(trained, cube: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder = tmp_path_factory.mktemp("threads")
    return predict_cube(trained.model, cube, folder / "prediction.zarr", folder / "images")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts parts of a cluster; all of them have ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: object, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(hidden)} if hidden else {})
        with (tmp_path / f"log-{len(running)}").open("wb") as log:
            process = subprocess.Popen(
                [DASK, *map(str, command), "--host", "127.0.0.1", "--no-dashboard"],
                stdout=log, stderr=log, cwd=tmp_path, env=environment,
            )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def scheduler(start: Start, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A Dask scheduler in a process of its own, and its address."""
    process = start("scheduler", "--port", "0", "--scheduler-file", folder / "scheduler.json")
    while not (folder / "scheduler.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process, str(json.loads((folder / "scheduler.json").read_text())["address"])


def assert_same(found: Mapped, wanted: Mapped) -> None:
    one, other = (
        xr.open_zarr(each.path, chunks=None, consolidated=False)["sm"].to_numpy() for each in (found, wanted)
    )
    assert np.isfinite(other).all()
    np.testing.assert_array_equal(one, other)
    images = sorted(wanted.images.glob("*.tif"))
    assert len(images) == DAYS
    for path in images:
        assert (found.images / path.name).read_bytes() == path.read_bytes()


def test_processes_of_this_machine_make_the_same_map(trained, cube, by_threads, tmp_path):
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images", workers=2)
    assert done.computed == BLOCKS
    assert_same(done, by_threads)


def test_a_cluster_makes_the_same_map_although_a_worker_is_killed(
    trained, cube, by_threads, tmp_path, start, monkeypatch
):
    paths = trained.model, cube, tmp_path / "p.zarr", tmp_path / "images"
    _, address = scheduler(start, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(scheduling, "PATIENCE_SECONDS", 1)
        with pytest.raises(ConfigError, match="has no workers; start one with: dask worker tcp://127"):
            predict_cube(*paths, scheduler=address)

    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").touch()  # hides the real one
    without = start("worker", address, "--no-nanny", "--nthreads", 1, hidden=tmp_path)
    with pytest.raises(DataError, match=r"1 of 1 Dask workers cannot take part.*this version of gee-smap"):
        predict_cube(*paths, scheduler=address)
    without.kill()
    without.wait()

    workers = [start("worker", address, "--no-nanny", "--nthreads", 1) for _ in range(2)]
    left: list[int] = []

    def kill_one(what: str, share: float) -> None:
        stage, _, count = what.partition(": ")
        if stage == "prediction" and int(count.split()[0]) >= 4 and not left:
            workers[0].send_signal(signal.SIGKILL)
            assert workers[0].wait(10) == -signal.SIGKILL
            left.append(BLOCKS - int(count.split()[0]))

    done = predict_cube(*paths, kill_one, scheduler=address)
    assert left[0] > BLOCKS // 2  # it was killed midway
    assert done.computed == BLOCKS
    assert workers[1].poll() is None
    assert_same(done, by_threads)


def test_a_scheduler_that_is_lost_is_told_and_the_next_run_goes_on(
    trained, cube, by_threads, tmp_path, start
):
    process, address = scheduler(start, tmp_path)
    start("worker", address, "--no-nanny", "--nthreads", 2)

    def kill(what: str, share: float) -> None:
        if what.startswith("prediction: 3 "):
            process.kill()

    with pytest.raises(GeeSmapError, match=r"scheduler on tcp://127.* was lost. Run again once it is back"):
        predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images", kill, scheduler=address)
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    assert 0 < done.computed <= BLOCKS - 3
    assert_same(done, by_threads)


def test_a_worker_that_does_not_see_the_same_says_what_it_misses(trained, cube, by_threads, tmp_path):
    """In this process: all of this machine sees the same files."""
    job = Job(trained.model, trained.training.card.sha256, cube, by_threads.path, (0,), 0.0, ("sm",), "")
    here = version("gee-smap")
    assert _missed(job, here) == ""
    assert _missed(job, "99") == f"it has gee-smap {here}, not 99"
    elsewhere = replace(job, cube=tmp_path / "cube.zarr")
    assert _missed(elsewhere, here) == f"it does not see {tmp_path / 'cube.zarr' / 'zarr.json'}"
    assert _missed(replace(job, model_hash="0"), here) == f"it sees another model in {trained.model}"


def test_where_there_is_no_scheduler_is_told(trained, cube, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduling, "PATIENCE_SECONDS", 1)
    with pytest.raises(ConfigError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers"):
        predict_cube(
            trained.model, cube, tmp_path / "p.zarr", tmp_path / "images", scheduler="tcp://127.0.0.1:9"
        )
