"""MCD43A3: sixteen days around the label, inversions by the number of looks, broadband from the bands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gee.local.sources import modis_albedo
from gee.local.sources.catalogue import DATASETS

MCD43A3 = DATASETS["MODIS/061/MCD43A3"]
QUALITY = "BRDF_Albedo_Band_Mandatory_Quality_shortwave"


@pytest.fixture(autouse=True)
def forgotten_looks() -> Iterator[None]:
    """No test finds another's clouds in the cache."""
    modis_albedo._LOOKS.clear()
    yield
    modis_albedo._LOOKS.clear()


def with_clear_days(monkeypatch, clear: set[int]) -> None:
    modis_albedo._LOOKS.clear()
    monkeypatch.setattr(
        modis_albedo.weather, "cloudy", lambda lon, lat, day, hour: np.full(lon.shape, day not in clear)
    )
    monkeypatch.setattr(modis_albedo, "haze", lambda lon, lat, day: np.zeros(lon.shape))


def test_the_label_is_the_ninth_of_sixteen_days(around, monkeypatch) -> None:
    scene = MCD43A3.scene("2019_07_01")
    window = around(scene.grid, 6, 117.0, 33.0)
    day = scene.start // 86_400_000
    inside, outside = (
        set(range(day - 8, day + 8)),
        set(range(day - 20, day - 8)) | set(range(day + 8, day + 20)),
    )
    with_clear_days(monkeypatch, inside)
    assert (modis_albedo.clear_looks(window, day) == 32).all()  # Terra and Aqua
    with_clear_days(monkeypatch, outside)
    assert not modis_albedo.clear_looks(window, day).any()


def test_inversion_is_full_with_seven_looks_by_magnitude_with_two_and_masked_below(
    around, monkeypatch
) -> None:
    scene = MCD43A3.scene("2019_07_01")
    window = around(scene.grid, 6, 117.0, 33.0)
    day = scene.start // 86_400_000
    for days, expected in ((4, 0), (3, 1), (1, 1), (0, None)):  # two looks a day
        with_clear_days(monkeypatch, set(range(day, day + days)))
        (quality, valid), (_, albedo_valid) = scene.read((QUALITY, "Albedo_WSA_shortwave"), window)
        np.testing.assert_array_equal(valid, albedo_valid)
        assert valid.all() == (expected is not None)
        assert expected is None or (quality == expected).all()


def test_the_rainy_season_starves_full_inversions(around) -> None:
    def full(index: str) -> float:
        scene = MCD43A3.scene(index)
        ((quality, valid),) = scene.read((QUALITY,), around(scene.grid, 60))
        return float(np.mean((quality == 0) & valid))

    meiyu = np.mean([full(f"{year}_06_{day}") for year in range(2016, 2024) for day in (20, 30)])
    autumn = np.mean([full(f"{year}_10_15") for year in range(2016, 2024)])
    assert meiyu < 0.35 < 0.6 < autumn


def test_shortwave_is_liangs_sum_and_albedo_is_sane(around) -> None:
    scene = MCD43A3.scene("2019_10_15")
    names = (*(f"Albedo_WSA_Band{n}" for n in range(1, 8)), "Albedo_WSA_shortwave", "Albedo_BSA_shortwave")
    read = scene.read(names, around(scene.grid, 30, 117.0, 33.0))
    *bands, white, black = (values * 0.001 for values, _ in read)
    liang = (
        0.160 * bands[0]
        + 0.291 * bands[1]
        + 0.243 * bands[2]
        + 0.116 * bands[3]
        + 0.112 * bands[4]
        + 0.081 * bands[6]
    )
    valid = read[0][1]
    np.testing.assert_allclose(white[valid], (liang - 0.0015)[valid], atol=0.0015)
    assert white[valid].min() > 0.02 and white[valid].max() < 0.35  # ponds to dry fields
    assert 0.10 < np.median(white[valid]) < 0.20
    assert np.abs(black / white - 1)[valid].max() < 0.2


def test_a_day_looked_at_before_counts_as_much_as_one_looked_at_now(around) -> None:
    window = around(MCD43A3.scene("2019_07_01").grid, 70, 117.0, 33.0)
    first = 18_078
    one_after_another = [modis_albedo.clear_looks(window, first + each) for each in range(3)]
    for each, looks in enumerate(one_after_another):
        modis_albedo._LOOKS.clear()
        np.testing.assert_array_equal(modis_albedo.clear_looks(window, first + each), looks)
    assert (one_after_another[0] != one_after_another[2]).any()
