"""What lies within the intervals of a map, counted by hand: by partition, by month, in draws of blocks."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from models.coverage import coverage_of
from pipeline.errors import DataError
from pipeline.scores import coverage
from pipeline.scores.coverage import Covered, of_fields, of_stations

DAYS = [dt.date(2019, 4, 1) + dt.timedelta(days) for days in range(0, 200, 4)]
SHAPE = (len(DAYS), 6, 8)
CELLS = np.repeat(np.repeat(np.arange(12).reshape(3, 4), 2, axis=0), 2, axis=1)
CELLS[0, 0] = -1  # a pixel of no cell
HILLS = np.zeros(SHAPE[1:], np.bool_)
HILLS[:, :3] = True  # the border runs through cells
PLAIN = ~HILLS
PLAIN[5] = False  # some pixels lie in no partition


@pytest.fixture(scope="module")
def fields() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random(SHAPE).astype(np.float32)
    lower = (truth + rng.normal(0, 0.1, SHAPE) - 0.1).astype(np.float32)
    upper = lower + rng.random(SHAPE).astype(np.float32) * 0.3
    truth[3, 2, 2] = lower[4, 1, 1] = upper[4, 1, 1] = np.nan
    return truth, lower, upper


@pytest.fixture(scope="module")
def found(fields) -> Covered:
    return of_fields(*fields, DAYS, CELLS, {"hills": HILLS, "plain": PLAIN})


def flat(fields, inside: np.ndarray) -> pd.DataFrame:
    """One row per pixel and day that is inside and in a cell."""
    kept = inside & (CELLS >= 0)
    frame = pd.DataFrame({
        name: field[:, kept].ravel() for name, field in zip(("truth", "lower", "upper"), fields, strict=True)
    })  # fmt: skip
    frame["day"] = np.repeat(DAYS, kept.sum())
    frame["cell"] = np.tile(CELLS[kept], len(DAYS))
    return frame.dropna()


def line(found: Covered, by: str, name: str = "") -> pd.Series:
    rows = found.table[(found.table["by"] == by) & (found.table["name"] == name)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_there_is_a_row_for_all_for_each_partition_and_for_each_month(found):
    expected = [("all", ""), ("partition", "hills"), ("partition", "plain")]
    expected += [("month", f"2019-{month:02d}") for month in range(4, 11)]
    assert list(zip(found.table["by"], found.table["name"], strict=True)) == expected


@pytest.mark.parametrize(
    ("by", "name", "inside"),
    [("all", "", np.ones(SHAPE[1:], np.bool_)), ("partition", "hills", HILLS), ("partition", "plain", PLAIN)],
)
def test_pixel_days_are_counted_one_by_one_and_whole_periods_are_drawn(found, fields, by, name, inside):
    rows = flat(fields, inside)
    one = line(found, by, name)
    within = rows["truth"].between(rows["lower"], rows["upper"])
    assert (one["n"], one["coverage"]) == (len(rows), pytest.approx(within.mean()))
    assert one["width"] == pytest.approx((rows["upper"] - rows["lower"]).mean(), rel=1e-6)
    period = [day.toordinal() // 30 for day in rows["day"]]
    expected = coverage_of(rows["truth"], rows["lower"], rows["upper"], blocks=period)
    assert (one["coverage_lower"], one["coverage_upper"]) == pytest.approx(
        (expected.coverage_lower, expected.coverage_upper)
    )
    assert found.drawn == "30-day periods"


def test_a_month_is_counted_by_itself_and_draws_cells(found, fields):
    rows = flat(fields, np.ones(SHAPE[1:], np.bool_))
    rows = rows[[day.month == 6 for day in rows["day"]]]
    expected = coverage_of(rows["truth"], rows["lower"], rows["upper"], blocks=rows["cell"])
    one = line(found, "month", "2019-06")
    for name in ("n", "blocks", "coverage", "coverage_lower", "coverage_upper", "width", "score"):
        assert one[name] == pytest.approx(getattr(expected, name)), name


def test_a_short_season_draws_cells(fields):
    few = of_fields(*(field[:10] for field in fields), DAYS[:10], CELLS, {})
    assert few.drawn == "cells"
    rows = flat(fields, np.ones(SHAPE[1:], np.bool_))
    rows = rows[rows["day"].isin(DAYS[:10])]
    expected = coverage_of(rows["truth"], rows["lower"], rows["upper"], blocks=rows["cell"])
    assert line(few, "all")["coverage_lower"] == pytest.approx(expected.coverage_lower)
    assert few.table["by"].tolist() == ["all", "month", "month"]


def test_a_map_without_intervals_has_no_coverage_and_says_why(fields):
    nothing = np.full(SHAPE, np.nan)
    found = of_fields(fields[0], nothing, nothing, DAYS, CELLS, {"hills": HILLS})
    assert (found.table["n"] == 0).all()
    assert found.table["coverage"].isna().all()
    assert (found.table["reason"] == "no row has both an interval and a reference").all()


def test_stations_count_day_by_day_and_are_drawn_whole():
    rng = np.random.default_rng(2)
    days = pd.date_range("2020-05-01", periods=40)
    rows = pd.DataFrame({
        "station": np.repeat([f"S{number}" for number in range(8)], 40), "date": np.tile(days, 8),
        "insitu": rng.random(320), "sm_lower": rng.random(320) * 0.3,
        "partition": np.repeat(["a", None], 160),
    })  # fmt: skip
    rows["sm_upper"] = rows["sm_lower"] + 0.5
    rows.loc[5, "insitu"] = np.nan
    found = of_stations(rows.sample(frac=1, random_state=0))
    assert (found.reference, found.drawn) == ("8 stations", "stations")
    some = rows.dropna(subset="insitu")
    for by, name, part in (
        ("all", "", some), ("partition", "a", some[some["partition"] == "a"]),
        ("month", "2020-06", some[some["date"].dt.month == 6]),
    ):  # fmt: skip
        one = line(found, by, name)
        expected = coverage_of(part["insitu"], part["sm_lower"], part["sm_upper"], blocks=part["station"])
        assert (one["n"], one["blocks"]) == (expected.n, expected.blocks)
        assert one["coverage"] == pytest.approx(expected.coverage)
        if expected.blocks >= 5:
            assert one["coverage_lower"] == pytest.approx(expected.coverage_lower)
        else:
            assert math.isnan(one["coverage_lower"])
    assert found.table["name"].tolist() == ["", "a", "2020-05", "2020-06"]


def test_what_was_written_is_read_back(found, tmp_path):
    coverage.write(found, tmp_path / "scores")
    read = coverage.read(tmp_path / "scores")
    assert read is not None
    pd.testing.assert_frame_equal(read.table, found.table)
    assert (read.reference, read.drawn) == ("the simulated truth at 1 km", "30-day periods")
    assert coverage.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", '{"rows": [], "reference": "x", "drawn": "y"}', "[1]"])
def test_a_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "coverage.json").write_text(content)
    with pytest.raises(DataError, match="is damaged"):
        coverage.read(tmp_path)


def test_rows_for_people(found):
    first, *_ = found.rows()
    assert first["of"] == "all"
    assert first["rows"] == f"{SHAPE[0] * 47 - 2:,}"
