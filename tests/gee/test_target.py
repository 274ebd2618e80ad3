"""SMAP L4 of a day: bins, counts, outage and what the simulated catalogue's raster holds."""

from __future__ import annotations

import datetime as dt

import ee
import numpy as np
import pytest

from gee.catalog import SMAP, SMAP_007
from gee.cells import cell_table, ease_cells
from gee.grids import fine_grid
from gee.local.sources.dataset import RasterGrid
from gee.target import (
    MORNING,
    PAPER_UTC,
    SmapBin,
    in_outage,
    outage,
    smap_counts,
    smap_image,
    smap_series,
)
from gee.timeseries import Calendar

HERE = RasterGrid("EPSG:4326", (0.1, 0.0, 117.0, 0.0, -0.1, 32.0), 2, 2)
TWO_DAYS = Calendar(dt.date(2019, 4, 1), dt.date(2019, 4, 2))


def put(earth, times: dict[str, float], asset_id: str = SMAP.id) -> None:
    """SMAP with one image at each of the times, constant fields."""
    earth.put(
        asset_id, HERE, [(time, {"sm_surface": np.full((2, 2), value)}) for time, value in times.items()]
    )


def moisture(earth, image: ee.Image) -> float | None:
    values = earth.pixels(image, HERE)["sm"]
    return None if values.mask.all() else float(values[0, 0])


@pytest.mark.parametrize(
    ("window", "day", "start"),
    [
        (MORNING, dt.date(2019, 4, 1), "2019-03-31T21:00:00+00:00"),
        (PAPER_UTC, dt.date(2019, 4, 1), "2019-04-01T06:00:00+00:00"),
        (MORNING, dt.date(2020, 1, 1), "2019-12-31T21:00:00+00:00"),
        (SmapBin(0, 0, "8-11 in Beijing"), dt.date(2019, 4, 1), "2019-04-01T00:00:00+00:00"),
    ],
)
def test_when_a_bin_begins(window, day, start):
    assert window.start(day).isoformat() == start


def stamps(minutes: int) -> dict[str, float]:
    """The eight images of each of three days, stamped so many minutes after their bins begin."""
    first = dt.datetime(2019, 3, 31)
    return {
        (first + dt.timedelta(hours=3 * number, minutes=minutes)).isoformat(): 0.01 * number + 0.005
        for number in range(24)
    }


@pytest.mark.parametrize("minutes", [0, 90, 179])
def test_a_bin_holds_one_image_whether_stamped_at_its_start_or_its_middle(earth, minutes):
    put(earth, stamps(minutes))

    assert earth.value(smap_counts(TWO_DAYS, SMAP, MORNING)) == [1, 1]
    assert earth.value(smap_counts(TWO_DAYS, SMAP, PAPER_UTC)) == [1, 1]
    day = ee.Date("2019-04-01")
    assert moisture(earth, smap_image(day, SMAP, MORNING)) == pytest.approx(0.075)  # the eighth of 31 March
    assert moisture(earth, smap_image(day, SMAP, PAPER_UTC)) == pytest.approx(0.105)  # the third of 1 April


def test_counts_tell_days_without_image_and_days_with_two(earth):
    put(earth, {"2019-03-31T22:30:00": 0.2, "2019-04-01T21:00:00": 0.3, "2019-04-01T22:30:00": 0.4})

    days = Calendar(dt.date(2019, 3, 31), dt.date(2019, 4, 3))
    assert earth.value(smap_counts(days, SMAP, MORNING)) == [0, 1, 2, 0]


def test_the_end_of_a_bin_belongs_to_the_next(earth):
    put(earth, {"2019-04-01T00:00:00": 0.2, "2019-04-01T09:00:00": 0.3})

    assert earth.value(smap_counts(TWO_DAYS, SMAP, MORNING)) == [0, 0]
    assert earth.value(smap_counts(TWO_DAYS, SMAP, PAPER_UTC)) == [0, 0]


def test_a_series_has_every_day_and_masks_those_without_image(earth):
    put(earth, {"2019-03-31T22:30:00": 0.25, "2019-04-02T22:30:00": 0.35})
    days = Calendar(dt.date(2019, 4, 1), dt.date(2019, 4, 3))
    series = smap_series(days, SMAP)

    shown = earth.value(series)["features"]
    assert [image["properties"]["system:index"] for image in shown] == ["20190401", "20190402", "20190403"]
    assert [image["properties"]["system:time_start"] for image in shown] == days.millis
    assert [image["properties"]["smap_outage"] for image in shown] == [0, 0, 0]
    assert [[band["id"] for band in image["bands"]] for image in shown] == [["sm"]] * 3
    images = series.toList(3)
    assert [moisture(earth, ee.Image(images.get(day))) for day in range(3)] == [0.25, None, 0.35]


def test_a_series_over_an_archive_without_any_image_is_masked_everywhere(earth):
    put(earth, {"2018-01-01T22:30:00": 0.25})
    images = smap_series(TWO_DAYS, SMAP).toList(2)

    assert [moisture(earth, ee.Image(images.get(day))) for day in range(2)] == [None, None]


def test_values_no_soil_has_are_masked(earth):
    fields = np.array([[-0.01, 0.0], [0.9, 0.95]])
    earth.put(SMAP.id, HERE, [("2019-03-31T22:30:00", {"sm_surface": fields})])
    found = earth.pixels(smap_image(ee.Date("2019-04-01"), SMAP, MORNING), HERE)["sm"]

    assert found.mask.tolist() == [[True, False], [False, True]]
    assert found.compressed().tolist() == [0.0, 0.9]


def test_the_version_is_the_sources(earth):
    put(earth, {"2019-03-31T22:30:00": 0.2})
    put(earth, {"2019-03-31T22:30:00": 0.3}, SMAP_007.id)
    day = ee.Date("2019-04-01")

    assert moisture(earth, smap_image(day, SMAP, MORNING)) == 0.2
    assert moisture(earth, smap_image(day, SMAP_007, MORNING)) == 0.3


@pytest.mark.parametrize(
    ("day", "off"),
    [
        ("2019-06-18", False), ("2019-06-19", True), ("2019-07-01", True), ("2019-07-23", True),
        ("2019-07-24", False), ("2022-08-05", False), ("2022-08-06", True), ("2022-09-20", True),
        ("2022-09-21", False), ("2020-07-01", False),
    ],
)  # fmt: skip
def test_the_radiometer_was_off_from_the_first_to_the_last_day_of_an_outage(earth, day, off):
    assert in_outage(dt.date.fromisoformat(day)) is off
    assert earth.value(outage(ee.Date(day))) == int(off)
    # A day is a day at any of its hours.
    assert earth.value(outage(ee.Date(f"{day}T23:59:59"))) == int(off)


def test_thirty_five_days_of_the_season_of_the_paper_are_flagged(earth):
    season = Calendar(dt.date(2019, 4, 1), dt.date(2019, 11, 1))
    flags = earth.value(smap_series(season, SMAP).aggregate_array("smap_outage"))

    assert len(flags) == 215 and sum(flags) == 35


def test_a_cell_gets_the_value_of_its_own_ground_in_the_simulated_catalogue(earth):
    """What the table holds against the simulation's own truth and error at each cell."""
    from gee.local.sources.smap import error, truth

    bounds = (115.0, 30.4, 117.0, 31.8)
    cells = ease_cells(bounds)
    day = Calendar(dt.date(2019, 7, 1), dt.date(2019, 7, 1))
    images = ee.ImageCollection([ee.Image.constant(1).rename("one").set("system:time_start", day.millis[0])])
    table = cell_table(
        images, cells.features(), fine_grid(bounds), ["one"], smap=smap_series(day, SMAP, MORNING)
    )
    rows = [row["properties"] for row in earth.value(table)["features"]]

    assert [row["cell"] for row in rows] == list(cells.ids())
    assert {row["smap_outage"] for row in rows} == {1}
    down = np.array([int(strip.name) for strip in cells.rows])
    across = np.array([int(strip.name) for strip in cells.columns])
    # 22:30 UTC of 30 June lies 10.5 of 24 hours after its noon, where the truth of that day stands.
    before, share = dt.date(2019, 6, 30).toordinal() - dt.date(1970, 1, 1).toordinal(), 10.5 / 24
    true = (1 - share) * truth(down, across, before) + share * truth(down, across, before + 1)
    stamp = before * 86_400_000 + 81_000_000
    expected = np.clip(0.26 + 0.88 * (true - 0.26) + error(down, across, stamp), 0.01, 0.9).ravel()
    found = np.array([row.get("sm", np.nan) for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.nanstd(found) > 0.02
