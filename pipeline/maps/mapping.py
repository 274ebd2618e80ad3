"""Predict soil moisture on the fine grid, day by day, from the cube: the map that all of this is for.

What a table's row is to ``pipeline.learning.predict``, each land pixel of each day is here; the rules for
predictors, gaps and partitions are the same. Where the study asks for it, a second pass over whole days gives
SMAP's own values back to the cells. Blocks and days go through Dask to threads, processes or a cluster, and
every one of these gives the same numbers bit for bit. Xu et al. 2024, figure 2.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from models import store
from pipeline.cubes.layout import METADATA
from pipeline.learning.train import study_of
from pipeline.maps import scheduling
from pipeline.maps.blocks import Finished, Job, predict_block
from pipeline.maps.correcting import CorrectedStretch, CorrectionJob, correct_days
from pipeline.maps.day_images import DayFile, finish_images
from pipeline.maps.detail import FULL, Detail, detail_of
from pipeline.maps.mapped import Mapped
from pipeline.maps.prediction_store import Unfinished, blocks, stretches, summary_of
from pipeline.maps.scheduling import Workers
from pipeline.maps.wanted import Wanted
from pipeline.progress import Report, within
from pipeline.study import Study
from pipeline.work.workdir import WorkDir

PREDICTED = 0.9  # share of the work, before the images
CORRECTING = 0.3  # of that, where fields are corrected


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
    detail: Detail = FULL,
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
        detail: the share of what the model tells within SMAP's cells that corrected maps show.

    Raises:
        ModelFileError: the model folder cannot be used.
        ConfigError: the scheduler or the number of workers.
        DataError: the cube cannot be used with the model, or the result cannot be written.
        GeeSmapError: the cluster failed.
    """
    model, cube, out, images = (path.absolute() for path in (model, cube, out, images))
    wanted = Wanted.of(model, cube, days, study, samples.absolute() if samples else None, detail)
    summary = summary_of(out, wanted.fingerprint)
    computed, made = 0, tuple[DayFile, ...]()
    with scheduling.workers(scheduler, workers) as hands:
        if summary is None:
            unfinished = Unfinished(out, wanted.fingerprint)
            notes = wanted.prepare()
            with unfinished.opened(wanted.empty(), wanted.arrays):
                until = PREDICTED - CORRECTING * wanted.corrects
                computed = _predict(wanted, unfinished, hands, within(report, 0, until))
                _correct(wanted, unfinished, images, hands, within(report, until, PREDICTED))
                summary = unfinished.finish(len(wanted.card.features), notes)
                made = tuple(file for one in unfinished.corrected for file in one.files)
        done = finish_images(out, images, hands, within(report, PREDICTED, 1), made)
    return Mapped.of(wanted, out, images, summary, computed, done)


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
    detail = detail_of(study or study_of(work.model), work.transfer)
    return predict_cube(
        work.model, work.cube, work.prediction, work.images, report, study=study, samples=work.samples,
        scheduler=scheduler, workers=workers, detail=detail,
    )  # fmt: skip


def _predict(wanted: Wanted, unfinished: Unfinished, hands: Workers, report: Report) -> int:
    """Predict the blocks that are missing; returns how many they were."""
    every = blocks(*wanted.shape)
    there = {one.block for one in unfinished.finished}
    missing = [block for block in every if block.number not in there]
    job = Job(
        wanted.model, wanted.hash, wanted.path, unfinished.store, wanted.places,
        wanted.study.partitions.blend_km, wanted.first_pass, wanted.fingerprint,
    )  # fmt: skip

    def done(finished: Finished) -> None:
        unfinished.record(finished)
        told(len(unfinished.finished))

    def told(count: int) -> None:
        report(f"prediction: {count} of {len(every)} blocks", count / len(every))

    if missing:
        told(len(there))
        hands.check(partial(_missed, job, version("gee-smap")))
        hands.run(partial(predict_block, job), missing, done)
    return len(missing)


def _correct(wanted: Wanted, unfinished: Unfinished, images: Path, hands: Workers, report: Report) -> None:
    """Correct the stretches of days that are missing, and make their images."""
    if not wanted.corrects or wanted.samples is None:
        return
    every = stretches(*wanted.shape)
    there = {one.first for one in unfinished.corrected}
    missing = [stretch for stretch in every if stretch.start not in there]
    days = wanted.days
    job = CorrectionJob(
        wanted.path, wanted.samples, unfinished.store, images, days, wanted.detail.value, wanted.fingerprint
    )

    def done(corrected: CorrectedStretch) -> None:
        unfinished.record_correction(corrected)
        told(len(unfinished.corrected))

    def told(count: int) -> None:
        until = every[count - 1].stop if count else 0
        report(f"correction to SMAP: {until} of {len(days)} days", count / len(every))

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
    if store.read_card(job.model).sha256 != job.model_hash:
        return f"it sees another model in {job.model}"
    if not os.access(job.result, os.W_OK):
        return f"it may not write in {job.result}"
    return ""
