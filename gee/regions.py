"""The land of a study: a place in geoBoundaries, a box, polygons of the user's or a table on Earth Engine.

A region in the wrong coordinate system, on the sea or of the wrong one of two places of a name costs hours
of exports before it is noticed; so what a file can tell is checked at once, and the rest by one small
request, `summary`. GeoJSON is read as RFC 7946 says: degrees on WGS84, straight edges in longitude and
latitude. Names of first-level units are geoBoundaries' own (Runfola et al. 2020), which differ by country.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ee
import shapely
from shapely.geometry import MultiPolygon, Polygon, mapping, shape
from shapely.validation import explain_validity

from gee.catalog import BOUNDARIES
from gee.errors import SettingError
from gee.landcover import classes

Kind = Literal["place", "point", "box", "polygon", "asset"]
Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

NAME, COUNTRY = "shapeName", "shapeGroup"  # of geoBoundaries; the country by its ISO 3166 alpha-3 code
DEGREES_CRS = re.compile(r"(CRS:?84|(EPSG|epsg)[:/0-9.]*[:/](4326|4490))$")
"""Systems of an old GeoJSON's ``crs`` that are WGS84 degrees; CGCS2000 (4490) lies within a decimetre."""
DIGITS = 6  # decimals kept of a degree: 0.1 m
POLYGON_BYTES = 500_000  # of GeoJSON text; half of the 1 MB that a request should stay below
MOST_FEATURES = 1_000  # of a region; more is a table to dissolve first
LAND_YEAR = 2019  # of the land cover map that tells land from sea
LAND_METRES = 1_000
EQUAL_AREA = "EPSG:6933"  # so that pixels are 1 km² at any latitude
LEAST_LAND = 0.01  # share of a region
LEAST_KM2 = 1.0  # one fine pixel


@dataclass(frozen=True)
class Region:
    """Where a study is.

    Attributes:
        kind: how the region is told.
        value: a place's name, an asset id, the GeoJSON text of a multipolygon, or numbers in degrees:
            longitude and latitude of a point, west, south, east and north of a box.
    """

    kind: Kind
    value: str | tuple[float, ...]

    @property
    def bounds(self) -> Bounds | None:
        """What the region's own numbers say; None where only Earth Engine knows."""
        if self.kind == "box" and not isinstance(self.value, str):
            west, south, east, north = self.value
            return west, south, east, north
        if self.kind == "polygon":
            west, south, east, north = shape(json.loads(str(self.value))).bounds
            return west, south, east, north
        return None

    def features(self) -> ee.FeatureCollection:
        """The region as features with a property ``region``, its name; empty where nothing matches."""
        units = BOUNDARIES.table()
        match self.kind:
            case "place":
                return _named(_matching(units, str(self.value)), NAME)
            case "point":
                return _named(units.filterBounds(ee.Geometry.Point(list(self.value))), NAME)
            case "asset":
                return _named(ee.FeatureCollection(self.value), "system:index")
            case _:
                return ee.FeatureCollection([ee.Feature(self.geometry(), {"region": self.kind})])

    def geometry(self) -> ee.Geometry:
        """The region as one geometry; edges of boxes and GeoJSON are straight in longitude and latitude."""
        if self.kind == "box":
            return ee.Geometry.Rectangle(list(self.value), "EPSG:4326", False)
        if self.kind == "polygon":
            return planar(json.loads(str(self.value)))
        return self.features().geometry()


@dataclass(frozen=True)
class Drawn:
    """One feature of a GeoJSON: its polygons and its properties."""

    geometry: MultiPolygon
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Extent:
    """What Earth Engine knows of a region.

    Attributes:
        names: of the features it is made of.
        bounds: of them all.
        area_km2: of their sum.
        land_share: of that area, by the land cover map.
    """

    names: tuple[str, ...]
    bounds: Bounds
    area_km2: float
    land_share: float


def place(name: str) -> Region:
    """A first-level unit of geoBoundaries by name, such as a province.

    Args:
        name: as geoBoundaries has it, or how one of its words begins, in any case: "Anhui" finds "Anhui
            Sheng". A country may follow by its three-letter code, "Punjab, PAK".

    Raises:
        SettingError: the name is empty.
    """
    if not re.search(r"\w", name):
        raise SettingError('The region\'s place is empty: give a name such as "Anhui", or a box.')
    return Region("place", name.strip())


def point(lon: float, lat: float) -> Region:
    """The first-level unit of geoBoundaries around a place, whatever it is called.

    Raises:
        SettingError: the numbers are no longitude and latitude.
    """
    if wrong := _off_the_globe([(lon, lat)]):
        raise SettingError(f"The region's point ({lon:g}, {lat:g}) {wrong}")
    return Region("point", (lon, lat))


def box(west: float, south: float, east: float, north: float) -> Region:
    """Everything between two meridians and two parallels.

    Raises:
        SettingError: the numbers are no such box, or it crosses the 180th meridian.
    """
    words = f"The region's box ({west:g}, {south:g}, {east:g}, {north:g})"
    if wrong := _off_the_globe([(west, south), (east, north)]):
        raise SettingError(f"{words} {wrong}")
    if west > east:
        raise SettingError(
            f"{words} runs from {west:g} E to {east:g} E: give west, south, east, north in this order, and a "
            "region across the 180th meridian as two studies, one on each side."
        )
    if west == east or south >= north:
        raise SettingError(f"{words} holds no land: give west, south, east, north in this order.")
    return Region("box", (west, south, east, north))


def polygon(geojson: Mapping[str, Any]) -> Region:
    """The union of the polygons of a GeoJSON object.

    Raises:
        SettingError: it has no usable polygons (see `drawn`) or too many corners for a request.
    """
    union = shapely.union_all([feature.geometry for feature in drawn(geojson, "region")])
    text = json.dumps(geojson_of(union), separators=(",", ":"))
    if len(text) > POLYGON_BYTES:
        raise SettingError(
            f"The region's GeoJSON has {shapely.get_num_coordinates(union):,} corners, {len(text) / 1e6:.1f} "
            f"MB in every request (allowed: {POLYGON_BYTES / 1e6:g} MB): simplify it to about 100 m, or "
            'upload it to Earth Engine and give the table\'s id, "projects/NAME/assets/...".'
        )
    return Region("polygon", text)


def asset(asset_id: str) -> Region:
    """All features of a table on Earth Engine.

    Raises:
        SettingError: the text cannot be an asset's id.
    """
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", asset_id):
        raise SettingError(
            f"The region's asset {asset_id!r} is no asset id: give one such as "
            '"projects/NAME/assets/region".'
        )
    return Region("asset", asset_id)


def summary(region: Region) -> ee.Dictionary:
    """What must be known of a region before anything is planned, in one request; for `extent`.

    Returns:
        ``matched``, a number of features, and one list each, an item per feature (the first 1,000):
        ``name``, ``west``, ``south``, ``east``, ``north`` in degrees, ``km2`` and ``land_km2``.
        Lists are empty where nothing matched.
    """
    features = region.features()
    land = classes(LAND_YEAR).gt(0).unmask(0, False).multiply(ee.Image.pixelArea()).divide(1e6)
    told = land.reduceRegions(
        collection=features.limit(MOST_FEATURES).map(_measured),
        reducer=ee.Reducer.sum().setOutputs(["land_km2"]),
        scale=LAND_METRES,
        crs=EQUAL_AREA,
    )
    columns = ("west", "south", "east", "north", "km2", "land_km2")
    lists = {column: told.aggregate_array(column) for column in columns}
    return ee.Dictionary({"matched": features.size(), "name": told.aggregate_array("region"), **lists})


def extent(region: Region, found: Mapping[str, Any]) -> Extent:
    """Judge what `summary` found.

    Args:
        region: that was asked.
        found: the summary's value.

    Raises:
        SettingError: nothing or several places matched, the region crosses the 180th meridian, holds no
            square kilometre or lies on the sea.
    """
    matched, names = int(found["matched"]), tuple(map(str, found["name"]))
    what = f"The region's {region.kind} {_told(region)}"
    if not matched:
        raise SettingError(
            f"{what} matches nothing on Earth Engine: give a box (bbox) instead"
            + (
                f", or another spelling; names are those of {BOUNDARIES.id}."
                if region.kind == "place"
                else ", or the id of a table that has features."
                if region.kind == "asset"
                else "; a point on the sea lies in no province."
            )
        )
    if region.kind == "place" and matched > 1:
        more = ", ..." if matched > 10 else ""
        raise SettingError(
            f"{what} matches {matched} places: {', '.join(sorted(names)[:10])}{more}. Give the whole name, "
            f'add the country ("{region.value}, CHN"), or give a box (bbox).'
        )
    if matched > MOST_FEATURES:
        raise SettingError(
            f"{what} has {matched:,} features (allowed: {MOST_FEATURES:,}): dissolve it into the outline of "
            "the region first."
        )
    bounds = min(found["west"]), min(found["south"]), max(found["east"]), max(found["north"])
    if bounds[0] < -180 or bounds[2] > 180 or bounds[2] - bounds[0] > 180:
        raise SettingError(
            f"{what} reaches from {bounds[0]:g} to {bounds[2]:g} degrees east, across the 180th meridian or "
            "half of the globe: split it into several studies."
        )
    area = math.fsum(found["km2"])
    if area < LEAST_KM2:
        raise SettingError(
            f"{what} has {area:.2g} km²: nothing can be mapped in it at 1 km. Give a larger one."
        )
    land = min(1.0, math.fsum(found["land_km2"]) / area)
    if land < LEAST_LAND:
        raise SettingError(
            f"{what} lies on the water: {land:.1%} of its {area:,.0f} km² are land. Mind the order of "
            "longitude and latitude."
        )
    return Extent(names, bounds, area, land)


def drawn(geojson: Mapping[str, Any], what: str) -> tuple[Drawn, ...]:
    """The polygons of a GeoJSON object, one item per feature that has any.

    Args:
        geojson: a feature collection, a feature or a geometry.
        what: "region", for the message.

    Raises:
        SettingError: tells every mistake: no polygons, other geometries, a coordinate system other than WGS84
            degrees, places off the globe, crossing the 180th meridian, rings that cut themselves.
    """
    mistakes = _system_mistakes(geojson)
    found: list[Drawn] = []
    for number, feature in enumerate(_features(geojson), 1):
        whole, wrong = _multipolygon(feature.get("geometry"))
        mistakes += [f"feature {number} {text}" for text in wrong]
        if whole is not None:
            found.append(Drawn(whole, feature.get("properties") or {}))
    if not found and not mistakes:
        mistakes = ["it has no polygons"]
    if mistakes:
        raise SettingError(
            f"The GeoJSON of the {what} cannot be used: {'; '.join(mistakes)}. It must hold polygons in "
            "degrees of longitude and latitude (EPSG:4326)."
        )
    return tuple(found)


def planar(geojson: Mapping[str, Any]) -> ee.Geometry:
    """A GeoJSON geometry whose edges are straight in longitude and latitude, as RFC 7946 has them."""
    return ee.Geometry(dict(geojson), None, False)


def geojson_of(geometry: shapely.Geometry) -> dict[str, Any]:
    """A geometry as a GeoJSON multipolygon, to 0.1 m."""
    rounded = shapely.set_precision(geometry, 10**-DIGITS)
    parts = [part for part in shapely.get_parts(rounded) if isinstance(part, Polygon)]
    written: dict[str, Any] = mapping(MultiPolygon(parts))
    rings = [[[_corner(at) for at in ring] for ring in part] for part in written["coordinates"]]
    return {"type": "MultiPolygon", "coordinates": rings}


def _corner(at: Sequence[float]) -> list[float]:
    return [round(value, DIGITS) for value in at]


def _named(features: ee.FeatureCollection, name: str) -> ee.FeatureCollection:
    return ee.FeatureCollection(features.map(lambda unit: unit.set("region", ee.String(unit.get(name)))))


def _matching(units: ee.FeatureCollection, wanted: str) -> ee.FeatureCollection:
    """Units of exactly a name; without any, those in whose name a word begins like it."""
    name, country = wanted, re.fullmatch(r"(.*\S)\s*,\s*([A-Z]{3})", wanted)
    if country:
        name = country[1]
        units = units.filter(ee.Filter.eq(COUNTRY, country[2]))
    pattern = re.sub(r"([^\w\s])", r"\\\1", name)

    def ranked(unit: ee.Feature) -> ee.Element:
        own = ee.String(unit.get(NAME))
        whole = own.match(f"^{pattern}$", "i").size().min(1)
        begins = own.match(rf"(^|[\s(/'-]){pattern}", "i").size().min(1)
        return unit.set("match", whole.add(begins))

    compared = ee.FeatureCollection(units.map(ranked))
    best = ee.Number(compared.aggregate_array("match").reduce(ee.Reducer.max()))
    return compared.filter(ee.Filter.gt("match", 0)).filter(ee.Filter.eq("match", best))


def _measured(feature: ee.Feature) -> ee.Element:
    """A feature with its bounds in degrees and its area."""
    geometry = feature.geometry()
    corners = ee.Array(ee.List(geometry.bounds(1).coordinates()).get(0))
    low = corners.reduce(ee.Reducer.min(), [0])
    high = corners.reduce(ee.Reducer.max(), [0])
    return feature.set(
        {
            "west": low.get([0, 0]), "south": low.get([0, 1]),
            "east": high.get([0, 0]), "north": high.get([0, 1]),
            "km2": geometry.area(1).divide(1e6),
        }
    )  # fmt: skip


def _told(region: Region) -> str:
    if region.kind == "polygon":
        return "of the GeoJSON"
    if isinstance(region.value, str):
        return repr(region.value)
    return f"({', '.join(f'{number:g}' for number in region.value)})"


def _off_the_globe(places: Sequence[tuple[float, float]]) -> str:
    """What is wrong with places as longitudes and latitudes, to follow their name; empty if nothing is."""
    lon, lat = (max(map(abs, column)) for column in zip(*places, strict=True))
    if not all(math.isfinite(number) for at in places for number in at):
        return "has numbers that are not finite."
    if lon <= 180 and lat <= 90:
        return ""
    if lon <= 90 and lat <= 180:
        return "has latitudes beyond 90: longitude comes first, then latitude."
    if lon <= 360 and lat <= 90:
        return (
            "has longitudes beyond 180: count them from -180 to 180, and split what crosses the 180th "
            "meridian into several studies."
        )
    return "is not in degrees but in a projected system: convert it to EPSG:4326."


def _system_mistakes(geojson: Mapping[str, Any]) -> list[str]:
    declared = geojson.get("crs")
    if not declared:
        return []
    name = (
        str((declared.get("properties") or {}).get("name"))
        if isinstance(declared, Mapping)
        else str(declared)
    )
    return [] if DEGREES_CRS.search(name) else [f"its coordinate system is {name}: convert it to EPSG:4326"]


def _features(geojson: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if geojson.get("type") == "FeatureCollection":
        return list(geojson.get("features") or [])
    return [geojson if geojson.get("type") == "Feature" else {"geometry": geojson}]


def _multipolygon(geometry: Any) -> tuple[MultiPolygon | None, list[str]]:
    """The polygons of a GeoJSON geometry, and what is wrong with it."""
    if not geometry:
        return None, ["has no geometry"]
    try:
        found = shapely.force_2d(shape(geometry))
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        shapely.errors.ShapelyError,
    ) as error:
        return None, [f"is no geometry ({error})"]
    parts = list(shapely.get_parts(found))
    if any(not isinstance(part, Polygon) for part in parts):
        return None, [f"is a {found.geom_type}, not polygons"]
    if found.is_empty:
        return None, ["is empty"]
    west, south, east, north = found.bounds
    if wrong := _off_the_globe([(west, south), (east, north)]):
        return None, [wrong.removesuffix(".")]
    if east - west > 180:
        return None, ["crosses the 180th meridian: split it there into several studies"]
    if not found.is_valid:
        return None, [f"has a ring that cuts itself ({explain_validity(found)})"]
    return MultiPolygon(parts), []
