"""A picture of the local engine's simulated sources over Anhui on one day, fetched by the real client.

It is how a reader judges whether the simulation looks like its sensors: what they show is asked with
``ee.data.computePixels``, like any user's picture. Bands, scales and grids as in ``gee.catalog``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ee
import matplotlib as mpl
import numpy as np
from affine import Affine
from matplotlib.figure import Figure
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import grids
from pipeline.figures.style import save, styled

FILL = -9999.0
CRS = "EPSG:32650"
ORIGIN = (279_000, 3_852_000)  # upper left corner of Anhui's 9 km grid in UTM 50N, metres
EXTENT = (495_000, 612_000)  # width and height of that grid, metres
SMAP_BIN_HOURS = 3


@dataclass(frozen=True)
class Panel:
    """One source of the picture.

    Args:
        title: with the unit.
        image: one band, from the first moment of the day.
        limits: of the colours.
        colours: of matplotlib.
    """

    title: str
    image: Callable[[ee.Date], ee.Image]
    limits: tuple[float, float]
    colours: str


def _first(collection: str, begin: ee.Date, end: ee.Date) -> ee.Image:
    return ee.Image(ee.ImageCollection(collection).filterDate(begin, end).first())


def _ndvi(day: ee.Date) -> ee.Image:
    composites = ee.ImageCollection("MODIS/061/MOD09A1")
    reflectance = composites.filterDate(day.advance(-7, "day"), day.advance(1, "day")).first()
    return ee.Image(reflectance.normalizedDifference(["sur_refl_b02", "sur_refl_b01"]))


def _temperature(day: ee.Date) -> ee.Image:
    image = _first("MODIS/061/MOD11A1", day, day.advance(1, "day"))
    return ee.Image(image.select("LST_Day_1km").multiply(0.02).subtract(273.15))


def _backscatter(day: ee.Date) -> ee.Image:
    scenes = ee.ImageCollection("COPERNICUS/S1_GRD").filterDate(day.advance(-6, "day"), day.advance(6, "day"))
    ascending = ee.Filter.eq("orbitProperties_pass", "ASCENDING")
    return ee.Image(scenes.filter(ascending).select("VV").mosaic())


def _coarse_moisture(day: ee.Date) -> ee.Image:
    bin_end = day.advance(SMAP_BIN_HOURS, "hour")
    return ee.Image(_first("NASA/SMAP/SPL4SMGP/008", day, bin_end).select("sm_surface"))


def _truth(day: ee.Date) -> ee.Image:
    return ee.Image(_first("simulated/truth/soil_moisture_1km", day, day.advance(1, "day")).select("sm"))


def _elevation(day: ee.Date) -> ee.Image:
    return ee.Image("CGIAR/SRTM90_V4")


PANELS = (
    Panel("MOD09A1: NDVI", _ndvi, (0, 0.9), "YlGn"),
    Panel("MOD11A1: day LST under clear sky (°C)", _temperature, (15, 45), "inferno"),
    Panel("Sentinel-1: VV, ascending, 12 days (dB)", _backscatter, (-20, -2), "gray"),
    Panel("SMAP L4: sm_surface (m³/m³)", _coarse_moisture, (0.05, 0.5), "YlGnBu"),
    Panel("Truth: soil moisture 1 km (m³/m³)", _truth, (0.05, 0.5), "YlGnBu"),
    Panel("SRTM: elevation (m)", _elevation, (0, 1500), "YlOrBr"),
)


def pixels(image: ee.Image, metres: int) -> NDArray[np.float32]:
    """One band over Anhui and around it, masked pixels NaN, of shape (height, width)."""
    width, height = (side // metres for side in EXTENT)
    grid = GeoBox((height, width), Affine(metres, 0, ORIGIN[0], 0, -metres, ORIGIN[1]), CRS)
    request = {
        "expression": image.toFloat().rename("value").unmask(FILL, False),
        "fileFormat": "NUMPY_NDARRAY",
        "grid": grids.pixel_grid(grid),
    }
    values = ee.data.computePixels(request)["value"]
    return np.where(values == FILL, np.nan, values).astype(np.float32)


@styled
def draw(day: datetime.date, out: Path, metres: int, tell: Callable[[str, float], None]) -> dict[str, float]:
    """Write the picture of a day.

    Args:
        day: to show.
        out: PNG file.
        metres: size of a pixel; a divisor of 9,000.
        tell: told what is fetched and the share of the whole that is done.

    Returns:
        Share of valid pixels by source.
    """
    figure = Figure(figsize=(13.5, 10.2), layout="constrained")
    shares: dict[str, float] = {}
    moment = ee.Date(day.isoformat())
    for place, panel in enumerate(PANELS):
        source = panel.title.partition(":")[0]
        tell(f"{source}", place / len(PANELS))
        values = pixels(panel.image(moment), metres)
        shares[source] = float(np.isfinite(values).mean())
        axes = figure.add_subplot(2, 3, place + 1)
        colours = mpl.colormaps[panel.colours].with_extremes(bad="#c8d3dc")
        left, top = ORIGIN[0] / 1000, ORIGIN[1] / 1000
        drawn = axes.imshow(
            values, cmap=colours, vmin=panel.limits[0], vmax=panel.limits[1], interpolation="nearest",
            extent=(left, left + EXTENT[0] / 1000, top - EXTENT[1] / 1000, top),
        )  # fmt: skip
        axes.set_title(f"{panel.title}\n{shares[source]:.0%} of pixels valid")
        axes.set_xlabel("UTM 50N east (km)")
        axes.set_ylabel("north (km)")
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    figure.suptitle(
        f"Simulated sources of the local engine over Anhui, {day.isoformat()}, {metres / 1000:g} km pixels; "
        "masked pixels grey. Simulated, not observed."
    )
    save(figure, out)
    tell("done", 1.0)
    return shares
