"""The target: SMAP L4's surface soil moisture of a day, and whether the satellite was looking.

"06:00 to 09:00" names two different bins, one in UTC and one in China, and images may be stamped at a bin's
start or middle; so a bin is a value here and images are found by the half-open interval, never by an hour.
Sources: Xu et al. 2024 section 2.2.2, the SMAP L4 user guide (NSIDC, SPL4SMGP), its Earth Engine page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import ee

from gee.catalog import SMAP, SMAP_007, Source, scaled
from gee.timeseries import Calendar

MOISTURE = "sm"
OUTAGE = "smap_outage"
_BAND = "sm_surface"

OUTAGES = (
    (dt.date(2019, 6, 19), dt.date(2019, 7, 23)),
    (dt.date(2022, 8, 6), dt.date(2022, 9, 20)),
)
"""First and last day without radiometer, when SMAP L4 is a model alone (its Earth Engine page)."""


@dataclass(frozen=True)
class SmapBin:
    """The three hours of SMAP L4 that stand for a day.

    Attributes:
        day_offset: days from the day to the one on which the bin starts.
        start_hour: UTC.
        label: for people.
        hours: length; the product's images are means of three.
    """

    day_offset: int
    start_hour: int
    label: str
    hours: int = 3

    def start(self, day: dt.date) -> dt.datetime:
        """When a day's bin begins, UTC."""
        midnight = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        return midnight + dt.timedelta(days=self.day_offset, hours=self.start_hour)


MORNING = SmapBin(-1, 21, "21-24 UTC of the day before, 5-8 in Beijing")
PAPER_UTC = SmapBin(0, 6, "6-9 UTC, 14-17 in Beijing")
BINS: Mapping[str, SmapBin] = MappingProxyType({"morning": MORNING, "utc-06-09": PAPER_UTC})
VERSIONS: Mapping[str, Source] = MappingProxyType({"008": SMAP, "007": SMAP_007})
"""By the words of ``gee.recipe``."""


def in_outage(day: dt.date) -> bool:
    """Whether the radiometer was off on a day.

    The day itself counts, not its bin: with `MORNING` the first day flagged still has an observed bin, so the
    flag errs to the safe side.
    """
    return any(first <= day <= last for first, last in OUTAGES)


def outage(day: ee.Date) -> ee.Number:
    """`in_outage` on the server, 1 or 0."""
    millis = ee.Date(day).millis()
    flags = [
        millis.gte(ee.Date(first.isoformat()).millis()).And(
            millis.lt(ee.Date((last + dt.timedelta(1)).isoformat()).millis())
        )
        for first, last in OUTAGES
    ]
    return ee.Number(ee.List(flags).reduce(ee.Reducer.max()))


def smap_images(day: ee.Date, source: Source, window: SmapBin) -> ee.ImageCollection:
    """The images of a day's bin: exactly one where the archive is whole."""
    start = ee.Date(day).advance(window.day_offset * 24 + window.start_hour, "hour")
    return ee.ImageCollection(source.collection().filterDate(start, start.advance(window.hours, "hour")))


def smap_image(day: ee.Date, source: Source, window: SmapBin = MORNING) -> ee.Image:
    """Surface soil moisture of a day.

    Args:
        day: 00:00 UTC of it.
        source: version of SMAP L4.
        window: the bin that stands for it.

    Returns:
        Band ``sm``, m³/m³, on the asset's own grid and with its properties; masked outside the valid range,
        and everywhere when the bin has no image.
    """
    nothing = ee.Image.constant(0).toFloat().rename(_BAND).updateMask(0)
    found = smap_images(day, source, window).select([_BAND]).merge(ee.ImageCollection([nothing]))
    return ee.Image(scaled(ee.Image(found.first()), source, [_BAND]).rename(MOISTURE))


def smap_counts(calendar: Calendar, source: Source, window: SmapBin = MORNING) -> ee.List:
    """How many images each day's bin has, in the calendar's order: 1 where the archive is whole."""
    return ee.List(calendar.millis).map(lambda millis: smap_images(ee.Date(millis), source, window).size())


def smap_series(calendar: Calendar, source: Source, window: SmapBin = MORNING) -> ee.ImageCollection:
    """Surface soil moisture of each day.

    Args:
        calendar: the days wanted.
        source: version of SMAP L4.
        window: the bin that stands for a day.

    Returns:
        One image a day as of `smap_image`, ``system:index`` YYYYMMDD, ``system:time_start`` 00:00 UTC of the
        day whatever the bin, and ``smap_outage`` (1 or 0).
    """

    def of(millis: ee.Number) -> ee.Image:
        day = ee.Date(millis)
        image = smap_image(day, source, window)
        return ee.Image(
            image.set(
                {
                    "system:index": day.format("YYYYMMdd"),
                    "system:time_start": day.millis(),
                    OUTAGE: outage(day),
                }
            )
        )

    return ee.ImageCollection.fromImages(ee.List(calendar.millis).map(of))
