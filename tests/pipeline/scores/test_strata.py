"""Strata by hand: which pair lies in which, what a station scores there, and the medians over stations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.scores.stations import Bootstrap
from pipeline.scores.strata import Strata, by_strata

DAYS = pd.date_range("2019-05-01", "2019-08-31")


def simulated(stations: int = 8) -> pd.DataFrame:
    """SMAP is poorer than the map in forest and better in cropland; WN has two days of July alone."""
    rng = np.random.default_rng(1)
    parts = []
    for number in range(stations):
        cover = ("forest", "cropland")[number % 2]
        insitu = rng.uniform(0.1, 0.4, len(DAYS))
        errors = {"forest": (0.01, 0.05), "cropland": (0.05, 0.01)}[cover]
        part = pd.DataFrame(
            {
                "station": f"s{number}", "date": DAYS, "insitu": insitu, "landcover": cover,
                "partition": "HB" if number < stations - 1 else "WN",
                "sm": insitu + rng.normal(0, errors[0], len(DAYS)),
                "smap": insitu + 0.02 + rng.normal(0, errors[1], len(DAYS)),
            }
        )  # fmt: skip
        parts.append(part[part["date"] > "2019-07-29"] if part["partition"].iloc[0] == "WN" else part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return simulated()


@pytest.fixture(scope="module")
def found(pairs: pd.DataFrame) -> Strata:
    return by_strata(pairs, ["sm", "smap"], 10, Bootstrap(draws=200), "smap")


def test_a_station_is_scored_on_its_own_pairs_in_the_stratum(pairs: pd.DataFrame, found: Strata) -> None:
    own = pairs[(pairs["station"] == "s3") & (pairs["date"].dt.month == 6)]
    rows = found.stations.set_index(["kind", "stratum", "station"]).loc[("month", "June", "s3")]
    assert rows["n"] == len(own) == 30
    for name in ("sm", "smap"):
        error = own[name] - own["insitu"]
        assert rows[f"{name}_r"] == pytest.approx(stats.pearsonr(own[name], own["insitu"]).statistic)
        assert rows[f"{name}_spearman"] == pytest.approx(stats.spearmanr(own[name], own["insitu"]).statistic)
        assert rows[f"{name}_bias"] == pytest.approx(error.mean())
        assert rows[f"{name}_rmse"] == pytest.approx(math.sqrt((error**2).mean()))
        assert rows[f"{name}_ubrmse"] == pytest.approx(error.std(ddof=0))


def test_medians_and_paired_differences_are_over_the_stations_of_the_stratum(
    pairs: pd.DataFrame, found: Strata
) -> None:
    ubrmse: dict[str, list[float]] = {"sm": [], "smap": []}
    for _, own in pairs[pairs["landcover"] == "forest"].groupby("station"):
        for name, values in ubrmse.items():
            values.append(float((own[name] - own["insitu"]).std(ddof=0)))
    table = found.table.set_index(["kind", "stratum", "product"])
    row = table.loc[("landcover", "forest", "sm")]
    assert (row["stations"], row["too_few"], row["pairs"]) == (4, 0, 4 * len(DAYS))
    assert row["ubrmse"] == pytest.approx(np.median(ubrmse["sm"]))
    gaps = np.subtract(ubrmse["sm"], ubrmse["smap"])
    assert row["ubrmse_difference"] == pytest.approx(np.median(gaps))
    assert row["ubrmse_difference"] < 0 < table.loc[("landcover", "cropland", "sm"), "ubrmse_difference"]
    assert math.isnan(row["ubrmse_lower"])  # four stations have no interval of their median
    assert math.isnan(table.loc[("landcover", "forest", "smap"), "ubrmse_difference"])
    month = table.loc[("month", "June", "sm")]
    assert month["ubrmse_lower"] <= month["ubrmse"] <= month["ubrmse_upper"]


def test_a_station_with_too_few_pairs_in_a_stratum_is_listed_and_not_scored(found: Strata) -> None:
    stations = found.stations.set_index(["kind", "stratum", "station"])
    row = stations.loc[("month", "July", "s7")]
    assert (row["n"], row["reason"]) == (2, "2 pairs, fewer than 10")
    assert math.isnan(row["sm_r"])
    july = found.table.set_index(["kind", "stratum", "product"]).loc[("month", "July", "sm")]
    assert (july["stations"], july["too_few"], july["pairs"]) == (7, 1, 7 * 31)


def test_strata_stand_in_their_own_order_and_a_kind_of_one_stratum_is_left_out(found: Strata) -> None:
    kinds = found.table.groupby("kind", sort=False)["stratum"].unique()
    assert list(kinds.index) == ["partition", "landcover", "season", "month", "wetness", "outage"]
    assert list(kinds["month"]) == ["May", "June", "July", "August"]
    assert list(kinds["season"]) == ["March to May", "June to August"]
    assert list(kinds["wetness"]) == ["dry", "medium", "wet"]
    assert list(kinds["outage"]) == ["outside the outage", "in the outage"]
    plain = simulated().drop(columns=["landcover"]).assign(partition="HB")
    again = by_strata(plain, ["sm", "smap"], 10, Bootstrap(draws=20), "smap")
    assert {"partition", "landcover"}.isdisjoint(again.table["kind"])


def test_wetness_is_by_thirds_of_each_stations_own_values() -> None:
    values = np.r_[np.arange(1, 31) / 100, np.arange(61, 91) / 100]
    pairs = pd.DataFrame({
        "station": np.repeat(["dry place", "wet place"], 30), "date": np.tile(DAYS[:30], 2),
        "insitu": values, "sm": values + np.tile([0.0, 0.01], 30),
    })  # fmt: skip
    found = by_strata(pairs, ["sm"], 10, Bootstrap(draws=20))
    rows = found.stations[found.stations["kind"] == "wetness"].set_index(["station", "stratum"])
    assert {place: rows.loc[("dry place", place), "n"] for place in ("dry", "medium", "wet")} == {
        "dry": 10, "medium": 10, "wet": 10,
    }  # fmt: skip
    assert rows["n"].tolist() == [10] * 6


def test_the_outage_is_what_the_table_says_and_else_the_days_without_radiometer() -> None:
    pairs = simulated(3).assign(station="a").drop_duplicates("date").reset_index(drop=True)
    silent = by_strata(pairs, ["sm"], 10, Bootstrap(draws=20)).table
    inside = silent[(silent["kind"] == "outage") & (silent["stratum"] == "in the outage")]
    assert inside["pairs"].tolist() == [35]  # 19 June to 23 July 2019, both included
    told = pairs.assign(outage=(pairs["date"].dt.day <= 5))
    spoken = by_strata(told, ["sm"], 10, Bootstrap(draws=20)).table
    inside = spoken[(spoken["kind"] == "outage") & (spoken["stratum"] == "in the outage")]
    assert inside["pairs"].tolist() == [20]


def test_the_order_of_rows_does_not_matter(pairs: pd.DataFrame, found: Strata) -> None:
    mixed = pairs.sample(frac=1, random_state=3).reset_index(drop=True)
    again = by_strata(mixed, ["sm", "smap"], 10, Bootstrap(draws=200), "smap")
    pd.testing.assert_frame_equal(again.table, found.table)
