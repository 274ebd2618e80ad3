"""The trees of a fitted XGBoost, LightGBM or CatBoost model as plain arrays, exact to the last bit.

Everything that evaluates trees outside their library starts here. Each library's rule is brought to one
form, "go left where x < threshold, x and threshold float32", so equal inputs take equal branches; missing
values keep the library's own branch. Read from the documented text formats, not from private attributes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Splits(NamedTuple):
    """Comparisons of some rows' values with thresholds, one per entry.

    Attributes:
        feature: column of X that is compared.
        threshold: float32; a row goes right where ``x >= threshold``.
        missing_right: whether a row without a value goes right.
    """

    feature: NDArray[np.intp]
    threshold: NDArray[np.float32]
    missing_right: NDArray[np.bool_]

    @classmethod
    def joined(cls, many: Sequence[Splits]) -> Splits:
        """All entries of ``many`` in their order."""
        empty = cls(np.zeros(0, np.intp), np.zeros(0, np.float32), np.zeros(0, np.bool_))
        feature, threshold, missing_right = zip(empty, *many, strict=True)
        return cls(np.concatenate(feature), np.concatenate(threshold), np.concatenate(missing_right))

    def take(self, entries: NDArray[np.intp]) -> Splits:
        """Some entries, in that order."""
        return Splits(self.feature[entries], self.threshold[entries], self.missing_right[entries])


@dataclass(frozen=True)
class Tree:
    """One binary tree; node 0 is the root, a leaf has ``left`` of -1.

    Attributes:
        nodes: (nodes,) the comparison of each node; without meaning for a leaf.
        left, right: (nodes,) children.
        value: (nodes,) what a leaf adds to the prediction.
    """

    nodes: Splits
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: NDArray[np.float64]

    @property
    def inner(self) -> NDArray[np.intp]:
        """The nodes that are no leaves."""
        return np.flatnonzero(self.left >= 0)

    @property
    def splits(self) -> Splits:
        """The comparisons of the inner nodes."""
        return self.nodes.take(self.inner)

    @property
    def leaves(self) -> int:
        """How many leaves the tree has."""
        return int((self.left < 0).sum())


@dataclass(frozen=True)
class ObliviousTree:
    """One CatBoost tree: the same comparison on a whole level.

    Attributes:
        splits: (depth,) bit k of a row's leaf number is set where it goes right in split k.
        value: (2 ** depth,) what a leaf adds to the prediction.
    """

    splits: Splits
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Forest:
    """All trees of one model; the prediction is ``base`` plus the sum of one leaf per tree."""

    base: float
    trees: tuple[Tree, ...] | tuple[ObliviousTree, ...]


def just_above(threshold: NDArray[Any]) -> NDArray[np.float32]:
    """The least float32 greater than ``threshold``, so that ``x <= threshold`` equals ``x < just_above``."""
    rounded = threshold.astype(np.float32)
    above = np.nextafter(rounded, np.float32(np.inf))
    return np.where(rounded.astype(np.float64) > threshold, rounded, above)


def read_xgboost(model: Any) -> Forest:
    """Trees of an ``xgboost.Booster``; it goes left where ``x < split_condition`` in float32."""
    learner = json.loads(model.save_raw("json"))["learner"]
    trees = tuple(
        Tree(
            nodes=Splits(
                np.array(tree["split_indices"], np.intp),
                np.array(tree["split_conditions"], np.float32),
                ~np.array(tree["default_left"], np.bool_),
            ),
            left=np.array(tree["left_children"], np.intp),
            right=np.array(tree["right_children"], np.intp),
            value=np.array(tree["split_conditions"], np.float32).astype(np.float64),  # a leaf's is its value
        )
        for tree in learner["gradient_booster"]["model"]["trees"]
    )
    base = learner["learner_model_param"]["base_score"]
    return Forest(float(np.float32(base.strip("[]"))), trees)


LIGHTGBM_ZERO = np.float32(1e-35)  # kZeroThreshold: LightGBM reads what is not larger as zero


def read_lightgbm(model: Any) -> Forest:
    """Trees of a ``lightgbm.Booster``; it goes left where ``x <= threshold`` in float64."""
    blocks = model.model_to_string().split("\nTree=")[1:]
    return Forest(0.0, tuple(_lightgbm_tree(block) for block in blocks))


def _lightgbm_tree(block: str) -> Tree:
    entries = dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines()[1:] if "=" in line)
    leaves = int(entries["num_leaves"])
    splits = leaves - 1

    def per_node(key: str, kind: Any, fill: Any) -> NDArray[Any]:
        out = np.full(splits + leaves, fill, kind)
        if splits:
            out[:splits] = np.array(entries[key].split(), kind)
        return out

    def child(key: str) -> NDArray[np.intp]:
        out = per_node(key, np.intp, -1)
        inner = out[:splits]
        inner[inner < 0] = splits + ~inner[inner < 0]  # LightGBM writes leaf k as ~k
        return out

    decision = per_node("decision_type", np.intp, 0)
    threshold = per_node("threshold", np.float64, 0.0)
    missing_is_nan, default_left = (decision >> 2) & 3 == 2, decision & 2 > 0
    value = np.zeros(splits + leaves)
    value[splits:] = np.array(entries["leaf_value"].split(), np.float64)
    return Tree(
        nodes=Splits(
            per_node("split_feature", np.intp, 0),
            # A split just below zero sends zero to the right, and with it all that is read as zero.
            np.where((threshold < 0) & (threshold >= -LIGHTGBM_ZERO), -LIGHTGBM_ZERO, just_above(threshold)),
            # Without missing values in training LightGBM reads NaN as zero.
            ~np.where(missing_is_nan, default_left, threshold >= 0),
        ),
        left=child("left_child"),
        right=child("right_child"),
        value=value,
    )


def read_catboost(model: Any) -> Forest:
    """Trees of a ``catboost.CatBoostRegressor`` on numeric features; it sets a bit where ``x > border``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        content = json.loads(path.read_text())
    features = content["features_info"]["float_features"]
    column = np.array([one["flat_feature_index"] for one in features], np.intp)
    missing_right = np.array([one["nan_value_treatment"] == "AsTrue" for one in features], np.bool_)
    scale, base = content["scale_and_bias"]
    trees = []
    for tree in content["oblivious_trees"]:
        splits = tree.get("splits") or []
        index = np.array([split["float_feature_index"] for split in splits], np.intp)
        border = np.array([split["border"] for split in splits], np.float32)
        value = np.array(tree["leaf_values"], np.float64) * scale
        trees.append(ObliviousTree(Splits(column[index], just_above(border), missing_right[index]), value))
    return Forest(float(np.ravel(base)[0]), tuple(trees))


READERS = {"xgboost": read_xgboost, "lightgbm": read_lightgbm, "catboost": read_catboost}
