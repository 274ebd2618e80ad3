"""Datasets that are a field of the nature run on a grid: rain, terrain, soil, and the truth itself.

They share one shape, a function of longitude, latitude and day behind a native grid, so each is a row of a
table. Both elevation products read the same simulated terrain, whose detail ends near 90 m; so does the area
upstream of a place, for which a look at the land around stands in: no water is led from pixel to pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from gee.local.sources.dataset import (
    DAY_MS,
    BandSpec,
    Dataset,
    Pixels,
    RasterGrid,
    Scene,
    Slot,
    Window,
    reader,
)
from gee.local.sources.grids import EASE_M01, geographic, lonlat
from gee.local.sources.nature import moisture, noise, soil, terrain, weather

Floats = NDArray[np.float64]
Rule = Callable[[RasterGrid, Window, int, tuple[str, ...]], Mapping[str, Pixels]]

FIRST_DAY = (date(2015, 1, 1) - date(1970, 1, 1)).days
END_DAY = (date(2026, 1, 1) - date(1970, 1, 1)).days
TRUTH_ID = "simulated/truth/soil_moisture_1km"

CHIRPS_GRID = geographic(0.05, -180.0, 50.0, 7_200, 2_000)
CHIRPS_LOG_ERROR = 0.35  # standard deviation of the logarithm of daily rain
DRIZZLE = 0.4  # mm/day that infrared satellites do not see
SRTM90_GRID = geographic(0.000833333333333333, -180.0, 60.0, 432_000, 144_000)
SRTM30_GRID = geographic(0.0002777777777777778, -180.0001388888889, 60.00013888888889, 1_296_001, 417_601)
MERIT_GRID = geographic(1 / 1200, -180.0 - 1 / 2400, 85.0 + 1 / 2400, 432_000, 174_000)
AROUND = np.hanning(27)[1:-1] / np.hanning(27).sum()  # weights of the pixels around a place, 1.2 km to a side
PIXEL_KM2 = 0.09277**2  # at the equator
GROWTH = 3.0  # of the logarithm of the upstream area, from a slope to a valley floor
RIVER_GROWTH = 6.0  # and beside that of water
OPENLANDMAP_GRID = geographic(0.0020833333333333333, -180.0, 87.37, 172_800, 71_698)
SOILGRIDS_GRID = geographic(0.0020833333333333333, -180.0, 84.0, 172_800, 67_200)

SAND, SILT, CLAY = 0, 1, 2  # position in soil.texture
OPENLANDMAP_DEPTHS = {"b0": 0.0, "b10": 10.0, "b30": 30.0, "b60": 60.0, "b100": 100.0, "b200": 200.0}  # cm
SOILGRIDS_DEPTHS = {
    "0-5cm": 2.5, "5-15cm": 10.0, "15-30cm": 22.5, "30-60cm": 45.0, "60-100cm": 80.0, "100-200cm": 150.0,
}  # fmt: skip


def _rain(grid: RasterGrid, window: Window, day: int, names: tuple[str, ...]) -> Mapping[str, Pixels]:
    """Rain as infrared satellites and gauges give it, with an error; the true one is smooth over a pixel."""
    lon, lat = lonlat(grid, window)
    x, y = noise.plane(lon, lat)
    spread = CHIRPS_LOG_ERROR
    factor = np.exp(spread * noise.drifting(x / 60, y / 60, float(day), seed=9_100) - spread**2 / 2)
    seen = weather.rain(lon, lat, day).astype(np.float64) * factor
    height, water = terrain.elevation_and_water(lon, lat)
    return {names[0]: (np.where(seen > DRIZZLE, seen, 0), ~(water & (height <= 0)))}


def _height(grid: RasterGrid, window: Window, _: int, names: tuple[str, ...]) -> Mapping[str, Pixels]:
    height = np.rint(terrain.elevation(*lonlat(grid, window)).astype(np.float64))
    return {names[0]: (np.maximum(height, 0), np.ones(height.shape, np.bool_))}


def _upstream(grid: RasterGrid, window: Window, _: int, names: tuple[str, ...]) -> Mapping[str, Pixels]:
    """Upstream area in km² as it tends to be: a pixel's own on crests, hundreds of them on valley floors."""
    reach = len(AROUND) // 2
    wide = Window(window.row - reach, window.col - reach, window.height + 2 * reach, window.width + 2 * reach)
    lon, lat = lonlat(grid, wide)
    height, water = terrain.elevation_and_water(lon, lat)
    height = height.astype(np.float64)
    mean, square = (
        correlate1d(correlate1d(field, AROUND, 0), AROUND, 1) for field in (height, np.square(height))
    )
    spread = np.sqrt(np.maximum(square - np.square(mean), 0))
    hollow = np.tanh((mean - height) / (1 + 0.5 * spread))
    area = PIXEL_KM2 * np.cos(np.radians(lat)) * np.exp(GROWTH * (hollow + 1) + RIVER_GROWTH * water)
    inner = (slice(reach, -reach), slice(reach, -reach))
    return {names[0]: (area[inner], ~(water & (height <= 0))[inner])}


def _fraction(fraction: int, scale: float, depths: Mapping[str, float]) -> Rule:
    """A soil fraction (sand 0, silt 1, clay 2) in units of 1/scale percent; masked under water."""

    def rule(grid: RasterGrid, window: Window, _: int, names: tuple[str, ...]) -> Mapping[str, Pixels]:
        lon, lat = lonlat(grid, window)
        land = ~terrain.water(lon, lat)
        shares = {name: soil.texture(lon, lat, depths[name] / 100)[fraction] for name in names}
        return {name: (np.rint(scale * share), land) for name, share in shares.items()}

    return rule


def _truth(grid: RasterGrid, window: Window, day: int, names: tuple[str, ...]) -> Mapping[str, Pixels]:
    rows = window.row + np.arange(window.height)
    cols = window.col + np.arange(window.width)
    true = moisture.soil_moisture_cells(*np.meshgrid(rows, cols, indexing="ij"), day)
    return {names[0]: (true, np.isfinite(true))}


@dataclass(frozen=True)
class Product:
    """A row of the table.

    Attributes:
        id: asset id.
        title: after the word Simulated.
        grid: native grid.
        bands: in catalogue order.
        rule: pixels of the bands asked over a window on a day.
        daily: an image for each day of 2015 to 2025, or a single image.
    """

    id: str
    title: str
    grid: RasterGrid
    bands: tuple[BandSpec, ...]
    rule: Rule
    daily: bool = False


def _openlandmap(name: str, fraction: int) -> Product:
    return Product(
        f"OpenLandMap/SOL/SOL_{name.upper()}-WFRACTION_USDA-3A1A1A_M/v02",
        f"soil {name} content at six depths, % of mass",
        OPENLANDMAP_GRID,
        tuple(BandSpec(band, "uint8") for band in OPENLANDMAP_DEPTHS),
        _fraction(fraction, 1.0, OPENLANDMAP_DEPTHS),
    )


def _soilgrids(name: str, fraction: int) -> Product:
    depths = {f"{name}_{layer}_mean": depth for layer, depth in SOILGRIDS_DEPTHS.items()}
    return Product(
        f"projects/soilgrids-isric/{name}_mean",
        f"soil {name} content of six layers, g/kg",
        SOILGRIDS_GRID,
        tuple(BandSpec(band, "int16") for band in depths),
        _fraction(fraction, 10.0, depths),
    )


PRODUCTS = (
    Product(
        "UCSB-CHG/CHIRPS/DAILY",
        "CHIRPS daily precipitation, mm",
        CHIRPS_GRID,
        (BandSpec("precipitation", "float32"),),
        _rain,
        daily=True,
    ),
    Product(
        "CGIAR/SRTM90_V4",
        "SRTM elevation at 3 arc seconds, m",
        SRTM90_GRID,
        (BandSpec("elevation", "int16"),),
        _height,
    ),
    Product(
        "USGS/SRTMGL1_003",
        "SRTM elevation at 1 arc second, m; the terrain of CGIAR/SRTM90_V4, no finer",
        SRTM30_GRID,
        (BandSpec("elevation", "int16"),),
        _height,
    ),
    Product(
        "MERIT/Hydro/v1_0_1",
        "upstream area at 3 arc seconds, km²: of the shape of the land around, without a river network",
        MERIT_GRID,
        (BandSpec("upa", "float32"),),
        _upstream,
    ),
    _openlandmap("clay", CLAY),
    _openlandmap("sand", SAND),
    _soilgrids("clay", CLAY),
    _soilgrids("sand", SAND),
    _soilgrids("silt", SILT),
    Product(
        TRUTH_ID,
        "daily surface soil moisture, m³/m³: the truth behind all simulated datasets",
        EASE_M01,
        (BandSpec("sm", "float32"),),
        _truth,
        daily=True,
    ),
)


def days_of(index_format: str) -> Sequence[Slot]:
    """A slot for each day of 2015 to 2025, its index in a ``strftime`` format."""
    return [
        Slot(
            day * DAY_MS, (day + 1) * DAY_MS, datetime.fromtimestamp(day * 86_400, UTC).strftime(index_format)
        )
        for day in range(FIRST_DAY, END_DAY)
    ]


def _dataset(product: Product) -> Dataset:
    last = product.id.rpartition("/")[2]

    def build(slot: Slot) -> Scene:
        day = slot.start // DAY_MS

        def compute(names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
            return product.rule(product.grid, window, day, names)

        return Scene(
            f"{product.id}/{slot.index}" if product.daily else product.id,
            slot.index,
            slot.start,
            slot.end,
            product.grid,
            product.bands,
            {"simulated": 1},
            None,
            reader(product.grid, product.bands, compute),
        )

    # One date for all single images: those of the real ones differ and mean nothing here.
    single = [Slot(FIRST_DAY * DAY_MS, END_DAY * DAY_MS, last)]
    return Dataset(
        product.id,
        "IMAGE_COLLECTION" if product.daily else "IMAGE",
        {"title": f"Simulated {product.title}", "simulated": 1},
        slots=(lambda: days_of("%Y%m%d")) if product.daily else (lambda: single),
        build=build,
    )


DATASETS = tuple(_dataset(product) for product in PRODUCTS)
