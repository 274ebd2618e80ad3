"""Exports when things go wrong: a killed process, a full disk, a file that cannot grow."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as cloud

from gee.local.assets.iam import LOCAL_USER as LOCAL
from gee.local.rest.assembly import assemble
from gee.local.rest.process import Child, start
from tests.disks import mounted

ROOT = "projects/my-project/assets"
WAIT = 30.0


def image(side: int, name: str | None) -> dict[str, Any]:
    """A request to export columns, rows and something that cannot be compressed."""
    pixels = ee.Image.pixelCoordinates(ee.Projection("EPSG:32650", [10, 0, 0, 0, -10, 4_000_000])).toFloat()
    noise = pixels.select("x").multiply(12.9898).add(pixels.select("y").multiply(78.233)).sin()
    wanted = pixels.addBands(noise.multiply(43758.5453).toFloat().rename("noise"))
    grid: dict[str, Any] = {
        "image": wanted, "description": "x", "crs": "EPSG:32650",
        "crsTransform": [10, 0, 0, 0, -10, 4_000_000],
        "region": ee.Geometry.Rectangle(
            [1, 4_000_001 - side * 10, side * 10 - 1, 3_999_999], "EPSG:32650", False
        ),
    }  # fmt: skip
    if name is None:
        task = ee.batch.Export.image.toCloudStorage(bucket="bucket", fileNamePrefix="killed", **grid)
    else:
        task = ee.batch.Export.image.toAsset(assetId=f"{ROOT}/{name}", **grid)
    encoded = ee.serializer.encode(task.config["expression"], for_cloud_api=True)
    body: dict[str, Any] = json.loads(json.dumps({**task.config, "expression": encoded}))
    return body


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/v1/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.loads(answer.read())
    return found


def until(url: str, name: str, reached: Any) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        operation = ask(url, name)
        if reached(operation):
            return operation
        time.sleep(0.05)
    raise AssertionError(f"still {operation}")


def bucket_of(child: Child) -> cloud.Client:
    return cloud.Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": child.address.storage},
    )


def test_a_killed_export_leaves_nothing_half_done_and_is_done_again(
    tmp_path: Path, offline_client: None
) -> None:
    side = 1500
    first = start(tmp_path / "state", with_storage=True)
    try:
        bucket_of(first).create_bucket("bucket")
        names = [
            ask(first.address.url, "projects/my-project/image:export", image(side, name))["name"]
            for name in (None, "killed")
        ]
        for name in names:
            until(first.address.url, name, lambda operation: operation["metadata"]["progress"] > 0.1)
    finally:
        os.kill(first.address.pid, signal.SIGKILL)
        first.process.wait()
    files = tmp_path / "state" / "files"
    assert all(path.suffix == ".part" for path in files.iterdir())  # nothing that looks whole
    again = start(tmp_path / "state", with_storage=True)
    try:
        for name in names:
            operation = until(again.address.url, name, lambda operation: operation["done"])
            assert operation["metadata"]["state"] == "SUCCEEDED", operation.get("error")
            assert operation["metadata"]["attempt"] == 2
        path = tmp_path / "killed.tif"
        bucket_of(again).bucket("bucket").blob("killed.tif").download_to_filename(str(path))
        with rasterio.open(path) as file:
            assert (file.width, file.height) == (side, side)
            np.testing.assert_array_equal(file.read(1)[-1], np.arange(side) + 0.5)
        assert ask(again.address.url, f"{ROOT}/killed")["type"] == "IMAGE"
        assert [path.suffix for path in files.iterdir()] == [""]  # what the kill left is swept
    finally:
        again.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 8) as disk:
        yield disk


def test_a_full_disk_fails_the_export_and_nothing_else(
    small_disk: Path, storage: str, offline_client: None
) -> None:
    with assemble(small_disk / "state", "my-project", storage) as api:
        name = api.tasks.submit("my-project", "EXPORT_IMAGE", image(2000, "big"), LOCAL)["name"]
        operation = api.tasks.wait(name, WAIT)
        assert operation["metadata"]["state"] == "FAILED"
        assert operation["error"]["message"].startswith("No space left on the disk")
        assert list((small_disk / "state" / "files").iterdir()) == []
        name = api.tasks.submit("my-project", "EXPORT_IMAGE", image(100, "small"), LOCAL)["name"]
        assert api.tasks.wait(name, WAIT)["metadata"]["state"] == "SUCCEEDED"


def test_a_file_that_cannot_grow_fails_the_export(tmp_path: Path, storage: str, offline_client: None) -> None:
    with assemble(tmp_path / "state", "my-project", storage) as api:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            name = api.tasks.submit("my-project", "EXPORT_IMAGE", image(1000, "big"), LOCAL)["name"]
            operation = api.tasks.wait(name, WAIT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert operation["metadata"]["state"] == "FAILED"
        assert "could not be written" in operation["error"]["message"]
        assert api.tasks.wait(
            api.tasks.submit("my-project", "EXPORT_IMAGE", image(100, "small"), LOCAL)["name"], WAIT
        )["done"]
