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

from models.conserving import LEAST_SHARE, Conserver
from pipeline.cubes.layout import UNREADABLE
from pipeline.errors import DataError
from pipeline.maps.bands import HALF_WIDTH, MODEL, SM
from pipeline.maps.blocks import ends
from pipeline.maps.footprints import CellSeries, Footprints, Kind, read_cells
from pipeline.tables.pairs import MOISTURE
from pipeline.tables.titles import CORRECTED, LOWER, UPPER

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
        days: of the result.
        fingerprint: of all that the values follow from.
    """

    cube: Path
    samples: Path
    result: Path
    days: tuple[dt.date, ...]
    fingerprint: str


@dataclass(frozen=True)
class Correction:
    """What became of some days, or of all.

    Attributes:
        days: that were corrected.
        without: days on which no cell has SMAP; their fields stayed as the model made them.
        worst: greatest difference of a kept cell's mean from SMAP, m³/m³.
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
    """

    first: int
    correction: Correction


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

    def correct(self, stretch: slice) -> CorrectedStretch:
        """Correct the fields of a stretch of days, and write them."""
        group = zarr.open_group(self.job.result, mode="r+")
        shape = _array(group, SM).shape
        size = stretch.stop - stretch.start, shape[1] * shape[2]
        sm, source = (np.full(size, np.nan, np.float32) for _ in range(2))
        model = _flat(group[MODEL], stretch)
        found = []
        for number, day in enumerate(range(stretch.start, stretch.stop)):
            fine = model[number, self.pixels].astype(np.float64)
            done = self.conserver(fine, self.smap[day], low=0.0, high=self.greatest, tolerance=TOLERANCE)
            known = np.isfinite(fine)
            sm[number, self.pixels] = done.field
            source[number, self.pixels] = np.where(known, done.source, np.nan)
            smap = np.isfinite(self.smap[day])
            enough = self.conserver.shares @ known >= LEAST_SHARE * self.conserver.area
            found.append(
                Correction(
                    days=int(done.kept.any()),
                    without=() if smap.any() else (str(self.job.days[day]),),
                    worst=done.worst,
                    kept=int(done.kept.sum()),
                    lacking=int((enough & ~smap).sum()),
                    narrow=int((smap & ~enough).sum()),
                    clipped=done.clipped,
                )
            )
        del model

        def write(name: str, values: NDArray[np.float32]) -> None:
            _array(group, name)[stretch] = values.reshape(-1, *shape[1:])

        write(SM, sm)
        write(CORRECTED, source)
        del source
        if HALF_WIDTH in group:
            for name, values in zip((LOWER, UPPER), ends(sm, _flat(group[HALF_WIDTH], stretch)), strict=True):
                write(name, values)
        return CorrectedStretch(stretch.start, Correction.of(found))


def _array(group: zarr.Group, name: str) -> Any:
    return group[name]


def _flat(array: Any, stretch: slice) -> NDArray[np.float32]:
    """(days, pixels) of a stretch."""
    values: NDArray[np.float32] = np.asarray(array[stretch], np.float32)
    return values.reshape(len(values), -1)


_one_at_a_time = threading.Lock()
_corrector = lru_cache(1)(Corrector)


def correct_days(job: CorrectionJob, stretch: slice) -> CorrectedStretch:
    """Correct a stretch of days and write it; the process keeps the cells for the next one."""
    with _one_at_a_time:
        corrector = _corrector(job)
    return corrector.correct(stretch)
