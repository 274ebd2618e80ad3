"""What a report is made of: whatever a study's run has left in its work directory, each part read once.

Only the plan must be there; any other part may be missing, and the report then says so. Parts that do not
belong together, such as a map of an earlier model, are told, because a page that shows both looks whole.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from gee.recipe import Recipe
from models import store
from models.store import ModelCard
from pipeline.errors import DataError
from pipeline.maps.blocks import model_hash
from pipeline.maps.prediction_store import COMPLETE, attributes_of
from pipeline.pages.map_page import PAGE
from pipeline.reporting import summaries
from pipeline.reporting.summaries import CubeSummary, PredictionSummary, SamplesSummary
from pipeline.scores.truth import FieldScore
from pipeline.scores.validate import FILES as VALIDATION_FILES
from pipeline.scores.validate import RECORD
from pipeline.study import Study
from pipeline.work.ledger import AssetRow, Ledger, RunRow, TaskRow
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

STATIONS = "stations.csv"
_CUBE, _PREDICTION = 0.5, 0.75  # shares of the whole after which they are summed up
Report = Callable[[str, float], None]


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
class Validation:
    """The scores at stations.

    Attributes:
        summary: as ``pipeline.scores.validate`` wrote it, NaN for what is undefined.
        stations: its table.
        figures: PNGs by name.
    """

    summary: Mapping[str, Any]
    stations: pd.DataFrame
    figures: Mapping[str, bytes]


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
        validation: at stations.
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
    validation: Validation | None
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
            cube = summaries.of_cube(work.cube, lambda what, share: report(what, _CUBE * share))
        if (attributes_of(work.prediction) or {}).get(COMPLETE) == 1:
            prediction = summaries.of_prediction(
                work.prediction, lambda what, share: report(what, _CUBE + (_PREDICTION - _CUBE) * share)
            )
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
            validation=_validation(work.validation),
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
    files += [work.validation / name for name in VALIDATION_FILES]
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


def _validation(folder: Path) -> Validation | None:
    if not (folder / RECORD).is_file():
        return None
    try:
        summary = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        stations = pd.read_csv(folder / STATIONS, dtype={"station": str, "partition": str})
        pictures = [folder / name for name in VALIDATION_FILES if name.endswith(".png")]
        found = {path.stem: path.read_bytes() for path in pictures if path.is_file()}
        return Validation(_with_nan(summary), stations, found)
    except (OSError, ValueError, LookupError) as error:
        raise DataError(f"{folder} is damaged ({error}): remove it, and validate again") from error


def _truth(path: Path) -> tuple[FieldScore, ...]:
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(FieldScore(**_with_nan(row)) for row in rows)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): remove it, and gee-smap run makes it again") from error


def _with_nan(content: Any) -> Any:
    """The same with NaN for null, which stands for it in JSON."""
    if isinstance(content, dict):
        return {name: _with_nan(item) for name, item in content.items()}
    if isinstance(content, list):
        return [_with_nan(item) for item in content]
    return math.nan if content is None else content
