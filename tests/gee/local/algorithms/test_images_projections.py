"""Where and at what scale images are computed, by their documented meaning, against pyproj and NumPy."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
from pyproj import Geod, Transformer
from scipy import stats

from gee.local.errors import EngineError
from gee.local.geometry.projections import METRES_PER_DEGREE, WGS84, Grid, Projection
from gee.local.raster.images import output_grid

CRS = "EPSG:32650"
TRANSFORM = (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)
UTM = Projection(CRS, TRANSFORM)
C, R = np.meshgrid(np.arange(23), np.arange(17))


@pytest.fixture(autouse=True)
def offline(offline_client: None) -> None:
    """Client objects are made in these tests."""


def columns(transform: tuple[float, ...] = TRANSFORM) -> Any:
    return (
        ee.Image.pixelCoordinates(ee.Projection(CRS, list(transform))).select("x").floor().int().rename("c")
    )


def rows() -> Any:
    return (
        ee.Image.pixelCoordinates(ee.Projection(CRS, list(TRANSFORM))).select("y").floor().int().rename("r")
    )


def box(west: float, south: float, east: float, north: float) -> Any:
    return ee.Geometry.Rectangle([west, south, east, north], CRS, False)


# Coordinates and areas


def test_longitude_and_latitude_are_those_of_the_centre(compute: Any, pixels: Any, grid: Grid) -> None:
    image = ee.Image.pixelLonLat()
    assert compute(image).names == ["longitude", "latitude"]
    x, y = 400_500 + 1000.0 * C, 3_599_500 - 1000.0 * R
    lon, lat = Transformer.from_crs(CRS, 4326, always_xy=True).transform(x, y)
    found = pixels(image)
    np.testing.assert_allclose(found[0], lon, atol=1e-9)
    np.testing.assert_allclose(found[1], lat, atol=1e-9)


def test_coordinates_are_in_pixels_of_a_projection(compute: Any, pixels: Any) -> None:
    found = pixels(ee.Image.pixelCoordinates(ee.Projection(CRS, [500, 0, 400_000, 0, -250, 3_600_000])))
    np.testing.assert_allclose(found[0], 2 * C + 1)
    np.testing.assert_allclose(found[1], 4 * R + 2)
    assert compute(ee.Image.pixelCoordinates(ee.Projection("EPSG:4326"))).names == ["x", "y"]


@pytest.mark.parametrize(
    "grid",
    [
        Grid(UTM, 2, 2),
        Grid(Projection("SR-ORG:6974", (463.3, 0.0, 11_000_000.0, 0.0, -463.3, 3_500_000.0)), 2, 2),
        Grid(Projection("EPSG:3857", (1000.0, 0.0, 13_000_000.0, 0.0, -1000.0, 3_700_000.0)), 2, 2),
        Grid(Projection("EPSG:4326", (0.01, 0.002, 117.0, 0.003, -0.01, 31.0)), 2, 2),
        Grid(Projection("EPSG:32660", (1000.0, 0.0, 833_000.0, 0.0, -1000.0, 111_000.0)), 2, 2),
    ],
    ids=["utm", "sinusoidal", "mercator", "turned degrees", "across 180 degrees"],
)
def test_the_area_of_a_pixel_is_that_of_its_corners_on_the_ellipsoid(pixels: Any, grid: Grid) -> None:
    [area] = pixels(ee.Image.pixelArea(), grid)
    crs = "+proj=sinu +R=6371007.181" if grid.crs.startswith("SR") else grid.crs
    turn = Transformer.from_crs(crs, 4326, always_xy=True)
    if grid.crs == "EPSG:32660":
        west, east = turn.transform([833_000, 835_000], [110_000, 110_000])[0]
        assert west * east < 0
    for row, column in np.ndindex(2, 2):
        ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
        x, y = grid.projection.to_crs(
            np.array([column + a for a, _ in ring], float), np.array([row + b for _, b in ring], float)
        )
        exact = abs(Geod(ellps="WGS84").polygon_area_perimeter(*turn.transform(x, y))[0])
        assert area[row, column] == pytest.approx(exact, rel=1e-5)


# Fixed projections and defaults


def test_after_a_reprojection_pixels_are_those_of_the_fixed_grid(compute: Any, pixels: Any) -> None:
    """The same 3 km pixels whatever the scale that is asked later."""
    fixed = columns().reproject(CRS, [3000, 0, 400_000, 0, -3000, 3_600_000])
    assert compute(fixed.projection()) == Projection(CRS, (3000, 0, 400_000, 0, -3000, 3_600_000))
    [kilometres] = pixels(fixed)
    assert np.array_equal(kilometres, C // 3 * 3 + 1)  # the column under the centre of three
    [fine] = pixels(fixed, Grid(UTM.rescaled(0.25, 0.25), 40, 4))
    assert np.array_equal(fine[0], np.arange(40) // 12 * 3 + 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("EPSG:3857", None, 500), Projection("EPSG:3857", (500, 0, 0, 0, 500, 0))),
        (("EPSG:3857",), Projection("EPSG:3857")),
        ((CRS, [10, 0, 5, 0, -10, 6]), Projection(CRS, (10, 0, 5, 0, -10, 6))),
        (("EPSG:4326", None, METRES_PER_DEGREE / 2), Projection("EPSG:4326", (0.5, 0, 0, 0, 0.5, 0))),
    ],
)
@pytest.mark.parametrize("method", ["reproject", "setDefaultProjection"])
def test_a_projection_is_given_by_crs_scale_or_transform(
    compute: Any, method: str, arguments: Any, expected: Projection
) -> None:
    found = compute(getattr(columns(), method)(*arguments).projection())
    assert found.crs == expected.crs
    assert found.transform == pytest.approx(expected.transform)


@pytest.mark.parametrize("method", ["reproject", "setDefaultProjection"])
def test_scale_and_transform_exclude_each_other(compute: Any, method: str) -> None:
    with pytest.raises(EngineError, match=rf"Image\.{method}: .*both 'scale' and 'crsTransform'"):
        compute(getattr(columns(), method)(CRS, list(TRANSFORM), 30))
    with pytest.raises(EngineError, match="6 numbers"):
        compute(getattr(columns(), method)(CRS, [1, 2, 3]))


def test_a_default_projection_moves_no_pixel(pixels: Any) -> None:
    [band] = pixels(columns().setDefaultProjection("EPSG:3857", None, 12_345))
    assert np.array_equal(band, C)


def test_each_band_keeps_its_own_default_projection(compute: Any) -> None:
    both = columns().setDefaultProjection(CRS, None, 30).addBands(rows().setDefaultProjection(CRS, None, 60))
    assert [band.projection.nominal_scale for band in compute(both).bands] == [30, 60]


def test_interpolation_is_of_two_kinds(compute: Any) -> None:
    fixed = columns().reproject(CRS, list(TRANSFORM))
    assert compute(fixed.resample()).bands[0].type.precision == "float"
    with pytest.raises(EngineError, match=r"Image\.resample: .*bilinear, bicubic\. Found 'nearest'"):
        compute(fixed.resample("nearest"))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_interpolated_planes_are_planes(pixels: Any, mode: str) -> None:
    plane = columns().multiply(3).add(rows()).reproject(CRS, list(TRANSFORM)).resample(mode)
    fine = Grid(Projection(CRS, (330.0, 0.0, 405_000.0, 0.0, -330.0, 3_595_000.0)), 20, 20)
    [band] = pixels(plane, fine)
    x, y = fine.centres()
    expected = 3 * (x - 400_500) / 1000 + (3_599_500 - y) / 1000
    np.testing.assert_allclose(band, expected, rtol=1e-6)


# Moved pixels


def test_pixels_are_laid_onto_those_of_another_projection(compute: Any, pixels: Any) -> None:
    """Column 3, row 2 of the one is column 3, row 2 of the other, 50 km east and twice as large."""
    target = (2000.0, 0.0, 450_000.0, 0.0, -2000.0, 3_600_000.0)
    moved = (
        columns()
        .multiply(100)
        .add(rows())
        .changeProj(ee.Projection(CRS, list(TRANSFORM)), ee.Projection(CRS, list(target)))
    )
    assert compute(moved.projection()) == Projection(CRS, target)
    [band] = pixels(moved, Grid(Projection(CRS, target), 10, 8))
    assert np.array_equal(band, (100 * C + R)[:8, :10])
    [half] = pixels(moved, Grid(Projection(CRS, target).rescaled(0.5, 0.5), 10, 8))
    assert np.array_equal(half, (100 * (C // 2) + R // 2)[:8, :10])


@pytest.mark.parametrize(
    ("arguments", "east", "south"),
    [((2000, 3000), 2, -3), ((2, 3, "pixels"), 2, 3), ((-1000, 0, "meters"), -1, 0), ((0, 0), 0, 0)],
)
def test_a_translation_is_in_metres_or_pixels(pixels: Any, arguments: Any, east: int, south: int) -> None:
    """Metres go with the axes of the map (north is up), pixels with columns and rows."""
    image = columns().multiply(100).add(rows()).setDefaultProjection(CRS, list(TRANSFORM))
    [band] = pixels(image.translate(*arguments))
    assert np.array_equal(band, 100 * (C - east) + (R - south))


def test_a_translation_in_another_projection(compute: Any, pixels: Any) -> None:
    coarse = ee.Projection(CRS, [4000, 0, 400_000, 0, -4000, 3_600_000])
    image = columns().setDefaultProjection(CRS, list(TRANSFORM))
    [band] = pixels(image.translate(1, 0, "pixels", coarse))
    assert np.array_equal(band, C // 4 * 4 + 2 - 4)  # read at 4 km: the column under each centre
    with pytest.raises(EngineError, match=r"Image\.translate: Units"):
        compute(image.translate(1, 0, "feet"))


# Output grids


def grid_of(compute: Any, image: Any) -> Grid:
    return output_grid(compute(image))


def test_with_a_scale_pixels_are_aligned_to_the_origin_of_the_projection(compute: Any) -> None:
    region = box(401_300, 3_597_200, 404_100, 3_599_900)
    image = columns().setDefaultProjection(CRS, list(TRANSFORM))
    found = grid_of(compute, image.clipToBoundsAndScale(region, scale=300))
    # 401300 / 300 is 1337.7 and 404100 / 300 is 1347; 3599900 / 300 is 11999.7, 3597200 / 300 is 11990.7
    assert found.projection.transform == (300, 0, 1337 * 300, 0, -300, 12_000 * 300)
    assert (found.width, found.height) == (10, 10)


@pytest.mark.parametrize(
    ("options", "width", "height"),
    [
        ({"width": 7, "height": 3}, 7, 3),
        ({"maxDimension": 28}, 28, 27),  # 2.8 by 2.7 km
        ({"maxDimension": 10}, 10, 10),
    ],
)
def test_with_a_size_the_bounds_are_divided(compute: Any, options: Any, width: int, height: int) -> None:
    region = box(401_300, 3_597_200, 404_100, 3_599_900)
    found = grid_of(
        compute, columns().setDefaultProjection(CRS, list(TRANSFORM)).clipToBoundsAndScale(region, **options)
    )
    assert (found.width, found.height) == (width, height)
    assert found.projection.transform == pytest.approx(
        (2800 / width, 0, 401_300, 0, -2700 / height, 3_599_900)
    )


def test_without_either_the_pixels_are_the_images_own(compute: Any) -> None:
    image = columns().setDefaultProjection(CRS, list(TRANSFORM))
    found = grid_of(compute, image.clipToBoundsAndScale(box(401_300, 3_597_200, 404_100, 3_599_900)))
    assert found == Grid(UTM.translated(1, 0), 4, 3)
    clipped = image.clip(box(401_300, 3_597_200, 404_100, 3_599_900))
    assert grid_of(compute, clipped.clipToBoundsAndScale()) == found


def test_a_scale_and_a_size_exclude_each_other(compute: Any) -> None:
    with pytest.raises(EngineError, match=r"Image\.clipToBoundsAndScale: Only one of"):
        compute(columns().clipToBoundsAndScale(box(0, 0, 1, 1), width=3, height=3, scale=30))
    with pytest.raises(EngineError, match="unbounded"):
        compute(columns().clipToBoundsAndScale(scale=30))


def test_scaled_pixels_are_computed_at_the_output_grid(compute: Any) -> None:
    image = columns((100.0, 0.0, 400_000.0, 0.0, -100.0, 3_600_000.0)).setDefaultProjection(
        CRS, list(TRANSFORM)
    )
    value = compute(image.clipToBoundsAndScale(box(400_000, 3_598_000, 403_000, 3_600_000), scale=500))
    [raster] = value.read(value.grid)
    assert raster.values[0].tolist() == [2, 7, 12, 17, 22, 27]


# Random numbers


def test_random_numbers_depend_on_seed_and_place_alone(pixels: Any, grid: Grid) -> None:
    first, again, other = (pixels(ee.Image.random(seed))[0] for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not (first == other).any()
    [part] = pixels(ee.Image.random(4), grid.window(3, 5, 8, 9))
    assert np.array_equal(part, first[3:11, 5:14])


def test_random_numbers_are_uniform_or_normal(compute: Any, pixels: Any) -> None:
    wide = Grid(UTM, 100, 100)
    uniform = pixels(ee.Image.random(1), wide)[0].ravel()
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert stats.kstest(pixels(ee.Image.random(1, "normal"), wide)[0].ravel(), "norm").pvalue > 1e-4
    with pytest.raises(EngineError, match=r"Image\.random: Distribution"):
        compute(ee.Image.random(1, "cauchy"))


def test_generated_images_have_the_default_projection(compute: Any) -> None:
    for image in (ee.Image.pixelLonLat(), ee.Image.pixelArea(), ee.Image.random(), ee.Image(1)):
        assert compute(image.projection()) == WGS84
