"""Cells are put into the rows and columns they stand in: EASE-Grid's own, of degrees, or of a UTM zone."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer

from pipeline.errors import DataError
from pipeline.tables.lattice import Lattice

EASE_METRES, EASE_LEFT, EASE_TOP = 9008.05521014604, -17367530.44516138, 7314540.830638  # Brodzik et al. 2012
EASE36_METRES = 4 * EASE_METRES


def ease_centres(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By pyproj, from the metres of the published grid."""
    to_degrees = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    x, y = EASE_LEFT + (columns + 0.5) * EASE_METRES, EASE_TOP - (rows + 0.5) * EASE_METRES
    lon, lat = to_degrees.transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def test_cells_of_ease_grid_have_its_own_rows_and_columns_though_some_are_missing():
    rows, columns = (part.ravel() for part in np.meshgrid([385, 386, 388], [3174, 3175, 3179], indexing="ij"))
    lattice = Lattice.of(*ease_centres(rows, columns))

    assert lattice.ease
    assert lattice.row.tolist() == rows.tolist()
    assert lattice.column.tolist() == columns.tolist()
    assert set(lattice.piece) == {0}


def test_four_by_four_cells_of_ease_grid_are_its_cell_of_36_km():
    rows, columns = (
        part.ravel() for part in np.meshgrid(np.arange(381, 397), np.arange(3170, 3190), indexing="ij")
    )
    lon, lat = ease_centres(rows, columns)
    lattice = Lattice.of(lon, lat)

    x, y = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True).transform(lon, lat)
    np.testing.assert_array_equal(lattice.row // 4, np.floor((EASE_TOP - np.asarray(y)) / EASE36_METRES))
    np.testing.assert_array_equal(lattice.column // 4, np.floor((np.asarray(x) - EASE_LEFT) / EASE36_METRES))


def test_places_lie_between_the_centres_of_ease_cells():
    rows, columns = np.array([385, 385, 386, 386]), np.array([3174, 3175, 3174, 3175])
    lon, lat = ease_centres(rows, columns)
    piece, row, column = Lattice.of(lon, lat).position(
        np.append(lon, lon[:2].mean()), np.append(lat, lat[::2].mean())
    )

    np.testing.assert_allclose(row, [385.5, 385.5, 386.5, 386.5, 386.0], atol=1e-3)  # of latitude, not metres
    np.testing.assert_allclose(column, [3174.5, 3175.5, 3174.5, 3175.5, 3175.0], atol=1e-6)
    assert piece.tolist() == [0] * 5


def test_cells_of_degrees_fall_into_pieces_that_do_not_touch():
    down, right = (part.ravel() for part in np.meshgrid(np.arange(4), np.arange(3), indexing="ij"))
    lon = np.concatenate([-93.8 + 0.14 * right, -88.6 + 0.14 * right])
    lat = np.concatenate([33.4 - 0.094 * down, 37.2 - 0.094 * down])
    gone = 4  # the middle of the first piece
    kept = np.arange(24) != gone
    lattice = Lattice.of(lon[kept], lat[kept])

    assert not lattice.ease
    assert lattice.row.tolist() == np.tile(down, 2)[kept].tolist()
    assert lattice.column.tolist() == np.tile(right, 2)[kept].tolist()
    assert lattice.piece.tolist() == ([0] * 12 + [1] * 12)[:gone] + ([0] * 12 + [1] * 12)[gone + 1 :]

    piece, row, column = lattice.position(
        np.array([-93.8 + 0.21, -88.6 - 0.06, -88.6 - 0.08, -91.0]),
        np.array([33.4 - 0.047, 37.2 + 0.04, 37.2, 35.0]),
    )
    assert piece.tolist() == [0, 1, -1, -1]
    np.testing.assert_allclose(row[:2], [1.0, 0.5 - 0.04 / 0.094], atol=1e-6)
    np.testing.assert_allclose(column[:2], [2.0, 0.5 - 0.06 / 0.14], atol=1e-6)
    assert np.isnan(row[2:]).all()


def test_cells_of_a_utm_grid_are_found_though_they_run_across_degrees():
    down, right = (part.ravel() for part in np.meshgrid(np.arange(40), np.arange(30), indexing="ij"))
    x, y = 300_000 + 9000 * right, 3_840_000 - 9000 * down
    lon, lat = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True).transform(x, y)
    lattice = Lattice.of(np.asarray(lon), np.asarray(lat))

    assert lattice.crs == "EPSG:32650"
    assert lattice.row.tolist() == down.tolist()
    assert lattice.column.tolist() == right.tolist()


def test_a_row_of_cells_has_a_height_as_if_it_had_neighbours():
    lattice = Lattice.of(np.array([110.0, 110.1, 110.2]), np.full(3, 30.0))
    usual = 0.1 * np.cos(np.radians(30))  # as high as wide

    _, row, column = lattice.position(np.full(3, 110.05), 30 + usual * np.array([0.25, -0.45, 0.55]))
    np.testing.assert_allclose(row, [0.25, 0.95, np.nan], atol=1e-6)
    np.testing.assert_allclose(column, [1.0, 1.0, np.nan], atol=1e-6)


@pytest.mark.parametrize(
    ("lon", "lat", "told"),
    [
        (*np.random.default_rng(0).uniform([[110], [30]], [[112], [32]], (2, 50)), "no rows"),
        (np.array([110.0, 110.0, 110.1]), np.array([30.0, 30.0, 30.0]), "no rows"),
        (np.array([110.0]), np.array([30.0]), "no rows"),
        (np.array([110.0, np.nan]), np.array([30.0, 30.0]), "without lon and lat"),
        (np.array([]), np.array([]), "without lon and lat"),
    ],
    ids=["scattered", "one place twice", "a single one", "unplaced", "none"],
)  # fmt: skip
def test_cells_that_stand_in_no_rows_and_columns_are_refused(lon, lat, told):
    with pytest.raises(DataError, match=told):
        Lattice.of(lon, lat)
