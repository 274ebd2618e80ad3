"""Filters as values: they test one element, or a pair of elements when a join uses them.

A filter also tells what can pass at all: the times that `Collection.within` need look at, and for a join
the values of the right field that can match a left element, so that neither walks through everything.
Fields are read as Earth Engine documents: the left operand from the left element, the right operand from
the right one; outside joins both are the same element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gee.local.context import charge
from gee.local.limits import ELEMENTS_PER_APPLICATION
from gee.local.registry import promote
from gee.local.scalars.ordering import is_number
from gee.local.values import Element, Feature

TIME = "system:time_start"

Reach = tuple[Any, Any]
"""Lowest and highest value that can match, both included; None is unbounded."""

EVERYTHING: Reach = (None, None)


def geometry_of(thing: Any) -> Any:
    """The geometry of an element, or of what becomes one; None where a feature has none."""
    return thing.geometry if isinstance(thing, Feature) else promote(thing, "Geometry")


def field_of(element: Element, name: str) -> Any:
    """A property, the geometry (``.geo``) or the element itself (``.all``)."""
    if name == ".all":
        return element
    if name == ".geo":
        return geometry_of(element)
    return element.get(name)


class Filter:
    """What passes; see the module."""

    def passes(self, left: Any, right: Any) -> bool:
        """Whether a pair matches; for one element both are the same."""
        raise NotImplementedError

    def times(self) -> Reach:
        """Between which ``system:time_start`` every element with a time that can pass lies."""
        return EVERYTHING


@dataclass(frozen=True)
class Relation:
    """How a left value must be related to a right one.

    Args:
        test: of two values that are not null, after ``left_type`` and ``right_type``.
        nulls: the result where either is null.
        left_type: what a left value is turned into before it is tested.
        right_type: the same for a right value.
        right_reach: from a left value, which right values can match.
        left_reach: from a right value, which left values can match.
        measure: how good a match is, 0 the best; None for relations without a measure.
        metres: geometries further apart never match; None where they may, or for other relations.
    """

    test: Callable[[Any, Any], bool]
    nulls: bool = False
    left_type: Callable[[Any], Any] | None = None
    right_type: Callable[[Any], Any] | None = None
    right_reach: Callable[[Any], Reach] | None = None
    left_reach: Callable[[Any], Reach] | None = None
    measure: Callable[[Any, Any], float] | None = None
    metres: float | None = None


@dataclass(frozen=True)
class Operand:
    """A field of an element, or a value given with the filter."""

    field: str | None
    value: Any = None

    def of(self, element: Any, become: Callable[[Any], Any] | None) -> Any:
        """The operand's value for an element."""
        if self.field is None:
            return self.value
        value = field_of(element, self.field)
        return value if value is None or become is None else become(value)


@dataclass(frozen=True, eq=False)
class Pair(Filter):
    """Two operands in a relation."""

    relation: Relation
    left: Operand
    right: Operand

    def operands(self, left: Any, right: Any) -> tuple[Any, Any]:
        """Values of both operands for a pair of elements."""
        return self.left.of(left, self.relation.left_type), self.right.of(right, self.relation.right_type)

    def passes(self, left: Any, right: Any) -> bool:
        """Whether the operands are so related."""
        charge(ELEMENTS_PER_APPLICATION)
        first, second = self.operands(left, right)
        if first is None or second is None:
            return self.relation.nulls
        return self.relation.test(first, second)

    def times(self) -> Reach:
        """From the other operand, where one is the time."""
        relation = self.relation
        reach = EVERYTHING
        if self.left.field == TIME and self.right.field is None and relation.left_reach is not None:
            reach = relation.left_reach(self.right.value)
        elif self.right.field == TIME and self.left.field is None and relation.right_reach is not None:
            reach = relation.right_reach(self.left.value)
        return reach if all(bound is None or is_number(bound) for bound in reach) else EVERYTHING


@dataclass(frozen=True, eq=False)
class Test(Filter):
    """A condition on the left element alone, and the times in which it can hold."""

    test: Callable[[Any], bool]
    span: Reach = EVERYTHING

    def passes(self, left: Any, right: Any) -> bool:
        """Whether the element meets the condition."""
        charge(ELEMENTS_PER_APPLICATION)
        return self.test(left)

    def times(self) -> Reach:
        """As given."""
        return self.span


@dataclass(frozen=True, eq=False)
class All(Filter):
    """Passes what passes every part."""

    parts: tuple[Filter, ...]

    def passes(self, left: Any, right: Any) -> bool:
        """Whether every part passes."""
        charge(ELEMENTS_PER_APPLICATION)
        return all(part.passes(left, right) for part in self.parts)

    def times(self) -> Reach:
        """The times that all parts share."""
        charge(ELEMENTS_PER_APPLICATION)
        spans = [part.times() for part in self.parts]
        lows = [low for low, _ in spans if low is not None]
        highs = [high for _, high in spans if high is not None]
        return max(lows, default=None), min(highs, default=None)


@dataclass(frozen=True, eq=False)
class Some(Filter):
    """Passes what passes some part."""

    parts: tuple[Filter, ...]

    def passes(self, left: Any, right: Any) -> bool:
        """Whether some part passes."""
        charge(ELEMENTS_PER_APPLICATION)
        return any(part.passes(left, right) for part in self.parts)

    def times(self) -> Reach:
        """From the first to the last time of any part."""
        charge(ELEMENTS_PER_APPLICATION)
        spans = [part.times() for part in self.parts]
        lows = [low for low, _ in spans]
        highs = [high for _, high in spans]
        return (
            None if None in lows or not lows else min(lows),
            None if None in highs or not highs else max(highs),
        )


@dataclass(frozen=True, eq=False)
class Not(Filter):
    """Passes what another filter does not."""

    part: Filter

    def passes(self, left: Any, right: Any) -> bool:
        """Whether the part does not pass."""
        return not self.part.passes(left, right)
