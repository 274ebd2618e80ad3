"""Each stack of a model has an area of its own, from its own samples and folds."""

from __future__ import annotations

import numpy as np
import pytest

from models.applicability import Applicability, importance_of, to_bytes
from models.errors import ModelFileError
from models.learners import CatBoost, LightGBM, XGBoost
from models.partitioned import WP, PartitionedStack
from models.splits import RandomSplit, SampleKeys
from models.stack import StackedRegressor
from pipeline.learning.applicability import FILE, applicability_of, read_areas

SPLIT = RandomSplit()


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 3)).astype(np.float32)
    y = (0.25 + 0.05 * X[:, 0]).astype(np.float32)
    X[400:, 2] = 5  # constant in the second partition
    keys = SampleKeys(
        np.arange(900), rng.uniform(115, 118, 900), rng.uniform(30, 33, 900), None,
        np.where(np.arange(900) < 400, "hills", "plain"),
    )  # fmt: skip
    learners = (XGBoost(trees=10), LightGBM(trees=10), CatBoost(trees=10))
    template = StackedRegressor(learners, n_folds=2, threads=1, patience=1000)
    return PartitionedStack.fit(template, X, y, keys, SPLIT, n_folds=3), X, keys


def test_each_stack_has_the_area_of_its_own_rows(trained):
    model, X, keys = trained
    told = []
    areas, notes = applicability_of(
        model, X, keys, SPLIT, n_folds=3, names=("a", "b", "c"), report=lambda what, share: told.append(what)
    )
    assert list(areas) == ["hills", "plain", WP]
    assert told == [f"area of applicability: {name}" for name in areas]
    assert [len(area.rows) for area in areas.values()] == [400, 500, 900]
    rows = np.flatnonzero(keys.partition == "hills")
    alone = Applicability.fit(
        X[rows], importance_of(model.parts["hills"], X[rows]), SPLIT.folds(keys.take(rows), 3)
    )
    assert areas["hills"].threshold == alone.threshold
    assert notes == ("plain: the dissimilarity index is without c, constant in training.",)


def test_a_stack_without_an_area_is_told(trained):
    model, X, keys = trained
    same = X.copy()
    same[400:] = 1
    areas, notes = applicability_of(model, same, keys, SPLIT, n_folds=3, names=("a", "b", "c"))
    assert list(areas) == ["hills", WP]
    assert notes[0].startswith("There is no area of applicability for plain: none of the 3 predictors varies")


def test_they_are_read_from_a_model_folder(trained, tmp_path):
    model, X, keys = trained
    assert read_areas(tmp_path) == {}
    areas, _ = applicability_of(model, X, keys, SPLIT, n_folds=3, names=("a", "b", "c"))
    (tmp_path / FILE).write_bytes(to_bytes(areas))
    found = read_areas(tmp_path)
    assert {name: one.threshold for name, one in found.items()} == {
        name: one.threshold for name, one in areas.items()
    }
    (tmp_path / FILE).write_bytes(b"PK damaged")
    with pytest.raises(ModelFileError, match=r"applicability\.npz: .* is damaged"):
        read_areas(tmp_path)
