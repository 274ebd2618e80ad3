"""The samples of coarser cells: what SMAP and the predictors would be, had SMAP been made at 18 or 36 km.

Downscaling can be tested with a true answer only from a scale that is coarser still: join cells to coarse
ones, forget the fine values, and see whether they come back. 36 km cells of EASE-Grid 2.0 hold 4 by 4 cells
of 9 km exactly (Brodzik et al. 2012); other factors and other tables begin where most cells fill whole ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models import conserving
from models.splits import SampleKeys
from pipeline.errors import ConfigError, DataError
from pipeline.study import Study
from pipeline.tables.lattice import Lattice
from pipeline.tables.samples import feature_units

Values = NDArray[np.float64]
Floats = NDArray[np.float32]
Labels = NDArray[np.intp]

FACTORS = (2, 3, 4, 6, 8)
SMAP_FACTOR = 4  # cells of 9 km along a cell of 36 km, SMAP's radiometer's own
LEAST_SHARE = 0.55  # of a coarse cell's fine ones: of 4 by 4, Earth Engine's SMAP may lack a row and a column
LEAST_CELLS = 9  # coarse ones, to learn from
STILL_DEGREES = 1e-3  # how far a cell's place may wander by rounding
APART = 3  # empty coarse rows between two pieces


@dataclass(frozen=True, eq=False)
class Nesting:
    """Which coarse cell each of n fine cells lies in.

    Attributes:
        factor: fine cells along a coarse one.
        block: (n,) number of the coarse cell, -1 where that holds too few.
        piece: (blocks,) number of the piece of the lattice.
        places: (blocks, 2) row and column of each coarse cell; pieces are no neighbours.
        row: (n,) of the fine centres on the coarse lattice; the centre of a coarse cell is at its row + 0.5.
        column: as ``row``.
    """

    factor: int
    block: Labels
    piece: Labels
    places: Labels
    row: Values
    column: Values

    @property
    def shares(self) -> csr_matrix:
        """(blocks, n), 1 where a fine cell lies in a coarse one."""
        inside = np.flatnonzero(self.block >= 0)
        taken = np.ones(len(inside)), (self.block[inside], inside)
        return csr_matrix(taken, shape=(len(self.places), len(self.block)))

    def conserver(self) -> conserving.Conserver:
        """Gives coarse values back to fine cells."""
        return conserving.Conserver.of(self.shares, self.places, self.row, self.column, float(self.factor**2))


def nest(lattice: Lattice, factor: int) -> Nesting:
    """Join cells to coarser ones.

    On EASE-Grid 2.0 a factor of 4 gives its 36 km cells. Else each piece begins where most of its cells lie
    in coarse ones that are kept: those within its rows and columns that have ``LEAST_SHARE`` of their cells.

    Raises:
        ConfigError: the factor is none of ``FACTORS``.
    """
    if factor not in FACTORS:
        raise ConfigError(f"the factor is {factor}; give one of {', '.join(map(str, FACTORS))}")
    n = len(lattice.row)
    row, column, key = np.empty(n), np.empty(n), np.full((n, 2), -1, np.intp)
    kept = np.zeros(n, np.bool_)
    first = 0
    for number in np.unique(lattice.piece):
        own = np.flatnonzero(lattice.piece == number)
        cells = np.column_stack([lattice.row[own], lattice.column[own]])
        shifts = [(0, 0)]
        if not (lattice.ease and factor == SMAP_FACTOR):
            shifts = [(down, right) for down in range(factor) for right in range(factor)]
        cells = cells + max(shifts, key=lambda shift: _kept(cells + shift, factor).sum())
        cells[:, 0] += factor * (first - cells[:, 0].min() // factor)
        key[own], kept[own] = cells // factor, _kept(cells, factor)
        row[own], column[own] = ((cells + 0.5) / factor).T
        first = int(key[own, 0].max()) + APART
    found, block = np.unique(key[kept], axis=0, return_inverse=True)
    numbers = np.full(n, -1, np.intp)
    numbers[kept] = block.ravel()
    piece = np.zeros(len(found), np.intp)
    piece[numbers[kept]] = lattice.piece[kept]
    return Nesting(factor, numbers, piece, found, row, column)


def _kept(cells: Labels, factor: int) -> NDArray[np.bool_]:
    """Which cells lie in a coarse one that does not reach beyond them all and has enough of them."""
    key = cells // factor
    inside = (key * factor >= cells.min(axis=0)) & ((key + 1) * factor - 1 <= cells.max(axis=0))
    _, block, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(inside.all(axis=1) & (count >= LEAST_SHARE * factor**2)[block.ravel()])


@dataclass(frozen=True, eq=False)
class Coarsened:
    """A table of samples and its coarser self.

    Attributes:
        nesting: of its cells.
        ease: whether these are EASE-Grid 2.0's.
        cells: (n,) number of each row's cell, in the order of ``nesting``.
        days: (n,) number of each row's day.
        dates: (days,) counted from 1970-01-01.
        group: (n,) number of the coarse row that each row is part of, -1 where that is left out.
        block: (m,) number of each coarse row's cell.
        day: (m,) number of its day.
        X: (m, p) predictors.
        y: (m,) m³/m³, the mean of its rows.
        partition: (m,) that most of its cells lie in, None where there are none.
        lon: (m,) degrees, mean of its cells' centres.
        lat: as ``lon``.
    """

    nesting: Nesting
    ease: bool
    cells: Labels
    days: Labels
    dates: NDArray[np.int64]
    group: Labels
    block: Labels
    day: Labels
    X: Floats
    y: Floats
    partition: NDArray[np.str_] | None
    lon: Values
    lat: Values

    def keys(self) -> SampleKeys:
        """Where, when and in which partition each coarse row is."""
        return SampleKeys(self.block, self.lon, self.lat, self.dates[self.day], self.partition)

    def coarse(self) -> Values:
        """(days, blocks), m³/m³: what is known of SMAP, NaN where nothing is."""
        found = np.full((len(self.dates), len(self.nesting.places)), np.nan)
        found[self.day, self.block] = self.y
        return found


def coarsen(frame: pd.DataFrame, features: tuple[str, ...], study: Study, factor: int) -> Coarsened:
    """Mean of the samples over coarser cells, day by day.

    Args:
        frame: as ``pipeline.tables.samples.read_samples`` gives, with ``sm``.
        features: columns to average: over the fine cells where they are known, and backscatter as power
            where the study does so (shares of land cover stay shares, one-hot classes become shares).
        study: of the table.
        factor: fine cells along a coarse one.

    Returns:
        Coarse rows of at least ``LEAST_SHARE`` of a coarse cell's fine ones.

    Raises:
        ConfigError: the factor.
        DataError: there are no dates, cells stand in no rows and columns, move, or fill too few coarse ones.
    """
    if "date" not in frame:
        raise DataError("the table has no dates, so cells of one day cannot be joined; map date")
    codes, names = pd.factorize(frame["cell"], sort=True)
    cells = codes.astype(np.intp)
    places = frame.groupby(codes)[["lon", "lat"]].agg(["min", "max"])
    least, most = (places.xs(end, axis=1, level=1).to_numpy(np.float64) for end in ("min", "max"))
    moved = np.flatnonzero((most - least).max(axis=1) > STILL_DEGREES)
    if len(moved):
        raise DataError(
            f"{len(moved):,} cells have several places, the first {names[moved[0]]}; give each a single one"
        )
    at = (least + most) / 2
    lattice = Lattice.of(at[:, 0], at[:, 1])
    nesting = nest(lattice, factor)
    if len(nesting.places) < LEAST_CELLS:
        counts = {one: len(nest(lattice, one).places) for one in FACTORS if one != factor}
        could = [f"{one} ({count} coarse cells)" for one, count in counts.items() if count >= LEAST_CELLS]
        remedy = f"give a factor of {' or '.join(could)}" if could else "give a larger region"
        raise DataError(
            f"a factor of {factor} makes {len(nesting.places)} coarse cells of {len(names):,} cells, too few "
            f"to learn from ({LEAST_CELLS} are needed); {remedy}"
        )
    dates, days = np.unique(frame["date"].to_numpy("datetime64[D]").astype(np.int64), return_inverse=True)
    number = np.where(nesting.block[cells] >= 0, days * len(nesting.places) + nesting.block[cells], -1)
    found, group, count = np.unique(number, return_inverse=True, return_counts=True)
    enough = (found >= 0) & (count >= LEAST_SHARE * factor**2)
    group = np.where(enough, np.cumsum(enough) - 1, -1)[group]
    found = found[enough]
    decibels = _in_decibels(features, study)
    inside = np.flatnonzero(group >= 0)
    columns = [
        _mean(frame[name].to_numpy(np.float64)[inside], group[inside], len(found), decibels=name in decibels)
        for name in features
    ]
    y, lon, lat = (
        _mean(frame[name].to_numpy(np.float64)[inside], group[inside], len(found))
        for name in ("sm", "lon", "lat")
    )
    day, block = np.divmod(found, len(nesting.places))
    return Coarsened(
        nesting, lattice.ease, cells, days, dates, group, block, day,
        np.column_stack(columns).astype(np.float32), y.astype(np.float32),
        _partitions(frame, cells, nesting, block), lon, lat,
    )  # fmt: skip


def conserved(table: Coarsened, values: Values) -> Values:
    """Values of the rows, corrected so that their mean over each coarse row is that of SMAP.

    Args:
        table: rows and their coarse ones.
        values: (n,), m³/m³; NaN where nothing is predicted.

    Returns:
        (n,), NaN in rows that are part of no coarse row. How: ``models.conserving``; all of a coarse cell's
        area is its fine cells', so shares are 1.
    """
    conserver, coarse = table.nesting.conserver(), table.coarse()
    fields = np.full((len(table.dates), len(table.nesting.block)), np.nan)
    fields[table.days, table.cells] = np.where(table.group >= 0, values, np.nan)
    for field, of_day in zip(fields, coarse, strict=True):
        if np.isfinite(field).any():
            field[:] = conserver(field, of_day).field
    return np.asarray(fields[table.days, table.cells])


def _in_decibels(features: tuple[str, ...], study: Study) -> frozenset[str]:
    """Features that are averaged as power."""
    if study.preparation.radar_mean != "power":
        return frozenset()
    units = feature_units(study)
    return frozenset(name for name in features if units[name] == "dB")


def _mean(values: Values, group: Labels, groups: int, *, decibels: bool = False) -> Values:
    """Of what is known of each group; NaN where nothing is."""
    known = np.isfinite(values)
    taken = 10 ** (values[known] / 10) if decibels else values[known]
    count = np.bincount(group[known], minlength=groups)
    mean = np.bincount(group[known], taken, groups) / np.where(count > 0, count, np.nan)
    return np.asarray(10 * np.log10(mean) if decibels else mean)


def _partitions(
    frame: pd.DataFrame, cells: Labels, nesting: Nesting, block: Labels
) -> NDArray[np.str_] | None:
    """Name of the partition that most rows of each coarse cell lie in, for each coarse row."""
    if "partition" not in frame:
        return None
    names, codes = np.unique(frame["partition"].to_numpy(np.str_), return_inverse=True)
    inside = nesting.block[cells] >= 0
    counts = np.zeros((len(nesting.places), len(names)), np.intp)
    np.add.at(counts, (nesting.block[cells][inside], codes[inside]), 1)
    return np.asarray(names[counts.argmax(axis=1)][block])


def bilinear(nesting: Nesting, coarse: Values) -> Values:
    """Coarse values between their centres, as an image viewer smooths them; no model has part in it.

    Args:
        nesting: of n fine cells.
        coarse: (days, blocks), NaN where missing.

    Returns:
        (days, n): weighted mean of the up to four coarse values around, on a straight line between two
        centres, of those that are known; NaN where none is. Beyond the outermost centres they stay.
    """
    weights = _straight(nesting)
    known = np.isfinite(coarse)
    total = weights @ np.where(known, coarse, 0.0).T
    share = weights @ known.astype(np.float64).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(share > 0, total / share, np.nan)).T


def _straight(nesting: Nesting) -> csr_matrix:
    """(n, blocks), bilinear weights."""
    top, left = np.floor(nesting.row - 0.5).astype(np.intp), np.floor(nesting.column - 0.5).astype(np.intp)
    down, right = nesting.row - 0.5 - top, nesting.column - 0.5 - left
    lattice = conserving.Lattice(nesting.places)
    weights = csr_matrix((len(nesting.row), len(nesting.places)))
    for step_down, share_down in ((0, 1 - down), (1, down)):
        for step_right, share_right in ((0, 1 - right), (1, right)):
            block = lattice.numbers(top + step_down, left + step_right)
            there = np.flatnonzero(block >= 0)
            taken = (share_down * share_right)[there], (there, block[there])
            weights = weights + csr_matrix(taken, shape=weights.shape)
    return weights
