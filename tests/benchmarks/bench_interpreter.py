"""The local engine's pixels against the same arithmetic written in NumPy and SciPy, side by side.

Run: python tests/benchmarks/bench_interpreter.py

Both sides start from arrays in memory, so that what is compared is the interpreter: 100 operations on a
large image, and the gap filling and Savitzky-Golay smoothing of a daily series with real client graphs.
Each line prints medians of alternating runs and their ratio (1 is as fast as NumPy).
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import ee
import numpy as np
from ee import apitestcase
from numpy.typing import NDArray
from scipy import signal

import gee.local.algorithms  # noqa: F401  (registers the algorithms)
from gee.local import graph
from gee.local.context import Context, working
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.cache import TileCache
from gee.local.raster.images import Band, Image
from gee.local.raster.pixels import Raster
from gee.local.raster.resampling import SourcePixels
from gee.local.values import FLOAT, Collection

UTM = Projection("EPSG:32650", (1000.0, 0.0, 0.0, 0.0, -1000.0, 4_000_000.0))
DAY = 86_400_000
MARGIN, DAYS = 20, 60  # days before and after the series, and of the series


class Held:
    """A band that is an array, counting how often each of its windows is read."""

    def __init__(
        self, name: str, values: NDArray[Any], valid: NDArray[np.bool_] | None, reads: Counter[Any]
    ) -> None:
        self.key = name.encode()
        self.projection = UTM
        self._values, self._valid, self._reads = values, valid, reads

    def expect(self) -> None:
        """Nothing to prepare."""

    def read(self, level: int, row: int, column: int, height: int, width: int) -> Raster:
        """A window of the array."""
        self._reads[self.key, row, column] += 1
        here = np.s_[row : row + height, column : column + width]
        return Raster(self._values[here], None if self._valid is None else self._valid[here])


def image(
    name: str, values: NDArray[Any], valid: NDArray[np.bool_] | None, reads: Counter[Any], **more: Any
) -> Image:
    """An image of one float band."""
    pixels = SourcePixels(Held(name, values, valid, reads))
    extent = Grid(UTM, values.shape[1], values.shape[0])
    return Image({"system:index": name, **more}, (Band("v", FLOAT, UTM, pixels, extent),))


def evaluated(thing: Any, context: Context) -> Any:
    """The engine's value of a client object."""
    expression = json.loads(json.dumps(ee.serializer.encode(thing, for_cloud_api=True)))
    with working(context):
        return graph.evaluate(graph.decode(expression))


def compare(label: str, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> None:
    """Print the medians of alternating runs."""
    times: dict[str, list[float]] = {"ours": [], "numpy": []}
    for _ in range(rounds):
        for who, run in (("ours", ours), ("numpy", theirs)):
            begun = time.perf_counter()
            run()
            times[who].append(time.perf_counter() - begun)
    a, b = statistics.median(times["ours"]), statistics.median(times["numpy"])
    print(f"{label:<58} {a * 1000:8.1f} ms   NumPy {b * 1000:8.1f} ms   ratio {a / b:.2f}")


def chain(rounds: int = 5) -> None:
    """100 additions and multiplications over 2048 x 2048 pixels."""
    values = np.random.default_rng(0).random((2048, 2048), dtype=np.float32) + 1
    reads: Counter[Any] = Counter()
    held = image("chain", values, None, reads)
    context = Context(SimpleNamespace(image=lambda _: held), TileCache(2**26))  # type: ignore[arg-type]
    thing = ee.Image("held")
    for _ in range(50):
        thing = thing.multiply(ee.Image(1.01).float()).add(ee.Image(0.5).float())
    result = evaluated(thing, context)
    grid = Grid(UTM, 2048, 2048)

    def ours() -> Any:
        with working(context):
            return result.read(grid)[0].values

    def theirs() -> Any:
        found = values
        for _ in range(50):
            found = found * np.float32(1.01) + np.float32(0.5)
        return found

    assert np.array_equal(ours(), theirs())
    compare("100 operations, 2048 x 2048 float32", ours, theirs, rounds)


def filled_and_smoothed(collection: Any) -> Any:
    """Linear gap filling within 15 days on both sides, then an 11-day, fourth-order smoothing."""
    weights = (18, -45, -10, 60, 120, 143, 120, 60, -10, -45, 18)

    def with_day(picture: Any) -> Any:
        day = ee.Number(picture.get("system:time_start")).divide(DAY)
        return picture.addBands(ee.Image(day).float().updateMask(picture.mask()).rename("t"))

    dated = collection.map(with_day)

    def filled(day: int) -> Any:
        before = dated.filterDate((day - 15) * DAY, (day + 1) * DAY).mosaic()
        after = dated.filterDate(day * DAY, (day + 16) * DAY).sort("system:time_start", False).mosaic()
        gap = after.select("t").subtract(before.select("t"))
        share = ee.Image(day).float().subtract(before.select("t")).divide(gap)
        return before.select("v").add(after.select("v").subtract(before.select("v")).multiply(share))

    series = {day: filled(day) for day in range(MARGIN - 5, MARGIN + DAYS + 5)}
    smooth = []
    for day in range(MARGIN, MARGIN + DAYS):
        total = None
        for offset, weight in zip(range(-5, 6), weights, strict=True):
            term = series[day + offset].multiply(ee.Image(weight / 429).float())
            total = term if total is None else total.add(term)
        smooth.append(total.rename(f"d{day}"))
    return ee.Image.cat(smooth)


def filled_and_smoothed_in_numpy(
    values: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The same on a stack (days, rows, columns), NaN where it stays missing."""
    days = np.arange(len(values), dtype=np.float32)[:, None, None]
    before_value, before_day = np.zeros_like(values), np.full_like(values, -np.inf)
    after_value, after_day = np.zeros_like(values), np.full_like(values, np.inf)
    for day in range(len(values)):
        last = max(day - 1, 0)
        before_value[day] = np.where(valid[day], values[day], before_value[last])
        before_day[day] = np.where(valid[day], day, before_day[last])
    for day in reversed(range(len(values))):
        following = min(day + 1, len(values) - 1)
        after_value[day] = np.where(valid[day], values[day], after_value[following])
        after_day[day] = np.where(valid[day], day, after_day[following])
    with np.errstate(all="ignore"):
        gap = after_day - before_day
        share = np.where(gap > 0, (days - before_day) / gap, 0)
        series = before_value + (after_value - before_value) * share
    series[(days - before_day > 15) | (after_day - days > 15)] = np.nan
    used = series[MARGIN - 5 : MARGIN + DAYS + 5]
    return signal.savgol_filter(used, 11, 4, axis=0, mode="constant")[5:-5]


def series(rounds: int = 3) -> None:
    """Gap filling and smoothing of 60 days over 256 x 256 pixels, 45 % of them missing."""
    random = np.random.default_rng(1)
    count = DAYS + 2 * MARGIN
    values = random.random((count, 256, 256), dtype=np.float32)
    valid = random.random(values.shape) > 0.45
    reads: Counter[Any] = Counter()
    images = [
        image(f"day{day:03d}", values[day], valid[day], reads, **{"system:time_start": day * DAY})
        for day in range(count)
    ]
    library = SimpleNamespace(collection=lambda _: Collection({}, images, True))
    grid = Grid(UTM, 256, 256)
    context = Context(library, TileCache(2**26))  # type: ignore[arg-type]
    begun = time.perf_counter()
    result = evaluated(filled_and_smoothed(ee.ImageCollection("held")), context)
    print(f"{'  (its graph, client and engine, once)':<58} {(time.perf_counter() - begun) * 1000:8.1f} ms")

    def ours() -> Any:
        with working(context):
            return result.read(grid)

    found = ours()
    most = max(reads.values())
    expected = filled_and_smoothed_in_numpy(values, valid)
    for day, raster in enumerate(found):
        shown = raster.valid(grid.shape)
        assert np.array_equal(shown, np.isfinite(expected[day]))
        assert np.allclose(raster.values[shown], expected[day][shown], atol=1e-4)
    compare(
        "gap filling + Savitzky-Golay, 256 x 256 x 60 days",
        ours,
        lambda: filled_and_smoothed_in_numpy(values, valid),
        rounds,
    )
    print(f"{'  most reads of one source tile':<58} {most:8d}")


if __name__ == "__main__":
    apitestcase.ApiTestCase("run").InitializeApi()
    chain()
    series()
