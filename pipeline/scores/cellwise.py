"""What maps say cell by cell: their mean beside SMAP's value, and their spread within cells and between them.

A downscaled map must give SMAP back when it is averaged over SMAP's cell, or it has gained or lost water; and
what it adds to SMAP is the spread within cells, which is worth little beside the spread between them if it is
noise. Agreement with SMAP is consistency, not accuracy: the model learnt from these very values. Sources:
Koch et al. 2018 (doi:10.5194/gmd-11-1873-2018) for SPAEF; the share within 0.02 m3/m3 is half of the 0.04
asked of SMAP.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import metrics

CLOSE = 0.02  # m³/m³, half of what is asked of SMAP
LEAST_VALID = 0.75  # of a cell's area that must have a value on a day
FEWEST_CELLS = 3  # on a day, for a spread between cells or a correlation over them
FEWEST_DAYS = 10  # of a cell, for a correlation in time
FEWEST_FOR_SPAEF = 25  # cells
ALL, RADIOMETER = "all", "without SMAP's outage"
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CellDays:
    """The map and SMAP on cells, day by day.

    Attributes:
        names: of the cells.
        days: of the map.
        partition: name of each cell's, empty where it has none.
        smap: (days, cells), m³/m³, NaN where missing; as the following.
        mean: of the map over the cell's area.
        variance: of the map within the cell, (m³/m³)².
        valid: share of the whole cell that has a value.
        outage: (days,), whether SMAP's radiometer was off.
    """

    names: tuple[str, ...]
    days: tuple[dt.date, ...]
    partition: tuple[str, ...]
    smap: Values
    mean: Values
    variance: Values
    valid: Values
    outage: Mask

    @property
    def counted(self) -> Mask:
        """(days, cells) that are compared: SMAP is there and enough of the cell has a value."""
        return np.isfinite(self.smap) & np.isfinite(self.mean) & (self.valid >= LEAST_VALID)

    @property
    def left_out(self) -> int:
        """Cells and days with SMAP and some of the map, but less than ``LEAST_VALID`` of the cell."""
        return int((np.isfinite(self.smap) & (self.valid > 0) & (self.valid < LEAST_VALID)).sum())

    def groups(self) -> Iterator[tuple[str, str, str, Mask]]:
        """Partition, month (or ``all``), which days only (empty for any), and the (days, cells) counted."""
        counted = self.counted
        months = np.array([f"{day:%Y-%m}" for day in self.days])
        parted = np.array(self.partition, object)
        names = [name for name in dict.fromkeys(sorted(self.partition)) if name]
        for partition in (ALL, *names):
            own = counted if partition == ALL else counted & (parted == partition)
            for month in (ALL, *dict.fromkeys(months)):
                yield partition, month, "", own if month == ALL else own & (months == month)[:, None]
        if self.outage.any() and not self.outage.all():
            yield ALL, ALL, RADIOMETER, counted & ~self.outage[:, None]


def agreement(found: CellDays) -> pd.DataFrame:
    """The map's mean over the cell less SMAP.

    Returns:
        A row for each partition and month, ``all`` for all of them together, and one without SMAP's outage:
        ``partition, month, only, n`` (cells and days), ``cells, bias, rmse, ubrmse`` (m³/m³), ``r`` (over
        all), ``r_space`` (median over days), ``r_time`` (median over cells), ``close`` (share within
        ``CLOSE``).
    """
    rows = []
    for partition, month, only, kept in found.groups():
        row: dict[str, Any] = {"partition": partition, "month": month, "only": only, "n": int(kept.sum())}
        if row["n"]:
            scores = metrics.score(found.mean[kept], found.smap[kept])
            ours, theirs = (np.where(kept, of, np.nan) for of in (found.mean, found.smap))
            row |= {
                "cells": int(kept.any(axis=0).sum()), "bias": scores.bias.value, "rmse": scores.rmse.value,
                "ubrmse": scores.ubrmse.value, "r": scores.r.value,
                "r_space": _median_r(ours, theirs, FEWEST_CELLS),
                "r_time": _median_r(ours.T, theirs.T, FEWEST_DAYS),
                "close": float((np.abs(found.mean[kept] - found.smap[kept]) <= CLOSE).mean()),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def by_cell(found: CellDays) -> pd.DataFrame:
    """The same of each cell over its days: ``cell, partition, n, valid, smap, map, bias, rmse, r, close``.

    ``valid`` is the mean valid share of all days; means are over the days that are compared, NaN without any.
    """
    kept = found.counted
    n = kept.sum(axis=0)
    days = np.where(n > 0, n, np.nan)
    error = np.where(kept, found.mean - found.smap, 0)
    ours, theirs = (np.where(kept, of, np.nan) for of in (found.mean, found.smap))
    return pd.DataFrame({
        "cell": found.names, "partition": found.partition, "n": n, "valid": found.valid.mean(axis=0),
        "smap": np.where(kept, found.smap, 0).sum(axis=0) / days,
        "map": np.where(kept, found.mean, 0).sum(axis=0) / days,
        "bias": error.sum(axis=0) / days, "rmse": np.sqrt((error**2).sum(axis=0) / days),
        "r": _r(ours.T, theirs.T, FEWEST_DAYS),
        "close": (kept & (np.abs(error) <= CLOSE)).sum(axis=0) / days,
    })  # fmt: skip


def spread(found: CellDays) -> pd.DataFrame:
    """The spread within cells and between them, on the days of each partition and month.

    Every day's variance over the pixels of all cells is that within cells plus that of the cells' means, both
    weighted by valid area; the table has the roots of their means over days.

    Returns:
        ``partition, month, days, cells``; ``within, between`` (standard deviations, m³/m³), ``share`` (of the
        variance that is within cells), ``smap`` (standard deviation of SMAP between the same cells) and
        ``ratio`` (of the variance between cells, the map's over SMAP's). A cell belongs to the partition that
        has most of it; days with fewer than ``FEWEST_CELLS`` cells are left out.
    """
    rows = []
    for partition, month, only, kept in found.groups():
        if only:
            continue
        used = kept & (kept.sum(axis=1) >= FEWEST_CELLS)[:, None]
        row: dict[str, Any] = {
            "partition": partition, "month": month, "days": int(used.any(axis=1).sum()),
            "cells": int(used.any(axis=0).sum()),
        }  # fmt: skip
        if row["days"]:
            weight = np.where(used, found.valid, 0)
            weight = weight / np.where(used.any(axis=1), weight.sum(axis=1), 1)[:, None]
            within = (weight * np.where(used, found.variance, 0)).sum(axis=1)[used.any(axis=1)].mean()
            between, smap = (
                _variance(of, weight)[used.any(axis=1)].mean() for of in (found.mean, found.smap)
            )
            row |= {
                "within": math.sqrt(within), "between": math.sqrt(between), "smap": math.sqrt(smap),
                "share": within / (within + between) if within + between > 0 else math.nan,
                "ratio": between / smap if smap > 0 else math.nan,
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def spaef(simulated: Values, observed: Values) -> float:
    """SPAtial EFficiency of a pattern: 1 for the same pattern, whatever its unit and bias.

    1 - sqrt((R - 1)² + (b - 1)² + (g - 1)²): Pearson's R, b the ratio of the coefficients of variation, g the
    overlap of the histograms of both patterns' z-scores, here in √n bins over their common range.

    Args:
        simulated: (n,), NaN where missing.
        observed: of the same places.

    Returns:
        NaN where fewer than ``FEWEST_FOR_SPAEF`` places are in both, or one of them is constant.

    Source: Koch et al. 2018, Geosci. Model Dev. 11, 1873-1886.
    """
    both = np.isfinite(simulated) & np.isfinite(observed)
    one, other = simulated[both], observed[both]
    if len(one) < FEWEST_FOR_SPAEF or min(one.std(), other.std()) < 1e-12:
        return math.nan
    r = np.corrcoef(one, other)[0, 1]
    variation = (one.std() / one.mean()) / (other.std() / other.mean())
    scores = [(of - of.mean()) / of.std() for of in (one, other)]
    edges = np.histogram_bin_edges(np.concatenate(scores), round(math.sqrt(len(one))))
    first, second = (np.histogram(of, edges)[0] for of in scores)
    overlap = np.minimum(first, second).sum() / second.sum()
    return float(1 - math.sqrt((r - 1) ** 2 + (variation - 1) ** 2 + (overlap - 1) ** 2))


def _variance(values: Values, weight: Values) -> Values:
    """Of each row, by weights that sum to 1."""
    filled = np.where(weight > 0, values, 0)
    mean = (weight * filled).sum(axis=1, keepdims=True)
    return np.asarray((weight * (filled - mean) ** 2).sum(axis=1))


def _r(one: Values, other: Values, fewest: int) -> Values:
    """Pearson's correlation of each row, NaN of too few pairs or of a constant."""
    both = np.isfinite(one) & np.isfinite(other)
    n = both.sum(axis=1)
    count = np.where(n >= fewest, n, np.nan)[:, None]
    x, y = (
        np.where(both, of - np.where(both, of, 0).sum(axis=1, keepdims=True) / count, 0)
        for of in (one, other)
    )
    with np.errstate(invalid="ignore"):
        product = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        return np.asarray((x * y).sum(axis=1) / np.where(product > 0, product, np.nan))


def _median_r(one: Values, other: Values, fewest: int) -> float:
    found = _r(one, other, fewest)
    found = found[np.isfinite(found)]
    return float(np.median(found)) if found.size else math.nan


def partition_names(codes: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    """Names of cells' partitions by their codes from 1; empty for 0 and for codes without name."""
    return tuple(names[code - 1] if 0 < code <= len(names) else "" for code in codes)
