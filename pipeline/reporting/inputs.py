"""What a report is made of: whatever a study's run has left in its work directory, each part read once.

Only the plan must be there; any other part may be missing or damaged, and the report then says so and stands
on the others. Parts that do not belong together, such as a map of an earlier model, are told, because a page
that shows both looks whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from gee.recipe import Recipe
from models import store
from models.errors import ModelFileError
from models.store import ModelCard
from pipeline.cubes.layout import COMPLETE, UNREADABLE
from pipeline.errors import ConfigError, DataError
from pipeline.learning import ablation, calibration, explain, fusing
from pipeline.maps.prediction_store import attributes_of
from pipeline.pages.map_page import PAGE
from pipeline.progress import Report, within
from pipeline.reporting import summaries
from pipeline.reporting.summaries import CubeSummary, PredictionSummary, SamplesSummary
from pipeline.scores import applicability, coverage, rain, spatial, transfer, triple, validated
from pipeline.scores.truth import FieldScore
from pipeline.scores.truth import read as read_truth
from pipeline.study import Study
from pipeline.work.ledger import AssetRow, Ledger, RunRow, TaskRow
from pipeline.work.manifest import Manifest
from pipeline.work.stages import digest
from pipeline.work.workdir import WorkDir

_CUBE, _PREDICTION = 0.5, 0.75  # shares of the whole after which they are summed up
_UNUSABLE = (ConfigError, DataError, ModelFileError, *UNREADABLE)

Part = TypeVar("Part")


@dataclass(frozen=True)
class Done:
    """What the ledger knows.

    Attributes:
        tasks: of the exports.
        runs: commands.
        assets: published.
        eecu_seconds: Earth Engine compute units of all attempts; None where the engine told of none.
    """

    tasks: tuple[TaskRow, ...]
    runs: tuple[RunRow, ...]
    assets: tuple[AssetRow, ...]
    eecu_seconds: float | None


@dataclass(frozen=True, eq=False)
class Inputs:
    """A work directory.

    Attributes:
        work: where it is.
        manifest: the plan.
        study_text: ``study.toml``; empty where it is missing.
        study: as read from it.
        done: the ledger.
        cube: the predictors.
        samples: the table of samples.
        card: of the model.
        prediction: the maps.
        fusions: how the members of the stacks are weighed.
        calibrated: the intervals of the stacks, and ``covered`` what those of the maps contain.
        ablation: scores without some of the predictors.
        transfer: the test one scale up.
        explanation: what the model has learned.
        spatial: how the maps vary in space.
        surveyed: what of the maps lies outside the area of applicability.
        validation: at stations.
        rain: how soil moisture answers to rain at stations.
        triple: errors of three independent products.
        truth: scores against the simulated truth, the map first; empty where there are none.
        map_page: address of the map page, seen from the report.
        damaged: why a part that is there cannot be read, by the report's sections that lack it.
    """

    work: WorkDir
    manifest: Manifest
    study_text: str
    study: Study | None
    done: Done | None
    cube: CubeSummary | None
    samples: SamplesSummary | None
    card: ModelCard | None
    prediction: PredictionSummary | None
    fusions: fusing.Fusions | None
    calibrated: calibration.Calibrated | None
    covered: coverage.Covered | None
    ablation: ablation.Ablation | None
    transfer: transfer.Transfer | None
    explanation: explain.ExplainResult | None
    spatial: spatial.Spatial | None
    surveyed: applicability.Surveyed | None
    validation: validated.ValidationResult | None
    rain: rain.RainResponse | None
    triple: triple.TripleCollocation | None
    truth: tuple[FieldScore, ...]
    map_page: str | None
    damaged: Mapping[str, str]

    @classmethod
    def read(cls, work: WorkDir, report: Report) -> Inputs:
        """Read a work directory.

        Args:
            work: with a plan.
            report: told what is read and the share that is done.

        Raises:
            DataError: there is no plan, or it is damaged.
        """
        damaged: dict[str, str] = {}

        def part(there: bool, load: Callable[[], Part], *sections: str) -> Part | None:
            """What is there and can be read; else why not, for the sections that lack it."""
            try:
                return load() if there else None
            except _UNUSABLE as error:
                for section in sections:
                    damaged[section] = "; ".join(filter(None, [damaged.get(section), str(error)]))
                return None

        manifest = Manifest.read(work.manifest)
        text = part(work.study.is_file(), lambda: work.study.read_text(encoding="utf-8"), "done") or ""
        model = (work.model / store.CARD).is_file()
        card = part(model, lambda: store.read_card(work.model), "scores", "model")
        return cls(
            work=work,
            manifest=manifest,
            study_text=text,
            study=part(bool(text), lambda: Study.parse(text, work.study), "done"),
            done=part(work.ledger.is_file(), lambda: _done(work.ledger), "provenance"),
            cube=part(
                work.cube.exists(), lambda: summaries.of_cube(work.cube, within(report, 0, _CUBE)), "data"
            ),
            samples=part(work.samples.is_file(), lambda: summaries.of_samples(work.samples), "done"),
            card=card,
            prediction=part(
                (attributes_of(work.prediction) or {}).get(COMPLETE) == 1,
                lambda: summaries.of_prediction(work.prediction, within(report, _CUBE, _PREDICTION)),
                "maps",
            ),
            fusions=part(model, lambda: fusing.read(work.model), "fusion"),
            calibrated=part(model, lambda: calibration.read(work.model), "intervals"),
            covered=part(True, lambda: coverage.read(work.coverage), "intervals"),
            ablation=part(True, lambda: ablation.read(work.ablation), "ablation"),
            transfer=part(True, lambda: transfer.read(work.transfer), "transfer"),
            explanation=part(True, lambda: explain.read(work.explanation), "explanation"),
            spatial=part(True, lambda: spatial.read(work.spatial), "space"),
            surveyed=part(True, lambda: applicability.read(work.applicability), "applicability"),
            validation=part(True, lambda: validated.read(work.validation), "stations"),
            rain=part(True, lambda: rain.read(work.rain), "rain"),
            triple=part(True, lambda: triple.read(work.triple), "triple"),
            truth=part(work.truth.is_file(), lambda: read_truth(work.truth), "truth") or (),
            map_page=f"{work.map.name}/{PAGE}" if (work.map / PAGE).is_file() else None,
            damaged=damaged,
        )

    @property
    def name(self) -> str:
        """Of the work directory, as a command takes it from the folder that holds it."""
        return self.work.root.resolve().name

    @property
    def recipe(self) -> Recipe | None:
        """How sources became predictors."""
        return None if self.study is None else self.study.preparation

    @property
    def partitioned(self) -> bool:
        """Whether the samples have partitions, so that their stacks and WP are scored side by side."""
        return self.card is not None and self.card.partitioned

    def simulated(self) -> list[str]:
        """What of it is simulated."""
        parts = {
            "the sources": self.manifest.simulated,
            "the predictors": self.cube is not None and self.cube.simulated,
            "the samples that the model learnt from": self.card is not None and self.card.simulated,
            "the map": self.prediction is not None and self.prediction.simulated,
            "the stations or the map at them": self.validation is not None
            and bool(self.validation.summary.get("simulated")),
            "the truth": bool(self.truth),
        }
        return [part for part, is_so in parts.items() if is_so]

    def mismatches(self) -> Iterator[str]:
        """What does not belong together."""
        wanted = self.manifest.study_hash
        parts = {
            "study.toml": self.study.hash if self.study else None,
            "The cube": self.cube.study_hash if self.cube else None,
            "The model": self.card.study_hash if self.card else None,
            "The map": self.prediction.study_hash if self.prediction else None,
        }
        for part, held in parts.items():
            if held is not None and held != wanted:
                yield f"{part} is of another study, or another version of it, than the plan."
        if self.prediction and self.card and self.prediction.model_hash != self.card.sha256:
            yield "The map was predicted by another model than the one whose scores are shown."
        if self.prediction and (lacking := set(self.manifest.days) - set(self.prediction.days)):
            yield f"The map lacks {len(lacking)} of the study's {len(self.manifest.days)} days."


def key(work: WorkDir, *more: str) -> str:
    """SHA-256 of all that a report is made of; large stores count by sizes and times of their files.

    The ledger's list of commands does not count: writing a report is one of them.

    Args:
        work: the work directory.
        more: texts that count too.

    Raises:
        DataError: something cannot be read.
    """
    files = [work.manifest, work.study, work.truth, work.model / store.CARD]
    results = (
        work.validation, work.rain, work.triple, work.spatial, work.ablation, work.explanation, work.transfer,
        work.coverage, work.applicability,
    )  # fmt: skip
    try:
        done = _done(work.ledger) if work.ledger.is_file() else None
    except DataError:
        done = None
    try:
        told = {
            "files": [
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None for path in files
            ],
            "stores": [_listing(path) for path in (work.cube, work.prediction, work.samples)],
            "results": [digest(path) if path.is_dir() else None for path in results],
            "tasks": repr(done.tasks) if done else None,
            "assets": repr(done.assets) if done else None,
            "eecu": done.eecu_seconds if done else None,
            "map": (work.map / PAGE).is_file(),
            "name": work.root.resolve().name,
            "more": [version("gee-smap"), *more],
        }
    except OSError as error:
        raise DataError(f"{work.root} cannot be read: {error.strerror or error}") from error
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _listing(path: Path) -> list[tuple[str, int, int]]:
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    stats = [(each, each.stat()) for each in files if each.is_file()]
    return [(str(each.relative_to(path.parent)), stat.st_size, stat.st_mtime_ns) for each, stat in stats]


def _done(path: Path) -> Done:
    with Ledger(path) as ledger:
        return Done(ledger.tasks(), ledger.runs(), ledger.assets(), ledger.eecu_seconds())
