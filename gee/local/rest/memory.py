"""The memory of the server's process: how much it takes, and where it ends.

A graph of a few lines can ask for more than the machine has. Most algorithms refuse that by themselves; what
slips through is stopped here: the system refuses the process more than a ceiling, which turns one huge
allocation into an error of one request, and computations that grow little by little are given up well below
it. Source: setrlimit(2), RLIMIT_DATA; proc(5), statm; mallopt(3), malloc_trim(3).
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

CEILING = 8 << 30  # bytes of private memory the process may map, or three quarters of the machine's
HIGH_WATER = 4 << 30  # resident bytes above which computations are given up, or half of the ceiling
_STATM = Path("/proc/self/statm")


def ceiling() -> int:
    """Bytes the process may take on this machine."""
    return min(CEILING, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4)


def high_water() -> int:
    """Resident bytes above which computations are given up."""
    return min(HIGH_WATER, ceiling() // 2)


def bound() -> None:
    """Have the system refuse this process more than the ceiling, where the system can."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = ceiling() if hard == resource.RLIM_INFINITY else min(ceiling(), hard)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def resident() -> int:
    """Bytes of memory the process takes now; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back() -> None:
    """Return to the system what has been freed."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
