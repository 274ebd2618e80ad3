"""The commands: their help, what they print for people and for programs, and the studies they write."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import pipeline.learning.train
from pipeline import options, terminal
from pipeline.cli import app
from pipeline.study import Study

ROOT = Path(__file__).parents[2]
COMMANDS = typer.main.get_command(app).commands
LEAVES = {
    path: command
    for name, group in COMMANDS.items()
    for path, command in (
        {(name, inner): leaf for inner, leaf in group.commands.items()}
        if hasattr(group, "commands")
        else {(name,): group}
    ).items()
}


def python(*args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(str(arg) for arg in args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


def strictly(text: str) -> Any:
    """JSON as its standard has it, without NaN."""
    return json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_help_of_a_command_has_an_example_that_it_accepts(gee_smap, path):
    told = gee_smap(*path, "--help")
    assert told.code == 0
    text = " ".join(told.out.split())
    example = LEAVES[path].epilog.removeprefix("Example: ")
    assert f"Example: {example}" in text
    program, *words = shlex.split(example)
    assert (program, tuple(words[: len(path)])) == ("gee-smap", path)
    LEAVES[path].make_context(path[-1], words[len(path) :])


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_takes_v_and_answers_machines(gee_smap, path):
    told = gee_smap(*path, "--help").out
    assert "--verbose" in told
    assert ("--json" in told) != (path == ("local", "serve"))  # which always prints a line of JSON


def test_v_shows_where_an_error_arose_and_without_it_the_message_stands_alone(tmp_path):
    plain, *more = (
        python("-m", "pipeline.cli", "plan", "--study", tmp_path / "none.toml", *options)
        for options in ((), ("-v",))
    )
    [told] = more
    assert plain.returncode == told.returncode == 2
    assert plain.stderr.startswith("error: ") and "Traceback" not in plain.stderr
    assert "Traceback" in told.stderr and "no such study file" in told.stderr.splitlines()[-1]


def test_v_logs_the_requests_that_clients_make(monkeypatch):
    screen = terminal.console(file=io.StringIO(), width=200)
    monkeypatch.setattr(terminal, "err", screen)
    loggers = [logging.getLogger(name) for name in options.TALKATIVE]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    try:
        CliRunner().invoke(app, ["local", "coverage", "-v"])
        logging.getLogger("urllib3.connectionpool").debug("POST /v1/value:compute 200")
    finally:
        for logger, (level, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers
    assert "urllib3.connectionpool: POST /v1/value:compute 200" in screen.file.getvalue()


def test_the_version_is_that_of_the_package(gee_smap):
    assert gee_smap("--version") == (0, f"{version('gee-smap')}\n", "")


def test_without_a_command_the_help_lists_all_of_them(gee_smap):
    told = gee_smap()
    assert all(name in told.out for name in COMMANDS)


def test_help_starts_within_two_seconds_and_loads_no_learning_library():
    heavy = {"xgboost", "lightgbm", "catboost", "sklearn", "pandas", "matplotlib", "shap"}
    loaded = python(
        "-c",
        "import sys; from pipeline.cli import app\n"
        "try: app(['--help'])\n"
        f"except SystemExit: print(sorted({heavy} & set(sys.modules)))",
    )
    assert loaded.stdout.splitlines()[-1] == "[]"
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        assert python("-m", "pipeline.cli", "--help").returncode == 0
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 2


def test_init_writes_a_study_that_loads_and_never_overwrites_one(gee_smap, tmp_path):
    path = tmp_path / "study.toml"
    told = gee_smap("init", path)
    assert told.code == 0
    assert f"gee-smap train --samples FILE --study {path} --out model" in told.out
    assert Study.load(path).preset == "recommended"
    path.write_text("mine", encoding="utf-8")
    for again in (gee_smap("init", path), gee_smap("init", path, "--example", "anhui-2019")):
        assert (again.code, again.out) == (2, "")
        assert f"{path} is already there" in again.err
    assert path.read_text(encoding="utf-8") == "mine"


def test_init_writes_the_papers_study(gee_smap, tmp_path):
    path = tmp_path / "anhui.toml"
    assert gee_smap("init", path, "--example", "anhui-2019").code == 0
    study = Study.load(path)
    assert (study.name, study.preset, study.partitions.scheme) == ("anhui-2019", "paper", "anhui")
    assert len(study.predictors.use) == 15
    assert (study.period.start.isoformat(), study.period.end.isoformat()) == ("2019-04-01", "2019-11-01")


@pytest.fixture
def stored(trained, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Has ``train`` answer with the training of the session; holds one that a test may put in its place."""
    answer = [trained.training]
    monkeypatch.setattr(pipeline.learning.train, "train", lambda *args, **options: answer[0])
    return answer


@pytest.fixture
def show_training(gee_smap, stored) -> Callable[..., Any]:
    """Runs the command ``train`` with that answer."""
    return lambda out, *options: gee_smap(
        "train", "--samples", "s.parquet", "--study", "study.toml", "--out", out, *options
    )


def words(text: str) -> list[str]:
    """A table with single blanks, line by line."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_train_prints_each_split_beside_its_distance_to_the_random_one(trained, stored, show_training):
    told = show_training("model")
    assert told.code == 0
    lines = words(told.out)
    scores = trained.training.scores.query("partition == 'all'").set_index(["split", "model"])
    for model in ("XGBoost", "LightGBM", "CatBoost", "stack", "WP"):
        easy, hard = scores.loc[("random", model)], scores.loc[("spatial", model)]
        told_of = (
            f"{model} {{r:.3f}} {{r_lower:.3f}}–{{r_upper:.3f}} {{rmse:.4f}} {{bias:+.4f}} {{ubrmse:.4f}}"
        )
        assert any(told_of.format(**easy) + f" {easy['n']}" in line for line in lines), model
        distance = f"{hard['r'] - easy['r']:+.3f} {hard['rmse'] - easy['rmse']:+.4f}"
        shown = [line for line in lines if f"{model} {hard['r']:.3f}" in line and line.endswith(distance)]
        assert len(shown) == 1, model
    assert any(line.startswith("time WP – – – – 0") for line in lines)


def test_train_prints_partitions_reasons_stacks_and_the_next_command(trained, stored, show_training):
    told = show_training("model").out
    lines = words(told)
    for partition in ("hills", "mountain", "plain"):
        rows = trained.training.scores.query(f"partition == '{partition}' and split == 'random'")
        cells = " ".join(f"{row.r:.3f} {row.rmse:.3f}" for row in rows.itertuples())
        assert any(f"{partition} {cells} {rows['n'].iloc[0]}" in line for line in lines)
    assert "63 days or more" in told
    assert "a partition held out has no stack of its own; see WP" in told
    for stack in trained.training.stack_rows():
        assert " ".join(stack.values()) in lines
    assert told.endswith("next         gee-smap predict --model model --table FILE --out FILE\n")


def test_names_with_brackets_are_printed_as_they_are(trained, stored, show_training):
    scores = trained.training.scores.replace({"partition": {"hills": "[bold]", "plain": "[/x] :tree:"}})
    stored[0] = dataclasses.replace(
        trained.training, scores=scores, notes=("map sm in [samples.columns], or leave it out",)
    )
    told = show_training("out/[red]model[/x]").out
    assert "note: map sm in [samples.columns], or leave it out\n" in told
    assert "[bold]" in told
    assert "[/x] :tree:" in told
    assert "model        out/[red]model[/x]\n" in told


def test_progress_on_a_terminal_shows_share_and_stage(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(terminal, "err", screen)
    with terminal.progress() as report:
        report("random split: partition [/x]", 0.5)
    told = screen.file.getvalue()
    assert "50 %" in told
    assert "random split: partition [/x]" in told


def test_progress_on_a_terminal_tells_its_rate(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(terminal, "err", screen)
    with terminal.progress() as report:
        began = time.monotonic()
        for share in (0.1, 0.2, 0.3):
            time.sleep(0.3)
            report("export", share)
        slowest = 0.1 / (time.monotonic() - began) * 60 * 100
        time.sleep(0.2)  # the display is drawn ten times a second
    rates = [int(rate) for rate in re.findall(r"(\d+) %/min", screen.file.getvalue())]
    assert rates
    assert slowest < rates[-1] < 0.2 / 0.3 * 60 * 100


def test_progress_in_a_log_has_one_line_for_each_stage(capsys):
    with terminal.progress() as report:
        for what, share in [
            ("random split: WP", 0.0),
            ("random split: plain", 0.2),
            ("all samples: WP", 0.6),
        ]:
            report(what, share)
    assert capsys.readouterr() == ("", "  0% random split\n 60% all samples\n")


def test_train_as_json_prints_nothing_else_on_standard_output(trained, tmp_path):
    study = 'name = "quick"\n[predictors]\nuse = ["ndvi", "lst"]\n[splits]\nnames = ["random"]\n'
    (tmp_path / "study.toml").write_text(study + "[partitions]\nminimum_samples = 100\n")
    done = python(
        "-m", "pipeline.cli", "train", "--samples", trained.samples, "--study", tmp_path / "study.toml",
        "--out", tmp_path / "model", "--json",
    )  # fmt: skip
    assert done.returncode == 0
    told = strictly(done.stdout)
    assert told["model"] == str(tmp_path / "model")
    rows = pd.read_csv(tmp_path / "model" / "scores.csv")
    assert [row["n"] for row in told["scores"]] == rows["n"].tolist()
    np.testing.assert_allclose([row["r"] for row in told["scores"]], rows["r"])
    assert [stack["name"] for stack in told["stacks"]] == ["hills", "mountain", "plain", "WP"]
    assert all(one["own"] and "without the spatial" in one["reason"] for one in told["choices"])
    assert [line.split("% ")[1] for line in done.stderr.splitlines()] == [
        "random split", "all samples", "intervals", "area of applicability", "model folder",
    ]  # fmt: skip


def test_undefined_scores_are_null_in_json(trained, stored, show_training):
    told = strictly(show_training("model", "--json").out)
    undefined = [row for row in told["scores"] if row["split"] == "time"]
    assert len(undefined) == 20
    assert all(row["r"] is None and "63 days" in row["reason"] for row in undefined)


def test_predict_and_validate_as_json_are_json(gee_smap, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    stations = trained.region.stations
    at_stations = trained.region.samples.rename(columns={"sm": "smap"}).query("cell in @stations.station")
    path, out, insitu = (tmp_path / name for name in ("t.parquet", "p.parquet", "stations.parquet"))
    at_stations.to_parquet(path)
    predicted = gee_smap("predict", "--model", trained.model, "--table", path, "--out", out, "--json")
    assert (predicted.code, predicted.err) == (0, "")
    assert strictly(predicted.out) == {"out": str(out), "rows": 240, "notes": []}

    stations.assign(insitu=0.25).to_parquet(insitu)  # a constant has no R
    told = gee_smap("validate", "--predictions", out, "--insitu", insitu, "--out", tmp_path / "v", "--json")
    assert told.code == 0
    summary = strictly(told.out)
    assert summary["pooled"]["sm"]["r"] is None
    recorded = strictly((tmp_path / "v" / "summary.json").read_text(encoding="utf-8"))
    assert set(recorded.pop("notes")) <= set(summary["notes"])
    assert recorded == {name: summary[name] for name in recorded}
    assert summary["report"] == str(tmp_path / "v" / "report.html")


def test_explain_prints_how_much_each_predictor_moves_the_stack_of_each_partition(
    gee_smap, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    out = tmp_path / "explanation"
    told = gee_smap("explain", "--model", trained.model, "--samples", trained.samples, "--out", out)
    assert told.code == 0, told.err
    assert "note: Simulated data: the values say nothing about real soil moisture." in told.out
    lines = words(told.out)
    assert "predictor hills mountain plain" in lines
    tables = [pd.read_parquet(out / f"shap-{name}.parquet") for name in ("hills", "mountain", "plain")]
    stacks = [table[table["member"] == "stack"] for table in tables]
    for label, column in (("LST", "shap_lst"), ("DEM", "shap_dem"), ("Clay", "shap_clay")):
        [line] = [line for line in lines if line.startswith(f"{label} ")]
        means = [float(cell) for cell in line.split()[1::2]]
        assert means == pytest.approx([stack[column].abs().mean() for stack in stacks], abs=6e-5)
    summary = json.loads((out / "explain.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert summary["simulated"]
    assert list(summary["partitions"]) == ["hills", "mountain", "plain"]
