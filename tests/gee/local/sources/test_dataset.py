"""A grid's centres are the affine transform of half-integer pixels, and a read fills what is off the grid."""

from __future__ import annotations

import numpy as np
import pytest

from gee.local.sources.dataset import (
    PIECE,
    BandSpec,
    Dataset,
    Pixels,
    RasterGrid,
    Scene,
    Slot,
    Window,
    reader,
)

GRID = RasterGrid("EPSG:4326", (0.5, 0.0, 100.0, 0.0, -0.25, 40.0), 600, 400)
TURNED = RasterGrid("EPSG:32650", (80.0, 60.0, 5e5, 60.0, -80.0, 3.5e6), 7, 5)
BANDS = (BandSpec("row", "int16"), BandSpec("col", "uint8"), BandSpec("other", "float32", grid=TURNED))


def indices(names: tuple[str, ...], window: Window) -> dict[str, Pixels]:
    rows, cols = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
    both = {"row": rows, "col": cols % 250, "other": rows + cols}
    return {name: (both[name], rows % 3 != 0) for name in names}


READ = reader(GRID, BANDS, indices)


def test_centres_of_a_turned_grid() -> None:
    x, y = TURNED.centres(Window(1, 2, 2, 3))
    assert x[1, 2] == 5e5 + 80 * 4.5 + 60 * 2.5
    assert y[1, 2] == 3.5e6 + 60 * 4.5 - 80 * 2.5


@pytest.mark.parametrize(
    "window", [Window(-3, -2, 10, 8), Window(395, 590, 10, 30), Window(0, 0, PIECE + 40, 2 * PIECE + 1)]
)
def test_pixels_off_the_grid_are_masked_and_the_others_where_they_belong(window: Window) -> None:
    (cols, valid), (rows, _) = READ(("col", "row"), window)
    assert rows.dtype == np.int16 and cols.dtype == np.uint8
    for i in range(0, window.height, 7):
        for j in range(0, window.width, 5):
            row, col = window.row + i, window.col + j
            inside = 0 <= row < GRID.height and 0 <= col < GRID.width
            assert valid[i, j] == (inside and row % 3 != 0)
            assert (rows[i, j], cols[i, j]) == ((row, col % 250) if valid[i, j] else (0, 0))


def test_a_window_beside_the_grid_is_masked_everywhere() -> None:
    (values, valid), *_ = READ(("row",), Window(1000, 1000, 3, 4))
    assert values.shape == (3, 4) and not valid.any()


def test_bands_on_different_grids_cannot_share_a_window() -> None:
    with pytest.raises(ValueError, match="row, other lie on different grids"):
        READ(("row", "other"), Window(0, 0, 2, 2))
    (values, _), *_ = READ(("other",), Window(4, 6, 2, 2))
    assert values[0, 0] == 10 and values.dtype == np.float32


def test_scenes_are_those_that_start_in_the_half_open_range() -> None:
    slots = [Slot(10 * n, 10 * n + 10, f"s{n}") for n in range(5)]

    def build(slot: Slot) -> Scene:
        return Scene(f"x/{slot.index}", slot.index, slot.start, slot.end, GRID, BANDS, {}, None, READ)

    dataset = Dataset("x", "IMAGE_COLLECTION", {}, slots=lambda: slots, build=build)
    assert [scene.index for scene in dataset.scenes(10, 30)] == ["s1", "s2"]
    assert [scene.index for scene in dataset.scenes(None, 1)] == ["s0"]
    assert len(dataset.scenes()) == 5
    assert dataset.scene("s3").id == "x/s3"
    with pytest.raises(KeyError):
        dataset.scene("s9")
