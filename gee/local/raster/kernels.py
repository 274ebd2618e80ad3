"""Kernels: weights of a pixel's neighbours, for convolution and neighbourhoods.

A kernel in metres has as many pixels as the pixel size asks for, so a kernel is a function from that
size to a matrix. Shapes follow the matrices printed in Earth Engine's API documentation; of note there,
a Gaussian of radius 3 has 5 x 5 pixels, so its radius is exclusive while that of shapes is inclusive.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError

Floats = NDArray[np.float64]

MAX_SIDE = 1025  # pixels


@dataclass(frozen=True, eq=False)
class Weights:
    """A kernel's matrix.

    Args:
        matrix: (rows, columns).
        x: column of the pixel that the result belongs to.
        y: its row.
    """

    matrix: Floats
    x: int
    y: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights of a neighbourhood.

    Args:
        name: of the shape, as in "Kernel.circle".
        key: digest of shape and parameters.
        in_metres: whether the size in pixels depends on the size of a pixel.
        build: from the size of a pixel in metres to the weights.
    """

    name: str
    key: str
    in_metres: bool
    build: Callable[[float], Weights]

    def weights(self, pixel_metres: float = 1.0) -> Weights:
        """The matrix for pixels of this size."""
        return self.build(pixel_metres)

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` prints it: for a kernel in metres, with pixels of one metre."""
        weights = self.weights()
        return {
            "type": f"Kernel.{self.name}",
            "center": [weights.x, weights.y],
            "weights": weights.matrix.tolist(),
        }


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _scaled(matrix: Floats, normalize: bool, magnitude: float) -> Floats:
    """The matrix with a sum of one, where asked and possible, times the magnitude."""
    total = matrix.sum()
    if normalize and total != 0:
        matrix = matrix / total
    return matrix * magnitude + 0.0


def _axes(x: int, y: int) -> tuple[Floats, Floats]:
    if max(x, y) * 2 + 1 > MAX_SIDE:
        raise EngineError(
            f"Kernel is too large: {2 * x + 1} by {2 * y + 1} pixels; at most {MAX_SIDE} a side."
        )
    return np.meshgrid(np.arange(-x, x + 1, dtype=float), np.arange(-y, y + 1, dtype=float))


def _whole(radius: float) -> int:
    # A radius in metres that is a whole number of pixels stays one when the division rounds down.
    return math.floor(radius + 1e-9)


Shape = Callable[[Floats, Floats, float], NDArray[Any]]
"""From offsets in pixels, x and y, and a radius to weights."""

SHAPES: dict[str, Shape] = {
    "square": lambda x, y, r: np.ones_like(x),
    "circle": lambda x, y, r: np.hypot(x, y) <= r + 1e-9,
    "diamond": lambda x, y, r: np.abs(x) + np.abs(y) <= r + 1e-9,
    # A regular octagon's diagonal sides are sqrt(2) times its radius away in city blocks.
    "octagon": lambda x, y, r: np.abs(x) + np.abs(y) <= math.sqrt(2) * r + 1e-9,
    "plus": lambda x, y, r: (x == 0) | (y == 0),
    "cross": lambda x, y, r: np.abs(x) == np.abs(y),
    "euclidean": lambda x, y, r: np.hypot(x, y),
    "manhattan": lambda x, y, r: np.abs(x) + np.abs(y),
    "chebyshev": lambda x, y, r: np.maximum(np.abs(x), np.abs(y)),
}

MATRICES: dict[str, tuple[tuple[float, ...], ...]] = {
    "laplacian4": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "laplacian8": ((1, 1, 1), (1, -8, 1), (1, 1, 1)),
    "sobel": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "roberts": ((1, 0), (0, -1)),
    "prewitt": ((1, 0, -1), (1, 0, -1), (1, 0, -1)),
    "compass": ((1, 1, -1), (1, -2, -1), (1, 1, -1)),
    "kirsch": ((5, -3, -3), (5, 0, -3), (5, -3, -3)),
}


def _sized(
    name: str,
    radii: tuple[float, float],
    units: str,
    normalize: bool,
    magnitude: float,
    weigh: Callable[[float], Floats],
    *parameters: Any,
) -> Kernel:
    """A kernel of some radii; ``weigh`` gives its matrix for a number of metres (or pixels) a pixel."""
    if units.lower() not in ("pixels", "meters"):
        raise EngineError(f"Units must be 'pixels' or 'meters', got '{units}'.")
    if not all(math.isfinite(radius) and radius >= 0 for radius in radii):
        raise EngineError(f"The radius must not be negative, got {min(radii)}.")
    in_metres = units.lower() == "meters"

    def build(pixel_metres: float) -> Weights:
        matrix = _scaled(weigh(pixel_metres if in_metres else 1.0), normalize, magnitude)
        return Weights(matrix, matrix.shape[1] // 2, matrix.shape[0] // 2)

    key = _digest(name, radii, in_metres, normalize, magnitude, *parameters)
    return Kernel(name, key, in_metres, build)


def shaped(name: str, radius: float, units: str, normalize: bool, magnitude: float) -> Kernel:
    """A kernel of one of `SHAPES`, with every pixel whose centre is within the radius."""

    def weigh(unit: float) -> Floats:
        side = _whole(radius / unit)
        x, y = _axes(side, side)
        return SHAPES[name](x, y, radius / unit).astype(np.float64)

    return _sized(name, (radius, radius), units, normalize, magnitude, weigh)


def rectangle(x_radius: float, y_radius: float, units: str, normalize: bool, magnitude: float) -> Kernel:
    """``Kernel.rectangle``."""

    def weigh(unit: float) -> Floats:
        return np.ones_like(_axes(_whole(x_radius / unit), _whole(y_radius / unit))[0])

    return _sized("rectangle", (x_radius, y_radius), units, normalize, magnitude, weigh)


def gaussian(radius: float, sigma: float, units: str, normalize: bool, magnitude: float) -> Kernel:
    """``Kernel.gaussian``: sampled at the pixels less than a radius away along both axes."""
    if not sigma > 0:
        raise EngineError(f"Sigma must be positive, got {sigma}.")

    def weigh(unit: float) -> Floats:
        side = max(0, math.ceil(radius / unit - 1e-9) - 1)
        x, y = _axes(side, side)
        return np.exp(-(x**2 + y**2) / (2 * (sigma / unit) ** 2))

    return _sized("gaussian", (radius, radius), units, normalize, magnitude, weigh, sigma)


def _constant(name: str, weights: Weights) -> Kernel:
    key = _digest(name, weights.matrix.tolist(), weights.x, weights.y)
    return Kernel(name, key, False, lambda pixel_metres: weights)


def matrix(name: str, magnitude: float, normalize: bool) -> Kernel:
    """An edge detector of `MATRICES`."""
    weights = _scaled(np.array(MATRICES[name], np.float64), normalize, magnitude)
    return _constant(name, Weights(weights, weights.shape[1] // 2, weights.shape[0] // 2))


def fixed(
    width: int, height: int, rows: Sequence[Sequence[float]], x: int, y: int, normalize: bool
) -> Kernel:
    """``Kernel.fixed``; a size or focus that is negative is that of the matrix, or its middle."""
    try:
        weights = np.array([list(row) for row in rows], np.float64)
    except (TypeError, ValueError):
        raise EngineError("Weights must be a 2-D list of numbers, all rows of the same length.") from None
    if weights.ndim != 2 or 0 in weights.shape:
        raise EngineError("Weights must be a 2-D list of numbers, all rows of the same length.")
    found_height, found_width = weights.shape
    if max(weights.shape) > MAX_SIDE:
        raise EngineError(f"Kernel is too large: {found_width} by {found_height} pixels.")
    if (width >= 0 and width != found_width) or (height >= 0 and height != found_height):
        raise EngineError(
            f"Weights must have {height} rows of {width} values, got {found_height} of {found_width}."
        )
    x = found_width // 2 if x < 0 else x
    y = found_height // 2 if y < 0 else y
    if x >= found_width or y >= found_height:
        raise EngineError(f"The focus ({x}, {y}) is outside of the kernel.")
    return _constant("fixed", Weights(_scaled(weights, normalize, 1.0), x, y))


def _derived(
    name: str, kernels: Sequence[Kernel], derive: Callable[..., Weights], *parameters: Any
) -> Kernel:
    return Kernel(
        name,
        _digest(name, [kernel.key for kernel in kernels], *parameters),
        any(kernel.in_metres for kernel in kernels),
        lambda pixel_metres: derive(*(kernel.weights(pixel_metres) for kernel in kernels)),
    )


def rotate(kernel: Kernel, rotations: int) -> Kernel:
    """``Kernel.rotate``: quarter turns clockwise, or counterclockwise where negative."""

    def derive(weights: Weights) -> Weights:
        x, y = weights.x, weights.y
        height, width = weights.matrix.shape
        for _ in range(rotations % 4):
            x, y, height, width = height - 1 - y, x, width, height
        return Weights(np.rot90(weights.matrix, -(rotations % 4)), x, y)

    return _derived(kernel.name, [kernel], derive, "rotate", rotations % 4)


def inverse(kernel: Kernel) -> Kernel:
    """``Kernel.inverse``: one over each weight that is not zero."""

    def derive(weights: Weights) -> Weights:
        found = weights.matrix
        turned = np.divide(1.0, found, out=np.zeros_like(found), where=found != 0)
        return Weights(turned, weights.x, weights.y)

    return _derived(kernel.name, [kernel], derive, "inverse")


def add(first: Kernel, second: Kernel, normalize: bool) -> Kernel:
    """``Kernel.add``: the sum with both focuses on each other."""

    def derive(one: Weights, other: Weights) -> Weights:
        x, y = max(one.x, other.x), max(one.y, other.y)
        width = x + max(each.matrix.shape[1] - each.x for each in (one, other))
        height = y + max(each.matrix.shape[0] - each.y for each in (one, other))
        total = np.zeros((height, width))
        for each in (one, other):
            rows, columns = each.matrix.shape
            total[y - each.y : y - each.y + rows, x - each.x : x - each.x + columns] += each.matrix
        return Weights(_scaled(total, normalize, 1.0), x, y)

    return _derived("add", [first, second], derive, normalize)
