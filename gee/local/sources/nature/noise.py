"""Seeded noise on a lattice, and smooth fields computed on a lattice and interpolated.

Every value is a pure function of its own coordinates, hashed by integers: whichever window, order or thread
asks, the same place gets the same value. Gradient noise is Perlin's (Improving Noise, 2002), on a plane.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from gee.local.sources.nature.cache import ByteCache

Coordinates = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Layers = int | NDArray[np.int64]
Moments = NDArray[np.float64] | float  # days since 1970-01-01 and their fractions

RUN = 256  # points worked on together
KM_PER_DEGREE = 111.32  # of latitude
PLANE_LATITUDE = 31.0  # where a kilometre east is a kilometre on the plane
KM_PER_DEGREE_EAST = KM_PER_DEGREE * float(np.cos(np.radians(PLANE_LATITUDE)))
LACUNARITY = 2.07  # not 2: lattices of successive octaves must not coincide
TURN = 0.64  # radians between the lattices of successive octaves, hides their axes
UNIT = 1 / 0.2156  # one over the standard deviation of raw gradient noise over a cell

_ANGLES = np.arange(256) * (2 * np.pi / 256)
_EAST = np.cos(_ANGLES).astype(np.float32)
_NORTH = np.sin(_ANGLES).astype(np.float32)


def plane(lon: Coordinates, lat: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Kilometres east and north on a plate carrée true at 31 degrees; it has a seam at the antimeridian."""
    return lon * KM_PER_DEGREE_EAST, lat * KM_PER_DEGREE


def gradient(x: Coordinates, y: Coordinates, seed: int, layer: Layers = 0) -> Floats:
    """Gradient noise of unit variance, lattice spacing 1.

    Args:
        x: coordinates in lattice cells, any shape.
        y: the same.
        seed: which noise; different seeds are independent.
        layer: independent sheets of the same noise (days, for instance); an array takes one per point.
    """
    x, y, layer = np.broadcast_arrays(x, y, layer) if np.ndim(layer) else (x, y, np.array([layer]))
    out = np.zeros(np.shape(x), np.float32)
    layers, none = _flat_layers(layer), _NO_WEIGHT
    _add_noise(_flat(x), _flat(y), _AS_IS, seed, layers, np.float32(1), _NO_CARRY, none, out.reshape(-1))
    return out


def fractal(
    x: Coordinates, y: Coordinates, wavelength: float, octaves: int, seed: int, gain: float = 0.5
) -> Floats:
    """Sum of gradient noises of falling wavelength and amplitude, scaled to unit variance.

    Args:
        x: kilometres east.
        y: kilometres north.
        wavelength: lattice spacing of the first octave, km.
        octaves: how many.
        seed: which noise.
        gain: amplitude of an octave over that of the one before.
    """
    total = np.zeros(np.shape(x), np.float32)
    east, north, out = _flat(x), _flat(y), total.reshape(-1)
    amplitude = 1.0
    for octave in range(octaves):
        frame, share = _frame(wavelength, octave), np.float32(amplitude)
        _add_noise(east, north, frame, seed + octave, _FIRST_LAYER, share, _NO_CARRY, _NO_WEIGHT, out)
        wavelength /= LACUNARITY
        amplitude *= gain
    norm = np.sqrt(sum(gain ** (2 * octave) for octave in range(octaves)))
    return total / np.float32(norm)


def creased(
    x: Coordinates,
    y: Coordinates,
    wavelength: float,
    seed: int,
    amplitudes: Sequence[float],
    carry: tuple[float, float],
    least: Floats,
) -> Floats:
    """Sum of the absolute values of gradient noises, each fading where those before it are near zero.

    Args:
        x: kilometres east.
        y: kilometres north.
        wavelength: lattice spacing of the first octave, km.
        seed: which noise.
        amplitudes: of the octaves.
        carry: what is added to an octave's absolute value before it weighs the next, and the largest weight.
        least: weighted amplitude at each point below which no further octave counts.
    """
    total = np.zeros(np.shape(x), np.float32)
    weight = np.ones(total.size, np.float32)
    east, north, out = _flat(x), _flat(y), total.reshape(-1)
    most, least = np.array(carry, np.float32), least.reshape(-1)
    for octave, amplitude in enumerate(amplitudes):
        weight[np.float32(amplitude) * weight < least] = 0
        frame, share = _frame(wavelength, octave), np.float32(amplitude)
        _add_noise(east, north, frame, seed + octave, _FIRST_LAYER, share, most, weight, out)
        wavelength /= LACUNARITY
    return total


def drifting(x: Coordinates, y: Coordinates, time: Moments, seed: int) -> Floats:
    """Gradient noise of unit variance that changes with time; values one unit of time apart are independent.

    Args:
        x: coordinates in lattice cells.
        y: the same.
        time: broadcast against x; neighbouring sheets are mixed so that the variance stays one.
        seed: which noise.
    """
    sheet = np.floor(time)
    later = np.asarray(time - sheet, np.float32)
    layer = np.asarray(sheet).astype(np.int64)
    mixed = (1 - later) * gradient(x, y, seed, layer) + later * gradient(x, y, seed, layer + 1)
    return np.asarray(mixed / np.sqrt(later * later + (1 - later) * (1 - later)), np.float32)


def turned(x: Coordinates, y: Coordinates, wavelength: float, octave: int) -> tuple[Coordinates, Coordinates]:
    """Plane coordinates in lattice cells of an octave, its axes turned and its origin moved."""
    cosine, sine, east, north = _frame(wavelength, octave)
    return x * cosine - y * sine + east, x * sine + y * cosine + north


def _frame(wavelength: float, octave: int) -> NDArray[np.float64]:
    angle = TURN * (octave + 1)
    return np.array(
        [np.cos(angle) / wavelength, np.sin(angle) / wavelength, 17.3 * octave, -5.9 * octave], np.float64
    )


def interpolated(
    field: Callable[[Coordinates, Coordinates], Floats], lon: Coordinates, lat: Coordinates, step: float
) -> Floats:
    """Bilinear interpolation of a smooth field that is computed at the nodes of a lattice in degrees.

    Args:
        field: pointwise function of one-dimensional node longitudes and latitudes, returning
            ``(..., nodes)``; leading axes are kept.
        lon: degrees, any shape.
        lat: the same shape.
        step: node spacing in degrees.

    Returns:
        Array ``(..., *lon.shape)``. A node's value never depends on the other nodes asked.
    """
    x, y = np.ravel(lon) / step, np.ravel(lat) / step
    west, south, width, height = _bounds(x, y)
    if 0 < width * height <= 4 * x.size:
        nodes = np.arange(width * height)
        node_lon = np.asarray((west + nodes % width) * step, np.float64)
        values = field(node_lon, np.asarray((south + nodes // width) * step, np.float64))
        layers = np.ascontiguousarray(values, np.float32).reshape(-1, height, width)
        return _between(layers, x, y, west, south).reshape(*values.shape[:-1], *np.shape(lon))
    # Far apart: only the nodes around the points, each once, as if they made one row of cells.
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    corner = (j - south) * width + (i - west)
    nodes = np.unique(np.concatenate([corner, corner + 1, corner + width, corner + width + 1]))
    node_lon = np.asarray((west + nodes % width) * step, np.float64)
    values = field(node_lon, np.asarray((south + nodes // width) * step, np.float64))
    at = [np.searchsorted(nodes, corner + offset) for offset in (0, 1, width, width + 1)]
    a, b, c, d = (np.take(values, index, axis=-1) for index in at)
    u, v = (x - i).astype(np.float32), (y - j).astype(np.float32)
    lower = a + u * (b - a)
    upper = c + u * (d - c)
    return np.asarray(lower + v * (upper - lower), np.float32).reshape(*values.shape[:-1], *np.shape(lon))


class Lattice:
    """Smooth fields that many windows ask for: `interpolated` from nodes that are kept.

    Args:
        step: node spacing in degrees.
        side: nodes along one side of what is computed and kept together.
        limit: bytes kept.
    """

    def __init__(self, step: float, side: int, limit: int) -> None:
        self._step = step
        self._side = side
        self._blocks: ByteCache[Floats] = ByteCache(limit, lambda block: block.nbytes)

    def at(
        self,
        field: Callable[[Coordinates, Coordinates], Floats],
        lon: Coordinates,
        lat: Coordinates,
        key: Hashable = None,
    ) -> Floats:
        """The field at places, as `interpolated` gives it; ``key`` tells the fields of a lattice apart."""
        x, y = np.ravel(lon) / self._step, np.ravel(lat) / self._step
        west, south, width, height = _bounds(x, y)
        side = self._side
        if not x.size or width * height > 4 * x.size + 4 * side * side:
            return interpolated(field, lon, lat, self._step)
        rows = range(south // side, (south + height - 1) // side + 1)
        cols = range(west // side, (west + width - 1) // side + 1)
        blocks = [
            [self._blocks.get((key, row, col), partial(self._block, field, row, col)) for col in cols]
            for row in rows
        ]
        leading = blocks[0][0].shape[:-2]
        layers = np.block(blocks).reshape(-1, len(rows) * side, len(cols) * side)
        values = _between(layers, x, y, cols.start * side, rows.start * side)
        return values.reshape(*leading, *np.shape(lon))

    def _block(self, field: Callable[[Coordinates, Coordinates], Floats], row: int, col: int) -> Floats:
        nodes = np.arange(self._side)
        lon, lat = np.meshgrid(
            (col * self._side + nodes) * self._step, (row * self._side + nodes) * self._step
        )
        values = np.asarray(field(lon.ravel(), lat.ravel()), np.float32)
        return values.reshape(*values.shape[:-1], self._side, self._side)


def smoothstep(value: Floats | Coordinates, low: float, high: float) -> Floats:
    """0 below ``low``, 1 above ``high``, a smooth cubic between."""
    t = np.clip((np.asarray(value, np.float32) - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _flat(values: Coordinates) -> Coordinates:
    return np.ascontiguousarray(values, np.float64).reshape(-1)


def _flat_layers(layer: NDArray[Any]) -> NDArray[np.int64]:
    return np.ascontiguousarray(layer, np.int64).reshape(-1)


_AS_IS = np.array([1.0, 0.0, 0.0, 0.0])
_FIRST_LAYER = np.zeros(1, np.int64)
_NO_CARRY, _NO_WEIGHT = np.zeros(2, np.float32), np.zeros(0, np.float32)


def _bounds(x: Coordinates, y: Coordinates) -> tuple[int, int, int, int]:
    """First column and row, and numbers of columns and rows, of the nodes around points."""
    if not x.size:
        return 0, 0, 0, 0
    west, south = int(np.floor(x.min())), int(np.floor(y.min()))
    return west, south, int(np.floor(x.max())) - west + 2, int(np.floor(y.max())) - south + 2


def _between(layers: Floats, x: Coordinates, y: Coordinates, west: int, south: int) -> Floats:
    out = np.empty((layers.shape[0], x.size), np.float32)
    _bilinear(layers, x, y, west, south, out)
    return out


# The kernels below are compiled; what they share stays in this file, because the compiler's cache sees only
# changes of the file that a kernel stands in.


@numba.njit(cache=True, nogil=True)
def _bilinear(layers: Any, x: Any, y: Any, west: int, south: int, out: Any) -> None:
    for point in range(x.size):
        column, row = np.floor(x[point]), np.floor(y[point])
        u, v = np.float32(x[point] - column), np.float32(y[point] - row)
        i, j = np.int64(column) - west, np.int64(row) - south
        for layer in range(layers.shape[0]):
            a, b = layers[layer, j, i], layers[layer, j, i + 1]
            c, d = layers[layer, j + 1, i], layers[layer, j + 1, i + 1]
            lower = a + u * (b - a)
            upper = c + u * (d - c)
            out[layer, point] = lower + v * (upper - lower)


@numba.njit(cache=True, nogil=True)
def _hashed(i: Any, j: Any, seed: int, layer: Any) -> Any:
    """Eight bits of a lattice node, by 32-bit integers."""
    whole = 0xFFFFFFFF
    mixed = ((i & whole) * 0x9E3779B1) & whole
    mixed ^= (((j & whole) * 0x85EBCA77) & whole) + ((seed * 0x27D4EB2F) & whole) & whole
    mixed ^= mixed >> 15
    mixed = ((mixed * 0x2C1B3C6D) & whole) + (((layer & whole) * 0x165667B1) & whole) & whole
    mixed ^= mixed >> 12
    mixed = (mixed * 0x297A2D39) & whole
    mixed ^= mixed >> 15
    return ((mixed * 0x846CA68B) & whole) >> 24


@numba.njit(cache=True, nogil=True)
def _add_noise(
    x: Any,
    y: Any,
    frame: Any,
    seed: int,
    layers: Any,
    amplitude: Any,
    carry: Any,
    weight: Any,
    out: Any,
) -> None:
    """Add noise to ``out``; or, given weights, its weighted absolute value, and make the next weights.

    ``layers`` is one for all points or one for each. Points go by runs within one lattice cell, so that the
    gradients at its corners are hashed once and the rest is done several points at a time.
    """
    one, six, ten, fifteen = np.float32(1.0), np.float32(6.0), np.float32(10.0), np.float32(15.0)
    unit = np.float32(UNIT)
    u, v = np.empty(RUN, np.float32), np.empty(RUN, np.float32)
    column, row = np.empty(RUN), np.empty(RUN)
    for first in range(0, x.size, RUN):
        count = min(RUN, x.size - first)
        weights = weight[first : first + count]
        if weights.size and not weights.any():
            continue
        east, north, sums = x[first : first + count], y[first : first + count], out[first : first + count]
        # Short loops over few arrays: the compiler turns only such ones into several points at a time.
        for k in range(count):
            column[k] = east[k] * frame[0] - north[k] * frame[1] + frame[2]
        for k in range(count):
            row[k] = east[k] * frame[1] + north[k] * frame[0] + frame[3]
        _split(column, u, count)
        _split(row, v, count)
        start = 0
        while start < count:
            end = start + 1
            if layers.size == 1:
                layer = layers[0]
                while end < count and column[end] == column[start] and row[end] == row[start]:
                    end += 1
            else:
                layer = layers[first + start]
            i, j = np.int64(column[start]), np.int64(row[start])
            a, b = _hashed(i, j, seed, layer), _hashed(i + 1, j, seed, layer)
            c, d = _hashed(i, j + 1, seed, layer), _hashed(i + 1, j + 1, seed, layer)
            ax, ay, bx, by = _EAST[a], _NORTH[a], _EAST[b], _NORTH[b]
            cx, cy, dx, dy = _EAST[c], _NORTH[c], _EAST[d], _NORTH[d]
            for k in range(start, end):
                p, q = u[k], v[k]
                fade_u = p * p * p * (p * (p * six - fifteen) + ten)
                fade_v = q * q * q * (q * (q * six - fifteen) + ten)
                lower = ax * p + ay * q
                lower += fade_u * (bx * (p - one) + by * q - lower)
                upper = cx * p + cy * (q - one)
                upper += fade_u * (dx * (p - one) + dy * (q - one) - upper)
                lower += fade_v * (upper - lower)
                u[k] = lower * unit
            start = end
        if weights.size == 0:
            for k in range(count):
                sums[k] += amplitude * u[k]
        else:
            for k in range(count):
                sums[k] += amplitude * weights[k] * abs(u[k])
            for k in range(count):
                weights[k] = min(weights[k] * (carry[0] + abs(u[k])), carry[1])


@numba.njit(cache=True, nogil=True)
def _split(places: Any, share: Any, count: int) -> None:
    """Places as the lattice lines before them, in place, and how far beyond they are."""
    for k in range(count):
        whole = np.floor(places[k])
        share[k] = np.float32(places[k] - whole)
        places[k] = whole
