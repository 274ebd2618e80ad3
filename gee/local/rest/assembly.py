"""One local engine from its parts: store, catalogue, engine, queue and accounts over one folder of state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gee import limits
from gee.local.assets import library
from gee.local.assets.accounts import Accounts
from gee.local.assets.buckets import Buckets
from gee.local.assets.external import ObjectFiles
from gee.local.assets.iam import Identity
from gee.local.assets.library import StoreLibrary
from gee.local.assets.store import AssetStore
from gee.local.assets.stored import StoredAssets
from gee.local.batch.tasks import TaskQueue
from gee.local.engine import Engine
from gee.local.rest import runners
from gee.local.rest.api import Api
from gee.local.sources import catalogue

STOP_SECONDS = 10.0  # for running tasks to notice that the engine closes


@contextmanager
def open_store(state: Path, project: str) -> Iterator[AssetStore]:
    """The assets of a state, over the simulated catalogue, until the block ends."""
    store = AssetStore(
        state,
        default_project=project,
        catalogue=partial(library.describe, catalogue.find),
        catalogue_children=partial(library.children, catalogue.find),
    )
    try:
        yield store
    finally:
        store.close()


@contextmanager
def assemble(state: Path, project: str, storage: str | None = None) -> Iterator[Api]:
    """Everything a server serves, with its queue running until the block ends.

    Args:
        state: folder of the state; made when absent.
        project: that is there from the start.
        storage: URL of a Cloud Storage emulator; None takes STORAGE_EMULATOR_HOST, or Google's own.

    Raises:
        EngineError: the folder holds something else, or another engine runs on it.
    """
    with open_store(state, project) as store:
        buckets = Buckets(storage or os.environ.get("STORAGE_EMULATOR_HOST"))
        stored = StoredAssets(store, ObjectFiles(buckets, state / "objects"))

        def library_of(caller: Identity) -> StoreLibrary:
            return StoreLibrary(store, stored, catalogue.find, caller)

        engine = Engine(store, library_of)
        queue = TaskQueue(store.database, limits.CONCURRENT_TASKS, limits.PENDING_TASKS)
        api = Api(engine, store, queue, Accounts(store.database))
        runners.register(api, buckets)
        queue.start()
        try:
            yield api
        finally:
            queue.close(STOP_SECONDS)
            engine.close()
