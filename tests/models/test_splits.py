"""Each split keeps apart what it promises to keep apart, and wastes no more rows than that takes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SampleError
from models.splits import (
    CellsAndDates,
    Fold,
    LeavePartitionOut,
    RandomSplit,
    SampleKeys,
    SpatialBlocks,
    Split,
    TimeBlocks,
    standard_splits,
)

KM = 1 / 111.195  # degrees of latitude
NAMES = ("random", "spatial", "time", "cells-and-dates", "leave-partition-out")


def table(
    *,
    side: int = 8,
    days: int = 214,
    step: int = 1,
    spacing_km: float = 9.0,
    lat: float = 32.0,
    keep: float = 1.0,
    seed: int = 0,
) -> SampleKeys:
    """A square of cells seen every ``step`` days, five partitions from south to north, rows shuffled."""
    rng = np.random.default_rng(seed)
    cell, day = (grid.ravel() for grid in np.meshgrid(np.arange(side**2), np.arange(0, days, step)))
    row, column = np.divmod(cell, side)
    north = lat + row * spacing_km * KM
    east = 117 + column * spacing_km * KM / np.cos(np.radians(lat))
    partition = np.array(["HB", "JH", "WX", "YJ", "WN"])[row * 5 // side]
    rows = rng.permutation(np.flatnonzero(rng.random(len(cell)) < keep))
    return SampleKeys(cell, east, north, (day + 17_987).astype(np.int64), partition).take(rows)


def cells_apart(keys: SampleKeys, fold: Fold, gap: int) -> None:
    fit, held = fold
    assert not np.intersect1d(keys.cell[fit], keys.cell[held]).size


def days_apart(keys: SampleKeys, fold: Fold, gap: int) -> None:
    assert keys.day is not None
    fit, held = (np.unique(keys.day[rows]) for rows in fold)
    assert np.abs(fit[:, None] - held[None, :]).min() > gap


def cells_and_days_apart(keys: SampleKeys, fold: Fold, gap: int) -> None:
    cells_apart(keys, fold, gap)
    days_apart(keys, fold, gap)


def partitions_apart(keys: SampleKeys, fold: Fold, gap: int) -> None:
    assert keys.partition is not None
    fit, held = fold
    assert not np.intersect1d(keys.partition[fit], keys.partition[held]).size


def rows_apart(keys: SampleKeys, fold: Fold, gap: int) -> None:
    assert not np.intersect1d(*fold).size


APART = dict(
    zip(NAMES, (rows_apart, cells_apart, days_apart, cells_and_days_apart, partitions_apart), strict=True)
)


def sound(folds: list[Fold], n: int) -> None:
    """Both sides hold rows, each once and of the table; no row is on both sides or held out twice."""
    for fit, held in folds:
        both = np.concatenate([fit, held])
        assert len(fit)
        assert len(held)
        assert len(np.unique(both)) == len(both)
        assert both.min() >= 0
        assert both.max() < n
    held_ever = np.concatenate([held for _, held in folds])
    assert len(np.unique(held_ever)) == len(held_ever)


@st.composite
def tables(draw: st.DrawFn) -> SampleKeys:
    return table(
        side=draw(st.integers(6, 10)),
        days=draw(st.integers(135, 400)),
        step=draw(st.integers(1, 5)),
        spacing_km=draw(st.floats(2, 60)),
        lat=draw(st.floats(-55, 50)),
        keep=draw(st.floats(0.5, 1)),
        seed=draw(st.integers(0, 99)),
    )


@pytest.mark.parametrize("index", range(5), ids=NAMES)
@settings(deadline=None, max_examples=20)
@given(keys=tables(), gap=st.integers(0, 20), seed=st.integers(0, 99))
def test_no_split_has_on_both_sides_what_it_keeps_apart(
    index: int, keys: SampleKeys, gap: int, seed: int
) -> None:
    split = standard_splits(gap_days=gap, seed=seed)[index]
    apart = APART[split.name]
    outer = split.outer(keys)
    sound(outer, len(keys))
    for fold in outer:
        apart(keys, fold, gap)
    training = keys.take(outer[0][0])  # the rows a stack is fitted on
    folds = split.folds(training)
    assert 2 <= len(folds) <= 5
    sound(folds, len(training))
    for fold in folds:
        apart(training, fold, gap)


@pytest.mark.parametrize("split", standard_splits(seed=3), ids=NAMES)
def test_same_seed_same_folds(split: Split) -> None:
    keys = table(keep=0.7, step=3)
    for once, again in ((split.outer(keys), split.outer(keys)), (split.folds(keys), split.folds(keys))):
        for (fit, held), (fit_again, held_again) in zip(once, again, strict=True):
            np.testing.assert_array_equal(fit, fit_again)
            np.testing.assert_array_equal(held, held_again)


@pytest.mark.parametrize("index", range(4), ids=NAMES[:4])
def test_seeds_hold_out_different_rows(index: int) -> None:
    keys = table(step=3, days=700)
    held = {standard_splits(seed=seed)[index].outer(keys)[0][1].tobytes() for seed in range(10)}
    assert len(held) > 5


def test_standard_splits_are_five_and_promise_one_sentence_each() -> None:
    splits = standard_splits(gap_days=7, block_km=50, test_share=0.2, seed=4)
    assert tuple(split.name for split in splits) == NAMES
    for split in splits:
        assert split.promise.endswith(".")
        assert split.promise.count(".") == 1
    assert splits[:3] == (RandomSplit(0.2, 4), SpatialBlocks(50, 0.2, 4), TimeBlocks(7, 0.2, 4))
    assert splits[3] == CellsAndDates(SpatialBlocks(50, 0.2, 4), TimeBlocks(7, 0.2, 4))


class TestShares:
    @pytest.mark.parametrize("seed", range(5))
    def test_random_is_7_to_3_exactly(self, seed: int) -> None:
        fit, held = RandomSplit(seed=seed).outer(table(side=5, days=10))[0]
        assert (len(fit), len(held)) == (175, 75)

    @pytest.mark.parametrize("seed", range(20))
    def test_spatial_is_within_half_a_block(self, seed: int) -> None:
        """30 × 30 cells 10 km apart make nine blocks of 100 km, a ninth of the rows each."""
        keys = table(side=30, days=3, spacing_km=10.0, keep=0.8)
        _, held = SpatialBlocks(seed=seed).outer(keys)[0]
        assert len(held) / len(keys) == pytest.approx(0.3, abs=0.06)

    @pytest.mark.parametrize("seed", range(20))
    def test_one_huge_block_does_not_swallow_the_share(self, seed: int) -> None:
        """One block has 60 % of the rows, the nine others 4.4 % each: only those nine can make 30 %."""
        lon = np.repeat(117 + np.arange(10) * 0.9, [135, *[10] * 9])
        keys = SampleKeys(np.arange(225), lon, np.zeros(225))
        _, held = SpatialBlocks(block_km=50, seed=seed).outer(keys)[0]
        assert len(held) / 225 == pytest.approx(0.3, abs=0.025)

    @pytest.mark.parametrize(("days", "tolerance"), [(214, 0.04), (700, 0.01)])
    def test_time_is_a_third_of_a_season_and_three_tenths_of_long_periods(
        self, days: int, tolerance: float
    ) -> None:
        keys = table(side=3, days=days)
        for seed in range(10):
            _, held = TimeBlocks(seed=seed).outer(keys)[0]
            assert len(held) / len(keys) == pytest.approx(0.3, abs=tolerance)

    def test_cells_and_dates_tests_the_product_of_both_shares(self) -> None:
        keys = table(side=30, days=700, step=5, spacing_km=10.0)
        _, held = CellsAndDates().outer(keys)[0]
        assert len(held) / len(keys) == pytest.approx(0.09, abs=0.03)

    @pytest.mark.parametrize("split", [RandomSplit(), SpatialBlocks(), LeavePartitionOut()])
    def test_folds_cover_all_rows_in_about_equal_parts(self, split: Split) -> None:
        keys = table(side=30, days=10, spacing_km=10.0)
        folds = split.folds(keys)
        assert len(folds) == 5
        assert sum(len(held) for _, held in folds) == len(keys)
        assert all(len(fit) + len(held) == len(keys) for fit, held in folds)
        largest = max(len(held) for _, held in folds)
        assert largest / len(keys) < 0.3


class TestSpatialBlocks:
    @pytest.mark.parametrize(
        ("side", "spacing_km", "size"),
        [
            (30, 20.0, 100.0),  # 600 km: 6 × 6 blocks at once
            (30, 10.0, 50.0),  # 300 km: 3 × 3 of 100 are fewer than 10, 6 × 6 of 50 are enough
            (9, 9.0, 12.5),  # cells 0 to 72 km: 2 × 2 of 50, 3 × 3 of 25, 6 × 6 of 12.5
        ],
    )
    def test_blocks_are_halved_until_there_are_ten(self, side: int, spacing_km: float, size: float) -> None:
        assert SpatialBlocks().block_size(table(side=side, days=1, spacing_km=spacing_km)) == size

    def test_longitude_is_measured_in_kilometres(self) -> None:
        """Twenty cells 10 km apart at 60° N span 190 km, though 3.4° of longitude: 16 blocks of 12.5 km."""
        keys = SampleKeys(np.arange(20), 10 + np.arange(20) * 10 * KM / 0.5, np.full(20, 60.0))
        assert SpatialBlocks().block_size(keys) == 12.5

    def test_cells_of_a_block_stay_together(self) -> None:
        """Pairs of cells 1 km apart, 200 km between pairs: no pair is ever parted."""
        lat = np.repeat(np.arange(12) * 200 * KM, 2) + np.tile([0.0, KM], 12)
        keys = SampleKeys(np.arange(24), np.full(24, 117.0), lat)
        for seed in range(10):
            for _, held in SpatialBlocks(seed=seed).folds(keys):
                np.testing.assert_array_equal(held[::2] + 1, held[1::2])

    def test_stations_at_one_place_end_the_halving(self) -> None:
        """Twelve stations at six places can make six blocks, not ten."""
        keys = SampleKeys(np.arange(12), np.repeat(117 + np.arange(6) * 0.2, 2), np.full(12, 32.0))
        folds = SpatialBlocks().folds(keys)
        assert sorted(len(held) for _, held in folds) == [2, 2, 2, 2, 4]

    def test_a_cell_whose_rows_disagree_on_its_place_stays_whole(self) -> None:
        keys = table(days=20)
        wobble = np.random.default_rng(1).normal(0, 0.05, len(keys))
        moved = replace(keys, lon=keys.lon + wobble, lat=keys.lat - wobble)
        for fold in SpatialBlocks(block_km=10).folds(moved):
            cells_apart(moved, fold, 0)

    def test_too_few_places(self) -> None:
        with pytest.raises(
            SampleError, match="cells at 5 places or more, got 4 cells at 4; enlarge the region"
        ):
            SpatialBlocks().outer(table(side=2, days=30))

    def test_cells_without_coordinates(self) -> None:
        keys = table(days=2)
        keys.lon[keys.cell == 5] = np.nan
        with pytest.raises(SampleError, match="1 cells have no lon or lat"):
            SpatialBlocks().outer(keys)

    def test_a_block_has_a_size(self) -> None:
        with pytest.raises(ValueError, match="block_km is 0"):
            SpatialBlocks(block_km=0)


class TestTimeBlocks:
    @pytest.mark.parametrize("days", [63, 100, 214, 365, 1000])
    def test_every_day_beyond_the_gap_is_trained_on(self, days: int) -> None:
        keys = table(side=2, days=days)
        assert keys.day is not None
        for fit, held in [*TimeBlocks().outer(keys), *TimeBlocks().folds(keys)]:
            tested = set(keys.day[held].tolist())
            near = {day + reach for day in tested for reach in range(-20, 21)}
            assert set(keys.day[fit].tolist()) == set(keys.day.tolist()) - near

    @pytest.mark.parametrize(("days", "blocks"), [(63, 3), (214, 3), (365, 6), (5000, 10)])
    def test_a_period_is_cut_into_3_to_10_blocks_of_3_gaps(self, days: int, blocks: int) -> None:
        """The runs of test days of many seeds: none is shorter than a block."""
        keys = table(side=2, days=days)
        assert keys.day is not None
        shortest = days
        for seed in range(30):
            tested = np.unique(keys.day[TimeBlocks(seed=seed).outer(keys)[0][1]])
            runs = np.split(tested, np.flatnonzero(np.diff(tested) > 1) + 1)
            shortest = min(shortest, *map(len, runs))
        assert shortest == days // blocks

    def test_a_tested_month_in_the_middle_leaves_folds_on_both_sides(self) -> None:
        keys = table(days=214)
        assert keys.day is not None
        day = keys.day - keys.day.min()
        rest = keys.take(np.flatnonzero((day < 51) | (day > 162)))
        folds = TimeBlocks().folds(rest)
        assert len(folds) == 2
        sound(folds, len(rest))

    def test_short_period(self) -> None:
        with pytest.raises(
            SampleError, match=r"gap of 20 days needs samples over 63 days or more .*, got 62;"
        ):
            TimeBlocks().outer(table(days=62))

    def test_no_dates(self) -> None:
        for split in (TimeBlocks(), CellsAndDates()):
            with pytest.raises(SampleError, match="needs dates; add a date column"):
                split.outer(replace(table(), day=None))

    def test_a_gap_is_not_negative(self) -> None:
        with pytest.raises(ValueError, match="gap_days is -1"):
            TimeBlocks(gap_days=-1)


class TestCellsAndDates:
    def test_every_row_of_neither_is_trained_on_and_every_row_of_both_is_tested(self) -> None:
        keys = table(side=10, days=214, step=2)
        assert keys.day is not None
        for fit, held in [*CellsAndDates().outer(keys), *CellsAndDates().folds(keys)]:
            tested_days = np.unique(keys.day[held])
            tested_cell = np.isin(keys.cell, keys.cell[held])
            distance = np.abs(keys.day[:, None] - tested_days[None, :]).min(axis=1)
            np.testing.assert_array_equal(held, np.flatnonzero(tested_cell & (distance == 0)))
            np.testing.assert_array_equal(fit, np.flatnonzero(~tested_cell & (distance > 20)))

    def test_inner_folds_are_as_many_as_the_period_has_blocks(self) -> None:
        assert len(CellsAndDates().folds(table(days=214, step=2))) == 3
        assert len(CellsAndDates().folds(table(days=400, step=2))) == 5

    def test_a_table_too_thin_to_cross(self) -> None:
        """Ten stations report two months each, one after the other: most crossings are empty."""
        day, cell = np.arange(600), np.arange(600) // 60
        keys = SampleKeys(cell, 110 + cell * 1.0, np.full(600, 32.0), day)
        with pytest.raises(SampleError, match="cells-and-dates split leaves no held-out rows"):
            CellsAndDates().folds(keys)


class TestLeavePartitionOut:
    def test_one_outer_fold_for_each_partition_by_name(self) -> None:
        keys = table(days=3)
        assert keys.partition is not None
        held = [np.unique(keys.partition[held]).tolist() for _, held in LeavePartitionOut().outer(keys)]
        assert held == [["HB"], ["JH"], ["WN"], ["WX"], ["YJ"]]

    def test_inner_folds_group_partitions(self) -> None:
        keys = table(side=10, days=3)
        assert keys.partition is not None
        groups = [np.unique(keys.partition[held]) for _, held in LeavePartitionOut().folds(keys, n_folds=2)]
        assert sorted(len(group) for group in groups) == [2, 3]
        assert len(np.unique(np.concatenate(groups))) == 5

    def test_groups_are_equal_in_rows(self) -> None:
        """Partitions of 10, 9 ... 1 rows pair up as 10 + 1, 9 + 2 and so on."""
        partition = np.repeat(list("abcdefghij"), np.arange(10, 0, -1))
        keys = SampleKeys(np.arange(55), np.zeros(55), np.zeros(55), None, partition)
        for seed in range(5):
            assert [len(held) for _, held in LeavePartitionOut(seed).folds(keys)] == [11] * 5

    @pytest.mark.parametrize(("names", "got"), [(None, "none"), (["HB"], "only HB")])
    def test_one_partition_cannot_be_left_out(self, names: list[str] | None, got: str) -> None:
        keys = table(days=3)
        partition = None if names is None else np.array(names * len(keys))
        for rows in (LeavePartitionOut().outer, LeavePartitionOut().folds):
            with pytest.raises(SampleError, match=f"needs 2 partitions or more, got {got};"):
                rows(replace(keys, partition=partition))


class TestMistakes:
    def test_a_share_is_not_a_percentage(self) -> None:
        keys = table()
        for split in (SpatialBlocks(test_share=30), TimeBlocks(test_share=30)):
            with pytest.raises(ValueError, match="test_share is 30; it must lie between 0 and 1"):
                split.outer(keys)

    def test_fewer_rows_than_folds(self) -> None:
        with pytest.raises(SampleError, match="random split leaves no held-out rows"):
            RandomSplit().folds(table(side=2, days=1))

    def test_keys_of_different_length(self) -> None:
        with pytest.raises(SampleError, match=r"differ in length: {'cell': 3, 'lon': 3, 'lat': 2}"):
            SampleKeys(np.arange(3), np.zeros(3), np.zeros(2))

    def test_no_samples(self) -> None:
        with pytest.raises(SampleError, match="no samples to split"):
            table().take(np.array([], dtype=np.intp))


def test_the_papers_table_is_split_in_seconds() -> None:
    """310,935 samples in the paper; 38 × 38 cells on 214 days are 309,016."""
    keys = table(side=38)
    start = time.perf_counter()
    for split in standard_splits():
        fold = split.outer(keys)[0]
        split.folds(keys.take(fold[0]))
    assert time.perf_counter() - start < 5


def test_take_keeps_every_key_of_a_row() -> None:
    keys = table(days=2)
    rows = np.array([5, 3, 3])
    taken = keys.take(rows)
    assert len(taken) == 3
    for column in ("cell", "lon", "lat"):
        np.testing.assert_array_equal(getattr(taken, column), getattr(keys, column)[rows])
    assert taken.day is not None
    assert keys.day is not None
    np.testing.assert_array_equal(taken.day, keys.day[rows])
    assert taken.partition is not None
    assert keys.partition is not None
    np.testing.assert_array_equal(taken.partition, keys.partition[rows])
