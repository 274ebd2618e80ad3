"""The simulated catalogue: every dataset of the nature run, by asset id.

What a simulated sensor shows has the form of the real product and none of its content, so all of these carry
the property ``simulated`` and a title that begins with the word.
"""

from __future__ import annotations

from collections.abc import Mapping

from gee.local.sources import (
    copernicus_dem,
    modis_albedo,
    modis_landcover,
    modis_leaves,
    modis_reflectance,
    modis_temperature,
    sentinel1,
    smap,
    surface,
)
from gee.local.sources.boundary import BOUNDARIES
from gee.local.sources.dataset import Dataset

PUBLIC = "projects/earthengine-public/assets/"

DATASETS: Mapping[str, Dataset] = {
    dataset.id: dataset
    for dataset in (
        *smap.DATASETS,
        *modis_reflectance.DATASETS,
        *modis_temperature.DATASETS,
        *modis_leaves.DATASETS,
        *modis_albedo.DATASETS,
        *modis_landcover.DATASETS,
        *sentinel1.DATASETS,
        *surface.DATASETS,
        copernicus_dem.DATASET,
        BOUNDARIES,
    )
}


def find(asset_id: str) -> Dataset | None:
    """The simulated dataset of that id, with or without the public assets' prefix; None if there is none."""
    return DATASETS.get(asset_id.removeprefix(PUBLIC))
