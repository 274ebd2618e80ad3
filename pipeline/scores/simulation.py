"""The maps of simulated sources against the soil moisture that these were made from, and stations in it.

What the maps are made of stands beside them on the same pixels and days: SMAP without a model, each base
learner, the stack without partitions, and the stack before it is corrected to SMAP.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer

from gee import comparisons, grids, target
from gee.catalog import WGS84
from gee.target import MOISTURE
from gee.timeseries import Calendar
from pipeline.cubes.cube import open_cube
from pipeline.errors import DataError
from pipeline.maps.bands import MODEL, SM
from pipeline.products.members import members_at
from pipeline.progress import Report, within
from pipeline.scores import trust
from pipeline.scores.fields import fetch
from pipeline.scores.truth import FieldScore, read, score_fields
from pipeline.study import Study
from pipeline.tables.titles import title
from pipeline.tables.writing import write_table
from pipeline.work.manifest import Manifest
from pipeline.work.stages import Stages
from pipeline.work.staging import whole, write_json
from pipeline.work.workdir import WorkDir

STATIONS = 24  # simulated ones
STATION_ERROR = 0.02  # m³/m³, of a simulated probe against the square kilometre around it
TRUTH_VALUES = 12_000_000  # pixel-days held against the truth at most; longer periods by their first days
COMPARED_VALUES = 3_000_000  # of these, the most that models are compared on: cells are drawn
NEAREST, BILINEAR = "SMAP, nearest", "SMAP, bilinear"
SEED = 0


def against_truth(
    study: Study, work: WorkDir, manifest: Manifest, stages: Stages, maps: str, report: Report
) -> tuple[tuple[FieldScore, ...], Path | None, bool]:
    """Hold the maps of simulated sources against the truth that these were made from.

    Args:
        study: whose preparation tells which SMAP stands beside the maps.
        work: with a prediction.
        manifest: of the study.
        stages: what was done before.
        maps: a hash of the maps' images.
        report: told what is being done and the share of it that is done.

    Returns:
        Scores of the maps, of what they are made of and of SMAP, empty where sources are real; the table of
        simulated stations, made of the truth; and whether they were made now.

    Raises:
        EngineError: the engine does not answer.
        DataError: results cannot be written.
    """
    if not manifest.simulated:
        return (), None, False
    measured = work.stations
    if stages.done("truth", maps, work.truth) and measured.exists():
        with suppress(DataError):  # one of another version is made again
            return read(work.truth), measured, False
    pixels = manifest.width * manifest.height
    days = manifest.days[: max(1, TRUTH_VALUES // pixels)]
    calendar, recipe, grid = Calendar(days[0], days[-1]), study.preparation, manifest.grid
    source, window = target.VERSIONS[recipe.smap], target.BINS[recipe.smap_bin]
    wanted = {
        "truth": comparisons.truth,
        NEAREST: lambda part: comparisons.smap(part, source, window),
        BILINEAR: lambda part: comparisons.smap(part, source, window, bilinear=True),
    }
    fields = {
        name: fetch(images, MOISTURE, calendar, grid, within(report, number * 0.2, (number + 1) * 0.2))
        for number, (name, images) in enumerate(wanted.items())
    }
    truth = fields.pop("truth")
    with xr.open_zarr(work.prediction, consolidated=False) as prediction, open_cube(work.cube) as cube:
        period = prediction.sel(time=slice(str(days[0]), str(days[-1])))
        ours = {name: period[name].to_numpy() for name in (SM, MODEL) if name in period}
        blend_km = float(prediction.attrs.get("blend_km", 0))
        region = cube["region"].to_numpy() > 0
    fine = ours[SM]
    lon, lat = _centres(manifest)
    row, column = grids.ease_cell_of(lon, lat)
    cells = np.where(region, row * grids.EASE9.columns + column, -1)
    compared = _some(np.where(np.isfinite(fine).any(axis=0), cells, -1), len(days))
    rows, columns = np.nonzero(compared >= 0)
    found = members_at(
        work.model, work.cube, rows, columns, days, within(report, 0.6, 0.9), blend_km=blend_km
    )
    found.pop(SM)
    products = {title(name): values for name, values in ours.items()}
    for name, values in found.items():
        products[title(name)] = np.full(fine.shape, np.nan, np.float32)
        products[title(name)][:, rows, columns] = values
    scores = tuple(score_fields(truth, products | fields, compared, baselines=(BILINEAR, title(SM))))
    trust.by_truth(work, truth, days, cells, within(report, 0.9, 1))
    write_table(_stations(truth, region & np.isfinite(fine).any(axis=0), lon, lat, days), measured)
    with whole(work.truth) as beside:
        write_json(beside, [score.as_dict() for score in scores])
    stages.record("truth", maps)
    return scores, measured, True


def _some(cells: NDArray[np.intp], days: int) -> NDArray[np.intp]:
    """The cells of pixels, -1 in those of cells that are one too many for ``COMPARED_VALUES``."""
    names, count = np.unique(cells[cells >= 0], return_counts=True)
    order = np.random.default_rng(SEED).permutation(len(names))
    kept = order[: max(1, np.searchsorted(np.cumsum(count[order]) * days, COMPARED_VALUES, side="right"))]
    return np.where(np.isin(cells, names[kept]), cells, -1)


def _centres(manifest: Manifest) -> tuple[Any, Any]:
    """Longitude and latitude of the fine grid's pixel centres."""
    scale, _, left, _, down, top = manifest.crs_transform
    x, y = np.meshgrid(
        left + scale * (np.arange(manifest.width) + 0.5), top + down * (np.arange(manifest.height) + 0.5)
    )
    return Transformer.from_crs(manifest.crs, WGS84, always_xy=True).transform(x, y)


def _stations(truth: Any, land: Any, lon: Any, lat: Any, days: tuple[dt.date, ...]) -> pd.DataFrame:
    """Simulated stations: the truth of some pixels, each with a probe's error."""
    random = np.random.default_rng(SEED)
    candidates = np.argwhere(land & np.isfinite(truth).all(axis=0))
    chosen = candidates[random.choice(len(candidates), min(STATIONS, len(candidates)), replace=False)]
    rows, columns = chosen.T
    series = truth[:, rows, columns] + STATION_ERROR * random.standard_normal((len(days), len(chosen)))
    names = [f"S{number:02d}" for number in range(1, len(chosen) + 1)]
    return pd.DataFrame(
        {
            "station": np.tile(names, len(days)),
            "lon": np.tile(lon[rows, columns], len(days)),
            "lat": np.tile(lat[rows, columns], len(days)),
            "date": np.repeat(pd.to_datetime(list(days)), len(chosen)),
            "insitu": np.clip(series, 0, 1).ravel(),
            "simulated": True,
        }
    )
