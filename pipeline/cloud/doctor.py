"""What an engine says of the sources, beside what the catalogue here says.

Much of ``gee.catalog`` was read in documents, and assets move: projections, band types, first and last dates
and SMAP's time stamps are asked of the engine itself, so that a user sees what differs before a study relies
on it. A difference is shown, never repaired in silence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import ee
import numpy as np

from gee import regions
from gee.catalog import SMAP, SMAP_007, SOURCES, Source
from gee.timeseries import DAY_MS, EPOCH
from pipeline.cloud.asking import asked
from pipeline.errors import EngineError, GeeSmapError
from pipeline.progress import Report

LAND = (117.27, 31.86)  # Hefei: where scenes with a footprint are looked up
ASKED_AT_ONCE = 4  # requests; far below what a project may have
BIN_HOURS = 3  # of SMAP L4
_STAMPS = {0: "the start", 90: "the middle"}  # by minute of the bin
PROBE_DAY = "2019-04-10"  # whose SMAP bins are looked at
TIME = "system:time_start"
NEVER = dt.date(2100, 1, 1)
REACHES = (60, 120, 400, 40_000)  # days; all of Sentinel-1's archive takes long to go through


@dataclass(frozen=True)
class Finding:
    """What one source is on the engine.

    Attributes:
        source: as the catalogue has it.
        crs: of its first band.
        transform: of its first band, in Earth Engine's order.
        types: pixel type by band.
        first: day of the first image; None for what is not dated.
        last: of the newest.
        simulated: whether it says so of itself.
        differences: from the catalogue, a sentence each.
        error: why it could not be asked; empty where it could.
    """

    source: Source
    crs: str = ""
    transform: tuple[float, ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    first: dt.date | None = None
    last: dt.date | None = None
    simulated: bool = False
    differences: tuple[str, ...] = ()
    error: str = ""

    def row(self) -> dict[str, str]:
        """For people."""
        kinds = dict(self.types)
        return {
            "source": self.source.id,
            "crs": self.crs,
            "pixel": f"{abs(self.transform[0]):.7g}" if self.transform else "",
            "type": kinds.get(self.source.bands[0].name, "") if kinds else "",
            "first": str(self.first or ""),
            "last": str(self.last or ""),
            "differs": "failed" if self.error else str(len(self.differences) or ""),
        }

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "source": self.source.name, "id": self.source.id, "crs": self.crs,
            "transform": list(self.transform), "types": dict(self.types),
            "first": self.first and self.first.isoformat(), "last": self.last and self.last.isoformat(),
            "simulated": self.simulated, "differences": list(self.differences), "error": self.error,
        }  # fmt: skip


@dataclass(frozen=True)
class Examination:
    """All sources of an engine.

    Attributes:
        findings: one for each.
        stamp: where in its three hours SMAP L4's time stamp lies, in words.
    """

    findings: tuple[Finding, ...]
    stamp: str

    def rows(self) -> list[dict[str, str]]:
        """The sources as a table for people."""
        return [finding.row() for finding in self.findings]

    def notes(self) -> Iterator[str]:
        """What differs, what could not be asked, and SMAP's time stamp."""
        for finding in self.findings:
            yield from (f"{finding.source.id} {difference}" for difference in finding.differences)
        yield from (finding.error for finding in self.findings if finding.error)
        yield self.stamp
        if any(finding.simulated for finding in self.findings):
            yield "The sources are simulated by the local engine, which has none before 2015 or after 2025."

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"sources": [finding.as_dict() for finding in self.findings], "smap_time_stamp": self.stamp}


def examine(report: Report) -> Examination:
    """Ask the connected engine about every source.

    Args:
        report: told what is asked and the share of the whole that is done.

    Raises:
        EngineError: not one source could be asked.
    """
    findings = []
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for number, finding in enumerate(pool.map(_found, SOURCES.values())):
            findings.append(finding)
            report(finding.source.id, (number + 1) / (len(SOURCES) + 1))
    if all(finding.error for finding in findings):
        raise EngineError(f"No source could be asked. The first: {findings[0].error}")
    examination = Examination(tuple(findings), _time_stamp())
    report("SMAP time stamps", 1.0)
    return examination


def _found(source: Source) -> Finding:
    try:
        return _of_table(source) if source.kind == "table" else _of_raster(source)
    except GeeSmapError as error:
        return Finding(source, error=str(error))


def _of_table(source: Source) -> Finding:
    names = asked(source.table().first().propertyNames())
    missing = [f"has no property {name}" for name in (regions.NAME, regions.COUNTRY) if name not in names]
    return Finding(source, simulated="simulated" in names, differences=tuple(missing))


def _of_raster(source: Source) -> Finding:
    first, last = (_first(source), _newest(source)) if source.dated else (None, None)
    images = _between(source, first, first) if first else source.collection()
    told = asked(ee.Image(images.first()))
    if told is None:
        raise EngineError(f"{source.id} has no image on this engine")
    properties = told.get("properties", {})
    bands = {band["id"]: band for band in told["bands"]}
    shown = bands.get(source.bands[0].name, told["bands"][0])
    found = Finding(
        source,
        shown["crs"],
        tuple(shown["crs_transform"]),
        tuple((name, _type(band["data_type"])) for name, band in bands.items()),
        first,
        last,
        "simulated" in properties,
    )
    return replace(found, differences=tuple(_differences(found)))


def _first(source: Source) -> dt.date | None:
    """The day of the first image: Sentinel-1 stands in order of name, all others in that of time."""
    if source.crs is not None:
        return _day(asked(ee.Image(source.collection().first()).get(TIME)))
    near = (_between(source, source.start, source.start + dt.timedelta(days)) for days in REACHES)
    return _any_day(part.aggregate_min(TIME) for part in near)


def _newest(source: Source) -> dt.date | None:
    """The day of the newest image."""
    ended = source.end or dt.datetime.now(tz=dt.UTC).date()
    near = (_between(source, ended - dt.timedelta(days), NEVER) for days in REACHES)
    return _any_day(part.aggregate_max(TIME) for part in near)


def _any_day(times: Iterable[Any]) -> dt.date | None:
    """The day of the first of several times that is any; those after it are not asked for."""
    days = (_day(asked(time)) for time in times)
    return next((day for day in days if day is not None), None)


def _between(source: Source, start: dt.date, end: dt.date) -> ee.ImageCollection:
    """Images from one day to another; of scenes those over LAND.

    Days come first: the local engine lays out every scene whose footprint it is asked for.
    """
    images: ee.ImageCollection = source.collection().filterDate(
        start.isoformat(), (end + dt.timedelta(days=1)).isoformat()
    )
    if source.crs is None:
        images = images.filterBounds(ee.Geometry.Point(*LAND))
    return images


def _differences(found: Finding) -> Iterator[str]:
    source, types = found.source, dict(found.types)
    for band in source.bands:
        if band.name not in types:
            yield f"has no band {band.name}"
    if source.crs is not None and found.crs != source.crs:
        yield f"is on {found.crs}, not on {source.crs}"
    if source.transform is not None and not np.allclose(
        found.transform, source.transform, rtol=1e-9, atol=1e-9
    ):
        yield f"has transform {list(found.transform)}, not {list(source.transform)}"
    if source.crs is None:
        return  # scenes were looked up at one place, which is not seen every day
    if found.first is not None and found.first != source.start:
        yield f"begins on {found.first}, not on {source.start}"
    if found.last is not None and source.end is not None and found.last != source.end:
        yield f"ends on {found.last}, not on {source.end}"


def _time_stamp() -> str:
    """Where in a three-hour bin the images of SMAP L4 are stamped."""
    for source in (SMAP, SMAP_007):
        day = dt.date.fromisoformat(PROBE_DAY)
        try:
            stamps = asked(_between(source, day, day).aggregate_array(TIME))
        except GeeSmapError:
            continue
        if minutes := sorted({round(stamp % (BIN_HOURS * 3_600_000) / 60_000) for stamp in stamps}):
            where = " and ".join(_STAMPS.get(minute, f"minute {minute}") for minute in minutes)
            return (
                f"{source.id}: {len(stamps)} images on {PROBE_DAY}, stamped at {where} of their three hours"
            )
    return "no image of SMAP L4 could be asked for its time stamp"


def _type(kind: dict[str, Any]) -> str:
    limits = f" {kind['min']:g}..{kind['max']:g}" if "min" in kind and "max" in kind else ""
    return f"{kind['precision']}{limits}"


def _day(millis: float | None) -> dt.date | None:
    return None if millis is None else EPOCH + dt.timedelta(days=int(millis // DAY_MS))
