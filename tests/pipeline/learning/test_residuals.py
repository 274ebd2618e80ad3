"""Points keep what SMAP knows of the cells around: on simulated tables whose residual is known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.learning.predict import predict
from tests.simulated_samples import CELL_DEGREES

SIDE = 8  # cells along an edge of the simulated region
OFFSET = 0.01  # m³/m³ for each column of cells


@pytest.fixture
def cells(trained, table: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    """The region's last two days, with SMAP that is what the model says plus what each cell has over it."""
    table.to_parquet(tmp_path / "plain.parquet")
    said = predict(trained.model, tmp_path / "plain.parquet", tmp_path / "said.parquet").frame["sm"]
    return table.assign(sm=said + OFFSET * column_of(table)).drop(columns="smap")


def column_of(frame: pd.DataFrame) -> pd.Series:
    return frame["cell"].str.extract(r"c(\d+)")[0].astype(int)


def corrected(
    trained, points: pd.DataFrame, cells: pd.DataFrame, folder: Path, **more: float
) -> pd.DataFrame:
    points.to_parquet(folder / "points.parquet")
    cells.to_parquet(folder / "cells.parquet")
    done = predict(
        trained.model, folder / "points.parquet", folder / "p.parquet", cells=folder / "cells.parquet", **more
    )
    written = pd.read_parquet(folder / "p.parquet")
    pd.testing.assert_frame_equal(written, done.frame, check_dtype=False)
    return done.frame


def test_a_cell_itself_gets_smaps_value_back(trained, table, cells, tmp_path):
    found = corrected(trained, table, cells, tmp_path)

    np.testing.assert_allclose(found["sm"], cells["sm"], atol=1e-6)
    np.testing.assert_allclose(found["sm"] - found["sm_model"], OFFSET * column_of(table), atol=1e-6)
    assert set(found["corrected"]) == {1}


@pytest.mark.parametrize(
    ("east", "weight"),
    [(0.0, 0.0), (0.25, 0.15625), (0.5, 0.5), (0.75, 0.84375)],  # 3t² - 2t³ by hand
)
def test_between_two_centres_the_residual_passes_from_one_to_the_other(
    trained, table, cells, tmp_path, east, weight
):
    points = table[column_of(table) < SIDE - 1].assign(lon=lambda one: one["lon"] + east * CELL_DEGREES)
    found = corrected(trained, points, cells, tmp_path)

    expected = OFFSET * (column_of(points).to_numpy() + weight)
    np.testing.assert_allclose(found["sm"] - found["sm_model"], expected, atol=1e-6)
    assert set(found["corrected"]) == {1}


@pytest.mark.parametrize("east", [0.0, 0.25, 0.5])
def test_between_two_centres_smap_alone_is_interpolated_on_a_straight_line(
    trained, table, cells, tmp_path, east
):
    points = table[column_of(table) < SIDE - 1].assign(lon=lambda one: one["lon"] + east * CELL_DEGREES)
    found = corrected(trained, points, cells, tmp_path)

    next_column = (
        cells["cell"].str.replace(r"c\d+", "", regex=True) + "c" + (column_of(cells) - 1).astype(str)
    )
    west = cells.set_index(["cell", "date"])["sm"]
    beside = cells.assign(cell=next_column).set_index(["cell", "date"])["sm"]
    at = pd.MultiIndex.from_frame(points[["cell", "date"]])
    expected = (1 - east) * west.loc[at].to_numpy() + east * beside.loc[at].to_numpy()
    np.testing.assert_allclose(found["smap_bilinear"], expected, atol=1e-6)


@pytest.mark.parametrize("detail", [0.0, 0.3, 1.0])
def test_of_what_the_model_tells_beyond_its_cells_a_share_is_shown(trained, table, cells, tmp_path, detail):
    """Beside a centre's own cell, whose SMAP and whose prediction are both known without blending."""
    points = table.assign(vv=table["vv"] + 3)  # dB: wetter than the cell it stands in the centre of
    at_cells = cells["sm"] - OFFSET * column_of(table)  # what the model says of the cells
    found = corrected(trained, points, cells, tmp_path, detail=detail)

    departure = found["sm_model"] - at_cells
    assert departure.abs().max() > 0.01
    np.testing.assert_allclose(found["sm"], cells["sm"] + detail * departure, atol=1e-6)


def test_where_no_cell_is_known_the_model_is_not_damped(trained, table, cells, tmp_path):
    points = table.assign(lon=table["lon"] + 10)
    found = corrected(trained, points, cells, tmp_path, detail=0.0)
    assert set(found["corrected"]) == {0}
    np.testing.assert_array_equal(found["sm"], found["sm_model"])


def test_where_the_own_cell_is_not_known_others_correct_and_far_away_nothing_does(
    trained, table, cells, tmp_path
):
    known = cells[
        (cells["cell"] != "r3c3") & ~((cells["cell"] == "r6c6") & (cells["date"] == cells["date"].max()))
    ]
    at = table["cell"].isin(["r3c3", "r6c6", "r0c0", "r5c1"])
    points = table[at].assign(lon=lambda one: one["lon"] + 0.2 * CELL_DEGREES)
    points.loc[points["cell"] == "r5c1", "lon"] += 10
    found = corrected(trained, points, known, tmp_path).set_index(["cell", "date"])
    last = table["date"].max()
    first = last - pd.Timedelta(days=1)

    added = found["sm"] - found["sm_model"]
    for key in (("r3c3", first), ("r3c3", last), ("r6c6", last)):
        assert found["corrected"][key] == 2
        assert added[key] == pytest.approx(OFFSET * (int(key[0][-1]) + 1), abs=1e-6)  # the cell to the east
    assert found["corrected"]["r6c6", first] == found["corrected"]["r0c0", last] == 1
    assert set(found["corrected"]["r5c1"]) == {0}
    assert set(added["r5c1"]) == {0}


def test_days_without_smap_stay_as_predicted_and_the_counts_are_told(trained, table, cells, tmp_path):
    cells[cells["date"] == cells["date"].min()].to_parquet(tmp_path / "cells.parquet")
    table.to_parquet(tmp_path / "points.parquet")
    done = predict(
        trained.model, tmp_path / "points.parquet", tmp_path / "p.csv", cells=tmp_path / "cells.parquet"
    )

    later = done.frame[done.frame["date"] == done.frame["date"].max()]
    assert set(later["corrected"]) == {0}
    assert (later["sm"] == later["sm_model"]).all()
    assert done.notes == (
        "Of 128 rows 64 are corrected by SMAP's cell that holds them, 0 by cells around; 64 are not, as no "
        "cell there has a value on the day.",
    )


def test_no_correction_makes_soil_drier_than_dry(trained, table, cells, tmp_path):
    found = corrected(trained, table, cells.assign(sm=0.0), tmp_path)
    assert (found["sm"] >= 0).all()
    assert found["sm"].max() < 1e-6


def test_without_cells_there_is_nothing_new(trained, table, tmp_path):
    table.to_parquet(tmp_path / "plain.parquet")
    found = predict(trained.model, tmp_path / "plain.parquet", tmp_path / "said.parquet").frame
    assert not {"sm_model", "corrected"} & {*found}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one.drop(columns="sm"), "sm: no column of this name"),
        (lambda one: one.drop(columns="date"), "the cells have no dates"),
        (lambda one: one.drop(columns=["ndvi"]), "ndvi: no column of this name"),
        (lambda one: one[one["cell"] == "r0c0"], "stand in no rows and columns"),
    ],
)
def test_cells_that_cannot_be_used_are_refused_and_nothing_is_written(
    trained, table, cells, tmp_path, change, told
):
    with pytest.raises(DataError, match=told):
        corrected(trained, table, change(cells), tmp_path)
    assert not (tmp_path / "p.parquet").exists()
