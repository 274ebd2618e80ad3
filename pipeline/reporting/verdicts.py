"""What scores show, in sentences that follow from the numbers alone.

The paper's gains are small (stacking, partitions and downscaling bring about 0.01 in R each), and a reader
takes a sentence for more than a table; so a gain is called one only where intervals say so, a loss is said as
plainly, and what the numbers cannot decide is called undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from models.learners import DEFAULT_LEARNERS
from models.partitioned import STACK, WP
from pipeline.reporting.content import Row, listed, signed, with_interval
from pipeline.scores.stations import BETTER
from pipeline.scores.truth import FieldScore
from pipeline.tables.titles import DOWNSCALED, WHOLE, title

DIGITS = 4  # of RMSE, m³/m³, in sentences and tables
UNIT = "m³/m³"
PARTS = frozenset(title(name) for name in (*(one.name for one in DEFAULT_LEARNERS), WHOLE))
"""Titles of what a stack is made of or stands beside."""
Outcome = Literal["better", "lower", "equal", "higher", "worse"]
"""Of the stack's RMSE beside another's: better and worse where the intervals lie apart."""

TOLD: Mapping[Outcome, str] = {
    "better": "better, intervals apart",
    "lower": "lower, undecided",
    "equal": "equal",
    "higher": "higher, undecided",
    "worse": "worse, intervals apart",
}


@dataclass(frozen=True)
class Score:
    """A row of a model's table of scores; m³/m³ but for R, NaN where undefined."""

    split: str
    partition: str
    model: str
    n: int
    r: float
    rmse: float
    rmse_lower: float
    rmse_upper: float
    reason: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Score:
        """From a row as ``model.json`` has it."""

        def number(key: str) -> float:
            value = row.get(key)
            return math.nan if value is None else float(value)

        return cls(
            str(row["split"]), str(row["partition"]), str(row["model"]), int(row.get("n") or 0),
            number("r"), number("rmse"), number("rmse_lower"), number("rmse_upper"),
            str(row.get("reason") or ""),
        )  # fmt: skip

    @property
    def scored(self) -> bool:
        """Whether there is an RMSE."""
        return math.isfinite(self.rmse)

    @property
    def bounded(self) -> bool:
        """Whether its RMSE has an interval."""
        return math.isfinite(self.rmse_lower) and math.isfinite(self.rmse_upper)


@dataclass(frozen=True)
class Standing:
    """The stack beside its best member and WP, under a split and in a partition.

    Attributes:
        split: how rows were held out.
        partition: whose rows; ``all`` is all of them.
        stack: its score.
        best: that of its member with the lowest RMSE on these rows.
        whole: that of WP.
    """

    split: str
    partition: str
    stack: Score | None
    best: Score | None
    whole: Score | None

    @property
    def reason(self) -> str:
        """Why something is missing."""
        return next((one.reason for one in (self.stack, self.whole) if one and one.reason), "")


def standings(rows: Iterable[Mapping[str, Any]]) -> list[Standing]:
    """Each split and partition of a model's scores, in their order."""
    scores = [Score.of(row) for row in rows]
    found = []
    for split, partition in dict.fromkeys((one.split, one.partition) for one in scores):
        here = [one for one in scores if (one.split, one.partition) == (split, partition)]
        by_name = {one.model: one for one in here}
        members = [one for one in here if one.model not in (STACK, WP) and one.scored]
        best = min(members, key=lambda one: one.rmse, default=None)
        found.append(Standing(split, partition, by_name.get(STACK), best, by_name.get(WP)))
    return found


def outcome(one: Score | None, other: Score | None) -> Outcome | None:
    """How an RMSE stands beside another; None where either is missing.

    Scores of the same rows rise and fall together, so intervals that lie apart do show a difference, while a
    true one may hide in intervals that overlap.
    """
    if one is None or other is None or not (one.scored and other.scored):
        return None
    if round(one.rmse, DIGITS) == round(other.rmse, DIGITS):
        return "equal"
    apart = one.bounded and other.bounded
    if one.rmse < other.rmse:
        return "better" if apart and one.rmse_upper < other.rmse_lower else "lower"
    return "worse" if apart and one.rmse_lower > other.rmse_upper else "higher"


def of_split(standing: Standing, partitioned: bool) -> str:
    """What the scores of a split say of the stack.

    Args:
        standing: of all rows of the split.
        partitioned: whether the partitions have stacks of their own; without, WP is the stack.
    """
    stack, best, whole = standing.stack, standing.best, standing.whole
    if stack is None or not stack.scored:
        text = f"No score of the stack: {standing.reason or 'it was not scored'}."
        if whole and whole.scored:
            text += f" WP has an RMSE of {_rmse(whole)} and an R of {signed(whole.r, '.3f')}."
        return text
    text = f"The stack has an RMSE of {_rmse(stack)} and an R of {signed(stack.r, '.3f')}."
    if best:
        text += " " + _against(stack, best, f"{best.model}, its best member on these rows")
    if not partitioned:
        return text + " There are no partitions, so the stack is WP itself."
    if whole:
        text += " " + _against(stack, whole, "WP, the stack without partitions")
    return text


def _against(one: Score, other: Score, name: str) -> str:
    found = outcome(one, other)
    if found is None:
        return f"{name} has no score."
    if found == "equal":
        return f"Its RMSE equals that of {name}, to {DIGITS} digits."
    gap = abs(one.rmse - other.rmse)
    size = f"{gap:.{DIGITS}f} ({100 * gap / other.rmse:.1f} %)" if other.rmse else f"{gap:.{DIGITS}f}"
    told = f"{size} {'lower' if one.rmse < other.rmse else 'higher'} than that of {name} ({_rmse(other)})"
    if found == "better":
        return f"Its RMSE is {told}, beyond the 95 % intervals: the stack is better."
    if found == "worse":
        return f"Its RMSE is {told}, beyond the 95 % intervals: the stack is worse."
    if not (one.bounded and other.bounded):
        return f"Its RMSE is {told}; without intervals that decides nothing."
    rest = "no gain is shown" if found == "lower" else "neither is shown to be better"
    return f"Its RMSE is {told}; the 95 % intervals overlap, so {rest}."


def tally(found: Sequence[Standing], name: Literal["best", "whole"]) -> str:
    """Over the splits: where the stack is better, where worse, where nothing is decided.

    Args:
        found: of all rows, one a split.
        name: what the stack is held against: its best member, or WP.
    """
    splits: dict[Outcome, list[str]] = {}
    for one in found:
        if (result := outcome(one.stack, getattr(one, name))) is not None:
            splits.setdefault(result, []).append(one.split)
    other = "its best member" if name == "best" else "WP (the stack without partitions)"
    compared = sum(len(names) for names in splits.values())
    if not compared:
        return f"The stack could not be compared with {other} under any split."
    under = "the one split" if compared == 1 else f"any of {compared} splits"
    first = (
        f"The stack is better than {other} under {listed(splits['better'])}, with intervals apart."
        if "better" in splits
        else f"The stack is not shown to be better than {other} under {under}."
    )
    if "worse" in splits:
        first += f" It is worse, with intervals apart, under {listed(splits['worse'])}."
    undecided = [
        f"{told} under {listed(splits[key])}"
        for key, told in (("lower", "lower"), ("higher", "higher"), ("equal", "equal"))
        if key in splits
    ]
    if undecided:
        first += f" Its RMSE is {listed(undecided)}, but not beyond the intervals."
    return first


def held_out(found: Sequence[Standing]) -> str:
    """The stack's RMSE on held-out rows under each split, WP's where the stack has none."""
    told = []
    for one in found:
        score = one.stack if one.stack and one.stack.scored else one.whole
        if score and score.scored:
            told.append(f"{score.rmse:.{DIGITS}f} {one.split}" + (" (WP)" if score is one.whole else ""))
    return f"RMSE in {UNIT} by split: {', '.join(told)}." if told else "No split could be scored."


def at_stations(summary: Mapping[str, Any]) -> Iterator[str]:
    """Whether the downscaled map is better than SMAP at stations.

    Args:
        summary: as ``pipeline.scores.validate`` makes it, NaN for what is undefined.
    """
    differences, titles = summary["differences"], summary["titles"]
    if DOWNSCALED not in differences:
        return
    fine, raw = titles[DOWNSCALED], titles[summary["baseline"]]
    for metric, label in (("r", "R"), ("r_anomaly", "R of anomalies"), ("ubrmse", "ubRMSE")):
        found = differences[DOWNSCALED].get(metric)
        if not found or math.isnan(found["median"]):
            continue
        form = ".4f" if metric == "ubrmse" else ".3f"
        middle, low, high = (signed(found[key], f"+{form}") for key in ("median", "lower", "upper"))
        text = f"{label}, {fine} minus {raw}, median of {found['n']} stations: {middle}"
        side = _side(found["lower"], found["upper"], BETTER[metric])
        if side is None:
            yield f"{text}; there are too few stations for an interval, so it decides nothing."
            continue
        text += (
            f" [{low}, {high}]. "
            + {
                "neither": "The interval holds zero: neither is shown to be better.",
                "gain": f"The interval lies on the side of {fine}: a gain over {raw}.",
                "loss": f"The interval lies on {raw}'s side: {fine} is worse than {raw}.",
            }[side]
        )
        if found["improved"] + found["worsened"] + found["undecided"]:
            text += (
                f" Station by station: {found['improved']} improved, {found['worsened']} worsened, "
                f"{found['undecided']} undecided, {found['no_interval']} without interval."
            )
        yield text


def others_at_stations(summary: Mapping[str, Any]) -> Iterator[str]:
    """How other products stand to SMAP at stations, and the downscaled map to them.

    Args:
        summary: as of `at_stations`.
    """
    titles = summary["titles"]
    rest = {name: each for name, each in summary["differences"].items() if name != DOWNSCALED}
    for metric, label in (("r", "R"), ("ubrmse", "ubRMSE")):
        if told := _by_side(rest, titles, metric, ("better for", "worse for", "undecided for")):
            raw = titles[summary["baseline"]]
            yield f"{label} of other products beside that of {raw}, by intervals: {told}."
    for metric, label in (("r", "R"), ("ubrmse", "ubRMSE")):
        called = ("better than", "worse than", "undecided beside")
        if told := _by_side(summary["less_others"], titles, metric, called):
            yield f"{label} of {titles[DOWNSCALED]} beside other products, by intervals: {told}."


def _by_side(
    found: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str],
    metric: str,
    called: tuple[str, str, str],
) -> str:
    """Products by what their interval says: of a gain, of a loss, of neither; empty where none has one."""
    sides: dict[str, list[str]] = {}
    for name, each in found.items():
        if (one := each.get(metric)) and (side := _side(one["lower"], one["upper"], BETTER[metric])):
            sides.setdefault(side, []).append(titles[name])
    verdicts = zip(("gain", "loss", "neither"), called, strict=True)
    return "; ".join(f"{verdict} {listed(sides[side])}" for side, verdict in verdicts if side in sides)


def in_strata(table: pd.DataFrame, summary: Mapping[str, Any]) -> Iterator[str]:
    """In which strata the downscaled map gains over SMAP, in which it loses, and where nothing is shown.

    Args:
        table: of ``pipeline.scores.strata``, with ``<metric>_difference`` where there is a baseline.
        summary: as ``pipeline.scores.validate`` makes it.
    """
    if "ubrmse_difference" not in table:
        return
    own = table[table["product"] == DOWNSCALED]
    fine, raw = (summary["titles"][name] for name in (DOWNSCALED, summary["baseline"]))
    tested = 0
    for metric, label in (("ubrmse", "ubRMSE"), ("r", "R")):
        places: dict[str, list[str]] = {}
        column = f"{metric}_difference"
        for row in own.to_dict("records"):
            side = _side(row[f"{column}_lower"], row[f"{column}_upper"], BETTER[metric])
            places.setdefault(side or "none", []).append(str(row["stratum"]))
        shown = sum(len(names) for side, names in places.items() if side != "none")
        tested += shown
        if not shown:
            yield f"By {label} no stratum has enough stations for an interval of the difference to {raw}."
            continue
        most = len(own)
        text = (
            f"By {label}, {fine} is better than {raw} beyond the interval in {listed(places['gain'], most)}"
            if "gain" in places
            else f"By {label}, {fine} is shown to be better than {raw} in no stratum"
        )
        if "loss" in places:
            text += f", and worse in {listed(places['loss'], most)}"
        if undecided := len(places.get("neither", [])):
            text += f"; {undecided} of {shown} strata decide nothing"
        if few := len(places.get("none", [])):
            text += f"; {few} more have too few stations for an interval"
        yield f"{text}."
    if tested:
        chance = tested * (1 - summary["settings"]["confidence"])
        yield (
            f"These are {tested} comparisons: with no difference at all about {chance:.1f} of them would lie "
            "beyond their interval by chance."
        )


def _side(low: float, high: float, sign: int) -> Literal["gain", "loss", "neither"] | None:
    """On which side of zero an interval lies; None without an interval."""
    if math.isnan(low) or math.isnan(high):
        return None
    if low <= 0 <= high:
        return "neither"
    return "gain" if sign * low > 0 else "loss"


def against_truth(scores: Sequence[FieldScore]) -> Iterator[str]:
    """What the first map, the downscaled one, shows beside the others, by intervals where there are any.

    The base learners and WP, which it is made of, are told of by their RMSE alone.
    """
    if not scores:
        return
    fine, *others = scores
    lowest = min(scores, key=lambda one: one.rmse)
    yield f"The lowest RMSE of the {len(scores)} maps is that of {lowest.product} ({lowest.rmse:.4f} {UNIT})."
    for other in others:
        if other.product not in PARTS:
            yield _beside(fine, other)
    coarse = [one for one in scores if one.product not in PARTS]
    for label, of in (("R in time", "r_time"), ("R in space", "r_space")):
        told = listed([f"{one.product} {signed(getattr(one, of), '.3f')}" for one in coarse])
        yield f"{label}, a median without an interval: {told}."
    if math.isfinite(fine.r_within):
        yield (
            f"Within 9 km cells the {fine.product} map has an R of {signed(fine.r_within, '.3f')} (median of "
            f"cells and days) and {fine.variance:.2f} times the truth's variance."
        )
    if parts := [one for one in others if one.product in PARTS]:
        told = listed([f"{one.product} {one.rmse:.4f}{_change(one, fine.product)}" for one in parts])
        less = " (in brackets less the map's)" if parts[0].beside else ""
        yield f"What it is made of has an RMSE{less} of {told} {UNIT}, the map itself {fine.rmse:.4f}."
    for baseline in others:
        if compared := [one for one in scores if baseline.product in one.beside]:
            told = listed([f"{one.product}{_change(one, baseline.product)}" for one in compared])
            yield f"RMSE beside that of {baseline.product}: {told} {UNIT}."
    if fine.drawn:
        yield f"In brackets stand 95 % intervals, which draw {fine.drawn}; they tell of the simulation alone."


def _beside(fine: FieldScore, other: FieldScore) -> str:
    """In what one map is better than another, in what worse, and what cannot be told."""
    measures = (
        ("rmse", "RMSE", fine.rmse, other.rmse, ".4f", -1),
        ("ubrmse", "ubRMSE", fine.ubrmse, other.ubrmse, ".4f", -1),
        ("r", "R", fine.r, other.r, ".3f", 1),
        ("r_within", "R within cells", fine.r_within, other.r_within, ".3f", 1),
    )
    changes = other.beside.get(fine.product, {})
    sides: dict[str, list[str]] = {"gain": [], "loss": [], "neither": []}
    plain = []
    for metric, label, mine, theirs, form, sign in measures:
        if not (math.isfinite(mine) and math.isfinite(theirs)):
            continue
        plain.append(f"{label} {signed(mine, form)} against {signed(theirs, form)}")
        change = changes.get(metric)
        if change and (side := _side(-change.upper, -change.lower, sign)):
            told = with_interval(-change.value, -change.upper, -change.lower, f"+{form}")
            sides[side].append(f"{label} ({told})")
    if not any(sides.values()):
        return f"Beside {other.product}, without intervals: {', '.join(plain)}."
    parts = [
        f"{verb} {listed(sides[side])}"
        for side, verb in (
            ("gain", "better in"), ("loss", "worse in"), ("neither", "not to be told apart in"),
        ) if sides[side]
    ]  # fmt: skip
    return f"Beside {other.product}, the {fine.product} map is {', '.join(parts)}."


def _change(one: FieldScore, baseline: str) -> str:
    """How far a map's RMSE lies above another's, in brackets; nothing where that is not known."""
    change = one.beside.get(baseline, {}).get("rmse")
    return f" ({with_interval(change.value, change.lower, change.upper, '+.4f')})" if change else ""


def rows(found: Iterable[Standing], partitioned: bool) -> Iterator[Row]:
    """Standings as rows of a table, where there is any score."""
    for one in found:
        if not any(score and score.scored for score in (one.stack, one.whole)):
            continue
        row: dict[str, Any] = {
            "split": one.split,
            "partition": one.partition,
            "n": max((score.n for score in (one.stack, one.whole) if score), default=0),
        }
        for key, score in (("stack", one.stack), ("best", one.best), ("wp", one.whole)):
            if key == "best":
                row["best_member"] = score.model if score else None
            row |= {
                f"{key}_rmse": score.rmse if score else None,
                f"{key}_rmse_lower": score.rmse_lower if score else None,
                f"{key}_rmse_upper": score.rmse_upper if score else None,
            }
        against_best = outcome(one.stack, one.best)
        against_wp = outcome(one.stack, one.whole) if partitioned else None
        row["beside_best"] = TOLD[against_best] if against_best else None
        row["beside_wp"] = TOLD[against_wp] if against_wp else None
        row["reason"] = one.reason
        yield row


def _rmse(score: Score) -> str:
    return f"{score.rmse:.{DIGITS}f} {UNIT}"
