"""The simulated table behaves as land does where that matters, has the canonical columns, and repeats."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.study import Study
from pipeline.tables.samples import read_samples
from tests.simulated_samples import SimulatedRegion, simulate

SIDE, DAYS, STATIONS = 12, 120, 10
PREDICTORS = [
    "ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo", "sand", "silt", "clay", "dem",
    "LC_1", "LC_2", "LC_3", "LC_4", "doy",
]  # fmt: skip
STATIC = ["lon", "lat", "partition", "sand", "silt", "clay", "dem", "LC_1", "LC_2", "LC_3", "LC_4"]
# What such land can have from spring to summer, whatever the sensor.
POSSIBLE = {
    "lon": (114, 120), "lat": (29, 35), "doy": (91, 210), "sm": (0, 0.6), "insitu": (0, 0.7),
    "ndvi": (-0.2, 1), "ndwi": (-1, 1), "nsdsi": (-1, 1), "evi": (-0.2, 1), "vv": (-25, 0), "vh": (-32, -5),
    "lai": (0, 8), "lst": (-10, 60), "albedo": (0.02, 0.5), "dem": (0, 2000),
    "sand": (0, 100), "silt": (0, 100), "clay": (0, 100),
    "LC_1": (0, 1), "LC_2": (0, 1), "LC_3": (0, 1), "LC_4": (0, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def region() -> SimulatedRegion:
    return simulate(SIDE, DAYS, STATIONS, seed=1)


@pytest.fixture(scope="module")
def samples(region: SimulatedRegion) -> pd.DataFrame:
    return region.samples


def spread_over_time(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """Days × cells."""
    return samples.pivot_table(index="date", columns="cell", values=column, dropna=False)


def test_there_is_one_row_for_each_cell_and_day(samples):
    assert len(samples) == SIDE**2 * DAYS
    assert not samples.duplicated(["cell", "date"]).any()
    assert samples["cell"].nunique() == SIDE**2
    assert samples["date"].nunique() == DAYS
    assert samples["date"].max() - samples["date"].min() == pd.Timedelta(days=DAYS - 1)


def test_the_columns_are_gee_smaps_own_and_pass_its_own_reading(samples, tmp_path):
    assert set(samples) == {"cell", "lon", "lat", "date", "partition", "sm", *PREDICTORS}
    assert {str(samples[name].dtype) for name in (*PREDICTORS, "sm")} == {"float32"}
    samples.to_parquet(tmp_path / "samples.parquet")
    read = read_samples(tmp_path / "samples.parquet", Study(name="simulated"), target=True)
    assert len(read.frame) == len(samples)  # no water, no row without a target
    assert sorted(read.features) == sorted(PREDICTORS)
    assert read.notes == ()


@pytest.mark.parametrize("name", POSSIBLE)
def test_values_are_physically_possible(region, name):
    low, high = POSSIBLE[name]
    values = (region.stations if name == "insitu" else region.samples)[name].dropna()
    assert low <= values.min() < values.max() <= high


def test_soil_is_made_of_sand_silt_and_clay_and_a_cell_of_its_land_covers(samples):
    np.testing.assert_allclose(samples["sand"] + samples["silt"] + samples["clay"], 100, rtol=1e-5)
    covers = samples[["LC_1", "LC_2", "LC_3", "LC_4"]].sum(axis=1)
    np.testing.assert_allclose(covers, 1, rtol=1e-5)


def test_the_day_of_the_year_is_that_of_the_date(samples):
    first_of_year = pd.to_datetime(samples["date"].dt.year.astype(str) + "-01-01")
    np.testing.assert_array_equal(samples["doy"], (samples["date"] - first_of_year).dt.days + 1)


def test_what_does_not_change_in_a_season_does_not_change(samples):
    assert not samples.drop_duplicates(["cell", *STATIC]).duplicated("cell").any()


def test_neighbouring_cells_are_about_nine_kilometres_apart(samples):
    km_north = np.diff(np.unique(samples["lat"])) * 111.2
    km_east = np.diff(np.unique(samples["lon"])) * 111.2 * np.cos(np.radians(samples["lat"].mean()))
    assert ((km_north > 8) & (km_north < 11)).all()
    assert ((km_east > 8) & (km_east < 11)).all()


def test_only_what_clouds_and_orbits_hide_has_gaps(samples):
    share = samples.isna().mean()
    assert set(share[share > 0].index) == {"lst", "vv", "vh"}
    sampling = 4 * np.sqrt(0.08 * 0.92 / len(samples))  # four standard errors
    assert share["lst"] == pytest.approx(0.05, abs=sampling)
    assert share["vv"] == pytest.approx(0.08, abs=sampling)
    assert samples["vv"].isna().equals(samples["vh"].isna())  # one radar


def test_soil_moisture_jumps_with_rain_and_dries_slowly_between(samples):
    change = spread_over_time(samples, "sm").mean(axis=1).diff().dropna()
    assert (change < 0).mean() > 0.55
    assert change.max() > 2 * -change.min()


def test_soil_moisture_remembers_days_better_than_weeks(samples):
    mean = spread_over_time(samples, "sm").mean(axis=1)
    near, far = (mean.autocorr(lag) for lag in (1, 30))
    assert near > 0.6
    assert near > far + 0.3


def test_air_cools_with_height_by_about_six_kelvin_a_kilometre(samples):
    by_cell = samples.groupby("cell")[["lst", "dem"]].mean()
    per_metre = np.polyfit(by_cell["dem"], by_cell["lst"], 1)[0]
    assert -0.009 < per_metre < -0.004


@pytest.mark.parametrize(
    ("predictor", "sign"), [("vv", 1), ("vh", 1), ("nsdsi", 1), ("lst", -1), ("albedo", -1)]
)
def test_wet_days_of_a_cell_are_seen_by_the_sensors(samples, predictor, sign):
    """Within a cell and month, where season and terrain stand still: Xu et al. 2024, section 2.3."""
    place_and_time = [samples["cell"], samples["date"].dt.month]
    anomalies = samples[["sm", predictor]] - samples.groupby(place_and_time)[["sm", predictor]].transform(
        "mean"
    )
    assert sign * anomalies["sm"].corr(anomalies[predictor]) > 0.05


def test_partitions_rise_from_plain_to_mountain(samples):
    height = samples.groupby("partition")["dem"].agg(["min", "max"])
    assert set(height.index) == {"plain", "hills", "mountain"}
    assert height.loc["plain", "max"] <= height.loc["hills", "min"]
    assert height.loc["hills", "max"] <= height.loc["mountain", "min"]


def test_stations_stand_in_cells_of_the_table_and_report_every_day(region):
    stations, samples = region.stations, region.samples
    assert list(stations) == ["station", "lon", "lat", "date", "insitu"]
    assert (stations.groupby("station")["date"].nunique() == DAYS).all()
    assert stations["station"].nunique() == STATIONS
    joined = stations.merge(samples, left_on=["station", "date"], right_on=["cell", "date"])
    assert len(joined) == len(stations) == STATIONS * DAYS
    np.testing.assert_array_equal(joined["lon_x"], joined["lon_y"])
    np.testing.assert_array_equal(joined["lat_x"], joined["lat_y"])


def test_a_station_follows_its_cell_with_a_lasting_difference_of_its_own(region):
    joined = region.stations.merge(
        region.samples, left_on=["station", "date"], right_on=["cell", "date"], suffixes=("", "_cell")
    )
    for _, own in joined.groupby("station"):
        assert own["insitu"].corr(own["sm"]) > 0.6
    offset = (joined["insitu"] - joined["sm"]).groupby(joined["station"]).mean()
    assert 0.01 < offset.std() < 0.06
    other = region.samples[region.samples["cell"] == "r0c0"].set_index("date")["sm"]
    assert joined["insitu"].corr(joined["sm"]) > joined["insitu"].corr(joined["date"].map(other))


def test_the_same_seed_makes_the_same_table_and_another_seed_another():
    one, again, other = (simulate(4, 5, 3, seed) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(one.samples, again.samples)
    pd.testing.assert_frame_equal(one.stations, again.stations)
    assert (one.samples["sm"] != other.samples["sm"]).mean() > 0.9
    assert set(one.stations["station"]) != set(other.stations["station"])


@pytest.mark.parametrize(("side", "days", "stations"), [(2, 3, 4), (5, 1, 2)])
def test_small_tables_have_the_size_asked_for(side, days, stations):
    region = simulate(side, days, stations)
    assert len(region.samples) == side**2 * days
    assert len(region.stations) == stations * days
