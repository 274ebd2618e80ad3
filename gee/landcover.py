"""Land cover: the plant functional types of MCD12Q1 merged into five classes, their shares and water.

At 9 km the most frequent class hides towns and meadows altogether, while at 1 km it shows them, so a model
would meet classes that it never learnt; shares of the five classes mean the same at every scale. The merger
is table 2 of Xu et al. 2024, which also gives the areas in Anhui in 2019; the codes are those of LC_Type5 in
the MCD12 C6.1 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import ee

from gee.catalog import LAND_COVER, scaled

BAND = "LC_Type5"
MAX_PIXELS = 10_000_000_000  # of a region: 463 m pixels of all the land there is, ten times over
LAND = "land"
WATER_LIMIT = 0.5  # share of water from which a pixel or a cell is no land; the paper gives none


@dataclass(frozen=True)
class LandCoverType:
    """A row of table 2.

    Args:
        code: in LC_Type5.
        name: of the plant functional type.
        merged: the class it becomes, a key of ``CLASSES``.
        paper_km2: area in Anhui in 2019.
    """

    code: int
    name: str
    merged: int
    paper_km2: float


CLASSES: Mapping[int, str] = MappingProxyType(
    {0: "water", 1: "forest", 2: "grassland", 3: "cropland", 4: "urban"}
)

TYPES = (
    LandCoverType(0, "water", 0, 4242.68),
    LandCoverType(1, "evergreen needleleaf forest", 1, 17272.22),
    LandCoverType(2, "evergreen broadleaf forest", 1, 11409.17),
    LandCoverType(3, "deciduous needleleaf forest", 1, 14.01),
    LandCoverType(4, "deciduous broadleaf forest", 1, 27420.06),
    LandCoverType(5, "shrub", 1, 0.00),
    LandCoverType(6, "grass", 2, 2532.65),
    LandCoverType(7, "cereal croplands", 3, 45961.34),
    LandCoverType(8, "broadleaf croplands", 3, 26324.97),
    LandCoverType(9, "urban and built-up", 4, 4938.73),
    LandCoverType(10, "permanent snow and ice", 4, 0.00),
    LandCoverType(11, "non-vegetated lands", 4, 8.01),
)

FRACTIONS = tuple(f"LC_{code}" for code in CLASSES)


def year_used(year: int) -> int:
    """The year whose map stands for a year: itself, or the nearest one that there is."""
    latest = min(year, LAND_COVER.end.year) if LAND_COVER.end else year
    return max(latest, LAND_COVER.start.year)


def types(year: int) -> ee.Image:
    """The plant functional types of a year, before they are merged.

    Args:
        year: any; see ``year_used``.

    Returns:
        One band ``pft``, code 0..11, at 463 m; masked where the product has no class.
    """
    used = year_used(year)
    yearly = LAND_COVER.collection().filterDate(f"{used}-01-01", f"{used + 1}-01-01")
    return scaled(ee.Image(yearly.first()), LAND_COVER, [BAND]).rename("pft")


def classes(year: int) -> ee.Image:
    """The five classes of a year.

    Args:
        year: any; see ``year_used``.

    Returns:
        One band ``lc``, code 0..4 of ``CLASSES``, at 463 m; masked where the product has no class.
    """
    codes = [row.code for row in TYPES]
    return ee.Image(types(year).remap(codes, [row.merged for row in TYPES]).rename("lc"))


def fractions(lc: ee.Image) -> ee.Image:
    """The share of each class in each pixel of a class map: 0 or 1, so that means of them are shares.

    Args:
        lc: one band with codes 0..4.

    Returns:
        Bands ``LC_0`` to ``LC_4``, masked as ``lc``. Averaged over any area they sum to 1.
    """
    return ee.Image(ee.Image.cat([lc.eq(code) for code in CLASSES]).rename(FRACTIONS))


def majority(fractions: ee.Image) -> ee.Image:
    """The class with the largest share, of equal ones that with the lowest code.

    Args:
        fractions: bands ``LC_0`` to ``LC_4`` at any scale.

    Returns:
        One band ``lc``, masked where any share is.
    """
    shares = fractions.select(FRACTIONS)
    largest = shares.gte(shares.reduce(ee.Reducer.max()))
    # The lowest code gets the highest rank, and the highest rank among the largest shares wins.
    ranks = [len(CLASSES) - code for code in CLASSES]
    rank = largest.multiply(ee.Image.constant(ranks)).reduce(ee.Reducer.max())
    complete = shares.mask().reduce(ee.Reducer.min())
    return ee.Image(rank.multiply(-1).add(len(CLASSES)).updateMask(complete).toByte().rename("lc"))


def land(
    fractions: ee.Image, rule: Literal["fraction", "majority"] = "fraction", limit: float = WATER_LIMIT
) -> ee.Image:
    """Where there is land enough for soil moisture.

    Args:
        fractions: bands ``LC_0`` to ``LC_4`` at any scale.
        rule: ``fraction``, the share of water stays below the limit, or ``majority``, another class than
            water has the largest share.
        limit: share of water from which a pixel is left out, above 0 and at most 1.

    Returns:
        One band ``land``, 1 or 0, masked where the land cover is unknown.
    """
    dry = majority(fractions).neq(0) if rule == "majority" else fractions.select("LC_0").lt(limit)
    return ee.Image(dry.rename(LAND))


def areas(image: ee.Image, region: ee.Geometry) -> ee.Dictionary:
    """The area of every code of a class map within a region, on the pixels of MCD12Q1.

    Args:
        image: one band of whole codes: ``classes`` or ``types``.
        region: pixels count with the share of them that lies inside.

    Returns:
        Square kilometres by code as text ("0", "1"); a code that does not occur is absent.
    """
    square_km = ee.Image.pixelArea().divide(1e6).addBands(image.rename("code"))
    sums = square_km.reduceRegion(
        reducer=ee.Reducer.sum().group(groupField=1, groupName="code"),
        geometry=region,
        crs=LAND_COVER.crs,
        crsTransform=list(LAND_COVER.transform or ()),
        maxPixels=MAX_PIXELS,
    )
    groups = ee.List(sums.get("groups"))
    codes = groups.map(lambda group: ee.Number(ee.Dictionary(group).get("code")).format("%d"))
    return ee.Dictionary.fromLists(codes, groups.map(lambda group: ee.Dictionary(group).get("sum")))
