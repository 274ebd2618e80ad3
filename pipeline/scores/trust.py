"""What maps say of their own worth, held against what is known: intervals, and the area of applicability.

A map that comes with an interval and a mark of where it knows nothing makes two promises more, and each can
be broken. Where sources are simulated they are held against the truth of every pixel, elsewhere against the
stations that the maps are validated at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from pipeline.cubes.cube import open_cube
from pipeline.learning.applicability import read_areas
from pipeline.progress import Report, within
from pipeline.scores import applicability, coverage
from pipeline.tables.titles import INSIDE, LOWER, UPPER
from pipeline.work.workdir import WorkDir

Fields = NDArray[np.floating[Any]]
Labels = NDArray[np.intp]

SURVEYED = 0.7  # share of the work after which the area of applicability is counted


def by_truth(work: WorkDir, truth: Fields, days: Sequence[dt.date], cells: Labels, report: Report) -> None:
    """Hold what the maps say of themselves against the truth that simulated sources were made from.

    Args:
        work: with a prediction and its cube; the results go there.
        truth: (days, rows, columns) m³/m³ of the first days of the maps, NaN where there is none.
        days: of the truth.
        cells: (rows, columns) number of the SMAP cell of each pixel, -1 outside of all.
        report: told what is being counted and the share that is done.

    Raises:
        DataError: the maps cannot be read, or results cannot be written.
    """
    _survey(work, within(report, 0, SURVEYED), truth=truth)
    report("intervals", SURVEYED)
    with xr.open_zarr(work.prediction, consolidated=False) as maps, open_cube(work.cube) as cube:
        if LOWER not in maps:
            return
        lower, upper = (maps[name].isel(time=slice(len(days))).to_numpy() for name in (LOWER, UPPER))
        codes = cube["partition"].to_numpy()
        names = map(str, cube.attrs["partition_names"])
        parts = {name: codes == code for code, name in enumerate(names, start=1)}
    coverage.write(coverage.of_fields(truth, lower, upper, days, cells, parts), work.coverage)


def at_stations(work: WorkDir, rows: pd.DataFrame | None, report: Report) -> None:
    """Hold what the maps say of themselves against stations; without any, only count what lies outside.

    Args:
        work: as for `by_truth`.
        rows: ``station``, ``date``, ``insitu`` and ``sm`` (m³/m³), and the bands of the maps there that say
            something of them: ``aoa``, ``sm_lower``, ``sm_upper``.
        report: told what is being counted and the share that is done.

    Raises:
        DataError: as of `by_truth`.
    """
    _survey(work, within(report, 0, SURVEYED), stations=rows)
    report("intervals", SURVEYED)
    if rows is not None and {LOWER, UPPER} <= {*rows}:
        coverage.write(coverage.of_stations(rows), work.coverage)


def _survey(
    work: WorkDir, report: Report, *, truth: Fields | None = None, stations: pd.DataFrame | None = None
) -> None:
    with xr.open_zarr(work.prediction, consolidated=False) as maps:
        if INSIDE not in maps:
            return
    areas = read_areas(work.model)
    applicability.survey(
        work.prediction, work.cube, work.applicability, stations=stations, truth=truth,
        thresholds={name: area.threshold for name, area in areas.items()}, report=report,
    )  # fmt: skip
