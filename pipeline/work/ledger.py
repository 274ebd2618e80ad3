"""What has been done in a work directory: tasks, objects, assets and runs, in one SQLite file.

A run may be killed at any moment and started again, by two people at once; so whatever must not happen twice
is claimed here before it is begun, in a transaction that only one process can win, and a claim lasts no
longer than its process. Order is that of rows and attempts, never of clocks, which may be set back.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pipeline.errors import DataError, EngineError
from pipeline.work.database import Database
from pipeline.work.processes import Owner, Witness

SCHEMA = 1
_REMEDY = "and run gee-smap export again, which finds the tasks that the engine still knows"

TaskState = Literal["planned", "claimed", "submitted", "running", "succeeded", "failed", "cancelled", "split"]
"""``split``: two smaller tasks stand in its place."""
State = Literal["planned", "claimed", "submitted", "running", "succeeded", "failed", "cancelled"]
ACTIVE = ("submitted", "running")

_TABLES = f"""
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task TEXT NOT NULL UNIQUE,
    product TEXT NOT NULL,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'planned' CHECK (state IN {get_args(TaskState)}),
    operation TEXT,
    request TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,
    planned TEXT NOT NULL,
    submitted TEXT,
    started TEXT,
    ended TEXT,
    error TEXT,
    eecu_seconds REAL
);
CREATE TABLE spent (
    operation TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    eecu_seconds REAL
);
CREATE TABLE objects (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    bucket TEXT NOT NULL,
    task TEXT,
    generation INTEGER,
    size INTEGER,
    crc32c TEXT,
    path TEXT,
    state TEXT NOT NULL,
    changed TEXT NOT NULL
);
CREATE TABLE assets (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN {get_args(State)}),
    operation TEXT,
    day TEXT,
    error TEXT,
    claimed_by TEXT,
    changed TEXT NOT NULL
);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    command TEXT NOT NULL,
    started TEXT NOT NULL,
    ended TEXT,
    seconds REAL,
    outcome TEXT,
    code_version TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class TaskRow:
    """An export task.

    Attributes:
        task: its name, with the hash of what it computes.
        product: name of the product, such as ``dynamic-2019-04``.
        kind: ``image``, ``asset`` or ``table``.
        destination: where its files go, such as ``gs://bucket/prefix``.
        state: how far it is.
        operation: the engine's name for the last submission.
        request: what makes two submissions of one attempt the same to the engine.
        attempts: how often it was submitted, or begun to be.
        claimed_by: who is submitting it.
        planned: when it came into the ledger (UTC).
        submitted: when the engine took it, by the engine's clock, as are the following.
        started: when it began to run.
        ended: when it ended.
        error: the engine's words where it failed last.
        eecu_seconds: Earth Engine compute units of the last attempt, where the engine tells.
    """

    task: str
    product: str
    kind: str
    destination: str
    state: TaskState = "planned"
    operation: str | None = None
    request: str | None = None
    attempts: int = 0
    claimed_by: Owner | None = None
    planned: dt.datetime | None = None
    submitted: dt.datetime | None = None
    started: dt.datetime | None = None
    ended: dt.datetime | None = None
    error: str | None = None
    eecu_seconds: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it ran, by the engine's clock."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


@dataclass(frozen=True)
class ObjectRow:
    """An object of Cloud Storage.

    Attributes:
        name: in the bucket.
        bucket: which.
        task: that made it, for an export.
        generation: of the object, as Cloud Storage numbers them.
        size: bytes.
        crc32c: base64, as Cloud Storage gives it.
        path: of the local file.
        state: whatever its part of the pipeline says, such as ``downloaded`` or ``uploaded``.
    """

    name: str
    bucket: str
    task: str | None = None
    generation: int | None = None
    size: int | None = None
    crc32c: str | None = None
    path: Path | None = None
    state: str = "planned"


@dataclass(frozen=True)
class AssetRow:
    """An asset that is published.

    Attributes:
        id: of the asset.
        content: hash of what it holds.
        state: how far it is.
        operation: of its ingestion.
        day: that it shows.
        error: the engine's words where it failed last.
        claimed_by: who is submitting it.
    """

    id: str
    content: str
    state: State = "planned"
    operation: str | None = None
    day: dt.date | None = None
    error: str | None = None
    claimed_by: Owner | None = None


@dataclass(frozen=True)
class RunRow:
    """A command that was run.

    Attributes:
        command: as typed.
        started: when (UTC).
        ended: when; None while it runs, or where it was killed.
        seconds: how long it took, whatever the clock was set to meanwhile.
        outcome: ``done``, ``interrupted`` or the error.
        code_version: of the program.
    """

    command: str
    started: dt.datetime
    ended: dt.datetime | None
    seconds: float | None
    outcome: str | None
    code_version: str


Row = TypeVar("Row", TaskRow, ObjectRow, AssetRow, RunRow)


class Ledger:
    """The ledger of a work directory; made where there is none.

    One object may be used by all threads of a process.

    Args:
        path: of the file; its folder is made.

    Raises:
        DataError: the file is broken, no ledger, or one of a newer program.
    """

    def __init__(self, path: Path) -> None:
        self._file = Database(path, SCHEMA, _TABLES, _REMEDY)
        self._witness = Witness()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _one(self, query: str, *values: Any) -> sqlite3.Row | None:
        return next(iter(self._file.read(query, *values)), None)

    # Objects

    def object(self, name: str) -> ObjectRow | None:
        """What is known of an object, by its name in the bucket."""
        found = self._one("SELECT * FROM objects WHERE name = ?", name)
        return None if found is None else _row(ObjectRow, found)

    def objects(self) -> tuple[ObjectRow, ...]:
        """All objects, in the order in which they became known."""
        return tuple(_row(ObjectRow, row) for row in self._file.read("SELECT * FROM objects ORDER BY number"))

    def put_object(self, row: ObjectRow) -> None:
        """Record an object, in place of what was known of that name."""
        with self._file.write() as connection:
            _put(connection, "objects", "name", row)

    # Assets

    def asset(self, id: str) -> AssetRow | None:
        """What is known of a published asset."""
        found = self._one("SELECT * FROM assets WHERE id = ?", id)
        return None if found is None else _row(AssetRow, found)

    def assets(self) -> tuple[AssetRow, ...]:
        """All published assets, in the order in which they became known."""
        return tuple(_row(AssetRow, row) for row in self._file.read("SELECT * FROM assets ORDER BY number"))

    def put_asset(self, row: AssetRow) -> None:
        """Record an asset, in place of what was known of that id."""
        with self._file.write() as connection:
            _put(connection, "assets", "id", row)

    def claim_asset(self, row: AssetRow) -> bool:
        """Record an asset as this process's to submit, unless a process that lives is submitting it.

        Args:
            row: what it is to be; its state and owner are set here.

        Returns:
            Whether it is now ours. What it was before is for the caller to look at beforehand.
        """
        with self._file.write() as connection:
            found = connection.execute("SELECT * FROM assets WHERE id = ?", (row.id,)).fetchone()
            known = None if found is None else _row(AssetRow, found)
            if known and known.state == "claimed" and self._witness.alive(row.id, known.claimed_by):
                return False
            _put(connection, "assets", "id", replace(row, state="claimed", claimed_by=Owner.current()))
        return True

    # Tasks

    def task(self, name: str) -> TaskRow | None:
        """What is known of a task."""
        found = self._one("SELECT * FROM tasks WHERE task = ?", name)
        return None if found is None else _row(TaskRow, found)

    def tasks(self) -> tuple[TaskRow, ...]:
        """All tasks, in the order in which they became known."""
        return tuple(_row(TaskRow, row) for row in self._file.read("SELECT * FROM tasks ORDER BY number"))

    def spent(self) -> frozenset[str]:
        """The operations that belonged to tasks before they were planned again."""
        return frozenset(row["operation"] for row in self._file.read("SELECT operation FROM spent"))

    def eecu_seconds(self) -> float | None:
        """Earth Engine compute units of all attempts; None where the engine told of none."""
        found = self._file.read(
            "SELECT sum(eecu_seconds) AS total FROM "
            "(SELECT eecu_seconds FROM tasks UNION ALL SELECT eecu_seconds FROM spent)"
        )
        return None if found[0]["total"] is None else float(found[0]["total"])

    def add(self, rows: Iterable[TaskRow]) -> None:
        """Record tasks as planned; of one that is planned already the destination is set, others stay."""
        with self._file.write() as connection:
            connection.executemany(
                "INSERT INTO tasks (task, product, kind, destination, planned) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (task) DO UPDATE SET destination = excluded.destination, "
                "request = CASE WHEN destination = excluded.destination THEN request END "
                "WHERE state = 'planned'",
                [(row.task, row.product, row.kind, row.destination, _now()) for row in rows],
            )

    def claim(self, name: str) -> TaskRow | None:
        """Make a planned task this process's to submit, or one whose claimant is dead.

        The attempt of a dead claimant may have reached the engine, so it goes on as the same attempt, with
        the same ``request``.

        Returns:
            The task as claimed, or None where it is no longer planned, or another process is submitting it.
        """
        with self._file.write() as connection:
            found = connection.execute("SELECT * FROM tasks WHERE task = ?", (name,)).fetchone()
            if found is None or found["state"] not in ("planned", "claimed"):
                return None
            row = _row(TaskRow, found)
            if row.claimed_by is not None and self._witness.alive(name, row.claimed_by):
                return None
            claimed = replace(row, state="claimed", claimed_by=Owner.current())
            if row.request is None:
                claimed = replace(claimed, request=str(uuid.uuid4()), attempts=row.attempts + 1)
            _put(connection, "tasks", "task", claimed)
        return claimed

    def change(self, before: TaskRow, after: TaskRow) -> bool:
        """Record what became of a task, unless another process has recorded something meanwhile.

        Args:
            before: as it was read.
            after: as it is now. An operation that it no longer has is spent, and never adopted again.

        Returns:
            Whether the ledger still held the state, the attempt and the operation of ``before``.
        """
        with self._file.write() as connection:
            found = connection.execute("SELECT * FROM tasks WHERE task = ?", (before.task,)).fetchone()
            if found is None or _mark(_row(TaskRow, found)) != _mark(before):
                return False
            if before.operation is not None and after.operation != before.operation:
                connection.execute(
                    "INSERT OR IGNORE INTO spent VALUES (?, ?, ?)",
                    (before.operation, before.task, before.eecu_seconds),
                )
            _put(connection, "tasks", "task", after)
        return True

    def again(self, row: TaskRow, error: str | None = None) -> bool:
        """Plan a task again, as after a failure or where its files are lost; as `change` otherwise."""
        fresh = replace(
            row, state="planned", operation=None, request=None, claimed_by=None, submitted=None, started=None,
            ended=None, error=error, eecu_seconds=None,
        )  # fmt: skip
        return self.change(row, fresh)

    # Runs

    @contextmanager
    def run(self, command: str) -> Iterator[None]:
        """Record that a command runs, and how it ended."""
        with self._file.write() as connection:
            number = connection.execute(
                "INSERT INTO runs (command, started, code_version) VALUES (?, ?, ?)",
                (command, _now(), version("gee-smap")),
            ).lastrowid
        began = time.monotonic()

        def end(outcome: str) -> None:
            with self._file.write() as connection:
                connection.execute(
                    "UPDATE runs SET ended = ?, seconds = ?, outcome = ? WHERE number = ?",
                    (_now(), time.monotonic() - began, outcome, number),
                )

        try:
            yield
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(DataError, EngineError):  # what ended the run matters more
                end("interrupted" if interrupted else f"{type(error).__name__}: {error}")
            raise
        end("done")

    def runs(self) -> tuple[RunRow, ...]:
        """All commands, in the order in which they were begun."""
        return tuple(_row(RunRow, row) for row in self._file.read("SELECT * FROM runs ORDER BY number"))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def _mark(row: TaskRow) -> tuple[object, ...]:
    """What two processes would change."""
    return row.state, row.attempts, row.operation, row.claimed_by


def _put(connection: sqlite3.Connection, table: str, key: str, row: TaskRow | ObjectRow | AssetRow) -> None:
    values = {field.name: _plain(getattr(row, field.name)) for field in fields(row)}
    if not isinstance(row, TaskRow):
        values["changed"] = _now()
    others = ", ".join(f"{name} = excluded.{name}" for name in values if name != key)
    connection.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "  # noqa: S608
        f"ON CONFLICT ({key}) DO UPDATE SET {others}",
        tuple(values.values()),
    )


def _plain(value: Any) -> Any:
    """A value as SQLite stores it."""
    if isinstance(value, dt.date):  # datetimes too
        return value.isoformat()
    return str(value) if isinstance(value, Path | Owner) else value


_READ: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("planned", "submitted", "started", "ended"), dt.datetime.fromisoformat),
    "day": dt.date.fromisoformat,
    "path": Path,
    "claimed_by": Owner.parse,
}
"""Column -> what makes a value of its text."""


def _row(kind: type[Row], found: sqlite3.Row) -> Row:
    values = {field.name: found[field.name] for field in fields(kind)}
    return kind(
        **{
            name: _READ[name](value) if name in _READ and value is not None else value
            for name, value in values.items()
        }
    )
