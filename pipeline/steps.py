"""Steps of a study that the commands and the whole run share: export, download, clean up, publish."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from pipeline import planning
from pipeline.cloud.place import Cloud, slug
from pipeline.cloud.storage import Bucket
from pipeline.cloud.transfers import StoredObject, Transfer, checksum
from pipeline.cubes.cube import Built, build
from pipeline.cubes.from_xee import fill_from_xee
from pipeline.errors import ConfigError, DataError
from pipeline.exporting.export import Exported, Status, export, status
from pipeline.planning import Planned
from pipeline.progress import Report, within
from pipeline.publishing.needed import needed
from pipeline.publishing.publish import Published, publish
from pipeline.study import Study
from pipeline.tables.joining import Joined, join_samples
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest, Task
from pipeline.work.workdir import WorkDir

SUFFIX = len(".tif")  # ".csv" is as long
Via = Literal["gcs", "xee"]
SHARD = re.compile(r"\d{10}-\d{10}$")


@dataclass(frozen=True)
class Prepared:
    """Exports, and what was made of them here.

    Attributes:
        manifest: of the plan.
        tasks: what became of the exports.
        transfer: the files fetched; None where the engine was left to itself, or nothing goes through files.
        built: the cube, likewise.
        joined: the samples, likewise.
    """

    manifest: Manifest
    tasks: Exported | Status
    transfer: Transfer | None = None
    built: Built | None = None
    joined: Joined | None = None

    @property
    def made(self) -> bool:
        """Whether anything had to be done."""
        here = [
            bool(self.transfer and self.transfer.moved),
            *(bool(x and x.made) for x in (self.built, self.joined)),
        ]
        return bool(isinstance(self.tasks, Exported) and self.tasks.submitted) or any(here)

    def title(self) -> str:
        """The outcome in a line."""
        return self.tasks.title()

    def rows(self) -> list[dict[str, str]]:
        """The tasks as a table for people."""
        return self.tasks.rows()

    def notes(self) -> Iterator[str]:
        """What to know, and what to type next."""
        yield from self.tasks.notes()
        yield from self.transfer.notes() if self.transfer else ()
        yield from self.built.notes if self.built else ()
        yield from self.joined.notes if self.joined else ()

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            **self.tasks.as_dict(),
            "made": self.made,
            "downloaded": sorted(self.transfer.moved) if self.transfer else [],
            "cube": self.built.path if self.built else None,
            "samples": self.joined.path if self.joined else None,
        }


def planned(
    study: Study, work: WorkDir, cloud: Cloud, report: Report, *, checkpoints: bool = True
) -> Planned:
    """Plan the exports of a study, with checkpoints in the cloud's own folder."""
    return planning.plan(study, work.root, cloud.checkpoints() if checkpoints else None, report)


def exported(plan: Planned, work: WorkDir, cloud: Cloud, report: Report, *, detach: bool = False) -> Exported:
    """Export what is not exported yet, or whose files are lost; see ``pipeline.exporting.export``.

    A bucket may have a rule that deletes what is old, and a person a reason to empty it.
    """
    bucket, prefix, manifest = cloud.bucket, slug(plan.study.name), plan.manifest()
    if not work.manifest.exists():  # status and cancel start from it while this goes on
        manifest.write(work.manifest)
    _plan_lost_again((*manifest.tasks, *Manifest.read(work.manifest).tasks), work, bucket, prefix)
    done = export(plan.plan, manifest, work, bucket.name, prefix, report, detach=detach)
    done.manifest.write(work.manifest)
    return done


def _plan_lost_again(tasks: Iterable[Task], work: WorkDir, bucket: Bucket, prefix: str) -> None:
    """Plan those of the tasks again that were done and whose files are lost."""
    with Ledger(work.ledger) as ledger:
        rows = {task.task: ledger.task(task.task) for task in tasks if task.kind != "asset"}
        done = {
            name: row
            for name, row in rows.items()
            if row is not None
            and row.state == "succeeded"
            and row.destination.partition(" ")[0] == bucket.uri(prefix)  # " (simulated)" may follow
        }
        for name in _missing(_objects(bucket, prefix, done), work, ledger) if done else ():
            ledger.again(done[name], "its files were lost")


def prepare(
    study: Study, work: WorkDir, cloud: Cloud, report: Report, *, detach: bool, via: Via, checkpoints: bool
) -> Prepared:  # fmt: skip
    """Export a study, and make the cube and the samples of it.

    Args:
        study: of the work directory.
        work: the work directory.
        cloud: the engine, with bucket and assets.
        report: told what is being done and the share of the whole that is done.
        detach: submit and leave.
        via: ``gcs``, or ``xee`` to fill the cube through Earth Engine's pixel interface and not by files; the
            tables of samples are exported either way.
        checkpoints: keep sources at 1 km as assets, so that their own pixels are read once.

    Raises:
        ConfigError: ``detach`` with ``xee``, whose pixels this program asks for itself.
        GeeSmapError: of the step that failed; what was done stays.
    """
    if detach and via == "xee":
        raise ConfigError(
            "--detach leaves tasks to the engine, and --via xee has none for the cube: give one of them."
        )
    if (longer := _extended(study, work)) is not None:
        done = status(work)
        return _made(longer, done, work, cloud, within(report, 0.85, 1.0))
    plan = planned(study, work, cloud, within(report, 0.0, 0.05), checkpoints=checkpoints)
    if via == "xee":
        return _through_xee(plan, work, cloud, report)
    exports = exported(plan, work, cloud, within(report, 0.05, 0.85), detach=detach)
    if detach and not exports.done:
        return Prepared(exports.manifest, exports)
    return _made(exports.manifest, exports, work, cloud, within(report, 0.85, 1.0))


def _through_xee(plan: Planned, work: WorkDir, cloud: Cloud, report: Report) -> Prepared:
    """Export the tables and checkpoints alone, and fill the cube by asking for its pixels."""
    rest = tuple(product for product in plan.plan.products if product.kind != "image")
    tables = replace(plan, plan=replace(plan.plan, products=rest))
    tasks = exported(tables, work, cloud, within(report, 0.05, 0.5))
    transfer = download(work, tasks.manifest, cloud, within(report, 0.5, 0.55))
    joined = join_samples(tasks.manifest, work.exports, work.samples)
    manifest = plan.manifest()
    built = fill_from_xee(plan.plan, manifest, work.cube, within(report, 0.55, 1.0))
    manifest.write(work.manifest)
    return Prepared(manifest, tasks, transfer, built, joined)


def _made(
    manifest: Manifest, tasks: Exported | Status, work: WorkDir, cloud: Cloud, report: Report
) -> Prepared:
    """Fetch what the tasks wrote, and make the cube and the samples."""
    transfer = download(work, manifest, cloud, within(report, 0.0, 0.3))
    built = build(manifest, work.exports, work.cube, within(report, 0.3, 0.9))
    return Prepared(manifest, tasks, transfer, built, join_samples(manifest, work.exports, work.samples))


def _extended(study: Study, work: WorkDir) -> Manifest | None:
    """The plan of a study that ``pipeline.update`` has made longer than it says of itself."""
    if not work.manifest.exists() or study.period is None:
        return None
    found = Manifest.read(work.manifest)
    return found if found.is_longer_than(study.hash, study.period.end) else None


def download(work: WorkDir, manifest: Manifest, cloud: Cloud, report: Report) -> Transfer:
    """Fetch the files that a study's tasks have written, and that are not here yet.

    Args:
        work: the work directory.
        manifest: names the tasks.
        cloud: with the bucket.
        report: told what is being done and the share of it that is done.

    Raises:
        DataError: a task has no file in the bucket, nor here.
        StorageError: the bucket does not answer, or the disk is full.
    """
    bucket, prefix = cloud.bucket, slug(manifest.study)
    names = _objects(bucket, prefix, _writing(manifest))
    every = sorted(name for found in names.values() for name in found)
    with Ledger(work.ledger) as ledger:
        if lacking := sorted(_missing(names, work, ledger)):
            raise DataError(
                f"{bucket.uri(prefix)} holds no file of {', '.join(lacking[:3])}"
                f"{f' and {len(lacking) - 3} more' if len(lacking) > 3 else ''}: gee-smap export makes them "
                "(those of days that an update added, only a new work directory with a longer period)"
            )
        return bucket.download(every, work.exports, report, ledger)


def _missing(names: Mapping[str, Collection[str]], work: WorkDir, ledger: Ledger) -> set[str]:
    """The tasks whose files are lost: not in the bucket, and not here as they were fetched.

    Args:
        names: of the objects in the bucket, by task.
        work: with the files.
        ledger: knows what was fetched.
    """
    lost = {task for task, found in names.items() if not found}
    fetched: dict[str, list[bool]] = {}
    for row in ledger.objects() if lost else ():
        task = _task(row.name, lost)
        if task is not None and row.crc32c is not None and row.state == "downloaded":
            path = work.exports / PurePosixPath(row.name).name
            fetched.setdefault(task, []).append(path.is_file() and checksum(path) == row.crc32c)
    return {task for task in lost if not fetched.get(task) or not all(fetched[task])}


def publish_maps(
    work: WorkDir,
    cloud: Cloud,
    report: Report,
    *,
    collection: str | None = None,
    cog_backed: bool = False,
    detach: bool = False,
) -> Published:
    """Publish the maps of a work directory; see ``pipeline.publishing.publish``."""
    study = Study.load(work.study)
    return publish(
        work, collection or cloud.collection(study.name), cloud.bucket, slug(study.name), report,
        cog_backed=cog_backed, detach=detach,
    )  # fmt: skip


def leftovers(work: WorkDir, cloud: Cloud) -> tuple[Bucket, tuple[StoredObject, ...]]:
    """The study's objects in the bucket that no task of its plan has written and no publication needs.

    Raises:
        DataError: there is no plan.
        AuthError: the bucket or a collection may not be looked at.
        EngineError: Earth Engine does not answer.
        StorageError: the bucket does not answer.
    """
    manifest = Manifest.read(work.manifest)
    bucket, prefix = cloud.bucket, slug(manifest.study)
    keep = {name for found in _objects(bucket, prefix, _writing(manifest)).values() for name in found}
    return bucket, bucket.leftovers(prefix, keep | needed(work, bucket, prefix))


def _writing(manifest: Manifest) -> list[str]:
    """The tasks that write files."""
    return [task.task for task in manifest.tasks if task.kind != "asset"]


def _objects(bucket: Bucket, prefix: str, tasks: Iterable[str]) -> dict[str, list[str]]:
    """The objects of each of several tasks."""
    found: dict[str, list[str]] = {task: [] for task in tasks}
    for stored in bucket.listing(f"{prefix}/"):
        if (task := _task(stored.name, found)) is not None:
            found[task].append(stored.name)
    return found


def _task(name: str, tasks: Collection[str]) -> str | None:
    """Which of several tasks wrote an object, maybe as one of several."""
    stem = PurePosixPath(name).name[:-SUFFIX]
    return next((task for task in (stem, SHARD.sub("", stem)) if task in tasks), None)
