"""Exports and ingestions as the unmodified ee client asks for them, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from gee.local.rest.process import Child

ROOT = "projects/my-project/assets"
GRID = {"crs": "EPSG:32650", "crsTransform": [1000, 0, 400_000, 0, -1000, 3_600_000]}


@pytest.fixture(scope="module")
def bucket(client: Child) -> Iterator[storage.Bucket]:
    cloud = storage.Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": client.address.storage},
    )
    yield cloud.create_bucket("client-exports")


def finished(task: ee.batch.Task) -> dict[str, Any]:
    task.start()
    deadline = time.monotonic() + 30
    while task.active() and time.monotonic() < deadline:
        time.sleep(0.1)
    return task.status()


def test_an_image_goes_to_a_bucket_back_into_an_asset_and_into_pixels(
    bucket: storage.Bucket, tmp_path: Path
) -> None:
    region = ee.Geometry.Rectangle([400_001, 3_560_001, 449_999, 3_599_999], "EPSG:32650", False)
    elevation = ee.Image("CGIAR/SRTM90_V4").select("elevation")
    task = ee.batch.Export.image.toCloudStorage(
        image=elevation, description="dem", bucket=bucket.name, fileNamePrefix="study/dem", region=region,
        formatOptions={"cloudOptimized": True, "noData": -32768}, priority=200, **GRID,
    )  # fmt: skip
    status = finished(task)
    assert status["state"] == "COMPLETED", status
    assert (status["description"], status["task_type"], status["attempt"]) == ("dem", "EXPORT_IMAGE", 1)
    path = tmp_path / "dem.tif"
    bucket.blob("study/dem.tif").download_to_filename(str(path))
    with rasterio.open(path) as file:
        assert (file.width, file.height, file.nodata) == (50, 40, -32768)
        assert list(file.transform)[:6] == GRID["crsTransform"]
        exported = file.read(1)
    manifest = {
        "name": f"{ROOT}/dem",
        "tilesets": [{"sources": [{"uris": [f"gs://{bucket.name}/study/dem.tif"]}]}],
        "bands": [{"id": "elevation"}],
        "properties": {"source": "simulated"},
    }
    name = ee.data.startIngestion(ee.data.newTaskId()[0], manifest)["name"]
    while not (operation := ee.data.getOperation(name))["done"]:
        time.sleep(0.1)
    assert operation["metadata"]["state"] == "SUCCEEDED", operation
    assert ee.data.getAsset(f"{ROOT}/dem")["properties"] == {"source": "simulated"}
    pixels = ee.data.computePixels({"expression": ee.Image(f"{ROOT}/dem"), "fileFormat": "NUMPY_NDARRAY"})
    np.testing.assert_array_equal(pixels["elevation"], exported)


def test_a_failed_export_tells_why(bucket: storage.Bucket) -> None:
    image = ee.Image("CGIAR/SRTM90_V4")
    region = ee.Geometry.Rectangle([115, 29, 119, 34], None, False)
    task = ee.batch.Export.image.toCloudStorage(image, "big", bucket.name, region=region, scale=10)
    status = finished(task)
    assert status["state"] == "FAILED"
    assert status["error_message"].startswith("Export too large: specified ")


def test_a_table_becomes_an_asset_of_a_collection_of_features(bucket: storage.Bucket) -> None:
    points = ee.FeatureCollection([ee.Feature(ee.Geometry.Point(117 + i, 31), {"i": i}) for i in range(3)])
    status = finished(ee.batch.Export.table.toAsset(points, "points", f"{ROOT}/points"))
    assert status["state"] == "COMPLETED", status
    assert ee.FeatureCollection(f"{ROOT}/points").aggregate_sum("i").getInfo() == 3
    assert ee.FeatureCollection(f"{ROOT}/points").filter(ee.Filter.eq("i", 2)).size().getInfo() == 1


def test_drive_is_refused_clearly(client: Child) -> None:
    task = ee.batch.Export.table.toDrive(ee.FeatureCollection([]), "x")
    with pytest.raises(ee.EEException, match="Google Drive are not supported by the local engine"):
        task.start()


def test_an_image_stays_in_its_bucket(bucket: storage.Bucket, tmp_path: Path) -> None:
    path = tmp_path / "cog.tif"
    values = np.arange(512 * 512, dtype="int32").reshape(512, 512)
    with rasterio.open(
        path, "w", driver="COG", height=512, width=512, count=1, dtype="int32", crs="EPSG:32650",
        transform=rasterio.Affine(*GRID["crsTransform"]), blocksize=256,
    ) as file:  # fmt: skip
        file.write(values, 1)
    bucket.blob("cog.tif").upload_from_filename(str(path))
    manifest = {
        "name": f"{ROOT}/cog",
        "tilesets": [{"sources": [{"uris": [f"gs://{bucket.name}/cog.tif"]}]}],
    }
    made = ee.data.startExternalImageIngestion(manifest)
    assert made["name"] == f"{ROOT}/cog"
    pixels = ee.data.computePixels({"expression": ee.Image(f"{ROOT}/cog"), "fileFormat": "NUMPY_NDARRAY"})
    np.testing.assert_array_equal(pixels["b1"], values)
