"""Statistics that can be kept up to date input by input: counts, sums, extremes, first and last.

Each class holds arrays of the cells' shape and merges blocks of tuples into them, so a long stack of
images is reduced at the speed of memory without a copy of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.reduction.reducers import (
    Block,
    Floats,
    Kind,
    Reducer,
    Result,
    Statistic,
    TypeRule,
    Values,
    accumulating,
    doubles,
    not_null,
    ratio,
    same,
    typed,
)
from gee.local.values import PixelType

COUNT = PixelType("int", 0, 2**32 - 1)
FLAG = PixelType("int", 0, 1)


class Count:
    """How many inputs that are not null, or, with ``every``, how many at all."""

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]], every: bool = False) -> None:
        self._count = np.zeros(cells, np.int64)
        self._every = every

    def fold(self, block: Block) -> None:
        """Count some more."""
        if self._every:
            self._count += block.shape[0]
        elif block.values[0].dtype == object:
            self._count += np.add.reduce(block.known & not_null(block.values[0]), axis=0, dtype=np.int64)
        else:
            self._count += block.count()

    def results(self) -> list[Result]:
        """The count; of nothing it is 0, and valid."""
        return [(self._count.copy(), np.ones(self._count.shape, np.bool_))]


class Sum:
    """Weighted sum, or mean; integers with weights of one are summed as integers."""

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]], mean: bool = False) -> None:
        self._mass = np.zeros(cells)
        self._total: Values = np.zeros(cells, np.int64)
        self._mean = mean

    def fold(self, block: Block) -> None:
        """Add some more."""
        self._mass += block.mass()
        total = block.total(block.values[0])
        if total.dtype == self._total.dtype and total.shape == self._total.shape:
            self._total += total
        else:
            self._total = self._total + total

    def results(self) -> list[Result]:
        """The sum or mean, masked where nothing was summed."""
        valid = self._mass > 0
        return [(ratio(self._total, self._mass) if self._mean else self._total.copy(), valid)]


class Fold:
    """A NumPy operation over the tuples: product, and, or.

    Args:
        cells: shape of the results.
        dtypes: of the inputs; not used.
        operation: the binary operation.
        start: its neutral element.
        dtype: of the arithmetic.
        truth: reduce whether values are non-zero, and give 1 or 0.
    """

    def __init__(
        self,
        cells: tuple[int, ...],
        dtypes: Sequence[np.dtype[Any]],
        operation: np.ufunc,
        start: Any,
        dtype: type,
        truth: bool = False,
    ) -> None:
        self._state: Values = np.full(cells, start, dtype)
        self._seen = np.zeros(cells, np.bool_)
        self._operation = operation
        self._start = start
        self._truth = truth

    def fold(self, block: Block) -> None:
        """Combine some more."""
        values = block.values[0]
        if self._truth:
            values = values != 0
        elif self._state.dtype.kind == "i" and values.dtype.kind == "f":
            raise EngineError("Bitwise reducers need integer inputs.")
        values = values.astype(self._state.dtype, copy=False)
        if block.valid is not None:
            values = np.where(block.valid, values, self._state.dtype.type(self._start))
        part = self._operation.reduce(values, axis=0)
        self._state = self._operation(self._state, part)
        self._seen |= block.count() > 0

    def results(self) -> list[Result]:
        """The combination, masked where there was no input."""
        return [(self._state.astype(np.uint8) if self._truth else self._state.copy(), self._seen.copy())]


class Extreme:
    """The least or greatest value of the first input, and what the other inputs are there.

    Of equal ones the first counts.
    """

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]], greatest: bool) -> None:
        self._greatest = greatest
        self._seen = np.zeros(cells, np.bool_)
        # A list with nulls turns into numbers only when it is looked at.
        self._best: list[Values] = [
            np.zeros(cells, np.float64 if dtype.kind == "O" else dtype) for dtype in dtypes
        ]

    def fold(self, block: Block) -> None:
        """Compare some more."""
        ordered = block.filled(0, _limit(block.values[0].dtype, not self._greatest))
        seen = block.count() > 0
        new = (np.maximum if self._greatest else np.minimum).reduce(ordered, axis=0)
        candidates = [new]
        if len(self._best) > 1:
            place = (block.known & (ordered == new)).argmax(axis=0)[None]
            candidates += [np.take_along_axis(each, place, axis=0)[0] for each in block.values[1:]]
        old = self._best[0]
        better = seen & (~self._seen | ((new > old) if self._greatest else (new < old)))
        self._best = [
            np.where(better, candidate, best if self._seen.any() else candidate.dtype.type(0))
            for candidate, best in zip(candidates, self._best, strict=True)
        ]
        self._seen |= seen

    def results(self) -> list[Result]:
        """The extreme and its companions, masked where there was no input."""
        return [(best, self._seen.copy()) for best in self._best]


class Both:
    """The least and the greatest value."""

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> None:
        self._ends = [Extreme(cells, dtypes, greatest) for greatest in (False, True)]

    def fold(self, block: Block) -> None:
        """Compare some more."""
        for end in self._ends:
            end.fold(block)

    def results(self) -> list[Result]:
        """Minimum and maximum."""
        return [result for end in self._ends for result in end.results()]


class Edge:
    """The first or the last input; one that is null is passed over if ``known`` only are wanted."""

    def __init__(
        self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]], last: bool, known: bool
    ) -> None:
        self._last = last
        self._known = known
        self._seen = np.zeros(cells, np.bool_)
        self._value: Values = np.zeros(cells, dtypes[0])

    def fold(self, block: Block) -> None:
        """Look at some more."""
        values, valid = block.values[0], block.known
        if self._known and values.dtype == object:
            valid = valid & not_null(values)
        if not self._last and self._seen.all():
            return
        step = -1 if self._last else 1
        place = valid[::step].argmax(axis=0)[None]
        spread = place.reshape(place.shape + (1,) * (values.ndim - place.ndim))
        found = np.take_along_axis(values[::step], spread, axis=0)
        candidate = found.reshape(found.shape[1:])  # an index would unpack an object
        seen = valid.any(axis=0)
        wanted = seen if self._last else seen & ~self._seen
        wide = wanted.reshape(wanted.shape + (1,) * (candidate.ndim - wanted.ndim))
        kept = self._value.reshape(self._value.shape + (1,) * (candidate.ndim - self._value.ndim))
        self._value = np.where(wide, candidate, kept)
        self._seen |= seen

    def results(self) -> list[Result]:
        """The input; null is masked."""
        seen = self._seen.copy()
        if self._value.dtype == object:
            seen &= not_null(self._value)
        return [(self._value, seen)]


class Circular:
    """Weighted sum of unit vectors at angles in radians."""

    def __init__(
        self,
        cells: tuple[int, ...],
        dtypes: Sequence[np.dtype[Any]],
        summary: Callable[[Floats, Floats], Floats],
    ) -> None:
        self._mass = np.zeros(cells)
        self._sine = np.zeros(cells)
        self._cosine = np.zeros(cells)
        self._summary = summary

    def fold(self, block: Block) -> None:
        """Add some more."""
        self._mass += block.mass()
        angles = block.values[0].astype(np.float64)
        self._sine += block.total(np.sin(angles))
        self._cosine += block.total(np.cos(angles))

    def results(self) -> list[Result]:
        """The summary of the mean vector, masked where there was no input."""
        mean = ratio(self._sine, self._mass), ratio(self._cosine, self._mass)
        return [(np.asarray(self._summary(*mean)), self._mass > 0)]


def _limit(dtype: np.dtype[Any], upper: bool) -> Any:
    """A value that no other exceeds, or falls below, in its own type."""
    if dtype.kind == "f":
        return dtype.type(np.inf if upper else -np.inf)
    limits = np.iinfo(dtype)
    return dtype.type(limits.max if upper else limits.min)


def _resultant(sine: Floats, cosine: Floats) -> Floats:
    length: Floats = np.minimum(np.hypot(sine, cosine), 1.0)
    return length


def _circular_deviation(sine: Floats, cosine: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        # Adding zero turns the minus zero of a single angle into zero.
        deviation: Floats = np.sqrt(-2 * np.log(_resultant(sine, cosine))) + 0.0
    return deviation


def extreme(greatest: bool, inputs: int) -> Reducer:
    """``Reducer.min`` or ``Reducer.max`` of the first of some inputs, with its companions."""
    if inputs < 1:
        raise EngineError(f"numInputs must be positive, got {inputs}.")
    name = "max" if greatest else "min"
    return accumulating(
        name,
        [name, *(f"{name}{position}" for position in range(1, inputs))],
        [False] * inputs,
        partial(Extreme, greatest=greatest),
        list,
        [inputs],
    )


_ALL, _ANY = (
    partial(Fold, operation=operation, start=start, dtype=np.bool_, truth=True)
    for operation, start in ((np.logical_and, True), (np.logical_or, False))
)

TABLE: tuple[tuple[str, tuple[str, ...], int, bool, Callable[..., Statistic], TypeRule, Kind], ...] = (
    # name, outputs, inputs, weighted, statistic, types of the outputs, kind of the inputs
    ("count", ("count",), 1, False, Count, typed(COUNT), "anything"),
    ("countEvery", ("count",), 1, False, partial(Count, every=True), typed(COUNT), "anything"),
    ("sum", ("sum",), 1, True, Sum, doubles(), "numbers"),
    ("mean", ("mean",), 1, True, partial(Sum, mean=True), doubles(), "numbers"),
    (
        "product",
        ("product",),
        1,
        False,
        partial(Fold, operation=np.multiply, start=1, dtype=np.float64),
        doubles(),
        "numbers",
    ),
    (
        "bitwiseAnd",
        ("bitwiseAnd",),
        1,
        False,
        partial(Fold, operation=np.bitwise_and, start=-1, dtype=np.int64),
        same,
        "numbers",
    ),
    (
        "bitwiseOr",
        ("bitwiseOr",),
        1,
        False,
        partial(Fold, operation=np.bitwise_or, start=0, dtype=np.int64),
        same,
        "numbers",
    ),
    ("allNonZero", ("all",), 1, False, _ALL, typed(FLAG), "numbers"),
    ("anyNonZero", ("any",), 1, False, _ANY, typed(FLAG), "numbers"),
    ("minMax", ("min", "max"), 1, False, Both, lambda inputs: [inputs[0]] * 2, "numbers"),
    ("first", ("first",), 1, False, partial(Edge, last=False, known=False), same, "anything"),
    ("firstNonNull", ("first",), 1, False, partial(Edge, last=False, known=True), same, "anything"),
    ("last", ("last",), 1, False, partial(Edge, last=True, known=False), same, "anything"),
    ("lastNonNull", ("last",), 1, False, partial(Edge, last=True, known=True), same, "anything"),
    ("circularMean", ("circularMean",), 1, True, partial(Circular, summary=np.arctan2), doubles(), "numbers"),
    (
        "circularVariance",
        ("circularVariance",),
        1,
        True,
        partial(Circular, summary=lambda sine, cosine: 1 - _resultant(sine, cosine)),
        doubles(),
        "numbers",
    ),
    (
        "circularStddev",
        ("circularStdDev",),
        1,
        True,
        partial(Circular, summary=_circular_deviation),
        doubles(),
        "numbers",
    ),
)

REDUCERS = {
    name: accumulating(name, outputs, [weighted] * inputs, statistic, types, kind=kind)
    for name, outputs, inputs, weighted, statistic, types, kind in TABLE
}
