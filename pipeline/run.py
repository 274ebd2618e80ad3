"""The whole chain of a study, stage by stage: export, cube and samples, models, maps, publication, scores.

Each stage finds what the one before has left in the work directory and knows itself what is done already, so
a run that was killed goes on where it was, and a second run does nothing. Without a study it is the embedded
example: a part of Anhui on the local engine, whose sources are simulated, so that the maps can even be held
against the truth.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from models import store
from pipeline import steps
from pipeline.cloud.place import Cloud
from pipeline.errors import ConfigError, DataError
from pipeline.learning.train import train
from pipeline.maps.mapping import predict_cube
from pipeline.pages.map_page import MapPage, write_map
from pipeline.reporting.report import ReportPage, write_report
from pipeline.scores.scoring import against_truth, validate_maps
from pipeline.scores.truth import FieldScore
from pipeline.scores.validate import RECORD
from pipeline.study import Study
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.stages import Stages, digest
from pipeline.work.staging import whole
from pipeline.work.workdir import WorkDir

Report = Callable[[str, float], None]
EXAMPLE = "example.toml"
SHARES = {
    "export": 0.6, "train": 0.2, "predict": 0.05, "publish": 0.05,
    "validate": 0.05, "map": 0.03, "report": 0.02,
}  # fmt: skip
"""Of the whole, as the example takes them; only the progress display rests on it."""


@dataclass(frozen=True)
class Stage:
    """What became of a stage.

    Attributes:
        name: of it.
        made: whether anything had to be done.
        seconds: that it took.
        said: in a line.
    """

    name: str
    made: bool
    seconds: float
    said: str


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        work: the work directory.
        manifest: what was exported.
        collection: that the maps were published in.
        stages: in order.
        scores: of the model, by split.
        truth: of the maps against the simulated truth; empty for real sources.
        page: the map.
        report: the report.
        notes: what a user should know.
    """

    work: WorkDir
    manifest: Manifest
    collection: str
    stages: tuple[Stage, ...]
    scores: pd.DataFrame
    truth: tuple[FieldScore, ...]
    page: MapPage
    report: ReportPage
    notes: tuple[str, ...]

    @property
    def made(self) -> bool:
        """Whether anything had to be done."""
        return any(stage.made for stage in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "simulated": self.manifest.simulated, "workdir": self.work.root, "made": self.made,
            "stages": [asdict(stage) for stage in self.stages], "collection": self.collection,
            "map": self.page.path, "report": self.report.path,
            "scores": self.scores.to_dict(orient="records"),
            "truth": [score.as_dict() for score in self.truth], "notes": self.notes,
        }  # fmt: skip

    def rows(self) -> list[dict[str, str]]:
        """The stages as a table for people."""
        return [
            {"stage": stage.name, "s": f"{stage.seconds:.1f}", "": "" if stage.made else "there already",
             "result": stage.said}
            for stage in self.stages
        ]  # fmt: skip


@dataclass
class _Progress:
    """Passes on the share of each stage as its share of the whole, and keeps time."""

    report: Report
    before: float = 0.0
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[tuple[Report, Callable[[bool, str], None]]]:
        began, share = time.monotonic(), SHARES[name]
        said: list[tuple[bool, str]] = []
        self.report(name, self.before)
        yield (
            lambda what, part: self.report(f"{name}: {what}", self.before + share * min(part, 1.0)),
            lambda made, text: said.append((made, text)),
        )
        self.before += share
        [(made, text)] = said
        self.stages.append(Stage(name, made, time.monotonic() - began, text))


def begin(work: WorkDir, study_file: Path | None) -> Study:
    """Put the study into its work directory, with the files that it names.

    Args:
        work: empty, or of this study.
        study_file: None is the study that is there already, or the embedded example.

    Raises:
        ConfigError: the study has mistakes, or the work directory belongs to another one.
        DataError: the work directory cannot be written.
    """
    there = Study.load(work.study) if work.study.exists() else None
    if study_file is None and there is not None:
        return there
    if study_file is None:
        text, folder = (resources.files("pipeline") / "templates" / EXAMPLE).read_text("utf-8"), None
        wanted = Study.parse(text, Path(EXAMPLE))
    else:
        wanted, folder = Study.load(study_file), study_file.parent
        text = study_file.read_text("utf-8")
    if there is not None:
        if there.hash != wanted.hash:
            raise ConfigError(
                f"{work.root} belongs to another study ({there.name}, or this one as it was before): name "
                "another work directory."
            )
        return there
    if work.root.exists() and (not work.root.is_dir() or any(work.root.iterdir())):
        raise ConfigError(
            f"{work.root} holds something else than a study's run: name another work directory."
        )
    try:
        work.root.mkdir(parents=True, exist_ok=True)
        for path in wanted.files():
            if folder is not None and not path.is_absolute():
                if ".." in path.parts:
                    raise ConfigError(
                        f"{study_file}: {path} lies above the study's folder: name it by a whole path."
                    )
                (work.root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / path, work.root / path)
        with whole(work.study) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{work.root} cannot be written: {error.strerror or error}") from error
    return Study.load(work.study)


def run(
    work: WorkDir, cloud: Cloud, report: Report, *, study_file: Path | None = None,
    stations: Path | None = None, checkpoints: bool = True,
) -> Run:  # fmt: skip
    """Do whatever of a study is not done yet.

    Args:
        work: the work directory.
        cloud: the engine, with bucket and assets.
        report: told what is being done and the share of the whole that is done.
        study_file: see `begin`.
        stations: table of in-situ soil moisture for `pipeline.scores.validate`; where sources are simulated
            and None is given, simulated ones.
        checkpoints: keep sources at 1 km as assets, so that their own pixels are read once.

    Raises:
        GeeSmapError: of the stage that failed; what was done stays.
    """
    study = begin(work, study_file)
    collection = cloud.collection(study.name)
    with Ledger(work.ledger) as ledger, ledger.run("run"):
        progress, notes, stages = _Progress(report), list[str](), Stages(work.stages)
        with progress.stage("export") as (told, said):
            prepared = steps.prepare(
                study, work, cloud, told, detach=False, via="gcs", checkpoints=checkpoints
            )
            manifest = prepared.manifest
            notes += prepared.notes()
            said(prepared.made, prepared.title())
        with progress.stage("train") as (told, said):
            inputs = _training(work, study)
            made = not stages.done("train", inputs, work.model)
            if made:
                notes += train(work.samples, work.study, work.model, report=told).notes
                stages.record("train", inputs)
            card = store.read_card(work.model)
            said(made, f"{len(card.stacks)} stacks, {len(card.features)} predictors")
        with progress.stage("predict") as (told, said):
            mapped = predict_cube(work.model, work.cube, work.prediction, work.images, told)
            notes += mapped.told
            made = bool(mapped.computed or mapped.written)
            said(made, f"{len(mapped.days)} days of {mapped.pixels:,} pixels")
        with progress.stage("publish") as (told, said):
            published = steps.publish_maps(work, cloud, told)
            said(set(published.outcomes.values()) != {"unchanged"}, published.title())
        with progress.stage("validate") as (told, said):
            maps = digest(work.images)
            truth, measured, made = against_truth(study, work, manifest, stages, maps, told)
            measured = stations or measured
            if measured is None:
                said(made, "no stations given (--stations)")
            else:
                inputs = digest(measured, maps)
                try:
                    if not stages.done("validate", inputs, work.validation / RECORD):
                        validate_maps(work, measured)
                        stages.record("validate", inputs)
                        made = True
                    said(made, str(work.validation))
                except DataError as error:
                    # The maps are as good as before, and the report says what is lacking.
                    notes.append(f"Not validated at stations: {error}")
                    said(made, "not validated at stations: see the notes")
        with progress.stage("map") as (told, said):
            page = write_map(
                work.prediction, work.cube, manifest, work.map, told, smap=work.samples, stations=measured
            )
            said(page.made, str(page.path))
        with progress.stage("report") as (told, said):
            document = write_report(work, told)
            said(document.made, str(document.path))
        report("done", 1.0)
    scores = pd.DataFrame([dict(row) for row in card.scores])
    return Run(
        work, manifest, collection, tuple(progress.stages), scores, truth, page, document,
        tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _training(work: WorkDir, study: Study) -> str:
    """A hash of what models are trained on: the samples of the study's own days, not of those added later."""
    samples = pd.read_parquet(work.samples)
    if study.period is not None:
        samples = samples[pd.to_datetime(samples["date"]) <= pd.Timestamp(study.period.end)]
    rows = pd.util.hash_pandas_object(samples.drop(columns=["date"]), index=False)
    return digest(study.hash, f"{rows.sum():x} {len(samples)}")
