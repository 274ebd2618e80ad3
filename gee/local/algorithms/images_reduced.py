"""``Image.reduce`` across the bands of a pixel, and ``ImageCollection.cast``, which makes images alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gee.local.algorithms.images_bands import cast_band
from gee.local.errors import EngineError
from gee.local.geometry.projections import WGS84
from gee.local.raster.images import Band, Image
from gee.local.raster.pixels import Pointwise, Raster, nothing
from gee.local.raster.reductions import reduced_bands
from gee.local.reduction.reducers import Reducer
from gee.local.registry import algorithm, apply, promote
from gee.local.values import Collection, PixelType


@algorithm("Image.reduce")
def _reduce(image: Image, reducer: Reducer) -> Image:
    """A reducer of one input over the bands of each pixel; a band per output, named after it."""
    if reducer.inputs != 1:
        raise EngineError(
            f"The reducer must have a single input, Reducer.{reducer.name} has {reducer.inputs}."
        )
    if not image.bands:
        raise EngineError("Image has no bands.")
    return image.computed(reduced_bands(reducer, [image.bands], list(reducer.outputs)))


@algorithm("Image.copyProperties")
def _copy_properties(
    destination: Any, source: Any, names: list[str] | None, exclude: list[str] | None
) -> Any:
    arguments = {"destination": destination, "source": source, "properties": names, "exclude": exclude}
    return apply("Element.copyProperties", arguments)


def _masked(name: str, kind: PixelType) -> Band:
    """A band that is masked everywhere."""

    def compute() -> Raster:
        return nothing(kind.dtype, kind.dimensions)

    return Band(name, kind, WGS84, Pointwise("masked", compute, [], kind))


@algorithm("ImageCollection.cast")
def _cast(collection: Collection, types: Mapping[str, Any], order: list[str]) -> Collection:
    if set(types) != set(order) or len(order) != len(types):
        raise EngineError("bandOrder must have the keys of bandTypes, each once.")
    kinds: dict[str, PixelType] = {}
    for name in order:
        try:
            kinds[name] = promote(types[name], "PixelType")
        except TypeError as error:
            raise EngineError(f"Type of band '{name}' must be a PixelType or the name of one.") from error

    def images() -> Iterator[Image]:
        for image in collection:
            other = [name for name in image.names if name not in kinds]
            if other:
                raise EngineError(f"bandTypes must have all bands, but has no '{other[0]}'.")
            yield image.with_bands(
                cast_band(image.band(name), kind) if name in image.names else _masked(name, kind)
                for name, kind in kinds.items()
            )

    return collection.lazily(images)
