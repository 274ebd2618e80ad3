"""The whole chain of a study, stage by stage: export, cube and samples, models, maps, publication, scores.

Each stage finds what the one before has left in the work directory and knows itself what is done already, so
a run that was killed goes on where it was, and a second run does nothing. Without a study it is the embedded
example: a part of Anhui on the local engine, whose sources are simulated, so that the maps can even be held
against the truth.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gee.target import BINS
from models import store
from models.store import ModelCard
from pipeline import steps
from pipeline.cloud.place import Cloud
from pipeline.errors import USER_MISTAKES, ConfigError, DataError, GeeSmapError
from pipeline.insitu.daily import Reading
from pipeline.insitu.matching import Window
from pipeline.learning.ablation import ablate
from pipeline.learning.explain import explain_model
from pipeline.learning.train import train
from pipeline.maps.mapping import predict_maps
from pipeline.pages.map_page import MapPage, write_map
from pipeline.progress import Report, within
from pipeline.reporting.page import ReportPage
from pipeline.reporting.report import write_report
from pipeline.scores import spatial, trust
from pipeline.scores.evidence import Asked, of_maps
from pipeline.scores.simulation import against_truth
from pipeline.scores.transfer import transfer
from pipeline.scores.truth import FieldScore
from pipeline.scores.validated import RECORD
from pipeline.study import Study
from pipeline.templates import EMBEDDED, text_of
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.stages import Stages, digest
from pipeline.work.staging import whole
from pipeline.work.workdir import WorkDir

Made = tuple[bool, str]
"""Whether a stage had to do anything, and what came of it in a line."""


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
        text, folder = text_of(EMBEDDED), None
        wanted = Study.parse(text, Path(EMBEDDED))
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
    if work.root.exists() and (not work.root.is_dir() or _foreign(work, wanted)):
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


def _foreign(work: WorkDir, study: Study) -> bool:
    """Whether a folder holds anything but what a run that was killed at its very beginning leaves."""
    copied = {path.parts[0] for path in study.files() if not path.is_absolute()}
    beside = f".{work.study.stem}."
    there = {path.name for path in work.root.iterdir()}
    return any(name not in copied and not name.startswith(beside) for name in there)


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
        stations: in-situ soil moisture, see `pipeline.insitu.daily.daily_file`; where sources are simulated
            and None is given, simulated ones.
        checkpoints: keep sources at 1 km as assets, so that their own pixels are read once.

    Raises:
        GeeSmapError: of the stage that failed; what was done stays.
    """
    chain = _Chain(begin(work, study_file), work, cloud, stations, checkpoints)
    done: list[Stage] = []
    before = 0.0
    with Ledger(work.ledger) as ledger, ledger.run("run"):
        for name, (share, stage) in STAGES.items():
            began = time.monotonic()
            report(name, before)
            made, said = stage(chain, within(_named(name, report), before, before + share))
            done.append(Stage(name, made, time.monotonic() - began, said))
            before += share
    report("done", 1.0)
    return chain.result(tuple(done))


def _named(stage: str, report: Report) -> Report:
    return lambda what, share: report(f"{stage}: {what}", share)


@dataclass
class _Chain:
    """The stages of a run, and what those that come later need of those before.

    Attributes:
        study: of the work directory.
        work: the work directory.
        cloud: the engine, with bucket and assets.
        stations: in-situ soil moisture as it was given; once it was read, one value a station and day.
        checkpoints: whether sources are kept as assets.
        notes: what a user should know.
    """

    study: Study
    work: WorkDir
    cloud: Cloud
    stations: Path | None
    checkpoints: bool
    notes: list[str] = field(default_factory=list)
    truth: tuple[FieldScore, ...] = ()
    manifest: Manifest = field(init=False)
    card: ModelCard = field(init=False)
    page: MapPage = field(init=False)
    document: ReportPage = field(init=False)

    def __post_init__(self) -> None:
        self.stages = Stages(self.work.stages)

    def export(self, report: Report) -> Made:
        """Images and tables, the cube and the samples."""
        prepared = steps.prepare(
            self.study, self.work, self.cloud, report, detach=False, via="gcs", checkpoints=self.checkpoints
        )
        self.manifest = prepared.manifest
        self.notes += prepared.notes()
        return prepared.made, prepared.title()

    def train(self, report: Report) -> Made:
        """The stacks."""
        inputs = _training(self.work, self.study)
        made = not self.stages.done("train", inputs, self.work.model)
        if made:
            self.notes += train(self.work.samples, self.work.study, self.work.model, report=report).notes
            self.stages.record("train", inputs)
        self.card = store.read_card(self.work.model)
        return made, f"{len(self.card.stacks)} stacks, {len(self.card.features)} predictors"

    def predict(self, report: Report) -> Made:
        """The maps."""
        work = self.work
        mapped = predict_maps(work, report)
        self.notes += mapped.told
        return bool(mapped.computed or mapped.written), f"{len(mapped.days)} days of {mapped.pixels:,} pixels"

    def publish(self, report: Report) -> Made:
        """The maps as a collection."""
        published = steps.publish_maps(self.work, self.cloud, report)
        return set(published.outcomes.values()) != {"unchanged"}, published.title()

    def validate(self, report: Report) -> Made:
        """Scores against the truth of a simulation, and at stations."""
        work, maps = self.work, digest(self.work.images)
        self.truth, simulated, made = against_truth(
            self.study, work, self.manifest, self.stages, maps, within(report, 0, 0.3)
        )
        given = self.stations or simulated
        if given is None:
            if not self.stages.done("outside", maps, work.applicability):
                trust.at_stations(work, None, within(report, 0.3, 1))
                self.stages.record("outside", maps)
            return made, "no stations given (--stations)"
        inputs = digest(given, maps)
        try:
            if not self.stages.done("validate", inputs, work.validation / RECORD):
                window = Window.of_bin(BINS[self.study.preparation.smap_bin])
                found = of_maps(work, given, Reading(window), Asked(rain=True), within(report, 0.3, 1))
                self.notes += found.notes
                self.stages.record("validate", inputs)
                made = True
            self.stations = work.insitu if work.insitu.exists() else given
        except DataError as error:
            # The maps are as good as before, and the report says what is lacking.
            self.notes.append(f"Not validated at stations: {error}")
            self.stations = None
            return made, "not validated at stations: see the notes"
        return made, str(work.validation)

    def ablate(self, report: Report) -> Made:
        """Scores without some of the predictors."""
        work = self.work
        if not self.study.splits.ablation:
            return False, "not asked for (splits.ablation)"
        return self._further(
            "ablate", _training(work, self.study), work.ablation,
            lambda: ablate(work.samples, work.study, work.ablation, report=report).notes,
        )  # fmt: skip

    def transfer(self, report: Report) -> Made:
        """Downscaling tested one scale up."""
        work, factor = self.work, self.study.splits.transfer
        if factor < 2:
            return False, "not asked for (splits.transfer)"
        return self._further(
            "transfer", _training(work, self.study), work.transfer,
            lambda: transfer(work.samples, work.study, work.transfer, factor=factor, report=report).notes,
        )  # fmt: skip

    def describe(self, report: Report) -> Made:
        """How the maps vary in space."""
        work = self.work
        truth = [work.truth] if work.truth.exists() else []
        return self._further(
            "describe", digest(work.images, *truth), work.spatial,
            lambda: spatial.describe(work, work.spatial, report, rain=spatial.chirps).notes,
        )  # fmt: skip

    def explain(self, report: Report) -> Made:
        """What moves the model."""
        work = self.work
        return self._further(
            "explain", digest(work.model), work.explanation,
            lambda: explain_model(work.model, work.samples, work.explanation, report=report).notes,
        )  # fmt: skip

    def _further(self, stage: str, inputs: str, result: Path, make: Callable[[], Sequence[str]]) -> Made:
        """A stage that the maps can do without: what prevents it is told, and the run goes on."""
        if self.stages.done(stage, inputs, result):
            return False, str(result)
        try:
            self.notes += make()
        except (GeeSmapError, *USER_MISTAKES) as error:
            self.notes.append(f"The stage {stage} could not be done: {error}")
            return False, "not done: see the notes"
        self.stages.record(stage, inputs)
        return True, str(result)

    def map(self, report: Report) -> Made:
        """The page with the maps."""
        work = self.work
        self.page = write_map(
            work.prediction, work.cube, self.manifest, work.map, report, smap=work.samples,
            stations=self.stations,
        )  # fmt: skip
        return self.page.made, str(self.page.path)

    def report(self, report: Report) -> Made:
        """The report."""
        self.document = write_report(self.work, report)
        return self.document.made, str(self.document.path)

    def result(self, stages: tuple[Stage, ...]) -> Run:
        """What came of all stages."""
        return Run(
            work=self.work, manifest=self.manifest, collection=self.cloud.collection(self.study.name),
            stages=stages, scores=pd.DataFrame([dict(row) for row in self.card.scores]), truth=self.truth,
            page=self.page, report=self.document, notes=tuple(dict.fromkeys(self.notes)),
        )  # fmt: skip


STAGES: dict[str, tuple[float, Callable[[_Chain, Report], Made]]] = {
    "export": (0.42, _Chain.export),
    "train": (0.1, _Chain.train),
    "ablate": (0.13, _Chain.ablate),
    "transfer": (0.04, _Chain.transfer),
    "predict": (0.04, _Chain.predict),
    "publish": (0.05, _Chain.publish),
    "validate": (0.09, _Chain.validate),
    "describe": (0.04, _Chain.describe),
    "explain": (0.06, _Chain.explain),
    "map": (0.01, _Chain.map),
    "report": (0.02, _Chain.report),
}
"""In order, with their share of the example's time, on which only the progress display rests."""


def _training(work: WorkDir, study: Study) -> str:
    """A hash of what models are trained on: the samples of the study's own days, not of those added later."""
    samples = pd.read_parquet(work.samples)
    if study.period is not None:
        samples = samples[pd.to_datetime(samples["date"]) <= pd.Timestamp(study.period.end)]
    rows = pd.util.hash_pandas_object(samples.drop(columns=["date"]), index=False)
    return digest(study.hash, f"{rows.sum():x} {len(samples)}")
