"""Coordinate systems, projections and grids, against pyproj and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyproj import Geod, Transformer

from gee.local.errors import EngineError
from gee.local.geometry.projections import (
    METRES_PER_DEGREE,
    WGS84,
    Grid,
    Projection,
    covering,
    crs_of,
    is_geographic,
    transformer,
)

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
TURNED = Projection("EPSG:32650", (300.0, 400.0, 10.0, 400.0, -300.0, 20.0))  # pixels of 500 m, turned


def test_one_degree_of_the_equator_has_the_documented_length() -> None:
    [_, _, metres] = Geod(ellps="WGS84").inv(0, 0, 1, 0)
    assert pytest.approx(metres, abs=1e-6) == METRES_PER_DEGREE


@pytest.mark.parametrize(
    ("projection", "scale"),
    [
        (WGS84, METRES_PER_DEGREE),
        (UTM, 1000.0),
        (TURNED, 500.0),
        (Projection("EPSG:4326", (0.25, 0.0, 0.0, 0.0, -0.25, 0.0)), METRES_PER_DEGREE / 4),
        (Projection("EPSG:2264", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)), 1200 / 3937),  # US survey feet
        (Projection("SR-ORG:6974", (463.5, 0.0, 0.0, 0.0, -463.5, 0.0)), 463.5),
    ],
)
def test_the_nominal_scale_is_the_side_of_a_pixel_in_metres(projection: Projection, scale: float) -> None:
    assert projection.nominal_scale == pytest.approx(scale, rel=1e-9)


def test_the_sinusoidal_system_is_that_of_modis() -> None:
    lon, lat, radius = np.array([117.3, -60.0]), np.array([31.8, -12.5]), 6371007.181
    x, y = transformer("EPSG:4326", "SR-ORG:6974").transform(lon, lat)
    np.testing.assert_allclose(x, radius * np.radians(lon) * np.cos(np.radians(lat)), rtol=1e-9)
    np.testing.assert_allclose(y, radius * np.radians(lat), rtol=1e-9)


def test_a_wkt_serves_as_well_as_a_code() -> None:
    wkt = crs_of("EPSG:32650").to_wkt()
    assert transformer("EPSG:4326", wkt).transform(117, 31) == transformer(
        "EPSG:4326", "EPSG:32650"
    ).transform(117, 31)
    assert not is_geographic(wkt)
    assert is_geographic("EPSG:4326")


@pytest.mark.parametrize("code", ["EPSG:999999", "nonsense", ""])
def test_an_unknown_system_is_named(code: str) -> None:
    with pytest.raises(EngineError, match=f"could not be parsed: '{code}'"):
        crs_of(code)


def test_longitude_comes_first() -> None:
    assert transformer("EPSG:4326", "EPSG:32650").transform(117.0, 31.0) == pytest.approx(
        Transformer.from_crs(4326, 32650, always_xy=True).transform(117.0, 31.0)
    )


@pytest.mark.parametrize("projection", [WGS84, UTM, TURNED])
def test_pixels_and_coordinates_are_inverse(projection: Projection) -> None:
    columns, rows = np.array([0.0, 3.5, -2.0]), np.array([0.0, -7.25, 9.0])
    back = projection.to_pixels(*projection.to_crs(columns, rows))
    np.testing.assert_allclose(back, (columns, rows), atol=1e-9)


def test_a_transform_maps_columns_and_rows_in_the_order_earth_engine_writes() -> None:
    x, y = TURNED.to_crs(np.array([2.0]), np.array([5.0]))
    assert (x[0], y[0]) == (300 * 2 + 400 * 5 + 10, 400 * 2 - 300 * 5 + 20)


def test_a_singular_transform_is_refused() -> None:
    with pytest.raises(EngineError, match="singular"):
        Projection("EPSG:4326", (1.0, 1.0, 0.0, 1.0, 1.0, 0.0)).to_pixels(0.0, 0.0)


def test_another_scale_keeps_origin_and_directions() -> None:
    assert UTM.at_scale(250).transform == (250, 0, 400_000, 0, -250, 3_600_000)
    assert TURNED.at_scale(1000).transform == (600, 800, 10, 800, -600, 20)
    assert WGS84.at_scale(1000).transform[0] == pytest.approx(1000 / METRES_PER_DEGREE)


@pytest.mark.parametrize("metres", [0, -1, math.inf, math.nan])
def test_a_scale_is_positive_and_finite(metres: float) -> None:
    with pytest.raises(EngineError, match="Scale must be positive"):
        UTM.at_scale(metres)


def test_only_one_degree_of_wgs84_is_the_default() -> None:
    assert WGS84.is_default
    assert Projection("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0)).is_default
    assert not Projection("EPSG:4326", (0.5, 0.0, 0.0, 0.0, 0.5, 0.0)).is_default
    assert not Projection("EPSG:32650", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)).is_default


def test_centres_lie_half_a_pixel_from_the_corners() -> None:
    x, y = Grid(UTM, 3, 2).centres()
    assert x.tolist() == [[400_500, 401_500, 402_500]] * 2
    assert y.tolist() == [[3_599_500] * 3, [3_598_500] * 3]


@pytest.mark.parametrize("projection", [UTM, TURNED])
def test_windows_and_margins_have_the_same_pixels(projection: Projection) -> None:
    grid = Grid(projection, 10, 8)
    x, y = grid.centres()
    for part, rows, columns in (
        (grid.window(2, 3, 4, 5), slice(2, 6), slice(3, 8)),
        (grid.padded(2, 1).window(1, 2, 8, 10), slice(0, 8), slice(0, 10)),
    ):
        np.testing.assert_allclose(part.centres()[0], x[rows, columns])
        np.testing.assert_allclose(part.centres()[1], y[rows, columns])
    assert grid.padded(2, 1).shape == (10, 14)


def test_the_offset_of_an_aligned_grid_is_in_whole_pixels() -> None:
    assert Grid(UTM, 5, 5).offset_in(UTM) == (0, 0)
    assert Grid(UTM.translated(7, -3), 5, 5).offset_in(UTM) == (-3, 7)
    rounded = Projection(UTM.crs, (1000.0, 0.0, 407_000.4, 0.0, -1000.0, 3_600_000.3))
    assert Grid(rounded, 5, 5).offset_in(UTM) == (0, 7)


@pytest.mark.parametrize(
    "transform",
    [
        (1000.0, 0.0, 400_500.0, 0.0, -1000.0, 3_600_000.0),
        (500.0, 0.0, 400_000.0, 0.0, -500.0, 3_600_000.0),
        (1000.0, 0.0, 400_000.0, 0.0, 1000.0, 3_600_000.0),
        (1000.0, 1.0, 400_000.0, 0.0, -1000.0, 3_600_000.0),
        (1000.001, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0),  # 100 pixels on it is a tenth of a metre off
    ],
)
def test_other_pixels_have_no_offset(transform: tuple[float, float, float, float, float, float]) -> None:
    assert Grid(Projection(UTM.crs, transform), 5, 1000).offset_in(UTM) is None
    assert Grid(Projection("EPSG:32651", UTM.transform), 5, 5).offset_in(UTM) is None


def test_the_covering_grid_is_the_smallest_that_holds_the_points() -> None:
    found = covering(UTM, np.array([401_200.0, 404_999.0]), np.array([3_597_001.0, 3_598_000.0]))
    assert found == Grid(UTM.translated(1, 2), 4, 1)
    # Points on the edges do not ask for the next pixel, nor does rounding.
    edges = covering(UTM, np.array([401_000.0, 404_000.0]), np.array([3_597_000.0, 3_598_000.0 + 1e-7]))
    assert edges == Grid(UTM.translated(1, 2), 3, 1)
    point = covering(UTM, np.array([401_500.0]), np.array([3_597_500.0]))
    assert point == Grid(UTM.translated(1, 2), 1, 1)


def test_an_outline_leaves_out_what_has_no_place() -> None:
    globe = Grid(Projection("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0)), 360, 180)
    view = "+proj=ortho +lat_0=30 +lon_0=117 +R=6371000"
    x, _ = globe.outline(view)
    assert 0 < x.size < 21 * 21
    assert Grid(UTM, 5, 5).outline("EPSG:4326", 4)[0].size == 16
