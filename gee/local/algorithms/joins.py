"""``Join.*``: what becomes of matching elements."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from gee.local.algorithms.collections import INDEX
from gee.local.registry import algorithm, promotion
from gee.local.scalars.ordering import sort_order
from gee.local.selection.filters import Filter
from gee.local.selection.joins import Join, measure
from gee.local.values import Collection, Feature


@promotion("Join")
def to_join(value: Any) -> Join:
    """A join is only itself."""
    if isinstance(value, Join):
        return value
    raise TypeError


@algorithm("Join.apply")
def _apply(join: Join, primary: Collection, secondary: Collection, condition: Filter) -> Collection:
    return join.apply(primary, secondary, condition)


@algorithm("Join.simple")
def _simple() -> Join:
    return Join(lambda element, matches, _: [element] if any(True for _ in matches) else [])


@algorithm("Join.inverted")
def _inverted() -> Join:
    return Join(lambda element, matches, _: [] if any(True for _ in matches) else [element])


@algorithm("Join.inner")
def _inner(primary_key: str, secondary_key: str, measure_key: str | None) -> Join:
    def results(element: Any, matches: Iterator[Any], condition: Filter) -> Iterator[Feature]:
        for match in matches:
            properties = {primary_key: element, secondary_key: match}
            if measure_key is not None:
                properties[measure_key] = measure(condition, element, match)
            yield Feature({INDEX: f"{element.get(INDEX)}_{match.get(INDEX)}", **properties})

    return Join(results, pairs=True)


def _measured(element: Any, match: Any, condition: Filter, key: str | None) -> Any:
    return match if key is None else match.having({key: measure(condition, element, match)})


def _sorted(matches: Iterator[Any], ordering: str | None, ascending: bool) -> Iterator[Any]:
    if ordering is None:
        return matches
    found = list(matches)
    return (found[position] for position in sort_order([one.get(ordering) for one in found], ascending))


@algorithm("Join.saveFirst")
def _save_first(
    match_key: str, ordering: str | None, ascending: bool, measure_key: str | None, outer: bool
) -> Join:
    def results(element: Any, matches: Iterator[Any], condition: Filter) -> list[Any]:
        first = list(islice(_sorted(matches, ordering, ascending), 1))
        if not first:
            return [element] if outer else []
        return [element.having({match_key: _measured(element, first[0], condition, measure_key)})]

    return Join(results)


@algorithm("Join.saveBest")
def _save_best(match_key: str, measure_key: str, outer: bool) -> Join:
    def results(element: Any, matches: Iterator[Any], condition: Filter) -> list[Any]:
        measured = [(measure(condition, element, match), match) for match in matches]
        if not measured:
            return [element] if outer else []
        value, best = min(measured, key=lambda pair: pair[0])
        return [element.having({match_key: best.having({measure_key: value})})]

    return Join(results)


@algorithm("Join.saveAll")
def _save_all(
    matches_key: str, ordering: str | None, ascending: bool, measure_key: str | None, outer: bool
) -> Join:
    def results(element: Any, matches: Iterator[Any], condition: Filter) -> list[Any]:
        found = [
            _measured(element, match, condition, measure_key)
            for match in _sorted(matches, ordering, ascending)
        ]
        if not found and not outer:
            return []
        return [element.having({matches_key: found})]

    return Join(results)
