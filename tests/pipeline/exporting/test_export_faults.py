"""What goes wrong while a study is exported: everything is made all the same, and nothing twice.

Faults are injected between the real client and the local engine, processes are really killed; how many
operations there are is asked of the engine itself, past the proxy.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ee
import pytest

from gee import exports
from gee.connection import connect, local_account
from pipeline import planning
from pipeline.cloud.refusals import Patience
from pipeline.errors import AuthError, EngineError, QuotaError
from pipeline.exporting.export import export
from pipeline.study import Study
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.processes import Owner
from pipeline.work.workdir import WorkDir
from tests.pipeline.exporting import tiny
from tests.pipeline.exporting.conftest import OPERATIONS
from tests.pipeline.faulty_engine import Fault, Proxy

SUBMISSIONS = r"POST .*:export"
POLLS = f"GET /v1/{OPERATIONS}/"
LISTINGS = f"GET /v1/{OPERATIONS}\\?"
ONCE = {name: ["SUCCEEDED"] for name in ("static", "cells-static", "dynamic-2019-04", "cells-2019-04")}
PATIENCE = 60.0  # seconds for a process on a busy machine


def failed(message: str, code: int = 3) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The operation as it would be if its task had failed."""

    def edit(answer: dict[str, Any]) -> dict[str, Any]:
        told = {**answer["metadata"], "state": "FAILED", "batchEecuUsageSeconds": 100.0}
        return {
            "name": answer["name"], "metadata": told, "done": True,
            "error": {"code": code, "message": message},
        }  # fmt: skip

    return edit


def of_task(pattern: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """An edit of the operations of one task only."""
    return lambda answer: edit(answer) if answer["metadata"]["description"].startswith(pattern) else answer


# Refusals that pass


@pytest.mark.parametrize("request_", [SUBMISSIONS, POLLS, LISTINGS], ids=["submit", "poll", "list"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(
            "", times=6, status=429, message="Too Many Requests: Request was rejected because the rate is."
        ),
        Fault("", times=6, status=503, message="The service is currently unavailable."),
        Fault("", times=3, status=500, message="Internal error encountered."),
        Fault("", times=3, cut=True),
        Fault("", times=3, cut=True, passed_on=True),
        Fault("", times=3, half=True),
    ],
    ids=["429", "503", "500", "cut before the engine", "cut after the engine", "cut in the answer"],
)
def test_every_task_is_made_once_through_a_burst(proxy, bucket, seed, tmp_path, at_engine, request_, fault):
    plan = tiny.tiny(seed)
    proxy.inject(replace(fault, request=request_))
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (4, 0)
    assert at_engine(plan) == ONCE


def test_a_full_queue_is_waited_for(proxy, bucket, seed, tmp_path, at_engine):
    plan = tiny.tiny(seed)
    words = "Too many tasks already in the queue (3000). Please wait for some of them to complete."
    proxy.inject(Fault(SUBMISSIONS, times=3, status=429, message=words, skip=1))
    assert tiny.run(plan, tmp_path, bucket.name).done
    assert at_engine(plan) == ONCE


def test_an_engine_that_is_away_for_longer_is_given_up_and_found_again(
    proxy, bucket, seed, tmp_path, at_engine
):
    plan = tiny.tiny(seed)
    proxy.inject(away := Fault(POLLS, times=10**6, cut=True))
    quick = replace(tiny.SOON, limit=0.5)
    with pytest.raises(EngineError, match=r"cannot be followed.*gee-smap export follows them again"):
        export(
            plan, tiny.manifest(plan), WorkDir(tmp_path), bucket.name, "tiny", lambda what, share: None,
            patience=quick,
        )  # fmt: skip
    away.times = 0
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert at_engine(plan) == ONCE


# Failures


def test_a_month_that_is_too_much_is_cut_in_halves(proxy, bucket, seed, tmp_path, at_engine, in_ledger):
    plan = tiny.tiny(seed)
    too_much = of_task("dynamic-2019-04-", failed("User memory limit exceeded."))
    proxy.inject(Fault(POLLS, times=3, edit=too_much))  # the month's is third
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    halves = {f"{kind}-2019-04-{day}" for kind in ("dynamic", "cells") for day in ("01", "16")}
    assert {row.product for row in found.tasks} == {"static", "cells-static", *halves}
    assert in_ledger() == {
        "static": "succeeded", "cells-static": "succeeded", "dynamic-2019-04": "split",
        "cells-2019-04": "split", **dict.fromkeys(halves, "succeeded"),
    }  # fmt: skip
    smaller = tiny.tiny(seed, labels=tiny.HALVES)
    assert set(at_engine(smaller)) == {"static", "cells-static", *halves}
    for product in smaller.products:
        ending = "csv" if product.kind == "table" else "tif"
        assert bucket.blob(f"tiny/{product.description}.{ending}").exists()

    written = Manifest.read(WorkDir(tmp_path).manifest)
    assert written == found.manifest
    assert [task.name for task in written.tasks] == [product.name for product in smaller.products]
    assert [task.task for task in written.tasks] == [product.description for product in smaller.products]
    assert found.eecu_seconds is not None
    assert proxy.count(":cancel") == 1  # the other product of the month was at the engine
    assert found.eecu_seconds >= 100  # what the failed attempt used is used


def test_a_later_call_keeps_to_the_halves(proxy, bucket, seed, tmp_path):
    plan = tiny.tiny(seed)
    proxy.inject(Fault(POLLS, times=3, edit=of_task("dynamic-2019-04-", failed("Out of memory."))))
    first = tiny.run(plan, tmp_path, bucket.name)
    proxy.requests.clear()
    again = tiny.run(plan, tmp_path, bucket.name)  # planned as a whole, as the study says
    assert again.done
    assert again.manifest == first.manifest
    assert proxy.requests == []


def test_what_cannot_be_cut_any_more_ends_with_the_engines_words(proxy, bucket, seed, tmp_path, in_ledger):
    plan = tiny.planned(tiny.image("static", seed))
    proxy.inject(Fault(POLLS, edit=failed("User memory limit exceeded.")))
    with pytest.raises(EngineError, match=r"static is too much .*User memory limit exceeded\. Export with"):
        tiny.run(plan, tmp_path, bucket.name)
    assert in_ledger() == {"static": "failed"}


def test_a_month_refused_as_too_much_at_submission_is_cut_too(proxy, bucket, seed, tmp_path, in_ledger):
    words = "Export too large: specified 900000000 pixels (max: 100000000)."
    proxy.inject(Fault(SUBMISSIONS, status=400, message=words, skip=2))
    assert tiny.run(tiny.tiny(seed), tmp_path, bucket.name).done
    assert in_ledger()["dynamic-2019-04"] == "split"


def test_a_task_that_failed_for_no_reason_of_its_own_is_submitted_again(
    proxy, bucket, seed, tmp_path, at_engine
):
    plan = tiny.planned(tiny.image("static", seed))
    proxy.inject(Fault(POLLS, times=2, edit=failed("An internal server error has occurred.", 13)))
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert found.tasks[0].attempts == 3
    assert len(at_engine(plan)["static"]) == 3
    assert found.eecu_seconds is not None
    assert 200 <= found.eecu_seconds < 300  # of those that failed, and a little of the one that did not


def test_a_task_that_keeps_failing_is_given_up_after_three_attempts(
    proxy, bucket, seed, tmp_path, at_engine, in_ledger
):
    plan = tiny.planned(tiny.image("static", seed))
    proxy.inject(Fault(POLLS, times=3, edit=failed("Internal error.", 13)))
    with pytest.raises(EngineError, match=r"static failed\. .* Internal error\. Once it answers again"):
        tiny.run(plan, tmp_path, bucket.name)
    assert in_ledger() == {"static": "failed"}
    assert len(at_engine(plan)["static"]) == 3
    assert tiny.run(plan, tmp_path, bucket.name).done


def test_a_failure_that_is_final_is_told_in_the_engines_words_and_tried_again_when_asked(
    proxy, bucket, seed, tmp_path, in_ledger
):
    text = ee.Image.constant(1).updateMask(ee.Image("projects/my-project/assets/nobody-has-this"))
    wrong = tiny.Product("static", "image", text.rename("v"), ("v",), tiny.GRID)
    with pytest.raises(EngineError, match=r"static failed\. .*nobody-has-this.*gee-smap plan"):
        tiny.run(tiny.planned(wrong), tmp_path, bucket.name)
    assert in_ledger() == {"static": "failed"}
    with pytest.raises(EngineError, match="nobody-has-this"):
        tiny.run(tiny.planned(wrong), tmp_path, bucket.name)
    assert proxy.count(SUBMISSIONS) == 2


def test_a_task_that_vanished_is_submitted_again(proxy, bucket, seed, tmp_path, at_engine):
    plan = tiny.planned(tiny.image("static", seed))
    proxy.inject(Fault(POLLS, status=404, message="Operation not found."))
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert found.submitted == 2
    assert len(at_engine(plan)["static"]) == 2


@pytest.mark.long
def test_the_halves_of_a_real_month_hold_what_the_whole_was_to_hold(proxy, bucket, tmp_path):
    lon, lat = 116.9, 31.2
    study = Study.model_validate(
        {
            "name": "box",
            "region": {"bbox": (lon - 0.16, lat - 0.14, lon + 0.16, lat + 0.14)},  # 30 km
            "period": {"start": dt.date(2019, 7, 1), "end": dt.date(2019, 7, 2)},
            "partitions": {"scheme": "anhui"},
        }
    )
    planned = planning.plan(study, tmp_path, None, lambda what, share: None)
    month = planned.plan["dynamic-2019-07"], planned.plan["cells-2019-07"]
    too_much = of_task("dynamic-2019-07-", failed("User memory limit exceeded."))
    proxy.inject(Fault(POLLS, times=3, edit=too_much))
    found = export(
        planned.plan, planned.manifest(), WorkDir(tmp_path), bucket.name, "real", lambda what, share: None
    )
    assert found.done
    halves = {task.name: task for task in found.manifest.tasks}
    first, second = (halves[f"dynamic-2019-07-{day}"] for day in ("01", "02"))
    assert first.columns + second.columns == month[0].columns
    dates = []
    for day in ("01", "02"):
        table = bucket.blob(f"real/{halves[f'cells-2019-07-{day}'].task}.csv").download_as_text()
        rows = list(csv.DictReader(io.StringIO(table)))
        assert tuple(rows[0]) == month[1].columns
        dates.append({row["date"] for row in rows})
    assert dates == [{"2019-07-01"}, {"2019-07-02"}]


def test_a_submission_whose_answer_was_lost_is_found_beside_an_operation_that_is_spent(
    proxy, bucket, seed, tmp_path, at_engine
):
    plan = tiny.planned(tiny.image("static", seed))
    (row,) = tiny.run(plan, tmp_path, bucket.name).tasks
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.again(row, "its object was deleted")
    proxy.inject(Fault(SUBMISSIONS, cut=True, passed_on=True))
    with pytest.raises(EngineError, match=r"static cannot be submitted\. .* Once it answers again"):
        export(
            plan, tiny.manifest(plan), WorkDir(tmp_path), bucket.name, "tiny", lambda what, share: None,
            patience=Patience(first=1.0, limit=0.0),
        )  # fmt: skip
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (0, 1)
    assert at_engine(plan) == {"static": ["SUCCEEDED", "SUCCEEDED"]}


def test_a_request_that_the_engine_calls_a_repetition_is_found_there(
    proxy, bucket, seed, tmp_path, at_engine
):
    plan = tiny.planned(tiny.image("static", seed))
    proxy.inject(
        Fault(SUBMISSIONS, cut=True, passed_on=True),
        Fault(SUBMISSIONS, status=400, message="A request with this id was made before."),
    )
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (0, 1)
    assert at_engine(plan) == {"static": ["SUCCEEDED"]}


def test_an_operation_that_was_found_and_failed_is_not_found_again(proxy, bucket, seed, tmp_path, at_engine):
    plan = tiny.planned(tiny.image("static", seed))
    tiny.run(plan, tmp_path / "first", bucket.name)

    def at_work(answer: dict[str, Any]) -> dict[str, Any]:
        for operation in answer["operations"]:
            operation["metadata"]["state"] = "RUNNING"
        return answer

    proxy.inject(Fault(LISTINGS, edit=at_work), Fault(POLLS, edit=failed("Internal error.", 13)))
    found = tiny.run(plan, tmp_path / "second", bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (1, 1)
    assert at_engine(plan) == {"static": ["SUCCEEDED", "SUCCEEDED"]}


def test_what_a_process_submitted_that_died_meanwhile_is_found(proxy, bucket, seed, tmp_path, at_engine):
    later = tiny.image("dynamic-2019-04", seed + 0.5, needs=("static",))
    plan = tiny.planned(tiny.image("static", seed), later)

    def another(answer: dict[str, Any]) -> dict[str, Any]:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            claimed = ledger.claim(later.description)
            assert claimed is not None
            ee.data.exportImage(claimed.request, exports.task(later, plan, bucket.name, "tiny").config)
            dead = replace(Owner.current(), began="another/time")
            assert ledger.change(claimed, replace(claimed, claimed_by=dead))
        return answer

    proxy.inject(Fault(POLLS, edit=another))  # when this process has asked for the list already
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (1, 1)
    assert at_engine(plan) == {"static": ["SUCCEEDED"], "dynamic-2019-04": ["SUCCEEDED"]}


# Rights


@pytest.mark.parametrize("request_", [SUBMISSIONS, POLLS, LISTINGS], ids=["submit", "poll", "list"])
def test_credentials_that_are_refused_are_told_with_the_remedy_and_nothing_is_lost(
    proxy, bucket, seed, tmp_path, at_engine, in_ledger, request_
):
    plan = tiny.tiny(seed)
    proxy.inject(Fault(request_, status=401, message="Request had invalid authentication credentials."))
    with pytest.raises(AuthError, match=r"Sign in again with gee-smap auth, then type the same command"):
        tiny.run(plan, tmp_path, bucket.name)
    assert "claimed" not in in_ledger().values()
    assert tiny.run(plan, tmp_path, bucket.name).done
    assert at_engine(plan) == ONCE


def test_a_token_that_expires_on_the_way_and_is_not_renewed(proxy, bucket, seed, tmp_path, server):
    account = local_account("token-tester", Path(server.address.state), url=proxy.url)
    key = tmp_path / "key.json"
    key.write_text(json.dumps(account), encoding="utf-8")
    connect(proxy.url, "token-tester", key)
    ee.data.setMaxRetries(0)
    try:
        proxy.inject(
            Fault("GET /v1/projects/token-tester/operations/", status=401, message="Token expired."),
            Fault("POST /token", status=400, message="invalid_grant"),
        )
        with pytest.raises(AuthError, match=r"cannot be followed\..*gee-smap auth"):
            tiny.run(tiny.tiny(seed), tmp_path, bucket.name)
        found = tiny.run(tiny.tiny(seed), tmp_path, bucket.name)
        assert found.done
        assert [row.attempts for row in found.tasks] == [1, 1, 1, 1]
    finally:
        connect(proxy.url, tiny.PROJECT)
        ee.data.setMaxRetries(0)


def test_a_missing_right_is_told_with_its_remedy(proxy, bucket, seed, tmp_path):
    words = "Permission 'earthengine.exports.create' denied on resource 'projects/my-project'."
    proxy.inject(Fault(SUBMISSIONS, status=403, message=words))
    with pytest.raises(AuthError, match=r"static cannot be submitted.*earthengine\.exports.*gee-smap doctor"):
        tiny.run(tiny.tiny(seed), tmp_path, bucket.name)


def test_a_quota_of_the_day_is_not_waited_for(proxy, bucket, seed, tmp_path):
    words = "Quota exceeded for quota metric 'EECU-seconds' and limit 'EECU-seconds per day'."
    proxy.inject(Fault(SUBMISSIONS, status=429, message=words))
    with pytest.raises(QuotaError, match=r"per day'\. .*the same command then goes on"):
        tiny.run(tiny.tiny(seed), tmp_path, bucket.name)


# Processes


@dataclass
class Running:
    """A process that exports the tiny plan, once it is let go."""

    process: subprocess.Popen[str]

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture
def started(proxy: Proxy, bucket, seed: int, tmp_path: Path) -> Iterator[Callable[[], Running]]:
    """Starts processes that wait for the word."""
    processes = []

    def start() -> Running:
        process = subprocess.Popen(
            [sys.executable, tiny.__file__, proxy.url, str(tmp_path), bucket.name, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return Running(process)

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_two_processes_in_one_work_directory_make_every_task_once(started, seed, at_engine):
    both = [started(), started()]
    for one in both:
        one.go()
    ends = [one.end() for one in both]
    assert [code for code, _, _ in ends] == [0, 0], ends
    counts = [[int(number) for number in out.split()[:2]] for _, out, _ in ends]
    assert sum(submitted for submitted, _ in counts) == 4
    assert [adopted for _, adopted in counts] == [0, 0]
    assert at_engine(tiny.tiny(seed)) == ONCE


BEFORE = Fault(SUBMISSIONS, cut=True, skip=1)
AFTER = Fault(SUBMISSIONS, cut=True, passed_on=True, skip=1)


@pytest.mark.parametrize(
    ("fault", "late"),
    [(BEFORE, False), (AFTER, False), (AFTER, True), (Fault(POLLS, cut=True, passed_on=True), False)],
    ids=["before the engine has a task", "before we know", "which is not listed yet", "while following"],
)
def test_a_process_that_is_killed_leaves_nothing_to_be_made_twice(
    proxy, bucket, seed, tmp_path, started, at_engine, in_ledger, fault, late
):
    running = started()
    proxy.inject(replace(fault, call=lambda: os.kill(running.process.pid, signal.SIGKILL)))
    running.go()
    assert running.end()[0] == -signal.SIGKILL
    assert ("claimed" in in_ledger().values()) == (fault.request == SUBMISSIONS)
    plan = tiny.tiny(seed)
    known = len(at_engine(plan))
    if late:
        proxy.inject(Fault(LISTINGS, edit=lambda answer: {}))
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert found.submitted == 4 - known + late  # what is asked for once more is the same request
    assert at_engine(plan) == ONCE
