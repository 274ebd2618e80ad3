"""A store of assets that is empty, and the library that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gee.local.assets.iam import LOCAL_USER
from gee.local.assets.library import StoreLibrary
from gee.local.assets.store import AssetStore
from gee.local.assets.stored import StoredAssets
from gee.local.context import Context, working
from gee.local.raster.cache import TileCache
from gee.local.rest.assembly import open_store
from gee.local.sources import catalogue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AssetStore]:
    """A store without assets."""
    with open_store(tmp_path / "state", "my-project") as opened:
        yield opened


@pytest.fixture
def library(store: AssetStore) -> Iterator[StoreLibrary]:
    """What expressions read of it, as the local user."""
    found = StoreLibrary(store, StoredAssets(store), catalogue.find, LOCAL_USER)
    with working(Context(found, TileCache(2**26))):
        yield found
