"""The four metrics against NumPy, SciPy and pytesmo, and their intervals against simulated truth."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from models.errors import SampleError
from models.metrics import MIN_BLOCKS, Metric, Scores, paired_difference, score

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
        pytest.importorskip("pytesmo", reason="pytesmo, the oracle, is in the extra 'validation'")
        from pytesmo.metrics import pairwise
        from pytesmo.metrics.confidence_intervals import with_analytical_ci

        folder = shared_data / "pytesmo-pair"
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
        predicted, reference = (pair[column].to_numpy() for column in ("sm", "soil_moisture"))
        assert len(pair) > 100

        scores = score(predicted, reference)
        assert scores.n == len(pair)
        for ours, name in ((scores.r, "pearson_r"), (scores.bias, "bias"), (scores.ubrmse, "ubrmsd")):
            expected = with_analytical_ci(name, predicted, reference)
            assert (ours.value, ours.lower, ours.upper) == pytest.approx(expected, rel=1e-9), name
            assert ours.reason == ""
        assert scores.rmse.value == pytest.approx(pairwise.rmsd(predicted, reference), rel=1e-12)

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
