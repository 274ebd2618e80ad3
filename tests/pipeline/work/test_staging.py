"""Results reach a folder as one set: all of them or none, the record last."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.work.staging import staged, write_json


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
