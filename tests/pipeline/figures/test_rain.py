"""Figures of rain and of triple collocation: what is drawn stands at its value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pipeline.figures import triple
from pipeline.figures.rain import SERIES_DAYS, Panel, composite, product_colours, series
from pipeline.tables.titles import TITLES

NAMES = {"insitu": "In situ", "sm": "Downscaled", "smap": "SMAP"}


def panel(days: int, events: list[int]) -> Panel:
    dates = pd.date_range("2019-01-01", periods=days)
    values = {name: np.linspace(0.1, 0.4, days) + place / 10 for place, name in enumerate(NAMES)}
    values["sm"][3] = np.nan
    spans = tuple((dates[start], dates[start + 1]) for start in events)
    return Panel("S1", dates, values, np.where(np.arange(days) % 9 == 0, 12.0, np.nan), spans)


def test_the_composite_draws_each_mean_and_quartile() -> None:
    days = list(range(-5, 16))
    courses = {
        name: {"mean": [place + day / 100 for day in days], "q25": [0.0] * 21, "q75": [1.0 + place] * 21}
        for place, name in enumerate(NAMES)
    }
    course = {"days": days, "n": [7, 9] + [8] * 19, "rain": [float(day + 5) for day in days]}
    figure = composite({**course, "products": courses}, NAMES, simulated=True)
    rain, means, downscaled, _ = figure.axes
    assert [bar.get_height() for bar in rain.patches] == course["rain"]
    drawn = {line.get_label(): list(line.get_ydata()) for line in means.lines if len(line.get_xdata()) == 21}
    assert drawn == {title: courses[name]["mean"] for name, title in NAMES.items()}
    tops = sorted(band.get_paths()[0].vertices[:, 1].max() for band in downscaled.collections)
    assert tops == [1.0, 2.0]  # the probe's and the product's
    assert "7 to 9 events" in figure._suptitle.get_text()
    assert figure._suptitle.get_text().startswith("SIMULATED DATA")


def test_the_series_draws_every_value_rain_and_events() -> None:
    shown = panel(60, [9, 27])
    figure = series([shown], NAMES)
    axes = next(one for one in figure.axes if one.get_ylabel().startswith("SM"))
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    for name, title in NAMES.items():
        np.testing.assert_array_equal(drawn[title], shown.series[name])
    above = next(one for one in figure.axes if one.get_ylabel().startswith("Rain"))
    assert [bar.get_height() for bar in above.patches] == np.nan_to_num(shown.rain).tolist()
    assert above.get_ylim()[0] > above.get_ylim()[1]  # from above
    assert len(axes.patches) == 2
    assert "2 events" in axes.get_title(loc="left")
    both = series([shown], {**NAMES, "smci": "SMCI1.0"})
    assert sum(one.get_ylabel().startswith("SM") for one in both.axes) == 1
    assert len(both.axes) == 4


@pytest.mark.parametrize(("events", "holds"), [([5, 400, 410, 420], [400, 410, 420]), ([], [])])
def test_a_long_series_is_drawn_where_most_events_are(events: list[int], holds: list[int]) -> None:
    shown = panel(700, events)
    window = shown.window()
    assert window.stop - window.start == SERIES_DAYS
    assert [start for start in events if window.start <= start < window.stop] == holds


def test_every_known_product_has_a_colour_of_its_own() -> None:
    names = {**TITLES, "insitu": "In situ", "own": "own"}
    colours = [to_hex(colour) for colour in product_colours(names).values()]
    assert len(set(colours)) == len(colours) == len(names)
    alone = product_colours({"smci": "SMCI1.0"})
    assert alone["smci"] == product_colours(names)["smci"]


def test_triple_collocation_draws_stations_that_have_all_errors() -> None:
    rows = [
        {
            "station": station, "product": product, "error": error, "error_lower": 0.01, "error_upper": 0.05,
            "snr_db": 5.0, "snr_db_lower": 1.0, "snr_db_upper": np.inf, "r": 0.8, "r_lower": 0.7,
            "r_upper": 0.9,
        }
        for station, errors in {"a": (0.02, 0.03, 0.04), "b": (0.02, np.nan, 0.04)}.items()
        for product, error in zip(("insitu", "sm", "smci"), errors, strict=True)
    ]  # fmt: skip
    rows[0]["snr_db_upper"] = 9.0
    figure = triple.errors(rows, {"insitu": "In situ", "sm": "Downscaled", "smci": "SMCI1.0"})
    dots = [axes.collections for axes in figure.axes]
    found = [part.get_offsets()[:, 1].tolist() for part in dots[0] if len(part.get_offsets())]
    assert [values for values in found if values != [0.0]] == [[0.02], [0.03], [0.04]]
    assert "collocation at 1 station\n" in figure._suptitle.get_text()
