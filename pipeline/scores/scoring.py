"""Scores of the maps of a work directory: at stations, and against the simulated truth where there is one."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
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
from pipeline.errors import DataError
from pipeline.learning.predict import write_table
from pipeline.scores.at_stations import predictions_at
from pipeline.scores.fields import fetch
from pipeline.scores.truth import FieldScore, score_fields
from pipeline.scores.validate import ValidationResult, validate
from pipeline.study import Study
from pipeline.tables.reading import Table
from pipeline.work.manifest import Manifest
from pipeline.work.stages import Stages
from pipeline.work.staging import whole, write_json
from pipeline.work.workdir import WorkDir

Report = Callable[[str, float], None]
STATIONS = 24  # simulated ones
STATION_ERROR = 0.02  # m³/m³, of a simulated probe against the square kilometre around it
TRUTH_VALUES = 12_000_000  # pixel-days held against the truth at most; longer periods by their first days
SEED = 0


def predict_at(work: WorkDir, insitu: Path) -> Path:
    """Write what the maps and SMAP say at stations, as `pipeline.scores.validate.validate` reads it.

    Args:
        work: with a prediction.
        insitu: the stations' table, with ``lon`` and ``lat``.

    Raises:
        DataError: the table cannot be used, or no station lies on the map.
    """
    table = Table.open(insitu)
    if lacking := [name for name in ("station", "lon", "lat") if name not in table.header]:
        raise DataError(f"{insitu} has no column {', '.join(lacking)}: the map's pixels are found by them")
    table.fetch({"station", "lon", "lat"}, {"station"})
    places = pd.DataFrame({"station": table.texts("station", ["station"])})
    places["lon"], places["lat"] = table.numbers("lon"), table.numbers("lat")
    write_table(predictions_at(work, places), work.predictions)
    return work.predictions


def validate_maps(work: WorkDir, insitu: Path) -> ValidationResult:
    """Score the maps at stations, beside SMAP.

    Raises:
        DataError: as of `predict_at`, or too few days are in both.
    """
    return validate(predict_at(work, insitu), insitu, work.validation)


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
        return tuple(FieldScore(**_with_nan(row)) for row in rows), measured, False
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


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in row.items()}
