"""Train a model from a table of samples, and score it under every split the study names.

A random split alone flatters any flexible model, so each split is scored on rows that its own rule holds
out, with stacks whose folds follow the same rule, and the scores stand side by side. The model that is kept
is then fitted on all rows. Xu et al. 2024, section 3.3 steps 3 to 5, and table 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import applicability, store
from models.coverage import coverage_of
from models.errors import SampleError
from models.learners import DEFAULT_LEARNERS
from models.metrics import MIN_BLOCKS, score
from models.partitioned import OVERALL, STACK, WP, PartitionedStack, Predictions, check_partitions
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
from pipeline.learning import calibration
from pipeline.learning.applicability import FILE, applicability_of
from pipeline.learning.calibration import PERIOD_DAYS, calibrate
from pipeline.learning.fusing import Fusions, Key, compared, fused
from pipeline.progress import Report
from pipeline.study import Study
from pipeline.tables.samples import SampleTable, feature_units, read_samples, sample_keys
from pipeline.work.staging import without_nan

MODELS = ("XGBoost", "LightGBM", "CatBoost", "stack", WP)
PERIODS, CELLS = f"{PERIOD_DAYS}-day periods", "cells"
STUDY_FILE, SCORES_CSV, SCORES_JSON = "study.toml", "scores.csv", "scores.json"
FIFTHS = 5  # parts of the held-out rows by what is predicted


@dataclass(frozen=True)
class Training:
    """What ``train`` made.

    Attributes:
        folder: the model folder.
        card: its description.
        scores: one row per split, partition (``all``: pooled) and model: n, R, RMSE, bias, ubRMSE with 95 %
            intervals, and the reason where one is undefined.
        coverage: of stack and WP, one row per split and partition, and per fifth of a split's rows by what is
            predicted: the share of held-out rows within 90 % intervals, with its own 95 % interval, and mean
            width and interval score (m³/m³).
        fusions: how the members are weighed, who was refused, and how other weights would have done.
        samples: the table that was read.
        notes: what the user should know, one sentence each.
    """

    folder: Path
    card: ModelCard
    scores: pd.DataFrame
    coverage: pd.DataFrame
    fusions: Fusions
    samples: SampleTable
    notes: tuple[str, ...]

    def stack_rows(self) -> list[dict[str, str]]:
        """Samples, and weight × trees of each member, of the stacks fitted on all rows; heading -> cell.

        ``refused`` names the members that are shown to add nothing.
        """
        return [
            {"stack": one.name, "samples": f"{one.samples:,}"}
            | {member.learner: f"{member.weight:.2f} × {member.trees}" for member in one.members}
            | {"refused": ", ".join(self.fusions.refused(one.name)) or "none"}
            for one in self.card.stacks
        ]


def template(study: Study) -> StackedRegressor:
    """The unfitted stack of a study; the paper refuses no member."""
    return StackedRegressor(
        n_folds=study.model.n_folds, device=study.model.device, random_state=study.model.seed,
        fusion="convex" if study.preset == "paper" else "ridge",
    )  # fmt: skip


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

    holdings = [Holding.of(split, keys) for split in splits(study)]
    progress = Progress(study, report)
    progress.plan(sum(one.rows for one in holdings) + len(y) * stacks_of(keys))
    trainer = Trainer(study, X, y, keys, progress)
    rows: list[dict[str, Any]] = []
    within: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for one in holdings:
        found = trainer.held_out(one, intervals=True, fusions=True)
        rows += scored(found, trainer)
        within += covered(found, trainer)
        beside += fusions_of(found, trainer)
    scores, coverage = (pd.DataFrame(lines).assign(simulated=table.simulated) for lines in (rows, within))
    model, split, notes = _final(trainer)
    intervals = calibrate(model, X, y, keys, split, n_folds=study.model.n_folds)
    fusions = Fusions.of(beside, model, simulated=table.simulated)
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
        names, sizes = np.unique(keys.partition, return_counts=True)
        counts |= dict(zip(names.tolist(), sizes.tolist(), strict=True))
    areas, outside = applicability_of(
        model, X, keys, split, n_folds=study.model.n_folds, names=tuple(table.features)
    )
    attachments: dict[str, str | bytes] = {
        STUDY_FILE: text,
        SCORES_CSV: scores.to_csv(index=False),
        SCORES_JSON: scores.to_json(orient="records", indent=1, force_ascii=False),
        calibration.TABLE: coverage.to_csv(index=False),
        **intervals.to_files(),
        **fusions.to_files(),
        FILE: applicability.to_bytes(areas),
    }
    try:
        card = store.save(out, model, card, counts, attachments)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}; name a folder you own"
        ) from error
    told = (*table.notes, *notes, *intervals.notes, *outside, *fusions.notes)
    return Training(out, card, scores, coverage, fusions, table, told)


class Progress:
    """Turns the beginnings of stacks and the ends of their fits into a share of the rows to be fitted.

    Attributes:
        stage: what the stacks are fitted for; told before the name of each.
    """

    def __init__(self, study: Study, report: Report) -> None:
        self.fits, self.report = len(DEFAULT_LEARNERS) * (study.model.n_folds + 1), report
        self.stage = ""
        self.total = self.before = self.rows = self.done = 0

    def plan(self, rows: int) -> None:
        """So many more rows are to be fitted."""
        self.total += rows

    def skip(self, rows: int) -> None:
        """So many of the rows planned were fitted in an earlier run."""
        self.before += rows

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


def stacks_of(keys: SampleKeys) -> int:
    """How often each row is fitted: once for WP and, where there are partitions, once for its own."""
    return 1 if keys.partition is None else 2


@dataclass(frozen=True)
class Holding:
    """How a split holds rows out of a table.

    Attributes:
        split: the rule.
        folds: rows to fit and rows held out; none where the split cannot be made.
        reason: why it cannot; empty where it can.
        rows: to be fitted in all.
    """

    split: Split
    folds: tuple[Fold, ...]
    reason: str
    rows: int

    @classmethod
    def of(cls, split: Split, keys: SampleKeys) -> Holding:
        """Lay a split over the samples."""
        try:
            folds = tuple(split.outer(keys))
        except SampleError as error:
            return cls(split, (), str(error), 0)
        stacks = 1 if isinstance(split, LeavePartitionOut) else stacks_of(keys)
        return cls(split, folds, "", stacks * sum(len(fit) for fit, _ in folds))

    @property
    def whole_only(self) -> bool:
        """Whether WP alone can predict what is held out."""
        return isinstance(self.split, LeavePartitionOut)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What models say of the rows held out from them.

    Attributes:
        holding: how they were held out.
        rows: (n,) which rows of the table were held out and predicted.
        predicted: name of each of ``MODELS`` -> (n,) m³/m³, NaN in all other rows.
        reason: why rows were not predicted; empty where all were.
        half: of stack and WP, (n,) half width of the 90 % intervals that the same rows calibrated, m³/m³; NaN
            where there is none.
        without: why rows have no interval; empty where all have.
        fused: members and fusions of them, as ``pipeline.learning.fusing.fused`` names them -> (n,) m³/m³;
            NaN in all other rows.
    """

    holding: Holding
    rows: NDArray[np.bool_]
    predicted: Mapping[str, NDArray[np.float32]]
    reason: str
    half: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    without: str = ""
    fused: Mapping[Key, NDArray[np.float32]] = field(default_factory=dict)


class Trainer:
    """Fits stacks by a study's recipe on rows of one table.

    Args:
        study: with the recipe.
        X: (n, p) predictors.
        y: (n,) target.
        keys: where, when and in which partition each row is.
        progress: told of each stack and each of its fits.
    """

    def __init__(
        self,
        study: Study,
        X: NDArray[np.float32],
        y: NDArray[np.float32],
        keys: SampleKeys,
        progress: Progress,
    ) -> None:
        self.study, self.X, self.y, self.keys, self.progress = study, X, y, keys, progress
        self.template = template(study).set_params(progress=progress.tick)

    def fit(self, rows: NDArray[np.intp], split: Split, *, whole_only: bool = False) -> PartitionedStack:
        """Fit the stacks of some rows.

        Raises:
            SampleError: they cannot be split.
        """
        return PartitionedStack.fit(
            self.template, self.X[rows], self.y[rows], self.keys.take(rows), split,
            n_folds=self.study.model.n_folds, fitting=self.progress.begin, whole_only=whole_only,
        )  # fmt: skip

    def held_out(
        self, holding: Holding, what: str = "", *, intervals: bool = False, fusions: bool = False
    ) -> HeldOut:
        """Predict every row that a split holds out by stacks that have not seen it.

        Args:
            holding: the split and its folds.
            what: told before the split's name while stacks are fitted.
            intervals: whether to give intervals too, calibrated without the rows held out.
            fusions: whether to fuse the members in other ways too.
        """
        self.progress.stage = f"{what}{holding.split.name} split"
        n, reason = len(self.y), holding.reason
        predicted = {model: np.full(n, np.nan, np.float32) for model in MODELS}
        half = {model: np.full(n, np.nan, np.float32) for model in (STACK, WP)} if intervals else {}
        without: dict[str, None] = {}
        others: dict[Key, NDArray[np.float32]] = {}
        held = np.zeros(n, np.bool_)
        for fit_rows, held_rows in holding.folds:
            try:
                model = self.fit(fit_rows, holding.split, whole_only=holding.whole_only)
            except SampleError as error:
                reason = str(error)
                break
            names = None if self.keys.partition is None else self.keys.partition[held_rows]
            found = model.predict(self.X[held_rows], names, backend="native")
            held[held_rows] = True
            for name, values in _by_model(found, own=not holding.whole_only):
                predicted[name][held_rows] = values
            if fusions:
                keys = self.keys.take(fit_rows), self.keys.take(held_rows)
                for key, series in fused(model, found, self.y[fit_rows], *keys).items():
                    others.setdefault(key, np.full(n, np.nan, np.float32))[held_rows] = series
            if not intervals:
                continue
            widths = calibrate(
                model, self.X[fit_rows], self.y[fit_rows], self.keys.take(fit_rows), holding.split,
                n_folds=self.study.model.n_folds,
            )  # fmt: skip
            without |= dict.fromkeys(widths.notes)
            half[WP][held_rows] = widths.half_width(self.X[held_rows])
            if not holding.whole_only:
                half[STACK][held_rows] = widths.half_width(self.X[held_rows], names)
        return HeldOut(holding, held, predicted, reason, half, " ".join(without), others)


class Blocks(NamedTuple):
    """What counts as independent among some rows, where intervals are drawn.

    Attributes:
        labels: the block of each row.
        kind: what a block is, ``PERIODS`` or ``CELLS``.
    """

    labels: NDArray[np.intp]
    kind: str


def independent(keys: SampleKeys, rows: NDArray[np.intp]) -> Blocks:
    """Periods of 30 days where the rows have enough of them, else cells."""
    if keys.day is not None:
        period = (keys.day[rows] // PERIOD_DAYS).astype(np.intp)
        if len(np.unique(period)) >= MIN_BLOCKS:
            return Blocks(period, PERIODS)
    return Blocks(keys.cell[rows], CELLS)


def scored(found: HeldOut, trainer: Trainer) -> Iterator[dict[str, Any]]:
    """One row of the table of scores per partition and model; what cannot be scored has its reason."""
    holding, keys, y = found.holding, trainer.keys, trainer.y
    for group, rows in _groups(found, keys):
        blocks = independent(keys, rows).labels
        for name in MODELS:
            why = found.reason
            if not why and name != WP and holding.whole_only:
                why = "a partition held out has no stack of its own; see WP"
            one = score(found.predicted[name][rows], y[rows], blocks=blocks, seed=trainer.study.model.seed)
            row = {"split": holding.split.name, "partition": group, "model": name} | one.as_dict()
            yield row | ({"reason": why} if why else {})


def fusions_of(found: HeldOut, trainer: Trainer) -> Iterator[dict[str, Any]]:
    """One row per member and fusion of them, of stack and WP; none where nothing was predicted."""
    rows = np.flatnonzero(found.rows)
    if len(rows):
        series = {key: values[rows].astype(np.float64) for key, values in found.fused.items()}
        yield from compared(
            found.holding.split.name, series, trainer.y[rows].astype(np.float64),
            independent(trainer.keys, rows).labels, reason=found.reason, seed=trainer.study.model.seed,
        )  # fmt: skip


def covered(found: HeldOut, trainer: Trainer) -> Iterator[dict[str, Any]]:
    """What share of the held-out rows lies within their intervals, of stack and WP.

    One row per partition, and one for each fifth of all rows by what is predicted, where ``fifth`` is not 0.
    """
    y, seed = trainer.y, trainer.study.model.seed
    for name in (WP,) if found.holding.whole_only else (STACK, WP):
        middle, half = (of[name].astype(np.float64) for of in (found.predicted, found.half))
        known = np.flatnonzero(found.rows)
        ranked = np.array_split(known[np.argsort(middle[known], kind="stable")], FIFTHS)
        groups = [(group, 0, rows) for group, rows in _groups(found, trainer.keys)]
        for group, fifth, rows in (*groups, *((OVERALL, at, rows) for at, rows in enumerate(ranked, 1))):
            one = coverage_of(
                y[rows], (middle - half)[rows], (middle + half)[rows],
                blocks=independent(trainer.keys, rows).labels, seed=seed,
            )  # fmt: skip
            row = {"split": found.holding.split.name, "partition": group, "model": name, "fifth": fifth}
            row |= {"predicted": float(middle[rows].mean()) if len(rows) else math.nan, **one.as_dict()}
            why = found.reason or (found.without if len(rows) and not one.n else "")
            yield row | ({"reason": why} if why else {})


def _groups(found: HeldOut, keys: SampleKeys) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """The rows held out: all of them, and those of each partition."""
    yield OVERALL, np.flatnonzero(found.rows)
    for name in () if keys.partition is None else np.unique(keys.partition):
        yield str(name), np.flatnonzero(found.rows & (keys.partition == name))


def _final(trainer: Trainer) -> tuple[PartitionedStack, Split, list[str]]:
    """The model on all rows, its rule and what is to be told.

    Its folds hold out blocks of land, or single rows as the paper has it.
    """
    trainer.progress.stage = "all samples"
    study = trainer.study
    notes: list[str] = []
    chosen, seed = study.splits, study.model.seed
    rows = np.arange(len(trainer.y))
    if study.preset == "recommended":
        split: Split = SpatialBlocks(chosen.block_km, chosen.test_share, seed)
        try:
            return trainer.fit(rows, split), split, notes
        except SampleError as error:
            notes.append(f"The folds of the model hold out single rows, as no blocks can be laid: {error}.")
    split = RandomSplit(chosen.test_share, seed)
    return trainer.fit(rows, split), split, notes


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
