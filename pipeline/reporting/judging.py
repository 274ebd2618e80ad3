"""The parts of a report that judge: held-out samples, stations, and the truth of a simulation.

Every number stands beside what it is held against, every split beside what its score can and cannot show, and
the sentences about who is better come from ``pipeline.reporting.verdicts``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from typing import Any

from models.partitioned import WP
from models.splits import standard_splits
from pipeline.figures.predictor_maps import UNITS
from pipeline.learning.train import MODELS, OVERALL
from pipeline.reporting import plots, verdicts
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Figure,
    Folded,
    Judged,
    Points,
    Row,
    Section,
    Table,
    Words,
    listed,
    percent,
    period,
    signed,
)
from pipeline.reporting.inputs import Inputs, Validation
from pipeline.reporting.verdicts import Score, Standing
from pipeline.scores.stations import VERDICTS
from pipeline.scores.validate import ValidationResult

METRICS = (
    Column("r", "R", ".3f", ("r_lower", "r_upper")),
    Column("rmse", "RMSE (m³/m³)", ".4f", ("rmse_lower", "rmse_upper")),
    Column("bias", "Bias (m³/m³)", "+.4f", ("bias_lower", "bias_upper")),
    Column("ubrmse", "ubRMSE (m³/m³)", ".4f", ("ubrmse_lower", "ubrmse_upper")),
)
HEADINGS = {"smap": "SMAP", "difference": "Prediction minus SMAP"}
STATION_FIGURES = {
    "map": (
        "Map of the stations coloured by R and by ubRMSE of the prediction.",
        "Stations by R (a) and ubRMSE (b) of the prediction: yellow is good in both, a cross was not scored.",
    ),
    "box": (
        "Box plots of R, bias, RMSE and ubRMSE over stations, prediction beside SMAP.",
        "Spread over stations: boxes that stand apart, not medians alone, tell prediction and SMAP apart.",
    ),
    "scatter": (
        "Scatter plots of prediction and SMAP against in-situ soil moisture.",
        "All pairs of station and day: on the dashed line a product equals the probe; a cloud that lies "
        "flatter than it is damped.",
    ),
    "series": (
        "Series of a few stations: in situ, SMAP and prediction.",
        "Stations of the highest, the median and the lowest R: look at whether the prediction follows the "
        "dots where SMAP's dashed line does not.",
    ),
}


def pooled(inputs: Inputs) -> list[Standing]:
    """How the stack stands under each split, all rows together."""
    found = verdicts.standings(inputs.card.scores) if inputs.card else []
    return [one for one in found if one.partition == OVERALL]


def held_out(inputs: Inputs, again: str) -> Section:
    """The scores on samples that were held out."""
    return Section("scores", "Scores on held-out samples", tuple(_held_out(inputs, again)))


def _held_out(inputs: Inputs, again: str) -> Iterator[Block]:
    card = inputs.card
    if card is None:
        yield Absent("No model has been trained yet, so there are no scores.", again)
        return
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
        yield Figure(
            "scores",
            plots.png(plots.score_chart(scored, ends, simulated=card.simulated)),
            f"Chart of RMSE and R by split and model. {verdicts.held_out(found)}",
            "RMSE and R on held-out rows. Read each split by itself: models whose lines overlap are not told "
            "apart, and the step from the random split to the others is what its flattery amounts to.",
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
        "Intervals come from drawing whole blocks of days or cells. All models of a split are scored on the "
        "same rows, so intervals that overlap may hide a small true difference; the best member is chosen on "
        "the very rows it is scored on, which favours it slightly."
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
    return Section("model", "The model", tuple(_model(inputs)))


def _model(inputs: Inputs) -> Iterator[Block]:
    card = inputs.card
    if card is None:
        yield Absent("No model has been trained yet.")
        return
    yield Words(
        f"It is fitted on all samples; the weights of its members come from {card.n_folds} folds held out by "
        f"the {card.split} rule. A weight near zero means that the stack does without that member."
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
                "predictor": one.name, "unit": UNITS.get(one.unit, one.unit), "least": one.least,
                "greatest": one.greatest, "missing_share": one.missing_share,
            }
            for one in card.predictors
        ),
    )  # fmt: skip


def stations(inputs: Inputs, again: str) -> Section:
    """The scores at stations."""
    return Section("stations", "At stations", tuple(_stations(inputs.validation, again)))


def _stations(found: Validation | None, again: str) -> Iterator[Block]:
    if found is None:
        yield Absent("The map has not been held against in-situ soil moisture.", f"{again} --stations FILE")
        return
    summary = found.summary
    pairs, counts = summary["pairs"], summary["stations"]
    days = period(*(dt.date.fromisoformat(pairs[end]) for end in ("first_date", "last_date")))
    yield Words(
        f"{pairs['used']:,} pairs of station and day at {counts['scored']} stations, {days}, every product "
        "on the very same pairs. A probe stands for a few centimetres and a map for a square kilometre, so "
        "part of every error is neither's fault."
    )
    told = list(verdicts.at_stations(summary))
    for number, text in enumerate(told):
        yield Words(text, "Beside SMAP." if number == 0 else "", notable=True)
    rows = ValidationResult(found.stations, dict(summary), {}).rows()
    yield Table(
        "stations-summary",
        f"Scores over stations and over all pairs, with {100 * summary['settings']['confidence']:g} % "
        "intervals (m³/m³ but for R)",
        tuple(Column(name, HEADINGS.get(name, name.capitalize())) for name in rows[0]),
        tuple({key: value.replace("-", "−") or None for key, value in row.items()} for row in rows),
        sortable=False,
    )
    yield Points(tuple(("", note) for note in summary["notes"]))
    for name, (alt, caption) in STATION_FIGURES.items():
        if name in found.figures:
            yield Figure(f"stations-{name}", found.figures[name], alt, caption)
    yield Folded("Station by station", (_station_table(found),))


def _station_table(found: Validation) -> Table:
    products = [name for name in ("prediction", "smap") if f"{name}_r" in found.stations]
    called = {"prediction": "prediction", "smap": "SMAP"}
    scores = [
        Column(f"{product}_{metric}", f"{label}, {called[product]}", form)
        for metric, label, form in (("r", "R", ".3f"), ("ubrmse", "ubRMSE", ".4f"), ("bias", "Bias", "+.4f"))
        for product in products
    ]
    verdict = [
        Column(f"difference_{metric}_verdict", f"{label}, beside SMAP")
        for metric, label in (("r", "R"), ("ubrmse", "ubRMSE"))
        if f"difference_{metric}_verdict" in found.stations
    ]
    table = found.stations.replace({name: name.replace("_", " ") for name in VERDICTS})
    rows = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    left = [Column("reason", "Not scored", prose=True)] if table["reason"].notna().any() else []
    return Table(
        "stations",
        "Stations: scores of the map's pixel and of SMAP's cell",
        (
            Column("station", "Station"),
            Column("partition", "Partition"),
            Column("n", "Days", ",d"),
            *scores,
            *verdict,
            *left,
        ),
        tuple({str(name): value for name, value in row.items()} for row in rows),
    )


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
        f"every pixel: {n:,} pixel-days{share}. The map stands beside SMAP drawn without any model. What "
        "holds in the simulation need not hold in nature."
    )
    for number, text in enumerate(verdicts.against_truth(inputs.truth)):
        yield Words(text, "What it shows." if number == 0 else "", notable=True)
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
            Column("spread", "Spread within cells", ".2f"),
        ),
        tuple(one.as_dict() for one in inputs.truth),
    )
    yield Words(
        "R in time is the median over pixels of the correlation of their series, R in space the median over "
        "days of that of their maps. R within cells takes the mean of each 9 km cell away first: it is what "
        "no coarse map can have. Spread is the standard deviation within cells as a share of the truth's: 1 "
        "is right, below 1 too smooth."
    )


def in_short(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What the scores come to: of what, and a sentence or two."""
    found = pooled(inputs)
    if inputs.card:
        yield "Held-out samples.", verdicts.held_out(found)
        yield "Stacking.", verdicts.tally(found, "best")
        if inputs.partitioned:
            yield "Partitions.", verdicts.tally(found, "whole")
    if inputs.validation:
        for text in verdicts.at_stations(inputs.validation.summary):
            yield "Stations.", text
    if inputs.truth:
        fine, *others = inputs.truth
        rest = [f"{one.product} {one.rmse:.4f}" for one in others]
        within = f"; R within cells {signed(fine.r_within, '.3f')}" if math.isfinite(fine.r_within) else ""
        yield (
            "Simulated truth.",
            (f"RMSE at 1 km in m³/m³: {fine.product} {fine.rmse:.4f}, {', '.join(rest)}{within}."),
        )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def shares(found: Mapping[str, float]) -> str:
    """Shares by name in a sentence."""
    return listed([f"{name} {percent(share)}" for name, share in found.items()])
