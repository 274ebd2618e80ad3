"""A plan of a few tiny tasks, and a command that exports it: ``python tiny.py URL WORKDIR BUCKET SEED``.

The products have the names and the shapes that real ones have; their pixels are constants. What may be cut in
halves is the month, as ``gee.exports`` does it.
"""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import ee
from affine import Affine
from odc.geo.geobox import GeoBox

from gee.connection import connect
from gee.exports import Plan, Product
from pipeline.cloud.refusals import Patience
from pipeline.errors import GeeSmapError
from pipeline.exporting.export import Exported, export
from pipeline.work.manifest import Manifest, Task
from pipeline.work.workdir import WorkDir

PROJECT = "my-project"
PREFIX = "tiny"
GRID = GeoBox((3, 4), Affine(1000, 0, 500_000, 0, -1000, 3_500_000), "EPSG:32650")
MONTH = "2019-04"
HALVES = ("2019-04-01", "2019-04-16")
SOON = Patience(first=0.02, longest=0.2, limit=20.0)


@dataclass(frozen=True, eq=False)
class TinyPlan(Plan):
    """A plan whose month can be cut once."""

    seed: int = 0

    def split(self, name: str) -> Plan | None:
        if name not in (f"dynamic-{MONTH}", f"cells-{MONTH}"):
            return None
        return tiny(self.seed, labels=HALVES)


def image(name: str, value: float, needs: tuple[str, ...] = ()) -> Product:
    picture = ee.Image.constant(value).rename("v").toFloat()
    return Product(name, "image", picture, ("v",), GRID, needs=needs)


def table(name: str, value: float) -> Product:
    rows = ee.FeatureCollection([ee.Feature(None, {"cell": "0001-0002", "v": value})])
    return Product(name, "table", rows, ("cell", "v"), GRID, rows=1)


def tiny(seed: int, labels: tuple[str, ...] = (MONTH,)) -> TinyPlan:
    """Static products and a month's, or those of its halves; another seed makes other tasks."""
    months = [
        product
        for number, label in enumerate(labels)
        for product in (
            image(f"dynamic-{label}", seed + 0.1 * len(labels) + number),
            table(f"cells-{label}", seed + 0.1 * len(labels) + number),
        )
    ]
    return planned(image("static", seed), table("cells-static", seed), *months, seed=seed)


def planned(*products: Product, seed: int = 0) -> TinyPlan:
    return TinyPlan(SimpleNamespace(tag="gee-smap"), products, seed)  # type: ignore[arg-type]


def manifest(plan: Plan, *, simulated: bool = True) -> Manifest:
    return Manifest(
        study="tiny", study_hash="0" * 64, preset="recommended", simulated=simulated,
        start=dt.date(2019, 4, 1), end=dt.date(2019, 4, 30), places=("nowhere",), area_km2=12,
        crs="EPSG:32650", width=4, height=3, crs_transform=(1000, 0, 500_000, 0, -1000, 3_500_000),
        cells=1, partitions=(), partition_rule="none", sources={}, checkpoints=None,
        eecu_seconds_per_megapixel=0.1,
        tasks=tuple(
            Task(task=one.description, name=one.name, kind=one.kind, columns=one.columns, needs=one.needs,
                 asset=one.asset)
            for one in plan.products
        ),
    )  # fmt: skip


def run(plan: Plan, work: Path, bucket: str, *, prefix: str = PREFIX, detach: bool = False) -> Exported:
    return export(
        plan, manifest(plan), WorkDir(work), bucket, prefix, lambda what, share: None, detach=detach,
        patience=SOON,
    )  # fmt: skip


def main() -> int:
    url, work, bucket, seed = sys.argv[1:]
    connect(url, PROJECT)
    ee.data.setMaxRetries(0)  # the client's own patience takes minutes
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        found = run(tiny(int(seed)), Path(work), bucket)
    except GeeSmapError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(found.submitted, found.adopted, found.done, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
