"""The command ``run``: the whole chain on a table it makes itself, and says so everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import pipeline.run
from models import store
from pipeline import figures

FIGURES = ("map.png", "box.png", "scatter.png", "series.png")


class Ran(NamedTuple):
    told: Any  # code, out and err
    folder: Path
    done: pipeline.run.Run


@pytest.fixture(scope="module")
def ran(gee_smap, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The command ``run`` on fewer cells and days, two folds and three splits."""
    folder = tmp_path_factory.mktemp("run") / "out"
    kept = []

    def keep(*args: Any, **options: Any) -> pipeline.run.Run:
        kept.append(original(*args, **options))
        return kept[0]

    original = pipeline.run.run_example
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SIDE": 8, "DAYS": 70, "STATIONS": 6, "run_example": keep}.items():
            patch.setattr(pipeline.run, name, value)
        quick = '[model]\nn_folds = 2\n[splits]\nnames = ["random", "spatial", "leave-partition-out"]\n'
        patch.setattr(pipeline.run, "STUDY", pipeline.run.STUDY + quick)
        patch.setattr(figures, "DPI", 40)
        told = gee_smap("run", "--out", folder, "--seed", 2)
    return Ran(told, folder, kept[0])


def test_run_says_first_of_all_that_everything_is_simulated(ran):
    assert ran.told.code == 0
    assert ran.told.out.splitlines()[0] == (
        "All data of this run are simulated: a made-up region and made-up stations."
    )
    assert "At simulated stations in cells kept out of training" in ran.told.out
    assert "Simulated data: the scores say nothing about real soil moisture." in ran.told.out


def test_run_writes_what_it_documents_and_every_table_says_simulated(ran):
    tables = ["samples.parquet", "table.parquet", "stations.parquet", "predictions.parquet"]
    top = {path.name for path in ran.folder.iterdir()}
    assert top == {"study.toml", "model", "validation", *tables}
    for name in tables:
        assert pd.read_parquet(ran.folder / name)["simulated"].all(), name
    assert store.load(ran.folder / "model")[1].simulated
    summary = json.loads((ran.folder / "validation" / "summary.json").read_text(encoding="utf-8"))
    assert summary["simulated"]
    assert {path.name for path in (ran.folder / "validation").iterdir()} == {
        "stations.csv", "summary.json", *FIGURES,
    }  # fmt: skip
    assert "simulated" in (ran.folder / "study.toml").read_text(encoding="utf-8")


def test_run_validates_in_cells_it_did_not_train_on(ran):
    samples, table, stations, predictions = (
        pd.read_parquet(ran.folder / f"{name}.parquet")
        for name in ("samples", "table", "stations", "predictions")
    )
    places = set(stations["station"])
    assert len(places) == 6
    assert set(table["cell"]) == set(predictions["cell"]) == places
    assert not places & set(samples["cell"])
    assert len(samples) + len(table) == 8 * 8 * 70


def test_run_prints_how_the_prediction_does_beside_raw_smap(ran):
    predictions = pd.read_parquet(ran.folder / "predictions.parquet")
    stations = pd.read_parquet(ran.folder / "stations.parquet")
    both = predictions.merge(stations, left_on=["cell", "date"], right_on=["station", "date"])
    line = next(line for line in ran.told.out.splitlines() if "R, median" in line)
    for product in ("sm", "smap"):
        by_station = [own[product].corr(own["insitu"]) for _, own in both.groupby("station")]
        assert f"{np.median(by_station):.3f} [" in line
    assert f"gee-smap explain --model {ran.folder / 'model'}" in ran.told.out


def test_run_as_json_says_simulated_and_carries_both_results(gee_smap, ran, monkeypatch):
    monkeypatch.setattr(pipeline.run, "run_example", lambda *args, **options: ran.done)
    told = json.loads(gee_smap("run", "--out", ran.folder, "--json").out, parse_constant=pytest.fail)
    assert told["simulated"] is True
    assert told["folder"] == str(ran.folder)
    assert len(told["scores"]) == 3 * 4 * 5
    assert told["validation"]["products"] == ["prediction", "smap"]


def test_run_touches_no_folder_that_holds_something_else(gee_smap, tmp_path):
    (tmp_path / "study.toml").write_text('name = "mine"')
    told = gee_smap("run", "--out", tmp_path)
    assert told.code == 2
    assert "holds something else than this example" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    assert (tmp_path / "study.toml").read_text() == 'name = "mine"'
