"""The area of applicability: how far a row is from anything a stack was trained on.

A tree answers any row, also one unlike all it has seen, and nothing in the answer tells. The dissimilarity
index is the distance of a row to the nearest training row, in the space of standardised predictors stretched
by their importance, over the mean distance of training rows to each other; a row is inside the area where its
index is at most what cross-validation has met, so that the scores hold for rows like it. Meyer and Pebesma
2021, doi:10.1111/2041-210X.13650.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import ModelFileError, SampleError
from models.explain import shap_values
from models.nearest import Nearest
from models.splits import Fold
from models.stack import StackedRegressor

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

EXPLAINED = 1000  # training rows whose SHAP values tell the importance of the predictors
WHISKER = 1.5  # interquartile ranges above the upper quartile; Meyer and Pebesma 2021, 2.3
PAIRS = 10_000_000  # of training rows, whose distances are averaged; all of them up to about 4,500 rows
BLOCK = 32_800  # rows worked on at a time; columns a power of two apart would share places in the cache
VERSION = 1  # of the bytes


@dataclass(frozen=True, eq=False)
class Applicability:
    """The training rows of a stack, and how far from them its scores hold.

    Attributes:
        mean: (p,) of each predictor over the training rows that have it.
        factor: (p,) what a departure from it is multiplied by: importance over standard deviation over the
            mean distance of two training rows. 0 leaves the predictor out: it is constant in training, or of
            no importance.
        rows: (n, k) training rows in the k predictors that are not left out, each less its mean and times its
            factor, so that a distance is an index; NaN where missing.
        threshold: largest index inside the area.
        training: (t,) indices of the training rows that a fold held out, sorted; what the threshold is from.
    """

    mean: Floats
    factor: Floats
    rows: Rows
    threshold: float
    training: Rows

    @classmethod
    def fit(cls, X: ArrayLike, importance: ArrayLike, folds: Sequence[Fold]) -> Applicability:
        """Learn the space and the threshold.

        Args:
            X: (n, p) predictors the stack was trained on, NaN where missing.
            importance: (p,) of each predictor, in any unit, none negative; see ``importance_of``.
            folds: (fit rows, held-out rows) of the cross-validation that the stack's scores are judged by.
                The nearest row of one held out is looked for among those its fold was fitted on.

        Raises:
            SampleError: no predictor both varies and counts, nothing is held out, or the arguments do not
                fit each other.

        The mean distance is over all pairs of up to about 4,500 rows. Of more rows it is over 10 million
        pairs in which each row takes part equally often: about 1e-4 of it off, one standard error.
        """
        given = np.asarray(X, np.float32)
        weight = np.asarray(importance, np.float64)
        _check(given, weight)
        low, high, mean, deviation = _moments(given)
        kept = (high > low) & (weight > 0)
        if not kept.any():
            raise SampleError(
                f"none of the {given.shape[1]} predictors varies over the {len(given)} training rows and "
                "counts in the stack, so no distance is defined; give samples that differ"
            )
        factor = np.zeros(len(weight))
        factor[kept] = weight[kept] / weight.sum() / deviation[kept]
        factor /= _mean_distance(_coordinates(given, mean, factor))
        rows = _coordinates(given, mean, factor)
        training = np.sort(np.concatenate([_across(rows, fold) for fold in folds] or [rows[:0, 0]]))
        training = training[np.isfinite(training)]
        if not len(training):
            raise SampleError(
                "no held-out row has a predictor in common with the rows of its fold, so there is no "
                "threshold; give folds that hold rows out"
            )
        return cls(mean, factor, rows, threshold_of(training), training.astype(np.float32))

    @property
    def predictors(self) -> int:
        """How many predictors a row has, those left out included."""
        return len(self.mean)

    @property
    def left_out(self) -> NDArray[np.intp]:
        """Positions of the predictors that do not count."""
        return np.flatnonzero(self.factor == 0)

    def coordinates(self, X: NDArray[np.floating[Any]]) -> Rows:
        """Rows in the space of ``rows``, (n, k)."""
        return _coordinates(X, self.mean, self.factor)

    def di(self, X: ArrayLike) -> Rows:
        """The dissimilarity index of rows.

        Args:
            X: (n, p) predictors in the order of training, NaN where missing.

        Returns:
            (n,) exact but for rounding, 0 for a training row. Where predictors are missing, the squared
            distance over the m that both rows have is multiplied by k / m, as in scikit-learn's
            ``nan_euclidean_distances``. Training rows that lack much of what a row has are not compared with
            it, see ``models.nearest``; NaN where none is left, or a row lacks most itself.

        Raises:
            SampleError: another number of predictors than in training.
        """
        given = np.asarray(X)
        if given.ndim != 2 or given.shape[1] != self.predictors:
            raise SampleError(
                f"the area of applicability is of {self.predictors} predictors, the array has shape "
                f"{given.shape}"
            )
        found = np.empty(len(given), np.float32)
        for at in range(0, len(given), BLOCK):
            found[at : at + BLOCK] = self.nearest.distance(self.coordinates(given[at : at + BLOCK]))
        return found

    @cached_property
    def nearest(self) -> Nearest:
        """The training rows as the nearest is looked for among them."""
        return Nearest(self.rows)

    def inside(self, di: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Whether indices are inside the area; one that is undefined is not."""
        return np.asarray(di <= self.threshold)


class GridIndex:
    """The dissimilarity index of pixels on days, on one thread.

    Args:
        area: of the stack that predicts them.
        kinds: of each of its predictors, ``STILL``, ``DAILY`` or ``MOVING`` as in ``models.gridded``.

    Attributes:
        threshold: largest index inside the area.
    """

    def __init__(self, area: Applicability, kinds: Sequence[int]) -> None:
        if len(kinds) != area.predictors:
            raise SampleError(f"the area is of {area.predictors} predictors, not {len(kinds)}")
        self._area, self.threshold, self._nearest = area, area.threshold, area.nearest
        self._kept = np.flatnonzero(area.factor > 0)

    def predict(self, features: Sequence[Rows], pixels: NDArray[np.intp], days: int) -> Rows:
        """The index of some pixels on all days.

        Args:
            features: of each predictor in the order of training, NaN where missing: (1, n) of the ground,
                (days, 1) of the day, (days, n) of both.
            pixels: which of the n.
            days: their number.

        Returns:
            (days, pixels). Outside the area as ``Applicability.di``, so that what is outside is told exactly;
            inside at least the true index and at most the threshold, as the search ends early there. NaN as
            for ``Applicability.di``. Either hangs on the predictors of that pixel on that day alone, not on
            which others are asked with it.
        """
        found = np.empty((days, len(pixels)), np.float32)
        size = max(1, BLOCK // days)
        for at in range(0, len(pixels), size):
            some = pixels[at : at + size]
            columns = np.zeros((len(self._kept) + 1, days, len(some)), np.float32)
            for column, k in zip(columns, self._kept, strict=False):
                own = features[int(k)]
                own = own[:, some] if own.shape[1] > 1 else own
                column[:] = (own - self._area.mean[k]) * self._area.factor[k]
            flat = columns.reshape(len(columns), -1)
            di = self._nearest.of_columns(flat, self.threshold)
            found[:, at : at + size] = di.reshape(days, -1)
        return found


def importance_of(stack: StackedRegressor, X: NDArray[np.float32], seed: int = 0) -> Floats:
    """How much each predictor counts in a fitted stack: its share of the mean |SHAP value|.

    Gains would need no rows, but mean another thing in each library; SHAP values are one scale for all three,
    in the unit of the target, and the one by which ``models.explain`` ranks the predictors.

    Args:
        stack: fitted on p predictors.
        X: (n, p) rows it was fitted on; up to 1,000 of them are explained.
        seed: of the draw.

    Returns:
        (p,) non-negative, summing to 1; all 0 where the stack says the same of all rows.

    Source: Meyer and Pebesma 2021, 2.2, leave the measure open; SHAP: Lundberg et al. 2020.
    """
    chosen = np.random.default_rng(seed).choice(len(X), min(len(X), EXPLAINED), replace=False)
    found = shap_values(stack, X[np.sort(chosen)], [str(k) for k in range(X.shape[1])])
    sizes = np.abs(found.stack.shap).mean(axis=0)
    return np.asarray(sizes / sizes.sum() if sizes.any() else sizes)


def threshold_of(di: NDArray[np.floating[Any]]) -> float:
    """The largest index that is not above the upper whisker, Q3 + 1.5 (Q3 - Q1).

    Args:
        di: (n,) of training rows, each to the nearest row its fold was fitted on; at least one.

    Source: Meyer and Pebesma 2021, 2.3; quartiles by linear interpolation, as in R's ``quantile``.
    """
    lower, upper = np.quantile(di, [0.25, 0.75])
    return float(np.max(di[di <= upper + WHISKER * (upper - lower)]))


def _check(X: Rows, importance: Floats) -> None:
    if X.ndim != 2 or len(X) < 2:
        raise SampleError(f"the area of applicability needs two training rows or more, got shape {X.shape}")
    if importance.shape != X.shape[1:]:
        raise SampleError(f"{X.shape[1]} predictors need as many importances, got shape {importance.shape}")
    if not np.isfinite(importance).all() or (importance < 0).any():
        raise SampleError("importances must be finite and not negative")
    if np.isinf(X).any():
        raise SampleError("the training rows hold infinite values; leave them missing (NaN)")


def _moments(X: Rows) -> tuple[Floats, Floats, Floats, Floats]:
    """Least, greatest, mean and standard deviation of each predictor; NaN where no row has it."""
    found = np.full((4, X.shape[1]), np.nan)
    for k, column in enumerate(X.T):
        known = column[~np.isnan(column)].astype(np.float64)
        if len(known):
            found[:, k] = known.min(), known.max(), known.mean(), known.std(ddof=min(1, len(known) - 1))
    low, high, mean, deviation = found
    return low, high, mean, deviation


def _coordinates(X: NDArray[np.floating[Any]], mean: Floats, factor: Floats) -> Rows:
    kept = factor > 0
    return ((X[:, kept] - mean[kept]) * factor[kept]).astype(np.float32)


def _mean_distance(rows: Rows) -> float:
    """Mean distance of pairs of rows: each row and the one a number of places on, the last before the first.

    Raises:
        SampleError: no two rows have a predictor in common.
    """
    n, rng = len(rows), np.random.default_rng(0)
    offsets = np.arange(1, n // 2 + 1)
    if n * len(offsets) > PAIRS:
        rows = rows[rng.permutation(n)]  # neighbours in a table are alike
        offsets = rng.choice(offsets[:-1], max(1, PAIRS // n), replace=False)
    total, count = 0.0, 0
    for offset in offsets.tolist():
        ends = n // 2 if 2 * offset == n else n  # half way round, the other half are the same pairs
        for at in range(0, ends, BLOCK):
            first = np.arange(at, min(at + BLOCK, ends))
            found = _apart(rows[first], rows[(first + offset) % n])
            known = np.isfinite(found)
            total, count = total + float(found[known].sum()), count + int(known.sum())
    if not count:
        raise SampleError("no two training rows have a predictor in common, so no distance is defined")
    return total / count


def _apart(one: Rows, other: Rows) -> Floats:
    """Distances of rows to others, pair by pair; NaN where two have no predictor in common."""
    step = one.astype(np.float64) - other
    common = np.count_nonzero(~np.isnan(step), axis=1)
    scale = step.shape[1] / np.where(common, common, np.nan)
    return np.asarray(np.sqrt(np.nansum(step * step, axis=1) * scale))


def _across(rows: Rows, fold: Fold) -> Rows:
    fit, held = fold
    return Nearest(rows[fit]).distance(rows[held])


def to_bytes(stacks: Mapping[str, Applicability]) -> bytes:
    """What ``from_bytes`` reads: the areas of all stacks of a model, by name."""
    arrays: dict[str, NDArray[Any]] = {"version": np.array(VERSION), "names": np.array(list(stacks), np.str_)}
    for number, one in enumerate(stacks.values()):
        arrays |= {
            f"{number}-mean": one.mean, f"{number}-factor": one.factor,
            f"{number}-threshold": np.array(one.threshold), f"{number}-training": one.training,
            f"{number}-rows": np.ascontiguousarray(one.rows.T),  # what stays at a cell packs well by column
        }  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_bytes(content: bytes) -> dict[str, Applicability]:
    """The areas of all stacks of a model, by name.

    Raises:
        ModelFileError: the bytes are damaged, or of a newer version. Nothing in them is run.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if (version := int(file["version"])) > VERSION:
                raise ModelFileError(
                    f"the area of applicability is of version {version}, this program reads {VERSION}: "
                    "upgrade gee-smap"
                )
            return {name: _whole(file, str(number)) for number, name in enumerate(file["names"].tolist())}
    except ModelFileError:
        raise
    except (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(
            f"the area of applicability is damaged ({error}); copy the whole model folder or train again"
        ) from None


def _whole(file: Any, number: str) -> Applicability:
    mean, factor, rows, training = (
        np.asarray(file[f"{number}-{name}"]) for name in ("mean", "factor", "rows", "training")
    )
    threshold = float(file[f"{number}-threshold"])
    if not (
        mean.shape == factor.shape and mean.ndim == 1 and rows.ndim == 2 and rows.shape[1]
        and len(rows) == np.count_nonzero(factor > 0) and np.isfinite(threshold) and rows.dtype == np.float32
    ):  # fmt: skip
        raise ValueError("its arrays do not fit each other")
    return Applicability(mean, factor, np.ascontiguousarray(rows.T), threshold, training)
