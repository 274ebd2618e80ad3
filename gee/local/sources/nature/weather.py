"""Daily rain, clouds, air temperature and radiation of the simulated world.

One moving latent field (fronts of some 500 km, rain bands of 140 km, showers of 30-60 km) decides where it
rains and, with finer noise, where clouds hide the ground, so that wet days are cloudy days. Rain is cut
from the field at the climate's wet-day share and scaled to the climate's mean: a latent Gaussian rain
generator (Wilks 1998, doi:10.1016/S0022-1694(98)00186-3). Climate rows are rounded from general knowledge
of Anhui; the rest of the world gets the same rows stretched with latitude.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from gee.local.sources.nature.noise import (
    Coordinates,
    Floats,
    Lattice,
    Mask,
    Moments,
    drifting,
    interpolated,
    plane,
    smoothstep,
    turned,
)
from gee.local.sources.nature.terrain import broad_elevation, elevation

Days = NDArray[np.int64] | NDArray[np.float64] | float

SEED = 4_000
YEAR = 365.2425  # days
RAIN_STEP = 0.05  # degrees between nodes; the smallest showers are 30 km
CLOUD_STEP = 0.02  # the smallest clouds are 6 km
CLOUD_FRACTION_STEP = 0.1
FRONT_KM, FRONT_STRETCH, FRONT_SPEED, FRONT_LIFE = 420.0, 2.2, 220.0, 4.0  # km, ratio, km/day, days
BAND_KM, BAND_SPEED, BAND_LIFE = 140.0, 350.0, 1.0
SHOWER_KM, SHOWER_SPEED, SHOWER_LIFE = 60.0, 350.0, 0.5
REGIME_KM, REGIME_DAYS, REGIME_SHARE = 500.0, 9.0, 0.3  # share of the variance: rain belts that stay
SPELL_KM, SPELL_DAYS = 900.0, 80.0  # wet and dry seasons
SPELL_RAIN = 0.35  # log of the rain, one standard deviation of a spell
RAIN_POWER = 1.7  # rain over the excess of the latent field; heavier tails than a Gaussian

# mm in each half month, from the latitude given; sums 736, 1062 and 1810 mm.
RAIN_LATITUDES = (29.8, 31.8, 34.6)
HALF_MONTH_RAIN = (
    (36, 42, 52, 62, 80, 92, 105, 112, 115, 125, 175, 200, 120, 70, 75, 62, 48, 38, 34, 34, 40, 38, 28, 27),
    (20, 22, 25, 27, 36, 40, 42, 44, 46, 50, 66, 120, 125, 70, 68, 58, 40, 30, 28, 26, 26, 24, 15, 14),
    (6, 6, 8, 9, 13, 16, 19, 22, 28, 32, 38, 62, 105, 95, 75, 55, 40, 30, 22, 18, 14, 10, 7, 6),
)
# Share of the sky hidden at an overpass, January to December, at 31.8 N.
MONTH_CLOUD = (0.52, 0.55, 0.55, 0.54, 0.56, 0.68, 0.68, 0.58, 0.49, 0.43, 0.45, 0.48)
CLOUD_PER_DEGREE = 0.02  # more clouds southward

LARGEST_RAIN = 250.0  # mm in a day over a few kilometres, never quite reached; 100 mm stay 99

DESERT_LOSS = 0.93  # of the rain

CLOUD_LARGE, CLOUD_FINE = 0.82, 0.5724  # weights of the rain's field and of the cells; squares sum to 1
CLOUD_CELLS = ((34.0, 6, 0.75), (15.0, 12, 0.53), (6.5, 24, 0.4))  # km, lives in a day, weight

SOLAR_CONSTANT = 1366.7  # W/m2; 0.0820 MJ/m2/min of FAO-56
LAPSE = 5.5  # K for each km up
_COARSE_CLOUDS = Lattice(RAIN_STEP, side=16, limit=16_000_000)
_FINE_CLOUDS = Lattice(CLOUD_STEP, side=32, limit=64_000_000)
_EXCESS_AT = np.linspace(-3, 4, 281)


def rain(lon: Coordinates, lat: Coordinates, day: int) -> Floats:
    """Rain of a day in mm; 0 on dry days.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        day: days since 1970-01-01.
    """
    return np.asarray(rain_series(lon, lat, np.array([day]))[0], np.float32)


def rain_series(lon: Coordinates, lat: Coordinates, days: NDArray[np.int64]) -> Floats:
    """Rain in mm of several days at once: ``(days, *lon.shape)``."""
    moments = days[:, None]

    def nodes(node_lon: Coordinates, node_lat: Coordinates) -> Floats:
        return _rain_at(node_lon[None, :], node_lat[None, :], moments)

    return np.maximum(interpolated(nodes, lon, lat, RAIN_STEP), 0)


def spell(lon: Coordinates, lat: Coordinates, days: Days) -> Floats:
    """How wet the season is: unit variance, lasts months over 900 km; rain and growth follow it."""
    x, y = plane(lon, lat)
    sheet = np.asarray(days / SPELL_DAYS)
    return drifting(*turned(x, y, SPELL_KM, 1), sheet, SEED + 10)


def cloud_fraction(lon: Coordinates, lat: Coordinates, day: int) -> Floats:
    """Share of the sky hidden around noon in some 25 km around, 0 to 1."""
    return np.asarray(cloud_series(lon, lat, np.array([day]))[0], np.float32)


def cloud_series(lon: Coordinates, lat: Coordinates, days: NDArray[np.int64]) -> Floats:
    """As `cloud_fraction`, of several days: ``(days, *lon.shape)``."""
    moments = np.asarray(days[:, None] + 0.5, np.float64)

    def nodes(node_lon: Coordinates, node_lat: Coordinates) -> Floats:
        threshold = _cloud_threshold(node_lon[None, :], node_lat[None, :], moments)
        field = np.float32(CLOUD_LARGE) * _large(node_lon[None, :], node_lat[None, :], moments)
        return np.asarray(ndtr((field - threshold) / np.float32(CLOUD_FINE)), np.float32)

    return np.clip(interpolated(nodes, lon, lat, CLOUD_FRACTION_STEP), 0, 1)


def cloudy(lon: Coordinates, lat: Coordinates, day: int, hour: float) -> Mask:
    """True where a cloud hides the ground at a moment.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        day: days since 1970-01-01.
        hour: local solar hour, 0 to 24.
    """
    moment = np.array(day + hour / 24)

    def coarse(node_lon: Coordinates, node_lat: Coordinates) -> Floats:
        field = np.float32(CLOUD_LARGE) * _large(node_lon, node_lat, moment)
        return field - _cloud_threshold(node_lon, node_lat, moment)

    def detail(node_lon: Coordinates, node_lat: Coordinates) -> Floats:
        x, y = plane(node_lon, node_lat)
        x = x - BAND_SPEED * moment
        total = np.zeros(node_lon.shape, np.float32)
        for number, (km, lives, weight) in enumerate(CLOUD_CELLS):
            cells = drifting(*turned(x, y, km, 5 + number), moment * lives, SEED + 60 + 10 * number)
            total += np.float32(weight) * cells
        return np.float32(CLOUD_FINE) * total

    key = day, hour
    return _COARSE_CLOUDS.at(coarse, lon, lat, key) + _FINE_CLOUDS.at(detail, lon, lat, key) > 0


def air_temperature(lon: Coordinates, lat: Coordinates, day: int, height: Floats | None = None) -> Floats:
    """Daily mean air temperature in degrees Celsius, 2 m above the ground.

    Args:
        lon: degrees east, any shape.
        lat: degrees north, the same shape.
        day: days since 1970-01-01.
        height: elevation in m where the caller has it.
    """
    return np.asarray(temperature_series(lon, lat, np.array([day]), height)[0], np.float32)


def temperature_series(
    lon: Coordinates, lat: Coordinates, days: NDArray[np.int64], height: Floats | None = None
) -> Floats:
    """Daily mean air temperature in degrees Celsius of several days: ``(days, *lon.shape)``."""
    moments = days[:, None]

    def nodes(node_lon: Coordinates, node_lat: Coordinates) -> Floats:
        return _sea_level_temperature(node_lon[None, :], node_lat[None, :], moments)

    above = elevation(lon, lat) if height is None else height
    lapse = np.float32(LAPSE / 1000) * np.maximum(above, 0)
    return np.asarray(interpolated(nodes, lon, lat, 0.25) - lapse, np.float32)


def radiation(lon: Coordinates, lat: Coordinates, day: int) -> Floats:
    """Daily mean solar radiation at the ground in W/m2: FAO-56 equations 21 and 35, clouds for sunshine."""
    return np.asarray(radiation_series(lon, lat, np.array([day]))[0], np.float32)


def radiation_series(lon: Coordinates, lat: Coordinates, days: NDArray[np.int64]) -> Floats:
    """As `radiation`, for several days: ``(days, *lon.shape)``."""
    above = extraterrestrial(lat, days.reshape(-1, *(1,) * np.ndim(lat)))
    return np.asarray(above * (0.75 - 0.5 * cloud_series(lon, lat, days)), np.float32)


def extraterrestrial(lat: Coordinates, day: NDArray[np.int64]) -> Floats:
    """Daily mean radiation above the atmosphere, W/m2 (FAO-56 equations 21-25)."""
    season = 2 * np.pi * (day % YEAR) / YEAR
    distance = 1 + 0.033 * np.cos(season)
    declination = 0.409 * np.sin(season - 1.39)
    phi = np.radians(lat)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    height = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return np.asarray(SOLAR_CONSTANT / np.pi * distance * np.maximum(height, 0), np.float32)


def aridity(lon: Coordinates, lat: Coordinates) -> Floats:
    """0 in monsoon Asia and the humid belts, towards 1 in the subtropical deserts elsewhere."""
    belt = smoothstep(1 - np.abs(np.abs(lat) - 24) / 12, 0.05, 0.6)
    return np.asarray(belt * smoothstep(np.abs(np.asarray(lon) - 117), 20, 30), np.float32)


def rain_climate(lon: Coordinates, lat: Coordinates, days: Days) -> Floats:
    """Mean rain in mm/day on a day of the year, orography included."""
    x = _southern_shift(lat, days) % YEAR / YEAR * 24 - 0.5
    first = np.floor(x)
    share = x - first
    table = np.array(HALF_MONTH_RAIN, np.float64) * 24 / YEAR
    low, high = first.astype(np.int64) % 24, (first.astype(np.int64) + 1) % 24
    position = np.interp(np.abs(lat), RAIN_LATITUDES, (0.0, 1.0, 2.0))
    row = np.minimum(position.astype(np.int64), 1)
    between = position - row
    south = table[row, low] * (1 - share) + table[row, high] * share
    north = table[row + 1, low] * (1 - share) + table[row + 1, high] * share
    poleward = np.exp(-np.maximum(np.abs(lat) - RAIN_LATITUDES[-1], 0) / 14)
    mountains = 1 + 0.3 * smoothstep(broad_elevation(lon, lat), 50, 700) * (np.abs(lat) > 30.4)
    humid = (south * (1 - between) + north * between) * poleward * mountains
    return np.asarray(humid * (1 - DESERT_LOSS * aridity(lon, lat)), np.float32)


def _southern_shift(lat: Coordinates, days: Days) -> NDArray[np.float64]:
    return np.asarray(days + np.where(lat < 0, YEAR / 2, 0.0), np.float64)


def _wet_share(mean: Floats) -> Floats:
    """Share of wet days for a mean of mm/day: about 0.16 in a northern winter, 0.5 in a southern June."""
    return np.asarray(0.13 + 0.45 * (1 - np.exp(-mean / 6)), np.float32)


def _mean_excess() -> NDArray[np.float64]:
    """Mean of ((Z - c)+)**RAIN_POWER for a standard normal Z, at each c of `_EXCESS_AT`."""
    z = np.linspace(-8, 8, 3201)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    return np.array([(np.maximum(z - c, 0) ** RAIN_POWER * density).sum() for c in _EXCESS_AT])


_MEAN_EXCESS = _mean_excess()


def _rain_at(lon: Coordinates, lat: Coordinates, days: NDArray[np.int64]) -> Floats:
    mean = rain_climate(lon, lat, days)
    wet = _wet_share(mean)
    threshold = -ndtri(wet)
    moment = np.asarray(days + 0.5, np.float64)
    x, y = plane(lon, lat)
    showers = drifting(*turned(x - SHOWER_SPEED * moment, y, SHOWER_KM, 3), moment / SHOWER_LIFE, SEED + 40)
    small = drifting(*turned(x - SHOWER_SPEED * moment, y, SHOWER_KM / 2, 4), moment / SHOWER_LIFE, SEED + 41)
    summer = 0.5 - 0.5 * np.cos(2 * np.pi * (_southern_shift(lat, days) % YEAR - 15) / YEAR)
    local = 0.12 + 0.16 * summer  # share of the variance
    field = np.sqrt(1 - local) * _large(lon, lat, moment) + np.sqrt(local) * (0.8 * showers + 0.6 * small)
    excess = np.maximum(field - threshold, 0) ** RAIN_POWER
    scale = mean / np.interp(threshold, _EXCESS_AT, _MEAN_EXCESS)
    season = np.exp(SPELL_RAIN * spell(lon, lat, days) - SPELL_RAIN**2 / 2)
    free = np.asarray(excess * scale * season, np.float64)
    return np.asarray(free / np.sqrt(np.sqrt(1 + (free / LARGEST_RAIN) ** 4)), np.float32)


def _large(lon: Coordinates, lat: Coordinates, moment: Moments) -> Floats:
    """Regimes that stay, fronts and bands that move east; unit variance."""
    x, y = plane(lon, lat)
    regime = drifting(*turned(x, y, REGIME_KM, 6), moment / REGIME_DAYS, SEED + 36)
    band = drifting(*turned(x - BAND_SPEED * moment, y, BAND_KM, 2), moment / BAND_LIFE, SEED + 30)
    moving = np.float32(0.84) * _front(lon, lat, moment) + np.float32(0.5426) * band
    return np.float32(np.sqrt(1 - REGIME_SHARE)) * moving + np.float32(np.sqrt(REGIME_SHARE)) * regime


def _front(lon: Coordinates, lat: Coordinates, moment: Moments) -> Floats:
    x, y = plane(lon, lat)
    travelled = x - FRONT_SPEED * moment
    along, across = travelled * 0.94 + y * 0.34, y * 0.94 - travelled * 0.34
    return drifting(along / (FRONT_KM * FRONT_STRETCH), across / FRONT_KM, moment / FRONT_LIFE, SEED + 20)


def _cloud_threshold(lon: Coordinates, lat: Coordinates, moment: Moments) -> Floats:
    month = _southern_shift(lat, moment) % YEAR / YEAR * 12 - 0.5
    share = np.interp(month, np.arange(-1, 13), (MONTH_CLOUD[-1], *MONTH_CLOUD, MONTH_CLOUD[0]))
    share = np.clip(share + CLOUD_PER_DEGREE * np.clip(31.8 - np.abs(lat), -10, 5), 0.2, 0.85)
    return np.asarray(-ndtri(share) - 0.2 * spell(lon, lat, moment), np.float32)


def _sea_level_temperature(lon: Coordinates, lat: Coordinates, days: NDArray[np.int64]) -> Floats:
    mean = 27 - 0.0109 * lat * lat
    swing = 0.41 * np.abs(lat)
    season = np.cos(2 * np.pi * (_southern_shift(lat, days) % YEAR - 203) / YEAR)
    x, y = plane(lon, lat)
    moment = np.asarray(days + 0.5, np.float64)
    weather = drifting(*turned(x - 500 * moment, y, 1300.0, 2), moment / 3.5, SEED + 80)
    dull = _front(lon, lat, moment) * (1.1 + 0.9 * season)
    return np.asarray(mean + swing * season + (2.6 - 0.8 * season) * weather - dull, np.float32)
