"""The part of a report on rain: whether soil moisture answers to it, how much, and how fast it dries.

Maps that follow SMAP become wetter with rain because SMAP does; so the question is how far each product is
from the probe, event by event, and whether the downscaled map is nearer to it than SMAP. Sentences say so
only where intervals do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from gee.predictors import RAIN
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Facts,
    Folded,
    Row,
    Section,
    Table,
    Value,
    Words,
    bounded,
    figures,
    listed,
    notes,
    percent,
    remarks,
    signed,
    with_interval,
)
from pipeline.scores.families import named
from pipeline.scores.medians import Median
from pipeline.scores.rain import QUANTITIES, RainResponse, Response
from pipeline.scores.series import INSITU
from pipeline.tables.titles import DOWNSCALED, SMAP

TABLES = (
    ("rain-change", "How much soil moisture rises with rain (m³/m³)", ("change", "rise"), ".3f"),
    (
        "rain-time",
        "When it peaks after the heaviest rain and how fast it dries (days)",
        ("lag", "scale"),
        ".1f",
    ),
)
TOLD_OF_RAIN = (
    "The rain of the days before is a predictor of this model: it was told of the very events that its map "
    "is held against here, so that the map becomes wetter after rain shows no skill. How near it is to the "
    "probe, and whether nearer than SMAP, still does."
)
RULES = {
    "daily_mm": "An event has a day of more than (mm)",
    "total_mm": "or altogether more than (mm)",
    "wet_mm": "A day of less is dry (mm)",
    "dry_days": "Dry days that part two events",
    "before_days": "Days before an event that the value before is the last of",
    "after_days": "Days after its end that the change is read from, at most until the next rain",
    "missing_days": "Days of the event and after it that may lack a value",
    "fewest_fitted": "Rain-free days that a dry-down needs",
    "longest_fitted": "Rain-free days that are fitted at most",
    "least_r2": "R² that a fit needs",
    "longest_scale": "Longest time scale that counts, in multiples of the days fitted",
}
PICTURES = {
    "composite": (
        "Mean rain and mean change of soil moisture from 5 days before to 15 days after rain events.",
        "Mean course around rain events: a line that rises less than the probe's gains too little, one that "
        "falls later holds water too long; bands hold half of the events, and later days hold further rain.",
    ),
    "series": (
        "Series of soil moisture at a few stations with bars of rain from above.",
        "Stations with most events: after each bar of rain the lines should rise with the dots, and between "
        "bars fall with them.",
    ),
}


def section(found: RainResponse | None, again: str, predictors: Collection[str] = ()) -> Section:
    """How soil moisture answers to rain.

    Args:
        found: what ``pipeline.scores.rain.read`` gives.
        again: the command that makes it.
        predictors: of the model that made the maps, as far as they are known.
    """
    absent = Absent("The maps have not been held against rain.", again)
    told = TOLD_OF_RAIN if {*RAIN} & {*predictors} else ""
    return Section.of("rain", "Response to rain", found, lambda one: _blocks(one, told), absent)


def _blocks(found: RainResponse, told: str) -> Iterator[Block]:
    counts = found.summary["counts"]
    if not found.responses:
        yield Words(found.notes[-1] if len(found.notes) == 1 else " ".join(found.notes), "No response.", True)
        yield from figures(found.pictures, PICTURES, "rain-")
        return
    yield Words(
        f"{counts['used']:,} rain events at {counts['stations_used']} of {counts['stations']} stations. An "
        f"event is {found.summary['rule']}; every product and the probe are read on the very same days."
    )
    if told:
        yield Words(told, "No independent witness.")
    yield from remarks(sentences(found), "Beside the probe.")
    for name, caption, quantities, form in TABLES:
        yield _table(found, name, caption, quantities, form)
    yield Words(
        "Change is the mean of the days after the event's end less the last value before it; the rise goes "
        "to the highest value, which noise alone raises. The time scale is that of an exponential fitted to "
        "rain-free days; it is known only where the fit counts, which favours fast drying. Intervals draw "
        "whole stations. The last column tells how much farther from the probe a product is than SMAP, event "
        "by event: negative is nearer."
    )
    yield _fits(found)
    yield from figures(found.pictures, PICTURES, "rain-")
    yield from notes(found.notes)
    rules = found.summary["settings"]["rules"]
    facts = [(RULES[name], "–" if value is None else f"{value:g}") for name, value in rules.items()]
    yield Folded("What counts as an event, a change and a dry-down", (Facts(tuple(facts)),))


def sentences(found: RainResponse) -> Iterator[str]:
    """What the response shows, in sentences that follow from its numbers alone.

    Args:
        found: with events that were used.
    """
    used, fits = found.summary["counts"]["used"], found.summary["fits"]
    wetter = [
        f"{named(name)} in {percent(fits[name]['wetter'] / used)}"
        for name in (INSITU, *_main(found))
        if name in fits
    ]
    yield f"Soil moisture was higher after the event than before: {listed(wetter)} of {used:,} events."
    for name in _main(found):
        if told := found.of("change", name):
            yield _beside_probe(told)
        if told := found.of("scale", name):
            yield _beside_probe(told)
    for quantity, what in (("change", "change"), ("scale", "drying time scale")):
        told = found.of(quantity, DOWNSCALED)
        if told and told.beside_smap:
            yield _beside_smap(told.beside_smap, what)


def in_short(found: RainResponse) -> str:
    """One sentence on the response."""
    told = found.of("change", DOWNSCALED)
    if told is None:
        return "No rain event could be used."
    return _beside_probe(told)


def _main(found: RainResponse) -> list[str]:
    """The products that sentences speak of."""
    return [name for name in (DOWNSCALED, SMAP) if name in found.summary["products"]]


def _beside_probe(told: Response) -> str:
    """How a product's change or drying stands beside the probe's; a change may well be a loss."""
    wetter = told.quantity == "change"
    verb = "gains over rain events" if wetter else "dries afterwards"
    more, less, alike = ("more", "less", "as much") if wetter else ("more slowly", "faster", "as fast")
    unit, form = ("m³/m³", ".3f") if wetter else ("days", ".1f")
    name, gap = named(told.product), told.difference
    if gap is None or not gap.n:
        return f"Whether {name} {verb} {alike} as the probe cannot be told: no event has both."
    medians = (
        f"medians {signed(told.value.value, form)} and {signed(told.probe, form)} {unit} in {gap.n:,} events "
        f"at {gap.stations} stations"
    )
    if math.isnan(gap.lower):
        return f"Whether {name} {verb} {alike} as the probe is undecided, {gap.reason} ({medians})."
    interval = f"event by event {_interval(gap, form)} {unit}"
    if not gap.apart:
        return f"{name} {verb} {alike} as the probe, as far as can be told: {interval} ({medians})."
    return f"{name} {verb} {more if gap.value > 0 else less} than the probe: {interval} ({medians})."


def _beside_smap(gap: Median, what: str) -> str:
    """Whether the downscaled map is nearer to the probe than SMAP."""
    if math.isnan(gap.lower):
        reason = gap.reason or "no interval"
        return f"Whether the downscaled map is nearer to the probe by its {what} is undecided: {reason}."
    form, unit = ("+.4f", "m³/m³") if what == "change" else ("+.2f", "days")
    told = f"distance less SMAP's {_interval(gap, form)} {unit}, event by event"
    if not gap.apart:
        return f"By its {what} the downscaled map cannot be told from SMAP: {told}."
    way = "nearer to" if gap.value < 0 else "farther from"
    return f"By its {what} the downscaled map is {way} the probe than SMAP is: {told}."


def _table(found: RainResponse, name: str, caption: str, quantities: tuple[str, ...], form: str) -> Table:
    rows = [_row(one) for one in found.responses if one.quantity in quantities]
    columns = [
        Column("quantity", "Quantity"),
        Column("product", "Product"),
        Column("events", "Events", ",d"),
        Column("stations", "Stations", ",d"),
        Column.measured("median", "Median of events", form),
        Column.measured("station_median", "Median of stations", form),
        Column("probe", "The probe's", form),
        Column.measured("difference", "Less the probe's", f"+{form}"),
    ]
    if any(one.beside_smap for one in found.responses):
        columns.append(Column.measured("beside_smap", "Farther than SMAP", f"+{form}"))
    return Table(name, caption, tuple(columns), tuple(rows))


def _row(one: Response) -> Row:
    row: dict[str, Value] = {
        "quantity": QUANTITIES[one.quantity][0], "product": named(one.product), "events": one.value.n,
        "stations": one.value.stations, "probe": one.probe,
    }  # fmt: skip
    parts = {
        "median": one.value, "station_median": one.over_stations, "difference": one.difference,
        "beside_smap": one.beside_smap,
    }  # fmt: skip
    for key, told in parts.items():
        row |= bounded(key, told.value, told.lower, told.upper) if told else bounded(key, None, None, None)
    return row


def _fits(found: RainResponse) -> Table:
    used = found.summary["counts"]["used"]
    rows = [
        {
            "product": named(name),
            "wetter": fit["wetter"] / used,
            "counted": fit["counted"],
            "not": "; ".join(f"{reason}, {number}" for reason, number in fit["not"].items()),
        }
        for name, fit in found.summary["fits"].items()
    ]
    return Table(
        "rain-fits",
        f"Of {used:,} events: share after which it was wetter, dry-downs that count, and why others do not",
        (
            Column("product", "Product"),
            Column("wetter", "Wetter after", "%"),
            Column("counted", "Dry-downs", ",d"),
            Column("not", "Not fitted", prose=True),
        ),
        tuple(rows),
    )


def _interval(told: Median, form: str) -> str:
    return with_interval(told.value, told.lower, told.upper, form if form.startswith("+") else f"+{form}")
