"""Fills a cube shard by shard, from files or from the engine, and looks at what was written.

Pixels come month by month and go by shards of 32 days, window by window, so that memory holds two months of
one window whatever the study's size. A shard is written beside and renamed: one that is there is whole, so a
build that was killed goes on with those that are not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from gee.exports import NODATA
from gee.landcover import CLASSES
from gee.partitions import BAND as PARTITION
from pipeline.cubes.exported import REGION
from pipeline.cubes.layout import DAYS, SIDE, UNREADABLE, VARIABLES, daily, slabs, still, windows
from pipeline.cubes.mosaics import Pixels, Window
from pipeline.errors import DataError
from pipeline.progress import Report
from pipeline.work.manifest import Manifest

WRITTEN = 0.9  # share of the work, before what was written is looked at
CONFIG: Any = {"write_empty_chunks": True}  # or else a shard of missing values would seem not to be written


class Stretch(Protocol):
    """A run of days whose pixels come together."""

    @property
    def days(self) -> Sequence[dt.date]:
        """The days, in order and without gaps."""

    def read(self, window: Window) -> Pixels:
        """Pixels of shape (days, daily variables, rows, columns), NaN without data; from any thread."""


@dataclass(frozen=True)
class Found:
    """What a cube holds.

    Attributes:
        empty: by variable, the days on which it has no value in the region; all of them for one that has
            none at all, no day for a static one.
    """

    empty: Mapping[str, tuple[dt.date, ...]]

    def notes(self, days: int) -> Iterator[str]:
        """A sentence for each variable that is empty somewhere.

        Args:
            days: of the cube.
        """
        for name, missing in self.empty.items():
            if len(missing) in (0, days):
                yield f"{name} has no value anywhere in the region."
            else:
                listed = ", ".join(str(day) for day in missing[:5]) + (" ..." if len(missing) > 5 else "")
                yield f"{name} has no value in the region on {len(missing)} of {days} days ({listed})."


@dataclass(frozen=True, eq=False)
class Shards:
    """The variables of a cube as they lie on the disk.

    Attributes:
        folder: of the store.
        manifest: what it should hold.
    """

    folder: Path
    manifest: Manifest

    @cached_property
    def daily(self) -> tuple[str, ...]:
        """The variables of each day."""
        return daily(self.manifest.bands)

    @cached_property
    def still(self) -> tuple[str, ...]:
        """The variables that do not change."""
        return still(self.manifest.bands)

    @cached_property
    def arrays(self) -> Mapping[str, zarr.Array[Any]]:
        """The variables."""
        return {
            name: zarr.open_array(self.folder, path=name, mode="r+").with_config(CONFIG)
            for name in (*self.daily, *self.still)
        }

    @property
    def blocks(self) -> list[tuple[Window, slice]]:
        """Windows and stretches of days that shards cover."""
        parts = list(slabs(len(self.manifest.days)))
        return [(window, part) for window in windows(self.manifest.grid) for part in parts]

    def has(self, window: Window, part: slice) -> bool:
        """Whether all shards of a block are there."""
        place = (part.start // DAYS, window.row // SIDE, window.column // SIDE)
        keys = (f"{name}/{self.arrays[name].metadata.encode_chunk_key(place)}" for name in self.daily)
        return all((self.folder / key).exists() for key in keys)

    def write(self, window: Window, part: slice, block: Pixels) -> None:
        """Write the shards of a block of shape (days, daily variables, rows, columns)."""
        for number, name in enumerate(self.daily):
            values = VARIABLES[name].stored(block[:, number])
            self.arrays[name][part, window.rows, window.columns] = values

    def fill_still(self, read: Callable[[str], Pixels]) -> None:
        """Write what does not change.

        Args:
            read: the whole grid of a band, NaN where there is no data.
        """
        for name in self.still:
            self.arrays[name][...] = VARIABLES[name].stored(read(name))

    def fill_daily(self, stretches: Sequence[Stretch], report: Report) -> None:
        """Write the shards that are not there yet.

        Args:
            stretches: cover the manifest's days once, in order.
            report: told how much is done.
        """
        blocks = self.blocks
        due: dict[Window, list[slice]] = {}
        for window, part in blocks:
            if not self.has(window, part):
                due.setdefault(window, []).append(part)
        done = len(blocks) - sum(len(parts) for parts in due.values())
        jobs = [
            (window, stretch)
            for window, parts in due.items()
            for stretch in stretches
            if any(part.start <= self._place(day) < part.stop for part in parts for day in stretch.days)
        ]
        with _read_ahead(jobs) as read:
            begun: dict[int, Pixels] = {}
            for window, stretch, pixels in read:
                first = self._place(stretch.days[0])
                last = first + len(stretch.days)
                for part in due[window]:
                    low, high = max(first, part.start), min(last, part.stop)
                    if low >= high:
                        continue
                    if part.start not in begun:
                        shape = (part.stop - part.start, len(self.daily), window.height, window.width)
                        begun[part.start] = np.empty(shape, np.float32)
                    here = slice(low - part.start, high - part.start)
                    begun[part.start][here] = pixels[low - first : high - first]
                    if high == part.stop:
                        self.write(window, part, begun.pop(part.start))
                        done += 1
                        report(f"cube: {done} of {len(blocks)} blocks", WRITTEN * done / len(blocks))

    def _place(self, day: dt.date) -> int:
        return (day - self.manifest.start).days

    def inspect(self, report: Report) -> Found:
        """Read everything back and look whether it is what it should be.

        Args:
            report: told how much is done.

        Raises:
            DataError: it is not; everything found is told.
        """
        mistakes: dict[str, None] = {}  # each once, in order
        empty: dict[str, tuple[dt.date, ...]] = {}
        region = self._read(REGION, mistakes) == 1
        if not region.any():
            mistakes["no pixel lies in the region"] = None
        for name in self.still:
            values = self._read(name, mistakes)
            mistakes |= dict.fromkeys(self._strange(name, values))
            if (name == "lc" or values.dtype.kind == "f") and not _valid(name, values)[region].any():
                empty[name] = ()
        days = self.manifest.days
        seen = {name: np.zeros(len(days), np.int64) for name in self.manifest.bands.dynamic}
        blocks = self.blocks
        for number, (window, part) in enumerate(blocks):
            share = WRITTEN + (1 - WRITTEN) * number / len(blocks)
            report(f"cube: looking at {number} of {len(blocks)} blocks", share)
            if not self.has(window, part):
                mistakes[f"a block of {days[part.start]} to {days[part.stop - 1]} is missing"] = None
                continue
            for name in self.daily:
                values = self._read(name, mistakes, (part, window.rows, window.columns))
                mistakes |= dict.fromkeys(self._strange(name, values))
                if name in seen:
                    inside = _valid(name, values) & region[window.rows, window.columns]
                    seen[name][part] += inside.sum(axis=(1, 2))
        if mistakes:
            raise DataError(
                "\n".join([f"The cube of {self.manifest.study} is not what it should be:", *mistakes])
            )
        for name, counts in seen.items():
            if missing := tuple(days[place] for place in np.flatnonzero(counts == 0)):
                empty[name] = missing
        return Found(empty)

    def _read(self, name: str, mistakes: dict[str, None], place: Any = ...) -> NDArray[Any]:
        """Values of a variable, all missing where they cannot be read."""
        array = self.arrays[name]
        try:
            return np.asarray(array[place])
        except UNREADABLE as error:
            mistakes[f"{name} cannot be read back: {error}"] = None
            shape = np.broadcast_to(False, array.shape)[place].shape
            return np.full(shape, VARIABLES[name].missing, array.dtype)

    def _strange(self, name: str, values: NDArray[Any]) -> Iterator[str]:
        """What values can be no predictor's."""
        codes = {PARTITION: len(self.manifest.partitions), "lc": max(CLASSES)}
        if values.dtype.kind == "f":
            if np.isinf(values).any() or (values == np.float32(NODATA)).any():
                yield f"{name} holds infinite values, or {NODATA:g}: export it again"
        elif name in codes and (values.max() > codes[name] or values.min() < VARIABLES[name].missing):
            yield f"{name} holds codes beyond {codes[name]}, the last one: export it again"


def _valid(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a variable has a value."""
    return np.asarray(np.isfinite(values) if values.dtype.kind == "f" else values != VARIABLES[name].missing)


@contextmanager
def _read_ahead(jobs: Iterable[tuple[Window, Stretch]]) -> Iterator[Iterator[tuple[Window, Stretch, Pixels]]]:
    """What the jobs read, in their order, the next while the last is written."""
    with ThreadPoolExecutor(1, "pixels") as pool:

        def read() -> Iterator[tuple[Window, Stretch, Pixels]]:
            coming: tuple[Window, Stretch, Future[Pixels]] | None = None
            for window, stretch in jobs:
                last, coming = coming, (window, stretch, pool.submit(stretch.read, window))
                if last:
                    yield last[0], last[1], last[2].result()
            if coming:
                yield coming[0], coming[1], coming[2].result()

        try:
            yield read()
        finally:
            pool.shutdown(cancel_futures=True)
