"""The command ``doctor``: what it says of each source, of one that differs, and of an engine that is gone.

The engine is the local one, whose simulated sources have the form of the real ones.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

import gee.connection
from gee.catalog import LST, SENTINEL1, SMAP, SOURCES, Band, Source
from gee.connection import LocalAddress
from pipeline.cloud import asking, doctor
from pipeline.errors import EngineError

pytestmark = pytest.mark.usefixtures("engine_of_tests")


@pytest.fixture(scope="module")
def told(gee_smap) -> dict[str, Any]:
    """The answer as JSON."""
    answered = gee_smap("doctor", "--json")
    assert answered.code == 0, answered.err
    content: dict[str, Any] = json.loads(answered.out, parse_constant=pytest.fail)
    return content


def only(monkeypatch: pytest.MonkeyPatch, *sources: Source) -> None:
    """Have doctor ask about these sources alone."""
    monkeypatch.setattr(doctor, "SOURCES", {source.name: source for source in sources})


def test_every_source_of_the_catalogue_is_asked_about(told):
    assert told["engine"] == "local"
    assert [one["id"] for one in told["sources"]] == [source.id for source in SOURCES.values()]


@pytest.mark.parametrize(
    ("source", "crs", "metres", "band", "first", "last"),
    [
        ("reflectance", "SR-ORG:6974", 463.312716527917, "sur_refl_b01", "2015-01-01", "2025-12-27"),
        ("lst", "SR-ORG:6974", 926.625433055833, "QC_Day", "2015-01-01", "2025-12-31"),
        ("smap", "EPSG:4326", 0.09516256938937351, "sm_surface", "2015-03-31", "2025-12-31"),
        ("rain", "EPSG:4326", 0.05, "precipitation", "2015-01-01", "2025-12-31"),
        ("srtm", "EPSG:4326", 1 / 1200, "elevation", None, None),
    ],
)
def test_projection_types_and_dates_are_those_of_the_engine(told, source, crs, metres, band, first, last):
    [found] = [one for one in told["sources"] if one["source"] == source]
    assert (found["crs"], found["first"], found["last"]) == (crs, first, last)
    assert found["transform"][0] == pytest.approx(metres, rel=1e-12)
    assert band in found["types"]
    assert found["simulated"] is True


def test_scenes_have_the_dates_at_one_place(told):
    [found] = [one for one in told["sources"] if one["source"] == "sentinel1"]
    assert found["crs"] == "EPSG:32650"  # of Hefei
    assert found["types"]["VV"].startswith("float")
    # A satellite is back over a place after 12 days at most.
    assert "2015-01-01" <= found["first"] <= "2015-01-12"
    assert "2025-12-20" <= found["last"] <= "2025-12-31"


def test_the_time_stamp_of_smap_is_told(told):
    # 01:30, 04:30, ...: what the user guide of SPL4SMGP says of its granules' names.
    assert told["smap_time_stamp"] == (
        "NASA/SMAP/SPL4SMGP/008: 8 images on 2019-04-10, stamped at the middle of their three hours"
    )


@pytest.fixture
def withdrawn(monkeypatch: pytest.MonkeyPatch) -> Source:
    """The elevation of a version that the engine does not have."""
    source = replace(SOURCES["glo30"], id="COPERNICUS/DEM/GLO30_2014_1")
    monkeypatch.setattr(asking, "INSTEAD", {source.id: asking.INSTEAD[SOURCES["glo30"].id]})
    return source


def test_a_source_that_is_missing_is_told_with_what_does_without_it(gee_smap, monkeypatch, withdrawn):
    only(monkeypatch, withdrawn, SOURCES["boundaries"])
    [found, _] = json.loads(gee_smap("doctor", "--json").out)["sources"]
    assert "COPERNICUS/DEM/GLO30_2014_1 does not exist, or you may not read it" in found["error"]
    assert 'elevation = "srtm"' in found["error"]
    assert (found["types"], found["first"]) == ({}, None)


def test_the_table_for_people_names_what_differs_and_what_is_simulated(gee_smap, monkeypatch, withdrawn):
    only(monkeypatch, LST, withdrawn, SOURCES["boundaries"])
    answered = gee_smap("doctor")
    assert answered.code == 0
    lines = [" ".join(line.split()) for line in answered.out.splitlines()]
    assert lines[0] == "Account on the local engine"
    assert any(line.startswith("bucket ok gs://") for line in lines)
    assert "Sources on the local engine" in lines
    row = "MODIS/061/MOD11A1 SR-ORG:6974 926.6254 int 7500..65535 2015-01-01 2025-12-31 1"
    assert row in lines
    assert "COPERNICUS/DEM/GLO30_2014_1 failed" in lines
    assert "WM/geoLab/geoBoundaries/600/ADM1" in lines
    assert f"note: MODIS/061/MOD11A1 begins on 2015-01-01, not on {LST.start}" in lines
    assert any("The sources are simulated by the local engine" in line for line in lines)


DIFFERENCES = {
    "another system": (replace(SMAP, crs="EPSG:6933"), "is on EPSG:4326, not on EPSG:6933"),
    "another grid": (
        replace(SMAP, transform=(0.1, 0, -180, 0, -0.1, 85)),
        "has transform [0.09516256938937351, 0, -180, 0, -0.09516149300147864, 85.04450187981062], not "
        "[0.1, 0, -180, 0, -0.1, 85]",
    ),
    "a band that is gone": (
        replace(SMAP, bands=(*SMAP.bands, Band("sm_moon"))), "has no band sm_moon",
    ),
    "the only band that is gone": (replace(SMAP, bands=(Band("sm_moon"),)), "has no band sm_moon"),
    "a later beginning": (
        replace(SMAP, start=dt.date(2014, 1, 1)), "begins on 2015-03-31, not on 2014-01-01",
    ),
    "an end": (replace(SMAP, end=dt.date(2024, 6, 1)), "ends on 2025-12-31, not on 2024-06-01"),
    "an earlier beginning": (
        replace(SMAP, start=dt.date(2016, 1, 1)), "begins on 2015-03-31, not on 2016-01-01",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("row", "difference"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_what_differs_from_the_catalogue_is_told_and_nothing_else(gee_smap, monkeypatch, row, difference):
    only(monkeypatch, row)
    answered = gee_smap("doctor", "--json")
    assert answered.code == 0
    [found] = json.loads(answered.out)["sources"]
    [told] = found["differences"]
    assert told.startswith(difference)


def test_scenes_of_one_place_say_nothing_of_when_an_archive_begins(gee_smap, monkeypatch):
    only(monkeypatch, replace(SENTINEL1, start=dt.date(2014, 12, 20)))
    [found] = json.loads(gee_smap("doctor", "--json").out)["sources"]
    assert (found["first"] is not None, found["differences"]) == (True, [])


def test_a_collection_that_is_not_there_is_no_reason_to_stop(gee_smap, monkeypatch):
    only(monkeypatch, replace(LST, id="MODIS/061/MOD11A9"), SMAP)
    content = json.loads(gee_smap("doctor", "--json").out)
    lost, fine = content["sources"]
    assert "MODIS/061/MOD11A9 does not exist" in lost["error"]
    assert (fine["error"], fine["differences"]) == ("", [])


def test_an_engine_that_does_not_answer_is_a_failure(gee_smap, monkeypatch):
    monkeypatch.setattr(gee.connection, "_local_address", lambda *_: LocalAddress("http://127.0.0.1:9", None))
    answered = gee_smap("doctor", "--json")
    assert answered.code == 1
    content = json.loads(answered.out)
    failed = {
        check["check"]: check["detail"]
        for check in content["account"]["checks"]
        if check["state"] == "failed"
    }
    assert "No Earth Engine answers at http://127.0.0.1:9" in failed["project"]
    assert "sources" not in content


def test_an_engine_that_goes_away_is_a_failure(gee_smap, monkeypatch):
    def gone(_: Any) -> Any:
        raise EngineError("Earth Engine does not answer: connection refused")

    monkeypatch.setattr(doctor, "asked", gone)
    answered = gee_smap("doctor", "--json")
    assert (answered.code, answered.out) == (1, "")
    assert "No source could be asked" in answered.err
    assert "connection refused" in answered.err


def test_a_source_without_any_image_leaves_the_others_to_be_asked(monkeypatch):
    monkeypatch.setattr(doctor, "asked", lambda thing: None)  # as of the first of no images
    found = doctor._found(replace(SOURCES["lst"], start=dt.date(2015, 1, 1), end=dt.date(2015, 12, 31)))
    assert found.error == f"{LST.id} has no image on this engine"
