"""The maps of simulated sources against the soil moisture that these were made from, and stations in it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer

from gee import comparisons, grids
from gee.target import MOISTURE
from gee.timeseries import Calendar
from pipeline import planning
from pipeline.cubes.cube import open_cube
from pipeline.progress import Report
from pipeline.scores.fields import fetch
from pipeline.scores.truth import FieldScore, score_fields
from pipeline.study import Study
from pipeline.tables.writing import write_table
from pipeline.work.manifest import Manifest
from pipeline.work.stages import Stages
from pipeline.work.staging import whole, with_nan, write_json
from pipeline.work.workdir import WorkDir

STATIONS = 24  # simulated ones
STATION_ERROR = 0.02  # m³/m³, of a simulated probe against the square kilometre around it
TRUTH_VALUES = 12_000_000  # pixel-days held against the truth at most; longer periods by their first days
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
        Scores of the maps and of SMAP, empty where sources are real; the table of simulated stations, made of
        the truth; and whether they were made now.

    Raises:
        EngineError: the engine does not answer.
        DataError: results cannot be written.
    """
    if not manifest.simulated:
        return (), None, False
    measured = work.stations
    if stages.done("truth", maps, work.truth) and measured.exists():
        rows = json.loads(work.truth.read_text(encoding="utf-8"))
        return tuple(FieldScore(**with_nan(row)) for row in rows), measured, False
    pixels = manifest.width * manifest.height
    days = manifest.days[: max(1, TRUTH_VALUES // pixels)]
    calendar, recipe, grid = Calendar(days[0], days[-1]), study.preparation, manifest.grid
    source, window = planning.SMAP_VERSIONS[recipe.smap], planning.SMAP_BINS[recipe.smap_bin]
    wanted = {
        "truth": comparisons.truth,
        "SMAP, nearest": lambda part: comparisons.smap(part, source, window),
        "SMAP, bilinear": lambda part: comparisons.smap(part, source, window, bilinear=True),
    }
    fields = {name: fetch(images, MOISTURE, calendar, grid, report) for name, images in wanted.items()}
    truth = fields.pop("truth")
    with xr.open_zarr(work.prediction, consolidated=False) as prediction, open_cube(work.cube) as cube:
        fine = prediction["sm"].sel(time=slice(str(days[0]), str(days[-1]))).to_numpy()
        region = cube["region"].to_numpy() > 0
    lon, lat = _centres(manifest)
    row, column = grids.ease_cell_of(lon, lat)
    cells = np.where(region, row * grids.EASE9.columns + column, -1)
    scores = tuple(score_fields(truth, {"downscaled": fine, **fields}, cells))
    write_table(_stations(truth, region & np.isfinite(fine).any(axis=0), lon, lat, days), measured)
    with whole(work.truth) as beside:
        write_json(beside, [score.as_dict() for score in scores])
    stages.record("truth", maps)
    return scores, measured, True


def _centres(manifest: Manifest) -> tuple[Any, Any]:
    """Longitude and latitude of the fine grid's pixel centres."""
    scale, _, left, _, down, top = manifest.crs_transform
    x, y = np.meshgrid(
        left + scale * (np.arange(manifest.width) + 0.5), top + down * (np.arange(manifest.height) + 0.5)
    )
    return Transformer.from_crs(manifest.crs, grids.WGS84, always_xy=True).transform(x, y)


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
