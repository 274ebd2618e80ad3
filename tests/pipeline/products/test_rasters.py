"""Folders of GeoTIFFs: dates in names, pixels under places, scales, and files that are damaged."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.errors import DataError
from pipeline.products import rasters
from pipeline.products.product import gather
from pipeline.products.rasters import RasterProduct, Reading, date_in, windows

DAYS = [dt.date(2019, 4, day) for day in (1, 2, 3)]
PLACES = pd.DataFrame(
    {"station": ["a", "b", "far"], "lon": [117.05, 117.25, 130.0], "lat": [31.85, 31.75, 31]}
)
PLAIN = Reading()


def quiet(what: str, share: float) -> None:
    assert what
    assert 0 <= share <= 1


def write(path: Path, values: NDArray[Any], **other: Any) -> None:
    """A GeoTIFF of one band or several, (rows, columns) or (bands, rows, columns)."""
    bands = values[None] if values.ndim == 2 else values
    scales, offsets = other.pop("scales", None), other.pop("offsets", None)
    told = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2],
        "dtype": bands.dtype, "crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0, 117, 0, -0.1, 32),
    } | other  # fmt: skip
    with rasterio.open(path, "w", **told) as file:
        file.write(bands)
        if scales is not None:
            file.scales, file.offsets = scales, offsets


def grid(day: int) -> NDArray[np.float32]:
    """0.d + 0.01 row + 0.001 column."""
    row, column = np.indices((5, 6))
    return (0.1 * day + 0.01 * row + 0.001 * column).astype(np.float32)


def series(folder: Path, reading: Reading = PLAIN) -> Any:
    return RasterProduct("mine", "Mine", folder, reading).at(PLACES, DAYS, quiet)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("sm_20190401", (2019, 4, 1)),
        ("2019-04-01_sm", (2019, 4, 1)),
        ("sm.2019.04.01.v2", (2019, 4, 1)),
        ("A2019_091_1km", (2019, 4, 1)),
        ("smap_sm_400m_2016366", (2016, 12, 31)),
        ("x_20190401T0600_20190402", (2019, 4, 1)),
        ("v20000_20190401", (2019, 4, 1)),
        ("sm_2019_366", None),
        ("sm_2019_000", None),
        ("sm_20190231", None),
        ("sm_20190401060000", None),
        ("tile_7", None),
    ],
)
def test_the_date_is_read_from_the_name(name: str, day: tuple[int, int, int] | None) -> None:
    assert date_in(name) == (None if day is None else dt.date(*day))


def test_values_are_those_of_the_pixels_that_hold_the_places(tmp_path: Path) -> None:
    for day in (1, 3):
        write(tmp_path / f"sm_2019040{day}.tif", grid(day))
    found = series(tmp_path)
    expected = [[0.11, 0.122, np.nan], [np.nan] * 3, [0.31, 0.322, np.nan]]
    np.testing.assert_allclose(found.moisture, expected, atol=1e-6)
    assert found.notes == ("it has files of 2 of 3 days.",)


def test_any_system_is_read_by_its_own_pixels(tmp_path: Path) -> None:
    values = np.arange(400, dtype=np.float32).reshape(20, 20) / 1000
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32650", always_xy=True).transform(117.05, 31.85)
    left, top = x - 7_300, y + 12_700  # so that the place lies 7.3 pixels from the left, 12.7 from the top
    write(
        tmp_path / "sm_2019_091.tif", values, crs="EPSG:32650",
        transform=rasterio.Affine(1000, 0, left, 0, -1000, top),
    )  # fmt: skip
    assert series(tmp_path).moisture[0, 0] == pytest.approx(0.247)  # row 12, column 7


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading((2,)), 0.25),  # 10 * 0.02 + 0.05, as the file says
        (Reading((2,), 0.01), 0.1),
        (Reading((2,), 0.01, 0.3), 0.4),
        (Reading((1, 2), 0.01), 0.1),  # the first band has no value
    ],
)
def test_factor_and_offset_are_the_users_or_the_files(
    tmp_path: Path, reading: Reading, expected: float
) -> None:
    stored = np.stack([np.full((5, 6), 255, np.uint8), np.full((5, 6), 10, np.uint8)])
    write(tmp_path / "sm_20190401.tif", stored, nodata=255, scales=(1, 0.02), offsets=(0, 0.05))
    assert series(tmp_path, reading).moisture[0, 0] == pytest.approx(expected)


def test_tiles_of_a_day_are_put_together(tmp_path: Path) -> None:
    for name, left in (("east", 117.2), ("west", 117.0)):
        values = np.full((5, 2), 0.2 if name == "west" else 0.3, np.float32)
        write(tmp_path / f"{name}_20190401.tif", values, transform=rasterio.Affine(0.1, 0, left, 0, -0.1, 32))
    np.testing.assert_allclose(series(tmp_path).moisture[0], [0.2, 0.3, np.nan], atol=1e-6)


def test_a_file_that_is_cut_off_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    for day in (1, 2, 3):
        write(tmp_path / f"sm_2019040{day}.tif", grid(day), compress="DEFLATE")
    cut = tmp_path / "sm_20190402.tif"
    cut.write_bytes(cut.read_bytes()[:60])
    found = series(tmp_path)
    np.testing.assert_allclose(found.moisture[:, 0], [0.11, np.nan, 0.31], atol=1e-6)
    [note] = found.notes
    assert note.startswith("1 file cannot be read, left out: sm_20190402.tif (")


def test_pixels_that_are_cut_off_are_told(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = random.uniform(0, 0.5, (2000, 2000)).astype(np.float32)
    place = rasterio.Affine(0.001, 0, 117, 0, -0.001, 32.0)
    for day in (1, 2):
        write(tmp_path / f"sm_2019040{day}.tif", values, transform=place)
    cut = tmp_path / "sm_20190402.tif"
    cut.write_bytes(cut.read_bytes()[:100_000])  # the header is whole, the pixels under the places are not
    found = series(tmp_path)
    assert found.moisture[0, 0] == pytest.approx(values[150, 50])
    assert np.isnan(found.moisture[1]).all()
    assert "sm_20190402.tif" in found.notes[0]


def test_a_file_without_coordinate_system_is_told(tmp_path: Path) -> None:
    write(tmp_path / "sm_20190401.tif", grid(1))
    write(tmp_path / "sm_20190402.tif", grid(2), crs=None)
    found = series(tmp_path)
    assert np.isnan(found.moisture[1]).all()
    assert "sm_20190402.tif (it has no coordinate system)" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("sm_20200401.tif", {}, "no file of 2019-04-01 to 2019-04-03; it has 1 day of 2020-04-01"),
        ("moisture.tif", {}, "no file name has a date, such as moisture.tif"),
        ("sm_20190401.tif", {"crs": None}, "none of its files can be read: .*no coordinate system"),
        ("sm_20190401.tif", {"transform": rasterio.Affine(0.1, 0, 7, 0, -0.1, 32)}, "none of the 3 stations"),
        ("sm_20190401.txt", {"driver": "GTiff"}, "holds no GeoTIFF"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(
    tmp_path: Path, name: str, other: dict[str, Any], message: str
) -> None:
    write(tmp_path / name, grid(1), **other)
    with pytest.raises(DataError, match=message):
        series(tmp_path)


def test_a_band_that_is_not_there_is_said(tmp_path: Path) -> None:
    write(tmp_path / "sm_20190401.tif", grid(1))
    with pytest.raises(DataError, match="no band 3, only 1"):
        series(tmp_path, Reading((3,)))


@pytest.mark.parametrize("factor", [100, 50])
def test_percent_and_millimetres_are_no_soil_moisture(tmp_path: Path, factor: int) -> None:
    write(tmp_path / "sm_20190401.tif", factor * grid(1))
    product = RasterProduct("mine", "Mine", tmp_path)
    found, notes = gather([product], PLACES, DAYS, quiet)
    assert not found
    [note] = notes
    assert note.startswith("Mine is not compared: ")
    assert "100.0% of its values lie outside -0.1 to 1 m³/m³" in note
    assert "#1*0.01" in note


def test_windows_are_small_and_hold_every_place_once() -> None:
    random = np.random.default_rng(1)
    rows, columns = random.integers(0, 14_616, 500), random.integers(0, 34_704, 500)
    seen = []
    for window, some in windows(rows, columns, 200_000):
        assert window.width * window.height <= 200_000
        inside = (rows[some] >= window.row_off) & (rows[some] < window.row_off + window.height)
        inside &= (columns[some] >= window.col_off) & (columns[some] < window.col_off + window.width)
        assert inside.all()
        seen += some.tolist()
    assert sorted(seen) == list(range(500))


def test_each_file_is_opened_once_and_little_of_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rasterio.Affine(0.01, 0, -180, 0, -0.01, 90)
    options = {"transform": whole, "tiled": True, "compress": "DEFLATE", "SPARSE_OK": True}
    with rasterio.open(
        tmp_path / "sm_20190401.tif", "w", driver="GTiff", count=1, height=18_000, width=36_000,
        dtype="float32", crs="EPSG:4326", **options,
    ) as file:  # fmt: skip
        for lon, lat, value in ((117.05, 31.85, 0.2), (117.25, 31.75, 0.3), (130.0, 31.0, 0.4)):
            column, row = ~whole @ (lon, lat)
            window = rasterio.windows.Window(int(column), int(row), 1, 1)
            file.write(np.full((1, 1, 1), value, np.float32), window=window)
    opened: list[object] = []
    read: list[int] = []
    open_, windows_ = rasterio.open, rasters.windows

    def counted(*given: Any) -> Any:
        for window, some in windows_(*given):
            read.append(window.width * window.height)
            yield window, some

    monkeypatch.setattr(rasterio, "open", lambda *given: opened.append(given) or open_(*given))
    monkeypatch.setattr(rasters, "windows", counted)
    np.testing.assert_allclose(series(tmp_path).moisture[0], [0.2, 0.3, 0.4], atol=1e-6)
    assert len(opened) == 1
    assert sum(read) <= 1_000_000  # of 648 million pixels
