"""From a study to its plan: what has to be asked of the engine first, and what the plan amounts to.

Three small requests (the region, SMAP's grid, SMAP's images day by day) settle everything a plan rests on, so
that a region on the sea, a period before a sensor's launch or a hole in the archive is told before the first
task. The plan itself is built in ``gee.exports`` and touches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ee
from affine import Affine
from googleapiclient.errors import HttpError
from odc.geo.geobox import GeoBox

from gee import catalog, cells, exports, grids, partitions, predictors, regions, statics, target
from gee.exports import COMFORTABLE_BYTES, EECU_SECONDS_PER_MEGAPIXEL, Plan, Preparation
from gee.partitions import Partitions
from gee.recipe import PAPER, RECOMMENDED, Recipe
from gee.regions import Region
from gee.timeseries import Calendar
from pipeline.errors import ConfigError, DataError, EngineError, of_gee
from pipeline.study import Study

SMAP_VERSIONS = {"008": catalog.SMAP, "007": catalog.SMAP_007}
SMAP_BINS = {"morning": target.MORNING, "utc-06-09": target.PAPER_UTC}
Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Planned:
    """A plan and what it was made of.

    Attributes:
        study: as read.
        plan: the tasks.
        area_km2: of the region.
        places: names of the features that make up the region.
        simulated: whether the sources say that they are simulated.
    """

    study: Study
    plan: Plan
    area_km2: float
    places: tuple[str, ...]
    simulated: bool

    def title(self) -> str:
        """The plan in a line."""
        prepared = self.plan.preparation
        height, width = prepared.grid.shape
        total = sum(product.output_bytes for product in self.plan.products)
        return (
            f"{self.study.name}, preset {self.study.preset}: {len(self.plan.products)} tasks for "
            f"{len(prepared.calendar)} days, {width} x {height} pixels of 1 km, {len(prepared.cells):,} "
            f"cells of 9 km in its bounds, {self.area_km2:,.0f} km² ({', '.join(self.places[:3])}); "
            f"{_bytes(total)} before compression"
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

    def as_dict(self) -> dict[str, Any]:
        """The plan for machines."""
        height, width = self.plan.preparation.grid.shape
        return {
            "study": self.study.name,
            "preset": self.study.preset,
            "simulated": self.simulated,
            "region": {"places": list(self.places), "area_km2": self.area_km2},
            "grid": {
                "crs": str(self.plan.preparation.grid.crs), "width": width, "height": height,
                "crs_transform": grids.crs_transform(self.plan.preparation.grid),
            },
            "cells": len(self.plan.preparation.cells),
            "partitions": list(self.plan.preparation.partitions.names),
            "eecu_seconds_per_megapixel": EECU_SECONDS_PER_MEGAPIXEL,
            "tasks": [
                {
                    "task": product.description, "name": product.name, "kind": product.kind,
                    "columns": len(product.columns), "request_bytes": len(product.request),
                    "output_bytes": product.output_bytes, "megapixels": product.megapixels,
                    "eecu_hours": product.eecu_hours, "needs": list(product.needs), "asset": product.asset,
                }
                for product in self.plan.products
            ],
        }  # fmt: skip

    def notes(self) -> Iterator[str]:
        """What a user should know before submitting."""
        large = [product for product in self.plan.products if len(product.request) > COMFORTABLE_BYTES]
        if large:
            yield f"{len(large)} requests are larger than {_bytes(COMFORTABLE_BYTES)}; up to 10 MB are taken."
        yield (
            f"Earth Engine units are an order of magnitude: {EECU_SECONDS_PER_MEGAPIXEL:g} s per million "
            "source pixels, a figure that was measured nowhere."
        )
        if self.simulated:
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
        DataError: SMAP's archive does not hold exactly one image for each day.
        EngineError: the engine does not answer.
    """
    with of_gee():
        calendar, region = _basics(study, folder)
        recipe = study.preparation
        report("region", 0.0)
        extent = regions.extent(region, _asked(regions.summary(region)))
        report("SMAP", 0.3)
        raster = _smap_raster(recipe)
        _check_smap(calendar, recipe)
        report("plan", 0.7)
        grid = grids.fine_grid(extent.bounds)
        preparation = Preparation(
            name=study.name,
            recipe=recipe,
            calendar=calendar,
            region=region.geometry(),
            grid=grid,
            cells=(
                cells.utm_cells(grids.coarse(grid))
                if recipe.registration == "utm"
                else cells.ease_cells(extent.bounds, raster)
            ),
            partitions=_partitions(study, folder, region, grid),
            smap=SMAP_VERSIONS[recipe.smap],
            smap_bin=SMAP_BINS[recipe.smap_bin],
            checkpoints=checkpoints,
        )
        planned = exports.plan(preparation)
        mistakes = planned.mistakes()
        simulated = _asked(ee.ImageCollection(catalog.LST.id).first().get("simulated"))
        report("plan", 1.0)
    if mistakes:
        raise ConfigError("\n".join([f"{study.name} cannot be exported so:", *mistakes]))
    return Planned(study, planned, extent.area_km2, extent.names, bool(simulated))


def preset_differences() -> list[dict[str, str]]:
    """Where the two presets prepare the data differently, with the question each choice answers."""
    fields = Recipe.model_fields
    return [
        {"choice": name, "recommended": ours, "paper": theirs, "allowed": str(fields[name].description)}
        for name, ours, theirs in RECOMMENDED.differences(PAPER)
    ]


def _basics(study: Study, folder: Path) -> tuple[Calendar, Region]:
    """Period and region of a study, and whether the sources have the days it needs."""
    if study.region is None or study.period is None:
        missing = [name for name in ("region", "period") if getattr(study, name) is None]
        raise ConfigError(f"{study.name} has no {' and no '.join(missing)}: a plan needs both.")
    calendar = Calendar(study.period.start, study.period.end)
    chosen = [
        *(stream.source for stream in predictors.STREAMS.values()),
        SMAP_VERSIONS[study.preparation.smap],
    ]
    reach = [
        calendar.padded(*predictors.margins(stream, study.preparation))
        for stream in predictors.STREAMS.values()
    ]
    catalog.check_available(chosen, min(one.start for one in reach), max(one.end for one in reach))
    where = study.region
    if where.place is not None:
        return calendar, regions.place(where.place)
    if where.bbox is not None:
        return calendar, regions.box(*where.bbox)
    if where.geojson is not None:
        return calendar, regions.polygon(_geojson(folder / where.geojson))
    return calendar, regions.asset(str(where.asset))


def _partitions(study: Study, folder: Path, region: Region, grid: GeoBox) -> Partitions:
    wanted = study.partitions
    match wanted.scheme:
        case "anhui":
            return partitions.anhui()
        case "auto":
            elevation = statics.elevation(study.preparation.elevation)
            return partitions.auto(region.geometry(), grid, None, elevation)
        case "file":
            return partitions.from_geojson(_geojson(folder / str(wanted.path)), wanted.name_property)
        case "asset":
            table = str(wanted.path)
            found = _asked(partitions.summary(table, wanted.name_property))
            names = partitions.asset_names(table, wanted.name_property, found)
            return partitions.from_asset(table, wanted.name_property, names)
        case _:
            return partitions.none()


def _smap_raster(recipe: Recipe) -> GeoBox:
    """The grid of the SMAP asset as the engine has it."""
    told = _asked(ee.Image(SMAP_VERSIONS[recipe.smap].collection().first()).select(["sm_surface"]))
    [band] = told["bands"]
    width, height = band["dimensions"]
    return GeoBox((height, width), Affine(*band["crs_transform"]), band["crs"])


def _check_smap(calendar: Calendar, recipe: Recipe) -> None:
    counts = _asked(target.smap_counts(calendar, SMAP_VERSIONS[recipe.smap], SMAP_BINS[recipe.smap_bin]))
    wrong = [f"{day} has {count}" for day, count in zip(calendar.days, counts, strict=True) if count != 1]
    if wrong:
        raise DataError(
            f"{SMAP_VERSIONS[recipe.smap].id} should hold exactly one image in the bin "
            f"{SMAP_BINS[recipe.smap_bin].label}, but {', '.join(wrong[:10])}"
            f"{' and more' if len(wrong) > 10 else ''}: choose another period or bin."
        )


def _geojson(path: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as GeoJSON: {error}") from error
    if not isinstance(read, dict):
        raise ConfigError(f"{path} is no GeoJSON: it holds no object.")
    return read


def _asked(thing: Any) -> Any:
    """The value of an expression."""
    try:
        return thing.getInfo()
    except ee.EEException as error:
        raise EngineError(f"Earth Engine answers: {error}") from error
    except (OSError, HttpError) as error:
        raise EngineError(f"Earth Engine does not answer: {error}") from error


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:,.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"
