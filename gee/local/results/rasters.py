"""Band rasters as the bytes of an image file: NPY, GeoTIFF, zipped GeoTIFFs, PNG and JPEG.

The formats are those of the REST reference's ``ImageFileFormat``. Masked pixels are 0 in NPY and in
integer GeoTIFFs, NaN in floating ones (documented practice is to ``unmask`` before a download; what is
written otherwise is unverified against Google); they are transparent in PNG.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image as Picture
from rasterio.io import MemoryFile

from gee import limits
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, crs_of
from gee.local.raster.pixels import Raster

JPEG_QUALITY = 90
TIFF_TILE = 256  # pixels; apidocs/export-image-tocloudstorage, shardSize
DISPLAYED = frozenset({"JPEG", "PNG", "AUTO_JPEG_PNG"})
PER_BAND = "ZIPPED_GEO_TIFF_PER_BAND"
ZIPPED = frozenset({"ZIPPED_GEO_TIFF", PER_BAND})  # only of thumbnails: REST reference, ImageFileFormat


@dataclass(frozen=True, eq=False)
class Sheet:
    """Computed bands over a grid, to be written.

    Args:
        names: of the bands.
        rasters: one per band.
        grid: of all bands.
        stem: name of the file inside a zip, without suffix.
    """

    names: tuple[str, ...]
    rasters: Sequence[Raster]
    grid: Grid
    stem: str = "download"


@dataclass(frozen=True)
class File:
    """What an HTTP response carries."""

    body: bytes
    media_type: str
    name: str | None = None


def check_size(
    dtypes: Sequence[np.dtype[Any]], grid: Grid, *, side: int = limits.MAX_PIXEL_SIDE, download: bool = False
) -> None:
    """Refuse a request before any pixel of it is computed.

    Args:
        dtypes: of the bands.
        grid: of the request.
        side: pixels per dimension allowed.
        download: the limit is that of ``getDownloadURL``, else that of ``computePixels``.

    Raises:
        EngineError: as Earth Engine words it.
    """
    if not dtypes:
        raise EngineError("Image has no bands.")
    if max(grid.shape) > side:
        raise EngineError(
            f"Pixel grid dimensions ({grid.width}x{grid.height}) must be less than or equal to {side}."
        )
    if len(dtypes) > limits.MAX_PIXEL_BANDS:
        raise EngineError(
            f"Number of bands ({len(dtypes)}) must be less than or equal to {limits.MAX_PIXEL_BANDS}."
        )
    if download:
        # geedim measured that 8-bit pixels count twice in downloads.
        limit, pixel = limits.MAX_DOWNLOAD_BYTES, sum(max(dtype.itemsize, 2) for dtype in dtypes)
    else:
        # Each band has a byte of mask (google/Xee#209).
        limit, pixel = limits.MAX_PIXEL_BYTES, sum(dtype.itemsize + 1 for dtype in dtypes)
    size = grid.width * grid.height * pixel
    if size > limit:
        raise EngineError(f"Total request size ({size} bytes) must be less than or equal to {limit} bytes.")


def check_format(file_format: str, *, download: bool = False) -> None:
    """Refuse a format before anything is computed.

    Args:
        file_format: a name of ``ImageFileFormat``.
        download: whether the request is a thumbnail's, which may be zipped.

    Raises:
        EngineError: an unknown or unsupported format.
    """
    known = WRITERS.keys() | (ZIPPED if download else frozenset())
    if file_format not in known:
        raise EngineError(
            f"File format '{file_format}' is not supported by the local engine here; "
            f"it writes {', '.join(sorted(known))}."
        )


def write(file_format: str, sheets: Sequence[Sheet]) -> File:
    """The bands as a file.

    Args:
        file_format: a name of ``ImageFileFormat``; PNG and JPEG take one or three 8-bit bands.
        sheets: one, but for zipped formats, which hold a file for each.

    Raises:
        EngineError: bands that the format cannot hold.
    """
    rasters = [raster for sheet in sheets for raster in sheet.rasters]
    if any(raster.values.ndim > 2 or raster.values.dtype == object for raster in rasters):
        raise EngineError(
            "Bands with array pixels cannot be written to a file; use arrayFlatten or arrayGet."
        )
    if file_format in ZIPPED:
        return _zipped(sheets)
    [sheet] = sheets
    return WRITERS[file_format](sheet)


def _filled(raster: Raster, shape: tuple[int, int], dtype: np.dtype[Any], fill: float = 0) -> NDArray[Any]:
    values = np.broadcast_to(raster.values, shape)
    if raster.mask is None:
        return values.astype(dtype, copy=False)
    result: NDArray[Any] = np.where(raster.valid(shape), values, dtype.type(fill)).astype(dtype, copy=False)
    return result


def _dtype(raster: Raster) -> np.dtype[Any]:
    return np.dtype(np.uint8) if raster.values.dtype == np.bool_ else raster.values.dtype


def _npy(sheet: Sheet) -> File:
    fields = [(name, _dtype(raster)) for name, raster in zip(sheet.names, sheet.rasters, strict=True)]
    array = np.empty(sheet.grid.shape, fields)
    for (name, dtype), raster in zip(fields, sheet.rasters, strict=True):
        array[name] = _filled(raster, sheet.grid.shape, dtype)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return File(buffer.getvalue(), "application/octet-stream")


def _geotiff(sheet: Sheet) -> File:
    dtype = np.result_type(*(_dtype(raster) for raster in sheet.rasters))
    fill = np.nan if dtype.kind == "f" else 0
    a, b, c, d, e, f = sheet.grid.projection.transform
    tiled = min(sheet.grid.shape) >= TIFF_TILE
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": sheet.grid.height,
        "width": sheet.grid.width,
        "count": len(sheet.rasters),
        "dtype": dtype.name,
        "crs": _crs(sheet.grid.crs),
        "transform": rasterio.Affine(a, b, c, d, e, f),
        "compress": "lzw",
        "interleave": "pixel" if len(sheet.rasters) <= 4 else "band",
        **({"tiled": True, "blockxsize": TIFF_TILE, "blockysize": TIFF_TILE} if tiled else {}),
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            for index, (name, raster) in enumerate(zip(sheet.names, sheet.rasters, strict=True), start=1):
                target.write(_filled(raster, sheet.grid.shape, dtype, fill), index)
                target.set_band_description(index, name)
        return File(bytes(memory.getbuffer()), "image/tiff", f"{_safe(sheet.stem)}.tif")


def _crs(code: str) -> rasterio.crs.CRS:
    epsg = re.fullmatch(r"EPSG:(\d+)", code)
    return (
        rasterio.crs.CRS.from_epsg(int(epsg[1])) if epsg else rasterio.crs.CRS.from_wkt(crs_of(code).to_wkt())
    )


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _zipped(sheets: Sequence[Sheet]) -> File:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # LZW inside: deflating again gains nothing
        for sheet in sheets:
            archive.writestr(f"{_safe(sheet.stem)}.tif", _geotiff(sheet).body)
    return File(buffer.getvalue(), "application/zip", f"{_safe(sheets[0].stem.partition('.')[0])}.zip")


def _picture(sheet: Sheet) -> tuple[Picture.Image, NDArray[np.uint8]]:
    if len(sheet.rasters) not in (1, 3) or any(_dtype(raster) != np.uint8 for raster in sheet.rasters):
        raise EngineError("Only one or three 8-bit bands can be displayed; visualize the image first.")
    shape = sheet.grid.shape
    bands = [_filled(raster, shape, np.dtype(np.uint8)) for raster in sheet.rasters]
    alpha = np.minimum.reduce([raster.weights(shape) for raster in sheet.rasters])
    image = Picture.fromarray(bands[0] if len(bands) == 1 else np.dstack(bands))
    return image, np.round(alpha * 255).astype(np.uint8)


def _png(sheet: Sheet) -> File:
    image, alpha = _picture(sheet)
    if alpha.min(initial=255) < 255:
        image.putalpha(Picture.fromarray(alpha))
    return File(_saved(image, "PNG"), "image/png")


def _jpeg(sheet: Sheet) -> File:
    image, _ = _picture(sheet)
    return File(_saved(image, "JPEG", quality=JPEG_QUALITY), "image/jpeg")


def _jpeg_or_png(sheet: Sheet) -> File:
    image, alpha = _picture(sheet)
    if alpha.min(initial=255) == 255:
        return File(_saved(image, "JPEG", quality=JPEG_QUALITY), "image/jpeg")
    image.putalpha(Picture.fromarray(alpha))
    return File(_saved(image, "PNG"), "image/png")


def _saved(image: Picture.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


WRITERS: Mapping[str, Callable[[Sheet], File]] = {
    "NPY": _npy,
    "GEO_TIFF": _geotiff,
    "PNG": _png,
    "JPEG": _jpeg,
    "AUTO_JPEG_PNG": _jpeg_or_png,
}
