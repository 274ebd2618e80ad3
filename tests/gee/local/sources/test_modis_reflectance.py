"""MOD09A1: words that decode by the guide, dates within the period, spectra that answer to the ground."""

from __future__ import annotations

import numpy as np
import pytest

from gee.local.sources import modis_reflectance
from gee.local.sources.catalogue import DATASETS
from gee.local.sources.dataset import Window
from gee.local.sources.nature import landcover

MOD09A1 = DATASETS["MODIS/061/MOD09A1"]
BANDS = tuple(f"sur_refl_b0{n}" for n in range(1, 8))

# First bit, number of bits, values that may occur; from the fact sheet of the catalogue.
STATE = {
    "cloud": (0, 2, {0, 1, 2, 3}),
    "shadow": (2, 1, {0, 1}),
    "land_water": (3, 3, set(range(8))),
    "aerosol": (6, 2, {0, 1, 2, 3}),
    "cirrus": (8, 2, {0, 1, 2, 3}),
    "internal_cloud": (10, 1, {0, 1}),
    "internal_fire": (11, 1, {0}),
    "snow": (12, 1, {0}),
    "adjacent": (13, 1, {0, 1}),
    "unused": (14, 1, {0}),
    "internal_snow": (15, 1, {0}),
}
QA = {
    "modland": (0, 2, {0, 1}),
    **{f"band{n}": (2 + 4 * (n - 1), 4, {0, 7} if n == 5 else {0}) for n in range(1, 8)},
    "corrected": (30, 1, {1}),
    "adjacency": (31, 1, {0}),
}


def decoded(words: np.ndarray, table: dict[str, tuple[int, int, set[int]]]) -> dict[str, np.ndarray]:
    """Fields read from the binary digits of each word, the last digit being bit 0."""
    digits = np.array([list(f"{int(word):032b}"[::-1]) for word in words.ravel()]).astype(int)
    fields = {}
    for name, (first, count, allowed) in table.items():
        value = sum(digits[:, first + k] * 2**k for k in range(count))
        assert set(np.unique(value).tolist()) <= allowed, name
        fields[name] = value.reshape(words.shape)
    assert not digits[:, sum(count for _, count, _ in table.values()) :].any()
    return fields


@pytest.fixture(scope="module")
def meiyu(around) -> dict[str, np.ndarray]:
    """Pixels of a composite in the rainy season with all kinds of cloud."""
    names = (*BANDS, "QA", "StateQA", "DayOfYear", "SolarZenith", "ViewZenith")
    pieces = []
    for index in ("2019_06_18", "2019_06_26", "2019_05_09"):
        scene = MOD09A1.scene(index)
        read = scene.read(names, around(scene.grid, 60, 117.6, 31.6))
        assert all(valid.all() for _, valid in read)
        pieces.append(np.stack([values.astype(float) for values, _ in read]))
    return dict(zip(names, np.concatenate(pieces, axis=1), strict=True))


def test_cloudy_pixels_are_flagged_and_bright(meiyu: dict[str, np.ndarray]) -> None:
    state, quality = decoded(meiyu["StateQA"], STATE), decoded(meiyu["QA"], QA)
    cloudy, clear = (
        state["cloud"] == 1,
        (state["cloud"] == 0) & (state["adjacent"] == 0) & (state["shadow"] == 0),
    )
    assert cloudy.any() and clear.any()
    assert (state["internal_cloud"][cloudy] == 1).all()
    assert (quality["modland"][cloudy] == 1).all()
    assert np.median(meiyu["sur_refl_b03"][cloudy]) > 4 * np.median(meiyu["sur_refl_b03"][clear])
    assert not ((state["shadow"] == 1) & cloudy).any()
    land = state["land_water"] == 1
    shaded = (state["shadow"] == 1) & land
    assert shaded.any()
    nir = meiyu["sur_refl_b02"]
    assert np.median(nir[shaded]) < 0.7 * np.median(nir[clear & land])


def test_water_is_told_from_land_as_in_the_land_cover(meiyu: dict[str, np.ndarray], around) -> None:
    scene = MOD09A1.scene("2019_05_09")
    window = around(scene.grid, 60, 117.6, 31.6)
    ((words, _),) = scene.read(("StateQA",), window)
    ((codes, _),) = DATASETS["MODIS/061/MCD12Q1"].scene("2019_01_01").read(("LC_Type5",), window)
    land_water = decoded(words, STATE)["land_water"]
    np.testing.assert_array_equal(land_water == 1, codes != landcover.WATER)
    assert set(np.unique(land_water[codes == landcover.WATER]).tolist()) <= {3, 5}  # Chaohu is inland water


@pytest.mark.parametrize(
    ("index", "first", "last"), [("2019_06_18", 169, 176), ("2019_12_27", 361, 365), ("2016_12_26", 361, 366)]
)
def test_day_of_year_lies_within_the_period(index: str, first: int, last: int, around) -> None:
    scene = MOD09A1.scene(index)
    ((days, valid),) = scene.read(("DayOfYear",), around(scene.grid, 80))
    assert first <= days[valid].min() <= days[valid].max() <= last


def test_angles_are_plausible_for_a_morning_in_june(meiyu: dict[str, np.ndarray]) -> None:
    assert meiyu["SolarZenith"].min() > 800 and meiyu["SolarZenith"].max() < 4500
    assert meiyu["ViewZenith"].min() >= 0 and meiyu["ViewZenith"].max() < 6700
    assert len(np.unique(meiyu["DayOfYear"])) > 3  # neighbours may be days apart


def clear_reflectance(around, monkeypatch, moist: float) -> np.ndarray:
    monkeypatch.setattr(
        modis_reflectance.moisture,
        "soil_moisture",
        lambda lon, lat, day: np.full(lon.shape, moist, np.float32),
    )
    scene = MOD09A1.scene("2019_06_10")
    window: Window = around(scene.grid, 40, 116.9, 33.2)  # between wheat and maize
    read = scene.read((*BANDS, "StateQA"), window)
    state = decoded(read[-1][0], STATE)
    clear = (state["cloud"] == 0) & (state["shadow"] == 0) & (state["land_water"] == 1)
    return np.array([values[clear].mean() for values, _ in read[:7]]) * 1e-4


def test_wet_soil_is_darker_most_of_all_in_the_short_wave_infrared(around, monkeypatch) -> None:
    dry, wet = (clear_reflectance(around, monkeypatch, moist) for moist in (0.12, 0.38))
    assert (wet < dry).all()
    assert (wet / dry)[6] < (wet / dry)[0]
    nsdsi = [(s[5] - s[6]) / s[5] for s in (dry, wet)]
    assert nsdsi[1] > nsdsi[0]


def test_greenness_of_forest_and_water(around) -> None:
    scene = MOD09A1.scene("2019_08_05")
    for (lon, lat), low, high in (((118.15, 30.15), 0.7, 0.97), ((117.55, 31.55), -1.0, 0.1)):
        (red, _), (nir, _), (words, _) = scene.read(
            (BANDS[0], BANDS[1], "StateQA"), around(scene.grid, 14, lon, lat)
        )
        clear = decoded(words, STATE)["cloud"] == 0
        ndvi = (nir.astype(float) - red) / np.maximum(nir.astype(float) + red, 1)
        assert low < np.median(ndvi[clear]) < high
