"""The documented limits of Earth Engine, at the limit and just beyond it, through the real client.

What is refused, and where, is documented (guides/usage, guides/debugging, the REST reference, the pages of
the algorithms); the wording is what Earth Engine's users quote.
"""

from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.assets.database import Database
from gee.local.assets.iam import LOCAL_USER
from gee.local.batch.tasks import TaskQueue
from gee.local.errors import EngineError
from gee.local.rest.process import Child

pytestmark = pytest.mark.usefixtures("client")

GRID = {
    "dimensions": {"width": 2, "height": 2},
    "affineTransform": {"scaleX": 0.01, "scaleY": -0.01, "translateX": 117, "translateY": 32},
    "crsCode": "EPSG:4326",
}


def square() -> ee.Geometry:
    """50 km by 50 km: 5000 by 5000 pixels of 10 m."""
    return ee.Geometry.Rectangle([500_000, 3_500_000, 550_000, 3_550_000], "EPSG:32650", False)


def computed(image: ee.Image, width: int, height: int) -> np.ndarray[Any, Any]:
    grid = {**GRID, "dimensions": {"width": width, "height": height}}
    pixels: np.ndarray[Any, Any] = ee.data.computePixels(
        {"expression": image, "fileFormat": "NUMPY_NDARRAY", "grid": grid}
    )
    return pixels


def refusal(ask: Any, *arguments: Any) -> str:
    with pytest.raises(ee.EEException) as caught:
        ask(*arguments)
    return str(caught.value)


def posted(url: str, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/v1/projects/my-project/value:compute", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def test_a_payload_may_have_ten_megabytes_and_not_one_byte_more(client: Child) -> None:
    request = b'{"expression":{"result":"0","values":{"0":{"constantValue":1}}}}'
    full = request + b" " * (10 * 2**20 - len(request))
    assert posted(client.address.url, full) == (200, {"result": 1})
    code, body = posted(client.address.url, full + b" ")
    assert (code, body["error"]["message"]) == (
        400, "Request payload size exceeds the limit: 10485760 bytes."
    )  # fmt: skip


def test_a_side_may_have_32768_pixels() -> None:
    assert computed(ee.Image(1).toByte(), 32_768, 2).shape == (2, 32_768)
    assert refusal(computed, ee.Image(1).toByte(), 1, 32_769) == (
        "Pixel grid dimensions (1x32769) must be less than or equal to 32768."
    )


def test_pixels_may_have_1024_bands() -> None:
    image = ee.Image.constant(ee.List.repeat(1, 1024)).toByte()
    # NumPy reads no header of so many fields unless told that it may.
    content = ee.data.computePixels({"expression": image, "fileFormat": "NPY", "grid": GRID})
    assert len(np.load(io.BytesIO(content), max_header_size=10**6).dtype.names or ()) == 1024
    assert refusal(computed, image.addBands(ee.Image(2).toByte()), 2, 2) == (
        "Number of bands (1025) must be less than or equal to 1024."
    )


def test_pixels_may_have_48_megabytes() -> None:
    # A byte and a byte of mask: 2^20 * 24 pixels take exactly 48 MB.
    assert computed(ee.Image(1).toByte(), 4096, 6144).size == 4096 * 6144
    assert refusal(computed, ee.Image(1).toByte(), 4096, 6145) == (
        f"Total request size ({4096 * 6145 * 2} bytes) must be less than or equal to 50331648 bytes."
    )


def test_a_collection_may_print_5000_elements() -> None:
    features = ee.FeatureCollection(ee.List.sequence(1, 5001).map(lambda n: ee.Feature(None, {"n": n})))
    assert len(features.limit(5000).getInfo()["features"]) == 5000
    assert refusal(features.getInfo) == "Collection query aborted after accumulating over 5000 elements."


def test_five_thousand_images_may_be_stacked() -> None:
    images = ee.ImageCollection(ee.List.sequence(1, 5001).map(ee.Image.constant))
    assert images.limit(5000).toBands().bandNames().size().getInfo() == 5000
    assert "5000" in refusal(images.toBands().bandNames().size().getInfo)


def test_a_region_may_have_max_pixels() -> None:
    image = ee.Image.pixelCoordinates(ee.Projection("EPSG:32650")).select(0)

    def count(most: float | None) -> Any:
        options = {} if most is None else {"maxPixels": most}
        arguments = {"reducer": ee.Reducer.count(), "geometry": square(), "crs": "EPSG:32650", "scale": 10}
        return image.reduceRegion(**arguments, **options).get("x").getInfo()

    message = refusal(count, None)
    found = re.search(
        r"Too many pixels in the region\. Found (\d+), but maxPixels allows only 10000000\.", message
    )
    assert found
    # The region's edges lie on edges of pixels; one pixel more on each side is no fault.
    assert 5000**2 <= int(found[1]) <= 5002**2
    assert count(int(found[1])) == 5000**2
    assert "Too many pixels" in refusal(count, int(found[1]) - 1)


def test_best_effort_takes_the_scale_that_fits() -> None:
    image = ee.Image.pixelCoordinates(ee.Projection("EPSG:32650")).select(0)
    reduced = image.reduceRegion(
        ee.Reducer.count(), square(), 10, "EPSG:32650", bestEffort=True, maxPixels=1_000_000
    )
    assert 250_000 < reduced.get("x").getInfo() <= 1_000_000


def test_reduce_resolution_takes_64_pixels_unless_told_otherwise() -> None:
    fine = ee.Image.constant(3).setDefaultProjection("EPSG:4326", [0.001, 0, 117, 0, -0.001, 32])

    def mean(times: int, **options: int) -> Any:
        coarse = fine.reduceResolution(ee.Reducer.mean(), **options)
        scale = 0.001 * times
        grid = {
            **GRID,
            "affineTransform": {
                "scaleX": scale, "scaleY": -scale, "translateX": 117, "translateY": 32,
            },
        }  # fmt: skip
        request = {"expression": coarse, "fileFormat": "NUMPY_NDARRAY", "grid": grid}
        return ee.data.computePixels(request)["constant"]

    threes = pytest.approx(np.full((2, 2), 3.0), rel=1e-12)
    assert mean(8) == threes  # 8 x 8 = 64
    message = refusal(mean, 9)
    assert re.match(
        r"(Image\.reduceResolution: )?Too many input pixels per output pixel: \d+ > maxPixels = 64", message
    )
    assert mean(9, maxPixels=81) == threes


def test_the_default_projection_of_composites_is_no_scale_to_aggregate_at() -> None:
    composite = ee.ImageCollection([ee.Image(1), ee.Image(3)]).mean()
    region = ee.Geometry.BBox(117, 31, 118, 32)
    assert (
        "The default WGS84 projection is invalid for aggregations. Specify a scale or crs & crs_transform."
        in (refusal(composite.reduceRegion(ee.Reducer.mean(), region).getInfo))
    )
    assert composite.reduceRegion(ee.Reducer.mean(), region, 1000).getInfo() == {"constant": 2}


def test_three_thousand_tasks_may_wait(tmp_path: Any) -> None:
    database = Database(tmp_path / "state.sqlite")
    queue = TaskQueue(database)  # never started, so that all wait
    queue.register("EXPORT_IMAGE", lambda body, caller, handle: [])
    try:
        for _ in range(3000):
            queue.submit("my-project", "EXPORT_IMAGE", {}, LOCAL_USER)
        with pytest.raises(EngineError) as caught:
            queue.submit("my-project", "EXPORT_IMAGE", {}, LOCAL_USER)
    finally:
        database.close()
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert str(caught.value) == (
        "Too many tasks already in the queue (3000). Please wait for some of them to complete."
    )
