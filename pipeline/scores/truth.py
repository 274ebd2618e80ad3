"""Scores of a map against the soil moisture that simulated sources were made from.

Only where everything is simulated does anyone know the soil moisture of every square kilometre, and only
there can it be said whether a map shows more than SMAP does. So the map stands beside SMAP itself, drawn
without any model: the pixel underneath, and smoothed from one pixel to the next; and beside what it is made
of, so that it is seen which part of it brought what.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models import metrics
from models.metrics import Estimate, Metric
from pipeline.errors import DataError
from pipeline.scores.medians import Draws, median
from pipeline.work.staging import with_nan

Field = NDArray[np.float32]
Values = NDArray[np.float64]
Labels = NDArray[np.intp]
FEWEST_PIXELS = 20  # of a cell on a day, for a pattern within it
CHANGES: tuple[Metric, ...] = ("r", "rmse", "ubrmse")  # compared between maps, beside R within cells
R_WITHIN = "r_within"
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
        variance: within cells, of the product's as a share of the truth's.
        beside: baseline -> metric (``CHANGES`` and ``r_within``) -> how far this map lies above the baseline
            on the same pixel-days; of ``r_within`` the median of the cells' and days' own differences. 95 %
            intervals draw whole blocks. Empty where nothing was compared.
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
    variance: float
    beside: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    drawn: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From what `as_dict` gave."""
        beside = {
            name: {metric: Estimate(**change) for metric, change in changes.items()}
            for name, changes in row["beside"].items()
        }
        return cls(**{**row, "beside": beside})

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
                    ("R within cells", self.r_within, "{:.3f}"), ("variance within", self.variance, "{:.2f}"),
                )
            },
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def read(path: Path) -> tuple[FieldScore, ...]:
    """The scores that a file holds, each as `FieldScore.as_dict` gives it.

    Raises:
        DataError: it is damaged, or of another version.
    """
    try:
        rows = with_nan(json.loads(path.read_text(encoding="utf-8")))
        return tuple(FieldScore.of(row) for row in rows)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}): remove it, and gee-smap run makes it again") from error


def score_fields(
    truth: Field, products: Mapping[str, Field], cells: Labels, *, baselines: Sequence[str] = ()
) -> list[FieldScore]:
    """Score maps against the truth on the pixel-days that all of them have.

    Args:
        truth: (days, rows, columns), m³/m³, one for each day of a period, NaN where there is none.
        products: by name, of the same shape.
        cells: (rows, columns), the number of each pixel's cell; -1 outside of all.
        baselines: products that all others are compared with. Intervals draw periods of 30 days, or cells
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
    fields = dict(zip(products, others, strict=True))
    apart = _departures(whole, labels)
    departures = {name: _departures(field, labels) for name, field in fields.items()}
    within = {name: _within(apart, field, labels) for name, field in departures.items()}
    beside, drawn = _compared(fields, whole, labels, within, baselines)
    return [
        FieldScore(
            product=name, r_within=_median(within[name]), beside=beside[name], drawn=drawn,
            variance=float(np.nanvar(departures[name]) / np.nanvar(apart)), **_over_all(field, whole),
        )
        for name, field in fields.items()
    ]  # fmt: skip


def _compared(
    fields: Mapping[str, Values],
    truth: Values,
    labels: Labels,
    within: Mapping[str, Values],
    baselines: Sequence[str],
) -> tuple[dict[str, dict[str, dict[str, Estimate]]], str]:
    """Product -> baseline -> metric -> difference, and what intervals draw; of ``within`` see `_within`."""
    days, pixels = np.nonzero(np.isfinite(truth))
    periods = np.arange(len(truth)) // PERIOD_DAYS
    by_period = len(np.unique(periods[days])) >= metrics.MIN_BLOCKS
    blocks = periods[days] if by_period else labels[pixels]
    cell_days = np.indices((len(truth), int(labels.max()) + 1))
    cell_blocks = periods[cell_days[0]] if by_period else cell_days[1]
    series = {name: field[days, pixels] for name, field in fields.items()}
    found: dict[str, dict[str, dict[str, Estimate]]] = {name: {} for name in fields}
    for baseline in baselines:
        compared = metrics.compare(
            series, truth[days, pixels], blocks=blocks, baseline=baseline, metrics=CHANGES
        )
        for name, changes in compared.differences.items():
            pattern = median((within[name] - within[baseline]).ravel(), cell_blocks.ravel(), Draws())
            found[name][baseline] = {
                metric: Estimate(one.value, one.lower, one.upper, one.reason)
                for metric, one in changes.items()
            } | {R_WITHIN: Estimate(pattern.value, pattern.lower, pattern.upper, pattern.reason)}
    drawn = f"{PERIOD_DAYS}-day periods" if by_period else "cells"
    return found, drawn if baselines else ""


def _over_all(field: Values, truth: Values) -> dict[str, Any]:
    """Fields of a score over all pixel-days, and medians of series and of maps."""
    scores = metrics.score(field.ravel(), truth.ravel())
    one, other = (xr.DataArray(values, dims=("day", "pixel")) for values in (truth, field))
    return {
        "n": scores.n, "r": scores.r.value, "rmse": scores.rmse.value, "ubrmse": scores.ubrmse.value,
        "bias": scores.bias.value, "r_time": float(xr.corr(one, other, "day").median()),
        "r_space": float(xr.corr(one, other, "pixel").median()),
    }  # fmt: skip


def _departures(field: Values, labels: Labels) -> Values:
    """Each value less the mean of its cell on its day."""
    out = np.full_like(field, np.nan)
    for row, apart in zip(field, out, strict=True):
        known = np.isfinite(row)
        count, total = (np.bincount(labels[known], of) for of in (None, row[known]))
        apart[known] = row[known] - (total / np.maximum(count, 1))[labels[known]]
    return out


def _within(truth: Values, field: Values, labels: Labels) -> Values:
    """(days, cells) correlations of two fields of departures, NaN where one of them does not vary."""
    found = np.full((len(truth), int(labels.max()) + 1), np.nan)
    for one, other, row in zip(truth, field, found, strict=True):
        known = np.isfinite(one)
        at, x, y = labels[known], one[known], other[known]
        count, products, first, second = (
            np.bincount(at, of, minlength=len(row)) for of in (None, x * y, x * x, y * y)
        )
        varied = (count >= FEWEST_PIXELS) & (np.minimum(first, second) > count * LEAST_VARIANCE)
        row[varied] = products[varied] / np.sqrt(first[varied] * second[varied])
    return found


def _median(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
