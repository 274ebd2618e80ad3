"""Exports of images: to GeoTIFFs in Cloud Storage, and to assets.

The grid is in the expression, where clients fold it; tiles are computed two at a time and written as they
come, one file after the other, so that neither memory nor the disk holds more than it must. Masked pixels are
what noData says, else NaN in floating and 0 in other files, which is unverified against Google. Wording of
refusals as users have quoted it (gee-community/geemap#87 for types); names of files as
guides/exporting_images describes them, and how large a file grows as users' file names show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gee.local import registry
from gee.local.assets.buckets import Buckets, ObjectUri
from gee.local.assets.geotiffs import BLOCK, Layout, environment, optimise, raster_window, written
from gee.local.assets.iam import Identity
from gee.local.assets.image_content import new_image, write_content
from gee.local.assets.names import AssetName
from gee.local.assets.records import IMAGE
from gee.local.assets.store import AssetStore
from gee.local.batch.requests import ExportImage, FileExportOptions, GeoTiffOptions, ImageAssetOptions
from gee.local.batch.tasks import TaskHandle
from gee.local.batch.tiling import computed_tiles
from gee.local.engine import Engine, requested_grid
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid
from gee.local.raster.images import Image
from gee.local.raster.pixels import Window

FILE_BYTES = 2**32
"""Uncompressed size to which one file grows. Undocumented: files of 24, 40 and 8 bytes a pixel are seen to be
13,568, 10,496 and 23,296 pixels wide, the root of 2^32 over those bytes, up to the next shard."""
UPLOAD = "Write Files to Destination"
WRITTEN_FRACTION = 0.9  # of a task's progress, before the upload
_GDAL_NAMES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "int64": "Int64", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
BROWSER = "https://console.developers.google.com/storage/browser"
EDITOR = "https://code.earthengine.google.com/?asset="


@dataclass(frozen=True)
class Part:
    """One file of an export.

    Args:
        window: of the whole grid.
        name: of the object.
    """

    window: Window
    name: str


@dataclass(frozen=True, eq=False)
class ImageExports:
    """Runs the tasks of type EXPORT_IMAGE.

    Attributes:
        engine: computes.
        store: of assets.
        buckets: of Cloud Storage.
    """

    engine: Engine
    store: AssetStore
    buckets: Buckets

    def check(self, body: Mapping[str, Any], caller: Identity) -> None:
        """Refuse a request that can never run, before it is queued.

        Raises:
            EngineError: it is malformed, or asks for what is not supported.
        """
        request = ExportImage.read(body)
        if request.asset_export_options is not None:
            AssetName.parse(request.asset_export_options.earth_engine_destination.name)
        elif request.file_export_options is not None:
            _geotiff_options(request.file_export_options)
        else:
            raise EngineError("Either 'fileExportOptions' or 'assetExportOptions' is required.")

    def run(self, body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        """Export an image (a ``tasks.Runner``)."""
        self.check(body, caller)
        request = ExportImage.read(body)
        with environment():
            if request.asset_export_options is not None:
                return self._to_asset(request, request.asset_export_options, caller, handle)
            assert request.file_export_options is not None  # noqa: S101 - checked
            return self._to_files(request, request.file_export_options, caller, handle)

    @contextmanager
    def _image(self, request: ExportImage, caller: Identity) -> Iterator[tuple[Image, Grid]]:
        """The image and its grid, within a context that has no deadline."""
        context = self.engine.context(caller, None)
        with self.engine.evaluated(request.expression, caller, context) as value:
            image: Image = registry.expect(value, "Image")
            if not image.bands:
                raise EngineError("Image has no bands.")
            arrays = [band.name for band in image.bands if band.type.dimensions]
            if arrays:
                raise EngineError(f"Bands with array pixels cannot be exported: {', '.join(arrays)}.")
            grid = requested_grid(image, request.grid)
            pixels = grid.width * grid.height
            if pixels > request.max_pixels:
                raise EngineError(
                    f"Export too large: specified {pixels} pixels (max: {request.max_pixels}). "
                    "Specify higher maxPixels value if you intend to export a large area."
                )
            yield image, grid

    def _to_files(
        self, request: ExportImage, options: FileExportOptions, caller: Identity, handle: TaskHandle
    ) -> list[str]:
        destination = options.destination()
        geotiff = _geotiff_options(options)
        self.buckets.check_bucket(destination.bucket)
        with self._image(request, caller) as (image, grid), self.store.staging() as folder:
            dtype = common_type(image)
            missing = _missing(geotiff, dtype)
            pixel_bytes = dtype.itemsize * len(image.bands)
            parts = split(grid, geotiff, pixel_bytes, destination.filename_prefix)
            pixels = grid.width * grid.height
            done = 0
            for part in parts:
                here = grid.window(*part.window) if len(parts) > 1 else grid
                layout = Layout(here, dtype, len(image.bands), missing)
                before, done = done, done + part.window.width * part.window.height
                share = (WRITTEN_FRACTION * before / pixels, WRITTEN_FRACTION * done / pixels)
                path = folder / "export.tif"
                has_data = _write(image, layout, geotiff, path, handle, share)
                handle.check_cancelled()
                if part is parts[-1]:
                    handle.progress(share[1], UPLOAD)
                if has_data or not geotiff.skip_empty_files:
                    uri = ObjectUri(destination.bucket, part.name)
                    self.buckets.upload(path, uri, "image/tiff", handle.check_cancelled)
                path.unlink()
        return [browser_url(destination.bucket, destination.filename_prefix)]

    def _to_asset(
        self, request: ExportImage, options: ImageAssetOptions, caller: Identity, handle: TaskHandle
    ) -> list[str]:
        destination = options.earth_engine_destination
        self.store.check_creation(destination.name, IMAGE, caller, overwrite=destination.overwrite)
        with self._image(request, caller) as (image, grid), self.store.staging() as folder:
            unknown = sorted(set(options.pyramiding_policy_overrides) - set(image.names))
            if unknown:
                raise EngineError(
                    f"Pyramiding policy given for bands the image does not have: {', '.join(unknown)}."
                )
            dtypes = [band.type.dtype for band in image.bands]
            places = write_content(folder, dtypes, grid, computed_tiles(image, grid, BLOCK, handle))
            new = new_image(
                destination.name, image.bands, grid, places, image.properties, image.geometry,
                [options.pyramiding(name) for name in image.names],
            )  # fmt: skip
            handle.check_cancelled()
            self.store.create(new, caller, overwrite=destination.overwrite, folder=folder)
        return [f"{EDITOR}{destination.name}"]


def _write(
    image: Image,
    layout: Layout,
    options: GeoTiffOptions,
    path: Path,
    handle: TaskHandle,
    share: tuple[float, float],
) -> bool:
    """Write one file; whether anything of it is valid."""
    fill = layout.missing
    if fill is None:
        fill = math.nan if layout.dtype.kind == "f" else 0
    unfinished = path.with_suffix(".plain.tif")
    has_data = False
    with written(unfinished, layout) as target:
        for index, name in enumerate(image.names, start=1):
            target.set_band_description(index, name)
        target.update_tags(
            **{key: str(image.properties[key]) for key in options.metadata_keys if key in image.properties}
        )
        for window, rasters in computed_tiles(image, layout.grid, BLOCK, handle, share):
            shape = (window.height, window.width)
            block = np.empty((len(rasters), *shape), layout.dtype)
            for values, raster in zip(block, rasters, strict=True):
                valid = raster.valid(shape)
                values[...] = np.where(valid, raster.values, np.asarray(fill, layout.dtype))
                has_data = has_data or bool(valid.any())
            target.write(block, window=raster_window(window))
    if options.cloud_optimized:
        handle.check_cancelled()
        optimise(unfinished, path, layout)
        unfinished.unlink()
    else:
        unfinished.replace(path)
    return has_data


def browser_url(bucket: str, prefix: str) -> str:
    """The page that shows the files of an export, which Earth Engine gives as their destination."""
    folder = prefix.rpartition("/")[0]
    return f"{BROWSER}/{bucket}/{folder}/" if folder else f"{BROWSER}/{bucket}/"


def common_type(image: Image) -> np.dtype[Any]:
    """The type all bands of a file have.

    Raises:
        EngineError: they differ.
    """
    dtypes = list(dict.fromkeys(band.type.dtype for band in image.bands))
    if len(dtypes) > 1:
        first, second = (_GDAL_NAMES[dtype.name] for dtype in dtypes[:2])
        raise EngineError(
            f"Exported bands must have compatible data types; found inconsistent types: {first} and {second}."
        )
    return dtypes[0]


def split(grid: Grid, options: GeoTiffOptions, pixel_bytes: int, prefix: str) -> list[Part]:
    """The files an export is written to, row by row.

    Args:
        grid: of the whole export.
        options: say how large a file may be, in pixels.
        pixel_bytes: of all bands.
        prefix: of the objects' names.
    """
    shard = options.tile_size
    if options.tile_dimensions is not None:
        width, height = options.tile_dimensions.width, options.tile_dimensions.height
    else:
        width = height = math.ceil(math.sqrt(FILE_BYTES / pixel_bytes) / shard) * shard
    if grid.width <= width and grid.height <= height:
        return [Part(Window(0, 0, grid.height, grid.width), f"{prefix}.tif")]
    return [
        Part(
            Window(row, column, min(height, grid.height - row), min(width, grid.width - column)),
            f"{prefix}-{row:010}-{column:010}.tif",
        )
        for row in range(0, grid.height, height)
        for column in range(0, grid.width, width)
    ]


def _geotiff_options(options: FileExportOptions) -> GeoTiffOptions:
    options.destination()
    if options.file_format != "GEO_TIFF":
        raise EngineError(
            f"Images cannot be exported as '{options.file_format}' by the local engine; it writes GEO_TIFF."
        )
    geotiff = options.geo_tiff_options
    size = geotiff.tile_dimensions
    if size is not None and (size.width % geotiff.tile_size or size.height % geotiff.tile_size):
        raise EngineError(
            f"File dimensions ({size.width}x{size.height}) must be a multiple of the shard size "
            f"({geotiff.tile_size})."
        )
    return geotiff


def _missing(options: GeoTiffOptions, dtype: np.dtype[Any]) -> float | None:
    if options.no_data is None:
        return None
    value = options.no_data.value
    if dtype.kind == "f":
        return value
    limits = np.iinfo(dtype)
    if not (math.isfinite(value) and float(value).is_integer() and limits.min <= value <= limits.max):
        raise EngineError(f"The noData value {value:g} cannot be stored as {_GDAL_NAMES[dtype.name]}.")
    return int(value)
