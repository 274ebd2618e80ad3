"""How often prediction intervals contain what they are about, how wide they are, and what that is worth.

Coverage alone is had for nothing by wide intervals and width alone by wrong ones, so both stand beside the
interval score that weighs them (Winkler 1972; Gneiting and Raftery 2007, section 6.2). Errors of one block
hang together; whole blocks are drawn, so that a coverage of few blocks does not look certain.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.blocks import MIN_BLOCKS, NO_INTERVAL, Floats, draw_blocks, percentiles
from models.errors import SampleError
from models.intervals import COVERAGE

TAIL = 0.025  # of the 95 % interval of a coverage, on either side
SUMS = 4  # rows, rows within, widths, interval scores


@dataclass(frozen=True)
class Coverage:
    """What prediction intervals contain.

    Attributes:
        n: rows whose reference and interval are known.
        blocks: that these lie in.
        coverage: share of them within, from 0 to 1.
        coverage_lower, coverage_upper: its 95 % interval by draws of whole blocks.
        width: mean width, m³/m³.
        score: mean interval score, m³/m³: the width, and 20 times what lies beyond it; less is better.
        reason: why a value is NaN; empty where none is.
    """

    n: int
    blocks: int
    coverage: float
    coverage_lower: float
    coverage_upper: float
    width: float
    score: float
    reason: str

    @classmethod
    def of(cls, sums: Floats, *, draws: int = 1000, seed: int = 0) -> Coverage:
        """Of the sums of each block.

        Args:
            sums: (blocks, 4), see :func:`sums_by`; blocks without rows do not count.
            draws: number of bootstrap draws.
            seed: of the draws.
        """
        sums = sums[sums[:, 0] > 0]
        n, within, width, score = sums.sum(axis=0)
        if n == 0:
            return cls(0, 0, nan, nan, nan, nan, nan, "no row has both an interval and a reference")
        ends, reason = NO_INTERVAL, ""
        if len(sums) >= MIN_BLOCKS:
            drawn = draw_blocks(sums[:, :2], draws, seed)
            [ends] = percentiles([drawn[:, 1] / drawn[:, 0]], len(sums), TAIL)
        else:
            reason = f"the interval of a coverage needs {MIN_BLOCKS} blocks, got {len(sums)}"
        return cls(int(n), len(sums), float(within / n), *ends, float(width / n), float(score / n), reason)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def sums_by(
    reference: ArrayLike, lower: ArrayLike, upper: ArrayLike, labels: NDArray[np.intp], size: int
) -> Floats:
    """What coverage is made of, summed over the rows of each label; sums of more rows may be added.

    Args:
        reference: what the intervals are about, m³/m³, shape (n,); NaN where unknown.
        lower: lower ends, same unit and shape; NaN where there is no interval.
        upper: upper ends; an end belongs to its interval.
        labels: (n,) from 0.
        size: labels in all.

    Returns:
        (size, 4): rows, those within, their widths, their interval scores; rows with a NaN are left out.

    Raises:
        SampleError: the arrays differ in length.
    """
    truth, low, high = (np.asarray(one, np.float64) for one in (reference, lower, upper))
    if len({len(one) for one in (truth, low, high, labels)}) > 1:
        raise SampleError("give one reference, lower end, upper end and label for each row")
    known = np.isfinite(truth) & np.isfinite(low) & np.isfinite(high)
    truth, low, high, at = truth[known], low[known], high[known], labels[known]
    beyond = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    score = high - low + 2 / (1 - COVERAGE) * beyond
    terms = (None, beyond == 0, high - low, score)
    return np.column_stack([np.bincount(at, term, minlength=size) for term in terms]).astype(np.float64)


def coverage_of(
    reference: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    blocks: ArrayLike,
    draws: int = 1000,
    seed: int = 0,
) -> Coverage:
    """Count what lies within its interval.

    Args:
        reference: see :func:`sums_by`.
        lower: see there.
        upper: see there.
        blocks: (n,) label of the block of each row; rows of different blocks count as independent.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        Rows with a NaN are left out. Below 5 blocks the coverage has no interval.

    Raises:
        SampleError: the arrays differ in length.
    """
    names, labels = np.unique(np.asarray(blocks), return_inverse=True)
    return Coverage.of(sums_by(reference, lower, upper, labels, len(names)), draws=draws, seed=seed)
