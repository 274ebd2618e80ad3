"""Predicting a table: by the stacks of the model folder, with what the study carries, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import store
from models.errors import ModelFileError
from models.partitioned import WP
from pipeline.errors import ConfigError, DataError
from pipeline.learning import predict as module
from pipeline.learning.applicability import read_areas
from pipeline.learning.predict import predict

MEMBERS = ["xgboost", "lightgbm", "catboost"]
ALL_WRITTEN = [
    "cell", "lon", "lat", "date", "partition", "smap", "simulated", "sm", "wp", *MEMBERS, "partitioned",
    "sm_lower", "sm_upper", "di", "aoa",
]  # fmt: skip


def written(frame: pd.DataFrame, folder: Path, suffix: str = ".parquet") -> Path:
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_prediction_is_what_the_stacks_of_the_folder_say(trained, table, tmp_path):
    table.loc[::7, "partition"] = "elsewhere"
    out = tmp_path / "p.parquet"
    done = predict(trained.model, written(table, tmp_path), out)
    read = pd.read_parquet(out)
    pd.testing.assert_frame_equal(read, done.frame, check_dtype=False)  # Parquet has no days, but ms
    assert sorted(read) == sorted(ALL_WRITTEN)

    model, card = store.load(trained.model)
    X = table[[one.name for one in card.predictors]].to_numpy(np.float32)
    found = model.predict(X, table["partition"].to_numpy(np.str_))
    np.testing.assert_array_equal(read["sm"], found.stack)
    np.testing.assert_array_equal(read["wp"], found.wp)
    np.testing.assert_array_equal(read[MEMBERS], found.members)
    np.testing.assert_array_equal(read["partitioned"], table["partition"] != "elsewhere")
    for name in ("hills", "plain", "mountain"):
        rows = (table["partition"] == name).to_numpy()
        by_library = model.parts[name].predict(X[rows])
        np.testing.assert_allclose(read["sm"][rows], by_library, rtol=0, atol=1e-6)


def test_the_table_names_the_model_it_is_of(trained, table, tmp_path):
    out = tmp_path / "p.parquet"
    predict(trained.model, written(table, tmp_path), out)
    told = json.loads((trained.model / "model.json").read_text(encoding="utf-8"))
    assert pd.read_parquet(out).attrs == {
        "model_hash": told["sha256"], "model_study": "simulated-small", "gee_smap": told["gee_smap"],
    }  # fmt: skip


def test_rows_say_how_far_they_can_be_trusted_by_the_stack_that_predicts_them(trained, table, tmp_path):
    table.loc[::7, "partition"] = "elsewhere"
    table.loc[3, "lst"] = 99
    found = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet").frame
    intervals, areas = store.load_intervals(trained.model), read_areas(trained.model)
    assert intervals is not None
    X = table[[one.name for one in store.read_card(trained.model).predictors]].to_numpy(np.float32)
    for name in table["partition"].unique():
        rows = (table["partition"] == name).to_numpy()
        one, area = intervals.of(name), areas.get(name, areas[WP])
        assert one is not None
        half = one.half_width(X[rows])
        np.testing.assert_allclose(found["sm_upper"][rows] - found["sm"][rows], half, rtol=1e-4)
        np.testing.assert_allclose(
            found["sm_lower"][rows], np.maximum(found["sm"][rows] - half, 0), atol=1e-6
        )
        index = area.di(X[rows])
        np.testing.assert_array_equal(found["di"][rows], index)
        np.testing.assert_array_equal(found["aoa"][rows], index <= area.threshold)
    X = X.copy()
    X[3, [one.name for one in store.read_card(trained.model).predictors].index("lst")] = 20
    area = areas.get(str(table["partition"][3]), areas[WP])
    assert found["di"][3] > area.di(X[3:4])[0]  # ninety-nine degrees are further from training than twenty
    assert 0.5 < found["aoa"].mean() <= 1


def test_a_model_of_before_predicts_without_intervals_and_area(trained, table, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "load_intervals", lambda folder: None)
    monkeypatch.setattr(module, "read_areas", lambda folder: {})
    found = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet").frame
    assert not {"sm_lower", "sm_upper", "di", "aoa"} & {*found}
    assert found["sm"].notna().all()


def test_ids_places_days_and_what_the_study_keeps_are_carried_along(trained, table, tmp_path):
    done = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet")
    for name in ("cell", "partition"):
        assert done.frame[name].tolist() == table[name].tolist()
    for name in ("lon", "lat", "smap"):
        np.testing.assert_array_equal(done.frame[name], table[name])
    assert done.frame["date"].tolist() == table["date"].tolist()
    assert done.notes == ()


def test_predictions_come_near_what_they_predict(trained, table, tmp_path):
    done = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet")
    error = done.frame["sm"] - table["smap"]  # the rows were trained on: this is about mixed-up rows only
    assert np.sqrt((error**2).mean()) < 0.5 * table["smap"].std()


def test_a_predictor_the_study_keeps_is_carried_along_too(trained, table, tmp_path):
    study = tmp_path / "study.toml"
    text = trained.study.read_text(encoding="utf-8")
    study.write_text(text.replace('keep = ["smap"]', 'keep = ["smap", "dem"]'), encoding="utf-8")
    done = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet", study_file=study)
    np.testing.assert_array_equal(done.frame["dem"], table["dem"])
    assert "ndvi" not in done.frame


@pytest.mark.parametrize(("training", "predicting"), [(True, None), (None, True), (True, False)])
def test_a_prediction_says_it_is_simulated_if_samples_or_table_were(
    trained, table, tmp_path, monkeypatch, training, predicting
):
    load = store.load

    def loaded(folder: Path) -> Any:
        model, card = load(folder)
        return model, card.model_copy(update={"simulated": bool(training)})

    monkeypatch.setattr(store, "load", loaded)
    frame = table.drop(columns="simulated") if predicting is None else table.assign(simulated=predicting)
    done = predict(trained.model, written(frame, tmp_path), tmp_path / "p.parquet")
    assert done.frame["simulated"].tolist() == [True] * len(table)


def test_real_samples_and_a_real_table_make_a_prediction_that_is_not_called_simulated(
    trained, table, tmp_path, monkeypatch
):
    model, card = store.load(trained.model)
    monkeypatch.setattr(store, "load", lambda folder: (model, card.model_copy(update={"simulated": False})))
    real = written(table.drop(columns="simulated"), tmp_path)
    assert not predict(trained.model, real, tmp_path / "p.parquet").frame["simulated"].any()


def test_rows_of_no_partition_of_the_model_are_counted(trained, table, tmp_path):
    table.loc[[0, 5, 9], "partition"] = "elsewhere"
    [note] = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet").notes
    assert note == (
        "3 of 128 rows lie in no partition of the model; the stack without partition (WP) predicts them."
    )


def test_a_table_without_partitions_is_predicted_by_wp_and_says_so(trained, table, tmp_path):
    done = predict(trained.model, written(table.drop(columns="partition"), tmp_path), tmp_path / "p.parquet")
    np.testing.assert_array_equal(done.frame["sm"], done.frame["wp"])
    assert "partition" not in done.frame
    [note] = done.notes
    assert note.startswith("128 of 128 rows lie in no partition")


@pytest.mark.parametrize(("rows", "share"), [(64, "50%"), (2, "2%"), (1, None)])
def test_a_predictor_outside_what_training_saw_is_told_from_one_row_in_a_hundred(
    trained, table, tmp_path, rows, share
):
    table.loc[: rows - 1, "dem"] = 8000.0
    notes = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet").notes
    if share is None:
        assert notes == ()
        return
    dem = trained.region.samples["dem"]
    [note] = notes
    assert f"dem (training saw {dem.min():.4g} to {dem.max():.4g} m) in {share} of the rows" in note


def test_a_predictor_beyond_training_by_less_than_a_hundredth_of_its_range_is_not_told(
    trained, table, tmp_path
):
    dem = trained.region.samples["dem"]
    table["dem"] = np.float32(dem.max() + 0.009 * (dem.max() - dem.min()))
    assert predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet").notes == ()


def test_gaps_are_predicted_and_are_not_out_of_range(trained, table, tmp_path):
    table.loc[::2, ["ndvi", "lst"]] = np.nan
    done = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet")
    assert done.notes == ()
    assert np.isfinite(done.frame["sm"]).all()


def test_csv_and_parquet_say_the_same(trained, table, tmp_path):
    parquet, text = tmp_path / "p.parquet", tmp_path / "p.csv"
    predict(trained.model, written(table, tmp_path), parquet)
    predict(trained.model, written(table, tmp_path, ".csv"), text)
    one, two = pd.read_parquet(parquet), pd.read_csv(text, parse_dates=["date"])
    pd.testing.assert_frame_equal(two, one, check_dtype=False, rtol=0, atol=1e-6)


def test_a_table_with_other_columns_is_read_through_another_study(trained, table, tmp_path):
    foreign = table.assign(lst=table["lst"] + 273.15).rename(columns={"lst": "LST_K", "cell": "id"})
    study = tmp_path / "other.toml"
    study.write_text(
        'name = "other"\n[samples.columns]\ncell = "id"\nlst = { column = "LST_K", unit = "K" }\n',
        encoding="utf-8",
    )
    straight = predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet")
    mapped = predict(trained.model, written(foreign, tmp_path), tmp_path / "q.parquet", study_file=study)
    assert np.abs(mapped.frame["sm"] - straight.frame["sm"]).quantile(0.95) < 1e-6  # a cut may be crossed
    assert mapped.frame["cell"].tolist() == table["cell"].tolist()


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ('["ndvi", "lst"]', "without ndwi, nsdsi, evi, vv, vh, lai, albedo, sand, silt, clay, dem, LC_1"),
        (
            '["ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo", "sand", "silt", "clay",'
            ' "dem", "lc", "doy", "smap"]',
            "with smap",
        ),
        (
            '["doy", "ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo", "sand", "silt",'
            ' "clay", "dem", "lc"]',
            "in another order",
        ),
    ],
    ids=["fewer", "more", "another order"],
)
def test_a_study_with_other_predictors_than_the_models_is_refused(trained, table, tmp_path, use, told):
    study = tmp_path / "other.toml"
    columns = '[samples.columns]\nsmap = "smap"\n' if "smap" in use else ""
    study.write_text(f'name = "other"\n{columns}[predictors]\nuse = {use}\n', encoding="utf-8")
    with pytest.raises(DataError, match="its predictors are not those of") as caught:
        predict(trained.model, written(table, tmp_path), tmp_path / "p.parquet", study_file=study)
    message = str(caught.value)
    assert message.startswith(f"{study}: ")
    assert str(trained.model) in message
    assert told in message
    assert not (tmp_path / "p.parquet").exists()


def test_a_table_that_lacks_a_predictor_of_the_model_is_refused_and_the_column_named(
    trained, table, tmp_path
):
    path = written(table.drop(columns=["vv", "clay"]), tmp_path)
    with pytest.raises(DataError) as caught:
        predict(trained.model, path, tmp_path / "p.parquet")
    lines = str(caught.value).splitlines()
    assert f"{path}: vv: no column of this name" in lines[1]
    assert f"{path}: clay: no column of this name" in lines[2]
    assert not (tmp_path / "p.parquet").exists()


def test_mistakes_of_files_are_told(trained, table, tmp_path):
    path, out = written(table, tmp_path), tmp_path / "p.parquet"
    with pytest.raises(ModelFileError, match=r"holds no model\.json"):
        predict(tmp_path / "nothing", path, out)
    with pytest.raises(DataError, match="no such table"):
        predict(trained.model, tmp_path / "nothing.parquet", out)
    with pytest.raises(ConfigError, match="no such study file"):
        predict(trained.model, path, out, study_file=tmp_path / "nothing.toml")
    with pytest.raises(DataError, match=r"p\.xlsx: name a file that ends in \.parquet or \.csv"):
        predict(trained.model, path, tmp_path / "p.xlsx")
    assert [one.name for one in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize("place", ["file/p.parquet", "folder.parquet"])
def test_an_unwritable_place_is_refused_and_named(trained, table, tmp_path, place):
    path = written(table, tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DataError, match="cannot be written") as caught:
        predict(trained.model, path, tmp_path / place)
    assert str(tmp_path / place) in str(caught.value)
    left = sorted(one.name for one in tmp_path.rglob("*"))
    assert left == ["file", "folder.parquet", "table.parquet"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("disk gone"), "disk gone"),
        (KeyboardInterrupt(), None),
    ],
)
def test_a_writer_that_fails_midway_leaves_the_earlier_file_and_nothing_else(
    trained, table, tmp_path, monkeypatch, suffix, error, told
):
    path, out = written(table, tmp_path), tmp_path / f"p{suffix}"
    out.write_text("the earlier prediction")
    before = contents(tmp_path)

    def half(frame: pd.DataFrame, path: Path) -> None:
        path.write_text("half")
        raise error

    monkeypatch.setitem(module.WRITERS, suffix, half)
    with pytest.raises(DataError if told else KeyboardInterrupt) as caught:
        predict(trained.model, path, out)
    if told:
        assert str(caught.value) == f"{out} cannot be written: {told}; name a file in a folder you own"
    assert contents(tmp_path) == before


def test_missing_folders_of_the_output_are_made(trained, table, tmp_path):
    out = tmp_path / "a" / "b" / "p.csv"
    predict(trained.model, written(table, tmp_path), out)
    assert len(pd.read_csv(out)) == len(table)
    assert [path.name for path in out.parent.iterdir()] == ["p.csv"]
