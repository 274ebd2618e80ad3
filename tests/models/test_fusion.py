"""Weights of a stack are least squares shares drawn to the mean; who is shown to be of no use gets none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize

from models.fusion import (
    OutOfFold,
    by_group,
    convex,
    convex_weights,
    free_ridge,
    mean,
    ridge,
    ridge_weights,
    weigh,
)

NAMES = ("first", "second", "third")


@st.composite
def problems(draw) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions (n, m) of soil moisture by m members, and the target (n,)."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 4)))
    moisture = st.floats(0, 0.5, width=32)
    return draw(arrays(np.float64, shape, elements=moisture)), draw(
        arrays(np.float64, shape[0], elements=moisture)
    )


def squares(weights, members, target) -> float:
    return float(np.square(target - members @ weights).sum())


@settings(deadline=None)
@given(problem=problems(), seed=st.integers(0, 1000))
def test_no_member_and_no_other_shares_are_closer_to_the_target(problem, seed):
    members, target = problem
    count = members.shape[1]
    weights = convex_weights(members, target)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    others = np.vstack([np.eye(count), np.random.default_rng(seed).dirichlet(np.ones(count), 20)])
    least = min(squares(other, members, target) for other in others)
    assert squares(weights, members, target) <= least * (1 + 1e-9) + 1e-14


@settings(deadline=None)
@given(problem=problems(), data=st.data())
def test_the_order_of_the_members_does_not_matter(problem, data):
    members, target = problem
    order = np.array(data.draw(st.permutations(range(members.shape[1]))))
    fused = members @ convex_weights(members, target)
    swapped = members[:, order] @ convex_weights(members[:, order], target)
    np.testing.assert_allclose(swapped, fused, atol=1e-6)


@settings(deadline=None)
@given(problem=problems(), data=st.data())
def test_members_without_error_share_all_the_weight(problem, data):
    members, target = problem
    members[:, data.draw(st.integers(0, members.shape[1] - 1))] = target
    perfect = (members == target[:, None]).all(axis=0)
    np.testing.assert_allclose(convex_weights(members, target), perfect / perfect.sum(), atol=1e-12)
    np.testing.assert_allclose(ridge_weights(members, target), perfect / perfect.sum(), atol=1e-12)


def by_slsqp(members, target, strength: float) -> NDArray[np.float64]:
    """Shares of least penalised error, by a general solver on the definition."""
    count, spread = members.shape[1], members.var(axis=1).mean()
    best = minimize(
        lambda w: 1e4 * (np.square(target - members @ w).mean() + strength * spread * w @ w),
        np.full(count, 1 / count), method="SLSQP", bounds=[(0, 1)] * count, tol=1e-14,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    assert best.success
    return np.asarray(best.x)


def simulated(seed: int, spreads: tuple[float, ...], rows: int = 5000, shared: float = 0.03):
    """Members with a simulated error in common and one of their own of the spread given; truth; folds."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(0.05, 0.45, rows)
    common = target + rng.normal(0, shared, rows)
    members = np.column_stack([common + rng.normal(0, spread, rows) for spread in spreads])
    return members, target, rng.integers(0, 5, rows)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 20.0])
@pytest.mark.parametrize("spreads", [(0.01, 0.012, 0.02), (0.01, 0.1, 0.01), (0.02, 0.02)])
def test_ridge_weights_minimise_what_their_definition_says(spreads, strength):
    members, target, _ = simulated(1, spreads)
    found = ridge_weights(members, target, strength)
    np.testing.assert_allclose(found, by_slsqp(members, target, strength), atol=2e-5)


def test_ridge_weights_lie_between_the_least_squares_fit_and_the_mean_worked_out_by_hand():
    # Errors of two members, uncorrelated, mean squares 1 and 4; the variance between two numbers is a quarter
    # of their squared difference, so s = 5/4. Least a² + 4b² + 5/4 (a² + b²) with a + b = 1: a = 21/30.
    errors = np.array([[1, 2], [1, -2], [-1, 2], [-1, -2]], float)
    target = np.array([3.0, 4.0, 5.0, 6.0])
    np.testing.assert_allclose(ridge_weights(target[:, None] + errors, target), [0.7, 0.3], atol=1e-5)
    np.testing.assert_allclose(convex_weights(target[:, None] + errors, target), [0.8, 0.2], atol=1e-5)
    np.testing.assert_allclose(ridge_weights(target[:, None] + errors, target, 1e6), [0.5, 0.5], atol=1e-5)


@settings(deadline=None)
@given(problem=problems(), strength=st.floats(0, 100))
def test_the_ridge_gives_shares_and_rows_without_a_prediction_do_not_count(problem, strength):
    members, target = problem
    weights = ridge_weights(members, target, strength)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    gap = np.vstack([members, np.full((3, members.shape[1]), np.nan)])
    np.testing.assert_array_equal(ridge_weights(gap, np.append(target, [0.1, 0.2, 0.3]), strength), weights)


def test_units_do_not_matter():
    members, target, _ = simulated(2, (0.01, 0.02, 0.03))
    np.testing.assert_allclose(
        ridge_weights(100 * members, 100 * target), ridge_weights(members, target), atol=1e-6
    )


def test_a_member_that_is_noise_gets_no_weight_and_is_named():
    members, target, fold = simulated(3, (0.01, 0.01, 0.01))
    members[:, 1] = np.random.default_rng(4).uniform(0.05, 0.45, len(target))
    found = weigh(members, target, fold)
    assert found.weights[1] == 0
    np.testing.assert_allclose(found.weights[[0, 2]], by_slsqp(members[:, [0, 2]], target, 1.0), atol=1e-5)
    assert found.refused == (1,)
    [first, second, third] = found.changes
    assert second is not None
    assert second.value < -0.001
    assert first is not None
    assert third is not None
    assert min(first.value, third.value) > 0.0005
    assert found.why(NAMES).startswith("second adds nothing (RMSE -0.0")


def test_where_nothing_beats_the_best_member_it_is_taken_alone():
    rng = np.random.default_rng(5)
    members, target, fold = simulated(5, (0.0, 0.0, 0.0))
    members[:, 1] += rng.normal(0, 0.02, len(target))  # all the first one's errors, and its own
    members[:, 2] += rng.normal(0, 0.03, len(target))
    found = weigh(members, target, fold)
    assert found.weights.tolist() == [1, 0, 0]
    assert found.refused == (1, 2)
    assert found.changes[0] is None
    assert found.rmse == pytest.approx(found.alone[0])
    np.testing.assert_allclose(found.alone, np.sqrt(np.square(members - target[:, None]).mean(axis=0)))


def test_of_two_identical_members_one_is_enough():
    members, target, fold = simulated(6, (0.02, 0.02))
    twice = members[:, [0, 0]]
    found = weigh(twice, target, fold)
    assert sorted(found.weights) == [0, 1]
    assert [one for one in found.changes if one] == [(0, 0)]
    three = weigh(members[:, [0, 1, 0]], target, fold)
    assert (three.weights == 0).sum() == 1
    assert three.weights[1] == pytest.approx(0.5, abs=0.03)


def test_members_that_each_add_something_all_have_weight():
    members, target, fold = simulated(7, (0.02, 0.02, 0.02))
    found = weigh(members, target, fold)
    assert (found.weights > 0.25).all()
    assert found.refused == ()
    assert found.why(NAMES) == "nobody refused"
    assert min(one.value for one in found.changes if one) > 0.0005


def test_a_member_that_only_looks_useless_in_some_blocks_keeps_its_weight():
    rows, fold = 1000, np.repeat(np.arange(5), 200)
    rng = np.random.default_rng(8)
    target = rng.uniform(0.05, 0.45, rows)
    good, other = (target + rng.normal(0, 0.02, rows) for _ in range(2))
    other = np.where(fold == 0, other + 0.06, other)  # bad in one block, as good as the other in the rest
    found = weigh(np.column_stack([good, other]), target, fold)
    assert found.changes[1] is not None
    assert found.changes[1].value < 0  # taken at its face the member would go
    assert (found.weights > 0).all()


def test_the_change_and_its_limit_are_those_of_the_jackknife_over_folds():
    members, target, fold = simulated(9, (0.01, 0.02), rows=400)

    def fused(chosen: list[int], held: int) -> NDArray[np.float64]:
        fit, out = fold != held, fold == held
        weights = by_slsqp(members[fit][:, chosen], target[fit], 1.0)
        return np.square(members[out][:, chosen] @ weights - target[out])

    both, one = ([fused(chosen, held) for held in range(5)] for chosen in ([0, 1], [0]))

    def rise(held: list[int]) -> float:
        return float(
            np.sqrt(np.concatenate([one[k] for k in held]).mean())
            - np.sqrt(np.concatenate([both[k] for k in held]).mean())
        )

    left = np.array([rise([k for k in range(5) if k != out]) for out in range(5)])
    limit = rise([*range(5)]) + stats.t.ppf(0.95, 4) * np.sqrt(4 / 5 * np.square(left - left.mean()).sum())
    found = weigh(members, target, fold)
    assert found.rmse == pytest.approx(np.sqrt(np.concatenate(both).mean()), abs=1e-7)
    assert found.changes[1] == pytest.approx((rise([*range(5)]), limit), abs=1e-6)


def test_the_convex_fusion_refuses_nobody():
    members, target, fold = simulated(10, (0.01, 0.011, 0.3))
    found = weigh(members, target, fold, "convex")
    np.testing.assert_allclose(found.weights, convex_weights(members, target), atol=1e-12)
    assert found.changes == (None, None, None)
    assert found.why(NAMES) == "nobody to be refused"


@pytest.mark.parametrize("folds", [1, 2])
def test_few_folds_show_nothing_and_a_single_member_has_all_the_weight(folds):
    members, target, fold = simulated(11, (0.02, 0.021), rows=300)
    assert (weigh(members, target, fold % folds).weights > 0).all()
    assert weigh(members[:, :1], target, fold).weights.tolist() == [1]


def test_rows_that_no_fold_held_out_are_not_weighed():
    members, target, fold = simulated(12, (0.01, 0.02))
    outside = np.where(np.arange(len(fold)) < 1000, -1, fold)
    changed = np.where((outside < 0)[:, None], np.nan, members)
    whole, some = weigh(changed, target, outside), weigh(members[1000:], target[1000:], fold[1000:])
    np.testing.assert_array_equal(whole.weights, some.weights)
    assert whole.rmse == some.rmse


@pytest.fixture(scope="module")
def rows() -> OutOfFold:
    members, target, _ = simulated(13, (0.01, 0.03), rows=3000)
    members[:20] = np.nan
    return OutOfFold(members[:2000], target[:2000], members[2000:])


def test_each_fusion_is_its_weights_on_the_new_rows(rows):
    np.testing.assert_allclose(mean(rows), (rows.new[:, 0] + rows.new[:, 1]) / 2)
    known, target = rows.known[20:], rows.target[20:]
    np.testing.assert_allclose(convex(rows), rows.new @ by_slsqp(known, target, 0.0), atol=1e-6)
    np.testing.assert_allclose(ridge(rows), rows.new @ by_slsqp(known, target, 1.0), atol=1e-6)


def test_the_free_ridge_is_scikit_learns_with_non_negative_coefficients(rows):
    known, target = rows.known[20:], rows.target[20:]
    penalty = known.var(axis=1).mean() * len(known)
    # Ridge regression with an intercept is least squares on centred columns with rows of the penalty below.
    centred = np.vstack([known - known.mean(axis=0), np.sqrt(penalty) * np.eye(2)])
    coefficients = np.linalg.lstsq(centred, np.append(target - target.mean(), [0, 0]), rcond=None)[0]
    assert (coefficients > 0).all()
    expected = target.mean() + (rows.new - known.mean(axis=0)) @ coefficients
    np.testing.assert_allclose(free_ridge(rows), expected, atol=1e-6)


def test_groups_have_weights_of_their_own_and_an_unknown_one_those_of_all(rows):
    known, new = np.arange(2000) % 2, np.arange(1000) % 3
    found = by_group(rows, (known, new))
    for label in (0, 1):
        own = known[20:] == label
        weights = by_slsqp(rows.known[20:][own], rows.target[20:][own], 1.0)
        np.testing.assert_allclose(found[new == label], rows.new[new == label] @ weights, atol=1e-6)
    np.testing.assert_allclose(found[new == 2], ridge(rows)[new == 2], atol=1e-12)


def test_wetness_is_the_third_of_the_known_rows_that_the_members_mean_lies_in():
    known = np.column_stack([np.arange(9.0), np.arange(9.0)])
    rows = OutOfFold(np.vstack([known, [np.nan, 1]]), np.zeros(10), np.array([[-5, 1], [4, 4], [9, 90]]))
    labels, new = rows.terciles
    assert labels[:9].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert new.tolist() == [0, 1, 2]
