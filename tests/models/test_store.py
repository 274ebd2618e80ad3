"""A model folder predicts as what was saved, is never half-written, and is refused when anything is off."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import store
from models.errors import ModelFileError
from models.intervals import HalfWidth, Intervals
from models.learners import CatBoost, LightGBM, Table, XGBoost
from models.partitioned import WP, PartitionedStack
from models.splits import RandomSplit, SampleKeys
from models.stack import StackedRegressor
from models.store import ModelCard, PredictorCard

MEMBERS = ("xgboost.json", "lightgbm.txt", "catboost.cbm")
STUDY = 'name = "simulated" # m³/m³\n'
SAMPLES = {"hills": 500, "plain": 1500, WP: 2000}


def fitted(samples: Table, trees: int) -> PartitionedStack:
    rows = np.arange(len(samples.y))
    keys = SampleKeys(rows, rows * 0.01, rows * 0.0, partition=np.where(rows % 4 == 0, "hills", "plain"))
    template = StackedRegressor(
        (XGBoost(trees=trees), LightGBM(trees=trees), CatBoost(trees=trees)), threads=1
    )
    return PartitionedStack.fit(template, *samples, keys, RandomSplit(), n_folds=2)


@pytest.fixture(scope="module")
def model(samples: Table) -> PartitionedStack:
    return fitted(samples, 6)


@pytest.fixture(scope="module")
def newer(samples: Table) -> PartitionedStack:
    """Another model of the same samples."""
    return fitted(samples, 2)


@pytest.fixture(scope="module")
def card(samples: Table) -> ModelCard:
    predictors = tuple(
        PredictorCard(
            name=f"p{number}", unit="1", least=np.nanmin(column), greatest=np.nanmax(column),
            missing_share=float(np.isnan(column).mean()),
        )
        for number, column in enumerate(samples.X.T)
    )  # fmt: skip
    scores = ({"split": "random", "n": 600, "r": 0.1 + 0.2, "rmse": None, "reason": "none, m³/m³"},)
    return ModelCard(
        study="simulated", study_hash="0" * 64, simulated=True, predictors=predictors, split="random",
        n_folds=2, scores=scores,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(model: PartitionedStack, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    store.save(folder, model, card, SAMPLES, {"study.toml": STUDY, "scores.csv": "split,n\nrandom,600\n"})
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def save(folder: Path, model: PartitionedStack, card: ModelCard) -> None:
    store.save(folder, model, card, SAMPLES, {"study.toml": STUDY})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def predictions(model: PartitionedStack, samples: Table) -> np.ndarray:
    """What every stack of a model says, in the precision that is written."""
    return np.stack(
        [model.stacks[name].predict(samples.X) for name in sorted(model.stacks)], dtype=np.float32
    )


@pytest.mark.parametrize("backend", ["native", "compiled"])
def test_what_is_loaded_predicts_exactly_what_was_saved(saved, model, samples, backend):
    loaded, _ = store.load(saved)
    assert list(loaded.stacks) == list(model.stacks) == ["hills", "plain", WP]
    names = np.tile(["plain", "hills", "elsewhere", "plain"], len(samples.y) // 4)
    before, after = (one.predict(samples.X, names, backend=backend) for one in (model, loaded))
    for name in ("members", "stack", "wp", "partitioned"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name), err_msg=name)
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(model, samples))


def test_the_description_comes_back_as_it_was_given(saved, model, card, samples):
    _, found = store.load(saved)
    given = {"stacks", "attachments"}
    assert found.model_dump(exclude=given) == card.model_dump(exclude=given)
    assert found.features == tuple(f"p{number}" for number in range(samples.X.shape[1]))
    assert {stack.name: stack.samples for stack in found.stacks} == SAMPLES
    for stack in found.stacks:
        own = model.stacks[stack.name]
        assert [member.learner for member in stack.members] == ["xgboost", "lightgbm", "catboost"]
        assert [member.weight for member in stack.members] == own.weights_.tolist()
        assert {member.learner: member.trees for member in stack.members} == own.trees_


def test_model_json_says_in_plain_words_what_the_folder_is(saved):
    body = json.loads((saved / "model.json").read_text(encoding="utf-8"))
    assert body["schema_version"] == 1
    assert body["simulated"] is True
    assert body["target_unit"] == "m³/m³"
    assert set(body["libraries"]) >= {"xgboost", "lightgbm", "catboost"}
    for member in (member for stack in body["stacks"] for member in stack["members"]):
        assert member["sha256"] == hashlib.sha256((saved / member["file"]).read_bytes()).hexdigest()
    assert (saved / "study.toml").read_text(encoding="utf-8") == STUDY


def test_the_folder_holds_each_librarys_native_file_and_what_model_json_lists_and_no_more(saved):
    body = json.loads((saved / "model.json").read_text(encoding="utf-8"))
    listed = {member["file"] for stack in body["stacks"] for member in stack["members"]}
    assert listed == {f"{number}-{suffix}" for number in range(3) for suffix in MEMBERS}
    assert {path.name for path in saved.iterdir()} == {*listed, *body["attachments"], "model.json"}
    for path in saved.iterdir():
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(path.read_bytes())  # noqa: S301


def test_neither_saving_nor_loading_pickles(model, card, samples, tmp_path, monkeypatch):
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("pickled")

    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, refuse)
    save(tmp_path / "model", model, card)
    loaded, _ = store.load(tmp_path / "model")
    monkeypatch.undo()
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(model, samples))


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    """Alter one byte in the middle: a digit, where there is one, so that the file still reads well."""
    content = bytearray(path.read_bytes())
    at = next(at for at in range(len(content) // 2, len(content)) if chr(content[at]).isdigit())
    content[at] = ord("1") if content[at] != ord("1") else ord("2")
    path.write_bytes(bytes(content))


def test_attachments_are_kept_to_the_byte_and_text_as_utf_8(tmp_path, model, card):
    archive = bytes(range(256)) * 3
    given = {"study.toml": "unit = 'm³/m³'\n", "applicability.npz": archive}
    _, found = store.load(saved_with(tmp_path, model, card, given))
    assert (tmp_path / "model" / "applicability.npz").read_bytes() == archive
    assert (tmp_path / "model" / "study.toml").read_bytes() == given["study.toml"].encode("utf-8")
    assert found.attachments == {
        "study.toml": hashlib.sha256(given["study.toml"].encode("utf-8")).hexdigest(),
        "applicability.npz": hashlib.sha256(archive).hexdigest(),
    }


def saved_with(
    tmp_path: Path, model: PartitionedStack, card: ModelCard, given: Mapping[str, str | bytes]
) -> Path:
    store.save(tmp_path / "model", model, card, SAMPLES, given)
    return tmp_path / "model"


@pytest.fixture(scope="module")
def intervals(samples: Table) -> Intervals:
    """Of errors that a simulated predictor sets."""
    errors = np.random.default_rng(0).standard_normal(len(samples.y)) * 0.01 * (1 + samples.X[:, 0])
    block = np.arange(len(samples.y)) // 100
    folds = [(np.flatnonzero(block % 4 != k), np.flatnonzero(block % 4 == k)) for k in range(4)]
    one = HalfWidth.fit(samples.X, errors, folds, block, threads=1)
    return Intervals(one, {"hills": one}, ("Partition plain has none of its own.",))


def test_intervals_come_back_as_they_were_saved(tmp_path, model, card, samples, intervals):
    folder = saved_with(tmp_path, model, card, {"study.toml": STUDY, **intervals.to_files()})
    found = store.load_intervals(folder)
    assert found is not None
    assert (list(found.parts), found.notes) == (["hills"], intervals.notes)
    names = np.array(["hills", "plain"] * (len(samples.y) // 2))
    before, after = (one.half_width(samples.X, names) for one in (intervals, found))
    assert np.ptp(before) > 0
    np.testing.assert_array_equal(after, before)


def test_a_folder_from_before_intervals_has_none_and_predicts(saved, model, samples):
    assert store.load_intervals(saved) is None
    np.testing.assert_array_equal(predictions(store.load(saved)[0], samples), predictions(model, samples))


@pytest.mark.parametrize("name", ["intervals.json", "intervals-0.txt"])
@pytest.mark.parametrize(
    ("damage", "reason"), [(Path.unlink, "is missing"), (truncate, "altered"), (flip, "altered")]
)
def test_damaged_intervals_are_refused_and_named(tmp_path, model, card, intervals, name, damage, reason):
    folder = saved_with(tmp_path, model, card, intervals.to_files())
    damage(folder / name)
    with pytest.raises(ModelFileError, match=reason) as caught:
        store.load_intervals(folder)
    assert str(folder / name) in str(caught.value)


def test_intervals_whose_trees_were_never_written_are_refused(tmp_path, model, card, intervals):
    files = intervals.to_files()
    del files["intervals-1.txt"]
    folder = saved_with(tmp_path, model, card, files)
    with pytest.raises(ModelFileError, match=r"intervals\.json cannot be read") as caught:
        store.load_intervals(folder)
    assert str(folder) in str(caught.value)


def test_training_anew_replaces_intervals_and_the_area_of_applicability(tmp_path, model, card, intervals):
    more = {"applicability.npz": b"zip", "intervals.csv": "split\n", **intervals.to_files()}
    folder = saved_with(tmp_path, model, card, more)
    save(folder, model, card)
    assert not {path.name for path in folder.iterdir()} & set(more)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def reseal(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change model.json as somebody would who can compute its SHA-256 anew: of its compact sorted JSON."""
    body = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del body["sha256"]
    change(body)
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    body["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(body), encoding="utf-8")


def first_member(body: dict[str, Any], **values: Any) -> None:
    body["stacks"][0]["members"][0].update(values)


CARD_DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (Path.unlink, "holds no model.json"),
    "empty": (lambda card: card.write_text(""), "truncated or altered"),
    "truncated": (truncate, "truncated or altered"),
    "not JSON": (lambda card: card.write_text("name = 'model'"), "truncated or altered"),
    "not text": (lambda card: card.write_bytes(b"\x80\x04\x95\xff"), "truncated or altered"),
    "a list": (lambda card: card.write_text("[1, 2]"), "altered: it holds no table"),
    "a value altered": (lambda card: replace(card, '"samples": 500', '"samples": 501'), "is altered"),
    "one digit altered": (flip, "is altered"),
    "a key dropped": (lambda card: replace(card, '"n_folds": 2,', ""), "is altered"),
    "no checksum": (lambda card: replace(card, '"sha256"', '"sha265"'), "altered"),
    "newer": (
        lambda card: replace(card, '"schema_version": 1', '"schema_version": 2'),
        r"schema 2, written by gee-smap \S+; this program reads up to 1: upgrade",
    ),
}


@pytest.mark.parametrize("case", CARD_DAMAGE)
def test_a_damaged_description_is_refused_with_the_reason(folder, case):
    damage, reason = CARD_DAMAGE[case]
    damage(folder / "model.json")
    with pytest.raises(ModelFileError, match=reason) as caught:
        store.load(folder)
    assert str(folder) in str(caught.value)


FILES = [f"{number}-{suffix}" for number in range(3) for suffix in MEMBERS] + ["study.toml", "scores.csv"]


@pytest.mark.parametrize("name", ["study.toml", "scores.csv"])
def test_the_description_alone_is_not_read_beside_a_damaged_attachment(folder, name):
    truncate(folder / name)
    with pytest.raises(ModelFileError, match="altered") as caught:
        store.read_card(folder)
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "reason"), [(Path.unlink, "is missing"), (truncate, "altered"), (flip, "altered")]
)
def test_a_damaged_file_is_refused_and_named(folder, name, damage, reason):
    if name == "study.toml" and damage is flip:
        damage = lambda path: replace(path, "simulated", "simulatet")  # noqa: E731
    damage(folder / name)
    with pytest.raises(ModelFileError, match=reason) as caught:
        store.load(folder)
    assert str(folder / name) in str(caught.value)


RESEALED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a file elsewhere": (lambda body: first_member(body, file="../xgboost.json"), r"members\.0\.file"),
    "an absolute file": (lambda body: first_member(body, file="/etc/passwd"), r"members\.0\.file"),
    "a Windows path": (lambda body: first_member(body, file="..\\xgboost.json"), r"members\.0\.file"),
    "the folder above": (lambda body: first_member(body, file=".."), "missing"),
    "an attachment elsewhere": (
        lambda body: body["attachments"].update({"../a": ""}),
        "attachments",
    ),
    "an unknown learner": (
        lambda body: first_member(body, learner="random-forest"),
        "no learner named random-forest is known",
    ),
    "a weight in words": (lambda body: first_member(body, weight="half"), r"members\.0\.weight"),
    "no WP": (lambda body: body["stacks"].pop(), "names no stack WP"),
    "an unknown key": (lambda body: body.update(code="import os"), "code"),
    "an older schema": (lambda body: body.update(schema_version=0), "schema_version"),
    "a schema in words": (lambda body: body.update(schema_version="one"), "schema_version"),
    "no predictors": (lambda body: body.pop("predictors"), "predictors"),
}


@pytest.mark.parametrize("case", RESEALED)
def test_a_description_altered_along_with_its_checksum_is_refused_where_it_makes_no_model(folder, case):
    change, reason = RESEALED[case]
    reseal(folder, change)
    with pytest.raises(ModelFileError, match=reason) as caught:
        store.load(folder)
    assert str(folder) in str(caught.value)


def test_a_byte_altered_anywhere_in_the_description_is_refused_or_changes_nothing(folder):
    path = folder / "model.json"
    before, whole = store.read_card(folder), path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for at in rng.choice(len(whole), 300, replace=False).tolist():
        altered = bytearray(whole)
        altered[at] = int(rng.integers(256))
        path.write_bytes(bytes(altered))
        try:
            assert store.read_card(folder) == before, f"byte {at} is {altered[at]}"
        except ModelFileError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 200  # the others are blanks between the values


@pytest.mark.parametrize("kind", ["missing", "empty", "a file"])
def test_what_is_no_model_folder_is_refused_and_named(tmp_path, kind):
    path = tmp_path / "model"
    if kind == "empty":
        path.mkdir()
    elif kind == "a file":
        path.write_text("not a folder")
    with pytest.raises(ModelFileError, match=r"holds no model\.json; train a model") as caught:
        store.load(path)
    assert str(path) in str(caught.value)


def test_saving_over_a_model_replaces_it_whole(folder, newer, card, samples):
    assert (folder / "scores.csv").exists()
    save(folder, newer, card)
    loaded, _ = store.load(folder)
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(newer, samples))
    assert not (folder / "scores.csv").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_an_empty_folder_is_filled_and_missing_parents_are_made(tmp_path, newer, card):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b" / "model"):
        save(out, newer, card)
        assert store.load(out)[1].study == "simulated"


def test_a_model_is_written_on_the_disk_it_is_to_stand_on(tmp_path, newer, card, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another disk"))  # renaming needs one disk
    save(tmp_path / "model", newer, card)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_relative_folder_stands_where_the_user_is(tmp_path, newer, card, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path("model"), newer, card)
    monkeypatch.chdir(tmp_path / "model")
    assert store.load(Path())[1].study == "simulated"
    assert store.load(tmp_path / "model")[1].study == "simulated"


FOREIGN = {
    "a thesis": {"thesis.tex": "years of work"},
    "hidden files": {".git/HEAD": "ref: refs/heads/main"},
    "another program's model.json": {
        "model.json": '{"learner": {}, "version": [3, 0, 0]}',
        "data.csv": "a,b",
    },
    "a broken model.json": {"model.json": "{", "data.csv": "a,b"},
    "a list in model.json": {"model.json": "[]"},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path, newer, card, case):
    out = tmp_path / "out"
    for name, text in FOREIGN[case].items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    with pytest.raises(ModelFileError, match="is no model folder; name another or remove it") as caught:
        save(out, newer, card)
    assert str(out) in str(caught.value)
    assert contents(tmp_path) == {f"out/{name}": text.encode() for name, text in FOREIGN[case].items()}


def test_training_anew_loses_nothing_that_a_user_put_beside_the_model(tmp_path, newer, card):
    out = tmp_path / "out"
    save(out, newer, card)
    (out / "predictions.parquet").write_text("years of work")
    before = contents(tmp_path)
    with pytest.raises(ModelFileError, match=r"also holds predictions\.parquet"):
        save(out, newer, card)
    assert contents(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused_and_left_as_it_is(tmp_path, newer, card):
    (tmp_path / "out").write_text("years of work")
    with pytest.raises(ModelFileError, match="is no model folder"):
        save(tmp_path / "out", newer, card)
    assert contents(tmp_path) == {"out": b"years of work"}


def test_a_folder_below_a_file_cannot_be_written(tmp_path, newer, card):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelFileError, match="cannot be written") as caught:
        save(tmp_path / "file" / "model", newer, card)
    assert str(tmp_path / "file" / "model") in str(caught.value)
    assert contents(tmp_path) == {"file": b"x"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_in_one_that_is_not_the_users_cannot_be_written(tmp_path, newer, card):
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    with pytest.raises(ModelFileError, match="cannot be written"):
        save(home / "model", newer, card)
    assert list(home.iterdir()) == []


class Interruption:
    """Passes calls on until the one that is interrupted, which leaves half its work behind."""

    def __init__(self, call: Callable[..., Any], at: int, error: BaseException) -> None:
        self.call, self.left, self.error = call, at, error

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        return lambda *args, **options: self(instance, *args, **options)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            paths = [path for path in args if isinstance(path, Path)]
            if not any(path.exists() for path in paths):  # written, not renamed
                paths[0].write_bytes(b"half")
            raise self.error
        return self.call(*args, **options)


STEPS = {
    "the first member": (XGBoost, "save", 1),
    "a later member": (CatBoost, "save", 2),
    "an attachment": (Path, "write_bytes", 1),
    "the description": (Path, "write_text", 1),
    "the renaming of the old folder": (Path, "rename", 1),
}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", STEPS)
def test_an_interruption_leaves_the_earlier_model_whole(folder, newer, card, monkeypatch, step, error):
    before = contents(folder.parent)
    owner, name, at = STEPS[step]
    monkeypatch.setattr(owner, name, Interruption(getattr(owner, name), at, error))
    with pytest.raises(type(error)):
        save(folder, newer, card)
    monkeypatch.undo()
    assert contents(folder.parent) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    store.load(folder)


@pytest.mark.parametrize("step", [step for step in STEPS if "old folder" not in step])
def test_an_interruption_of_the_first_saving_leaves_nothing(tmp_path, newer, card, monkeypatch, step):
    owner, name, at = STEPS[step]
    monkeypatch.setattr(owner, name, Interruption(getattr(owner, name), at, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "model", newer, card)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_between_the_two_renamings_leaves_the_earlier_model_loadable(
    folder, newer, card, model, samples, monkeypatch
):
    before = contents(folder)
    monkeypatch.setattr(Path, "rename", Interruption(Path.rename, 2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save(folder, newer, card)
    monkeypatch.undo()
    loaded, _ = store.load(folder)
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(model, samples))
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_kill_between_the_two_renamings_leaves_the_earlier_model_loadable(folder, model, samples):
    folder.rename(folder.with_name(".model.previous"))
    assert store.read_card(folder).study == "simulated"
    loaded, _ = store.load(folder)
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(model, samples))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_after_such_a_kill_tidies_up(folder, newer, card, samples):
    folder.rename(folder.with_name(".model.previous"))
    save(folder, newer, card)
    loaded, _ = store.load(folder)
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(newer, samples))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_kill_before_the_old_folder_is_removed_does_not_stand_in_the_way(folder, newer, card, samples):
    shutil.copytree(folder, folder.with_name(".model.previous"))
    save(folder, newer, card)
    loaded, _ = store.load(folder)
    np.testing.assert_array_equal(predictions(loaded, samples), predictions(newer, samples))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
