"""The second pass of a prediction: whole fields, corrected so that their means over SMAP's cells are SMAP's.

A model that was trained on other places and days does not give SMAP back where SMAP is known, and on the real
stations of the United States SMAP follows the days better than such a model does. So each day's field f(x)
gets the residual of its cells back (``models.conserving``). A correction passes from cell to cell and cannot
be made block by block; the days are independent of each other, and a task takes a few of them.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray

from models.conserving import Conserver, Values
from pipeline.cubes.layout import UNREADABLE
from pipeline.errors import DataError
from pipeline.maps.bands import HALF_WIDTH, MODEL, SM, bands_of, rounded
from pipeline.maps.blocks import Floats, ends, forget, hand_back
from pipeline.maps.day_images import DayFile, DayImages
from pipeline.maps.footprints import CellSeries, Footprints, Kind, read_cells
from pipeline.tables.pairs import MOISTURE
from pipeline.tables.titles import CORRECTED, INDEX, INSIDE, LOWER, UPPER

TOLERANCE = 1e-4  # m³/m³, of a cell's mean from SMAP
# Saturated water content is 0.489 - 0.00126 sand, sand in %: Cosby et al. 1984, doi:10.1029/WR020i006p00682,
# table 4. Where a cell's own SMAP is greater, as on peat, that is the bound.
POROSITY, PER_SAND = 0.489, -0.00126
SAND = "sand"


@dataclass(frozen=True)
class CorrectionJob:
    """What every task of a correction has to know.

    Attributes:
        cube: with the land, the region and the soil.
        samples: with SMAP's value of each cell and day.
        result: Zarr group with ``sm_model``; ``sm`` and ``corrected`` are written, and the ends of the
            intervals where ``half_width`` is there.
        images: folder for the images of the days.
        days: of the result.
        detail: the share of what the model tells within cells that is kept; see ``Conserver.damped``.
        fingerprint: of all that the values follow from.
    """

    cube: Path
    samples: Path
    result: Path
    images: Path
    days: tuple[dt.date, ...]
    detail: float
    fingerprint: str


@dataclass(frozen=True)
class Correction:
    """What became of some days, or of all.

    Attributes:
        days: that were corrected.
        without: days on which no cell has SMAP; their fields stayed as the model made them.
        worst: greatest difference of a kept cell's mean from SMAP, m³/m³, in the values as written.
        kept: cells times days that have SMAP's value as their mean.
        lacking: cells times days that are mapped but have no SMAP; those around them correct their pixels.
        narrow: cells times days with SMAP, of which less than ``LEAST_SHARE`` is mapped.
        clipped: pixels times days that stand at a bound.
    """

    days: int
    without: tuple[str, ...]
    worst: float
    kept: int
    lacking: int
    narrow: int
    clipped: int

    @classmethod
    def of(cls, parts: Iterable[Correction]) -> Correction:
        """All of some together."""
        found = list(parts)
        return cls(
            days=sum(one.days for one in found),
            without=tuple(sorted(day for one in found for day in one.without)),
            worst=max((one.worst for one in found), default=0.0),
            kept=sum(one.kept for one in found),
            lacking=sum(one.lacking for one in found),
            narrow=sum(one.narrow for one in found),
            clipped=sum(one.clipped for one in found),
        )


@dataclass(frozen=True)
class CorrectedStretch:
    """A stretch of days that was written.

    Attributes:
        first: position of its first day.
        correction: what became of it.
        files: the images of its days.
    """

    first: int
    correction: Correction
    files: tuple[DayFile, ...]


def smap_of(samples: Path, days: tuple[dt.date, ...]) -> CellSeries:
    """SMAP on the cells that fields can be corrected to.

    Raises:
        DataError: the table cannot be used, or has nothing on these days, or its cells have no known place.
    """
    if not samples.is_file():
        raise DataError(f"{samples} is not there")
    series = read_cells(samples, days)
    Kind.of(series.names)
    return series


class Corrector:
    """Corrects days; one in each process, used by all of its threads."""

    def __init__(self, job: CorrectionJob) -> None:
        forget()  # the model, which takes more memory than what follows
        self.job = job
        series = smap_of(job.samples, job.days)
        with xr.open_zarr(job.cube, chunks=None, consolidated=False, decode_coords="all") as cube:
            grid = cube.odc.geobox
            try:
                mapped = ((cube["land"].to_numpy() == 1) & (cube["region"].to_numpy() == 1)).ravel()
                sand = cube[SAND].to_numpy().ravel() if SAND in cube else np.full(mapped.size, np.nan)
            except UNREADABLE as error:
                raise DataError(
                    f"{job.cube} cannot be read ({error}): remove it, and gee-smap export makes it again"
                ) from error
        self.group: Any = zarr.open_group(job.result, mode="r+")
        self.images = DayImages(job.images, grid, self.group.attrs)
        self.pixels = np.flatnonzero(mapped)
        # Also those without SMAP, such as Earth Engine's raster loses: their pixels follow the cells around.
        cells = Footprints.covering(Kind.of(series.names), grid, mapped)
        names = cells.names
        self.smap = np.full((len(job.days), len(names)), np.nan)
        at = pd.Index(series.names).get_indexer(pd.Index(names))
        self.smap[:, at >= 0] = series.sm[:, at[at >= 0]]
        row, column = cells.centre[:, self.pixels]
        self.conserver = Conserver.of(cells.shares[:, self.pixels], cells.places, row, column, cells.area)
        porosity = POROSITY + PER_SAND * sand[self.pixels].astype(np.float64)
        self.greatest = np.where(np.isfinite(porosity), porosity, MOISTURE.high)
        del cells, series
        hand_back()

    def correct(self, stretch: slice) -> CorrectedStretch:
        """Correct the fields of a stretch of days, write them, and make the images of these days."""
        grid = self.images.grid.shape
        fields = {
            name: self._read(name, stretch)
            for name in (MODEL, HALF_WIDTH, INDEX, INSIDE)
            if name in self.group
        }
        sm, source = (np.full(fields[MODEL].shape, np.nan, np.float32) for _ in range(2))
        found = []
        for number, day in enumerate(range(stretch.start, stretch.stop)):
            sm[number, self.pixels], source[number, self.pixels], correction = self._corrected(
                fields[MODEL][number, self.pixels].astype(np.float64), day
            )
            found.append(correction)
        made = {SM: sm, CORRECTED: source}
        if (half := fields.pop(HALF_WIDTH, None)) is not None:
            for name, values in zip((LOWER, UPPER), ends(sm, half), strict=True):
                made[name] = rounded(name, values)
        for name, values in made.items():
            self.group[name][stretch] = values.reshape(-1, *grid)
        fields |= made
        files = [
            self.images.make(
                self.job.days[day], {name: fields[name][number].reshape(grid) for name in bands_of(fields)}
            )
            for number, day in enumerate(range(stretch.start, stretch.stop))
        ]
        return CorrectedStretch(stretch.start, Correction.of(found), tuple(files))

    def _corrected(self, fine: Values, day: int) -> tuple[Floats, NDArray[np.uint8], Correction]:
        """A field as it is written, what its pixels rest on, and what became of the day."""
        conserver, smap = self.conserver, self.smap[day]
        done = conserver(
            conserver.damped(fine, self.job.detail), smap, low=0.0, high=self.greatest, tolerance=TOLERANCE
        )
        # Without SMAP a day stays as the model made it, with all its detail.
        field = rounded(SM, (done.field if done.kept.any() else fine).astype(np.float32))
        known = np.isfinite(fine)
        there = np.isfinite(smap)
        enough = conserver.enough(known)
        return (
            field,
            np.where(known, done.source, np.float32(np.nan)),
            Correction(
                days=int(done.kept.any()),
                without=() if there.any() else (str(self.job.days[day]),),
                worst=conserver.off(field.astype(np.float64), smap, done.kept),
                kept=int(done.kept.sum()),
                lacking=int((enough & ~there).sum()),
                narrow=int((there & ~enough).sum()),
                clipped=done.clipped,
            ),
        )

    def _read(self, name: str, stretch: slice) -> Floats:
        """(days, pixels) of a stretch."""
        values: Floats = np.asarray(self.group[name][stretch], np.float32)
        return values.reshape(len(values), -1)


_one_at_a_time = threading.Lock()
_corrector = lru_cache(1)(Corrector)


def correct_days(job: CorrectionJob, stretch: slice) -> CorrectedStretch:
    """Correct a stretch of days and write it; the process keeps the cells for the next one."""
    with _one_at_a_time:
        corrector = _corrector(job)
    return corrector.correct(stretch)
