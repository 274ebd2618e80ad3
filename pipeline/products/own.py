"""What a work directory says at stations: its map, SMAP, the base models, and where and when that is.

All of it is read at the pixel that holds the station, on the map's days, so that every product of the study
stands on identical pairs; land cover, partition and SMAP's outage go along, because scores are told apart by
them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer

from gee.catalog import WGS84
from gee.landcover import CLASSES
from gee.target import in_outage
from models import store
from models.errors import ModelFileError
from models.inference import AGREEMENT
from pipeline.cubes.cube import open_cube
from pipeline.cubes.layout import UNREADABLE
from pipeline.errors import DataError, GeeSmapError
from pipeline.maps.bands import KEPT_BITS, SM, bands_of
from pipeline.products.members import members_at
from pipeline.products.product import Values
from pipeline.products.smap import smap_at
from pipeline.progress import Report
from pipeline.tables.titles import DOWNSCALED, SMAP, SMAP_BILINEAR, UNCORRECTED
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir


@dataclass(frozen=True, eq=False)
class OnMap:
    """The stations that lie on a map.

    Attributes:
        places: ``station``, ``lon``, ``lat``, ``partition`` and ``landcover`` (text, empty where there is
            none), a row each.
        rows: of their pixels.
        columns: of their pixels.
        notes: what the user should know of the others.
    """

    places: pd.DataFrame
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Own:
    """What a work directory says at stations.

    Attributes:
        days: of the map.
        columns: (days, stations) by column of the table of predictions, m³/m³, NaN where there is none.
        beside: what the map says of its own values there, by band: ends of intervals, applicability.
        outage: (days,) whether SMAP's radiometer was off.
        notes: what the user should know.
    """

    days: tuple[dt.date, ...]
    columns: dict[str, Values]
    beside: dict[str, Values]
    outage: NDArray[np.bool_]
    notes: tuple[str, ...]


def on_map(work: WorkDir, manifest: Manifest, stations: pd.DataFrame) -> OnMap:
    """Find the pixels that hold stations.

    Args:
        work: with a cube.
        manifest: of the study.
        stations: ``station``, ``lon``, ``lat`` (degrees), a row each or more; the first of a station counts.

    Raises:
        DataError: no station lies on the map, or there is no cube.
    """
    places = stations[["station", "lon", "lat"]].drop_duplicates("station").reset_index(drop=True)
    to_grid = Transformer.from_crs(WGS84, manifest.crs, always_xy=True)
    x, y = to_grid.transform(places["lon"].to_numpy(), places["lat"].to_numpy())
    scale, _, left, _, down, top = manifest.crs_transform
    column, row = np.floor((np.asarray(x) - left) / scale), np.floor((np.asarray(y) - top) / down)
    inside = (column >= 0) & (column < manifest.width) & (row >= 0) & (row < manifest.height)
    if not inside.any():
        raise DataError(f"none of the {len(places)} stations lies on the map of {manifest.study}")
    rows, columns = row[inside].astype(np.intp), column[inside].astype(np.intp)
    with open_cube(work.cube) as cube:
        at = {"y": xr.DataArray(rows, dims="station"), "x": xr.DataArray(columns, dims="station")}
        partition = cube["partition"].isel(at).to_numpy()
        cover = cube["lc"].isel(at).to_numpy()
    notes = []
    if not inside.all():
        away = places["station"][~inside]
        notes.append(f"{len(away):,} of {len(places):,} stations lie beyond the map and are left out.")
    found = places[inside].reset_index(drop=True)
    found["partition"] = np.array(["", *manifest.partitions])[partition]
    found["landcover"] = [CLASSES.get(int(code), "") for code in cover]
    return OnMap(found, rows, columns, tuple(notes))


def own_values(work: WorkDir, manifest: Manifest, at: OnMap, report: Report) -> Own:
    """Read the map and SMAP, and predict the base models.

    Args:
        work: with a prediction and its samples; cube and model are needed for the base models only.
        manifest: of the study.
        at: which pixels.
        report: told about progress.

    Returns:
        ``sm``, where the map is corrected to SMAP ``sm_model``, ``smap``, ``smap_bilinear`` where cells stand
        in rows and columns, and as far as the model is still that of the map ``wp`` and the base learners.

    Raises:
        DataError: there is no prediction, or there are no samples.
    """
    report("the map at stations", 0.0)
    days, bands, told = _map_at(work, at)
    found = {name: bands.pop(name) for name in (DOWNSCALED, UNCORRECTED) if name in bands}
    smap = smap_at(work.samples, manifest.crs, at.places, days)
    found[SMAP] = smap.nearest
    notes = list(at.notes)
    if smap.bilinear is None:
        notes.append("The cells stand in no rows and columns: SMAP is not interpolated between them.")
    else:
        found[SMAP_BILINEAR] = smap.bilinear
    try:
        stack = UNCORRECTED if UNCORRECTED in found else DOWNSCALED
        found |= _members(work, at, days, found[stack], told, report, rounded=stack == UNCORRECTED)
    except (GeeSmapError, ModelFileError, OSError) as error:
        notes.append(f"The base models are not compared: {error}")
    outage = np.array([in_outage(day) for day in days], np.bool_)
    return Own(days, found, bands, outage, tuple(notes))


def _map_at(work: WorkDir, at: OnMap) -> tuple[tuple[dt.date, ...], dict[str, Values], Mapping[str, Any]]:
    """The map's days, its values by band, and what it says of itself."""
    if not work.prediction.exists():
        raise DataError(f"{work.prediction} is not there: gee-smap predict makes it")
    where = {"y": xr.DataArray(at.rows, dims="station"), "x": xr.DataArray(at.columns, dims="station")}
    try:
        with xr.open_zarr(work.prediction, chunks=None, consolidated=False) as prediction:
            bands = {
                name: prediction[name].isel(where).transpose("time", "station").to_numpy().astype(np.float64)
                for name in dict.fromkeys((SM, *bands_of(prediction)))
            }
            days = tuple(day.date() for day in pd.DatetimeIndex(prediction["time"].to_numpy()))
            return days, bands, dict(prediction.attrs)
    except (*UNREADABLE, LookupError) as error:
        raise DataError(
            f"{work.prediction} cannot be read ({error}): remove it, and gee-smap predict makes it again"
        ) from error


def _members(
    work: WorkDir,
    at: OnMap,
    days: tuple[dt.date, ...],
    sm: Values,
    told: Mapping[str, Any],
    report: Report,
    *,
    rounded: bool,
) -> dict[str, Values]:
    """The base learners and WP, of the very model and cube that made the map.

    Args:
        work: with both.
        at: which pixels.
        days: of the map.
        sm: what its stacks say there.
        told: what the map says of itself.
        report: told about progress.
        rounded: whether ``sm`` is kept to fewer bits than it was predicted with.
    """
    model = work.model / store.CARD
    if not model.exists() or store.read_card(work.model).sha256 != told.get("model_hash"):
        raise DataError(f"{work.model} is not the model of the map; gee-smap predict makes the map anew")
    blend_km = float(told.get("blend_km", 0))
    found = members_at(work.model, work.cube, at.rows, at.columns, days, report, blend_km=blend_km)
    half = 2.0 ** -(KEPT_BITS[UNCORRECTED] + 1) if rounded else 0.0  # unit of the last bit kept, relative
    if not np.allclose(found.pop(SM), sm, rtol=half, atol=AGREEMENT, equal_nan=True):
        raise DataError(f"{work.cube} is not the cube of the map; gee-smap predict makes the map anew")
    return found
