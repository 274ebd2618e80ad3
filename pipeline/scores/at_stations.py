"""The table that ``validate`` reads, from the maps of a work directory: they and SMAP at stations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer

from gee import grids
from pipeline.cubes.cube import open_cube
from pipeline.errors import DataError
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

SMAP_KM = 9.0  # within which a cell's centre stands for the station; half a cell's diagonal is 6.4
EARTH_KM = 6371.0


def predictions_at(work: WorkDir, stations: pd.DataFrame) -> pd.DataFrame:
    """The maps' values at stations, and SMAP's of the nearest cell.

    Args:
        work: with a prediction, its cube and samples.
        stations: ``station``, ``lon``, ``lat`` (degrees), a row each or more.

    Returns:
        A row for each station on the map and day: ``station``, ``date``, ``lon``, ``lat``, ``partition``
        (empty outside of all), ``sm`` (m³/m³, of the pixel that holds the station), ``smap`` (m³/m³, of the
        cell whose centre is nearest, where one is within 9 km), ``simulated``.

    Raises:
        DataError: no station lies on the map, or a stage before has not been run.
    """
    manifest = Manifest.read(work.manifest)
    places = stations[["station", "lon", "lat"]].drop_duplicates("station").reset_index(drop=True)
    to_grid = Transformer.from_crs(grids.WGS84, manifest.crs, always_xy=True)
    x, y = to_grid.transform(places["lon"].to_numpy(), places["lat"].to_numpy())
    scale, _, left, _, down, top = manifest.crs_transform
    column, row = np.floor((x - left) / scale), np.floor((y - top) / down)
    inside = (column >= 0) & (column < manifest.width) & (row >= 0) & (row < manifest.height)
    if not inside.any():
        raise DataError(f"none of the {len(places)} stations lies on the map of {manifest.study}")
    places = places[inside]
    at = {
        "y": xr.DataArray(row[inside].astype(int), dims="station"),
        "x": xr.DataArray(column[inside].astype(int), dims="station"),
    }
    with xr.open_zarr(work.prediction, consolidated=False) as prediction, open_cube(work.cube) as cube:
        moisture = prediction["sm"].isel(at).transpose("time", "station")
        names = np.array(["", *manifest.partitions])
        parts = names[cube["partition"].isel(at).to_numpy()]
        dates = moisture["time"].to_numpy()
        table = pd.DataFrame(
            {
                "station": np.tile(places["station"].to_numpy(), len(dates)),
                "date": np.repeat(dates, len(places)),
                "lon": np.tile(places["lon"].to_numpy(), len(dates)),
                "lat": np.tile(places["lat"].to_numpy(), len(dates)),
                "partition": np.tile(parts, len(dates)),
                "sm": moisture.to_numpy().ravel(),
            }
        )
    table = table.merge(_smap(work, places), how="left", on=["station", "date"])
    return table.assign(simulated=manifest.simulated)


def _smap(work: WorkDir, places: pd.DataFrame) -> pd.DataFrame:
    """SMAP's series of the cell nearest to each station."""
    samples = pd.read_parquet(work.samples, columns=["cell", "lon", "lat", "date", "sm"])
    samples["date"] = pd.to_datetime(samples["date"])
    cells = samples.drop_duplicates("cell")
    across = np.radians(cells["lon"].to_numpy() - places["lon"].to_numpy()[:, None])
    across *= np.cos(np.radians(places["lat"].to_numpy()))[:, None]
    up = np.radians(cells["lat"].to_numpy() - places["lat"].to_numpy()[:, None])
    km = EARTH_KM * np.hypot(across, up)
    nearest = km.argmin(axis=1)
    near = km.min(axis=1) <= SMAP_KM
    pairs = pd.DataFrame(
        {"station": places["station"].to_numpy()[near], "cell": cells["cell"].to_numpy()[nearest[near]]}
    )
    found = pairs.merge(samples[["cell", "date", "sm"]], on="cell")
    return found.rename(columns={"sm": "smap"})[["station", "date", "smap"]]
