"""MOD11A1: holes where clouds are, as many as in nature, and QC words that mean what the guide says."""

from __future__ import annotations

import numpy as np
import pytest

from gee.local.sources import modis_temperature
from gee.local.sources.catalogue import DATASETS
from gee.local.sources.dataset import Window
from gee.local.sources.nature import moisture, weather

MOD11A1 = DATASETS["MODIS/061/MOD11A1"]


def fields(words: np.ndarray) -> dict[str, np.ndarray]:
    """Four two-bit fields by division, as tables 13 and 14 of the user guide list them."""
    words = words.astype(int)
    return {name: words // 4**k % 4 for k, name in enumerate(("mandatory", "data", "emissivity", "error"))}


def scattered(names: tuple[str, ...], months: tuple[str, ...], around) -> tuple[list, list]:
    values, valids = [], []
    for scene in (s for s in MOD11A1.scenes() if s.index[:4] == "2019" and s.index[5:7] in months):
        for lon, lat in ((116.2, 33.5), (117.3, 31.9), (118.3, 30.2)):
            read = scene.read(names, around(scene.grid, 5, lon, lat))
            values.append([v for v, _ in read])
            valids.append([m for _, m in read])
    return values, valids


@pytest.mark.parametrize(("months", "low", "high"), [(("06", "07"), 0.55, 0.80), (("10",), 0.30, 0.60)])
def test_share_of_missing_days(months: tuple[str, ...], low: float, high: float, around) -> None:
    _, valids = scattered(("LST_Day_1km",), months, around)
    assert low < 1 - np.mean(valids) < high


def test_a_value_exists_where_the_word_says_so(around) -> None:
    for index in ("2019_05_09", "2019_05_10", "2019_10_05", "2019_07_02"):
        scene = MOD11A1.scene(index)
        for part in ("Day", "Night"):
            names = (f"LST_{part}_1km", f"QC_{part}", f"{part}_view_time", f"{part}_view_angle")
            (lst, valid), (words, worded), (time, _), (angle, _) = scene.read(names, around(scene.grid, 60))
            bits = fields(words)
            assert worded.all()
            np.testing.assert_array_equal(valid, bits["mandatory"] <= 1)
            assert set(np.unique(words[~valid]).tolist()) <= {2, 3}
            good = bits["mandatory"] == 0
            assert not words[good].any()
            assert (bits["data"][bits["mandatory"] == 1] == 1).all()
            if valid.any():
                kelvin = lst[valid] * 0.02
                assert kelvin.min() > 250 and kelvin.max() < 335
                assert np.abs(time[valid] * 0.1 - (10.8 if part == "Day" else 22.2)).max() < 1.6
                assert np.abs(angle[valid].astype(int) - 65).max() <= 65


def test_holes_are_the_clouds_of_the_nature_run(around) -> None:
    scene = MOD11A1.scene("2019_05_09")
    window: Window = around(scene.grid, 60)
    (words, _), (_, valid) = scene.read(("QC_Day", "LST_Day_1km"), window)
    x, y = scene.grid.centres(window)
    lat = np.degrees(y / 6371007.181)
    lon = np.degrees(x / (6371007.181 * np.cos(np.radians(lat))))
    cloudy = weather.cloudy(lon, lat, scene.start // 86_400_000, 10.5)
    np.testing.assert_array_equal(~valid, cloudy)
    np.testing.assert_array_equal(words == 2, cloudy)


def test_temperature_errs_as_much_as_its_error_class_allows(around, monkeypatch) -> None:
    monkeypatch.setattr(
        modis_temperature.moisture,
        "surface_temperature",
        lambda lon, lat, day, hour, *known: np.full(lon.shape, 20.0, np.float32),
    )
    errors, classes = [], []
    for index in ("2019_05_09", "2019_10_05", "2019_10_20", "2019_04_12"):
        scene = MOD11A1.scene(index)
        (lst, valid), (words, _) = scene.read(("LST_Day_1km", "QC_Day"), around(scene.grid, 120))
        errors.append((lst * 0.02 - 293.15)[valid])
        classes.append(fields(words)["error"][valid])
    error, of_class = np.concatenate(errors), np.concatenate(classes)
    spread = [np.sqrt(np.mean(error[of_class == k] ** 2)) for k in range(3)]
    assert spread[0] < 1.0 < spread[1] < 2.1 < spread[2] < 3.2
    assert abs(error[of_class == 0].mean()) < 0.1


def test_clear_pixels_have_the_temperature_of_the_ground(around) -> None:
    scene = MOD11A1.scene("2019_10_05")
    window = around(scene.grid, 60)
    (lst, valid), (words, _), (time, _) = scene.read(("LST_Day_1km", "QC_Day", "Day_view_time"), window)
    good = valid & (words == 0)
    x, y = scene.grid.centres(window)
    lat = np.degrees(y / 6371007.181)
    lon = np.degrees(x / (6371007.181 * np.cos(np.radians(lat))))
    hour = float(np.median(time[good])) / 10
    true = moisture.surface_temperature(lon, lat, scene.start // 86_400_000, hour)
    assert good.any()
    assert np.sqrt(np.mean((lst[good] * 0.02 - 273.15 - true[good]) ** 2)) < 1.0
