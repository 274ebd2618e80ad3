"""The truth: daily soil moisture on the 1 km EASE-Grid 2.0, and the surface temperature that follows it.

Tiles of 128 x 128 cells are integrated month by month with the water balance of `balance`, each from a fixed
start five months before, so that a day's pixels never depend on what was asked earlier. The grid is M01 of
EASE-Grid 2.0 (Brodzik et al. 2012, doi:10.3390/ijgi1010032), which nests 9 x 9 in the SMAP L4 grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local.sources.nature.balance import (
    ROOT_MM,
    SURFACE_MM,
    Ground,
    Weather,
    demand,
    first_state,
    ground,
    run,
)
from gee.local.sources.nature.cache import ByteCache
from gee.local.sources.nature.landcover import URBAN, classify
from gee.local.sources.nature.noise import Coordinates, Floats
from gee.local.sources.nature.soil import texture
from gee.local.sources.nature.terrain import broad_elevation, elevation_and_water
from gee.local.sources.nature.vegetation import Canopy, canopy, cover, year_of
from gee.local.sources.nature.weather import (
    air_temperature,
    cloud_fraction,
    extraterrestrial,
    radiation_series,
    rain_series,
    temperature_series,
)

CELL = 1000.89502334956  # m
ROWS, COLS = 14616, 34704
WEST, NORTH = -17367530.445161, 7314540.830638  # m, EPSG:6933
TILE = 128  # cells
SPIN_UP_MONTHS = 5
NODE = 8  # cells between the nodes of the forcing; the smallest showers span 30 km
LEAF_DAYS = 10  # between two leaf areas
CACHE_BYTES = 384_000_000
LOWEST, HIGHEST = 0.03, 0.55  # m3/m3

_A, _E2 = 6378137.0, 0.0066943799901413165  # WGS 84
_E = np.sqrt(_E2)
_K0 = np.cos(np.radians(30)) / np.sqrt(1 - _E2 * np.sin(np.radians(30)) ** 2)


class Moisture(NamedTuple):
    """Volumetric soil moisture (m3/m3), ``(days, TILE, TILE)``: 0-5 cm and 5-50 cm; NaN on water."""

    surface: Floats
    root: Floats


@dataclass(frozen=True, eq=False)
class Site:
    """What a tile has all year."""

    water: NDArray[np.bool_]
    ground: Ground
    sun: Floats
    canopy: Canopy


class Forcing(NamedTuple):
    """Rain and evaporative demand, mm/day, at the nodes of a tile: ``(days, nodes, nodes)``."""

    rain: Floats
    demand: Floats


def cell_centres(
    rows: NDArray[np.int64] | Coordinates, cols: NDArray[np.int64] | Coordinates
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude of columns and latitude of rows of the M01 grid, degrees (each as long as what is given)."""
    x = WEST + (np.asarray(cols) + 0.5) * CELL
    y = NORTH - (np.asarray(rows) + 0.5) * CELL
    beta = np.arcsin(np.clip(2 * y * _K0 / (_A * _authalic(np.float64(1.0))), -1, 1))
    lat = (
        beta
        + (_E2 / 3 + 31 * _E2**2 / 180 + 517 * _E2**3 / 5040) * np.sin(2 * beta)
        + (23 * _E2**2 / 360 + 251 * _E2**3 / 3780) * np.sin(4 * beta)
        + 761 * _E2**3 / 45360 * np.sin(6 * beta)
    )
    return np.degrees(x / (_A * _K0)), np.degrees(lat)


def cell_of(lon: Coordinates, lat: Coordinates) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the M01 cell that holds each place; rows off the grid are negative or too large."""
    x = np.radians(lon) * _A * _K0
    y = _A / (2 * _K0) * _authalic(np.sin(np.radians(lat)))
    cols = np.floor((x - WEST) / CELL).astype(np.int64)
    return np.floor((NORTH - y) / CELL).astype(np.int64), cols % COLS


def block(tile_row: int, tile_col: int, year: int, month: int) -> Floats:
    """Surface soil moisture (0-5 cm, m3/m3) of a tile and month, ``(days, TILE, TILE)``; NaN on water."""
    return tile_month(tile_row, tile_col, year, month).surface


def tile_month(tile_row: int, tile_col: int, year: int, month: int) -> Moisture:
    """Both layers of a tile and month; read only."""
    key = (tile_row, tile_col, year, month)
    return _MOISTURE.get(key, lambda: _integrate(tile_row, tile_col, year, month))


def site(tile_row: int, tile_col: int, year: int) -> Site:
    """What a tile has in a year."""
    return _SITES.get((tile_row, tile_col, year), lambda: _site(tile_row, tile_col, year))


def forcing(tile_row: int, tile_col: int, months: int) -> Forcing:
    """Rain and demand of a tile in the month that lies ``months`` after January 1970."""
    key = (tile_row, tile_col, months)
    return _FORCING.get(key, lambda: _forcing(tile_row, tile_col, months))


def soil_moisture_cells(
    rows: NDArray[np.int64], cols: NDArray[np.int64], day: int, layer: str = "surface"
) -> Floats:
    """Truth at M01 cells on a day, m3/m3; NaN on water and outside the grid.

    Args:
        rows: from the north, any shape.
        cols: from the west, the same shape.
        day: days since 1970-01-01.
        layer: ``surface`` (0-5 cm) or ``root`` (5-50 cm).
    """
    rows, cols = np.broadcast_arrays(np.asarray(rows, np.int64), np.asarray(cols, np.int64))
    result = np.full(rows.shape, np.nan, np.float32)
    year, month, index = _calendar(day)
    inside = (rows >= 0) & (rows < ROWS) & (cols >= 0) & (cols < COLS)
    tiles = np.where(inside, (rows // TILE) * (COLS // TILE + 1) + cols // TILE, -1)
    for tile in np.unique(tiles):
        if tile < 0:
            continue
        here = tiles == tile
        tile_row, tile_col = divmod(int(tile), COLS // TILE + 1)
        values = getattr(tile_month(tile_row, tile_col, year, month), layer)[index]
        result[here] = values[rows[here] % TILE, cols[here] % TILE]
    return result


def soil_moisture(lon: Coordinates, lat: Coordinates, day: int, layer: str = "surface") -> Floats:
    """Truth of the M01 cell that holds each place, m3/m3; NaN on water."""
    rows, cols = cell_of(lon, lat)
    return soil_moisture_cells(rows, cols, day, layer)


def surface_temperature(
    lon: Coordinates,
    lat: Coordinates,
    day: int,
    hour: float,
    moisture: Floats | None = None,
    leaf_area: Floats | None = None,
    height: Floats | None = None,
) -> Floats:
    """Clear-sky temperature of the ground and leaves, degrees Celsius.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        day: days since 1970-01-01.
        hour: local solar hour.
        moisture: m3/m3, where the caller has it; NaN is water.
        leaf_area: m2/m2, where the caller has it.
        height: elevation in m, where the caller has it.
    """
    wet = soil_moisture(lon, lat, day) if moisture is None else moisture
    leaves = canopy(lon, lat, year_of(day)).lai(day) if leaf_area is None else leaf_area
    air = air_temperature(lon, lat, day, height)
    hidden = cover(leaves)
    dryness = 1.15 - np.clip(wet / 0.42, 0, 1)
    sun = extraterrestrial(lat, np.array(day)) / 480 * (1 - 0.6 * cloud_fraction(lon, lat, day))
    swing = np.where(np.isnan(wet), 1.5, 5.5 * hidden + (6 + 13 * dryness) * (1 - hidden))
    course = np.cos(2 * np.pi * (hour - 13) / 24)
    course = course if course > 0 else 0.55 * course
    return np.asarray(air + swing * sun * course, np.float32)


def _authalic(sine: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Snyder 1987 equation 3-12."""
    part = np.log((1 - _E * sine) / (1 + _E * sine)) / (2 * _E)
    return np.asarray((1 - _E2) * (sine / (1 - _E2 * sine * sine) - part))


def _calendar(day: int) -> tuple[int, int, int]:
    """Year, month and index within the month of a day since 1970-01-01."""
    months = int(np.datetime64(day, "D").astype("datetime64[M]").astype(int))
    return 1970 + months // 12, months % 12 + 1, day - _first_day(months)


def _first_day(months: int) -> int:
    return int(np.datetime64(months, "M").astype("datetime64[D]").astype(int))


def _integrate(
    tile_row: int, tile_col: int, year: int, month: int, spin_up: int = SPIN_UP_MONTHS
) -> Moisture:
    place = site(tile_row, tile_col, year)
    last = (year - 1970) * 12 + month - 1
    start, first, end = _first_day(last - spin_up), _first_day(last), _first_day(last + 1)
    before = forcing(tile_row, tile_col, last - spin_up - 1)
    humidity = before.rain.mean(0) / before.demand.mean(0)
    weather = [forcing(tile_row, tile_col, months) for months in range(last - spin_up, last + 1)]
    rain, wanted = (np.concatenate(parts) for parts in zip(*weather, strict=True))
    spread = _spread()

    def days() -> Iterator[Weather]:
        for index, day in enumerate(range(start, end)):
            known = day // LEAF_DAYS * LEAF_DAYS
            share = np.float32((day - known) / LEAF_DAYS)
            before, after = (_leaves(tile_row, tile_col, year, date) for date in (known, known + LEAF_DAYS))
            yield Weather(
                spread @ rain[index] @ spread.T,
                place.sun * (spread @ wanted[index] @ spread.T),
                before + share * (after - before),
            )

    surface = np.empty((end - first, TILE, TILE), np.float32)
    root = np.empty_like(surface)
    begin = first_state(place.ground, spread @ humidity @ spread.T)
    for day, state in zip(range(start, end), run(begin, place.ground, days()), strict=True):
        if day >= first:
            surface[day - first] = state.surface / SURFACE_MM
            root[day - first] = state.root / ROOT_MM
    for layer in (surface, root):
        np.clip(layer, LOWEST, HIGHEST, out=layer)
        layer[:, place.water] = np.nan
        layer.flags.writeable = False
    return Moisture(surface, root)


def _spread() -> Floats:
    """Linear interpolation from the nodes of a tile to its cells."""
    position = (np.arange(TILE) + 0.5) / NODE
    nodes = np.arange(TILE // NODE + 1)
    return np.asarray(np.maximum(1 - np.abs(position[:, None] - nodes), 0), np.float32)


def _leaves(tile_row: int, tile_col: int, year: int, day: int) -> Floats:
    """Leaf area of a tile on a day, with the land cover of a year; months share most of their days."""
    key = (tile_row, tile_col, year, day)
    return _LEAVES.get(key, lambda: site(tile_row, tile_col, year).canopy.lai(day))


def _forcing(tile_row: int, tile_col: int, months: int) -> Forcing:
    nodes = np.asarray(np.arange(TILE // NODE + 1) * NODE - 0.5, np.float64)
    lon, lat = cell_centres(tile_row * TILE + nodes, tile_col * TILE + nodes)
    lon, lat = np.meshgrid(lon, lat)
    days = np.arange(_first_day(months), _first_day(months + 1))
    rain = rain_series(lon, lat, days)
    temperature = temperature_series(lon, lat, days, broad_elevation(lon, lat))
    return Forcing(rain, demand(radiation_series(lon, lat, days), temperature))


def _site(tile_row: int, tile_col: int, year: int) -> Site:
    halo = 3
    around = np.arange(-halo, TILE + halo)
    lon, lat = cell_centres(tile_row * TILE + around, tile_col * TILE + around)
    lon, lat = np.meshgrid(lon, lat)
    height, wet = elevation_and_water(lon, lat)
    inner = (slice(halo, -halo), slice(halo, -halo))
    north, east = np.gradient(np.maximum(height, 0), CELL)
    mean, spread = _box_moments(height, halo)
    own_lon, own_lat, own_height = lon[inner], lat[inner], height[inner]
    codes = classify(own_lon, own_lat, year, own_height, wet[inner])
    valley = np.tanh((mean - own_height) / (3 + 0.5 * spread))
    cells = ground(
        texture(own_lon, own_lat),
        np.asarray(np.hypot(north, east)[inner], np.float32),
        np.asarray(valley, np.float32),
        np.asarray(0.8 * (codes == URBAN), np.float32),
    )
    facing_south = np.clip(2.0 * north[inner], -0.25, 0.25) * np.where(own_lat > 0, -1, 1)
    cooler = np.exp(-0.00015 * (own_height - broad_elevation(own_lon, own_lat)))
    return Site(
        wet[inner],
        cells,
        np.asarray((1 + facing_south) * cooler, np.float32),
        canopy(own_lon, own_lat, year, codes),
    )


def _box_moments(values: Floats, reach: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation over the (2 reach + 1) square around each inner cell."""
    views = np.lib.stride_tricks.sliding_window_view(values, (2 * reach + 1, 2 * reach + 1))
    return views.mean((2, 3)), views.std((2, 3))


def _site_bytes(site: Site) -> int:
    return 14 * 8 * site.water.size


_MOISTURE: ByteCache[Moisture] = ByteCache(CACHE_BYTES, lambda value: 2 * value.surface.nbytes)
_FORCING: ByteCache[Forcing] = ByteCache(CACHE_BYTES // 6, lambda value: 2 * value.rain.nbytes)
_LEAVES: ByteCache[Floats] = ByteCache(CACHE_BYTES // 6, lambda value: value.nbytes)
_SITES: ByteCache[Site] = ByteCache(CACHE_BYTES // 3, _site_bytes)
