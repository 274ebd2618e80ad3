"""One value a station and day: windows by hand and against pytesmo, probes, depths, regions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gee.target import MORNING, PAPER_UTC
from pipeline.errors import ConfigError, DataError
from pipeline.insitu.matching import Window
from pipeline.insitu.reading import COLUMNS, daily_table
from pipeline.insitu.series import checked
from pipeline.tables.pairs import read_tables

SOURCE = Path("probes.csv")
HALF_PAST_TEN = Window(centre=-1.5)  # 22:30 UTC of the day before


def sensor(station: str = "A", depth: float = 0.05, **more: object) -> dict[str, Any]:
    told = {
        "station": station, "network": "", "instrument": "", "lon": 117.25, "lat": 31.5,
        "depth_from": depth, "depth_to": depth, "daily": False, "reason": "",
    }  # fmt: skip
    return told | more


def insitu(sensors: Sequence[dict[str, Any]], rows: Sequence[tuple[int, str, float]], **more: Any) -> Any:
    code, time, value = zip(*rows, strict=True)
    readings = pd.DataFrame(
        {
            "code": np.array(code, np.intp),
            "time": pd.to_datetime(list(time)).astype("datetime64[ns]"),
            "sm": np.array(value, np.float64),
        }
    )
    return checked(SOURCE, pd.DataFrame(sensors), readings, more.pop("depth", (0.0, 0.1)), **more)


def days(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["date"].dt.strftime("%m-%d"), table["insitu"].round(6), strict=True))


def test_windows_of_smap_stand_in_the_middle_of_its_bin() -> None:
    assert Window.of_bin(MORNING) == Window(-1.5, 12.0, "nearest")
    assert Window.of_bin(PAPER_UTC, 6.0, "mean") == Window(7.5, 6.0, "mean")
    assert Window.of_bin(MORNING).label() == "reading nearest to 22:30 UTC of the day before, within 6 hours"
    assert Window.of_bin(PAPER_UTC).label() == "reading nearest to 07:30 UTC, within 6 hours"
    assert Window.of_day().label() == "mean of the day, 00:00 to 24:00 UTC"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"hours": 0.0}, "up to 24"),
        ({"hours": 25.0}, "up to 24"),
        ({"centre": 99.0}, "-24 to 48"),
        ({"method": "median"}, "nearest or mean"),
    ],
)
def test_windows_that_mean_nothing_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Window(**({"centre": 0.0} | wrong))


# Around 22:30 UTC of 31 March, which is the morning of 1 April in China: 16:30 to 04:30 UTC.
@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2019-03-31T22:30"], {"04-01": 0}),
        (["2019-03-31T16:30"], {"04-01": 0}),  # both ends belong to the window
        (["2019-04-01T04:30"], {"04-01": 0}),
        (["2019-03-31T16:29"], {}),
        (["2019-04-01T04:31"], {}),
        (["2019-04-01T16:29"], {}),  # six hours before the next centre are not over
        (["2019-04-01T16:30"], {"04-02": 0}),
        (["2019-03-31T21:00", "2019-03-31T23:00"], {"04-01": 1}),
        (["2019-03-31T22:00", "2019-03-31T23:00"], {"04-01": 1}),  # equally near: the later
        (["2019-03-31T22:00", "2019-03-31T23:30"], {"04-01": 0}),
        (["2019-03-31T17:00", "2019-04-01T22:00"], {"04-01": 0, "04-02": 1}),
        (["2019-12-31T23:00"], {"01-01": 0}),
    ],
)
def test_the_nearest_reading_in_the_window_is_the_days_value(
    times: list[str], expected: dict[str, int]
) -> None:
    value = [0.1, 0.2]
    data = insitu([sensor()], [(0, time, value[number]) for number, time in enumerate(times)])
    if not expected:
        with pytest.raises(DataError, match=r"A\): no reading nearest to 22:30 UTC of the day before"):
            daily_table(data, HALF_PAST_TEN)
        return
    table, _ = daily_table(data, HALF_PAST_TEN)
    assert days(table) == {day: value[number] for day, number in expected.items()}
    assert (table["readings"] == 1).all()


def test_the_mean_of_a_window_takes_both_ends_and_counts() -> None:
    hours = ["03-31T16:29", "03-31T16:30", "03-31T22:30", "04-01T04:30", "04-01T04:31"]
    data = insitu([sensor()], [(0, f"2019-{hour}", 0.1 * number) for number, hour in enumerate(hours, 1)])
    table, notes = daily_table(data, Window(-1.5, 12.0, "mean"))
    assert days(table) == {"04-01": pytest.approx((0.2 + 0.3 + 0.4) / 3)}
    assert table["readings"].tolist() == [3]
    assert any("mean of readings around 22:30 UTC of the day before, within 6 hours" in n for n in notes)


def test_a_whole_day_runs_from_midnight_to_midnight() -> None:
    hours = ["2019-03-31T23:59", "2019-04-01T00:00", "2019-04-01T23:59", "2019-04-02T00:00"]
    data = insitu([sensor()], [(0, hour, 0.1 * number) for number, hour in enumerate(hours, 1)])
    table, _ = daily_table(data, Window.of_day())
    assert days(table) == {"03-31": 0.1, "04-01": 0.25, "04-02": 0.4}
    assert table["readings"].tolist() == [1, 2, 1]


moments = st.lists(st.integers(0, 10 * 24 * 60), min_size=1, max_size=60, unique=True)


@settings(deadline=None, max_examples=60)
@given(
    minutes=moments,
    centre=st.sampled_from([-1.5, 0.0, 7.5, 12.0, 22.25]),
    hours=st.sampled_from([1.0, 3.0, 12.0, 23.0]),
)
def test_nearest_readings_are_those_of_pytesmo(minutes: list[int], centre: float, hours: float) -> None:
    matching = pytest.importorskip("pytesmo.temporal_matching")
    start = pd.Timestamp("2019-04-01")
    times = pd.DatetimeIndex([start + pd.Timedelta(minutes=minute) for minute in sorted(minutes)])
    values = pd.DataFrame({"sm": np.linspace(0.1, 0.5, len(times))}, index=times)
    dates = pd.date_range(start - pd.Timedelta(days=2), periods=15)
    centres = dates + pd.Timedelta(hours=centre)
    found = matching.temporal_collocation(centres, values, pd.Timedelta(hours=hours / 2))["sm"]
    expected = pd.Series(found.to_numpy(), dates).dropna()

    rows = [(0, str(time), value) for time, value in zip(times, values["sm"], strict=True)]
    data = insitu([sensor()], rows)
    if expected.empty:
        with pytest.raises(DataError):
            daily_table(data, Window(centre, hours))
        return
    table, _ = daily_table(data, Window(centre, hours))
    assert list(table["date"]) == list(expected.index)
    assert table["insitu"].to_numpy() == pytest.approx(expected.to_numpy())


@settings(deadline=None, max_examples=40)
@given(minutes=moments, centre=st.sampled_from([-1.5, 7.5, 12.0]), hours=st.sampled_from([2.0, 12.0, 23.5]))
def test_means_of_windows_are_those_of_a_plain_loop(minutes: list[int], centre: float, hours: float) -> None:
    start = dt.datetime(2019, 4, 1)
    times = [start + dt.timedelta(minutes=minute) for minute in minutes]
    values = [0.05 + 0.4 * number / len(times) for number in range(len(times))]
    expected = {}
    for offset in range(-2, 13):
        day = start + dt.timedelta(days=offset)
        middle = day + dt.timedelta(hours=centre)
        own = [
            value
            for time, value in zip(times, values, strict=True)
            if abs(time - middle) <= dt.timedelta(hours=hours / 2)
        ]
        if own:
            expected[day] = (sum(own) / len(own), len(own))
    if not expected:
        return
    rows = [(0, time.isoformat(), value) for time, value in zip(times, values, strict=True)]
    table, _ = daily_table(insitu([sensor()], rows), Window(centre, hours, "mean"))
    assert [day.to_pydatetime() for day in table["date"]] == list(expected)
    assert table["insitu"].to_numpy() == pytest.approx([mean for mean, _ in expected.values()])
    assert table["readings"].tolist() == [count for _, count in expected.values()]


def test_probes_at_one_depth_become_their_mean() -> None:
    sensors = [sensor(instrument="1"), sensor(instrument="2")]
    rows = [
        (0, "2019-03-31T22:00", 0.20), (1, "2019-03-31T20:00", 0.30),
        (0, "2019-04-01T22:00", 0.24),
    ]  # fmt: skip
    table, notes = daily_table(insitu(sensors, rows), HALF_PAST_TEN)
    assert days(table) == {"04-01": 0.25, "04-02": 0.24}
    assert table["readings"].tolist() == [2, 1]
    told = (
        "1 station with several probes at that depth (A 2): their mean is taken, on 1 station-days of fewer"
    )
    assert any(note.startswith(told) for note in notes)


def test_the_shallowest_depth_that_has_readings_is_taken() -> None:
    sensors = [sensor("A", 0.1), sensor("A", 0.05), sensor("B", 0.02), sensor("B", 0.08), sensor("C", 0.3)]
    rows = [
        (0, "2019-03-31T22:00", 0.4), (1, "2019-03-31T22:00", 0.1),
        (2, "2019-03-31T12:00", 0.2), (3, "2019-03-31T22:00", 0.3),  # B's shallow one is in no window
        (4, "2019-03-31T22:00", 0.5),
    ]  # fmt: skip
    table, notes = daily_table(insitu(sensors, rows), HALF_PAST_TEN)
    found = table[["station", "insitu", "depth"]].to_numpy().tolist()
    assert found == [["A", 0.1, 0.05], ["B", 0.3, 0.08]]
    assert any("probes at several depths (A): the shallowest is taken, at A 0.05 m of" in n for n in notes)
    assert "1 station left out (C): measures at 0.3 m, not within 0-0.1 m." in notes


@pytest.mark.parametrize(
    ("top", "bottom", "within"),
    [(0.0, 0.05, True), (0.05, 0.05, True), (0.0508, 0.0508, True), (0.0, 0.1, False), (0.06, 0.06, False)],
)
def test_a_probe_lies_within_the_range_with_all_of_its_depth(top: float, bottom: float, within: bool) -> None:
    sensors = [sensor("A", depth_from=top, depth_to=bottom), sensor("B", 0.02)]
    rows = [(0, "2019-03-31T22:00", 0.2), (1, "2019-03-31T22:00", 0.2)]
    table, _ = daily_table(insitu(sensors, rows, depth=(0.0, 0.05)), HALF_PAST_TEN)
    assert ("A" in set(table["station"])) == within


def test_days_and_moments_are_in_one_table() -> None:
    sensors = [sensor("A"), sensor("B", daily=True)]
    rows = [(0, "2019-03-31T22:00", 0.2), (1, "2019-03-31T00:00", 0.3), (1, "2019-04-10T00:00", 0.4)]
    table, _ = daily_table(insitu(sensors, rows), HALF_PAST_TEN)
    found = table.assign(date=table["date"].dt.strftime("%m-%d"))[["station", "date", "insitu"]]
    assert found.to_numpy().tolist() == [["A", "04-01", 0.2], ["B", "03-31", 0.3], ["B", "04-10", 0.4]]


def test_stations_outside_the_region_are_listed() -> None:
    sensors = [
        sensor("in"), sensor("out", lon=100.0), sensor("edge", lon=118.0), sensor("unknown", lon=np.nan),
    ]  # fmt: skip
    rows = [(number, "2019-03-31T22:00", 0.2) for number in range(4)]
    data = insitu(sensors, rows)
    table, notes = daily_table(data, HALF_PAST_TEN, region=shapely.box(116, 30, 118, 34))
    assert set(table["station"]) == {"in", "edge", "unknown"}
    assert table.loc[table["station"] == "unknown", ["lon", "lat"]].isna().all(axis=None)  # half is none
    assert "1 station outside the region left out (out)." in notes
    with pytest.raises(DataError, match=r"(?s)No station has a daily value.*3 stations outside the region"):
        daily_table(insitu(sensors[:3], rows[:3]), HALF_PAST_TEN, region=shapely.box(0, 0, 1, 1))


def test_probes_far_from_each_other_are_told() -> None:
    sensors = [sensor(instrument="1"), sensor(instrument="2", lon=117.5)]
    rows = [(number, "2019-03-31T22:00", 0.2) for number in (0, 1)]
    table, notes = daily_table(insitu(sensors, rows), HALF_PAST_TEN)
    assert table["lon"].tolist() == [117.25]
    assert any("more than 0.005 degrees apart (A)" in note for note in notes)


def test_the_table_is_what_validate_reads(tmp_path: Path) -> None:
    sensors = [sensor("007", network="NET"), sensor("B", network="NET")]
    rows = [(code, f"2019-04-{day:02d}T22:00", 0.1 + day / 100) for code in (0, 1) for day in range(1, 11)]
    table, _ = daily_table(insitu(sensors, rows, simulated=True), HALF_PAST_TEN)
    assert tuple(table.columns) == COLUMNS
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"insitu.{suffix}"
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
        table.assign(sm=0.2).to_csv(tmp_path / "predictions.csv", index=False)
        _, measured = read_tables(tmp_path / "predictions.csv", path)
        assert measured.simulated
        assert measured.rows["station"].tolist() == table["station"].tolist()
        assert (measured.rows["date"].to_numpy() == table["date"].to_numpy()).all()
        assert (measured.rows["insitu"].to_numpy() == table["insitu"].to_numpy()).all()


def test_many_stations_are_counted_and_the_first_named() -> None:
    sensors = [sensor(f"S{number:02d}", 0.5) for number in range(30)] + [sensor("A")]
    data = insitu(sensors, [(30, "2019-03-31T22:00", 0.2)])
    [note] = [note for note in data.notes if "left out" in note]
    assert note.startswith("30 stations left out (S00, S01, S02, S03, S04, S05, S06, S07 and 22 more)")


# Noon by the sun: 04:11 UTC at 117.25 E, 18:00 UTC at 90 W.
@pytest.mark.parametrize(
    ("lon", "centre", "told"), [(117.25, -1.5, False), (-90.0, -1.5, True), (-90.0, 7.5, False)]
)
def test_dates_whose_day_is_the_products_day_before_are_told(lon: float, centre: float, told: bool) -> None:
    data = insitu([sensor(lon=lon, daily=True)], [(0, "2019-04-01T00:00", 0.2)])
    table, notes = daily_table(data, Window(centre))
    assert days(table) == {"04-01": 0.2}
    assert any("a day's lag" in note and Window(centre).time() in note for note in notes) == told
