import numpy as np
import pytest

from gee.local.sources.nature.weather import (
    air_temperature,
    cloud_fraction,
    cloudy,
    extraterrestrial,
    radiation,
    rain,
    rain_series,
    temperature_series,
)


def day_of(date):
    return int(np.datetime64(date, "D").astype(int))


DAYS = np.arange(day_of("2015-01-01"), day_of("2025-01-01"))
MONTHS = DAYS.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12 + 1
LON, LAT = np.meshgrid(np.linspace(115.5, 118.5, 4), [29.8, 31.8, 33.2, 34.6])
RAIN = rain_series(LON, LAT, DAYS)


def test_rain_of_a_place_and_day_does_not_depend_on_what_is_asked_with_it():
    lon, lat = np.meshgrid(np.linspace(116, 117, 40), np.linspace(32, 31, 40))
    day = day_of("2019-07-03")
    window = rain(lon, lat, day)
    assert window.max() > 0
    np.testing.assert_array_equal(rain(lon[5:7, ::7], lat[5:7, ::7], day), window[5:7, ::7])
    np.testing.assert_array_equal(rain_series(lon, lat, np.arange(day - 3, day + 3))[3], window)
    assert rain(lon[8, 8:9], lat[8, 8:9], day)[0] == window[8, 8]


@pytest.mark.parametrize(("row", "low", "high"), [(0, 1500, 2000), (1, 900, 1200), (3, 600, 850)])
def test_annual_rain_grows_southward_as_over_anhui(row, low, high):
    assert low < RAIN[:, row].mean() * 365.2425 < high


def test_rain_peaks_with_the_meiyu_and_winters_are_dry():
    monthly = np.array([RAIN[month == MONTHS].mean((0, 2)) for month in range(1, 13)])
    assert set(monthly[:, 1].argsort()[-2:] + 1) == {6, 7}
    assert monthly[:, 0].argmax() + 1 == 6
    assert monthly[:, 3].argmax() + 1 in (7, 8)
    assert np.all(monthly[[0, 11]] < 0.35 * monthly.max(0))


def test_wet_days_come_in_spells_and_a_quarter_to_a_third_of_days_are_wet():
    wet = RAIN > 0.1
    share = wet.mean((0, 2))
    assert np.all((share > 0.18) & (share < 0.42))
    after_wet = (wet[1:] & wet[:-1]).sum() / wet[:-1].sum()
    assert after_wet > 1.3 * share.mean()
    assert 150 < RAIN.max() < 250


def test_rain_hangs_together_over_some_50_km_and_moves_east():
    lon, lat = np.meshgrid(116 + np.arange(0, 6.4, 0.1), [31.5, 32.5, 33.5])
    days = DAYS[(MONTHS > 4) & (MONTHS < 9)][:600]
    wet = (rain_series(lon, lat, days) > 0.5).astype(float)

    def agreement(degrees):
        steps = round(degrees / 0.1)
        return np.corrcoef(wet[..., :-steps].ravel(), wet[..., steps:].ravel())[0, 1]

    assert agreement(0.1) > 0.75
    assert agreement(0.1) > agreement(0.5) > agreement(2.0) + 0.1

    def next_day(steps):
        today, tomorrow = wet[:-1], wet[1:]
        one, other = (
            (today[..., :-steps], tomorrow[..., steps:])
            if steps > 0
            else (today[..., -steps:], tomorrow[..., :steps])
        )
        return np.corrcoef(one.ravel(), other.ravel())[0, 1]

    assert next_day(20) > next_day(-20) + 0.05


def test_years_differ():
    annual = np.array([RAIN[k * 365 : (k + 1) * 365, 1].sum(0).mean() for k in range(10)])
    assert 0.08 < annual.std() / annual.mean() < 0.4


def test_clouds_hide_the_share_of_the_sky_that_mod11a1_misses():
    lon, lat = np.meshgrid(np.linspace(115.2, 119.2, 9), np.linspace(30, 34.4, 9))
    share = {}
    for months in ((6, 7), (9, 10, 11)):
        days = DAYS[np.isin(MONTHS, months)][::7]
        share[months] = np.mean([cloudy(lon, lat, int(day), hour) for day in days for hour in (10.5, 22.5)])
    assert 0.60 < share[6, 7] < 0.75
    assert 0.38 < share[9, 10, 11] < 0.52


def test_some_places_stay_cloudy_for_eight_days_in_the_meiyu_and_hardly_any_in_autumn():
    lon, lat = np.meshgrid(np.linspace(115.2, 119.2, 7), np.linspace(30, 34.4, 7))
    share = {}
    for first in ("06-10", "06-18", "06-26", "07-04", "10-08", "10-16"):
        starts = [day_of(f"{year}-{first}") for year in range(2015, 2025)]
        hidden = [[cloudy(lon, lat, start + day, 10.5) for day in range(8)] for start in starts]
        share.setdefault(first < "08", []).append(np.all(hidden, axis=1).mean())
    assert 0.08 < np.mean(share[True]) < 0.25
    assert np.mean(share[False]) < 0.05


def test_rainy_days_are_cloudy_and_cloud_fraction_tells_the_share():
    lon, lat = np.meshgrid(np.linspace(115.2, 119.2, 20), np.linspace(30, 34.4, 20))
    days = DAYS[::53]
    hidden = np.array([cloudy(lon, lat, int(day), 12.0) for day in days])
    fraction = np.array([cloud_fraction(lon, lat, int(day)) for day in days])
    fallen = rain_series(lon, lat, days)
    assert hidden[fallen > 2].mean() > 0.8 > 0.5 > hidden[fallen == 0].mean()
    for low in (0.1, 0.4, 0.7):
        some = (fraction > low) & (fraction < low + 0.2)
        assert hidden[some].mean() == pytest.approx(fraction[some].mean(), abs=0.1)


def test_clouds_have_edges_of_a_few_kilometres_and_move_within_the_day():
    lon, lat = np.meshgrid(116 + np.arange(200) * 0.01, 31 + np.arange(60) * 0.01)
    morning, noon = cloudy(lon, lat, day_of("2019-09-20"), 10.5), cloudy(lon, lat, day_of("2019-09-20"), 13.5)
    assert 0.05 < morning.mean() < 0.95
    assert np.mean(morning[:, 1:] != morning[:, :-1]) < 0.1
    assert np.mean(morning != noon) > 0.05
    np.testing.assert_array_equal(
        morning[7:9, 50:90], cloudy(lon[7:9, 50:90], lat[7:9, 50:90], day_of("2019-09-20"), 10.5)
    )


def test_air_cools_5_5_kelvin_for_each_kilometre_up():
    lon, lat = np.full(3, 117.0), np.full(3, 31.0)
    heights = np.array([0, 1000, 1800], np.float32)
    cooled = air_temperature(lon, lat, 18_000, heights)
    np.testing.assert_allclose(cooled[0] - cooled, [0, 5.5, 9.9], atol=1e-4)


def test_temperature_has_the_seasons_of_hefei():
    series = temperature_series(np.array([117.25]), np.array([31.83]), DAYS, np.array([30], np.float32))[:, 0]
    assert series[MONTHS == 1].mean() == pytest.approx(2.8, abs=2)  # climate normal of Hefei, January
    assert series[MONTHS == 7].mean() == pytest.approx(28.3, abs=2)
    assert 1.5 < np.diff(series).std() < 4


def test_radiation_above_the_atmosphere_is_that_of_fao_56():
    days = np.array(day_of("2019-09-03"))
    expected = 32.2e6 / 86_400  # FAO-56 example 8: 20 S, 3 September
    assert extraterrestrial(np.array([-20.0]), days)[0] == pytest.approx(expected, rel=0.01)
    assert extraterrestrial(np.array([85.0]), np.array(day_of("2019-12-21")))[0] == 0


def test_clouds_dim_the_sun():
    lon, lat = np.meshgrid(np.linspace(112, 122, 40), np.full(3, 32.0))
    day = day_of("2019-05-04")
    clear = extraterrestrial(lat, np.array(day))
    share = radiation(lon, lat, day) / clear
    assert share.min() > 0.24
    assert share.max() < 0.76
    assert np.corrcoef(share.ravel(), cloud_fraction(lon, lat, day).ravel())[0, 1] < -0.99
