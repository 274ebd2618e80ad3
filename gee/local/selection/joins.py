"""Joins: pairs of elements of two collections that match, and what is made of them.

A condition on fields that have an order (times, above all) is answered by binary search in the sorted
secondary field, so that joining two long series does not compare every pair; whatever the search offers
is still tested by the filter itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gee.local.errors import EngineError
from gee.local.geometry.extents import Places
from gee.local.scalars.ordering import is_number, plain
from gee.local.selection.filters import All, Filter, Pair, Reach, Some, field_of, geometry_of
from gee.local.values import Collection, Element


@dataclass(frozen=True)
class Join:
    """A way of joining.

    Args:
        results: what a primary element and its matches (in secondary order) become.
        pairs: whether results are features of their own rather than primary elements.
    """

    results: Callable[[Any, Iterator[Any], Filter], Iterable[Any]]
    pairs: bool = False

    def apply(self, primary: Collection, secondary: Collection, condition: Filter) -> Collection:
        """The joined collection, computed as it is asked for."""

        def elements() -> Iterator[Any]:
            side = Secondary(secondary)
            for element in primary:
                yield from self.results(element, side.matches(element, condition), condition)

        joined = primary.lazily(elements, secondary)
        return Collection({}, joined.elements) if self.pairs else joined


def measure(condition: Filter, left: Any, right: Any) -> float:
    """How good a match is, 0 the best.

    Raises:
        EngineError: the condition is not a single filter that has a measure.
    """
    if not isinstance(condition, Pair) or condition.relation.measure is None:
        raise EngineError(
            "The join condition has no measure; it must be a single maxDifference or withinDistance filter."
        )
    return condition.relation.measure(*condition.operands(left, right))


class Column:
    """One field of the secondary elements, sorted where it has an order."""

    def __init__(self, values: list[Any]) -> None:
        plain_values = [plain(value) for value in values]
        self.numeric = all(value is None or is_number(value) for value in plain_values)
        textual = all(value is None or isinstance(value, str) for value in plain_values)
        # NaN has no place in a sorted list.
        self.ordered = textual or (self.numeric and all(value == value for value in plain_values))
        self.nulls = [position for position, value in enumerate(plain_values) if value is None]
        if self.ordered:
            self.positions = sorted(
                (position for position, value in enumerate(plain_values) if value is not None),
                key=lambda position: plain_values[position],
            )
            self.values = [plain_values[position] for position in self.positions]

    def within(self, reach: Reach) -> list[int] | None:
        """Positions whose values lie in a reach; None where the field has no order in common with it."""
        bounds = [bound for bound in reach if bound is not None]
        if not self.ordered or any(is_number(bound) != self.numeric for bound in bounds):
            return None
        low, high = reach
        start = 0 if low is None else bisect_left(self.values, low)
        end = len(self.values) if high is None else bisect_right(self.values, high)
        return self.positions[start:end]


class Secondary:
    """The secondary elements with the columns that conditions asked for so far."""

    def __init__(self, collection: Iterable[Any]) -> None:
        self._elements: list[Element] = list(collection)
        self._columns: dict[str, Column] = {}
        self._places: dict[str, Places] = {}

    def matches(self, left: Any, condition: Filter) -> Iterator[Any]:
        """The elements that match, in order, each tested when it is asked for."""
        offered = self._candidates(left, condition)
        positions = range(len(self._elements)) if offered is None else sorted(offered)
        for position in positions:
            if condition.passes(left, self._elements[position]):
                yield self._elements[position]

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = Column([field_of(element, name) for element in self._elements])
        return self._columns[name]

    def _placed(self, name: str) -> Places:
        if name not in self._places:
            values = (field_of(element, name) for element in self._elements)
            self._places[name] = Places(None if value is None else geometry_of(value) for value in values)
        return self._places[name]

    def _candidates(self, left: Any, condition: Filter) -> Iterable[int] | None:
        """Positions among which all matches are; None where every element may match."""
        if isinstance(condition, All):
            offers = [offer for part in condition.parts if (offer := self._listed(left, part)) is not None]
            return min(offers, key=len, default=None)
        if isinstance(condition, Some):
            some = [self._listed(left, part) for part in condition.parts]
            return None if None in some else {position for offer in some if offer for position in offer}
        if isinstance(condition, Pair):
            return self._related(left, condition)
        return None

    def _listed(self, left: Any, condition: Filter) -> list[int] | None:
        offered = self._candidates(left, condition)
        return None if offered is None else list(offered)

    def _related(self, left: Any, pair: Pair) -> list[int] | None:
        relation = pair.relation
        name = pair.right.field
        reach = relation.right_reach
        if name is None or (reach is None and relation.metres is None):
            return None
        value = pair.left.of(left, relation.left_type)
        if value is None:
            return None if relation.nulls else []
        if reach is None:
            return self._placed(name).near(value, relation.metres or 0.0)
        column = self._column(name)
        found = column.within(reach(value))
        return found if found is None or not relation.nulls else found + column.nulls
