"""GeoTIFFs of batch tasks: what is written is whole, or it is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioError

from gee.local.assets.geotiffs import Layout, check_whole, crs_for_gdal, optimise, raster_window, written
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import Window

GRID = Grid(Projection("EPSG:32650", (30.0, 0.0, 1.5, 0.0, -30.0, 2.25)), 700, 600)
VALUES = np.random.default_rng(0).random((600, 700))


def write(path: Path) -> Path:
    with written(path, Layout(GRID, np.dtype("float64"), missing=-1)) as target:
        for row in range(0, 600, 256):
            window = Window(row, 0, min(256, 600 - row), 700)
            target.write(VALUES[row : row + 256], 1, window=raster_window(window))
    return path


def test_a_written_file_has_its_grid_and_values(tmp_path: Path) -> None:
    with rasterio.open(write(tmp_path / "a.tif")) as file:
        assert list(file.transform)[:6] == list(GRID.projection.transform)
        assert (file.nodata, file.block_shapes) == (-1, [(256, 256)])
        np.testing.assert_array_equal(file.read(1), VALUES)


def test_a_block_that_never_reached_the_disk_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    check_whole(path)
    with rasterio.open(path) as file:
        ends = [
            int(file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1))
            + int(file.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1))
            for x in range(3)
            for y in range(3)
        ]
    with path.open("r+b") as file:
        file.truncate(max(ends) - 1)
    with pytest.raises(RasterioError):
        check_whole(path)


def test_a_disk_error_is_told_in_the_engines_words(tmp_path: Path) -> None:
    (tmp_path / "taken.tif").mkdir()
    with (
        pytest.raises(EngineError, match="could not be written"),
        written(tmp_path / "taken.tif", Layout(GRID, np.dtype("uint8"))),
    ):
        pass


def test_many_bands_have_smaller_blocks_so_that_one_fits_in_memory(tmp_path: Path) -> None:
    layout = Layout(Grid(GRID.projection, 600, 600), np.dtype("float32"), bands=70)
    with written(tmp_path / "many.tif", layout) as target:
        target.write(np.zeros((70, 600, 600), "float32"))
    optimise(tmp_path / "many.tif", tmp_path / "cog.tif", layout)
    with rasterio.open(tmp_path / "cog.tif") as file:
        # 512 x 512 x 70 x 4 bytes are 70 MiB, more than the 64 allowed
        assert file.block_shapes[0] == (256, 256)


def test_modis_sinusoidal_survives_gdal() -> None:
    assert crs_for_gdal("SR-ORG:6974").to_dict()["proj"] == "sinu"
    assert crs_for_gdal("EPSG:6933").to_epsg() == 6933
