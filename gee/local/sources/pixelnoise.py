"""White noise of single pixels: detector noise, speckle, ragged edges.

A random generator's state would make a pixel depend on the window that asks; here each draw is a hash of the
pixel's own row and column, and of a seed that names the sensor, the band and the time.
"""

from __future__ import annotations

import zlib
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from gee.local.sources.dataset import Window

Floats = NDArray[np.float64]

_ROW, _COLUMN = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def seed_of(*parts: object) -> int:
    """A 32-bit seed for a name made of parts, the same in every process."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def uniform_at(rows: NDArray[np.integer], cols: NDArray[np.integer], seed: int) -> Floats:
    """Uniform draws in (0, 1) at pixels; rows and columns broadcast against each other."""
    return _at(rows, cols, seed, normal=False)


def normal_at(rows: NDArray[np.integer], cols: NDArray[np.integer], seed: int) -> Floats:
    """Standard normal draws at pixels."""
    return _at(rows, cols, seed, normal=True)


def uniform(window: Window, seed: int) -> Floats:
    """Uniform draws in (0, 1), one for each pixel of a window."""
    return uniform_at(*_indices(window), seed)


def normal(window: Window, seed: int) -> Floats:
    """Standard normal draws, one for each pixel of a window."""
    return normal_at(*_indices(window), seed)


def speckle(window: Window, seed: int, looks: float) -> Floats:
    """Gamma draws of mean 1 and variance 1/looks (Wilson and Hilferty's cube, good from about 10 looks)."""
    cube = normal(window, seed)
    cube *= 1 / (3 * np.sqrt(looks))
    cube += 1 - 1 / (9 * looks)
    return np.asarray(cube * cube * cube)


def _indices(window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = np.arange(window.row, window.row + window.height)[:, None]
    return rows, np.arange(window.col, window.col + window.width)[None, :]


def _at(rows: NDArray[np.integer], cols: NDArray[np.integer], seed: int, *, normal: bool) -> Floats:
    shape = np.broadcast_shapes(np.shape(rows), np.shape(cols))
    row, col = (np.broadcast_to(part, shape).astype(np.uint64).reshape(-1) for part in (rows, cols))
    draws = np.empty(shape)
    _draw(row, col, np.uint64(seed * _SECOND % 2**64), normal, draws.reshape(-1))
    return draws


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _draw(rows: Any, cols: Any, seed: Any, normal: bool, out: Any) -> None:
    for pixel in range(rows.size):
        mixed = (rows[pixel] * np.uint64(_ROW)) ^ (cols[pixel] * np.uint64(_COLUMN) + seed)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_FIRST)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_SECOND)
        mixed ^= mixed >> np.uint64(31)
        share = (np.float64(mixed >> np.uint64(11)) + 0.5) * 2.0**-53
        out[pixel] = _quantile(share) if normal else share


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _quantile(share: Any) -> Any:
    """Quantile of the normal distribution to seven digits (algorithm AS 241, PPND7; Wichura 1988)."""
    middle = share - 0.5
    if abs(middle) <= 0.425:
        r = 0.180625 - middle * middle
        above = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return middle * above / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = np.sqrt(-np.log(share if middle < 0 else 1.0 - share))
    if r <= 5:
        r -= 1.6
        above = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777
        tail = above / ((0.12021132975 * r + 0.73700164250) * r + 1.0)
    else:
        r -= 5
        above = ((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150
        tail = above / ((0.012258202635 * r + 0.24197894225) * r + 1.0)
    return -tail if middle < 0 else tail
