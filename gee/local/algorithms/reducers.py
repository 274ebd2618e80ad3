"""``Reducer.*``, and what reduces lists and arrays.

A reducer given by name where one is expected is the reducer of that name with its documented defaults.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.reduction import combined as combined
from gee.local.reduction import moments as moments
from gee.local.reduction import order as order
from gee.local.reduction import regression as regression
from gee.local.reduction import running as running
from gee.local.reduction.reducers import Reducer, as_values
from gee.local.registry import algorithm, apply, promotion

if TYPE_CHECKING:
    from gee.local.raster.images import Image

_ALIASES = {"allNonZero": "and", "anyNonZero": "or"}


@promotion("Reducer")
def _reducer(value: Any) -> Reducer:
    if isinstance(value, str):
        value = apply(f"Reducer.{value}", {})
    if not isinstance(value, Reducer):
        raise TypeError
    return value


for _name, _made in (running.REDUCERS | moments.REDUCERS | order.REDUCERS | regression.REDUCERS).items():
    if _name in ("median", "mode"):
        # How many values are kept before a histogram is built does not matter where none is.
        algorithm(f"Reducer.{_name}")(lambda buckets, width, raw, made=_made: made)
    else:
        names = [f"Reducer.{each}" for each in (_name, _ALIASES.get(_name)) if each]
        algorithm(*names)(lambda made=_made: made)

algorithm("Reducer.combine")(combined.combine)
algorithm("Reducer.repeat")(combined.repeat)
algorithm("Reducer.forEach")(combined.for_each)
algorithm("Reducer.forEachElement")(combined.for_each_element)
algorithm("Reducer.disaggregate")(combined.disaggregate)
algorithm("Reducer.group")(combined.group)
algorithm("Reducer.setOutputs")(combined.set_outputs)
algorithm("Reducer.unweighted")(combined.unweighted)
algorithm("Reducer.splitWeights")(combined.split_weights)
algorithm("Reducer.linearRegression")(regression.linear_regression)
algorithm("Reducer.robustLinearRegression")(regression.robust_regression)
algorithm("Reducer.ridgeRegression")(regression.ridge_regression)
algorithm("Reducer.kendallsCorrelation")(regression.kendall)
algorithm("Reducer.toList")(order.to_list)
algorithm("Reducer.toCollection")(order.to_collection)
algorithm("Reducer.fixedHistogram")(order.fixed_histogram)


@algorithm("Reducer.min")
def _min(inputs: int) -> Reducer:
    return running.extreme(False, inputs)


@algorithm("Reducer.max")
def _max(inputs: int) -> Reducer:
    return running.extreme(True, inputs)


@algorithm("Reducer.percentile")
def _percentile(
    percentiles: Sequence[Any], names: Sequence[str] | None, buckets: Any, width: Any, raw: Any
) -> Reducer:
    if not all(isinstance(percent, (int, float)) for percent in percentiles):
        raise EngineError("Percentiles must be numbers.")
    return order.percentile(percentiles, names)


@algorithm("Reducer.intervalMean")
def _interval_mean(low: float, high: float, buckets: Any, width: Any, raw: Any) -> Reducer:
    return order.interval_mean(low, high)


@algorithm("Reducer.histogram")
def _histogram(buckets: int | None, width: float | None, raw: Any) -> Reducer:
    return order.histogram(buckets, width)


@algorithm("Reducer.autoHistogram")
def _auto_histogram(buckets: int | None, width: float | None, raw: Any, cumulative: bool) -> Reducer:
    return order.auto_histogram(buckets, width, cumulative)


@algorithm("Reducer.fixed2DHistogram")
def _fixed_2d_histogram(
    x_min: float, x_max: float, x_steps: int, y_min: float, y_max: float, y_steps: int
) -> Reducer:
    return order.fixed_2d_histogram((x_min, x_max, x_steps), (y_min, y_max, y_steps))


@algorithm("Reducer.geometricMedian")
def _geometric_median(size: int, eta: float, step: float) -> Reducer:
    return regression.geometric_median(size, eta)


@algorithm("Reducer.forEachBand")
def _for_each_band(reducer: Reducer, image: Image) -> Reducer:
    return combined.for_each(reducer, [band.name for band in image.bands])


@algorithm("Reducer.getOutputs")
def _outputs(reducer: Reducer) -> list[str]:
    return list(reducer.outputs)


@algorithm("List.reduce")
def _reduce_list(items: list[Any], reducer: Reducer) -> Any:
    if reducer.inputs == 1:
        columns: list[Sequence[Any]] = [items]
    else:
        for item in items:
            if not isinstance(item, (list, tuple, np.ndarray)) or len(item) != reducer.inputs:
                raise EngineError(f"Each element must be a list of {reducer.inputs} inputs.")
        rows = [item.tolist() if isinstance(item, np.ndarray) else item for item in items]
        columns = [[row[position] for row in rows] for position in range(reducer.inputs)]
    inputs = [combined.as_column(column) for column in columns]
    results = [as_values(result) for result in reducer.reduce(inputs)]
    return results[0] if len(results) == 1 else dict(zip(reducer.outputs, results, strict=True))


@algorithm("Array.reduce")
def reduce_array(
    array: np.ndarray[Any, Any], reducer: Reducer, axes: Sequence[int], field: int | None
) -> np.ndarray[Any, Any]:
    """A reducer's results along some axes, which keep length 1; fields lie along the field axis."""
    wrong = [axis for axis in [*axes, *([] if field is None else [field])] if not 0 <= axis < array.ndim]
    if wrong:
        raise EngineError(f"Axis {wrong[0]} is out of range for an array of {array.ndim} dimensions.")
    if field in axes:
        raise EngineError(f"The field axis {field} is one of the axes to reduce.")
    several = reducer.inputs > 1 or len(reducer.outputs) > 1
    if several and field is None:
        raise EngineError("'fieldAxis' is required for a reducer of several inputs or outputs.")
    reduced = sorted(set(axes))
    if several and array.shape[field or 0] != reducer.inputs:
        raise EngineError(f"The field axis must have length {reducer.inputs}, got {array.shape[field or 0]}.")
    values = (
        [np.take(array, position, axis=field) for position in range(reducer.inputs)] if several else [array]
    )
    # Without the field axis the axes behind it move up by one.
    places = [axis - (several and field is not None and axis > field) for axis in reduced]
    stacked = []
    for each in values:
        front = np.moveaxis(each, places, range(len(places)))
        stacked.append(front.reshape((-1, *front.shape[len(places) :])))
    weights = np.ones((math.prod(array.shape[axis] for axis in reduced), *stacked[0].shape[1:]), np.bool_)
    outputs = []
    for result, valid in reducer(stacked, weights):
        if result.dtype == object or result.shape != valid.shape:
            raise EngineError("Each of the reducer's outputs must be a number.")
        if not valid.all():
            raise EngineError("The reducer gives no result for some elements of the array.")
        outputs.append(np.expand_dims(result, places) if places else result)
    return np.stack(outputs, axis=field) if several and field is not None else outputs[0]
