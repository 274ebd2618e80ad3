"""``Classifier.*``, and the classification of images and features.

Decision trees given as text are evaluated as they stand. Classifiers that learn do so here by the same
method in scikit-learn (`learners`), with Earth Engine's documented defaults: never with Google's numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gee.local.algorithms.confusion import ConfusionMatrix, counted
from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.learning import learners
from gee.local.learning.classifiers import (
    MODES,
    Classifier,
    Learner,
    Output,
    Training,
    batches,
    numbers_of,
    of_forest,
    ready,
    training_rows,
)
from gee.local.learning.trees import Forest, forest_of
from gee.local.raster.images import Image, pointwise
from gee.local.raster.pixels import Raster, digest, masks_intersect
from gee.local.registry import algorithm, promotion
from gee.local.values import Collection, Element


@promotion("Classifier")
def to_classifier(value: Any) -> Classifier:
    """A classifier is only itself."""
    if isinstance(value, Classifier):
        return value
    raise TypeError


@algorithm("Classifier.decisionTree")
def _decision_tree(text: str) -> Classifier:
    return _decision_trees([text], "Classifier.decisionTree")


@algorithm("Classifier.decisionTreeEnsemble")
def _decision_trees(texts: list[str], name: str = "Classifier.decisionTreeEnsemble") -> Classifier:
    key = digest("trees", *texts)

    def make() -> tuple[Forest, int]:
        found = forest_of(texts)
        return found, found.nbytes

    forest: Forest = current().tiles.get(key, make)  # megabytes of text, sent again with every request

    def explained() -> Mapping[str, Any]:
        return {"numberOfTrees": int(forest.roots.size), "trees": list(texts)}

    return ready(name, [key], of_forest(forest, explained), forest.names)


def _learning(name: str, learner: Any) -> Any:
    """A definition that makes an untrained classifier of its documented parameters."""

    def make(*parameters: Any) -> Classifier:
        learn: Learner = partial(learner, *parameters)
        return Classifier(name, parameters, learn)

    return make


for _name, _learner in learners.LEARNERS.items():
    algorithm(f"Classifier.{_name}")(_learning(f"Classifier.{_name}", _learner))

REMOVED = (
    "cart",
    "continuousNaiveBayes",
    "gmoLinearRegression",
    "gmoMaxEnt",
    "ikpamir",
    "naiveBayes",
    "pegasosGaussian",
    "pegasosLinear",
    "pegasosPolynomial",
)
"""Classifiers that Earth Engine documents as removed."""


def _removed(*_: Any) -> Classifier:
    raise EngineError(
        "This classifier has been removed. For more information see: https://goo.gle/deprecated-classifiers."
    )


algorithm(*(f"Classifier.{name}" for name in REMOVED))(_removed)


@algorithm("Classifier.spectralRegion")
def _spectral_region(rings: list[list[float]], schema: list[str] | None) -> Classifier:
    names = ["u", "v"] if schema is None else schema
    if len(names) != 2:
        raise EngineError(f"The schema must have 2 names, got {len(names)}.")
    if any(len(ring) < 6 or len(ring) % 2 for ring in rings):
        raise EngineError("Each ring must be a list of at least three coordinate pairs.")
    fitted = learners.spectral_region([np.reshape(np.array(ring, float), (-1, 2)) for ring in rings])
    return ready("Classifier.spectralRegion", [rings], fitted, names)


@algorithm("Classifier.load")
def _load(asset_id: str) -> Classifier:
    raise EngineError(
        f"Classifier asset '{asset_id}' cannot be loaded: the local engine stores no classifiers. "
        "Keep the trees as text, and make a Classifier.decisionTreeEnsemble of it."
    )


@algorithm("Classifier.setOutputMode")
def _set_output_mode(classifier: Classifier, mode: str) -> Classifier:
    if mode not in MODES:
        raise EngineError(f"Unknown output mode '{mode}'; must be one of {', '.join(MODES)}.")
    return replace(classifier, mode=mode)


@algorithm("Classifier.mode")
def _mode(classifier: Classifier) -> str:
    return classifier.mode


@algorithm("Classifier.schema")
def _schema(classifier: Classifier) -> list[str] | None:
    return None if classifier.schema is None else list(classifier.schema)


@algorithm("Classifier.train")
def _train(
    classifier: Classifier,
    features: Collection,
    class_property: str,
    inputs: list[str] | None,
    subsampling: float,
    seed: int,
) -> Classifier:
    if not classifier.learns:
        raise EngineError(f"{classifier.name} cannot be trained.")
    names, rows = training_rows(features, inputs, class_property, subsampling, seed)
    return replace(classifier, schema=names, training=Training(names, rows[:, :-1], rows[:, -1]))


@algorithm("Classifier.explain")
def _explain(classifier: Classifier) -> dict[str, Any]:
    return dict(classifier.fitted().explained())


@algorithm("Classifier.confusionMatrix")
def _confusion_matrix(classifier: Classifier) -> ConfusionMatrix:
    training = classifier.training
    if training is None or not classifier.learns:
        raise EngineError(f"{classifier.name} has no training data.")
    predicted = replace(classifier, mode="CLASSIFICATION").output().function
    return counted(training.target, predicted(training.rows))


@algorithm("Image.classify")
def classify(image: Image, classifier: Classifier, name: str) -> Image:
    """One band of a classifier's output, from the bands named in its schema; masked where any of them is."""
    return applied(image, classifier.inputs, classifier.output(), classifier.key, name)


def applied(image: Image, inputs: Sequence[str], output: Output, key: bytes, name: str) -> Image:
    """A function of rows applied to the pixels of an image.

    Args:
        image: it is applied to.
        inputs: bands, in the order of the rows' columns.
        output: the function.
        key: equal for equal functions.
        name: of the resulting band.

    Raises:
        EngineError: a band is missing or has array pixels.
    """
    bands = [image.band(each) for each in inputs]
    for band in bands:
        if band.type.dimensions:
            raise EngineError(f"Band '{band.name}' has array pixels, and must have numbers.")

    def compute(*rasters: Raster) -> Raster:
        mask = masks_intersect(*(raster.mask for raster in rasters))
        shape = np.broadcast_shapes(
            (1, 1), *(raster.values.shape for raster in rasters), () if mask is None else mask.shape
        )
        valid = np.ones(shape, np.bool_) if mask is None else np.broadcast_to(mask != 0, shape)
        rows = np.empty((int(valid.sum()), len(rasters)))
        for column, raster in enumerate(rasters):
            rows[:, column] = np.broadcast_to(raster.values, shape)[valid]
        found = (
            output.function(rows)
            if len(rows) or not rasters
            else np.empty((0,) * (1 + output.type.dimensions))
        )
        values = np.zeros(shape + found.shape[1:], output.type.dtype)
        values[valid] = found
        return Raster(values, mask)

    band = pointwise("classify", bands, compute, output.type, key, band_name=name)
    return image.computed([band])


@algorithm("FeatureCollection.classify")
def _classify_features(features: Collection, classifier: Classifier, name: str) -> Collection:
    return labelled(features, classifier.inputs, classifier.output(), name)


def labelled(features: Collection, inputs: Sequence[str], output: Output, name: str) -> Collection:
    """Elements with the output of a function of their properties added."""

    def elements() -> Iterator[Element]:
        for batch in batches(features):
            found = output.function(numbers_of(batch, inputs)).astype(output.type.dtype, copy=False)
            values = list(found) if output.type.dimensions else found.tolist()
            for element, value in zip(batch, values, strict=True):
                yield element.having({name: value})

    return features.lazily(elements)
