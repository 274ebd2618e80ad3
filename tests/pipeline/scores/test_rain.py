"""Response to rain: events counted by hand, dry-downs of known time scale, medians beside brute force.

All tables but one are simulated here, and made so that the right answer follows from how they are made; the
last test reads real stations, where deeper probes must answer less, and is skipped where they are absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit
from scipy.stats import binom

from pipeline.errors import DataError
from pipeline.scores.medians import Draws, median, median_of_stations
from pipeline.scores.rain import FILES, QUANTITIES, RainResponse, read, respond
from pipeline.scores.rain_events import Rules, change, dry_down, events, unusable

NAN = math.nan
DAYS = 60
STARTS = (12, 35)  # of the two events at each simulated station
SCALES = {"insitu": 4.0, "sm": 6.0, "smap": 9.0}  # days
HEIGHTS = {"insitu": 0.10, "sm": 0.08, "smap": 0.05}  # m³/m³
FLOORS = {"insitu": 0.20, "sm": 0.22, "smap": 0.15}  # m³/m³


@pytest.fixture(autouse=True, scope="module")
def coarse() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.figures.style.DPI", 40)
        yield


def only(rain: list[float], rules: Rules) -> list[tuple[int, int, int, int]]:
    found = events(np.array(rain, dtype=float), rules)
    return [(one.start, one.heaviest, one.end, one.last) for one in found]


# ---- events ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rain", "expected"),
    [
        pytest.param([0, 0, 12, 0, 0, 0], [(2, 2, 2, 5)], id="one day"),
        pytest.param([0, 0, 10, 0, 0, 0], [], id="not more than 10 mm"),
        pytest.param([0, 0, 2, 11, 30, 5, 0, 0], [(2, 4, 5, 7)], id="consecutive days are one event"),
        pytest.param([0, 0, 20, 0, 15, 0, 0], [(2, 2, 4, 6)], id="one dry day does not part"),
        pytest.param([0, 20, 0, 0, 15, 0, 0], [(1, 1, 1, 3), (4, 4, 4, 6)], id="two dry days part"),
        pytest.param([0, 20, 0.9, 0.9, 15, 0, 0], [(1, 1, 1, 3), (4, 4, 4, 6)], id="0.9 mm is dry"),
        pytest.param([0, 20, 0, 0, 3, 0, 0], [(1, 1, 1, 3)], id="later drizzle is no event, yet ends it"),
        pytest.param([0, 20, NAN, 15, 0, 0], [(1, 1, 1, 1), (3, 3, 3, 5)], id="unknown rain parts"),
        pytest.param([0, 20, 0, NAN, 0, 0], [(1, 1, 1, 2)], id="known dry only until the unknown day"),
        pytest.param([], [], id="no days"),
    ],
)
def test_events_are_spells_with_a_day_of_heavy_rain(
    rain: list[float], expected: list[tuple[int, int, int, int]]
) -> None:
    assert only(rain, Rules()) == expected


def test_a_spell_may_also_count_by_what_fell_altogether() -> None:
    rain = [0, 0, 6, 6, 6, 0, 0, 0, 6, 6, 0, 0]
    assert only(rain, Rules()) == []
    assert only(rain, Rules(total_mm=15)) == [(2, 2, 4, 7)]
    [event] = events(np.array(rain, dtype=float), Rules(total_mm=15))
    assert (event.total_mm, event.largest_mm) == (18, 6)


@pytest.mark.parametrize(
    ("rain", "missing", "reason"),
    [
        ([0, 0, 12, 0, 0, 0, 0], [], ""),
        ([0, 12, 0, 0, 0, 0], [], "rain of the days before"),
        ([NAN, 0, 12, 0, 0, 0, 0], [], "rain of the days before"),
        ([0, 0, 12, 0], [], "rain of the days after"),
        ([0, 0, 12, 0, NAN, 0, 0], [], "rain of the days after"),
        ([0, 0, 12, 0, 0, 0, 0], [0, 1], "no value before"),
        ([0, 0, 12, 0, 0, 0, 0], [1], ""),  # the day before that stands in
        ([0, 0, 12, 0, 0, 0, 0], [3, 4, 5], "no value after"),
        ([0, 0, 12, 0, 0, 0, 0], [3, 4], "too many days"),
        ([0, 0, 12, 0, 0, 0, 0], [6], ""),  # beyond the three days after
    ],
)
def test_an_event_is_used_where_rain_and_values_around_it_are_known(
    rain: list[float], missing: list[int], reason: str
) -> None:
    [event] = events(np.array(rain, dtype=float), Rules())
    common = np.ones(len(rain), dtype=bool)
    common[missing] = False
    found = unusable(event, common, Rules())
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_change_is_read_by_hand() -> None:
    rain = np.array([0, 0, 5, 20, 0, 0, 0, 0, 0], dtype=float)
    values = np.array([0.9, 0.20, 0.22, 0.28, 0.34, 0.30, 0.26, 0.9, 0.9])
    [event] = events(rain, Rules())
    found = change(event, values, np.ones(9, dtype=bool), Rules())
    assert found.before == 0.20
    assert found.change == pytest.approx((0.34 + 0.30 + 0.26) / 3 - 0.20)
    assert found.rise == pytest.approx(0.14)
    assert found.lag == 1  # from the 20 mm, not from the first drops
    falling = change(event, np.linspace(0.3, 0.2, 9), np.ones(9, dtype=bool), Rules())
    assert falling.rise < 0
    assert math.isnan(falling.lag)


# ---- dry-downs -------------------------------------------------------------------------------------------


def after_rain(values: list[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rain on the third day, then these values; and the rain."""
    rain = np.array([0, 0, 12, *[0] * len(values)], dtype=float)
    return rain, np.array([0.2, 0.2, 0.25, *values])


def fitted(values: list[float] | np.ndarray, rules: Rules | None = None):
    rules = rules or Rules()
    rain, series = after_rain(values)
    [event] = events(rain, rules)
    return dry_down(event, series, np.isfinite(series), rules)


@pytest.mark.parametrize("scale", [0.8, 2.0, 5.0, 12.0])
@pytest.mark.parametrize("days", [8, 20])
def test_the_time_scale_of_an_exponential_is_found(scale: float, days: int) -> None:
    found = fitted(0.15 + 0.1 * np.exp(-np.arange(days) / scale))
    assert found.reason == ""
    assert found.scale == pytest.approx(scale, rel=1e-3)
    assert found.r2 == pytest.approx(1, abs=1e-9)
    assert found.days == days


def test_a_noisy_dry_down_is_fitted_as_scipys_least_squares_do() -> None:
    rng = np.random.default_rng(2)
    days = np.arange(15.0)
    values = 0.15 + 0.1 * np.exp(-days / 4) + rng.normal(0, 0.004, 15)
    values[[4, 9]] = NAN
    known = np.isfinite(values)

    def curve(t: np.ndarray, floor: float, height: float, scale: float) -> np.ndarray:
        return floor + height * np.exp(-t / scale)

    best, _ = curve_fit(curve, days[known], values[known], p0=(0.1, 0.1, 3.0))
    residuals = values[known] - curve(days[known], *best)
    found = fitted(values)
    assert found.scale == pytest.approx(best[2], rel=1e-3)
    assert found.r2 == pytest.approx(1 - residuals.var() / values[known].var(), abs=1e-6)
    assert found.days == 13


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.3, 0.25, 0.22, 0.2, 0.19], "fewer than 6"),
        ([0.3] * 8, "not decreasing"),
        (np.linspace(0.2, 0.3, 8), "not decreasing"),
        (np.linspace(0.3, 0.2, 8), "time scale over"),
        ([0.3, 0.2, 0.31, 0.2, 0.3, 0.19, 0.3, 0.19], "R²"),
        ([0.3, *[0.2] * 8], "time scale below"),
        # A jump up that slowly drains: a rising exponential explains 78 % of it, a falling one nothing.
        (0.3 - 0.1 * np.exp(-np.arange(20) / 0.8) - 0.002 * np.arange(20), "R²"),
    ],
)
def test_a_fit_that_does_not_count_says_why(values: list[float], reason: str) -> None:
    found = fitted(values)
    assert reason in found.reason
    assert math.isnan(found.scale)


def test_a_dry_down_ends_with_the_next_rain_and_with_the_longest_that_is_fitted() -> None:
    rules = Rules()
    rain, values = after_rain(0.15 + 0.1 * np.exp(-np.arange(30) / 4))
    [event] = events(rain, rules)
    assert dry_down(event, values, np.isfinite(values), rules).days == 20
    rain[3 + 7] = 2.0  # rain, though no event
    [event] = events(rain, rules)
    assert dry_down(event, values, np.isfinite(values), rules).days == 7


# ---- medians ---------------------------------------------------------------------------------------------


def test_the_interval_of_a_median_draws_whole_stations() -> None:
    rng = np.random.default_rng(1)
    stations = np.repeat([f"S{number}" for number in range(8)], [3, 9, 4, 1, 6, 5, 2, 7])
    values = rng.normal(size=len(stations)) + (stations == "S1") + 2 * (stations == "S4")
    found = median(np.append(values, NAN), np.append(stations, "S0"), Draws(draws=4000))
    assert (found.n, found.stations, found.value) == (37, 8, np.median(values))
    groups = [values[stations == name] for name in np.unique(stations)]
    other = np.random.default_rng(99)
    brute = [np.median(np.concatenate([groups[at] for at in other.integers(8, size=8)])) for _ in range(4000)]
    assert [found.lower, found.upper] == pytest.approx(np.quantile(brute, [0.025, 0.975]), abs=0.08)
    pairs = median(np.tile([0.0, 1.0], 8), np.repeat(np.arange(8), 2).astype(str), Draws())
    assert (pairs.value, pairs.lower, pairs.upper) == (0.5, 0.5, 0.5)  # in whatever stations are drawn
    own = median_of_stations(values, stations, Draws())
    assert own.value == pytest.approx(np.median([np.median(group) for group in groups]))
    assert own.n == 8


def test_the_interval_covers_the_median_of_clustered_events_at_its_nominal_rate() -> None:
    rng = np.random.default_rng(3)
    stations, studies = np.repeat(np.arange(20).astype(str), 10), 200
    hits = 0
    for seed in range(studies):
        values = np.repeat(rng.normal(0, 1, 20), 10) + rng.normal(0, 0.5, 200)  # symmetric about 0
        found = median(values, stations, Draws(draws=300, seed=seed))
        hits += found.lower <= 0 <= found.upper
    assert hits >= binom.ppf(0.001, studies, 0.93)  # percentiles of 20 stations cover a little below 95 %


@pytest.mark.parametrize(("count", "bounded"), [(5, False), (6, True)])
def test_few_stations_give_no_interval_and_say_so(count: int, bounded: bool) -> None:
    found = median(np.arange(float(count)), np.arange(count).astype(str), Draws())
    assert math.isfinite(found.lower) == bounded
    assert bool(found.reason) != bounded
    assert median(np.array([NAN]), np.array(["a"]), Draws()).reason == "no value"


# ---- the whole -------------------------------------------------------------------------------------------


def simulated_station(name: str, seed: int) -> pd.DataFrame:
    """Flat at a floor that differs, but for two events after which each series dries exponentially."""
    days = np.arange(DAYS)
    shift = 0.01 * seed
    columns = {}
    for product, scale in SCALES.items():
        values = np.full(DAYS, FLOORS[product] + shift)
        late = 1 if product == "smap" else 0  # SMAP's peak comes a day later
        for start in STARTS:
            since = days - start - late
            values = np.where(since >= 0, values + HEIGHTS[product] * np.exp(-since / scale), values)
        columns[product] = values
    rain = np.where(np.isin(days, STARTS), 15.0 + seed, 0.0)
    dates = pd.date_range("2019-05-01", periods=DAYS)
    return pd.DataFrame({"station": name, "date": dates, **columns, "rain": rain})


def table(stations: int = 8) -> pd.DataFrame:
    return pd.concat([simulated_station(f"00{seed}", seed) for seed in range(stations)], ignore_index=True)


def written(rows: pd.DataFrame, folder: Path, *, rain: bool = True) -> tuple[Path, Path]:
    extra = [name for name in rows if name not in ("insitu", "rain")]
    rows[extra].assign(simulated=True).to_parquet(folder / "predictions.parquet")
    own = ["station", "date", "insitu", *(["rain"] if rain else [])]
    rows[own].to_csv(folder / "insitu.csv", index=False)
    return folder / "predictions.parquet", folder / "insitu.csv"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RainResponse:
    folder = tmp_path_factory.mktemp("rain")
    told: list[tuple[str, float]] = []
    result = respond(*written(table(), folder), None, folder / "out", report=lambda *what: told.append(what))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {path.name for path in (folder / "out").iterdir()} == set(FILES)
    return result


def test_every_event_of_every_station_is_used(found: RainResponse) -> None:
    assert found.summary["counts"] == {
        "stations": 8, "stations_used": 8, "events": 16, "used": 16, "not_used": {}
    }  # fmt: skip
    row = found.events.iloc[3]
    assert (row["station"], row["start"]) == ("001", pd.Timestamp("2019-05-01") + pd.Timedelta(days=35))
    assert row["total_mm"] == 16
    assert found.summary["simulated"]
    assert "Simulated" in found.notes[0]


@pytest.mark.parametrize("product", ["insitu", "sm"])
def test_time_scales_and_rises_are_those_the_series_were_made_with(found: RainResponse, product: str) -> None:
    scale = found.of("scale", product)
    # What is left of the first event adds 3 % at most to the second's dry-down.
    assert scale.value.value == pytest.approx(SCALES[product], rel=0.03)
    rise = found.of("rise", product)
    assert rise.value.value == pytest.approx(HEIGHTS[product], rel=0.03)
    assert found.of("lag", product).value.value == 0
    first = found.events[found.events["start"] < "2019-05-20"].iloc[0]
    assert first[f"{product}_scale"] == pytest.approx(SCALES[product], rel=1e-3)
    tail = HEIGHTS[product] * np.exp(-np.array([1, 2, 3]) / SCALES[product]).mean()
    assert first[f"{product}_change"] == pytest.approx(tail, rel=1e-5)


def test_products_stand_beside_the_probe_event_by_event(found: RainResponse) -> None:
    for quantity, sign in (("rise", -1), ("scale", 1)):
        gaps = [found.of(quantity, product).difference for product in ("sm", "smap")]
        assert all(gap.apart and np.sign(gap.value) == sign for gap in gaps)
        assert abs(gaps[1].value) > abs(gaps[0].value)
    own = found.events["sm_rise"] - found.events["insitu_rise"]
    assert found.of("rise", "sm").difference.value == pytest.approx(own.median(), rel=1e-4)
    nearer = (found.events["sm_rise"] - found.events["insitu_rise"]).abs()
    nearer -= (found.events["smap_rise"] - found.events["insitu_rise"]).abs()
    beside = found.of("rise", "sm").beside_smap
    assert beside.value == pytest.approx(nearer.median(), rel=1e-4)
    assert beside.upper < 0
    assert found.of("lag", "smap").difference.value == 1
    assert found.of("rise", "smap").beside_smap is None
    assert found.of("rise", "insitu").difference is None


def test_the_composite_is_the_mean_course_less_the_value_before(found: RainResponse) -> None:
    course = found.summary["composite"]
    rows = table()
    day = course["days"].index(2)
    expected = [
        own["sm"].iloc[start + 2] - own["sm"].iloc[start - 1]
        for _, own in rows.groupby("station") for start in STARTS
    ]  # fmt: skip
    assert course["products"]["sm"]["mean"][day] == pytest.approx(np.mean(expected))
    assert course["products"]["sm"]["q25"][day] == pytest.approx(np.quantile(expected, 0.25))
    assert course["n"] == [16] * 21
    assert course["rain"][course["days"].index(0)] == pytest.approx(15 + 3.5)
    assert (course["days"][0], course["days"][-1]) == (-5, 15)


def test_what_was_written_is_read_back(found: RainResponse, tmp_path: Path) -> None:
    assert read(tmp_path) is None
    result = respond(*written(table(), tmp_path), None, tmp_path / "out")
    again = read(tmp_path / "out")
    assert again is not None
    assert again.responses == result.responses == found.responses
    pd.testing.assert_frame_equal(again.events, found.events)
    assert set(again.pictures) == {"composite.png", "composite.svg", "series.png", "series.svg"}
    record = json.loads((tmp_path / "out" / "rain.json").read_text(encoding="utf-8"))
    assert set(record) == set(again.as_dict())
    (tmp_path / "out" / "events.csv").write_text("station\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged.*look at rain again"):
        read(tmp_path / "out")


def test_events_are_the_same_for_all_products(tmp_path: Path) -> None:
    rows = table()
    rows.loc[(rows["station"] == "002") & rows["date"].between("2019-05-11", "2019-05-12"), "smap"] = NAN
    found = respond(*written(rows, tmp_path), None, tmp_path / "out", draws=50)
    assert found.summary["counts"]["not_used"] == {"no value before": 1}
    assert {one.value.n for one in found.responses if one.quantity == "change"} == {15}
    assert "no value before, 1" in " ".join(found.notes)


def test_the_composite_is_of_the_same_days_for_all_products(tmp_path: Path) -> None:
    rows = table()
    late = (rows["station"] == "002") & (rows["date"] == "2019-05-23")  # the tenth day after the first rain
    rows.loc[late, "smap"] = NAN
    found = respond(*written(rows, tmp_path), None, tmp_path / "out", draws=50)
    course = found.summary["composite"]
    day = course["days"].index(10)
    assert (course["n"][day], course["n"][day + 1]) == (15, 16)
    expected = [
        own["sm"].iloc[start + 10] - own["sm"].iloc[start - 1]
        for station, own in rows.groupby("station") for start in STARTS if (station, start) != ("002", 12)
    ]  # fmt: skip
    assert course["products"]["sm"]["mean"][day] == pytest.approx(np.mean(expected), abs=1e-9)
    assert course["products"]["sm"]["q75"][day] == pytest.approx(np.quantile(expected, 0.75), abs=1e-9)


def test_a_product_that_has_few_values_is_left_out_not_the_events(tmp_path: Path) -> None:
    rows = table().assign(smci=lambda rows: rows["sm"].where(rows["station"] == "003"), percent=31.0)
    found = respond(*written(rows, tmp_path), None, tmp_path / "out", draws=50)
    assert found.summary["products"] == ["sm", "smap"]
    assert found.summary["counts"]["used"] == 16
    notes = " ".join(found.notes)
    assert "SMCI1.0 has values in 2 of 16 events and is left out" in notes
    assert "480 of 480 values outside" in notes


def test_a_stations_own_rain_goes_before_the_rain_looked_up(tmp_path: Path) -> None:
    rows = table()
    asked = rows[["station", "date"]].assign(rain=0.0, simulated=False)
    asked.loc[asked["date"] == "2019-05-25", "rain"] = 40.0
    rows.loc[rows["station"].isin(["000", "001"]), "rain"] = NAN
    found = respond(*written(rows, tmp_path), asked, tmp_path / "out", draws=50)
    assert found.summary["rain"] == {"own": 6, "asked": 2, "none": 0}
    starts = found.events.groupby("station")["start"].apply(list)
    assert starts["000"] == [pd.Timestamp("2019-05-25")]
    assert starts["005"] == [pd.Timestamp("2019-05-13"), pd.Timestamp("2019-06-05")]
    for bad, told in (({"rain": -1.0}, "below 0"), ({"station": "000", "date": "2019-05-01"}, "twice")):
        with pytest.raises(DataError, match=told):
            respond(*written(rows, tmp_path), asked.assign(**bad), tmp_path / "out")


@pytest.mark.parametrize(
    ("rain", "told"), [(None, "The rain of none of the 8 stations is known"), (2.0, "There is no event")]
)
def test_without_rain_or_events_there_is_a_note_and_no_error(
    tmp_path: Path, rain: float | None, told: str
) -> None:
    rows = table().assign(rain=rain)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "composite.png").write_bytes(b"of an earlier run")
    found = respond(*written(rows, tmp_path, rain=rain is not None), None, tmp_path / "out")
    assert told in found.notes[-1]
    assert found.responses == ()
    assert len(found.events) == 0
    assert "composite.png" not in found.pictures
    assert not (tmp_path / "out" / "composite.png").exists()
    assert ("series.png" in found.pictures) == (rain is not None)


def test_sparse_sampling_has_no_usable_event(tmp_path: Path) -> None:
    rows = table()
    rows.loc[rows["date"].dt.day % 10 != 1, "insitu"] = NAN
    found = respond(*written(rows, tmp_path), None, tmp_path / "out")
    assert found.responses == ()
    assert "No event can be used" in " ".join(found.notes)


def test_faults_of_both_tables_are_told_at_once(tmp_path: Path) -> None:
    rows = table(2)
    rows["sm"] *= 100
    rows["rain"] = -9999
    with pytest.raises(DataError) as raised:
        respond(*written(rows, tmp_path), None, tmp_path / "out")
    assert "sm: 120 of 120 values outside" in str(raised.value)
    assert "rain: 120 of 120 values outside" in str(raised.value)
    assert not (tmp_path / "out").exists()
    apart = table(2)
    paths = written(apart, tmp_path)
    apart.assign(station="elsewhere", date=pd.date_range("2019-05-01", periods=120))[
        ["station", "date", "insitu"]
    ].to_csv(paths[1], index=False)
    with pytest.raises(DataError, match="no station is in both"):
        respond(*paths, None, tmp_path / "out")


def test_real_probes_answer_less_the_deeper_they_are(shared_data: Path, tmp_path: Path) -> None:
    real = pd.read_parquet(shared_data / "uscrn-2020" / "crn_2020.parquet")
    real = real[real["lst_date"].between("2020-04-01", "2020-10-31")]
    depths = {"insitu": 5, "sm": 10, "smap": 20, "deepest": 50}
    rows = pd.DataFrame({"station": real["wban"], "date": real["lst_date"], "rain": real["p_daily_calc"]})
    for name, depth in depths.items():
        rows[name] = real[f"soil_moisture_{depth}_daily"]
    rows = rows.reset_index(drop=True)
    found = respond(*written(rows, tmp_path), None, tmp_path / "out", draws=200)
    for quantity in ("change", "rise"):
        medians = [found.of(quantity, name).value.value for name in depths]
        assert medians == sorted(medians, reverse=True)
    assert found.of("change", "sm").difference.upper < 0
    assert set(QUANTITIES) == {one.quantity for one in found.responses}
    row = found.events[found.events["reason"] == ""].iloc[7]
    own = rows[rows["station"] == row["station"]].set_index("date")["rain"]
    assert own[row["start"] : row["end"]].sum() == pytest.approx(row["total_mm"], abs=1e-3)
    assert own[row["heaviest"]] == own[row["start"] : row["end"]].max() > 10
    day = pd.Timedelta(days=1)
    assert (own[row["start"] - 2 * day : row["start"] - day] < 1).all()
