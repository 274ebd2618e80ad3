"""The predictors on the fine grid: from the scenes of each source to one image a day.

Sources differ in how they look at the ground and agree in everything after it, so each is a row here (what to
observe, which bands, which range) and one chain serves all: quality control and water at the sensor's own
pixels, the mean over every fine pixel, then gap filling and smoothing of the fine pixels' daily series. Xu et
al. 2024 fill before they aggregate; the two agree where masks do, and this way 10 m and 500 m pixels are read
once. Sections 2.2, 3.1 and 3.3 of the paper; what goes beyond its fifteen is prepared where it is wanted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from types import MappingProxyType

import ee
from odc.geo.geobox import GeoBox

from gee import catalog, grids, indices, landcover, observations, quality, statics, timeseries
from gee.catalog import Source
from gee.recipe import Recipe
from gee.timeseries import DATE, Calendar

RADAR = ("vv", "vh")
RAIN_DAYS = (3, 7, 15, 30)  # before the day, over which rain is summed
RAIN = tuple(f"rain_{days}" for days in RAIN_DAYS)
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
        if self.source is catalog.RAIN:
            return (observations.RAINFALL,)
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


def _temperatures(image: ee.Image, recipe: Recipe) -> ee.Image:
    difference = observations.temperature_range(image, recipe.quality)
    return observations.temperature(image, recipe.quality).addBands(difference.select(["dlst"]))


def _rainfall(image: ee.Image, recipe: Recipe) -> ee.Image:
    return observations.rainfall(image)


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
TEMPERATURES = Stream(catalog.LST_RANGE, ("lst", "dlst"), _temperatures)  # in the place of that of LST alone
RAINFALL = Stream(catalog.RAIN, RAIN, _rainfall)
FURTHER_DYNAMIC = ("dlst", *RAIN)
FURTHER_STATIC = ("slope", "twi")


@dataclass(frozen=True)
class Bands:
    """The predictors that are prepared: the paper's, and what a study wants beyond them.

    Attributes:
        further: names of ``FURTHER_DYNAMIC`` and ``FURTHER_STATIC``; of rain all sums or none.
    """

    further: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str]) -> Bands:
        """Those that hold all of ``names`` that can be prepared; other names count for nothing."""
        wanted = set(names)
        rain = set(RAIN) if wanted & {*RAIN} else set()
        return cls(frozenset(rain | (wanted & {*FURTHER_DYNAMIC, *FURTHER_STATIC})))

    @cached_property
    def streams(self) -> Mapping[str, Stream]:
        """The sources that give something each day, by name."""
        streams = [
            TEMPERATURES if "dlst" in self.further and stream.source is catalog.LST else stream
            for stream in STREAMS.values()
        ]
        streams += [RAINFALL] if self.further.issuperset(RAIN) else []
        return MappingProxyType({stream.name: stream for stream in streams})

    @cached_property
    def dynamic(self) -> tuple[str, ...]:
        """What changes from day to day, in the order of images and tables."""
        return (*DYNAMIC, *(name for name in FURTHER_DYNAMIC if name in self.further))

    @cached_property
    def static(self) -> tuple[str, ...]:
        """What does not, in that order."""
        return (*STATIC, *(name for name in FURTHER_STATIC if name in self.further))

    @property
    def still(self) -> tuple[str, ...]:
        """Those static ones whose means over a cell say something."""
        return tuple(band for band in self.static if band not in ("lc", landcover.LAND))

    @property
    def beyond(self) -> Mapping[Source, frozenset[str]]:
        """The further predictors by their source, where it is none of the paper's."""
        made = {catalog.RAIN: self.further & {*RAIN}, catalog.DRAINAGE: self.further & {"twi"}}
        return {source: names for source, names in made.items() if names}

    def sources(self, recipe: Recipe) -> tuple[Source, ...]:
        """The sources of the static ones, soil apart, which may be an asset of the study's own."""
        elevation = catalog.GLO30 if recipe.elevation == "glo30" else catalog.SRTM
        return (elevation, catalog.LAND_COVER, *([catalog.DRAINAGE] if "twi" in self.further else []))


PAPER = Bands()
EVERY = Bands.of([*FURTHER_DYNAMIC, *FURTHER_STATIC])


def margins(stream: Stream, recipe: Recipe) -> tuple[int, int]:
    """Days before and after a period whose images a stream's predictors look at."""
    if stream is BACKSCATTER:
        before, after = recipe.radar_window
        return before, after - 1
    if stream is RAINFALL:
        return max(RAIN_DAYS), -1
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


def observed(
    stream: Stream, calendar: Calendar, recipe: Recipe, grid: GeoBox, year: int
) -> ee.ImageCollection:
    """What a source saw, as means over the fine pixels.

    Args:
        stream: the source.
        calendar: days of observation wanted.
        recipe: the choices.
        grid: fine grid.
        year: of the land cover that tells water, the same for all days of a study: see ``static``.

    Returns:
        Images with ``system:time_start``. Of an optical source one per scene, with its predictors and
        ``date`` (days since 1970-01-01, mean over the pixels seen); of the radar one per day of the
        calendar, with ``vv``, ``vh`` (linear power, or dB as the recipe says) and ``valid``, the share of
        the fine pixel that was seen. Water and rejected pixels count for nothing; masked where nothing is
        left. Of rain one per day, ``rain``, mm/day, bilinear between pixels larger than those of the grid.
    """
    if stream is RAINFALL:
        days = scenes(stream, calendar, recipe, grid)
        return ee.ImageCollection(days.map(lambda day: stream.observe(ee.Image(day), recipe)))
    land = landcover.classes(year).neq(0)
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


def daily(
    seen: Mapping[str, ee.ImageCollection], calendar: Calendar, recipe: Recipe, bands: Bands = PAPER
) -> ee.ImageCollection:
    """The dynamic predictors of each day.

    Args:
        seen: by name of the stream, what ``observed`` gives over the calendar and the stream's margins.
        calendar: the days wanted.
        recipe: the choices.
        bands: the predictors wanted.

    Returns:
        One image per day of ``calendar``, ``system:index`` YYYYMMDD, with ``ndvi, ndwi, nsdsi, evi, lst (°C),
        lai, albedo`` and, where wanted, ``dlst`` (K, day less night), gap filled and smoothed,
        ``<band>_smoothed`` (1 or 0), ``vv, vh`` (power, or dB as the recipe says), ``count``, the days with
        radar in the window, and, where wanted, ``rain_3`` to ``rain_30``, the mm of so many UTC days before
        the day. Masked where nothing could be filled, and where a day's rain is missing.

    Source: Xu et al. 2024 sections 2.2.4 and 3.1; antecedent rain as sums, Funk et al. 2015 (CHIRPS).
    """
    around = calendar.padded(timeseries.SG_HALF_WIDTH, timeseries.SG_HALF_WIDTH)
    parts = []
    optical = [one for one in bands.streams.values() if one not in (BACKSCATTER, RAINFALL)]
    for stream in optical:
        span = stream.source.span_days if recipe.dates == "pixel" else 1
        filled = timeseries.linear_fill(seen[stream.name], around, stream.bands, recipe.gap_days, span)
        parts.append(timeseries.savitzky_golay(filled, calendar, stream.bands, stream.ranges))
    before, after = recipe.radar_window
    parts.append(timeseries.window_mean(seen[BACKSCATTER.name], calendar, RADAR, before, after, VALID))
    if RAINFALL.name in bands.streams:
        rain = seen[RAINFALL.name]
        parts.append(timeseries.sums_before(rain, calendar, observations.RAINFALL, RAIN_DAYS))
    return reduce(lambda left, right: left.combine(right), parts)


def static(recipe: Recipe, year: int, grid: GeoBox, bands: Bands = PAPER) -> ee.Image:
    """What does not change from day to day, as means over the fine pixels.

    Args:
        recipe: the choices.
        year: of the land cover; the nearest one there is.
        grid: fine grid.
        bands: the predictors wanted.

    Returns:
        ``sand, silt, clay`` (%), ``dem`` (m), ``LC_0`` to ``LC_4`` (share of water, forest, grassland,
        cropland and urban land, 0..1), ``lc``, the class with the largest share, ``land`` (1, or 0 where
        there is too much water for a soil moisture) and, where wanted, ``slope`` (degrees) and ``twi``, the
        topographic wetness, both taken on the elevation's own grid; type float. Water is not taken out:
        elevation is there, soil as far as its source maps it.

    Raises:
        SettingError: the recipe names a soil that cannot be had.
    """
    soil = statics.soil(recipe.soil)
    shares = grids.aggregated(landcover.fractions(landcover.classes(year)), grid, catalog.LAND_COVER.native)
    image = (
        grids.aggregated(soil, grid, metres=statics.soil_metres(recipe.soil))
        .addBands(elevation(recipe, grid))
        .addBands(shares)
        .addBands(landcover.majority(shares))
        .addBands(landcover.land(shares, recipe.water, recipe.water_limit))
    )
    heights, metres = statics.elevation(recipe.elevation), statics.elevation_metres(recipe.elevation)
    terrain = [
        of(heights)
        for name, of in (("slope", statics.slope), ("twi", statics.wetness))
        if name in bands.further
    ]
    if terrain:
        image = image.addBands(grids.aggregated(ee.Image.cat(terrain), grid, metres=metres))
    return ee.Image(image.select(list(bands.static)).toFloat())


def elevation(recipe: Recipe, grid: GeoBox) -> ee.Image:
    """Band ``dem``, m, as means over the fine pixels."""
    source = recipe.elevation
    return grids.aggregated(statics.elevation(source), grid, metres=statics.elevation_metres(source))
