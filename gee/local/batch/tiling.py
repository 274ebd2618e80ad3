"""The pixels of an image over a large grid, tile by tile, two tiles at a time.

Batch tasks walk grids that no memory holds: at most as many tiles as there are threads are computed ahead
of whoever writes them. A task that is stopped takes its threads with it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from gee.local.batch.tasks import TaskHandle
from gee.local.context import current
from gee.local.geometry.projections import Grid
from gee.local.raster.images import Image, cast
from gee.local.raster.pixels import Raster, Window, evaluate, prepare

THREADS = 2  # of one task; tiles in flight bound its memory
STAGE = "Create Local Files"
PATIENCE = 0.5  # seconds between looks at whether the task was cancelled


def windows(grid: Grid, size: int) -> Iterator[Window]:
    """The tiles of a grid in reading order."""
    for row in range(0, grid.height, size):
        for column in range(0, grid.width, size):
            yield Window(row, column, min(size, grid.height - row), min(size, grid.width - column))


def computed_tiles(
    image: Image, grid: Grid, size: int, handle: TaskHandle, share: tuple[float, float] = (0.0, 1.0)
) -> Iterator[tuple[Window, list[Raster]]]:
    """Every band of an image, tile by tile in reading order, each of its declared type.

    Args:
        image: of bands.
        grid: of the output.
        size: side of a tile in pixels.
        handle: of the task, asked whether to go on and told how far it is.
        share: of the task's progress, from and to, that these tiles are.

    Raises:
        TaskStopped: the task was cancelled.
        EngineError: a pixel cannot be computed.
    """
    context = current()
    nodes = [band.pixels for band in image.bands]
    prepare(nodes)

    def compute(window: Window) -> list[Raster]:
        began = time.thread_time()
        rasters = evaluate(nodes, grid.window(*window))
        typed = [cast(raster, band.type) for band, raster in zip(image.bands, rasters, strict=True)]
        handle.used(time.thread_time() - began)
        return typed

    coming: deque[tuple[Window, Future[list[Raster]]]] = deque()
    pool = ThreadPoolExecutor(THREADS, "tile")

    def next_tile() -> tuple[Window, list[Raster]]:
        window, future = coming.popleft()
        while True:
            handle.check_cancelled()
            try:
                return window, future.result(PATIENCE)
            except TimeoutError:
                if future.done():
                    raise

    def told(tile: tuple[Window, list[Raster]]) -> Iterator[tuple[Window, list[Raster]]]:
        yield tile
        window = tile[0]
        done = window.row * grid.width + (window.column + window.width) * window.height
        handle.progress(share[0] + (share[1] - share[0]) * done / (grid.width * grid.height), STAGE)

    try:
        for window in windows(grid, size):
            ready = next_tile() if len(coming) == THREADS else None
            coming.append((window, pool.submit(copy_context().run, compute, window)))
            if ready is not None:
                yield from told(ready)
        while coming:
            yield from told(next_tile())
    except BaseException:
        context.stopped = True  # of this task alone; its other tile need not be finished
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
