"""What a prediction says of each pixel and day: its variables, in the order of the bands of an image.

Soil moisture comes first, so that whoever reads only one band reads that; the others tell what the model said
before it was corrected, how sure it was, and where it knows nothing. All are 32-bit numbers, because the
bands of a GeoTIFF are of one type.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from models.conserving import AROUND, NONE, OWN
from pipeline.tables.titles import CORRECTED, DOWNSCALED, INDEX, INSIDE, LOWER, UNCORRECTED, UPPER

SM, MODEL = DOWNSCALED, UNCORRECTED
HALF_WIDTH = "half_width"  # of the interval; there while a prediction is being made

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


def bands_of(names: Iterable[object]) -> tuple[str, ...]:
    """Those of some names that are bands, in their order."""
    there = frozenset(map(str, names))
    return tuple(name for name in ORDER if name in there)
