"""geedim's download path, unmodified, against the local engine."""

from __future__ import annotations

from pathlib import Path

import ee
import numpy as np
import pytest
import rasterio

pytestmark = pytest.mark.usefixtures("client")


def test_an_image_downloads_as_a_geotiff_of_the_grid_asked(tmp_path: Path) -> None:
    import geedim  # noqa: F401  (registers the accessor)

    image = ee.Image.pixelLonLat().toFloat()
    prepared = image.gd.prepareForExport(
        crs="EPSG:4326", crs_transform=(0.05, 0, 116, 0, -0.05, 32), shape=(6, 9), dtype="float32"
    )
    path = tmp_path / "download.tif"
    prepared.gd.toGeoTIFF(path)
    with rasterio.open(path) as opened:
        assert (opened.height, opened.width, opened.count) == (6, 9, 2)
        assert opened.transform[:6] == pytest.approx((0.05, 0, 116, 0, -0.05, 32))
        np.testing.assert_allclose(opened.read(1)[0], 116 + 0.05 * (np.arange(9) + 0.5), rtol=1e-6)
        np.testing.assert_allclose(opened.read(2)[:, 0], 32 - 0.05 * (np.arange(6) + 0.5), rtol=1e-6)
