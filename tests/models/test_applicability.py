"""The area of applicability is that of Meyer and Pebesma 2021, whatever is missing or constant."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import nan_euclidean_distances

from models import applicability
from models.applicability import Applicability, GridIndex, from_bytes, importance_of, threshold_of, to_bytes
from models.errors import ModelFileError, SampleError
from models.gridded import DAILY, MOVING, STILL
from models.learners import CatBoost, LightGBM, XGBoost
from models.splits import Fold
from models.stack import StackedRegressor
from tests.models.every_distance import least_distance


def halves(n: int) -> list[Fold]:
    first, second = np.arange(n // 2), np.arange(n // 2, n)
    return [(second, first), (first, second)]


def table(
    n: int = 400, missing: float = 0.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Predictors in different units, and importances."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, 5)) * [1, 300, 0.1, 20, 5] + [0, 800, 0.3, 290, 180]).astype(np.float32)
    X[rng.random(X.shape) < missing] = np.nan
    return X, np.array([0.4, 0.1, 0.3, 0.15, 0.05])


def by_hand(X: NDArray[np.float32], importance: NDArray[np.float64], asked: NDArray[np.float32]):
    """The index as the paper words it, from all pairs, by scikit-learn's distance for gaps."""
    mean, deviation = np.nanmean(X.astype(float), axis=0), np.nanstd(X.astype(float), axis=0, ddof=1)
    weight = importance / importance.sum()
    rows, points = ((one.astype(float) - mean) / deviation * weight for one in (X, asked))
    between = nan_euclidean_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    return least_distance(points, rows) / np.nanmean(between)


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_the_index_is_the_papers(missing):
    X, importance = table(missing=missing)
    asked, _ = table(200, missing, seed=1)
    area = Applicability.fit(X, importance, halves(len(X)))
    np.testing.assert_allclose(area.di(asked), by_hand(X, importance, asked), rtol=0, atol=1e-5)


def test_a_worked_case():
    # One predictor, so units and weights cancel against the mean of the ten distances 1 2 9 10 1 8 9 7 8 1,
    # which is 5.6. Held out in two folds, {0, 2, 10} and {1, 9}, all lie 1 from the other fold.
    X = np.array([[0], [1], [2], [9], [10]], np.float32)
    one, other = np.array([0, 2, 4]), np.array([1, 3])
    area = Applicability.fit(X, [3.0], [(other, one), (one, other)])
    assert area.threshold == pytest.approx(1 / 5.6)
    np.testing.assert_allclose(area.di([[4], [10], [-5.6]]), [2 / 5.6, 0, 1], atol=1e-6)
    assert area.inside(area.di([[4], [10]])).tolist() == [False, True]


def test_the_threshold_is_the_largest_that_is_no_outlier():
    # Quartiles of 1 … 8, 20 lie at 3 and 7, so the whisker ends at 7 + 1.5 · 4 = 13: 20 is an outlier.
    assert threshold_of(np.array([1, 2, 3, 4, 5, 6, 7, 8, 20.0])) == 8
    # 13 is at the whisker's end and not above it.
    assert threshold_of(np.array([1, 2, 3, 4, 5, 6, 7, 8, 13.0])) == 13
    assert threshold_of(np.array([0.5])) == 0.5


def test_the_threshold_is_of_distances_to_other_folds():
    X, importance = table(120)
    folds = halves(len(X))
    area = Applicability.fit(X, importance, folds)
    training = np.empty(len(X))
    for fit, held in folds:
        training[held] = nearest_in(X, importance, held, fit)
    np.testing.assert_allclose(area.training, np.sort(training), rtol=0, atol=1e-5)
    lower, upper = np.percentile(training, [25, 75])
    assert area.threshold == pytest.approx(max(training[training <= upper + 1.5 * (upper - lower)]), abs=1e-5)


def nearest_in(X, importance, held, fit):
    z = (X.astype(float) - X.astype(float).mean(axis=0)) / X.astype(float).std(axis=0, ddof=1)
    z *= importance / importance.sum()
    return np.sqrt(((z[held][:, None] - z[fit][None]) ** 2).sum(axis=2)).min(axis=1) / pdist(z).mean()


def test_a_training_row_is_at_no_distance():
    X, importance = table(missing=0.1)
    area = Applicability.fit(X, importance, halves(len(X)))
    found = area.di(X)
    known = np.isfinite(found)  # the others lack what counts most
    assert known.mean() > 0.8
    np.testing.assert_allclose(found[known], 0, atol=1e-6)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-1000, 1000))
@settings(max_examples=20, deadline=None)
def test_units_do_not_count(seed, scale, shift):
    X, importance = table(60, seed=seed)
    asked, _ = table(40, seed=seed + 1)
    area = Applicability.fit(X, importance, halves(60))
    factor = np.array([scale, 1, 1 / scale, 1, 1])
    move = np.array([0, shift, 0, 0, 0])
    other = Applicability.fit(X * factor + move, importance * 7, halves(60))
    np.testing.assert_allclose(other.di(asked * factor + move), area.di(asked), rtol=2e-3, atol=2e-3)
    assert other.threshold == pytest.approx(area.threshold, rel=2e-3)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_farther_out_is_more_dissimilar(seed):
    """Along a ray away from the middle, beyond all training rows, the index only grows."""
    X, importance = table(80, seed=seed)
    area = Applicability.fit(X, importance, halves(80))
    direction = np.random.default_rng(seed).normal(size=5)
    reach = np.linspace(5, 50, 30)[:, None] * direction * X.std(axis=0) + X.mean(axis=0)
    found = area.di(reach)
    assert (np.diff(found) > 0).all()
    assert found[-1] > area.threshold


def test_the_index_changes_no_faster_than_the_row():
    X, importance = table(300)
    area = Applicability.fit(X, importance, halves(300))
    one, other = table(200, seed=2)[0], table(200, seed=3)[0]
    apart = np.linalg.norm(area.coordinates(one).astype(float) - area.coordinates(other), axis=1)
    assert (np.abs(area.di(one) - area.di(other)) <= apart + 1e-5).all()


def test_what_does_not_vary_or_count_is_left_out():
    X, importance = table(200)
    X[:, 1], importance[3] = 7, 0
    area = Applicability.fit(X, importance, halves(200))
    assert area.left_out.tolist() == [1, 3]
    asked = table(50, seed=1)[0]
    kept = [0, 2, 4]
    np.testing.assert_allclose(
        area.di(asked), by_hand(X[:, kept], importance[kept], asked[:, kept]), rtol=0, atol=1e-5
    )


def test_a_predictor_that_training_never_had_is_left_out():
    X, importance = table(100)
    X[:, 0] = np.nan
    assert Applicability.fit(X, importance, halves(100)).left_out.tolist() == [0]


def test_a_row_without_any_predictor_is_not_inside():
    X, importance = table(100)
    area = Applicability.fit(X, importance, halves(100))
    found = area.di(np.full((1, 5), np.nan))
    assert np.isnan(found).all()
    assert not area.inside(found).any()


def test_many_pairs_are_drawn_so_that_their_mean_is_close(monkeypatch):
    X, importance = table(2000)
    whole = Applicability.fit(X, importance, halves(2000))
    monkeypatch.setattr(applicability, "PAIRS", 60_000)
    drawn = Applicability.fit(X, importance, halves(2000))
    assert drawn.threshold != whole.threshold
    assert drawn.threshold == pytest.approx(whole.threshold, rel=0.02)  # 1.5 / sqrt(60,000) is 0.6 %


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, w, folds: (np.ones_like(X), w, folds), "none of the 5 predictors varies"),
        (lambda X, w, folds: (X, 0 * w, folds), "none of the 5 predictors varies"),
        (lambda X, w, folds: (X, -w, folds), "not negative"),
        (lambda X, w, folds: (X, w[:3], folds), "as many importances"),
        (lambda X, w, folds: (X, w, []), "no held-out row"),
        (lambda X, w, folds: (X[:1], w, folds), "two training rows"),
        (lambda X, w, folds: (np.where(X[0, 0] == X, np.inf, X), w, folds), "infinite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    X, importance = table(50)
    with pytest.raises(SampleError, match=message):
        Applicability.fit(*change(X, importance, halves(50)))


def test_another_number_of_predictors_is_refused():
    X, importance = table(50)
    area = Applicability.fit(X, importance, halves(50))
    with pytest.raises(SampleError, match="of 5 predictors, the array has shape"):
        area.di(X[:, :4])
    with pytest.raises(SampleError, match="of 5 predictors, not 2"):
        GridIndex(area, [STILL, DAILY])


class TestMaps:
    DAYS, PIXELS = 7, 300

    def features(self, missing: float, kinds: tuple[int, ...]):
        rng = np.random.default_rng(8)
        shape = {STILL: (1, self.PIXELS), DAILY: (self.DAYS, 1), MOVING: (self.DAYS, self.PIXELS)}
        X, _ = table(3000, seed=9)
        X = (X - X.mean(axis=0)) * np.float32(2) + X.mean(axis=0)
        planes = [rng.choice(column, shape[kind]) for column, kind in zip(X.T, kinds, strict=True)]
        for plane in planes:
            plane[rng.random(plane.shape) < missing] = np.nan
        return planes

    @pytest.mark.parametrize("missing", [0.0, 0.2])
    @pytest.mark.parametrize("kinds", [(MOVING, STILL, MOVING, MOVING, DAILY), (MOVING,) * 5, (STILL,) * 5])
    @pytest.mark.parametrize("block", [7, 512, applicability.BLOCK])
    def test_outside_is_exactly_what_rows_say_and_inside_a_bound(self, missing, kinds, block, monkeypatch):
        monkeypatch.setattr(applicability, "BLOCK", block)
        X, importance = table(500, missing)
        area = Applicability.fit(X, importance, halves(500))
        features = self.features(missing, kinds)
        pixels = np.array([0, 299, 5, *range(20, 160)])
        found = GridIndex(area, kinds).predict(features, pixels, self.DAYS)
        whole = [np.broadcast_to(one, (self.DAYS, self.PIXELS))[:, pixels].ravel() for one in features]
        true = area.di(np.stack(whole, axis=1)).reshape(found.shape)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(area.inside(found), area.inside(true))
        np.testing.assert_array_equal(np.isnan(found), np.isnan(true))
        outside = true > area.threshold
        assert outside.sum() > 20
        assert (~outside).sum() > 20
        np.testing.assert_allclose(found[outside], true[outside], rtol=1e-5)
        assert (found[~outside & np.isfinite(true)] >= true[~outside & np.isfinite(true)] - 1e-5).all()

    @pytest.mark.parametrize("missing", [0.0, 0.2])
    @pytest.mark.parametrize("kinds", [(MOVING, STILL, MOVING, MOVING, DAILY), (MOVING,) * 5])
    def test_an_index_hangs_on_its_pixel_and_day_alone(self, missing, kinds, monkeypatch):
        X, importance = table(5000, missing / 4)
        area = Applicability.fit(X, importance, halves(5000))
        features, index = self.features(missing, kinds), GridIndex(area, kinds)
        whole = index.predict(features, np.arange(self.PIXELS), self.DAYS)
        below = (whole <= area.threshold).sum()
        assert 20 < below < whole.size - 20
        some = np.array([7, 3, 250, 4])
        np.testing.assert_array_equal(index.predict(features, some, self.DAYS), whole[:, some])
        monkeypatch.setattr(applicability, "BLOCK", 11)
        np.testing.assert_array_equal(index.predict(features, np.arange(self.PIXELS), self.DAYS), whole)
        for day in range(self.DAYS):
            only = [one if len(one) == 1 else one[day : day + 1] for one in features]
            np.testing.assert_array_equal(
                index.predict(only, np.arange(self.PIXELS), 1), whole[day : day + 1]
            )

    def test_a_changed_day_leaves_the_others(self):
        X, importance = table(5000)
        area = Applicability.fit(X, importance, halves(5000))
        features = self.features(0, (MOVING,) * 5)
        index, pixels = GridIndex(area, (MOVING,) * 5), np.arange(self.PIXELS)
        before = index.predict(features, pixels, self.DAYS)
        features[0][3] += 0.5
        after = index.predict(features, pixels, self.DAYS)
        assert np.flatnonzero((before != after).any(axis=1)).tolist() == [3]

    def test_no_pixels_have_no_index(self):
        X, importance = table(100)
        index = GridIndex(Applicability.fit(X, importance, halves(100)), (MOVING,) * 5)
        assert index.predict(self.features(0, (MOVING,) * 5), np.arange(0), self.DAYS).shape == (7, 0)


@pytest.fixture(scope="module")
def areas() -> dict[str, Applicability]:
    whole, importance = table(300, 0.1)
    part = whole[:100].copy()
    part[:, 2] = 1
    return {
        "Höhe": Applicability.fit(part, importance, halves(100)),
        "WP": Applicability.fit(whole, importance, halves(300)),
    }


class TestBytes:
    def test_they_come_back_as_they_were(self, areas):
        found = from_bytes(to_bytes(areas))
        assert list(found) == ["Höhe", "WP"]
        asked = table(50, 0.1, seed=4)[0]
        for name, area in areas.items():
            assert found[name].threshold == area.threshold
            np.testing.assert_array_equal(found[name].di(asked), area.di(asked))
            np.testing.assert_array_equal(found[name].training, area.training)

    def test_no_stack_is_no_area(self):
        assert from_bytes(to_bytes({})) == {}

    @given(data=st.data())
    @settings(max_examples=60, deadline=None)
    def test_damage_is_told(self, areas, data):
        content = bytearray(to_bytes(areas))
        way = data.draw(st.sampled_from(["cut", "empty", "noise"]))
        if way == "cut":
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        elif way == "noise":
            at = data.draw(st.integers(0, len(content) - 40))
            content[at : at + 40] = bytes(255 - byte for byte in content[at : at + 40])
        else:
            content = bytearray()
        try:
            found = from_bytes(bytes(content))
        except ModelFileError as error:
            assert "copy the whole model folder or train again" in str(error) or "upgrade" in str(error)
        else:  # names and dates of zip entries hold no content
            assert set(found) == set(areas)

    def test_a_pickle_is_not_run(self):
        buffer = io.BytesIO()
        np.savez(buffer, version=np.array(1), names=np.array([{"a": 1}], object))
        with pytest.raises(ModelFileError, match="damaged"):
            from_bytes(buffer.getvalue())

    def test_a_newer_version_is_refused(self):
        buffer = io.BytesIO()
        np.savez(buffer, version=np.array(2), names=np.array([], np.str_))
        with pytest.raises(ModelFileError, match="upgrade gee-smap"):
            from_bytes(buffer.getvalue())

    def test_arrays_that_do_not_fit_each_other_are_refused(self):
        buffer = io.BytesIO()
        arrays = {"0-mean": np.zeros(3), "0-factor": np.ones(2), "0-rows": np.zeros((2, 4), np.float32)}
        np.savez(
            buffer, version=np.array(1), names=np.array(["WP"]), **arrays,
            **{"0-threshold": np.array(0.1), "0-training": np.zeros(1, np.float32)},
        )  # fmt: skip
        with pytest.raises(ModelFileError, match="do not fit"):
            from_bytes(buffer.getvalue())


def test_what_the_target_hangs_on_is_important():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4)).astype(np.float32)
    y = (0.25 + 0.1 * X[:, 2] + 0.02 * X[:, 0]).astype(np.float32)
    learners = (XGBoost(trees=20), LightGBM(trees=20), CatBoost(trees=20))
    stack = StackedRegressor(learners, n_folds=2, threads=1, patience=1000).fit(X, y)
    found = importance_of(stack, X)
    assert found.sum() == pytest.approx(1)
    assert found.argsort()[::-1][:2].tolist() == [2, 0]
    assert found[2] / found[0] == pytest.approx(5, rel=0.4)  # of a line, |SHAP| is slope times |x|
