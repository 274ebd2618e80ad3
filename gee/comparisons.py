"""What maps of soil moisture are held against: SMAP itself, rain, a user's products, the simulated truth.

Earth Engine holds CHIRPS; SMCI1.0 and SMAP's downscaled NSIDC-0779 it does not, so both are read from
collections of the user's own, in the units their producers deliver; so is any other collection that a user
names, and one that gee-smap published. Whatever the source, what comes out is one image a day and a table of
its values at places, so that all products can be compared on identical pairs.
Sources: Funk et al. 2015 (CHIRPS), Shangguan et al. 2022 (SMCI1.0), NSIDC-0779 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import ee

from gee import timeseries
from gee.catalog import RAIN, TRUTH, Source, scaled
from gee.target import MOISTURE, SmapBin, smap_series
from gee.timeseries import Calendar

RAINFALL = "rain"
POINT_METRES = 10  # of a sample: below every product's pixel, so that it is the pixel under the place


@dataclass(frozen=True)
class Product:
    """A soil moisture product as a collection of images.

    Attributes:
        name: what the project calls it.
        title: for people.
        bands: that may hold a day's value; where the first is masked the next one counts.
        factor: of the stored numbers to m³/m³.
        offset: added to that, m³/m³.
        above: stored numbers up to this one mean that there is none; None where only the mask tells.
        high: largest stored number that means something; None is any.
        depth_cm: of the soil it speaks for; None where it is not known.
    """

    name: str
    title: str
    bands: tuple[str, ...]
    factor: float = 1.0
    offset: float = 0.0
    above: float | None = None
    high: float | None = None
    depth_cm: int | None = None


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {
        product.name: product
        for product in (
            Product("smci", "SMCI1.0", ("SMCI",), 0.001, above=-1, high=1_000, depth_cm=10),
            Product("smap_dsm", "NSIDC-0779", ("AM", "PM"), above=0, high=1, depth_cm=5),
        )
    }
)
"""Bands carry the names that the producers' variables have; a GeoTIFF's are renamed when it is uploaded."""


def rain(calendar: Calendar) -> ee.ImageCollection:
    """The precipitation of each day.

    Args:
        calendar: days wanted.

    Returns:
        One image a day, ``system:index`` YYYYMMDD, with band ``rain``, mm/day, on CHIRPS's 0.05 degree grid;
        masked over the sea, poleward of 50 degrees and on days that CHIRPS does not have.
    """

    def of_scene(scene: ee.Image) -> ee.Image:
        return scaled(scene, RAIN, [RAIN.bands[0].name]).rename(RAINFALL)

    return timeseries.daily(RAIN.collection().map(of_scene), calendar, [RAINFALL])


def moisture(product: Product, asset: str, calendar: Calendar) -> ee.ImageCollection:
    """A collection of soil moisture, day by day.

    Args:
        product: of ``PRODUCTS``, or of the user.
        asset: id of the collection; its images have ``system:time_start`` within their day, UTC.
        calendar: days wanted.

    Returns:
        One image a day, ``system:index`` YYYYMMDD, with band ``sm``, m³/m³: the mean of the day's images.
        Masked where no band holds a number of the product's range, and on days without an image.
    """

    def of_scene(scene: ee.Image) -> ee.Image:
        stored = scene.select(list(product.bands))
        if product.above is not None:
            stored = stored.updateMask(stored.gt(product.above))
        if product.high is not None:
            stored = stored.updateMask(stored.lte(product.high))
        value = stored.reduce(ee.Reducer.firstNonNull()).multiply(product.factor).add(product.offset)
        return ee.Image(value.rename(MOISTURE).copyProperties(scene, ["system:time_start"]))

    nothing = ee.Image.constant(0).toDouble().rename(MOISTURE).updateMask(0)
    scenes = ee.ImageCollection(asset).map(of_scene)

    def of_day(millis: ee.Number) -> ee.Image:
        day = ee.Date(millis)
        found = scenes.filterDate(day, day.advance(1, "day")).merge(ee.ImageCollection([nothing]))
        mean = found.mean().rename(MOISTURE)
        return ee.Image(mean.set({"system:index": day.format("YYYYMMdd"), "system:time_start": day.millis()}))

    return ee.ImageCollection.fromImages(ee.List(calendar.millis).map(of_day))


def published(asset: str, calendar: Calendar) -> ee.ImageCollection:
    """The maps of a collection that gee-smap published.

    Args:
        asset: id of the collection.
        calendar: days wanted.

    Returns:
        One image for each of these days that is there, its band ``sm`` as it was published, but with
        ``system:time_start`` 00:00 UTC of the day that it stands for: its bin of SMAP may begin on the day
        before.
    """

    def of_image(image: ee.Image) -> ee.Image:
        start = ee.Date(image.get("date")).millis()
        return ee.Image(image.select([MOISTURE]).set("system:time_start", start))

    named = ee.Filter.inList("date", [day.isoformat() for day in calendar.days])
    return ee.ImageCollection(ee.ImageCollection(asset).filter(named).map(of_image))


def truth(calendar: Calendar) -> ee.ImageCollection:
    """The soil moisture that the local engine's simulated sources were made from; Google's has no such thing.

    Args:
        calendar: days wanted.

    Returns:
        One image a day with band ``sm``, m³/m³, the daily mean of the upper 5 cm on the 1 km EASE-Grid 2.0;
        masked on water.
    """
    return timeseries.daily(TRUTH.collection(), calendar, [MOISTURE])


def smap(
    calendar: Calendar, source: Source, window: SmapBin, *, bilinear: bool = False
) -> ee.ImageCollection:
    """SMAP L4 as a map of finer pixels shows it: what downscaling has to be better than.

    Args:
        calendar: days wanted.
        source: version of SMAP L4.
        window: the bin that stands for a day.
        bilinear: pass smoothly from one SMAP pixel to the next instead of taking the one underneath.

    Returns:
        One image a day with band ``sm``, m³/m³; see ``gee.target.smap_series``.
    """
    days = smap_series(calendar, source, window)
    return ee.ImageCollection(days.map(lambda day: ee.Image(day).resample("bilinear"))) if bilinear else days


def at_places(
    images: ee.ImageCollection,
    places: ee.FeatureCollection,
    bands: Sequence[str],
    keep: Sequence[str],
    metres: float | None = POINT_METRES,
) -> ee.FeatureCollection:
    """What images hold at places: the pixel under each of them.

    Args:
        images: one a day.
        places: points.
        bands: of the images.
        keep: properties of the places.
        metres: side of the pixels that the images are looked at in, which the mean of several images or a
            mosaic needs, as it has none of its own; None takes each image's own.

    Returns:
        Features without geometry, one for each day and place: those properties, ``date`` (YYYY-MM-DD) and
        the bands' values, absent where masked.
    """

    def of_day(image: ee.Image) -> ee.FeatureCollection:
        values = ee.Image(image).select(list(bands))
        reducer = ee.Reducer.first().forEachBand(values)
        found = values.reduceRegions(collection=places, reducer=reducer, scale=metres)
        day = ee.Image(image).date().format("YYYY-MM-dd")
        return ee.FeatureCollection(found.map(lambda row: row.set("date", day)))

    rows = ee.FeatureCollection(images.map(of_day)).flatten()
    return ee.FeatureCollection(rows.select([*keep, "date", *bands], None, False))
