"""Derivatives, gradients and terrain against NumPy's differences and pyproj's ground distances."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pyproj
import pytest

from gee.local.geometry.projections import Grid, Projection

DEGREES = Grid(Projection("EPSG:4326", (0.01, 0.0, 117.0, 0.0, -0.01, 31.5)), 12, 9)
MERCATOR = Grid(Projection("EPSG:3857", (600.0, 0.0, 1.3e7, 0.0, -600.0, 3.7e6)), 12, 9)


def _ground(grid: Grid) -> tuple[Any, Any]:
    """Metres between the two neighbours in a row, and the two in a column, on the ellipsoid."""
    lon, lat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(
        *grid.padded(1, 1).centres()
    )
    geod = pyproj.Geod(ellps="WGS84")
    across = geod.inv(lon[1:-1, :-2], lat[1:-1, :-2], lon[1:-1, 2:], lat[1:-1, 2:])[2]
    along = geod.inv(lon[:-2, 1:-1], lat[:-2, 1:-1], lon[2:, 1:-1], lat[2:, 1:-1])[2]
    return across, along


def _rises(pixels: Any, image: Any, grid: Grid) -> tuple[Any, Any]:
    """Change from west to east and from south to north over the two neighbours."""
    array = pixels(image, grid.padded(1, 1))[0].data.astype(np.float64)
    return array[1:-1, 2:] - array[1:-1, :-2], array[:-2, 1:-1] - array[2:, 1:-1]


def test_a_derivative_is_half_the_difference_of_the_neighbours(
    compute: Any, pixels: Any, noise: Any, grid: Any
) -> None:
    assert compute(noise().derivative()).names == ["v_x", "v_y"]
    x, y = pixels(noise().derivative())
    rows, columns = np.gradient(pixels(noise(), grid.padded(1, 1))[0].data.astype(float))
    assert np.array_equal(x, columns[1:-1, 1:-1])
    assert np.array_equal(y, rows[1:-1, 1:-1])


@pytest.mark.parametrize("where", [DEGREES, MERCATOR, None])
def test_a_gradient_is_per_metre_on_the_ground(
    pixels: Any, noise: Any, grid: Grid, where: Grid | None
) -> None:
    on = where or grid
    x, y = pixels(noise().gradient(), on)
    (east, north), (across, along) = _rises(pixels, noise(), on), _ground(on)
    np.testing.assert_allclose(x, east / across, rtol=8e-3)  # a sphere is up to 0.7 % from the ellipsoid
    np.testing.assert_allclose(y, north / along, rtol=8e-3)


def test_edges_and_gaps_have_no_gradient(pixels: Any, noise: Any, grid: Any) -> None:
    valid = ~np.ma.getmaskarray(pixels(noise(gaps=True), grid.padded(1, 1))[0])
    known = valid[1:-1, 1:-1] & valid[1:-1, 2:] & valid[1:-1, :-2] & valid[2:, 1:-1] & valid[:-2, 1:-1]
    for image in (noise(gaps=True).gradient(), ee.Terrain.slope(noise(gaps=True))):
        assert np.array_equal(~np.ma.getmaskarray(pixels(image)[0]), known)


@pytest.mark.parametrize("where", [DEGREES, None])
def test_slope_and_aspect_are_those_of_the_steepest_descent(
    pixels: Any, noise: Any, grid: Grid, where: Grid | None
) -> None:
    on = where or grid
    heights = noise(most=900)
    [slope], [aspect] = pixels(ee.Terrain.slope(heights), on), pixels(ee.Terrain.aspect(heights), on)
    (east, north), (across, along) = _rises(pixels, heights, on), _ground(on)
    down = np.stack([-east / across, -north / along])
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(*down))), rtol=8e-3)
    # The direction of the vector, measured the compass's way, which complex numbers measure the other.
    bearing = (90 - np.degrees(np.angle(down[0] + 1j * down[1]))) % 360
    assert np.abs((aspect - bearing + 180) % 360 - 180).max() < 0.5


@pytest.mark.parametrize(
    ("rise", "faces"), [((0, -1), 0), ((-1, 0), 90), ((0, 1), 180), ((1, 0), 270), ((-1, -1), 45)]
)
def test_aspect_counts_clockwise_from_north(pixels: Any, grid: Any, rise: Any, faces: float) -> None:
    """A plane that rises to the south faces north."""
    projection = ee.Projection(grid.crs, [1, 0, 0, 0, 1, 0])
    metres = ee.Image.pixelCoordinates(projection)
    plane = metres.select("x").multiply(rise[0]).add(metres.select("y").multiply(rise[1])).rename("z")
    [aspect], [slope] = pixels(ee.Terrain.aspect(plane)), pixels(ee.Terrain.slope(plane))
    assert np.abs((aspect - faces + 180) % 360 - 180).max() < 1e-3
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(*rise))), atol=0.02)


def test_flat_ground_faces_nowhere_and_is_lit_by_the_sine_of_the_sun(pixels: Any) -> None:
    flat = ee.Image(7).float()
    assert (pixels(ee.Terrain.aspect(flat))[0] == 0).all()
    assert (pixels(ee.Terrain.slope(flat))[0] == 0).all()
    assert (pixels(ee.Terrain.hillshade(flat, 120, 30))[0] == int(255 * 0.5)).all()


def test_hillshade_is_the_cosine_between_the_sun_and_the_normal(pixels: Any, noise: Any, grid: Any) -> None:
    heights = noise(most=2000)
    [shade] = pixels(ee.Terrain.hillshade(heights, 300, 40))
    (east, north), (across, along) = _rises(pixels, heights, grid), _ground(grid)
    normal = np.stack([-east / across, -north / along, np.ones(grid.shape)])
    normal /= np.linalg.norm(normal, axis=0)
    azimuth, height = np.radians(300), np.radians(40)
    sun = np.array([np.sin(azimuth) * np.cos(height), np.cos(azimuth) * np.cos(height), np.sin(height)])
    expected = np.clip(np.tensordot(sun, normal, 1), 0, 1) * 255
    assert np.abs(shade.astype(float) - expected).max() <= 1.5
    assert shade.dtype == np.uint8


def test_terrain_products_are_added_to_the_image(compute: Any, pixels: Any, noise: Any) -> None:
    image = noise().rename("elevation").addBands(noise(2).rename("other")).set("place", "here")
    products = compute(ee.Terrain.products(image))
    assert products.names == ["elevation", "other", "slope", "aspect", "hillshade"]
    assert products.properties["place"] == "here"
    both = pixels(ee.Terrain.products(image).select("hillshade")), pixels(ee.Terrain.hillshade(noise()))
    assert np.array_equal(*(bands[0] for bands in both))


def test_a_zero_crossing_has_the_other_sign_right_below_or_between(
    pixels: Any, noise: Any, grid: Any
) -> None:
    image = noise(most=3).subtract(1)
    sign = pixels(image, grid.padded(1, 1))[0].data.astype(int)
    here = sign[1:-1, 1:-1]
    expected = np.zeros(grid.shape, bool)
    for there in (sign[1:-1, 2:], sign[2:, 1:-1], sign[2:, 2:]):
        expected |= here * there < 0
    assert np.array_equal(pixels(image.zeroCrossing())[0], expected)


def test_a_tile_has_the_pixels_of_the_whole(noise: Any, agrees_in_tiles: Any) -> None:
    for image in (noise(gaps=True).gradient(), noise(gaps=True).zeroCrossing(), ee.Terrain.products(noise())):
        agrees_in_tiles(image)
