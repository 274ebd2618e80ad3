"""Sentinel-1 GRD: C-band backscatter of soil, plants, towns and water on slopes, with speckle and edges.

Backscatter is what carries soil moisture at high resolution, blurred by everything else in the scene, so each
disturbance is here by its own rule: the water-cloud model (Attema and Ulaby 1978) for plants over soil, the
local incidence angle without radiometric flattening, gamma speckle. ``S1_GRD`` is ten times the logarithm of
``S1_GRD_FLOAT``, as in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import (
    DAY_MS,
    BandSpec,
    Dataset,
    Pixels,
    Scene,
    Slot,
    Window,
    reader,
)
from gee.local.sources.nature import landcover, moisture, noise, vegetation
from gee.local.sources.sentinel1_ground import (
    DELAY_STEP,
    NOISE_STEP,
    SLOPE_STEP,
    VIGOUR_STEP,
    ground,
    on_lattice,
    spread,
)
from gee.local.sources.sentinel1_orbits import (
    PIXEL_METRES,
    Acquisition,
    Frame,
    acquisitions,
    frame,
    incidence,
)

Floats = NDArray[np.float64]

LOOKS = 90.0  # of a 100 m pixel: 4.4 looks of the 20 m x 22 m resolution cell
NOISE_DB = -29.0  # what is left of the thermal noise
SHORE_MOISTURE = 0.35  # m3/m3, land pixels with no land cell of the truth near them
NEIGHBOURS = ((0, 1), (0, -1), (-1, 0), (1, 0))  # rows and columns from a cell to those beside it
ANGLE_STEPS = 4096  # of the table of incidence angles across a scene
STRONGEST, WEAKEST = 6.0, 0.05  # of the terrain's effect on power; layover and shadow go no further
SHADOW = 80.0  # degrees of incidence on the slope beyond which little comes back
BORDER_FIXED = 1_520_899_200_000  # 2018-03-13: from here on the processor removes border noise
BORDER_BEFORE, BORDER_AFTER = 3_000.0, 150.0  # m of dark, ragged edge at near and far range
BORDER_DB = -24.0  # how much darker the edge is


@dataclass(frozen=True)
class Polarisation:
    """How one polarisation answers.

    Attributes:
        dry: dB of bare soil without moisture at 38 degrees.
        per_moisture: dB for 1 m3/m3 on bare soil.
        plants: backscatter of a closed canopy (power) at 0 degrees.
        opacity: attenuation for one unit of LAI.
        urban: dB of built-up land.
        water: dB of calm water at 38 degrees.
        fall: exponent of the cosine of incidence for soil.
    """

    dry: float
    per_moisture: float
    plants: float
    opacity: float
    urban: float
    water: float
    fall: float


POLARISATIONS = {
    "VV": Polarisation(-16.5, 27.0, 0.095, 0.13, -4.0, -21.5, 2.0),
    "VH": Polarisation(-24.0, 20.0, 0.026, 0.13, -11.0, -29.0, 1.5),
}
FOREST = (1, 2, 3, 4)  # LC_Type5
_WOODS = np.isin(np.arange(256), FOREST).astype(np.float64)
_ANGLE_TABLE = incidence(np.arange(ANGLE_STEPS + 2) / ANGLE_STEPS)
_ANGLE_RISES = np.append(np.diff(_ANGLE_TABLE), 0.0)
WOODY_LAI = 2.5  # branches that a C-band wave sees besides the leaves
WOODY_GAIN = 1.7  # of their backscatter over that of crops


def decibel(power: NDArray[np.floating]) -> Floats:
    """10 log10 of power, float64."""
    return np.asarray(10 * np.log10(power.astype(np.float64)))


def power_of(decibels: float | Floats) -> Floats:
    """Power of decibels."""
    return np.asarray(10 ** (np.asarray(decibels, np.float64) / 10))


def soil_and_plants(
    pol: Polarisation,
    moist: Floats,
    leaves: Floats,
    angle: Floats,
    rough: Floats,
    gain: Floats | float = 1.0,
) -> Floats:
    """Backscatter (power) of vegetated soil on flat ground: the water-cloud model.

    Args:
        pol: the polarisation's numbers.
        moist: volumetric soil moisture, m3/m3.
        leaves: leaf area index, with branches.
        angle: incidence, degrees.
        rough: dB added by the roughness of the soil.
        gain: of the plants' own backscatter, 1 for crops.
    """
    shape = np.shape(moist)
    numbers = np.array([pol.dry, pol.per_moisture, pol.plants, pol.opacity, pol.fall])
    power = np.empty(shape)
    wetness, plants, tilt = _flat(moist, shape), _flat(leaves, shape), _flat(angle, shape)
    _water_cloud(wetness, plants, tilt, _flat(rough, shape), _flat(gain, shape), numbers, power.reshape(-1))
    return power


def terrain_factor(rise: Floats, tilt: Floats, angle: Floats) -> Floats:
    """What a slope does to the power of an ellipsoid-calibrated, terrain-corrected pixel.

    Args:
        rise: tangent of the slope along the look direction, positive where ground rises away from the radar.
        tilt: tangent of the slope across it.
        angle: ellipsoid incidence, degrees.

    Returns:
        Power relative to flat ground: the lit area on the slope times the fall of its backscatter with the
        local incidence angle, held between the weakest and the strongest.
    """
    shape = np.shape(rise)
    factor = np.empty(shape)
    _slope_factor(_flat(rise, shape), _flat(tilt, shape), _flat(angle, shape), factor.reshape(-1))
    return factor


def _flat(values: Floats | float, shape: tuple[int, ...]) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(values, shape), np.float64).reshape(-1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _water_cloud(moist: Any, leaves: Any, angle: Any, rough: Any, gain: Any, pol: Any, out: Any) -> None:
    dry, per_moisture, plants, opacity, fall = pol
    steepest = np.cos(np.radians(38.0))
    for pixel in range(moist.size):
        cosine = np.cos(np.radians(angle[pixel]))
        passed = np.exp(-2 * opacity * leaves[pixel] / cosine)
        decibels = dry + per_moisture * moist[pixel] + rough[pixel]
        soil = np.exp(decibels * (np.log(10.0) / 10)) * (cosine / steepest) ** fall
        out[pixel] = gain[pixel] * plants * cosine * (1 - passed) + passed * soil


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slope_factor(rise: Any, tilt: Any, angle: Any, out: Any) -> None:
    lowest, shadow = np.sin(np.radians(8.0)), np.radians(SHADOW)
    for pixel in range(rise.size):
        flat, slope = np.radians(angle[pixel]), rise[pixel]
        sine, cosine = np.sin(flat), np.cos(flat)
        facing = flat - np.arctan(slope)
        if facing > shadow:
            out[pixel] = WEAKEST
            continue
        local = (cosine + slope * sine) / np.sqrt(1 + slope * slope + tilt[pixel] * tilt[pixel])
        area = sine / max(np.sin(facing), lowest)
        out[pixel] = min(max(area * min(max(local, 0.0), 1.0) / cosine, WEAKEST), STRONGEST)


def _land_moisture(rows: NDArray[np.integer], cols: NDArray[np.integer], day: int) -> Floats:
    """The truth of the cell at each pixel; on a shore, if that cell is water, of a land cell beside it."""
    top, left = int(rows.min()), int(cols.min())
    height, width = int(rows.max()) - top + 1, int(cols.max()) - left + 1
    around = np.meshgrid(
        np.arange(top - 1, top + height + 1), np.arange(left - 1, left + width + 1), indexing="ij"
    )
    true = moisture.soil_moisture_cells(*around, day).astype(np.float64)
    cells = true[1:-1, 1:-1].copy()
    for down, right in NEIGHBOURS:
        beside = true[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        cells = np.where(np.isnan(cells), beside, cells)
    return np.asarray(np.nan_to_num(cells, nan=SHORE_MOISTURE)[rows - top, cols - left])


def _angles(across: Floats) -> Floats:
    """`incidence` from a table, exact to a millionth of a degree."""
    place = np.clip(across, 0, 1) * ANGLE_STEPS
    step = place.astype(np.intp)
    return np.asarray(_ANGLE_TABLE[step] + (place - step) * _ANGLE_RISES[step])


def backscatter(
    item: Acquisition, pols: Sequence[str], window: Window
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Sigma nought (power, float64) by polarisation and where the scene has data."""
    scene = frame(item.track, item.slice)
    if scene.misses(window):
        return {pol: np.zeros(window[2:]) for pol in pols}, np.zeros(window[2:], np.bool_)
    along, across = scene.position(scene.grid, window)
    valid = (along >= 0) & (along < 1) & (across >= 0) & (across < 1)
    if not valid.any():
        return {pol: np.zeros(window[2:]) for pol in pols}, valid
    crs, here = scene.grid.crs, on_lattice(scene.grid, window)
    pixels = ground(crs, here)
    day = item.start // DAY_MS
    cover = pixels.codes(vegetation.year_of(day))
    growth, wind = spread(crs, here, lambda lon, lat: _weather_marks(lon, lat, day))
    growth = growth * (VIGOUR_STEP * pixels.vigour)
    woods = _WOODS[cover]
    leaves = vegetation.leaf_area(cover, DELAY_STEP * pixels.delay, growth, day) + WOODY_LAI * woods
    gain = 1 + (WOODY_GAIN - 1) * woods
    moist = _land_moisture(pixels.cell_row, pixels.cell_col, day)
    rough = NOISE_STEP * pixels.rough.astype(np.float64)
    angle = _angles(across)
    look = SLOPE_STEP * scene.look[0], SLOPE_STEP * scene.look[1]
    rise, tilt = (
        pixels.east * look[0] + pixels.north * look[1],
        pixels.east * look[1] - pixels.north * look[0],
    )
    relief = terrain_factor(rise, tilt, angle)
    edge = _edge_power(item, scene, across, window)
    towns, water = cover == landcover.URBAN, cover == landcover.WATER
    bright, dark = NOISE_STEP * pixels.structure[towns], wind[water] - 0.45 * (angle[water] - 38.0)
    found = {}
    for pol in pols:
        numbers = POLARISATIONS[pol]
        power = soil_and_plants(numbers, moist, leaves, angle, rough, gain)
        power *= relief
        power[towns] = 0.35 * power[towns] + 0.65 * power_of(numbers.urban + 2.5 * bright)
        power[water] = power_of(numbers.water + dark)
        power += power_of(NOISE_DB)
        power *= edge
        power *= pixelnoise.speckle(window, pixelnoise.seed_of(item.index, pol), LOOKS)
        found[pol] = power
    return found, valid


def _weather_marks(lon: Floats, lat: Floats, day: int) -> Floats:
    """Growth of the leaves and what the wind adds to open water (dB), both smooth over 40 km and more."""
    x, y = noise.plane(lon, lat)
    wind = 1.5 * noise.drifting(x / 40, y / 40, day / 2.0, seed=7_200)
    return np.stack([vegetation.growth_of(lon, lat, day), wind]).astype(np.float64)


def _edge_power(item: Acquisition, scene: Frame, across: Floats, window: Window) -> Floats | float:
    """Factor of power that darkens the edges at near and far range."""
    depth = BORDER_BEFORE if item.start < BORDER_FIXED else BORDER_AFTER
    inward = np.minimum(across, 1 - across) * scene.width
    if inward.min() >= depth:
        return 1.0
    ragged = depth * pixelnoise.uniform(window, pixelnoise.seed_of(item.index, "edge"))
    return np.where(inward < ragged, power_of(BORDER_DB), 1.0)


@dataclass(frozen=True)
class Product:
    """One of the two collections: its id, whether it holds decibels, and the type of its pixels."""

    id: str
    decibels: bool
    dtype: str


PRODUCTS = (
    Product("COPERNICUS/S1_GRD", True, "float64"),
    Product("COPERNICUS/S1_GRD_FLOAT", False, "float32"),
)


def _properties(item: Acquisition) -> dict[str, object]:
    scene = frame(item.track, item.slice)
    return {
        "instrumentMode": "IW",
        "instrumentSwath": "IW",
        "orbitNumber_start": item.orbit,
        "orbitNumber_stop": item.orbit,
        "orbitProperties_pass": "ASCENDING" if scene.ascending else "DESCENDING",
        "platform_number": item.platform,
        "productType": "GRD",
        "relativeOrbitNumber_start": item.track,
        "relativeOrbitNumber_stop": item.track,
        "resolution": "H",
        "resolution_meters": 10,
        "simulated": 1,
        "simulated_pixel_meters": int(PIXEL_METRES),
        "sliceNumber": item.slice,
        "transmitterReceiverPolarisation": ["VV", "VH"],
    }


def _scene(product: Product, item: Acquisition) -> Scene:
    geometry = frame(item.track, item.slice)
    bands = (
        *(BandSpec(pol, product.dtype) for pol in POLARISATIONS),
        BandSpec("angle", "float32", grid=geometry.angle_grid),
    )

    def compute(names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
        if "angle" in names:
            angle = incidence(geometry.position(geometry.angle_grid, window)[1])
            return {"angle": (angle, np.ones(window[2:], np.bool_))}
        powers, valid = backscatter(item, names, window)
        stored = {pol: power.astype(np.float32) for pol, power in powers.items()}
        if product.decibels:
            return {pol: (decibel(np.where(valid, power, 1)), valid) for pol, power in stored.items()}
        return {pol: (power, valid) for pol, power in stored.items()}

    return Scene(
        f"{product.id}/{item.index}",
        item.index,
        item.start,
        item.end,
        geometry.grid,
        bands,
        _properties(item),
        geometry.footprint,
        reader(geometry.grid, bands, compute),
    )


@cache
def _by_index() -> Mapping[str, Acquisition]:
    return {item.index: item for item in acquisitions()}


def _slots() -> list[Slot]:
    return [Slot(item.start, item.end, item.index) for item in acquisitions()]


def _dataset(product: Product) -> Dataset:
    scale = "decibels" if product.decibels else "linear power"
    return Dataset(
        product.id,
        "IMAGE_COLLECTION",
        {
            "title": f"Simulated Sentinel-1 ground range detected backscatter, {scale}",
            "simulated": 1,
            "simulated_pixel_meters": int(PIXEL_METRES),
            "simulated_region": "Anhui and 300 km around it; no scenes elsewhere",
        },
        slots=_slots,
        build=lambda slot: _scene(product, _by_index()[slot.index]),
    )


DATASETS = tuple(_dataset(product) for product in PRODUCTS)
