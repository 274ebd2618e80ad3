"""Indices against their formulas on hand-made pixels and NASA's own values at real sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ee
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gee import indices
from gee.local.sources.dataset import RasterGrid

NAMES = ("red", "nir", "blue", "green", "swir1", "swir2")
GRID = RasterGrid("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0), 6, 1)


def grid_of(count: int) -> RasterGrid:
    return RasterGrid(GRID.crs, GRID.transform, count, 1)


def row(values: Any) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.masked_invalid(np.asarray(values, np.float64))[None, :]


def computed(earth: Any, guarded: bool, **bands: Any) -> dict[str, np.ma.MaskedArray[Any, Any]]:
    count = len(next(iter(bands.values())))
    everything = {name: row(bands.get(name, np.full(count, 0.1))) for name in NAMES}
    name = f"made/reflectance{len(earth.datasets)}"  # a new one each time: the engine remembers pixels by id
    earth.put_image(name, grid_of(count), everything)
    found = earth.pixels(indices.indices(ee.Image(name), guarded), grid_of(count))
    return {name: values[0] for name, values in found.items()}


def test_each_index_by_hand(earth: Any) -> None:
    # Healthy crop: red 0.05, nir 0.45, blue 0.04, green 0.08, swir1 0.25, swir2 0.1.
    found = computed(
        earth, True, red=[0.05], nir=[0.45], blue=[0.04], green=[0.08], swir1=[0.25], swir2=[0.1]
    )
    assert list(found) == ["ndvi", "ndwi", "nsdsi", "evi"]
    assert found["ndvi"][0] == pytest.approx(0.8)
    assert found["ndwi"][0] == pytest.approx(-0.37 / 0.53)
    assert found["nsdsi"][0] == pytest.approx(0.6)
    assert found["evi"][0] == pytest.approx(1.0 / 1.45)


@pytest.mark.parametrize(
    ("index", "bands"),
    [
        ("ndvi", {"red": [0.02], "nir": [-0.02]}),
        ("ndvi", {"red": [0.01], "nir": [-0.02]}),
        ("ndwi", {"green": [-0.05], "nir": [0.01]}),
        ("nsdsi", {"swir1": [0.0], "swir2": [0.1]}),
        ("nsdsi", {"swir1": [-0.01], "swir2": [0.1]}),
        ("evi", {"nir": [0.5], "red": [0.0], "blue": [0.2]}),  # 0.5 - 1.5 + 1 = 0
        ("evi", {"nir": [0.1], "red": [0.1], "blue": [0.5]}),  # below zero
    ],
)
def test_a_denominator_that_is_not_above_zero_masks(
    earth: Any, index: str, bands: dict[str, list[float]]
) -> None:
    assert computed(earth, True, **bands)[index].mask.all()
    assert not computed(earth, False, **bands)[index].mask.any()


def test_guarded_indices_stay_in_their_ranges(earth: Any) -> None:
    # NDVI 1.2/0.8 = 1.5; EVI 2.5 * 0.7 / (0.8 + 0.6 - 1.5 + 1) = 1.944; NSDSI (0.02 - 0.4) / 0.02 = -19.
    bright = {"red": [-0.2, 0.1], "nir": [1.0, 0.8], "blue": [0.1, 0.2], "swir1": [0.1, 0.02]}
    bright["swir2"] = [0.1, 0.4]
    found, printed = computed(earth, True, **bright), computed(earth, False, **bright)
    assert printed["ndvi"][0] == pytest.approx(1.5)
    assert found["ndvi"][0] == 1.0
    assert printed["evi"][1] == pytest.approx(1.75 / 0.9)
    assert found["evi"][1] == 1.5
    assert printed["nsdsi"][1] == pytest.approx(-19)
    assert found["nsdsi"][1] == -1.0


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ("red", {"ndvi", "evi"}),
        ("nir", {"ndvi", "evi", "ndwi"}),
        ("blue", {"evi"}),
        ("green", {"ndwi"}),
        ("swir1", {"nsdsi"}),
        ("swir2", {"nsdsi"}),
    ],
)
def test_a_missing_band_takes_only_the_indices_that_need_it(earth: Any, missing: str, gone: set[str]) -> None:
    found = computed(earth, True, **{missing: [np.nan]})
    assert {name for name, values in found.items() if values.mask.all()} == gone


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.floats(-0.1, 1.6)] * 6), min_size=1, max_size=8))
def test_any_reflectance_gives_numpy_values_within_range_or_none(
    earth: Any, pixels: list[tuple[float, ...]]
) -> None:
    red, nir, blue, green, swir1, swir2 = np.array(pixels, np.float64).T
    bands = dict(zip(NAMES, (red, nir, blue, green, swir1, swir2), strict=True))
    found = computed(earth, True, **bands)
    ratios = {
        "ndvi": (nir - red, nir + red),
        "ndwi": (green - nir, green + nir),
        "nsdsi": (swir1 - swir2, swir1),
        "evi": (2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1),
    }
    for name, (above, below) in ratios.items():
        sure = np.abs(below) > 1e-9
        with np.errstate(all="ignore"):
            wanted = np.clip(above / below, -1, 1.5 if name == "evi" else 1)
        assert np.array_equal(found[name].mask[sure], (below <= 0)[sure])
        kept = sure & (below > 0)
        assert np.allclose(found[name][kept], wanted[kept], rtol=1e-6, atol=1e-9)


def test_real_sites_give_the_indices_that_nasa_published(earth: Any, shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "mod13a1-sites" / "MOD13A1_sites.csv").dropna(
        subset=["NDVI", "EVI", "sur_refl_b01", "sur_refl_b02", "sur_refl_b03"]
    )
    assert len(table) > 4_000
    # MOD13 and MOD09 number the bands alike for red (1), near infrared (2) and blue (3).
    found = computed(
        earth,
        True,
        red=table["sur_refl_b01"].to_numpy() * 1e-4,
        nir=table["sur_refl_b02"].to_numpy() * 1e-4,
        blue=table["sur_refl_b03"].to_numpy() * 1e-4,
    )
    # Published as integers of 1e-4, cut rather than rounded in places: one unit is the best that can be had.
    ndvi = np.ma.filled(found["ndvi"], np.nan)
    assert (np.abs(ndvi - table["NDVI"].to_numpy() * 1e-4) <= 1.01e-4).all()
    clear = (table["SummaryQA"] == 0).to_numpy()
    evi = np.ma.filled(found["evi"], np.nan)
    # Over snow and cloud the product uses a two-band EVI instead; where it is clear it is this formula.
    off = np.abs(evi - table["EVI"].to_numpy() * 1e-4)[clear]
    assert clear.sum() > 2_000
    assert (off <= 1.01e-4).all()
