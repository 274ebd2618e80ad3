"""Tiles of a batch task: in order, every pixel once, two in flight, stopped with their task."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from gee.local.batch.tasks import TaskHandle, TaskStopped
from gee.local.batch.tiling import THREADS, computed_tiles, windows
from gee.local.context import Context, working
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.images import Band, Image
from gee.local.raster.pixels import Located, Raster
from gee.local.values import FLOAT

GRID = Grid(Projection("EPSG:3857", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)), 100, 70)


def image_of(function: Any) -> Image:
    return Image({}, (Band("b", FLOAT, GRID.projection, Located("test", function, id(function))),))


def columns(grid: Grid) -> Raster:
    return Raster(grid.centres()[0].astype(np.float32))


def test_tiles_come_in_order_and_hold_every_pixel_once(context: Context) -> None:
    handle = TaskHandle("t", 1)
    seen = np.zeros(GRID.shape, int)
    with working(context):
        found = list(computed_tiles(image_of(columns), GRID, 32, handle, (0.2, 0.6)))
    assert [window for window, _ in found] == list(windows(GRID, 32))
    for window, [raster] in found:
        here = np.s_[window.row : window.row + window.height, window.column : window.column + window.width]
        seen[here] += 1
        np.testing.assert_array_equal(raster.values, np.broadcast_to(np.arange(100) + 0.5, GRID.shape)[here])
    assert (seen == 1).all()
    assert handle.snapshot().fraction == pytest.approx(0.6)
    assert handle.snapshot().used_seconds > 0


def test_no_more_than_two_tiles_are_computed_at_a_time(context: Context) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def slow(grid: Grid) -> Raster:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return columns(grid)

    with working(context):
        assert len(list(computed_tiles(image_of(slow), GRID, 32, TaskHandle("t", 1)))) == 12
    assert most == THREADS == 2


def test_a_stopped_task_stops_its_tiles(context: Context) -> None:
    handle = TaskHandle("t", 1)
    computed = 0

    def counted(grid: Grid) -> Raster:
        nonlocal computed
        computed += 1
        return columns(grid)

    with working(context), pytest.raises(TaskStopped):
        for _ in computed_tiles(image_of(counted), GRID, 8, handle):
            handle.stop()
    assert computed <= 1 + 2 * THREADS


def test_an_error_of_a_pixel_is_the_error_of_the_task(context: Context) -> None:
    def broken(grid: Grid) -> Raster:
        raise EngineError("Image.broken: no.")

    with working(context), pytest.raises(EngineError, match="no"):
        list(computed_tiles(image_of(broken), GRID, 32, TaskHandle("t", 1)))
