"""Sand, silt and clay of the simulated world.

Parent material decides the mean (granite of the mountains sandy, red soils of the southern hills clayey,
river silts on the plains), noise from 70 km down to 2 km the rest. Fractions are noise on log ratios, so they
stay positive and sum to 100 (Aitchison 1982, doi:10.1111/j.2517-6161.1982.tb01195.x).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gee.local.sources.nature.noise import Coordinates, Floats, fractal, plane, smoothstep
from gee.local.sources.nature.terrain import relief

SEED = 2_000


class Texture(NamedTuple):
    """Mass fractions in percent; they sum to 100."""

    sand: Floats
    silt: Floats
    clay: Floats


class _Parent(NamedTuple):
    sand_over_silt: float  # natural logarithm
    clay_over_silt: float


PLAIN = _Parent(np.log(24 / 46), np.log(30 / 46))  # Huai and Yangtze silts, black soils of the northern plain
OLD_YELLOW_RIVER = _Parent(np.log(40 / 42), np.log(18 / 42))  # sands left by the river north of 34 degrees
RED_HILLS = _Parent(np.log(26 / 36), np.log(38 / 36))  # south of the Yangtze
GRANITE = _Parent(np.log(55 / 31), np.log(14 / 31))  # mountains
CLAY_GAIN_PER_METRE = 0.25  # log ratio; clay is washed down


def texture(lon: Coordinates, lat: Coordinates, depth: float = 0.0) -> Texture:
    """Texture at a depth.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        depth: m below the surface.
    """
    x, y = plane(lon, lat)
    height = relief(lon, lat)
    broad = fractal(x, y, 70.0, 6, SEED, gain=0.62)
    other = fractal(x, y, 50.0, 6, SEED + 20, gain=0.62)
    south = smoothstep(np.asarray(31.0 - lat + 0.3 * broad, np.float32), -0.3, 0.7) * smoothstep(
        height, 60, 220
    )
    north = smoothstep(np.asarray(lat - 33.9 + 0.25 * other, np.float32), -0.3, 0.5)
    rock = smoothstep(height + 120 * other, 350, 900)
    sand = PLAIN.sand_over_silt + 0.34 * broad
    clay = PLAIN.clay_over_silt - 0.18 * broad + 0.22 * other
    for share, parent in ((north, OLD_YELLOW_RIVER), (south, RED_HILLS), (rock, GRANITE)):
        sand = sand + share * (parent.sand_over_silt - PLAIN.sand_over_silt)
        clay = clay + share * (parent.clay_over_silt - PLAIN.clay_over_silt)
    sand_part = np.exp(sand)
    clay_part = np.exp(clay + CLAY_GAIN_PER_METRE * depth)
    percent = 100 / (1 + sand_part + clay_part)
    return Texture(
        *(np.asarray(part, np.float32) for part in (sand_part * percent, percent, clay_part * percent))
    )
