"""Downloads of the ISMN, held against their raw text."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.insitu.reading import read_insitu
from pipeline.insitu.series import Insitu

pytest.importorskip("ismn")

ARCHIVES = {  # file or folder -> station: (network, upper and lower depth, lon, lat), read in the files' text
    "Data_seperate_files_20170810_20180809.zip": {
        "ARM-1": ("COSMOS", 0.0, 0.19, -97.4878, 36.6054),
        "Barrow-ARM": ("COSMOS", 0.0, 0.21, -156.6287, 71.3298),
        "fraye": ("FR_Aqui", 0.05, 0.05, -0.7269, 44.467),
    },
    "Data_seperate_files_header_20170810_20180809.zip": {
        "ARM-1": ("COSMOS", 0.0, 0.19, -97.4878, 36.6054),
        "Barrow-ARM": ("COSMOS", 0.0, 0.21, -156.6287, 71.3298),
    },
    "Data_header_values.zip": {
        "CST-01": ("MAQU", 0.05, 0.05, 102.1333, 33.8833),
        "CST-02": ("MAQU", 0.05, 0.05, 102.1333, 33.6666),
        "AAMU-jtg": ("SCAN", 0.05, 0.05, -86.55, 34.783),
        "Abrams": ("SCAN", 0.05, 0.05, -97.083, 37.133),
        "AdamsRanch#1": ("SCAN", 0.05, 0.05, -105.417, 34.25),
        "node414": ("SOILSCAPE", 0.05, 0.05, -120.9675, 38.43003),
        "node505": ("SOILSCAPE", 0.05, 0.05, -120.78559, 38.14956),
        "node703": ("SOILSCAPE", 0.05, 0.05, -120.80639, 38.17353),
    },
    "maqu": {
        "CST-01": ("MAQU", 0.05, 0.05, 102.1333, 33.8833),
        "CST-02": ("MAQU", 0.05, 0.05, 102.1333, 33.6666),
    },
}
ALL_DEPTHS = (0.0, 5.0)
HEADER = "{network} {network} {station} {lat} {lon} 10.0 {top:.2f} {bottom:.2f} {probe}"


def quiet(_: str, __: float) -> None:
    pass


@dataclass
class Raw:
    """One file's lines, taken apart by hand."""

    station: str
    times: list[dt.datetime]
    values: list[float]
    flags: list[str]


@cache
def raw(path: Path) -> list[Raw]:
    if path.is_dir():
        texts = {file.name: file.read_text("ascii") for file in path.rglob("*.stm")}
    else:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".stm")]
            texts = {name.rpartition("/")[2]: archive.read(name).decode("ascii") for name in names}
    found = []
    for name, text in texts.items():
        lines = [line.split() for line in text.splitlines() if line.strip()]
        if lines[0][0].count("/") == 2:  # CEOP: nominal time, actual time, eight of the site, value, flags
            rows = [[*line[:2], *line[12:14]] for line in lines]
        else:
            rows = [line[:4] for line in lines[1:]]
        found.append(
            Raw(
                name.split("_")[2],
                [dt.datetime.fromisoformat(f"{row[0].replace('/', '-')} {row[1]}") for row in rows],
                [float(row[2]) for row in rows],
                [row[3] for row in rows],
            )
        )
    return found


def of(insitu: Insitu, station: str) -> pd.DataFrame:
    ids = insitu.sensors.loc[insitu.sensors["station"] == station, "sensor"]
    return insitu.readings[insitu.readings["sensor"].isin(ids)]


def stm(folder: Path, station: str, rows: list[str], **about: object) -> Path:
    """A file as the network writes them, of simulated readings."""
    told = {"network": "NET", "lat": 31.5, "lon": 117.25, "top": 0.05, "bottom": 0.05, "probe": "P-1"} | about
    name = "NET_NET_{}_{}_{:f}_{:f}_{}_20190401_20190402.stm".format(
        station, told.pop("variable", "sm"), told["top"], told["bottom"], told["probe"]
    )
    file = folder / str(told["network"]) / station / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([HEADER.format(station=station, **told), *rows]) + "\n")
    return file


ROWS = ["2019/04/01 00:00   0.2000 G M", "2019/04/01 01:00   0.2100 D03 M", "2019/04/01 02:00   0.2200 G M"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_archive_is_read_completely(name: str, shared_data: Path) -> None:
    path = shared_data / "ismn-archives" / name
    texts = raw(path)
    every = tuple({flag for one in texts for flag in one.flags})

    read = read_insitu(path, quiet, depth=ALL_DEPTHS, flags=every)

    sensors = read.sensors.set_index("station")
    assert set(sensors.index) == set(ARCHIVES[name]) == {one.station for one in texts}
    for station, (network, top, bottom, lon, lat) in ARCHIVES[name].items():
        one = sensors.loc[station]
        found = [one["network"], one["depth_from"], one["depth_to"], one["lon"], one["lat"]]
        assert found == [network, top, bottom, lon, lat]
    for one in texts:
        kept = [(t, v) for t, v in zip(one.times, one.values, strict=True) if -0.1 <= v <= 1]
        series = of(read, one.station)
        assert len(series) == sensors.loc[one.station, "readings"] == len(kept)
        assert (series["time"].to_numpy() == np.array([t for t, _ in kept], "datetime64[ns]")).all()
        assert (series["sm"].to_numpy() == np.array([v for _, v in kept])).all()


@pytest.mark.parametrize("name", ARCHIVES)
def test_readings_of_other_flags_are_counted_and_left_out(name: str, shared_data: Path) -> None:
    path = shared_data / "ismn-archives" / name
    wanted = "G" if "seperate" in name else "U"  # the older two have no G at all
    texts = raw(path)
    counts = Counter(flag for one in texts for flag in one.flags)

    read = read_insitu(path, quiet, depth=ALL_DEPTHS, flags=(wanted,))

    for one in texts:
        assert len(of(read, one.station)) == one.flags.count(wanted) > 0
    [flag, number] = next(pair for pair in counts.most_common() if pair[0] != wanted)
    note = next(note for note in read.notes if "the flag" in note)
    assert note.startswith(f"{counts[wanted]:,} of {counts.total():,} readings have the flag {wanted}")
    assert f"{number:,} {flag}" in note


def test_an_archive_without_any_good_reading_says_which_flags_it_has(shared_data: Path) -> None:
    with pytest.raises(DataError) as failed:
        read_insitu(shared_data / "ismn-archives" / "maqu", quiet)
    assert "0 of 34,017 readings have the flag G" in str(failed.value)
    assert "CST-01, CST-02" in str(failed.value)
    assert "name the flag U" in str(failed.value)


def test_stations_at_another_depth_are_listed(shared_data: Path) -> None:
    path = shared_data / "ismn-archives" / "Data_seperate_files_20170810_20180809.zip"
    read = read_insitu(path, quiet, depth=(0.0, 0.1))
    used = read.sensors[read.sensors["reason"] == ""]
    assert list(used["station"]) == ["fraye"]
    assert any("ARM-1" in note and "0-0.19 m, not within 0-0.1 m" in note for note in read.notes)
    assert any("Barrow-ARM" in note and "0-0.21 m" in note for note in read.notes)


def test_nothing_is_left_beside_the_archive_or_in_the_temporary_folder(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "mine"
    scratch.mkdir()
    shutil.copytree(shared_data / "ismn-archives" / "maqu", place / "maqu")
    shutil.copy(shared_data / "ismn-archives" / "Data_seperate_files_header_20170810_20180809.zip", place)
    before = sorted(place.rglob("*"))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    for path, flag in ((place / "maqu", "U"), (before[0], "G")):
        read_insitu(path, quiet, depth=ALL_DEPTHS, flags=(flag,))
    assert sorted(place.rglob("*")) == before
    assert list(scratch.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_zip_file_that_is_cut_off_is_refused(shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / "ismn-archives" / "Data_header_values.zip").read_bytes()
    for share in (0.0, 0.3, 0.99):
        cut = tmp_path / "cut.zip"
        cut.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=r"cut\.zip is cut off or no zip file.*download it again"):
            read_insitu(cut, quiet)


def test_a_damaged_file_in_a_zip_is_told_and_the_others_are_read(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "ismn-archives" / "Data_header_values.zip"
    damaged = tmp_path / "damaged.zip"
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        member = next(one for one in archive.infolist() if "CST-02" in one.filename and one.file_size)
    start = member.header_offset + 30 + len(member.filename) + 64 + member.compress_size // 2
    content[start : start + 200] = bytes(200)
    damaged.write_bytes(content)

    read = read_insitu(damaged, quiet, flags=("U",))

    assert "CST-02" not in set(read.sensors["station"])
    assert len(read.sensors) == 7
    [note] = [note for note in read.notes if "cannot be read" in note]
    assert "CST-02" in note
    assert "download it again" in note


def test_a_file_that_breaks_off_never_adds_a_reading(tmp_path: Path) -> None:
    whole = stm(tmp_path / "whole", "A", ROWS).read_text()
    stm(tmp_path / "cut", "B", ROWS)
    good = {(row.split()[1], float(row.split()[2])) for row in ROWS if " G " in row}
    for length in range(0, len(whole), 3):
        cut = stm(tmp_path / "cut", "A", ROWS)
        cut.write_text(whole[:length])
        read = read_insitu(tmp_path / "cut", quiet)
        assert len(of(read, "B")) == 2
        series = of(read, "A")
        assert {(f"{row.time:%H:%M}", row.sm) for row in series.itertuples()} <= good
        if "A" not in set(read.sensors["station"]):
            assert any("NET_NET_A_sm" in note and "cannot be read" in note for note in read.notes)


def test_files_that_are_none_of_the_networks_are_told(tmp_path: Path) -> None:
    stm(tmp_path, "A", ROWS)
    (tmp_path / "NET_NET_X_sm_deep_deep_P_1_2.stm").write_text("not a file of the network\n")
    (tmp_path / "NET_NET_Y_sm_0.05_0.05_P_1_2.stm").write_bytes(bytes(range(256)))
    (tmp_path / "notes.txt").write_text("mine")
    read = read_insitu(tmp_path, quiet)
    assert list(read.sensors["station"]) == ["A"]
    assert sum("cannot be read" in note for note in read.notes) == 2


@pytest.mark.parametrize("content", ["nothing", "temperature"])
def test_a_folder_without_soil_moisture_is_refused(tmp_path: Path, content: str) -> None:
    if content == "temperature":
        stm(tmp_path, "A", ROWS, variable="ts")
    with pytest.raises(DataError, match="no file of soil moisture"):
        read_insitu(tmp_path, quiet)


def test_only_soil_moisture_is_read_and_sensors_of_a_site_stay_apart(tmp_path: Path) -> None:
    stm(tmp_path, "A", ROWS, probe="P_1_1")
    stm(tmp_path, "A", ["2019/04/01 00:00   0.3000 G M", *ROWS[1:]], probe="P_2_1")
    stm(tmp_path, "A", ROWS, probe="P_1_1", top=0.1, bottom=0.1)
    stm(tmp_path, "A", ["2019/04/01 00:00   14.2000 G M"] * 3, variable="ts")
    read = read_insitu(tmp_path, quiet)
    found = read.sensors[["station", "depth_from", "instrument", "readings"]]
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("A", 0.05, "P_1_1", 2),
        ("A", 0.05, "P_2_1", 2),
        ("A", 0.1, "P_1_1", 2),
    ]


def test_a_station_name_in_two_networks_stays_two_stations(tmp_path: Path) -> None:
    stm(tmp_path, "A", ROWS)
    stm(tmp_path, "A", ROWS, network="OTHER", lon=100.0)
    stm(tmp_path, "B", ROWS)
    read = read_insitu(tmp_path, quiet)
    assert set(read.sensors["station"]) == {"NET/A", "OTHER/A", "B"}
    assert any("network/station" in note for note in read.notes)


def test_readings_outside_the_period_are_not_kept(shared_data: Path) -> None:
    path = shared_data / "ismn-archives" / "Data_seperate_files_header_20170810_20180809.zip"
    period = (dt.date(2018, 3, 1), dt.date(2018, 3, 31))
    texts = {one.station: one for one in raw(path)}
    read = read_insitu(path, quiet, depth=ALL_DEPTHS, period=period)
    for station, one in texts.items():
        near = [
            time
            for time, flag in zip(one.times, one.flags, strict=True)
            if flag == "G" and dt.datetime(2018, 2, 28) <= time < dt.datetime(2018, 4, 2)
        ]
        assert len(of(read, station)) == len(near)
    with pytest.raises(DataError, match="no usable reading from 2001-01-01 to 2001-01-31"):
        read_insitu(path, quiet, depth=ALL_DEPTHS, period=(dt.date(2001, 1, 1), dt.date(2001, 1, 31)))


def test_without_the_package_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stm(tmp_path, "A", ROWS)
    monkeypatch.setitem(sys.modules, "ismn.filehandlers", None)
    with pytest.raises(ConfigError, match=r'pip install "gee-smap\[validation\]"'):
        read_insitu(tmp_path, quiet)


def test_progress_is_told_from_the_first_file_to_the_end(tmp_path: Path) -> None:
    for station in "ABCD":
        stm(tmp_path, station, ROWS)
    shares: list[float] = []
    read_insitu(tmp_path, lambda what, share: shares.append(share))
    assert shares == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("useless", [{"timezone": "Asia/Shanghai"}, {"bulk_density": 1.3}, {"unit": "vol%"}])
def test_options_of_tables_are_refused(tmp_path: Path, useless: dict[str, object]) -> None:
    stm(tmp_path, "A", ROWS)
    with pytest.raises(ConfigError, match="in UTC and m3/m3"):
        read_insitu(tmp_path, quiet, **useless)  # type: ignore[arg-type]
