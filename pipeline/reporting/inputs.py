"""What a report is made of: whatever a study's run has left in its work directory, each part read once.

Only the plan must be there; any other part may be missing, and the report then says so. Parts that do not
belong together, such as a map of an earlier model, are told, because a page that shows both looks whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gee.recipe import Recipe
from models import store
from models.store import ModelCard
from pipeline.errors import DataError
from pipeline.learning import ablation, explain
from pipeline.maps.blocks import model_hash
from pipeline.maps.prediction_store import COMPLETE, attributes_of
from pipeline.pages.map_page import PAGE
from pipeline.progress import Report, within
from pipeline.reporting import summaries
from pipeline.reporting.summaries import CubeSummary, PredictionSummary, SamplesSummary
from pipeline.scores import rain, spatial, triple, validated
from pipeline.scores.truth import FieldScore
from pipeline.study import Study
from pipeline.work.ledger import AssetRow, Ledger, RunRow, TaskRow
from pipeline.work.manifest import Manifest
from pipeline.work.staging import with_nan
from pipeline.work.workdir import WorkDir

_CUBE, _PREDICTION = 0.5, 0.75  # shares of the whole after which they are summed up


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
        card: of the model, and ``model_hash`` its content's.
        prediction: the maps.
        ablation: scores without some of the predictors.
        explanation: what the model has learned.
        spatial: how the maps vary in space.
        validation: at stations.
        rain: how soil moisture answers to rain at stations.
        triple: errors of three independent products.
        truth: scores against the simulated truth, the map first; empty where there are none.
        map_page: address of the map page, seen from the report.
    """

    work: WorkDir
    manifest: Manifest
    study_text: str
    study: Study | None
    done: Done | None
    cube: CubeSummary | None
    samples: SamplesSummary | None
    card: ModelCard | None
    model_hash: str
    prediction: PredictionSummary | None
    ablation: ablation.Ablation | None
    explanation: explain.ExplainResult | None
    spatial: spatial.Spatial | None
    validation: validated.ValidationResult | None
    rain: rain.RainResponse | None
    triple: triple.TripleCollocation | None
    truth: tuple[FieldScore, ...]
    map_page: str | None

    @classmethod
    def read(cls, work: WorkDir, report: Report) -> Inputs:
        """Read a work directory.

        Args:
            work: with a plan.
            report: told what is read and the share that is done.

        Raises:
            ConfigError: the study cannot be read.
            DataError: there is no plan, or a part that is there is damaged.
            ModelFileError: the model folder cannot be used.
        """
        manifest = Manifest.read(work.manifest)
        text = work.study.read_text(encoding="utf-8") if work.study.is_file() else ""
        card = store.read_card(work.model) if (work.model / store.CARD).is_file() else None
        cube = prediction = None
        if work.cube.exists():
            cube = summaries.of_cube(work.cube, within(report, 0, _CUBE))
        if (attributes_of(work.prediction) or {}).get(COMPLETE) == 1:
            prediction = summaries.of_prediction(work.prediction, within(report, _CUBE, _PREDICTION))
        report("stations", _PREDICTION)
        return cls(
            work=work,
            manifest=manifest,
            study_text=text,
            study=Study.parse(text, work.study) if text else None,
            done=_done(work.ledger),
            cube=cube,
            samples=summaries.of_samples(work.samples) if work.samples.is_file() else None,
            card=card,
            model_hash=model_hash(work.model) if card else "",
            prediction=prediction,
            ablation=ablation.read(work.ablation),
            explanation=explain.read(work.explanation),
            spatial=spatial.read(work.spatial),
            validation=validated.read(work.validation),
            rain=rain.read(work.rain),
            triple=triple.read(work.triple),
            truth=_truth(work.truth),
            map_page=f"{work.map.name}/{PAGE}" if (work.map / PAGE).is_file() else None,
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
        """Whether partitions have stacks of their own."""
        return self.card is not None and len(self.card.stacks) > 1

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
        if self.prediction and self.card and self.prediction.model_hash != self.model_hash:
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
    files += [folder / name for folder, name in (
        (work.validation, validated.RECORD), (work.rain, rain.RECORD), (work.triple, triple.RECORD),
        (work.spatial, spatial.RECORD), (work.ablation, ablation.RECORD), (work.explanation, explain.RECORD),
    )]  # fmt: skip
    done = _done(work.ledger)
    try:
        told = {
            "files": [
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None for path in files
            ],
            "stores": [_listing(path) for path in (work.cube, work.prediction, work.samples)],
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


def _done(path: Path) -> Done | None:
    if not path.is_file():
        return None
    with Ledger(path) as ledger:
        return Done(ledger.tasks(), ledger.runs(), ledger.assets(), ledger.eecu_seconds())


def _truth(path: Path) -> tuple[FieldScore, ...]:
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(FieldScore(**with_nan(row)) for row in rows)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): remove it, and gee-smap run makes it again") from error
