"""A fitted model as a folder: each library's native format, and ``model.json`` that describes it.

Nothing in the folder is code and nothing is unpickled. ``model.json`` bears a schema version and the SHA-256
of every file and of itself, so that a truncated, altered or newer folder is refused with the reason and never
half-read. Writing goes to a folder beside the target, which then takes its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models import intervals
from models.errors import ModelFileError
from models.intervals import Intervals
from models.learners import DEFAULT_LEARNERS, Learner
from models.partitioned import WP, PartitionedStack
from models.stack import StackedRegressor

SCHEMA = 1
CARD = "model.json"
OWN_FILES = re.compile(
    r"model\.json|study\.toml|scores\.(csv|json)|\d+-[a-z]+\.(json|txt|cbm)"
    r"|intervals\.(csv|json)|intervals-\d+\.txt|applicability\.npz|fusions\.(csv|json)"
)
"""What a model folder holds; training anew into one replaces these and must not lose anything else."""
INTERVAL_FILES = re.compile(r"intervals\.json|intervals-\d+\.txt")
LIBRARIES = ("xgboost", "lightgbm", "catboost", "numpy", "scikit-learn")


FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]  # of a file in the folder, never elsewhere


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class PredictorCard(_Strict):
    """A predictor as the model knows it: name, unit, and what of it training saw."""

    name: str
    unit: str
    least: float
    greatest: float
    missing_share: float


class MemberCard(_Strict):
    """A base learner of a stack: its file, its trees and its share in the stack."""

    learner: str
    file: FileName
    sha256: str
    trees: int
    weight: float


class StackCard(_Strict):
    """A stack of a partition, or WP."""

    name: str
    samples: int
    members: tuple[MemberCard, ...]


class ChoiceCard(_Strict):
    """Whether a partition is predicted by a stack of its own or by WP, and the held-out rows that tell.

    Attributes:
        partition: its name.
        own: whether it has a stack of its own.
        split: that held the rows out; empty where none could.
        n: rows that both models predicted and neither has seen.
        own_rmse: of its own stack on these rows, m³/m³; ``wp_rmse`` of WP.
        difference: ``own_rmse`` less ``wp_rmse``, with the ends of its 95 % interval; None where undefined.
        reason: why something is undefined.
    """

    partition: str
    own: bool
    split: str = ""
    n: int = 0
    own_rmse: float | None = None
    wp_rmse: float | None = None
    difference: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    reason: str = ""


class ModelCard(_Strict):
    """What ``model.json`` says.

    Attributes:
        schema_version: of this file; a reader refuses what is newer than itself.
        study: name of the study; ``study_hash`` its content's SHA-256.
        simulated: whether the samples were simulated.
        target_unit: of the predictions.
        predictors: in the order of the columns.
        split: the rule by which the folds were held out; ``n_folds`` of them.
        stacks: one per partition that has its own, WP last, which predicts everywhere else.
        choices: of each partition whether it has its own; empty where all have, by the study's word.
        scores: rows of the table that training printed.
        libraries: versions that wrote the folder.
        attachments: SHA-256 of the other files by name.
        sha256: of all of it, as the file states it; empty as long as it is in no file.
    """

    schema_version: Literal[1] = 1
    gee_smap: str = Field(default_factory=lambda: version("gee-smap"))
    study: str
    study_hash: str
    simulated: bool
    target_unit: str = "m³/m³"
    predictors: tuple[PredictorCard, ...]
    split: str
    n_folds: int
    stacks: tuple[StackCard, ...] = ()
    choices: tuple[ChoiceCard, ...] = ()
    scores: tuple[dict[str, bool | str | int | float | None], ...] = ()
    libraries: dict[str, str] = Field(default_factory=lambda: {name: version(name) for name in LIBRARIES})
    attachments: dict[FileName, str] = {}
    sha256: str = Field(default="", exclude=True)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the predictors in the order of the columns."""
        return tuple(one.name for one in self.predictors)

    @property
    def partitioned(self) -> bool:
        """Whether the samples had partitions, be it that WP predicts in all of them."""
        return len(self.stacks) > 1 or bool(self.choices)

    @property
    def by_wp(self) -> tuple[str, ...]:
        """Partitions that the model knows and leaves to WP."""
        return tuple(one.partition for one in self.choices if not one.own)


def check_target(folder: Path) -> None:
    """Refuse a folder that holds something else than a model, or that may not be written.

    Raises:
        ModelFileError: it does, or may not be; nothing of it was touched.
    """
    folder = folder.resolve()
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if (files or folder.is_file()) and not _holds_model(folder):
        raise ModelFileError(f"{folder} exists and is no model folder; name another or remove it")
    if others := {name for name in files if not OWN_FILES.fullmatch(name)}:
        raise ModelFileError(
            f"{folder} also holds {', '.join(sorted(others))}, which would be lost; move that or name "
            "another folder"
        )
    home = next(parent for parent in folder.parents if parent.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise ModelFileError(f"{folder} cannot be written: {home} is no folder you may write in")


def _holds_model(folder: Path) -> bool:
    """Whether its ``model.json`` is of this kind: XGBoost's users call their models by that name too."""
    try:
        body = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(body, dict) and "schema_version" in body


def save(
    folder: Path,
    model: PartitionedStack,
    card: ModelCard,
    samples: Mapping[str, int],
    attachments: Mapping[str, str | bytes],
) -> ModelCard:
    """Write a model folder; an earlier one of that name stays whole until the new one is.

    Args:
        folder: created, or replaced if it is a model folder.
        model: the fitted stacks.
        card: all but stacks and attachments, which are filled in here.
        samples: rows each stack was fitted on, by name.
        attachments: files to keep beside the model by name, their text or their bytes.

    Raises:
        ModelFileError: see ``check_target``.
        OSError: writing failed.
    """
    folder = folder.resolve()
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "model"
        fresh.mkdir()
        stacks = tuple(
            _save_stack(fresh, number, name, stack, samples[name])
            for number, (name, stack) in enumerate(model.stacks.items())
        )
        for name, content in attachments.items():
            (fresh / name).write_bytes(content.encode() if isinstance(content, str) else content)
        sums = {name: _sha256(fresh / name) for name in attachments}
        card = card.model_copy(update={"stacks": stacks, "attachments": sums})
        body = card.model_dump(mode="json")
        digest = _body_sha256(body)
        text = json.dumps({**body, "sha256": digest}, indent=1, ensure_ascii=False)
        (fresh / CARD).write_text(text, encoding="utf-8")
        _replace(folder, fresh)
    return card.model_copy(update={"sha256": digest})


def _save_stack(folder: Path, number: int, name: str, stack: StackedRegressor, samples: int) -> StackCard:
    members = []
    for learner, weight in zip(stack.learners, stack.weights_, strict=True):
        file = folder / f"{number}-{learner.name}{learner.suffix}"
        learner.save(stack.models_[learner.name], file)
        members.append(
            MemberCard(
                learner=learner.name, file=file.name, sha256=_sha256(file),
                trees=stack.trees_[learner.name], weight=float(weight),
            )
        )  # fmt: skip
    return StackCard(name=name, samples=samples, members=tuple(members))


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _replace(folder: Path, fresh: Path) -> None:
    """Give ``fresh`` the name of ``folder``; between the two renames ``load`` finds the old one aside."""
    aside = _aside(folder)
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    fresh.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def load(
    folder: Path, learners: tuple[Learner, ...] = DEFAULT_LEARNERS
) -> tuple[PartitionedStack, ModelCard]:
    """Read a model folder.

    Returns:
        Stacks that predict just as those that were saved, and their description.

    Raises:
        ModelFileError: the folder is missing, incomplete, altered, or newer than this program.
    """
    folder = folder.resolve()
    card = read_card(folder)
    by_name = {learner.name: learner for learner in learners}
    stacks = {stack.name: _load_stack(folder, stack, by_name, len(card.predictors)) for stack in card.stacks}
    return PartitionedStack(stacks.pop(WP), stacks), card


def read_card(folder: Path) -> ModelCard:
    """Read and check ``model.json`` and the files kept beside the stacks.

    Raises:
        ModelFileError: see ``load``.
    """
    folder = folder.resolve()
    if not folder.exists() and _aside(folder).exists():
        _aside(folder).rename(folder)
    path = folder / CARD
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileError(f"{folder} holds no {CARD}; train a model into it first") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelFileError(f"{path} is truncated or altered: {error}") from None
    if not isinstance(body, dict):
        raise ModelFileError(f"{path} is altered: it holds no table")
    written = body.get("schema_version")
    if isinstance(written, int) and written > SCHEMA:
        raise ModelFileError(
            f"{path} has schema {written}, written by gee-smap {body.get('gee_smap')}; this program reads "
            f"up to {SCHEMA}: upgrade gee-smap"
        )
    digest = body.pop("sha256", None)
    if digest != _body_sha256(body):
        raise ModelFileError(f"{path} is altered: its content does not have the SHA-256 it states")
    try:
        card = ModelCard.model_validate(body)
    except ValidationError as error:
        found = (".".join(map(str, one["loc"])) + ": " + one["msg"] for one in error.errors())
        raise ModelFileError(f"{path} cannot be read: {'; '.join(found)}") from None
    if WP not in {stack.name for stack in card.stacks}:
        raise ModelFileError(f"{path} names no stack {WP}")
    for name, of_file in card.attachments.items():
        _check(folder, name, of_file)
    return card.model_copy(update={"sha256": digest})


def load_intervals(folder: Path) -> Intervals | None:
    """Read the intervals of a model folder; None where the model was trained without.

    Raises:
        ModelFileError: see ``load``.
    """
    folder = folder.resolve()
    names = [name for name in read_card(folder).attachments if INTERVAL_FILES.fullmatch(name)]
    if intervals.RECORD not in names:
        return None
    try:
        return Intervals.from_files({name: (folder / name).read_text(encoding="utf-8") for name in names})
    except ModelFileError as error:
        raise ModelFileError(f"{folder}: {error}") from None


def _load_stack(
    folder: Path, card: StackCard, by_name: Mapping[str, Learner], features: int
) -> StackedRegressor:
    unknown = [member.learner for member in card.members if member.learner not in by_name]
    if unknown:
        raise ModelFileError(f"{folder}: no learner named {', '.join(unknown)} is known")
    stack = StackedRegressor(learners=tuple(by_name[member.learner] for member in card.members))
    stack.models_ = {}
    for member in card.members:
        path = _check(folder, member.file, member.sha256)
        stack.models_[member.learner] = by_name[member.learner].load(path)
    stack.trees_ = {member.learner: member.trees for member in card.members}
    stack.weights_ = np.array([member.weight for member in card.members])
    stack.n_features_in_ = features
    return stack


def _check(folder: Path, name: str, digest: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; copy the whole folder or train again")
    if _sha256(path) != digest:
        raise ModelFileError(f"{path} is truncated or altered; copy the whole folder or train again")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _body_sha256(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
