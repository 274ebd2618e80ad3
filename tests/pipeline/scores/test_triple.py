"""Triple collocation beside pytesmo, errors that are known because they were added, and what is refused.

Triplets are simulated here: one truth that remembers for days, three products that scale it and add errors of
their own. The pair of ASCAT and ISMN is real, and skipped where it is absent.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pytesmo.metrics import tcol_metrics
from scipy.stats import binom

from pipeline.errors import ConfigError, DataError
from pipeline.scores.families import FAMILIES, dependent
from pipeline.scores.triple import FILES, TripleCollocation, collocate, read
from pipeline.tables.titles import TITLES

NAN = math.nan
ERRORS = {"insitu": 0.02, "sm": 0.03, "ascat": 0.04}  # m³/m³, in each one's own range
GAINS = {"insitu": 1.0, "sm": 0.8, "ascat": 1.2}
TRUTH = 0.06  # m³/m³, standard deviation
PRODUCTS = tuple(ERRORS)


@pytest.fixture(autouse=True, scope="module")
def coarse() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.figures.style.DPI", 40)
        yield


def remembering(rng: np.random.Generator, days: int, memory: float, spread: float) -> np.ndarray:
    """A first-order autoregressive series of this standard deviation."""
    steps = rng.normal(size=days) * spread * np.sqrt(1 - memory**2)
    values = np.empty(days)
    values[0] = rng.normal() * spread
    for day in range(1, days):
        values[day] = memory * values[day - 1] + steps[day]
    return values


def simulated_station(name: str, seed: int, days: int = 210, memory: float = 0.4) -> pd.DataFrame:
    """``memory`` is that of the errors from one day to the next; the truth's is 0.8."""
    rng = np.random.default_rng(seed)
    truth = 0.25 + remembering(rng, days, 0.8, TRUTH)
    columns = {
        product: 0.01 + GAINS[product] * truth + remembering(rng, days, memory, error)
        for product, error in ERRORS.items()
    }
    return pd.DataFrame({"station": name, "date": pd.date_range("2019-04-01", periods=days), **columns})


def table(stations: int = 12, days: int = 210) -> pd.DataFrame:
    return pd.concat([simulated_station(f"{seed:03d}", seed, days) for seed in range(stations)])


def written(rows: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    rows.drop(columns="insitu").assign(simulated=True).to_parquet(folder / "predictions.parquet")
    rows[["station", "date", "insitu"]].to_csv(folder / "insitu.csv", index=False)
    return folder / "predictions.parquet", folder / "insitu.csv"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TripleCollocation:
    folder = tmp_path_factory.mktemp("triple")
    told: list[float] = []
    result = collocate(
        *written(table(), folder), folder / "out", independent=("ascat",), draws=200,
        report=lambda what, share: told.append(share),
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == 1
    assert {path.name for path in (folder / "out").iterdir()} == set(FILES)
    return result


# ---- numbers ---------------------------------------------------------------------------------------------


def test_numbers_are_pytesmos(found: TripleCollocation) -> None:
    assert found.products == PRODUCTS
    rows = table()
    for station in ("000", "007"):
        own = rows[rows["station"] == station]
        snr, error, beta = tcol_metrics(*(own[name].to_numpy() for name in PRODUCTS))
        mine = [one for one in found.errors if one.station == station]
        assert [one.product for one in mine] == list(PRODUCTS)
        assert [one.error.value for one in mine] == pytest.approx(error, rel=1e-4)
        assert [one.snr_db.value for one in mine] == pytest.approx(snr, rel=1e-4)
        assert [one.beta.value for one in mine] == pytest.approx(beta, rel=1e-4)
        covariances = np.cov([own[name] for name in PRODUCTS])
        # R² of a product with the truth, by its own formula (McColl et al. 2014).
        r = np.sqrt(covariances[1, 0] * covariances[1, 2] / covariances[0, 2] / covariances[1, 1])
        assert mine[1].r.value == pytest.approx(r, rel=1e-4)
        assert mine[1].own_error == pytest.approx(mine[1].error.value / mine[1].beta.value, rel=1e-4)
        assert all(one.error.lower < one.error.value < one.error.upper for one in mine)
        assert all(one.days == 210 for one in mine)


def test_medians_over_stations_are_near_the_errors_that_were_added(found: TripleCollocation) -> None:
    for product, error in ERRORS.items():
        told = found.across[product]
        assert told["error"].n == 12
        assert told["error"].value == pytest.approx(error / GAINS[product], rel=0.15)
        assert told["beta"].value == pytest.approx(1 / GAINS[product], rel=0.1)
        signal = GAINS[product] * TRUTH
        assert told["r"].value == pytest.approx(signal / math.hypot(signal, error), abs=0.03)
    gap = found.differences["insitu", "sm"]
    own = {(one.station, one.product): one.error.value for one in found.errors}
    each = [own[station, "insitu"] - own[station, "sm"] for station, name in own if name == "sm"]
    assert gap.value == pytest.approx(np.median(each), rel=1e-4)
    assert gap.upper < 0


def test_an_interval_covers_the_error_at_its_nominal_rate(tmp_path: Path) -> None:
    stations = 100
    rows = pd.concat([simulated_station(f"{seed:03d}", 500 + seed, 300) for seed in range(stations)])
    result = collocate(*written(rows, tmp_path), tmp_path / "out", independent=("ascat",), draws=200)
    for product, error in ERRORS.items():
        own = [one.error for one in result.errors if one.product == product]
        assert all(math.isfinite(one.lower) for one in own)
        hits = sum(one.lower <= error / GAINS[product] <= one.upper for one in own)
        # Ten blocks of 30 days cover 92-94 % where 95 % is asked, in 500 simulated records.
        assert binom.ppf(0.001, stations, 0.92) <= hits
        assert np.mean([one.upper - one.lower for one in own]) < 1.5 * error / GAINS[product]


def test_an_interval_draws_whole_blocks_of_days(tmp_path: Path) -> None:
    days = 600
    rows = simulated_station("a", 3, days, memory=0.9)
    result = collocate(*written(rows, tmp_path), tmp_path / "out", independent=("ascat",), draws=500)
    values = rows[list(PRODUCTS)].to_numpy().T
    rng = np.random.default_rng(8)
    brute = []
    for _ in range(500):
        blocks = rng.integers(days // 30, size=days // 30)
        drawn = (blocks[:, None] * 30 + np.arange(30)).ravel()
        brute.append(np.nan_to_num(tcol_metrics(*values[:, drawn])[1]))
    lower, upper = np.quantile(brute, [0.025, 0.975], axis=0)
    for place, one in enumerate(result.errors):
        # Widened for 20 blocks by Student's t and the factor of n / (n - 1), 10 % in all; drawn day by day
        # it would be less than half as wide.
        ratio = (one.error.upper - one.error.lower) / (upper[place] - lower[place])
        assert 0.95 < ratio < 1.35


def test_where_an_error_may_be_nothing_the_signal_to_noise_has_no_upper_end(tmp_path: Path) -> None:
    rows = simulated_station("a", 3)
    # The probe shares a sixth of its errors with a product, which lowers what is left as its own.
    rows["insitu"] = 5 / 6 * rows["insitu"] + 1 / 6 * rows["ascat"] / GAINS["ascat"]
    result = collocate(*written(rows, tmp_path), tmp_path / "out", independent=("ascat",), draws=200)
    probe = result.errors[0]
    assert probe.error.value > 0
    assert (probe.error.lower, probe.snr_db.upper, probe.r.upper) == (0, math.inf, 1)
    assert probe.snr_db.lower < probe.snr_db.value < math.inf


def test_the_real_pair_with_a_third_that_is_made_of_it(shared_data: Path, tmp_path: Path) -> None:
    pair = shared_data / "pytesmo-pair"
    ismn = pd.read_csv(pair / "ISMN.csv", parse_dates=["date_time"]).query("soil_moisture_flag == 'G'")
    ascat = pd.read_csv(pair / "ASCAT.csv", index_col=0, parse_dates=True)["sm"]
    daily = pd.DataFrame(
        {
            "insitu": ismn.set_index("date_time")["soil_moisture"].resample("D").mean(),
            "ascat": ascat["2017"].resample("D").mean() / 100,  # % of saturation
        }
    ).rename_axis("date")
    rng = np.random.default_rng(0)
    smooth = daily["insitu"].rolling(5, min_periods=1).mean()
    daily["sm"] = smooth + rng.normal(0, 0.02, len(daily))  # simulated: no third real product is at hand
    rows = daily.reset_index().assign(station="SCAN")
    result = collocate(
        *written(rows, tmp_path), tmp_path / "out", products=PRODUCTS, independent=("ascat",), draws=100
    )
    common = daily.dropna()
    snr, error, beta = tcol_metrics(*(common[name].to_numpy() for name in PRODUCTS))
    assert len(common) > 150
    assert [one.days for one in result.errors] == [len(common)] * 3
    assert result.errors[2].error.value == pytest.approx(error[2], rel=1e-4)
    assert result.errors[2].snr_db.value == pytest.approx(snr[2], rel=1e-4)
    assert result.errors[2].own_error == pytest.approx(error[2] / beta[2], rel=1e-4)


# ---- what cannot be computed -----------------------------------------------------------------------------


def test_stations_without_numbers_say_why(tmp_path: Path) -> None:
    rows = table(3)
    rows.loc[(rows["station"] == "000") & (rows["date"] > "2019-07-09"), "ascat"] = NAN  # 100 days are left
    rows.loc[(rows["station"] == "001") & (rows["date"] > "2019-07-08"), "ascat"] = NAN
    upside = rows["station"] == "002"
    rows.loc[upside, "ascat"] = 0.6 - rows.loc[upside, "ascat"]
    result = collocate(*written(rows, tmp_path), tmp_path / "out", independent=("ascat",), draws=50)
    by_station = {one.station: one for one in result.errors if one.product == "sm"}
    assert math.isfinite(by_station["000"].error.value)
    assert "5 blocks of 30 days, got 4" in by_station["000"].reason
    assert by_station["001"].reason == "99 common days, fewer than 100"
    assert "no positive covariance of In situ and ascat and Downscaled and ascat" in by_station["002"].reason
    assert all(math.isnan(by_station[name].error.value) for name in ("001", "002"))
    notes = " ".join(result.notes)
    assert "Medians are over the 1 of 3 stations" in notes
    assert "001: 99 common days" in notes


def test_an_error_below_nothing_is_no_error(tmp_path: Path) -> None:
    rows = simulated_station("a", 1)
    # A product that is the mean of the other two shares its errors with both, so its own comes out negative.
    rows["sm"] = (rows["insitu"] + rows["ascat"]) / 2
    snr, error, _ = tcol_metrics(*(rows[name].to_numpy() for name in PRODUCTS))
    assert math.isnan(error[1])
    assert math.isfinite(snr[1])  # pytesmo takes the absolute value
    result = collocate(*written(rows, tmp_path), tmp_path / "out", independent=("ascat",), draws=50)
    shared = next(one for one in result.errors if one.product == "sm")
    assert math.isnan(shared.error.value)
    assert math.isnan(shared.snr_db.value)
    assert "below nothing" in shared.reason
    told = " ".join(result.notes)
    assert "At 1 of the stations left out the error of Downscaled comes out below nothing" in told
    assert "error of In situ comes" not in told
    assert result.across == {}
    assert set(result.pictures) == {"triple.png", "triple.svg"}


@pytest.mark.parametrize(
    ("products", "declared", "told"),
    [
        (("insitu", "sm", "smap"), (), "Downscaled and SMAP are not independent"),
        (("insitu", "smap", "smap_bilinear"), (), "SMAP and SMAP, bilinear are not independent"),
        (("insitu", "sm", "wp"), ("wp",), "Downscaled and WP are not independent"),
        (("insitu", "xgboost", "catboost"), (), "XGBoost and CatBoost are not independent"),
        (("insitu", "sm", "smap_dsm"), ("smap_dsm",), "SMAP's radiometer, which SMAP L4 assimilates"),
        (("insitu", "sm", "ascat"), (), "declare ascat independent if so"),
        (("insitu", "sm", "smci"), (), "learnt from 1,789 stations"),
        (("insitu", "insitu", "sm"), (), "named twice"),
        (("insitu", "sm", "ascat"), ("ascat",), ""),
        (("insitu", "sm", "smci"), ("smci",), ""),
        (("smci", "smap", "ascat"), ("ascat",), ""),
    ],
)
def test_products_that_share_errors_are_refused_with_the_reason(
    products: tuple[str, ...], declared: tuple[str, ...], told: str
) -> None:
    reasons = dependent(products, declared)
    assert told in " ".join(reasons)
    assert bool(reasons) == bool(told)


def test_every_product_of_the_project_has_a_family() -> None:
    assert set(FAMILIES) == {*TITLES, "insitu"}


def test_a_refusal_is_a_result_and_computes_nothing(tmp_path: Path) -> None:
    rows = table(2).assign(smap=lambda rows: rows["sm"])
    paths = written(rows, tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "triple.png").write_bytes(b"of an earlier run")
    result = collocate(*paths, tmp_path / "out", products=("insitu", "sm", "smap"))
    assert "not independent" in result.refused
    assert result.errors == ()
    assert not result.pictures
    assert not (tmp_path / "out" / "triple.png").exists()
    for products, told in (
        (None, "declare ascat"),
        (("insitu", "sm"), "three"),
        (("sm", "smci", "a"), "smci"),
    ):
        assert told in collocate(*paths, tmp_path / "out", products=products).refused
    alone = written(rows.drop(columns="ascat"), tmp_path)
    refused = collocate(*alone, tmp_path / "out").refused
    assert "the predictions hold Downscaled, SMAP, of which none is independent" in refused


def test_without_pytesmo_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytesmo.metrics", None)
    with pytest.raises(ConfigError, match=r'pip install "gee-smap\[validation\]"'):
        collocate(*written(table(1), tmp_path), tmp_path / "out")


def test_what_was_written_is_read_back(found: TripleCollocation, tmp_path: Path) -> None:
    assert read(tmp_path) is None
    rows = table()
    collocate(*written(rows, tmp_path), tmp_path / "out", independent=("ascat",), draws=200)
    again = read(tmp_path / "out")
    assert again is not None
    assert again.errors == found.errors
    assert again.across == found.across
    assert again.differences == found.differences
    assert again.pictures == found.pictures
    record = json.loads((tmp_path / "out" / "triple.json").read_text(encoding="utf-8"))
    assert set(record) == set(again.as_dict())
    assert "Simulated data" in again.notes[0]
    (tmp_path / "out" / "triple.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged.*collocate again"):
        read(tmp_path / "out")
