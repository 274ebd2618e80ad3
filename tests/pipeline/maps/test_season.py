"""A place on the circle of the year is computed for maps as it is for tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from models.gridded import DAILY, MOVING, STILL
from pipeline.maps.blocks import Features
from pipeline.study import Study


def test_season_wetness_and_rain_come_from_the_cube_and_its_days() -> None:
    names = ("rain_3", "twi", "doy_sin", "doy_cos", "doy")
    cube = xr.Dataset(
        {"rain_3": (("time", "y", "x"), np.ones((2, 1, 3))), "twi": (("y", "x"), np.ones((1, 3)))}
    )
    card: Any = SimpleNamespace(features=names, predictors=[])
    study = Study.model_validate({"name": "x", "predictors": {"use": names}})
    features = Features(card, study, cube)
    assert features.variables == ("rain_3", "twi")
    assert features.kinds == [MOVING, STILL, DAILY, DAILY, DAILY]
    days = np.array([[91.0], [274.0]], np.float32)
    raw = {"doy": days, "rain_3": np.ones((2, 3), np.float32), "twi": np.ones((1, 3), np.float32)}
    _, _, sine, cosine, doy = features.values(raw)
    np.testing.assert_allclose(sine, np.sin(2 * np.pi * days / 365.25), atol=1e-6)
    np.testing.assert_allclose(cosine, np.cos(2 * np.pi * days / 365.25), atol=1e-6)
    np.testing.assert_array_equal(doy, days)
