"""Rain at stations: CHIRPS of the local engine, asked in parts, beside the very pixels of its images."""

from __future__ import annotations

import datetime as dt

import ee
import numpy as np
import pandas as pd
import pytest

from gee.connection import connect
from gee.local.rest.process import Child
from gee.timeseries import Calendar
from pipeline.errors import DataError, EngineError
from pipeline.scores import rainfall
from pipeline.scores.rainfall import rain_at
from tests.pipeline.faulty_engine import Fault, proxy_before

DAYS = Calendar(dt.date(2019, 6, 29), dt.date(2019, 7, 2))
PLACES = pd.DataFrame(
    {
        "station": ["plain", "007", "at sea", "nowhere", "far north", "plain"],
        "lon": [116.33, 117.4112, 130.0, np.nan, 10.0, 116.33],
        "lat": [33.01, 30.2071, 20.0, 31.0, 60.0, 33.01],
    }
)


@pytest.fixture(scope="module")
def found(client: Child) -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rainfall, "ROWS", 5)  # two places on two days a request
        patch.setattr(rainfall, "PLACES", 2)
        told: list[float] = []
        rows = rain_at(PLACES, DAYS, lambda what, share: told.append(share))
    assert told == sorted(told)
    assert len(told) == 2 * 2
    assert told[-1] == 1
    return rows


def test_there_is_a_row_for_each_place_and_day(found: pd.DataFrame) -> None:
    assert list(found.columns) == ["station", "date", "rain", "simulated"]
    assert found.groupby("station").size().to_dict() == {"007": 4, "at sea": 4, "far north": 4, "plain": 4}
    assert found["date"].min() == pd.Timestamp("2019-06-29")
    assert found["date"].max() == pd.Timestamp("2019-07-02")
    assert found["simulated"].all()


def test_values_are_those_of_the_pixel_that_holds_the_place(found: pd.DataFrame, client: Child) -> None:
    wet = 0
    for station, lon, lat in (("plain", 116.33, 33.01), ("007", 117.4112, 30.2071)):
        column, row = int((lon + 180) // 0.05), int((50 - lat) // 0.05)
        grid = {
            "dimensions": {"width": 1, "height": 1},
            "affineTransform": {
                "scaleX": 0.05, "shearX": 0, "translateX": -180 + 0.05 * column, "shearY": 0, "scaleY": -0.05,
                "translateY": 50 - 0.05 * row,
            },
            "crsCode": "EPSG:4326",
        }  # fmt: skip
        own = found[found["station"] == station].set_index("date")["rain"]
        for day in DAYS.days:
            image = ee.Image(ee.ImageCollection("UCSB-CHG/CHIRPS/DAILY").filterDate(str(day)).first()).select(
                ["precipitation"]
            )
            request = {"expression": image, "fileFormat": "NUMPY_NDARRAY", "grid": grid}
            value = float(ee.data.computePixels(request)["precipitation"][0, 0])
            assert own[pd.Timestamp(day)] == pytest.approx(value, abs=1e-4)
            wet += value > 1
    assert wet > 0


def test_rain_over_the_sea_and_beyond_50_degrees_is_unknown(found: pd.DataFrame) -> None:
    for station in ("at sea", "far north"):
        assert found[found["station"] == station]["rain"].isna().all()
    assert found[found["station"].isin(["plain", "007"])]["rain"].notna().all()


def test_without_coordinates_nothing_is_asked() -> None:
    with pytest.raises(DataError, match="no station has lon and lat"):
        rain_at(PLACES.assign(lat=np.nan), DAYS)


def test_a_refusal_is_told_as_the_engines(client: Child) -> None:
    with proxy_before(client.address.url) as proxy:
        try:
            connect(proxy.url, "my-project")
            ee.data.setMaxRetries(0)  # the client's own patience takes minutes
            proxy.inject(Fault("value:compute", status=400, message="User memory limit exceeded.", skip=1))
            with pytest.raises(EngineError, match="User memory limit exceeded"):
                rain_at(PLACES, DAYS)
            assert proxy.unused == []
        finally:
            connect(client.address.url, "my-project")
