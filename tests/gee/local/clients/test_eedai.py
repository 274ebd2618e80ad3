"""GDAL's EEDAI driver through rasterio, unmodified, against the local engine."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from gee.local.rest.process import Child
from gee.local.sources import catalogue
from gee.local.sources.dataset import Window

NAME = "EEDAI:projects/earthengine-public/assets/CGIAR/SRTM90_V4"


@pytest.mark.parametrize("encoding", ["NPY", "GEO_TIFF"])
def test_a_window_read_by_gdal_is_that_of_the_source(server: Child, encoding: str) -> None:
    with (
        rasterio.Env(EEDA_URL=f"{server.address.url}/v1/", EEDA_BEARER="anonymous"),
        rasterio.open(NAME, PIXEL_ENCODING=encoding) as opened,
    ):
        scene = catalogue.DATASETS["CGIAR/SRTM90_V4"].scenes()[0]
        assert (opened.width, opened.height) == (scene.grid.width, scene.grid.height)
        assert opened.transform[:6] == pytest.approx(scene.grid.transform)
        assert opened.dtypes == ("int16",)
        window = Window(34_000, 355_000, 40, 50)
        read = opened.read(1, window=rasterio.windows.Window(window.col, window.row, 50, 40))
        [(values, valid)] = scene.read(("elevation",), window)
        np.testing.assert_array_equal(read, np.where(valid, values, 0))
