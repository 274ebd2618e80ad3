"""Assets through the store: rights, names, listings, content, mounts; two identities and many threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ee
import pytest
from ee import _cloud_api_utils

from gee.local.assets.iam import LOCAL_USER, Identity
from gee.local.assets.listing import Query
from gee.local.assets.records import Asset, NewAsset, mask_paths
from gee.local.assets.store import AssetStore
from gee.local.errors import EngineError

BOB = Identity("serviceAccount", "bob@local.iam.gserviceaccount.com")
ROOT = "projects/my-project/assets"
PUBLIC = "projects/earthengine-public/assets"
DAY = 86_400_000


def catalogue(asset_id: str) -> Mapping[str, Any] | None:
    if asset_id == "MODIS/061/MOD09A1":
        return {"type": "IMAGE_COLLECTION", "properties": {"simulated": 1}}
    if asset_id in ("MODIS/061/MOD09A1/2019_01_01", "MODIS/061/MOD09A1/2019_01_09"):
        day = asset_id[-5:].replace("_", "-")
        return {"type": "IMAGE", "id": asset_id, "startTime": f"2019-{day}T00:00:00Z", "properties": {}}
    return None


def children(asset_id: str) -> list[Mapping[str, Any]]:
    found = [catalogue(f"MODIS/061/MOD09A1/2019_01_{day}") for day in ("09", "01")]
    return [image for image in found if image is not None] if asset_id == "MODIS/061/MOD09A1" else []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AssetStore]:
    store = AssetStore(tmp_path / "state", catalogue=catalogue, catalogue_children=children)
    yield store
    store.close()


def folder(store: AssetStore, path: str, kind: str = "FOLDER", who: Identity = LOCAL_USER) -> Asset:
    return store.create(NewAsset(f"{ROOT}/{path}", kind), who)


def image(
    store: AssetStore, path: str, data: bytes = b"pixels", who: Identity = LOCAL_USER, **more: Any
) -> Asset:
    with store.staging() as staged:
        (staged / "image.tif").write_bytes(data)
        overwrite = more.pop("overwrite", False)
        return store.create(
            NewAsset(f"{ROOT}/{path}", "IMAGE", **more), who, folder=staged, overwrite=overwrite
        )


def content(store: AssetStore, asset: Asset) -> bytes:
    with store.reading(asset) as paths:
        return b"".join(path.read_bytes() for path in paths)


def share(store: AssetStore, name: str, role: str, member: object = BOB) -> None:
    store.access.set_policy(name, {"bindings": [{"role": role, "members": [str(member)]}]}, LOCAL_USER)


def names(store: AssetStore, parent: str, who: Identity = LOCAL_USER, **query: Any) -> list[str]:
    return [asset.name.rpartition("/")[2] for asset in store.list_assets(parent, who, Query(**query)).assets]


def files(store: AssetStore) -> list[Path]:
    return [path for path in (store.database.path.parent / "files").rglob("*") if path.is_file()]


def status(refusal: pytest.ExceptionInfo[EngineError]) -> str:
    return refusal.value.status


# Creating, reading, changing, deleting


def test_what_was_created_is_there_after_a_restart(store: AssetStore, tmp_path: Path) -> None:
    bands = [{"id": "sm", "dataType": {"precision": "FLOAT"}}]
    made = image(
        store, "x", b"abc", properties={"a": 1, "system:time_start": DAY}, bands=bands, extra={"k": [1]}
    )
    store.close()
    again = AssetStore(tmp_path / "state")
    assert again.get(f"{ROOT}/x", LOCAL_USER) == made
    assert content(again, made) == b"abc"
    assert (made.properties, made.start_time, made.size_bytes, made.extra) == ({"a": 1}, DAY, 3, {"k": [1]})
    again.close()


def test_the_rest_form_is_what_the_client_documents(store: AssetStore) -> None:
    made = image(store, "x", properties={"a": 1}, start_time=1, end_time=DAY)
    rest = made.to_rest()
    assert rest["startTime"] == "1970-01-01T00:00:00.001Z"
    assert rest["endTime"] == "1970-01-02T00:00:00Z"
    assert (rest["sizeBytes"], rest["properties"]) == ("6", {"a": 1})
    updated = _cloud_api_utils._convert_timestamp_to_msec(rest["updateTime"])
    assert abs(updated - datetime.now(UTC).timestamp() * 1000) < 60_000
    assert made.to_rest("BASIC") == {"type": "IMAGE", "name": made.name, "id": made.name}
    listed = _cloud_api_utils.convert_list_assets_result_to_get_list_result(
        store.list_assets(ROOT, LOCAL_USER).to_rest()
    )
    assert listed == [{"id": made.name, "type": "Image"}]


def test_an_asset_is_not_overwritten_unasked(store: AssetStore) -> None:
    first = image(store, "x", b"old")
    with pytest.raises(EngineError, match=f"^Cannot overwrite asset '{ROOT}/x'.$") as refusal:
        image(store, "x", b"new")
    assert status(refusal) == "ALREADY_EXISTS"
    assert content(store, first) == b"old"
    second = image(store, "x", b"new", overwrite=True)
    assert second.version > first.version
    assert content(store, second) == b"new"
    assert len(files(store)) == 1


def test_a_container_is_never_overwritten(store: AssetStore) -> None:
    folder(store, "f")
    with pytest.raises(EngineError, match="Cannot overwrite"):
        image(store, "f", overwrite=True)


@pytest.mark.parametrize(
    ("parent_type", "child_type", "fits"),
    [
        ("FOLDER", "FOLDER", True),
        ("FOLDER", "TABLE", True),
        ("IMAGE_COLLECTION", "IMAGE", True),
        ("IMAGE_COLLECTION", "TABLE", False),
        ("IMAGE_COLLECTION", "FOLDER", False),
        ("TABLE", "IMAGE", False),
    ],
)
def test_a_parent_holds_what_it_may(store: AssetStore, parent_type: str, child_type: str, fits: bool) -> None:
    folder(store, "p", parent_type)
    if fits:
        folder(store, "p/c", child_type)
    else:
        with pytest.raises(EngineError, match="cannot hold"):
            folder(store, "p/c", child_type)


def test_a_parent_must_exist(store: AssetStore) -> None:
    with pytest.raises(
        EngineError, match=f"Asset '{ROOT}/no' does not exist or doesn't allow this"
    ) as refusal:
        folder(store, "no/c")
    assert status(refusal) == "NOT_FOUND"


def test_what_is_not_empty_is_not_deleted(store: AssetStore) -> None:
    folder(store, "f")
    image(store, "f/x")
    with pytest.raises(EngineError, match=f"delete its children: '{ROOT}/f'"):
        store.delete(f"{ROOT}/f", LOCAL_USER)
    store.delete(f"{ROOT}/f/x", LOCAL_USER)
    store.delete(f"{ROOT}/f", LOCAL_USER)
    assert names(store, ROOT) == []
    assert files(store) == []


def test_a_missing_asset_is_not_found_by_who_may_read_the_project(store: AssetStore) -> None:
    for act in (store.get, store.delete, store.list_assets):
        with pytest.raises(EngineError, match="does not exist") as refusal:
            act(f"{ROOT}/no", LOCAL_USER)
        assert (status(refusal), refusal.value.code) == ("NOT_FOUND", 404)


def test_a_copy_shares_the_content_until_the_last_is_gone(store: AssetStore) -> None:
    image(store, "x", b"abc", properties={"a": 1})
    copy = store.copy(f"{ROOT}/x", f"{ROOT}/y", LOCAL_USER)
    store.delete(f"{ROOT}/x", LOCAL_USER)
    assert (copy.properties, content(store, copy)) == ({"a": 1}, b"abc")
    store.delete(f"{ROOT}/y", LOCAL_USER)
    assert files(store) == []


def test_copying_onto_something_asks_first(store: AssetStore) -> None:
    image(store, "x", b"x")
    image(store, "y", b"y")
    for target in ("x", "y"):
        with pytest.raises(EngineError, match="Cannot overwrite"):
            store.copy(f"{ROOT}/x", f"{ROOT}/{target}", LOCAL_USER)
    assert content(store, store.copy(f"{ROOT}/x", f"{ROOT}/y", LOCAL_USER, overwrite=True)) == b"x"
    assert len(files(store)) == 1
    folder(store, "f")
    with pytest.raises(EngineError, match="cannot be copied"):
        store.copy(f"{ROOT}/f", f"{ROOT}/g", LOCAL_USER)


def test_a_folder_moves_with_all_that_is_in_it(store: AssetStore) -> None:
    for path in ("f", "f/g", "f0", "t"):
        folder(store, path)
    image(store, "f/g/x", b"abc")
    share(store, f"{ROOT}/f/g/x", "roles/viewer")
    moved = store.move(f"{ROOT}/f", f"{ROOT}/t/h", LOCAL_USER)
    assert moved.name == f"{ROOT}/t/h"
    assert names(store, ROOT) == ["f0", "t"]
    there = store.get(f"{ROOT}/t/h/g/x", BOB)
    assert content(store, there) == b"abc"


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("f", "f/in", "cannot be moved"),
        ("f", "f", "cannot be moved"),
        ("f", "x", "Cannot overwrite"),
        ("f", "no/f", "does not exist"),
        ("f", "x/f", "cannot hold"),
        ("no", "n", "does not exist"),
        ("f", "a/b/c/d/e/f/g/h/i/j/k", "at most 10"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(
    store: AssetStore, source: str, destination: str, reason: str
) -> None:
    folder(store, "f")
    image(store, "x")
    with pytest.raises(EngineError, match=reason):
        store.move(f"{ROOT}/{source}", f"{ROOT}/{destination}", LOCAL_USER)
    assert names(store, ROOT) == ["f", "x"]


# Updates


def test_only_the_named_fields_change(store: AssetStore) -> None:
    image(store, "x", properties={"a": 1, "b": 2, "system:x": 3}, start_time=1, end_time=2)
    body = {"properties": {"a": "new", "b": 9}, "startTime": "1970-01-02T00:00:00Z"}
    asset = store.update(
        f"{ROOT}/x", body, ["properties.a", 'properties."system:x"', "start_time"], LOCAL_USER
    )
    assert (dict(asset.properties), asset.start_time, asset.end_time) == ({"a": "new", "b": 2}, DAY, 2)


@pytest.mark.parametrize(
    ("paths", "properties", "times"),
    [
        (["properties"], {"n": 5}, (1, 2)),
        (["end_time"], {"a": 1}, (1, None)),
        (["startTime"], {"a": 1}, (None, 2)),
        ([], {"n": 5}, (None, None)),
        (['properties."n"'], {"a": 1, "n": 5}, (1, 2)),
        (['properties."system:time_start"'], {"a": 1}, (None, 2)),
    ],
)
def test_what_is_named_but_not_given_is_unset(
    store: AssetStore, paths: list[str], properties: dict[str, Any], times: tuple[int | None, int | None]
) -> None:
    image(store, "x", properties={"a": 1}, start_time=1, end_time=2)
    asset = store.update(f"{ROOT}/x", {"properties": {"n": 5}}, paths, LOCAL_USER)
    assert (dict(asset.properties), (asset.start_time, asset.end_time)) == (properties, times)


@pytest.mark.parametrize(
    ("body", "paths", "reason"),
    [
        ({"bands": []}, ["bands"], "cannot be updated"),
        ({}, ["properties."], "cannot be updated"),
        ({"properties": {"a": [1]}}, ["properties.a"], "only to a string or a number"),
        ({"properties": {"a": True}}, ["properties"], "only to a string or a number"),
        ({"startTime": "soon"}, ["startTime"], "RFC 3339"),
        ({"properties": {"system:time_start": 1e30}}, [], "milliseconds"),
        ({"properties": {"system:time_start": 1e16}}, [], "out of range"),
        ([], [], "must be an object"),
    ],
)
def test_an_update_that_cannot_be_changes_nothing(
    store: AssetStore, body: object, paths: list[str], reason: str
) -> None:
    before = image(store, "x", properties={"a": 1})
    with pytest.raises(EngineError, match=reason):
        store.update(f"{ROOT}/x", body, paths, LOCAL_USER)
    assert store.get(f"{ROOT}/x", LOCAL_USER) == before


def test_an_update_mask_is_read_in_both_forms() -> None:
    assert mask_paths({"paths": ["a", 'properties."b,c"']}) == ("a", 'properties."b,c"')
    assert mask_paths('startTime, properties."b,c",properties.d') == (
        "startTime",
        'properties."b,c"',
        "properties.d",
    )
    assert mask_paths(None) == mask_paths({}) == ()
    with pytest.raises(EngineError):
        mask_paths({"paths": [5]})


# Listings


def test_pages_neither_repeat_nor_miss(store: AssetStore) -> None:
    folder(store, "c", "IMAGE_COLLECTION")
    for number in range(7):
        image(store, f"c/i{number}", properties={"n": number})
    seen: list[str] = []
    token: str | None = None
    while True:
        page = store.list_assets(
            f"{ROOT}/c", LOCAL_USER, Query(page_size=2, page_token=token, filter="properties.n != 3")
        )
        seen += [asset.name[-2:] for asset in page.assets]
        token = page.next_page_token
        if token is None:
            break
        if len(seen) == 2:
            store.delete(f"{ROOT}/c/i1", LOCAL_USER)
            image(store, "c/i00", properties={"n": 0})
    assert seen == ["i0", "i1", "i2", "i4", "i5", "i6"]


def test_a_folder_lists_the_basic_view_and_ignores_filters(store: AssetStore) -> None:
    image(store, "x", properties={"n": 1})
    page = store.list_assets("projects/my-project", LOCAL_USER, Query(filter="properties.n = 2", view="FULL"))
    assert page.to_rest() == {"assets": [{"type": "IMAGE", "name": f"{ROOT}/x", "id": f"{ROOT}/x"}]}


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": -1},
        {"page_token": "!!"},
        {"page_token": "NQ=="},
        {"page_token": "InByb2plY3RzL290aGVyL2Fzc2V0cy94Ig=="},
        {"view": "ALL"},
    ],
)
def test_a_wrong_query_is_refused(store: AssetStore, query: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as refusal:
        names(store, ROOT, **query)
    assert status(refusal) == "INVALID_ARGUMENT"


def test_a_root_tells_its_quota_to_its_owner_only(store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    image(store, "x", b"12345")
    monkeypatch.setattr(ee.data, "getAsset", lambda name: store.get(name, LOCAL_USER).to_rest())
    quota = ee.data.getAssetRootQuota(ROOT)
    assert quota["asset_count"] == {"usage": 1, "limit": 10_000}
    assert quota["asset_size"] == {"usage": 5, "limit": 250 * 1024**3}
    share(store, "projects/my-project", "roles/viewer")
    assert store.get(ROOT, BOB).quota is None


# Rights


def test_a_stranger_cannot_tell_what_exists(store: AssetStore) -> None:
    image(store, "secret")
    folder(store, "f")
    refusals = set()
    for name in ("secret", "nothing"):
        for act in (
            lambda n: store.get(n, BOB),
            lambda n: store.list_assets(n, BOB),
            lambda n: store.delete(n, BOB),
            lambda n: store.update(n, {}, [], BOB),
            lambda n: store.copy(n, f"{ROOT}/z", BOB),
            lambda n: store.move(n, f"{ROOT}/z", BOB),
            lambda n: store.access.get_policy(n, BOB),
            lambda n: store.access.set_policy(n, {"bindings": []}, BOB),
        ):
            with pytest.raises(EngineError) as refusal:
                act(f"{ROOT}/{name}")
            assert status(refusal) == "PERMISSION_DENIED"
            refusals.add(refusal.value.message.replace(name, "X"))
    verbs = ("get", "list", "delete", "update", "getIamPolicy", "setIamPolicy")
    assert refusals == {
        f"Permission 'earthengine.assets.{verb}' denied on resource '{ROOT}/X' (or it may not exist)."
        for verb in verbs
    }
    with pytest.raises(EngineError, match="denied on resource 'projects/my-project'"):
        store.list_assets("projects/my-project", BOB)
    with pytest.raises(EngineError, match=r"earthengine.assets.create"):
        folder(store, "f/mine", who=BOB)


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("roles/viewer", True, False), ("roles/editor", True, True)]
)
def test_a_role_on_an_asset_is_a_role_on_it(store: AssetStore, role: str, reads: bool, writes: bool) -> None:
    image(store, "x")
    share(store, f"{ROOT}/x", role)
    assert reads == (store.get(f"{ROOT}/x", BOB).type == "IMAGE")
    if writes:
        store.update(f"{ROOT}/x", {"properties": {"by": "bob"}}, ["properties"], BOB)
        store.delete(f"{ROOT}/x", BOB)
    else:
        for act in (store.delete, store.access.get_policy):
            with pytest.raises(EngineError, match="denied"):
                act(f"{ROOT}/x", BOB)


def test_a_folder_passes_no_rights_on_but_a_project_does(store: AssetStore) -> None:
    folder(store, "f")
    image(store, "f/x")
    image(store, "f/y")
    share(store, f"{ROOT}/f", "roles/editor")
    share(store, f"{ROOT}/f/y", "roles/viewer")
    with pytest.raises(EngineError, match="denied"):
        store.get(f"{ROOT}/f/x", BOB)
    assert names(store, f"{ROOT}/f", BOB) == ["y"]
    image(store, "f/bobs", who=BOB)
    assert names(store, f"{ROOT}/f", BOB) == ["bobs", "y"]
    assert names(store, f"{ROOT}/f") == ["bobs", "x", "y"]
    share(store, "projects/my-project", "roles/earthengine.viewer")
    assert store.get(f"{ROOT}/f/x", BOB).type == "IMAGE"
    with pytest.raises(EngineError, match="does not exist"):
        store.get(f"{ROOT}/f/no", BOB)
    with pytest.raises(EngineError, match="denied"):
        store.move(f"{ROOT}/f", f"{ROOT}/g", BOB)


def test_a_folder_is_not_carried_off_with_what_others_keep_in_it(store: AssetStore) -> None:
    store.access.add_project("bobs-project", BOB)
    folder(store, "f")
    image(store, "f/x")
    share(store, f"{ROOT}/f", "roles/editor")
    with pytest.raises(EngineError, match=f"denied on resource '{ROOT}/f'"):
        store.move(f"{ROOT}/f", "projects/bobs-project/assets/f", BOB)
    share(store, f"{ROOT}/f/x", "roles/editor")
    store.move(f"{ROOT}/f", "projects/bobs-project/assets/f", BOB)
    assert store.get("projects/bobs-project/assets/f/x", BOB).type == "IMAGE"


def test_images_go_by_their_collection(store: AssetStore) -> None:
    folder(store, "c", "IMAGE_COLLECTION")
    image(store, "c/i")
    with pytest.raises(EngineError, match=r"Parent of the asset .* is a collection; operation not allowed"):
        share(store, f"{ROOT}/c/i", "roles/viewer")
    share(store, f"{ROOT}/c", "roles/viewer", "allUsers")
    assert store.get(f"{ROOT}/c/i", BOB).type == "IMAGE"
    assert names(store, f"{ROOT}/c", BOB) == ["i"]
    policy = store.access.get_policy(f"{ROOT}/c/i", LOCAL_USER)
    assert {"role": "roles/viewer", "members": ["allUsers"]} in policy["bindings"]
    store.access.set_policy(f"{ROOT}/c", {"bindings": []}, LOCAL_USER)
    with pytest.raises(EngineError, match="denied"):
        store.get(f"{ROOT}/c/i", BOB)


def test_an_old_etag_is_refused(store: AssetStore) -> None:
    image(store, "x")
    policy = store.access.get_policy(f"{ROOT}/x", LOCAL_USER)
    new = store.access.set_policy(f"{ROOT}/x", {**policy, "bindings": []}, LOCAL_USER)
    assert new["bindings"] == [{"role": "roles/owner", "members": [str(LOCAL_USER)]}]
    share(store, f"{ROOT}/x", "roles/viewer")
    with pytest.raises(EngineError, match="concurrent policy changes") as refusal:
        store.access.set_policy(f"{ROOT}/x", {**policy, "bindings": []}, LOCAL_USER)
    assert refusal.value.code == 409


def test_permissions_are_tested_without_refusing(store: AssetStore) -> None:
    image(store, "x")
    share(store, f"{ROOT}/x", "roles/viewer")
    wanted = ["earthengine.assets.get", "earthengine.assets.delete"]
    assert store.access.test_permissions(f"{ROOT}/x", wanted, BOB) == {"permissions": wanted[:1]}
    assert store.access.test_permissions(f"{ROOT}/x", wanted, LOCAL_USER) == {"permissions": wanted}
    assert store.access.test_permissions(f"{ROOT}/no", wanted, LOCAL_USER) == {"permissions": []}
    with pytest.raises(EngineError, match="wildcards"):
        store.access.test_permissions(f"{ROOT}/x", ["earthengine.*"], BOB)


def test_overwriting_does_not_keep_what_was_shared(store: AssetStore) -> None:
    image(store, "x")
    share(store, f"{ROOT}/x", "roles/viewer")
    image(store, "x", overwrite=True)
    with pytest.raises(EngineError, match="denied"):
        store.get(f"{ROOT}/x", BOB)


def test_a_project_is_its_owners(store: AssetStore) -> None:
    assert store.access.add_project("bobs-project", BOB)
    assert not store.access.add_project("bobs-project", LOCAL_USER)
    made = store.create(NewAsset("projects/bobs-project/assets/x", "FOLDER"), BOB)
    with pytest.raises(EngineError, match="denied"):
        store.get(made.name, LOCAL_USER)
    store.access.require(BOB, "earthengine.computations.create", "projects/bobs-project")
    with pytest.raises(EngineError, match="denied"):
        store.access.require(BOB, "earthengine.computations.create", "projects/my-project")
    for wrong in ("earthengine-public", "X", "a/assets/b", "my-project/assets/x"):
        with pytest.raises(EngineError):
            store.access.add_project(wrong, BOB)


def test_a_legacy_home_is_for_the_first_who_asks_and_one_each(store: AssetStore) -> None:
    legacy = "projects/earthengine-legacy"
    home = store.create(NewAsset(f"{legacy}/assets/users/bob", "FOLDER"), BOB)
    store.create(NewAsset(f"{legacy}/assets/users/bob/x", "FOLDER"), BOB)
    assert home.id == "users/bob"
    assert [asset.id for asset in store.list_assets(legacy, BOB).assets] == ["users/bob"]
    assert store.list_assets(legacy, LOCAL_USER).assets == ()
    assert store.get(home.name, BOB).quota is not None
    with pytest.raises(EngineError, match="already have a home"):
        store.create(NewAsset(f"{legacy}/assets/users/bob2", "FOLDER"), BOB)
    with pytest.raises(EngineError, match="Cannot overwrite"):
        store.create(NewAsset(f"{legacy}/assets/users/bob", "FOLDER"), LOCAL_USER)
    with pytest.raises(EngineError, match="denied"):
        store.get(f"{legacy}/assets/users/bob/x", LOCAL_USER)
    with pytest.raises(EngineError, match="denied"):
        store.create(NewAsset(f"{legacy}/assets/projects/p", "FOLDER"), BOB)


# The catalogue and mounts


def test_the_catalogue_is_read_by_all_and_written_by_nobody(store: AssetStore) -> None:
    collection = f"{PUBLIC}/MODIS/061/MOD09A1"
    assert store.get(collection, BOB).properties == {"simulated": 1}
    assert names(store, collection, BOB) == ["2019_01_01", "2019_01_09"]
    assert names(store, collection, filter='startTime >= "2019-01-05T00:00:00Z"') == ["2019_01_09"]
    page = store.list_assets(collection, BOB, Query(page_size=1))
    assert names(store, collection, page_token=page.next_page_token) == ["2019_01_09"]
    for act in (
        lambda: store.delete(collection, LOCAL_USER),
        lambda: store.update(collection, {}, [], LOCAL_USER),
        lambda: store.create(NewAsset(f"{collection}/x", "IMAGE"), LOCAL_USER),
        lambda: store.move(collection, f"{ROOT}/x", LOCAL_USER),
        lambda: share(store, collection, "roles/viewer"),
    ):
        with pytest.raises(EngineError, match="denied"):
            act()
    with pytest.raises(EngineError, match="cannot be copied"):
        store.copy(f"{collection}/2019_01_01", f"{ROOT}/x", LOCAL_USER)
    with pytest.raises(EngineError, match="does not exist"):
        store.get(f"{PUBLIC}/NO/SUCH", BOB)


def test_a_mount_wins_over_the_catalogue_until_it_is_taken_out(store: AssetStore, tmp_path: Path) -> None:
    real = tmp_path / "real.tif"
    real.write_bytes(b"real")
    name = f"{PUBLIC}/MODIS/061/MOD09A1"
    made = store.mount(NewAsset(f"{name}/2020_01_01", "IMAGE", {"source": "file"}, DAY), [real])
    assert (made.mounted, content(store, store.get(made.name, BOB))) == (True, b"real")
    assert store.get(name, BOB).type == "IMAGE_COLLECTION"
    assert names(store, name, BOB) == ["2020_01_01"]
    with pytest.raises(EngineError, match="does not exist"):
        store.get(f"{name}/2019_01_01", BOB)
    store.unmount(made.name)
    assert names(store, name, BOB) == ["2019_01_01", "2019_01_09"]
    assert real.read_bytes() == b"real"
    with pytest.raises(EngineError, match="does not exist"):
        store.unmount(made.name)


def test_a_mount_in_a_project_of_this_state_is_private(store: AssetStore, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a\n1\n")
    store.mount(NewAsset(f"{ROOT}/f/t", "TABLE"), [table])
    assert store.get(f"{ROOT}/f/t", LOCAL_USER).type == "TABLE"
    with pytest.raises(EngineError, match="denied"):
        store.get(f"{ROOT}/f/t", BOB)
    elsewhere = "projects/somebody-else/assets/t"
    store.mount(NewAsset(elsewhere, "TABLE"), [table])
    assert store.get(elsewhere, BOB).size_bytes == 4
    store.delete(f"{ROOT}/f/t", LOCAL_USER)
    assert table.exists()


def test_a_mounted_file_that_changed_must_be_mounted_again(store: AssetStore, tmp_path: Path) -> None:
    real = tmp_path / "real.tif"
    real.write_bytes(b"one")
    old = store.mount(NewAsset(f"{ROOT}/x", "IMAGE"), [real])
    real.write_bytes(b"two")
    os.utime(real, ns=(1, 1))
    with pytest.raises(EngineError, match=r"'real\.tif' has changed since it was mounted"):
        content(store, old)
    new = store.mount(NewAsset(f"{ROOT}/x", "IMAGE"), [real])
    assert (new.version > old.version, content(store, new)) == (True, b"two")
    real.unlink()
    with pytest.raises(EngineError, match=r"'real\.tif' is missing"):
        content(store, new)


def test_a_mount_that_cannot_be_is_refused(store: AssetStore, tmp_path: Path) -> None:
    image(store, "x")
    real = tmp_path / "real.tif"
    real.write_bytes(b"real")
    for new, paths, reason in (
        (NewAsset(f"{ROOT}/y", "IMAGE"), [tmp_path / "no.tif"], "no such file"),
        (NewAsset(f"{ROOT}/x", "IMAGE"), [real], "Cannot overwrite"),
        (NewAsset(f"{ROOT}/x/y", "IMAGE"), [real], "cannot hold"),
        (NewAsset(f"{ROOT}/f", "FOLDER"), [], "cannot be mounted"),
        (NewAsset(ROOT, "IMAGE"), [real], "cannot be mounted"),
        (NewAsset(f"{ROOT}/../x", "IMAGE"), [real], "Invalid asset name"),
    ):
        with pytest.raises(EngineError, match=reason):
            store.mount(new, paths)


# Content and crashes


def test_a_damaged_content_is_told_clearly(store: AssetStore) -> None:
    asset = image(store, "x", b"123456")
    asset.content[0].path.write_bytes(b"123")
    with pytest.raises(
        EngineError, match=f"Asset '{ROOT}/x' cannot be read.* has 3 bytes instead of 6"
    ) as refusal:
        content(store, asset)
    assert status(refusal) == "FAILED_PRECONDITION"
    asset.content[0].path.unlink()
    with pytest.raises(EngineError, match=r"'image\.tif' is missing"):
        content(store, asset)
    assert store.get(f"{ROOT}/x", LOCAL_USER) == asset
    store.delete(f"{ROOT}/x", LOCAL_USER)


def test_a_reader_keeps_what_is_deleted_under_it(store: AssetStore) -> None:
    asset = image(store, "x", b"abc")
    with store.reading(asset) as (path,):
        with store.reading(asset):
            store.delete(f"{ROOT}/x", LOCAL_USER)
        assert path.read_bytes() == b"abc"
    assert not path.exists()


def test_a_refused_creation_leaves_no_file(store: AssetStore) -> None:
    image(store, "x")
    with pytest.raises(EngineError, match="cannot be recorded"):
        image(store, "y", properties={"a": object()})
    with pytest.raises(EngineError, match="Cannot overwrite"):
        image(store, "x")
    assert len(files(store)) == 1
    with store.staging() as staged, pytest.raises(ValueError, match="no files"):
        store.create(NewAsset(f"{ROOT}/z", "IMAGE"), LOCAL_USER, folder=staged)
    with pytest.raises(ValueError, match="no staging folder"):
        store.create(NewAsset(f"{ROOT}/z", "IMAGE"), LOCAL_USER, folder=store.database.path.parent)


KILLED = """
import os, signal, sys
from pathlib import Path
from gee.local.assets.iam import LOCAL_USER
from gee.local.assets.records import NewAsset
from gee.local.assets.store import AssetStore
store = AssetStore(Path(sys.argv[1]))
with store.staging() as done:
    (done / "a.tif").write_bytes(b"whole")
    store.create(NewAsset("projects/my-project/assets/whole", "IMAGE"), LOCAL_USER, folder=done)
with store.staging() as half:
    (half / "a.tif").write_bytes(b"ha")
    print("ready", flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def test_after_kill_9_what_was_whole_is_there_and_the_rest_is_swept(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "kill"], check=False, capture_output=True)
    assert len(list((tmp_path / "files").iterdir())) == 2
    store = AssetStore(tmp_path)
    assert content(store, store.get(f"{ROOT}/whole", LOCAL_USER)) == b"whole"
    assert len(list((tmp_path / "files").iterdir())) == 1
    store.close()


def test_a_second_process_does_not_sweep_the_work_of_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"
        second = AssetStore(tmp_path)
        assert len(files(second)) == 2
        image(second, "from-the-second")
        second.close()
        first.communicate()
    assert first.returncode == 0


def test_a_file_that_is_no_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"not a database, whatever it is called" * 100)
    with pytest.raises(EngineError, match=r"state\.sqlite cannot be read"):
        AssetStore(tmp_path)


def test_a_newer_state_is_not_touched(store: AssetStore, tmp_path: Path) -> None:
    with store.database.write() as connection:
        connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(EngineError, match="newer engine"):
        AssetStore(tmp_path / "state")


def test_many_threads_lose_nothing(store: AssetStore) -> None:
    folder(store, "c", "IMAGE_COLLECTION")
    start = threading.Barrier(8)

    def work(worker: int) -> int:
        start.wait()
        won = 0
        for number in range(12):
            image(store, f"c/w{worker}-{number}", bytes([worker, number]))
            names(store, f"{ROOT}/c")
            try:
                image(store, f"c/shared-{number}", bytes([worker]))
                won += 1
            except EngineError as refusal:
                assert refusal.status == "ALREADY_EXISTS"
            if number % 3 == 0:
                store.delete(f"{ROOT}/c/w{worker}-{number}", LOCAL_USER)
        return won

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(work, range(8)))
    assert sum(won) == 12
    left = store.list_assets(f"{ROOT}/c", LOCAL_USER).assets
    assert len(left) == 12 + 8 * 8
    assert len(files(store)) == len(left)
    for asset in left:
        worker, _, number = asset.name.rpartition("/")[2].partition("-")
        if worker != "shared":
            assert content(store, asset) == bytes([int(worker[1:]), int(number)])


def test_the_records_are_plain_json(store: AssetStore) -> None:
    made = image(store, "x", geometry={"type": "Point", "coordinates": [1, 2]}, feature_count=None)
    assert json.loads(json.dumps(made.to_rest()))["geometry"] == {"type": "Point", "coordinates": [1, 2]}
