"""Steps between the exports and what is made of them, with a bucket that does not keep what it was given."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gee.local.rest.storage import start_storage
from pipeline import steps
from pipeline.cloud.storage import Bucket, open_bucket
from pipeline.errors import ConfigError, DataError
from pipeline.work.ledger import Ledger, TaskRow
from pipeline.work.manifest import Manifest, Task
from pipeline.work.workdir import WorkDir
from tests.pipeline import small_cubes

PREFIX = "simulated-small"  # of the study of that name
TASKS = {"static-aa": ["static-aa.tif"],
         "dynamic-2019-04-bb": [f"dynamic-2019-04-bb{part}.tif" for part in
                                ("0000000000-0000000000", "0000000000-0000000256")],
         "cells-2019-04-cc": ["cells-2019-04-cc.csv"]}  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = start_storage(tmp_path_factory.mktemp("storage"), tmp_path_factory.mktemp("log") / "log")
    yield running.url
    running.stop()


@pytest.fixture
def bucket(url: str, tmp_path: Path) -> Bucket:
    """Holds the files of three tasks, one of them in two parts."""
    opened = open_bucket(f"b-{uuid.uuid4()}", "my-project", url, create=True)
    (tmp_path / "made").mkdir()
    names = [name for files in TASKS.values() for name in files]
    for name in names:
        (tmp_path / "made" / name).write_text(f"content of {name}")
    opened.upload([tmp_path / "made" / name for name in names], PREFIX, quiet)
    return opened


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path / "work")


@pytest.fixture
def manifest() -> Manifest:
    tasks = tuple(
        Task(task=task, name=task[:-3], kind="table" if task[0] == "c" else "image", columns=("v",))
        for task in TASKS
    )
    return small_cubes.manifest(30, 2, 2).model_copy(update={"tasks": tasks})


def quiet(*_: object) -> None:
    """Nobody to report to."""


def cloud(bucket: Bucket) -> Any:
    return SimpleNamespace(bucket=bucket)


def emptied(bucket: Bucket) -> None:
    bucket.remove([one.name for one in bucket.listing("")])


def test_each_tasks_files_are_fetched_however_many_it_wrote(
    work: WorkDir, manifest: Manifest, bucket: Bucket
) -> None:
    done = steps.download(work, manifest, cloud(bucket), quiet)
    wanted = {name: f"content of {name}" for files in TASKS.values() for name in files}
    assert {path.name: path.read_text() for path in work.exports.iterdir()} == wanted
    assert len(done.moved) == len(wanted)
    assert steps.download(work, manifest, cloud(bucket), quiet).moved == frozenset()


def test_what_was_fetched_is_enough_when_the_bucket_is_emptied(
    work: WorkDir, manifest: Manifest, bucket: Bucket
) -> None:
    steps.download(work, manifest, cloud(bucket), quiet)
    emptied(bucket)
    assert steps.download(work, manifest, cloud(bucket), quiet).moved == frozenset()


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_of_what_was_fetched_each_file_counts_only_as_it_was(
    damage: str, work: WorkDir, manifest: Manifest, bucket: Bucket
) -> None:
    steps.download(work, manifest, cloud(bucket), quiet)
    emptied(bucket)
    path = work.exports / TASKS["dynamic-2019-04-bb"][1]
    path.unlink() if damage == "gone" else path.write_text("something else")
    with pytest.raises(DataError, match=r"holds no file of dynamic-2019-04-bb: gee-smap export makes them"):
        steps.download(work, manifest, cloud(bucket), quiet)


def ledger_with_all_done(work: WorkDir, manifest: Manifest, destination: str) -> None:
    with Ledger(work.ledger) as ledger:
        ledger.add(TaskRow(task.task, task.name, task.kind, destination) for task in manifest.tasks)
        for row in ledger.tasks():
            assert ledger.change(row, replace(row, state="succeeded", operation=f"o/{row.task}", attempts=1))


@pytest.mark.parametrize(
    ("elsewhere", "again"), [(False, {"static-aa"}), (True, set())], ids=["this bucket", "another"]
)
def test_export_makes_again_what_it_says_it_makes_again(
    elsewhere: bool, again: set[str], work: WorkDir, manifest: Manifest, bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ledger_with_all_done(
        work, manifest, ("gs://another/place" if elsewhere else bucket.uri(PREFIX)) + " (simulated)"
    )
    bucket.remove([f"{PREFIX}/static-aa.tif"])
    found: dict[str, str] = {}

    def export(*of: object, **more: object) -> Any:
        with Ledger(work.ledger) as ledger:
            found.update({row.task: row.state for row in ledger.tasks()})
            assert {f"o/{task}" for task in again} == ledger.spent()
        return SimpleNamespace(manifest=manifest)

    monkeypatch.setattr(steps, "export", export)
    # The month was split on the way, of which the study's own plan knows nothing: the one on disk does.
    manifest.write(work.manifest)
    manifest = manifest.model_copy(update={"tasks": manifest.tasks[1:]})
    plan: Any = SimpleNamespace(
        plan=None, manifest=lambda: manifest, study=SimpleNamespace(name="Simulated, small")
    )
    steps.exported(plan, work, cloud(bucket), quiet)
    assert found == {task: "planned" if task in again else "succeeded" for task in TASKS}


def test_detach_has_nothing_to_leave_where_pixels_come_through_xee(work: WorkDir, bucket: Bucket) -> None:
    study: Any = SimpleNamespace(period=None)
    with pytest.raises(ConfigError, match="--detach leaves tasks to the engine, and --via xee has none"):
        steps.prepare(study, work, cloud(bucket), quiet, detach=True, via="xee", checkpoints=True)
