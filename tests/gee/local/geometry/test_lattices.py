"""Interpolated positions of lattices against pyproj's own, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer

from gee.local.geometry import lattices
from gee.local.geometry.lattices import placed
from gee.local.geometry.projections import Projection

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
Floats = NDArray[np.float64]


def north_up(crs: str, side: float, west: float, north: float) -> Projection:
    return Projection(crs, (side, 0.0, west, 0.0, -side, north))


UTM = north_up("EPSG:32650", 1000.0, 279_000.0, 3_852_000.0)
UTM_FINE = north_up("EPSG:32650", 10.0, 440_000.0, 3_500_000.0)
UTM_WEST = north_up("EPSG:32649", 100.0, 1_000_000.0, 3_500_000.0)
MODIS = north_up("SR-ORG:6974", 463.312716527917, -20_015_109.354, 10_007_554.677)
MODIS_HERE = north_up("SR-ORG:6974", 463.312716527917, 11_119_505.0, 3_335_851.0)
MODIS_GLOBE = north_up("SR-ORG:6974", 80_000.0, -20_015_109.354, 10_007_554.677)
DEGREES = north_up("EPSG:4326", 1 / 1200, 115.0, 34.0)
GLOBE = north_up("EPSG:4326", 1.0, -180.0, 90.0)
PACIFIC = north_up("EPSG:32660", 2000.0, 300_000.0, 2_000_000.0)
EASE = north_up("EPSG:6933", 9008.05521014604, -17_367_530.445161, 7_314_540.830638)
WEB = north_up("EPSG:3857", 250.0, 13_000_000.0, 3_700_000.0)
POLAR = north_up("EPSG:3995", 50_000.0, -4_000_000.0, 4_000_000.0)
SHEARED = Projection("EPSG:32650", (900.0, 150.0, 400_000.0, 200.0, -800.0, 3_600_000.0))


def expected(source: Projection, columns: Floats, rows: Floats, target: Projection) -> tuple[Floats, Floats]:
    """Positions by pyproj and a linear solver."""
    names = [SINUSOIDAL if each.crs == "SR-ORG:6974" else each.crs for each in (source, target)]
    a, b, c, d, e, f = source.transform
    column, row = np.meshgrid(columns, rows)
    x, y = Transformer.from_crs(*names, always_xy=True).transform(
        a * column + b * row + c, d * column + e * row + f
    )
    a, b, c, d, e, f = target.transform
    solved = np.linalg.solve(np.array([[a, b], [d, e]]), np.stack([x.ravel() - c, y.ravel() - f]))
    return solved[0].reshape(x.shape), solved[1].reshape(x.shape)


def assert_as_expected(source: Projection, columns: Floats, rows: Floats, target: Projection) -> None:
    with np.errstate(invalid="ignore"):
        found = placed(source, columns, rows, target)
        wanted = expected(source, columns, rows, target)
    there = np.isfinite(wanted[0]) & np.isfinite(wanted[1])
    for ours, its in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.isfinite(found[0]) & np.isfinite(found[1]), there)
        np.testing.assert_allclose(ours[there], its[there], rtol=1e-14, atol=5e-9)


@pytest.mark.parametrize(
    ("source", "width", "height", "target"),
    [
        (UTM, 300, 200, MODIS),
        (UTM_FINE, 400, 300, MODIS),
        (UTM_WEST, 300, 300, UTM),
        (MODIS_HERE, 256, 256, UTM),
        (MODIS_HERE, 256, 256, UTM_FINE),
        (DEGREES, 256, 256, UTM),
        (DEGREES, 300, 100, MODIS),
        (UTM, 100, 300, EASE),
        (WEB, 256, 256, UTM),
        (SHEARED, 200, 150, DEGREES),
        (UTM, 200, 150, SHEARED),
        (UTM, 4000, 1, MODIS),
        (UTM, 20, 20, MODIS),
        (DEGREES, 100, 100, DEGREES),
        (MODIS_GLOBE, 500, 250, DEGREES),
        (GLOBE, 360, 180, EASE),
        (GLOBE, 360, 180, MODIS),
        (GLOBE, 360, 180, UTM),
        (POLAR, 160, 160, DEGREES),
        (PACIFIC, 300, 300, GLOBE),
    ],
)
def test_positions_are_those_of_pyproj(
    source: Projection, width: int, height: int, target: Projection
) -> None:
    assert_as_expected(source, np.arange(width) + 0.5, np.arange(height) + 0.5, target)


def test_the_edge_of_the_sinusoidal_globe_and_the_date_line_are_not_smoothed_over() -> None:
    edge = north_up("SR-ORG:6974", 5000.0, 16_900_000.0, 3_600_000.0)
    columns, rows = np.arange(200) + 0.5, np.arange(200) + 0.5
    longitude, _ = placed(edge, columns, rows, GLOBE)
    assert longitude.min() < 10 < 350 < longitude.max()  # both sides of the seam
    assert_as_expected(edge, columns, rows, GLOBE)


@settings(max_examples=60, deadline=None)
@given(
    zone=st.integers(1, 60),
    south=st.booleans(),
    side=st.sampled_from([10.0, 100.0, 463.0, 1000.0, 9000.0]),
    east=st.floats(200_000, 800_000),
    north=st.floats(100_000, 8_000_000),
    size=st.tuples(st.integers(1, 160), st.integers(1, 160)),
    first=st.floats(-3, 3),
    target=st.sampled_from([MODIS, EASE, DEGREES, WEB, UTM, GLOBE]),
)
def test_any_utm_lattice(
    zone: int,
    south: bool,
    side: float,
    east: float,
    north: float,
    size: tuple[int, int],
    first: float,
    target: Projection,
) -> None:
    source = north_up(f"EPSG:{327 if south else 326}{zone:02d}", side, east, north)
    columns, rows = first + np.arange(size[0]) * 1.25, first + np.arange(size[1]) * 0.5
    assert_as_expected(source, columns, rows, target)


def test_few_points_are_transformed_where_the_map_is_smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    exact = lattices._exact

    def counting(source: Projection, columns: Floats, rows: Floats, target: Projection) -> object:
        asked.append(columns.size)
        return exact(source, columns, rows, target)

    monkeypatch.setattr(lattices, "_exact", counting)
    placed(UTM_FINE, np.arange(1000.0), np.arange(1000.0), MODIS)
    assert sum(asked) < 5000  # of a million
