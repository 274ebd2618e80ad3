"""Predict soil moisture for a table, by the stacks of a model folder.

The table is read through the study kept in the model folder, or another one for a table with other columns,
so that units and formulas are those of training; a model is never fed predictors it was not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import store
from models.store import ModelCard, PredictorCard
from pipeline.errors import DataError
from pipeline.learning.extrapolation import beyond_training, edges
from pipeline.learning.train import STUDY_FILE
from pipeline.study import Study
from pipeline.tables.samples import read_samples
from pipeline.tables.writing import WRITERS, write_table


@dataclass(frozen=True)
class Prediction:
    """What ``predict`` wrote.

    Attributes:
        path: the table written.
        frame: its content: ``cell``, ``lon``, ``lat``, ``date``, ``partition`` where known, ``sm`` of the
            stack of the row's partition, ``wp`` of the one without partitions, ``xgboost``, ``lightgbm`` and
            ``catboost`` of the members (all m³/m³), ``partitioned`` (whether the partition has a stack of its
            own), ``simulated``, and the columns the study carries.
        notes: what the user should know, one sentence each.
    """

    path: Path
    frame: pd.DataFrame
    notes: tuple[str, ...]


def predict(model: Path, table: Path, out: Path, *, study_file: Path | None = None) -> Prediction:
    """Predict every row of a table and write the result.

    Args:
        model: a model folder.
        table: Parquet or CSV with the predictors.
        out: Parquet or CSV to write, by suffix; written beside and renamed.
        study_file: how to read the table; None takes the study the model was trained with.

    Raises:
        ModelFileError: the model folder cannot be used.
        ConfigError: the study.
        DataError: the table, other predictors than the model's, or ``out`` cannot be written.
    """
    if out.suffix not in WRITERS:
        raise DataError(f"{out}: name a file that ends in {' or '.join(WRITERS)}")
    fitted, card = store.load(model)
    text = (model / STUDY_FILE).read_text(encoding="utf-8")
    study = Study.load(study_file) if study_file else Study.parse(text, model / STUDY_FILE)
    samples = read_samples(table, study, target=False)
    _check_predictors(card, samples.features, model, study_file)

    frame = samples.frame
    X = frame[list(samples.features)].to_numpy(np.float32)
    names = frame["partition"].to_numpy(np.str_) if "partition" in frame else None
    found = fitted.predict(X, names)
    frame = frame.drop(columns=[name for name in samples.features if name not in study.samples.keep])
    frame["sm"], frame["wp"] = found.stack, found.wp
    for member, values in zip(card.stacks[-1].members, found.members.T, strict=True):
        frame[member.learner] = values
    frame["partitioned"] = found.partitioned
    frame["simulated"] = card.simulated | frame.get("simulated", False)
    write_table(frame, out)
    notes = [*samples.notes, *beyond_training(_outside(card, X), "rows")]
    if fitted.parts and not found.partitioned.all():
        notes.append(
            f"{(~found.partitioned).sum():,} of {len(frame):,} rows lie in no partition of the model; the "
            "stack without partition (WP) predicts them."
        )
    return Prediction(out, frame, tuple(notes))


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
