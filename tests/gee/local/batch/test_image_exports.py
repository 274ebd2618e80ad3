"""Exports of images, read back with rasterio and compared with NumPy."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio

from gee.local.assets.iam import Identity
from gee.local.batch.image_exports import split
from gee.local.batch.requests import GeoTiffOptions
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection

BOB = Identity("serviceAccount", "bob@local.iam.gserviceaccount.com")
ROOT = "projects/my-project/assets"
TRANSFORM = [250.5, 0, 500_000.25, 0, -250.5, 3_500_000.75]
CRS = "EPSG:32650"


def region(columns: int, rows: int, left: int = 0, top: int = 0) -> ee.Geometry:
    """A rectangle of so many pixels of the grid, a little smaller so that it is within them."""
    size, _, x, _, _, y = TRANSFORM
    return ee.Geometry.Rectangle(
        [x + (left + 0.1) * size, y - (top + rows - 0.1) * size,
         x + (left + columns - 0.1) * size, y - (top + 0.1) * size],
        CRS, False,
    )  # fmt: skip


def coordinates() -> ee.Image:
    """Column and row of each pixel of the grid."""
    return ee.Image.pixelCoordinates(ee.Projection(CRS, TRANSFORM)).floor().toFloat()


def to_bucket(image: ee.Image, prefix: str, columns: int, rows: int, **more: Any) -> ee.batch.Task:
    return ee.batch.Export.image.toCloudStorage(
        image=image, description="x", bucket="bucket", fileNamePrefix=prefix, crs=CRS,
        crsTransform=TRANSFORM, region=region(columns, rows), **more,
    )  # fmt: skip


def to_asset(image: ee.Image, name: str, columns: int = 20, rows: int = 10, **more: Any) -> ee.batch.Task:
    return ee.batch.Export.image.toAsset(
        image=image, description="x", assetId=f"{ROOT}/{name}", crs=CRS, crsTransform=TRANSFORM,
        region=region(columns, rows), **more,
    )  # fmt: skip


def succeeded(operation: dict[str, Any]) -> dict[str, Any]:
    assert operation["metadata"]["state"] == "SUCCEEDED", operation.get("error")
    return operation


def test_a_file_has_the_grid_the_bands_and_the_pixels(local: Any, tmp_path: Path) -> None:
    operation = succeeded(local.export(to_bucket(coordinates(), "a/grid", 600, 300)))
    assert operation["metadata"]["destinationUris"] == [
        "https://console.developers.google.com/storage/browser/bucket/a/"
    ]
    assert local.names("a/") == ["a/grid.tif"]
    with rasterio.open(local.fetch("a/grid.tif", tmp_path)) as file:
        assert list(file.transform)[:6] == TRANSFORM  # to the last digit
        assert (file.crs.to_epsg(), file.width, file.height) == (32650, 600, 300)
        assert (file.descriptions, file.dtypes) == (("x", "y"), ("float32", "float32"))
        assert file.block_shapes == [(256, 256)] * 2
        columns, rows = np.meshgrid(np.arange(600), np.arange(300))
        np.testing.assert_array_equal(file.read(), [columns, rows])


def test_masked_pixels_are_nan_or_zero_or_what_no_data_says(local: Any, tmp_path: Path) -> None:
    x = coordinates().select("x")
    masked = x.updateMask(x.gte(4))
    cases = {
        "nan": (masked, {}, np.nan, None),
        "zero": (masked.add(100).toUint8(), {}, 0, None),
        "value": (masked.toInt16(), {"formatOptions": {"noData": -9999}}, -9999, -9999),
    }
    for name, (image, options, fill, declared) in cases.items():
        succeeded(local.export(to_bucket(image, f"masked/{name}", 10, 3, **options)))
        with rasterio.open(local.fetch(f"masked/{name}.tif", tmp_path)) as file:
            assert file.nodata == declared
            values = file.read(1)
        np.testing.assert_array_equal(values[:, :4], np.full((3, 4), fill))
        np.testing.assert_array_equal(
            values[:, 4:], np.tile(np.arange(4, 10) + 100 * (name == "zero"), (3, 1))
        )


def test_a_large_image_is_split_by_file_dimensions(local: Any, tmp_path: Path) -> None:
    task = to_bucket(coordinates(), "split/base", 600, 300, fileDimensions=[512, 256])
    succeeded(local.export(task))
    # named by the offsets of their rows and columns
    assert local.names("split/") == [
        "split/base-0000000000-0000000000.tif", "split/base-0000000000-0000000512.tif",
        "split/base-0000000256-0000000000.tif", "split/base-0000000256-0000000512.tif",
    ]  # fmt: skip
    with rasterio.open(local.fetch("split/base-0000000256-0000000512.tif", tmp_path)) as file:
        assert (file.width, file.height) == (88, 44)
        assert file.transform.c == TRANSFORM[2] + 512 * 250.5
        assert file.transform.f == TRANSFORM[5] - 256 * 250.5
        columns, rows = np.meshgrid(np.arange(512, 600), np.arange(256, 300))
        np.testing.assert_array_equal(file.read(), [columns, rows])


def test_empty_files_are_skipped_on_demand(local: Any) -> None:
    image = coordinates().updateMask(coordinates().select("x").lt(512))
    succeeded(
        local.export(to_bucket(image, "skip/b", 600, 200, fileDimensions=[512, 256], skipEmptyTiles=True))
    )
    assert local.names("skip/") == ["skip/b-0000000000-0000000000.tif"]


def test_file_dimensions_must_be_a_multiple_of_the_shard_size(local: Any) -> None:
    with pytest.raises(EngineError, match="multiple of the shard size"):
        local.export(to_bucket(coordinates(), "x", 10, 10, fileDimensions=300))


@pytest.mark.parametrize(
    ("pixel_bytes", "width"), [(8, 23_296), (40, 10_496), (24, 13_568), (4, 65_536 // 2), (1, 65_536)]
)
def test_without_file_dimensions_a_file_is_as_wide_as_users_have_seen(pixel_bytes: int, width: int) -> None:
    grid = Grid(Projection(), 70_000, 10)
    parts = split(grid, GeoTiffOptions(), pixel_bytes, "p")
    assert parts[0].window.width == width


def test_a_cloud_optimized_file_is_one(local: Any, tmp_path: Path) -> None:
    succeeded(
        local.export(to_bucket(coordinates(), "cog", 1100, 700, formatOptions={"cloudOptimized": True}))
    )
    path = local.fetch("cog.tif", tmp_path)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.block_shapes == [(512, 512)] * 2
        assert file.overviews(1) == [2, 4]
        assert file.descriptions == ("x", "y")
        columns, rows = np.meshgrid(np.arange(1100), np.arange(700))
        np.testing.assert_array_equal(file.read(), [columns, rows])
        first_block = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        assert int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1)) < 1000
        blocks = [int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level)) for level in (0, 1)]
        headers = [int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=level)) for level in (0, 1)]
        # every header before every pixel, small overviews before large ones
        assert max(headers) < min(first_block, *blocks)
        assert blocks[1] < blocks[0] < first_block


def test_too_many_pixels_are_refused_in_earth_engines_words(local: Any) -> None:
    task = to_bucket(coordinates(), "large/x", 100, 50, maxPixels=4999)
    operation = local.export(task)
    assert operation["error"]["message"] == (
        "Export too large: specified 5000 pixels (max: 4999). Specify higher maxPixels value if you intend "
        "to export a large area."
    )
    assert operation["error"]["code"] == 3
    assert local.names("large/") == []


def test_bands_of_a_file_share_a_type(local: Any) -> None:
    image = coordinates().select("x").toDouble().addBands(coordinates().select("y"))
    operation = local.export(to_bucket(image, "x", 5, 5))
    assert operation["error"]["message"] == (
        "Exported bands must have compatible data types; found inconsistent types: Float64 and Float32."
    )


def test_what_the_engine_does_not_write_is_refused_when_it_is_asked_for(local: Any) -> None:
    image = coordinates()
    drive = ee.batch.Export.image.toDrive(image=image, description="x", region=region(5, 5), crs=CRS, scale=9)
    with pytest.raises(EngineError, match="Google Drive are not supported"):
        local.export(drive)
    with pytest.raises(EngineError, match="TF_RECORD_IMAGE"):
        local.export(to_bucket(image, "x", 5, 5, fileFormat="TFRecord"))


def test_a_value_a_type_cannot_hold_is_no_no_data(local: Any) -> None:
    image = coordinates().select("x").toUint8()
    operation = local.export(to_bucket(image, "x", 5, 5, formatOptions={"noData": -1}))
    assert "noData value -1 cannot be stored as Byte" in operation["error"]["message"]


def test_an_export_to_no_bucket_fails(local: Any) -> None:
    task = to_bucket(coordinates(), "x", 5, 5)
    task.config["fileExportOptions"]["cloudStorageDestination"]["bucket"] = "nobodys"
    operation = local.export(task)
    assert operation["error"]["message"] == "Unable to write to bucket nobodys (not found)."


# Assets


def test_an_asset_gives_back_pixels_masks_and_types(local: Any) -> None:
    x, y = coordinates().select("x"), coordinates().select("y")
    half = x.updateMask(ee.Image(0.5)).rename("half")  # a fractional mask
    some = y.updateMask(x.gt(2)).toInt16().rename("some")
    every = x.multiply(100).toUint16().rename("every")
    image = half.addBands(some).addBands(every).set(
        {"unit": "m", "system:time_start": 1000, "system:time_end": 2000, "list": [1, 2]}
    )  # fmt: skip
    operation = succeeded(
        local.export(to_asset(image, "img", pyramidingPolicy={".default": "mode", "half": "sample"}))
    )
    assert operation["metadata"]["destinationUris"] == [
        f"https://code.earthengine.google.com/?asset={ROOT}/img"
    ]
    rest = local.api.store.get(f"{ROOT}/img", LOCAL).to_rest()
    assert [band["pyramidingPolicy"] for band in rest["bands"]] == ["SAMPLE", "MODE", "MODE"]
    assert rest["bands"][1]["dataType"] == {"precision": "INT", "range": {"min": -32768, "max": 32767}}
    assert rest["startTime"] == "1970-01-01T00:00:01Z"
    assert rest["properties"] == {"unit": "m", "list": [1, 2]}
    asset = local.api.store.get(f"{ROOT}/img", LOCAL)
    with local.api.store.reading(asset) as files:
        assert [path.name for path in files] == [
            "band-0000.tif", "band-0001.tif", "band-0002.tif", "mask-0000.tif", "mask-0001.tif"
        ]  # fmt: skip
    with local.evaluated(ee.Image(f"{ROOT}/img")) as opened:
        grid = Grid(Projection(CRS, tuple(map(float, TRANSFORM))), 20, 10)
        read_half, read_some, read_every = opened.read(grid)
        assert opened.properties["system:time_end"] == 2000
    columns, rows = np.meshgrid(np.arange(20), np.arange(10))
    np.testing.assert_array_equal(read_half.values, columns)
    assert read_half.mask.dtype == np.float32
    np.testing.assert_allclose(read_half.mask, 0.5, atol=0.5 / 255)
    np.testing.assert_array_equal(read_some.mask, columns > 2)
    np.testing.assert_array_equal(read_some.values[columns > 2], rows[columns > 2])
    assert read_some.values.dtype == np.int16
    np.testing.assert_array_equal(read_every.values, columns * 100)
    assert read_every.mask.all()


LOCAL = Identity("user", "local@localhost")


def test_many_threads_read_one_asset(local: Any) -> None:
    succeeded(local.export(to_asset(coordinates(), "shared", 700, 400)))
    columns, rows = np.meshgrid(np.arange(700), np.arange(400))

    def read(number: int) -> bool:
        # a graph of its own for each, so that nothing is shared but the files and the tiles
        with local.evaluated(ee.Image(f"{ROOT}/shared").add(number)) as image:
            x, y = image.read(Grid(Projection(CRS, tuple(map(float, TRANSFORM))), 700, 400))
        return bool((x.values == columns + number).all() and (y.values == rows + number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(16)))


def test_an_asset_exported_without_a_region_keeps_its_grid(local: Any) -> None:
    succeeded(local.export(to_asset(coordinates(), "first", 37, 23)))
    again = ee.batch.Export.image.toAsset(ee.Image(f"{ROOT}/first"), "x", f"{ROOT}/second")
    succeeded(local.export(again))
    first, second = (local.api.store.get(f"{ROOT}/{name}", LOCAL).bands for name in ("first", "second"))
    assert first == second


def test_an_asset_is_overwritten_only_on_demand(local: Any) -> None:
    succeeded(local.export(to_asset(coordinates(), "one")))
    refused = local.export(to_asset(coordinates(), "one"))
    assert refused["error"]["message"] == f"Cannot overwrite asset '{ROOT}/one'."
    succeeded(local.export(to_asset(coordinates().select("x"), "one", overwrite=True)))
    assert len(local.api.store.get(f"{ROOT}/one", LOCAL).bands) == 1


def test_an_asset_needs_a_parent_its_caller_may_write_to(local: Any) -> None:
    nowhere = local.export(to_asset(coordinates(), "no/where"))
    assert nowhere["error"]["code"] == 5
    body = to_asset(coordinates(), "bobs").config
    assert "earthengine.assets.create" in local.message("EXPORT_IMAGE", _plain(body), BOB)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    encoded = ee.serializer.encode(config["expression"], for_cloud_api=True)
    return {**config, "expression": encoded}


def test_a_cancelled_export_leaves_nothing(local: Any) -> None:
    image = coordinates()
    for _ in range(30):
        image = image.sin().add(image.cos())
    name = local.submit("EXPORT_IMAGE", _plain(to_asset(image, "slow", 6000, 6000).config))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not local.api.tasks.get(name)["metadata"]["progress"]:
        time.sleep(0.05)
    local.api.tasks.cancel(name)
    operation = local.api.tasks.wait(name, 10)
    assert operation["metadata"]["state"] == "CANCELLED"
    assert 0 < operation["metadata"]["progress"] < 1
    assert list((local.state / "files").iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tile")]


def test_a_corrupt_file_is_told_and_other_assets_are_read(local: Any) -> None:
    succeeded(local.export(to_asset(coordinates(), "good")))
    succeeded(local.export(to_asset(coordinates(), "bad")))
    asset = local.api.store.get(f"{ROOT}/bad", LOCAL)
    with local.api.store.reading(asset) as files:
        path = files[0]
    content = bytearray(path.read_bytes())
    content[:] = b"\0" * len(content)
    path.write_bytes(content)
    grid = Grid(Projection(CRS, tuple(map(float, TRANSFORM))), 20, 10)
    with (
        pytest.raises(EngineError, match=f"Asset '{ROOT}/bad' cannot be read"),
        local.evaluated(ee.Image(f"{ROOT}/bad")) as opened,
    ):
        opened.read(grid)
    with local.evaluated(ee.Image(f"{ROOT}/good")) as opened:
        np.testing.assert_array_equal(opened.read(grid)[0].values[0], np.arange(20))
