"""What ``gee-smap doctor`` says of an account: rights are tried, failures told with a remedy, no secrets."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ee
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as cloud

from gee.connection import Connection, connect, local_account
from gee.local.rest.process import Child
from pipeline.cloud.checkup import Check, Checkup, examine_account
from pipeline.cloud.storage import open_bucket
from pipeline.settings import Settings
from tests.pipeline import faulty_engine, faulty_storage

PROJECT = "my-project"
ROOT = f"projects/{PROJECT}/assets"
ROLE = "roles/storage.objectAdmin"


def quiet(*_: object) -> None:
    """Nobody to report to."""


def found(checkup: Checkup) -> dict[str, Check]:
    assert len({one.what for one in checkup.checks}) == len(checkup.checks)
    return {one.what: one for one in checkup.checks}


def states(checkup: Checkup) -> dict[str, str]:
    return {one.what: one.state for one in checkup.checks}


WHOLE = dict.fromkeys(
    (
        "credentials",
        "project",
        "quota",
        "bucket",
        "bucket, writing",
        "bucket, location",
        "assets",
        "versions",
    ),
    "ok",
)


@pytest.fixture(autouse=True)
def nothing_stays(server: Child) -> Iterator[None]:
    """Whatever is tried is gone afterwards: objects and assets."""
    yield
    client = cloud.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.address.storage},
    )
    objects = [one.name for bucket in client.list_buckets() for one in client.list_blobs(bucket)]
    assert not [name for name in objects if "doctor" in name]


@pytest.fixture
def engine(client: Child) -> Iterator[Connection]:
    """The engine of the tests, connected to anew."""
    yield connect(client.address.url, PROJECT)
    connect(client.address.url, PROJECT)


@pytest.fixture
def here(engine: Connection, server: Child) -> Connection:
    """The same as a newcomer has it."""
    return replace(engine, engine="local", storage_endpoint=server.address.storage)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings with nothing but what is given."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GEE_SMAP_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    def make(**given: object) -> Settings:
        for name, value in given.items():
            variable = Settings.credentials_variable if name == "credentials" else f"GEE_SMAP_{name.upper()}"
            monkeypatch.setenv(variable, str(value))
        return Settings.load()

    return make


@pytest.fixture
def storage_proxy(server: Child) -> Iterator[faulty_storage.Proxy]:
    with faulty_storage.proxy_before(str(server.address.storage)) as proxy:
        yield proxy


@pytest.fixture
def pretended(
    server: Child, real_client: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[faulty_engine.Proxy]:
    """A local engine behind a proxy, found where the settings look for it."""
    with faulty_engine.proxy_before(server.address.url) as proxy:
        state = tmp_path / "state"
        state.mkdir()
        address = {
            "url": proxy.url, "storage": server.address.storage, "state": str(state), "pid": os.getpid(),
        }  # fmt: skip
        (state / "server.json").write_text(json.dumps(address))
        yield proxy
    connect(server.address.url, PROJECT)


def look(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkup:
    monkeypatch.setenv("GEE_SMAP_LOCAL_STATE", str(tmp_path / "state"))
    return examine_account(settings, None, quiet)


# All is well


def folders() -> set[str]:
    """What lies in the project's root: other tests leave things there."""
    return {asset["name"] for asset in ee.data.listAssets({"parent": ROOT}).get("assets", [])}


def test_a_newcomer_on_the_local_engine_has_all_it_takes(
    here: Connection, settings: Callable[..., Settings]
) -> None:
    told: list[tuple[str, float]] = []
    before = folders()
    done = examine_account(settings(), here, lambda *what: told.append(what))
    assert states(done) == WHOLE
    assert done.failed == ()
    assert list(done.notes()) == []
    assert found(done)["bucket, location"].detail.startswith("US: ")
    assert done.versions["earthengine-api"] == version("earthengine-api")
    assert f"gee-smap {version('gee-smap')}" in found(done)["versions"].detail
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1][1] == 1.0
    assert {what.partition(":")[0] for what, _ in told} == {"account"}
    assert folders() == before
    again = json.loads(json.dumps(done.as_dict()))
    assert (again["ok"], len(again["checks"])) == (True, len(WHOLE))


def test_a_folder_that_is_there_is_tried_and_one_that_is_not_is_made_later(
    here: Connection, settings: Callable[..., Settings]
) -> None:
    outer = f"{ROOT}/c{uuid.uuid4().hex[:8]}"
    ee.data.createAsset({"type": "FOLDER"}, outer)
    try:
        there = found(examine_account(settings(assets=outer), here, quiet))["assets"]
        below = found(examine_account(settings(assets=f"{outer}/a/b"), here, quiet))["assets"]
        assert (there.state, below.state) == ("ok", "ok")
        assert f"{outer} is there" in there.detail
        assert f"{outer}/a/b will be made in {outer};" in below.detail
        assert ee.data.listAssets({"parent": outer}).get("assets", []) == []
    finally:
        ee.data.deleteAsset(outer)


def test_it_connects_by_itself(
    pretended: faulty_engine.Proxy,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert states(look(settings(), tmp_path, monkeypatch)) == WHOLE


# Credentials and project


def test_a_service_account_is_named_and_its_secrets_are_not(
    server: Child, here: Connection, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    name = f"doctor-{uuid.uuid4().hex[:8]}"
    key = local_account(name, Path(server.address.state), url=server.address.url)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    own = connect(server.address.url, name, path)
    connection = replace(here, project=own.project)
    done = examine_account(settings(credentials=path), connection, quiet)
    assert states(done) == WHOLE
    assert f"service account {key['client_email']}, key file {path}" == found(done)["credentials"].detail
    everything = json.dumps(done.as_dict()) + str(done.rows()) + str(list(done.notes()))
    secret = [line for line in key["private_key"].splitlines() if not line.startswith("-----")]
    assert secret
    assert not [line for line in [*secret, key["private_key_id"]] if line in everything]
    # in the folder of others it may not write
    other = examine_account(settings(credentials=path, assets=f"{ROOT}/theirs"), connection, quiet)
    assert states(other) == {**WHOLE, "assets": "failed"}
    assert "roles/earthengine.writer" in found(other)["assets"].remedy
    assert "GEE_SMAP_ASSETS" in found(other)["assets"].remedy


def test_no_credentials_for_google_are_told_with_the_command(
    real_client: None, settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "CLOUDSDK_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    done = examine_account(settings(engine="google", project="a-project"), None, quiet)
    assert states(done) == {**dict.fromkeys(WHOLE, "skipped"), "credentials": "failed", "versions": "ok"}
    (note,) = done.notes()
    assert note.startswith("credentials: ")
    assert "authenticate" in note


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            "Project my-project is not registered to use Earth Engine. Visit https://console.cloud.google.com/"
            "earth-engine/configuration?project=my-project to register your project.",
            "https://console.cloud.google.com/earth-engine/configuration?project=my-project",
        ),
        (
            "Google Earth Engine API has not been used in project my-project before or it is disabled. "
            "Enable it by visiting https://console.developers.google.com/apis/api/earthengine.googleapis.com.",
            "gcloud services enable earthengine.googleapis.com --project=my-project",
        ),
        (
            "Caller does not have required permission to use project my-project. Grant the caller the "
            "roles/serviceusage.serviceUsageConsumer role, or a custom role with serviceusage.services.use.",
            "roles/serviceusage.serviceUsageConsumer",
        ),
        ("Project 'projects/my-project' not found or deleted.", "GEE_SMAP_PROJECT"),
        (
            "Something that nobody has seen before.",
            "https://developers.google.com/earth-engine/guides/access",
        ),
    ],
)
def test_a_project_that_cannot_be_used_is_told_with_what_helps(
    pretended: faulty_engine.Proxy,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    remedy: str,
) -> None:
    pretended.inject(faulty_engine.Fault("GET .*/algorithms", times=99, status=403, message=message))
    ee.Reset()  # as a process that begins
    done = look(settings(project=PROJECT), tmp_path, monkeypatch)
    assert states(done) == {**dict.fromkeys(WHOLE, "skipped"), "project": "failed", "versions": "ok"}
    assert message in found(done)["project"].detail
    assert remedy in found(done)["project"].remedy


def test_a_project_that_is_refused_later_leaves_the_bucket_to_be_looked_at(
    pretended: faulty_engine.Proxy,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretended.inject(faulty_engine.Fault("value:compute", times=9, status=403, message="It is disabled."))
    done = look(settings(), tmp_path, monkeypatch)
    assert states(done) == {**WHOLE, "project": "failed", "quota": "skipped", "assets": "skipped"}


@pytest.mark.parametrize(
    ("config", "root", "expected", "quota"),
    [
        ({"registrationState": "NOT_REGISTERED"}, {}, ("failed", "skipped"), "see above"),
        ({"registrationState": "REGISTERED_NOT_COMMERCIALLY"}, {}, ("ok", "skipped"), "not told"),
        ({"registrationState": "SOMETHING_NEW", "maxConcurrentExports": 5}, {}, ("ok", "ok"),
         "5 exports at a time"),
        ({}, {"assetCount": "12", "maxAssets": "10000", "sizeBytes": "1500000000",
              "maxSizeBytes": "250000000000"}, ("ok", "ok"),
         "12 of 10,000 assets, 1.5 of 250.0 GB of assets"),
        ({}, {"sizeBytes": "250000000000", "maxSizeBytes": "250000000000"}, ("ok", "failed"),
         "250.0 of 250.0 GB of assets"),
        (None, {}, ("ok", "skipped"), "not told: No earthengine.config.get."),
    ],
)  # fmt: skip
def test_what_is_told_of_the_registration_and_the_quota_is_shown(
    pretended: faulty_engine.Proxy,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, Any] | None,
    root: dict[str, str],
    expected: tuple[str, str],
    quota: str,
) -> None:
    pretended.inject(faulty_engine.Fault(r"GET .*/assets/\?", edit=lambda told: {**told, "quota": root}))
    if config is None:
        fault = faulty_engine.Fault("GET .*/config", status=403, message="No earthengine.config.get.")
    else:
        fault = faulty_engine.Fault("GET .*/config", edit=lambda _: config)
    pretended.inject(fault)
    done = found(look(settings(), tmp_path, monkeypatch))
    assert (done["project"].state, done["quota"].state) == expected
    assert done["quota"].detail == quota
    if expected[0] == "failed":
        assert "https://console.cloud.google.com/earth-engine/configuration" in done["project"].remedy


# Bucket


def test_on_google_a_bucket_and_a_folder_have_to_be_named(
    engine: Connection, settings: Callable[..., Settings]
) -> None:
    done = found(examine_account(settings(), engine, quiet))
    assert (done["bucket"].state, done["assets"].state) == ("failed", "failed")
    assert "GEE_SMAP_BUCKET" in done["bucket"].remedy
    assert "gcloud storage buckets create gs://my-project-gee-smap" in done["bucket"].remedy
    assert "GEE_SMAP_ASSETS, such as projects/my-project/assets/gee-smap" in done["assets"].remedy
    assert done["quota"].detail.endswith("configuration?project=my-project")


def test_a_bucket_that_is_not_there_or_cannot_be_is_told(
    engine: Connection, server: Child, settings: Callable[..., Settings]
) -> None:
    connection = replace(engine, storage_endpoint=server.address.storage)
    done = examine_account(settings(bucket="not-there"), connection, quiet)
    assert found(done)["bucket"].detail == "The bucket gs://not-there does not exist."
    assert "gcloud storage buckets create gs://not-there" in found(done)["bucket"].remedy
    wrong = found(examine_account(settings(bucket="gs://bucket"), connection, quiet))["bucket"]
    assert (wrong.state, "without gs://" in wrong.remedy) == ("failed", True)


def test_an_engine_without_cloud_storage_is_told(here: Connection, settings: Callable[..., Settings]) -> None:
    done = found(examine_account(settings(), replace(here, storage_endpoint=None), quiet))
    assert (done["bucket"].state, done["bucket, writing"].state) == ("failed", "skipped")
    assert "gee-smap local serve --with-storage" in done["bucket"].remedy


@pytest.mark.parametrize(
    ("refused", "expected", "left"),
    [
        (lambda asked: True, ("failed", "skipped", "skipped"), 0),
        (lambda asked: asked.is_upload(), ("ok", "failed", "ok"), 0),
        (lambda asked: asked.is_media(), ("ok", "failed", "ok"), 0),
        (lambda asked: asked.method == "DELETE", ("ok", "failed", "ok"), 1),
        (lambda asked: re.fullmatch("/storage/v1/b/[^/]+", asked.path), ("ok", "ok", "skipped"), 0),
    ],
    ids=["all", "writing", "reading", "deleting", "looking at the bucket"],
)
def test_each_right_that_is_missing_is_told(
    here: Connection,
    server: Child,
    storage_proxy: faulty_storage.Proxy,
    settings: Callable[..., Settings],
    refused: Callable[[faulty_storage.Asked], bool],
    expected: tuple[str, ...],
    left: int,
) -> None:
    name = f"b-{uuid.uuid4()}"
    inside = open_bucket(name, PROJECT, server.address.storage, create=True)
    storage_proxy.faults = [faulty_storage.Fault(refused, status=403, message="No right.", times=999)]
    done = found(
        examine_account(settings(bucket=name), replace(here, storage_endpoint=storage_proxy.url), quiet)
    )
    parts = ("bucket", "bucket, writing", "bucket, location")
    assert tuple(done[part].state for part in parts) == expected
    for part in parts:
        if done[part].state == "failed":
            assert "No right." in done[part].detail
            assert ROLE in done[part].remedy
    stays = inside.listing("")
    assert len(stays) == left
    if stays:
        assert stays[0].name in done["bucket, writing"].detail
    inside.remove([one.name for one in stays])


@pytest.mark.parametrize(
    ("location", "kind", "parts", "readable"),
    [
        ("US", "multi-region", None, True),
        ("US-CENTRAL1", "region", None, True),
        ("NAM4", "dual-region", None, True),
        ("US", "dual-region", ["US-CENTRAL1", "US-WEST1"], True),
        ("US", "dual-region", ["US-EAST1", "US-WEST1"], False),
        ("US-EAST4", "region", None, False),
        ("EU", "multi-region", None, False),
        ("EUROPE-WEST1", "region", None, False),
        ("ASIA", "multi-region", None, False),
    ],
)
def test_where_a_bucket_lies_decides_what_earth_engine_reads_in_place(
    here: Connection,
    storage_proxy: faulty_storage.Proxy,
    settings: Callable[..., Settings],
    location: str,
    kind: str,
    parts: list[str] | None,
    readable: bool,
) -> None:
    told = {"name": "somewhere", "location": location, "locationType": kind}
    if parts:
        told["customPlacementConfig"] = {"dataLocations": parts}
    storage_proxy.faults = [
        faulty_storage.Fault(
            lambda asked: asked.path == "/storage/v1/b/somewhere", status=200, body=told, times=99
        )
    ]
    connection = replace(here, storage_endpoint=storage_proxy.url)
    done = found(examine_account(settings(bucket="somewhere"), connection, quiet))["bucket, location"]
    assert done.state == "ok"  # exports go anywhere
    assert ("can also read" in done.detail) is readable
    assert all(part in done.detail for part in parts or [location])


# Assets


@pytest.mark.parametrize("name", ["gee-smap", "projects/my-project", "users/me/folder", f"{ROOT}/a b"])
def test_what_is_no_folder_of_assets_is_told(
    here: Connection, settings: Callable[..., Settings], name: str
) -> None:
    done = found(examine_account(settings(assets=name), here, quiet))["assets"]
    assert (done.state, done.detail) == ("failed", f"{name} is no folder of assets")
    assert "projects/my-project/assets/gee-smap" in done.remedy


def test_a_collection_is_no_folder(here: Connection, settings: Callable[..., Settings]) -> None:
    name = f"{ROOT}/c{uuid.uuid4().hex[:8]}"
    ee.data.createAsset({"type": "IMAGE_COLLECTION"}, name)
    try:
        done = found(examine_account(settings(assets=f"{name}/below"), here, quiet))["assets"]
    finally:
        ee.data.deleteAsset(name)
    assert (done.state, done.detail) == ("failed", f"{name} is of type IMAGE_COLLECTION")


def test_a_project_without_assets_is_told_with_the_command_that_makes_the_first(
    pretended: faulty_engine.Proxy,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = faulty_engine.Fault(
        "POST .*/assets", status=404, message="Asset 'projects/my-project' not found."
    )
    pretended.inject(missing)
    done = found(look(settings(), tmp_path, monkeypatch))["assets"]
    assert done.state == "failed"
    assert done.remedy == "Type: earthengine create folder projects/my-project/assets/"


def test_a_folder_that_cannot_be_deleted_again_is_named(
    pretended: faulty_engine.Proxy,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretended.inject(faulty_engine.Fault("DELETE ", status=403, message="Not yours to delete."))
    before = folders()
    done = found(look(settings(), tmp_path, monkeypatch))["assets"]
    (stays,) = folders() - before
    ee.data.deleteAsset(stays)
    assert done.state == "failed"
    assert done.detail == f"{stays} stays: Not yours to delete."
    assert done.remedy == f"Type: earthengine rm {stays}"
