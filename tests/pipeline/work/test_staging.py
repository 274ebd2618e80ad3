"""Results reach a folder as one set: all of them or none, the record last."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.work.staging import staged, sweep, write_json


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_appear_together_and_replace_those_of_an_earlier_run(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    for name in ("a.csv", "gone.png", "mine.txt"):
        (out / name).write_text("old")
    with staged(out, "record.json", ("a.csv", "gone.png", "never.png")) as folder:
        for name in ("record.json", "a.csv", "z.csv"):
            (folder / name).write_text("new")
        assert not (out / "z.csv").exists()
        assert (out / "a.csv").read_text() == "old"
    assert contents(out) == {"a.csv": "new", "z.csv": "new", "record.json": "new", "mine.txt": "old"}


def test_the_record_is_moved_last_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda old, new: moved.append(new.name) or rename(old, new))
    with staged(tmp_path, "b.json", ()) as folder:
        for name in ("c", "b.json", "a"):
            (folder / name).touch()
    assert moved == ["a", "c", "b.json"]


def test_a_kill_between_two_files_leaves_no_record_that_speaks_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.png", "record.json"):
        (tmp_path / name).write_text("old")
    rename = Path.replace

    def killed(old: Path, new: Path) -> Path:
        if new.name == "b.png":
            raise KeyboardInterrupt
        return rename(old, new)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt), staged(tmp_path, "record.json", ()) as folder:
        for name in ("a.csv", "b.png", "record.json"):
            (folder / name).write_text("new")
    assert contents(tmp_path) == {"a.csv": "new", "b.png": "old"}


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_was_writing_is_removed_by_the_next(tmp_path: Path) -> None:
    host, ended = platform.node(), ended_process()
    killed, living, elsewhere = (
        tmp_path / f".partial-{name}-x"
        for name in (f"{host}-{ended}", f"{host}-{os.getppid()}", f"far-away-{ended}")
    )
    for folder in (killed, living, elsewhere):
        folder.mkdir()
        (folder / "half").touch()
    with staged(tmp_path, "record.json", ()) as folder:
        (folder / "record.json").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {living.name, elsewhere.name, "record.json"}


def test_of_one_file_too_and_whatever_it_is_called(tmp_path: Path) -> None:
    path, pid = tmp_path / "map[1].tif", ended_process()
    killed, living = tmp_path / f".map[1].{pid}.tif", tmp_path / f".map[1].{os.getppid()}.tif"
    other = tmp_path / f".map1.{pid}.tif"
    for file in (killed, living, other):
        file.touch()
    sweep(path)
    assert {file.name for file in tmp_path.iterdir()} == {living.name, other.name}


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_error_leaves_the_folder_as_it_was_and_passes_on(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(type(error)), staged(tmp_path, "record.json", ("a.csv",)) as folder:
        (folder / "a.csv").write_text("half")
        raise error
    assert contents(tmp_path) == {"a.csv": "old"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("disk gone"), "disk gone"),  # libraries raise some without a number
    ],
)
def test_a_full_disk_is_told_with_the_folder(tmp_path: Path, error: OSError, told: str) -> None:
    with pytest.raises(DataError) as caught, staged(tmp_path, "record.json", ()):
        raise error
    assert str(caught.value) == f"{tmp_path}: cannot be written ({told}); choose another output folder"
    assert contents(tmp_path) == {}


def test_what_is_undefined_is_null_in_a_record(tmp_path: Path) -> None:
    content = {"r": math.nan, "rows": [{"n": 3, "upper": math.inf}], "pair": (1.5, -math.inf), "unit": "m³"}
    write_json(tmp_path / "record.json", content)
    text = (tmp_path / "record.json").read_text(encoding="utf-8")
    assert "m³" in text
    assert json.loads(text, parse_constant=pytest.fail) == {
        "r": None,
        "rows": [{"n": 3, "upper": None}],
        "pair": [1.5, None],
        "unit": "m³",
    }
