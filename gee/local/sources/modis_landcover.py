"""MCD12Q1: land cover of each year in five legends, all told from the plant functional type.

The nature run knows twelve plant functional types (legend 5); the other legends follow by the table below and
so are coarser than the real ones: there are no savannas, wetlands or mosaics. Codes: MCD12 C6.1 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import DAY_MS, BandSpec, Dataset, Pixels, Slot, Window
from gee.local.sources.grids import MODIS_500M
from gee.local.sources.modis import collection, yearly
from gee.local.sources.modis_ground import ground
from gee.local.sources.nature import landcover, vegetation

ID = "MODIS/061/MCD12Q1"

# By LC_Type5 code 0 to 11: water, needle and broad evergreen, needle and broad deciduous, shrub, grass,
# cereal and broadleaf crops, urban, snow, barren.
LEGENDS = {
    "LC_Type1": (17, 1, 2, 3, 4, 7, 10, 12, 12, 13, 15, 16),  # IGBP
    "LC_Type2": (0, 1, 2, 3, 4, 7, 10, 12, 12, 13, 15, 15),  # University of Maryland
    "LC_Type3": (0, 7, 5, 8, 6, 2, 1, 1, 3, 10, 9, 9),  # biomes of the LAI algorithm
    "LC_Type4": (0, 1, 2, 3, 4, 6, 6, 6, 5, 8, 7, 7),  # BGC: annual broadleaf 5, annual grass 6
    "LC_Type5": tuple(range(12)),
    "LC_Prop1": (3, 11, 12, 13, 14, 41, 31, 31, 31, 1, 2, 1),  # FAO land cover
    "LC_Prop2": (3, 10, 10, 10, 10, 40, 30, 36, 36, 9, 2, 1),  # FAO land use
    "LC_Prop3": (3, 10, 10, 10, 10, 40, 30, 30, 30, 1, 2, 1),  # FAO surface hydrology
}
ASSESSMENTS = ("LC_Prop1_Assessment", "LC_Prop2_Assessment", "LC_Prop3_Assessment")  # confidence, %
NAMES = (*tuple(LEGENDS)[:5], *ASSESSMENTS, *tuple(LEGENDS)[5:], "QC", "LW")
BANDS = tuple(BandSpec(name, "uint8", pyramiding="MEAN" if name in ASSESSMENTS else "MODE") for name in NAMES)


def _compute(slot: Slot, names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
    pixels = ground(MODIS_500M, window)
    codes = pixels.canopy(vegetation.year_of(slot.start // DAY_MS)).codes
    water = codes == landcover.WATER
    found = {}
    for name in names:
        if name in LEGENDS:
            found[name] = np.array(LEGENDS[name])[codes]
        elif name in ASSESSMENTS:
            found[name] = np.rint(
                55 + 45 * pixelnoise.uniform(window, pixelnoise.seed_of(ID, slot.index, name))
            )
        elif name == "LW":
            found[name] = np.where(water, 1, 2)
        else:
            found[name] = np.where(water, 2, 0)  # 0 classified land, 2 classified water
    return {name: (values, pixels.on_earth) for name, values in found.items()}


DATASETS: tuple[Dataset, ...] = (
    collection(ID, "land cover of each year, 500 m", MODIS_500M, BANDS, yearly, _compute),
)
