"""What the project assumes of Earth Engine, asked of a real one by whoever has an account.

    GEE_SMAP_LIVE=1 GEE_SMAP_PROJECT=NAME pytest tests/live       # Google's; costs a few compute unit minutes
    GEE_SMAP_LIVE=local pytest tests/live                         # the local engine, simulated sources

Without the variable everything here is skipped. Expectations are documented facts, or are computed here with
NumPy and pyproj from raw bands that are fetched the same way.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ee
import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from gee import catalog, cells, grids, observations, predictors, statics, target, timeseries
from gee.connection import connect
from gee.recipe import RECOMMENDED
from gee.timeseries import Calendar
from pipeline.cloud import doctor
from pipeline.planning import smap_raster
from pipeline.settings import Settings

MODE = os.environ.get("GEE_SMAP_LIVE", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(MODE not in ("1", "local"), reason="set GEE_SMAP_LIVE to 1, or to local"),
]

DAY = dt.date(2019, 7, 22)
WEEK = Calendar(dt.date(2019, 4, 7), dt.date(2019, 4, 13))
HEFEI = (117.27, 31.86)
SINUSOIDAL = "+proj=sinu +R=6371007.181 +units=m"
NODATA = -9999.0
SIDE = 24  # native pixels
Masked = np.ma.MaskedArray[Any, Any]


@pytest.fixture(scope="module", autouse=True)
def engine(request: pytest.FixtureRequest, real_client: None) -> Iterator[str]:
    """The engine that is asked."""
    if MODE == "local":
        request.getfixturevalue("client")
    else:
        settings = Settings.load()
        connect("google", settings.project, settings.credentials)
    yield MODE


@pytest.fixture(scope="module")
def findings(engine: str) -> dict[str, doctor.Finding]:
    """What doctor finds, by the source's name."""
    return {one.source.name: one for one in doctor.examine(lambda what, share: None).findings}


@pytest.fixture(scope="module")
def raster(engine: str) -> GeoBox:
    """The grid of SMAP L4 as the engine has it."""
    return smap_raster(RECOMMENDED)[0]


def fetch(image: ee.Image, crs: str, transform: Sequence[float], width: int, height: int) -> list[Masked]:
    """The bands of an image on a grid."""
    names = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    pixels = ee.data.computePixels(
        {
            "expression": image.toDouble().unmask(NODATA, False),
            "fileFormat": "NUMPY_NDARRAY",
            "grid": {
                "dimensions": {"width": width, "height": height},
                "affineTransform": dict(zip(names, transform, strict=True)),
                "crsCode": crs,
            },
        }
    )
    return [np.ma.masked_equal(pixels[band], NODATA) for band in pixels.dtype.names]


def native(source: catalog.Source) -> Callable[[ee.Image], list[Masked]]:
    """Fetches a few of a source's own pixels around Hefei."""
    crs, (x_scale, _, left, _, y_scale, top) = source.native
    x, y = Transformer.from_crs("EPSG:4326", SINUSOIDAL, always_xy=True).transform(*HEFEI)
    column, row = int((x - left) // x_scale), int((y - top) // y_scale)
    corner = (x_scale, 0, left + column * x_scale, 0, y_scale, top + row * y_scale)
    return lambda image: fetch(image, crs, corner, SIDE, SIDE)


def raw(source: catalog.Source, bands: Sequence[str], around: int) -> list[tuple[dt.date, dict[str, Masked]]]:
    """The raw bands of every image that starts within so many days of DAY, in order of time."""
    reach = Calendar(DAY, DAY).padded(around, around)
    images = source.collection().filterDate(reach.start.isoformat(), reach.end.isoformat())
    images = images.select(list(bands)).sort("system:time_start")
    starts = images.aggregate_array("system:time_start").getInfo()
    arrays = iter(native(source)(images.toBands()))
    days = [dt.datetime.fromtimestamp(start / 1000, dt.UTC).date() for start in starts]
    return [(day, {band: next(arrays) for band in bands}) for day in days]


def bits(words: Masked, first: int, count: int) -> NDArray[np.int64]:
    """Bits of a quality band; of a masked word all of them are set."""
    return (words.filled(2**32 - 1).astype(np.int64) >> first) & (2**count - 1)


def filled(dates: NDArray[np.float64], values: Masked, day: float, gap: int) -> Masked:
    """Pixels' values on a day, linear between the nearest before and after, as the paper has it.

    Both arrays have the observations on their first axis.
    """
    known = ~np.ma.getmaskarray(values)
    before = np.where(known & (dates <= day) & (day - dates <= gap), dates, -np.inf)
    after = np.where(known & (dates >= day) & (dates - day <= gap), dates, np.inf)
    one, other = before.argmax(0)[None], after.argmin(0)[None]
    whole = np.isfinite(before.max(0)) & np.isfinite(after.min(0))
    data = np.ma.getdata(values)
    y1, y2 = (np.take_along_axis(data, index, 0)[0] for index in (one, other))
    t1, t2 = (np.take_along_axis(dates, index, 0)[0] for index in (one, other))
    share = np.where(t2 > t1, (day - t1) / np.where(t2 > t1, t2 - t1, 1), 0)
    return np.ma.array(y1 + (y2 - y1) * share, mask=~whole)


def assert_same(ours: Masked, theirs: Masked, tolerance: float) -> None:
    assert (~np.ma.getmaskarray(theirs)).sum() > SIDE  # a few pixels at least could be filled
    np.testing.assert_array_equal(np.ma.getmaskarray(ours), np.ma.getmaskarray(theirs))
    np.testing.assert_allclose(ours.compressed(), theirs.compressed(), rtol=0, atol=tolerance)


# The catalogue


@pytest.mark.parametrize("name", catalog.SOURCES)
def test_a_source_is_what_the_catalogue_says(findings: dict[str, doctor.Finding], name: str) -> None:
    found = findings[name]
    if MODE == "local":
        assert found.simulated
    assert found.error == ""
    # Simulated archives begin in 2015.
    assert [text for text in found.differences if not (found.simulated and "begins on" in text)] == []


def test_the_grid_of_smap_is_the_one_that_cells_are_made_for(raster: GeoBox) -> None:
    assert raster.shape == cells.SMAP_RASTER.shape
    assert str(raster.crs) == "EPSG:4326"
    np.testing.assert_allclose(list(raster.affine)[:6], catalog.SMAP_WARPED, rtol=1e-9)


def test_elevation_of_glo30_lies_on_whole_arc_seconds() -> None:
    tile = ee.Image(catalog.GLO30.collection().filterBounds(ee.Geometry.Point(HEFEI)).first())
    x_scale, _, left, _, y_scale, top = tile.select("DEM").projection().getInfo()["transform"]
    for scale, origin, wanted in (
        (x_scale, left, statics.GLO30_GRID[2]),
        (y_scale, top, statics.GLO30_GRID[5]),
    ):
        steps = (origin - wanted) / scale
        assert abs(scale) == pytest.approx(1 / 3600)
        assert steps == pytest.approx(round(steps), abs=1e-3)


# SMAP


@pytest.mark.parametrize(
    ("window", "first_hour"), [(target.MORNING, -3), (target.PAPER_UTC, 6)], ids=["morning", "utc-06-09"]
)
def test_every_day_of_a_week_has_exactly_one_image_in_its_bin(
    window: target.SmapBin, first_hour: int
) -> None:
    assert target.smap_counts(WEEK, catalog.SMAP, window).getInfo() == [1] * 7
    midnight = dt.datetime(WEEK.start.year, WEEK.start.month, WEEK.start.day, tzinfo=dt.UTC).timestamp()
    image = target.smap_image(ee.Date(WEEK.start.isoformat()), catalog.SMAP, window)
    hours = (image.get("system:time_start").getInfo() / 1000 - midnight) / 3600
    assert first_hour <= hours < first_hour + 3


def test_a_cell_gets_the_value_of_the_pixel_that_it_is_paired_with(raster: GeoBox) -> None:
    bounds = (116.0, 31.0, 118.0, 33.0)
    paired = cells.ease_cells(bounds, raster)
    transform = list(raster.affine)[:6]
    x_scale, _, left, _, y_scale, top = transform
    column, row = int((bounds[0] - left) // x_scale) - 2, int((bounds[3] - top) // y_scale) - 2
    corner = (x_scale, 0, left + column * x_scale, 0, y_scale, top + row * y_scale)
    image = target.smap_image(ee.Date(DAY.isoformat()), catalog.SMAP)
    [pixels] = fetch(image, "EPSG:4326", corner, 28, 28)

    def at_pixel(cell: ee.Feature) -> ee.Feature:
        return cell.setGeometry(ee.Geometry.Point([cell.get("smap_lon"), cell.get("smap_lat")]))

    sampled = image.reduceRegions(paired.features().map(at_pixel), ee.Reducer.first().setOutputs(["sm"]))
    found = [feature["properties"] for feature in sampled.getInfo()["features"]]
    assert len(found) == len(paired) > 300
    to_metres = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
    for cell in found:
        at = (
            int((cell["smap_lat"] - top) // y_scale) - row,
            int((cell["smap_lon"] - left) // x_scale) - column,
        )
        assert cell.get("sm", NODATA) == pytest.approx(pixels.filled(NODATA)[at])
        x, y = to_metres.transform(cell["smap_lon"], cell["smap_lat"])
        # Corner and cell of EASE-Grid 2.0 M09 (Brodzik et al. 2012).
        number = int((7314540.83 - y) // 9008.05521), int((x + 17367530.45) // 9008.05521)
        assert cell["cell"] == f"{number[0]:04d}-{number[1]:04d}"


# A day's predictors


def test_temperature_is_masked_scaled_and_filled_as_numpy_does() -> None:
    seen = raw(catalog.LST, ("LST_Day_1km", "QC_Day"), 20)
    dates = np.array([(day - DAY).days for day, _ in seen], dtype=float)[:, None, None]
    values = []
    for _, bands in seen:
        kelvin, quality = bands["LST_Day_1km"], bands["QC_Day"]
        usable = (bits(quality, 0, 2) == 1) & (bits(quality, 4, 2) <= 1) & (bits(quality, 6, 2) <= 1)
        good = ((bits(quality, 0, 2) == 0) | usable) & (kelvin.filled(0) >= 7500)
        values.append(np.ma.array(kelvin.filled(0) * 0.02 - 273.15, mask=~good))
    series = np.ma.stack(values)
    theirs = filled(np.broadcast_to(dates, series.shape), series, 0, 15)

    images = catalog.LST.collection().map(
        lambda image: timeseries.with_date(observations.temperature(image, "balanced"))
    )
    [ours] = native(catalog.LST)(timeseries.linear_fill(images, Calendar(DAY, DAY), ["lst"], 15, 1).first())
    assert_same(ours, theirs, 1e-6)


def test_indices_are_masked_dated_and_filled_as_numpy_does() -> None:
    blue, green, red, nir, swir1, swir2 = (f"sur_refl_b0{number}" for number in (3, 4, 1, 2, 6, 7))
    bands = (blue, green, red, nir, swir1, swir2, "StateQA", "QA", "DayOfYear")
    dates, series = [], []
    for start, words in raw(catalog.REFLECTANCE, bands, 32):
        state, quality, day = words["StateQA"], words["QA"], words["DayOfYear"]
        clear = (
            np.isin(bits(state, 0, 2), (0, 3)) & (bits(state, 2, 1) == 0) & (bits(state, 8, 2) <= 1)
            & (bits(state, 10, 1) == 0) & (bits(state, 12, 1) == 0) & (bits(state, 15, 1) == 0)
            & (bits(quality, 0, 2) <= 1)
        )  # fmt: skip
        since = day.filled(-1) - start.timetuple().tm_yday  # no composite of this season crosses New Year
        clear &= (since >= 0) & (since < 8)
        b, g, r, n, s1, s2 = (
            np.ma.masked_outside(words[band].astype(float), 1, 10_000).filled(np.nan) * 1e-4
            for band in (blue, green, red, nir, swir1, swir2)
        )
        below = n + 6 * r - 7.5 * b + 1
        below[~(below > 0)] = np.nan
        found = (
            (n - r) / (n + r), (g - n) / (g + n),
            np.clip((s1 - s2) / s1, -1, 1), np.clip(2.5 * (n - r) / below, -1, 1.5),
        )  # fmt: skip
        dates.append((start - DAY).days + since)
        series.append([np.ma.array(index, mask=~clear | np.isnan(index)) for index in found])
    images = catalog.REFLECTANCE.collection().map(lambda image: observations.reflectance(image, "balanced"))
    names = ["ndvi", "ndwi", "nsdsi", "evi"]
    day = timeseries.linear_fill(images, Calendar(DAY, DAY), names, 15, 8).first()
    for number, ours in enumerate(native(catalog.REFLECTANCE)(ee.Image(day).select(names))):
        theirs = filled(np.stack(dates), np.ma.stack([one[number] for one in series]), 0, 15)
        assert_same(ours, theirs, 1e-9)


def test_backscatter_in_power_is_the_one_in_decibels() -> None:
    reach = Calendar(DAY, DAY).padded(6, 6)
    power, decibels = (
        ee.Image(
            source.collection().filterDate(reach.start.isoformat(), reach.end.isoformat())
            .filterBounds(ee.Geometry.Point(HEFEI)).sort("system:index").first()
        )
        for source in (catalog.SENTINEL1, catalog.SENTINEL1_DB)
    )  # fmt: skip
    assert power.get("system:index").getInfo() == decibels.get("system:index").getInfo()
    placed = power.select("VV").projection().getInfo()
    x, y = Transformer.from_crs("EPSG:4326", placed["crs"], always_xy=True).transform(*HEFEI)
    x_scale, _, left, _, y_scale, top = placed["transform"]
    column, row = (x - left) // x_scale, (y - top) // y_scale
    corner = (x_scale, 0, left + column * x_scale, 0, y_scale, top + row * y_scale)
    for band in ("VV", "VH"):
        [linear] = fetch(power.select(band), placed["crs"], corner, SIDE, SIDE)
        [logarithmic] = fetch(decibels.select(band), placed["crs"], corner, SIDE, SIDE)
        assert linear.count() > SIDE
        np.testing.assert_allclose(10 * np.log10(linear.compressed()), logarithmic.compressed(), atol=0.01)


def test_a_days_predictors_are_there_and_possible() -> None:
    lon, lat = HEFEI
    grid = grids.fine_grid((lon - 0.06, lat - 0.05, lon + 0.06, lat + 0.05))
    day = Calendar(DAY, DAY)
    seen = {
        name: predictors.observed(
            stream, day.padded(*predictors.margins(stream, RECOMMENDED)), RECOMMENDED, grid, DAY.year
        )
        for name, stream in predictors.EVERY.streams.items()
    }
    daily = predictors.daily(seen, day, RECOMMENDED, predictors.EVERY)
    image = observations.decibels(ee.Image(daily.first()))
    still = predictors.static(RECOMMENDED, DAY.year, grid, predictors.EVERY)
    height, width = grid.shape
    possible = {
        "ndvi": (-1, 1), "ndwi": (-1, 1), "nsdsi": (-1, 1), "evi": (-1, 1.5), "lai": (0, 10),
        "lst": (-10, 60), "albedo": (0, 1), "vv": (-30, 5), "vh": (-35, 0), "count": (1, 13),
        "sand": (0, 100), "silt": (0, 100), "clay": (0, 100), "dem": (-20, 500), "lc": (0, 4),
        "dlst": (-10, 45), "slope": (0, 60), "twi": (0, 30),
        **{f"rain_{days}": (0, 1000) for days in predictors.RAIN_DAYS},
        **{f"LC_{code}": (0, 1) for code in range(5)},
    }  # fmt: skip
    names = list(possible)
    bands = fetch(
        image.addBands(still).select(names), str(grid.crs), grids.crs_transform(grid), width, height
    )
    found = dict(zip(names, bands, strict=True))
    for name, (low, high) in possible.items():
        assert found[name].count() > 0, name
        assert low <= found[name].min() <= found[name].max() <= high, name
    np.testing.assert_allclose(sum(found[f"LC_{code}"] for code in range(5)).compressed(), 1, atol=1e-5)
    soil = sum(found[part] for part in ("sand", "silt", "clay")).compressed()
    assert abs(soil.mean() - 100) < 3
