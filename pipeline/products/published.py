"""A collection that gee-smap published, read by somebody who was shared it and has nothing else.

The images say themselves what they are, which study and model made them and whether they are simulated; with
SMAP, which every user of Earth Engine can read, they can be held against stations of the reader's own.
Source: ``pipeline.publishing.provenance``, which writes the properties.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gee import assets, comparisons, target
from gee.catalog import Source
from gee.exports import SIMULATED
from gee.target import MOISTURE, SmapBin, in_outage
from pipeline.cloud.asking import answered
from pipeline.errors import ConfigError
from pipeline.products.assets import at_places
from pipeline.products.product import Days, Found
from pipeline.progress import Report
from pipeline.publishing.provenance import PROVISIONAL
from pipeline.tables.titles import DOWNSCALED, SMAP, SMAP_BILINEAR, title

OF_STUDY = ("study", "study_hash", "model_hash", "gee_smap", SIMULATED)  # what every published image says


@dataclass(frozen=True)
class PublishedMaps:
    """The maps of a published collection, a product.

    Attributes:
        asset: id of the collection.
        properties: of the collection: study, hashes of study and model, versions, sources, scores, whether
            simulated.
        days: that have an image, in order.
        notes: what the user should know of the images.
    """

    asset: str
    properties: Mapping[str, Any]
    days: tuple[dt.date, ...]
    notes: tuple[str, ...] = ()
    name: str = DOWNSCALED
    title: str = title(DOWNSCALED)

    @property
    def source(self) -> str:
        """The asset."""
        return self.asset

    @property
    def simulated(self) -> bool:
        """Whether the maps say so of themselves."""
        return bool(self.properties[SIMULATED])

    def outage(self) -> NDArray[np.bool_]:
        """(days,) whether SMAP's radiometer was off."""
        return np.array([in_outage(day) for day in self.days], np.bool_)

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """The maps at places; see ``Product.at``.

        Raises:
            ConfigError: the collection is not shared any more.
            EngineError: the engine refuses or does not answer.
        """
        values = at_places(
            lambda calendar: comparisons.published(self.asset, calendar),
            MOISTURE, places, days, report, metres=None,
        )  # fmt: skip
        return Found(values, self.notes)


@dataclass(frozen=True)
class PublishedSmap:
    """SMAP L4 as Earth Engine holds it, in the version and the hours that published maps were made from.

    Attributes:
        name: ``smap`` or ``smap_bilinear``.
        version: of SMAP L4.
        window: which part of a day.
    """

    name: str
    version: Source
    window: SmapBin

    @classmethod
    def of(cls, maps: PublishedMaps) -> Iterator[PublishedSmap]:
        """Nearest and bilinear; none where the maps do not say what SMAP they were made from."""
        versions = {source.id: source for source in target.VERSIONS.values()}
        windows = {window.label: window for window in target.BINS.values()}
        version = versions.get(str(maps.properties.get("source_smap")))
        window = windows.get(str(maps.properties.get("smap_bin")))
        if version is not None and window is not None:
            for name in (SMAP, SMAP_BILINEAR):
                yield cls(name, version, window)

    @property
    def title(self) -> str:
        """What people call it."""
        return title(self.name)

    @property
    def source(self) -> str:
        """The asset."""
        return self.version.id

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """The pixel of Earth Engine's raster, or between its pixels' centres; see ``Product.at``.

        Raises:
            ConfigError: the asset is not there.
            EngineError: the engine refuses or does not answer.
        """
        bilinear = self.name == SMAP_BILINEAR
        values = at_places(
            lambda calendar: comparisons.smap(calendar, self.version, self.window, bilinear=bilinear),
            MOISTURE, places, days, report,
        )  # fmt: skip
        return Found(values)


def published(asset: str) -> PublishedMaps:
    """Find a published collection and what it says of itself.

    Args:
        asset: ``projects/NAME/assets/...``.

    Raises:
        ConfigError: it is not there, not shared with the account in use, no collection, was not published by
            gee-smap, or has no image.
        EngineError: the engine refuses or does not answer.
    """
    held = answered(assets.find, asset)
    if held is None:
        raise ConfigError(
            f"{asset} does not exist, or you may not read it: mind its spelling, or have its owner share it "
            f"(gee-smap share) with the account in use"
        )
    lacking = [name for name in OF_STUDY if name not in held.properties]
    if held.kind != assets.IMAGE_COLLECTION or lacking:
        raise ConfigError(
            f"{asset} is no collection that gee-smap published"
            + (f" (it does not say its {', '.join(lacking)})" if lacking else "")
            + f": compare it as a product, such as --product mine={asset}"
        )
    images = answered(assets.images, asset)
    days = sorted(
        dt.date.fromisoformat(str(image.properties["date"]))
        for image in images.values()
        if "date" in image.properties
    )
    if not days:
        raise ConfigError(f"{asset} has no image of a day yet: wait until it is published")
    return PublishedMaps(asset, dict(held.properties), tuple(days), tuple(_notes(held.properties, images)))


def _notes(told: Mapping[str, Any], images: Mapping[str, assets.Held]) -> Iterator[str]:
    others = [
        index for index, image in images.items() if image.properties.get("model_hash") != told["model_hash"]
    ]
    if others:
        yield (
            f"{len(others):,} of {len(images):,} images were made by another model than the collection says: "
            "have its owner publish again."
        )
    provisional = sum(bool(image.properties.get(PROVISIONAL)) for image in images.values())
    if provisional:
        yield f"{provisional:,} of {len(images):,} images are provisional: later images may change them."
