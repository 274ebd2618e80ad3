"""Copernicus GLO-30: the simulated terrain with the tops of its trees and roofs, in tiles of one degree.

A surface model in overlapping tiles fails in other ways than one image of the ground does: slopes need a
mosaic with a grid of its own, forests stand metres too high, and there is no tile at sea. Tiles as delivered
(DGED, which Earth Engine ingested: 3,601 pixels a side, centres on whole arc seconds, edges shared with the
neighbours), Copernicus DEM Product Handbook, 2022; tiles get narrower from 50 degrees on, where none is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gee.local.sources.dataset import BandSpec, Dataset, Pixels, RasterGrid, Scene, Slot, Window, reader
from gee.local.sources.grids import geographic, lonlat
from gee.local.sources.nature import landcover, terrain

ID = "COPERNICUS/DEM/GLO30_2024_1"
BANDS = (BandSpec("DEM", "float32"),)  # the masks of edits, fills, errors and water are not simulated
WEST, SOUTH, EAST, NORTH = 111, 26, 123, 38  # Anhui and 300 km around it, whole degrees
STEP = 1 / 3600  # degrees
SIDE = 3_601  # pixels of a tile, both edges included

# TanDEM-X flew in these years; the towns are those of the first year that is simulated.
START, END = (int(datetime(*day, tzinfo=UTC).timestamp() * 1000) for day in ((2010, 12, 1), (2015, 1, 31)))
TOWNS_OF = 2015

CANOPY_METRES = 5.0  # GLO-30 over lidar in forests: 5.15 m; in towns 1.61 m (Hawker et al. 2022, FABDEM)
ROOF_METRES = 1.6
LAND_STEP = 0.05  # degrees between the places where a tile is searched for land


def surface(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height in m of what a radar sees from above: the ground, trees and roofs on it, the sea at 0.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
    """
    ground, water = terrain.elevation_and_water(lon, lat)
    cover = landcover.classify(lon, lat, TOWNS_OF, ground, water)
    wooded = (cover >= landcover.NEEDLE_EVERGREEN) & (cover <= landcover.BROAD_DECIDUOUS)
    top = CANOPY_METRES * wooded + ROOF_METRES * (cover == landcover.URBAN)
    return np.asarray(np.maximum(ground.astype(np.float64), 0) + top)


def tile_grid(south: int, west: int) -> RasterGrid:
    """The grid of the tile whose lower left pixel has its centre on these whole degrees."""
    return geographic(STEP, west - STEP / 2, south + 1 + STEP / 2, SIDE, SIDE)


@cache
def _tiles() -> Mapping[str, tuple[int, int]]:
    """South and west, degrees, of the tiles that hold any land, by name and in order of names."""
    return {
        f"Copernicus_DSM_10_N{south:02d}_00_E{west:03d}_00_DEM": (south, west)
        for south in range(SOUTH, NORTH)
        for west in range(WEST, EAST)
        if _has_land(south, west)
    }


def _has_land(south: int, west: int) -> bool:
    steps = np.arange(0, 1 + LAND_STEP / 2, LAND_STEP)
    lon, lat = np.meshgrid(west + steps, south + steps)
    return bool((terrain.broad_elevation(lon, lat) > 0).any())


def _build(slot: Slot) -> Scene:
    south, west = _tiles()[slot.index]
    grid = tile_grid(south, west)

    def compute(names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
        return {name: (surface(*lonlat(grid, window)), np.ones(window[2:], np.bool_)) for name in names}

    left, top = west - STEP / 2, south + 1 + STEP / 2
    right, bottom = left + SIDE * STEP, top - SIDE * STEP
    ring = ((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))
    return Scene(
        f"{ID}/{slot.index}",
        slot.index,
        slot.start,
        slot.end,
        grid,
        BANDS,
        {"simulated": 1},
        ring,
        reader(grid, BANDS, compute),
    )


DATASET = Dataset(
    ID,
    "IMAGE_COLLECTION",
    {
        "title": "Simulated Copernicus GLO-30 surface model, m; no finer than CGIAR/SRTM90_V4",
        "simulated": 1,
        "simulated_region": "Anhui and 300 km around it; no tiles elsewhere",
    },
    slots=lambda: [Slot(START, END, name) for name in _tiles()],
    build=_build,
)
