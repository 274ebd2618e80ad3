"""Predict soil moisture for a table, by the stacks of a model folder.

The table is read through the study kept in the model folder, or another one for a table with other columns,
so that units and formulas are those of training; a model is never fed predictors it was not trained on. With
a table of the cells around, predictions keep what SMAP knows of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import store
from models.conserving import AROUND, OWN
from models.partitioned import WP
from models.store import ModelCard, PredictorCard
from pipeline.errors import DataError
from pipeline.learning.applicability import read_areas
from pipeline.learning.extrapolation import beyond_training, edges
from pipeline.learning.residuals import around
from pipeline.learning.train import study_of
from pipeline.study import Study
from pipeline.tables.samples import read_samples
from pipeline.tables.titles import (
    CORRECTED,
    DOWNSCALED,
    INDEX,
    INSIDE,
    LOWER,
    SMAP_BILINEAR,
    UNCORRECTED,
    UPPER,
    WHOLE,
)
from pipeline.tables.writing import WRITERS, write_table


@dataclass(frozen=True)
class Prediction:
    """What ``predict`` wrote.

    Attributes:
        path: the table written.
        frame: its content: ``cell``, ``lon``, ``lat``, ``date``, ``partition`` where known, ``sm`` of the
            stack of the row's partition, ``wp`` of the one without partitions, ``xgboost``, ``lightgbm`` and
            ``catboost`` of the members (all m³/m³), ``partitioned`` (whether the partition has a stack of its
            own), ``simulated``, and the columns the study carries. Where cells were given, ``sm`` is
            corrected by what the stack lacks of SMAP there, ``sm_model`` is what the stack says,
            ``smap_bilinear`` is SMAP interpolated between the cells without any model, and
            ``corrected`` what the correction rests on: 1 the cell that holds the point, 2 cells around it, 0
            nothing, so that ``sm`` is ``sm_model``. As far as the model has them, ``sm_lower`` and
            ``sm_upper``, the ends of the 90 % interval (m³/m³), and ``di`` and ``aoa``, as in a map. Its
            ``attrs``, which Parquet keeps, tell ``model_hash``, ``model_study`` and ``gee_smap``.
        notes: what the user should know, one sentence each.
    """

    path: Path
    frame: pd.DataFrame
    notes: tuple[str, ...]


def predict(
    model: Path,
    table: Path,
    out: Path,
    *,
    study_file: Path | None = None,
    cells: Path | None = None,
    detail: float = 1.0,
) -> Prediction:
    """Predict every row of a table and write the result.

    Args:
        model: a model folder.
        table: Parquet or CSV with the predictors.
        out: Parquet or CSV to write, by suffix; written beside and renamed.
        study_file: how to read the tables; None takes the study the model was trained with.
        cells: Parquet or CSV with predictors and SMAP (``sm``) of the cells around, on the same days; such as
            the samples of a work directory. How they correct: ``pipeline.learning.residuals``.
        detail: the share of what the model tells beyond its cells that corrected points show, 0 to 1, as in
            a map.

    Raises:
        ModelFileError: the model folder cannot be used.
        ConfigError: the study.
        DataError: a table, other predictors than the model's, or ``out`` cannot be written.
    """
    if out.suffix not in WRITERS:
        raise DataError(f"{out}: name a file that ends in {' or '.join(WRITERS)}")
    fitted, card = store.load(model)
    study = Study.load(study_file) if study_file else study_of(model)
    samples = read_samples(table, study, target=False)
    _check_predictors(card, samples.features, model, study_file)
    known = read_samples(cells, study, target=True) if cells else None

    frame = samples.frame
    X = frame[list(samples.features)].to_numpy(np.float32)
    names = frame["partition"].to_numpy(np.str_) if "partition" in frame else None
    found = fitted.predict(X, names)
    frame = frame.drop(columns=[name for name in samples.features if name not in study.samples.keep])
    frame[DOWNSCALED], frame[WHOLE] = found.stack, found.wp
    notes = [*samples.notes, *beyond_training(_outside(card, X), "rows")]
    if known is not None:
        cell = around(known, fitted, frame)
        frame[UNCORRECTED], frame[CORRECTED] = found.stack, cell.source
        frame[DOWNSCALED] = cell.corrected(found.stack, detail).astype(np.float32)
        frame[SMAP_BILINEAR] = cell.bilinear.astype(np.float32)
        notes.append(_told(cell.source))
    for name, values in _trusted(model, X, names, frame[DOWNSCALED].to_numpy()).items():
        frame[name] = values
    for member, values in zip(card.stacks[-1].members, found.members.T, strict=True):
        frame[member.learner] = values
    frame["partitioned"] = found.partitioned
    frame["simulated"] = card.simulated | frame.get("simulated", False)
    frame.attrs = {"model_hash": card.sha256, "model_study": card.study, "gee_smap": version("gee-smap")}
    write_table(frame, out)
    notes += _by_wp(card, found.partitioned, names)
    return Prediction(out, frame, tuple(notes))


def _trusted(
    model: Path, X: NDArray[np.float32], partition: NDArray[np.str_] | None, sm: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """The bands of a map that say how far it can be trusted, as columns, as far as the model has them."""
    found = {}
    if (intervals := store.load_intervals(model)) is not None:
        half = intervals.half_width(X, partition)
        found[LOWER], found[UPPER] = np.maximum(sm - half, 0), sm + half
    if areas := read_areas(model):
        index, inside = (np.full(len(X), np.nan, np.float32) for _ in range(2))
        names = np.full(len(X), WP) if partition is None else partition
        for name in np.unique(names):
            area, rows = areas.get(str(name), areas.get(WP)), np.flatnonzero(names == name)
            if area is not None:
                index[rows] = area.di(X[rows])
                inside[rows] = area.inside(index[rows])
        found[INDEX], found[INSIDE] = index, inside
    return found


def _by_wp(card: ModelCard, partitioned: NDArray[np.bool_], names: NDArray[np.str_] | None) -> Iterator[str]:
    """Which rows WP predicts, and why, where the model knows partitions."""
    if not card.partitioned:
        return
    left = np.zeros(len(partitioned), np.bool_) if names is None else np.isin(names, card.by_wp)
    if names is not None and left.any():
        yield (
            f"{left.sum():,} of {len(left):,} rows lie in {', '.join(np.unique(names[left]))}: the stack "
            "without partition (WP) predicts them, as held-out rows show none of their own to be better."
        )
    if unknown := int((~partitioned & ~left).sum()):
        yield (
            f"{unknown:,} of {len(left):,} rows lie in no partition of the model; the stack without "
            "partition (WP) predicts them."
        )


def _told(source: NDArray[np.uint8]) -> str:
    """How many rows are corrected, in a sentence."""
    own, around = (int((source == kind).sum()) for kind in (OWN, AROUND))
    rest = len(source) - own - around
    return (
        f"Of {len(source):,} rows {own:,} are corrected by SMAP's cell that holds them, {around:,} by cells "
        f"around; {rest:,} are not, as no cell there has a value on the day."
    )


def _check_predictors(
    card: ModelCard, features: tuple[str, ...], model: Path, study_file: Path | None
) -> None:
    if features == card.features:
        return
    lacking = [name for name in card.features if name not in features]
    further = [name for name in features if name not in card.features]
    told = [f"without {', '.join(lacking)}"] * bool(lacking) + [f"with {', '.join(further)}"] * bool(further)
    raise DataError(
        f"{study_file}: its predictors are not those of {model}: {' and '.join(told) or 'in another order'}; "
        f"set predictors.use as the model has it: {', '.join(card.features)}"
    )


def _outside(card: ModelCard, X: NDArray[np.float32]) -> Iterator[tuple[PredictorCard, float]]:
    """Each predictor and the share of rows in which it is beyond what training saw."""
    for predictor, column in zip(card.predictors, X.T, strict=True):
        lowest, highest = edges(predictor)
        yield predictor, float(np.mean((column < lowest) | (column > highest)))
