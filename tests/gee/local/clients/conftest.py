"""An account beside the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gee.connection import local_account
from gee.local.rest.process import Child


@pytest.fixture(scope="session")
def key_file(server: Child, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of a service account of the server, whose project is its own name."""
    key = local_account("alice-tester", Path(server.address.state))
    path = tmp_path_factory.mktemp("keys") / "alice.json"
    path.write_text(json.dumps(key), encoding="utf-8")
    return path
