"""Which stacks predict a pixel of the map, and with which share.

A hard border between two partitions shows in a map as a line that the land does not have; where the study
asks for it, the predictions of both sides pass into each other over some kilometres. Xu et al. 2024 draw hard
borders, and so does a study that says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from models.partitioned import WP

Shares = dict[str, NDArray[np.float64]]


def shares(
    codes: NDArray[np.integer],
    region: NDArray[np.bool_],
    names: Sequence[str],
    stacks: Collection[str],
    *,
    pixel_km: float,
    blend_km: float = 0.0,
) -> Shares:
    """The share of each stack in the prediction of each pixel.

    A border lies half way between the centres of the pixels on its two sides. The weight of a partition is
    0.5 there, grows linearly with the distance to it, 1 from ``blend_km`` inside on and 0 from ``blend_km``
    outside on; where more than two partitions meet, the weights are divided by their sum. Beyond the region
    nothing counts, so that its own border is never blended.

    Args:
        codes: (y, x) partition of each pixel, from 1 in the order of ``names``; 0 is none.
        region: (y, x) the pixels that count.
        names: of the partitions.
        stacks: names of those that have a stack; all else is predicted by the stack without partition.
        pixel_km: side of a pixel.
        blend_km: how far on both sides of a border; 0 is a hard border.

    Returns:
        (y, x) shares by the name of the stack, for the stacks that have any; they sum to 1 within the region
        and are 0 outside.
    """
    own = [(code, name) for code, name in enumerate(names, start=1) if name in stacks]
    inside = {name: region & (codes == code) for code, name in own}
    inside[WP] = region & ~np.isin(codes, [code for code, _ in own])
    inside = {name: mask for name, mask in inside.items() if mask.any()}
    if blend_km == 0 or len(inside) < 2:
        return {name: mask.astype(np.float64) for name, mask in inside.items()}
    weights = {
        name: np.where(region, np.clip(0.5 + _depth(mask, region) * pixel_km / (2 * blend_km), 0, 1), 0)
        for name, mask in inside.items()
    }
    total = np.where(region, sum(weights.values()), 1)
    return {name: weight / total for name, weight in weights.items()}


def _depth(mask: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far inside of a part of the region its pixels lie, in pixels; negative outside."""
    others = region & ~mask
    inward = distance_transform_edt(~others) - 0.5
    outward = distance_transform_edt(~mask) - 0.5
    return np.asarray(np.where(mask, inward, -outward), np.float64)
