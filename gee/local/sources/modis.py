"""What the MODIS products share: their scenes by date, and what Terra sees through the clouds.

Composites, land temperature and albedo of one place and day must agree on where the clouds were, so the sky
is looked at here and the products only choose from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from gee.local.sources.dataset import (
    DAY_MS,
    BandSpec,
    Dataset,
    Pixels,
    RasterGrid,
    Scene,
    Slot,
    Window,
    reader,
)
from gee.local.sources.nature import noise, weather
from gee.local.sources.orbits import TERRA, TERRA_SWATH, TerraPasses, View

Floats = NDArray[np.float64]
Days = NDArray[np.int64]
Flags = NDArray[np.bool_]

YEARS = range(2015, 2026)
PERIOD_DAYS = 8
SUNWARD = (0.022, -0.018)  # degrees from a pixel to the cloud, 3 km up, that shades it in the morning
BESIDE = 0.012  # degrees: a cloud this near spoils a pixel

Compute = Callable[[Slot, tuple[str, ...], Window], Mapping[str, Pixels]]


def day_number(year: int, day_of_year: int = 1) -> int:
    """Days since 1970-01-01."""
    return (datetime(year, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days + day_of_year - 1


def slot_of(first: int, end: int) -> Slot:
    """The slot from one day to another (exclusive), named by its first day."""
    name = datetime.fromtimestamp(first * 86_400, UTC).strftime("%Y_%m_%d")
    return Slot(first * DAY_MS, end * DAY_MS, name)


def daily() -> Sequence[Slot]:
    """An image for each day."""
    return [slot_of(day, day + 1) for day in range(day_number(YEARS[0]), day_number(YEARS[-1] + 1))]


def eight_daily() -> Sequence[Slot]:
    """Composites of 8 days that start again on 1 January, the last of a year having 5 or 6."""
    return [
        slot_of(first, min(first + PERIOD_DAYS, day_number(year + 1)))
        for year in YEARS
        for first in range(day_number(year), day_number(year + 1), PERIOD_DAYS)
    ]


def yearly() -> Sequence[Slot]:
    """An image for each year."""
    return [slot_of(day_number(year), day_number(year + 1)) for year in YEARS]


def collection(
    asset: str,
    title: str,
    grid: RasterGrid,
    bands: tuple[BandSpec, ...],
    slots: Callable[[], Sequence[Slot]],
    compute: Compute,
) -> Dataset:
    """A MODIS collection: the same bands on the same global grid, one image for each slot."""

    def build(slot: Slot) -> Scene:
        def pixels(names: tuple[str, ...], window: Window) -> Mapping[str, Pixels]:
            return compute(slot, names, window)

        return Scene(
            f"{asset}/{slot.index}",
            slot.index,
            slot.start,
            slot.end,
            grid,
            bands,
            {"simulated": 1},
            None,
            reader(grid, bands, pixels),
        )

    return Dataset(
        asset, "IMAGE_COLLECTION", {"title": f"Simulated {title}", "simulated": 1}, slots=slots, build=build
    )


def packed(fields: Iterable[tuple[int, NDArray[np.integer] | Flags | int]]) -> NDArray[np.int64]:
    """A quality word from (first bit, value) pairs."""
    word = np.zeros((), np.int64)
    for shift, value in fields:
        word = word | (np.asarray(value, np.int64) << shift)
    return np.asarray(word)


@dataclass(frozen=True, eq=False)
class Sky:
    """How each pixel was seen, on the day chosen for it.

    Attributes:
        day: days since 1970-01-01.
        view: geometry of the pass.
        cloudy: a cloud hides the pixel.
        shaded: clear, but in the shadow of a cloud.
        beside: a cloud's edge is within about a kilometre.
        haze: standard normal, what the air adds; changes over two days and 150 km.
    """

    day: Days
    view: View
    cloudy: Flags
    shaded: Flags
    beside: Flags
    haze: Floats


def best_view(lon: Floats, lat: Floats, days: range, night: bool = False) -> Sky:
    """The best look at each pixel within some days: clear before shaded before cloudy, then the steepest."""
    passes = TerraPasses(lon, lat, night)
    hour = float(TERRA.node_hour + (12 if night else 0))
    best = np.full(lon.shape, np.inf)
    day_of = np.full(lon.shape, days.start, np.int64)
    cloudy, shaded = np.ones(lon.shape, np.bool_), np.zeros(lon.shape, np.bool_)
    for day in days:
        distance = np.abs(passes.angle(day))
        hidden = weather.cloudy(lon, lat, day, hour)
        if night:
            dim = np.zeros(lon.shape, np.bool_)
        else:
            dim = ~hidden & weather.cloudy(lon + SUNWARD[0], lat + SUNWARD[1], day, hour)
        score = distance + 100.0 * hidden + 50.0 * dim + 1000.0 * (distance > TERRA_SWATH)
        better = score < best
        best = np.where(better, score, best)
        day_of[better], cloudy[better], shaded[better] = day, hidden[better], dim[better]
    view = passes.view(day_of)
    beside = np.zeros(lon.shape, np.bool_)
    for day in np.unique(day_of).tolist():
        here = day_of == day
        at_lon, at_lat, hides = lon[here], lat[here], cloudy[here]
        edge = np.zeros(at_lon.shape, np.bool_)
        for east, north in ((BESIDE, BESIDE), (-BESIDE, -BESIDE)):
            edge |= weather.cloudy(at_lon + east, at_lat + north, day, hour) != hides
        beside[here] = edge
    return Sky(day_of, view, cloudy, shaded, beside, haze(lon, lat, day_of))


def haze(lon: Floats, lat: Floats, day: Days) -> Floats:
    """Aerosol anomaly, standard normal."""
    x, y = noise.plane(lon, lat)
    return noise.drifting(x / 150, y / 150, day / 2.0, seed=6_100).astype(np.float64)


def by_day(
    day: Days, lon: Floats, lat: Floats, field: Callable[[Floats, Floats, int], NDArray[np.floating]]
) -> Floats:
    """A daily field of the nature run where each pixel has a day of its own."""
    values = np.empty(lon.shape)
    for number in np.unique(day).tolist():
        here = day == number
        values[here] = field(lon[here], lat[here], number)
    return values
