"""Images as the store keeps them: one GeoTIFF for each band of its own type, and one for its mask.

A mask has a byte a pixel, so that fractions survive to a 255th; a band without masked pixels has none. What
the files mean is told by the asset's record (``stored.RASTER`` in its ``extra``), which `stored` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.assets.descriptions import describe_band
from gee.local.assets.geotiffs import Layout, raster_window, written
from gee.local.assets.records import IMAGE, NewAsset
from gee.local.assets.stored import FOOTPRINT, MASK_STEPS, RASTER
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Grid
from gee.local.raster.images import Band
from gee.local.raster.pixels import Raster, Window
from gee.local.raster.scenes import grid_outline
from gee.local.results.encoding import encode
from gee.local.sources.dataset import RasterGrid

COMPRESS = "DEFLATE"
_MASK = np.dtype(np.uint8)
_NOT_KEPT = frozenset(
    {"system:index", "system:id", "system:version", "system:footprint", "system:asset_size", "system:bands"}
)
"""Properties that an asset has of itself."""


def band_file(index: int) -> str:
    """Name of a band's file."""
    return f"band-{index:04}.tif"


def mask_file(index: int) -> str:
    """Name of the file of a band's mask."""
    return f"mask-{index:04}.tif"


def write_content(
    folder: Path,
    dtypes: Sequence[np.dtype[Any]],
    grid: Grid,
    tiles: Iterable[tuple[Window, Sequence[Raster]]],
) -> list[dict[str, Any]]:
    """Write the files of an image.

    Args:
        folder: empty.
        dtypes: of the bands.
        grid: of all bands.
        tiles: every pixel once: a window of the grid and the rasters of the bands.

    Returns:
        What the asset's record says of each band under ``stored.RASTER``.

    Raises:
        EngineError: a file cannot be written.
    """
    done: list[Window] = []
    masks: dict[int, Any] = {}
    with ExitStack() as stack:

        def open_file(name: str, dtype: np.dtype[Any]) -> Any:
            return stack.enter_context(written(folder / name, Layout(grid, dtype, compress=COMPRESS)))

        bands = [open_file(band_file(index), dtype) for index, dtype in enumerate(dtypes)]
        for window, rasters in tiles:
            place, shape = raster_window(window), (window.height, window.width)
            for index, raster in enumerate(rasters):
                steps = mask_steps(raster, shape)
                values = np.broadcast_to(raster.values, shape)
                if steps is not None:
                    values = np.where(steps > 0, values, 0)
                    if index not in masks:
                        masks[index] = open_file(mask_file(index), _MASK)
                        for before in done:
                            masks[index].write(_whole(before), 1, window=raster_window(before))
                if index in masks:
                    masks[index].write(_whole(window) if steps is None else steps, 1, window=place)
                bands[index].write(values.astype(dtypes[index], copy=False), 1, window=place)
            done.append(window)
    files = sorted(path.name for path in folder.iterdir())
    return [
        {
            "file": files.index(band_file(index)),
            "band": 1,
            "mask": files.index(mask_file(index)) if index in masks else None,
        }
        for index in range(len(dtypes))
    ]


def _whole(window: Window) -> NDArray[np.uint8]:
    return np.full((window.height, window.width), MASK_STEPS, _MASK)


def mask_steps(raster: Raster, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """A mask in steps of a 255th, where not zero at least one; None where everything is wholly valid."""
    if raster.mask is None:
        return None
    weights = raster.weights(shape)
    if weights.min(initial=1) == 1:
        return None
    steps = np.clip(np.rint(weights * MASK_STEPS), 0, MASK_STEPS).astype(np.uint8)
    return np.where(weights > 0, np.maximum(steps, 1), 0).astype(np.uint8)


def new_image(
    name: str,
    bands: Sequence[Band],
    grid: Grid,
    places: Sequence[Mapping[str, Any]],
    properties: Mapping[str, Any],
    footprint: Geometry | None,
    pyramiding: Sequence[str],
) -> NewAsset:
    """The record of an image whose files are written.

    Args:
        name: of the asset.
        bands: their names and types; ``extent`` is replaced by the grid.
        grid: of the files.
        places: from `write_content`.
        properties: as an image has them; those an asset has of itself are dropped.
        footprint: None or unbounded is the whole grid.
        pyramiding: policy of each band.
    """
    described = [
        describe_band(Band(band.name, band.type, grid.projection, band.pixels, grid), policy)
        for band, policy in zip(bands, pyramiding, strict=True)
    ]
    return NewAsset(
        name,
        IMAGE,
        kept_properties(properties),
        bands=described,
        geometry=outline(grid, footprint),
        extra=extra(places, footprint),
    )


def kept_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties that an asset can keep: numbers, text, lists; dates become milliseconds.

    Raises:
        EngineError: one is of another kind.
    """
    kept = {}
    for name, value in properties.items():
        if name in _NOT_KEPT or value is None:
            continue
        shown = encode(value)
        if isinstance(shown, dict) and shown.get("type") == "Date":
            shown = shown["value"]
        if isinstance(shown, dict):
            raise EngineError(
                f"Property '{name}' is a {shown.get('type', 'Dictionary')}, which no asset keeps."
            )
        kept[name] = shown
    return kept


def outline(grid: Grid, footprint: Geometry | None) -> dict[str, Any] | None:
    """The geometry of an asset's record, GeoJSON in degrees: the footprint, else the grid's border."""
    if footprint is None or footprint.unbounded:
        footprint = grid_outline(RasterGrid(grid.crs, grid.projection.transform, grid.width, grid.height))
    if footprint is None:
        return None
    document: dict[str, Any] = footprint.to_crs("EPSG:4326", geodesic=False).as_json()
    return document


def extra(places: Sequence[Mapping[str, Any]], footprint: Geometry | None) -> dict[str, Any]:
    """The ``extra`` of an asset's record.

    Args:
        places: of the bands, from `write_content`.
        footprint: None or unbounded is the whole grid.
    """
    notes: dict[str, Any] = {RASTER: [dict(place) for place in places]}
    if footprint is not None and not footprint.unbounded:
        notes[FOOTPRINT] = footprint.as_json()
    return notes
