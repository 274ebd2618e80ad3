"""What images have in common: types, names, projections, footprints, output grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.geometry.geometries import EVERYWHERE, Geometry
from gee.local.geometry.projections import WGS84, Grid, Projection
from gee.local.raster.images import (
    Band,
    Image,
    aggregation_projection,
    coarsened,
    constant_image,
    footprint_of,
    output_grid,
    region_grid,
    saturated,
    unique_names,
)
from gee.local.raster.pixels import Constant
from gee.local.values import FLOAT, PixelType

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
EXTENT = Grid(UTM.translated(2, 3), 5, 4)
BLOCK = Geometry.rectangle(401_500, 3_596_000, 404_000, 3_599_200, UTM.crs)


def image(
    projection: Projection = UTM, extent: Grid | None = None, geometry: Geometry | None = None
) -> Image:
    return Image({}, (Band("b", FLOAT, projection, Constant(np.array(1.0)), extent),), geometry)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (7, PixelType("int", 7, 7)),
        (-3, PixelType("int", -3, -3)),
        (0.5, PixelType("double")),
        (True, PixelType("int", 1, 1)),
        (np.array([[1, 2], [3, 9]]), PixelType("int", 1, 9, 2)),
        (np.array([0.5, 1.0]), PixelType("double", dimensions=1)),
    ],
)
def test_a_constant_has_the_type_of_its_value(value: Any, kind: PixelType) -> None:
    [band] = constant_image(value).bands
    assert band.type == kind
    assert band.projection == WGS84
    assert band.name == "constant"


@pytest.mark.parametrize("value", ["text", None, {}])
def test_other_values_are_no_constants(value: Any) -> None:
    with pytest.raises(EngineError, match="An image cannot be made of"):
        constant_image(value)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (PixelType("int", 0, 255), [0, 0, 1, 255, 255, 0]),
        (PixelType("int", -128, 127), [-128, -1, 1, 127, 127, 0]),
        (PixelType("int", 0, 100), [0, 0, 1, 100, 100, 0]),
        (PixelType("int"), [-(2**63), -1, 1, 300, 2**63 - 1, 0]),
    ],
)
def test_values_beyond_a_type_become_its_ends(kind: PixelType, expected: list[int]) -> None:
    given = np.array([-1e30, -1.9, 1.9, 300.0, 1e30, np.nan])
    with np.errstate(all="ignore"):  # as pixels are computed
        assert saturated(given, kind).tolist() == expected
        assert saturated(given, kind).dtype == kind.dtype


def test_ragged_values_are_cast_one_by_one() -> None:
    ragged = np.empty((1, 2), object)
    ragged[0, 0], ragged[0, 1] = np.array([300.5, -1]), np.array([2.9])
    found = saturated(ragged, PixelType("int", 0, 255, 1))
    assert [pixel.tolist() for pixel in found[0]] == [[255, 0], [2]]


def test_a_band_is_found_by_name_or_index() -> None:
    both = image().with_bands([image().bands[0], constant_image(1, "c").bands[0]])
    assert both.band("c") is both.band(1) is both.band(-1)
    for unknown in ("d", 2, -3):
        with pytest.raises(EngineError, match=r"did not match any bands\. Available bands: \[b, c\]"):
            both.band(unknown)
    with pytest.raises(EngineError, match=r"exactly one band\. Found 2"):
        both.only_band("The mask")


def test_names_that_are_taken_get_the_next_number() -> None:
    assert unique_names(["a", "a_1"], ["a", "b", "a", "b"]) == ["a_2", "b", "a_3", "b_1"]


def test_an_image_within_a_larger_grid_tells_its_origin() -> None:
    shown = image(extent=EXTENT).as_json()["bands"][0]
    assert shown["origin"] == [2, 3]
    assert shown["dimensions"] == [5, 4]
    assert "origin" not in image(extent=Grid(UTM, 5, 4)).as_json()["bands"][0]
    assert "dimensions" not in image().as_json()["bands"][0]


# Which projection an aggregation works in


@pytest.mark.parametrize(
    ("crs", "transform", "scale", "expected"),
    [
        (None, None, None, UTM),
        (None, None, 250.0, UTM.rescaled(0.25, 0.25)),
        (Projection("EPSG:3857"), None, 500.0, Projection("EPSG:3857", (500, 0, 0, 0, 500, 0))),
        (Projection("EPSG:3857"), None, None, Projection("EPSG:3857")),
        (None, [10, 0, 1, 0, -10, 2], None, Projection(UTM.crs, (10, 0, 1, 0, -10, 2))),
        (
            Projection("EPSG:3857"),
            [10, 0, 1, 0, -10, 2],
            None,
            Projection("EPSG:3857", (10, 0, 1, 0, -10, 2)),
        ),
    ],
)
def test_the_projection_of_an_aggregation(crs: Any, transform: Any, scale: Any, expected: Projection) -> None:
    assert aggregation_projection(image(), crs, transform, scale) == expected


def test_a_composite_needs_a_scale_or_projection_to_be_aggregated() -> None:
    with pytest.raises(EngineError, match="The default WGS84 projection is invalid"):
        aggregation_projection(image(WGS84), None, None, None)
    assert aggregation_projection(image(WGS84), WGS84, None, None) == WGS84
    assert aggregation_projection(image(WGS84), None, None, 111_319.49079327357).transform[
        0
    ] == pytest.approx(1)
    # A real image of one degree has an extent.
    globe = Grid(WGS84, 360, 180)
    assert aggregation_projection(image(WGS84, globe), None, None, None) == WGS84


def test_a_transform_has_six_numbers() -> None:
    with pytest.raises(EngineError, match="6 numbers"):
        aggregation_projection(image(), None, [1, 2, 3], None)


# Grids of regions and outputs


def test_the_grid_of_a_region_holds_its_bounds() -> None:
    assert region_grid(BLOCK, UTM) == Grid(UTM.translated(1, 0), 3, 4)


def test_a_region_beyond_the_limit_tells_how_large_it_is() -> None:
    with pytest.raises(EngineError, match=r"Found 12, but maxPixels allows only 11\.") as raised:
        region_grid(BLOCK, UTM, 11)
    assert "bestEffort" in raised.value.message
    assert coarsened(UTM, BLOCK, 11) == UTM.rescaled(2, 2)
    assert coarsened(UTM, BLOCK, 12) == UTM


def test_a_region_needs_bounds() -> None:
    with pytest.raises(EngineError, match="unbounded"):
        region_grid(EVERYWHERE, UTM)
    with pytest.raises(EngineError, match="empty"):
        region_grid(Geometry.merged([]), UTM)


def test_the_output_is_what_was_fixed_else_the_footprint_else_the_extent() -> None:
    fixed = Grid(UTM, 7, 7)
    assert output_grid(Image({}, image().bands, BLOCK, grid=fixed)) == fixed
    assert output_grid(image(extent=EXTENT, geometry=BLOCK)) == region_grid(BLOCK, UTM)
    assert output_grid(image(extent=EXTENT)) == EXTENT
    assert output_grid(image(extent=EXTENT, geometry=EVERYWHERE)) == EXTENT
    with pytest.raises(EngineError, match="unbounded"):
        output_grid(image())
    with pytest.raises(EngineError, match="no bands"):
        output_grid(Image())


def test_the_footprint_of_several_is_everywhere_if_one_is() -> None:
    east = Geometry.rectangle(404_000, 3_596_000, 405_000, 3_599_200, UTM.crs)
    both = footprint_of([image(geometry=BLOCK), image(geometry=east)])
    assert both is not None
    assert both.bounds_in(UTM.crs) == (401_500, 3_596_000, 405_000, 3_599_200)
    assert footprint_of([image(geometry=BLOCK), image()]) is None
    assert footprint_of([]) is None


def test_numbers_and_arrays_become_images_where_one_is_wanted(compute: Callable[[Any], Any]) -> None:
    total = compute(ee.Image(1).add(ee.Array([1, 2])))
    assert total.bands[0].type.dimensions == 1
    [found] = total.read(Grid(UTM, 1, 1))
    assert found.values.tolist() == [[[2, 3]]]
