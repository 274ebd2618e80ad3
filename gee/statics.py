"""What does not change in a season: soil texture and terrain.

The paper takes soil from HWSD 1.x, which Earth Engine does not hold, and elevation from SRTM at 90 m; here
SoilGrids stands in for the first unless a user brings HWSD as an asset, and all soils come in percent of mass
of the topsoil (0 to 30 cm), so that one can be put in the place of another. Xu et al. 2024, 2.2.5 and 2.2.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import ee

from gee.catalog import DRAINAGE, GLO30, OPENLANDMAP, SOILGRIDS, SRTM, WGS84, Source, Transform, scaled
from gee.errors import SettingError

PARTS = ("sand", "silt", "clay")
TOPSOIL_CM = 30  # HWSD's topsoil

LAYERS_CM: Mapping[str, int] = MappingProxyType({"0-5cm": 5, "5-15cm": 10, "15-30cm": 15})
"""Thickness of the layers of SoilGrids that make up the topsoil."""

DEPTH_WEIGHTS: Mapping[str, float] = MappingProxyType({"b0": 5, "b10": 15, "b30": 10})
"""Share in cm of each depth of OpenLandMap: the trapezoids between 0, 10 and 30 cm."""

ASSET_BANDS: Mapping[str, str] = MappingProxyType(
    {part: f"^({part}|{part.upper()}|T_{part.upper()})$" for part in PARTS}
)
"""What a user's asset may call its bands, as regular expressions; T_SAND is HWSD's own name."""

ASSET_METRES = 90.0  # no asset of soil is finer; HWSD's pixels are ten times as wide

# Whole metres of elevation over two pixels of 93 m tell no slope below 1 in 185; what is flat to them is not.
LEAST_TANGENT = 0.001

# Verify live: tiles of GLO-30 are 1 arc second tall everywhere, their pixel centres on whole degrees.
GLO30_GRID: Transform = (
    1 / 3600, 0, -180 - 1 / 7200,
    0, -1 / 3600, 90 + 1 / 7200,
)  # fmt: skip


def soil(source: str = "soilgrids") -> ee.Image:
    """Soil texture of the upper 30 cm.

    Args:
        source: ``soilgrids``, ``openlandmap`` or the id of an image asset with three bands in percent named
            ``sand``, ``silt``, ``clay`` (or ``T_SAND``, ``T_SILT``, ``T_CLAY`` as in HWSD).

    Returns:
        Bands ``sand``, ``silt`` and ``clay``, percent of mass, masked where there is no soil.

    Raises:
        SettingError: ``hwsd``, which is no dataset of Earth Engine, or an unknown name.
    """
    if source == "soilgrids":
        return ee.Image(ee.Image.cat([_soilgrids(part) for part in PARTS]))
    if source == "openlandmap":
        sand, clay = _openlandmap("sand"), _openlandmap("clay")
        silt = sand.add(clay).multiply(-1).add(100).rename("silt")
        return ee.Image(ee.Image.cat([sand, silt, clay]))
    if source == "hwsd":
        raise SettingError(
            "Soil: Earth Engine does not hold the texture of HWSD, which the paper uses. Upload its topsoil "
            "sand, silt and clay (%) as an image asset and set soil to the asset's id, "
            'or set soil = "soilgrids".'
        )
    if "/" not in source:
        raise SettingError(
            f'Soil: there is no source "{source}". Choose soilgrids or openlandmap, '
            "or give the id of an image asset with bands sand, silt and clay in %."
        )
    return _asset(source)


def soil_metres(source: str = "soilgrids") -> float:
    """The size of the pixels of ``soil``, m, from which follows how many of them a mean may need.

    Args:
        source: as for ``soil``; an asset is not asked but taken to be as fine as soil maps come.
    """
    pixels = {"soilgrids": SOILGRIDS["sand"].metres, "openlandmap": OPENLANDMAP["sand"].metres}
    return pixels.get(source, ASSET_METRES)


def elevation(source: Literal["srtm", "glo30"] = "srtm") -> ee.Image:
    """Elevation above sea level.

    Args:
        source: ``srtm``, 90 m between 60 degrees south and north, or ``glo30``, 30 m everywhere.

    Returns:
        One band ``dem``, m, on the source's grid.

    Raises:
        SettingError: an unknown name.
    """
    if source == "srtm":
        return ee.Image(scaled(SRTM.image(), SRTM, ["elevation"]).rename("dem"))
    if source == "glo30":
        # A mosaic forgets the grid of its tiles, without which neither slopes nor means can be taken.
        tiles = GLO30.collection().select("DEM").mosaic()
        return ee.Image(tiles.setDefaultProjection(WGS84, list(GLO30_GRID)).rename("dem"))
    raise SettingError(f'Elevation: there is no source "{source}". Choose srtm or glo30.')


def elevation_metres(source: Literal["srtm", "glo30"] = "srtm") -> float:
    """The size of the pixels of ``elevation``, m.

    Args:
        source: as for ``elevation``.
    """
    return GLO30.metres if source == "glo30" else SRTM.metres


def slope(elevation: ee.Image) -> ee.Image:
    """The steepest slope at each pixel of an elevation image, on its own grid.

    Args:
        elevation: one band, m, with a grid of its own.

    Returns:
        One band ``slope``, degrees, masked at pixels without all their neighbours.
    """
    return ee.Image(ee.Terrain.slope(elevation).rename("slope"))


def wetness(elevation: ee.Image) -> ee.Image:
    """The topographic wetness index ln(a / tan b) at each pixel of an elevation image, on its own grid.

    Args:
        elevation: one band, m, with a grid of its own.

    Returns:
        One band ``twi``, logarithm of metres: a is the land that drains through the MERIT Hydro pixel under
        the place for each metre of its width, b the slope, no less than ``LEAST_TANGENT``. Masked at pixels
        without all their neighbours and over the sea.

    Source: Beven and Kirkby 1979, Hydrol. Sci. Bull. 24, 43; upstream area: Yamazaki et al. 2019, Water
    Resour. Res. 55, 5053.
    """
    tangent = slope(elevation).multiply(math.pi / 180).tan().max(LEAST_TANGENT)
    drained = scaled(DRAINAGE.image(), DRAINAGE, ["upa"]).multiply(1e6)
    # A pixel is as wide as the root of its area: towards the poles its meridians draw together.
    width = ee.Image.pixelLonLat().select("latitude").multiply(math.pi / 180).cos().sqrt()
    ratio = tangent.multiply(width.multiply(DRAINAGE.metres)).pow(-1).multiply(drained)
    return ee.Image(ratio.log().setDefaultProjection(elevation.projection()).rename("twi"))


def _soilgrids(part: str) -> ee.Image:
    weights = {f"{part}_{layer}_mean": float(thickness) for layer, thickness in LAYERS_CM.items()}
    return _topsoil(SOILGRIDS[part], weights).rename(part)


def _openlandmap(part: str) -> ee.Image:
    return _topsoil(OPENLANDMAP[part], DEPTH_WEIGHTS).rename(part)


def _topsoil(source: Source, weights: Mapping[str, float]) -> ee.Image:
    """The mean of layers by weight, masked where any is missing."""
    layers = scaled(source.image(), source, list(weights))
    terms = [layers.select(band).multiply(weight / TOPSOIL_CM) for band, weight in weights.items()]
    first, *others = terms
    for term in others:
        first = first.add(term)
    return ee.Image(first)


def _asset(asset_id: str) -> ee.Image:
    """A user's percentages; values that cannot be any, as fill and the zeros of lakes, are masked."""
    texture = ee.Image(asset_id).select([ASSET_BANDS[part] for part in PARTS], list(PARTS))
    possible = texture.gte(0).And(texture.lte(100)).reduce(ee.Reducer.min())
    soil = texture.reduce(ee.Reducer.sum()).gt(0)
    return ee.Image(texture.updateMask(possible.And(soil)))
