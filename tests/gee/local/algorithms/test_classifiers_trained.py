"""Classifiers that learn: scikit-learn's numbers under Earth Engine's parameters, the same for equal seeds.

Inputs are whole numbers, which scikit-learn's 32-bit trees hold exactly.
"""

from __future__ import annotations

import ee
import numpy as np
import pytest
from sklearn import ensemble, metrics, naive_bayes, neighbors, svm, tree

from gee.local.errors import EngineError
from gee.local.results.encoding import encode

GENERATOR = np.random.default_rng(5)
X = GENERATOR.integers(0, 100, (120, 3)).astype(float)
NUMBER = X[:, 0] / 10 + np.sin(X[:, 1] / 15) + GENERATOR.normal(0, 0.1, 120)
CLASS = np.digitize(NUMBER, [3.0, 6.0]) + 1  # 1, 2, 3
NAMES = ["a", "b", "c"]
OTHERS = GENERATOR.integers(0, 100, (60, 3)).astype(float)


def features(rows, **columns):
    return ee.FeatureCollection(
        [
            ee.Feature(
                None, {**dict(zip(NAMES, row, strict=True)), **{k: v[i].item() for k, v in columns.items()}}
            )
            for i, row in enumerate(rows.tolist())
        ]
    )


def training():
    return features(X, label=CLASS, number=NUMBER)


@pytest.fixture
def predicted(compute):
    """Outputs of a trained classifier for OTHERS."""

    def run(classifier):
        found = list(compute(features(OTHERS).classify(classifier, "out")))
        return np.array([feature.properties["out"] for feature in found])

    return run


@pytest.mark.parametrize(
    ("make", "like"),
    [
        (lambda c: c.smileCart(), lambda: tree.DecisionTreeClassifier(random_state=0)),
        (
            lambda c: c.smileCart(5, 4),
            lambda: tree.DecisionTreeClassifier(max_leaf_nodes=5, min_samples_leaf=4, random_state=0),
        ),
        (lambda c: c.smileKNN(5), lambda: neighbors.KNeighborsClassifier(5)),
        (
            lambda c: c.smileKNN(5, "LINEAR_SEARCH", "MANHATTAN"),
            lambda: neighbors.KNeighborsClassifier(5, metric="manhattan"),
        ),
        (lambda c: c.smileNaiveBayes(0.5), lambda: naive_bayes.MultinomialNB(alpha=0.5)),
        (
            lambda c: c.libsvm("Voting", "C_SVC", "RBF", True, None, 0.01, None, 10),
            lambda: svm.SVC(C=10, gamma=0.01),
        ),
        (lambda c: c.libsvm(), lambda: svm.SVC(kernel="linear")),
        (
            lambda c: c.smileGradientTreeBoost(12, 0.2, 0.8, 6, "LeastSquares", 4),
            lambda: ensemble.GradientBoostingClassifier(
                n_estimators=12,
                learning_rate=0.2,
                subsample=0.8,
                max_leaf_nodes=6,
                max_depth=None,
                random_state=4,
            ),
        ),
    ],
)
def test_classes_are_those_of_the_same_method(offline_client, predicted, make, like):
    classifier = make(ee.Classifier).train(training(), "label", NAMES)
    assert np.array_equal(predicted(classifier), like().fit(X, CLASS).predict(OTHERS))


@pytest.mark.parametrize(
    ("make", "like"),
    [
        (lambda c: c.smileCart(), lambda: tree.DecisionTreeRegressor(random_state=0)),
        (
            lambda c: c.smileRandomForest(10, 2, 3, 0.7, None, 9),
            lambda: ensemble.RandomForestRegressor(
                10, max_features=2, min_samples_leaf=3, max_samples=0.7, random_state=9
            ),
        ),
        (
            lambda c: c.smileGradientTreeBoost(15, maxNodes=8),
            lambda: ensemble.GradientBoostingRegressor(
                loss="absolute_error",
                n_estimators=15,
                learning_rate=0.005,
                subsample=0.7,
                max_leaf_nodes=8,
                max_depth=None,
                random_state=0,
            ),
        ),
        (lambda c: c.libsvm("Voting", "EPSILON_SVR", "RBF", cost=3), lambda: svm.SVR(C=3, gamma="auto")),
    ],
)
@pytest.mark.parametrize("mode_first", [True, False])
def test_numbers_are_those_of_the_same_method(offline_client, predicted, make, like, mode_first):
    classifier = make(ee.Classifier)
    if mode_first:
        classifier = classifier.setOutputMode("REGRESSION").train(training(), "number", NAMES)
    else:
        classifier = classifier.train(training(), "number", NAMES).setOutputMode("REGRESSION")
    assert np.allclose(predicted(classifier), like().fit(X, NUMBER).predict(OTHERS), rtol=1e-12)


def test_a_forest_takes_the_documented_defaults_and_votes(predicted):
    classifier = ee.Classifier.smileRandomForest(25).train(training(), "label", NAMES)
    # variablesPerSplit is the square root of 3, bagFraction 0.5, seed 0.
    forest = ensemble.RandomForestClassifier(25, max_features=1, max_samples=0.5, random_state=0).fit(
        X, CLASS
    )
    votes = np.stack([one.predict(OTHERS).astype(int) for one in forest.estimators_], axis=1)
    counts = np.stack([(votes == index).sum(axis=1) for index in range(3)], axis=1)
    assert np.array_equal(predicted(classifier), forest.classes_[counts.argmax(axis=1)])
    shares = predicted(classifier.setOutputMode("MULTIPROBABILITY"))
    assert np.allclose(shares, counts / 25)


def test_equal_seeds_learn_equally_and_others_do_not(predicted):
    def grown(seed):
        forest = ee.Classifier.smileRandomForest(5, seed=seed).setOutputMode("REGRESSION")
        return predicted(forest.train(training(), "number", NAMES))

    assert np.array_equal(grown(7), grown(7))
    assert not np.array_equal(grown(7), grown(8))


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("kind", ["smileCart", "smileRandomForest"])
def test_the_explained_trees_classify_like_the_classifier(compute, predicted, kind, regression):
    made = ee.Classifier.smileCart() if kind == "smileCart" else ee.Classifier.smileRandomForest(6)
    mode, target = ("REGRESSION", "number") if regression else ("CLASSIFICATION", "label")
    classifier = made.train(training(), target, NAMES).setOutputMode(mode)
    told = encode(compute(classifier.explain()))
    assert set(told["importance"]) == set(NAMES)
    assert sum(told["importance"].values()) == pytest.approx(1)
    texts = told["trees"] if "trees" in told else [told["tree"]]
    again = ee.Classifier.decisionTreeEnsemble(texts).setOutputMode(mode)
    assert np.array_equal(predicted(again), predicted(classifier))
    assert told.get("classes") == (None if regression else [1, 2, 3])


def test_the_out_of_bag_error_is_that_of_trees_that_did_not_see_a_row(compute):
    classifier = ee.Classifier.smileRandomForest(30).train(training(), "number", NAMES)
    told = compute(classifier.setOutputMode("REGRESSION").explain())
    forest = ensemble.RandomForestRegressor(
        30, max_features=1, max_samples=0.5, random_state=0, oob_score=True
    ).fit(X, NUMBER)
    expected = np.sqrt(np.mean((forest.oob_prediction_ - NUMBER) ** 2))
    assert told["outOfBagErrorEstimate"] == pytest.approx(expected)
    assert told["numberOfTrees"] == 30


def test_the_confusion_matrix_is_of_the_training_data(compute):
    classifier = ee.Classifier.smileCart(4).train(training(), "label", NAMES)
    fitted = tree.DecisionTreeClassifier(max_leaf_nodes=4, random_state=0).fit(X, CLASS).predict(X)
    matrix = compute(classifier.confusionMatrix().array())
    assert np.array_equal(matrix, metrics.confusion_matrix(CLASS, fitted, labels=[0, 1, 2, 3]))


MEANS = np.stack([X[one == CLASS].mean(axis=0) for one in (1, 2, 3)])


def test_minimum_distance_is_documented_whole(predicted):
    def trained(*parameters):
        return ee.Classifier.minimumDistance(*parameters).train(training(), "label", NAMES)

    far = np.linalg.norm(OTHERS[:, None] - MEANS, axis=2)
    assert np.array_equal(predicted(trained()), far.argmin(axis=1) + 1)
    assert np.allclose(predicted(trained().setOutputMode("REGRESSION")), far.min(axis=1))
    assert np.allclose(predicted(trained().setOutputMode("RAW")), far)
    assert np.array_equal(predicted(trained("euclidean", 2)), np.argsort(far, axis=1)[:, :2] + 1)
    city = np.abs(OTHERS[:, None] - MEANS).sum(axis=2)
    assert np.allclose(predicted(trained("manhattan").setOutputMode("RAW")), city)
    lengths = np.linalg.norm(OTHERS, axis=1)[:, None] * np.linalg.norm(MEANS, axis=1)
    angles = np.arccos(OTHERS @ MEANS.T / lengths)
    assert np.allclose(predicted(trained("cosine").setOutputMode("RAW")), angles)
    scaled = []
    for one, mean in zip((1, 2, 3), MEANS, strict=True):
        inverse = np.linalg.inv(np.cov(X[one == CLASS].T))
        scaled.append([np.sqrt((row - mean) @ inverse @ (row - mean)) for row in OTHERS])
    assert np.allclose(predicted(trained("mahalanobis").setOutputMode("RAW")), np.transpose(scaled))


def test_a_one_class_machine_says_whether_a_row_is_of_its_class(predicted):
    inside = np.isin(CLASS, [1]).astype(int)
    rows = features(X, inside=inside)
    machine = ee.Classifier.libsvm("Voting", "ONE_CLASS", "RBF", nu=0.2, gamma=0.001, oneClass=1)
    found = predicted(machine.train(rows, "inside", NAMES))
    expected = svm.OneClassSVM(nu=0.2, gamma=0.001).fit(X[inside == 1]).predict(OTHERS)
    assert np.array_equal(found, (expected > 0).astype(int))


def test_inputs_come_from_the_band_order_of_a_sample(compute):
    rows = training().set("band_order", [*NAMES, "label"])
    assert compute(ee.Classifier.smileCart().train(rows, "label").schema()) == NAMES
    with pytest.raises(EngineError, match="'inputProperties' is required"):
        compute(ee.Classifier.smileCart().train(training(), "label"))


def test_subsampling_learns_from_a_share_of_the_rows(compute):
    def rows(share, seed):
        matrix = ee.Classifier.smileCart().train(training(), "label", NAMES, share, seed).confusionMatrix()
        return compute(matrix.array())

    assert rows(1, 0).sum() == 120
    assert 30 < rows(0.5, 0).sum() < 90
    assert np.array_equal(rows(0.5, 3), rows(0.5, 3))
    with pytest.raises(EngineError, match="Subsampling must be greater than 0"):
        rows(0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: c.smileRandomForest(0), "Classifier training failed: "),
        (lambda c: c.smileRandomForest(5, bagFraction=2), "bagFraction must be greater than 0 and at most 1"),
        (lambda c: c.smileGradientTreeBoost(5, loss="Best"), "Unknown loss 'Best'"),
        (lambda c: c.smileKNN(3, "GUESS"), "Unknown search method 'GUESS'"),
        (lambda c: c.smileKNN().setOutputMode("REGRESSION"), "smileKNN does not do regression"),
        (lambda c: c.libsvm("Voting", "NU_SVR"), "svmType NU_SVR needs output mode REGRESSION"),
        (lambda c: c.libsvm("Margin"), "supported for two classes only"),
        (lambda c: c.libsvm().setOutputMode("PROBABILITY"), "Output mode PROBABILITY is not supported"),
        (lambda c: c.minimumDistance("far"), "Unknown metric 'far'"),
    ],
)
def test_what_cannot_be_learned_is_refused(compute, make, message):
    with pytest.raises(EngineError) as refused:
        list(compute(features(OTHERS).classify(make(ee.Classifier).train(training(), "label", NAMES))))
    assert message in refused.value.message


def test_training_needs_two_classes_and_rows_with_every_value(compute):
    one = features(X[:5], label=np.ones(5))
    with pytest.raises(EngineError, match=r"Classifier training failed: 'Only one class\.'"):
        compute(ee.Classifier.smileCart().train(one, "label", NAMES).explain())
    with pytest.raises(EngineError, match="No valid training data were found"):
        compute(ee.Classifier.smileCart().train(ee.FeatureCollection([]), "label", NAMES))
    with pytest.raises(EngineError, match="Property 'd' of feature '0' is missing"):
        compute(ee.Classifier.smileCart().train(one, "label", ["a", "d"]))
    words = one.map(lambda row: row.set("a", "x"))
    with pytest.raises(
        EngineError, match="Property 'a' of feature '0' must be a number, but is of type String"
    ):
        compute(ee.Classifier.smileCart().train(words, "label", NAMES))
