"""Days that have become available since the last run, added with the model that is there.

Earlier months stay as they were exported. The month of the first new day, or of the first one that was
provisional because images that fill it were not there yet, is exported again from its beginning; the model is
not trained anew, so that a series does not change under its readers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ee

from gee import predictors
from gee.timeseries import Calendar
from pipeline import planning, steps
from pipeline.cloud.asking import asked
from pipeline.cloud.place import Cloud
from pipeline.cubes.cube import build
from pipeline.errors import DataError
from pipeline.maps.mapping import predict_cube
from pipeline.pages.map_page import write_map
from pipeline.publishing.publish import Published
from pipeline.study import Period, Study
from pipeline.tables.joining import join_samples
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

Report = Callable[[str, float], None]
NEVER = "2100-01-01"


@dataclass(frozen=True)
class Updated:
    """What an update came to.

    Attributes:
        before: last day there was.
        end: last day there is now.
        provisional_from: the first day that may still change; None where none may.
        published: what was published; None where there was nothing to add.
    """

    before: dt.date
    end: dt.date
    provisional_from: dt.date | None
    published: Published | None

    def title(self) -> str:
        """The outcome in a line."""
        if self.published is None:
            return f"No new days: the maps reach to {self.end}"
        return f"The maps reach to {self.end}, before to {self.before}"

    def rows(self) -> list[dict[str, str]]:
        """The images as a table for people."""
        return self.published.rows() if self.published else []

    def notes(self) -> Iterator[str]:
        """What to know of it."""
        if self.provisional_from is not None:
            yield (
                f"Days from {self.provisional_from} on are provisional, and marked so: images that fill gaps "
                "in them are not there yet. A later update replaces them."
            )

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "before": self.before, "end": self.end, "provisional_from": self.provisional_from,
            "published": self.published.as_dict() if self.published else None,
        }  # fmt: skip


def update(work: WorkDir, cloud: Cloud, report: Report, *, until: dt.date | None = None) -> Updated:
    """Add the days that have become available.

    Args:
        work: with a finished run.
        cloud: the engine, with bucket and assets.
        report: told what is being done and the share of the whole that is done.
        until: last day wanted; None is the newest that all sources have.

    Raises:
        DataError: no run has been finished here.
        GeeSmapError: of the step that failed; the maps that were there stay.
    """
    manifest, study = Manifest.read(work.manifest), Study.load(work.study)
    if study.period is None or not work.model.exists():
        raise DataError(f"{work.root} holds no finished run: gee-smap run makes one")
    report("newest days", 0.0)
    newest = _newest(manifest, study)
    end = max(manifest.end, min(newest, until or newest))
    first = manifest.provisional_from or (manifest.end + dt.timedelta(days=1) if end > manifest.end else None)
    if first is None:
        return Updated(manifest.end, end, None, None)
    beginning = max(manifest.start, first.replace(day=1))
    with Ledger(work.ledger) as ledger, ledger.run("update"):
        added = study.model_copy(update={"period": Period(start=beginning, end=end)})
        checkpoints = manifest.checkpoints is not None
        plan = steps.planned(added, work, cloud, steps.within(report, 0.0, 0.05), checkpoints=checkpoints)
        part = WorkDir(work.root, manifest_name=f"plan-{beginning}-{end}.json")
        done = steps.exported(plan, part, cloud, steps.within(report, 0.05, 0.7))
        whole = _joined(manifest, done.manifest, end)
        steps.download(work, whole, cloud, steps.within(report, 0.7, 0.75))
        whole.write(work.manifest)
        part.manifest.unlink(missing_ok=True)
        build(whole, work.exports, work.cube, steps.within(report, 0.75, 0.8))
        join_samples(whole, work.exports, work.samples)
        predict_cube(work.model, work.cube, work.prediction, work.images, steps.within(report, 0.8, 0.9))
        published = steps.publish_maps(work, cloud, steps.within(report, 0.9, 0.97))
        if work.map.exists():
            write_map(work.prediction, work.cube, whole, work.map, report, smap=work.samples)
    return Updated(manifest.end, whole.end, whole.provisional_from, published)


def _joined(before: Manifest, added: Manifest, end: dt.date) -> Manifest:
    """Earlier months as they were, later ones as they are now; the study is the same, only longer."""
    begins = f"{added.start:%Y-%m}"
    kept = [task for task in before.tasks if _month(task.name) is None or str(_month(task.name)) < begins]
    names = {task.name for task in kept}
    tasks = (*kept, *(task for task in added.tasks if task.name not in names))
    return before.model_copy(
        update={
            "end": end, "tasks": tasks, "provisional_from": added.provisional_from,
        }
    )  # fmt: skip


def _month(product: str) -> str | None:
    """The month of a product's days, YYYY-MM; None of static ones and checkpoints."""
    kind, _, label = product.partition("-")
    return label[:7] if kind in ("dynamic", "cells") and label[:4].isdigit() else None


def _newest(manifest: Manifest, study: Study) -> dt.date:
    """The last day from which on some source has no image yet."""
    recipe, grid = study.preparation, manifest.grid
    since = Calendar(manifest.end - planning.NEWEST_WITHIN, dt.date.fromisoformat(NEVER))
    times = {
        name: predictors.scenes(stream, since, recipe, grid).aggregate_max("system:time_start")
        for name, stream in predictors.STREAMS.items()
    }
    window = planning.SMAP_BINS[recipe.smap_bin]
    smap = planning.SMAP_VERSIONS[recipe.smap].collection().filterDate(since.start.isoformat(), NEVER)
    told = asked(ee.Dictionary({**times, "smap": smap.aggregate_max("system:time_start")}))
    days = []
    for name, millis in told.items():
        day = dt.datetime.fromtimestamp(millis / 1000, tz=dt.UTC).date()
        if name == "smap":  # the bin of a day may lie in the day before; its own day must be over
            days.append(day - dt.timedelta(days=1 + window.day_offset))
        else:
            stream = predictors.STREAMS[name]
            days.append(day + dt.timedelta(days=stream.source.cadence_days - 1))
    return min(days)
