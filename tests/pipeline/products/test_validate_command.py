"""``gee-smap validate`` as a user types it: a shared collection alone, assets beside maps, tables of predict.

Everything is simulated; the local engine stands in for Google, whose settings a collaborator need not have.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from gee.connection import GOOGLE, Connection, connect
from gee.local.rest.process import Child
from pipeline.cloud import place
from pipeline.cloud.storage import open_bucket
from pipeline.insitu.daily import Reading
from pipeline.insitu.matching import Window
from pipeline.publishing.publish import publish
from pipeline.scores.evidence import Asked, of_collection
from tests.conftest import PROJECT
from tests.pipeline.products.conftest import Study, stations
from tests.pipeline.publishing import made
from tests.pipeline.publishing.elsewhere import QUICK

PIXELS = {"a": (12, 20), "b": (20, 30), "c": (25, 12)}  # row and column; all have values on the three days
TRUTH = "simulated/truth/soil_moisture_1km"


def quiet(what: str, share: float) -> None:
    pass


@pytest.fixture(scope="module")
def collection(server: Child, real_client: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three days of maps, published as ``gee-smap publish`` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        connect(server.address.url, PROJECT)
    work = made.work_directory(tmp_path_factory.mktemp("published") / "work")
    name = f"{made.ROOT}/v{uuid.uuid4().hex[:10]}"
    bucket = open_bucket(f"sm-{uuid.uuid4().hex[:8]}", PROJECT, server.address.storage, create=True)
    publish(work, name, bucket, "study/validate", quiet, patience=QUICK)
    return name


@pytest.fixture
def google(server: Child, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Settings of an account on Google with a project and nothing else; the local engine answers."""
    asked: list[str] = []

    def connected(engine: str, project: str, credentials: object, *, state: object = None) -> Connection:
        asked.append(engine)
        connect(server.address.url, PROJECT)
        return Connection(GOOGLE, None, project)

    monkeypatch.chdir(tmp_path)
    for name in ("GEE_SMAP_BUCKET", "GEE_SMAP_ASSETS", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEE_SMAP_ENGINE", GOOGLE)
    monkeypatch.setenv("GEE_SMAP_PROJECT", "theirs")
    monkeypatch.setattr(place, "connect", connected)
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    return asked


def readings(path: Path) -> Path:
    """Probes in the pixels, 0.02 wetter than the maps at 06:30 in China and 0.3 drier ten hours later."""
    row, column = (np.array(axis) for axis in zip(*PIXELS.values(), strict=True))
    to_degrees = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(500_000 + 1000 * (column + 0.4), 3_600_000 - 1000 * (row + 0.6))
    rows = [
        {"station": name, "lon": lon[number], "lat": lat[number], "depth": 0.05, "time": f"{day}T{time}",
         "value": float(made.soil_moisture(index)[PIXELS[name]]) + more}
        for number, name in enumerate(PIXELS)
        for index, day in enumerate(made.DAYS)
        for time, more in (("06:30", 0.02), ("16:30", -0.04))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_whoever_was_shown_a_collection_alone_validates_it_with_stations_of_their_own(
    gee_smap, collection: str, google: list[str], tmp_path: Path
) -> None:
    insitu, out = readings(tmp_path / "mine.csv"), tmp_path / "out"
    told = gee_smap(
        "validate", "--collection", collection, "--insitu", insitu, "--timezone", "Asia/Shanghai", "--out",
        out, "--minimum-pairs", 3,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert google == [GOOGLE]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["products"] == ["sm", "smap", "smap_bilinear"]
    assert summary["simulated"] is True
    scores = pd.read_csv(out / "stations.csv").set_index("station")
    assert scores["n"].to_dict() == dict.fromkeys(PIXELS, 3)
    np.testing.assert_allclose(scores["sm_bias"], -0.02, atol=1e-6)
    np.testing.assert_allclose(scores["sm_r"], 1, atol=1e-6)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert collection in page
    assert "Simulated data" in told.out


def test_readings_are_taken_around_the_hours_that_the_collection_names(
    collection: str, google: list[str], server: Child, tmp_path: Path
) -> None:
    connect(server.address.url, PROJECT)
    how = Reading(Window(centre=8.5, hours=2), timezone="Asia/Shanghai")  # 16:30 in China
    found = of_collection(
        collection, readings(tmp_path / "mine.csv"), tmp_path / "out", how, Asked(minimum_pairs=3), quiet
    )
    np.testing.assert_allclose(found.validation.stations["sm_bias"], -0.02, atol=1e-6)
    assert any("nearest to 22:30 UTC of the day before, within 1 hours" in note for note in found.notes)


def test_a_collection_that_is_not_shared_is_said(gee_smap, google: list[str], tmp_path: Path) -> None:
    told = gee_smap(
        "validate", "--collection", f"{made.ROOT}/nothing_here", "--insitu", readings(tmp_path / "mine.csv"),
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert told.code == 2
    assert "does not exist, or you may not read it" in told.err
    assert not (tmp_path / "out" / "summary.json").exists()


def test_an_asset_of_the_catalogue_beside_maps_connects_the_engine(
    gee_smap, study: Study, google: list[str], real_client: None, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(study.work.root, work)
    (work / "study.toml").write_text(made.STUDY, encoding="utf-8")
    rows = stations().drop_duplicates("station")
    days = [study.manifest.start + dt.timedelta(days=number) for number in range(12)]
    table = rows.merge(pd.DataFrame({"date": days}), how="cross")
    table["insitu"] = 0.2 + 0.001 * table.groupby("station").cumcount()
    table.assign(simulated=True).to_csv(tmp_path / "insitu.csv", index=False)
    told = gee_smap(
        "validate", "--workdir", work, "--insitu", tmp_path / "insitu.csv", "--product",
        f"truth={TRUTH}", "--json",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert google == [GOOGLE]
    summary = json.loads(told.out)
    assert "truth" in summary["products"]
    assert any("outside the region left out (off the map)" in note for note in summary["notes"])


def test_the_base_models_in_a_table_of_predict_are_products(
    gee_smap, trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.figures.style.DPI", 40)
    at = trained.region.stations
    table = trained.region.samples.rename(columns={"sm": "smap"}).query("cell in @at.station")
    table.to_parquet(tmp_path / "t.parquet")
    out = tmp_path / "p.csv"
    told = gee_smap("predict", "--model", trained.model, "--table", tmp_path / "t.parquet", "--out", out)
    assert told.code == 0, told.err
    at.to_parquet(tmp_path / "i.parquet")
    told = gee_smap(
        "validate",
        "--predictions",
        out,
        "--insitu",
        tmp_path / "i.parquet",
        "--out",
        tmp_path / "v",
        "--json",
    )
    assert told.code == 0, told.err
    summary = json.loads(told.out)
    assert summary["products"] == ["sm", "wp", "xgboost", "lightgbm", "catboost", "smap"]
    predicted = pd.read_csv(out).astype({"cell": str})
    measured = at.astype({"station": str}).assign(date=pd.to_datetime(at["date"]).dt.strftime("%Y-%m-%d"))
    pairs = measured.merge(predicted, left_on=["station", "date"], right_on=["cell", "date"])
    pairs = pairs.dropna(subset=["insitu", *summary["products"]])
    for name in summary["products"]:
        expected = (pairs[name] - pairs["insitu"]).mean()
        assert summary["pooled"][name]["bias"] == pytest.approx(expected, abs=1e-6)
