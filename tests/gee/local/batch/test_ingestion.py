"""Images and tables made of objects in Cloud Storage, compared with the files they were made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ee
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely

from gee.local.assets.iam import LOCAL_USER
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection

ROOT = "projects/my-project/assets"
SIZE, LEFT, TOP = 30.0, 400_000.0, 3_600_000.0


def upload(
    local: Any, folder: Path, name: str, bands: np.ndarray, column: int = 0, row: int = 0, **more: Any
) -> str:
    """Write bands (count, height, width) as a GeoTIFF of the common grid, and upload it."""
    path = folder / "upload.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=bands.dtype, crs="EPSG:32650",
        transform=rasterio.Affine(SIZE, 0, LEFT + column * SIZE, 0, -SIZE, TOP - row * SIZE), **more,
    ) as file:  # fmt: skip
        file.write(bands)
    local.bucket.blob(name).upload_from_filename(str(path))
    return f"gs://bucket/{name}"


def grid(width: int, height: int) -> Grid:
    return Grid(Projection("EPSG:32650", (SIZE, 0.0, LEFT, 0.0, -SIZE, TOP)), width, height)


def ingest(local: Any, **manifest: Any) -> dict[str, Any]:
    operation = local.run("INGEST_IMAGE", {"imageManifest": manifest})
    assert operation["metadata"]["state"] == "SUCCEEDED", operation.get("error")
    return operation


def test_a_manifest_of_one_file(local: Any, tmp_path: Path) -> None:
    bands = np.arange(2 * 70 * 90, dtype="int16").reshape(2, 70, 90)
    uri = upload(local, tmp_path, "one.tif", bands, nodata=5)
    ingest(
        local, name=f"{ROOT}/one", tilesets=[{"sources": [{"uris": [uri]}]}],
        startTime="2019-04-01T00:00:00Z", endTime="2019-04-02T00:00:00Z", properties={"a": 1, "b": "c"},
        pyramidingPolicy="MODE",
    )  # fmt: skip
    asset = local.api.store.get(f"{ROOT}/one", LOCAL_USER)
    rest = asset.to_rest()
    assert (rest["startTime"], rest["endTime"]) == ("2019-04-01T00:00:00Z", "2019-04-02T00:00:00Z")
    assert rest["properties"] == {"a": 1, "b": "c"}
    assert [band["id"] for band in rest["bands"]] == ["b1", "b2"]
    assert rest["bands"][0]["grid"]["crsCode"] == "EPSG:32650"
    assert {band["pyramidingPolicy"] for band in rest["bands"]} == {"MODE"}
    with local.evaluated(ee.Image(f"{ROOT}/one")) as image:
        first, second = image.read(grid(90, 70))
    valid = bands[0] != 5
    np.testing.assert_array_equal(first.mask, valid)
    np.testing.assert_array_equal(first.values[valid], bands[0][valid])
    np.testing.assert_array_equal(second.values, bands[1])


def test_sources_are_mosaicked_later_ones_on_top(local: Any, tmp_path: Path) -> None:
    low = upload(local, tmp_path, "m/low.tif", np.full((1, 20, 30), 1, "uint8"))
    upload(local, tmp_path, "m/high.tif", np.full((1, 20, 30), 2, "uint8"), column=20, row=10)
    tileset = {"sources": [{"uris": [low]}, {"uris": ["high.tif"]}]}
    ingest(local, name=f"{ROOT}/mosaic", tilesets=[tileset], uriPrefix="gs://bucket/m/")
    with local.evaluated(ee.Image(f"{ROOT}/mosaic")) as image:
        [band] = image.read(grid(50, 30))
    expected = np.zeros((30, 50), "uint8")
    expected[:20, :30] = 1
    expected[10:, 20:] = 2
    np.testing.assert_array_equal(np.where(band.mask, band.values, 0), expected)
    assert band.mask.sum() == 20 * 30 * 2 - 10 * 10


def test_bands_missing_data_and_masks(local: Any, tmp_path: Path) -> None:
    data = np.stack([np.arange(100).reshape(10, 10), np.full((10, 10), 7)]).astype("float32")
    mask = np.full((1, 10, 10), 255, "uint8")
    mask[0, :, :3], mask[0, :, 3] = 0, 51
    a, b = upload(local, tmp_path, "a.tif", data), upload(local, tmp_path, "b.tif", mask)
    ingest(
        local, name=f"{ROOT}/bands",
        tilesets=[{"id": "data", "sources": [{"uris": [a]}]}, {"id": "mask", "sources": [{"uris": [b]}]}],
        bands=[
            {"id": "seven", "tilesetId": "data", "tilesetBandIndex": 1, "pyramidingPolicy": "SAMPLE"},
            {"id": "count", "tilesetId": "data", "missingData": {"values": [5, 55]}},
        ],
        maskBands=[{"tilesetId": "mask", "bandIds": ["seven"]}],
    )  # fmt: skip
    with local.evaluated(ee.Image(f"{ROOT}/bands")) as image:
        assert image.names == ["seven", "count"]
        seven, count = image.read(grid(10, 10))
    np.testing.assert_allclose(seven.mask, mask[0] / 255, atol=1e-6)
    np.testing.assert_array_equal(count.mask, (data[0] != 5) & (data[0] != 55))


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ({"tilesets": [{"sources": [{"uris": ["gs://bucket/absent.tif"]}]}]}, "absent.tif' .not found"),
        ({"tilesets": [{"sources": [{"uris": ["gs://bucket/text.tif"]}]}]}, "cannot be read as a GeoTIFF"),
        (
            {
                "tilesets": [{"sources": [{"uris": ["gs://bucket/good.tif"]}]}],
                "bands": [{"id": "x", "tilesetBandIndex": 3}],
            },
            "is band 3 of a tileset that has 1",
        ),
    ],
)
def test_what_cannot_be_ingested_is_told(
    local: Any, tmp_path: Path, manifest: dict[str, Any], told: str
) -> None:
    local.bucket.blob("text.tif").upload_from_string("no raster")
    upload(local, tmp_path, "good.tif", np.ones((1, 5, 5), "uint8"))
    message = local.message("INGEST_IMAGE", {"imageManifest": {"name": f"{ROOT}/x", **manifest}})
    assert re.search(told, message)
    assert list((local.state / "files").iterdir()) == []


def test_a_file_that_refers_to_others_is_not_followed(local: Any, tmp_path: Path) -> None:
    upload(local, tmp_path, "secret.tif", np.ones((1, 5, 5), "uint8"))
    with rasterio.open(tmp_path / "upload.tif") as file:
        rasterio.shutil.copy(file, tmp_path / "x.vrt", driver="VRT")
    for name in ("x.vrt", "x.tif"):
        local.bucket.blob(name).upload_from_filename(str(tmp_path / "x.vrt"))
        manifest = {"name": f"{ROOT}/x", "tilesets": [{"sources": [{"uris": [f"gs://bucket/{name}"]}]}]}
        message = local.message("INGEST_IMAGE", {"imageManifest": manifest})
        assert "cannot be read as a GeoTIFF" in message


def test_a_manifest_is_checked_when_it_is_sent(local: Any) -> None:
    refer = {"sources": [{"uris": ["gs://bucket/x.tif"]}], "subdatasetPrefix": "NETCDF:"}
    for broken in (
        {"name": f"{ROOT}/x", "tilesets": [refer]},
        {"name": f"{ROOT}/x"},
        {"name": "../x", "tilesets": [{"sources": [{"uris": ["gs://b/x.tif"]}]}]},
        {"name": f"{ROOT}/x", "tilesets": [{"sources": [{"uris": ["/etc/passwd"]}]}]},
        {"name": f"{ROOT}/x", "tilesets": [{"sources": [{"uris": ["gs://bucket/x"]}]}], "startTime": "soon"},
    ):
        with pytest.raises(EngineError):
            local.submit("INGEST_IMAGE", {"imageManifest": broken})


# Images that stay in Cloud Storage


def test_an_external_image_is_pinned_to_its_generation(local: Any, tmp_path: Path) -> None:
    values = np.arange(600 * 600, dtype="float32").reshape(1, 600, 600)
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    uri = upload(local, tmp_path, "cog.tif", values, **options)
    made = local.api.external(
        {"imageManifest": {"name": f"{ROOT}/cog", "tilesets": [{"sources": [{"uris": [uri]}]}]}}, LOCAL_USER
    )
    assert made["name"] == f"{ROOT}/cog"
    with local.evaluated(ee.Image(f"{ROOT}/cog").multiply(2)) as image:
        np.testing.assert_array_equal(image.read(grid(600, 600))[0].values, values[0] * 2)
    upload(local, tmp_path, "cog.tif", values + 1, **options)
    with (
        pytest.raises(EngineError, match=r"Failed to load the GeoTIFF at gs://bucket/cog\.tif#\d+"),
        local.evaluated(ee.Image(f"{ROOT}/cog").multiply(3)) as image,
    ):
        image.read(grid(5, 5))


def test_an_external_image_must_be_tiled(local: Any, tmp_path: Path) -> None:
    uri = upload(local, tmp_path, "strips.tif", np.ones((1, 600, 600), "uint8"))
    manifest = {"name": f"{ROOT}/cog", "tilesets": [{"sources": [{"uris": [uri]}]}]}
    with pytest.raises(EngineError, match="no Cloud Optimized GeoTIFF"):
        local.api.external({"imageManifest": manifest}, LOCAL_USER)


# Tables


def test_a_csv_with_named_columns(local: Any) -> None:
    local.bucket.blob("t.csv").upload_from_string("east;north;n;name\n117.5;31;1;a\n118;32;2;b\n")
    source = {"uris": ["gs://bucket/t.csv"], "xColumn": "east", "yColumn": "north", "csvDelimiter": ";"}
    operation = local.run("INGEST_TABLE", {"tableManifest": {"name": f"{ROOT}/t", "sources": [source]}})
    assert operation["metadata"]["state"] == "SUCCEEDED", operation.get("error")
    with local.evaluated(ee.FeatureCollection(f"{ROOT}/t")) as table:
        read = [(one.geometry.shape.coords[0], one.properties["n"], one.properties["name"]) for one in table]
    assert read == [((117.5, 31.0), 1, "a"), ((118.0, 32.0), 2, "b")]


def test_a_zipped_shapefile(local: Any, tmp_path: Path) -> None:
    square = shapely.box(500_000, 3_400_000, 510_000, 3_410_000)
    frame = gpd.GeoDataFrame({"n": [4]}, geometry=[square], crs="EPSG:32650")
    frame.to_file(tmp_path / "s.shz", driver="ESRI Shapefile")
    local.bucket.blob("s.zip").upload_from_filename(str(tmp_path / "s.shz"))
    source = {"uris": ["gs://bucket/s.zip"]}
    operation = local.run("INGEST_TABLE", {"tableManifest": {"name": f"{ROOT}/s", "sources": [source]}})
    assert operation["metadata"]["state"] == "SUCCEEDED", operation.get("error")
    with local.evaluated(ee.FeatureCollection(f"{ROOT}/s").geometry().bounds()) as geometry:
        expected = frame.to_crs("EPSG:4326").total_bounds
        assert geometry.shape.bounds == pytest.approx(expected, abs=1e-4)
