"""What SMAP and a model say of the cells around a point, so that a prediction there keeps what SMAP knows.

A model predicts a point from the point's own predictors and forgets SMAP's value of the cell that holds it.
Where a table has SMAP and predictors of the cells, both SMAP and what the same model makes of each cell are
known. They are spread to the point as the residual of a map is (``models.conserving``): blended between the
centres of cells. Means over cells are not kept exactly, as they are in a map, for a table of points knows
nothing of the other pixels of a cell, and f of a cell's mean predictors is not the mean of f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models import conserving
from models.conserving import AROUND, NONE, OWN
from models.partitioned import PartitionedStack
from pipeline.errors import DataError
from pipeline.tables.lattice import Lattice
from pipeline.tables.samples import SampleTable

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Around:
    """What is known of the cells around n points, spread to these.

    Attributes:
        smap: (n,) m³/m³, NaN where nothing is known.
        said: (n,) what the model says of the same cells, likewise.
        bilinear: (n,) SMAP interpolated bilinearly between the same cells, which needs no model.
        source: (n,) ``OWN`` where the cell that holds the point is known, ``AROUND`` where only others next
            to it are, else ``NONE``.
    """

    smap: Values
    said: Values
    bilinear: Values
    source: NDArray[np.uint8]

    def corrected(self, predicted: NDArray[np.floating[Any]], detail: float = 1.0) -> Values:
        """Predictions of the points that keep what SMAP knows.

        Args:
            predicted: (n,) what the model says of the points, m³/m³.
            detail: the share of its departures from what it says of the cells that is kept, 0 to 1.

        Returns:
            (n,) ``smap + detail * (predicted - said)``, not below 0; ``predicted`` where nothing is known.
        """
        kept = np.maximum(self.smap + detail * (predicted - self.said), 0.0)
        return np.where(self.source == NONE, predicted, kept)


def around(cells: SampleTable, fitted: PartitionedStack, points: pd.DataFrame) -> Around:
    """What SMAP and the model say of the cells around points.

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
    days, smap, said = _of_cells(cells, fitted)
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

    there = np.isfinite(smap)

    def spread(values: Values, by: csr_matrix = weights) -> Values:
        """(days, places) sums over the cells that are known, by their weights."""
        sums = np.zeros((len(days), len(places)))
        sums[:, near] = (by @ np.where(there, values, 0.0).T).T
        return sums

    share = spread(np.ones_like(smap))
    wanted = points["date"].to_numpy("datetime64[D]").astype(np.int64)
    day = np.minimum(np.searchsorted(days, wanted), len(days) - 1)
    where = where.ravel()
    reached = (days[day] == wanted) & (share[day, where] > 0)
    whole = np.where(reached, share[day, where], np.nan)
    by_own = reached & (own[where] >= 0) & there[day, np.maximum(own[where], 0)]
    straight = conserving.blending(numbers, row, column, straight=True)
    return Around(
        spread(smap)[day, where] / whole,
        spread(said)[day, where] / whole,
        spread(smap, straight)[day, where]
        / np.where(reached, spread(np.ones_like(smap), straight)[day, where], np.nan),
        np.select([by_own, reached], [OWN, AROUND], NONE).astype(np.uint8),
    )


def _of_cells(cells: SampleTable, fitted: PartitionedStack) -> tuple[NDArray[np.int64], Values, Values]:
    """Days, counted from 1970-01-01; (days, cells) SMAP, and what the model says, NaN where unknown."""
    frame = cells.frame
    names = frame["partition"].to_numpy(np.str_) if "partition" in frame else None
    days, day = np.unique(frame["date"].to_numpy("datetime64[D]").astype(np.int64), return_inverse=True)
    codes, found = pd.factorize(frame["cell"], sort=True)
    smap, said = np.full((2, len(days), len(found)), np.nan)
    smap[day, codes] = frame["sm"].to_numpy(np.float64)
    said[day, codes] = fitted.predict(frame[list(cells.features)].to_numpy(np.float32), names).stack
    return days, smap, said
