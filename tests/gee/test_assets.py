"""Assets made of arrays, looked at through the client; and policies as sets of grants."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import assets
from gee.assets import DayImage, Difference, Grant, Policy
from gee.local.rest.process import Child

ROOT = "projects/my-project/assets"
TRANSFORM = rasterio.Affine(1000, 0, 500_000, 0, -1000, 3_600_000)
GRID = GeoBox((30, 40), TRANSFORM, "EPSG:32650")
START = dt.datetime(2019, 3, 31, 21, tzinfo=dt.UTC)
END = dt.datetime(2019, 4, 1, tzinfo=dt.UTC)
PATIENCE = 60.0


@pytest.fixture(scope="module")
def bucket(client: Child) -> Iterator[Any]:
    """A bucket the engine reads."""
    cloud = storage.Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": client.address.storage},
    )
    yield cloud.create_bucket(f"bucket-{uuid.uuid4().hex[:8]}")
    cloud.close()


@pytest.fixture
def collection(client: Child) -> str:
    """An empty collection."""
    name = f"{ROOT}/c{uuid.uuid4().hex[:8]}"
    assets.create_collection(name, {"study": "test"})
    return name


def soil_moisture(seed: int) -> NDArray[np.float32]:
    """40 x 30 values, NaN in a corner and here and there."""
    random = np.random.default_rng(seed)
    values = random.uniform(0.05, 0.5, GRID.shape).astype("float32")
    values[:8, :11] = np.nan
    values[random.random(GRID.shape) < 0.1] = np.nan
    return values


@pytest.fixture
def uploaded(bucket: Any, tmp_path: Path) -> Any:
    """Writes values as a COG of the bucket; gives its URI."""

    def upload(values: NDArray[np.float32]) -> str:
        path = tmp_path / f"{uuid.uuid4().hex}.tif"
        with rasterio.open(
            path, "w", driver="COG", count=1, height=30, width=40, dtype="float32", crs="EPSG:32650",
            transform=TRANSFORM, nodata=-9999, blocksize=256,
        ) as file:  # fmt: skip
            file.write(np.where(np.isnan(values), np.float32(-9999), values), 1)
        bucket.blob(path.name).upload_from_filename(str(path))
        return f"gs://{bucket.name}/{path.name}"

    return upload


def day_image(name: str, uri: str, **properties: Any) -> DayImage:
    return DayImage(name, uri, START, END, properties)


def done(name: str, operation: str) -> dict[str, Any]:
    """An image's newest task, once it is over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        newest = assets.ingestions()[name][0]
        assert newest["name"] == operation
        if newest["metadata"]["state"] not in ("PENDING", "RUNNING"):
            return newest
        time.sleep(0.05)
    raise AssertionError(f"still {newest}")


# Images


def test_a_manifest_says_what_the_guide_asks_for() -> None:
    told = day_image(f"{ROOT}/c/20190401", "gs://b/x.tif", simulated=1).manifest()
    assert told == {
        "name": f"{ROOT}/c/20190401",
        "tilesets": [{"id": "sm", "sources": [{"uris": ["gs://b/x.tif"]}]}],
        "bands": [
            {
                "id": "sm",
                "tilesetId": "sm",
                "tilesetBandIndex": 0,
                "missingData": {"values": [-9999.0]},
                "pyramidingPolicy": "MEAN",
            }
        ],
        "startTime": "2019-03-31T21:00:00Z",
        "endTime": "2019-04-01T00:00:00Z",
        "properties": {"simulated": 1},
    }


def test_further_bands_follow_and_codes_are_not_averaged() -> None:
    image = DayImage(f"{ROOT}/c/20190401", "gs://b/x.tif", START, END, {}, ("sm", "sm_model", "aoa"))
    told = image.manifest()
    assert len(told["tilesets"]) == 1
    assert [(band["id"], band["tilesetBandIndex"], band["pyramidingPolicy"]) for band in told["bands"]] == [
        ("sm", 0, "MEAN"),
        ("sm_model", 1, "MEAN"),
        ("aoa", 2, "MODE"),
    ]


@pytest.mark.parametrize(
    "wrong", [{"a-b": 1}, {"system:time_start": 1}, {"": 1}, {"a": "x" * 1025}, {"a": float("nan")}]
)
def test_properties_that_earth_engine_refuses_are_refused_here(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no properties of an asset"):
        day_image(f"{ROOT}/c/20190401", "gs://b/x.tif", **wrong).manifest()


def test_a_time_in_no_time_zone_is_refused() -> None:
    naive = DayImage(f"{ROOT}/c/20190401", "gs://b/x.tif", START.replace(tzinfo=None), END, {})
    with pytest.raises(ValueError, match="2019-03-31 21:00:00 is in no time zone"):
        naive.manifest()


def test_an_ingested_image_has_the_pixels_the_mask_and_the_times(collection: str, uploaded: Any) -> None:
    values = soil_moisture(1)
    name = f"{collection}/20190401"
    operation = assets.ingest(day_image(name, uploaded(values), study="a", r=0.5), overwrite=False)
    assert done(name, operation)["metadata"]["state"] == "SUCCEEDED"
    found = assets.find(name)
    assert found is not None
    assert (found.kind, found.start, found.end) == ("IMAGE", START, END)
    assert dict(found.properties) == {"study": "a", "r": 0.5}
    assert list(assets.images(collection)) == ["20190401"]
    [whole] = assets.pixels(name, GRID)
    np.testing.assert_array_equal(whole == -9999, np.isnan(values))
    np.testing.assert_array_equal(whole[~np.isnan(values)], values[~np.isnan(values)])
    np.testing.assert_array_equal(assets.pixels(name, GRID[5:9, 10:13])[0], whole[5:9, 10:13])
    # Half-open: what begins where it ends does not count.
    images = ee.ImageCollection(collection)
    assert images.filterDate("2019-03-31T21:00", "2019-04-01").size().getInfo() == 1
    assert images.filterDate("2019-04-01", "2019-04-02").size().getInfo() == 0


def test_an_image_is_replaced_only_if_that_is_wanted(collection: str, uploaded: Any) -> None:
    first, second = soil_moisture(1), soil_moisture(2)
    name = f"{collection}/20190401"
    done(name, assets.ingest(day_image(name, uploaded(first)), overwrite=False))
    refused = done(name, assets.ingest(day_image(name, uploaded(second)), overwrite=False))
    assert refused["error"]["code"] == 6  # google.rpc.Code ALREADY_EXISTS
    assert name in refused["error"]["message"]
    np.testing.assert_array_equal(assets.pixels(name, GRID)[0] == -9999, np.isnan(first))
    done(name, assets.ingest(day_image(name, uploaded(second)), overwrite=True))
    np.testing.assert_array_equal(assets.pixels(name, GRID)[0] == -9999, np.isnan(second))


def test_an_image_can_stay_in_the_bucket(collection: str, uploaded: Any) -> None:
    values = soil_moisture(3)
    name = f"{collection}/20190401"
    assets.register(day_image(name, uploaded(values), study="a"), overwrite=False)
    found = assets.find(name)
    assert found is not None
    assert (found.start, found.end, dict(found.properties)) == (START, END, {"study": "a"})
    [whole] = assets.pixels(name, GRID)
    np.testing.assert_array_equal(np.where(whole == -9999, np.nan, whole), values)


def test_describing_leaves_other_properties_alone(collection: str, uploaded: Any) -> None:
    name = f"{collection}/20190401"
    image = day_image(name, uploaded(soil_moisture(4)), study="a", old=1, mine="kept")
    assets.register(image, overwrite=False)
    later = START + dt.timedelta(hours=9), END + dt.timedelta(hours=9)
    assets.describe(name, {"study": "b", "new": 2}, ["old"], later)
    found = assets.find(name)
    assert found is not None
    assert dict(found.properties) == {"study": "b", "new": 2, "mine": "kept"}
    assert (found.start, found.end) == later


def test_what_is_not_there_is_none_and_what_is_not_shared_an_error(client: Child) -> None:
    assert assets.find(f"{ROOT}/nothing") is None
    with pytest.raises(ee.EEException, match=r"'earthengine.assets.get' denied"):
        assets.find("projects/somebody-else/assets/nothing")


@pytest.mark.parametrize(
    ("description", "uris", "asset"),
    [
        ("Asset ingestion: projects/p-1/assets/a/b/20190401", [], "projects/p-1/assets/a/b/20190401"),
        ('Ingest image: "projects/p-1/assets/a/20190401"', [], "projects/p-1/assets/a/20190401"),
        ("mine", ["https://code.earthengine.google.com/?asset=projects/p/assets/x"], "projects/p/assets/x"),
        ("mine", [], ""),
    ],
)
def test_an_ingestion_tells_its_asset(description: str, uris: list[str], asset: str) -> None:
    told = {
        "name": "projects/p/operations/A",
        "metadata": {"type": "INGEST_IMAGE", "description": description, "destinationUris": uris},
    }
    assert assets.ingested(told) == asset


# Rights


def grants(*texts: str) -> frozenset[Grant]:
    return frozenset(Grant(*text.split("=")) for text in texts)


A, B, C = "user:a@x.org=roles/viewer", "user:b@x.org=roles/editor", "user:a@x.org=roles/editor"


@pytest.mark.parametrize(
    ("before", "after", "added", "removed"),
    [
        ([], [A], [A], []),
        ([A], [A], [], []),
        ([A, B], [B], [], [A]),
        ([A, B], [C, B], [C], [A]),
    ],
)
def test_the_difference_between_two_policies(
    before: list[str], after: list[str], added: list[str], removed: list[str]
) -> None:
    found = Difference.between(Policy(grants(*before)), Policy(grants(*after)))
    assert found == Difference(grants(*added), grants(*removed))
    assert bool(found) == (before != after)


SOME = st.frozensets(
    st.builds(
        Grant, st.sampled_from(["user:a@x.org", "allUsers", "group:g@x.org"]), st.sampled_from(["r", "w"])
    )
)


@given(SOME, SOME)
def test_a_difference_leads_to_the_other_policy(one: frozenset[Grant], other: frozenset[Grant]) -> None:
    assert Policy(one).changed(Difference.between(Policy(one), Policy(other))).grants == other


def test_a_policy_is_written_as_the_rest_reference_has_it() -> None:
    told = {
        "bindings": [
            {"role": "roles/editor", "members": ["user:b@x.org"]},
            {"role": "roles/viewer", "members": ["allUsers", "user:a@x.org"]},
        ],
        "etag": "abc=",
    }
    assert Policy.of(told).request() == told


def test_a_policy_is_replaced_unless_it_changed_meanwhile(collection: str) -> None:
    before = assets.policy(collection)
    assert before.members(assets.OWNER) == ["user:local@localhost"]
    after = assets.set_policy(collection, before.changed(Difference(grants(A))))
    assert after.grants == before.grants | grants(A)
    assert assets.policy(collection) == after
    with pytest.raises(ee.EEException, match="concurrent policy changes"):
        assets.set_policy(collection, before.changed(Difference(grants(B))))
    assert assets.policy(collection) == after


def test_images_follow_their_collection(collection: str, uploaded: Any) -> None:
    name = f"{collection}/20190401"
    assets.register(day_image(name, uploaded(soil_moisture(6))), overwrite=False)
    before, change = assets.policy(collection), Difference(grants(A))
    # The engine refuses to give an image rights of its own, and that is an answer, not a failure.
    assert assets.share_images([name], change) == 0
    after = assets.set_policy(collection, before.changed(change))
    assert assets.policy(name).grants == after.grants
    assert assets.share_images([name], change) == 0
