"""Prediction intervals of a stack: half widths that predictors set and held-out errors calibrate.

A map without them is believed alike where the model is right to 0.02 m³/m³ and where it is wrong by 0.1.
A few shallow trees learn the 0.9 quantile of the absolute out-of-fold error, cross-fitted on the folds of
the stack, and are scaled so that 90 % of the errors in blocks held out lie within: conformal prediction by
normalised scores (Papadopoulos et al. 2008; Lei et al. 2018, section 5.2) and a quantile (Romano et al.
2019), by cross-validation (Barber et al. 2021) on blocks (Roberts et al. 2017).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from models.blocks import MIN_BLOCKS
from models.errors import ModelFileError, SampleError
from models.gridded import GridPredictor
from models.inference import Predictor
from models.learners import LightGBM, Run
from models.partitioned import WP
from models.shallow import ShallowForest, Used, fits
from models.splits import Fold
from models.stack import StackedRegressor
from models.trees import READERS

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

COVERAGE = 0.9  # of the errors that an interval is to contain
PROMISE = f"{100 * COVERAGE:.0f} %"
LEAST_SHARE = 0.2  # of the typical error: an expected error below it is no finding but noise
LEAST_ERROR = 1e-6  # m³/m³, where a model has no errors at all
FEWEST_IN_LEAF = 100  # rows: a 0.9 quantile of fewer is noise
ROUNDING = 1e-9  # of a rank, and of a variance
SHEET = 8192  # pixels times days at once on maps: their predictors stay in the cache
RECORD, TREES = "intervals.json", "intervals-{}.txt"
STATEMENT = (
    "An interval is about the mean of a SMAP cell on a day as SMAP would see it: nine of ten such values the "
    "model has not seen, held out as it was calibrated, are to lie within. At 1 km it holds the error that "
    "the model makes for cells with such predictors; how far a square kilometre departs from what its "
    "predictors tell, and SMAP's own error, are not in it, because nothing in the training shows them."
)


@dataclass(frozen=True)
class ErrorQuantile(LightGBM):
    """LightGBM on the pinball loss, which the 0.9 quantile minimises.

    Where dates are held out in 37,387 real cells its interval score (Winkler 1972) is 3 to 14 % lower than
    that of trees of the mean absolute error, and within 4 % of it where land is. 60 trees of 15 leaves are
    at most 3 % better than these.
    """

    trees: int = 15
    learning_rate: float = 0.3
    leaves: int = 7
    feature_fraction: float = 1.0

    def _params(self, run: Run) -> dict[str, Any]:
        return {
            **super()._params(run), "objective": "quantile", "alpha": COVERAGE, "metric": "quantile",
            "min_data_in_leaf": FEWEST_IN_LEAF,
        }  # fmt: skip


SCALE = ErrorQuantile()


@dataclass(frozen=True)
class Quantile:
    """The conformal quantile of some scores.

    Attributes:
        value: which ``COVERAGE`` of new scores do not exceed; infinite where there are too few.
        rows: scores it was found from.
        blocks: that these lie in.
        effective: as many independent scores would know the coverage as well.
    """

    value: float
    rows: int
    blocks: int
    effective: float


def conformal_quantile(scores: Floats, blocks: Codes, coverage: float = COVERAGE) -> Quantile:
    """The score that a new one exceeds with probability 1 - ``coverage`` at most, for rows in blocks.

    Of n independent scores it is the ceil((n + 1) · coverage)-th smallest (Lei et al. 2018, algorithm 2).
    Of scores that hang together within blocks, n in the correction is the number of independent ones that
    would know the share of exceedances as well: p (1 - p) over its variance between blocks (Kish 1965). It
    is n where every block has one row, and the number of blocks where all rows of a block agree.

    Args:
        scores: (n,) finite, the larger the worse.
        blocks: (n,) label of the block of each; blocks are exchangeable, rows of one are not independent.
        coverage: asked for, between 0 and 1.

    Returns:
        Infinite value where the finite sample allows no claim: with 0.9, fewer than 9 effective scores.
    """
    n = len(scores)
    n_blocks = len(np.unique(blocks))
    if n == 0 or n_blocks < MIN_BLOCKS:
        return Quantile(math.inf, n, n_blocks, float(n_blocks))
    ordered = np.sort(scores)
    effective = _effective(scores > ordered[_rank(coverage * n) - 1], blocks, n)
    rank = _rank(coverage * (effective + 1) / effective * n)
    return Quantile(float(ordered[rank - 1]) if rank <= n else math.inf, n, n_blocks, effective)


def _rank(share: float) -> int:
    return max(1, math.ceil(share - ROUNDING))


def _effective(exceeds: NDArray[np.bool_], blocks: Codes, n: int) -> float:
    """Independent draws that would estimate the share of exceedances with the variance found."""
    p = float(exceeds.mean())
    _, label = np.unique(blocks, return_inverse=True)
    sums = np.bincount(label, weights=exceeds - p)
    variance = float((sums**2).sum()) / n**2
    return float(n) if variance * n <= p * (1 - p) * (1 + ROUNDING) else p * (1 - p) / variance


@dataclass(frozen=True, eq=False)
class HalfWidth:
    """Half the width of a stack's intervals, in m³/m³.

    Attributes:
        scale: a one-member stack that tells the 0.9 quantile of the absolute error by predictors; None
            takes ``typical`` everywhere.
        typical: 0.9 quantile of all absolute out-of-fold errors, m³/m³.
        quantile: what that is multiplied by, and what the factor was found from.
        beside: half widths with which these are averaged.
    """

    scale: StackedRegressor | None
    typical: float
    quantile: Quantile
    beside: HalfWidth | None = None

    @classmethod
    def fit(
        cls,
        X: NDArray[np.float32],
        errors: NDArray[np.floating[Any]],
        folds: Sequence[Fold],
        blocks: Codes,
        *,
        seed: int = 0,
        threads: int | None = None,
    ) -> HalfWidth:
        """Learn how large errors are and calibrate it.

        The score of a row divides its error by what trees say that were fitted on other folds. Their
        targets are out-of-fold errors of stacks that saw the row, a dependence of second order.

        Args:
            X: (n, p) predictors, NaN where missing.
            errors: (n,) out-of-fold prediction minus target, m³/m³; NaN in rows that no fold held out.
            folds: of the stack, rows to fit and rows held out.
            blocks: (n,) what counts as independent where calibrated: whole blocks of the folds.
            seed: of the trees.
            threads: in all; None takes every processor.

        Raises:
            SampleError: too few blocks to calibrate.
        """
        rows = np.flatnonzero(np.isfinite(errors))
        error = np.abs(errors[rows]).astype(np.float32)
        typical = max(float(np.quantile(error, COVERAGE)) if len(rows) else 0.0, LEAST_ERROR)
        scale = StackedRegressor((SCALE,), threads=threads, random_state=seed, fusion="convex")
        try:
            scale.fit(X[rows], error, _among(folds, rows, len(errors)))
        except (SampleError, ValueError):  # nothing to learn from: the same everywhere
            found = cls(None, typical, conformal_quantile(error / np.float64(typical), blocks[rows]))
        else:
            expected = np.maximum(scale.oof_[:, 0].astype(np.float64), LEAST_SHARE * typical)
            known = np.isfinite(expected)
            quantile = conformal_quantile((error / expected)[known], blocks[rows][known])
            found = cls(scale, typical, quantile)
        if not math.isfinite(found.quantile.value):
            raise SampleError(
                f"its errors are held out in {found.quantile.blocks} blocks that tell as much as "
                f"{found.quantile.effective:.1f} independent ones; an interval of {PROMISE} needs "
                f"{MIN_BLOCKS} blocks and {math.ceil(COVERAGE / (1 - COVERAGE) - ROUNDING)} independent ones"
            )
        return found

    def half_width(self, X: NDArray[np.float32], *, threads: int | None = None) -> NDArray[np.float32]:
        """Half widths of rows.

        Args:
            X: (n, p) predictors in the order of training, NaN where missing.
            threads: see ``models.inference.Predictor``.

        Returns:
            (n,) m³/m³, positive; none is NaN.
        """
        if self.scale is None:
            expected = np.full(len(X), self.typical)
        else:
            expected = np.asarray(Predictor(self.scale, threads=threads).predict(X, np.empty(len(X))))
        beside = None if self.beside is None else self.beside.half_width(X, threads=threads)
        return self._width(expected, beside)

    def _width(self, expected: Floats, beside: NDArray[np.float32] | None) -> NDArray[np.float32]:
        width = self.quantile.value * np.maximum(expected, LEAST_SHARE * self.typical)
        return (width if beside is None else (width + beside) / 2).astype(np.float32)


class GridHalfWidth:
    """Half widths of pixels on days, on one thread.

    Args:
        interval: of a stack.
        kinds: of each predictor, as ``models.gridded.GridPredictor`` takes them.

    Raises:
        SampleError: another number of predictors than the stack has.
    """

    def __init__(self, interval: HalfWidth, kinds: Sequence[int]) -> None:
        self._chain = [interval]
        while (beside := self._chain[-1].beside) is not None:
            self._chain.append(beside)
        scales = [one.scale for one in self._chain]
        # Also where trees are compared as they are: it has found that they say what LightGBM says.
        grids = [None if scale is None else GridPredictor(scale, kinds) for scale in scales]
        compiled = all(grid is None or grid.backend == "compiled" for grid in grids)
        forests = [
            None if scale is None else READERS[SCALE.name](scale.models_[SCALE.name]) for scale in scales
        ]
        some = [forest for forest in forests if forest is not None]
        self._shallow = compiled and all(fits(forest) for forest in some)
        self._used = Used(some if self._shallow else (), kinds)
        self._scales: list[ShallowForest | GridPredictor | None] = [
            ShallowForest(forest, self._used) if self._shallow and forest is not None else grid
            for forest, grid in zip(forests, grids, strict=True)
        ]

    def predict(
        self, features: Sequence[NDArray[np.float32]], pixels: NDArray[np.intp], days: int
    ) -> NDArray[np.float32]:
        """Half widths of some pixels on all days, the same as ``HalfWidth.half_width`` bit for bit.

        Args:
            features: see ``models.gridded.GridPredictor.predict``.
            pixels: which of them.
            days: their number.

        Returns:
            (days, pixels) m³/m³, positive.
        """
        found = np.empty((days, len(pixels)), np.float32)
        size = max(1, SHEET // days)
        for at in range(0, len(pixels), size):
            some = pixels[at : at + size]
            planes = self._used.planes(features, some, days)
            width: NDArray[np.float32] | None = None
            for one, scale in zip(reversed(self._chain), reversed(self._scales), strict=True):
                if scale is None:
                    expected = np.full((days, len(some)), one.typical)
                elif isinstance(scale, ShallowForest):
                    expected = scale.predict(planes).reshape(days, -1)
                else:
                    expected = scale.predict(features, some, days)
                width = one._width(expected, width)
            found[:, at : at + size] = width
        return found


@dataclass(frozen=True, eq=False)
class Intervals:
    """The intervals of a partitioned model.

    Half widths of a partition are averaged with WP's. Its own blocks are small, so that what is held out
    there has samples nearby, and few. Of 37,387 real cells its own contain 81 % where blocks of 50 km are
    held out, and averaged 90 % at an interval score 9 % lower; where dates are, 87 and 89 % (8 % lower);
    where single rows are, 92 and 94 % (4 % higher).

    Attributes:
        whole: of WP; None where it could not be calibrated.
        parts: own ones of the stack of each partition that could be calibrated.
        notes: which could not and what stands in, one sentence each.
        held_out: a sentence on what was held out to calibrate, and so on what intervals can claim.
    """

    whole: HalfWidth | None
    parts: Mapping[str, HalfWidth] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    held_out: str = ""

    def of(self, name: str) -> HalfWidth | None:
        """Of the stack of a partition; WP's where it has none of its own; None where WP has none either."""
        own = self.parts.get(name)
        return self.whole if own is None else replace(own, beside=self.whole)

    def half_width(
        self, X: NDArray[np.float32], partition: NDArray[np.str_] | None = None, *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Half widths of rows by the stack of their partition.

        Args:
            X: (n, p) predictors, NaN where missing.
            partition: (n,) names; rows of an unknown partition take WP's.
            threads: see ``models.inference.Predictor``.

        Returns:
            (n,) m³/m³, NaN where there is no interval.
        """
        out = np.full(len(X), np.nan, np.float32)
        names = np.full(len(X), WP) if partition is None else partition
        for name in np.unique(names):
            one, rows = self.of(str(name)), np.flatnonzero(names == name)
            if one is not None:
                out[rows] = one.half_width(X[rows], threads=threads)
        return out

    def to_files(self) -> dict[str, str]:
        """Text files by name: ``intervals.json``, and LightGBM's own format of the trees of each."""
        files, stacks = {}, []
        own = {**self.parts, **({} if self.whole is None else {WP: self.whole})}
        for number, (name, one) in enumerate(own.items()):
            trees = None
            if one.scale is not None:
                trees = TREES.format(number)
                files[trees] = one.scale.models_[SCALE.name].model_to_string()
            stacks.append({
                "name": name, "trees": trees, "typical_error": one.typical, "quantile": one.quantile.value,
                "rows": one.quantile.rows, "blocks": one.quantile.blocks,
                "effective": one.quantile.effective,
            })  # fmt: skip
        body = {
            "coverage": COVERAGE, "about": STATEMENT, "held_out": self.held_out, "stacks": stacks,
            "notes": list(self.notes),
        }  # fmt: skip
        return {RECORD: json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False), **files}

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> Intervals:
        """What ``to_files`` gave.

        Raises:
            ModelFileError: a file is missing or is not what was written.
        """
        try:
            body = json.loads(files[RECORD])
            own = {str(one["name"]): _read(one, files) for one in body["stacks"]}
            notes, held_out = tuple(map(str, body["notes"])), str(body["held_out"])
        except (ValueError, LookupError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise ModelFileError(f"{RECORD} cannot be read ({error}); train again") from None
        return cls(own.pop(WP, None), own, notes, held_out)


def _read(one: Mapping[str, Any], files: Mapping[str, str]) -> HalfWidth:
    quantile = Quantile(float(one["quantile"]), int(one["rows"]), int(one["blocks"]), float(one["effective"]))
    scale = None
    if one["trees"] is not None:
        booster = lightgbm.Booster(model_str=files[one["trees"]])
        scale = StackedRegressor((SCALE,))
        scale.models_ = {SCALE.name: booster}
        scale.trees_ = {SCALE.name: booster.num_trees()}
        scale.weights_ = np.ones(1)
        scale.n_features_in_ = booster.num_feature()
    return HalfWidth(scale, float(one["typical_error"]), quantile)


def _among(folds: Sequence[Fold], rows: Codes, n: int) -> list[Fold]:
    """The folds as positions among some rows; a fold none of whose rows is held out is left out."""
    place = np.full(n, -1, np.intp)
    place[rows] = np.arange(len(rows))
    kept = []
    for fit, held in folds:
        some, others = place[fit], place[held]
        if (others >= 0).any():
            kept.append((some[some >= 0], others[others >= 0]))
    return kept
