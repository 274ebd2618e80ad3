"""Which pixels are good: the quality bits of each product as a table, and the masks made of it.

Cloud, haze and failed retrievals are flagged in packed integers whose layout differs from product to product,
so a mask is never written out but read from rows of (band, first bit, last bit, accepted values). Layouts are
those of the user guides of MOD09, MOD11, MOD15 and MCD43 (collection 6.1); Xu et al. 2024, section 3.1, ask
for the filter without saying how strict, hence the presets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Literal

import ee

from gee.catalog import ALBEDO, LAI, LST, LST_RANGE, REFLECTANCE, SENTINEL1, SENTINEL1_DB, Source

Preset = Literal["balanced", "strict"]
Orbit = Literal["ascending", "descending", "both"]

EDGE_DB = -30.0  # below it Sentinel-1's VV is noise at a scene's edge (Earth Engine's Sentinel-1 guide)
_EDGE = {SENTINEL1.name: 10 ** (EDGE_DB / 10), SENTINEL1_DB.name: EDGE_DB}


@dataclass(frozen=True)
class BitField:
    """Neighbouring bits of a quality band, and what they may say of a good pixel.

    Attributes:
        band: of the source.
        first: lowest bit, counted from 0.
        last: highest bit, itself included.
        accepted: values, after shifting to bit 0, that a good pixel may have.
        meaning: of the accepted values.
    """

    band: str
    first: int
    last: int
    accepted: tuple[int, ...]
    meaning: str


Rule = tuple[tuple[BitField, ...], ...]
"""Alternatives; a pixel is good where every field of at least one of them is accepted."""

_STATE = (
    BitField("StateQA", 0, 1, (0, 3), "cloud state clear, or not set and assumed clear"),
    BitField("StateQA", 2, 2, (0,), "no cloud shadow"),
    BitField("StateQA", 8, 9, (0, 1), "cirrus none or small"),
    BitField("StateQA", 10, 10, (0,), "no cloud by the internal algorithm"),
    BitField("StateQA", 12, 12, (0,), "no snow or ice (MOD35)"),
    BitField("StateQA", 15, 15, (0,), "no snow by the internal algorithm"),
    BitField("QA", 0, 1, (0, 1), "product made, ideal or less than ideal"),
)
_STATE_STRICT = (
    *_STATE,
    BitField("StateQA", 6, 7, (0, 1, 2), "aerosol climatology, low or average"),
    BitField("StateQA", 13, 13, (0,), "not beside a cloud"),
)
# Four bits a band from bit 2 on; band 5 is not used, and Terra's detectors of it are noisy.
_BANDS_HIGHEST = tuple(
    BitField("QA", 4 * number - 2, 4 * number + 1, (0,), f"band {number} of highest quality")
    for number in (1, 2, 3, 4, 6, 7)
)


def _temperature_good(word: str) -> tuple[BitField, ...]:
    return (BitField(word, 0, 1, (0,), "good quality, no need to look further"),)


def _temperature_usable(word: str) -> tuple[BitField, ...]:
    return (
        BitField(word, 0, 1, (1,), "made, of other quality"),
        BitField(word, 4, 5, (0, 1), "emissivity error at most 0.02"),
        BitField(word, 6, 7, (0, 1), "temperature error at most 2 K"),
    )


_LEAVES = (
    BitField("FparLai_QC", 0, 0, (0,), "main algorithm"),
    BitField("FparLai_QC", 2, 2, (0,), "detectors fine"),
    BitField("FparLai_QC", 3, 4, (0, 3), "no significant cloud, or assumed so"),
    BitField("FparLai_QC", 5, 7, (0, 1), "main algorithm, with or without saturation"),
    BitField("FparExtra_QC", 2, 2, (0,), "no snow or ice"),
    BitField("FparExtra_QC", 5, 5, (0,), "no cloud by the internal mask"),
    BitField("FparExtra_QC", 6, 6, (0,), "no cloud shadow"),
)
_LEAVES_STRICT = (
    *_LEAVES,
    BitField("FparExtra_QC", 3, 3, (0,), "aerosol low"),
    BitField("FparExtra_QC", 4, 4, (0,), "no cirrus"),
)

_INVERSION = "BRDF_Albedo_Band_Mandatory_Quality_shortwave"
# The word of a pixel without retrieval is 255: bits 3-7 tell it from 7, which has a meaning in other bands.
FULL_INVERSION: Rule = (
    (
        BitField(_INVERSION, 0, 2, (0,), "full inversion"),
        BitField(_INVERSION, 3, 7, (0,), "not fill"),
    ),
)
ANY_INVERSION: Rule = (
    (
        BitField(_INVERSION, 0, 2, (0, 1), "full or magnitude inversion"),
        BitField(_INVERSION, 3, 7, (0,), "not fill"),
    ),
)

PRESETS: Mapping[Preset, Mapping[str, Rule]] = MappingProxyType(
    {
        "balanced": MappingProxyType(
            {
                REFLECTANCE.name: (_STATE,),
                LST.name: (_temperature_good("QC_Day"), _temperature_usable("QC_Day")),
                LST_RANGE.name: tuple(
                    (*day("QC_Day"), *night("QC_Night"))
                    for day in (_temperature_good, _temperature_usable)
                    for night in (_temperature_good, _temperature_usable)
                ),
                LAI.name: (_LEAVES,),
                ALBEDO.name: FULL_INVERSION,
            }
        ),
        "strict": MappingProxyType(
            {
                REFLECTANCE.name: ((*_STATE_STRICT, *_BANDS_HIGHEST),),
                LST.name: (_temperature_good("QC_Day"),),
                LST_RANGE.name: ((*_temperature_good("QC_Day"), *_temperature_good("QC_Night")),),
                LAI.name: (_LEAVES_STRICT,),
                ALBEDO.name: FULL_INVERSION,
            }
        ),
    }
)


def bits(image: ee.Image, first: int, last: int) -> ee.Image:
    """Some bits of an integer image, shifted down to bit 0.

    Args:
        image: of integers of up to 32 bits.
        first: lowest bit, counted from 0.
        last: highest bit, itself included.

    Returns:
        The same bands, 0 to 2^(last - first + 1) - 1, 64-bit; masked as the image.
    """
    # In 64 bits, because a 32-bit word with bit 31 set is a negative number to a signed shift.
    return ee.Image(image.toInt64().rightShift(first).bitwiseAnd(2 ** (last - first + 1) - 1))


def accepted(image: ee.Image, rule: Rule) -> ee.Image:
    """Where a rule holds.

    Args:
        image: with the bands of the rule.
        rule: alternatives of fields.

    Returns:
        Band ``clear``, 1 or 0; masked where a quality band that the rule reads is.
    """

    def field(row: BitField) -> ee.Image:
        found = bits(image.select(row.band), row.first, row.last)
        return reduce(lambda one, other: one.Or(other), map(found.eq, row.accepted))

    def alternative(rows: Sequence[BitField]) -> ee.Image:
        return reduce(lambda one, other: one.And(other), map(field, rows))

    return ee.Image(reduce(lambda one, other: one.Or(other), map(alternative, rule)).rename("clear"))


def clear(image: ee.Image, source: Source, preset: Preset) -> ee.Image:
    """Where the quality bits of a source's image are those of a preset.

    Args:
        image: one image of the source.
        source: reflectance, lst, lst_range, lai or albedo.
        preset: how strict.

    Returns:
        Band ``clear``, 1 or 0; masked where the quality bands are.

    Raises:
        KeyError: the source has no quality bits.
    """
    return accepted(image, PRESETS[preset][source.name])


def masked(image: ee.Image, source: Source, preset: Preset) -> ee.Image:
    """The image, masked where :func:`clear` is 0 or masked; time and properties are kept."""
    return ee.Image(image.updateMask(clear(image, source, preset)))


def sentinel1_scenes(collection: ee.ImageCollection, orbit: Orbit = "ascending") -> ee.ImageCollection:
    """Those Sentinel-1 scenes that are comparable: interferometric wide swath with VV and VH.

    Args:
        collection: of Sentinel-1 GRD scenes.
        orbit: passes wanted; ascending ones are of the evening, descending ones of the morning, and the two
            look at slopes from opposite sides.

    Returns:
        The scenes that fit, unchanged.

    Source: Xu et al. 2024 section 2.2.4.
    """
    wanted = [
        ee.Filter.eq("instrumentMode", "IW"),
        ee.Filter.listContains("transmitterReceiverPolarisation", "VV"),
        ee.Filter.listContains("transmitterReceiverPolarisation", "VH"),
    ]
    if orbit != "both":
        wanted.append(ee.Filter.eq("orbitProperties_pass", orbit.upper()))
    return ee.ImageCollection(collection.filter(ee.Filter.And(*wanted)))


def edges(image: ee.Image, source: Source = SENTINEL1) -> ee.Image:
    """Mask what is left of the noise at a scene's edge, where VV lies below -30 dB.

    Args:
        image: scene with VV.
        source: tells linear power (default) from dB.

    Returns:
        The same bands, masked where VV is below the limit or masked.
    """
    return ee.Image(image.updateMask(image.select("VV").gte(_EDGE[source.name])))
