"""What models say of the rows held out from them, scored: each split by itself, and each partition in it.

A random split alone flatters any flexible model, so the scores of all splits stand side by side, on the same
rows for every model, with intervals that draw whole blocks of rows. Xu et al. 2024, table 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.coverage import coverage_of
from models.metrics import MIN_BLOCKS, score
from models.partitioned import OVERALL, STACK, WP
from models.splits import SampleKeys
from pipeline.learning.calibration import PERIOD_DAYS
from pipeline.learning.fusing import compared
from pipeline.learning.trainer import MODELS, HeldOut, Trainer

PERIODS, CELLS = f"{PERIOD_DAYS}-day periods", "cells"
FIFTHS = 5  # parts of the held-out rows by what is predicted


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
