"""Memory and time of an export of 10,000 x 10,000 pixels and 12 bands, to Cloud Storage or an asset.

    python tests/benchmarks/bench_export.py [--side 10000] [--bands 12] [--to plain|cog|asset]

A local engine runs in a process of its own; its resident memory is looked at five times a second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import ee
import psutil
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from gee.connection import connect
from gee.local.rest.process import start

PROJECT = "my-project"


def image(bands: int) -> ee.Image:
    """A cheap one: a smooth float32 field for each band."""
    x = ee.Image.pixelCoordinates(ee.Projection("EPSG:32650", [100, 0, 0, 0, -100, 4_000_000]))
    field = x.select("x").divide(64).floor().add(x.select("y").divide(64).floor())
    return ee.Image([field.multiply(band).toFloat().rename(f"b{band}") for band in range(bands)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--bands", type=int, default=12)
    parser.add_argument("--to", choices=("plain", "cog", "asset"), default="cog")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        child = start(Path(folder), with_storage=True, project=PROJECT)
        connect(child.address.url, PROJECT)
        storage.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": child.address.storage},
        ).create_bucket("bench")
        side = options.side * 100
        grid = {
            "image": image(options.bands),
            "description": "bench",
            "crs": "EPSG:32650",
            "crsTransform": [100, 0, 0, 0, -100, 4_000_000],
            "region": ee.Geometry.Rectangle([1, 4_000_001 - side, side - 1, 3_999_999], "EPSG:32650", False),
            "maxPixels": 1e9,
        }
        if options.to == "asset":
            task = ee.batch.Export.image.toAsset(assetId=f"projects/{PROJECT}/assets/bench", **grid)
        else:
            task = ee.batch.Export.image.toCloudStorage(
                bucket="bench",
                fileNamePrefix="bench",
                formatOptions={"cloudOptimized": options.to == "cog"},
                fileDimensions=-(-options.side // 256) * 256,
                **grid,
            )
        server = psutil.Process(child.address.pid)
        idle, peak = server.memory_info().rss, 0
        began = time.monotonic()
        task.start()
        while task.active():
            for _ in range(5):
                peak = max(peak, server.memory_info().rss)
                time.sleep(0.2)
        status = task.status()
        print(
            f"{options.to}: {options.side} x {options.side} x {options.bands} float32: {status['state']} in "
            f"{time.monotonic() - began:.0f} s, resident {idle / 2**20:.0f} MiB idle, "
            f"{peak / 2**20:.0f} MiB at most {status.get('error_message', '')}"
        )
        child.stop()


if __name__ == "__main__":
    main()
