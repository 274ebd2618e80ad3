"""What a user gets wrong ends in exit code 2, a message that names it, and nothing half-written."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pipeline.learning.train
import pipeline.run
import pipeline.tables.writing
from models import store
from models.learners import LightGBM

ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(told: Any, *parts: object) -> None:
    assert told.code == 2
    assert told.out == ""
    assert re.match(r"( *\d+% .*\n)*error: ", told.err)  # nothing but progress before the error
    assert "Traceback" not in told.err
    for part in parts:
        assert str(part) in told.err


def edited(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


Change = Callable[[pd.DataFrame], pd.DataFrame]


def with_text(frame: pd.DataFrame) -> pd.DataFrame:
    frame["lst"] = frame["lst"].astype(object)
    frame.loc[41, "lst"] = "warm"
    return frame


BAD_TABLES: dict[str, tuple[Change, list[str]]] = {
    "no rows": (lambda frame: frame.iloc[:0], ["the table has no rows"]),
    "a missing predictor": (lambda frame: frame.drop(columns="vv"), ["vv: no column of this name"]),
    "no target": (lambda frame: frame.drop(columns="sm"), ["sm: no column of this name"]),
    "text in a number": (with_text, ["lst: 1 of 2,560 values are no numbers", "'warm' in row 42"]),
    "a predictor that is all missing": (
        lambda frame: frame.assign(lai=np.nan),
        ["lai: all 2,560 rows are missing"],
    ),
    "garbage near 1e300": (
        lambda frame: frame.assign(dem=frame["dem"].astype(float).where(frame.index != 3, 1e300)),
        ["dem: 1 of 2,560 values are infinite or beyond", "row 4"],
    ),
    "soil moisture in mm": (
        lambda frame: frame.assign(sm=frame["sm"] * 50),
        ["sm: 2,560 of 2,560 values outside 0..1 m3/m3", 'unit = "mm", layer_mm = 50'],
    ),
    "soil moisture below zero": (
        lambda frame: frame.assign(sm=frame["sm"].where(frame.index != 9, -0.2)),
        ["sm: 1 of 2,560 values outside 0..1 m3/m3", "row 10"],
    ),
    "cell-days given twice": (
        lambda frame: pd.concat([frame, frame.iloc[:2]]),
        ["cell, date: 2 of 2,562 rows repeat a cell-day, the first r0c0 on 2019-04-01 in row 2561"],
    ),
    "several mistakes": (
        lambda frame: frame.drop(columns="vv").assign(lai=np.nan, sm=frame["sm"] * 50),
        ["vv: no column", "lai: all 2,560 rows", "sm: 2,560 of 2,560 values outside"],
    ),
}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("case", BAD_TABLES)
def test_train_refuses_a_bad_table_naming_file_and_column(gee_smap, trained, tmp_path, case, suffix):
    change, told = BAD_TABLES[case]
    if case == "text in a number" and suffix == ".parquet":
        whole = trained.region.samples.astype({"lst": str})
        path = written(
            whole.assign(lst=whole["lst"].where(whole.index != 41, "warm")), tmp_path / "s.parquet"
        )
        told = [told[1]]
    else:
        path = written(change(trained.region.samples.copy()), tmp_path / f"s{suffix}")
    refused(
        gee_smap("train", "--samples", path, "--study", trained.study, "--out", tmp_path / "model"),
        path,
        *told,
    )
    assert list(contents(tmp_path)) == [path.name]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize(
    ("content", "told"), [(None, "no such table"), (b"", "the file is empty"), (b"PAR1\x00", "cannot be")]
)
def test_train_refuses_a_file_that_is_missing_empty_or_broken(
    gee_smap, trained, tmp_path, suffix, content, told
):
    path = tmp_path / f"s{suffix}"
    if content is not None:
        path.write_bytes(content)
    if (suffix, told) == (".csv", "cannot be"):
        path.write_text("cell,lon,lat\na,1\n")
    refused(
        gee_smap("train", "--samples", path, "--study", trained.study, "--out", tmp_path / "model"),
        path,
        told,
    )
    assert not (tmp_path / "model").exists()


def test_train_refuses_a_partition_with_too_few_rows_and_names_it(gee_smap, trained, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(
        edited(trained.study.read_text("utf-8"), ("minimum_samples = 100", "minimum_samples = 1050"))
    )
    told = gee_smap("train", "--samples", trained.samples, "--study", study, "--out", tmp_path / "model")
    refused(told, "'hills' has 440", "'mountain' has 1040", "at least 1050", "partitions.minimum_samples")
    assert "'plain'" not in told.err
    assert list(contents(tmp_path)) == ["study.toml"]


def test_train_tells_all_mistakes_of_a_study_together(gee_smap, trained, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text('name = "x"\n[model]\nn_folds = 1\nseeds = 3\n[splits]\nnames = ["randon"]\n')
    told = gee_smap("train", "--samples", trained.samples, "--study", study, "--out", tmp_path / "model")
    refused(
        told, f"{study}: 3 mistakes", "model.n_folds", "model.seeds: unknown key", "did you mean 'random'"
    )
    assert list(contents(tmp_path)) == ["study.toml"]


BAD_PREDICTIONS: dict[str, tuple[Change, list[str]]] = {
    case: BAD_TABLES[case] for case in ("no rows", "a missing predictor", "text in a number")
} | {
    "a missing predictor and text": (
        lambda frame: with_text(frame).drop(columns="clay"),
        ["clay: no column", "lst: 1 of"],
    ),
    "temperatures in kelvin": (
        lambda frame: frame.assign(lst=frame["lst"] + 273.15),
        ["lst: ", "values outside -100..100 degC", 'unit = "K"'],
    ),
}


@pytest.mark.parametrize("case", BAD_PREDICTIONS)
def test_predict_refuses_a_bad_table_naming_file_and_column(gee_smap, trained, tmp_path, case):
    change, told = BAD_PREDICTIONS[case]
    path = written(change(trained.region.samples.copy()), tmp_path / "t.csv")
    refused(
        gee_smap("predict", "--model", trained.model, "--table", path, "--out", tmp_path / "p.parquet"),
        path, *told,
    )  # fmt: skip
    assert list(contents(tmp_path)) == ["t.csv"]


def test_predict_refuses_a_model_trained_on_other_predictors(gee_smap, trained, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text('name = "x"\n[predictors]\nuse = ["ndvi", "lst"]\n')
    told = gee_smap(
        "predict", "--model", trained.model, "--table", trained.samples, "--study", study,
        "--out", tmp_path / "p.parquet",
    )  # fmt: skip
    refused(told, study, trained.model, "its predictors are not those of", "without ndwi, nsdsi")
    assert list(contents(tmp_path)) == ["study.toml"]


def test_predict_refuses_a_damaged_model_naming_the_file(gee_smap, trained, tmp_path):
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    (model / "1-lightgbm.txt").write_text("tree")
    told = gee_smap("predict", "--model", model, "--table", trained.samples, "--out", tmp_path / "p.parquet")
    refused(told, model / "1-lightgbm.txt", "truncated or altered")
    assert not (tmp_path / "p.parquet").exists()


def test_explain_refuses_a_damaged_model_and_an_unknown_split(gee_smap, trained, tmp_path):
    model, out = Path(shutil.copytree(trained.model, tmp_path / "model")), tmp_path / "out"
    options = ["explain", "--model", model, "--samples", trained.samples, "--out", out]
    refused(gee_smap(*options, "--split", "blocks"), "no split 'blocks'; allowed: random, spatial")
    (model / "study.toml").write_text(QUICK)
    refused(gee_smap(*options), model / "study.toml", "truncated or altered")
    assert not out.exists()


def test_validate_refuses_missing_files_and_foreign_stations(gee_smap, trained, table, tmp_path):
    predicted = written(
        table.rename(columns={"smap": "sm"}).assign(cell="x" + table["cell"]), tmp_path / "p.parquet"
    )
    stations = written(trained.region.stations, tmp_path / "stations.csv")
    out = tmp_path / "validation"
    missing = tmp_path / "nothing.csv"
    refused(gee_smap("validate", "--predictions", predicted, "--insitu", missing, "--out", out), missing)
    told = gee_smap("validate", "--predictions", predicted, "--insitu", stations, "--out", out)
    refused(told, predicted, stations, "no station and day is in both tables")
    assert not out.exists()


@pytest.mark.parametrize("command", ["train", "predict", "validate", "explain"])
def test_a_place_that_cannot_be_written_is_refused_and_named(gee_smap, trained, tmp_path, command):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / ("p.parquet" if command == "predict" else "out")
    stations = written(trained.region.stations, tmp_path / "stations.parquet")
    predicted = written(trained.region.samples, tmp_path / "predictions.parquet")
    options = {
        "train": ["--samples", trained.samples, "--study", trained.study],
        "predict": ["--model", trained.model, "--table", trained.samples],
        "validate": ["--predictions", predicted, "--insitu", stations],
        "explain": ["--model", trained.model, "--samples", trained.samples],
    }
    before = contents(tmp_path)
    refused(gee_smap(command, *options[command], "--out", out), tmp_path / "file", "cannot be written")
    assert contents(tmp_path) == before


def test_train_refuses_to_replace_a_folder_that_is_no_model(gee_smap, trained, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    told = gee_smap("train", "--samples", trained.samples, "--study", trained.study, "--out", tmp_path)
    refused(told, tmp_path, "is no model folder")
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_refused_training_leaves_the_model_that_is_there(gee_smap, trained, tmp_path):
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    before = contents(model)
    bad = written(trained.region.samples.assign(lai=np.nan), tmp_path / "s.parquet")
    refused(gee_smap("train", "--samples", bad, "--study", trained.study, "--out", model), "lai")
    assert contents(model) == before


QUICK = """
name = "quick"
[predictors]
use = ["ndvi", "vv", "lst", "dem"]
[model]
n_folds = 2
[partitions]
minimum_samples = 100
[splits]
names = ["random"]
"""


def test_an_interruption_while_the_model_is_written_leaves_the_earlier_one(
    gee_smap, trained, tmp_path, monkeypatch
):
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    (tmp_path / "study.toml").write_text(QUICK)
    before = contents(tmp_path)

    def interrupted(self: LightGBM, fitted: Any, path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(LightGBM, "save", interrupted)
    told = gee_smap("train", "--samples", trained.samples, "--study", tmp_path / "study.toml", "--out", model)
    assert told.code == 130
    assert told.err.endswith("interrupted; nothing was left half-written\n")
    assert contents(tmp_path) == before
    store.load(model)


def test_a_prediction_that_is_interrupted_leaves_the_earlier_one(gee_smap, trained, tmp_path, monkeypatch):
    out = tmp_path / "p.parquet"
    out.write_text("the earlier prediction")

    def interrupted(frame: pd.DataFrame, path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setitem(pipeline.tables.writing.WRITERS, ".parquet", interrupted)
    told = gee_smap("predict", "--model", trained.model, "--table", trained.samples, "--out", out)
    assert told.code == 130
    assert contents(tmp_path) == {"p.parquet": b"the earlier prediction"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_ctrl_c_ends_a_training_with_130_and_nothing_written(trained, tmp_path):
    command = [
        sys.executable, "-m", "pipeline.cli", "train", "--samples", str(trained.samples),
        "--study", str(trained.study), "--out", str(tmp_path / "model"),
    ]  # fmt: skip
    # What a shell puts in the background ignores the signal, and so would all its children.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=listening
    ) as running:
        assert "random split" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert "interrupted; nothing was left half-written" in err
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_program_is_not_dressed_up_as_the_users(gee_smap, trained, tmp_path, monkeypatch):
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(pipeline.learning.train, "train", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        gee_smap("train", "--samples", trained.samples, "--study", trained.study, "--out", tmp_path / "m")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["study.toml", "--example", "anhui"], ["no example 'anhui'", "anhui-2019"]),
        (["nowhere/study.toml"], ["nowhere/study.toml cannot be written"]),
    ],
)
def test_init_tells_its_mistakes_and_writes_nothing(gee_smap, tmp_path, monkeypatch, args, told):
    monkeypatch.chdir(tmp_path)
    refused(gee_smap("init", *args), *told)
    assert contents(tmp_path) == {}
