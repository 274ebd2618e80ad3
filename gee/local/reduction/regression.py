"""Regressions and rank correlations of several inputs, for every cell at once.

Least squares go through a QR decomposition, since times in milliseconds make normal equations useless.
Outputs, their shapes and when they are null follow the descriptions of ``Reducer.linearRegression`` and
its kin; where those are silent the choice is named at the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from gee.local.errors import EngineError
from gee.local.reduction.moments import correlation
from gee.local.reduction.reducers import Block, Flags, Floats, Reducer, Result, arrays, collecting, doubles

_CHUNK_VALUES = 2**22  # of a temporary array
_TALWAR = 2.795  # outlier margin in standard deviations, 95 % efficient for normal errors (O'Leary 1990)
_NORMAL_MAD = 0.6745  # median absolute deviation of a normal distribution of unit variance
_ITERATIONS = 50
_SINGULAR = 1e-12  # of the largest diagonal element of R


def _chunks(cells: int, values_per_cell: int) -> Iterator[slice]:
    size = max(1, _CHUNK_VALUES // max(1, values_per_cell))
    for start in range(0, cells, size):
        yield slice(start, start + size)


def _table(block: Block, positions: Sequence[int], part: slice) -> Floats:
    """Some inputs of some cells as (cells, n, inputs)."""
    count = block.shape[0]
    columns = [block.values[position].reshape(count, -1)[:, part].T for position in positions]
    return np.stack([column.astype(np.float64) for column in columns], axis=-1)


def _solve(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Flags]:
    """Least squares coefficients (cells, p, q) and where the system is not singular."""
    root = np.sqrt(weights)[..., None]
    if x.shape[1] < x.shape[2]:
        return np.zeros((x.shape[0], x.shape[2], y.shape[2])), np.zeros(x.shape[0], np.bool_)
    # Columns of very different size, a constant and a time, would look singular.
    size = np.sqrt(np.sum((x * root) ** 2, axis=1, keepdims=True))
    size[size == 0] = 1.0
    q, r = np.linalg.qr(x * root / size)
    diagonal = np.abs(np.diagonal(r, axis1=-2, axis2=-1))
    regular = diagonal.min(axis=-1) > _SINGULAR * np.maximum(diagonal.max(axis=-1), 1e-300)
    r = np.where(regular[:, None, None], r, np.eye(r.shape[-1]))
    solution = np.linalg.solve(r, np.swapaxes(q, -1, -2) @ (y * root))
    return solution / np.swapaxes(size, -1, -2), regular


def _root_mean_square(residuals: Floats, weights: Floats) -> Floats:
    """Of each dependent variable: (cells, n, q) -> (cells, q)."""
    mass = np.maximum(weights.sum(axis=1), 1)[:, None]
    size: Floats = np.sqrt(np.einsum("cn,cnq->cq", weights, residuals**2) / mass)
    return size


Fit = Callable[[Floats, Floats, Floats], tuple[tuple[Floats, ...], Flags]]


def _fitted(block: Block, num_x: int, num_y: int, fit: Fit) -> list[Result]:
    """Fit every cell; ``fit`` takes x (cells, n, p), y (cells, n, q) and 0/1 weights (cells, n)."""
    cells = math.prod(block.cells)
    known = block.known.reshape(block.shape[0], cells)
    outputs: list[list[Floats]] = []
    flags = []
    for part in _chunks(cells, block.shape[0] * (num_x + num_y)):
        weights = known[:, part].T.astype(np.float64)
        x = np.where(weights[..., None] > 0, _table(block, range(num_x), part), 0.0)
        y = np.where(weights[..., None] > 0, _table(block, range(num_x, num_x + num_y), part), 0.0)
        found, valid = fit(x, y, weights)
        outputs.append(list(found))
        flags.append(valid)
    valid = np.concatenate(flags).reshape(block.cells)
    return [
        (joined.reshape(block.cells + joined.shape[1:]), valid.copy())
        for joined in (np.concatenate(each) for each in zip(*outputs, strict=True))
    ]


def _linear(x: Floats, y: Floats, weights: Floats) -> tuple[tuple[Floats, ...], Flags]:
    coefficients, regular = _solve(x, y, weights)
    residuals = y - x @ coefficients
    valid = regular & (weights.sum(axis=1) > x.shape[2])
    return (coefficients, _root_mean_square(residuals, weights)), valid


def _robust(x: Floats, y: Floats, weights: Floats, beta: float | None) -> tuple[tuple[Floats, ...], Flags]:
    """Least squares again and again without the outliers, until these stay the same.

    A tuple is an outlier when the root mean square of its residuals exceeds ``beta``; by default
    Talwar's constant times the normal-consistent median absolute residual of the first fit. The
    residuals given are those of the tuples kept.
    """
    coefficients, regular = _solve(x, y, weights)
    valid = regular & (weights.sum(axis=1) >= x.shape[2])

    def distances() -> Floats:
        found: Floats = np.sqrt(np.mean((y - x @ coefficients) ** 2, axis=2))
        return found

    if beta is None:
        middle = np.zeros(len(x))
        if x.shape[1]:
            known = np.where(weights > 0, distances(), np.nan)
            empty = ~(weights > 0).any(axis=1)
            known[empty] = 0.0
            middle = np.nanmedian(known, axis=1)
        margin = (_TALWAR / _NORMAL_MAD * middle)[:, None]
    else:
        margin = np.full((len(x), 1), beta)
    kept = weights
    for _ in range(_ITERATIONS):
        # Residuals of an exact fit are rounding, none of which is an outlier.
        rounding = 1e-12 * np.sqrt(np.mean(y**2, axis=(1, 2)))[:, None]
        inside = np.where(distances() <= np.maximum(margin, rounding), weights, 0.0)
        inside = np.where((inside.sum(axis=1) >= x.shape[2])[:, None], inside, kept)
        if np.array_equal(inside, kept):
            break
        again, solvable = _solve(x, y, inside)
        better = solvable[:, None, None]
        coefficients = np.where(better, again, coefficients)
        kept = np.where(solvable[:, None], inside, kept)
    return (coefficients, _root_mean_square(y - x @ coefficients, kept)), valid


def _ridge(x: Floats, y: Floats, weights: Floats, penalty: float) -> tuple[tuple[Floats, ...], Flags]:
    """Penalised least squares of standardised independent variables; the intercept is not penalised.

    The p-value is that of the F-test of the whole regression. That the variables are standardised by
    their population deviation is how ridge regression is usual, not documented.
    """
    count, predictors = weights.sum(axis=1), x.shape[2]
    share = weights / np.maximum(count, 1)[:, None]
    centre_x = np.einsum("cn,cnp->cp", share, x)[:, None]
    centre_y = np.einsum("cn,cnq->cq", share, y)[:, None]
    scale = np.sqrt(np.einsum("cn,cnp->cp", share, (x - centre_x) ** 2))
    varied = np.where(scale > 0, scale, 1.0)
    z = (x - centre_x) / varied[:, None] * weights[..., None]
    dependent = (y - centre_y) * weights[..., None]
    gram = np.swapaxes(z, 1, 2) @ z + penalty * np.eye(predictors)
    regular = np.linalg.cond(gram) < 1 / np.finfo(float).eps
    gram = np.where(regular[:, None, None], gram, np.eye(predictors))
    slopes = np.linalg.solve(gram, np.swapaxes(z, 1, 2) @ dependent) / varied[..., None]
    intercept = centre_y - centre_x @ slopes
    coefficients = np.concatenate([slopes, intercept], axis=1)
    residuals = (y - x @ slopes - intercept) * weights[..., None]
    unexplained = np.sum(residuals**2, axis=1)
    freedom = (count - predictors - 1)[:, None]
    explained = np.sum(dependent**2, axis=1) - unexplained
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (explained / predictors) / (unexplained / freedom)
        p = np.where(freedom > 0, special.fdtrc(predictors, np.maximum(freedom, 1), statistic), np.nan)
    valid = regular & (count >= predictors + 1)
    return (coefficients, _root_mean_square(residuals, weights), p), valid


def _regression(
    name: str, num_x: int, num_y: int, outputs: Sequence[str], fit: Fit, parameters: Sequence[object]
) -> Reducer:
    if num_x < 1 or num_y < 1:
        raise EngineError(f"numX and numY must be positive, got {num_x} and {num_y}.")
    return collecting(
        name,
        outputs,
        [False] * (num_x + num_y),
        partial(_fitted, num_x=num_x, num_y=num_y, fit=fit),
        arrays(2, *[1] * (len(outputs) - 1)),
        [num_x, num_y, *parameters],
    )


def linear_regression(num_x: int, num_y: int) -> Reducer:
    """``Reducer.linearRegression``: coefficients (numX, numY) and the RMS of the residuals (numY)."""
    return _regression("linearRegression", num_x, num_y, ["coefficients", "residuals"], _linear, [])


def robust_regression(num_x: int, num_y: int, beta: float | None) -> Reducer:
    """``Reducer.robustLinearRegression``: as `linear_regression`, without outliers."""
    fit = partial(_robust, beta=beta)
    return _regression("robustLinearRegression", num_x, num_y, ["coefficients", "residuals"], fit, [beta])


def ridge_regression(num_x: int, num_y: int, penalty: float) -> Reducer:
    """``Reducer.ridgeRegression``: coefficients (numX + 1, numY), intercepts last."""
    if penalty < 0:
        raise EngineError(f"lambda must not be negative, got {penalty}.")
    fit = partial(_ridge, penalty=penalty)
    outputs = ["coefficients", "residuals", "pValue"]
    return _regression("ridgeRegression", num_x, num_y, outputs, fit, [penalty])


def _flat(block: Block, positions: Sequence[int]) -> list[Floats]:
    return [block.floats(position).reshape(block.shape[0], -1) for position in positions]


def _spearman(block: Block) -> list[Result]:
    """Pearson's correlation of the ranks, equal values sharing their mean rank."""
    count = block.count().reshape(-1).astype(np.float64)
    ranks = [stats.rankdata(values, axis=0, nan_policy="omit") for values in _flat(block, (0, 1))]
    x, y = (each - np.nansum(each, axis=0) / np.maximum(count, 1) for each in ranks)
    found = correlation(np.nansum(x * x, axis=0), np.nansum(x * y, axis=0), np.nansum(y * y, axis=0), count)
    return [(values.reshape(block.cells), valid.reshape(block.cells)) for values, valid in found]


def _ties(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums over the groups of equal values of t(t-1), t(t-1)(t-2) and t(t-1)(2t+5), per column."""
    ordered = np.sort(values, axis=0)
    starts = np.ones(ordered.shape, np.bool_)
    starts[1:] = ordered[1:] != ordered[:-1]
    number = np.cumsum(starts, axis=0) - 1
    sizes = np.zeros(ordered.shape)
    known = ~np.isnan(ordered)
    column = np.broadcast_to(np.arange(ordered.shape[1]), ordered.shape)
    np.add.at(sizes, (number[known], column[known]), 1.0)
    pairs = sizes * (sizes - 1)
    return pairs.sum(axis=0), (pairs * (sizes - 2)).sum(axis=0), (pairs * (2 * sizes + 5)).sum(axis=0)


def _concordance(x: Floats, y: Floats) -> Floats:
    """Concordant less discordant pairs, per column; NaN takes no part."""
    score = np.zeros(x.shape[1])
    for later in range(1, len(x)):
        signs = np.sign(x[later] - x[:later]) * np.sign(y[later] - y[:later])
        score += np.nansum(signs, axis=0)
    return score


def _kendall(block: Block, inputs: int) -> list[Result]:
    """Tau-b, and the two-sided p-value of the normal approximation with its correction for ties."""
    count = block.count().reshape(-1).astype(np.float64)
    [*first, y] = _flat(block, range(inputs))
    order = np.arange(len(y), dtype=np.float64)[:, None]
    x = first[0] if first else np.where(np.isnan(y), np.nan, order)
    score = _concordance(x, y)
    tied_x, tied_y = _ties(x), _ties(y)
    pairs = count * (count - 1)
    scale = np.sqrt((pairs - tied_x[0]) * (pairs - tied_y[0])) / 2
    valid = scale > 0
    tau = np.divide(score, scale, out=np.zeros_like(score), where=valid)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (
            (pairs * (2 * count + 5) - tied_x[2] - tied_y[2]) / 18
            + tied_x[0] * tied_y[0] / (2 * pairs)
            + np.where(count > 2, tied_x[1] * tied_y[1] / (9 * pairs * (count - 2)), 0.0)
        )
        p = 2 * special.ndtr(-np.abs(score) / np.sqrt(variance))
    p = np.where(valid, p, 1.0)
    return [(each.reshape(block.cells), valid.reshape(block.cells)) for each in (tau, p)]


def kendall(inputs: int) -> Reducer:
    """``Reducer.kendallsCorrelation``; with one input against its sequence number."""
    if inputs not in (1, 2):
        raise EngineError(f"numInputs must be 1 or 2, got {inputs}.")
    function = partial(_kendall, inputs=inputs)
    return collecting(
        "kendallsCorrelation", ["tau", "p-value"], [False] * inputs, function, doubles(2), [inputs]
    )


def _sen(block: Block) -> list[Result]:
    """Median of the slopes of all pairs, and the median of y less slope times x (Sen 1968)."""
    x, y = _flat(block, (0, 1))
    earlier, later = np.triu_indices(len(x), 1)
    if len(earlier) > 8 * _CHUNK_VALUES:
        raise EngineError("User memory limit exceeded.")
    cells = x.shape[1]
    slope, offset = np.zeros(cells), np.zeros(cells)
    valid = np.zeros(cells, np.bool_)
    for part in _chunks(cells, len(earlier)):
        run = x[later, part] - x[earlier, part]
        rise = y[later, part] - y[earlier, part]
        slopes = np.divide(rise, run, out=np.full(run.shape, np.nan), where=run != 0)
        some = np.isfinite(slopes).any(axis=0) if len(slopes) else np.zeros(run.shape[1:], np.bool_)
        if not some.any():
            continue
        middle = np.zeros(some.shape)
        middle[some] = np.nanmedian(slopes[:, some], axis=0)
        rest = (y[:, part] - middle * x[:, part])[:, some]
        shift = np.zeros(some.shape)
        shift[some] = np.nanmedian(rest, axis=0)
        slope[part], offset[part], valid[part] = middle, shift, some
    return [(each.reshape(block.cells), valid.reshape(block.cells)) for each in (slope, offset)]


def _geometric_median(block: Block, eta: float) -> list[Result]:
    """The point of least total distance to the inputs, by Vardi and Zhang's iteration."""
    known = block.known.reshape(block.shape[0], -1)
    points = np.stack(
        [np.where(known, each, 0.0) for each in _flat(block, range(len(block.values)))], axis=-1
    )
    count = known.sum(axis=0)
    middle = points.sum(axis=0) / np.maximum(count, 1)[:, None]
    for _ in range(1000):
        away = points - middle
        distance: NDArray[np.float64] = np.sqrt(np.sum(away**2, axis=-1))
        here = known & (distance == 0)
        inverse = np.divide(1.0, distance, out=np.zeros_like(distance), where=known & (distance > 0))
        pull = np.einsum("nc,ncd->cd", inverse, away)
        strength = inverse.sum(axis=0)
        force = np.sqrt(np.sum(pull**2, axis=-1))
        # Points that lie at the estimate hold it back.
        hold = np.divide(here.sum(axis=0), force, out=np.ones_like(force), where=force > 0)
        step = (
            pull
            / np.where(strength > 0, strength, 1.0)[:, None]
            * np.maximum(0, 1 - np.minimum(hold, 1))[:, None]
        )
        middle = middle + step
        # A step is not the gain it brings; a hundredth of it keeps the result well within eta.
        if np.sqrt(np.sum(step**2, axis=-1)).max(initial=0.0) <= eta / 100:
            break
    valid = (count > 0).reshape(block.cells)
    return [(middle[:, axis].reshape(block.cells), valid.copy()) for axis in range(len(block.values))]


def geometric_median(size: int, eta: float) -> Reducer:
    """``Reducer.geometricMedian`` of points of some dimensions, to within ``eta``."""
    if size < 1 or not eta > 0:
        raise EngineError(f"numX and eta must be positive, got {size} and {eta}.")
    outputs = [f"median_{axis}" for axis in range(size)] if size > 1 else ["median"]
    function = partial(_geometric_median, eta=eta)
    return collecting("geometricMedian", outputs, [False] * size, function, doubles(size), [size, eta])


REDUCERS = {
    reducer.name: reducer
    for reducer in (
        collecting("spearmansCorrelation", ["correlation", "p-value"], [False, False], _spearman, doubles(2)),
        collecting("sensSlope", ["slope", "offset"], [False, False], _sen, doubles(2)),
    )
}
