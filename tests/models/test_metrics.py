"""The four metrics against NumPy, SciPy and pytesmo, and their intervals against simulated truth."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from models.errors import SampleError
from models.metrics import (
    ALL,
    MIN_BLOCKS,
    Metric,
    Scores,
    compare,
    paired_difference,
    point_metrics,
    score,
    spearman,
)

METRICS: tuple[Metric, ...] = ("r", "rmse", "ubrmse", "abs_bias")
NAN = float("nan")

pytestmark = pytest.mark.filterwarnings("error")  # an undefined metric is a reason, never a NumPy warning


def soil_moisture(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    reference = rng.uniform(0.05, 0.45, n)
    return 0.8 * reference + 0.09 + rng.normal(0, 0.04, n), reference


def equations(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> dict[str, float]:
    """Xu et al. 2024, equations 5 to 8, written as they are printed."""
    rmse = np.sqrt(np.mean((predicted - reference) ** 2))
    bias = predicted.mean() - reference.mean()
    return {
        "r": np.mean((predicted - predicted.mean()) * (reference - reference.mean()))
        / (predicted.std() * reference.std()),
        "rmse": rmse,
        "bias": bias,
        "abs_bias": abs(bias),
        "ubrmse": np.sqrt(rmse**2 - bias**2),
    }


def values(scores: Scores) -> dict[str, float]:
    return {name: getattr(scores, name).value for name in ("r", "rmse", "bias", "ubrmse")}


def real_pair(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ASCAT and the good hourly values of a station within an hour of it."""
    station = pd.read_csv(folder / "ISMN.csv", index_col=0, parse_dates=True)
    ascat = pd.read_csv(folder / "ASCAT.csv", index_col=0, parse_dates=True)
    good = station.loc[station["soil_moisture_flag"] == "G", "soil_moisture"].rename_axis("time")
    pair = pd.merge_asof(
        ascat["sm"].rename_axis("time").sort_index().astype(float),
        good.sort_index(),
        left_index=True,
        right_index=True,
        direction="nearest",
        tolerance=pd.Timedelta("1h"),
    ).dropna()
    return pair["sm"].to_numpy(), pair["soil_moisture"].to_numpy()


def equal_pytesmos(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> None:
    """Values and intervals are those of pytesmo."""
    pytest.importorskip("pytesmo", reason="pytesmo, the oracle, is in the extra 'validation'")
    from pytesmo.metrics import pairwise
    from pytesmo.metrics.confidence_intervals import with_analytical_ci

    scores = score(predicted, reference)
    assert scores.n == len(predicted)
    for ours, name in (
        (scores.r, "pearson_r"),
        (scores.bias, "bias"),
        (scores.ubrmse, "ubrmsd"),
        (spearman(predicted, reference), "spearman_r"),
    ):
        expected = with_analytical_ci(name, predicted, reference)
        assert (ours.value, ours.lower, ours.upper) == pytest.approx(expected, rel=1e-9), name
        assert ours.reason == ""
    assert scores.rmse.value == pytest.approx(pairwise.rmsd(predicted, reference), rel=1e-12)


class TestScore:
    def test_metrics_are_equations_5_to_8(self) -> None:
        predicted, reference = soil_moisture(500)
        expected = equations(predicted, reference)
        del expected["abs_bias"]
        assert values(score(predicted, reference)) == pytest.approx(expected, rel=1e-12)

    def test_pairs_with_a_gap_on_either_side_do_not_count(self) -> None:
        predicted, reference = soil_moisture(50)
        gappy, other = predicted.copy(), reference.copy()
        gappy[[3, 7]] = NAN
        other[[7, 20]] = NAN
        gappy[30] = np.inf
        kept = np.delete(np.arange(50), [3, 7, 20, 30])
        assert score(gappy, other) == score(predicted[kept], reference[kept])
        assert score(gappy, other).n == 46

    def test_a_positive_bias_means_the_prediction_is_wetter(self) -> None:
        assert score([0.3, 0.4], [0.2, 0.3]).bias.value == pytest.approx(0.1)

    def test_real_pair_equals_pytesmo(self, shared_data: Path) -> None:
        predicted, reference = real_pair(shared_data / "pytesmo-pair")
        assert len(predicted) > 100
        equal_pytesmos(predicted, reference)

    @pytest.mark.parametrize(("n", "seed"), [(6, 0), (10, 1), (60, 2), (1000, 3)])
    def test_random_series_equal_pytesmo(self, n: int, seed: int) -> None:
        equal_pytesmos(*soil_moisture(n, seed))

    def test_r_interval_is_scipys(self) -> None:
        predicted, reference = soil_moisture(40)
        expected = stats.pearsonr(predicted, reference).confidence_interval(0.9)
        r = score(predicted, reference, confidence=0.9).r
        assert (r.lower, r.upper) == pytest.approx((expected.low, expected.high), rel=1e-10)

    def test_rmse_has_an_interval_only_from_blocks(self) -> None:
        predicted, reference = soil_moisture(120)
        alone = score(predicted, reference).rmse
        assert np.isnan([alone.lower, alone.upper]).all()
        months = score(predicted, reference, blocks=np.repeat(np.arange(6), 20)).rmse
        assert months.value == pytest.approx(alone.value, rel=1e-12)
        assert months.lower < alone.value < months.upper

    @pytest.mark.parametrize("blocks", [None, "rows"])
    def test_perfect_prediction_has_a_point_interval(self, blocks: str | None) -> None:
        _, reference = soil_moisture(20)
        scores = score(reference, reference, blocks=None if blocks is None else np.arange(20))
        for estimate, truth in ((scores.r, 1.0), (scores.bias, 0.0), (scores.ubrmse, 0.0)):
            assert (estimate.value, estimate.lower, estimate.upper) == pytest.approx((truth,) * 3, abs=1e-12)

    @pytest.mark.parametrize(
        ("predicted", "reference", "undefined", "reason"),
        [
            ([], [], {"r", "rmse", "bias", "ubrmse"}, "no row has a finite value"),
            ([NAN, NAN], [0.1, 0.2], {"r", "rmse", "bias", "ubrmse"}, "no row has a finite value"),
            ([0.1], [0.2], {"r", "ubrmse"}, "ubrmse needs 2 pairs, got 1"),
            ([0.1, 0.3], [0.2, 0.25], {"r"}, "r needs 3 pairs, got 2"),
            ([0.1, 0.1, 0.1], [0.2, 0.3, 0.1], {"r"}, "constant predicted series"),
            ([0.1, 0.3, 0.2], [0.7, 0.7, 0.7], {"r"}, "constant reference series"),
            ([0.0, 0.0, 0.0], [0.7, 0.7, 0.7], {"r"}, "constant predicted and reference series"),
            ([0.3, 0.1 + 0.2, 0.3], [0.1, 0.2, 0.4], {"r"}, "constant predicted series"),
        ],
    )
    def test_what_is_undefined_is_nan_with_a_reason(
        self, predicted: list[float], reference: list[float], undefined: set[str], reason: str
    ) -> None:
        scores = score(predicted, reference)
        for name, value in values(scores).items():
            assert np.isnan(value) == (name in undefined), name
            assert bool(getattr(scores, name).reason) or name not in undefined, name
        assert reason in str(scores.as_dict()["reason"])

    def test_three_pairs_give_r_no_interval(self) -> None:
        r = score([0.1, 0.2, 0.4], [0.1, 0.3, 0.3]).r
        assert np.isfinite(r.value)
        assert np.isnan([r.lower, r.upper]).all()
        assert r.reason == "the interval of r needs 4 pairs, got 3"

    def test_too_few_blocks_give_values_without_intervals(self) -> None:
        predicted, reference = soil_moisture(40)
        scores = score(predicted, reference, blocks=np.arange(40) % (MIN_BLOCKS - 1))
        assert values(scores) == pytest.approx(values(score(predicted, reference)), rel=1e-12)
        assert np.isnan(scores.bias.lower)
        assert scores.as_dict()["reason"] == "a bootstrap interval needs 5 blocks, got 4"

    def test_a_stuck_sensor_has_a_bias_interval_and_no_r(self) -> None:
        _, reference = soil_moisture(40)
        scores = score(np.full(40, 0.3), reference, blocks=np.repeat(np.arange(8), 5))
        assert np.isnan([scores.r.value, scores.r.lower, scores.r.upper]).all()
        assert scores.bias.lower < 0.3 - reference.mean() < scores.bias.upper

    def test_a_row_for_a_table(self) -> None:
        row = score(*soil_moisture(30)).as_dict()
        names = ("r", "rmse", "bias", "ubrmse")
        columns = [[name, f"{name}_lower", f"{name}_upper"] for name in names]
        assert list(row) == ["n", *itertools.chain(*columns), "reason"]
        assert row["n"] == 30
        assert row["reason"] == ""
        assert row["r_lower"] < row["r"] < row["r_upper"]

    def test_offset_does_not_drown_the_signal(self) -> None:
        predicted, reference = soil_moisture(1000)
        near, far = score(predicted, reference), score(predicted + 1e6, reference + 1e6)
        assert values(far) == pytest.approx(values(near), abs=1e-8)  # 1e6 leaves float64 ten decimals

    def test_small_errors_are_not_lost_in_large_moments(self) -> None:
        _, reference = soil_moisture(1000)
        error = np.random.default_rng(1).normal(2e-9, 1e-9, 1000)
        stored = (reference + error) - reference  # what float64 keeps of the error
        scores = score(reference + error, reference)
        assert scores.ubrmse.value == pytest.approx(stored.std(), rel=1e-9)
        assert scores.rmse.value == pytest.approx(np.sqrt(np.mean(stored**2)), rel=1e-9)

    def test_r_does_not_hang_on_units(self) -> None:
        predicted, reference = soil_moisture(1000)
        assert score(predicted * 1e9, reference).r.value == pytest.approx(
            np.corrcoef(predicted, reference)[0, 1]
        )

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(SampleError, match=r"different lengths \[3, 2, 3\]"):
            score([0.1, 0.2, 0.3], [0.1, 0.2])

    def test_confidence_is_a_probability(self) -> None:
        with pytest.raises(ValueError, match="confidence is 95; it must lie between 0 and 1"):
            score([0.1, 0.2], [0.1, 0.3], confidence=95)


def three_products(n_blocks: int, rows: int, seed: int) -> tuple[NDArray[np.float64], ...]:
    """Two products of spread 0.03 and 0.04 and bias 0.02 and -0.05, half of each error shared by a block."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(n_blocks), rows)
    reference = rng.normal(0.25, 0.07, len(block))

    def product(spread: float, bias: float) -> NDArray[np.float64]:
        shared, own = rng.normal(size=n_blocks)[block], rng.normal(size=len(block))
        return reference + bias + spread * np.sqrt(0.5) * (shared + own)

    return product(0.03, 0.02), product(0.04, -0.05), reference, block


TRUTH = {
    "r": 1 / np.sqrt(1 + (0.03 / 0.07) ** 2) - 1 / np.sqrt(1 + (0.04 / 0.07) ** 2),
    "rmse": np.hypot(0.03, 0.02) - np.hypot(0.04, 0.05),
    "ubrmse": 0.03 - 0.04,
    "abs_bias": 0.02 - 0.05,
}


class TestPairedDifference:
    @pytest.mark.parametrize("metric", METRICS)
    def test_value_is_the_difference_of_the_metrics(self, metric: Metric) -> None:
        first, second, reference, block = three_products(8, 20, seed=0)
        first[4], second[5], reference[6] = NAN, NAN, NAN
        all_three = np.isfinite(first + second + reference)
        expected = (
            equations(first[all_three], reference[all_three])[metric]
            - equations(second[all_three], reference[all_three])[metric]
        )
        difference = paired_difference(first, second, reference, blocks=block, metric=metric)
        assert difference.n == 157
        assert difference.value == pytest.approx(expected, rel=1e-10)
        assert difference.lower < difference.value < difference.upper

    @pytest.mark.parametrize("metric", METRICS)
    def test_block_sums_give_the_interval_that_drawing_rows_gives(self, metric: Metric) -> None:
        first, second, reference, block = three_products(12, 10, seed=3)
        reference, block = reference[:-6], block[:-6]  # one block shorter than the rest
        first, second = (
            first[:-6] + 0.2 * (block == 3),
            second[:-6],
        )  # a bad block makes the interval lopsided
        rows_of = [np.flatnonzero(block == i) for i in range(12)]
        rng = np.random.default_rng(99)
        drawn = []
        for _ in range(3000):
            rows = np.concatenate([rows_of[i] for i in rng.integers(0, 12, 12)])
            drawn.append(
                equations(first[rows], reference[rows])[metric]
                - equations(second[rows], reference[rows])[metric]
            )
        tail = stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf(0.025, 11))  # Hesterberg 2015, section 4.6
        lower, upper = np.quantile(drawn, [tail, 1 - tail])

        difference = paired_difference(first, second, reference, blocks=block, metric=metric, draws=3000)
        assert (difference.lower, difference.upper) == pytest.approx(
            (lower, upper), abs=0.1 * (upper - lower)
        )

    def test_swapping_the_products_mirrors_the_interval(self) -> None:
        first, second, reference, block = three_products(8, 20, seed=0)
        there = paired_difference(first, second, reference, blocks=block, metric="rmse")
        back = paired_difference(second, first, reference, blocks=block, metric="rmse")
        assert (-back.value, -back.upper, -back.lower) == pytest.approx(
            (there.value, there.lower, there.upper)
        )

    def test_a_product_does_not_differ_from_itself(self) -> None:
        first, _, reference, block = three_products(8, 20, seed=0)
        difference = paired_difference(first, first, reference, blocks=block, metric="r")
        assert (difference.value, difference.lower, difference.upper) == (0, 0, 0)
        assert not difference.significant

    def test_order_of_rows_and_kind_of_label_do_not_matter(self) -> None:
        first, second, reference, block = three_products(8, 20, seed=0)
        plain = paired_difference(first, second, reference, blocks=block, metric="ubrmse")
        order = np.random.default_rng(5).permutation(len(block))
        months = np.array([f"2019-{4 + number:02d}" for number in block])[order]
        shuffled = paired_difference(
            first[order], second[order], reference[order], blocks=months, metric="ubrmse"
        )
        assert (shuffled.lower, shuffled.upper) == pytest.approx((plain.lower, plain.upper), rel=1e-9)

    def test_same_seed_same_interval(self) -> None:
        first, second, reference, block = three_products(8, 20, seed=0)
        one, two, other = (
            paired_difference(first, second, reference, blocks=block, metric="r", seed=seed)
            for seed in (1, 1, 2)
        )
        assert one == two
        assert one.lower != other.lower

    def test_clear_gain_is_significant_and_too_few_blocks_never_are(self) -> None:
        _, poor, reference, block = three_products(8, 20, seed=0)
        clear = paired_difference(reference, poor, reference, blocks=block, metric="rmse")
        assert clear.significant
        assert clear.upper < 0
        few = paired_difference(reference, poor, reference, blocks=block % 4, metric="rmse")
        assert few.value == pytest.approx(clear.value)
        assert np.isnan([few.lower, few.upper]).all()
        assert not few.significant
        assert few.reason == "a bootstrap interval needs 5 blocks, got 4"

    @pytest.mark.parametrize(
        ("second", "metric", "reason"),
        [
            (np.full(12, NAN), "rmse", "no row has a finite value"),
            (np.full(12, 0.3), "r", "constant predicted series"),
            (np.r_[0.3, 0.2, np.full(10, NAN)], "r", "r needs 3 pairs, got 2"),
        ],
    )
    def test_undefined_is_nan_with_a_reason(
        self, second: NDArray[np.float64], metric: Metric, reason: str
    ) -> None:
        predicted, reference = soil_moisture(12)
        difference = paired_difference(predicted, second, reference, blocks=np.arange(12), metric=metric)
        assert np.isnan([difference.value, difference.lower, difference.upper]).all()
        assert reason in difference.reason
        assert not difference.significant

    def test_draws_of_constant_blocks_have_no_r(self) -> None:
        """Four of five blocks are a stuck sensor: a third of the draws have no spread, and so no R."""
        _, varying = soil_moisture(20)
        reference = np.r_[varying, np.full(80, 0.1)]
        r = score(3 * reference + 0.1, reference, blocks=np.repeat(np.arange(5), 20)).r
        assert (r.value, r.lower, r.upper) == pytest.approx((1, 1, 1), abs=1e-9)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize(("n_blocks", "tolerance"), [(7, 0.07), (12, 0.04)])
    def test_interval_covers_a_known_truth_and_independent_rows_would_not(
        self, n_blocks: int, tolerance: float, metric: Metric
    ) -> None:
        """95 % asked, 92 to 96 % expected of 7 blocks; 400 studies tell a coverage to 1.3 % (one sigma)."""
        covered = {"blocks": 0, "rows": 0}
        for study in range(400):
            first, second, reference, block = three_products(n_blocks, 10, seed=study)
            for unit, labels, draws in (("blocks", block, 1000), ("rows", np.arange(len(block)), 200)):
                interval = paired_difference(
                    first, second, reference, blocks=labels, metric=metric, draws=draws, seed=10_000 + study
                )
                covered[unit] += interval.lower <= TRUTH[metric] <= interval.upper
        assert covered["blocks"] / 400 == pytest.approx(0.95, abs=tolerance)
        assert covered["rows"] / 400 < 0.85

    def test_a_thousand_draws_of_100_000_rows_take_less_than_a_second(self) -> None:
        first, second, reference, block = three_products(200, 500, seed=0)
        start = time.perf_counter()
        paired_difference(first, second, reference, blocks=block, metric="r")
        assert time.perf_counter() - start < 1


class TestSpearman:
    @pytest.mark.parametrize("seed", range(5))
    def test_random_series_equal_scipy_and_pytesmo(self, seed: int) -> None:
        pytest.importorskip("pytesmo", reason="pytesmo, the oracle, is in the extra 'validation'")
        from pytesmo.metrics.confidence_intervals import with_analytical_ci

        predicted, reference = soil_moisture(60, seed)
        predicted = predicted.round(2)  # with ties
        found = spearman(predicted, reference)
        assert found.value == pytest.approx(stats.spearmanr(predicted, reference).statistic, rel=1e-12)
        expected = with_analytical_ci("spearman_r", predicted, reference)
        assert (found.value, found.lower, found.upper) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(
        ("predicted", "reference", "reason"),
        [
            ([0.1, 0.2], [0.3, 0.4], "spearman needs 3 pairs, got 2"),
            ([0.1, 0.1, 0.1], [0.3, 0.4, 0.1], "spearman is undefined: constant predicted series"),
        ],
    )
    def test_what_is_undefined_is_nan_with_a_reason(
        self, predicted: list[float], reference: list[float], reason: str
    ) -> None:
        found = spearman(predicted, reference)
        assert np.isnan(found.value)
        assert found.reason == reason


def autocorrelated(
    seed: int, n_blocks: int = 40, rows: int = 30, memory: float = 0.5
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64], NDArray[np.intp]]:
    """Daily Gaussian series of spread 0.06; errors of spread 0.03 and 0.045 and bias 0.02 and -0.03."""
    drawn = np.random.default_rng(seed).normal(size=(3, n_blocks * rows + 100))
    reference, first, second = lfilter([np.sqrt(1 - memory**2)], [1, -memory], drawn, axis=1)[:, 100:]
    truth = 0.25 + 0.06 * reference
    products = {"a": truth + 0.02 + 0.03 * first, "b": truth - 0.03 + 0.045 * second}
    return products, truth, np.repeat(np.arange(n_blocks), rows)


def known(spread: float, bias: float) -> dict[Metric, float]:
    r = 0.06 / np.hypot(0.06, spread)
    return {
        "r": r, "spearman": 6 / np.pi * np.arcsin(r / 2), "bias": bias, "rmse": np.hypot(spread, bias),
        "ubrmse": spread, "abs_bias": abs(bias),
    }  # fmt: skip


class TestCompare:
    def test_many_products_are_scored_as_one_at_a_time(self) -> None:
        first, second, reference, block = three_products(12, 20, seed=4)
        third = second[::-1].copy()
        products = {"a": first, "b": second, "c": third}
        found = compare(products, reference, blocks=block, baseline="b", seed=3)
        assert (found.n, found.blocks, set(found.differences)) == (240, 12, {"a", "c"})
        for name, series in products.items():
            alone = score(series, reference, blocks=block, seed=3)
            for metric in ("r", "rmse", "bias", "ubrmse"):
                one, other = found.scores[name][metric], getattr(alone, metric)
                assert (one.value, one.lower, one.upper) == pytest.approx(
                    (other.value, other.lower, other.upper), rel=1e-9
                )
        for metric in METRICS:
            pair = paired_difference(third, second, reference, blocks=block, metric=metric, seed=3)
            both = found.differences["c"][metric]
            assert (both.value, both.lower, both.upper) == pytest.approx(
                (pair.value, pair.lower, pair.upper), rel=1e-9
            )

    def test_only_rows_that_all_products_have_count(self) -> None:
        first, second, reference, block = three_products(8, 20, seed=0)
        gappy = second.copy()
        gappy[::5] = NAN
        kept = np.isfinite(gappy)
        found = compare({"a": first, "b": gappy}, reference, blocks=block)
        assert found.n == kept.sum()
        expected = equations(first[kept], reference[kept])
        assert found.scores["a"]["rmse"].value == pytest.approx(expected["rmse"])
        rho = stats.spearmanr(first[kept], reference[kept]).statistic
        assert found.scores["a"]["spearman"].value == pytest.approx(rho)
        assert found.differences == {}

    def test_the_spearman_interval_is_that_of_drawn_blocks_of_ranks(self) -> None:
        first, _, reference, block = three_products(12, 10, seed=3)
        ranks = stats.rankdata(first), stats.rankdata(reference)
        rng = np.random.default_rng(99)
        drawn = []
        for _ in range(3000):
            rows = (10 * rng.integers(0, 12, 12)[:, None] + np.arange(10)).ravel()
            drawn.append(np.corrcoef(ranks[0][rows], ranks[1][rows])[0, 1])
        tail = stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf(0.025, 11))
        lower, upper = np.quantile(drawn, [tail, 1 - tail])
        found = compare({"a": first}, reference, blocks=block, metrics=("spearman",), draws=3000)
        ours = found.scores["a"]["spearman"]
        assert (ours.lower, ours.upper) == pytest.approx((lower, upper), abs=0.1 * (upper - lower))

    def test_a_constant_product_has_no_correlation_and_takes_none_from_the_others(self) -> None:
        first, _, reference, block = three_products(8, 20, seed=0)
        found = compare({"a": first, "b": np.full(160, 0.3)}, reference, blocks=block, baseline="b")
        for metric in ("r", "spearman"):
            assert np.isfinite(found.scores["a"][metric].lower)
            assert "constant predicted series" in found.scores["b"][metric].reason
            assert "constant predicted series" in found.differences["a"][metric].reason
        assert np.isfinite(found.differences["a"]["rmse"].lower)

    def test_the_same_draws_serve_whatever_was_asked_before(self) -> None:
        first, second, reference, block = three_products(8, 20, seed=0)
        one = compare({"a": first}, reference, blocks=block, seed=1)
        compare({"a": first}, reference, blocks=block, seed=2)
        compare({"a": second}, reference, blocks=block % 6, seed=1)
        assert compare({"a": first}, reference, blocks=block, seed=1) == one

    def test_intervals_of_autocorrelated_series_cover_the_known_values(self) -> None:
        """95 % asked of 300 simulated stations: a coverage is known to 1.3 % (one sigma)."""
        truth = {"a": known(0.03, 0.02), "b": known(0.045, -0.03)}
        stations, sigma = 300, np.sqrt(0.95 * 0.05 / 300)
        covered = dict.fromkeys([(kind, metric) for kind in ("own", "difference") for metric in ALL], 0)
        of_rows = 0
        for station in range(stations):
            products, reference, block = autocorrelated(station)
            found = compare(products, reference, blocks=block, baseline="b", draws=500, seed=station)
            for metric in ALL:
                own, both = found.scores["a"][metric], found.differences["a"][metric]
                gap = truth["a"][metric] - truth["b"][metric]
                covered["own", metric] += own.lower <= truth["a"][metric] <= own.upper
                covered["difference", metric] += both.lower <= gap <= both.upper
            bias = score(products["a"], reference).bias  # analytic: every row independent
            of_rows += bias.lower <= 0.02 <= bias.upper
        for key, count in covered.items():
            assert abs(count / stations - 0.95) < 3 * sigma, key
        assert of_rows / stations < 0.85


class TestPointMetrics:
    def test_each_product_is_scored_as_numpy_and_scipy_score_it(self) -> None:
        first, second, reference, _ = three_products(5, 8, seed=2)
        found = point_metrics(np.column_stack([first, second]), reference)
        for place, series in enumerate((first, second)):
            expected = equations(series, reference)
            expected["spearman"] = stats.spearmanr(series, reference).statistic
            assert {metric: found[metric][place] for metric in expected} == pytest.approx(expected, rel=1e-10)

    def test_a_constant_series_has_no_correlation(self) -> None:
        varying = np.array([0.1, 0.2, 0.4, 0.3])
        found = point_metrics(np.column_stack([varying, np.full(4, 0.3)]), varying)
        assert found["r"][0] == pytest.approx(1)
        assert np.isnan([found["r"][1], found["spearman"][1]]).all()
        assert np.isnan(point_metrics(varying[:, None], np.full(4, 0.1))["r"]).all()
        assert np.isnan(point_metrics(varying[:2, None], varying[:2])["r"]).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), shift=st.floats(-0.3, 0.3), n=st.integers(12, 60))
def test_order_of_rows_and_a_constant_shift_of_all_change_no_score(seed: int, shift: float, n: int) -> None:
    predicted, reference = soil_moisture(n, seed)
    block = np.arange(n) // 2
    order = np.random.default_rng(seed).permutation(n)
    plain = compare({"a": predicted}, reference, blocks=block, draws=50)
    moved = compare(
        {"a": (predicted + shift)[order]}, (reference + shift)[order], blocks=block[order], draws=50
    )
    wetter = compare({"a": predicted + shift}, reference, blocks=block, draws=50)
    for metric in ALL:
        one, other = plain.scores["a"][metric], moved.scores["a"][metric]
        expected = (one.value, one.lower, one.upper)
        assert (other.value, other.lower, other.upper) == pytest.approx(expected, abs=1e-9)
    for metric in ("r", "spearman", "ubrmse"):
        assert wetter.scores["a"][metric].value == pytest.approx(plain.scores["a"][metric].value, abs=1e-9)
    assert wetter.scores["a"]["bias"].value == pytest.approx(plain.scores["a"]["bias"].value + shift)
