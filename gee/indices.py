"""NDVI, EVI, NDWI and NSDSI of surface reflectance.

All four are ratios, and over shadow, water and noise their denominators come near zero or below, where a
ratio says nothing and can be of any size: so by default such pixels are masked and the rest is held to the
range an index can have. Formulas: Xu et al. 2024, equations 1 to 4; EVI needs reflectance as a share (0..1)
because of the 1 in its denominator.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import ee

MODIS_BANDS: Mapping[str, str] = MappingProxyType(
    {
        "red": "sur_refl_b01",
        "nir": "sur_refl_b02",
        "blue": "sur_refl_b03",
        "green": "sur_refl_b04",
        "swir1": "sur_refl_b06",
        "swir2": "sur_refl_b07",
    }
)
"""The band of MOD09A1 by its role (Xu et al. 2024, 2.2.3; band 5 has no part)."""

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"ndvi": (-1.0, 1.0), "ndwi": (-1.0, 1.0), "nsdsi": (-1.0, 1.0), "evi": (-1.0, 1.5)}
)
"""What a guarded index is clamped to. NDVI and NDWI cannot leave theirs where reflectance is not negative;
EVI exceeds 1 over the densest canopies."""


def ndvi(image: ee.Image, guarded: bool = True) -> ee.Image:
    """Greenness: (nir - red) / (nir + red).

    Args:
        image: reflectance, 0..1, with bands ``nir`` and ``red``.
        guarded: see ``indices``.

    Returns:
        One band ``ndvi``, masked where either band is.
    """
    nir, red = image.select("nir"), image.select("red")
    return _ratio("ndvi", nir.subtract(red), nir.add(red), guarded)


def evi(image: ee.Image, guarded: bool = True) -> ee.Image:
    """Greenness that saturates later: 2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1).

    Args:
        image: reflectance, 0..1, with bands ``nir``, ``red`` and ``blue``.
        guarded: see ``indices``.

    Returns:
        One band ``evi``, masked where any of the three bands is.
    """
    nir, red, blue = image.select("nir"), image.select("red"), image.select("blue")
    below = nir.add(red.multiply(6)).subtract(blue.multiply(7.5)).add(1)
    return _ratio("evi", nir.subtract(red).multiply(2.5), below, guarded)


def ndwi(image: ee.Image, guarded: bool = True) -> ee.Image:
    """Open water (McFeeters): (green - nir) / (green + nir).

    Args:
        image: reflectance, 0..1, with bands ``green`` and ``nir``.
        guarded: see ``indices``.

    Returns:
        One band ``ndwi``, masked where either band is.
    """
    green, nir = image.select("green"), image.select("nir")
    return _ratio("ndwi", green.subtract(nir), green.add(nir), guarded)


def nsdsi(image: ee.Image, guarded: bool = True) -> ee.Image:
    """Moisture of bare soil: (swir1 - swir2) / swir1.

    Args:
        image: reflectance, 0..1, with bands ``swir1`` and ``swir2``.
        guarded: see ``indices``.

    Returns:
        One band ``nsdsi``, masked where either band is.
    """
    swir1, swir2 = image.select("swir1"), image.select("swir2")
    return _ratio("nsdsi", swir1.subtract(swir2), swir1, guarded)


def indices(image: ee.Image, guarded: bool = True) -> ee.Image:
    """All four indices.

    Args:
        image: reflectance, 0..1, with bands ``red``, ``nir``, ``blue``, ``green``, ``swir1`` and ``swir2``.
        guarded: mask pixels whose denominator is not above zero, and clamp the rest to ``RANGES``. Without
            it the formulas alone hold, and Earth Engine gives 0 for a division by zero.

    Returns:
        Bands ``ndvi``, ``ndwi``, ``nsdsi`` and ``evi``, each masked where a band of its formula is.
    """
    return ee.Image.cat([index(image, guarded) for index in (ndvi, ndwi, nsdsi, evi)])


def _ratio(name: str, above: ee.Image, below: ee.Image, guarded: bool) -> ee.Image:
    ratio = above.divide(below)
    if guarded:
        ratio = ratio.updateMask(below.gt(0)).clamp(*RANGES[name])
    return ee.Image(ratio.rename(name))
