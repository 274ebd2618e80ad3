"""The command ``run``: the whole chain of a small study on the local engine, again, updated, refused."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ee
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from gee import predictors
from gee.recipe import PAPER, RECOMMENDED
from gee.timeseries import Calendar
from models.errors import SampleError
from pipeline import planning, run
from pipeline.errors import ConfigError
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

pytestmark = pytest.mark.usefixtures("engine_of_tests")

STUDY = """\
name = "Small, but whole"

[region]
bbox = [116.6, 31.0, 117.1, 31.4]

[period]
start = 2019-09-01
end = 2019-09-04

[model]
n_folds = 2

[splits]
names = ["random"]
"""
COLLECTION = "projects/my-project/assets/gee-smap/small-but-whole"


class Ran(NamedTuple):
    study: Path
    work: WorkDir
    told: dict[str, Any]


def run_it(gee_smap: Callable[..., Any], work: WorkDir, *more: object) -> dict[str, Any]:
    told = gee_smap("run", "--workdir", work.root, "--json", *more)
    assert told.code == 0, told.err
    answer: dict[str, Any] = json.loads(told.out)
    return answer


@pytest.fixture(scope="module")
def ran(gee_smap, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("chain")
    study = folder / "study.toml"
    study.write_text(STUDY, encoding="utf-8")
    work = WorkDir(folder / "work")
    return Ran(study, work, run_it(gee_smap, work, "--study", study))


def test_the_chain_leaves_every_result_and_says_that_all_is_simulated(ran: Ran) -> None:
    assert ran.told["simulated"] is True
    assert ran.told["made"] is True
    assert [stage["name"] for stage in ran.told["stages"]] == list(run.STAGES)
    work = ran.work
    for path in (work.cube, work.samples, work.model, work.prediction, work.map, work.report, work.truth):
        assert path.exists()
    assert "imulated" in Path(ran.told["map"]).read_text(encoding="utf-8")
    assert "imulated" in Path(ran.told["report"]).read_text(encoding="utf-8")
    samples = pd.read_parquet(work.samples)
    assert samples["simulated"].all()
    assert sorted(samples["date"].astype(str).unique()) == [f"2019-09-0{day}" for day in (1, 2, 3, 4)]
    with xr.open_zarr(work.prediction, consolidated=False) as prediction:
        assert prediction.attrs["simulated"] == 1
        shown = prediction["sm"].to_numpy()
    assert np.isfinite(shown).mean() > 0.3
    assert 0 < np.nanmin(shown) < np.nanmax(shown) < 0.6


def test_published_images_hold_what_the_files_hold(ran: Ran) -> None:
    images = ee.ImageCollection(COLLECTION)
    assert images.aggregate_array("system:index").getInfo() == [f"2019090{day}" for day in (1, 2, 3, 4)]
    image = ee.Image(f"{COLLECTION}/20190903")
    assert image.get("simulated").getInfo() == 1
    with rasterio.open(ran.work.images / "sm_20190903.tif") as file:
        values = file.read(1, masked=True)
        row, column = np.argwhere(~values.mask)[values.count() // 2]
        x, y = file.xy(row, column)
        place = ee.Geometry.Point([x, y], str(file.crs))
    found = image.reduceRegion(ee.Reducer.first(), place, 10).get("sm").getInfo()
    assert found == pytest.approx(float(values[row, column]), abs=1e-6)


def test_scores_against_the_truth_are_those_of_the_maps(ran: Ran) -> None:
    rows = {row["product"]: row for row in json.loads(ran.work.truth.read_text(encoding="utf-8"))}
    assert set(rows) == {
        "Downscaled", "Stack, uncorrected", "XGBoost", "LightGBM", "CatBoost", "SMAP, nearest",
        "SMAP, bilinear",
    }  # fmt: skip
    assert len({row["n"] for row in rows.values()}) == 1
    stations = pd.read_parquet(ran.work.stations)
    first = stations.iloc[0]
    truth = ee.Image(ee.ImageCollection("simulated/truth/soil_moisture_1km").filterDate("2019-09-01").first())
    place = ee.Geometry.Point([first["lon"], first["lat"]])
    expected = truth.reduceRegion(ee.Reducer.first(), place, 10).get("sm").getInfo()
    assert first["insitu"] == pytest.approx(expected, abs=0.1)  # a probe's error is 0.02 m³/m³
    assert abs(first["insitu"] - expected) > 1e-6


def test_a_second_run_does_nothing_and_says_so(ran: Ran, gee_smap) -> None:
    before = {path: path.stat().st_mtime_ns for path in ran.work.root.rglob("*.tif")}
    again = run_it(gee_smap, ran.work)
    assert [stage["name"] for stage in again["stages"] if stage["made"]] == []
    assert again["made"] is False
    assert {path: path.stat().st_mtime_ns for path in ran.work.root.rglob("*.tif")} == before
    assert again["truth"] == ran.told["truth"]


def test_a_stage_that_the_maps_can_do_without_does_not_stop_the_run(
    ran: Ran, gee_smap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SampleError("there is nothing to explain")

    work = WorkDir(tmp_path / "work")
    shutil.copytree(ran.work.root, work.root)
    shutil.rmtree(work.explanation, ignore_errors=True)
    monkeypatch.setattr(run, "explain_model", broken)
    told = run_it(gee_smap, work)
    assert "The stage explain could not be done: there is nothing to explain" in told["notes"]
    assert [stage["name"] for stage in told["stages"]] == list(run.STAGES)
    assert "The model has not been explained." in work.report.read_text(encoding="utf-8")


def test_the_commands_of_single_stages_find_the_work_directory(ran: Ran, gee_smap) -> None:
    status = json.loads(gee_smap("status", "--workdir", ran.work.root, "--json").out)
    assert {task["state"] for task in status["tasks"]} == {"succeeded"}
    assert json.loads(gee_smap("cancel", "--workdir", ran.work.root, "--json").out) == {"cancelled": 0}
    cleaned = json.loads(gee_smap("clean", "--workdir", ran.work.root, "--yes", "--json").out)
    # The images hold their pixels themselves; what was exported is still the plan's.
    assert [name.rpartition("-")[0] for name in cleaned["found"]] == [
        f"small-but-whole/images/sm_2019090{day}" for day in (1, 2, 3, 4)
    ]
    assert cleaned["removed"] == cleaned["found"]
    again = json.loads(gee_smap("clean", "--workdir", ran.work.root, "--json").out)
    assert again == {"found": [], "removed": []}
    published = json.loads(gee_smap("publish", "--workdir", ran.work.root, "--json").out)
    assert set(published["images"].values()) == {"unchanged"}
    rights = json.loads(gee_smap("share", "--workdir", ran.work.root, "--list", "--json").out)
    assert rights["collection"] == COLLECTION
    predicted = json.loads(gee_smap("predict", "--workdir", ran.work.root, "--workers", 1, "--json").out)
    assert predicted["computed"] == 0
    measured = gee_smap(
        "validate", "--workdir", ran.work.root, "--insitu", ran.work.stations, "--minimum-pairs", 4, "--json"
    )
    assert json.loads(measured.out)["stations"]["scored"] > 10
    page = json.loads(gee_smap("map", "--workdir", ran.work.root, "--json").out)
    assert Path(page["page"]).parent == ran.work.map
    for command in ("status", "publish", "map", "report", "update"):
        refused = gee_smap(command, "--workdir", ran.work.root / "nothing")
        assert refused.code == 2
        assert "is no work directory" in refused.err


@pytest.mark.long
def test_an_update_adds_days_with_the_same_model(ran: Ran, gee_smap) -> None:
    card = (ran.work.model / "model.json").read_bytes()
    kept = (ran.work.images / "sm_20190902.tif").stat().st_mtime_ns
    told = gee_smap("update", "--workdir", ran.work.root, "--until", "2019-09-05", "--json")
    assert told.code == 0, told.err
    answer = json.loads(told.out)
    assert (answer["before"], answer["end"], answer["provisional_from"]) == ("2019-09-04", "2019-09-05", None)
    assert answer["published"]["images"]["20190905"] == "new"
    assert (ran.work.model / "model.json").read_bytes() == card
    assert (ran.work.images / "sm_20190902.tif").stat().st_mtime_ns == kept
    assert ee.ImageCollection(COLLECTION).size().getInfo() == 5
    assert Manifest.read(ran.work.manifest).end == dt.date(2019, 9, 5)
    again = json.loads(gee_smap("update", "--workdir", ran.work.root, "--until", "2019-09-05", "--json").out)
    assert again["published"] is None


def test_a_work_directory_is_of_one_study(ran: Ran, gee_smap, tmp_path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(STUDY.replace("Small", "Other"), encoding="utf-8")
    refused = gee_smap("run", "--study", other, "--workdir", ran.work.root)
    assert refused.code == 2
    assert "belongs to another study (Small, but whole" in refused.err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    refused = gee_smap("run", "--study", other, "--workdir", tmp_path / "full")
    assert refused.code == 2
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_files_that_the_study_names_come_along(tmp_path) -> None:
    square = [[116.6, 31.0], [117.1, 31.0], [117.1, 31.4], [116.6, 31.4], [116.6, 31.0]]
    region = {"type": "Polygon", "coordinates": [square]}
    (tmp_path / "mine" / "maps").mkdir(parents=True)
    (tmp_path / "mine" / "maps" / "region.geojson").write_text(json.dumps(region), encoding="utf-8")
    study = tmp_path / "mine" / "study.toml"
    text = STUDY.replace("bbox = [116.6, 31.0, 117.1, 31.4]", 'geojson = "maps/region.geojson"')
    study.write_text(text, encoding="utf-8")
    work = WorkDir(tmp_path / "work")
    assert run.begin(work, study).hash == run.begin(work, None).hash
    assert json.loads((work.root / "maps" / "region.geojson").read_text(encoding="utf-8")) == region
    work.study.rename(work.root / ".study.4711.toml")  # as a kill before the last step leaves it
    assert run.begin(work, study).hash == run.begin(work, None).hash
    work.study.unlink()
    (work.root / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="holds something else"):
        run.begin(work, study)
    study.write_text(text.replace("maps/", "../mine/maps/"), encoding="utf-8")
    with pytest.raises(ConfigError, match="lies above the study's folder"):
        run.begin(WorkDir(tmp_path / "elsewhere"), study)


# Which days may still change


def day(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000


@pytest.mark.parametrize(
    ("stream", "newest", "last"),
    [
        ("lst", "2019-09-24", "2019-09-04"),  # all 20 days after it are there
        ("lst", "2019-09-20", "2019-08-31"),
        ("reflectance", "2019-09-14", "2019-09-01"),  # its eight days end on the 21st
        ("sentinel1", "2019-08-31", "2019-09-04"),  # the next pass may come as late as 09-12
        ("sentinel1", "2019-08-20", "2019-08-27"),
    ],
)
def test_a_day_is_complete_when_what_fills_it_is_there(stream: str, newest: str, last: str) -> None:
    one = predictors.STREAMS[stream]
    reach = Calendar(dt.date(2019, 9, 1), dt.date(2019, 9, 4)).padded(*predictors.margins(one, RECOMMENDED))
    found = planning.complete_until(one, day(newest), reach, RECOMMENDED)
    assert found == dt.date.fromisoformat(last)


def test_an_archive_without_any_recent_image_completes_no_day() -> None:
    one = predictors.STREAMS["albedo"]
    reach = Calendar(dt.date(2019, 9, 1), dt.date(2019, 9, 4)).padded(*predictors.margins(one, PAPER))
    assert planning.complete_until(one, None, reach, PAPER) < dt.date(2019, 9, 1)
