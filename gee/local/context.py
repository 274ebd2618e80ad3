"""What a computation may reach beside its own graph: the assets, the caller, the caches, the clock.

A request sets its context once; algorithms that load assets or pixels ask for it. Keeping it out of
the arguments keeps definitions functions of what Earth Engine documents.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gee.local import limits
from gee.local.errors import EngineError

if TYPE_CHECKING:
    from gee.local.raster.cache import TileCache
    from gee.local.raster.pixels import Pixels, Plan


class Library(Protocol):
    """Where assets are found: the asset store, what is mounted, the simulated catalogue."""

    def image(self, asset_id: str) -> Any:
        """The image of this id."""

    def collection(self, asset_id: str) -> Any:
        """The image collection of this id."""

    def table(self, asset_id: str) -> Any:
        """The feature collection of this id."""


OUT_OF_MEMORY = "User memory limit exceeded."  # guides/debugging


@dataclass
class Context:
    """One request's surroundings.

    Args:
        library: where ``Image.load`` and its kin look, already bound to the caller's rights.
        tiles: pixels computed before, shared by all requests.
        deadline: ``time.monotonic()`` after which the computation is given up; None for batch tasks.
        budget: how many algorithm applications, or what takes as long, are left.
        stopped: set by whoever cancels the request.
        starved: set by whoever watches over the memory.
        prepared: pixel nodes that know they will be computed.
        expected: by scene, the bands that will be read.
        plans: in which order nodes are computed.
    """

    library: Library
    tiles: TileCache
    deadline: float | None = None
    budget: int = limits.BATCH_WORK
    stopped: bool = False
    starved: bool = False
    prepared: set[Pixels] = field(default_factory=set)
    expected: dict[bytes, set[str]] = field(default_factory=dict)
    plans: dict[Any, Plan] = field(default_factory=dict)

    def check(self) -> None:
        """Give up when the time is over, memory is short or the request was cancelled.

        Raises:
            EngineError: as Earth Engine words it.
        """
        if self.stopped:
            raise EngineError("The computation was cancelled.", "FAILED_PRECONDITION")
        if self.starved:
            raise EngineError(OUT_OF_MEMORY)
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise EngineError("Computation timed out.")

    def spend(self, applications: int = 1) -> None:
        """Count algorithm applications against the budget.

        Raises:
            EngineError: the graph asks for more than any honest one.
        """
        self.budget -= applications
        if self.budget < 0:
            raise EngineError(OUT_OF_MEMORY)
        self.check()


_CURRENT: ContextVar[Context] = ContextVar("context")


def current() -> Context:
    """The context of the request this thread works for."""
    return _CURRENT.get()


def charge(elements: int) -> None:
    """Count work on the elements of a list against the budget, where a request is being worked for.

    Raises:
        EngineError: the graph asks for more than any honest one, or is to be given up.
    """
    context = _CURRENT.get(None)
    if context is not None:
        context.spend(elements // limits.ELEMENTS_PER_APPLICATION)


@contextmanager
def working(context: Context) -> Iterator[Context]:
    """Work in a context until the block ends."""
    token = _CURRENT.set(context)
    try:
        yield context
    finally:
        _CURRENT.reset(token)
