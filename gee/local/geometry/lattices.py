"""Where the points of an even lattice lie in the pixels of a projection, most of them by interpolation.

Transforming every pixel of a tile from one coordinate system to another took longer than all else that a
mean over pixels does. Between map projections positions are smooth: polynomials through Chebyshev nodes meet
them to a billionth of a pixel. Where they do not (the edge of the globe, the date line, a pole) the lattice
is cut into parts, and small parts are transformed point by point.
Source of the nodes: Trefethen, Approximation Theory and Approximation Practice, chapters 3 and 8.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.typing import NDArray

from gee.local.geometry.projections import Projection, transformer

Floats = NDArray[np.float64]

NODES = 14  # along each side; degree 13 serves UTM zones and MODIS tiles over 1000 km
TOLERANCE = 1e-9  # of a pixel of the target projection; rounding alone makes a tenth of it
SMALLEST = 2048  # points of a lattice for which interpolation takes less time than exact transforms

_NODE_ANGLES = np.pi * (np.arange(NODES) + 0.5) / NODES
_NODES = np.cos(_NODE_ANGLES)
_FITTING = np.cos(np.outer(np.arange(NODES), _NODE_ANGLES)) * (2 / NODES)  # values at nodes to coefficients
_FITTING[0] /= 2


def placed(source: Projection, columns: Floats, rows: Floats, target: Projection) -> tuple[Floats, Floats]:
    """Positions of a lattice's points in the pixels of another projection.

    Args:
        source: in whose pixels the lattice is given.
        columns: evenly spaced, ascending.
        rows: likewise.
        target: projection.

    Returns:
        Columns and rows in ``target``, each (rows, columns); not finite where a point has no place in it.
        Off by ``TOLERANCE`` at most (more only where doubles are coarser than that) on the border of each
        part that was interpolated, where polynomials are worst.
    """
    if source.crs == target.crs or columns.size * rows.size < SMALLEST:
        return _exact(source, *np.meshgrid(columns, rows), target)
    found = _interpolated(source, columns, rows, target)
    if found is not None:
        return found
    whole = np.empty((rows.size, columns.size)), np.empty((rows.size, columns.size))
    middle, centre = _halves(rows.size, columns.size), _halves(columns.size, rows.size)
    for down in middle:
        for across in centre:
            part = placed(source, columns[across], rows[down], target)
            whole[0][down, across], whole[1][down, across] = part
    return whole


def _halves(size: int, other: int) -> list[slice]:
    """Two parts of a side, or the whole of it where the other side is more than twice as long."""
    return [slice(0, size)] if 2 * size < other else [slice(0, size // 2), slice(size // 2, size)]


def _exact(source: Projection, columns: Floats, rows: Floats, target: Projection) -> tuple[Floats, Floats]:
    x, y = source.to_crs(columns, rows)
    if source.crs != target.crs:
        x, y = transformer(source.crs, target.crs).transform(x, y)
    return target.to_pixels(x, y)


def _interpolated(
    source: Projection, columns: Floats, rows: Floats, target: Projection
) -> tuple[Floats, Floats] | None:
    """As `placed`, by one polynomial for the whole lattice; None where that is not good enough."""
    across, u = _scaled(columns)
    down, v = _scaled(rows)
    node_columns, node_rows = np.meshgrid(across, down)
    # The border is checked whole: a seam of the map cannot end within a lattice, and no pixel lies further
    # from the nodes than a corner's.
    border_columns = np.concatenate([columns, columns, np.repeat(columns[[0, -1]], rows.size)])
    border_rows = np.concatenate([np.repeat(rows[[0, -1]], columns.size), rows, rows])
    count = NODES * NODES
    exact = _exact(
        source,
        np.concatenate([node_columns.ravel(), border_columns]),
        np.concatenate([node_rows.ravel(), border_rows]),
        target,
    )
    if not (np.isfinite(exact[0]).all() and np.isfinite(exact[1]).all()):
        return None
    fields = []
    for values in exact:
        # Sums of small numbers round less.
        origin = values[0]
        tolerance = max(TOLERANCE, 4 * np.spacing(np.abs(values).max()))
        coefficients = _FITTING @ (values[:count] - origin).reshape(NODES, NODES) @ _FITTING.T
        if max(np.abs(coefficients[-1]).max(), np.abs(coefficients[:, -1]).max()) > tolerance:
            return None
        field = v @ (coefficients @ u.T) + origin
        border = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
        if np.abs(border - values[count:]).max() > tolerance:
            return None
        fields.append(field)
    return fields[0], fields[1]


def _scaled(positions: Floats) -> tuple[Floats, Floats]:
    """Where the nodes lie along a side, and Chebyshev polynomials at its points, (points, NODES)."""
    first, last = positions[0], positions[-1]
    middle, reach = (first + last) / 2, max((last - first) / 2, 0.5)
    return middle + reach * _NODES, chebvander((positions - middle) / reach, NODES - 1)
