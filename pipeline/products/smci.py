"""SMCI1.0: daily 1 km soil moisture of China, learnt from 1,789 stations, in ten layers of 10 cm; NetCDF.

Variable ``SMCI`` holds whole thousandths of m³/m³, -999 where there is none, on a grid of 30 seconds (or 0.1
degrees) of longitude and latitude. The layers come as files of their own (SMCI_1km_2019_10cm...) or as a
dimension; the one of 0 to 10 cm counts. A file holds a year, or a day; where it says no times, its name does.
Sources: Li et al. 2022 (ESSD 14, 5267), the readme of doi:10.11888/Terre.tpdc.272415.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gee.comparisons import PRODUCTS
from pipeline.errors import ConfigError, DataError
from pipeline.products.product import Days, Found, Values
from pipeline.products.rasters import SHOWN, date_in, windows
from pipeline.progress import Report
from pipeline.tables.titles import SMCI, title
from pipeline.wording import listed, plural

VARIABLE = "SMCI"
TOP_CM = 10  # lower edge of the layer that counts
READ_VALUES = 4_000_000  # at a time, 8 MB as they are stored
DEPTH = re.compile(r"(?<!\d)(\d{1,3}) ?cm(?![a-z])", re.IGNORECASE)
YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
AXES = {  # by what their names begin with
    "lat": ("lat", "y"), "lon": ("lon", "x"), "time": ("time", "day", "date", "doy"),
    "layer": ("layer", "depth", "lev", "soil", "z", "band"),
}  # fmt: skip
_KNOWN = PRODUCTS[SMCI]


@dataclass(frozen=True)
class SmciProduct:
    """A file or a folder of SMCI1.0.

    Attributes:
        path: a NetCDF file, or a folder that holds some, in folders of its own or not.
        name: its column.
        title: what people call it.
        factor: of the stored numbers to m³/m³; None is the file's own, 0.001 where it says none.
    """

    path: Path
    name: str = SMCI
    title: str = title(SMCI)
    factor: float | None = None

    @property
    def source(self) -> str:
        """The file or folder."""
        return str(self.path)

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """Its values at places, of the layer of 0 to 10 cm; see ``Product.at``.

        Raises:
            ConfigError: the package that reads NetCDF files is not installed.
            DataError: there is no file of that layer or of the period, or none can be read.
        """
        paths = files(self.path)
        found = np.full((len(days), len(places)), np.nan)
        broken: list[str] = []
        spans: list[tuple[dt.date, dt.date]] = []
        for number, path in enumerate(paths, start=1):
            try:
                with _opened(path) as file:
                    reader = _File(file, path, places, self.factor)
                    spans.append((min(reader.days), max(reader.days)))
                    reader.read(days, found)
            except (OSError, ValueError, RuntimeError, LookupError, IndexError) as error:
                broken.append(f"{path.name} ({error})")
            report(f"files: {number} of {len(paths)}", number / len(paths))
        if not spans:
            raise DataError(f"{self.path}: no file can be read: {listed(broken, SHOWN)}: fetch them again")
        first, last = min(one for one, _ in spans), max(one for _, one in spans)
        if last < days[0] or first > days[-1]:
            raise DataError(
                f"{self.path} holds {first} to {last}, nothing of {days[0]} to {days[-1]}: compare maps of "
                "its period"
            )
        notes = (
            [f"{plural(len(broken), 'file')} cannot be read, left out: {listed(broken, SHOWN)}."]
            if broken
            else []
        )
        return Found(found, tuple(notes))


def files(path: Path) -> list[Path]:
    """The NetCDF files of the upper layer, or of no layer that their names tell.

    Raises:
        DataError: there are none.
    """
    try:
        paths = [path] if path.is_file() else sorted(path.rglob("*.nc"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not paths:
        raise DataError(f"{path} holds no NetCDF file (.nc): name the folder that does")
    top = [one for one in paths if _depth(one) in (None, TOP_CM)]
    if not top:
        depths = sorted({depth for one in paths if (depth := _depth(one)) is not None})
        raise DataError(
            f"{path} holds the layers down to {', '.join(map(str, depths))} cm, not that of 0 to {TOP_CM} "
            "cm: fetch that one"
        )
    return top


def _depth(path: Path) -> int | None:
    """The depth that a file's name tells, or else its folder's."""
    for text in (path.stem, path.parent.name):
        if told := DEPTH.search(text):
            return int(told[1])
    return None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A NetCDF file, its numbers as they are stored."""
    try:
        import netCDF4
    except ImportError as error:
        raise ConfigError(
            "NetCDF files are read by the package netCDF4, which is not installed: pip install "
            '"gee-smap[validation]"'
        ) from error
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        yield file


class _File:
    """A NetCDF file of the product, and where places are in it.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, file: Any, path: Path, places: pd.DataFrame, factor: float | None) -> None:
        names = {name.lower(): name for name in file.variables}
        if VARIABLE.lower() not in names:
            raise ValueError(f"no variable {VARIABLE}, only {', '.join(file.variables)}")
        self.stored = file.variables[names[VARIABLE.lower()]]
        self.axes = _axes(self.stored.dimensions)
        self.factor = float(getattr(self.stored, "scale_factor", _KNOWN.factor)) if factor is None else factor
        self.offset = float(getattr(self.stored, "add_offset", 0)) if factor is None else 0.0
        self.codes = [
            float(np.ravel(getattr(self.stored, name))[0])
            for name in ("_FillValue", "missing_value")
            if hasattr(self.stored, name)
        ]
        self.layer = _upper(file, self.stored, self.axes)
        self.days = _days(file, self.stored, self.axes, path)
        lat, lon = (self._coordinate(file, axis) for axis in ("lat", "lon"))
        row = _nearest(lat, places["lat"].to_numpy(np.float64))
        column = _nearest(lon, places["lon"].to_numpy(np.float64))
        self.numbers = np.flatnonzero((row >= 0) & (column >= 0))
        self.row, self.column = row[self.numbers], column[self.numbers]

    def read(self, days: Days, found: Values) -> None:
        """Fill in what the file holds of some days."""
        at = {day: number for number, day in enumerate(self.days)}
        wanted = sorted(((number, at[day]) for number, day in enumerate(days) if day in at), key=_position)
        if not wanted or not len(self.numbers):
            return
        for window, some in windows(self.row, self.column, READ_VALUES):
            step = max(1, READ_VALUES // (window.height * window.width))
            for first in range(0, len(wanted), step):
                part = wanted[first : first + step]
                begin, end = part[0][1], part[-1][1] + 1
                values = self._block(begin, end, window)
                here = values[:, self.row[some] - window.row_off, self.column[some] - window.col_off]
                rows = np.array([number for number, _ in part])
                inner = np.array([position - begin for _, position in part])
                found[rows[:, None], self.numbers[some]] = self._moisture(here[inner])

    def _block(self, begin: int, end: int, window: Any) -> NDArray[Any]:
        """(days, rows, columns) of the upper layer, as stored."""
        key: list[Any] = [self.layer] * self.stored.ndim
        for axis, part in (
            ("time", slice(begin, end)),
            ("lat", slice(window.row_off, window.row_off + window.height)),
            ("lon", slice(window.col_off, window.col_off + window.width)),
        ):
            if axis in self.axes:
                key[self.axes[axis]] = part
        kept = sorted((place, axis) for axis, place in self.axes.items() if axis != "layer")
        order = [axis for _, axis in kept]
        values = np.asarray(self.stored[tuple(key)])
        if "time" not in order:
            values, order = values[None], ["time", *order]
        return values.transpose([order.index(axis) for axis in ("time", "lat", "lon")])

    def _moisture(self, stored: NDArray[Any]) -> Values:
        values = stored.astype(np.float64)
        unknown = np.isin(values, self.codes)
        values = np.where(unknown, np.nan, values * self.factor + self.offset)
        return np.where(values < 0, np.nan, values)

    def _coordinate(self, file: Any, axis: str) -> NDArray[np.float64]:
        name = self.stored.dimensions[self.axes[axis]]
        own = [one for one in file.variables if one.lower() == name.lower()]
        named = own or [one for one in file.variables if one.lower().startswith(AXES[axis])]
        if not named:
            raise ValueError(f"no variable for its dimension {name}")
        return np.asarray(file.variables[named[0]][:], np.float64)


def _position(wanted: tuple[int, int]) -> int:
    """Where a day stands in its file, whose times need not grow."""
    return wanted[1]


def _axes(dimensions: Sequence[str]) -> dict[str, int]:
    """Which dimension is which."""
    found: dict[str, int] = {}
    for place, name in enumerate(dimensions):
        axis = next((axis for axis, begins in AXES.items() if name.lower().startswith(begins)), None)
        if axis is None or axis in found:
            raise ValueError(f"dimensions {', '.join(dimensions)} are not time, layer, lat and lon")
        found[axis] = place
    if not {"lat", "lon"} <= found.keys():
        raise ValueError(f"dimensions {', '.join(dimensions)} are not time, layer, lat and lon")
    return found


def _upper(file: Any, stored: Any, axes: dict[str, int]) -> int:
    """Which layer is the upper one: that of the least depth, or the first where none is told."""
    told = file.variables.get(stored.dimensions[axes["layer"]]) if "layer" in axes else None
    return 0 if told is None else int(np.argmin(np.abs(np.asarray(told[:], np.float64))))


def _nearest(axis: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which pixel of a regular axis holds each place; -1 where none does."""
    step = (axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else 1.0
    with np.errstate(invalid="ignore"):
        number = np.floor((at - axis[0]) / step + 0.5)
        return np.where((number >= 0) & (number < len(axis)), number, -1).astype(np.intp)


def _days(file: Any, stored: Any, axes: dict[str, int], path: Path) -> list[dt.date]:
    """The day of each time step."""
    import netCDF4

    steps = stored.shape[axes["time"]] if "time" in axes else 1
    name = stored.dimensions[axes["time"]] if "time" in axes else "time"
    time = file.variables.get(name)
    if time is not None and " since " in getattr(time, "units", ""):
        calendar = getattr(time, "calendar", "standard")
        told = np.atleast_1d(np.asarray(netCDF4.num2date(time[:], time.units, calendar)))
        return [dt.date(one.year, one.month, one.day) for one in told]
    if steps == 1 and (day := date_in(path.stem)) is not None:
        return [day]
    if year := YEAR.search(path.stem) or YEAR.search(path.parent.name):
        first = dt.date(int(year[1]), 1, 1)
        if steps == (dt.date(first.year + 1, 1, 1) - first).days:
            return [first + dt.timedelta(days=number) for number in range(steps)]
    raise ValueError(f"neither its time nor its name tells the days of its {steps} steps")
