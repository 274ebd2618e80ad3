"""Scenes of a source as pixels of the engine: native tiles, pyramids, and the image that holds them.

One reader serves what is simulated, stored or mounted. Tiles are read once for all bands a request
wants and kept; lower resolutions are 2 x 2 reductions of the level above, as Earth Engine ingests them.
Source: guides/scale; REST reference, ``PyramidingPolicy``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.context import current
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.images import Band, Image
from gee.local.raster.pixels import Raster, digest
from gee.local.raster.resampling import SourcePixels, from_tiles
from gee.local.sources.dataset import BandSpec, RasterGrid, Scene, Window
from gee.local.values import PixelType, type_of

TILE = 128  # pixels of a native tile; a point costs one tile, so it is kept small
COARSE_TILE = 16  # of pixels of several kilometres, whose tiles would be a continent
COARSE_METRES = 4_000


class SceneBand:
    """One band of a scene, read by tiles (a `resampling.Native`)."""

    def __init__(self, scene: Scene, spec: BandSpec, version: int | None) -> None:
        grid = spec.grid or scene.grid
        self._scene = scene
        self._spec = spec
        self._grid = grid
        # Bands on one grid are read together.
        self._together = digest(scene.id, version, grid)
        self.key = digest(self._together, spec.name)
        self.projection = Projection(grid.crs, grid.transform)
        self._side = COARSE_TILE if self.projection.nominal_scale > COARSE_METRES else TILE

    def expect(self) -> None:
        """The request will read this band."""
        current().expected.setdefault(self._together, set()).add(self._spec.name)

    def read(self, level: int, row: int, column: int, height: int, width: int) -> Raster:
        """Pixels of a pyramid level; masked outside the scene."""
        side = self._side

        def make(top: int, left: int, *_: int) -> tuple[Raster, int]:
            return self._tile(level, top // side, left // side)

        return from_tiles(make, (self.key, level), side, (row, column, height, width), side)

    def _tile(self, level: int, row: int, column: int) -> tuple[Raster, int]:
        current().check()
        side = self._side
        reach = side << level
        outside = (
            row < 0 or column < 0 or row * reach >= self._grid.height or column * reach >= self._grid.width
        )
        if outside:
            return Raster(np.zeros((1, 1), self._spec.dtype), np.zeros((1, 1), np.bool_)), 2
        if level:
            finer = self.read(level - 1, row * 2 * side, column * 2 * side, 2 * side, 2 * side)
            raster = halved(finer.full((2 * side, 2 * side)), self._spec.pyramiding)
        else:
            values, valid = self._native(row, column)[self._spec.name]
            raster = Raster(values, None if (valid == 1).all() else valid)
        return raster, raster.nbytes

    def _native(self, row: int, column: int) -> dict[str, Any]:
        expected = current().expected.get(self._together, set())
        names = tuple(sorted(expected | {self._spec.name}))
        side = self._side

        def make() -> tuple[dict[str, Any], int]:
            read = self._scene.read(names, Window(row * side, column * side, side, side))
            return dict(zip(names, read, strict=True)), sum(a.nbytes + b.nbytes for a, b in read)

        tile: dict[str, Any] = current().tiles.get((self._together, names, row, column), make)
        return tile


def halved(raster: Raster, policy: str) -> Raster:
    """The next pyramid level: each 2 x 2 pixels as one.

    Args:
        raster: of even height and width.
        policy: MEAN (weighted by the mask, which is averaged too), SAMPLE (upper left pixel and its
            mask), MODE, MIN, MAX or MEDIAN of the valid pixels.
    """
    height, width = raster.values.shape[0] // 2, raster.values.shape[1] // 2

    def quartered(pixels: NDArray[Any]) -> NDArray[Any]:
        return pixels.reshape(height, 2, width, 2).transpose(0, 2, 1, 3).reshape(height, width, 4)

    if policy == "SAMPLE":
        return Raster(raster.values[::2, ::2], None if raster.mask is None else raster.mask[::2, ::2])
    values, weights = quartered(raster.values), quartered(raster.weights(raster.values.shape[:2]))
    kind = raster.values.dtype
    valid = weights > 0
    if policy == "MEAN":
        total = weights.sum(axis=2)
        mean = (np.where(valid, values, 0) * weights.astype(np.float64)).sum(axis=2)
        mean = np.divide(mean, total, out=np.zeros_like(mean), where=total > 0)
        level = np.rint(mean).astype(kind) if kind.kind in "iu" else mean.astype(kind)
        return Raster(level, None if raster.mask is None else (total / 4).astype(np.float32))
    if policy == "MODE":
        same = (values[..., :, None] == values[..., None, :]) & valid[..., None, :] & valid[..., :, None]
        chosen = same.sum(axis=3).argmax(axis=2)
        level = np.take_along_axis(values, chosen[..., None], axis=2)[..., 0]
    elif policy in ("MIN", "MAX"):
        limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
        neutral = limits.max if policy == "MIN" else limits.min
        held = np.where(valid, values, neutral)
        level = held.min(axis=2) if policy == "MIN" else held.max(axis=2)
    else:
        # Masked values sort last; the median lies between the two in the middle of the others.
        held = np.sort(np.where(valid, values, np.inf), axis=2)
        count = valid.sum(axis=2)[..., None]
        pair = np.concatenate([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, 3)], axis=2)
        middle = np.take_along_axis(held, pair, axis=2).mean(axis=2)
        level = np.where(count[..., 0] > 0, middle, 0).astype(kind)
    return Raster(level, None if raster.mask is None else np.logical_or.reduce(valid, axis=2))


def image_from_scene(scene: Scene, version: int | None = None) -> Image:
    """The image of a scene, its pixels unread.

    Args:
        scene: simulated, stored or mounted.
        version: of a stored asset; pixels of different versions are told apart.
    """
    bands = []
    for spec in scene.bands:
        grid = spec.grid or scene.grid
        native = SceneBand(scene, spec, version)
        bands.append(
            Band(
                spec.name,
                _pixel_type(spec),
                native.projection,
                SourcePixels(native),
                Grid(native.projection, grid.width, grid.height),
            )
        )
    properties = dict(scene.properties)
    properties |= {"system:index": scene.index}
    if scene.start is not None:
        properties["system:time_start"] = scene.start
    if scene.end is not None:
        properties["system:time_end"] = scene.end
    return Image(properties, tuple(bands), _footprint(scene), scene.id, version)


def _pixel_type(spec: BandSpec) -> PixelType:
    full = type_of(np.dtype(spec.dtype))
    if full.precision != "int":
        return PixelType(full.precision, spec.minimum, spec.maximum)
    return PixelType(
        "int",
        full.minimum if spec.minimum is None else int(spec.minimum),
        full.maximum if spec.maximum is None else int(spec.maximum),
    )


def _footprint(scene: Scene) -> Geometry | None:
    if scene.footprint is not None:
        return Geometry.from_geojson({"type": "Polygon", "coordinates": [list(map(list, scene.footprint))]})
    return grid_outline(scene.grid)


def grid_outline(grid: RasterGrid) -> Geometry | None:
    """The border of a grid as a polygon in its own coordinate system; None where it goes round the globe."""
    projection = Projection(grid.crs, grid.transform)
    x, y = projection.to_crs(
        np.array([0.0, grid.width, grid.width, 0, 0]), np.array([0.0, 0, grid.height, grid.height, 0])
    )
    if abs(float(x.max() - x.min())) >= (359.0 if grid.crs == "EPSG:4326" else 3.4e7):
        return None
    return Geometry.polygon(list(zip(x.tolist(), y.tolist(), strict=True)), grid.crs, geodesic=False)
