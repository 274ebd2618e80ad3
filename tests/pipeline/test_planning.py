"""The command ``plan``: what it promises of Anhui 2019, and everything it refuses before a task is submitted.

The engine is the local one with its simulated sources; nothing here speaks of real data.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ee
import pytest

import gee.connection
from gee import regions
from gee.connection import LocalAddress, local_account
from gee.local.rest.process import Child
from gee.recipe import PAPER, RECOMMENDED, Recipe

ROOT = Path(__file__).parents[2]
ASSETS = "projects/my-project/assets"
MONTHS = {"04": 30, "05": 31, "06": 30, "07": 31, "08": 31, "09": 30, "10": 31, "11": 1}
DYNAMIC = 9  # ndvi, ndwi, nsdsi, evi, lst, lai, albedo, vv, vh
BOX = "bbox = [116.2, 31.6, 117.1, 32.4]"
JULY = "start = 2019-07-01\nend = 2019-07-10"


pytestmark = pytest.mark.usefixtures("engine_of_tests")


@pytest.fixture
def submitted(client: Child) -> Callable[[], list[str]]:
    """The names of all tasks of the engine's project."""

    def names() -> list[str]:
        url = f"{client.address.url}/v1/projects/my-project/operations"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the local engine
            return [operation["name"] for operation in json.load(answer).get("operations", [])]

    return names


def write(folder: Path, region: str = BOX, period: str = JULY, more: str = "", preset: str = "") -> Path:
    """A study file; ``more`` is further sections."""
    path = folder / "study.toml"
    head = f'name = "here"\n{preset}\n'
    path.write_text(f"{head}[region]\n{region}\n[period]\n{period}\n{more}\n", encoding="utf-8")
    return path


def polygons(*corners: tuple[float, float, float, float], **properties: list[Any]) -> dict[str, Any]:
    """A GeoJSON of rectangles with properties."""
    features = []
    for number, (west, south, east, north) in enumerate(corners):
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {name: values[number] for name, values in properties.items()},
            }
        )
    return {"type": "FeatureCollection", "features": features}


# The plan of Anhui


@pytest.fixture(scope="module")
def anhui(gee_smap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paper's study with the version of SMAP that the local engine has."""
    path = tmp_path_factory.mktemp("anhui") / "anhui.toml"
    assert gee_smap("init", path, "--example", "anhui-2019").code == 0
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[preparation]\n", '[preparation]\nsmap = "008"\n'), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def planned(gee_smap, anhui: Path) -> dict[str, Any]:
    """Both presets' plans as JSON."""
    told = gee_smap("plan", "--study", anhui, "--dry-run", "--json")
    assert told.code == 0, told.err
    answer: dict[str, Any] = json.loads(told.out, parse_constant=pytest.fail)
    return answer


@pytest.mark.parametrize("number", [0, 1], ids=["recommended", "paper"])
def test_the_season_of_anhui_takes_few_tasks_and_small_requests(planned, number):
    plan = planned["plans"][number]
    names = [task["name"] for task in plan["tasks"]]
    assert names == [
        "static", "cells-static",
        *(f"{kind}-2019-{month}" for month in MONTHS for kind in ("dynamic", "cells")),
    ]  # fmt: skip
    assert len(names) <= 30
    assert max(task["request_bytes"] for task in plan["tasks"]) < 1_000_000
    height, width = plan["height"], plan["width"]
    for task in plan["tasks"]:
        month = task["name"][-2:]
        if task["name"].startswith("dynamic"):
            assert len(task["columns"]) == MONTHS[month] * (DYNAMIC + 1)  # and the radar days of each mean
            assert task["output_bytes"] == height * width * len(task["columns"]) * 4
            assert task["megapixels"] > 0


def test_grid_cells_and_partitions_of_anhui(planned):
    recommended, paper = planned["plans"]
    assert (recommended["preset"], paper["preset"]) == ("recommended", "paper")
    for plan in (recommended, paper):
        assert plan["places"] == ["Anhui Province"]
        assert plan["area_km2"] == pytest.approx(140_100, rel=0.01)  # as of the province's own pages
        assert plan["partitions"] == ["HB", "JH", "WX", "YJ", "WN"]
        assert plan["crs"] == "EPSG:32650"
        x_scale, _, left, _, y_scale, top = plan["crs_transform"]
        assert (x_scale, y_scale) == (1000, -1000)
        assert left % 9000 == top % 9000 == plan["width"] % 9 == plan["height"] % 9 == 0
        assert plan["simulated"] is True
    assert paper["cells"] == paper["width"] * paper["height"] / 81
    # One EASE cell has 9.008² km²; 15 in 100 have no pixel of the raster on Earth Engine.
    west, south, east, north = 114.89, 29.4, 119.62, 34.64
    box_km2 = (east - west) * 111.32 * (north - south) * 111.0 * 0.848  # cosine of 32 degrees
    assert recommended["cells"] == pytest.approx(box_km2 / 9.008**2 * 0.85, rel=0.03)


def test_the_dry_run_tells_every_choice_in_which_the_presets_differ(planned, gee_smap, anhui):
    rows = {row["choice"]: (row["recommended"], row["paper"]) for row in planned["preset_differences"]}
    assert rows == {
        "dates": ("pixel", "start"), "indices": ("guarded", "printed"), "inversions": ("all", "full"),
        "radar_mean": ("power", "decibels"), "radar_days": ("12", "13"), "soil": ("soilgrids", "hwsd"),
        "water": ("fraction", "majority"), "smap": ("008", "007"), "smap_bin": ("morning", "utc-06-09"),
        "registration": ("ease", "utm"),
    }  # fmt: skip
    ours, theirs = ({task["name"]: task["task"] for task in plan["tasks"]} for plan in planned["plans"])
    assert not {name for name in ours if ours[name] == theirs[name]}


def test_a_dry_run_shows_the_preset_that_can_be_planned_and_why_the_other_cannot(gee_smap, tmp_path):
    told = gee_smap("plan", "--study", write(tmp_path), "--dry-run", "--json")
    assert told.code == 2
    answer = json.loads(told.out)
    assert [plan["preset"] for plan in answer["plans"]] == ["recommended"]
    assert 'set soil = "soilgrids"' in " ".join(answer["refused"]["paper"].split())
    assert {row["choice"] for row in answer["preset_differences"]} >= {"soil", "registration"}


def test_a_single_day_is_a_study(gee_smap, tmp_path):
    day = "start = 2019-07-01\nend = 2019-07-01"
    told = gee_smap("plan", "--study", write(tmp_path, period=day), "--json")
    assert told.code == 0, told.err
    [plan] = json.loads(told.out)["plans"]
    assert (plan["start"], plan["end"]) == ("2019-07-01", "2019-07-01")
    assert [len(task["columns"]) for task in plan["tasks"] if task["name"] == "dynamic-2019-07"] == [10]


def test_the_same_study_has_the_same_tasks_in_another_process(planned, anhui):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "plan", "--study", anhui, "--json"],
        cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [again] = json.loads(done.stdout)["plans"]
    [first] = [plan for plan in planned["plans"] if plan["preset"] == "paper"]
    assert again == first
    assert len({task["task"] for task in again["tasks"]}) == len(again["tasks"])


def test_a_plan_for_people_says_what_it_amounts_to_and_that_it_is_simulated(gee_smap, tmp_path, submitted):
    before = submitted()
    told = gee_smap("plan", "--study", write(tmp_path))
    assert told.code == 0, told.err
    text = " ".join(told.out.split())
    assert "here, preset recommended: 4 tasks for 10 days" in text
    assert "dynamic-2019-07-" in text
    assert "a figure that was measured nowhere" in text
    assert "The sources are simulated by the local engine." in text
    assert submitted() == before


def test_checkpoints_are_assets_that_the_months_wait_for(gee_smap, tmp_path):
    folder = f"{ASSETS}/plan-checkpoints"
    study = write(tmp_path)
    missing = gee_smap("plan", "--study", study, "--checkpoints", folder)
    assert missing.code == 2
    assert f"earthengine create folder {folder}" in missing.err
    ee.data.createAsset({"type": "FOLDER"}, folder)
    told = gee_smap("plan", "--study", study, "--checkpoints", folder, "--json")
    assert told.code == 0, told.err
    [plan] = json.loads(told.out)["plans"]
    stored = [task for task in plan["tasks"] if task["kind"] == "asset"]
    assert [task["name"] for task in stored] == [
        f"checkpoint-{name}" for name in ("reflectance", "lst", "lai", "albedo", "sentinel1")
    ]
    assert all(task["asset"] == f"{folder}/{task['task']}" for task in stored)
    monthly = [task for task in plan["tasks"] if "2019-07" in task["name"]]
    assert all(task["needs"] == [task["name"] for task in stored] for task in monthly)
    assert all(task["megapixels"] == 0 for task in monthly)
    assert gee_smap("plan", "--study", study, "--checkpoints", "somewhere").code == 2


def test_the_documentation_has_every_choice_as_the_recipe_describes_it():
    text = (ROOT / "docs" / "preparation.md").read_text(encoding="utf-8")
    for name, field in Recipe.model_fields.items():
        ours, theirs = getattr(RECOMMENDED, name), getattr(PAPER, name)
        assert f"| `{name}` | {ours} | {theirs} | {field.description} |" in text


def test_a_dry_run_shows_the_bands_of_the_recommended_set(gee_smap, tmp_path):
    study = write(tmp_path, more='[predictors]\nset = "recommended"')
    told = gee_smap("plan", "--study", study, "--json")
    assert told.code == 0, told.err
    [plan] = json.loads(told.out)["plans"]
    columns = {name for task in plan["tasks"] for name in task["columns"]}
    assert {"DLST_20190701", "RAIN_3_20190701", "RAIN_30_20190701", "slope", "twi"} <= columns
    assert {"dlst", "dlst_valid", "rain_7", "rain_7_valid", "slope_valid"} <= columns
    assert plan["sources"]["rain"] == "UCSB-CHG/CHIRPS/DAILY"
    assert plan["sources"]["drainage"] == "MERIT/Hydro/v1_0_1"


# What is refused

OVER_HALVES = polygons((116, 31, 117, 33), (116.5, 31, 118, 33), name=["west", "east"])
NAMELESS = polygons((116, 31, 117, 33), (117, 31, 118, 33), name=["west", None])
IN_METRES = polygons((450_000, 3_500_000, 550_000, 3_600_000), name=["a"])
FILES: Mapping[str, Mapping[str, Any]] = {
    "overlapping.geojson": OVER_HALVES,
    "nameless.geojson": NAMELESS,
    "metres.geojson": IN_METRES,
    "fiji.geojson": polygons((177, -19, 181, -16)),
    "list.geojson": [],  # type: ignore[dict-item]
}
PARTITIONS = '[partitions]\nscheme = "file"\nname_property = "name"\npath = "{}"'
PARTITIONS_OF_TABLE = '[partitions]\nscheme = "asset"\nname_property = "name"\npath = "{}"'
NO_ASSET = f"{ASSETS}/no-such-thing"
RECOMMENDED_SET = '[predictors]\nset = "recommended"'

REFUSED = {
    "on the sea": ({"region": "bbox = [122.9, 28.0, 124.1, 29.2]"}, ["lies on the water", "longitude"]),
    "across the antimeridian, as a box": (
        {"region": "bbox = [179, -19, -179, -16]"}, ["bbox", "west < east"],
    ),
    "across the antimeridian, as polygons": (
        {"region": 'geojson = "fiji.geojson"'}, ["GeoJSON of the region", "split", "180th meridian"],
    ),
    "ten UTM zones": (
        {"region": "bbox = [70, 40, 130, 41]"}, ["70 to 130 E", "Split the region", "UTM zones"],
    ),
    "1 km²": ({"region": "bbox = [117.0, 31.8, 117.0105, 31.809]"}, ["1.0 by 1.0 km", "Give a larger one"]),
    "a continent": (
        {"region": "bbox = [73, 18, 135, 53]"}, ["million pixels", "GB", "compute unit hours", "Split it"],
    ),
    "an unknown place": ({"region": 'place = "Atlantis"'}, ["'Atlantis'", "matches nothing", "bbox"]),
    "an ambiguous place": (
        {"region": 'place = "Jiang"'},
        ["2 places", "Jiangsu Province, Jiangxi Province", "Give the whole name"],
    ),
    "in metres": ({"region": 'geojson = "metres.geojson"'}, ["GeoJSON of the region", "EPSG:4326"]),
    "no GeoJSON": ({"region": 'geojson = "list.geojson"'}, ["list.geojson", "no GeoJSON"]),
    "no such table": ({"region": f'asset = "{NO_ASSET}"'}, [NO_ASSET, "may not read", "share it"]),
    "before SMAP": (
        {"period": "start = 2015-03-01\nend = 2015-05-01"},
        ["NASA/SMAP/SPL4SMGP/008", "2015-03-31 on", "Start so late"],
    ),
    "before every source": (
        {"period": "start = 1999-03-01\nend = 1999-05-01"},
        ["MODIS/061/MOD09A1", "COPERNICUS/S1_GRD_FLOAT", "NASA/SMAP/SPL4SMGP/008"],
    ),
    "beyond the rain": (
        {"region": "bbox = [10, 49, 11, 50.5]", "more": RECOMMENDED_SET},
        ["UCSB-CHG/CHIRPS/DAILY): -50 to 50", "49.00 to 50.50", "leave rain_15, rain_3, rain_30, rain_7 out"],
    ),
    "beyond SRTM": (
        {"region": "bbox = [10, 59.9, 11, 60.5]"},
        ["CGIAR/SRTM90_V4): -60 to 60", 'set elevation = "glo30"'],
    ),
    "before the rain": (
        {"period": "start = 1981-01-15\nend = 1981-02-01", "more": RECOMMENDED_SET},
        ["UCSB-CHG/CHIRPS/DAILY", "1981-01-01 on"],
    ),
    "an unknown set of predictors": (
        {"more": '[predictors]\nset = "best"'}, ["predictors.set", "recommended"],
    ),
    "reversed dates": (
        {"period": "start = 2019-07-10\nend = 2019-07-01"}, ["period", "end 2019-07-01", "start 2019-07-10"],
    ),
    "partitions without names": (
        {"more": PARTITIONS.format("nameless.geojson")}, ["polygon 2", "no name", "'name'"],
    ),
    "partitions by another property": (
        {"more": PARTITIONS.format("overlapping.geojson").replace('"name"', '"unit"')},
        ["'unit'", "its properties: name"],
    ),
    "partitions that overlap": (
        {"more": PARTITIONS.format("overlapping.geojson")}, ["west", "east", "overlap"],
    ),
    "partitions in metres": (
        {"more": PARTITIONS.format("metres.geojson")}, ["GeoJSON of the partitions", "EPSG:4326"],
    ),
    "no such table of partitions": (
        {"more": PARTITIONS_OF_TABLE.format(NO_ASSET)}, [NO_ASSET, "may not read"],
    ),
    "no such soil": ({"more": f'[preparation]\nsoil = "{NO_ASSET}"'}, [NO_ASSET, "may not read"]),
    "the paper's soil": (
        {"preset": 'preset = "paper"'}, ["HWSD", 'soil = "soilgrids"'],
    ),
    "days without SMAP": (
        {"period": "start = 2025-12-20\nend = 2026-01-05"},
        [
            "NASA/SMAP/SPL4SMGP/008", "exactly one image", "choose another period",
            "2026-01-02 has 0, 2026-01-03 has 0, 2026-01-04 has 0, 2026-01-05 has 0:",
        ],
    ),
    "no radar": (
        {"region": "bbox = [100, 31, 101, 32]"}, ["COPERNICUS/S1_GRD_FLOAT", "ascending", 'orbit = "both"'],
    ),
    "four things at once": (
        {
            "region": "bbox = [117.0, 31.8, 117.01, 31.809]",
            "period": "start = 2015-01-01\nend = 2015-05-01",
            "preset": 'preset = "paper"', "more": PARTITIONS.format("nameless.geojson"),
        },
        ["Give a larger one", "NASA/SMAP/SPL4SMGP/007", "HWSD", "polygon 2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("study", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_told_before_anything_is_submitted(gee_smap, tmp_path, submitted, study, words):
    for name, content in FILES.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    before = submitted()
    told = gee_smap("plan", "--study", write(tmp_path, **study), "--json")
    assert (told.code, told.out) == (2, "")
    message = told.err[told.err.index("error:") :]
    for word in words:
        assert word in message
    assert submitted() == before


def test_a_continent_is_refused_before_it_is_measured(gee_smap, tmp_path):
    study = write(tmp_path, region="bbox = [-18, -35, 52, 38]")
    begun = time.perf_counter()
    told = gee_smap("plan", "--study", study)
    assert time.perf_counter() - begun < 10  # measuring its land takes the local engine minutes
    found = re.search(r"takes ([\d.]+) million pixels of 1 km \(allowed: 2\): (\d+) GB", told.err)
    assert found
    sphere = 6371**2 * math.radians(52 + 18) * (math.sin(math.radians(38)) + math.sin(math.radians(35)))
    assert float(found[1]) == pytest.approx(sphere / 1e6, rel=0.01)
    bands = 12 + 10 * (DYNAMIC + 1)  # once, and on each of ten days
    assert float(found[2]) == pytest.approx(sphere * bands * 4 / 1e9, rel=0.03)


def test_a_study_of_a_ready_table_has_no_plan(gee_smap, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('name = "here"\n', encoding="utf-8")
    told = gee_smap("plan", "--study", path)
    assert (told.code, told.out) == (2, "")
    assert "here has no region and no period" in told.err


# Assets of other people


@pytest.fixture(scope="module")
def private(client: Child) -> str:
    """A table of the engine's own user: a region, and a partition in it."""
    name = f"{ASSETS}/private-region"
    rectangle = ee.Geometry.Rectangle([116.2, 31.6, 117.1, 32.4], "EPSG:4326", False)
    table = ee.FeatureCollection([ee.Feature(rectangle, {"name": "all of it"})])
    task = ee.batch.Export.table.toAsset(table, "private", name)
    task.start()
    until = time.monotonic() + 60
    while task.active() and time.monotonic() < until:
        time.sleep(0.2)
    assert task.status()["state"] == "COMPLETED"
    return name


OF_ASSETS = {
    "region": lambda name: {"region": f'asset = "{name}"'},
    "partitions": lambda name: {"more": PARTITIONS_OF_TABLE.format(name)},
}


@pytest.mark.parametrize("use", OF_ASSETS)
def test_an_asset_serves_its_owner_and_nobody_else(
    gee_smap, tmp_path, monkeypatch, client, private, submitted, use
):
    study = write(tmp_path, **OF_ASSETS[use](private))
    mine = gee_smap("plan", "--study", study, "--json")
    assert mine.code == 0, mine.err
    [plan] = json.loads(mine.out)["plans"]
    assert len(plan["tasks"]) == 4
    assert plan["partitions"] == (["all of it"] if use == "partitions" else [])

    account = f"planner-{use}"
    key = tmp_path / "key.json"
    key.write_text(json.dumps(local_account(account, Path(client.address.state))), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setenv("GEE_SMAP_PROJECT", account)
    before = submitted()
    theirs = gee_smap("plan", "--study", study)
    assert (theirs.code, theirs.out) == (2, "")
    assert f"{private} does not exist, or you may not read it" in theirs.err
    assert "share it with the account in use" in theirs.err
    assert submitted() == before


def test_a_table_is_no_soil(gee_smap, tmp_path, private):
    told = gee_smap("plan", "--study", write(tmp_path, more=f'[preparation]\nsoil = "{private}"'))
    assert (told.code, told.out) == (2, "")
    assert f"{private} is no image" in told.err


# When the engine fails


def test_an_engine_that_does_not_answer_is_a_failure(gee_smap, tmp_path, monkeypatch):
    nobody = LocalAddress("http://127.0.0.1:9", None)
    monkeypatch.setattr(gee.connection, "_local_address", lambda *_: nobody)
    told = gee_smap("plan", "--study", write(tmp_path))
    assert (told.code, told.out) == (1, "")
    assert "No Earth Engine answers at http://127.0.0.1:9" in told.err


def test_what_the_engine_refuses_for_reasons_of_its_own_is_a_failure(gee_smap, tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "summary", lambda region: ee.List([]).get(3))
    told = gee_smap("plan", "--study", write(tmp_path))
    assert (told.code, told.out) == (1, "")
    assert "Earth Engine answers: List.get" in told.err
