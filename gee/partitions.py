"""Terrain partitions: the land in parts, each of which gets a model of its own.

What soil moisture follows differs between a plain and a mountain side, which is why Xu et al. 2024 (sections
2.1, 3.3) train one model in each of Anhui's five geomorphic units. Their polygons are not published; the ones
shipped here were drawn by this project from public geography, and elsewhere a user's polygons or clusters of
the terrain take their place. A cell belongs to the partition that holds its centre.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from typing import Any

import ee
import shapely
from odc.geo.geobox import GeoBox

from gee import grids
from gee.errors import SettingError
from gee.regions import drawn, geojson_of, planar

BAND = "partition"
NAME = "name"  # the property of a partition's features that holds its name
RESERVED = ("WP", "all")  # the model without partition, and the row of a score table that pools them
NAME_PATTERN = r"[^\W_][\w .()-]{0,39}"
ANHUI = "anhui_partitions.geojson"
SLIVER = 1e-3  # of the smaller partition's area: what neighbours drawn apart may overlap
MOST_PARTITIONS = 50
POLYGON_BYTES = 500_000  # of GeoJSON text; half of the 1 MB that a request should stay below
ASSIGN_METRES = 10  # at which a cell's centre meets the drawn lines

# Clusters of the terrain
CLUSTERS = (2, 6)  # fewest and most, where the number is left to the data
SAMPLES = 4_000  # pixels that clusters are learnt from
SEED = 1
LANDFORM_METRES = 5_000  # radius of the window in which relief is the range of the pixels' elevation
ISLAND_KM2 = 100  # patches below it, about one 9 km cell, join what is around them
ISLAND_WINDOW_METRES = 12_000  # radius in which an island finds its neighbours


@dataclass(frozen=True)
class Partitions:
    """The land in parts.

    Attributes:
        names: in the order of their codes, which begin with 1; empty where the land is not parted.
        features: polygons with ``name``; None where there are none.
        image: one band ``partition``, the code; masked outside of all.
        rule: how they came about, for the record.
    """

    names: tuple[str, ...]
    features: ee.FeatureCollection | None
    image: ee.Image
    rule: str


def none() -> Partitions:
    """The land as a whole: every pixel is masked, every cell without partition."""
    nothing = ee.Image.constant(0).toByte().selfMask().rename(BAND)
    return Partitions((), None, ee.Image(nothing), "none")


def anhui() -> Partitions:
    """The five units of Anhui: HB, JH, WX, YJ and WN, from the file in this package.

    Their outer edge reaches beyond the province; a region cuts them.
    """
    return from_geojson(anhui_geojson(), NAME, f"{ANHUI}, drawn by gee-smap from public geography")


def anhui_geojson() -> dict[str, Any]:
    """The file shipped, whose ``description`` tells how it was drawn."""
    text = files("gee").joinpath("data", ANHUI).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def from_geojson(
    geojson: Mapping[str, Any], name_property: str | None, rule: str = "polygons of a GeoJSON"
) -> Partitions:
    """Partitions from polygons of the user's.

    Args:
        geojson: a feature collection; features of the same name are one partition.
        name_property: of a feature, holds its name; None is ``name``.
        rule: for the record.

    Returns:
        Partitions in the order in which their names first appear.

    Raises:
        SettingError: tells every polygon without a usable name and every two partitions that overlap by more
            than 0.1 % of the smaller; or what `gee.regions.drawn` refuses.
    """
    key = name_property or NAME
    parts: dict[str, list[shapely.Geometry]] = {}
    mistakes: list[str] = []
    for number, feature in enumerate(drawn(geojson, "partitions"), 1):
        value = feature.properties.get(key)
        if value is None or isinstance(value, (dict, list)):
            has = ", ".join(sorted(feature.properties)) or "none"
            mistakes.append(f"polygon {number} has no name in the property {key!r} (its properties: {has})")
            continue
        name = _text(value)
        if wrong := _name_mistake(name):
            mistakes.append(f"polygon {number} {wrong}")
        parts.setdefault(name, []).append(feature.geometry)
    merged = {name: shapely.union_all(polygons) for name, polygons in parts.items()}
    mistakes += _overlaps(merged)
    if len(merged) > MOST_PARTITIONS:
        mistakes.append(f"{len(merged)} partitions are more than {MOST_PARTITIONS}")
    written = {name: geojson_of(geometry) for name, geometry in merged.items()}
    if len(json.dumps(written)) > POLYGON_BYTES:
        mistakes.append(
            f"their polygons are more than {POLYGON_BYTES / 1e6:g} MB in every request: simplify them to "
            "about 100 m, or upload them to Earth Engine (scheme asset)"
        )
    if mistakes:
        raise SettingError(f"The partitions cannot be used: {'; '.join(mistakes)}.")
    features = ee.FeatureCollection(
        [ee.Feature(planar(geometry), {NAME: name}) for name, geometry in written.items()]
    )
    return Partitions(tuple(merged), features, code_image(features, tuple(merged)), rule)


def from_asset(asset_id: str, name_property: str | None, names: tuple[str, ...]) -> Partitions:
    """Partitions from a table on Earth Engine.

    Args:
        asset_id: of the table.
        name_property: of a feature, holds its name; None is ``name``.
        names: all that occur, as `asset_names` read them from the table's `summary`.
    """
    features = _renamed(asset_id, name_property)
    return Partitions(names, features, code_image(features, names), f"{asset_id}, {name_property or NAME}")


def summary(asset_id: str, name_property: str | None) -> ee.Dictionary:
    """What must be known of a table before it serves as partitions, in one request; for `asset_names`.

    Returns:
        ``features`` and ``named``, numbers; ``names``, sorted, each once; ``km2``, the areas of the
        features, and ``union_km2``, that of what they cover together; both are lists, empty without features.
    """
    table = ee.FeatureCollection(asset_id)
    named = _renamed(asset_id, name_property)
    return ee.Dictionary(
        {
            "features": table.size(),
            "named": named.size(),
            "names": named.aggregate_array(NAME).distinct().sort(),
            "km2": _areas(named),
            "union_km2": _areas(named.union(1)),
        }
    )


def asset_names(asset_id: str, name_property: str | None, found: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a table's partitions, from its `summary`.

    Raises:
        SettingError: there are no features, some have no usable name, there are too many, or they overlap.
    """
    key, names = name_property or NAME, tuple(map(str, found["names"]))
    features, named = int(found["features"]), int(found["named"])
    mistakes = [wrong for name in names if (wrong := _name_mistake(name))]
    if not features:
        mistakes.append("the table has no features")
    elif named < features:
        mistakes.append(f"{features - named} of {features} features have no name in the property {key!r}")
    if len(names) > MOST_PARTITIONS:
        mistakes.append(f"{len(names)} partitions are more than {MOST_PARTITIONS}")
    covered = math.fsum(found["union_km2"])
    excess = math.fsum(found["km2"]) - covered
    if excess > SLIVER * covered:
        mistakes.append(f"polygons overlap by {excess:,.0f} km²")
    if mistakes:
        raise SettingError(f"The partitions of {asset_id} cannot be used: {'; '.join(mistakes)}.")
    return names


def auto(region: ee.Geometry, grid: GeoBox, k: int | None, elevation: ee.Image) -> Partitions:
    """Partitions of any land by its terrain: clusters of elevation, slope and relief.

    Args:
        region: land to part.
        grid: fine grid, on which the clusters lie.
        k: number of clusters; None takes, from 2 to 6, the number of the best Calinski-Harabasz criterion
            (``ee.Clusterer.wekaCascadeKMeans``), so that not all of the six names need occur.
        elevation: one band, the mean of each pixel of the grid in m.

    Returns:
        ``P1``, ``P2``, ... from the lowest mean elevation to the highest. Patches below 100 km² take the most
        frequent partition within 12 km, so islands vanish.

    Raises:
        SettingError: ``k`` is not from 2 to 50.
    """
    if k is not None and not CLUSTERS[0] <= k <= MOST_PARTITIONS:
        raise SettingError(
            f"{k} automatic partitions are not possible: give from {CLUSTERS[0]} to {MOST_PARTITIONS}."
        )
    terrain = _terrain(elevation, grid)
    pixels = terrain.sample(
        region=region, projection=grids.projection(grid), numPixels=SAMPLES, seed=SEED, dropNulls=True
    )
    low, high = CLUSTERS
    learner = (
        ee.Clusterer.wekaCascadeKMeans(minClusters=low, maxClusters=high)
        if k is None
        else ee.Clusterer.wekaKMeans(nClusters=k, init=1, seed=SEED)
    )
    clusters = terrain.cluster(learner.train(pixels, terrain.bandNames()), BAND)
    inside = clusters.add(1).updateMask(ee.Image.constant(1).clip(region).mask())
    codes = _by_elevation(_without_islands(inside, grid), ee.Image(elevation), region, grid)
    names = tuple(f"P{code}" for code in range(1, (k or high) + 1))
    chosen = f"k = {k}" if k else f"k from {low} to {high} by Calinski-Harabasz"
    return Partitions(names, None, codes, f"clusters of elevation, slope and relief, {chosen}")


def code_image(features: ee.FeatureCollection, names: tuple[str, ...]) -> ee.Image:
    """Polygons as pixels of any size.

    Args:
        features: with ``name``.
        names: in the order of their codes.

    Returns:
        One band ``partition``, 1 for the first name; masked outside; where polygons overlap by a sliver the
        last one is seen.
    """
    order = ee.List(list(names))
    coded = features.map(lambda part: part.set("code", order.indexOf(part.get(NAME)).add(1)))
    painted = ee.Image.constant(0).toByte().paint(coded, "code").selfMask()
    return ee.Image(painted.rename(BAND))


def assign(cells: ee.FeatureCollection, partitions: Partitions) -> ee.FeatureCollection:
    """Say to which partition each cell belongs: the one that holds its centre.

    Args:
        cells: with ``lon`` and ``lat``, degrees of the centre, in any geometry.
        partitions: to choose from.

    Returns:
        The cells with ``partition``, a name, empty outside of all; the geometry is as before.
    """
    if not partitions.names:
        return ee.FeatureCollection(cells.map(lambda cell: cell.set(BAND, "")))
    names = ee.List(["", *partitions.names])
    codes = partitions.image.unmask(0, False)

    def told(cell: ee.Feature) -> ee.Element:
        centre = ee.Geometry.Point([cell.getNumber("lon"), cell.getNumber("lat")])
        code = codes.reduceRegion(ee.Reducer.first(), centre, ASSIGN_METRES).getNumber(BAND)
        return cell.set(BAND, names.get(code))

    return ee.FeatureCollection(cells.map(told))


def _renamed(asset_id: str, name_property: str | None) -> ee.FeatureCollection:
    """The features of a table that have a name, as text in ``name``."""
    key = name_property or NAME
    table = ee.FeatureCollection(asset_id).filter(ee.Filter.notNull([key]))
    return ee.FeatureCollection(table.map(lambda part: part.set(NAME, ee.String(part.get(key)))))


def _areas(features: ee.FeatureCollection) -> ee.List:
    measured = features.map(lambda part: part.set("km2", part.geometry().area(1).divide(1e6)))
    return ee.List(ee.FeatureCollection(measured).aggregate_array("km2"))


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _name_mistake(name: str) -> str:
    if name in RESERVED:
        return f"may not be named {name!r}: that word is taken"
    if not re.fullmatch(NAME_PATTERN, name):
        return (
            f"is named {name!r}: a name begins with a letter or digit and has at most 40 letters, digits, "
            "spaces and signs of _.()-"
        )
    return ""


def _overlaps(parts: Mapping[str, shapely.Geometry]) -> list[str]:
    """What to say of every two partitions that share more than a sliver; areas in degrees² do for shares."""
    found = []
    for (first, one), (second, other) in combinations(parts.items(), 2):
        smaller = min(one.area, other.area)
        shared = one.intersection(other).area / smaller if smaller else 0
        if shared > SLIVER:
            found.append(f"{first} and {second} overlap in {shared:.1%} of the smaller")
    return found


def _terrain(elevation: ee.Image, grid: GeoBox) -> ee.Image:
    """Elevation, slope (medians around each pixel) and relief on a grid, as square roots.

    Medians, because a partition is a landform and not its ridges, and they keep the foot of a mountain sharp.
    Roots, because heights of land are skewed: without them one high range takes most clusters and a plain
    and its hills share one. The range of a window spills over the foot of a mountain by the window's radius;
    the least range within that radius takes the spill back.
    """
    height = ee.Image(elevation).rename("elevation").reproject(grids.projection(grid))
    window = ee.Kernel.circle(LANDFORM_METRES / abs(grid.affine.a), "pixels", False)
    highest, lowest = (height.reduceNeighborhood(r, window) for r in (ee.Reducer.max(), ee.Reducer.min()))
    relief = highest.subtract(lowest).reduceNeighborhood(ee.Reducer.min(), window).rename("relief")
    level = height.addBands(ee.Terrain.slope(height).rename("slope"))
    middle = level.reduceNeighborhood(ee.Reducer.median(), window).rename(["elevation", "slope"])
    return ee.Image(middle.addBands(relief).max(0).sqrt().reproject(grids.projection(grid)))


def _by_elevation(clusters: ee.Image, elevation: ee.Image, region: ee.Geometry, grid: GeoBox) -> ee.Image:
    """Clusters numbered from 1 by rising mean elevation, since a clusterer's own numbers mean nothing."""
    groups = ee.List(
        elevation.addBands(clusters)
        .reduceRegion(
            reducer=ee.Reducer.mean().group(1, "cluster"),
            geometry=region,
            crs=str(grid.crs),
            crsTransform=grids.crs_transform(grid),
            maxPixels=grid.shape.x * grid.shape.y,
        )
        .get("groups")
    )
    means = groups.map(lambda group: ee.Dictionary(group).get("mean"))
    numbers = groups.map(lambda group: ee.Dictionary(group).get("cluster")).sort(means)
    ranked = clusters.remap(numbers, ee.List.sequence(1, numbers.size())).toByte()
    return ee.Image(ranked.reproject(grids.projection(grid)).rename(BAND))


def _without_islands(codes: ee.Image, grid: GeoBox) -> ee.Image:
    """Codes in which small patches have what is most frequent around them; lone ones stay as they are."""
    side = abs(grid.affine.a)
    fewest = round(ISLAND_KM2 * 1e6 / side**2)
    fixed = codes.reproject(grids.projection(grid))
    large = fixed.updateMask(fixed.connectedPixelCount(fewest + 1, False).gte(fewest))
    around = large.focalMode(ISLAND_WINDOW_METRES / side, "circle", "pixels")
    return ee.Image(large.unmask(around, False).unmask(fixed, False).updateMask(fixed.mask()))
