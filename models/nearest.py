"""The distance to the nearest of many rows, for tables and for the tens of millions of rows of a map.

The rows are split into leaves of 48 that lie near each other (Bentley's k-d tree of 1975, with the boxes of
its nodes). A point goes down to one leaf by its own coordinates, and back up only to leaves whose boxes are
near enough; the rows of a leaf and the boxes of a group lie in the lanes of one loop, which compilers turn
into vector instructions. No point is helped by another, so what is found depends on the point alone. Of rows
with gaps, those that lack the same coordinates form one tree, and share a space without gaps with the point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from models import inference

numba = inference.numba

Rows = NDArray[np.float32]
Places = NDArray[np.intp]

LEAF = 48  # rows; more bring the bound of the first leaf nearer to the true distance, and cost
FAN = 16  # nodes whose boxes are compared at once
LEVELS = 4  # of halves between a node and those of its group: 16 of them
STEP = 6  # coordinates a loop over the lanes takes at once
TILE = 32  # points that go down side by side, so that none waits for what another loads
LEAST_KNOWN = 0.5  # of the variance of all coordinates, for a point to have a distance
LEAST_SHARED = 0.9  # of the variance of a point's own, for a row to be compared with it
ROUNDING = 1e-9  # of sums of variances: half is half in any order
BITS = 62  # coordinates whose gaps a number counts at a time
COUNTED = 16  # coordinates with gaps whose combinations are counted, which is faster than to sort
NEVER = np.float32(-1)  # a squared distance that none is within
FAR = np.float32(1e36)  # a squared distance of a point that was compared with no row
UNKNOWN = np.float32(1e35)  # those above are none: a scale may have changed ``FAR`` a little
NOWHERE = np.float32(1e15)  # where the boxes of empty leaves lie
# The number of the only bit of a word of 16, by the top four bits of its product with a de Bruijn sequence.
DE_BRUIJN = 0x09AF
NUMBER = np.array([0, 1, 2, 5, 3, 9, 6, 11, 15, 4, 8, 10, 14, 7, 13, 12])


def _jit(kernel: Callable[..., Any], inline: str = "never") -> Callable[..., Any]:
    """Compile a kernel whose numbers are finite, so that sums may be put together in any order.

    The order is the same for each point, as the lanes of the loops are rows or boxes and never points.
    """
    if numba is None:
        return kernel
    free = {"nnan", "ninf", "nsz", "contract", "reassoc", "arcp"}
    compiled: Callable[..., Any] = numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath=free, inline=inline
    )(kernel)
    return compiled


_jit_inside = partial(_jit, inline="always")  # of other kernels: a call with all its arrays costs as much


@_jit
def _select(values: Any, order: Any, first: Any, last: Any, middle: Any) -> None:
    """Put ``order[first:last]`` so that no value before ``middle`` is greater than one from there on."""
    low, high = first, last - 1
    while low < high:
        pivot = values[order[(low + high) // 2]]
        i, j = low, high
        while i <= j:
            while values[order[i]] < pivot:
                i += 1
            while values[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@_jit
def _grow(
    points: Any,
    order: Any,
    depth: Any,
    axis: Any,
    at: Any,
    block: Any,
    start: Any,
    low: Any,
    high: Any,
) -> None:
    """Halve points where they vary most, over and over; see ``_Tree``."""
    nodes = 2 ** (depth + 1) - 1
    first, last = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    last[0] = (order.size + LEAF - 1) // LEAF
    deep = 0
    for node in range(nodes):
        if node + 1 == 2 ** (deep + 1):
            deep += 1
        place = node + 1 - 2**deep
        begin, end = first[node] * LEAF, min(last[node] * LEAF, order.size)
        boxed = end > begin and deep > 0 and (depth - deep) % LEVELS == 0
        group, lane = start[(depth - deep) // LEVELS] + place // FAN if boxed else 0, place % FAN
        widest, chosen = -1.0, 0
        for j in range(len(points) if end > begin else 0):
            least = most = points[j, order[begin]]
            total, squares = 0.0, 0.0
            for i in range(begin, end):
                one = points[j, order[i]]
                least, most = min(least, one), max(most, one)
                total += one
                squares += np.float64(one) * one
            if boxed:
                low[group, j, lane], high[group, j, lane] = least, most
            spread = squares - total * total / (end - begin)
            if spread > widest:
                widest, chosen = spread, j
        if deep == depth:
            block[place] = min(first[node], last[0] - 1)
            continue
        half = last[node]
        axis[node], at[node] = chosen, FAR
        if last[node] - first[node] > 1:
            half = (first[node] + last[node] + 1) // 2
            _select(points[chosen], order, begin, end, half * LEAF)
            at[node] = points[chosen, order[half * LEAF]]
        left, right = 2 * node + 1, 2 * node + 2
        first[left], last[left], first[right], last[right] = first[node], half, half, last[node]


@_jit_inside
def _nearer(rows: Any, block: Any, point: Any, which: Any, axes: Any, best: Any) -> bool:
    """Whether a row of a leaf may be nearer than the best: by the first ``STEP`` axes it is."""
    any_one = np.int32(0)
    a0, a1, a2, a3, a4, a5 = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    p0, p1, p2 = point[which, a0], point[which, a1], point[which, a2]
    p3, p4, p5 = point[which, a3], point[which, a4], point[which, a5]
    for i in range(LEAF):
        d0, d1, d2 = rows[block, a0, i] - p0, rows[block, a1, i] - p1, rows[block, a2, i] - p2
        d3, d4, d5 = rows[block, a3, i] - p3, rows[block, a4, i] - p4, rows[block, a5, i] - p5
        gap = d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4 + d5 * d5
        any_one |= np.int32(1) if gap < best else np.int32(0)
    return bool(any_one != 0)


@_jit_inside
def _least(rows: Any, block: Any, point: Any, which: Any, axes: Any, best: Any, gap: Any) -> Any:
    """The least of the best and the squared distances to the rows of a leaf."""
    for i in range(LEAF):
        gap[i] = np.float32(0)
    for c in range(0, axes.size, STEP):
        a0, a1, a2, a3, a4, a5 = axes[c], axes[c + 1], axes[c + 2], axes[c + 3], axes[c + 4], axes[c + 5]
        p0, p1, p2 = point[which, a0], point[which, a1], point[which, a2]
        p3, p4, p5 = point[which, a3], point[which, a4], point[which, a5]
        any_one = np.int32(0)
        for i in range(LEAF):
            d0, d1, d2 = rows[block, a0, i] - p0, rows[block, a1, i] - p1, rows[block, a2, i] - p2
            d3, d4, d5 = rows[block, a3, i] - p3, rows[block, a4, i] - p4, rows[block, a5, i] - p5
            gap[i] += d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4 + d5 * d5
            any_one |= np.int32(1) if gap[i] < best else np.int32(0)
        if any_one == 0:
            return best
    b0 = b1 = b2 = b3 = best  # four, because each waits for its last
    for i in range(0, LEAF, 4):
        b0, b1 = min(b0, gap[i]), min(b1, gap[i + 1])
        b2, b3 = min(b2, gap[i + 2]), min(b3, gap[i + 3])
    return min(min(b0, b1), min(b2, b3))


@_jit_inside
def _reach(low: Any, high: Any, group: Any, point: Any, axes: Any, best: Any, gap: Any, level: Any) -> Any:
    """Which boxes of a group are nearer than the best, a bit each; ``gap`` gets the squared distances.

    Only the first ``STEP`` axes count, which is a lower bound: the others hardly vary, and asking them too
    costs more than what they would let pass over.
    """
    zero, within = np.float32(0), np.int32(0)
    a0, a1, a2, a3, a4, a5 = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    p0, p1, p2 = point[0, a0], point[0, a1], point[0, a2]
    p3, p4, p5 = point[0, a3], point[0, a4], point[0, a5]
    for i in range(FAN):
        d0 = max(max(low[group, a0, i] - p0, p0 - high[group, a0, i]), zero)
        d1 = max(max(low[group, a1, i] - p1, p1 - high[group, a1, i]), zero)
        d2 = max(max(low[group, a2, i] - p2, p2 - high[group, a2, i]), zero)
        d3 = max(max(low[group, a3, i] - p3, p3 - high[group, a3, i]), zero)
        d4 = max(max(low[group, a4, i] - p4, p4 - high[group, a4, i]), zero)
        d5 = max(max(low[group, a5, i] - p5, p5 - high[group, a5, i]), zero)
        one = d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4 + d5 * d5
        gap[level, i] = one
        within |= np.int32(1 << i) if one < best else np.int32(0)
    return np.int64(within)


@_jit_inside
def _least_lane(gap: Any, level: Any) -> int:
    """The lane of the nearest box of a group."""
    lane, best = 0, gap[level, 0]
    for i in range(1, FAN):
        lane = i if gap[level, i] < best else lane
        best = min(best, gap[level, i])
    return lane


@_jit
def _glance(
    points: Any,
    own: Any,
    squared: Any,
    rows: Any,
    block: Any,
    depth: Any,
    axis: Any,
    at: Any,
    axes: Any,
    scale: Any,
) -> None:
    """Squared distances of some points to the nearest row of the leaf that they themselves would lie in."""
    tile, gap = np.zeros((TILE, rows.shape[1]), np.float32), np.empty(LEAF, np.float32)
    node = np.empty(TILE, np.int64)
    for begin in range(0, own.size, TILE):
        some = min(TILE, own.size - begin)
        for a in axes:
            for i in range(some):
                tile[i, a] = points[a, own[begin + i]]
        node[:] = 0
        for _ in range(depth):
            for i in range(some):
                node[i] = 2 * node[i] + (2 if tile[i, axis[node[i]]] >= at[node[i]] else 1)
        for i in range(some):
            leaf = block[node[i] + 1 - 2**depth]
            squared[own[begin + i]] = _least(rows, leaf, tile, i, axes, FAR, gap) * scale


@_jit
def _search(
    points: Any,
    squared: Any,
    rows: Any,
    block: Any,
    start: Any,
    low: Any,
    high: Any,
    axes: Any,
    scale: Any,
    near: Any,
) -> None:
    """Lower squared distances of points to those to all rows, or to the first at most ``near``."""
    levels = start.size
    point, gap = np.zeros((1, rows.shape[1]), np.float32), np.empty(LEAF, np.float32)
    boxes = np.empty((levels, FAN), np.float32)
    within, child, fresh = np.empty(levels, np.int64), np.empty(levels, np.int64), np.empty(levels, np.int64)
    enough = near / scale
    for one in range(squared.size):
        best = squared[one] / scale
        if best <= enough:
            continue
        for a in axes:
            point[0, a] = points[a, one]
        level, place = levels, 0
        while best > enough:
            if level == 0:
                if _nearer(rows, block[place], point, 0, axes, best):
                    best = _least(rows, block[place], point, 0, axes, best, gap)
            else:
                level -= 1
                within[level] = _reach(low, high, start[level] + place, point, axes, best, boxes, level)
                child[level], fresh[level] = place * FAN, 1
            while level < levels:
                left = within[level]
                if left == 0:
                    level += 1
                    continue
                lane = NUMBER[((left & -left) * DE_BRUIJN & 0xFFFF) >> 12]
                if fresh[level] and left & (left - 1):
                    lane = _least_lane(boxes, level)
                fresh[level] = 0
                within[level] = left & ~(1 << lane)
                if boxes[level, lane] < best:
                    place = child[level] + lane
                    break
            if level == levels:
                break
        squared[one] = min(squared[one], best * scale)


@dataclass(frozen=True, eq=False)
class _Tree:
    """Rows that have the same k coordinates, in a binary tree whose leaves are all at the same depth.

    Attributes:
        there: (k,) which coordinates they have.
        rows: (leaves, k + 1, ``LEAF``) the last coordinate and the missing ones 0; the last leaf repeats one.
        block: (2^depth,) the leaf at each place of the last level. Empty places have that of another.
        axis: (2^depth - 1,) which coordinate parts a node, the root first, level by level.
        at: (2^depth - 1,) where; a point that is not below goes right.
        start: (levels,) the first group of boxes of each level that has some: the last, and up from there
            every ``LEVELS``-th.
        low: (groups, k + 1, ``FAN``) lower corners of the boxes of a group.
        high: (groups, k + 1, ``FAN``) upper corners.
    """

    there: NDArray[np.bool_]
    rows: Rows
    block: Places
    axis: Places
    at: Rows
    start: Places
    low: Rows
    high: Rows

    @classmethod
    def of(cls, rows: Rows, there: NDArray[np.bool_]) -> _Tree:
        n, k = rows.shape
        points = np.zeros((k + 1, n), np.float32)
        points[:k] = np.where(there, rows, 0).T
        order, leaves = np.arange(n), -(-n // LEAF)
        depth = (leaves - 1).bit_length()
        groups = [2 ** max(up - LEVELS, 0) for up in range(depth, 0, -LEVELS)]
        start = np.cumsum([0, *groups])
        low = np.full((start[-1], k + 1, FAN), NOWHERE, np.float32)
        high, block = low.copy(), np.empty(2**depth, np.intp)
        axis, at = np.empty(2**depth - 1, np.intp), np.empty(2**depth - 1, np.float32)
        _grow(points, order, depth, axis, at, block, start, low, high)
        filled = order[np.minimum(np.arange(leaves * LEAF), n - 1)]
        lanes = np.ascontiguousarray(points[:, filled].reshape(k + 1, leaves, LEAF).swapaxes(0, 1))
        return cls(there, lanes, block, axis, at, start[:-1], low, high)

    def glance(self, points: Rows, own: Places, axes: Places, squared: Rows) -> None:
        """Squared distances of some points to a row that is near, and mostly not the nearest."""
        depth = len(self.block).bit_length() - 1
        _glance(points, own, squared, self.rows, self.block, depth, self.axis, self.at, *self._shared(axes))

    def search(self, points: Rows, axes: Places, squared: Rows, near: np.float32) -> None:
        """Lower squared distances of points to those to all rows, or to the first at most ``near``."""
        _search(
            points, squared, self.rows, self.block, self.start, self.low, self.high,
            *self._shared(axes), near,
        )  # fmt: skip

    def _shared(self, axes: Places) -> tuple[Places, np.float32]:
        """Those of a point's axes that the rows have, and the factor of a squared distance over them."""
        common, k = axes[self.there[axes]], len(self.there)
        return np.append(common, np.full(-len(common) % STEP, k)), np.float32(k / len(common))


class Nearest:
    """Rows among which the nearest is looked for.

    A row that lacks what varies most would be near to any point, and be its nearest for no other reason. So a
    row is compared with a point only where it has 90 % of the variance of the coordinates that the point has,
    and a point has a distance only where it has half of that of all.

    Args:
        rows: (n, k), not finite where missing; n and k at least 1.
    """

    def __init__(self, rows: Rows) -> None:
        k = rows.shape[1]
        spread = np.ma.masked_invalid(rows).var(axis=0, dtype=np.float64).filled(0)
        self._spread = spread if spread.any() else np.ones(k)
        self._axes = np.argsort(-spread, kind="stable")
        self._k = k
        if numba is None:
            self._plain = [(there, rows[own]) for there, own in _by_presence(rows.T)]
        else:
            parts = sorted(_by_presence(rows.T), key=lambda part: -len(part[1]))
            self._trees = [_Tree.of(rows[own], there) for there, own in parts]

    def distance(self, points: Rows) -> Rows:
        """Distance to the nearest row.

        Args:
            points: (m, k), not finite where missing.

        Returns:
            (m,). Over the c coordinates that both have, a squared distance is multiplied by k / c, as in
            scikit-learn's ``nan_euclidean_distances``; NaN where a point is comparable with no row.
        """
        columns = np.zeros((self._k + 1, len(points)), np.float32)
        columns[: self._k] = points.T
        return self.of_columns(columns)

    def of_columns(self, columns: Rows, settled: float | None = None) -> Rows:
        """The same of columns (k + 1, m), of which the last is 0; within ``settled`` only a bound.

        Args:
            columns: of the points.
            settled: a distance. Where the true one is not above it, what is returned is at least the true
                one and at most ``settled``; everywhere else it is the true one. None: everywhere.

        Returns:
            (m,). The bound hangs on the point alone, as the distance does: it is that to the nearest row of
            the leaf the point itself would lie in, or of the first on the way up that is near enough.
        """
        if numba is None:
            return self._by_library(columns)
        squared = np.full(columns.shape[1], FAR, np.float32)
        # A hair less, so that the root of a square that is near enough is never above ``settled``.
        near = NEVER if settled is None else np.float32(settled**2 * (1 - 1e-6))
        for there, own in _by_presence(columns[:-1]):
            axes = self._axes[there[self._axes]]
            trees = [tree for tree in self._trees if self._comparable(there, tree.there)]
            if trees:
                trees[0].glance(columns, own, axes, squared)
            own = own[squared[own] > near]
            left, best = columns[:, own], squared[own]  # side by side, as each tree asks them all
            for tree in trees:
                tree.search(left, axes, best, near)
            squared[own] = best
        return np.where(squared < UNKNOWN, np.sqrt(squared), np.float32(np.nan))

    def _comparable(self, point: NDArray[np.bool_], row: NDArray[np.bool_]) -> bool:
        """Whether what a point has suffices, and what a row has of that."""
        own, shared = float(self._spread[point].sum()), float(self._spread[point & row].sum())
        if not (point & row).any() or own < (LEAST_KNOWN - ROUNDING) * float(self._spread.sum()):
            return False
        return shared >= (LEAST_SHARED - ROUNDING) * own

    def _by_library(self, columns: Rows) -> Rows:
        found = np.full(columns.shape[1], np.inf)
        for asked, at in _by_presence(columns[:-1]):
            for there, rows in self._plain:
                common = np.flatnonzero(asked & there)
                if self._comparable(asked, there):
                    tree = cKDTree(rows[:, common], balanced_tree=False)
                    distance, _ = tree.query(columns[np.ix_(common, at)].T)
                    found[at] = np.minimum(found[at], distance * np.sqrt(self._k / len(common)))
        return np.where(np.isinf(found), np.nan, found).astype(np.float32)


def _by_presence(columns: Rows) -> Iterator[tuple[NDArray[np.bool_], Places]]:
    """The ways in which coordinates are missing: which are there, and the points that have just these."""
    missing = ~np.isfinite(columns)  # the kernels take numbers for finite
    gaps = np.flatnonzero(missing.any(axis=1))
    code = np.zeros(columns.shape[1], np.int64)
    for number, j in enumerate(gaps, start=1):
        code = 2 * code + missing[j]
        if number % BITS == 0:
            code = np.unique(code, return_inverse=True)[1]
    few = len(gaps) <= COUNTED
    for one in np.flatnonzero(np.bincount(code)) if few else np.unique(code):
        own = np.flatnonzero(code == one)
        yield ~missing[:, own[0]], own
