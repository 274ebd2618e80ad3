"""The part of a report that tells how the maps vary in space: means, agreement with SMAP, seams, outside.

A reviewer asks of a downscaled map whether it gives SMAP back, whether its detail is more than noise,
whether partitions show in it, and where it extrapolates. Each answer is a sentence that the numbers below it
bear out, whichever way they turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pipeline.figures.spatial import MOISTURES, title_of
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Folded,
    Section,
    Table,
    Words,
    figures,
    listed,
    notes,
    percent,
    signed,
    with_interval,
    without_only_month,
)
from pipeline.scores import cellwise, outside, seams
from pipeline.scores.spatial import Spatial

MOST_NAMED = 3  # predictors in a sentence
DAMPED = 0.995  # of the variance between cells; what is printed as 1.00 is not damped
FIGURES = {
    "means": (
        "Six maps: seasonal means of SMAP, the downscaled map, rain and land surface temperature, elevation "
        "and clay, with three boxes.",
        "Seasonal means. (a) and (b) share their colours: the map should keep SMAP's large pattern, and what "
        "it adds within a cell should look like the land in (d) to (f), not like noise. A grey band in (a) "
        "is a row or column of SMAP's cells that Earth Engine's copy of it does not hold.",
    ),
    "zooms": (
        "The same six quantities enlarged in three boxes, a row each.",
        "The boxes enlarged. Look for edges in the downscaled map that none of the other columns has.",
    ),
    "day": (
        "Maps of one day: SMAP, the stack, and where they were made the map corrected to SMAP, the width of "
        "its interval and the dissimilarity to the training samples.",
        "One day, that with most pixels nearest to the middle of the period. Look for SMAP's cells in what "
        "should be smooth, such as the correction; grain in that is detail of the stack which the map shows "
        "damped. Where the interval is wide or pixels lie outside the area of applicability, the map of the "
        "day says little.",
    ),
    "agreement": (
        "Maps of bias and RMSE of cells, and the cells' seasonal means as a scatter plot.",
        "Averages over SMAP's cells less SMAP. A cell of one colour over many neighbours in (a) is water "
        "gained or lost over a region; points flatter than the dashed line in (c) are damped.",
    ),
    "spread": (
        "Standard deviations within and between cells by partition and by month.",
        "Spread of 1 km values within cells beside that between cells. A square left of its cross: the map "
        "varies less from cell to cell than SMAP does, which one corrected to SMAP cannot.",
    ),
    "seams": (
        "Steps across partition borders divided by the steps beside them, with intervals.",
        "Steps across the borders of partitions. A point right of 1 is a larger step at the border than a "
        "few kilometres away; it is a seam only where the predictors (diamonds) do not step there too.",
    ),
    "outside": (
        "Map of how often any predictor lies beyond the range of training, and shares by predictor.",
        "Beyond the range of training: where a pixel is yellow, the model holds its last value on all days.",
    ),
}  # fmt: skip


def section(found: Spatial | None, again: str) -> Section:
    """How the maps vary in space.

    Args:
        found: what ``pipeline.scores.spatial`` wrote; None where there is nothing.
        again: command that makes it.
    """
    absent = Absent("How the maps vary in space has not been looked at.", again)
    return Section.of("space", "In space", found, _blocks, absent)


def _blocks(found: Spatial) -> Iterator[Block]:
    yield from _figure(found, "means")
    yield from _figure(found, "zooms")
    yield from _boxes(found)
    yield from _figure(found, "day")
    yield from _agreement(found)
    yield from _spread(found)
    yield from _seams(found)
    yield from _outside(found)
    yield from notes(found.notes)


def _boxes(found: Spatial) -> Iterator[Block]:
    boxes = found.boxes
    if not boxes:
        return
    rule = (
        "The boxes were given by the user."
        if all(box.given for box in boxes)
        else "Boxes are the squares with the largest spread of the map's mean within 9 km, each in another "
        "partition as long as there are any: the rule looks for detail, not for success."
    )
    yield Words(rule)
    columns = (
        Column("name", "Box"), Column("partition", "Partition"), Column("west", "West (°)", ".2f"),
        Column("south", "South (°)", ".2f"), Column("east", "East (°)", ".2f"),
        Column("north", "North (°)", ".2f"), Column("spread", "Spread within 9 km (m³/m³)", ".4f"),
    )  # fmt: skip
    keys = [column.key for column in columns]
    rows = tuple({key: getattr(box, key) for key in keys} for box in boxes)
    yield Table("space-boxes", "Zoom boxes", columns, rows)


def _agreement(found: Spatial) -> Iterator[Block]:
    table = found.tables.get("agreement")
    whole = _first(table, partition=cellwise.ALL, month=cellwise.ALL, only="")
    if table is None or whole is None or not whole["n"]:
        yield Absent("The map was not averaged over SMAP's cells: no cell has enough pixels with a value.")
        return
    cells, corrected = found.summary["cells"], found.summary["corrected"]
    standing = (
        f"lies {_off(whole['bias'])}; RMSE {whole['rmse']:.4f} m³/m³, R {signed(whole['r'], '.3f')}, and "
        f"{percent(whole['close'])} of {whole['n']:,} cells and days lie within {cellwise.CLOSE} m³/m³"
    )
    yield Words(
        "Averaged over SMAP's cells the map is nowhere farther from SMAP than "
        f"{cells['farthest']:.5f} m³/m³, as each day is corrected to these very values. The stack alone, "
        f"before that, {standing}. This is consistency, not accuracy: the stack learnt from these values too."
        if corrected
        else f"Averaged over SMAP's cells the map {standing}. This is consistency, not accuracy: the model "
        "learnt from these very values.",
        "Does it give SMAP back?",
        notable=True,
    )
    of = "stack" if corrected else "map"
    if math.isfinite(cells["spaef"]):
        yield Words(
            f"SPAEF of the cells' seasonal means of the {of} is {signed(cells['spaef'], '.2f')} (1 is SMAP's "
            "own pattern; Koch et al. 2018)."
        )
    yield Words(
        "Means weigh each pixel by the area of it that lies in the cell. Cells of which less than "
        f"{percent(cellwise.LEAST_VALID)} has a value on a day are left out: {cells['left_out']:,} cells and "
        f"days; {cells['compared']:,} of {cells['there']:,} cells are compared."
    )
    yield from _figure(found, "agreement")
    columns = (
        Column("partition", "Partition"),
        Column("month", "Month"),
        *((Column("only", "Days"),) if (table["only"] != "").any() else ()),
        Column("n", "Cells and days", ",d"),
        Column("bias", "Bias (m³/m³)", "+.4f"),
        Column("rmse", "RMSE (m³/m³)", ".4f"),
        Column("r", "R", ".3f"),
        Column("r_space", "R in space", ".3f"),
        Column("r_time", "R in time", ".3f"),
        Column("close", f"Within {cellwise.CLOSE} m³/m³", "%"),
    )
    caption = f"The {of} averaged over SMAP's cells, beside SMAP"
    yield Table.of("space-agreement", caption, columns, without_only_month(table))
    if "cells" in found.tables:
        by_cell = (
            Column("cell", "Cell", code=True), Column("partition", "Partition"), Column("n", "Days", ",d"),
            Column("valid", "Valid", "%"), Column("smap", "SMAP (m³/m³)", ".3f"),
            Column("map", f"{of.capitalize()} (m³/m³)", ".3f"),
            Column("bias", "Bias (m³/m³)", "+.4f"), Column("rmse", "RMSE (m³/m³)", ".4f"),
            Column("r", "R", ".3f"),
        )  # fmt: skip
        cellwide = Table.of("space-cells", "Cell by cell", by_cell, found.tables["cells"])
        yield Folded("Cell by cell", (cellwide,))


def _spread(found: Spatial) -> Iterator[Block]:
    table = found.tables.get("spread")
    whole = _first(table, partition=cellwise.ALL, month=cellwise.ALL)
    if table is None or whole is None or not whole["days"]:
        return
    yield Words(
        f"{percent(whole['share'])} of the map's variance lies within cells (standard deviation "
        f"{whole['within']:.4f} m³/m³, between cells {whole['between']:.4f}). Between cells the "
        + _damped(found.summary, whole["ratio"])
        + _pattern(found.summary["truth"]),
        "How much is added?",
        notable=True,
    )
    yield from _figure(found, "spread")
    columns = (
        Column("partition", "Partition"),
        Column("month", "Month"),
        Column("days", "Days", ",d"),
        Column("cells", "Cells", ",d"),
        Column("within", "Within cells (m³/m³)", ".4f"),
        Column("between", "Between cells (m³/m³)", ".4f"),
        Column("smap", "Between cells, SMAP (m³/m³)", ".4f"),
        Column("share", "Variance within", "%"),
        Column("ratio", "Map's variance / SMAP's", ".2f"),
    )
    yield Table.of(
        "space-spread", "Standard deviations within and between cells", columns, without_only_month(table)
    )


def _damped(summary: Mapping[str, Any], ratio: float) -> str:
    """The variance between cells beside SMAP's, of a corrected map and of the stack it was made from."""
    corrected = summary["corrected"]
    own = summary["cells"]["ratio_of_stack"] if corrected else ratio
    damped = ": it is damped" if own < DAMPED else ""
    after = f"; the correction brings it to {ratio:.2f}" if corrected else ""
    return f"{'stack alone' if corrected else 'map'} has {own:.2f} times SMAP's variance{damped}{after}."


def _pattern(truth: list[Mapping[str, Any]]) -> str:
    known = [row for row in truth if math.isfinite(row["r_within"])]
    if not known:
        return " Without a truth at 1 km nobody can say whether the pattern within cells is right."
    told = [f"{row['product']} {signed(row['r_within'], '.3f')}" for row in known]
    return f" Held against the simulated truth, the pattern within cells has R: {'; '.join(told)}."


def _seams(found: Spatial) -> Iterator[Block]:
    table = found.tables.get("seams")
    whole = _first(table, field="sm", border=seams.ALL)
    if table is None or whole is None:
        return
    yield Words(_seam_sentence(whole, table), "Do partitions show?", notable=True)
    settings, borders = found.summary["settings"], found.summary["borders"]
    offsets = listed([str(offset) for offset in settings["offsets"]])
    yield Words(
        "A step is the absolute difference of two neighbouring pixels of the seasonal mean; beside it stands "
        f"the mean of the steps across parallel lines {offsets} pixels away in both partitions. "
        "What predictors explain is fitted on these lines. Intervals draw "
        f"stretches of {settings['stretch']} pixels; each 95 % interval errs by chance once in some 12 to 30 "
        "times, more often on very smooth maps, so one seam among many borders may be no seam. "
        f"{borders['left_out']:,} of {borders['pairs'] + borders['left_out']:,} pairs of pixels lie where a "
        "partition is too narrow for such a line and are left out. The definition is gee-smap's own."
    )
    yield from _figure(found, "seams")
    named_first = Column("field", "Field"), Column("border", "Border")
    counted = Column("pairs", "Pairs", ",d"), Column("stretches", "Stretches", ",d")
    ratio = Column.measured("ratio", "Ratio", ".2f")
    columns = (
        *named_first,
        Column("verdict", "Verdict"),
        ratio,
        Column.measured("unexplained", "Not explained", "+.4f"),
        Column("step", "Step", ".4f"),
        Column("inside", "Beside", ".4f"),
        Column("upward", "Step to the second", "+.4f"),
        *counted,
    )
    named = table["field"].map(lambda name: MOISTURES.get(name) or title_of(name))
    own = table.assign(field=named)[table["field"].isin(MOISTURES)]
    yield Table.of("space-seams", "Soil moisture (m³/m³): steps across borders, 95 % intervals", columns, own)
    others = table.assign(field=named)[~table["field"].isin(MOISTURES)]
    if len(others):
        plain = (
            *named_first,
            ratio,
            Column("step", "Step", ".4g"),
            Column("inside", "Beside", ".4g"),
            Column("upward", "Step to the second", "+.4g"),
            *counted,
        )
        held = Table.of("space-seams-predictors", "Predictors, in their own units", plain, others)
        yield Folded("Steps of the predictors", (held,))


def _seam_sentence(whole: Mapping[str, Any], table: pd.DataFrame) -> str:
    step = f"The mean step across borders is {whole['step']:.4f} m³/m³"
    times = with_interval(whole["ratio"], whole["ratio_lower"], whole["ratio_upper"], ".2f")
    ratio = f"{times} times that beside them"
    explained = (
        "more than the predictors' own steps explain: partitions show in the map."
        if math.isfinite(whole["unexplained_lower"])
        else "and it is not known whether the predictors step there too."
    )
    told = {
        seams.SEAM: explained,
        seams.LAND: "but no more than the predictors' own steps explain: the borders follow the land.",
        seams.NONE: "which cannot be told from no seam.",
        seams.UNKNOWN: "and there are too few stretches of border for an interval.",
    }[str(whole["verdict"])]
    shown = table[
        (table["field"] == "sm") & (table["border"] != seams.ALL) & (table["verdict"] == seams.SEAM)
    ]
    where = f" A seam is found at {listed(list(shown['border']))}." if len(shown) else ""
    return f"{step}, {ratio}, {told}{where}"


def _outside(found: Spatial) -> Iterator[Block]:
    table = found.tables.get("outside")
    whole = _first(table, predictor=outside.ANY, partition=outside.ALL, month=outside.ALL)
    if table is None or whole is None:
        return
    every = table[(table["partition"] == outside.ALL) & (table["month"] == outside.ALL)]
    most = every[(every["predictor"] != outside.ANY) & (every["beyond"] > 0)].sort_values(
        "beyond", ascending=False
    )
    shares = zip(most["predictor"].astype(str), most["beyond"].to_numpy(float), strict=True)
    named = [f"{title_of(name).replace('Share', 'share')} {percent(share)}" for name, share in shares]
    yield Words(
        f"On {percent(whole['outside'])} of pixels and days some predictor lies outside the range that "
        f"training saw, on {percent(whole['beyond'])} by more than {percent(outside.BEYOND)} of that range"
        + (f", most often {listed(named[:MOST_NAMED])}" if named else "")
        + ". Training saw means over 9 km cells, so what varies within cells can leave their range, "
        "which is that of all samples; the stack of one partition saw less of it.",
        "Where does it extrapolate?",
        notable=True,
    )
    yield from _figure(found, "outside")
    columns = (
        Column("predictor", "Predictor"),
        Column("partition", "Partition"),
        Column("pixels_outside", "Pixels ever outside", "%"),
        Column("outside", "Outside", "%", shaded=True),
        Column("beyond", "By more than 1 %", "%", shaded=True),
        Column("below", "Below", "%"),
        Column("above", "Above", "%"),
        Column("farthest", "Farthest (ranges)", ".2f"),
    )
    table = table.assign(predictor=table["predictor"].map(title_of))
    every, rest = table.loc[every.index], without_only_month(table).drop(index=every.index)
    yield Table.of("space-outside", "Share of pixels and days outside the range of training", columns, every)
    if len(rest):
        monthly = (*columns[:2], Column("month", "Month"), *columns[2:])
        held = Table.of("space-outside-all", "The same by partition and month", monthly, rest)
        yield Folded("By partition and month", (held,))


def _figure(found: Spatial, name: str) -> Iterator[Block]:
    return figures(found.pictures, {name: FIGURES[name]}, "space-")


def _first(table: pd.DataFrame | None, **wanted: str) -> Mapping[str, Any] | None:
    if table is None:
        return None
    kept = table
    for name, value in wanted.items():
        kept = kept[kept[name] == value]
    return {str(key): value for key, value in kept.iloc[0].items()} if len(kept) else None


def _off(bias: float) -> str:
    if abs(bias) < 5e-5:
        return "at SMAP's value"
    return f"{abs(bias):.4f} m³/m³ {'above' if bias > 0 else 'below'} SMAP"
