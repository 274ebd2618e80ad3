"""List.*: lists of anything; indices count from 0, negative ones from the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from gee.local import limits
from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.registry import algorithm, promote, type_name
from gee.local.scalars.comparison import identity, same
from gee.local.scalars.javatext import text_of
from gee.local.scalars.ordering import sort_order
from gee.local.selection.filters import Filter
from gee.local.values import Element

Values = list[Any]


def _position(values: Values, index: int) -> int:
    size = len(values)
    if not -size <= index < size:
        raise EngineError(f"List index must be between 0 and {size - 1}, or {-size} and -1. Found {index}.")
    return index % size


def _bounded(size: int, new: int | None = None) -> None:
    if size > limits.MAX_SEQUENCE:
        raise EngineError(f"List of {size} elements is too large: at most {limits.MAX_SEQUENCE}.")
    charge(size if new is None else new)


@algorithm("List.add")
def add(values: Values, element: Any) -> Values:
    """The list with one more element at its end."""
    return [*values, element]


@algorithm("List.cat")
def cat(values: Values, other: Values) -> Values:
    """One list after the other."""
    _bounded(len(values) + len(other))
    return values + other


@algorithm("List.contains")
def contains(values: Values, element: Any) -> bool:
    """Whether an element is in the list."""
    wanted = identity(element)
    return any(identity(item) == wanted for item in values)


@algorithm("List.containsAll")
def contains_all(values: Values, other: Values) -> bool:
    """Whether all elements of another list are in the list."""
    return {identity(item) for item in other} <= {identity(item) for item in values}


@algorithm("List.distinct")
def distinct(values: Values) -> Values:
    """The first of each of the different elements."""
    found: dict[Any, Any] = {}
    for item in values:
        found.setdefault(identity(item), item)
    return list(found.values())


@algorithm("List.equals")
def equals(values: Values, other: Values) -> bool:
    """Whether two lists have the same elements in the same order."""
    return same(values, other)


@algorithm("List.filter")
def filter_list(values: Values, condition: Filter) -> Values:
    """The elements that match a filter; what has no properties is the property 'item'."""
    elements = [item if isinstance(item, Element) else Element({"item": item}) for item in values]
    return [
        item for item, element in zip(values, elements, strict=True) if condition.passes(element, element)
    ]


@algorithm("List.flatten")
def flatten(values: Values) -> Values:
    """The elements of the list and of all lists in it."""
    flat: Values = []
    stack = [iter(values)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, (list, tuple)):
                _bounded(len(flat) + len(item), len(item) + limits.ELEMENTS_PER_APPLICATION)
                stack.append(iter(item))
                break
            flat.append(item)
        else:
            stack.pop()
    return flat


@algorithm("List.frequency")
def frequency(values: Values, element: Any) -> int:
    """How often an element is in the list."""
    wanted = identity(element)
    return sum(identity(item) == wanted for item in values)


@algorithm("List.get")
def get(values: Values, index: int) -> Any:
    """The element at an index."""
    return values[_position(values, index)]


def _getter(wanted: str) -> Callable[[Values, int], Any]:
    def typed(values: Values, index: int) -> Any:
        return of_type(get(values, index), wanted)

    return typed


def of_type(value: Any, wanted: str) -> Any:
    """A value that has to be of a documented type.

    Raises:
        EngineError: it is not.
    """
    try:
        promoted = promote(value, wanted)
    except TypeError:
        promoted = None
    # A number becomes an array and a list too, where a type is only expected; not where it is asked for.
    if promoted is None or (wanted == "Array" and not isinstance(value, np.ndarray)):
        raise EngineError(f"Expected type: {wanted}. Actual type: {type_name(value)}.")
    return promoted


for _type in ("Array", "Geometry", "Number", "String"):
    algorithm(f"List.get{_type}")(_getter(_type))


@algorithm("List.indexOf")
def index_of(values: Values, element: Any) -> int:
    """Where an element is first; -1 where it is not."""
    wanted = identity(element)
    return next((position for position, item in enumerate(values) if identity(item) == wanted), -1)


def _occurrences(values: Values, part: Values) -> list[int]:
    keys, wanted = [identity(item) for item in values], [identity(item) for item in part]
    size = len(wanted)
    return [at for at in range(len(keys) - size + 1) if keys[at : at + size] == wanted]


@algorithm("List.indexOfSublist")
def index_of_sublist(values: Values, target: Values) -> int:
    """Where a list begins first within the list; -1 where it does not."""
    return next(iter(_occurrences(values, target)), -1)


@algorithm("List.lastIndexOfSubList")
def last_index_of_sublist(values: Values, target: Values) -> int:
    """Where a list begins last within the list; -1 where it does not."""
    return next(reversed(_occurrences(values, target)), -1)


@algorithm("List.insert")
def insert(values: Values, index: int, element: Any) -> Values:
    """The list with an element put before the one at an index, or at its end."""
    position = index if index == len(values) else _position(values, index)
    return [*values[:position], element, *values[position:]]


@algorithm("List.iterate")
def iterate(values: Values, function: Callable[[Any, Any], Any], first: Any) -> Any:
    """What a function of an element and its previous result gives for the last element."""
    result = first
    for item in values:
        result = function(item, result)
    return result


@algorithm("List.join")
def join(values: Values, separator: str) -> str:
    """The elements as strings with a separator between them."""
    parts, size = [], 0
    for item in values:
        parts.append(text_of(item))
        size += len(parts[-1]) + len(separator)
        if size > limits.MAX_TEXT:
            raise EngineError(f"The result is too long: at most {limits.MAX_TEXT} characters.")
    return separator.join(parts)


@algorithm("List.length", "List.size")
def size(values: Values) -> int:
    """Number of elements."""
    return len(values)


@algorithm("List.map")
def map_list(values: Values, function: Callable[[Any], Any], drop_nulls: bool) -> Values:
    """What a function gives for each element."""
    results = []
    for item in values:
        result = function(item)
        if result is not None:
            results.append(result)
        elif not drop_nulls:
            raise EngineError("A mapped algorithm returned null, which only dropNulls allows.")
    return results


@algorithm("List.remove")
def remove(values: Values, element: Any) -> Values:
    """The list without the first occurrence of an element."""
    position = index_of(values, element)
    return values if position < 0 else values[:position] + values[position + 1 :]


@algorithm("List.removeAll")
def remove_all(values: Values, other: Values) -> Values:
    """The list without the elements of another."""
    unwanted = {identity(item) for item in other}
    return [item for item in values if identity(item) not in unwanted]


@algorithm("List.repeat")
def repeat(value: Any, count: int) -> Values:
    """A value so many times."""
    if count < 0:
        raise EngineError(f"Count must not be negative. Found {count}.")
    _bounded(count)
    return [value] * count


@algorithm("List.replace")
def replace(values: Values, old: Any, new: Any) -> Values:
    """The list with the first occurrence of a value replaced."""
    position = index_of(values, old)
    return values if position < 0 else [*values[:position], new, *values[position + 1 :]]


@algorithm("List.replaceAll")
def replace_all(values: Values, old: Any, new: Any) -> Values:
    """The list with every occurrence of a value replaced."""
    unwanted = identity(old)
    return [new if identity(item) == unwanted else item for item in values]


@algorithm("List.reverse")
def reverse(values: Values) -> Values:
    """The list backwards."""
    return values[::-1]


@algorithm("List.rotate")
def rotate(values: Values, distance: int) -> Values:
    """The list with elements moved towards its end, and from there to its start."""
    start = -distance % len(values) if values else 0
    return values[start:] + values[:start]


@algorithm("List.sequence")
def sequence(start: float, end: float | None, step: float, count: int | None) -> Values:
    """Numbers by steps from start to end (inclusive) or for so many; or so many, equally far apart."""
    if count is not None:
        if count < 1:
            raise EngineError(f"Count must be positive. Found {count}.")
        _bounded(count)
        if end is None:
            return [start + position * step for position in range(count)]
        width = (end - start) / (count - 1) if count > 1 else 0
        numbers = [start + position * width for position in range(count)]
        if isinstance(start, int) and isinstance(end, int) and width == int(width):
            return list(map(int, numbers))
        return numbers
    if end is None:
        raise EngineError("At least one of 'end' or 'count' must be specified.")
    if step == 0:
        raise EngineError("Step must not be zero.")
    steps = (end - start) // step
    if not steps >= 0:
        return []
    _bounded(int(min(steps, 2.0**62)) + 1)
    return [start + position * step for position in range(int(steps) + 1)]


@algorithm("List.set")
def set_element(values: Values, index: int, element: Any) -> Values:
    """The list with the element at an index replaced."""
    position = _position(values, index)
    return [*values[:position], element, *values[position + 1 :]]


@algorithm("List.shuffle")
def shuffle(values: Values, seed: Any) -> Values:
    """A permutation, the same for the same seed; Earth Engine's own order is not published."""
    shuffled = list(values)
    generator = random.Random() if seed is False else random.Random(0 if seed is None else int(seed))  # noqa: S311
    generator.shuffle(shuffled)
    return shuffled


@algorithm("List.slice")
def cut(values: Values, start: int, end: int | None, step: int | None) -> Values:
    """Elements from start to before end, every so many."""
    if step is not None and step < 1:
        raise EngineError(f"Step must be positive. Found {step}.")
    return values[start:end:step]


@algorithm("List.sort")
def sort(values: Values, keys: Values | None) -> Values:
    """The elements in ascending order, or in the order of keys."""
    if keys is not None and len(keys) != len(values):
        raise EngineError(f"Need as many keys as elements: {len(keys)} and {len(values)}.")
    return [values[position] for position in sort_order(values if keys is None else keys)]


@algorithm("List.splice")
def splice(values: Values, start: int, count: int, other: Values | None) -> Values:
    """The list with some elements from an index on replaced by those of another list."""
    position = start if start == len(values) else _position(values, start)
    if count < 0:
        raise EngineError(f"Count must not be negative. Found {count}.")
    return values[:position] + (other or []) + values[position + count :]


@algorithm("List.swap")
def swap(values: Values, first: int, second: int) -> Values:
    """The list with two elements exchanged."""
    one, other = _position(values, first), _position(values, second)
    swapped = list(values)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


@algorithm("List.unzip")
def unzip(values: Values) -> Values:
    """From a list of lists, the list of their first elements, of their second ones, and so on."""
    if not all(isinstance(item, (list, tuple)) for item in values):
        raise EngineError("Elements must all be lists.")
    return [list(items) for items in zip(*values, strict=False)]


@algorithm("List.zip")
def zip_lists(values: Values, other: Values) -> Values:
    """Pairs of elements, as many as the shorter list has."""
    return [list(pair) for pair in zip(values, other, strict=False)]
