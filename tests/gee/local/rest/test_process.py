"""The local engine as a process: its one line, its end, and what is left after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gee.local.errors import EngineError
from gee.local.rest.process import Address, Child, running, start


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return start(tmp_path / "state", with_storage=True)


def get(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=10)  # noqa: S310 - an address on loopback


def ended(pid: int, seconds: float = 15) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_served_state_is_found_and_let_go_on_sigterm(child: Child, tmp_path: Path) -> None:
    address = child.address
    assert address.url.startswith("http://127.0.0.1:")
    assert address.storage is not None
    assert running(tmp_path / "state") == address
    with get(f"{address.storage}/storage/v1/b?project=p") as answer:
        assert json.load(answer)["kind"] == "storage#buckets"
    with pytest.raises(EngineError, match="Another local engine runs"):
        start(tmp_path / "state")
    os.kill(address.pid, signal.SIGTERM)
    assert child.process.wait(15) == 0
    assert running(tmp_path / "state") is None
    with pytest.raises(OSError, match="refused"):
        get(f"{address.storage}/storage/v1/b?project=p")


def test_a_server_and_its_storage_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from gee.local.rest.process import start\n"
        f"child = start(Path({str(tmp_path / 'state')!r}), with_storage=True)\n"
        "print(child.address.pid, child.address.url, child.address.storage, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, _, storage = parent.stdout.readline().split()
    parent.kill()
    parent.communicate()
    assert ended(int(pid))
    with pytest.raises(OSError, match="refused"):
        get(f"{storage}/storage/v1/b?project=p")


def test_a_port_that_is_taken_is_told(child: Child, tmp_path: Path) -> None:
    port = int(child.address.url.rpartition(":")[2])
    with pytest.raises(EngineError, match=f"Port {port} cannot be used"):
        start(tmp_path / "other", port=port)
    child.stop()


def test_an_address_that_nobody_serves_any_more_is_none(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    stale = Address("http://127.0.0.1:9", None, str(tmp_path), 2**22 - 1)
    (tmp_path / "server.json").write_text(json.dumps(stale.__dict__), encoding="utf-8")
    assert running(tmp_path) is None
