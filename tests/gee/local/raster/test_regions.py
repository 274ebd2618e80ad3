"""Which pixels a region has and how much of each it covers, against exact areas (shapely)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from gee.local.geometry.geometries import EVERYWHERE, Geometry
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.regions import common, coverage, inside, key_of

CRS = "EPSG:32650"
UTM = Projection(CRS, (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
GRID = Grid(UTM, 30, 20)

STAR = [
    (403_100, 3_598_300), (409_700, 3_592_400), (421_900, 3_597_800), (415_290, 3_590_130),
    (424_450, 3_582_350), (411_250, 3_587_650), (402_350, 3_581_150), (406_650, 3_590_450),
]  # fmt: skip
HOLED = shapely.Polygon(
    [(402_250, 3_598_750), (426_300, 3_597_100), (427_700, 3_583_300), (404_400, 3_581_900)],
    [
        [(410_150, 3_594_900), (414_850, 3_594_200), (412_500, 3_588_450)],
        [(420_010, 3_590_020), (420_910, 3_590_020), (420_910, 3_589_110), (420_010, 3_589_110)],
    ],
)
TWO = shapely.MultiPolygon(
    [shapely.box(401_300, 3_585_200, 405_800, 3_599_400), shapely.box(412_450, 3_586_100, 420_250, 3_588_900)]
)
SHAPES = {
    "concave": shapely.Polygon(STAR),
    "holes": HOLED,
    "several": TWO,
    "tiny": shapely.box(407_100, 3_590_100, 407_400, 3_590_400),
    "beyond": shapely.box(390_000, 3_590_490, 410_510, 3_610_000),
}


def boxes(grid: Grid) -> NDArray[Any]:
    """Each pixel of a north-up grid as a polygon in its coordinate system."""
    a, _, left, _, e, top = grid.projection.transform
    columns, rows = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    made: NDArray[Any] = shapely.box(
        left + a * columns, top + e * (rows + 1), left + a * (columns + 1), top + e * rows
    )
    return made


def shares(shape: Any, grid: Grid) -> NDArray[np.float64]:
    cells = boxes(grid)
    return np.asarray(shapely.area(shapely.intersection(cells, shape)) / shapely.area(cells))


def with_eight_bits(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractions below 1/256 do not count."""
    return np.where(share < 1 / 256, 0, share)


def planar(shape: Any, crs: str = CRS) -> Geometry:
    return Geometry(shape, crs, geodesic=False)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_coverage_is_the_exact_share_of_each_pixel(shape: Any) -> None:
    found = coverage(planar(shape), GRID)
    np.testing.assert_allclose(found, with_eight_bits(shares(shape, GRID)), atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_pixel_is_inside_when_its_centre_is(shape: Any) -> None:
    x, y = GRID.centres()
    assert np.array_equal(inside(planar(shape), GRID), shapely.contains_xy(shape, x, y))


def test_neighbours_share_no_pixel_whose_centre_is_on_their_border() -> None:
    left, right = (
        shapely.box(400_000, 3_580_000, 410_500, 3_600_000),
        shapely.box(410_500, 3_580_000, 430_000, 3_600_000),
    )
    both = inside(planar(left), GRID).astype(int) + inside(planar(right), GRID)
    assert (both == 1).all()


def test_a_share_below_one_256th_counts_for_nothing() -> None:
    """A strip of 3 m and one of 5 m in pixels of a kilometre: 0.003 and 0.005."""
    west, east = (
        shapely.box(399_000, 3_599_000, 400_003, 3_600_000),
        shapely.box(401_000, 3_599_000, 401_005, 3_600_000),
    )
    assert coverage(planar(west), GRID)[0, 0] == 0
    assert coverage(planar(east), GRID)[0, 1] == pytest.approx(0.005)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32651", "EPSG:3857"])
def test_coverage_of_a_region_given_in_another_system(crs: str) -> None:
    """Edges that are straight there are curves here; drawn within a metre, 0.002 of a pixel's share."""
    turn = Transformer.from_crs(CRS, crs, always_xy=True)
    back = Transformer.from_crs(crs, CRS, always_xy=True)
    there = shapely.Polygon([turn.transform(x, y) for x, y in STAR])
    steps = max(there.bounds[2] - there.bounds[0], there.bounds[3] - there.bounds[1]) / 2000
    drawn = shapely.transform(
        shapely.segmentize(there, steps), lambda c: np.column_stack(back.transform(c[:, 0], c[:, 1]))
    )
    found = coverage(planar(there, crs), GRID)
    np.testing.assert_allclose(found, with_eight_bits(shares(drawn, GRID)), atol=0.004)
    assert found.sum() == pytest.approx(shares(drawn, GRID).sum(), rel=1e-3)


def test_geodesic_edges_are_great_circles() -> None:
    """A long edge along a parallel bows north of it by kilometres."""
    ring = [(110.0, 30.0), (125.0, 30.0), (125.0, 30.2), (110.0, 30.2)]
    grid = Grid(Projection("EPSG:4326", (0.01, 0.0, 117.0, 0.0, -0.01, 30.4)), 1, 40)
    straight = coverage(Geometry.polygon(ring, geodesic=False), grid)[:, 0]
    bowed = coverage(Geometry.polygon(ring), grid)[:, 0]

    def crossing(south: float) -> float:
        """Latitude of the great circle between (110, s) and (125, s) at 117.005 degrees."""
        middle = np.degrees(np.arctan(np.tan(np.radians(south)) / np.cos(np.radians(7.5))))
        return float(np.degrees(np.arctan(np.tan(np.radians(middle)) * np.cos(np.radians(117.005 - 117.5)))))

    def share(low: float, high: float) -> NDArray[np.float64]:
        tops = 30.4 - 0.01 * np.arange(40)
        return np.clip((np.minimum(tops, high) - np.maximum(tops - 0.01, low)) / 0.01, 0, 1)

    np.testing.assert_allclose(straight, with_eight_bits(share(30.0, 30.2)), atol=1e-6)
    np.testing.assert_allclose(bowed, share(crossing(30.0), crossing(30.2)), atol=5e-3)


def test_a_point_has_the_pixel_that_contains_it() -> None:
    x, y = 407_999.0, 3_590_001.0
    expected = np.zeros(GRID.shape, np.bool_)
    expected[9, 7] = True
    for shape in (shapely.Point(x, y), shapely.MultiPoint([(x, y), (x - 500, y + 500)])):
        assert np.array_equal(inside(planar(shape), GRID), expected)
        assert np.array_equal(coverage(planar(shape), GRID), expected.astype(float))


def test_points_have_all_their_pixels() -> None:
    rng = np.random.default_rng(1)
    columns, rows = rng.integers(0, 30, 12), rng.integers(0, 20, 12)
    points = shapely.MultiPoint(
        np.column_stack([400_000 + 1000 * (columns + 0.3), 3_600_000 - 1000 * (rows + 0.6)])
    )
    expected = np.zeros(GRID.shape, np.bool_)
    expected[rows, columns] = True
    assert np.array_equal(inside(planar(points), GRID), expected)


def test_a_line_has_the_pixels_it_passes() -> None:
    line = shapely.LineString([(402_300, 3_598_800), (417_900, 3_585_300), (428_200, 3_590_700)])
    lengths = shapely.length(shapely.intersection(boxes(GRID), line))
    found = inside(planar(line), GRID)
    assert found[lengths > 20].all()  # metres
    assert not found[lengths == 0].any()
    assert np.array_equal(coverage(planar(line), GRID), found.astype(float))


def test_a_collection_has_the_pixels_of_all_its_parts() -> None:
    polygon, point = shapely.box(401_300, 3_595_200, 405_800, 3_599_400), shapely.Point(420_500, 3_590_500)
    mixed = planar(shapely.GeometryCollection([polygon, point]))
    expected = with_eight_bits(shares(polygon, GRID))
    expected[9, 20] = 1
    np.testing.assert_allclose(coverage(mixed, GRID), expected, atol=1e-9)
    centres = shapely.contains_xy(polygon, *GRID.centres())
    centres[9, 20] = True
    assert np.array_equal(inside(mixed, GRID), centres)


def test_everywhere_and_nowhere() -> None:
    empty = planar(shapely.Polygon())
    assert inside(EVERYWHERE, GRID).all()
    assert (coverage(EVERYWHERE, GRID) == 1).all()
    assert not inside(empty, GRID).any()
    assert not coverage(empty, GRID).any()


def test_regions_of_different_edges_or_systems_have_different_keys() -> None:
    shape = shapely.box(116, 30, 117, 31)
    keys = {
        key_of(geometry)
        for geometry in (
            Geometry(shape),
            Geometry(shape, geodesic=False),
            Geometry(shape, "EPSG:4979"),
            Geometry(shape, even_odd=False),
            Geometry(shapely.box(116, 30, 117, 32)),
            EVERYWHERE,
        )
    }
    assert len(keys) == 6
    assert key_of(Geometry(shape)) == key_of(Geometry(shapely.box(116, 30, 117, 31)))


def test_where_two_regions_are_both() -> None:
    one, other = planar(shapely.box(0, 0, 4, 4)), planar(shapely.box(2, 1, 9, 9))
    assert common(one, other).shape.equals(shapely.box(2, 1, 4, 4))
    # The second is turned into the first one's system.
    west = Geometry.rectangle(116.0, 31.0, 117.0, 32.0)
    east = planar(shapely.transform(shapely.box(116.5, 30, 118, 33), lambda c: np.column_stack(
        Transformer.from_crs(4326, CRS, always_xy=True).transform(c[:, 0], c[:, 1]))))  # fmt: skip
    assert common(west, east).shape.area == pytest.approx(0.5, rel=5e-3)
