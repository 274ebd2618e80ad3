"""earthengine-api, unmodified, against the local engine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
import requests
from google.oauth2 import service_account
from PIL import Image

from gee.local.rest.process import Child
from gee.local.sources import catalogue
from gee.local.sources.dataset import Window

pytestmark = pytest.mark.usefixtures("client")

ROOT = "projects/my-project/assets"
DEGREES = {"scaleX": 0.5, "translateX": 110.0, "scaleY": -0.25, "translateY": 32.0}
GRID = {"dimensions": {"width": 4, "height": 3}, "affineTransform": DEGREES, "crsCode": "EPSG:4326"}


def test_get_info_prints_values_as_earth_engine_does() -> None:
    values = ee.List(
        [1, 2.5, "a", None, ee.Date("2019-04-07"), ee.Array([[1, 2]]), ee.Dictionary({"b": True})]
    )
    april = 1554595200000
    assert values.getInfo() == [1, 2.5, "a", None, {"type": "Date", "value": april}, [[1, 2]], {"b": True}]


def test_an_error_of_an_algorithm_reaches_the_client() -> None:
    with pytest.raises(ee.EEException, match=r"^List\.get: "):
        ee.List([1]).get(5).getInfo()


def test_compute_pixels_gives_one_field_per_band_in_the_grid_asked() -> None:
    pixels = ee.data.computePixels(
        {"expression": ee.Image.pixelLonLat(), "fileFormat": "NUMPY_NDARRAY", "grid": GRID}
    )
    assert pixels.dtype.names == ("longitude", "latitude")
    assert pixels.shape == (3, 4)
    np.testing.assert_allclose(pixels["longitude"][0], [110.25, 110.75, 111.25, 111.75])
    np.testing.assert_allclose(pixels["latitude"][:, 0], [31.875, 31.625, 31.375])


def test_band_ids_select_and_order_bands() -> None:
    pixels = ee.data.computePixels({
        "expression": ee.Image.pixelLonLat().addBands(ee.Image(7)), "fileFormat": "NUMPY_NDARRAY",
        "grid": GRID, "bandIds": ["constant", "latitude"],
    })  # fmt: skip
    assert pixels.dtype.names == ("constant", "latitude")
    assert (pixels["constant"] == 7).all()


def test_masked_pixels_are_zero_in_npy_and_nan_in_float_geotiff() -> None:
    image = ee.Image.pixelLonLat().select("longitude").toFloat()
    image = image.updateMask(image.lt(111))
    wanted = np.array([110.25, 110.75, 0, 0], np.float32)
    pixels = ee.data.computePixels({"expression": image, "fileFormat": "NUMPY_NDARRAY", "grid": GRID})
    np.testing.assert_array_equal(pixels["longitude"][0], wanted)
    tiff = ee.data.computePixels({"expression": image, "fileFormat": "GEO_TIFF", "grid": GRID})
    with rasterio.open(io.BytesIO(tiff)) as opened:
        np.testing.assert_array_equal(np.isnan(opened.read(1)[0]), wanted == 0)
        assert opened.transform[:6] == (0.5, 0, 110.0, 0, -0.25, 32.0)
        assert opened.crs.to_epsg() == 4326
        assert opened.descriptions == ("longitude",)


def test_get_pixels_of_a_catalogue_image_are_its_native_pixels() -> None:
    scene = catalogue.DATASETS["CGIAR/SRTM90_V4"].scenes()[0]
    x, y = scene.grid.transform[2], scene.grid.transform[5]
    size = scene.grid.transform[0]
    window = Window(34_000, 355_000, 6, 9)
    [(values, valid)] = scene.read(("elevation",), window)
    pixels = ee.data.getPixels({
        "assetId": "CGIAR/SRTM90_V4", "fileFormat": "NUMPY_NDARRAY",
        "grid": {
            "dimensions": {"width": 9, "height": 6}, "crsCode": "EPSG:4326",
            "affineTransform": {
                "scaleX": size, "scaleY": -size,
                "translateX": x + window.col * size, "translateY": y - window.row * size,
            },
        },
    })  # fmt: skip
    np.testing.assert_array_equal(pixels["elevation"], np.where(valid, values, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dimensions": {"width": 32_769, "height": 1}},
            "Pixel grid dimensions (32769x1) must be less than or equal to 32768.",
        ),
        # 3 bytes a pixel: an unsigned 16-bit value and its mask
        (
            {"dimensions": {"width": 8192, "height": 2049}},
            f"Total request size ({8192 * 2049 * 3} bytes) must be less than or equal to 50331648 bytes.",
        ),
        ({"crsCode": "EPSG:nonsense"}, "The CRS of a map projection could not be parsed: 'EPSG:nonsense'."),
        ({"color": 1}, "Invalid JSON payload received. Unknown name \"color\" at 'grid': Cannot find field."),
    ],
)
def test_what_is_beyond_a_limit_is_refused_in_earth_engines_words(
    change: dict[str, Any], message: str
) -> None:
    request = {"expression": ee.Image(300).toUint16(), "fileFormat": "NPY", "grid": {**GRID, **change}}
    with pytest.raises(ee.EEException) as caught:
        ee.data.computePixels(request)
    assert str(caught.value) == message


def test_a_request_larger_than_ten_megabytes_is_refused() -> None:
    with pytest.raises(ee.EEException, match=r"Request payload size exceeds the limit: 10485760 bytes\."):
        ee.String("x" * (10 * 2**20)).getInfo()


def test_a_collection_of_more_than_5000_elements_is_not_printed() -> None:
    features = ee.FeatureCollection(ee.List.sequence(1, 5001).map(lambda n: ee.Feature(None, {"n": n})))
    assert len(features.limit(5000).getInfo()["features"]) == 5000
    with pytest.raises(
        ee.EEException, match=r"Collection query aborted after accumulating over 5000 elements\."
    ):
        features.getInfo()


def test_compute_features_gives_every_feature_once_page_by_page() -> None:
    features = ee.FeatureCollection(
        ee.List.sequence(0, 24).map(lambda n: ee.Feature(ee.Geometry.Point([0, 1]), {"n": n}))
    )
    first = ee.data.computeFeatures({"expression": features, "pageSize": 10})
    assert first["type"] == "FeatureCollection"
    assert len(first["features"]) == 10
    assert first["features"][0]["geometry"] == {"type": "Point", "coordinates": [0, 1]}
    frame = ee.data.computeFeatures(
        {"expression": features, "pageSize": 10, "fileFormat": "PANDAS_DATAFRAME"}
    )
    assert frame["n"].tolist() == list(range(25))


def test_compute_images_describes_images_with_their_native_grid() -> None:
    images = ee.ImageCollection("MODIS/061/MOD11A1").filterDate("2019-04-01", "2019-04-03")
    found = ee.data.computeImages({"expression": images})["images"]
    assert [one["startTime"] for one in found] == ["2019-04-01T00:00:00Z", "2019-04-02T00:00:00Z"]
    assert found[0]["bands"][0]["grid"]["dimensions"] == {"width": 43_200, "height": 21_600}


def test_a_download_holds_the_pixels_of_its_region_and_scale() -> None:
    region = ee.Geometry.Rectangle([116, 31, 116.5, 31.25], None, False)
    url = ee.Image.pixelLonLat().toFloat().getDownloadURL(
        {"region": region, "crs": "EPSG:4326", "crs_transform": [0.125, 0, 116, 0, -0.125, 31.25],
         "format": "GEO_TIFF"}
    )  # fmt: skip
    with rasterio.open(io.BytesIO(requests.get(url, timeout=60).content)) as opened:
        assert (opened.width, opened.height) == (4, 2)
        np.testing.assert_allclose(opened.read(1)[0], 116 + 0.125 * (np.arange(4) + 0.5))
        np.testing.assert_allclose(opened.read(2)[:, 0], [31.1875, 31.0625])


def test_a_download_of_a_file_per_band_is_a_zip() -> None:
    region = ee.Geometry.Rectangle([116, 31, 116.5, 31.25], None, False)
    url = ee.Image.pixelLonLat().toFloat().getDownloadURL({
        "name": "place", "bands": ["longitude", "latitude"], "region": region, "scale": 5000,
        "crs": "EPSG:4326",
    })  # fmt: skip
    archive = zipfile.ZipFile(io.BytesIO(requests.get(url, timeout=60).content))
    assert archive.namelist() == ["place.longitude.tif", "place.latitude.tif"]


def picture(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(requests.get(url, timeout=60).content)).convert("RGBA"))


def test_a_thumbnail_has_the_colours_and_the_size_asked() -> None:
    region = ee.Geometry.Rectangle([116, 31, 117, 31.5], None, False)
    url = ee.Image.pixelLonLat().select("longitude").getThumbURL({
        "region": region, "dimensions": [4, 2], "min": 116, "max": 117, "palette": ["000000", "ff0000"],
        "format": "png", "crs": "EPSG:4326",
    })  # fmt: skip
    shown = picture(url)
    assert shown.shape == (2, 4, 4)
    # longitudes of the pixels' centres lie at 1/8, 3/8, 5/8 and 7/8 between black and red
    np.testing.assert_allclose(shown[0, :, 0], np.array([1, 3, 5, 7]) / 8 * 255, atol=1)
    assert (shown[..., 1:3] == 0).all()


def test_a_map_of_an_image_without_colours_shows_it_all_the_same() -> None:
    fetcher = ee.Image.pixelLonLat().getMapId()["tile_fetcher"]
    assert picture(fetcher.format_tile_url(0, 0, 0)).shape == (256, 256, 4)


def test_a_mistake_in_a_map_is_told_when_it_is_made() -> None:
    with pytest.raises(ee.EEException, match="did not match any bands"):
        ee.Image(1).getMapId({"bands": "red"})


def test_a_table_download_has_index_properties_and_geometry() -> None:
    features = ee.FeatureCollection([ee.Feature(ee.Geometry.Point([1, 2]), {"b": "x,y", "a": 1.5})])
    lines = requests.get(features.getDownloadURL("CSV"), timeout=60).text.splitlines()
    assert lines[0] == "system:index,a,b,.geo"
    assert lines[1].startswith('0,1.5,"x,y",')
    assert json.loads(lines[1].split(",", 4)[4].strip('"').replace('""', '"'))["coordinates"] == [1, 2]


def test_assets_are_created_listed_updated_moved_and_deleted() -> None:
    ee.data.createFolder(f"{ROOT}/season")
    ee.data.createAsset({"type": "IMAGE_COLLECTION"}, f"{ROOT}/season/sm", {"unit": "m3/m3"})
    listed = ee.data.listAssets(f"{ROOT}/season")["assets"]
    assert [(asset["type"], asset["id"]) for asset in listed] == [("IMAGE_COLLECTION", f"{ROOT}/season/sm")]
    ee.data.updateAsset(f"{ROOT}/season/sm", {"properties": {"day": 7}}, ["properties.day"])
    assert ee.data.getAsset(f"{ROOT}/season/sm")["properties"] == {"unit": "m3/m3", "day": 7}
    assert ee.ImageCollection(f"{ROOT}/season/sm").size().getInfo() == 0
    ee.data.renameAsset(f"{ROOT}/season/sm", f"{ROOT}/season/moved")
    assert ee.data.getInfo(f"{ROOT}/season/sm") is None
    with pytest.raises(ee.EEException, match="delete its children"):
        ee.data.deleteAsset(f"{ROOT}/season")
    ee.data.deleteAsset(f"{ROOT}/season/moved")
    ee.data.deleteAsset(f"{ROOT}/season")
    assert ee.data.getInfo(f"{ROOT}/season") is None


def test_the_catalogue_is_listed_with_a_filter_on_time() -> None:
    found = ee.data.listImages({
        "parent": "MODIS/061/MOD11A1", "startTime": "2019-04-01T00:00:00Z",
        "endTime": "2019-04-04T00:00:00Z", "view": "BASIC",
    })["images"]  # fmt: skip
    # endTime is exclusive, and an image of the 3rd ends on the 4th
    assert [one["id"] for one in found] == [f"MODIS/061/MOD11A1/2019_04_0{day}" for day in (1, 2)]


def test_an_acl_makes_an_asset_readable_to_another_identity(client: Child, key_file: Path) -> None:
    ee.data.createFolder(f"{ROOT}/shared")
    ee.data.createAsset({"type": "IMAGE_COLLECTION"}, f"{ROOT}/shared/sm")
    other = f"""
import ee
from gee.connection import connect
connect({client.address.url!r}, "alice-tester", {str(key_file)!r})
print(ee.data._get_state().credentials.service_account_email)
try:
    print(ee.ImageCollection("{ROOT}/shared/sm").size().getInfo())
except ee.EEException as error:
    print(error)
"""

    def as_other() -> list[str]:
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    email = "alice-tester@local.iam.gserviceaccount.com"
    assert as_other() == [
        email,
        f"ImageCollection.load: ImageCollection asset '{ROOT}/shared/sm' not found "
        "(does not exist or caller does not have access).",
    ]
    ee.data.setAssetAcl(f"{ROOT}/shared/sm", {"readers": [f"serviceAccount:{email}"], "writers": []})
    assert ee.data.getAssetAcl(f"{ROOT}/shared/sm")["readers"] == [f"serviceAccount:{email}"]
    assert as_other() == [email, "0"]


def test_a_service_account_proves_itself_by_the_jwt_flow(client: Child, key_file: Path) -> None:
    credentials = service_account.Credentials.from_service_account_file(
        str(key_file), scopes=["https://www.googleapis.com/auth/earthengine"]
    )
    from google.auth.transport.requests import Request

    credentials.refresh(Request())
    asset = f"{client.address.url}/v1/{ROOT}/none"
    known = requests.get(asset, headers={"Authorization": f"Bearer {credentials.token}"}, timeout=30)
    unknown = requests.get(asset, headers={"Authorization": "Bearer forged"}, timeout=30)
    assert (known.status_code, known.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert (unknown.status_code, unknown.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_operations_are_listed_and_an_unknown_one_is_not_found() -> None:
    assert isinstance(ee.data.listOperations(), list)
    assert ee.data.getTaskStatus("NOSUCHTASK")[0]["state"] == "UNKNOWN"


def test_the_project_configuration_is_read() -> None:
    assert ee.data.getProjectConfig()["name"] == "projects/my-project/config"


def test_a_deep_graph_survives_the_way_to_the_server(client: Child) -> None:
    text = json.dumps({"constantValue": 0})
    for _ in range(2000):
        text = (
            '{"functionInvocationValue":{"functionName":"Number.add","arguments":{"left":' + text
            + ',"right":{"constantValue":1}}}}'
        )  # fmt: skip
    body = '{"expression":{"result":"0","values":{"0":' + text + "}}}"
    answer = requests.post(f"{client.address.url}/v1/projects/my-project/value:compute", body, timeout=60)
    assert answer.json() == {"result": 2000}
