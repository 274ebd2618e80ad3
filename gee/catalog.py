"""The sources as data: which dataset, which bands in which units, on which grid, over which days.

A wrong factor, a fill code read as a value or a season before a sensor's launch spoil a study silently, so
each dataset stands here once as a row. The figures are those of the datasets' pages in the Earth Engine data
catalogue and of the products' own user guides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import ee

Kind = Literal["collection", "image", "table"]
Transform = tuple[float, float, float, float, float, float]

SINUSOIDAL = "SR-ORG:6974"  # MODIS, on a sphere of 6,371,007.181 m
WGS84 = "EPSG:4326"
MODIS_500M: Transform = (463.312716527917, 0, -20015109.354, 0, -463.312716527917, 10007554.677)
MODIS_1KM: Transform = (926.625433055833, 0, -20015109.354, 0, -926.625433055833, 10007554.677)
SRTM_3_ARC_SECONDS: Transform = (1 / 1200, 0, -180, 0, -1 / 1200, 60)

# Verify live: nobody documents these, `gee-smap doctor` prints what the service answers.
# SMAP L4 was warped from EASE-Grid 2.0; this is the grid that GDAL suggests for it, to the last digit.
SMAP_WARPED: Transform = (0.09516256938937351, 0, -180, 0, -0.09516149300147864, 85.04450187981062)
CHIRPS_20TH_DEGREE: Transform = (0.05, 0, -180, 0, -0.05, 50)
# MERIT's pixels are centred on whole multiples of 3 arc seconds, half a pixel off those of SRTM.
MERIT_3_ARC_SECONDS: Transform = (1 / 1200, 0, -180 - 1 / 2400, 0, -1 / 1200, 85 + 1 / 2400)
LAND_COVER_LAST_YEAR = 2023  # newest image of MCD12Q1 that was seen in the catalogue

UNBOUNDED = 1e30  # beyond any raw value; JSON has no infinity


@dataclass(frozen=True)
class Band:
    """One band of a source as it is stored.

    Attributes:
        name: of the asset's band.
        factor: physical value = raw value x factor + offset.
        offset: in the physical unit.
        low: smallest raw value that means something; None where any does.
        high: largest, itself included; what lies outside is a fill code or physically impossible.
        unit: of the physical value.
    """

    name: str
    factor: float = 1
    offset: float = 0
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Source:
    """One dataset of the Earth Engine catalogue.

    Attributes:
        name: what the project calls it.
        id: asset id.
        title: for people.
        bands: those that the project reads.
        crs: of the native grid; None where each scene has its own, or for vectors.
        transform: of the native grid in Earth Engine's order (xScale, xShear, xTranslate, yShear, yScale,
            yTranslate); None where there is no global one, or where the asset itself is asked.
        metres: size of a native pixel at the equator.
        cadence_days: from one image to the next; 0 for what does not change.
        span_days: how many days from ``system:time_start`` on one image may have looked at the ground.
        start: first day with data; of static ones, any.
        end: last day with data; None while images keep coming.
        latitudes: degrees from south to north within which it has pixels.
        kind: what the asset is.
        note: what to know before using it.
    """

    name: str
    id: str
    title: str
    bands: tuple[Band, ...]
    crs: str | None
    transform: Transform | None
    metres: float
    cadence_days: int = 0
    span_days: int = 0
    start: dt.date = dt.date.min
    end: dt.date | None = None
    latitudes: tuple[float, float] = (-90, 90)
    kind: Kind = "collection"
    note: str = ""

    def band(self, name: str) -> Band:
        """The row of a band.

        Raises:
            KeyError: the source has no such band, or the project does not read it.
        """
        for band in self.bands:
            if band.name == name:
                return band
        raise KeyError(f"{self.id} has no band {name} here, only {', '.join(b.name for b in self.bands)}")

    def collection(self) -> ee.ImageCollection:
        """All images; a collection of one where the asset is a single image."""
        if self.kind == "image":
            return ee.ImageCollection([self.image()])
        return ee.ImageCollection(self.id)

    def image(self) -> ee.Image:
        """The asset that is a single image."""
        return ee.Image(self.id)

    def table(self) -> ee.FeatureCollection:
        """The asset that is a table."""
        return ee.FeatureCollection(self.id)

    @property
    def native(self) -> tuple[str, Transform]:
        """The grid of its pixels: CRS and transform.

        Raises:
            ValueError: there is no one grid.
        """
        if self.crs is None or self.transform is None:
            raise ValueError(f"{self.id} has no grid that all its images share")
        return self.crs, self.transform

    @property
    def span(self) -> str:
        """First and last day in words: ``2015-03-31 to 2025-06-27``, ``2015-03-31 on``, ``static``."""
        if not self.cadence_days:
            return "static"
        return f"{self.start} to {self.end}" if self.end else f"{self.start} on"

    @property
    def dated(self) -> bool:
        """Whether a study's period must lie within the span: static and yearly maps serve any period."""
        return 0 < self.cadence_days < 365

    def covers(self, start: dt.date, end: dt.date) -> bool:
        """Whether there are images from one day to another, both included."""
        return self.start <= start and (self.end is None or end <= self.end)


def _reflectance(name: str) -> Band:
    """Land reflects more than nothing and less than everything.

    NASA allows -100 to 16000; what lies beyond 0 and 1 is cloud, shadow or over-corrected haze, and makes
    vegetation indices explode.
    """
    return Band(name, factor=1e-4, low=1, high=10_000)


def _albedo(name: str) -> Band:
    """Stored up to 32766, but more than 1 is no albedo."""
    return Band(name, factor=1e-3, low=0, high=1_000)


REFLECTANCE = Source(
    name="reflectance",
    id="MODIS/061/MOD09A1",
    title="MODIS Terra surface reflectance, best of 8 days, 500 m",
    bands=(
        *(_reflectance(f"sur_refl_b0{number}") for number in range(1, 8)),
        Band("QA"),
        Band("StateQA"),
        Band("DayOfYear", low=1, high=366, unit="day of the year"),
    ),
    crs=SINUSOIDAL,
    transform=MODIS_500M,
    metres=463.312716527917,
    cadence_days=8,
    span_days=8,
    start=dt.date(2000, 2, 18),
    note="bands 1-4 are red, nir, blue, green, bands 6 and 7 swir; DayOfYear is when a pixel was seen",
)
LST = Source(
    name="lst",
    id="MODIS/061/MOD11A1",
    title="MODIS Terra land surface temperature, daily, 1 km",
    bands=(
        Band("LST_Day_1km", factor=0.02, low=7_500, high=65_535, unit="K"),
        Band("QC_Day"),
    ),
    crs=SINUSOIDAL,
    transform=MODIS_1KM,
    metres=926.625433055833,
    cadence_days=1,
    span_days=1,
    start=dt.date(2000, 2, 24),
    note="clear sky only",
)
LST_RANGE = Source(
    name="lst_range",
    id=LST.id,
    title="MODIS Terra land surface temperature by day and by night, daily, 1 km",
    bands=(
        *LST.bands,
        Band("LST_Night_1km", factor=0.02, low=7_500, high=65_535, unit="K"),
        Band("QC_Night"),
    ),
    crs=LST.crs,
    transform=LST.transform,
    metres=LST.metres,
    cadence_days=LST.cadence_days,
    span_days=LST.span_days,
    start=LST.start,
    # An image gathers the passes of one day, taken as one of UTC: over Asia its night follows its day, over
    # America it comes before.
    note="the difference needs a clear sky twice, half a day apart",
)
LAI = Source(
    name="lai",
    id="MODIS/061/MOD15A2H",
    title="MODIS Terra leaf area index, best of 8 days, 500 m",
    bands=(
        Band("Lai_500m", factor=0.1, low=0, high=100, unit="m²/m²"),
        Band("FparLai_QC"),
        Band("FparExtra_QC"),
    ),
    crs=SINUSOIDAL,
    transform=MODIS_500M,
    metres=463.312716527917,
    cadence_days=8,
    span_days=8,
    start=dt.date(2000, 2, 18),
    note="249-255 are codes: 250 urban, 251 wetland, 252 snow, 253 barren, 254 water; so no LAI over towns",
)
ALBEDO = Source(
    name="albedo",
    id="MODIS/061/MCD43A3",
    title="MODIS albedo, daily from 16 days, 500 m",
    bands=(
        _albedo("Albedo_BSA_shortwave"),
        _albedo("Albedo_WSA_shortwave"),
        Band("BRDF_Albedo_Band_Mandatory_Quality_shortwave"),
    ),
    crs=SINUSOIDAL,
    transform=MODIS_500M,
    metres=463.312716527917,
    cadence_days=1,
    span_days=1,
    start=dt.date(2000, 2, 24),
    note="each day's value is fitted to the 16 days around it",
)
LAND_COVER = Source(
    name="land_cover",
    id="MODIS/061/MCD12Q1",
    title="MODIS land cover, yearly, 500 m",
    bands=(Band("LC_Type5", low=0, high=11, unit="plant functional type"),),
    crs=SINUSOIDAL,
    transform=MODIS_500M,
    metres=463.312716527917,
    cadence_days=365,
    span_days=365,
    start=dt.date(2001, 1, 1),
    end=dt.date(LAND_COVER_LAST_YEAR, 12, 31),
    note="a year without a map is served by the nearest that has one",
)
SENTINEL1 = Source(
    name="sentinel1",
    id="COPERNICUS/S1_GRD_FLOAT",
    title="Sentinel-1 backscatter, linear power, 10 m",
    bands=(Band("VV", unit="1"), Band("VH", unit="1")),
    crs=None,
    transform=None,
    metres=10,
    cadence_days=1,
    span_days=1,
    start=dt.date(2014, 10, 3),
    note="each scene in its own UTM zone; a track returns every 12 days, with two satellites every 6 "
    "(2016-09 to 2021-12 and from 2025)",
)
SENTINEL1_DB = Source(
    name="sentinel1_db",
    id="COPERNICUS/S1_GRD",
    title="Sentinel-1 backscatter, dB, 10 m",
    bands=(Band("VV", unit="dB"), Band("VH", unit="dB")),
    crs=None,
    transform=None,
    metres=10,
    cadence_days=1,
    span_days=1,
    start=dt.date(2014, 10, 3),
    note="the mean of dB is not the dB of the mean: lower by half to two dB over varied land",
)
_SMAP_BANDS = (Band("sm_surface", low=0, high=0.9, unit="m³/m³"),)
_SMAP_NOTE = "pure model while the instrument was off: 2019-06-19 to 07-23 and 2022-08-06 to 09-20"
SMAP = Source(
    name="smap",
    id="NASA/SMAP/SPL4SMGP/008",
    title="SMAP L4 soil moisture, 3-hourly, version 8",
    bands=_SMAP_BANDS,
    crs=WGS84,
    transform=SMAP_WARPED,
    metres=10_593,
    cadence_days=1,
    span_days=1,
    start=dt.date(2015, 3, 31),
    note=_SMAP_NOTE,
)
SMAP_007 = Source(
    name="smap_007",
    id="NASA/SMAP/SPL4SMGP/007",
    title="SMAP L4 soil moisture, 3-hourly, version 7 (superseded)",
    bands=_SMAP_BANDS,
    crs=WGS84,
    transform=SMAP_WARPED,
    metres=10_593,
    cadence_days=1,
    span_days=1,
    start=dt.date(2015, 3, 31),
    end=dt.date(2025, 6, 27),
    note=_SMAP_NOTE,
)
RAIN = Source(
    name="rain",
    id="UCSB-CHG/CHIRPS/DAILY",
    title="CHIRPS 2.0 precipitation, daily, 0.05°",
    bands=(Band("precipitation", low=0, unit="mm/day"),),
    crs=WGS84,
    transform=CHIRPS_20TH_DEGREE,
    metres=5_566,
    cadence_days=1,
    span_days=1,
    start=dt.date(1981, 1, 1),
    latitudes=(-50, 50),
    note="50° S to 50° N; a day is one of UTC, so a sample of day D follows the rain of days up to D - 1",
)
SRTM = Source(
    name="srtm",
    id="CGIAR/SRTM90_V4",
    title="SRTM elevation, voids filled, 90 m",
    bands=(Band("elevation", low=-444, high=8_806, unit="m"),),
    crs=WGS84,
    transform=SRTM_3_ARC_SECONDS,
    metres=92.77,
    latitudes=(-60, 60),
    kind="image",
    note="60° S to 60° N; no commercial redistribution",
)
GLO30 = Source(
    name="glo30",
    id="COPERNICUS/DEM/GLO30_2024_1",
    title="Copernicus GLO-30 surface model, 30 m",
    bands=(Band("DEM", unit="m"),),
    crs=WGS84,
    transform=None,
    metres=30.92,
    note="one image a tile, wider pixels towards the poles; tops of trees and roofs, not the ground",
)
DRAINAGE = Source(
    name="drainage",
    id="MERIT/Hydro/v1_0_1",
    title="MERIT Hydro upstream area, 90 m",
    bands=(Band("upa", low=1e-6, unit="km²"),),
    crs=WGS84,
    transform=MERIT_3_ARC_SECONDS,
    metres=92.77,
    latitudes=(-60, 85),
    kind="image",
    note="the land that drains through a pixel, itself included; masked over the sea",
)


def _soilgrids(part: str) -> Source:
    layers = ("0-5cm", "5-15cm", "15-30cm", "30-60cm", "60-100cm", "100-200cm")
    return Source(
        name=f"soilgrids_{part}",
        id=f"projects/soilgrids-isric/{part}_mean",
        title=f"SoilGrids 2.0 {part}, 250 m",
        bands=tuple(
            Band(f"{part}_{layer}_mean", factor=0.1, low=0, high=1_000, unit="%") for layer in layers
        ),
        crs=WGS84,
        transform=None,
        metres=250,
        kind="image",
        note="ISRIC's own assets, stored in g/kg",
    )


def _openlandmap(part: str) -> Source:
    return Source(
        name=f"openlandmap_{part}",
        id=f"OpenLandMap/SOL/SOL_{part.upper()}-WFRACTION_USDA-3A1A1A_M/v02",
        title=f"OpenLandMap {part}, 250 m",
        bands=tuple(Band(f"b{depth}", low=0, high=100, unit="%") for depth in (0, 10, 30, 60, 100, 200)),
        crs=WGS84,
        transform=None,
        metres=250,
        kind="image",
        note="at depths of 0 to 200 cm; silt is what sand and clay leave of 100",
    )


SOILGRIDS: Mapping[str, Source] = MappingProxyType(
    {part: _soilgrids(part) for part in ("sand", "silt", "clay")}
)
OPENLANDMAP: Mapping[str, Source] = MappingProxyType({part: _openlandmap(part) for part in ("sand", "clay")})
BOUNDARIES = Source(
    name="boundaries",
    id="WM/geoLab/geoBoundaries/600/ADM1",
    title="geoBoundaries 6.0.0, first level",
    bands=(),
    crs=None,
    transform=None,
    metres=0,
    kind="table",
    note="names are spelled in each country's way (Anhui Sheng): better chosen by a point",
)

TRUTH = Source(
    name="truth",
    id="simulated/truth/soil_moisture_1km",
    title="the soil moisture behind all simulated sources, 1 km",
    bands=(Band("sm", unit="m³/m³"),),
    crs="EPSG:6933",
    transform=None,
    metres=1000.9,
    cadence_days=1,
    span_days=1,
    start=dt.date(2015, 1, 1),
    end=dt.date(2025, 12, 31),
    note="of the local engine alone: nobody knows it of the Earth",
)

# LST_RANGE is another look at LST's asset, and no dataset of its own.
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        source.name: source
        for source in (
            REFLECTANCE, LST, LAI, ALBEDO, LAND_COVER, SENTINEL1, SENTINEL1_DB, SMAP, SMAP_007, RAIN,
            SRTM, GLO30, DRAINAGE, *SOILGRIDS.values(), *OPENLANDMAP.values(), BOUNDARIES,
        )
    }
)  # fmt: skip


def scaled(image: ee.Image, source: Source, names: Sequence[str]) -> ee.Image:
    """Turn raw values into physical ones.

    Args:
        image: one image of the source.
        source: of it.
        names: bands wanted.

    Returns:
        These bands under their names in the units of the rows, double where a row has a factor; masked where
        the image is or where the raw value lies outside the row's range. Properties are the image's.

    Raises:
        KeyError: a band that the source does not have.
    """
    rows = [source.band(name) for name in names]
    raw = image.select(list(names))
    physical = raw
    if any(row.factor != 1 or row.offset != 0 for row in rows):
        factors = ee.Image.constant([row.factor for row in rows])
        physical = physical.multiply(factors).add(ee.Image.constant([row.offset for row in rows]))
    if any(row.low is not None for row in rows):
        lows = [-UNBOUNDED if row.low is None else row.low for row in rows]
        physical = physical.updateMask(raw.gte(ee.Image.constant(lows)))
    if any(row.high is not None for row in rows):
        highs = [UNBOUNDED if row.high is None else row.high for row in rows]
        physical = physical.updateMask(raw.lte(ee.Image.constant(highs)))
    # Arithmetic forgets properties and time; bands that replace the image's own do not.
    return ee.Image(raw.addBands(physical, overwrite=True))
