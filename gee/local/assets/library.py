"""Where expressions find assets: the store's records, what they hold, and the simulated catalogue.

Rights are the caller's: whatever an expression loads is asked of the store first, which knows what is
there and who may read it. A mounted or stored asset wins over the catalogue's of the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gee.local.assets.descriptions import SceneDescription, describe_dataset
from gee.local.assets.iam import Identity
from gee.local.assets.listing import Query
from gee.local.assets.names import AssetName
from gee.local.assets.records import IMAGE, IMAGE_COLLECTION, TABLE, Asset
from gee.local.assets.store import AssetStore
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.raster.images import Image
from gee.local.raster.scenes import image_from_scene
from gee.local.sources.dataset import Dataset
from gee.local.values import Collection, Feature

Find = Callable[[str], Dataset | None]
"""The dataset of an id, from the catalogue."""


class Stored(Protocol):
    """Opens what the store keeps."""

    def image(self, asset: Asset) -> Image:
        """The image of a stored or mounted raster."""

    def table(self, asset: Asset) -> Collection:
        """The features of a stored or mounted table."""


def describe(find: Find, asset_id: str) -> Mapping[str, Any] | None:
    """The record of an asset of the catalogue, for the store; None where there is none."""
    dataset = find(asset_id)
    if dataset is not None:
        return describe_dataset(dataset)
    parent, _, index = asset_id.rpartition("/")
    dataset = find(parent)
    if dataset is None or dataset.kind != IMAGE_COLLECTION:
        return None
    try:
        return SceneDescription(dataset.scene(index))
    except KeyError:
        return None


def children(find: Find, asset_id: str) -> Iterable[Mapping[str, Any]]:
    """The records of a catalogue collection's images, for the store."""
    dataset = find(asset_id)
    if dataset is None or dataset.kind != IMAGE_COLLECTION:
        return ()
    return (SceneDescription(scene) for scene in dataset.scenes())


@dataclass(frozen=True)
class StoreLibrary:
    """The assets one caller can read.

    Args:
        store: of all assets.
        stored: opens contents.
        find: the catalogue.
        caller: whose rights hold.
    """

    store: AssetStore
    stored: Stored
    find: Find
    caller: Identity

    def image(self, asset_id: str) -> Image:
        """The image of an id.

        Raises:
            EngineError: there is none that the caller may read, or it is something else.
        """
        asset = self._asset(asset_id, IMAGE)
        return self._open(asset)

    def _open(self, asset: Asset) -> Image:
        if not asset.in_catalogue:
            return self.stored.image(asset)
        dataset = self.find(asset.id)
        if dataset is not None:
            [scene] = dataset.scenes()
        else:
            parent, _, index = asset.id.rpartition("/")
            holder = self.find(parent)
            assert holder is not None  # noqa: S101 - the store found it through the same catalogue
            scene = holder.scene(index)
        return image_from_scene(scene)

    def collection(self, asset_id: str) -> Collection:
        """The image collection of an id, its images made as they are asked for.

        Raises:
            EngineError: there is none that the caller may read, or it is something else.
        """
        asset = self._asset(asset_id, IMAGE_COLLECTION)
        properties = {"system:id": asset.id, **asset.properties}
        dataset = self.find(asset.id) if asset.in_catalogue else None
        if dataset is not None:
            return collection_of(dataset, properties)
        return Collection(
            {**properties, "system:version": asset.version}, self._images_of(asset), images=True
        )

    def _images_of(self, asset: Asset) -> Iterable[Image]:
        token: str | None = None
        while True:
            page = self.store.list_assets(asset.name, self.caller, Query(page_token=token, view="FULL"))
            yield from (self._open(child) for child in page.assets if child.type == IMAGE)
            token = page.next_page_token
            if not token:
                return

    def table(self, asset_id: str) -> Collection:
        """The feature collection of an id.

        Raises:
            EngineError: there is none that the caller may read, or it is something else.
        """
        asset = self._asset(asset_id, TABLE)
        if not asset.in_catalogue:
            return self.stored.table(asset)
        dataset = self.find(asset.id)
        assert dataset is not None  # noqa: S101 - the store found it through the same catalogue
        return table_of(dataset, {"system:id": asset.id, **asset.properties})

    def _asset(self, asset_id: str, wanted: str) -> Asset:
        article = {IMAGE: "Image", IMAGE_COLLECTION: "ImageCollection", TABLE: "Collection"}[wanted]
        try:
            asset = self.store.get(str(AssetName.from_id(asset_id)), self.caller)
        except EngineError as error:
            if error.status not in ("NOT_FOUND", "PERMISSION_DENIED"):
                raise
            # One wording for both, so that nobody learns what he may not read.
            raise EngineError(
                f"{article} asset '{asset_id}' not found (does not exist or caller does not have access)."
            ) from error
        if asset.type != wanted:
            raise EngineError(f"Asset '{asset_id}' is not an {article}.")
        return asset


def collection_of(dataset: Dataset, properties: Mapping[str, Any]) -> Collection:
    """The images of a dataset, made as they are asked for."""

    def between(start: float | None, end: float | None) -> Collection:
        def images() -> Iterable[Image]:
            low = None if start is None else int(start)
            high = None if end is None else int(end)
            yield from map(image_from_scene, dataset.scenes(low, high))

        return Collection(properties, images(), images=True, within=between)

    return between(None, None)


def table_of(dataset: Dataset, properties: Mapping[str, Any]) -> Collection:
    """The features of a dataset."""
    features = (
        Feature({"system:index": f"{number:08x}", **properties}, Geometry.from_geojson(dict(geometry)))
        for number, (geometry, properties) in enumerate(dataset.features())
    )
    return Collection(properties, features)
