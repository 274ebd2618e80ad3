"""Products that are collections of Earth Engine: an upload of the user's, or one of the catalogue.

Values are asked for at the stations only and in requests that stay below Earth Engine's limits, as pages of a
computed table, so that years of days at hundreds of stations need neither a task nor a bucket. Sources:
guides/usage (5,000 elements a query), REST projects.table/computeFeatures (pages of 1,000).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import ee
import numpy as np
import pandas as pd

from gee import comparisons, limits
from gee.target import MOISTURE
from gee.timeseries import Calendar
from pipeline.cloud.asking import answered, asked
from pipeline.errors import ConfigError, DataError
from pipeline.products.product import Days, Found, Values
from pipeline.progress import Report

REQUEST_STATIONS = 500  # some 60 bytes of an expression each
AT_ONCE = 4  # requests, far below the 40 that a project may have
Images = Callable[[Calendar], ee.ImageCollection]


def at_places(
    images: Images,
    band: str,
    places: pd.DataFrame,
    days: Days,
    report: Report,
    metres: float | None = comparisons.POINT_METRES,
) -> Values:
    """One band of daily images at places.

    Args:
        images: gives the images of a calendar, at most one a day.
        band: of them.
        places: ``lon``, ``lat`` (degrees), a row each.
        days: wanted, in order.
        report: told about progress.
        metres: as of ``gee.comparisons.at_places``.

    Returns:
        (days, places), of the pixel under each place; NaN where it is masked or there is no image.

    Raises:
        ConfigError: an asset is missing or not shared.
        EngineError: the engine refuses or does not answer.
    """
    found = np.full((len(days), len(places)), np.nan)
    row = {day.isoformat(): number for number, day in enumerate(days)}
    lon, lat = places["lon"].to_numpy(np.float64), places["lat"].to_numpy(np.float64)

    def asked_for(stations: slice, part: slice) -> None:
        def table() -> ee.FeatureCollection:
            numbers = range(len(places))[stations]
            spots = [
                ee.Feature(ee.Geometry.Point([float(lon[one]), float(lat[one])]), {"place": one})
                for one in numbers
            ]
            calendar = Calendar(days[part][0], days[part][-1])
            return comparisons.at_places(
                images(calendar), ee.FeatureCollection(spots), [band], ["place"], metres
            )

        for told in _pages(answered(table)):
            if told["date"] in row and told.get(band) is not None:
                found[row[told["date"]], int(told["place"])] = told[band]

    parts = list(_parts(len(places), len(days)))
    with ThreadPoolExecutor(AT_ONCE) as executor:
        jobs = [executor.submit(asked_for, *part) for part in parts]
        try:
            for number, job in enumerate(as_completed(jobs), start=1):
                job.result()
                report(f"at stations: {number} of {len(parts)} requests", number / len(parts))
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    return found


def _parts(stations: int, days: int) -> Iterator[tuple[slice, slice]]:
    """Stations and days of each request."""
    wide = min(stations, REQUEST_STATIONS)
    long = max(1, limits.MAX_ELEMENTS // max(1, wide))
    for first in range(0, stations, wide or 1):
        for day in range(0, days, long):
            yield slice(first, min(first + wide, stations)), slice(day, min(day + long, days))


def _pages(table: ee.FeatureCollection) -> Iterator[dict[str, Any]]:
    """The properties of each feature of a computed table."""
    request: dict[str, Any] = {"expression": table, "pageSize": limits.FEATURES_PER_PAGE}
    while True:
        page = answered(ee.data.computeFeatures, request)
        for feature in page.get("features", []):
            yield feature["properties"]
        if not (token := page.get("nextPageToken")):
            return
        request["pageToken"] = token


@dataclass(frozen=True)
class AssetProduct:
    """A product that is a collection of images.

    Attributes:
        name: its column.
        title: what people call it.
        asset: id of the collection.
        bands: that hold soil moisture, where the first is masked the next; empty takes the only one there is.
        factor: of the stored numbers to m³/m³.
        offset: added to that.
        known: of ``gee.comparisons.PRODUCTS``, whose bands, factor and range then hold; None is the user's.
    """

    name: str
    title: str
    asset: str
    bands: tuple[str, ...] = ()
    factor: float = 1.0
    offset: float = 0.0
    known: comparisons.Product | None = None

    @property
    def source(self) -> str:
        """The asset."""
        return self.asset

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """Its values at places, the mean of a day's images; see ``Product.at``.

        Raises:
            ConfigError: the asset is missing, not shared or no collection, or it has no such band.
            DataError: it has no image in the period.
            EngineError: the engine refuses or does not answer.
        """
        product = self.known or self._described(days)
        if self.known is not None:
            self._there(days)
        values = at_places(
            lambda calendar: comparisons.moisture(product, self.asset, calendar),
            MOISTURE, places, days, report,
        )  # fmt: skip
        return Found(values)

    def _described(self, days: Days) -> comparisons.Product:
        there = self._there(days)
        bands = self.bands or (tuple(there) if len(there) == 1 else ())
        if not bands and MOISTURE in there:
            bands = (MOISTURE,)  # as gee-smap publishes, with further bands behind it
        if not bands or not set(bands) <= set(there):
            wrong = f"no band {', '.join(bands)}" if bands else f"{len(there)} bands"
            raise ConfigError(
                f"{self.asset} has {wrong}: name one of {', '.join(there)} behind it, such as "
                f"{self.name}={self.asset}#{there[0]}"
            )
        return comparisons.Product(self.name, self.title, bands, self.factor, self.offset)

    def _there(self, days: Days) -> list[str]:
        """Bands of the first image in the period."""
        after = days[-1] + dt.timedelta(days=1)

        def bands() -> ee.List:
            part = ee.ImageCollection(self.asset).filterDate(days[0].isoformat(), after.isoformat())
            return ee.List(part.limit(1).toList(1).map(lambda image: ee.Image(image).bandNames()))

        found: list[list[str]] = asked(answered(bands))
        if not found:
            raise DataError(
                f"{self.asset} has no image from {days[0]} to {days[-1]}{self._period()}: compare maps of "
                "its period"
            )
        return found[0]

    def _period(self) -> str:
        """When the collection's images are, in words; empty where it has none."""

        def ends() -> ee.List:
            whole = ee.ImageCollection(self.asset)
            return ee.List(
                [
                    whole.sort("system:time_start", growing).limit(1).toList(1).map(_day)
                    for growing in (True, False)
                ]
            )

        [first, last] = asked(answered(ends))
        return f"; its images are of {first[0]} to {last[0]}" if first else ""


def _day(image: Any) -> ee.String:
    return ee.String(ee.Image(image).date().format("YYYY-MM-dd"))
