"""Cadences of the MODIS products, and the best look through the clouds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from gee.local.sources.catalogue import DATASETS
from gee.local.sources.modis import best_view, packed
from gee.local.sources.nature import weather

EIGHT_DAILY = ("MODIS/061/MOD09A1", "MODIS/061/MOD15A2H")
DAILY = ("MODIS/061/MOD11A1", "MODIS/061/MCD43A3")


@pytest.mark.parametrize("asset", EIGHT_DAILY)
def test_composites_restart_on_the_first_of_january(asset: str) -> None:
    scenes = DATASETS[asset].scenes()
    expected = [date(y, 1, 1) + timedelta(8 * n) for y in range(2015, 2026) for n in range(46)]
    assert [scene.index for scene in scenes] == [day.strftime("%Y_%m_%d") for day in expected]
    assert {"2019_03_22", "2019_03_30", "2019_04_07", "2019_10_24", "2019_11_01"} <= {s.index for s in scenes}
    lengths = {
        scene.index[5:]: (scene.end - scene.start) // 86_400_000 for scene in scenes if scene.index < "2017"
    }
    assert lengths["12_27"] == 5 and lengths["12_26"] == 6  # 2015 and the leap year 2016
    assert set(lengths.values()) == {5, 6, 8}
    starts = [datetime.fromtimestamp(scene.start / 1000, UTC).date() for scene in scenes]
    assert starts == expected


@pytest.mark.parametrize("asset", DAILY)
def test_daily_products_have_every_day(asset: str) -> None:
    scenes = DATASETS[asset].scenes()
    assert len(scenes) == (date(2026, 1, 1) - date(2015, 1, 1)).days
    assert scenes[59].index == "2015_03_01"


def test_land_cover_has_every_year() -> None:
    assert [s.index for s in DATASETS["MODIS/061/MCD12Q1"].scenes()] == [
        f"{y}_01_01" for y in range(2015, 2026)
    ]


def test_packed_words() -> None:
    word = packed(((0, np.array([0, 3])), (2, np.array([True, False])), (13, 1)))
    assert word.tolist() == [0b10000000000100, 0b10000000000011]


def test_the_best_look_is_a_clear_one_wherever_there_is_one() -> None:
    lon, lat = np.meshgrid(np.linspace(116, 118, 40), np.linspace(31, 33, 40))
    days = range(18_070, 18_078)
    sky = best_view(lon, lat, days)
    clouds = np.stack([weather.cloudy(lon, lat, day, 10.5) for day in days])
    np.testing.assert_array_equal(sky.cloudy, clouds.all(0))
    chosen = np.take_along_axis(clouds, (sky.day - days.start)[None], 0)[0]
    np.testing.assert_array_equal(sky.cloudy, chosen)
    assert not (sky.cloudy & sky.shaded).any()
