"""How much of what a model adds to smooth SMAP is worth keeping, told by SMAP's own finer values.

A stack whose residual is given back departs from smooth SMAP within coarse cells. Where finer SMAP is known,
the share of these departures that fits it best is a slope by least squares; a model that tells nothing has 0
and a perfect one 1. The interval says how far other places and months would have told another share.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.blocks import MIN_BLOCKS, NO_INTERVAL, percentiles
from pipeline.learning.calibration import PERIOD_DAYS
from pipeline.maps.detail import Detail
from pipeline.scores.coarser import Coarsened

Values = NDArray[np.float64]
Labels = NDArray[np.intp]

FOLDS = 5  # groups of places, each damped as the others tell
DRAWS = 1000
TAIL = 0.025  # of a 95 % interval


class Share(NamedTuple):
    """Of what a corrected model adds to smooth SMAP, the share that fits SMAP best.

    Attributes:
        value: the least-squares slope of what smooth SMAP lacks on what is added; NaN where nothing is.
        lower: end of its 95 % interval; NaN where there are fewer than ``MIN_BLOCKS`` places.
        upper: as ``lower``.
    """

    value: float
    lower: float
    upper: float

    def detail(self, *, simulated: bool) -> Detail | None:
        """What maps take of it, within 0 and 1; None where it is undefined."""
        if math.isnan(self.value):
            return None
        value, lower, upper = (float(np.clip(end, 0, 1)) for end in self)
        return Detail(value, lower, upper, measured=True, simulated=simulated)


class Among(NamedTuple):
    """What n fine rows are drawn by.

    Attributes:
        place: (n,) number of each row's place: separate regions where there are enough, else coarse cells.
        period: (n,) number of its period of 30 days; all the same where there are too few.
        drawn: both in words.
    """

    place: Labels
    period: Labels
    drawn: str

    @classmethod
    def of(cls, coarse: Coarsened) -> Among:
        """Of the rows of a table; those of no coarse cell count to the first and are masked elsewhere."""
        block = np.maximum(coarse.nesting.block[coarse.cells], 0)
        piece = coarse.nesting.piece[block]
        by_piece = len(np.unique(piece)) >= MIN_BLOCKS
        period = (coarse.dates[coarse.days] // PERIOD_DAYS).astype(np.intp)
        by_period = len(np.unique(period)) >= MIN_BLOCKS
        places = "separate regions" if by_piece else "coarse cells"
        return cls(
            piece if by_piece else block,
            period if by_period else np.zeros_like(period),
            places + (f" and periods of {PERIOD_DAYS} days" if by_period else ""),
        )


def damp(truth: Values, smooth: Values, corrected: Values, among: Among, seed: int) -> tuple[Values, Share]:
    """Damp what a corrected model adds to smooth SMAP, and tell the share that fits all rows best.

    Args:
        truth: (n,) SMAP of the fine rows, m³/m³.
        smooth: (n,) coarse SMAP spread without a model; NaN in rows that are left out.
        corrected: (n,) the model with its residual, likewise.
        among: what is drawn for the interval.
        seed: of the draws.

    Returns:
        (n,) the damped product, of which a row's own place has no part in its share, for places are dealt
        into groups and the others tell it, within 0 and 1; and the share, which is not bounded.
    """
    added = corrected - smooth
    rows = np.isfinite(added)
    place, at = np.unique(among.place[rows], return_inverse=True)
    period, on = np.unique(among.period[rows], return_inverse=True)
    shape = len(place), len(period)
    fits, sizes = (
        np.bincount(at * shape[1] + on, one[rows] * added[rows], shape[0] * shape[1])
        .reshape(shape)
        .astype(np.float64)
        for one in (truth - smooth, added)
    )
    damped = smooth.copy()
    if not sizes.sum() > 0:
        return damped, Share(math.nan, math.nan, math.nan)
    group = np.random.default_rng(seed).permutation(len(place)) % FOLDS
    fit, size = (np.bincount(group, one.sum(axis=1), FOLDS) for one in (fits, sizes))
    others = np.maximum(size.sum() - size, np.finfo(np.float64).tiny)
    shares = np.clip((fit.sum() - fit) / others, 0, 1)
    damped[rows] += shares[group[at]] * added[rows]
    return damped, Share(float(fits.sum() / sizes.sum()), *_ends(fits, sizes, seed))


def _ends(fits: Values, sizes: Values, seed: int) -> tuple[float, float]:
    """The 95 % interval of sums over sums, of (places, periods).

    What predictors miss of a place they miss on every day, and what they miss of a month in every place. So
    places and periods are drawn, each with replacement: the pigeonhole bootstrap, which is rather too wide
    than too narrow (Owen 2007, doi:10.1214/07-AOAS122). A single period is not drawn.
    """
    places, periods = fits.shape
    if places < MIN_BLOCKS:
        return NO_INTERVAL
    rng = np.random.default_rng(seed)
    first, second = (rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) for n in (places, periods))
    fit, size = ((first @ one * second).sum(axis=1) for one in (fits, sizes))
    drawn = fit / np.where(size > 0, size, math.nan)
    return percentiles([drawn], min(places, periods) if periods > 1 else places, TAIL)[0]
