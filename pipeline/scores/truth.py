"""Scores of a map against the soil moisture that simulated sources were made from.

Only where everything is simulated does anyone know the soil moisture of every square kilometre, and only
there can it be said whether a map shows more than SMAP does. So the map stands beside SMAP itself, drawn
without any model: the pixel underneath, and smoothed from one pixel to the next; and beside what it is made
of, so that it is seen which part of it brought what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models import metrics
from models.metrics import Metric

Field = NDArray[np.float32]
Values = NDArray[np.float64]
Labels = NDArray[np.intp]
FEWEST_PIXELS = 20  # of a cell on a day, for a pattern within it
CHANGES: tuple[Metric, ...] = ("r", "rmse", "ubrmse")  # compared with the baseline
PERIOD_DAYS = 30  # soil moisture a month apart counts as independent where intervals are drawn
LEAST_VARIANCE = 1e-8  # (m³/m³)² within a cell: 1e-4 m³/m³ is what files keep


@dataclass(frozen=True)
class FieldScore:
    """How one map agrees with the truth.

    Attributes:
        product: its name.
        n: pixel-days, the same for all products.
        r: Pearson's correlation over all of them.
        rmse: m³/m³.
        ubrmse: m³/m³, without the mean error.
        bias: m³/m³.
        r_time: median over pixels of the correlation of their series.
        r_space: median over days of the correlation of their maps.
        r_within: median over cells and days of the correlation within a cell: what no coarse map can have;
            NaN where a product does not vary within cells.
        spread: standard deviation within cells, of the product's as a share of the truth's.
        r_change: the product's R less that of the baseline on the same pixel-days; NaN for the baseline.
            Its 95 % interval draws whole blocks, the same for all products; as the following.
        rmse_change: m³/m³.
        ubrmse_change: m³/m³.
        drawn: what a block is.
    """

    product: str
    n: int
    r: float
    rmse: float
    ubrmse: float
    bias: float
    r_time: float
    r_space: float
    r_within: float
    spread: float
    r_change: float = nan
    r_change_lower: float = nan
    r_change_upper: float = nan
    rmse_change: float = nan
    rmse_change_lower: float = nan
    rmse_change_upper: float = nan
    ubrmse_change: float = nan
    ubrmse_change_lower: float = nan
    ubrmse_change_upper: float = nan
    drawn: str = ""

    def row(self) -> dict[str, str]:
        """For people."""
        return {
            "map": self.product,
            **{
                heading: "–" if np.isnan(value) else form.format(value)
                for heading, value, form in (
                    ("R", self.r, "{:.3f}"), ("RMSE", self.rmse, "{:.4f}"),
                    ("ubRMSE", self.ubrmse, "{:.4f}"), ("bias", self.bias, "{:+.4f}"),
                    ("R in time", self.r_time, "{:.3f}"), ("R in space", self.r_space, "{:.3f}"),
                    ("R within cells", self.r_within, "{:.3f}"), ("spread", self.spread, "{:.2f}"),
                )
            },
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def score_fields(
    truth: Field, products: Mapping[str, Field], cells: Labels, *, baseline: str | None = None
) -> list[FieldScore]:
    """Score maps against the truth on the pixel-days that all of them have.

    Args:
        truth: (days, rows, columns), m³/m³, one for each day of a period, NaN where there is none.
        products: by name, of the same shape.
        cells: (rows, columns), the number of each pixel's cell; -1 outside of all.
        baseline: the product that the others are compared with. Intervals draw periods of 30 days, or cells
            where there are too few of these.

    Raises:
        ValueError: shapes differ, or no pixel-day is common to all.
    """
    kept = cells.ravel() >= 0
    flat = [
        field.reshape(len(field), -1)[:, kept].astype(np.float64) for field in (truth, *products.values())
    ]
    common = np.isfinite(flat).all(axis=0)
    if not common.any():
        raise ValueError("no pixel of any day is common to the truth and all products")
    labels = np.unique(cells.ravel()[kept], return_inverse=True)[1]
    whole, *others = (np.where(common, field, np.nan) for field in flat)
    apart = _departures(whole, labels)
    changes = _changes(dict(zip(products, others, strict=True)), whole, labels, baseline)
    return [
        _score(name, whole, field, apart, labels, changes.get(name, {}))
        for name, field in zip(products, others, strict=True)
    ]


def _changes(
    products: Mapping[str, Values], truth: Values, labels: Labels, baseline: str | None
) -> dict[str, dict[str, Any]]:
    """Fields of the scores that compare a product with the baseline, by product."""
    if baseline is None:
        return {}
    days, pixels = np.nonzero(np.isfinite(truth))
    periods = days // PERIOD_DAYS
    enough = len(np.unique(periods)) >= metrics.MIN_BLOCKS
    found = metrics.compare(
        {name: field[days, pixels] for name, field in products.items()}, truth[days, pixels],
        blocks=periods if enough else labels[pixels], baseline=baseline, metrics=CHANGES,
    )  # fmt: skip
    drawn = f"{PERIOD_DAYS}-day periods" if enough else "cells"
    return {
        name: {
            f"{metric}_change{end}": value
            for metric, one in of.items()
            for end, value in zip(("", "_lower", "_upper"), (one.value, one.lower, one.upper), strict=True)
        }
        | {"drawn": drawn}
        for name, of in found.differences.items()
    }


def _score(
    name: str, truth: Values, field: Values, truth_apart: Values, labels: Labels, changes: Mapping[str, Any]
) -> FieldScore:
    scores = metrics.score(field.ravel(), truth.ravel())
    apart = _departures(field, labels)
    one, other = (xr.DataArray(values, dims=("day", "pixel")) for values in (truth, field))
    return FieldScore(
        product=name,
        n=scores.n,
        r=scores.r.value,
        rmse=scores.rmse.value,
        ubrmse=scores.ubrmse.value,
        bias=scores.bias.value,
        r_time=float(xr.corr(one, other, "day").median()),
        r_space=float(xr.corr(one, other, "pixel").median()),
        r_within=_median_within(truth_apart, apart, labels),
        spread=float(np.nanstd(apart) / np.nanstd(truth_apart)),
        **changes,
    )


def _departures(field: Values, labels: Labels) -> Values:
    """Each value less the mean of its cell on its day."""
    out = np.full_like(field, np.nan)
    for row, apart in zip(field, out, strict=True):
        known = np.isfinite(row)
        count, total = (np.bincount(labels[known], of) for of in (None, row[known]))
        apart[known] = row[known] - (total / np.maximum(count, 1))[labels[known]]
    return out


def _median_within(truth: Values, field: Values, labels: Labels) -> float:
    """Median over days and cells of the correlation of two fields of departures."""
    found = []
    for one, other in zip(truth, field, strict=True):
        known = np.isfinite(one)
        at, x, y = labels[known], one[known], other[known]
        count, products, first, second = (np.bincount(at, of) for of in (None, x * y, x * x, y * y))
        varied = (count >= FEWEST_PIXELS) & (np.minimum(first, second) > count * LEAST_VARIANCE)
        found.append(products[varied] / np.sqrt(first[varied] * second[varied]))
    every = np.concatenate(found)
    return float(np.median(every)) if every.size else float("nan")
