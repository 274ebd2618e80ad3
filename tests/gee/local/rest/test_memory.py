"""The memory of the process: measured as the system does, and refused beyond the ceiling."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from gee.local.rest import memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system tells and refuses memory on Linux"
)


def test_resident_memory_is_what_the_system_tells() -> None:
    block = bytearray(os.urandom(1) * (64 << 20))
    told = psutil.Process().memory_info().rss
    assert abs(memory.resident() - told) < 16 << 20
    assert len(block) == 64 << 20


def test_the_marks_lie_within_the_machine() -> None:
    assert 0 < memory.high_water() < memory.ceiling() < psutil.virtual_memory().total


def test_an_allocation_beyond_the_ceiling_is_an_error_and_the_process_goes_on() -> None:
    script = (
        "from gee.local.rest import memory\n"
        "import numpy as np\n"
        "memory.bound()\n"
        "try:\n"
        "    np.empty(memory.ceiling(), np.uint8)\n"
        "except MemoryError:\n"
        "    print(np.ones(1000).sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1000.0\n"
