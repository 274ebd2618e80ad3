"""Scenes as images: native tiles read once for all bands, and pyramids against NumPy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ee
import numpy as np
import pytest
from numpy.typing import NDArray

from gee.local.context import Context, working
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import Raster
from gee.local.raster.scenes import TILE, grid_outline, halved, image_from_scene
from gee.local.sources.dataset import BandSpec, Pixels, RasterGrid, Scene, Window

HEIGHT, WIDTH = 301, 423  # odd, and no multiple of a tile
TRANSFORM = (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)
NATIVE = RasterGrid("EPSG:32650", TRANSFORM, WIDTH, HEIGHT)
UTM = Projection("EPSG:32650", TRANSFORM)


class Source:
    """Random pixels with gaps, and what was read of them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.values = {
            "mean": rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32),
            "whole": rng.integers(0, 1000, (HEIGHT, WIDTH)).astype(np.uint16),
            "flags": rng.integers(0, 4, (HEIGHT, WIDTH)).astype(np.uint8),
            "corner": rng.integers(0, 100, (HEIGHT, WIDTH)).astype(np.uint8),
        }
        self.valid = rng.random((HEIGHT, WIDTH)) > 0.3
        self.reads: list[tuple[tuple[str, ...], Window]] = []
        self._lock = threading.Lock()

    def read(self, names: tuple[str, ...], window: Window) -> list[Pixels]:
        with self._lock:
            self.reads.append((names, window))
        inner = NATIVE.inside(window)
        place = np.s_[
            inner.row - window.row : inner.row - window.row + inner.height,
            inner.col - window.col : inner.col - window.col + inner.width,
        ]
        there = np.s_[inner.row : inner.row + inner.height, inner.col : inner.col + inner.width]
        read = []
        for name in names:
            values = np.zeros((window.height, window.width), self.values[name].dtype)
            valid = np.zeros(values.shape, np.bool_)
            values[place], valid[place] = self.values[name][there], self.valid[there]
            read.append((values, valid))
        return read

    def scene(self, **changes: Any) -> Scene:
        bands = (
            BandSpec("mean", "float32"),
            BandSpec("whole", "uint16", 0, 1000),
            BandSpec("flags", "uint8", pyramiding="MODE"),
            BandSpec("corner", "uint8", pyramiding="SAMPLE"),
        )
        given: dict[str, Any] = {
            "id": "simulated/set/one",
            "index": "one",
            "start": 1_000,
            "end": 2_000,
            "grid": NATIVE,
            "bands": bands,
            "properties": {"cloud": 5},
            "footprint": None,
            "read": self.read,
        }
        return Scene(**{**given, **changes})


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture(autouse=True)
def in_context(context: Context) -> Iterator[None]:
    with working(context):
        yield


def band(source: Source, name: str, grid: Grid) -> Raster:
    image = image_from_scene(source.scene())
    [raster] = image.with_bands([image.band(name)]).read(grid)
    return raster


def quarters(array: NDArray[Any], fill: float = 0) -> NDArray[Any]:
    """The four pixels under each pixel of the next level; beyond the image there are none."""
    height, width = (size + size % 2 for size in array.shape)
    whole = np.full((height, width), fill, array.dtype)
    whole[: array.shape[0], : array.shape[1]] = array
    return np.stack([whole[0::2, 0::2], whole[0::2, 1::2], whole[1::2, 0::2], whole[1::2, 1::2]])


def test_native_pixels_are_those_of_the_source(source: Source) -> None:
    for name in source.values:
        found = band(source, name, Grid(UTM, WIDTH, HEIGHT))
        valid = found.valid((HEIGHT, WIDTH))
        assert np.array_equal(valid, source.valid)
        assert np.array_equal(found.values[valid], source.values[name][valid])
        assert found.values.dtype == source.values[name].dtype


def test_outside_the_scene_all_is_masked(source: Source) -> None:
    around = band(source, "mean", Grid(UTM, WIDTH, HEIGHT).padded(40, 30)).valid((HEIGHT + 60, WIDTH + 80))
    assert np.array_equal(around[30:-30, 40:-40], source.valid)
    assert around.sum() == source.valid.sum()
    assert not band(source, "mean", Grid(UTM.translated(10_000, 0), 20, 20)).valid((20, 20)).any()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_means_of_two_by_two_are_weighted_by_masks_which_are_averaged(source: Source, level: int) -> None:
    values, weights = source.values["mean"].astype(np.float64), source.valid.astype(np.float64)
    for _ in range(level):
        four, shares = quarters(values), quarters(weights)
        total = shares.sum(axis=0)
        values = np.divide((four * shares).sum(axis=0), total, out=np.zeros(total.shape), where=total > 0)
        weights = total / 4
    height, width = values.shape
    found = band(source, "mean", Grid(UTM.rescaled(2**level, 2**level), width, height))
    np.testing.assert_allclose(found.weights((height, width)), weights, atol=1e-6)
    np.testing.assert_allclose(found.values[weights > 0], values[weights > 0], atol=1e-5)


def test_means_of_integers_are_rounded(source: Source) -> None:
    four, shares = quarters(source.values["whole"].astype(float)), quarters(source.valid.astype(float))
    total = shares.sum(axis=0)
    valid = total > 0
    exact = (four * shares).sum(axis=0)[valid] / total[valid]
    found = band(source, "whole", Grid(UTM.rescaled(2, 2), total.shape[1], total.shape[0]))
    assert found.values.dtype == np.uint16
    assert np.abs(found.values[valid] - exact).max() <= 0.5


def test_samples_are_the_upper_left_pixel_and_its_mask(source: Source) -> None:
    found = band(source, "corner", Grid(UTM.rescaled(4, 4), 106, 76))
    valid = source.valid[::4, ::4]
    assert np.array_equal(found.valid((76, 106)), valid)
    assert np.array_equal(found.values[valid], source.values["corner"][::4, ::4][valid])


def test_modes_are_the_most_frequent_valid_value(source: Source) -> None:
    four, shown = quarters(source.values["flags"]), quarters(source.valid)
    found = band(source, "flags", Grid(UTM.rescaled(2, 2), four.shape[2], four.shape[1]))
    counts = np.stack([((four == code) & shown).sum(axis=0) for code in range(4)])
    assert np.array_equal(found.valid(counts.shape[1:]), counts.sum(axis=0) > 0)
    chosen = np.take_along_axis(counts, found.values[None].astype(int), axis=0)[0]
    assert np.array_equal(chosen, counts.max(axis=0))


@pytest.mark.parametrize(("policy", "statistic"), [("MIN", np.min), ("MAX", np.max), ("MEDIAN", np.median)])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_other_policies_reduce_the_valid_pixels(policy: str, statistic: Any, dtype: str) -> None:
    rng = np.random.default_rng(2)
    values, mask = rng.integers(-500, 500, (20, 30)).astype(dtype), rng.random((20, 30)) > 0.4
    found = halved(Raster(values, mask), policy)
    four, shown = quarters(values), quarters(mask)
    for row, column in np.ndindex(10, 15):
        valid = four[:, row, column][shown[:, row, column]]
        assert found.valid((10, 15))[row, column] == bool(valid.size)
        if valid.size:
            assert found.values[row, column] == pytest.approx(
                statistic(valid), abs=0.5 if dtype == "int16" else 1e-6
            )


def test_tiles_are_read_once_for_all_bands_of_a_request(source: Source) -> None:
    image = image_from_scene(source.scene())
    image.read(Grid(UTM, WIDTH, HEIGHT))
    down, across = -(-HEIGHT // TILE), -(-WIDTH // TILE)
    assert sorted({window for _, window in source.reads}) == sorted(
        Window(row * TILE, column * TILE, TILE, TILE) for row in range(down) for column in range(across)
    )
    assert len(source.reads) == down * across
    assert all(set(names) == set(image.names) for names, _ in source.reads)
    image.read(Grid(UTM, 100, 100))
    assert len(source.reads) == down * across


def test_only_bands_that_are_wanted_are_read(source: Source, compute: Callable[[Any], Any]) -> None:
    band(source, "flags", Grid(UTM, 5, 5))
    assert source.reads == [(("flags",), Window(0, 0, TILE, TILE))]


def test_versions_of_a_scene_have_pixels_of_their_own(source: Source) -> None:
    first, second = Source(), Source()
    second.values["mean"] += 1
    grid = Grid(UTM, 5, 5)
    one = image_from_scene(first.scene(), 1).read(grid)[0]
    other = image_from_scene(second.scene(), 2).read(grid)[0]
    assert np.array_equal(other.values, one.values + 1)
    assert np.array_equal(image_from_scene(second.scene(), 1).read(grid)[0].values, one.values)


def test_threads_read_the_same_pixels(source: Source, context: Context) -> None:
    image = image_from_scene(source.scene())
    grid = Grid(UTM.rescaled(2, 2), 200, 150)

    def read(_: int) -> Any:
        with working(Context(context.library, context.tiles)):
            return [raster.values for raster in image.read(grid)]

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(read, range(8))
    for other in others:
        for one, same in zip(first, other, strict=True):
            assert np.array_equal(one, same)


def test_an_image_tells_its_bands_and_times(source: Source) -> None:
    image = image_from_scene(source.scene(), 7)
    shown = image.as_json()
    assert shown["id"] == "simulated/set/one"
    assert shown["version"] == 7
    assert shown["properties"] == {
        "cloud": 5,
        "system:index": "one",
        "system:time_start": 1000,
        "system:time_end": 2000,
    }
    assert shown["bands"][1] == {
        "id": "whole",
        "data_type": {"type": "PixelType", "precision": "int", "min": 0, "max": 1000},
        "dimensions": [WIDTH, HEIGHT],
        "crs": "EPSG:32650",
        "crs_transform": list(TRANSFORM),
    }


def test_the_footprint_is_the_scenes_ring_or_the_border_of_its_grid(source: Source) -> None:
    ring = ((116.0, 31.0), (117.0, 31.0), (116.5, 32.0), (116.0, 31.0))
    given = image_from_scene(source.scene(footprint=ring)).geometry
    assert given is not None
    assert list(given.shape.exterior.coords) == list(ring)
    border = image_from_scene(source.scene()).geometry
    assert border is not None
    assert border.bounds_in("EPSG:32650") == (400_000, 3_299_000, 823_000, 3_600_000)


def test_a_grid_round_the_globe_has_no_border() -> None:
    assert grid_outline(RasterGrid("EPSG:4326", (0.1, 0.0, -180.0, 0.0, -0.1, 90.0), 3600, 1800)) is None
    assert grid_outline(RasterGrid("EPSG:4326", (0.1, 0.0, 100.0, 0.0, -0.1, 50.0), 300, 200)) is not None


def test_a_band_may_have_a_grid_of_its_own(source: Source) -> None:
    coarse = RasterGrid("EPSG:32650", (2000.0, 0.0, 400_000.0, 0.0, -2000.0, 3_600_000.0), 10, 10)
    bands = (BandSpec("mean", "float32"), BandSpec("corner", "uint8", grid=coarse))
    image = image_from_scene(source.scene(bands=bands))
    image.read(Grid(UTM, 4, 4))
    assert {names for names, _ in source.reads} == {("mean",), ("corner",)}
    assert image.as_json()["bands"][1]["dimensions"] == [10, 10]


def test_resampling_interpolates_the_level_that_is_read(
    source: Source, compute: Callable[[Any], Any], context: Context
) -> None:
    """Between pixel centres of a plane, bilinear pixels lie on the plane at every level."""
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.float32), (HEIGHT, WIDTH))
    source.values["mean"], source.valid = columns.copy(), np.ones((HEIGHT, WIDTH), np.bool_)
    context.library.image = lambda asset_id: image_from_scene(source.scene())  # type: ignore[method-assign]
    smooth = compute(ee.Image("simulated/set/one").select("mean").resample("bilinear"))
    for scale in (300.0, 700.0, 2600.0, 5000.0):
        grid = Grid(Projection("EPSG:32650", (scale, 0.0, 420_000.0, 0.0, -scale, 3_580_000.0)), 20, 10)
        [found] = smooth.read(grid)
        x, _ = grid.centres()
        np.testing.assert_allclose(found.values, (x - 400_500) / 1000, rtol=1e-5)
