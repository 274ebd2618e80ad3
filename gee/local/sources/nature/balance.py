"""One day of the water balance behind the soil-moisture truth.

Two soil layers (0-5 cm and 5-50 cm) take rain, lose it to runoff, drainage, evaporation and roots, and
exchange water upward; soil, slope, position in the valley, leaves and temperature set the rates. Textbook
forms: Priestley and Taylor 1972 for the demand, Cosby et al. 1984 for porosity, linear stress between wilting
point and field capacity (FAO-56), linear reservoirs for drainage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numba
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

    @cached_property
    def table(self) -> Floats:
        """A column of the above for each cell, ``(7, cells)``."""
        parts = (
            self.porosity,
            self.capacity,
            self.wilting,
            self.drain,
            self.root_drain,
            self.quick,
            self.seep,
        )
        return np.stack([np.ravel(part) for part in parts]).astype(np.float32)


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
    shape = np.shape(state.surface)
    given = np.stack([np.broadcast_to(part, shape).reshape(-1) for part in (*state, rain, wanted, leaf_area)])
    given = given.astype(np.float32, copy=False)
    moved = np.empty((2 + len(Fluxes._fields), given.shape[1]), np.float32)
    _one_day(given, np.exp(np.float32(-0.5) * given[4]), cells.table, moved)
    surface, root, *fluxes = (part.reshape(shape) for part in moved)
    return State(surface, root), Fluxes(*fluxes)


@dataclass(frozen=True, eq=False)
class Weather:
    """What drives the balance of cells on one day: rain and demand in mm, leaf area in m2/m2."""

    rain: Floats
    wanted: Floats
    leaf_area: Floats


def run(state: State, cells: Ground, days: Iterable[Weather]) -> Iterator[State]:
    """The states at the ends of days; each holds only until the next is asked."""
    surface, root = (np.ravel(part).astype(np.float32) for part in state)
    shape = np.shape(state.surface)
    for day in days:
        rain, wanted, leaf_area = (np.ravel(part) for part in (day.rain, day.wanted, day.leaf_area))
        bare = np.exp(np.float32(-0.5) * leaf_area)
        _advance(surface, root, rain, wanted, leaf_area, bare, cells.table)
        yield State(surface.reshape(shape), root.reshape(shape))


# Always inlined: only then does the compiler work on several cells at a time, which is 20 times faster.
@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _day(
    surface: Any,
    root: Any,
    rain: Any,
    wanted: Any,
    leaf_area: Any,
    bare: Any,
    porosity: Any,
    capacity: Any,
    wilting: Any,
    drain: Any,
    root_drain: Any,
    quick: Any,
    seep: Any,
) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any]:
    """One day of a cell: both layers, interception, runoff, evaporation, transpiration, drainage, seepage."""
    one, zero = np.float32(1), np.float32(0)
    held = min(min(rain, np.float32(INTERCEPTION_MM) * leaf_area), wanted)
    arriving = rain - held
    wanted = wanted - held
    wetness = surface / (np.float32(SURFACE_MM) * porosity)
    runoff = arriving * min(quick + np.float32(0.3) * wetness * wetness, np.float32(0.9))

    entering = arriving - runoff
    passing = np.float32(BYPASS) * wetness * entering
    surface = surface + entering - passing
    over = max(surface - np.float32(SURFACE_MM) * porosity, zero)
    surface = surface - over
    drained = drain * max(surface - np.float32(SURFACE_MM) * capacity, zero)
    surface = surface - drained

    root = root + passing + over + drained
    over = max(root - np.float32(ROOT_MM) * porosity, zero)
    runoff = runoff + over
    root = root - over
    drainage = root_drain * max(root - np.float32(ROOT_MM) * capacity, zero)
    root = root - drainage

    span = one / (capacity - wilting)
    surface_share = min(max((surface * np.float32(1 / SURFACE_MM) - wilting) * span, zero), one)
    root_share = min(max((root * np.float32(1 / ROOT_MM) - wilting) * span, zero), one)
    dry = np.float32(AIR_DRY * SURFACE_MM) * wilting
    wet_enough = min(max((surface - dry) / (np.float32(SURFACE_MM) * capacity - dry), zero), one)
    evaporation = np.float32(BARE_SOIL) * wanted * bare * wet_enough * wet_enough
    evaporation = min(evaporation, np.float32(0.6) * max(surface - dry, zero))
    surface = surface - evaporation
    uptake = wanted * (one - bare)
    from_surface = min(
        np.float32(SURFACE_ROOTS) * uptake * min(surface_share * np.float32(1.4), one),
        np.float32(0.5) * max(surface - dry, zero),
    )
    from_root = np.float32(1 - SURFACE_ROOTS) * uptake * min(root_share * np.float32(1.4), one)
    lifted = np.float32(LIFT_MM) * min(max(root_share - surface_share, zero), one)
    seepage = seep * (one - root_share)
    surface = surface - from_surface + lifted
    root = root - from_root - lifted + seepage
    return surface, root, held, runoff, evaporation, from_surface + from_root, drainage, seepage


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _one_day(given: Any, bare: Any, cells: Any, moved: Any) -> None:
    for i in range(bare.size):
        surface, root, held, runoff, evaporation, drunk, drainage, seepage = _day(
            given[0, i],
            given[1, i],
            given[2, i],
            given[3, i],
            given[4, i],
            bare[i],
            cells[0, i],
            cells[1, i],
            cells[2, i],
            cells[3, i],
            cells[4, i],
            cells[5, i],
            cells[6, i],
        )
        moved[0, i], moved[1, i], moved[2, i], moved[3, i] = surface, root, given[2, i], seepage
        moved[4, i], moved[5, i], moved[6, i], moved[7, i], moved[8, i] = (
            held,
            runoff,
            evaporation,
            drunk,
            drainage,
        )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _advance(surface: Any, root: Any, rain: Any, wanted: Any, leaf_area: Any, bare: Any, cells: Any) -> None:
    for i in range(surface.size):
        surface[i], root[i], _, _, _, _, _, _ = _day(
            surface[i],
            root[i],
            rain[i],
            wanted[i],
            leaf_area[i],
            bare[i],
            cells[0, i],
            cells[1, i],
            cells[2, i],
            cells[3, i],
            cells[4, i],
            cells[5, i],
            cells[6, i],
        )
