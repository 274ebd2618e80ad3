"""Triple collocation: the errors of three products from each other, none of them taken for the truth.

A probe is no truth of a square kilometre, so a score against it holds the probe's error too; three products
whose errors have nothing to do with each other tell each one's own (Gruber et al. 2016,
doi:10.1016/j.jag.2015.09.002; computed by pytesmo). SMAP and what is made of it share errors: a triplet with
two of them gives numbers that look right and are wrong, so it is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from models.blocks import MIN_BLOCKS
from pipeline.errors import ConfigError
from pipeline.figures import triple as figures
from pipeline.figures.style import save_chart, saved
from pipeline.progress import Report
from pipeline.scores.families import FAMILIES, SMAP_FAMILY, dependent, named
from pipeline.scores.medians import Draws, Median, median
from pipeline.scores.series import INSITU, Series
from pipeline.scores.stations import BLOCK_DAYS
from pipeline.tables.results import read_scores
from pipeline.tables.titles import DOWNSCALED
from pipeline.work.staging import read_back, staged, with_nan, write_json

RECORD = "triple.json"
TABLE = "triple.csv"
PICTURE = "triple"
FILES = (TABLE, f"{PICTURE}.png", f"{PICTURE}.svg", RECORD)
FEWEST_DAYS = 100  # pytesmo's own minimum for bootstrapped intervals
MEASURES = ("error", "snr_db", "r", "beta")
ENDS = ("", "_lower", "_upper")
BELOW = "its error comes out below nothing: too few days, or errors that the others share"
UNDEFINED_DRAWS = 0.01  # share of draws that may have no positive covariances
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; NaN where undefined."""

    value: float
    lower: float = math.nan
    upper: float = math.nan


@dataclass(frozen=True)
class Errors:
    """What triple collocation says of one product at one station.

    Attributes:
        station: its name.
        product: a column, or ``insitu``.
        days: common to the three.
        error: standard deviation of its random error, m³/m³, scaled to the first product.
        own_error: the same in its own range: ``error`` / ``beta``.
        snr_db: variance of the signal over that of the error, dB; the upper end may be infinite.
        r: correlation with the unknown truth.
        beta: by which its anomalies are multiplied to have the first product's range.
        reason: why a number or an interval is missing.
    """

    station: str
    product: str
    days: int
    error: Estimate
    own_error: float
    snr_db: Estimate
    r: Estimate
    beta: Estimate
    reason: str

    def row(self) -> dict[str, Any]:
        """A line of ``triple.csv``."""
        row: dict[str, Any] = {"station": self.station, "product": self.product, "days": self.days}
        for name in MEASURES:
            found: Estimate = getattr(self, name)
            row |= {name: found.value, f"{name}_lower": found.lower, f"{name}_upper": found.upper}
        return {**row, "own_error": self.own_error, "reason": self.reason}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Errors:
        """From such a line."""
        found: dict[str, Any] = {
            name: Estimate(*(float(row[f"{name}{end}"]) for end in ENDS)) for name in MEASURES
        }
        return cls(
            str(row["station"]), str(row["product"]), int(row["days"]), own_error=float(row["own_error"]),
            reason=str(row["reason"]), **found,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TripleCollocation:
    """What :func:`collocate` found and wrote.

    Attributes:
        errors: three rows a station, in the order of ``products``; NaN with a reason where undefined.
        across: product -> measure -> its median over stations.
        differences: "a minus b" of the errors of two products -> median over stations, m³/m³.
        summary: the rest of ``triple.json``: ``simulated``, ``inputs``, ``settings``, ``products``,
            ``refused`` (why nothing was computed; empty where it was), ``counts``, ``notes``.
        pictures: the figure, PNG and SVG by name of the file; empty where no station has errors.
    """

    errors: tuple[Errors, ...]
    across: Mapping[str, Mapping[str, Median]]
    differences: Mapping[tuple[str, str], Median]
    summary: Mapping[str, Any]
    pictures: Mapping[str, bytes]

    @property
    def refused(self) -> str:
        """Why nothing was computed; empty where it was."""
        return str(self.summary["refused"])

    @property
    def products(self) -> tuple[str, ...]:
        """The three."""
        return tuple(self.summary["products"])

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the numbers, one sentence each."""
        return list(self.summary["notes"])

    def as_dict(self) -> dict[str, Any]:
        """What ``triple.json`` holds, NaN for what is undefined."""
        return {
            **self.summary,
            "across": {
                name: {measure: asdict(one) for measure, one in found.items()}
                for name, found in self.across.items()
            },
            "differences": [
                {"first": first, "second": second, **asdict(one)}
                for (first, second), one in self.differences.items()
            ],
        }


def collocate(
    predictions: Path,
    insitu: Path,
    out: Path,
    *,
    products: Sequence[str] | None = None,
    independent: Collection[str] = (),
    fewest_days: int = FEWEST_DAYS,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    simulated: bool = False,
    report: Report = lambda what, share: None,
) -> TripleCollocation:
    """Estimate the errors of three independent products at each station, and write them as a folder.

    Args:
        predictions: Parquet or CSV, a row for each station and day: ``station``, ``date``, ``sm`` and further
            products, m³/m³.
        insitu: Parquet or CSV with ``station``, ``date``, ``insitu`` (m³/m³).
        out: folder for ``triple.json``, ``triple.csv`` and the figure; those of an earlier run are replaced.
        products: three columns, the first of which the others are scaled to; ``insitu``, ``sm`` and the first
            product that is independent of both where None.
        independent: products whose errors, the user says, have nothing to do with the others'.
        fewest_days: that a station needs, common to the three.
        confidence: of every interval.
        draws: of the bootstrap, over blocks of 30 days at a station and over whole stations.
        seed: of the bootstrap.
        simulated: mark the results although no column says so.
        report: told about progress.

    Returns:
        The result; where the products are not independent it holds the reason and no numbers.

    Raises:
        ConfigError: pytesmo is not installed.
        DataError: a table is missing or unusable, or ``out`` cannot be written.
    """
    metrics = _pytesmo()
    found, how = Series.read(predictions, insitu), Draws(confidence, draws, seed)
    chosen, refused = _chosen(found, products, independent)
    simulated = simulated or found.simulated
    errors: list[Errors] = []
    if not refused:
        groups = list(found.rows.groupby("station", sort=True))
        for number, (name, part) in enumerate(groups):
            days = part.dropna(subset=list(chosen)).sort_values("date")
            errors += _of_station(str(name), days, chosen, fewest_days, how, metrics)
            report(f"triple collocation: {name}", 0.9 * (number + 1) / len(groups))
    across, differences = _across(errors, chosen, how), _differences(errors, chosen, how)
    given = {one.station for one in errors if math.isfinite(one.error.value)}
    summary: dict[str, Any] = {
        "simulated": simulated,
        "inputs": dict(found.inputs),
        "settings": {
            "fewest_days": fewest_days, "block_days": BLOCK_DAYS, "independent": sorted(independent),
            **asdict(how),
        },
        "products": list(chosen),
        "refused": refused,
        "counts": {"stations": len({one.station for one in errors}), "with_errors": len(given)},
    }  # fmt: skip
    summary["notes"] = list(_notes(summary, errors))
    result = TripleCollocation(tuple(errors), across, differences, summary, {})
    titles = {name: named(name) for name in chosen}
    rows = [one.row() for one in errors]
    drawn = figures.errors(rows, titles, simulated=simulated) if given else None
    with staged(out, RECORD, FILES) as folder:
        columns = list(_undefined("", "", 0, "").row())
        table = pd.DataFrame(rows, columns=columns)
        table.to_csv(folder / TABLE, index=False, float_format="%.6g")
        if drawn:
            save_chart(drawn, folder, PICTURE)
        write_json(folder / RECORD, result.as_dict())
    report("triple collocation: done", 1.0)
    return _load(out)


def read(folder: Path) -> TripleCollocation | None:
    """What :func:`collocate` left in a folder; None where there is nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "collocate again")


def _load(folder: Path) -> TripleCollocation:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    across = {
        name: {measure: Median(**with_nan(one)) for measure, one in found.items()}
        for name, found in record.pop("across").items()
    }
    differences = {}
    for one in record.pop("differences"):
        pair = one.pop("first"), one.pop("second")
        differences[pair] = Median(**with_nan(one))
    table = read_scores(folder / TABLE, texts=("station", "product"))
    errors = tuple(
        Errors.of({str(key): value for key, value in row.items()}) for row in table.to_dict("records")
    )
    if not isinstance(record["refused"], str) or not isinstance(record["notes"], list):
        raise ValueError("refused is no text, or notes are no list")
    if len({one.station for one in errors}) != record["counts"]["stations"]:
        raise ValueError(f"{TABLE} does not have all stations")
    return TripleCollocation(errors, across, differences, record, saved(folder, [PICTURE]))


def _pytesmo() -> Callable[[Values, Values, Values], tuple[Values, Values, Values]]:
    """Its triple collocation: SNR (dB), error standard deviation (scaled to the first) and beta of three."""
    try:
        from pytesmo.metrics import tcol_metrics
    except ImportError as error:
        raise ConfigError(
            f"triple collocation needs pytesmo, which cannot be imported ({error}): install it with "
            'pip install "gee-smap[validation]"'
        ) from error
    return lambda one, two, three: tcol_metrics(one, two, three, ref_ind=0)


def _chosen(
    found: Series, products: Sequence[str] | None, independent: Collection[str]
) -> tuple[tuple[str, ...], str]:
    """The three products, and why they are refused."""
    columns = (INSITU, *found.products)
    if products is None:
        others = [name for name in found.products if not dependent((INSITU, DOWNSCALED, name), independent)]
        if others:
            return (INSITU, DOWNSCALED, others[0]), ""
        reasons = [
            dependent((INSITU, DOWNSCALED, name), independent)[0]
            for name in found.products if name not in FAMILIES or FAMILIES[name].name != SMAP_FAMILY
        ]  # fmt: skip
        held = ", ".join(named(name) for name in found.products)
        told = f"the predictions hold {held}, of which none is independent of both the probe and SMAP"
        return (), "; ".join([told, *reasons]) + "; add an independent product as a further column"
    if len(products) != 3:
        return tuple(products), f"three products are needed, {len(products)} were named"
    if lacking := [name for name in products if name not in columns]:
        reasons = [found.left_out.get(name, f"there is no column {name}") for name in lacking]
        return tuple(products), f"{'; '.join(reasons)}; the tables hold {', '.join(columns)}"
    return tuple(products), "; ".join(dependent(products, independent))


def _of_station(
    station: str, days: pd.DataFrame, products: Sequence[str], fewest: int, how: Draws,
    metrics: Callable[[Values, Values, Values], tuple[Values, Values, Values]],
) -> list[Errors]:  # fmt: skip
    """The errors of the three at one station."""
    n = len(days)
    if n < fewest:
        return [_undefined(station, name, n, f"{n} common days, fewer than {fewest}") for name in products]
    values = days[list(products)].to_numpy(dtype=np.float64).T
    covariances = np.cov(values)[np.triu_indices(3, 1)]
    if not (covariances > 0).all():
        pairs = list(combinations(products, 2))
        bad = [pair for pair, covariance in zip(pairs, covariances, strict=True) if not covariance > 0]
        told = " and ".join(f"{named(one)} and {named(other)}" for one, other in bad)
        return [_undefined(station, name, n, f"no positive covariance of {told}") for name in products]
    point = _measures(values, metrics)
    number = ((days["date"] - days["date"].iloc[0]).dt.days // BLOCK_DAYS).to_numpy()
    lower, upper, missing = _interval(values, number, how, metrics)
    made = []
    for place, name in enumerate(products):
        found = {
            measure: Estimate(float(point[row, place]), float(lower[row, place]), float(upper[row, place]))
            for row, measure in enumerate(MEASURES)
        }
        reason = missing
        if point[0, place] == 0:
            reason = BELOW
            undefined = Estimate(math.nan)
            found |= {"error": undefined, "snr_db": undefined, "r": undefined}
        own = found["error"].value / found["beta"].value
        made.append(Errors(station, name, n, own_error=own, reason=reason, **found))
    return made


def _measures(
    values: Values, metrics: Callable[[Values, Values, Values], tuple[Values, Values, Values]]
) -> Values:
    """``MEASURES`` of three series with positive covariances, (4, 3).

    Where sampling makes an error's variance negative, pytesmo gives no error and the SNR of its absolute
    value; here the error is 0, the SNR infinite and the correlation 1, so that draws keep their order.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        snr, error, beta = metrics(*values)
    below = ~np.isfinite(error)
    snr = np.where(below, np.inf, snr)
    with np.errstate(divide="ignore"):
        r = 1 / np.sqrt(1 + 10 ** (-snr / 10))
    return np.array([np.where(below, 0.0, error), snr, r, beta])


def _interval(
    values: Values, blocks: NDArray[np.int64], how: Draws,
    metrics: Callable[[Values, Values, Values], tuple[Values, Values, Values]],
) -> tuple[Values, Values, str]:  # fmt: skip
    """Ends of the intervals, (4, 3) each, from draws of whole blocks of days; and why there are none.

    Percentiles are widened for few blocks as in ``models.metrics`` (Hesterberg 2015). Where 95 % is asked,
    those of an error cover 89-91 % in 150 days, 91-93 % in 210 and 93-94 % in 600, of 500 simulated records.
    """
    none = np.full((len(MEASURES), 3), np.nan)
    parts = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    count = len(parts)
    if count < MIN_BLOCKS:
        return none, none, f"an interval needs {MIN_BLOCKS} blocks of {BLOCK_DAYS} days, got {count}"
    rng = np.random.default_rng(how.seed)
    drawn = []
    for _ in range(how.draws):
        days = np.concatenate([parts[block] for block in rng.integers(count, size=count)])
        sample = values[:, days]
        if (np.cov(sample)[np.triu_indices(3, 1)] > 0).all():
            drawn.append(_measures(sample, metrics))
    if len(drawn) < (1 - UNDEFINED_DRAWS) * how.draws:
        share = 1 - len(drawn) / how.draws
        return none, none, f"{share:.0%} of the draws have no positive covariances, so there is no interval"
    tail = (1 - how.confidence) / 2
    wide = stats.norm.sf(math.sqrt(count / (count - 1)) * stats.t.isf(tail, count - 1))
    # Infinities have no weighted mean, so an end is one of the draws.
    lower, upper = np.quantile(drawn, [wide, 1 - wide], axis=0, method="nearest")
    return lower, upper, ""


def _undefined(station: str, product: str, days: int, reason: str) -> Errors:
    none = Estimate(math.nan)
    return Errors(station, product, days, none, math.nan, none, none, none, reason)


def _across(errors: Sequence[Errors], products: Sequence[str], how: Draws) -> dict[str, dict[str, Median]]:
    """Medians over the stations that have all three errors."""
    whole = _whole(errors)
    found: dict[str, dict[str, Median]] = {}
    for name in products if whole else ():
        own = [one for one in errors if one.product == name and one.station in whole]
        stations = np.array([one.station for one in own])
        found[name] = {
            measure: median(np.array([getattr(one, measure).value for one in own]), stations, how)
            for measure in MEASURES
        }
    return found


def _differences(
    errors: Sequence[Errors], products: Sequence[str], how: Draws
) -> dict[tuple[str, str], Median]:
    """Medians over those stations of the difference of two products' errors."""
    whole = sorted(_whole(errors))
    by_key = {(one.station, one.product): one.error.value for one in errors}
    return {
        (one, other): median(
            np.array([by_key[name, one] - by_key[name, other] for name in whole]), np.array(whole), how
        )
        for one, other in (combinations(products, 2) if whole else ())
    }


def _whole(errors: Sequence[Errors]) -> set[str]:
    """Stations where all three have an error."""
    lacking = {one.station for one in errors if not math.isfinite(one.error.value)}
    return {one.station for one in errors} - lacking


def _notes(summary: Mapping[str, Any], errors: Sequence[Errors]) -> Iterator[str]:
    """What the numbers do not say themselves."""
    if summary["refused"]:
        yield f"Triple collocation is not computed: {summary['refused']}."
        return
    if summary["simulated"]:
        yield "Simulated data: the errors say nothing about real soil moisture."
    whole, of = len(_whole(errors)), summary["counts"]["stations"]
    yield (
        f"Medians are over the {whole} of {of} stations where all three products have an error; errors are "
        f"scaled to the range of {named(summary['products'][0])}."
    )
    for name in summary["products"]:
        if below := sum(one.product == name and one.reason == BELOW for one in errors):
            yield (
                f"At {below} of the stations left out the error of {named(name)} comes out below nothing; "
                "its median over the others is so much the larger."
            )
    declared = [name for name in summary["products"] if name in summary["settings"]["independent"]]
    if declared:
        names = " and ".join(named(name) for name in declared)
        yield f"That {names} {'is' if len(declared) == 1 else 'are'} independent of the others was declared."
    reasons: dict[str, list[str]] = {}
    for one in errors:
        if one.reason and math.isnan(one.error.value):
            reasons.setdefault(f"{one.station}: {one.reason}", []).append(named(one.product))
    listed = [f"{told} ({', '.join(names)})" if len(names) < 3 else told for told, names in reasons.items()]
    if listed:
        more = f"; and {len(listed) - 10} more in triple.csv" if len(listed) > 10 else ""
        yield f"Without an error: {'; '.join(listed[:10])}{more}."
