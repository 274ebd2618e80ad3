"""Fast prediction of a fitted stack on large arrays, in memory that does not grow with the rows.

The three libraries walk their trees row by row; here the features are binned once for all members and every
tree becomes a few table look-ups over a block of rows, which compilers turn into vector instructions. Trees
of up to 64 leaves are evaluated as bit masks of reachable leaves (QuickScorer: Lucchese et al. 2015, without
its feature-wise merging), larger ones level by level, CatBoost's by the bits of their levels.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import SampleError
from models.learners import cores
from models.stack import StackedRegressor
from models.trees import READERS, Forest, ObliviousTree, Splits, Tree

numba: Any
try:
    import numba
except ImportError:  # the libraries then predict themselves
    numba = None

BLOCK = 2048  # rows evaluated together: codes and masks of a block stay in the level-2 cache
NATIVE_BLOCK = 65_536  # rows a call when the libraries predict: their calls cost more to start
WAVE = 64  # blocks handed to each thread at a time: one that waits holds 2 kB
MASK_LEAVES = 64  # one bit a leaf in a machine word
AGREEMENT = 1e-6  # m³/m³; float32 sums of XGBoost differ from float64 ones by about 4e-7
PROBES = 512  # rows on which both are compared before the compiled trees are used
ALL_LEAVES = 2**64 - 1
DE_BRUIJN = 0x03F79D71B4CB0A89  # times a power of two, its top six bits name the power
LARGEST = np.finfo(np.float32).max
NEVER_RIGHT = 0xFFFF  # a code no row exceeds

Backend = Literal["auto", "compiled", "native"]


def jit(kernel: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel so that blocks run side by side, without the interpreter's lock."""
    if numba is None:
        return kernel
    compiled: Callable[..., None] = numba.njit(nogil=True, cache=True, error_model="numpy")(kernel)
    return compiled


@jit
def count_edges(value: Any, edge: Any, last: Any, codes: Any) -> None:
    """Codes of the values of a feature: how many of its edges are <= it; ``last`` + 1 where it is missing.

    ``edge`` holds ``last`` edges and infinity up to 2^k - 1, so that every search takes the same k steps.
    """
    rows = value.size
    at = np.zeros(rows, np.int32)
    half = np.int32((edge.size + 1) // 2)
    while half > 0:
        for i in range(rows):
            at[i] += half if edge[at[i] + half - 1] <= value[i] else np.int32(0)
        half //= 2
    for i in range(rows):
        codes[i] = last + 1 if np.isnan(value[i]) else min(at[i], last)


@jit
def _bin(X: Any, edges: Any, size: Any, codes: Any) -> None:
    """Codes (features, rows) of X (rows, features); the edges of each feature as ``count_edges`` has them."""
    rows = X.shape[0]
    value = np.empty(rows, np.float32)
    for feature in range(edges.shape[0]):
        for i in range(rows):
            value[i] = X[i, feature]
        count_edges(value, edges[feature], size[feature], codes[feature])


@jit
def recode(codes: Any, feature: Any, table: Any, out: Any) -> None:
    """Codes (columns, rows) among one member's own edges, from the codes among the edges of all members."""
    for column in range(feature.size):
        source, target, look_up = codes[feature[column]], out[column], table[column]
        for i in range(source.size):
            target[i] = look_up[source[i]]


@jit
def add_by_masks(codes: Any, start: Any, column: Any, table: Any, value: Any, out: Any) -> None:
    """Add each tree's leaf: the lowest bit left standing by the masks of all columns the tree compares."""
    rows = out.size
    mask = np.empty(rows, np.uint64)
    for tree in range(start.size - 1):
        mask[:] = np.uint64(ALL_LEAVES)
        for k in range(start[tree], start[tree + 1]):
            code, look_up = codes[column[k]], table[k]
            for i in range(rows):
                mask[i] &= look_up[code[i]]
        leaf = value[tree]
        for i in range(rows):
            lowest = mask[i] & (~mask[i] + np.uint64(1))
            out[i] += leaf[(lowest * np.uint64(DE_BRUIJN)) >> np.uint64(58)]


@jit
def add_by_levels(codes: Any, start: Any, column: Any, exceed: Any, first: Any, value: Any, out: Any) -> None:
    """Add each oblivious tree's leaf, whose number is put together bit by bit."""
    rows = out.size
    number = np.empty(rows, np.uint16)
    for tree in range(start.size - 1):
        number[:] = 0
        for k in range(start[tree], start[tree + 1]):
            code, least, bit = codes[column[k]], exceed[k], np.uint16(1 << (k - start[tree]))
            for i in range(rows):
                number[i] |= bit if code[i] > least else np.uint16(0)
        leaf = value[first[tree] :]
        for i in range(rows):
            out[i] += leaf[number[i]]


@jit
def _walk(codes: Any, root: Any, depth: Any, node: Any, value: Any, out: Any) -> None:
    """Add each tree's leaf, a block of rows one level at a time; a leaf is its own child.

    A node is one word: left child << 32 | column << 16 | the code that a row must exceed to go right.
    """
    rows = out.size
    at = np.empty(rows, np.int64)
    for tree in range(root.size):
        at[:] = root[tree]
        for _ in range(depth[tree]):
            for i in range(rows):
                word = node[at[i]]
                right = codes[(word >> 16) & 0xFFFF, i] > (word & NEVER_RIGHT)
                at[i] = (word >> 32) + (1 if right else 0)
        for i in range(rows):
            out[i] += value[at[i]]


class _Columns:
    """The columns of codes a member reads: one per feature and side to which missing values go.

    A missing value gets code 0, below every threshold, in a column of the left side, and the largest code,
    above every threshold, in one of the right; so trees compare codes and never ask whether a value is there.
    """

    def __init__(self, splits: Splits) -> None:
        pairs = sorted(set(zip(splits.feature.tolist(), splits.missing_right.tolist(), strict=True)))
        self.number = {pair: k for k, pair in enumerate(pairs)}
        self.feature = np.array([feature for feature, _ in pairs], np.intp)
        self.edges = [np.unique(splits.threshold[splits.feature == feature]) for feature in self.feature]
        self.top = max((len(own) for own in self.edges), default=0) + 1
        self.kind = np.uint8 if self.top <= np.iinfo(np.uint8).max else np.uint16

    def locate(self, splits: Splits) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Column of each split, and the code that a row must exceed to go right there."""
        pairs = zip(splits.feature.tolist(), splits.missing_right.tolist(), strict=True)
        column = np.array([self.number[pair] for pair in pairs], np.intp)
        exceed = [np.searchsorted(self.edges[k], t) for k, t in zip(column, splits.threshold, strict=True)]
        return column, np.array(exceed, np.intp)

    def table(self, edges: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """(columns, codes) from the codes among ``edges``, those of all members, to this member's own."""
        table = np.zeros((len(self.number), max(map(len, edges)) + 2), self.kind)
        for (feature, missing_right), k in self.number.items():
            least = np.append(np.float32(-np.inf), edges[feature])
            table[k, : len(least)] = np.searchsorted(self.edges[k], least, side="right")
            table[k, len(least)] = self.top if missing_right else 0
        return table


Part = tuple[Any, tuple[Any, ...]]  # a kernel and its tables


def _mask_part(trees: Sequence[Tree], columns: _Columns) -> Part:
    slot = np.array([((DE_BRUIJN << k) & ALL_LEAVES) >> 58 for k in range(MASK_LEAVES)])
    value = np.zeros((len(trees), MASK_LEAVES))
    start, column, tables = [0], [], []
    for number, tree in enumerate(trees):
        leaves, below = _leaf_order(tree)
        value[number, slot[: len(leaves)]] = tree.value[leaves]
        at, exceed = columns.locate(tree.splits)
        for one in np.unique(at):
            table = np.full(columns.top + 1, ALL_LEAVES, np.uint64)
            for node, code in zip(tree.inner[at == one], exceed[at == one], strict=True):
                begin, end = below[tree.left[node]]
                table[code + 1 :] &= np.uint64(ALL_LEAVES ^ ((1 << end) - (1 << begin)))
            column.append(one)
            tables.append(table)
        start.append(len(column))
    return add_by_masks, (np.array(start), np.array(column), np.array(tables), value)


def _leaf_order(tree: Tree) -> tuple[list[int], dict[int, tuple[int, int]]]:
    """Leaves from left to right, and for each node the range of that order which lies below it."""
    leaves: list[int] = []
    below: dict[int, tuple[int, int]] = {}
    stack = [(0, False)]
    while stack:
        node, children_done = stack.pop()
        left, right = int(tree.left[node]), int(tree.right[node])
        if left < 0:
            below[node] = (len(leaves), len(leaves) + 1)
            leaves.append(node)
        elif children_done:
            below[node] = (below[left][0], below[right][1])
        else:
            stack += [(node, True), (right, False), (left, False)]
    return leaves, below


def _walk_part(trees: Sequence[Tree], columns: _Columns) -> Part:
    root, depth, words, values = [0], [], [], []
    for tree in trees:
        order, levels = _level_order(tree)
        place = np.empty(len(order), np.int64)
        place[order] = root[-1] + np.arange(len(order))
        word = (place << 32) | NEVER_RIGHT
        column, exceed = columns.locate(tree.splits)
        word[tree.inner] = (place[tree.left[tree.inner]] << 32) | (column << 16) | exceed
        words.append(word[order])
        values.append(tree.value[order])
        depth.append(levels)
        root.append(root[-1] + len(order))
    return _walk, (np.array(root[:-1]), np.array(depth), np.concatenate(words), np.concatenate(values))


def _level_order(tree: Tree) -> tuple[NDArray[np.intp], int]:
    """Nodes level by level, each right child directly behind its left sibling, and the number of levels."""
    order, level, levels = [0], [0], -1
    while level:
        level = [
            int(child)
            for node in level
            if tree.left[node] >= 0
            for child in (tree.left[node], tree.right[node])
        ]
        order += level
        levels += 1
    return np.array(order, np.intp), levels


def _level_part(trees: Sequence[ObliviousTree], columns: _Columns) -> Part:
    start = np.cumsum([0, *(len(tree.splits.feature) for tree in trees)])
    first = np.cumsum([0, *(len(tree.value) for tree in trees)])
    column, exceed = columns.locate(Splits.joined([tree.splits for tree in trees]))
    return add_by_levels, (start, column, exceed, first, np.concatenate([tree.value for tree in trees]))


class _Member:
    """One library's model, compiled: base value, columns, and a kernel with its tables per kind of tree."""

    def __init__(self, forest: Forest) -> None:
        stumps = [tree for tree in forest.trees if isinstance(tree, Tree) and tree.leaves == 1]
        small = [tree for tree in forest.trees if isinstance(tree, Tree) and 1 < tree.leaves <= MASK_LEAVES]
        large = [tree for tree in forest.trees if isinstance(tree, Tree) and tree.leaves > MASK_LEAVES]
        level = [tree for tree in forest.trees if isinstance(tree, ObliviousTree)]
        self.base = forest.base + sum(float(tree.value[0]) for tree in stumps)
        self.splits = Splits.joined([tree.splits for tree in forest.trees])
        self.columns = _Columns(self.splits)
        self.parts: list[Part] = []
        if small:
            self.parts.append(_mask_part(small, self.columns))
        if large:
            self.parts.append(_walk_part(large, self.columns))
        if level:
            self.parts.append(_level_part(level, self.columns))


class CompiledStack:
    """The members of a fitted stack as tables over shared bins.

    Args:
        stack: a fitted ``StackedRegressor`` of the three libraries.

    Raises:
        KeyError: a learner whose trees cannot be read.
    """

    def __init__(self, stack: StackedRegressor) -> None:
        self.weights = np.asarray(stack.weights_, np.float64)
        self.weighted = np.flatnonzero(self.weights)
        self._members = [_Member(READERS[one.name](stack.models_[one.name])) for one in stack.learners]
        splits = Splits.joined([member.splits for member in self._members])
        edges = [np.unique(splits.threshold[splits.feature == k]) for k in range(stack.n_features_in_)]
        self.edges = edges
        self._size = np.array([len(own) for own in edges], np.int32)
        self._padded = np.full((len(edges), 2 ** int(self._size.max()).bit_length() - 1), np.inf, np.float32)
        for row, own in zip(self._padded, edges, strict=True):
            row[: len(own)] = own
        self._tables = [member.columns.table(edges) for member in self._members]

    def members(self, X: NDArray[np.float32], only: NDArray[np.intp]) -> NDArray[np.float64]:
        """Predictions (n, m) of a block of rows by ``only`` some of the members, by number."""
        rows = len(X)
        shared = np.empty((X.shape[1], rows), np.uint16)
        _bin(X, self._padded, self._size, shared)
        out = np.empty((len(only), rows))
        for number, total in zip(only, out, strict=True):
            member, table = self._members[number], self._tables[number]
            codes = np.empty((len(table), rows), table.dtype)
            recode(shared, member.columns.feature, table, codes)
            total[:] = member.base
            for kernel, tables in member.parts:
                kernel(codes, *tables, total)
        return out.T


class NativeStack:
    """The members of a fitted stack through each library's own predictor, all threads in each call."""

    def __init__(self, stack: StackedRegressor, threads: int) -> None:
        self.threads = threads
        self.weights = np.asarray(stack.weights_, np.float64)
        self.weighted = np.flatnonzero(self.weights)
        self._members = [(learner, stack.models_[learner.name]) for learner in stack.learners]

    def members(self, X: NDArray[np.float32], only: NDArray[np.intp]) -> NDArray[np.float64]:
        """Predictions (n, m) of a block of rows by ``only`` some of the members, by number."""
        chosen = [self._members[number] for number in only]
        return np.column_stack([learner.predict(model, X, self.threads) for learner, model in chosen])


class Predictor:
    """Predicts rows in blocks, on several threads, with scratch memory of a few blocks per thread.

    Args:
        stack: a fitted ``StackedRegressor``.
        backend: ``"compiled"`` (tables over shared bins), ``"native"`` (the libraries), or ``"auto"``:
            compiled where numba is installed and it agrees with native within 1e-6 on probe rows at and
            just below thresholds, else native; a disagreement is warned of.
        threads: how many blocks are worked on at once; ``None`` takes every processor.

    Attributes:
        backend: the one in use.
    """

    def __init__(
        self, stack: StackedRegressor, backend: Backend = "auto", threads: int | None = None
    ) -> None:
        self.threads = threads or cores()
        self.features = int(stack.n_features_in_)
        native = NativeStack(stack, self.threads)
        self._engine: CompiledStack | NativeStack = native
        if numba is None and backend == "compiled":
            raise ValueError("compiled trees need the package numba, which is not installed")
        if numba is not None and backend != "native":
            compiled = CompiledStack(stack)
            worst = _disagreement(compiled, native)
            if worst <= AGREEMENT:
                self._engine = compiled
            elif backend == "compiled":
                raise ValueError(f"compiled trees differ from the libraries' by {worst:.1e}")
            else:
                warnings.warn(f"compiled trees differ by {worst:.1e}; the libraries predict", stacklevel=2)
        self.backend: Backend = "native" if self._engine is native else "compiled"

    def predict(
        self, X: NDArray[np.float32], out: NDArray[np.floating[Any]] | None = None
    ) -> NDArray[np.floating[Any]]:
        """The stacked prediction.

        Args:
            X: (n, p) float32 predictors in the order of training, NaN where missing; a memory map will do.
            out: (n,) array to write to, of any float type; a new float32 array if none is given.

        Returns:
            ``out``, in the units of the target.

        Raises:
            SampleError: another number of columns than the stack was trained on.
        """
        out = np.empty(len(X), np.float32) if out is None else out
        some = self._engine.weighted  # a member without weight need not be asked
        weights = self._engine.weights[some]

        def work(rows: slice) -> None:
            out[rows] = self._engine.members(self._block(X, rows), some) @ weights

        self._each_block(X, work)
        return out

    def predict_members(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predictions of each member, (n, m) float32, in the order of the stack; see ``predict``."""
        out = np.empty((len(X), len(self._engine.weights)), np.float32)
        everyone = np.arange(out.shape[1])

        def work(rows: slice) -> None:
            out[rows] = self._engine.members(self._block(X, rows), everyone)

        self._each_block(X, work)
        return out

    def _block(self, X: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        return np.ascontiguousarray(X[rows], np.float32)

    def _each_block(self, X: NDArray[np.float32], work: Callable[[slice], None]) -> None:
        if X.ndim != 2 or X.shape[1] != self.features:
            raise SampleError(f"the model takes {self.features} predictors, the array has shape {X.shape}")
        size = BLOCK if self.backend == "compiled" else NATIVE_BLOCK
        workers = self.threads if self.backend == "compiled" else 1  # the libraries bring their own threads
        wave = WAVE * workers * size
        with ThreadPoolExecutor(workers) as executor:
            for begin in range(0, len(X), wave):
                blocks = (slice(at, at + size) for at in range(begin, min(begin + wave, len(X)), size))
                collections.deque(executor.map(work, blocks), maxlen=0)


def _disagreement(compiled: CompiledStack, native: NativeStack) -> float:
    """The largest difference of any member on rows drawn from every feature's thresholds, some missing."""
    rng = np.random.default_rng(0)
    probes = np.full((PROBES, len(compiled.edges)), np.nan, np.float32)
    for column, edges in zip(probes.T, compiled.edges, strict=True):
        if len(edges):
            at = rng.choice(edges, PROBES)
            below = np.nextafter(at, np.float32(-np.inf))
            value = np.select([rng.random(PROBES) < 0.1, rng.random(PROBES) < 0.5], [np.nan, at], below)
            column[:] = np.clip(value, -LARGEST, LARGEST)  # a cut beside missing values stands at infinity
    everyone = np.arange(len(compiled.weights))
    return float(np.abs(compiled.members(probes, everyone) - native.members(probes, everyone)).max())
