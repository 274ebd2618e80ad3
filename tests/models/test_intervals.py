"""Intervals contain nine of ten new values, for errors that differ by place and hang together in blocks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import ModelFileError, SampleError
from models.gridded import DAILY, MOVING, STILL
from models.intervals import (
    FEWEST_IN_LEAF,
    GridHalfWidth,
    HalfWidth,
    Intervals,
    Quantile,
    conformal_quantile,
)
from models.partitioned import WP
from models.splits import Fold

Draw = Callable[[np.random.Generator, int, int], NDArray[np.float64]]
REPETITIONS = 300


def unrelated(rng: np.random.Generator, blocks: int, rows: int) -> NDArray[np.float64]:
    return rng.standard_normal((blocks, rows))


def shifted(rng: np.random.Generator, blocks: int, rows: int) -> NDArray[np.float64]:
    """Half of the variance is shared by a block."""
    return np.sqrt(0.5) * (rng.standard_normal((blocks, 1)) + rng.standard_normal((blocks, rows)))


def scaled(rng: np.random.Generator, blocks: int, rows: int) -> NDArray[np.float64]:
    """Some blocks are twice as hard as others."""
    return np.exp(0.6 * rng.standard_normal((blocks, 1))) * rng.standard_normal((blocks, rows))


def labels(blocks: int, rows: int) -> NDArray[np.intp]:
    return np.repeat(np.arange(blocks), rows)


def reached(draw: Draw, blocks: int, of_scores: Callable[[NDArray[np.float64], NDArray[np.intp]], float]):
    """Mean share of new blocks' errors within the quantile of some blocks of 200 rows."""
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(REPETITIONS):
        limit = of_scores(np.abs(draw(rng, blocks, 200)).ravel(), labels(blocks, 200))
        shares.append((np.abs(draw(rng, 200, 20)) <= limit).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("blocks", [5, 10, 25])
@pytest.mark.parametrize("draw", [unrelated, shifted, scaled])
def test_nine_of_ten_errors_of_new_blocks_lie_within_the_quantile(draw, blocks):
    assert 0.88 <= reached(draw, blocks, lambda s, b: conformal_quantile(s, b).value) <= 0.92


def test_counting_rows_would_promise_too_much_and_counting_blocks_too_little():
    """Why the correction counts neither: the same errors, the plain rules."""

    def by(count: Callable[[NDArray[np.float64], NDArray[np.intp]], int]):
        def quantile(scores, blocks):
            n = count(scores, blocks)
            share = 0.9 * (n + 1) / n
            return np.sort(scores)[math.ceil(share * len(scores)) - 1] if share <= 1 else math.inf

        return quantile

    counted = reached(scaled, 5, lambda s, b: conformal_quantile(s, b).value)
    assert reached(scaled, 5, by(lambda s, b: len(s))) < counted - 0.01
    assert reached(scaled, 10, by(lambda s, b: len(np.unique(b)))) > 0.96


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (10, 10), (19, 18), (99, 90), (100, 91), (1000, 901)])
def test_rows_that_stand_alone_take_the_rank_of_the_textbook(n, rank):
    """Lei et al. 2018, algorithm 2: the ceil((n + 1) 0.9)-th smallest score, worked out by hand."""
    scores = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    found = conformal_quantile(scores, np.arange(n))
    assert found == Quantile(float(rank), n, n, float(n))


def test_fewer_than_nine_rows_cannot_tell_a_ninth_of_ten():
    assert conformal_quantile(np.arange(8.0), np.arange(8)).value == math.inf


def test_rows_that_only_repeat_their_block_count_once():
    """20 blocks of 50 equal rows know what 20 rows know: the 19th of 20, ceil(21 · 0.9)."""
    scores = np.repeat(np.random.default_rng(0).permutation(20) + 1.0, 50)
    found = conformal_quantile(scores, labels(20, 50))
    assert found.effective == pytest.approx(20)
    assert found.value == 19


@pytest.mark.parametrize("blocks", [1, 4])
def test_few_blocks_allow_no_claim_however_many_rows_they_have(blocks):
    scores = np.abs(np.random.default_rng(0).standard_normal(blocks * 500))
    found = conformal_quantile(scores, labels(blocks, 500))
    assert (found.value, found.blocks) == (math.inf, blocks)


def test_no_scores_allow_no_claim():
    assert conformal_quantile(np.zeros(0), np.zeros(0, np.intp)).value == math.inf


def by_blocks(block: NDArray[np.intp], n_folds: int = 5) -> list[Fold]:
    return [
        (np.flatnonzero(block % n_folds != k), np.flatnonzero(block % n_folds == k)) for k in range(n_folds)
    ]


def spread(X: NDArray[np.float32]) -> NDArray[np.float64]:
    """The true standard deviation of the errors: four times as large at one end as at the other, m³/m³."""
    return 0.02 * (1 + 3 * X[:, 0]).astype(np.float64)


def world(rng: np.random.Generator, blocks: int, rows: int, shared: float):
    """Predictors, errors whose spread the first predictor sets, of which blocks share a part, and blocks."""
    X = rng.random((blocks * rows, 3)).astype(np.float32)
    noise = rng.standard_normal(blocks * rows) * math.sqrt(1 - shared)
    noise += np.repeat(rng.standard_normal(blocks), rows) * math.sqrt(shared)
    return X, noise * spread(X), labels(blocks, rows)


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_intervals_contain_nine_of_ten_everywhere_where_errors_differ_by_a_predictor(shared):
    """The right answer is known: 1.645 standard deviations; 20 repetitions, each third of the widths."""
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(20):
        X, errors, block = world(rng, 25, 80, shared)
        fitted = HalfWidth.fit(X, errors, by_blocks(block), block, threads=1)
        new, held, _ = world(rng, 200, 20, shared)
        inside = np.abs(held) <= fitted.half_width(new, threads=1)
        thirds = np.array_split(inside[np.argsort(new[:, 0])], 3)
        shares.append([inside.mean(), *(third.mean() for third in thirds)])
    everywhere, *thirds = np.mean(shares, axis=0)
    assert 0.88 <= everywhere <= 0.92
    assert min(thirds) > 0.86
    assert max(thirds) < 0.94


def test_widths_follow_the_true_spread():
    rng = np.random.default_rng(5)
    X, errors, block = world(rng, 50, 200, 0.0)
    new = rng.random((2000, 3)).astype(np.float32)
    found = HalfWidth.fit(X, errors, by_blocks(block), block, threads=1).half_width(new)
    assert np.corrcoef(found, spread(new))[0, 1] > 0.95
    assert (found / (1.645 * spread(new))).mean() == pytest.approx(1, abs=0.06)


def test_scores_come_from_trees_that_have_not_seen_them():
    """By hand: for every fold LightGBM on the others, errors divided by what it says, and the rank."""
    X, errors, block = world(np.random.default_rng(8), 20, 60, 0.1)
    folds, error = by_blocks(block), np.abs(errors).astype(np.float32)
    found = HalfWidth.fit(X, errors, folds, block, threads=1).quantile
    params = {
        "objective": "quantile", "alpha": 0.9, "num_leaves": 7, "learning_rate": 0.3, "verbosity": -1,
        "min_data_in_leaf": FEWEST_IN_LEAF, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "feature_pre_filter": False,
    }  # fmt: skip
    data = lightgbm.Dataset(X, error, params=params, free_raw_data=False).construct()
    expected = np.empty(len(error))
    for fit, held in folds:
        model = lightgbm.train(params, data.subset(fit.tolist()), 15)
        said = [model.predict(X[held], num_iteration=trees) for trees in range(1, 16)]
        off = [error[held] - one for one in said]
        pinball = [np.maximum(0.9 * one, -0.1 * one).mean() for one in off]
        expected[held] = said[int(np.argmin(pinball))]
    scores = np.sort(error / np.maximum(expected, 0.2 * np.quantile(error, 0.9)))
    rank = math.ceil(0.9 * (found.effective + 1) / found.effective * len(scores))
    assert found.value == pytest.approx(scores[rank - 1], rel=1e-5)


@pytest.fixture(scope="module")
def fitted() -> HalfWidth:
    X, errors, block = world(np.random.default_rng(1), 20, 100, 0.1)
    X[::7, 1] = np.nan
    return HalfWidth.fit(X, errors, by_blocks(block), block, threads=1)


@pytest.fixture(scope="module")
def constant() -> HalfWidth:
    X, errors, block = world(np.random.default_rng(1), 20, 100, 0.1)
    return HalfWidth.fit(np.ones_like(X), errors, by_blocks(block), block, threads=1)


@pytest.mark.parametrize(
    "kinds", [(STILL, MOVING, DAILY), (MOVING,) * 3, (STILL,) * 3, (DAILY, STILL, STILL)]
)
def test_a_map_of_half_widths_is_that_of_its_rows_bit_for_bit(fitted, constant, kinds):
    rng, days, n = np.random.default_rng(2), 6, 70
    shape = {STILL: (1, n), DAILY: (days, 1), MOVING: (days, n)}
    features = [rng.random(shape[kind]).astype(np.float32) for kind in kinds]
    features[1].flat[:3] = np.nan
    pixels = np.array([3, 0, 69, *range(20, 50)])
    rows = np.stack([np.broadcast_to(one, (days, n))[:, pixels].ravel() for one in features], axis=1)
    both = Intervals(constant, {"hills": fitted}).of("hills")
    assert both is not None
    for one in (fitted, constant, both):
        found = GridHalfWidth(one, kinds).predict(features, pixels, days)
        assert (found.dtype, found.shape) == (np.float32, (days, len(pixels)))
        np.testing.assert_array_equal(found, one.half_width(rows).reshape(days, -1))
    assert np.ptp(GridHalfWidth(fitted, kinds).predict(features, pixels, days)) > 0


def test_another_number_of_predictors_is_refused(fitted):
    with pytest.raises(SampleError, match="takes 3 predictors, not 2"):
        GridHalfWidth(fitted, (STILL, MOVING))


def test_predictors_that_tell_nothing_give_one_width(constant):
    """Of errors whose 0.9 quantile is known by sorting them."""
    _, errors, _ = world(np.random.default_rng(1), 20, 100, 0.1)
    width = constant.half_width(np.zeros((3, 3), np.float32))
    assert np.ptp(width) == 0
    share = (np.abs(errors) <= width[0]).mean()
    assert 0.9 <= share <= 0.93


def test_a_model_without_errors_has_narrow_intervals_and_no_division_by_zero():
    X, _, block = world(np.random.default_rng(1), 20, 50, 0.0)
    found = HalfWidth.fit(X, np.zeros(len(X)), by_blocks(block), block, threads=1).half_width(X)
    assert ((found >= 0) & (found < 1e-5)).all()


def test_rows_that_no_fold_held_out_are_not_calibrated_on():
    X, errors, block = world(np.random.default_rng(4), 25, 60, 0.0)
    some = np.where(block < 15, errors, np.nan)
    folds = by_blocks(block)
    without = [
        (np.setdiff1d(fit, np.flatnonzero(block >= 15)), held[block[held] < 15]) for fit, held in folds
    ]
    one = HalfWidth.fit(X, some, folds, block, threads=1)
    other = HalfWidth.fit(X[block < 15], errors[block < 15], without, block[block < 15], threads=1)
    assert one.quantile.rows == 15 * 60
    np.testing.assert_array_equal(one.half_width(X), other.half_width(X))


def test_too_few_blocks_say_so_and_how_many_are_needed():
    X, errors, block = world(np.random.default_rng(1), 4, 300, 0.0)
    with pytest.raises(SampleError, match=r"held out in 4 blocks.*needs 5 blocks and 9 independent ones"):
        HalfWidth.fit(X, errors, by_blocks(block, 2), block, threads=1)


@pytest.mark.parametrize("known", [True, False])
def test_a_partition_without_its_own_takes_wps_and_without_wps_has_none(fitted, constant, known):
    model = Intervals(constant if known else None, {"hills": fitted}, ("Partition plain has none.",))
    X = np.random.default_rng(0).random((6, 3)).astype(np.float32)
    names = np.array(["hills", "plain", "elsewhere"] * 2)
    found = model.half_width(X, names)
    own = fitted.half_width(X[::3])
    averaged = (own.astype(float) + constant.half_width(X[::3])) / 2
    np.testing.assert_allclose(found[::3], averaged if known else own, rtol=1e-6)
    rest = np.delete(found, [0, 3])
    expected = constant.half_width(X[:4]) if known else np.full(4, np.nan, np.float32)
    np.testing.assert_array_equal(rest, expected)
    np.testing.assert_array_equal(np.isfinite(model.half_width(X)), known)


def test_files_bring_back_the_same_widths(fitted, constant):
    model = Intervals(fitted, {"hills": constant, "plain": fitted}, ("a note, m³/m³",), "By blocks.")
    found = Intervals.from_files(model.to_files())
    X = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    X[::5, 2] = np.nan
    assert (list(found.parts), found.notes) == (["hills", "plain"], model.notes)
    assert found.held_out == "By blocks."
    for name in ("hills", "plain", WP):
        before, after = model.of(name), found.of(name)
        assert before is not None
        assert after is not None
        assert after.quantile == before.quantile
        np.testing.assert_array_equal(after.half_width(X), before.half_width(X))


def test_a_model_without_intervals_is_written_and_read_as_one(fitted):
    found = Intervals.from_files(Intervals(None, notes=("WP has no interval.",)).to_files())
    assert (found.whole, dict(found.parts), found.notes) == (None, {}, ("WP has no interval.",))
    assert np.isnan(found.half_width(np.zeros((2, 3), np.float32))).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.pop("intervals.json"),
        lambda files: files.pop("intervals-0.txt"),
        lambda files: files.update({"intervals.json": files["intervals.json"][:-20]}),
        lambda files: files.update({"intervals.json": "[]"}),
        lambda files: files.update({"intervals.json": json.dumps({"stacks": [{"name": "WP"}], "notes": []})}),
        lambda files: files.update({"intervals-0.txt": "tree\nversion=v4\n"}),
    ],
    ids=["no record", "no trees", "cut off", "a list", "lacking", "no trees in it"],
)
def test_damaged_files_are_refused(fitted, spoil):
    files = Intervals(fitted).to_files()
    spoil(files)
    with pytest.raises(ModelFileError, match="cannot be read"):
        Intervals.from_files(files)
