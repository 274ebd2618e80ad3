"""Maps with all, some and none of the model's detail, on a simulated cube where SMAP knows every cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from pipeline.maps.detail import FULL, Detail, write_detail
from pipeline.maps.mapping import predict_cube, predict_maps
from pipeline.work.workdir import WorkDir
from tests.pipeline.maps.test_correcting import CLOSE, HEIGHT, WIDTH, off, smap_of, table
from tests.pipeline.small_cubes import bands_of, write_cube
from tests.simulated_samples import simulate

DAYS = 3
LEVEL = 0.27  # m³/m³, SMAP's on the last day, everywhere
INSIDE = slice(10, -10)  # pixels, away from the edge
Field = NDArray[np.float64]


def share(value: float) -> Detail:
    return Detail(value, math.nan, math.nan, measured=True, simulated=True)


@pytest.fixture(scope="module")
def work(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> WorkDir:
    found = WorkDir(tmp_path_factory.mktemp("work"))
    bands = bands_of(simulate(side=WIDTH, days=DAYS).samples, WIDTH)
    write_cube(found.cube, {name: of[..., :HEIGHT, :] for name, of in bands.items()})
    smap = smap_of(3, 0.0, DAYS)
    smap.iloc[-1] = LEVEL
    table(smap).to_parquet(found.samples)
    found.model.symlink_to(trained.model)
    return found


@pytest.fixture(scope="module")
def maps(work: WorkDir, tmp_path_factory: pytest.TempPathFactory) -> dict[float | None, Field]:
    """By share; None where it is not given."""
    folder = tmp_path_factory.mktemp("maps")
    found = {}
    for value in (None, 1.0, 0.4, 0.0):
        out = folder / f"{value}.zarr"
        given = {} if value is None else {"detail": share(value)}
        predict_cube(
            work.model, work.cube, out, folder / f"{value}", samples=work.samples, **given
        )  # fmt: skip
        with xr.open_zarr(out, chunks=None, consolidated=False) as opened:
            found[value] = opened["sm"].to_numpy().astype(np.float64)
            assert opened.attrs["detail"] == (1 if value is None else value)
    return found


def test_all_of_the_detail_is_what_maps_were_before(maps):
    np.testing.assert_array_equal(maps[1.0], maps[None])


def test_any_share_keeps_smap(maps):
    smap = smap_of(3, 0.0, DAYS)
    smap.iloc[-1] = LEVEL
    for value in (1.0, 0.4, 0.0):
        assert max(map(abs, off(maps[value], smap).values())) < CLOSE, value


def test_where_smap_is_the_same_everywhere_a_map_without_detail_is_too(maps):
    spread = {value: maps[value][-1, INSIDE, INSIDE].std() for value in (1.0, 0.4, 0.0)}

    assert spread[1.0] > 0.005
    assert spread[0.4] == pytest.approx(0.4 * spread[1.0], rel=0.05)
    assert spread[0.0] < 0.06 * spread[1.0]  # cells that the edge cuts reach some way in
    np.testing.assert_allclose(maps[0.0][-1, INSIDE, INSIDE], LEVEL, atol=2e-3)


def test_a_share_lies_that_far_between_none_and_all(maps):
    none, some, every = (maps[value][-1] for value in (0.0, 0.4, 1.0))  # no pixel stands at a bound

    np.testing.assert_allclose(some, 0.6 * none + 0.4 * every, atol=CLOSE)


def test_maps_of_a_work_directory_follow_its_test_and_are_made_anew_when_that_changes(work):
    notes = []
    for value in (None, 0.4, 0.4, 0.8):
        if value is not None:
            work.transfer.mkdir(exist_ok=True)
            write_detail(work.transfer, share(value))
        done = predict_maps(work, lambda what, part: None)
        notes.append(" ".join(done.notes()))
        assert done.detail == (FULL if value is None else share(value)) or math.isnan(done.detail.lower)
        assert done.detail.value == (1 if value is None else value)
        assert bool(done.computed) == (len(notes) != 3)
        with xr.open_zarr(work.prediction, chunks=None, consolidated=False) as opened:
            assert opened.attrs["detail"] == done.detail.value
    assert "nothing has measured" in notes[0]
    assert "a share of 0.40 is kept" in notes[1]
    assert "a share of 0.80 is kept" in notes[3]
