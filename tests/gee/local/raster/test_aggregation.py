"""reduceResolution against exact polygons: pixels of one projection cut by those of another (shapely)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import ee
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from gee.local.context import Context, working
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster import aggregation
from gee.local.raster.aggregation import overlap
from gee.local.raster.cache import TileCache

SIDE = 463.3127165279165
SPHERE = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
MODIS = Projection("SR-ORG:6974", (SIDE, 0.0, 11_119_505.0, 0.0, -SIDE, 3_335_851.0))
UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
KILOMETRE = Grid(Projection("EPSG:32650", (1000.0, 0.0, 520_000.0, 0.0, -1000.0, 3_310_000.0)), 6, 5)
NINE = Grid(Projection("EPSG:32650", (9000.0, 0.0, 520_000.0, 0.0, -9000.0, 3_310_000.0)), 2, 2)
Read = Callable[..., Any]


@pytest.fixture(autouse=True)
def in_context(context: Context) -> Iterator[None]:
    with working(context):
        yield


@lru_cache
def shares(grid: Grid) -> dict[tuple[int, int], list[tuple[int, int, float]]]:
    """By pixel of a UTM grid: column and row of each MODIS pixel on it, and the fraction that it covers."""
    to_modis = Transformer.from_crs(grid.crs, SPHERE, always_xy=True)
    to_grid = Transformer.from_crs(SPHERE, grid.crs, always_xy=True)
    size, left, top = grid.projection.transform[0], grid.projection.transform[2], grid.projection.transform[5]
    found: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
    for row in range(grid.height):
        for column in range(grid.width):
            box = shapely.box(
                left + column * size, top - (row + 1) * size, left + (column + 1) * size, top - row * size
            )
            x, y = to_modis.transform(*np.array(shapely.segmentize(box, size / 4).exterior.coords).T)
            columns = np.arange(
                np.floor((x.min() - 11_119_505.0) / SIDE) - 1, (x.max() - 11_119_505.0) / SIDE + 1
            )
            rows = np.arange(np.floor((3_335_851.0 - y.max()) / SIDE) - 1, (3_335_851.0 - y.min()) / SIDE + 1)
            c, r = (array.ravel() for array in np.meshgrid(columns, rows))
            corners = [
                to_grid.transform(11_119_505.0 + (c + i) * SIDE, 3_335_851.0 - (r + j) * SIDE)
                for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
            ]
            quads = shapely.polygons(np.stack([np.column_stack(corner) for corner in corners], axis=1))
            share = shapely.area(shapely.intersection(quads, box)) / size**2
            found[row, column] = [
                (int(a), int(b), float(w)) for a, b, w in zip(c, r, share, strict=True) if w > 1e-9
            ]
    return found


@pytest.mark.parametrize("grid", [KILOMETRE, NINE])
def test_weights_are_the_exact_areas_of_intersection(grid: Grid) -> None:
    shared = overlap(grid, MODIS)
    finer, matrix = shared.finer, shared.shares
    offset = finer.offset_in(MODIS)
    assert offset is not None
    for (row, column), pixels in shares(grid).items():
        found = matrix[row * grid.width + column]
        weights = {
            (int(index) % finer.width + offset[1], int(index) // finer.width + offset[0]): float(share)
            for index, share in zip(found.indices, found.data, strict=True)
        }
        assert set(weights) == {(c, r) for c, r, _ in pixels}
        for c, r, share in pixels:
            assert weights[c, r] == pytest.approx(share, abs=1e-7)
        # MODIS pixels leave no gaps.
        assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)


def lengths(edges: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Length that each interval between edges shares with each unit interval, (count, intervals)."""
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    units = np.arange(count)[:, None]
    return np.clip(np.minimum(high, units + 1) - np.maximum(low, units), 0, None)


@pytest.mark.parametrize(
    "finer",
    [
        (10.0, 0.0, 519_000.0, 0.0, -10.0, 3_311_000.0),
        (300.0, 0.0, 520_123.0, 0.0, -170.0, 3_310_071.0),
        (300.0, 0.0, 519_999.0, 0.0, 250.0, 3_300_000.0),  # rows run northward
        (-400.0, 0.0, 530_000.0, 0.0, -400.0, 3_310_010.0),
        (1700.0, 0.0, 519_100.0, 0.0, -1300.0, 3_310_700.0),  # coarser
    ],
)
def test_weights_of_parallel_pixels_are_products_of_lengths(finer: tuple[float, ...]) -> None:
    found = overlap(KILOMETRE, Projection("EPSG:32650", finer))
    assert len(found.factors) == 2
    a, _, west, _, e, north = found.finer.projection.transform
    columns = (west + a * np.arange(found.finer.width + 1) - 520_000.0) / 1000
    rows = (3_310_000.0 - north - e * np.arange(found.finer.height + 1)) / 1000
    expected = np.kron(lengths(rows, 5), lengths(columns, 6))
    np.testing.assert_allclose(found.shares.toarray(), expected, atol=2e-9)
    np.testing.assert_allclose(found.covered, 1, atol=1e-8)
    assert found.most == (expected > 1e-9).sum(axis=1).max()
    values = np.random.default_rng(3).normal(size=found.finer.shape)
    np.testing.assert_allclose(found.totals(values), expected @ values.ravel(), atol=1e-7)


def test_scenes_of_one_lattice_have_their_overlap_in_common() -> None:
    first, second, third = (
        Projection("EPSG:32649", (10.0, 0.0, west, 0.0, -10.0, 3_400_000.0))
        for west in (1_000_000.0, 1_234_560.0, 1_234_565.0)
    )
    assert overlap(KILOMETRE, first) is overlap(KILOMETRE, second)
    assert overlap(KILOMETRE, first) is not overlap(KILOMETRE, third)


def modis(name: str) -> Any:
    """Column or row of each MODIS pixel."""
    crs = ee.Projection(MODIS.crs, list(MODIS.transform))
    return ee.Image.pixelCoordinates(crs).select(name).floor().int()


def field() -> Any:
    """Whole numbers that look random, on MODIS pixels."""
    mixed = modis("x").multiply(7919).add(modis("y").multiply(104729)).mod(101).rename("v")
    return mixed.setDefaultProjection(MODIS.crs, list(MODIS.transform))


def number(c: int, r: int) -> int:
    # The remainder has the sign of the dividend, which is positive here.
    return int(np.fmod(c * 7919 + r * 104729, 101))


def expected(
    grid: Grid, statistic: Callable[[NDArray[Any], NDArray[Any]], float], mask: Callable[[int, int], float]
) -> NDArray[np.float64]:
    result = np.full(grid.shape, np.nan)
    for place, pixels in shares(grid).items():
        values = np.array([number(c, r) for c, r, _ in pixels], float)
        weights = np.array([share * mask(c, r) for c, r, share in pixels])
        if weights.any():
            result[place] = statistic(values[weights > 0], weights[weights > 0])
    return result


def weighted_median(values: NDArray[Any], weights: NDArray[Any]) -> float:
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])


def weighted_variance(values: NDArray[Any], weights: NDArray[Any]) -> float:
    mean = np.average(values, weights=weights)
    return float(np.average((values - mean) ** 2, weights=weights))


STATISTICS = {
    "mean": lambda values, weights: float(np.average(values, weights=weights)),
    "sum": lambda values, weights: float((values * weights).sum()),
    "min": lambda values, weights: float(values.min()),
    "max": lambda values, weights: float(values.max()),
    "count": lambda values, weights: len(values),
    "variance": weighted_variance,
}


@pytest.mark.parametrize("grid", [KILOMETRE, NINE])
@pytest.mark.parametrize("reducer", sorted(STATISTICS))
@pytest.mark.parametrize("masked", ["whole", "gaps", "faint"])
def test_a_reducer_meets_every_pixel_with_its_weight(
    compute: Read, grid: Grid, reducer: str, masked: str
) -> None:
    image, mask = (
        field(),
        {
            "whole": (lambda c, r: 1.0),
            "gaps": (lambda c, r: float((c + 2 * r) % 3 != 0)),
            "faint": (lambda c, r: 0.25 + 0.5 * (c % 2)),
        }[masked],
    )
    if masked == "gaps":
        image = image.updateMask(modis("x").add(modis("y").multiply(2)).mod(3))
    if masked == "faint":
        image = image.updateMask(modis("x").mod(2).multiply(0.5).add(0.25))
    reduced = compute(image.reduceResolution(getattr(ee.Reducer, reducer)(), False, 1000))
    assert reduced.names == ["v"]
    [found] = reduced.read(grid)
    wanted = expected(grid, STATISTICS[reducer], mask)
    assert np.array_equal(found.valid(grid.shape), ~np.isnan(wanted))
    np.testing.assert_allclose(found.values, wanted, rtol=2e-6)


def test_the_median_parts_the_weights_in_halves(compute: Read) -> None:
    """Earth Engine does not say how it interpolates: no more than half the weight lies on either side."""
    [found] = compute(field().reduceResolution(ee.Reducer.median(), False, 1000)).read(NINE)
    for place, pixels in shares(NINE).items():
        values = np.array([number(c, r) for c, r, _ in pixels], float)
        weights = np.array([share for _, _, share in pixels])
        step = weights.max()
        assert weights[values < found.values[place]].sum() <= weights.sum() / 2 + step
        assert weights[values > found.values[place]].sum() <= weights.sum() / 2 + step


def test_an_output_pixel_without_valid_input_is_masked(compute: Read) -> None:
    west = ee.Geometry.Rectangle([500_000, 3_200_000, 523_000, 3_400_000], UTM.crs, False)
    [found] = compute(field().clip(west).reduceResolution(ee.Reducer.mean(), False, 1000)).read(KILOMETRE)
    assert found.valid(KILOMETRE.shape)[:, :3].all()
    assert not found.valid(KILOMETRE.shape)[:, 4:].any()


def test_a_multiple_reducer_names_its_outputs_after_the_band(compute: Read) -> None:
    reducer = ee.Reducer.mean().combine(ee.Reducer.max(), None, True)
    both = compute(field().reduceResolution(reducer, False, 1000))
    assert both.names == ["v_mean", "v_max"]
    mean, top = both.read(NINE)
    np.testing.assert_allclose(mean.values, expected(NINE, STATISTICS["mean"], lambda c, r: 1), rtol=1e-6)
    np.testing.assert_allclose(top.values, expected(NINE, STATISTICS["max"], lambda c, r: 1))


def test_a_reducer_of_two_inputs_takes_two_bands(compute: Read) -> None:
    """Rows twice the columns and 5 more: a line through all pixels, whatever their weights."""
    x = field().rename("x")
    pair = x.addBands(x.multiply(2).add(5).rename("y"))
    fitted = compute(pair.reduceResolution(ee.Reducer.linearFit(), False, 1000))
    assert fitted.names == ["scale", "offset"]
    scale, offset = fitted.read(NINE)
    np.testing.assert_allclose(scale.values, 2, rtol=1e-9)
    np.testing.assert_allclose(offset.values, 5, rtol=1e-9)
    with pytest.raises(EngineError, match=r"Image\.reduceResolution: .*2 inputs.*1 bands"):
        compute(x.reduceResolution(ee.Reducer.linearFit()))


def test_chunks_give_what_the_whole_gives(compute: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    image = field().updateMask(modis("x").add(modis("y")).mod(5))
    reducer = ee.Reducer.mean().combine(ee.Reducer.count(), None, True)
    reduced = compute(image.reduceResolution(reducer, False, 1000))
    grid = Grid(NINE.projection, 7, 5)
    whole = reduced.read(grid)
    monkeypatch.setattr(aggregation, "_CHUNK_PIXELS", 2_000)
    with working(Context(None, TileCache(2**24))):  # type: ignore[arg-type]
        chunked = reduced.read(grid)
    for one, other in zip(whole, chunked, strict=True):
        assert np.array_equal(one.valid(grid.shape), other.valid(grid.shape))
        np.testing.assert_allclose(one.values, other.values, rtol=1e-9)


def test_more_input_pixels_than_allowed_are_an_error(compute: Read) -> None:
    with pytest.raises(EngineError, match=r"Image\.reduceResolution: Too many input pixels per output pixel"):
        compute(field().reduceResolution(ee.Reducer.mean(), False, 300)).read(NINE)  # about 378 of 463 m
    with pytest.raises(EngineError, match="maxPixels must be positive"):
        compute(field().reduceResolution(ee.Reducer.mean(), False, 0))


def test_best_effort_starts_from_a_coarser_level_instead(compute: Read) -> None:
    """A level whose pixels are the nearest of the finer ones: on a plane the mean stays within a pixel."""
    plane = modis("x").rename("v").setDefaultProjection(MODIS.crs, list(MODIS.transform))
    [exact] = compute(plane.reduceResolution(ee.Reducer.mean(), False, 1000)).read(NINE)
    [rough] = compute(plane.reduceResolution(ee.Reducer.mean(), True, 64)).read(NINE)
    assert rough.valid(NINE.shape).all()
    assert np.abs(exact.values - rough.values).max() <= 4
    assert not np.array_equal(exact.values, rough.values)


@pytest.mark.parametrize(
    ("reducer", "value"), [("mean", 7), ("median", 7), ("max", 7), ("count", 1), ("stdDev", 0)]
)
def test_on_its_own_grid_each_pixel_is_reduced_alone(compute: Read, reducer: str, value: float) -> None:
    image = ee.Image(7).setDefaultProjection(UTM.crs, list(UTM.transform))
    [found] = compute(image.reduceResolution(getattr(ee.Reducer, reducer)())).read(Grid(UTM, 4, 3))
    assert (found.values == value).all()


def test_a_finer_grid_takes_the_pixel_it_lies_in(compute: Read) -> None:
    columns = ee.Image.pixelCoordinates(ee.Projection(UTM.crs, list(UTM.transform))).select("x").floor()
    image = columns.setDefaultProjection(UTM.crs, list(UTM.transform)).reduceResolution(ee.Reducer.mean())
    finer = Grid(UTM.rescaled(0.25, 0.25), 12, 8)
    [found] = compute(image).read(finer)
    assert np.array_equal(found.values[0], np.arange(12) // 4)
