"""The local engine behind a proxy, a bucket, and what became of the tasks."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ee
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from gee.connection import connect
from gee.local.rest.process import Child
from pipeline.work.ledger import Ledger
from tests.pipeline.exporting.tiny import PROJECT
from tests.pipeline.faulty_engine import Proxy, proxy_before

OPERATIONS = f"projects/{PROJECT}/operations"


@pytest.fixture(scope="module")
def _proxy(server: Child, real_client: None) -> Iterator[Proxy]:
    with proxy_before(server.address.url) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        connect(proxy.url, PROJECT)
        ee.data.setMaxRetries(0)  # the client's own patience takes minutes
        yield proxy


@pytest.fixture(scope="session")
def bucket(server: Child) -> storage.Bucket:
    """A bucket of the local Cloud Storage."""
    client = storage.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": server.address.storage},
    )
    return client.create_bucket("tiny-exports")


_seeds = itertools.count(1)


@pytest.fixture
def seed() -> int:
    """A number that makes this test's tasks others than those of all other tests."""
    return next(_seeds)


@pytest.fixture
def at_engine(server: Child) -> Callable[[Any], dict[str, list[str]]]:
    """The states of the engine's operations by the name of the task, the last first; asked past the proxy."""

    def found(plan: Any) -> dict[str, list[str]]:
        names = {product.description: product.name for product in plan.products}
        states: dict[str, list[str]] = {}
        with urllib.request.urlopen(f"{server.address.url}/v1/{OPERATIONS}", timeout=30) as answer:  # noqa: S310
            for operation in json.load(answer).get("operations", []):
                told = operation["metadata"]
                if told["description"] in names:
                    states.setdefault(names[told["description"]], []).append(told["state"])
        return states

    return found


@pytest.fixture
def in_ledger(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """The states of the tasks in the ledger of ``tmp_path`` by the name of the product."""

    def states() -> dict[str, str]:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            return {row.product: row.state for row in ledger.tasks()}

    return states
