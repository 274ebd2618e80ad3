"""Publishing when something goes wrong: no image is lost, none is made twice, and what to do is told.

Faults happen between the client and the local engine, or to the process and what it left; nothing of the code
under test is replaced.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest

from gee.connection import connect, local_account
from gee.local.rest.process import Child
from pipeline.cloud.refusals import Patience
from pipeline.cloud.storage import Bucket
from pipeline.errors import AuthError, EngineError, QuotaError, StorageError
from pipeline.work.ledger import Ledger
from pipeline.work.workdir import WorkDir
from tests.pipeline.faulty_engine import Fault, Proxy
from tests.pipeline.publishing.conftest import Publish, pixels, tasks
from tests.pipeline.publishing.elsewhere import PROJECT, publishing
from tests.pipeline.publishing.made import DAYS, INDICES, soil_moisture, write_image

IMPORT, TASKS, FIND = r"image:import\b", "GET .*/operations\\?", "GET .*assets/c"
PATIENCE = 60.0
ONCE = {index: ["SUCCEEDED"] for index in INDICES}


def assert_whole(collection: str) -> None:
    """Every day has its image, with its pixels."""
    listed = ee.data.listAssets(collection)["assets"]
    assert sorted(asset["id"].rpartition("/")[2] for asset in listed) == list(INDICES)
    for number, index in enumerate(INDICES):
        np.testing.assert_array_equal(pixels(f"{collection}/{index}"), soil_moisture(number))


@pytest.fixture
def elsewhere(
    proxy: Proxy, work: WorkDir, collection: str, bucket: Bucket, server: Child
) -> Callable[[], BaseProcess]:
    """Publishes in a process of its own."""
    endpoint = str(server.address.storage)
    return lambda: publishing(proxy.url, endpoint, bucket.name, work.root, collection)


def exit_code(process: BaseProcess) -> int:
    """Of a process that has ended; minus the signal that ended it."""
    process.join(PATIENCE)
    assert process.exitcode is not None
    return process.exitcode


# Killed, and twice at once


@pytest.mark.parametrize(
    "moment",
    [
        Fault("POST .*/assets\\?", cut=True, passed_on=True),  # the collection is made, nothing in it
        Fault(IMPORT, cut=True, passed_on=False),  # the first task is claimed and not started
        Fault(IMPORT, cut=True, passed_on=True),  # it is started, which only the engine knows
        Fault("computePixels", cut=True, skip=1),  # one is made, the next not yet looked at
        Fault("PATCH .*assets/c", cut=True),  # only the collection's description is missing
    ],
    ids=["collection", "claimed", "started", "made", "described"],
)
def test_killed_and_run_again_each_day_is_made_once(
    moment: Fault, published: Publish, collection: str, elsewhere: Callable[[], BaseProcess], proxy: Proxy
) -> None:
    running: list[BaseProcess] = []
    moment.times, moment.call = 1, lambda: running[0].kill()
    proxy.inject(moment)
    running.append(elsewhere())
    assert exit_code(running[0]) == -signal.SIGKILL
    done = published()
    assert sorted(done.outcomes) == list(INDICES)
    assert tasks(collection) == ONCE
    assert_whole(collection)
    proxy.reset()
    assert published().outcomes == dict.fromkeys(INDICES, "unchanged")
    assert (proxy.count(IMPORT), proxy.count("computePixels")) == (0, 0)


def test_two_at_once_make_each_day_once(
    published: Publish, collection: str, elsewhere: Callable[[], BaseProcess], proxy: Proxy
) -> None:
    begun = threading.Event()

    def hold() -> None:  # the other one, which has claimed all days and started one
        begun.set()
        time.sleep(0.5)

    proxy.inject(Fault(IMPORT, call=hold))
    other = elsewhere()
    try:
        assert begun.wait(PATIENCE)
        published()
    finally:
        assert exit_code(other) == 0
    assert tasks(collection) == ONCE
    assert_whole(collection)


# The network and the engine


def test_bursts_of_refusals_are_borne(published: Publish, collection: str, proxy: Proxy) -> None:
    proxy.inject(
        Fault(FIND, times=2, status=503), Fault("POST .*/assets\\?", times=2, status=503),
        Fault(IMPORT, times=3, status=503), Fault(IMPORT, times=2, status=429, message="Too many requests."),
        Fault(IMPORT, status=429, message="Too many tasks already in the queue (3000)."),
        Fault(TASKS, times=3, status=500), Fault("computePixels", times=3, status=503),
        Fault("PATCH", times=2, status=502), Fault(TASKS, cut=True), Fault("computePixels", cut=True),
    )  # fmt: skip
    assert published().outcomes == dict.fromkeys(INDICES, "new")
    assert tasks(collection) == ONCE
    assert_whole(collection)


def test_a_start_whose_answer_is_lost_is_not_repeated(
    published: Publish, collection: str, proxy: Proxy
) -> None:
    def still_running(answer: dict[str, Any]) -> dict[str, Any]:
        shown = [{**one, "metadata": {**one["metadata"], "state": "RUNNING"}} for one in answer["operations"]]
        return {**answer, "operations": shown}

    proxy.inject(
        Fault(IMPORT, times=3, cut=True, passed_on=True),
        Fault(TASKS, times=6, skip=2, edit=still_running),
    )
    assert published().adopted == 3
    assert tasks(collection) == ONCE
    assert_whole(collection)


def test_a_registration_whose_answer_is_lost_is_done(
    published: Publish, collection: str, proxy: Proxy
) -> None:
    proxy.inject(Fault("importExternal", times=2, cut=True, passed_on=True))
    assert published(cog_backed=True).outcomes == dict.fromkeys(INDICES, "new")
    assert_whole(collection)


def test_an_engine_that_is_down_is_told(published: Publish, proxy: Proxy) -> None:
    proxy.inject(Fault(IMPORT, times=10**6, status=503))
    with pytest.raises(EngineError, match=r"No task can be started.*Service unavailable.*gee-smap publish"):
        published(patience=Patience(first=0.01, longest=0.05, limit=0.3))
    proxy.reset()


# Tasks that fail


def state(name: str) -> str:
    return str(ee.data.getOperation(name)["metadata"]["state"])


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Undone:
    """What the first tasks that are started have made is removed again, and something else is told of them.

    Attributes:
        told: what a listing says of such a task; None where it leaves it out.
        times: tasks.
    """

    told: Callable[[dict[str, Any]], dict[str, Any] | None]
    times: int = 1
    names: set[str] = field(default_factory=set)

    def faults(self, listings: int) -> tuple[Fault, ...]:
        return (
            Fault(IMPORT, times=self.times, edit=self.undo),
            Fault(TASKS, times=listings, skip=2, edit=self.listed),
        )

    def undo(self, answer: dict[str, Any]) -> dict[str, Any]:
        wait_until(lambda: state(answer["name"]) == "SUCCEEDED")
        made = ee.data.getOperation(answer["name"])["metadata"]["description"].removeprefix(
            "Asset ingestion: "
        )
        ee.data.deleteAsset(made)
        self.names.add(answer["name"])
        return answer

    def listed(self, answer: dict[str, Any]) -> dict[str, Any]:
        shown = [self.told(one) if one["name"] in self.names else one for one in answer["operations"]]
        return {**answer, "operations": [one for one in shown if one is not None]}


def ended(state: str, **error: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An operation as it would be told if its task had ended so."""
    return lambda one: {
        **one, "metadata": {**one["metadata"], "state": state, "destinationUris": []}, "error": error
    }  # fmt: skip


def vanished(one: dict[str, Any]) -> None:
    """An operation the engine tells nothing of any more."""


@pytest.mark.parametrize(
    "told",
    [
        ended("FAILED", code=13, message="Internal error."),
        ended("FAILED", code=4, message="Timed out."),
        vanished,
    ],
    ids=["internal", "time", "vanished"],
)
def test_a_task_that_fails_in_passing_is_started_again(
    told: Any, published: Publish, collection: str, proxy: Proxy
) -> None:
    proxy.inject(*Undone(told).faults(1))
    assert published().outcomes == dict.fromkeys(INDICES, "new")
    assert tasks(collection) == {**ONCE, "20190618": ["SUCCEEDED"] * 2}
    assert_whole(collection)


def test_a_task_that_was_cancelled_is_told_and_the_others_are_done(
    published: Publish, collection: str, proxy: Proxy, work: WorkDir
) -> None:
    proxy.inject(*Undone(ended("CANCELLED", code=1, message="Cancelled.")).faults(1))
    with pytest.raises(EngineError) as refused:
        published()
    assert "1 of 3 images" in str(refused.value)
    assert "20190618: the task was cancelled" in str(refused.value)
    assert tasks(collection) == ONCE
    with Ledger(work.ledger) as ledger:
        row = ledger.asset(f"{collection}/20190618")
    assert row is not None
    assert (row.state, row.error) == ("failed", "the task was cancelled")
    assert list(published().outcomes.values()) == ["new", "unchanged", "unchanged"]
    assert_whole(collection)


def test_a_task_that_fails_again_and_again_is_given_up(
    published: Publish, collection: str, proxy: Proxy
) -> None:
    proxy.inject(*Undone(ended("FAILED", code=14, message="Backend error."), times=3).faults(5))
    with pytest.raises(EngineError, match=r"1 of 1 images .*\n20190618: Backend error"):
        published(days=DAYS[:1])
    assert tasks(collection) == {"20190618": ["SUCCEEDED"] * 3}
    assert published().outcomes == dict.fromkeys(INDICES, "new")


def test_a_quota_that_is_used_up_ends_it(published: Publish, proxy: Proxy) -> None:
    proxy.inject(*Undone(ended("FAILED", code=8, message="Asset storage quota exceeded.")).faults(1))
    with pytest.raises(QuotaError, match="Asset storage quota exceeded"):
        published()


def test_a_quota_that_would_be_used_up_is_told_before(
    published: Publish, proxy: Proxy, bucket: Bucket, collection: str
) -> None:
    full = {
        "quota": {"assetCount": "9998", "maxAssets": "10000", "sizeBytes": "0", "maxSizeBytes": "1000000"}
    }
    proxy.inject(Fault("GET .*/assets/(\\?|$)", edit=lambda answer: answer | full))
    with pytest.raises(QuotaError, match=r"3 images .* holds 9,998 assets \(at most 10,000\)"):
        published()
    assert proxy.count(IMPORT) == 0
    assert bucket.listing(f"study/{collection[-10:]}/") == ()


@pytest.fixture
def before_the_start(
    proxy: Proxy, bucket: Bucket, collection: str
) -> Callable[[Callable[[str], object]], None]:
    """Has something done to the first day's object when it is in the bucket and no task is started yet."""

    def inject(harm: Callable[[str], object]) -> None:
        def edit(answer: dict[str, Any]) -> dict[str, Any]:
            [there] = bucket.listing(f"study/{collection[-10:]}/images/sm_20190618")
            harm(there.name)
            return answer

        proxy.inject(Fault(TASKS, skip=1, edit=edit))

    return inject


def test_an_object_that_is_gone_is_told(
    published: Publish, bucket: Bucket, collection: str, before_the_start: Any
) -> None:
    before_the_start(lambda name: bucket.remove([name]))
    told = r"Earth Engine cannot read gs://.*sm_20190618.*\n.*Storage Object Viewer"
    with pytest.raises(StorageError, match=told):
        published()
    published()
    assert tasks(collection) == {**ONCE, "20190618": ["SUCCEEDED", "FAILED"]}
    assert_whole(collection)


def test_a_broken_object_fails_alone(
    published: Publish, bucket: Bucket, collection: str, before_the_start: Any
) -> None:
    before_the_start(lambda name: bucket.handle.blob(name).upload_from_string(b"no image"))
    with pytest.raises(EngineError, match=r"1 of 3 images .*\n20190618: .*cannot be read as a GeoTIFF"):
        published()
    assert list(published().outcomes.values()) == ["new", "unchanged", "unchanged"]
    assert_whole(collection)


def test_what_reads_back_otherwise_is_made_again_and_then_told(
    published: Publish, bucket: Bucket, collection: str, before_the_start: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.tif"
    write_image(other, soil_moisture(7))
    before_the_start(lambda name: bucket.handle.blob(name).upload_from_filename(str(other)))
    with pytest.raises(EngineError, match="20190618: what is read back is not what was sent"):
        published()
    assert tasks(collection) == {**ONCE, "20190618": ["SUCCEEDED"] * 3}
    assert list(published().outcomes.values()) == ["replaced", "unchanged", "unchanged"]
    assert_whole(collection)


# Hands of others


def test_what_was_changed_by_hand_is_mended(published: Publish, collection: str, bucket: Bucket) -> None:
    published()
    names = [f"{collection}/{index}" for index in INDICES]
    ee.data.updateAsset(names[0], {"properties": {"simulated": 0}}, ['properties."simulated"'])
    told = ee.data.getAsset(names[1])
    [other] = bucket.listing(f"study/{collection[-10:]}/images/sm_20190620")
    manifest = {
        "name": names[1], "tilesets": [{"sources": [{"uris": [bucket.uri(other.name)]}]}],
        "bands": [{"id": "sm"}], "startTime": told["startTime"], "endTime": told["endTime"],
        "properties": told["properties"],  # it says of itself that it is what it is not
    }  # fmt: skip
    operation = ee.data.startIngestion("", manifest, allow_overwrite=True)["name"]
    wait_until(lambda: state(operation) == "SUCCEEDED")
    np.testing.assert_array_equal(pixels(names[1]), soil_moisture(2))
    ee.data.deleteAsset(names[2])
    assert list(published().outcomes.values()) == ["described", "replaced", "new"]
    assert_whole(collection)
    assert ee.data.getAsset(names[0])["properties"]["simulated"] == 1


# Credentials


@pytest.fixture
def as_account(proxy: Proxy, server: Child, tmp_path: Path) -> Iterator[str]:
    """The client as a service account with a project of its own; gives the project."""
    name = "publisher-1"
    key = tmp_path / "key.json"
    key.write_text(json.dumps(local_account(name, Path(server.address.state))), encoding="utf-8")
    try:
        connect(proxy.url, name, key)
        ee.data.setMaxRetries(0)
        yield name
    finally:
        connect(proxy.url, PROJECT)
        ee.data.setMaxRetries(0)


def forget(server: Child, account: str, *tables: str) -> None:
    """Make the engine forget what it gave an account; other tests use others of the same engine."""
    with sqlite3.connect(Path(server.address.state) / "state.sqlite", timeout=30) as database:
        for table in tables:
            statement = f"DELETE FROM {table} WHERE email LIKE ?"  # noqa: S608 - our own names
            assert database.execute(statement, (f"{account}@%",)).rowcount > 0
    database.close()


def test_a_token_that_expires_is_renewed_and_a_key_that_is_revoked_told(
    published: Publish, as_account: str, proxy: Proxy, server: Child
) -> None:
    collection = f"projects/{as_account}/assets/sm"
    proxy.inject(Fault("computePixels", call=lambda: forget(server, as_account, "tokens")))
    assert published(collection=collection).outcomes == dict.fromkeys(INDICES, "new")
    assert tasks(collection) == ONCE
    forget(server, as_account, "tokens", "account_keys")
    with pytest.raises(AuthError, match="gee-smap auth"):
        published(collection=collection)
