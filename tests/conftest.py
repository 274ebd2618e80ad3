"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ee
import pytest
from ee import _state

from gee.connection import connect
from gee.local.rest.process import Child, start
from pipeline.work.workdir import WorkDir
from tests.pipeline import reviewed

PROJECT = "my-project"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Some tests replace these by the client's own mocks for good; here the client must be unmodified.
ORIGINAL = {
    name: getattr(ee.data, name)
    for name in (
        "_install_cloud_api_resource", "getAlgorithms", "computeValue", "getMapId", "getDownloadId",
        "getTableDownloadId",
    )
}  # fmt: skip


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real observations beside the checkout; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real observations are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def reviewed_work(tmp_path_factory: pytest.TempPathFactory) -> WorkDir:
    """A finished work directory with every result that a report shows, simulated; copy it to change it."""
    return reviewed.make(tmp_path_factory.mktemp("reviewed"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A running local engine with Cloud Storage beside it and a state of its own."""
    child = start(tmp_path_factory.mktemp("state"), with_storage=True)
    yield child
    child.stop()
    assert child.process.returncode == 0


@pytest.fixture(scope="module")
def real_client() -> Iterator[None]:
    """The ee client as it comes, connected to nothing yet."""
    before = _state._state
    with pytest.MonkeyPatch.context() as patch:
        for name, function in ORIGINAL.items():
            patch.setattr(ee.data, name, function)
        _state._state = None
        yield
    _state._state = before


@pytest.fixture(scope="module")
def client(server: Child, real_client: None) -> Iterator[Child]:
    """The ee client, connected to the server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        connect(server.address.url, PROJECT)
        yield server
