"""Map layers: what is drawn of a study, in which colours, and what a legend has to say about them.

SMAP and its downscaled map are only comparable in one colour scale with one pair of limits, and a scale that
a colour-blind reader cannot follow hides the very gradients the maps are made for; so palettes are data here,
drawn from by every picture of the project. Soil moisture is viridis from wet to dry (Smith and van der Walt
2015: uniform in CAM02-UCS, with and without deuteranomaly); sequential palettes of vegetation and soil are
ColorBrewer's, single names are told apart by the colours of Okabe and Ito 2008.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from gee import landcover, observations, predictors, target
from gee.catalog import SMAP, Source
from gee.partitions import BAND as PARTITION
from gee.partitions import Partitions
from gee.predictors import PAPER, RAIN_DAYS, Bands
from gee.recipe import Recipe
from gee.target import MOISTURE, MORNING, SmapBin
from gee.timeseries import Calendar

# Stops lie at equal distances; between them both Earth Engine and the map page interpolate linearly in RGB.
VIRIDIS = (
    "440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e", "21918c",
    "1fa088", "28ae80", "3fbc73", "5ec962", "84d44b", "addc30", "d8e219", "fde725",
)  # fmt: skip
INFERNO = (
    "000004", "0b0724", "210c4a", "3d0965", "57106e", "71196e", "8a226a", "a32c61", "bc3754",
    "d24644", "e45a31", "f1731d", "f98e09", "fcac11", "f9cb35", "f2ea69", "fcffa4",
)  # fmt: skip
MAGMA = (
    "000004", "0a0822", "1d1147", "36106b", "51127c", "6a1c81", "832681", "9c2e7f", "b73779",
    "d0416f", "e75263", "f56b5c", "fc8961", "fea772", "fec488", "fde2a3", "fcfdbf",
)  # fmt: skip
GREENS = ("ffffe5", "f7fcb9", "d9f0a3", "addd8e", "78c679", "41ab5d", "238443", "006837", "004529")
BLUES = ("ffffd9", "edf8b1", "c7e9b4", "7fcdbb", "41b6c4", "1d91c0", "225ea8", "253494", "081d58")
BROWNS = ("ffffe5", "fff7bc", "fee391", "fec44f", "fe9929", "ec7014", "cc4c02", "993404", "662506")
QUALITATIVE = ("f0e442", "e69f00", "009e73", "56b4e9", "cc79a7", "d55e00")
BLACK, WHITE = "000000", "ffffff"
CLEAR = "00000000"  # RRGGBBAA, as Collection.style takes it
AREA_OPACITY = 0.45  # of partitions over a map


@dataclass(frozen=True)
class Scale:
    """How numbers become colours.

    Attributes:
        title: of the legend.
        unit: empty for a number without one.
        low: what has the first colour, and all below.
        high: what has the last colour, and all above.
        stops: colours RRGGBB at equal distances from ``low`` to ``high``.
    """

    title: str
    unit: str
    low: float
    high: float
    stops: tuple[str, ...]

    def parameters(self) -> dict[str, Any]:
        """As ``Image.visualize`` and ``Map.addLayer`` take it."""
        return {"min": self.low, "max": self.high, "palette": list(self.stops)}


@dataclass(frozen=True)
class Key:
    """How codes become colours.

    Attributes:
        title: of the legend.
        names: of the codes, which follow each other.
        first: the lowest code.
        colours: RRGGBB; begins anew where there are more names.
    """

    title: str
    names: tuple[str, ...]
    first: int
    colours: tuple[str, ...]

    def colour(self, number: int) -> str:
        """Of the name in that place."""
        return self.colours[number % len(self.colours)]

    def parameters(self) -> dict[str, Any]:
        """As ``Image.visualize`` and ``Map.addLayer`` take it."""
        shown = max(2, len(self.names))  # a range needs two ends
        palette = [self.colour(number) for number in range(shown)]
        return {"min": self.first, "max": self.first + shown - 1, "palette": palette}


SOIL_MOISTURE = Scale("Soil moisture", "m³/m³", 0.05, 0.45, VIRIDIS[::-1])
"""Of SMAP and of every downscaled map: dry is yellow, wet is violet."""

SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "ndvi": Scale("NDVI", "", 0, 0.9, GREENS),
        "ndwi": Scale("NDWI", "", -0.3, 0.6, BLUES),
        "nsdsi": Scale("NSDSI", "", 0, 0.7, BLUES),
        "evi": Scale("EVI", "", 0, 0.7, GREENS),
        "vv": Scale("VV", "dB", -18, -4, VIRIDIS),
        "vh": Scale("VH", "dB", -25, -10, VIRIDIS),
        "lai": Scale("LAI", "m²/m²", 0, 6, GREENS),
        "lst": Scale("Land surface temperature by day", "°C", 0, 45, INFERNO),
        "albedo": Scale("Albedo", "", 0.05, 0.25, MAGMA),
        "sand": Scale("Sand", "%", 0, 80, BROWNS),
        "silt": Scale("Silt", "%", 0, 80, BROWNS),
        "clay": Scale("Clay", "%", 0, 60, BROWNS),
        "dem": Scale("Elevation", "m", 0, 1500, BROWNS),
        "dlst": Scale("Land surface temperature, day less night", "K", 0, 25, INFERNO),
        **{
            f"rain_{days}": Scale(f"Rain of the {days} days before", "mm", 0, 10 * days, BLUES)
            for days in RAIN_DAYS
        },
        "slope": Scale("Slope", "°", 0, 25, BROWNS),
        "twi": Scale("Topographic wetness", "", 6, 14, BLUES),
    }
)
"""Of the predictors that are numbers; the day of year is the same everywhere and has no map. Limits suit
lowlands and hills of the temperate and subtropical zones."""

LAND_COVER = Key(
    "Land cover",
    tuple(landcover.CLASSES.values()),
    0,
    ("0072b2", "00664b", "cc79a7", "f0e442", "b03a00"),
)

PREDICTORS: Mapping[str, Scale | Key] = MappingProxyType({**SCALES, "lc": LAND_COVER})
"""All that have a map."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a map.

    Attributes:
        name: in the map's list of layers.
        image: what is drawn.
        legend: of its colours; None for an image that has its own.
        shown: whether it is seen at first.
        opacity: 0..1.
    """

    name: str
    image: ee.Image
    legend: Scale | Key | None = None
    shown: bool = True
    opacity: float = 1.0

    def parameters(self) -> dict[str, Any]:
        """As ``Image.visualize`` and ``Map.addLayer`` take it."""
        return {} if self.legend is None else self.legend.parameters()


@dataclass(frozen=True)
class Place:
    """A station; degrees."""

    name: str
    lon: float
    lat: float


def smap(
    day: dt.date, region: ee.Geometry | None = None, source: Source = SMAP, window: SmapBin = MORNING
) -> Layer:
    """SMAP L4's surface soil moisture of a day, on the asset's own 9 km grid.

    Args:
        day: wanted.
        region: what is outside is masked; None draws the globe.
        source: version of SMAP L4.
        window: the bin that stands for the day.

    Returns:
        m³/m³; masked everywhere where the archive has no image of the bin.
    """
    image = target.smap_image(ee.Date(day.isoformat()), source, window)
    return Layer(f"SMAP 9 km, {day}", _clipped(image, region), SOIL_MOISTURE)


def soil_moisture(collection: str, day: dt.date, region: ee.Geometry | None = None) -> Layer:
    """The 1 km soil moisture of a day out of a published collection.

    Args:
        collection: id of the asset; its images are called YYYYMMDD, with band ``sm`` in m³/m³.
        day: wanted.
        region: what is outside is masked; None draws all there is.

    Returns:
        m³/m³; masked everywhere where the collection has no image of the day.
    """
    nothing = ee.Image.constant(0).toFloat().rename(MOISTURE).updateMask(0)
    found = ee.ImageCollection(collection).filter(ee.Filter.eq("system:index", f"{day:%Y%m%d}"))
    image = ee.Image(found.select([MOISTURE]).merge(ee.ImageCollection([nothing])).first())
    return Layer(f"Soil moisture 1 km, {day}", _clipped(image, region), SOIL_MOISTURE)


def predictor_image(
    day: dt.date, recipe: Recipe, grid: GeoBox, bands: Bands = PAPER, year: int | None = None
) -> ee.Image:
    """The predictors of a day, computed from the sources when the map asks for them.

    Args:
        day: wanted.
        recipe: the choices.
        grid: fine grid.
        bands: the predictors wanted.
        year: of the land cover, in a study the year of its first day; None is that of the day.

    Returns:
        ``bands.dynamic`` of the day, radar in dB, and ``bands.static``, on the fine grid.

    Raises:
        SettingError: the recipe names a soil that cannot be had.
    """
    only, year = Calendar(day, day), day.year if year is None else year
    seen = {
        name: predictors.observed(
            stream, only.padded(*predictors.margins(stream, recipe)), recipe, grid, year
        )
        for name, stream in bands.streams.items()
    }
    moving = ee.Image(predictors.daily(seen, only, recipe, bands).first()).select(list(bands.dynamic))
    if recipe.radar_mean == "power":
        moving = observations.decibels(moving)
    return ee.Image(moving.addBands(predictors.static(recipe, year, grid, bands)))


def predictor_layers(
    image: ee.Image, names: Iterable[str], region: ee.Geometry | None = None
) -> tuple[Layer, ...]:
    """A layer for each predictor of an image, hidden until the reader chooses one.

    Args:
        image: with the predictors as bands, radar in dB.
        names: of ``PREDICTORS``; the image must have them.
        region: what is outside is masked.

    Raises:
        KeyError: a name is none of ``PREDICTORS``.
    """
    looks = {name: PREDICTORS[name] for name in names}
    return tuple(
        Layer(_told(look), _clipped(image.select([name]), region), look, shown=False)
        for name, look in looks.items()
    )


def partition_layers(parts: Partitions, region: ee.Geometry | None = None) -> tuple[Layer, ...]:
    """The partitions: their areas, hidden at first, and their outlines.

    Args:
        parts: to draw.
        region: what is outside is masked.

    Returns:
        Nothing where the land is not parted. Outlines of polygons are black lines of even width, those of
        clusters the pixels along their edges.
    """
    if not parts.names:
        return ()
    key = Key("Partitions", parts.names, 1, QUALITATIVE)
    areas = Layer("Partitions", _clipped(parts.image, region), key, shown=False, opacity=AREA_OPACITY)
    if parts.features is not None:
        lines = parts.features.style(color=BLACK, fillColor=CLEAR, width=1.5)
    else:
        codes = parts.image.unmask(0, False)
        around = codes.reduceNeighborhood(ee.Reducer.minMax(), ee.Kernel.plus(1))
        edges = around.select(f"{PARTITION}_max").neq(around.select(f"{PARTITION}_min"))
        lines = edges.selfMask().visualize(palette=[BLACK])
    return areas, Layer("Outlines of the partitions", _clipped(lines, region))


def stations(places: Sequence[Place], name: str = "Stations") -> Layer:
    """Stations as points.

    Args:
        places: at least one.
        name: of the layer.
    """
    points = ee.FeatureCollection(
        [ee.Feature(ee.Geometry.Point([place.lon, place.lat]), {"name": place.name}) for place in places]
    )
    return Layer(name, points.style(color=BLACK, fillColor=WHITE, pointSize=6, width=2))


def _told(look: Scale | Key) -> str:
    """A name that says what the colours span, for maps that show no legend of a hidden layer."""
    if isinstance(look, Key):
        return look.title
    return f"{look.title}, {look.low:g} to {look.high:g} {look.unit}".rstrip()


def _clipped(image: ee.Image, region: ee.Geometry | None) -> ee.Image:
    return image if region is None else ee.Image(image.clip(region))
