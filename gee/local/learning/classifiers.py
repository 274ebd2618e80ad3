"""The value of ``Classifier.*``: how rows of numbers become classes, probabilities or regressions.

A classifier is what it learned, by output mode. Learning waits until an output is asked for, since the
mode may be set after training and decides whether classes or numbers are learned; what was learned is
kept beside the pixels, so that the tiles of a map learn once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.learning.trees import Forest, Rows
from gee.local.raster.pixels import digest
from gee.local.registry import type_name
from gee.local.scalars.ordering import is_number, plain
from gee.local.values import DOUBLE, Collection, Element, PixelType, type_of

MODES = ("CLASSIFICATION", "REGRESSION", "PROBABILITY", "MULTIPROBABILITY", "RAW", "RAW_REGRESSION")
REGRESSIONS = ("REGRESSION", "RAW_REGRESSION")
_MAX_CLASSES = 1000  # probabilities of one row; trees of a regression have a value per leaf
_INTEGER = type_of(np.dtype(np.int32))
_LIST = replace(DOUBLE, dimensions=1)


class Output(NamedTuple):
    """What a classifier gives for a row: a number, or a list of numbers where the type has a dimension."""

    function: Callable[[Rows], NDArray[Any]]
    type: PixelType


@dataclass(frozen=True)
class Fitted:
    """What was learned.

    Args:
        outputs: by output mode.
        explained: what ``Classifier.explain`` tells.
        nbytes: memory it takes, about.
    """

    outputs: Mapping[str, Output]
    explained: Callable[[], Mapping[str, Any]]
    nbytes: int


@dataclass(frozen=True, eq=False)
class Training:
    """Rows to learn from.

    Args:
        names: of the inputs.
        rows: their values, (rows, inputs).
        target: the class or number of each row.
    """

    names: tuple[str, ...]
    rows: Rows
    target: NDArray[np.float64]

    @property
    def key(self) -> bytes:
        """Equal for equal rows."""
        return digest(self.names, self.rows, self.target)


Learner = Callable[[Training, bool], Fitted]
"""From rows, to classes or (true) to numbers."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier, trained or not.

    Args:
        name: of the algorithm that made it.
        parameters: of that algorithm.
        learner: learns from rows.
        schema: names of the inputs; None before training.
        training: rows to learn from; None before training.
        mode: of the output.
    """

    name: str
    parameters: tuple[Any, ...]
    learner: Learner
    schema: tuple[str, ...] | None = None
    training: Training | None = None
    mode: str = "CLASSIFICATION"

    @property
    def key(self) -> bytes:
        """Equal for classifiers that give equal outputs."""
        return digest("classifier", self.name, self.parameters, self.schema, self.mode, self._training.key)

    @property
    def _training(self) -> Training:
        if self.training is None:
            raise EngineError("The classifier must be trained before it is used.")
        return self.training

    @property
    def learns(self) -> bool:
        """Whether it is trained with rows; text of trees is not."""
        return self.training is None or len(self.training.rows) > 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs of a trained classifier."""
        return self._training.names if self.schema is None else self.schema

    def fitted(self) -> Fitted:
        """What was learned for the output mode, learned once by all requests.

        Raises:
            EngineError: it is not trained, or cannot be.
        """
        training, regression = self._training, self.mode in REGRESSIONS

        def make() -> tuple[Fitted, int]:
            found = self.learner(training, regression)
            return found, found.nbytes

        key = digest("fitted", self.name, self.parameters, training.key, regression)
        fitted: Fitted = current().tiles.get(key, make)
        return fitted

    def output(self) -> Output:
        """How rows become outputs in the classifier's mode.

        Raises:
            EngineError: it is not trained, cannot be, or does not have the mode.
        """
        outputs = self.fitted().outputs
        if self.mode not in outputs:
            raise EngineError(
                f"Output mode {self.mode} is not supported by {self.name}, only {', '.join(sorted(outputs))}."
            )
        return outputs[self.mode]

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` prints it: the local engine's own summary."""
        schema = None if self.schema is None else list(self.schema)
        return {"type": self.name, "mode": self.mode, "schema": schema}


def ready(name: str, parameters: Sequence[Any], fitted: Fitted, schema: Sequence[str]) -> Classifier:
    """A classifier that needs no training."""
    nothing = Training(tuple(schema), np.empty((0, len(schema))), np.empty(0))
    return Classifier(name, tuple(parameters), lambda *_: fitted, tuple(schema), nothing)


def class_type(classes: NDArray[np.float64]) -> PixelType:
    """The type of class numbers: 32-bit integers where they are such."""
    limits = np.iinfo(np.int32)
    whole = (classes == np.round(classes)) & (classes >= limits.min) & (classes <= limits.max)
    return _INTEGER if whole.all() else DOUBLE


def of_forest(forest: Forest, explained: Callable[[], Mapping[str, Any]]) -> Fitted:
    """The outputs of trees.

    CLASSIFICATION is the value most trees give (the smallest of equals), PROBABILITY the share of trees
    that give it, MULTIPROBABILITY that share for every value of a leaf in ascending order, RAW the vote
    of each tree; REGRESSION is the mean over the trees, RAW_REGRESSION what each gives.
    """
    classes = forest.leaf_values
    kind = class_type(classes)
    count = forest.roots.size

    def shares(rows: Rows) -> NDArray[np.float64]:
        if classes.size > _MAX_CLASSES:
            raise EngineError(
                f"MULTIPROBABILITY of {classes.size} distinct values; at most {_MAX_CLASSES} are supported."
            )
        return forest.votes(rows, classes) / count

    return Fitted(
        {
            "CLASSIFICATION": Output(lambda rows: forest.majority(rows, classes)[0], kind),
            "PROBABILITY": Output(lambda rows: forest.majority(rows, classes)[1], DOUBLE),
            "MULTIPROBABILITY": Output(shares, _LIST),
            "RAW": Output(forest.values, replace(kind, dimensions=1)),
            "REGRESSION": Output(forest.mean, DOUBLE),
            "RAW_REGRESSION": Output(forest.values, _LIST),
        },
        explained,
        forest.nbytes,
    )


def of_probabilities(
    classes: NDArray[np.float64], probabilities: Callable[[Rows], NDArray[np.float64]]
) -> dict[str, Output]:
    """The outputs of probabilities, (rows, classes): the class is the likeliest, the first of equals."""

    def decide(rows: Rows) -> NDArray[Any]:
        chosen: NDArray[Any] = classes[probabilities(rows).argmax(axis=1)]
        return chosen

    return {
        "CLASSIFICATION": Output(decide, class_type(classes)),
        "PROBABILITY": Output(lambda rows: probabilities(rows).max(axis=1), DOUBLE),
        "MULTIPROBABILITY": Output(probabilities, _LIST),
    }


def numbers_of(elements: Sequence[Element], names: Sequence[str]) -> Rows:
    """Numeric properties of elements, (elements, names).

    Raises:
        EngineError: one is missing or no number.
    """
    rows = np.empty((len(elements), len(names)))
    for element, row in zip(elements, rows, strict=True):
        for column, name in enumerate(names):
            value = plain(element.get(name))
            if value is None:
                raise EngineError(f"Property '{name}' of feature '{element.get('system:index')}' is missing.")
            if not is_number(value):
                raise EngineError(
                    f"Property '{name}' of feature '{element.get('system:index')}' must be a number, "
                    f"but is of type {type_name(value)}."
                )
            row[column] = value
    return rows


def training_rows(
    collection: Collection, inputs: Sequence[str] | None, target: str | None, share: float, seed: int
) -> tuple[tuple[str, ...], Rows]:
    """Names and values of the inputs, and of the target after them.

    Args:
        collection: of the elements to learn from.
        inputs: names; None takes the ``band_order`` that sampling an image leaves on the collection.
        target: the property to learn; None where there is none.
        share: of the rows to keep, by numbers of the engine's own.
        seed: of these numbers.

    Raises:
        EngineError: the inputs are not known, a value is missing, or no row is left.
    """
    if not 0 < share <= 1:
        raise EngineError(f"Subsampling must be greater than 0 and at most 1, got {share}.")
    order = collection.get("band_order") if inputs is None else inputs
    if order is None:
        raise EngineError("'inputProperties' is required: the collection has no 'band_order' property.")
    names = tuple(str(name) for name in order if inputs is not None or name != target)
    if not names:
        raise EngineError("There must be at least one input property.")
    rows = numbers_of(list(collection), names if target is None else [*names, target])
    if share < 1:
        rows = rows[np.random.default_rng(abs(seed)).random(len(rows)) < share]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise EngineError("No valid training data were found.")
    return names, rows


def batches(collection: Collection, size: int = 4096) -> Iterator[list[Element]]:
    """The elements of a collection, some thousands at a time."""
    elements = iter(collection)
    while batch := list(islice(elements, size)):
        yield batch
