"""SMAP at stations: the nearest cell, and between cells as SciPy interpolates on EASE-Grid 2.0."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.interpolate import RegularGridInterpolator

from pipeline.errors import DataError
from pipeline.products.smap import Smap, smap_at

SIDE = 9008.05521014604  # metres; EASE-Grid 2.0 M09, Brodzik et al. 2012
HALF_WIDTH, TOP = 17367530.445161, 7314540.830638
ROW, COLUMN = 380, 3180  # in Anhui
UTM = "EPSG:32650"
DAYS = [dt.date(2019, 4, 1), dt.date(2019, 4, 2), dt.date(2019, 4, 3)]
ROWS, COLUMNS = 6, 7


def ease(row: float, column: float) -> tuple[float, float]:
    """Metres of a place counted in rows and columns of cells; a cell's centre is at a half."""
    return -HALF_WIDTH + SIDE * column, TOP - SIDE * row


def degrees(x: object, y: object, crs: str = "EPSG:6933") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def field() -> NDArray[np.float64]:
    """(days, rows, columns), no plane: a wrong corner shows."""
    return np.random.default_rng(3).uniform(0.05, 0.45, (len(DAYS), ROWS, COLUMNS))


def write(path: Path, values: NDArray[np.float64], keep: NDArray[np.bool_] | None = None) -> Path:
    """Samples of the cells ROW.., COLUMN.., without those that are not to be kept."""
    rows = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            if keep is not None and not keep[row, column]:
                continue
            lon, lat = degrees(*ease(ROW + row + 0.5, COLUMN + column + 0.5))
            rows += [
                (
                    f"{ROW + row:04d}-{COLUMN + column:04d}",
                    float(lon),
                    float(lat),
                    day,
                    values[number, row, column],
                )
                for number, day in enumerate(DAYS)
            ]
    pd.DataFrame(rows, columns=["cell", "lon", "lat", "date", "sm"]).to_parquet(path)
    return path


def at(path: Path, spots: list[tuple[float, float]]) -> Smap:
    """At places counted in rows and columns from the corner of the first cell."""
    x, y = ease(ROW + np.array([row for row, _ in spots]), COLUMN + np.array([column for _, column in spots]))
    lon, lat = degrees(x, y)
    places = pd.DataFrame({"station": [str(n) for n in range(len(spots))], "lon": lon, "lat": lat})
    return smap_at(path, UTM, places, DAYS)


def test_between_cells_it_is_what_scipy_interpolates(tmp_path: Path) -> None:
    values = field()
    spots = np.random.default_rng(4).uniform(0.5, [ROWS - 0.5, COLUMNS - 0.5], (200, 2))
    found = at(write(tmp_path / "s.parquet", values), [tuple(spot) for spot in spots])
    axes = np.arange(ROWS) + 0.5, np.arange(COLUMNS) + 0.5
    expected = np.stack([RegularGridInterpolator(axes, day)(spots) for day in values])
    np.testing.assert_allclose(found.bilinear, expected, atol=1e-9)
    nearest = np.stack([RegularGridInterpolator(axes, day, method="nearest")(spots) for day in values])
    # Where two cells are about as near, the ground decides and not the grid.
    same = np.all(np.minimum(spots % 1, 1 - spots % 1) > 0.02, axis=1)
    np.testing.assert_array_equal(found.nearest[:, same], nearest[:, same])


def test_at_a_centre_it_is_the_cell_and_half_way_the_mean(tmp_path: Path) -> None:
    values = field()
    found = at(write(tmp_path / "s.parquet", values), [(2.5, 3.5), (2.5, 4.0), (3.0, 4.0)])
    assert found.bilinear is not None
    np.testing.assert_allclose(found.bilinear[:, 0], values[:, 2, 3], atol=1e-9)
    np.testing.assert_allclose(found.bilinear[:, 1], values[:, 2, 3:5].mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(found.bilinear[:, 2], values[:, 2:4, 3:5].mean(axis=(1, 2)), atol=1e-7)


def test_cells_without_a_value_count_nothing_and_the_nearest_must_have_one(tmp_path: Path) -> None:
    values = field()
    values[0, 2, 4] = np.nan  # a neighbour, on the first day
    values[1, 2, 3] = np.nan  # the nearest, on the second
    found = at(write(tmp_path / "s.parquet", values), [(2.6, 3.7)])
    assert found.bilinear is not None
    weights = {(2, 3): 0.9 * 0.8, (2, 4): 0.9 * 0.2, (3, 3): 0.1 * 0.8, (3, 4): 0.1 * 0.2}
    rest = {place: weight for place, weight in weights.items() if place != (2, 4)}
    expected = sum(weight * values[0][place] for place, weight in rest.items()) / sum(rest.values())
    assert found.bilinear[0, 0] == pytest.approx(expected, abs=1e-7)
    assert np.isnan(found.bilinear[1, 0])
    assert np.isnan(found.nearest[1, 0])
    whole = sum(weight * values[2][place] for place, weight in weights.items())
    assert found.bilinear[2, 0] == pytest.approx(whole, abs=1e-7)


def test_a_row_that_the_raster_lacks_is_bridged(tmp_path: Path) -> None:
    values, keep = field(), np.ones((ROWS, COLUMNS), np.bool_)
    keep[3] = False
    found = at(write(tmp_path / "s.parquet", values, keep), [(3.0, 2.5), (3.4, 2.5)])
    assert found.bilinear is not None
    np.testing.assert_allclose(
        found.bilinear[:, 0], 0.75 * values[:, 2, 2] + 0.25 * values[:, 4, 2], atol=1e-7
    )
    np.testing.assert_allclose(
        found.bilinear[:, 1], 0.55 * values[:, 2, 2] + 0.45 * values[:, 4, 2], atol=1e-7
    )


def test_beyond_the_outermost_cells_their_value_holds_on_for_nine_kilometres(tmp_path: Path) -> None:
    values = field()
    found = at(write(tmp_path / "s.parquet", values), [(2.5, 0.1), (2.5, -0.9)])
    assert found.bilinear is not None
    np.testing.assert_allclose(found.bilinear[:, 0], values[:, 2, 0], atol=1e-9)
    assert np.isnan(found.bilinear[:, 1]).all()
    assert np.isnan(found.nearest[:, 1]).all()


def test_the_papers_cells_are_interpolated_in_their_own_system(tmp_path: Path) -> None:
    values = field()
    row, column = np.meshgrid(np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    lon, lat = degrees(450_000 + 9000 * (column + 0.5), 3_600_000 - 9000 * (row + 0.5), UTM)
    pd.concat(
        pd.DataFrame(
            {
                "cell": [f"u{one:03d}-{two:03d}" for one, two in np.ndindex(ROWS, COLUMNS)],
                "lon": lon.ravel(), "lat": lat.ravel(), "date": day, "sm": values[number].ravel(),
            }
        )
        for number, day in enumerate(DAYS)
    ).to_parquet(tmp_path / "s.parquet")  # fmt: skip
    spots = np.random.default_rng(4).uniform(0.5, [ROWS - 0.5, COLUMNS - 0.5], (50, 2))
    x, y = degrees(450_000 + 9000 * spots[:, 1], 3_600_000 - 9000 * spots[:, 0], UTM)
    places = pd.DataFrame({"station": np.arange(50).astype(str), "lon": x, "lat": y})
    found = smap_at(tmp_path / "s.parquet", UTM, places, DAYS)
    axes = np.arange(ROWS) + 0.5, np.arange(COLUMNS) + 0.5
    expected = np.stack([RegularGridInterpolator(axes, day)(spots) for day in values])
    np.testing.assert_allclose(found.bilinear, expected, atol=1e-6)


def test_cells_strewn_about_are_not_interpolated(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"cell": [f"c{one}" for one in range(40)], "date": DAYS[0], "sm": 0.2})
    table["lon"], table["lat"] = random.uniform(117, 117.5, 40), random.uniform(31, 31.5, 40)
    table.to_parquet(tmp_path / "s.parquet")
    places = pd.DataFrame({"station": ["a"], "lon": table["lon"][:1], "lat": table["lat"][:1]})
    found = smap_at(tmp_path / "s.parquet", UTM, places, DAYS)
    assert found.bilinear is None
    assert found.nearest[0, 0] == 0.2


def test_samples_that_are_cut_off_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "s.parquet", field())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        at(path, [(1, 1)])
