"""Dictionary.*: values by string keys, whose natural order is the alphabetic one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gee.local.algorithms.arrays import concatenated
from gee.local.algorithms.lists import of_type
from gee.local.errors import EngineError
from gee.local.registry import algorithm, type_name
from gee.local.scalars.javatext import expression
from gee.local.scalars.promotions import as_array

Entries = dict[str, Any]


def _value(entries: Entries, key: str) -> Any:
    if key not in entries:
        raise EngineError(f"Dictionary does not contain key: '{key}'.")
    return entries[key]


def matching(entries: Entries, selectors: list[str], ignore_missing: bool) -> list[str]:
    """The keys that names or regular expressions select, each once, in the order of the selectors.

    Raises:
        EngineError: a selector matches no key, and that is not to be ignored.
    """
    found: dict[str, None] = {}
    for selector in selectors:
        matches = [selector] if selector in entries else []
        if not matches:
            pattern = expression(selector)
            matches = [key for key in sorted(entries) if pattern.fullmatch(key)]
        if not matches and not ignore_missing:
            raise EngineError(f"Dictionary does not contain key: '{selector}'.")
        found |= dict.fromkeys(matches)
    return list(found)


@algorithm("Dictionary")
def dictionary(value: Any) -> Entries:
    """A dictionary, or the one of a list of alternating keys and values."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise EngineError(f"Cannot make a dictionary of a {type_name(value)}.")
    if len(value) % 2:
        raise EngineError("A list of keys and values must have an even number of elements.")
    entries: Entries = from_lists(value[::2], value[1::2])
    return entries


@algorithm("Dictionary.combine")
def combine(first: Entries, second: Entries, overwrite: bool) -> Entries:
    """The entries of two dictionaries without nulls; the second one's win, unless told otherwise."""
    both = {**first, **second} if overwrite else {**second, **first}
    return {key: value for key, value in both.items() if value is not None}


@algorithm("Dictionary.contains")
def contains(entries: Entries, key: str) -> bool:
    """Whether there is such a key."""
    return key in entries


@algorithm("Dictionary.fromLists")
def from_lists(keys: list[Any], values: list[Any]) -> Entries:
    """Values by keys."""
    if len(keys) != len(values):
        raise EngineError(f"Need as many keys as values: {len(keys)} and {len(values)}.")
    if not all(isinstance(key, str) for key in keys):
        raise EngineError("Keys must be strings.")
    return dict(zip(keys, values, strict=True))


@algorithm("Dictionary.get")
def get(entries: Entries, key: str, default: Any) -> Any:
    """The value of a key, or the default where there is no such key."""
    return _value(entries, key) if default is None else entries.get(key, default)


def _getter(wanted: str) -> Callable[[Entries, str], Any]:
    return lambda entries, key: of_type(_value(entries, key), wanted)


for _type in ("Array", "Geometry", "Number", "String"):
    algorithm(f"Dictionary.get{_type}")(_getter(_type))


@algorithm("Dictionary.keys")
def keys(entries: Entries) -> list[str]:
    """The keys in natural order."""
    return sorted(entries)


@algorithm("Dictionary.map")
def map_entries(entries: Entries, function: Callable[[str, Any], Any]) -> Entries:
    """What a function of key and value gives for each entry; null drops it."""
    mapped = {key: function(key, value) for key, value in entries.items()}
    return {key: value for key, value in mapped.items() if value is not None}


@algorithm("Dictionary.remove")
def remove(entries: Entries, selectors: list[str], ignore_missing: bool) -> Entries:
    """The entries that are not selected."""
    unwanted = set(matching(entries, selectors, ignore_missing))
    return {key: value for key, value in entries.items() if key not in unwanted}


@algorithm("Dictionary.rename")
def rename(entries: Entries, old: list[str], new: list[str], overwrite: bool) -> Entries:
    """The entries with other keys."""
    if len(old) != len(new):
        raise EngineError(f"Need as many new names as old ones: {len(new)} and {len(old)}.")
    moved = {after: _value(entries, before) for before, after in zip(old, new, strict=True)}
    kept = {key: value for key, value in entries.items() if key not in old}
    taken = kept.keys() & moved.keys()
    if not overwrite and (taken or len(moved) < len(new)):
        raise EngineError(f"Cannot rename to existing key '{min(taken or set(new))}'.")
    return kept | moved


@algorithm("Dictionary.select")
def select(entries: Entries, selectors: list[str], ignore_missing: bool) -> Entries:
    """The entries that are selected."""
    return {key: entries[key] for key in matching(entries, selectors, ignore_missing)}


@algorithm("Dictionary.set")
def set_value(entries: Entries, key: str, value: Any) -> Entries:
    """The entries with one added or replaced."""
    return {**entries, key: value}


@algorithm("Dictionary.size")
def size(entries: Entries) -> int:
    """Number of entries."""
    return len(entries)


@algorithm("Dictionary.values")
def values(entries: Entries, wanted: list[str] | None) -> list[Any]:
    """The values of keys, or all in the natural order of their keys."""
    return [_value(entries, key) for key in (sorted(entries) if wanted is None else wanted)]


@algorithm("Dictionary.toArray")
def to_array(entries: Entries, wanted: list[str] | None, axis: int) -> Any:
    """The values of keys, or all in the natural order of their keys, joined along an axis."""
    arrays = []
    for value in values(entries, wanted):
        try:
            array = as_array(value)
        except TypeError as error:
            raise EngineError(f"Cannot put a {type_name(value)} into an array.") from error
        arrays.append(array.reshape(1) if array.ndim == 0 else array)
    return concatenated(arrays, axis)
