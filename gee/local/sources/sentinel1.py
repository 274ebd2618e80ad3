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

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import (
    DAY_MS,
    BandSpec,
    Dataset,
    Pixels,
    RasterGrid,
    Scene,
    Slot,
    Window,
    reader,
)
from gee.local.sources.grids import lonlat
from gee.local.sources.nature import landcover, moisture, noise, terrain, vegetation
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
NEIGHBOURS = ((0.011, 0.0), (-0.011, 0.0), (0.0, 0.01), (0.0, -0.01))  # degrees to the next 1 km cells
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
    cosine = np.cos(np.radians(angle))
    passed = np.exp(-2 * pol.opacity * leaves / cosine)
    soil = (
        power_of(pol.dry + pol.per_moisture * moist + rough) * (cosine / np.cos(np.radians(38.0))) ** pol.fall
    )
    return np.asarray(gain * pol.plants * cosine * (1 - passed) + passed * soil)


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
    flat = np.radians(angle)
    facing = flat - np.arctan(rise)
    local = (np.cos(flat) + rise * np.sin(flat)) / np.sqrt(1 + rise**2 + tilt**2)
    area = np.sin(flat) / np.sin(np.clip(facing, np.radians(8.0), np.pi / 2))
    factor = np.clip(area * np.clip(local, 0, 1) / np.cos(flat), WEAKEST, STRONGEST)
    return np.where(facing > np.radians(SHADOW), WEAKEST, factor)


def _land_moisture(lon: Floats, lat: Floats, day: int) -> Floats:
    """The truth of the cell under each pixel; on a shore, if that cell is water, of a land cell beside it."""
    moist = moisture.soil_moisture(lon, lat, day).astype(np.float64)
    for east, north in NEIGHBOURS:
        hole = np.isnan(moist)
        if hole.any():
            moist[hole] = moisture.soil_moisture(lon[hole] + east, lat[hole] + north, day)
    return np.where(np.isnan(moist), SHORE_MOISTURE, moist)


def _slopes(grid: RasterGrid, window: Window) -> tuple[Floats, Floats]:
    """Tangents of the slope to the east and to the north, from heights 100 m around each pixel."""
    padded = Window(window.row - 1, window.col - 1, window.height + 2, window.width + 2)
    height = terrain.elevation(*lonlat(grid, padded)).astype(np.float64)
    east = (height[1:-1, 2:] - height[1:-1, :-2]) / (2 * PIXEL_METRES)
    north = (height[:-2, 1:-1] - height[2:, 1:-1]) / (2 * PIXEL_METRES)
    return east, north


def backscatter(
    item: Acquisition, pols: Sequence[str], window: Window
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Sigma nought (power, float64) by polarisation and where the scene has data."""
    scene = frame(item.track, item.slice)
    along, across = scene.position(scene.grid, window)
    valid = (along >= 0) & (along < 1) & (across >= 0) & (across < 1)
    if not valid.any():
        return {pol: np.zeros(window[2:]) for pol in pols}, valid
    angle = incidence(across)
    lon, lat = lonlat(scene.grid, window)
    day = item.start // DAY_MS
    year = vegetation.year_of(day)
    cover = landcover.pft(lon, lat, year)
    water = terrain.water(lon, lat) | (cover == 0)
    moist = _land_moisture(lon, lat, day)
    woods = np.isin(cover, FOREST)
    leaves = vegetation.canopy(lon, lat, year, cover).lai(day).astype(np.float64) + WOODY_LAI * woods
    gain = np.where(woods, WOODY_GAIN, 1.0)
    x, y = noise.plane(lon, lat)
    rough = 0.9 * noise.fractal(x, y, 2.0, 3, seed=7_100).astype(np.float64)
    wind = 1.5 * noise.drifting(x / 40, y / 40, day / 2.0, seed=7_200).astype(np.float64)
    east, north = _slopes(scene.grid, window)
    look = scene.look
    relief = terrain_factor(east * look[0] + north * look[1], east * look[1] - north * look[0], angle)
    built = pixelnoise.normal_at(*_ground_indices(lon, lat), seed=7_300)
    edge = _edge_power(item, scene, across, window)
    found = {}
    for pol in pols:
        numbers = POLARISATIONS[pol]
        power = soil_and_plants(numbers, moist, leaves, angle, rough, gain) * relief
        power = np.where(cover == 9, 0.35 * power + 0.65 * power_of(numbers.urban + 2.5 * built), power)
        open_water = power_of(numbers.water + wind - 0.45 * (angle - 38.0))
        power = np.where(water, open_water, power) * edge + power_of(NOISE_DB) * edge
        found[pol] = power * pixelnoise.speckle(window, pixelnoise.seed_of(item.index, pol), LOOKS)
    return found, valid


def _ground_indices(lon: Floats, lat: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of 4-second cells on the ground: a building is where it is, whichever scene sees it."""
    return np.floor(lat * 900).astype(np.int64), np.floor(lon * 900).astype(np.int64)


def _edge_power(item: Acquisition, scene: Frame, across: Floats, window: Window) -> Floats:
    """Factor of power that darkens the edges at near and far range."""
    depth = BORDER_BEFORE if item.start < BORDER_FIXED else BORDER_AFTER
    inward = np.minimum(across, 1 - across) * scene.width
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
