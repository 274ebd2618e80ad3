"""Soil and terrain by hand, on assets in the form of each source."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest

from gee import grids, statics
from gee.errors import SettingError
from gee.local.errors import EngineError
from gee.local.sources.dataset import RasterGrid

STEP = 1 / 480
GRID = RasterGrid("EPSG:4326", (STEP, 0.0, 117.0, 0.0, -STEP, 32.0), 3, 1)
ASSET = "projects/someone/assets/hwsd"


def row(*values: float) -> Any:
    return np.ma.masked_invalid(np.array([values], np.float64))


def put_soilgrids(earth: Any, part: str, layers: list[Any]) -> None:
    names = ("0-5cm", "5-15cm", "15-30cm", "30-60cm", "60-100cm", "100-200cm")
    bands = {f"{part}_{name}_mean": layer for name, layer in zip(names, layers, strict=True)}
    earth.put_image(f"projects/soilgrids-isric/{part}_mean", GRID, bands)


def test_soilgrids_weighs_its_layers_by_thickness_down_to_30_cm(earth: Any) -> None:
    deep = [row(999, 999, 999)] * 3
    put_soilgrids(earth, "sand", [row(300, 400, np.nan), row(360, 400, 300), row(420, 400, 300), *deep])
    put_soilgrids(earth, "silt", [row(400, 350, 400)] * 6)
    put_soilgrids(earth, "clay", [row(300, 250, 300), row(240, 250, 300), row(180, 250, -32768), *deep])
    found = earth.pixels(statics.soil(), GRID)
    assert list(found) == ["sand", "silt", "clay"]
    # (5 x 30 + 10 x 36 + 15 x 42) / 30 = 38 %; a missing layer leaves nothing to weigh.
    assert found["sand"][0, :2].tolist() == pytest.approx([38, 40])
    assert found["sand"].mask.tolist() == [[False, False, True]]
    assert found["silt"][0].tolist() == pytest.approx([40, 35, 40])
    assert found["clay"][0, :2].tolist() == pytest.approx([22, 25])
    assert found["clay"].mask.tolist() == [[False, False, True]]


def test_openlandmap_takes_trapezoids_between_its_depths_and_silt_is_the_rest(earth: Any) -> None:
    sand = {"b0": row(60, 20, 50), "b10": row(40, 20, 50), "b30": row(20, 20, 50)}
    clay = {"b0": row(10, 30, 255), "b10": row(20, 30, 40), "b30": row(40, 30, 40)}
    for part, bands in (("SAND", sand), ("CLAY", clay)):
        deep = {name: row(99, 99, 99) for name in ("b60", "b100", "b200")}
        earth.put_image(f"OpenLandMap/SOL/SOL_{part}-WFRACTION_USDA-3A1A1A_M/v02", GRID, {**bands, **deep})
    found = earth.pixels(statics.soil("openlandmap"), GRID)
    assert list(found) == ["sand", "silt", "clay"]
    depths = np.array([0.0, 10.0, 30.0])
    for pixel in (0, 1):
        means = {
            part: np.trapezoid([float(bands[band][0, pixel]) for band in ("b0", "b10", "b30")], depths) / 30
            for part, bands in (("sand", sand), ("clay", clay))
        }
        assert found["sand"][0, pixel] == pytest.approx(means["sand"])
        assert found["clay"][0, pixel] == pytest.approx(means["clay"])
        assert found["silt"][0, pixel] == pytest.approx(100 - means["sand"] - means["clay"])
    assert [found[part].mask[0, 2] for part in ("sand", "silt", "clay")] == [False, True, True]


@pytest.mark.parametrize(
    "names", [("sand", "silt", "clay"), ("T_SAND", "T_SILT", "T_CLAY"), ("SAND", "SILT", "CLAY")]
)
def test_an_asset_is_taken_under_any_usual_name(earth: Any, names: tuple[str, ...]) -> None:
    values = (row(39, 0, 20), row(40, 0, -1), row(21, 0, 80))
    bands = dict(zip(reversed(names), reversed(values), strict=True))
    earth.put_image(ASSET, GRID, {"T_GRAVEL": row(1, 1, 1), **bands, "S_SAND": row(7, 7, 7)})
    found = earth.pixels(statics.soil(ASSET), GRID)
    assert [found[part][0, 0] for part in ("sand", "silt", "clay")] == [39, 40, 21]
    # Lakes are three zeros and fill is negative: neither is soil.
    assert all(found[part].mask.tolist() == [[False, True, True]] for part in ("sand", "silt", "clay"))


def test_an_asset_in_other_units_is_masked_rather_than_believed(earth: Any) -> None:
    earth.put_image(ASSET, GRID, {"sand": row(390, 4, 30), "silt": row(400, 4, 40), "clay": row(210, 2, 30)})
    assert earth.pixels(statics.soil(ASSET), GRID)["clay"].mask[0].tolist() == [True, False, False]


def test_an_asset_without_silt_is_an_error_that_shows_its_bands(earth: Any) -> None:
    earth.put_image(ASSET, GRID, {"sand": row(39, 0, 20), "clay": row(21, 0, 80)})
    with pytest.raises(EngineError, match=r"silt.*\[sand, clay\]"):
        earth.pixels(statics.soil(ASSET), GRID)


@pytest.mark.parametrize(
    ("source", "said"),
    [("hwsd", 'set soil = "soilgrids"'), ("hwds", 'no source "hwds". Choose soilgrids or openlandmap')],
)
def test_soils_that_cannot_be_had_are_refused_with_an_offer(source: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        statics.soil(source)


def test_the_simulated_soils_are_whole_and_alike(earth: Any) -> None:
    here = RasterGrid("EPSG:4326", (STEP, 0.0, 117.0, 0.0, -STEP, 31.9), 12, 12)
    soils = [earth.pixels(statics.soil(source), here) for source in ("soilgrids", "openlandmap")]
    for found in soils:
        total = found["sand"] + found["silt"] + found["clay"]
        assert total.count() > 100
        assert np.abs(total - 100).max() < 0.2
    for part in ("sand", "silt", "clay"):
        assert np.abs(soils[0][part] - soils[1][part]).max() < 2.5


def test_srtm_is_in_metres_without_its_fill(earth: Any) -> None:
    earth.put_image("CGIAR/SRTM90_V4", GRID, {"elevation": np.array([[-32768, -3, 1841]], np.int16)})
    assert earth.pixels(statics.elevation(), GRID)["dem"].tolist() == [[None, -3, 1841]]


def test_glo30_is_one_image_with_a_grid_of_its_own(earth: Any) -> None:
    size = 12
    grid = RasterGrid(
        "EPSG:4326", (1 / 3600, 0.0, 117 - 0.5 / 3600, 0.0, -1 / 3600, 32 + 0.5 / 3600), size, size
    )
    heights = np.arange(size * size, dtype=np.float64).reshape(size, size)
    west, east = np.arange(size) < 6, np.arange(size) >= 6
    tiles = [np.ma.array(heights, mask=np.broadcast_to(~half, heights.shape)) for half in (west, east)]
    earth.put("COPERNICUS/DEM/GLO30_2024_1", grid, [("2015-01-01", {"DEM": tile}) for tile in tiles])
    dem = statics.elevation("glo30")
    assert np.allclose(earth.pixels(dem, grid)["dem"], heights)
    projection = earth.value(dem.projection())
    assert projection["crs"] == "EPSG:4326"
    # Half a pixel off whole degrees, so that the tile's own grid lies on it.
    step, _, west, _, down, north = projection["transform"]
    assert (step, down) == pytest.approx((1 / 3600, -1 / 3600))
    assert [(grid.transform[2] - west) / step, (north - grid.transform[5]) / step] == pytest.approx(
        [(117 + 180) * 3600, (90 - 32) * 3600]
    )
    coarse = RasterGrid(grid.crs, (6 / 3600, 0.0, grid.transform[2], 0.0, -6 / 3600, grid.transform[5]), 2, 2)
    projection = ee.Projection(coarse.crs, list(coarse.transform))
    mean = dem.reduceResolution(ee.Reducer.mean(), maxPixels=100).reproject(projection)
    blocks = heights.reshape(2, 6, 2, 6).mean(axis=(1, 3))
    assert np.allclose(earth.pixels(mean, coarse)["dem"], blocks, atol=1e-3)


def test_the_simulated_elevations_are_one_terrain_across_the_corner_of_four_tiles(earth: Any) -> None:
    corner = grids.fine_grid((116.95, 31.95, 117.05, 32.05))
    here = RasterGrid(str(corner.crs), tuple(grids.crs_transform(corner)), corner.width, corner.height)
    ground, surface = (
        earth.pixels(
            grids.aggregated(statics.elevation(name), corner, metres=statics.elevation_metres(name)), here
        )
        for name in ("srtm", "glo30")
    )
    assert surface["dem"].count() == ground["dem"].count() == corner.width * corner.height
    above = surface["dem"] - ground["dem"]
    # Trees stand 5 m and roofs 1.6 m above the ground; SRTM is in whole metres.
    assert above.min() > -0.6
    assert above.max() < 5.6


def test_an_unknown_elevation_is_refused() -> None:
    with pytest.raises(SettingError, match="Choose srtm or glo30"):
        statics.elevation("aster")  # type: ignore[arg-type]


def test_the_slope_of_a_plane_is_its_angle(earth: Any) -> None:
    grid = RasterGrid("EPSG:32650", (100.0, 0.0, 400_000.0, 0.0, -100.0, 3_600_000.0), 9, 9)
    # Rises 3 m for every 100 m east and 4 m for every 100 m south: 5 m in 100 m.
    heights = np.add.outer(4.0 * np.arange(9), 3.0 * np.arange(9))
    earth.put_image("made/plane", grid, {"elevation": heights})
    found = earth.pixels(statics.slope(ee.Image("made/plane")), grid)["slope"]
    assert found[1:-1, 1:-1].compressed() == pytest.approx(np.degrees(np.arctan(0.05)), rel=1e-3)


def test_pixel_sizes_follow_the_source() -> None:
    assert statics.soil_metres("soilgrids") == statics.soil_metres("openlandmap") == 250
    assert statics.soil_metres(ASSET) < 100
    assert statics.elevation_metres("srtm") == pytest.approx(92.8, abs=0.1)
    assert statics.elevation_metres("glo30") == pytest.approx(30.9, abs=0.1)
