"""The part of a report on which partitions have stacks of their own, and the held-out rows that tell.

Partitioning is a choice of the study and its worth a finding: where the stack without partition is better at
new places, the maps are made with that one, and a reader has to see why.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.partitioned import WP
from models.store import ChoiceCard, ModelCard
from pipeline.reporting.content import Block, Column, Row, Table, Words, ends, listed


def blocks(card: ModelCard) -> Iterator[Block]:
    """Which stack predicts in each partition, and why; nothing where nobody had to decide."""
    if not card.choices:
        return
    yield Words(in_short(card), "Partitions and WP.", notable=True)
    yield Table(
        "partition-choices",
        "Which stack predicts a partition, and the RMSE of both on rows held out from both (m³/m³), with the "
        "95 % interval of their difference",
        (
            Column("partition", "Partition"),
            Column("by", "Predicted by"),
            Column("n", "Rows", ",d"),
            Column("own_rmse", "Own stack", ".4f"),
            Column("wp_rmse", WP, ".4f"),
            Column("difference", "Own less WP", "+.4f", ends("difference")),
            *([Column("reason", "Not known because", prose=True)] if any(map(_why, card.choices)) else []),
        ),
        tuple(_row(one) for one in card.choices),
    )
    yield Words(
        "Blocks of land are held out from both stacks, for that is what a map between the samples asks of a "
        "model. Intervals draw whole cells; cells of one block hang together, so they are somewhat narrow. "
        "A partition keeps its own stack unless its interval lies above 0."
    )


def in_short(card: ModelCard) -> str:
    """One sentence for a report's summary; empty where nobody had to decide."""
    own = [one.partition for one in card.choices if one.own]
    told = []
    if card.by_wp:
        told.append(
            f"the stack without partition ({WP}) predicts in {listed(list(card.by_wp))}, where it is better "
            "on held-out land than a stack of the partition"
        )
    if own:
        told.append(f"stacks of their own predict in {listed(own)}, where {WP} is not shown to be better")
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _why(one: ChoiceCard) -> str:
    return one.reason if one.difference_lower is None else ""


def _row(one: ChoiceCard) -> Row:
    return {
        "partition": one.partition, "by": "its own stack" if one.own else WP, "n": one.n,
        "own_rmse": one.own_rmse, "wp_rmse": one.wp_rmse, "difference": one.difference,
        "difference_lower": one.difference_lower, "difference_upper": one.difference_upper,
        "reason": _why(one),
    }  # fmt: skip
