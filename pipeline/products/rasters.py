"""A product as a folder of GeoTIFFs, a day in each file name; any coordinate system, band, scale and offset.

A global 1 km image has half a billion pixels and a comparison needs some hundred of them, so only the
windows that hold stations are read, each file is opened once, and no more than a few megabytes are held.
Downloads get cut off: a file that cannot be read is told and the others are read all the same.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from gee.catalog import WGS84
from pipeline.errors import DataError
from pipeline.products.product import Days, Found
from pipeline.progress import Report
from pipeline.wording import listed, plural

SUFFIXES = (".tif", ".tiff")
SHOWN = 3  # files in a message
WINDOW_PIXELS = 1_000_000  # read at a time; stations further apart are read in several windows
_YEAR = r"(?<!\d)(?P<year>(?:19|20)\d\d)"
DATES = (
    re.compile(
        rf"{_YEAR}(?P<sign>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=sign)(?P<day>0[1-9]|[12]\d|3[01])(?!\d)"
    ),
    re.compile(rf"{_YEAR}[-_.]?(?P<doy>[0-3]\d\d)(?!\d)"),
)
"""Dates in file names: 20190401, 2019-04-01, 2019_091 and the like; the first in a name counts."""
Floats = NDArray[np.float64]
Index = NDArray[np.intp]


def date_in(name: str) -> dt.date | None:
    """The first date in a file name, None where there is none."""
    for pattern in DATES:
        for found in pattern.finditer(name):
            told = found.groupdict()
            try:
                if "doy" in told:
                    day = dt.date(int(told["year"]), 1, 1) + dt.timedelta(days=int(told["doy"]) - 1)
                    if int(told["doy"]) == 0 or day.year != int(told["year"]):
                        continue
                    return day
                return dt.date(int(told["year"]), int(told["month"]), int(told["day"]))
            except ValueError:
                continue
    return None


def windows(rows: Index, columns: Index, pixels: int = WINDOW_PIXELS) -> Iterator[tuple[Window, Index]]:
    """Windows that hold places, none of more than so many pixels.

    Args:
        rows: of the places.
        columns: of the places.
        pixels: of a window at most.

    Returns:
        Each window with the numbers of the places in it.
    """
    waiting = [np.arange(len(rows))] if len(rows) else []
    while waiting:
        some = waiting.pop()
        top, left = int(rows[some].min()), int(columns[some].min())
        height, width = int(rows[some].max()) - top + 1, int(columns[some].max()) - left + 1
        if height * width <= pixels or len(some) == 1:
            yield Window(left, top, width, height), some
            continue
        order = some[np.argsort((rows if height > width else columns)[some], kind="stable")]
        waiting += [order[: len(order) // 2], order[len(order) // 2 :]]


@dataclass(frozen=True)
class Reading:
    """How the numbers of a file become soil moisture.

    Attributes:
        bands: numbers from 1; where the first has no value the next one counts.
        factor: of the stored numbers to m³/m³; None is the file's own, 1 where it says none.
        offset: added to that; None is the file's own.
        above: stored numbers up to this one mean that there is none; None where only the file tells.
        high: largest stored number that means something; None is any.
    """

    bands: tuple[int, ...] = (1,)
    factor: float | None = None
    offset: float | None = None
    above: float | None = None
    high: float | None = None


class Points:
    """Reads files at the same places, over and over.

    Args:
        places: ``lon``, ``lat`` (degrees).
        reading: of every file.
    """

    def __init__(self, places: pd.DataFrame, reading: Reading) -> None:
        self.lon, self.lat = (places[axis].to_numpy(np.float64) for axis in ("lon", "lat"))
        self.reading = reading
        self._pixels = lru_cache(8)(self._found)

    def read(self, path: Path) -> Floats | None:
        """A file's values at the places, (places,), NaN where masked; None where it holds none of them.

        Raises:
            ValueError: the file has no coordinate system, or not the bands.
            RasterioError: it cannot be read.
        """
        with rasterio.open(path) as file:
            if file.crs is None:
                raise ValueError("it has no coordinate system")
            if lacking := [band for band in self.reading.bands if not 1 <= band <= file.count]:
                raise ValueError(f"it has no band {lacking[0]}, only {file.count}")
            numbers, rows, columns = self._pixels(file.crs.to_wkt(), file.transform, file.shape)
            if not len(numbers):
                return None
            found = np.full(len(self.lon), np.nan)
            for window, some in windows(rows, columns):
                pixels = rows[some] - window.row_off, columns[some] - window.col_off
                found[numbers[some]] = self._first(file, window, pixels)
            return found

    def _first(self, file: Any, window: Window, pixels: tuple[Index, Index]) -> Floats:
        """The first of the bands that has a value in each pixel."""
        found = np.full(len(pixels[0]), np.nan)
        for band in self.reading.bands:
            if not np.isnan(found).any():
                break
            stored = file.read(band, window=window, masked=True)[pixels].astype(np.float64).filled(np.nan)
            if self.reading.above is not None:
                stored[stored <= self.reading.above] = np.nan
            if self.reading.high is not None:
                stored[stored > self.reading.high] = np.nan
            factor, offset = self.reading.factor, self.reading.offset
            values = stored * (file.scales[band - 1] if factor is None else factor)
            values += file.offsets[band - 1] if factor is None and offset is None else offset or 0
            found = np.where(np.isnan(found), values, found)
        return found

    def _found(self, crs: str, transform: Affine, shape: tuple[int, int]) -> tuple[Index, Index, Index]:
        """Numbers of the places that lie on a grid, their rows and columns."""
        x, y = Transformer.from_crs(WGS84, crs, always_xy=True).transform(self.lon, self.lat)
        column, row = ~transform @ (np.asarray(x), np.asarray(y))
        row, column = np.floor(row), np.floor(column)
        with np.errstate(invalid="ignore"):
            inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        numbers = np.flatnonzero(inside)
        return numbers, row[inside].astype(np.intp), column[inside].astype(np.intp)


@dataclass(frozen=True)
class RasterProduct:
    """A product that is a folder of GeoTIFFs.

    Attributes:
        name: its column.
        title: what people call it.
        folder: that holds the files, in folders of its own or not.
        reading: how their numbers become soil moisture.
    """

    name: str
    title: str
    folder: Path
    reading: Reading = Reading()

    @property
    def source(self) -> str:
        """The folder."""
        return str(self.folder)

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """Its values at places; see ``Product.at``.

        Raises:
            DataError: there is no file of the period, none can be read, or none holds a station.
        """
        dated, undated = files_by_day(self.folder)
        notes = []
        if undated:
            notes.append(
                f"{plural(len(undated), 'file')} without a date in the name: {listed(undated, SHOWN)}."
            )
        return read_days(dated, self.folder, places, days, self.reading, report, notes)


def files_by_day(folder: Path) -> tuple[dict[dt.date, list[Path]], list[str]]:
    """GeoTIFFs under a folder by the date in their name, and the names of those without.

    Raises:
        DataError: there is no GeoTIFF.
    """
    try:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error
    if not paths:
        raise DataError(f"{folder} holds no GeoTIFF (.tif): name the folder that does")
    dated: dict[dt.date, list[Path]] = {}
    undated = []
    for path in paths:
        day = date_in(path.stem)
        if day is None:
            undated.append(path.name)
        else:
            dated.setdefault(day, []).append(path)
    if not dated:
        raise DataError(
            f"{folder}: no file name has a date, such as {undated[0]}: name the files like sm_20190401.tif, "
            "sm_2019-04-01.tif or sm_2019_091.tif"
        )
    return dated, undated


def read_days(
    dated: Mapping[dt.date, Sequence[Path]],
    folder: Path,
    places: pd.DataFrame,
    days: Days,
    reading: Reading,
    report: Report,
    notes: Sequence[str] = (),
) -> Found:
    """Read the files of some days at places.

    Args:
        dated: files by day; of several, as tiles are, the first with a value counts.
        folder: for messages.
        places: as of ``Product.at``.
        days: wanted, in order.
        reading: of every file.
        report: told about progress.
        notes: that the caller has already.

    Raises:
        DataError: there is no file of the period, none can be read, or none holds a station.
    """
    wanted = [(number, day) for number, day in enumerate(days) if day in dated]
    if not wanted:
        raise DataError(
            f"{folder} has no file of {days[0]} to {days[-1]}; it has {plural(len(dated), 'day')} of "
            f"{min(dated)} to {max(dated)}: compare maps of its period"
        )
    points = Points(places, reading)
    found = np.full((len(days), len(places)), np.nan)
    broken: list[str] = []
    beside = read = 0
    for done, (number, day) in enumerate(wanted, start=1):
        for path in dated[day]:
            try:
                values = points.read(path)
            except (RasterioError, ValueError, OSError) as error:
                broken.append(f"{path.name} ({error})")
                continue
            read += 1
            if values is None:
                beside += 1
            else:
                found[number] = np.where(np.isnan(found[number]), values, found[number])
        report(f"images: {done} of {len(wanted)} days", done / len(wanted))
    if not read:
        raise DataError(f"{folder}: none of its files can be read: {listed(broken, SHOWN)}: fetch them again")
    if beside == read:
        raise DataError(f"{folder}: none of the {len(places):,} stations lies on its images")
    told = list(notes)
    if broken:
        told.append(f"{plural(len(broken), 'file')} cannot be read, left out: {listed(broken, SHOWN)}.")
    if len(wanted) < len(days):
        told.append(f"it has files of {len(wanted):,} of {len(days):,} days.")
    return Found(found, tuple(told))
