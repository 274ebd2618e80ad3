"""The chain on real observations: US Earth Engine exports and stations, and the Ethiopia table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

STUDIES = Path(__file__).parents[1] / "data"


def edited(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def real_scores(model: Path) -> pd.DataFrame:
    scores = pd.read_csv(model / "scores.csv")
    return scores[scores["partition"] == "all"].set_index(["split", "model"])


def pairs_at_stations(stations: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """In-situ and SMAP values (mm of 5 cm) of the stations with enough pairs, from the export itself."""
    pairs = stations.assign(smap=stations["ssm"] / 50).dropna(subset=["insitu", "smap"])
    return pairs[pairs.groupby(["lon", "lat"])["insitu"].transform("size") >= minimum]


def check_chain(gee_smap: Callable[..., Any], stations: Path, model: Path, folder: Path) -> dict[str, Any]:
    """Predict and validate real stations by a model; returns the summary."""
    predictions, out = folder / "predictions.parquet", folder / "validation"
    told = gee_smap("predict", "--model", model, "--table", stations, "--out", predictions)
    assert told.code == 0, told.err
    assert f"gee-smap validate --predictions {predictions} --insitu FILE" in told.out
    export, found = pd.read_parquet(stations), pd.read_parquet(predictions)
    assert len(found) == len(export)
    assert found["sm"].between(0, 1).all()
    np.testing.assert_allclose(found["smap"], export["ssm"] / 50, rtol=1e-6)
    np.testing.assert_allclose(found["insitu"], export["insitu"], rtol=1e-6)
    assert not found["simulated"].any()

    told = gee_smap("validate", "--predictions", predictions, "--insitu", predictions, "--out", out)
    assert told.code == 0, told.err
    assert "improved" in told.out
    assert "worsened" in told.out
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert not summary["simulated"]
    pairs = pairs_at_stations(export, 10)
    assert summary["pairs"]["used"] == len(pairs)
    assert summary["stations"]["scored"] == pairs.groupby(["lon", "lat"]).ngroups
    raw = summary["pooled"]["smap"]
    error = pairs["smap"] - pairs["insitu"]
    assert raw["r"] == pytest.approx(np.corrcoef(pairs["smap"], pairs["insitu"])[0, 1], abs=1e-6)
    assert raw["bias"] == pytest.approx(error.mean(), abs=1e-6)
    assert raw["ubrmse"] == pytest.approx(error.std(ddof=0), abs=1e-6)
    return summary


def test_a_part_of_the_us_exports_trains_predicts_and_is_validated(
    gee_smap, shared_data, tmp_path, monkeypatch
):
    """Two of the seven regions, every fourth date, 20 stations; two splits and two folds."""
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    exports = shared_data / "us-gee-exports"
    cells = pd.read_parquet(exports / "coarse_cells.parquet")
    some = cells[cells["region"].isin(cells["region"].unique()[:2])]
    some = some[some["date"].isin(sorted(some["date"].unique())[::4])]
    stations = pd.read_parquet(exports / "stations.parquet")
    places = stations[["lon", "lat"]].drop_duplicates().head(20)
    study = tmp_path / "study.toml"
    names = 'names = ["random", "spatial", "time", "cells-and-dates", "leave-partition-out"]'
    fewer = 'names = ["random", "spatial"]\n[model]\nn_folds = 2'
    study.write_text(
        edited((STUDIES / "us-gee-exports.toml").read_text("utf-8"), (names, fewer)), encoding="utf-8"
    )
    model, cells_file, stations_file = (tmp_path / name for name in ("model", "c.parquet", "s.parquet"))
    some.to_parquet(cells_file)
    stations.merge(places).to_parquet(stations_file)
    told = gee_smap("train", "--samples", cells_file, "--study", study, "--out", model)
    assert told.code == 0, told.err
    scores = real_scores(model)
    assert scores.loc[("random", "stack"), "n"] == round(0.3 * len(some.dropna(subset=["ssm"])))
    # Measured by others on all of it: 0.944 random, 0.850 with regions held out.
    assert scores.loc[("random", "stack"), "r"] > 0.9
    assert scores.loc[("spatial", "stack"), "r"] < scores.loc[("random", "stack"), "r"]
    check_chain(gee_smap, stations_file, model, tmp_path)


@pytest.mark.long
def test_the_us_exports_train_from_the_files_as_they_are(gee_smap, shared_data, tmp_path):
    exports, model = shared_data / "us-gee-exports", tmp_path / "model"
    told = gee_smap(
        "train", "--samples", exports / "coarse_cells.parquet", "--study", STUDIES / "us-gee-exports.toml",
        "--out", model,
    )  # fmt: skip
    assert told.code == 0, told.err
    scores = real_scores(model)
    # R and RMSE measured by others with the same three libraries, untuned, on the whole table; the last is
    # theirs for regions held out.
    for split, r, rmse in (("random", 0.944, 0.046), ("leave-partition-out", 0.850, 0.075)):
        assert scores.loc[(split, "WP"), "r"] == pytest.approx(r, abs=0.02)
        assert scores.loc[(split, "WP"), "rmse"] == pytest.approx(rmse, abs=0.008)
    for model_name in ("XGBoost", "LightGBM", "CatBoost", "stack", "WP"):
        easy = scores.loc[("random", model_name), "r"]
        for split in ("spatial", "time", "cells-and-dates"):
            assert scores.loc[(split, model_name), "r"] < easy - 0.02
    check_chain(gee_smap, exports / "stations.parquet", model, tmp_path)


@pytest.fixture
def ethiopia(shared_data: Path) -> Path:
    return shared_data / "ethiopia-smap-l4" / "all_locust_training_data.csv"


def test_the_garbage_column_of_the_ethiopia_table_is_refused_by_name(gee_smap, ethiopia, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(
        edited(
            (STUDIES / "ethiopia.toml").read_text("utf-8"),
            ('# humidity = "Relative_Humidity"', 'humidity = "Relative_Humidity"'),
            ('"wind_u", "wind_v"]', '"wind_u", "wind_v", "humidity"]'),
        ),
        encoding="utf-8",
    )
    told = gee_smap("train", "--samples", ethiopia, "--study", study, "--out", tmp_path / "model")
    assert (told.code, told.out) == (2, "")
    assert f"{ethiopia}: 1 problem in the table" in told.err
    assert "humidity (from Relative_Humidity)" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def test_the_ethiopia_table_trains_without_it(gee_smap, ethiopia, tmp_path):
    model = tmp_path / "model"
    told = gee_smap("train", "--samples", ethiopia, "--study", STUDIES / "ethiopia.toml", "--out", model)
    assert told.code == 0, told.err
    assert "splits by time cannot be made" in told.out
    scores, rows = real_scores(model), len(pd.read_csv(ethiopia))
    assert scores.loc[("random", "stack"), "n"] == round(0.3 * rows)
    assert scores.loc[("spatial", "stack"), "r"] < scores.loc[("random", "stack"), "r"]
    done = gee_smap("predict", "--model", model, "--table", ethiopia, "--out", tmp_path / "p.csv")
    assert done.code == 0, done.err
    assert len(pd.read_csv(tmp_path / "p.csv")) == rows
