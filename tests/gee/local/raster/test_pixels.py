"""Lazy pixels: what is computed when and how often, tile by tile, and by several threads."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.context import Context, working
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster import pixels as px
from gee.local.raster.cache import TileCache
from gee.local.raster.pixels import Constant, Located, Pick, Pointwise, Raster, Surrounded

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
SMALL = Grid(UTM, 4, 3)
LARGE = Grid(UTM, 600, 300)  # 3 x 2 tiles of 256


@pytest.fixture(autouse=True)
def in_context(context: Context) -> Iterator[None]:
    with working(context):
        yield


def column_numbers(grid: Grid) -> Raster:
    x, _ = grid.centres()
    return Raster((x - 400_500) / 1000)


def doubled(raster: Raster) -> Raster:
    return Raster(raster.values * 2, raster.mask)


def added(*rasters: Raster) -> Raster:
    return Raster(sum((raster.values for raster in rasters[1:]), rasters[0].values))


class Counted:
    """A function of a grid that remembers the grids it was called with."""

    def __init__(self) -> None:
        self.grids: list[Grid] = []

    def __call__(self, grid: Grid) -> Raster:
        self.grids.append(grid)
        return column_numbers(grid)


def test_each_node_is_computed_once_a_tile() -> None:
    source = Counted()
    columns = Located("columns", source)
    twice = Pointwise("twice", doubled, [columns])
    total = Pointwise("total", added, [twice, columns, Pointwise("twice", doubled, [columns])])
    first, second = px.read([total, twice], LARGE)
    assert len(source.grids) == len(set(source.grids)) == 6
    expected = np.broadcast_to(np.arange(600.0), LARGE.shape)
    np.testing.assert_allclose(first.values, 5 * expected)
    np.testing.assert_allclose(second.values, 2 * expected)


def test_nodes_of_equal_keys_are_one() -> None:
    source, other = Counted(), Counted()
    rasters = px.read([Located("columns", source, 7), Located("columns", other, 7)], SMALL)
    assert len(source.grids) + len(other.grids) == 1
    assert np.shares_memory(rasters[0].values, rasters[1].values)
    px.read([Located("columns", source, 7), Located("columns", other, 8)], SMALL)
    assert len(other.grids) == 1


def test_results_are_freed_after_their_last_use() -> None:
    """Of a chain of 2,000 steps no more than two rasters exist at a time."""
    alive: list[weakref.ref[Any]] = []
    most = 0

    def step(raster: Raster) -> Raster:
        nonlocal most
        made = Raster(raster.values + 1)
        alive.append(weakref.ref(made.values))
        most = max(most, sum(1 for reference in alive if reference() is not None))
        if len(alive) % 100 == 0:
            alive[:] = [reference for reference in alive if reference() is not None]
        return made

    node: px.Pixels = Located("columns", column_numbers)
    for index in range(2000):
        node = Pointwise("step", step, [node], index)
    [raster] = px.evaluate([node], SMALL)
    assert np.array_equal(raster.values, np.broadcast_to(np.arange(4.0) + 2000, (3, 4)))
    assert most <= 2
    del raster
    gc.collect()
    assert all(reference() is None for reference in alive)


def test_a_neighbourhood_reaches_over_the_edges_of_tiles() -> None:
    """A sum over 5 x 5 pixels whose input is itself a neighbourhood: margins add up."""

    def box(grid: Grid, raster: Raster) -> Raster:
        windows = np.lib.stride_tricks.sliding_window_view(raster.values, (5, 5))
        return Raster(windows.sum(axis=(2, 3)))

    def noise(grid: Grid) -> Raster:
        x, y = grid.centres()
        return Raster(np.floor(x / 1000) * 7919 % 101 + np.floor(y / 1000) * 104729 % 103)

    inner = Surrounded("box", box, lambda grid: (2, 2), [Located("noise", noise)])
    outer = Surrounded("box", box, lambda grid: (2, 2), [inner])
    [raster] = px.read([outer], LARGE)
    wide = noise(LARGE.padded(4, 4)).values
    once = np.lib.stride_tricks.sliding_window_view(wide, (5, 5)).sum(axis=(2, 3))
    twice = np.lib.stride_tricks.sliding_window_view(once, (5, 5)).sum(axis=(2, 3))
    np.testing.assert_allclose(raster.values, twice)


def test_tiles_are_in_reading_order_and_make_up_the_whole() -> None:
    columns = Located("columns", column_numbers)
    windows = list(px.tiles([columns], LARGE, 200))
    assert [window[:2] for window, _ in windows] == [(r, c) for r in (0, 200) for c in (0, 200, 400)]
    [whole] = px.read([columns], LARGE)
    for window, [raster] in windows:
        row, column, height, width = window
        assert raster.values.shape == (height, width)
        np.testing.assert_allclose(
            raster.values, whole.values[row : row + height, column : column + width], rtol=1e-12
        )


def test_one_of_several_rasters_is_picked() -> None:
    def both(raster: Raster) -> list[Raster]:
        return [raster, doubled(raster)]

    node = Pointwise("both", both, [Located("columns", column_numbers)])
    first, second = px.read([Pick(node, 0), Pick(node, 1)], SMALL)
    assert np.array_equal(second.values, 2 * first.values)


def test_constants_fill_the_grid_only_when_it_is_read() -> None:
    seven = Constant(np.array(7, np.uint8))
    assert px.evaluate([seven], LARGE)[0].values.size == 1
    assert px.read([seven], LARGE)[0].values.shape == LARGE.shape


def halves(left: Any, right: Any) -> Pointwise:
    """Rasters that differ in kind between the tiles left and right of column 256."""

    def choose(raster: Raster) -> Raster:
        made: Raster = (left if raster.values[0, 0] < 256 else right)(raster)
        return made

    return Pointwise("halves", choose, [Located("columns", column_numbers)], left.__name__, right.__name__)


def whole(raster: Raster) -> Raster:
    return Raster(raster.values.astype(np.int16))


def halved_negative(raster: Raster) -> Raster:
    return Raster(-raster.values / 2)


def some_hidden(raster: Raster) -> Raster:
    return Raster(raster.values.astype(np.int16), raster.values % 2 == 0)


def faint(raster: Raster) -> Raster:
    return Raster(raster.values.astype(np.int16), np.full(raster.values.shape, 0.25, np.float32))


def pairs(raster: Raster) -> Raster:
    return Raster(np.stack([raster.values, raster.values], axis=2))


def ragged(raster: Raster) -> Raster:
    values = np.empty(raster.values.shape, object)
    for index in np.ndindex(*values.shape):
        values[index] = np.arange(int(raster.values[index]) % 3)
    return Raster(values)


def test_tiles_of_different_types_meet_in_one_that_holds_both() -> None:
    [raster] = px.read([halves(whole, halved_negative)], Grid(UTM, 512, 2))
    columns = np.arange(512.0)
    np.testing.assert_allclose(raster.values[0], np.where(columns < 256, columns, -columns / 2))


@pytest.mark.parametrize(
    ("left", "right"), [(whole, some_hidden), (some_hidden, whole), (faint, some_hidden)]
)
def test_masks_of_tiles_are_put_together(left: Any, right: Any) -> None:
    [raster] = px.read([halves(left, right)], Grid(UTM, 512, 2))
    columns = np.arange(512)
    weight = {
        whole: np.ones(512),
        some_hidden: columns % 2 == 0,
        faint: np.full(512, 0.25),
    }
    assert raster.mask is not None
    np.testing.assert_allclose(
        raster.mask[1].astype(float), np.where(columns < 256, weight[left], weight[right])
    )


def test_dense_and_ragged_arrays_of_tiles_are_put_together() -> None:
    [raster] = px.read([halves(pairs, ragged)], Grid(UTM, 512, 2))
    assert raster.values.dtype == object
    assert [list(pixel) for pixel in raster.values[1, [255, 256, 257, 258]]] == [[255, 255], [0], [0, 1], []]


def test_a_grid_beyond_the_limit_is_refused() -> None:
    with pytest.raises(EngineError, match="too large"):
        px.read([Constant(np.array(1))], Grid(UTM, 2**16, 2**16))


def test_a_cancelled_request_stops_between_nodes(context: Context) -> None:
    node: px.Pixels = Located("columns", column_numbers)
    for index in range(600):
        node = Pointwise("step", doubled, [node], index)
    context.stopped = True
    with pytest.raises(EngineError, match="cancelled"):
        px.evaluate([node], SMALL)


# The cache


def sized(value: Any, size: int = 1) -> Callable[[], tuple[Any, int]]:
    return lambda: (value, size)


def test_the_cache_keeps_what_was_made() -> None:
    cache = TileCache(100)
    assert cache.get("a", sized(1)) == 1
    assert cache.get("a", sized(2)) == 1


def test_the_least_recently_used_is_dropped_first() -> None:
    cache = TileCache(30)
    for key in "abc":
        cache.get(key, sized(key, 10))
    cache.get("a", sized("again", 10))
    cache.get("d", sized("d", 10))
    assert [cache.get(key, sized("new", 0)) for key in "abcd"] == ["a", "new", "c", "d"]


def test_the_cache_never_holds_more_than_its_limit_but_one() -> None:
    cache = TileCache(100)
    made = [cache.get(key, lambda key=key: (np.zeros(5), 40)) for key in range(10)]
    references = [weakref.ref(array) for array in made]
    del made
    gc.collect()
    assert sum(1 for reference in references if reference() is not None) == 2
    huge = weakref.ref(cache.get("huge", lambda: (np.zeros(5), 1000)))
    assert huge() is not None
    assert [reference() for reference in references] == [None] * 10


def test_what_is_forgotten_is_made_again() -> None:
    cache = TileCache(100)
    cache.get(("a", 1), sized(1, 60))
    cache.get(("b", 1), sized(2, 30))
    cache.forget(lambda key: key[0] == "a")
    assert cache.get(("c", 1), sized(3, 60)) == 3
    assert cache.get(("b", 1), sized("new")) == 2  # its place was free again
    assert cache.get(("a", 1), sized("new")) == "new"


def test_threads_that_want_the_same_tile_compute_it_once() -> None:
    cache, started, calls = TileCache(100), threading.Barrier(8), []

    def make() -> tuple[int, int]:
        calls.append(threading.get_ident())
        threading.Event().wait(0.1)
        return 42, 1

    def ask(_: int) -> Any:
        started.wait()
        return cache.get("tile", make)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [42] * 8
    assert len(calls) == 1


def test_an_error_in_one_thread_leaves_the_tile_to_the_other() -> None:
    """The first gave up for a reason of its own, such as its deadline: the second makes the tile."""
    cache, begun, go_on = TileCache(100), threading.Event(), threading.Event()

    def failing() -> tuple[int, int]:
        begun.set()
        go_on.wait(5)
        raise EngineError("Computation timed out.")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.get, "tile", failing)
        begun.wait(5)
        second = threads.submit(cache.get, "tile", sized("made"))
        go_on.set()
        assert second.result(5) == "made"
        with pytest.raises(EngineError, match="timed out"):
            first.result(5)
    assert cache.get("tile", sized("new")) == "made"


@pytest.mark.parametrize("error", [ValueError, MemoryError])
def test_a_failed_tile_is_not_kept(error: type[Exception]) -> None:
    cache = TileCache(100)

    def failing() -> tuple[int, int]:
        raise error

    with pytest.raises(error):
        cache.get("tile", failing)
    assert cache.get("tile", sized("made")) == "made"


def test_several_threads_get_the_same_pixels_of_an_image(
    compute: Callable[[Any], Any], context: Context
) -> None:
    projection = ee.Projection(UTM.crs, list(UTM.transform))
    image = compute(
        ee.Image.random(3).reproject(projection).resample("bilinear").add(ee.Image.pixelLonLat().select(0))
    )
    finer = Grid(Projection(UTM.crs, (700.0, 0.0, 400_000.0, 0.0, -700.0, 3_600_000.0)), 300, 300)

    def read(_: int) -> Sequence[Raster]:
        with working(Context(context.library, context.tiles)):
            return image.read(finer)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as threads:
        [first], *others = threads.map(read, range(6))
    with working(Context(context.library, TileCache(1))):
        [alone] = image.read(finer)
    for [other] in [*others, [alone]]:
        assert np.array_equal(first.values, other.values)
