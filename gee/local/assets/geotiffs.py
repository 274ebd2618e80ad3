"""GeoTIFF files: written window by window, turned into COGs by GDAL, checked when closed.

GDAL caches blocks and may fail to write them only when a file is closed, where nobody hears of it; so a
finished file is looked over before it is called one. Compression and tiles are those of Earth Engine's
files (guides/exporting_images; the "cloud optimized" ones of 512 pixels are GDAL's default).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, crs_of
from gee.local.raster.pixels import Window

BLOCK = 256  # pixels; apidocs/export-image-tocloudstorage, shardSize
COG_BLOCK = 512  # pixels; GDAL's COG driver
COG_BLOCK_BYTES = 64 << 20  # of all bands of a block, which GDAL holds at once
CACHE_BYTES = 64 << 20  # of GDAL's blocks that are not written yet
FULL_BYTES = 4 << 20  # a disk with less room is called full
_BYTES_OF_BIG = 2**31  # uncompressed; GDAL's IF_SAFER rule


def crs_for_gdal(code: str) -> rasterio.crs.CRS:
    """A coordinate system of the engine as GDAL has it."""
    epsg = re.fullmatch(r"EPSG:(\d+)", code)
    return (
        rasterio.crs.CRS.from_epsg(int(epsg[1])) if epsg else rasterio.crs.CRS.from_wkt(crs_of(code).to_wkt())
    )


def environment() -> rasterio.Env:
    """GDAL's settings for a batch task: its cache is bounded, and it looks for no files beside others."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


@dataclass(frozen=True)
class Layout:
    """What a GeoTIFF holds and how.

    Args:
        grid: of its pixels.
        dtype: of all bands.
        bands: how many.
        missing: value of pixels without data, written as its nodata; None for none.
        compress: GDAL's name of the compression.
        block: side of its tiles in pixels, a multiple of 16.
    """

    grid: Grid
    dtype: np.dtype[Any]
    bands: int = 1
    missing: float | None = None
    compress: str = "LZW"
    block: int = BLOCK

    def profile(self) -> dict[str, Any]:
        """What rasterio creates it with."""
        grid = self.grid
        size = grid.width * grid.height * self.bands * self.dtype.itemsize
        tiled = {"tiled": True, "blockxsize": self.block, "blockysize": self.block}
        return {
            "driver": "GTiff",
            "width": grid.width,
            "height": grid.height,
            "count": self.bands,
            "dtype": self.dtype.name,
            "crs": crs_for_gdal(grid.crs),
            "transform": rasterio.Affine(*grid.projection.transform),
            "nodata": self.missing,
            "compress": self.compress,
            # Few bands are wanted together, many one by one.
            "interleave": "pixel" if self.bands <= 4 else "band",
            "bigtiff": "YES" if size > _BYTES_OF_BIG else "NO",
            **(tiled if min(grid.shape) >= self.block else {}),
        }


def raster_window(window: Window) -> RasterWindow:
    """A window as rasterio has it."""
    return RasterWindow(window.column, window.row, window.width, window.height)


@contextmanager
def written(path: Path, layout: Layout) -> Iterator[Any]:
    """A GeoTIFF to be filled until the block ends, and whole afterwards.

    Raises:
        EngineError: something of it could not be written.
    """
    with storing(path.parent):
        with rasterio.open(path, "w", **layout.profile()) as target:
            yield target
        check_whole(path)


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Tells in the engine's words that files cannot be written.

    Raises:
        EngineError: FAILED_PRECONDITION when the disk is full, else INTERNAL.
    """
    try:
        yield
    except (OSError, RasterioError) as error:
        if shutil.disk_usage(folder).free < FULL_BYTES:
            raise no_space() from error
        raise EngineError(f"A file of the task could not be written: {error}", "INTERNAL") from error


def no_space() -> EngineError:
    """What is said when the disk is full."""
    return EngineError(
        "No space left on the disk that holds the local engine's state.", "FAILED_PRECONDITION"
    )


def check_whole(path: Path) -> None:
    """Make sure that every block of a GeoTIFF is in the file.

    Raises:
        RasterioError: it cannot be opened, or a block lies beyond its end.
    """
    size = path.stat().st_size
    with rasterio.open(path) as source:
        interleaved = source.profile.get("interleave") == "pixel"
        rows, columns = source.block_shapes[0]
        for band in [1] if interleaved else source.indexes:
            for y in range(-(-source.height // rows)):
                for x in range(-(-source.width // columns)):
                    offset = source.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
                    length = source.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
                    if offset is None or int(offset) + int(length or 0) > size:
                        raise RasterioError(f"block {x}, {y} of band {band} of {path.name} is missing")


def optimise(source: Path, target: Path, layout: Layout) -> None:
    """Write a Cloud Optimized GeoTIFF with the content of another; overviews hold pixels of it unchanged.

    Raises:
        EngineError: it could not be written.
    """
    block = COG_BLOCK
    while block > 128 and block * block * layout.bands * layout.dtype.itemsize > COG_BLOCK_BYTES:
        block //= 2
    with storing(target.parent):
        rasterio.shutil.copy(
            source,
            target,
            driver="COG",
            blocksize=block,
            compress=layout.compress,
            overview_resampling="nearest",
            bigtiff="IF_SAFER",
        )
        check_whole(target)
