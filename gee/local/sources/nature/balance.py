"""One day of the water balance behind the soil-moisture truth.

Two soil layers (0-5 cm and 5-50 cm) take rain, lose it to runoff, drainage, evaporation and roots, and
exchange water upward; soil, slope, position in the valley, leaves and temperature set the rates. Textbook
forms: Priestley and Taylor 1972 for the demand, Cosby et al. 1984 for porosity, linear stress between wilting
point and field capacity (FAO-56), linear reservoirs for drainage.
"""

from __future__ import annotations

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
        """A row of the above for each cell, ``(cells, 7)``."""
        parts = (self.porosity, self.capacity, self.wilting, self.drain, self.root_drain, self.quick, self.seep)
        return np.stack([np.ravel(part) for part in parts], axis=1).astype(np.float32)


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
    rows = np.stack([np.broadcast_to(part, shape).reshape(-1) for part in (*state, rain, wanted, leaf_area)])
    moved = np.empty((rows.shape[1], 2 + len(Fluxes._fields)), np.float32)
    _one_day(rows.astype(np.float32, copy=False), cells.table, moved)
    surface, root, *fluxes = (column.reshape(shape) for column in moved.T)
    return State(surface, root), Fluxes(*fluxes)


def run(
    state: State,
    cells: Ground,
    sun: Floats,
    leaves: Floats,
    leaf_share: Floats,
    weather: tuple[Floats, Floats],
    node: int,
    keep: int,
) -> tuple[Floats, Floats]:
    """The water balance of a square tile over many days, its weather interpolated from nodes.

    Args:
        state: at the start.
        cells: limits and rates, ``(side, side)``.
        sun: factor of the demand, likewise.
        leaves: leaf area at dates, ``(dates, side, side)``.
        leaf_share: of each day, the date before it and its share of the way to the next, as one number.
        weather: rain and demand at the nodes, mm, ``(days, nodes, nodes)`` each.
        node: cells between two nodes; the first one lies half a cell before the tile.
        keep: how many of the last days are returned.

    Returns:
        Volumetric moisture of both layers at the end of each kept day, ``(keep, side, side)``.
    """
    rain, wanted = (np.ascontiguousarray(part, np.float32) for part in weather)
    side = sun.shape[0]
    surface, root = np.empty((keep, side, side), np.float32), np.empty((keep, side, side), np.float32)
    start = np.stack([state.surface, state.root]).astype(np.float32)
    cell_table = cells.table.reshape(side, side, -1)
    _many_days(start, cell_table, sun, leaves, leaf_share, rain, wanted, node, surface, root)
    return surface, root


@numba.njit(cache=True, nogil=True)
def _day(
    surface: Any, root: Any, rain: Any, wanted: Any, leaf_area: Any, cell: Any
) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any]:
    """One day of one cell: both layers, then interception, runoff, evaporation, transpiration, drainage, seepage."""
    porosity, capacity, wilting = cell[0], cell[1], cell[2]
    drain, root_drain, quick, seep = cell[3], cell[4], cell[5], cell[6]
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
    bare = np.exp(np.float32(-0.5) * leaf_area)
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


@numba.njit(cache=True, nogil=True)
def _one_day(rows: Any, cells: Any, moved: Any) -> None:
    for cell in range(rows.shape[1]):
        surface, root, held, runoff, evaporation, drunk, drainage, seepage = _day(
            rows[0, cell], rows[1, cell], rows[2, cell], rows[3, cell], rows[4, cell], cells[cell]
        )
        line = moved[cell]
        line[0], line[1], line[2], line[3], line[4] = surface, root, rows[2, cell], seepage, held
        line[5], line[6], line[7], line[8] = runoff, evaporation, drunk, drainage


@numba.njit(cache=True, nogil=True)
def _many_days(
    start: Any,
    cells: Any,
    sun: Any,
    leaves: Any,
    leaf_share: Any,
    rain: Any,
    wanted: Any,
    node: int,
    surface_out: Any,
    root_out: Any,
) -> None:
    days, side, keep = rain.shape[0], sun.shape[0], surface_out.shape[0]
    for i in range(side):
        y = (i + 0.5) / node
        row = int(y)
        v = np.float32(y - row)
        for j in range(side):
            x = (j + 0.5) / node
            column = int(x)
            u = np.float32(x - column)
            one = np.float32(1)
            a, b, c, d = (one - v) * (one - u), (one - v) * u, v * (one - u), v * u
            surface, root = start[0, i, j], start[1, i, j]
            cell = cells[i, j]
            for day in range(days):
                fallen = (
                    a * rain[day, row, column]
                    + b * rain[day, row, column + 1]
                    + c * rain[day, row + 1, column]
                    + d * rain[day, row + 1, column + 1]
                )
                asked = (
                    a * wanted[day, row, column]
                    + b * wanted[day, row, column + 1]
                    + c * wanted[day, row + 1, column]
                    + d * wanted[day, row + 1, column + 1]
                )
                date = int(leaf_share[day])
                share = leaf_share[day] - np.float32(date)
                leaf_area = leaves[date, i, j] + share * (leaves[date + 1, i, j] - leaves[date, i, j])
                surface, root, _, _, _, _, _, _ = _day(
                    surface, root, fallen, sun[i, j] * asked, leaf_area, cell
                )
                if day >= days - keep:
                    surface_out[day - days + keep, i, j] = surface * np.float32(1 / SURFACE_MM)
                    root_out[day - days + keep, i, j] = root * np.float32(1 / ROOT_MM)
