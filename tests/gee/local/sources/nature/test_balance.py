from math import exp

import numpy as np
import pytest
from scipy.optimize import curve_fit

from gee.local.sources.nature import balance
from gee.local.sources.nature.balance import (
    ROOT_MM,
    SURFACE_MM,
    State,
    Weather,
    demand,
    first_state,
    ground,
    step,
)
from gee.local.sources.nature.soil import Texture


def cells(count=400, seed=0):
    random = np.random.default_rng(seed)
    parts = random.dirichlet([2, 3, 2], count).astype(np.float32) * 100
    return ground(
        Texture(*parts.T),
        random.uniform(0, 0.3, count).astype(np.float32),
        random.uniform(-1, 1, count).astype(np.float32),
        random.choice([0, 0.8], count).astype(np.float32),
    )


def loam(valley=0.0, sand=35.0, slope=0.0):
    one = np.ones(1, np.float32)
    silt = (100 - sand) * 0.6
    return ground(
        Texture(one * sand, one * silt, one * (100 - sand - silt)), one * slope, one * valley, one * 0
    )


def run(place, rains, wanted, leaf_area, start=None):
    state = start or first_state(place, np.ones(1, np.float32))
    series = []
    for fallen in rains:
        one = np.ones(1, np.float32)
        state, _ = step(state, place, one * np.float32(fallen), one * wanted, one * leaf_area)
        series.append(float(state.surface[0]) / SURFACE_MM)
    return np.array(series)


def test_what_comes_in_goes_out_or_stays():
    place, random = cells(), np.random.default_rng(3)
    state = first_state(place, random.uniform(0, 3, 400).astype(np.float32))
    for _ in range(200):
        rain = (random.gamma(0.3, 25, 400) * (random.random(400) < 0.3)).astype(np.float32)
        wanted, leaves = random.uniform(0.2, 7, (2, 400)).astype(np.float32)
        after, flux = step(state, place, rain, wanted, leaves)
        lost = flux.interception + flux.runoff + flux.evaporation + flux.transpiration + flux.drainage
        change = after.surface + after.root - state.surface - state.root
        np.testing.assert_allclose(flux.rain + flux.seepage - lost, change, atol=2e-3)
        assert min(part.min() for part in flux) >= 0
        evaporated = flux.interception + flux.evaporation + flux.transpiration
        assert np.all(evaporated <= wanted * 1.001)
        assert np.all(after.surface <= (place.porosity + 1e-3) * SURFACE_MM + 1.2)
        assert after.surface.min() > 0
        assert after.root.min() > 0
        state = after


def test_many_days_are_the_days_one_by_one():
    place, random = cells(), np.random.default_rng(5)
    days = [Weather(*random.uniform(0, (20, 6, 5), (400, 3)).T.astype(np.float32)) for _ in range(30)]
    one = first_state(place, np.ones(400, np.float32))
    for day, state in zip(days, balance.run(one, place, days), strict=True):
        one, _ = step(one, place, day.rain, day.wanted, day.leaf_area)
        np.testing.assert_allclose(state.surface, one.surface, rtol=1e-6)
        np.testing.assert_allclose(state.root, one.root, rtol=1e-6)


def test_limits_are_ordered_and_porosity_is_that_of_cosby():
    place = cells()
    assert np.all(place.wilting < place.capacity)
    assert np.all(place.capacity < place.porosity)
    assert loam(sand=60).porosity[0] == pytest.approx(0.489 - 0.00126 * 60, abs=1e-6)


def test_clay_holds_more_water_than_sand_and_drains_slower():
    sandy, clayey = loam(sand=75), loam(sand=10)
    assert sandy.capacity < clayey.capacity
    assert sandy.drain > clayey.drain


def test_a_wet_soil_dries_exponentially_over_5_to_15_days():
    for sand in (20.0, 40.0, 60.0):
        place = loam(sand=sand)
        start = State(
            place.capacity * np.float32(1.05 * SURFACE_MM), place.capacity * np.float32(0.8 * ROOT_MM)
        )
        series = run(place, np.zeros(30), 3.5, 1.5, start)
        assert np.all(np.diff(series) < 0)
        (_, days, _), _ = curve_fit(
            lambda t, size, days, rest: rest + size * np.exp(-t / days), np.arange(30), series, (0.15, 8, 0.1)
        )
        assert 5 < days < 15, sand


def test_rain_wets_and_more_rain_wets_more():
    levels = [run(loam(), [0] * 8 + [fallen], 3.0, 1.5)[-1] for fallen in (0, 5, 15, 40)]
    assert np.all(np.diff(levels) > 0.005)


def test_valleys_stay_wetter_than_crests_and_slopes_shed_rain():
    rains = ([25] + [0] * 9) * 4
    valley, level, crest = (run(loam(valley=v), rains, 3.0, 2.0)[-1] for v in (1, 0, -1))
    assert valley > level > crest
    one = np.ones(1, np.float32)
    state = first_state(loam(), one)
    steep, flat = (step(state, loam(slope=s), one * 30, one * 3, one * 2)[1].runoff[0] for s in (0.3, 0.0))
    assert steep > flat + 5


def test_heat_dries_faster():
    cool, hot = (run(loam(), np.zeros(10), wanted, 1.5)[-1] for wanted in (1.0, 6.0))
    assert hot < cool - 0.02


def test_demand_is_priestley_taylor():
    radiation, temperature = 220.0, 25.0
    pressure = 0.6108 * exp(17.27 * temperature / (temperature + 237.3))
    slope = 4098 * pressure / (temperature + 237.3) ** 2
    net = (0.62 * radiation - 18) * 86_400 / 1e6  # MJ/m2/day
    expected = 1.26 * slope / (slope + 0.066) * net / 2.45
    got = demand(np.array([radiation], np.float32), np.array([temperature], np.float32))
    assert got[0] == pytest.approx(expected, rel=1e-5)
    assert 3 < got[0] < 6
