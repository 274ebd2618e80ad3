"""SHAP values against the definition of the Shapley value, worked out over all subsets of predictors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shap
from numpy.typing import NDArray
from scipy import stats
from sklearn.exceptions import NotFittedError

from models.errors import SampleError
from models.explain import Attribution, Explanation, interaction, ranking, shap_values
from models.learners import CatBoost, LightGBM, XGBoost
from models.stack import StackedRegressor

NAMES = ("lst", "dem", "doy", "LC_1", "LC_2", "noise")
MEMBERS = ("xgboost", "lightgbm", "catboost")
LEARNERS = (XGBoost(trees=12, depth=3), LightGBM(trees=12, leaves=8), CatBoost(trees=12, depth=3))
FIT, HELD = slice(0, 900), slice(900, 1200)


def table() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """1,200 rows in which lst acts the more the higher dem lies, and noise does nothing; with gaps."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(1200, len(NAMES)))
    X[:, 4] = 1 - X[:, 3]
    y = 0.3 - 0.2 * X[:, 0] * X[:, 1] + 0.05 * X[:, 2] + 0.03 * X[:, 3] + 0.002 * rng.standard_normal(1200)
    X[rng.random(1200) < 0.1, 0] = nan
    return X.astype(np.float32), y.astype(np.float32)


@pytest.fixture(scope="module")
def stack() -> StackedRegressor:
    X, y = table()
    return StackedRegressor(LEARNERS, n_folds=3, threads=1).fit(X[FIT], y[FIT])


@pytest.fixture(scope="module")
def held() -> NDArray[np.float32]:
    return table()[0][HELD]


@pytest.fixture(scope="module")
def explained(stack: StackedRegressor, held: NDArray[np.float32]) -> Explanation:
    return shap_values(stack, held, NAMES)


# The oracle: each library's trees as it writes them, and the Shapley value as it is defined.


@dataclass(frozen=True)
class Node:
    """A node of a decision tree: how many training rows reached it, and what it says or where it sends."""

    rows: float
    value: float = 0.0
    feature: int = -1
    goes_left: Callable[[float], bool] = bool
    children: tuple[Node, ...] = ()


def xgboost_trees(model: Any) -> Iterator[Node]:
    for _, one in model.trees_to_dataframe().groupby("Tree"):
        lines = {line["ID"]: line for line in one.to_dict("records")}

        def grown(key: str, lines: dict[str, Any] = lines) -> Node:
            line = lines[key]
            if line["Feature"] == "Leaf":
                return Node(line["Cover"], line["Gain"])
            threshold, gap = np.float32(line["Split"]), line["Missing"] == line["Yes"]
            return Node(
                line["Cover"],
                feature=int(line["Feature"][1:]),
                goes_left=lambda x: gap if isnan(x) else x < threshold,
                children=(grown(line["Yes"]), grown(line["No"])),
            )

        yield grown(next(iter(lines)))


def lightgbm_trees(model: Any) -> Iterator[Node]:
    def grown(part: dict[str, Any]) -> Node:
        if "leaf_value" in part:
            return Node(part["leaf_count"], part["leaf_value"])
        threshold, gap = part["threshold"], part["default_left"]
        if part["missing_type"] == "None":  # no gap seen in training: a gap is read as zero
            gap = threshold >= 0
        return Node(
            part["internal_count"],
            feature=part["split_feature"],
            goes_left=lambda x: gap if isnan(x) else x <= threshold,
            children=(grown(part["left_child"]), grown(part["right_child"])),
        )

    return (grown(one["tree_structure"]) for one in model.dump_model()["tree_info"])


def catboost_trees(model: Any, folder: Path) -> Iterator[Node]:
    path = folder / "catboost.json"
    model.save_model(str(path), format="json")
    content = json.loads(path.read_text())
    low = [one["nan_value_treatment"] != "AsTrue" for one in content["features_info"]["float_features"]]

    for tree in content["oblivious_trees"]:
        splits, leaves = tree["splits"], list(zip(tree["leaf_weights"], tree["leaf_values"], strict=True))

        def grown(level: int, few: list[Any], splits: list[Any] = splits) -> Node:
            rows = sum(weight for weight, _ in few)
            if level < 0:
                return Node(rows, few[0][1])
            feature, border = splits[level]["float_feature_index"], splits[level]["border"]
            half = len(few) // 2  # the last split is the highest bit of a leaf's number
            return Node(
                rows,
                feature=feature,
                goes_left=lambda x: low[feature] if isnan(x) else x <= border,
                children=(grown(level - 1, few[:half]), grown(level - 1, few[half:])),
            )

        yield grown(len(splits) - 1, leaves)


def expected(node: Node, row: NDArray[np.float32], known: frozenset[int]) -> float:
    """Mean of a tree over its training rows, sent as ``row`` goes wherever the predictor is known."""
    if not node.children:
        return node.value
    if node.feature in known:
        return expected(node.children[not node.goes_left(row[node.feature])], row, known)
    return sum(expected(child, row, known) * child.rows / node.rows for child in node.children if child.rows)


def shapley(trees: list[Node], row: NDArray[np.float32]) -> list[float]:
    """Each predictor's mean gain over all orders in which the predictors can become known."""
    p = len(row)
    subsets = [frozenset(some) for size in range(p + 1) for some in combinations(range(p), size)]
    worth = {some: sum(expected(tree, row, some) for tree in trees) for some in subsets}
    return [
        sum(
            (worth[some | {i}] - worth[some]) / (p * comb(p - 1, len(some)))
            for some in subsets
            if i not in some
        )
        for i in range(p)
    ]


@pytest.mark.parametrize("member", MEMBERS)
def test_values_of_a_member_are_the_shapley_values_of_its_trees(
    member: str,
    stack: StackedRegressor,
    held: NDArray[np.float32],
    explained: Explanation,
    tmp_path: Path,
) -> None:
    model = stack.models_[member]
    read = {"xgboost": xgboost_trees, "lightgbm": lightgbm_trees}
    trees = list(catboost_trees(model, tmp_path) if member == "catboost" else read[member](model))
    rows = np.append(np.flatnonzero(np.isnan(held[:, 0]))[:4], [0, 1, 2, 3])

    oracle = [shapley(trees, held[row]) for row in rows]

    found = explained.members[member].shap[rows]
    assert np.abs(found).max() > 0.01
    np.testing.assert_allclose(found, oracle, atol=1e-6)


@pytest.mark.parametrize("member", MEMBERS)
def test_values_and_base_of_a_member_equal_those_of_the_shap_library(
    member: str, stack: StackedRegressor, held: NDArray[np.float32], explained: Explanation
) -> None:
    tree = shap.TreeExplainer(stack.models_[member], feature_perturbation="tree_path_dependent")

    np.testing.assert_allclose(explained.members[member].shap, tree.shap_values(held), atol=1e-9)
    assert explained.members[member].base == pytest.approx(np.ravel(tree.expected_value)[0], abs=1e-9)


def test_values_and_base_add_up_to_what_each_library_predicts(
    stack: StackedRegressor, held: NDArray[np.float32], explained: Explanation
) -> None:
    for name, predicted in zip(MEMBERS, stack.predict_members(held).T, strict=True):
        np.testing.assert_allclose(explained.members[name].prediction, predicted, atol=1e-6)
    np.testing.assert_allclose(explained.stack.prediction, stack.predict(held), atol=1e-6)


def test_base_is_the_mean_prediction_of_the_rows_fitted(
    stack: StackedRegressor, explained: Explanation
) -> None:
    fitted = stack.predict_members(table()[0][FIT]).mean(axis=0)

    assert [one.base for one in explained.members.values()] == pytest.approx(fitted.tolist(), abs=1e-6)


def test_values_of_the_stack_are_the_members_values_in_their_weights(
    stack: StackedRegressor, explained: Explanation
) -> None:
    x, y, z = stack.weights_
    a, b, c = (explained.members[name] for name in MEMBERS)

    assert explained.weights == {"xgboost": x, "lightgbm": y, "catboost": z}
    np.testing.assert_allclose(explained.stack.shap, x * a.shap + y * b.shap + z * c.shap, atol=1e-12)
    assert explained.stack.base == pytest.approx(x * a.base + y * b.base + z * c.base, abs=1e-12)


def test_ranking_puts_what_drives_the_target_first_and_noise_last(explained: Explanation) -> None:
    ranked = ranking(explained)

    assert {one.predictor for one in ranked[:2]} == {"lst", "dem"}
    assert [one.predictor for one in ranked[2:]] == ["doy", "lc", "noise"]
    assert [one.rank for one in ranked] == [1, 2, 3, 4, 5]
    for member in MEMBERS:
        sizes = {one.predictor: one.members[member] for one in ranked}
        assert sizes["noise"] < 0.1 * min(sizes["lst"], sizes["dem"])


def made(
    names: tuple[str, ...], X: NDArray[np.float64], values: NDArray[np.float64], base: float = 0.3
) -> Explanation:
    """An explanation of one member with the values given."""
    one = Attribution(values, base)
    return Explanation(names, X.astype(np.float32), {"xgboost": 1.0}, {"xgboost": one}, one)


def test_ranking_counts_land_cover_columns_that_cancel_out_once() -> None:
    values = np.array([[0.01, 0.05, -0.03], [-0.02, -0.05, 0.05]])

    ranked = ranking(made(("lst", "LC_1", "LC_4"), np.zeros((2, 3)), values))

    assert [one.predictor for one in ranked] == ["lst", "lc"]
    assert [one.stack for one in ranked] == pytest.approx([0.015, 0.01])
    assert [one.members["xgboost"] for one in ranked] == pytest.approx([0.015, 0.01])


def blocked(seed: int) -> tuple[Explanation, NDArray[np.intp]]:
    """40 blocks of 25 rows alike; in each the sizes of a and b go together, and b's is 1 mm/m less."""
    rng = np.random.default_rng(seed)
    size = 0.010 + 0.002 * rng.standard_normal(40)
    block = np.repeat(np.arange(40), 25)
    sign = rng.choice([-1, 1], (1000, 2))
    values = sign * np.column_stack([size, size - 0.001])[block]
    return made(("a", "b"), np.zeros((1000, 2)), values), block


def test_intervals_of_importance_are_those_of_as_many_rows_as_there_are_blocks() -> None:
    explained, block = blocked(0)
    size = np.abs(explained.stack.shap[::25, 0])

    first, second = ranking(explained, block)

    lower, upper = stats.t.interval(0.95, 39, size.mean(), stats.sem(size))  # of independent blocks
    assert (first.size.lower, first.size.upper) == pytest.approx((lower, upper), abs=0.1 * (upper - lower))
    assert first.size.value == pytest.approx(size.mean())
    assert second.predictor == "b"
    assert (first.behind.lower, first.behind.value, first.behind.upper) == (0, 0, 0)
    for end in (second.behind.lower, second.behind.value, second.behind.upper):  # what blocks share cancels
        assert end == pytest.approx(0.001, abs=1e-9)


def test_the_interval_of_importance_covers_the_mean_of_all_blocks_at_its_rate() -> None:
    covered = 0
    for seed in range(200):
        first, _ = ranking(*blocked(seed))
        covered += first.size.lower < 0.010 < first.size.upper

    assert 0.90 <= covered / 200 <= 0.99


def test_importance_has_no_interval_but_its_reason_without_blocks_or_of_few() -> None:
    explained, block = blocked(0)

    for one in (*ranking(explained), *ranking(explained, block // 10)):
        assert isnan(one.size.lower)
        assert "needs 5 blocks" in one.size.reason
    assert ranking(explained)[0].stack == ranking(explained, block)[0].stack


def interacting(strength: float, *, also: float = 0.0, n: int = 4000) -> Explanation:
    """lst acts by a curve of its own, ``strength`` times dem's class, and ``also`` times something else."""
    rng = np.random.default_rng(1)
    lst, dem, other = rng.uniform(-1, 1, (3, n))
    effect = -0.04 * lst - 0.02 * lst**2 + strength * np.sign(dem) + also * np.sign(other)
    return made(("lst", "dem"), np.column_stack([lst, dem]), np.column_stack([effect, 0 * dem]))


@pytest.mark.parametrize(
    ("strength", "also", "share", "spread"),
    [
        (0.010, 0.000, 1.0, 0.010),
        (0.010, 0.010, 0.5, 0.010 * 2**0.5),
        (0.003, 0.009, 0.1, 0.003 * 10**0.5),
        (0.000, 0.010, 0.0, 0.010),
    ],
)
def test_interaction_gives_the_share_of_the_variance_at_given_lst_that_dem_explains(
    strength: float, also: float, share: float, spread: float
) -> None:
    found = interaction(interacting(strength, also=also), "lst", "dem")

    assert found.share.value == pytest.approx(share, abs=0.03)
    assert found.spread == pytest.approx(spread, rel=0.05)
    assert found.n == 4000


def test_interaction_is_undefined_with_a_reason_where_lst_acts_alone() -> None:
    rng = np.random.default_rng(2)
    lst, dem = rng.uniform(-1, 1, (2, 500))

    found = interaction(
        made(("lst", "dem"), np.column_stack([lst, dem]), np.outer(lst, [0.1, 0])), "lst", "dem"
    )

    assert isnan(found.share.value)
    assert "depends on lst alone" in found.share.reason


def test_interaction_leaves_out_rows_in_which_either_is_missing() -> None:
    whole = interacting(0.01)
    X, full = whole.X.copy(), np.arange(4000) >= 3000
    X[:3000:2, 0], X[1:3000:2, 1] = nan, nan

    found = interaction(replace(whole, X=X), "lst", "dem")
    alone = interaction(made(whole.names, whole.X[full], whole.stack.shap[full]), "lst", "dem")
    few = interaction(replace(whole, X=np.where(np.arange(4000)[:, None] < 49, whole.X, nan)), "lst", "dem")

    assert found == alone
    assert found.n == 1000
    assert isnan(few.share.value)
    assert "49 rows" in few.share.reason


def test_interaction_is_found_in_a_fitted_stack(explained: Explanation) -> None:
    with_dem, with_noise = (interaction(explained, "lst", other) for other in ("dem", "noise"))

    assert with_dem.share.value > 0.5
    assert abs(with_noise.share.value) < 0.2


@pytest.mark.parametrize(
    ("names", "columns", "rows", "told"),
    [
        (NAMES[:5], 6, 3, "6 predictors.*have 6 and 5 are named"),
        (NAMES[:5], 5, 3, "6 predictors.*have 5 and 5 are named"),
        (NAMES, 6, 0, "no rows to explain"),
    ],
)
def test_rows_that_do_not_fit_the_stack_are_refused(
    names: tuple[str, ...], columns: int, rows: int, told: str, stack: StackedRegressor
) -> None:
    with pytest.raises(SampleError, match=told):
        shap_values(stack, np.zeros((rows, columns)), names)


def test_an_unknown_predictor_and_an_unfitted_stack_are_refused(explained: Explanation) -> None:
    with pytest.raises(SampleError, match="vv is not among the predictors explained: lst, dem"):
        interaction(explained, "vv", "dem")
    with pytest.raises(NotFittedError):
        shap_values(StackedRegressor(), np.zeros((3, 6)), NAMES)
