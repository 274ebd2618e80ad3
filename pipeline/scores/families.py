"""Which products share errors: a table of families, and why three products are refused or taken.

Triple collocation asks for errors that have nothing to do with each other. Whatever was made of SMAP, or has
learnt from it, carries SMAP's errors; whatever has learnt from probes may carry theirs; and of a product of
the user's own nobody but the user knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

from pipeline.scores.series import INSITU
from pipeline.tables.titles import (
    DOWNSCALED,
    NSIDC,
    SMAP,
    SMAP_BILINEAR,
    SMCI,
    UNCORRECTED,
    WHOLE,
    title,
)


@dataclass(frozen=True)
class Family:
    """Where a product's errors come from.

    Attributes:
        name: products of one family share errors.
        why: they do.
        of_stations: whether it has learnt from probes, so that a station's errors may be in it.
    """

    name: str
    why: str
    of_stations: bool = False


SMAP_FAMILY = "SMAP"
_LEARNT = "has learnt to reproduce SMAP L4, so SMAP's errors are in it"
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        INSITU: Family("probe", "is the probe's"),
        DOWNSCALED: Family(SMAP_FAMILY, _LEARNT),
        UNCORRECTED: Family(SMAP_FAMILY, _LEARNT),
        WHOLE: Family(SMAP_FAMILY, _LEARNT),
        "xgboost": Family(SMAP_FAMILY, _LEARNT),
        "lightgbm": Family(SMAP_FAMILY, _LEARNT),
        "catboost": Family(SMAP_FAMILY, _LEARNT),
        SMAP: Family(SMAP_FAMILY, "is SMAP L4"),
        SMAP_BILINEAR: Family(SMAP_FAMILY, "is SMAP L4, interpolated"),
        NSIDC: Family(SMAP_FAMILY, "is downscaled from SMAP's radiometer, which SMAP L4 assimilates"),
        SMCI: Family("SMCI", "has learnt from 1,789 stations in China (doi:10.5194/essd-14-5267-2022)", True),
    }
)
"""Family of each product that the project knows; of any other the user has to say."""


def dependent(products: Sequence[str], independent: Collection[str] = ()) -> list[str]:
    """Why triple collocation of these products is refused, a sentence for each pair; empty where it is not.

    Args:
        products: columns of the table of predictions, and ``insitu`` for the probe.
        independent: those whose errors, the user says, have nothing to do with the others'. It cannot make
            two products of SMAP's family independent.
    """
    found = []
    for name in products:
        if name not in FAMILIES and name not in independent:
            found.append(
                f"whether the errors of {name} have nothing to do with those of the others only you know: "
                f"declare {name} independent if so"
            )
    for one, other in combinations(products, 2):
        if one == other:
            found.append(f"{named(one)} is named twice")
            continue
        first, second = FAMILIES.get(one), FAMILIES.get(other)
        if first and second and first.name == second.name:
            found.append(
                f"{named(one)} and {named(other)} are not independent: {named(one)} {first.why}, and "
                f"{named(other)} {second.why}"
            )
        for name, family, beside in ((one, first, other), (other, second, one)):
            if family and family.of_stations and beside == INSITU and name not in independent:
                found.append(
                    f"{named(name)} {family.why}: declare {name} independent if yours are none of them"
                )
    return found


def named(product: str) -> str:
    """What people call a product, or the probe."""
    return "In situ" if product == INSITU else title(product)
