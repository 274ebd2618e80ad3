"""Statistics of second moments that can be kept up to date: variance, covariance, correlation, lines.

Moments are merged by the pairwise update of Pébay (Sandia report SAND2008-6212), which Earth Engine's
covariance reducer cites; unlike sums of squares it does not lose the variance of large numbers. Whether a
covariance divides by the number of inputs is not documented: it does here, as variance does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from gee.local.errors import EngineError
from gee.local.reduction.reducers import (
    Block,
    Floats,
    Kind,
    Result,
    Statistic,
    TypeRule,
    Values,
    accumulating,
    arrays,
    doubles,
    ratio,
)


class Spread:
    """Weighted variance or standard deviation, of the population or, with ``sample``, of a sample."""

    def __init__(
        self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]], root: bool, sample: bool
    ) -> None:
        self._moments = _Moments(cells, 1)
        self._root = root
        self._sample = sample

    def fold(self, block: Block) -> None:
        """Take some more."""
        self._moments.fold(block, [block.values[0]])

    def results(self) -> list[Result]:
        """The spread, masked where there are too few inputs."""
        mass = self._moments.mass
        divisor = mass - 1 if self._sample else mass
        valid = divisor > 0
        variance = ratio(self._moments.products[0][0], np.where(valid, divisor, 0.0))
        return [(np.sqrt(variance) if self._root else variance, valid)]


class _Moments:
    """Weights, means and centred sums of products of some variables."""

    def __init__(self, cells: tuple[int, ...], variables: int) -> None:
        self.mass = np.zeros(cells)
        self.means = [np.zeros(cells) for _ in range(variables)]
        self.products = [[np.zeros(cells) for _ in range(variables)] for _ in range(variables)]

    def fold(self, block: Block, values: Sequence[Values]) -> None:
        added = block.mass()
        total = self.mass + added
        share = ratio(added, total)
        centred, shifts = [], []
        for position, each in enumerate(values):
            mean = ratio(block.total(each), added)
            # A single layer deviates from its own mean by nothing.
            centred.append(each - mean if block.shape[0] > 1 else None)
            shift = np.where(added > 0, mean - self.means[position], 0.0)
            shifts.append(shift)
            self.means[position] = self.means[position] + shift * share
        for row, column in ((i, j) for i in range(len(values)) for j in range(i + 1)):
            product = shifts[row] * shifts[column] * self.mass * share
            left, right = centred[row], centred[column]
            if left is not None and right is not None:
                product = product + block.total(left * right)
            self.products[row][column] = self.products[row][column] + product
        self.mass = total


class Line:
    """Weighted least squares line of the second input on the first."""

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> None:
        self._moments = _Moments(cells, 2)

    def fold(self, block: Block) -> None:
        """Take some more."""
        self._moments.fold(block, block.values)

    def results(self) -> list[Result]:
        """Scale and offset, masked where the first input does not vary."""
        spread = self._moments.products[0][0]
        valid = spread > 0
        scale = ratio(self._moments.products[1][0], np.where(valid, spread, 0.0))
        offset = self._moments.means[1] - scale * self._moments.means[0]
        return [(scale, valid), (offset, valid.copy())]


class Pearson:
    """Product-moment correlation of two inputs, and its two-sided p-value (Student's t)."""

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> None:
        self._moments = _Moments(cells, 2)

    def fold(self, block: Block) -> None:
        """Take some more."""
        self._moments.fold(block, block.values)

    def results(self) -> list[Result]:
        """Correlation and p-value, masked where an input does not vary."""
        products = self._moments.products
        return correlation(products[0][0], products[1][0], products[1][1], self._moments.mass)


def correlation(xx: Floats, xy: Floats, yy: Floats, count: Floats) -> list[Result]:
    """Correlation and its two-sided p-value from centred sums of squares and products."""
    scale = np.sqrt(xx * yy)
    valid = scale > 0
    value = np.clip(ratio(xy, scale), -1, 1)
    freedom = np.maximum(count - 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(value) * np.sqrt(freedom / (1 - value**2))
        p = np.where(freedom > 0, 2 * special.stdtr(np.maximum(freedom, 1), -t), 1.0)
    return [(value, valid), (np.where(valid, p, 1.0), valid.copy())]


class Covariance:
    """Covariance matrix of arrays; with ``centred`` their mean is taken to be zero."""

    def __init__(
        self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]], centred: bool = False
    ) -> None:
        self._cells = cells
        self._centred = centred
        self._mass = np.zeros(cells)
        self._mean: Floats | None = None
        self._products: Floats | None = None

    def fold(self, block: Block) -> None:
        """Take some more."""
        values = block.values[0].astype(np.float64)
        if values.ndim == len(block.shape) + 2 and 1 in values.shape[-2:]:
            values = values.reshape((*block.shape, -1))
        if values.ndim != len(block.shape) + 1:
            raise EngineError("The inputs must be 1-D arrays.")
        size = values.shape[-1]
        if self._mean is None or self._products is None:
            self._mean = np.zeros((*self._cells, size))
            self._products = np.zeros((*self._cells, size, size))
        if self._mean.shape[-1] != size:
            raise EngineError("The inputs must be arrays of the same length.")
        added = block.mass()
        total = self._mass + added
        mean = np.zeros_like(self._mean)
        if not self._centred:
            mean = ratio(block.total(values), added[..., None])
        deviation = np.where(block.known[..., None], values - mean, 0.0)
        heavy = deviation if block.weights is None else deviation * block.weights[..., None]
        shift = np.where(added[..., None] > 0, mean - self._mean, 0.0)
        share = ratio(added, total)
        self._products += np.einsum("n...i,n...j->...ij", heavy, deviation)
        self._products += (shift[..., :, None] * shift[..., None, :]) * (self._mass * share)[..., None, None]
        self._mean += shift * share[..., None]
        self._mass = total

    def results(self) -> list[Result]:
        """The matrix of the population, masked where there was no input."""
        products = np.zeros((*self._cells, 0, 0)) if self._products is None else self._products
        return [(ratio(products, self._mass[..., None, None]), self._mass > 0)]


TABLE: tuple[tuple[str, tuple[str, ...], int, bool, Callable[..., Statistic], TypeRule, Kind], ...] = (
    # name, outputs, inputs, weighted, statistic, types of the outputs, kind of the inputs
    ("variance", ("variance",), 1, True, partial(Spread, root=False, sample=False), doubles(), "numbers"),
    ("stdDev", ("stdDev",), 1, True, partial(Spread, root=True, sample=False), doubles(), "numbers"),
    (
        "sampleVariance",
        ("variance",),
        1,
        True,
        partial(Spread, root=False, sample=True),
        doubles(),
        "numbers",
    ),
    ("sampleStdDev", ("stdDev",), 1, True, partial(Spread, root=True, sample=True), doubles(), "numbers"),
    ("linearFit", ("scale", "offset"), 2, True, Line, doubles(2), "numbers"),
    ("pearsonsCorrelation", ("correlation", "p-value"), 2, False, Pearson, doubles(2), "numbers"),
    ("covariance", ("covariance",), 1, False, Covariance, arrays(2), "arrays"),
    ("centeredCovariance", ("covariance",), 1, False, partial(Covariance, centred=True), arrays(2), "arrays"),
)

REDUCERS = {
    name: accumulating(name, outputs, [weighted] * inputs, statistic, types, kind=kind)
    for name, outputs, inputs, weighted, statistic, types, kind in TABLE
}
