"""What a map page is made of, small and with values known beforehand: 12 days of 60 x 50 pixels.

Values are whole thousandths that differ from pixel to pixel and from day to day. Nothing was observed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.pages.map_page import MapPage, write_map
from pipeline.work.manifest import Manifest

WIDTH, HEIGHT, DAYS = 60, 50, 12
LEFT, TOP, SIDE = 260_000, 3_600_000, 1000  # 2.5 degrees west of the zone's meridian
CRS = "EPSG:32650"
START = dt.date(2019, 4, 26)
NAMES = ("plain", "hills")
CELL = 9
LOST_CELL = (2, 3)  # row and column of a cell without any row in the table
GAP = (7, 30, 20)  # day, row and column of a value that is missing
GAP_CELL = (5, 1, 1)  # day, row and column of a cell without value
STATIONS = {"S <1> & co": (20.4, 14.7), "S2": (41.5, 30.5)}  # column and row, pixels
THOUSANDTHS = NDArray[np.int64]


def fine() -> THOUSANDTHS:
    """Thousandths of m³/m³, (days, rows, columns); -1 is missing."""
    day, row, column = np.ogrid[:DAYS, :HEIGHT, :WIDTH]
    values = 100 + 5 * day + 3 * row + 2 * column
    values[:, ~mapped()] = -1
    values[GAP] = -1
    return values


def region() -> NDArray[np.bool_]:
    """An ellipse that touches no edge of the grid."""
    row, column = np.ogrid[:HEIGHT, :WIDTH]
    return ((row - 24.5) / 22) ** 2 + ((column - 29.5) / 27) ** 2 < 1


def water() -> NDArray[np.bool_]:
    """A lake in the region."""
    lake = np.zeros((HEIGHT, WIDTH), np.bool_)
    lake[33:38, 34:42] = True
    return lake


def empty() -> NDArray[np.bool_]:
    """Land in the region that never has a value."""
    hole = np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[10:13, 20:26] = True
    return hole


def mapped() -> NDArray[np.bool_]:
    """Pixels with a value on some day."""
    return region() & ~water() & ~empty()


def partitions() -> NDArray[np.int8]:
    """West of column 30 the first, east of it the second; also beyond the region."""
    return np.where(np.arange(WIDTH) < 30, 1, 2).astype(np.int8) * np.ones((HEIGHT, 1), np.int8)


def cell_places() -> list[tuple[int, int]]:
    """Row and column of every cell whose centre lies in the region."""
    inside = region()
    return [
        (row, column)
        for row in range(HEIGHT // CELL)
        for column in range(WIDTH // CELL)
        if inside[CELL * row + 4, CELL * column + 4] and (row, column) != LOST_CELL
    ]


def cell_centre(row: int, column: int) -> tuple[float, float]:
    """Pixels from the left and from the top."""
    return CELL * column + 4.5, CELL * row + 4.5


def coarse(day: int, row: int, column: int) -> int:
    """Thousandths of a cell, neighbours far from each other; -1 is missing."""
    value = 90 + 10 * row + 5 * column + 120 * ((row + column) % 2) + 4 * day
    return -1 if (day, row, column) == GAP_CELL else value


def insitu(day: int, number: int) -> int:
    """Thousandths of a station; -1 is missing."""
    return -1 if day == 3 else 160 + 60 * number + 7 * day


def lon_lat(x: float, y: float) -> tuple[float, float]:
    """Degrees of a place told in pixels."""
    lon, lat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(
        LEFT + SIDE * x, TOP - SIDE * y
    )
    return float(lon), float(lat)


def metres(values: THOUSANDTHS) -> NDArray[np.float32]:
    """Thousandths as m³/m³."""
    return np.where(values < 0, np.nan, values / 1000).astype(np.float32)


@dataclass(frozen=True)
class SmallMap:
    """The files of a study, and its manifest."""

    root: Path
    manifest: Manifest

    @property
    def prediction(self) -> Path:
        return self.root / "prediction.zarr"

    @property
    def cube(self) -> Path:
        return self.root / "cube.zarr"

    @property
    def samples(self) -> Path:
        return self.root / "samples.parquet"

    @property
    def stations(self) -> Path:
        return self.root / "stations.csv"

    def page(self, out: Path, **options: object) -> MapPage:
        """Write the page, with SMAP and stations unless told otherwise."""
        given = {"smap": self.samples, "stations": self.stations} | options
        return write_map(self.prediction, self.cube, self.manifest, out, lambda what, share: None, **given)  # type: ignore[arg-type]


def cut_small(patch: pytest.MonkeyPatch) -> None:
    """Have the numbers cut into blocks of 4 days and of 700 pixels, so that there are several."""
    patch.setattr("pipeline.pages.map_data.DAY_BLOCK", 4 * 2 * int(mapped().sum()))
    patch.setattr("pipeline.pages.map_data.SERIES_BLOCK", 700 * 2 * DAYS)


def study(**changes: object) -> Manifest:
    """Its manifest."""
    told = {
        "study": "small", "study_hash": "5" * 64, "preset": "recommended", "simulated": True, "start": START,
        "end": START + dt.timedelta(days=DAYS - 1), "places": ("nowhere",), "area_km2": 2000.0, "crs": CRS,
        "width": WIDTH, "height": HEIGHT, "crs_transform": (SIDE, 0, LEFT, 0, -SIDE, TOP), "cells": 30,
        "partitions": NAMES, "partition_rule": "two halves", "sources": {"smap": "NASA/SMAP/SPL4SMGP/008"},
        "checkpoints": None, "eecu_seconds_per_megapixel": 0.1, "tasks": (),
    }  # fmt: skip
    return Manifest.model_validate({**told, **changes})


def make(root: Path, simulated: bool = True) -> SmallMap:
    """Write the files."""
    root.mkdir(parents=True, exist_ok=True)
    small = SmallMap(root, study(simulated=simulated))
    days = np.datetime64(START) + np.arange(DAYS)
    axes = {"y": TOP - SIDE * (np.arange(HEIGHT) + 0.5), "x": LEFT + SIDE * (np.arange(WIDTH) + 0.5)}
    told = {"study_hash": small.manifest.study_hash, "simulated": int(simulated), "complete": 1}
    xr.Dataset(
        {"sm": (("time", "y", "x"), metres(fine()))},
        {"time": days.astype("datetime64[ns]"), **axes},
        {**told, "model_hash": "feedc0de" * 8},
    ).to_zarr(small.prediction, zarr_format=3, consolidated=False, encoding={"sm": {"chunks": (5, 32, 32)}})
    xr.Dataset(
        {
            "region": (("y", "x"), region().astype(np.uint8)),
            "land": (("y", "x"), (~water()).astype(np.uint8)),
            "partition": (("y", "x"), partitions()),
        },
        axes,
        told,
    ).to_zarr(small.cube, zarr_format=3, consolidated=False)
    rows = []
    for row, column in cell_places():
        lon, lat = lon_lat(*cell_centre(row, column))
        for day in range(DAYS):
            value = coarse(day, row, column)
            sm = np.nan if value < 0 else value / 1000
            rows.append((f"u{row:03d}-{column:03d}", lon, lat, days[day], sm, simulated))
    pd.DataFrame(rows, columns=["cell", "lon", "lat", "date", "sm", "simulated"]).to_parquet(small.samples)
    rows = []
    for number, (name, (x, y)) in enumerate(STATIONS.items()):
        lon, lat = lon_lat(x, y)
        for day in range(DAYS):
            value = insitu(day, number)
            rows.append((name, lon, lat, str(days[day]), "" if value < 0 else value / 1000))
    pd.DataFrame(rows, columns=["station", "lon", "lat", "date", "insitu"]).to_csv(
        small.stations, index=False
    )
    return small
