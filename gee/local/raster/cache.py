"""Tiles that were computed before, kept for all requests.

Neighbouring requests, the months of one study and the zooms of one map ask for the same pixels of the same
nodes again; what is kept is bounded in bytes, because a node may be as wide as a province.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from gee.local.errors import EngineError


class TileCache:
    """Pixels computed before, by key, the least recently used dropped first; shared by all threads.

    Two threads that want the same tile compute it once: the second waits for the first.

    Args:
        limit: bytes kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._coming: dict[Any, Future[Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], tuple[Any, int]]) -> Any:
        """What is kept under ``key``, or what ``make`` gives with its size in bytes."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            coming = self._coming.get(key)
            mine = coming is None
            if coming is None:
                coming = self._coming[key] = Future()
        if not mine:
            try:
                return coming.result()
            except EngineError:
                return self.get(key, make)  # the other request gave up, perhaps for a reason of its own
        try:
            value, size = make()
        except BaseException as error:
            with self._lock:
                del self._coming[key]
            coming.set_exception(error)
            raise
        with self._lock:
            self._kept[key] = (value, size)
            self._size += size
            while self._size > self._limit and len(self._kept) > 1:
                _, (_, freed) = self._kept.popitem(last=False)
                self._size -= freed
            del self._coming[key]
        coming.set_result(value)
        return value

    def forget(self, belongs: Callable[[Any], bool]) -> None:
        """Drop what is kept under the keys that ``belongs`` says."""
        with self._lock:
            for key in [key for key in self._kept if belongs(key)]:
                self._size -= self._kept.pop(key)[1]
