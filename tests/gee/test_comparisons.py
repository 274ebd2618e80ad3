"""Rain and uploaded products: units, what stands in for a missing band, values at places."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ee
import numpy as np
import pytest

from gee import catalog, comparisons, target
from gee.comparisons import PRODUCTS, RAINFALL
from gee.local.sources.dataset import RasterGrid
from gee.target import MOISTURE
from gee.timeseries import Calendar

GRID = RasterGrid("EPSG:4326", (0.01, 0, 117, 0, -0.01, 32), 4, 1)
DAYS = Calendar(dt.date(2019, 7, 1), dt.date(2019, 7, 3))
ASSET = "projects/someone/assets/product"


def row(*values: float) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.masked_invalid([values])


def by_day(earth: Any, images: ee.ImageCollection, band: str) -> list[list[float | None]]:
    listed = images.toList(len(DAYS))
    found = [earth.pixels(ee.Image(listed.get(number)), GRID)[band] for number in range(len(DAYS))]
    return [[None if value is None else pytest.approx(value) for value in one.tolist()[0]] for one in found]


def test_smci_is_stored_in_thousandths_with_codes_below_zero(earth: Any) -> None:
    earth.put(
        ASSET, GRID,
        [("2019-07-01", {"SMCI": row(312, -999, 0, 1001)}), ("2019-07-03", {"SMCI": row(1, 2, 3, np.nan)})],
    )  # fmt: skip
    found = by_day(earth, comparisons.moisture(PRODUCTS["smci"], ASSET, DAYS), MOISTURE)
    assert found == [[0.312, None, 0, None], [None] * 4, [0.001, 0.002, 0.003, None]]


def test_the_evening_fills_what_the_morning_lacks(earth: Any) -> None:
    morning, evening = row(0.2, np.nan, -9999, np.nan), row(0.3, 0.31, 0.32, -9999)
    earth.put(ASSET, GRID, [("2019-07-02", {"AM": morning, "PM": evening})])
    found = by_day(earth, comparisons.moisture(PRODUCTS["smap_dsm"], ASSET, DAYS), MOISTURE)
    assert found == [[None] * 4, [0.2, 0.31, 0.32, None], [None] * 4]


def test_numbers_that_no_soil_has_are_no_value_of_the_downscaled_smap(earth: Any) -> None:
    earth.put(ASSET, GRID, [("2019-07-02", {"AM": row(0, 1.01, -1, 1), "PM": row(0.3, 0.31, 0, 0.5)})])
    found = by_day(earth, comparisons.moisture(PRODUCTS["smap_dsm"], ASSET, DAYS), MOISTURE)
    assert found[1] == [0.3, 0.31, None, 1]


def test_several_images_of_a_day_are_averaged_and_a_users_scale_holds(earth: Any) -> None:
    earth.put(
        ASSET, GRID,
        [("2019-07-01T00:00", {"b1": row(10, 20, np.nan, -5)}),
         ("2019-07-01T21:00", {"b1": row(30, np.nan, 8, -5)}),
         ("2019-07-02T00:00", {"b1": row(0, 1, 2, 3)})],
    )  # fmt: skip
    product = comparisons.Product("mine", "Mine", ("b1",), 0.01, offset=0.1)
    found = by_day(earth, comparisons.moisture(product, ASSET, DAYS), MOISTURE)
    assert found == [[0.3, 0.3, 0.18, 0.05], [0.1, 0.11, 0.12, 0.13], [None] * 4]


def test_published_maps_are_of_the_day_that_they_say(earth: Any) -> None:
    days = [
        (f"2019-{before}T21:00", {"sm": row(day / 10, 0, 0, 0)}, {"date": f"2019-07-0{day}"})
        for day, before in ((1, "06-30"), (3, "07-02"), (4, "07-03"))
    ]
    earth.put(ASSET, GRID, days)
    images = comparisons.published(ASSET, DAYS)
    listed = images.toList(5)
    assert earth.value(images.size()) == 2
    for number, day in enumerate((1, 3)):
        image = ee.Image(listed.get(number))
        assert earth.value(image.date().format("YYYY-MM-dd HH")) == f"2019-07-0{day} 00"
        assert earth.pixels(image, GRID)["sm"][0, 0] == pytest.approx(day / 10)


def test_values_at_places_are_those_of_the_pixel_under_them(earth: Any) -> None:
    earth.put(
        ASSET, GRID,
        [(f"2019-07-0{day}", {"SMCI": row(100 * day, 100 * day + 1, np.nan, 0)}) for day in (1, 2, 3)],
    )  # fmt: skip
    spots = {"a": 117.0051, "b": 117.0199, "c": 117.025, "outside": 118}
    places = ee.FeatureCollection(
        [ee.Feature(ee.Geometry.Point([lon, 31.995]), {"station": name}) for name, lon in spots.items()]
    )
    images = comparisons.moisture(PRODUCTS["smci"], ASSET, DAYS)
    table = comparisons.at_places(images, places, [MOISTURE], ["station"])
    rows = [feature["properties"] for feature in earth.value(table)["features"]]
    values = {(one["date"], one["station"]): one.get(MOISTURE) for one in rows}
    assert set(values) == {(f"2019-07-0{day}", name) for day in (1, 2, 3) for name in spots}
    for day in (1, 2, 3):
        date = f"2019-07-0{day}"
        assert values[date, "a"] == pytest.approx(0.1 * day)
        assert values[date, "b"] == pytest.approx(0.1 * day + 0.001)
        assert values[date, "c"] is values[date, "outside"] is None


def test_rain_is_that_of_the_simulated_chirps(earth: Any) -> None:
    raw = ee.ImageCollection("UCSB-CHG/CHIRPS/DAILY").filterDate("2019-07-02", "2019-07-03").first()
    grid = RasterGrid("EPSG:4326", (0.05, 0, 117, 0, -0.05, 32), 6, 6)
    expected = earth.pixels(raw, grid)["precipitation"]
    day = ee.Image(comparisons.rain(DAYS).toList(3).get(1))
    assert earth.value(day.get("system:index")) == "20190702"
    np.testing.assert_array_equal(earth.pixels(day, grid)[RAINFALL], expected)
    assert expected.max() > 0


def test_the_truth_is_told_by_the_local_engine_and_smap_follows_it(earth: Any) -> None:
    grid = RasterGrid("EPSG:6933", (1000.89502334956, 0, 11_285_000, 0, -1000.89502334956, 3_900_000), 27, 27)
    listed = comparisons.truth(DAYS).toList(3)
    for number in range(3):
        truth = earth.pixels(ee.Image(listed.get(number)), grid)[MOISTURE]
        raw = ee.ImageCollection("simulated/truth/soil_moisture_1km").filterDate(f"2019-07-0{number + 1}")
        np.testing.assert_array_equal(truth, earth.pixels(ee.Image(raw.first()), grid)["sm"])
    blocky = ee.Image(comparisons.smap(DAYS, catalog.SMAP, target.MORNING).toList(3).get(1))
    smooth = ee.Image(comparisons.smap(DAYS, catalog.SMAP, target.MORNING, bilinear=True).toList(3).get(1))
    fine = RasterGrid("EPSG:4326", (0.01, 0, 116.0, 0, -0.01, 32.5), 60, 60)
    steps = [np.abs(np.diff(earth.pixels(day, fine)[MOISTURE], axis=1)) for day in (blocky, smooth)]
    assert np.mean(steps[0] == 0) > 0.8  # nine in ten neighbours share a SMAP pixel
    assert np.mean(steps[1] == 0) < 0.1
    assert steps[1].max() < steps[0].max()
