"""Real ee client objects, evaluated by the engine without a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ee
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as cloud

import gee.local.algorithms  # noqa: F401  (registers the algorithms)
from gee.local import graph
from gee.local.assets.iam import LOCAL_USER, Identity
from gee.local.context import Context, working
from gee.local.raster.cache import TileCache
from gee.local.rest.api import Api
from gee.local.rest.assembly import assemble
from gee.local.rest.storage import start_storage


@pytest.fixture
def context() -> Context:
    """A context without assets."""

    def nothing(asset_id: str) -> Any:
        raise AssertionError(f"this test loads no asset, but asked for {asset_id}")

    library = SimpleNamespace(image=nothing, collection=nothing, table=nothing)
    return Context(library=library, tiles=TileCache(64 * 2**20))


@pytest.fixture
def compute(offline_client: None, context: Context) -> Iterator[Callable[[Any], Any]]:
    """From an ee object to the engine's value of it, through the JSON a server would get."""

    def run(thing: Any) -> Any:
        expression = json.loads(json.dumps(ee.serializer.encode(thing, for_cloud_api=True)))
        return graph.evaluate(graph.decode(expression))

    # Collections are lazy: their elements are computed in the test, in the same context.
    with working(context):
        yield run


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Cloud Storage emulator with an empty bucket named ``bucket``."""
    running = start_storage(
        tmp_path_factory.mktemp("storage"), tmp_path_factory.mktemp("log") / "storage.log"
    )
    cloud_client(running.url).create_bucket("bucket")
    yield running.url
    running.stop()


def cloud_client(url: str) -> cloud.Client:
    return cloud.Client(
        project="my-project", credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
    )


@dataclass
class Local:
    """A local engine without HTTP: tasks are submitted as the server submits them."""

    api: Api
    bucket: cloud.Bucket
    state: Path

    def submit(self, kind: str, body: Any, caller: Identity = LOCAL_USER) -> str:
        self.api.checks[kind](body, caller)
        return str(self.api.tasks.submit("my-project", kind, body, caller)["name"])

    def run(self, kind: str, body: Any, caller: Identity = LOCAL_USER) -> dict[str, Any]:
        """The operation of a task once it is done."""
        return self.api.tasks.wait(self.submit(kind, body, caller), 30)

    def message(self, kind: str, body: Any, caller: Identity = LOCAL_USER) -> str:
        """Why a task failed."""
        operation = self.run(kind, body, caller)
        assert operation["metadata"]["state"] == "FAILED"
        return str(operation["error"]["message"])

    def export(self, task: ee.batch.Task, kind: str = "EXPORT_IMAGE") -> dict[str, Any]:
        return self.run(kind, body_of(task))

    def fetch(self, name: str, folder: Path) -> Path:
        path = folder / name.replace("/", "_")
        self.bucket.blob(name).download_to_filename(str(path))
        return path

    def names(self, prefix: str) -> list[str]:
        return sorted(blob.name for blob in self.bucket.list_blobs(prefix=prefix))

    @contextmanager
    def evaluated(self, thing: Any, caller: Identity = LOCAL_USER) -> Iterator[Any]:
        context = self.api.engine.context(caller)
        with self.api.engine.evaluated(expression_of(thing), caller, context) as value:
            yield value


def expression_of(thing: Any) -> Any:
    return json.loads(json.dumps(ee.serializer.encode(thing, for_cloud_api=True)))


def body_of(task: ee.batch.Task) -> dict[str, Any]:
    """The request the real client would send for a task."""
    body = dict(task.config)
    return {**body, "expression": expression_of(body["expression"])}


@pytest.fixture
def local(tmp_path: Path, storage: str, offline_client: None) -> Iterator[Local]:
    """A local engine over an empty state, with the emulator's bucket."""
    with assemble(tmp_path / "state", "my-project", storage) as api:
        yield Local(api, cloud_client(storage).bucket("bucket"), tmp_path / "state")
