"""Days that have become available since the last run, added with the model that is there.

Earlier months stay as they were exported. The month of the first new day, or of the first one that was
provisional because images that fill it were not there yet, is exported again from its beginning; the model is
not trained anew, so that a series does not change under its readers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ee

from gee import predictors, target
from gee.timeseries import Calendar
from pipeline import planning, steps
from pipeline.cloud.asking import asked
from pipeline.cloud.place import Cloud
from pipeline.cubes.cube import build
from pipeline.errors import DataError
from pipeline.maps.mapping import predict_maps
from pipeline.pages.map_page import write_map
from pipeline.progress import Report, within
from pipeline.publishing.publish import Published
from pipeline.study import Period, Study
from pipeline.tables.joining import join_samples
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

NEVER = "2100-01-01"
PARTS = "plan-*.json"  # in the work directory, the plans of updates that are not whole yet
SMAP = "smap"


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
        return f"The maps reach to {self.end}, " + (
            "as before" if self.end == self.before else f"before to {self.before}"
        )

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
        if self.published is not None:
            yield "Scores and the report are those of before: gee-smap run makes them anew."

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
        DataError: no run has been finished here, or its cube was filled through xee.
        GeeSmapError: of the step that failed; the maps that were there stay.
    """
    manifest, study = Manifest.read(work.manifest), Study.load(work.study)
    if study.period is None or not work.model.exists():
        raise DataError(f"{work.root} holds no finished run: gee-smap run makes one")
    _check_files(work, manifest)
    report("newest days", 0.0)
    end = max(manifest.end, min(_newest(manifest, study), until or dt.date.max))
    first = manifest.provisional_from or (manifest.end + dt.timedelta(days=1) if end > manifest.end else None)
    begun = list(work.root.glob(PARTS))  # by an update that was cut short
    if first is None and not begun:
        return Updated(manifest.end, end, None, None)
    with Ledger(work.ledger) as ledger, ledger.run("update"):
        whole = manifest
        if first is not None:
            beginning = max(manifest.start, first.replace(day=1))
            added = study.model_copy(update={"period": Period(start=beginning, end=end)})
            whole = _exported(added, manifest, work, cloud, within(report, 0.0, 0.75))
        build(whole, work.exports, work.cube, within(report, 0.75, 0.8))
        join_samples(whole, work.exports, work.samples)
        predict_maps(work, within(report, 0.8, 0.9))
        published = steps.publish_maps(work, cloud, within(report, 0.9, 0.97))
        if work.map.exists():
            write_map(
                work.prediction, work.cube, whole, work.map, within(report, 0.97, 1.0), smap=work.samples
            )
        for part in {*begun, *work.root.glob(PARTS)}:
            part.unlink(missing_ok=True)
    return Updated(manifest.end, whole.end, whole.provisional_from, published)


def _check_files(work: WorkDir, manifest: Manifest) -> None:
    """Refuse a cube that was filled without files: the days before could not be put beside the new ones."""
    with Ledger(work.ledger) as ledger:
        known = {row.task for row in ledger.tasks()}
    images = [task.task for task in manifest.tasks if task.kind == "image" and task.task not in known]
    if any(not any(work.exports.glob(f"{image}*")) for image in images):
        raise DataError(
            f"{work.root} has no exported images, as where the cube was filled through xee, and an update "
            "puts new ones beside them: gee-smap export --via gcs makes them, then update again."
        )


def _exported(added: Study, manifest: Manifest, work: WorkDir, cloud: Cloud, report: Report) -> Manifest:
    """Export and fetch new days; the plan with them, which takes the place of the one before."""
    checkpoints = manifest.checkpoints is not None
    plan = steps.planned(added, work, cloud, within(report, 0.0, 0.1), checkpoints=checkpoints)
    begins, ends = plan.plan.preparation.calendar.start, plan.plan.preparation.calendar.end
    part = WorkDir(work.root, manifest_name=PARTS.replace("*", f"{begins}-{ends}"))
    done = steps.exported(plan, part, cloud, within(report, 0.1, 0.9))
    whole = manifest.lengthened(done.manifest)
    steps.download(work, whole, cloud, within(report, 0.9, 1.0))
    whole.write(work.manifest)
    return whole


def _newest(manifest: Manifest, study: Study) -> dt.date:
    """The last day for which every source has an image; at most the one there is, where some have no new."""
    recipe, grid = study.preparation, manifest.grid
    since = Calendar(manifest.end - planning.NEWEST_WITHIN, dt.date.fromisoformat(NEVER))
    streams = manifest.bands.streams
    times = {
        name: predictors.scenes(stream, since, recipe, grid).aggregate_max("system:time_start")
        for name, stream in streams.items()
    }
    window = target.BINS[recipe.smap_bin]
    smap = target.VERSIONS[recipe.smap].collection().filterDate(since.start.isoformat(), NEVER)
    told = asked(ee.Dictionary({**times, SMAP: smap.aggregate_max("system:time_start")}))
    # Of a day's SMAP the bin may lie in the day before; the day of the newest image may lack some.
    after = {name: stream.source.cadence_days - 1 for name, stream in streams.items()}
    after[SMAP] = -1 - window.day_offset
    days = []
    for name, more in after.items():
        if told.get(name) is None:  # an engine leaves out what a collection without images has as its newest
            return manifest.end
        newest = dt.datetime.fromtimestamp(told[name] / 1000, tz=dt.UTC).date()
        days.append(newest + dt.timedelta(days=more))
    return min(days)
