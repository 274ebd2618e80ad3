"""Pixels as spectra: mixtures of endmembers, and distances between two images' spectra.

Source: descriptions of ``Image.unmix`` and ``Image.spectralDistance``; guides/image_transforms. The
distances are the spectral angle (Kruse 1993), the spectral information divergence (Chang 2000) and the
squared Euclidean distance; how the earth mover's distance is normalised is not documented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.algorithms.images_neighbourhoods import refuse_arrays
from gee.local.errors import EngineError
from gee.local.raster.images import Band, Image, pointwise, several
from gee.local.raster.pixels import Pointwise, Raster, masks_intersect
from gee.local.registry import algorithm
from gee.local.values import DOUBLE

Floats = NDArray[np.float64]

MAX_NON_NEGATIVE = 10  # endmembers; the work doubles with each


def _stacked(rasters: Sequence[Raster]) -> tuple[Floats, NDArray[Any] | None]:
    """Spectra of shape (bands, height, width), and where all bands are valid."""
    shape: Any = np.broadcast_shapes(*(raster.values.shape[:2] for raster in rasters))
    values = np.stack([np.broadcast_to(raster.values, shape).astype(np.float64) for raster in rasters])
    return values, masks_intersect(*(raster.mask for raster in rasters))


def _solution(members: Floats, spectra: Floats, sum_to_one: bool) -> Floats:
    """Shares of the endmembers by least squares, those of one spectrum in a column.

    Args:
        members: (bands, endmembers).
        spectra: (bands, pixels).
        sum_to_one: by a Lagrange multiplier.
    """
    if not sum_to_one:
        return np.asarray(np.linalg.pinv(members) @ spectra)
    count = members.shape[1]
    system = np.ones((count + 1, count + 1))
    system[:count, :count], system[count, count] = members.T @ members, 0
    right = np.concatenate([members.T @ spectra, np.ones((1, spectra.shape[1]))])
    return np.asarray((np.linalg.pinv(system) @ right)[:count])


def _supports(count: int, sum_to_one: bool) -> Iterator[tuple[int, ...]]:
    for size in range(1 if sum_to_one else 0, count + 1):
        yield from combinations(range(count), size)


def _non_negative(members: Floats, spectra: Floats, sum_to_one: bool) -> Floats:
    """The best of the solutions over every choice of endmembers that has no negative share.

    The constrained optimum is the unconstrained one over the endmembers that take part in it.
    """
    count = members.shape[1]
    best = np.zeros((count, spectra.shape[1]))
    least = np.full(spectra.shape[1], np.inf)
    for support in _supports(count, sum_to_one):
        chosen = list(support)
        shares = np.zeros_like(best)
        shares[chosen] = _solution(members[:, chosen], spectra, sum_to_one)
        error = ((members @ shares - spectra) ** 2).sum(axis=0)
        better = (shares >= -1e-9).all(axis=0) & (error < least)
        best[:, better], least[better] = np.maximum(shares[:, better], 0), error[better]
    return best


@algorithm("Image.unmix")
def unmix(image: Image, endmembers: Sequence[Sequence[float]], sum_to_one: bool, non_negative: bool) -> Image:
    """Bands ``band_0``, ``band_1`` ...: the share of each endmember in each pixel's spectrum."""
    if not endmembers:
        raise EngineError("At least one endmember is required.")
    for member in endmembers:
        if len(member) != len(image.bands):
            raise EngineError(
                f"Endmembers must have as many values as the image has bands: {len(image.bands)}. "
                f"Found {len(member)}."
            )
    if non_negative and len(endmembers) > MAX_NON_NEGATIVE:
        raise EngineError(f"nonNegative is supported for at most {MAX_NON_NEGATIVE} endmembers.")
    refuse_arrays(image.bands)
    members = np.array(endmembers, np.float64).T
    solve = _non_negative if non_negative else _solution

    def compute(*rasters: Raster) -> list[Raster]:
        spectra, mask = _stacked(rasters)
        flat = np.where(np.isfinite(spectra), spectra, 0).reshape(len(spectra), -1)
        shares = solve(members, flat, sum_to_one).reshape(-1, *spectra.shape[1:])
        return [Raster(share, mask) for share in shares]

    node = Pointwise(
        "unmix", compute, [band.pixels for band in image.bands], members, sum_to_one, non_negative
    )
    names = [f"band_{index}" for index in range(len(endmembers))]
    return image.computed(several(node, names, [DOUBLE] * len(names), image.bands))


def _angle(one: Floats, other: Floats) -> Floats:
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    return np.asarray(np.arccos(np.clip((one * other).sum(axis=0) / lengths, -1, 1)))


def _divergence(one: Floats, other: Floats) -> Floats:
    p, q = one / one.sum(axis=0), other / other.sum(axis=0)
    return np.asarray(((p - q) * (np.log(p) - np.log(q))).sum(axis=0))


def _squared(one: Floats, other: Floats) -> Floats:
    return np.asarray(((one - other) ** 2).sum(axis=0))


_METRICS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "sam": _angle,
    "sid": _divergence,
    "sed": _squared,
}


@algorithm("Image.spectralDistance")
def spectral_distance(first: Image, second: Image, metric: str) -> Image:
    """Band ``distance`` between the spectra of two images, as many bands in each."""
    if metric.lower() not in _METRICS:
        raise EngineError(f"The local engine supports the metrics {', '.join(_METRICS)}. Found '{metric}'.")
    count = len(first.bands)
    if not count or len(second.bands) != count:
        raise EngineError(f"Images must have as many bands. Found {count} and {len(second.bands)}.")
    refuse_arrays([*first.bands, *second.bands])
    measure = _METRICS[metric.lower()]

    def compute(*rasters: Raster) -> Raster:
        (one, mask), (other, also) = _stacked(rasters[:count]), _stacked(rasters[count:])
        distance = measure(one, other)
        known = np.isfinite(distance)
        return Raster(distance, masks_intersect(mask, also, None if known.all() else known))

    inputs: list[Band] = [*first.bands, *second.bands]
    band = pointwise("spectralDistance", inputs, compute, DOUBLE, metric.lower(), band_name="distance")
    return first.computed([band])
