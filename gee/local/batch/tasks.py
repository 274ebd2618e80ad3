"""Batch tasks: a queue in the database, run two at a time, that survives the end of the process.

A task is PENDING, RUNNING, CANCELLING, and at last SUCCEEDED, FAILED or CANCELLED. When the process ends
under a running task it starts from scratch at the next start, five attempts at most; when the queue is closed
in order it goes back to PENDING without that being an attempt. Only one process runs the tasks of a state.
Rules: guides/processing_environments (order, attempts), reference/rest/v1/projects.operations and
projects.image/export (requestId, priority); ``convert_operation_to_task`` of earthengine-api reads it.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gee.local.assets.database import Database, ProcessLock, now_micros
from gee.local.assets.iam import Identity
from gee.local.assets.listing import decode_token, encode_token, page_limit
from gee.local.assets.store import working_for
from gee.local.batch.operations import (
    CANCELLED_STATUS,
    FINISHED,
    Progress,
    error_status,
    to_operation,
)
from gee.local.context import OUT_OF_MEMORY
from gee.local.errors import EngineError

DEFAULT_PRIORITY, MAX_PRIORITY = 100, 9999  # projects.image/export
MAX_ATTEMPTS = 5  # guides/processing_environments: "tasks can fail up to five times"
MAX_PAGE_SIZE = 500  # what earthengine-api asks for
MAX_REQUEST_ID = 60  # projects.image/export, with the characters below
_REQUEST_ID = re.compile(rf"[A-Za-z0-9-]{{1,{MAX_REQUEST_ID}}}")
_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # ids look like 3DNU363IM57LNU4SDTMB6I33
_RETRY_SECONDS = (
    1.0  # between attempts to record an end while the database refuses, for instance on a full disk
)

log = logging.getLogger(__name__)


class TaskStopped(Exception):  # noqa: N818 - it is no error
    """Raised by ``TaskHandle.check_cancelled``; a runner lets it pass, after tidying up."""


class TaskHandle:
    """What a runner has of its task.

    Attributes:
        name: ``projects/P/operations/ID``.
        attempt: 1 for the first.
    """

    def __init__(self, name: str, attempt: int) -> None:
        self.name = name
        self.attempt = attempt
        self._lock = threading.Lock()
        self._stages: dict[str, float] = {}
        self._fraction = 0.0
        self._used = 0.0
        self._updated = now_micros()
        self._stop = threading.Event()

    def progress(self, fraction: float, stage: str = "Computing") -> None:
        """Tell how far the whole task is, and in which stage.

        Args:
            fraction: 0 to 1, never less than before.
            stage: as people read it; the one before counts as complete.
        """
        with self._lock:
            self._fraction = max(self._fraction, min(float(fraction), 1.0))
            if stage not in self._stages:
                self._stages = dict.fromkeys(self._stages, 1.0)
            self._stages[stage] = self._fraction
            self._updated = now_micros()

    def used(self, seconds: float) -> None:
        """Add processor time that other threads spent for the task."""
        with self._lock:
            self._used += seconds

    def check_cancelled(self) -> None:
        """Give up when the task was cancelled or the queue is closing; to be called every second or so.

        Raises:
            TaskStopped: it was.
        """
        if self._stop.is_set():
            raise TaskStopped(self.name)

    def stop(self) -> None:
        """Make the next ``check_cancelled`` raise."""
        self._stop.set()

    def snapshot(self) -> Progress:
        """How far it is."""
        with self._lock:
            return Progress(self._fraction, tuple(self._stages.items()), self._updated, self._used)


Runner = Callable[[Mapping[str, Any], Identity, TaskHandle], list[str]]
"""(request body, caller, handle) -> the URIs of what was written. It may run again from scratch."""


class TaskQueue:
    """The tasks of one state.

    Args:
        database: of the state.
        workers: how many tasks run at a time (guides/usage: two on average).
        limit: how many may wait in a project (guides/usage: 3000).
    """

    def __init__(self, database: Database, workers: int = 2, limit: int = 3000) -> None:
        self._database = database
        self._workers = workers
        self._limit = limit
        self._runners: dict[str, Runner] = {}
        self._changed = threading.Condition()
        self._handles: dict[str, TaskHandle] = {}
        self._threads: list[threading.Thread] = []
        self._lock: ProcessLock | None = None
        self._closing = False

    def register(self, kind: str, runner: Runner) -> None:
        """Say what runs the tasks of a kind, such as EXPORT_IMAGE, before ``start``."""
        self._runners[kind] = runner

    def start(self) -> None:
        """Take up what an earlier process left, and run tasks from now on.

        Raises:
            EngineError: FAILED_PRECONDITION; another process, or queue, runs the tasks of this state.
        """
        lock = ProcessLock(Path(f"{self._database.path}.tasks.lock"))
        if not lock.exclusive():
            lock.release()
            raise EngineError(
                f"Another local engine runs the tasks of {self._database.path}.", "FAILED_PRECONDITION"
            )
        try:
            self._recover()
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        self._threads = [
            threading.Thread(target=self._work, name=f"task-{number}", daemon=True)
            for number in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def close(self, timeout: float = 10.0) -> bool:
        """Stop: running tasks are told so and go back to PENDING for the next start.

        Args:
            timeout: seconds to wait for them.

        Returns:
            Whether all stopped in time. One that did not goes on in its thread and keeps the tasks of this
            state from being run elsewhere until it ends, or the process does.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            for handle in self._handles.values():
                handle.stop()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def submit(
        self,
        project: str,
        kind: str,
        body: Mapping[str, Any],
        caller: Identity,
        request_id: str | None = None,
    ) -> dict[str, Any]:
        """Put a task in the queue; the rights to do so are settled before.

        Args:
            project: whose queue, without ``projects/``.
            kind: of a registered runner; it is what clients see as the type.
            body: of the request.
            caller: who asks.
            request_id: the same from the same caller in the same project is the same task.

        Returns:
            The operation, as it is now.

        Raises:
            EngineError: the queue is full (RESOURCE_EXHAUSTED), nothing runs the kind, or the
                request id or priority is wrong.
        """
        if kind not in self._runners:
            raise EngineError(f"Tasks of type {kind} are not supported by the local engine.")
        if request_id and not _REQUEST_ID.fullmatch(request_id):
            raise EngineError(f"Invalid request id {request_id[:100]!r}: at most 60 letters, digits and '-'.")
        priority = _priority(body)
        with self._database.write() as connection:
            same = connection.execute(
                "SELECT * FROM operations WHERE project = ? AND caller = ? AND request_id = ?",
                (project, str(caller), request_id or None),
            ).fetchone()
            if same is not None:
                return self._operation(same)
            (waiting,) = connection.execute(
                "SELECT count(*) FROM operations WHERE state = 'PENDING' AND project = ?", (project,)
            ).fetchone()
            if waiting >= self._limit:
                raise EngineError(
                    f"Too many tasks already in the queue ({self._limit}). Please wait for some of them to "
                    "complete.",
                    "RESOURCE_EXHAUSTED",
                )
            values = {
                "id": "".join(secrets.choice(_ID_ALPHABET) for _ in range(24)),
                "project": project,
                "kind": kind,
                "body": zlib.compress(json.dumps(body).encode(), 1),
                "caller": str(caller),
                "request_id": request_id or None,
                "description": _description(kind, body),
                "priority": priority,
                "create_time": now_micros(),
                "update_time": now_micros(),
            }
            row = connection.execute(
                f"INSERT INTO operations ({', '.join(values)}) "  # noqa: S608 - our own names
                f"VALUES ({', '.join('?' * len(values))}) RETURNING *",
                tuple(values.values()),
            ).fetchall()[0]
        with self._changed:
            self._changed.notify_all()
        return self._operation(row)

    def get(self, name: str) -> dict[str, Any]:
        """The operation ``projects/P/operations/ID`` as it is now.

        Raises:
            EngineError: NOT_FOUND.
        """
        with self._database.read() as connection:
            return self._operation(_row(connection, name))

    def list_operations(
        self, project: str, page_size: int | None = None, page_token: str | None = None
    ) -> dict[str, Any]:
        """The ``ListOperationsResponse`` of a project, newest first.

        Raises:
            EngineError: INVALID_ARGUMENT; a wrong page size or token.
        """
        size = page_limit(page_size, MAX_PAGE_SIZE)
        before = decode_token(page_token)
        if before is not None and type(before) is not int:
            raise EngineError("Invalid page token.")
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM operations WHERE project = ? AND sequence < coalesce(?, 9e18) "
                "ORDER BY sequence DESC LIMIT ?",
                (project, before, size + 1),
            ).fetchall()
        body: dict[str, Any] = {"operations": [self._operation(row) for row in rows[:size]]}
        if len(rows) > size:
            body["nextPageToken"] = encode_token(rows[size - 1]["sequence"])
        return body

    def cancel(self, name: str) -> None:
        """Cancel a task: one that waits at once, one that runs as soon as it notices; a finished one stays.

        Raises:
            EngineError: NOT_FOUND.
        """
        now = now_micros()
        with self._changed:
            with self._database.write() as connection:
                row = _row(connection, name)
                if row["state"] == "PENDING":
                    _finish(connection, row["id"], "CANCELLED", error=CANCELLED_STATUS)
                elif row["state"] == "RUNNING":
                    connection.execute(
                        "UPDATE operations SET state = 'CANCELLING', update_time = ? WHERE id = ?",
                        (now, row["id"]),
                    )
            if row["id"] in self._handles:
                self._handles[row["id"]].stop()
            self._changed.notify_all()

    def wait(self, name: str, timeout: float) -> dict[str, Any]:
        """The operation once it is done, or as it is after the timeout in seconds.

        Raises:
            EngineError: NOT_FOUND.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            operation = self.get(name)
            while not operation["done"] and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                operation = self.get(name)
        return operation

    def _recover(self) -> None:
        with self._database.write() as connection:
            left = connection.execute("SELECT * FROM operations WHERE state IN ('RUNNING', 'CANCELLING')")
            for row in left.fetchall():
                if row["state"] == "CANCELLING":
                    _finish(connection, row["id"], "CANCELLED", error=CANCELLED_STATUS)
                elif row["attempt"] >= MAX_ATTEMPTS:
                    error = EngineError(f"The task was interrupted {MAX_ATTEMPTS} times.", "INTERNAL")
                    _finish(connection, row["id"], "FAILED", error=error_status(error))
                else:
                    _requeue(connection, row["id"], row["attempt"])

    def _work(self) -> None:
        try:
            while (row := self._claim()) is not None:
                self._run(row)
        finally:
            with self._changed:
                self._threads = [
                    thread for thread in self._threads if thread is not threading.current_thread()
                ]
                if not self._threads and self._lock is not None:
                    self._lock.release()

    def _claim(self) -> sqlite3.Row | None:
        """The next task, marked as running; waits for one; None when the queue closes."""
        with self._changed:
            while not self._closing:
                try:
                    row = self._next()
                except (sqlite3.Error, EngineError):
                    log.exception("the queue cannot be read")
                    self._changed.wait(_RETRY_SECONDS)
                    continue
                if row is not None:
                    name = f"projects/{row['project']}/operations/{row['id']}"
                    self._handles[row["id"]] = TaskHandle(name, row["attempt"])
                    return row
                self._changed.wait()
        return None

    def _next(self) -> sqlite3.Row | None:
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT id FROM operations WHERE state = 'PENDING' "
                "AND kind IN (SELECT value FROM json_each(?)) ORDER BY priority DESC, sequence LIMIT 1",
                (json.dumps(tuple(self._runners)),),
            ).fetchone()
        if found is None:
            return None
        now = now_micros()
        with self._database.write() as connection:
            rows: list[sqlite3.Row] = connection.execute(
                "UPDATE operations SET state = 'RUNNING', attempt = attempt + 1, start_time = ?, "
                "update_time = ? WHERE id = ? AND state = 'PENDING' RETURNING *",
                (now, now, found["id"]),
            ).fetchall()
        return rows[0] if rows else self._next()

    def _run(self, row: sqlite3.Row) -> None:
        handle = self._handles[row["id"]]
        uris: list[str] = []
        error: EngineError | None = None
        stopped = False
        began = time.thread_time()
        try:
            body = json.loads(zlib.decompress(row["body"]))
            with working_for(handle.name):
                uris = self._runners[row["kind"]](body, Identity.parse(row["caller"]), handle)
        except TaskStopped:
            stopped = True
        except EngineError as refusal:
            error = refusal
        except MemoryError:
            error = EngineError(OUT_OF_MEMORY)
        except Exception:
            log.exception("task %s failed", handle.name)
            error = EngineError("Internal error.", "INTERNAL")
        handle.used(time.thread_time() - began)
        self._settle(row, handle, uris, error, stopped)

    def _settle(
        self, row: sqlite3.Row, handle: TaskHandle, uris: list[str], error: EngineError | None, stopped: bool
    ) -> None:
        """Record how a run ended, however long the database refuses."""
        while True:
            try:
                with self._changed:
                    with self._database.write() as connection:
                        if stopped and _row(connection, handle.name)["state"] == "CANCELLING":
                            _finish(connection, row["id"], "CANCELLED", handle.snapshot(), CANCELLED_STATUS)
                        elif stopped:
                            _requeue(connection, row["id"], row["attempt"] - 1)
                        else:
                            state = "FAILED" if error else "SUCCEEDED"
                            failure = error_status(error) if error else None
                            _finish(connection, row["id"], state, handle.snapshot(), failure, uris)
                    del self._handles[row["id"]]
                    self._changed.notify_all()
                return
            except (sqlite3.Error, EngineError):
                log.exception("the end of task %s cannot be recorded", handle.name)
                if self._closing:
                    return  # it is still RUNNING in the database and starts again with the next process
                time.sleep(_RETRY_SECONDS)

    def _operation(self, row: sqlite3.Row) -> dict[str, Any]:
        handle = self._handles.get(row["id"])
        return to_operation(row, None if handle is None or row["state"] in FINISHED else handle.snapshot())


def _row(connection: sqlite3.Connection, name: str) -> sqlite3.Row:
    project, _, task_id = name.removeprefix("projects/").partition("/operations/")
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM operations WHERE id = ? AND project = ?", (task_id, project)
    ).fetchone()
    if row is None:
        raise EngineError(f"Operation '{name}' not found.", "NOT_FOUND")
    return row


def _requeue(connection: sqlite3.Connection, task_id: str, attempt: int) -> None:
    connection.execute(
        "UPDATE operations SET state = 'PENDING', attempt = ?, start_time = NULL, update_time = ? "
        "WHERE id = ?",
        (attempt, now_micros(), task_id),
    )


_NO_PROGRESS = Progress(0.0, (), 0, 0.0)


def _finish(
    connection: sqlite3.Connection,
    task_id: str,
    state: str,
    progress: Progress = _NO_PROGRESS,
    error: Mapping[str, Any] | None = None,
    uris: list[str] | None = None,
) -> None:
    done = state == "SUCCEEDED"
    stages = [(stage, 1.0 if done else fraction) for stage, fraction in progress.stages]
    now = now_micros()
    connection.execute(
        "UPDATE operations SET state = ?, body = NULL, progress = ?, stages = ?, error = ?, uris = ?, "
        "used_seconds = ?, update_time = ?, end_time = ? WHERE id = ?",
        (
            state,
            1.0 if done else progress.fraction,
            json.dumps(stages),
            None if error is None else json.dumps(dict(error)),
            json.dumps(uris or []),
            progress.used_seconds,
            now,
            now,
            task_id,
        ),
    )


def _priority(body: Mapping[str, Any]) -> int:
    priority = body.get("priority")
    if isinstance(priority, dict):  # as earthengine-api wraps it
        priority = priority.get("value")
    if priority is None:
        return DEFAULT_PRIORITY
    if type(priority) is not int or not 0 <= priority <= MAX_PRIORITY:
        raise EngineError(f"Priority must be an integer between 0 and {MAX_PRIORITY}, got {priority!r}.")
    return priority


_MANIFESTS: Mapping[str, str] = MappingProxyType(
    {"INGEST_IMAGE": "imageManifest", "INGEST_TABLE": "tableManifest"}
)


def _description(kind: str, body: Mapping[str, Any]) -> str:
    """What a listing calls the task: the request's own word, or what is ingested."""
    manifest = body.get(_MANIFESTS.get(kind, ""))
    default = (
        f"Asset ingestion: {manifest['name']}" if isinstance(manifest, dict) and "name" in manifest else ""
    )
    return str(body.get("description") or default)
