"""Validation at stations: numbers against numpy and scipy, verdicts where the better product is known.

All tables but one are simulated here, small, and made so that the right answer follows from how they are
made; the last test reads real stations and is skipped where they are absent.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy import stats

from pipeline.errors import DataError
from pipeline.figures import validation
from pipeline.scores.stations import (
    METRICS,
    Bootstrap,
    across_stations,
    differences,
    less_others,
    station_scores,
    typical_stations,
)
from pipeline.scores.strata import by_strata
from pipeline.scores.validate import ValidationResult, validate
from pipeline.scores.validated import read
from pipeline.tables.pairs import join, read_tables

PNGS = ("map", "map-products", "box", "differences", "strata", "scatter", "series")
CHARTS = ("box", "differences", "strata", "scatter", "series")
LOOK = validation.Look({"sm": "Downscaled", "smap": "SMAP"}, ("sm", "smap"), "smap")
BOTH = ["sm", "smap"]
DAYS = pd.date_range("2019-04-01", periods=240)


def simulated_station(name: str, prediction_error: float, smap_error: float, seed: int) -> pd.DataFrame:
    """240 days; both products are the in-situ series plus noise and bias of the size given."""
    rng = np.random.default_rng(seed)
    insitu = 0.25 + 0.05 * np.sin(np.arange(240) / 9) + rng.normal(0, 0.01, 240)
    noise = rng.normal(0, 1, (2, 240))
    return pd.DataFrame(
        {
            "station": name,
            "date": DAYS,
            "sm": insitu + prediction_error * (1 + noise[0]),
            "smap": insitu + smap_error * (1 + noise[1]),
            "insitu": insitu,
            "lon": 115.0 + seed / 10,
            "lat": 30.0 + seed / 7,
            "partition": "HB" if seed < 4 else "WN",
            "simulated": True,
        }
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Simulated: the prediction is better at three stations, worse at two, equal at two; one is short."""
    made = [simulated_station(f"better{i}", 0.01, 0.05, i) for i in range(3)]
    made += [simulated_station(f"worse{i}", 0.05, 0.01, 3 + i) for i in range(2)]
    alike = [simulated_station(f"alike{i}", 0.02, 0.02, 5 + i) for i in range(2)]
    for station in alike:
        station["smap"] = station["sm"]
    short = simulated_station("short", 0.02, 0.02, 7).head(9)
    rows = pd.concat([*made, *alike, short], ignore_index=True)
    rows.loc[::7, "insitu"] = np.nan
    rows.loc[::11, "smap"] = np.nan
    rows.loc[::13, "sm"] = np.nan
    return rows


@pytest.fixture(scope="module")
def files(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tables")
    table.drop(columns="insitu").to_parquet(folder / "predictions.parquet")
    table[["station", "date", "insitu"]].to_csv(folder / "insitu.csv", index=False)
    return folder / "predictions.parquet", folder / "insitu.csv"


@pytest.fixture(scope="module")
def result(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> ValidationResult:
    return validate(*files, tmp_path_factory.mktemp("validation") / "out")


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)


def independent_metrics(predicted: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    error = predicted - reference
    return {
        "r": stats.pearsonr(predicted, reference).statistic,
        "spearman": stats.spearmanr(predicted, reference).statistic,
        "bias": error.mean(),
        "rmse": np.sqrt(np.mean(error**2)),
        "ubrmse": error.std(),
    }


def complete(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return table.dropna(subset=["sm", "insitu", *columns])


# ---- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("station", ["better0", "worse1", "alike0"])
@pytest.mark.parametrize("product", ["sm", "smap"])
def test_each_station_is_scored_on_pairs_identical_for_both_products(
    table: pd.DataFrame, result: ValidationResult, station: str, product: str
) -> None:
    own = complete(table[table["station"] == station], "smap")
    row = result.stations.set_index("station").loc[station]
    assert row["n"] == len(own) < 240
    for metric, value in independent_metrics(own[product].to_numpy(), own["insitu"].to_numpy()).items():
        assert row[f"{product}_{metric}"] == pytest.approx(value, abs=1e-12)
        assert row[f"{product}_{metric}_lower"] < value < row[f"{product}_{metric}_upper"]


def test_pooled_scores_are_those_of_all_pairs_of_scored_stations(
    table: pd.DataFrame, result: ValidationResult
) -> None:
    pairs = complete(table[table["station"] != "short"], "smap")
    assert result.summary["pairs"]["used"] == len(pairs)
    for product in BOTH:
        expected = independent_metrics(pairs[product].to_numpy(), pairs["insitu"].to_numpy())
        found = result.summary["pooled"][product]
        assert {metric: found[metric] for metric in expected} == pytest.approx(expected, abs=1e-12)
    difference = result.summary["pooled_differences"]["sm"]["rmse"]
    by_product = result.summary["pooled"]
    expected_difference = by_product["sm"]["rmse"] - by_product["smap"]["rmse"]
    assert difference["value"] == pytest.approx(expected_difference)
    assert difference["lower"] < 0 < difference["upper"]  # stations disagree, and stations are the blocks


def test_what_pairs_lack_is_counted(table: pd.DataFrame, result: ValidationResult) -> None:
    pairs = result.summary["pairs"]
    assert pairs["joined"] == len(table)
    for name in (*BOTH, "insitu"):
        assert pairs[f"without_{name}"] == table[name].isna().sum()
    assert f"{table['smap'].isna().sum()} of {len(table):,} rows lack smap" in " ".join(result.notes)


def test_without_smap_only_the_prediction_is_scored_and_the_result_says_so(
    table: pd.DataFrame, files: tuple[Path, Path], tmp_path: Path, coarse: None
) -> None:
    alone = tmp_path / "alone.csv"
    table.drop(columns=["smap", "lon", "lat", "insitu"]).to_csv(alone, index=False)
    out = tmp_path / "out"
    out.mkdir()
    (out / "map.png").write_bytes(b"of an earlier validation")
    found = validate(alone, files[1], out)
    own = complete(table[table["station"] == "better0"])
    row = found.stations.set_index("station").loc["better0"]
    assert row["n"] == len(own)
    expected = independent_metrics(own["sm"].to_numpy(), own["insitu"].to_numpy())
    assert row["sm_r"] == pytest.approx(expected["r"])
    assert not [name for name in found.stations if name.startswith("smap") or "-" in name]
    assert (found.baseline, found.summary["differences"], found.summary["pooled_differences"]) == (
        None,
        {},
        {},
    )
    assert "no smap values" in " ".join(found.notes)
    assert "no map" in " ".join(found.notes)
    assert {"map.png", "map-products.png", "differences.png"}.isdisjoint(found.paths)
    assert not (out / "map.png").exists()
    assert [row["product"] for row in found.rows()] == ["Downscaled"]
    assert "improved" not in found.rows()[0]


@pytest.mark.parametrize("metric", ["r", "rmse", "ubrmse", "abs_bias"])
def test_stations_known_to_be_better_and_worse_are_called_so(result: ValidationResult, metric: str) -> None:
    verdicts = result.stations.set_index("station")[f"sm-smap_{metric}_verdict"]
    assert set(verdicts.filter(like="better")) == {"improved"}
    assert set(verdicts.filter(like="worse")) == {"worsened"}
    assert set(verdicts.filter(like="alike")) == {"undecided"}
    counts = result.summary["differences"]["sm"][metric]
    assert [counts[name] for name in ("improved", "worsened", "undecided", "no_interval")] == [3, 2, 2, 0]


@pytest.mark.parametrize(("days", "verdict"), [(120, "no_interval"), (121, "improved")])
def test_an_interval_needs_five_blocks_of_thirty_days(days: int, verdict: str) -> None:
    station = simulated_station("a", 0.01, 0.05, 1).head(days)
    row = station_scores(station, BOTH, 10, Bootstrap(), "smap").iloc[0]
    assert row["sm-smap_rmse_verdict"] == verdict
    assert ("5 blocks" in row["sm-smap_rmse_reason"]) == (verdict == "no_interval")
    assert row["sm-smap_rmse"] == pytest.approx(row["sm_rmse"] - row["smap_rmse"])


def test_what_chance_alone_would_call_improved_is_of_the_stations_with_an_interval(tmp_path: Path) -> None:
    made = [simulated_station(f"long{i}", 0.02, 0.02, i) for i in range(2)]
    made += [simulated_station(f"few{i}", 0.02, 0.02, 2 + i).head(100) for i in range(3)]  # four blocks
    pd.concat(made).to_parquet(tmp_path / "both.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.scores.validate._figures", lambda *_: {})
        found = validate(tmp_path / "both.parquet", tmp_path / "both.parquet", tmp_path / "out", draws=20)
    assert found.summary["stations"]["scored"] == 5
    [note] = [note for note in found.notes if "called improved" in note]
    assert "about 0.1 of 2 stations with an interval" in note  # 2 * 0.05 / 2, rounded up from 0.05


def test_a_station_with_too_few_pairs_is_listed_with_the_reason(result: ValidationResult) -> None:
    row = result.stations.set_index("station").loc["short"]
    assert math.isnan(row["sm_r"])
    assert row["reason"] == f"{row['n']} pairs, fewer than 10"
    listed = {"station": "short", "n": row["n"], "reason": row["reason"]}
    assert result.summary["stations"]["not_scored"] == [listed]
    assert f"short ({row['n']})" in " ".join(result.notes)


def test_medians_are_over_stations_with_quartiles_and_shares(result: ValidationResult) -> None:
    scored = result.stations[result.stations["reason"] == ""]
    across = result.summary["across_stations"]
    found = across["sm"]["ubrmse"]
    assert found["median"] == pytest.approx(statistics_median(scored["sm_ubrmse"]))
    assert found["q25"] == pytest.approx(np.percentile(scored["sm_ubrmse"], 25))
    assert found["q75"] == pytest.approx(np.percentile(scored["sm_ubrmse"], 75))
    assert found["lower"] <= found["median"] <= found["upper"]
    # Noise of 0.01 or 0.02 m³/m³ is below 0.04, that of 0.05 is not: two of seven stations are worse.
    assert (across["sm"]["ubrmse_below"]["count"], across["sm"]["ubrmse_below"]["of"]) == (
        5,
        7,
    )
    assert across["smap"]["ubrmse_below"]["count"] == 4
    differences = (scored["sm_r"] - scored["smap_r"]).median()
    assert result.summary["differences"]["sm"]["r"]["median"] == pytest.approx(differences)
    strata = result.strata.set_index(["kind", "stratum", "product"])
    assert strata.loc[("partition", "HB", "sm"), "stations"] == 4
    assert strata.loc[("partition", "WN", "smap"), "stations"] == 3


def statistics_median(values: pd.Series) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def test_the_interval_of_a_median_is_that_of_its_exact_bootstrap_distribution() -> None:
    values = np.sort(np.random.default_rng(5).gamma(2.0, 0.1, 21))
    # The median of a resample of 21 is at most the k-th value if 11 or more draws are.
    at_most = stats.binom.sf(10, 21, np.arange(1, 22) / 21)
    exact = [values[np.searchsorted(at_most, level)] for level in (0.025, 0.975)]
    found = Bootstrap(draws=20_000).spread(pd.Series([*values, np.nan]))
    assert (found.n, found.median) == (21, values[10])
    assert [found.lower, found.upper] == pytest.approx(exact)


@pytest.mark.parametrize(("n", "has_interval"), [(5, False), (6, True)])
def test_a_median_of_few_stations_has_no_interval_and_says_why(n: int, has_interval: bool) -> None:
    found = Bootstrap().spread(pd.Series(np.arange(float(n))))
    assert math.isfinite(found.lower) == has_interval
    assert bool(found.reason) != has_interval


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = Bootstrap().share(pd.Series([True] * 12 + [False] * 8))
    p, n, z = 0.6, 20, stats.norm.isf(0.025)
    centre, reach = (p + z**2 / (2 * n)), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(centre - reach) / (1 + z**2 / n), (centre + reach) / (1 + z**2 / n)]
    assert [found["share"], found["lower"], found["upper"]] == pytest.approx([p, *expected])


def test_a_saturated_smap_series_has_no_r_and_its_station_counts_for_neither_product(
    table: pd.DataFrame,
) -> None:
    joined = complete(table, "smap")
    joined.loc[joined["station"] == "better0", "smap"] = 0.508
    stations = station_scores(joined, BOTH, 10, Bootstrap(draws=50), "smap")
    row = stations.set_index("station").loc["better0"]
    assert math.isnan(row["smap_r"])
    assert "constant" in row["smap_reason"]
    assert row["sm-smap_r_verdict"] == "no_interval"
    scored = stations[stations["reason"] == ""]
    across = across_stations(scored, BOTH, Bootstrap(draws=50))
    between = differences(scored, BOTH, "smap", Bootstrap(draws=50))
    assert [one["r"]["n"] for one in (across["sm"], across["smap"], between["sm"])] == [6, 6, 6]
    assert [one["rmse"]["n"] for one in (across["sm"], across["smap"], between["sm"])] == [7, 7, 7]


def test_the_map_less_other_products_is_the_median_of_its_stations_own_differences() -> None:
    random = np.random.default_rng(3)
    scored = pd.DataFrame({
        f"{product}_{metric}": random.normal(0, 0.1, 9)
        for product in ("sm", "smap", "wp") for metric in METRICS
    })  # fmt: skip
    scored.loc[4, "wp_r"] = np.nan
    found = less_others(scored, ("sm", "smap", "wp"), "smap", Bootstrap(draws=500))
    assert set(found) == {"wp"}
    wanted = sorted(scored["sm_ubrmse"] - scored["wp_ubrmse"])
    one = found["wp"]["ubrmse"]
    assert (one["n"], one["median"]) == (9, pytest.approx(wanted[4]))
    assert wanted[0] <= one["lower"] < one["median"] < one["upper"] <= wanted[-1]
    assert found["wp"]["r"]["n"] == 8
    biases = sorted(scored["sm_bias"].abs() - scored["wp_bias"].abs())
    assert found["wp"]["abs_bias"]["median"] == pytest.approx(biases[4])
    assert set(less_others(scored, ("sm", "smap", "wp"), None, Bootstrap(draws=50))) == {"smap", "wp"}


def test_series_show_the_highest_median_and_lowest_r_and_the_most_pairs() -> None:
    scored = pd.DataFrame({"station": list("abcde"), "sm_r": [0.5, 0.9, np.nan, 0.1, 0.7]})
    scored["n"] = [20, 30, 99, 10, 20]
    assert typical_stations(scored) == {
        "b": "highest R",
        "e": "median R",
        "d": "lowest R",
        "c": "most pairs",
    }
    assert typical_stations(scored.head(1)) == {"a": "highest R, median R, lowest R, most pairs"}


# ---- files -----------------------------------------------------------------------------------------------


def test_everything_is_written_and_the_figures_are_not_blank(result: ValidationResult) -> None:
    tables = {"stations.csv", "strata.csv", "strata-stations.csv", "summary.json"}
    charts = {f"{name}.svg" for name in CHARTS}
    assert set(result.paths) == {*tables, *charts, *(f"{name}.png" for name in PNGS)}
    for name in charts:
        assert ElementTree.parse(result.paths[name]).getroot().tag.endswith("svg")  # noqa: S314
    for name in PNGS:
        pixels = imread(result.paths[f"{name}.png"])
        assert min(pixels.shape[:2]) > 600
        assert pixels[..., :3].std() > 0.05
        packed = (pixels[..., :3] * 255).astype(np.int64) @ np.array([65536, 256, 1])
        assert len(np.unique(packed)) > 50
    folder = result.paths["stations.csv"].parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in result.paths.values()
    )


def test_the_tables_hold_what_the_result_holds(files: tuple[Path, Path], result: ValidationResult) -> None:
    written = pd.read_csv(result.paths["stations.csv"])
    pd.testing.assert_series_equal(written["sm_r"], result.stations["sm_r"], rtol=1e-5)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    summary = json.loads(result.paths["summary.json"].read_text(encoding="utf-8"), parse_constant=refuse)
    assert summary["simulated"] is True
    for name, path in zip(("predictions", "insitu"), files, strict=True):
        assert summary["inputs"][name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert summary["inputs"][name]["path"] == str(path)
    assert summary["settings"] == {
        "minimum_pairs": 10,
        "block_days": 30,
        "anomaly_window_days": 35,
        "anomaly_least_days": 5,
        "climatology_smoothing_days": [5, 35],
        "climatology_least_years": 3,
        "confidence": 0.95,
        "draws": 1000,
        "seed": 0,
    }
    assert summary["pooled"]["sm"]["r"] == result.summary["pooled"]["sm"]["r"]


def test_rows_for_the_terminal_carry_the_medians_and_the_verdicts(result: ValidationResult) -> None:
    rows = result.rows()
    assert all(list(row) == list(rows[0]) for row in rows)
    spread = result.summary["across_stations"]["sm"]["ubrmse"]
    fine, raw = rows
    assert (fine["product"], raw["product"]) == ("Downscaled", "SMAP")
    assert fine["ubRMSE"] == f"{spread['median']:.3f} [{spread['lower']:.3f}, {spread['upper']:.3f}]"
    assert (fine["improved"], fine["worsened"], raw["improved"]) == ("3", "2", "")
    assert (fine["ubRMSE < 0.04"], raw["ubRMSE < 0.04"]) == ("5 of 7", "4 of 7")


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_marked_on_every_figure_and_real_data_on_none(
    table: pd.DataFrame, simulated: bool
) -> None:
    pairs = complete(table, "smap").reset_index(drop=True)
    bootstrap, look = Bootstrap(draws=50), replace(LOOK, simulated=simulated)
    stations = station_scores(pairs, BOTH, 10, bootstrap, "smap")
    scored = stations[stations["reason"] == ""]
    at_station = pairs.groupby("station").ngroup().to_numpy()
    series = {name: pairs[name].to_numpy() for name in BOTH}
    pooled = bootstrap.compare(series, pairs["insitu"].to_numpy(), at_station, "smap")
    for figure in (
        validation.station_map(stations, look),
        validation.product_maps(stations, look),
        validation.box_plots(scored, look),
        validation.difference_chart(differences(scored, BOTH, "smap", bootstrap), look),
        validation.strata_chart(by_strata(pairs, BOTH, 10, bootstrap, "smap").table, look),
        validation.scatter(pairs, pooled.scores, pooled.n, look),
        validation.time_series(pairs, scored, {"alike0": "median R"}, look),
    ):
        marks = [text.get_text() for text in figure.texts if "SIMULATED DATA" in text.get_text()]
        assert len(marks) == (2 if simulated else 0)  # across the figure and in its title


def test_one_station_of_constant_soil_moisture_is_scored_and_drawn_without_r(
    table: pd.DataFrame, tmp_path: Path, coarse: None
) -> None:
    own = table[table["station"] == "better0"].assign(insitu=0.25)
    own.to_parquet(tmp_path / "constant.parquet")
    found = validate(tmp_path / "constant.parquet", tmp_path / "constant.parquet", tmp_path / "out")
    assert {f"{name}.png" for name in PNGS} < set(found.paths)
    row = found.stations.iloc[0]
    assert math.isnan(row["sm_r"])
    assert "constant" in row["sm_reason"]
    pairs = complete(own, "smap")
    assert row["sm_bias"] == pytest.approx((pairs["sm"] - 0.25).mean())
    summary = json.loads(found.paths["summary.json"].read_text(encoding="utf-8"))
    assert summary["pooled"]["sm"]["r"] is None
    assert found.rows()[0]["R"] == "undefined"


def test_a_series_is_drawn_broken_where_it_lacks_days(table: pd.DataFrame) -> None:
    own = simulated_station("a", 0.01, 0.05, 1)
    kept = own[~own["date"].between("2019-06-19", "2019-07-23")]
    scored = station_scores(kept, BOTH, 10, Bootstrap(draws=50))
    figure = validation.time_series(kept, scored, {"a": "highest R"}, LOOK)
    for line in figure.axes[0].lines:
        values = np.asarray(line.get_ydata(), dtype=float)
        assert len(values) == len(kept) + 1
        broken = pd.Timestamp(line.get_xdata()[np.isnan(values)][0])
        assert pd.Timestamp("2019-06-18") < broken <= pd.Timestamp("2019-07-24")


@pytest.mark.parametrize(
    ("mark", "expected"), [(True, True), (False, False), ("no", False), ("nature run", True), (0, False)]
)
def test_a_table_says_itself_whether_it_is_simulated(
    table: pd.DataFrame, files: tuple[Path, Path], tmp_path: Path, mark: object, expected: bool
) -> None:
    table.assign(simulated=mark).to_csv(tmp_path / "marked.csv", index=False)
    predicted, measured = read_tables(tmp_path / "marked.csv", files[1])
    assert (predicted.simulated, measured.simulated) == (expected, False)


def test_a_failure_while_writing_leaves_the_earlier_validation_whole(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    validate(*files, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def interrupted(figure: object, path: Path) -> None:
        path.write_bytes(b"half a figure")
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.scores.validate.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        validate(*files, out, seed=1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before

    def disk_full(figure: object, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.scores.validate.save", disk_full)
    with pytest.raises(DataError, match="No space left on device"):
        validate(*files, out, seed=1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_earlier_validation_is_read_back_as_it_was(result: ValidationResult, tmp_path: Path) -> None:
    folder = result.paths["summary.json"].parent
    found = read(folder)
    assert found is not None
    assert found.rows() == result.rows()
    assert (found.products, found.baseline, found.notes) == (result.products, "smap", result.notes)
    assert found.paths == result.paths
    np.testing.assert_allclose(found.strata["ubrmse"], result.strata["ubrmse"], rtol=1e-5)
    assert found.stations["reason"].tolist() == result.stations["reason"].tolist()
    assert read(tmp_path) is None


@pytest.mark.parametrize("name", ["summary.json", "stations.csv", "strata.csv"])
def test_a_damaged_validation_is_named(result: ValidationResult, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(result.paths["summary.json"].parent, copy)
    (copy / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"copy is damaged .*validate again"):
        read(copy)


def test_seven_products_have_a_row_and_a_panel_each(table: pd.DataFrame) -> None:
    names = ("sm", "wp", "xgboost", "smap", "smap_bilinear", "smci", "mine")
    pairs = complete(table, "smap").reset_index(drop=True)
    rng = np.random.default_rng(0)
    for name in set(names) - set(BOTH):
        pairs[name] = pairs["sm"] + rng.normal(0, 0.01, len(pairs))
    bootstrap, titles = Bootstrap(draws=50), {name: f"Product {name}" for name in names}
    look = validation.Look(titles, names, "smap")
    stations = station_scores(pairs, names, 10, bootstrap, "smap")
    scored = stations[stations["reason"] == ""]
    series = {name: pairs[name].to_numpy() for name in names}
    at_station = pairs.groupby("station").ngroup().to_numpy()
    pooled = bootstrap.compare(series, pairs["insitu"].to_numpy(), at_station, "smap")
    box = validation.box_plots(scored, look)
    assert [label.get_text() for label in box.axes[0].get_yticklabels()] == list(titles.values())
    between = validation.difference_chart(differences(scored, names, "smap", bootstrap), look)
    drawn = [label.get_text() for label in between.axes[0].get_yticklabels()]
    assert drawn == [titles[name] for name in names if name != "smap"]
    panels = validation.scatter(pairs, pooled.scores, pooled.n, look).axes
    told = [
        axes.get_title(loc="left") for axes in panels if axes.get_visible() and axes.get_title(loc="left")
    ]
    assert [text.partition("\n")[0][4:] for text in told] == list(titles.values())
    assert len({look.colour(name) for name in names}) == 7


def test_titles_and_notes_of_the_table_of_predictions_are_passed_on(
    table: pd.DataFrame, tmp_path: Path, coarse: None
) -> None:
    own = table[table["station"].isin(["better0", "better1"])].assign(mine=table["sm"], depth=0.1)
    own.to_parquet(tmp_path / "both.parquet")
    column = {"name": "mine", "title": "My product", "source": "mine.nc"}
    told = {"products": [column], "notes": ["yours could not be read."], "properties": {}}
    (tmp_path / "products.json").write_text(json.dumps(told), encoding="utf-8")
    both = tmp_path / "both.parquet"
    found = validate(both, both, tmp_path / "out", draws=20)
    assert found.title("mine") == "My product"
    assert "yours could not be read." in found.notes
    assert any("2 of 2 stations measure deeper than the 5 cm" in note for note in found.notes)
    assert found.stations["depth"].tolist() == [0.1, 0.1]


# ---- input -----------------------------------------------------------------------------------------------


def test_station_names_and_days_mean_the_same_in_every_notation(table: pd.DataFrame, tmp_path: Path) -> None:
    own = table[table["station"] == "better0"].dropna(subset=["sm", "insitu"])
    base = own[["sm", "insitu"]].reset_index(drop=True)
    days = own["date"].reset_index(drop=True)
    notations = {
        "text.csv": base.assign(station="50637", date=days.dt.strftime("%Y-%m-%d")),
        "number.csv": base.assign(station=50637, date=days.dt.strftime("%Y%m%d").astype(int)),
        "spaced.csv": base.assign(cell=" 50637 ", date=days.dt.strftime("%Y-%m-%dT13:30:00Z")),
        "stamp.parquet": base.assign(station=50637.0, date=days.dt.tz_localize("UTC")),
        "day.parquet": base.assign(station=50637, date=days.dt.date),
        "index.parquet": base.assign(station="50637", date=days).set_index(["station", "date"]),
    }
    for name, rows in notations.items():
        path = tmp_path / name
        rows.to_parquet(path) if path.suffix == ".parquet" else rows.to_csv(path, index=False)
    for name in notations:
        joined = join(*read_tables(tmp_path / name, tmp_path / "text.csv"))
        assert len(joined) == len(base), name
        np.testing.assert_array_equal(joined["sm"], base["sm"], err_msg=name)
        np.testing.assert_array_equal(joined["date"], days.to_numpy(), err_msg=name)


def test_leading_zeros_of_a_station_number_are_kept(table: pd.DataFrame, tmp_path: Path) -> None:
    own = table[table["station"] == "better0"].assign(station="0050")
    own.to_parquet(tmp_path / "p.parquet")
    own.to_csv(tmp_path / "i.csv", index=False)
    joined = join(*read_tables(tmp_path / "p.parquet", tmp_path / "i.csv"))
    assert set(joined["station"]) == {"0050"}


def test_in_situ_coordinates_go_before_those_of_the_predictions(table: pd.DataFrame, tmp_path: Path) -> None:
    own = table[table["station"] == "better0"]
    own.assign(lon=1.0, lat=2.0).to_parquet(tmp_path / "p.parquet")
    own.assign(lon=[3.0] + [np.nan] * 239).to_parquet(tmp_path / "i.parquet")
    joined = join(*read_tables(tmp_path / "p.parquet", tmp_path / "i.parquet"))
    assert joined["lon"].tolist() == [3.0] + [1.0] * 239
    assert set(joined["lat"]) == set(own["lat"])


Change = Callable[[pd.DataFrame], pd.DataFrame]

BAD_PREDICTIONS: dict[str, tuple[Change, str]] = {
    "missing column": (lambda t: t.drop(columns="sm"), r"no column sm; it has station, date"),
    "several missing columns": (lambda t: t.drop(columns=["station", "sm"]), r"no column station, sm;"),
    "empty table": (lambda t: t.head(0), r"the table has no rows"),
    "percent": (
        lambda t: t.assign(sm=t["sm"] * 100),
        r": sm: [\d,]+ of 1,689 values outside -0\.1\.\.1 m³/m³ \(.*divide percent by 100",
    ),
    "no-data code": (
        lambda t: t.assign(sm=t["sm"].fillna(-9999)),
        r": sm: [\d,]+ of 1,689 values outside .*\(-9999 to .*no-data codes",
    ),
    "infinite": (lambda t: t.assign(sm=np.inf), r": sm: 1,689 of 1,689 values outside .*\(inf to inf, "),
    "all missing": (lambda t: t.assign(sm=np.nan), r": sm: none of 1,689 rows has a value"),
    "text in numbers": (
        lambda t: t.assign(sm=["0.2", "wet", *t["sm"].astype(str)[2:]]),
        r": sm: 1 of 1,689 values are no numbers, the first 'wet' in row 2; correct them",
    ),
    "unreadable day": (
        lambda t: t.assign(date=["31/12/2019", *t["date"].astype(str)[1:]]),
        r": date: date is missing or unreadable in 1 of 1,689 rows, the first row 1 \('31/12/2019'\);"
        r".*; write days as 2019-04-01",
    ),
    "missing station": (
        lambda t: t.assign(station=[None, *t["station"][1:]]),
        r": station: station is missing or unreadable in 1 of 1,689 rows, the first row 1 ",
    ),
    "percent without a station": (
        lambda t: t.drop(columns="station").assign(sm=50),
        r": no column station; it has .*\n.*: sm: 1,689 of 1,689 values outside",
    ),
    "month": (lambda t: t.assign(date="2019-04"), r": date: date is missing or unreadable in 1,689 of"),
    "repeated station-day": (
        lambda t: pd.concat([t, t.head(3)]),
        r"3 of 1,692 rows repeat a station and day, the first better0 on 2019-04-01 in row 1690; keep one",
    ),
    "sub-daily readings": (
        lambda t: t.assign(date=t["date"].dt.floor("2D") + pd.to_timedelta(t.index % 24, unit="h")),
        r"rows repeat a station and day.*average readings within a day",
    ),
    "latitude": (
        lambda t: t.assign(lat=3000.0),
        r": lat: 1,689 of 1,689 values outside -90\.\.90 degrees \(3000 to 3000, ",
    ),
}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("case", BAD_PREDICTIONS)
def test_a_bad_table_is_refused_with_what_is_wrong_and_nothing_is_written(
    table: pd.DataFrame, files: tuple[Path, Path], tmp_path: Path, case: str, kind: str
) -> None:
    change, message = BAD_PREDICTIONS[case]
    bad = tmp_path / f"bad.{kind}"
    rows = change(table.drop(columns="insitu"))
    rows.to_parquet(bad, index=False) if kind == "parquet" else rows.to_csv(bad, index=False)
    with pytest.raises(DataError, match=message) as caught:
        validate(bad, files[1], tmp_path / "out")
    assert str(bad) in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.csv", None, "absent.csv: no such table"),
        ("table.xlsx", b"x", "table.xlsx: a table is a .parquet or .csv file, not .xlsx"),
        ("broken.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
        ("empty.csv", b"", "empty.csv: the file is empty"),
        ("latin.csv", b"station,date,insitu\n\xe9\xff,2019-04-01,0.2\n", "cannot be read as csv"),
    ],
)
def test_an_unreadable_file_is_named(
    files: tuple[Path, Path], tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        validate(files[0], path, tmp_path / "out")


def test_the_faults_of_both_tables_are_told_together(table: pd.DataFrame, tmp_path: Path) -> None:
    table.assign(sm=table["sm"] * 50, date="spring").to_csv(tmp_path / "p.csv", index=False)
    table.drop(columns=["insitu", "date"]).to_csv(tmp_path / "i.csv", index=False)
    with pytest.raises(DataError) as caught:
        validate(tmp_path / "p.csv", tmp_path / "i.csv", tmp_path / "out")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "p.csv: date: date is missing or unreadable" in lines[0]
    assert "p.csv: sm: " in lines[1]
    assert "values outside" in lines[1]
    assert "i.csv: no column date, insitu" in lines[2]


def test_what_is_wrong_beside_a_missing_column_is_told_with_it_and_once(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    both = tmp_path / "both.csv"
    table.drop(columns="date").assign(lat=100.0, sm=0.1).to_csv(both, index=False)
    with pytest.raises(DataError) as caught:
        validate(both, both, tmp_path / "out")
    missing, latitude = str(caught.value).splitlines()
    assert f"{both}: no column date; it has station, sm" in missing
    assert f"{both}: lat: 1,689 of 1,689 values outside" in latitude


def test_no_overlap_tells_stations_and_periods_of_both(
    table: pd.DataFrame, files: tuple[Path, Path], tmp_path: Path
) -> None:
    later = table.assign(date=table["date"] + pd.Timedelta(days=365))
    later.to_csv(tmp_path / "later.csv", index=False)
    with pytest.raises(DataError) as caught:
        validate(files[0], tmp_path / "later.csv", tmp_path / "out")
    text = str(caught.value)
    assert "8 stations are" in text
    assert "8 stations (better0, better1, better2, …), 2019-04-01 to 2019-11-26" in text
    assert "2020-03-31 to 2020-11-25" in text


def test_no_station_with_enough_pairs_tells_the_most_there_are(
    table: pd.DataFrame, files: tuple[Path, Path], tmp_path: Path
) -> None:
    most = complete(table).groupby("station").size().max()
    with pytest.raises(DataError, match=rf"no station has 500 days .*the most is {most}"):
        validate(*files, tmp_path / "out", minimum_pairs=500)


@pytest.mark.parametrize("place", ["occupied", "occupied/out"])
def test_an_output_folder_that_cannot_be_made_is_refused(
    files: tuple[Path, Path], tmp_path: Path, place: str
) -> None:
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be written .*choose another output folder"):
        validate(*files, tmp_path / place)
    assert (tmp_path / "occupied").read_text() == "a file"


# ---- real observations -----------------------------------------------------------------------------------


def test_real_stations_are_scored_as_scipy_scores_them(
    shared_data: Path, tmp_path: Path, coarse: None
) -> None:
    rows = pd.read_parquet(shared_data / "us-gee-exports" / "stations.parquet")
    rows["station"] = rows.groupby(["lon", "lat"]).ngroup().astype(str)
    rows["sm"] = rows["ssm"] / 50  # mm of a layer of 50 mm
    rows["date"] = rows["StartDate"]
    rows.to_parquet(tmp_path / "stations.parquet")
    found = validate(
        tmp_path / "stations.parquet", tmp_path / "stations.parquet", tmp_path / "out", draws=100
    )
    known = rows.dropna(subset=["sm", "insitu"])
    assert found.summary["pairs"]["used"] == len(known) == 5831
    expected = {
        name: stats.pearsonr(own["sm"], own["insitu"]).statistic
        for name, own in known.groupby("station")
        if np.ptp(own["sm"]) > 0
    }
    scores = found.stations.set_index("station")["sm_r"]
    assert scores.dropna().to_dict() == pytest.approx(expected, abs=1e-9)
    assert found.summary["simulated"] is False
