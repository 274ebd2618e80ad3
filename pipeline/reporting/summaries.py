"""What a cube, a prediction and a table of samples come to: areas, gaps, means, counts.

A report says them in a line or draws them in a map, but a season of a province is gigabytes, so each store is
read once, in the pieces it is made of. Areas are pixels of the fine grid, whose UTM kilometre differs from a
true one by less than 0.1 %.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee.landcover import CLASSES, FRACTIONS
from gee.predictors import EVERY
from gee.target import OUTAGE
from pipeline.cubes.cube import open_cube
from pipeline.cubes.layout import SIDE, slabs
from pipeline.errors import DataError
from pipeline.maps.bands import SM
from pipeline.progress import Report

FIXED = tuple(name for name in EVERY.static if name not in ("lc", "land"))
BAND = (0.1, 0.9)  # of the pixels of a day, drawn around their mean
Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]
Map = NDArray[np.float64]


@dataclass(frozen=True)
class Gaps:
    """How often a predictor is missing where soil moisture is to be predicted.

    Attributes:
        predictor: its name.
        months: share missing of land pixels and days, by month (``2019-04``).
        share: of the whole period.
    """

    predictor: str
    months: Mapping[str, float]
    share: float


@dataclass(frozen=True, eq=False)
class CubeSummary:
    """A cube.

    Attributes:
        days: that it holds.
        simulated: whether it says so.
        study_hash: of the study it was made for.
        pixel_km2: area of a pixel.
        region: pixels of the study's region, (y, x).
        land: those of them that are land, (y, x).
        partition: code of each, 0 outside of all, (y, x).
        names: of the partitions, in the order of their codes from 1.
        class_km2: area of each class of land cover in the region, by code: the sum of the pixels' shares.
        unknown_km2: area of the region's pixels whose land cover is not known.
        gaps: of the predictors that change from day to day.
        fixed_gaps: share of the land pixels that lack a predictor that does not change, by its name.
    """

    days: tuple[dt.date, ...]
    simulated: bool
    study_hash: str
    pixel_km2: float
    region: Mask
    land: Mask
    partition: Codes
    names: tuple[str, ...]
    class_km2: Mapping[int, float]
    unknown_km2: float
    gaps: tuple[Gaps, ...]
    fixed_gaps: Mapping[str, float]

    @property
    def region_km2(self) -> float:
        """Area of the region."""
        return float(self.region.sum()) * self.pixel_km2

    @property
    def land_km2(self) -> float:
        """Area of the land in it."""
        return float(self.land.sum()) * self.pixel_km2


@dataclass(frozen=True, eq=False)
class PredictionSummary:
    """A prediction; soil moisture in m³/m³.

    Attributes:
        days: that it holds.
        simulated: whether it says so.
        study_hash: of the study of its cube.
        model_hash: of the model that made it.
        gee_smap: version that made it.
        grid: of the pixels.
        mean: over the days with a value, NaN where there is none, (y, x).
        spread: standard deviation over these days, (y, x).
        counts: of these days, (y, x).
        daily: by day, ``mean``, ``low`` and ``high`` over pixels: the 10th and 90th percentile.
    """

    days: tuple[dt.date, ...]
    simulated: bool
    study_hash: str
    model_hash: str
    gee_smap: str
    grid: GeoBox
    mean: Map
    spread: Map
    counts: NDArray[np.int64]
    daily: pd.DataFrame

    @property
    def pixels(self) -> int:
        """That have a value on any day."""
        return int((self.counts > 0).sum())

    @property
    def values(self) -> int:
        """Pixels times days that have a value."""
        return int(self.counts.sum())

    @property
    def overall(self) -> float:
        """Mean of the seasonal means."""
        return float(np.nanmean(self.mean)) if self.pixels else float("nan")


@dataclass(frozen=True)
class SamplesSummary:
    """A table of samples.

    Attributes:
        rows: cells times days.
        cells: number of different ones; None where the table does not tell, as with the following.
        days: number of different ones.
        outage: rows of days without SMAP's radiometer.
    """

    rows: int
    cells: int | None
    days: int | None
    outage: int | None


def of_cube(path: Path, report: Report) -> CubeSummary:
    """Sum up a cube.

    Args:
        path: the store.
        report: told what is read and the share that is done.

    Raises:
        DataError: it is missing, not whole or damaged.
    """
    cube = open_cube(path)
    days = _days(cube)
    region = cube["region"].to_numpy() == 1
    land = region & (cube["land"].to_numpy() == 1)
    resolution = cube.odc.geobox.resolution
    pixel_km2 = abs(resolution.x * resolution.y) / 1e6
    wanted = xr.DataArray(land, dims=("y", "x")).chunk({"y": SIDE, "x": SIDE})
    gaps = []
    moving = [name for name in EVERY.dynamic if name in cube]
    for number, name in enumerate(moving):
        report(f"gaps: {name}", number / len(moving))
        missing = (cube[name].isnull() & wanted).sum(("y", "x")).to_numpy()  # noqa: PD003  (xarray's)
        gaps.append(_gaps(name, days, missing, int(land.sum())))
    shares = {code: cube[name].to_numpy() for code, name in zip(CLASSES, FRACTIONS, strict=True)}
    known = region & np.all([np.isfinite(share) for share in shares.values()], axis=0)
    lacking = {
        name: float(np.isnan(cube[name].to_numpy()[land]).mean()) if land.any() else 0.0
        for name in FIXED
        if name in cube
    }
    return CubeSummary(
        days=days,
        simulated=bool(cube.attrs["simulated"]),
        study_hash=str(cube.attrs["study_hash"]),
        pixel_km2=pixel_km2,
        region=region,
        land=land,
        partition=cube["partition"].to_numpy(),
        names=tuple(cube.attrs["partition_names"]),
        class_km2={
            code: float(share[known].sum(dtype=np.float64)) * pixel_km2 for code, share in shares.items()
        },
        unknown_km2=float((region & ~known).sum()) * pixel_km2,
        gaps=tuple(gaps),
        fixed_gaps=lacking,
    )


def _gaps(name: str, days: tuple[dt.date, ...], missing: NDArray[np.int64], pixels: int) -> Gaps:
    months: dict[str, list[int]] = defaultdict(list)
    for day, count in zip(days, missing, strict=True):
        months[f"{day:%Y-%m}"].append(int(count))
    whole = max(pixels, 1)
    by_month = {month: sum(counts) / (len(counts) * whole) for month, counts in months.items()}
    return Gaps(name, by_month, float(missing.sum()) / (len(days) * whole))


def of_prediction(path: Path, report: Report) -> PredictionSummary:
    """Sum up a prediction, one stretch of days after the other.

    Args:
        path: a store that is whole.
        report: told what is read and the share that is done.

    Raises:
        DataError: it is damaged.
    """
    try:
        with xr.open_zarr(path, chunks=None, consolidated=False, decode_coords="all") as store:
            return _of_prediction(store, report)
    except (OSError, ValueError, LookupError) as error:
        raise DataError(f"{path} is damaged ({error}): remove it, and gee-smap predict makes it") from error


def _of_prediction(store: xr.Dataset, report: Report) -> PredictionSummary:
    days = _days(store)
    shape = (store.sizes["y"], store.sizes["x"])
    total, squares, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    daily = []
    for part in slabs(len(days)):
        report(f"maps: {days[part.start]}", part.start / len(days))
        for values in store[SM].isel(time=part).to_numpy():
            known = np.isfinite(values)
            here = values[known].astype(np.float64)
            counts += known
            total[known] += here
            squares[known] += here * here
            low, high = np.quantile(here, BAND) if here.size else (np.nan, np.nan)
            daily.append((here.mean() if here.size else np.nan, low, high))
    with np.errstate(invalid="ignore"):
        mean = total / np.where(counts, counts, np.nan)
        spread = np.sqrt(np.maximum(squares / np.where(counts, counts, np.nan) - mean**2, 0))
    return PredictionSummary(
        days=days,
        simulated=bool(store.attrs.get("simulated")),
        study_hash=str(store.attrs.get("study_hash", "")),
        model_hash=str(store.attrs.get("model_hash", "")),
        gee_smap=str(store.attrs.get("gee_smap", "")),
        grid=store.odc.geobox,
        mean=mean,
        spread=spread,
        counts=counts,
        daily=pd.DataFrame(daily, columns=["mean", "low", "high"], index=pd.DatetimeIndex(days)),
    )


def of_samples(path: Path) -> SamplesSummary:
    """Sum up a table of samples.

    Args:
        path: Parquet.

    Raises:
        DataError: it cannot be read.
    """
    try:
        file = pq.ParquetFile(path)
        there = [name for name in ("cell", "date", OUTAGE) if name in file.schema_arrow.names]
        table = file.read(columns=there)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read ({error}): remove it, and gee-smap run makes it again"
        ) from error
    found = {name: table[name].to_pandas() for name in there}
    return SamplesSummary(
        rows=file.metadata.num_rows,
        cells=int(found["cell"].nunique()) if "cell" in found else None,
        days=int(pd.to_datetime(found["date"]).dt.normalize().nunique()) if "date" in found else None,
        outage=int((found[OUTAGE] > 0).sum()) if OUTAGE in found else None,
    )


def _days(store: xr.Dataset) -> tuple[dt.date, ...]:
    return tuple(day.date() for day in pd.DatetimeIndex(store["time"].to_numpy()))
