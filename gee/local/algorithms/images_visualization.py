"""Images made to be looked at: 8-bit grey or RGB bands, and images laid over one another.

What is documented is kept: the default stretch (0 to 1 for floats, the range of the type for integers),
linear palettes, masks as opacity. Unverified against Google are the fraction of a grey level, which is
dropped as in casts, and that a range given by one end only starts at 0 or ends where the default does.
Sources: guides/image_visualization, descriptions of ``Image.visualize`` and ``Image.blend``.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from gee.local.algorithms.images_bands import selected
from gee.local.algorithms.images_neighbourhoods import refuse_arrays
from gee.local.errors import EngineError
from gee.local.raster.images import Band, Image, pointwise, several
from gee.local.raster.pixels import Pointwise, Raster, masks_intersect
from gee.local.registry import algorithm
from gee.local.values import PixelType

BYTE = PixelType("int", 0, 255)
RGB = ("vis-red", "vis-green", "vis-blue")


class Colour(NamedTuple):
    """Red, green and blue from 0 to 255, and opacity from 0 to 1."""

    red: int
    green: int
    blue: int
    opacity: float = 1.0


def colour(text: Any) -> Colour:
    """A CSS colour: a name, or hexadecimal digits with or without a hash.

    Raises:
        EngineError: it is none.
    """
    name = str(text).strip().lower()
    if re.fullmatch(r"(?:[0-9a-f]{3,4}){1,2}", name):
        name = f"#{name}"
    try:
        red, green, blue, opacity = ImageColor.getcolor(name, "RGBA")  # type: ignore[misc]
    except ValueError:
        raise EngineError(f"Cannot parse color '{text}'.") from None
    return Colour(red, green, blue, opacity / 255)


def _listed(value: Any) -> list[Any]:
    """A list, or a text of parts between commas, or one value."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _per_band(value: Any, name: str, count: int) -> list[float | None]:
    """A number for each band, from one for all or as many as there are bands."""
    listed = _listed(value)
    try:
        numbers: list[float | None] = [float(item) for item in listed]
    except (TypeError, ValueError):
        raise EngineError(f"'{name}' must be a number or a list of numbers. Found {value}.") from None
    if not numbers:
        return [None] * count
    if len(numbers) not in (1, count):
        raise EngineError(f"'{name}' must have 1 value or one for each of the {count} bands.")
    return numbers * count if len(numbers) == 1 else numbers


class Stretch(NamedTuple):
    """How a band's values become 0 to 1: less ``low``, times ``gain``, plus ``bias``, bent by gamma."""

    low: float
    gain: float
    bias: float
    gamma: float

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values as shares of the range, limited to it."""
        shares = np.clip((values.astype(np.float64) - self.low) * self.gain + self.bias, 0, 1)
        return shares if self.gamma == 1 else np.asarray(shares ** (1 / self.gamma))


def _stretch(
    band: Band,
    low: float | None,
    high: float | None,
    gain: float | None,
    bias: float | None,
    gamma: float | None,
) -> Stretch:
    power = 1.0 if gamma is None else gamma
    if power <= 0:
        raise EngineError(f"Gamma must be positive. Found {gamma}.")
    if gain is not None or bias is not None:
        if low is not None or high is not None:
            raise EngineError("Cannot specify both gain or bias and min or max.")
        return Stretch(0.0, (1.0 if gain is None else gain) / 255, (bias or 0.0) / 255, power)
    kind = band.type
    whole = kind.precision == "int"
    least = float(kind.minimum if whole and kind.minimum is not None else 0)
    most = float(kind.maximum if whole and kind.maximum is not None else 1)
    if low is None:
        low = least if high is None else 0.0
    if high is None:
        high = most
    # Without a range there is only what is above it, and what is not.
    return Stretch(low, 1e200 if high == low else 1 / (high - low), 0.0, power)


def _grey(stretch: Stretch, raster: Raster) -> NDArray[np.uint8]:
    # A value written in decimal may fall short of its level by rounding.
    return np.floor(stretch(raster.values) * 255 + 1e-9).astype(np.uint8)


@algorithm("Image.visualize")
def visualize(
    image: Image,
    bands: Any,
    gain: Any,
    bias: Any,
    low: Any,
    high: Any,
    gamma: Any,
    opacity: float | None,
    palette: Any,
    force_rgb: bool,
) -> Image:
    """Bands ``vis-red``, ``vis-green``, ``vis-blue``; ``vis-gray`` of one band without a palette."""
    names = _listed(bands)
    chosen = selected(image, names) if names else list(image.bands[: 3 if len(image.bands) >= 3 else 1])
    if len(chosen) not in (1, 3):
        raise EngineError(f"Must specify 1 or 3 bands to visualize. Found {len(chosen)}.")
    refuse_arrays(chosen)
    colours = [colour(item) for item in _listed(palette)]
    if colours and len(chosen) != 1:
        raise EngineError("Palettes can only be used with single-band images.")
    count = len(chosen)
    stretches = [
        _stretch(*arguments)
        for arguments in zip(
            chosen,
            _per_band(low, "min", count),
            _per_band(high, "max", count),
            _per_band(gain, "gain", count),
            _per_band(bias, "bias", count),
            _per_band(gamma, "gamma", count),
            strict=True,
        )
    ]

    def compute(*rasters: Raster) -> list[Raster]:
        mask = masks_intersect(*(raster.mask for raster in rasters))
        if opacity is not None and opacity < 1:
            solid = np.ones((1, 1), np.float32) if mask is None else mask.astype(np.float32)
            mask = solid * np.float32(max(0.0, opacity))
        if colours:
            place = stretches[0](rasters[0].values) * (len(colours) - 1)
            steps = np.arange(len(colours))
            return [
                Raster(np.rint(np.interp(place, steps, channel)).astype(np.uint8), mask)
                for channel in list(zip(*colours, strict=True))[:3]
            ]
        return [
            Raster(_grey(stretch, raster), mask) for stretch, raster in zip(stretches, rasters, strict=True)
        ]

    node = Pointwise("visualize", compute, [band.pixels for band in chosen], stretches, colours, opacity)
    if count == 1 and not colours:
        [grey] = several(node, ["vis-gray"], [BYTE], chosen)
        shown = [Band(name, BYTE, grey.projection, grey.pixels, grey.extent) for name in RGB]
        return image.computed(shown if force_rgb else [grey])
    return image.computed(several(node, RGB, [BYTE] * 3, chosen))


@algorithm("Image.blend")
def blend(bottom: Image, top: Image) -> Image:
    """An image over another, each as opaque as its mask."""
    below, above = list(bottom.bands), list(top.bands)
    if len(below) != len(above):
        if 1 not in (len(below), len(above)):
            raise EngineError(
                f"Images must have the same number of bands, or one. Found {len(below)} and {len(above)}."
            )
        below, above = (
            below * (len(above) if len(below) == 1 else 1),
            above * (len(below) if len(above) == 1 else 1),
        )
    names = bottom.names if len(bottom.bands) >= len(top.bands) else top.names
    bands = []
    for one, other, name in zip(below, above, names, strict=True):
        kind = one.type.union(other.type)
        bands.append(pointwise("blend", [one, other], partial(_over, kind), kind, kind, band_name=name))
    geometry = None if None in (bottom.geometry, top.geometry) else bottom.geometry
    return Image(bottom.properties, tuple(bands), geometry)


def _over(kind: PixelType, below: Raster, above: Raster) -> Raster:
    if above.mask is None:
        return above
    if above.mask.dtype == np.bool_:
        shape = above.mask.shape + (1,) * (above.values.ndim - 2)
        values = np.where(above.mask.reshape(shape), above.values, below.values)
        if below.mask is None:
            return Raster(values)
        return Raster(values, np.where(above.mask, np.ones((), below.mask.dtype), below.mask))
    opacity = above.mask.astype(np.float64)
    rest = (1.0 if below.mask is None else below.mask.astype(np.float64)) * (1 - opacity)
    total = opacity + rest
    mixed = above.values * opacity + np.where(rest > 0, below.values * rest, 0)
    mixed = np.divide(
        mixed, total, out=np.zeros(np.broadcast_shapes(mixed.shape, total.shape)), where=total > 0
    )
    if kind.precision == "int":
        mixed = np.rint(mixed)
    return Raster(mixed.astype(kind.dtype), None if np.all(total == 1) else total.astype(np.float32))


@algorithm("Image.randomVisualizer")
def random_visualizer(image: Image) -> Image:
    """A random colour for each value of the first band, as three bands before the image's own."""
    if not image.bands:
        raise EngineError("The image has no bands.")
    band = image.bands[0]
    refuse_arrays([band])

    def compute(raster: Raster) -> list[Raster]:
        values = raster.values.astype(np.float64) + 0.0  # no minus zero
        state = values.view(np.uint64)
        # The finaliser of MurmurHash3 (Appleby 2011) makes near values far colours.
        for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), (33, 1)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        channels = (state >> np.uint64(shift) for shift in (0, 8, 16))
        return [Raster((channel & np.uint64(255)).astype(np.uint8), raster.mask) for channel in channels]

    node = Pointwise("randomVisualizer", compute, [band.pixels])
    shown = several(node, ("viz-red", "viz-green", "viz-blue"), [BYTE] * 3, [band])
    return image.with_bands([*shown, *image.bands])
