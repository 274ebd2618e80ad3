"""What the ledger keeps, whom it lets do what, and which files it refuses."""

from __future__ import annotations

import datetime as dt
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DataError, EngineError
from pipeline.work import database
from pipeline.work import ledger as ledgers
from pipeline.work.ledger import AssetRow, Ledger, ObjectRow, TaskRow
from pipeline.work.processes import Owner, Witness

TASK = TaskRow("dynamic-2019-04-0123456789", "dynamic-2019-04", "image", "gs://b/p")
NOON = dt.datetime(2019, 4, 1, 12, tzinfo=dt.UTC)
PATIENCE = 60.0  # seconds for a process on a busy machine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


@pytest.fixture
def other(path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs lines in another process, where ``ledger`` is the same; ``wait()`` says so and waits."""
    processes = []

    def start(lines: str) -> subprocess.Popen[str]:
        head = f"""
        import os, sys
        from pathlib import Path
        from pipeline.work.ledger import *
        def wait():
            print("ready", flush=True)
            sys.stdin.readline()
        path = Path({str(path)!r})
        """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(lines)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.stderr and process.stderr.read()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


# What it keeps


def test_rows_come_back_as_they_were_put(ledger: Ledger, path: Path) -> None:
    object_ = ObjectRow(
        "p/a.tif", "b", TASK.task, 2**53, 3 * 2**32, "yZRlqg==", Path("exports/a.tif"), "here"
    )
    asset = AssetRow("projects/p/assets/a", "0" * 64, "submitted", "op", dt.date(2019, 4, 1), "no", None)
    ledger.put_object(object_)
    ledger.put_asset(asset)
    with Ledger(path) as again:
        assert again.object("p/a.tif") == object_
        assert again.asset("projects/p/assets/a") == asset
        assert again.object("p/b.tif") is None
        assert again.asset("projects/p/assets/b") is None
    ledger.put_object(replace(object_, generation=1))
    ledger.put_asset(replace(asset, state="succeeded"))
    assert ledger.objects() == (replace(object_, generation=1),)
    assert ledger.assets() == (replace(asset, state="succeeded"),)


def test_a_task_goes_from_planned_to_done(ledger: Ledger) -> None:
    ledger.add([TASK])
    claimed = ledger.claim(TASK.task)
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == ("claimed", 1)
    running = replace(
        claimed, state="running", operation="op", claimed_by=None, submitted=NOON,
        started=NOON + dt.timedelta(minutes=1),
    )  # fmt: skip
    assert ledger.change(claimed, running)
    done = replace(running, state="succeeded", ended=NOON + dt.timedelta(minutes=3), eecu_seconds=12.5)
    assert ledger.change(running, done)
    assert ledger.task(TASK.task) == done
    assert done.seconds == 120
    ledger.add([TASK])  # planned again by a later call
    assert ledger.tasks() == (done,)


def test_what_a_process_did_not_see_it_does_not_overwrite(ledger: Ledger, path: Path) -> None:
    ledger.add([TASK])
    claimed = ledger.claim(TASK.task)
    assert claimed is not None
    with Ledger(path) as another:
        assert another.change(claimed, replace(claimed, state="cancelled"))
    assert not ledger.change(claimed, replace(claimed, state="submitted", operation="op"))
    assert [row.state for row in ledger.tasks()] == ["cancelled"]
    assert ledger.claim(TASK.task) is None


def test_a_task_planned_again_is_a_new_attempt_and_its_operation_is_spent(ledger: Ledger) -> None:
    ledger.add([TASK])
    requests = set()
    for attempt in (1, 2, 3):
        claimed = ledger.claim(TASK.task)
        assert claimed is not None
        assert claimed.attempts == attempt
        requests.add(claimed.request)
        failed = replace(
            claimed, state="failed", operation=f"op-{attempt}", claimed_by=None, eecu_seconds=10.0
        )
        assert ledger.change(claimed, failed)
        assert ledger.again(failed, "an error")
        assert ledger.spent() == {f"op-{number}" for number in range(1, attempt + 1)}
    assert len(requests) == 3
    (row,) = ledger.tasks()
    assert (row.state, row.operation, row.error) == ("planned", None, "an error")
    assert ledger.eecu_seconds() == 30


def test_units_are_unknown_where_the_engine_tells_none(ledger: Ledger) -> None:
    ledger.add([TASK])
    assert ledger.eecu_seconds() is None


def test_order_and_durations_do_not_depend_on_the_clock(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(100, 0, -1))  # each look at the clock an hour before the last
    monkeypatch.setattr(ledgers, "_now", lambda: (NOON + dt.timedelta(hours=next(hours))).isoformat())
    names = [f"task-{number}" for number in range(5)]
    for name in names:
        ledger.add([replace(TASK, task=name)])
        ledger.put_object(ObjectRow(name, "b"))
        with ledger.run(name):
            time.sleep(0.01)
    assert [row.task for row in ledger.tasks()] == names
    assert [row.name for row in ledger.objects()] == names
    assert [row.command for row in ledger.runs()] == names
    for run in ledger.runs():
        assert run.ended is not None
        assert run.ended < run.started
        assert run.seconds is not None
        assert 0.01 <= run.seconds < 10


def test_runs_tell_how_they_ended(ledger: Ledger, other: Callable[[str], subprocess.Popen[str]]) -> None:
    with ledger.run("one"):
        pass
    with pytest.raises(DataError, match="no file"), ledger.run("two"):
        raise DataError("no file")
    with pytest.raises(KeyboardInterrupt), ledger.run("three"):
        raise KeyboardInterrupt
    killed = other(
        """
        with Ledger(path).run("four"):
            wait()
        """
    )
    ready(killed)
    killed.kill()
    killed.wait()
    runs = ledger.runs()
    assert [run.outcome for run in runs] == ["done", "DataError: no file", "interrupted", None]
    assert {run.code_version for run in runs} == {"0.1.0"}


def test_threads_of_a_process_share_it(ledger: Ledger) -> None:
    def put(thread: int) -> None:
        for number in range(25):
            ledger.put_object(ObjectRow(f"{thread}/{number}", "b", size=number))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.name for row in ledger.objects()) == sorted(
        f"{thread}/{number}" for thread in range(8) for number in range(25)
    )


# Who may do what


def test_of_several_processes_one_claims_each_task(
    path: Path, other: Callable[[str], subprocess.Popen[str]]
) -> None:
    names = [f"task-{number}" for number in range(40)]
    lines = f"""
    wait()
    with Ledger(path) as ledger:  # made by whichever is first
        ledger.add([TaskRow(name, name, "image", "gs://b/p") for name in {names}])
        mine = [name for name in {names} if ledger.claim(name)]
    print(*mine, flush=True)
    wait()
    """
    processes = [other(lines) for _ in range(3)]
    for process in processes:
        ready(process)
    for process in processes:
        go(process)
    claims = []
    for process in processes:
        assert process.stdout is not None
        claims.extend(process.stdout.readline().split())
    assert sorted(claims) == sorted(names)  # all, and none twice
    with Ledger(path) as ledger:
        assert {row.attempts for row in ledger.tasks()} == {1}


@pytest.mark.parametrize("waited_for", [True, False], ids=["gone", "a zombie"])
def test_a_claim_lasts_as_long_as_its_process(
    ledger: Ledger, other: Callable[[str], subprocess.Popen[str]], waited_for: bool
) -> None:
    ledger.add([TASK])
    holder = other(
        f"""
        ledger = Ledger(path)
        assert ledger.claim({TASK.task!r})
        assert ledger.claim_asset(AssetRow("a", "hash"))
        wait()
        """
    )
    ready(holder)
    before = ledger.task(TASK.task)
    assert before is not None
    assert before.claimed_by is not None
    assert before.claimed_by.pid == holder.pid
    assert ledger.claim(TASK.task) is None
    assert not ledger.claim_asset(AssetRow("a", "hash"))

    holder.send_signal(signal.SIGKILL)
    if waited_for:
        holder.wait()
    else:
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    claimed = ledger.claim(TASK.task)
    assert claimed is not None
    assert claimed.claimed_by == Owner.current()
    # It may have reached the engine: the same attempt goes on.
    assert (claimed.request, claimed.attempts) == (before.request, 1)
    assert ledger.claim_asset(AssetRow("a", "hash"))
    again = ledger.claim(TASK.task)
    assert again == claimed  # one's own


def test_another_process_of_the_same_number_does_not_keep_a_claim(ledger: Ledger) -> None:
    ledger.add([TASK])
    claimed = ledger.claim(TASK.task)
    assert claimed is not None
    alive = Owner.current()
    first = replace(alive, pid=1)
    assert ledger.change(claimed, replace(claimed, claimed_by=first))  # which began at another time
    assert ledger.claim(TASK.task) is not None


def test_a_process_of_another_machine_keeps_its_claim_until_it_was_seen_idle_for_long() -> None:
    stranger = Owner(f"not-{platform.node()}", os.getpid(), "some/123")
    witness = Witness(patience=0.2)
    assert witness.alive("task", stranger)
    assert witness.alive("another task", stranger)
    time.sleep(0.15)
    assert witness.alive("task", stranger)
    assert witness.alive("task", replace(stranger, pid=1))  # claimed anew meanwhile
    time.sleep(0.15)
    assert witness.alive("task", replace(stranger, pid=1))
    time.sleep(0.1)
    assert not witness.alive("task", replace(stranger, pid=1))


def test_an_owner_is_read_as_it_was_written() -> None:
    for owner in (Owner.current(), Owner("a host with spaces", 7, "boot/123.5")):
        assert Owner.parse(str(owner)) == owner


# Bad days


def test_who_opens_it_while_another_makes_it_does_not_take_it_for_another_programs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening: list[threading.Thread] = []

    class Late(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if "sqlite_master" in statement and not opening:
                opening.append(threading.Thread(target=lambda: Ledger(path).close()))
                opening[0].start()
                opening[0].join(0.5)  # it is done by then, unless it is kept waiting
            return super().execute(statement, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *of, **more: connect(*of, factory=Late, **more))
    with Ledger(path) as ledger:
        assert ledger.tasks() == ()
    opening[0].join(PATIENCE)
    assert not opening[0].is_alive()


@pytest.mark.parametrize("refusals", [1, 10_000])
def test_a_new_file_that_another_switches_to_wal_is_waited_for_but_not_for_ever(
    path: Path, refusals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [refusals]

    class Refusing(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if "journal_mode" in statement and left[0]:
                left[0] -= 1
                raise sqlite3.OperationalError("database is locked")  # SQLite's own words, at once
            return super().execute(statement, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *of, **more: connect(*of, factory=Refusing, **more))
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    if refusals == 1:
        with Ledger(path) as ledger:
            assert ledger.tasks() == ()
    else:
        with pytest.raises(EngineError, match="locked by another process"):
            Ledger(path)


def test_a_newer_ledger_is_refused_and_left_alone(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"newer gee-smap \(schema 2; this one reads 1\): update the program"):
        Ledger(path)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="a database of something else"):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "cut", "overwritten"])
def test_a_damaged_ledger_is_told_with_the_way_out(path: Path, damage: str) -> None:
    with Ledger(path) as ledger:
        ledger.add([replace(TASK, task=f"task-{number}") for number in range(200)])
    content = path.read_bytes()
    assert len(content) > 20_000
    path.write_bytes(
        {
            "text": b"this is no ledger " * 1000,
            "cut": content[: len(content) // 2],
            "overwritten": content[:4096] + os.urandom(len(content) - 4096),
        }[damage]
    )
    with pytest.raises(DataError, match=r"sqlite is damaged .* move it .* away and run gee-smap export"):
        Ledger(path)


def test_a_ledger_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(DataError, match=r"ledger\.sqlite cannot be opened"):
        Ledger(tmp_path / "ledger.sqlite")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be opened"):
        Ledger(tmp_path / "file" / "ledger.sqlite")


def test_another_writer_is_waited_for_but_not_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    with Ledger(path) as ledger:
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineError, match="locked by another process"):
            ledger.add([TASK])
        writer.execute("COMMIT")
        writer.close()
        ledger.add([TASK])
        assert len(ledger.tasks()) == 1


def test_a_full_disk_is_told_and_loses_nothing_that_was_recorded(
    path: Path, other: Callable[[str], subprocess.Popen[str]]
) -> None:
    told = ended(
        other(
            """
            import resource, signal
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
            ledger, put = Ledger(path), 0
            try:
                while True:
                    ledger.put_object(ObjectRow(f"{put}/" + "n" * 1000, "b"))
                    put += 1
            except Exception as error:
                print(put, type(error).__name__, error)
                os._exit(0)
            """
        )
    )
    count, kind, message = told.split(maxsplit=2)
    assert int(count) > 10
    assert kind == "DataError"
    assert "cannot be used" in message
    with Ledger(path) as ledger:
        assert len(ledger.objects()) == int(count)
        ledger.put_object(ObjectRow("more", "b"))


def test_what_cannot_be_written_whole_is_not_written_at_all(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add([TASK, replace(TASK, task="another", kind=None)])  # type: ignore[arg-type]
    assert ledger.tasks() == ()
    ledger.add([TASK])
    assert len(ledger.tasks()) == 1


def test_a_killed_writer_loses_at_most_what_it_was_writing(
    path: Path, other: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = other(
        """
        ledger, put = Ledger(path), 0
        while True:
            ledger.put_object(ObjectRow(str(put), "b"))
            put += 1
            print(put, flush=True)
        """
    )
    assert process.stdout is not None
    for _ in range(50):
        process.stdout.readline()
    process.kill()
    recorded = [*range(50), *process.stdout.read().split()]
    with Ledger(path) as ledger:
        assert len(ledger.objects()) - len(recorded) in (0, 1)
        ledger.put_object(ObjectRow("more", "b"))
