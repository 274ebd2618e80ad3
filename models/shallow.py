"""A few trees of up to eight leaves on pixels and days, which compare the predictors as they are.

To bin predictors as ``models.inference`` does pays where hundreds of trees share the bins. The trees that
tell how wide an interval is are a few dozen, and binning cost three times what comparing does. Leaves still
within reach are the bits of one byte (QuickScorer: Lucchese et al. 2015), and a table turns it into the leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.gridded import DAILY, KINDS, MOVING
from models.inference import jit
from models.trees import Forest, Tree

LEAVES = 8  # of a tree: one bit each
ALL = 2**LEAVES - 1
Planes = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Predictors by kind: (predictors, pixels) of the ground, (predictors, days), (predictors, days * pixels)."""


@jit
def _add(
    still: Any, daily: Any, moving: Any, start: Any, place: Any, threshold: Any, missing_right: Any,
    keep: Any, leaf: Any, out: Any,
) -> None:  # fmt: skip
    """Add each tree's leaf; ``start`` (trees, 4): where its comparisons of each kind begin, where they end.

    ``keep`` are the leaves that a row which goes right can still reach.
    """
    pixels, days = still.shape[1], daily.shape[1]
    base = np.empty(pixels, np.uint8)
    mask = np.empty(days * pixels, np.uint8)
    whole = np.uint8(ALL)
    for tree in range(len(start)):
        base[:] = whole
        for k in range(start[tree, 0], start[tree, 1]):
            value, least, right = still[place[k]], threshold[k], keep[k]
            if missing_right[k]:
                for i in range(pixels):
                    base[i] &= whole if value[i] < least else right
            else:
                for i in range(pixels):
                    base[i] &= right if value[i] >= least else whole
        for day in range(days):
            one = whole
            for k in range(start[tree, 1], start[tree, 2]):
                given = daily[place[k], day]
                if given >= threshold[k] or (missing_right[k] and np.isnan(given)):
                    one &= keep[k]
            part = mask[day * pixels : (day + 1) * pixels]
            for i in range(pixels):
                part[i] = base[i] & one
        for k in range(start[tree, 2], start[tree, 3]):
            value, least, right = moving[place[k]], threshold[k], keep[k]
            if missing_right[k]:
                for i in range(mask.size):
                    mask[i] &= whole if value[i] < least else right
            else:
                for i in range(mask.size):
                    mask[i] &= right if value[i] >= least else whole
        table = leaf[tree]
        for i in range(mask.size):
            out[i] += table[mask[i]]


class Used:
    """The predictors that some forests compare, by kind.

    Args:
        forests: of binary trees.
        kinds: of each predictor, ``STILL``, ``DAILY`` or ``MOVING`` of ``models.gridded``.

    Attributes:
        kind: of each predictor.
        place: of each predictor among the used ones of its kind.
    """

    def __init__(self, forests: Iterable[Forest], kinds: Sequence[int]) -> None:
        self.kind = np.array(kinds, np.intp)
        found = [tree.splits.feature for forest in forests for tree in forest.trees]
        used = np.unique(np.concatenate(found)) if found else np.zeros(0, np.intp)
        self._features = [used[self.kind[used] == kind] for kind in range(KINDS)]
        self.place = np.full(len(kinds), -1, np.intp)
        for features in self._features:
            self.place[features] = np.arange(len(features))

    def planes(self, features: Sequence[NDArray[np.float32]], pixels: NDArray[np.intp], days: int) -> Planes:
        """Their values at some pixels on all days; ``features`` as ``models.gridded.GridPredictor`` takes."""
        still, daily, moving = (
            np.empty((len(own), size), np.float32)
            for own, size in zip(self._features, (len(pixels), days, days * len(pixels)), strict=True)
        )
        for kind, rows in enumerate((still, daily, moving)):
            for feature, row in zip(self._features[kind], rows, strict=True):
                plane = features[int(feature)]
                if kind == DAILY:
                    row[:] = plane[:, 0]
                else:
                    np.take(plane, pixels, axis=1, out=row.reshape(days if kind == MOVING else 1, -1))
        return still, daily, moving


class ShallowForest:
    """A forest on pixels and days.

    Args:
        forest: whose trees ``fits``.
        used: predictors of it, and of others.
    """

    def __init__(self, forest: Forest, used: Used) -> None:
        trees = [tree for tree in forest.trees if isinstance(tree, Tree)]
        self.base = forest.base
        parts = [_tables(tree) for tree in trees]
        kind = [used.kind[tree.splits.feature] for tree in trees]
        order = [np.argsort(one, kind="stable") for one in kind]
        counts = np.array([[np.count_nonzero(one == k) for k in range(KINDS)] for one in kind], np.intp)
        ends = np.cumsum(counts.reshape(-1, KINDS)).reshape(-1, KINDS)
        first = np.concatenate([[0], ends[:-1, -1]])[: len(trees)]
        splits = [tree.splits.take(own) for tree, own in zip(trees, order, strict=True)]
        keep = [one[own] for (one, _), own in zip(parts, order, strict=True)]
        self._tables = (
            np.column_stack([first, ends]),
            used.place[np.concatenate([np.zeros(0, np.intp), *(one.feature for one in splits)])],
            np.concatenate([np.zeros(0, np.float32), *(one.threshold for one in splits)]),
            np.concatenate([np.zeros(0, np.bool_), *(one.missing_right for one in splits)]),
            np.concatenate([np.zeros(0, np.uint8), *keep]),
            np.array([leaf for _, leaf in parts]).reshape(len(trees), ALL + 1),
        )

    def predict(self, planes: Planes) -> NDArray[np.float64]:
        """What it says, (days * pixels,), day after day; trees are added up one after the other."""
        out = np.full(planes[1].shape[1] * planes[0].shape[1], self.base)
        _add(*planes, *self._tables, out)
        return out


def fits(forest: Forest) -> bool:
    """Whether all trees are binary and have as few leaves as a byte has bits."""
    return all(isinstance(tree, Tree) and 1 < tree.leaves <= LEAVES for tree in forest.trees)


def _tables(tree: Tree) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """For each inner node the leaves that are not to its left, and the value by the byte of leaves in reach.

    Leaves are numbered from left to right; the lowest that is still in reach is the row's.
    """
    below: dict[int, int] = {}
    value: list[float] = []

    def walk(node: int) -> int:
        if tree.left[node] < 0:
            value.append(float(tree.value[node]))
            return 1 << (len(value) - 1)
        below[node] = walk(int(tree.left[node]))
        return below[node] | walk(int(tree.right[node]))

    walk(0)
    leaf = np.zeros(ALL + 1)
    for reached in range(1, ALL + 1):
        lowest = (reached & -reached).bit_length() - 1
        if lowest < len(value):
            leaf[reached] = value[lowest]
    return np.array([ALL ^ below[int(node)] for node in tree.inner], np.uint8), leaf
