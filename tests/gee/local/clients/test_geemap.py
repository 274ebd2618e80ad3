"""geemap with both of its map backends, unmodified, against the local engine."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from gee.local.rest.process import Child

SCRIPT = """
import sys
import ee
from gee.connection import connect
connect({url!r}, "my-project")
import geemap{submodule} as geemap
drawn = geemap.Map(center=[32, 117], zoom=7)
image = ee.Image(25).updateMask(ee.Image.pixelLonLat().select("longitude").gt(117))
drawn.addLayer(image, {{"min": 0, "max": 100, "palette": ["000000", "ffffff"]}}, "constant")
drawn.addLayer(ee.FeatureCollection("WM/geoLab/geoBoundaries/600/ADM1"), {{}}, "boundaries")
drawn.to_html({path!r})
print(ee.Image(25).getMapId({{"min": 0, "max": 100}})["tile_fetcher"].url_format)
"""


@pytest.mark.parametrize(("backend", "submodule"), [("folium", ".foliumap"), ("ipyleaflet", "")])
def test_a_layer_goes_into_the_page_and_its_tiles_are_served(
    server: Child, tmp_path: Path, backend: str, submodule: str
) -> None:
    page = tmp_path / f"{backend}.html"
    environment = {**os.environ, **({"USE_FOLIUM": "1"} if backend == "folium" else {})}
    script = SCRIPT.format(url=server.address.url, submodule=submodule, path=str(page))
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    html = page.read_text(encoding="utf-8")
    start = f"{server.address.url}/v1/projects/my-project/maps/"
    names = {part.split("/tiles/")[0] for part in html.split(start)[1:]}
    assert len(names) == 2
    # the tile of zoom 6 that spans longitudes 112.5 to 118.125
    tiles = [requests.get(f"{start}{name}/tiles/6/52/25", timeout=60) for name in sorted(names)]
    assert [tile.status_code for tile in tiles] == [200, 200]
    opened = [np.asarray(Image.open(io.BytesIO(tile.content)).convert("RGBA")) for tile in tiles]
    [constant] = [pixels for pixels in opened if pixels[128, 250, 3] == 255 and pixels[128, 250, 0] == 64]
    # 25 of 0..100 is a quarter of the way from black to white; what lies west of 117 is transparent
    assert constant.shape == (256, 256, 4)
    edge = round((117 - 112.5) / 5.625 * 256)
    assert (constant[:, : edge - 1, 3] == 0).all()
    assert (constant[:, edge + 1 :, 3] == 255).all()
    grey = requests.get(done.stdout.strip().format(z=6, x=52, y=25), timeout=60)
    assert grey.headers["Content-Type"] == "image/jpeg"  # no pixel of it is transparent
