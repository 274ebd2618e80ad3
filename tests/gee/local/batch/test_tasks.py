"""The queue of batch tasks: order, states, cancelling, restarts; read as the real client reads operations."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ee
import pytest
from ee import _cloud_api_utils, batch

from gee.local.assets.database import Database
from gee.local.assets.iam import LOCAL_USER, Identity
from gee.local.assets.records import NewAsset
from gee.local.assets.store import AssetStore
from gee.local.batch.tasks import Runner, TaskHandle, TaskQueue
from gee.local.errors import EngineError

BOB = Identity("serviceAccount", "bob@local.iam.gserviceaccount.com")
PROJECT = "my-project"
SOON = 5.0  # seconds a test waits for what takes milliseconds


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite")
    yield database
    database.close()


@pytest.fixture
def queues(database: Database) -> Iterator[Callable[..., TaskQueue]]:
    opened: list[TaskQueue] = []

    def start(runner: Runner, start: bool = True, **options: Any) -> TaskQueue:
        queue = TaskQueue(database, **options)
        for kind in ("EXPORT_IMAGE", "INGEST_IMAGE"):
            queue.register(kind, runner)
        if start:
            queue.start()
        opened.append(queue)
        return queue

    yield start
    for queue in opened:
        queue.close(SOON)


def submit(queue: TaskQueue, description: str = "t", request_id: str | None = None, **body: Any) -> str:
    body["description"] = description
    return str(queue.submit(PROJECT, "EXPORT_IMAGE", body, LOCAL_USER, request_id)["name"])


def state(queue: TaskQueue, name: str) -> str:
    return str(queue.get(name)["metadata"]["state"])


def finished(queue: TaskQueue, name: str) -> dict[str, Any]:
    operation = queue.wait(name, SOON)
    assert operation["done"], operation
    return operation


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Gate:
    """A runner that notes when tasks begin, and ends each when it is let through or stopped."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running = 0
        self.most = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        with self._lock:
            self.begun.append(body["description"])
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            while not self.open.wait(0.005):
                handle.check_cancelled()
        finally:
            with self._lock:
                self.running -= 1
        return [f"gs://bucket/{body['description']}"]


def test_a_task_succeeds_and_the_client_reads_it(queues: Callable[..., TaskQueue]) -> None:
    seen: dict[str, Any] = {}

    def runner(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        seen.update(body=body, caller=caller, attempt=handle.attempt, name=handle.name)
        return ["https://a/1", "https://a/2"]

    queue = queues(runner)
    body = {"description": "my export", "expression": {"result": "0"}, "priority": 200}
    submitted = queue.submit(PROJECT, "EXPORT_IMAGE", body, BOB, "abc-1")
    assert not submitted["done"]
    operation = finished(queue, submitted["name"])
    assert seen == {"body": body, "caller": BOB, "attempt": 1, "name": submitted["name"]}
    task = _cloud_api_utils.convert_operation_to_task(operation)
    times = [task.pop(f"{key}_timestamp_ms") for key in ("creation", "start", "update")]
    assert times == sorted(times)
    assert abs(times[0] / 1000 - time.time()) < 60
    assert task.pop("batch_eecu_usage_seconds") >= 0
    assert task == {
        "state": "COMPLETED",
        "attempt": 1,
        "description": "my export",
        "task_type": "EXPORT_IMAGE",
        "priority": 200,
        "destination_uris": ["https://a/1", "https://a/2"],
        "id": submitted["name"].rpartition("/")[2],
        "name": submitted["name"],
    }
    assert operation["metadata"]["progress"] == 1.0
    assert "endTime" in operation["metadata"]
    assert "error" not in operation
    assert operation["response"]["@type"].endswith("ExportImageResponse")


def test_the_clients_own_task_object_follows_it(
    queues: Callable[..., TaskQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    queue = queues(gate)
    monkeypatch.setattr(ee.data, "getOperation", queue.get)
    monkeypatch.setattr(ee.data, "cancelOperation", queue.cancel)
    monkeypatch.setattr(ee.data, "listOperations", lambda: queue.list_operations(PROJECT)["operations"])
    name = submit(queue)
    (task,) = batch.Task.list()
    assert (task.name, task.task_type, task.config) == (name, "EXPORT_IMAGE", {"description": "t"})
    wait_until(lambda: bool(gate.begun))
    assert task.active()
    assert task.status()["state"] == "RUNNING"
    task.cancel()
    finished(queue, name)
    assert not task.active()
    assert task.status()["state"] == "CANCELLED"
    assert task.status()["error_message"] == "Cancelled."


def test_higher_priority_first_then_first_come(queues: Callable[..., TaskQueue]) -> None:
    gate = Gate()
    gate.open.set()
    queue = queues(gate, start=False, workers=1)
    jobs = [submit(queue, label, priority=p) for label, p in (("a", 100), ("b", 0), ("c", 9999), ("d", 100))]
    jobs.append(submit(queue, "e"))  # 100, the default
    queue.start()
    for name in jobs:
        finished(queue, name)
    assert gate.begun == ["c", "a", "d", "e", "b"]


def test_two_run_at_once_and_no_third(queues: Callable[..., TaskQueue]) -> None:
    gate = Gate()
    queue = queues(gate)
    jobs = [submit(queue, str(number)) for number in range(5)]
    wait_until(lambda: len(gate.begun) == 2)
    time.sleep(0.05)
    assert sorted(state(queue, name) for name in jobs) == ["PENDING"] * 3 + ["RUNNING"] * 2
    gate.open.set()
    for name in jobs:
        finished(queue, name)
    assert (gate.most, sorted(gate.begun)) == (2, ["0", "1", "2", "3", "4"])


def test_progress_is_seen_while_it_runs(queues: Callable[..., TaskQueue]) -> None:
    told, go = threading.Event(), threading.Event()

    def runner(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        handle.progress(0.25, "Computing")
        handle.progress(0.5, "Writing")
        handle.progress(0.4, "Writing")
        handle.used(3.0)
        told.set()
        assert go.wait(SOON)
        return []

    queue = queues(runner)
    name = submit(queue)
    assert told.wait(SOON)
    metadata = queue.get(name)["metadata"]
    assert metadata["progress"] == 0.5
    assert metadata["batchEecuUsageSeconds"] == 3.0
    assert [(s["displayName"], s["completeWorkUnits"]) for s in metadata["stages"]] == [
        ("Computing", 1.0),
        ("Writing", 0.5),
    ]
    go.set()
    assert finished(queue, name)["metadata"]["batchEecuUsageSeconds"] >= 3.0


def test_the_same_request_is_the_same_task(queues: Callable[..., TaskQueue]) -> None:
    queue = queues(Gate(), start=False)
    with_id = {submit(queue, request_id="r-1") for _ in range(3)}
    without = {submit(queue) for _ in range(3)}
    bobs = queue.submit(PROJECT, "EXPORT_IMAGE", {}, BOB, "r-1")["name"]
    assert (len(with_id), len(without), bobs in with_id) == (1, 3, False)
    barrier, found = threading.Barrier(8), set()

    def race() -> None:
        barrier.wait()
        found.add(submit(queue, request_id="r-2"))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_a_full_queue_says_so_as_earth_engine_does(queues: Callable[..., TaskQueue]) -> None:
    queue = queues(Gate(), start=False, limit=3)
    for number in range(3):
        submit(queue, request_id=f"r-{number}")
    with pytest.raises(EngineError) as refusal:
        submit(queue, request_id="r-9")
    assert str(refusal.value) == (
        "Too many tasks already in the queue (3). Please wait for some of them to complete."
    )
    assert (refusal.value.status, refusal.value.code) == ("RESOURCE_EXHAUSTED", 429)
    submit(queue, request_id="r-1")
    queue.submit("other-project", "EXPORT_IMAGE", {}, LOCAL_USER)


@pytest.mark.parametrize(
    ("request_id", "priority", "reason"),
    [
        ("a b", None, "request id"),
        ("x" * 61, None, "request id"),
        (None, -1, "Priority"),
        (None, 10_000, "Priority"),
        (None, 1.5, "Priority"),
        (None, True, "Priority"),
    ],
)
def test_a_wrong_request_is_refused(
    queues: Callable[..., TaskQueue], request_id: str | None, priority: Any, reason: str
) -> None:
    queue = queues(Gate(), start=False)
    with pytest.raises(EngineError, match=reason):
        submit(queue, request_id=request_id, priority=priority)
    assert queue.list_operations(PROJECT) == {"operations": []}


def test_what_nothing_runs_is_refused_for_good(queues: Callable[..., TaskQueue]) -> None:
    with pytest.raises(EngineError, match="EXPORT_VIDEO") as refusal:
        queues(Gate()).submit(PROJECT, "EXPORT_VIDEO", {}, LOCAL_USER)
    assert refusal.value.code == 400  # clients would try again after a 5xx


def test_an_ingestion_is_called_by_its_asset(queues: Callable[..., TaskQueue]) -> None:
    body = {"imageManifest": {"name": "projects/my-project/assets/x"}}
    operation = queues(Gate(), start=False).submit(PROJECT, "INGEST_IMAGE", body, LOCAL_USER)
    assert operation["metadata"]["description"] == "Asset ingestion: projects/my-project/assets/x"


def test_a_refusal_is_told_and_a_fault_is_not(
    queues: Callable[..., TaskQueue], caplog: pytest.LogCaptureFixture
) -> None:
    def runner(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        handle.progress(0.5)
        if body["description"] == "refused":
            raise EngineError("Export too large: 5 pixels.", "INVALID_ARGUMENT")
        raise ZeroDivisionError("/secret/path")

    queue = queues(runner)
    with caplog.at_level(logging.ERROR, "gee.local.batch.tasks"):
        refused, fault = (finished(queue, submit(queue, label)) for label in ("refused", "fault"))
    assert refused["error"] == {"code": 3, "message": "Export too large: 5 pixels."}
    assert fault["error"] == {"code": 13, "message": "Internal error."}
    assert "/secret/path" in caplog.text
    assert "secret" not in str(fault)
    for operation in (refused, fault):
        assert operation["metadata"]["state"] == "FAILED"
        assert operation["metadata"]["progress"] == 0.5
        assert "response" not in operation


def test_cancelling(queues: Callable[..., TaskQueue]) -> None:
    gate = Gate()
    queue = queues(gate, workers=1)
    running, waiting = submit(queue, "running"), submit(queue, "waiting")
    wait_until(lambda: gate.begun == ["running"])
    queue.cancel(waiting)
    assert state(queue, waiting) == "CANCELLED"
    queue.cancel(running)
    operation = finished(queue, running)
    assert (operation["metadata"]["state"], operation["error"]) == (
        "CANCELLED",
        {"code": 1, "message": "Cancelled."},
    )
    gate.open.set()
    done = submit(queue, "done")
    finished(queue, done)
    queue.cancel(done)
    assert state(queue, done) == "SUCCEEDED"
    assert gate.begun == ["running", "done"]


def test_a_runner_that_does_not_look_may_succeed_despite_cancelling(queues: Callable[..., TaskQueue]) -> None:
    begun, go = threading.Event(), threading.Event()

    def runner(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        begun.set()
        assert go.wait(SOON)
        return []

    queue = queues(runner)
    name = submit(queue)
    assert begun.wait(SOON)
    queue.cancel(name)
    assert state(queue, name) == "CANCELLING"
    go.set()
    assert finished(queue, name)["metadata"]["state"] == "SUCCEEDED"


def test_pages_are_newest_first(queues: Callable[..., TaskQueue]) -> None:
    queue = queues(Gate(), start=False)
    jobs = [submit(queue, str(number)) for number in range(5)]
    queue.submit("other-project", "EXPORT_IMAGE", {}, LOCAL_USER)
    seen: list[str] = []
    token = None
    for _ in range(3):
        page = queue.list_operations(PROJECT, 2, token)
        seen += [operation["name"] for operation in page["operations"]]
        token = page.get("nextPageToken")
        if len(seen) == 2:
            submit(queue, "new")
    assert (seen, token) == (jobs[::-1], None)
    for wrong in ("!!", "ImEi", "dHJ1ZQ=="):
        with pytest.raises(EngineError, match="page token"):
            queue.list_operations(PROJECT, 2, wrong)


@pytest.mark.parametrize(
    "name", ["projects/my-project/operations/NO", "projects/other-project/operations/{id}", "x"]
)
def test_an_unknown_operation_is_not_found(queues: Callable[..., TaskQueue], name: str) -> None:
    queue = queues(Gate(), start=False)
    task_id = submit(queue).rpartition("/")[2]
    for act in (queue.get, queue.cancel):
        with pytest.raises(EngineError, match="not found") as refusal:
            act(name.format(id=task_id))
        assert refusal.value.code == 404


# Restarts


def test_closing_puts_running_tasks_back_and_the_next_start_runs_them(
    queues: Callable[..., TaskQueue],
) -> None:
    gate = Gate()
    queue = queues(gate)
    jobs = [submit(queue, str(number)) for number in range(4)]
    wait_until(lambda: len(gate.begun) == 2)
    assert queue.close(SOON)
    assert [state(queue, name) for name in jobs] == ["PENDING"] * 4
    assert "startTime" not in queue.get(jobs[0])["metadata"]
    jobs.append(submit(queue, "4"))
    again = Gate()
    again.open.set()
    second = queues(again)
    assert [finished(second, name)["metadata"]["attempt"] for name in jobs] == [1] * 5
    assert sorted(again.begun) == ["0", "1", "2", "3", "4"]
    assert gate.running == 0


def test_two_queues_never_run_the_same_tasks(queues: Callable[..., TaskQueue]) -> None:
    gate = Gate()
    first, second = queues(gate), queues(gate, start=False)
    with pytest.raises(EngineError, match="Another local engine runs the tasks"):
        second.start()
    first.close(SOON)
    second.start()


def test_a_task_that_will_not_stop_keeps_the_queue_until_it_ends(queues: Callable[..., TaskQueue]) -> None:
    begun, go = threading.Event(), threading.Event()

    def deaf(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        begun.set()
        assert go.wait(SOON)
        return ["gs://bucket/late"]

    first = queues(deaf)
    name = submit(first)
    assert begun.wait(SOON)
    assert not first.close(0.02)
    second = queues(deaf, start=False)
    with pytest.raises(EngineError, match="Another local engine"):
        second.start()
    go.set()
    assert first.close(SOON)
    second.start()
    assert finished(second, name)["metadata"]["destinationUris"] == ["gs://bucket/late"]
    assert second.get(name)["metadata"]["attempt"] == 1


KILLED = """
import sys, time
from pathlib import Path
from gee.local.assets.database import Database
from gee.local.assets.iam import LOCAL_USER
from gee.local.batch.tasks import TaskQueue
def runner(body, caller, handle):
    print("begun", handle.attempt, flush=True)
    time.sleep(60)
queue = TaskQueue(Database(Path(sys.argv[1])), workers=1)
queue.register("EXPORT_IMAGE", runner)
queue.start()
for label in sys.argv[2:]:
    queue.submit("my-project", "EXPORT_IMAGE", {"description": label}, LOCAL_USER)
if "cancelled" in sys.argv:
    time.sleep(0.05)
    names = [operation["name"] for operation in queue.list_operations("my-project")["operations"]]
    while queue.get(names[-1])["metadata"]["state"] != "RUNNING":
        time.sleep(0.005)
    queue.cancel(names[-1])
    print("cancelling", flush=True)
time.sleep(60)
"""


def killed(database: Database, *labels: str, after: str) -> None:
    """Run a process that takes up the queue, and kill it with signal 9 once it has printed ``after``."""
    command = [sys.executable, "-c", KILLED, str(database.path), *labels]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(after):
                break
        process.kill()


def test_after_kill_9_a_running_task_starts_from_scratch_and_none_is_lost(
    database: Database, queues: Callable[..., TaskQueue]
) -> None:
    killed(database, "a", "b", after="begun")
    gate = Gate()
    gate.open.set()
    queue = queues(gate, workers=1)
    jobs = [operation["name"] for operation in queue.list_operations(PROJECT)["operations"]][::-1]
    ends = [finished(queue, name)["metadata"] for name in jobs]
    assert [(end["description"], end["state"], end["attempt"]) for end in ends] == [
        ("a", "SUCCEEDED", 2),
        ("b", "SUCCEEDED", 1),
    ]
    assert gate.begun == ["a", "b"]


def test_after_kill_9_a_task_being_cancelled_is_cancelled(
    database: Database, queues: Callable[..., TaskQueue]
) -> None:
    killed(database, "cancelled", after="cancelling")
    gate = Gate()
    queue = queues(gate)
    (operation,) = queue.list_operations(PROJECT)["operations"]
    assert (operation["metadata"]["state"], operation["error"]["code"]) == ("CANCELLED", 1)
    assert gate.begun == []


def test_a_fifth_interruption_is_the_last(database: Database, queues: Callable[..., TaskQueue]) -> None:
    killed(database, "a", after="begun 1")
    for attempt in range(2, 6):
        killed(database, after=f"begun {attempt}")
    gate = Gate()
    queue = queues(gate)
    (operation,) = queue.list_operations(PROJECT)["operations"]
    assert operation["metadata"]["state"] == "FAILED"
    assert operation["error"] == {"code": 13, "message": "The task was interrupted 5 times."}
    assert gate.begun == []


def test_the_end_of_a_task_is_recorded_once_the_database_takes_it(
    database: Database, queues: Callable[..., TaskQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gee.local.batch.tasks._RETRY_SECONDS", 0.02)
    gate = Gate()
    queue = queues(gate, workers=1)
    first, second = submit(queue, "first"), submit(queue, "second")
    wait_until(lambda: gate.begun == ["first"])
    write, refusals = database.write, iter(range(2))

    def full() -> Any:
        if next(refusals, None) is not None:
            raise EngineError("No space is left.", "RESOURCE_EXHAUSTED")
        return write()

    monkeypatch.setattr(database, "write", full)
    gate.open.set()
    assert finished(queue, first)["metadata"]["state"] == "SUCCEEDED"
    assert finished(queue, second)["metadata"]["state"] == "SUCCEEDED"
    assert next(refusals, None) is None
    assert gate.begun == ["first", "second"]


def test_a_task_that_starts_from_scratch_may_make_its_asset_again(
    tmp_path: Path, queues: Callable[..., TaskQueue]
) -> None:
    """The process may end after the asset is there and before the task is recorded as done."""
    name, store = "projects/my-project/assets/made", AssetStore(tmp_path)

    def make(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        for _ in range(2):
            store.create(NewAsset(name, "TABLE"), caller)
        return [name]

    try:
        queue = queues(make)
        assert finished(queue, submit(queue))["metadata"]["state"] == "SUCCEEDED"
        message = f"Cannot overwrite asset '{name}'."
        assert finished(queue, submit(queue))["error"]["message"] == message
        with pytest.raises(EngineError, match=re.escape(message)):
            store.create(NewAsset(name, "TABLE"), LOCAL_USER)
    finally:
        store.close()


def test_a_task_that_needs_too_much_memory_says_so(queues: Callable[..., TaskQueue]) -> None:
    def greedy(body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        raise MemoryError

    queue = queues(greedy)
    assert finished(queue, submit(queue))["error"]["message"] == "User memory limit exceeded."
