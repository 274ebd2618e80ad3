"""Fits, correlations and covariances against SciPy, scikit-learn and least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.linear_model import Ridge

from gee.local.errors import EngineError
from gee.local.reduction import moments as reducers_moments
from gee.local.reduction import regression as reducers_regression
from gee.local.reduction.reducers import as_values, boxed

CELLS = (2, 3)
ALL = reducers_moments.REDUCERS | reducers_regression.REDUCERS


def samples(count: int, inputs: int, seed: int = 4) -> tuple[list[Any], Any]:
    """Simulated related inputs with ties, and a mask that leaves enough of them."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 12, (count, *CELLS)).astype(float)
    others = [
        np.round(0.5 * position * first + random.normal(0, 2, first.shape)) for position in range(1, inputs)
    ]
    mask = random.random(first.shape) < 0.8
    first[~mask] = np.nan
    return [first, *others], mask


def scipy_kendall(x: Any, y: Any) -> Any:
    return stats.kendalltau(x, y, method="asymptotic")


def line(x: Any, y: Any) -> tuple[float, float]:
    found = stats.linregress(x, y)
    return found.slope, found.intercept


def sen(x: Any, y: Any) -> tuple[float, float]:
    slope = stats.theilslopes(y, x)[0]
    return slope, float(np.median(y - slope * x))


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [
        (ALL["linearFit"], line),
        (ALL["pearsonsCorrelation"], stats.pearsonr),
        (ALL["spearmansCorrelation"], stats.spearmanr),
        (reducers_regression.kendall(2), scipy_kendall),
        (ALL["sensSlope"], sen),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_pairs_are_fitted_and_correlated_as_in_scipy(reducer: Any, expected: Callable[..., Any]) -> None:
    (x, y), mask = samples(25, 2)
    results = reducer([x, y], mask)
    assert len(results) == len(reducer.outputs) == 2
    for cell in np.ndindex(CELLS):
        here = mask[(slice(None), *cell)]
        pair = tuple(expected(x[(slice(None), *cell)][here], y[(slice(None), *cell)][here]))
        assert [float(result[cell]) for result, _ in results] == pytest.approx(pair, rel=1e-9)


def test_names_of_the_outputs() -> None:
    assert {name: reducer.outputs for name, reducer in ALL.items()} | {
        "kendallsCorrelation": reducers_regression.kendall(1).outputs
    } == {
        "variance": ("variance",),
        "stdDev": ("stdDev",),
        "sampleVariance": ("variance",),
        "sampleStdDev": ("stdDev",),
        "linearFit": ("scale", "offset"),
        "pearsonsCorrelation": ("correlation", "p-value"),
        "spearmansCorrelation": ("correlation", "p-value"),
        "sensSlope": ("slope", "offset"),
        "kendallsCorrelation": ("tau", "p-value"),
        "covariance": ("covariance",),
        "centeredCovariance": ("covariance",),
    }


def test_kendall_of_one_input_is_against_its_order() -> None:
    (y,), mask = samples(25, 1)
    y = np.where(np.isnan(y), 3, y)
    (tau, _), (p, _) = reducers_regression.kendall(1)([y], mask)
    for cell in np.ndindex(CELLS):
        series = y[(slice(None), *cell)][mask[(slice(None), *cell)]]
        expected = scipy_kendall(np.arange(len(series)), series)
        assert (tau[cell], p[cell]) == pytest.approx(tuple(expected), rel=1e-9)


def test_a_weighted_line_is_that_of_weighted_least_squares() -> None:
    random = np.random.default_rng(8)
    x, y, w = random.random((3, 30))
    (scale, offset) = (as_values(result) for result in ALL["linearFit"]([x, y], w))
    # polyfit's weights apply to the residuals, not to their squares.
    assert (scale, offset) == pytest.approx(tuple(np.polyfit(x, y, 1, w=np.sqrt(w))), rel=1e-9)


def test_inputs_that_do_not_vary_have_no_fit_and_no_correlation() -> None:
    constant, varying = np.ones(5), np.arange(5.0)
    everything = np.ones(5, bool)
    pairs = [ALL[name] for name in ("linearFit", "pearsonsCorrelation", "spearmansCorrelation", "sensSlope")]
    for reducer in (*pairs, reducers_regression.kendall(2)):
        assert [as_values(result) for result in reducer([constant, varying], everything)] == [None, None]


def test_two_points_correlate_fully_without_significance() -> None:
    found = ALL["pearsonsCorrelation"]([np.array([1.0, 2.0]), np.array([5.0, 3.0])], np.ones(2, bool))
    assert [as_values(result) for result in found] == [-1, 1]


def test_covariance_of_arrays_is_that_of_the_population() -> None:
    vectors = np.random.default_rng(6).normal(1e4, 1, (50, 3))
    [result] = ALL["covariance"]([vectors], np.ones(50, bool))
    np.testing.assert_allclose(as_values(result), np.cov(vectors.T, bias=True), rtol=1e-7)
    centred = vectors - vectors.mean(axis=0)
    [result] = ALL["centeredCovariance"]([centred], np.ones(50, bool))
    np.testing.assert_allclose(as_values(result), np.cov(vectors.T, bias=True), rtol=1e-7)


def test_covariance_merges_blocks_and_leaves_out_masked_arrays() -> None:
    random = np.random.default_rng(7)
    vectors = random.normal(3, 1, (150_000, 2))
    mask = random.random(150_000) < 0.5
    vectors[~mask] = np.nan
    [result] = ALL["covariance"]([vectors], mask)
    np.testing.assert_allclose(as_values(result), np.cov(vectors[mask].T, bias=True), rtol=1e-9)


def test_covariance_takes_arrays_in_a_list_but_no_numbers() -> None:
    listed = boxed((2,), [np.array([1, 2]), np.array([3, 6])])
    assert as_values(ALL["covariance"]([listed], np.ones(2, bool))[0]).tolist() == [[1, 2], [2, 4]]
    with pytest.raises(EngineError, match="1-D arrays"):
        ALL["covariance"]([np.arange(3.0)], np.ones(3, bool))


def test_linear_regression_is_least_squares_in_every_cell() -> None:
    (x, y, z), mask = samples(20, 3)
    inputs = [np.ones_like(x), x, y, z]
    (coefficients, valid), (residuals, _) = reducers_regression.linear_regression(2, 2)(inputs, mask)
    assert coefficients.shape == (*CELLS, 2, 2) and residuals.shape == (*CELLS, 2)
    assert valid.all()
    for cell in np.ndindex(CELLS):
        here = mask[(slice(None), *cell)]
        table = np.stack([each[(slice(None), *cell)][here] for each in inputs], axis=1)
        expected, *_ = np.linalg.lstsq(table[:, :2], table[:, 2:], rcond=None)
        rest = table[:, 2:] - table[:, :2] @ expected
        np.testing.assert_allclose(coefficients[cell], expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(residuals[cell], np.sqrt(np.mean(rest**2, axis=0)), rtol=1e-9)


def test_linear_regression_on_times_in_milliseconds_keeps_its_digits() -> None:
    time = 1.55e12 + np.arange(200) * 8.64e7
    y = 3e-12 * (time - 1.55e12) + 0.25
    result, _ = reducers_regression.linear_regression(2, 1)([np.ones(200), time, y], np.ones(200, bool))
    constant, slope = as_values(result)[:, 0]
    assert slope == pytest.approx(3e-12, rel=1e-6)
    assert constant + slope * 1.55e12 == pytest.approx(0.25, abs=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_regression_needs_more_inputs_than_unknowns(count: int) -> None:
    x = np.arange(4.0)
    mask = np.arange(4) < count
    results = reducers_regression.linear_regression(2, 1)([np.ones(4), x, 2 * x + 1], mask)
    assert [as_values(result) is None for result in results] == [count <= 2] * 2


def test_a_singular_regression_is_null() -> None:
    x = np.arange(5.0)
    results = reducers_regression.linear_regression(2, 1)([x, 2 * x, x], np.ones(5, bool))
    assert [as_values(result) for result in results] == [None, None]


def test_robust_regression_is_least_squares_without_the_outliers() -> None:
    random = np.random.default_rng(9)
    x = np.linspace(0, 10, 60)
    y = 2 + 0.5 * x + random.normal(0, 0.1, 60)
    y[[5, 20, 41]] += [30, -40, 25]
    clean = np.delete(np.arange(60), [5, 20, 41])
    expected = np.polyfit(x[clean], y[clean], 1)[::-1]
    for beta in (1.0, None):
        reducer = reducers_regression.robust_regression(2, 1, beta)
        coefficients = as_values(reducer([np.ones(60), x, y], np.ones(60, bool))[0])[:, 0]
        # By default a few honest points beyond 2.795 deviations may be left out too.
        np.testing.assert_allclose(coefficients, expected, rtol=1e-9 if beta else 0.02)
    plain = as_values(reducers_regression.linear_regression(2, 1)([np.ones(60), x, y], np.ones(60, bool))[0])
    assert abs(plain[1, 0] - expected[1]) > 10 * abs(coefficients[1] - expected[1])


def test_robust_regression_of_an_exact_line_is_the_line() -> None:
    x = np.arange(6.0)
    result, rest = reducers_regression.robust_regression(2, 1, None)(
        [np.ones(6), x, 3 * x + 1], np.ones(6, bool)
    )
    np.testing.assert_allclose(as_values(result)[:, 0], [1, 3])
    assert as_values(rest)[0] == pytest.approx(0, abs=1e-12)


def test_ridge_regression_penalises_standardised_slopes_and_not_the_intercept() -> None:
    random = np.random.default_rng(10)
    x = random.normal([5, -2], [1, 30], (40, 2))
    y = x @ [0.7, 0.01] + 3 + random.normal(0, 0.2, 40)
    reducer = reducers_regression.ridge_regression(2, 1, 2.5)
    coefficients, residuals, p = (
        as_values(result) for result in reducer([x[:, 0], x[:, 1], y], np.ones(40, bool))
    )
    scale = x.std(axis=0)
    model = Ridge(alpha=2.5).fit((x - x.mean(axis=0)) / scale, y)
    slopes = model.coef_ / scale
    np.testing.assert_allclose(coefficients[:, 0], [*slopes, model.intercept_ - slopes @ x.mean(axis=0)])
    rest = y - x @ coefficients[:2, 0] - coefficients[2, 0]
    assert residuals.tolist() == pytest.approx([np.sqrt(np.mean(rest**2))])
    explained = np.sum((y - y.mean()) ** 2) - np.sum(rest**2)
    assert p.tolist() == pytest.approx([stats.f.sf((explained / 2) / (np.sum(rest**2) / 37), 2, 37)])


def test_ridge_regression_without_penalty_is_least_squares() -> None:
    (x, y), mask = samples(20, 2)
    ridge, _, _ = reducers_regression.ridge_regression(1, 1, 0)([x, y], mask)
    plain, _ = reducers_regression.linear_regression(2, 1)([x, np.ones_like(x), y], mask)
    np.testing.assert_allclose(ridge[0], plain[0], rtol=1e-8)


def test_the_geometric_median_has_the_least_total_distance() -> None:
    points = np.random.default_rng(11).random((15, 3)) * 1000
    reducer = reducers_regression.geometric_median(3, 0.001)
    found = np.array([as_values(result) for result in reducer(list(points.T), np.ones(15, bool))])

    def distance(at: Any) -> float:
        return float(np.sqrt(((points - at) ** 2).sum(axis=1)).sum())

    best = optimize.minimize(
        distance, points.mean(axis=0), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}
    )
    assert distance(found) <= best.fun + 0.001
    np.testing.assert_allclose(found, best.x, atol=0.01)


def test_the_geometric_median_may_be_an_input() -> None:
    points = np.array([[0.0, 0], [0, 0], [0, 0], [10, 0], [0, 10]])
    found = reducers_regression.geometric_median(2, 0.001)(list(points.T), np.ones(5, bool))
    assert [as_values(result) for result in found] == pytest.approx([0, 0], abs=0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda: reducers_regression.linear_regression(0, 1),
        lambda: reducers_regression.ridge_regression(1, 1, -1),
        lambda: reducers_regression.kendall(3),
        lambda: reducers_regression.geometric_median(2, 0),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(EngineError):
        make()
