"""The part of a report on stations: every product against in-situ soil moisture, on identical pairs.

What a reviewer asks for stands in the order of the questions: how many pairs, how good is each product, is
it better than raw SMAP and where, and what a probe can say of a square kilometre at all. The numbers are
those of ``pipeline.scores.validate``; protocol: QA4SM and Gruber et al. 2020
(doi:10.1016/j.rse.2020.111806).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pipeline.reporting import verdicts
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Folded,
    Row,
    Section,
    Table,
    Words,
    bounded,
    ends,
    figures,
    notes,
    period,
    remarks,
    signed,
)
from pipeline.scores.stations import BETTER, METRICS, R_TARGET, UBRMSE_TARGET, VERDICTS
from pipeline.scores.strata import TITLES as STRATA
from pipeline.scores.validated import LABELS, ValidationResult
from pipeline.tables.titles import DOWNSCALED

UNIT = "m³/m³"
FORMS = {"bias": "+.4f", "rmse": ".4f", "ubrmse": ".4f", "abs_bias": ".4f"}  # others have three digits
FIGURES: Mapping[str, tuple[str, str]] = {
    "box": (
        "Box plots over stations of R, R of anomalies, bias, RMSE and ubRMSE, a row for each product.",
        "Spread over stations, a row for each product. Boxes that stand apart, not medians alone, tell two "
        "products apart; a bias that differs from station to station is mostly one of place and depth.",
    ),
    "differences": (
        "Chart of the median difference of each product to SMAP in R, R of anomalies, ubRMSE and bias.",
        "Each product minus SMAP. A line that lies wholly on the shaded side is a gain over SMAP, one that "
        "crosses zero decides nothing; the counts are stations whose own interval excludes zero.",
    ),
    "strata": (
        "Chart of the median R and ubRMSE of each product within partitions, land cover, seasons, months, "
        "wetness and SMAP's outage.",
        "Medians within strata. Compare products within a row: R falls in every stratum that is short or "
        "uniform, as less of the seasonal cycle lies in it.",
    ),
    "scatter": (
        "Scatter plots of each product against in-situ soil moisture.",
        "All pairs of station and day: on the dashed line a product equals the probe; a cloud that lies "
        "flatter than it is damped.",
    ),
    "series": (
        "Series of a few stations: in situ, SMAP, the downscaled map and the range of the other products.",
        "Stations of the highest, the median and the lowest R, and of most pairs: look at whether the "
        "downscaled line follows the dots where SMAP's dashed line does not.",
    ),
    "map": (
        "Map of the stations coloured by R and by ubRMSE of the downscaled map.",
        "Stations by R (a) and ubRMSE (b) of the downscaled map: yellow is good in both, a cross was not "
        "scored.",
    ),
    "map-products": (
        "Maps of the stations coloured by R, one for each product.",
        "R of each product on one scale: look for a region where one product fails and the others do not.",
    ),
}


def section(found: ValidationResult | None, again: str) -> Section:
    """The scores at stations.

    Args:
        found: what ``validate`` wrote, if anything.
        again: the command that runs the study.
    """
    absent = Absent("The map has not been held against in-situ soil moisture.", again)
    return Section.of("stations", "At stations", found, _blocks, absent)


def _blocks(found: ValidationResult) -> Iterator[Block]:
    summary = found.summary
    pairs, counts = summary["pairs"], summary["stations"]
    days = period(*(dt.date.fromisoformat(pairs[end]) for end in ("first_date", "last_date")))
    several = f"{len(found.products)} products" if len(found.products) > 1 else "one product"
    yield Words(
        f"{pairs['used']:,} pairs of station and day at {counts['scored']} stations, {days}: {several}, each "
        "on the very same pairs."
    )
    yield Words(_caveat(found), "What a probe can tell.")
    yield from remarks(verdicts.at_stations(summary), "Beside SMAP.")
    yield from remarks(verdicts.others_at_stations(summary), "Beside each other.")
    yield from remarks(verdicts.in_strata(found.strata, summary), "Where it gains and where not.")
    yield _summary_table(found)
    if found.baseline is not None and len(found.products) > 1:
        yield _difference_table(found)
    if found.summary["less_others"]:
        yield _others_table(found)
    drawn = {name: path for name, path in found.paths.items() if path.suffix in (".png", ".svg")}
    yield from figures({name: path.read_bytes() for name, path in drawn.items()}, FIGURES, "stations-")
    if len(found.strata):
        yield _strata_table(found)
        yield Words(
            "A station counts in a stratum where it has enough pairs there; the column of too few counts the "
            "others, which strata-stations.csv of the validation lists. Wetness is by thirds of the probe's "
            "own values, so the probe's errors alone make every product look too wet among dry days and too "
            "dry among wet ones."
        )
    yield from notes(summary["notes"])
    yield Folded("All pairs together", (_pooled_table(found),))
    if len(found.strata):
        yield Folded("Strata, all products", (_strata_products(found),))
    yield Folded("Station by station", tuple(_station_table(found, name) for name in found.products))


def _caveat(found: ValidationResult) -> str:
    """Depth and representativeness, with the depths where they are known."""
    told = (
        "A probe stands for a few centimetres of soil and a map for a square kilometre, so part of every "
        "error, and often most of the bias, is neither's fault; R, ubRMSE and differences between products "
        "on the same pairs suffer less from it. SMAP L4 and the maps are of the top 5 cm"
    )
    scored = found.stations[found.stations["reason"] == ""]
    depth = scored["depth"].dropna() if "depth" in scored else pd.Series(dtype=float)
    if depth.empty:
        return f"{told}; the depth of these probes is not told."
    low, high = 100 * depth.min(), 100 * depth.max()
    return f"{told}; these probes are centred at {low:g}{'' if low == high else f' to {high:g}'} cm."


def _summary_table(found: ValidationResult) -> Table:
    across, confidence = found.summary["across_stations"], 100 * found.summary["settings"]["confidence"]
    rows: list[Row] = []
    for name in found.products:
        row: dict[str, Any] = {"product": found.title(name), "stations": across[name]["rmse"]["n"]}
        for metric in METRICS:
            one = across[name][metric]
            row |= bounded(metric, one["median"], one["lower"], one["upper"])
            row |= {f"{metric}_q25": one["q25"], f"{metric}_q75": one["q75"], f"{metric}_stations": one["n"]}
            row[f"{metric}_iqr"] = _range(one["q25"], one["q75"], FORMS.get(metric, ".3f"))
        for key in ("r_above", "ubrmse_below"):
            each = across[name][key]
            row |= bounded(key, each["share"], each["lower"], each["upper"])
        rows.append(row)
    known = [metric for metric in METRICS if any(math.isfinite(float(str(row[metric]))) for row in rows)]
    columns = [
        column
        for metric in known
        for column in (
            _column(metric, metric),
            *((Column(f"{metric}_iqr", "Quartiles"),) if metric in ("r", "ubrmse") else ()),
        )
    ]
    return Table(
        "stations-summary",
        f"Medians over stations with their {confidence:g} % intervals, quartiles, and shares of stations "
        "that reach the targets of Xu et al. 2024",
        (
            Column("product", "Product"),
            Column("stations", "Stations", ",d"),
            *columns,
            Column("r_above", f"R > {R_TARGET}", "%", shaded=True),
            Column("ubrmse_below", f"ubRMSE < {UBRMSE_TARGET}", "%", shaded=True),
        ),
        tuple(rows),
    )


def _difference_table(found: ValidationResult) -> Table:
    baseline = found.title(str(found.baseline))
    rows: list[Row] = []
    for name, each in found.summary["differences"].items():
        row: dict[str, Any] = {"product": found.title(name)}
        for metric in BETTER:
            one = each[metric]
            row |= bounded(metric, one["median"], one["lower"], one["upper"])
            row |= {f"{metric}_{verdict}": one[verdict] for verdict in VERDICTS}
        rows.append(row)
    columns = [
        column
        for metric in ("r", "r_anomaly", "ubrmse", "abs_bias")
        for column in (
            Column.measured(metric, _heading(metric), _signed(metric)),
            Column(f"{metric}_improved", "Improved", ",d"),
            Column(f"{metric}_worsened", "Worsened", ",d"),
        )
    ]
    return Table(
        "stations-differences",
        f"Each product minus {baseline}: median over stations with its interval, and stations improved and "
        "worsened beyond their own intervals",
        (Column("product", "Product"), *columns),
        tuple(rows),
    )


def _others_table(found: ValidationResult) -> Table:
    """The map beside what it is made of, and whatever else it is compared with."""
    metrics = ("r", "r_anomaly", "ubrmse", "abs_bias")
    rows: list[Row] = []
    for name, each in found.summary["less_others"].items():
        row: dict[str, Any] = {"product": found.title(name), "stations": each["rmse"]["n"]}
        for metric in metrics:
            row |= bounded(metric, *(each[metric][key] for key in ("median", "lower", "upper")))
        rows.append(row)
    return Table(
        "stations-less-others",
        f"{found.title(DOWNSCALED)} minus each other product: median over stations with its interval",
        (
            Column("product", "Minus"),
            Column("stations", "Stations", ",d"),
            *(Column.measured(metric, _heading(metric), _signed(metric)) for metric in metrics),
        ),
        tuple(rows),
    )


def _pooled_table(found: ValidationResult) -> Table:
    metrics = ("r", "spearman", "bias", "rmse", "ubrmse")
    return Table(
        "stations-pooled",
        "All pairs together; intervals by drawing whole stations",
        (
            Column("product", "Product"),
            Column("n", "Pairs", ",d"),
            *(_column(each, each) for each in metrics),
        ),
        tuple({"product": found.title(name), **found.summary["pooled"][name]} for name in found.products),
    )


def _strata_table(found: ValidationResult) -> Table:
    """The downscaled map beside the baseline, a row for each stratum."""
    baseline, fine = found.baseline, found.title(DOWNSCALED)
    rows: list[Row] = []
    for _, part in found.strata.groupby(["kind", "stratum"], sort=False):
        own = {one["product"]: one for one in part.to_dict("records")}
        mine = own[DOWNSCALED]
        row: dict[str, Any] = {"kind": STRATA.get(str(mine["kind"]), mine["kind"])}
        row |= {key: mine[key] for key in ("stratum", "stations", "too_few", "pairs")}
        for name in (DOWNSCALED, baseline):
            if name is not None:
                row |= {f"{name}_{key}": own[name][key] for key in ("r", "ubrmse")}
        for key in ("r_difference", "ubrmse_difference"):
            row |= {each: mine.get(each) for each in (key, *ends(key))}
        rows.append(row)
    columns: list[Column] = []
    for metric, form in (("r", ".3f"), ("ubrmse", ".4f")):
        columns.append(Column(f"{DOWNSCALED}_{metric}", f"{LABELS[metric]}, {fine}", form))
        if baseline is not None:
            columns.append(Column(f"{baseline}_{metric}", f"{LABELS[metric]}, {found.title(baseline)}", form))
            column = f"{metric}_difference"
            columns.append(Column.measured(column, "Difference", f"+{form}"))
    return Table(
        "strata",
        "Within strata: medians over stations, and their paired difference with its interval",
        (
            Column("kind", "Strata"),
            Column("stratum", "Stratum"),
            Column("stations", "Stations", ",d"),
            Column("too_few", "Too few pairs", ",d"),
            Column("pairs", "Pairs", ",d"),
            *columns,
        ),
        tuple(rows),
    )


def _strata_products(found: ValidationResult) -> Table:
    metrics = ("r", "spearman", "bias", "rmse", "ubrmse")
    table = found.strata.assign(
        kind=found.strata["kind"].map(lambda kind: STRATA.get(kind, kind)),
        product=found.strata["product"].map(found.title),
    )
    return Table.of(
        "strata-products",
        "Within strata, every product: medians over stations with their intervals",
        (
            Column("kind", "Strata"),
            Column("stratum", "Stratum"),
            Column("product", "Product"),
            Column("stations", "Stations", ",d"),
            *(_column(each, each) for each in metrics),
        ),
        table,
    )


def _station_table(found: ValidationResult, product: str) -> Table:
    """The stations' scores of a product, with what they are beside the baseline."""
    table, against = found.stations, f"{product}-{found.baseline}"
    metrics = [each for each in METRICS if table[f"{product}_{each}"].notna().any()]
    columns = [_column(f"{product}_{each}", each) for each in metrics]
    if f"{against}_r" in table:
        minus = f"minus {found.title(str(found.baseline))}"
        for each in ("r", "ubrmse"):
            key = f"{against}_{each}"
            columns.append(Column.measured(key, f"{LABELS[each]} {minus}", _signed(each)))
            columns.append(Column(f"{key}_verdict", "which is"))
    about = [
        Column("station", "Station"),
        *(Column(key, key.capitalize()) for key in ("network", "partition") if _known(table, key)),
        *((Column("depth", "Depth (m)", ".3g"),) if _known(table, "depth") else ()),
        Column("n", "Days", ",d"),
    ]
    left = [Column("reason", "Not scored", prose=True)] if (table["reason"] != "").any() else []
    own = [name for name in table if str(name).startswith((f"{product}_", f"{product}-"))]
    kept = table if product == DOWNSCALED else table[["station", "n", "reason", *own]]
    shown = kept.replace({name: name.replace("_", " ") for name in VERDICTS})
    name = "stations" if product == DOWNSCALED else f"stations-{product}"
    if product != DOWNSCALED:
        about = [one for one in about if one.key in ("station", "n")]
    return Table.of(
        name,
        f"{found.title(product)}, station by station, with intervals",
        (*about, *columns, *left),
        shown,
    )


def _known(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(table[column].notna().any())


def _column(key: str, metric: str) -> Column:
    return Column.measured(key, _heading(metric), FORMS.get(metric, ".3f"))


def _heading(metric: str) -> str:
    return f"{LABELS[metric]} ({UNIT})" if metric in FORMS else LABELS[metric]


def _signed(metric: str) -> str:
    return f"+{FORMS.get(metric, '.3f').strip('+')}"


def _range(low: float, high: float, form: str) -> str:
    if math.isnan(low):
        return ""
    return f"{signed(low, form)} to {signed(high, form)}"
