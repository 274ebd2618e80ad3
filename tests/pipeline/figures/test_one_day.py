"""One day of a prediction, drawn: each panel holds the day's numbers; what there is none of is left out."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from pipeline.figures.one_day import OUTSIDE, Day, one_day

DATE = dt.date(2019, 6, 3)
SHAPE = (12, 15)


@pytest.fixture(scope="module")
def store() -> xr.Dataset:
    """Four days of a prediction, simulated; the third is the one to draw."""
    random = np.random.default_rng(0)
    series = (4, *SHAPE)
    model = random.uniform(0.2, 0.4, series)
    bands = {
        "sm": model + random.uniform(-0.02, 0.03, series), "sm_model": model,
        "sm_lower": model - 0.05, "sm_upper": model + random.uniform(0.02, 0.06, series),
        "di": random.uniform(0, 2, series), "aoa": (random.random(series) > 0.3).astype(float),
        "corrected": np.ones(series),
    }  # fmt: skip
    bands["sm"][2, 4, 4] = np.nan
    days = pd.date_range("2019-06-01", periods=4)
    return xr.Dataset(
        {name: (("time", "y", "x"), values.astype(np.float32)) for name, values in bands.items()},
        coords={"time": days},
    )


@pytest.fixture(scope="module")
def land() -> NDArray[np.bool_]:
    inside = np.ones(SHAPE, bool)
    inside[0], inside[5:7, 3] = False, False
    return inside


def drawn(store: xr.Dataset, land: NDArray[np.bool_], smap: bool = True, simulated: bool = False) -> Figure:
    cells = np.kron(np.array([[0.25, 0.3, 0.35], [0.2, 0.3, 0.4]]), np.ones((6, 5))) if smap else None
    codes = np.where(np.arange(SHAPE[1]) < 7, 1, 2) * np.ones(SHAPE, int)
    return one_day(Day.of(store, DATE, land, codes, cells, simulated=simulated))


def panels(figure: Figure) -> dict[str, list[AxesImage]]:
    """The images of each panel, the ground below first."""
    return {
        axes.get_title(loc="left"): axes.get_images() for axes in figure.axes if axes.get_title(loc="left")
    }


def test_each_panel_holds_the_numbers_of_the_day_on_the_land(store, land):
    found = panels(drawn(store, land))
    day = store.isel(time=2)
    model, sm = day["sm_model"].to_numpy(), day["sm"].to_numpy()
    wanted = {
        "(b) Stack": model, "(c) Corrected to SMAP": sm, "(d) Corrected less stack": sm - model,
        "(e) Width of the 90 % interval": (day["sm_upper"] - day["sm_lower"]).to_numpy(),
        "(f) Unlike the training samples": day["di"].to_numpy(),
    }  # fmt: skip
    assert list(found) == ["(a) SMAP L4", *wanted]
    for title, values in wanted.items():
        shown = np.ma.filled(found[title][1].get_array(), np.nan)
        np.testing.assert_allclose(
            shown, np.where(land, values, np.nan)[1:], atol=1e-6
        )  # the first row is none


def test_what_is_compared_shares_one_scale_and_the_correction_is_white_at_nothing(store, land):
    found = panels(drawn(store, land))
    scales = {
        (images[1].norm.vmin, images[1].norm.vmax) for title, images in found.items() if title[1] in "abc"
    }
    assert len(scales) == 1
    change = found["(d) Corrected less stack"][1].norm
    assert change.vmin == -change.vmax
    index = found["(f) Unlike the training samples"][1].norm
    day = store.isel(time=2)
    inside = day["di"].to_numpy()[(day["aoa"].to_numpy() == 1) & land]
    assert (index.vmin, index.vmax) == pytest.approx((0, np.percentile(inside, 98)))


def test_pixels_outside_the_area_of_applicability_are_marked_and_counted(store, land):
    figure = drawn(store, land)
    marked = panels(figure)["(f) Unlike the training samples"][2]
    outside = (store["aoa"].isel(time=2).to_numpy() == 0) & land
    np.testing.assert_array_equal(~np.ma.getmaskarray(marked.get_array()), outside[1:])
    assert marked.cmap(0.0) == to_rgba(OUTSIDE)
    [key] = figure.legends
    told = [text.get_text() for text in key.get_texts()]
    share = 100 * outside.sum() / land.sum()
    assert told == ["land without a value", f"outside the area of applicability ({share:.1f} % of the land)"]


@pytest.mark.parametrize(
    ("lacking", "smap", "titles"),
    [
        (["sm_model"], True, "SMAP L4|Stack|Width of the 90 % interval|Unlike the training samples"),
        (
            ["sm_upper"],
            True,
            "SMAP L4|Stack|Corrected to SMAP|Corrected less stack|Unlike the training samples",
        ),
        (["di"], False, "Stack|Corrected to SMAP|Corrected less stack|Width of the 90 % interval"),
        (["sm_model", "sm_lower", "sm_upper", "di", "aoa", "corrected"], False, "Stack"),
    ],
)
def test_what_a_prediction_does_not_have_is_left_out(store, land, lacking, smap, titles):
    figure = drawn(store.drop_vars(lacking), land, smap)
    assert [title[4:] for title in panels(figure)] == titles.split("|")
    visible = [axes for axes in figure.axes if axes.get_visible() and axes.get_title(loc="left")]
    assert len(visible) == len(titles.split("|"))
    moistures = sum(title in ("SMAP L4", "Stack", "Corrected to SMAP") for title in titles.split("|"))
    assert ("share their colours" in figure.get_suptitle()) == (moistures > 1)


def test_a_day_without_a_value_is_drawn_as_such_and_one_that_is_not_there_is_refused(store, land):
    empty = panels(drawn(store.where(False), land, smap=False))
    assert set(empty) >= {"(a) Stack"}
    assert all(images == [] for images in empty.values())
    with pytest.raises(KeyError):
        Day.of(store, dt.date(2020, 1, 1), land, land.astype(int), None, simulated=False)


@pytest.mark.parametrize("simulated", [True, False])
def test_the_day_is_named_and_simulated_data_are_marked(store, land, simulated):
    title = drawn(store, land, simulated=simulated).get_suptitle()
    assert "One day: 2019-06-03" in title
    assert title.startswith("SIMULATED DATA") == simulated
