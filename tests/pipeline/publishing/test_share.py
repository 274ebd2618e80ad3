"""Sharing a collection with other identities: refused before, read after, refused again when taken back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ee
import numpy as np
import pytest

from gee import assets
from gee.assets import DayImage, Grant
from gee.connection import connect, local_account
from gee.local.rest.process import Child
from pipeline.cloud.storage import Bucket
from pipeline.errors import AuthError, ConfigError, DataError, EngineError
from pipeline.publishing.provenance import Provenance
from pipeline.publishing.share import RECORD, apply, listing, plan_sharing, plan_undo, principal
from pipeline.work.workdir import WorkDir
from tests.pipeline.faulty_engine import Fault, Proxy
from tests.pipeline.publishing.conftest import Publish, pixels
from tests.pipeline.publishing.elsewhere import PROJECT
from tests.pipeline.publishing.made import DAYS, soil_moisture

OWNER = {"who": "user:local@localhost", "right": "owner"}
SET = ":setIamPolicy"


class Account(NamedTuple):
    """Somebody else."""

    project: str
    key: Path
    member: str


@pytest.fixture(scope="module")
def account(server: Child, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Account]:
    """Makes service accounts, each with a project of its own."""
    made: dict[str, Account] = {}

    def make(name: str) -> Account:
        if name not in made:
            key = tmp_path_factory.mktemp(name) / "key.json"
            content = local_account(name, Path(server.address.state))
            key.write_text(json.dumps(content), encoding="utf-8")
            made[name] = Account(name, key, f"serviceAccount:{content['client_email']}")
        return made[name]

    return make


@pytest.fixture
def acting(proxy: Proxy) -> Callable[[Account], AbstractContextManager[None]]:
    """Makes the client somebody else's while a block lasts."""

    @contextmanager
    def become(account: Account) -> Iterator[None]:
        try:
            connect(proxy.url, account.project, account.key)
            ee.data.setMaxRetries(0)
            yield
        finally:
            connect(proxy.url, PROJECT)
            ee.data.setMaxRetries(0)

    return become


@pytest.fixture
def shared(proxy: Proxy, collection: str) -> str:
    """An empty collection of ours."""
    assets.create_collection(collection, {"study": "x"})
    return collection


def share(collection: str, work: WorkDir, **who: Any) -> Any:
    return apply(plan_sharing(collection, **who), work)


def members(collection: str, role: str = assets.READER) -> list[str]:
    return assets.policy(collection).members(role)


# Two identities


def test_another_identity_reads_only_while_it_is_shared(
    published: Publish,
    collection: str,
    work: WorkDir,
    account: Any,
    acting: Any,
    proxy: Proxy,
    tmp_path: Path,
) -> None:
    published(days=DAYS[:1])
    reader, image = account("reader-1"), f"{collection}/20190618"
    with acting(reader), pytest.raises(ee.EEException, match=r"not found|denied"):
        pixels(image)

    planned = plan_sharing(collection, readers=[reader.member.partition(":")[2]])
    assert planned.rows() == [
        {"who": reader.member, "now": "", "then": "reader"},
        {"who": OWNER["who"], "now": "owner", "then": "owner"},
    ]
    assert members(collection) == []  # a plan changes nothing
    done = apply(planned, work)
    assert done.rows() == [{"who": reader.member, "right": "reader"}, OWNER]
    assert done.images_changed == 0
    with acting(reader):
        np.testing.assert_array_equal(pixels(image), soil_moisture(0))
        assert list(assets.images(collection)) == ["20190618"]

    # The two lines a collaborator is told, typed into a Python of their own.
    code = [line.replace("your-project", reader.project) for line in done.code]
    assert all(line in " ".join(done.notes()) for line in done.code)
    typed = subprocess.run(
        [sys.executable, "-c", "\n".join([*code, "print(sm.first().bandNames().getInfo())"])],
        env={**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(reader.key), "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert typed.stdout.strip() == "['sm']", typed.stderr

    back = plan_undo(collection, work)
    assert back.rows()[0] == {"who": reader.member, "now": "reader", "then": ""}
    assert apply(back, work).rows() == [OWNER]
    with acting(reader), pytest.raises(ee.EEException, match=r"not found|denied"):
        pixels(image)


def test_a_writer_uses_the_earthengine_command(
    published: Publish, collection: str, work: WorkDir, account: Any, server: Child, tmp_path: Path
) -> None:
    published(days=DAYS[:2])
    reader, writer = account("reader-1"), account("writer-1")
    share(collection, work, readers=[reader.member], writers=[writer.member])
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"url": server.address.url, "project": writer.project}), encoding="utf-8")

    def earthengine(*arguments: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("earthengine"), "--service_account_file", writer.key, *arguments],
            env={**os.environ, "EE_CONFIG_FILE": str(config)},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert earthengine("ls", collection).split() == [f"{collection}/20190618", f"{collection}/20190619"]
    rights = json.loads(earthengine("acl", "get", collection))
    assert (rights["readers"], rights["writers"]) == ([reader.member], [writer.member])
    assert "all_users_can_read" not in rights


def test_everybody_and_nobody(shared: str, work: WorkDir, account: Any, acting: Any) -> None:
    stranger = account("stranger")
    done = share(shared, work, public=True)
    assert "Everybody on the internet" in " ".join(done.sharing.notes())
    with acting(stranger):
        assert assets.find(shared) is not None
    share(shared, work, public=False)
    with acting(stranger), pytest.raises(ee.EEException, match="denied"):
        assets.find(shared)


def test_who_may_not_share(shared: str, work: WorkDir, account: Any, acting: Any) -> None:
    reader, writer = account("reader-1"), account("writer-1")
    with acting(reader), pytest.raises(AuthError, match="You may not see or change who has rights"):
        plan_sharing(shared, readers=["a@example.com"])
    share(shared, work, readers=[reader.member], writers=[writer.member])
    with acting(reader), pytest.raises(AuthError, match="ask its owner"):
        listing(shared)
    with acting(writer):  # a writer may share (apidocs/ee-data-setassetacl), but not lock itself out
        with pytest.raises(ConfigError, match="is the account in use"):
            plan_sharing(shared, readers=[writer.member])
        share(shared, work, readers=["a@example.com"])
    assert members(shared) == [reader.member, "user:a@example.com"]


# Who is who


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("Ann.Lee@Example.com", "user:ann.lee@example.com"),
        (" user:a@b.co ", "user:a@b.co"),
        ("lab@googlegroups.com", "group:lab@googlegroups.com"),
        ("GROUP:lab@uni.edu", "group:lab@uni.edu"),
        ("bot@p-1.iam.gserviceaccount.com", "serviceAccount:bot@p-1.iam.gserviceaccount.com"),
        ("serviceaccount:bot@x.org", "serviceAccount:bot@x.org"),
        ("domain:Uni.edu", "domain:uni.edu"),
        ("ALLUSERS", "allUsers"),
        ("allAuthenticatedUsers", "allAuthenticatedUsers"),
        ("user:local@localhost", "user:local@localhost"),
    ],
)
def test_a_principal_is_understood(text: str, member: str) -> None:
    assert principal(text) == member


@pytest.mark.parametrize(
    "text",
    [
        "", "bob", "bob@", "@x.org", "bob@x", "a b@x.org", "a@b@x.org", "bob@x..org", "bob@-x.org", "user:",
        "user:bob", "domain:uni", "domain:a@x.org", "owner:bob@x.org", "bob@x.org,ann@x.org", "<bob@x.org>",
    ],
)  # fmt: skip
def test_what_is_no_principal_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is nobody Earth Engine knows how to write"):
        principal(text)


def test_all_mistakes_are_told_at_once_and_before_anything_is_asked(shared: str, proxy: Proxy) -> None:
    proxy.reset()
    with pytest.raises(ConfigError) as refused:
        plan_sharing(shared, readers=["bob", "a@x.org"], writers=["allUsers", "A@x.org"], remove=["d@"])
    told = str(refused.value).splitlines()
    assert [line.partition(" ")[0] for line in told] == ["'bob'", "allUsers", "user:a@x.org", "'d@'"]
    with pytest.raises(ConfigError, match="Nobody is named"):
        plan_sharing(shared)
    assert proxy.requests == []


def test_an_owner_needs_no_sharing(shared: str) -> None:
    for who in ({"readers": ["local@localhost"]}, {"remove": ["local@localhost"]}):
        with pytest.raises(ConfigError, match="user:local@localhost owns"):
            plan_sharing(shared, **who)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("projects/my-project/assets/nothing-here", "does not exist"),
        ("nothing", "is no image collection"),
        ("projects/my-project/assets", "is no image collection"),
    ],
)
def test_what_is_no_collection(proxy: Proxy, name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        plan_sharing(name, public=True)


def test_a_folder_is_not_shared(proxy: Proxy, collection: str) -> None:
    assets.create_folder(collection)
    with pytest.raises(ConfigError, match="is of type FOLDER"):
        listing(collection)


# What is changed


def test_a_right_takes_the_place_of_another(shared: str, work: WorkDir) -> None:
    share(shared, work, readers=["a@x.org", "b@x.org"], writers=["c@x.org"])
    planned = plan_sharing(shared, readers=["c@x.org"], writers=["a@x.org"], remove=["b@x.org", "d@x.org"])
    assert planned.rows() == [
        {"who": "user:a@x.org", "now": "reader", "then": "writer"},
        {"who": "user:b@x.org", "now": "reader", "then": ""},
        {"who": "user:c@x.org", "now": "writer", "then": "reader"},
        {"who": "user:local@localhost", "now": "owner", "then": "owner"},
    ]
    assert any("Writers can" in note for note in planned.notes())
    apply(planned, work)
    assert (members(shared), members(shared, assets.WRITER)) == (["user:c@x.org"], ["user:a@x.org"])
    found = listing(shared)
    assert found.rows() == [
        {"who": "user:a@x.org", "right": "writer"}, {"who": "user:c@x.org", "right": "reader"}, OWNER
    ]  # fmt: skip
    assert json.loads(json.dumps(found.as_dict()))["rights"][0] == {
        "member": "user:a@x.org",
        "role": "writer",
    }
    assert f'sm = ee.ImageCollection("{shared}")' in " ".join(found.notes())


def test_what_is_so_already_is_not_done_again(shared: str, work: WorkDir, proxy: Proxy) -> None:
    share(shared, work, readers=["a@x.org"])
    record = (work.root / RECORD).read_text()
    proxy.reset()
    done = share(shared, work, readers=["a@x.org"], remove=["b@x.org"])
    assert "nothing is to be done" in " ".join(done.sharing.notes())
    assert proxy.count(SET) == 0
    assert (work.root / RECORD).read_text() == record


def test_undo_takes_back_one_change_after_the_other_and_nothing_of_others(shared: str, work: WorkDir) -> None:
    share(shared, work, readers=["a@x.org"])
    share(shared, work, writers=["a@x.org"], readers=["b@x.org"])
    theirs = assets.Difference(frozenset({Grant("user:z@x.org", assets.READER)}))
    assets.set_policy(shared, assets.policy(shared).changed(theirs))
    apply(plan_undo(shared, work), work)
    assert (members(shared), members(shared, assets.WRITER)) == (["user:a@x.org", "user:z@x.org"], [])
    apply(plan_undo(shared, work), work)
    assert members(shared) == ["user:z@x.org"]
    with pytest.raises(ConfigError, match=r"no change .* that could be taken back"):
        plan_undo(shared, work)


def test_what_others_took_back_already_is_passed_over(shared: str, work: WorkDir) -> None:
    share(shared, work, readers=["a@x.org"])
    share(shared, work, readers=["b@x.org"])
    gone = assets.Difference(removed=frozenset({Grant("user:b@x.org", assets.READER)}))
    assets.set_policy(shared, assets.policy(shared).changed(gone))
    assert plan_undo(shared, work).rows()[0] == {"who": "user:a@x.org", "now": "reader", "then": ""}


def test_images_that_have_rights_of_their_own_are_shared_too(
    proxy: Proxy, bucket: Bucket, work: WorkDir
) -> None:
    # No image of a collection has any on this engine, so images of a folder stand in for them.
    folder = f"projects/{PROJECT}/assets/f{uuid.uuid4().hex[:8]}"
    assets.create_folder(folder)
    sent = bucket.upload([work.images / "sm_20190618.tif"], folder[-8:], lambda what, share: None)
    times = Provenance.of(work).times(DAYS[0])
    names = [f"{folder}/{number}" for number in range(2)]
    for name in names:
        assets.register(DayImage(name, bucket.uri(sent.objects[0].name), *times, {}), overwrite=False)
    change = assets.Difference(frozenset({Grant("user:a@x.org", assets.READER)}))
    assert assets.share_images(names, change) == 2
    assert [members(name) for name in names] == [["user:a@x.org"]] * 2
    assert assets.share_images(names, change) == 0
    assert assets.share_images(names, assets.Difference(removed=change.added)) == 2
    assert [members(name) for name in names] == [[], []]


def test_a_collection_that_stays_in_a_bucket_says_so(
    published: Publish, collection: str, bucket: Bucket, work: WorkDir
) -> None:
    published(days=DAYS[:1], cog_backed=True)
    done = share(collection, work, readers=["a@x.org"])
    assert f"gs://{bucket.name}, whose rights are separate" in " ".join(done.notes())


# Faults


def test_rights_that_changed_since_the_plan_are_not_overwritten(shared: str, work: WorkDir) -> None:
    planned = plan_sharing(shared, readers=["a@x.org"])
    share(shared, WorkDir(work.root / "theirs"), readers=["z@x.org"])
    with pytest.raises(EngineError, match="changed by somebody else meanwhile"):
        apply(planned, work)
    assert members(shared) == ["user:z@x.org"]
    with pytest.raises(ConfigError, match="no change"):
        plan_undo(shared, work)


def test_images_that_could_not_be_shared_are_told_and_made_good_by_a_way_there_and_back(
    shared: str, work: WorkDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(names: list[str], change: assets.Difference) -> int:
        raise ee.EEException("Service unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(assets, "share_images", broken)
        with pytest.raises(EngineError, match=r"(?s)unavailable.*those on some of its images are not"):
            share(shared, work, readers=["a@x.org"])
    assert members(shared) == ["user:a@x.org"]
    apply(plan_undo(shared, work), work)
    assert members(shared) == []
    share(shared, work, readers=["a@x.org"])
    assert members(shared) == ["user:a@x.org"]


def test_a_change_whose_answer_was_lost_is_done(shared: str, work: WorkDir, proxy: Proxy) -> None:
    proxy.inject(Fault(SET, cut=True, passed_on=True))
    share(shared, work, readers=["a@x.org"])
    assert members(shared) == ["user:a@x.org"]
    apply(plan_undo(shared, work), work)
    assert members(shared) == []


def test_somebody_who_does_not_exist_is_told_in_the_engines_words(
    shared: str, work: WorkDir, proxy: Proxy
) -> None:
    proxy.inject(Fault(SET, status=400, message="The account nobody@example.com does not exist."))
    with pytest.raises(
        ConfigError, match=r"does not take user:nobody@example.com: The account .* not exist\."
    ):
        share(shared, work, readers=["nobody@example.com"])
    with pytest.raises(ConfigError, match="no change"):
        plan_undo(shared, work)


def test_an_engine_that_is_down_changes_nothing(shared: str, work: WorkDir, proxy: Proxy) -> None:
    proxy.inject(Fault(SET, status=503))
    with pytest.raises(EngineError, match="Service unavailable"):
        share(shared, work, readers=["a@x.org"])
    assert members(shared) == []


def test_nothing_is_shared_that_could_not_be_taken_back(shared: str, work: WorkDir, proxy: Proxy) -> None:
    no_folder = WorkDir(work.study)
    planned = plan_sharing(shared, readers=["a@x.org"])
    with pytest.raises(DataError, match="cannot be"):
        apply(planned, no_folder)
    (work.root / RECORD).write_text("{broken")
    for attempt in (lambda: apply(planned, work), lambda: plan_undo(shared, work)):
        with pytest.raises(DataError, match="cannot be read; without it nothing can be taken back"):
            attempt()
    assert proxy.count(SET) == 0
