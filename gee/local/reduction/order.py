"""Reducers that need all inputs together: order statistics, histograms, distinct values, lists.

Order statistics are exact however many inputs there are; Earth Engine changes to a histogram beyond
``maxRaw`` of them, so its results there are approximations of these. How percentiles between inputs are
interpolated is not documented, except that 0, 50 and 100 are minimum, median and maximum.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local import limits
from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.reduction.reducers import (
    Block,
    Floats,
    Input,
    Reducer,
    Result,
    Values,
    arrays,
    boxed,
    collecting,
    doubles,
    key_of,
    not_null,
    not_pixels,
    same,
    typed,
)
from gee.local.reduction.running import COUNT
from gee.local.values import Collection, Feature, PixelType

DEFAULT_BUCKETS = 256  # not documented; a power of two
MAX_BUCKETS = 2**20


def _sorted(block: Block) -> tuple[Values, NDArray[np.int64]]:
    """Values in ascending order along the first axis, valid ones first, and how many are valid."""
    values = block.values[0]
    if values.dtype.kind == "f":
        filler = values.dtype.type(np.nan)
    else:
        filler = values.dtype.type(np.iinfo(values.dtype).max)
    return np.sort(block.filled(0, filler), axis=0), block.count()


def _at(ordered: Values, place: NDArray[np.int64]) -> Values:
    if ordered.shape[0] == 0:
        return np.zeros(place.shape, ordered.dtype)
    inside = np.clip(place, 0, ordered.shape[0] - 1)[None]
    found: Values = np.take_along_axis(ordered, inside, axis=0)[0]
    return found


def _quantile(ordered: Values, count: NDArray[np.int64], percent: float) -> Floats:
    """Linear interpolation between the two nearest of the ordered inputs."""
    position = np.maximum(count - 1, 0) * (percent / 100)
    below = np.floor(position).astype(np.int64)
    low = _at(ordered, below).astype(np.float64)
    high = _at(ordered, np.minimum(below + 1, np.maximum(count - 1, 0))).astype(np.float64)
    share = position - below
    return np.where(share == 0, low, low + share * (high - low))


def _percentiles(block: Block, percents: Sequence[float]) -> list[Result]:
    ordered, count = _sorted(block)
    return [(_quantile(ordered, count, percent), count > 0) for percent in percents]


def percentile(percents: Sequence[float], names: Sequence[str] | None) -> Reducer:
    """``Reducer.percentile``; outputs are named p10, p50, ... unless names are given."""
    wrong = [percent for percent in percents if not 0 <= percent <= 100]
    if wrong or not percents:
        raise EngineError(f"Percentiles must be between 0 and 100, got {wrong or 'none'}.")
    outputs = [f"p{percent:g}" for percent in percents] if names is None else list(names)
    if len(outputs) != len(percents):
        raise EngineError(f"Need {len(percents)} output names, got {len(outputs)}.")
    function = partial(_percentiles, percents=tuple(percents))
    return collecting("percentile", outputs, [False], function, doubles(len(percents)), [*percents, *outputs])


def _median(block: Block) -> list[Result]:
    return _percentiles(block, (50,))


def _mode(block: Block) -> list[Result]:
    """The most frequent input, the least of equally frequent ones."""
    ordered, count = _sorted(block)
    if ordered.shape[0] == 0:
        return [(np.zeros(block.cells, ordered.dtype), np.zeros(block.cells, np.bool_))]
    index = np.arange(ordered.shape[0]).reshape((-1,) + (1,) * (ordered.ndim - 1))
    starts = np.zeros(ordered.shape, np.int64)
    starts[1:] = np.where(ordered[1:] != ordered[:-1], index[1:], 0)
    lengths = index - np.maximum.accumulate(starts, axis=0) + 1
    lengths[np.broadcast_to(index >= count, lengths.shape)] = 0
    return [(_at(ordered, lengths.argmax(axis=0)), count > 0)]


def _interval_mean(block: Block, low: float, high: float) -> list[Result]:
    ordered, count = _sorted(block)
    lower, upper = _quantile(ordered, count, low), _quantile(ordered, count, high)
    index = np.arange(ordered.shape[0]).reshape((-1,) + (1,) * (ordered.ndim - 1))
    inside = (ordered >= lower) & (ordered <= upper) & (index < count)
    members = inside.sum(axis=0)
    total = np.add.reduce(np.where(inside, ordered, ordered.dtype.type(0)), axis=0, dtype=np.float64)
    return [(np.divide(total, members, out=np.zeros(block.cells), where=members > 0), members > 0)]


def interval_mean(low: float, high: float) -> Reducer:
    """``Reducer.intervalMean``: mean of the inputs from one percentile to another, both included."""
    if not 0 <= low <= high <= 100:
        raise EngineError(f"The percentile range must lie between 0 and 100, got {low} to {high}.")
    function = partial(_interval_mean, low=low, high=high)
    return collecting("intervalMean", ["mean"], [False], function, doubles(), [low, high])


def _standardised(block: Block, power: int, less: float) -> list[Result]:
    """Mean of a power of the standardised inputs, weighted, less what a normal distribution has."""
    values, mass = block.values[0], block.mass()
    safe = np.where(mass > 0, mass, 1.0)
    deviation = values - block.total(values) / safe
    variance = block.total(deviation**2) / safe
    valid = variance > 0
    scale = np.sqrt(np.where(valid, variance, 1.0))
    return [(block.total((deviation / scale) ** power) / safe - less, valid)]


def _buckets(values: Floats, whole: bool, most: int, least: float | None) -> tuple[float, int, int]:
    """Width of the buckets, index of the first one, and their number.

    The width is the smallest power of two (times ``least``, where given) with which they are not too
    many; buckets of whole numbers are not narrower than one.
    """
    low, high = float(values.min()), float(values.max())
    if least is not None:
        width = least
    elif whole or low == high:
        width = 1.0
    else:
        width = 2.0 ** math.floor(math.log2((high - low) / most))
    while math.floor(high / width) - math.floor(low / width) + 1 > most:
        width *= 2
    first = math.floor(low / width)
    return width, first, math.floor(high / width) - first + 1


def _filling(
    values: Values, weights: Floats, most: int, least: float | None
) -> tuple[float, Floats, Floats, Floats]:
    """Width, lower bounds, weights and means of the buckets of some values."""
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise EngineError("A histogram needs finite inputs.")
    width, first, count = _buckets(numbers, values.dtype.kind in "iu", most, least)
    places = np.clip(np.floor(numbers / width).astype(np.int64) - first, 0, count - 1)
    heights = np.bincount(places, weights, count).astype(np.float64)
    sums = np.bincount(places, weights * numbers, count)
    bounds: Floats = (first + np.arange(count, dtype=np.float64)) * width
    means: Floats = np.divide(sums, heights, out=bounds + width / 2, where=heights > 0)
    return width, bounds, heights, means


def _per_cell(block: Block, function: Callable[[Values, Floats], Any]) -> list[Result]:
    """Apply a function to the valid inputs of each cell and their weights; None is masked."""
    values = block.values[0].reshape(block.shape[0], -1)
    known = block.known.reshape(values.shape)
    weights = None if block.weights is None else block.weights.reshape(values.shape)
    found, size = [], 0
    for cell in range(values.shape[1]):
        mine = known[:, cell]
        inputs = values[mine, cell]
        shares = np.ones(len(inputs)) if weights is None else weights[mine, cell]
        found.append(function(inputs, shares))
        size += _size(found[-1])
        if size > limits.MAX_SEQUENCE:
            raise EngineError(f"The reducer's results have more than {limits.MAX_SEQUENCE} numbers.")
        charge(len(inputs) + limits.ELEMENTS_PER_APPLICATION)
    results = boxed(block.cells, found)
    return [(results, not_null(results))]


def _size(result: Any) -> int:
    """Numbers in a result."""
    if isinstance(result, dict):
        return sum(len(part) for part in result.values() if isinstance(part, list))
    return result.size if isinstance(result, np.ndarray) else 1


def _histogram(values: Values, weights: Floats, most: int, least: float | None) -> dict[str, Any] | None:
    if not len(values):
        return None
    width, bounds, heights, means = _filling(values, weights, most, least)
    return {
        "bucketMeans": means.tolist(),
        "bucketMin": float(bounds[0]),
        "bucketWidth": width,
        "histogram": heights.tolist(),
    }


def _auto_histogram(
    values: Values, weights: Floats, most: int, least: float | None, cumulative: bool
) -> Floats | None:
    if not len(values):
        return None
    _, bounds, heights, _ = _filling(values, weights, most, least)
    return np.stack([bounds, np.cumsum(heights) if cumulative else heights], axis=1)


def _most(buckets: int | None) -> int:
    """The number of buckets, rounded up to a power of two."""
    if buckets is None:
        return DEFAULT_BUCKETS
    if not 1 <= buckets <= MAX_BUCKETS:
        raise EngineError(f"maxBuckets must be between 1 and {MAX_BUCKETS}, got {buckets}.")
    return 1 << (buckets - 1).bit_length()


def _least(width: float | None) -> float | None:
    if width is not None and not width > 0:
        raise EngineError(f"minBucketWidth must be positive, got {width}.")
    return width


def histogram(buckets: int | None, width: float | None) -> Reducer:
    """``Reducer.histogram``: a dictionary of bucketMin, bucketWidth, bucketMeans and the histogram."""
    most, least = _most(buckets), _least(width)
    return collecting(
        "histogram",
        ["histogram"],
        [True],
        lambda block: _per_cell(block, partial(_histogram, most=most, least=least)),
        not_pixels("histogram"),
        [most, least],
    )


def auto_histogram(buckets: int | None, width: float | None, cumulative: bool) -> Reducer:
    """``Reducer.autoHistogram``: an array of lower bounds and (cumulative) counts."""
    most, least = _most(buckets), _least(width)
    function = partial(_auto_histogram, most=most, least=least, cumulative=cumulative)
    return collecting(
        "autoHistogram",
        ["histogram"],
        [True],
        lambda block: _per_cell(block, function),
        arrays(2),
        [most, least, cumulative],
    )


def _places(values: Values, low: float, high: float, steps: int) -> NDArray[np.int64]:
    """Index of each value's bucket, -1 outside of [low, high)."""
    with np.errstate(invalid="ignore"):
        inside = (values >= low) & (values < high)
        places = np.where(inside, np.floor((values - low) / (high - low) * steps), -1)
    return np.minimum(places.astype(np.int64), steps - 1)


def _tally(places: NDArray[np.int64], kept: NDArray[np.bool_], weights: Floats | None, size: int) -> Floats:
    """Sum of weights per place of each cell: (n, *cells) -> (*cells, size)."""
    cells = places.shape[1:]
    number = math.prod(cells)
    where = places + np.arange(number).reshape(cells) * size
    counted = np.bincount(where[kept], None if weights is None else weights[kept], number * size)
    return counted.astype(np.float64).reshape(*cells, size)


def _check_range(low: float, high: float, steps: int) -> None:
    if not (low < high and 1 <= steps <= MAX_BUCKETS):
        raise EngineError(f"A histogram of {steps} buckets from {low} to {high} is empty or too large.")


def fixed_histogram(low: float, high: float, steps: int, cumulative: bool) -> Reducer:
    """``Reducer.fixedHistogram``: an array of lower bounds and (cumulative) counts."""
    _check_range(low, high, steps)
    bounds = low + np.arange(steps) * ((high - low) / steps)

    def function(block: Block) -> list[Result]:
        places = _places(block.values[0], low, high, steps)
        counts = _tally(places, block.known & (places >= 0), block.weights, steps)
        if cumulative:
            counts = np.cumsum(counts, axis=-1)
        edges = np.broadcast_to(bounds, counts.shape)
        return [(np.stack([edges, counts], axis=-1), block.count() > 0)]

    parameters = [low, high, steps, cumulative]
    return collecting("fixedHistogram", ["histogram"], [True], function, arrays(2), parameters)


def fixed_2d_histogram(x: tuple[float, float, int], y: tuple[float, float, int]) -> Reducer:
    """``Reducer.fixed2DHistogram``: counts by x (rows) and y (columns), and the lower bounds of each."""
    _check_range(*x)
    _check_range(*y)
    if x[2] * y[2] > MAX_BUCKETS:
        raise EngineError(f"A histogram of {x[2]} x {y[2]} buckets is too large.")

    def function(block: Block) -> list[Result]:
        rows, columns = _places(block.values[0], *x), _places(block.values[1], *y)
        kept = block.known & (rows >= 0) & (columns >= 0)
        counts = _tally(rows * y[2] + columns, kept, None, x[2] * y[2])
        valid = block.count() > 0
        axes = [low + np.arange(steps) * ((high - low) / steps) for low, high, steps in (x, y)]
        return [
            (counts.reshape(*block.cells, x[2], y[2]), valid),
            *((np.broadcast_to(axis, (*block.cells, len(axis))), valid) for axis in axes),
        ]

    outputs = ["histogram", "xAxis", "yAxis"]
    return collecting("fixed2DHistogram", outputs, [False, False], function, arrays(2, 1, 1), [*x, *y])


def _label(value: Any) -> str:
    """A value as the key of a dictionary: whole numbers without a fraction, as they are printed."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) else str(value)


def _frequencies(values: Values, weights: Floats) -> dict[str, float]:
    if values.dtype != object:
        distinct, places = np.unique(values, return_inverse=True)
        totals = np.bincount(places, weights, len(distinct))
        return {_label(value): total for value, total in zip(distinct.tolist(), totals.tolist(), strict=True)}
    counts: Counter[str] = Counter()
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        if value is not None:
            counts[_label(value)] += weight
    return dict(sorted(counts.items()))


def _identity(value: Any) -> Any:
    """Something hashable that equal values share."""
    if isinstance(value, np.ndarray):
        return (value.shape, tuple(value.ravel().tolist()))
    if isinstance(value, (list, tuple)):
        return tuple(_identity(item) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((key, _identity(item)) for key, item in value.items()))
    return value


def _distinct(block: Block, nulls: bool) -> list[Result]:
    if block.values[0].dtype == object:

        def count(values: Values, weights: Floats) -> int:
            seen = {_identity(value) for value in values.tolist()}
            return len(seen if nulls else seen - {None})

        results = _per_cell(block, count)[0][0].astype(np.int64)
    else:
        ordered, valid = _sorted(block)
        index = np.arange(ordered.shape[0]).reshape((-1,) + (1,) * (ordered.ndim - 1))
        changes = (ordered[1:] != ordered[:-1]) & (index[1:] < valid)
        results = changes.sum(axis=0) + (valid > 0)
    return [(results, np.ones(block.cells, np.bool_))]


def _runs(block: Block) -> list[Result]:
    """Stretches of equal values, masked and null ones left out."""
    values, known = block.values[0], block.known
    if values.dtype == object:
        known = known & not_null(values)
        codes: dict[Any, int] = {}
        flat = [codes.setdefault(_identity(value), len(codes)) for value in values.ravel().tolist()]
        values = np.array(flat, np.int64).reshape(values.shape)
    if values.shape[0] == 0:
        return [(np.zeros(block.cells, np.int64), np.ones(block.cells, np.bool_))]
    index = np.arange(values.shape[0]).reshape((-1,) + (1,) * (values.ndim - 1))
    latest = np.maximum.accumulate(np.where(known, index, -1), axis=0)[:-1]
    before = np.take_along_axis(values, np.maximum(latest, 0), axis=0)
    starts = known[1:] & ((latest < 0) | (values[1:] != before))
    return [(starts.sum(axis=0) + known[0], np.ones(block.cells, np.bool_))]


def _tuples(inputs: Sequence[Input], optional: int) -> list[list[list[Any]]]:
    """Per cell, the tuples whose members are known, except for the last ``optional`` ones."""
    shape = inputs[0][1].shape
    number = math.prod(shape[1:])
    columns, flags = [], []
    for values, weights in inputs:
        present = (weights if weights.dtype == np.bool_ else weights > 0).reshape(shape[0], number)
        flat = values.reshape(shape[0], number, *values.shape[len(shape) :])
        if flat.dtype == object:
            present = present & not_null(flat)
        columns.append(flat)
        flags.append(present)
    needed = np.logical_and.reduce(flags[: len(flags) - optional] or [np.ones((shape[0], number), np.bool_)])
    cells = []
    for cell in range(number):
        kept = needed[:, cell]
        members = []
        for flat, present in zip(columns, flags, strict=True):
            items = list(flat[kept, cell]) if flat.ndim > 2 else flat[kept, cell].tolist()
            there = present[kept, cell]
            if not there.all():
                items = [item if known else None for item, known in zip(items, there.tolist(), strict=True)]
            members.append(items)
        cells.append([list(row) for row in zip(*members, strict=True)])
    return cells


def _gathering(
    name: str,
    output: str,
    size: int,
    optional: int,
    wrap: Callable[[list[list[Any]], bool], Any],
    types: Callable[[Sequence[PixelType]], list[PixelType]],
    parameters: Sequence[Any],
) -> Reducer:
    if size < 1 or not 0 <= optional <= size:
        raise EngineError(f"A tuple of {size} inputs cannot have {optional} optional ones.")

    def whole(inputs: Sequence[Input]) -> list[Result]:
        cells = inputs[0][1].shape[1:]
        lists = [wrap(rows, bool(cells)) for rows in _tuples(inputs, optional)]
        return [(boxed(cells, lists), np.ones(cells, np.bool_))]

    return Reducer(name, (output,), (False,) * size, key_of(name, *parameters), types, whole)


def to_list(size: int | None, optional: int) -> Reducer:
    """``Reducer.toList``: the inputs, grouped into tuples where a size is given; arrays in pixels."""

    def wrap(rows: list[list[Any]], pixels: bool) -> Any:
        items = [row[0] for row in rows] if size is None else rows
        return np.array(items).reshape(len(rows), *([] if size is None else [size])) if pixels else items

    def types(inputs: Sequence[PixelType]) -> list[PixelType]:
        joined = inputs[0]
        for each in inputs[1:]:
            joined = joined.union(each)
        dimensions = 1 if size is None else 2
        return [PixelType(joined.precision, joined.minimum, joined.maximum, dimensions)]

    return _gathering("toList", "list", 1 if size is None else size, optional, wrap, types, [size, optional])


def to_collection(names: Sequence[str], optional: int) -> Reducer:
    """``Reducer.toCollection``: a feature without geometry per tuple, inputs as properties."""

    def wrap(rows: list[list[Any]], pixels: bool) -> Any:
        features = [
            Feature({"system:index": str(position), **dict(zip(names, row, strict=True))})
            for position, row in enumerate(rows)
        ]
        return Collection(elements=features)

    types = not_pixels("toCollection")
    parameters = [*names, optional]
    return _gathering("toCollection", "features", len(names), optional, wrap, types, parameters)


REDUCERS = {
    reducer.name: reducer
    for reducer in (
        collecting("median", ["median"], [False], _median, doubles()),
        collecting("mode", ["mode"], [False], _mode, same),
        collecting("skew", ["skew"], [True], partial(_standardised, power=3, less=0), doubles()),
        # Excess over the normal distribution; the description does not say which.
        collecting("kurtosis", ["kurtosis"], [True], partial(_standardised, power=4, less=3), doubles()),
        collecting(
            "frequencyHistogram",
            ["histogram"],
            [True],
            lambda block: _per_cell(block, _frequencies),
            not_pixels("frequencyHistogram"),
            kind="anything",
        ),
        collecting(
            "countDistinct", ["count"], [False], partial(_distinct, nulls=True), typed(COUNT), kind="anything"
        ),
        collecting(
            "countDistinctNonNull",
            ["count"],
            [False],
            partial(_distinct, nulls=False),
            typed(COUNT),
            kind="anything",
        ),
        collecting("countRuns", ["count"], [False], _runs, typed(COUNT), kind="anything"),
    )
}
