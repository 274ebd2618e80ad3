"""``ImageCollection.*`` where no bands are touched: loading, listing, merging."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gee.local.algorithms.collections import merged, of_list
from gee.local.context import current
from gee.local.registry import algorithm, promotion
from gee.local.values import Collection


@promotion("ImageCollection")
def to_image_collection(value: Any) -> Collection:
    """A collection, taken for one of images."""
    if not isinstance(value, Collection):
        raise TypeError
    return value if value.images else replace(value, images=True)


@algorithm("ImageCollection.load")
def _load(asset_id: str, version: int | None) -> Any:
    return current().library.collection(asset_id)


@algorithm("ImageCollection.fromImages")
def _from_images(images: list[Any]) -> Collection:
    return of_list(images, images=True)


algorithm("ImageCollection.merge")(merged)
