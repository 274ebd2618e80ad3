from threading import Thread

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from gee.local.sources.nature import moisture
from gee.local.sources.nature.balance import AIR_DRY, BARE_SOIL, BYPASS, LIFT_MM, SURFACE_ROOTS, demand
from gee.local.sources.nature.moisture import (
    CELL,
    COLS,
    NORTH,
    ROWS,
    TILE,
    WEST,
    block,
    cell_centres,
    cell_of,
    site,
    soil_moisture,
    soil_moisture_cells,
    surface_temperature,
    tile_month,
)
from gee.local.sources.nature.terrain import broad_elevation, water
from gee.local.sources.nature.weather import radiation_series, rain_series, temperature_series

TILE_ROW, TILE_COL = 26, 223  # holds 117 E 32 N, west of Hefei
JULY = int(np.datetime64("2019-07-01").astype(int))


def test_the_grid_is_ease_2_at_1_km():
    pyproj = pytest.importorskip("pyproj")
    rows, cols = np.array([0, 3454, 9000, ROWS - 1]), np.array([0, 28650, 17000, COLS - 1])
    to_degrees = pyproj.Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    expected = to_degrees.transform(WEST + (cols + 0.5) * CELL, NORTH - (rows + 0.5) * CELL)
    np.testing.assert_allclose(cell_centres(rows, cols), expected, atol=1e-9)
    lon, lat = cell_centres(rows, cols)
    np.testing.assert_array_equal(cell_of(lon, lat), [rows, cols])


def test_nine_by_nine_cells_make_one_of_the_9_km_grid():
    nine = 9008.055210146  # m, M09 of EASE-Grid 2.0
    assert pytest.approx(nine, abs=1e-6) == 9 * CELL
    assert (ROWS / 9, COLS / 9) == (1624, 3856)


def test_truth_does_not_depend_on_the_order_of_asking():
    rows, cols = np.meshgrid(np.arange(3442, 3470, 7), np.arange(28550, 28670, 9), indexing="ij")
    together = soil_moisture_cells(rows, cols, JULY + 9)
    later = soil_moisture_cells(rows, cols, JULY + 40)
    for cache in (moisture._MOISTURE, moisture._FORCING, moisture._SITES):
        cache.clear()
    np.testing.assert_array_equal(soil_moisture_cells(rows, cols, JULY + 40), later)
    np.testing.assert_array_equal(
        soil_moisture_cells(rows[::-1, 3], cols[::-1, 3], JULY + 9), together[::-1, 3]
    )
    lon, lat = cell_centres(rows[:, 0], cols[0])
    np.testing.assert_array_equal(soil_moisture(*np.meshgrid(lon, lat), JULY + 9), together)


def test_threads_see_the_same_tile():
    seen = []
    threads = [Thread(target=lambda: seen.append(block(TILE_ROW + 1, TILE_COL, 2020, 2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0].shape == (29, TILE, TILE)
    assert all(one is seen[0] for one in seen)


def test_water_cells_and_cells_off_the_grid_are_missing():
    values = block(TILE_ROW, TILE_COL, 2019, 7)
    rows, cols = TILE_ROW * TILE + np.arange(TILE), TILE_COL * TILE + np.arange(TILE)
    wet = water(*np.meshgrid(*cell_centres(rows, cols)))
    assert 0 < wet.mean() < 0.2
    np.testing.assert_array_equal(np.isnan(values), np.broadcast_to(wet, values.shape))
    outside = soil_moisture_cells(np.array([-1, ROWS]), np.array([5, 5]), JULY)
    assert np.isnan(outside).all()


def test_a_cell_follows_the_balance_from_five_months_before():
    """One cell again in plain Python, with its own interpolation of the weather."""
    i, j = 37, 90
    place = site(TILE_ROW, TILE_COL, 2019)
    porosity, capacity, wilting, drain, root_drain, quick, seep = (
        float(getattr(place.ground, name)[i, j])
        for name in ("porosity", "capacity", "wilting", "drain", "root_drain", "quick", "seep")
    )
    days = np.arange(int(np.datetime64("2019-01-01").astype(int)), JULY + 31)
    knots = np.arange(17) * 8 - 0.5
    lon, lat = np.meshgrid(*cell_centres(TILE_ROW * TILE + knots, TILE_COL * TILE + knots))
    temperature = temperature_series(lon, lat, days, broad_elevation(lon, lat))

    def at_cell(nodes):
        return RegularGridInterpolator((knots, knots), np.moveaxis(nodes, 0, -1).astype(float))([[i, j]])[0]

    fallen, wanted = rain_series(lon, lat, days), demand(radiation_series(lon, lat, days), temperature)
    january = days < days[0] + 31
    humidity = float(at_cell((fallen[january].mean(0) / wanted[january].mean(0))[None])[0])
    rain, asked = at_cell(fallen), at_cell(wanted) * float(place.sun[i, j])

    share = min(max(0.2 + 0.5 * humidity, 0), 1)
    surface = 50 * (wilting + share * (capacity - wilting))
    root = 450 * (wilting + share * (capacity - wilting))
    expected = []
    for day, fell, want in zip(days[31:], rain[31:], asked[31:], strict=True):
        before = int(day) // 10 * 10
        early, late = (float(place.canopy.lai(when)[i, j]) for when in (before, before + 10))
        leaves = early + (day - before) / 10 * (late - early)
        held = min(fell, 0.2 * leaves, want)
        fell, want = fell - held, want - held
        wetness = surface / (50 * porosity)
        entering = fell * (1 - min(quick + 0.3 * wetness**2, 0.9))
        surface += entering * (1 - BYPASS * wetness)
        root += entering * BYPASS * wetness
        spill = max(surface - 50 * porosity, 0)
        surface -= spill
        drained = drain * max(surface - 50 * capacity, 0)
        surface -= drained
        root = min(root + spill + drained, 450 * porosity)
        root -= root_drain * max(root - 450 * capacity, 0)

        reach = [
            min(max((w / z - wilting) / (capacity - wilting), 0), 1) for w, z in ((surface, 50), (root, 450))
        ]
        bare, dry = np.exp(-0.5 * leaves), AIR_DRY * 50 * wilting
        moist = min(max((surface - dry) / (50 * capacity - dry), 0), 1)
        surface -= min(BARE_SOIL * want * bare * moist**2, 0.6 * max(surface - dry, 0))
        uptake = want * (1 - bare)
        drunk = min(SURFACE_ROOTS * uptake * min(1.4 * reach[0], 1), 0.5 * max(surface - dry, 0))
        lifted = LIFT_MM * min(max(reach[1] - reach[0], 0), 1)
        surface += lifted - drunk
        root += seep * (1 - reach[1]) - lifted - (1 - SURFACE_ROOTS) * uptake * min(1.4 * reach[1], 1)
        if day >= JULY:
            expected.append((surface / 50, root / 450))
    got = tile_month(TILE_ROW, TILE_COL, 2019, 7)
    np.testing.assert_allclose(got.surface[:, i, j], [pair[0] for pair in expected], atol=2e-4)
    np.testing.assert_allclose(got.root[:, i, j], [pair[1] for pair in expected], atol=2e-4)


def test_months_join_without_a_jump():
    june, july = block(TILE_ROW, TILE_COL, 2019, 6), block(TILE_ROW, TILE_COL, 2019, 7)
    within = np.nanmean(np.abs(np.diff(july, axis=0)))
    start = (2019 - 1970) * 12 + 6
    longer = moisture._integrate(TILE_ROW, TILE_COL, 2019, 7, spin_up=start - (2018 - 1970) * 12)
    assert np.nanmean(np.abs(longer.surface - july)) < 0.1 * within
    assert np.nanmean(np.abs(july[0] - june[-1])) < 4 * within


def test_the_truth_is_distributed_as_soils_are():
    values = np.concatenate([block(TILE_ROW, TILE_COL, 2019, month) for month in range(1, 13)])
    assert 0.22 < np.nanmean(values) < 0.34
    assert np.nanmin(values) >= 0.03
    assert np.nanmax(values) <= 0.55
    land = ~np.isnan(values[0])
    assert 0.03 < values[:, land].std(1).mean() < 0.1
    assert 0.03 < values[:, land].std(0).mean() < 0.1
    blocks = values[:, : 14 * 9, : 14 * 9].reshape(-1, 14, 9, 14, 9)
    assert np.nanmean(np.nanstd(blocks[::30], axis=(2, 4))) > 0.012


def test_truth_answers_to_rain():
    values = np.concatenate([block(TILE_ROW, TILE_COL, 2019, month) for month in range(1, 13)])[:, 10, 100]
    lon, lat = cell_centres(np.array([TILE_ROW * TILE + 10]), np.array([TILE_COL * TILE + 100]))
    first = int(np.datetime64("2019-01-01").astype(int))
    fallen = rain_series(lon, lat, np.arange(first, first + 365))[:, 0]
    rise = np.diff(values)
    assert rise[fallen[1:] > 10].mean() > 0.02
    assert np.mean(rise[fallen[1:] == 0] < 0) > 0.7
    recent = np.convolve(fallen, 0.8 ** np.arange(10))[: fallen.size]
    assert np.corrcoef(recent, values)[0, 1] > 0.5


def test_afternoon_ground_is_hot_where_dry_and_bare():
    lon, lat = np.full(3, 116.5), np.full(3, 33.0)
    height = np.full(3, 30, np.float32)
    dry, wet, leafy = surface_temperature(
        lon,
        lat,
        JULY,
        13.5,
        np.array([0.1, 0.4, 0.1], np.float32),
        np.array([0.3, 0.3, 6], np.float32),
        height,
    )
    assert dry > wet + 3
    assert dry > leafy + 3
    night = surface_temperature(lon[:1], lat[:1], JULY, 1.5, np.array([0.1], np.float32), None, height[:1])
    assert night[0] < wet
