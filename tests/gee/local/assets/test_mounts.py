"""A user's own files under any asset id, compared with the files read directly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio

from gee.local.assets.library import StoreLibrary
from gee.local.assets.mounts import Mount, date_in, mount
from gee.local.assets.store import AssetStore
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.results.encoding import encode

VALUES = np.arange(300 * 200, dtype="float32").reshape(200, 300)
TRANSFORM = (500.0, 0.0, 400_000.0, 0.0, -500.0, 3_600_000.0)


def write(path: Path, values: np.ndarray = VALUES, **more: Any) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1,
        dtype=values.dtype, crs="EPSG:32650", transform=rasterio.Affine(*TRANSFORM), **more,
    ) as target:  # fmt: skip
        target.write(values, 1)
    return path


def test_a_raster_is_an_image_with_its_own_pixels(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    path = write(tmp_path / "sm.tif", nodata=7)
    asset = mount(
        store, Mount("projects/my-project/assets/mine/sm", (path,), {"unit": "1"}, start=86_400_000)
    )
    assert asset.type == "IMAGE"
    image = library.image("projects/my-project/assets/mine/sm")
    shown = encode(image)
    assert shown["bands"][0]["id"] == "b1"
    assert shown["bands"][0]["crs_transform"] == list(TRANSFORM)
    assert shown["bands"][0]["dimensions"] == [300, 200]
    assert shown["properties"]["system:time_start"] == 86_400_000
    assert shown["properties"]["unit"] == "1"
    [raster] = image.read(Grid(Projection("EPSG:32650", TRANSFORM), 300, 200))
    valid = raster.valid((200, 300))
    np.testing.assert_array_equal(valid, VALUES != 7)
    values = raster.full((200, 300)).values  # noqa: PD011 - no pandas
    np.testing.assert_array_equal(values[valid], VALUES[valid])


def test_what_lies_outside_the_file_is_masked(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    mount(store, Mount("my/sm", (write(tmp_path / "sm.tif"),), {}))
    shifted = Projection("EPSG:32650", TRANSFORM).translated(-1, 199)
    [raster] = library.image("my/sm").read(Grid(shifted, 2, 2))
    np.testing.assert_array_equal(raster.valid((2, 2)), [[False, True], [False, False]])
    assert raster.values[0, 1] == VALUES[199, 0]  # noqa: PD011 - no pandas


def test_several_rasters_are_a_collection_dated_by_their_names(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    paths = tuple(write(tmp_path / f"LAI.A20190{day}.v1.tif") for day in (97, 98))
    mount(store, Mount("MODIS/061/MOD15A2H", paths, {"note": "mine"}))
    images = list(library.collection("MODIS/061/MOD15A2H"))
    assert [image.properties["system:index"] for image in images] == [
        "LAI_A2019097_v1", "LAI_A2019098_v1",
    ]  # fmt: skip
    april = datetime(2019, 4, 7, tzinfo=UTC).timestamp() * 1000
    assert [image.properties["system:time_start"] for image in images] == [april, april + 86_400_000]


@pytest.mark.parametrize(
    ("stem", "day"),
    [
        ("sm_20190407", "2019-04-07"),
        ("sm-2019-04-07_v2", "2019-04-07"),
        ("2019_04_07", "2019-04-07"),
        ("MOD11A1.A2019097.h28v05", "2019-04-07"),
        ("tile_2019366", None),  # 2019 had 365 days
        ("version_123456789012", None),
        ("sm", None),
    ],
)
def test_the_day_in_a_files_name(stem: str, day: str | None) -> None:
    wanted = None if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000
    assert date_in(stem) == wanted


GEOJSON = (
    '{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "a", "properties": {"n": 1}, '
    '"geometry": {"type": "Point", "coordinates": [117.5, 32]}}]}'
)


@pytest.mark.parametrize("suffix", ["csv", "geojson", "parquet"])
def test_a_table_is_features(store: AssetStore, library: StoreLibrary, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"stations.{suffix}"
    frame = pd.DataFrame({"longitude": [117.5], "latitude": [32.0], "n": [1], "system:index": ["a"]})
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text(GEOJSON, encoding="utf-8")
    assert mount(store, Mount("users/me/stations", (path,), {})).feature_count == 1
    [feature] = library.table("users/me/stations")
    shown = encode(feature)
    assert (shown["id"], shown["properties"]["n"]) == ("a", 1)
    assert shown["geometry"] == {"type": "Point", "coordinates": [117.5, 32]}


def test_a_file_that_is_cut_off_is_told_when_it_is_read(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    path = write(tmp_path / "sm.tif")
    mount(store, Mount("my/sm", (path,), {}))
    image = library.image("my/sm")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(EngineError, match=r"sm\.tif"):
        image.read(Grid(Projection("EPSG:32650", TRANSFORM), 10, 10))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.tif", b"no raster", "cannot be read as a raster"),
        ("table.csv", b"\xff\xfe\x00", "cannot be read"),
        ("nothing.json", b"{}", "cannot be read"),
    ],
)
def test_what_cannot_be_mounted_is_told_by_name(
    store: AssetStore, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EngineError, match=message) as caught:
        mount(store, Mount("my/asset", (path,), {}))
    assert name in str(caught.value)


def test_a_missing_file_is_told(store: AssetStore) -> None:
    with pytest.raises(EngineError, match="there is no such file"):
        mount(store, Mount("my/asset", (Path("/nowhere/x.tif"),), {}))


def test_a_raster_without_a_place_is_refused(store: AssetStore, tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    with rasterio.open(path, "w", driver="GTiff", height=2, width=2, count=1, dtype="uint8") as target:
        target.write(np.ones((2, 2), "uint8"), 1)
    with pytest.raises(EngineError, match="no coordinate system"):
        mount(store, Mount("my/asset", (path,), {}))
