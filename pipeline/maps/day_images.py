"""A prediction day by day as cloud-optimised GeoTIFFs, which maps, GIS and Earth Engine read as they are.

An image that already shows the same values and says the same of itself keeps its file, so that what is
published from it need not be published again. New ones wait in a hidden folder until the prediction is whole.
They hold band after band behind their directory, as Earth Engine asks of images that stay in a bucket:
https://developers.google.com/earth-engine/Earth_Engine_asset_from_cloud_geotiff.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import pandas as pd
import rasterio
import rasterio.shutil
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile

from gee.exports import NODATA
from pipeline.errors import DataError
from pipeline.maps.bands import DETAIL, FINGERPRINT, bands_of
from pipeline.maps.scheduling import Workers
from pipeline.progress import Report
from pipeline.work.staging import whole, write_json

UNITS = "m3/m3"
BLOCK_PIXELS = 256
SMALL = 1024  # pixels along a side; overviews of so few take as long as the image and are of no use
# Of DEFLATE: the usual 6 takes a quarter longer and saves nothing on these fields. A predictor of neighbours
# would save a quarter of the bytes of rounded numbers and take a third longer; plain ones are read by all.
LEVEL = 1
SLAB_BYTES = 64e6  # of days that a task holds
SLAB_DAYS = 8  # that a task holds: a quarter of a block, so that few days too keep several threads busy
RECORD, WAITING = "images.json", ".new"
Bands = Mapping[str, NDArray[np.float32]]
"""Of a day, (y, x) by name, in the order of the image; NaN is missing."""


@dataclass(frozen=True)
class Images:
    """What ``finish_images`` found or made.

    Attributes:
        written: days whose image is new; those of the others were there already.
        removed: days whose image belonged to an earlier prediction.
    """

    written: tuple[dt.date, ...]
    removed: tuple[dt.date, ...]


@dataclass(frozen=True)
class DayFile:
    """The file of a day while its prediction is made.

    Attributes:
        name: of the file.
        waiting: whether it is a new one, which waits; else the one that was there shows the same.
        size: bytes.
        modified: when it was written, nanoseconds.
    """

    name: str
    waiting: bool
    size: int
    modified: int


def image_path(folder: Path, day: dt.date) -> Path:
    """The image of a day."""
    return folder / f"sm_{day:%Y%m%d}.tif"


class DayImages:
    """Makes the images of a prediction.

    Args:
        folder: for them.
        grid: of the prediction.
        attributes: of its store.
    """

    def __init__(self, folder: Path, grid: GeoBox, attributes: Mapping[str, Any]) -> None:
        self.folder, self.grid = folder, grid
        self.tags = {
            "units": UNITS,
            "model_hash": str(attributes["model_hash"]),
            "study_hash": str(attributes["study_hash"]),
            "simulated": str(int(attributes["simulated"])),
            **({DETAIL: str(attributes[DETAIL])} if DETAIL in attributes else {}),
        }

    def make(self, day: dt.date, bands: Bands) -> DayFile:
        """Make the image of a day, which then waits, unless the one that is there shows the same.

        Args:
            day: that the image is of.
            bands: its values; what is missing becomes ``NODATA`` in these arrays.

        Raises:
            DataError: the folder cannot be written.
        """
        for values in bands.values():
            values[np.isnan(values)] = NODATA
        tags = self.tags | {"date": str(day)}
        path = image_path(self.folder, day)
        waiting = not _shows(path, bands, self.grid, tags)
        with _written(self.folder):
            if waiting:
                path = image_path(self.folder / WAITING, day)
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole(path) as beside:
                    beside.write_bytes(_tiff(bands, self.grid, tags))
            return DayFile(path.name, waiting, *_stat(path))


def finish_images(
    prediction: Path, folder: Path, workers: Workers, report: Report, made: Iterable[DayFile] = ()
) -> Images:
    """See that there is an image for each day of a prediction, and none of other days.

    Args:
        prediction: a whole store of ``pipeline.maps.prediction_store``.
        folder: for the images; made.
        workers: who makes those that are missing.
        report: told the share that is done.
        made: images that were made with the prediction.

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
    written: list[dt.date] = []
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for day in removed:
            image_path(folder, day).unlink(missing_ok=True)
        there = _put(folder, made, written)
        length = int(max(1, min(SLAB_DAYS, SLAB_BYTES // (4 * values))))
        slabs = [range(first, min(first + length, len(days))) for first in range(0, len(days), length)]
        lacking = [tuple(at for at in slab if days[at] not in there) for slab in slabs]
        done = len(there)

        def told(files: Sequence[DayFile]) -> None:
            nonlocal done
            done += len(files)
            _put(folder, files, written)
            report(f"images: {done} of {len(days)} days", done / len(days))

        told(())
        workers.run(partial(_make_slab, prediction, folder), [slab for slab in lacking if slab], told)
        shutil.rmtree(folder / WAITING, ignore_errors=True)
        files = {path.name: _stat(path) for path in (image_path(folder, day) for day in days)}
        with whole(folder / RECORD) as beside:
            write_json(beside, {FINGERPRINT: fingerprint, "files": files})
    return Images(tuple(sorted(written)), removed)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Say of what goes wrong with the files of a folder what to do about it."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. Make room or name another folder; the "
            "images that are there stay"
        ) from error


def _put(folder: Path, files: Iterable[DayFile], written: list[dt.date]) -> set[dt.date]:
    """Put files that wait into their place; the days whose image is there, as it was made.

    Args:
        folder: of the images.
        files: of some days.
        written: gets the days whose file is new.
    """
    there = set()
    for one in files:
        path = (folder / WAITING if one.waiting else folder) / one.name
        with suppress(FileNotFoundError):
            if _stat(path) == [one.size, one.modified]:
                there.add(day := _day(path))
                if one.waiting:
                    path.replace(folder / one.name)
                    written.append(day)
    return there


def _recorded(folder: Path, fingerprint: str, days: Sequence[dt.date]) -> bool:
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


def _day(path: Path) -> dt.date:
    return dt.datetime.strptime(path.stem, "sm_%Y%m%d").date()


def _foreign(folder: Path, days: Sequence[dt.date]) -> Iterator[dt.date]:
    """Days that have an image but are not among ``days``."""
    wanted = frozenset(days)
    for path in sorted(folder.glob("sm_????????.tif")):
        with suppress(ValueError):
            if (day := _day(path)) not in wanted:
                yield day


def _make_slab(prediction: Path, folder: Path, places: Sequence[int]) -> tuple[DayFile, ...]:
    """Make the images of a few days of a store, which lie near each other."""
    with xr.open_zarr(prediction, chunks=None, consolidated=False, decode_coords="all") as store:
        part = store.isel(time=slice(places[0], places[-1] + 1))
        days = [day.date() for day in pd.DatetimeIndex(part["time"].to_numpy())]
        values = {name: part[name].to_numpy() for name in bands_of(part)}
        images = DayImages(folder, store.odc.geobox, store.attrs)
    return tuple(
        images.make(days[at], {name: field[at] for name, field in values.items()})
        for at in (place - places[0] for place in places)
    )


def _shows(path: Path, bands: Bands, grid: GeoBox, tags: Mapping[str, str]) -> bool:
    """Whether an image is there, whole, and says and shows the same."""
    if not path.exists():
        return False
    try:
        with rasterio.open(path) as file:
            same = tags.items() <= file.tags().items() and file.transform == grid.affine
            return bool(
                same
                and file.descriptions == tuple(bands)
                and file.crs == CRS.from_user_input(str(grid.crs))
                and file.shape == grid.shape
                and all(
                    np.array_equal(file.read(number), values)
                    for number, values in enumerate(bands.values(), start=1)
                )
            )
    except RasterioIOError:
        return False


def _tiff(bands: Bands, grid: GeoBox, tags: Mapping[str, str]) -> bytes:
    height, width = grid.shape
    layout: dict[str, Any] = {
        "driver": "GTiff", "tiled": True, "blockxsize": BLOCK_PIXELS, "blockysize": BLOCK_PIXELS,
        "interleave": "band", "compress": "DEFLATE", "zlevel": LEVEL,
    }  # fmt: skip
    plain: dict[str, Any] = {"driver": "GTiff", "interleave": "band"}
    large = max(height, width) > SMALL
    with MemoryFile() as memory:
        with memory.open(
            count=len(bands), dtype="float32", height=height, width=width, crs=str(grid.crs),
            transform=grid.affine, nodata=NODATA, **(plain if large else layout),
        ) as file:  # fmt: skip
            # Before the pixels, behind which the directory would have to go if it grew.
            for number, name in enumerate(bands, start=1):
                file.set_band_description(number, name)
            file.update_tags(**tags)
            for number, values in enumerate(bands.values(), start=1):
                file.write(values, number)
            if large:
                file.build_overviews(_factors(height, width), Resampling.average)
        if not large:
            return bytes(memory.getbuffer())
        with memory.open() as file, MemoryFile(ext=".tif") as ordered:
            rasterio.shutil.copy(file, ordered.name, copy_src_overviews=True, **layout)
            return bytes(ordered.getbuffer())


def _factors(height: int, width: int) -> list[int]:
    """Of overviews, down to one that a block holds."""
    factors = [2]
    while max(height, width) > BLOCK_PIXELS * factors[-1]:
        factors.append(2 * factors[-1])
    return factors
