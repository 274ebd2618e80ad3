"""What the routes of the REST API work with: a server's parts, one call, what waits to be fetched.

Maps, thumbnails and tables are created by one request and fetched by others, without credentials: their
names cannot be guessed and they are computed on behalf of their creator, as Earth Engine does.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gee.local.assets.accounts import Accounts
from gee.local.assets.iam import Identity
from gee.local.assets.names import LEGACY
from gee.local.assets.store import AssetStore
from gee.local.batch.tasks import TaskQueue
from gee.local.context import Context
from gee.local.engine import Drawing, Engine
from gee.local.errors import EngineError
from gee.local.rest import payload
from gee.local.results.rasters import File

DRAWINGS_KEPT = 10_000  # maps, thumbnails and tables created and not forgotten yet
DRAWING_BYTES_KEPT = 64 << 20  # of their request bodies


@dataclass
class Call:
    """One request.

    Args:
        root: URL of the server.
        version: of the API, from the path.
        path: named parts of the path.
        query: parameters of the query.
        raw: the body.
        authorization: the header.
        watch: called with the context of a computation, so that it can be stopped.
    """

    root: str
    version: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes
    authorization: str | None
    watch: Callable[[Context], None] = field(default=lambda context: None)

    def body(self) -> dict[str, Any]:
        """The JSON object of the body."""
        return payload.parse(self.raw)

    def number(self, name: str) -> int | None:
        """A whole number of the query.

        Raises:
            EngineError: it is none.
        """
        text = self.query.get(name)
        if text in (None, ""):
            return None
        if not re.fullmatch(r"\d{1,9}", text or ""):
            raise EngineError(f"Invalid value at '{name}' (TYPE_INT32), \"{text}\".")
        return int(text or 0)


Answer = dict[str, Any] | bytes | File
"""JSON, JSON as bytes, or a file."""


class Drawings:
    """What was created to be fetched later, by an id that only its creator learns."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(16)
        self._kept: OrderedDict[str, tuple[Drawing, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, kind: str, project: str, drawing: Drawing, body: bytes) -> str:
        """Keep a drawing; the same request of the same caller has the same name."""
        content = f"{kind} {project} {drawing.caller} ".encode() + body
        digest = hashlib.blake2b(content, key=self._secret, digest_size=16).hexdigest()
        name = f"projects/{project}/{kind}/{digest}"
        with self._lock:
            self._drop(name)
            self._kept[name] = (drawing, len(body))
            self._size += len(body)
            while len(self._kept) > DRAWINGS_KEPT or self._size > DRAWING_BYTES_KEPT:
                self._drop(next(iter(self._kept)))
        return name

    def _drop(self, name: str) -> None:
        found = self._kept.pop(name, None)
        self._size -= found[1] if found else 0

    def get(self, name: str) -> Drawing:
        """The drawing of a name.

        Raises:
            EngineError: it never was, or has been forgotten.
        """
        with self._lock:
            if name not in self._kept:
                raise EngineError(f"'{name}' not found.", "NOT_FOUND")
            self._kept.move_to_end(name)
            return self._kept[name][0]


class Api:
    """Everything a server serves.

    Args:
        engine: computes.
        store: of assets.
        tasks: the batch queue.
        accounts: tell callers apart.

    Attributes:
        checks: by type of task, what refuses a request before it is queued.
        external: makes an asset of files in Cloud Storage that stay there.
    """

    def __init__(self, engine: Engine, store: AssetStore, tasks: TaskQueue, accounts: Accounts) -> None:
        self.engine = engine
        self.store = store
        self.tasks = tasks
        self.accounts = accounts
        self.drawings = Drawings()
        self.checks: dict[str, Callable[[Mapping[str, Any], Identity], None]] = {}
        self.external: Callable[[Mapping[str, Any], Identity], dict[str, Any]] | None = None

    def caller(self, call: Call) -> Identity:
        """Who calls."""
        return self.accounts.identify(call.authorization)

    def admitted(self, call: Call, permission: str) -> Identity:
        """Who calls, if he may do so in the project of the path."""
        caller = self.caller(call)
        project = call.path.get("project") or call.path["name"].split("/")[1]
        # Clients that were given no project name the legacy one, which bills nobody.
        if project != LEGACY:
            self.store.access.require(caller, permission, f"projects/{project}")
        return caller

    def context(self, call: Call, caller: Identity) -> Context:
        """Surroundings of a computation, which the server may stop."""
        context = self.engine.context(caller)
        call.watch(context)
        return context
