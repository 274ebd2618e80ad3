"""From a study to its plan: what has to be asked of the engine first, and what the plan amounts to.

What a study says by itself is checked before anything is asked. A few small requests (the region, the
assets named, an image of each source, SMAP's images day by day) then settle all that a plan rests on, so that
a region on the sea, an asset that is not shared or a hole in the archive is told before the first task. The
plan itself is built in ``gee.exports`` and touches nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ee
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Geod
from shapely.geometry import box

from gee import (
    availability,
    catalog,
    cells,
    comparisons,
    exports,
    grids,
    partitions,
    predictors,
    regions,
    statics,
    target,
)
from gee.errors import SettingError
from gee.exports import COMFORTABLE_BYTES, EECU_SECONDS_PER_MEGAPIXEL, Plan, Preparation
from gee.partitions import Partitions
from gee.predictors import Bands, Stream
from gee.recipe import ASSET, PAPER, RECOMMENDED, Recipe
from gee.regions import Bounds, Region
from gee.timeseries import Calendar
from pipeline import study as studies
from pipeline.cloud.asking import answered, asked
from pipeline.errors import ConfigError, DataError, of_gee
from pipeline.progress import Report
from pipeline.study import Study
from pipeline.work.manifest import Manifest, Task

# An archive that stops earlier before the last day read has a hole. CHIRPS grows by whole months, each in the
# third week of the next, so that it may be seven weeks behind.
NEWEST_WITHIN = dt.timedelta(days=60)
RADAR_REPEAT_DAYS = 12  # Sentinel-1's cycle: a place with a newer pass than that misses none


@dataclass(frozen=True)
class Planned:
    """A plan and what it was made of.

    Attributes:
        study: as read.
        plan: the tasks.
        area_km2: of the region.
        places: names of the features that make up the region.
        provisional_from: the first day that may still change; see ``pipeline.work.manifest.Manifest``.
    """

    study: Study
    plan: Plan
    area_km2: float
    places: tuple[str, ...]
    provisional_from: dt.date | None

    def title(self) -> str:
        """The plan in a line."""
        prepared = self.plan.preparation
        height, width = prepared.grid.shape
        total = sum(product.output_bytes for product in self.plan.products)
        hours = sum(product.eecu_hours for product in self.plan.products)
        return (
            f"{self.study.name}, preset {self.study.preset}: {len(self.plan.products)} tasks for "
            f"{len(prepared.calendar)} days, {width} x {height} pixels of 1 km, {len(prepared.cells):,} "
            f"cells of 9 km in its bounds, {self.area_km2:,.0f} km² ({', '.join(self.places[:3])}); "
            f"{_bytes(total)} before compression, some {hours:,.1f} EECU h"
        )

    def rows(self) -> list[dict[str, str]]:
        """The tasks as a table for people."""
        return [
            {
                "task": product.description,
                "kind": product.kind,
                "columns": f"{len(product.columns):,}",
                "request": _bytes(len(product.request)),
                "output": _bytes(product.output_bytes),
                "source Mpx": f"{product.megapixels:,.0f}",
                "EECU h": f"{product.eecu_hours:,.2f}",
                "after": f"{len(product.needs)} checkpoints" if product.needs else "",
            }
            for product in self.plan.products
        ]

    def manifest(self) -> Manifest:
        """The plan without its expressions, as later stages and machines read it."""
        prepared = self.plan.preparation
        height, width = prepared.grid.shape
        return Manifest(
            study=self.study.name,
            study_hash=self.study.hash,
            preset=self.study.preset,
            simulated=prepared.simulated,
            start=prepared.calendar.start,
            end=prepared.calendar.end,
            places=self.places,
            area_km2=self.area_km2,
            crs=str(prepared.grid.crs),
            width=width,
            height=height,
            crs_transform=tuple(grids.crs_transform(prepared.grid)),
            cells=len(prepared.cells),
            partitions=prepared.partitions.names,
            partition_rule=prepared.partitions.rule,
            sources=_source_ids(prepared.recipe, prepared.bands),
            checkpoints=prepared.checkpoints,
            provisional_from=self.provisional_from,
            eecu_seconds_per_megapixel=EECU_SECONDS_PER_MEGAPIXEL,
            tasks=tuple(map(Task.of, self.plan.products)),
        )

    def notes(self) -> Iterator[str]:
        """What a user should know before submitting."""
        large = [product for product in self.plan.products if len(product.request) > COMFORTABLE_BYTES]
        if large:
            yield f"{len(large)} requests are larger than {_bytes(COMFORTABLE_BYTES)}; up to 10 MB are taken."
        yield (
            "Earth Engine compute units (EECU) are an order of magnitude: "
            f"{EECU_SECONDS_PER_MEGAPIXEL:g} s per million source pixels, a figure that was measured nowhere."
        )
        if self.plan.preparation.simulated:
            yield "The sources are simulated by the local engine."


def plan(study: Study, folder: Path, checkpoints: str | None, report: Report) -> Planned:
    """Plan a study's exports on the connected engine.

    Args:
        study: with a region and a period.
        folder: that the paths in the study start from.
        checkpoints: folder of assets for what is needed more than once; None does without.
        report: told what is asked and the share of the whole that is done.

    Raises:
        ConfigError: the study cannot be planned, or its plan would break a limit; all reasons are given.
        DataError: SMAP's archive does not hold exactly one image for each day, or a source has no image.
        EngineError: the engine does not answer.
    """
    with of_gee():
        draft = _draft(study, folder)
        recipe = study.preparation
        report("region", 0.0)
        extent = regions.extent(draft.region, asked(regions.summary(draft.region)))
        bands = Bands.of(study.predictors.use)
        _check_latitudes(extent.bounds, bands, recipe)
        grid = _grid(extent.bounds, draft.calendar, recipe, bands)
        report("sources", 0.3)
        if "/" in recipe.soil:
            _check_soil(recipe.soil)
        _check_comparisons(study.comparisons.named)
        if checkpoints is not None:
            _check_folder(checkpoints)
        raster, simulated = smap_raster(recipe)
        complete = _check_sources(draft.calendar, recipe, grid, bands)
        report("SMAP", 0.5)
        _check_smap(draft.calendar, recipe)
        report("plan", 0.7)
        preparation = Preparation(
            name=study.name,
            recipe=recipe,
            calendar=draft.calendar,
            region=draft.region.geometry(),
            grid=grid,
            cells=(
                cells.utm_cells(grids.coarse(grid))
                if recipe.registration == "utm"
                else cells.ease_cells(extent.bounds, raster)
            ),
            partitions=draft.partitions or _asked_partitions(study, draft.region, grid),
            smap=target.VERSIONS[recipe.smap],
            smap_bin=target.BINS[recipe.smap_bin],
            bands=bands,
            checkpoints=checkpoints,
            simulated=simulated,
        )
        planned = exports.plan(preparation)
        mistakes = planned.mistakes()
        report("plan", 1.0)
    if mistakes:
        raise ConfigError("\n".join([f"{study.name} cannot be exported so:", *mistakes]))
    return Planned(study, planned, extent.area_km2, extent.names, _after(complete, draft.calendar))


def preset_differences() -> list[dict[str, str]]:
    """Where the two presets prepare the data differently, with the question each choice answers."""
    fields = Recipe.model_fields
    return [
        {"choice": name, "recommended": ours, "paper": theirs, "allowed": str(fields[name].description)}
        for name, ours, theirs in RECOMMENDED.differences(PAPER)
    ]


@dataclass(frozen=True)
class _Draft:
    """What a study says by itself; partitions are None where the engine has to be asked."""

    calendar: Calendar
    region: Region
    partitions: Partitions | None


def _draft(study: Study, folder: Path) -> _Draft:
    """Read all that needs no engine, and tell everything that is wrong with it together."""
    if study.region is None or study.period is None:
        missing = [name for name in ("region", "period") if getattr(study, name) is None]
        raise ConfigError(f"{study.name} has no {' and no '.join(missing)}: a plan needs both.")
    calendar, recipe = Calendar(study.period.start, study.period.end), study.preparation
    bands = Bands.of(study.predictors.use)
    mistakes: list[str] = []
    region = parts = None
    with _gathered(mistakes):
        _check_period(calendar, recipe, bands)
    with _gathered(mistakes):
        region = _region(study.region, folder)
        if region.bounds:  # a continent takes minutes to measure
            _check_latitudes(region.bounds, bands, recipe)
            _grid(region.bounds, calendar, recipe, bands)
    with _gathered(mistakes):
        statics.soil(recipe.soil)
    with _gathered(mistakes):
        parts = _told_partitions(study, folder)
    if region is None or mistakes:
        raise ConfigError("\n".join([f"{study.name} cannot be planned:", *mistakes]))
    return _Draft(calendar, region, parts)


@contextmanager
def _gathered(mistakes: list[str]) -> Iterator[None]:
    try:
        yield
    except (SettingError, ConfigError) as error:
        mistakes.append(str(error))


def _check_period(calendar: Calendar, recipe: Recipe, bands: Bands) -> None:
    """Whether the sources have the days that are read: optical ones in the margins too, SMAP's bins."""
    streams = bands.streams.values()
    reach = [calendar.padded(*predictors.margins(stream, recipe)) for stream in streams]
    bins = calendar.padded(-target.BINS[recipe.smap_bin].day_offset, 0)
    mistakes: list[str] = []
    with _gathered(mistakes):
        availability.check_available(
            [stream.source for stream in streams], min(one.start for one in reach), calendar.end
        )
    with _gathered(mistakes):
        availability.check_available([target.VERSIONS[recipe.smap]], bins.start, bins.end)
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _check_latitudes(bounds: Bounds, bands: Bands, recipe: Recipe) -> None:
    """Whether the sources that end at a latitude reach over a region: beyond it they mask and say nothing."""
    _, south, _, north = bounds
    remedies = {
        source: f"leave {', '.join(sorted(names))} out of the predictors"
        for source, names in bands.beyond.items()
    }
    if recipe.elevation == "srtm":
        remedies[catalog.SRTM] = 'set elevation = "glo30" in [preparation]'
    availability.check_latitudes(remedies, south, north)


def _region(where: studies.Region, folder: Path) -> Region:
    if where.place is not None:
        return regions.place(where.place)
    if where.bbox is not None:
        return regions.box(*where.bbox)
    if where.geojson is not None:
        return regions.polygon(_geojson(folder / where.geojson))
    return regions.asset(str(where.asset))


def _grid(bounds: Bounds, calendar: Calendar, recipe: Recipe, bands: Bands) -> GeoBox:
    """The fine grid of a region, unless it has too many pixels to be worth another look."""
    west, south, east, north = bounds
    outline = box(west, south, east, north).segmentize(1)  # parallels are no shortest lines
    pixels = abs(Geod(ellps="WGS84").geometry_area_perimeter(outline)[0]) / grids.FINE_METRES**2
    if pixels > exports.MAX_GRID_PIXELS:
        raise SettingError(exports.too_large(pixels, calendar, recipe, bands))
    return grids.fine_grid(bounds)


def _told_partitions(study: Study, folder: Path) -> Partitions | None:
    wanted = study.partitions
    match wanted.scheme:
        case "anhui":
            return partitions.anhui()
        case "file":
            return partitions.from_geojson(_geojson(folder / str(wanted.path)), wanted.name_property)
        case "none":
            return partitions.none()
        case _:
            return None


def _asked_partitions(study: Study, region: Region, grid: GeoBox) -> Partitions:
    wanted = study.partitions
    if wanted.scheme == "auto":
        elevation = predictors.elevation(study.preparation, grid)
        return partitions.auto(region.geometry(), grid, None, elevation)
    table = str(wanted.path)
    names = partitions.asset_names(
        table, wanted.name_property, asked(partitions.summary(table, wanted.name_property))
    )
    return partitions.from_asset(table, wanted.name_property, names)


def _check_soil(asset: str) -> None:
    has = asked(ee.Image(asset).bandNames())
    missing = [
        part
        for part, pattern in statics.ASSET_BANDS.items()
        if not any(re.match(pattern, name) for name in has)
    ]
    if missing:
        raise ConfigError(
            f"The soil asset {asset} has no band {' and no '.join(missing)} (its bands: {', '.join(has)}): "
            "give one with bands sand, silt and clay, in %."
        )


def _check_comparisons(named: Mapping[str, str]) -> None:
    """Whether the collections to compare with can be read and have the bands that are known of them."""
    for name, asset in named.items():
        has = asked(ee.ImageCollection(asset).first().bandNames())
        missing = [band for band in comparisons.PRODUCTS[name].bands if band not in has]
        if missing:
            raise ConfigError(
                f"comparisons.{name}: the images of {asset} have no band {' and no '.join(missing)} (their "
                f"bands: {', '.join(has)}): rename the bands when you upload them."
            )


def _check_folder(folder: str) -> None:
    """Whether checkpoints can be stored in a folder of assets."""
    if not re.fullmatch(ASSET, folder):
        raise ConfigError(f'--checkpoints {folder} is no folder of assets: give "projects/NAME/assets/...".')
    try:
        kind = answered(ee.data.getAsset, folder)["type"]
    except ConfigError as error:
        raise ConfigError(f"--checkpoints: {error} Make it: earthengine create folder {folder}") from error
    if kind != "FOLDER":
        raise ConfigError(f"--checkpoints {folder} is of type {kind}: name a folder.")


def _check_sources(calendar: Calendar, recipe: Recipe, grid: GeoBox, bands: Bands) -> dict[str, dt.date]:
    """Whether every source can be read and looked at the region in the period.

    Returns:
        By stream, the last day for which all images are there that its predictors look at.
    """
    seen, newest, reaches = {}, {}, {}
    for name, stream in bands.streams.items():
        reach = reaches[name] = calendar.padded(*predictors.margins(stream, recipe))
        images = predictors.scenes(stream, reach, recipe, grid)
        seen[name] = images.limit(1).size()
        latest = Calendar(max(reach.start, reach.end - NEWEST_WITHIN), reach.end)
        newest[name] = predictors.scenes(stream, latest, recipe, grid).aggregate_max("system:time_start")
    static = predictors.static(recipe, calendar.start.year, grid, bands).bandNames()
    told = asked(ee.Dictionary({"seen": seen, "newest": newest, "static": static}))
    without = [name for name, found in told["seen"].items() if not found]
    if without:
        raise DataError(
            "\n".join(
                f"{bands.streams[name].source.id} has no image of the region from {reaches[name].start} "
                f"to {reaches[name].end}{_another_orbit(name, recipe)}: choose another period or region."
                for name in without
            )
        )

    return {
        name: complete_until(bands.streams[name], told["newest"].get(name), reach, recipe)
        for name, reach in reaches.items()
    }


def complete_until(stream: Stream, newest: float | None, reach: Calendar, recipe: Recipe) -> dt.date:
    """The last day whose predictors cannot change any more.

    Args:
        stream: the source.
        newest: when its newest image within ``reach`` starts, milliseconds since 1970; None without any.
        reach: the days whose images are read.
        recipe: the choices.
    """
    _, after = predictors.margins(stream, recipe)
    if newest is None:
        return reach.start - dt.timedelta(days=after + 1)
    start = dt.datetime.fromtimestamp(newest / 1000, tz=dt.UTC).date()
    if stream is predictors.BACKSCATTER:  # which does not come every day: the next pass may be days away
        start = min(reach.end, start + dt.timedelta(days=RADAR_REPEAT_DAYS))
    return min(reach.end, start + dt.timedelta(days=stream.source.cadence_days - 1)) - dt.timedelta(
        days=after
    )


def _after(complete: Mapping[str, dt.date], calendar: Calendar) -> dt.date | None:
    """The first day of a calendar that is not complete in some source."""
    last = min(complete.values())
    return None if last >= calendar.end else max(calendar.start, last + dt.timedelta(days=1))


def _another_orbit(name: str, recipe: Recipe) -> str:
    if name != predictors.BACKSCATTER.name or recipe.orbit == "both":
        return ""
    return f' on {recipe.orbit} passes (orbit = "both" in [preparation] takes all)'


def smap_raster(recipe: Recipe) -> tuple[GeoBox, bool]:
    """The grid of the SMAP asset as the engine has it, and whether it is simulated."""
    told = asked(ee.Image(target.VERSIONS[recipe.smap].collection().first()).select(["sm_surface"]))
    [band] = told["bands"]
    width, height = band["dimensions"]
    raster = GeoBox((height, width), Affine(*band["crs_transform"]), band["crs"])
    return raster, bool(told["properties"].get("simulated"))


def _source_ids(recipe: Recipe, bands: Bands) -> dict[str, str]:
    """The assets read, by what the catalogue calls them."""
    soils = {"soilgrids": catalog.SOILGRIDS, "openlandmap": catalog.OPENLANDMAP}.get(recipe.soil)
    sources = [
        *(stream.source for stream in bands.streams.values()), *bands.sources(recipe),
        *(soils or {}).values(), target.VERSIONS[recipe.smap],
    ]  # fmt: skip
    own = {} if soils else {"soil": recipe.soil}
    return {source.name: source.id for source in sources} | own


def _check_smap(calendar: Calendar, recipe: Recipe) -> None:
    counts = asked(target.smap_counts(calendar, target.VERSIONS[recipe.smap], target.BINS[recipe.smap_bin]))
    wrong = [f"{day} has {count}" for day, count in zip(calendar.days, counts, strict=True) if count != 1]
    if wrong:
        more = f" and {len(wrong) - 10} days more do not" if len(wrong) > 10 else ""
        raise DataError(
            f"{target.VERSIONS[recipe.smap].id} should hold exactly one image in the bin "
            f"{target.BINS[recipe.smap_bin].label}, but {', '.join(wrong[:10])}{more}: choose another "
            "period or bin."
        )


def _geojson(path: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as GeoJSON: {error}") from error
    if not isinstance(read, dict):
        raise ConfigError(f"{path} is no GeoJSON: it holds no object.")
    return read


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:,.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"
