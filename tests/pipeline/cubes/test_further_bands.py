"""A cube, and a table of samples, of a study that prepares more than the paper's fifteen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gee.predictors import EVERY, PAPER
from pipeline.cubes.cube import open_cube
from tests.pipeline.cubes import test_cube as plain

FURTHER = ("dlst", "rain_3", "rain_7", "rain_15", "rain_30")


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> plain.Study:
    """Random images with the further bands where exports have them."""
    monkeypatch.setattr(plain, "DYNAMIC", (*plain.DYNAMIC[:-1], *FURTHER, "count"))
    monkeypatch.setattr(plain, "STATIC", (*plain.STATIC[:-2], "slope", "twi", *plain.STATIC[-2:]))
    return plain.make(tmp_path / "exports", 20, 30, 5)


def test_the_columns_of_a_plan_tell_its_predictors(wide: plain.Study) -> None:
    assert wide.manifest.bands == EVERY
    narrow = tuple(
        task.model_copy(update={"columns": tuple(name for name in task.columns if "RAIN" not in name)})
        for task in wide.manifest.tasks
    )
    assert wide.manifest.model_copy(update={"tasks": narrow}).bands.further == {"dlst", "slope", "twi"}
    assert wide.manifest.model_copy(update={"tasks": ()}).bands == PAPER


def test_a_cube_holds_the_further_bands_with_their_units(wide: plain.Study, tmp_path: Path) -> None:
    cube = open_cube(wide.build(tmp_path / "cube.zarr").path)
    plain.assert_holds(cube, wide)
    assert {*FURTHER, "slope", "twi"} <= set(cube.data_vars)
    units = {name: cube[name].attrs["units"] for name in ("dlst", "rain_3", "slope", "twi")}
    assert units == {"dlst": "K", "rain_3": "mm", "slope": "degree", "twi": "1"}
    assert np.isfinite(cube["twi"]).all()
    assert "7 days" in cube["rain_7"].attrs["long_name"]
