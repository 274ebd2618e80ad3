"""What was done with which inputs, and what counts as the same inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.work.stages import Stages, digest


def test_the_same_content_has_the_same_digest_and_any_other_has_another(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "in").mkdir(parents=True)
        (tmp_path / folder / "in" / "b.txt").write_text("ab")
        (tmp_path / folder / "in" / "c.txt").write_text("c")
    one, two = tmp_path / "one" / "in", tmp_path / "two" / "in"
    assert digest(one, "x") == digest(two, "x")
    before = digest(two)
    (two / "b.txt").write_text("a")
    assert digest(two) != before
    (two / "b.txt").write_text("ab")
    assert digest(two) == before
    (two / "b.txt").rename(two / "a.txt")
    assert digest(two) != before


def test_what_ends_one_input_does_not_begin_the_next(tmp_path: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc")
    (tmp_path / "f").write_text("1")
    (tmp_path / "f1").write_text("")
    assert digest(tmp_path / "f") != digest(tmp_path / "f1")


def test_a_stage_is_done_with_its_inputs_and_as_long_as_its_result_is_there(tmp_path: Path) -> None:
    result, stages = tmp_path / "result", Stages(tmp_path / "stages.json")
    result.touch()
    assert not stages.done("train", "a", result)
    stages.record("train", "a")
    stages.record("map", "b")
    assert Stages(tmp_path / "stages.json").done("train", "a", result)
    assert not stages.done("train", "other", result)
    result.unlink()
    assert not stages.done("train", "a", result)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_record_that_is_lost_costs_time_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stages.json"
    path.write_bytes(content)
    assert not Stages(path).done("train", "a", tmp_path)
    Stages(path).record("train", "a")
    assert Stages(path).done("train", "a", tmp_path)


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing cannot be read"):
        digest(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        Stages(tmp_path / "file" / "stages.json").record("train", "a")
