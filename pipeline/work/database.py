"""One SQLite file that several threads and processes of a machine share.

Everything here is about what such a file does on a bad day: another writer, a full disk, a broken page, a
file of a newer program. WAL lets one process write while others read, and keeps what was committed through a
crash (https://www.sqlite.org/wal.html: on one machine, not over a network).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, EngineError

BUSY_SECONDS = 30.0  # another process may be writing; longer than any transaction of ours
SWITCH_SECONDS = 0.02  # a new file is switched to WAL in less


class Database:
    """A file of tables; made, with its folder, where there is none.

    Args:
        path: of the file.
        schema: version of the tables, from 1.
        tables: the statements that make them, separated by semicolons.
        remedy: what to do once a damaged file was moved away.

    Raises:
        DataError: the file is broken, of another program or of a newer schema, or cannot be opened.
    """

    def __init__(self, path: Path, schema: int, tables: str, remedy: str) -> None:
        self.path = path
        self._schema = schema
        self._remedy = remedy
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{path} cannot be opened: {error}") from error
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare(tables)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, tables: str) -> None:
        with self._told():
            self._connection.execute("BEGIN")  # one look, while another process may be making the tables
            self._check_schema()  # before anything is changed in a file that is another program's
            self._connection.execute("COMMIT")
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found.splitlines()[-1])
            self._write_ahead()
            self._connection.execute("PRAGMA synchronous = FULL")
        with self.write() as connection:
            if self._check_schema() == 0:
                for statement in tables.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {self._schema}")

    def _write_ahead(self) -> None:
        """Switch to WAL; of several processes that do so in a new file, SQLite lets some not even wait."""
        began = time.monotonic()
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() - began > BUSY_SECONDS:
                    raise
                time.sleep(SWITCH_SECONDS)
            else:
                return

    def _check_schema(self) -> int:
        (schema,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if schema > self._schema:
            raise DataError(
                f"{self.path} was written by a newer gee-smap (schema {schema}; this one reads "
                f"{self._schema}): update the program, or use another work directory."
            )
        if schema == 0 and tables:
            raise DataError(f"{self.path} is a database of something else: use another work directory.")
        return int(schema)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a query."""
        with self._lock, self._told():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The only writer of all processes; undone where the block ends with an exception."""
        with self._lock, self._told():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself where this fails
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors as ours, with what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise EngineError(
                    f"{self.path} has been locked by another process for {BUSY_SECONDS:.0f} s: try again."
                ) from error
            raise DataError(f"{self.path} cannot be used: {error}. Mend that and type it again.") from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path} is damaged or no database ({error}): move it and, if there are any, the files "
                f"{self.path.name}-wal and {self.path.name}-shm beside it away {self._remedy}."
            ) from error
