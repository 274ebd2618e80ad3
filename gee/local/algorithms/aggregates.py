"""``AggregateFeatureCollection.*`` and ``Collection.errorMatrix``: numbers about one or two properties.

Elements without the property, or with null in it, are no inputs; only ``total_count`` of the statistics
counts them. Their names are those of the documented example of `aggregate_stats`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.registry import algorithm, apply, type_name
from gee.local.scalars.comparison import identity
from gee.local.scalars.ordering import by_value, is_number, plain
from gee.local.selection.filters import field_of
from gee.local.values import Collection

MAX_CLASSES = 10_000  # rows of an error matrix: "the values are expected to be small"


def known(collection: Collection, name: str) -> list[Any]:
    """Values of a property that are not null, in order."""
    values = (field_of(element, name) for element in collection)
    return [value for value in values if value is not None]


def numbers(collection: Collection, name: str) -> list[int | float]:
    """Values of a numeric property.

    Raises:
        EngineError: a value is not a number.
    """
    values = [plain(value) for value in known(collection, name)]
    for value in values:
        if not is_number(value):
            raise EngineError(
                f"Property '{name}' must be numeric, but has a value of type {type_name(value)}."
            )
    return values


def _sum(values: list[Any]) -> int | float:
    return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)


def _mean(values: list[Any]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _variance(values: list[Any], fewer: int) -> float | None:
    """Mean squared distance from the mean, divided by ``fewer`` less than the number of values."""
    if len(values) <= fewer:
        return None
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - fewer)


def _deviation(values: list[Any], fewer: int) -> float | None:
    variance = _variance(values, fewer)
    return None if variance is None else math.sqrt(variance)


NUMERIC: tuple[tuple[str, Callable[[list[Any]], Any]], ...] = (
    ("sum", _sum),
    ("product", math.prod),
    ("mean", _mean),
    ("sample_var", lambda values: _variance(values, 1)),
    ("sample_sd", lambda values: _deviation(values, 1)),
    ("total_var", lambda values: _variance(values, 0)),
    ("total_sd", lambda values: _deviation(values, 0)),
)

ANY_TYPE: tuple[tuple[str, Callable[[list[Any]], Any]], ...] = (
    ("array", list),
    ("count", len),
    ("count_distinct", lambda values: len({identity(plain(value)) for value in values})),
    ("min", lambda values: min(values, key=by_value, default=None)),
    ("max", lambda values: max(values, key=by_value, default=None)),
    ("histogram", lambda values: dict(Counter(map(_label, values)))),
)


def _label(value: Any) -> str:
    value = plain(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _aggregate(
    read: Callable[[Collection, str], list[Any]], compute: Callable[[list[Any]], Any]
) -> Callable[[Collection, str], Any]:
    return lambda collection, name: compute(read(collection, name))


for _rows, _read in ((NUMERIC, numbers), (ANY_TYPE, known)):
    for _name, _compute in _rows:
        algorithm(f"AggregateFeatureCollection.{_name}")(_aggregate(_read, _compute))


@algorithm("AggregateFeatureCollection.first")
def _first(collection: Collection, name: str) -> Any:
    return next((field_of(element, name) for element in collection), None)


@algorithm("AggregateFeatureCollection.stats")
def _stats(collection: Collection, name: str) -> dict[str, Any]:
    values = numbers(collection, name)
    found = {key: compute(values) for key, compute in NUMERIC if key != "product"}
    total = found["sum"]
    # Every element weighs one here, so the weighted sums are the plain ones.
    return {
        "max": max(values, default=None),
        "mean": found["mean"],
        "min": min(values, default=None),
        "sample_sd": found["sample_sd"],
        "sample_var": found["sample_var"],
        "sum": total,
        "sum_sq": _sum([value * value for value in values]),
        "total_count": collection.size(),
        "total_sd": found["total_sd"],
        "total_var": found["total_var"],
        "valid_count": len(values),
        "weight_sum": len(values),
        "weighted_sum": total,
    }


@algorithm("Collection.errorMatrix")
def _error_matrix(collection: Collection, actual: str, predicted: str, order: list[int] | None) -> Any:
    pairs = [
        (plain(element.get(actual)), plain(element.get(predicted)))
        for element in collection
        if element.get(actual) is not None and element.get(predicted) is not None
    ]
    for value in (value for pair in pairs for value in pair):
        if not is_number(value) or value != int(value) or (order is None and not 0 <= value < MAX_CLASSES):
            raise EngineError(f"Classes must be small integers from 0 on, got {value}.")
    classes = range(max((max(pair) for pair in pairs), default=0) + 1) if order is None else order
    place = {value: row for row, value in enumerate(map(int, classes))}
    matrix = np.zeros((len(place), len(place)), np.int64)
    for row, column in pairs:
        if row in place and column in place:
            matrix[place[row], place[column]] += 1
    return apply("ConfusionMatrix", {"array": matrix, "order": order})
