"""Decision trees given as text, against scikit-learn's own predictions of the models they come from."""

from __future__ import annotations

import ee
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.results.encoding import encode

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
GRID = Grid(UTM, 20, 15)
NAMES = ["column", "row", "product"]
C, R = np.meshgrid(np.arange(20), np.arange(15))
PIXELS = np.stack([C.ravel(), R.ravel(), (C * R).ravel()], axis=1).astype(float)

TRAINING = np.random.default_rng(3).random((300, 3)) * [20, 15, 300]
TRAINING = TRAINING.astype(np.float32).astype(float)  # scikit-learn compares 32-bit inputs
MOISTURE = 0.1 + 0.01 * TRAINING[:, 0] + np.sin(TRAINING[:, 1]) / 10 - 0.0003 * TRAINING[:, 2]
CLASSES = np.digitize(MOISTURE, [0.1, 0.2]) * 4 + 1  # 1, 5, 9


def image():
    crs = ee.Projection(UTM.crs, list(UTM.transform))
    places = ee.Image.pixelCoordinates(crs).floor().int().rename(["column", "row"])
    return places.addBands(places.select("column").multiply(places.select("row")).rename("product"))


def text(estimator, values):
    """A scikit-learn tree as text in full precision; ``values`` by node."""
    tree = estimator.tree_
    lines = ["n= 300", "node), split, n, loss, yval, (yprob)", "* denotes terminal node", ""]

    def write(node, number, split):
        leaf = tree.children_left[node] == -1
        samples, loss = tree.n_node_samples[node], tree.impurity[node]
        lines.append(f"{number}) {split} {samples} {loss:.4g} {float(values[node])!r}{' *' if leaf else ''}")
        if not leaf:
            name, threshold = NAMES[tree.feature[node]], float(tree.threshold[node])
            write(tree.children_left[node], 2 * number, f"{name}<={threshold!r}")
            write(tree.children_right[node], 2 * number + 1, f"{name}>{threshold!r}")

    write(0, 1, "root")
    return "\n".join(lines) + "\n"


def regression_text(estimator):
    return text(estimator, estimator.tree_.value[:, 0, 0])


@pytest.fixture
def classified(compute):
    """From an ee image to its only band's values and mask on GRID."""

    def read(thing):
        value = compute(thing)
        [raster] = value.read(GRID)
        full = raster.full(GRID.shape)
        return full.values, raster.valid(GRID.shape), value.bands[0]

    return read


def test_one_regression_tree_gives_scikit_learns_predictions(compute, classified):
    tree = DecisionTreeRegressor(max_depth=6, random_state=0).fit(TRAINING, MOISTURE)
    classifier = ee.Classifier.decisionTree(regression_text(tree)).setOutputMode("REGRESSION")
    values, valid, band = classified(image().classify(classifier))
    assert band.name == "classification"
    assert valid.all()
    assert np.array_equal(values.ravel(), tree.predict(PIXELS))


def test_a_regression_forest_gives_the_mean_over_its_trees(compute, classified):
    forest = RandomForestRegressor(20, max_depth=7, random_state=0).fit(TRAINING, MOISTURE)
    texts = [regression_text(tree) for tree in forest.estimators_]
    classifier = ee.Classifier.decisionTreeEnsemble(texts).setOutputMode("REGRESSION")
    values, _, band = classified(image().classify(classifier, "sm"))
    assert band.name == "sm"
    assert np.allclose(values.ravel(), forest.predict(PIXELS), rtol=1e-14)

    rows = [ee.Feature(None, dict(zip(NAMES, row, strict=True))) for row in TRAINING[:50].tolist()]
    features = list(compute(ee.FeatureCollection(rows).classify(classifier, "sm")))
    assert np.allclose([f.properties["sm"] for f in features], forest.predict(TRAINING[:50]), rtol=1e-14)
    assert features[0].properties["row"] == TRAINING[0, 1]

    raw, _, band = classified(image().classify(classifier.setOutputMode("RAW_REGRESSION")))
    assert band.type.dimensions == 1
    each = np.stack([tree.predict(PIXELS) for tree in forest.estimators_], axis=1)
    assert np.array_equal(raw.reshape(-1, 20), each)


def test_a_classification_forest_gives_the_vote_of_its_trees(classified):
    forest = RandomForestClassifier(15, max_depth=4, random_state=0).fit(TRAINING, CLASSES)
    labels = forest.classes_
    texts = [text(t, labels[t.tree_.value[:, 0].argmax(axis=1)]) for t in forest.estimators_]
    classifier = ee.Classifier.decisionTreeEnsemble(texts)
    votes = np.stack([labels[tree.predict(PIXELS).astype(int)] for tree in forest.estimators_], axis=1)
    counts = np.stack([(votes == label).sum(axis=1) for label in labels], axis=1)

    values, _, band = classified(image().classify(classifier))
    assert band.type.precision == "int"
    assert np.array_equal(values.ravel(), labels[counts.argmax(axis=1)])
    probability, _, _ = classified(image().classify(classifier.setOutputMode("PROBABILITY")))
    assert np.allclose(probability.ravel(), counts.max(axis=1) / 15)
    shares, _, _ = classified(image().classify(classifier.setOutputMode("MULTIPROBABILITY")))
    assert np.allclose(shares.reshape(-1, 3), counts / 15)
    raw, _, _ = classified(image().classify(classifier.setOutputMode("RAW")))
    assert np.array_equal(raw.reshape(-1, 15), votes)


def test_a_boosted_model_is_its_mean_times_the_number_of_trees_plus_the_start(classified):
    boosted = GradientBoostingRegressor(n_estimators=40, max_depth=3, random_state=0).fit(TRAINING, MOISTURE)
    texts = [regression_text(tree) for tree in boosted.estimators_.ravel()]
    classifier = ee.Classifier.decisionTreeEnsemble(texts).setOutputMode("REGRESSION")
    scale, start = boosted.learning_rate * len(texts), float(boosted.init_.constant_[0, 0])
    values, _, _ = classified(image().classify(classifier).multiply(scale).add(start))
    assert np.allclose(values.ravel(), boosted.predict(PIXELS), rtol=1e-12)


TREE = "1) root 9 9 0\n2) row<=6.5 4 0 3 *\n3) row>6.5 5 1 8\n6) column<10 2 0 4 *\n7) column>=10 3 0 8 *\n"
EXPECTED = np.where(R <= 6.5, 3, np.where(C < 10, 4, 8))


def test_inputs_are_matched_by_name_and_a_masked_one_masks_the_output(classified):
    classifier = ee.Classifier.decisionTree(TREE)
    shuffled = image().select(["product", "row", "column"])
    holes = shuffled.addBands(
        image().select("column").updateMask(image().select("column").neq(4)), None, True
    )
    values, valid, _ = classified(
        holes.updateMask(image().select("row").gt(1).multiply(0.5)).classify(classifier)
    )
    assert np.array_equal(valid, (C != 4) & (R > 1))
    assert np.array_equal(values[valid], EXPECTED[valid])


def test_a_mask_of_an_unused_band_does_not_matter(classified):
    masked = image().addBands(image().select("product").updateMask(0), None, True)
    values, valid, _ = classified(masked.classify(ee.Classifier.decisionTree(TREE)))
    assert valid.all()
    assert np.array_equal(values, EXPECTED)


def test_a_tree_of_one_leaf_classifies_anything(classified):
    values, valid, _ = classified(image().classify(ee.Classifier.decisionTree("1) root 9 0 6 *")))
    assert valid.all()
    assert (values == 6).all()


def test_the_schema_and_the_mode_are_told(compute):
    classifier = ee.Classifier.decisionTree(TREE)
    assert compute(classifier.schema()) == ["row", "column"]
    assert compute(classifier.mode()) == "CLASSIFICATION"
    assert compute(classifier.setOutputMode("RAW").mode()) == "RAW"
    assert compute(ee.Classifier.smileCart().schema()) is None
    assert encode(compute(classifier.explain())) == {"numberOfTrees": 1, "trees": [TREE]}
    assert encode(compute(classifier))["type"] == "Classifier.decisionTree"


def test_classes_of_features_are_integers(compute):
    rows = ee.FeatureCollection([ee.Feature(None, {"row": 7, "column": 3.5})])
    [feature] = compute(rows.classify(ee.Classifier.decisionTree(TREE)))
    assert feature.properties["classification"] == 4
    assert isinstance(feature.properties["classification"], int)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ee.Classifier.decisionTree("1) root 1 1 1\n3) a<=1 1 1 1 *"),
            "Error parsing line 2: expected 2, got 3.",
        ),
        (lambda: ee.Classifier.decisionTree(TREE).setOutputMode("BEST"), "Unknown output mode 'BEST'"),
        (lambda: image().classify(ee.Classifier.smileCart()), "must be trained"),
        (
            lambda: image().select("row").classify(ee.Classifier.decisionTree(TREE)),
            "'column' did not match any bands",
        ),
        (
            lambda: ee.Classifier.decisionTree(TREE).train(ee.FeatureCollection([]), "row"),
            "cannot be trained",
        ),
        (lambda: ee.Classifier.decisionTree(TREE).confusionMatrix(), "has no training data"),
        (lambda: ee.Classifier.load("projects/p/assets/forest"), "stores no classifiers"),
        (lambda: ee.apply("Classifier.cart", {}), "This classifier has been removed"),
    ],
)
def test_what_cannot_be_is_refused(compute, make, message):
    with pytest.raises(EngineError) as refused:
        compute(make())
    assert message in refused.value.message


def test_a_feature_without_an_input_is_refused_by_name(compute):
    rows = ee.FeatureCollection([ee.Feature(None, {"row": 1})])
    with pytest.raises(EngineError, match="Property 'column' of feature '0' is missing"):
        list(compute(rows.classify(ee.Classifier.decisionTree(TREE))))


def test_probabilities_of_too_many_values_are_refused(compute, classified):
    leaves = [f"1) root 1 0 {value}.5 *" for value in range(1001)]
    classifier = ee.Classifier.decisionTreeEnsemble(leaves).setOutputMode("MULTIPROBABILITY")
    with pytest.raises(EngineError, match="1001 distinct values"):
        classified(image().classify(classifier))


def test_a_spectral_region_is_where_an_odd_number_of_edges_is_crossed(classified):
    rings = [[1.5, 1.5, 11.5, 1.5, 11.5, 9.5, 1.5, 9.5], [3.5, 3.5, 5.5, 3.5, 5.5, 7.5, 3.5, 7.5]]
    classifier = ee.Classifier.spectralRegion(rings, ["column", "row"])
    values, _, _ = classified(image().classify(classifier))
    outer = (C > 1.5) & (C < 11.5) & (R > 1.5) & (R < 9.5)
    hole = (C > 3.5) & (C < 5.5) & (R > 3.5) & (R < 7.5)
    assert np.array_equal(values, outer & ~hole)
