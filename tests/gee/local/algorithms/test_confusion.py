"""Confusion matrices against scikit-learn's metrics."""

from __future__ import annotations

import ee
import numpy as np
import pytest
from sklearn import metrics

from gee.local.errors import EngineError
from gee.local.results.encoding import encode

# Rows are actual classes, columns predicted ones.
COUNTS = [[32, 0, 2, 1], [3, 5, 0, 1], [0, 4, 17, 3], [1, 0, 6, 20]]
ACTUAL, PREDICTED = (np.repeat(np.indices((4, 4))[axis].ravel(), np.ravel(COUNTS)) for axis in (0, 1))


@pytest.fixture
def matrix(offline_client):
    return ee.ConfusionMatrix(ee.Array(COUNTS))


def test_accuracy_and_kappa(compute, matrix):
    assert compute(matrix.accuracy()) == pytest.approx(metrics.accuracy_score(ACTUAL, PREDICTED))
    assert compute(matrix.kappa()) == pytest.approx(metrics.cohen_kappa_score(ACTUAL, PREDICTED))


def test_the_producers_accuracy_is_the_recall_in_a_column(compute, matrix):
    found = compute(matrix.producersAccuracy())
    assert found.shape == (4, 1)
    assert found[:, 0] == pytest.approx(metrics.recall_score(ACTUAL, PREDICTED, average=None))


def test_the_consumers_accuracy_is_the_precision_in_a_row(compute, matrix):
    found = compute(matrix.consumersAccuracy())
    assert found.shape == (1, 4)
    assert found[0] == pytest.approx(metrics.precision_score(ACTUAL, PREDICTED, average=None))


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_the_f_score(compute, matrix, beta):
    expected = metrics.fbeta_score(ACTUAL, PREDICTED, beta=beta, average=None)
    assert compute(matrix.fscore(beta)) == pytest.approx(expected)


def test_the_counts_and_their_order(compute, matrix):
    assert compute(matrix.array()).tolist() == COUNTS
    assert encode(compute(matrix)) == COUNTS
    assert compute(matrix.order()) == [0, 1, 2, 3]
    assert compute(ee.ConfusionMatrix(ee.Array(COUNTS), [7, 1, 3, 2]).order()) == [7, 1, 3, 2]


def test_a_class_that_never_occurs_has_no_accuracy(compute):
    matrix = ee.ConfusionMatrix(ee.Array([[2, 0, 0], [0, 0, 0], [1, 0, 1]]))
    assert compute(matrix.producersAccuracy()).tolist() == [[1], [0], [0.5]]
    assert compute(matrix.fscore())[1] == 0


def test_a_collections_error_matrix_has_the_same_measures(compute):
    pairs = zip(ACTUAL.tolist(), PREDICTED.tolist(), strict=True)
    rows = ee.FeatureCollection([ee.Feature(None, {"is": a, "said": p}) for a, p in pairs])
    matrix = rows.errorMatrix("is", "said")
    assert compute(matrix.array()).tolist() == COUNTS
    assert compute(matrix.accuracy()) == pytest.approx(np.mean(ACTUAL == PREDICTED))


@pytest.mark.parametrize(
    ("array", "order", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], None, "must be square"),
        ([1, 2], None, "must be square"),
        ([[1.5, 0], [0, 1]], None, "must hold integers"),
        ([[1, 0], [0, 1]], [1, 2, 3], "must have 2 classes, got 3"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(compute, array, order, message):
    with pytest.raises(EngineError, match=message):
        compute(ee.ConfusionMatrix(ee.Array(array), order))
