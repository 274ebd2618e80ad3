"""Gap filling and smoothing of real daily land surface temperature, every day of 35 sites, against SciPy.

Each site's record is cut into pieces of equal length with what the filters look at on both sides; a piece
is a pixel, so that the whole set goes through one expression.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from gee.local.sources.dataset import RasterGrid
from gee.timeseries import GAP_DAYS, SG_HALF_WIDTH, Calendar, linear_fill, savitzky_golay

PIECE_DAYS = 122
MARGIN_DAYS = GAP_DAYS + SG_HALF_WIDTH  # what the first and the last smoothed day look at
FIRST = dt.date(2019, 4, 1)  # the days of a piece are counted from here; the sites' own years differ
COLUMNS = 34
RANGE = (200.0, 350.0)  # K

Series = NDArray[np.float64]
Pieces = dict[tuple[str, int], Series]


@pytest.fixture(scope="module")
def sites(shared_data: Path) -> dict[str, Series]:
    """Each site's temperature (K) day by day, NaN under clouds."""
    table = pd.read_parquet(shared_data / "modis-lst-daily" / "mod11a1_daily.parquet")
    table["date"] = pd.to_datetime(table["date"])
    return {
        str(name): rows.set_index("date")["LST_Day_1km_K"].asfreq("D").to_numpy(float)
        for name, rows in table.groupby("site")
    }


def filled_by_scipy(observed: Series) -> Series:
    """Linear between valid days, where the nearest on both sides is at most 15 days away."""
    days, valid = np.arange(observed.size), np.flatnonzero(np.isfinite(observed))
    line = np.interp(days, valid, observed[valid], left=np.nan, right=np.nan)
    after = np.searchsorted(valid, days)
    bounded = np.concatenate([valid, [10**9]])
    before = np.concatenate([[-(10**9)], valid])
    to_next = bounded[after] - days
    to_last = days - before[np.searchsorted(valid, days, side="right")]
    return np.where((to_next <= GAP_DAYS) & (to_last <= GAP_DAYS), line, np.nan)


def smoothed_by_scipy(filled: Series) -> tuple[Series, NDArray[np.bool_]]:
    """The polynomial where all 11 days are there, else the day's own value; and where it was smoothed."""
    padded = np.pad(filled, SG_HALF_WIDTH, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * SG_HALF_WIDTH + 1)
    whole = np.isfinite(windows).all(axis=1)
    smooth = filled.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.isfinite(filled), [False]]).astype(int)))
    for begin, end in edges.reshape(-1, 2):
        if end - begin > 2 * SG_HALF_WIDTH:
            smooth[begin:end] = savgol_filter(filled[begin:end], 11, 4)
    return np.where(whole, smooth, filled), whole


def pieces(series: dict[str, Series]) -> Iterator[tuple[str, int, Series]]:
    """Site, first day, and the values from the margin before to the margin after."""
    for name, values in series.items():
        length = -(-values.size // PIECE_DAYS) * PIECE_DAYS
        padded = np.pad(values, (MARGIN_DAYS, MARGIN_DAYS + length - values.size), constant_values=np.nan)
        for begin in range(0, length, PIECE_DAYS):
            yield name, begin, padded[begin : begin + PIECE_DAYS + 2 * MARGIN_DAYS]


@dataclass
class Laid:
    """Pieces as the pixels of a raster a day."""

    earth: Any
    asset: str
    sites: dict[str, Series]

    def __post_init__(self) -> None:
        self.places = [(name, begin) for name, begin, _ in pieces(self.sites)]
        stack = np.array([values for *_, values in pieces(self.sites)]).T
        rows = -(-stack.shape[1] // COLUMNS)
        stack = np.pad(stack, ((0, 0), (0, rows * COLUMNS - stack.shape[1])), constant_values=np.nan)
        self.grid = RasterGrid("EPSG:32650", (1000, 0, 279_000, 0, -1000, 3_852_000), COLUMNS, rows)
        self.calendar = Calendar(FIRST, FIRST + dt.timedelta(PIECE_DAYS - 1))
        images = []
        for date, values in zip(
            self.calendar.padded(MARGIN_DAYS, MARGIN_DAYS).days, stack.reshape(-1, rows, COLUMNS), strict=True
        ):
            number = np.full(values.shape, float((date - dt.date(1970, 1, 1)).days))
            images.append((date.isoformat(), {"lst": np.ma.masked_invalid(values), "date": number}))
        self.earth.put(self.asset, self.grid, images)

    def filled(self) -> ee.ImageCollection:
        """With the 5 days on each side that smoothing looks at."""
        around = self.calendar.padded(SG_HALF_WIDTH, SG_HALF_WIDTH)
        return linear_fill(ee.ImageCollection(self.asset), around, ["lst"])

    def read(self, images: ee.ImageCollection, band: str) -> dict[str, Series]:
        """The sites' series, put together again; NaN where masked."""
        days = images.filterDate(FIRST.isoformat(), (self.calendar.end + dt.timedelta(1)).isoformat())
        bands = self.earth.pixels(days.select([band]).toBands(), self.grid)
        assert len(bands) == PIECE_DAYS
        stack = np.array([np.ma.filled(values.astype(float), np.nan).ravel() for values in bands.values()])
        whole: dict[str, list[Series]] = {name: [] for name in self.sites}
        for pixel, (name, _) in enumerate(self.places):
            whole[name].append(stack[:, pixel])
        return {name: np.concatenate(parts)[: self.sites[name].size] for name, parts in whole.items()}


def test_filling_and_smoothing_of_every_day_equal_scipy(earth: Any, sites: dict[str, Series]):
    laid = Laid(earth, "test/lst", sites)
    filled = laid.filled()
    smooth = savitzky_golay(filled, laid.calendar, ["lst"], {"lst": RANGE})
    found, values, flags = (
        laid.read(filled, "lst"),
        laid.read(smooth, "lst"),
        laid.read(smooth, "lst_smoothed"),
    )
    for name, observed in sites.items():
        expected = filled_by_scipy(observed)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-9, err_msg=name)
        ideal, whole = smoothed_by_scipy(expected)
        np.testing.assert_allclose(values[name], np.clip(ideal, *RANGE), rtol=0, atol=1e-8, err_msg=name)
        np.testing.assert_array_equal(
            flags[name], np.where(np.isfinite(expected), whole, np.nan), err_msg=name
        )
    shares = pd.DataFrame(
        {
            "observed": {name: np.isfinite(values).mean() for name, values in sites.items()},
            "filled": {name: np.isfinite(values).mean() for name, values in found.items()},
            "smoothed": {name: (values == 1).mean() for name, values in flags.items()},
        }
    )
    everything = np.concatenate(list(found.values()))
    print(
        f"\n{shares.round(3).to_string()}\n"
        f"all {everything.size} days: {np.isfinite(everything).mean():.3f} filled"
    )
    assert everything.size > 127_000
    assert 0.94 < np.isfinite(everything).mean() < 0.98
    assert 0.85 < shares["filled"]["CN-Qia"] < 0.89


def test_hidden_observations_come_back_within_a_few_kelvin(earth: Any, sites: dict[str, Series]):
    generator = np.random.default_rng(2019)
    hidden = {
        name: np.isfinite(values) & (generator.random(values.size) < 0.1) for name, values in sites.items()
    }
    kept = {name: np.where(hidden[name], np.nan, values) for name, values in sites.items()}
    laid = Laid(earth, "test/lst_with_hidden_days", kept)
    found = laid.read(laid.filled(), "lst")
    errors = np.concatenate([(found[name] - sites[name])[hidden[name]] for name in sites])
    errors = errors[np.isfinite(errors)]
    rmse = float(np.sqrt(np.mean(errors**2)))
    print(f"\nhidden days filled: {errors.size}, RMSE {rmse:.2f} K, bias {errors.mean():+.2f} K")
    assert errors.size > 5000
    assert 3.2 < rmse < 4.1
    assert abs(errors.mean()) < 0.2
