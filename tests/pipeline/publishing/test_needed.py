"""Which objects of publications may go: those that no image stands on, and none where that is not certain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ee
import pytest

from pipeline.cloud.storage import Bucket
from pipeline.publishing.day_assets import Making
from pipeline.publishing.needed import needed
from pipeline.work.workdir import WorkDir
from tests.pipeline.faulty_engine import Proxy
from tests.pipeline.publishing.conftest import Publish
from tests.pipeline.publishing.elsewhere import QUICK
from tests.pipeline.publishing.made import DAYS, soil_moisture, write_image

Kept = Callable[[], set[str]]


@pytest.fixture
def prefix(collection: str) -> str:
    """Of the objects, as ``published`` has it."""
    return f"study/{collection[-10:]}"


@pytest.fixture
def kept(work: WorkDir, bucket: Bucket, prefix: str) -> Kept:
    """What of the bucket is to stay."""
    return lambda: set(needed(work, bucket, prefix, QUICK))


def changed(work: WorkDir, day: int) -> None:
    write_image(work.images / f"sm_{DAYS[day]:%Y%m%d}.tif", soil_moisture(day, version=2))


def test_an_object_has_done_its_work_once_its_image_holds_the_pixels(published: Publish, kept: Kept) -> None:
    assert published().objects
    assert kept() == set()
    assert set(published().outcomes.values()) == {"unchanged"}


def test_an_image_whose_pixels_stay_in_the_bucket_needs_its_object_and_no_earlier_one(
    published: Publish, work: WorkDir, kept: Kept, bucket: Bucket, prefix: str
) -> None:
    first = published(cog_backed=True)
    assert kept() == set(first.objects)
    changed(work, 1)
    assert kept() == set(first.objects)
    second = published(cog_backed=True)
    assert kept() == set(second.objects)
    gone = bucket.leftovers(prefix, kept())
    assert [one.name for one in gone] == [first.objects[1]]
    bucket.remove([one.name for one in gone])
    assert set(published(cog_backed=True).outcomes.values()) == {"unchanged"}


def test_what_one_collection_holds_itself_another_may_stand_on(
    published: Publish, collection: str, bucket: Bucket, work: WorkDir, kept: Kept, prefix: str, proxy: Proxy
) -> None:
    from pipeline.publishing.publish import publish

    done = publish(work, f"{collection}-b", bucket, prefix, lambda what, share: None, cog_backed=True,
                   patience=QUICK)  # fmt: skip
    assert published().objects == done.objects
    assert kept() == set(done.objects)


def test_what_was_just_sent_is_kept_for_the_publication_that_sent_it(
    published: Publish,
    work: WorkDir,
    kept: Kept,
    bucket: Bucket,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published()
    changed(work, 0)

    def killed(making: Making, days: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Making, "ingest", killed)
        published()
    [waiting] = kept()
    assert len(bucket.listing(f"{prefix}/images/sm_{DAYS[0]:%Y%m%d}")) == 2
    done = published()
    assert done.objects[0] == waiting
    assert kept() == set()


def test_what_another_work_directory_may_have_published_stays(
    published: Publish, kept: Kept, bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    published()
    theirs = tmp_path / "sm_20190618-0123456789ab.tif"
    theirs.write_bytes(b"theirs")
    bucket.upload([theirs], f"{prefix}/images", lambda what, share: None)
    assert kept() == {f"{prefix}/images/{theirs.name}"}


def test_an_image_that_no_longer_tells_its_hash_keeps_all_objects_of_its_day(
    published: Publish, work: WorkDir, kept: Kept, collection: str
) -> None:
    first = published(cog_backed=True)
    changed(work, 1)
    second = published(cog_backed=True)
    ee.data.updateAsset(f"{collection}/{DAYS[1]:%Y%m%d}", {"properties": {}}, ["properties"])
    assert kept() == {*first.objects, *second.objects}


def test_of_a_collection_that_is_gone_only_what_could_be_published_now_stays(
    published: Publish, work: WorkDir, kept: Kept, collection: str
) -> None:
    first = published(cog_backed=True)
    changed(work, 1)
    second = published(cog_backed=True)
    for day in DAYS:
        ee.data.deleteAsset(f"{collection}/{day:%Y%m%d}")
    ee.data.deleteAsset(collection)
    assert kept() == set(second.objects)
    assert first.objects[1] not in kept()
