"""The parts of a report that judge: held-out samples, the model, and the truth of a simulation.

Every number stands beside what it is held against, every split beside what its score can and cannot show, and
the sentences about who is better come from ``pipeline.reporting.verdicts``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from models.metrics import MIN_BLOCKS
from models.partitioned import OVERALL, WP
from models.splits import standard_splits
from models.store import ModelCard
from pipeline.figures.naming import SIGNS
from pipeline.learning.calibration import PERIOD_DAYS
from pipeline.learning.trainer import MODELS
from pipeline.reporting import (
    ablation,
    applicability,
    choices,
    explanation,
    fusion,
    intervals,
    plots,
    rain,
    transfer,
    triple,
    verdicts,
)
from pipeline.reporting.content import (
    INCOMPLETE,
    Absent,
    Block,
    Column,
    Figure,
    Folded,
    Judged,
    Row,
    Section,
    Table,
    Value,
    Words,
    bounded,
    listed,
    percent,
    remarks,
    signed,
)
from pipeline.reporting.inputs import Inputs
from pipeline.reporting.verdicts import Score, Standing
from pipeline.scores.truth import FieldScore

METRICS = (
    Column.measured("r", "R", ".3f"),
    Column.measured("rmse", "RMSE (m³/m³)", ".4f"),
    Column.measured("bias", "Bias (m³/m³)", "+.4f"),
    Column.measured("ubrmse", "ubRMSE (m³/m³)", ".4f"),
)


def pooled(inputs: Inputs) -> list[Standing]:
    """How the stack stands under each split, all rows together."""
    found = verdicts.standings(inputs.card.scores) if inputs.card else []
    return [one for one in found if one.partition == OVERALL]


def held_out(inputs: Inputs, again: str) -> Section:
    """The scores on samples that were held out."""
    absent = Absent("No model has been trained yet, so there are no scores.", again)
    return Section.of(
        "scores", "Scores on held-out samples", inputs.card, lambda card: _held_out(inputs, card), absent
    )


def _held_out(inputs: Inputs, card: ModelCard) -> Iterator[Block]:
    rows: list[Row] = [dict(row) for row in card.scores]
    found = pooled(inputs)
    scored = [Score.of(row) for row in rows]
    yield Words(
        "A model is scored on rows that were held out from it, and the rule by which they were held out "
        "decides what the score means. Target is SMAP L4 itself at 9 km: these scores tell how well SMAP is "
        "reproduced, not how well soil moisture is known at 1 km."
    )
    yield Words(verdicts.tally(found, "best"), "Stack and its best member.", notable=True)
    if inputs.partitioned:
        yield Words(verdicts.tally(found, "whole"), "Stack and WP.", notable=True)
    else:
        yield Words(
            "There are no partitions, so the stack is WP, the stack without them.", "Stack and WP.", True
        )
    if any(one.scored and one.partition == OVERALL for one in scored):
        ends = [(_number(row.get("r_lower")), _number(row.get("r_upper"))) for row in rows]
        png, svg = plots.drawn(plots.score_chart(scored, ends, simulated=card.simulated))
        yield Figure(
            "scores",
            png,
            f"Chart of RMSE and R by split and model. {verdicts.held_out(found)}",
            "RMSE and R on held-out rows. Read each split by itself: models whose lines overlap are not told "
            "apart, and the step from the random split to the others is what its flattery amounts to.",
            svg,
        )
    promises = {split.name: split.promise for split in standard_splits()}
    judged = [
        (one.split, promises.get(one.split, ""), verdicts.of_split(one, inputs.partitioned)) for one in found
    ]
    yield Judged(tuple(judged))
    yield Table(
        "scores-pooled",
        "Held-out rows, all partitions together, with 95 % intervals",
        (Column("split", "Split"), Column("model", "Model"), Column("n", "Rows", ",d"), *METRICS),
        tuple(row for row in rows if row["partition"] == OVERALL and row.get("rmse") is not None),
    )
    yield Words(
        f"Intervals come from drawing whole periods of {PERIOD_DAYS} days, or cells where fewer than "
        f"{MIN_BLOCKS} such periods are held out; they then leave out how other dates would differ, and are "
        "too narrow for these. All models of a split are scored on the same rows, so intervals that overlap "
        "may hide a small true difference; the best member is chosen on the very rows it is scored on, which "
        "favours it slightly."
    )
    told = {one.reason for one in found}
    if reasons := list(dict.fromkeys(one.reason for one in scored if one.reason and one.reason not in told)):
        yield Words(f"{'; '.join(reasons)}.", "Why an interval or a number is missing:")
    partitions = [one for one in verdicts.standings(rows) if one.partition != OVERALL]
    if partitions:
        yield Table(
            "stack-by-partition",
            "RMSE of the stack (m³/m³) beside its best member and WP, by split and partition; undecided "
            "where intervals overlap or are missing",
            (
                Column("split", "Split"),
                Column("partition", "Partition"),
                Column("n", "Rows", ",d"),
                Column("stack_rmse", "Stack", ".4f"),
                Column("best_member", "Best member"),
                Column("best_rmse", "Its RMSE", ".4f"),
                Column("beside_best", "The stack is"),
                Column("wp_rmse", "WP", ".4f"),
                Column("beside_wp", "The stack is"),
            ),
            tuple(verdicts.rows(partitions, inputs.partitioned)),
        )
    everything = Table(
        "scores",
        "Held-out rows by split, partition and model, with 95 % intervals",
        (
            Column("split", "Split"),
            Column("partition", "Partition"),
            Column("model", "Model"),
            Column("n", "Rows", ",d"),
            *METRICS,
        ),
        tuple(row for row in rows if row.get("rmse") is not None),
    )
    yield Folded("All scores, by split, partition and model", (everything,))


def model(inputs: Inputs) -> Section:
    """What the model consists of and what it learnt from."""
    return Section.of("model", "The model", inputs.card, _model, Absent("No model has been trained yet."))


def _model(card: ModelCard) -> Iterator[Block]:
    yield Words(
        f"It is fitted on all samples; the weights of its members come from {card.n_folds} folds held out by "
        f"the {card.split} rule. A member without weight is not used: see how the members are fused."
    )
    learners = list(dict.fromkeys(one.learner for stack in card.stacks for one in stack.members))
    names = {name.lower(): name for name in MODELS}
    stacks: list[Row] = []
    for stack in card.stacks:
        row: dict[str, Any] = {"stack": stack.name, "samples": stack.samples}
        for one in stack.members:
            row |= {f"{one.learner}_weight": one.weight, f"{one.learner}_trees": one.trees}
        stacks.append(row)
    columns = [
        column
        for name in learners
        for column in (
            Column(f"{name}_weight", f"{names.get(name, name)}, weight", ".3f"),
            Column(f"{name}_trees", f"{names.get(name, name)}, trees", ",d"),
        )
    ]
    yield Table(
        "stacks",
        f"Stacks, their members' weights and numbers of trees ({WP} is the one without partitions)",
        (Column("stack", "Stack"), Column("samples", "Samples", ",d"), *columns),
        tuple(stacks),
    )
    yield from choices.blocks(card)
    yield Table(
        "predictors",
        "Predictors in the model's order, and what training saw of them",
        (
            Column("predictor", "Predictor"),
            Column("unit", "Unit"),
            Column("least", "Least", ".4g"),
            Column("greatest", "Greatest", ".4g"),
            Column("missing_share", "Missing", "%", shaded=True),
        ),
        tuple(
            {
                "predictor": one.name, "unit": SIGNS.get(one.unit, one.unit), "least": one.least,
                "greatest": one.greatest, "missing_share": one.missing_share,
            }
            for one in card.predictors
        ),
    )  # fmt: skip


def truth(inputs: Inputs, again: str) -> Section:
    """The scores against the simulated truth."""
    return Section("truth", "Against the simulated truth", tuple(_truth(inputs, again)))


def _truth(inputs: Inputs, again: str) -> Iterator[Block]:
    if not inputs.truth and not inputs.manifest.simulated:
        yield Absent(
            "Only where the sources are simulated is the soil moisture of every pixel known; these are not, "
            "so stations are what there is."
        )
        return
    if not inputs.truth:
        yield Absent("The map has not been held against the truth that it was simulated from.", again)
        return
    n = inputs.truth[0].n
    held = inputs.prediction.values if inputs.prediction else 0
    share = f", {percent(n / held)} of the map's" if held else ""
    yield Words(
        f"The sources were made from a hidden soil moisture at 1 km, so a map can be held against it at "
        f"every pixel: {n:,} pixel-days{share}. The map stands beside SMAP drawn without any model, "
        "and beside what it is made of. What "
        "holds in the simulation need not hold in nature."
    )
    yield from remarks(verdicts.against_truth(inputs.truth), "What it shows.")
    yield Table(
        "truth",
        "Maps against the simulated truth at 1 km",
        (
            Column("product", "Map"),
            Column("n", "Pixel-days", ",d"),
            Column("r", "R", ".3f"),
            Column("rmse", "RMSE (m³/m³)", ".4f"),
            Column("ubrmse", "ubRMSE (m³/m³)", ".4f"),
            Column("bias", "Bias (m³/m³)", "+.4f"),
            Column("r_time", "R in time", ".3f"),
            Column("r_space", "R in space", ".3f"),
            Column("r_within", "R within cells", ".3f"),
            Column("variance", "Variance within cells / truth's", ".2f"),
        ),
        tuple(
            {key: value for key, value in asdict(one).items() if key not in ("beside", "drawn")}
            for one in inputs.truth
        ),
    )
    yield from _beside_others(inputs.truth)
    yield Words(
        "R in time is the median over pixels of the correlation of their series, R in space the median over "
        "days of that of their maps. R within cells takes the mean of each 9 km cell away first: it is what "
        "no coarse map can have, but along the edges of cells, as Earth Engine's copy of SMAP lies on a grid "
        "of its own; differences of it are medians of those of each cell and day. The variance within cells "
        "is 1 where it is right, and below 1 where a map is too smooth."
    )


def _beside_others(scores: Sequence[FieldScore]) -> Iterator[Table]:
    """Each map less those that all were compared with."""
    baselines = dict.fromkeys(name for one in scores for name in one.beside)
    rows = []
    for baseline in baselines:
        for one in scores:
            if changes := one.beside.get(baseline):
                row: dict[str, Value] = {"product": one.product, "baseline": baseline}
                for metric, change in changes.items():
                    row |= bounded(metric, change.value, change.lower, change.upper)
                rows.append(row)
    if rows:
        yield Table(
            "truth-differences",
            f"One map less another on the same pixels and days; 95 % intervals draw {scores[0].drawn}",
            (
                Column("product", "Map"),
                Column("baseline", "Less"),
                Column.measured("r", "R", "+.3f"),
                Column.measured("rmse", "RMSE (m³/m³)", "+.4f"),
                Column.measured("ubrmse", "ubRMSE (m³/m³)", "+.4f"),
                Column.measured("r_within", "R within cells", "+.3f"),
            ),
            tuple(rows),
        )


def in_short(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What the scores come to: of what, and a sentence or two."""
    found = pooled(inputs)
    if inputs.card:
        yield "Held-out samples.", verdicts.held_out(found)
        yield "Stacking.", verdicts.tally(found, "best")
        if inputs.partitioned:
            yield "Partitions.", verdicts.tally(found, "whole")
        if told := choices.in_short(inputs.card):
            yield "Which stack predicts.", told
    parts: tuple[tuple[str, Any, Callable[[Any], Iterable[str]]], ...] = (
        ("Stations.", inputs.validation, lambda found: verdicts.at_stations(found.summary)),
        ("Fusion.", inputs.fusions, lambda found: [fusion.in_short(found)]),
        ("Without date or place.", inputs.ablation, lambda found: [ablation.in_short(found)]),
        ("One scale up.", inputs.transfer, lambda found: [transfer.in_short(found)]),
        ("Outside what is known.", inputs.surveyed, lambda found: [applicability.in_short(found)]),
        ("Intervals.", inputs.calibrated, lambda found: [intervals.in_short(found)]),
        ("Rain.", inputs.rain, lambda found: [rain.in_short(found)]),
        ("Triple collocation.", inputs.triple, lambda found: [triple.in_short(found)]),
        ("Explanation.", inputs.explanation, lambda found: [explanation.in_short(found)]),
        ("Simulated truth.", inputs.truth, lambda found: [_at_one_km(found)]),
    )
    for lead, result, tell in parts:
        with suppress(*INCOMPLETE):  # its own section says so
            yield from ((lead, text) for text in (tell(result) if result else ()))


def _at_one_km(scores: Sequence[FieldScore]) -> str:
    told = "; ".join(f"{one.product} {one.rmse:.4f}" for one in scores)
    within = scores[0].r_within
    pattern = f". R within cells {signed(within, '.3f')}" if math.isfinite(within) else ""
    return f"RMSE at 1 km in m³/m³: {told}{pattern}."


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def shares(found: Mapping[str, float]) -> str:
    """Shares by name in a sentence."""
    return listed([f"{name} {percent(share)}" for name, share in found.items()])
