"""Small fields fetched from the engine at once, without a task: a few million pixels of one band.

Comparisons need SMAP and, where sources are simulated, their truth on the very grid of the maps; an export
task for each would take longer than the answer.
"""

from __future__ import annotations

from collections.abc import Callable

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import grids, limits
from gee.exports import NODATA
from gee.timeseries import Calendar
from pipeline.cloud.asking import answered
from pipeline.progress import Report

Field = NDArray[np.float32]
BYTES_PER_VALUE = 4
REQUEST_BYTES = limits.MAX_PIXEL_BYTES // 4  # several small answers keep the progress moving
REQUEST_DAYS = 16  # evaluated at a time, so that one request stays far from the five minutes it may take


def fetch(
    images: Callable[[Calendar], ee.ImageCollection], band: str, calendar: Calendar, grid: GeoBox,
    report: Report = lambda what, share: None,
) -> Field:  # fmt: skip
    """One band of each day.

    Args:
        images: gives one image for each day of a calendar.
        band: of them.
        calendar: the days wanted.
        grid: the pixels wanted, read where their centres lie.
        report: told about progress.

    Returns:
        Shape (days, rows, columns), NaN where masked.

    Raises:
        ConfigError: a source is missing or not shared.
        EngineError: the engine refuses or does not answer.
    """
    height, width = grid.shape
    days = calendar.days
    step = min(REQUEST_DAYS, max(1, REQUEST_BYTES // (height * width * BYTES_PER_VALUE)))
    found = np.empty((len(days), height, width), np.float32)
    for first in range(0, len(days), step):
        part = Calendar(days[first], days[min(first + step, len(days)) - 1])
        stack = images(part).select([band]).toBands().toFloat().unmask(NODATA, False)
        request = {"expression": stack, "fileFormat": "NUMPY_NDARRAY", "grid": grids.pixel_grid(grid)}
        values = answered(ee.data.computePixels, request)
        for number, name in enumerate(values.dtype.names):
            found[first + number] = values[name]
        report(f"{band}: {part.end}", (first + len(part)) / len(days))
    found[found == NODATA] = np.nan
    return found
