"""One day of the water balance behind the soil-moisture truth.

Two soil layers (0-5 cm and 5-50 cm) take rain, lose it to runoff, drainage, evaporation and roots, and
exchange water upward; soil, slope, position in the valley, leaves and temperature set the rates. Textbook
forms: Priestley and Taylor 1972 for the demand, Cosby et al. 1984 for porosity, linear stress between wilting
point and field capacity (FAO-56), linear reservoirs for drainage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gee.local.sources.nature.noise import Floats
from gee.local.sources.nature.soil import Texture

SURFACE_MM = 50.0  # thickness of the layer that is the truth
ROOT_MM = 450.0
INTERCEPTION_MM = 0.2  # held by one unit of leaf area
LIFT_MM = 1.2  # mm/day upward from a root zone at field capacity to a surface at wilting point
SEEP_MM = 0.9  # mm/day of groundwater reaching the root zone of a valley floor at wilting point
SURFACE_ROOTS = 0.12  # share of the transpiration that roots take from the surface layer
BARE_SOIL = 0.55  # evaporation of wet bare soil over the demand, which is that of short grass
BYPASS = 0.8  # share of what enters a saturated surface that cracks and root holes take straight to the roots
AIR_DRY = 0.35  # of the wilting point; evaporation stops there
PRIESTLEY_TAYLOR = 1.26


class State(NamedTuple):
    """Water in the two layers, mm."""

    surface: Floats
    root: Floats


class Fluxes(NamedTuple):
    """What a day moved over the borders of the two layers, mm; rain + seepage is what came in."""

    rain: Floats
    seepage: Floats
    interception: Floats
    runoff: Floats
    evaporation: Floats
    transpiration: Floats
    drainage: Floats


@dataclass(frozen=True, eq=False)
class Ground:
    """What does not change from day to day: volumetric limits (m3/m3), times and shares of each cell."""

    porosity: Floats
    capacity: Floats
    wilting: Floats
    drain: Floats
    root_drain: Floats
    quick: Floats
    seep: Floats


def ground(texture: Texture, slope: Floats, valley: Floats, built: Floats) -> Ground:
    """Hydraulic limits and rates of cells.

    Args:
        texture: percent.
        slope: tangent of the slope at 1 km.
        valley: -1 on crests, 1 on valley floors.
        built: share of sealed ground, 0 to 1.
    """
    wilting = 0.025 + 0.0037 * texture.clay
    capacity = wilting + 0.115 + 0.0014 * texture.silt + 0.03 * valley
    porosity = np.maximum(0.489 - 0.00126 * texture.sand, capacity + 0.06)
    days = (1.5 + 0.13 * texture.clay) * np.exp(0.5 * valley) / (1 + 6 * slope)
    parts = (
        porosity,
        capacity,
        wilting,
        1 - np.exp(-1 / days),
        1 - np.exp(-1 / (4 * days)),
        np.clip(0.04 + 1.6 * slope + 0.0015 * texture.clay + 0.45 * built, 0, 0.7),
        SEEP_MM * np.clip(valley, 0, 1),
    )
    return Ground(*(np.asarray(part, np.float32) for part in parts))


def demand(radiation: Floats, temperature: Floats) -> Floats:
    """Evaporation that the air asks for, mm/day, from radiation (W/m2) and temperature (degrees Celsius)."""
    saturation = 0.6108 * np.exp(17.27 * temperature / (temperature + 237.3))
    steepness = 4098 * saturation / np.square(temperature + 237.3)
    net = np.maximum(0.62 * radiation - 18, 4) * 0.0864 / 2.45  # mm/day of evaporation
    return np.asarray(PRIESTLEY_TAYLOR * steepness / (steepness + 0.066) * net, np.float32)


def first_state(cells: Ground, humidity: Floats) -> State:
    """The state that a spin-up starts from.

    Args:
        cells: limits and rates.
        humidity: rain over evaporative demand in the month before; the wetter, the nearer to field capacity.
    """
    share = np.clip(np.float32(0.2) + np.float32(0.5) * humidity, 0, 1)
    content = cells.wilting + share * (cells.capacity - cells.wilting)
    return State(np.float32(SURFACE_MM) * content, np.float32(ROOT_MM) * content)


def step(
    state: State, cells: Ground, rain: Floats, wanted: Floats, leaf_area: Floats
) -> tuple[State, Fluxes]:
    """The state at the end of a day and what the day moved.

    Args:
        state: at its start.
        cells: limits and rates.
        rain: mm.
        wanted: evaporation that the air asks for, mm.
        leaf_area: m2/m2.
    """
    held = np.minimum(np.minimum(rain, np.float32(INTERCEPTION_MM) * leaf_area), wanted)
    arriving = rain - held
    wanted = wanted - held
    wetness = state.surface / (np.float32(SURFACE_MM) * cells.porosity)
    runoff = arriving * np.minimum(cells.quick + np.float32(0.3) * wetness * wetness, np.float32(0.9))

    entering = arriving - runoff
    passing = np.float32(BYPASS) * wetness * entering
    surface = state.surface + entering - passing
    full = np.float32(SURFACE_MM) * cells.porosity
    over = np.maximum(surface - full, 0)
    surface = surface - over
    drained = cells.drain * np.maximum(surface - np.float32(SURFACE_MM) * cells.capacity, 0)
    surface = surface - drained

    root = state.root + passing + over + drained
    full = np.float32(ROOT_MM) * cells.porosity
    over = np.maximum(root - full, 0)
    runoff = runoff + over
    root = root - over
    drainage = cells.root_drain * np.maximum(root - np.float32(ROOT_MM) * cells.capacity, 0)
    root = root - drainage

    surface_share, root_share = _available(surface, SURFACE_MM, cells), _available(root, ROOT_MM, cells)
    bare = np.exp(np.float32(-0.5) * leaf_area)
    dry = np.float32(AIR_DRY * SURFACE_MM) * cells.wilting
    wet_enough = np.clip((surface - dry) / (np.float32(SURFACE_MM) * cells.capacity - dry), 0, 1)
    evaporation = np.float32(BARE_SOIL) * wanted * bare * wet_enough * wet_enough
    evaporation = np.minimum(evaporation, np.float32(0.6) * np.maximum(surface - dry, 0))
    surface = surface - evaporation
    uptake = wanted * (1 - bare)
    from_surface = np.minimum(
        np.float32(SURFACE_ROOTS) * uptake * np.minimum(surface_share * np.float32(1.4), 1),
        np.float32(0.5) * np.maximum(surface - dry, 0),
    )
    from_root = np.float32(1 - SURFACE_ROOTS) * uptake * np.minimum(root_share * np.float32(1.4), 1)
    lifted = np.float32(LIFT_MM) * np.clip(root_share - surface_share, 0, 1)
    seepage = cells.seep * (1 - root_share)
    surface = surface - from_surface + lifted
    root = root - from_root - lifted + seepage
    fluxes = Fluxes(rain, seepage, held, runoff, evaporation, from_surface + from_root, drainage)
    return State(surface, root), fluxes


def _available(water: Floats, thickness: float, cells: Ground) -> Floats:
    """Water between wilting point (0) and field capacity (1)."""
    content = water * np.float32(1 / thickness)
    return np.clip((content - cells.wilting) / (cells.capacity - cells.wilting), 0, 1)
