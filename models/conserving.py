"""Give the residual of each coarse cell back to its pixels, so that the fine field keeps the coarse values.

A model that predicts fine soil moisture from fine predictors forgets the coarse value it was trained on. Here
the field f(x) gets a correction whose mean over every cell is what f(x) lacks there. The correction passes
from cell to cell without an edge: each cell has one coefficient, pixels blend those of the four cells around
them, and the coefficients are solved for, so that the means are met exactly. That is area-to-point
interpolation, whose coherence Kyriakidis (2004, doi:10.1111/j.1538-4632.2004.tb01135.x) defines, with a
smooth basis in place of a covariance; and volumes are kept, as Tobler's (1979,
doi:10.1080/01621459.1979.10481647) method does. Malone et al. (2012, doi:10.1016/j.cageo.2011.08.021) give
residuals back for the same reason.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_matrix, csr_matrix, diags
from scipy.sparse.linalg import SuperLU, splu

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

NONE, OWN, AROUND = 0, 1, 2  # what corrects a pixel: nothing, its own cell, cells around it
LEAST_SHARE = 0.3  # of a cell's area that must have values: below, its mean says too little of the cell
FADING = 1.0  # how fast the correction fades in cells without a value, against the pull of 8 neighbours
NEGLIGIBLE = 1e-4  # m³/m³: a pixel of which no cell is corrected and that takes less counts as left alone
NEIGHBOURS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))
PASSES = 50  # of giving clipped water back; each leaves less of it than the one before
KEPT = 8  # systems of as many patterns of missing values
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Conserved:
    """A corrected field.

    Attributes:
        field: (pixels,), NaN where the field given has none.
        source: (pixels,), ``OWN``, ``AROUND``, or ``NONE`` where the field given stayed as it was, but for
            less than ``NEGLIGIBLE``, and where it has no value.
        kept: (cells,), whether a cell's value is kept; not where it has none or too few pixels.
        worst: largest difference of a kept cell's mean from its value.
        clipped: pixels that stand at a bound.
    """

    field: Values
    source: NDArray[np.uint8]
    kept: Mask
    worst: float
    clipped: int


class _System(NamedTuple):
    """What follows from which pixels are known and which cells are kept.

    Attributes:
        solver: of the cells' coefficients.
        within: (pixels,), share of each pixel that lies in kept cells.
        source: (pixels,), ``OWN`` or ``NONE``.
        others: known pixels that lie in no kept cell.
    """

    solver: SuperLU
    within: Values
    source: NDArray[np.uint8]
    others: NDArray[np.intp]


@dataclass(eq=False)
class Conserver:
    """Corrects fields on one grid, whose cells lie on a lattice; several threads may use it.

    Attributes:
        shares: (cells, pixels), share of each pixel that lies in each cell.
        blend: (pixels, cells), what each pixel takes of each cell's coefficient; see ``blending``.
        around: (cells, cells), 1 where two cells are neighbours.
        area: (cells,), of each cell, in pixels.
    """

    shares: csr_matrix
    blend: csr_matrix
    around: csr_matrix
    area: Values

    def __post_init__(self) -> None:
        self._systems: dict[bytes, _System] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, shares: csr_matrix, cells: Places, row: Values, column: Values, area: ArrayLike) -> Conserver:
        """From where cells and pixels lie.

        Args:
            shares: (cells, pixels), share of each pixel that lies in each cell. Every cell that a pixel lies
                in should be there, also one that never has a value.
            cells: (cells, 2), row and column of each on the lattice.
            row: (pixels,), of the pixels' centres on the lattice; the centre of a cell is at its row + 0.5.
            column: as ``row``.
            area: of a cell in pixels, or (cells,).
        """
        lattice, count = Lattice(cells), len(cells)
        pairs = [lattice.numbers(cells[:, 0] + down, cells[:, 1] + right) for down, right in NEIGHBOURS]
        second = np.concatenate(pairs)
        first = np.tile(np.arange(count), len(pairs))[second >= 0]
        second = second[second >= 0]
        around = csr_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
        area = np.broadcast_to(np.asarray(area, np.float64), (count,))
        return cls(shares, blending(lattice, row, column), around, area)

    def __call__(
        self, fine: Values, coarse: Values, *, low: float = 0.0, high: ArrayLike = np.inf,
        tolerance: float = 1e-4,
    ) -> Conserved:  # fmt: skip
        """Correct one field.

        Args:
            fine: (pixels,), NaN where missing.
            coarse: (cells,), NaN where missing; in the unit of ``fine``.
            low: least value of a pixel.
            high: greatest value, of all pixels or (pixels,). Where a cell's own value is greater, that is the
                bound of its pixels.
            tolerance: within which means are kept once clipped values were given back.
        """
        known = np.isfinite(fine)
        cover = self.shares @ known.astype(np.float64)
        kept = np.isfinite(coarse) & self._enough(cover)
        if not kept.any():
            return Conserved(fine.copy(), np.zeros(len(fine), np.uint8), kept, 0.0, 0)
        given = np.where(known, fine, 0.0)
        system = self._system(known, kept, cover)
        raised = self._change(given, coarse, known, kept, cover)
        raised += given
        top = self._top(coarse, kept, high)
        field = np.clip(raised, low, top)
        field[~known] = 0.0
        if (known & (field != raised)).any():
            self._give_back(field, coarse, known, kept, cover, low, top, tolerance)
        source = system.source.copy()
        around = np.abs(field[system.others] - given[system.others]) >= NEGLIGIBLE
        source[system.others[around]] = AROUND
        clipped = np.count_nonzero(known & ((field <= low) | (field >= top)))
        worst = float(np.abs(self._means(field, cover) - coarse)[kept].max())
        field[~known] = np.nan
        return Conserved(field, source, kept, worst, int(clipped))

    def damped(self, fine: Values, detail: float) -> Values:
        """A field with less of its detail within cells, as smooth as a correction and with the same means.

        A whole correction of it is S(c) + λ (f - S(A f)) with coarse values c, means A f, the smooth field S
        of some means, and ``detail`` λ. Where coarse values are missing, the field's own means stay.

        Args:
            fine: (pixels,), NaN where missing.
            detail: λ, from 0, which leaves the smooth field of its means, to 1, which leaves the field.
        """
        if detail == 1:
            return fine
        known = np.isfinite(fine)
        cover = self.shares @ known.astype(np.float64)
        kept = self._enough(cover)
        if not kept.any():
            return fine
        # Around the field's own mean, so that it is this that a smooth field fades to where cells have none.
        middle = float(fine[known].mean())
        given = np.where(known, fine - middle, 0.0)
        smooth = self._change(np.zeros_like(given), self._means(given, cover), known, kept, cover)
        share = self.blend @ kept.astype(np.float64)  # of each pixel's smooth value that cells tell
        return np.asarray(fine + (1 - detail) * share * (smooth - given))

    def off(self, field: Values, coarse: Values, kept: Mask) -> float:
        """Largest difference of a kept cell's mean over a field from its value; 0 where none is kept.

        Args:
            field: (pixels,), NaN where missing.
            coarse: (cells,).
            kept: (cells,).
        """
        known = np.isfinite(field)
        means = self._means(np.where(known, field, 0.0), self.shares @ known.astype(np.float64))
        return float(np.abs(means - coarse)[kept].max(initial=0.0))

    def enough(self, known: Mask) -> Mask:
        """(cells,), whether enough of each is among some pixels, (pixels,), for its mean to count."""
        return self._enough(self.shares @ known.astype(np.float64))

    def _enough(self, cover: Values) -> Mask:
        return np.asarray(cover >= LEAST_SHARE * self.area)

    def _means(self, filled: Values, cover: Values) -> Values:
        """Over the known part of each cell; what is unknown is 0 in ``filled``."""
        return np.asarray(self.shares @ filled) / np.maximum(cover, TINY)

    def _change(self, given: Values, coarse: Values, known: Mask, kept: Mask, cover: Values) -> Values:
        """What pixels lack of the values of kept cells, without an edge; 0 where they are unknown."""
        lacking = np.where(kept, coarse - self._means(given, cover), 0.0)
        change = np.asarray(self.blend @ self._system(known, kept, cover).solver.solve(lacking))
        change[~known] = 0.0
        return change

    def _system(self, known: Mask, kept: Mask, cover: Values) -> _System:
        """Kept cells have their means met; others follow those around them, fading to nothing."""
        pattern = np.packbits(np.concatenate([known, kept])).tobytes()
        with self._lock:
            found = self._systems.get(pattern)
        if found is not None:
            return found
        weight = np.where(kept, 1 / np.maximum(cover, TINY), 0.0)
        met = diags(weight) @ self.shares @ diags(known.astype(np.float64)) @ self.blend
        neighbours = np.asarray(self.around.sum(axis=1)).ravel()
        free = (~kept).astype(np.float64)
        follow = diags(free * (neighbours + FADING)) - diags(free) @ self.around
        within = np.asarray(self.shares.T @ kept.astype(np.float64))
        own = known & (within > 0)
        made = _System(
            splu(csc_matrix(met + follow)), within, np.where(own, OWN, NONE).astype(np.uint8),
            np.flatnonzero(known & ~own),
        )  # fmt: skip
        with self._lock:
            if len(self._systems) >= KEPT:
                self._systems.pop(next(iter(self._systems)))
            self._systems[pattern] = made
        return made

    def _top(self, coarse: Values, kept: Mask, high: ArrayLike) -> Values:
        """(pixels,), the greatest value of each: ``high``, or that of the wettest kept cell it lies in."""
        top = np.broadcast_to(np.asarray(high, np.float64), self.shares.shape[1:])
        wet = np.flatnonzero(kept & (np.where(kept, coarse, -np.inf) > top.min()))
        if wet.size:
            top, rows = top.copy(), self.shares[wet]
            np.maximum.at(top, rows.indices, np.repeat(coarse[wet], np.diff(rows.indptr)))
        return top

    def _give_back(
        self, values: Values, coarse: Values, known: Mask, kept: Mask, cover: Values, low: float, top: Values,
        tolerance: float,
    ) -> None:  # fmt: skip
        """What clipping took from a cell or gave it goes to its pixels that can still take it, in place."""
        within = self._system(known, kept, cover).within
        for _ in range(PASSES):
            lacking = np.where(kept, coarse - self._means(values, cover), 0.0)
            short = np.flatnonzero(np.abs(lacking) > tolerance / 2)
            if not short.size:
                return
            rows, lacking = self.shares[short], lacking[short]
            pixels, column = np.unique(rows.indices, return_inverse=True)
            shares = csr_matrix((rows.data, column, rows.indptr), shape=(len(short), len(pixels)))
            now, most, there = values[pixels], top[pixels], known[pixels]
            step = np.zeros(len(pixels))
            for sign, able in ((1, there & (now < most)), (-1, there & (now > low))):
                wanted = np.where(sign * lacking > 0, lacking, 0.0)
                room = np.asarray(shares @ able.astype(np.float64))
                each = np.where(room > 0, wanted * cover[short] / np.maximum(room, TINY), 0.0)
                step += np.where(able, np.asarray(shares.T @ each) / np.maximum(within[pixels], 1e-12), 0.0)
            values[pixels] = np.where(there, np.clip(now + step, low, most), 0.0)


class Lattice:
    """Which cell lies where.

    Args:
        cells: (cells, 2), row and column of each, different from each other.
    """

    def __init__(self, cells: Places) -> None:
        self.count = len(cells)
        self._first = cells.min(axis=0) - 1
        self._numbers = np.full(cells.max(axis=0) - self._first + 2, -1, np.intp)
        self._numbers[tuple((cells - self._first).T)] = np.arange(self.count)

    def numbers(self, row: Places, column: Places) -> Places:
        """The cells at rows and columns, as positions among all; -1 where there is none."""
        at = [
            np.clip(index - first, 0, size - 1)
            for index, first, size in zip((row, column), self._first, self._numbers.shape, strict=True)
        ]
        found: Places = self._numbers[tuple(at)]  # the outermost rows and columns hold none
        return found


def blending(lattice: Lattice, row: Values, column: Values, *, straight: bool = False) -> csr_matrix:
    """What each pixel takes of the cells around it: (pixels, cells), rows sum to 1, or to 0 where none is.

    Between the centres of two cells the weight passes from one to the other as 3t² - 2t³ does, without an
    edge in value or slope. It stays near each centre longer than on a straight line, so that cells that
    differ from their neighbours need less of an overshoot to keep their means. Beyond the outermost centres
    it stays.

    Args:
        lattice: of the cells.
        row: (pixels,), of the pixels' centres; the centre of a cell is at its row + 0.5.
        column: as ``row``.
        straight: pass in proportion to t instead, which is bilinear interpolation.
    """
    top, left = np.floor(row - 0.5).astype(np.intp), np.floor(column - 0.5).astype(np.intp)
    down, right = row - 0.5 - top, column - 0.5 - left
    if not straight:
        down, right = _passing(down), _passing(right)
    numbers, weights = np.empty((len(row), 4), np.int32), np.empty((len(row), 4))
    quarters = itertools.product(((0, 1 - down), (1, down)), ((0, 1 - right), (1, right)))
    for place, ((step_down, share_down), (step_right, share_right)) in enumerate(quarters):
        numbers[:, place] = lattice.numbers(top + step_down, left + step_right)
        np.multiply(share_down, share_right, out=weights[:, place])
    there = numbers >= 0
    weights[~there] = 0
    sums = weights.sum(axis=1)
    weights /= np.where(sums > 0, sums, 1.0)[:, None]
    begin = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return csr_matrix((weights[there], numbers[there], begin), shape=(len(row), lattice.count))


def _passing(t: Values) -> Values:
    return t * t * (3 - 2 * t)
