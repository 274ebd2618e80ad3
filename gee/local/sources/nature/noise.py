"""Seeded noise on a lattice, and smooth fields computed on a lattice and interpolated.

Every value is a pure function of its own coordinates, hashed by integers: whichever window, order or thread
asks, the same place gets the same value. Gradient noise is Perlin's (Improving Noise, 2002), on a plane.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Coordinates = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Layers = int | NDArray[np.int64]
Moments = NDArray[np.float64] | float  # days since 1970-01-01 and their fractions

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
    column, row = np.floor(x), np.floor(y)
    u, v = (x - column).astype(np.float32), (y - row).astype(np.float32)
    i, j = column.astype(np.int64), row.astype(np.int64)
    corners = _corner_gradients(i, j, seed, layer)
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    fade_u = u * u * u * (u * (u * 6 - 15) + 10)
    fade_v = v * v * v * (v * (v * 6 - 15) + 10)
    lower = ax * u + ay * v
    lower += fade_u * (bx * (u - 1) + by * v - lower)
    upper = cx * u + cy * (v - 1)
    upper += fade_u * (dx * (u - 1) + dy * (v - 1) - upper)
    lower += fade_v * (upper - lower)
    lower *= np.float32(UNIT)
    return lower


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
    amplitude = 1.0
    for octave in range(octaves):
        total += np.float32(amplitude) * gradient(*turned(x, y, wavelength, octave), seed + octave)
        wavelength /= LACUNARITY
        amplitude *= gain
    norm = np.sqrt(sum(gain ** (2 * octave) for octave in range(octaves)))
    return total / np.float32(norm)


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
    cosine, sine = np.cos(TURN * (octave + 1)) / wavelength, np.sin(TURN * (octave + 1)) / wavelength
    return x * cosine - y * sine + 17.3 * octave, x * sine + y * cosine - 5.9 * octave


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
    column, row = np.floor(x), np.floor(y)
    u, v = (x - column).astype(np.float32), (y - row).astype(np.float32)
    i, j = column.astype(np.int64), row.astype(np.int64)
    west, south = (int(i.min()), int(j.min())) if i.size else (0, 0)
    width, height = (int(i.max()) - west + 2, int(j.max()) - south + 2) if i.size else (0, 0)
    corner = (j - south) * width + (i - west)
    nodes = np.arange(width * height) if width * height <= 4 * corner.size else _needed(corner, width)
    node_lon = np.asarray((west + nodes % width) * step, np.float64)
    values = field(node_lon, np.asarray((south + nodes // width) * step, np.float64))
    if nodes.size < width * height:
        at = [np.searchsorted(nodes, corner + offset) for offset in (0, 1, width, width + 1)]
    else:
        at = [corner, corner + 1, corner + width, corner + width + 1]
    a, b, c, d = (np.take(values, index, axis=-1) for index in at)
    lower = a + u * (b - a)
    upper = c + u * (d - c)
    return np.asarray(lower + v * (upper - lower), np.float32).reshape(*values.shape[:-1], *np.shape(lon))


def smoothstep(value: Floats | Coordinates, low: float, high: float) -> Floats:
    """0 below ``low``, 1 above ``high``, a smooth cubic between."""
    t = np.clip((np.asarray(value, np.float32) - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _needed(corner: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    return np.unique(np.concatenate([corner, corner + 1, corner + width, corner + width + 1]))


def _hash(i: NDArray[np.int64], j: NDArray[np.int64], seed: int, layer: Layers) -> NDArray[np.uint8]:
    mixed = i.astype(np.uint32) * np.uint32(0x9E3779B1)
    mixed = mixed ^ (
        j.astype(np.uint32) * np.uint32(0x85EBCA77) + np.uint32((seed * 0x27D4EB2F) & 0xFFFFFFFF)
    )
    mixed = mixed ^ (mixed >> np.uint32(15))
    mixed = mixed * np.uint32(0x2C1B3C6D) + np.asarray(layer, np.int64).astype(np.uint32) * np.uint32(
        0x165667B1
    )
    mixed = mixed ^ (mixed >> np.uint32(12))
    mixed = mixed * np.uint32(0x297A2D39)
    mixed = mixed ^ (mixed >> np.uint32(15))
    mixed = mixed * np.uint32(0x846CA68B)
    return np.asarray(mixed >> np.uint32(24)).astype(np.uint8)


def _corner_gradients(
    i: NDArray[np.int64], j: NDArray[np.int64], seed: int, layer: Layers
) -> list[tuple[Floats, Floats]]:
    """Gradients at the four corners of each point's cell; nodes shared by many points are hashed once."""
    if i.size and np.ndim(layer) == 0:
        west, south = int(i.min()), int(j.min())
        width, height = int(i.max()) - west + 2, int(j.max()) - south + 2
        if width * height <= i.size:
            nodes = _hash(
                np.arange(west, west + width)[None, :], np.arange(south, south + height)[:, None], seed, layer
            ).ravel()
            east, north = _EAST[nodes], _NORTH[nodes]
            corner = j * width
            corner += i
            corner -= south * width + west
            return [
                (east[offset:].take(corner), north[offset:].take(corner))
                for offset in (0, 1, width, width + 1)
            ]
    codes = [_hash(i + di, j + dj, seed, layer) for dj in (0, 1) for di in (0, 1)]
    return [(_EAST.take(code), _NORTH.take(code)) for code in codes]
