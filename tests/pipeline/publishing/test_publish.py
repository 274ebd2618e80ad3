"""Publishing on a good day: what is there then, what a second time does, what is refused.

The soil moisture is made up, the engine is the local one, and what is found there is compared with arrays.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import replace
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
import xarray as xr

from gee import comparisons, layers
from gee.timeseries import Calendar
from pipeline.cloud.storage import Bucket
from pipeline.errors import AuthError, ConfigError, DataError
from pipeline.publishing import day_assets
from pipeline.publishing.provenance import DayFile, Provenance, read_files
from pipeline.work.ledger import Ledger
from pipeline.work.workdir import WorkDir
from tests.pipeline.faulty_engine import Fault, Proxy
from tests.pipeline.publishing.conftest import Publish, pixels, tasks
from tests.pipeline.publishing.made import (
    DAYS,
    HEIGHT,
    INDICES,
    ROOT,
    TRANSFORM,
    WIDTH,
    soil_moisture,
    write_image,
    write_model,
    write_prediction,
)

IMPORTS, EXTERNAL, PIXELS, CHANGES = r"image:import\b", "importExternal", "computePixels", "^(PATCH|DELETE) "
DONE = ["SUCCEEDED"]


def versions(collection: str) -> dict[str, str]:
    """When each image was changed last."""
    listed = ee.data.listAssets(collection)["assets"]
    return {asset["name"].rpartition("/")[2]: asset["updateTime"] for asset in listed}


def assert_pixels(collection: str, *of_days: Any) -> None:
    for index, wanted in zip(INDICES, of_days, strict=True):
        np.testing.assert_array_equal(pixels(f"{collection}/{index}"), wanted)


def all_days() -> list[Any]:
    return [soil_moisture(number) for number in range(3)]


# What is there


def test_each_day_becomes_an_image_with_the_files_pixels(published: Publish, collection: str) -> None:
    done = published()
    assert done.outcomes == dict.fromkeys(INDICES, "new")
    assert_pixels(collection, *all_days())
    assert tasks(collection) == dict.fromkeys(INDICES, DONE)
    assert ee.data.getAsset(collection)["type"] == "IMAGE_COLLECTION"
    [band] = ee.data.getAsset(f"{collection}/20190618")["bands"]
    assert (band["id"], band["dataType"]["precision"], band["pyramidingPolicy"]) == ("sm", "FLOAT", "MEAN")


def several(day: int) -> dict[str, Any]:
    """Three bands of a day, soil moisture as of ``soil_moisture``."""
    sm = soil_moisture(day)
    return {"sm": sm, "sm_model": soil_moisture(day, 1), "corrected": np.where(np.isnan(sm), np.nan, 2)}


def write_bands(path: Any, bands: dict[str, Any]) -> None:
    values = np.stack(list(bands.values()))
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=HEIGHT, width=WIDTH, dtype="float32",
        crs="EPSG:32650", transform=rasterio.Affine(*TRANSFORM), nodata=-9999.0,
    ) as file:  # fmt: skip
        file.write(np.where(np.isnan(values), -9999, values).astype("float32"))
        file.descriptions = tuple(bands)


def test_further_bands_are_published_behind_soil_moisture(
    published: Publish, collection: str, work: WorkDir
) -> None:
    published()  # of one band, as by an older version
    for number, index in enumerate(INDICES):
        write_bands(work.images / f"sm_{index}.tif", several(number))
    done = published()
    assert done.outcomes == dict.fromkeys(INDICES, "replaced")
    asset = ee.data.getAsset(f"{collection}/20190619")
    assert [(band["id"], band["pyramidingPolicy"]) for band in asset["bands"]] == [
        ("sm", "MEAN"), ("sm_model", "MEAN"), ("corrected", "MODE")
    ]  # fmt: skip
    for name, wanted in several(1).items():
        found = pixels(ee.Image(f"{collection}/20190619").select([name]).rename(["sm"]))
        np.testing.assert_array_equal(found, wanted)
    about = ee.data.getAsset(collection)["properties"]["description"]
    assert "sm_model (what the model says, before it is corrected to SMAP)" in about
    assert published().outcomes == dict.fromkeys(INDICES, "unchanged")
    changed = several(0) | {"sm_model": soil_moisture(0, 2)}  # another band than the first
    write_bands(work.images / f"sm_{INDICES[0]}.tif", changed)
    assert published().outcomes == dict.fromkeys(INDICES, "unchanged") | {INDICES[0]: "replaced"}


def test_readers_find_soil_moisture_whatever_bands_the_images_of_a_collection_have(
    published: Publish, collection: str, work: WorkDir
) -> None:
    write_bands(work.images / f"sm_{INDICES[1]}.tif", several(1))
    published()
    for number, day in enumerate(DAYS):
        np.testing.assert_array_equal(
            pixels(layers.soil_moisture(collection, day).image), soil_moisture(number)
        )
        [one] = comparisons.published(collection, Calendar(day, day)).toList(1).getInfo()
        assert [band["id"] for band in one["bands"]] == ["sm"]
        assert one["properties"]["date"] == day.isoformat()


def test_an_image_tells_what_it_is(published: Publish, collection: str, work: WorkDir) -> None:
    published()
    model_hash = json.loads((work.model / "model.json").read_text())["sha256"]
    common = {
        "study": "simulated-tiny", "study_hash": "s" * 64, "preset": "recommended", "model_hash": model_hash,
        "simulated": 1, "units": "m³/m³", "stored_in": "Earth Engine",
        "smap_bin": "21-24 UTC of the day before, 5-8 in Beijing",
        "source_smap": "NASA/SMAP/SPL4SMGP/008", "source_soil_sand": "projects/soilgrids-isric/sand_mean",
        "r_random": 0.9123, "rmse_random": 0.021, "rmse_leave_partition_out": 0.05,
        "detail": 0.5, "wp_partitions": "HB",
    }  # fmt: skip
    for index, day, outage in zip(INDICES, DAYS, (0, 1, 1), strict=True):  # SMAP was off from 19 June 2019
        asset = ee.data.getAsset(f"{collection}/{index}")
        told = dict(asset["properties"])
        assert len(told.pop("content_sha256")) == 64
        assert told.pop("gee_smap")
        assert told == common | {"date": day.isoformat(), "smap_outage": outage, "provisional": 0}
        before = day - dt.timedelta(days=1)
        assert (asset["startTime"], asset["endTime"]) == (f"{before}T21:00:00Z", f"{day}T00:00:00Z")
    about = ee.data.getAsset(collection)["properties"]
    assert common.items() <= about.items()
    assert about["title"] == "Daily 1 km surface soil moisture, simulated-tiny (simulated)"
    assert "All sources are simulated" in about["description"]


def test_folders_above_are_made_and_progress_only_grows(work: WorkDir, bucket: Bucket, proxy: Proxy) -> None:
    from pipeline.publishing.publish import publish

    told: list[float] = []
    name = f"{ROOT}/made-up/folder/sm-{os.getpid()}"
    publish(work, name, bucket, "/study/", lambda what, share: told.append(share))
    assert ee.data.getAsset(f"{ROOT}/made-up/folder")["type"] == "FOLDER"
    assert sorted(versions(name)) == list(INDICES)
    assert told == sorted(told)
    assert told[-1] == 1
    assert all(one.name.startswith("study/images/sm_2019") for one in bucket.listing("study/images/sm_"))


def test_the_ledger_knows_objects_and_assets(
    published: Publish, collection: str, work: WorkDir, bucket: Bucket
) -> None:
    done = published()
    with Ledger(work.ledger) as ledger:
        rows = {row.id: row for row in ledger.assets()}
        objects = {row.name: row for row in ledger.objects()}
    assert sorted(rows) == [f"{collection}/{index}" for index in INDICES]
    assert {row.state for row in rows.values()} == {"succeeded"}
    assert [row.day for row in rows.values()] == list(DAYS)
    assert set(objects) == set(done.objects)
    for name, row in objects.items():
        there = bucket.find(name)
        assert there is not None
        assert (row.generation, row.crc32c, row.state) == (there.generation, there.crc32c, "uploaded")


def test_what_is_told_can_be_read_by_people_and_machines(published: Publish, collection: str) -> None:
    done = published()
    assert done.title() == f"{collection}: 3 images (3 new)"
    assert done.rows()[0] == {"image": "20190618", "what was done": "new"}
    notes = " ".join(done.notes())
    assert "simulated" in notes
    assert f'sm = ee.ImageCollection("{collection}")' in notes
    assert f"gee-smap share {collection}" in notes
    assert json.loads(json.dumps(done.as_dict()))["images"] == dict.fromkeys(INDICES, "new")


# Again


def test_a_second_time_nothing_is_done(published: Publish, collection: str, proxy: Proxy) -> None:
    published()
    before = versions(collection)
    proxy.reset()
    again = published()
    assert again.outcomes == dict.fromkeys(INDICES, "unchanged")
    assert "nothing was published anew" in next(iter(again.notes()))
    assert versions(collection) == before
    assert [proxy.count(kind) for kind in (IMPORTS, PIXELS, CHANGES)] == [0, 0, 0]


def test_only_what_changed_is_replaced_and_readers_always_find_it(
    published: Publish, collection: str, work: WorkDir, proxy: Proxy
) -> None:
    published()
    before = versions(collection)
    write_image(work.images / "sm_20190619.tif", soil_moisture(1, version=2))
    read = []

    def reading(answer: dict[str, Any]) -> dict[str, Any]:
        read.append(pixels(f"{collection}/20190619"))
        return answer

    proxy.inject(Fault("GET .*/operations", times=3, edit=reading))  # before the task, and after its start
    again = published()
    versions_read = [
        [np.array_equal(values, soil_moisture(1, version=of), equal_nan=True) for of in (0, 2)]
        for values in read
    ]
    assert [sum(one) for one in versions_read] == [1, 1, 1]
    assert versions_read[0] == [True, False]
    assert again.outcomes == {"20190618": "unchanged", "20190619": "replaced", "20190620": "unchanged"}
    after = versions(collection)
    assert [index for index in INDICES if after[index] != before[index]] == ["20190619"]
    assert_pixels(collection, soil_moisture(0), soil_moisture(1, version=2), soil_moisture(2))


def test_detached_the_engine_goes_on_alone_and_a_later_call_looks_at_what_it_made(
    published: Publish, collection: str
) -> None:
    left = published(detach=True)
    assert (left.outcomes, left.pending) == (dict.fromkeys(INDICES, "submitted"), 3)
    assert "3 images are not there yet" in " ".join(left.notes())
    done = published()
    assert done.pending == 0
    assert_pixels(collection, *all_days())
    assert tasks(collection) == dict.fromkeys(INDICES, DONE)  # none was started twice
    assert published(detach=True).outcomes == dict.fromkeys(INDICES, "unchanged")


def test_detached_what_the_queue_does_not_take_waits_for_a_later_call(
    published: Publish, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_assets, "IN_QUEUE", 1)
    first = published(detach=True)
    assert [first.outcomes[index] for index in INDICES] == ["submitted", "waiting", "waiting"]
    assert set(tasks(collection)) == {INDICES[0]}
    published()
    assert_pixels(collection, *all_days())
    assert tasks(collection) == dict.fromkeys(INDICES, DONE)


def test_images_that_stay_in_the_bucket_have_no_tasks_to_leave(published: Publish, proxy: Proxy) -> None:
    with pytest.raises(ConfigError, match="--detach leaves tasks to the engine, and --cog-backed has none"):
        published(detach=True, cog_backed=True)


def test_the_same_pixels_in_another_file_are_the_same(published: Publish, work: WorkDir) -> None:
    published()
    write_image(work.images / "sm_20190619.tif", soil_moisture(1), compress="LZW")
    assert published().outcomes == dict.fromkeys(INDICES, "unchanged")


def test_a_new_model_with_the_same_pixels_changes_what_is_said(
    published: Publish, collection: str, work: WorkDir, proxy: Proxy
) -> None:
    published()
    ee.data.updateAsset(
        f"{collection}/20190618", {"properties": {"mine": "kept", "source_old": "x"}},
        ['properties."mine"', 'properties."source_old"'],
    )  # fmt: skip
    new = write_model(work.model, trees=11)
    write_prediction(work, new)
    proxy.reset()
    assert published().outcomes == dict.fromkeys(INDICES, "described")
    assert proxy.count(IMPORTS) == 0
    told = ee.data.getAsset(f"{collection}/20190618")["properties"]
    assert told["model_hash"] == new
    assert told["mine"] == "kept"
    assert "source_old" not in told
    assert ee.data.getAsset(collection)["properties"]["model_hash"] == new


def test_days_can_be_chosen(published: Publish, collection: str, work: WorkDir) -> None:
    (work.images / "sm_20190619.tif").unlink()
    assert published(days=DAYS[:1]).outcomes == {"20190618": "new"}
    again = published(days=DAYS[2:])
    assert again.outcomes == {"20190620": "new"}
    assert again.others == ("20190618",)
    assert sorted(versions(collection)) == ["20190618", "20190620"]


# In the bucket


def test_pixels_can_stay_in_the_bucket(
    published: Publish, collection: str, bucket: Bucket, proxy: Proxy
) -> None:
    done = published(cog_backed=True)
    assert done.outcomes == dict.fromkeys(INDICES, "new")
    assert_pixels(collection, *all_days())
    assert (proxy.count(IMPORTS), proxy.count(EXTERNAL)) == (0, 3)
    assert ee.data.getAsset(f"{collection}/20190618")["properties"]["stored_in"] == f"gs://{bucket.name}"
    assert any("need a right there" in note for note in done.notes())
    proxy.reset()
    assert published(cog_backed=True).outcomes == dict.fromkeys(INDICES, "unchanged")
    assert proxy.count(EXTERNAL) == 0


@pytest.mark.parametrize("remembered", [True, False])
def test_an_object_that_was_lost_is_made_good(
    remembered: bool, published: Publish, collection: str, bucket: Bucket, work: WorkDir
) -> None:
    done = published(cog_backed=True)
    bucket.remove(done.objects[1:2])
    with pytest.raises(ee.EEException):
        pixels(f"{collection}/20190619")
    if not remembered:
        work.ledger.unlink()
    again = published(cog_backed=True)
    assert list(again.outcomes.values()) == ["unchanged", "replaced", "unchanged"]
    assert_pixels(collection, *all_days())


def test_a_new_object_never_takes_the_place_of_one_that_is_read(
    published: Publish, collection: str, work: WorkDir
) -> None:
    first = published(cog_backed=True)
    write_image(work.images / "sm_20190618.tif", soil_moisture(0, version=2))
    second = published(cog_backed=True)
    assert [a == b for a, b in zip(first.objects, second.objects, strict=True)] == [False, True, True]
    assert_pixels(collection, soil_moisture(0, version=2), soil_moisture(1), soil_moisture(2))


def test_pixels_can_move_into_the_bucket(published: Publish, collection: str) -> None:
    published()
    assert published(cog_backed=True).outcomes == dict.fromkeys(INDICES, "replaced")
    assert_pixels(collection, *all_days())


# Readers


def test_xee_opens_it(published: Publish, collection: str) -> None:
    published()
    opened = xr.open_dataset(
        f"ee://{collection}", engine="ee", crs="EPSG:32650", crs_transform=TRANSFORM, shape_2d=(40, 30),
        ee_init_if_necessary=False,
    )  # fmt: skip
    assert list(opened.data_vars) == ["sm"]
    starts = [np.datetime64(f"{day - dt.timedelta(days=1)}T21:00") for day in DAYS]
    np.testing.assert_array_equal(opened.time.to_numpy(), np.array(starts, opened.time.dtype))
    values = opened["sm"].transpose("time", "y", "x").to_numpy()
    np.testing.assert_array_equal(values, np.stack(all_days()))


# Refused


@pytest.mark.parametrize(
    "name", ["sm", "projects/p/assets", "projects/p/assets/", "projects/p/assets/a b", "users/x/y"]
)
def test_a_name_that_cannot_be(published: Publish, name: str, proxy: Proxy) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a collection"):
        published(collection=name)
    assert proxy.requests == []


def test_a_folder_or_another_study_in_its_place(published: Publish, collection: str, bucket: Bucket) -> None:
    ee.data.createAsset({"type": "FOLDER"}, collection)
    with pytest.raises(ConfigError, match="is of type FOLDER"):
        published()
    for properties, whose in (({}, "did not publish"), ({"study": "theirs"}, "holds the study 'theirs'")):
        name = f"{collection}-{len(properties)}"
        published(collection=name, days=DAYS[:1])
        ee.data.updateAsset(name, {"properties": properties}, ["properties"])
        with pytest.raises(ConfigError, match=whose):
            published(collection=name)
    inside = f"{collection}-1/20190618/sm"
    with pytest.raises(ConfigError, match="holds no collections"):
        published(collection=inside)


def test_a_project_of_somebody_elses(published: Publish, proxy: Proxy) -> None:
    with pytest.raises(
        AuthError, match=r"may not write in projects/somebody-else/assets.*\n.*GEE_SMAP_ASSETS"
    ):
        published(collection="projects/somebody-else/assets/sm")
    assert proxy.count(IMPORTS) == 0


def test_a_prediction_of_something_else(published: Publish, work: WorkDir, proxy: Proxy) -> None:
    write_prediction(work, "another", "s" * 64)
    with pytest.raises(DataError, match="is of another model"):
        published()
    write_prediction(work, write_model(work.model), "t" * 64)
    with pytest.raises(DataError, match="is of another study"):
        published()
    (work.prediction / "zarr.json").unlink()
    with pytest.raises(DataError, match="gee-smap predict makes it"):
        published()
    assert proxy.requests == []


def test_images_that_are_missing_or_broken_are_all_told(
    published: Publish, work: WorkDir, proxy: Proxy
) -> None:
    write_image(work.images / "sm_20190618.tif", soil_moisture(0), dtype="float64")
    (work.images / "sm_20190619.tif").write_bytes(b"no image")
    write_image(work.images / "sm_20190620.tif", soil_moisture(2)[:-1])
    with pytest.raises(DataError) as refused:
        published()
    for told in (
        "sm_20190618.tif: it has 1 bands of float64",
        "sm_20190619.tif: ",
        "not lie on the study's grid",
    ):
        assert told in str(refused.value)
    (work.images / "sm_20190619.tif").unlink()
    with pytest.raises(DataError, match="has no image of 2019-06-19: gee-smap predict"):
        published()
    assert proxy.requests == []


# What is read back of large images


def test_a_large_image_is_probed_where_it_has_most_pixels(work: WorkDir) -> None:
    from pipeline.work.manifest import Manifest

    values = np.full((600, 700), np.nan, "float32")
    values[300:560, 200:600] = 0.25
    write_image(work.images / "sm_20190618.tif", values)
    manifest = Manifest.read(work.manifest).model_copy(update={"width": 700, "height": 600})
    [found] = read_files(work, manifest, DAYS[:1], lambda what, share: None)
    assert isinstance(found, DayFile)
    assert found.window.shape == (256, 256)
    column, row, *_ = found.probe
    # No place 128 pixels apart has more: rows 256-512 and columns 256-512 hold 212 x 256 valid pixels.
    assert (row, column) == (256, 256)
    assert (found.values() != -9999).sum() == 212 * 256
    corner = found.window.affine
    assert (corner.xoff, corner.yoff) == (500_000 + 256_000, 3_600_000 - 256_000)


def test_where_no_partition_has_a_stack_of_its_own_the_scores_are_those_of_wp(work: WorkDir) -> None:
    told = Provenance.of(work)
    assert (told.common["r_random"], told.common["rmse_random"]) == (0.9123, 0.021)
    alone = told.card.model_copy(update={"stacks": told.card.stacks[-1:]})
    scored = replace(told, card=alone).common
    assert (scored["r_random"], scored["rmse_random"]) == (0.2, 0.8)
