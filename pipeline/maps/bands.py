"""What a prediction says of each pixel and day: its variables, in the order of the bands of an image.

Soil moisture comes first, so that whoever reads only one band reads that; the others tell what the model said
before it was corrected, how sure it was, and where it knows nothing. All are 32-bit numbers, because the
bands of a GeoTIFF are of one type.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.conserving import AROUND, NONE, OWN
from pipeline.tables.titles import CORRECTED, DOWNSCALED, INDEX, INSIDE, LOWER, UNCORRECTED, UPPER

SM, MODEL = DOWNSCALED, UNCORRECTED
HALF_WIDTH = "half_width"  # of the interval; there while a prediction is being made
FINGERPRINT = "fingerprint"  # attribute of a prediction: of all that its values follow from
DETAIL = "detail"  # attribute: the share of what the model tells within cells that a corrected map shows
MANTISSA_BITS = 23  # of a 32-bit number

_MOISTURE = {"units": "m3 m-3", "standard_name": "volume_fraction_of_condensed_water_in_soil"}
_SURFACE = "surface soil moisture, 0 to 5 cm, volume of water in the volume of soil"
MEANINGS = MappingProxyType(
    {
        MODEL: "what the model says, before it is corrected to SMAP",
        LOWER: "lower end of the 90 % interval",
        UPPER: "upper end of the 90 % interval",
        INDEX: "dissimilarity to the training samples (Meyer and Pebesma 2021)",
        INSIDE: "1 within the area of applicability, 0 outside",
        CORRECTED: "what the correction rests on: 1 the cell itself, 2 cells around it, 0 nothing",
    }
)
"""Of the bands after the first, for people."""
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    SM: {"long_name": _SURFACE, **_MOISTURE},
    **{name: {"long_name": f"{_SURFACE}: {MEANINGS[name]}", **_MOISTURE} for name in (MODEL, LOWER, UPPER)},
    INDEX: {"long_name": MEANINGS[INDEX], "units": "1"},
    INSIDE: {"long_name": MEANINGS[INSIDE], "flag_values": [0.0, 1.0], "flag_meanings": "outside inside"},
    CORRECTED: {
        "long_name": MEANINGS[CORRECTED],
        "flag_values": [float(NONE), float(OWN), float(AROUND)],
        "flag_meanings": "nothing the_cell_itself cells_around",
    },
    HALF_WIDTH: {"long_name": "half the width of the 90 % interval", "units": "m3 m-3"},
}
ATTRIBUTES = MappingProxyType(
    {name: {**told, "grid_mapping": "spatial_ref"} for name, told in _ATTRIBUTES.items()}
)
"""What each variable says of itself, in the words of CF."""
ORDER = tuple(name for name in ATTRIBUTES if name != HALF_WIDTH)
"""Of the bands of an image."""


KEPT_BITS = MappingProxyType({SM: 13, MODEL: 13, HALF_WIDTH: 10, LOWER: 8, UPPER: 8, INDEX: 8})
"""Bits of the mantissa that numbers keep; what follows them is noise, and packs badly. The ``sm`` of a map
that is not corrected keeps all of them.

13 bits are within 0.000015 m³/m³ below 0.5 and within 0.00003 above, so that means that were kept to 0.00005
stay within 0.0001; 8 bits are within 0.2 % of a number, 0.0005 m³/m³ at an end of an interval of 0.25 to 0.5.
"""


def rounded(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round the numbers of a variable in place to the bits that it keeps, halves to even; NaN stays.

    Returns:
        ``values``.

    Source: Klöwer et al. 2021, doi:10.1038/s43588-021-00156-2.
    """
    if (kept := KEPT_BITS.get(name)) is not None:
        dropped = np.uint32(MANTISSA_BITS - kept)
        word = values.view(np.uint32)
        last = (word >> dropped) & np.uint32(1)
        last += np.uint32((1 << (int(dropped) - 1)) - 1)
        word += last
        word &= np.uint32(0xFFFFFFFF << int(dropped) & 0xFFFFFFFF)
    return values


def bands_of(names: Iterable[object]) -> tuple[str, ...]:
    """Those of some names that are bands, in their order."""
    there = frozenset(map(str, names))
    return tuple(name for name in ORDER if name in there)
