"""The distance to the nearest of many rows, for tables and for the tens of millions of rows of a map.

Rows that lie near each other are looked up together, 64 in the lanes of one loop that compilers turn into
vector instructions: a box of the tree is passed over where none of them can have its nearest row in it
(Bentley's k-d tree of 1975 with the boxes of its nodes, and the shared walk of Gray and Moore 2000). Of rows
with gaps, those that lack the same coordinates form one tree, and share a space without gaps with the asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from models import inference

numba = inference.numba

Rows = NDArray[np.float32]
Places = NDArray[np.intp]

LANES = 64  # rows looked up together: fewer leave the lanes of a loop no time to pay for its start
STEP = 6  # coordinates a loop over the lanes takes at once
LEAF = 64  # rows of a tree that are not split further
AXES = 6  # coordinates, of those that vary most, along which asked rows are put together
SAMPLE = 64  # of them, whose spread tells along which
LEAST_KNOWN = 0.5  # of the variance of all coordinates, for a point to have a distance
LEAST_SHARED = 0.9  # of the variance of a point's own, for a row to be compared with it
ROUNDING = 1e-9  # of sums of variances: half is half in any order
BITS = 62  # coordinates whose gaps a number counts at a time
EVERY = np.iinfo(np.int64).max  # leaves: as many as it takes
NEVER = np.float32(-1)  # a squared threshold no distance is within


def _jit(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel whose numbers are finite, so that sums may be put together in any order."""
    if numba is None:
        return kernel
    free = {"nnan", "ninf", "nsz", "contract", "reassoc", "arcp"}
    compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=free)(
        kernel
    )
    return compiled


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
def _group(points: Any, order: Any, axes: Any, starts: Any) -> int:
    """Put points that are near each other side by side in ``order``, in groups of ``LANES``.

    Returns:
        The number of groups; ``starts`` tells where each begins and the last one ends.
    """
    todo = np.empty((64, 2), np.int64)
    todo[0, 0], todo[0, 1] = 0, order.size
    top, count = 1, 0
    while top:
        top -= 1
        first, last = todo[top, 0], todo[top, 1]
        if last - first <= LANES:
            starts[count] = first
            count += 1
            continue
        step = max(1, (last - first) // SAMPLE)
        widest, axis = np.float32(-1), axes[0]
        for j in axes:
            low = high = points[j, order[first]]
            for i in range(first, last, step):
                low, high = min(low, points[j, order[i]]), max(high, points[j, order[i]])
            if high - low > widest:
                widest, axis = high - low, j
        half = first + (last - first + LANES - 1) // LANES // 2 * LANES
        _select(points[axis], order, first, last, half)
        todo[top, 0], todo[top, 1] = half, last
        todo[top + 1, 0], todo[top + 1, 1] = first, half
        top += 2
    starts[count] = order.size
    return count


@_jit
def _grow(points: Any, order: Any, first: Any, last: Any, right: Any, low: Any, high: Any) -> int:
    """Split points at the middle of the widest side of their box, over and over.

    Returns:
        The number of nodes. A node holds ``order[first:last]`` within its box; its left child is the next
        node, its right child ``right``, -1 for a leaf.
    """
    todo = np.empty((64, 3), np.int64)
    todo[0, 0], todo[0, 1], todo[0, 2] = 0, order.size, -1
    top, count = 1, 0
    while top:
        top -= 1
        begin, end, parent = todo[top, 0], todo[top, 1], todo[top, 2]
        if parent >= 0:
            right[parent] = count
        node = count
        count += 1
        first[node], last[node], right[node] = begin, end, -1
        widest, axis = np.float32(0), 0
        for j in range(len(points)):
            least = most = points[j, order[begin]]
            for i in range(begin, end):
                least, most = min(least, points[j, order[i]]), max(most, points[j, order[i]])
            low[node, j], high[node, j] = least, most
            if most - least > widest:
                widest, axis = most - least, j
        if end - begin > LEAF and widest > 0:
            half = begin + (end - begin + LEAF - 1) // LEAF // 2 * LEAF
            _select(points[axis], order, begin, end, half)
            todo[top, 0], todo[top, 1], todo[top, 2] = half, end, node
            todo[top + 1, 0], todo[top + 1, 1], todo[top + 1, 2] = begin, half, -1
            top += 2
    return count


@_jit
def _reach(asked: Any, within: Any, low: Any, high: Any, axes: Any, scale: Any, gap: Any) -> bool:
    """Whether a box is within reach of any lane; ``gap`` gets the squared distances to it.

    Only the first ``STEP`` axes count, which is a lower bound: the others hardly vary, and asking them too
    costs more than what they would let pass over.
    """
    zero, any_one = np.float32(0), np.int32(0)
    a0, a1, a2, a3, a4, a5 = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    l0, l1, l2, l3, l4, l5 = low[a0], low[a1], low[a2], low[a3], low[a4], low[a5]
    h0, h1, h2, h3, h4, h5 = high[a0], high[a1], high[a2], high[a3], high[a4], high[a5]
    for i in range(LANES):
        d0 = max(max(l0 - asked[a0, i], asked[a0, i] - h0), zero)
        d1 = max(max(l1 - asked[a1, i], asked[a1, i] - h1), zero)
        d2 = max(max(l2 - asked[a2, i], asked[a2, i] - h2), zero)
        d3 = max(max(l3 - asked[a3, i], asked[a3, i] - h3), zero)
        d4 = max(max(l4 - asked[a4, i], asked[a4, i] - h4), zero)
        d5 = max(max(l5 - asked[a5, i], asked[a5, i] - h5), zero)
        gap[i] = (d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4 + d5 * d5) * scale
        any_one |= np.int32(1) if gap[i] <= within[i] else np.int32(0)
    return bool(any_one != 0)


@_jit
def _compare(
    asked: Any, best: Any, rows: Any, first: Any, last: Any, axes: Any, scale: Any, gap: Any
) -> bool:
    """Take the squared distances to some rows where they are less than the best; whether any was."""
    found = False
    for row in range(first, last):
        any_one = np.int32(0)
        for i in range(LANES):
            gap[i] = np.float32(0)
        for c in range(0, axes.size, STEP):
            a0, a1, a2, a3, a4, a5 = axes[c], axes[c + 1], axes[c + 2], axes[c + 3], axes[c + 4], axes[c + 5]
            r0, r1, r2 = rows[row, a0], rows[row, a1], rows[row, a2]
            r3, r4, r5 = rows[row, a3], rows[row, a4], rows[row, a5]
            any_one = np.int32(0)
            for i in range(LANES):
                d0, d1, d2 = asked[a0, i] - r0, asked[a1, i] - r1, asked[a2, i] - r2
                d3, d4, d5 = asked[a3, i] - r3, asked[a4, i] - r4, asked[a5, i] - r5
                gap[i] += (d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4 + d5 * d5) * scale
                any_one |= np.int32(1) if gap[i] < best[i] else np.int32(0)
            if any_one == 0:
                break
        if any_one:
            found = True
            for i in range(LANES):
                best[i] = min(best[i], gap[i])
    return found


@_jit
def _walk(
    points: Any,
    order: Any,
    starts: Any,
    groups: Any,
    squared: Any,
    rows: Any,
    first: Any,
    last: Any,
    right: Any,
    low: Any,
    high: Any,
    axes: Any,
    scale: Any,
    leaves: Any,
    settled: Any,
) -> None:
    """Lower the squared distances of grouped points to what one tree holds.

    A point is done with where its distance is at most ``settled``; a group after so many leaves.
    """
    asked = np.zeros((len(points), LANES), np.float32)
    best, within = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    gap, other = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    todo = np.empty(64, np.int64)
    for group in range(groups):
        begin, end = starts[group], starts[group + 1]
        for i in range(LANES):
            at = order[min(begin + i, end - 1)]
            for j in range(len(points)):
                asked[j, i] = points[j, at]
            best[i] = squared[at]
            within[i] = best[i] if best[i] > settled else NEVER
        top, seen = 1, 0
        todo[0] = 0
        while top and seen < leaves:
            top -= 1
            node = todo[top]
            if not _reach(asked, within, low[node], high[node], axes, scale, gap):
                continue
            while node >= 0 and right[node] >= 0:
                near, far = node + 1, right[node]
                left = _reach(asked, within, low[near], high[near], axes, scale, gap)
                if not _reach(asked, within, low[far], high[far], axes, scale, other):
                    node = near if left else -1
                    continue
                if not left:
                    node = far
                    continue
                nearer = np.int32(0)
                for i in range(LANES):
                    nearer += np.int32(1) if gap[i] <= other[i] else np.int32(0)
                if 2 * nearer < LANES:
                    near, far = far, near
                todo[top] = far
                top += 1
                node = near
            if node >= 0:
                seen += 1
                if _compare(asked, best, rows, first[node], last[node], axes, scale, gap):
                    for i in range(LANES):
                        within[i] = best[i] if best[i] > settled else NEVER
        for i in range(end - begin):
            squared[order[begin + i]] = best[i]


@dataclass(frozen=True, eq=False)
class _Tree:
    """Rows that have the same coordinates, (n, k + 1), the last and the missing ones 0; see ``_grow``."""

    there: NDArray[np.bool_]
    rows: Rows
    first: Places
    last: Places
    right: Places
    low: Rows
    high: Rows

    @classmethod
    def of(cls, rows: Rows, there: NDArray[np.bool_]) -> _Tree:
        n, k = rows.shape
        points = np.zeros((k + 1, n), np.float32)
        points[:k] = np.where(there, rows, 0).T
        order, nodes = np.arange(n), 4 * (n // LEAF + 1)
        first, last, right = (np.empty(nodes, np.intp) for _ in range(3))
        low, high = (np.empty((nodes, k + 1), np.float32) for _ in range(2))
        count = _grow(points, order, first, last, right, low, high)
        return cls(
            there, np.ascontiguousarray(points[:, order].T), first[:count], last[:count], right[:count],
            low[:count], high[:count],
        )  # fmt: skip

    def walk(self, asked: _Asked, squared: Rows, *, leaves: int = EVERY, settled: np.float32 = NEVER) -> None:
        """Lower squared distances of asked points to what this tree holds."""
        if not asked.groups:
            return
        common = asked.axes[self.there[asked.axes]]
        k = len(self.there)
        axes = np.append(common, np.full(-len(common) % STEP, k))
        _walk(
            asked.points, asked.order, asked.starts, asked.groups, squared, self.rows, self.first, self.last,
            self.right, self.low, self.high, axes, np.float32(k / len(common)), leaves, settled,
        )  # fmt: skip


class _Asked:
    """Points that lack the same coordinates, those near each other in one group."""

    def __init__(self, points: Rows, order: Places, axes: Places) -> None:
        self.points, self.order, self.axes = points, order, axes
        self.starts = np.empty(len(order) // LANES + 2, np.intp)
        self.groups = _group(points, order, axes[:AXES], self.starts) if len(order) else 0


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
            trees = [_Tree.of(rows[own], there) for there, own in _by_presence(rows.T)]
            self._trees = sorted(trees, key=lambda one: -len(one.rows))

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

    def of_columns(self, columns: Rows, settled: float | None = None, leaves: int = 0) -> Rows:
        """The same of columns (k + 1, m), of which the last is 0; within ``settled`` only a bound.

        Args:
            columns: of the points.
            settled: a distance. Where the true one is not above it, what is returned is at least the true
                one and at most ``settled``: the least of what ``leaves`` leaves of a tree held, or later ones
                up to the first that is near enough. Everywhere else it is the true one. None: everywhere.
            leaves: looked at before points that are near enough are done with.
        """
        if numba is None:
            return self._by_library(columns)
        squared = np.full(columns.shape[1], np.inf, np.float32)
        # A hair less, so that the root of a square that is near enough is never above ``settled``.
        near = NEVER if settled is None else np.float32(settled**2 * (1 - 1e-6))
        for there, own in _by_presence(columns[:-1]):
            trees = [tree for tree in self._trees if self._comparable(there, tree.there)]
            if not trees:
                continue
            axes = self._axes[there[self._axes]]
            if settled is not None:
                trees[0].walk(_Asked(columns, own, axes), squared, leaves=leaves)
                own = own[squared[own] > near]
            asked = _Asked(columns, own, axes)
            for tree in trees:
                tree.walk(asked, squared, settled=near)
        return np.where(np.isinf(squared), np.float32(np.nan), np.sqrt(squared))

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
    for one in np.unique(code):
        own = np.flatnonzero(code == one)
        yield ~missing[:, own[0]], own
