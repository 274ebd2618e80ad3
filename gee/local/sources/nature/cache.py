"""A cache bounded by bytes whose entries are made once, however many threads ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Keeps the entries used last, up to a number of bytes; an entry larger than that is not kept."""

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self._limit = limit
        self._size = size
        self._used = 0
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()
        self._making: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The entry of ``key``, made by ``make`` unless kept; a second thread waits for the first."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:
                if key in self._entries:
                    return self._entries[key]
            value = make()
            with self._lock:
                self._making.pop(key, None)
                self._entries[key] = value
                self._used += self._size(value)
                while self._used > self._limit:
                    _, dropped = self._entries.popitem(last=False)
                    self._used -= self._size(dropped)
            return value

    def clear(self) -> None:
        """Forget every entry."""
        with self._lock:
            self._entries.clear()
            self._used = 0
