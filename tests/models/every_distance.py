"""The nearest of all rows by scikit-learn's distances, for comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import nan_euclidean_distances

Floats = NDArray[np.float64]


def least_distance(points: NDArray[Any], rows: NDArray[Any]) -> Floats:
    """Distance of each point to the nearest row that it may be compared with; NaN where there is none.

    It has 90 % of the variance of the coordinates of the point, and these have half of that of all.
    """
    points, rows = points.astype(float), rows.astype(float)
    variance = np.array(
        [column[~np.isnan(column)].var() if not np.isnan(column).all() else 0 for column in rows.T]
    )
    variance = variance if variance.any() else np.ones(len(variance))
    own = ~np.isnan(points) @ variance
    shared = (~np.isnan(points) * variance) @ (~np.isnan(rows)).T
    known = (own >= (0.5 - 1e-9) * variance.sum()) & (own > 0)
    fit = known[:, None] & (shared >= (0.9 - 1e-9) * own[:, None])
    distances = nan_euclidean_distances(points, rows)
    least = np.where(fit & ~np.isnan(distances), distances, np.inf).min(axis=1)
    return np.where(np.isinf(least), np.nan, least)
