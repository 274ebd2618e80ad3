"""The values that algorithms take and give, where Python and NumPy have none of their own.

Numbers, strings, lists, dictionaries and null are Python's; an Array is a NumPy array. Images live in
`images`, geometries in `geometries`, reducers in `reducers`; collections of any element are here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gee.local.context import charge
from gee.local.limits import ELEMENTS_PER_APPLICATION

if TYPE_CHECKING:
    from gee.local.geometry.geometries import Geometry

Function = Callable[..., Any]
"""An algorithm value: a function of the client's, or a named algorithm."""


@dataclass(frozen=True)
class Date:
    """An instant, in milliseconds since 1970-01-01 UTC."""

    millis: float


@dataclass(frozen=True)
class DateRange:
    """From ``start`` to before ``end``, in milliseconds since 1970-01-01 UTC; None is unbounded."""

    start: float | None
    end: float | None


@dataclass(frozen=True)
class ErrorMargin:
    """How far a geometry operation may be wrong, in metres or in units of its projection."""

    value: float | None
    unit: str = "meters"


_PRECISIONS = ("int", "float", "double")


@dataclass(frozen=True)
class PixelType:
    """Type of a band's pixels or an array's elements: precision, range, and dimensions of array pixels."""

    precision: str
    minimum: float | int | None = None
    maximum: float | int | None = None
    dimensions: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest NumPy type that holds the range."""
        if self.precision != "int":
            return np.dtype(np.float32 if self.precision == "float" else np.float64)
        low = -(2**63) if self.minimum is None else self.minimum
        high = 2**63 - 1 if self.maximum is None else self.maximum
        for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"):
            limits = np.iinfo(name)
            if limits.min <= low and high <= limits.max:
                return np.dtype(name)
        return np.dtype(np.int64)

    def union(self, other: PixelType) -> PixelType:
        """The type that holds values of both: the larger precision, the hull of the ranges."""
        precision = max(self.precision, other.precision, key=_PRECISIONS.index)
        if precision != "int":
            return PixelType(precision, dimensions=max(self.dimensions, other.dimensions))
        lows, highs = (self.minimum, other.minimum), (self.maximum, other.maximum)
        return PixelType(
            precision,
            None if None in lows else min(lows),  # type: ignore[type-var]
            None if None in highs else max(highs),  # type: ignore[type-var]
            max(self.dimensions, other.dimensions),
        )

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` prints it."""
        shown: dict[str, Any] = {"type": "PixelType", "precision": self.precision}
        if self.minimum is not None:
            shown["min"] = self.minimum
        if self.maximum is not None:
            shown["max"] = self.maximum
        if self.dimensions:
            shown["dimensions"] = self.dimensions
        return shown


FLOAT = PixelType("float")
DOUBLE = PixelType("double")


def type_of(dtype: np.dtype[Any], dimensions: int = 0) -> PixelType:
    """The pixel type of a NumPy type."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return PixelType("int", int(limits.min), int(limits.max), dimensions)
    if dtype.kind == "b":
        return PixelType("int", 0, 1, dimensions)
    return PixelType("float" if dtype.itemsize <= 4 else "double", dimensions=dimensions)


@dataclass(frozen=True, eq=False)
class Element:
    """Something with properties: a feature, an image, a collection."""

    properties: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """A property's value, or None where there is none."""
        return self.properties.get(name)

    def property_names(self) -> list[str]:
        """Names of its properties, in the order they were set."""
        return list(self.properties)

    def with_properties(self, properties: Mapping[str, Any]) -> Self:
        """The same element with these properties in place of its own."""
        return replace(self, properties=properties)

    def having(self, more: Mapping[str, Any]) -> Self:
        """The same element with some properties added or replaced."""
        return self.with_properties({**self.properties, **more})


@dataclass(frozen=True, eq=False)
class Feature(Element):
    """A geometry, which may be missing, with properties; ``system:index`` is its id."""

    geometry: Geometry | None = None


class Memoised:
    """An iterable that remembers what it gave, so that it is computed once, as far as it is asked.

    Args:
        source: walked once.
        depth: on how many others that are not wholly computed this one may draw.
    """

    def __init__(self, source: Iterable[Any], depth: int = 0) -> None:
        self._rest: Iterator[Any] | None = iter(source)
        self._known: list[Any] = []
        self._failure: Exception | None = None
        self._depth = depth
        self._lock = threading.RLock()

    @property
    def complete(self) -> bool:
        """Whether everything was computed."""
        return self._rest is None

    @property
    def depth(self) -> int:
        """How deep asking for an element may have to go; 0 when all are known."""
        return 0 if self.complete else self._depth

    def __iter__(self) -> Iterator[Any]:
        position = 0
        while True:
            if position == len(self._known):
                with self._lock:
                    if position == len(self._known) and not self._advance():
                        return
            yield self._known[position]
            position += 1

    def _advance(self) -> bool:
        # A generator that failed once ends quietly the next time, which would pass for a shorter collection.
        if self._failure is not None:
            raise self._failure
        if self._rest is None:
            return False
        charge(ELEMENTS_PER_APPLICATION)
        try:
            self._known.append(next(self._rest))
        except StopIteration:
            self._rest = None
            return False
        except Exception as failure:
            self._failure = failure
            raise
        return True

    def all(self) -> list[Any]:
        """Everything, computed now."""
        return list(self)


MAX_LAZY_DEPTH = 40
"""Collections made of one another before the elements are computed: each level takes Python frames."""


@dataclass(frozen=True, eq=False)
class Collection(Element):
    """Elements in order, computed as they are asked for.

    Args:
        elements: any iterable; wrapped so that each element is computed once.
        images: whether the elements are images.
        within: a collection of fewer elements that still has all whose ``system:time_start`` lies in
            [start, end), and all that have no time; for sources that need not look at every element to
            tell. None where it cannot be told.
    """

    elements: Iterable[Any] = ()
    images: bool = False
    within: Callable[[float | None, float | None], Collection] | None = None

    def __post_init__(self) -> None:
        """Wrap a one-shot iterable so that it can be walked many times."""
        if not isinstance(self.elements, (list, tuple, Memoised)):
            object.__setattr__(self, "elements", Memoised(self.elements))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.elements)

    @property
    def computed(self) -> bool:
        """Whether all elements are known."""
        return not isinstance(self.elements, Memoised) or self.elements.complete

    def first(self, count: int) -> list[Any]:
        """The first elements, without computing the others."""
        return list(islice(self, count))

    def size(self) -> int:
        """How many elements there are."""
        return len(self.elements) if isinstance(self.elements, (list, tuple)) else sum(1 for _ in self)

    def of(self, elements: Iterable[Any]) -> Collection:
        """Other elements under the same properties."""
        return Collection(self.properties, elements, self.images)

    def lazily(self, elements: Callable[[], Iterable[Any]], *others: Collection) -> Collection:
        """Elements made from this collection's (and others') when they are asked for, under its properties.

        A long chain of such collections is computed now and then, so that asking for an element never
        goes deeper than `MAX_LAZY_DEPTH` of them.

        Args:
            elements: called once, when the first element is asked for.
            others: what the elements are made from besides this collection.
        """
        sources = [one.elements for one in (self, *others) if isinstance(one.elements, Memoised)]
        depth = max((source.depth for source in sources), default=0)
        if depth >= MAX_LAZY_DEPTH:
            for source in sources:
                source.all()
            depth = 0
        return self.of(Memoised(_deferred(elements), depth + 1))


def _deferred(elements: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    yield from elements()
