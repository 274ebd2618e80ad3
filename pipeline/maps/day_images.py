"""A prediction day by day as cloud-optimised GeoTIFFs, which maps, GIS and Earth Engine read as they are.

An image that already shows the same values and says the same of itself keeps its file, so that what is
published from it need not be published again. Layout: https://gdal.org/drivers/raster/cog.html.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import pandas as pd
import rasterio
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile

from gee.exports import NODATA
from pipeline.errors import DataError
from pipeline.maps.bands import bands_of
from pipeline.maps.prediction_store import FINGERPRINT
from pipeline.maps.scheduling import Workers
from pipeline.progress import Report
from pipeline.work.staging import whole, write_json

UNITS = "m3/m3"
BLOCK_PIXELS = 256
SMALL = 1024  # pixels along a side; overviews of so few take as long as the image and are of no use
LEVEL = 1  # of DEFLATE: the usual 6 takes a quarter longer and saves nothing on these fields
SLAB_BYTES = 64e6  # of days that a task holds
SLAB_DAYS = 8  # that a task holds: a quarter of a chunk, so that few days too keep several threads busy
RECORD = "images.json"
Pixels = NDArray[np.float32]
"""Of a day: (bands, y, x)."""


@dataclass(frozen=True)
class Images:
    """What ``write_images`` found or made.

    Attributes:
        written: days whose image was written; those of the others were there already.
        removed: days whose image belonged to an earlier prediction.
    """

    written: tuple[dt.date, ...]
    removed: tuple[dt.date, ...]


def image_path(folder: Path, day: dt.date) -> Path:
    """The image of a day."""
    return folder / f"sm_{day:%Y%m%d}.tif"


def write_images(prediction: Path, folder: Path, workers: Workers, report: Report) -> Images:
    """Write an image for each day of a prediction, and remove those of other days.

    Args:
        prediction: a whole store of ``pipeline.maps.prediction_store``.
        folder: for the images; made.
        workers: who writes them.
        report: told the share that is done.

    Raises:
        DataError: the folder cannot be written.
    """
    with xr.open_zarr(prediction, chunks=None, consolidated=False, decode_coords="all") as store:
        fingerprint = str(store.attrs[FINGERPRINT])
        days = [day.date() for day in pd.DatetimeIndex(store["time"].to_numpy())]
        values = store.sizes["y"] * store.sizes["x"] * len(bands_of(store))
    removed = tuple(_foreign(folder, days))
    if not removed and _recorded(folder, fingerprint, days):
        return Images((), ())
    length = int(max(1, min(SLAB_DAYS, SLAB_BYTES // (4 * values))))
    slabs = [slice(first, first + length) for first in range(0, len(days), length)]
    written: list[dt.date] = []
    done = 0

    def told(found: tuple[dt.date, ...]) -> None:
        nonlocal done
        done += 1
        written.extend(found)
        report(f"images: {min(done * length, len(days))} of {len(days)} days", done / len(slabs))

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".sm_????????.*.tif"):  # by a run that was killed
            left.unlink(missing_ok=True)
        for day in removed:
            image_path(folder, day).unlink(missing_ok=True)
        report(f"images: 0 of {len(days)} days", 0.0)
        workers.run(partial(_write_slab, prediction, folder), slabs, told)
        files = {path.name: _stat(path) for path in (image_path(folder, day) for day in days)}
        with whole(folder / RECORD) as beside:
            write_json(beside, {FINGERPRINT: fingerprint, "files": files})
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. Make room or name another folder; the "
            "images that are there stay"
        ) from error
    return Images(tuple(sorted(written)), removed)


def _recorded(folder: Path, fingerprint: str, days: list[dt.date]) -> bool:
    """Whether the folder holds the images of a prediction as they were written."""
    try:
        told = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = {path.name: _stat(path) for path in (image_path(folder, day) for day in days)}
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told == {FINGERPRINT: fingerprint, "files": files}


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _foreign(folder: Path, days: list[dt.date]) -> Iterator[dt.date]:
    """Days that have an image but are not among ``days``."""
    for path in sorted(folder.glob("sm_????????.tif")):
        with suppress(ValueError):
            day = dt.datetime.strptime(path.stem, "sm_%Y%m%d").date()
            if day not in days:
                yield day


def _write_slab(prediction: Path, folder: Path, slab: slice) -> tuple[dt.date, ...]:
    """Write the images of a few days; returns those whose file is new."""
    with xr.open_zarr(prediction, chunks=None, consolidated=False, decode_coords="all") as store:
        part = store.isel(time=slab)
        days = [day.date() for day in pd.DatetimeIndex(part["time"].to_numpy())]
        bands = bands_of(part)
        values = np.empty((len(days), len(bands), part.sizes["y"], part.sizes["x"]), np.float32)
        for number, name in enumerate(bands):
            values[:, number] = part[name].to_numpy()
        grid: GeoBox = store.odc.geobox
        tags = {
            "units": UNITS,
            "model_hash": str(store.attrs["model_hash"]),
            "study_hash": str(store.attrs["study_hash"]),
            "simulated": str(int(store.attrs["simulated"])),
        }
    return tuple(
        day
        for day, image in zip(days, values, strict=True)
        if _write_day(image_path(folder, day), image, bands, grid, tags | {"date": str(day)})
    )


def _write_day(
    path: Path, image: Pixels, bands: tuple[str, ...], grid: GeoBox, tags: Mapping[str, str]
) -> bool:
    """Write an image unless it is there; returns whether it was written."""
    values = np.where(np.isnan(image), np.float32(NODATA), image)
    if _shows(path, values, bands, grid, tags):
        return False
    with whole(path) as beside:
        beside.write_bytes(_cog(values, bands, grid, tags))
    return True


def _shows(path: Path, values: Pixels, bands: tuple[str, ...], grid: GeoBox, tags: Mapping[str, str]) -> bool:
    """Whether an image is there, whole, and says and shows the same."""
    if not path.exists():
        return False
    try:
        with rasterio.open(path) as file:
            same = tags.items() <= file.tags().items() and file.transform == grid.affine
            return bool(
                same
                and file.descriptions == bands
                and file.crs == CRS.from_user_input(str(grid.crs))
                and np.array_equal(file.read(), values)
            )
    except RasterioIOError:
        return False


def _cog(values: Pixels, bands: tuple[str, ...], grid: GeoBox, tags: Mapping[str, str]) -> bytes:
    height, width = values.shape[1:]
    profile: dict[str, Any] = {
        "driver": "COG", "count": len(bands), "dtype": "float32", "height": height, "width": width,
        "crs": str(grid.crs), "transform": grid.affine, "nodata": NODATA, "compress": "DEFLATE",
        "level": LEVEL, "predictor": "FLOATING_POINT", "blocksize": BLOCK_PIXELS,
        "overviews": "NONE" if max(height, width) <= SMALL else "AUTO", "overview_resampling": "AVERAGE",
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(values)
            for number, name in enumerate(bands, start=1):
                file.set_band_description(number, name)
            file.update_tags(**tags)
        return bytes(memory.getbuffer())
