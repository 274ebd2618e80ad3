"""Which samples are held out: the five rules under which a model is tested, and its stack is fitted.

A random split leaves each held-out sample its neighbours in space and time among the training rows, so
that any flexible model shines; the same model loses much of its skill where whole places or periods are
held out (Han et al. 2023, GMD 16:5825: RMSE 0.038 random, 0.060 new years, 0.079 new stations). Xu et al.
2024 section 3.3 splits at random, 7:3; every rule here says in ``promise`` what its score can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import SampleError

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows to fit and rows held out, as sorted positions in the keys given."""

Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]

TEST_SHARE = 0.3  # Xu et al. 2024, 3.3
GAP_DAYS = 20  # how far a predictor sees: 15 days of gap filling and 5 of smoothing
BLOCK_KM = 100.0  # about 11 SMAP cells a side
N_FOLDS = 5  # Xu et al. 2024, 3.3
MINIMUM_SAMPLES = 500  # of a partition: about a season of days of three cells, the least five folds can share
TIME_BLOCKS = (3, 10)  # fewest and most blocks a period is cut into
BLOCK_GAPS = 3  # a time block is this many gaps long where the period permits
KM_PER_DEGREE = 111.195  # of a great circle on the sphere of 6371.0088 km


@dataclass(frozen=True, eq=False)
class SampleKeys:
    """Where and when each of n samples lies; every array has length n, at least 1.

    ``cell`` codes the cell or station, ``lon`` and ``lat`` are degrees, ``day`` counts from 1970-01-01
    (None: the table has no dates), ``partition`` names the terrain unit (None: there are none).
    """

    cell: NDArray[np.intp]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    day: NDArray[np.int64] | None = None
    partition: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        columns = {name: column for name, column in vars(self).items() if column is not None}
        lengths = {name: len(column) for name, column in columns.items()}
        if set(lengths.values()) == {0}:
            raise SampleError("there are no samples to split; check what was filtered out of the table")
        if len(set(lengths.values())) > 1:
            raise SampleError(f"the keys of the samples differ in length: {lengths}; give one value per row")

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, rows: NDArray[np.intp]) -> SampleKeys:
        """The keys of some rows, in that order."""
        day = None if self.day is None else self.day[rows]
        partition = None if self.partition is None else self.partition[rows]
        return SampleKeys(self.cell[rows], self.lon[rows], self.lat[rows], day, partition)


class Split(Protocol):
    """A rule for holding samples out; the same seed and keys always give the same folds."""

    name: ClassVar[str]
    promise: ClassVar[str]
    """One sentence: what a score under this rule can and cannot show."""

    def outer(self, keys: SampleKeys) -> list[Fold]:
        """The training and test rows that score this rule.

        Raises:
            SampleError: the samples cannot be split by this rule; the message says why and what to do.
        """
        ...

    def folds(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> list[Fold]:
        """At most ``n_folds`` folds of training rows under the same rule, to fit a stack within them.

        Held-out rows of different folds are disjoint; together they need not cover all rows.

        Raises:
            SampleError: as for ``outer``.
        """
        ...


@dataclass(frozen=True)
class RandomSplit:
    """Rows drawn one by one (Xu et al. 2024, 3.3)."""

    test_share: float = TEST_SHARE
    seed: int = 0
    name: ClassVar[str] = "random"
    promise: ClassVar[str] = (
        "Rows are held out one by one while the same cell on other days and its neighbours on the same day "
        "are trained on, so the score shows interpolation within the sampled area and period, flatters "
        "the model, and says nothing of new places or dates."
    )

    def outer(self, keys: SampleKeys) -> list[Fold]:
        """One fold, ``test_share`` of the rows held out."""
        order = np.random.default_rng(self.seed).permutation(len(keys))
        held = order < round(self.test_share * len(keys))
        return [_fold(~held, held, self.name)]

    def folds(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> list[Fold]:
        """``n_folds`` folds of equal size that cover all rows."""
        order = np.random.default_rng(self.seed).permutation(len(keys))
        return _leave_each_out(order % n_folds, n_folds, self.name)


@dataclass(frozen=True)
class SpatialBlocks:
    """Square blocks of land, each held out whole with all its cells and dates."""

    block_km: float = BLOCK_KM
    test_share: float = TEST_SHARE
    seed: int = 0
    name: ClassVar[str] = "spatial"
    promise: ClassVar[str] = (
        "Whole blocks of land are held out on dates the model has trained on elsewhere, so the score shows "
        "skill at new places within the same region and period, a little flattered along block edges, and "
        "says nothing of new dates."
    )

    def __post_init__(self) -> None:
        if not 0 < self.block_km < np.inf:
            raise ValueError(f"block_km is {self.block_km}; it must be a length in km, such as {BLOCK_KM}")

    def outer(self, keys: SampleKeys) -> list[Fold]:
        """One fold; blocks are drawn until they hold ``test_share`` of the rows as nearly as they can."""
        block, _ = self._layout(keys, N_FOLDS)
        held = _draw(block, self.test_share, self.seed)
        return [_fold(~held, held, self.name)]

    def folds(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> list[Fold]:
        """``n_folds`` folds of whole blocks, about equal in rows, that cover all rows."""
        block, _ = self._layout(keys, n_folds)
        return _leave_each_out(_deal(block, n_folds, self.seed), n_folds, self.name)

    def block_size(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> float:
        """Side of the blocks in km: ``block_km``, halved until there are 2 ``n_folds`` blocks.

        Where there are fewer places than that, until each place is its own block.
        """
        return self._layout(keys, n_folds)[1]

    def blocks(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> Codes:
        """The block of each row, numbered from 0; folds hold out whole blocks."""
        return self._layout(keys, n_folds)[0]

    def _layout(self, keys: SampleKeys, n_folds: int) -> tuple[Codes, float]:
        """The block of each row, and the side of a block in km."""
        _, cell = np.unique(keys.cell, return_inverse=True)
        rows = np.bincount(cell)
        lon, lat = (np.bincount(cell, weights=degrees) / rows for degrees in (keys.lon, keys.lat))
        unplaced = np.count_nonzero(~np.isfinite(lon + lat))
        if unplaced:
            raise SampleError(
                f"{unplaced} cells have no lon or lat in some row, so {self.name} blocks cannot be laid"
            )
        east = lon * np.cos(np.radians((lat.min() + lat.max()) / 2))
        kilometres = np.column_stack([east, lat]) * KM_PER_DEGREE
        place = np.round(kilometres - kilometres.min(axis=0), 3)  # to the metre, so that halving ends
        n_places = len(np.unique(place, axis=0))
        if n_places < n_folds:
            raise SampleError(
                f"the {self.name} split needs cells at {n_folds} places or more, got {len(rows)} cells at "
                f"{n_places}; enlarge the region or leave this split out"
            )
        size = self.block_km
        while len(np.unique(place // size, axis=0)) < min(2 * n_folds, n_places):
            size /= 2
        _, block = np.unique(place // size, axis=0, return_inverse=True)
        return block.ravel()[cell], size


@dataclass(frozen=True)
class TimeBlocks:
    """Stretches of days, each held out whole; training keeps ``gap_days`` away from every day held out."""

    gap_days: int = GAP_DAYS
    test_share: float = TEST_SHARE
    seed: int = 0
    name: ClassVar[str] = "time"
    promise: ClassVar[str] = (
        "Whole stretches of days are held out with a gap on either side, at cells the model has trained on, "
        "so the score shows skill on new dates at known places, and says nothing of new places or, from one "
        "season, of other years."
    )

    def __post_init__(self) -> None:
        if self.gap_days < 0:
            raise ValueError(f"gap_days is {self.gap_days}; it must be 0 or more, such as {GAP_DAYS}")

    def outer(self, keys: SampleKeys) -> list[Fold]:
        """One fold; blocks are drawn until they hold ``test_share`` of the rows as nearly as they can."""
        day = self._days(keys)
        return [self._apart(day, _draw(self._blocks(day, TIME_BLOCKS[1]), self.test_share, self.seed))]

    def folds(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> list[Fold]:
        """One fold for each stretch of days, 3 to ``n_folds`` of them, fewer where a stretch holds no row."""
        day = self._days(keys)
        block = self._blocks(day, n_folds)
        return [self._apart(day, block == i) for i in range(block.max() + 1)]

    def _days(self, keys: SampleKeys) -> NDArray[np.int64]:
        if keys.day is None:
            raise SampleError(f"the {self.name} split needs dates; add a date column or leave this split out")
        return keys.day

    def _blocks(self, day: NDArray[np.int64], most: int) -> Codes:
        """The block of each row: equal stretches from the first day to the last, empty ones left out."""
        first, span = int(day.min()), int(day.max() - day.min()) + 1
        needed = TIME_BLOCKS[0] * (self.gap_days + 1)
        if span < needed:
            raise SampleError(
                f"the {self.name} split with a gap of {self.gap_days} days needs samples over {needed} "
                f"days or more (a stack fitted within it about twice that), got {span}; lengthen the period, "
                "shorten the gap, or leave this split out"
            )
        n_blocks = int(np.clip(span // max(BLOCK_GAPS * self.gap_days, 1), TIME_BLOCKS[0], most))
        return np.unique((day - first) * n_blocks // span, return_inverse=True)[1]

    def _apart(self, day: NDArray[np.int64], held: Mask) -> Fold:
        """Hold rows out, and keep from training every row within the gap of a day held out."""
        held_days = np.unique(day[held])
        after = np.searchsorted(held_days, day)
        since = day - held_days[np.maximum(after - 1, 0)]
        until = held_days[np.minimum(after, len(held_days) - 1)] - day
        return _fold(np.minimum(np.abs(since), np.abs(until)) > self.gap_days, held, self.name)


@dataclass(frozen=True)
class CellsAndDates:
    """Spatial blocks on the dates of time blocks; rows that share only one of the two are not used.

    Each rule keeps its own ``test_share``: 0.3 of the land and 0.3 of the dates test 9 % of the rows.
    """

    space: SpatialBlocks = field(default_factory=SpatialBlocks)
    time: TimeBlocks = field(default_factory=TimeBlocks)
    name: ClassVar[str] = "cells-and-dates"
    promise: ClassVar[str] = (
        "Neither the block of land nor any date within the gap was trained on, so the score shows skill at "
        "new places on new dates of the same region and season, from the fewest rows, and says nothing of "
        "other climates or years."
    )

    def outer(self, keys: SampleKeys) -> list[Fold]:
        """One fold: rows in both kinds of test block are held out, rows in neither are for training."""
        return self._cross(self.space.outer(keys), self.time.outer(keys))

    def folds(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> list[Fold]:
        """As many folds as the period allows: spatial fold i crossed with time fold i."""
        dates = self.time.folds(keys, n_folds)
        return self._cross(self.space.folds(keys, len(dates)), dates)

    def _cross(self, places: Sequence[Fold], dates: Sequence[Fold]) -> list[Fold]:
        def both(place: NDArray[np.intp], date: NDArray[np.intp], role: str) -> NDArray[np.intp]:
            return _some(np.intersect1d(place, date, assume_unique=True), role, self.name)

        return [
            (both(place_fit, date_fit, "training"), both(place_held, date_held, "held-out"))
            for (place_fit, place_held), (date_fit, date_held) in zip(places, dates, strict=True)
        ]


@dataclass(frozen=True)
class LeavePartitionOut:
    """Terrain partitions, each held out whole."""

    seed: int = 0
    name: ClassVar[str] = "leave-partition-out"
    promise: ClassVar[str] = (
        "A whole terrain partition is held out, so the score shows how a model carries over to terrain it "
        "has never trained on, on dates it has, and says nothing of the partitions a model is trained on."
    )

    def outer(self, keys: SampleKeys) -> list[Fold]:
        """One fold for each partition, in the order of their names."""
        partition = self._partitions(keys)
        return _leave_each_out(partition, partition.max() + 1, self.name)

    def folds(self, keys: SampleKeys, n_folds: int = N_FOLDS) -> list[Fold]:
        """One fold for each of at most ``n_folds`` groups of partitions, about equal in rows."""
        partition = self._partitions(keys)
        n_groups = min(n_folds, partition.max() + 1)
        return _leave_each_out(_deal(partition, n_groups, self.seed), n_groups, self.name)

    def _partitions(self, keys: SampleKeys) -> Codes:
        given = np.zeros(len(keys)) if keys.partition is None else keys.partition
        names, code = np.unique(given, return_inverse=True)
        if len(names) < 2:
            got = "none" if keys.partition is None else f"only {names[0]}"
            raise SampleError(
                f"the {self.name} split needs 2 partitions or more, got {got}; leave this split out"
            )
        return code


def standard_splits(
    *, gap_days: int = GAP_DAYS, block_km: float = BLOCK_KM, test_share: float = TEST_SHARE, seed: int = 0
) -> tuple[Split, ...]:
    """The five rules a study is scored under, from the most flattering to the hardest."""
    space = SpatialBlocks(block_km, test_share, seed)
    time = TimeBlocks(gap_days, test_share, seed)
    return (
        RandomSplit(test_share, seed),
        space,
        time,
        CellsAndDates(space, time),
        LeavePartitionOut(seed),
    )


def _some(rows: NDArray[np.intp], role: str, name: str) -> NDArray[np.intp]:
    if len(rows) == 0:
        raise SampleError(
            f"the {name} split leaves no {role} rows; give more samples or leave this split out"
        )
    return rows


def _fold(fit: Mask, held: Mask, name: str) -> Fold:
    return _some(np.flatnonzero(fit), "training", name), _some(np.flatnonzero(held), "held-out", name)


def _leave_each_out(group: Codes, n_groups: int, name: str) -> list[Fold]:
    return [_fold(group != i, group == i, name) for i in range(n_groups)]


def _draw(block: Codes, share: float, seed: int) -> Mask:
    """Rows of blocks taken in random order, each if it brings their share of the rows nearer to ``share``.

    At least one block is taken and one is left. A share of 0.3 is missed by half the largest block at most.
    """
    if not 0 < share < 1:
        raise ValueError(f"test_share is {share}; it must lie between 0 and 1, such as {TEST_SHARE}")
    sizes = np.bincount(block) / len(block)
    taken = np.zeros(len(sizes), dtype=np.bool_)
    total = 0.0
    for i in np.random.default_rng(seed).permutation(len(sizes)):
        if abs(total + sizes[i] - share) < abs(total - share) and taken.sum() < len(sizes) - 1:
            taken[i] = True
            total += sizes[i]
    if not taken.any():
        taken[sizes.argmin()] = True
    return taken[block]


def _deal(block: Codes, n_groups: int, seed: int) -> Codes:
    """The group of each row: whole blocks, the largest first, each to the group with the fewest rows."""
    sizes = np.bincount(block)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    group = np.zeros(len(sizes), dtype=np.intp)
    load = np.zeros(n_groups, dtype=np.intp)
    for i in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        group[i] = load.argmin()
        load[group[i]] += sizes[i]
    return group[block]
