"""Which products are compared on identical pairs, and what is told of those that are not; all simulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.scores.validate import validate
from pipeline.tables.pairs import choose, join, read_tables

DAYS = pd.date_range("2019-04-01", periods=60)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"station": np.repeat(["a", "b"], 60), "date": np.tile(DAYS, 2)})
    rows["insitu"] = rng.uniform(0.1, 0.4, 120)
    for name in ("wp", "mine", "smap", "sm", "smci"):
        rows[name] = (rows["insitu"] + rng.normal(0, 0.03, 120)).clip(0, 1)
    return rows


def tables(rows: pd.DataFrame, folder: Path, kind: str = "parquet"):
    paths = folder / f"p.{kind}", folder / "i.csv"
    predicted = rows.drop(columns="insitu")
    predicted.to_parquet(paths[0]) if kind == "parquet" else predicted.to_csv(paths[0], index=False)
    rows[["station", "date", "insitu"]].to_csv(paths[1], index=False)
    return read_tables(*paths)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_every_further_column_of_soil_moisture_is_a_product_in_the_order_of_a_report(
    table: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    about = {"partition": "HB", "landcover": "forest", "outage": True, "lon": 115.0, "ndvi": 0.4, "lc": 3,
             "simulated": True, "remark": "by hand", "sm_lower": 0.1, "sm_upper": 0.3, "aoa": 1}  # fmt: skip
    predicted, measured = tables(table.assign(**about, Upper=0.2), tmp_path, kind)
    assert predicted.products == ("sm", "wp", "smap", "smci", "mine")
    assert predicted.left_out == {}
    joined = join(predicted, measured)
    assert joined["landcover"].unique().tolist() == ["forest"]
    assert joined["outage"].all()
    np.testing.assert_allclose(joined["mine"], table["mine"])


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (lambda t: t["mine"] * 100, "divide percent by 100"),
        (lambda t: t["mine"].where(t.index % 5 > 0, -9999.0), "-9999 to .*no-data codes"),
        (lambda t: np.nan, "none of 120 rows has a value"),
        (
            lambda t: [*t["mine"].round(3).astype(str)[:-1], "wet"],
            "1 of 120 values are no numbers, the first 'wet'",
        ),
    ],
)
def test_a_product_in_another_unit_or_without_numbers_is_left_out_and_the_rest_is_scored(
    table: pd.DataFrame, tmp_path: Path, values, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.figures.style.DPI", 30)
    predicted, _ = tables(table.assign(mine=values(table)), tmp_path)
    assert predicted.products == ("sm", "wp", "smap", "smci")
    assert list(predicted.left_out) == ["mine"]
    found = validate(tmp_path / "p.parquet", tmp_path / "i.csv", tmp_path / "out", draws=20)
    [note] = [note for note in found.notes if note.startswith("mine is not compared: ")]
    assert pd.Series([note]).str.contains(why).all()
    assert found.products == ["sm", "wp", "smap", "smci"]
    assert found.summary["pairs"]["used"] == 120


def test_smap_in_percent_leaves_the_comparison_and_takes_the_baseline_with_it(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.figures.style.DPI", 30)
    tables(table.assign(smap=table["smap"] * 100), tmp_path)
    found = validate(tmp_path / "p.parquet", tmp_path / "i.csv", tmp_path / "out", draws=20)
    assert (found.products, found.baseline) == (["sm", "wp", "smci", "mine"], None)
    assert any(note.startswith("SMAP (smap) is not compared: ") for note in found.notes)
    assert not any("no smap values" in note for note in found.notes)


def test_a_product_of_another_period_is_left_out(table: pd.DataFrame, tmp_path: Path) -> None:
    table.loc[table["date"] >= "2019-04-11", "smci"] = np.nan
    table.loc[table["date"] < "2019-04-11", "insitu"] = np.nan
    found = choose(join(*tables(table, tmp_path)), ("sm", "smap", "smci"), 10, "here")
    assert found.products == ("sm", "smap")
    assert found.left_out == {"smci": "it has no value on any day of the in-situ table at its stations"}


def test_products_that_are_the_same_everywhere_are_shown_once(table: pd.DataFrame, tmp_path: Path) -> None:
    table["wp"], table["mine"], table["smap"] = table["sm"], table["sm"] + 1e-6, table["sm"]
    found = choose(join(*tables(table, tmp_path)), ("sm", "wp", "smap", "mine"), 10, "here")
    assert found.products == ("sm", "smap", "mine")  # SMAP is what all others are held against
    assert found.left_out == {"wp": "it equals Downscaled on every day, and is shown once"}
    table.loc[3, "wp"] += 0.01
    found = choose(join(*tables(table, tmp_path)), ("sm", "wp", "smap", "mine"), 10, "here")
    assert found.left_out == {}


def test_of_two_products_that_exclude_each_other_the_one_with_more_pairs_stays(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table.loc[table["date"] >= "2019-05-08", "wp"] = np.nan  # 37 days stay
    table.loc[table["date"] < "2019-05-05", "mine"] = np.nan  # 26 days stay, 3 of them common
    joined = join(*tables(table, tmp_path))
    found = choose(joined, ("sm", "wp", "smap", "mine"), 10, "here")
    assert found.products == ("sm", "wp", "smap")
    assert "(the most is 3)" in found.left_out["mine"]
    assert choose(joined, ("sm", "wp", "smap", "mine"), 3, "here").left_out == {}


@pytest.mark.parametrize(("stations", "kept"), [(1, False), (2, True)])
def test_a_product_of_few_stations_does_not_take_the_others_from_the_comparison(
    tmp_path: Path, stations: int, kept: bool
) -> None:
    names = ["a", "b", "c", "d"]
    rows = pd.DataFrame({"station": np.repeat(names, 20), "date": np.tile(DAYS[:20], 4)})
    rows = rows.assign(insitu=0.2, sm=0.2, smap=0.2)
    rows["mine"] = np.where(rows["station"].isin(names[:stations]), 0.2, np.nan)
    found = choose(join(*tables(rows, tmp_path)), ("sm", "smap", "mine"), 10, "here")
    assert ("mine" in found.products) == kept
    told = "with it 1 of 4 stations would have 10 days on which all compared products have a value"
    assert found.left_out.get("mine", "").startswith(told) != kept


def test_without_enough_pairs_of_the_map_itself_nothing_is_compared(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table.loc[table["date"] >= "2019-04-06", "sm"] = np.nan
    table.loc[(table["station"] == "a") & (table["date"] == "2019-04-01"), "insitu"] = np.nan
    with pytest.raises(DataError, match=r"here: no station has 10 days .*\(the most is 5, station b\)"):
        choose(join(*tables(table, tmp_path)), ("sm", "smap"), 10, "here")
