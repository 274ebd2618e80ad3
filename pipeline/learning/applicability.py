"""The areas of applicability of a trained model: one for each stack, from its own samples.

They are fitted with the folds of the model that is kept, because those are what its members' weights and its
scores under that split come from. A stack without an area still predicts; the reason becomes a note.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.applicability import Applicability, from_bytes, importance_of
from models.errors import ModelFileError, SampleError
from models.partitioned import WP, PartitionedStack
from models.splits import SampleKeys, Split
from pipeline.progress import Report

FILE = "applicability.npz"  # in a model folder


def applicability_of(
    model: PartitionedStack,
    X: NDArray[np.float32],
    keys: SampleKeys,
    split: Split,
    *,
    n_folds: int,
    names: tuple[str, ...],
    report: Report = lambda what, share: None,
) -> tuple[dict[str, Applicability], tuple[str, ...]]:
    """Fit the area of each stack.

    Args:
        model: fitted on all rows of ``X``.
        X: (n, p) predictors, NaN where missing.
        keys: of the rows.
        split: that held out the folds of the stacks.
        n_folds: of each stack.
        names: of the p predictors, for the notes.
        report: told which stack's area is fitted.

    Returns:
        Areas by the name of the stack, and what is to be told: stacks without one, and predictors that are
        left out because they do not vary.
    """
    areas: dict[str, Applicability] = {}
    notes = []
    for number, (name, stack) in enumerate(model.stacks.items()):
        report(f"area of applicability: {name}", number / len(model.stacks))
        rows = np.arange(len(X)) if name == WP or keys.partition is None else np.flatnonzero(
            keys.partition == name
        )  # fmt: skip
        own = X[rows]
        try:
            folds = split.folds(keys.take(rows), n_folds)
            areas[name] = Applicability.fit(own, importance_of(stack, own), folds)
        except SampleError as error:
            notes.append(f"There is no area of applicability for {name}: {error}.")
            continue
        constant = [one for one, column in zip(names, own.T, strict=True) if not _varies(column)]
        if constant:
            notes.append(
                f"{name}: the dissimilarity index is without {', '.join(constant)}, constant in training."
            )
    return areas, tuple(notes)


def read_areas(folder: Path) -> dict[str, Applicability]:
    """The areas in a model folder, by the name of the stack; none where it has no such file.

    Raises:
        ModelFileError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return from_bytes(path.read_bytes())
    except (OSError, ModelFileError) as error:
        raise ModelFileError(f"{path}: {error}") from error


def _varies(column: NDArray[np.float32]) -> bool:
    known = column[~np.isnan(column)]
    return len(known) > 0 and bool(known.min() < known.max())
