"""What breaks between a bucket and the disk: nothing is lost, nothing half-made looks whole, all is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as cloud
from google.oauth2.credentials import Credentials

from gee.local.rest.storage import start_storage
from pipeline.cloud import storage
from pipeline.cloud.storage import RETRY, TRIES, Bucket, open_bucket
from pipeline.errors import AuthError, QuotaError, StorageError
from pipeline.work.ledger import Ledger
from tests.disks import mounted
from tests.pipeline.faulty_storage import Asked, Fault, Proxy, proxy_before

PROJECT = "my-project"
QUICK = RETRY.with_delay(initial=0.01, maximum=0.05).with_timeout(5.0)  # the rules, without the waiting
RANGE_BYTES = 3 << 20  # smaller than usual, for the tests' speed
SIZE = 3 * RANGE_BYTES + 12_345  # four ranges; large enough for the client to upload it in pieces
NAME = "study/month.tif"


def quiet(*_: object) -> None:
    """Nobody to report to."""


def noise(seed: int, size: int = SIZE) -> bytes:
    return np.random.default_rng(seed).bytes(size)


OLD, NEW = noise(1), noise(2)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = start_storage(tmp_path_factory.mktemp("storage"), tmp_path_factory.mktemp("log") / "log")
    yield running.url
    running.stop()


@pytest.fixture
def proxy(behind: str) -> Iterator[Proxy]:
    with proxy_before(behind) as made:
        yield made


@pytest.fixture
def inside(behind: str) -> cloud.Bucket:
    """The bucket as somebody else sees it, who is not disturbed."""
    client = cloud.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": behind}
    )
    return client.create_bucket(f"b-{uuid.uuid4()}")


@pytest.fixture
def bucket(proxy: Proxy, inside: cloud.Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(storage, "RANGE_BYTES", RANGE_BYTES)
    monkeypatch.setattr(storage, "PIECE_BYTES", RANGE_BYTES)
    opened = replace(open_bucket(inside.name, PROJECT, proxy.url), retry=QUICK)
    proxy.asked.clear()
    return opened


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def month(tmp_path: Path) -> Path:
    """A file to send."""
    path = tmp_path / "month.tif"
    path.write_bytes(NEW)
    return path


def put(inside: cloud.Bucket, content: bytes, name: str = NAME) -> None:
    inside.blob(name, chunk_size=64 << 20).upload_from_string(content)


def held(inside: cloud.Bucket, name: str = NAME) -> bytes:
    return bytes(inside.blob(name).download_as_bytes())


def names(folder: Path) -> list[str]:
    """All there is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


# Connections that break


def test_a_download_goes_on_where_its_connection_broke(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    kept = 2_000_000
    proxy.faults = [Fault(lambda asked: asked.range == (RANGE_BYTES, 2 * RANGE_BYTES - 1), cut=kept)]
    bucket.download([NAME], out, quiet)
    assert (out / "month.tif").read_bytes() == OLD
    spans = [one.range for one in proxy.media() if one.range]
    assert len(spans) == 5
    (again,) = [span for span in spans if span[0] % RANGE_BYTES]
    assert kept - 100_000 < again[0] - RANGE_BYTES <= kept  # what had arrived is not asked for again
    assert again[1] == 2 * RANGE_BYTES - 1


def test_a_download_survives_a_connection_that_breaks_all_the_time(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    proxy.faults = [Fault(Asked.is_media, cut=1_000_000, times=20)]
    bucket.download([NAME], out, quiet)
    assert (out / "month.tif").read_bytes() == OLD
    assert names(out) == ["month.tif"]


def test_an_upload_goes_on_with_the_piece_whose_connection_broke(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path
) -> None:
    proxy.faults = [Fault(Asked.is_upload, unread=True, after=2)]  # the session's begin is the first
    bucket.upload([month], "study", quiet)
    assert held(inside) == NEW
    assert sum(one.size for one in proxy.uploads()) < SIZE + RANGE_BYTES + 10_000


@pytest.mark.parametrize("piece", range(1, 5))
def test_an_upload_whose_answer_is_lost_arrives_once_and_whole(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path, piece: int
) -> None:
    proxy.faults = [Fault(Asked.is_upload, lost=True, after=piece)]
    done = bucket.upload([month], "study", quiet)
    assert held(inside) == NEW
    assert [one.name for one in inside.list_blobs()] == [NAME]
    assert done.objects[0].generation == inside.get_blob(NAME).generation
    if piece == 4:  # the last one: the object was there already
        assert sum(one.size for one in proxy.uploads()) < SIZE + RANGE_BYTES


def test_a_small_upload_whose_answer_is_lost_is_not_stored_twice(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path
) -> None:
    month.write_bytes(b"small")
    proxy.faults = [Fault(Asked.is_upload, lost=True)]
    seen: list[int] = []
    proxy.faults[0].before = lambda: seen.append(len(list(inside.list_blobs())))
    done = bucket.upload([month], "study", quiet)
    assert seen == [0]
    assert held(inside) == b"small"
    assert done.objects[0].generation == inside.get_blob(NAME).generation


def test_a_slow_line_does_not_break_off_what_is_sent(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month.write_bytes(noise(5, 8_000_000))  # in one request, and more than the system takes in advance
    proxy.slow = 1.0
    monkeypatch.setattr(storage, "TIMEOUT", (0.3, 5.0))
    bucket.upload([month], "study", quiet)
    assert len(proxy.uploads()) == 1
    assert held(inside) == month.read_bytes()


# A service that is busy


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_bursts_of_refusals_are_waited_out(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path, out: Path, status: int
) -> None:
    bursts = [
        Fault(lambda asked: asked.method == "GET" and not asked.is_media(), status=status, times=3),
        Fault(Asked.is_upload, status=status, times=3, after=1),
        Fault(Asked.is_media, status=status, times=3),
        Fault(lambda asked: asked.method == "DELETE", status=status, times=3),
    ]
    proxy.faults = bursts
    bucket.upload([month], "study", quiet)
    bucket.download([NAME], out, quiet)
    assert (out / "month.tif").read_bytes() == NEW
    assert bucket.remove([NAME]) == (NAME,)
    assert all(fault.seen > fault.times for fault in bursts)  # each of them struck


@pytest.mark.parametrize(("status", "kind"), [(503, StorageError), (429, QuotaError)])
def test_a_service_that_stays_away_is_told_in_bounded_time(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path, out: Path, status: int, kind: type
) -> None:
    put(inside, OLD)
    patient = replace(bucket, retry=QUICK.with_timeout(0.5))
    proxy.faults = [
        Fault(lambda asked: asked.is_media() or asked.is_upload(), status=status, times=10**6)
    ]  # fmt: skip
    began = time.monotonic()
    for work in (
        lambda: patient.download([NAME], out, quiet),
        lambda: patient.upload([month], "study", quiet),
    ):
        with pytest.raises(kind) as caught:
            work()
        said = str(caught.value)
        assert said.startswith(f"gs://{inside.name}/{NAME}: ")
        assert "type the same command again" in said
        assert "upload_id" not in said
    assert time.monotonic() - began < 10
    assert names(out) == []
    assert held(inside) == OLD


def test_a_connection_that_is_refused_does_not_give_away_the_address_of_an_upload(
    proxy: Proxy, bucket: Bucket, month: Path
) -> None:
    patient = replace(bucket, retry=QUICK.with_timeout(0.3))
    proxy.faults = [Fault(Asked.is_upload, unread=True, times=10**6, after=1)]
    with pytest.raises(StorageError) as caught:
        patient.upload([month], "study", quiet)
    assert "upload_id" not in str(caught.value)
    assert "no answer" in str(caught.value)


# Objects that are not what they were


def changing(inside: cloud.Bucket, content: bytes) -> Callable[[], None]:
    return lambda: put(inside, content)


@pytest.mark.parametrize("content", [NEW, noise(3, 1000), b"", noise(3, SIZE + RANGE_BYTES)])
def test_an_object_replaced_while_it_is_fetched_is_fetched_as_it_is_then(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, tmp_path: Path, out: Path, content: bytes
) -> None:
    put(inside, OLD)
    proxy.faults = [Fault(Asked.is_media, after=2, before=changing(inside, content))]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        done = bucket.download([NAME], out, quiet, ledger)
        recorded = ledger.object(NAME)
    assert (out / "month.tif").read_bytes() == content  # and nothing of the old one
    assert names(out) == ["month.tif"]
    now = inside.get_blob(NAME)
    assert (done.objects[0].generation, done.objects[0].size) == (now.generation, len(content))
    assert recorded is not None
    assert (recorded.generation, recorded.crc32c) == (now.generation, now.crc32c)


def test_an_object_that_is_replaced_again_and_again_is_refused(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    numbers = iter(range(100))
    proxy.faults = [
        Fault(Asked.is_media, times=10**6, before=lambda: put(inside, noise(next(numbers), 1000)))
    ]
    with pytest.raises(StorageError) as caught:
        bucket.download([NAME], out, quiet)
    assert f"gs://{inside.name}/{NAME} was replaced while it was fetched, {TRIES} times over" in str(
        caught.value
    )
    assert names(out) == []


def test_an_object_removed_while_it_is_fetched_is_told_with_what_makes_it_again(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    proxy.faults = [Fault(Asked.is_media, after=1, before=lambda: inside.blob(NAME).delete())]
    with pytest.raises(StorageError, match=r"does not hold study/month\.tif.\nType: gee-smap export"):
        bucket.download([NAME], out, quiet)
    assert names(out) == []


@pytest.mark.parametrize("fault", [{"short": 1000}, {"changed": True}], ids=["truncated", "turned over"])
def test_content_that_is_not_the_object_s_is_fetched_again(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path, fault: dict[str, int]
) -> None:
    put(inside, OLD)
    proxy.faults = [Fault(Asked.is_media, after=1, **fault)]
    bucket.download([NAME], out, quiet)
    assert (out / "month.tif").read_bytes() == OLD
    assert len(proxy.media()) == 8


def test_content_that_never_is_the_object_s_is_refused_and_the_file_before_stays(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    out.mkdir()
    (out / "month.tif").write_bytes(b"of last week")
    proxy.faults = [Fault(Asked.is_media, times=10**6, short=1000)]
    with pytest.raises(StorageError, match=rf"arrived with CRC32C .* {TRIES} times over; it was not taken"):
        bucket.download([NAME], out, quiet)
    assert names(out) == ["month.tif"]
    assert (out / "month.tif").read_bytes() == b"of last week"


def test_an_upload_that_arrives_changed_is_sent_again(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path
) -> None:
    proxy.faults = [Fault(Asked.is_upload, changed=True, after=2)]
    bucket.upload([month], "study", quiet)
    assert held(inside) == NEW
    assert proxy.faults[0].seen > 5


def test_an_upload_that_always_arrives_changed_is_refused_and_leaves_nothing(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path
) -> None:
    proxy.faults = [Fault(lambda asked: asked.is_upload() and asked.method == "PUT", changed=True, times=999)]
    with pytest.raises(StorageError, match=rf"month\.tif did not arrive as it was sent, {TRIES} times over"):
        bucket.upload([month], "study", quiet)
    assert list(inside.list_blobs()) == []


@pytest.mark.parametrize("known", [None, OLD], ids=["nothing there", "an older one there"])
@pytest.mark.parametrize("size", [1000, SIZE], ids=["small", "large"])
def test_an_upload_does_not_overwrite_what_somebody_else_writes_meanwhile(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path, known: bytes | None, size: int
) -> None:
    if known is not None:
        put(inside, known)
    month.write_bytes(NEW[:size])
    proxy.faults = [Fault(Asked.is_upload, before=lambda: put(inside, b"theirs"))]
    with pytest.raises(StorageError, match="was written by somebody else while"):
        bucket.upload([month], "study", quiet)
    assert held(inside) == b"theirs"


def test_an_upload_that_somebody_else_made_meanwhile_is_done(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path
) -> None:
    proxy.faults = [Fault(Asked.is_upload, before=lambda: put(inside, NEW))]
    done = bucket.upload([month], "study", quiet)
    assert done.objects[0].generation == inside.get_blob(NAME).generation


# Accounts


def test_a_token_that_has_expired_for_good_is_told_with_the_command_that_gets_another(
    proxy: Proxy, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    account = Credentials(
        "old-access-token", "secret-refresh-token", None, f"{proxy.url}/token", "id", "secret-of-client"
    )
    opened = open_bucket(inside.name, PROJECT, proxy.url, credentials=account)
    denied = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    proxy.faults = [
        Fault(lambda asked: asked.path == "/token", status=400, body=denied, times=999),
        Fault(status=401, times=999),
    ]
    with pytest.raises(AuthError) as caught:
        opened.download([NAME], out, quiet)
    assert "Token has been expired or revoked" in str(caught.value)
    assert "gee-smap auth" in str(caught.value)
    for secret in ("old-access-token", "secret-refresh-token", "secret-of-client"):
        assert secret not in str(caught.value)
    assert names(out) == []


def test_a_token_that_is_renewed_midway_is_not_noticed(proxy: Proxy, inside: cloud.Bucket, out: Path) -> None:
    put(inside, OLD)
    account = Credentials("old", "refresh", None, f"{proxy.url}/token", "id", "secret")
    opened = open_bucket(inside.name, PROJECT, proxy.url, credentials=account)
    fresh = {"access_token": "new", "expires_in": 3600, "token_type": "Bearer"}
    proxy.faults = [
        Fault(lambda asked: asked.path == "/token", status=200, body=fresh, times=999),
        Fault(
            lambda asked: asked.headers.get("authorization") == "Bearer old", status=401, times=999, after=1
        ),
    ]
    opened.download([NAME], out, quiet)
    assert (out / "month.tif").read_bytes() == OLD
    assert proxy.faults[0].seen > 0


@pytest.mark.parametrize("part", ["open", "list", "down", "up", "remove"])
def test_what_the_account_may_not_do_is_told_with_who_can_help(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, month: Path, out: Path, part: str
) -> None:
    put(inside, OLD)
    work: dict[str, Callable[[], object]] = {
        "open": lambda: open_bucket(inside.name, PROJECT, proxy.url),
        "list": lambda: bucket.listing("study/"),
        "down": lambda: bucket.download([NAME], out, quiet),
        "up": lambda: bucket.upload([month], "study", quiet),
        "remove": lambda: bucket.remove([NAME]),
    }
    said = "me@example.org does not have storage.objects access to the Google Cloud Storage bucket."
    wrong: dict[str, Callable[[Asked], bool]] = {"down": Asked.is_media, "up": Asked.is_upload}
    proxy.faults = [Fault(wrong.get(part, lambda _: True), status=403, message=said, times=999)]
    with pytest.raises(AuthError) as caught:
        work[part]()
    assert str(caught.value).startswith(f"gs://{inside.name}")
    assert said in str(caught.value)
    assert "roles/storage.objectAdmin" in str(caught.value)


def test_who_may_not_look_at_the_bucket_may_still_use_its_objects(
    proxy: Proxy, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    proxy.faults = [Fault(lambda asked: asked.path.endswith(f"/b/{inside.name}"), status=403, times=999)]
    open_bucket(inside.name, PROJECT, proxy.url).download([NAME], out, quiet)
    assert (out / "month.tif").read_bytes() == OLD


def test_a_refusal_that_means_too_fast_is_no_question_of_rights(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    body = {"error": {"code": 403, "message": "slow down", "errors": [{"reason": "rateLimitExceeded"}]}}
    proxy.faults = [Fault(Asked.is_media, status=403, body=body, times=999)]
    with pytest.raises(QuotaError, match="slow down"):
        bucket.download([NAME], out, quiet)


# The disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 16) as disk:
        yield disk


def test_a_disk_too_small_is_told_before_anything_is_fetched(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, small_disk: Path
) -> None:
    put(inside, OLD)
    put(inside, NEW, "study/other.tif")
    with pytest.raises(StorageError, match=rf"(?s)disk of {small_disk}/exports has .* nothing was fetched"):
        bucket.download([NAME, "study/other.tif"], small_disk / "exports", quiet)
    assert proxy.media() == []


def test_a_disk_that_fills_up_loses_nothing_and_the_next_call_ends_it(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, small_disk: Path, tmp_path: Path
) -> None:
    put(inside, b"first", "study/a.tif")
    put(inside, OLD)
    out = small_disk / "exports"
    bucket.download(["study/a.tif"], out, quiet)
    filler = small_disk / "filler"
    proxy.faults = [Fault(Asked.is_media, after=2, before=lambda: filler.write_bytes(bytes(12_000_000)))]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(StorageError) as caught:
            bucket.download(["study/a.tif", NAME], out, quiet, ledger)
        assert f"The disk at {small_disk} is full: {out / 'month.tif'}" in str(caught.value)
        assert names(out) == ["a.tif"]
        assert [row.name for row in ledger.objects()] == ["study/a.tif"]
        filler.unlink()
        done = bucket.download(["study/a.tif", NAME], out, quiet, ledger)
        assert [row.name for row in ledger.objects()] == ["study/a.tif", NAME]
    assert done.moved == {NAME}
    assert (out / "month.tif").read_bytes() == OLD


def test_a_folder_that_cannot_be_made_is_told(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"{tmp_path}/file/exports cannot be read or written"):
        bucket.download([NAME], tmp_path / "file" / "exports", quiet)


def test_a_file_that_cannot_be_read_is_told(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.tif cannot be read or written: No such file"):
        bucket.upload([tmp_path / "gone.tif"], "study", quiet)


# Whoever stops it


def test_one_file_that_fails_stops_the_others_and_keeps_those_that_are_whole(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    every = [f"study/{number}.tif" for number in range(30)]
    for name in every:
        put(inside, b"content", name)
    proxy.faults = [
        Fault(lambda asked: asked.is_media() and asked.path.endswith("10.tif"), status=403, times=999)
    ]
    with pytest.raises(AuthError, match=r"10\.tif"):
        bucket.download(every, out, quiet)
    assert len(proxy.media()) < 30  # those that had not begun were not begun
    kept = names(out)
    assert 0 < len(kept) < 29
    assert all((out / name).read_bytes() == b"content" for name in kept)
    proxy.faults = []
    assert len(bucket.download(every, out, quiet).moved) == 30 - len(kept)


def test_an_interruption_leaves_no_half_file(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)

    def interrupted(what: str, share: float) -> None:
        if proxy.media():
            raise KeyboardInterrupt

    waiting = threading.Event()
    proxy.faults = [Fault(Asked.is_media, times=999, before=lambda: waiting.wait(1.0))]
    with pytest.raises(KeyboardInterrupt):
        bucket.download([NAME], out, interrupted)
    waiting.set()
    assert names(out) == []


KILLED = """
import sys
from pathlib import Path
from pipeline.cloud.storage import open_bucket
name, url, out = sys.argv[1:]
open_bucket(name, "my-project", url).download(["study/month.tif"], Path(out), lambda *_: None)
"""


def test_a_killed_download_leaves_nothing_that_looks_whole_and_the_next_one_tidies_up(
    proxy: Proxy, bucket: Bucket, inside: cloud.Bucket, out: Path
) -> None:
    put(inside, OLD)
    reached, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        reached.set()
        go_on.wait(30)

    proxy.faults = [Fault(Asked.is_media, after=1, before=hang)]
    child = subprocess.Popen([sys.executable, "-c", KILLED, inside.name, proxy.url, str(out)])
    try:
        assert reached.wait(60)
        os.kill(child.pid, signal.SIGKILL)
    finally:
        go_on.set()
        child.kill()
        child.wait()
    assert names(out) == [f".month.{child.pid}.tif"]
    bucket.download([NAME], out, quiet)
    assert names(out) == ["month.tif"]
    assert (out / "month.tif").read_bytes() == OLD


def test_the_client_s_own_patience_is_bounded() -> None:
    assert storage.RETRY.timeout == storage.RETRY_SECONDS
    assert storage.RETRY_SECONDS <= 300
