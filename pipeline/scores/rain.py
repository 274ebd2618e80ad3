"""How soil moisture answers to rain: maps, SMAP and probes on the same events, with intervals.

Xu et al. 2024 (section 4.2, figure 8) show eleven chosen stations and say that soil moisture rose with almost
every rain. Here every event of every station counts, on days that all products and the probe have, and each
product stands beside the probe, event by event. Rain is the station's own where it measures it, else CHIRPS.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.figures import rain as figures
from pipeline.figures.rain import COMPOSITE_DAYS
from pipeline.figures.style import save_chart, saved
from pipeline.progress import Report
from pipeline.scores.families import named
from pipeline.scores.medians import Draws, Median, median, median_of_stations
from pipeline.scores.rain_events import Event, Rules, by_product, events, unusable
from pipeline.scores.series import INSITU, RAIN, Series
from pipeline.tables.titles import DOWNSCALED, SMAP
from pipeline.work.staging import read_back, staged, with_nan, write_json

RECORD = "rain.json"
TABLE = "events.csv"
PICTURES = ("composite", "series")
FILES = (TABLE, *(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")), RECORD)
QUANTITIES = {
    "change": ("Change", "m³/m³"), "rise": ("Rise to the peak", "m³/m³"),
    "lag": ("Lag of the peak", "days"), "scale": ("Drying time scale", "days"),
}  # fmt: skip
"""Title and unit of what is read from an event; see ``rain_events.Change`` and ``DryDown``."""
SHOWN_STATIONS = 3
LEAST_SHARE = 0.5  # of the events, that a product must have values for; else it is left out, not the events
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Response:
    """One quantity of one product over all events.

    Attributes:
        quantity: of ``QUANTITIES``.
        product: a column, or ``insitu`` for the probe.
        value: median over the events where the product and the probe have it; whole stations are drawn.
        over_stations: the same with one value a station, its median.
        probe: the probe's median on those events.
        difference: median of product less probe, event by event.
        beside_smap: median of how much farther from the probe the product is than SMAP, event by event;
            negative is nearer. None for SMAP, the probe, and without SMAP.
    """

    quantity: str
    product: str
    value: Median
    over_stations: Median
    probe: float
    difference: Median | None
    beside_smap: Median | None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Response:
        """From what ``rain.json`` holds."""
        medians: dict[str, Any] = {
            name: None if found[name] is None else Median(**with_nan(found[name]))
            for name in ("value", "over_stations", "difference", "beside_smap")
        }
        return cls(found["quantity"], found["product"], probe=with_nan(found["probe"]), **medians)


@dataclass(frozen=True, eq=False)
class RainResponse:
    """What :func:`respond` found and wrote.

    Attributes:
        events: one row an event, used or not (then ``reason`` says why), as in ``events.csv``.
        responses: of each quantity and product; empty where no event could be used.
        summary: the rest of ``rain.json``: ``simulated``, ``inputs``, ``settings``, ``rule``, ``rain``,
            ``products``, ``counts``, ``fits``, ``composite``, ``shown``, ``notes``.
        pictures: PNGs and SVGs by name of the file.
    """

    events: pd.DataFrame
    responses: tuple[Response, ...]
    summary: Mapping[str, Any]
    pictures: Mapping[str, bytes]

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the numbers, one sentence each."""
        return list(self.summary["notes"])

    def of(self, quantity: str, product: str) -> Response | None:
        """The response asked for; None where there is none."""
        wanted = (quantity, product)
        return next((one for one in self.responses if (one.quantity, one.product) == wanted), None)

    def as_dict(self) -> dict[str, Any]:
        """What ``rain.json`` holds, NaN for what is undefined."""
        return {**self.summary, "responses": [asdict(one) for one in self.responses]}


@dataclass(frozen=True, eq=False)
class _Station:
    """One station's consecutive days, and its events."""

    name: str
    dates: pd.DatetimeIndex
    series: Mapping[str, Values]
    rain: Values
    events: tuple[Event, ...]

    def common(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Days on which all of these have a value."""
        return np.asarray(np.isfinite([self.series[name] for name in names]).all(axis=0))


def respond(
    predictions: Path,
    insitu: Path,
    rain: pd.DataFrame | None,
    out: Path,
    *,
    rules: Rules | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    simulated: bool = False,
    report: Report = lambda what, share: None,
) -> RainResponse:
    """Read from every rain event what the maps, SMAP and the probe do, and write it as a folder.

    Args:
        predictions: Parquet or CSV, a row for each station and day: ``station``, ``date``, ``sm`` and further
            products, m³/m³.
        insitu: Parquet or CSV with ``station``, ``date``, ``insitu`` (m³/m³) and, where stations measure it,
            ``rain`` (mm/day), which goes before ``rain`` below at those stations.
        rain: ``station``, ``date``, ``rain`` (mm/day) and, where it applies, ``simulated``, as
            ``pipeline.scores.rainfall.rain_at`` gives it; None where nobody asked.
        out: folder for ``rain.json``, ``events.csv`` and the figures; those of an earlier run are replaced.
        rules: what counts as an event, a change and a dry-down.
        confidence: of every interval.
        draws: of the bootstrap over whole stations.
        seed: of the bootstrap.
        simulated: mark the results although no column says so.
        report: told about progress.

    Returns:
        The result; without rain or events it has none, and a note that says so.

    Raises:
        DataError: a table is missing or unusable, or ``out`` cannot be written.
    """
    rules, how = rules or Rules(), Draws(confidence, draws, seed)
    found = Series.read(predictions, insitu)
    stations, sources = _stations(found, rain, rules, report)
    products, left_out = _compared(stations, found, rules)
    simulated = simulated or found.simulated or _is_simulated(rain, sources)
    table = _events(stations, products, rules, report)
    used = table[table["reason"] == ""].reset_index(drop=True)
    responses = tuple(_responses(used, products, how)) if len(used) else ()
    shown = _shown(stations, used)
    summary: dict[str, Any] = {
        "simulated": simulated,
        "inputs": dict(found.inputs),
        "settings": {"rules": asdict(rules)} | asdict(how),
        "rule": rules.sentence(),
        "rain": sources,
        "products": list(products),
        "counts": _counts(table, stations),
        "fits": _fits(used, products),
        "composite": _composite(stations, used, products),
        "shown": [station.name for station in shown],
    }
    summary["notes"] = list(_notes(summary, left_out))
    report("rain: figures", 0.9)
    drawn = {}
    titles = {name: named(name) for name in (INSITU, *products)}
    if len(used):
        drawn["composite"] = figures.composite(summary["composite"], titles, simulated=simulated)
    if shown:
        panels = [_panel(station, products, used) for station in shown]
        drawn["series"] = figures.series(panels, titles, simulated=simulated)
    with staged(out, RECORD, FILES) as folder:
        table.to_csv(folder / TABLE, index=False, float_format="%.6g", date_format="%Y-%m-%d")
        for name, figure in drawn.items():
            save_chart(figure, folder, name)
        write_json(folder / RECORD, {**summary, "responses": [asdict(one) for one in responses]})
    report("rain: done", 1.0)
    return _load(out)


def read(folder: Path) -> RainResponse | None:
    """What :func:`respond` left in a folder; None where there is nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "look at rain again")


def _load(folder: Path) -> RainResponse:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    responses = tuple(Response.of(one) for one in record.pop("responses"))
    table = pd.read_csv(
        folder / TABLE, dtype={"station": str}, parse_dates=["start", "heaviest", "end"],
        keep_default_na=False, na_values=[""],
    )  # fmt: skip
    names = [str(name) for name in table]
    texts = [name for name in names if name == "reason" or name.endswith("_not_fitted")]
    table[texts] = table[texts].astype(object).fillna("")
    if not isinstance(record["notes"], list) or len(table) != record["counts"]["events"]:
        raise ValueError(f"its notes are no list, or {TABLE} has {len(table)} events and not all")
    summary = {**record, "composite": with_nan(record["composite"])}
    return RainResponse(table, responses, summary, saved(folder, PICTURES))


def _stations(
    found: Series, rain: pd.DataFrame | None, rules: Rules, report: Report
) -> tuple[list[_Station], dict[str, Any]]:
    """Each station's series on consecutive days, and whose rain it is."""
    own = found.rows.groupby("station")[RAIN].apply(lambda values: bool(values.notna().any()))
    lacking = set(own[~own].index)
    rows = found.rows
    if rain is not None and lacking:
        asked = _rain_rows(rain, lacking)
        rows = rows.merge(asked, how="outer", on=["station", "date"], suffixes=("", "_asked"))
        rows[RAIN] = rows[RAIN].where(~rows["station"].isin(lacking), rows[f"{RAIN}_asked"])
    made: list[_Station] = []
    sources = {"own": int(own.sum()), "asked": 0, "none": 0}
    groups = list(rows.groupby("station", sort=True))
    for number, (name, part) in enumerate(groups):
        days = part.set_index("date").sort_index()
        dates = pd.date_range(days.index[0], days.index[-1], freq="D")
        days = days.reindex(dates)
        series = {key: days[key].to_numpy(dtype=np.float64) for key in (*found.products, INSITU)}
        fell = days[RAIN].to_numpy(dtype=np.float64)
        if str(name) in lacking:
            sources["asked" if np.isfinite(fell).any() else "none"] += 1
        made.append(_Station(str(name), dates, series, fell, tuple(events(fell, rules))))
        report(f"rain: events of {name}", 0.5 * (number + 1) / len(groups))
    return made, sources


def _rain_rows(rain: pd.DataFrame, stations: set[str]) -> pd.DataFrame:
    """The rain asked for, of some stations, checked."""
    if lacking := [name for name in ("station", "date", RAIN) if name not in rain]:
        raise DataError(f"the table of rain has no column {', '.join(lacking)}")
    part = rain[rain["station"].isin(stations)][["station", "date", RAIN]].copy()
    part["date"] = pd.to_datetime(part["date"]).astype("datetime64[s]")
    if bool((part[RAIN] < 0).any()):
        raise DataError("the table of rain has values below 0 mm/day; leave no-data codes empty")
    if part.duplicated(["station", "date"]).any():
        raise DataError("the table of rain has a station and day twice; keep one")
    return part


def _is_simulated(rain: pd.DataFrame | None, sources: Mapping[str, Any]) -> bool:
    marked = rain is not None and "simulated" in rain and bool(rain["simulated"].any())
    return marked and sources["asked"] > 0


def _compared(
    stations: Sequence[_Station], found: Series, rules: Rules
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The products that have values for enough events, and why others are left out."""
    left_out = dict(found.left_out)
    usable = {name: _usable(stations, (DOWNSCALED, INSITU, name), rules) for name in found.products}
    kept = []
    for name in found.products:
        if name == DOWNSCALED or usable[name] >= LEAST_SHARE * usable[DOWNSCALED]:
            kept.append(name)
        else:
            left_out[name] = (
                f"{named(name)} has values in {usable[name]} of {usable[DOWNSCALED]} events and is left out, "
                "so that these need not be"
            )
    return tuple(kept), left_out


def _usable(stations: Sequence[_Station], names: Sequence[str], rules: Rules) -> int:
    return sum(
        not unusable(event, common, rules)
        for station in stations
        if station.events
        for common in [station.common(names)]
        for event in station.events
    )


def _events(
    stations: Sequence[_Station], products: Sequence[str], rules: Rules, report: Report
) -> pd.DataFrame:
    """One row an event, with what every product and the probe did in it."""
    names = (*products, INSITU)
    columns = ["station", "start", "heaviest", "end", "total_mm", "largest_mm", "reason", "days_fitted"]
    columns += [f"{name}_{what}" for name in names for what in ("before", *QUANTITIES, "r2", "not_fitted")]
    table: list[dict[str, Any]] = []
    for number, station in enumerate(stations):
        common = station.common(names)
        for event in station.events:
            dates = {name: station.dates[getattr(event, name)] for name in ("start", "heaviest", "end")}
            amounts = {"total_mm": event.total_mm, "largest_mm": event.largest_mm}
            reason = unusable(event, common, rules)
            row = {"station": station.name, **dates, **amounts, "reason": reason}
            if not reason:
                series = {name: station.series[name] for name in names}
                for name, (change, drying) in by_product(event, series, common, rules).items():
                    row |= {f"{name}_{key}": value for key, value in asdict(change).items()}
                    row |= {f"{name}_scale": drying.scale, f"{name}_r2": drying.r2}
                    row |= {f"{name}_not_fitted": drying.reason, "days_fitted": drying.days}
            table.append(row)
        report(f"rain: {station.name}", 0.5 + 0.4 * (number + 1) / len(stations))
    made = pd.DataFrame(table, columns=columns)
    texts = [name for name in columns if name.endswith("_not_fitted")]
    made[texts] = made[texts].astype(object).fillna("")
    return made


def _responses(used: pd.DataFrame, products: Sequence[str], how: Draws) -> Iterator[Response]:
    stations = used["station"].to_numpy(dtype=np.str_)
    for quantity in QUANTITIES:
        values = {name: used[f"{name}_{quantity}"].to_numpy(np.float64) for name in (*products, INSITU)}
        probe = values[INSITU]
        for name, own in values.items():
            both = np.where(np.isfinite(probe), own, np.nan)
            there = np.isfinite(both)
            nearer = name not in (SMAP, INSITU) and SMAP in products
            yield Response(
                quantity,
                name,
                median(both, stations, how),
                median_of_stations(both, stations, how),
                float(np.median(probe[there])) if there.any() else np.nan,
                None if name == INSITU else median(own - probe, stations, how),
                median(np.abs(own - probe) - np.abs(values[SMAP] - probe), stations, how) if nearer else None,
            )


def _counts(table: pd.DataFrame, stations: Sequence[_Station]) -> dict[str, Any]:
    reasons = Counter(table["reason"][table["reason"] != ""])
    used = table[table["reason"] == ""]
    return {
        "stations": len(stations),
        "stations_used": int(used["station"].nunique()),
        "events": len(table),
        "used": len(used),
        "not_used": dict(reasons.most_common()),
    }


def _fits(used: pd.DataFrame, products: Sequence[str]) -> dict[str, Any]:
    """How many dry-downs count for each product, and why others do not; and how often it became wetter."""
    found = {}
    for name in (*products, INSITU):
        reasons = Counter(used[f"{name}_not_fitted"])
        counted = reasons.pop("", 0)
        wetter = int((used[f"{name}_change"] > 0).sum())
        found[name] = {"counted": counted, "not": dict(reasons.most_common()), "wetter": wetter}
    return found


def _composite(stations: Sequence[_Station], used: pd.DataFrame, products: Sequence[str]) -> dict[str, Any]:
    """Mean course around the first day of the events, less the value before; quartiles are over events."""
    names = (*products, INSITU)
    offsets = np.arange(COMPOSITE_DAYS[0], COMPOSITE_DAYS[1] + 1)
    courses = np.full((len(used), len(names) + 1, len(offsets)), np.nan)
    by_name = {station.name: station for station in stations}
    for number, row in enumerate(used.to_dict("records")):
        station = by_name[str(row["station"])]
        days = int((row["start"] - station.dates[0]).days) + offsets
        inside = (days >= 0) & (days < len(station.dates))
        there = np.clip(days, 0, len(station.dates) - 1)
        courses[number, -1] = np.where(inside, station.rain[there], np.nan)
        inside &= station.common(names)[there]
        for place, name in enumerate(names):
            values = station.series[name][there] - row[f"{name}_before"]
            courses[number, place] = np.where(inside, values, np.nan)
    n = np.isfinite(courses[:, 0]).sum(axis=0)

    def over(reduce: Callable[[Values], Any], place: int) -> list[float]:
        columns = (courses[:, place, day] for day in range(len(offsets)))
        known = [column[np.isfinite(column)] for column in columns]
        return [float(reduce(column)) if len(column) else np.nan for column in known]

    return {
        "days": offsets.tolist(),
        "n": n.tolist(),
        "rain": over(np.mean, len(names)),
        "products": {
            name: {
                "mean": over(np.mean, place),
                "q25": over(lambda column: np.quantile(column, 0.25), place),
                "q75": over(lambda column: np.quantile(column, 0.75), place),
            }
            for place, name in enumerate(names)
        },
    }


def _shown(stations: Sequence[_Station], used: pd.DataFrame) -> list[_Station]:
    """The stations to draw: those with most events, or most days of rain and soil moisture without any."""
    counted = Counter(used["station"])
    days = {
        station.name: int((station.common((DOWNSCALED, INSITU)) & np.isfinite(station.rain)).sum())
        for station in stations
    }
    ranked = sorted(stations, key=lambda one: (-counted[one.name], -days[one.name], one.name))
    return [station for station in ranked if days[station.name]][:SHOWN_STATIONS]


def _panel(station: _Station, products: Sequence[str], used: pd.DataFrame) -> figures.Panel:
    own = used[used["station"] == station.name]
    return figures.Panel(
        station.name,
        station.dates,
        {name: station.series[name] for name in (*products, INSITU)},
        station.rain,
        tuple((start, end) for start, end in own[["start", "end"]].itertuples(index=False)),
    )


def _notes(summary: Mapping[str, Any], left_out: Mapping[str, str]) -> Iterator[str]:
    """What the numbers do not say themselves."""
    counts, rain = summary["counts"], summary["rain"]
    if summary["simulated"]:
        yield "Simulated data: the response says nothing about real soil moisture."
    if rain["own"] + rain["asked"] == 0:
        yield (
            f"The rain of none of the {counts['stations']} stations is known, so there are no events: add a "
            "column rain (mm/day) to the in-situ table, or have it looked up in CHIRPS."
        )
        return
    yield (
        f"Rain is the station's own at {rain['own']} stations, CHIRPS's of a pixel of 0.05° at "
        f"{rain['asked']} and unknown at {rain['none']}."
    )
    if not counts["events"]:
        yield f"There is no event: nowhere was there {summary['rule']}."
        return
    if not counts["used"]:
        yield "No event can be used, so there is neither a change nor a dry-down."
    if counts["not_used"]:
        reasons = "; ".join(f"{reason}, {number}" for reason, number in counts["not_used"].items())
        yield f"Events not used, {counts['events'] - counts['used']} of {counts['events']}: {reasons}."
    if counts["used"]:
        yield (
            "A map's value is of SMAP's bin of its day, often before most of that day's rain, while a daily "
            "mean of a probe holds it all: a lag of one day more can be the clock's, not the soil's."
        )
    yield from (f"{reason[0].upper()}{reason[1:]}." for reason in left_out.values())
