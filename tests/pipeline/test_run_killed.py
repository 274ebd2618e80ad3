"""A run that is killed at random moments, and run again: nothing twice, nothing missing, no half-file."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import ee
import pytest
import rasterio

from gee.local.rest.process import Child
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("engine_of_tests")]

KILLS = 10
SLOWEST = 600  # seconds for a run that nobody kills
STUDY = """\
name = "killed"
[region]
bbox = [116.6, 31.0, 117.0, 31.35]
[period]
start = 2019-09-01
end = 2019-09-02
[model]
n_folds = 2
[splits]
names = ["random"]
"""


def started(work: WorkDir, study: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "run",
        "--workdir",
        work.root,
        "--study",
        study,
        "--json",
    ]
    return subprocess.Popen(
        [str(part) for part in command], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=os.environ.copy(), start_new_session=True,
    )  # fmt: skip


def test_ten_kills_lose_nothing_and_make_nothing_twice(client: Child, tmp_path: Path) -> None:
    study, work = tmp_path / "study.toml", WorkDir(tmp_path / "work")
    study.write_text(STUDY, encoding="utf-8")
    chance = random.Random(7)  # noqa: S311 - moments, no secrets
    kills = 0
    while kills < KILLS:
        process = started(work, study)
        try:
            process.wait(chance.uniform(2, 15))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        else:  # done: what is made on this machine is lost, so that the next one has something to do
            for made in (work.cube, work.model, work.prediction, work.images):
                shutil.rmtree(made, ignore_errors=True)
        process.communicate()
    process = started(work, study)
    out, err = process.communicate(timeout=SLOWEST)
    assert process.returncode == 0, err.decode()
    answer = json.loads(out)

    url = f"{client.address.url}/v1/projects/my-project/operations?pageSize=1000"
    with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - the local engine
        operations = [one["metadata"] for one in json.load(reply)["operations"]]
    manifest = Manifest.read(work.manifest)
    wanted = {task.task for task in manifest.tasks}
    done = Counter(one["description"] for one in operations if one["description"] in wanted)
    assert done == dict.fromkeys(wanted, 1)
    images = ee.ImageCollection(answer["collection"]).aggregate_array("system:index").getInfo()
    assert images == ["20190901", "20190902"]
    for path in work.images.glob("*.tif"):
        with rasterio.open(path) as file:
            assert file.read(1, masked=True).count() > 0
    left = [path for path in work.root.rglob(".*") if "partial" in path.name or path.suffix == ".tif"]
    assert left == []
