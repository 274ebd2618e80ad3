"""Images that stay in Cloud Storage: assets backed by Cloud Optimized GeoTIFFs, pinned to a generation.

An object is fetched once and kept beside the state; whether it is still of the generation the asset was
made of is asked again and again, because overwriting it breaks the asset in Earth Engine too
(Earth_Engine_asset_from_cloud_geotiff). Google reads ranges of the object; here it is read whole.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path

from gee.local.assets.buckets import Buckets, ObjectUri
from gee.local.assets.geotiffs import storing
from gee.local.errors import EngineError

TRUSTED_SECONDS = 1.0  # how long an object is taken for unchanged while its pixels are read


class ObjectFiles:
    """Objects of Cloud Storage as files.

    Args:
        buckets: where they are.
        folder: where copies are kept; made when absent.
    """

    def __init__(self, buckets: Buckets, folder: Path) -> None:
        self._buckets = buckets
        self._folder = folder
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._checked: dict[str, float] = {}

    def check(self, uri: str) -> None:
        """Make sure that an object is still of its generation.

        Raises:
            EngineError: it is not, or cannot be seen.
        """
        pinned = ObjectUri.parse(uri)
        if self._buckets.find(pinned) != pinned:
            raise EngineError(f"Failed to load the GeoTIFF at {uri}", "FAILED_PRECONDITION")
        self._checked[uri] = time.monotonic()

    def path(self, uri: str) -> Path:
        """A file with the content of an object.

        Raises:
            EngineError: the object is no longer of its generation, or cannot be read.
        """
        if time.monotonic() - self._checked.get(uri, -TRUSTED_SECONDS) >= TRUSTED_SECONDS:
            self.check(uri)
        path = self._folder / f"{hashlib.sha256(uri.encode()).hexdigest()[:32]}.tif"
        with self._lock:
            lock = self._locks[uri]
        with lock:
            if not path.exists():
                self._fetch(uri, path)
        return path

    def _fetch(self, uri: str, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            with storing(self._folder):
                self._buckets.download(ObjectUri.parse(uri), unfinished, lambda: None)
            self.check(uri)  # it may have been overwritten while it was read
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
