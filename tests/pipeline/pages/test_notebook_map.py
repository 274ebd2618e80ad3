"""Layers on both kinds of geemap's map, against the local engine: names, legends, tiles that are served."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import ee
import numpy as np
import pytest
import requests
from PIL import Image

from gee.layers import Layer
from gee.local.rest.process import Child
from pipeline.errors import ConfigError
from pipeline.pages.notebook_map import notebook_map

SCRIPT = """
import datetime as dt
import json
import sys
import ee
from gee import layers, partitions
from gee.connection import connect
from pipeline.pages.notebook_map import notebook_map
connect({url!r}, "my-project")
half = ee.Image(0.25).updateMask(ee.Image.pixelLonLat().select("longitude").gt(117)).rename("sm")
drawn = [
    layers.smap(dt.date(2019, 7, 3), ee.Geometry.Rectangle([116, 31, 118, 33])),
    layers.Layer("Half of the land", half, layers.SOIL_MOISTURE),
    *layers.predictor_layers(ee.Image(0.5).rename("ndvi"), ["ndvi"]),
    *layers.partition_layers(partitions.anhui()),
    layers.stations([layers.Place("S1", 117.2, 31.8)]),
]
drawn[3] = layers.Layer(drawn[3].name, drawn[3].image, drawn[3].legend)
told = {{}}
for backend in ("ipyleaflet", "folium"):
    made = notebook_map(drawn, (114.8, 29.4, 119.7, 34.7), backend)
    path = f"{folder}/{{backend}}.html"
    made.to_html(path)
    told[backend] = {{"kind": type(made).__module__, "page": path}}
    if backend == "ipyleaflet":
        told[backend]["shown"] = {{layer.name: layer.visible for layer in made.layers}}
        told[backend]["colour bars"] = len(made.colorbars)
        told[backend]["legends"] = len(made.legends)
print(json.dumps(told))
"""
NAMES = {
    "SMAP 9 km, 2019-07-03": True, "Half of the land": True, "NDVI, 0 to 0.9": False, "Partitions": True,
    "Outlines of the partitions": True, "Stations": True,
}  # fmt: skip


def test_both_kinds_of_map_hold_the_layers_and_one_legend_of_each_look(server: Child, tmp_path: Path) -> None:
    script = SCRIPT.format(url=server.address.url, folder=tmp_path)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert [told[backend]["kind"] for backend in told] == ["geemap.geemap", "geemap.foliumap"]
    shown = told["ipyleaflet"]["shown"]
    assert {name: shown[name] for name in NAMES} == NAMES
    assert (told["ipyleaflet"]["colour bars"], told["ipyleaflet"]["legends"]) == (1, 1)
    page = Path(told["folium"]["page"]).read_text(encoding="utf-8")
    for name in NAMES:
        assert name in page
    assert page.count("Soil moisture (m\\u00b3/m\\u00b3)") == 1
    start = f"{server.address.url}/v1/projects/my-project/maps/"
    for backend in told:
        html = Path(told[backend]["page"]).read_text(encoding="utf-8")
        maps = list(dict.fromkeys(part.split("/tiles/")[0] for part in html.split(start)[1:]))
        assert len(maps) == len(NAMES)
    # the tile of zoom 6 that spans longitudes 112.5 to 118.125, of the second layer
    tile = requests.get(f"{start}{maps[1]}/tiles/6/52/25", timeout=60)
    pixels = np.asarray(Image.open(io.BytesIO(tile.content)).convert("RGBA"))
    edge = round((117 - 112.5) / 5.625 * 256)
    assert (pixels[:, : edge - 1, 3] == 0).all()
    # 0.25 is half way from 0.05 to 0.45, the middle of viridis
    assert pixels[128, 250].tolist() == pytest.approx([33, 145, 140, 255], abs=1)


def test_without_geemap_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "geemap", None)
    with pytest.raises(ConfigError, match="pip install geemap"):
        notebook_map([Layer("nothing", ee.Image)])
