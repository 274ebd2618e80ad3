"""A picture of the local engine's simulated sources over Anhui on one day, fetched by the real client.

It is how a reader judges whether the simulation looks like its sensors: what they show is asked with
``ee.data.computePixels``, like any user's picture, with the scales, fill codes and bins of ``gee``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import ee
import numpy as np
from affine import Affine
from matplotlib.figure import Figure
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import catalog, grids, indices, observations, statics, target
from gee.layers import SCALES, SOIL_MOISTURE, Scale
from pipeline.figures.palettes import colormap
from pipeline.figures.style import save, styled
from pipeline.progress import Report

FILL = -9999.0
MISSING = "#c8d3dc"  # none of the palettes' colours
CRS = "EPSG:32650"
ORIGIN = (279_000, 3_852_000)  # upper left corner of Anhui's 9 km grid in UTM 50N, metres
EXTENT = (495_000, 612_000)  # width and height of that grid, metres


@dataclass(frozen=True)
class Panel:
    """One source of the picture.

    Args:
        title: without the unit, which the scale has.
        image: one band in the scale's unit, from the first moment of the day.
        scale: of the colours.
    """

    title: str
    image: Callable[[ee.Date], ee.Image]
    scale: Scale


def _ndvi(day: ee.Date) -> ee.Image:
    """Of the composite whose eight days hold the day, clouds and all."""
    held = catalog.REFLECTANCE.collection().filterDate(day.advance(-7, "day"), day.advance(1, "day"))
    red, nir = (indices.MODIS_BANDS[role] for role in ("red", "nir"))
    seen = catalog.scaled(ee.Image(held.first()), catalog.REFLECTANCE, [red, nir])
    return indices.ndvi(seen.select([red, nir], ["red", "nir"]))


def _temperature(day: ee.Date) -> ee.Image:
    seen = catalog.scaled(_of_day(catalog.LST, day), catalog.LST, ["LST_Day_1km"])
    return ee.Image(seen.subtract(observations.ZERO_CELSIUS))


def _backscatter(day: ee.Date) -> ee.Image:
    scenes = catalog.SENTINEL1_DB.collection().filterDate(day.advance(-6, "day"), day.advance(6, "day"))
    ascending = ee.Filter.eq("orbitProperties_pass", "ASCENDING")
    return ee.Image(scenes.filter(ascending).select("VV").mosaic())


def _of_day(source: catalog.Source, day: ee.Date) -> ee.Image:
    return ee.Image(source.collection().filterDate(day, day.advance(1, "day")).first())


PANELS = (
    Panel("MOD09A1: NDVI", _ndvi, SCALES["ndvi"]),
    Panel("MOD11A1: day LST under clear sky", _temperature, replace(SCALES["lst"], low=15)),
    Panel("Sentinel-1: VV, ascending, 12 days", _backscatter, SCALES["vv"]),
    Panel("SMAP L4: sm_surface", lambda day: target.smap_image(day, catalog.SMAP), SOIL_MOISTURE),
    Panel("Truth: soil moisture 1 km", lambda day: _of_day(catalog.TRUTH, day), SOIL_MOISTURE),
    Panel("SRTM: elevation", lambda day: statics.elevation(), SCALES["dem"]),
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
def draw(day: datetime.date, out: Path, metres: int, tell: Report) -> dict[str, float]:
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
        scale = panel.scale
        colours = colormap(scale).with_extremes(bad=MISSING)
        unit = f" ({scale.unit})" if scale.unit else ""
        left, top = ORIGIN[0] / 1000, ORIGIN[1] / 1000
        drawn = axes.imshow(
            values, cmap=colours, vmin=scale.low, vmax=scale.high, interpolation="nearest",
            extent=(left, left + EXTENT[0] / 1000, top - EXTENT[1] / 1000, top),
        )  # fmt: skip
        axes.set_title(f"{panel.title}{unit}\n{shares[source]:.0%} of pixels valid")
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
