"""A study's export tasks: which image or table, on which grid, out of what, and how large.

Everything that can be known before the first task runs is known here, so that a plan which breaks one of
Earth Engine's limits is refused instead of failing after hours. A task is identified by the hash of what it
computes: the same study plans the same tasks on any machine. Limits stand in ``gee.limits``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import ee
from odc.geo.geobox import GeoBox

from gee import grids, limits, observations, partitions, predictors, target, timeseries
from gee.catalog import Source
from gee.cells import Cells, cell_means, cell_table, valid_names
from gee.errors import SettingError
from gee.partitions import Partitions
from gee.predictors import PAPER, RADAR, Bands, Stream
from gee.recipe import Recipe
from gee.target import SmapBin
from gee.timeseries import Calendar

NODATA = -9999.0  # of the exported files; no predictor comes near
MAX_GRID_PIXELS = 2_000_000  # a month of daily predictors on more of them is files beyond 2 GB
COMFORTABLE_BYTES = 1_000_000  # of a request; only limits.MAX_PAYLOAD_BYTES is refused
EECU_SECONDS_PER_MEGAPIXEL = 0.1  # an order of magnitude, measured nowhere; verify live
_READERS = 2  # of a month's sources without checkpoints: its image and its table
MONTHLY = ("dynamic", "cells")  # products of each month, before its label
CELL_KEYS: tuple[str, ...] = ("cell", "lon", "lat")
SIMULATED = "simulated"  # column that marks rows made from simulated sources
KEY_DIGITS = 10  # of the hash, in the name of a task
_DAY = re.compile(r"_\d{8}$")  # at the end of a band's name, see band_name
Kind = Literal["image", "asset", "table"]


@dataclass(frozen=True)
class Preparation:
    """All that has to be known to plan a study's exports.

    Attributes:
        name: of the study.
        recipe: the choices.
        calendar: the days wanted.
        region: whose cells are sampled.
        grid: fine grid.
        cells: training cells.
        partitions: terrain units.
        smap: version of the target.
        smap_bin: part of the day that stands for it.
        bands: the predictors.
        checkpoints: folder for 1 km assets between the stages, ``projects/NAME/assets/...``; None computes
            every month from the sources' own pixels.
        simulated: whether the sources say that they are; then the tables say so too, in every row.
        tag: workload tag of the tasks.
        parts: by the label of a month, ``2019-04``, into how many stretches of days it is cut; 1 where it is
            not named.
    """

    name: str
    recipe: Recipe
    calendar: Calendar
    region: ee.Geometry
    grid: GeoBox
    cells: Cells
    partitions: Partitions
    smap: Source
    smap_bin: SmapBin
    bands: Bands = PAPER
    checkpoints: str | None = None
    simulated: bool = False
    tag: str = "gee-smap"
    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def year(self) -> int:
        """Of the land cover: one for all days, so that no pixel turns to water on New Year's Eve."""
        return self.calendar.start.year

    def stretches(self) -> Iterator[tuple[str, Calendar]]:
        """The days of each image and table with their label: months, or the parts of one that was cut."""
        for month in self.calendar.months():
            label = f"{month.start:%Y-%m}"
            if (number := self.parts.get(label, 1)) == 1:
                yield label, month
                continue
            edges = [round(len(month) * part / number) for part in range(number + 1)]
            for first, after in pairwise(edges):
                stretch = Calendar(month.days[first], month.days[after - 1])
                yield f"{stretch.start:%Y-%m-%d}", stretch


@dataclass(frozen=True, eq=False)
class Product:
    """One export task.

    Attributes:
        name: ``static``, ``dynamic-2019-04``, ``cells-2019-04``, ``checkpoint-lst``; the parts of a month
            that was cut have the first of their days, ``dynamic-2019-04-16``.
        kind: an image for Cloud Storage, an image asset, or a table for Cloud Storage.
        expression: what is computed.
        columns: bands of the image or columns of the table, in order.
        grid: of an image.
        rows: of a table, at most.
        needs: names of the products that must be there before.
        megapixels: source pixels it reads, millions; 0 where it reads only checkpoints.
        asset: id of an asset.
    """

    name: str
    kind: Kind
    expression: ee.Image | ee.FeatureCollection
    columns: tuple[str, ...]
    grid: GeoBox
    rows: int = 0
    needs: tuple[str, ...] = ()
    megapixels: float = 0.0
    folder: str | None = None

    @cached_property
    def request(self) -> bytes:
        """The expression as the client sends it."""
        return json.dumps(
            ee.serializer.encode(self.expression, for_cloud_api=True), separators=(",", ":"), sort_keys=True
        ).encode()

    @cached_property
    def key(self) -> str:
        """SHA-256 of what is computed, on which grid."""
        grid = [str(self.grid.crs), *self.grid.shape, *grids.crs_transform(self.grid)]
        return hashlib.sha256(self.request + json.dumps([*grid, *self.columns]).encode()).hexdigest()

    @property
    def description(self) -> str:
        """Name of the task: the same for the same computation."""
        return f"{self.name}-{self.key[:KEY_DIGITS]}"

    @property
    def asset(self) -> str | None:
        """Where a checkpoint is stored."""
        return f"{self.folder}/{self.description}" if self.folder else None

    @property
    def output_bytes(self) -> int:
        """Size of the output before compression; a table's values count as 10 characters."""
        if self.kind == "table":
            return self.rows * len(self.columns) * 10
        height, width = self.grid.shape
        return int(height * width * len(self.columns) * 4)

    @property
    def eecu_hours(self) -> float:
        """Earth Engine compute units, an order of magnitude (see EECU_SECONDS_PER_MEGAPIXEL)."""
        return self.megapixels * EECU_SECONDS_PER_MEGAPIXEL / 3600


@dataclass(frozen=True)
class Plan:
    """The products of a study, each after those it needs."""

    preparation: Preparation
    products: tuple[Product, ...]

    def __getitem__(self, name: str) -> Product:
        for product in self.products:
            if product.name == name:
                return product
        raise KeyError(name)

    def split(self, name: str) -> Plan | None:
        """The plan with twice as many, shorter products in the place of a month's, for one that was too much.

        Args:
            name: of the product that failed.

        Returns:
            None where there is nothing to cut: the static products, checkpoints, single days.
        """
        for month in self.preparation.calendar.months():
            label = f"{month.start:%Y-%m}"
            if name.startswith(tuple(f"{kind}-{label}" for kind in MONTHLY)):
                number = 2 * self.preparation.parts.get(label, 1)
                if number > len(month):
                    return None
                return plan(replace(self.preparation, parts={**self.preparation.parts, label: number}))
        return None

    def mistakes(self) -> list[str]:
        """The limits that the plan would break, a sentence each; empty where it may be submitted."""
        found = []
        height, width = self.preparation.grid.shape
        if height * width > MAX_GRID_PIXELS:
            prepared = self.preparation
            found.append(too_large(height * width, prepared.calendar, prepared.recipe, prepared.bands))
        if len(self.products) > limits.PENDING_TASKS:
            found.append(
                f"{len(self.products)} tasks are more than the queue takes ({limits.PENDING_TASKS:,})."
            )
        for product in self.products:
            if product.kind != "table" and len(product.columns) > limits.MAX_STACKED_BANDS:
                found.append(
                    f"{product.name} has {len(product.columns):,} bands, more than "
                    f"{limits.MAX_STACKED_BANDS:,}: split the period into studies of fewer years."
                )
            if len(product.request) > limits.MAX_PAYLOAD_BYTES:
                found.append(
                    f"The request of {product.name} has {len(product.request):,} bytes, more than "
                    f"{limits.MAX_PAYLOAD_BYTES:,}: store the region or the partitions as an asset and name "
                    "that in the study."
                )
        return found


def too_large(pixels: float, calendar: Calendar, recipe: Recipe, bands: Bands = PAPER) -> str:
    """Why a fine grid is refused, with what it would cost (without checkpoints).

    Args:
        pixels: of the fine grid, more than ``MAX_GRID_PIXELS``.
        calendar: the days wanted.
        recipe: the choices.
        bands: the predictors.
    """
    size = pixels * 4 * (len(bands.static) + 2 + len(calendar) * (len(bands.dynamic) + 1))
    reads = _READERS * sum(
        _megapixels(pixels, stream, month, recipe)
        for month in calendar.months()
        for stream in bands.streams.values()
    )
    return (
        f"The region takes {pixels / 1e6:,.1f} million pixels of 1 km (allowed: {MAX_GRID_PIXELS / 1e6:g}): "
        f"{size / 1e9:,.0f} GB of images and, to an order of magnitude, "
        f"{reads * EECU_SECONDS_PER_MEGAPIXEL / 3600:,.0f} Earth Engine compute unit hours. Split it into "
        f"{math.ceil(1.2 * pixels / MAX_GRID_PIXELS)} studies or more, or map a smaller one."
    )


def plan(preparation: Preparation) -> Plan:
    """The export tasks of a study.

    Args:
        preparation: what was found out about the study.

    Returns:
        Static predictors once, as an image and as a table of cells; where checkpoints are wanted, one asset
        per source; then an image and a table of cells for each calendar month.
    """
    return Plan(preparation, tuple(_products(preparation)))


def band_name(band: str, day: dt.date) -> str:
    """The name of a day's band in a monthly stack, such as ``NDVI_20190401``."""
    return f"{band.upper()}_{day:%Y%m%d}"


def bands_in(columns: Iterable[str]) -> Bands:
    """The predictors that are among the bands of images or the columns of tables, of any day."""
    return Bands.of(_DAY.sub("", name).lower() for name in columns)


def _products(preparation: Preparation) -> Iterator[Product]:
    recipe, grid, bands = preparation.recipe, preparation.grid, preparation.bands
    still = predictors.static(recipe, preparation.year, grid, bands)
    inside = ee.Image.constant(1).clip(preparation.region).unmask(0, False).rename("region")
    placed = still.addBands(preparation.partitions.image.unmask(0, False)).addBands(inside)
    names = (*bands.static, partitions.BAND, "region")
    yield Product("static", "image", _written(placed, names), names, grid)

    cells, keys = preparation.cells.features(preparation.region), CELL_KEYS
    if preparation.simulated:
        cells, keys = cells.map(lambda cell: cell.set(SIMULATED, 1)), (*keys, SIMULATED)
    placed_keys = (*keys, partitions.BAND)
    yield Product(
        "cells-static",
        "table",
        cell_means(still, partitions.assign(cells, preparation.partitions), grid, bands.still, placed_keys),
        (*placed_keys, *bands.still, *valid_names(bands.still)),
        grid,
        rows=len(preparation.cells),
    )
    stored = list(_checkpoints(preparation)) if preparation.checkpoints else []
    yield from stored
    assets = {product.name: product for product in stored}
    for label, stretch in preparation.stretches():
        yield from _stretch(preparation, label, stretch, assets, cells, keys)


def _stretch(
    preparation: Preparation,
    label: str,
    stretch: Calendar,
    assets: Mapping[str, Product],
    cells: ee.FeatureCollection,
    keys: Sequence[str],
) -> Iterator[Product]:
    """The image and the table of some days."""
    recipe, grid, wanted = preparation.recipe, preparation.grid, preparation.bands
    seen = {
        name: _restored(stream, _reach(stream, stretch, recipe), ee.Image(assets[_checkpoint(stream)].asset))
        if assets
        else predictors.observed(stream, _reach(stream, stretch, recipe), recipe, grid, preparation.year)
        for name, stream in wanted.streams.items()
    }
    days = predictors.daily(seen, stretch, recipe, wanted)
    in_power = recipe.radar_mean == "power"
    shown = days.map(observations.decibels) if in_power else days
    pixels = _pixels(grid)
    streams = () if assets else wanted.streams.values()
    reads = float(sum(_megapixels(pixels, stream, stretch, recipe) for stream in streams))
    bands = tuple(band_name(band, day) for day in stretch.days for band in (*wanted.dynamic, "count"))
    stack = _written(shown.select([*wanted.dynamic, "count"]).toBands(), bands)
    needs = tuple(assets)
    image, table = (f"{kind}-{label}" for kind in MONTHLY)
    yield Product(image, "image", stack, bands, grid, needs=needs, megapixels=reads)

    smap = target.smap_series(stretch, preparation.smap, preparation.smap_bin)
    rows = cell_table(days, cells, grid, wanted.dynamic, RADAR if in_power else (), smap, keys)
    seen_shares = valid_names(wanted.dynamic)
    columns = (*keys, "date", "doy", *wanted.dynamic, *seen_shares, target.MOISTURE, target.OUTAGE)
    yield Product(table, "table", rows, columns, grid, len(preparation.cells) * len(stretch), needs, reads)


def _checkpoints(preparation: Preparation) -> Iterator[Product]:
    """One asset per source: its observations at 1 km over the period and its margins."""
    for stream in preparation.bands.streams.values():
        reach = _reach(stream, preparation.calendar, preparation.recipe)
        seen = predictors.observed(stream, reach, preparation.recipe, preparation.grid, preparation.year)
        kept = stream.kept
        days = stream.image_days(reach)
        names = tuple(band_name(band, day) for day in days for band in kept)
        stack = timeseries.on_days(seen, days, kept).toBands().rename(list(names)).toFloat()
        yield Product(
            _checkpoint(stream), "asset", stack, names, preparation.grid,
            megapixels=_megapixels(
                _pixels(preparation.grid), stream, preparation.calendar, preparation.recipe
            ),
            folder=preparation.checkpoints,
        )  # fmt: skip


def _restored(stream: Stream, reach: Calendar, asset: ee.Image) -> ee.ImageCollection:
    """The observations that a checkpoint holds, as ``predictors.observed`` gives them."""
    kept = list(stream.kept)
    days = stream.image_days(reach)

    def one(millis: ee.Number) -> ee.Image:
        day = ee.Date(millis)
        suffix = day.format("_YYYYMMdd")
        bands = ee.List([ee.String(name.upper()).cat(suffix) for name in kept])
        image = asset.select(bands, kept).set(
            {"system:time_start": millis, "system:index": day.format("YYYYMMdd")}
        )
        return ee.Image(image) if stream.composite else timeseries.with_date(ee.Image(image))

    millis = [(day - timeseries.EPOCH).days * timeseries.DAY_MS for day in days]
    return ee.ImageCollection.fromImages(ee.List(millis).map(one))


def _checkpoint(stream: Stream) -> str:
    return f"checkpoint-{stream.name}"


def _reach(stream: Stream, calendar: Calendar, recipe: Recipe) -> Calendar:
    return calendar.padded(*predictors.margins(stream, recipe))


def _pixels(grid: GeoBox) -> int:
    height, width = grid.shape
    return int(height * width)


def _megapixels(pixels: float, stream: Stream, calendar: Calendar, recipe: Recipe) -> float:
    """Native pixels of a source under so many fine ones in a period and its margins, millions."""
    reach = _reach(stream, calendar, recipe)
    images = len(stream.image_days(reach))
    if stream is predictors.BACKSCATTER:
        images = round(len(reach) / 12) * 2  # each of two satellites sees a place once in 12 days per track
    finer = (grids.FINE_METRES / stream.source.metres) ** 2
    return float(pixels * finer * images * len(stream.source.bands) / 1e6)


def _written(image: ee.Image, names: Sequence[str]) -> ee.Image:
    """An image as it goes into a file: named, float, ``NODATA`` where masked."""
    return image.rename(list(names)).unmask(NODATA, False).toFloat()


def task(product: Product, plan: Plan, bucket: str, prefix: str) -> ee.batch.Task:
    """The client's task of a product, not started.

    Args:
        product: of the plan.
        plan: it belongs to; gives the workload tag.
        bucket: for files.
        prefix: of their names; the product's description follows.

    Raises:
        SettingError: an asset is wanted and the plan names no folder for it.
    """
    with ee.data.workloadTagContext(plan.preparation.tag):  # a task keeps the tag it was made under
        return _task(product, bucket, prefix)


def _task(product: Product, bucket: str, prefix: str) -> ee.batch.Task:
    common: dict[str, Any] = {"description": product.description}
    if product.kind == "table":
        return ee.batch.Export.table.toCloudStorage(
            collection=product.expression, bucket=bucket, fileNamePrefix=f"{prefix}/{product.description}",
            fileFormat="CSV", selectors=list(product.columns), **common,
        )  # fmt: skip
    height, width = product.grid.shape
    common |= {
        "image": product.expression,
        "crs": str(product.grid.crs),
        "crsTransform": grids.crs_transform(product.grid),
        "dimensions": f"{width}x{height}",
        "maxPixels": max(limits.EXPORT_MAX_PIXELS, height * width),
    }
    if product.kind == "asset":
        if product.asset is None:
            raise SettingError(f"{product.name} is an asset: name a folder for checkpoints.")
        return ee.batch.Export.image.toAsset(assetId=product.asset, **common)
    return ee.batch.Export.image.toCloudStorage(
        bucket=bucket, fileNamePrefix=f"{prefix}/{product.description}", fileFormat="GeoTIFF",
        formatOptions={"cloudOptimized": True, "noData": NODATA}, **common,
    )  # fmt: skip
