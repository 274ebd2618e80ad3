"""The same cube without a bucket: pixels come through xee, window by window, as the engine computes them.

It suits small studies. Every block is computed while the caller waits, and one that needs more than Earth
Engine's five minutes, or its memory, fails where an export would go on. What has arrived is kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ee
import numpy as np
import xarray as xr
from googleapiclient.errors import HttpError
from httplib2 import HttpLib2Error  # type: ignore[import-untyped]

from gee.exports import NODATA, Plan, Product, band_name
from gee.grids import crs_transform
from gee.timeseries import DAY_MS, EPOCH
from pipeline.cubes.cube import Built, fill
from pipeline.cubes.from_images import STATIC, covered, images
from pipeline.cubes.layout import daily, still
from pipeline.cubes.mosaics import Pixels, Window
from pipeline.errors import DataError, EngineError
from pipeline.progress import Report
from pipeline.work.manifest import Manifest

REQUESTS = 8  # at once; Earth Engine takes 40, and slows down before


def fill_from_xee(plan: Plan, manifest: Manifest, out: Path, report: Report) -> Built:
    """Make the cube of a study by asking for its pixels.

    Args:
        plan: whose images are computed; checkpoints it needs must be there.
        manifest: of the same plan.
        out: the store; an earlier one stays whole until the new one is.
        report: told what is being done.

    Raises:
        DataError: the manifest is not the plan's, or the cube cannot be written.
        EngineError: a block cannot be computed on the spot, or the engine does not answer.
    """
    wanted = images(manifest)
    products = {product.name: product for product in plan.products}
    days, mistakes = covered(manifest)
    if any(task.name not in products or products[task.name].description != task.task for task in wanted):
        mistakes.append("it was written for another plan; export again")
    if mistakes:
        raise DataError("\n".join([f"The plan of {manifest.study} makes no cube:", *mistakes]))
    made_of = ["xee", *(task.task for task in wanted)]
    return fill(manifest, out, made_of, lambda: _source(products, days, manifest), report)


@dataclass(frozen=True)
class _Days:
    """An image of the plan as a dataset with a time.

    Attributes:
        product: of the plan.
        days: it holds; one for what does not change.
        variables: of a day.
        band: the name that a variable has on a day.
    """

    product: Product
    days: tuple[dt.date, ...]
    variables: tuple[str, ...]
    band: Callable[[str, dt.date], str]

    @cached_property
    def dataset(self) -> xr.Dataset:
        """The whole, lazily."""
        image, grid = ee.Image(self.product.expression), self.product.grid
        days = [
            image.select([self.band(name, day) for name in self.variables], list(self.variables)).set(
                "system:time_start", (day - EPOCH).days * DAY_MS
            )
            for day in self.days
        ]
        opened: xr.Dataset = xr.open_dataset(
            ee.ImageCollection(days), engine="ee", crs=str(grid.crs),
            crs_transform=tuple(crs_transform(grid)), shape_2d=(grid.shape.x, grid.shape.y),
            ee_init_if_necessary=False,
        )  # fmt: skip
        return opened

    def read(self, window: Window) -> Pixels:
        """Pixels of shape (days, variables, rows, columns), NaN where there is no data."""
        try:
            part = self.dataset.isel(y=window.rows, x=window.columns).transpose("time", "y", "x")
            with ThreadPoolExecutor(REQUESTS, "xee") as pool:
                values = list(pool.map(lambda name: part[name].to_numpy(), self.variables))
        except ee.EEException as error:
            raise EngineError(
                f"{self.product.name} cannot be computed on the spot: {error} Export it through a bucket: "
                "gee-smap export --via gcs"
            ) from error
        except (OSError, HttpError, HttpLib2Error) as error:
            raise EngineError(
                f"Earth Engine does not answer: {error}; try again, what came is kept"
            ) from error
        pixels = np.stack(values, axis=1).astype(np.float32)
        pixels[pixels == np.float32(NODATA)] = np.nan
        return pixels


@dataclass(frozen=True)
class _Computed:
    """The images of a plan.

    Attributes:
        static: by band.
        stretches: the dynamic ones in the order of their days.
    """

    static: Mapping[str, Pixels]
    stretches: Sequence[_Days]

    def still(self, band: str) -> Pixels:
        """A static band on the whole grid, NaN where there is no data."""
        return self.static[band]


def _source(
    products: Mapping[str, Product], days: Mapping[str, tuple[dt.date, ...]], manifest: Manifest
) -> _Computed:
    height, width = manifest.grid.shape
    fixed, moving = still(manifest.bands), daily(manifest.bands)
    static = _Days(products[STATIC], manifest.days[:1], fixed, lambda name, day: name)
    [bands] = static.read(Window(0, 0, height, width))
    months = [_Days(products[name], held, moving, band_name) for name, held in days.items()]
    return _Computed(dict(zip(fixed, bands, strict=True)), sorted(months, key=lambda month: month.days[0]))
