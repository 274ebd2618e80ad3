"""A block of the cube: what one task of a prediction reads, predicts and writes.

Days and pixels are predicted independently of each other, so a province and a season come apart into blocks
of a few hundred thousand rows; tasks on them need a bounded memory, run on any process that sees the files,
and may be run again after a crash. Each process loads the model once.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import xarray as xr
import zarr
from numpy.typing import NDArray

from models import store
from models.applicability import GridIndex
from models.gridded import DAILY, MOVING, STILL, GridPredictor
from models.intervals import GridHalfWidth
from models.store import ModelCard
from pipeline.columns import LAND_COVER, VARIABLES, Resolver
from pipeline.cubes.layout import UNREADABLE
from pipeline.errors import DataError
from pipeline.learning.applicability import read_areas
from pipeline.learning.extrapolation import edges
from pipeline.learning.train import study_of
from pipeline.maps import blending
from pipeline.maps.bands import HALF_WIDTH, SM, rounded
from pipeline.study import Study
from pipeline.tables.samples import share_of_class
from pipeline.tables.titles import INDEX, INSIDE, LOWER, UPPER

TILES = 8  # footprints whose static predictors a process keeps: more than it has threads
Floats = NDArray[np.float32]


class Grid(Protocol):
    """Says something of pixels on days."""

    def predict(
        self, features: Sequence[Floats], pixels: NDArray[np.intp], days: int
    ) -> NDArray[np.floating[Any]]:
        """(days, pixels); see ``models.gridded.GridPredictor.predict``."""


@dataclass(frozen=True)
class Block:
    """Days and pixels that one task predicts, as positions in the result."""

    number: int
    time: slice
    y: slice
    x: slice


@dataclass(frozen=True)
class Job:
    """What every task of a prediction has to know.

    Attributes:
        model: a model folder.
        model_hash: SHA-256 that the model states of itself; a worker that finds another there refuses.
        cube: the predictors.
        result: Zarr group with the array to write to.
        days: position in the cube of each day of the result.
        blend_km: see ``blending.shares``.
        names: of the arrays to write: ``sm_model`` in place of ``sm`` where that is corrected later, and then
            ``half_width`` in place of the ends of the intervals.
        fingerprint: of all that the values follow from: a worker that lives on reads a new cube anew.
    """

    model: Path
    model_hash: str
    cube: Path
    result: Path
    days: tuple[int, ...]
    blend_km: float
    names: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Finished:
    """A block that was written.

    Attributes:
        block: its number.
        rows: land pixels times days.
        predicted: of these, the ones with a value.
        outside: for each feature, the rows in which it is beyond the range that training saw.
        applicable: of those predicted, the ones within the area of applicability, where that is known.
    """

    block: int
    rows: int
    predicted: int
    outside: tuple[int, ...]
    applicable: int = 0


def ends(sm: Floats, half: Floats) -> tuple[Floats, Floats]:
    """Both ends of the intervals around soil moisture; none begins below 0."""
    return np.maximum(sm - half, 0), sm + half


class Features:
    """Where the features of a model come from in a cube.

    Known predictors are in gee-smap's own units there, whatever the table that trained the model had; what a
    study adds to them is computed from the cube by the study's own formulas.

    Args:
        card: of the model.
        study: the model's.
        cube: with the variables that the features need.

    Attributes:
        variables: of the cube that are needed.
        kinds: of each feature, as ``models.gridded`` has them.

    Raises:
        DataError: the cube has no variable for a feature.
    """

    def __init__(self, card: ModelCard, study: Study, cube: xr.Dataset) -> None:
        self.names = card.features
        self._edges = [edges(one) for one in card.predictors]
        self._classes = study.predictors.land_cover == "one-hot"
        self._further = {
            name: given for name, given in study.samples.columns.items() if name not in VARIABLES
        }
        self._resolver = Resolver(self._further, frozenset({*map(str, cube.data_vars), "doy"}))
        needed = {name: self._needed(name) for name in self.names}
        if lacking := [name for name, variables in needed.items() if not variables]:
            raise DataError(
                f"the cube has nothing for {', '.join(lacking)}, which the model was trained with; its "
                f"variables are {', '.join(map(str, cube.data_vars))}: train on the samples of the same study"
            )
        daily = {str(name) for name, variable in cube.data_vars.items() if "time" in variable.dims}
        self.variables = tuple(sorted(frozenset().union(*needed.values()) - {"doy"}))
        self._seen = [bool(needed[name] & daily) for name in self.names]
        self.kinds = [
            MOVING if seen or (len(needed[name]) > 1 and "doy" in needed[name])
            else DAILY if "doy" in needed[name] else STILL
            for name, seen in zip(self.names, self._seen, strict=True)
        ]  # fmt: skip

    def _needed(self, name: str) -> frozenset[str]:
        return self._resolver.foreign("lc" if self._classes and name in LAND_COVER else name)

    def values(self, raw: Mapping[str, Floats]) -> list[Floats]:
        """The features in the order of the model, from the variables needed and ``doy``; NaN is missing."""
        return [self._feature(name, raw) for name in self.names]

    def _feature(self, name: str, raw: Mapping[str, Floats]) -> Floats:
        if self._classes and name in LAND_COVER:
            return share_of_class(raw["lc"], name).astype(np.float32)
        if name in raw and name not in self._further:
            return raw[name]
        return self._resolver.numbers(name, lambda used: raw[used].astype(np.float64)).astype(np.float32)

    def seen(self, values: Sequence[Floats]) -> NDArray[np.bool_] | None:
        """Where any feature from the day's images is there; None where the model has none of these."""
        there = [~np.isnan(one) for one, seen in zip(values, self._seen, strict=True) if seen]
        return np.logical_or.reduce(there) if there else None

    def outside(self, values: Sequence[Floats], land: NDArray[np.bool_], days: int) -> tuple[int, ...]:
        """In how many of the land's pixels and days each feature is beyond the range that training saw."""
        found = []
        for one, (lowest, highest) in zip(values, self._edges, strict=True):
            beyond = np.count_nonzero((one < lowest) | (one > highest), axis=0)
            weight = days // len(one)
            found.append(int(weight * (beyond * land).sum()))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Part:
    """The pixels of a footprint that a stack has a share in.

    Attributes:
        stack: its name.
        pixels: positions in the flattened footprint.
        share: of the stack in each of them.
        leads: whether no other stack has a larger one; true of one stack in each pixel.
    """

    stack: str
    pixels: NDArray[np.intp]
    share: NDArray[np.float64]
    leads: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tile:
    """What does not change from day to day under a block.

    Attributes:
        land: (pixels of the footprint,) which of them are predicted.
        static: variables of the cube, (1, pixels of the footprint).
        parts: which stacks predict which pixels.
    """

    land: NDArray[np.bool_]
    static: Mapping[str, Floats]
    parts: tuple[Part, ...]


class Mapper:
    """Predicts blocks; one in each process, used by all of its threads."""

    def __init__(self, job: Job) -> None:
        fitted, card = store.load(job.model)
        if card.sha256 != job.model_hash:
            raise DataError(f"{job.model} holds another model than when the prediction began: predict again")
        self.job = job
        self.study = study_of(job.model)
        self.cube = xr.open_zarr(job.cube, chunks=None, consolidated=False, decode_coords="all")
        self.features = Features(card, self.study, self.cube)
        self.predictors = {
            name: GridPredictor(stack, self.features.kinds) for name, stack in fitted.stacks.items()
        }
        intervals = store.load_intervals(job.model) if {LOWER, HALF_WIDTH} & {*job.names} else None
        self.half_widths = {
            name: GridHalfWidth(found, self.features.kinds)
            for name in self.predictors
            if intervals is not None and (found := intervals.of(name)) is not None
        }
        areas = read_areas(job.model) if INDEX in job.names else {}
        self.indices = {name: GridIndex(area, self.features.kinds) for name, area in areas.items()}
        self.doy = self.cube["time"].dt.dayofyear.to_numpy().astype(np.float32)
        self.arrays: dict[str, Any] = {
            name: zarr.open_array(job.result / name, mode="r+") for name in job.names
        }
        self._tiles = lru_cache(TILES)(self._tile)

    def predict(self, block: Block) -> Finished:
        """Predict a block and write it."""
        tile, days = self.tile(block), block.time.stop - block.time.start
        rows = days * int(np.count_nonzero(tile.land))
        if not rows:
            return Finished(block.number, 0, 0, (0,) * len(self.features.names))
        features = self.features.values(self.read(tile, block))
        values = self._values(tile, features, days)
        shape = days, block.y.stop - block.y.start, block.x.stop - block.x.start
        for name, found in values.items():
            self.arrays[name][block.time, block.y, block.x] = found.reshape(shape)
        predicted = int(np.count_nonzero(~np.isnan(values[self.job.names[0]])))
        applicable = int(np.count_nonzero(values[INSIDE] == 1)) if INSIDE in values else 0
        outside = self.features.outside(features, tile.land, days)
        return Finished(block.number, rows, predicted, outside, applicable)

    def tile(self, block: Block) -> Tile:
        """The footprint of a block."""
        return self._tiles(block.y.start, block.y.stop, block.x.start, block.x.stop)

    def read(self, tile: Tile, block: Block) -> dict[str, Floats]:
        """The variables that the features need, those that change as (days, pixels of the footprint)."""
        days = np.array(self.job.days[block.time])
        raw = {"doy": self.doy[days][:, None], **tile.static}
        when: Any = slice(days[0], days[-1] + 1) if days[-1] - days[0] == len(days) - 1 else days
        for name in self.features.variables:
            if name not in raw:
                values = self._read(name, time=when, y=block.y, x=block.x)
                raw[name] = values.reshape(len(days), -1).astype(np.float32, copy=False)
        return raw

    def _values(self, tile: Tile, features: Sequence[Floats], days: int) -> dict[str, Floats]:
        """What is to be written, (days, pixels of the footprint) by name, soil moisture first.

        NaN where nothing is to be predicted, and where every feature that changes from day to day is missing.
        """
        names, shape = self.job.names, (days, len(tile.land))
        sm = self._blended(tile, features, days, self.predictors)
        found = {names[0]: sm}
        if self.half_widths:
            half = self._blended(tile, features, days, self.half_widths)
            if HALF_WIDTH in names:
                found[HALF_WIDTH] = half
            else:
                found[LOWER], found[UPPER] = ends(sm, half)
        if INDEX in names:
            found[INDEX], found[INSIDE] = (np.full(shape, np.nan, np.float32) for _ in range(2))
            for part in tile.parts:
                pixels = part.pixels[part.leads]
                if (index := self.indices.get(part.stack)) is not None and pixels.size:
                    di = index.predict(features, pixels, days)
                    found[INDEX][:, pixels] = di
                    found[INSIDE][:, pixels] = di <= index.threshold
        if (seen := self.features.seen(features)) is not None and not seen.all():
            for values in found.values():
                values[~seen] = np.nan
        # A map that is not corrected says what the model says, to the last bit.
        return {name: values if name == SM else rounded(name, values) for name, values in found.items()}

    def _blended(
        self, tile: Tile, features: Sequence[Floats], days: int, grids: Mapping[str, Grid]
    ) -> Floats:
        """What the stacks' evaluators say, each with the stack's share; NaN where one has none."""
        found = np.full((days, len(tile.land)), np.nan)
        found[:, tile.land] = 0
        for part in tile.parts:
            grid = grids.get(part.stack)
            said = np.nan if grid is None else grid.predict(features, part.pixels, days)
            found[:, part.pixels] += part.share * said
        return found.astype(np.float32)

    def _tile(self, top: int, bottom: int, left: int, right: int) -> Tile:
        y, x = slice(top, bottom), slice(left, right)
        land = ((self._read("land", y=y, x=x) == 1) & (self._read("region", y=y, x=x) == 1)).ravel()
        static = {
            name: self._read(name, y=y, x=x).reshape(1, -1).astype(np.float32)
            for name in self.features.variables
            if "time" not in self.cube[name].dims
        }
        if "lc" in static:
            static["lc"][static["lc"] < 0] = np.nan
        parts = []
        shares = {name: np.where(land, share.ravel(), 0) for name, share in self._shares(y, x).items()}
        leader = np.stack(list(shares.values())).argmax(axis=0) if shares else np.zeros(land.size, np.intp)
        for number, (name, own) in enumerate(shares.items()):
            if len(pixels := np.flatnonzero(own)):
                parts.append(Part(name, pixels, own[pixels], leader[pixels] == number))
        return Tile(land, static, tuple(parts))

    def _shares(self, y: slice, x: slice) -> blending.Shares:
        """The shares of the stacks, seen with as much land around the footprint as blending reaches over."""
        blend_km = self.job.blend_km
        pixel_km = abs(self.cube.odc.geobox.resolution.x) / 1000
        reach = math.ceil(blend_km / pixel_km) + 1 if blend_km else 0
        top, left = max(y.start - reach, 0), max(x.start - reach, 0)
        wide = {"y": slice(top, y.stop + reach), "x": slice(left, x.stop + reach)}
        found = blending.shares(
            self._read("partition", **wide), self._read("region", **wide) == 1,
            self.cube.attrs["partition_names"], self.predictors.keys(),
            pixel_km=pixel_km, blend_km=blend_km,
        )  # fmt: skip
        inner = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
        return {name: share[inner] for name, share in found.items()}

    def _read(self, name: str, **where: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.cube[name].isel(where).to_numpy())
        except UNREADABLE as error:
            raise DataError(
                f"{self.job.cube}: {name} cannot be read ({error}): remove the cube, and gee-smap export "
                "makes it again"
            ) from error


_one_at_a_time = threading.Lock()
_mapper = lru_cache(1)(Mapper)


def predict_block(job: Job, block: Block) -> Finished:
    """Predict a block and write it; the process keeps the model for the next one."""
    with _one_at_a_time:
        mapper = _mapper(job)
    return mapper.predict(block)


def forget() -> None:
    """Let go of the model that the process keeps, once all blocks are predicted."""
    with _one_at_a_time:
        _mapper.cache_clear()
    hand_back()


def hand_back() -> None:
    """Give freed memory to the system: the GNU library keeps it otherwise; other systems have no such call.

    https://distributed.dask.org/en/stable/worker-memory.html
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
