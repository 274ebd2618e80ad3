"""The engine behind the REST API: from the expression of a request to values, pixels, features and tiles.

It knows nothing of HTTP. Every call is made on behalf of a caller in a context of its own, which carries
the deadline and can be stopped; what the root of an expression evaluates to is kept for the next request,
because clients ask for one image in many tiles.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import gee.local.algorithms  # noqa: F401  (registers them)
from gee import limits
from gee.local import graph, registry
from gee.local import limits as own_limits
from gee.local.assets.descriptions import describe_image
from gee.local.assets.iam import Identity
from gee.local.assets.listing import decode_token, encode_token
from gee.local.assets.store import AssetStore
from gee.local.context import Context, Library, working
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Grid, Projection, crs_of
from gee.local.messages import (
    ComputeFeatures,
    ComputePixels,
    ComputeValue,
    CreateMap,
    CreateTable,
    CreateThumbnail,
    GetPixels,
    PixelGrid,
    Rendering,
)
from gee.local.raster.cache import TileCache
from gee.local.raster.images import Image, output_grid, region_grid
from gee.local.results import encoding, rasters, tables
from gee.local.values import Collection, Feature

CACHE_BYTES = 384 << 20  # of native tiles, for all requests together
ROOTS_KEPT = 64  # values of whole expressions
TILE_PIXELS = 256
MAX_ZOOM = 24
_HALF_WORLD = math.pi * 6378137.0  # EPSG:3857, metres


@dataclass(frozen=True)
class Drawing:
    """A map, thumbnail or table that was created and waits to be fetched.

    Args:
        request: as it was made.
        caller: on whose behalf it is computed, whoever fetches it.
    """

    request: CreateMap | CreateThumbnail | CreateTable
    caller: Identity


class Engine:
    """Evaluates expressions over the assets of a store.

    Args:
        store: of assets.
        library: how a caller's expressions find assets.
        cache_bytes: how much memory pixels that were read before may take.
    """

    def __init__(
        self, store: AssetStore, library: Callable[[Identity], Library], cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.tiles = TileCache(cache_bytes)
        self._library = library
        self._roots: OrderedDict[tuple[bytes, Identity, int], Any] = OrderedDict()
        self._lock = threading.Lock()
        # SQLite raises data_version when any other connection has changed the file.
        self._watcher = sqlite3.connect(store.database.path, check_same_thread=False)

    def context(self, caller: Identity, seconds: float | None = limits.INTERACTIVE_SECONDS) -> Context:
        """Surroundings of one request.

        Args:
            caller: whose rights hold.
            seconds: how long it may take; None for batch tasks.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        work = own_limits.BATCH_WORK if seconds is None else own_limits.INTERACTIVE_WORK
        return Context(self._library(caller), self.tiles, deadline, work)

    @contextmanager
    def evaluated(self, expression: Mapping[str, Any], caller: Identity, context: Context) -> Iterator[Any]:
        """The value of an expression, and its context in force for what is lazy in it.

        Raises:
            EngineError: it is malformed or cannot be computed.
        """
        root = graph.decode(expression)
        key = (root.key, caller, self._version())
        with working(context):
            with self._lock:
                known = key in self._roots
                if known:
                    self._roots.move_to_end(key)
                    value = self._roots[key]
            if not known:
                value = graph.evaluate(root)
                self._keep(key, value)
            try:
                yield value
            except BaseException:
                # A lazy collection remembers its failure, which may have been this request's deadline.
                with self._lock:
                    self._roots.pop(key, None)
                raise

    def _keep(self, key: tuple[bytes, Identity, int], value: Any) -> None:
        if not isinstance(value, (Image, Collection, Feature, Geometry)):
            return  # a long list takes memory, and nobody asks for tiles of it
        with self._lock:
            self._roots[key] = value
            while len(self._roots) > ROOTS_KEPT:
                self._roots.popitem(last=False)

    def _version(self) -> int:
        with self._lock:
            return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    def forget(self) -> None:
        """Let go of what was computed before, because memory is short."""
        with self._lock:
            self._roots.clear()
        self.tiles.forget(lambda key: True)

    def close(self) -> None:
        """Let go of the state."""
        self._watcher.close()

    # Values and features

    def compute_value(self, request: ComputeValue, caller: Identity, context: Context) -> bytes:
        """The body of a ``value:compute`` response."""
        with self.evaluated(request.expression, caller, context) as value:
            return encoding.dump({"result": encoding.encode(value)})

    def compute_features(
        self, request: ComputeFeatures, caller: Identity, context: Context
    ) -> dict[str, Any]:
        """A page of features, in longitude and latitude with planar edges."""
        with self.evaluated(request.expression, caller, context) as value:
            page, token = _page(value, "FeatureCollection", request)
            return {
                "type": "FeatureCollection",
                "features": [tables.in_degrees(feature) for feature in page],
                **token,
            }

    def compute_images(self, request: ComputeFeatures, caller: Identity, context: Context) -> dict[str, Any]:
        """A page of images, described as assets are."""
        with self.evaluated(request.expression, caller, context) as value:
            page, token = _page(value, "ImageCollection", request)
            return {"images": [describe_image(image) for image in page], **token}

    def table(self, drawing: Drawing, context: Context) -> rasters.File:
        """The file of a table download."""
        request = drawing.request
        assert isinstance(request, CreateTable)  # noqa: S101 - narrows the type
        with self.evaluated(request.expression, drawing.caller, context) as value:
            write, media_type, suffix = tables.WRITERS[request.file_format]
            text = write(registry.promote(value, "FeatureCollection"), request.selectors)
            return rasters.File(text.encode(), media_type, f"{request.filename or 'table'}.{suffix}")

    # Pixels

    def compute_pixels(self, request: ComputePixels, caller: Identity, context: Context) -> rasters.File:
        """The file of an ``image:computePixels`` response."""
        rasters.check_format(request.file_format)
        with self.evaluated(request.expression, caller, context) as value:
            return _render(_as_image(value), request)

    def get_pixels(self, asset_id: str, request: GetPixels, context: Context) -> rasters.File:
        """The file of an asset's ``:getPixels`` response."""
        rasters.check_format(request.file_format)
        with working(context):
            return _render(context.library.image(asset_id), request)

    def check_drawing(self, drawing: Drawing, context: Context) -> None:
        """Find a drawing's mistakes when it is created, which is where Earth Engine tells them."""
        request = drawing.request
        with self.evaluated(request.expression, drawing.caller, context) as value:
            if isinstance(request, CreateThumbnail):
                rasters.check_format(request.file_format, download=True)
                self._parts(_as_image(value), request)
            elif isinstance(request, CreateMap):
                rasters.check_format(request.file_format)
                prepared(_as_image(value), request, tile_grid(0, 0, 0))
            else:
                tables.check_format(request.file_format)
                registry.promote(value, "FeatureCollection")

    def tile(self, drawing: Drawing, zoom: int, x: int, y: int, context: Context) -> rasters.File:
        """One tile of a map.

        Raises:
            EngineError: there is no such tile.
        """
        request = drawing.request
        assert isinstance(request, CreateMap)  # noqa: S101 - narrows the type
        grid = tile_grid(zoom, x, y)
        with self.evaluated(request.expression, drawing.caller, context) as value:
            image, _ = prepared(_as_image(value), request, grid)
            sheet = rasters.Sheet(tuple(image.names), image.read(grid), grid)
            return rasters.write(request.file_format, [sheet])

    def thumbnail(self, drawing: Drawing, context: Context) -> rasters.File:
        """The file of a thumbnail or image download."""
        request = drawing.request
        assert isinstance(request, CreateThumbnail)  # noqa: S101 - narrows the type
        with self.evaluated(request.expression, drawing.caller, context) as value:
            image = _as_image(value)
            stem = request.filename_prefix or (image.id or "download").replace("/", "_")
            per_band = request.file_format == rasters.PER_BAND
            sheets = [
                rasters.Sheet(
                    tuple(part.names), part.read(grid), grid, f"{stem}.{part.names[0]}" if per_band else stem
                )
                for part, grid in self._parts(image, request)
            ]
            return rasters.write(request.file_format, sheets)

    def _parts(self, image: Image, request: CreateThumbnail) -> list[tuple[Image, Grid]]:
        """What the files of a thumbnail or download hold, and their grids: within the limits."""
        image = _selected(image, request)
        images = [image]
        if request.file_format == rasters.PER_BAND:
            images = [_alone(image, index) for index in range(len(image.bands))]
        whole = request.model_copy(update={"band_ids": []})
        parts = [prepared(one, whole) for one in images]
        for one, grid in parts:
            rasters.check_size(
                [band.type.dtype for band in one.bands], grid, side=limits.MAX_DOWNLOAD_SIDE, download=True
            )
        return parts


def _page(value: Any, wanted: str, request: ComputeFeatures) -> tuple[list[Any], dict[str, str]]:
    collection = registry.expect(value, wanted)
    size = min(request.page_size or limits.FEATURES_PER_PAGE, limits.FEATURES_PER_PAGE)
    start = decode_token(request.page_token)
    if start is not None and (type(start) is not int or start < 0):
        raise EngineError("Invalid page token.")
    start = start or 0
    page = list(islice(collection, start, start + size + 1))
    return page[:size], {"nextPageToken": encode_token(start + size)} if len(page) > size else {}


def _render(image: Image, request: Rendering) -> rasters.File:
    image, grid = prepared(image, request)
    rasters.check_size([band.type.dtype for band in image.bands], grid)
    return rasters.write(request.file_format, [rasters.Sheet(tuple(image.names), image.read(grid), grid)])


def prepared(image: Image, request: Rendering, grid: Grid | None = None) -> tuple[Image, Grid]:
    """The image a request renders, of the bands and colours it wants, and over which grid.

    Raises:
        EngineError: a band is missing, or nothing fixes the grid.
    """
    image = _selected(image, request)
    region = getattr(request, "region", None)
    if region is not None:
        image = registry.apply("Image.clip", {"input": image, "geometry": Geometry.from_geojson(region)})
    wanted = grid or requested_grid(image, request.grid)
    if request.visualization_options is not None:
        arguments = request.visualization_options.arguments()
        image = registry.apply("Image.visualize", {"image": image, **arguments})
    elif request.file_format in rasters.DISPLAYED and not displayable(image):
        image = registry.apply("Image.visualize", {"image": _first_bands(image)})
    return image, wanted


def displayable(image: Image) -> bool:
    """Whether an image's bands are colours already: one or three, of 8 bits without sign."""
    return len(image.bands) in (1, 3) and all(band.type.dtype == "uint8" for band in image.bands)


def _first_bands(image: Image) -> Image:
    return image.with_bands(image.bands[: 3 if len(image.bands) >= 3 else 1])


def _selected(image: Image, request: Rendering) -> Image:
    if not request.band_ids:
        return image
    return image.with_bands([image.band(name) for name in request.band_ids])


def _alone(image: Image, index: int) -> Image:
    band = image.bands[index]
    same = band.projection == image.bands[0].projection
    return replace(image, bands=(band,), grid=image.grid if same else None)


def requested_grid(image: Image, wanted: PixelGrid) -> Grid:
    """The grid of a request; what the request leaves open is the image's own.

    Raises:
        EngineError: the coordinate system is unknown, or nothing bounds the grid.
    """
    affine, size = wanted.affine_transform, wanted.dimensions
    crs = wanted.crs
    if crs is not None:
        crs_of(crs)
    if affine is not None and size is not None:
        projection = Projection(crs or _first_projection(image).crs, affine.transform)
        return Grid(projection, size.width, size.height)
    if affine is None and crs in (None, _first_projection(image).crs):
        own = output_grid(image)
        if size is None:
            return own
        return Grid(
            own.projection.rescaled(own.width / size.width, own.height / size.height), size.width, size.height
        )
    if image.geometry is None:
        raise EngineError("The grid of an unbounded image needs 'dimensions' and 'affineTransform'.")
    if affine is not None:
        return region_grid(image.geometry, Projection(crs or _first_projection(image).crs, affine.transform))
    first = _first_projection(image)
    grid = region_grid(image.geometry, Projection(crs or first.crs).at_scale(first.nominal_scale))
    if size is None:
        return grid
    return Grid(
        grid.projection.rescaled(grid.width / size.width, grid.height / size.height), size.width, size.height
    )


def _first_projection(image: Image) -> Projection:
    if not image.bands:
        raise EngineError("Image has no bands.")
    return image.bands[0].projection


def _as_image(value: Any) -> Image:
    """The image that is drawn for a value: collections of images are mosaicked, features painted black."""
    if isinstance(value, (Feature, Collection, Geometry)):
        if isinstance(value, Collection) and value.images:
            value = registry.apply("ImageCollection.mosaic", {"collection": value})
        else:
            value = registry.apply("Collection.draw", {"collection": value, "color": "000000"})
    image: Image = registry.expect(value, "Image")
    return image


def tile_grid(zoom: int, x: int, y: int) -> Grid:
    """The grid of a map tile.

    Raises:
        EngineError: there is no such tile.
    """
    count = 1 << max(0, min(zoom, MAX_ZOOM))
    if not (0 <= zoom <= MAX_ZOOM and 0 <= x < count and 0 <= y < count):
        raise EngineError(f"Tile {zoom}/{x}/{y} does not exist.", "NOT_FOUND")
    side = 2 * _HALF_WORLD / count
    pixel = side / TILE_PIXELS
    origin = (x * side - _HALF_WORLD, _HALF_WORLD - y * side)
    return Grid(
        Projection("EPSG:3857", (pixel, 0.0, origin[0], 0.0, -pixel, origin[1])), TILE_PIXELS, TILE_PIXELS
    )
