"""One real server process for all clients, with a state of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ee
import pytest
from ee import _state

from gee.connection import connect, local_account
from gee.local.rest.process import Child, start

PROJECT = "my-project"

# Other tests replace these by the client's own mocks for good; here the client must be unmodified.
ORIGINAL = {
    name: getattr(ee.data, name)
    for name in (
        "_install_cloud_api_resource", "getAlgorithms", "computeValue", "getMapId", "getDownloadId",
        "getTableDownloadId",
    )
}  # fmt: skip


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A running local engine with Cloud Storage beside it."""
    child = start(tmp_path_factory.mktemp("state"), with_storage=True)
    yield child
    child.stop()
    assert child.process.returncode == 0


@pytest.fixture(scope="module")
def client(server: Child) -> Iterator[Child]:
    """The ee client, connected to the server."""
    before = _state._state
    with pytest.MonkeyPatch.context() as patch:
        for name, function in ORIGINAL.items():
            patch.setattr(ee.data, name, function)
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        _state._state = None
        connect(server.address.url, PROJECT)
        yield server
    _state._state = before


@pytest.fixture(scope="session")
def key_file(server: Child, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of a service account of the server, whose project is its own name."""
    key = local_account("alice-tester", Path(server.address.state))
    path = tmp_path_factory.mktemp("keys") / "alice.json"
    path.write_text(json.dumps(key), encoding="utf-8")
    return path
