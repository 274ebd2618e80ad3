"""Random numbers by place: a pixel has the same one whichever tile asks, and only the seed changes it.

Google's generator is not published; these numbers are deterministic but not Google's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gee.local.geometry.projections import Grid


def _places(grid: Grid, seed: int) -> NDArray[np.uint64]:
    """A hash of each pixel's place among the pixels of its size, and of the seed."""
    x, y = grid.centres()
    a, b, _, d, e, _ = grid.projection.transform
    width, height = math.hypot(a, d), math.hypot(b, e)
    with np.errstate(over="ignore"):
        # Twice per pixel: centres of aligned grids fall in the middle of these, whatever the origin.
        column = np.floor(x / width * 2 + 0.25).astype(np.int64).astype(np.uint64)
        row = np.floor(y / height * 2 + 0.25).astype(np.int64).astype(np.uint64)
        return _scrambled(_scrambled(column + _scrambled(np.array([seed], np.int64).astype(np.uint64))) ^ row)


def _scrambled(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def _unit(state: NDArray[np.uint64]) -> NDArray[np.float64]:
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform_noise(grid: Grid, seed: int) -> NDArray[np.float64]:
    """Numbers from 0 to below 1, of shape (height, width)."""
    return _unit(_places(grid, seed))


def normal_noise(grid: Grid, seed: int) -> NDArray[np.float64]:
    """Numbers of mean 0 and standard deviation 1 (Box and Muller 1958), of shape (height, width)."""
    state = _places(grid, seed)
    radius = np.sqrt(-2 * np.log1p(-_unit(state)))
    return np.asarray(radius * np.cos(2 * np.pi * _unit(_scrambled(state))))
