"""The state of a local engine in one SQLite file: assets, rights, accounts, tasks.

Many threads read at once (WAL) while one writes, so a listing never waits for an export. A folder of state
may be open in several processes; who may sweep it or run its tasks is settled by locks that die with their
process, kill -9 included (https://www.sqlite.org/lockingv3.html).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gee.local.errors import EngineError

VERSION = 1
BUSY_SECONDS = 30.0  # another process may be writing; longer than any transaction of ours

_SCHEMA = """
CREATE TABLE projects (
    project TEXT PRIMARY KEY,
    policy TEXT NOT NULL
);
CREATE TABLE assets (
    name TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    type TEXT NOT NULL,
    properties TEXT NOT NULL,
    start_time INTEGER,
    end_time INTEGER,
    create_time INTEGER NOT NULL,
    version INTEGER NOT NULL,
    bands TEXT NOT NULL,
    geometry TEXT,
    size_bytes INTEGER NOT NULL,
    feature_count INTEGER,
    extra TEXT NOT NULL,
    content TEXT,
    files TEXT NOT NULL,
    mounted INTEGER NOT NULL,
    policy TEXT NOT NULL
);
CREATE INDEX assets_of_parent ON assets (parent, name);
CREATE INDEX assets_of_content ON assets (content);
CREATE TABLE account_keys (
    key_id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    public_key TEXT NOT NULL,
    token_uri TEXT NOT NULL
);
CREATE TABLE tokens (
    digest TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    expires REAL NOT NULL
);
CREATE TABLE operations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    body BLOB,
    caller TEXT NOT NULL,
    request_id TEXT,
    description TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'PENDING',
    attempt INTEGER NOT NULL DEFAULT 0,
    progress REAL NOT NULL DEFAULT 0,
    stages TEXT NOT NULL DEFAULT '[]',
    create_time INTEGER NOT NULL,
    start_time INTEGER,
    update_time INTEGER NOT NULL,
    end_time INTEGER,
    uris TEXT NOT NULL DEFAULT '[]',
    error TEXT,
    used_seconds REAL NOT NULL DEFAULT 0,
    UNIQUE (project, caller, request_id)
);
CREATE INDEX operations_waiting ON operations (state, priority DESC, sequence);
"""


def now_micros() -> int:
    """The time of the clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Database:
    """Connections to one SQLite file, shared by all threads of the process.

    Args:
        path: of the file; created, with its folder, when absent.

    Raises:
        EngineError: the file is not a state of the local engine, or of a newer one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._pool = threading.Lock()
        self._writer = threading.Lock()
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise EngineError(
                f"The state of the local engine in {path} cannot be read: {error}.", "FAILED_PRECONDITION"
            ) from error

    def _prepare(self) -> None:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > VERSION:
                raise EngineError(
                    f"{self.path} was written by a newer engine: version {found}, this reads {VERSION}.",
                    "FAILED_PRECONDITION",
                )
            if found == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._pool:
            if self._closed:
                raise EngineError("The local engine is shutting down.", "FAILED_PRECONDITION")
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        finally:
            with self._pool:
                keep = not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._borrowed() as connection:
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself where this fails
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    raise EngineError(
                        f"No space is left for the state of the local engine in {self.path}.",
                        "RESOURCE_EXHAUSTED",
                    ) from error
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view for reading, never blocked by a writer."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The only writer; what it wrote is kept when the block ends without an exception, else undone."""
        with self._writer, self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close every connection; those in use close when they are done."""
        with self._pool:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            try:
                connection.close()
            except sqlite3.Error:
                logging.getLogger(__name__).exception("closing %s", self.path)


class ProcessLock:
    """A lock between processes (and between holders within one) that the system frees at their death.

    Args:
        path: of the lock file, a SQLite file without content, since SQLite locks alike on every system.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)

    def exclusive(self) -> bool:
        """Take it alone, unless anybody else holds it; whether it was taken."""
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        return True

    def shared(self) -> None:
        """Take it beside other sharers, giving up an exclusive hold; waits for an exclusive holder."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def release(self) -> None:
        """Give it up for good."""
        self._connection.close()
