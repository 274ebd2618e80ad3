"""Images and datasets as the REST API describes assets: ``EarthEngineAsset`` with bands and grids.

The public catalogue's assets are described from their sources, computed images from themselves; clients
such as GDAL's EEDAI driver read the native grid from here. Source: REST reference, projects.assets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gee.local.assets.names import AssetName
from gee.local.assets.records import format_time
from gee.local.raster.images import Band, Image
from gee.local.raster.scenes import image_from_scene
from gee.local.results.encoding import encode
from gee.local.sources.dataset import Dataset, Scene
from gee.local.values import PixelType

_TIMES = {"system:time_start": "startTime", "system:time_end": "endTime"}


def describe_type(kind: PixelType) -> dict[str, Any]:
    """A pixel type as ``PixelDataType``."""
    bounds = {"min": kind.minimum, "max": kind.maximum}
    given = {name: value for name, value in bounds.items() if value is not None}
    return {
        "precision": kind.precision.upper(),
        **({"range": given} if given else {}),
        **({"dimensionsCount": kind.dimensions} if kind.dimensions else {}),
    }


def describe_band(band: Band, pyramiding: str | None = None) -> dict[str, Any]:
    """A band as ``ImageBand``, with its native grid."""
    projection = band.projection if band.extent is None else band.extent.projection
    names = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    # A term that is 0 is left out, as every proto message does.
    affine = {name: term for name, term in zip(names, projection.transform, strict=True) if term}
    code = {"crsCode" if ":" in projection.crs and len(projection.crs) < 40 else "crsWkt": projection.crs}
    size = {} if band.extent is None else {
        "dimensions": {"width": band.extent.width, "height": band.extent.height}
    }  # fmt: skip
    return {
        "id": band.name,
        "dataType": describe_type(band.type),
        "grid": {**code, "affineTransform": affine, **size},
        **({"pyramidingPolicy": pyramiding} if pyramiding else {}),
    }


def describe_image(image: Image, pyramiding: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An image as an asset.

    Args:
        image: of the catalogue, or computed.
        pyramiding: policy of each band, where it has one.
    """
    properties = dict(image.properties)
    times = {
        field: format_time(int(properties.pop(key))) for key, field in _TIMES.items() if key in properties
    }
    properties.pop("system:index", None)
    identity = {"name": str(AssetName.from_id(image.id)), "id": image.id} if image.id else {}
    footprint = {} if image.geometry is None or image.geometry.unbounded else {
        "geometry": encode(image.geometry)
    }  # fmt: skip
    return {
        "type": "IMAGE",
        **identity,
        **times,
        **footprint,
        **({"properties": encode(properties)} if properties else {}),
        "bands": [describe_band(band, (pyramiding or {}).get(band.name)) for band in image.bands],
    }


def describe_scene(scene: Scene) -> dict[str, Any]:
    """An image of the catalogue as an asset."""
    return describe_image(image_from_scene(scene), {band.name: band.pyramiding for band in scene.bands})


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """A dataset of the catalogue as an asset; an image is described with its bands."""
    if dataset.kind == "IMAGE":
        [scene] = dataset.scenes()
        described = describe_scene(scene)
        described["properties"] = {**encode(dict(dataset.properties)), **described.get("properties", {})}
        return {**described, "name": str(AssetName.from_id(dataset.id)), "id": dataset.id}
    return {
        "type": dataset.kind,
        "name": str(AssetName.from_id(dataset.id)),
        "id": dataset.id,
        "properties": encode(dict(dataset.properties)),
    }


class SceneDescription(Mapping[str, Any]):
    """A scene's description, made when more than its id is asked: collections have tens of thousands."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._body: dict[str, Any] | None = None

    def _described(self) -> dict[str, Any]:
        if self._body is None:
            self._body = describe_scene(self._scene)
        return self._body

    def __getitem__(self, key: str) -> Any:
        return self._scene.id if key == "id" else self._described()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._described())

    def __len__(self) -> int:
        return len(self._described())
