"""The file of a plan: what is no such file, and how a plan is made longer."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.work.manifest import Manifest, Task
from tests.pipeline import small_cubes


def plan(start: dt.date, days: int, *names: str, **other: object) -> Manifest:
    tasks = tuple(Task(task=f"{name}-{start}", name=name, kind="image", columns=("v",)) for name in names)
    return small_cubes.manifest(days, 2, 2, start).model_copy(update={"tasks": tasks, **other})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = plan(dt.date(2019, 4, 1), 30, "static", "dynamic-2019-04")
    written.write(tmp_path / "deep" / "plan.json")
    assert Manifest.read(tmp_path / "deep" / "plan.json") == written


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"schema_version": 1}'])
def test_a_damaged_plan_is_told_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(DataError, match=r"plan\.json is damaged: move it away, then gee-smap export"):
        Manifest.read(tmp_path / "plan.json")


def test_a_plan_of_a_newer_program_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan(dt.date(2019, 4, 1), 30).write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 2, "new": True}))
    with pytest.raises(
        DataError, match="is of version 2, this program reads 1: use the program that wrote it"
    ):
        Manifest.read(path)


def test_what_is_not_there_and_what_cannot_be_read_are_two_things(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no plan here: gee-smap export makes one"):
        Manifest.read(tmp_path / "plan.json")
    with pytest.raises(DataError, match="cannot be read: "):
        Manifest.read(tmp_path)


def test_a_longer_plan_keeps_earlier_months_and_takes_the_later_ones_as_they_are_now() -> None:
    before = plan(
        dt.date(2019, 8, 5), 37, "static", "ndvi-composites", "dynamic-2019-08", "cells-2019-08",
        "dynamic-2019-09-01", "dynamic-2019-09-06", "cells-2019-09", study_hash="s",
    )  # fmt: skip
    added = plan(
        dt.date(2019, 9, 1), 45, "static", "dynamic-2019-09", "cells-2019-09", "dynamic-2019-10",
        study_hash="other", provisional_from=dt.date(2019, 10, 1),
    )  # fmt: skip
    whole = before.lengthened(added)
    assert (whole.start, whole.end) == (dt.date(2019, 8, 5), dt.date(2019, 10, 15))
    assert whole.provisional_from == dt.date(2019, 10, 1)
    assert [task.task for task in whole.tasks] == [
        "static-2019-08-05", "ndvi-composites-2019-08-05", "dynamic-2019-08-2019-08-05",
        "cells-2019-08-2019-08-05", "dynamic-2019-09-2019-09-01", "cells-2019-09-2019-09-01",
        "dynamic-2019-10-2019-09-01",
    ]  # fmt: skip
    assert whole.is_longer_than("s", before.end)
    assert not before.is_longer_than("s", before.end)
    assert not whole.is_longer_than("other", before.end)
