"""What the store keeps, opened: rasters as scenes that are read by windows, tables as features.

Everything about a raster but its pixels is in the asset's record, so an image is made without touching
its files. GDAL's datasets belong to one thread, so each thread keeps a few of its own open. Files may be the
store's (as `image_content` writes them), a user's own, or objects in Cloud Storage.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from gee.local.assets.external import ObjectFiles
from gee.local.assets.records import Asset
from gee.local.assets.store import AssetStore
from gee.local.assets.tablefiles import read_table
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.raster.images import Image
from gee.local.raster.scenes import image_from_scene
from gee.local.sources.dataset import BandSpec, RasterGrid, Scene, Window
from gee.local.values import Collection, Feature, PixelType

RASTER = "raster"
"""Key of a record's ``extra``: for each band where it is.

``file`` (index) or ``object`` (``gs://bucket/object#generation``), ``subdataset`` (``netcdf:{}:sm``),
``band``, ``missing`` (a value or several that are masked), ``mask`` (index of a file of mask steps).
"""
FOOTPRINT = "footprint"
"""Key of a record's ``extra``: the footprint as it was given, GeoJSON; without it, the grid's border."""
MASK_STEPS = 255  # of a stored mask: wholly valid
OPEN_FILES = 16  # of each thread


class _Open(threading.local):
    """Datasets open in this thread, the least recently used closed first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def get(self, path: str, version: int) -> Any:
        key = (path, version)
        if key not in self._kept:
            self._kept[key] = rasterio.open(path)
            while len(self._kept) > OPEN_FILES:
                self._kept.popitem(last=False)[1].close()
        self._kept.move_to_end(key)
        return self._kept[key]


class StoredAssets:
    """Opens the contents of a store's assets.

    Args:
        store: of the assets.
        objects: opens what is in Cloud Storage.
    """

    def __init__(self, store: AssetStore, objects: ObjectFiles | None = None) -> None:
        self._store = store
        self._objects = objects
        self._open = _Open()

    def image(self, asset: Asset) -> Image:
        """The image of a stored or mounted raster; one without bands has only properties.

        Raises:
            EngineError: INTERNAL; its record does not say where its bands are.
        """
        properties = dict(asset.properties)
        for key, time in (("system:time_start", asset.start_time), ("system:time_end", asset.end_time)):
            if time is not None:
                properties[key] = time
        if not asset.bands:
            properties["system:index"] = asset.name.rpartition("/")[2]
            return Image(properties, (), _footprint(asset), asset.id, asset.version)
        if len(asset.extra.get(RASTER, ())) != len(asset.bands):
            raise EngineError(f"Asset '{asset.name}' cannot be read: its bands are not recorded.", "INTERNAL")
        specs = [_spec(band) for band in asset.bands]
        places = dict(zip((spec.name for spec in specs), asset.extra[RASTER], strict=True))
        for place in places.values():
            if self._objects is not None and "object" in place:
                self._objects.check(place["object"])
        grid = specs[0].grid
        assert grid is not None  # noqa: S101 - `_spec` gives every band a grid
        read = partial(self._read, asset, {spec.name: spec for spec in specs}, places)
        scene = Scene(
            asset.id, asset.name.rpartition("/")[2], asset.start_time or 0, asset.end_time or 0, grid,
            tuple(specs), properties, None, read,
        )  # fmt: skip
        image = image_from_scene(scene, asset.version)
        kept = {**properties, "system:index": scene.index, "system:asset_size": asset.size_bytes}
        return Image(kept, image.bands, _footprint(asset) or image.geometry, asset.id, asset.version)

    def _read(
        self,
        asset: Asset,
        specs: Mapping[str, BandSpec],
        places: Mapping[str, Mapping[str, Any]],
        names: tuple[str, ...],
        window: Window,
    ) -> list[Any]:
        """A scene's ``read``; masks with fractions are float32."""
        read: list[Any] = []
        with self._store.reading(asset) as files:
            for name in names:
                spec = specs[name]
                assert spec.grid is not None  # noqa: S101 - `_spec` gives every band a grid
                part = spec.grid.inside(window)
                values = np.zeros(window[2:], spec.dtype)
                mask = np.zeros(window[2:], np.bool_)
                if part.height and part.width:
                    found, valid = self._pixels(asset, files, places[name], part)
                    top, left = part.row - window.row, part.col - window.col
                    here = np.s_[top : top + part.height, left : left + part.width]
                    mask = mask.astype(valid.dtype, copy=False)
                    mask[here] = valid
                    values[here] = np.where(valid > 0, found, 0)
                read.append((values, mask))
        return read

    def _pixels(
        self, asset: Asset, files: tuple[Path, ...], place: Mapping[str, Any], window: Window
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        part = RasterWindow(window.col, window.row, window.width, window.height)
        try:
            if self._objects is not None and "object" in place:
                path = str(self._objects.path(place["object"]))
            else:
                path = _path(files, place)
            source = self._open.get(path, asset.version)
            values = source.read(place["band"], window=part)
            if place.get("mask") is not None:
                steps = self._open.get(str(files[place["mask"]]), asset.version).read(1, window=part)
                return values, _mask_of(steps)
            valid = source.read_masks(place["band"], window=part) != 0
        except (RasterioError, OSError, IndexError) as error:
            raise EngineError(
                f"Asset '{asset.name}' cannot be read: {error}", "FAILED_PRECONDITION"
            ) from error
        missing = place.get("missing")
        for value in missing if isinstance(missing, list) else [] if missing is None else [missing]:
            valid &= values != value
        if values.dtype.kind == "f":
            valid &= ~np.isnan(values)
        return values, valid

    def table(self, asset: Asset) -> Collection:
        """The features of a stored or mounted table, read when they are asked for."""
        properties = {**asset.properties, "system:id": asset.id, "system:version": asset.version}
        return Collection(properties, self._features(asset))

    def _features(self, asset: Asset) -> Iterator[Feature]:
        with self._store.reading(asset) as files:
            for path in files:
                try:
                    yield from read_table(path)
                except EngineError as error:
                    raise EngineError(
                        f"Asset '{asset.name}' cannot be read: {error.message}", error.status
                    ) from error


def _mask_of(steps: NDArray[np.uint8]) -> NDArray[Any]:
    whole: NDArray[np.bool_] = steps == MASK_STEPS
    if (whole | (steps == 0)).all():
        return whole
    return np.divide(steps, np.float32(MASK_STEPS), dtype=np.float32)


def _path(files: tuple[Path, ...], place: Mapping[str, Any]) -> str:
    """What GDAL opens for a band: the file, or a part of it such as ``netcdf:{}:sm``."""
    file = str(files[place["file"]])
    subdataset = place.get("subdataset")
    return file if subdataset is None else str(subdataset).replace("{}", file)


def _spec(band: Mapping[str, Any]) -> BandSpec:
    grid, kind, size = band["grid"], band["dataType"], band["grid"]["dimensions"]
    affine = grid["affineTransform"]
    a, b, c, d, e, f = (
        float(affine.get(name, 0))
        for name in ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    )
    bounds = kind.get("range", {})
    whole = PixelType(kind["precision"].lower(), bounds.get("min"), bounds.get("max"))
    return BandSpec(
        band["id"],
        np.dtype(whole.dtype).name,
        whole.minimum,
        whole.maximum,
        RasterGrid(
            grid.get("crsCode") or grid["crsWkt"], (a, b, c, d, e, f), int(size["width"]), int(size["height"])
        ),
        band.get("pyramidingPolicy", "MEAN"),
    )


def _footprint(asset: Asset) -> Geometry | None:
    # The record's own geometry has been brought to degrees, whose bounds are not quite the grid's any more.
    given = asset.extra.get(FOOTPRINT)
    return None if given is None else Geometry.from_geojson(given)
