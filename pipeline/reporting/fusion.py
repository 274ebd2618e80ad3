"""The part of a report on how the members are fused: weights, who was refused, and what stacking gains.

A stack is worth its name only where it beats the best of its members on rows that none of them has seen. The
sentences say so where the intervals of paired differences do, and where they do not, that it gains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from models.partitioned import STACK, WP
from pipeline.learning.fusing import TAKEN, TITLES, Fusions
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Folded,
    Row,
    Section,
    Table,
    Words,
    ends,
    listed,
    notes,
    remarks,
    signed,
    with_interval,
)

NAMES = {STACK: "The stacks of the partitions", WP: "The stack without partitions (WP)"}
CHANGE = "rmse_change"


def section(found: Fusions | None, again: str) -> Section:
    """How the members are fused, and what that gains.

    Args:
        found: what ``pipeline.learning.fusing.read`` gives.
        again: the command that makes it.
    """
    return Section("fusion", "How the members are fused", tuple(_blocks(found, again)))


def _blocks(found: Fusions | None, again: str) -> Iterator[Block]:
    if found is None:
        yield Absent("The model was trained before fusions of its members were compared.", again)
        return
    rule = found.summary["rule"]
    yield Words(_rule(rule))
    yield from remarks(sentences(found), "What it shows.")
    if not found.table.empty:
        yield _beside(found)
        yield Words(
            "Each row is one split and its held-out rows: the RMSE of the best member, and how far each "
            "fusion of the same members lies above (+) or below (−) it. Which member is best is known only "
            "after these rows have been seen, so a fusion that merely equals it has lost nothing. Intervals "
            "draw whole blocks of days or cells, the same for both. Weights by wetness or season are found "
            "in each group by itself."
        )
    yield _weights(found)
    yield Words(
        "Out of fold, of the model that is kept: RMSE of each member alone, and by how much the RMSE of the "
        "stack changes without it, weights found anew; for a member refused, at the time it was. "
        f"It is refused where the change does not exceed {rule['least_gain']} m³/m³ with a confidence of "
        f"{rule['confidence']:.0%}, so a member that merely looks useless in a few blocks stays."
        if rule["fusion"] == "ridge"
        else "Out of fold, of the model that is kept: RMSE of each member alone. Nobody is refused."
    )
    yield from notes(found.notes)
    if not found.table.empty:
        yield Folded("Every member and fusion, with intervals", (_everything(found),))


def sentences(found: Fusions) -> Iterator[str]:
    """What the stacks gain on their best member, in sentences that follow from the numbers alone."""
    for model in dict.fromkeys(found.table["model"]):
        yield f"{NAMES[model]}: {_verdict(found, model)}"
    refused = {name: found.refused(name) for name in found.summary["stacks"]}
    some = [f"{name} ({listed(members)})" for name, members in refused.items() if members]
    yield f"Members refused: {listed(some)}." if some else "No stack has refused a member."


def in_short(found: Fusions) -> str:
    """One sentence for a report's summary."""
    told = list(sentences(found))
    return told[0] if len(told) > 1 else "No split could be scored."


def _rule(rule: Mapping[str, Any]) -> str:
    how = (
        "non-negative, sum to one and are drawn towards the plain mean (ridge), because blocks of land or "
        "days are too few to tell members apart that err alike; a member shown to add nothing gets none"
        if rule["fusion"] == "ridge"
        else "non-negative, sum to one and fit these predictions best; every member may have some"
    )
    return (
        "A stack is a weighted mean of its members. The weights come from predictions of rows that the "
        f"members' folds held out: they are {how}. Beside them other fusions of the same members are scored "
        "on the same rows (Breiman 1996; van der Laan et al. 2007)."
    )


def _verdict(found: Fusions, model: str) -> str:
    """What the intervals say of a model's stacks beside their best member, and what other weights would."""
    own = found.table[found.table["model"] == model]
    taken = own[own["fusion"] == TAKEN].to_dict(orient="records")
    better = [row for row in taken if float(row[f"{CHANGE}_upper"]) < 0]
    worse = [row for row in taken if float(row[f"{CHANGE}_lower"]) > 0]
    rest = [row for row in taken if row not in better and row not in worse]
    told = []
    if better:
        told.append(f"a gain on the best member under {_listed(better)}")
    if worse:
        told.append(f"a loss to the best member under {_listed(worse)}")
    if rest:
        told.append(f"no difference from the best member that can be told from chance under {_listed(rest)}")
    if not better:
        told.append("stacking has gained nothing here but not having to know which member is best")
    text = "; ".join(told)
    allowed = found.summary["rule"]["allowed"]
    most = max(float(row[CHANGE]) for row in taken)
    text += f" (m³/m³ of RMSE). At its worst it is {signed(most, '+.4f')} beside the best member"
    text += f", more than the {allowed} that is accepted." if most > allowed else "."
    errors = own.pivot_table(index="split", columns="fusion", values="rmse", sort=False)
    always = [
        TITLES[name].lower()
        for name in errors
        if name in TITLES and name != TAKEN and bool((errors[name] < errors[TAKEN]).all())
    ]
    if always:
        text += f" Lower under every split of this table: {listed(always)}; see by how much."
    return text


def _listed(rows: list[dict[Any, Any]]) -> str:
    """Splits with their differences from the best member."""
    told = []
    for row in rows:
        value, lower, upper = (float(row[key]) for key in (CHANGE, *ends(CHANGE)))
        told.append(f"{row['split']} {with_interval(value, lower, upper, '+.4f')}")
    return listed(told)


def _beside(found: Fusions) -> Table:
    rows: list[Row] = []
    names = [name for name in TITLES if (found.table["fusion"] == name).any()]
    for _, own in found.table.groupby(["split", "model"], sort=False):
        lines = {str(row["fusion"]): row for row in own.to_dict(orient="records")}
        taken = lines[TAKEN]
        row: dict[str, Any] = {key: taken[key] for key in ("split", "model", "n", "best")}
        row["rmse"] = lines[str(taken["best"])]["rmse"]
        for name in names:
            if name in lines:
                row |= {name: lines[name][CHANGE]}
                row |= {f"{name}_{end}": lines[name][f"{CHANGE}_{end}"] for end in ("lower", "upper")}
        rows.append(row)
    return Table(
        "fusions",
        "Best member, and each fusion's RMSE less that of the best member, on held-out rows (m³/m³)",
        (
            Column("split", "Split"),
            Column("model", "Model"),
            Column("n", "Rows", ",d"),
            Column("best", "Best member"),
            Column("rmse", "Its RMSE", ".5f"),
            *(Column(name, TITLES[name], "+.5f", ends(name) if name == TAKEN else None) for name in names),
        ),
        tuple(rows),
    )


def _weights(found: Fusions) -> Table:
    rows: list[Row] = [
        {"stack": name, "out_of_fold": one["rmse"]} | member | {"refused": "yes" if member["refused"] else ""}
        for name, one in found.summary["stacks"].items()
        for member in one["members"]
    ]
    judged = any(math.isfinite(float(row["change"] or math.nan)) for row in rows)
    return Table(
        "fusion-weights",
        "Weights of the members of each stack, and what they add out of fold (m³/m³ of RMSE)",
        (
            Column("stack", "Stack"),
            Column("learner", "Member"),
            Column("weight", "Weight", ".3f"),
            Column("rmse", "RMSE alone", ".4f"),
            Column("out_of_fold", "RMSE of the stack", ".4f"),
            *(
                (
                    Column("change", "Change without", "+.5f"),
                    Column("not_exceed", "At most", "+.5f"),
                    Column("refused", "Refused"),
                )
                if judged
                else ()
            ),
        ),
        tuple(rows),
    )


def _everything(found: Fusions) -> Table:
    titled = found.table["fusion"].map(lambda name: TITLES.get(name, name))
    table = found.table.assign(fusion=titled).replace({np.nan: None})
    left = [Column("reason", "Missing because", prose=True)] if (table["reason"] != "").any() else []
    return Table(
        "fusions-all",
        "RMSE of every member and fusion on held-out rows, and its difference from that of the best member, "
        "with 95 % intervals",
        (
            Column("split", "Split"),
            Column("model", "Model"),
            Column("fusion", "Member or fusion"),
            Column("n", "Rows", ",d"),
            Column("rmse", "RMSE (m³/m³)", ".4f", ends("rmse")),
            Column(CHANGE, "Beside the best (m³/m³)", "+.5f", ends(CHANGE)),
            *left,
        ),
        tuple({str(key): value for key, value in row.items()} for row in table.to_dict(orient="records")),
    )
