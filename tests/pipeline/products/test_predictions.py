"""Products are put beside the maps by station and day; one that fails costs a sentence, not the table."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from pyproj import Transformer

from pipeline.errors import ConfigError, DataError, EngineError
from pipeline.insitu.daily import Reading
from pipeline.insitu.matching import Window
from pipeline.products.named import named
from pipeline.products.predictions import RECORD, predictions_at, read
from pipeline.products.product import Days, Found, Report
from pipeline.scores.evidence import Asked, of_maps, places_in
from tests.pipeline.products.conftest import DAYS, ON_MAP, START, Study, stations


@dataclass(frozen=True)
class Plain:
    """0.1 at the first station, 0.2 at the second and so on, on the days it has."""

    name: str
    title: str = "Plain"
    source: str = "nowhere"
    first: int = 0
    error: str = ""
    factor: float = 0.1

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        if self.error:
            raise EngineError(self.error)
        report("reading", 0.5)
        values = np.full((len(days), len(places)), np.nan)
        values[self.first :] = self.factor * (np.arange(len(places)) + 1)
        return Found(values, ("something to know.",))


def test_further_products_stand_beside_the_maps(study: Study) -> None:
    reported: list[tuple[str, float]] = []
    found = predictions_at(
        study.work, stations(), [Plain("mine", first=10), Plain("other", "Other")],
        lambda what, share: reported.append((what, share)),
    )  # fmt: skip
    table = found.table.set_index(["station", "date"])
    for number, name in enumerate(ON_MAP, start=1):
        expected = np.full(DAYS, 0.1 * number)
        np.testing.assert_allclose(table.loc[name]["other"], expected)
        expected[:10] = np.nan
        np.testing.assert_allclose(table.loc[name]["mine"], expected)
    assert "Plain: something to know." in found.notes
    shares = [share for _, share in reported]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert ("Other: reading", pytest.approx(0.9)) in reported


def test_a_product_that_fails_is_left_out_with_its_reason(study: Study, tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "sm_20210401.tif", "w", driver="GTiff", count=1, height=1, width=1, dtype="float32",
        crs="EPSG:4326", transform=rasterio.Affine(1, 0, 117, 0, -1, 33),
    ) as file:  # fmt: skip
        file.write(np.full((1, 1, 1), 0.2, np.float32))
    products = [
        Plain("refused", "Refused", error="Earth Engine does not answer"),
        Plain("empty", "Empty", first=DAYS),
        Plain("percent", "Percent", factor=10),
        named(f"late={tmp_path}"),
        Plain("good", "Good"),
    ]
    found = predictions_at(study.work, stations(), products)
    assert "good" in found.table
    assert not {"refused", "empty", "percent", "late"} & set(found.table.columns)
    told = "\n".join(found.notes)
    assert "Refused is not compared: Earth Engine does not answer" in told
    assert f"Empty is not compared: nowhere has no value at any of the {len(ON_MAP)} stations" in told
    assert "Percent is not compared: nowhere: 100.0% of its values lie outside" in told
    assert "late is not compared" in told
    assert "it has 1 day of 2021-04-01 to 2021-04-01" in told


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sm"], "'sm' is a column of gee-smap's own"),
        (["catboost"], "'catboost' is a column"),
        (["insitu"], "'insitu' is a column"),
        (["rain"], "'rain' is a column"),  # which validate takes for no product
        (["doy"], "'doy' is a column"),
        (["Mine"], "'Mine' is no name of a product"),
        (["mine", "mine"], "'mine' is given twice"),
    ],
)
def test_names_must_be_columns_of_their_own(study: Study, names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predictions_at(study.work, stations(), [Plain(name) for name in names])


@pytest.fixture(scope="module")
def insitu(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements at the stations: 0.02 more than the map, and noise."""
    random = np.random.default_rng(2)
    table = predictions_at(study.work, stations()).table[["station", "date", "lon", "lat", "sm"]]
    table["insitu"] = (table.pop("sm") + 0.02 + random.normal(0, 0.01, len(table))).clip(0, 1)
    path = tmp_path_factory.mktemp("insitu") / "insitu.csv"
    table.dropna().assign(simulated=True).to_csv(path, index=False)
    return path


def test_the_table_is_written_with_what_it_is_made_of(study: Study, insitu: Path) -> None:
    made = predictions_at(study.work, places_in(insitu), [Plain("mine"), Plain("bad", "Bad", error="no")])
    path = study.work.predictions
    made.write(path)
    table = pd.read_parquet(path)
    assert {"sm", "smap", "smap_bilinear", "wp", "xgboost", "lightgbm", "catboost", "mine"} <= set(table)
    assert set(table["station"]) == {"plain", "border", "nowhere", "gap", "twin"}  # those that measured
    told = read(path.parent)
    assert told is not None
    assert [one.name for one in told.products][-1] == "mine"
    assert told.products[-1].source == "nowhere"
    assert "Bad is not compared: no" in told.notes
    (path.parent / RECORD).write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        read(path.parent)
    assert read(path.parent / "elsewhere") is None


def test_maps_are_scored_against_the_table(study: Study, insitu: Path) -> None:
    how, asked = Reading(Window(centre=-1.5)), Asked(minimum_pairs=3)
    done = of_maps(study.work, insitu, how, asked, lambda what, share: None, [Plain("mine")])
    table = pd.read_csv(study.work.validation / "stations.csv").set_index("station")
    pairs = pd.read_parquet(study.work.predictions).merge(
        pd.read_csv(insitu, parse_dates=["date"]), on=["station", "date"]
    )
    compared = ["insitu", *done.validation.products]
    whole = pairs.dropna(subset=compared)
    for name, rows in whole.groupby("station"):
        if len(rows) >= 3:
            assert table.loc[name, "n"] == len(rows)
            assert table.loc[name, "sm_bias"] == pytest.approx((rows["sm"] - rows["insitu"]).mean(), rel=1e-4)
    assert done.rain is None and done.triple is None
    assert done.as_dict()["rain"] is None


def test_places_are_the_stations_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "insitu.csv"
    path.write_text(
        "station,lon,lat,date,insitu\na,117,32,2019-06-01,0.2\na,117,32,2019-06-02,0.2\nb,,32,,\n"
    )
    assert places_in(path).to_dict("list") == {"station": ["a"], "lon": [117.0], "lat": [32.0]}
    path.write_text("station,date,insitu\na,2019-06-01,0.2\n")
    with pytest.raises(DataError, match="has no column lon, lat"):
        places_in(path)
    path.write_text("station,lon,lat\na,,\n")
    with pytest.raises(DataError, match="no row has a station with lon and lat"):
        places_in(path)


def test_a_folder_of_images_in_the_maps_own_grid_gives_the_maps_own_values(study: Study) -> None:
    found = predictions_at(study.work, stations(), [named(f"again={study.work.images}")])
    np.testing.assert_array_equal(found.table["again"], found.table["sm"])


def test_the_day_is_the_files_day(study: Study, tmp_path: Path) -> None:
    to_grid = Transformer.from_crs("EPSG:4326", "EPSG:32650", always_xy=True)
    assert to_grid.transform(117, 32)[0] == pytest.approx(500_000)
    day = START + dt.timedelta(days=7)
    with rasterio.open(
        tmp_path / f"sm_{day:%Y_%j}.tif", "w", driver="GTiff", count=1, height=2, width=2, dtype="float32",
        crs="EPSG:4326", transform=rasterio.Affine(1, 0, 116, 0, -1, 33),
    ) as file:  # fmt: skip
        file.write(np.array([[[0.1, 0.2], [0.3, 0.4]]], np.float32))
    found = predictions_at(study.work, stations(), [named(f"mine={tmp_path}")])
    rows = found.table.dropna(subset="mine")
    assert set(rows["date"]) == {pd.Timestamp(day)}
    east = rows["lon"] > 117
    np.testing.assert_allclose(rows["mine"], np.where(east, 0.2, 0.1), atol=1e-6)
