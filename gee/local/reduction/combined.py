"""Reducers made of reducers: side by side, repeated, in groups, element by element, or with other weights.

Each combination works on any reducer, accumulating or not, and can be combined further. Names, order of
inputs and shape of outputs follow the descriptions of ``Reducer.combine``, ``repeat``, ``group`` and
their kin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.reduction.reducers import (
    Accumulator,
    Flags,
    Input,
    Reducer,
    Result,
    Values,
    as_values,
    boxed,
    key_of,
    not_null,
    not_pixels,
    numbers,
)
from gee.local.values import PixelType

MAX_OUTPUTS = 10_000  # of one reducer


@dataclass(frozen=True, eq=False)
class _SideBySide:
    """Accumulators that each take a part of the inputs."""

    parts: Sequence[tuple[Accumulator, slice]]
    assemble: Callable[[list[list[Result]]], list[Result]]

    def fold(self, inputs: Sequence[Input]) -> None:
        for accumulator, mine in self.parts:
            accumulator.fold(inputs[mine])

    def results(self) -> list[Result]:
        return self.assemble([accumulator.results() for accumulator, _ in self.parts])


@dataclass(frozen=True, eq=False)
class _Adapted:
    """An accumulator whose inputs and results pass through functions."""

    inner: Accumulator
    prepare: Callable[[Sequence[Input]], Sequence[Input]]
    finish: Callable[[list[Result]], list[Result]]

    def fold(self, inputs: Sequence[Input]) -> None:
        self.inner.fold(self.prepare(inputs))

    def results(self) -> list[Result]:
        return self.finish(self.inner.results())


def _side_by_side(
    name: str,
    outputs: Sequence[str],
    weighting: Sequence[bool],
    parts: Sequence[tuple[Reducer, slice]],
    assemble: Callable[[list[list[Result]]], list[Result]],
    types: Callable[[list[list[PixelType]]], list[PixelType]],
) -> Reducer:
    twice = {output for position, output in enumerate(outputs) if output in outputs[:position]}
    if twice:
        raise EngineError(f"Output names must be unique: '{min(twice)}'.")
    if len(outputs) > MAX_OUTPUTS or len(parts) > MAX_OUTPUTS:
        raise EngineError("Too many outputs.")

    def whole(inputs: Sequence[Input]) -> list[Result]:
        return assemble([reducer.reduce(inputs[mine]) for reducer, mine in parts])

    begin = None
    if all(reducer.begin is not None for reducer, _ in parts):

        def begin(cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> Accumulator:
            started = [(reducer.begin(cells, dtypes[mine]), mine) for reducer, mine in parts if reducer.begin]
            return _SideBySide(started, assemble)

    return Reducer(
        name,
        tuple(outputs),
        tuple(weighting),
        key_of(name, *outputs, *weighting, *((part.key, str(mine)) for part, mine in parts)),
        lambda inputs: types([reducer.types(inputs[mine]) for reducer, mine in parts]),
        whole,
        begin,
    )


def _flat(groups: list[list[Any]]) -> list[Any]:
    return [item for group in groups for item in group]


def combine(first: Reducer, second: Reducer, prefix: str = "", shared: bool = False) -> Reducer:
    """Two reducers in parallel, on the same inputs or each on its own.

    Raises:
        EngineError: shared inputs of different number, or an output name that occurs twice.
    """
    outputs = [*first.outputs, *(f"{prefix}{name}" for name in second.outputs)]
    if not shared:
        weighting = first.weighting + second.weighting
        slices = slice(0, first.inputs), slice(first.inputs, first.inputs + second.inputs)
    else:
        if first.inputs != second.inputs:
            raise EngineError(
                "Reducers with shared inputs must have the same number of inputs, "
                f"got {first.inputs} and {second.inputs}."
            )
        weighting = tuple(a or b for a, b in zip(first.weighting, second.weighting, strict=True))
        slices = slice(0, first.inputs), slice(0, first.inputs)
    parts = list(zip((first, second), slices, strict=True))
    return _side_by_side("combine", outputs, weighting, parts, _flat, _flat)


def _copies(reducer: Reducer, count: int) -> list[tuple[Reducer, slice]]:
    size = reducer.inputs
    return [(reducer, slice(position * size, (position + 1) * size)) for position in range(count)]


def repeat(reducer: Reducer, count: int) -> Reducer:
    """Copies of a reducer, each with inputs of its own; every output is a list of theirs."""
    if not 1 <= count <= MAX_OUTPUTS:
        raise EngineError(f"Count must be between 1 and {MAX_OUTPUTS}, got {count}.")

    def types(copies: list[list[PixelType]]) -> list[PixelType]:
        lists = []
        for output in range(len(reducer.outputs)):
            joined = copies[0][output]
            for copy in copies[1:]:
                joined = joined.union(copy[output])
            lists.append(replace(joined, dimensions=joined.dimensions + 1))
        return lists

    return _side_by_side(
        "repeat",
        reducer.outputs,
        reducer.weighting * count,
        _copies(reducer, count),
        lambda copies: [_listed(outputs) for outputs in zip(*copies, strict=True)],
        types,
    )


def _listed(results: Sequence[Result]) -> Result:
    """One output of all copies: a list, or along a new array dimension where there are cells."""
    cells = results[0][1].shape
    if not cells:
        return boxed((), [[as_values(result) for result in results]]), np.ones((), np.bool_)
    valid = np.logical_and.reduce([valid for _, valid in results])
    values = [each for each, _ in results]
    if any(each.dtype == object or each.shape != values[0].shape for each in values):
        raise EngineError("Reducer.repeat: lists of lists cannot be held by pixels.")
    return np.stack(values, axis=len(cells)), valid


def for_each(reducer: Reducer, names: Sequence[str]) -> Reducer:
    """A copy of a reducer per name, each with inputs of its own and outputs named after it."""
    if len(reducer.outputs) == 1:
        outputs = list(names)
    else:
        outputs = [f"{name}_{output}" for name in names for output in reducer.outputs]
    parts = _copies(reducer, len(names))
    return _side_by_side("forEach", outputs, reducer.weighting * len(names), parts, _flat, _flat)


def _adapted(
    name: str,
    reducer: Reducer,
    prepare: Callable[[Sequence[Input]], Sequence[Input]] = lambda inputs: inputs,
    finish: Callable[[list[Result]], list[Result]] = lambda results: results,
    parameters: Sequence[Any] = (),
    **changes: Any,
) -> Reducer:
    """A reducer whose inputs and results pass through functions."""

    def whole(inputs: Sequence[Input]) -> list[Result]:
        return finish(reducer.reduce(prepare(inputs)))

    begin = None
    if reducer.begin is not None:
        inner = reducer.begin

        def begin(cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> Accumulator:
            return _Adapted(inner(cells, dtypes), prepare, finish)

    made = replace(reducer, name=name, key=key_of(name, reducer.key, *parameters), whole=whole, begin=begin)
    return replace(made, **changes)


def set_outputs(reducer: Reducer, names: Sequence[str | None]) -> Reducer:
    """The same reducer with outputs renamed; those without a name are dropped."""
    if len(names) != len(reducer.outputs):
        raise EngineError(f"Expected {len(reducer.outputs)} output names, got {len(names)}.")
    kept = [position for position, name in enumerate(names) if name]
    if not kept:
        raise EngineError("A reducer must have an output.")
    outputs = tuple(name for name in names if name)
    if len(set(outputs)) < len(outputs):
        raise EngineError("Output names must be unique.")

    def types(inputs: Sequence[PixelType]) -> list[PixelType]:
        found = reducer.types(inputs)
        return [found[position] for position in kept]

    return _adapted(
        reducer.name,
        reducer,
        finish=lambda results: [results[position] for position in kept],
        parameters=names,
        outputs=outputs,
        types=types,
    )


def unweighted(reducer: Reducer) -> Reducer:
    """The same reducer, to which an input counts fully where its weight is not zero."""

    def prepare(inputs: Sequence[Input]) -> Sequence[Input]:
        flags = {id(weight): weight if weight.dtype == np.bool_ else weight > 0 for _, weight in inputs}
        return [(values, flags[id(weight)]) for values, weight in inputs]

    return _adapted(
        reducer.name,
        reducer,
        prepare,
        parameters=["unweighted"],
        weighting=(False,) * reducer.inputs,
    )


def split_weights(reducer: Reducer) -> Reducer:
    """The same reducer with an explicit input for each weight, behind the input it weighs."""
    members = [2 if fractional else 1 for fractional in reducer.weighting]
    starts = [sum(members[:position]) for position in range(len(members))]

    def prepare(inputs: Sequence[Input]) -> Sequence[Input]:
        prepared = []
        for start, size in zip(starts, members, strict=True):
            values, present = inputs[start]
            if size == 2:
                weights, known = inputs[start + 1]
                weights, number = numbers(weights, known.shape)
                flags = (present > 0) & (known > 0) & (weights > 0)
                present = np.where(flags if number is None else flags & number, weights, 0.0)
            prepared.append((values, present))
        return prepared

    def types(inputs: Sequence[PixelType]) -> list[PixelType]:
        return reducer.types([inputs[start] for start in starts])

    made = _adapted(
        reducer.name,
        reducer,
        prepare,
        parameters=["splitWeights"],
        weighting=(False,) * sum(members),
        types=types,
    )
    if reducer.begin is None:
        return made
    inner = reducer.begin

    def begin(cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> Accumulator:
        return _Adapted(inner(cells, [dtypes[start] for start in starts]), prepare, lambda results: results)

    return replace(made, begin=begin)


def for_each_element(reducer: Reducer) -> Reducer:
    """The same reducer at each position of arrays of equal shape; the outputs are arrays of that shape."""

    def prepare(inputs: Sequence[Input]) -> Sequence[Input]:
        prepared = []
        for values, weights in inputs:
            dense, known = numbers(values, weights.shape)
            present = weights if known is None else np.where(known, weights, weights.dtype.type(0))
            wide = present.reshape(present.shape + (1,) * (dense.ndim - present.ndim))
            prepared.append((dense, np.broadcast_to(wide, dense.shape)))
        if any(values.shape != prepared[0][0].shape for values, _ in prepared):
            raise EngineError("The arrays must have the same shape.")
        return prepared

    def reduce(inputs: Sequence[Input]) -> list[Result]:
        cells = inputs[0][1].ndim - 1
        results: list[Result] = []
        for values, valid in reducer.reduce(prepare(inputs)):
            if values.dtype == object:
                raise EngineError("Each of the reducer's outputs must be a number.")
            everywhere = np.asarray(valid.all(axis=tuple(range(cells, valid.ndim))))
            results.append((values, everywhere))
        return results

    def types(inputs: Sequence[PixelType]) -> list[PixelType]:
        flat = reducer.types([replace(each, dimensions=0) for each in inputs])
        return [replace(each, dimensions=inputs[0].dimensions) for each in flat]

    return replace(
        reducer,
        name="forEachElement",
        key=key_of("forEachElement", reducer.key),
        types=types,
        whole=reduce,
        begin=None,
    )


def disaggregate(reducer: Reducer, axis: int | None = None) -> Reducer:
    """The same reducer, given the members of its aggregate inputs one by one."""
    if reducer.inputs != 1:
        raise EngineError("Only a reducer with one input can be given the members of aggregates.")

    def whole(inputs: Sequence[Input]) -> list[Result]:
        [(values, weights)] = inputs
        if values.dtype != object:
            return reducer.reduce([_members(values, weights, axis)])
        if weights.ndim > 1:
            raise EngineError("Arrays of unequal shapes cannot be disaggregated in pixels.")
        items: list[Any] = []
        shares: list[Any] = []
        for item, weight in zip(values.tolist(), weights.tolist(), strict=True):
            inside = _inside(item, axis)
            items += inside
            shares += [weight] * len(inside)
        column, known = as_column(items)
        return reducer.reduce([(column, known & (np.array(shares, weights.dtype) > 0))])

    return replace(
        reducer,
        name="disaggregate",
        key=key_of("disaggregate", reducer.key, axis),
        types=lambda inputs: reducer.types([replace(inputs[0], dimensions=0)]),
        whole=whole,
        begin=None,
    )


def _members(values: Values, weights: Values, axis: int | None) -> Input:
    """Array pixels with their elements moved to the axis of the inputs."""
    extra = values.ndim - weights.ndim
    if not extra:
        return values, weights
    taken = range(extra) if axis is None else [axis]
    if axis is not None and not 0 <= axis < extra:
        raise EngineError(f"Axis {axis} is out of range for arrays of {extra} dimensions.")
    moved = np.moveaxis(values, [weights.ndim + each for each in taken], range(1, 1 + len(taken)))
    times = math.prod(moved.shape[1 : 1 + len(taken)])
    flat = moved.reshape((-1, *moved.shape[1 + len(taken) :]))
    return flat, np.repeat(weights, times, axis=0)


def _inside(item: Any, axis: int | None) -> list[Any]:
    if isinstance(item, np.ndarray):
        if item.ndim == 0:
            return [item.item()]
        return list(item.ravel().tolist() if axis is None else np.moveaxis(item, axis, 0))
    if isinstance(item, Mapping):
        return list(item.values())
    return list(item) if isinstance(item, (list, tuple)) else [item]


def as_column(items: Sequence[Any]) -> tuple[Values, Flags]:
    """Any values as an input without cells; nulls are kept, and every item counts."""
    everything = np.ones(len(items), np.bool_)
    kinds = {type(item) for item in items}
    if kinds and kinds <= {int, float}:
        try:
            return np.array(items, np.int64 if kinds == {int} else np.float64), everything
        except OverflowError:
            return np.array([float(item) for item in items]), everything
    return boxed((len(items),), items), everything


def group(reducer: Reducer, field: int, name: str) -> Reducer:
    """The results of a reducer per value of one of the inputs, as a list of dictionaries "groups".

    The groups are in ascending order of that value; a tuple whose group is masked or null is no input.
    """
    if not 0 <= field <= reducer.inputs:
        raise EngineError(f"Group field must be between 0 and {reducer.inputs}, got {field}.")
    weighting = (*reducer.weighting[:field], False, *reducer.weighting[field:])

    def whole(inputs: Sequence[Input]) -> list[Result]:
        cells = inputs[0][1].shape[1:]
        flat = [
            (
                values.reshape(weights.shape[0], -1, *values.shape[weights.ndim :]),
                weights.reshape(len(weights), -1),
            )
            for values, weights in inputs
        ]
        found = [
            _groups([(values[:, cell], weights[:, cell]) for values, weights in flat], reducer, field, name)
            for cell in range(flat[0][1].shape[1])
        ]
        return [(boxed(cells, found), np.ones(cells, np.bool_))]

    return Reducer(
        "group",
        ("groups",),
        weighting,
        key_of("group", reducer.key, field, name),
        not_pixels("group"),
        whole,
    )


def _groups(inputs: Sequence[Input], reducer: Reducer, field: int, name: str) -> list[dict[str, Any]]:
    values, weights = inputs[field]
    rest = [each for position, each in enumerate(inputs) if position != field]
    present = weights > 0
    if values.dtype == object:
        present = present & not_null(values)
        labels = sorted(set(values[present].tolist()), key=lambda item: (isinstance(item, str), item))
        numbered = {label: position for position, label in enumerate(labels)}
        codes = np.array([numbered[item] for item in values[present].tolist()], np.int64)
    else:
        distinct, codes = np.unique(values[present], return_inverse=True)
        labels = distinct.tolist()
    if not labels:
        return []
    members = np.flatnonzero(present)[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes, minlength=len(labels)))
    groups = []
    for label, mine in zip(labels, np.split(members, ends[:-1]), strict=True):
        results = reducer.reduce([(each[mine], weight[mine]) for each, weight in rest])
        outputs = {output: as_values(result) for output, result in zip(reducer.outputs, results, strict=True)}
        groups.append({name: label} | outputs)
    return groups
