"""Where a map's predictors leave the range that training saw, how often and by how much.

Trees hold their last value beyond that range, so a map is flat there without saying so; cells of 9 km have a
narrower range than the pixels within them, and some always lie beyond. A hair's breadth is harmless, so the
share beyond ``BEYOND`` of the range stands beside the plain one. The cube is read once, and the means of its
predictors over the days of the map come with it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gee.predictors import DYNAMIC, STATIC
from models.store import ModelCard
from pipeline.cubes.layout import DAYS, SIDE, UNREADABLE
from pipeline.errors import DataError
from pipeline.maps.blocks import Features
from pipeline.progress import Report
from pipeline.study import Study

BEYOND = 0.01  # of the range that training saw
ANY, ALL = "any", "all"
PLAIN = (*DYNAMIC, *(name for name in STATIC if name not in ("lc", "land")))
Floats = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Survey:
    """What a cube's predictors come to.

    Attributes:
        means: of each predictor over the days, (y, x), NaN where it never has a value.
        rows: a row for each predictor (and ``any`` of them), partition (and ``all``) and month (and ``all``):
            ``predictor, partition, month, pixels, pixels_outside`` (pixels with a day outside),
            ``pixel_days, outside, beyond`` (of the pixel-days, outside the range and by more than ``BEYOND``
            of it), ``below, above`` (of the pixel-days, on which side) and ``farthest`` (of the largest
            excursion, as a share of the range; NaN for ``any``). Empty without a model.
        often: share of the days on which any predictor is beyond by more than ``BEYOND``, (y, x), NaN off
            the land; None without a model.
    """

    means: Mapping[str, NDArray[np.float64]]
    rows: pd.DataFrame
    often: NDArray[np.float64] | None


class _Tally:
    """Counts of one predictor, or of any of them, by month and partition; ``seen`` by month and pixel."""

    def __init__(self, months: int, partitions: int, pixels: int) -> None:
        shape = (months, partitions)
        self.outside, self.beyond, self.below = (np.zeros(shape, np.int64) for _ in range(3))
        self.farthest = np.zeros(shape)
        self.seen = np.zeros((months, pixels), bool)


def survey(
    cube: xr.Dataset,
    days: Sequence[dt.date],
    land: NDArray[np.bool_],
    names: Sequence[str],
    model: tuple[ModelCard, Study] | None,
    report: Report,
) -> Survey:
    """Read a cube.

    Args:
        cube: whole.
        days: of the map; all of them in the cube.
        land: (y, x), the pixels that are mapped.
        names: of the partitions, in the order of their codes from 1.
        model: its card and its study; None gives means alone.
        report: told what is read and the share that is done.

    Raises:
        DataError: the cube lacks a predictor of the model or a day of the map, or is damaged.
    """
    place = {
        str(day)[:10]: number for number, day in enumerate(cube["time"].to_numpy().astype("datetime64[D]"))
    }
    if lacking := [day for day in days if str(day) not in place]:
        raise DataError(
            f"the cube lacks {len(lacking)} days of the map, the first {lacking[0]}: predict again"
        )
    reader = _Reader(cube, model, np.array([place[str(day)] for day in days]))
    months = list(dict.fromkeys(f"{day:%Y-%m}" for day in days))
    codes = np.where(land, np.minimum(cube["partition"].to_numpy(), len(names)), 0).astype(np.intp)
    ranges = {one.name: (one.least, one.greatest) for one in model[0].predictors} if model else {}
    shape = land.shape
    totals = {name: np.zeros(shape) for name in reader.names}
    counts = {name: np.zeros(shape, np.int64) for name in reader.names}
    tallies = {
        name: _Tally(len(months), len(names) + 1, land.size)
        for name in (*ranges, *((ANY,) if ranges else ()))
    }
    often = np.zeros(shape)
    parts = [
        (slice(top, min(top + SIDE, shape[0])), slice(left, min(left + SIDE, shape[1])))
        for top in range(0, shape[0], SIDE) for left in range(0, shape[1], SIDE)
    ]  # fmt: skip
    flat = np.arange(land.size).reshape(shape)
    stretches = list(_stretches(days))
    for number, (y, x) in enumerate(parts):
        wanted = land[y, x].ravel()
        if not wanted.any():
            continue
        pixels, parted = flat[y, x].ravel()[wanted], codes[y, x].ravel()[wanted]
        for done, (month, when) in enumerate(stretches):
            report("predictors", (number + done / len(stretches)) / len(parts))
            strayed = np.zeros((2, when.stop - when.start, len(pixels)), bool)  # outside, and beyond
            for name, values in reader.read(when, y, x, wanted):
                known = np.isfinite(values)
                totals[name].flat[pixels] += np.where(known, values, 0).sum(axis=0, dtype=np.float64)
                counts[name].flat[pixels] += known.sum(axis=0)
                if name in ranges:
                    _count(tallies[name], months.index(month), pixels, parted, values, ranges[name], strayed)
            if ranges:
                tally, at = tallies[ANY], months.index(month)
                tally.seen[at, pixels] |= strayed[0].any(axis=0)
                tally.outside[at] += _by(parted, strayed[0].sum(axis=0), len(names) + 1)
                tally.beyond[at] += _by(parted, strayed[1].sum(axis=0), len(names) + 1)
                often.flat[pixels] += strayed[1].sum(axis=0)
    with np.errstate(invalid="ignore"):
        means = {name: totals[name] / np.where(counts[name], counts[name], np.nan) for name in reader.names}
    if not ranges:
        return Survey(means, pd.DataFrame(), None)
    lengths = {month: sum(f"{day:%Y-%m}" == month for day in days) for month in months}
    rows = list(_rows(tallies, codes.ravel(), land.ravel(), names, lengths))
    return Survey(means, pd.DataFrame(rows), np.where(land, often / len(days), np.nan))


class _Reader:
    """Predictors of a part of the cube, as the model sees them where there is one."""

    def __init__(
        self, cube: xr.Dataset, model: tuple[ModelCard, Study] | None, places: NDArray[np.intp]
    ) -> None:
        self._cube, self._places = cube, places
        self._features = Features(*model, cube) if model else None
        self._doy = cube["time"].dt.dayofyear.to_numpy().astype(np.float32)
        own = self._features.names if self._features else ()
        self._more = tuple(name for name in PLAIN if name not in own)
        self.names = (*own, *self._more)

    def read(self, when: slice, y: slice, x: slice, wanted: NDArray[np.bool_]) -> list[tuple[str, Floats]]:
        """Each predictor as (days, wanted pixels); a single day's plane where it does not change."""
        days = self._places[when]
        whole = days[-1] - days[0] == len(days) - 1
        along: Any = slice(days[0], days[-1] + 1) if whole else days  # picking days one by one is slower
        variables = dict.fromkeys((*(self._features.variables if self._features else ()), *self._more))
        raw: dict[str, Floats] = {"doy": self._doy[days][:, None]}
        for name in variables:
            held = self._cube[name]
            try:
                part = held.isel(time=along, y=y, x=x) if "time" in held.dims else held.isel(y=y, x=x)
                values = part.to_numpy().reshape(-1, wanted.size)[:, wanted].astype(np.float32)
            except UNREADABLE as error:
                raise DataError(
                    f"the cube's {name} cannot be read ({error}): remove the cube, and gee-smap export makes "
                    "it again"
                ) from error
            raw[name] = np.where(values < 0, np.nan, values).astype(np.float32) if name == "lc" else values
        own = self._features.values(raw) if self._features else []
        found = [*zip(self._features.names if self._features else (), own, strict=True)]
        found += [(name, raw[name]) for name in self._more]
        shape = (len(days), int(wanted.sum()))
        return [(name, np.broadcast_to(values, shape)) for name, values in found]


def _stretches(days: Sequence[dt.date]) -> list[tuple[str, slice]]:
    """Days of one month, at most a chunk's at a time."""
    found = []
    for month, group in groupby(enumerate(days), lambda each: f"{each[1]:%Y-%m}"):
        numbers = [number for number, _ in group]
        for first in range(numbers[0], numbers[-1] + 1, DAYS):
            found.append((month, slice(first, min(first + DAYS, numbers[-1] + 1))))
    return found


def _count(
    tally: _Tally,
    month: int,
    pixels: NDArray[np.intp],
    parted: NDArray[np.intp],
    values: Floats,
    limits: tuple[float, float],
    strayed: NDArray[np.bool_],
) -> None:
    """Add a part's values to the counts of a predictor, and mark those outside and those beyond."""
    least, greatest = limits
    margin = BEYOND * (greatest - least)
    low, high = values < least, values > greatest
    outside = low | high
    if not outside.any():
        return
    beyond = (values < least - margin) | (values > greatest + margin)
    kinds = tally.outside.shape[1]
    tally.seen[month, pixels] |= outside.any(axis=0)
    tally.outside[month] += _by(parted, outside.sum(axis=0), kinds)
    tally.beyond[month] += _by(parted, beyond.sum(axis=0), kinds)
    tally.below[month] += _by(parted, low.sum(axis=0), kinds)
    excess = np.fmax(least - np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0) - greatest)
    share = excess / (greatest - least) if greatest > least else np.where(excess > 0, np.inf, 0)
    np.maximum.at(tally.farthest[month], parted, np.nan_to_num(share, nan=0, posinf=np.inf))
    strayed |= np.stack([outside, beyond])


def _by(parted: NDArray[np.intp], counts: NDArray[np.integer[Any]], kinds: int) -> Counts:
    return np.rint(np.bincount(parted, counts, kinds)).astype(np.int64)


def _rows(
    tallies: Mapping[str, _Tally],
    codes: NDArray[np.intp],
    land: NDArray[np.bool_],
    names: Sequence[str],
    lengths: Mapping[str, int],
) -> Any:
    """The table, from the widest row of each predictor to the narrowest."""
    kinds = len(names) + 1
    present = [code for code in range(kinds) if (codes[land] == code).any()]
    groups: list[tuple[str, list[int]]] = [(ALL, list(range(kinds)))]
    if names:
        groups += [(names[code - 1] if code else "none", [code]) for code in present]
    for predictor, tally in tallies.items():
        for partition, chosen in groups:
            inside = land & np.isin(codes, chosen)
            pixels = int(inside.sum())
            for month in (ALL, *lengths):
                at = [number for number, each in enumerate(lengths) if month in (ALL, each)]
                days = sum(length for each, length in lengths.items() if month in (ALL, each))
                here = np.ix_(at, chosen)
                outside, beyond, below = (
                    int(of[here].sum()) for of in (tally.outside, tally.beyond, tally.below)
                )
                whole = pixels * days
                named = predictor != ANY
                yield {
                    "predictor": predictor, "partition": partition, "month": month, "pixels": pixels,
                    "pixels_outside": float(tally.seen[at][:, inside].any(axis=0).mean()) if pixels else 0.0,
                    "pixel_days": whole, "outside": outside / whole if whole else 0.0,
                    "beyond": beyond / whole if whole else 0.0,
                    "below": below / whole if named and whole else math.nan,
                    "above": (outside - below) / whole if named and whole else math.nan,
                    "farthest": float(tally.farthest[here].max()) if named else math.nan,
                }  # fmt: skip
