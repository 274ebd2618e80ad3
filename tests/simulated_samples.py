"""A simulated table of cell samples, for tests and benchmarks that need no engine.

No pixel of it was observed: terrain, soil and storms are smooth random fields, soil moisture follows a
daily one-layer bucket driven by them, and each predictor sees that state through a simple sensor with
noise and gaps. It is fast and independent of the local engine; whatever is made from it says it is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

CELL_DEGREES = 0.09  # about one 9 km EASE-Grid 2.0 cell
FIRST_DAY = "2019-04-01"  # the paper's season, Xu et al. 2024 section 2.2
WEST_SOUTH = (114.9, 29.4)  # lower left corner, near Anhui's
LST_GAP_SHARE, RADAR_GAP_SHARE = 0.05, 0.08
SMAP_NOISE = 0.012  # m³/m³, random error of the simulated 9 km target
STATION_NOISE = 0.015  # m³/m³, daily error of a simulated station
STATION_OFFSET = 0.03  # m³/m³, spread of a point's lasting difference to its cell


@dataclass(frozen=True)
class SimulatedRegion:
    """What ``simulate`` makes: cell samples, and stations that stand in some of the cells.

    Attributes:
        samples: one row per cell and day with the canonical columns of ``pipeline.tables.samples``.
        stations: ``station, lon, lat, date, insitu`` in m³/m³; a station bears the name of its cell.
    """

    samples: pd.DataFrame
    stations: pd.DataFrame


def _smooth(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]
) -> NDArray[np.float64]:
    """A random field of the shape given, smoothed, with mean 0 and standard deviation 1."""
    field = gaussian_filter(rng.standard_normal(shape), sigma, mode="nearest")
    return np.asarray((field - field.mean()) / field.std())


def simulate(side: int = 20, days: int = 60, n_stations: int = 24, seed: int = 0) -> SimulatedRegion:
    """Simulate ``side`` × ``side`` cells over ``days`` days from 1 April 2019.

    Args:
        side: cells along each edge of the square region; terrain rises from north to south as in Anhui.
        days: length of the period, one row per cell and day.
        n_stations: how many cells hold a station.
        seed: the same seed gives the same table.

    Returns:
        ``side² · days`` samples and their stations; LST (°C), radar (dB) have gaps (NaN), the rest none.
    """
    rng = np.random.default_rng(seed)
    grid, series = (side, side), (days, side, side)
    relief = 0.3 * side / 4

    south = np.linspace(0, 1, side)[:, None] * np.ones(grid)
    mountain = 1 / (1 + np.exp(-12 * (south - 0.72 + 0.08 * _smooth(rng, grid, (relief, relief)))))
    dem = 25 + 60 * south + 600 * mountain * np.exp(0.4 * _smooth(rng, grid, (relief, relief)))
    partition = np.select([dem < 60, dem < 200], ["plain", "hills"], "mountain")
    clay = np.clip(26 + 8 * _smooth(rng, grid, (2, 2)) - 6 * mountain, 5, 55)
    sand = np.clip(38 - 0.6 * (clay - 26) + 7 * _smooth(rng, grid, (2, 2)), 8, 80)
    silt = 100 - clay - sand
    forest = np.clip(0.15 + 0.75 * mountain + 0.1 * _smooth(rng, grid, (1, 1)), 0.02, 0.95)
    urban = np.clip(0.06 + 0.05 * _smooth(rng, grid, (1, 1)), 0, 0.3) * (1 - forest)
    grass = 0.15 * (1 - forest - urban)
    crops = 1 - forest - urban - grass

    season = np.arange(days) + 91.0
    storms = rng.gamma(0.35, 14.0, days)[:, None, None]
    rain = storms * np.clip(1 + 0.8 * _smooth(rng, series, (0, 3, 3)), 0, None) * (0.7 + 0.7 * south)
    green = 0.5 + 0.5 * np.sin((season - 100) / 365 * 2 * np.pi)[:, None, None]
    lai = np.clip(
        (0.5 + 3.5 * forest + 2.5 * crops * green) * (1 + 0.05 * rng.standard_normal(series)), 0, None
    )
    warmth = 19 + 10 * np.sin((season - 105) / 365 * 2 * np.pi)[:, None, None] - 0.0055 * dem
    weather = _smooth(rng, series, (2, 4, 4))

    porosity = 0.36 + 0.0022 * clay
    wilting = 0.04 + 0.0035 * clay
    truth = np.empty(series)
    state = wilting + 0.5 * (porosity - wilting)
    for day in range(days):
        wetness = (state - wilting) / (porosity - wilting)
        loss = 0.004 * wetness * (1 + 0.03 * warmth[day] + 0.15 * lai[day]) + 0.03 * wetness**4 * sand / 40
        state = np.clip(state + 0.0035 * rain[day] * (1 - wetness) - loss, wilting, porosity)
        truth[day] = state

    dry = (porosity - truth) / (porosity - wilting)
    lst = warmth + 6 * dry * (1 - 0.5 * green) + 2 * weather + 0.8 * rng.standard_normal(series)
    vv = -13.5 + 14 * truth + 0.35 * lai + 0.5 * rng.standard_normal(series)
    vh = -20.5 + 8 * truth + 0.7 * lai + 0.6 * rng.standard_normal(series)
    ndvi = np.clip(0.85 - 0.7 * np.exp(-0.55 * lai) + 0.02 * rng.standard_normal(series), -0.1, 0.95)
    evi = np.clip(0.65 * ndvi + 0.02 * rng.standard_normal(series), -0.1, 0.9)
    ndwi = np.clip(-0.75 * ndvi + 0.05 * truth + 0.02 * rng.standard_normal(series), -0.9, 0.6)
    nsdsi = np.clip(0.15 + 0.7 * truth + 0.15 * ndvi + 0.03 * rng.standard_normal(series), -0.2, 0.9)
    albedo = np.clip(0.19 - 0.1 * truth - 0.02 * forest + 0.006 * rng.standard_normal(series), 0.05, 0.4)
    smap = np.clip(truth + SMAP_NOISE * rng.standard_normal(series), 0.02, 0.7)
    lst[rng.random(series) < LST_GAP_SHARE] = np.nan
    radar_gap = rng.random(series) < RADAR_GAP_SHARE
    vv[radar_gap] = vh[radar_gap] = np.nan

    row, column = np.indices(grid)
    name = np.char.add(np.char.add("r", row.astype(str)), np.char.add("c", column.astype(str)))
    dates = pd.date_range(FIRST_DAY, periods=days)
    static = {
        "cell": name, "lon": WEST_SOUTH[0] + CELL_DEGREES * (column + 0.5),
        "lat": WEST_SOUTH[1] + CELL_DEGREES * (side - row - 0.5), "partition": partition,
    }  # fmt: skip
    dynamic = {"ndvi": ndvi, "ndwi": ndwi, "nsdsi": nsdsi, "evi": evi, "vv": vv, "vh": vh, "lai": lai}
    dynamic |= {"lst": lst, "albedo": albedo}
    fixed = {"sand": sand, "silt": silt, "clay": clay, "dem": dem}
    fixed |= {"LC_1": forest, "LC_2": grass, "LC_3": crops, "LC_4": urban}
    columns: dict[str, Any] = {key: np.broadcast_to(value, series).ravel() for key, value in static.items()}
    columns["date"] = dates.repeat(side * side)
    columns |= {key: value.ravel().astype(np.float32) for key, value in dynamic.items()}
    columns |= {
        key: np.broadcast_to(value, series).ravel().astype(np.float32) for key, value in fixed.items()
    }
    columns["doy"] = columns["date"].day_of_year.to_numpy(np.float32)
    columns["sm"] = smap.ravel().astype(np.float32)

    at = rng.choice(side * side, n_stations, replace=False)
    offset = STATION_OFFSET * rng.standard_normal(n_stations)
    insitu = truth.reshape(days, -1)[:, at] + offset + STATION_NOISE * rng.standard_normal((days, n_stations))
    stations = pd.DataFrame({
        "station": np.tile(name.ravel()[at], days),
        "lon": np.tile(static["lon"].ravel()[at], days),
        "lat": np.tile(static["lat"].ravel()[at], days),
        "date": dates.repeat(n_stations),
        "insitu": np.clip(insitu, 0.01, 0.65).ravel(),
    })  # fmt: skip
    return SimulatedRegion(pd.DataFrame(columns), stations)
