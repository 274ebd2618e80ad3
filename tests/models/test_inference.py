"""The compiled stack predicts what the libraries predict, on any row, in any layout, from any thread."""

from __future__ import annotations

import copy
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models import inference
from models.errors import SampleError
from models.inference import BLOCK, MASK_LEAVES, Predictor
from models.learners import CatBoost, Learner, LightGBM, Table, XGBoost
from models.stack import StackedRegressor
from models.trees import READERS, Splits

SHORT = (XGBoost(trees=25), LightGBM(trees=25), CatBoost(trees=25))
DEEP = (
    XGBoost(trees=10, depth=8, bins=1024),
    LightGBM(trees=10, leaves=150, bins=1000),
    CatBoost(trees=10, depth=10),
)
BOTH = pytest.mark.parametrize("backend", ["compiled", "native"])


def fitted(learners: tuple[Learner, ...], data: Table) -> StackedRegressor:
    return StackedRegressor(learners, n_folds=2, threads=2, patience=1000).fit(*data)


@pytest.fixture(scope="module")
def stack(samples: Table) -> StackedRegressor:
    return fitted(SHORT, samples)


@pytest.fixture(scope="module")
def deep() -> StackedRegressor:
    """A stack of large trees with a predictor of more than 255 thresholds."""
    rng = np.random.default_rng(9)
    X = rng.normal(size=(6000, 2)).astype(np.float32)
    y = 0.25 + 0.1 * np.sin(20 * X[:, 0]) + 0.02 * X[:, 1] + rng.normal(0, 0.02, 6000)
    return fitted(DEEP, Table(X, y.astype(np.float32)))


@pytest.fixture(scope="module")
def predictors(stack: StackedRegressor) -> dict[str, Predictor]:
    return {backend: Predictor(stack, backend, threads=2) for backend in ("compiled", "native")}


@pytest.fixture(scope="module")
def rows(samples: Table) -> NDArray[np.float32]:
    """Two blocks and a bit of samples, a tenth of all values missing, among them some rows entirely."""
    rng = np.random.default_rng(10)
    X = samples.X[rng.integers(0, len(samples.X), 2 * BLOCK + 77)].copy()
    X[rng.random(X.shape) < 0.1] = np.nan
    X[::500] = np.nan
    return X


def all_splits(stack: StackedRegressor) -> Splits:
    return Splits.joined([
        tree.splits for name, model in stack.models_.items() for tree in READERS[name](model).trees
    ])  # fmt: skip


def test_compiled_predicts_as_scikit_learn_does(stack, predictors, rows):
    assert predictors["compiled"].backend == "compiled"
    np.testing.assert_allclose(predictors["compiled"].predict(rows), stack.predict(rows), atol=1e-6)
    members = predictors["compiled"].predict_members(rows)
    np.testing.assert_allclose(members, stack.predict_members(rows), atol=1e-6)


@BOTH
@pytest.mark.parametrize("which", ["stack", "deep"])
def test_rows_on_thresholds_fall_to_the_side_the_library_puts_them(which, backend, request, rows_on_cuts):
    model = request.getfixturevalue(which)
    X = rows_on_cuts(all_splits(model), model.n_features_in_)
    predictor = Predictor(model, backend)
    np.testing.assert_allclose(predictor.predict_members(X), model.predict_members(X), rtol=0, atol=1e-6)


def test_the_deep_stack_has_trees_wider_than_a_word_and_needs_codes_of_two_bytes(deep):
    """What the test above relies on to put the other kernel and the wider codes to work."""
    for name in ("xgboost", "lightgbm"):
        trees = READERS[name](deep.models_[name]).trees
        leaves = [tree.leaves for tree in trees]
        splits = Splits.joined([tree.splits for tree in trees])
        assert max(leaves) > MASK_LEAVES
        assert len(np.unique(splits.threshold[splits.feature == 0])) > 255


@pytest.mark.parametrize("leaves", [MASK_LEAVES - 1, MASK_LEAVES, MASK_LEAVES + 1])
def test_trees_of_about_as_many_leaves_as_a_word_has_bits_agree(leaves, rows_on_cuts):
    rng = np.random.default_rng(11)
    X = rng.normal(size=(3000, 4)).astype(np.float32)
    y = 0.25 + 0.03 * X.sum(axis=1) + rng.normal(0, 0.02, 3000)
    model = fitted((LightGBM(trees=3, leaves=leaves),), Table(X, y.astype(np.float32)))
    assert {tree.leaves for tree in READERS["lightgbm"](model.models_["lightgbm"]).trees} == {leaves}
    around = np.concatenate([X, rows_on_cuts(all_splits(model), 4)])
    compiled = Predictor(model, "compiled").predict_members(around)
    np.testing.assert_allclose(compiled, model.predict_members(around), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cuts", [254, 255, 256])
def test_predictors_of_about_as_many_thresholds_as_a_byte_has_values_agree(cuts, rows_on_cuts):
    rng = np.random.default_rng(13)
    values = np.repeat(np.append(np.arange(cuts + 1), np.nan), 45).astype(np.float32)
    y = np.repeat(rng.permutation(cuts + 2) / 1000, 45)  # each value has its own target, so all are parted
    learner = LightGBM(trees=40, leaves=300, bins=1000, learning_rate=0.3)
    model = fitted((learner,), Table(values[:, None], y.astype(np.float32)))
    splits = all_splits(model)
    assert len(np.unique(splits.threshold)) == cuts
    X = np.concatenate([values[::9, None], rows_on_cuts(splits, 1)])
    np.testing.assert_allclose(Predictor(model, "compiled").predict(X), model.predict(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "learner", [XGBoost(trees=9), LightGBM(trees=9), CatBoost(trees=9)], ids=lambda o: o.name
)
@pytest.mark.parametrize("target", ["telling gaps", "constant"])
def test_a_stack_that_splits_on_being_missing_or_never_is_compiled_too(learner, target):
    rng = np.random.default_rng(12)
    X = rng.normal(size=(800, 3)).astype(np.float32)
    X[rng.random(800) < 0.4, 1] = np.nan
    y = np.full(800, 0.2, np.float32)
    if target == "telling gaps":
        y += 0.1 * np.isnan(X[:, 1]) + rng.normal(0, 0.01, 800).astype(np.float32)
    model = fitted((learner,), Table(X, y))
    predictor = Predictor(model)
    assert predictor.backend == "compiled"
    X[::2, 0] = np.nan
    np.testing.assert_allclose(predictor.predict(X), model.predict(X), atol=1e-6)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])
def test_where_a_leaf_is_read_wrongly_auto_warns_and_the_libraries_predict(name, stack, rows, monkeypatch):
    read = READERS[name]

    def misread(model):
        forest = read(model)
        first, *others = forest.trees
        wrong = replace(first, value=first.value + 1e-3)
        return replace(forest, trees=(wrong, *others))

    monkeypatch.setitem(READERS, name, misread)
    with pytest.warns(UserWarning, match=r"differ by 1\.0e-03; the libraries predict"):
        predictor = Predictor(stack)
    assert predictor.backend == "native"
    np.testing.assert_allclose(predictor.predict(rows), stack.predict(rows), atol=1e-7)
    with pytest.raises(ValueError, match=r"differ from the libraries' by 1\.0e-03"):
        Predictor(stack, "compiled")


@BOTH
@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77])
def test_any_number_of_rows(count, backend, stack, predictors, rows):
    predicted = predictors[backend].predict(rows[:count])
    assert predicted.shape == (count,)
    assert predicted.dtype == np.float32
    assert predictors[backend].predict_members(rows[:count]).shape == (count, 3)
    if count:
        np.testing.assert_allclose(predicted, stack.predict(rows[:count]), atol=1e-6)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "float64": lambda X: X.astype(np.float64),
    "every other row of a larger array": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "big endian": lambda X: X.astype(">f4"),
}


@BOTH
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_array_does_not_matter(layout, backend, predictors, rows):
    expected = predictors[backend].predict(rows)
    np.testing.assert_array_equal(predictors[backend].predict(LAYOUTS[layout](rows)), expected)


@BOTH
def test_memory_maps_are_read_and_written(backend, predictors, rows, tmp_path):
    np.save(tmp_path / "X.npy", rows)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "sm.npy", "w+", np.float32, (len(rows),))
    assert predictors[backend].predict(X, out) is out
    out.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "sm.npy"), predictors[backend].predict(rows))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_prediction_is_written_to_the_array_given(kind, stack, predictors, rows):
    holder = np.full((len(rows), 2), -1, kind)
    returned = predictors["compiled"].predict(rows, holder[:, 0])
    assert returned.base is holder
    assert (holder[:, 1] == -1).all()
    np.testing.assert_allclose(holder[:, 0], stack.predict(rows), atol=1e-6)


@BOTH
@pytest.mark.parametrize("shape", [(5, 17), (5, 19), (0, 3), (18,), (2, 3, 18)])
def test_another_number_of_columns_is_refused(shape, backend, predictors):
    for predict in (predictors[backend].predict, predictors[backend].predict_members):
        with pytest.raises(SampleError, match="takes 18 predictors"):
            predict(np.zeros(shape, np.float32))


@BOTH
def test_threads_that_share_a_predictor_do_not_disturb_each_other(backend, predictors, rows, monkeypatch):
    monkeypatch.setattr(inference, "NATIVE_BLOCK", 256)
    orders = [np.random.default_rng(seed).permutation(len(rows)) for seed in range(8)]
    expected = predictors[backend].predict(rows)
    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda order: predictors[backend].predict(rows[order]), orders * 3))
    for order, result in zip(orders * 3, results, strict=True):
        np.testing.assert_array_equal(result, expected[order])


def test_scratch_memory_does_not_grow_with_the_rows(predictors, rows):
    def peak(blocks: int) -> int:
        X = np.broadcast_to(rows[0], (blocks * BLOCK, rows.shape[1]))  # one row, seen many times
        out = np.full(len(X), np.nan, np.float32)
        tracemalloc.start()
        predictors["compiled"].predict(X, out)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (out == out[0]).all()
        return used

    few, many = peak(150), peak(450)
    assert many < few + rows[0].nbytes * BLOCK  # less than one more block of rows


def test_without_numba_the_libraries_predict(stack, samples, monkeypatch):
    monkeypatch.setattr(inference, "numba", None)
    predictor = Predictor(stack)
    assert predictor.backend == "native"
    np.testing.assert_allclose(predictor.predict(samples.X), stack.predict(samples.X), atol=1e-6)
    with pytest.raises(ValueError, match="need the package numba"):
        Predictor(stack, "compiled")


@BOTH
def test_a_member_without_weight_is_not_asked_and_the_others_predict_the_same(backend, stack, rows):
    refusing = copy.copy(stack)
    refusing.weights_ = np.array([0.25, 0.0, 0.75])
    predictor = Predictor(refusing, backend, threads=2)
    asked = []

    def members(X: NDArray[np.float32], only: NDArray[np.intp]) -> NDArray[np.float64]:
        asked.append(only.tolist())
        return type(predictor._engine).members(predictor._engine, X, only)

    predictor._engine.members = members
    found = predictor.predict(rows, np.empty(len(rows)))
    assert asked
    assert {*map(tuple, asked)} == {(0, 2)}
    expected = stack.predict_members(rows) @ refusing.weights_
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert predictor.predict_members(rows).shape == (len(rows), 3)
    np.testing.assert_allclose(predictor.predict_members(rows), stack.predict_members(rows), atol=1e-6)
