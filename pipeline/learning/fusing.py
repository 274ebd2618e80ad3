"""The stack's own weights beside other ways to fuse the same members, on every row that a split holds out.

Nearly all the time of training goes into the members; other weights on what they say out of fold cost next
to nothing. So each training tries them all, and tells whether its stacks gain anything on their best member,
and which members were refused. Wolpert 1992; Breiman 1996; van der Laan et al. 2007 (``models.fusion``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.fusion import (
    CONFIDENCE,
    LEAST_GAIN,
    STRENGTH,
    OutOfFold,
    by_group,
    convex,
    free_ridge,
    mean,
    ridge,
)
from models.metrics import compare
from models.partitioned import STACK, WP, PartitionedStack, Predictions
from models.splits import SampleKeys
from pipeline.tables.results import read_scores
from pipeline.work.staging import read_back, with_nan, without_nan

Floats = NDArray[np.floating[Any]]

TAKEN = "taken"
ALLOWED = 0.001  # m³/m³ of RMSE that a stack may be worse than the member that turns out best
RECORD, TABLE = "fusions.json", "fusions.csv"
TITLES = {
    TAKEN: "As taken",
    "mean": "Plain mean",
    "convex": "Convex least squares",
    "ridge": "Ridge to the mean, nobody refused",
    "free-ridge": "Non-negative ridge, any sum",
    "shared": "Ridge, the same in all partitions",
    "by-partition": "Ridge, by partition",
    "by-wetness": "Ridge, by tercile of wetness",
    "by-season": "Ridge, by season",
}
_EMPTY = ("split", "model", "fusion", "n", "rmse", "rmse_change", "best", "reason")


class Key(NamedTuple):
    """What a series of predictions is of.

    Attributes:
        model: ``stack``, the stacks of partitions, or ``WP``.
        fusion: one of ``TITLES``, or a member.
    """

    model: str
    fusion: str


def fused(
    model: PartitionedStack,
    found: Predictions,
    target: NDArray[np.float32],
    fitted: SampleKeys,
    held: SampleKeys,
) -> dict[Key, Floats]:
    """Predict rows held out by each member and by every fusion of them.

    Args:
        model: fitted on other rows.
        found: what it predicts of the rows held out.
        target: (n,) of the rows it was fitted on, m³/m³.
        fitted: keys of these.
        held: keys of the rows held out.

    Returns:
        (k,) each, m³/m³. Rows of a partition without a stack of its own are in ``stack`` what ``WP`` says.
    """
    seasons = None
    if fitted.day is not None and held.day is not None:
        seasons = _season(fitted.day), _season(held.day)
    names = [type(learner).__name__ for learner in model.whole.learners]
    whole = OutOfFold(model.whole.oof_, target, found.wp_members)
    values = {Key(WP, name): column for name, column in zip(names, found.wp_members.T, strict=True)}
    values |= {Key(WP, name): of for name, of in _alternatives(whole, seasons).items()}
    values[Key(WP, TAKEN)] = found.wp
    if not model.parts or fitted.partition is None or held.partition is None:
        return values
    codes = np.unique(np.append(fitted.partition, held.partition), return_inverse=True)[1]
    values[Key(WP, "by-partition")] = by_group(whole, (codes[: len(fitted)], codes[len(fitted) :]))
    values |= {Key(STACK, name): column for name, column in zip(names, found.members.T, strict=True)}
    values[Key(STACK, TAKEN)] = found.stack
    parts = []
    for name, stack in model.parts.items():
        known, new = (np.flatnonzero(one.partition == name) for one in (fitted, held))
        rows = OutOfFold(stack.oof_, target[known], found.members[new])
        parts.append(rows)
        if len(new) == 0:
            continue
        own = None if seasons is None else (seasons[0][known], seasons[1][new])
        for fusion, of in _alternatives(rows, own).items():
            values.setdefault(Key(STACK, fusion), found.stack.astype(np.float64))[new] = of
    everyone = OutOfFold(
        np.concatenate([rows.known for rows in parts]),
        np.concatenate([rows.target for rows in parts]),
        found.members[found.partitioned],
    )
    shared = values[Key(STACK, "shared")] = found.stack.astype(np.float64)
    shared[found.partitioned] = ridge(everyone)
    return values


def _alternatives(
    rows: OutOfFold, seasons: tuple[NDArray[np.intp], NDArray[np.intp]] | None
) -> dict[str, NDArray[np.float64]]:
    values = {
        "mean": mean(rows), "convex": convex(rows), "ridge": ridge(rows), "free-ridge": free_ridge(rows),
        "by-wetness": by_group(rows, rows.terciles),
    }  # fmt: skip
    return values if seasons is None else values | {"by-season": by_group(rows, seasons)}


def _season(day: NDArray[np.int64]) -> NDArray[np.intp]:
    """December to February, March to May, and so on, of days since 1970-01-01."""
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.intp) % 12
    return np.asarray((month + 1) % 12 // 3, np.intp)


def compared(
    split: str,
    values: Mapping[Key, Floats],
    target: Floats,
    blocks: NDArray[np.intp],
    *,
    reason: str = "",
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """One row for each member and fusion of the stacks and of WP, beside the best member of these very rows.

    Args:
        split: its name.
        values: of ``fused``, (n,) each.
        target: (n,) m³/m³.
        blocks: (n,) what hangs together, for the intervals.
        reason: why rows are missing, if any are.
        seed: of the bootstrap.

    Yields:
        ``split``, ``model``, ``fusion``, ``n``, ``rmse``, ``rmse_change`` (less that of ``best``, the member
        that nobody could have known to be the best before), each with the ends of its 95 % interval, and the
        ``reason`` of what is undefined.
    """
    for model in dict.fromkeys(key.model for key in values):
        own = {key.fusion: one for key, one in values.items() if key.model == model}
        errors = {
            name: float(np.square(one - target).mean()) for name, one in own.items() if name not in TITLES
        }
        best = min(errors, key=errors.__getitem__)
        found = compare(own, target, blocks=blocks, baseline=best, metrics=("rmse",), seed=seed)
        for name in own:
            value = found.scores[name]["rmse"]
            row = {
                "split": split, "model": model, "fusion": name, "n": found.n, "rmse": value.value,
                "rmse_lower": value.lower, "rmse_upper": value.upper, "rmse_change": 0.0,
                "rmse_change_lower": math.nan, "rmse_change_upper": math.nan,
            }  # fmt: skip
            if name in found.differences:
                change = found.differences[name]["rmse"]
                row |= {
                    "rmse_change": change.value, "rmse_change_lower": change.lower,
                    "rmse_change_upper": change.upper,
                }  # fmt: skip
            yield row | {"best": best, "reason": reason or value.reason}


@dataclass(frozen=True, eq=False)
class Fusions:
    """How the members of a model's stacks are weighed, and how other weights would have done.

    Attributes:
        table: rows of ``compared``; empty where no split could be scored.
        summary: ``simulated``; ``rule`` (``fusion`` and the numbers behind it); ``stacks`` by name:
            ``fusion``, ``rmse`` out of fold, ``why``, and of each of its ``members`` the ``weight``, the
            ``rmse`` alone, the ``change`` without it, what that does ``not_exceed``, and whether it is
            ``refused``; ``notes``.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]

    @classmethod
    def of(cls, rows: list[dict[str, Any]], model: PartitionedStack, *, simulated: bool) -> Fusions:
        """Put the table and the weights of the model that is kept together.

        Args:
            rows: of all splits.
            model: just fitted.
            simulated: whether its samples were.
        """
        table = pd.DataFrame(rows, columns=None if rows else list(_EMPTY))
        stacks = {name: _stack(stack) for name, stack in model.stacks.items()}
        summary = {
            "simulated": simulated,
            "rule": {
                "fusion": model.whole.fusion,
                "strength": STRENGTH,
                "least_gain": LEAST_GAIN,
                "confidence": CONFIDENCE,
                "allowed": ALLOWED,
            },
            "stacks": stacks,
            "notes": [*_refusals(stacks), *_excess(table)],
        }
        return cls(table, summary)

    @property
    def notes(self) -> tuple[str, ...]:
        """Who was refused, and where a stack is worse than its best member by too much."""
        return tuple(self.summary["notes"])

    def as_dict(self) -> dict[str, Any]:
        """The summary, and the table as ``fusions``."""
        return {**self.summary, "fusions": self.table.to_dict(orient="records")}

    def to_files(self) -> dict[str, str]:
        """Content of the files that keep it in a model folder, by name."""
        text = json.dumps(without_nan(dict(self.summary)), indent=1, ensure_ascii=False, allow_nan=False)
        return {TABLE: self.table.to_csv(index=False), RECORD: f"{text}\n"}

    def refused(self, stack: str) -> list[str]:
        """Members of a stack that have no weight because they are shown to add nothing."""
        return [str(one["learner"]) for one in self.summary["stacks"][stack]["members"] if one["refused"]]


def read(folder: Path) -> Fusions | None:
    """What training left in a model folder; None where that was before fusions were compared.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "train again")


def _load(folder: Path) -> Fusions:
    summary = with_nan(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    table = read_scores(folder / TABLE, _EMPTY)
    if not isinstance(summary["notes"], list):
        raise ValueError("notes are no list")
    return Fusions(table, summary)


def _stack(stack: Any) -> dict[str, Any]:
    """A stack's part of the summary."""
    weighing = stack.weighing_
    names = [learner.name for learner in stack.learners]
    members = []
    for number, (name, weight) in enumerate(zip(names, weighing.weights.tolist(), strict=True)):
        change = weighing.changes[number]
        members.append({
            "learner": name, "weight": weight, "rmse": float(weighing.alone[number]),
            "change": math.nan if change is None else change.value,
            "not_exceed": math.nan if change is None else change.most,
            "refused": number in weighing.refused,
        })  # fmt: skip
    return {"rmse": weighing.rmse, "why": weighing.why(names), "members": members}


def _refusals(stacks: Mapping[str, Any]) -> Iterator[str]:
    told = [
        f"{name}: {one['why']}"
        for name, one in stacks.items()
        if any(member["refused"] for member in one["members"])
    ]
    if told:
        yield f"Members without weight, out of fold in m³/m³: {'; '.join(told)}."


def _excess(table: pd.DataFrame) -> Iterator[str]:
    taken = table[table["fusion"] == TAKEN]
    for row in taken[taken["rmse_change"].astype(float) > ALLOWED].to_dict(orient="records"):
        yield (
            f"Under the {row['split']} split the RMSE of {row['model']} is {row['rmse_change']:.4f} m³/m³ "
            f"above that of {row['best']} alone, the member that turns out best there."
        )
