"""White noise of single pixels: detector noise, speckle, ragged edges.

A random generator's state would make a pixel depend on the window that asks; here each draw is a hash of the
pixel's own row and column, and of a seed that names the sensor, the band and the time.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from gee.local.sources.dataset import Window

Floats = NDArray[np.float64]

_ROW, _COLUMN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def seed_of(*parts: object) -> int:
    """A 32-bit seed for a name made of parts, the same in every process."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def uniform_at(rows: NDArray[np.integer], cols: NDArray[np.integer], seed: int) -> Floats:
    """Uniform draws in (0, 1) at pixels; rows and columns broadcast against each other."""
    mixed = np.asarray(rows).astype(np.uint64) * _ROW ^ (
        np.asarray(cols).astype(np.uint64) * _COLUMN + np.uint64(seed * int(_SECOND) % 2**64)
    )
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    mixed ^= mixed >> np.uint64(31)
    draws: Floats = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return draws


def normal_at(rows: NDArray[np.integer], cols: NDArray[np.integer], seed: int) -> Floats:
    """Standard normal draws at pixels."""
    draws: Floats = ndtri(uniform_at(rows, cols, seed))
    return draws


def uniform(window: Window, seed: int) -> Floats:
    """Uniform draws in (0, 1), one for each pixel of a window."""
    return uniform_at(*_indices(window), seed)


def normal(window: Window, seed: int) -> Floats:
    """Standard normal draws, one for each pixel of a window."""
    return normal_at(*_indices(window), seed)


def speckle(window: Window, seed: int, looks: float) -> Floats:
    """Gamma draws of mean 1 and variance 1/looks (Wilson and Hilferty's cube, good from about 10 looks)."""
    cube: Floats = (1 - 1 / (9 * looks) + normal(window, seed) / (3 * np.sqrt(looks))) ** 3
    return cube


def _indices(window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = np.arange(window.row, window.row + window.height)[:, None]
    return rows, np.arange(window.col, window.col + window.width)[None, :]
