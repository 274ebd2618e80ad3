"""``gee-smap local``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from pipeline.cli import app


def run(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["local", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_serve_prints_one_line_and_stops_on_sigterm(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "local", "serve", "--state", tmp_path, "--with-storage"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    address = json.loads(server.stdout.readline())
    assert set(address) == {"url", "storage", "state", "pid"}
    assert address["pid"] == server.pid
    with urllib.request.urlopen(f"{address['url']}/$discovery/rest?version=v1", timeout=10) as answer:  # noqa: S310
        assert json.load(answer)["id"] == "earthengine:v1"
    key = tmp_path / "carol.json"
    assert "carol-tester@" in run("account", "carol-tester", "--state", tmp_path, "--out", key)
    assert json.loads(key.read_text(encoding="utf-8"))["token_uri"] == f"{address['url']}/token"
    assert key.stat().st_mode & 0o077 == 0
    os.kill(server.pid, signal.SIGTERM)
    rest, errors = server.communicate(timeout=20)
    assert (server.returncode, rest) == (0, ""), errors


def test_coverage_counts_every_documented_algorithm() -> None:
    listed = run("coverage")
    found = re.search(r"(\d+) of 991 algorithms are supported", listed)
    assert found
    as_json = json.loads(run("coverage", "--json"))
    assert len(as_json["supported"]) == int(found[1])
    assert len(as_json["supported"]) + len(as_json["unsupported"]) == 991
    assert "Number.add" in as_json["supported"]
    assert "Number.add" not in run("coverage", "--unsupported")


def test_an_account_needs_an_engine_or_its_address(tmp_path: Path) -> None:
    assert "gee-smap local serve" in run("account", "dave-tester", "--state", tmp_path, code=2)
    out = tmp_path / "dave.json"
    arguments = (
        "account",
        "dave-tester",
        "--state",
        tmp_path,
        "--url",
        "http://127.0.0.1:8085",
        "--out",
        out,
    )
    run(*arguments)
    assert json.loads(out.read_text(encoding="utf-8"))["token_uri"] == "http://127.0.0.1:8085/token"  # noqa: S105
    assert "exists" in run(*arguments, code=2)


def test_mount_tells_what_was_mounted(tmp_path: Path) -> None:
    path = tmp_path / "sm.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=2, width=2, count=2, dtype="float32", crs="EPSG:4326",
        transform=rasterio.Affine(1, 0, 116, 0, -1, 33),
    ) as target:  # fmt: skip
        target.write(np.ones((2, 2, 2), "float32"))
    state = tmp_path / "state"
    arguments = ("mount", "projects/my-project/assets/sm", path, "--state", state)
    assert run(*arguments) == "image  projects/my-project/assets/sm\nbands  b1, b2\n"
    again = json.loads(
        run(*arguments, "--start", "2019-04-07T00:00:00Z", "--properties", '{"a": 1}', "--json")
    )
    assert (again["startTime"], again["properties"]) == ("2019-04-07T00:00:00Z", {"a": 1})
    assert again["bands"][0]["grid"]["dimensions"] == {"width": 2, "height": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mount", "a/b", "/nowhere.tif"), "there is no such file"),
        (("mount", "a b", "FILE"), "Invalid asset name"),
        (("mount", "a/b", "FILE", "--properties", "[1]"), "must be a JSON object"),
        (("mount", "a/b", "FILE", "--properties", "{"), "is no JSON"),
        (("mount", "a/b", "FILE", "--start", "yesterday"), "RFC 3339"),
        (("account", "A"), "Invalid account name"),
    ],
)
def test_a_users_mistake_ends_with_its_message_and_code_2(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "table.csv"
    file.write_text("longitude,latitude\n117,32\n", encoding="utf-8")
    given = [str(file) if part == "FILE" else part for part in arguments]
    url = ["--url", "http://127.0.0.1:1"] if arguments[0] == "account" else []
    assert message in run(*given, "--state", tmp_path / "state", *url, code=2)
