"""Fast prediction of maps: what a pixel keeps from day to day is looked up once for all days.

Half of the predictors of a map are those of the ground, which stay, or of the day, which all pixels share. In
the tables of ``models.inference`` each comparison is a look-up whose result is combined by AND or OR, in any
order; so those of the ground are combined once for each pixel, those of the day once for each day, and only
the others for each pixel and day. The result is that of ``models.inference`` bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import SampleError
from models.inference import (
    ALL_LEAVES,
    DE_BRUIJN,
    CompiledStack,
    Predictor,
    add_by_levels,
    add_by_masks,
    count_edges,
    jit,
    recode,
)
from models.stack import StackedRegressor

STILL, DAILY, MOVING = range(3)  # kinds of predictors: of the ground, of the day, of both
KINDS = 3
SHEET = 16_384  # pixels times days at once: half as many cost 10 % more, and the codes must stay in the cache


@jit
def _gather(plane: Any, pixels: Any, value: Any) -> None:
    """Values (days * pixels,) of some pixels of a plane (days, all pixels), day after day."""
    for day in range(plane.shape[0]):
        for i in range(pixels.size):
            value[day * pixels.size + i] = plane[day, pixels[i]]


@jit
def _masks_on_days(
    still: Any, daily: Any, moving: Any, start: Any, column: Any, table: Any, value: Any, out: Any
) -> None:
    """As ``add_by_masks``; ``start`` (trees, 4): where the columns of each kind begin, where the last end."""
    pixels, days = still.shape[1], daily.shape[1]
    base = np.empty(pixels, np.uint64)
    mask = np.empty(days * pixels, np.uint64)
    for tree in range(len(start)):
        base[:] = np.uint64(ALL_LEAVES)
        for k in range(start[tree, 0], start[tree, 1]):
            code, look_up = still[column[k]], table[k]
            for i in range(pixels):
                base[i] &= look_up[code[i]]
        for day in range(days):
            one = np.uint64(ALL_LEAVES)
            for k in range(start[tree, 1], start[tree, 2]):
                one &= table[k][daily[column[k], day]]
            part = mask[day * pixels : (day + 1) * pixels]
            for i in range(pixels):
                part[i] = base[i] & one
        for k in range(start[tree, 2], start[tree, 3]):
            code, look_up = moving[column[k]], table[k]
            for i in range(mask.size):
                mask[i] &= look_up[code[i]]
        leaf = value[tree]
        for i in range(mask.size):
            lowest = mask[i] & (~mask[i] + np.uint64(1))
            out[i] += leaf[(lowest * np.uint64(DE_BRUIJN)) >> np.uint64(58)]


@jit
def _levels_on_days(
    still: Any,
    daily: Any,
    moving: Any,
    start: Any,
    column: Any,
    exceed: Any,
    bit: Any,
    first: Any,
    value: Any,
    out: Any,
) -> None:
    """As ``add_by_levels``, each level with its bit; ``start`` as for ``_masks_on_days``."""
    pixels, days = still.shape[1], daily.shape[1]
    base = np.empty(pixels, np.uint16)
    number = np.empty(days * pixels, np.uint16)
    for tree in range(len(start)):
        base[:] = 0
        for k in range(start[tree, 0], start[tree, 1]):
            code, least, own = still[column[k]], exceed[k], bit[k]
            for i in range(pixels):
                base[i] |= own if code[i] > least else np.uint16(0)
        for day in range(days):
            one = np.uint16(0)
            for k in range(start[tree, 1], start[tree, 2]):
                one |= bit[k] if daily[column[k], day] > exceed[k] else np.uint16(0)
            part = number[day * pixels : (day + 1) * pixels]
            for i in range(pixels):
                part[i] = base[i] | one
        for k in range(start[tree, 2], start[tree, 3]):
            code, least, own = moving[column[k]], exceed[k], bit[k]
            for i in range(number.size):
                number[i] |= own if code[i] > least else np.uint16(0)
        leaf = value[first[tree] :]
        for i in range(number.size):
            out[i] += leaf[number[i]]


class _Order(NamedTuple):
    """Where the columns of a part's trees go once they are sorted by kind.

    Attributes:
        sort: positions in the part's tables, tree by tree, kind by kind.
        start: (trees, 4) where the columns of each kind begin among them, and where the last end.
        column: of each, among the member's columns of its kind.
    """

    sort: NDArray[np.intp]
    start: NDArray[np.intp]
    column: NDArray[np.intp]


class _Columns:
    """A member's columns of codes by kind.

    Args:
        feature: of each column.
        table: (columns, codes) from shared codes to the member's.
        kinds: of each feature.
        place: of each feature among those of its kind.
    """

    def __init__(
        self, feature: NDArray[np.intp], table: NDArray[Any], kinds: NDArray[np.intp], place: NDArray[np.intp]
    ) -> None:
        self.kind = kinds[feature]
        own = [np.flatnonzero(self.kind == kind) for kind in range(KINDS)]
        self.place = np.empty(len(feature), np.intp)
        for columns in own:
            self.place[columns] = np.arange(len(columns))
        self.feature = [place[feature[columns]] for columns in own]
        self.table = [np.ascontiguousarray(table[columns]) for columns in own]

    def codes(self, shared: Sequence[NDArray[np.uint16]]) -> list[NDArray[Any]]:
        """The member's codes of each kind, from those shared by all members."""
        found = []
        for codes, feature, table in zip(shared, self.feature, self.table, strict=True):
            own = np.empty((len(feature), codes.shape[1]), table.dtype)
            recode(codes, feature, table, own)
            found.append(own)
        return found

    def order(self, start: NDArray[np.intp], column: NDArray[np.intp]) -> _Order:
        """How a part's columns are sorted, those of a tree being ``column[start[tree]:start[tree + 1]]``."""
        tree = np.repeat(np.arange(len(start) - 1), np.diff(start))
        kind = self.kind[column]
        counts = np.zeros((len(start) - 1, KINDS), np.intp)
        np.add.at(counts, (tree, kind), 1)
        begin = start[:-1, None] + np.cumsum(counts, axis=1)
        sort = np.lexsort((kind, tree))
        return _Order(sort, np.column_stack([start[:-1], begin]), self.place[column[sort]])

    def spread(self, codes: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The codes of all columns for each row."""
        still, daily, _ = codes
        rows = np.empty((len(self.kind), daily.shape[1], still.shape[1]), still.dtype)
        for row, kind, place in zip(rows, self.kind, self.place, strict=True):
            own = codes[kind][place]
            row[:] = own[:, None] if kind == DAILY else own.reshape(-1, still.shape[1])
        return rows.reshape(len(self.kind), -1)


class _Member:
    """One library's model on maps."""

    def __init__(self, columns: _Columns, base: float, parts: Sequence[tuple[Any, tuple[Any, ...]]]) -> None:
        self.columns, self.base = columns, base
        self.sorted: list[tuple[Any, tuple[Any, ...]]] = []
        self.others: list[tuple[Any, tuple[Any, ...]]] = []  # kernels that take the codes of each row
        for kernel, tables in parts:
            if kernel is add_by_masks:
                start, column, table, value = tables
                order = columns.order(start, column)
                self.sorted.append((_masks_on_days, (order.start, order.column, table[order.sort], value)))
            elif kernel is add_by_levels:
                start, column, exceed, first, value = tables
                order = columns.order(start, column)
                level = np.arange(len(column)) - np.repeat(start[:-1], np.diff(start))
                bit = (1 << level).astype(np.uint16)
                self.sorted.append((
                    _levels_on_days,
                    (order.start, order.column, exceed[order.sort], bit[order.sort], first, value),
                ))  # fmt: skip
            else:
                self.others.append((kernel, tables))

    def predict(self, shared: Sequence[NDArray[np.uint16]], out: NDArray[np.float64]) -> None:
        """Write the predictions of a sheet, (days * pixels,), day after day."""
        codes = self.columns.codes(shared)
        out[:] = self.base
        for kernel, tables in self.sorted:
            kernel(*codes, *tables, out)
        if self.others:
            rows = self.columns.spread(codes)
            for kernel, tables in self.others:
                kernel(rows, *tables, out)


class GridPredictor:
    """Predicts pixels on days, on one thread, with scratch memory of a few thousand rows.

    Args:
        stack: a fitted ``StackedRegressor``.
        kinds: of each of its predictors, ``STILL``, ``DAILY`` or ``MOVING``.

    Attributes:
        backend: as ``models.inference.Predictor`` chose it: where the libraries predict themselves, they are
            handed rows.
    """

    def __init__(self, stack: StackedRegressor, kinds: Sequence[int]) -> None:
        self._rows = Predictor(stack, threads=1)
        self.backend = self._rows.backend
        if len(kinds) != self._rows.features:
            raise SampleError(f"the model takes {self._rows.features} predictors, not {len(kinds)}")
        engine = self._rows._engine
        self._engine = engine if isinstance(engine, CompiledStack) else None
        kind = np.array(kinds, np.intp)
        self._own = [np.flatnonzero(kind == one) for one in range(KINDS)]
        place = np.empty(len(kinds), np.intp)
        for features in self._own:
            place[features] = np.arange(len(features))
        if self._engine is not None:
            self._weights = self._engine.weights[self._engine.weighted]
            weighted = [
                (self._engine._members[one], self._engine._tables[one]) for one in self._engine.weighted
            ]
            self._members = [
                _Member(_Columns(member.columns.feature, table, kind, place), member.base, member.parts)
                for member, table in weighted
            ]

    def predict(
        self, features: Sequence[NDArray[np.float32]], pixels: NDArray[np.intp], days: int
    ) -> NDArray[np.float64]:
        """The stacked prediction of some pixels on all days.

        Args:
            features: of each predictor in the order of training, NaN where missing: (1, n) of the ground,
                (days, 1) of the day, (days, n) of both.
            pixels: which of the n.
            days: their number.

        Returns:
            (days, pixels), in the units of the target.
        """
        found = np.empty((days, len(pixels)))
        if self._engine is None:
            columns = [one[:, pixels] if one.shape[1] > 1 else one for one in features]
            X = np.stack([np.broadcast_to(one, found.shape).ravel() for one in columns], axis=1)
            self._rows.predict(X, found.reshape(-1))
            return found
        daily = self._codes(self._engine, features, DAILY, np.zeros(1, np.intp), days)
        size = max(1, SHEET // days)
        for at in range(0, len(pixels), size):
            some = pixels[at : at + size]
            still = self._codes(self._engine, features, STILL, some, len(some))
            moving = self._codes(self._engine, features, MOVING, some, days * len(some))
            members = np.empty((len(self._members), days * len(some)))
            for member, out in zip(self._members, members, strict=True):
                member.predict((still, daily, moving), out)
            found[:, at : at + size] = (members.T @ self._weights).reshape(days, -1)
        return found

    def _codes(
        self,
        engine: CompiledStack,
        features: Sequence[NDArray[np.float32]],
        kind: int,
        pixels: NDArray[np.intp],
        size: int,
    ) -> NDArray[np.uint16]:
        """Shared codes of the predictors of a kind, (predictors, size)."""
        codes = np.empty((len(self._own[kind]), size), np.uint16)
        value = np.empty(size, np.float32)
        for feature, row in zip(self._own[kind], codes, strict=True):
            _gather(features[int(feature)], pixels, value)
            # Called from here, not from a kernel: Numba's cache would not see a change in the other module.
            count_edges(value, engine._padded[feature], engine._size[feature], row)
        return codes
