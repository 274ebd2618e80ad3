"""The exported images of a study as the source of its cube: all of them, each once, on one grid.

A day that two images hold, or none, would go unnoticed in an array of days, as would a month of another grid;
so the images are held against the plan before anything is written, and all that is wrong is told together.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS

from gee.exports import MONTHLY, band_name
from gee.grids import crs_transform
from pipeline.cubes import mosaics
from pipeline.cubes.layout import daily, still
from pipeline.cubes.mosaics import Mosaic, Pixels, Window
from pipeline.errors import DataError
from pipeline.work.manifest import Manifest, Task

STATIC = "static"  # name of the product
LISTED = 3  # names in a message


@dataclass(frozen=True)
class Month:
    """The days of one image, and the variables of each."""

    days: tuple[dt.date, ...]
    mosaic: Mosaic
    variables: tuple[str, ...]

    def read(self, window: Window) -> Pixels:
        """Pixels of shape (days, variables, rows, columns), NaN where there is no data."""
        names = [band_name(band, day) for day in self.days for band in self.variables]
        shape = (len(self.days), len(self.variables), window.height, window.width)
        return np.reshape(self.mosaic.read(names, window), shape)


@dataclass(frozen=True)
class Images:
    """The images of a study, found whole.

    Attributes:
        static: what does not change.
        stretches: the dynamic images in the order of their days.
    """

    static: Mosaic
    stretches: tuple[Month, ...]

    def still(self, band: str) -> Pixels:
        """A static band on the whole grid, NaN where there is no data."""
        [pixels] = self.static.read([band])
        return np.asarray(pixels)

    @classmethod
    def opened(cls, manifest: Manifest, exports: Path, files: Mapping[Task, Sequence[Path]]) -> Images:
        """Look at the headers of all images.

        Args:
            manifest: what they should hold.
            exports: where they lie.
            files: of each image task.

        Raises:
            DataError: they are not the study's; everything found is told.
        """
        days, mistakes = covered(manifest)
        static: Mosaic | None = None
        months = []
        for task, paths in files.items():
            if not paths:
                mistakes.append(f"{exports}: no {task.task}.tif")
                continue
            try:
                mosaic = mosaics.assemble(paths)
            except DataError as error:
                mistakes.append(str(error))
                continue
            mistakes += _unlike(mosaic, task, manifest)
            if task.name in days:
                months.append(Month(days[task.name], mosaic, daily(manifest.bands)))
            else:
                static = mosaic
        if mistakes or static is None:
            head = f"{exports}: no cube can be made of these images; gee-smap export fetches what is missing:"
            raise DataError("\n".join([head, *mistakes]))
        return cls(static, tuple(sorted(months, key=lambda month: month.days[0])))


def images(manifest: Manifest) -> list[Task]:
    """The tasks whose images make up a cube."""
    return [
        task
        for task in manifest.tasks
        if task.kind == "image" and (task.name == STATIC or task.name.startswith(f"{MONTHLY[0]}-"))
    ]


def covered(manifest: Manifest) -> tuple[dict[str, tuple[dt.date, ...]], list[str]]:
    """The days of each dynamic image as the plan has them, and what is wrong with them.

    Args:
        manifest: of a study.

    Returns:
        Days by the name of the product, and a sentence for each mistake: the study's days must be there
        once, with all bands, each image's without a gap.
    """
    dynamic = [task for task in images(manifest) if task.name != STATIC]
    meant = {band_name(band, day): day for day in manifest.days for band in daily(manifest.bands)}
    columns = Counter(column for task in dynamic for column in task.columns)
    mistakes = [
        f"the plan has {what}: {_listed(names)}; export again"
        for what, names in (
            ("no image of", [name for name in meant if name not in columns]),
            ("more than one image of", [name for name, count in columns.items() if count > 1]),
            ("images of what is not the study's", [name for name in columns if name not in meant]),
        )
        if names
    ]
    days = {
        task.name: tuple(sorted({meant[column] for column in task.columns if column in meant}))
        for task in dynamic
    }
    mistakes += [
        f"the plan's {name} holds days that do not follow one another; export again"
        for name, held in days.items()
        if held and (held[-1] - held[0]).days + 1 != len(held)
    ]
    if sum(task.name == STATIC for task in manifest.tasks) != 1:
        mistakes.append("the plan has no static image; export again")
    return days, mistakes


def _unlike(mosaic: Mosaic, task: Task, manifest: Manifest) -> Iterator[str]:
    """In what an image is not what its task should have made."""
    path = mosaic.parts[0].path
    wanted = still(manifest.bands) if task.name == STATIC else task.columns
    held = Counter(mosaic.bands)
    if missing := [name for name in wanted if name not in held]:
        yield f"{path} has no band {_listed(missing)}; download it again"
    if doubled := [name for name in wanted if held[name] > 1]:
        yield f"{path} has more than one band {_listed(doubled)}; download it again"
    grid, here = manifest.grid, mosaic.grid
    if (
        here.shape != grid.shape
        or CRS.from_user_input(str(here.crs)) != CRS.from_user_input(manifest.crs)
        or not np.allclose(crs_transform(here), crs_transform(grid), rtol=0, atol=mosaics.ROUNDING)
    ):
        yield (
            f"{path} does not lie on the study's grid, {_described(grid)}, but on {_described(here)}: keep "
            "the files of one study"
        )


def _described(grid: GeoBox) -> str:
    metres, _, left, _, _, top = crs_transform(grid)
    return f"{grid.shape.x} x {grid.shape.y} pixels of {metres:g} m from {left:.0f}, {top:.0f} of {grid.crs}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
