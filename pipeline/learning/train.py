"""Train a model from a table of samples, and score it under every split the study names.

Each split is scored on rows that its own rule holds out, with stacks whose folds follow the same rule. The
model that is kept is then fitted on all rows, and a partition has a stack in it where held-out rows show that
it is worth one. Xu et al. 2024, section 3.3 steps 3 to 5, and table 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import applicability, store
from models.errors import SampleError
from models.partitioned import WP, PartitionedStack, check_partitions
from models.splits import RandomSplit, SpatialBlocks, Split
from models.store import ChoiceCard, ModelCard, PredictorCard
from pipeline.errors import DataError
from pipeline.learning import calibration, choosing
from pipeline.learning.applicability import FILE, applicability_of
from pipeline.learning.calibration import calibrate
from pipeline.learning.fusing import Fusions
from pipeline.learning.held_out import covered, fusions_of, scored
from pipeline.learning.trainer import Holding, Progress, Trainer, splits, stacks_of
from pipeline.progress import Report, within
from pipeline.study import Study
from pipeline.tables.samples import SampleTable, feature_units, read_samples, sample_keys
from pipeline.work.staging import without_nan

FITTED, CALIBRATED = 0.9, 0.93  # of the time, when the stacks are fitted, and their intervals calibrated
STUDY_FILE, SCORES_CSV, SCORES_JSON = "study.toml", "scores.csv", "scores.json"


def study_of(model: Path) -> Study:
    """The study a model was trained with.

    Raises:
        ConfigError: it is no study.
    """
    file = model / STUDY_FILE
    return Study.parse(file.read_text(encoding="utf-8"), file)


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

        ``refused`` names the members that are shown to add nothing. Where partitions had to show what their
        own stacks are worth, ``own less WP`` is the difference of RMSE (m³/m³) that decided, and a partition
        that WP predicts has a row without members.
        """
        beside = {one.partition: choosing.beside_wp(one) for one in self.card.choices}
        rows = []
        for one in self.card.stacks:
            members = {member.learner: f"{member.weight:.2f} × {member.trees}" for member in one.members}
            refused = ", ".join(self.fusions.refused(one.name)) or "none"
            row = {"stack": one.name, "samples": f"{one.samples:,}"} | members | {"refused": refused}
            rows.append(row | ({"own less WP": beside.get(one.name, "")} if beside else {}))
        empty = dict.fromkeys(rows[-1], "")
        by_wp = (
            empty | {"stack": f"{name}: by {WP}", "own less WP": beside[name]} for name in self.card.by_wp
        )
        return [*rows, *by_wp]


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

    progress = Progress(study, within(report, 0, FITTED))
    trainer = Trainer(study, X, y, keys, progress)
    tested = _tested(trainer)
    model, split, notes = _final(trainer, tested.choices)
    report("intervals", FITTED)
    intervals = calibrate(model, X, y, keys, split, n_folds=study.model.n_folds)
    areas, outside = applicability_of(
        model, X, keys, split, n_folds=study.model.n_folds, names=tuple(table.features),
        report=within(report, CALIBRATED, 1),
    )  # fmt: skip
    report("model folder", 1)
    scores, coverage = (
        pd.DataFrame(rows).assign(simulated=table.simulated) for rows in (tested.scores, tested.coverage)
    )
    fusions = Fusions.of(tested.fusions, model, simulated=table.simulated)
    card = ModelCard(
        study=study.name,
        study_hash=study.hash,
        simulated=table.simulated,
        predictors=tuple(_predictor_cards(study, table, X)),
        split=split.name,
        n_folds=study.model.n_folds,
        choices=tested.choices,
        scores=tuple(without_nan(scores.to_dict(orient="records"))),
    )
    counts = {WP: len(y)} | {name: int(np.count_nonzero(keys.partition == name)) for name in model.parts}
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
    told = (
        *table.notes, *tested.notes, *notes, *choosing.told(tested.choices), *intervals.notes, *outside,
        *fusions.notes,
    )  # fmt: skip
    return Training(out, card, scores, coverage, fusions, table, told)


class _Tested(NamedTuple):
    """What the rows held out tell: lines of the tables, which partitions have stacks of their own, notes."""

    scores: list[dict[str, Any]]
    coverage: list[dict[str, Any]]
    fusions: list[dict[str, Any]]
    choices: tuple[ChoiceCard, ...]
    notes: list[str]


def _tested(trainer: Trainer) -> _Tested:
    """Score every split of the study, and decide by what they hold out."""
    study, keys = trainer.study, trainer.keys
    holdings = [Holding.of(split, keys) for split in splits(study)]
    trainer.progress.plan(sum(one.rows for one in holdings) + len(keys) * stacks_of(keys))
    scores: list[dict[str, Any]] = []
    coverage: list[dict[str, Any]] = []
    fusions: list[dict[str, Any]] = []
    notes: list[str] = []
    deciding = None
    for one in holdings:
        found = trainer.held_out(one, intervals=True, fusions=True)
        scores += scored(found, trainer)
        coverage += covered(found, trainer)
        fusions += fusions_of(found, trainer)
        if names := found.without_own(keys):
            notes.append(
                f"Under the {one.split.name} split all rows of {', '.join(names)} are held out: WP predicts "
                "them in place of stacks of their own, and the stack's scores are WP's there."
            )
        if one.split.name == choosing.DECIDING:
            deciding = found
    choices: tuple[ChoiceCard, ...] = ()
    if study.partitions.use == "where_better":
        choices = choosing.choose(deciding, trainer.y, keys, seed=study.model.seed)
    return _Tested(scores, coverage, fusions, choices, notes)


def _final(trainer: Trainer, choices: Sequence[ChoiceCard]) -> tuple[PartitionedStack, Split, list[str]]:
    """The model on all rows, its rule and what is to be told.

    Its folds hold out blocks of land, or single rows as the paper has it.
    """
    trainer.progress.stage = "all samples"
    study, keys = trainer.study, trainer.keys
    notes: list[str] = []
    chosen, seed = study.splits, study.model.seed
    rows = np.arange(len(trainer.y))
    own = [one.partition for one in choices if one.own] if choices else None
    if own is not None and keys.partition is not None:
        trainer.progress.skip(int((~np.isin(keys.partition, own)).sum()))
    if study.preset == "recommended":
        split: Split = SpatialBlocks(chosen.block_km, chosen.test_share, seed)
        try:
            return trainer.fit(rows, split, among=own), split, notes
        except SampleError as error:
            notes.append(f"The folds of the model hold out single rows, as no blocks can be laid: {error}.")
    split = RandomSplit(chosen.test_share, seed)
    return trainer.fit(rows, split, among=own), split, notes


def _predictor_cards(study: Study, table: SampleTable, X: NDArray[np.float32]) -> Iterator[PredictorCard]:
    units = feature_units(study)
    for name, column in zip(table.features, X.T, strict=True):
        yield PredictorCard(
            name=name, unit=units[name], least=float(np.nanmin(column)), greatest=float(np.nanmax(column)),
            missing_share=float(np.isnan(column).mean()),
        )  # fmt: skip
