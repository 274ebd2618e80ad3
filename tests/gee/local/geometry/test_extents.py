"""Boxes hold their geometries, and never hide that two geometries touch."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from gee.local.geometry.extents import Places, apart, box_of, widened
from gee.local.geometry.geometries import Geometry


def square(west, south, size):
    return Geometry(shapely.box(west, south, west + size, south + size), geodesic=False)


@pytest.mark.parametrize(("south", "north"), [(40, 60), (-60, -40), (-5, 5)])
def test_a_geodesic_edge_stays_in_the_box(south, north):
    """Points of the great circle by the haversine-free formula of spherical interpolation."""
    ring = shapely.box(10, south, 100, north)
    _, low, _, high = box_of(Geometry(ring))
    for latitude in (south, north):
        one, other = (
            np.array(
                [np.cos(np.radians(latitude)) * f for f in (np.cos(np.radians(x)), np.sin(np.radians(x)))]
                + [np.sin(np.radians(latitude))]
            )
            for x in (10, 100)
        )
        way = one + np.linspace(0, 1, 101)[:, None] * (other - one)
        latitudes = np.degrees(np.arcsin(way[:, 2] / np.linalg.norm(way, axis=1)))
        assert low <= latitudes.min()
        assert latitudes.max() <= high


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 1, 1), (2, 0, 3, 1), True),
        ((0, 0, 1, 1), (0, 2, 1, 3), True),
        ((0, 0, 1, 1), (0.5, 0.5, 3, 3), False),
        ((179, 0, 181, 1), (-180, 0, -179.5, 1), False),
        ((179, 0, 181, 1), (-178, 0, -177, 1), True),
        ((-180, -90, 180, 90), (5, 5, 6, 6), False),
        ((10, 0, 20, 1), (12, 0, 13, 1), False),
        ((0, 0, 1, 1), (1, 0, 2, 1), False),
    ],
)
def test_boxes_apart(one, other, expected):
    assert apart(one, other) is expected
    assert apart(other, one) is expected


def test_places_offer_every_geometry_that_touches():
    generator = np.random.default_rng(2)
    shapes = [
        square(x, y, size)
        for x, y, size in zip(*generator.uniform((-180, -80, 0), (170, 80, 9), (300, 3)).T, strict=True)
    ]
    places = Places(shapes)
    for one in shapes[:60]:
        touching = {n for n, other in enumerate(shapes) if shapely.intersects(one.shape, other.shape)}
        assert touching <= set(places.near(one, 0.0))


@pytest.mark.parametrize("latitude", [0, 45, -70, 85])
def test_widened_holds_what_is_within_the_distance(latitude):
    west, south, east, north = widened((10.0, latitude, 10.0, latitude), 100_000)
    directions = np.arange(0, 360, 5.0)
    count = len(directions)
    lon, lat, _ = pyproj.Geod(ellps="WGS84").fwd(
        np.full(count, 10.0), np.full(count, float(latitude)), directions, np.full(count, 100_000.0)
    )
    assert ((lat >= south) & (lat <= north)).all()
    assert ((lon >= west) & (lon <= east)).all()


def test_an_empty_geometry_is_nowhere():
    assert box_of(Geometry(shapely.GeometryCollection())) is None
    assert Places([None, Geometry(shapely.Polygon())]).near(square(0, 0, 1), 1e6) == []
