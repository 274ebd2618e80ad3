"""Train a model from a table of samples, and score it under every split the study names.

A random split alone flatters any flexible model, so each split is scored on rows that its own rule holds
out, with stacks whose folds follow the same rule, and the scores stand side by side. The model that is kept
is then fitted on all rows. Xu et al. 2024, section 3.3 steps 3 to 5, and table 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import store
from models.errors import SampleError
from models.learners import DEFAULT_LEARNERS
from models.metrics import MIN_BLOCKS, score
from models.partitioned import WP, PartitionedStack, Predictions, check_partitions
from models.splits import (
    Fold,
    LeavePartitionOut,
    RandomSplit,
    SampleKeys,
    SpatialBlocks,
    Split,
    standard_splits,
)
from models.stack import StackedRegressor
from models.store import ModelCard, PredictorCard
from pipeline.errors import DataError
from pipeline.study import Study
from pipeline.tables.samples import SampleTable, feature_units, read_samples, sample_keys
from pipeline.work.staging import without_nan

OVERALL = "all"  # the row of a score table that pools the partitions
MODELS = ("XGBoost", "LightGBM", "CatBoost", "stack", WP)
PERIOD_DAYS = 30  # soil moisture a month apart counts as independent where intervals are drawn
STUDY_FILE, SCORES_CSV, SCORES_JSON = "study.toml", "scores.csv", "scores.json"
Report = Callable[[str, float], None]
"""Told what is being fitted, and the share of all rows to be fitted that is done."""


@dataclass(frozen=True)
class Training:
    """What ``train`` made.

    Attributes:
        folder: the model folder.
        card: its description.
        scores: one row per split, partition (``all``: pooled) and model: n, R, RMSE, bias, ubRMSE with 95 %
            intervals, and the reason where one is undefined.
        samples: the table that was read.
        notes: what the user should know, one sentence each.
    """

    folder: Path
    card: ModelCard
    scores: pd.DataFrame
    samples: SampleTable
    notes: tuple[str, ...]

    def stack_rows(self) -> list[dict[str, str]]:
        """Samples, and weight × trees of each member, of the stacks fitted on all rows; heading -> cell."""
        return [
            {"stack": one.name, "samples": f"{one.samples:,}"}
            | {member.learner: f"{member.weight:.2f} × {member.trees}" for member in one.members}
            for one in self.card.stacks
        ]


def template(study: Study) -> StackedRegressor:
    """The unfitted stack of a study."""
    return StackedRegressor(
        n_folds=study.model.n_folds, device=study.model.device, random_state=study.model.seed
    )


def all_splits(study: Study) -> tuple[Split, ...]:
    """Every known split, with the lengths and the seed of a study."""
    chosen = study.splits
    return standard_splits(
        gap_days=chosen.gap_days,
        block_km=chosen.block_km,
        test_share=chosen.test_share,
        seed=study.model.seed,
    )


def splits(study: Study) -> list[Split]:
    """The splits a study is scored under, in its order."""
    by_name = {split.name: split for split in all_splits(study)}
    return [by_name[name] for name in study.splits.names]


def train(
    samples: Path, study_file: Path, out: Path, *, report: Report = lambda what, share: None
) -> Training:
    """Read samples, score every split, fit the model on all rows, and write the model folder.

    Args:
        samples: Parquet or CSV of samples, read through the study's column mapping.
        study_file: the study in TOML.
        out: the model folder; an earlier model there stays whole until the new one is written.
        report: told about progress, from several threads.

    Raises:
        ConfigError: the study.
        DataError: the table, or ``out`` cannot be written.
        SampleError: a partition has too few samples.
        ModelFileError: ``out`` holds something else than a model, or may not be written.
    """
    study = Study.load(study_file)
    text = study_file.read_text(encoding="utf-8")  # now: it may be edited while the stacks are fitted
    store.check_target(out)
    table = read_samples(samples, study, target=True)
    keys = sample_keys(table.frame)
    if keys.partition is not None:
        check_partitions(keys.partition, study.partitions.minimum_samples)
    X = table.frame[list(table.features)].to_numpy(np.float32)
    y = table.frame["sm"].to_numpy(np.float32)

    job = _Job(study, X, y, keys, report)
    scores = job.scores().assign(simulated=table.simulated)
    model, split = job.final()
    card = ModelCard(
        study=study.name,
        study_hash=study.hash,
        simulated=table.simulated,
        predictors=tuple(_predictor_cards(study, table, X)),
        split=split.name,
        n_folds=study.model.n_folds,
        scores=tuple(without_nan(scores.to_dict(orient="records"))),
    )
    counts = {WP: len(y)}
    if keys.partition is not None:
        names, rows = np.unique(keys.partition, return_counts=True)
        counts |= dict(zip(names.tolist(), rows.tolist(), strict=True))
    attachments = {
        STUDY_FILE: text,
        SCORES_CSV: scores.to_csv(index=False),
        SCORES_JSON: scores.to_json(orient="records", indent=1, force_ascii=False),
    }
    try:
        card = store.save(out, model, card, counts, attachments)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}; name a folder you own"
        ) from error
    return Training(out, card, scores, table, (*table.notes, *job.notes))


class _Progress:
    """Turns the beginnings of stacks and the ends of their fits into a share of the rows to be fitted."""

    def __init__(self, total: int, fits: int, report: Report) -> None:
        self.total, self.fits, self.report = total, fits, report
        self.stage = ""
        self.before = self.rows = self.done = 0

    def begin(self, name: str, rows: int) -> None:
        """A stack on ``rows`` rows begins; the one before it has ended."""
        self.before += self.rows
        self.rows, self.done = rows, 0
        self.name = name
        self.tick("")

    def tick(self, learner: str) -> None:
        """One fit of the stack has ended; called from several threads, off by one at worst."""
        self.done += bool(learner)
        share = (self.before + self.rows * min(self.done / self.fits, 1)) / self.total
        self.report(f"{self.stage}: {self.name}", min(share, 1.0))


class _Job:
    """One training: the fits it needs, planned ahead so that progress is known, and their scores."""

    def __init__(
        self, study: Study, X: NDArray[np.float32], y: NDArray[np.float32], keys: SampleKeys, report: Report
    ) -> None:
        self.study, self.X, self.y, self.keys = study, X, y, keys
        self.notes: list[str] = []
        self.outer: list[tuple[Split, list[Fold], str]] = []
        rows = len(y) * self._stacks(whole_only=False)
        for split in splits(study):
            try:
                folds, reason = split.outer(keys), ""
            except SampleError as error:
                folds, reason = [], str(error)
            self.outer.append((split, folds, reason))
            rows += sum(len(fit) for fit, _ in folds) * self._stacks(_holds_partitions(split))
        fits = len(DEFAULT_LEARNERS) * (study.model.n_folds + 1)
        self.progress = _Progress(rows, fits, report)
        self.template = template(study).set_params(progress=self.progress.tick)

    def _stacks(self, whole_only: bool) -> int:
        """How often each row is fitted: once for WP and once for its partition."""
        return 1 if whole_only or self.keys.partition is None else 2

    def _fit(self, rows: NDArray[np.intp], split: Split, *, whole_only: bool = False) -> PartitionedStack:
        return PartitionedStack.fit(
            self.template, self.X[rows], self.y[rows], self.keys.take(rows), split,
            n_folds=self.study.model.n_folds, fitting=self.progress.begin, whole_only=whole_only,
        )  # fmt: skip

    def scores(self) -> pd.DataFrame:
        """One row per split, partition and model; a split that cannot be made has its reason."""
        return pd.DataFrame(
            [row for split, folds, reason in self.outer for row in self._split(split, folds, reason)]
        )

    def _split(self, split: Split, folds: list[Fold], reason: str) -> Iterator[dict[str, Any]]:
        self.progress.stage = f"{split.name} split"
        n = len(self.y)
        predicted = {model: np.full(n, np.nan, np.float32) for model in MODELS}
        held = np.zeros(n, np.bool_)
        for fit_rows, held_rows in folds:
            try:
                model = self._fit(fit_rows, split, whole_only=_holds_partitions(split))
            except SampleError as error:
                reason = str(error)
                break
            names = None if self.keys.partition is None else self.keys.partition[held_rows]
            found = model.predict(self.X[held_rows], names, backend="native")
            held[held_rows] = True
            for name, values in _by_model(found, own=not _holds_partitions(split)):
                predicted[name][held_rows] = values
        groups = {OVERALL: np.ones(n, np.bool_)}
        if self.keys.partition is not None:
            groups |= {str(name): self.keys.partition == name for name in np.unique(self.keys.partition)}
        for group, inside in groups.items():
            rows = np.flatnonzero(held & inside)
            for name in MODELS:
                why = reason
                if not why and name != WP and _holds_partitions(split):
                    why = "a partition held out has no stack of its own; see WP"
                scored = score(
                    predicted[name][rows], self.y[rows], blocks=self._blocks(rows), seed=self.study.model.seed
                )
                row = {"split": split.name, "partition": group, "model": name} | scored.as_dict()
                yield row | ({"reason": why} if why else {})

    def _blocks(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """What counts as independent: 30-day periods where there are enough of them, else cells."""
        if self.keys.day is not None:
            period = (self.keys.day[rows] // PERIOD_DAYS).astype(np.intp)
            if len(np.unique(period)) >= MIN_BLOCKS:
                return period
        return self.keys.cell[rows]

    def final(self) -> tuple[PartitionedStack, Split]:
        """The model on all rows; its folds hold out blocks of land, or single rows as the paper has it."""
        self.progress.stage = "all samples"
        chosen, seed = self.study.splits, self.study.model.seed
        rows = np.arange(len(self.y))
        if self.study.preset == "recommended":
            split: Split = SpatialBlocks(chosen.block_km, chosen.test_share, seed)
            try:
                return self._fit(rows, split), split
            except SampleError as error:
                self.notes.append(
                    f"The folds of the model hold out single rows, as no blocks can be laid: {error}."
                )
        split = RandomSplit(chosen.test_share, seed)
        return self._fit(rows, split), split


def _holds_partitions(split: Split) -> bool:
    return isinstance(split, LeavePartitionOut)


def _by_model(found: Predictions, *, own: bool) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Predictions by the names of ``MODELS``; without partitions' ``own`` stacks only WP."""
    if own:
        yield from zip(MODELS, [*found.members.T, found.stack], strict=False)
    yield WP, found.wp


def _predictor_cards(study: Study, table: SampleTable, X: NDArray[np.float32]) -> Iterator[PredictorCard]:
    units = feature_units(study)
    for name, column in zip(table.features, X.T, strict=True):
        yield PredictorCard(
            name=name, unit=units[name], least=float(np.nanmin(column)), greatest=float(np.nanmax(column)),
            missing_share=float(np.isnan(column).mean()),
        )  # fmt: skip
