"""A user's own files as assets: what `gee-smap local mount` records of rasters and tables.

One raster is an image, several are a collection with an image for each, dated by their names; tables are
read once to count their features. The files stay where they are and are read through GDAL as they are:
scale factors of a format are not applied, as Earth Engine's ingestion does not apply them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.errors import RasterioError

from gee.local.assets.descriptions import describe_type
from gee.local.assets.names import AssetName
from gee.local.assets.records import IMAGE, IMAGE_COLLECTION, TABLE, Asset, NewAsset
from gee.local.assets.store import AssetStore
from gee.local.assets.stored import RASTER
from gee.local.assets.tablefiles import READERS, read_table
from gee.local.errors import EngineError
from gee.local.raster.scenes import grid_outline
from gee.local.sources.dataset import RasterGrid
from gee.local.values import type_of

# The same day as 2019-04-07, 2019_04_07, 20190407, 2019097 or A2019097, not inside a longer number.
_DATES = (
    (re.compile(r"(?<!\d)(\d{4})[-_]?(\d{2})[-_]?(\d{2})(?!\d)"), "%Y%m%d"),
    (re.compile(r"(?<!\d)(\d{4})[-_]?(\d{3})(?!\d)"), "%Y%j"),
)
_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Mount:
    """How files are to be served.

    Args:
        asset_id: as expressions name it: ``MODIS/061/MOD11A1``, ``projects/p/assets/x``.
        files: rasters, or one table.
        properties: of the asset.
        start: milliseconds since 1970 UTC, of a single raster.
        end: likewise; with a start and without it, a day later.
        missing: value that is masked, beside what the files themselves declare.
        pyramiding: MEAN, SAMPLE, MODE, MIN, MAX or MEDIAN, of every band.
    """

    asset_id: str
    files: tuple[Path, ...]
    properties: Mapping[str, Any]
    start: int | None = None
    end: int | None = None
    missing: float | None = None
    pyramiding: str = "MEAN"


def mount(store: AssetStore, wanted: Mount) -> Asset:
    """Serve files as an asset.

    Raises:
        EngineError: a file cannot be read or has no place on Earth, or the name cannot be used.
    """
    name = str(AssetName.from_id(wanted.asset_id))
    if not wanted.files:
        raise EngineError("There is no file to mount.")
    for path in wanted.files:
        if not path.is_file():
            raise EngineError(f"Cannot mount '{path}': there is no such file.", "NOT_FOUND")
    if wanted.files[0].suffix.lower() in READERS:
        if len(wanted.files) > 1:
            raise EngineError("A table is one file.")
        return store.mount(_table(name, wanted), wanted.files)
    if len(wanted.files) == 1:
        return store.mount(raster(name, wanted.files[0], wanted), wanted.files)
    images = [_of_collection(name, path, wanted) for path in wanted.files]
    if len({image.name for image in images}) < len(images):
        raise EngineError(
            "Two of the files would be the same image: their names differ only in their folders."
        )
    collection = store.mount(NewAsset(name, IMAGE_COLLECTION, wanted.properties), ())
    for image, path in zip(images, wanted.files, strict=True):
        store.mount(image, [path])
    return collection


def _of_collection(name: str, path: Path, wanted: Mount) -> NewAsset:
    start = date_in(path.stem)
    dated = replace(wanted, properties={}, start=start, end=None)
    return raster(f"{name}/{_NAME.sub('_', path.stem)}", path, dated)


def date_in(stem: str) -> int | None:
    """The day a file's name tells, in milliseconds since 1970 UTC."""
    for pattern, form in _DATES:
        for found in pattern.finditer(stem):
            try:
                day = datetime.strptime("".join(found.groups()), form).replace(tzinfo=UTC)
            except ValueError:
                continue
            if 1900 <= day.year <= 2100 and str(day.year) == found[1]:  # day 366 may be of the year after
                return int(day.timestamp() * 1000)
    return None


def raster(name: str, path: Path, wanted: Mount) -> NewAsset:
    """The image of a raster file, or of the one raster grid all subdatasets of it share.

    Raises:
        EngineError: GDAL cannot read it, or it has no coordinate system.
    """
    places: list[tuple[str | None, int, str]] = []
    try:
        with rasterio.open(path) as source:
            inner = source.subdatasets
            if not inner:
                places = [(None, band, "") for band in source.indexes]
        for part in inner:
            with rasterio.open(part) as source:
                label = _NAME.sub("_", part.rpartition(":")[2].strip("/"))
                for band in source.indexes:
                    suffix = f"_{band}" if source.count > 1 else ""
                    places.append((part.replace(str(path), "{}"), band, label + suffix))
        bands, recorded = _bands(path, places, wanted)
    except RasterioError as error:
        raise EngineError(f"'{path}' cannot be read as a raster: {error}") from error
    end = wanted.end
    if end is None and wanted.start is not None:
        end = wanted.start + int(timedelta(days=1) / timedelta(milliseconds=1))
    return NewAsset(
        name, IMAGE, wanted.properties, wanted.start, end, bands, _outline(bands[0]), extra={RASTER: recorded}
    )


def _bands(
    path: Path, places: Sequence[tuple[str | None, int, str]], wanted: Mount
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    bands: list[dict[str, Any]] = []
    recorded: list[dict[str, Any]] = []
    for subdataset, index, label in places:
        opened = str(path) if subdataset is None else subdataset.replace("{}", str(path))
        with rasterio.open(opened) as source:
            if _crs(source) is None:
                raise EngineError(f"'{path}' has no coordinate system, so its pixels have no place.")
            described = source.descriptions[index - 1]
            named = label or (_NAME.sub("_", described) if described else "") or f"b{index}"
            dtype = np.dtype(source.dtypes[index - 1])
            if dtype.kind not in "iuf":
                raise EngineError(f"'{path}' has pixels of type {dtype}, which no image holds.")
            bands.append({
                "id": named,
                "dataType": describe_type(type_of(dtype)),
                "grid": _grid(source),
                "pyramidingPolicy": wanted.pyramiding,
            })  # fmt: skip
            recorded.append({
                "file": 0, "subdataset": subdataset, "band": index, "missing": wanted.missing,
            })  # fmt: skip
    if len({band["id"] for band in bands}) < len(bands):
        for number, band in enumerate(bands, start=1):
            band["id"] = f"b{number}"
    return bands, recorded


def _crs(source: Any) -> Any:
    """The coordinate system of a file; NetCDF with coordinates in degrees needs no other sign of it.

    CF conventions 1.11, section 5.6: without a grid mapping the figure of the Earth is left open; WGS84 here.
    """
    if source.crs is None and source.driver == "netCDF" and "degrees_east" in source.tags().values():
        return rasterio.crs.CRS.from_epsg(4326)
    return source.crs


def _grid(source: Any) -> dict[str, Any]:
    system = _crs(source)
    epsg = system.to_epsg()
    crs = {"crsCode": f"EPSG:{epsg}"} if epsg else {"crsWkt": system.to_wkt()}
    a, b, c, d, e, f = list(source.transform)[:6]
    terms = {"scaleX": a, "shearX": b, "translateX": c, "shearY": d, "scaleY": e, "translateY": f}
    return {
        **crs,
        "affineTransform": {name: term for name, term in terms.items() if term},
        "dimensions": {"width": source.width, "height": source.height},
    }


def _outline(band: Mapping[str, Any]) -> dict[str, Any] | None:
    grid = band["grid"]
    affine, size = grid["affineTransform"], grid["dimensions"]
    a, b, c, d, e, f = (
        affine.get(name, 0.0) for name in ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    )
    outline = grid_outline(
        RasterGrid(grid.get("crsCode") or grid["crsWkt"], (a, b, c, d, e, f), size["width"], size["height"])
    )
    return None if outline is None else outline.to_crs("EPSG:4326", geodesic=False).as_json()


def _table(name: str, wanted: Mount) -> NewAsset:
    shapes = []
    count = 0
    for feature in read_table(wanted.files[0]):
        count += 1
        if feature.geometry is not None and not feature.geometry.is_empty:
            shapes.append(shapely.box(*feature.geometry.bounds_in("EPSG:4326")))
    geometry = None
    if shapes:
        geometry = {**shapely.geometry.mapping(shapely.box(*shapely.total_bounds(shapes))), "geodesic": False}
    return NewAsset(
        name, TABLE, wanted.properties, wanted.start, wanted.end, geometry=geometry, feature_count=count
    )
