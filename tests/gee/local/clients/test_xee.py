"""xee 0.1, unmodified, against the local engine."""

from __future__ import annotations

import ee
import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytestmark = pytest.mark.usefixtures("client")

TRANSFORM = (0.25, 0, 116, 0, -0.25, 32)
SHAPE = (5, 3)  # width, height


def test_a_collection_opens_as_a_dataset_in_time_and_space() -> None:
    days = pd.date_range("2019-04-01", periods=3)
    images = ee.ImageCollection([
        ee.Image.pixelLonLat().toFloat().add(number)
        .set({"system:time_start": day.timestamp() * 1000, "system:index": f"d{number}"})
        for number, day in enumerate(days)
    ])  # fmt: skip
    opened = xr.open_dataset(
        images, engine="ee", crs="EPSG:4326", crs_transform=TRANSFORM, shape_2d=SHAPE,
        ee_init_if_necessary=False,
    )  # fmt: skip
    assert set(opened.data_vars) == {"longitude", "latitude"}
    assert opened.sizes == {"time": 3, "y": 3, "x": 5}
    np.testing.assert_array_equal(opened.time.to_numpy(), days.to_numpy().astype(opened.time.dtype))
    longitude = 116 + 0.25 * (np.arange(5) + 0.5)
    wanted = longitude[None, None, :] + np.arange(3)[:, None, None] + np.zeros((1, 3, 1))
    np.testing.assert_allclose(opened.longitude.transpose("time", "y", "x").to_numpy(), wanted, rtol=1e-6)


def test_masked_pixels_are_missing() -> None:
    image = ee.Image.pixelLonLat().toFloat().select("longitude")
    images = ee.ImageCollection([image.updateMask(image.gt(116.5)).set("system:time_start", 0)])
    opened = xr.open_dataset(
        images, engine="ee", crs="EPSG:4326", crs_transform=TRANSFORM, shape_2d=SHAPE,
        ee_init_if_necessary=False,
    )  # fmt: skip
    row = opened.longitude.transpose("time", "y", "x").to_numpy()[0, 0]
    np.testing.assert_array_equal(np.isnan(row), [True, True, False, False, False])


def test_a_simulated_collection_opens_by_its_id() -> None:
    opened = xr.open_dataset(
        ee.ImageCollection("MODIS/061/MOD11A1").filterDate("2019-04-01", "2019-04-03").select("LST_Day_1km"),
        engine="ee", crs="EPSG:4326", crs_transform=(0.01, 0, 117, 0, -0.01, 32), shape_2d=(8, 8),
        ee_init_if_necessary=False,
    )  # fmt: skip
    values = opened["LST_Day_1km"].to_numpy()
    assert values.shape == (2, 8, 8)
    seen = values[np.isfinite(values)]
    assert ((seen > 7500) & (seen < 20_000)).all()  # the product's valid range, units of 0.02 K
