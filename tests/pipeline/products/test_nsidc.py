"""NSIDC-0779 in the format of its files: the global 1 km EASE-Grid 2.0, morning and evening in two bands."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.errors import DataError
from pipeline.products.named import named
from pipeline.products.nsidc import NsidcProduct

DAYS = [dt.date(2019, 4, 1), dt.date(2019, 4, 2)]
SIDE = 1000.89502334956  # metres; EASE-Grid 2.0 M01, Brodzik et al. 2012: 34,704 columns, 14,616 rows
LEFT, TOP = -17367530.445161, 7314540.830638
ROW, COLUMN = 3500, 28700  # of the first pixel written, in Anhui
NAME = "NSIDC-0779_EASE2_G1km_SMAP_SM_DS_{:%Y%m%d}.tif"


def quiet(what: str, share: float) -> None:
    pass


def write(path: Path, morning: NDArray[np.float32], evening: NDArray[np.float32], **other: object) -> None:
    """A subset of the product's grid."""
    transform = rasterio.Affine(SIDE, 0, LEFT + COLUMN * SIDE, 0, -SIDE, TOP - ROW * SIDE)
    told = {"driver": "GTiff", "count": 2, "height": morning.shape[0], "width": morning.shape[1],
            "dtype": "float32", "crs": "EPSG:6933", "transform": transform, "compress": "LZW"}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **(told | other)) as file:
        file.write(np.stack([morning, evening]))


def places(pixels: list[tuple[float, float]]) -> pd.DataFrame:
    """Places by row and column of the global grid, a whole number being a pixel's upper left corner."""
    row, column = np.array(pixels).T
    to_degrees = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(LEFT + (COLUMN + column) * SIDE, TOP - (ROW + row) * SIDE)
    return pd.DataFrame({"station": [str(one) for one in range(len(pixels))], "lon": lon, "lat": lat})


def test_the_morning_counts_and_the_evening_fills(tmp_path: Path) -> None:
    morning = np.array([[0.21, np.nan, 0, -9999, np.nan, 1.5]], np.float32)
    evening = np.array([[0.31, 0.32, 0.33, 0.34, np.nan, -1]], np.float32)
    write(tmp_path / "2019" / NAME.format(DAYS[0]), morning, evening)
    found = NsidcProduct(tmp_path).at(places([(0.5, column + 0.5) for column in range(6)]), DAYS, quiet)
    np.testing.assert_allclose(found.moisture[0], [0.21, 0.32, 0.33, 0.34, np.nan, np.nan], atol=1e-6)
    assert np.isnan(found.moisture[1]).all()


def test_a_place_belongs_to_the_pixel_around_it(tmp_path: Path) -> None:
    values = (np.arange(20, dtype=np.float32).reshape(4, 5) + 1) / 100
    write(tmp_path / NAME.format(DAYS[1]), values, values)
    found = NsidcProduct(tmp_path).at(
        places([(0.02, 0.02), (0.98, 0.98), (1.02, 0.98), (3.98, 4.98), (4.02, 2)]), DAYS, quiet
    )
    np.testing.assert_allclose(found.moisture[1], [0.01, 0.01, 0.06, 0.20, np.nan], atol=1e-6)


def test_the_files_own_fill_code_and_names_of_subsets_are_understood(tmp_path: Path) -> None:
    values = np.array([[0.5, 0.25]], np.float32)
    write(tmp_path / f"anhui_{NAME.format(DAYS[0])}", values, values, nodata=0.5)
    write(tmp_path / NAME.format(DAYS[1]).replace(".tif", "_ANHUI.tif"), values, values)
    found = NsidcProduct(tmp_path).at(places([(0.5, 0.5), (0.5, 1.5)]), DAYS, quiet)
    np.testing.assert_allclose(found.moisture, [[np.nan, 0.25], [0.5, 0.25]])


def test_a_download_that_was_cut_off_is_told(tmp_path: Path) -> None:
    values = np.full((300, 300), 0.25, np.float32)
    for day in DAYS:
        write(tmp_path / NAME.format(day), values, values)
    cut = tmp_path / NAME.format(DAYS[0])
    cut.write_bytes(cut.read_bytes()[:40])
    found = NsidcProduct(tmp_path).at(places([(150, 150)]), DAYS, quiet)
    np.testing.assert_allclose(found.moisture, [[np.nan], [0.25]])
    assert cut.name in found.notes[0]


def test_a_folder_is_recognised_and_another_is_refused(tmp_path: Path) -> None:
    values = np.full((2, 2), 0.25, np.float32)
    write(tmp_path / "here" / NAME.format(DAYS[0]), values, values)
    product = named(f"smap_dsm={tmp_path / 'here'}")
    assert isinstance(product, NsidcProduct)
    assert (product.name, product.title) == ("smap_dsm", "NSIDC-0779")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file of NSIDC-0779"):
        named(f"smap_dsm={tmp_path / 'empty'}:nsidc").at(places([(1, 1)]), DAYS, quiet)
    with pytest.raises(DataError, match="it has 1 day of 2019-04-01"):
        product.at(places([(1, 1)]), [dt.date(2021, 1, 1)], quiet)
