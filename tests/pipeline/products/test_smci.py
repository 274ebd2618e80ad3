"""SMCI1.0 in the format of its readme: variable SMCI, thousandths of m³/m³, -999, layers of 10 cm."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.products.product import gather
from pipeline.products.smci import SmciProduct, files

nc = pytest.importorskip("netCDF4", reason="NetCDF files are written by netCDF4")

DAYS = [dt.date(2019, 3, 31) + dt.timedelta(days=number) for number in range(4)]
FROM, SIDE = (117.0, 32.0), 1 / 120  # western and northern edge, and 30 seconds, degrees
HEIGHT, WIDTH = 4, 5
PLACES = pd.DataFrame({
    "station": ["first", "last", "beyond"],
    "lon": [FROM[0] + 0.1 * SIDE, FROM[0] + 4.9 * SIDE, FROM[0] - 0.1 * SIDE],
    "lat": [FROM[1] - 0.1 * SIDE, FROM[1] - 3.9 * SIDE, 31.99],
})  # fmt: skip


def quiet(what: str, share: float) -> None:
    pass


def write(
    path: Path,
    values: NDArray[Any],
    dimensions: tuple[str, ...] = ("time", "lat", "lon"),
    since: str | None = "days since 2019-01-01",
    fill: int | None = -999,
    northward: bool = False,
    **attributes: object,
) -> Path:
    """A file of the product; without ``since`` its time tells nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with nc.Dataset(path, "w") as file:
        for name, size in zip(dimensions, values.shape, strict=True):
            file.createDimension(name, size)
        lat = FROM[1] - SIDE * (np.arange(HEIGHT) + 0.5)
        for name, axis in (("lat", lat[::-1] if northward else lat),
                           ("lon", FROM[0] + SIDE * (np.arange(WIDTH) + 0.5))):  # fmt: skip
            file.createVariable(name, "f8", (name,))[:] = axis
        if since is not None:
            time = file.createVariable("time", "i4", ("time",))
            time.units, time.calendar = since, "standard"
            time[:] = np.arange(values.shape[dimensions.index("time")])
        stored = file.createVariable("SMCI", values.dtype, dimensions, fill_value=fill, zlib=True)
        stored.set_auto_maskandscale(False)
        stored.setncatts({"units": "0.001m³/m³", **attributes})
        stored[:] = values
    return path


def year(days: int = 365) -> NDArray[np.int16]:
    """100 + 10 row + column + the day of the year, thousandths."""
    day, row, column = np.ogrid[1 : days + 1, :HEIGHT, :WIDTH]
    return (100 + 10 * row + column + day).astype(np.int16)


EXPECTED = [
    [(100 + day) / 1000, (134 + day) / 1000, np.nan] for day in (90, 91, 92, 93)
]  # 31 March is day 90


def test_a_year_is_read_at_the_pixels_that_hold_the_places(tmp_path: Path) -> None:
    path = write(tmp_path / "SMCI_1km_2019_10cm.nc", year())
    np.testing.assert_allclose(SmciProduct(path).at(PLACES, DAYS, quiet).moisture, EXPECTED)


@pytest.mark.parametrize("northward", [False, True])
def test_rows_may_run_either_way(tmp_path: Path, northward: bool) -> None:
    values = year()[:, ::-1] if northward else year()
    path = write(tmp_path / "SMCI_2019.nc", values, northward=northward)
    np.testing.assert_allclose(SmciProduct(path).at(PLACES, DAYS, quiet).moisture, EXPECTED)


def test_without_times_the_name_tells_the_year(tmp_path: Path) -> None:
    write(tmp_path / "SMCI_1km_2019_10cm.nc", year(), since=None)
    write(tmp_path / "SMCI_1km_2020_10cm.nc", year(366), since=None)
    days = [dt.date(2019, 12, 31), dt.date(2020, 2, 29), dt.date(2020, 12, 31)]
    found = SmciProduct(tmp_path).at(PLACES, days, quiet).moisture
    np.testing.assert_allclose(found[:, 0], [0.465, 0.160, 0.466])


def test_a_day_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    for day in (90, 91):
        date = dt.date(2019, 1, 1) + dt.timedelta(days=day - 1)
        path = tmp_path / "SMCI_1km_2019_10cm" / f"SMCI_{date:%Y%m%d}.nc"
        write(path, year()[day - 1], dimensions=("lat", "lon"), since=None)
    found = SmciProduct(tmp_path).at(PLACES, DAYS, quiet).moisture
    np.testing.assert_allclose(found[:2], EXPECTED[:2])
    assert np.isnan(found[2:]).all()


def test_of_ten_layers_the_upper_one_counts(tmp_path: Path) -> None:
    layers = np.stack([year() + 300 * number for number in range(3)], axis=1)
    path = write(tmp_path / "SMCI_2019.nc", layers, dimensions=("time", "layer", "lat", "lon"))
    np.testing.assert_allclose(SmciProduct(path).at(PLACES, DAYS, quiet).moisture, EXPECTED)
    with nc.Dataset(path, "a") as file:
        file.createVariable("layer", "f4", ("layer",))[:] = [30, 20, 10]
    found = SmciProduct(path).at(PLACES, DAYS, quiet).moisture
    np.testing.assert_allclose(found, np.array(EXPECTED) + 0.6)
    for depth in (10, 20, 100):
        write(tmp_path / "apart" / f"SMCI_1km_2019_{depth}cm.nc", year() + depth - 10)
    assert [path.name for path in files(tmp_path / "apart")] == ["SMCI_1km_2019_10cm.nc"]
    np.testing.assert_allclose(SmciProduct(tmp_path / "apart").at(PLACES, DAYS, quiet).moisture, EXPECTED)


def test_codes_below_zero_are_no_moisture(tmp_path: Path) -> None:
    values = year()
    values[89, 0, 0], values[90, 0, 0], values[91, 0, 0] = -999, -1, 0
    path = write(tmp_path / "SMCI_2019.nc", values, fill=None)
    found = SmciProduct(path).at(PLACES, DAYS, quiet).moisture
    np.testing.assert_allclose(found[:, 0], [np.nan, np.nan, 0, 0.193])


def test_a_factor_of_the_file_or_of_the_user_goes_before_the_documented_one(tmp_path: Path) -> None:
    stored = (10 * year()).astype(np.int16)
    path = write(tmp_path / "SMCI_2019.nc", stored, scale_factor=0.0001, add_offset=0.0)
    np.testing.assert_allclose(SmciProduct(path).at(PLACES, DAYS, quiet).moisture, EXPECTED)
    path = write(tmp_path / "SMCI_b_2019.nc", (year() / 1000).astype(np.float32), fill=None)
    found = SmciProduct(path, factor=1.0).at(PLACES, DAYS, quiet).moisture
    np.testing.assert_allclose(found, EXPECTED, atol=1e-6)


def test_a_file_that_is_cut_off_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    write(tmp_path / "SMCI_1km_2019_10cm.nc", year())
    cut = write(tmp_path / "SMCI_1km_2020_10cm.nc", year(366), since="days since 2020-01-01")
    cut.write_bytes(cut.read_bytes()[:3000])
    found = SmciProduct(tmp_path).at(PLACES, DAYS, quiet)
    np.testing.assert_allclose(found.moisture, EXPECTED)
    assert found.notes[0].startswith("1 file cannot be read, left out: SMCI_1km_2020_10cm.nc (")


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "SMCI_2018.nc", year(), since="days since 2018-01-01")
    with pytest.raises(DataError, match="holds 2018-01-01 to 2018-12-31, nothing of 2019-03-31"):
        SmciProduct(path).at(PLACES, DAYS, quiet)
    write(tmp_path / "deep" / "SMCI_1km_2019_20cm.nc", year())
    with pytest.raises(DataError, match="the layers down to 20 cm, not that of 0 to 10"):
        SmciProduct(tmp_path / "deep").at(PLACES, DAYS, quiet)
    write(tmp_path / "timeless" / "SMCI.nc", year(), since=None)
    with pytest.raises(DataError, match="neither its time nor its name tells the days of its 365 steps"):
        SmciProduct(tmp_path / "timeless").at(PLACES, DAYS, quiet)
    with nc.Dataset(tmp_path / "other.nc", "w") as file:
        file.createDimension("lat", 1)
        file.createVariable("sm", "f4", ("lat",))
    with pytest.raises(DataError, match="no variable SMCI, only sm"):
        SmciProduct(tmp_path / "other.nc").at(PLACES, DAYS, quiet)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no NetCDF file"):
        SmciProduct(tmp_path / "empty").at(PLACES, DAYS, quiet)


def test_times_need_not_grow(tmp_path: Path) -> None:
    path = write(tmp_path / "SMCI_2019.nc", year()[::-1])
    with nc.Dataset(path, "a") as file:
        file["time"][:] = np.arange(365)[::-1]
    np.testing.assert_allclose(SmciProduct(path).at(PLACES, DAYS, quiet).moisture, EXPECTED)


def test_without_the_package_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "SMCI_2019.nc", year())
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    found, [note] = gather([SmciProduct(path)], PLACES, DAYS, quiet)
    assert not found
    assert 'netCDF4, which is not installed: pip install "gee-smap[validation]"' in note


def test_a_unit_mistake_is_no_comparison(tmp_path: Path) -> None:
    path = write(tmp_path / "SMCI_2019.nc", year())
    found, [note] = gather([SmciProduct(path, factor=0.1)], PLACES, DAYS, quiet)
    assert not found
    assert "SMCI1.0 is not compared" in note
    assert "outside -0.1 to 1 m³/m³" in note
