"""The fifteen predictors on the fine grid: from the scenes of each source to one image a day.

Sources differ in how they look at the ground and agree in everything after it, so each is a row here (what to
observe, which bands, which range) and one chain serves all: quality control and water at the sensor's own
pixels, the mean over every fine pixel, then gap filling and smoothing of the fine pixels' daily series. Xu et
al. 2024 fill before they aggregate; the two agree where masks do, and this way 10 m and 500 m pixels are read
once. Sections 2.2, 3.1 and 3.3 of the paper.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType

import ee
from odc.geo.geobox import GeoBox

from gee import catalog, grids, indices, landcover, observations, quality, statics, timeseries
from gee.catalog import Source
from gee.recipe import Recipe
from gee.timeseries import DATE, Calendar

RADAR = ("vv", "vh")
STATIC = ("sand", "silt", "clay", "dem", *landcover.FRACTIONS, "lc", landcover.LAND)
VALID = "valid"  # share of a fine pixel that was seen by the radar
DATE_STEPS = 1024  # to a day, of a mean date
RADAR_STAGE = 100.0  # metres between 10 m and 1 km: one hop over a province breaks Earth Engine's limits


@dataclass(frozen=True)
class Stream:
    """A source on its way to daily predictors.

    Attributes:
        source: of the catalogue.
        bands: the predictors it gives.
        observe: one scene's masked physical values at native resolution, with a band ``date``.
        ranges: lowest and highest physical value, for what smoothing overshoots.
    """

    source: Source
    bands: tuple[str, ...]
    observe: Callable[[ee.Image, Recipe], ee.Image]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of the source."""
        return self.source.name

    @property
    def composite(self) -> bool:
        """Whether an image gathers several days, so that a pixel has a date of its own."""
        return self.source.cadence_days > 1

    @property
    def kept(self) -> tuple[str, ...]:
        """What is known of a fine pixel: the predictors, and what filling or averaging needs beside them."""
        if self.source is catalog.SENTINEL1:
            return (*self.bands, VALID)
        return (*self.bands, DATE) if self.composite else self.bands

    def image_days(self, calendar: Calendar) -> tuple[dt.date, ...]:
        """The days on which images start that were observed within a calendar.

        Composites of n days start on day 1, 1 + n, ... of every year (MODIS land products).
        """
        if not self.composite:
            return calendar.days
        reach = calendar.padded(self.source.cadence_days - 1, 0)
        return tuple(day for day in reach.days if day.timetuple().tm_yday % self.source.cadence_days == 1)


def _reflectance(image: ee.Image, recipe: Recipe) -> ee.Image:
    return observations.reflectance(image, recipe.quality, recipe.dates, recipe.indices == "guarded")


def _leaf_area(image: ee.Image, recipe: Recipe) -> ee.Image:
    return observations.leaf_area(image, recipe.quality, recipe.dates)


def _temperature(image: ee.Image, recipe: Recipe) -> ee.Image:
    return observations.temperature(image, recipe.quality)


def _albedo(image: ee.Image, recipe: Recipe) -> ee.Image:
    return observations.albedo(image, recipe.quality, recipe.inversions)


def _backscatter(image: ee.Image, recipe: Recipe) -> ee.Image:
    seen = observations.backscatter(image)
    return observations.decibels(seen) if recipe.radar_mean == "decibels" else seen


OPTICAL: Mapping[str, Stream] = MappingProxyType(
    {
        stream.name: stream
        for stream in (
            Stream(catalog.REFLECTANCE, ("ndvi", "ndwi", "nsdsi", "evi"), _reflectance, indices.RANGES),
            Stream(catalog.LST, ("lst",), _temperature),
            Stream(catalog.LAI, ("lai",), _leaf_area, {"lai": (0, 10)}),
            Stream(catalog.ALBEDO, ("albedo",), _albedo, {"albedo": (0, 1)}),
        )
    }
)
BACKSCATTER = Stream(catalog.SENTINEL1, RADAR, _backscatter)
STREAMS: Mapping[str, Stream] = MappingProxyType({**OPTICAL, BACKSCATTER.name: BACKSCATTER})
DYNAMIC = tuple(band for stream in STREAMS.values() for band in stream.bands)


def margins(stream: Stream, recipe: Recipe) -> tuple[int, int]:
    """Days before and after a period whose images a stream's predictors look at."""
    if stream is BACKSCATTER:
        before, after = recipe.radar_window
        return before, after - 1
    reach = recipe.gap_days + timeseries.SG_HALF_WIDTH
    return reach, reach


def scenes(stream: Stream, days: Calendar, recipe: Recipe, grid: GeoBox) -> ee.ImageCollection:
    """The images of a source that start on some days; of the radar the wanted passes over the grid."""
    found = stream.source.collection().filterDate(
        days.start.isoformat(), (days.end + dt.timedelta(days=1)).isoformat()
    )
    if stream is not BACKSCATTER:
        return found
    return quality.sentinel1_scenes(found, recipe.orbit).filterBounds(grids.rectangle(grid))


def observed(stream: Stream, calendar: Calendar, recipe: Recipe, grid: GeoBox) -> ee.ImageCollection:
    """What a source saw, as means over the fine pixels.

    Args:
        stream: the source.
        calendar: days of observation wanted.
        recipe: the choices.
        grid: fine grid.

    Returns:
        Images with ``system:time_start``. Of an optical source one per scene, with its predictors and
        ``date`` (days since 1970-01-01, mean over the pixels seen); of the radar one per day of the
        calendar, with ``vv``, ``vh`` (linear power, or dB as the recipe says) and ``valid``, the share of
        the fine pixel that was seen. Water and rejected pixels count for nothing; masked where nothing is
        left.
    """
    land = landcover.classes(calendar.start.year).neq(0)
    images = scenes(stream, Calendar(stream.image_days(calendar)[0], calendar.end), recipe, grid)
    names = list(stream.bands)

    def seen_at_native(scene: ee.Image) -> ee.Image:
        return stream.observe(scene, recipe).updateMask(land)

    if stream is not BACKSCATTER:
        native = stream.source.native
        pixels_dated = stream.composite and recipe.dates == "pixel"

        def averaged(scene: ee.Image) -> ee.Image:
            seen = seen_at_native(scene)
            values, time = seen.select(names), scene.get("system:time_start")
            if not pixels_dated:
                return timeseries.with_date(
                    ee.Image(grids.aggregated(values, grid, native).set("system:time_start", time))
                )
            date = seen.select(DATE).updateMask(values.mask().reduce(ee.Reducer.max()))
            mean = grids.aggregated(values.addBands(date), grid, native)
            # Means of whole days come out a rounding error beside them, and gaps are counted in days.
            day = mean.select(DATE).multiply(DATE_STEPS).round().divide(DATE_STEPS)
            return ee.Image(mean.addBands(day, overwrite=True).set("system:time_start", time))

        return ee.ImageCollection(images.map(averaged))

    def radar(scene: ee.Image) -> ee.Image:
        seen = seen_at_native(scene).select(names)
        stages = (RADAR_STAGE,)
        mean = grids.aggregated(seen, grid, stages=stages, metres=catalog.SENTINEL1.metres)
        share = grids.valid_fraction(seen.select("vv"), grid, stages=stages, metres=catalog.SENTINEL1.metres)
        return ee.Image(
            mean.addBands(share.rename(VALID)).set("system:time_start", scene.get("system:time_start"))
        )

    kept = list(stream.kept)
    return timeseries.window_mean(images.map(radar), calendar, kept, 0, 1, VALID).select(kept)


def daily(seen: Mapping[str, ee.ImageCollection], calendar: Calendar, recipe: Recipe) -> ee.ImageCollection:
    """The dynamic predictors of each day.

    Args:
        seen: by name of the stream, what ``observed`` gives over the calendar and the stream's margins.
        calendar: the days wanted.
        recipe: the choices.

    Returns:
        One image per day of ``calendar``, ``system:index`` YYYYMMDD, with ``ndvi, ndwi, nsdsi, evi, lst (°C),
        lai, albedo``, gap filled and smoothed, ``<band>_smoothed`` (1 or 0), ``vv, vh`` (power, or dB as the
        recipe says) and ``count``, the days with radar in the window. Masked where nothing could be filled.

    Source: Xu et al. 2024 sections 2.2.4 and 3.1.
    """
    around = calendar.padded(timeseries.SG_HALF_WIDTH, timeseries.SG_HALF_WIDTH)
    parts = []
    for stream in OPTICAL.values():
        span = stream.source.span_days if recipe.dates == "pixel" else 1
        filled = timeseries.linear_fill(seen[stream.name], around, stream.bands, recipe.gap_days, span)
        parts.append(timeseries.savitzky_golay(filled, calendar, stream.bands, stream.ranges))
    before, after = recipe.radar_window
    parts.append(timeseries.window_mean(seen[BACKSCATTER.name], calendar, RADAR, before, after, VALID))
    return reduce(lambda left, right: left.combine(right), parts)


def static(recipe: Recipe, year: int, grid: GeoBox) -> ee.Image:
    """What does not change from day to day, as means over the fine pixels.

    Args:
        recipe: the choices.
        year: of the land cover; the nearest one there is.
        grid: fine grid.

    Returns:
        ``sand, silt, clay`` (%), ``dem`` (m), ``LC_0`` to ``LC_4`` (share of water, forest, grassland,
        cropland and urban land, 0..1), ``lc``, the class with the largest share, and ``land`` (1, or 0 where
        there is too much water for a soil moisture); type float. Water is not taken out: elevation is there,
        soil as far as its source maps it.

    Raises:
        SettingError: the recipe names a soil that cannot be had.
    """
    soil = statics.soil(recipe.soil)
    shares = grids.aggregated(landcover.fractions(landcover.classes(year)), grid, catalog.LAND_COVER.native)
    return (
        grids.aggregated(soil, grid, metres=statics.soil_metres(recipe.soil))
        .addBands(elevation(recipe, grid))
        .addBands(shares)
        .addBands(landcover.majority(shares))
        .addBands(landcover.land(shares, recipe.water, recipe.water_limit))
        .select(list(STATIC))
        .toFloat()
    )


def elevation(recipe: Recipe, grid: GeoBox) -> ee.Image:
    """Band ``dem``, m, as means over the fine pixels."""
    source = recipe.elevation
    return grids.aggregated(statics.elevation(source), grid, metres=statics.elevation_metres(source))
