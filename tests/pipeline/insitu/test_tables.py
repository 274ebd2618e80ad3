"""Readings in tables: columns, units, time zones, samples taken by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DataError
from pipeline.insitu.matching import Window
from pipeline.insitu.reading import daily_table, read_insitu
from pipeline.insitu.series import Insitu

NOON = Window(centre=12.0)
PLACE = {"lon": 117.25, "lat": 31.5, "depth": 0.05}


def write(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "probes.csv") -> Path:
    path = folder / name
    frame = pd.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def read(path: Path, **options: Any) -> Insitu:
    return read_insitu(path, lambda _, __: None, **options)


def times(insitu: Insitu) -> list[str]:
    return [f"{time:%Y-%m-%dT%H:%M}" for time in insitu.readings["time"]]


def reading(time: str, value: object = 0.25, station: str = "A", **more: object) -> dict[str, object]:
    return {"station": station, **PLACE, "time": time, "value": value, **more}


@pytest.mark.parametrize("name", ["probes.csv", "probes.parquet"])
def test_a_plain_table_is_read_with_all_it_says(tmp_path: Path, name: str) -> None:
    rows = [
        reading("2019-04-01T06:30Z", 0.21, "007", network="NET", sensor="1", instrument="TDR", unit="m³/m³"),
        reading("2019-04-01T12:00Z", 0.22, "007", network="NET", sensor="1", instrument="TDR", unit="m³/m³"),
        reading("2019-04-01T12:00Z", 23.0, "B", network="NET", sensor="2", instrument="", unit="vol %"),
    ]
    found = read(write(tmp_path, rows, name))
    columns = ["station", "network", "lon", "lat", "depth_from", "depth_to", "instrument", "readings"]
    assert found.sensors[columns].to_numpy().tolist() == [
        ["007", "NET", 117.25, 31.5, 0.05, 0.05, "1 TDR", 2],
        ["B", "NET", 117.25, 31.5, 0.05, 0.05, "2", 1],
    ]
    assert times(found) == ["2019-04-01T06:30", "2019-04-01T12:00", "2019-04-01T12:00"]
    assert found.readings["sm"].tolist() == pytest.approx([0.21, 0.22, 0.23])
    assert found.readings["time"].dtype == "datetime64[ns]"
    assert not found.simulated
    assert found.as_dict()["first"] == "2019-04-01T06:30:00"


def test_the_daily_form_that_validate_takes_keeps_its_dates(tmp_path: Path) -> None:
    rows = [{"station": "A", "date": f"2019-04-{day:02d}", "insitu": day / 100} for day in (1, 2, 30)]
    found = read(write(tmp_path, rows), timezone="Asia/Shanghai")
    assert found.sensors["daily"].all()
    for window in (NOON, Window(-1.5), Window.of_day()):
        table, notes = daily_table(found, window)
        assert list(table["date"].dt.strftime("%m-%d")) == ["04-01", "04-02", "04-30"]
        assert table["insitu"].tolist() == [0.01, 0.02, 0.3]
        assert table[["lon", "lat", "depth"]].isna().all(axis=None)
    assert any("without coordinates" in note for note in notes)
    assert any("depth of 1 station is not told" in note for note in notes)


@pytest.mark.parametrize("kind", ["text", "number", "time stamp", "date32", "category"])
def test_days_are_recognised_however_they_are_stored(tmp_path: Path, kind: str) -> None:
    days = [dt.date(2019, 4, 1), dt.date(2019, 4, 2)]
    column: Any = {
        "text": pa.array(["2019-04-01", "2019-04-02"]),
        "number": pa.array([20190401, 20190402]),
        "time stamp": pa.array([dt.datetime(2019, 4, day) for day in (1, 2)]),
        "date32": pa.array(days),
        "category": pa.array(["2019-04-01", "2019-04-02"]).dictionary_encode(),
    }[kind]
    path = tmp_path / "daily.parquet"
    pq.write_table(pa.table({"station": ["A", "A"], "date": column, "insitu": [0.1, 0.2]}), path)
    found = read(path)
    assert found.sensors["daily"].tolist() == [True]
    assert times(found) == ["2019-04-01T00:00", "2019-04-02T00:00"]


def test_real_daily_observations_come_through_unchanged(shared_data: Path, tmp_path: Path) -> None:
    source = pd.read_parquet(shared_data / "uscrn-2020" / "crn_2020.parquet")
    depths = (5, 10, 20, 50, 100)
    long = pd.concat(
        [
            pd.DataFrame(
                {
                    "station": source["wban"],
                    "network": "USCRN",
                    "lon": source["longitude"],
                    "lat": source["latitude"],
                    "depth": depth / 100,
                    "date": source["lst_date"],
                    "value": source[f"soil_moisture_{depth}_daily"],
                }
            )
            for depth in depths
        ]
    )
    path = tmp_path / "uscrn.parquet"
    long.to_parquet(path)

    found = read(path, depth=(0.0, 0.05))

    expected = source.dropna(subset=["soil_moisture_5_daily"]).sort_values(["wban", "lst_date"])
    table, notes = daily_table(found, NOON)
    assert len(table) == len(expected) == 33_924
    assert table["station"].tolist() == expected["wban"].tolist()
    assert (table["date"].to_numpy() == expected["lst_date"].to_numpy()).all()
    assert (table["insitu"].to_numpy() == expected["soil_moisture_5_daily"].to_numpy()).all()
    assert (table["depth"] == 0.05).all()
    assert len(found.sensors) == 155 * 5
    without = 155 - expected["wban"].nunique()
    assert any(note.startswith(f"{without} stations left out") for note in notes)


@pytest.mark.parametrize(
    ("written", "zone", "utc"),
    [
        ("2019-04-01 06:30", None, "2019-04-01T06:30"),
        ("2019-04-01T06:30Z", "Asia/Shanghai", "2019-04-01T06:30"),  # its own offset goes first
        ("2019-04-01T06:30+08:00", None, "2019-03-31T22:30"),
        ("2019-04-01 06:30:00-0600", None, "2019-04-01T12:30"),
        ("2019-04-01 06:30", "Asia/Shanghai", "2019-03-31T22:30"),  # UTC+8 all year
        ("2019-01-15 06:30", "America/Chicago", "2019-01-15T12:30"),  # UTC-6 in winter
        ("2019-07-15 06:30", "America/Chicago", "2019-07-15T11:30"),  # UTC-5 in summer
        ("2019-07-15 06:30", "Etc/GMT-8", "2019-07-14T22:30"),
        ("2019-07-15 06:30", "Asia/Kolkata", "2019-07-15T01:00"),
    ],
)
@pytest.mark.parametrize("by_column", [False, True])
def test_local_time_becomes_utc(
    tmp_path: Path, written: str, zone: str | None, utc: str, by_column: bool
) -> None:
    column = {"timezone": zone} if by_column and zone else {}
    found = read(write(tmp_path, [reading(written, **column)]), timezone=None if by_column else zone)
    assert times(found) == [utc]
    told = any("taken as UTC" in note for note in found.notes)
    assert told == (zone is None and written.endswith("06:30"))


def test_stations_of_several_zones_are_in_one_table(tmp_path: Path) -> None:
    rows = [
        reading("2019-07-15 06:30", station="A", timezone="Asia/Shanghai"),
        reading("2019-07-15 06:30", station="B", timezone="America/Chicago"),
        reading("2019-07-15 06:30", station="C", timezone=""),
    ]
    found = read(write(tmp_path, rows), timezone="Europe/Vienna")
    assert times(found) == ["2019-07-14T22:30", "2019-07-15T11:30", "2019-07-15T04:30"]


def test_hours_that_a_clock_change_skips_or_repeats_are_left_out(tmp_path: Path) -> None:
    # Chicago: 02:00 became 03:00 on 10 March 2019; 02:00 became 01:00 on 3 November.
    rows = [reading(f"2019-03-10 {hour:02d}:30") for hour in range(1, 5)]
    rows += [reading(f"2019-11-03 {hour:02d}:30") for hour in range(4)]
    found = read(write(tmp_path, rows), timezone="America/Chicago")
    assert times(found) == [
        "2019-03-10T07:30", "2019-03-10T08:30", "2019-03-10T09:30",
        "2019-11-03T05:30", "2019-11-03T08:30", "2019-11-03T09:30",
    ]  # fmt: skip
    assert any(note.startswith("2 local times left out") for note in found.notes)


def test_parquet_times_with_a_zone_are_moments(tmp_path: Path) -> None:
    stamps = pd.to_datetime(["2019-04-01 06:30", "2019-04-02 06:30"]).tz_localize("Asia/Shanghai")
    frame = pd.DataFrame({"station": "A", **PLACE, "time": stamps, "value": 0.2})
    frame.to_parquet(tmp_path / "probes.parquet")
    found = read(tmp_path / "probes.parquet", timezone="America/Chicago")
    assert times(found) == ["2019-03-31T22:30", "2019-04-01T22:30"]
    assert not any("taken as UTC" in note for note in found.notes)


def test_times_that_all_show_midnight_are_days_and_told(tmp_path: Path) -> None:
    rows = [reading(f"2019-04-{day:02d} 00:00:00") for day in (1, 2, 3)]
    rows += [reading("2019-04-01 00:00:00", station="B"), reading("2019-04-01 01:00:00", station="B")]
    found = read(write(tmp_path, rows), timezone="Asia/Shanghai")
    assert found.sensors.set_index("station")["daily"].to_dict() == {"A": True, "B": False}
    assert times(found)[:3] == [f"2019-04-{day:02d}T00:00" for day in (1, 2, 3)]
    assert times(found)[3:] == ["2019-03-31T16:00", "2019-03-31T17:00"]
    assert any("read as days at 1 station" in note for note in found.notes)


def test_a_column_of_dates_with_one_time_a_day_is_of_days(tmp_path: Path) -> None:
    rows = [
        {"station": station, "date": f"2019-04-{day:02d}T{hour:02d}:30", "insitu": 0.2}
        for station, hours in (("once", [13]), ("twice", [1, 13])) for day in (1, 2) for hour in hours
    ]  # fmt: skip
    found = read(write(tmp_path, rows), timezone="Asia/Shanghai")
    assert found.sensors.set_index("station")["daily"].to_dict() == {"once": True, "twice": False}
    assert times(found) == [
        "2019-04-01T00:00", "2019-04-02T00:00",
        "2019-03-31T17:30", "2019-04-01T05:30", "2019-04-01T17:30", "2019-04-02T05:30",
    ]  # fmt: skip


def test_water_by_mass_becomes_water_by_volume(tmp_path: Path) -> None:
    # 20 g of water in 100 g of dry soil of 1.35 g/cm3: 0.20 * 1.35 / 1.0 = 0.27 cm3 in a cm3.
    rows = [
        reading("2019-05-08", 20.0, "A", unit="mass%", bulk_density=1.35),
        reading("2019-05-18", 0.2, "B", unit="g/g", bulk_density=1.5),
        reading("2019-05-28", 18.0, "C", unit="% (by mass)", bulk_density=None),
        reading("2019-05-28", 0.31, "D", unit="", bulk_density=1.2),
    ]
    found = read(write(tmp_path, rows), bulk_density=1.1)
    assert found.readings["sm"].tolist() == pytest.approx([0.27, 0.30, 0.198, 0.31])
    table, _ = daily_table(found, Window(-1.5))
    assert list(table["date"].dt.strftime("%d")) == ["08", "18", "28", "28"]
    assert any("3 values are water by mass, times bulk density (1.1 to 1.5 g/cm3)" in n for n in found.notes)


def test_replicate_samples_of_a_day_are_averaged(tmp_path: Path) -> None:
    rows = [reading("2019-05-08", value, unit="mass%") for value in (20.0, 22.0, 27.0)]
    found = read(write(tmp_path, rows), bulk_density=1.0)
    assert found.readings["sm"].tolist() == pytest.approx([0.23])
    assert any("as of replicate samples (A; they differ by up to 0.07" in n for n in found.notes)


def test_without_bulk_density_samples_are_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = [reading("2019-05-08", 20.0, "A", unit="mass%"), reading("2019-05-08", 0.2, "B", unit="m3/m3")]
    found = read(write(tmp_path, rows))
    used = found.sensors.loc[found.sensors["reason"] == "", "station"]
    assert list(used) == ["B"]
    assert any("(A): water by mass needs the dry soil's bulk density" in note for note in found.notes)
    with pytest.raises(DataError, match="water by mass needs the dry soil's bulk density"):
        read(write(tmp_path, rows[:1]))
    with pytest.raises(DataError, match="give it in g/cm3"):
        read(write(tmp_path, [rows[0] | {"bulk_density": 1350}]))


def test_a_percentage_beside_a_bulk_density_has_to_say_of_what(tmp_path: Path) -> None:
    path = write(tmp_path, [reading("2019-05-08", 20.0, unit="%")])
    assert read(path).readings["sm"].tolist() == pytest.approx([0.2])
    with pytest.raises(DataError, match="may be of volume or of mass; write vol% or mass%"):
        read(path, bulk_density=1.3)


@settings(deadline=None, max_examples=30)
@given(
    mass=st.floats(0.01, 0.5),
    density=st.floats(0.5, 1.9),
    unit=st.sampled_from([("mass%", 100.0), ("g/g", 1.0), ("kg/kg", 1.0), ("wt%", 100.0), ("g/100g", 100.0)]),
)
def test_units_by_mass_all_mean_the_same(
    tmp_path_factory: pytest.TempPathFactory, mass: float, density: float, unit: tuple[str, float]
) -> None:
    name, scale = unit
    row = reading("2019-05-08", mass * scale, unit=name, bulk_density=density)
    [value] = read(write(tmp_path_factory.mktemp("units"), [row])).readings["sm"]
    assert value == pytest.approx(mass * density)


def test_a_unit_mistake_names_the_station_and_what_to_do(tmp_path: Path) -> None:
    rows = [reading(f"2019-04-{day:02d}", 20.0 + day, "percent") for day in range(1, 29)]
    rows += [reading(f"2019-04-{day:02d}", 0.2, "good") for day in range(1, 29)]
    path = write(tmp_path, rows)
    found = read(path)
    assert list(found.sensors.loc[found.sensors["reason"] == "", "station"]) == ["good"]
    text = "\n".join(found.notes)
    assert "(percent): values above 1 are no m3/m3; give their unit" in text
    assert "28 of 28 values of station percent are above 1; the median is 34.5" in text  # 20 + 14.5
    only = write(tmp_path, [row for row in rows if row["station"] == "percent"], "only.csv")
    with pytest.raises(DataError, match="values above 1 are no m3/m3"):
        read(only)
    assert read(only, unit="vol%").readings["sm"].iloc[0] == pytest.approx(0.21)


@pytest.mark.parametrize(("above", "refused"), [(0, False), (2, False), (3, True), (20, True)])
def test_more_than_a_tenth_above_one_is_another_unit(tmp_path: Path, above: int, refused: bool) -> None:
    rows = [reading(f"2019-04-{day:02d}", 3.5 if day <= above else 0.4) for day in range(1, 21)]
    found = read(write(tmp_path, [*rows, reading("2019-04-01", station="B")]))
    assert len(found.readings) == (0 if refused else 20 - above) + 1
    assert any("values above 1 are no m3/m3" in note for note in found.notes) == refused


def test_single_spikes_and_no_data_codes_are_dropped_and_counted(tmp_path: Path) -> None:
    values = [0.2] * 26 + [1.7, -9999.0]
    rows = [reading(f"2019-04-{day:02d}", value) for day, value in enumerate(values, 1)]
    found = read(write(tmp_path, rows))
    assert len(found.readings) == 26
    assert "1 value above 1 m3/m3 (spikes) left out: A." in found.notes
    assert "1 value below -0.1 m3/m3 (no-data codes?) left out: A." in found.notes


@pytest.mark.parametrize(
    ("values", "kept", "told"),
    [
        ([0.2, 0.2, 0.2], 0.2, "2 readings repeated with the same time and value"),
        ([0.2, 0.3], 0.25, "different values: their mean is taken"),
        ([0.3, 0.1, None], 0.2, "they differ by up to 0.2"),
    ],
)
def test_duplicate_times(tmp_path: Path, values: list[float | None], kept: float, told: str) -> None:
    rows = [reading("2019-04-01T06:30Z", value) for value in values] + [reading("2019-04-01T07:30Z", 0.4)]
    found = read(write(tmp_path, rows))
    assert found.readings["sm"].tolist() == pytest.approx([kept, 0.4])
    assert any(told in note for note in found.notes)


def test_the_same_time_at_another_sensor_is_no_duplicate(tmp_path: Path) -> None:
    rows = [reading("2019-04-01T06:30Z", 0.1 * number, sensor=str(number)) for number in (1, 2, 3)]
    found = read(write(tmp_path, rows))
    assert found.readings["sm"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert found.sensors["sensor"].is_unique


@pytest.mark.parametrize(
    ("lon", "lat", "told"),
    [
        (31.5, 117.25, "perhaps they are swapped"),
        (None, 31.5, "without coordinates"),
        (None, None, "without"),
    ],
)
def test_stations_that_are_nowhere(tmp_path: Path, lon: object, lat: object, told: str) -> None:
    rows = [reading("2019-04-01", station="fine"), reading("2019-04-01", station="X", lon=lon, lat=lat)]
    found = read(write(tmp_path, rows))
    assert any(told in note and "X" in note and "fine" not in note for note in found.notes)
    assert found.sensors.set_index("station").loc["X", "reason"] == "" or "swapped" in told


def test_a_station_at_several_places_is_told(tmp_path: Path) -> None:
    rows = [reading("2019-04-01"), reading("2019-04-02", lat=31.6)]
    found = read(write(tmp_path, rows))
    assert found.sensors[["lon", "lat"]].to_numpy().tolist() == [[117.25, 31.5]]
    assert any("1 station given at several places" in note for note in found.notes)


def test_depth_may_be_one_number_or_two(tmp_path: Path) -> None:
    base = {"station": "A", "lon": 1, "lat": 2, "time": "2019-04-01T06:30Z", "value": 0.2}
    layers = [base | {"depth_from": 0.0, "depth_to": 0.05}, base | {"depth_from": 0.3, "depth_to": 0.1}]
    found = read(write(tmp_path, layers))
    assert found.sensors[["depth_from", "depth_to"]].to_numpy().tolist() == [[0.0, 0.05], [0.1, 0.3]]
    assert found.sensors["reason"].tolist()[0] == ""
    assert "measures at 0.1-0.3 m, not within 0-0.1 m" in found.sensors["reason"].tolist()[1]
    with pytest.raises(DataError, match=r"A.*measures at 5 m"):
        read(write(tmp_path, [base | {"depth": 5}]))
    with pytest.raises(DataError, match="probably cm"):
        read(write(tmp_path, [base | {"depth": 20}]))


def test_a_simulated_table_stays_marked(tmp_path: Path) -> None:
    found = read(write(tmp_path, [reading("2019-04-01", simulated=True)]))
    table, _ = daily_table(found, NOON)
    assert found.simulated
    assert table["simulated"].tolist() == [True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty"),
        ("station,time,value\n", "the table has no rows"),
        ("station,when,value\nA,2019-04-01,0.2\n", "no column time or date; it has station, when, value"),
        ("name,moisture\nA,0.2\n", "no column station or cell, no column time or date, no column value"),
        ("station,time,value\nA,yesterday,0.2\n", r"time: missing or unreadable in 1 of 1 rows.*yesterday"),
        ("station,time,value\nA,2019-13-40,0.2\n", "time: missing or unreadable"),
        ("station,time,value\nA,2019-04-01T06:30,wet\n", "value: 1 of 1 values are no numbers.*wet"),
        ("station,time,value\n,2019-04-01,0.2\n", "station is missing or unreadable"),
        ("station,time,value\nA,2019-04-01,\n", "no soil moisture can be used"),
        ("station,time,value,unit\nA,2019-04-01,12,mm\n", "'mm' is not known.*divide mm by the layer"),
        ("station,time,value,timezone\nA,2019-04-01,0.2,Mars/Base\n", "Mars/Base is no time zone"),
        ("station,time,value\nA,2019-04-01,0.2,9\n", "cannot be read as csv"),
    ],
)
def test_broken_tables_say_what_is_wrong(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=f"(?s){told}") as failed:
        read(path)
    assert "broken.csv" in str(failed.value)


def test_all_faults_of_a_table_come_in_one_message(tmp_path: Path) -> None:
    rows = [{"station": None, "time": "soon", "value": "wet", "unit": "mm", "timezone": "Nowhere"}] * 2
    with pytest.raises(DataError) as failed:
        read(write(tmp_path, rows))
    for what in ("station", "time:", "value:", "unit:", "timezone:"):
        assert what in str(failed.value)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [reading("2019-04-01")], "probes.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="may be cut off"):
        read(path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timezone": "Peking"}, "IANA name"),
        ({"bulk_density": 1350.0}, "kg/m3 / 1000"),
        ({"unit": "mm"}, "divide mm by the layer"),
        ({"depth": (0.1, 0.0)}, "from the surface down"),
        ({"flags": ()}, "no quality flag"),
    ],
)
def test_wrong_options_are_mistakes_of_the_user(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(write(tmp_path, [reading("2019-04-01")]), **options)


@pytest.mark.parametrize(("name", "told"), [("none.csv", "no such file"), ("probes.xlsx", "a .zip file or")])
def test_other_paths_are_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "probes.xlsx").write_text("x")
    with pytest.raises(DataError, match=told):
        read(tmp_path / name)


def test_missing_values_are_no_readings(tmp_path: Path) -> None:
    rows = [reading("2019-04-01T06:30Z", value) for value in (np.nan, 0.3)]
    assert read(write(tmp_path, rows)).readings["sm"].tolist() == [0.3]


@pytest.mark.parametrize("name", ["daily.csv", "daily.parquet"])
def test_a_daily_table_read_again_is_the_same(tmp_path: Path, name: str) -> None:
    rows = [reading(f"2019-04-{day:02d}T06:30Z", day / 100, network="NET") for day in range(1, 20)]
    table, _ = daily_table(read(write(tmp_path, rows)), Window(7.5))
    again, _ = daily_table(read(write(tmp_path, table.to_dict("records"), name)), Window(7.5))
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
