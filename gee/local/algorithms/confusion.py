"""``ConfusionMatrix.*``: how often each actual class was predicted as each class, and how good that is.

Rows are actual values and columns predicted ones, as documented; so the producer's accuracy is a column of
shares of the row sums, and the consumer's a row of shares of the column sums. A class that never occurs
has accuracy 0, since dividing an Array by 0 gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.registry import algorithm, promotion, type_name

_MAX_CLASSES = 10_000  # rows: the documented matrix spans all numbers up to the highest class


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of pairs of classes.

    Args:
        counts: (actual, predicted).
        order: the class of each row and column.
    """

    counts: NDArray[np.int64]
    order: tuple[int, ...]

    def as_json(self) -> list[list[int]]:
        """As ``getInfo`` prints it."""
        rows: list[list[int]] = self.counts.tolist()
        return rows

    @property
    def right(self) -> NDArray[np.int64]:
        """How often each class was predicted rightly."""
        return np.diagonal(self.counts)


@promotion("ConfusionMatrix")
def to_confusion_matrix(value: Any) -> ConfusionMatrix:
    """A confusion matrix is only itself."""
    if isinstance(value, ConfusionMatrix):
        return value
    raise TypeError


def counted(actual: NDArray[np.float64], predicted: NDArray[Any]) -> ConfusionMatrix:
    """The matrix of classes 0 to the highest.

    Raises:
        EngineError: a class is no integer from 0 on, or too large.
    """
    pairs = np.stack([actual, np.asarray(predicted, np.float64)])
    wrong = (pairs != np.round(pairs)) | (pairs < 0) | (pairs >= _MAX_CLASSES)
    if wrong.any():
        raise EngineError(f"Classes must be integers from 0 to {_MAX_CLASSES - 1}, got {pairs[wrong][0]:g}.")
    rows, columns = pairs.astype(np.int64)
    size = int(pairs.max(initial=0)) + 1
    counts = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    return ConfusionMatrix(counts, tuple(range(size)))


@algorithm("ConfusionMatrix")
def _confusion_matrix(array: Any, order: list[int] | None) -> ConfusionMatrix:
    if not isinstance(array, np.ndarray):
        raise EngineError(f"The matrix must be an Array, got {type_name(array)}.")
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise EngineError(f"The matrix must be square and have 2 dimensions, got {list(array.shape)}.")
    if (array != np.round(array)).any():
        raise EngineError("The matrix must hold integers.")
    if order is not None and len(order) != len(array):
        raise EngineError(f"The order must have {len(array)} classes, got {len(order)}.")
    return ConfusionMatrix(array.astype(np.int64), tuple(range(len(array)) if order is None else order))


algorithm("ConfusionMatrix.array")(lambda matrix: matrix.counts)
algorithm("ConfusionMatrix.order")(lambda matrix: list(matrix.order))


def _share(part: Any, whole: Any) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return np.where(whole != 0, np.true_divide(part, whole), 0.0)


@algorithm("ConfusionMatrix.accuracy")
def _accuracy(matrix: ConfusionMatrix) -> float:
    return float(_share(matrix.right.sum(), matrix.counts.sum()))


@algorithm("ConfusionMatrix.producersAccuracy")
def _producers_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    return _share(matrix.right, matrix.counts.sum(axis=1))[:, None]


@algorithm("ConfusionMatrix.consumersAccuracy")
def _consumers_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    return _share(matrix.right, matrix.counts.sum(axis=0))[None, :]


@algorithm("ConfusionMatrix.fscore")
def _fscore(matrix: ConfusionMatrix, beta: float) -> NDArray[np.float64]:
    precision = _share(matrix.right, matrix.counts.sum(axis=0))
    recall = _share(matrix.right, matrix.counts.sum(axis=1))
    return _share((1 + beta**2) * precision * recall, beta**2 * precision + recall)


@algorithm("ConfusionMatrix.kappa")
def _kappa(matrix: ConfusionMatrix) -> float:
    counts = matrix.counts.astype(np.float64)
    total = counts.sum()
    chance = float(_share((counts.sum(axis=0) * counts.sum(axis=1)).sum(), total**2))
    return float(_share(_accuracy(matrix) - chance, 1 - chance))
