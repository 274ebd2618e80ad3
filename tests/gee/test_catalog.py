"""The rows of the catalogue against the simulated datasets; raw values turned into physical ones by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import ee
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gee import catalog
from gee.availability import check_available
from gee.catalog import SOURCES, Band, Source, scaled
from gee.errors import SettingError
from gee.local.sources import catalogue
from gee.local.sources.dataset import RasterGrid
from tests.gee.conftest import Earth

RASTERS = [source for source in SOURCES.values() if source.kind != "table"]


def strip(width: int) -> RasterGrid:
    """One row of pixels."""
    return RasterGrid("EPSG:32650", (1000, 0, 500_000, 0, -1000, 3_500_000), width, 1)


def test_every_source_stands_under_its_own_name_and_id() -> None:
    assert [source.name for source in SOURCES.values()] == list(SOURCES)
    assert len({source.id for source in SOURCES.values()}) == len(SOURCES)


def test_every_source_is_simulated() -> None:
    assert [source.name for source in SOURCES.values() if catalogue.find(source.id) is None] == []


@pytest.mark.parametrize("source", RASTERS, ids=lambda source: source.name)
def test_bands_and_grid_are_those_of_the_simulated_dataset(source: Source) -> None:
    dataset = catalogue.find(source.id)
    assert dataset is not None
    scene = dataset.scenes(*_middle_of_2019() if source.cadence_days else (None, None))[0]
    assert {band.name for band in source.bands} <= {band.name for band in scene.bands}
    if source.crs is not None:
        assert scene.grid.crs == source.crs
    if source.transform is not None:
        assert scene.grid.transform == pytest.approx(source.transform, rel=1e-12)


def _middle_of_2019() -> tuple[int, int]:
    """From 20 June for ten days, except that yearly maps start on 1 January."""
    day = 86_400_000
    first = (dt.date(2019, 1, 1) - dt.date(1970, 1, 1)).days * day
    return first, first + 180 * day


@pytest.mark.parametrize("name", ["srtm", "soilgrids_silt", "openlandmap_clay"])
def test_single_images_are_collections_of_one(name: str, earth: Earth) -> None:
    images = SOURCES[name].collection()
    assert earth.value(images.size()) == 1
    assert earth.value(images.first().bandNames())[0] == SOURCES[name].bands[0].name


def test_the_boundaries_are_a_table(earth: Earth) -> None:
    hefei = ee.Geometry.Point(117.27, 31.86)
    found = catalog.BOUNDARIES.table().filterBounds(hefei)
    assert earth.value(found.aggregate_array("shapeName")) == ["Anhui Province"]


def test_a_native_pixel_is_as_wide_as_its_transform_says() -> None:
    radius = 6_378_137.0
    for source in RASTERS:
        if source.transform is not None:
            degrees = source.crs == "EPSG:4326"
            width = np.radians(source.transform[0]) * radius if degrees else source.transform[0]
            assert source.metres == pytest.approx(width, rel=1e-3), source.name


def test_an_unknown_band_is_named_with_those_there_are() -> None:
    assert catalog.LST.band("QC_Day") == Band("QC_Day")
    with pytest.raises(KeyError, match=r"MODIS/061/MOD11A1 has no band LST.*LST_Day_1km"):
        catalog.LST.band("LST")


# --- availability ---------------------------------------------------------------------------------------

ALL = tuple(SOURCES.values())


@pytest.mark.parametrize(
    ("sources", "start", "end"),
    [
        (ALL, "2019-03-12", "2019-11-21"),
        ((catalog.SMAP,), "2015-03-31", "2030-01-01"),
        ((catalog.SMAP_007,), "2015-03-31", "2025-06-27"),
        ((catalog.LAND_COVER, catalog.SRTM, catalog.BOUNDARIES), "1990-01-01", "2031-01-01"),
        ((), "1990-01-01", "1990-01-02"),
    ],
)
def test_a_covered_period_passes(sources: Sequence[Source], start: str, end: str) -> None:
    check_available(sources, dt.date.fromisoformat(start), dt.date.fromisoformat(end))


@pytest.mark.parametrize(
    ("sources", "start", "end", "said", "unsaid"),
    [
        (  # the day before the first
            (catalog.SMAP, catalog.LST), "2015-03-30", "2015-06-01",
            ["smap (NASA/SMAP/SPL4SMGP/008): 2015-03-31 on", "2015-03-30 to 2015-06-01", "first day read"],
            ["MOD11A1"],
        ),
        (  # the day after the last
            (catalog.SMAP_007, catalog.LST), "2025-06-01", "2025-06-28",
            ["SPL4SMGP/007): 2015-03-31 to 2025-06-27", "within 2015-03-31 to 2025-06-27"],
            ["MOD11A1"],
        ),
        (  # several at once
            ALL, "2000-02-20", "2000-03-31",
            ["MOD11A1): 2000-02-24 on", "MCD43A3): 2000-02-24 on", "S1_GRD_FLOAT): 2014-10-03 on",
             "SPL4SMGP/008): 2015-03-31 on", "SPL4SMGP/007)"],
            ["MOD09A1", "MOD15A2H", "CHIRPS", "MCD12Q1", "SRTM", "GLO30", "soilgrids", "geoBoundaries"],
        ),
    ],
)  # fmt: skip
def test_every_source_that_falls_short_is_named(
    sources: Sequence[Source], start: str, end: str, said: list[str], unsaid: list[str]
) -> None:
    with pytest.raises(SettingError) as raised:
        check_available(sources, dt.date.fromisoformat(start), dt.date.fromisoformat(end))
    message = str(raised.value)
    assert [words for words in said if words not in message] == []
    assert [words for words in unsaid if words in message] == []


def test_sources_without_a_common_day_are_told_apart() -> None:
    later = Source("later", "a/later", "", (), None, None, 1, 1, 1, dt.date(2026, 1, 1))
    with pytest.raises(SettingError, match="No day has images of all"):
        check_available([catalog.SMAP_007, later], dt.date(2024, 1, 1), dt.date(2024, 2, 1))


# --- raw values to physical ones --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "band", "dtype", "raw", "expected"),
    [
        (catalog.REFLECTANCE, "sur_refl_b01", "int16", [-28672, -100, 0, 1, 2500, 10_000, 10_001, 16_000],
         [None, None, None, 0.0001, 0.25, 1.0, None, None]),
        (catalog.REFLECTANCE, "DayOfYear", "uint16", [0, 1, 366, 367, 65_535], [None, 1, 366, None, None]),
        (catalog.LST, "LST_Day_1km", "uint16", [0, 7_499, 7_500, 15_000, 65_535],
         [None, None, 150.0, 300.0, 1310.7]),
        (catalog.LAI, "Lai_500m", "uint8", [0, 1, 100, 101, 248, 249, 250, 251, 252, 253, 254, 255],
         [0, 0.1, 10, *[None] * 9]),
        (catalog.ALBEDO, "Albedo_WSA_shortwave", "int16", [-1, 0, 137, 1_000, 1_001, 32_766, 32_767],
         [None, 0, 0.137, 1, None, None, None]),
        (catalog.LAND_COVER, "LC_Type5", "uint8", [0, 5, 11, 12, 255], [0, 5, 11, None, None]),
        (catalog.SMAP, "sm_surface", "float32", [-9999, 0, 0.25, 0.890625, 0.953125],
         [None, 0, 0.25, 0.890625, None]),
        (catalog.SENTINEL1, "VV", "float32", [0.0, 0.0625, 3.5], [0.0, 0.0625, 3.5]),
        (catalog.RAIN, "precipitation", "float32", [-9999, 0, 12.5], [None, 0, 12.5]),
        (catalog.SRTM, "elevation", "int16", [-32_768, -444, 0, 8_806], [None, -444, 0, 8_806]),
        (catalog.SOILGRIDS["silt"], "silt_5-15cm_mean", "int16", [-32_768, 0, 325, 1_000],
         [None, 0, 32.5, 100]),
        (catalog.OPENLANDMAP["clay"], "b10", "uint8", [0, 33, 100, 255], [0, 33, 100, None]),
    ],
    ids=lambda value: value.name if isinstance(value, Source) else None,
)  # fmt: skip
def test_raw_values_become_physical_and_codes_masked(
    earth: Earth, source: Source, band: str, dtype: str, raw: list[float], expected: list[float | None]
) -> None:
    grid = strip(len(raw))
    earth.put_image("a/raw", grid, {band: np.array([raw], dtype)})
    found = earth.pixels(scaled(ee.Image("a/raw"), source, [band]), grid)
    assert list(found) == [band]
    values = [None if masked else value for value, masked in _pairs(found[band])]
    assert [value is None for value in values] == [value is None for value in expected]
    assert [value for value in values if value is not None] == pytest.approx(
        [value for value in expected if value is not None], rel=1e-12
    )


def _pairs(pixels: np.ma.MaskedArray) -> list[tuple[float, bool]]:
    return list(zip(pixels.data.ravel().tolist(), np.ma.getmaskarray(pixels).ravel().tolist(), strict=True))


def test_order_time_properties_and_masks_are_kept(earth: Earth) -> None:
    grid = strip(3)
    blue = np.ma.MaskedArray([[100, 200, 300]], [[True, False, False]], dtype=np.int16)
    red = np.array([[1000, 2000, -50]], np.int16)
    earth.put(
        catalog.REFLECTANCE.id,
        grid,
        [
            (
                "2019-04-07",
                {"sur_refl_b01": red, "sur_refl_b03": blue, "QA": red.astype(np.uint32)},
                {"kept": 7},
            )
        ],
    )
    image = scaled(
        catalog.REFLECTANCE.collection().first(), catalog.REFLECTANCE, ["sur_refl_b03", "sur_refl_b01"]
    )
    found = earth.pixels(image, grid)
    assert list(found) == ["sur_refl_b03", "sur_refl_b01"]
    assert found["sur_refl_b03"].mask.tolist() == [[True, False, False]]
    assert found["sur_refl_b01"].mask.tolist() == [[False, False, True]]
    assert found["sur_refl_b01"].compressed().tolist() == pytest.approx([0.1, 0.2])
    assert earth.value(image.get("kept")) == 7
    assert earth.value(image.date().format("YYYY-MM-dd")) == "2019-04-07"


def test_an_offset_is_in_physical_units_and_bands_without_limits_stay_whole(earth: Earth) -> None:
    celsius = Band("t", factor=0.5, offset=-10, high=40, unit="°C")
    source = Source("made", "a/made", "", (celsius, Band("word")), None, None, 1)
    grid = strip(3)
    earth.put_image(source.id, grid, {"t": np.array([[0, 40, 41]]), "word": np.array([[-5, 0, 2**31 - 1]])})
    found = earth.pixels(scaled(source.image(), source, ["t", "word"]), grid)
    assert found["t"].filled(np.nan).ravel().tolist() == pytest.approx([-10, 10, np.nan], nan_ok=True)
    assert found["word"].filled(-1).tolist() == [[-5, 0, 2**31 - 1]]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=12), st.data())
def test_any_band_with_a_factor_follows_its_row(earth: Earth, raw: list[int], data: st.DataObject) -> None:
    rows = [(source, band) for source in RASTERS for band in source.bands if band.factor != 1]
    source, band = data.draw(st.sampled_from(rows))
    grid = strip(len(raw))
    asset = f"a/raw{len(earth.datasets)}"  # a new one each time: what was read of an asset is remembered
    earth.put_image(asset, grid, {band.name: np.array([raw], np.int32)})
    found = earth.pixels(scaled(ee.Image(asset), source, [band.name]), grid)[band.name]
    assert band.low is not None and band.high is not None
    good = [band.low <= value <= band.high for value in raw]
    assert (~np.ma.getmaskarray(found)).ravel().tolist() == good
    assert found.compressed() == pytest.approx(
        [v * band.factor for v, ok in zip(raw, good, strict=True) if ok]
    )


def test_real_fill_codes_of_leaf_area_are_masked(earth: Earth, shared_data: Path) -> None:
    cube = np.load(shared_data / "lai-arcachon-2004" / "arcachon_lai_2004_cube.npz", allow_pickle=True)
    raw = cube["lai_raw_uint8"].reshape(46 * 81, 81)
    assert {250, 253, 254, 255} <= set(np.unique(raw).tolist())
    grid = RasterGrid("EPSG:32630", (463, 0, 600_000, 0, -463, 4_950_000), 81, 46 * 81)
    earth.put_image("a/lai", grid, {"Lai_500m": raw})
    found = earth.pixels(scaled(ee.Image("a/lai"), catalog.LAI, ["Lai_500m"]), grid)["Lai_500m"]
    codes = np.isin(raw, [249, 250, 251, 252, 253, 254, 255])
    assert (np.ma.getmaskarray(found) == codes).all()
    assert found.max() == pytest.approx(7.0)
