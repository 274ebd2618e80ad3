"""Intervals of the stacks of a model, calibrated on what their folds held out.

What counts as one block follows from the split: land held out whole is as many findings as there are blocks
of land, dates held out whole as many as there are months. Their coverage is then measured on rows that an
outer split held out from stacks and intervals alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import store
from models.errors import ModelFileError, SampleError
from models.intervals import HalfWidth, Intervals
from models.partitioned import WP, PartitionedStack
from models.splits import (
    N_FOLDS,
    CellsAndDates,
    LeavePartitionOut,
    RandomSplit,
    SampleKeys,
    SpatialBlocks,
    Split,
    TimeBlocks,
)
from models.stack import StackedRegressor

PERIOD_DAYS = 30  # soil moisture a month apart counts as independent
TABLE = "intervals.csv"
COLUMNS = frozenset({
    "split", "partition", "model", "fifth", "predicted", "n", "coverage", "coverage_lower", "coverage_upper",
    "width", "score",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The intervals of a model folder.

    Attributes:
        intervals: of its stacks.
        coverage: how often they contained what splits held out, see ``pipeline.learning.train.Training``.
        split: the rule by which blocks were held out to calibrate those of the model.
        simulated: whether the samples were simulated.
    """

    intervals: Intervals
    coverage: pd.DataFrame
    split: str
    simulated: bool


def read(folder: Path) -> Calibrated | None:
    """What training left of intervals in a model folder; None where it was trained without.

    Raises:
        ModelFileError: there is no model, or it is damaged.
    """
    card, intervals = store.read_card(folder), store.load_intervals(folder)
    if intervals is None or TABLE not in card.attachments:
        return None
    try:
        coverage = pd.read_csv(
            folder / TABLE, dtype={"partition": str}, keep_default_na=False, na_values=[""]
        )
    except ValueError as error:
        raise ModelFileError(f"{folder / TABLE} cannot be read ({error}); train again") from None
    if not {*coverage} >= COLUMNS:
        raise ModelFileError(f"{folder / TABLE} lacks columns; train again")
    return Calibrated(intervals, coverage, card.split, card.simulated)


def calibrate(
    model: PartitionedStack,
    X: NDArray[np.float32],
    y: NDArray[np.float32],
    keys: SampleKeys,
    split: Split,
    *,
    n_folds: int,
) -> Intervals:
    """The intervals of WP and of each partition's stack.

    Args:
        model: fitted on these rows under this split.
        X: (n, p) predictors.
        y: (n,) target, m³/m³.
        keys: where, when and in which partition each row is.
        split: the rule under which the stacks held out their folds.
        n_folds: folds of each stack.

    Returns:
        A stack that cannot be calibrated has none of its own, said in a note.
    """
    sizes: dict[float, list[str]] = {}

    def one(name: str, stack: StackedRegressor, rows: NDArray[np.intp]) -> HalfWidth:
        own = keys.take(rows)
        if isinstance(split, SpatialBlocks):
            sizes.setdefault(split.block_size(own, n_folds), []).append(name)
        errors = stack.oof_ @ stack.weights_ - y[rows]
        return HalfWidth.fit(
            X[rows], errors, split.folds(own, n_folds), blocks_of(split, own, n_folds),
            seed=stack.random_state, threads=stack.threads,
        )  # fmt: skip

    notes = []
    whole, parts = None, {}
    try:
        whole = one(WP, model.whole, np.arange(len(y)))
    except SampleError as error:
        notes.append(f"{WP} has no interval: {error}.")
    for name, stack in model.parts.items():
        try:
            parts[name] = one(name, stack, np.flatnonzero(keys.partition == name))
        except SampleError as error:
            instead = "it takes that of WP" if whole else "its maps have none"
            notes.append(f"Partition {name} has no interval of its own, {instead}: {error}.")
    return Intervals(whole, parts, tuple(notes), _held_out(split, sizes))


def _held_out(split: Split, sizes: Mapping[float, Sequence[str]]) -> str:
    """What was held out; of blocks of land the sides in km, each with the stacks that have them."""
    if isinstance(split, SpatialBlocks):
        told = [f"{size:.3g} km ({', '.join(names)})" for size, names in sorted(sizes.items(), reverse=True)]
        return (
            f"Calibrated on held-out blocks of land of {', '.join(told)}; where samples are farther off "
            "than from within such a block, intervals are too narrow, and of dates without samples they "
            "claim nothing."
        )
    if isinstance(split, RandomSplit):
        return (
            "Calibrated on rows held out one by one, of which other days of the same cells tell much; at "
            "places and on dates without samples intervals are too narrow."
        )
    return f"Calibrated on what the folds of the {split.name} split held out."


def blocks_of(split: Split, keys: SampleKeys, n_folds: int) -> NDArray[np.intp]:
    """What counts as independent among rows that a split's folds hold out: whole blocks of what is new there.

    Rows of a random split, blocks of land, periods of 30 days, or partitions; of land and dates together the
    land, as each block of it is held out in one stretch of days alone. Where there are fewer than five folds,
    blocks of land are laid as for five; these lie within those that the folds hold out.
    """
    n_folds = max(n_folds, N_FOLDS)
    if isinstance(split, RandomSplit):
        return np.arange(len(keys))
    if isinstance(split, CellsAndDates):
        return split.space.blocks(keys, n_folds)
    if isinstance(split, SpatialBlocks):
        return split.blocks(keys, n_folds)
    if isinstance(split, TimeBlocks) and keys.day is not None:
        return (keys.day // PERIOD_DAYS).astype(np.intp)
    if isinstance(split, LeavePartitionOut) and keys.partition is not None:
        return np.unique(keys.partition, return_inverse=True)[1]
    return keys.cell
