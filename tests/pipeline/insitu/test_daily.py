"""Whatever the user has becomes one daily file; what is daily already and whole stays where it is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import shapely

from pipeline.errors import DataError
from pipeline.insitu.daily import Reading, daily_file, is_daily
from pipeline.insitu.matching import Window

NIGHT = Window(centre=-1.5, hours=6)  # 22:30 UTC of the day before


def told(what: str, share: float) -> None:
    assert 0 <= share <= 1


def write(path: Path, **columns: list[object]) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("station", ["2019-04-02", "2019-04-03"]),
        ("cell", ["20190402", "20190403"]),
        ("station", ["2019-04-02T13:30:00Z", "2019-04-03T13:30:00Z"]),  # one a day is a day's
    ],
)
def test_a_daily_table_without_fault_is_used_as_it_is(tmp_path: Path, name: str, dates: list[object]) -> None:
    given = write(tmp_path / "daily.csv", **{name: ["a", "a"], "date": dates, "insitu": [0.2, None]})
    out = tmp_path / "insitu.parquet"
    out.write_text("of an earlier validation")
    assert is_daily(given)
    path, notes = daily_file(given, out, Reading(NIGHT), told)
    assert path == given
    assert not out.exists()
    assert any("without coordinates (a)" in note for note in notes)


def daily(folder: Path, *rows: tuple[object, ...], name: str = "daily.csv") -> Path:
    """Rows of station, day of April, in situ, longitude, depth and rain."""
    station, day, insitu, lon, depth, rain = (list(column) for column in zip(*rows, strict=True))
    dates: list[object] = [f"2019-04-{number:02d}" for number in day]
    return write(
        folder / name, station=station, date=dates, insitu=insitu, lon=lon, lat=[32.0] * len(rows),
        depth=depth, rain=rain,
    )  # fmt: skip


GOOD = [
    ("good", 1, 0.21, 117.0, 0.05, 0.0),
    ("good", 2, None, 117.0, 0.05, 30.0),
    ("good", 3, 0.3, 117.0, 0.05, 0.0),
]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([("bad", 1, 21.0, 117.0, 0.05, 0.0)], "(bad): values above 1 are no m3/m3"),
        ([("bad", 1, 0.2, 117.0, 0.5, 0.0)], "(bad): measures at 0.5 m, not within 0-0.1 m"),
        ([("bad", 1, 0.2, 10.0, 0.05, 0.0)], "1 station outside the region left out (bad)"),
        ([("bad", 1, 0.2, 317.0, 0.05, 0.0)], "(bad): lon 317, lat 32 is no place on earth"),
    ],
)
def test_a_station_that_cannot_be_used_costs_the_others_of_a_daily_table_nothing(
    tmp_path: Path, bad: list[tuple[object, ...]], why: str
) -> None:
    given = daily(tmp_path, *GOOD, *bad)
    path, notes = daily_file(
        given, tmp_path / "out" / "insitu.parquet", Reading(NIGHT), told, region=shapely.box(116, 30, 118, 34)
    )
    table = pd.read_parquet(path)
    assert set(table["station"]) == {"good"}
    assert table["date"].dt.day.tolist() == [1, 2, 3]
    assert table["insitu"].tolist() == pytest.approx([0.21, float("nan"), 0.3], nan_ok=True)
    assert table["rain"].tolist() == [0, 30, 0]
    assert any(why in note for note in notes)


def test_a_day_given_twice_in_a_daily_table_becomes_one(tmp_path: Path) -> None:
    given = daily(tmp_path, *GOOD, ("good", 3, 0.34, 117.0, 0.05, 0.0))
    path, notes = daily_file(given, tmp_path / "insitu.parquet", Reading(NIGHT), told)
    table = pd.read_parquet(path).dropna(subset="insitu")
    assert table["insitu"].tolist() == pytest.approx([0.21, 0.32])
    assert any("given more than once with different values" in note for note in notes)


def test_the_unit_of_a_daily_table_may_be_told(tmp_path: Path) -> None:
    given = write(tmp_path / "daily.csv", station=["a"], date=["2019-04-02"], insitu=[21.0])
    path, _ = daily_file(given, tmp_path / "insitu.parquet", Reading(NIGHT, unit="vol%"), told)
    assert pd.read_parquet(path)["insitu"].tolist() == pytest.approx([0.21])


def test_readings_become_the_value_nearest_to_the_products_time(tmp_path: Path) -> None:
    given = write(
        tmp_path / "probe.csv",
        station=["a"] * 4, lon=[117.0] * 4, lat=[32.0] * 4, depth=[0.05] * 4,
        time=["2019-04-01T18:00Z", "2019-04-01T22:00Z", "2019-04-02T06:00Z", "2019-04-02T23:00Z"],
        value=[0.10, 0.20, 0.30, 0.40],
    )  # fmt: skip
    path, notes = daily_file(given, tmp_path / "out" / "insitu.parquet", Reading(NIGHT), told)
    table = pd.read_parquet(path)
    assert dict(zip(table["date"].dt.strftime("%m-%d"), table["insitu"], strict=True)) == {
        "04-02": 0.20, "04-03": 0.40,
    }  # fmt: skip
    assert any("22:30 UTC" in note for note in notes)


def test_a_probe_too_deep_is_the_reason_why_there_is_no_file(tmp_path: Path) -> None:
    given = write(
        tmp_path / "probe.csv", station=["a"], lon=[117.0], lat=[32.0], depth=[0.5],
        time=["2019-04-01T22:00Z"], value=[0.1],
    )  # fmt: skip
    out = tmp_path / "out" / "insitu.parquet"
    with pytest.raises(DataError, match=r"0\.5"):
        daily_file(given, out, Reading(NIGHT), told)
    assert not out.exists()
