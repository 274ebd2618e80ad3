"""Real ee client objects, evaluated by the engine without a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import ee
import pytest
from ee import apitestcase

import gee.local.algorithms  # noqa: F401  (registers the algorithms)
from gee.local import graph
from gee.local.context import Context, working
from gee.local.pixels import TileCache


@pytest.fixture(scope="session")
def offline_client() -> Iterator[None]:
    """The ee client with the algorithm list it ships, and no network."""
    case = apitestcase.ApiTestCase("run")
    case.InitializeApi()
    yield
    ee.Reset()


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
