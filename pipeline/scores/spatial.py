"""How the maps of a work directory vary in space: means, spread, agreement with SMAP, seams, extrapolation.

Scores at stations say nothing about the land between them, where a map may have lost SMAP's water, show the
borders of its partitions, or repeat the last value that training saw. Each of these is counted here from the
maps themselves and written as tables and figures. Sources: Xu et al. 2024 section 4.3 and figure 9 (means and
zoom boxes); the rules of each part stand in ``cellwise``, ``seams``, ``outside`` and ``zooms``.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import comparisons
from gee.timeseries import Calendar
from models import store
from models.store import ModelCard
from pipeline.cubes.cube import open_cube
from pipeline.cubes.layout import COMPLETE, DAYS, UNREADABLE, slabs
from pipeline.cubes.zooms import Box, chosen
from pipeline.errors import USER_MISTAKES, DataError, GeeSmapError
from pipeline.figures import spatial as figures
from pipeline.figures.one_day import Day, one_day
from pipeline.figures.style import save, save_chart, saved
from pipeline.learning.train import study_of
from pipeline.maps.bands import SM
from pipeline.maps.footprints import CellSeries, Footprints, read_cells
from pipeline.maps.prediction_store import attributes_of
from pipeline.progress import Report, within
from pipeline.scores import cellwise, outside, seams, truth
from pipeline.scores.cellwise import CellDays
from pipeline.scores.fields import fetch
from pipeline.scores.seams import Borders, DailySteps
from pipeline.study import Study
from pipeline.tables.titles import UNCORRECTED
from pipeline.work.manifest import Manifest
from pipeline.work.staging import staged, with_nan, write_json
from pipeline.work.workdir import WorkDir

RECORD = "spatial.json"
TABLES = ("agreement", "cells", "spread", "seams", "outside")
TEXTS = (
    "partition", "month", "only", "cell", "field", "border", "verdict", "predictor",
)  # fmt: skip
MAPS, CHARTS = ("means", "zooms", "day", "agreement", "outside"), ("spread", "seams")
FILES = (
    RECORD,
    *(f"{name}.csv" for name in TABLES),
    *(f"{name}.png" for name in (*MAPS, *CHARTS)),
    *(f"{name}.svg" for name in CHARTS),
)
_PREDICTION, _CUBE, _RAIN = 0.3, 0.75, 0.9  # shares of the whole after which these are read
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rain = Callable[[Calendar, GeoBox, Report], NDArray[np.float32]]
"""Gives the rain of each day of a calendar on a grid, (days, y, x), mm/day, NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Spatial:
    """How maps vary in space, as it stands in a folder.

    Attributes:
        summary: the content of ``spatial.json``; an undefined number is NaN here and null there.
        tables: those of ``TABLES`` that could be made, by name; columns as of ``cellwise.agreement``,
            ``cellwise.by_cell``, ``cellwise.spread``, ``seams.Steps`` and ``outside.Survey``; the first two
            of the stack where the map is corrected to SMAP.
        pictures: PNGs and SVGs by name of the file.
    """

    summary: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, bytes] = field(repr=False)

    @property
    def simulated(self) -> bool:
        """Whether any source is."""
        return bool(self.summary["simulated"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know beside the numbers, one sentence each."""
        return tuple(self.summary["notes"])

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The zoom boxes."""
        return tuple(Box(**one) for one in self.summary["boxes"])

    def as_dict(self) -> dict[str, Any]:
        """For machines: the record, to which the folder's tables belong."""
        return dict(self.summary)


def chirps(calendar: Calendar, grid: GeoBox, report: Report) -> NDArray[np.float32]:
    """The rain of each day as CHIRPS has it, see ``gee.comparisons.rain``; an engine must be connected.

    Raises:
        ConfigError: the source is missing or not shared.
        EngineError: the engine refuses or does not answer.
    """
    return fetch(comparisons.rain, comparisons.RAINFALL, calendar, grid, report)


def describe(
    work: WorkDir,
    out: Path,
    report: Report = lambda what, share: None,
    rain: Rain | None = None,
    boxes: Sequence[Box] = (),
) -> Spatial:
    """Describe the maps of a work directory, and write tables and figures.

    Args:
        work: with a cube and a prediction; samples, a model and scores against a truth where there are any.
        out: folder; an earlier description in it is replaced.
        report: told what is being done and the share that is done.
        rain: gives the period's rain, such as `chirps`; None leaves it out.
        boxes: zoom boxes in degrees; without any, three are chosen as ``zooms.chosen`` says.

    Returns:
        What was written. What could not be made is told in its notes.

    Raises:
        DataError: there is no plan, cube or whole prediction, they do not belong together or are damaged, or
            ``out`` cannot be written.
    """
    manifest = Manifest.read(work.manifest)
    if (attributes_of(work.prediction) or {}).get(COMPLETE) != 1:
        raise DataError(f"{work.prediction}: there is no whole prediction here: gee-smap predict makes it")
    open_cube(work.cube).close()  # says what is wrong with it
    with (
        xr.open_zarr(work.cube, chunks=None, consolidated=False, decode_coords="all") as cube,
        xr.open_zarr(work.prediction, chunks=None, consolidated=False, decode_coords="all") as prediction,
    ):
        if cube.odc.geobox != prediction.odc.geobox:
            raise DataError(f"{work.prediction} does not lie on the grid of {work.cube}: predict again")
        maps = _Maps.of(manifest, cube, prediction)
        cells = _Cells.of(work.samples, maps)
        borders = _borders(maps)
        season = _season(prediction, maps, cells, borders, within(report, 0, _PREDICTION))
        day = _day(prediction, maps, cells, season.known)
        model = _model(work.model, maps)
        surveyed = outside.survey(
            cube, maps.days, maps.land, maps.names, model, within(report, _PREDICTION, _CUBE)
        )
    rained = _rained(rain, maps, within(report, _CUBE, _RAIN))
    report("tables and figures", _RAIN)
    simulated = maps.simulated or (cells is not None and cells.series.simulated)
    simulated = simulated or (model is not None and model[0].simulated)
    zooms, told = chosen(season.mean, maps.codes, maps.land, maps.names, maps.grid, boxes)
    maps.notes.extend(told)
    beside = cells.days(season, maps) if cells else None
    corrected, stack = season.cell_stack is not None, None
    tables: dict[str, pd.DataFrame] = {}
    if beside is not None:  # a corrected map agrees because it is made to; so its stack is looked at
        stack = beside if season.cell_stack is None else replace(beside, mean=season.cell_stack)
        tables["agreement"], tables["cells"] = cellwise.agreement(stack), cellwise.by_cell(stack)
        tables["spread"] = cellwise.spread(beside)
    if borders is not None and season.steps is not None:
        fields = {name: of.ravel() for name, of in surveyed.means.items() if name not in ("doy", "lc")}
        steps = seams.steps_of(borders, maps.names, season.mean.ravel(), season.steps, fields)
        tables["seams"] = pd.DataFrame([one.as_dict() for one in steps])
    if not surveyed.rows.empty:
        tables["outside"] = surveyed.rows
    tables = {name: table for name, table in tables.items() if len(table)}
    patterns = _patterns(work.truth, maps)
    summary = maps.summary(beside, stack, borders, tables, patterns) | {
        "simulated": simulated, "corrected": corrected, "rain": rained is not None,
        "boxes": [asdict(box) for box in zooms],
        "rows": {name: len(table) for name, table in tables.items()},
        "notes": maps.notes + (["Simulated data: the maps show no real soil moisture."] if simulated else []),
    }  # fmt: skip
    shown = figures.Shown(
        grid=maps.grid, land=maps.land, codes=maps.codes, days=maps.days, sm=season.mean,
        smap=cells.painted(maps, cells.means()) if cells else None, rain=rained, ground=surveyed.means,
        boxes=zooms, simulated=simulated,
    )  # fmt: skip
    with staged(out, RECORD, FILES) as folder:
        drawn = {"means": figures.means(shown), "day": one_day(replace(day, simulated=simulated))}
        if zooms:
            drawn["zooms"] = figures.zooms(shown)
        if cells is not None:
            drawn["agreement"] = figures.agreement(
                shown, tables["cells"], cells.footprints.under, corrected=corrected
            )
            drawn["spread"] = figures.spread(tables["spread"], patterns, simulated=simulated)
        if "seams" in tables:
            drawn["seams"] = figures.seams(tables["seams"], simulated=simulated)
        if surveyed.often is not None:
            drawn["outside"] = figures.outside(shown, tables["outside"], surveyed.often)
        for name, figure in drawn.items():
            if name in CHARTS:
                save_chart(figure, folder, name)
            else:
                save(figure, folder / f"{name}.png")
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        write_json(folder / RECORD, summary)
    report("spatial", 1.0)
    return Spatial(summary, tables, saved(out, drawn))


def read(folder: Path) -> Spatial | None:
    """Read what `describe` wrote; None where there is nothing.

    Raises:
        DataError: it is damaged.
    """
    if not (folder / RECORD).is_file():
        return None
    try:
        summary = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        tables = {}
        for name, rows in summary["rows"].items():
            table = pd.read_csv(folder / f"{name}.csv", dtype=dict.fromkeys(TEXTS, str))
            if len(table) != rows:
                raise ValueError(f"{name}.csv has {len(table)} of {rows} rows")
            texts = [column for column in TEXTS if column in table]
            tables[name] = table.assign(**{column: table[column].fillna("") for column in texts})
        return Spatial(with_nan(summary), tables, saved(folder, (*MAPS, *CHARTS)))
    except (OSError, ValueError, LookupError) as error:
        raise DataError(f"{folder} is damaged ({error}): remove it, and make it again") from error


@dataclass(frozen=True, eq=False)
class _Maps:
    """What every part has to know; what cannot be made is added to ``notes``."""

    manifest: Manifest
    grid: GeoBox
    days: tuple[dt.date, ...]
    names: tuple[str, ...]
    land: Mask
    codes: NDArray[np.int64]
    blend: int
    simulated: bool
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, manifest: Manifest, cube: xr.Dataset, prediction: xr.Dataset) -> _Maps:
        try:
            land, region, codes = (cube[name].to_numpy() for name in ("land", "region", "partition"))
        except UNREADABLE as error:
            raise DataError(
                f"the cube cannot be read ({error}): remove it, and gee-smap export makes it again"
            ) from error
        wanted = (land == 1) & (region == 1)
        grid = prediction.odc.geobox
        blend_km = float(prediction.attrs.get("blend_km", 0))
        return cls(
            manifest=manifest,
            grid=grid,
            days=tuple(day.date() for day in pd.DatetimeIndex(prediction["time"].to_numpy())),
            names=tuple(cube.attrs["partition_names"]),
            land=wanted,
            codes=np.where(wanted, codes, 0).astype(np.int64),
            blend=math.ceil(blend_km * 1000 / abs(grid.resolution.x)),
            simulated=manifest.simulated
            or any(bool(one.attrs.get("simulated")) for one in (cube, prediction)),
        )

    def summary(
        self,
        beside: CellDays | None,
        stack: CellDays | None,
        borders: Borders | None,
        tables: Mapping[str, pd.DataFrame],
        patterns: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        """What the record says beside boxes and notes."""
        found: dict[str, Any] = {
            "study": self.manifest.study, "study_hash": self.manifest.study_hash,
            "gee_smap": version("gee-smap"), "start": str(self.days[0]), "end": str(self.days[-1]),
            "days": len(self.days), "pixels": int(self.land.sum()), "truth": list(patterns),
            "settings": {
                "least_valid": cellwise.LEAST_VALID, "close": cellwise.CLOSE,
                "offsets": [offset + self.blend for offset in seams.OFFSETS], "stretch": seams.STRETCH,
                "draws": seams.DRAWS, "seed": seams.SEED, "confidence": seams.CONFIDENCE,
                "beyond": outside.BEYOND,
            },
        }  # fmt: skip
        if beside is not None and stack is not None:
            cells, apart = tables["cells"], np.abs(beside.mean - beside.smap)[beside.counted]
            found["cells"] = {
                "there": len(beside.names), "compared": int((cells["n"] > 0).sum()),
                "cell_days": int(beside.counted.sum()), "left_out": beside.left_out,
                "spaef": cellwise.spaef(cells["map"].to_numpy(), cells["smap"].to_numpy()),
                "farthest": float(apart.max(initial=0.0)),
                "ratio_of_stack": cellwise.spread(stack).iloc[0].get("ratio", math.nan),
            }  # fmt: skip
        if borders is not None:
            found["borders"] = {"pairs": len(borders), "left_out": borders.left_out}
        return found


@dataclass(frozen=True, eq=False)
class _Cells:
    """SMAP's cells on the pixels."""

    series: CellSeries
    footprints: Footprints

    @classmethod
    def of(cls, path: Path, maps: _Maps) -> _Cells | None:
        try:
            if not path.is_file():
                raise DataError(f"{path} is not there")
            series = read_cells(path, maps.days)
            return cls(series, Footprints.of(series.names, maps.grid))
        except DataError as error:
            maps.notes.append(f"Nothing is held against SMAP: {error}.")
            return None

    def days(self, season: _Season, maps: _Maps) -> CellDays:
        codes = self.footprints.partitions(maps.codes.ravel())
        return CellDays(
            names=self.series.names, days=maps.days, smap=self.series.sm, mean=season.cell_mean,
            partition=cellwise.partition_names(codes.tolist(), maps.names),
            variance=season.cell_variance, valid=season.cell_valid, outage=self.series.outage,
        )  # fmt: skip

    def means(self) -> Floats:
        """SMAP's seasonal mean of each cell."""
        days = np.isfinite(self.series.sm).sum(axis=0)
        return np.asarray(np.nansum(self.series.sm, axis=0) / np.where(days, days, np.nan))

    def painted(self, maps: _Maps, values: Floats) -> Floats:
        """Values of cells on the pixels, each with that of the cell that has most of it."""
        under = self.footprints.under.reshape(maps.land.shape)
        return np.where(maps.land & (under >= 0), values[under], np.nan)


@dataclass(frozen=True, eq=False)
class _Season:
    """What one pass over the prediction gives; cells as of ``Footprints.means``, empty without any.

    ``known`` counts the pixels that have a value on each day; ``cell_stack`` is ``cell_mean`` of the stack
    before it was corrected to SMAP, None where it was not.
    """

    mean: Floats
    known: NDArray[np.int64]
    cell_mean: Floats
    cell_stack: Floats | None
    cell_variance: Floats
    cell_valid: Floats
    steps: DailySteps | None


def _season(
    prediction: xr.Dataset, maps: _Maps, cells: _Cells | None, borders: Borders | None, report: Report
) -> _Season:
    shape = maps.land.shape
    total, counts = np.zeros(shape), np.zeros(shape, np.int64)
    beside = np.full((3, len(maps.days), len(cells.series.names) if cells else 0), np.nan)
    stack = np.full_like(beside[0], np.nan) if UNCORRECTED in prediction else None
    steps = DailySteps(borders) if borders is not None else None
    there = np.zeros(len(maps.days), np.int64)
    for part in slabs(len(maps.days)):
        report(f"maps: {maps.days[part.start]}", part.start / len(maps.days))
        try:
            values = prediction[SM].isel(time=part).to_numpy()
            if stack is not None and cells is not None:
                plain = np.where(maps.land, prediction[UNCORRECTED].isel(time=part).to_numpy(), np.nan)
                stack[part] = cells.footprints.means(plain.reshape(len(plain), -1))[0]
        except UNREADABLE as error:
            raise DataError(
                f"the prediction cannot be read ({error}): remove it, and gee-smap predict makes it again"
            ) from error
        values = np.where(maps.land, values, np.nan)
        known = np.isfinite(values)
        counts += known.sum(axis=0)
        there[part] = known.sum(axis=(1, 2))
        total += np.where(known, values, 0).sum(axis=0, dtype=np.float64)
        flat = values.reshape(len(values), -1)
        if cells is not None:
            beside[:, part] = cells.footprints.means(flat)
        if steps is not None:
            steps.add(flat)
    with np.errstate(invalid="ignore"):
        mean = total / np.where(counts, counts, np.nan)
    if not counts.any():
        raise DataError("the prediction has no value on any pixel: gee-smap predict makes it again")
    return _Season(mean, there, beside[0], stack, beside[1], beside[2], steps)


def _day(prediction: xr.Dataset, maps: _Maps, cells: _Cells | None, known: NDArray[np.int64]) -> Day:
    """The day to draw: of those with most pixels the one nearest to the middle, so that nobody chose it."""
    most = np.flatnonzero(known == known.max())
    number = int(most[np.abs(most - (len(known) - 1) / 2).argmin()])
    smap = cells.painted(maps, cells.series.sm[number]) if cells else None
    return Day.of(prediction, maps.days[number], maps.land, maps.codes, smap, simulated=maps.simulated)


def _borders(maps: _Maps) -> Borders | None:
    found = Borders.of(maps.codes, maps.land, blend=maps.blend)
    if not found.pairs:
        maps.notes.append("There are no borders of partitions to look for seams on.")
        return None
    if not len(found):
        maps.notes.append(
            f"None of the {found.left_out} pairs of pixels on borders of partitions has room for a parallel "
            "line in both of them, so seams cannot be told from the land."
        )
        return None
    return found


def _model(folder: Path, maps: _Maps) -> tuple[ModelCard, Study] | None:
    try:
        return store.read_card(folder), study_of(folder)
    except (OSError, GeeSmapError, *USER_MISTAKES) as error:
        maps.notes.append(
            f"The ranges of training are not known, and what lies outside is not counted: {error}."
        )
        return None


def _rained(rain: Rain | None, maps: _Maps, report: Report) -> Floats | None:
    """Mean rain of the map's days, mm/day, on the land."""
    if rain is None:
        maps.notes.append("Rain was not asked for, so it is not drawn.")
        return None
    wanted = frozenset(maps.days)
    total, counts = np.zeros(maps.land.shape), np.zeros(maps.land.shape, np.int64)
    whole = Calendar(maps.days[0], maps.days[-1]).days
    try:
        for first in range(0, len(whole), DAYS):
            part = whole[first : first + DAYS]
            report(f"rain: {part[0]}", first / len(whole))
            fields = rain(Calendar(part[0], part[-1]), maps.grid, lambda what, share: None)
            fields = fields[[day in wanted for day in part]]
            known = np.isfinite(fields)
            counts += known.sum(axis=0)
            total += np.where(known, fields, 0).sum(axis=0, dtype=np.float64)
    except GeeSmapError as error:
        maps.notes.append(f"Rain could not be had, so it is not drawn: {error}")
        return None
    if not counts[maps.land].any():
        maps.notes.append("The source of rain has no value in this place and period, so it is not drawn.")
        return None
    with np.errstate(invalid="ignore"):
        return np.where(maps.land, total / np.where(counts, counts, np.nan), np.nan)


def _patterns(path: Path, maps: _Maps) -> list[dict[str, Any]]:
    """How the patterns within cells agree with the truth, as ``pipeline.scores.truth`` scored them."""
    if not path.is_file():
        return []
    try:
        return [{"product": one.product, "r_within": one.r_within} for one in truth.read(path)]
    except DataError as error:
        maps.notes.append(f"Patterns within cells stand beside no truth: {error}.")
        return []
