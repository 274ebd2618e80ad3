"""A work directory after the prediction, small, and stations on its map. Nothing in it was observed."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pyproj import Transformer

from gee import grids
from pipeline.maps.mapping import predict_cube
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir
from tests.pipeline import small_cubes
from tests.pipeline.small_cubes import Bands, bands_of, write_cube
from tests.simulated_samples import simulate

SIDE, DAYS, START = 40, 35, dt.date(2019, 6, 1)  # the outage begins on the 19th
SPOTS = {  # row and column of a station, pixels from the upper left corner
    "plain": (3.2, 20.7), "border": (19.5, 18.1), "nowhere": (25.5, 25.5), "lake": (35.5, 35.5),
    "outside": (10.5, 1.5), "gap": (6.5, 6.5), "twin": (3.9, 20.1), "off the map": (3.5, -4.5),
}  # fmt: skip
ON_MAP = [name for name in SPOTS if name != "off the map"]


@dataclass(frozen=True)
class Study:
    """A work directory, and what is in its cube."""

    work: WorkDir
    bands: Bands

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.work.manifest)


def pixel(name: str) -> tuple[int, int]:
    """Row and column of the pixel that holds a station."""
    row, column = SPOTS[name]
    return int(row), int(column)


def stations() -> pd.DataFrame:
    """Two rows each, as a table of measurements has."""
    rows, columns = (np.array(axis) for axis in zip(*SPOTS.values(), strict=True))
    to_degrees = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(500_000 + 1000 * columns, 3_600_000 - 1000 * rows)
    table = pd.DataFrame({"station": list(SPOTS), "lon": lon, "lat": lat})
    return pd.concat([table, table], ignore_index=True)


def cells() -> pd.DataFrame:
    """SMAP over the map: EASE cells whose value is 0.001 times their number and the day's."""
    to_degrees = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform([495_000, 545_000], [3_605_000, 3_555_000])
    (top, bottom), (left, right) = grids.ease_cell_of(lon, lat)
    lon_edges, lat_edges = grids.ease_edges()
    rows = []
    for number, (row, column) in enumerate(np.ndindex(bottom - top + 1, right - left + 1)):
        place = (
            (lon_edges[left + column] + lon_edges[left + column + 1]) / 2,
            (lat_edges[top + row] + lat_edges[top + row + 1]) / 2,
        )
        name = f"{top + row:04d}-{left + column:04d}"
        rows += [
            (name, *place, START + dt.timedelta(days=day), 0.1 + 0.001 * number + 0.002 * day)
            for day in range(DAYS)
        ]
    return pd.DataFrame(rows, columns=["cell", "lon", "lat", "date", "sm"])


@pytest.fixture(scope="session")
def bands() -> Bands:
    made = {name: values.copy() for name, values in
            bands_of(simulate(side=SIDE, days=DAYS, seed=5).samples, SIDE).items()}  # fmt: skip
    for name in ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh"):
        made[name][10, 5:9, 5:9] = np.nan
    made["sand"][3, 20] = np.nan
    made["land"][33:38, 33:38] = 0
    made["lc"][33:38, 33:38], made["lc"][19, 18] = 0, -1
    made["region"][:, :3] = 0
    made["partition"][:, :18], made["partition"][:, 18:] = 1, 2
    made["partition"][22:30, 22:30] = 0
    return made


@pytest.fixture(scope="session")
def study(trained, bands: Bands, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made(trained.model, bands, tmp_path_factory.mktemp("products") / "work")


def made(model: Path, bands: Bands, root: Path) -> Study:
    """A work directory with a prediction by that model."""
    work = WorkDir(root)
    root.mkdir()
    shutil.copytree(model, work.model)
    small_cubes.manifest(DAYS, SIDE, SIDE, START).write(work.manifest)
    write_cube(work.cube, bands)
    _date(work.cube)
    cells().to_parquet(work.samples)
    predict_cube(work.model, work.cube, work.prediction, work.images)
    return Study(work, bands)


def _date(cube: Path) -> None:
    """Have the cube begin with the manifest's first day."""
    import zarr

    days = np.array(START, "datetime64[D]").astype(np.int64) + np.arange(DAYS)
    zarr.open_group(cube, mode="r+")["time"][...] = days


def predictors(bands: Bands, names: tuple[str, ...]) -> NDArray[np.float32]:
    """The predictors of every pixel and day, (days, y, x, features)."""
    shape = bands["ndvi"].shape
    first = START.timetuple().tm_yday
    columns = {"doy": np.arange(first, first + DAYS)[:, None, None], **bands}
    return np.stack([np.broadcast_to(columns[name], shape) for name in names], axis=-1).astype(np.float32)
