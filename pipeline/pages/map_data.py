"""The numbers behind the map page: quantised, packed to the pixels that have any, deflated, as text.

A browser must show any day of a province and a season at once and the whole series of any pixel, from files
that it may only load as scripts; so the same numbers are cut twice, by days and by pixels, into blocks that
decode in some ten milliseconds. A step of 0.001 m³/m³ is a fortieth of the accuracy asked of SMAP (0.04).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.spatial import cKDTree

from gee.catalog import WGS84
from gee.landcover import LAND
from gee.partitions import BAND as PARTITION
from pipeline.cubes.exported import REGION
from pipeline.cubes.layout import COMPLETE, UNREADABLE
from pipeline.errors import DataError
from pipeline.tables.pairs import MOISTURE
from pipeline.tables.reading import Table
from pipeline.work.manifest import Manifest

STEP = 0.001  # m³/m³
FIRST = round(MOISTURE.low / STEP)  # steps that code 1 stands for
NO_VALUE = 0
DAY_BLOCK = 4_000_000  # bytes of a block of days before compression, read to show a day
SERIES_BLOCK = 2_000_000  # and of a block of pixels, read to draw a series
LEVEL = 6  # of zlib; 9 takes three times as long and saves 0.3 %
READ_BLOCK = 64_000_000  # bytes of the prediction read at a time, if its chunks allow
GROUND = (REGION, LAND, PARTITION)  # variables of the cube
OUTSIDE, MAPPED, EMPTY, WATER = range(4)  # kinds of pixels
NEAREST_METRES = 13_000  # from a pixel to a cell's centre, over a missing row and column of cells

Codes = NDArray[np.uint16]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ground:
    """What does not change from day to day.

    Attributes:
        kinds: OUTSIDE, MAPPED, EMPTY (never a value) or WATER, on the fine grid.
        partitions: codes on the fine grid, 0 outside of all.
    """

    kinds: NDArray[np.uint8]
    partitions: NDArray[np.uint8]

    @property
    def slots(self) -> NDArray[np.intp]:
        """Row after row, the places of the mapped pixels in the flattened grid."""
        return np.flatnonzero(self.kinds == MAPPED)

    def box(self) -> tuple[int, int, int, int]:
        """Edges of the region, pixels from the grid's upper left corner: left, top, right, bottom."""
        rows, columns = (np.flatnonzero((self.kinds != OUTSIDE).any(axis=axis)) for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True, eq=False)
class Coarse:
    """SMAP on its cells.

    Attributes:
        cells: on the fine grid, the number of the nearest cell from 1; 0 where none is near.
        codes: (days, cells).
        simulated: whether the table says so.
    """

    cells: Codes
    codes: Codes
    simulated: bool


@dataclass(frozen=True, eq=False)
class Stations:
    """Stations on the fine grid.

    Attributes:
        names: of the stations.
        columns: from the grid's left edge, pixels with fractions.
        rows: from its upper edge.
        codes: (days, stations) of what was measured; None where the table has only places.
        simulated: whether the table says so.
    """

    names: tuple[str, ...]
    columns: NDArray[np.float64]
    rows: NDArray[np.float64]
    codes: Codes | None
    simulated: bool


def quantised(values: NDArray[np.floating]) -> Codes:
    """Soil moisture in steps, 0 where it is NaN.

    Args:
        values: m³/m³.

    Raises:
        ValueError: a value lies outside of what soil moisture can be.
    """
    known = np.isfinite(values)
    if known.any():
        low, high = float(values[known].min()), float(values[known].max())
        if low < MOISTURE.low or high > MOISTURE.high:
            raise ValueError(f"{low:.4g} to {high:.4g}, outside {MOISTURE.low:g}..{MOISTURE.high:g} m³/m³")
    steps = np.rint(np.where(known, values, 0) / STEP) - FIRST + 1
    return np.where(known, steps, NO_VALUE).astype(np.uint16)


def encoded(matrix: Codes | NDArray[np.uint8]) -> str:
    """A matrix as text: what a row adds to the one above, low bytes before high ones, zlib, base64.

    Args:
        matrix: (rows, columns); soil moisture changes less from row to row if these are days.
    """
    rows = matrix.astype(np.uint16)
    change = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint16)).view(np.int16)
    folded = ((change << 1) ^ (change >> 15)).view(np.uint16).astype("<u2")  # small of either sign: small
    planes = folded.ravel().view(np.uint8).reshape(-1, 2).T
    return base64.b64encode(zlib.compress(planes.tobytes(), LEVEL)).decode("ascii")


def cuts(whole: int, across: int, limit: int) -> Iterator[slice]:
    """Cut ``whole`` rows of ``across`` codes each into as many as ``limit`` bytes hold, at least one."""
    step = max(1, limit // max(1, 2 * across))
    return (slice(start, min(start + step, whole)) for start in range(0, whole, step))


def read_prediction(
    path: Path, manifest: Manifest, scratch: Path, report: Callable[[float], None]
) -> tuple[NDArray[np.datetime64], Codes, dict[str, object]]:
    """Read the downscaled soil moisture, quantised, into a file that stays outside of memory.

    Args:
        path: of the Zarr store.
        manifest: of the same study.
        scratch: folder for that file.
        report: told the share that is done.

    Returns:
        The days; codes (days, rows, columns); the store's attributes.

    Raises:
        DataError: it is missing, broken, of another study or grid, or holds no soil moisture.
    """
    with opened(path, ("sm",), manifest) as store:
        series = store["sm"].transpose("time", "y", "x")
        days = store["time"].to_numpy().astype("datetime64[D]")
        if not days.size or (np.diff(days).astype(int) <= 0).any():
            raise DataError(f"{path}: its days do not grow: predict again")
        codes: Codes = np.memmap(scratch / "codes", np.uint16, "w+", shape=series.shape)
        kept = series.encoding.get("chunks") or series.shape
        step = max(1, READ_BLOCK // (4 * series.shape[1] * series.shape[2]) // kept[0]) * kept[0]
        for start in range(0, len(days), step):
            with _whole(path):
                part = series.isel(time=slice(start, start + step)).to_numpy()
            try:
                codes[start : start + step] = quantised(part)
            except ValueError as error:
                raise DataError(f"{path}: sm is {error}: predict again") from error
            report(min(1.0, (start + step) / len(days)))
        return days, codes, dict(store.attrs)


def read_ground(path: Path, manifest: Manifest, mapped: Mask) -> Ground:
    """Read region, water and partitions from the cube.

    Args:
        path: of the Zarr store.
        manifest: of the same study.
        mapped: pixels that have a value on any day.

    Raises:
        DataError: it is missing, broken, or of another study or grid.
    """
    with opened(path, GROUND, manifest) as store, _whole(path):
        region, land, parts = (store[name].transpose("y", "x").to_numpy() for name in GROUND)
    kinds = np.full(region.shape, OUTSIDE, np.uint8)
    kinds[region > 0] = EMPTY
    kinds[(region > 0) & (land == 0)] = WATER
    kinds[mapped] = MAPPED
    if not mapped.any():
        raise DataError(f"{path.parent}: no pixel of the prediction has a value: there is no map to draw")
    return Ground(kinds, np.where(region > 0, parts, 0).astype(np.uint8))


def read_smap(path: Path, days: NDArray[np.datetime64], ground: Ground, manifest: Manifest) -> Coarse:
    """Read SMAP's values at its cells, and find each pixel's.

    Args:
        path: Parquet with ``cell``, ``lon``, ``lat``, ``date``, ``sm``.
        days: wanted.
        ground: of the study.
        manifest: of the study.

    Raises:
        DataError: the table is missing or broken, or has none of the days.
    """
    names, lon, lat, codes, simulated = _series(path, "cell", "sm", days)
    if codes is None or not codes.any():
        raise DataError(f"{path}: no cell has soil moisture on {days[0]} to {days[-1]}: sample again")
    x, y = _projected(lon, lat, manifest)
    rows, columns = np.nonzero(ground.kinds != OUTSIDE)
    box, side = manifest.grid.boundingbox, manifest.grid.resolution.x
    places = np.column_stack([box.left + side * (columns + 0.5), box.top - side * (rows + 0.5)])
    _, nearest = cKDTree(np.column_stack([x, y])).query(places, distance_upper_bound=NEAREST_METRES)
    cells = np.zeros(ground.kinds.shape, np.uint16)
    cells[rows, columns] = np.where(nearest < len(names), nearest + 1, 0)
    return Coarse(cells, codes, simulated)


def read_stations(path: Path, days: NDArray[np.datetime64], manifest: Manifest) -> Stations:
    """Read where stations are, and what they measured if the table has it.

    Args:
        path: Parquet or CSV with ``station``, ``lon``, ``lat``, and perhaps ``date`` and ``insitu``.
        days: wanted.
        manifest: of the study.

    Raises:
        DataError: the table is missing or broken, or no station stands on the map.
    """
    names, lon, lat, codes, simulated = _series(path, "station", "insitu", days)
    x, y = _projected(lon, lat, manifest)
    box, side = manifest.grid.boundingbox, manifest.grid.resolution.x
    columns, rows = (x - box.left) / side, (box.top - y) / side
    height, width = manifest.grid.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    if not inside.any():
        raise DataError(f"{path}: none of {len(names)} stations stands on the map: check lon and lat")
    return Stations(
        tuple(name for name, kept in zip(names, inside, strict=True) if kept),
        columns[inside],
        rows[inside],
        None if codes is None else codes[:, inside],
        simulated,
    )


def opened(path: Path, names: tuple[str, ...], manifest: Manifest) -> xr.Dataset:
    """Open a Zarr store that must lie on the study's grid.

    Raises:
        DataError: it is missing, broken, lacks an array, or is of another study or grid.
    """
    with _whole(path):
        store: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    if store.attrs.get(COMPLETE, 1) != 1:
        raise DataError(f"{path} is not whole: make it again")
    if lacking := [name for name in (*names, "x", "y") if name not in store]:
        raise DataError(f"{path}: it has no array {', '.join(lacking)}: make it again")
    if (study := store.attrs.get("study_hash", manifest.study_hash)) != manifest.study_hash:
        raise DataError(f"{path}: it is of another study ({study}, not {manifest.study_hash}): make it again")
    wanted = (manifest.grid.coordinates[axis].values for axis in manifest.grid.dimensions)
    for axis, centres in zip(("y", "x"), wanted, strict=True):
        found = store[axis].to_numpy()
        if found.shape != centres.shape or not np.allclose(found, centres, rtol=0, atol=1):
            raise DataError(f"{path}: its {axis} are not those of the study's grid: make it again")
    return store


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn what reading a Zarr store raises into a sentence about it."""
    try:
        yield
    except (*UNREADABLE, LookupError) as error:
        raise DataError(f"{path} is missing or damaged ({error}): make it again") from error


def _series(
    path: Path, place: str, value: str, days: NDArray[np.datetime64]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], Codes | None, bool]:
    """Names, longitudes and latitudes of places, codes (days, places) where the table has days, simulated."""
    table = Table.open(path)
    dated = value in table.header and "date" in table.header
    wanted = (place, "lon", "lat", *(("date", value) if dated or place == "cell" else ()))
    if lacking := [name for name in wanted if name not in table.header]:
        raise DataError(f"{path}: no column {', '.join(lacking)}; it has {', '.join(table.header)}")
    table.fetch({*wanted, "simulated"}, {place, "date"})
    frame = table.raw[[]].assign(place=table.texts(place, [place]))
    for axis in ("lon", "lat"):
        frame[axis] = table.numbers(axis)
    if "date" in wanted:
        frame = frame.assign(date=table.days("date", "date"), value=table.numbers(value))
        table.refuse_repeats(
            frame, "place", np.arange(len(frame)), (place, f"a {place} and day", "keep one a day")
        )
    if table.problems:
        raise DataError("\n".join(f"{path}: {problem}" for problem in table.problems))
    places = frame.groupby("place", sort=True)[["lon", "lat"]].first().dropna()
    simulated = "simulated" in table.raw and bool(table.marks("simulated").any())
    lon, lat = (places[axis].to_numpy(np.float64) for axis in ("lon", "lat"))
    if "date" not in wanted:
        return places.index.to_list(), lon, lat, None, simulated
    matrix = frame.set_index(["date", "place"])["value"].unstack()
    matrix = matrix.reindex(index=days.astype("datetime64[s]"), columns=places.index)
    try:
        codes = quantised(matrix.to_numpy(np.float64))
    except ValueError as error:
        raise DataError(f"{path}: {value} is {error}: convert it and leave no-data codes empty") from error
    return places.index.to_list(), lon, lat, codes, simulated


def _projected(
    lon: NDArray[np.float64], lat: NDArray[np.float64], manifest: Manifest
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = Transformer.from_crs(WGS84, manifest.crs, always_xy=True).transform(lon, lat)
    return np.asarray(x), np.asarray(y)
