"""An exported image as it lies in a folder: in one file, or in those that Earth Engine cuts a large one into.

Such files say by two numbers in their names where they begin; one that is missing leaves no trace in the
others. So before a pixel is read the parts are laid out, and what overlaps, is lacking, cut off or of another
export is told all at once. Names: guides/exporting_images, "Large file exports"; users' files show them with
and without a dash before the numbers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as RasterWindow

from gee.exports import KEY_DIGITS, NODATA
from pipeline.errors import DataError

STEM = rf".+?-[0-9a-f]{{{KEY_DIGITS}}}"  # a task's name, which ends in its hash
NAME = re.compile(rf"(?P<stem>{STEM})(?:-?(?P<row>\d{{10}})-(?P<column>\d{{10}}))?\.tif")
CACHE_BYTES = 16 << 20  # of GDAL's blocks, which are read once; by itself it takes a twentieth of the memory
ROUNDING = 1e-6  # of a pixel, by which a corner may miss its place
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, counted from the upper left corner."""

    row: int
    column: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.row, self.row + self.height)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.column, self.column + self.width)

    def common(self, other: Window) -> Window | None:
        """What two windows share, None where they do not meet."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        height = min(self.rows.stop, other.rows.stop) - row
        width = min(self.columns.stop, other.columns.stop) - column
        return Window(row, column, height, width) if height > 0 and width > 0 else None

    def within(self, outer: Window) -> Window:
        """The same rectangle, counted from the corner of another one."""
        return Window(self.row - outer.row, self.column - outer.column, self.height, self.width)


@dataclass(frozen=True)
class Part:
    """A file and what it covers of the whole image."""

    path: Path
    window: Window


@dataclass(frozen=True, eq=False)
class Mosaic:
    """An image that was found whole.

    Attributes:
        grid: of the whole.
        bands: names, in order.
        parts: its files, which cover the grid once.
    """

    grid: GeoBox
    bands: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, self.grid.shape.y, self.grid.shape.x)

    def read(self, names: Sequence[str], window: Window | None = None) -> Pixels:
        """Pixels of some bands, from any thread.

        Args:
            names: of bands, in the order wanted.
            window: of the image; None is all.

        Returns:
            Shape (bands, rows, columns), NaN where there is no data.

        Raises:
            DataError: a file cannot be read.
        """
        wanted = window or self.window
        numbers = [self.bands.index(name) + 1 for name in names]
        met = [(part, common) for part in self.parts if (common := part.window.common(wanted))]
        if len(met) == 1:  # spares a copy of a month
            read = _pixels(met[0][0].path, numbers, wanted.within(met[0][0].window))
        else:
            read = np.empty((len(numbers), wanted.height, wanted.width), np.float32)
            for part, common in met:
                there, here = common.within(wanted), common.within(part.window)
                read[:, there.rows, there.columns] = _pixels(part.path, numbers, here)
        read[read == np.float32(NODATA)] = np.nan
        return read


def files(folder: Path) -> dict[str, list[Path]]:
    """The image files of a folder by the name of their task, in order."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("*.tif")):
        if named := NAME.fullmatch(path.name):
            found[named["stem"]].append(path)
    return dict(found)


def assemble(paths: Sequence[Path]) -> Mosaic:
    """Lay out the files of one image.

    Args:
        paths: the one file, or all its parts.

    Raises:
        DataError: they are not one whole image; everything found is told.
    """
    mistakes: list[str] = []
    headers = [header for path in paths if (header := _header(path, mistakes))]
    if headers and not mistakes:
        mistakes += _unlike(headers)
    if headers and not mistakes:
        mosaic, mistakes = _laid_out(headers)
        if mosaic:
            return mosaic
    raise DataError("\n".join(mistakes))


@dataclass(frozen=True)
class _Header:
    """What a file says of itself; ``offset`` is that of its name, None for a whole image."""

    path: Path
    offset: tuple[int, int] | None
    height: int
    width: int
    crs: CRS
    transform: Affine
    bands: tuple[str, ...]


def environment() -> rasterio.Env:
    """GDAL's settings: a bounded cache, and no look for files beside the one that is opened."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


def _pixels(path: Path, numbers: list[int], window: Window) -> Pixels:
    place = RasterWindow(window.column, window.row, window.width, window.height)
    try:
        with environment(), rasterio.open(path) as file:
            read: Pixels = file.read(numbers, window=place, out_dtype=np.float32)
    except RasterioIOError as error:
        raise DataError(f"{path}: cannot be read as an image: {error}; download it again") from error
    return read


def _header(path: Path, mistakes: list[str]) -> _Header | None:
    """Read a file's header, and look whether all its blocks are within the file."""
    named = NAME.fullmatch(path.name)
    offset = (int(named["row"]), int(named["column"])) if named and named["row"] else None
    try:
        with environment(), rasterio.open(path) as file:
            if file.nodata != NODATA:
                mistakes.append(f"{path}: its nodata is {file.nodata}, not {NODATA:g}: it is no such export")
            if _cut_off(file, path.stat().st_size):
                mistakes.append(f"{path}: the file is cut off; download it again")
            bands = tuple(name or "" for name in file.descriptions)
            return _Header(path, offset, file.height, file.width, file.crs, file.transform, bands)
    except RasterioIOError as error:
        mistakes.append(f"{path}: cannot be read as an image: {error}; download it again")
        return None


def _cut_off(file: rasterio.DatasetReader, size: int) -> bool:
    """Whether a block lies beyond the end of a file; one that was never written has no place."""
    rows, columns = file.block_shapes[0]
    together = file.profile.get("interleave") == "pixel"
    for band in [1] if together else file.indexes:
        for y in range(-(-file.height // rows)):
            for x in range(-(-file.width // columns)):
                start = file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
                length = file.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
                if start is not None and int(start) + int(length or 0) > size:
                    return True
    return False


def _unlike(headers: Sequence[_Header]) -> Iterator[str]:
    """In what the files differ that should be the same."""
    first = headers[0]
    if len(headers) > 1 and any(header.offset is None for header in headers):
        listed = ", ".join(header.path.name for header in headers)
        yield f"{first.path.parent}: an image lies there more than once ({listed}): keep one download of it"
        return
    for header in headers[1:]:
        if header.bands != first.bands:
            yield f"{header.path} has other bands than {first.path.name}: keep the parts of one export"
        if header.crs != first.crs or header.transform[:2] + header.transform[3:5] != (
            first.transform[:2] + first.transform[3:5]
        ):
            yield f"{header.path} has other pixels than {first.path.name}: keep the parts of one export"


def _laid_out(headers: Sequence[_Header]) -> tuple[Mosaic | None, list[str]]:
    """The image that the parts make up, or what is wrong with their places."""
    parts = [
        Part(header.path, Window(*(header.offset or (0, 0)), header.height, header.width))
        for header in headers
    ]
    origin = next((header for header in headers if header.offset in (None, (0, 0))), None)
    name = headers[0].path.name
    named = NAME.fullmatch(name)
    image = headers[0].path.parent / (named["stem"] if named else name)
    if origin is None:
        return None, [f"{image}: the part at row 0, column 0 is missing; download it again"]
    mistakes = []
    for header, part in zip(headers, parts, strict=True):
        x = (header.transform.c - origin.transform.c) / origin.transform.a
        y = (header.transform.f - origin.transform.f) / origin.transform.e
        if abs(x - part.window.column) > ROUNDING or abs(y - part.window.row) > ROUNDING:
            mistakes.append(
                f"{header.path} begins at row {round(y)}, column {round(x)}, not where its name says: export "
                "it again"
            )
    if mistakes:
        return None, mistakes
    height = max(part.window.rows.stop for part in parts)
    width = max(part.window.columns.stop for part in parts)
    covered = np.zeros((height, width), np.uint8)
    for part in parts:
        covered[part.window.rows, part.window.columns] += 1
    if (covered > 1).any():
        mistakes.append(f"{image}: its parts overlap: remove all of them and download them again")
    if (covered == 0).any():
        row, column = np.argwhere(covered == 0)[0]
        mistakes.append(f"{image}: the part at row {row}, column {column} is missing; download it again")
    grid = GeoBox((height, width), origin.transform, str(origin.crs))
    return (None if mistakes else Mosaic(grid, origin.bands, tuple(parts))), mistakes
