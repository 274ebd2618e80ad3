"""What an engine says of the sources, beside what the catalogue here says.

Much of ``gee.catalog`` was read in documents, and assets move: projections, band types, first and last dates
and SMAP's time stamps are asked of the engine itself, so that a user sees what differs before a study relies
on it. A difference is shown, never repaired in silence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ee
import numpy as np
from googleapiclient.errors import HttpError

from gee.catalog import SMAP, SMAP_007, SOURCES, Source
from gee.timeseries import DAY_MS, EPOCH

LAND = (117.27, 31.86)  # Hefei: where scenes with a footprint are looked up
ASKED_AT_ONCE = 4  # requests; far below what a project may have
BIN_HOURS = 3  # of SMAP L4
PROBE_DAY = "2019-04-10"  # whose SMAP bins are looked at


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
        differences: from the catalogue, a sentence each.
        error: why it could not be asked; empty where it could.
    """

    source: Source
    crs: str = ""
    transform: tuple[float, ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    first: dt.date | None = None
    last: dt.date | None = None
    differences: tuple[str, ...] = ()
    error: str = ""

    def row(self) -> dict[str, str]:
        """For people."""
        kinds = list(dict.fromkeys(kind for _, kind in self.types))
        return {
            "source": self.source.name,
            "id": self.source.id,
            "crs": self.crs,
            "pixel": f"{abs(self.transform[0]):.7g}" if self.transform else "",
            "types": ", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else ""),
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
            "differences": list(self.differences), "error": self.error,
        }  # fmt: skip


def examine(report: Callable[[str, float], None]) -> tuple[list[Finding], str]:
    """Ask the connected engine about every source.

    Args:
        report: told what is asked and the share of the whole that is done.

    Returns:
        A finding per source, and where in its three hours SMAP L4's time stamp lies, in words.
    """
    findings = []
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for number, finding in enumerate(pool.map(_asked, SOURCES.values())):
            findings.append(finding)
            report(finding.source.id, (number + 1) / (len(SOURCES) + 1))
    stamp = _time_stamp()
    report("SMAP time stamps", 1.0)
    return findings, stamp


def _asked(source: Source) -> Finding:
    try:
        if source.kind == "table":
            return _of_table(source)
        return _of_raster(source)
    except (ee.EEException, HttpError, OSError) as error:
        return Finding(source, error=str(error))


def _of_table(source: Source) -> Finding:
    names = source.table().first().propertyNames().getInfo() or []
    missing = [band.name for band in source.bands if band.name not in names]
    return Finding(source, differences=tuple(f"has no property {name}" for name in missing))


def _of_raster(source: Source) -> Finding:
    images = source.collection()
    if source.kind == "collection" and source.crs is None:
        images = images.filterBounds(ee.Geometry.Point(*LAND))
    example = ee.Image(images.first())
    newest = ee.Image(images.limit(1, "system:time_start", False).first())
    names = [band.name for band in source.bands]
    told: dict[str, Any] = (
        ee.Dictionary(
            {
                "projection": example.select(names[0]).projection(),
                "types": example.bandTypes(),
                "first": example.get("system:time_start"),
                "last": newest.get("system:time_start"),
            }
        ).getInfo()
        or {}
    )
    crs, transform = told["projection"]["crs"], tuple(told["projection"]["transform"])
    types = tuple((name, _type(kind)) for name, kind in told["types"].items())
    first, last = (_day(told[key]) if source.dated else None for key in ("first", "last"))
    found = Finding(source, crs, transform, types, first, last)
    return Finding(source, crs, transform, types, first, last, tuple(_differences(found)))


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
    if found.first is not None and found.first > source.start:
        yield f"begins on {found.first}, not on {source.start}"
    if found.last is not None and source.end is not None and found.last != source.end:
        yield f"ends on {found.last}, not on {source.end}"


def _time_stamp() -> str:
    """Where in a three-hour bin the images of SMAP L4 are stamped."""
    for source in (SMAP, SMAP_007):
        day = ee.Date(PROBE_DAY)
        images = source.collection().filterDate(day, day.advance(1, "day"))
        try:
            stamps = images.aggregate_array("system:time_start").getInfo()
        except (ee.EEException, HttpError, OSError):
            continue
        minutes = sorted({round(stamp % (BIN_HOURS * 3_600_000) / 60_000) for stamp in stamps})
        if minutes:
            where = {0: "the start", 90: "the middle"}.get(minutes[0], f"minute {minutes[0]}")
            return (
                f"{source.id}: {len(stamps)} images on {PROBE_DAY}, stamped at {where} of their three hours"
            )
    return "no image of SMAP L4 could be asked for its time stamp"


def _type(kind: dict[str, Any]) -> str:
    limits = f" {kind['min']:g}..{kind['max']:g}" if "min" in kind and "max" in kind else ""
    return f"{kind['precision']}{limits}"


def _day(millis: float | None) -> dt.date | None:
    return None if millis is None else EPOCH + dt.timedelta(days=int(millis // DAY_MS))
