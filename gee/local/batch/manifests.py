"""What an image manifest asks for, settled before a pixel is copied: bands, where they are from, their grid.

Sources of a tileset are mosaicked on the grid they share, later ones on top; all bands of an image come to
lie on one grid. Source: guides/image_manifest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from gee.local.batch.requests import ImageManifest, ManifestBand
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import Raster, Window


@dataclass(frozen=True, eq=False)
class RasterSource:
    """An open file.

    Args:
        dataset: of rasterio.
        uri: where it came from.
    """

    dataset: Any
    uri: str


def crs_code(dataset: Any) -> str:
    """The coordinate system of a file: its EPSG code, or WKT."""
    epsg = dataset.crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else str(dataset.crs.to_wkt())


def grid_of(dataset: Any, crs: str | None = None) -> Grid:
    """The grid of a file.

    Args:
        dataset: of rasterio.
        crs: in place of the file's own.

    Raises:
        EngineError: it has no coordinate system.
    """
    if crs is None and dataset.crs is None:
        raise EngineError(f"'{dataset.name.rpartition('/')[2]}' has no coordinate system.")
    a, b, c, d, e, f = list(dataset.transform)[:6]
    return Grid(Projection(crs or crs_code(dataset), (a, b, c, d, e, f)), dataset.width, dataset.height)


@dataclass(frozen=True, eq=False)
class Mosaic:
    """The sources of a tileset on the grid that holds them all.

    Args:
        sources: later ones on top.
        offsets: row and column of each in the grid.
        grid: of the mosaic.
        count: of bands.
    """

    sources: tuple[RasterSource, ...]
    offsets: tuple[tuple[int, int], ...]
    grid: Grid
    count: int

    @classmethod
    def of(cls, sources: Sequence[RasterSource], crs: str | None) -> Mosaic:
        """A tileset from its sources.

        Raises:
            EngineError: they differ in coordinate system, pixels, bands or types.
        """
        first = sources[0]
        base = grid_of(first.dataset, crs)
        spans: list[tuple[int, int, Grid]] = []
        for source in sources:
            grid = grid_of(source.dataset, crs)
            offset = grid.offset_in(base.projection)
            if offset is None:
                raise EngineError(
                    f"Sources of a tileset must share coordinate system and pixels: '{source.uri}' does not "
                    f"fit '{first.uri}'."
                )
            if source.dataset.dtypes != first.dataset.dtypes:
                raise EngineError(
                    f"Sources of a tileset must have the same bands: '{source.uri}' has others."
                )
            spans.append((*offset, grid))
        top, left = min(row for row, _, _ in spans), min(column for _, column, _ in spans)
        bottom = max(row + grid.height for row, _, grid in spans)
        right = max(column + grid.width for _, column, grid in spans)
        return cls(
            tuple(sources),
            tuple((row - top, column - left) for row, column, _ in spans),
            base
            if (top, left) == (0, 0) and len(spans) == 1
            else base.window(top, left, bottom - top, right - left),
            first.dataset.count,
        )

    def dtype(self, index: int) -> np.dtype[Any]:
        """Of a band, counted from 0."""
        dtype: np.dtype[Any] = np.dtype(self.sources[0].dataset.dtypes[index])
        return dtype

    def read(
        self, index: int, window: Window, missing: Sequence[float], own_mask: bool
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and validity of a band over a window.

        Args:
            index: of the band, counted from 0.
            window: of the mosaic's grid, whatever of it lies outside is invalid.
            missing: values that are invalid; none for those the files name.
            own_mask: whether what the files say of validity counts.
        """
        shape = (window.height, window.width)
        values = np.zeros(shape, self.dtype(index))
        valid = np.zeros(shape, np.bool_)
        for source, (row, column) in zip(self.sources, self.offsets, strict=True):
            dataset = source.dataset
            top, left = max(window.row, row), max(window.column, column)
            bottom = min(window.row + window.height, row + dataset.height)
            right = min(window.column + window.width, column + dataset.width)
            if top >= bottom or left >= right:
                continue
            part = RasterWindow(left - column, top - row, right - left, bottom - top)
            found = dataset.read(index + 1, window=part)
            good = np.ones(found.shape, np.bool_)
            if own_mask and not missing:
                good = dataset.read_masks(index + 1, window=part) != 0
            for value in missing:
                good &= ~np.isnan(found) if math.isnan(value) else found != value
            if found.dtype.kind == "f":
                good &= ~np.isnan(found)
            here = np.s_[top - window.row : bottom - window.row, left - window.column : right - window.column]
            values[here] = np.where(good, found, values[here])
            valid[here] |= good
        return values, valid


@dataclass(frozen=True, eq=False)
class PlannedBand:
    """One band of the image.

    Args:
        name: of the band.
        mosaic: it is read from.
        index: in the mosaic, counted from 0.
        missing: values that are masked.
        pyramiding: policy.
        mask: mosaic whose last band masks it.
    """

    name: str
    mosaic: Mosaic
    index: int
    missing: tuple[float, ...]
    pyramiding: str
    mask: Mosaic | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """All bands of the image and their grid."""

    bands: tuple[PlannedBand, ...]
    grid: Grid

    @property
    def names(self) -> list[str]:
        """Of the bands."""
        return [band.name for band in self.bands]

    @property
    def dtypes(self) -> list[np.dtype[Any]]:
        """Of the bands."""
        return [band.mosaic.dtype(band.index) for band in self.bands]

    @property
    def pyramiding(self) -> list[str]:
        """Policies of the bands."""
        return [band.pyramiding for band in self.bands]

    def read(self, window: Window) -> list[Raster]:
        """Every band over a window of the grid."""
        rasters = []
        for band in self.bands:
            here = _within(self.grid, band.mosaic.grid, window)
            values, valid = band.mosaic.read(band.index, here, band.missing, own_mask=True)
            mask: NDArray[Any] = valid
            if band.mask is not None:
                there = _within(self.grid, band.mask.grid, window)
                steps, known = band.mask.read(band.mask.count - 1, there, (), own_mask=False)
                # A mask band is of bytes: 255 is wholly valid.
                mask = np.where(valid & known, steps.astype(np.float32) / np.float32(255), np.float32(0))
            rasters.append(Raster(values, None if (mask == 1).all() else mask))
        return rasters


def _within(whole: Grid, part: Grid, window: Window) -> Window:
    offset = part.offset_in(whole.projection)
    assert offset is not None  # noqa: S101 - `planned` has seen to it
    return Window(window.row - offset[0], window.column - offset[1], window.height, window.width)


def planned(manifest: ImageManifest, mosaics: Mapping[str, Mosaic]) -> Plan:
    """Settle the bands of an image.

    Args:
        manifest: of the image.
        mosaics: by the id of their tileset.

    Raises:
        EngineError: a band, a tileset or a mask is not there, or the grids do not fit together.
    """
    masks, mask_of_all = _masks(manifest, mosaics)
    wanted = manifest.bands or _default_bands(mosaics, [*masks.values(), *mask_of_all])
    default_missing = tuple(manifest.missing_data.values) if manifest.missing_data else ()
    bands = []
    for band in wanted:
        mosaic = _tileset(mosaics, band.tileset_id)
        if band.tileset_band_index >= mosaic.count:
            raise EngineError(
                f"Band '{band.id}' is band {band.tileset_band_index} of a tileset that has {mosaic.count}."
            )
        missing = tuple(band.missing_data.values) if band.missing_data else default_missing
        mask = masks.get(band.id, mask_of_all[0] if mask_of_all else None)
        policy = band.pyramiding_policy or manifest.pyramiding_policy or "MEAN"
        bands.append(PlannedBand(band.id, mosaic, band.tileset_band_index, missing, policy, mask))
    names = [band.name for band in bands]
    if len(set(names)) < len(names):
        raise EngineError(f"Band names must be unique: {', '.join(names)}.")
    unknown = sorted(set(masks) - set(names))
    if unknown:
        raise EngineError(f"Mask bands are given for bands that are not there: {', '.join(unknown)}.")
    return Plan(tuple(bands), _common_grid([*(b.mosaic for b in bands), *masks.values(), *mask_of_all]))


def _tileset(mosaics: Mapping[str, Mosaic], tileset_id: str | None) -> Mosaic:
    if tileset_id is None:
        return next(iter(mosaics.values()))
    if tileset_id not in mosaics:
        raise EngineError(f"Tileset '{tileset_id}' is not among those of the manifest: {', '.join(mosaics)}.")
    return mosaics[tileset_id]


def _masks(manifest: ImageManifest, mosaics: Mapping[str, Mosaic]) -> tuple[dict[str, Mosaic], list[Mosaic]]:
    """The masks of single bands, and that of all others."""
    masks: dict[str, Mosaic] = {}
    of_all: list[Mosaic] = []
    for mask in manifest.mask_bands:
        mosaic = _tileset(mosaics, mask.tileset_id if mask.tileset_id in mosaics or mask.tileset_id else None)
        if mosaic.dtype(mosaic.count - 1) != np.uint8:
            raise EngineError("A mask band must be of type Byte.")
        if not mask.band_ids:
            of_all.append(mosaic)
        masks |= dict.fromkeys(mask.band_ids, mosaic)
    if len(of_all) > 1:
        raise EngineError("Only one mask can be for all bands.")
    return masks, of_all


def _default_bands(mosaics: Mapping[str, Mosaic], masks: Sequence[Mosaic]) -> list[ManifestBand]:
    """All bands of all tilesets but the masks, as b1, b2 and so on."""
    places = []
    for key, mosaic in mosaics.items():
        count = mosaic.count - 1 if any(mosaic is mask for mask in masks) else mosaic.count
        places += [(key, index) for index in range(count)]
    return [
        ManifestBand(id=f"b{number}", tileset_id=key, tileset_band_index=index)
        for number, (key, index) in enumerate(places, start=1)
    ]


def _common_grid(mosaics: Sequence[Mosaic]) -> Grid:
    base = mosaics[0].grid
    spans = []
    for mosaic in mosaics:
        offset = mosaic.grid.offset_in(base.projection)
        if offset is None:
            raise EngineError("All tilesets of an image must share coordinate system and pixels.")
        spans.append((*offset, mosaic.grid))
    if all(grid == base for _, _, grid in spans):
        return base
    top, left = min(row for row, _, _ in spans), min(column for _, column, _ in spans)
    bottom = max(row + grid.height for row, _, grid in spans)
    right = max(column + grid.width for _, column, grid in spans)
    return base.window(top, left, bottom - top, right - left)
