"""A bucket and its files, through the real client and the emulator beside the local engine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gee.local.rest.storage import start_storage
from pipeline.cloud import storage
from pipeline.cloud.storage import RANGE_BYTES, Bucket, open_bucket
from pipeline.cloud.transfers import checksum
from pipeline.errors import AuthError, ConfigError, StorageError
from pipeline.work.ledger import Ledger, ObjectRow

PROJECT = "my-project"
LARGE_BYTES = 50_000_000
GROWTH_BOUND = 25_000_000  # bytes that a transfer of LARGE_BYTES may add to a process

KNOWN_SUMS = [  # CRC32C of texts: RFC 3720, appendix B.4, and the usual check value
    (b"", 0),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
]
DIGITS_SUM = "4waSgw=="  # 0xE3069283 as Cloud Storage writes it


def quiet(*_: object) -> None:
    """Nobody to report to."""


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = start_storage(tmp_path_factory.mktemp("storage"), tmp_path_factory.mktemp("log") / "log")
    yield running.url
    running.stop()


@pytest.fixture
def bucket(url: str) -> Bucket:
    return open_bucket(f"b-{uuid.uuid4()}", PROJECT, url, create=True)


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[Path]]:
    """Writes files into a folder of their own."""

    def write(**contents: bytes) -> list[Path]:
        folder = tmp_path / "sources"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{name}.tif" for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_bytes(content)
        return paths

    return write


# Opening


def test_a_bucket_that_is_not_there_is_an_error_with_the_command_that_makes_it(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_bucket("not-there", PROJECT, url)
    assert "gs://not-there does not exist" in str(caught.value)
    assert "gcloud storage buckets create gs://not-there --location=us-central1 --project=my-project" in str(
        caught.value
    )


def test_a_bucket_is_made_where_that_is_wanted_and_found_the_next_time(url: str) -> None:
    assert open_bucket("made-here", PROJECT, url, create=True).name == "made-here"
    assert open_bucket("made-here", PROJECT, url, create=True).listing("") == ()
    assert open_bucket("made-here", PROJECT, url).uri("a/b") == "gs://made-here/a/b"


@pytest.mark.parametrize("name", ["", "gs://bucket", "bucket/", "Upper", "a", "bucket/folder"])
def test_what_cannot_be_a_bucket_is_told_before_anything_is_asked(name: str) -> None:
    with pytest.raises(ConfigError, match="GEE_SMAP_BUCKET"):
        open_bucket(name, PROJECT, "http://127.0.0.1:9")


def test_that_nobody_is_there_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_SECONDS", 1.0)
    with pytest.raises(StorageError, match=r"gs://bucket: .*no answer"):
        open_bucket("bucket", PROJECT, "http://127.0.0.1:9")


def test_a_key_file_that_is_none_is_told_without_its_content(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    with pytest.raises(AuthError, match=r"key\.json"):
        open_bucket("bucket", PROJECT, credentials=key)
    key.write_text(json.dumps({"type": "service_account", "private_key": "SECRET", "client_email": "a@b"}))
    with pytest.raises(AuthError, match=r"key\.json") as caught:
        open_bucket("bucket", PROJECT, credentials=key)
    assert "SECRET" not in str(caught.value)
    assert "gee-smap auth" in str(caught.value)


def test_a_key_of_a_local_engine_is_not_taken_to_google(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "service_account", "token_uri": "http://127.0.0.1:8085/token"}))
    with pytest.raises(AuthError, match=r"key\.json belongs to a local engine.*\nType: gee-smap auth"):
        open_bucket("bucket", PROJECT, credentials=key)


def test_a_key_file_of_another_kind_is_told_with_those_that_are_taken(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "external_account"}))
    with pytest.raises(AuthError, match="'external_account'; service_account, authorized_user are taken"):
        open_bucket("bucket", PROJECT, credentials=key)


def test_no_credentials_for_google_are_told_with_the_command_that_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "CLOUDSDK_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(AuthError, match="gee-smap auth"):
        open_bucket("bucket", PROJECT)


# Files up and down


@pytest.mark.parametrize(("content", "expected"), KNOWN_SUMS)
def test_the_checksum_is_that_of_the_standard(tmp_path: Path, content: bytes, expected: int) -> None:
    (tmp_path / "file").write_bytes(content)
    assert int.from_bytes(base64.b64decode(checksum(tmp_path / "file")), "big") == expected


def test_files_come_back_as_they_went(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    contents = {
        "empty": b"", "small": b"123456789", "large": noise(2 * RANGE_BYTES + 1), "exact": noise(RANGE_BYTES),
    }  # fmt: skip
    sent = bucket.upload(files(**contents), "gee-smap/anhui/", quiet)
    assert [one.name for one in sent.objects] == [f"gee-smap/anhui/{name}.tif" for name in contents]
    assert sent.moved == {one.name for one in sent.objects}
    assert sent.objects[1].crc32c == DIGITS_SUM
    names = [one.name for one in sent.objects]
    got = bucket.download(names, tmp_path / "deep" / "exports", quiet)
    assert got.files == tuple(tmp_path / "deep" / "exports" / f"{name}.tif" for name in contents)
    assert [path.read_bytes() for path in got.files] == list(contents.values())
    assert got.moved_bytes == sum(map(len, contents.values()))
    assert sorted(path.name for path in got.files[0].parent.iterdir()) == sorted(
        path.name for path in got.files
    )
    assert bucket.listing("gee-smap/anhui/s") == (sent.objects[1],)


def test_a_second_time_nothing_moves(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    paths = files(a=noise(1000), b=noise(2000))
    first = bucket.upload(paths, "study", quiet)
    again = bucket.upload(paths, "study", quiet)
    assert again.moved == frozenset()
    assert again.objects == first.objects  # generations too
    names = [one.name for one in first.objects]
    bucket.download(names, tmp_path / "out", quiet)
    written = [path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()]
    got = bucket.download(names, tmp_path / "out", quiet)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()] == written
    assert list(got.notes()) == ["2 files were downloaded before and are as they should be"]
    assert (got.as_dict()["downloaded"], got.as_dict()["bytes"]) == ([], 0)


def test_a_file_that_changed_moves_again_and_others_do_not(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    first = bucket.upload(files(a=noise(1000), b=noise(1000, 1)), "study", quiet)
    again = bucket.upload(files(a=noise(1000), b=noise(1000, 2)), "study", quiet)
    assert again.moved == {"study/b.tif"}
    assert again.objects[0] == first.objects[0]
    assert again.objects[1].generation > first.objects[1].generation
    names = [one.name for one in first.objects]
    out = tmp_path / "out"
    bucket.download(names, out, quiet)
    (out / "a.tif").write_bytes(noise(999) + b"\0")  # of the same size
    assert bucket.download(names, out, quiet).moved == {"study/a.tif"}
    assert (out / "a.tif").read_bytes() == noise(1000)
    assert (out / "b.tif").read_bytes() == noise(1000, 2)


def test_the_ledger_knows_what_was_fetched(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    (sent,) = bucket.upload(files(a=b"123456789"), "study", quiet).objects
    expected = ObjectRow(
        "study/a.tif", bucket.name, "static-0123456789", sent.generation, 9, DIGITS_SUM,
        tmp_path / "out" / "a.tif", "downloaded",
    )  # fmt: skip
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put_object(ObjectRow("study/a.tif", bucket.name, "static-0123456789"))
        bucket.download(["study/a.tif"], tmp_path / "out", quiet, ledger)
        assert ledger.object("study/a.tif") == expected
    with Ledger(tmp_path / "other.sqlite") as ledger:  # that it was there is known there too
        bucket.download(["study/a.tif"], tmp_path / "out", quiet, ledger)
        found = ledger.object("study/a.tif")
        assert found is not None
        assert (found.generation, found.state) == (sent.generation, "downloaded")


def test_all_objects_that_are_missing_are_told_before_any_is_fetched(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    bucket.upload(files(a=b"a"), "study", quiet)
    with pytest.raises(StorageError) as caught:
        bucket.download(["study/a.tif", "study/b.tif", "study/c.tif"], tmp_path / "out", quiet)
    assert "does not hold study/b.tif, study/c.tif" in str(caught.value)
    assert "gee-smap export" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_progress_is_told_in_shares_of_the_whole(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    told: list[tuple[str, float]] = []
    paths = files(a=noise(1_000_000), b=noise(3_000_000))
    bucket.upload(paths, "study", lambda *what: told.append(what))
    bucket.download(["study/a.tif", "study/b.tif"], tmp_path / "out", lambda *what: told.append(what))
    assert {what.partition(":")[0] for what, _ in told} == {"upload", "download"}
    assert all(0 <= share <= 1 for _, share in told)
    assert told[-1] == ("download: 2 of 2 files, 4 of 4 MB", 1.0)


def test_names_that_make_no_file_each_are_refused(bucket: Bucket, tmp_path: Path) -> None:
    for names in (["a/x.tif", "b/x.tif"], ["study/"], ["study/.."]):
        with pytest.raises((ValueError, StorageError)):
            bucket.download(names, tmp_path / "out", quiet)
    with pytest.raises(ValueError, match=r"x\.tif"):
        bucket.upload([tmp_path / "x.tif", tmp_path / "other" / "x.tif"], "study", quiet)


def test_what_a_process_that_is_no_more_left_goes_and_what_one_that_lives_writes_stays(
    bucket: Bucket, files: Callable[..., list[Path]], tmp_path: Path
) -> None:
    bucket.upload(files(a=b"a"), "study", quiet)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stray, other = tmp_path / f".a.{gone.pid}.tif", tmp_path / f".a.{os.getppid()}.tif"
    for path in (stray, other, tmp_path / ".a.note.tif"):
        path.touch()
    bucket.download(["study/a.tif"], tmp_path, quiet)
    assert not stray.exists()
    assert other.exists()
    assert (tmp_path / ".a.note.tif").exists()


# Tidying up


def test_leftovers_are_those_of_one_folder_that_nobody_keeps(
    bucket: Bucket, files: Callable[..., list[Path]]
) -> None:
    paths = files(a=b"a", b=b"b")
    for prefix in ("anhui", "anhui-2", "anhui/older"):
        bucket.upload(paths, prefix, quiet)
    found = bucket.leftovers("anhui", keep=["anhui/a.tif"])
    assert [one.name for one in found] == ["anhui/b.tif", "anhui/older/a.tif", "anhui/older/b.tif"]
    assert found[0].row()["object"] == "anhui/b.tif"
    names = [one.name for one in found]
    assert bucket.listing("anhui/b.tif") != ()  # nothing has been deleted so far
    assert bucket.remove(names) == tuple(names)
    assert bucket.remove([*names, "anhui/a.tif"]) == ("anhui/a.tif",)
    assert [one.name for one in bucket.listing("")] == ["anhui-2/a.tif", "anhui-2/b.tif"]


@pytest.mark.parametrize("prefix", ["", "/", "//"])
def test_no_folder_is_the_whole_bucket(bucket: Bucket, prefix: str, files: Callable[..., list[Path]]) -> None:
    with pytest.raises(ValueError, match="folder"):
        bucket.leftovers(prefix, keep=())
    with pytest.raises(ValueError, match="folder"):
        bucket.upload(files(a=b"a"), prefix, quiet)


# Size

MEASURED = """
import sys
from pathlib import Path
from pipeline.cloud.storage import open_bucket

def growth(work):
    "Bytes by which a piece of work raises the process's memory at its highest (proc(5))."
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    held = {}
    for when in ("before", "after"):
        lines = Path("/proc/self/status").read_text().splitlines()
        values = dict(line.split(":") for line in lines if line.endswith("kB"))
        held[when] = int(values["VmRSS" if when == "before" else "VmHWM"].split()[0]) * 1024
        if when == "before":
            work()
    return held["after"] - held["before"]

folder, quiet = Path(sys.argv[2]), lambda *_: None
bucket = open_bucket("large", "my-project", sys.argv[1], create=True)
up = lambda name: bucket.upload([folder / name], "study", quiet)
down = lambda name: bucket.download(["study/" + name], folder / "out", quiet)
up("small.tif"), down("small.tif")
print(growth(lambda: up("large.tif")), growth(lambda: down("large.tif")))
print(growth(lambda: folder.joinpath("large.tif").read_bytes()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_large_file_takes_no_more_memory_than_its_ranges(url: str, tmp_path: Path) -> None:
    (tmp_path / "small.tif").write_bytes(b"small")
    (tmp_path / "large.tif").write_bytes(noise(LARGE_BYTES))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, url, str(tmp_path)], capture_output=True, text=True, check=True
    )
    sent, got, read = map(int, done.stdout.split())
    print(f"peak memory: {sent / 1e6:.1f} MB more when sending, {got / 1e6:.1f} MB when fetching")
    assert (tmp_path / "out" / "large.tif").read_bytes() == noise(LARGE_BYTES)
    assert read > LARGE_BYTES * 0.9  # the measure sees a file that is held whole
    assert sent < GROWTH_BOUND
    assert got < GROWTH_BOUND
