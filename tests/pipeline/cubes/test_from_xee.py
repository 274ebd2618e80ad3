"""A cube filled through xee from the local engine equals what its expressions say."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import ee
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee.exports import Plan, Product
from pipeline.cubes.cube import open_cube
from pipeline.cubes.from_xee import fill_from_xee
from pipeline.errors import DataError, EngineError
from pipeline.work.manifest import Manifest, Task

pytestmark = pytest.mark.usefixtures("client")

DYNAMIC = ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh", "count")
CODES = ("lc", "land", "partition", "region")
STATIC = ("sand", "silt", "clay", "dem", "LC_0", "LC_1", "LC_2", "LC_3", "LC_4", *CODES)
TRANSFORM, SHAPE = (1000, 0, 540_000, 0, -1000, 3_546_000), (7, 9)
GRID = GeoBox(SHAPE, Affine(*TRANSFORM), "EPSG:32650")
START = dt.date(2019, 4, 30)
DAYS = 3
ROW, COLUMN = np.mgrid[:7, :9]


def position() -> ee.Image:
    """Rows by 10 and columns, counted from the corner."""
    pixels = ee.Image.pixelCoordinates(ee.Projection("EPSG:32650", list(TRANSFORM))).floor()
    return pixels.select("y").multiply(10).add(pixels.select("x"))


def exported(bands: dict[str, ee.Image]) -> ee.Image:
    """As a plan writes it: named, float, -9999 in the first column."""
    hole = position().mod(10).eq(0)
    stack = ee.Image.cat(list(bands.values())).rename(list(bands))
    return stack.updateMask(hole.Not()).unmask(-9999, False).toFloat()


def dynamic(name: str, first: int, days: int) -> Product:
    bands = {
        f"{band.upper()}_{START + dt.timedelta(day):%Y%m%d}": position().add(1000 * day + 100 * number)
        for day in range(first, first + days)
        for number, band in enumerate(DYNAMIC)
    }
    return Product(name, "image", exported(bands), tuple(bands), GRID)


@pytest.fixture
def plan() -> Plan:
    ones = {band: ee.Image.constant(1) for band in CODES}
    still = {band: position().add(number / 2) for number, band in enumerate(STATIC)} | ones
    products = (
        Product("static", "image", exported(still), STATIC, GRID),
        dynamic("dynamic-2019-04", 0, 1),
        dynamic("dynamic-2019-05", 1, 2),
    )
    return Plan(None, products)


def manifest(plan: Plan) -> Manifest:
    tasks = tuple(
        Task(task=one.description, name=one.name, kind=one.kind, columns=one.columns) for one in plan.products
    )
    return Manifest(
        study="box", study_hash="0a", preset="recommended", simulated=True, start=START,
        end=START + dt.timedelta(days=DAYS - 1), places=(), area_km2=63, crs="EPSG:32650", width=9, height=7,
        crs_transform=TRANSFORM, cells=1, partitions=("HB",), partition_rule="", sources={}, checkpoints=None,
        eecu_seconds_per_megapixel=0.1, tasks=tasks,
    )  # fmt: skip


def quiet(what: str, share: float) -> None:
    pass


def test_a_cube_comes_through_xee(plan: Plan, tmp_path: Path) -> None:
    built = fill_from_xee(plan, manifest(plan), tmp_path / "cube.zarr", quiet)
    assert built.made
    cube = open_cube(built.path)
    for number, name in enumerate(DYNAMIC):
        for day in range(DAYS):
            wanted = np.where(COLUMN == 0, np.nan, 10 * ROW + COLUMN + 1000 * day + 100 * number)
            if name == "count":
                wanted = np.nan_to_num(wanted)
            np.testing.assert_array_equal(cube[name][day], wanted, f"{name} {day}")
    for number, name in enumerate(STATIC):
        wanted = np.where(COLUMN == 0, np.nan, 10 * ROW + COLUMN + number / 2)
        if name in CODES:
            wanted = np.where(COLUMN == 0, -1 if name == "lc" else 0, 1)
        np.testing.assert_array_equal(cube[name], wanted, name)
    assert cube["time"].dt.strftime("%Y%m%d").to_numpy().tolist() == ["20190430", "20190501", "20190502"]
    began = time.monotonic()
    assert not fill_from_xee(plan, manifest(plan), built.path, quiet).made
    assert time.monotonic() - began < 1


def test_what_the_engine_refuses_is_told_and_another_call_goes_on(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    whole = plan.products[2]
    missing = ee.Image("projects/my-project/assets/nothing-here")
    broken = Plan(None, (*plan.products[:2], Product(whole.name, "image", missing, whole.columns, GRID)))
    with pytest.raises(EngineError, match=r"dynamic-2019-05 cannot be computed on the spot.*nothing-here"):
        fill_from_xee(broken, manifest(broken), out, quiet)
    assert not out.exists()
    assert fill_from_xee(plan, manifest(plan), out, quiet).made
    np.testing.assert_array_equal(open_cube(out)["vh"][2, :, 5], 10 * ROW[:, 5] + 5 + 2000 + 800)


def test_the_plan_must_be_the_manifests(plan: Plan, tmp_path: Path) -> None:
    other = Plan(None, (*plan.products[:2], dynamic("dynamic-2019-05", 1, 1)))
    with pytest.raises(DataError, match="written for another plan"):
        fill_from_xee(other, manifest(plan), tmp_path / "cube.zarr", quiet)
