"""Contents of assets, opened: files of several kinds, what is masked in them, what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from gee.local.assets.library import StoreLibrary
from gee.local.assets.mounts import Mount, mount, raster
from gee.local.assets.records import IMAGE, NewAsset
from gee.local.assets.store import AssetStore
from gee.local.assets.stored import RASTER
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection

ROOT = "projects/my-project/assets"
TRANSFORM = (0.25, 0.0, 100.0, 0.0, -0.25, 40.0)
GRID = Grid(Projection("EPSG:4326", TRANSFORM), 40, 30)
VALUES = np.arange(1200, dtype="float32").reshape(30, 40)


def geotiff(path: Path, values: np.ndarray, **more: object) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=30, width=40, count=1, dtype=values.dtype, crs="EPSG:4326",
        transform=rasterio.Affine(*TRANSFORM), **more,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def test_nan_and_declared_values_are_masked(store: AssetStore, library: StoreLibrary, tmp_path: Path) -> None:
    values = VALUES.copy()
    values[0, 0], values[0, 1] = np.nan, -1
    mount(store, Mount(f"{ROOT}/a", (geotiff(tmp_path / "a.tif", values, nodata=-1),), {}, missing=7))
    [band] = library.image(f"{ROOT}/a").read(GRID)
    expected = np.ones((30, 40), bool)
    expected[0, [0, 1, 7]] = False
    np.testing.assert_array_equal(band.mask, expected)


def test_variables_of_a_netcdf_are_bands(store: AssetStore, library: StoreLibrary, tmp_path: Path) -> None:
    longitude, latitude = 100.125 + 0.25 * np.arange(40), 39.875 - 0.25 * np.arange(30)
    dataset = xr.Dataset(
        {"sm": (("lat", "lon"), VALUES), "temperature": (("lat", "lon"), (VALUES * 2).astype("float64"))},
        {"lon": ("lon", longitude, {"units": "degrees_east", "standard_name": "longitude"}),
         "lat": ("lat", latitude, {"units": "degrees_north", "standard_name": "latitude"})},
    )  # fmt: skip
    path = tmp_path / "day.nc"
    dataset.to_netcdf(path)
    mount(store, Mount(f"{ROOT}/nc", (path,), {}))
    image = library.image(f"{ROOT}/nc")
    assert image.names == ["sm", "temperature"]
    sm, temperature = image.read(GRID)
    np.testing.assert_array_equal(sm.values, VALUES)
    np.testing.assert_array_equal(temperature.values, VALUES * 2)
    assert [band.type.precision for band in image.bands] == ["float", "double"]


def test_several_files_can_be_bands_of_one_image(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    paths = [geotiff(tmp_path / f"{name}.tif", VALUES * (i + 1)) for i, name in enumerate("ab")]
    described = [raster(f"{ROOT}/x", path, Mount(f"{ROOT}/x", (path,), {})) for path in paths]
    bands = [{**one.bands[0], "id": name} for one, name in zip(described, "ab", strict=True)]
    places = [{"file": index, "band": 1} for index in range(2)]
    store.mount(NewAsset(f"{ROOT}/x", IMAGE, bands=bands, extra={RASTER: places}), paths)
    image = library.image(f"{ROOT}/x")
    for band, path in zip(image.read(GRID), paths, strict=True):
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(band.values, file.read(1))


def test_a_missing_file_is_told_with_the_assets_name(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    path = geotiff(tmp_path / "gone.tif", VALUES)
    mount(store, Mount(f"{ROOT}/gone", (path,), {}))
    path.unlink()
    with pytest.raises(
        EngineError, match=f"Asset '{ROOT}/gone' cannot be read: its file 'gone.tif' is missing"
    ):
        library.image(f"{ROOT}/gone").read(GRID)


def test_a_parquet_file_with_places_in_columns_is_a_table(
    store: AssetStore, library: StoreLibrary, tmp_path: Path
) -> None:
    path = tmp_path / "stations.parquet"
    pd.DataFrame({"lon": [117.0, 118.0], "lat": [31.0, 32.0], "n": pd.array([1, None], "Int64")}).to_parquet(
        path
    )
    mount(store, Mount(f"{ROOT}/stations", (path,), {}))
    first, second = library.table(f"{ROOT}/stations")
    assert first.geometry.shape.coords[0] == (117, 31)
    assert (first.properties["n"], "n" in second.properties) == (1, False)
    assert isinstance(first.properties["n"], int)  # although the column has gaps
