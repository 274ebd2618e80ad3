"""Map layers: which image they draw, in which colours, and that every reader can tell the colours apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import ee
import matplotlib as mpl
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import landcover, layers, partitions
from gee.catalog import SMAP
from gee.layers import PREDICTORS, SOIL_MOISTURE, Key, Place, Scale
from gee.local.sources.dataset import BandSpec, Dataset, RasterGrid, Scene, Slot, reader
from gee.predictors import STATIC, Bands
from gee.recipe import RECOMMENDED

HERE = RasterGrid("EPSG:4326", (0.1, 0.0, 117.0, 0.0, -0.1, 32.0), 4, 3)
DAY = dt.date(2019, 7, 3)
WEST_HALF = (117.0, 31.0, 117.2, 33.0)
JUST_TOLD_APART = 2.3  # distance in L*a*b*; Mahy et al. 1994
Array = NDArray[np.float64]

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)
    ),
    "full sight": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}  # fmt: skip


def rectangle(west: float, south: float, east: float, north: float) -> ee.Geometry:
    return ee.Geometry.Rectangle([west, south, east, north], "EPSG:4326", False)


def rgb(stops: tuple[str, ...]) -> Array:
    return np.array([mpl.colors.to_rgb(f"#{stop}") for stop in stops])


def lab(colours: Array, seen_by: str) -> Array:
    """CIE L*a*b* (D65) of sRGB colours as somebody sees them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(BLINDNESS[seen_by]).T, 0, 1)
    to_xyz = np.array(
        [
            (0.4124564, 0.3575761, 0.1804375),
            (0.2126729, 0.7151522, 0.0721750),
            (0.0193339, 0.119192, 0.9503041),
        ]
    )
    ratio = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def published(earth: Any, asset_id: str, images: Mapping[str, float]) -> None:
    """A collection as it is published: images YYYYMMDD that begin at 21:00 UTC of the day before."""
    specs = (BandSpec("sm", "float32"),)
    scenes = {}
    for index, value in images.items():
        day = dt.datetime.strptime(index, "%Y%m%d").replace(tzinfo=dt.UTC)
        start = round((day - dt.timedelta(hours=3)).timestamp() * 1000)
        field = np.full((HERE.height, HERE.width), value, np.float32)
        field[0, 0] = np.nan

        def compute(names: Any, window: Any, field: Any = field) -> dict[str, Any]:
            part = field[window.row : window.row + window.height, window.col : window.col + window.width]
            return {"sm": (np.nan_to_num(part), np.isfinite(part))}

        scenes[index] = Scene(
            f"{asset_id}/{index}", index, start, start + 10_800_000, HERE, specs, {}, None,
            reader(HERE, specs, compute),
        )  # fmt: skip
    slots = sorted(Slot(scene.start, scene.end, index) for index, scene in scenes.items())
    earth.datasets[asset_id] = Dataset(
        asset_id, "IMAGE_COLLECTION", {}, lambda: slots, lambda slot: scenes[slot.index]
    )


@pytest.mark.parametrize(
    ("stops", "name"),
    [
        (SOIL_MOISTURE.stops, "viridis_r"), (layers.VIRIDIS, "viridis"), (layers.INFERNO, "inferno"),
        (layers.MAGMA, "magma"), (layers.GREENS, "YlGn"), (layers.BLUES, "YlGnBu"), (layers.BROWNS, "YlOrBr"),
    ],
)  # fmt: skip
def test_palettes_are_those_they_are_called_after(stops: tuple[str, ...], name: str) -> None:
    places = np.linspace(0, 1, 256)
    drawn = np.stack(
        [np.interp(places, np.linspace(0, 1, len(stops)), part) for part in rgb(stops).T], axis=1
    )
    assert np.abs(drawn - mpl.colormaps[name](places)[:, :3]).max() < 7.5 / 255


@pytest.mark.parametrize("seen_by", BLINDNESS)
def test_soil_moisture_darkens_evenly_whoever_looks(seen_by: str) -> None:
    seen = lab(rgb(SOIL_MOISTURE.stops), seen_by)
    steps = -np.diff(seen[:, 0])
    assert (steps > 0).all()
    assert steps.max() < 2 * steps.mean()
    for one in range(len(seen)):
        for other in range(one + 4, len(seen)):  # a quarter of the scale apart
            assert np.linalg.norm(seen[one] - seen[other]) > 6 * JUST_TOLD_APART


@pytest.mark.parametrize("seen_by", ["protanopia", "deuteranopia", "full sight"])
@pytest.mark.parametrize("colours", [layers.QUALITATIVE, PREDICTORS["lc"].colours], ids=["parts", "cover"])
def test_names_have_colours_that_are_told_apart(colours: tuple[str, ...], seen_by: str) -> None:
    seen = lab(rgb(colours), seen_by)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert distances[~np.eye(len(seen), dtype=bool)].min() > 4 * JUST_TOLD_APART


def test_every_predictor_with_a_map_has_a_scale_in_growing_order() -> None:
    assert set(PREDICTORS) == {
        "ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo", "sand", "silt", "clay", "dem",
        "lc", "dlst", "rain_3", "rain_7", "rain_15", "rain_30", "slope", "twi",
    }  # fmt: skip
    for look in [SOIL_MOISTURE, *PREDICTORS.values()]:
        if isinstance(look, Scale):
            assert look.low < look.high
            assert look.parameters() == {"min": look.low, "max": look.high, "palette": list(look.stops)}
    assert PREDICTORS["lc"].parameters()["max"] == max(landcover.CLASSES)


def test_a_single_name_still_has_a_range() -> None:
    assert Key("Partitions", ("all",), 1, ("f0e442", "e69f00")).parameters() == {
        "min": 1, "max": 2, "palette": ["f0e442", "e69f00"],
    }  # fmt: skip


def test_smap_draws_the_bin_of_the_day(earth: Any) -> None:
    times = {"2019-07-02T18:00:00": 0.1, "2019-07-02T21:00:00": 0.25, "2019-07-03T00:00:00": 0.4}
    earth.put(
        SMAP.id, HERE, [(time, {"sm_surface": np.full((3, 4), value)}) for time, value in times.items()]
    )
    layer = layers.smap(DAY, rectangle(*WEST_HALF))
    values = earth.pixels(layer.image, HERE)["sm"]
    np.testing.assert_allclose(values[:, :2], 0.25)
    assert values.mask[:, 2:].all()
    assert layer.name == "SMAP 9 km, 2019-07-03"


def test_soil_moisture_draws_the_image_that_is_called_after_the_day(earth: Any) -> None:
    collection = "projects/p/assets/sm"
    published(earth, collection, {"20190702": 0.2, "20190703": 0.3, "20190704": 0.4})
    values = earth.pixels(layers.soil_moisture(collection, DAY).image, HERE)["sm"]
    assert values.mask[0, 0] and values.mask.sum() == 1
    np.testing.assert_allclose(values.compressed(), 0.3, rtol=1e-6)
    missing = layers.soil_moisture(collection, dt.date(2020, 1, 1), rectangle(*WEST_HALF))
    assert earth.pixels(missing.image, HERE)["sm"].mask.all()


def test_smap_and_the_downscaled_map_are_painted_alike(earth: Any) -> None:
    collection = "projects/p/assets/sm"
    published(earth, collection, {"20190703": 0.2625})  # 17/32 of the way from 0.05 to 0.45
    earth.put(SMAP.id, HERE, [("2019-07-02T21:00:00", {"sm_surface": np.full((3, 4), 0.2625)})])
    painted = [
        earth.pixels(layer.image.visualize(**layer.parameters()), HERE)
        for layer in (layers.smap(DAY), layers.soil_moisture(collection, DAY))
    ]
    expected = [np.interp(17 / 32 * 16, np.arange(17), part) * 255 for part in rgb(SOIL_MOISTURE.stops).T]
    for bands in painted:
        found = [bands[name][2, 3] for name in ("vis-red", "vis-green", "vis-blue")]
        np.testing.assert_allclose(found, expected, atol=1.01)
    assert layers.smap(DAY).legend is layers.soil_moisture(collection, DAY).legend is SOIL_MOISTURE


def test_predictors_of_a_day_are_on_the_fine_grid_with_radar_in_decibels(earth: Any) -> None:
    grid = GeoBox((2, 3), Affine(1000, 0, 540_000, 0, -1000, 3_540_000), "EPSG:32650")
    image = layers.predictor_image(DAY, RECOMMENDED, grid)
    names = earth.value(image.bandNames())
    assert names[:9] == ["ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh"]
    assert names[9:] == list(STATIC)
    pixels = RasterGrid("EPSG:32650", (1000, 0, 540_000, 0, -1000, 3_540_000), 3, 2)
    values = earth.pixels(image.select(["vv", "vh", "dem", "LC_3"]), pixels)
    assert ((values["vv"] > -25) & (values["vv"] < 5)).all()  # power would lie above 0
    assert (values["vh"] < values["vv"]).all()


def test_the_predictors_of_a_wider_set_are_there_and_have_layers(earth: Any) -> None:
    grid = GeoBox((2, 3), Affine(1000, 0, 540_000, 0, -1000, 3_540_000), "EPSG:32650")
    image = layers.predictor_image(DAY, RECOMMENDED, grid, Bands.of(["rain_7", "slope"]))
    names = earth.value(image.bandNames())
    assert {"rain_3", "rain_7", "rain_15", "rain_30", "slope"} <= set(names)
    assert not {"dlst", "twi"} & set(names)
    rain, slope = layers.predictor_layers(image, ["rain_7", "slope"])
    assert (rain.name, slope.name) == ("Rain of the 7 days before, 0 to 70 mm", "Slope, 0 to 25 °")


def test_a_day_of_a_longer_study_has_the_land_cover_of_the_studys_first_year(earth: Any) -> None:
    grid = GeoBox((2, 3), Affine(1000, 0, 540_000, 0, -1000, 3_540_000), "EPSG:32650")
    own, first = (
        layers.predictor_image(dt.date(2019, 7, 3), RECOMMENDED, grid, year=year).serialize()
        for year in (None, 2017)
    )
    # MCD12Q1's image of a year is asked for from New Year's Day to the next one.
    assert ("2017-01-01" in first, "2020-01-01" in first) == (True, False)
    assert ("2017-01-01" in own, "2020-01-01" in own) == (False, True)


def test_predictors_are_hidden_layers_whose_names_tell_their_limits(earth: Any) -> None:
    image = ee.Image([-11, 3]).rename(["vv", "lc"])
    radar, cover = layers.predictor_layers(image, ["vv", "lc"], rectangle(*WEST_HALF))
    assert (radar.name, cover.name) == ("VV, -18 to -4 dB", "Land cover")
    assert not radar.shown and not cover.shown
    values = earth.pixels(radar.image, HERE)["vv"]
    assert (values[:, :2] == -11).all() and values.mask[:, 2:].all()
    painted = earth.pixels(cover.image.visualize(**cover.parameters()), HERE)
    found = [int(painted[f"vis-{part}"][0, 0]) for part in ("red", "green", "blue")]
    assert found == [0xF0, 0xE4, 0x42]  # cropland, the fourth of five
    with pytest.raises(KeyError, match="doy"):
        layers.predictor_layers(image, ["doy"])


def squares() -> partitions.Partitions:
    """Two squares that meet at 117.2 E."""

    def ring(west: float, east: float) -> list[list[float]]:
        return [[west, 31.0], [east, 31.0], [east, 33.0], [west, 33.0], [west, 31.0]]

    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [ring(west, east)]},
        }
        for name, west, east in (("A", 116.5, 117.2), ("B", 117.2, 118.0))
    ]
    return partitions.from_geojson({"type": "FeatureCollection", "features": features}, None)


def clusters() -> partitions.Partitions:
    """The same two without polygons."""
    east = ee.Image.pixelLonLat().select("longitude").gte(117.2)
    return partitions.Partitions(("A", "B"), None, ee.Image(east.add(1).rename("partition")), "clusters")


@pytest.mark.parametrize("parts", [squares, clusters])
def test_partitions_are_areas_and_outlines(earth: Any, parts: Any) -> None:
    fine = RasterGrid("EPSG:4326", (0.01, 0.0, 117.0, 0.0, -0.01, 32.0), 40, 20)
    areas, lines = layers.partition_layers(parts())
    codes = earth.pixels(areas.image, fine)["partition"]
    np.testing.assert_array_equal(codes[:, :20], 1)
    np.testing.assert_array_equal(codes[:, 20:], 2)
    assert areas.parameters()["palette"] == list(layers.QUALITATIVE[:2])
    assert (areas.shown, lines.shown) == (False, True)
    drawn = earth.pixels(lines.image, fine)
    seen = ~np.ma.getmaskarray(drawn["vis-red"])
    border = seen.any(axis=0)
    assert border[18:22].any() and not border[:15].any() and not border[25:].any()
    strongest = drawn["vis-red"][:, border]
    assert strongest.min() < 60  # black


def test_land_that_is_not_parted_has_no_layer_of_partitions(earth: Any) -> None:
    assert layers.partition_layers(partitions.none()) == ()


def test_stations_are_points(earth: Any) -> None:
    fine = RasterGrid("EPSG:4326", (0.01, 0.0, 117.0, 0.0, -0.01, 32.0), 60, 60)
    layer = layers.stations([Place("one", 117.205, 31.795), Place("two", 117.505, 31.505)])
    drawn = earth.pixels(layer.image, fine)
    seen = ~np.ma.getmaskarray(drawn["vis-red"])
    assert seen[20, 20] and seen[49, 50]
    rows, columns = np.nonzero(seen)
    near = np.minimum(np.hypot(rows - 20, columns - 20), np.hypot(rows - 49, columns - 50))
    assert near.max() < 9
    assert drawn["vis-red"][20, 20] > 200  # white within, black around
    assert drawn["vis-red"][seen].min() < 60
