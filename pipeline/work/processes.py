"""Who does something, and whether that process still lives.

A number alone does not tell: it is given again to another process. The time at which a process began does,
counted from the machine's start where the system says so, since the clock may be set meanwhile. A process of
another machine, or of a container, cannot be asked; it counts as dead when for a while nothing changed.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

import psutil  # type: ignore[import-untyped]

STRANGER_SECONDS = 120.0  # longer than the client tries one request
_BOOT = Path("/proc/sys/kernel/random/boot_id")  # Linux; "began" there counts clock ticks since the boot
_ENDED = "ZX"  # states of a process that has ended and was not waited for


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: name of its machine.
        pid: its number there.
        began: what tells it from others of that number.
    """

    host: str
    pid: int
    began: str

    @classmethod
    @cache
    def _of(cls, pid: int) -> Self:
        return cls(platform.node(), pid, _began(pid) or "")

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls._of(os.getpid())  # another one after a fork

    @classmethod
    def parse(cls, text: str) -> Self:
        """The owner that ``str`` wrote."""
        host, pid, began = text.rsplit(" ", 2)
        return cls(host, int(pid), began)

    def __str__(self) -> str:
        return f"{self.host} {self.pid} {self.began}"


@dataclass
class Witness:
    """Tells whether owners live.

    Attributes:
        patience: seconds after which one of another machine counts as dead if it still holds the same thing.
    """

    patience: float = STRANGER_SECONDS
    _met: dict[str, tuple[Owner, float]] = field(default_factory=dict)

    def alive(self, thing: str, owner: Owner | None) -> bool:
        """Whether another process than this one holds a thing, and lives.

        Args:
            thing: that it holds.
            owner: the process; None is nobody.
        """
        if owner is None or owner == Owner.current():
            return False
        if owner.host == platform.node():
            return _began(owner.pid) == owner.began
        known, since = self._met.get(thing, (None, 0.0))
        if known != owner:
            since = time.monotonic()
            self._met[thing] = (owner, since)
        return time.monotonic() - since < self.patience


def _began(pid: int) -> str | None:
    """When a process began, as text without spaces; None where there is none of that number."""
    if _BOOT.exists():
        try:
            told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        values = told.rpartition(")")[2].split()  # proc(5): the name, in brackets, may hold anything
        return None if values[0] in _ENDED else f"{_BOOT.read_text(encoding='ascii').strip()}/{values[19]}"
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
