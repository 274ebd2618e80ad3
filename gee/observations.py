"""From one scene of a source to what was observed: clear pixels, physical units, and the day they are of.

Everything after this, gap filling, windows, aggregation, only sees predictors by name and a ``date`` for each
pixel. The date matters because an eight-day composite takes each pixel from its best day: taken at the start
of the period, a whole series would lie about four days early. Sources and units: Xu et al. 2024, 2.2.3 and
2.2.4, and the user guides of MOD09, MOD11, MOD15, MCD43 and Sentinel-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import ee

from gee.catalog import ALBEDO, LAI, LST, LST_RANGE, RAIN, REFLECTANCE, SENTINEL1, scaled
from gee.indices import MODIS_BANDS, indices
from gee.quality import ANY_INVERSION, Preset, accepted, edges, masked
from gee.timeseries import DATE, DAY_MS

Dates = Literal["pixel", "start"]
Inversions = Literal["full", "all"]

MID_COMPOSITE_DAYS = 4  # MOD15A2H does not say which of its eight days it took
ZERO_CELSIUS = 273.15  # K
ALBEDO_BANDS = ("Albedo_BSA_shortwave", "Albedo_WSA_shortwave")
RAINFALL = "rain"


def reflectance(image: ee.Image, preset: Preset, dates: Dates = "pixel", guarded: bool = True) -> ee.Image:
    """The four indices of a MOD09A1 composite.

    Args:
        image: a scene of ``MODIS/061/MOD09A1``.
        preset: of ``gee.quality``.
        dates: ``pixel``, the day each pixel was seen, or ``start``, the composite's first day.
        guarded: see ``gee.indices.indices``.

    Returns:
        Bands ``ndvi``, ``ndwi``, ``nsdsi``, ``evi``, masked where the pixel is not clear or a reflectance of
        the formula is no share of light, and ``date``: days since 1970-01-01, double. Under ``pixel``
        a pixel whose day lies outside the composite is masked too. ``system:time_start`` is kept.
    """
    clear = masked(image, REFLECTANCE, preset)
    shares = scaled(clear, REFLECTANCE, list(MODIS_BANDS.values())).rename(list(MODIS_BANDS))
    values = indices(shares, guarded)
    if dates == "start":
        return _observed(image, values, _date(image, "sur_refl_b01"))
    date = _day_seen(scaled(clear, REFLECTANCE, ["DayOfYear"]))
    return _observed(image, values.updateMask(date.mask()), date)


def temperature(image: ee.Image, preset: Preset) -> ee.Image:
    """The day-time land surface temperature of a MOD11A1 image.

    Args:
        image: a scene of ``MODIS/061/MOD11A1``.
        preset: of ``gee.quality``.

    Returns:
        Bands ``lst``, °C, masked where the pixel is not clear, and ``date``: days since 1970-01-01, double.
        ``system:time_start`` is kept.
    """
    kelvin = scaled(masked(image, LST, preset), LST, ["LST_Day_1km"])
    return _observed(image, kelvin.subtract(ZERO_CELSIUS).rename("lst"), _date(image, "LST_Day_1km"))


def temperature_range(image: ee.Image, preset: Preset) -> ee.Image:
    """How much warmer the land surface of a MOD11A1 image is by day than by night.

    Dry ground warms and cools faster than wet ground: the difference is an apparent thermal inertia.

    Args:
        image: a scene of ``MODIS/061/MOD11A1``.
        preset: of ``gee.quality``, asked of both passes.

    Returns:
        Bands ``dlst``, K, masked where the pixel is not clear by day and by night, and ``date``: days since
        1970-01-01, double. ``system:time_start`` is kept.

    Source: Price 1977, J. Geophys. Res. 82, 2582 (thermal inertia from day and night temperatures).
    """
    clear = masked(image, LST_RANGE, preset)
    day, night = (scaled(clear, LST_RANGE, [band]) for band in ("LST_Day_1km", "LST_Night_1km"))
    return _observed(image, day.subtract(night).rename("dlst"), _date(image, "LST_Day_1km"))


def rainfall(image: ee.Image) -> ee.Image:
    """The rain of a CHIRPS image, bilinear where it is asked for on finer pixels than its own 0.05 degrees.

    Args:
        image: a scene of ``UCSB-CHG/CHIRPS/DAILY``.

    Returns:
        Band ``rain``, mm/day; masked over the sea and poleward of 50 degrees. ``system:time_start`` is kept.
    """
    return ee.Image(scaled(image, RAIN, [RAIN.bands[0].name]).rename(RAINFALL).resample("bilinear"))


def leaf_area(image: ee.Image, preset: Preset, dates: Dates = "pixel") -> ee.Image:
    """The leaf area index of a MOD15A2H composite.

    Args:
        image: a scene of ``MODIS/061/MOD15A2H``.
        preset: of ``gee.quality``.
        dates: ``pixel``, the middle of the composite because its pixels carry no day, or ``start``.

    Returns:
        Bands ``lai``, m²/m², masked where the pixel is not clear or holds a fill code (249 to 255: towns,
        water, bare ground), and ``date``: days since 1970-01-01, double. ``system:time_start`` is kept.
    """
    leaves = scaled(masked(image, LAI, preset), LAI, ["Lai_500m"]).rename("lai")
    shift = MID_COMPOSITE_DAYS if dates == "pixel" else 0
    return _observed(image, leaves, _date(image, "Lai_500m", shift))


def albedo(image: ee.Image, preset: Preset, inversions: Inversions = "full") -> ee.Image:
    """The short-wave albedo of an MCD43A3 image, the mean of black-sky and white-sky.

    Args:
        image: a scene of ``MODIS/061/MCD43A3``.
        preset: of ``gee.quality``; all of them ask for full inversions.
        inversions: ``full``, or ``all`` to take magnitude inversions too, whatever the preset: in a rainy
            season there is little else.

    Returns:
        Bands ``albedo``, 0..1, masked elsewhere, and ``date``: days since 1970-01-01, double, of the day on
        which the 16 days of the retrieval centre. ``system:time_start`` is kept.
    """
    if inversions == "full":
        clear = masked(image, ALBEDO, preset)
    else:
        clear = image.updateMask(accepted(image, ANY_INVERSION))
    black, white = (scaled(clear, ALBEDO, [band]) for band in ALBEDO_BANDS)
    return _observed(image, black.add(white).divide(2).rename("albedo"), _date(image, ALBEDO_BANDS[0]))


def backscatter(image: ee.Image) -> ee.Image:
    """The backscatter of a Sentinel-1 scene as power, the only form in which a mean is a mean.

    Args:
        image: a scene of ``COPERNICUS/S1_GRD_FLOAT`` with VV and VH.

    Returns:
        Bands ``vv`` and ``vh``, linear power, masked on the noisy edges of the swath and where there is no
        power, and ``date``: days since 1970-01-01 with the time of day, double. ``system:time_start`` is
        kept.
    """
    power = scaled(edges(image), SENTINEL1, ["VV", "VH"]).rename(["vv", "vh"])
    return _observed(image, power.updateMask(power.gt(0)), _date(image, "VV"))


def decibels(image: ee.Image, bands: Sequence[str] = ("vv", "vh")) -> ee.Image:
    """Turn power into dB, 10 log10; after a mean, never before one.

    The mean of dB is lower than the dB of the mean, by 0.5 dB from speckle alone and by more over varied
    ground, so fields averaged to different sizes would differ for no other reason.

    Args:
        image: power in these bands, above 0; other bands are left as they are.
        bands: to turn.

    Returns:
        The image with these bands in dB.
    """
    power = image.select(list(bands))
    return ee.Image(image.addBands(power.log10().multiply(10), overwrite=True))


def _observed(image: ee.Image, values: ee.Image, date: ee.Image) -> ee.Image:
    return ee.Image(values.addBands(date).set("system:time_start", image.get("system:time_start")))


def _date(image: ee.Image, band: str, shift_days: int = 0) -> ee.Image:
    """One date for all pixels, valid everywhere.

    It is made of a band's mask because a constant has no grid, and what has no grid cannot be averaged.
    """
    days = ee.Number(image.date().millis()).divide(DAY_MS).add(shift_days)
    nothing = image.select(band).mask().multiply(0)
    return ee.Image(nothing.add(ee.Image.constant(days)).toDouble().rename(DATE))


def _day_seen(image: ee.Image) -> ee.Image:
    """The date of each pixel by its day of the year, masked where that is not one of the composite's days.

    A composite that begins in the last days of December may hold pixels of January, whose days count from 1.
    """
    start = image.date()
    year = start.get("year")
    first = ee.Date.fromYMD(year, 1, 1)
    year_days = ee.Date.fromYMD(ee.Number(year).add(1), 1, 1).difference(first, "day")
    start_of_year = start.difference(first, "day").add(1)
    day = image.select("DayOfYear").toDouble()
    since = day.subtract(ee.Image.constant(start_of_year)).add(ee.Image.constant(year_days))
    since = since.mod(ee.Image.constant(year_days))
    since = since.updateMask(since.lt(REFLECTANCE.span_days))
    days = ee.Number(start.millis()).divide(DAY_MS)
    return ee.Image(since.add(ee.Image.constant(days)).rename(DATE))
