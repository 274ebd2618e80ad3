"""The part of a report on the scale-transfer test: whether coarser cells' models find SMAP's own cells again.

It is the one place where every fine value is known from observation's own analysis, so the sentences say what
the intervals say, which of two things brought it, the model or the residual, and how far it reaches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Row,
    Section,
    Table,
    Words,
    figures,
    notes,
    remarks,
    signed,
    with_interval,
)
from pipeline.scores.transfer import (
    BILINEAR,
    CORRECTED,
    DAMPED,
    ELSEWHERE,
    MODEL,
    SMOOTH,
    THERE,
    TRAINED,
    Transfer,
)
from pipeline.study import MEASURED

UNIT = "m³/m³"
KILOMETRES = 9  # of SMAP's cells
PICTURES = {
    "transfer": (
        "Chart of RMSE, its change beside bilinear coarse SMAP, and R within coarse cells, by product.",
        "Error (a), its paired change beside bilinear coarse SMAP (b) and correlation of departures from the "
        "coarse cell's mean (c). Black: coarse SMAP without any model.",
    ),
}
COLUMNS = (
    Column("way", "Trained"),
    Column("title", "Product"),
    Column("n", "Cells × days", ",d"),
    Column.measured("r", "R", ".3f"),
    Column.measured("rmse", f"RMSE ({UNIT})", ".4f"),
    Column.measured("rmse_change", f"RMSE beside bilinear ({UNIT})", "+.4f"),
    Column.measured("r_within", "R within coarse cells", ".3f"),
    Column("variance", "Variance within", ".2f"),
    Column.measured("ubrmse", f"ubRMSE ({UNIT})", ".4f"),
    Column.measured("bias", f"Bias ({UNIT})", "+.4f"),
)
WAYS = {THERE: "There", ELSEWHERE: "Elsewhere"}


def section(found: Transfer | None, again: str) -> Section:
    """How far coarse values, models and both together find SMAP's own cells again.

    Args:
        found: what ``pipeline.scores.transfer.read`` gives.
        again: the command that makes it.
    """
    absent = Absent(
        "Downscaling has not been tested one scale up, so nothing tells how much of what the model "
        "says within SMAP's cells is worth keeping.",
        again,
    )
    return Section.of("transfer", "One scale up: is SMAP found again?", found, _blocks, absent)


def _blocks(found: Transfer) -> Iterator[Block]:
    counts, factor, held = (found.summary[name] for name in ("counts", "factor", "held"))
    yield Words(
        f"SMAP's cells are joined {factor} by {factor}, the stacks are trained on the "
        f"{counts['coarse_cells']:,} coarse cells and predict the {counts['cells']:,} cells in them from "
        f"their own predictors, on {counts['days']:,} days. SMAP's values of these were hidden from the "
        "models, so here alone downscaling meets a known answer at every place. The stacks are trained "
        "twice: there, on the coarse values of the same places, as maps are made, and elsewhere, on those of "
        "other places alone" + (f" ({held})." if held else ", which was not possible here.")
    )
    yield from remarks(sentences(found), "What it shows.")
    yield Words(kept(found), "What the maps keep.")
    step = f"from {factor * KILOMETRES} km to {KILOMETRES} km" if found.summary["ease"] else "to SMAP's cells"
    yield Words(
        f"It tells of the step {step}. What SMAP says of a cell is in part a model's, driven by rain, soil "
        "and terrain coarser than a field or a hillside, and smooth, which favours whatever is smooth. "
        "Nothing follows for the step to 1 km, where relief, land use and irrigation differ within a cell as "
        "they do not between cells; and it is SMAP that is found again, with its faults, not the soil.",
        "What it cannot show.",
    )
    yield from figures(found.pictures, PICTURES)
    yield Table(
        "transfer",
        "Products against SMAP's own cells, with 95 % intervals",
        COLUMNS,
        tuple(_rows(found)),
    )
    yield Words(
        "“Smooth, means kept” spreads coarse SMAP by the rule that spreads the residual, with no model: what "
        "the stack with its residual gains beside it, the predictors have told. R and variance within are of "
        "departures from the coarse cell's mean on the day, the variance as a share of SMAP's, of which "
        f"nearest SMAP has none. Intervals draw whole {found.summary['drawn']}, the same for all products."
    )
    yield from notes(found.notes)


def sentences(found: Transfer) -> Iterator[str]:
    """What the test shows, in sentences that follow from the numbers alone."""
    for trained in TRAINED:
        fine, plain = found.row(trained, CORRECTED), found.row(trained, MODEL)
        bilinear, smooth = found.row(trained, BILINEAR), found.row(trained, SMOOTH)
        if fine is None or plain is None or bilinear is None or smooth is None:
            continue
        yield (
            f"Trained {TRAINED[trained]}: beside bilinear SMAP (RMSE {bilinear['rmse']:.4f} {UNIT}), the "
            f"stack alone is {_told(plain, 'rmse_change')} and the stack with its residual "
            f"{_told(fine, 'rmse_change')}; beside SMAP spread smoothly with its means kept "
            f"({smooth['rmse']:.4f}) the latter is {_told(fine, 'rmse_smooth_change')}."
            + _pattern(fine, bilinear)
        )
        yield from _worth(found.summary["share"][trained], found.row(trained, DAMPED))


def kept(found: Transfer) -> str:
    """Which share of the model's detail the maps keep, and why."""
    share = found.summary["share"][THERE]
    if found.summary["detail"] != MEASURED or share["value"] is None:
        return _keeps(found)
    drawn = "" if share["lower"] is None else f"; the interval draws {found.summary['share_drawn']}"
    doubt = share["value"] > 0 and (share["lower"] or 0) <= 0
    return (
        f"{_keeps(found)} By least squares, within 0 and 1, it fits SMAP best where stacks are trained "
        f"there, as those of maps are{drawn}."
        + (" That it is more than nothing is not shown." if doubt else "")
        + " Whether the step to 1 km deserves the same share SMAP cannot tell; it is taken for want of a "
        "nearer one, and maps.detail sets another."
    )


def _keeps(found: Transfer) -> str:
    """Which share the maps keep."""
    asked, share = found.summary["detail"], found.summary["share"][THERE]
    detail = "of the model's detail within SMAP's cells"
    if asked is None:
        return "The study does not correct maps to SMAP, so they keep what the model says."
    if asked != MEASURED:
        told = "" if share["value"] is None else f"; what fits SMAP best here is {_share(share)}"
        return f"As the study says, maps keep a share of {asked:.2f} {detail}{told}."
    if share["value"] is None:
        return f"Maps keep all {detail}, as there is none here that could be measured."
    if share["value"] <= 0:
        return f"Maps keep nothing {detail} ({_share(share)}): they are SMAP spread smoothly, its means kept."
    return f"Maps keep a share of {_share(share)} {detail}."


def _share(share: Mapping[str, Any]) -> str:
    """A share with its interval, within 0 and 1 as maps take it."""
    value, lower, upper = (
        math.nan if share[name] is None else min(1.0, max(0.0, share[name]))
        for name in ("value", "lower", "upper")
    )
    return with_interval(value, lower, upper, ".2f")


def in_short(found: Transfer) -> str:
    """One sentence for a report's summary."""
    fine, factor = found.row(THERE, CORRECTED), found.summary["factor"]
    if fine is None:
        return "No product could be scored."
    return (
        f"With SMAP's cells joined {factor} by {factor} and predicted back, the stack with its residual is, "
        f"beside bilinear SMAP, {_told(fine, 'rmse_change')}, and beside SMAP spread smoothly with its means "
        f"kept {_told(fine, 'rmse_smooth_change')} (RMSE, {UNIT})."
        f" {_keeps(found)}"
    )


def _told(row: Mapping[str, Any], name: str) -> str:
    """A paired difference of an error in words, with its interval."""
    value, lower, upper = (float(row[f"{name}{end}"]) for end in ("", "_lower", "_upper"))
    if math.isnan(lower):
        return f"of undecided merit ({signed(value, '+.4f')}, no interval)"
    word = "better" if upper < 0 else "worse" if lower > 0 else "not to be told apart"
    return f"{word} ({with_interval(value, lower, upper, '+.4f')})"


def _pattern(fine: Mapping[str, Any], bilinear: Mapping[str, Any]) -> str:
    value, lower, upper = (float(fine[f"r_within_change{end}"]) for end in ("", "_lower", "_upper"))
    if math.isnan(value):
        return ""
    told = f"{signed(float(fine['r_within']), '.3f')} against {signed(float(bilinear['r_within']), '.3f')}"
    if math.isnan(lower):
        return f" R within coarse cells: {told}."
    word = "higher" if lower > 0 else "lower" if upper < 0 else "undecided"
    return f" R within coarse cells: {told} ({word})."


def _worth(share: Mapping[str, Any], damped: Mapping[str, Any] | None) -> Iterator[str]:
    """What the predictors bring at best."""
    if (share["value"] or 0) <= 0:
        yield (
            "Of what the stack with its residual then adds to smooth SMAP, nothing fits SMAP best: within "
            "coarse cells these predictors are not shown to be worth anything."
        )
    elif damped is not None:
        told = "all" if share["value"] >= 1 else f"a share of {_share(share)}"
        yield (
            f"Of what the stack with its residual then adds to smooth SMAP, {told} fits SMAP best. Damped "
            f"so, as other places tell, it is {_told(damped, 'rmse_smooth_change')} beside smooth "
            "SMAP: the most that these predictors are shown to be worth."
        )


def _rows(found: Transfer) -> Iterator[Row]:
    """Rows of the table; products that need no model stand once."""
    for row in found.table.to_dict(orient="records"):
        without = str(row["product"]).startswith("smap_")
        if without and row["trained"] != THERE:
            continue
        named = {str(key): value for key, value in row.items()}
        yield {**named, "way": "–" if without else WAYS[row["trained"]], "reason": row["reason"] or None}
