"""One stack per terrain partition, and one without partition (WP) on all samples.

Xu et al. 2024 (3.3, steps 3 to 5) train a model in each geomorphic unit and one on the whole province to see
what partitioning brings. Both are always fitted here, side by side, so that the comparison is never missing,
and WP predicts wherever a row belongs to no partition with a stack in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from models.errors import SampleError
from models.inference import Backend, Predictor
from models.splits import N_FOLDS, SampleKeys, Split
from models.stack import StackedRegressor

WP = "WP"  # without partition, the paper's own word
STACK = "stack"  # in tables of scores, the stack of each row's own partition
OVERALL = "all"  # in tables of scores, all partitions together

Rows = NDArray[np.intp]
Fitting = Callable[[str, int], None]


def check_partitions(partition: NDArray[np.str_], minimum: int) -> None:
    """Refuse partitions with too few samples to fit a stack, all of them in one message.

    Raises:
        SampleError: a partition has fewer than ``minimum`` samples, or is named ``WP``.
    """
    names, counts = np.unique(partition, return_counts=True)
    if WP in names:
        raise SampleError(f"a partition may not be named {WP!r}: that is the model without partition")
    few = [
        f"{name!r} has {count}" for name, count in zip(names.tolist(), counts, strict=True) if count < minimum
    ]
    if few:
        raise SampleError(
            f"too few samples to fit a stack of its own: partition {', '.join(few)}; at least {minimum} are "
            "needed. Join such a partition with a neighbour, lower partitions.minimum_samples, or train "
            "without partitions"
        )


@dataclass(frozen=True)
class Predictions:
    """What a partitioned model says of n rows, in m³/m³.

    Attributes:
        members: (n, m) each base learner of the stack of the row's partition.
        stack: (n,) the stack of the row's partition; where there is none, the same as ``wp``.
        wp: (n,) the stack without partition.
        partitioned: (n,) whether the row's partition has a stack of its own.
        wp_members: (n, m) each base learner of WP.
    """

    members: NDArray[np.float32]
    stack: NDArray[np.float32]
    wp: NDArray[np.float32]
    partitioned: NDArray[np.bool_]
    wp_members: NDArray[np.float32]


@dataclass
class PartitionedStack:
    """Stacks by partition, and WP.

    Attributes:
        whole: the stack without partition.
        parts: the stack of each partition that has its own.
    """

    whole: StackedRegressor
    parts: dict[str, StackedRegressor] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        template: StackedRegressor,
        X: NDArray[np.float32],
        y: NDArray[np.float32],
        keys: SampleKeys,
        split: Split,
        *,
        n_folds: int = N_FOLDS,
        fitting: Fitting = lambda name, rows: None,
        among: Collection[str] | None = None,
    ) -> PartitionedStack:
        """Fit WP and, where there are partitions, a stack in each of them.

        Args:
            template: an unfitted stack; each partition gets a clone.
            X: (n, p) predictors.
            y: (n,) target.
            keys: where, when and in which partition each row is.
            split: the rule under which the stacks hold out their folds.
            n_folds: folds of each stack.
            fitting: called with the name and the rows of each stack before it is fitted.
            among: the partitions that get a stack; None gives all of them one.

        Raises:
            SampleError: the samples of a partition cannot be split by ``split``; the message names it.
        """

        def stack(name: str, rows: Rows) -> StackedRegressor:
            fitting(name, len(rows))
            try:
                one: StackedRegressor = clone(template)
                return one.fit(X[rows], y[rows], split.folds(keys.take(rows), n_folds))
            except SampleError as error:
                raise SampleError(f"{name}: {error}") from error

        fitted = cls(stack(WP, np.arange(len(y))))
        for name in () if keys.partition is None else np.unique(keys.partition).tolist():
            if among is None or name in among:
                fitted.parts[name] = stack(f"partition {name}", np.flatnonzero(keys.partition == name))
        return fitted

    @property
    def stacks(self) -> dict[str, StackedRegressor]:
        """All stacks by name, WP last."""
        return {**self.parts, WP: self.whole}

    def predict(
        self,
        X: NDArray[np.float32],
        partition: NDArray[np.str_] | None = None,
        *,
        backend: Backend = "auto",
        threads: int | None = None,
    ) -> Predictions:
        """Predict each row by the stack of its partition, and by WP.

        Args:
            X: (n, p) predictors, NaN where missing.
            partition: (n,) names; rows of an unknown partition are predicted by WP.
            backend: see ``models.inference.Predictor``.
            threads: see ``models.inference.Predictor``.
        """
        whole = Predictor(self.whole, backend, threads).predict_members(X)
        wp = whole @ self.whole.weights_.astype(np.float32)
        members, stack, partitioned = whole.copy(), wp.copy(), np.zeros(len(X), np.bool_)
        for name, part in self.parts.items() if partition is not None else ():
            rows = np.flatnonzero(partition == name)
            if len(rows):
                members[rows] = Predictor(part, backend, threads).predict_members(X[rows])
                stack[rows] = members[rows] @ part.weights_.astype(np.float32)
                partitioned[rows] = True
        return Predictions(members, stack, wp, partitioned, whole)
