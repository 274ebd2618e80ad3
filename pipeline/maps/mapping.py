"""Predict soil moisture on the fine grid, day by day, from the cube: the map that all of this is for.

What a table's row is to ``pipeline.learning.predict``, each land pixel of each day is here; the rules for
predictors, gaps and partitions are the same. Where the study asks for it, a second pass over whole days gives
SMAP's own values back to the cells. Blocks and days go through Dask to threads, processes or a cluster, and
every one of these gives the same numbers bit for bit. Xu et al. 2024, figure 2.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from models import store
from models.store import ModelCard
from pipeline.cubes.cube import open_cube
from pipeline.cubes.layout import METADATA
from pipeline.errors import DataError
from pipeline.learning.applicability import read_areas
from pipeline.learning.extrapolation import beyond_training
from pipeline.maps import scheduling
from pipeline.maps.bands import HALF_WIDTH, MODEL, SM
from pipeline.maps.blocks import Features, Finished, Job, model_hash, predict_block, study_of
from pipeline.maps.correcting import (
    SAND,
    TOLERANCE,
    CorrectedStretch,
    Correction,
    CorrectionJob,
    correct_days,
    smap_of,
)
from pipeline.maps.day_images import Images, write_images
from pipeline.maps.prediction_store import Summary, Unfinished, blocks, stretches, summary_of
from pipeline.maps.scheduling import Workers
from pipeline.progress import Report, within
from pipeline.study import Study
from pipeline.tables.titles import CORRECTED, INDEX, INSIDE, LOWER, UPPER
from pipeline.work.workdir import WorkDir

RULES = 2  # raised when the same model and cube would give other values
PREDICTED = 0.9  # share of the work, before the images
CORRECTING = 0.3  # of that, where fields are corrected
LEAST_TOLD = 0.001  # of the pixels and days; less would be told as 0.0 %
MASKS = ("land", "region", "partition")


@dataclass(frozen=True)
class Mapped:
    """A prediction that is whole.

    Attributes:
        path: the Zarr store: ``sm`` (m³/m³) over (time, y, x), NaN outside the region, on water and where
            every predictor that changes from day to day is missing; and what else ``pipeline.maps.bands``
            names, as far as it was made.
        images: folder of its days as images.
        days: predicted.
        pixels: of land in the region.
        predicted: pixels times days that have a value.
        blocks: number of blocks; ``computed`` of them in this call.
        written: days whose image was written in this call.
        removed: days whose image belonged to an earlier prediction.
        correction: to SMAP; None where there was none.
        simulated: whether model or cube say so.
        told: what the user should know, one sentence each.
    """

    path: Path
    images: Path
    days: tuple[dt.date, ...]
    pixels: int
    predicted: int
    blocks: int
    computed: int
    written: tuple[dt.date, ...]
    removed: tuple[dt.date, ...]
    correction: Correction | None
    simulated: bool
    told: tuple[str, ...]

    def rows(self) -> list[dict[str, str]]:
        """What was made, as a table for people."""
        cells = self.pixels * len(self.days)
        return [
            {
                "days": f"{len(self.days)} ({self.days[0]} to {self.days[-1]})",
                "land pixels": f"{self.pixels:,}",
                "with a value": f"{self.predicted / cells:.1%}" if cells else "none",
                **({"furthest from SMAP": f"{self.correction.worst:.1g} m³/m³"} if self.correction else {}),
                "blocks predicted now": f"{self.computed:,} of {self.blocks:,}",
                "images written now": f"{len(self.written):,} of {len(self.days):,}",
            }
        ]

    def notes(self) -> Iterator[str]:
        """What the user should know."""
        if not self.computed and not self.written and not self.removed:
            yield f"{self.path} and its images are there already, of this model and cube: nothing was done."
        if self.removed:
            yield f"{len(self.removed)} images of days that do not belong to the prediction were removed."
        yield from self.told
        if self.simulated:
            yield "The sources are simulated: the map shows no real soil moisture."

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "prediction": str(self.path), "images": str(self.images), "start": str(self.days[0]),
            "end": str(self.days[-1]), "days": len(self.days), "pixels": self.pixels,
            "predicted": self.predicted, "blocks": self.blocks, "computed": self.computed,
            "correction": asdict(self.correction) if self.correction else None,
            "written": [str(day) for day in self.written], "removed": [str(day) for day in self.removed],
            "simulated": self.simulated, "notes": list(self.notes()),
        }  # fmt: skip


def predict_cube(
    model: Path,
    cube: Path,
    out: Path,
    images: Path,
    report: Report = lambda what, share: None,
    *,
    study: Study | None = None,
    samples: Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    days: Sequence[dt.date] | None = None,
) -> Mapped:
    """Predict every land pixel of the cube's region on every day.

    A second call with the same model, cube, samples, choices and days does nothing; one after a killed run
    goes on with the blocks and days that are missing.

    Args:
        model: a model folder; the study in it tells what its predictors are.
        cube: of the same predictors.
        out: the Zarr store to make; an earlier prediction stays there until the new one is whole.
        images: folder for one image a day, ``sm_YYYYMMDD.tif``.
        report: told what is being done, and the share of the whole.
        study: tells what else the maps are like (``[maps]`` and ``partitions.blend_km``); None is the one
            the model was trained with.
        samples: SMAP of each cell and day, which fields are corrected to where the study asks for it.
        scheduler: address of a Dask scheduler whose workers see all these paths; None stays here.
        workers: processes to start on this machine in place of threads.
        days: the days wanted; None takes all. The result holds these and no others.

    Raises:
        ModelFileError: the model folder cannot be used.
        ConfigError: the scheduler or the number of workers.
        DataError: the cube cannot be used with the model, or the result cannot be written.
        GeeSmapError: the cluster failed.
    """
    model, cube, out, images = (path.absolute() for path in (model, cube, out, images))
    work = _Work.of(model, cube, days, study, samples.absolute() if samples else None)
    summary = summary_of(out, work.fingerprint)
    computed = 0
    with scheduling.workers(scheduler, workers) as hands:
        if summary is None:
            unfinished = Unfinished(out, work.fingerprint)
            notes = work.prepare()
            with unfinished.opened(work.empty(), work.arrays):
                computed = _predict(work, unfinished, hands, within(report, 0, work.predicting))
                _correct(work, unfinished, hands, within(report, work.predicting, PREDICTED))
                summary = unfinished.finish(len(work.card.features), notes)
        made = write_images(out, images, hands, within(report, PREDICTED, 1))
    return work.mapped(out, images, summary, computed, made)


def predict_maps(
    work: WorkDir, report: Report, *, scheduler: str | None = None, workers: int | None = None
) -> Mapped:
    """Predict the maps of a work directory as its study wants them; see ``predict_cube``.

    Args:
        work: with a study, a model, a cube and samples.
        report: told what is being done, and the share of the whole.
        scheduler: see ``predict_cube``.
        workers: see ``predict_cube``.
    """
    study = Study.load(work.study) if work.study.exists() else None
    return predict_cube(
        work.model, work.cube, work.prediction, work.images, report, study=study, samples=work.samples,
        scheduler=scheduler, workers=workers,
    )  # fmt: skip


def _predict(work: _Work, unfinished: Unfinished, hands: Workers, report: Report) -> int:
    """Predict the blocks that are missing; returns how many they were."""
    wanted = blocks(*work.shape)
    there = {one.block for one in unfinished.finished}
    missing = [block for block in wanted if block.number not in there]
    job = Job(
        work.model, work.hash, work.path, unfinished.store, work.places, work.study.partitions.blend_km,
        work.first_pass, work.fingerprint,
    )  # fmt: skip

    def done(finished: Finished) -> None:
        unfinished.record(finished)
        told(len(unfinished.finished))

    def told(count: int) -> None:
        report(f"prediction: {count} of {len(wanted)} blocks", count / len(wanted))

    if missing:
        told(len(there))
        hands.check(partial(_missed, job, version("gee-smap")))
        hands.run(partial(predict_block, job), missing, done)
    return len(missing)


def _correct(work: _Work, unfinished: Unfinished, hands: Workers, report: Report) -> None:
    """Correct the stretches of days that are missing."""
    if not work.corrects or work.samples is None:
        return
    wanted = stretches(*work.shape)
    there = {one.first for one in unfinished.corrected}
    missing = [stretch for stretch in wanted if stretch.start not in there]
    days = _days(work.cube, work.places)
    job = CorrectionJob(work.path, work.samples, unfinished.store, days, work.fingerprint)

    def done(corrected: CorrectedStretch) -> None:
        unfinished.record_correction(corrected)
        told(len(unfinished.corrected))

    def told(count: int) -> None:
        until = wanted[count - 1].stop if count else 0
        report(f"correction to SMAP: {until} of {len(days)} days", count / len(wanted))

    if missing:
        told(len(there))
        hands.check(partial(_unseen, job))
        hands.run(partial(correct_days, job), missing, done)


def _unseen(job: CorrectionJob) -> str:
    """The file of a correction that this process does not see; empty where it sees all."""
    for path in (job.samples, job.cube / METADATA, job.result / METADATA):
        if not path.is_file():
            return f"it does not see {path}"
    return ""


def _missed(job: Job, wanted: str) -> str:
    """What this process lacks for a job; empty where it lacks nothing."""
    if version("gee-smap") != wanted:
        return f"it has gee-smap {version('gee-smap')}, not {wanted}"
    for path in (job.model / store.CARD, job.cube / METADATA, job.result / METADATA):
        if not path.is_file():
            return f"it does not see {path}"
    if model_hash(job.model) != job.model_hash:
        return f"it sees another model in {job.model}"
    if not os.access(job.result, os.W_OK):
        return f"it may not write in {job.result}"
    return ""


@dataclass(eq=False)
class _Work:
    """A prediction that can be made.

    Attributes:
        model: the model folder; ``hash`` its content's.
        card: of the model.
        study: what the maps are to be like.
        path: of the cube; ``cube`` the same, opened.
        samples: SMAP of each cell and day, where there are any.
        places: position in the cube of each day wanted.
        fingerprint: of all that the values follow from.
        corrects: whether fields are corrected to SMAP; `prepare` finds out whether they can be, and the same
            of the following.
        bounded: whether there are intervals.
        judged: whether the area of applicability is told.
    """

    model: Path
    hash: str
    card: ModelCard
    study: Study
    path: Path
    cube: xr.Dataset
    samples: Path | None
    places: tuple[int, ...]
    fingerprint: str
    corrects: bool
    bounded: bool
    judged: bool

    @classmethod
    def of(
        cls, model: Path, path: Path, days: Sequence[dt.date] | None, study: Study | None,
        samples: Path | None,
    ) -> _Work:  # fmt: skip
        """Read model and cube and see whether they fit.

        Raises:
            ModelFileError: the model folder cannot be used.
            DataError: the cube cannot, or not with this model, or lacks a day.
        """
        card = store.read_card(model)
        own = study_of(model)
        study = study or own
        cube = open_cube(path)
        features = Features(card, own, cube)
        places = _places(cube, path, days)
        digest = model_hash(model)
        read = {*features.variables, *MASKS, "time", "x", "y", *((SAND,) if study.maps.conserve else ())}
        told = {
            "rules": RULES,
            "model": digest,
            "cube": {name: cube.attrs[name] for name in ("study_hash", "simulated", "partition_names")},
            "files": [_files(path / name) for name in sorted(read)],
            "days": [str(day) for day in _days(cube, places)],
            "maps": study.maps.model_dump(),
            "blend_km": study.partitions.blend_km,
            "samples": _stat(samples) if samples is not None and study.maps.conserve else None,
        }
        fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return cls(
            model, digest, card, study, path, cube, samples, places, fingerprint, study.maps.conserve,
            study.maps.intervals, study.maps.applicability,
        )  # fmt: skip

    def prepare(self) -> tuple[str, ...]:
        """See whether the maps can be as the study wants them; what the user should know of that."""
        found = []
        if self.corrects:
            try:
                if self.samples is None:
                    raise DataError("no samples are given")
                smap_of(self.samples, _days(self.cube, self.places))
            except DataError as error:
                self.corrects = False
                found.append(f"The maps are what the model says, not corrected to SMAP: {error}.")
        if self.bounded:
            intervals = store.load_intervals(self.model)
            self.bounded = intervals is not None and bool(intervals.whole or intervals.parts)
            if not self.bounded:
                found.append("The model was trained without intervals, so the maps have none: train again.")
        if self.judged and not read_areas(self.model):
            self.judged = False
            found.append(
                "The model was trained without its area of applicability, so the maps do not tell it: train "
                "again."
            )
        return tuple(found)

    @property
    def first_pass(self) -> tuple[str, ...]:
        """The arrays that blocks write, soil moisture first."""
        ends = (HALF_WIDTH,) if self.corrects else (LOWER, UPPER)
        return (
            MODEL if self.corrects else SM,
            *(ends if self.bounded else ()),
            *((INDEX, INSIDE) if self.judged else ()),
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """Of the result, while it is made."""
        last = (SM, CORRECTED) if self.corrects else ()
        ends = (LOWER, UPPER) if self.bounded else ()
        return tuple(dict.fromkeys((*last, *self.first_pass, *ends)))

    @property
    def predicting(self) -> float:
        """The share of the work after which all blocks are predicted."""
        return PREDICTED - CORRECTING * self.corrects

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the result."""
        return len(self.places), self.cube.sizes["y"], self.cube.sizes["x"]

    @property
    def simulated(self) -> bool:
        """Whether model or cube say so."""
        return self.card.simulated or bool(self.cube.attrs["simulated"])

    def empty(self) -> xr.Dataset:
        """Coordinates and attributes of the result."""
        days = self.cube["time"].isel(time=list(self.places))
        grid = {name: self.cube[name] for name in ("y", "x", "spatial_ref")}
        simulated = "simulated " if self.simulated else ""
        return xr.Dataset(
            {"partitioned": self._partitioned()},
            coords={"time": days, **grid},
            attrs={
                "Conventions": "CF-1.11",
                "title": f"{self.cube.attrs['study']}: {simulated}daily surface soil moisture at 1 km",
                "study": self.cube.attrs["study"],
                "study_hash": self.cube.attrs["study_hash"],
                "model_study": self.card.study,
                "model_study_hash": self.card.study_hash,
                "model_hash": self.hash,
                "gee_smap": version("gee-smap"),
                "simulated": int(self.simulated),
                "sources": self.cube.attrs["sources"],
                "partition_names": self.cube.attrs["partition_names"],
                "blend_km": self.study.partitions.blend_km,
            },
        ).drop_encoding()

    def _partitioned(self) -> xr.DataArray:
        """Where the stack of the pixel's own partition predicts."""
        names = self.cube.attrs["partition_names"]
        stacks = {stack.name for stack in self.card.stacks}
        codes = [code for code, name in enumerate(names, start=1) if name in stacks]
        own = self.cube["partition"].isin(codes) & (self.cube["region"] == 1)
        told = {
            "long_name": "whether the partition has a model of its own",
            "flag_values": [0, 1],
            "flag_meanings": "model_without_partition model_of_the_partition",
            "grid_mapping": "spatial_ref",
        }
        return own.astype(np.uint8).assign_attrs(told).compute()

    def mapped(self, out: Path, images: Path, summary: Summary, computed: int, made: Images) -> Mapped:
        """What came of it."""
        days = _days(self.cube, self.places)
        return Mapped(
            path=out, images=images, days=days, pixels=summary.rows // len(days), predicted=summary.predicted,
            blocks=len(blocks(*self.shape)), computed=computed, written=made.written, removed=made.removed,
            correction=summary.correction, simulated=self.simulated, told=tuple(self._told(summary)),
        )  # fmt: skip

    def _told(self, summary: Summary) -> Iterator[str]:
        yield from summary.notes
        if summary.applicable is not None and summary.predicted:
            share = 1 - summary.applicable / summary.predicted
            yield (
                f"{share:.1%} of the predicted pixels and days lie outside of the area of applicability: "
                "their predictors are unlike all that training saw, and scores do not hold there (band aoa)."
            )
        if summary.correction is not None:
            yield from _of_correction(summary.correction)
        if self.card.study_hash != self.cube.attrs["study_hash"]:
            yield (
                f"The model was trained for the study {self.card.study}, the cube was made for "
                f"{self.cube.attrs['study']}, or for another version of it."
            )
        stacks = {stack.name for stack in self.card.stacks}
        if lacking := [name for name in self.cube.attrs["partition_names"] if name not in stacks]:
            yield (
                f"{', '.join(lacking)}: no stack of the model is trained there; the stack without partition "
                "(WP) predicts these pixels."
            )
        if summary.rows > summary.predicted:
            share = 1 - summary.predicted / summary.rows
            text = f"{share:.1%}" if share >= LEAST_TOLD else f"Less than {LEAST_TOLD:.1%}"
            yield f"{text} of the land pixels and days have no predictor of the day, and so no value."
        if summary.rows:
            shares = (outside / summary.rows for outside in summary.outside)
            yield from beyond_training(zip(self.card.predictors, shares, strict=True), "land pixels and days")


def _of_correction(found: Correction) -> Iterator[str]:
    """What the user should know of a correction."""
    if found.without:
        yield (
            f"SMAP has nothing on {len(found.without)} days, such as {found.without[0]}: their maps are what "
            "the model says."
        )
    if found.lacking:
        share = found.lacking / (found.lacking + found.kept)
        yield (
            f"{found.lacking:,} of the mapped cells and days ({share:.0%}) have no SMAP: the cells around "
            "them correct their pixels, less with the distance."
        )
    if found.worst > TOLERANCE:
        yield (
            f"Where pixels stand at 0 or at the porosity, a cell's mean misses SMAP by up to "
            f"{found.worst:.1g} m³/m³."
        )


def _days(cube: xr.Dataset, places: Sequence[int]) -> tuple[dt.date, ...]:
    return tuple(day.date() for day in pd.DatetimeIndex(cube["time"].to_numpy()[list(places)]))


def _places(cube: xr.Dataset, path: Path, days: Sequence[dt.date] | None) -> tuple[int, ...]:
    """Position in the cube of each day wanted, in order."""
    held = _days(cube, range(cube.sizes["time"]))
    if days is None:
        return tuple(range(len(held)))
    if lacking := sorted({*days} - {*held}):
        raise DataError(
            f"{path} holds {held[0]} to {held[-1]}, not {', '.join(map(str, lacking[:5]))}"
            f"{' ...' if len(lacking) > 5 else ''}: export these days first, or name others"
        )
    if not days:
        raise DataError("No days are named: name some, or none at all for every day of the cube")
    return tuple(sorted(held.index(day) for day in {*days}))


def _stat(path: Path) -> tuple[int, int] | None:
    """Size of a file and when it was written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Each file below a folder, its size and when it was written, by which a changed one is known."""
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for path, stat in found]
