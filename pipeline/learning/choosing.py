"""Which partitions are predicted by a stack of their own: all but those where WP is shown to be better.

Xu et al. 2024 (3.3) always predict by the stack of a partition. It knows one terrain and its own samples
alone, so whether it beats the stack without partition (WP) at new places differs from table to table and from
partition to partition. The spatial split holds rows out from both anyway, and these decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.metrics import compare
from models.partitioned import STACK, WP
from models.splits import SampleKeys, SpatialBlocks
from models.store import ChoiceCard
from pipeline.learning.trainer import HeldOut

DECIDING = SpatialBlocks.name
"""The split that decides: a map is of land between the samples, on dates that they have.

Dates held out speak for WP, and rows held out one by one for the own stacks, whatever is true of new places;
out-of-fold rows of the model that is kept flatter a partition, which is held out in smaller blocks than all.
Decided on some blocks of land and scored on others (161 times a partition; Ethiopia in partitions by height
and by place, the USA in blocks of 100 and 20 km, the simulated example and another simulation;
``tests/benchmarks/bench_partitions.py``) the mean RMSE was 0.0256 with own stacks everywhere, 0.0284 with WP
everywhere, 0.0254 by this rule, on no table more than 0.0004 above own stacks, and 0.0255 with WP unless the
own stack is shown to be better, on one 0.0034 above.
"""


def choose(
    test: HeldOut | None, y: NDArray[np.float32], keys: SampleKeys, *, seed: int = 0
) -> tuple[ChoiceCard, ...]:
    """Decide for each partition.

    Args:
        test: what models say of the rows that the split ``DECIDING`` held out; None where there was none.
        y: (n,) target, m³/m³.
        keys: of the n rows.
        seed: of the bootstrap.

    Returns:
        One for each partition, by name; none where the samples have no partitions. WP predicts a partition
        where the 95 % interval of the paired difference of RMSE, own less WP's, lies above 0
        (``models.metrics.compare``; whole cells are drawn). Where there is no interval, nothing speaks
        against what a study with partitions asks for.
    """
    if keys.partition is None:
        return ()
    return tuple(_choice(str(name), test, y, keys, seed) for name in np.unique(keys.partition))


def _choice(
    partition: str, test: HeldOut | None, y: NDArray[np.float32], keys: SampleKeys, seed: int
) -> ChoiceCard:
    untested = partial(ChoiceCard, partition=partition, own=True)
    if test is None:
        return untested(reason=f"the study's splits are without the {DECIDING} one, which decides")
    if test.reason and not test.rows.any():
        return untested(reason=test.reason)
    rows = np.flatnonzero(test.own & (keys.partition == partition))
    if not len(rows):
        return untested(reason=f"the {DECIDING} split holds none of its rows out from a stack of its own")
    found = compare(
        {name: test.predicted[name][rows] for name in (STACK, WP)}, y[rows], blocks=keys.cell[rows],
        baseline=WP, metrics=("rmse",), seed=seed,
    )  # fmt: skip
    difference = found.differences[STACK]["rmse"]
    return ChoiceCard(
        partition=partition,
        own=not difference.lower > 0,
        split=DECIDING,
        n=found.n,
        own_rmse=found.scores[STACK]["rmse"].value,
        wp_rmse=found.scores[WP]["rmse"].value,
        difference=difference.value,
        difference_lower=_known(difference.lower),
        difference_upper=_known(difference.upper),
        reason=difference.reason,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def told(choices: Sequence[ChoiceCard]) -> Iterator[str]:
    """What the user should know of the decisions, one sentence each."""
    left = [one for one in choices if not one.own]
    if left:
        names = ", ".join(f"{one.partition} (own less WP {beside_wp(one)})" for one in left)
        yield (
            f"The stack without partition (WP) predicts {names}, as it is better there on held-out rows than "
            'stacks of their own. [partitions] use = "always" keeps these.'
        )
    for reason in dict.fromkeys(one.reason for one in choices if one.difference_lower is None):
        names = ", ".join(one.partition for one in choices if one.reason == reason)
        yield (
            f"{names}: whether the stack without partition (WP) would be better is not known ({reason}), so "
            "stacks of their own predict."
        )


def beside_wp(choice: ChoiceCard) -> str:
    """RMSE of a partition's own stack less that of WP (m³/m³) and its interval, or that it is not known."""
    if choice.difference is None or choice.difference_lower is None:
        return "not known"
    interval = f"[{choice.difference_lower:+.4f}, {choice.difference_upper:+.4f}]"
    return f"{choice.difference:+.4f} {interval}"
