"""SHAP values of a fitted stack and of each of its members, in the unit of the target.

They say how much each predictor moved each prediction, and in which direction. Every library computes the
exact TreeSHAP of its own trees (Lundberg et al. 2020), and those of the stack are their weighted sum: SHAP
values are linear in the model and the meta-learner is a convex combination, so nothing is approximated.
Xu et al. 2024 section 5.1 explains the training rows, where a model also shows what it learned by heart;
here the rows must be ones the stack was not fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import catboost
import lightgbm
import numpy as np
import xgboost
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from models.errors import SampleError
from models.learners import cores
from models.metrics import Estimate, compare
from models.stack import StackedRegressor

Floats = NDArray[np.float64]

LAND_COVER, LAND_COVER_PREFIX = "lc", "LC_"  # the predictor, and the columns it is given in
BIN_ROWS = 50  # at least, among which a predictor counts as given
BINS = 20  # at most; within a twentieth of the rows a line follows most effects
ROUNDING = 1e-6  # m³/m³; XGBoost sums in float32, so a spread below this is no interaction


class Attribution(NamedTuple):
    """What one model says of n rows: ``base + shap.sum(axis=1)`` is its prediction.

    Attributes:
        shap: (n, p) SHAP values, in the unit of the target.
        base: the mean prediction over the rows the model was fitted on.
    """

    shap: Floats
    base: float

    @property
    def prediction(self) -> Floats:
        """The model's prediction, (n,), put together from the values."""
        return np.asarray(self.shap.sum(axis=1) + self.base)


@dataclass(frozen=True, eq=False)
class Explanation:
    """SHAP values of a stack on n rows it was not fitted on.

    Attributes:
        names: the p predictors.
        X: (n, p) their values, NaN where missing.
        weights: share of each member in the stack, by name; they sum to 1.
        members: SHAP values of each member, by name, in the order of ``weights``.
        stack: the members' weighted sum.
    """

    names: tuple[str, ...]
    X: NDArray[np.float32]
    weights: Mapping[str, float]
    members: Mapping[str, Attribution]
    stack: Attribution

    def __len__(self) -> int:
        return len(self.X)

    def column(self, name: str) -> int:
        """Where a predictor stands among ``names``.

        Raises:
            SampleError: the stack knows no such predictor.
        """
        if name not in self.names:
            raise SampleError(f"{name} is not among the predictors explained: {', '.join(self.names)}")
        return self.names.index(name)


def shap_values(stack: StackedRegressor, X: ArrayLike, names: Sequence[str]) -> Explanation:
    """SHAP values of a fitted stack and of its members.

    Args:
        stack: fitted on other rows than ``X``; this cannot be seen from here and is the caller's promise.
        X: (n, p) predictors as for ``stack.predict``, NaN where missing.
        names: the p predictors.

    Returns:
        SHAP values relative to what each tree has seen in training (path-dependent TreeSHAP): a predictor
        that is left out is averaged over the training rows that reach the same node. Between correlated
        predictors the credit is shared as the trees happen to use them.

    Raises:
        SampleError: there are no rows, or ``names`` and the predictors of ``stack`` differ in number.
    """
    check_is_fitted(stack)
    rows = np.ascontiguousarray(X, dtype=np.float32)
    if rows.ndim != 2 or not len(rows):
        raise SampleError(f"there are no rows to explain in an array of shape {rows.shape}")
    if not rows.shape[1] == len(names) == stack.n_features_in_:
        raise SampleError(
            f"the stack was fitted on {stack.n_features_in_} predictors, but the rows to explain have "
            f"{rows.shape[1]} and {len(names)} are named; give the predictors of the fit, in its order"
        )
    threads = stack.threads or cores()
    members = {name: _CONTRIBUTIONS[name](model, rows, threads) for name, model in stack.models_.items()}
    weights = dict(zip(members, stack.weights_.tolist(), strict=True))
    shared = Attribution(
        np.tensordot(stack.weights_, np.stack([one.shap for one in members.values()]), axes=1),
        float(sum(weights[name] * one.base for name, one in members.items())),
    )
    return Explanation(tuple(names), rows, weights, members, shared)


def _xgboost(model: xgboost.Booster, X: NDArray[np.float32], threads: int) -> Attribution:
    model.set_param({"nthread": threads, "device": "cpu"})
    return _split(model.predict(xgboost.DMatrix(X, nthread=threads), pred_contribs=True))


def _lightgbm(model: lightgbm.Booster, X: NDArray[np.float32], threads: int) -> Attribution:
    return _split(model.predict(X, pred_contrib=True, num_threads=threads))


def _catboost(model: catboost.CatBoost, X: NDArray[np.float32], threads: int) -> Attribution:
    # "Regular" is TreeSHAP as in the other two. What CatBoost calls "Exact" leaves predictors out by another
    # rule: same sums, but single values up to 0.004 m³/m³ apart on simulated samples.
    found = model.get_feature_importance(
        catboost.Pool(X), type="ShapValues", shap_calc_type="Regular", thread_count=threads
    )
    return _split(found)


def _split(contributions: Any) -> Attribution:
    """The libraries append the base to the values of each row; it is the same in all rows."""
    found = np.asarray(contributions, np.float64)
    return Attribution(found[:, :-1], float(found[0, -1]))


_CONTRIBUTIONS: dict[str, Callable[[Any, NDArray[np.float32], int], Attribution]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}


@dataclass(frozen=True)
class Importance:
    """How much a predictor moves the predictions: its mean |SHAP value| over the rows explained.

    Attributes:
        predictor: its name; ``lc`` for the land cover columns together.
        rank: 1 for the largest in the stack.
        stack: mean |SHAP value| in the stack, in the unit of the target.
        members: the same in each member, by name.
        size: ``stack`` with its 95 % interval; NaN with the reason where there is none.
        behind: by how much the first one's is larger, with the interval of this difference; 0 for itself.
    """

    predictor: str
    rank: int
    stack: float
    members: Mapping[str, float]
    size: Estimate
    behind: Estimate


def ranking(explanation: Explanation, blocks: ArrayLike | None = None, *, seed: int = 0) -> list[Importance]:
    """The predictors of a stack, the most important first; equal ones keep their order.

    The SHAP values of the ``LC_*`` columns are summed in each row before their size is taken, as they are
    one predictor (Xu et al. 2024 figure 10f): forest and cropland that cancel out do not count twice.

    Args:
        explanation: of the rows.
        blocks: label of the block each row belongs to, (n,). Intervals draw whole blocks, the same for all
            predictors; they tell how the ranking of this one fitted stack depends on the rows at hand, not
            what another fit would rank. None: every row is in one block, and there are no intervals.
        seed: of the draws.
    """
    groups = [LAND_COVER if name.startswith(LAND_COVER_PREFIX) else name for name in explanation.names]
    predictors = list(dict.fromkeys(groups))
    belongs = np.array([[group == name for name in predictors] for group in groups], np.float64)

    def sizes(one: Attribution) -> Floats:
        return np.abs(one.shap @ belongs)

    moved = dict(zip(predictors, sizes(explanation.stack).T, strict=True))
    members = {name: sizes(one).mean(axis=0).tolist() for name, one in explanation.members.items()}
    stack = [float(size.mean()) for size in moved.values()]
    order = np.argsort(-np.array(stack), kind="stable")
    rows = len(explanation)
    first = predictors[order[0]]
    found = compare(  # the bias of sizes beside nothing is their mean
        moved, np.zeros(rows), blocks=np.zeros(rows) if blocks is None else blocks, baseline=first,
        metrics=("bias",), seed=seed,
    )  # fmt: skip

    def behind(name: str) -> Estimate:
        if name == first:
            return Estimate(0.0, 0.0, 0.0)
        less = found.differences[name]["bias"]
        return Estimate(-less.value, -less.upper, -less.lower, less.reason)

    return [
        Importance(
            predictors[i], rank, stack[i], {name: one[i] for name, one in members.items()},
            found.scores[predictors[i]]["bias"], behind(predictors[i]),
        )
        for rank, i in enumerate(order, start=1)
    ]  # fmt: skip


@dataclass(frozen=True)
class Interaction:
    """How the effect of one predictor changes with another, where the first is held fixed.

    Attributes:
        predictor, other: the two names; they do not play the same part.
        n: rows in which both are known.
        spread: standard deviation of the SHAP value of ``predictor`` among rows with about the same value
            of it, in the unit of the target: the size of all its interactions together, and of whatever
            steps its own effect has within a bin.
        share: part of that variance, 0 to 1, that ``other`` explains; about 0, or a little less, where it
            explains nothing; NaN, with the reason, where there is nothing to explain.
    """

    predictor: str
    other: str
    n: int
    spread: float
    share: Estimate


def interaction(explanation: Explanation, predictor: str, other: str) -> Interaction:
    """How much of the SHAP value of ``predictor`` at given ``predictor`` is explained by ``other``.

    In a model without interactions the SHAP value of a predictor is a function of that predictor alone;
    what it varies at one and the same value is interaction. Rows are cut into up to 20 bins of equal count
    along ``predictor``, and a line in ``predictor`` is taken off the stack's SHAP value in each. What is
    left has a variance, and where the rows of a bin are put in order of ``other``, half the mean square
    of the steps from row to row estimates the part of it that ``other`` leaves open, whatever the shape of
    the dependence (Rice 1984; the rank-based Sobol index of Gamboa et al. 2022). The share is the rest.

    It describes the model, not nature: it credits ``other`` with whatever goes along with it (a mountain's
    elevation with its forest). Rows that are alike count as many, so no interval is given.

    Raises:
        SampleError: one of the two is not among the predictors.
    """
    x, y = (explanation.X[:, explanation.column(name)].astype(np.float64) for name in (predictor, other))
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(known) < BIN_ROWS:
        reason = f"{len(known)} rows have both {predictor} and {other}; at least {BIN_ROWS} are needed"
        return Interaction(predictor, other, len(known), np.nan, Estimate(np.nan, reason=reason))
    value = explanation.stack.shap[:, explanation.column(predictor)]
    tie = np.random.default_rng(0).permutation(len(value))  # rows of equal ``other`` follow in no order
    in_order = known[np.argsort(x[known], kind="stable")]
    total = freedom = open_part = steps = 0.0
    for rows in np.array_split(in_order, min(BINS, len(known) // BIN_ROWS)):
        line = np.column_stack([np.ones(len(rows)), x[rows] - x[rows].mean()])
        coefficients, _, rank, _ = np.linalg.lstsq(line, value[rows])
        left = value[rows] - line @ coefficients
        step = np.diff(left[np.lexsort((tie[rows], y[rows]))])
        total, freedom = total + left @ left, freedom + len(rows) - rank
        open_part, steps = open_part + step @ step / 2, steps + len(step)
    variance = total / freedom
    spread = float(np.sqrt(variance))
    if spread < ROUNDING:
        reason = f"the SHAP value of {predictor} depends on {predictor} alone"
        return Interaction(predictor, other, len(known), spread, Estimate(np.nan, reason=reason))
    share = float(1 - open_part / steps / variance)
    return Interaction(predictor, other, len(known), spread, Estimate(share))
