"""What stations tell beside scores is made where it can be, from CSV as from Parquet; all simulated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gee.timeseries import Calendar
from pipeline.errors import EngineError
from pipeline.insitu.daily import Reading
from pipeline.insitu.matching import Window
from pipeline.scores import evidence
from pipeline.scores.evidence import Asked, Evidence, of_table

DAYS = pd.date_range("2019-06-01", periods=120)
NAMES = [f"s{number}" for number in range(7)]
HOW = Reading(Window(centre=-1.5))
FALLEN = np.where(np.arange(len(DAYS)) % 15 == 5, 30.0, 0.0)  # mm/day
SUFFIXES = pytest.mark.parametrize("suffix", ["csv", "parquet"])


def quiet(what: str, share: float) -> None:
    assert what
    assert 0 <= share <= 1


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time and are looked at elsewhere."""
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    monkeypatch.setattr("pipeline.scores.validate._figures", lambda *_: {})


def rows() -> pd.DataFrame:
    """One signal with rain every fifteenth day; probe, map, SMAP and SMCI have errors of their own."""
    random = np.random.default_rng(3)
    table = pd.DataFrame({
        "station": np.repeat(NAMES, len(DAYS)), "date": np.tile(DAYS, len(NAMES)), "simulated": True,
        "lon": np.repeat(117 + 0.1 * np.arange(len(NAMES)), len(DAYS)), "lat": 32.0,
    })  # fmt: skip
    signal = np.tile(0.2 + 0.1 * np.exp(-((np.arange(len(DAYS)) - 5) % 15) / 6), len(NAMES))
    for name in ("sm", "smap", "smci", "insitu"):
        table[name] = signal + random.normal(0, 0.01, len(table))
    table["rain"] = np.tile(FALLEN, len(NAMES))
    return table


def written(folder: Path, suffix: str, measured: list[str], predicted: list[str]) -> tuple[Path, Path]:
    paths = folder / f"p.{suffix}", folder / f"i.{suffix}"
    for path, columns in zip(paths, (predicted, measured), strict=True):
        part = rows()[["station", "date", "simulated", *columns]]
        part.to_csv(path, index=False) if suffix == "csv" else part.to_parquet(path)
    return paths


def weighed(predictions: Path, insitu: Path, asked: Asked) -> Evidence:
    return of_table(predictions, insitu, insitu.parent / "out", HOW, asked, quiet)


@SUFFIXES
def test_rain_that_stations_measured_is_looked_at(tmp_path: Path, suffix: str) -> None:
    found = weighed(*written(tmp_path, suffix, ["insitu", "rain"], ["sm", "smap"]), Asked())
    assert found.rain is not None
    events = pd.read_csv(tmp_path / "out" / "rain" / "events.csv")
    assert events["station"].nunique() == 7
    assert found.insitu == tmp_path / f"i.{suffix}"


def test_a_response_of_other_tables_does_not_stay_beside_new_scores(tmp_path: Path) -> None:
    events = tmp_path / "out" / "rain" / "events.csv"
    predictions, insitu = written(tmp_path, "parquet", ["insitu", "rain"], ["sm", "smap"])
    weighed(predictions, insitu, Asked())
    assert events.exists()
    dry = rows()[["station", "date", "insitu"]]
    dry.to_parquet(insitu)
    assert weighed(predictions, insitu, Asked()).rain is None
    assert not events.exists()


def test_a_response_of_the_same_tables_stays_where_it_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "rain_at", lambda *_: rows()[["station", "date", "rain"]])
    tables = written(tmp_path, "parquet", ["insitu", "lon", "lat"], ["sm", "smap"])
    assert weighed(*tables, Asked(rain=True)).rain is not None
    assert weighed(*tables, Asked()).rain is None
    assert (tmp_path / "out" / "rain" / "events.csv").exists()


@SUFFIXES
def test_rain_of_the_day_is_kept_where_a_table_has_to_be_mended(tmp_path: Path, suffix: str) -> None:
    predictions, insitu = written(tmp_path, suffix, ["insitu", "rain"], ["sm", "smap"])
    table = rows()[["station", "date", "insitu", "rain"]]
    table.loc[table["station"] == "s0", "insitu"] *= 100
    table.to_csv(insitu, index=False) if suffix == "csv" else table.to_parquet(insitu)
    found = weighed(predictions, insitu, Asked())
    assert any("(s0): values above 1 are no m3/m3" in note for note in found.notes)
    assert found.validation.summary["stations"]["scored"] == 6
    assert found.rain is not None
    assert pd.read_csv(tmp_path / "out" / "rain" / "events.csv")["station"].nunique() == 6


@SUFFIXES
@pytest.mark.parametrize("whose", ["predictions", "insitu"])
def test_chirps_is_asked_for_where_either_table_says_the_stations_are(
    tmp_path: Path, suffix: str, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["lon", "lat"]
    measured, predicted = ["insitu"], ["sm", "smap"]
    (predicted if whose == "predictions" else measured).extend(place)
    asked: list[tuple[pd.DataFrame, Calendar]] = []

    def rain_at(places: pd.DataFrame, days: Calendar, report: object) -> pd.DataFrame:
        asked.append((places, days))
        return rows()[["station", "date", "rain"]]

    monkeypatch.setattr(evidence, "rain_at", rain_at)
    found = weighed(*written(tmp_path, suffix, measured, predicted), Asked(rain=True))
    [(places, days)] = asked
    assert places.to_dict("list") == {
        "station": NAMES, "lon": pytest.approx([117 + 0.1 * n for n in range(7)]), "lat": [32.0] * 7
    }  # fmt: skip
    assert (days.start, days.end) == (DAYS[0].date(), DAYS[-1].date())
    assert found.rain is not None


def test_a_network_that_is_down_costs_the_rain_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> pd.DataFrame:
        raise EngineError("Earth Engine does not answer")

    monkeypatch.setattr(evidence, "rain_at", refused)
    paths = written(tmp_path, "parquet", ["insitu"], ["sm", "smap", "lon", "lat"])
    found = weighed(*paths, Asked(rain=True))
    assert found.rain is None
    assert "CHIRPS's rain at stations could not be had: Earth Engine does not answer" in found.notes
    assert found.validation.summary["stations"]["scored"] == 7


def test_without_places_nothing_is_asked_and_it_is_said(tmp_path: Path) -> None:
    found = weighed(*written(tmp_path, "csv", ["insitu"], ["sm", "smap"]), Asked(rain=True))
    assert found.rain is None
    assert any("no station has lon and lat" in note for note in found.notes)


@SUFFIXES
def test_a_product_that_is_independent_is_collocated(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pytesmo")
    paths = written(tmp_path, suffix, ["insitu"], ["sm", "smap", "smci"])
    found = weighed(*paths, Asked(independent=("smci",)))
    assert found.triple is not None
    assert not found.triple.refused
    assert set(found.triple.products) == {"insitu", "sm", "smci"}


def test_products_that_hang_together_are_refused_and_the_rest_is_made(tmp_path: Path) -> None:
    pytest.importorskip("pytesmo")
    paths = written(tmp_path, "parquet", ["insitu"], ["sm", "smap"])
    found = weighed(*paths, Asked(triplet=("insitu", "sm", "smap")))
    assert any(
        note.startswith("No triple collocation: Downscaled and SMAP are not independent")
        for note in found.notes
    )
    assert found.validation.summary["stations"]["scored"] == 7


def test_what_an_earlier_table_in_the_folder_was_made_of_is_not_said_of_this_one(tmp_path: Path) -> None:
    paths = written(tmp_path, "parquet", ["insitu"], ["sm", "smap"])
    told = {"products": [], "notes": ["of the collection that stood here before."], "properties": {}}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "products.json").write_text(json.dumps(told), encoding="utf-8")
    assert "of the collection that stood here before." not in weighed(*paths, Asked()).notes
