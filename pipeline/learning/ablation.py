"""What predictors are worth under each split: the same held-out rows, predicted without some of them.

A day of the year, or soil and elevation that never change, let a flexible model look up the date or the cell
of a row that it has seen nearby; that pays on a random split and fails where whole dates or places are new.
So a gain that such predictors bring is shown beside the split it was gained under, and the project's sets of
predictors are compared where whole dates or places are held out. Xu et al. 2024 trains on all fifteen
(section 3.3) and scores a random split alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics import Metric, compare
from models.partitioned import STACK, WP, check_partitions
from models.splits import CellsAndDates, LeavePartitionOut, SampleKeys, SpatialBlocks, TimeBlocks
from pipeline.columns import LAND_COVER, SEASON
from pipeline.figures import ablation as figures
from pipeline.figures.style import save_chart
from pipeline.learning.held_out import independent
from pipeline.learning.predictor_sets import COMPARED, PAPER, comparable
from pipeline.learning.resuming import key_of, made_before, resumed
from pipeline.learning.trainer import MODELS, Holding, Progress, Trainer, splits
from pipeline.progress import Report
from pipeline.study import Study
from pipeline.tables.results import read_scores
from pipeline.tables.samples import read_samples, sample_keys
from pipeline.work.staging import read_back, staged, whole, write_json


class PredictorSet(NamedTuple):
    """A set of predictors: how it is called, and the features it leaves out."""

    title: str
    left_out: frozenset[str]


FULL = "all"  # the set that the others are compared with
DATES = frozenset({"doy", *SEASON})
STATICS = frozenset({"dem", "slope", "twi", "sand", "silt", "clay", *LAND_COVER})
SETS = {
    FULL: PredictorSet("All predictors", frozenset()),
    "without-doy": PredictorSet("Without day of year", DATES),
    "without-statics": PredictorSet("Without terrain, soil, land cover", STATICS),
    "without-both": PredictorSet("Without both", DATES | STATICS),
}
METRICS: tuple[Metric, ...] = ("r", "rmse", "bias", "ubrmse")
BLOCKED = (SpatialBlocks.name, TimeBlocks.name, CellsAndDates.name)  # splits that sets are compared under
RECORD, TABLE, PICTURE = "ablation.json", "ablation.csv", "ablation"
COLUMNS = ("split", "predictors", "model", "n")  # of both tables, among others
SETS_TABLE, SETS_PICTURE = "predictor-sets.csv", "predictor-sets"
FILES = (
    TABLE, f"{PICTURE}.png", f"{PICTURE}.svg", SETS_TABLE, f"{SETS_PICTURE}.png", f"{SETS_PICTURE}.svg",
    RECORD,
)  # fmt: skip
VERSION = 2  # of the files
UNFINISHED = ".held-out"  # folder of what a run that was stopped has predicted
ENDS = ("", "_lower", "_upper")


@dataclass(frozen=True, eq=False)
class Ablation:
    """What :func:`ablate` found and wrote.

    Attributes:
        table: one row per split, set of predictors and model, as in ``ablation.csv``: ``n``, R, RMSE, bias
            and ubRMSE with 95 % intervals, ``<metric>_change`` with its interval, the difference to the
            same model with all predictors on identical rows, and ``reason`` where one is undefined.
        summary: the rest of ``ablation.json``: ``simulated``, ``study``, ``key``, ``settings``, ``sets``
            (the predictors left out of each), ``splits`` (``promise``, ``rows``, ``reason`` where there are
            no scores, ``best``, the member of lowest RMSE with all predictors, ``drawn``, what a block is
            where intervals are drawn), ``compared`` (``title`` and ``predictors`` of each set compared),
            ``apart``, why there are none, ``notes``.
        picture: the figure, PNG; None where nothing was scored.
        compared: as ``table``, of the project's sets of predictors under the blocked splits, as in
            ``predictor-sets.csv``; changes are to the paper's fifteen. Empty where they cannot be compared.
        compared_picture: that of the sets compared.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]
    picture: bytes | None = field(repr=False)
    compared: pd.DataFrame = field(default_factory=pd.DataFrame)
    compared_picture: bytes | None = field(default=None, repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know beside the numbers, one sentence each."""
        return tuple(self.summary["notes"])

    def as_dict(self) -> dict[str, Any]:
        """The summary, the scores as ``scores`` and those of the sets compared as ``set_scores``."""
        return {
            **self.summary,
            "scores": self.table.to_dict(orient="records"),
            "set_scores": self.compared.to_dict(orient="records"),
        }

    def rows(self) -> list[dict[str, str]]:
        """The stack's RMSE under each split, and its change without some predictors, for people."""
        return self._told(self.table, self.row)

    def set_rows(self) -> list[dict[str, str]]:
        """The stack's RMSE with the paper's predictors, and its change with other sets, for people."""
        return self._told(self.compared, self.set_row)

    def row(self, split: str, predictors: str, model: str = STACK) -> Mapping[str, Any] | None:
        """The scores of a model on a set of predictors; None where it has none."""
        return _row(self.table, split, predictors, model)

    def set_row(self, split: str, name: str, model: str = STACK) -> Mapping[str, Any] | None:
        """The scores of a model on one of the sets compared; None where it has none."""
        return _row(self.compared, split, name, model)

    @staticmethod
    def _told(
        known: pd.DataFrame, row_of: Callable[[str, str], Mapping[str, Any] | None]
    ) -> list[dict[str, str]]:
        table = []
        for split in known["split"].unique():
            row = {"split": str(split)}
            for name in known["predictors"].unique():
                found = row_of(split, name)
                if found is None:
                    continue
                changed, low, high = (found[f"rmse_change{end}"] for end in ("", "_lower", "_upper"))
                interval = "" if math.isnan(low) else f" [{low:+.4f}, {high:+.4f}]"
                row[name] = f"{found['rmse']:.4f}" if len(row) == 1 else f"{changed:+.4f}{interval}"
            table.append(row)
        return table


def ablate(
    samples: Path, study_file: Path, out: Path, *, report: Report = lambda what, share: None
) -> Ablation:
    """Score the study's splits without the day of year, without what never changes, and without both.

    Stacks are fitted as ``pipeline.learning.train`` does, on the same rows with the same seed, so the scores
    of the full set are those of the model folder. Partitions held out whole are left to ``train``. Where the
    table has all that they need, the sets of ``pipeline.learning.predictor_sets`` are scored on those same
    rows under the blocked splits.

    Args:
        samples: the table the model is trained on.
        study_file: the study in TOML.
        out: folder of the results. One made of the same table and study is read back; of a run that was
            stopped, what is predicted is kept.
        report: told which stack is being fitted, and the share of all rows to be fitted that is done.

    Raises:
        ConfigError: the study.
        DataError: the table, or ``out`` cannot be written.
        SampleError: a partition has too few samples.
    """
    study = Study.load(study_file)
    table = read_samples(samples, study, target=True)
    key = key_of(samples, study, VERSION)
    if (made := made_before(read, out, key)) is not None:
        return made
    keys = sample_keys(table.frame)
    if keys.partition is not None:
        check_partitions(keys.partition, study.partitions.minimum_samples)
    sets, notes = _sets(table.features)
    held = [Holding.of(one, keys) for one in splits(study) if not isinstance(one, LeavePartitionOut)]
    blocked = [one for one in held if one.split.name in BLOCKED]
    wide = comparable(samples, study, table)
    rounds = [_Round(SETS[name].title, name, features, held) for name, features in sets.items()]
    for name, features in wide.sets.items() if blocked else ():
        same = next((one for one in rounds if one.features == features), None)
        rounds.append(_Round(COMPARED[name], name, features, blocked, same))
    progress = Progress(study, report)
    progress.plan(sum(one.rows for each in rounds if each.same is None for one in each.held))
    y = table.frame["sm"].to_numpy(np.float32)
    parts: dict[tuple[str, str], _Part] = {}
    with resumed(out, UNFINISHED, key) as unfinished:
        for each in rounds:
            if each.same is not None:
                parts |= {
                    (one.split.name, each.name): parts[one.split.name, each.same.name] for one in each.held
                }
                continue
            X = wide.frame[each.features].to_numpy(np.float32)
            trainer = Trainer(study, X, y, keys, progress)
            for one in each.held:
                parts[one.split.name, each.name] = _part(trainer, one, each, unfinished)
        found, best, drawn = _scored(
            parts, [one.split.name for one in held], list(sets), FULL, y, keys, study.model.seed
        )
        compared, compared_best, _ = _scored(
            parts, [one.split.name for one in blocked], list(wide.sets) if blocked else [], PAPER, y, keys,
            study.model.seed,
        )  # fmt: skip
        found["simulated"] = compared["simulated"] = table.simulated
        summary = {
            "simulated": table.simulated,
            "study": study.name,
            "study_hash": study.hash,
            "key": key,
            "settings": {"seed": study.model.seed, "n_folds": study.model.n_folds, "confidence": 0.95},
            "sets": {
                name: {
                    "title": SETS[name].title,
                    "left_out": [one for one in table.features if one in SETS[name].left_out],
                }
                for name in sets
            },
            "splits": {
                one.split.name: {
                    "promise": one.split.promise,
                    "rows": len(parts[one.split.name, FULL].rows),
                    "reason": parts[one.split.name, FULL].reason,
                    "best": best.get(one.split.name, ""),
                    "drawn": drawn.get(one.split.name, ""),
                }
                for one in held
            },
            "compared": {
                name: {"title": COMPARED[name], "predictors": features}
                for name, features in wide.sets.items()
                if blocked
            },
            "apart": wide.reason if blocked else "no split of the study holds whole dates or places out",
            "notes": [*table.notes, *notes],
        }
        with staged(out, RECORD, FILES) as folder:
            found.to_csv(folder / TABLE, index=False)
            compared.to_csv(folder / SETS_TABLE, index=False)
            titles = {name: SETS[name].title for name in sets}
            drawings = (
                (PICTURE, figures.scores, found, titles, best),
                (SETS_PICTURE, figures.sets, compared, COMPARED, compared_best),
            )
            for name, draw, scores, told, members in drawings:
                if len(scores):
                    save_chart(draw(scores, told, members, simulated=table.simulated), folder, name)
            write_json(folder / RECORD, summary)
    return _load(out)


def read(folder: Path) -> Ablation | None:
    """What :func:`ablate` left in a folder; None where there is nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "score it again without some of the predictors")


def _load(folder: Path) -> Ablation:
    summary = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if not isinstance(summary["notes"], list) or not isinstance(summary["compared"], dict):
        raise ValueError("notes are no list, or the sets compared no table")
    one, other = (folder / f"{name}.png" for name in (PICTURE, SETS_PICTURE))
    return Ablation(
        read_scores(folder / TABLE, COLUMNS),
        summary,
        one.read_bytes() if one.is_file() else None,
        read_scores(folder / SETS_TABLE, COLUMNS),
        other.read_bytes() if other.is_file() else None,
    )


def _row(known: pd.DataFrame, split: str, predictors: str, model: str) -> Mapping[str, Any] | None:
    here = known[(known["split"] == split) & (known["predictors"] == predictors) & (known["model"] == model)]
    found = here.to_dict(orient="records")
    return {str(key): value for key, value in found[0].items()} if found else None


def _sets(features: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The features of each set that differs from those before it, and which do not or have none left."""
    sets: dict[str, list[str]] = {}
    notes = []
    for name, one in SETS.items():
        left = [feature for feature in features if feature not in one.left_out]
        if not left:
            notes.append(f"{one.title}: no predictor would be left, so this is not scored.")
        elif same := next((other for other, has in sets.items() if has == left), None):
            notes.append(f"{one.title} is the same as {SETS[same].title.lower()} in this study.")
        else:
            sets[name] = left
    return sets, notes


@dataclass(frozen=True)
class _Round:
    """A set of predictors and the splits that it is scored under; ``same`` has its scores already."""

    title: str
    name: str
    features: list[str]
    held: list[Holding]
    same: _Round | None = None


class _Part(NamedTuple):
    """What the models say of the rows that a split holds out, on one set of predictors.

    Attributes:
        rows: (k,) positions in the table.
        predicted: (k, models) m³/m³, in the order of ``MODELS``.
        reason: why there are no rows.
    """

    rows: NDArray[np.intp]
    predicted: NDArray[np.float32]
    reason: str


def _part(trainer: Trainer, held: Holding, of: _Round, unfinished: Path) -> _Part:
    """Predict what a split holds out, or take it from a run that was stopped."""
    path = unfinished / f"{of.name}-{held.split.name}.npz"
    try:
        with np.load(path) as known:
            part = _Part(known["rows"], known["predicted"], str(known["reason"]))
        trainer.progress.skip(held.rows)
        return part
    except (OSError, ValueError, KeyError, BadZipFile):
        pass  # not there, or cut off
    found = trainer.held_out(held, f"{of.title}, ")
    rows = np.flatnonzero(found.rows)
    part = _Part(rows, np.column_stack([found.predicted[model][rows] for model in MODELS]), found.reason)
    with whole(path) as beside:
        np.savez(beside, **part._asdict())
    return part


def _scored(
    parts: Mapping[tuple[str, str], _Part],
    names: Sequence[str],
    sets: Sequence[str],
    baseline: str,
    y: NDArray[np.float32],
    keys: SampleKeys,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
    """The table of scores, and of each split that has some the best member and what a block is."""
    lines: list[dict[str, Any]] = []
    best: dict[str, str] = {}
    drawn: dict[str, str] = {}
    for split in names:
        rows = parts[split, baseline].rows if sets else np.empty(0, np.intp)
        known = [name for name in sets if len(rows) and not parts[split, name].reason]
        if baseline not in known:
            continue
        blocks, drawn[split] = independent(keys, rows)
        errors: dict[str, float] = {}
        for column, model in enumerate(MODELS):
            found = compare(
                {name: parts[split, name].predicted[:, column] for name in known}, y[rows], blocks=blocks,
                baseline=baseline, metrics=METRICS, seed=seed,
            )  # fmt: skip
            errors[model] = found.scores[baseline]["rmse"].value
            for name in known:
                line: dict[str, Any] = {"split": split, "predictors": name, "model": model, "n": found.n}
                reasons = []
                for metric in METRICS:
                    one = found.scores[name][metric]
                    line |= {metric: one.value, f"{metric}_lower": one.lower, f"{metric}_upper": one.upper}
                    reasons.append(one.reason)
                for metric, change in found.differences.get(name, {}).items():
                    line |= {
                        f"{metric}_change": change.value, f"{metric}_change_lower": change.lower,
                        f"{metric}_change_upper": change.upper,
                    }  # fmt: skip
                    reasons.append(change.reason)
                lines.append(line | {"reason": "; ".join(dict.fromkeys(filter(None, reasons)))})
        best[split] = min((name for name in MODELS if name not in (STACK, WP)), key=errors.__getitem__)
    columns = [f"{metric}{end}" for metric in METRICS for end in ENDS]
    columns += [f"{metric}_change{end}" for metric in METRICS for end in ENDS]
    return pd.DataFrame(lines, columns=["split", "predictors", "model", "n", *columns, "reason"]), best, drawn
