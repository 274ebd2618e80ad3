"""What a model lacks of SMAP in the cells around a point, so that its prediction there keeps what SMAP knows.

A model predicts a point from the point's own predictors and forgets SMAP's value of the cell that holds it.
Where a table has SMAP and predictors of the cells, the same model says what it makes of each cell, and what
that lacks is known. It is spread to the point as the residual of a map is (``models.conserving``): blended
between the centres of cells. Means over cells are not kept exactly, as they are in a map, for a table of
points knows nothing of the other pixels of a cell, and f of a cell's mean predictors is not the mean of f.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import conserving
from models.conserving import AROUND, NONE, OWN
from models.partitioned import PartitionedStack
from pipeline.errors import DataError
from pipeline.tables.lattice import Lattice
from pipeline.tables.samples import SampleTable

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Residuals:
    """What is added to n predictions.

    Attributes:
        lacking: (n,) m³/m³, 0 where nothing is known.
        source: (n,) ``OWN`` where the cell that holds the point is known, ``AROUND`` where only others next
            to it are, else ``NONE``.
    """

    lacking: Values
    source: NDArray[np.uint8]


def residuals_at(cells: SampleTable, fitted: PartitionedStack, points: pd.DataFrame) -> Residuals:
    """What the model lacks of SMAP at points.

    Args:
        cells: with ``sm``, dates and the model's features.
        fitted: the model.
        points: ``lon, lat, date``.

    Raises:
        DataError: there are no dates, or the cells stand in no rows and columns.
    """
    for name, frame in (("the cells", cells.frame), ("the points", points)):
        if "date" not in frame:
            raise DataError(f"{name} have no dates, so SMAP of a point's day is not known; map date")
    days, known = _of_cells(cells, fitted)
    codes, _ = pd.factorize(cells.frame["cell"], sort=True)
    first = np.unique(codes, return_index=True)[1]
    at = cells.frame[["lon", "lat"]].to_numpy(np.float64)[first]
    lattice = Lattice.of(at[:, 0], at[:, 1])
    centres = np.column_stack(
        lattice.places(lattice.piece, *(one.astype(np.float64) for one in (lattice.row, lattice.column)))
    )
    numbers = conserving.Lattice(centres.astype(np.intp))

    places, where = np.unique(points[["lon", "lat"]].to_numpy(np.float64), axis=0, return_inverse=True)
    piece, row, column = lattice.position(places[:, 0], places[:, 1])
    near = np.flatnonzero(piece >= 0)
    row, column = lattice.places(piece[near], row[near], column[near])
    weights = conserving.blending(numbers, row, column)
    own = np.full(len(places), -1, np.intp)
    own[near] = numbers.numbers(np.floor(row).astype(np.intp), np.floor(column).astype(np.intp))

    there = np.isfinite(known)
    total, share = np.zeros((2, len(days), len(places)))
    total[:, near] = (weights @ np.where(there, known, 0.0).T).T
    share[:, near] = (weights @ there.astype(np.float64).T).T
    wanted = points["date"].to_numpy("datetime64[D]").astype(np.int64)
    day = np.minimum(np.searchsorted(days, wanted), len(days) - 1)
    on = days[day] == wanted
    where = where.ravel()
    reached = on & (share[day, where] > 0)
    values = np.where(reached, total[day, where] / np.where(reached, share[day, where], 1.0), 0.0)
    by_own = reached & (own[where] >= 0) & there[day, np.maximum(own[where], 0)]
    return Residuals(values, np.select([by_own, reached], [OWN, AROUND], NONE).astype(np.uint8))


def _of_cells(cells: SampleTable, fitted: PartitionedStack) -> tuple[NDArray[np.int64], Values]:
    """Days, counted from 1970-01-01, and (days, cells) SMAP less what the model says, NaN where unknown."""
    frame = cells.frame
    names = frame["partition"].to_numpy(np.str_) if "partition" in frame else None
    said = fitted.predict(frame[list(cells.features)].to_numpy(np.float32), names).stack
    days, day = np.unique(frame["date"].to_numpy("datetime64[D]").astype(np.int64), return_inverse=True)
    codes, found = pd.factorize(frame["cell"], sort=True)
    lacking = np.full((len(days), len(found)), np.nan)
    lacking[day, codes] = frame["sm"].to_numpy(np.float64) - said
    return days, lacking
