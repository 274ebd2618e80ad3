"""Whatever the user has becomes one daily file; what is daily already stays where it is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.insitu.daily import Reading, daily_file, is_daily
from pipeline.insitu.matching import Window

NIGHT = Window(centre=-1.5, hours=6)  # 22:30 UTC of the day before


def told(what: str, share: float) -> None:
    assert 0 <= share <= 1


def write(path: Path, **columns: list[object]) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["station", "cell"])
def test_a_daily_table_is_used_as_it_is(tmp_path: Path, name: str) -> None:
    given = write(tmp_path / "daily.csv", **{name: ["a"], "date": ["2019-04-02"], "insitu": [0.2]})
    assert is_daily(given)
    assert daily_file(given, tmp_path / "out" / "insitu.parquet", Reading(NIGHT), told) == (given, ())
    assert not (tmp_path / "out").exists()


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
