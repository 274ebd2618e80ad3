"""Weights by which the members of a stack are fused, found on their out-of-fold predictions.

The members are boosted trees on the same rows and err nearly alike, so that the out-of-fold errors of a few
blocks say little of which will be best elsewhere: the weights that fit them best, and still more the choice
of one member, follow the noise of these blocks. So the weights kept here are drawn towards the plain mean,
and a member is refused only where the folds show that it adds nothing. Wolpert 1992,
doi:10.1016/S0893-6080(05)80023-1; Breiman 1996, doi:10.1007/BF00117832; van der Laan et al. 2007,
doi:10.2202/1544-6115.1309.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import nnls
from sklearn.linear_model import Ridge

Fusion = Literal["ridge", "convex"]
Floats = NDArray[np.float64]
Labels = NDArray[np.intp]

BLOCK = 100_000  # rows whose errors are held at a time
SUM_TO_ONE = 1e3  # weight of the equation Σw = 1, in units of the largest error; the rest is normalised
STRENGTH = 1.0  # of the ridge: 0 is the least squares fit, infinity the plain mean
LEAST_GAIN = 1e-4  # m³/m³ of RMSE; with twice that, one of 45 real cases loses 0.002 to its best member
CONFIDENCE = 0.95  # with which a member that is refused adds less than that
TERCILES = (1 / 3, 2 / 3)


def convex_weights(
    members: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Weights w ≥ 0, Σw = 1 that minimise |target − members @ w|.

    Args:
        members: (n, m) predictions of m members; rows with a NaN are left out.
        target: (n,) observed values.

    Returns:
        (m,) weights. Members without any error share the weight equally.

    Source: Breiman 1996, "Stacked regressions": non-negativity is what makes stacking work.
    """
    return Errors.of(members, target).weights(0.0)


def ridge_weights(
    members: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], strength: float = STRENGTH
) -> NDArray[np.float64]:
    """Weights w ≥ 0, Σw = 1 that minimise |target − members @ w|² / n + strength · s · |w|².

    s is the mean over rows of the variance among the members, so that ``strength`` has no unit. As the
    weights sum to one, the penalty draws them towards 1/m rather than to nothing.

    Args:
        members: (n, m) predictions of m members; rows with a NaN are left out.
        target: (n,) observed values.
        strength: of the penalty.

    Returns:
        (m,) weights. Members without any error share the weight equally.

    Source: Breiman 1996, who names ridge and non-negativity as the two ways to tame a stack's weights.
    """
    return Errors.of(members, target).weights(strength)


@dataclass(frozen=True, eq=False)
class Errors:
    """Out-of-fold errors of m members, as far as sums of squares of their weighted means hang on them.

    Attributes:
        factors: (k, m, m) of each fold, R with R'R = E'E of its errors E.
        rows: (k,) rows of each fold.
        perfect: (m,) which members have no error at all.
    """

    factors: Floats
    rows: Labels
    perfect: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        members: NDArray[np.floating[Any]],
        target: NDArray[np.floating[Any]],
        fold: Labels | None = None,
    ) -> Errors:
        """Sum up errors.

        Args:
            members: (n, m) predictions; rows with a NaN are left out.
            target: (n,) observed values.
            fold: (n,) which fold held each row out; None takes all for one.
        """
        count = members.shape[1]
        folds = [np.arange(len(members))] if fold is None else _by_label(fold)
        factors = np.zeros((len(folds), count, count))
        kept = np.zeros(len(folds), np.intp)
        perfect = np.ones(count, np.bool_)
        for number, rows in enumerate(folds):
            factor = np.zeros((0, count))
            for at in range(0, len(rows), BLOCK):
                some = rows[at : at + BLOCK]
                errors = members[some].astype(np.float64) - target[some, None]
                errors = errors[np.isfinite(errors).all(axis=1)]
                kept[number] += len(errors)
                perfect &= ~errors.any(axis=0)
                # The m × m factor of all rows so far holds all that the sum of squares depends on.
                factor = np.asarray(np.linalg.qr(np.vstack([factor, errors]), mode="r"))
            factors[number, : len(factor)] = factor
        some_rows = kept > 0
        return cls(factors[some_rows], kept[some_rows], perfect)

    def weights(
        self, strength: float, among: Sequence[int] | None = None, without: int | None = None
    ) -> Floats:
        """(m,) weights as those of ``ridge_weights``.

        Args:
            strength: of the ridge.
            among: numbers of the members that may have weight; None lets all.
            without: number of a fold to leave out.
        """
        chosen = list(range(len(self.perfect)) if among is None else among)
        weights = np.zeros(len(self.perfect))
        weights[chosen] = self._solved(strength, chosen, without)
        return weights

    def squares(self, strength: float, among: Sequence[int]) -> Floats:
        """(k,) sums of squared errors of each fold, under weights found on all other folds."""
        return np.array([
            np.square(factor @ self.weights(strength, among, number)).sum()
            for number, factor in enumerate(self.factors)
        ])  # fmt: skip

    def _solved(self, strength: float, chosen: list[int], without: int | None) -> Floats:
        perfect = self.perfect[chosen]
        if perfect.any():
            return np.asarray(perfect / perfect.sum())
        count = len(chosen)
        folds = np.arange(len(self.rows)) != (-1 if without is None else without)
        stacked = self.factors[folds][:, :, chosen].reshape(-1, count)
        factor = np.asarray(np.linalg.qr(stacked, mode="r"))
        largest = float(np.abs(factor).max(initial=0.0))
        if largest == 0:  # the fold left out holds all errors, or all rows
            return np.full(count, 1 / count)
        spread = np.square(factor).sum() / count - np.square(factor.sum(axis=1)).sum() / count**2
        penalty = sqrt(strength * max(spread, 0.0))
        system = np.vstack([factor / largest, penalty / largest * np.eye(count), np.full(count, SUM_TO_ONE)])
        weights, _ = nnls(system, np.append(np.zeros(len(system) - 1), SUM_TO_ONE))
        return np.asarray(weights / weights.sum())


class Change(NamedTuple):
    """What leaving a member out does to the out-of-fold RMSE, in m³/m³.

    Attributes:
        value: RMSE without it less RMSE with it; below 0 the stack is better without.
        most: what that does not exceed, with a confidence of 95 %.
    """

    value: float
    most: float

    @property
    def nothing(self) -> bool:
        """Whether the member is shown to add nothing: less than 0.0001 m³/m³."""
        return self.most < LEAST_GAIN


@dataclass(frozen=True, eq=False)
class Weighing:
    """The weights of a stack, and why.

    Attributes:
        weights: (m,) non-negative, their sum 1.
        rmse: out of fold, weights of each fold found on the others; m³/m³.
        alone: (m,) out of fold, of each member.
        changes: (m,) of each member: when it was refused, or were it to go too. None of the only member left,
            and where nobody was to be refused.
    """

    weights: Floats
    rmse: float
    alone: Floats
    changes: tuple[Change | None, ...]

    @property
    def refused(self) -> tuple[int, ...]:
        """Numbers of the members that are shown to add nothing."""
        return tuple(
            number for number, change in enumerate(self.changes) if change is not None and change.nothing
        )

    def why(self, names: Sequence[str]) -> str:
        """Who was refused and on what grounds, in a few words, by ``names`` of the members."""
        told = [
            f"{name} adds nothing (RMSE {change.value:+.5f} without, at most {change.most:+.5f})"
            for name, change in zip(names, self.changes, strict=True)
            if change is not None and change.nothing
        ]
        return "; ".join(told) or ("nobody refused" if any(self.changes) else "nobody to be refused")


def weigh(
    members: NDArray[np.floating[Any]],
    target: NDArray[np.floating[Any]],
    fold: Labels,
    fusion: Fusion = "ridge",
) -> Weighing:
    """Weigh the members of a stack by their out-of-fold predictions.

    Args:
        members: (n, m) predictions; rows with a NaN are left out.
        target: (n,) observed values.
        fold: (n,) which fold held each row out, negative where none did.
        fusion: ``"ridge"``: ``ridge_weights`` of the members that are left when, one after the other, those
            have gone that are shown with a confidence of 95 % to lower the RMSE by less than 0.0001 m³/m³;
            that may be one alone. ``"convex"``: ``convex_weights`` of all, nobody refused.

    Returns:
        The weights and what they follow from.

    RMSEs are cross-fitted: a fold is judged by weights found on the others, so that a member of no use costs
    something. The limit of a change is Student's t times the standard error of the jackknife over folds.

    A member that merely looks useless stays. On 45 real cases (two tables over Ethiopia and the USA; rows,
    blocks of land, dates, both, or partitions held out; ``tests/benchmarks/bench_fusion.py``) these weights
    were at most 0.0010 m³/m³ of RMSE worse than the member that turned out best, ``convex_weights`` 0.0016,
    the plain mean 0.0020, and without members that merely looked useless 0.0023. The penalty was chosen on 21
    of these cases. Weights by wetness lost up to 0.0011, by season 0.0035, of any sum 0.0102.

    Source of the jackknife: Efron and Stein 1981, doi:10.1214/aos/1176345462.
    """
    errors = Errors.of(members, target, fold)
    strength = STRENGTH if fusion == "ridge" else 0.0
    total = errors.rows.sum()
    chosen = list(range(len(errors.perfect)))
    changes: dict[int, Change] = {}
    squares = errors.squares(strength, chosen)
    while fusion == "ridge" and len(errors.rows) > 1 and len(chosen) > 1:
        fewer = {one: errors.squares(strength, [k for k in chosen if k != one]) for one in chosen}
        changes |= {one: _change(some, squares, errors.rows) for one, some in fewer.items()}
        least = min(chosen, key=lambda one: changes[one].most)
        if not changes[least].nothing:
            break
        chosen.remove(least)
        squares = fewer[least]
        if len(chosen) == 1:
            del changes[chosen[0]]
    return Weighing(
        weights=errors.weights(strength, chosen),
        rmse=float(np.sqrt(squares.sum() / total)),
        alone=np.sqrt(np.square(errors.factors).sum(axis=(0, 1)) / total),
        changes=tuple(changes.get(one) for one in range(len(errors.perfect))),
    )


def _change(fewer: Floats, everyone: Floats, rows: Labels) -> Change:
    """What sums of squares by fold come to as a change of RMSE, and its upper limit."""
    count, total = len(rows), rows.sum()
    kept = total - rows
    value = sqrt(fewer.sum() / total) - sqrt(everyone.sum() / total)
    left = np.sqrt((fewer.sum() - fewer) / kept) - np.sqrt((everyone.sum() - everyone) / kept)
    error = sqrt((count - 1) / count * np.square(left - left.mean()).sum())
    return Change(value, value + float(stats.t.ppf(CONFIDENCE, count - 1)) * error)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What members say of rows that their folds held out, and of rows that all of them have yet to see.

    Attributes:
        known: (n, m) out-of-fold predictions, NaN in rows that no fold held out.
        target: (n,) observed values there.
        new: (k, m) predictions of new rows.
    """

    known: NDArray[np.floating[Any]]
    target: NDArray[np.floating[Any]]
    new: NDArray[np.floating[Any]]

    @property
    def terciles(self) -> tuple[Labels, Labels]:
        """Wetness of the known and of the new rows: the third of ``known`` that the members' mean lies in."""
        known, new = self.known.mean(axis=1), self.new.mean(axis=1)
        edges = np.nanquantile(known, TERCILES)
        return np.searchsorted(edges, known), np.searchsorted(edges, new)


def mean(rows: OutOfFold) -> Floats:
    """The plain mean of the members, of the new rows."""
    return np.asarray(rows.new.mean(axis=1, dtype=np.float64))


def convex(rows: OutOfFold) -> Floats:
    """The new rows by ``convex_weights``."""
    return rows.new @ convex_weights(rows.known, rows.target)


def ridge(rows: OutOfFold) -> Floats:
    """The new rows by ``ridge_weights``."""
    return rows.new @ ridge_weights(rows.known, rows.target)


def free_ridge(rows: OutOfFold) -> Floats:
    """The new rows by a non-negative ridge with intercept whose weights may have any sum.

    It may leave the range of its members, and where they do badly out of fold it draws all towards the mean
    of the target.
    """
    sound = np.isfinite(rows.known).all(axis=1)
    known, target = rows.known[sound].astype(np.float64), rows.target[sound].astype(np.float64)
    spread = float(known.var(axis=1).mean())
    fit = Ridge(alpha=max(STRENGTH * spread * len(known), np.finfo(float).tiny), positive=True)
    return np.asarray(fit.fit(known, target).predict(rows.new.astype(np.float64)))


def by_group(rows: OutOfFold, groups: tuple[Labels, Labels]) -> Floats:
    """The new rows by ``ridge_weights`` of their own group; of a group without known rows, by those of all.

    Args:
        rows: of all groups.
        groups: (n,) and (k,) labels of the known and the new rows.
    """
    sound = np.isfinite(rows.known).all(axis=1)
    known, new = groups
    found = np.empty(len(rows.new))
    for label in np.unique(new):
        own = sound & (known == label) if (sound & (known == label)).any() else sound
        found[new == label] = rows.new[new == label] @ ridge_weights(rows.known[own], rows.target[own])
    return found


def _by_label(labels: Labels) -> list[Labels]:
    """The rows of each label that is not negative."""
    order = np.argsort(labels, kind="stable")
    names, begin = np.unique(labels[order], return_index=True)
    return [rows for name, rows in zip(names, np.split(order, begin[1:]), strict=True) if name >= 0]
