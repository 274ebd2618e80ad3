"""MOD15A2H: leaf area and absorbed light over eight days, with backup retrievals and fill codes.

Values above 100 are no leaf areas but say why there is none (250 is built-up land), and they stay in the
pixels; who averages without masking them gets forests in the towns. Codes and bits: MOD15 C6.1 user
guide (Myneni and Park), tables 3 to 6.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gee.local.sources import pixelnoise
from gee.local.sources.dataset import DAY_MS, BandSpec, Dataset, Pixels, Slot, Window
from gee.local.sources.grids import MODIS_500M
from gee.local.sources.modis import Sky, best_view, collection, eight_daily, packed
from gee.local.sources.modis_ground import ground
from gee.local.sources.nature import landcover, vegetation

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

ID = "MODIS/061/MOD15A2H"
FILL_CODES = {landcover.WATER: 254, landcover.BARREN: 253, landcover.SNOW: 252, landcover.URBAN: 250}
BACKUP_SPREAD = 248  # of the standard deviations: the backup method has none
SATURATED = 5.5  # LAI beyond which reflectance tells little
HAZE_LIMIT = 1.6  # beyond it the main algorithm fails
MAIN_ERROR, BACKUP_ERROR = 0.09, 0.28  # relative
BACKUP_LOSS = 0.88  # backup retrievals come out low, from pixels with cloud left in them

BANDS = (
    BandSpec("Fpar_500m", "uint8", 0, 255),
    BandSpec("Lai_500m", "uint8", 0, 255),
    BandSpec("FparLai_QC", "uint8", pyramiding="MODE"),
    BandSpec("FparExtra_QC", "uint8", pyramiding="MODE"),
    BandSpec("FparStdDev_500m", "uint8", 0, 255),
    BandSpec("LaiStdDev_500m", "uint8", 0, 255),
)


def fill_codes(codes: NDArray[np.uint8]) -> Codes:
    """The fill code of each pixel by its land cover; 0 where leaf area is retrieved."""
    table = np.zeros(256, np.int64)
    for code, fill in FILL_CODES.items():
        table[code] = fill
    return table[codes]


def retrieval(sky: Sky, leaves: Floats, fill: Codes) -> Codes:
    """SCF_QC: 0 main, 1 main with saturation, 2 backup for geometry, 3 backup for other reasons, 4 none."""
    tilted = np.abs(sky.view.zenith) > 62
    path = np.where(leaves > SATURATED, 1, 0)
    path = np.where(sky.cloudy | sky.shaded | (sky.haze > HAZE_LIMIT), 3, np.where(tilted, 2, path))
    return np.where(fill > 0, 4, path)


def _compute(slot: Slot, names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
    pixels = ground(MODIS_500M, window)
    first, end = slot.start // DAY_MS, slot.end // DAY_MS
    standing = pixels.canopy(vegetation.year_of(first))
    sky = best_view(pixels.lon, pixels.lat, range(first, end))
    leaves = standing.lai((first + end) // 2).astype(np.float64)
    fill = fill_codes(standing.codes)
    path = retrieval(sky, leaves, fill)
    backup = path >= 2
    draws = pixelnoise.normal(window, pixelnoise.seed_of(ID, slot.index))
    spread = np.where(backup, BACKUP_ERROR, MAIN_ERROR) * leaves + 0.05
    seen = np.clip(np.where(backup, BACKUP_LOSS, 1.0) * leaves + spread * draws, 0, 10)
    light = np.clip(1 - np.exp(-0.55 * seen), 0, 1)
    cloud = np.where(sky.cloudy, np.where(sky.beside, 2, 1), 0)

    def coded(values: Floats, none: Codes | None = None) -> Codes:
        counts = np.rint(values).astype(np.int64)
        counts = counts if none is None else np.where(backup, none, counts)
        return np.where(fill > 0, fill, counts)

    no_spread = np.full(fill.shape, BACKUP_SPREAD)
    found = {
        "Lai_500m": coded(10 * seen),
        "Fpar_500m": coded(100 * light),
        "LaiStdDev_500m": coded(np.clip(10 * spread, 1, 100), no_spread),
        "FparStdDev_500m": coded(np.clip(100 * 0.55 * spread * (1 - light), 1, 100), no_spread),
        "FparLai_QC": packed(((0, backup), (3, cloud), (5, path))),
        "FparExtra_QC": packed(
            (
                (0, np.where(standing.codes == landcover.WATER, 2, 0)),
                (2, standing.codes == landcover.SNOW),
                (3, sky.haze > 1.1),
                (4, (sky.haze > 1.5) & ~sky.cloudy),
                (5, sky.cloudy),
                (6, sky.shaded),
                (7, ~np.isin(standing.codes, (1, 2, 3, 4))),
            )
        ),
    }
    valid = pixels.on_earth & sky.view.seen
    return {name: (found[name], valid) for name in names}


DATASETS: tuple[Dataset, ...] = (
    collection(ID, "Terra leaf area index and FPAR, 8 days, 500 m", MODIS_500M, BANDS, eight_daily, _compute),
)
