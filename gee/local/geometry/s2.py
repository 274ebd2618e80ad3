"""Cells of the S2 grid as polygons.

A cell's number holds the face of a cube around the globe, then two bits for each halving of the face's
sides along a Hilbert curve, then a one. Sides are divided evenly in the area-adjusting coordinate of the
quadratic projection. Source: the S2 Geometry guide (s2geometry.io, "S2 Cells").
"""

from __future__ import annotations

import numpy as np

from gee.local.errors import EngineError
from gee.local.geometry.geodesy import Points, lon_lat_of

_LEVELS = 30
_QUARTER_OF_STEP = ((0, 1, 3, 2), (0, 2, 3, 1), (3, 2, 0, 1), (3, 1, 0, 2))  # by orientation of the curve
_TURN_OF_STEP = (1, 0, 0, 3)  # bits of the orientation that change: axes swapped, both reversed


def corners(cell: int) -> Points:
    """Longitude and latitude of a cell's four corners, anticlockwise.

    Raises:
        EngineError: the number is no cell's.
    """
    number = cell & (2**64 - 1)
    face, last = number >> 61, number & -number
    if face > 5 or last.bit_length() % 2 == 0:
        raise EngineError(f"Invalid S2 cell id: {cell}.")
    level = _LEVELS - last.bit_length() // 2
    orientation, column, row = face & 1, 0, 0
    for step in range(level):
        position = number >> 2 * (_LEVELS - step) - 1 & 3
        quarter = _QUARTER_OF_STEP[orientation][position]
        column, row = 2 * column + (quarter >> 1), 2 * row + (quarter & 1)
        orientation ^= _TURN_OF_STEP[position]
    sides = np.array([[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]]) / 2**level
    u, v = np.where(sides >= 0.5, 4 * sides**2 - 1, 1 - 4 * (1 - sides) ** 2).T / 3
    one = np.ones(4)
    directions = (
        (one, u, v),
        (-u, one, v),
        (-u, -v, one),
        (-one, -v, -u),
        (v, -one, -u),
        (v, u, -one),
    )[face]
    return lon_lat_of(np.column_stack(directions))
