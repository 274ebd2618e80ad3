"""Grids of requests and tiles, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import pytest

from gee.local.engine import displayable, requested_grid, tile_grid
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.geometry.projections import Grid, Projection
from gee.local.messages import PixelGrid
from gee.local.raster.images import Band, Image, constant_image
from gee.local.raster.pixels import Constant
from gee.local.values import PixelType

NATIVE = Projection("EPSG:4326", (0.5, 0.0, 100.0, 0.0, -0.5, 40.0))
IMAGE = Image(
    {},
    (Band("b", PixelType("int", 0, 255), NATIVE, Constant(np.uint8(1)), Grid(NATIVE, 8, 6)),),
    Geometry.rectangle(100, 37, 104, 40),
)


def wanted(**fields: object) -> PixelGrid:
    return PixelGrid.model_validate(fields)


AFFINE = {"scaleX": 0.25, "translateX": 101.0, "scaleY": -0.25, "translateY": 39.0}


@pytest.mark.parametrize(
    ("asked", "transform", "width", "height"),
    [
        ({}, NATIVE.transform, 8, 6),
        ({"dimensions": {"width": 4, "height": 12}}, (1.0, 0.0, 100.0, 0.0, -0.25, 40.0), 4, 12),
        (
            {"dimensions": {"width": 2, "height": 3}, "affineTransform": AFFINE},
            (0.25, 0.0, 101.0, 0.0, -0.25, 39.0), 2, 3,
        ),
        # 4 x 3 degrees in quarter degrees from 100 E, 40 N
        ({"affineTransform": AFFINE}, (0.25, 0.0, 100.0, 0.0, -0.25, 40.0), 16, 12),
    ],
)  # fmt: skip
def test_what_a_request_leaves_open_is_the_images_own(
    asked: dict[str, object], transform: tuple[float, ...], width: int, height: int
) -> None:
    grid = requested_grid(IMAGE, wanted(**asked))
    assert grid.projection.transform == pytest.approx(transform)
    assert (grid.width, grid.height) == (width, height)


def test_another_coordinate_system_covers_the_footprint_at_the_native_scale() -> None:
    grid = requested_grid(IMAGE, wanted(crsCode="EPSG:3857"))
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    left, bottom = to_metres.transform(100, 37)
    right, top = to_metres.transform(104, 40)
    size = grid.projection.transform[0]
    assert size == pytest.approx(0.5 * 111319.49079327358)
    assert grid.width == pytest.approx((right - left) / size, abs=2)
    assert grid.height == pytest.approx((top - bottom) / size, abs=2)


def test_an_image_that_is_everywhere_needs_a_grid() -> None:
    with pytest.raises(EngineError, match="unbounded"):
        requested_grid(constant_image(1), wanted())
    with pytest.raises(EngineError, match="not invertible"):
        requested_grid(IMAGE, wanted(dimensions={"width": 1, "height": 1}, affineTransform={"scaleX": 1}))


def test_tiles_of_a_zoom_divide_the_mercator_square() -> None:
    half = math.pi * 6378137
    whole = tile_grid(0, 0, 0)
    assert whole.projection.transform == pytest.approx((half / 128, 0, -half, 0, -half / 128, half))
    to_degrees = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    x, y = tile_grid(6, 52, 25).projection.to_crs(np.float64(0), np.float64(0))
    longitude, latitude = to_degrees.transform(x, y)
    assert longitude == pytest.approx(52 * 360 / 64 - 180)
    assert latitude == pytest.approx(math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * 25 / 64)))))


@pytest.mark.parametrize("place", [(0, 1, 0), (3, 0, 8), (25, 0, 0)])
def test_a_tile_beyond_its_zoom_does_not_exist(place: tuple[int, int, int]) -> None:
    with pytest.raises(EngineError, match="does not exist"):
        tile_grid(*place)


def test_one_or_three_bands_of_8_bits_are_colours() -> None:
    assert displayable(IMAGE)
    assert not displayable(constant_image(300))
    assert not displayable(IMAGE.with_bands(IMAGE.bands * 2))
