"""Images: bands with names, types, default projections and lazy pixels, and what they have in common.

An image knows everything but its pixels at once, as Earth Engine's own do; the pixels of a band are a
node of `pixels`. Source: guides/image_overview, guides/image_math, guides/projections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import WGS84, Grid, Projection, covering
from gee.local.raster import pixels as px
from gee.local.raster.pixels import Constant, Pick, Pixels, Pointwise, Raster
from gee.local.registry import promotion, shown
from gee.local.scalars.elementwise import saturating_cast
from gee.local.scalars.promotions import array_of
from gee.local.values import Collection, Element, PixelType, type_of

INVALID_DEFAULT = (
    "The default WGS84 projection is invalid for aggregations. Specify a scale or crs & crs_transform."
)


@dataclass(frozen=True, eq=False)
class Band:
    """One band.

    Args:
        name: of the band.
        type: of its pixels; ``dimensions`` of array pixels.
        projection: the default one, used where a request names none.
        pixels: computes it.
        extent: its pixels in its default projection, where they are finitely many.
    """

    name: str
    type: PixelType
    projection: Projection
    pixels: Pixels
    extent: Grid | None = None

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` of the image prints it."""
        shown: dict[str, Any] = {"id": self.name, "data_type": self.type.as_json()}
        projection = self.projection
        if self.extent is not None:
            shown["dimensions"] = [self.extent.width, self.extent.height]
            offset = self.extent.offset_in(projection)
            if offset is not None and offset != (0, 0):
                shown["origin"] = [offset[1], offset[0]]
        shown["crs"] = projection.crs
        shown["crs_transform"] = list(projection.transform)
        return shown


def check_bands(count: int) -> None:
    """Refuse an image of so many bands before it is made.

    Raises:
        EngineError: they are too many.
    """
    if count > limits.MAX_BANDS:
        raise EngineError(f"Too many bands: {count}; an image can have at most {limits.MAX_BANDS}.")


@dataclass(frozen=True, eq=False)
class Image(Element):
    """Bands with properties.

    Args:
        bands: in order.
        geometry: footprint; None is everywhere.
        id: of the asset, where it is one.
        version: of the asset.
        grid: the output grid that `clipToBoundsAndScale` fixed, used by exports and downloads.
    """

    bands: tuple[Band, ...] = ()
    geometry: Geometry | None = None
    id: str | None = None
    version: int | None = None
    grid: Grid | None = field(default=None)

    def __post_init__(self) -> None:
        """Refuse more bands than any honest image has."""
        check_bands(len(self.bands))

    def _own(self) -> dict[str, Any]:
        """What an image tells of itself like properties."""
        own: dict[str, Any] = {"system:id": self.id, "system:version": self.version}
        own |= {"system:footprint": self.geometry, "system:band_names": self.names}
        own |= {"system:bands": {band.name: band.as_json() for band in self.bands}}
        return {name: value for name, value in own.items() if value is not None}

    def get(self, name: str) -> Any:
        """A property's value, or what the image tells of itself under that name, or None."""
        found = self.properties.get(name)
        return self._own().get(name) if found is None and name.startswith("system:") else found

    def property_names(self) -> list[str]:
        """Names of its properties, its own last."""
        return [*self.properties, *(name for name in self._own() if name not in self.properties)]

    @property
    def names(self) -> list[str]:
        """Of the bands."""
        return [band.name for band in self.bands]

    def band(self, selector: str | int) -> Band:
        """One band by name or index.

        Raises:
            EngineError: there is none.
        """
        if isinstance(selector, str):
            for band in self.bands:
                if band.name == selector:
                    return band
        elif -len(self.bands) <= selector < len(self.bands):
            return self.bands[selector]
        raise EngineError(
            f"Band pattern '{selector}' did not match any bands. Available bands: [{', '.join(self.names)}]"
        )

    def only_band(self, role: str) -> Band:
        """The band of an image that has one.

        Raises:
            EngineError: it has none, or several.
        """
        if len(self.bands) != 1:
            raise EngineError(f"{role} must have exactly one band. Found {len(self.bands)}.")
        return self.bands[0]

    def with_bands(self, bands: Iterable[Band]) -> Image:
        """Other bands under the same metadata and footprint."""
        return replace(self, bands=tuple(bands))

    def computed(self, bands: Iterable[Band]) -> Image:
        """An image of other bands, without this one's id and properties, with its footprint."""
        return Image({}, tuple(bands), self.geometry, grid=self.grid)

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` prints it."""
        shown: dict[str, Any] = {"type": "Image", "bands": [band.as_json() for band in self.bands]}
        if self.id is not None:
            shown["id"] = self.id
        if self.version is not None:
            shown["version"] = self.version
        if self.properties:
            shown["properties"] = dict(self.properties)
        return shown

    def read(self, grid: Grid) -> list[Raster]:
        """Every band over a grid, of its declared type."""
        return [
            cast(raster, band.type)
            for band, raster in zip(self.bands, px.read([b.pixels for b in self.bands], grid), strict=True)
        ]


def cast(raster: Raster, wanted: PixelType) -> Raster:
    """Values in the NumPy type of a pixel type; numbers beyond its range become its smallest or largest."""
    return Raster(saturated(raster.values, wanted), raster.mask)


def saturated(values: NDArray[Any], wanted: PixelType) -> NDArray[Any]:
    """Values of a pixel type: floats lose their fraction, what is out of range takes the nearest end."""
    if values.dtype == object:
        ragged = np.empty(values.shape, object)
        for index in np.ndindex(values.shape):
            ragged[index] = saturated(np.asarray(values[index]), wanted)
        return ragged
    cast_values = saturating_cast(wanted.dtype, values)
    if wanted.precision != "int":
        return cast_values
    limits = np.iinfo(wanted.dtype)
    low = limits.min if wanted.minimum is None else int(wanted.minimum)
    high = limits.max if wanted.maximum is None else int(wanted.maximum)
    if (low, high) == (limits.min, limits.max):
        return cast_values
    return np.clip(cast_values, low, high)


def constant_image(value: Any, name: str = "constant") -> Image:
    """A one-band image of a number or an array, everywhere."""
    array = array_of(value, None) if isinstance(value, (list, tuple)) else np.asarray(value)
    if array.dtype.kind not in "iufb":
        raise EngineError(f"An image cannot be made of {shown(value)}.")
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind in "iu" and array.size:
        kind = PixelType("int", int(array.min()), int(array.max()), array.ndim)
    else:
        kind = replace(type_of(array.dtype), dimensions=array.ndim)
    return Image({}, (Band(name, kind, WGS84, Constant(array.astype(kind.dtype))),))


@promotion("Image")
def as_image(value: Any) -> Image:
    """An image: itself, a constant of a number or array, or a collection's mosaic-free only element."""
    if isinstance(value, Image):
        return value
    if isinstance(value, (bool, int, float, np.ndarray)):
        return constant_image(value)
    raise TypeError


def common_projection(bands: Sequence[Band]) -> tuple[Projection, Grid | None]:
    """Default projection and extent of what is computed from bands: the first that is not a constant's."""
    for band in bands:
        if not band.projection.is_default:
            return band.projection, band.extent
    return (bands[0].projection, bands[0].extent) if bands else (WGS84, None)


def paired(first: Image, second: Image) -> list[tuple[Band, Band, str]]:
    """Bands of two images that an operation combines, with the name of the result.

    A single band meets every band of the other; equally many meet in order, or by name where the names
    are the same; names are the longer image's, else the first's.

    Raises:
        EngineError: the numbers of bands differ and neither is one.
    """
    one, other = first.bands, second.bands
    if len(one) == len(other):
        if set(first.names) == set(second.names):
            return [(band, second.band(band.name), band.name) for band in one]
        return [(a, b, a.name) for a, b in zip(one, other, strict=True)]
    if len(other) == 1:
        return [(band, other[0], band.name) for band in one]
    if len(one) == 1:
        return [(one[0], band, band.name) for band in other]
    raise EngineError(
        "Images must contain the same number of bands, or one must have a single band. "
        f"Got {len(one)} and {len(other)}."
    )


def pointwise(
    name: str,
    inputs: Sequence[Band],
    function: Callable[..., Raster],
    kind: PixelType,
    *parameters: Any,
    band_name: str | None = None,
) -> Band:
    """A band computed from the pixels of others at the same place."""
    projection, extent = common_projection(inputs)
    node = Pointwise(name, function, [band.pixels for band in inputs], *parameters)
    return Band(inputs[0].name if band_name is None else band_name, kind, projection, node, extent)


def several(
    node: Pixels, names: Sequence[str], kinds: Sequence[PixelType], like: Sequence[Band]
) -> list[Band]:
    """The bands of a node that computes several rasters."""
    projection, extent = common_projection(like)
    return [
        Band(name, kind, projection, Pick(node, index), extent)
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]


def unique_names(existing: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Names made different from those taken by ``_1``, ``_2`` and so on."""
    taken, result = set(existing), []
    counts: dict[str, int] = {}
    for name in wanted:
        chosen, count = name, counts.get(name, 0)
        while chosen in taken:
            count += 1
            chosen = f"{name}_{count}"
        counts[name] = count
        taken.add(chosen)
        result.append(chosen)
    return result


def aggregation_projection(
    image: Image, crs: Projection | None, transform: Sequence[float] | None, scale: float | None
) -> Projection:
    """The projection of an aggregation or sample from the arguments that may name one.

    Without ``crs`` the first band's default projection, with ``scale`` at that scale, else in its own.

    Raises:
        EngineError: neither is given and the default projection is the one-degree WGS84 of composites.
    """
    base = crs or (image.bands[0].projection if image.bands else WGS84)
    open_choice = crs is None and transform is None and scale is None
    if open_choice and base.is_default and any(band.extent is None for band in image.bands):
        raise EngineError(INVALID_DEFAULT)
    return base.specified(transform, scale)


def coarsened(projection: Projection, region: Geometry, max_pixels: float) -> Projection:
    """A projection with pixels doubled until a region has at most so many (``bestEffort``)."""
    if region.is_empty:
        return projection
    grid = region_grid(region, projection)
    while grid.width * grid.height > max_pixels:
        projection = projection.rescaled(2, 2)
        grid = region_grid(region, projection)
    return projection


def region_grid(geometry: Geometry, projection: Projection, limit: float = math.inf) -> Grid:
    """The pixels of a projection that hold a geometry's bounds.

    Raises:
        EngineError: the geometry is unbounded or empty, or there are more pixels than ``limit``.
    """
    if geometry.unbounded:
        raise EngineError("The geometry for image aggregation must not be unbounded.")
    if geometry.is_empty:
        raise EngineError("The geometry is empty.")
    left, bottom, right, top = geometry.bounds_in(projection.crs)
    grid = covering(projection, np.array([left, right, left, right]), np.array([bottom, top, top, bottom]))
    if grid.width * grid.height > limit:
        raise EngineError(
            f"Too many pixels in the region. Found {grid.width * grid.height}, but maxPixels allows only "
            f"{int(limit)}.\nEnsure that you are not aggregating at a higher resolution than you intended; "
            "that is the most frequent cause of this error. If not, then you may set the 'maxPixels' "
            "argument to a limit suitable for your computation; set 'bestEffort' to true to aggregate at "
            "whatever scale results in 'maxPixels' total pixels; or both."
        )
    return grid


def output_grid(image: Image) -> Grid:
    """The grid of an export, thumbnail or download, which the client folds into the graph.

    Raises:
        EngineError: the image is unbounded and nothing fixes its grid.
    """
    if image.grid is not None:
        return image.grid
    if not image.bands:
        raise EngineError("Image has no bands.")
    band = image.bands[0]
    if image.geometry is not None and not image.geometry.unbounded:
        return region_grid(image.geometry, band.projection)
    if band.extent is not None:
        return band.extent
    raise EngineError("Unable to export unbounded image.")


def footprint_of(elements: Collection | Iterable[Image]) -> Geometry | None:
    """The footprint of several images together: None where one of them is everywhere."""
    footprints = []
    for element in elements:
        if element.geometry is None:
            return None
        footprints.append(element.geometry)
    return Geometry.merged(footprints) if footprints else None
