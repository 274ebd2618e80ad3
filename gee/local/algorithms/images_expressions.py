"""Arithmetic expressions on images, and other functions of the values of one pixel.

Source: description of ``Image.parseExpression``; guides/image_math.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.algorithms.images_bands import selected
from gee.local.algorithms.numbers import CONSTANTS
from gee.local.errors import EngineError
from gee.local.raster.images import Band, Image, as_image, paired, pointwise
from gee.local.raster.pixels import Raster, masks_intersect, shape_of
from gee.local.registry import algorithm, apply, signatures
from gee.local.scalars import expressions
from gee.local.values import DOUBLE, PixelType

Channel = NDArray[np.float64]
_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)")  # of a name to the result


@algorithm("Image.parseExpression")
def parse_expression(
    text: str, default_name: str, names: Sequence[str], free_bands: bool
) -> Callable[..., Image]:
    """The function of images that an arithmetic expression is.

    Args:
        text: of the expression.
        default_name: argument whose bands ``b()`` takes.
        names: further arguments.
        free_bands: whether other names are bands of the default image.
    """
    assigned = _ASSIGNMENT.match(text)
    steps = expressions.compiled(text[assigned.end() :] if assigned else text)

    def compute(*positional: Any, **named: Any) -> Image:
        images = dict(zip((default_name, *names), positional, strict=False)) | named

        def variable(name: str) -> Any:
            if name in CONSTANTS:
                return CONSTANTS[name]
            head, _, band = name.partition(".")
            if head in images:
                image = images[head]
                return as_image(image).with_bands(selected(as_image(image), [band])) if band else image
            if free_bands:
                default = as_image(images[default_name])
                return default.with_bands(selected(default, [name]))
            raise EngineError(f"Variable '{name}' of the expression is not defined.").within(
                "Image.parseExpression"
            )

        def call(name: str, operands: list[Any]) -> Any:
            if name == expressions.CHOICE:
                return _choice(*(as_image(operand) for operand in operands))
            if name in ("b", expressions.INDEX):
                # b(...) takes bands of the default image, image[...] of that image.
                image, *bands = [images[default_name], *operands] if name == "b" else operands
                chosen = as_image(image)
                return chosen.with_bands(selected(chosen, bands)) if bands else chosen
            signature = signatures().get(f"Image.{name}")
            if signature is None or len(operands) > len(signature.arguments):
                raise EngineError(
                    f"The expression calls '{name}', which is no function of {len(operands)} images."
                ).within("Image.parseExpression")
            arguments = [argument.name for argument in signature.arguments]
            return apply(signature.name, dict(zip(arguments, operands, strict=False)))

        result = as_image(expressions.run(steps, variable, call))
        if assigned is None:
            return result
        return result.with_bands([replace(result.only_band("A named expression"), name=assigned[1])])

    return compute


def _choice(condition: Image, first: Image, second: Image) -> Image:
    """Per pixel the first where a condition is not zero, else the second; masked as the chosen one is."""

    def choose(test: Raster, yes: Raster, no: Raster) -> Raster:
        chosen = test.values != 0
        shape = shape_of([test, yes, no])
        if yes.mask is None and no.mask is None:
            mask = test.mask
        else:
            mask = masks_intersect(np.where(chosen, yes.weights(shape), no.weights(shape)), test.mask)
        return Raster(np.where(chosen, yes.values, no.values), mask)

    bands: list[Band] = []
    for yes, no, name in paired(first, second):
        test = condition.bands[0] if len(condition.bands) == 1 else condition.band(len(bands))
        bands.append(pointwise("choice", [test, yes, no], choose, yes.type.union(no.type), band_name=name))
    return condition.computed(bands)


@algorithm("Image.polynomial")
def polynomial(image: Image, coefficients: Sequence[float]) -> Image:
    """c0 + c1 x + c2 x² and so on of each pixel."""
    highest_first = list(coefficients)[::-1]

    def evaluate(raster: Raster) -> Raster:
        return Raster(np.polyval(highest_first, raster.values.astype(np.float64)), raster.mask)

    return image.computed(
        pointwise("polynomial", [band], evaluate, DOUBLE, highest_first) for band in image.bands
    )


@algorithm("Image.interpolate")
def interpolate(image: Image, x: Sequence[float], y: Sequence[float], behavior: str) -> Image:
    """The first band through a piecewise linear function."""
    knots, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(knots) != len(values) or len(knots) < 2:
        raise EngineError("'x' and 'y' must be lists of the same length, at least 2.")
    if (np.diff(knots) <= 0).any():
        raise EngineError("The 'x' values must be strictly increasing.")
    if behavior not in ("extrapolate", "clamp", "mask", "input"):
        raise EngineError(f"Unknown behavior '{behavior}'.")

    def evaluate(raster: Raster) -> Raster:
        given = raster.values.astype(np.float64)
        place = np.clip(np.searchsorted(knots, given, side="right") - 1, 0, len(knots) - 2)
        slope = (values[place + 1] - values[place]) / (knots[place + 1] - knots[place])
        result = values[place] + slope * (given - knots[place])
        outside = (given < knots[0]) | (given > knots[-1])
        if behavior == "clamp":
            result = np.clip(given, knots[0], knots[-1])
            result = np.interp(result, knots, values)
        elif behavior == "input":
            result = np.where(outside, given, result)
        mask = masks_intersect(raster.mask, ~outside) if behavior == "mask" else raster.mask
        return Raster(result, mask)

    band = image.bands[0]
    return image.computed([pointwise("interpolate", [band], evaluate, DOUBLE, knots, values, behavior)])


@algorithm("Image.rgbToHsv")
def rgb_to_hsv(image: Image) -> Image:
    """Red, green and blue from 0 to 1 as hue, saturation and value from 0 to 1."""
    return _colours(image, "rgbToHsv", ("hue", "saturation", "value"), _hsv)


@algorithm("Image.hsvToRgb")
def hsv_to_rgb(image: Image) -> Image:
    """Hue, saturation and value from 0 to 1 as red, green and blue."""
    return _colours(image, "hsvToRgb", ("red", "green", "blue"), _rgb)


def _colours(image: Image, name: str, outputs: Sequence[str], convert: Callable[..., Channel]) -> Image:
    if len(image.bands) != 3:
        raise EngineError(f"The image must have three bands. Found {len(image.bands)}.")
    bands = []
    for index, output in enumerate(outputs):

        def compute(*rasters: Raster, place: int = index) -> Raster:
            values = np.broadcast_arrays(*(raster.values.astype(np.float64) for raster in rasters))
            mask = masks_intersect(*(raster.mask for raster in rasters))
            return Raster(convert(*values)[place].astype(np.float32), mask)

        bands.append(
            pointwise(f"{name} {output}", image.bands, compute, PixelType("float"), band_name=output)
        )
    return image.computed(bands)


def _hsv(
    red: NDArray[np.float64], green: NDArray[np.float64], blue: NDArray[np.float64]
) -> NDArray[np.float64]:
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma == 0, 1, chroma)
    hue = np.where(
        value == red,
        ((green - blue) / safe) % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = np.where(chroma == 0, 0, hue / 6)
    return np.stack([hue, np.where(value == 0, 0, chroma / np.where(value == 0, 1, value)), value])


def _rgb(
    hue: NDArray[np.float64], saturation: NDArray[np.float64], value: NDArray[np.float64]
) -> NDArray[np.float64]:
    def channel(offset: int) -> Any:
        k = (offset + hue * 6) % 6
        return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)

    return np.stack([channel(5), channel(3), channel(1)])
