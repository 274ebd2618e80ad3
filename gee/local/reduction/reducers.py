"""Reducers: many inputs into one result, defined once for lists, tables, collections, regions and pixels.

A reducer takes its inputs stacked along the first axis and works on every cell of the other axes at
once, so that a list (no other axes), an image collection (rows and columns) and a neighbourhood are the
same computation. Which inputs count fractionally and what each gives follows the descriptions of
``Reducer.*`` in Earth Engine's algorithm list and the guide "Weighted Reductions".
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.registry import type_name
from gee.local.values import DOUBLE, PixelType

Values = NDArray[Any]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Input = tuple[Values, NDArray[Any]]
"""Values of one input, (n, *cells) and perhaps array dimensions, and their weights, (n, *cells)."""
Result = tuple[Values, Flags]
"""Values of one output, (*cells) and perhaps array dimensions, and where they are valid, (*cells)."""
Kind = Literal["numbers", "arrays", "anything"]
"""What the inputs of a reducer are; only "anything" takes nulls as inputs."""
TypeRule = Callable[[Sequence[PixelType]], list[PixelType]]

_BLOCK_VALUES = 2**17  # of one input, reduced at a time: temporaries of a megabyte stay in the cache


@dataclass(frozen=True, eq=False)
class Block:
    """Input tuples made ready for arithmetic.

    Args:
        values: per input, (n, *cells) and perhaps array dimensions; arbitrary where a tuple is invalid.
        shape: (n, *cells).
        valid: which tuples are inputs; None when all are.
        weights: of each tuple, 0 where invalid; None when all valid ones weigh one.
    """

    values: tuple[Values, ...]
    shape: tuple[int, ...]
    valid: Flags | None
    weights: Floats | None

    @property
    def cells(self) -> tuple[int, ...]:
        """Shape of the results."""
        return self.shape[1:]

    @property
    def known(self) -> Flags:
        """Which tuples are inputs, written out."""
        return np.ones(self.shape, np.bool_) if self.valid is None else self.valid

    def count(self) -> NDArray[np.int64]:
        """How many tuples are inputs, per cell."""
        return self._counted(np.int64)

    def mass(self) -> Floats:
        """Sum of the weights, per cell."""
        if self.weights is None:
            return self._counted(np.float64)
        mass: Floats = np.asarray(np.add.reduce(self.weights, axis=0))
        return mass

    def _counted(self, dtype: type[np.number[Any]]) -> NDArray[Any]:
        if self.valid is None:
            return np.full(self.cells, self.shape[0], dtype)
        if self.shape[0] == 1:  # a layer of a stack, and half the time of a sum
            return np.asarray(self.valid[0]).astype(dtype)
        return np.asarray(np.add.reduce(self.valid, axis=0, dtype=dtype))

    def total(self, terms: Values) -> Values:
        """Weighted sum over the inputs of terms (n, *cells, ...)."""
        whole = terms.dtype.kind in "iub" and self.weights is None
        share = self.valid if self.weights is None else self.weights
        # Multiplying by the mask is many times faster than choosing by it, but lets NaN through.
        factor = None if share is None else _aligned(share, terms)
        total = _sum(terms if factor is None else terms * factor, whole)
        if self.valid is not None and not np.isfinite(total).all():
            known = np.where(_aligned(self.valid, terms), terms, terms.dtype.type(0))
            total = _sum(known * factor, whole)
        return total

    def filled(self, position: int, filler: Any) -> Values:
        """One input's values, with a filler where the tuple is invalid."""
        values = self.values[position]
        return values if self.valid is None else np.where(_aligned(self.valid, values), values, filler)

    def floats(self, position: int) -> Floats:
        """One input's values in double precision, NaN where the tuple is invalid."""
        values = self.values[position].astype(np.float64)
        if self.valid is not None:
            values[~self.valid] = np.nan
        return values


def _sum(terms: Values, whole: bool) -> Values:
    total: Values = np.asarray(np.add.reduce(terms, axis=0, dtype=np.int64 if whole else np.float64))
    return total


def _aligned(cells: NDArray[Any], values: Values) -> NDArray[Any]:
    """Something per cell, broadcastable to values with array dimensions."""
    return cells.reshape(cells.shape + (1,) * (values.ndim - cells.ndim))


def ratio(top: Values, bottom: Values) -> Floats:
    """A quotient; 0 where the divisor is 0, which the caller masks."""
    out = np.zeros(np.broadcast_shapes(top.shape, bottom.shape))
    return np.divide(top, bottom, out=out, where=bottom != 0)


def numbers(values: Values, shape: tuple[int, ...]) -> tuple[Values, Flags | None]:
    """Values as an array of a numeric type, and which are not null (None: all).

    Raises:
        EngineError: a value is neither a number, an array of numbers nor null.
    """
    if values.dtype != object:
        return (values.view(np.uint8) if values.dtype == np.bool_ else values), None
    items = values.ravel().tolist()
    known = np.array([item is not None for item in items], np.bool_)
    present = [item for item in items if item is not None]
    for item in present:
        if not isinstance(item, (bool, int, float, list, np.ndarray, np.generic)):
            raise EngineError(f"Cannot reduce a value of type {type_name(item)} as a number.")
    try:
        dense = np.array(present) if present else np.zeros(0)
    except ValueError:
        raise EngineError("Cannot reduce arrays of different shapes.") from None
    if dense.dtype == object or dense.dtype.kind not in "biuf":
        dense = np.array(present, np.float64)  # integers beyond 64 bits
    full = np.zeros((len(items), *dense.shape[1:]), np.uint8 if dense.dtype == np.bool_ else dense.dtype)
    full[known] = dense
    return full.reshape(shape + dense.shape[1:]), None if known.all() else known.reshape(shape)


def not_null(values: Values) -> Flags:
    """Which values of an object array are not null."""
    flags = [item is not None for item in values.ravel().tolist()]
    return np.array(flags, np.bool_).reshape(values.shape)


def block(inputs: Sequence[Input], weighting: Sequence[bool], kind: Kind = "numbers") -> Block:
    """The tuples of some inputs.

    A tuple is an input where all of its members are unmasked and, but for the kind "anything", not null; it
    weighs as much as the lightest of its weighted members.

    Raises:
        EngineError: an input is not of that kind.
    """
    shape = inputs[0][1].shape
    members = []
    valid: Flags | None = None
    weights: Floats | None = None
    seen: list[NDArray[Any]] = []

    def require(flags: Flags | None) -> None:
        nonlocal valid
        if flags is not None:
            valid = flags if valid is None else valid & flags

    for (values, weight), fractional in zip(inputs, weighting, strict=True):
        if kind != "anything":
            values, known = numbers(values, shape)
            require(known)
        if kind == "numbers" and values.ndim != len(shape):
            raise EngineError("Cannot reduce arrays as numbers; forEachElement() reduces their elements.")
        members.append(values)
        if any(weight is other for other in seen):
            continue
        seen.append(weight)
        present = weight if weight.dtype == np.bool_ else weight > 0
        require(None if present.all() else present)
        if fractional and weight.dtype != np.bool_ and not np.all((weight == 1) | (weight <= 0)):
            heavy = np.asarray(weight, np.float64)
            weights = heavy if weights is None else np.minimum(weights, heavy)
    if weights is not None and valid is not None:
        weights = np.where(valid, weights, 0.0)
    return Block(tuple(members), shape, valid, weights)


class Accumulator(Protocol):
    """Inputs given one after the other."""

    def fold(self, inputs: Sequence[Input]) -> None:
        """Take some more inputs, (k, *cells) of each."""

    def results(self) -> list[Result]:
        """The result for the inputs so far."""


class Statistic(Protocol):
    """What is kept of the tuples seen so far; made for cells of some shape and inputs of some types."""

    def __init__(self, cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> None:
        """Nothing seen yet."""

    def fold(self, block: Block) -> None:
        """Take some more tuples."""

    def results(self) -> list[Result]:
        """The outputs for the tuples so far."""


@dataclass(frozen=True, eq=False)
class _Accumulating:
    """A statistic that is given inputs rather than tuples."""

    statistic: Statistic
    weighting: tuple[bool, ...]
    kind: Kind

    def fold(self, inputs: Sequence[Input]) -> None:
        self.statistic.fold(block(inputs, self.weighting, self.kind))

    def results(self) -> list[Result]:
        return self.statistic.results()


@dataclass(frozen=True, eq=False)
class Layers:
    """The public face of an accumulator: inputs one layer of cells at a time."""

    inner: Accumulator

    def add(self, values: Sequence[Values], weights: NDArray[Any] | Sequence[NDArray[Any]]) -> None:
        """Take one more tuple of inputs.

        Args:
            values: per input, (*cells).
            weights: (*cells), or one array per input.
        """
        if isinstance(weights, np.ndarray):
            layers = [weights[None]] * len(values)
        else:
            layers = [weight[None] for weight in weights]
        with np.errstate(invalid="ignore", over="ignore"):
            self.inner.fold(
                [(np.asarray(each)[None], layer) for each, layer in zip(values, layers, strict=True)]
            )

    def result(self) -> list[Result]:
        """Per output, values and where they are valid."""
        return _as_arrays(self.inner.results())


def _as_arrays(results: list[Result]) -> list[Result]:
    # Arithmetic on arrays without axes gives scalars.
    return [(np.asarray(values), np.asarray(valid)) for values, valid in results]


Begin = Callable[[tuple[int, ...], Sequence[np.dtype[Any]]], Accumulator]


@dataclass(frozen=True, eq=False)
class Reducer:
    """A way to combine inputs.

    Args:
        name: as in "Reducer.mean", without the prefix.
        outputs: their names.
        weighting: per input, whether its weights count fractionally; otherwise an input is in where its
            weight is not zero.
        key: digest of name and parameters.
        types: pixel types of the outputs, from those of the inputs.
        whole: computes from all inputs together.
        begin: starts an accumulator; None where the inputs must be known together.
    """

    name: str
    outputs: tuple[str, ...]
    weighting: tuple[bool, ...]
    key: str
    types: TypeRule
    whole: Callable[[Sequence[Input]], list[Result]]
    begin: Begin | None = None

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.weighting)

    @property
    def weighted(self) -> bool:
        """Whether the weights of any input count fractionally."""
        return any(self.weighting)

    def __call__(
        self, values: Sequence[Values], weights: NDArray[Any] | Sequence[NDArray[Any]]
    ) -> list[Result]:
        """Reduce along the first axis.

        Args:
            values: per input, (n, *cells), and array dimensions where the pixels are arrays.
            weights: (n, *cells) of booleans or numbers, or one such array per input; zero is masked.

        Returns:
            Per output, values of shape (*cells, *array dimensions), of dtype object for lists and
            dictionaries, and where they are valid, (*cells).

        Raises:
            EngineError: the number of inputs or the type of a value is not what the reducer takes.
        """
        if len(values) != self.inputs:
            raise EngineError(f"Need {self.inputs} inputs for Reducer.{self.name}, got {len(values)}.")
        if isinstance(weights, np.ndarray):
            weights = [weights] * len(values)
        return self.reduce([(np.asarray(each), weight) for each, weight in zip(values, weights, strict=True)])

    def reduce(self, inputs: Sequence[Input]) -> list[Result]:
        """Reduce inputs with their weights along the first axis."""
        # Masked values may be anything, and arithmetic on them is thrown away.
        with np.errstate(invalid="ignore", over="ignore"):
            return _as_arrays(self.whole(inputs))

    def accumulator(self, shape: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> Layers | None:
        """Begin a reduction of layers of cells given one by one, or None where that is not exact.

        Args:
            shape: of the cells.
            dtypes: of the inputs.
        """
        return None if self.begin is None else Layers(self.begin(shape, dtypes))

    def running(self, values: Sequence[Values], weights: NDArray[Any]) -> list[Result]:
        """The result after each input along the first axis: values and validity of shape (n, *cells)."""
        layers = self.accumulator(weights.shape[1:], [each.dtype for each in values])
        steps = []
        for step in range(weights.shape[0]):
            if layers is None:
                steps.append(self([each[: step + 1] for each in values], weights[: step + 1]))
            else:
                layers.add([each[step] for each in values], np.asarray(weights[step]))
                steps.append(layers.result())
        return [
            (np.stack([step[output][0] for step in steps]), np.stack([step[output][1] for step in steps]))
            for output in range(len(self.outputs))
        ]

    def output_types(self, inputs: Sequence[PixelType]) -> list[PixelType]:
        """Pixel types of the outputs for inputs of these types.

        Raises:
            EngineError: an output is neither a number nor an array, so an image cannot hold it.
        """
        return self.types(inputs)


def _parts(inputs: Sequence[Input]) -> Iterator[list[Input]]:
    """The inputs in stretches of the first axis, each with a bounded number of values."""
    shape = inputs[0][1].shape
    size = max(1, _BLOCK_VALUES // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], size):
        stretch = slice(start, start + size)
        # Weights that inputs share stay shared, so that they are looked at once.
        slices = {id(weight): weight[stretch] for _, weight in inputs}
        yield [(values[stretch], slices[id(weight)]) for values, weight in inputs]


def key_of(name: str, *parameters: Any) -> str:
    """A digest of a reducer's name and parameters; parameters are text, numbers, lists, and keys."""
    return hashlib.blake2b(repr((name, parameters)).encode(), digest_size=16).hexdigest()


def accumulating(
    name: str,
    outputs: Sequence[str],
    weighting: Sequence[bool],
    statistic: Callable[[tuple[int, ...], Sequence[np.dtype[Any]]], Statistic],
    types: TypeRule,
    parameters: Sequence[Any] = (),
    kind: Kind = "numbers",
) -> Reducer:
    """A reducer that needs to keep only a statistic of its inputs."""
    fractional = tuple(weighting)

    def begin(cells: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> Accumulator:
        return _Accumulating(statistic(cells, dtypes), fractional, kind)

    def whole(inputs: Sequence[Input]) -> list[Result]:
        accumulator = begin(inputs[0][1].shape[1:], [values.dtype for values, _ in inputs])
        for part in _parts(inputs):
            accumulator.fold(part)
        return accumulator.results()

    return Reducer(name, tuple(outputs), fractional, key_of(name, *parameters), types, whole, begin)


def collecting(
    name: str,
    outputs: Sequence[str],
    weighting: Sequence[bool],
    function: Callable[[Block], list[Result]],
    types: TypeRule,
    parameters: Sequence[Any] = (),
    kind: Kind = "numbers",
) -> Reducer:
    """A reducer that needs all of its inputs together."""
    fractional = tuple(weighting)
    return Reducer(
        name,
        tuple(outputs),
        fractional,
        key_of(name, *parameters),
        types,
        lambda inputs: function(block(inputs, fractional, kind)),
    )


def boxed(cells: tuple[int, ...], items: Sequence[Any]) -> Values:
    """An object array of some items, one per cell."""
    values = np.empty(len(items), object)
    for position, item in enumerate(items):
        values[position] = item
    return values.reshape(cells)


def as_values(result: Result) -> Any:
    """What a reduction without cells gives: a number, an Array, a list or dictionary; None where invalid."""
    values, valid = result
    if not bool(valid[()]):
        return None
    value: Any = values[()]
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    return value.item() if isinstance(value, np.generic) else value


def same(inputs: Sequence[PixelType]) -> list[PixelType]:
    """Outputs of the type of the first input."""
    return [inputs[0]]


def typed(*outputs: PixelType) -> TypeRule:
    """Outputs of types that do not depend on the inputs."""
    return lambda inputs: list(outputs)


def doubles(count: int = 1) -> TypeRule:
    """Outputs that are double precision numbers."""
    return typed(*[DOUBLE] * count)


def arrays(*dimensions: int) -> TypeRule:
    """Outputs that are double precision arrays of these dimensions."""
    return typed(*[PixelType("double", dimensions=each) for each in dimensions])


def not_pixels(name: str) -> TypeRule:
    """The rule of outputs that no pixel can hold."""

    def refuse(inputs: Sequence[PixelType]) -> list[PixelType]:
        raise EngineError(f"Reducer.{name} gives dictionaries or collections, which pixels cannot hold.")

    return refuse
