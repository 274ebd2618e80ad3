"""What an update takes for new, what it refuses, and what it does after one that was cut short."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gee import predictors
from pipeline import steps, update
from pipeline.errors import DataError
from pipeline.study import Study
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest, Task
from pipeline.work.workdir import WorkDir
from tests.pipeline import small_cubes

STUDY = """\
name = "simulated-small"
[region]
bbox = [117.0, 31.0, 117.4, 31.3]
[period]
start = 2019-04-01
end = 2019-04-30
"""
END = dt.date(2019, 4, 30)


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    """A finished run, as far as an update looks at it."""
    made = WorkDir(tmp_path)
    made.study.write_text(STUDY, encoding="utf-8")
    made.model.mkdir()
    small_cubes.manifest(30, 2, 2).write(made.manifest)
    return made


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were taken, none of them for real."""
    taken: list[str] = []
    published = SimpleNamespace(rows=list)

    def step(name: str, result: object = None) -> Any:
        return lambda *of, **more: taken.append(name) or result

    for name in ("build", "join_samples", "predict_maps", "write_map"):
        monkeypatch.setattr(update, name, step(name))
    monkeypatch.setattr(steps, "publish_maps", step("publish_maps", published))
    return taken


ALL = ["build", "join_samples", "predict_maps", "publish_maps"]


def newest(monkeypatch: pytest.MonkeyPatch, day: dt.date) -> None:
    monkeypatch.setattr(update, "_newest", lambda manifest, study: day)


def quiet(*_: object) -> None:
    """Nobody to report to."""


def test_without_new_days_nothing_is_done(
    work: WorkDir, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest(monkeypatch, END)
    found = update.update(work, None, quiet)  # type: ignore[arg-type]
    assert (found.published, found.title()) == (None, "No new days: the maps reach to 2019-04-30")
    assert done == []


def test_what_an_update_that_was_cut_short_has_left_undone_is_done_by_the_next(
    work: WorkDir, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest(monkeypatch, dt.date(2019, 5, 2))
    longer = small_cubes.manifest(2, 2, 2, dt.date(2019, 5, 1))
    plan = SimpleNamespace(
        plan=SimpleNamespace(
            preparation=SimpleNamespace(calendar=SimpleNamespace(start=longer.start, end=longer.end))
        )
    )

    def exported(plan: object, part: WorkDir, *_: object) -> object:
        longer.write(part.manifest)
        return SimpleNamespace(manifest=longer)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "planned", lambda *of, **more: plan)
    monkeypatch.setattr(steps, "exported", exported)
    monkeypatch.setattr(steps, "download", quiet)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(update, "build", killed)
        update.update(work, None, quiet)  # type: ignore[arg-type]
    assert Manifest.read(work.manifest).end == dt.date(2019, 5, 2)
    assert done == []
    found = update.update(work, None, quiet)  # type: ignore[arg-type]
    assert done == ALL
    assert found.published is not None
    assert found.title() == "The maps reach to 2019-05-02, as before"
    assert update.update(work, None, quiet).published is None  # type: ignore[arg-type]
    assert done == ALL
    with Ledger(work.ledger) as ledger:
        assert [run.outcome for run in ledger.runs()] == ["interrupted", "done"]


def test_a_cube_that_came_through_xee_is_refused_with_the_way_out(
    work: WorkDir, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest(monkeypatch, dt.date(2019, 5, 2))
    tasks = (Task(task="static-aa", name="static", kind="image", columns=("v",)),)
    Manifest.read(work.manifest).model_copy(update={"tasks": tasks}).write(work.manifest)
    with pytest.raises(DataError, match=r"through xee, .* gee-smap export --via gcs makes them"):
        update.update(work, None, quiet)  # type: ignore[arg-type]
    work.exports.mkdir()
    (work.exports / "static-aa0000000000-0000000256.tif").touch()  # the ledger was lost, and not the files
    newest(monkeypatch, END)
    assert update.update(work, None, quiet).published is None  # type: ignore[arg-type]


def millis(day: dt.date) -> float:
    return dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC).timestamp() * 1000


@pytest.mark.parametrize("silent", [*predictors.STREAMS, "smap", "none"])
def test_no_day_is_new_while_some_source_has_no_image(
    silent: str, work: WorkDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earth Engine leaves null values out of a dictionary: the engine's own answer is told here."""
    later = dt.date(2019, 5, 20)
    told = {name: millis(later) for name in (*predictors.STREAMS, "smap") if name != silent}
    for name in ("ImageCollection", "Dictionary"):
        monkeypatch.setattr(update.ee, name, lambda *of: None, raising=True)
    collection = SimpleNamespace(
        aggregate_max=lambda name: None, filterDate=lambda *of: collection, collection=lambda: collection
    )
    monkeypatch.setattr(predictors, "scenes", lambda *of: collection)
    monkeypatch.setattr(update.target, "VERSIONS", {"008": collection, "007": collection})
    monkeypatch.setattr(update, "asked", lambda thing: told)
    found = update._newest(Manifest.read(work.manifest), Study.load(work.study))
    assert found == (later if silent == "none" else END)
