"""Resampling against GDAL (through rasterio) and pyramids against NumPy.

Tolerances: nearest is exact but for centres within rounding of an edge; bilinear and bicubic differ from
GDAL by no more than 32-bit sums do, 1e-4 of a standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import Resampling, reproject

from gee.local.context import Context, working
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import Located, Pointwise, Raster, read
from gee.local.raster.resampling import (
    Reprojected,
    Resampled,
    SourcePixels,
    from_tiles,
    pyramid_level,
    resample,
)

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
HEIGHT, WIDTH = 60, 70
NODATA = -9999.0


@pytest.fixture(autouse=True)
def in_context(context: Context) -> Iterator[None]:
    with working(context):
        yield


def field(gaps: float, seed: int = 5) -> Raster:
    """Random numbers, a share of them masked."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    return Raster(values, rng.random((HEIGHT, WIDTH)) >= gaps if gaps else None)


def reader(source: Raster, row: int, column: int, height: int, width: int) -> Raster:
    """A window of a raster, masked beyond it; what is masked is NaN so that nobody may use it."""
    values = np.full((height, width), np.nan, np.float32)
    mask = np.zeros((height, width), np.bool_)
    rows, columns = np.arange(row, row + height), np.arange(column, column + width)
    inner = np.ix_((rows >= 0) & (rows < HEIGHT), (columns >= 0) & (columns < WIDTH))
    there = np.ix_(rows[(rows >= 0) & (rows < HEIGHT)], columns[(columns >= 0) & (columns < WIDTH)])
    valid = source.valid((HEIGHT, WIDTH))[there]
    values[inner] = np.where(valid, source.values[there], np.nan)
    mask[inner] = valid
    return Raster(values, mask)


def by_gdal(source: Raster, grid: Grid, method: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The raster, on UTM, warped; in strips of five columns, since GDAL transforms longer rows roughly."""
    given = np.where(source.valid((HEIGHT, WIDTH)), source.values, NODATA).astype(np.float32)
    strips = []
    for column in range(0, grid.width, 5):
        strip = grid.window(0, column, grid.height, 5)
        result = np.full(strip.shape, NODATA, np.float32)
        reproject(
            given,
            result,
            src_transform=Affine(*UTM.transform),
            src_crs=UTM.crs,
            dst_transform=Affine(*strip.projection.transform),
            dst_crs=grid.crs,
            src_nodata=NODATA,
            dst_nodata=NODATA,
            resampling=Resampling["cubic" if method == "bicubic" else method],
            # GDAL widens kernels when it reduces; Earth Engine reads a pyramid level instead.
            XSCALE=1,
            YSCALE=1,
        )
        strips.append(result)
    whole = np.hstack(strips)[:, : grid.width]
    return whole, whole != NODATA


def interior(grid: Grid, margin: int = 3) -> NDArray[np.bool_]:
    """Pixels whose centres lie so far from the source's border that no kernel reaches it."""
    turn = Transformer.from_crs(grid.crs, UTM.crs, always_xy=True)
    column, row = UTM.to_pixels(*turn.transform(*grid.centres()))
    found: NDArray[np.bool_] = (
        (column > margin) & (column < WIDTH - margin) & (row > margin) & (row < HEIGHT - margin)
    )
    assert found.sum() > 200
    return found


ALIGNED = Grid(UTM.translated(4, 5), 50, 45)
FINER = Grid(Projection("EPSG:32650", (370.0, 0.0, 404_130.0, 0.0, -370.0, 3_595_210.0)), 120, 110)
COARSER = Grid(Projection("EPSG:32650", (1300.0, 0.0, 404_130.0, 0.0, -1300.0, 3_595_210.0)), 40, 35)
DEGREES = Grid(Projection("EPSG:4326", (0.008, 0.0, 116.02, 0.0, -0.008, 32.45)), 60, 50)
NEXT_ZONE = Grid(Projection("EPSG:32651", (900.0, 0.0, -150_000.0, 0.0, -900.0, 3_610_000.0)), 60, 50)


@pytest.mark.parametrize("grid", [ALIGNED, FINER, COARSER, DEGREES, NEXT_ZONE])
@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_nearest_is_what_gdal_gives(grid: Grid, gaps: float) -> None:
    source = field(gaps)
    found = resample(partial(reader, source), UTM, grid)
    expected, valid = by_gdal(source, grid, "nearest")
    inner = interior(grid)
    same = (found.valid(grid.shape) == valid) & (~valid | (found.values == expected))
    assert same[inner].mean() > 0.9999


@pytest.mark.parametrize("grid", [ALIGNED, FINER, COARSER, DEGREES, NEXT_ZONE])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_interpolation_without_gaps_is_what_gdal_gives(grid: Grid, method: str) -> None:
    source = field(0.0)
    found = resample(partial(reader, source), UTM, grid, method)
    expected, valid = by_gdal(source, grid, method)
    inner = interior(grid)
    assert valid[inner].all()
    assert found.valid(grid.shape)[inner].all()
    np.testing.assert_allclose(found.values[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("grid", [FINER, COARSER, DEGREES])
def test_bilinear_interpolation_leaves_out_gaps_as_gdal_does(grid: Grid) -> None:
    """GDAL also masks a pixel whose nearest neighbour is a gap; here one of the four is enough."""
    source = field(0.15)
    found = resample(partial(reader, source), UTM, grid, "bilinear")
    expected, valid = by_gdal(source, grid, "bilinear")
    inner = interior(grid)
    assert found.valid(grid.shape)[inner & valid].all()
    assert found.valid(grid.shape)[inner].mean() > 0.998  # 1 - 0.15 ** 4 is 0.9995
    np.testing.assert_allclose(found.values[inner & valid], expected[inner & valid], atol=1e-4)


def test_bicubic_next_to_a_gap_is_bilinear() -> None:
    """Keys' kernel has negative weights, which cannot be shared out among the rest."""
    source = field(0.15)
    cubic = resample(partial(reader, source), UTM, FINER, "bicubic")
    linear = resample(partial(reader, source), UTM, FINER, "bilinear")
    whole = resample(partial(reader, Raster(source.values)), UTM, FINER, "bicubic")
    assert np.array_equal(cubic.valid(FINER.shape), linear.valid(FINER.shape))
    valid = cubic.valid(FINER.shape)
    either = np.isclose(cubic.values, whole.values, atol=1e-6) | np.isclose(
        cubic.values, linear.values, atol=1e-6
    )
    assert either[valid].all()


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_on_its_own_grid_nothing_is_changed(method: str) -> None:
    source = field(0.15)
    found = resample(partial(reader, source), UTM, ALIGNED, method)
    window = np.s_[5 : 5 + 45, 4 : 4 + 50]
    valid = source.valid((HEIGHT, WIDTH))[window]
    assert np.array_equal(found.valid(ALIGNED.shape), valid)
    assert np.array_equal(found.values[valid], source.values[window][valid])


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("crs", ["EPSG:32650", "EPSG:4326"])
def test_outside_the_source_all_is_masked(method: str, crs: str) -> None:
    far = {
        "EPSG:32650": Grid(UTM.rescaled(0.7, 0.7).translated(900, 900), 20, 20),
        "EPSG:4326": Grid(Projection("EPSG:4326", (0.01, 0.0, 100.0, 0.0, -0.01, 20.0)), 20, 20),
    }[crs]
    found = resample(partial(reader, field(0.0)), UTM, far, method)
    assert not found.valid(far.shape).any()


def test_a_place_that_a_projection_lacks_is_masked() -> None:
    """A view of the globe from afar shows half of it, within a circle."""
    radius = 6_371_000.0
    view = Projection(f"+proj=ortho +lat_0=30 +lon_0=117 +R={radius}", (1e6, 0.0, -8e6, 0.0, -1e6, 8e6))
    everywhere = Located("one", lambda grid: Raster(np.ones(grid.shape)))
    grid = Grid(view, 16, 16)
    [found] = read([Reprojected(everywhere, Projection())], grid)
    assert np.array_equal(found.valid(grid.shape), np.hypot(*grid.centres()) < radius)


def test_sinusoidal_pixels_on_utm_are_those_that_contain_the_centres() -> None:
    side = 463.3127165279165
    modis = Projection("SR-ORG:6974", (side, 0.0, 11_119_505.0, 0.0, -side, 3_335_851.0))
    grid = Grid(Projection("EPSG:32650", (500.0, 0.0, 450_000.0, 0.0, -500.0, 3_320_000.0)), 40, 30)

    def numbered(part: Grid) -> Raster:
        x, y = part.centres()
        column, row = modis.to_pixels(x, y)
        return Raster(np.floor(row) * 100_000 + np.floor(column))

    [found] = read([Reprojected(Located("numbered", numbered), modis)], grid)
    # The spherical sinusoidal projection, written out.
    lon, lat = Transformer.from_crs(32650, 4326, always_xy=True).transform(*grid.centres())
    radius = 6371007.181
    column = np.floor((radius * np.radians(lon) * np.cos(np.radians(lat)) - 11_119_505.0) / side)
    row = np.floor((3_335_851.0 - radius * np.radians(lat)) / side)
    assert np.array_equal(found.values, row * 100_000 + column)


def test_too_many_source_pixels_are_refused() -> None:
    coarse = Grid(UTM.rescaled(1e6, 1e6).translated(0.1, 0.1), 3, 3)
    with pytest.raises(EngineError, match="Reprojection output too large"):
        resample(partial(reader, field(0.0)), UTM, coarse)


# Pyramids


@pytest.mark.parametrize(
    ("scale", "level"),
    [(100, 0), (1000, 0), (1999, 0), (2000, 1), (3999, 1), (4000, 2), (8100, 3)],
)
def test_the_level_is_the_closest_one_not_above_the_requested_scale(scale: float, level: int) -> None:
    grid = Grid(Projection("EPSG:32650", (float(scale), 0.0, 0.0, 0.0, -float(scale), 0.0)), 1, 1)
    assert pyramid_level(UTM, grid) == level


def test_the_level_is_chosen_by_nominal_scales_in_other_units() -> None:
    degrees = Projection("EPSG:4326", (0.25, 0.0, 0.0, 0.0, -0.25, 0.0))  # 27.8 km on the equator
    assert (
        pyramid_level(degrees, Grid(Projection("EPSG:32650", (60_000.0, 0, 0, 0, -60_000.0, 0)), 1, 1)) == 1
    )
    assert (
        pyramid_level(degrees, Grid(Projection("EPSG:32650", (50_000.0, 0, 0, 0, -50_000.0, 0)), 1, 1)) == 0
    )


class Levels:
    """A source whose every level says which one it is, and by which part it was asked for."""

    key = b"levels"
    projection = UTM

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.expected = 0

    def read(self, level: int, row: int, column: int, height: int, width: int) -> Raster:
        self.asked.append(level)
        columns = np.arange(column, column + width) * 2.0**level
        return Raster(np.broadcast_to(columns, (height, width)))

    def expect(self) -> None:
        self.expected += 1


def test_a_coarse_request_reads_a_coarse_level() -> None:
    source = Levels()
    [found] = read([SourcePixels(source)], Grid(UTM.rescaled(4, 4), 10, 10))
    assert source.asked == [2]
    assert source.expected == 1
    assert np.array_equal(found.values[0], np.arange(10) * 4.0)


def test_between_levels_the_nearest_pixel_of_the_finer_one_is_taken() -> None:
    source = Levels()
    [found] = read([SourcePixels(source)], Grid(UTM.rescaled(3, 3), 10, 10))
    assert set(source.asked) == {1}
    assert np.array_equal(found.values[0], np.floor((np.arange(10) + 0.5) * 3 / 2) * 2)


# Fixed projections


def test_the_pixels_of_a_fixed_projection_are_the_same_from_every_tile() -> None:
    """Twice as large pixels have their centres on corners: the same one is taken wherever a tile begins."""
    tenth = Projection("EPSG:4326", (0.1, 0.0, 0.0, 0.0, -0.1, 60.0))

    def numbered(grid: Grid) -> Raster:
        x, y = grid.centres()
        return Raster(np.round(x * 10 - 0.5) + 10_000 * np.round(600 - y * 10 - 0.5))

    node = Reprojected(Located("numbered", numbered), tenth)
    grid = Grid(Projection("EPSG:4326", (0.2, 0.0, 0.0, 0.0, -0.2, 60.0)), 600, 300)
    [whole] = read([node], grid)
    rows, columns = np.indices(grid.shape)
    expected = (2 * columns + 1) + 10_000 * (2 * rows + 1)
    assert np.array_equal(whole.values, expected)


def test_parts_of_a_fixed_projection_keep_their_own_types() -> None:
    """Tiles of integers and of fractions make a window of fractions."""

    def mixed(raster: Raster) -> Raster:
        left = raster.values.max() < 256
        return Raster(raster.values.astype(np.int16) if left else raster.values + 0.25)

    def columns(grid: Grid) -> Raster:
        x, _ = grid.centres()
        return Raster(np.round((x - 400_500) / 1000))

    node = Reprojected(Pointwise("mixed", mixed, [Located("columns", columns)]), UTM)
    [found] = read([node], Grid(UTM.translated(0.25, 0.25), 512, 80))
    expected = np.arange(512.0)
    np.testing.assert_allclose(found.values[0], np.where(expected < 256, expected, expected + 0.25))


@pytest.mark.parametrize(("step", "pixels"), [(10, 12 * 100), (5, 20 * 35 + 10 * 35 + 5 * 35)])
def test_windows_are_put_together_from_parts_of_tiles_made_once(step: int, pixels: int) -> None:
    made: list[tuple[int, int, int, int]] = []

    def make(row: int, column: int, height: int, width: int) -> tuple[Raster, int]:
        made.append((row, column, height, width))
        rows, columns = np.indices((height, width))
        return Raster((rows + row) * 1000 + columns + column), 800

    for window in ((-5, 3, 20, 30), (0, 0, 10, 10), (-10, 0, 12, 35), (-5, 3, 20, 30)):
        row, column, height, width = window
        found = from_tiles(make, f"tiles {step}", 10, window, step)
        rows, columns = np.indices((height, width))
        assert np.array_equal(found.values, (rows + row) * 1000 + columns + column)
    assert len(made) == len(set(made))
    assert all(row // 10 == (row + height - 1) // 10 for row, _, height, _ in made)
    assert sum(height * width for *_, height, width in made) == pixels


def test_computed_pixels_are_interpolated_in_their_default_projection() -> None:
    def plane(grid: Grid) -> Raster:
        x, y = grid.centres()
        return Raster(x * 2 + y)

    node = Resampled(Located("plane", plane), UTM, "bilinear")
    grid = Grid(Projection("EPSG:32650", (330.0, 0.0, 400_010.0, 0.0, -330.0, 3_599_990.0)), 30, 30)
    [found] = read([node], grid)
    np.testing.assert_allclose(found.values, plane(grid).values, rtol=1e-9)
