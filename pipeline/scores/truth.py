"""Scores of a map against the soil moisture that simulated sources were made from.

Only where everything is simulated does anyone know the soil moisture of every square kilometre, and only
there can it be said whether a map shows more than SMAP does. So the map stands beside SMAP itself, drawn
without any model: the pixel underneath, and smoothed from one pixel to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models import metrics

Field = NDArray[np.float32]
Values = NDArray[np.float64]
Labels = NDArray[np.intp]
FEWEST_PIXELS = 20  # of a cell on a day, for a pattern within it
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


def score_fields(truth: Field, products: Mapping[str, Field], cells: Labels) -> list[FieldScore]:
    """Score maps against the truth on the pixel-days that all of them have.

    Args:
        truth: (days, rows, columns), m³/m³, NaN where there is none.
        products: by name, of the same shape.
        cells: (rows, columns), the number of each pixel's cell; -1 outside of all.

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
    return [_score(name, whole, field, apart, labels) for name, field in zip(products, others, strict=True)]


def _score(name: str, truth: Values, field: Values, truth_apart: Values, labels: Labels) -> FieldScore:
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
