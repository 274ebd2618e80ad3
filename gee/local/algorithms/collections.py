"""``Collection.*``: collections of features, images or collections, made element by element when asked.

Ids follow Earth Engine: elements given in a list are numbered from 0 unless they have an id, a mapped
element keeps the id of the one it was made from, merging prefixes ``1_`` and ``2_``, flattening joins
the ids of both levels with ``_``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from statistics import NormalDist
from typing import Any

import numpy as np

from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.reduction.reducers import Reducer, as_values, boxed
from gee.local.registry import algorithm, promotion, type_name
from gee.local.scalars.comparison import identity
from gee.local.scalars.ordering import plain, same, sort_order
from gee.local.selection.filter_expressions import parse
from gee.local.selection.filters import Filter, field_of
from gee.local.values import Collection, Element, Feature, Function

INDEX = "system:index"


@promotion("FeatureCollection")
def to_collection(value: Any) -> Collection:
    """A collection of anything; a feature alone is a collection of one."""
    if isinstance(value, Collection):
        return value
    if isinstance(value, Feature):
        return of_list([value])
    raise TypeError


def of_list(elements: Iterable[Any], images: bool = False) -> Collection:
    """A collection of elements in a list: those without an id are numbered.

    Raises:
        EngineError: one of them is null.
    """
    found = list(elements)
    if any(element is None for element in found):
        raise EngineError("A collection cannot hold null elements.")
    return Collection({}, [_with_index(one, str(place)) for place, one in enumerate(found)], images)


def _with_index(element: Element, index: str | None) -> Element:
    """An element with an id, unless it has one."""
    known = element.get(INDEX) is not None or index is None
    return element if known else element.having({INDEX: index})


algorithm("Collection")(of_list)
algorithm("Collection.first")(lambda collection: next(iter(collection), None))
algorithm("Collection.size")(Collection.size)
algorithm("Collection.cache")(lambda collection: collection)


@algorithm("Collection.loadTable")
def _load_table(table_id: str, geometry_column: str | None, version: int) -> Any:
    return current().library.table(table_id)


@algorithm("Collection.filter")
def filtered(collection: Collection, condition: Any) -> Collection:
    """The elements that pass a filter, or a text that describes one."""
    if isinstance(condition, str):
        condition = parse(condition)
    if not isinstance(condition, Filter):
        raise EngineError(f"Filter must be a Filter or a String, got {type_name(condition)}.")
    return _filtered(collection, condition)


def _filtered(collection: Collection, condition: Filter) -> Collection:
    def elements() -> Iterator[Any]:
        # Here and not outside, so that what is wrong with the filter is told when it is used.
        source = collection
        if collection.within is not None and not collection.computed:
            low, high = condition.times()
            source = collection.within(low, None if high is None else math.floor(high) + 1)
        return (element for element in source if condition.passes(element, element))

    return _narrowing(collection, collection.lazily(elements), lambda part: _filtered(part, condition))


def _narrowing(
    collection: Collection, made: Collection, again: Callable[[Collection], Collection]
) -> Collection:
    """A collection made of another, which narrows to a time as well as that one does."""
    narrow = collection.within
    if narrow is None or collection.computed:
        return made
    return Collection(
        made.properties, made.elements, made.images, lambda start, end: again(narrow(start, end))
    )


@algorithm("Collection.limit")
def _limit(collection: Collection, count: int | None, key: str | None, ascending: bool) -> Collection:
    if count is not None and count < 0:
        raise EngineError(f"Limit must not be negative, got {count}.")
    if key is None:
        return collection.lazily(lambda: islice(collection, count))

    def elements() -> Iterator[Any]:
        found = list(collection)
        order = sort_order([plain(field_of(element, key)) for element in found], ascending)
        return (found[position] for position in order[:count])

    made = collection.lazily(elements)
    if count is not None:
        return made
    return _narrowing(collection, made, lambda part: _limit(part, None, key, ascending))


@algorithm("Collection.toList")
def _to_list(collection: Collection, count: int, offset: int) -> list[Any]:
    if count <= 0:
        raise EngineError(f"count must be positive, got {count}.")
    if offset < 0:
        raise EngineError(f"offset must not be negative, got {offset}.")
    return list(islice(collection, offset, offset + count))


@algorithm("Collection.map")
def _map(collection: Collection, function: Function, drop_nulls: bool) -> Collection:
    def elements() -> Iterator[Element]:
        for element in collection:
            try:
                made = function(element)
            except EngineError as error:
                raise EngineError(
                    f"Error in map(ID={element.get(INDEX)}):\n{error.message}", error.status
                ) from error
            if made is None and drop_nulls:
                continue
            if not isinstance(made, Element):
                raise EngineError("A mapped algorithm must return a Feature or Image.").within(
                    "Collection.map"
                )
            yield _with_index(made, element.get(INDEX))

    return collection.lazily(elements)


@algorithm("Collection.iterate")
def _iterate(collection: Collection, function: Function, first: Any) -> Any:
    state = first
    for element in collection:
        state = function(element, state)
    return state


@algorithm("Collection.merge")
def merged(first: Collection, second: Collection) -> Collection:
    """The elements of both, their ids prefixed, under the properties of the first."""

    def elements() -> Iterator[Element]:
        for prefix, collection in (("1_", first), ("2_", second)):
            for element in collection:
                yield element.having({INDEX: f"{prefix}{element.get(INDEX)}"})

    return first.lazily(elements, second)


@algorithm("Collection.flatten")
def _flatten(collection: Collection) -> Collection:
    def elements() -> Iterator[Element]:
        for outer in collection:
            if not isinstance(outer, Collection):
                raise EngineError(f"Elements must be collections, got {type_name(outer)}.")
            for element in outer:
                yield element.having({INDEX: f"{outer.get(INDEX)}_{element.get(INDEX)}"})

    made = collection.lazily(elements)
    return Collection(made.properties, made.elements)


def _names(properties: Any) -> list[str]:
    names = [properties] if isinstance(properties, str) else properties
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise EngineError(f"Properties must be a String or a list of them, got {type_name(properties)}.")
    return names


def _field_identity(element: Element, name: str) -> Any:
    value = field_of(element, name)
    return json.dumps(value.as_json()) if name == ".geo" and value is not None else identity(plain(value))


@algorithm("Collection.distinct")
def _distinct(collection: Collection, properties: Any) -> Collection:
    names = _names(properties)

    def elements() -> Iterator[Element]:
        seen = set()
        for element in collection:
            key = tuple(_field_identity(element, name) for name in names)
            if key not in seen:
                seen.add(key)
                yield element

    return collection.lazily(elements)


@algorithm("Collection.remap")
def _remap(collection: Collection, old: list[Any], new: list[int], name: str) -> Collection:
    if len(old) != len(new):
        raise EngineError(f"Lists must be of the same size, got {len(old)} and {len(new)}.")
    for value in old:
        if not isinstance(value, str) and not same(
            value, round(value) if isinstance(value, float) else value
        ):
            raise EngineError("lookupIn is restricted to strings and integers.")
    table = {identity(before): after for before, after in zip(old, new, strict=True)}

    def elements() -> Iterator[Element]:
        for element in collection:
            value = identity(plain(element.get(name)))
            if value in table:
                yield element.having({name: table[value]})

    return collection.lazily(elements)


@algorithm("Collection.randomColumn")
def _random_column(
    collection: Collection, name: str, seed: int, distribution: str, row_keys: list[str]
) -> Collection:
    """Numbers from a hash of the seed and each element's keys: deterministic, but not Google's."""
    if distribution not in ("uniform", "normal"):
        raise EngineError(f"Unknown distribution '{distribution}'; must be 'uniform' or 'normal'.")

    def elements() -> Iterator[Element]:
        for element in collection:
            keys = [repr(_field_identity(element, key)) for key in row_keys]
            digest = hashlib.blake2b(json.dumps([seed, *keys]).encode(), digest_size=8).digest()
            steps = int.from_bytes(digest) >> 11  # 53 bits: what a double holds
            value = steps / 2**53
            if distribution == "normal":
                value = NormalDist().inv_cdf((steps >> 1) / 2**52 + 2**-54)
            yield element.having({name: value})

    return collection.lazily(elements)


@algorithm("Collection.fromColumns")
def _from_columns(columns: list[list[Any]], names: list[str], types: list[Any] | None) -> Collection:
    if len(columns) != len(names) or (types is not None and len(types) != len(names)):
        raise EngineError("columns, propertyNames and propertyTypes must have the same length.")
    if types is not None:
        raise EngineError("Argument 'propertyTypes' is not supported by the local engine.")
    if len({len(column) for column in columns}) > 1:
        raise EngineError("All columns must have the same length.")
    return of_list([Feature(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)])


@algorithm("Collection.reduceColumns")
def _reduce_columns(
    collection: Collection, reducer: Reducer, selectors: list[str], weight_selectors: list[str] | None
) -> dict[str, Any]:
    elements = list(collection)
    columns = [_column(elements, name) for name in selectors]
    # Nulls are inputs here: numeric reducers leave them out, others (first, toList) look at them.
    weights: list[np.ndarray[Any, Any]] = [np.ones(len(elements), np.bool_) for _ in columns]
    weighted = [place for place, fractional in enumerate(reducer.weighting) if fractional]
    for place, name in zip(weighted, weight_selectors or (), strict=False):
        weights[place] = np.array([value or 0 for value in _column(elements, name)], float)
    results = reducer(columns, weights)
    return {name: as_values(result) for name, result in zip(reducer.outputs, results, strict=True)}


def _column(elements: Sequence[Element], name: str) -> np.ndarray[Any, Any]:
    return boxed((len(elements),), [plain(field_of(element, name)) for element in elements])
