"""Exporting on a good day: what is made, once; what goes on without us; what is told.

The engine is the local one, reached through a proxy that counts what is asked of it; pixels are constants.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio

from pipeline.errors import AuthError, ConfigError, DataError, EngineError
from pipeline.exporting.export import cancel, export, status
from pipeline.work.ledger import Ledger, TaskRow
from pipeline.work.workdir import WorkDir
from tests.pipeline.exporting import tiny
from tests.pipeline.exporting.conftest import OPERATIONS
from tests.pipeline.faulty_engine import Fault

FOLDER = "projects/my-project/assets/checkpoints"
POLLS = f"GET /v1/{OPERATIONS}/"
SUBMISSIONS = ":export"


def running(answer: dict[str, Any]) -> dict[str, Any]:
    """The operation as it would be if its task were at work."""
    told = {
        key: value for key, value in answer["metadata"].items() if key not in ("endTime", "destinationUris")
    }
    return {"name": answer["name"], "metadata": {**told, "state": "RUNNING"}, "done": False}


def test_every_task_is_made_once_and_its_files_are_in_the_bucket(
    proxy, bucket, seed, tmp_path, at_engine, in_ledger
):
    plan = tiny.tiny(seed)
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (4, 0)
    assert at_engine(plan) == {product.name: ["SUCCEEDED"] for product in plan.products}
    assert in_ledger() == {product.name: "succeeded" for product in plan.products}
    for product in plan.products:
        ending = "csv" if product.kind == "table" else "tif"
        content = bucket.blob(f"tiny/{product.description}.{ending}").download_as_bytes()
        if product.name == "cells-2019-04":
            assert content.decode().split() == ["cell,v", f"0001-0002,{seed + 0.1:g}"]
        if product.name == "dynamic-2019-04":
            path = tmp_path / "dynamic.tif"
            path.write_bytes(content)
            with rasterio.open(path) as image:
                assert np.array_equal(image.read(1), np.full((3, 4), np.float32(seed + 0.1)))


def test_a_second_call_asks_nothing_of_the_engine_and_says_so(proxy, bucket, seed, tmp_path):
    tiny.run(tiny.tiny(seed), tmp_path, bucket.name)
    proxy.requests.clear()
    found = tiny.run(tiny.tiny(seed), tmp_path, bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (0, 0)
    assert proxy.requests == []
    assert "All 4 tasks were done before: nothing was submitted." in list(found.notes())


def test_durations_and_units_are_the_engines_own(proxy, bucket, seed, tmp_path):
    begun, ended = "2001-02-03T04:05:06Z", "2001-02-03T04:15:36.5Z"

    def told(answer: dict[str, Any]) -> dict[str, Any]:
        times = {"startTime": begun, "endTime": ended, "batchEecuUsageSeconds": 7.25}
        return {**answer, "metadata": {**answer["metadata"], **times}}

    plan = tiny.planned(tiny.image("static", seed))
    proxy.inject(Fault(POLLS, edit=running), Fault(POLLS, edit=told))
    found = tiny.run(plan, tmp_path, bucket.name)
    (row,) = found.tasks
    assert row.seconds == 630.5
    assert row.started == dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    assert found.eecu_seconds == row.eecu_seconds == 7.25


def test_what_a_task_needs_is_there_before_it_is_submitted(proxy, bucket, seed, tmp_path, server):
    plan = tiny.planned(
        tiny.image("dynamic-2019-04", seed + 0.5, needs=("static", "other")),
        tiny.image("static", seed),
        tiny.image("other", seed + 0.25),
    )
    found = tiny.run(plan, tmp_path, bucket.name)
    times = {row.product: row for row in found.tasks}
    assert times["dynamic-2019-04"].submitted >= max(times["static"].ended, times["other"].ended)


def test_no_more_than_a_few_wait_in_the_queue_at_a_time(proxy, bucket, seed, tmp_path):
    plan = tiny.planned(*(tiny.image(f"dynamic-{number}", seed + number / 16) for number in range(8)))
    seen: list[int] = []

    def still(answer: dict[str, Any]) -> dict[str, Any]:
        seen.append(proxy.count(SUBMISSIONS))
        return running(answer)

    proxy.inject(Fault(POLLS, times=12, edit=still))
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.done
    assert set(seen) == {6}  # three times the two that run at a time (guides/usage)


def test_who_detaches_leaves_all_that_can_be_submitted_at_the_engine(
    proxy, bucket, seed, tmp_path, in_ledger
):
    products = [tiny.image(f"dynamic-{number}", seed + number / 16) for number in range(8)]
    plan = tiny.planned(*products, tiny.image("last", seed + 0.9, needs=("dynamic-0",)))
    found = tiny.run(plan, tmp_path, bucket.name, detach=True)
    assert found.detached
    assert not found.done
    assert found.submitted == 8
    states = in_ledger()
    assert states.pop("last") == "planned"
    assert set(states.values()) <= {"submitted", "running"}  # by then
    assert any("1 more can be submitted once others are done" in note for note in found.notes())
    after = tiny.run(plan, tmp_path, bucket.name)
    assert after.done
    assert (after.submitted, after.adopted) == (1, 0)


def test_status_asks_the_engine_and_leaves_failures_to_the_next_export(
    proxy, bucket, seed, tmp_path, in_ledger
):
    plan = tiny.tiny(seed)
    tiny.manifest(plan).write(WorkDir(tmp_path).manifest)
    tiny.run(plan, tmp_path, bucket.name, detach=True)

    def failed(answer: dict[str, Any]) -> dict[str, Any]:
        error = {"code": 3, "message": "User memory limit exceeded."}
        told = {**answer["metadata"], "state": "FAILED"}
        return {"name": answer["name"], "metadata": told, "done": True, "error": error}

    proxy.inject(
        Fault(
            POLLS, edit=lambda answer: {**answer, "metadata": {**answer["metadata"], "state": "SUCCEEDED"}}
        ),
        Fault(POLLS, edit=running),
        Fault(POLLS, status=404, message="Operation not found."),
        Fault(POLLS, edit=failed),
    )
    found = status(WorkDir(tmp_path))
    assert [(row.product, row.state) for row in found.tasks] == [
        ("static", "succeeded"),
        ("cells-static", "running"),
        ("dynamic-2019-04", "submitted"),
        ("cells-2019-04", "failed"),
    ]
    assert found.tasks[3].error == "User memory limit exceeded."
    assert found.unknown == ("dynamic-2019-04",)
    assert in_ledger()["cells-2019-04"] == "submitted"
    assert "dynamic-2019-04" in " ".join(found.notes())


def test_what_was_cancelled_stops_and_a_later_export_makes_it_anew(
    proxy, bucket, seed, tmp_path, at_engine, in_ledger
):
    plan = tiny.tiny(seed)
    tiny.run(plan, tmp_path, bucket.name, detach=True)
    assert cancel(WorkDir(tmp_path), ["static"]) == 1
    assert proxy.count(":cancel") == 1
    assert in_ledger()["static"] == "cancelled"
    assert cancel(WorkDir(tmp_path)) == 3
    assert proxy.count(":cancel") == 4
    assert cancel(WorkDir(tmp_path)) == 0
    assert tiny.run(plan, tmp_path, bucket.name).submitted == 4
    assert {name: len(states) for name, states in at_engine(plan).items()} == {
        product.name: 2 for product in plan.products
    }


def test_a_follower_stops_when_its_tasks_are_cancelled_elsewhere(proxy, bucket, seed, tmp_path):
    plan = tiny.planned(tiny.image("static", seed), tiny.image("dynamic-2019-04", seed + 0.5, ("static",)))
    proxy.inject(
        Fault(POLLS, edit=lambda answer: cancel(WorkDir(tmp_path)) and running(answer)),
    )
    with pytest.raises(EngineError, match=r"cancelled: as was asked\. gee-smap export goes on"):
        tiny.run(plan, tmp_path, bucket.name)
    assert proxy.count(SUBMISSIONS) == 1


def test_what_is_cancelled_while_it_is_submitted_is_cancelled_at_the_engine(
    proxy, bucket, seed, tmp_path, in_ledger
):
    def meanwhile(answer: dict[str, Any]) -> dict[str, Any]:
        assert cancel(WorkDir(tmp_path)) == 1
        return answer

    proxy.inject(Fault(SUBMISSIONS, edit=meanwhile))
    with pytest.raises(EngineError, match="static cancelled"):
        tiny.run(tiny.planned(tiny.image("static", seed)), tmp_path, bucket.name)
    assert proxy.count(":cancel") == 1
    assert in_ledger() == {"static": "cancelled"}


def test_a_task_that_is_submitted_while_it_is_being_cancelled_is_cancelled_too(
    proxy, bucket, seed, tmp_path, in_ledger, monkeypatch
):
    plan = tiny.planned(tiny.image("static", seed))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        destination = f"gs://{bucket.name}/{tiny.PREFIX} (simulated)"
        ledger.add([TaskRow(plan["static"].description, "static", "image", destination)])
    tasks = Ledger.tasks

    def submitted_after(ledger: Ledger) -> tuple[TaskRow, ...]:
        before = tasks(ledger)
        monkeypatch.setattr(Ledger, "tasks", tasks)
        tiny.run(plan, tmp_path, bucket.name, detach=True)
        return before

    monkeypatch.setattr(Ledger, "tasks", submitted_after)
    assert cancel(WorkDir(tmp_path)) == 1
    assert proxy.count(":cancel") == 1
    assert in_ledger() == {"static": "cancelled"}


def test_what_the_engine_did_not_cancel_can_be_cancelled_again(proxy, bucket, seed, tmp_path, in_ledger):
    tiny.run(tiny.planned(tiny.image("static", seed)), tmp_path, bucket.name, detach=True)
    proxy.inject(Fault(":cancel", status=403, message="No right to cancel."))
    with pytest.raises(AuthError, match="cannot be cancelled"):
        cancel(WorkDir(tmp_path))
    assert in_ledger()["static"] == "submitted"
    assert cancel(WorkDir(tmp_path)) == 1
    assert proxy.count(":cancel") == 2
    assert in_ledger()["static"] == "cancelled"


def test_a_submission_that_another_machine_went_on_with_is_not_cancelled(
    proxy, bucket, seed, tmp_path, in_ledger
):
    def taken_over(answer: dict[str, Any]) -> dict[str, Any]:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            [row] = ledger.tasks()
            # It took this process for dead, and the engine the same request for the same operation.
            theirs = replace(row, state="submitted", operation=answer["name"], claimed_by=None)
            assert ledger.change(row, theirs)
        return answer

    proxy.inject(Fault(SUBMISSIONS, edit=taken_over))
    found = tiny.run(tiny.planned(tiny.image("static", seed)), tmp_path, bucket.name)
    assert proxy.count(":cancel") == 0
    assert found.done
    assert in_ledger() == {"static": "succeeded"}


def test_cancelled_at_the_engine_is_told(proxy, bucket, seed, tmp_path):
    def cancelled(answer: dict[str, Any]) -> dict[str, Any]:
        told = {**answer["metadata"], "state": "CANCELLED"}
        error = {"code": 1, "message": "Cancelled."}
        return {"name": answer["name"], "metadata": told, "done": True, "error": error}

    proxy.inject(Fault(POLLS, edit=cancelled))
    with pytest.raises(EngineError, match="static was cancelled"):
        tiny.run(tiny.planned(tiny.image("static", seed)), tmp_path, bucket.name)


def test_operations_that_a_lost_ledger_knew_are_found_by_their_names(
    proxy, bucket, seed, tmp_path, at_engine
):
    plan = tiny.tiny(seed)
    tiny.run(plan, tmp_path / "first", bucket.name)
    found = tiny.run(plan, tmp_path / "second", bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (0, 4)
    assert {len(states) for states in at_engine(plan).values()} == {1}


def test_operations_that_wrote_elsewhere_are_not_taken_for_ours(proxy, bucket, seed, tmp_path):
    plan = tiny.tiny(seed)
    tiny.run(plan, tmp_path / "first", bucket.name)
    found = tiny.run(plan, tmp_path / "second", bucket.name, prefix="others")
    assert (found.submitted, found.adopted) == (4, 0)
    assert bucket.blob(f"others/{plan['static'].description}.tif").exists()


def test_an_operation_that_turns_out_to_write_elsewhere_is_replaced(proxy, bucket, seed, tmp_path):
    plan = tiny.planned(tiny.image("static", seed))
    tiny.run(plan, tmp_path / "first", bucket.name, prefix="others")
    as_running = Fault(
        f"GET /v1/{OPERATIONS}\\?",
        edit=lambda answer: {"operations": [running(one) for one in answer["operations"]]},
    )
    proxy.inject(as_running)
    found = tiny.run(plan, tmp_path / "second", bucket.name)
    assert found.done
    assert (found.submitted, found.adopted) == (1, 1)
    assert bucket.blob(f"tiny/{plan['static'].description}.tif").exists()


def test_a_task_whose_files_are_lost_is_made_again(proxy, bucket, seed, tmp_path, at_engine):
    plan = tiny.tiny(seed)
    tiny.run(plan, tmp_path, bucket.name)
    name = plan["static"].description
    bucket.blob(f"tiny/{name}.tif").delete()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        row = ledger.task(name)
        assert row is not None
        assert ledger.again(row, "its object was deleted")
    found = tiny.run(plan, tmp_path, bucket.name)
    assert (found.submitted, found.adopted) == (1, 0)
    assert bucket.blob(f"tiny/{name}.tif").exists()
    assert len(at_engine(plan)["static"]) == 2


def test_a_checkpoint_that_is_there_is_not_made_again(proxy, bucket, seed, tmp_path, at_engine):
    ee.data.createFolder(FOLDER)
    checkpoint = tiny.Product(
        "checkpoint-lst", "asset", ee.Image.constant(seed).rename("v").toFloat(), ("v",), tiny.GRID,
        folder=FOLDER,
    )  # fmt: skip
    plan = tiny.planned(checkpoint, tiny.image("dynamic-2019-04", seed, needs=("checkpoint-lst",)))
    assert tiny.run(plan, tmp_path / "first", bucket.name).submitted == 2
    proxy.inject(Fault(f"GET /v1/{OPERATIONS}\\?", edit=lambda answer: {}))  # it forgets after a while
    found = tiny.run(plan, tmp_path / "second", bucket.name)
    assert found.done
    assert found.submitted == 1
    assert at_engine(plan) == {"checkpoint-lst": ["SUCCEEDED"], "dynamic-2019-04": ["SUCCEEDED"] * 2}


def test_one_work_directory_has_one_bucket(proxy, bucket, seed, tmp_path):
    plan = tiny.tiny(seed)
    tiny.run(plan, tmp_path, bucket.name)
    with pytest.raises(ConfigError, match=r"holds exports to gs://tiny-exports/tiny .*gs://another/tiny "):
        tiny.run(plan, tmp_path, "another")


def test_what_was_simulated_is_never_taken_for_real(proxy, bucket, seed, tmp_path):
    plan = tiny.tiny(seed)
    tiny.run(plan, tmp_path, bucket.name)
    with pytest.raises(ConfigError, match=r"\(simulated\), but gs://tiny-exports/tiny is asked"):
        export(
            plan, tiny.manifest(plan, simulated=False), WorkDir(tmp_path), bucket.name, "tiny",
            lambda what, share: None,
        )  # fmt: skip


def test_progress_rises_from_nothing_to_all_and_tells_each_task(proxy, bucket, seed, tmp_path):
    plan = tiny.tiny(seed)
    told: list[tuple[str, float]] = []
    proxy.inject(Fault(POLLS, times=3, edit=running))
    export(
        plan, tiny.manifest(plan), WorkDir(tmp_path), bucket.name, "tiny",
        lambda what, share: told.append((what, share)), patience=tiny.SOON,
    )  # fmt: skip
    shares = [share for _, share in told]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(0 <= share <= 1 for share in shares)
    done = [int(what.split(" of 4 tasks done")[0]) for what, _ in told]
    assert all(before <= after for before, after in itertools.pairwise(done))
    assert done[-1] == 4


def test_names_that_there_are_not_and_folders_without_exports_are_told(proxy, bucket, seed, tmp_path):
    with pytest.raises(DataError, match=r"Nothing was exported in .* yet: gee-smap export"):
        status(WorkDir(tmp_path))
    with pytest.raises(DataError, match="Nothing was exported"):
        cancel(WorkDir(tmp_path))
    assert not (tmp_path / "ledger.sqlite").exists()
    tiny.run(tiny.tiny(seed), tmp_path, bucket.name)
    with pytest.raises(ConfigError, match=r"no task dynamic-2019-05: gee-smap status"):
        cancel(WorkDir(tmp_path), ["static", "dynamic-2019-05"])


def test_the_plan_on_disk_is_left_alone_where_nothing_was_split(proxy, bucket, seed, tmp_path):
    plan = tiny.tiny(seed)
    found = tiny.run(plan, tmp_path, bucket.name)
    assert found.manifest == tiny.manifest(plan)
    assert not Path(WorkDir(tmp_path).manifest).exists()
